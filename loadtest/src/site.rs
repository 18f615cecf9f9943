//! A generated website on loopback for the crawler to read: every page holds one fact that stands nowhere else.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::floor::{listen, serve_on};
use crate::wording::{Dice, text};

/// Words under one heading.
const SECTION_WORDS: usize = 300;

/// How large a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Pages, the first one not counted.
    pub(crate) pages: u64,
    /// Words on each.
    pub(crate) words: usize,
}

/// A running site; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    address: SocketAddr,
    size: Size,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Pages {
    address: SocketAddr,
    size: Size,
}

impl Site {
    /// Serves a site on a free loopback port.
    pub(crate) async fn start(size: Size) -> Result<Self> {
        let (listener, address) = listen().await?;
        let pages = Pages { address, size };
        let app = Router::new()
            .route("/", get(first_page))
            .route(
                "/robots.txt",
                get(|State(pages): State<Pages>| async move {
                    format!("User-agent: *\nAllow: /\nSitemap: http://{}/sitemap.xml\n", pages.address)
                }),
            )
            .route("/sitemap.xml", get(sitemap))
            .route("/page/{number}", get(page))
            .with_state(pages);
        let task = tokio::spawn(async move {
            let _ = serve_on(listener, app).await; // It ends only by being dropped; a broken listener shows as failed pages.
        });
        Ok(Self { address, size, task })
    }

    /// Its first page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// What to ask so that one page is the answer, and that page's path.
    pub(crate) fn question(number: u64) -> (String, String) {
        (format!("Who signs off on service code {}?", code(number)), format!("/page/{number}"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn first_page(State(pages): State<Pages>) -> Html<String> {
    let links: String = (0..pages.size.pages)
        .map(|number| format!("<li><a href=\"/page/{number}\">Service {}</a></li>", code(number)))
        .collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><title>All services</title><main><h1>All services</h1><ul>{links}</ul></main></html>"
    ))
}

async fn sitemap(State(pages): State<Pages>) -> Response {
    let urls: String = (0..pages.size.pages)
        .map(|number| format!("<url><loc>http://{}/page/{number}</loc></url>", pages.address))
        .collect();
    let map = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{urls}</urlset>"
    );
    ([(header::CONTENT_TYPE, "application/xml")], map).into_response()
}

async fn page(State(pages): State<Pages>, Path(number): Path<u64>) -> Response {
    if number >= pages.size.pages {
        return StatusCode::NOT_FOUND.into_response();
    }
    Html(render(number, pages.size.words)).into_response()
}

fn render(number: u64, words: usize) -> String {
    let mut dice = Dice::new(number);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><title>Service {0}</title><nav><a href=\"/\">All services</a></nav><main><h1>Service {0}</h1>",
        code(number)
    );
    html.push_str(&format!("<p>{} signs off on service code {}.</p>", name(number), code(number)));
    let mut left = words;
    let mut section = 1;
    while left > 0 {
        let here = left.min(SECTION_WORDS);
        html.push_str(&format!("<h2>Part {section}</h2><p>{}</p>", text(&mut dice, here)));
        left -= here;
        section += 1;
    }
    html.push_str("</main><footer>Example services</footer></html>");
    html
}

/// A word that stands on one page only.
fn code(number: u64) -> String {
    let mut dice = Dice::new(number ^ 0x00c0_ffee);
    let letters: String = (0..5).map(|_| char::from(b'a' + dice.below(26) as u8)).collect();
    format!("{letters}{number}")
}

fn name(number: u64) -> String {
    const FIRST: [&str; 16] = [
        "Ada", "Ben", "Cora", "Dan", "Ella", "Finn", "Gail", "Hugo", "Ida", "Jack", "Kira", "Leo", "Mona", "Nils",
        "Olga", "Paul",
    ];
    const LAST: [&str; 16] = [
        "Abbott", "Barnes", "Carver", "Dalton", "Ellis", "Foster", "Grant", "Hayes", "Irving", "Jarvis", "Keller",
        "Lambert", "Mercer", "Norris", "Osborne", "Porter",
    ];
    let mut dice = Dice::new(number ^ 0xfeed);
    format!("{} {}", FIRST[dice.below(FIRST.len())], LAST[dice.below(LAST.len())])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::http_client::Client;

    #[tokio::test]
    async fn every_page_is_linked_listed_and_holds_its_own_fact() {
        let site = Site::start(Size { pages: 12, words: 700 }).await.expect("site");
        let client = Client::new(site.address);
        let read = |path: String| {
            let client = Arc::clone(&client);
            async move {
                let answer = client.send(Method::GET, &path, &[], bytes::Bytes::new()).await.expect("answer");
                (answer.status, String::from_utf8(answer.bytes().await.expect("body").to_vec()).expect("text"))
            }
        };
        let (_, first) = read("/".into()).await;
        let (_, map) = read("/sitemap.xml".into()).await;
        for number in 0..12 {
            let (question, path) = Site::question(number);
            let (status, page) = read(path.clone()).await;
            assert_eq!(status, StatusCode::OK);
            let code = question.trim_end_matches('?').rsplit(' ').next().expect("code");
            assert!(page.contains(&format!("service code {code}.")), "{question}");
            assert!(first.contains(&format!("\"{path}\"")) && map.contains(&format!("{path}<")));
            assert!(page.split_whitespace().count() > 700);
        }
        assert_eq!(read("/page/12".into()).await.0, StatusCode::NOT_FOUND);
    }
}
