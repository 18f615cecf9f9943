//! The header `X-Twilio-Signature`: HMAC-SHA-1 over the address Twilio asked for and all form fields, under the account's primary auth token.
//!
//! The address is the one Twilio was given. Behind a proxy it is built from the configured public address, never from a `Host` header, which
//! whoever asks can choose.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::form::Form;
use crate::error::Unverified;
use crate::proof::{SIGNATURE_BYTES_MAX, base64, hmac_sha1, same, sha256_hex};

/// The header, lower case, as it also arrives with a socket's handshake.
pub const HEADER: &str = "x-twilio-signature";
/// The query field that holds the hash of a JSON body.
const BODY_HASH: &str = "bodySHA256";
/// The longest address that is looked at, bytes. Twilio itself takes 4,000.
const URL_BYTES_MAX: usize = 8192;

/// What the signature covers besides the address.
#[derive(Clone, Copy, Debug)]
pub enum Covered<'a> {
    /// The fields of a form.
    Form(&'a Form),
    /// A body that is no form, through its hash in the query.
    Body(&'a [u8]),
    /// Nothing: a GET, or the handshake of a socket.
    Address,
}

/// The signature of a request, as Twilio makes it. For [`Covered::Body`] the address must already carry the hash: see [`with_body_hash`].
pub fn sign(token: &SecretString, url: &str, covered: Covered<'_>) -> String {
    base64(&hmac_sha1(token.expose_secret().as_bytes(), &[url.as_bytes(), fields_text(covered).as_bytes()]))
}

/// The address with the hash of a body in its query.
pub fn with_body_hash(url: &str, body: &[u8]) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{BODY_HASH}={}", sha256_hex(body))
}

/// Checks a signature. `url` is the public address of the request with its query as it came; `tokens` are the primary auth token and, while
/// one replaces the other, the next.
///
/// # Errors
/// Says why it is not believed.
pub fn verify(
    tokens: &[&SecretString],
    url: &str,
    covered: Covered<'_>,
    header: Option<&str>,
) -> Result<(), Unverified> {
    let given = header.filter(|header| !header.is_empty()).ok_or(Unverified::Missing)?;
    if tokens.is_empty() {
        return Err(Unverified::NoKey);
    }
    if given.len() > SIGNATURE_BYTES_MAX || url.len() > URL_BYTES_MAX {
        return Err(Unverified::Malformed);
    }
    if let Covered::Body(body) = covered {
        // The signature is over the address alone; without this check anybody could put another body under it.
        let hash = query_field(url, BODY_HASH).ok_or(Unverified::Malformed)?;
        if !same(hash.to_ascii_lowercase().as_bytes(), sha256_hex(body).as_bytes()) {
            return Err(Unverified::Wrong);
        }
    }
    let fields = fields_text(covered);
    let socket = matches!(covered, Covered::Address);
    let mut fits = false;
    for candidate in candidates(url, socket) {
        for token in tokens {
            let code = hmac_sha1(token.expose_secret().as_bytes(), &[candidate.as_bytes(), fields.as_bytes()]);
            fits |= same(base64(&code).as_bytes(), given.as_bytes());
        }
    }
    if fits { Ok(()) } else { Err(Unverified::Wrong) }
}

/// Names in order of their bytes, each value behind its name; of a field that came several times the different values in order.
fn fields_text(covered: Covered<'_>) -> String {
    let Covered::Form(form) = covered else { return String::new() };
    let mut fields: Vec<&(String, String)> = form.fields().iter().collect();
    fields.sort();
    fields.dedup();
    fields.iter().fold(String::new(), |text, (name, value)| text + name + value)
}

/// The addresses Twilio may have signed: with and without the port, as they stand and in the form a URL parser gives them. With a socket on a
/// bare host also with and without the slash, because the one who opens it adds it and the one who configured it may not have.
fn candidates(url: &str, socket: bool) -> Vec<String> {
    let mut all = vec![url.to_owned(), without_port(url), with_port(url)];
    if let Ok(parsed) = Url::parse(url) {
        let normal = parsed.to_string();
        all.extend([without_port(&normal), with_port(&normal)]);
    }
    if socket {
        let other: Vec<String> = all.iter().filter_map(|url| other_slash(url)).collect();
        all.extend(other);
    }
    all.sort();
    all.dedup();
    all
}

