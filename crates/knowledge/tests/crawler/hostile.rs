//! Sites that are slow, huge, cyclic, mislabelled or lead into private networks: bounded, and reported page by page.

use std::io::Write;
use std::time::{Duration, Instant};

use colloquy_knowledge::Error;
use colloquy_knowledge::crawl::{CrawlConfig, CrawlJob, Crawler, Limits, Reason, Stop};
use tokio_util::sync::CancellationToken;

use crate::site::{Site, bytes, config, crawl, crawl_with, html, job, limits, page, redirect};

#[tokio::test]
async fn every_bad_page_is_named_and_the_good_one_is_read() {
    let mut slow = page("Slow", &[]);
    slow.stalls = true;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    bomb.write_all(&vec![b'a'; 4 << 20]).expect("pack");
    let site = Site::serve(vec![
        (
            "/",
            page(
                "Home",
                &[
                    "/slow",
                    "/huge",
                    "/bomb",
                    "/picture",
                    "/video",
                    "/loop1",
                    "/chain0",
                    "/nowhere",
                    "/elsewhere",
                    "/empty",
                    "/good",
                    "/ftp",
                ],
            ),
        ),
        ("/slow", slow),
        ("/huge", html("x".repeat(70_000))),
        ("/bomb", bytes("text/html", bomb.finish().expect("packed")).header("content-encoding", "gzip")),
        ("/picture", bytes("text/html", b"\x89PNG\r\n\x1a\n0000".to_vec())),
        ("/video", bytes("video/mp4", b"0000".to_vec())),
        ("/loop1", redirect("/loop2")),
        ("/loop2", redirect("/loop1")),
        ("/chain0", redirect("/chain1")),
        ("/chain1", redirect("/chain2")),
        ("/chain2", redirect("/chain3")),
        ("/chain3", redirect("/chain4")),
        ("/chain4", redirect("/chain5")),
        ("/chain5", redirect("/chain6")),
        ("/chain6", redirect("/chain7")),
        ("/nowhere", redirect("http://")),
        ("/elsewhere", redirect("https://elsewhere.example/x")),
        ("/ftp", redirect("ftp://127.0.0.1/x")),
        ("/empty", html("<script>app()</script>")),
        ("/good", page("Good", &[])),
    ])
    .await;
    let limits = Limits { max_page_bytes: 64 << 10, request_timeout: Duration::from_millis(400), ..limits() };
    let seen = crawl(CrawlJob { limits, ..job(site.url("/")) }).await;
    assert_eq!(seen.paths(), ["/", "/good"]);
    for (path, reason) in [
        ("/slow", Reason::Timeout { limit_ms: 400 }),
        ("/huge", Reason::TooLarge { limit: 64 << 10 }),
        ("/bomb", Reason::TooLarge { limit: 64 << 10 }),
        ("/picture", Reason::NotAPage { content_type: "text/html, binary data".to_owned() }),
        ("/video", Reason::NotAPage { content_type: "video/mp4".to_owned() }),
        ("/loop1", Reason::RedirectLoop),
        ("/chain0", Reason::TooManyRedirects),
        ("/nowhere", Reason::BadRedirect),
        ("/elsewhere", Reason::RedirectOffSite { to: "https://elsewhere.example/x".to_owned() }),
        ("/ftp", Reason::UnsupportedScheme),
        ("/empty", Reason::NoText),
    ] {
        assert_eq!(seen.failed(path), Some(reason), "{path}");
    }
    assert_eq!(seen.summary().stop, Stop::Finished);
}

#[tokio::test]
async fn a_calendar_without_end_and_pages_in_circles_are_bounded() {
    let site = Site::serve(vec![
        ("/", page("Home", &["/calendar?month=0", "/a/b"])),
        ("/a/b", page("Circle", &["/a/b/a/b", "/a/b/a/b/a/b", "/"])),
        ("/a/b/a/b", page("Circle again", &["/a/b/a/b/a/b/a/b"])),
    ])
    .await;
    let months: Vec<String> = (0..200).map(|month| format!("/calendar?month={month}")).collect();
    for (month, path) in months.iter().enumerate() {
        let next = format!("/calendar?month={}", month + 1);
        site.put(path, page(&format!("Month {month}"), &[next.as_str()]));
    }
    let seen =
        crawl(CrawlJob { limits: Limits { max_depth: 1_000, max_pages: 1_000, ..limits() }, ..job(site.url("/")) })
            .await;
    let read = seen.paths().iter().filter(|path| path.starts_with("/calendar")).count();
    assert_eq!(read, 20, "variants of one path are limited");
    assert_eq!(seen.paths().iter().filter(|path| path.starts_with("/a/b")).count(), 2);
}

