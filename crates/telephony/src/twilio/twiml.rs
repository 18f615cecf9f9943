//! TwiML: what Twilio is told to do with a call or an incoming message, written as XML in which every text is escaped.

use crate::error::Unfit;

/// The longest document that may stand in the field `Twiml` of a call, characters.
pub const PARAMETER_CHARS_MAX: usize = 4000;
/// The content type of an answer.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// An element with attributes and what is inside it. Attributes that are `None` are not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    inside: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), inside: Vec::new() }
    }

    /// With this attribute.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With this attribute, if there is a value.
    #[must_use]
    pub fn set_opt(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// With this inside, behind what is already there.
    #[must_use]
    pub fn with(mut self, element: Self) -> Self {
        self.inside.push(Node::Element(element));
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.inside.push(Node::Text(text.to_owned()));
        self
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, true, out);
            out.push('"');
        }
        if self.inside.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.inside {
            match node {
                Node::Element(element) => element.write(out),
                Node::Text(text) => escape(text, false, out),
            }
        }
        out.push_str("</");
        out.push_str(self.name);
        out.push('>');
    }
}

/// A whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    verbs: Vec<Element>,
}

impl Response {
    /// One that does nothing: the answer to a message that needs none.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this verb behind the others.
    #[must_use]
    pub fn then(mut self, verb: Element) -> Self {
        self.verbs.push(verb);
        self
    }

    /// As XML.
    pub fn to_xml(&self) -> String {
        let mut out = HEAD.to_owned();
        let mut response = Element::new("Response");
        response.inside = self.verbs.iter().cloned().map(Node::Element).collect();
        response.write(&mut out);
        out
    }

    /// As XML for the field `Twiml` of a call.
    ///
    /// # Errors
    /// When it is longer than Twilio takes there; then it must be fetched from an address.
    pub fn to_parameter(&self) -> Result<String, Unfit> {
        let xml = self.to_xml();
        if xml.chars().count() > PARAMETER_CHARS_MAX {
            return Err(Unfit::new("Twiml", "is longer than 4000 characters"));
        }
        Ok(xml)
    }
}

/// `<Say>`: speaks. `language` and `voice` in Twilio's names.
pub fn say(text: &str, voice: Option<&str>, language: Option<&str>) -> Element {
    Element::new("Say").set_opt("voice", voice).set_opt("language", language).text(text)
}

/// `<Play>`: plays a recording.
pub fn play(url: &str) -> Element {
    Element::new("Play").text(url)
}

/// `<Play digits>`: presses keys.
pub fn play_digits(digits: &str) -> Element {
    Element::new("Play").set("digits", digits)
}

/// `<Pause>`: waits whole seconds.
pub fn pause(seconds: u32) -> Element {
    Element::new("Pause").set("length", seconds)
}

/// `<Gather>`: listens for keys, speech or both (`input` "dtmf", "speech", "dtmf speech") while what is inside it is spoken.
pub fn gather(input: &str, action: &str) -> Element {
    Element::new("Gather").set("input", input).set("action", action).set("method", "POST")
}

/// `<Record>`: takes a message.
pub fn record(action: &str, max_length_s: u32) -> Element {
    Element::new("Record").set("action", action).set("method", "POST").set("maxLength", max_length_s)
}

/// `<Redirect>`: asks that address what to do next.
pub fn redirect(url: &str) -> Element {
    Element::new("Redirect").set("method", "POST").text(url)
}

/// `<Hangup/>`
pub fn hang_up() -> Element {
    Element::new("Hangup")
}

/// `<Reject>`: does not take the call, and it costs nothing. `reason` "busy" or "rejected".
pub fn reject(reason: &str) -> Element {
    Element::new("Reject").set("reason", reason)
}

/// `<Dial>`: connects to what is inside it.
pub fn dial(action: Option<&str>, caller_id: Option<&str>, timeout_s: Option<u32>) -> Element {
    Element::new("Dial").set_opt("action", action).set_opt("callerId", caller_id).set_opt("timeout", timeout_s)
}

/// `<Number>` inside `<Dial>`.
pub fn number(number: &str) -> Element {
    Element::new("Number").text(number)
}

/// `<Sip>` inside `<Dial>`.
pub fn sip(uri: &str) -> Element {
    Element::new("Sip").text(uri)
}

/// `<Client>` inside `<Dial>`.
pub fn client(identity: &str) -> Element {
    Element::new("Client").text(identity)
}

/// `<Conference>` inside `<Dial>`.
pub fn conference(name: &str) -> Element {
    Element::new("Conference").text(name)
}

