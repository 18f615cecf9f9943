//! Forms that send messages, and how long texts are cut.

use colloquy_domain::check::is_e164;

use super::calls::{Fields, field};
use super::keywords::Channel;
use super::messages::Address;
use crate::error::Unfit;
use crate::rest::web;

/// The longest text of one message, characters.
pub const BODY_CHARS_MAX: usize = 1600;
/// The most media of one message.
pub const MEDIA_MAX: usize = 10;
/// The most messages a long text is cut into: five times 1,600 characters are an essay; the rest is left out and marked with an ellipsis.
pub const PARTS_MAX: usize = 5;
/// Longest time a message may wait, seconds.
const VALIDITY_S_MAX: u32 = 36_000;

/// What sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// One of our numbers.
    Number(String),
    /// A messaging service (`MG…`), which picks a number.
    Service(String),
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Words, and perhaps links to media. On WhatsApp only within 24 hours after the person wrote.
    Free {
        /// Words; may be empty if there are media.
        text: String,
        /// Addresses Twilio can fetch.
        media: Vec<String>,
    },
    /// A template that WhatsApp has approved.
    Template {
        /// `HX…`
        content_sid: String,
        /// A JSON object of what fills it.
        variables: serde_json::Map<String, serde_json::Value>,
    },
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateMessage {
    /// To whom.
    pub to: Address,
    /// Who sends it.
    pub from: Sender,
    /// What it says.
    pub content: Content,
    /// Where receipts go.
    pub status_callback: Option<String>,
    /// How long it may wait before it is given up, seconds.
    pub validity_s: Option<u32>,
}

impl CreateMessage {
    /// The form.
    ///
    /// # Errors
    /// Names the first field Twilio would refuse.
    pub fn fields(&self) -> Result<Fields, Unfit> {
        if !is_e164(&self.to.number) {
            return Err(Unfit::new("To", "must be an international number such as +14155550100"));
        }
        let mut fields = vec![field("To", &self.to.to_text())];
        match &self.from {
            Sender::Number(number) => {
                // Short codes and names send too.
                if number.is_empty() || number.chars().any(|c| c.is_control() || c == ':') {
                    return Err(Unfit::new("From", "must be a number of the account"));
                }
                let from = Address { channel: self.to.channel, number: number.clone() };
                fields.push(field("From", &from.to_text()));
            }
            Sender::Service(sid) => fields.push(field("MessagingServiceSid", sid)),
        }
        match &self.content {
            Content::Free { text, media } => {
                if text.trim().is_empty() && media.is_empty() {
                    return Err(Unfit::new("Body", "is empty"));
                }
                if text.chars().count() > BODY_CHARS_MAX {
                    return Err(Unfit::new("Body", "is longer than 1600 characters"));
                }
                if media.len() > MEDIA_MAX {
                    return Err(Unfit::new("MediaUrl", "has more than 10 entries"));
                }
                if !text.is_empty() {
                    fields.push(field("Body", text));
                }
                for url in media {
                    fields.push(field("MediaUrl", web(url, "MediaUrl")?));
                }
            }
            Content::Template { content_sid, variables } => {
                fields.push(field("ContentSid", content_sid));
                if !variables.is_empty() {
                    fields.push(field("ContentVariables", &serde_json::Value::Object(variables.clone()).to_string()));
                }
            }
        }
        if let Some(url) = &self.status_callback {
            fields.push(field("StatusCallback", web(url, "StatusCallback")?));
        }
        if let Some(seconds) = self.validity_s {
            if !(1..=VALIDITY_S_MAX).contains(&seconds) {
                return Err(Unfit::new("ValidityPeriod", "must be 1 to 36000 seconds"));
            }
            fields.push(field("ValidityPeriod", &seconds.to_string()));
        }
        Ok(fields)
    }
}

/// A long text in messages of at most [`BODY_CHARS_MAX`] characters, cut at the end of a sentence, else of a word; at most [`PARTS_MAX`].
pub fn parts(text: &str) -> Vec<String> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = rest.char_indices().nth(BODY_CHARS_MAX).map_or(rest.len(), |(at, _)| at);
        if end == rest.len() {
            parts.push(rest.to_owned());
            break;
        }
        if parts.len() + 1 == PARTS_MAX {
            let end = rest.char_indices().nth(BODY_CHARS_MAX - 1).map_or(rest.len(), |(at, _)| at);
            parts.push(format!("{}…", rest[..end].trim_end()));
            break;
        }
        let head = &rest[..end];
        // A cut in the first half would make a short message without need.
        let late = |at: &usize| *at > end / 2;
        let sentence = head.rmatch_indices(['.', '!', '?', '\n']).map(|(at, mark)| at + mark.len()).find(late);
        let word = head.rfind(char::is_whitespace).filter(late);
        let cut = sentence.or(word).unwrap_or(end);
        parts.push(rest[..cut].trim_end().to_owned());
        rest = rest[cut..].trim_start();
    }
    parts
}

