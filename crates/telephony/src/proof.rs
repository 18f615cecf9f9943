//! Message authentication: codes, comparison in constant time, windows of time, and short-lived tickets of our own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Unverified;

/// The longest signature header that is looked at, bytes: the longest real one, several versions during a rotation, is below 500.
pub const SIGNATURE_BYTES_MAX: usize = 1024;

/// The parts, one after the other, under HMAC-SHA-256.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The parts, one after the other, under HMAC-SHA-1, which Twilio uses.
pub(crate) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a string cannot fail.
        text
    })
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Compares without telling by time where the difference is. Different lengths differ at once; a signature's length is no secret.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Whether `then` is at most `tolerance` away from `now`, in either direction. Any units, the same for all three.
pub(crate) fn within(now: i64, then: i64, tolerance: u64) -> bool {
    now.abs_diff(then) <= tolerance
}

/// A ticket for a socket that a provider will open: it names its subject (a call) and ends by itself. Providers keep what we give them in
/// parameters and send it back, so the handshake's signature and this must both fit.
pub fn ticket(key: &[u8], subject: &str, expires_ms: i64) -> String {
    let code = ticket_code(key, subject, expires_ms);
    format!("{expires_ms}.{}", URL_SAFE_NO_PAD.encode(code))
}

/// Checks a ticket for `subject`.
///
/// # Errors
/// Says why it is not believed.
pub fn check_ticket(key: &[u8], subject: &str, ticket: &str, now_ms: i64) -> Result<(), Unverified> {
    if ticket.len() > SIGNATURE_BYTES_MAX {
        return Err(Unverified::Malformed);
    }
    let (expires, code) = ticket.split_once('.').ok_or(Unverified::Malformed)?;
    let expires_ms: i64 = expires.parse().map_err(|_| Unverified::Malformed)?;
    let code = URL_SAFE_NO_PAD.decode(code).map_err(|_| Unverified::Malformed)?;
    if !same(&ticket_code(key, subject, expires_ms), &code) {
        return Err(Unverified::Wrong);
    }
    if now_ms > expires_ms { Err(Unverified::Stale) } else { Ok(()) }
}

fn ticket_code(key: &[u8], subject: &str, expires_ms: i64) -> [u8; 32] {
    // The prefix keeps this code apart from everything else that may be signed with the same key.
    hmac_sha256(key, &[b"telephony ticket\0", expires_ms.to_string().as_bytes(), b"\0", subject.as_bytes()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_those_of_the_standards() {
        // RFC 2202, case 2, and RFC 4231, case 2.
        let (key, text) = (b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&hmac_sha1(key, &[text])), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            hex(&hmac_sha256(key, &[&text[..5], &text[5..]])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(sha256_hex(br#"{"a":1}"#), "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    }

    #[test]
    fn a_window_is_as_wide_as_it_says_and_does_not_overflow() {
        let cases = [
            (1000, 1300, 300, true),
            (1000, 1301, 300, false),
            (1000, 700, 300, true),
            (1000, 699, 300, false),
            (i64::MAX, i64::MIN, 300, false),
            (i64::MIN, i64::MAX, u64::MAX, true),
        ];
        for (now, then, tolerance, expected) in cases {
            assert_eq!(within(now, then, tolerance), expected, "{now} {then}");
        }
    }

    #[test]
    fn a_ticket_opens_one_thing_for_a_while() {
        let made = ticket(b"key", "CA1", 5_000);
        assert_eq!(check_ticket(b"key", "CA1", &made, 5_000), Ok(()));
        assert_eq!(check_ticket(b"key", "CA1", &made, 5_001), Err(Unverified::Stale));
        assert_eq!(check_ticket(b"key", "CA2", &made, 4_000), Err(Unverified::Wrong));
        assert_eq!(check_ticket(b"other", "CA1", &made, 4_000), Err(Unverified::Wrong));
        // A later end is not in the ticket that was given.
        assert_eq!(check_ticket(b"key", "CA1", &made.replacen('5', "9", 1), 4_000), Err(Unverified::Wrong));
        assert_eq!(check_ticket(b"key", "CA1", "5000", 4_000), Err(Unverified::Malformed));
    }

    proptest! {
        #[test]
        fn no_text_is_a_ticket_by_chance(text in "\\PC{0,80}", now in any::<i64>()) {
            prop_assert!(check_ticket(b"key", "CA1", &text, now).is_err());
        }
    }
}
