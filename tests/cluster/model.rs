//! A model on loopback that takes its time: streams an answer word by word, so that something can happen in the middle of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::StreamExt as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Words of every answer.
pub(crate) const WORDS: usize = 40;
/// Between two words: an answer takes four seconds, longer than a move.
const WORD_EVERY: Duration = Duration::from_millis(100);

/// The model; it ends when this is dropped.
pub(crate) struct Model {
    url: String,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Model {
    pub(crate) async fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(asked.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the model serves") });
        Self { url, asked, task }
    }

    /// Its settings.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("COLLOQUY_MODELS__OPENAI__BASE_URL", self.url.clone()),
            ("COLLOQUY_MODELS__OPENAI__API_KEY", "sk-test".to_owned()),
        ]
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(asked): State<Arc<AtomicUsize>>) -> Response {
    asked.fetch_add(1, Ordering::SeqCst);
    let words = futures::stream::iter(0..=WORDS).then(|n| async move {
        tokio::time::sleep(WORD_EVERY).await;
        let event = |delta, end| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
            json!({ "id": "c", "object": "chat.completion.chunk", "model": "slow", "choices": [choice] })
        };
        let text = match n {
            WORDS => format!("data: {}\n\ndata: [DONE]\n\n", event(json!({}), json!("stop"))),
            _ => format!("data: {}\n\n", event(json!({ "content": format!("word{n} ") }), json!(null))),
        };
        Ok::<_, Infallible>(Bytes::from(text))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(words)).into_response()
}
