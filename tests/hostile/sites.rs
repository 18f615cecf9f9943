//! Websites that are slow, huge, cyclic, mislabelled, nested or lead to where no crawler may go.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use futures::stream;
use serde_json::json;

use crate::support::people::{Member, Visitor, text};
use crate::support::site::Site;
use crate::support::{self, Server};

#[tokio::test]
async fn a_site_that_lies_is_read_within_bounds_and_each_bad_page_is_named() {
    let elsewhere =
        Site::router(Router::new().fallback(|| async { Html("<p>Another site's secret: tangerine.</p>") })).await;
    let away = elsewhere.url("/secret");
    let router = Router::new()
        .route("/", get(|| async { Html(page("Home", &links())) }))
        .route(
            "/good",
            get(|| async {
                Html(page(
                    "Prices",
                    "<p>A guided canoe tour of the Sangamon river costs 45 dollars for each person.</p>",
                ))
            }),
        )
        .route(
            "/cycle/{n}",
            get(|Path(n): Path<u64>| async move {
                Html(page(
                    &format!("Cycle {n}"),
                    &format!("<p>Page {n} of a calendar without end.</p><a href=\"/cycle/{}\">next</a>", n + 1),
                ))
            }),
        )
        .route("/slow", get(|| async { std::future::pending::<&'static str>().await }))
        .route("/trickle", get(trickle))
        .route("/huge", get(huge))
        .route(
            "/picture",
            get(|| async {
                ([(header::CONTENT_TYPE, "text/html")], Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01"))
                    .into_response()
            }),
        )
        .route(
            "/not-a.pdf",
            get(|| async { ([(header::CONTENT_TYPE, "application/pdf")], "This is no PDF at all.").into_response() }),
        )
        .route(
            "/nested",
            get(|| async {
                Html(format!("<html><body>{}deep{}</body></html>", "<div>".repeat(60_000), "</div>".repeat(60_000)))
            }),
        )
        .route(
            "/charset",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "text/html; charset=klingon")],
                    Bytes::from_static(b"<p>\xff\xfe odd \x80 bytes</p>"),
                )
                    .into_response()
            }),
        )
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/loop", get(|| async { Redirect::to("/loop") }))
        .route("/away", get(move || async move { Redirect::to(&away) }))
        .route("/metadata", get(|| async { Redirect::to("http://169.254.169.254/latest/meta-data/") }))
        .route(
            "/sitemap.xml",
            get(|| async {
                (
                    [(header::CONTENT_TYPE, "application/xml")],
                    "<urlset><url><loc>javascript:alert(1)</loc></url><url><loc>http://[</loc></url><!ENTITY a",
                )
                    .into_response()
            }),
        )
        .fallback(|| async { StatusCode::NOT_FOUND });
    let site = Site::router(router).await;
    let settings = [
        ("COLLOQUY_CRAWL__REQUEST_TIMEOUT_S", "3"),
        ("COLLOQUY_CRAWL__PAGE_BYTES_MAX", "1000000"),
        ("COLLOQUY_CRAWL__TOTAL_TIMEOUT_S", "60"),
    ];
    let server = Server::start_with(&settings).await;
    let owner = Member::sign_up(&server, "Canoe Tours").await;
    let agent = text(&owner.agent(json!({ "vertical": "custom" })).await, "id");
    owner
        .api
        .post(&format!("/api/agents/{agent}/scrape"), json!({ "url": site.url("/"), "limit": 60 }))
        .await
        .expect(202);
    let status = owner.learned(&agent, Duration::from_secs(90)).await;

    let pages = status["pages"].as_array().expect("pages");
    assert!(pages.len() <= 120, "a cyclic site is bounded: {} pages", pages.len());
    assert!(site.asked().len() < 200, "{} requests", site.asked().len());
    for bad in ["/slow", "/trickle", "/huge", "/picture", "/not-a.pdf", "/broken", "/loop", "/missing"] {
        let page = pages.iter().find(|page| page["url"].as_str().is_some_and(|url| url.ends_with(bad)));
        let page = page.unwrap_or_else(|| panic!("{bad} is not reported: {status}"));
        assert!(
            page["status"] == "failed" && page["error"].as_str().is_some_and(|error| !error.is_empty()),
            "{bad}: {page}"
        );
    }
    assert!(elsewhere.asked().is_empty(), "another site was read: {:?}", elsewhere.asked());
    let answer = Visitor::new(&server, &agent).say("How much does a guided canoe tour cost?").await;
    assert!(text(&answer, "response").contains("45"), "{answer}");
    // A site that is not there at all fails, and the old index goes on answering.
    let gone = { Site::router(Router::new()).await.url("/") };
    owner.api.post(&format!("/api/agents/{agent}/scrape"), json!({ "url": gone })).await.expect(202);
    support::eventually("the failure", Duration::from_secs(60), || async {
        let status = owner.api.get(&format!("/api/agents/{agent}/scrape/status")).await.expect(200);
        (status["status"] == "failed").then_some(())
    })
    .await;
    let answer = Visitor::new(&server, &agent).say("How much does a guided canoe tour cost?").await;
    assert!(text(&answer, "response").contains("45"), "{answer}");
}

