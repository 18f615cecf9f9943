//! WhatsApp's Graph interface as requests and answers, below `https://graph.facebook.com`.

use std::fmt;

use colloquy_domain::check::is_e164;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Fault, Unfit};
use crate::rest::{Answer, Body, Method, Repeat, Request, segment, web};

/// Where it is.
pub const BASE_URL: &str = "https://graph.facebook.com";
/// The version that is asked for; Meta keeps each for about two years.
pub const VERSION: &str = "v24.0";
/// The longest text, characters.
pub const BODY_CHARS_MAX: usize = 4096;
/// The longest words below a picture, characters.
pub const CAPTION_CHARS_MAX: usize = 1024;
/// Meta's number for "more than 24 hours since the person wrote".
pub const CODE_OUTSIDE_WINDOW: i64 = 131_047;
/// Meta's number for "the token is not valid (any more)".
pub const CODE_TOKEN: i64 = 190;
/// Meta's numbers for "too often": the application, the account, this number, this pair.
pub const CODES_RATE: [i64; 4] = [4, 80_007, 130_429, 131_056];

/// Makes requests for one number.
#[derive(Clone)]
pub struct Whatsapp {
    phone_number_id: String,
    token: SecretString,
}

impl fmt::Debug for Whatsapp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whatsapp").field("phone_number_id", &self.phone_number_id).finish_non_exhaustive()
    }
}

impl Whatsapp {
    /// For the number WhatsApp names so, with an access token.
    pub fn new(phone_number_id: &str, token: SecretString) -> Self {
        Self { phone_number_id: phone_number_id.to_owned(), token }
    }

    /// Sends words. Only within the 24-hour window. Once only.
    ///
    /// # Errors
    /// When WhatsApp would refuse it.
    pub fn send_text(&self, to: &str, text: &str, reply_to: Option<&str>) -> Result<Request, Unfit> {
        if text.trim().is_empty() {
            return Err(Unfit::new("text.body", "is empty"));
        }
        if text.chars().count() > BODY_CHARS_MAX {
            return Err(Unfit::new("text.body", "is longer than 4096 characters"));
        }
        let mut body = self.message(to, "text", json!({ "body": text, "preview_url": false }))?;
        if let Some(id) = reply_to {
            body["context"] = json!({ "message_id": id });
        }
        Ok(self.send(&body))
    }

    /// Sends an approved template; at any time. Once only.
    ///
    /// # Errors
    /// When WhatsApp would refuse it.
    pub fn send_template(&self, to: &str, name: &str, language: &str, values: &[&str]) -> Result<Request, Unfit> {
        let mut template = json!({ "name": name, "language": { "code": language } });
        if !values.is_empty() {
            let parameters: Vec<Value> = values.iter().map(|text| json!({ "type": "text", "text": text })).collect();
            template["components"] = json!([{ "type": "body", "parameters": parameters }]);
        }
        Ok(self.send(&self.message(to, "template", template)?))
    }

    /// Sends something WhatsApp fetches itself. `kind` "image", "audio", "video" or "document", which alone is shown under a file name. Once only.
    ///
    /// # Errors
    /// When WhatsApp would refuse it.
    pub fn send_media(
        &self,
        to: &str,
        kind: &str,
        link: &str,
        caption: Option<&str>,
        filename: Option<&str>,
    ) -> Result<Request, Unfit> {
        if !["image", "audio", "video", "document"].contains(&kind) {
            return Err(Unfit::new("type", "must be image, audio, video or document"));
        }
        let mut media = json!({ "link": web(link, "link")? });
        if caption.is_some_and(|caption| caption.chars().count() > CAPTION_CHARS_MAX) {
            return Err(Unfit::new("caption", "is longer than 1024 characters"));
        }
        if let Some(caption) = caption.filter(|_| kind != "audio") {
            media["caption"] = caption.into();
        }
        if let Some(filename) = filename.filter(|_| kind == "document") {
            media["filename"] = filename.into();
        }
        Ok(self.send(&self.message(to, kind, media)?))
    }

    /// Shows the person that the message was read.
    pub fn mark_read(&self, message_id: &str) -> Request {
        let body = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": message_id });
        self.request(Method::Post, format!("/{VERSION}/{}/messages", segment(&self.phone_number_id)), Repeat::Safe)
            .json(&body)
    }

    /// Asks where a medium can be fetched; the address is good for five minutes and takes the same token.
    pub fn media(&self, media_id: &str) -> Request {
        self.request(Method::Get, format!("/{VERSION}/{}", segment(media_id)), Repeat::Safe)
    }

    /// Reads the number: tells whether the token is good.
    pub fn number(&self) -> Request {
        self.request(Method::Get, format!("/{VERSION}/{}", segment(&self.phone_number_id)), Repeat::Safe)
    }

    fn message(&self, to: &str, kind: &str, part: Value) -> Result<Value, Unfit> {
        if !is_e164(to) {
            return Err(Unfit::new("to", "must be an international number such as +14155550100"));
        }
        // WhatsApp writes numbers without the plus.
        let mut body =
            json!({ "messaging_product": "whatsapp", "recipient_type": "individual", "to": &to[1..], "type": kind });
        body[kind] = part;
        Ok(body)
    }

    fn send(&self, body: &Value) -> Request {
        self.request(Method::Post, format!("/{VERSION}/{}/messages", segment(&self.phone_number_id)), Repeat::OnceOnly)
            .json(body)
    }

    fn request(&self, method: Method, path: String, repeat: Repeat) -> Request {
        Request::new(method, path, ("authorization", format!("Bearer {}", self.token.expose_secret())), repeat)
    }
}

