//! Whoever is called talks: what the instructions of a call say is done, its ConversationRelay socket is opened and spoken over as Twilio does, text for
//! voice in both directions.

use std::sync::Arc;
use std::time::Duration;

use colloquy_telephony::twilio::relay::{Outbound, read_outbound};
use colloquy_telephony::twilio::signature::{self, Covered};
use futures::{SinkExt as _, StreamExt as _};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::World;
use crate::calls::Call;
use crate::persona::{Chance, Manner};

/// How long a socket may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// Sessions of one call: one that is lost again and again is given up.
const SESSIONS_MAX: u32 = 10;
/// Documents of one call, those that only ask it to wait among them.
const DOCUMENTS_MAX: u32 = 60;
/// How long somebody thinks before they speak, ms, and listens to the last words before they hang up.
const THINKS_MS: u64 = 1_200;
const LISTENS_MS: u64 = 2_500;

/// What a document tells to do with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Instructions {
    /// Open this socket.
    socket: Option<String>,
    /// With these in its first frame.
    parameters: Vec<(String, String)>,
    /// Then ask here.
    action: Option<String>,
    /// Put it through.
    dials: bool,
    /// Ask here first what whoever answers there is told.
    whisper: Option<String>,
    /// Ask here which key they pressed.
    gathers: Option<String>,
    /// Wait so many seconds.
    pause_s: u64,
    /// And ask here.
    redirect: Option<String>,
    hangs_up: bool,
}

