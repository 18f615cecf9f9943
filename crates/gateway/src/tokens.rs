//! Signed tokens: short access tokens for people (JWT, HS256), long-lived visitor tokens, derived ids. All keys come from `secrets.key`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use colloquy_actors::domain::ids::{AgentId, ConversationId, TenantId, UserId, VisitorId};
use colloquy_actors::once;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long an access token is good for, seconds: short, because a role that was taken away lives on at most this long in a copy.
pub const ACCESS_TTL_S: i64 = 15 * 60;
/// How long a refresh token is good for, milliseconds: a person who opens the console once a month stays signed in.
pub const REFRESH_TTL_MS: i64 = 30 * 24 * 3600 * 1000;
/// How long a visitor token speaks for a person whom the organization's server vouched for, seconds: a day, as each page that says so renews it.
pub const PERSON_TTL_S: i64 = 24 * 3600;
/// The longest token that is looked at, bytes.
pub const TOKEN_MAX: usize = 2048;

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The person.
    pub sub: UserId,
    /// The organization this session acts in.
    pub org: TenantId,
    /// The session (refresh family) it belongs to.
    pub sid: String,
    /// When it was issued, Unix seconds.
    pub iat: i64,
    /// When it ends, Unix seconds.
    pub exp: i64,
}

/// What a visitor token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// The tenant.
    #[serde(rename = "t")]
    pub tenant: TenantId,
    /// The agent it is bound to.
    #[serde(rename = "a")]
    pub agent: AgentId,
    /// The visitor: the client's own id, a dot, and what tells apart two who claim the same one (see [`Tokens::visitor_of`]).
    #[serde(rename = "v")]
    pub visitor: VisitorId,
    /// The person whom the organization's server vouched for in this browser.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub person: Option<VouchedPerson>,
}

/// A person whom the organization's server vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedPerson {
    /// Who, as visitors are named.
    #[serde(rename = "i")]
    pub id: VisitorId,
    /// Until when the token speaks for them, Unix seconds.
    #[serde(rename = "u")]
    pub until_s: i64,
}

impl Visitor {
    /// Whether the token was made for the client's own id `visitor_id`.
    pub fn is(&self, visitor_id: &str) -> bool {
        self.visitor.as_str().rsplit_once('.').is_some_and(|(own, _)| own == visitor_id)
    }

    /// Who acts: the vouched person, else the browser's own visitor.
    pub fn acting(&self) -> &VisitorId {
        self.person.as_ref().map_or(&self.visitor, |person| &person.id)
    }
}

/// Makes and checks all tokens of one installation.
#[derive(Clone)]
pub struct Tokens {
    access: [u8; 32],
    visitor: [u8; 32],
    ids: [u8; 32],
    csrf: [u8; 32],
    forms: [u8; 32],
    answers: [u8; 32],
}

impl Tokens {
    /// Derives one key per purpose from the installation's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            access: blake3::derive_key("colloquy access tokens v1", secret),
            visitor: blake3::derive_key("colloquy visitor tokens v1", secret),
            ids: blake3::derive_key("colloquy derived ids v1", secret),
            csrf: blake3::derive_key("colloquy csrf tokens v1", secret),
            forms: blake3::derive_key("colloquy form tokens v1", secret),
            answers: blake3::derive_key("colloquy kept answers v1", secret),
        }
    }

    /// What seals the answer kept under a caller's idempotency key: without the caller's key nobody can make it.
    pub fn answer_key(&self, scope: &str, key: &str) -> [u8; 32] {
        mac(&self.answers, &[b"seal", scope.as_bytes(), key.as_bytes()])
    }

    /// What the store sees of an idempotency key or a request's body.
    pub fn answer_name(&self, of: &[u8]) -> [u8; 32] {
        mac(&self.answers, &[b"name", of])
    }

    /// What all runs of a request with an idempotency key have in common: what they make and ask is derived from it.
    pub fn answer_seed(&self, scope: &str, key: &str, body: &[u8; 32], since_ms: i64) -> [u8; 32] {
        mac(&self.answers, &[b"seed", scope.as_bytes(), key.as_bytes(), body, &since_ms.to_be_bytes()])
    }

    /// Signs an access token.
    pub fn sign_access(&self, access: &Access) -> String {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(access).unwrap_or_default());
        let signed = format!("{header}.{body}");
        let mac = URL_SAFE_NO_PAD.encode(mac(&self.access, &[signed.as_bytes()]));
        format!("{signed}.{mac}")
    }

    /// Checks an access token: signature first, then its end.
    pub fn check_access(&self, token: &str, now_s: i64) -> Option<Access> {
        self.signed_access(token).filter(|access| access.exp > now_s)
    }

    /// What an access token says that we have signed, whether it has ended or not: for records of who asked, never for letting anybody in.
    pub fn signed_access(&self, token: &str) -> Option<Access> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let (signed, given) = token.rsplit_once('.')?;
        let (header, body) = signed.split_once('.')?;
        let given = URL_SAFE_NO_PAD.decode(given).ok()?;
        if !same(&mac(&self.access, &[signed.as_bytes()]), &given) {
            return None;
        }
        #[derive(Deserialize)]
        struct Header {
            alg: String,
        }
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let access: Access = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (header.alg == "HS256").then_some(access)
    }

    /// Signs a visitor token.
    pub fn sign_visitor(&self, visitor: &Visitor) -> String {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(visitor).unwrap_or_default());
        let mac = URL_SAFE_NO_PAD.encode(mac(&self.visitor, &[body.as_bytes()]));
        format!("v1.{body}.{mac}")
    }

    /// Checks a visitor token. A person it speaks for no longer is left out: the browser is known all the same.
    pub fn check_visitor(&self, token: &str, now_s: i64) -> Option<Visitor> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let (body, given) = token.strip_prefix("v1.")?.split_once('.')?;
        let given = URL_SAFE_NO_PAD.decode(given).ok()?;
        if !same(&mac(&self.visitor, &[body.as_bytes()]), &given) {
            return None;
        }
        let mut visitor: Visitor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        visitor.person = visitor.person.filter(|person| person.until_s > now_s);
        Some(visitor)
    }

    /// Who a client without a token is. A known `visitor_id` proves nothing, so it is a new visitor; but the retry of a first message whose
    /// answer was lost (`first`: its client id) is the same one.
    pub fn visitor_of(&self, agent: &AgentId, visitor_id: &str, first: &str) -> VisitorId {
        let mac = mac(&self.ids, &[b"visitor", agent.as_str().as_bytes(), visitor_id.as_bytes(), first.as_bytes()]);
        VisitorId(format!("{visitor_id}.{}", hex(&mac[..8])))
    }

    /// The id of the conversation that a visitor's first message opens: a retry after a lost answer finds the same one.
    pub fn conversation_id(&self, agent: &AgentId, visitor: &VisitorId, client_message_id: &str) -> ConversationId {
        let mac = mac(
            &self.ids,
            &[b"conversation", agent.as_str().as_bytes(), visitor.as_str().as_bytes(), client_message_id.as_bytes()],
        );
        ConversationId(hex(&mac[..16]))
    }

    /// An id that is always the same for the same parts, and that nobody else can guess.
    pub fn derived_id(&self, parts: &[&str]) -> String {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        hex(&mac(&self.ids, &parts)[..16])
    }

    /// The CSRF token of a session: the console sends it back in `X-CSRF-Token`.
    pub fn csrf(&self, session: &str) -> String {
        hex(&mac(&self.csrf, &[session.as_bytes()])[..16])
    }

    /// What a page's form carries beside the cookie `browser`: only a page of ours can know it.
    pub fn form(&self, browser: &str) -> String {
        hex(&mac(&self.forms, &[browser.as_bytes()])[..16])
    }
}

