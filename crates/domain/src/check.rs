//! Checks of what people type into fields: each failure names the field and says what would be right.

use crate::rejection::{FieldError, Rejection};

/// The longest e-mail address (RFC 5321 §4.5.3.1.3, without the angle brackets).
pub const EMAIL_CHARS_MAX: usize = 254;
/// The longest address of a page or picture; browsers and crawlers agree on about 2,000.
pub const URL_CHARS_MAX: usize = 2_000;
/// The longest name of a person, agent, key or organization.
pub const NAME_CHARS_MAX: usize = 120;
/// The longest slug; it must fit a DNS label.
pub const SLUG_CHARS_MAX: usize = 63;
/// How deep JSON given by users may nest; deeper serves no purpose and costs stack.
pub const JSON_DEPTH_MAX: usize = 16;

/// Collects what is wrong, so that a form gets all its errors at once.
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Notes that a field is wrong.
    pub fn fail(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.errors.push(FieldError::new(field, message));
    }

    /// Notes an error unless `holds`.
    pub fn ensure(&mut self, holds: bool, field: impl Into<String>, message: impl Into<String>) {
        if !holds {
            self.fail(field, message);
        }
    }

    /// A text of `min` to `max` characters after trimming, without control characters other than line breaks and tabs.
    pub fn text(&mut self, field: &str, value: &str, min: usize, max: usize) {
        let chars = value.chars().count();
        if value.trim().is_empty() && min > 0 {
            self.fail(field, "must not be empty");
        } else if chars > max {
            self.fail(field, format!("has {chars} characters; at most {max} are allowed"));
        } else if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.fail(field, "must not contain control characters");
        }
    }

    /// A text on one line.
    pub fn line(&mut self, field: &str, value: &str, min: usize, max: usize) {
        if value.contains(['\n', '\r', '\t']) {
            self.fail(field, "must be one line");
        } else {
            self.text(field, value, min, max);
        }
    }

    /// An e-mail address.
    pub fn email(&mut self, field: &str, value: &str) {
        self.ensure(is_email(value), field, "is not an e-mail address such as name@example.com");
    }

    /// A phone number in E.164.
    pub fn phone(&mut self, field: &str, value: &str) {
        self.ensure(is_e164(value), field, "must be an international number such as +15551234567");
    }

    /// A web address, http or https.
    pub fn web_address(&mut self, field: &str, value: &str) {
        self.ensure(is_web_address(value), field, "must be a web address such as https://example.com");
    }

    /// How many entries a list may have.
    pub fn count(&mut self, field: &str, count: usize, max: usize) {
        self.ensure(count <= max, field, format!("has {count} entries; at most {max} are allowed"));
    }

    /// All errors, or nothing.
    pub fn finish(self) -> Result<(), Rejection> {
        if self.errors.is_empty() { Ok(()) } else { Err(Rejection::Invalid { errors: self.errors }) }
    }

    /// What was found so far.
    pub fn errors(self) -> Vec<FieldError> {
        self.errors
    }
}

/// The form in which e-mail addresses are compared and stored: trimmed, lower case.
pub fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Whether it can be an e-mail address: one `@`, a dotted domain, no spaces. Whether mail arrives only a mail can tell.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_ok = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && local.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"@,;:<>()[]\\\"".contains(c));
    text.len() <= EMAIL_CHARS_MAX && local_ok && is_host(domain) && domain.contains('.')
}

/// Whether it is an E.164 number: `+`, no leading zero, 7 to 15 digits.
pub fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether it is an http or https address with a host and nothing that could break out of an attribute.
pub fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let clean = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"\"<>\\^`{|}".contains(c));
    text.len() <= URL_CHARS_MAX && clean && is_authority(authority)
}

/// Whether it is an origin such as `https://shop.example.com` or `http://localhost:3000`; `https://*.example.com` stands for all subdomains.
pub fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.strip_prefix("*.").unwrap_or(rest);
        text.len() <= URL_CHARS_MAX && is_authority(host) && (host == rest || host.contains('.'))
    })
}

