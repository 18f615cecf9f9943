//! Tokens for browsers, and calls that come over SIP, below `https://api.openai.com`.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::commands::Session;
use crate::error::{Fault, Unfit};
use crate::rest::{Answer, Method, Repeat, Request, segment};

/// Where it is.
pub const BASE_URL: &str = "https://api.openai.com";
/// How long a token may open sessions, seconds.
pub const TOKEN_S: std::ops::RangeInclusive<u32> = 10..=7200;

/// A token for one browser. It can open several sessions until it ends, and a session outlives it; so it is made short and for one person.
/// `Debug` is not derived: it is a key.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct BrowserToken {
    /// `ek_…`
    pub value: String,
    /// Unix seconds.
    pub expires_at: i64,
}

/// Asks for a token. `seconds` is how long it may open sessions.
///
/// # Errors
/// When the time is outside of what OpenAI takes.
pub fn create_token(key: &SecretString, session: &Session, seconds: u32) -> Result<Request, Unfit> {
    if !TOKEN_S.contains(&seconds) {
        return Err(Unfit::new("expires_after.seconds", "must be 10 to 7200"));
    }
    let body =
        json!({ "expires_after": { "anchor": "created_at", "seconds": seconds }, "session": session.to_value() });
    Ok(request(key, "/v1/realtime/client_secrets".into()).json(&body))
}

/// A token out of the answer.
///
/// # Errors
/// See [`Fault`].
pub fn read_token(answer: &Answer<'_>) -> Result<BrowserToken, Fault> {
    answer.read(Repeat::Safe)
}

/// Takes a call that came over SIP.
pub fn accept_call(key: &SecretString, call_id: &str, session: &Session) -> Request {
    request(key, format!("/v1/realtime/calls/{}/accept", segment(call_id))).json(&session.to_value())
}

/// Does not take it, with a SIP status such as 486.
pub fn reject_call(key: &SecretString, call_id: &str, status_code: u16) -> Request {
    request(key, format!("/v1/realtime/calls/{}/reject", segment(call_id))).json(&json!({ "status_code": status_code }))
}

/// Sends it on to `tel:` or `sip:`.
///
/// # Errors
/// When the target is neither.
pub fn refer_call(key: &SecretString, call_id: &str, target_uri: &str) -> Result<Request, Unfit> {
    if !["tel:", "sip:", "sips:"].iter().any(|scheme| target_uri.starts_with(scheme)) {
        return Err(Unfit::new("target_uri", "must begin with tel: or sip:"));
    }
    Ok(request(key, format!("/v1/realtime/calls/{}/refer", segment(call_id)))
        .json(&json!({ "target_uri": target_uri })))
}

/// Ends it.
pub fn hang_up_call(key: &SecretString, call_id: &str) -> Request {
    request(key, format!("/v1/realtime/calls/{}/hangup", segment(call_id)))
}

fn request(key: &SecretString, path: String) -> Request {
    // None of these rings anywhere: a token nobody uses ends by itself, and a call is taken or ended once.
    Request::new(Method::Post, path, ("authorization", format!("Bearer {}", key.expose_secret())), Repeat::Safe)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rest::Body;

    #[test]
    fn a_token_is_asked_for_a_bounded_time_and_read() {
        let key: SecretString = "sk-1".into();
        let request = create_token(&key, &Session { model: Some("gpt-realtime".into()), ..Session::default() }, 60)
            .expect("fits");
        assert_eq!(request.path, "/v1/realtime/client_secrets");
        let Body::Json(body) = &request.body else { panic!("JSON") };
        assert_eq!(
            serde_json::from_str::<Value>(body).expect("JSON"),
            json!({"expires_after": {"anchor": "created_at", "seconds": 60}, "session": {"type": "realtime", "model": "gpt-realtime", "output_modalities": ["audio"]}})
        );
        for seconds in [9, 7201] {
            assert!(create_token(&key, &Session::default(), seconds).is_err(), "{seconds}");
        }
        let answer =
            |status, body: &'static str| Answer { status, retry_after: None, body: body.as_bytes(), now_ms: 0 };
        let token = read_token(&answer(200, r#"{"value":"ek_1","expires_at":1700000060,"session":{}}"#))
            .ok()
            .map(|token| token.value);
        assert_eq!(token.as_deref(), Some("ek_1"));
        assert_eq!(read_token(&answer(401, "{}")).err(), Some(Fault::Credentials));
    }

    #[test]
    fn calls_over_sip_are_taken_sent_on_and_ended() {
        let key: SecretString = "sk-1".into();
        assert_eq!(reject_call(&key, "rtc_1", 486).path, "/v1/realtime/calls/rtc_1/reject");
        assert!(
            refer_call(&key, "rtc_1", "https://x").is_err() && refer_call(&key, "rtc_1", "tel:+14155550100").is_ok()
        );
        assert!(accept_call(&key, "../x", &Session::default()).path.ends_with("/%2E%2E%2Fx/accept"));
        assert!(hang_up_call(&key, "rtc_1").body == Body::Empty);
    }
}
