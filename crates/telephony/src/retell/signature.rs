//! The header `x-retell-signature`: HMAC-SHA-256 over the raw body and the time, under the API key that carries the webhook badge.

use secrecy::{ExposeSecret, SecretString};

use crate::error::Unverified;
use crate::proof::{SIGNATURE_BYTES_MAX, hex, hmac_sha256, same, within};

/// The header, lower case.
pub const HEADER: &str = "x-retell-signature";
/// How far the signature's time may be from ours, ms, in either direction: Retell's own tolerance.
pub const TOLERANCE_MS: u64 = 300_000;
/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// The header's value for a body, as Retell makes it.
pub fn sign(key: &SecretString, body: &[u8], now_ms: i64) -> String {
    format!("v={now_ms},d={}", digest(key, body, &now_ms.to_string()))
}

/// Checks a header against the raw body, before any of it is parsed. Several keys may be valid while one replaces the other.
///
/// # Errors
/// Says why it is not believed.
pub fn verify(keys: &[&SecretString], body: &[u8], header: Option<&str>, now_ms: i64) -> Result<(), Unverified> {
    let header = header.filter(|header| !header.is_empty()).ok_or(Unverified::Missing)?;
    if keys.is_empty() {
        return Err(Unverified::NoKey);
    }
    let (time, given) = parts(header).ok_or(Unverified::Malformed)?;
    let then_ms: i64 = time.parse().map_err(|_| Unverified::Malformed)?;
    // Who can choose the time can choose one in the window: the code below is what counts, this only ends replays.
    if !within(now_ms, then_ms, TOLERANCE_MS) {
        return Err(Unverified::Stale);
    }
    let given = given.to_ascii_lowercase();
    // Signed over the number: `007` and `7` are one time to the parser and two to the signature.
    let fits = keys.iter().any(|key| same(digest(key, body, &then_ms.to_string()).as_bytes(), given.as_bytes()));
    if fits { Ok(()) } else { Err(Unverified::Wrong) }
}

fn parts(header: &str) -> Option<(&str, &str)> {
    if header.len() > SIGNATURE_BYTES_MAX {
        return None;
    }
    let (time, digest) = header.strip_prefix("v=")?.split_once(",d=")?;
    let decimal = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = digest.len() == DIGEST_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    (decimal && hexadecimal).then_some((time, digest))
}

fn digest(key: &SecretString, body: &[u8], time: &str) -> String {
    hex(&hmac_sha256(key.expose_secret().as_bytes(), &[body, time.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = r#"{"event":"call_ended","call":{"call_id":"c1","note":"é"}}"#;
    const NOW_MS: i64 = 1_700_000_000_000;
    const HEADER_MADE: &str = "v=1700000000000,d=454e753fb2a706d2feff6d2dd081f626cae6ec6769be29d85586e207bb752028";

    fn key() -> SecretString {
        "key_test".into()
    }

    fn check(body: &str, header: &str, now_ms: i64) -> Result<(), Unverified> {
        verify(&[&key()], body.as_bytes(), Some(header), now_ms)
    }

    #[test]
    fn the_vendors_vector_is_made_and_believed() {
        assert_eq!(sign(&key(), BODY.as_bytes(), NOW_MS), HEADER_MADE);
        assert_eq!(check(BODY, HEADER_MADE, NOW_MS), Ok(()));
        assert_eq!(check(BODY, &HEADER_MADE.replace("454e", "454E"), NOW_MS), Ok(()), "either case is read");
        assert_eq!(verify(&[&"old".into(), &key()], BODY.as_bytes(), Some(HEADER_MADE), NOW_MS), Ok(()), "rotation");
    }

    #[test]
    fn the_window_is_five_minutes_to_both_sides() {
        for (offset_ms, expected) in [
            (300_000, Ok(())),
            (300_001, Err(Unverified::Stale)),
            (-300_000, Ok(())),
            (-300_001, Err(Unverified::Stale)),
        ] {
            assert_eq!(check(BODY, HEADER_MADE, NOW_MS + offset_ms), expected, "{offset_ms}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let digest = &HEADER_MADE[18..];
        assert_eq!(verify(&[], BODY.as_bytes(), Some(HEADER_MADE), NOW_MS), Err(Unverified::NoKey));
        assert_eq!(verify(&[&key()], BODY.as_bytes(), None, NOW_MS), Err(Unverified::Missing));
        assert_eq!(check(BODY, "", NOW_MS), Err(Unverified::Missing));
        assert_eq!(verify(&[&"other".into()], BODY.as_bytes(), Some(HEADER_MADE), NOW_MS), Err(Unverified::Wrong));
        assert_eq!(check(&BODY.replace("c1", "c2"), HEADER_MADE, NOW_MS), Err(Unverified::Wrong));
        assert_eq!(check(BODY, &HEADER_MADE.replace("v=17", "v=017"), NOW_MS), Ok(()), "the same number");
        assert_eq!(check(BODY, &HEADER_MADE.replace("000,", "001,"), NOW_MS), Err(Unverified::Wrong));
        for header in [
            "v=1700000000000".to_owned(),
            format!("v=,{digest}"),
            format!("v=-1,{digest}"),
            format!("v=1e12,{digest}"),
            format!("{HEADER_MADE}00"),
            format!(" {HEADER_MADE}"),
            format!("v=99999999999999999999999,{digest}"),
            "v".repeat(100_000),
        ] {
            assert_eq!(check(BODY, &header, NOW_MS), Err(Unverified::Malformed), "{header:.60}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_wherever_it_is(at in 0..BODY.len(), flip in 1_u8..) {
            let mut body = BODY.as_bytes().to_vec();
            body[at] ^= flip;
            prop_assert_eq!(verify(&[&key()], &body, Some(HEADER_MADE), NOW_MS), Err(Unverified::Wrong));
        }

        #[test]
        fn any_header_is_answered(header in "\\PC{0,120}") {
            prop_assert!(check(BODY, &header, NOW_MS).is_err());
        }

        #[test]
        fn what_is_signed_is_believed(body in proptest::collection::vec(any::<u8>(), 0..200), at in 0_i64..4_000_000_000_000) {
            let header = sign(&key(), &body, at);
            prop_assert_eq!(verify(&[&key()], &body, Some(&header), at), Ok(()));
        }
    }
}
