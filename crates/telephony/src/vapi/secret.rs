//! How we know that a request comes from Vapi: a bearer token, its older header, or a code over the body. Vapi has no fixed scheme; what the
//! customer set up there is set up here.

use secrecy::{ExposeSecret, SecretString};

use crate::error::Unverified;
use crate::proof::{SIGNATURE_BYTES_MAX, hex, hmac_sha256, same};

/// The older header for the secret itself, lower case.
pub const SECRET_HEADER: &str = "x-vapi-secret";
/// The usual header for a code, lower case.
pub const SIGNATURE_HEADER: &str = "x-vapi-signature";

/// What came with a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// The header `X-Vapi-Secret`.
    pub secret: Option<&'a str>,
    /// The header the customer chose for the code, usually `X-Vapi-Signature`.
    pub signature: Option<&'a str>,
}

/// Checks a request. One of the three must be there and right; what is there and wrong is refused whatever the others say.
///
/// # Errors
/// Says why it is not believed.
pub fn verify(secrets: &[&SecretString], given: Given<'_>, body: &[u8]) -> Result<(), Unverified> {
    let secrets: Vec<&[u8]> =
        secrets.iter().map(|secret| secret.expose_secret().as_bytes()).filter(|secret| !secret.is_empty()).collect();
    if secrets.is_empty() {
        return Err(Unverified::NoKey);
    }
    let mut proven = false;
    if let Some(header) = given.authorization {
        let token = header.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer ")).map(|_| header[7..].trim());
        let token = token.filter(|token| !token.is_empty()).ok_or(Unverified::Malformed)?;
        any(&secrets, |secret| same(secret, token.as_bytes()))?;
        proven = true;
    }
    if let Some(header) = given.secret {
        any(&secrets, |secret| same(secret, header.as_bytes()))?;
        proven = true;
    }
    if let Some(header) = given.signature {
        if header.len() > SIGNATURE_BYTES_MAX {
            return Err(Unverified::Malformed);
        }
        let code = header.strip_prefix("sha256=").unwrap_or(header).to_ascii_lowercase();
        any(&secrets, |secret| same(hex(&hmac_sha256(secret, &[body])).as_bytes(), code.as_bytes()))?;
        proven = true;
    }
    if proven { Ok(()) } else { Err(Unverified::Missing) }
}

fn any(secrets: &[&[u8]], fits: impl Fn(&[u8]) -> bool) -> Result<(), Unverified> {
    // No early end: how many secrets there are is not to be told by time.
    let found = secrets.iter().fold(false, |found, secret| fits(secret) | found);
    if found { Ok(()) } else { Err(Unverified::Wrong) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"message":{"type":"hang"}}"#;

    fn check(given: Given<'_>) -> Result<(), Unverified> {
        verify(&[&"old".into(), &"s3cret".into()], given, BODY)
    }

    #[test]
    fn each_of_the_three_proofs_opens_and_a_wrong_one_closes() {
        let code = hex(&hmac_sha256(b"s3cret", &[BODY]));
        let bearer = Given { authorization: Some("Bearer s3cret"), ..Given::default() };
        let secret = Given { secret: Some("s3cret"), ..Given::default() };
        let signature = Given { signature: Some(&code), ..Given::default() };
        for given in [bearer, secret, signature, Given { authorization: Some("bearer old"), ..Given::default() }] {
            assert_eq!(check(given), Ok(()), "{given:?}");
        }
        assert_eq!(
            check(Given { signature: Some(&format!("sha256={}", code.to_uppercase())), ..Given::default() }),
            Ok(())
        );
        assert_eq!(
            check(Given { secret: Some("wrong"), ..bearer }),
            Err(Unverified::Wrong),
            "a right one does not heal it"
        );
        assert_eq!(verify(&[&"s3cret".into()], signature, b"{}"), Err(Unverified::Wrong));
        assert_eq!(check(Given::default()), Err(Unverified::Missing));
        assert_eq!(
            check(Given { authorization: Some("Basic s3cret"), ..Given::default() }),
            Err(Unverified::Malformed)
        );
        assert_eq!(check(Given { authorization: Some("Bearer "), ..Given::default() }), Err(Unverified::Malformed));
        assert_eq!(verify(&[&"".into()], Given { secret: Some(""), ..Given::default() }, BODY), Err(Unverified::NoKey));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(a in proptest::option::of("\\PC{0,40}"), s in proptest::option::of("\\PC{0,40}"), v in proptest::option::of("\\PC{0,80}")) {
            let given = Given { authorization: a.as_deref(), secret: s.as_deref(), signature: v.as_deref() };
            prop_assert!(check(given).is_err());
        }
    }
}
