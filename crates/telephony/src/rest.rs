//! Calls to a provider's REST interface as plain data: what to send, and what an answer means. Sending is the caller's.

use std::fmt;

use jiff::fmt::rfc2822::DateTimeParser;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Fault, Unfit};

/// The longest answer that is read, bytes: a page of 1,000 calls of 4 KB. The caller stops reading there.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest pause a provider may ask for, ms. A longer one is a mistake, and waiting on would look like standing still.
pub const RETRY_AFTER_MS_MAX: u64 = 3_600_000;
/// How much of a provider's explanation is kept, characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// As it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Whether a request may be sent again when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It asks, or it sets what is then set: twice is as good as once.
    Safe,
    /// It makes a telephone ring or a message arrive: a second time is a second time.
    OnceOnly,
}

/// What is sent along.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Empty,
    /// `application/json`
    Json(String),
    /// `application/x-www-form-urlencoded`
    Form(String),
    /// `audio/wav`
    Wav(Vec<u8>),
}

/// A request as plain data. `Debug` shows neither credentials nor body.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query below the provider's base address, percent-encoded.
    pub path: String,
    /// Headers, the content type among them.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Body,
    /// What may be done when no answer comes.
    pub repeat: Repeat,
}

impl Request {
    pub(crate) fn new(method: Method, path: String, authorization: (&'static str, String), repeat: Repeat) -> Self {
        let headers = vec![authorization, ("accept", "application/json".to_owned())];
        Self { method, path, headers, body: Body::Empty, repeat }
    }

    pub(crate) fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        // Our own types have text keys and finite numbers, so that they can always be written.
        let text = serde_json::to_string(body).expect("own types are JSON");
        self.headers.push(("content-type", "application/json".to_owned()));
        self.body = Body::Json(text);
        self
    }

    pub(crate) fn form(mut self, fields: &[(String, String)]) -> Self {
        self.headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
        self.body = Body::Form(encode_form(fields));
        self
    }

    pub(crate) fn wav(mut self, file: Vec<u8>) -> Self {
        self.headers.push(("content-type", "audio/wav".to_owned()));
        self.body = Body::Wav(file);
        self
    }

    /// The body's bytes.
    pub fn body_bytes(&self) -> &[u8] {
        match &self.body {
            Body::Empty => &[],
            Body::Json(text) | Body::Form(text) => text.as_bytes(),
            Body::Wav(bytes) => bytes,
        }
    }

    /// What it means when no answer came: `sent` says whether the request may have reached the provider.
    pub fn unanswered(&self, sent: bool) -> Fault {
        match (self.repeat, sent) {
            (Repeat::OnceOnly, true) => Fault::OutcomeUnknown { status: None },
            (Repeat::OnceOnly, false) | (Repeat::Safe, _) => Fault::Unavailable { status: None },
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A path may hold a number; what stands before the query and the last segment tells which call it is.
        f.debug_struct("Request").field("method", &self.method).field("repeat", &self.repeat).finish_non_exhaustive()
    }
}

/// An answer as it came.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// The header `Retry-After`, if there was one.
    pub retry_after: Option<&'a str>,
    /// The body, at most [`ANSWER_BYTES_MAX`].
    pub body: &'a [u8],
    /// Wall clock, Unix milliseconds: `Retry-After` may be a date.
    pub now_ms: i64,
}

impl<'a> Answer<'a> {
    /// The answer's body as a type, or what went wrong.
    ///
    /// # Errors
    /// See [`Fault`]. A success that cannot be read leaves a request of kind [`Repeat::OnceOnly`] with an unknown outcome.
    pub fn read<T: DeserializeOwned>(&self, repeat: Repeat) -> Result<T, Fault> {
        self.done(repeat)?;
        serde_json::from_slice(self.body).map_err(|_| match repeat {
            Repeat::OnceOnly => Fault::OutcomeUnknown { status: Some(self.status) },
            Repeat::Safe => Fault::Unreadable,
        })
    }