#[tokio::test]
async fn private_addresses_are_never_fetched_unless_the_operator_allows_it() {
    let site = Site::router(
        Router::new().fallback(|| async { Html(page("Router", "<p>The router's password is swordfish.</p>")) }),
    )
    .await;
    let server = Server::start_with(&[("COLLOQUY_CRAWL__ALLOW_PRIVATE", "false")]).await;
    let owner = Member::sign_up(&server, "Oak").await;
    let agent = text(&owner.agent(json!({ "vertical": "custom" })).await, "id");
    let port = site.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "127.1",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00::1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let answer = owner.api.post(&format!("/api/agents/{agent}/scrape"), json!({ "url": url })).await;
        if answer.status == 202 {
            let path = format!("/api/agents/{agent}/scrape/status?source_id={}", text(&answer.body, "source_id"));
            let status = support::eventually(&format!("the crawl of {url} ends"), Duration::from_secs(30), || async {
                let status = owner.api.get(&path).await.expect(200);
                matches!(status["status"].as_str(), Some("failed" | "completed")).then_some(status)
            })
            .await;
            assert_eq!(status["status"], "failed", "{url}: {status}");
        } else {
            answer.names("url");
        }
    }
    for url in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://user:password@127.0.0.1/",
        "javascript:alert(1)",
        "not an address",
    ] {
        let answer = owner.api.post(&format!("/api/agents/{agent}/scrape"), json!({ "url": url })).await;
        assert!(matches!(answer.status, 202 | 422), "{url}: {} {}", answer.status, answer.text);
    }
    assert!(site.asked().is_empty(), "a private address was fetched: {:?}", site.asked());
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html><head><title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
}

fn links() -> String {
    let paths = [
        "good",
        "cycle/1",
        "slow",
        "trickle",
        "huge",
        "picture",
        "not-a.pdf",
        "nested",
        "charset",
        "broken",
        "loop",
        "away",
        "metadata",
        "missing",
    ];
    paths.iter().map(|path| format!("<p><a href=\"/{path}\">{path}</a></p>")).collect()
}

/// One byte at a time, without end: each arrives well before any idle timeout.
async fn trickle() -> Response {
    let endless = stream::unfold(tokio::time::interval(Duration::from_millis(200)), |mut beat| async move {
        beat.tick().await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), beat))
    });
    ([(header::CONTENT_TYPE, "text/html")], Body::from_stream(endless)).into_response()
}

/// Two hundred megabytes of words.
async fn huge() -> Response {
    let block = Bytes::from("<p>many words of no use at all</p>".repeat(2_000));
    let blocks = stream::iter((0..3_000).map(move |_| Ok::<_, Infallible>(block.clone())));
    ([(header::CONTENT_TYPE, "text/html")], Body::from_stream(blocks)).into_response()
}