/// Scheme with `://`, user part with `@`, host, port, the rest.
fn split(url: &str) -> Option<(&str, &str, &str, &str, &str)> {
    let after_scheme = url.find("://")? + 3;
    let (scheme, rest) = url.split_at(after_scheme);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host_at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, host_and_port) = authority.split_at(host_at);
    // In an IPv6 address the port's colon comes after the bracket.
    let from = host_and_port.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match host_and_port[from..].find(':') {
        Some(colon) => (&host_and_port[..from + colon], &host_and_port[from + colon + 1..]),
        None => (host_and_port, ""),
    };
    Some((scheme, user, host, port, rest))
}

fn without_port(url: &str) -> String {
    split(url).map_or_else(|| url.to_owned(), |(scheme, user, host, _, rest)| format!("{scheme}{user}{host}{rest}"))
}

fn with_port(url: &str) -> String {
    match split(url) {
        Some((scheme, user, host, "", rest)) => {
            let secure = scheme.eq_ignore_ascii_case("https://") || scheme.eq_ignore_ascii_case("wss://");
            format!("{scheme}{user}{host}:{}{rest}", if secure { "443" } else { "80" })
        }
        Some(_) | None => url.to_owned(),
    }
}

fn other_slash(url: &str) -> Option<String> {
    let (_, _, _, _, rest) = split(url)?;
    let start = &url[..url.len() - rest.len()];
    match rest {
        "" => Some(format!("{start}/")),
        "/" => Some(start.to_owned()),
        _ if rest.starts_with('?') => Some(format!("{start}/{rest}")),
        _ if rest.starts_with("/?") => Some(format!("{start}{}", &rest[1..])),
        _ => None,
    }
}