/// How many segments a carrier makes of a text, which is what it charges for: 160 characters of GSM 03.38 or 70 of UCS-2 in one, 153 or 67
/// each in several.
pub fn segments(text: &str, channel: Channel) -> usize {
    if channel == Channel::Whatsapp {
        return 1;
    }
    let widths: Option<usize> = text.chars().map(gsm_width).sum();
    let (units, one, each) = match widths {
        Some(units) => (units, 160, 153),
        None => (text.encode_utf16().count(), 70, 67),
    };
    if units <= one { 1 } else { units.div_ceil(each) }
}

/// Septets of a character in GSM 03.38; `None` when it is not in it.
fn gsm_width(c: char) -> Option<usize> {
    const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";
    const EXTENDED: &str = "\u{c}^{}\\[~]|€";
    if c.is_ascii_alphanumeric() || BASIC.contains(c) {
        Some(1)
    } else if EXTENDED.contains(c) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(content: Content) -> CreateMessage {
        CreateMessage {
            to: Address::read("whatsapp:+14155550111"),
            from: Sender::Number("+14155550100".into()),
            content,
            status_callback: Some("https://h/status".into()),
            validity_s: None,
        }
    }

    fn free(text: &str) -> Content {
        Content::Free { text: text.into(), media: vec![] }
    }

    #[test]
    fn both_ends_of_a_whatsapp_message_carry_the_channel() {
        let fields = message(free("Hi")).fields().expect("fits");
        let text: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text,
            ["To=whatsapp:+14155550111", "From=whatsapp:+14155550100", "Body=Hi", "StatusCallback=https://h/status"]
        );
        let mms = Content::Free { text: String::new(), media: vec!["https://h/a".into(), "https://h/b".into()] };
        let fields = message(mms).fields().expect("a picture needs no words");
        assert_eq!(fields[2..4], [field("MediaUrl", "https://h/a"), field("MediaUrl", "https://h/b")]);
        let template = Content::Template {
            content_sid: "HX1".into(),
            variables: [("1".to_owned(), "Jo".into())].into_iter().collect(),
        };
        let fields = message(template).fields().expect("fits");
        assert_eq!(fields[3], field("ContentVariables", r#"{"1":"Jo"}"#));
    }

    #[test]
    fn what_twilio_would_refuse_is_refused_before_it_is_sent() {
        let refused = |message: CreateMessage| message.fields().expect_err("unfit").field;
        assert_eq!(refused(message(free("  "))), "Body");
        assert_eq!(refused(message(free(&"é".repeat(1601)))), "Body");
        assert_eq!(
            refused(message(Content::Free { text: String::new(), media: vec!["https://h/a".into(); 11] })),
            "MediaUrl"
        );
        assert_eq!(
            refused(message(Content::Free { text: String::new(), media: vec!["file:///etc/passwd".into()] })),
            "MediaUrl"
        );
        assert_eq!(refused(CreateMessage { to: Address::read("12345"), ..message(free("x")) }), "To");
        assert_eq!(refused(CreateMessage { validity_s: Some(36_001), ..message(free("x")) }), "ValidityPeriod");
    }

    #[test]
    fn long_texts_are_cut_at_sentences() {
        let text = "This is a sentence of some length. ".repeat(100);
        let cut = parts(&text);
        assert_eq!(cut.len(), 3);
        assert!(cut.iter().all(|part| part.ends_with('.')), "{cut:?}");
        assert_eq!(parts(&"x".repeat(20_000)).len(), PARTS_MAX);
        assert!(parts(&"x".repeat(20_000))[4].ends_with('…'));
        assert!(parts("  ").is_empty());
    }

    #[test]
    fn segments_are_counted_as_carriers_count_them() {
        for (text, expected) in [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("ё".repeat(70), 1),
            ("ё".repeat(71), 2),
            ("😀".repeat(35), 1),
            ("😀".repeat(36), 2),
            (String::new(), 1),
        ] {
            assert_eq!(segments(&text, Channel::Sms), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_part_fits_and_no_word_is_lost(words in proptest::collection::vec("[a-zé.!?]{1,30}", 0..200)) {
            let text = words.join(" ");
            let cut = parts(&text);
            prop_assert!(cut.iter().all(|part| !part.is_empty() && part.chars().count() <= BODY_CHARS_MAX));
            if cut.len() < PARTS_MAX {
                let squeezed = |text: &str| text.split_whitespace().collect::<String>();
                prop_assert_eq!(squeezed(&cut.concat()), squeezed(&text));
            }
        }
    }
}
