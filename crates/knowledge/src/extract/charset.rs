//! Turns a page's bytes into text: byte order mark, then header, then `<meta>`, then what the bytes themselves say.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How many first bytes may hold the `<meta>` that names the charset. The standard asks for 1,024; real pages put scripts before it.
const META_WINDOW: usize = 4_096;

/// The text of `bytes`. Never fails: what cannot be decoded becomes U+FFFD.
#[must_use]
pub fn decode<'a>(bytes: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    let named = content_type.and_then(from_content_type).or_else(|| from_meta(bytes));
    match named {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0,
        // An unlabelled page is UTF-8 when it can be, else the web's historic default.
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        },
    }
}

/// The charset that a `Content-Type` header names.
fn from_content_type(header: &str) -> Option<&'static Encoding> {
    let lower = header.to_ascii_lowercase();
    let label = lower.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset"))?;
    let label = label.trim_start().strip_prefix('=')?;
    Encoding::for_label(label.trim().trim_matches(['"', '\'']).as_bytes())
}

/// The charset that a `<meta charset>` or `<meta http-equiv>` near the start names.
fn from_meta(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(META_WINDOW)].to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = find(&head[from..], b"<meta") {
        let start = from + at;
        let end = find(&head[start..], b">").map_or(head.len(), |close| start + close);
        if let Some(encoding) = label_in(&head[start..end]) {
            // A page that was read as ASCII up to here cannot be UTF-16, whatever it says (WHATWG HTML §13.2.3.2).
            return Some(if encoding.is_ascii_compatible() { encoding } else { UTF_8 });
        }
        from = end;
    }
    None
}

fn label_in(tag: &[u8]) -> Option<&'static Encoding> {
    let at = find(tag, b"charset")? + b"charset".len();
    let rest = tag[at..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let end = rest.iter().position(|b| matches!(b, b'"' | b'\'' | b';' | b' ' | b'/' | b'>')).unwrap_or(rest.len());
    Encoding::for_label(&rest[..end])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decode;

    #[test]
    fn the_label_closest_to_the_bytes_wins() {
        let cases: [(&[u8], Option<&str>, &str); 9] = [
            (b"caf\xe9", Some("text/html; charset=windows-1252"), "café"),
            (b"caf\xe9", Some("text/html; charset=\"ISO-8859-1\""), "café"),
            (b"caf\xe9", None, "café"),
            (b"caf\xc3\xa9", None, "café"),
            (b"\xef\xbb\xbfcaf\xc3\xa9", Some("text/html; charset=windows-1252"), "café"),
            (b"\xff\xfec\0a\0f\0\xe9\0", Some("text/html"), "café"),
            (b"<meta charset='windows-1251'>\xe4\xe0", None, "<meta charset='windows-1251'>да"),
            (
                b"<meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">\xc4\xc1",
                Some("text/html"),
                "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=koi8-r\">да",
            ),
            (b"<meta charset=utf-16le>ok", None, "<meta charset=utf-16le>ok"),
        ];
        for (bytes, header, expected) in cases {
            assert_eq!(decode(bytes, header), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_under_any_label_become_bounded_text(bytes in prop::collection::vec(any::<u8>(), 0..400), label in "[a-z0-9-]{0,12}") {
            let header = format!("text/html; charset={label}");
            // U+FFFD takes three bytes, so text can be at most three times as long as what it came from.
            prop_assert!(decode(&bytes, Some(&header)).len() <= bytes.len() * 3 + 3);
            prop_assert!(decode(&bytes, None).len() <= bytes.len() * 3 + 3);
        }
    }
}
