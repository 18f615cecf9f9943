//! What an owner does over the public API before visitors come: sign up, make agents, teach them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use colloquy_wire::accounts::{Login, NewOrganization, Session, Signup};
use colloquy_wire::agents::NewAgent;
use colloquy_wire::knowledge::{NewSource, SearchRequest};
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::http_client::Client;
use crate::turn::visitor_id;

/// Access tokens live for 15 minutes; a new one is taken well before that.
const TOKEN_KEPT: Duration = Duration::from_secs(10 * 60);
/// The server's own limit of a conversation's length, so that no conversation ends while it is measured.
const MESSAGES_MAX: u32 = 2000;
/// How often an index that is being built is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Longest building of one index: the crawler's own limit is half an hour.
const INDEXED: Duration = Duration::from_secs(31 * 60);

/// A signed-up organization.
#[derive(Debug)]
pub(crate) struct Owner {
    client: Arc<Client>,
    login: Login,
    token: Mutex<(String, Instant)>,
}

/// How a source became searchable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Indexed {
    /// From the request to the index that serves.
    pub(crate) took: Duration,
    /// From the request until the last page was read, for crawls; at most one poll late.
    pub(crate) read: Duration,
    /// Pages read.
    pub(crate) pages: u64,
    /// Pages that could not be read.
    pub(crate) failed: u64,
    /// Chunks in the index.
    pub(crate) chunks: u64,
}

/// One search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// What the server says it took.
    pub(crate) took: Duration,
    /// The addresses of the pages found, best first.
    pub(crate) urls: Vec<String>,
}

impl Owner {
    /// Signs up with a new organization.
    pub(crate) async fn sign_up(client: &Arc<Client>) -> Result<Self> {
        let name = visitor_id();
        let login = Login { email: format!("owner-{name}@loadtest.example"), password: visitor_id() };
        let organization = NewOrganization {
            name: format!("Load test {}", &name[..8]),
            vertical: Some("custom".into()),
            website_url: None,
            timezone: Some("UTC".into()),
        };
        let signup = Signup {
            email: login.email.clone(),
            password: login.password.clone(),
            name: "Owner".into(),
            organization: Some(organization),
            invitation_code: None,
        };
        let session = client.call(Method::POST, "/api/auth/signup", None, Some(&signup)).await?;
        let token = access_token("POST /api/auth/signup", session)?;
        Ok(Self { client: Arc::clone(client), login, token: Mutex::new((token, Instant::now())) })
    }

    /// A token that is good for some minutes yet.
    pub(crate) async fn token(&self) -> Result<String> {
        let mut token = self.token.lock().await;
        if token.1.elapsed() > TOKEN_KEPT {
            let session = self.client.call(Method::POST, "/api/auth/login", None, Some(&self.login)).await?;
            *token = (access_token("POST /api/auth/login", session)?, Instant::now());
        }
        Ok(token.0.clone())
    }

