//! Ordinary sites: links, site maps, rules, canonical addresses, repeats.

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use colloquy_knowledge::crawl::{CrawlEvent, CrawlJob, Crawler, Limits, Mode, PageKind, Reason, Skip, Stop};
use tokio_util::sync::CancellationToken;

use crate::site::{Site, bytes, config, crawl, crawl_with, html, job, limits, page, redirect};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("pack");
    encoder.finish().expect("packed")
}

#[tokio::test]
async fn a_small_site_is_read_whole_with_progress() {
    let site = Site::serve(vec![
        (
            "/",
            page(
                "Home",
                &["/a", "/b?utm_source=x", "https://elsewhere.example/", "/photo.jpg", "/missing", "tel:+155501"],
            ),
        ),
        ("/a", page("Alpha", &["/", "/b", "/a#top"])),
        ("/b", page("Beta", &["/a/"])),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.paths(), ["/", "/a", "/b"]);
    assert_eq!(seen.failed("/missing"), Some(Reason::Status { status: 404 }));
    let summary = seen.summary();
    assert_eq!((summary.found, summary.changed, summary.failed, summary.stop), (4, 3, 1, Stop::Finished));
    assert_eq!(summary.contacts, ["tel:+155501"]);
    let home = seen.pages()[0];
    assert_eq!((home.document.title.as_str(), home.depth, home.kind), ("Home", 0, PageKind::Html));
    assert_eq!(home.document.markdown, "# Home\n\nThis page is about Home only.");
    assert_eq!(home.content_hash, home.document.content_hash());
    assert!(matches!(seen.events.last(), Some(CrawlEvent::Progress { found: 4, done: 3, failed: 1 })));
    assert!(
        site.agents()
            .iter()
            .all(|agent| agent.starts_with("ColloquyBot/") && agent.contains("(+https://colloquy.example/bot)"))
    );
    assert!(!site.asked().iter().any(|path| path.contains("photo") || path.contains("utm")));
}

#[tokio::test]
async fn what_robots_forbids_is_not_asked_for_and_its_site_map_is_read() {
    let site = Site::serve(vec![
        (
            "/robots.txt",
            bytes("text/plain", b"User-agent: *\nDisallow: /private\nSitemap: http://{host}/maps/all.xml\n".to_vec()),
        ),
        ("/", page("Home", &["/private/x", "/open"])),
        ("/open", redirect("/private/y")),
        (
            "/maps/all.xml",
            bytes(
                "application/xml",
                b"<sitemapindex><sitemap><loc>http://{host}/maps/1.xml.gz</loc></sitemap></sitemapindex>".to_vec(),
            ),
        ),
        ("/mapped", page("Mapped", &[])),
    ])
    .await;
    site.put(
        "/maps/1.xml.gz",
        bytes(
            "application/gzip",
            gzip(&format!(
                "<urlset><url><loc>{}</loc></url><url><loc>http://other.example/</loc></url></urlset>",
                site.url("/mapped")
            )),
        ),
    );
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.paths(), ["/", "/mapped"]);
    assert_eq!(seen.failed("/private/x"), Some(Reason::RobotsDisallow));
    assert_eq!(seen.failed("/open"), Some(Reason::RobotsDisallow), "a redirect leads nowhere that is forbidden");
    assert!(!site.asked().iter().any(|path| path.starts_with("/private")));
}

#[tokio::test]
async fn rules_that_cannot_be_read_forbid_everything() {
    let site = Site::serve(vec![("/robots.txt", html("oops").status(500)), ("/", page("Home", &[]))]).await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.failed("/"), Some(Reason::RobotsDisallow));
    assert_eq!(site.asked(), ["/robots.txt"]);
}

#[tokio::test]
async fn crawl_delay_is_kept_and_capped() {
    let site = Site::serve(vec![
        ("/robots.txt", bytes("text/plain", b"User-agent: *\nCrawl-delay: 3600\n".to_vec())),
        ("/", page("Home", &["/a", "/b"])),
        ("/a", page("Alpha", &[])),
        ("/b", page("Beta", &[])),
    ])
    .await;
    let delay = Duration::from_millis(150);
    let begun = Instant::now();
    let seen = crawl(CrawlJob { limits: Limits { max_crawl_delay: delay, ..limits() }, ..job(site.url("/")) }).await;
    assert_eq!(seen.paths().len(), 3);
    // Since the begin, because a question that was long on its way would be nearer to the next one. A timer may fire up to a millisecond early.
    for (before, at) in (0_u32..).zip(site.times()) {
        let waited = at - begun;
        assert!(waited >= (delay - Duration::from_millis(2)) * before, "{before} questions before, after {waited:?}");
    }
}

