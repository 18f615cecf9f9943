//! Messages that come in, SMS and WhatsApp.

use super::form::Form;
use super::keywords::Channel;
use crate::error::Malformed;
use crate::json::clip;

/// The longest text that is kept, characters. Carriers join at most 1,600; WhatsApp takes 4,096.
pub const TEXT_CHARS_MAX: usize = 4096;
/// The most attachments of a message.
pub const MEDIA_MAX: i64 = 10;
/// What stands before a number in WhatsApp's addresses.
const WHATSAPP: &str = "whatsapp:";

/// One end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Which channel.
    pub channel: Channel,
    /// E.164, a short code, or a name.
    pub number: String,
}

impl Address {
    /// Reads `+14155550100` or `whatsapp:+14155550100`.
    pub fn read(text: &str) -> Self {
        match text.strip_prefix(WHATSAPP) {
            Some(number) => Self { channel: Channel::Whatsapp, number: number.to_owned() },
            None => Self { channel: Channel::Sms, number: text.to_owned() },
        }
    }

    /// As Twilio writes it.
    pub fn to_text(&self) -> String {
        match self.channel {
            Channel::Sms => self.number.clone(),
            Channel::Whatsapp => format!("{WHATSAPP}{}", self.number),
        }
    }
}

/// Something attached to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where it is; fetching it may take the account's credentials.
    pub url: String,
    /// Such as `image/jpeg`.
    pub content_type: String,
}

/// A message that came in.
#[derive(Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// `SM…` or `MM…`. The same id is the same message.
    pub message_sid: String,
    /// The account.
    pub account_sid: String,
    /// Who writes.
    pub from: Address,
    /// To which of our numbers.
    pub to: Address,
    /// What; empty for a picture alone.
    pub text: String,
    /// What is attached.
    pub media: Vec<Media>,
    /// WhatsApp: how the sender calls himself. Proves nothing.
    pub profile_name: Option<String>,
    /// WhatsApp: the button that was pressed, as we named it.
    pub button_payload: Option<String>,
    /// Into how many segments it was cut.
    pub segments: Option<i64>,
}

impl std::fmt::Debug for IncomingMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IncomingMessage").field("message_sid", &self.message_sid).finish_non_exhaustive()
    }
}

impl IncomingMessage {
    /// Reads it.
    ///
    /// # Errors
    /// When it has no id, no account, no sender or no receiver.
    pub fn read(form: &Form) -> Result<Self, Malformed> {
        let count = form.number("NumMedia").unwrap_or(0).clamp(0, MEDIA_MAX);
        let media = (0..count)
            .filter_map(|n| {
                let url = form.get(&format!("MediaUrl{n}"))?.to_owned();
                let content_type =
                    form.get(&format!("MediaContentType{n}")).unwrap_or("application/octet-stream").to_owned();
                Some(Media { url, content_type })
            })
            .collect();
        let button = form.get("ButtonText");
        Ok(Self {
            message_sid: form.need("MessageSid")?.to_owned(),
            account_sid: form.need("AccountSid")?.to_owned(),
            from: Address::read(form.need("From")?),
            to: Address::read(form.need("To")?),
            text: clip(form.get("Body").or(button).unwrap_or_default(), TEXT_CHARS_MAX),
            media,
            profile_name: form.get("ProfileName").map(str::to_owned),
            button_payload: form.get("ButtonPayload").map(str::to_owned),
            segments: form.number("NumSegments"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMS: &str = "MessageSid=SM1&AccountSid=AC1&MessagingServiceSid=&From=%2B14155550100&To=%2B14155550111&Body=Hi+there&NumMedia=2&NumSegments=1\
        &MediaUrl0=https%3A%2F%2Fh%2Fa&MediaContentType0=image%2Fjpeg&MediaUrl1=https%3A%2F%2Fh%2Fb";
    const WHATSAPP_MESSAGE: &str = "MessageSid=SM2&AccountSid=AC1&From=whatsapp%3A%2B14155550100&To=whatsapp%3A%2B14155550111&Body=&ButtonText=Yes&ButtonPayload=confirm_1\
        &ProfileName=Jo&WaId=14155550100&NumMedia=0";

    fn read(text: &str) -> Result<IncomingMessage, Malformed> {
        IncomingMessage::read(&Form::read(text.as_bytes()).expect("a form"))
    }

    #[test]
    fn a_text_message_is_read_with_its_pictures() {
        let message = read(SMS).expect("a message");
        assert_eq!(
            (message.from.channel, message.from.number.as_str(), message.text.as_str()),
            (Channel::Sms, "+14155550100", "Hi there")
        );
        assert_eq!(message.media[0], Media { url: "https://h/a".into(), content_type: "image/jpeg".into() });
        assert_eq!(message.media[1].content_type, "application/octet-stream");
        assert_eq!(message.from.to_text(), "+14155550100");
    }

    #[test]
    fn a_whatsapp_message_is_told_by_its_address_and_a_button_speaks() {
        let message = read(WHATSAPP_MESSAGE).expect("a message");
        assert_eq!((message.from.channel, message.to.to_text().as_str()), (Channel::Whatsapp, "whatsapp:+14155550111"));
        assert_eq!((message.text.as_str(), message.button_payload.as_deref()), ("Yes", Some("confirm_1")));
    }

    #[test]
    fn what_nobody_sent_or_nobody_gets_is_refused() {
        for (text, missing) in [
            ("AccountSid=AC1&From=a&To=b", "MessageSid"),
            ("MessageSid=SM1&AccountSid=AC1&To=b", "From"),
            ("MessageSid=SM1&AccountSid=AC1&From=a", "To"),
        ] {
            assert_eq!(read(text).expect_err("refused"), Malformed::Field(missing));
        }
    }

    proptest! {
        #[test]
        fn any_form_is_answered(text in crate::arbitrary::mutated(&[SMS, WHATSAPP_MESSAGE]), media in any::<i64>()) {
            let form = Form::read(format!("{text}&NumMedia={media}").as_bytes()).expect("a form");
            if let Ok(message) = IncomingMessage::read(&form) {
                prop_assert!(message.media.len() <= 10 && message.text.chars().count() <= TEXT_CHARS_MAX);
            }
        }
    }
}
