//! Embeddings from any provider that speaks OpenAI's protocol.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Embedded, Embedder, normalise};
use crate::http::{chain, install_crypto};
use crate::{Error, Result};

/// Texts of one call (requirement KB-6).
const TEXTS_PER_CALL: usize = 100;
/// Tries of one call, the first included.
const TRIES: u32 = 5;
/// The wait before the second try; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, whatever the provider asks for: callers have deadlines of their own.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// Time for one call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// 100 vectors of 3,072 numbers are some 7 MB of JSON.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// How much of a provider's message is kept.
const MAX_MESSAGE_CHARS: usize = 300;

/// Which provider and model.
#[derive(Clone)]
pub struct OpenAiConfig {
    /// The address before `/embeddings`, for example `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key sent as a bearer token; empty for servers that want none.
    pub api_key: String,
    /// The model's name.
    pub model: String,
    /// Numbers in its vectors.
    pub dimension: usize,
    /// Calls per minute that the account allows.
    pub calls_per_minute: u32,
}

impl OpenAiConfig {
    /// text-embedding-3-small at OpenAI: 1,536 numbers, 3,000 calls per minute (requirement KB-6).
    #[must_use]
    pub fn small(api_key: impl Into<String>) -> Self {
        OpenAiConfig {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key: api_key.into(),
            model: "text-embedding-3-small".to_owned(),
            dimension: 1_536,
            calls_per_minute: 3_000,
        }
    }
}

impl std::fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An embedder at a provider. One per account, so that its rate limit counts all calls.
#[derive(Debug)]
pub struct OpenAiEmbedder {
    config: OpenAiConfig,
    id: String,
    url: String,
    client: Client,
    /// When the next call may begin.
    next: Mutex<Instant>,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [&'a str],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    total_tokens: u64,
}

impl OpenAiEmbedder {
    /// Sets up the client. Nothing is called yet.
    ///
    /// # Errors
    /// [`Error::Client`].
    pub fn new(config: OpenAiConfig) -> Result<Self> {
        install_crypto();
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none()) // A key must not follow a redirect to another host.
            .build()
            .map_err(|error| Error::Client { reason: chain(&error) })?;
        Ok(OpenAiEmbedder {
            id: format!("openai/{}/{}", config.model, config.dimension),
            url: format!("{}/embeddings", config.base_url.trim_end_matches('/')),
            client,
            next: Mutex::new(Instant::now()),
            config,
        })
    }

    /// Waits for this call's turn under the rate limit.
    async fn turn(&self) {
        let spacing = Duration::from_secs(60) / self.config.calls_per_minute.max(1);
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + spacing;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    async fn call(&self, texts: &[&str]) -> Result<Answer> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            self.turn().await;
            let (error, asked) = match self.once(texts).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let passing = match &error {
                Error::Provider { status, .. } => *status == 429 || *status == 408 || *status >= 500,
                Error::Unreachable { .. } => true,
                _ => false,
            };
            if !passing || attempt >= TRIES {
                return Err(error);
            }
            tokio::time::sleep(asked.unwrap_or(wait).min(MAX_WAIT)).await;
            attempt += 1;
            wait *= 2;
        }
    }

    /// One call; with an error comes the wait that the provider asks for.
    async fn once(&self, texts: &[&str]) -> Result<Answer, (Error, Option<Duration>)> {
        let unreachable = |error: reqwest::Error| (Error::Unreachable { reason: chain(&error.without_url()) }, None);
        let body = Request { model: &self.config.model, input: texts, encoding_format: "float" };
        let mut request = self.client.post(&self.url).json(&body);
        if !self.config.api_key.is_empty() {
            request = request.bearer_auth(&self.config.api_key);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse::<f64>().ok());
        let asked = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err((Error::BadAnswer { reason: format!("it is longer than {MAX_ANSWER_BYTES} bytes") }, None));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status != StatusCode::OK {
            return Err((Error::Provider { status: status.as_u16(), message: message(&bytes) }, asked));
        }
        serde_json::from_slice(&bytes).map_err(|error| (Error::BadAnswer { reason: error.to_string() }, None))
    }

    /// The vectors of an answer in the order of the texts.
    fn ordered(&self, answer: Answer, count: usize) -> Result<Vec<Vec<f32>>> {
        let bad = |reason: &str| Error::BadAnswer { reason: reason.to_owned() };
        let mut out: Vec<Option<Vec<f32>>> = vec![None; count];
        for Item { index, mut embedding } in answer.data {
            if embedding.len() != self.config.dimension {
                return Err(Error::Dimension { expected: self.config.dimension, found: embedding.len() });
            }
            normalise(&mut embedding)?;
            let place = out.get_mut(index).ok_or_else(|| bad("it numbers a text that was not sent"))?;
            if place.replace(embedding).is_some() {
                return Err(bad("it holds two vectors for one text"));
            }
        }
        out.into_iter().collect::<Option<_>>().ok_or_else(|| bad("it lacks a vector"))
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> usize {
        self.config.dimension
    }

    async fn embed(&self, texts: &[String]) -> Result<Embedded> {
        let mut embedded = Embedded { vectors: Vec::with_capacity(texts.len()), tokens: 0 };
        for part in texts.chunks(TEXTS_PER_CALL) {
            // The protocol refuses empty texts.
            let part: Vec<&str> = part.iter().map(|text| if text.is_empty() { " " } else { text.as_str() }).collect();
            let answer = self.call(&part).await?;
            embedded.tokens += answer.usage.total_tokens;
            embedded.vectors.extend(self.ordered(answer, part.len())?.into_iter().map(|vector| vec![vector]));
        }
        Ok(embedded)
    }
}

/// What a provider says about its error, short and on one line.
fn message(bytes: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let text = json.as_ref().and_then(|json| json.get("error")?.get("message")?.as_str().map(str::to_owned));
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
}
