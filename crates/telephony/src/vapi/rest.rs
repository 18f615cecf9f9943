//! What we ask Vapi's interface: which numbers an account has. Calls are begun by Vapi itself.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::error::Fault;
use crate::rest::{Answer, Method, Repeat, Request};

/// Where it is.
pub const BASE_URL: &str = "https://api.vapi.ai";
/// Numbers of one page, the most there can be.
const PAGE: u32 = 1000;

/// The account's numbers; also how its private key is tried.
pub fn numbers(key: &SecretString) -> Request {
    let authorization = ("authorization", format!("Bearer {}", key.expose_secret()));
    Request::new(Method::Get, format!("/phone-number?limit={PAGE}"), authorization, Repeat::Safe)
}

/// The numbers out of the answer, E.164. Those that have none, such as SIP addresses, are left out.
///
/// # Errors
/// See [`Fault`].
pub fn read_numbers(answer: &Answer<'_>) -> Result<Vec<String>, Fault> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(default)]
        number: Option<String>,
    }
    let numbers: Vec<Number> = answer.read(Repeat::Safe)?;
    Ok(numbers.into_iter().filter_map(|number| number.number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_asked_for_with_the_key_and_read() {
        let request = numbers(&"private".into());
        assert_eq!((request.method, request.path.as_str()), (Method::Get, "/phone-number?limit=1000"));
        assert!(request.headers.contains(&("authorization", "Bearer private".to_owned())));
        let answer =
            |status, body: &'static str| Answer { status, retry_after: None, body: body.as_bytes(), now_ms: 0 };
        let read = read_numbers(&answer(200, r#"[{"id":"p1","number":"+14155550100"},{"id":"p2","sipUri":"sip:x"}]"#));
        assert_eq!(read.ok(), Some(vec!["+14155550100".to_owned()]));
        assert_eq!(read_numbers(&answer(401, "{}")).err(), Some(Fault::Credentials));
    }
}
