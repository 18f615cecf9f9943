//! What WhatsApp posts: messages people wrote and what became of ours. One delivery can hold many of both, for several numbers.

use serde_json::{Map, Value};

use crate::error::Malformed;
use crate::json::{clip, object, vocabulary, whole};

/// The longest text that is kept, characters: WhatsApp's own limit.
pub const TEXT_CHARS_MAX: usize = 4096;
/// The most messages and receipts taken out of one delivery. WhatsApp batches up to 1,000 changes.
pub const EVENTS_MAX: usize = 2000;

vocabulary! {
    /// What became of a message we sent.
    Status {
        /// WhatsApp has it.
        Sent = "sent",
        /// The telephone has it.
        Delivered = "delivered",
        /// It was read.
        Read = "read",
        /// It did not arrive.
        Failed = "failed",
    }
}

/// What a person sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Words, also those of a button.
    Text(String),
    /// Something to be fetched with the account's token.
    Media {
        /// `image`, `audio`, `video`, `document`, `sticker`.
        kind: String,
        /// Names it.
        media_id: String,
        /// Such as `audio/ogg; codecs=opus`.
        mime_type: Option<String>,
        /// What stands below it.
        caption: Option<String>,
    },
    /// A place.
    Location {
        /// Degrees north.
        latitude: String,
        /// Degrees east.
        longitude: String,
    },
    /// Something we do not read: a reaction, a contact, an order, a type that is new.
    Other(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A person wrote.
    Message {
        /// Which of our numbers, as WhatsApp names it.
        phone_number_id: String,
        /// The same id is the same message.
        id: String,
        /// E.164.
        from: String,
        /// When, Unix seconds.
        at_s: Option<i64>,
        /// How the person calls himself. Proves nothing.
        profile_name: Option<String>,
        /// The message this answers.
        reply_to: Option<String>,
        /// What.
        content: Content,
    },
    /// A receipt.
    Receipt {
        /// Which of our numbers, as WhatsApp names it.
        phone_number_id: String,
        /// The message.
        id: String,
        /// Where it stands.
        status: Status,
        /// When, Unix seconds.
        at_s: Option<i64>,
        /// Why it failed.
        error_code: Option<i64>,
        /// What was sent along to be given back ([`super::rest::referenced`]).
        reference: Option<String>,
    },
}

impl Event {
    /// The same key is the same event again.
    pub fn dedupe_key(&self) -> String {
        match self {
            Self::Message { id, .. } => id.clone(),
            Self::Receipt { id, status, .. } => format!("{id}:{status}"),
        }
    }
}

/// Reads a delivery whose signature was believed. Parts that cannot be read are passed over: the answer is 200 all the same, because WhatsApp
/// would send the whole again, and then not at all.
///
/// # Errors
/// When it is no object or about something else than WhatsApp.
pub fn read(body: &[u8]) -> Result<Vec<Event>, Malformed> {
    let delivery = object(body)?;
    if delivery.get("object").and_then(Value::as_str) != Some("whatsapp_business_account") {
        return Err(Malformed::Field("object"));
    }
    let mut events = Vec::new();
    for entry in array(&delivery, "entry") {
        for change in entry.get("changes").and_then(Value::as_array).into_iter().flatten() {
            let Some(value) = change.get("value").and_then(Value::as_object) else { continue };
            let number = value.get("metadata").and_then(|metadata| text(metadata, "phone_number_id"));
            let Some(phone_number_id) = number else { continue };
            let contacts = array(value, "contacts");
            events.extend(
                array(value, "messages").iter().filter_map(|message| read_message(&phone_number_id, contacts, message)),
            );
            events.extend(array(value, "statuses").iter().filter_map(|status| read_receipt(&phone_number_id, status)));
        }
    }
    events.truncate(EVENTS_MAX);
    Ok(events)
}

fn read_message(phone_number_id: &str, contacts: &[Value], message: &Value) -> Option<Event> {
    let digits = text(message, "from")?;
    let name = contacts.iter().find(|contact| text(contact, "wa_id").as_deref() == Some(&digits));
    Some(Event::Message {
        phone_number_id: phone_number_id.to_owned(),
        id: text(message, "id")?,
        from: format!("+{}", digits.trim_start_matches('+')),
        at_s: message.get("timestamp").and_then(whole),
        profile_name: name.and_then(|contact| contact.get("profile")).and_then(|profile| text(profile, "name")),
        reply_to: message.get("context").and_then(|context| text(context, "id")),
        content: read_content(message)?,
    })
}

