//! The HTTP edge below `async-openai`: what a provider sends is bounded and reframed here, before the library reads it.
//!
//! The library logs bodies it cannot parse and buffers without a limit. So refusals end here as a status without their body, and a
//! stream reaches the library only as whole, valid events.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_openai::{config::Config, error::OpenAIError, middleware::HttpRequestFactory};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{
    report,
    sse::{Event, Framer},
};
use crate::{
    config::{ModelConfig, Timeouts},
    error::{Error, ErrorKind},
};

/// The longest stream: 64 KB of text in events of some 300 bytes per token stay below it.
const STREAM_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How much of a refusal is read to learn its code.
const REFUSAL_BYTES_MAX: usize = 16 * 1024;
/// How long an unused connection is kept: providers close theirs after a minute or more.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// The stand-in for an event that is no JSON; the library would log the original.
const BROKEN: Value = Value::Null;
/// The stand-in for `[DONE]`, which the library does not tell from a stream that was cut.
pub(super) const DONE: Value = Value::Bool(true);

/// Address and key of the provider. Unlike the library's own configuration it never looks at the environment.
#[derive(Clone)]
pub(super) struct Endpoint {
    base_url: String,
    key: SecretString,
    authorization: HeaderValue,
}

impl Endpoint {
    /// # Errors
    /// [`Error::Config`] for a key that no header can carry or an address that cannot be used.
    pub(super) fn new(config: &ModelConfig) -> Result<Self, Error> {
        let wrong = |problem: &str| Error::Config { key: "models.openai.api_key", problem: problem.to_owned() };
        let key = config.usable_key().ok_or_else(|| wrong("is missing"))?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.expose_secret().trim()))
            .map_err(|_| wrong("holds characters that no key has"))?;
        authorization.set_sensitive(true);
        Ok(Self { base_url: config.checked_base_url()?, key: key.clone(), authorization })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        HeaderMap::from_iter([
            (AUTHORIZATION, self.authorization.clone()),
            (ACCEPT, HeaderValue::from_static("text/event-stream")),
        ])
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

/// A refusal of the provider.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the provider answered {status}")]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: ErrorKind,
    /// What `Retry-After` asks for.
    pub(super) retry_after: Option<Duration>,
    /// A 429 that waiting does not cure.
    pub(super) out_of_quota: bool,
}

/// Sends requests and guards what comes back.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    http: reqwest::Client,
}

impl Guarded {
    /// # Errors
    /// [`Error::Config`] when no TLS can be set up on this machine.
    pub(super) fn new(timeouts: &Timeouts) -> Result<Self, Error> {
        // The first provider that is installed stays for the whole process; if there is one already, it does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(IDLE_CONNECTION)
            .tcp_nodelay(true)
            // A redirect would carry the key and the conversation to somewhere the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("colloquy/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Config { key: "models.openai.base_url", problem: error.to_string() })?;
        Ok(Self { http })
    }
}

impl tower_service::Service<HttpRequestFactory> for Guarded {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let http = self.http.clone();
        Box::pin(async move {
            let response = http.execute(factory.build().await?).await?;
            if response.status() == StatusCode::OK {
                Ok(guard(response))
            } else {
                Err(OpenAIError::Boxed(Box::new(read_refusal(response).await)))
            }
        })
    }
}

async fn read_refusal(response: Response) -> Refusal {
    let status = response.status();
    let retry_after = read_retry_after(response.headers());
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > REFUSAL_BYTES_MAX {
            break;
        }
    }
    let error = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body.get("error").cloned());
    let said = error.as_ref().map(report::error_kind);
    let out_of_quota = error.is_some_and(|error| {
        ["code", "type"].iter().any(|name| error.get(name).and_then(Value::as_str) == Some("insufficient_quota"))
    });
    let kind = match status.as_u16() {
        429 => ErrorKind::RateLimited,
        401 | 403 => ErrorKind::Auth,
        408 => ErrorKind::Timeout,
        // A content filter answers 400 as well.
        400..=499 if said == Some(ErrorKind::Refused) => ErrorKind::Refused,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Refusal { status, kind, retry_after, out_of_quota }
}