/// A fresh secret of 256 bits for links, keys and refresh tokens; the same one when a request is run again, whose first run may stand.
pub fn fresh_secret() -> String {
    let bytes = once::bytes("secret").map_or_else(rand::random::<[u8; 32]>, |(bytes, _)| bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a secret with 256 bits of its own: a plain hash suffices.
pub fn hash_secret(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares without telling by time where the difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Whether `given` is the hexadecimal HMAC-SHA-256 of `data` under `secret`, as a host page's server makes it.
pub fn proves(secret: &[u8], data: &[u8], given: &str) -> bool {
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(secret) else { return false };
    mac.update(data);
    same(hex(&mac.finalize().into_bytes()).as_bytes(), given.to_ascii_lowercase().as_bytes())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// HMAC-SHA-256 over length-prefixed parts, so that no two lists of parts look alike.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length; the block-sized constructor pads with zeros just the same.
    let mut padded = [0_u8; 64];
    padded[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&padded.into());
    if let [only] = parts {
        mac.update(only);
    } else {
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(b"a secret of the test")
    }

    fn access() -> Access {
        Access { sub: "u1".into(), org: "t1".into(), sid: "s1".into(), iat: 100, exp: 200 }
    }

    #[test]
    fn an_access_token_is_good_until_its_end() {
        let token = tokens().sign_access(&access());
        assert_eq!(tokens().check_access(&token, 199), Some(access()));
        assert_eq!(tokens().check_access(&token, 200), None);
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused() {
        let token = tokens().sign_access(&access());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            if let Ok(changed) = String::from_utf8(changed)
                && changed != token
            {
                // The last character of a MAC carries unused bits; a strict decoder refuses those too.
                assert_eq!(tokens().check_access(&changed, 100), None, "changed at {at}");
            }
        }
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&access()).unwrap());
        assert_eq!(tokens().check_access(&format!("{header}.{body}."), 100), None);
    }

    #[test]
    fn a_visitor_token_is_bound_to_the_installation() {
        let visitor = Visitor { tenant: "t".into(), agent: "a".into(), visitor: "v".into(), person: None };
        let token = tokens().sign_visitor(&visitor);
        assert_eq!(tokens().check_visitor(&token, 100), Some(visitor));
        assert_eq!(Tokens::new(b"another secret").check_visitor(&token, 100), None);
    }

    #[test]
    fn a_token_speaks_for_a_vouched_person_until_it_ends() {
        let person = Some(VouchedPerson { id: "usr-1".into(), until_s: 100 });
        let visitor = Visitor { tenant: "t".into(), agent: "a".into(), visitor: "v".into(), person };
        let token = tokens().sign_visitor(&visitor);
        let acting = |now_s| tokens().check_visitor(&token, now_s).unwrap().acting().to_string();
        assert_eq!((acting(99).as_str(), acting(100).as_str()), ("usr-1", "v"));
    }

    #[test]
    fn a_known_visitor_id_without_its_token_is_somebody_else() {
        let of = |first: &str| tokens().visitor_of(&"a".into(), "browser-1", first);
        assert_eq!(of("m1"), of("m1"));
        assert_ne!(of("m1"), of("m2"));
        let visitor = Visitor { tenant: "t".into(), agent: "a".into(), visitor: of("m1"), person: None };
        assert!(visitor.is("browser-1") && !visitor.is("browser-2"));
    }

    #[test]
    fn the_same_first_message_opens_the_same_conversation() {
        let id = |agent: &str, visitor: &str, message: &str| {
            tokens().conversation_id(&agent.into(), &visitor.into(), message)
        };
        assert_eq!(id("a", "v", "m"), id("a", "v", "m"));
        assert_ne!(id("a", "vm", ""), id("a", "v", "m"));
    }
}
