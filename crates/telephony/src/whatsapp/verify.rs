//! How WhatsApp makes sure of us (the challenge) and we of it (`X-Hub-Signature-256`).

use secrecy::{ExposeSecret, SecretString};

use crate::error::Unverified;
use crate::proof::{SIGNATURE_BYTES_MAX, hex, hmac_sha256, same};

/// The header, lower case.
pub const HEADER: &str = "x-hub-signature-256";
/// The longest challenge that is sent back, bytes: real ones are ten digits.
const CHALLENGE_BYTES_MAX: usize = 256;

/// The answer to `GET ?hub.mode=subscribe&hub.verify_token=…&hub.challenge=…`: the challenge, to be sent back as plain text with 200. An
/// error is 403.
///
/// # Errors
/// Says why it is not believed.
pub fn challenge(query: &str, verify_token: Option<&SecretString>) -> Result<String, Unverified> {
    let token = verify_token.filter(|token| !token.expose_secret().is_empty()).ok_or(Unverified::NoKey)?;
    let field = |name: &str| {
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.into_owned())
    };
    if field("hub.mode").as_deref() != Some("subscribe") {
        return Err(Unverified::Malformed);
    }
    let given = field("hub.verify_token").ok_or(Unverified::Missing)?;
    let challenge = field("hub.challenge").ok_or(Unverified::Malformed)?;
    if !same(given.as_bytes(), token.expose_secret().as_bytes()) {
        return Err(Unverified::Wrong);
    }
    // It is sent back as it is, so it must be nothing a browser could make more of.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if challenge.is_empty() || challenge.len() > CHALLENGE_BYTES_MAX || !challenge.bytes().all(plain) {
        return Err(Unverified::Malformed);
    }
    Ok(challenge)
}

/// The header's value for a body, as WhatsApp makes it.
pub fn sign(app_secret: &SecretString, body: &[u8]) -> String {
    format!("sha256={}", hex(&hmac_sha256(app_secret.expose_secret().as_bytes(), &[body])))
}

/// Checks a header against the raw body. There is no time in it, so a replay is found by the message's id.
///
/// # Errors
/// Says why it is not believed.
pub fn verify(app_secrets: &[&SecretString], body: &[u8], header: Option<&str>) -> Result<(), Unverified> {
    let header = header.filter(|header| !header.is_empty()).ok_or(Unverified::Missing)?;
    if app_secrets.is_empty() {
        return Err(Unverified::NoKey);
    }
    if header.len() > SIGNATURE_BYTES_MAX || !header.starts_with("sha256=") {
        return Err(Unverified::Malformed);
    }
    let fits =
        app_secrets.iter().any(|secret| same(sign(secret, body).as_bytes(), header.to_ascii_lowercase().as_bytes()));
    if fits { Ok(()) } else { Err(Unverified::Wrong) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account"}"#;
    const SIGNED: &str = "sha256=f6491327cb5b041cdf4fe69b94711c7b68bb0aef719854bae676a59788a2b6b6";

    #[test]
    fn the_vendors_vector_is_made_and_believed_and_all_else_is_refused() {
        let secret: SecretString = "appsecret".into();
        assert_eq!(sign(&secret, BODY), SIGNED);
        assert_eq!(verify(&[&secret], BODY, Some(SIGNED)), Ok(()));
        assert_eq!(verify(&[&"old".into(), &secret], BODY, Some(SIGNED)), Ok(()));
        assert_eq!(verify(&[&secret], b"{}", Some(SIGNED)), Err(Unverified::Wrong));
        assert_eq!(verify(&[&secret], BODY, Some(&SIGNED[7..])), Err(Unverified::Malformed));
        assert_eq!(verify(&[&secret], BODY, None), Err(Unverified::Missing));
        assert_eq!(verify(&[], BODY, Some(SIGNED)), Err(Unverified::NoKey));
    }

    #[test]
    fn the_challenge_is_given_back_to_who_knows_the_token() {
        let token: SecretString = "T".into();
        let ask = |query: &str| challenge(query, Some(&token));
        assert_eq!(ask("hub.mode=subscribe&hub.verify_token=T&hub.challenge=1158201444").as_deref(), Ok("1158201444"));
        assert_eq!(ask("hub.mode=subscribe&hub.verify_token=U&hub.challenge=1"), Err(Unverified::Wrong));
        assert_eq!(ask("hub.mode=subscribe&hub.challenge=1"), Err(Unverified::Missing));
        assert_eq!(ask("hub.mode=unsubscribe&hub.verify_token=T&hub.challenge=1"), Err(Unverified::Malformed));
        assert_eq!(ask("hub.mode=subscribe&hub.verify_token=T&hub.challenge=%3Cscript%3E"), Err(Unverified::Malformed));
        assert_eq!(
            challenge("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", Some(&"".into())),
            Err(Unverified::NoKey)
        );
        assert_eq!(challenge("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", None), Err(Unverified::NoKey));
    }

    proptest! {
        #[test]
        fn any_query_and_header_is_answered(query in "\\PC{0,80}", header in "\\PC{0,80}") {
            prop_assert!(challenge(&query, Some(&"T0k3n".into())).is_err());
            prop_assert!(verify(&[&"s".into()], BODY, Some(&header)).is_err());
        }
    }
}