/// `<Enqueue>`: the caller waits in a queue.
pub fn enqueue(queue: &str, wait_url: Option<&str>) -> Element {
    Element::new("Enqueue").set_opt("waitUrl", wait_url).text(queue)
}

/// `<Connect><Stream>`: the call's audio both ways over our socket. What follows runs when the socket closes. Addresses with a query are not
/// taken, so what the socket must know goes into parameters.
///
/// # Errors
/// When the address is not `wss` or has a query.
pub fn connect_stream(url: &str, parameters: &[(&str, &str)], action: Option<&str>) -> Result<Element, Unfit> {
    let stream = Element::new("Stream").set("url", socket_url(url)?);
    Ok(Element::new("Connect").set_opt("action", action).with(with_parameters(stream, parameters)))
}

/// `<Start><Stream>`: a copy of the call's audio to our socket, while the call goes on. `track` "inbound_track", "outbound_track" or "both_tracks".
///
/// # Errors
/// When the address is not `wss` or has a query.
pub fn start_stream(url: &str, track: &str, parameters: &[(&str, &str)]) -> Result<Element, Unfit> {
    let stream = Element::new("Stream").set("url", socket_url(url)?).set("track", track);
    Ok(Element::new("Start").with(with_parameters(stream, parameters)))
}

/// How ConversationRelay listens and speaks. What is `None` or empty is left to Twilio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay<'a> {
    /// Our socket, `wss`.
    pub url: &'a str,
    /// Spoken when the call is answered.
    pub welcome_greeting: Option<&'a str>,
    /// `none`, `dtmf`, `speech` or `any`.
    pub welcome_greeting_interruptible: Option<&'a str>,
    /// For both directions, such as `en-US`.
    pub language: Option<&'a str>,
    /// `ElevenLabs`, `Google` or `Amazon`.
    pub tts_provider: Option<&'a str>,
    /// In the provider's names.
    pub voice: Option<&'a str>,
    /// `Deepgram` or `Google`.
    pub transcription_provider: Option<&'a str>,
    /// Such as `nova-3-general`; `flux` brings its own end of turn.
    pub speech_model: Option<&'a str>,
    /// `none`, `dtmf`, `speech` or `any`.
    pub interruptible: Option<&'a str>,
    /// `high`, `medium` or `low`.
    pub interrupt_sensitivity: Option<&'a str>,
    /// Whether "mhm" does not interrupt.
    pub ignore_backchannel: Option<bool>,
    /// Whether keys are reported.
    pub dtmf_detection: Option<bool>,
    /// Words to expect.
    pub hints: Option<&'a str>,
    /// `speaker-events tokens-played`.
    pub events: Option<&'a str>,
    /// For the socket's `setup`.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Whether `ws` does too: Twilio takes `wss` only, who plays Twilio on the same machine takes either.
    pub unencrypted: bool,
}

/// `<Connect><ConversationRelay>`: Twilio transcribes and speaks, we read and write text.
///
/// # Errors
/// When the address is not `wss`.
pub fn connect_relay(relay: &Relay<'_>, action: Option<&str>) -> Result<Element, Unfit> {
    if !(relay.url.starts_with("wss://") || relay.unencrypted && relay.url.starts_with("ws://")) {
        return Err(Unfit::new("url", "must be a wss address"));
    }
    let element = Element::new("ConversationRelay")
        .set("url", relay.url)
        .set_opt("welcomeGreeting", relay.welcome_greeting)
        .set_opt("welcomeGreetingInterruptible", relay.welcome_greeting_interruptible)
        .set_opt("language", relay.language)
        .set_opt("ttsProvider", relay.tts_provider)
        .set_opt("voice", relay.voice)
        .set_opt("transcriptionProvider", relay.transcription_provider)
        .set_opt("speechModel", relay.speech_model)
        .set_opt("interruptible", relay.interruptible)
        .set_opt("interruptSensitivity", relay.interrupt_sensitivity)
        .set_opt("ignoreBackchannel", relay.ignore_backchannel)
        .set_opt("dtmfDetection", relay.dtmf_detection)
        .set_opt("hints", relay.hints)
        .set_opt("events", relay.events);
    Ok(Element::new("Connect").set_opt("action", action).with(with_parameters(element, relay.parameters)))
}

/// `<Message>`: the reply to an incoming message.
pub fn message(text: &str, media: &[&str]) -> Element {
    if media.is_empty() {
        return Element::new("Message").text(text);
    }
    media.iter().fold(Element::new("Message").with(Element::new("Body").text(text)), |message, url| {
        message.with(Element::new("Media").text(url))
    })
}

