//! What a host page says of who its visitor is, and how far its server's signature bears that out.

use colloquy_actors::domain::text::dialled_form;
use colloquy_actors::identity::Vouched;

use crate::tokens;

/// Characters of a host's id of a person: as many as its address might have.
const EXTERNAL_ID_CHARS_MAX: usize = 320;
/// How far ahead a proof may say that it ends, seconds: a day. One that never ends says nothing of its end.
const PROOF_S_MAX: i64 = 24 * 3600;

/// What a host page claims, with its proof.
pub struct Claim {
    /// The host's id of the person.
    pub external_id: String,
    /// The proof, hexadecimal.
    pub hmac: String,
    /// The person's number.
    pub phone: Option<String>,
    /// Whether the proof covers the number.
    pub phone_signed: bool,
    /// Until when the proof is good, Unix seconds.
    pub expires_at: Option<i64>,
}

impl Claim {
    /// What is proven, or why nothing is: a code and a sentence.
    pub fn check(&self, secret: &str, now_s: i64) -> Result<Vouched, (&'static str, &'static str)> {
        // A line break could make one signed text look like another.
        let lines = [Some(&self.external_id), self.phone.as_ref().filter(|_| self.phone_signed)];
        if lines.into_iter().flatten().any(|line| line.chars().any(char::is_control)) {
            return Err(("bad_identity", "An external_id or phone holds no line break or other control character."));
        }
        if self.external_id.is_empty() || self.external_id.chars().count() > EXTERNAL_ID_CHARS_MAX {
            return Err(("bad_identity", "An external_id has 1 to 320 characters."));
        }
        let mut signed = self.external_id.clone();
        let phone = self.phone.as_deref().filter(|_| self.phone_signed);
        if let Some(phone) = phone {
            signed.push_str("\nphone=");
            signed.push_str(phone);
        } else if self.phone_signed {
            return Err(("bad_identity", "phone_signed says that phone is signed, and there is no phone."));
        }
        if let Some(until) = self.expires_at {
            signed.push_str("\nexpires_at=");
            signed.push_str(&until.to_string());
        }
        if !tokens::proves(secret.as_bytes(), signed.as_bytes(), &self.hmac) {
            return Err((
                "bad_hmac",
                "The hmac does not fit: sign external_id with your organization's identity secret on your server, and with it what phone_signed and \
                 expires_at name.",
            ));
        }
        if self.expires_at.is_some_and(|until| until <= now_s) {
            return Err(("expired_hmac", "This proof has ended: have your server sign a new one."));
        }
        if self.expires_at.is_some_and(|until| until - now_s > PROOF_S_MAX) {
            return Err(("bad_identity", "expires_at lies more than a day ahead."));
        }
        let number = match phone {
            Some(phone) => match dialled_form(phone) {
                Some(number) => Some(number),
                None => {
                    return Err(("bad_identity", "A signed phone is an international number, such as +14155550100."));
                }
            },
            None => None,
        };
        Ok(Vouched { external_id: self.external_id.clone(), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_page_claims_is_believed_only_as_far_as_its_server_signed_it() {
        use hmac::{Hmac, KeyInit, Mac};
        let sign = |text: &str| {
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"secret").unwrap();
            mac.update(text.as_bytes());
            tokens::hex(&mac.finalize().into_bytes())
        };
        let claim = |signed: &str, id: &str, phone: Option<&str>, expires_at: Option<i64>| Claim {
            external_id: id.into(),
            hmac: sign(signed),
            phone: phone.map(Into::into),
            phone_signed: phone.is_some(),
            expires_at,
        };
        let code = |claim: Claim| claim.check("secret", 1_000).map(|vouched| vouched.number).map_err(|(code, _)| code);
        assert_eq!(code(claim("u", "u", None, None)), Ok(None));
        assert_eq!(code(claim("u\nexpires_at=1001", "u", None, Some(1_001))), Ok(None));
        let number = Some("+14155550123".to_owned());
        assert_eq!(code(claim("u\nphone=+1 415 555 0123", "u", Some("+1 415 555 0123"), None)), Ok(number.clone()));
        let both = "u\nphone=+14155550123\nexpires_at=1001";
        assert_eq!(code(claim(both, "u", Some("+14155550123"), Some(1_001))), Ok(number));
        // A number beside a proof that does not cover it is what the browser says.
        assert_eq!(code(claim("u", "u", Some("+14155550123"), None)), Err("bad_hmac"));
        assert_eq!(code(claim("u", "u", None, Some(1_001))), Err("bad_hmac"), "an end that nobody signed");
        assert_eq!(code(claim("u\nexpires_at=1001", "u", None, None)), Err("bad_hmac"), "an end that was left out");
        assert_eq!(code(claim("u\nexpires_at=1000", "u", None, Some(1_000))), Err("expired_hmac"));
        assert_eq!(code(claim("u\nexpires_at=999999", "u", None, Some(999_999))), Err("bad_identity"));
        // An id cannot pretend to be the lines that follow one.
        let forged = "u\nphone=+14155550123";
        assert_eq!(code(claim(forged, forged, None, None)), Err("bad_identity"));
        assert_eq!(code(claim("u\nphone=555", "u", Some("555"), None)), Err("bad_identity"));
        assert_eq!(code(claim("", "", None, None)), Err("bad_identity"));
    }
}