/// The same sending with a reference of ours that its receipts give back: they name the message otherwise only by Meta's id, which is not known
/// while the answer to the sending is missing.
pub fn referenced(mut request: Request, reference: &str) -> Request {
    if let Body::Json(text) = &request.body
        && let Ok(Value::Object(mut body)) = serde_json::from_str::<Value>(text)
    {
        body.insert("biz_opaque_callback_data".to_owned(), reference.into());
        request.body = Body::Json(Value::Object(body).to_string());
    }
    request
}

/// Where a medium can be fetched, out of the answer to [`Whatsapp::media`].
///
/// # Errors
/// See [`Fault`].
pub fn read_media(answer: &Answer<'_>) -> Result<String, Fault> {
    #[derive(Deserialize)]
    struct Medium {
        url: String,
    }
    answer.read::<Medium>(Repeat::Safe).map(|medium| medium.url)
}

/// The id of a message out of the answer to its sending.
///
/// # Errors
/// See [`Fault`]. What Graph answers with 400 though it means the token or the rate is told apart by its own number.
pub fn read_sent(answer: &Answer<'_>) -> Result<String, Fault> {
    #[derive(Deserialize)]
    struct Sent {
        messages: Vec<Id>,
    }
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let sent: Sent = match answer.read(Repeat::OnceOnly) {
        Err(Fault::Refused { code: Some(CODE_TOKEN), .. }) => return Err(Fault::Credentials),
        Err(Fault::Refused { code: Some(code), .. }) if CODES_RATE.contains(&code) => {
            return Err(Fault::RateLimited { retry_after_ms: None });
        }
        other => other?,
    };
    sent.messages
        .into_iter()
        .next()
        .map(|message| message.id)
        .ok_or(Fault::OutcomeUnknown { status: Some(answer.status) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::Body;

    fn whatsapp() -> Whatsapp {
        Whatsapp::new("P1", "tok".into())
    }

    fn body(request: &Request) -> Value {
        match &request.body {
            Body::Json(text) => serde_json::from_str(text).expect("JSON"),
            Body::Form(_) | Body::Wav(_) | Body::Empty => panic!("JSON expected"),
        }
    }

    fn answer(status: u16, body: &'static str) -> Answer<'static> {
        Answer { status, retry_after: None, body: body.as_bytes(), now_ms: 0 }
    }

    #[test]
    fn messages_are_written_as_documented() {
        let text = whatsapp().send_text("+14155550100", "Hi", None).expect("fits");
        assert_eq!((text.path.as_str(), text.repeat), ("/v24.0/P1/messages", Repeat::OnceOnly));
        assert_eq!(
            body(&text),
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "14155550100", "type": "text", "text": {"body": "Hi", "preview_url": false}})
        );
        let template = whatsapp().send_template("+14155550100", "reminder", "en_US", &["Jo"]).expect("fits");
        assert_eq!(
            body(&template)["template"],
            json!({"name": "reminder", "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": "Jo"}]}]})
        );
        let media = |kind, caption, name| whatsapp().send_media("+14155550100", kind, "https://h/a", caption, name);
        let image = media("image", Some("leak"), Some("a.jpg")).expect("fits");
        assert_eq!(
            body(&image),
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "14155550100", "type": "image", "image": {"link": "https://h/a", "caption": "leak"}})
        );
        assert_eq!(image.repeat, Repeat::OnceOnly);
        let document = media("document", None, Some("offer.pdf")).expect("fits");
        assert_eq!(body(&document)["document"], json!({"link": "https://h/a", "filename": "offer.pdf"}));
        let long = "x".repeat(1025);
        assert!(whatsapp().send_media("+14155550100", "image", "https://h/a", Some(&long), None).is_err());
        assert!(media("sticker", None, None).is_err());
        assert_eq!(body(&whatsapp().mark_read("wamid.1"))["status"], "read");
        assert!(whatsapp().send_text("911", "Hi", None).is_err());
        assert!(whatsapp().send_text("+14155550100", &"x".repeat(4097), None).is_err());
        assert!(whatsapp().send_media("+14155550100", "image", "ftp://h", None, None).is_err());
    }

    #[test]
    fn a_medium_is_asked_for_by_its_id() {
        assert_eq!(whatsapp().media("123").path, "/v24.0/123");
        let told =
            answer(200, r#"{"url":"https://h/m","mime_type":"image/jpeg","id":"123","messaging_product":"whatsapp"}"#);
        assert_eq!(read_media(&told).as_deref(), Ok("https://h/m"));
        assert!(read_media(&answer(404, "{}")).is_err());
    }

    #[test]
    fn answers_keep_their_meaning() {
        assert_eq!(
            read_sent(&answer(200, r#"{"messaging_product":"whatsapp","contacts":[],"messages":[{"id":"wamid.1"}]}"#))
                .as_deref(),
            Ok("wamid.1")
        );
        assert_eq!(read_sent(&answer(200, "{}")), Err(Fault::OutcomeUnknown { status: Some(200) }));
        assert_eq!(read_sent(&answer(400, r#"{"error":{"message":"expired","code":190}}"#)), Err(Fault::Credentials));
        assert_eq!(
            read_sent(&answer(400, r#"{"error":{"message":"slow down","code":130429}}"#)),
            Err(Fault::RateLimited { retry_after_ms: None })
        );
        let late = read_sent(&answer(400, r#"{"error":{"message":"Re-engagement message","code":131047}}"#));
        assert!(matches!(late, Err(Fault::Refused { code: Some(CODE_OUTSIDE_WINDOW), .. })));
        assert_eq!(read_sent(&answer(500, "")), Err(Fault::OutcomeUnknown { status: Some(500) }));
    }
}
