//! The sound of calls through the real binary: a test call that is spoken in the browser, and a telephone over Twilio's Media Streams, with simulated
//! services for speech on loopback. What was heard of an answer is what stands of it.

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::signature::{Covered, sign};
use serde_json::{Value, json};
use support::carrier::{ACCOUNT, Carrier, OURS, TOKEN, connect_twilio, post_form};
use support::client::Answer;
use support::people::{Member, SOON, text};
use support::socket::Socket;
use support::voices::{Voices, lasts_ms};
use support::{Server, eventually};

/// Somebody's telephone.
const ANN: &str = "+12175550133";
/// Where people are put through to.
const DESK: &str = "+12175550177";
/// What the agent knows.
const HOURS: &str = "We are open from nine to six on weekdays. On Sundays we are closed.";
/// What is said first.
const GREETING: &str = "Oak Plumbing, this is the AI assistant. How can I help?";
/// Where Twilio believes the server to be: it opens sockets over TLS only, and signs the address.
const PUBLIC: &str = "https://calls.example";

/// An owner with an agent that answers the telephone.
async fn founded(server: &Server, more: Value) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let mut patch = json!({ "voice_enabled": true, "voice_scripts": { "greeting": GREETING, "after_hours": GREETING, "transfer": "I am connecting you now." } });
    for (name, value) in more.as_object().into_iter().flatten() {
        patch[name] = value.clone();
    }
    owner.api.patch(&format!("/api/agents/{agent}"), patch).await.expect(200);
    let faq = json!({ "question": "When are you open?", "answer": HOURS });
    owner.api.post(&format!("/api/agents/{agent}/faqs"), faq).await.expect(201);
    eventually("the answer is found", SOON, || async {
        let body = json!({ "query": "When are you open?" });
        let found = owner.api.post(&format!("/api/agents/{agent}/search"), body).await.expect(200);
        found["faqs"].as_array().is_some_and(|faqs| !faqs.is_empty()).then_some(())
    })
    .await;
    (owner, agent)
}

async fn conversation(owner: &Member) -> String {
    eventually("the call is in its conversation", SOON, || async {
        let calls = owner.api.list("/api/voice/calls").await;
        calls.first().and_then(|call| call["conversation_id"].as_str().map(str::to_owned))
    })
    .await
}

async fn call_is(owner: &Member, status: &str) -> Value {
    eventually(&format!("the call is {status}"), SOON, || async {
        owner.api.list("/api/voice/calls").await.first().filter(|call| call["status"] == status).cloned()
    })
    .await
}

/// Who said what, as it stands, without what nobody heard.
fn lines(shown: &Value) -> Vec<(String, String)> {
    let messages = shown["messages"].as_array().into_iter().flatten();
    let lines = messages.map(|message| (text(message, "role"), text(message, "content")));
    lines.filter(|(_, text)| !text.is_empty()).collect()
}

/// A page's test call.
async fn page(server: &Server, owner: &Member, agent: &str) -> (Socket, Value) {
    let mut socket =
        Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token })).await;
    let hello = socket.try_next().await.expect("a frame").expect("an answer");
    (socket, hello)
}

/// The sentences of the newest utterance with their sound, once all are there.
async fn utterance(socket: &mut Socket) -> Vec<(u64, String, Vec<u8>)> {
    let done = socket.until("the utterance's end", |frame| frame["type"] == "done").await;
    let says = socket.seen.iter().filter(|frame| frame["type"] == "say" && frame["utterance"] == done["utterance"]);
    let says = says.map(|frame| {
        let audio = frame["audio"].as_str().unwrap_or_else(|| panic!("it is spoken: {}", frame["text"]));
        (frame["utterance"].as_u64().expect("a number"), text(frame, "text"), STANDARD.decode(audio).expect("base64"))
    });
    says.collect()
}