fn with_parameters(element: Element, parameters: &[(&str, &str)]) -> Element {
    parameters.iter().fold(element, |element, (name, value)| {
        element.with(Element::new("Parameter").set("name", name).set("value", value))
    })
}

fn socket_url(url: &str) -> Result<&str, Unfit> {
    if !url.starts_with("wss://") {
        return Err(Unfit::new("url", "must be a wss address"));
    }
    if url.contains(['?', '#']) {
        return Err(Unfit::new("url", "cannot have a query: use parameters"));
    }
    Ok(url)
}

/// Escapes for text or for a quoted attribute. Characters that XML 1.0 cannot hold at all are left out: Twilio would refuse the whole document.
fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A parser turns plain ones in attributes into spaces, and a carriage return anywhere into a line feed.
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\n' | '\t' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::*;

    #[test]
    fn documents_are_written_as_documented() {
        assert_eq!(Response::new().to_xml(), r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#);
        let xml = Response::new()
            .then(say("Tom & Jerry's <shop>", Some("Polly.Joanna"), None))
            .then(gather("dtmf speech", "/x?a=1&b=2").set("numDigits", 1).with(say("Press 1", None, Some("en-US"))))
            .then(dial(Some("/after"), Some("+14155550100"), Some(20)).with(number("+14155550111")))
            .then(hang_up())
            .to_xml();
        assert_eq!(
            xml,
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><Response><Say voice="Polly.Joanna">Tom &amp; Jerry&apos;s &lt;shop&gt;</Say>"#,
                r#"<Gather input="dtmf speech" action="/x?a=1&amp;b=2" method="POST" numDigits="1"><Say language="en-US">Press 1</Say></Gather>"#,
                r#"<Dial action="/after" callerId="+14155550100" timeout="20"><Number>+14155550111</Number></Dial><Hangup/></Response>"#
            )
        );
    }

    #[test]
    fn sockets_take_parameters_instead_of_queries() {
        let stream = connect_stream("wss://h/stream", &[("ticket", "a\"b")], Some("/done")).expect("fits");
        let xml = Response::new().then(stream).to_xml();
        assert!(xml.contains(r#"<Connect action="/done"><Stream url="wss://h/stream"><Parameter name="ticket" value="a&quot;b"/></Stream></Connect>"#), "{xml}");
        assert!(connect_stream("wss://h/stream?x=1", &[], None).is_err());
        assert!(start_stream("https://h/stream", "both_tracks", &[]).is_err());
        let relay = Relay {
            url: "wss://h/relay",
            welcome_greeting: Some("Hi"),
            ignore_backchannel: Some(true),
            ..Relay::default()
        };
        let xml = Response::new().then(connect_relay(&relay, None).expect("fits")).to_xml();
        assert!(
            xml.contains(r#"<ConversationRelay url="wss://h/relay" welcomeGreeting="Hi" ignoreBackchannel="true"/>"#),
            "{xml}"
        );
        assert!(connect_relay(&Relay { url: "http://h", ..Relay::default() }, None).is_err());
        assert!(connect_relay(&Relay { url: "ws://h", ..Relay::default() }, None).is_err());
        assert!(connect_relay(&Relay { url: "ws://h", unencrypted: true, ..Relay::default() }, None).is_ok());
    }

    #[test]
    fn a_document_that_is_too_long_for_a_parameter_is_refused() {
        assert!(Response::new().then(say(&"a".repeat(3900), None, None)).to_parameter().is_ok());
        assert!(Response::new().then(say(&"&".repeat(1000), None, None)).to_parameter().is_err(), "escapes count");
    }

    proptest! {
        #[test]
        fn every_text_arrives_at_a_parser_as_it_was(text in any::<String>(), value in any::<String>()) {
            let xml = Response::new().then(say(&text, Some(&value), None)).to_xml();
            let allowed = |c: &char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
            let (mut read_text, mut read_value) = (String::new(), String::new());
            let mut reader = Reader::from_str(&xml);
            loop {
                match reader.read_event().expect("well-formed") {
                    Event::Start(start) if start.name().as_ref() == "Say" => {
                        let voice = start.attributes().next().expect("voice").expect("an attribute");
                        read_value = quick_xml::escape::unescape(&voice.value).expect("escaped").into_owned();
                    }
                    Event::Text(piece) => read_text.push_str(&piece),
                    Event::GeneralRef(name) => {
                        read_text.push_str(&quick_xml::escape::unescape(&format!("&{};", &*name)).expect("known"));
                    }
                    Event::Eof => break,
                    _ => {}
                }
            }
            prop_assert_eq!(read_text, text.chars().filter(allowed).collect::<String>());
            prop_assert_eq!(read_value, value.chars().filter(allowed).collect::<String>());
        }
    }
}