fn read_content(message: &Value) -> Option<Content> {
    let kind = text(message, "type")?;
    let part = message.get(&kind).unwrap_or(&Value::Null);
    let words = |text: Option<String>| text.map(|text| Content::Text(clip(&text, TEXT_CHARS_MAX)));
    let content = match kind.as_str() {
        "text" => words(text(part, "body")),
        "button" => words(text(part, "text")),
        "interactive" => {
            let reply = part.get("button_reply").or_else(|| part.get("list_reply"));
            words(reply.and_then(|reply| text(reply, "title")))
        }
        "image" | "audio" | "video" | "document" | "sticker" => text(part, "id").map(|media_id| Content::Media {
            kind: kind.clone(),
            media_id,
            mime_type: text(part, "mime_type"),
            caption: text(part, "caption").map(|caption| clip(&caption, TEXT_CHARS_MAX)),
        }),
        "location" => {
            let degree = |name| part.get(name).and_then(Value::as_f64).map(|degree| degree.to_string());
            degree("latitude")
                .zip(degree("longitude"))
                .map(|(latitude, longitude)| Content::Location { latitude, longitude })
        }
        _ => None,
    };
    Some(content.unwrap_or_else(|| Content::Other(clip(&kind, 64))))
}

fn read_receipt(phone_number_id: &str, status: &Value) -> Option<Event> {
    let error = status.get("errors").and_then(Value::as_array).and_then(|errors| errors.first());
    Some(Event::Receipt {
        phone_number_id: phone_number_id.to_owned(),
        id: text(status, "id")?,
        status: Status::from(text(status, "status")?.as_str()),
        at_s: status.get("timestamp").and_then(whole),
        error_code: error.and_then(|error| error.get("code")).and_then(whole),
        reference: text(status, "biz_opaque_callback_data"),
    })
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn array<'a>(map: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    map.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arbitrary::{bent, mutated};

    const DELIVERY: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{
        "messaging_product":"whatsapp","metadata":{"display_phone_number":"15550100","phone_number_id":"P1"},
        "contacts":[{"profile":{"name":"Jo"},"wa_id":"14155550100"}],
        "messages":[{"from":"14155550100","id":"wamid.1","timestamp":"1700000000","type":"text","text":{"body":"Hi"},"context":{"id":"wamid.0"}},
          {"from":"14155550100","id":"wamid.2","timestamp":"1700000001","type":"image","image":{"id":"M1","mime_type":"image/jpeg","caption":"leak"}},
          {"from":"14155550100","id":"wamid.3","type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"b1","title":"Yes"}}},
          {"from":"14155550100","id":"wamid.4","type":"location","location":{"latitude":52.5,"longitude":13.25}},
          {"from":"14155550100","id":"wamid.5","type":"reaction","reaction":{"emoji":"x"}},
          {"id":"wamid.6","type":"text"}],
        "statuses":[{"id":"wamid.9","status":"failed","timestamp":"1700000002","recipient_id":"14155550100","errors":[{"code":131047,"title":"Re-engagement message"}]}]}}]}]}"#;

    #[test]
    fn messages_and_receipts_are_taken_out_of_a_delivery() {
        let events = read(DELIVERY.as_bytes()).expect("a delivery");
        let Event::Message { from, at_s, profile_name, reply_to, content, .. } = &events[0] else {
            panic!("a message")
        };
        assert_eq!(
            (from.as_str(), *at_s, profile_name.as_deref(), reply_to.as_deref()),
            ("+14155550100", Some(1_700_000_000), Some("Jo"), Some("wamid.0"))
        );
        assert_eq!(content, &Content::Text("Hi".into()));
        let contents: Vec<&Content> = events
            .iter()
            .filter_map(|event| match event {
                Event::Message { content, .. } => Some(content),
                Event::Receipt { .. } => None,
            })
            .collect();
        assert!(
            matches!(contents[1], Content::Media { media_id, caption: Some(caption), .. } if media_id == "M1" && caption == "leak")
        );
        assert_eq!(contents[2], &Content::Text("Yes".into()));
        assert_eq!(contents[3], &Content::Location { latitude: "52.5".into(), longitude: "13.25".into() });
        assert_eq!(contents[4], &Content::Other("reaction".into()));
        assert_eq!(contents.len(), 5, "a message without a sender is passed over");
        let Event::Receipt { status, error_code, .. } = &events[5] else { panic!("a receipt") };
        assert_eq!((status, *error_code), (&Status::Failed, Some(131_047)));
        assert_eq!((events[0].dedupe_key().as_str(), events[5].dedupe_key().as_str()), ("wamid.1", "wamid.9:failed"));
    }

    #[test]
    fn something_else_is_refused() {
        assert_eq!(read(br#"{"object":"page"}"#), Err(Malformed::Field("object")));
        assert_eq!(read(b"[]"), Err(Malformed::NotJson));
        assert_eq!(read(br#"{"object":"whatsapp_business_account"}"#), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn any_body_is_answered(text in prop_oneof![mutated(&[DELIVERY]), bent(&[DELIVERY]), "\\PC{0,80}"]) {
            if let Ok(events) = read(text.as_bytes()) {
                prop_assert!(events.len() <= EVENTS_MAX);
            }
        }
    }
}
