//! One visitor's turn over `POST /api/chat` as an event stream, with the moments its first words and its end arrived.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use colloquy_wire::chat::{ChatRequest, ChatResponse};
use http::{Method, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::http_client::{Client, refused};

/// The call, in messages.
const CALL: &str = "POST /api/chat";
/// How long a turn may take; the server's own limit is as long.
const TURN: Duration = Duration::from_secs(60);
/// The longest event: an answer of 2,000 characters with its sources is some 10 KB.
const EVENT_MAX: usize = 1 << 20;

/// A turn that was answered.
#[derive(Debug)]
pub(crate) struct Turn {
    /// When its first words arrived, if they came before the whole.
    pub(crate) first: Option<Instant>,
    /// When it was complete.
    pub(crate) done: Instant,
    /// The answer; none from the floor, whose stream is the model's own.
    pub(crate) answer: Option<ChatResponse>,
}

/// What an event stream has brought so far, cut into events.
#[derive(Debug, Default)]
struct Events {
    buffer: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// A visitor's own id: 128 random bits, as the contract asks.
pub(crate) fn visitor_id() -> String {
    hex(&rand::random::<[u8; 16]>())
}

/// Sends a visitor's message and reads the answer to its end.
///
/// # Errors
/// [`Error::Refused`] for a problem, [`Error::NotInTime`] after a minute, [`Error::Unexpected`] for a stream without an answer.
pub(crate) async fn ask(client: &Arc<Client>, request: &ChatRequest, token: Option<&str>) -> Result<Turn> {
    let body = serde_json::to_vec(request).map_err(|error| Error::Setup(format!("{CALL}: {error}")))?;
    let exchange = exchange(client, body.into(), token);
    tokio::time::timeout(TURN, exchange)
        .await
        .unwrap_or_else(|_| Err(Error::NotInTime { what: CALL.into(), after: TURN }))
}

async fn exchange(client: &Arc<Client>, body: Bytes, token: Option<&str>) -> Result<Turn> {
    let visitor = token.map(|token| format!("Visitor {token}"));
    let mut headers = vec![(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "text/event-stream")];
    if let Some(visitor) = &visitor {
        headers.push((header::AUTHORIZATION, visitor));
    }
    let mut answer = client.send(Method::POST, "/api/chat", &headers, body).await?;
    let status = answer.status;
    if !status.is_success() {
        return Err(refused(CALL, status, &answer.bytes().await?));
    }
    if answer.headers.get(header::CONTENT_TYPE).is_none_or(|kind| !kind.as_bytes().starts_with(b"text/event-stream")) {
        return Err(Error::unexpected(CALL, "no event stream"));
    }
    let mut events = Events::default();
    let mut turn: Option<Turn> = None;
    let mut first = None;
    let mut discarded = false;
    // Read to the end even when the answer is there: then the connection can be used again.
    while let Some(piece) = answer.piece().await? {
        let now = Instant::now();
        events.push(&piece)?;
        while let Some(event) = events.next() {
            match event.name.as_str() {
                "token" => first = first.or(Some(now)),
                "" if event.data == "[DONE]" => turn = Some(Turn { first, done: now, answer: None }),
                "" => first = first.or(Some(now)),
                "message" => {
                    let answer = serde_json::from_str(&event.data)
                        .map_err(|error| Error::unexpected(CALL, error.to_string()))?;
                    turn = Some(Turn { first, done: now, answer: Some(answer) });
                }
                "error" => return Err(problem(&event.data)),
                // An attempt that is given up may be followed by another: only a stream that ends with it has no answer.
                "discard" => discarded = true,
                _ => {} // Clients pass over what they do not know.
            }
        }
    }
    let ended = if discarded { "discarded" } else { "the stream ended without an answer" };
    turn.ok_or_else(|| Error::unexpected(CALL, ended))
}

fn problem(data: &str) -> Error {
    let status = serde_json::from_str::<Value>(data)
        .ok()
        .and_then(|problem| problem["status"].as_u64())
        .and_then(|status| StatusCode::from_u16(status as u16).ok());
    refused(CALL, status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), data.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Events {
    fn push(&mut self, piece: &[u8]) -> Result<()> {
        if self.buffer.len() + piece.len() > EVENT_MAX {
            return Err(Error::unexpected(CALL, "an event that does not end"));
        }
        self.buffer.extend_from_slice(piece);
        Ok(())
    }

    /// The next whole event, comments passed over.
    fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.buffer.windows(2).position(|two| two == b"\n\n")?;
            let rest = self.buffer.split_off(end + 2);
            let block = std::mem::replace(&mut self.buffer, rest);
            let block = String::from_utf8_lossy(&block);
            let mut event = Event { name: String::new(), data: String::new() };
            for line in block.lines() {
                if let Some(name) = line.strip_prefix("event:") {
                    event.name = name.trim().to_owned();
                } else if let Some(data) = line.strip_prefix("data:") {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(data.strip_prefix(' ').unwrap_or(data));
                }
            }
            if !event.data.is_empty() || !event.name.is_empty() {
                return Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::header::CONTENT_TYPE;
    use axum::routing::post;
    use serde_json::json;

    use super::*;
    use crate::floor::listen;

    fn request() -> ChatRequest {
        ChatRequest {
            agent_id: "a".into(),
            conversation_id: None,
            message: "Hello".into(),
            visitor_id: visitor_id(),
            client_message_id: None,
            metadata: None,
        }
    }

    async fn answering(status: StatusCode, kind: &'static str, body: String) -> Arc<Client> {
        let app = Router::new().route("/api/chat", post(move || async move { (status, [(CONTENT_TYPE, kind)], body) }));
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Client::new(address)
    }

    #[tokio::test]
    async fn tokens_then_a_message_is_an_answered_turn() {
        let message = json!({
            "response": "Hi!", "conversation_id": "c", "message_id": "m", "seq": 2, "visitor_token": "t",
            "sources": [], "confidence": null, "status": "active", "urgency": "normal", "something_new": 1,
        });
        let body = format!(
            ": hello\n\nevent: token\ndata: {{\"text\":\"Hi\"}}\n\nevent: new_kind\ndata: {{}}\n\nevent: message\ndata: {message}\n\n"
        );
        let turn =
            ask(&answering(StatusCode::OK, "text/event-stream", body).await, &request(), None).await.expect("turn");
        assert!(turn.first.is_some_and(|first| first <= turn.done));
        assert_eq!(turn.answer.map(|answer| answer.response).as_deref(), Some("Hi!"));
    }

    #[tokio::test]
    async fn refusals_broken_streams_and_discards_are_told_apart() {
        for (status, kind, body, wanted) in [
            (StatusCode::CONFLICT, "application/problem+json", r#"{"code":"agent_not_live"}"#, "409 agent_not_live"),
            (
                StatusCode::OK,
                "text/event-stream",
                "event: error\ndata: {\"status\":503,\"code\":\"busy\"}\n\n",
                "503 busy",
            ),
            (StatusCode::OK, "text/event-stream", "event: discard\ndata: {}\n\n", "discarded"),
            (StatusCode::OK, "text/event-stream", "event: token\ndata: {}\n\n", "the stream ended without an answer"),
            (StatusCode::OK, "application/json", "{}", "no event stream"),
        ] {
            let error = ask(&answering(status, kind, body.to_owned()).await, &request(), None).await.expect_err(wanted);
            assert_eq!(error.kind(), wanted);
        }
    }

    #[test]
    fn events_may_be_cut_anywhere() {
        let text = b"event: token\ndata: {\"text\":\"a\"}\n\n: ping\n\ndata: x\ndata: y\n\n";
        for cut in 0..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                events.push(piece).expect("small");
                found.extend(std::iter::from_fn(|| events.next()));
            }
            let wanted = [("token", "{\"text\":\"a\"}"), ("", "x\ny")]
                .map(|(name, data)| Event { name: name.into(), data: data.into() });
            assert_eq!(found, wanted, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; EVENT_MAX]).is_ok());
        assert!(events.push(b"x").is_err());
    }
}
