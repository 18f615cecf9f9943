//! Reads site maps: `<urlset>`, `<sitemapindex>`, plain lists of addresses, any of them gzipped.

use std::io::Read;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::extract::charset;

/// A site map once inflated (the protocol allows 50 MB; 50,000 addresses are some 8 MB).
pub(super) const MAX_SITEMAP_BYTES: usize = 10 << 20;
/// Addresses taken from one site map; the protocol's own limit.
pub(super) const MAX_ENTRIES: usize = 50_000;

/// What a site map holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sitemap {
    /// Pages.
    pub pages: Vec<String>,
    /// Further site maps.
    pub maps: Vec<String>,
}

/// Reads a site map as far as it can be read.
pub(super) fn parse(bytes: &[u8]) -> Sitemap {
    let inflated;
    let bytes = if bytes.starts_with(b"\x1f\x8b") {
        inflated = inflate(bytes);
        &inflated
    } else {
        bytes
    };
    let text = charset::decode(&bytes[..bytes.len().min(MAX_SITEMAP_BYTES)], None);
    let text = text.trim_start();
    if text.starts_with('<') {
        return parse_xml(text);
    }
    let pages = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("http"))
        .take(MAX_ENTRIES)
        .map(str::to_owned)
        .collect();
    Sitemap { pages, maps: Vec::new() }
}

/// The first [`MAX_SITEMAP_BYTES`] of what is packed; damage ends it early.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // What was read before an error stays in `out`, and half a site map is still useful.
    let _ = flate2::read::MultiGzDecoder::new(bytes).take(MAX_SITEMAP_BYTES as u64).read_to_end(&mut out);
    out
}

fn parse_xml(text: &str) -> Sitemap {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = false;
    let mut found = Sitemap::default();
    let mut in_map = false;
    let mut location: Option<String> = None;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Eof => break,
            Event::Start(tag) => match tag.local_name().as_ref() {
                "sitemap" => in_map = true,
                "url" => in_map = false,
                // Pictures and videos have locations of their own under other prefixes.
                "loc" if tag.name().prefix().is_none() => location = Some(String::new()),
                _ => {}
            },
            Event::Text(part) => {
                if let Some(location) = &mut location {
                    location.push_str(&part.xml10_content());
                }
            }
            Event::CData(part) => {
                if let Some(location) = &mut location {
                    location.push_str(&part.xml10_content());
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(location) = &mut location {
                    location.push_str(match reference.xml10_content().as_ref() {
                        "amp" | "#38" | "#x26" => "&",
                        "apos" => "'",
                        "quot" => "\"",
                        _ => "",
                    });
                }
            }
            Event::End(tag) if tag.local_name().as_ref() == "loc" => {
                let Some(location) = location.take() else {
                    continue;
                };
                let location = location.trim();
                if location.is_empty() || location.len() > super::urls::MAX_URL_BYTES {
                    continue;
                }
                let list = if in_map { &mut found.maps } else { &mut found.pages };
                list.push(location.to_owned());
                if found.maps.len() + found.pages.len() >= MAX_ENTRIES {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::{MAX_ENTRIES, MAX_SITEMAP_BYTES, Sitemap, parse};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("write");
        encoder.finish().expect("finish")
    }

    fn of(pages: &[&str], maps: &[&str]) -> Sitemap {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Sitemap { pages: owned(pages), maps: owned(maps) }
    }

    #[test]
    fn pages_indices_lists_and_gzip_are_read() {
        let pages = "<?xml version=\"1.0\"?><urlset xmlns=\"x\" xmlns:image=\"y\"><url><loc> https://a.example/?a=1&amp;b=2 </loc>\
            <image:image><image:loc>https://a.example/p.png</image:loc></image:image></url><url><loc><![CDATA[https://a.example/c]]></loc></url>";
        let expected = of(&["https://a.example/?a=1&b=2", "https://a.example/c"], &[]);
        assert_eq!(parse(pages.as_bytes()), expected, "also when it is cut off");
        assert_eq!(parse(&gzip(pages.as_bytes())), expected);
        let index = "<sitemapindex><sitemap><loc>https://a.example/1.xml.gz</loc></sitemap></sitemapindex>";
        assert_eq!(parse(index.as_bytes()), of(&[], &["https://a.example/1.xml.gz"]));
        assert_eq!(
            parse(b"https://a.example/x\nnonsense\r\nhttps://a.example/y"),
            of(&["https://a.example/x", "https://a.example/y"], &[])
        );
        assert_eq!(parse(b"<html><body>not found"), Sitemap::default());
    }

    #[test]
    fn bombs_and_endless_lists_are_cut() {
        let bomb = gzip(&vec![b' '; MAX_SITEMAP_BYTES * 3]);
        assert!(bomb.len() < 200_000);
        assert_eq!(parse(&bomb), Sitemap::default());
        let endless = format!("<urlset>{}", "<url><loc>http://a/</loc></url>".repeat(MAX_ENTRIES + 10));
        assert_eq!(parse(endless.as_bytes()).pages.len(), MAX_ENTRIES);
        let laughs = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><urlset><url><loc>http://a/&b;</loc></url></urlset>";
        assert_eq!(parse(laughs.as_bytes()), of(&["http://a/"], &[]), "entities are never expanded");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_bounded_map(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&gzip(&bytes));
            let mut cut = gzip(&bytes);
            cut.truncate(cut.len() / 2);
            let _ = parse(&cut);
        }

        #[test]
        fn any_soup_of_tags_is_a_map(parts in prop::collection::vec(prop::sample::select(vec![
            "<urlset>", "<url>", "<loc>", "</loc>", "<sitemap>", "</url>", "http://a/", "&amp;", "&", "<", "<!--", "-->", "<![CDATA[", "]]>", "<?x", "?>",
        ]), 0..40)) {
            prop_assert!(parse(parts.concat().as_bytes()).pages.len() <= 40);
        }
    }
}
