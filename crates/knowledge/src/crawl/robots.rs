//! A site's `robots.txt`: what it forbids, how fast it allows, where its site maps are.

use std::time::Duration;

use texting_robots::Robot;

/// What crawlers must read at least (RFC 9309 §2.5); the rest is ignored.
pub(super) const MAX_ROBOTS_BYTES: usize = 500 << 10;
/// Each rule becomes a pattern; more lines than this are ignored.
const MAX_LINES: usize = 2_000;
/// A longer line is no rule for a path that exists.
const MAX_LINE_BYTES: usize = 512;
/// A rule with more wildcards costs time on every address and helps nobody.
const MAX_WILDCARDS: usize = 10;
/// More site maps than this are not looked at.
const MAX_SITEMAPS: usize = 20;

/// The name by which rules may address this crawler.
pub(super) const AGENT: &str = "colloquybot";

/// The rules for this crawler.
pub(super) struct Rules {
    verdict: Verdict,
    /// The wait between requests that the site asks for, capped by the caller.
    pub delay: Option<Duration>,
    /// Addresses of site maps as written.
    pub sitemaps: Vec<String>,
}

enum Verdict {
    All,
    Nothing,
    Some(Box<Robot>),
}

impl Rules {
    /// No file: everything is allowed (RFC 9309 §2.3.1.3).
    pub(super) fn allow_all() -> Self {
        Rules { verdict: Verdict::All, delay: None, sitemaps: Vec::new() }
    }

    /// The file exists but cannot be had: nothing is allowed (RFC 9309 §2.3.1.4).
    pub(super) fn allow_nothing() -> Self {
        Rules { verdict: Verdict::Nothing, delay: None, sitemaps: Vec::new() }
    }

    /// Reads the file. What cannot be parsed is treated as if it were not there.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let bounded = bounded(bytes);
        let Ok(robot) = Robot::new(AGENT, bounded.as_bytes()) else {
            return Rules::allow_all();
        };
        let delay = robot
            .delay
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
            .map(|seconds| Duration::from_secs_f32(seconds.min(3_600.0)));
        let sitemaps = robot.sitemaps.iter().take(MAX_SITEMAPS).cloned().collect();
        Rules { verdict: Verdict::Some(Box::new(robot)), delay, sitemaps }
    }

    /// Whether a path with its query may be fetched.
    pub(super) fn allows(&self, url: &url::Url) -> bool {
        match &self.verdict {
            Verdict::All => true,
            Verdict::Nothing => false,
            Verdict::Some(robot) => robot.allowed(url.as_str()),
        }
    }
}

/// The lines worth parsing.
fn bounded(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_ROBOTS_BYTES)]);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut out = String::new();
    let meaningful = |line: &&str| !line.is_empty() && !line.starts_with('#') && line.len() <= MAX_LINE_BYTES;
    for line in text.split(['\n', '\r', '\0']).map(str::trim).filter(meaningful).take(MAX_LINES) {
        if line.matches('*').count() <= MAX_WILDCARDS {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use url::Url;

    use super::Rules;

    fn allows(robots: &str, path: &str) -> bool {
        Rules::parse(robots.as_bytes()).allows(&Url::parse(&format!("https://a.example{path}")).expect("url"))
    }

    #[test]
    fn rules_for_everybody_and_for_this_crawler_are_honoured() {
        let robots = "User-agent: *\nDisallow: /private\nAllow: /private/open\nCrawl-delay: 2.5\nSitemap: https://a.example/map.xml\n";
        assert!(!allows(robots, "/private/x") && allows(robots, "/private/open/x") && allows(robots, "/"));
        let rules = Rules::parse(robots.as_bytes());
        assert_eq!(rules.delay, Some(Duration::from_millis(2_500)));
        assert_eq!(rules.sitemaps, ["https://a.example/map.xml"]);
        let named = "User-agent: *\nAllow: /\n\nUser-agent: ColloquyBot\nDisallow: /\n";
        assert!(!allows(named, "/x"));
        assert!(allows("", "/x") && allows("<html>404</html>", "/x"));
        assert!(!allows("User-agent: *\nDisallow: /*.pdf$\n", "/a/b.pdf"));
    }

    #[test]
    fn rules_beyond_every_limit_are_ignored() {
        let rule = |wildcards: usize| format!("User-agent: *\nDisallow: /{}\n", "*a".repeat(wildcards));
        let path = format!("/{}", "a".repeat(40));
        assert!(!allows(&rule(10), &path) && allows(&rule(11), &path));
        let many = format!("User-agent: *\n{}Disallow: /x\n", "Disallow: /y\n".repeat(2_000));
        assert!(allows(&many, "/x") && !allows(&many, "/y"));
        let long = format!("User-agent: *\nDisallow: /{}\n", "a".repeat(600));
        assert!(allows(&long, &format!("/{}", "a".repeat(600))));
    }

    #[test]
    fn a_hostile_file_costs_little() {
        let begun = Instant::now();
        let rule = format!("Disallow: /{}{}\n", "*a".repeat(10), "b".repeat(400));
        let robots = format!("User-agent: *\n{}", rule.repeat(5_000));
        let path = format!("/{}", "a".repeat(1_900));
        assert!(allows(&robots, &path));
        assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
        assert_eq!(Rules::parse(b"User-agent: *\nCrawl-delay: 1e30\n").delay, Some(Duration::from_secs(3_600)));
        assert_eq!(Rules::parse(b"User-agent: *\nCrawl-delay: NaN\n").delay, None);
        assert_eq!(Rules::parse(b"User-agent: *\nCrawl-delay: -4\n").delay, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_rules(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Rules::parse(&bytes).allows(&Url::parse("https://a.example/x").expect("url"));
        }

        #[test]
        fn any_lines_are_rules(lines in prop::collection::vec("(User-agent|Disallow|Allow|Crawl-delay|Sitemap|x): ?[*/$a-z0-9.%-]{0,20}", 0..20)) {
            let _ = allows(&lines.join("\n"), "/a/b?c=d");
        }
    }
}