    /// A call in this owner's name.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Value> {
        self.client.call(method, path, Some(&self.token().await?), body).await
    }

    /// A read in this owner's name.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Makes an agent that answers at once, and gives its id.
    pub(crate) async fn new_agent(&self, name: &str) -> Result<String> {
        let fields = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("max_messages_per_convo".to_owned(), json!(MESSAGES_MAX)),
        ]);
        let variables = BTreeMap::from([("business_name".to_owned(), name.to_owned())]);
        let agent =
            NewAgent { vertical: Some("custom".into()), variables: Some(variables), fields, ..NewAgent::default() };
        id_of("POST /api/agents", &self.call(Method::POST, "/api/agents", Some(&agent)).await?)
    }

    /// Gives an agent a text and waits until it is searchable.
    pub(crate) async fn teach(&self, agent: &str, name: &str, content: String) -> Result<Indexed> {
        let source = NewSource {
            kind: "manual_text".into(),
            name: Some(name.into()),
            url: None,
            content: Some(content),
            auto_sync: None,
            sync_frequency: None,
            limit: None,
        };
        self.add_source(agent, &source).await
    }

    /// Lets an agent read a website and waits until it is searchable.
    pub(crate) async fn crawl(&self, agent: &str, url: &str, limit: u64) -> Result<Indexed> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let source = NewSource {
            kind: "website_scrape".into(),
            name: None,
            url: Some(url.into()),
            content: None,
            auto_sync: None,
            sync_frequency: None,
            limit: Some(limit),
        };
        self.add_source(agent, &source).await
    }

    /// Searches an agent's knowledge.
    pub(crate) async fn search(&self, agent: &str, query: &str, limit: usize) -> Result<Found> {
        let path = format!("/api/agents/{agent}/search");
        let answer =
            self.call(Method::POST, &path, Some(&SearchRequest { query: query.into(), limit: Some(limit) })).await?;
        let took = answer["took_us"].as_u64().ok_or_else(|| Error::unexpected(&path, "no took_us"))?;
        let items = answer["items"].as_array().ok_or_else(|| Error::unexpected(&path, "no items"))?;
        let urls = items.iter().filter_map(|item| item["source"]["url"].as_str().map(str::to_owned)).collect();
        Ok(Found { took: Duration::from_micros(took), urls })
    }

    async fn add_source(&self, agent: &str, source: &NewSource) -> Result<Indexed> {
        let path = format!("/api/agents/{agent}/sources");
        let begun = Instant::now();
        let made = self.call(Method::POST, &path, Some(source)).await?;
        let status = format!("/api/agents/{agent}/scrape/status?source_id={}", id_of(&path, &made)?);
        let mut read = None;
        loop {
            let progress = self.get(&status).await?;
            let count = |key: &str| progress[key].as_u64().unwrap_or_default();
            if read.is_none()
                && count("pages_found") > 0
                && count("pages_done") + count("pages_failed") >= count("pages_found")
            {
                read = Some(begun.elapsed());
            }
            match progress["status"].as_str().unwrap_or_default() {
                "completed" => {
                    let took = begun.elapsed();
                    return Ok(Indexed {
                        took,
                        read: read.unwrap_or(took),
                        pages: count("pages_done"),
                        failed: count("pages_failed"),
                        chunks: count("chunks"),
                    });
                }
                "failed" => {
                    return Err(Error::unexpected(&status, progress["error"].as_str().unwrap_or("the source failed")));
                }
                _ if begun.elapsed() > INDEXED => {
                    return Err(Error::NotInTime { what: status, after: INDEXED });
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }
}

fn access_token(call: &str, session: Value) -> Result<String> {
    let session: Session =
        serde_json::from_value(session).map_err(|error| Error::unexpected(call, error.to_string()))?;
    Ok(session.access_token)
}

/// The id in an answer; sources made by a scrape call it `source_id`.
fn id_of(call: &str, answer: &Value) -> Result<String> {
    let id = answer["id"].as_str().or_else(|| answer["source_id"].as_str());
    id.map(str::to_owned).ok_or_else(|| Error::unexpected(call, "no id"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::routing::{get, post};
    use axum::{Json, Router};

    use super::*;
    use crate::floor::listen;

    async fn owner_of(app: Router) -> Owner {
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let login = Login { email: String::new(), password: String::new() };
        Owner { client: Client::new(address), login, token: Mutex::new(("t".into(), Instant::now())) }
    }

    #[tokio::test]
    async fn a_source_counts_only_once_its_index_serves() {
        let polls = Arc::new(AtomicU64::new(0));
        let progress = Arc::clone(&polls);
        let app = Router::new().route("/api/agents/a/sources", post(|| async { Json(json!({ "id": "s" })) })).route(
            "/api/agents/a/scrape/status",
            get(move || async move {
                let poll = progress.fetch_add(1, Ordering::Relaxed);
                let status = if poll < 2 { "in_progress" } else { "completed" };
                Json(json!({ "status": status, "pages_found": 3, "pages_done": if poll == 0 { 1 } else { 2 }, "pages_failed": u64::from(poll > 0), "chunks": 9 }))
            }),
        );
        let indexed = owner_of(app).await.teach("a", "text", "words".into()).await.expect("indexed");
        assert_eq!(polls.load(Ordering::Relaxed), 3);
        assert_eq!((indexed.pages, indexed.failed, indexed.chunks), (2, 1, 9));
        assert!(indexed.read < indexed.took, "{indexed:?}");
    }

    #[tokio::test]
    async fn a_source_that_fails_says_why() {
        let app =
            Router::new().route("/api/agents/a/sources", post(|| async { Json(json!({ "source_id": "s" })) })).route(
                "/api/agents/a/scrape/status",
                get(|| async { Json(json!({ "status": "failed", "error": "nothing to read" })) }),
            );
        let error = owner_of(app).await.crawl("a", "http://127.0.0.1/", 5).await.expect_err("failed").to_string();
        assert!(error.contains("nothing to read"), "{error}");
    }

    #[tokio::test]
    async fn a_search_gives_its_time_and_addresses() {
        let app = Router::new().route(
            "/api/agents/a/search",
            post(|| async { Json(json!({ "items": [{ "source": { "url": "http://x/1" } }, { "source": { "url": "" } }], "took_us": 21 })) }),
        );
        let found = owner_of(app).await.search("a", "q", 5).await.expect("found");
        assert_eq!(found, Found { took: Duration::from_micros(21), urls: vec!["http://x/1".into(), String::new()] });
    }
}