    /// The answer's body as it is.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn bytes(&self, repeat: Repeat) -> Result<&'a [u8], Fault> {
        self.done(repeat).map(|()| self.body)
    }

    /// Whether it succeeded, whatever the body says.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn done(&self, repeat: Repeat) -> Result<(), Fault> {
        match self.status {
            200..=299 => Ok(()),
            401 | 403 => Err(Fault::Credentials),
            402 => Err(Fault::Payment),
            404 | 410 => Err(Fault::NotFound),
            429 => Err(Fault::RateLimited { retry_after_ms: self.retry_after_ms() }),
            // 408: the server gave up reading, or a proxy gave up waiting for it; which of the two is not said.
            408 | 500..=599 => Err(match repeat {
                Repeat::OnceOnly => Fault::OutcomeUnknown { status: Some(self.status) },
                Repeat::Safe => Fault::Unavailable { status: Some(self.status) },
            }),
            _ => Err(self.refused()),
        }
    }

    /// The pause asked for: seconds or a date; at most [`RETRY_AFTER_MS_MAX`].
    fn retry_after_ms(&self) -> Option<u64> {
        let text = self.retry_after?.trim();
        let pause_ms = match text.parse::<u64>() {
            Ok(seconds) => seconds.saturating_mul(1000),
            Err(_) => {
                let at = DateTimeParser::new().parse_timestamp(text).ok()?;
                u64::try_from(at.as_millisecond().saturating_sub(self.now_ms)).unwrap_or(0)
            }
        };
        Some(pause_ms.min(RETRY_AFTER_MS_MAX))
    }

    fn refused(&self) -> Fault {
        let body: Value = serde_json::from_slice(self.body).unwrap_or(Value::Null);
        // Twilio: code, message. Graph: error.code, error.message. Retell: status, message or error_message.
        let inner = body.get("error").filter(|error| error.is_object()).unwrap_or(&body);
        let message = ["message", "error_message", "detail", "error"]
            .iter()
            .find_map(|name| inner.get(*name).and_then(Value::as_str))
            .unwrap_or_default();
        Fault::Refused {
            status: self.status,
            code: inner.get("code").and_then(crate::json::whole),
            message: crate::json::clip(message, MESSAGE_CHARS_MAX),
        }
    }
}

/// One segment of a path: everything but unreserved characters is escaped, so that an id can never reach another path.
pub(crate) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            // A dot alone or two would walk up the path; inside a name they are as good escaped.
            _ => {
                let _ = write!(out, "%{byte:02X}"); // Writing to a string cannot fail.
            }
        }
        out
    })
}

/// A web address the provider shall fetch or post to.
pub(crate) fn web<'a>(url: &'a str, field: &'static str) -> Result<&'a str, Unfit> {
    let plain = url.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let schemed = url.starts_with("https://") || url.starts_with("http://");
    if plain && schemed { Ok(url) } else { Err(Unfit::new(field, "must be a web address")) }
}

