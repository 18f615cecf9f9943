//! An HTTP client as a customer's program would have it: JSON in and out, one credential, answers that explain themselves when a test fails.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Method};
use serde_json::Value;

/// Longer than any single call may take by the contract.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client with at most one credential.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    base: String,
    /// Where it talks to.
    pub(crate) address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// `GET /path`, for messages.
    pub(crate) what: String,
    /// The status code.
    pub(crate) status: u16,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// The body where it is JSON, else null.
    pub(crate) body: Value,
    /// The body as text.
    pub(crate) text: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

/// One server-sent event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its name.
    pub(crate) name: String,
    /// Its data.
    pub(crate) data: Value,
}

impl Api {
    /// A client without credentials.
    pub(crate) fn at(address: SocketAddr) -> Self {
        // The library is built without a provider of its own, as in the program; a second call finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, base: format!("http://{address}"), address, headers: Vec::new() }
    }

    /// As somebody at another of this machine's addresses; all of 127.0.0.0/8 are.
    pub(crate) fn from(&self, own: Ipv4Addr) -> Self {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .local_address(IpAddr::V4(own))
            .build()
            .expect("a client");
        Self { client, ..self.clone() }
    }

    /// With an access token or API key.
    pub(crate) fn bearer(&self, token: &str) -> Self {
        self.authorized(format!("Bearer {token}"))
    }

    /// With a visitor token.
    pub(crate) fn visitor(&self, token: &str) -> Self {
        self.authorized(format!("Visitor {token}"))
    }

    fn authorized(&self, value: String) -> Self {
        let mut copy = self.clone();
        copy.headers.retain(|(name, _)| name != AUTHORIZATION.as_str());
        copy.headers.push((AUTHORIZATION.as_str().to_owned(), value));
        copy
    }

    /// With one more header.
    pub(crate) fn header(&self, name: &str, value: &str) -> Self {
        let mut copy = self.clone();
        copy.headers.push((name.to_owned(), value.to_owned()));
        copy
    }

    /// Sends a request; an error is one of the connection.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let bytes = body.map(|body| body.to_string().into_bytes());
        self.try_raw(method, path, "application/json", bytes).await
    }

    /// Sends any bytes; an error is one of the connection.
    pub(crate) async fn try_raw(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, reqwest::Error> {
        let response = self.request(method, path, content_type, body).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { what: format!("{method} {path}"), status, headers, body, text, bytes })
    }

    /// Sends a request that must be answered, however it is answered.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"))
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// `POST`.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body)).await
    }

    /// `PATCH`.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(&body)).await
    }

    /// `DELETE`.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None).await
    }

    /// All items of a list, page by page.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let glue = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{glue}limit=200{cursor}")).await.expect(200);
            items.extend(
                page["items"].as_array().unwrap_or_else(|| panic!("{path}: no items in {page}")).iter().cloned(),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Sends a message and reads the answer as server-sent events to its end.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Vec<Event> {
        let request = self.header("accept", "text/event-stream").request(
            "POST",
            path,
            "application/json",
            Some(body.to_string().into_bytes()),
        );
        let mut response = request.send().await.expect("the stream opens");
        let kind =
            response.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert!(kind.starts_with("text/event-stream"), "POST {path}: {} with content type {kind}", response.status());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.expect("the stream goes on") {
            bytes.extend_from_slice(&chunk);
        }
        events(&String::from_utf8(bytes).expect("a stream of UTF-8"))
    }

    fn request(&self, method: &str, path: &str, content_type: &str, body: Option<Vec<u8>>) -> reqwest::RequestBuilder {
        let method: Method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match body {
            Some(body) => request.header("content-type", content_type).body(body),
            None => request,
        }
    }
}

impl Answer {
    /// The body of an answer with exactly this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, shorten(&self.text));
        self.body.clone()
    }

    /// The body of an answer with any status of success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.what, self.status, shorten(&self.text));
        self.body.clone()
    }

    /// The problem of a refusal with exactly this status; checks that it is one (RFC 9457).
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> Value {
        let problem = self.expect(status);
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/problem+json"),
            "{}: an error as {kind}: {}",
            self.what,
            shorten(&self.text)
        );
        for member in ["type", "title", "code", "detail", "retry"] {
            assert!(problem[member].is_string(), "{}: no `{member}` in {problem}", self.what);
        }
        assert_eq!(problem["status"], status, "{}: {problem}", self.what);
        assert!(
            ["safe", "same_key", "never"].contains(&problem["retry"].as_str().unwrap_or_default()),
            "{}: {problem}",
            self.what
        );
        problem
    }

    /// The problem of a refusal with one of these statuses.
    #[track_caller]
    pub(crate) fn refused_as(&self, statuses: &[u16]) -> Value {
        assert!(statuses.contains(&self.status), "{}: {} {}", self.what, self.status, shorten(&self.text));
        self.refused(self.status)
    }

    /// Whether a 422 names the field, with or without what it is in.
    #[track_caller]
    pub(crate) fn names(&self, field: &str) -> Value {
        let problem = self.refused(422);
        let named = problem["errors"].as_array().into_iter().flatten().any(|error| {
            let name = error["field"].as_str().unwrap_or_default();
            (name == field || name.ends_with(&format!(".{field}")))
                && error["message"].as_str().is_some_and(|message| !message.is_empty())
        });
        assert!(named, "{}: `{field}` is not among the errors of {problem}", self.what);
        problem
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn events(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    for block in text.replace("\r\n", "\n").split("\n\n") {
        let mut name = String::new();
        let mut data = Vec::new();
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                value.trim().clone_into(&mut name);
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push(value.trim_start());
            } else {
                assert!(line.is_empty() || line.starts_with(':'), "not a line of an event stream: {line:?}");
            }
        }
        if !data.is_empty() {
            let data = data.join("\n");
            events.push(Event {
                name,
                data: serde_json::from_str(&data).unwrap_or_else(|error| panic!("{data:?}: {error}")),
            });
        }
    }
    events
}

/// Enough of a body for a message.
fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(1_500)]
}
