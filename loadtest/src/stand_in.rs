//! The stand-in model server: OpenAI-compatible chat completions whose timing is fixed, so that what is added to it can be told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::Result;
use crate::floor::{listen, serve_on};

/// The pieces of every answer: plain words that no guard of a receptionist has reason to stop.
const PIECES: [&str; 20] = [
    "Thank you ",
    "for asking. ",
    "Our team ",
    "looks after ",
    "this kind ",
    "of work ",
    "every week, ",
    "and most ",
    "visits take ",
    "about an hour. ",
    "Someone will ",
    "greet you ",
    "at the door, ",
    "walk through ",
    "what you need ",
    "and explain ",
    "each step. ",
    "Is there ",
    "anything else ",
    "you would like to know?",
];

/// How fast the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// From the request to the first piece.
    pub(crate) first: Duration,
    /// Between two pieces.
    pub(crate) gap: Duration,
}

/// A running model server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StandIn {
    address: SocketAddr,
    pace: Pace,
    served: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Model {
    pace: Pace,
    events: Arc<Vec<Bytes>>,
    served: Arc<AtomicU64>,
}

impl Pace {
    /// A fast hosted model's order of magnitude: 200 ms to the first piece, 100 pieces a second.
    pub(crate) const HOSTED: Self = Self { first: Duration::from_millis(200), gap: Duration::from_millis(10) };
    /// Answers at once: for what should take no time of the model's.
    pub(crate) const INSTANT: Self = Self { first: Duration::ZERO, gap: Duration::ZERO };

    /// From the request to the end of the first sentence, which is what a voice can begin with.
    pub(crate) fn first_sentence(&self) -> Duration {
        let ends = PIECES.iter().position(|piece| piece.trim_end().ends_with('.')).unwrap_or_default();
        self.first + self.gap * ends as u32
    }

    /// From the request to the last piece.
    pub(crate) fn own_time(&self) -> Duration {
        self.first + self.gap * (PIECES.len() as u32 - 1)
    }
}

impl StandIn {
    /// Starts it on a free loopback port.
    pub(crate) async fn start(pace: Pace) -> Result<Self> {
        let (listener, address) = listen().await?;
        let served = Arc::new(AtomicU64::new(0));
        let model = Model { pace, events: Arc::new(events()), served: Arc::clone(&served) };
        let app = Router::new().route("/v1/chat/completions", post(complete)).with_state(model);
        let task = tokio::spawn(async move {
            let _ = serve_on(listener, app).await; // It ends only by being dropped; a broken listener shows as refused turns.
        });
        Ok(Self { address, pace, served, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an OpenAI client takes for its base address.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How fast it is.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// How many completions were asked for.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn complete(State(model): State<Model>, body: Bytes) -> Response<Body> {
    let received = Instant::now();
    model.served.fetch_add(1, Ordering::Relaxed);
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, r#"{"error":{"message":"the body is not JSON"}}"#).into_response();
    };
    if request["stream"] != true {
        tokio::time::sleep_until(received + model.pace.own_time()).await;
        let whole = json!({
            "id": "chatcmpl-stand-in", "object": "chat.completion", "model": "stand-in", "usage": usage(),
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": PIECES.concat() }, "finish_reason": "stop" }],
        });
        return ([(header::CONTENT_TYPE, "application/json")], whole.to_string()).into_response();
    }
    let stream = futures::stream::unfold((model, 0_usize), move |(model, at)| async move {
        let event = model.events.get(at)?.clone();
        // Due times are counted from the request, so that late wake-ups do not add up.
        let due = received + model.pace.first + model.pace.gap * at as u32;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        Some((Ok::<_, Infallible>(event), (model, at + 1)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

/// The bytes of each write: one piece, and with the last also the finish, the usage and the end mark.
fn events() -> Vec<Bytes> {
    let chunk = |delta: Value, finish: Value, usage: Value| {
        let choices =
            if usage.is_null() { json!([{ "index": 0, "delta": delta, "finish_reason": finish }]) } else { json!([]) };
        let chunk = json!({ "id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": 0, "model": "stand-in", "choices": choices, "usage": usage });
        format!("data: {chunk}\n\n")
    };
    let mut events: Vec<String> =
        PIECES.iter().map(|piece| chunk(json!({ "content": piece }), Value::Null, Value::Null)).collect();
    if let Some(last) = events.last_mut() {
        last.push_str(&chunk(json!({}), json!("stop"), Value::Null));
        last.push_str(&chunk(Value::Null, Value::Null, usage()));
        last.push_str("data: [DONE]\n\n");
    }
    events.into_iter().map(Bytes::from).collect()
}

fn usage() -> Value {
    json!({ "prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460 })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http_client::Client;

    async fn pieces(stand_in: &StandIn, body: Value) -> (StatusCode, Vec<(Duration, String)>) {
        let client = Client::new(stand_in.address());
        let begun = Instant::now();
        let mut answer =
            client.send(Method::POST, "/v1/chat/completions", &[], body.to_string().into()).await.expect("answer");
        let mut pieces = Vec::new();
        while let Some(piece) = answer.piece().await.expect("piece") {
            pieces.push((begun.elapsed(), String::from_utf8(piece.to_vec()).expect("text")));
        }
        (answer.status, pieces)
    }

    #[tokio::test]
    async fn a_stream_has_twenty_pieces_a_finish_the_usage_and_the_end_mark() {
        let stand_in = StandIn::start(Pace::INSTANT).await.expect("stand-in");
        let (status, pieces) = pieces(&stand_in, json!({ "stream": true })).await;
        assert_eq!(status, StatusCode::OK);
        let text: String = pieces.into_iter().map(|(_, text)| text).collect();
        let events: Vec<&str> =
            text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
        assert_eq!(events.last(), Some(&"[DONE]"));
        let chunks: Vec<Value> =
            events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
        let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said, PIECES.concat());
        assert_eq!(chunks.len(), PIECES.len() + 2);
        assert_eq!(chunks[20]["choices"][0]["finish_reason"], "stop");
        assert_eq!((&chunks[21]["usage"]["completion_tokens"], &chunks[21]["choices"]), (&json!(60), &json!([])));
        assert_eq!(stand_in.served(), 1);
    }

    #[tokio::test]
    async fn the_first_piece_and_the_last_come_no_earlier_than_the_pace_says() {
        let pace = Pace { first: Duration::from_millis(60), gap: Duration::from_millis(5) };
        assert_eq!(pace.own_time(), Duration::from_millis(155));
        let stand_in = StandIn::start(pace).await.expect("stand-in");
        let (_, pieces) = pieces(&stand_in, json!({ "stream": true })).await;
        assert!(pieces[0].0 >= pace.first, "{:?}", pieces[0]);
        assert!(pieces.last().expect("last").0 >= pace.own_time());
        assert!(pieces.len() > 1, "the answer came in one piece");
    }

    #[tokio::test]
    async fn without_a_stream_the_answer_is_one_object_and_nonsense_is_refused() {
        let stand_in = StandIn::start(Pace::INSTANT).await.expect("stand-in");
        let (_, whole) = pieces(&stand_in, json!({ "stream": false })).await;
        let text: String = whole.into_iter().map(|(_, text)| text).collect();
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["choices"][0]["message"]["content"], PIECES.concat());
        let client = Client::new(stand_in.address());
        let refused =
            client.send(Method::POST, "/v1/chat/completions", &[], Bytes::from_static(b"{")).await.expect("answer");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
}
