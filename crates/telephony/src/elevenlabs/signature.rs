//! The header `ElevenLabs-Signature` on webhooks: HMAC-SHA-256 over time and raw body.

use secrecy::{ExposeSecret, SecretString};

use crate::error::Unverified;
use crate::proof::{SIGNATURE_BYTES_MAX, hex, hmac_sha256, same, within};

/// The header, lower case.
pub const HEADER: &str = "elevenlabs-signature";
/// How far the signature's time may be from ours, seconds: ElevenLabs' own tolerance.
pub const TOLERANCE_S: u64 = 1800;

/// The header's value for a body, as ElevenLabs makes it.
pub fn sign(secret: &SecretString, body: &[u8], now_s: i64) -> String {
    format!("t={now_s},v0={}", digest(secret, body, &now_s.to_string()))
}

/// Checks a header against the raw body.
///
/// # Errors
/// Says why it is not believed.
pub fn verify(secrets: &[&SecretString], body: &[u8], header: Option<&str>, now_ms: i64) -> Result<(), Unverified> {
    let header = header.filter(|header| !header.is_empty()).ok_or(Unverified::Missing)?;
    if secrets.is_empty() {
        return Err(Unverified::NoKey);
    }
    if header.len() > SIGNATURE_BYTES_MAX {
        return Err(Unverified::Malformed);
    }
    let mut time = None;
    let mut codes = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) => time = Some(value),
            Some(("v0", value)) => codes.push(value.to_ascii_lowercase()),
            // Versions to come.
            Some(_) => {}
            None => return Err(Unverified::Malformed),
        }
    }
    let time = time.ok_or(Unverified::Malformed)?;
    let then_s: i64 = time.parse().map_err(|_| Unverified::Malformed)?;
    if codes.is_empty() {
        return Err(Unverified::Malformed);
    }
    if !within(now_ms.div_euclid(1000), then_s, TOLERANCE_S) {
        return Err(Unverified::Stale);
    }
    let fits = secrets.iter().any(|secret| {
        let expected = digest(secret, body, time);
        codes.iter().any(|code| same(expected.as_bytes(), code.as_bytes()))
    });
    if fits { Ok(()) } else { Err(Unverified::Wrong) }
}

fn digest(secret: &SecretString, body: &[u8], time: &str) -> String {
    hex(&hmac_sha256(secret.expose_secret().as_bytes(), &[time.as_bytes(), b".", body]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn a_signature_is_believed_for_half_an_hour() {
        let secret: SecretString = "wsec_1".into();
        let header = sign(&secret, b"{}", NOW_MS / 1000);
        let check = |header: &str, body: &[u8], now_ms| verify(&[&secret], body, Some(header), now_ms);
        assert_eq!(check(&header, b"{}", NOW_MS + 1_800_000), Ok(()));
        assert_eq!(check(&header, b"{}", NOW_MS + 1_801_000), Err(Unverified::Stale));
        assert_eq!(check(&header, b"{ }", NOW_MS), Err(Unverified::Wrong));
        assert_eq!(check(&format!("{header},v1=new"), b"{}", NOW_MS), Ok(()));
        assert_eq!(check("t=1700000000", b"{}", NOW_MS), Err(Unverified::Malformed));
        assert_eq!(verify(&[], b"{}", Some(&header), NOW_MS), Err(Unverified::NoKey));
        assert_eq!(verify(&[&secret], b"{}", None, NOW_MS), Err(Unverified::Missing));
    }

    proptest! {
        #[test]
        fn any_header_is_answered(header in "\\PC{0,120}") {
            let outcome = verify(&[&"s".into()], b"{}", Some(&header), NOW_MS);
            prop_assert!(outcome.is_err());
        }
    }
}
