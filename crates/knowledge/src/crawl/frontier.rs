//! The addresses still to be read, nearest first, and those already seen.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use url::Url;

use super::urls;

/// Variants of one path by its query that are read: a shop's filters and a calendar's months go on for ever.
const MAX_QUERIES_PER_PATH: usize = 20;
/// Addresses remembered per page allowed; a site with more is only partly read anyway.
const REMEMBERED_PER_PAGE: usize = 20;
/// The least and the most addresses remembered.
const REMEMBERED: (usize, usize) = (2_000, 50_000);

/// An address to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Links away from the start.
    pub depth: u32,
    /// Pages with a query come after those without.
    has_query: bool,
    /// Short paths are more general.
    segments: usize,
    /// The order of discovery.
    number: usize,
    pub url: Url,
    pub key: String,
}

impl Entry {
    /// The address a person gave.
    pub(super) fn start(url: Url, key: String) -> Self {
        Entry { depth: 0, has_query: false, segments: 0, number: 0, url, key }
    }
}

#[derive(Debug)]
pub(super) struct Frontier {
    waiting: BinaryHeap<Reverse<Entry>>,
    seen: HashSet<String>,
    queries: HashMap<String, usize>,
    capacity: usize,
}

impl Frontier {
    pub(super) fn new(max_pages: usize) -> Self {
        let capacity = max_pages.saturating_mul(REMEMBERED_PER_PAGE).clamp(REMEMBERED.0, REMEMBERED.1);
        Frontier { waiting: BinaryHeap::new(), seen: HashSet::new(), queries: HashMap::new(), capacity }
    }

    /// Adds an address unless it is known, a trap, or one too many. Returns whether it was added.
    pub(super) fn add(&mut self, url: Url, depth: u32) -> bool {
        let Some(url) = urls::clean(url) else {
            return false;
        };
        let key = urls::key(&url);
        if self.seen.len() >= self.capacity || self.seen.contains(&key) {
            return false;
        }
        let has_query = url.query().is_some();
        if has_query {
            let variants = self.queries.entry(urls::path_key(&url)).or_default();
            if *variants >= MAX_QUERIES_PER_PATH {
                return false;
            }
            *variants += 1;
        }
        let segments = url.path().split('/').filter(|segment| !segment.is_empty()).count();
        self.seen.insert(key.clone());
        self.waiting.push(Reverse(Entry { depth, has_query, segments, number: self.seen.len(), url, key }));
        true
    }

    /// Marks an address as seen that was reached by a redirect. False when it was known already.
    pub(super) fn mark(&mut self, key: &str) -> bool {
        self.seen.insert(key.to_owned())
    }

    pub(super) fn next(&mut self) -> Option<Entry> {
        self.waiting.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Frontier, MAX_QUERIES_PER_PATH};

    fn url(text: &str) -> Url {
        Url::parse(text).expect("url")
    }

    #[test]
    fn nearest_and_plainest_addresses_come_first() {
        let mut frontier = Frontier::new(10);
        for (address, depth) in [
            ("https://a.example/x?p=2", 1),
            ("https://a.example/x/y/z", 1),
            ("https://a.example/deep", 2),
            ("https://a.example/b", 1),
        ] {
            assert!(frontier.add(url(address), depth));
        }
        let order: Vec<String> =
            std::iter::from_fn(|| frontier.next()).map(|entry| entry.url.path().to_owned()).collect();
        assert_eq!(order, ["/b", "/x/y/z", "/x", "/deep"]);
    }

    #[test]
    fn one_path_cannot_fill_the_frontier_with_queries() {
        let mut frontier = Frontier::new(10);
        let added = (0..1_000).filter(|n| frontier.add(url(&format!("https://a.example/list?page={n}")), 1)).count();
        assert_eq!(added, MAX_QUERIES_PER_PATH);
    }

    #[test]
    fn the_frontier_is_bounded() {
        let mut frontier = Frontier::new(1);
        let added = (0..5_000).filter(|n| frontier.add(url(&format!("https://a.example/{n}")), 1)).count();
        assert_eq!(added, super::REMEMBERED.0);
        assert!(!frontier.is_empty());
    }
}
