//! The provider's embedder against a server that speaks its protocol, well and badly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Router, body::Bytes};
use colloquy_knowledge::Error;
use colloquy_knowledge::embed::{Embedder, OpenAiConfig, OpenAiEmbedder};
use serde_json::{Value, json};

/// How the server answers a call; without one it answers rightly.
#[derive(Clone)]
enum Reply {
    Status(u16, Option<&'static str>),
    Raw(&'static str),
}

#[derive(Clone, Default)]
struct Server {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    calls: Arc<Mutex<Vec<(Value, String, Instant)>>>,
}

async fn answer(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, String) {
    let body: Value = serde_json::from_slice(&body).expect("json");
    let key = headers.get("authorization").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    server.calls.lock().expect("lock").push((body.clone(), key, Instant::now()));
    let mut headers = HeaderMap::new();
    match server.replies.lock().expect("lock").pop_front() {
        Some(Reply::Status(status, after)) => {
            if let Some(after) = after {
                headers.insert("retry-after", after.parse().expect("header"));
            }
            (
                StatusCode::from_u16(status).expect("status"),
                headers,
                json!({"error": {"message": "no\nluck"}}).to_string(),
            )
        }
        Some(Reply::Raw(raw)) => (StatusCode::OK, headers, raw.to_owned()),
        None => {
            let texts = body["input"].as_array().expect("texts");
            // In reverse, as the protocol allows; each vector says which text it belongs to.
            let data: Vec<Value> = texts
                .iter()
                .enumerate()
                .rev()
                .map(|(index, text)| json!({"index": index, "embedding": [text.as_str().map_or(0, str::len), 2, 0]}))
                .collect();
            (StatusCode::OK, headers, json!({"data": data, "usage": {"total_tokens": texts.len() * 3}}).to_string())
        }
    }
}

async fn serve(replies: Vec<Reply>) -> (Server, OpenAiConfig) {
    let server = Server { replies: Arc::new(Mutex::new(replies.into())), ..Server::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let base_url = format!("http://{}/v1/", listener.local_addr().expect("address"));
    let app = Router::new().route("/v1/embeddings", post(answer)).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (server, OpenAiConfig { base_url, dimension: 3, calls_per_minute: 60_000, ..OpenAiConfig::small("secret-key") })
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| "x".repeat(n)).collect()
}

#[tokio::test]
async fn texts_are_sent_in_hundreds_and_come_back_in_order() {
    let (server, config) = serve(vec![]).await;
    let embedder = OpenAiEmbedder::new(config).expect("embedder");
    assert_eq!((embedder.dimension(), embedder.id()), (3, "openai/text-embedding-3-small/3"));
    let embedded = embedder.embed(&texts(250)).await.expect("vectors");
    assert_eq!((embedded.vectors.len(), embedded.tokens), (250, 750));
    for (n, windows) in embedded.vectors.iter().enumerate().skip(1) {
        let [a, b, _] = windows[0][..] else { panic!("three numbers") };
        assert!((a / b - n as f32 / 2.0).abs() < 1e-3, "vector {n} belongs to text {n}");
        assert!((a * a + b * b - 1.0).abs() < 1e-5, "length 1");
    }
    let calls = server.calls.lock().expect("lock");
    let sizes: Vec<usize> = calls.iter().map(|(body, _, _)| body["input"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(sizes, [100, 100, 50]);
    assert!(calls.iter().all(|(body, key, _)| body["model"] == "text-embedding-3-small" && key == "Bearer secret-key"));
    assert_eq!(calls[0].0["input"][0], " ", "the protocol refuses empty texts");
}

#[tokio::test]
async fn passing_errors_are_tried_again_and_the_asked_wait_is_kept() {
    let (server, config) = serve(vec![Reply::Status(429, Some("0.3")), Reply::Status(500, Some("0"))]).await;
    let embedder = OpenAiEmbedder::new(config).expect("embedder");
    assert_eq!(embedder.embed(&texts(1)).await.expect("vectors").vectors.len(), 1);
    let calls = server.calls.lock().expect("lock");
    assert_eq!(calls.len(), 3);
    assert!(calls[1].2 - calls[0].2 >= Duration::from_millis(290));
}

#[tokio::test]
async fn a_provider_that_stays_down_is_given_up() {
    let (server, config) = serve(vec![Reply::Status(503, Some("0")); 9]).await;
    let error = OpenAiEmbedder::new(config).expect("embedder").embed(&texts(1)).await.expect_err("down");
    assert!(matches!(&error, Error::Provider { status: 503, message } if message == "no luck"), "{error}");
    assert_eq!(server.calls.lock().expect("lock").len(), 5);
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again_and_never_shown() {
    let (server, config) = serve(vec![Reply::Status(401, None)]).await;
    let embedder = OpenAiEmbedder::new(config).expect("embedder");
    let error = embedder.embed(&texts(1)).await.expect_err("refused");
    assert!(matches!(error, Error::Provider { status: 401, .. }));
    assert_eq!(server.calls.lock().expect("lock").len(), 1);
    assert!(!format!("{embedder:?} {error:?}").contains("secret-key"));
}

#[tokio::test]
async fn answers_that_cannot_be_right_are_refused() {
    for raw in [
        "not json",
        r#"{"data":[]}"#,
        r#"{"data":[{"index":7,"embedding":[1,2,3]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1,2]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1,2,3]},{"index":0,"embedding":[1,2,3]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1e999,2,3]}]}"#,
    ] {
        let (_, config) = serve(vec![Reply::Raw(raw)]).await;
        let error = OpenAiEmbedder::new(config).expect("embedder").embed(&texts(1)).await.expect_err(raw);
        assert!(
            matches!(error, Error::BadAnswer { .. } | Error::Dimension { expected: 3, found: 2 } | Error::NotFinite),
            "{raw}: {error}"
        );
    }
}

#[tokio::test]
async fn the_rate_limit_spaces_calls_of_all_callers() {
    let (server, config) = serve(vec![]).await;
    let embedder = Arc::new(OpenAiEmbedder::new(OpenAiConfig { calls_per_minute: 1_200, ..config }).expect("embedder"));
    let calls: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn({
                let embedder = Arc::clone(&embedder);
                async move { embedder.embed(&texts(1)).await.is_ok() }
            })
        })
        .collect();
    for call in calls {
        assert!(call.await.expect("task"));
    }
    let calls = server.calls.lock().expect("lock");
    let times = || calls.iter().map(|(_, _, at)| *at);
    let span = times().max().zip(times().min()).map(|(last, first)| last - first).expect("calls");
    assert!(span >= Duration::from_millis(4 * 50 - 20), "{span:?}");
}

#[tokio::test]
async fn an_unreachable_provider_is_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address");
    let config = OpenAiConfig { base_url: format!("http://{closed}"), ..OpenAiConfig::small("secret-key") };
    let error =
        tokio::time::timeout(Duration::from_secs(30), OpenAiEmbedder::new(config).expect("embedder").embed(&texts(1)))
            .await
            .expect("in time")
            .expect_err("closed");
    assert!(matches!(&error, Error::Unreachable { reason } if !reason.contains("secret")), "{error}");
}