/// How long a WAV file of one channel with 16 bits is.
fn wav_ms(wav: &[u8]) -> u64 {
    assert_eq!((&wav[..4], &wav[8..16]), (&b"RIFF"[..], &b"WAVEfmt "[..]));
    let rate = u64::from(u32::from_le_bytes([wav[24], wav[25], wav[26], wav[27]]));
    (wav.len() as u64 - 44) * 1000 / (rate * 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_is_spoken_without_any_account_and_what_was_played_is_what_was_heard() {
    let server = Server::start().await;
    let (owner, agent) = founded(&server, json!({})).await;
    let (mut socket, hello) = page(&server, &owner, &agent).await;
    assert_eq!((&hello["speech"], &hello["listening"]), (&json!("espeak-ng"), &json!("typed")), "{hello}");
    assert!(text(&hello, "note").contains("no speech-to-text"), "{hello}");
    let greeting = utterance(&mut socket).await;
    assert_eq!(greeting.iter().map(|(_, text, _)| text.as_str()).collect::<Vec<_>>().join(" "), GREETING);
    for (_, text, wav) in &greeting {
        assert!((200..20_000).contains(&wav_ms(wav)), "{text}: {} ms", wav_ms(wav));
    }
    let whole_ms: u64 = greeting.iter().map(|(_, _, wav)| wav_ms(wav)).sum();
    socket.send(&json!({ "type": "played", "utterance": greeting[0].0, "ms": whole_ms })).await;
    socket.send(&json!({ "type": "said", "turn": 1, "text": "When are you open?" })).await;
    let told = utterance(&mut socket).await;
    let words = told.iter().map(|(_, text, _)| text.as_str()).collect::<Vec<_>>().join(" ");
    assert!(words.contains("nine to six"), "{words}");
    // The caller speaks in the middle of the first sentence.
    let half_ms = wav_ms(&told[0].2) / 2;
    socket.send(&json!({ "type": "played", "utterance": told[0].0, "ms": half_ms })).await;
    socket.send(&json!({ "type": "said", "turn": 2, "text": "And on Sundays?" })).await;
    utterance(&mut socket).await;
    let shown = owner.settled(&conversation(&owner).await, SOON).await;
    let stands = lines(&shown);
    assert_eq!(stands[0].1, GREETING, "{stands:?}");
    let heard = &stands[2].1;
    assert!(words.starts_with(heard.as_str()) && heard.len() < told[0].1.len(), "{heard:?} of {words:?}");
    let voices = owner.api.get("/api/voice/voices").await.expect(200);
    let ids: Vec<&str> =
        voices["items"].as_array().expect("voices").iter().filter_map(|voice| voice["id"].as_str()).collect();
    assert!(ids.contains(&"en-us") && voices["speech"] == "espeak-ng", "{voices}");
    // A voice that is not there is refused by name.
    let patch = json!({ "voice_provider": "elevenlabs" });
    let refused = owner.api.patch(&format!("/api/agents/{agent}"), patch).await;
    assert!(refused.names("voice_provider").to_string().contains("voice.elevenlabs.api_key"), "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_elevenlabs_speaks_and_where_it_fails_another_voice_does() {
    let voices = Voices::start().await;
    let own = voices.speaking();
    let settings: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let server = Server::start_with(&settings).await;
    let (owner, agent) = founded(&server, json!({ "voice_provider": "elevenlabs", "voice_id": "v1" })).await;
    let listed = owner.api.get("/api/voice/voices").await.expect(200);
    let simone = json!({ "provider": "elevenlabs", "id": "v1", "name": "Simone", "language": "en" });
    assert!(listed["items"].as_array().expect("voices").contains(&simone), "{listed}");
    let (mut socket, hello) = page(&server, &owner, &agent).await;
    assert_eq!(hello["speech"], "elevenlabs", "{hello}");
    let greeting = utterance(&mut socket).await;
    assert_eq!(voices.spoken().join(" "), GREETING);
    assert_eq!(wav_ms(&greeting[0].2), lasts_ms(&greeting[0].1), "all of its pieces, in one");
    voices.fall_silent();
    socket.send(&json!({ "type": "said", "turn": 1, "text": "When are you open?" })).await;
    let told = utterance(&mut socket).await;
    assert!(wav_ms(&told[0].2) > 300, "espeak-ng speaks instead");
}

/// A webhook of Twilio's.
async fn posted(server: &Server, path: &str, fields: &[(&str, &str)], token: &str) -> Answer {
    let form = Form::of(fields);
    let signed = sign(&token.to_owned().into(), &format!("{PUBLIC}{path}"), Covered::Form(&form));
    post_form(&server.api().header("x-twilio-signature", &signed), path, form.to_body()).await
}

/// What stands between two marks.
fn between(text: &str, from: &str, to: &str) -> String {
    let text = &text[text.find(from).unwrap_or_else(|| panic!("{from} in {text}")) + from.len()..];
    text[..text.find(to).expect("its end")].to_owned()
}

const RINGS: [(&str, &str); 6] = [
    ("CallSid", "CA1"),
    ("AccountSid", ACCOUNT),
    ("From", ANN),
    ("To", OURS),
    ("CallStatus", "ringing"),
    ("Direction", "inbound"),
];

/// A telephone at the other end of Twilio's socket: plays what it gets, and says when it has.
struct Telephone {
    socket: Socket,
    sent: u64,
    /// Sound that is to be played, with the marks behind it.
    audio: usize,
    marks: Vec<String>,
}

impl Telephone {
    /// The socket that these instructions ask for, opened and begun as Twilio does.
    async fn connected(server: &Server, instructions: &str) -> Self {
        let mut telephone = Self::opened(server, instructions).await;
        let mut parameters = json!({});
        for part in instructions.split("<Parameter ").skip(1) {
            parameters[between(part, "name=\"", "\"")] = json!(between(part, "value=\"", "\""));
        }
        telephone.begin(parameters).await;
        telephone
    }

    async fn opened(server: &Server, instructions: &str) -> Self {
        let address = between(instructions, "url=\"", "\"");
        let path = address.strip_prefix("wss://calls.example").expect("our own address").to_owned();
        let signed = sign(&TOKEN.to_owned().into(), &address, Covered::Address);
        let here = std::net::Ipv4Addr::LOCALHOST;
        let header = ("x-twilio-signature", signed.as_str());
        let socket = Socket::open_with(here, server.http, &path, &[header]).await.expect("it opens");
        Self { socket, sent: 0, audio: 0, marks: Vec::new() }
    }

    async fn begin(&mut self, parameters: Value) {
        self.socket.send(&json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        self.socket.send(&json!({ "event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {
            "accountSid": ACCOUNT, "streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound"], "customParameters": parameters,
            "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 } } })).await;
    }

    /// Sends so much of the caller's sound, loud or not, in frames of 20 ms.
    async fn sounds(&mut self, ms: u64, loud: bool) {
        for _ in 0..ms / 20 {
            self.sent += 1;
            let frame: Vec<u8> = (0..160_u8)
                .map(|n| {
                    if loud && n % 8 < 4 {
                        0x80
                    } else if loud {
                        0x00
                    } else {
                        0xff
                    }
                })
                .collect();
            self.socket
                .send(&json!({ "event": "media", "sequenceNumber": (self.sent + 1).to_string(), "streamSid": "MZ1",
                "media": { "track": "inbound", "chunk": self.sent.to_string(), "timestamp": (self.sent * 20).to_string(), "payload": STANDARD.encode(frame) } }))
                .await;
        }
    }

    /// Takes a frame of the server's.
    async fn take(&mut self) -> Option<Value> {
        let frame = self.socket.try_next().await.expect("a frame in time")?;
        assert_eq!(frame["streamSid"], "MZ1", "{frame}");
        match frame["event"].as_str() {
            Some("media") => {
                let payload = frame["media"]["payload"].as_str().expect("a payload");
                self.audio += STANDARD.decode(payload).expect("base64").len();
            }
            Some("mark") => self.marks.push(text(&frame["mark"], "name")),
            Some("clear") => {}
            other => panic!("{other:?}"),
        }
        Some(frame)
    }

    /// Waits until so many sentences are on the line.
    async fn gets(&mut self, sentences: usize) {
        while self.marks.len() < sentences {
            self.take().await.expect("the socket stays open");
        }
    }

    /// Waits until an answer is on the line, all of it.
    async fn gets_all(&mut self, voices: &Voices, before: usize, answer: &str) {
        let words = |text: &str| text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
        while words(&voices.spoken()[before..].join(" ")) < words(answer)
            || self.marks.len() < voices.spoken().len() - before
        {
            self.take().await.expect("the socket stays open");
        }
    }

    /// Waits until the server has taken all that was sent so far: what is sent behind it was heard.
    async fn is_understood(&mut self, voices: &Voices) {
        let before = voices.heard().0;
        self.sounds(600, false).await;
        eventually("the caller is heard", SOON, || async { (voices.heard().0 >= before + 4_800).then_some(()) }).await;
    }

    /// Plays what is on the line to its end.
    async fn plays(&mut self) {
        self.audio = 0;
        for mark in std::mem::take(&mut self.marks) {
            self.echo(&mark).await;
        }
    }

    async fn echo(&mut self, mark: &str) {
        self.socket
            .send(&json!({ "event": "mark", "sequenceNumber": "9", "streamSid": "MZ1", "mark": { "name": mark } }))
            .await;
    }

    /// Throws away what is on the line, as it is told to; each mark is echoed all the same.
    async fn is_cleared(&mut self) {
        while self.take().await.expect("the socket stays open")["event"] != "clear" {}
        self.plays().await;
    }
}

/// A server with all services, an agent whose sound is ours, and the instructions for a call to it.
async fn ringing(voices: &Voices, carrier: &Carrier, more: Value) -> (Server, Member, String, String) {
    let mut settings = carrier.settings();
    settings.push(("COLLOQUY_PUBLIC__API_URL", PUBLIC.to_owned()));
    let server = voices.server(&settings).await;
    let mut patch = json!({ "voice_provider": "elevenlabs" });
    for (name, value) in more.as_object().into_iter().flatten() {
        patch[name] = value.clone();
    }
    let (owner, agent) = founded(&server, patch).await;
    connect_twilio(&owner, &agent).await;
    let instructions = posted(&server, "/api/voice/twilio/voice", &RINGS, TOKEN).await;
    assert!(instructions.text.contains("<Stream "), "{}", instructions.text);
    (server, owner, agent, instructions.text)
}

/// Reads sentences until these words were spoken.
async fn hears(telephone: &mut Telephone, voices: &Voices, words: &str) {
    while !voices.spoken().iter().any(|spoken| spoken.contains(words)) {
        telephone.take().await.expect("the socket stays open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_by_voice_is_answered_by_voice_and_of_an_interrupted_answer_only_what_was_heard_stands() {
    let (voices, carrier) = (Voices::start().await, Carrier::start().await);
    let (server, owner, _, instructions) = ringing(&voices, &carrier, json!({})).await;
    let mut telephone = Telephone::connected(&server, &instructions).await;
    telephone.gets(2).await;
    assert_eq!(voices.spoken().join(" "), GREETING);
    let lasts: u64 = voices.spoken().iter().map(|words| lasts_ms(words)).sum();
    assert_eq!(telephone.audio as u64, lasts * 8, "µ-law at 8 kHz");
    // What must be heard is not interrupted, and words said over it are answered after it.
    telephone.sounds(400, true).await;
    telephone.is_understood(&voices).await;
    let (bytes, query) = voices.heard();
    assert!(
        bytes == 8_000 && query.contains("encoding=mulaw") && query.contains("sample_rate=8000"),
        "{bytes} {query}"
    );
    voices.says("When are you open?");
    telephone.plays().await;
    hears(&mut telephone, &voices, "Sundays we are closed").await;
    telephone.gets(2).await;
    let spoken = voices.spoken();
    let (first, second) = (&spoken[2], &spoken[3]);
    assert!(first.contains("nine to six"), "{spoken:?}");

    // The first sentence is played to its end, then the caller speaks a while into the second. Real time passes: it is what is measured.
    let mark = telephone.marks.remove(0);
    telephone.echo(&mark).await;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(900)).await;
    voices.hears("StartOfTurn", "and do");
    voices.hears("Update", "and do you fix");
    telephone.is_cleared().await;
    let before = voices.spoken().len();
    let played_ms = u64::try_from(begun.elapsed().as_millis()).expect("short");
    voices.hears("EndOfTurn", "And do you fix boilers?");
    let conversation = conversation(&owner).await;
    let stands = eventually("the words stand", SOON, || async {
        let stands = lines(&owner.conversation(&conversation).await);
        stands.iter().any(|(_, text)| text == "And do you fix boilers?").then_some(stands)
    })
    .await;
    assert_eq!(stands[0], ("assistant".to_owned(), GREETING.to_owned()));
    assert_eq!(stands[1], ("user".to_owned(), "When are you open?".to_owned()));
    let heard = stands[2].1.strip_prefix(first.as_str()).unwrap_or_else(|| panic!("the first was heard: {stands:?}"));
    assert!(second.starts_with(heard.trim()) && !heard.trim().is_empty(), "{heard:?} of {second:?}");
    assert!(lasts_ms(heard.trim()) <= played_ms, "{heard:?} was not played in {played_ms} ms");
    assert_eq!(stands[3].1, "And do you fix boilers?");

    // Small sounds do not stop the answer to it.
    let answer = lines(&owner.settled(&conversation, SOON).await).last().expect("an answer").clone();
    telephone.gets_all(&voices, before, &answer.1).await;
    voices.says("Mhm.");
    voices.says("Yeah, okay.");
    telephone.sounds(200, true).await;
    telephone.is_understood(&voices).await;
    // A listener's sounds lead to nothing that could be waited for; the answer goes on for a while after them.
    tokio::time::sleep(Duration::from_millis(500)).await;
    telephone.plays().await;
    telephone.is_understood(&voices).await;
    voices.says("Thank you, goodbye!");
    eventually("the goodbye stands", SOON, || async {
        let stands = lines(&owner.conversation(&conversation).await);
        stands.iter().any(|(_, text)| text.contains("goodbye")).then_some(())
    })
    .await;
    assert!(telephone.socket.seen.iter().filter(|frame| frame["event"] == "clear").count() == 1, "one interruption");
    let stands = lines(&owner.settled(&conversation, SOON).await);
    assert!(stands.contains(&answer), "heard whole: {answer:?} in {stands:?}");
    assert!(!stands.iter().any(|(_, text)| text.contains("Mhm") || text.contains("Yeah")), "{stands:?}");
    // Once the goodbye was heard, we hang up.
    telephone.gets(1).await;
    telephone.plays().await;
    while telephone.take().await.is_some() {
        telephone.plays().await;
    }
    let call = call_is(&owner, "completed").await;
    assert_eq!(call["reason"].as_str(), Some("agent_hangup"), "{call}");
    let ended = between(&instructions, "action=\"https://calls.example", "\"");
    let over = [("CallSid", "CA1"), ("AccountSid", ACCOUNT), ("CallStatus", "in-progress")];
    posted(&server, &ended, &over, "another token").await.refused(401);
    assert!(posted(&server, &ended, &over, TOKEN).await.text.contains("<Hangup"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_prepared_early_leaves_nothing_when_the_caller_goes_on() {
    let (voices, carrier) = (Voices::start().await, Carrier::start().await);
    let (server, owner, _, instructions) = ringing(&voices, &carrier, json!({})).await;
    let mut telephone = Telephone::connected(&server, &instructions).await;
    telephone.gets(2).await;
    telephone.plays().await;
    telephone.is_understood(&voices).await;
    let before = voices.spoken().len();
    let conversation = conversation(&owner).await;
    let stands = |words: &'static str| {
        let (owner, conversation) = (&owner, &conversation);
        eventually("the words stand", SOON, move || async move {
            let stands = lines(&owner.conversation(conversation).await);
            stands.iter().any(|(_, text)| text == words).then_some(())
        })
    };
    voices.hears("StartOfTurn", "my number is");
    voices.hears("EagerEndOfTurn", "my number is 217 555");
    stands("my number is 217 555").await;
    voices.hears("TurnResumed", "");
    voices.hears("Update", "my number is 217 555 0133");
    voices.hears("EndOfTurn", "My number is 217 555 0133.");
    stands("My number is 217 555 0133.").await;
    let shown = owner.settled(&conversation, SOON).await;
    let said = lines(&shown);
    assert_eq!(said.iter().filter(|(role, _)| role == "user").count(), 1, "{said:?}");
    assert_eq!(said.len(), 3, "a greeting, the words, and one answer: {said:?}");
    telephone.gets_all(&voices, before, &said[2].1).await;
    telephone.plays().await;
    telephone.is_understood(&voices).await;
    assert!(!telephone.socket.seen.iter().any(|frame| frame["event"] == "clear"), "nothing had been spoken");

    let before = voices.spoken().len();
    // Where the words stand, so does the answer that was prepared: it is made once.
    voices.hears("StartOfTurn", "when are");
    voices.hears("EagerEndOfTurn", "when are you open");
    stands("when are you open").await;
    voices.hears("EndOfTurn", "When are you open?");
    hears(&mut telephone, &voices, "nine to six").await;
    let said = lines(&owner.settled(&conversation, SOON).await);
    assert_eq!(said.iter().filter(|(_, text)| text.to_lowercase().starts_with("when are you")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|(_, text)| text.contains("nine to six")).count(), 1, "{said:?}");
    // Keys are words, too; the caller hangs up in the middle of the answer to them.
    telephone.gets_all(&voices, before, &said.last().expect("an answer").1).await;
    telephone.plays().await;
    telephone.is_understood(&voices).await;
    for digit in ["4", "2", "#"] {
        telephone
            .socket
            .send(&json!({ "event": "dtmf", "streamSid": "MZ1", "dtmf": { "track": "inbound_track", "digit": digit } }))
            .await;
    }
    stands("42").await;
    telephone
        .socket
        .send(&json!({ "event": "stop", "sequenceNumber": "99", "streamSid": "MZ1", "stop": { "callSid": "CA1" } }))
        .await;
    call_is(&owner, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_call_goes_on_after_the_server_was_killed_and_is_put_through() {
    let (voices, carrier) = (Voices::start().await, Carrier::start().await);
    let (mut server, owner, agent, instructions) = ringing(&voices, &carrier, json!({})).await;
    // Without the signature nobody opens the socket, and without the call's ticket nobody is greeted.
    let path = between(&instructions, "url=\"wss://calls.example", "\"");
    assert!(Socket::open(server.http, &path).await.is_err_and(|error| error.contains("401")));
    let mut stranger = Telephone::opened(&server, &instructions).await;
    let ticket = between(&instructions, "name=\"ticket\" value=\"", "\"");
    stranger.begin(json!({ "ticket": ticket, "direction": "inbound", "person": DESK, "line": OURS })).await;
    assert!(matches!(stranger.socket.next_within(SOON).await, Ok(None) | Err(_)), "another number than the ticket's");
    assert_eq!(owner.api.list("/api/voice/calls").await[0]["status"], "ringing", "nobody has it yet");

    let mut telephone = Telephone::connected(&server, &instructions).await;
    telephone.gets(2).await;
    telephone.plays().await;
    let conversation = conversation(&owner).await;
    voices.says("When are you open?");
    eventually("the words stand", SOON, || async {
        let said = lines(&owner.conversation(&conversation).await);
        said.iter().any(|(_, text)| text == "When are you open?").then_some(())
    })
    .await;
    server.kill();
    drop(telephone);
    server.boot().await;
    let owner = owner.at(&server);
    let ended = between(&instructions, "action=\"https://calls.example", "\"");
    let lost = [("CallSid", "CA1"), ("AccountSid", ACCOUNT), ("CallStatus", "in-progress")];
    let again = posted(&server, &ended, &lost, TOKEN).await;
    assert!(again.text.contains("<Stream "), "{}", again.text);
    let mut telephone = Telephone::connected(&server, &again.text).await;
    // The answer comes over this socket, or the caller is asked to say it again: never the greeting.
    let before = voices.spoken().len();
    telephone.gets(1).await;
    let first = voices.spoken()[before.min(voices.spoken().len() - 1)].clone();
    assert!(first != GREETING && !first.contains("this is the AI assistant"), "{first}");
    telephone.plays().await;
    let said = lines(&owner.settled(&conversation, SOON).await);
    assert_eq!(said.iter().filter(|(_, text)| text == "When are you open?").count(), 1, "{said:?}");
    assert!(said.iter().filter(|(_, text)| text.contains("nine to six")).count() <= 1, "{said:?}");
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1, "one call");

    // Put through once the words for it were played.
    let call = text(&owner.api.list("/api/voice/calls").await[0], "id");
    owner.api.post(&format!("/api/voice/calls/{call}/transfer"), json!({ "to": DESK })).await.expect(202);
    hears(&mut telephone, &voices, "connecting you").await;
    loop {
        telephone.plays().await;
        if telephone.take().await.is_none() {
            break;
        }
    }
    let dial = posted(&server, &ended, &lost, TOKEN).await;
    assert!(dial.text.contains("<Dial") && dial.text.contains(DESK), "{}", dial.text);
    call_is(&owner, "transferred").await;
    assert_eq!(posted(&server, &ended, &lost, TOKEN).await.status, 200, "Twilio says it again");
    // Where our sound fails, calls go over Twilio's.
    let patch = json!({ "voice_provider": "retell" });
    owner.api.patch(&format!("/api/agents/{agent}"), patch).await.expect(200);
    let another = RINGS.map(|(name, value)| (name, if name == "CallSid" { "CA2" } else { value }));
    let relayed = posted(&server, "/api/voice/twilio/voice", &another, TOKEN).await;
    assert!(relayed.text.contains("ConversationRelay"), "{}", relayed.text);
}

/// Files below a folder, with what they hold.
fn files(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![std::fs::read(path).expect("a file")] })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_after_the_caller_was_told_listened_to_by_those_who_may_and_erased_with_the_call() {
    let (voices, carrier) = (Voices::start().await, Carrier::start().await);
    let recorded = json!({ "voice_recording": true, "compliance_notices": [{ "type": "call_recording", "text": "This call is recorded.", "when": "always_available" }] });
    let (server, owner, agent, instructions) = ringing(&voices, &carrier, recorded).await;
    let patch = json!({ "compliance_notices": [] });
    owner.api.patch(&format!("/api/agents/{agent}"), patch).await.names("voice_recording");
    let mut telephone = Telephone::connected(&server, &instructions).await;
    telephone.gets(3).await;
    assert!(voices.spoken().concat().contains("recorded"), "{:?}", voices.spoken());
    telephone.sounds(2_000, true).await;
    eventually("the caller is heard", SOON, || async { (voices.heard().0 >= 16_000).then_some(()) }).await;
    assert!(owner.api.list("/api/voice/calls").await[0]["recording"].is_null(), "not before the caller was told");
    telephone.plays().await;
    // A piece and a half.
    telephone.sounds(30_000, true).await;
    let call = eventually("it is recorded", SOON, || async {
        owner.api.list("/api/voice/calls").await.first().filter(|call| !call["recording"].is_null()).cloned()
    })
    .await;
    telephone
        .socket
        .send(&json!({ "event": "stop", "sequenceNumber": "99", "streamSid": "MZ1", "stop": { "callSid": "CA1" } }))
        .await;
    call_is(&owner, "completed").await;
    let path = format!("/api/voice/calls/{}/recording", text(&call, "id"));
    // Two channels of 8,000 bytes a second behind the head of the file; the first frame may have gone by before the greeting was known to be over.
    let whole = eventually("all of it is kept", SOON, || async {
        let heard = owner.api.get(&path).await;
        let length = heard.header("content-length")?.parse::<u64>().ok()?;
        (heard.status == 200 && length > 58 + 29_000 * 16).then_some(length)
    })
    .await;
    assert!(whole <= 58 + 30_000 * 16, "{whole}");
    let heard = owner.api.get(&path).await;
    assert!(heard.text.starts_with("RIFF") && heard.header("content-type") == Some("audio/wav"), "{:?}", heard.headers);
    let part = owner.api.header("range", "bytes=319990-320121").get(&path).await;
    assert_eq!((part.status, part.header("content-length")), (206, Some("132")));
    assert_eq!(part.header("content-range"), Some(format!("bytes 319990-320121/{whole}").as_str()));
    assert_eq!(owner.api.header("range", "bytes=99999999-").get(&path).await.status, 416);
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.get(&path).await.refused(403);
    Member::sign_up(&server, "Elm Plumbing").await.api.get(&path).await.refused(404);
    let log = owner.api.list("/api/audit").await;
    assert!(
        log.iter().any(|entry| entry["action"] == "call.listened" && entry["resource"]["id"] == call["id"]),
        "{log:?}"
    );

    // At rest nobody hears it.
    let folder = server.data().join("blobs/calls");
    let kept = files(&folder);
    let loud = [0x80_u8, 0xff, 0x80, 0xff, 0x80, 0xff, 0x80, 0xff];
    assert!(kept.len() == 2 && kept.iter().map(Vec::len).sum::<usize>() > 29_000 * 16, "{}", kept.len());
    assert!(!kept.iter().any(|file| file.windows(loud.len()).any(|bytes| bytes == loud)), "it is encrypted");
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "phone": ANN })).await.expect(202);
    let id = text(&erasure, "id");
    eventually("the erasure has ended", SOON, || async {
        let erasure = owner.api.get(&format!("/api/privacy/erasures/{id}")).await.expect(200);
        (erasure["status"] == "completed").then_some(())
    })
    .await;
    owner.api.get(&path).await.refused(404);
    assert!(files(&folder).is_empty(), "and nothing is left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_a_microphone_is_heard_interrupts_and_only_what_was_played_stands() {
    let voices = Voices::start().await;
    let server = voices.server(&[]).await;
    let (owner, agent) = founded(&server, json!({ "voice_provider": "elevenlabs" })).await;
    let status = owner.api.get("/api/voice/status").await.expect(200);
    assert_eq!(status["browser"]["listening"], "deepgram", "{status}");
    let mut bad = Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    bad.send(&json!({ "type": "start", "token": owner.token, "microphone_hz": 100 })).await;
    assert_eq!(bad.until("a refusal", |frame| frame["type"] == "error").await["code"], "invalid_fields");

    let mut socket =
        Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token, "microphone_hz": 16_000 })).await;
    let hello = socket.try_next().await.expect("a frame").expect("an answer");
    assert_eq!(hello["listening"], "deepgram", "{hello}");
    assert!(!text(&hello, "note").contains("You type"), "{hello}");
    let greeting = utterance(&mut socket).await;
    socket.send(&json!({ "type": "played", "utterance": greeting[0].0, "ms": lasts_ms(GREETING) })).await;
    socket.try_bytes(vec![1; 1_280]).await.expect("sound is taken");
    eventually("the sound arrives", SOON, || async { (voices.heard().0 >= 1_280).then_some(()) }).await;
    assert!(voices.heard().1.contains("encoding=linear16&sample_rate=16000"), "{:?}", voices.heard());

    // Written down as it is heard, and answered once it is over.
    voices.hears("StartOfTurn", "When");
    voices.hears("Update", "When are you open?");
    let hearing = socket.until("words", |frame| frame["type"] == "hearing" && frame["done"] == false).await;
    assert!(hearing["turn"].is_null(), "{hearing}");
    voices.hears("EndOfTurn", "When are you open?");
    let heard = socket.until("the turn", |frame| frame["type"] == "hearing" && frame["done"] == true).await;
    assert_eq!((&heard["text"], &heard["turn"]), (&json!("When are you open?"), &json!(1)));
    let told = utterance(&mut socket).await;
    assert!(told[0].1.contains("nine to six"), "{told:?}");

    // A listener's sound stops nothing; words do, and only what was played until then was heard.
    voices.says("mhm");
    socket.until("nothing", |frame| frame["type"] == "hearing" && frame["done"] == true && frame["text"] == "").await;
    socket.send(&json!({ "type": "played", "utterance": told[0].0, "ms": lasts_ms("We are open") })).await;
    socket.send(&json!({ "type": "silent_is_unknown" })).await;
    socket.until("the frame before was taken", |frame| frame["code"] == "bad_frame").await;
    voices.says("And on Sundays?");
    let stop = socket.until("silence", |frame| frame["type"] == "stop").await;
    assert_eq!(stop["utterance"], told[0].0);
    let then = utterance(&mut socket).await;
    assert!(then[0].0 > told[0].0, "another utterance");
    let shown = owner.settled(&conversation(&owner).await, SOON).await;
    let stands = lines(&shown);
    assert_eq!(stands[2].1, "We are open", "{stands:?}");
    assert_eq!(stands[3].1, "And on Sundays?", "{stands:?}");
    assert_eq!(stands.iter().filter(|(role, _)| role == "user").count(), 2, "{stands:?}");

    // Typing goes on beside it.
    socket.send(&json!({ "type": "said", "turn": 3, "text": "Thank you" })).await;
    utterance(&mut socket).await;
    socket.send(&json!({ "type": "hangup" })).await;
    socket.until("goodbye", |frame| frame["type"] == "bye").await;
    eventually("nobody listens any more", SOON, || async { (!voices.listens()).then_some(()) }).await;
}
