//! The address Retell opens, and what closing a socket means to it.

use crate::error::Malformed;

/// The longest call id, bytes: real ones are some 40.
const CALL_ID_BYTES_MAX: usize = 128;
/// A deliberate hang-up: the call ends as `agent_hangup`.
pub const CLOSE_HANG_UP: u16 = 1000;
/// The answer to a binary frame, in both directions.
pub const CLOSE_NOT_TEXT: u16 = 1007;
/// How often Retell comes back for a call whose socket ended without a close frame.
pub const RECONNECTS_MAX: u8 = 4;
/// How often it comes back when keep-alives stopped.
pub const KEEPALIVE_RECONNECTS_MAX: u8 = 2;

/// What Retell makes of the end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterClose {
    /// The call ends as `agent_hangup`.
    HangsUp,
    /// It connects again, at most [`RECONNECTS_MAX`] times.
    Reconnects,
    /// The call ends as `error_llm_websocket_open`.
    FailsToOpen,
    /// The call ends as `error_llm_websocket_runtime`.
    Fails,
    /// The call ends as `error_llm_websocket_corrupt_payload`.
    FailsCorrupt,
}

/// What Retell makes of a close code; `None` is a close frame without one. 1006 stands for no close frame at all.
pub fn after_close(code: Option<u16>) -> AfterClose {
    match code {
        Some(CLOSE_HANG_UP) => AfterClose::HangsUp,
        Some(CLOSE_NOT_TEXT) => AfterClose::FailsCorrupt,
        Some(1006) => AfterClose::Reconnects,
        None | Some(1005) => AfterClose::FailsToOpen,
        Some(_) => AfterClose::Fails,
    }
}

/// The call id out of what follows the configured route. `tail` is the path behind the route, still percent-encoded, `query` what follows the
/// question mark. Retell appends `/{call_id}` to the configured address; where that has a query, how the two are joined is not documented, so
/// both `/route/{id}?q` and `/route?q/{id}` are understood.
///
/// # Errors
/// When there is no id, or what is there is none.
pub fn call_id(tail: &str, query: Option<&str>) -> Result<String, Malformed> {
    let segment = tail.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let candidate = if segment.is_empty() {
        query.and_then(|query| query.trim_end_matches('/').rsplit_once('/')).map_or("", |(_, id)| id)
    } else {
        segment
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    if candidate.is_empty() || candidate.len() > CALL_ID_BYTES_MAX || !candidate.bytes().all(plain) {
        return Err(Malformed::Field("call_id"));
    }
    Ok(candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_found_wherever_the_query_stands() {
        let good = [
            ("/call_1", None),
            ("call_1", None),
            ("/key/call_1", None),
            ("//call_1", None),
            ("/call_1/", None),
            ("/call_1", Some("tenant=a/b")),
            ("", Some("tenant=a/call_1")),
            ("/", Some("tenant=a&x=/call_1/")),
        ];
        for (tail, query) in good {
            assert_eq!(call_id(tail, query).as_deref(), Ok("call_1"), "{tail} {query:?}");
        }
        let long = "x".repeat(129);
        for (tail, query) in
            [("", None), ("/", Some("tenant=a")), ("/a b", None), ("/%2e%2e", None), ("/{{x}}", None), (&*long, None)]
        {
            assert_eq!(call_id(tail, query), Err(Malformed::Field("call_id")), "{tail} {query:?}");
        }
    }

    #[test]
    fn only_an_abnormal_end_brings_it_back() {
        let cases = [
            (Some(1000), AfterClose::HangsUp),
            (None, AfterClose::FailsToOpen),
            (Some(1005), AfterClose::FailsToOpen),
            (Some(1006), AfterClose::Reconnects),
            (Some(1007), AfterClose::FailsCorrupt),
            (Some(1001), AfterClose::Fails),
            (Some(1011), AfterClose::Fails),
            (Some(4000), AfterClose::Fails),
        ];
        for (code, expected) in cases {
            assert_eq!(after_close(code), expected, "{code:?}");
        }
    }
}
