//! A website made for one test: canned answers by address, and a log of what was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use colloquy_knowledge::crawl::{CrawlConfig, CrawlEvent, CrawlJob, Crawler, Limits, Page, Reason, Skip, Summary};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A canned answer.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The head comes at once and the body never.
    pub(crate) stalls: bool,
}

pub(crate) fn html(body: impl Into<String>) -> Answer {
    bytes("text/html; charset=utf-8", body.into().into_bytes())
}

pub(crate) fn bytes(content_type: &str, body: Vec<u8>) -> Answer {
    Answer { status: 200, headers: vec![("content-type", content_type.to_owned())], body, stalls: false }
}

pub(crate) fn redirect(to: impl Into<String>) -> Answer {
    Answer { status: 302, headers: vec![("location", to.into())], body: Vec::new(), stalls: false }
}

impl Answer {
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// A page with a title, a sentence of its own and links.
pub(crate) fn page(name: &str, links: &[&str]) -> Answer {
    let links: String = links.iter().map(|link| format!("<a href=\"{link}\">link</a> ")).collect();
    html(format!(
        "<html><head><title>{name}</title></head><body><nav>{links}</nav><main><h1>{name}</h1><p>This page is about {name} only.</p></main></body></html>"
    ))
}

type Answers = HashMap<String, Vec<Answer>>;

#[derive(Clone, Default)]
struct Shared {
    answers: Arc<Mutex<Answers>>,
    log: Arc<Mutex<Vec<(String, Instant)>>>,
    agents: Arc<Mutex<Vec<String>>>,
}

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

impl Site {
    /// Serves answers by path and query. `{host}` in a body or header becomes the site's own address.
    pub(crate) async fn serve(answers: Vec<(&str, Answer)>) -> Site {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let shared = Shared::default();
        for (path, answer) in answers {
            shared.answers.lock().expect("lock").entry(path.to_owned()).or_default().push(localized(answer, address));
        }
        let app = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Site { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Changes what a path answers from now on.
    pub(crate) fn put(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().expect("lock").insert(path.to_owned(), vec![localized(answer, self.address)]);
    }

    /// The paths asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.log.lock().expect("lock").iter().map(|(path, _)| path.clone()).collect()
    }

    /// When paths other than the rules were asked for.
    pub(crate) fn times(&self) -> Vec<Instant> {
        let log = self.shared.log.lock().expect("lock");
        log.iter().filter(|(path, _)| path != "/robots.txt").map(|(_, at)| *at).collect()
    }

    pub(crate) fn agents(&self) -> Vec<String> {
        self.shared.agents.lock().expect("lock").clone()
    }
}

fn localized(mut answer: Answer, address: SocketAddr) -> Answer {
    let host = address.to_string();
    if let Ok(text) = String::from_utf8(answer.body.clone()) {
        answer.body = text.replace("{host}", &host).into_bytes();
    }
    for (_, value) in &mut answer.headers {
        *value = value.replace("{host}", &host);
    }
    answer
}

/// The last answer of a path repeats.
async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let path = request.uri().path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    shared.log.lock().expect("lock").push((path.clone(), Instant::now()));
    let agent = request.headers().get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    shared.agents.lock().expect("lock").push(agent.to_owned());
    let answer = {
        let mut answers = shared.answers.lock().expect("lock");
        match answers.get_mut(&path) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => html("<p>not found</p>").status(404),
        }
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let body = if answer.stalls {
        Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>())
    } else {
        Body::from(answer.body)
    };
    response.body(body).expect("response")
}

/// What a crawl said, sorted by kind.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: Vec<CrawlEvent>,
    pub(crate) summary: Option<Summary>,
}

impl Seen {
    pub(crate) fn pages(&self) -> Vec<&Page> {
        self.events
            .iter()
            .filter_map(|event| if let CrawlEvent::PageDone(page) = event { Some(&**page) } else { None })
            .collect()
    }

    /// The paths of pages that were read, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.pages().iter().map(|page| path(&page.url)).collect();
        paths.sort();
        paths
    }

    pub(crate) fn failed(&self, wanted: &str) -> Option<Reason> {
        let found = |event: &CrawlEvent| match event {
            CrawlEvent::PageFailed { url, reason } if path(url) == wanted => Some(reason.clone()),
            _ => None,
        };
        self.events.iter().find_map(found)
    }

    pub(crate) fn skipped(&self, wanted: &str) -> Option<Skip> {
        let found = |event: &CrawlEvent| match event {
            CrawlEvent::PageSkipped { url, reason } if path(url) == wanted => Some(reason.clone()),
            _ => None,
        };
        self.events.iter().find_map(found)
    }

    pub(crate) fn summary(&self) -> &Summary {
        self.summary.as_ref().expect("the crawl ended")
    }
}

fn path(url: &str) -> String {
    let url = url::Url::parse(url).expect("url");
    url[url::Position::BeforePath..].to_owned()
}

pub(crate) fn config() -> CrawlConfig {
    CrawlConfig { allow_private: true, about_url: "https://colloquy.example/bot".to_owned(), pdf_reader: None }
}

/// Small limits, so that what must end ends soon.
pub(crate) fn limits() -> Limits {
    Limits {
        spacing: Duration::ZERO,
        request_timeout: Duration::from_secs(5),
        max_time: Duration::from_secs(60),
        ..Limits::default()
    }
}

pub(crate) fn job(start: impl Into<String>) -> CrawlJob {
    CrawlJob { limits: limits(), ..CrawlJob::website(start) }
}

pub(crate) async fn crawl(job: CrawlJob) -> Seen {
    crawl_with(config(), job, CancellationToken::new()).await
}

pub(crate) async fn crawl_with(config: CrawlConfig, job: CrawlJob, cancel: CancellationToken) -> Seen {
    let (sink, mut events) = mpsc::channel(8);
    let crawler = Crawler::new(config).expect("crawler");
    let running = tokio::spawn(async move { crawler.crawl(job, cancel, sink).await });
    let mut seen = Seen::default();
    while let Some(event) = events.recv().await {
        seen.events.push(event);
    }
    seen.summary = Some(running.await.expect("task").expect("a possible start"));
    seen
}