#[tokio::test]
async fn deeply_nested_pages_do_not_stop_the_crawl() {
    let deep = format!("<main>{}the core of it</main>", "<div>".repeat(100_000));
    let site = Site::serve(vec![("/", page("Home", &["/deep"])), ("/deep", html(deep))]).await;
    let seen = crawl(job(site.url("/"))).await;
    let page = seen.pages().into_iter().find(|page| page.url.ends_with("/deep")).expect("read");
    assert_eq!(page.document.markdown, "the core of it");
}

#[tokio::test]
async fn private_addresses_are_refused_as_start_as_name_and_behind_redirects() {
    let private = CrawlConfig { allow_private: false, ..config() };
    let site = Site::serve(vec![("/", page("Home", &[]))]).await;
    let name = format!("http://localhost:{}/", site.address.port());
    for start in [
        site.url("/"),
        name,
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
    ] {
        let seen = crawl_with(private.clone(), job(start.clone()), CancellationToken::new()).await;
        let failed = seen.events.iter().any(|event| {
            matches!(event, colloquy_knowledge::crawl::CrawlEvent::PageFailed { reason: Reason::PrivateAddress, .. })
        });
        assert!(failed, "{start}: {:?}", seen.events);
    }
    assert!(site.asked().is_empty(), "nothing was sent: {:?}", site.asked());
}

#[tokio::test]
async fn a_dead_server_and_an_unknown_name_are_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    let seen = crawl(job(format!("http://{closed}/"))).await;
    assert_eq!(seen.failed("/"), Some(Reason::Unreachable));
    assert_eq!((seen.summary().failed, seen.summary().stop), (1, Stop::Finished));
    let seen = crawl(job("http://no-such-host.invalid/")).await;
    assert_eq!(seen.failed("/"), Some(Reason::UnknownHost));
}

#[tokio::test]
async fn a_site_of_dead_links_ends() {
    let links: Vec<String> = (0..500).map(|n| format!("/dead{n}")).collect();
    let names: Vec<&str> = links.iter().map(String::as_str).collect();
    let site = Site::serve(vec![("/", page("Home", &names))]).await;
    let seen = crawl(CrawlJob { limits: Limits { max_pages: 20, ..limits() }, ..job(site.url("/")) }).await;
    assert_eq!((seen.pages().len(), seen.summary().stop), (1, Stop::PageLimit));
    assert!(seen.summary().failed < 70, "{}", seen.summary().failed);
}

#[tokio::test]
async fn the_whole_crawl_has_a_time_limit() {
    let mut stuck = page("Stuck", &[]);
    stuck.stalls = true;
    let site = Site::serve(vec![("/", page("Home", &["/stuck"])), ("/stuck", stuck)]).await;
    let begun = Instant::now();
    let limits = Limits { max_time: Duration::from_millis(500), request_timeout: Duration::from_secs(60), ..limits() };
    let seen = crawl(CrawlJob { limits, ..job(site.url("/")) }).await;
    assert_eq!((seen.summary().stop, seen.pages().len()), (Stop::TimeLimit, 1));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_address_is_an_error() {
    let (sink, _events) = tokio::sync::mpsc::channel(1);
    let result =
        Crawler::new(config()).expect("crawler").crawl(job("not a site"), CancellationToken::new(), sink).await;
    assert!(matches!(result, Err(Error::BadAddress { .. })));
}

#[tokio::test]
async fn pdfs_without_a_reader_are_named() {
    let site = Site::serve(vec![
        ("/", page("Home", &["/file", "/linked.pdf"])),
        ("/file", bytes("application/pdf", b"%PDF-1.4".to_vec())),
    ])
    .await;
    let seen = crawl(job(site.url("/"))).await;
    assert_eq!(seen.failed("/file"), Some(Reason::NotAPage { content_type: "application/pdf".to_owned() }));
    assert!(!site.asked().contains(&"/linked.pdf".to_owned()));
}