/// Seconds (RFC 9110) or OpenAI's `retry-after-ms`. A date is not read: clocks differ, and our own backoff serves as well.
fn read_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok()?;
        (value.is_finite() && (0.0..=86_400_000.0).contains(&value)).then_some(value)
    };
    let ms = number("retry-after-ms").or_else(|| number("retry-after").map(|seconds| seconds * 1000.0))?;
    Some(Duration::from_secs_f64(ms / 1000.0))
}

/// Replaces a response's body by its events, each whole and valid.
fn guard(response: Response) -> Response {
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_none_or(|value| !value.trim_start().to_ascii_lowercase().starts_with("application/json"));
    let bytes = response.bytes_stream().map(|chunk| chunk.map_err(std::io::Error::other));
    let body = reqwest::Body::wrap_stream(reframed(bytes, is_stream));
    let mut guarded = http::Response::new(body);
    guarded.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    guarded.into()
}

struct Reframing<S> {
    bytes: Pin<Box<S>>,
    framer: Framer,
    is_stream: bool,
    total: usize,
    ready: VecDeque<Bytes>,
    ended: bool,
}

fn reframed<S>(bytes: S, is_stream: bool) -> impl Stream<Item = std::io::Result<Bytes>>
where
    S: Stream<Item = std::io::Result<Bytes>>,
{
    let mut framer = Framer::default();
    if !is_stream {
        // An endpoint that ignores `stream` sends one completion: to the framer it is one event.
        framer.push(b"data: ", &mut Vec::new());
    }
    let state = Reframing { bytes: Box::pin(bytes), framer, is_stream, total: 0, ready: VecDeque::new(), ended: false };
    stream::unfold(state, |mut state| async move {
        loop {
            if let Some(event) = state.ready.pop_front() {
                return Some((Ok(event), state));
            }
            if state.ended {
                return None;
            }
            let mut events = Vec::new();
            match state.bytes.next().await {
                Some(Ok(chunk)) => {
                    state.total = state.total.saturating_add(chunk.len());
                    if state.total > STREAM_BYTES_MAX {
                        state.ended = true;
                        return Some((Err(std::io::Error::other("the stream is longer than any answer")), state));
                    }
                    if state.is_stream {
                        state.framer.push(&chunk, &mut events);
                    } else {
                        // Line ends inside a JSON document are blanks; to the framer they would end the event.
                        let flat: Vec<u8> =
                            chunk.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect();
                        state.framer.push(&flat, &mut events);
                    }
                }
                Some(Err(error)) => {
                    state.ended = true;
                    return Some((Err(error), state));
                }
                None => {
                    state.ended = true;
                    state.framer.finish(&mut events);
                }
            }
            for event in events {
                match event {
                    Event::Json(value) => state.ready.push_back(encode(&value)),
                    Event::Broken => state.ready.push_back(encode(&BROKEN)),
                    Event::Done => {
                        state.ready.push_back(encode(&DONE));
                        state.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
                    }
                }
            }
        }
    })
}

fn encode(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_never_believed_blindly() {
        let cases = [
            (vec![("retry-after", "2")], Some(2000)),
            (vec![("retry-after", "0.5")], Some(500)),
            (vec![("retry-after-ms", "250"), ("retry-after", "9")], Some(250)),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "1e300")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None),
            (vec![], None),
        ];
        for (headers, expected_ms) in cases {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| ((*name).parse().expect("a name"), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(read_retry_after(&map), expected_ms.map(Duration::from_millis), "{headers:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_without_end_is_cut() {
        let endless = stream::repeat_with(|| Ok(Bytes::from(vec![b' '; 1024 * 1024])));
        let events: Vec<_> = reframed(endless, true).collect().await;
        assert!(matches!(events.as_slice(), [Err(_)]));
    }

    #[tokio::test]
    async fn only_valid_events_pass() {
        let bytes = stream::iter([
            Ok(Bytes::from_static(b"data: {\"a\":1}\n\ndata: secret garb")),
            Ok(Bytes::from_static(b"age\n\ndata: [DONE]\n\n")),
        ]);
        let events: Vec<Bytes> = reframed(bytes, true).filter_map(|event| async { event.ok() }).collect().await;
        assert_eq!(events.concat(), b"data: {\"a\":1}\n\ndata: null\n\ndata: true\n\ndata: [DONE]\n\n");
    }
}