/// Whether it is a CSS hex colour: `#rgb`, `#rrggbb` or with alpha.
pub fn is_hex_colour(text: &str) -> bool {
    text.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 4 | 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether it can be part of an address: lower-case letters, digits and single hyphens inside.
pub fn is_slug(text: &str) -> bool {
    (2..=SLUG_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// Whether it is a key of data: lower-case letters, digits and underscores, a letter first.
pub fn is_key(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A slug made from a name, such as `joes-plumbing` from `Joe's Plumbing`; `organization` if nothing of it can be used.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !matches!(c, '\'' | '’') && !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() == SLUG_CHARS_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-').to_owned();
    if is_slug(&slug) { slug } else { "organization".to_owned() }
}

/// Whether JSON given by a user is small and flat enough: at most `bytes_max` as text and [`JSON_DEPTH_MAX`] deep.
pub fn is_bounded_json(value: &serde_json::Value, bytes_max: usize) -> bool {
    depth(value) <= JSON_DEPTH_MAX && value.to_string().len() <= bytes_max
}

/// Applies a JSON merge patch (RFC 7396): objects merge, null removes, anything else replaces.
pub fn merge_patch(target: &mut serde_json::Value, patch: &serde_json::Value) {
    let serde_json::Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = serde_json::Value::Object(serde_json::Map::new());
    }
    if let serde_json::Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge_patch(target.entry(key.clone()).or_insert(serde_json::Value::Null), value);
            }
        }
    }
}

fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => 1,
    }
}

/// A host name with an optional port. Credentials in addresses are refused: they end up in logs.
fn is_authority(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_ok = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<std::net::Ipv6Addr>().is_ok() && port_ok;
    }
    match text.rsplit_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(text),
    }
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Labels of letters, digits and hyphens; letters beyond ASCII are allowed (internationalised names).
fn is_host(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_field_takes_the_right_and_refuses_the_wrong() {
        type Case = (fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);
        let cases: [Case; 7] = [
            (
                is_email,
                &["a@b.ch", "first.last+tag@mail.example.com", "ü@bücher.example"],
                &["", "a", "a@b", "a b@c.ch", "a@@b.ch", ".a@b.ch", "a@b..ch", "a@-b.ch", "x\n@b.ch", "<a@b.ch>"],
            ),
            (
                is_e164,
                &["+15551234567", "+41791234567"],
                &["", "15551234567", "+0555123456", "+1555", "+1555123456789012", "+1 555 123"],
            ),
            (
                is_web_address,
                &["https://example.com", "http://127.0.0.1:8000/a?b#c", "http://[::1]:80/", "https://bücher.example/ü"],
                &[
                    "",
                    "example.com",
                    "javascript:alert(1)",
                    "ftp://a.b",
                    "https://",
                    "https://a b",
                    "https://user:pw@host.com",
                    "https://a.com/\"x",
                    "http://host:0",
                    "http://host:99999",
                ],
            ),
            (
                is_origin,
                &["https://example.com", "http://localhost:3000", "https://*.example.com"],
                &[
                    "",
                    "https://example.com/",
                    "https://*",
                    "*",
                    "https://*.com:x",
                    "https://*.localhost",
                    "https://a.com?x",
                ],
            ),
            (is_hex_colour, &["#abc", "#A1B2C3", "#a1b2c3d4"], &["", "abc", "#ab", "#ggg", "red", "#abcde"]),
            (is_slug, &["ab", "joes-plumbing-2"], &["", "a", "-a", "a-", "a--b", "Ab", "a_b", "ä"]),
            (is_key, &["a", "order_number2"], &["", "2a", "_a", "A", "a-b"]),
        ];
        for (check, right, wrong) in cases {
            for text in right {
                assert!(check(text), "{text} is right");
            }
            for text in wrong {
                assert!(!check(text), "{text} is wrong");
            }
        }
    }

    #[test]
    fn slugs_come_from_names() {
        assert_eq!(slug_of("Joe's Plumbing & Heating"), "joes-plumbing-heating");
        assert_eq!(slug_of("日本"), "organization");
    }

    #[test]
    fn a_merge_patch_follows_rfc_7396() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge_patch(&mut target, &json!({"a": {"b": null, "e": {"f": null}}, "d": 3}));
        assert_eq!(target, json!({"a": {"c": 2, "e": {}}, "d": 3}));
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_check(text in "\\PC{0,80}") {
            let _ = (is_email(&text), is_e164(&text), is_web_address(&text), is_origin(&text), is_hex_colour(&text));
            prop_assert!(is_slug(&slug_of(&text)));
        }
    }
}
