//! Which addresses are the same page, and which belong to the same site.

use url::{Host, Url};

use crate::{Error, Result};

/// Longer addresses are generated without end.
pub(super) const MAX_URL_BYTES: usize = 2_048;
/// A path in which one segment comes back more often than this runs in circles (`/a/b/a/b/a/b`).
const MAX_REPEATS: usize = 2;
/// Deeper paths are not pages people link to.
const MAX_SEGMENTS: usize = 16;

/// Parameters that follow visitors and do not choose the page.
const TRACKING: [&str; 22] = [
    "_ga",
    "_gl",
    "_hsenc",
    "_hsmi",
    "dclid",
    "fbclid",
    "gad_source",
    "gbraid",
    "gclid",
    "gclsrc",
    "igshid",
    "jsessionid",
    "mc_cid",
    "mc_eid",
    "mkt_tok",
    "msclkid",
    "phpsessid",
    "sessionid",
    "sid",
    "ttclid",
    "wbraid",
    "yclid",
];

/// Endings of files that are not pages; links to them are not followed, except `pdf`, whose text may be wanted.
const FILES: [&str; 50] = [
    "7z", "apk", "avi", "avif", "bin", "bmp", "bz2", "css", "csv", "deb", "dmg", "doc", "docx", "eot", "epub", "exe",
    "gif", "gz", "ico", "ics", "iso", "jar", "jpeg", "jpg", "js", "json", "m4a", "m4v", "map", "mjs", "mov", "mp3",
    "mp4", "mpg", "ogg", "otf", "png", "ppt", "pptx", "rar", "rss", "svg", "tar", "ttf", "wav", "webm", "webp", "woff",
    "woff2", "zip",
];

/// Reads what a person types as a website: `acme.example`, `www.acme.example/shop` or a whole address.
///
/// # Errors
/// [`Error::BadAddress`].
pub fn parse_start(typed: &str) -> Result<Url> {
    let bad =
        |reason: &str| Error::BadAddress { address: typed.chars().take(200).collect(), reason: reason.to_owned() };
    let typed_trimmed = typed.trim();
    if typed_trimmed.is_empty() || typed_trimmed.len() > MAX_URL_BYTES {
        return Err(bad("it is empty or too long"));
    }
    let with_scheme =
        if typed_trimmed.contains("://") { typed_trimmed.to_owned() } else { format!("https://{typed_trimmed}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it must not hold a user name or password"));
    }
    match url.host() {
        Some(Host::Domain(name)) if !name.contains('.') && name != "localhost" => {
            return Err(bad("its host has no domain"));
        }
        Some(_) => {}
        None => return Err(bad("it has no host")),
    }
    url.set_fragment(None);
    Ok(url)
}

/// The address to ask for: without fragment and tracking parameters. `None` for what no page can be behind.
pub(super) fn clean(mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https")
        || url.as_str().len() > MAX_URL_BYTES
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return None;
    }
    url.set_fragment(None);
    if url.query().is_some() {
        let kept: Vec<&str> =
            url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !is_tracking(pair)).collect();
        let query = kept.join("&");
        url.set_query((!query.is_empty()).then_some(query.as_str()));
    }
    if let Some(at) = url.path().to_ascii_lowercase().find(";jsessionid=") {
        let path = url.path()[..at].to_owned();
        url.set_path(&path);
    }
    (!is_circular(url.path()) && !is_file(url.path())).then_some(url)
}

/// What two spellings of one page have in common: scheme, `www.`, a closing slash, `index.html` and the order of parameters do
/// not matter.
pub(super) fn key(url: &Url) -> String {
    let host = site_host(url);
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut path = url.path();
    for index in ["/index.html", "/index.htm", "/index.php"] {
        path = path.strip_suffix(index).unwrap_or(path);
    }
    let path = path.trim_end_matches('/');
    let mut pairs: Vec<&str> = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { format!("{host}{port}{path}") } else { format!("{host}{port}{path}?{}", pairs.join("&")) }
}

/// Host and path without the query: what query explosions have in common.
pub(super) fn path_key(url: &Url) -> String {
    format!("{}{}", site_host(url), url.path().trim_end_matches('/'))
}