#[tokio::test]
async fn site_map_mode_reads_what_is_listed_and_nothing_else() {
    let site = Site::serve(vec![
        ("/", page("Home", &["/linked"])),
        ("/sitemap.xml", bytes("text/xml", b"<urlset><url><loc>http://{host}/listed</loc></url></urlset>".to_vec())),
        ("/other.xml", bytes("text/xml", b"<urlset><url><loc>/relative</loc></url></urlset>".to_vec())),
        ("/listed", page("Listed", &["/linked"])),
        ("/relative", page("Relative", &[])),
        ("/linked", page("Linked", &[])),
    ])
    .await;
    let seen = crawl(CrawlJob { mode: Mode::Sitemap, ..job(site.url("/")) }).await;
    assert_eq!(seen.paths(), ["/listed"]);
    let seen = crawl(CrawlJob { mode: Mode::Sitemap, ..job(site.url("/other.xml")) }).await;
    assert_eq!(seen.paths(), ["/relative"]);
    let seen = crawl(CrawlJob { mode: Mode::Sitemap, ..job(site.url("/none.xml")) }).await;
    assert_eq!(seen.failed("/none.xml"), Some(Reason::Status { status: 404 }));
}

#[tokio::test]
async fn canonical_pages_stand_for_their_variants_but_not_for_everything() {
    let shop = |canonical: &str, extra: &str| {
        html(format!(
            "<link rel=canonical href='{canonical}'><main><h1>Shop</h1><p>All our tools.</p><p>Hammers.</p><p>{extra}</p></main>"
        ))
    };
    let site = Site::serve(vec![
        ("/", page("Home", &["/shop?sort=price", "/shop", "/lying"])),
        ("/shop", shop("/shop", "")),
        ("/shop?sort=price", shop("/shop", "Sorted by price.")),
        ("/lying", html("<link rel=canonical href='/'><main><p>A text of its own.</p></main>")),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.paths(), ["/", "/lying", "/shop"], "a canonical link to a page with another text is not believed");
    assert_eq!(seen.skipped("/shop?sort=price"), Some(Skip::Canonical { of: site.url("/shop") }));
}

#[tokio::test]
async fn the_same_text_at_two_addresses_is_read_once() {
    let same = || html("<main><p>The very same text.</p></main>").header("x-test", "1");
    let site = Site::serve(vec![
        ("/", page("Home", &["/one", "/two", "/three"])),
        ("/one", same()),
        ("/two", same()),
        ("/three", redirect("/one")),
    ])
    .await;
    let mut titled = same();
    titled.body = b"<title>T</title><main><p>The very same text.</p></main>".to_vec();
    site.put("/one", titled.clone());
    site.put("/two", titled);
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.pages().len(), 2);
    let repeats = ["/one", "/two", "/three"]
        .iter()
        .filter(|path| matches!(seen.skipped(path), Some(Skip::Duplicate { .. })))
        .count();
    assert_eq!(repeats, 2);
}