impl Instructions {
    /// Reads TwiML; what it does not know it passes over.
    fn read(document: &str) -> Self {
        let mut read = Self::default();
        let mut reader = Reader::from_str(document);
        loop {
            match reader.read_event() {
                Ok(Event::Start(element) | Event::Empty(element)) => match element.name().as_ref() {
                    "Connect" => read.action = attribute(&element, "action"),
                    "ConversationRelay" => read.socket = attribute(&element, "url"),
                    "Parameter" => {
                        let name = attribute(&element, "name").unwrap_or_default();
                        read.parameters.push((name, attribute(&element, "value").unwrap_or_default()));
                    }
                    "Dial" => (read.dials, read.action) = (true, attribute(&element, "action")),
                    "Number" => read.whisper = attribute(&element, "url"),
                    "Gather" => read.gathers = attribute(&element, "action"),
                    "Pause" => {
                        let length = attribute(&element, "length").and_then(|seconds| seconds.parse::<u64>().ok());
                        read.pause_s += length.unwrap_or(1);
                    }
                    // Its text follows.
                    "Redirect" => read.redirect = Some(String::new()),
                    "Hangup" => read.hangs_up = true,
                    _ => {}
                },
                Ok(Event::Text(text)) => {
                    if let Some(address) = &mut read.redirect {
                        address.push_str(&text);
                    }
                }
                Ok(Event::GeneralRef(name)) => {
                    let c = quick_xml::escape::unescape(&format!("&{};", &*name)).map(|c| c.into_owned());
                    if let (Some(address), Ok(c)) = (&mut read.redirect, c) {
                        address.push_str(&c);
                    }
                }
                Ok(Event::Eof) | Err(_) => return read,
                Ok(_) => {}
            }
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = element.attributes().flatten().find(|attribute| attribute.key.as_ref() == name)?;
    Some(quick_xml::escape::unescape(&found.value).ok()?.into_owned())
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The other side ended it.
    Theirs,
    /// Whoever was called hung up.
    HungUp,
    /// The socket was lost.
    Lost,
}

/// Asks what to do with a call that was answered, and does it until the other side ends it or whoever was called has said all they have to say.
pub(crate) async fn converse(world: Arc<World>, call: Call, manner: Option<Manner>) {
    // Nobody says what to do: the line stays open until somebody hangs up.
    let Some(url) = call.wishes.url.clone() else { return std::future::pending().await };
    let fields = [
        ("CallSid", call.sid.as_str()),
        ("AccountSid", world.config.account.as_str()),
        ("From", call.from.as_str()),
        ("To", call.to.as_str()),
        ("CallStatus", "in-progress"),
        ("Direction", "outbound-api"),
    ];
    let document = world.instructions(&url, call.wishes.fallback.as_deref(), &fields).await;
    let answered = document.as_ref().map(|(status, _)| *status);
    let mut talk = Talk {
        world: world.clone(),
        call: call.clone(),
        manner,
        said: 0,
        answered: 0,
        cut: Vec::new(),
        heard: Vec::new(),
    };
    world.log.line(json!({ "event": "instructions", "sid": call.sid, "answered": answered }));
    let why = follow(&world, &call, &mut talk, &fields, document).await;
    world.log.line(json!({ "event": "left", "sid": call.sid, "why": why }));
}

/// Does what documents say, one after the other; why there was nothing more to do.
async fn follow(
    world: &Arc<World>,
    call: &Call,
    talk: &mut Talk,
    fields: &[(&str, &str)],
    mut document: Option<(u16, String)>,
) -> &'static str {
    let fallback = call.wishes.fallback.as_deref();
    let mut n = 0;
    for _ in 0..DOCUMENTS_MAX {
        let instructions = document.as_ref().map(|(_, text)| Instructions::read(text)).unwrap_or_default();
        if let Some(again) = &instructions.redirect {
            world.log.line(json!({ "event": "waits", "sid": call.sid }));
            // Our patience is real time: what it waits for is not simulated.
            sleep(Duration::from_secs(instructions.pause_s)).await;
            document = world.instructions(again, fallback, fields).await;
            continue;
        }
        if instructions.dials {
            let taken = colleague(world, call, &instructions).await;
            world.log.line(json!({ "event": "transfer", "sid": call.sid, "taken": taken }));
            let Some(action) = &instructions.action else { return "nothing follows the transfer" };
            let mut fields = fields.to_vec();
            fields.extend([("DialCallStatus", if taken { "completed" } else { "no-answer" })]);
            document = world.instructions(action, fallback, &fields).await;
            continue;
        }
        let Some(socket) = &instructions.socket else {
            return match (&document, instructions.hangs_up) {
                (None, _) => "nobody said what to do",
                (Some(_), true) => "told to hang up",
                (Some(_), false) => "told nothing that it knows",
            };
        };
        n += 1;
        if n > SESSIONS_MAX {
            return "too many sessions";
        }
        let (ended, handoff) = talk.session(n, socket, &instructions.parameters).await;
        if ended == Ended::HungUp {
            return "hung up";
        }
        let Some(action) = &instructions.action else { return "nothing follows the session" };
        let session = format!("VX{}{n}", &call.sid[2..]);
        let status = if ended == Ended::Lost { "failed" } else { "ended" };
        let mut fields = fields.to_vec();
        fields.extend([("SessionId", session.as_str()), ("SessionStatus", status)]);
        fields.extend(handoff.as_deref().map(|data| ("HandoffData", data)));
        document = world.instructions(action, fallback, &fields).await;
    }
    "too many documents"
}

/// Somebody whom a caller is put through to: takes the call, sends it back, or presses nothing, as follows from the seed. Whether they took it.
async fn colleague(world: &World, call: &Call, instructions: &Instructions) -> bool {
    let Some(whisper) = &instructions.whisper else { return true };
    let leg = format!("CA{}", &blake3::hash(call.sid.as_bytes()).to_hex()[..32]);
    let fields = [
        ("CallSid", leg.as_str()),
        ("ParentCallSid", call.sid.as_str()),
        ("AccountSid", world.config.account.as_str()),
        ("From", call.from.as_str()),
        ("CallStatus", "in-progress"),
        ("Direction", "outbound-dial"),
    ];
    let told = world.ask(whisper, &fields).await;
    let told = told.map(|(_, text)| Instructions::read(&text)).unwrap_or_default();
    let Some(gathers) = &told.gathers else { return false };
    let key = match Chance::new(world.config.seed, &["colleague", &call.sid]).below(100) {
        0..60 => "1",
        60..80 => "2",
        _ => return false,
    };
    let mut fields = fields.to_vec();
    fields.push(("Digits", key));
    let answer = world.ask(gathers, &fields).await;
    let answer = answer.map(|(_, text)| Instructions::read(&text));
    key == "1" && answer.is_some_and(|answer| !answer.hangs_up)
}

/// What was said in a call.
struct Talk {
    world: Arc<World>,
    call: Call,
    manner: Option<Manner>,
    /// Lines of theirs said so far.
    said: usize,
    /// How many of these were answered.
    answered: usize,
    /// Which of these, from 0, were the last that was said into a socket that was lost: they may have reached nobody, and are not said again.
    cut: Vec<usize>,
    /// What they heard.
    heard: Vec<String>,
}

impl Drop for Talk {
    // Whatever ends it: what was said is written down.
    fn drop(&mut self) {
        let manner = self.manner.map(Manner::word);
        let wished = self.manner.is_some_and(|manner| manner.is_understood(self.answered));
        self.world.log.line(json!({
            "event": "talk", "sid": self.call.sid, "to": self.call.to, "manner": manner, "said": self.said, "answered": self.answered,
            "wished": wished, "cut": self.cut, "heard": self.heard,
        }));
    }
}

impl Talk {
    async fn session(&mut self, n: u32, address: &str, parameters: &[(String, String)]) -> (Ended, Option<String>) {
        let mut socket = match timeout(OPEN_WITHIN, self.open(address)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(why)) => {
                self.world.log.line(json!({ "event": "socket", "sid": self.call.sid, "refused": why }));
                return (Ended::Lost, None);
            }
            Err(_) => return (Ended::Lost, None),
        };
        let parameters: Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        let setup = json!({
            "type": "setup", "sessionId": format!("VX{}{n}", &self.call.sid[2..]), "accountSid": self.world.config.account,
            "callSid": self.call.sid, "from": self.call.from, "to": self.call.to, "direction": "outbound-api",
            "callType": "PSTN", "callStatus": "IN_PROGRESS", "customParameters": parameters,
        });
        if socket.send(Message::text(setup.to_string())).await.is_err() {
            return (Ended::Lost, None);
        }
        let mut words = String::new();
        // A session that goes on finds whoever was called waiting for an answer, or is told something first.
        let mut waits = self.said > self.answered;
        loop {
            let frame = match socket.next().await {
                Some(Ok(Message::Text(text))) => read_outbound(&text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.cut.extend(waits.then(|| self.said.saturating_sub(1)));
                    return (Ended::Lost, None);
                }
                Some(Ok(_)) => continue,
            };
            match frame {
                Ok(Outbound::Text { token, last, .. }) => {
                    words.push_str(&token);
                    if !last {
                        continue;
                    }
                    self.heard.push(std::mem::take(&mut words));
                    self.answered += usize::from(std::mem::take(&mut waits));
                    let Some(manner) = self.manner else { continue };
                    let Some(line) = manner.line(self.said) else {
                        // Who has something to say and has said it hangs up; who is silent listens on.
                        if self.said == 0 {
                            continue;
                        }
                        sleep(self.world.stretch(LISTENS_MS)).await;
                        return (Ended::HungUp, None);
                    };
                    sleep(self.world.stretch(THINKS_MS)).await;
                    let prompt = json!({ "type": "prompt", "voicePrompt": line, "lang": "en-US", "last": true });
                    if socket.send(Message::text(prompt.to_string())).await.is_err() {
                        return (Ended::Lost, None);
                    }
                    self.said += 1;
                    waits = true;
                }
                Ok(Outbound::End { handoff_data }) => return (Ended::Theirs, handoff_data),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Opens a socket of the other side's with the account's signature.
    async fn open(&self, address: &str) -> Result<WebSocketStream<TcpStream>, String> {
        let host = address.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let host = host.ok_or_else(|| format!("{address} is no ws address: this carrier has no TLS"))?;
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let tcp = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
        let mut request = address.into_client_request().map_err(|error| error.to_string())?;
        let signed = signature::sign(&self.world.config.token.clone().into(), address, Covered::Address);
        request.headers_mut().insert(signature::HEADER, signed.parse().map_err(|_| "a signature".to_owned())?);
        let (socket, _) = tokio_tungstenite::client_async(request, tcp).await.map_err(|error| error.to_string())?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use colloquy_telephony::twilio::twiml::{self, Relay};

    use super::*;

    #[test]
    fn instructions_are_read_as_they_are_written() {
        let relay = Relay {
            url: "ws://h:1/relay",
            parameters: &[("ticket", "a\"b&c"), ("dial", "c.0.1.2")],
            unencrypted: true,
            ..Relay::default()
        };
        let element = twiml::connect_relay(&relay, Some("http://h/ended?a=1&b=2")).expect("fits");
        let read = Instructions::read(&twiml::Response::new().then(element).to_xml());
        let parameters = vec![("ticket".to_owned(), "a\"b&c".to_owned()), ("dial".to_owned(), "c.0.1.2".to_owned())];
        let socket = Some("ws://h:1/relay".to_owned());
        let action = Some("http://h/ended?a=1&b=2".to_owned());
        assert_eq!(read, Instructions { socket, parameters, action, ..Instructions::default() });
        let waits = twiml::Response::new().then(twiml::pause(2)).then(twiml::redirect("http://h/v?w=1&d=c.0.1.2"));
        let read = Instructions::read(&waits.to_xml());
        assert_eq!((read.pause_s, read.redirect.as_deref()), (2, Some("http://h/v?w=1&d=c.0.1.2")));
        let put_through = twiml::dial(None, None, None).with(twiml::number("+14155550100"));
        assert!(Instructions::read(&twiml::Response::new().then(put_through).to_xml()).dials);
        for nothing in ["", "<Response/>", "<", "no xml"] {
            assert_eq!(Instructions::read(nothing), Instructions::default(), "{nothing}");
        }
    }
}