fn query_field(url: &str, name: &str) -> Option<String> {
    let query = url.split_once('?')?.1.split('#').next()?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const SIGNED: &str = "GvWf1cFY/Q7PnoempGyD5oXAezc=";
    const SOCKET: &str = "wss://mycompany.com/stream";
    const SOCKET_SIGNED: &str = "DlELQE5iuG0XFAEQgMbv2UNcQU4=";

    fn token() -> SecretString {
        "12345".into()
    }

    fn form() -> Form {
        Form::of(&[
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
        ])
    }

    fn check(url: &str, covered: Covered<'_>, header: &str) -> Result<(), Unverified> {
        verify(&[&token()], url, covered, Some(header))
    }

    #[test]
    fn the_vendors_vectors_are_made_and_believed() {
        let form = form();
        assert_eq!(sign(&token(), URL, Covered::Form(&form)), SIGNED);
        assert_eq!(check(URL, Covered::Form(&form), SIGNED), Ok(()));
        assert_eq!(sign(&token(), SOCKET, Covered::Address), SOCKET_SIGNED);
        assert_eq!(check(SOCKET, Covered::Address, SOCKET_SIGNED), Ok(()));
        assert_eq!(verify(&[&"next".into(), &token()], SOCKET, Covered::Address, Some(SOCKET_SIGNED)), Ok(()));
    }

    #[test]
    fn ports_that_a_proxy_adds_or_takes_away_do_not_matter() {
        let form = form();
        for (signed, seen) in [
            (URL, "https://mycompany.com:443/myapp.php?foo=1&bar=2"),
            ("https://mycompany.com:443/myapp.php?foo=1&bar=2", URL),
            (URL, "https://mycompany.com:8443/myapp.php?foo=1&bar=2"),
            ("http://h/x", "http://h:80/x"),
            ("http://h:80/x", "http://h/x"),
            ("https://[::1]/x", "https://[::1]:443/x"),
            ("https://u:p@h/x", "https://u:p@h:443/x"),
        ] {
            let header = sign(&token(), signed, Covered::Form(&form));
            assert_eq!(check(seen, Covered::Form(&form), &header), Ok(()), "signed {signed}, seen {seen}");
        }
        for (signed, seen) in [
            ("wss://h", "wss://h/"),
            ("wss://h/", "wss://h"),
            ("wss://h/", "wss://h:443/"),
            ("wss://h?a=1", "wss://h/?a=1"),
        ] {
            let header = sign(&token(), signed, Covered::Address);
            assert_eq!(check(seen, Covered::Address, &header), Ok(()), "signed {signed}, seen {seen}");
        }
        // Another path is another address.
        let header = sign(&token(), "wss://h/a", Covered::Address);
        assert_eq!(check("wss://h/a/", Covered::Address, &header), Err(Unverified::Wrong));
    }

    #[test]
    fn repeated_fields_count_once_per_value_and_new_ones_count_too() {
        let twice = Form::of(&[("A", "2"), ("A", "1"), ("A", "2")]);
        let once = Form::of(&[("A", "1"), ("A", "2")]);
        assert_eq!(
            sign(&token(), "https://h/", Covered::Form(&twice)),
            sign(&token(), "https://h/", Covered::Form(&once))
        );
        let mut fields: Vec<(&str, &str)> = vec![("Invented", "yes"), ("CallSid", "CA1")];
        let header = sign(&token(), "https://h/", Covered::Form(&Form::of(&fields)));
        fields.remove(0);
        assert_eq!(check("https://h/", Covered::Form(&Form::of(&fields)), &header), Err(Unverified::Wrong));
    }

    #[test]
    fn a_json_body_is_covered_by_its_hash() {
        let (body, other) = (br#"{"a":1}"#, br#"{"a":2}"#);
        let url = with_body_hash("https://h/x?y=1", body);
        assert!(url.ends_with("&bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"), "{url}");
        let header = sign(&token(), &url, Covered::Body(body));
        assert_eq!(check(&url, Covered::Body(body), &header), Ok(()));
        assert_eq!(check(&url, Covered::Body(other), &header), Err(Unverified::Wrong));
        let bare = sign(&token(), "https://h/x", Covered::Address);
        assert_eq!(check("https://h/x", Covered::Body(body), &bare), Err(Unverified::Malformed), "no hash, no body");
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let form = form();
        let covered = Covered::Form(&form);
        assert_eq!(verify(&[], URL, covered, Some(SIGNED)), Err(Unverified::NoKey));
        assert_eq!(verify(&[&token()], URL, covered, None), Err(Unverified::Missing));
        assert_eq!(check(URL, covered, ""), Err(Unverified::Missing));
        assert_eq!(check(URL, covered, &SIGNED.to_lowercase()), Err(Unverified::Wrong));
        assert_eq!(check(&URL.replace("bar=2", "bar=3"), covered, SIGNED), Err(Unverified::Wrong));
        assert_eq!(check(URL, covered, &"A".repeat(5000)), Err(Unverified::Malformed));
        assert_eq!(verify(&[&"other".into()], URL, covered, Some(SIGNED)), Err(Unverified::Wrong));
        assert_eq!(check("not an address", Covered::Address, SIGNED), Err(Unverified::Wrong));
    }

    proptest! {
        #[test]
        fn any_address_form_and_header_is_answered(url in "\\PC{0,60}", body in "\\PC{0,60}", header in "\\PC{0,40}") {
            let form = Form::read(body.as_bytes()).expect("short");
            prop_assert!(check(&url, Covered::Form(&form), &header).is_err());
            prop_assert!(check(&url, Covered::Body(body.as_bytes()), &header).is_err());
        }

        #[test]
        fn what_is_signed_is_believed_with_and_without_a_port(
            host in "[a-z]{1,8}", path in "(/[A-Za-z0-9%' ._-]{0,8}){0,3}", port in proptest::option::of(1_u16..),
            fields in proptest::collection::vec(("[A-Za-z]{1,6}", "\\PC{0,8}"), 0..6),
        ) {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let url = format!("https://{host}{port}{path}");
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let form = Form::of(&fields);
            let header = sign(&token(), &url, Covered::Form(&form));
            prop_assert_eq!(check(&url, Covered::Form(&form), &header), Ok(()));
        }
    }
}