#[tokio::test]
async fn noindex_and_nofollow_are_honoured_in_pages_and_headers() {
    let site = Site::serve(vec![
        ("/", page("Home", &["/meta", "/header", "/closed"])),
        ("/meta", html("<meta name=robots content=noindex><main><p>Hidden.</p><a href=/behind>x</a></main>")),
        ("/header", page("Header", &[]).header("x-robots-tag", "noindex, nofollow")),
        ("/closed", html("<meta name=robots content=nofollow><main><p>Closed page.</p><a href=/never>x</a></main>")),
        ("/behind", page("Behind", &[])),
        ("/never", page("Never", &[])),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.paths(), ["/", "/behind", "/closed"]);
    assert_eq!((seen.skipped("/meta"), seen.skipped("/header")), (Some(Skip::NoIndex), Some(Skip::NoIndex)));
    assert!(!site.asked().contains(&"/never".to_owned()));
}

#[tokio::test]
async fn unchanged_pages_are_told_without_their_text() {
    let site = Site::serve(vec![("/", page("Home", &["/a"])), ("/a", page("Alpha", &[]))]).await;
    let first = crawl(job(site.url("/"))).await;
    let known: HashMap<String, String> =
        first.pages().iter().map(|page| (page.url.clone(), page.content_hash.clone())).collect();
    site.put("/a", page("Alpha and more", &[]));
    let second = crawl(CrawlJob { known, ..job(site.url("/")) }).await;
    assert_eq!(second.paths(), ["/a"]);
    let unchanged = second
        .events
        .iter()
        .filter(|event| matches!(event, CrawlEvent::PageUnchanged { title, .. } if title == "Home"))
        .count();
    assert_eq!((unchanged, second.summary().unchanged, second.summary().changed), (1, 1, 1));
}

#[tokio::test]
async fn pages_in_old_charsets_and_plain_text_are_read() {
    let site = Site::serve(vec![
        ("/", page("Home", &["/latin", "/notes.md", "/mislabelled"])),
        ("/latin", bytes("text/html; charset=windows-1252", b"<main><p>Caf\xe9 \x80 5</p></main>".to_vec())),
        ("/notes.md", bytes("text/markdown", b"# Notes\n\nWritten by hand.".to_vec())),
        ("/mislabelled", bytes("text/plain", b"<!doctype html><html><body><p>Really a page.</p>".to_vec())),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    let text = |wanted: &str| {
        seen.pages()
            .iter()
            .find(|page| page.url.ends_with(wanted))
            .map(|page| (page.kind, page.document.markdown.clone()))
    };
    assert_eq!(text("/latin"), Some((PageKind::Html, "Café € 5".to_owned())));
    assert_eq!(text("/notes.md"), Some((PageKind::Text, "# Notes\n\nWritten by hand.".to_owned())));
    assert_eq!(text("/mislabelled"), Some((PageKind::Html, "Really a page.".to_owned())));
}

#[tokio::test]
async fn page_and_depth_limits_hold() {
    let links: Vec<String> = (0..40).map(|n| format!("/p{n}")).collect();
    let names: Vec<&str> = links.iter().map(String::as_str).collect();
    let mut answers = vec![("/", page("Home", &names))];
    answers.extend(names.iter().map(|name| (*name, page(name, &[]))));
    let site = Site::serve(answers).await;
    let seen = crawl(CrawlJob { limits: Limits { max_pages: 7, ..limits() }, ..job(site.url("/")) }).await;
    assert_eq!((seen.pages().len(), seen.summary().stop), (7, Stop::PageLimit));
    assert!(site.asked().len() <= 7 + 2, "nothing was fetched in vain: {:?}", site.asked());

    let chain = Site::serve(vec![
        ("/", page("0", &["/1"])),
        ("/1", page("1", &["/2"])),
        ("/2", page("2", &["/3"])),
        ("/3", page("3", &[])),
    ])
    .await;
    let seen = crawl(CrawlJob { limits: Limits { max_depth: 2, ..limits() }, ..job(chain.url("/")) }).await;
    assert_eq!(seen.paths(), ["/", "/1", "/2"]);
}

#[tokio::test]
async fn bytes_in_all_are_limited() {
    let big = |name: &str| html(format!("<main><p>{name} {}</p></main>", "word ".repeat(4_000)));
    let site = Site::serve(vec![
        ("/", page("Home", &["/a", "/b", "/c", "/d"])),
        ("/a", big("a")),
        ("/b", big("b")),
        ("/c", big("c")),
        ("/d", big("d")),
    ])
    .await;
    let seen = crawl(CrawlJob {
        limits: Limits { max_total_bytes: 30_000, concurrency: 1, ..limits() },
        ..job(site.url("/"))
    })
    .await;
    assert_eq!((seen.pages().len(), seen.summary().stop), (3, Stop::ByteLimit));
}

#[tokio::test]
async fn a_start_that_moved_to_another_host_is_followed_there() {
    // `localhost` and `127.0.0.1` are two hosts to a crawler.
    let site = Site::serve(vec![("/new", page("New home", &["/a"])), ("/a", page("Alpha", &[]))]).await;
    let moved = format!("http://localhost:{}/new", site.address.port());
    let old = Site::serve(vec![("/", redirect(&moved))]).await;
    let seen = crawl(job(old.url("/"))).await;
    assert_eq!(seen.paths(), ["/a", "/new"]);
    assert!(seen.events.contains(&CrawlEvent::SiteMoved { to: moved.clone() }));
    assert_eq!(seen.summary().start, moved);
}

#[tokio::test]
async fn a_busy_server_is_asked_once_more() {
    let site = Site::serve(vec![
        ("/", page("Busy", &[]).status(503).header("retry-after", "0")),
        ("/", page("Home", &["/never"])),
        ("/never", page("Never", &[]).status(429).header("retry-after", "0")),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.paths(), ["/"]);
    assert_eq!(seen.failed("/never"), Some(Reason::Status { status: 429 }));
    assert_eq!(site.asked().iter().filter(|path| *path == "/never").count(), 2);
}

#[tokio::test]
async fn an_address_without_scheme_falls_back_to_http() {
    let site = Site::serve(vec![("/", page("Home", &[]))]).await;
    let seen = crawl(job(site.address.to_string())).await;
    assert_eq!(seen.paths(), ["/"]);
}

#[tokio::test]
async fn a_cancelled_crawl_ends_and_so_does_one_nobody_listens_to() {
    let mut stuck = page("Stuck", &[]);
    stuck.stalls = true;
    let site = Site::serve(vec![("/", page("Home", &["/stuck"])), ("/stuck", stuck)]).await;
    let cancel = CancellationToken::new();
    let crawling = tokio::spawn(crawl_with(
        config(),
        CrawlJob {
            limits: Limits {
                request_timeout: Duration::from_secs(600),
                max_time: Duration::from_secs(600),
                ..limits()
            },
            ..job(site.url("/"))
        },
        cancel.clone(),
    ));
    while !site.asked().contains(&"/stuck".to_owned()) {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    let seen = crawling.await.expect("task");
    assert_eq!((seen.summary().stop, seen.pages().len()), (Stop::Cancelled, 1));

    let (sink, events) = tokio::sync::mpsc::channel(1);
    drop(events);
    let summary = Crawler::new(config())
        .expect("crawler")
        .crawl(job(site.url("/")), CancellationToken::new(), sink)
        .await
        .expect("start");
    assert_eq!(summary.stop, Stop::SinkClosed);
}