/// A form or query in `application/x-www-form-urlencoded`.
pub(crate) fn encode_form<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        out.append_pair(name.as_ref(), value.as_ref());
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&'static str>, body: &'static str) -> Answer<'static> {
        Answer { status, retry_after, body: body.as_bytes(), now_ms: 1_700_000_000_000 }
    }

    #[test]
    fn each_status_says_what_can_be_done() {
        let rate = |ms| Fault::RateLimited { retry_after_ms: ms };
        let cases: Vec<(Answer<'_>, Repeat, Result<(), Fault>)> = vec![
            (answer(200, None, ""), Repeat::OnceOnly, Ok(())),
            (answer(204, None, ""), Repeat::Safe, Ok(())),
            (answer(401, None, ""), Repeat::Safe, Err(Fault::Credentials)),
            (answer(402, None, ""), Repeat::OnceOnly, Err(Fault::Payment)),
            (answer(404, None, r#"{"code":20404}"#), Repeat::Safe, Err(Fault::NotFound)),
            (answer(429, Some("7"), ""), Repeat::OnceOnly, Err(rate(Some(7000)))),
            (answer(429, Some("Tue, 14 Nov 2023 22:13:30 GMT"), ""), Repeat::OnceOnly, Err(rate(Some(10_000)))),
            (answer(429, Some("Tue, 14 Nov 2023 22:13:00 GMT"), ""), Repeat::OnceOnly, Err(rate(Some(0)))),
            (answer(429, Some("99999999999999999999"), ""), Repeat::Safe, Err(rate(None))),
            (answer(429, Some("9999999"), ""), Repeat::Safe, Err(rate(Some(RETRY_AFTER_MS_MAX)))),
            (answer(429, None, ""), Repeat::Safe, Err(rate(None))),
            (answer(500, None, ""), Repeat::Safe, Err(Fault::Unavailable { status: Some(500) })),
            (answer(503, None, ""), Repeat::OnceOnly, Err(Fault::OutcomeUnknown { status: Some(503) })),
            (answer(408, None, ""), Repeat::OnceOnly, Err(Fault::OutcomeUnknown { status: Some(408) })),
        ];
        for (answer, repeat, expected) in cases {
            assert_eq!(answer.done(repeat), expected, "{} {:?}", answer.status, answer.retry_after);
        }
    }

    #[test]
    fn what_a_provider_writes_about_a_refusal_is_kept_short() {
        let cases = [
            (
                r#"{"code":21211,"message":"Invalid 'To' Phone Number","status":400}"#,
                Some(21211),
                "Invalid 'To' Phone Number",
            ),
            (r#"{"error":{"message":"Re-engagement message","code":131047}}"#, Some(131_047), "Re-engagement message"),
            (r#"{"status":"error","message":"bad agent"}"#, None, "bad agent"),
            ("<html>", None, ""),
        ];
        for (body, code, message) in cases {
            let expected = Fault::Refused { status: 400, code, message: message.into() };
            assert_eq!(answer(400, None, body).done(Repeat::Safe), Err(expected));
        }
        let long = format!(r#"{{"message":"{}"}}"#, "ä".repeat(5000));
        let Err(Fault::Refused { message, .. }) =
            (Answer { body: long.as_bytes(), ..answer(422, None, "") }).done(Repeat::Safe)
        else {
            panic!("refused")
        };
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn a_created_call_whose_answer_cannot_be_read_is_unknown_and_a_question_is_not() {
        let torn = answer(201, None, r#"{"sid":"CA"#);
        assert_eq!(torn.read::<Value>(Repeat::OnceOnly), Err(Fault::OutcomeUnknown { status: Some(201) }));
        assert_eq!(torn.read::<Value>(Repeat::Safe), Err(Fault::Unreadable));
    }

    #[test]
    fn a_request_without_an_answer_is_unknown_only_if_it_may_have_arrived() {
        let make = |repeat| Request::new(Method::Post, "/x".into(), ("authorization", "Bearer k".into()), repeat);
        assert_eq!(make(Repeat::OnceOnly).unanswered(true), Fault::OutcomeUnknown { status: None });
        assert_eq!(make(Repeat::OnceOnly).unanswered(false), Fault::Unavailable { status: None });
        assert_eq!(make(Repeat::Safe).unanswered(true), Fault::Unavailable { status: None });
        assert!(!make(Repeat::OnceOnly).unanswered(true).may_repeat());
    }

    #[test]
    fn an_id_cannot_leave_its_segment_and_debug_shows_no_secret() {
        assert_eq!(segment("+1415/../x?y#z%"), "%2B1415%2F%2E%2E%2Fx%3Fy%23z%25");
        let request =
            Request::new(Method::Get, "/+14155550100".into(), ("authorization", "Bearer k1".into()), Repeat::Safe);
        let shown = format!("{request:?}");
        assert!(!shown.contains("k1") && !shown.contains("4155550100"), "{shown}");
    }
}