/// Whether two addresses belong to one site: the same host but for `www.`, and the same port but for http and https.
pub(super) fn same_site(a: &Url, b: &Url) -> bool {
    let port = |url: &Url| url.port(); // `None` for the default of either scheme.
    site_host(a) == site_host(b) && port(a) == port(b)
}

fn site_host(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.strip_prefix("www.").unwrap_or(host).trim_end_matches('.')
}

fn is_tracking(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default().to_ascii_lowercase();
    name.starts_with("utm_") || TRACKING.binary_search(&name.as_str()).is_ok()
}

fn is_circular(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    segments.len() > MAX_SEGMENTS
        || segments.iter().any(|segment| segments.iter().filter(|other| *other == segment).count() > MAX_REPEATS)
}

fn is_file(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').is_some_and(|(_, ending)| FILES.binary_search(&ending.to_ascii_lowercase().as_str()).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::{FILES, TRACKING, clean, key, parse_start, same_site};

    fn url(text: &str) -> Url {
        Url::parse(text).expect("url")
    }

    #[test]
    fn tables_are_sorted_because_they_are_searched_by_halves() {
        assert!(FILES.is_sorted() && TRACKING.is_sorted());
    }

    #[test]
    fn what_people_type_becomes_an_address() {
        for (typed, expected) in [
            ("acme.example", "https://acme.example/"),
            (" http://www.acme.example/shop#top ", "http://www.acme.example/shop"),
            ("127.0.0.1:8080/x", "https://127.0.0.1:8080/x"),
            ("http://localhost:3000", "http://localhost:3000/"),
            ("bücher.example", "https://xn--bcher-kva.example/"),
        ] {
            assert_eq!(parse_start(typed).expect("address").as_str(), expected);
        }
        for typed in [
            "",
            "ftp://acme.example",
            "not a site",
            "acme",
            "https://user:pass@acme.example",
            "https://",
            "javascript:alert(1)",
            "file:///etc/passwd",
        ] {
            assert!(parse_start(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn spellings_of_one_page_have_one_key() {
        let page = key(&clean(url("https://www.acme.example/shop/?b=2&a=1&utm_source=x&gclid=7#top")).expect("page"));
        for other in [
            "http://acme.example/shop?a=1&b=2",
            "https://acme.example/shop/index.html?b=2&a=1",
            "https://ACME.example:443/shop?a=1&b=2",
        ] {
            assert_eq!(key(&clean(url(other)).expect("page")), page, "{other}");
        }
        for other in [
            "https://acme.example/shop?a=1",
            "https://acme.example/Shop?a=1&b=2",
            "https://acme.example:8443/shop?a=1&b=2",
        ] {
            assert_ne!(key(&clean(url(other)).expect("page")), page, "{other}");
        }
    }

    #[test]
    fn traps_and_files_are_not_pages() {
        for trap in [
            "https://a.example/x/y/x/y/x/y",
            "https://a.example/photo.JPG",
            "https://a.example/app.js?v=3",
            "https://u:p@a.example/",
            "https://a.example/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
            "mailto:x@a.example",
        ] {
            assert_eq!(clean(url(trap)), None, "{trap}");
        }
        assert_eq!(clean(url("https://a.example/s;jsessionid=1A")).expect("page").as_str(), "https://a.example/s");
        assert!(clean(url("https://a.example/menu.pdf")).is_some());
    }

    #[test]
    fn a_site_is_its_host_with_or_without_www() {
        let site = url("https://www.acme.example/");
        for (other, same) in [
            ("http://acme.example/x", true),
            ("https://shop.acme.example/", false),
            ("https://acme.example.evil.example/", false),
            ("https://acme.example:8443/", false),
        ] {
            assert_eq!(same_site(&site, &url(other)), same, "{other}");
        }
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing(path in "[a-z0-9/;=.%]{0,40}", query in "[a-z0-9=&_%]{0,40}") {
            if let Some(once) = Url::parse(&format!("https://a.example/{path}?{query}")).ok().and_then(clean) {
                prop_assert_eq!(clean(once.clone()), Some(once));
            }
        }

        #[test]
        fn whatever_is_typed_never_panics(typed in ".{0,60}") {
            let _ = parse_start(&typed);
        }
    }
}
