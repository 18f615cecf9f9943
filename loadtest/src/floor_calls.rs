//! The floor of telephone calls: a server without state that speaks Retell's protocol and passes on what the model server says.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use http::{Method, header};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::error::{Error, Result};
use crate::floor::{LISTENING, listen, parent_ends};
use crate::http_client::Client;

/// Bytes read at once from a socket: a page.
const SOCKET_BUFFER: usize = 4096;
/// Frames that wait to be sent in one call: an answer has twenty.
const QUEUE: usize = 64;

/// Serves until standard input ends.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<()> {
    let (listener, address) = listen().await?;
    println!("{LISTENING}{address}");
    tokio::select! {
        outcome = serve_on(listener, Client::new(upstream)) => outcome,
        () = parent_ends() => Ok(()),
    }
}

/// Answers calls on a listener.
pub(crate) async fn serve_on(listener: TcpListener, model: Arc<Client>) -> Result<()> {
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| Error::io("the floor's listener ended", source))?;
        // A call that breaks is missed by whoever made it.
        tokio::spawn(call(stream, Arc::clone(&model)));
    }
}

async fn call(stream: TcpStream, model: Arc<Client>) -> Option<()> {
    let _ = stream.set_nodelay(true); // A socket that refuses is already closed.
    let config = WebSocketConfig::default().read_buffer_size(SOCKET_BUFFER).write_buffer_size(0);
    let mut socket = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await.ok()?;
    let (words, mut spoken) = mpsc::channel::<Value>(QUEUE);
    let mut answering: Option<JoinHandle<()>> = None;
    let config = json!({ "auto_reconnect": true, "call_details": true, "transcript_with_tool_calls": false });
    let begin = [
        json!({ "response_type": "config", "config": config }),
        json!({ "response_type": "response", "response_id": 0, "content": "Hello.", "content_complete": true }),
    ];
    for frame in begin {
        socket.send(Message::Text(frame.to_string().into())).await.ok()?;
    }
    loop {
        let frame = tokio::select! {
            frame = socket.next() => frame?.ok()?,
            piece = spoken.recv() => {
                socket.send(Message::Text(piece?.to_string().into())).await.ok()?;
                continue;
            }
        };
        let Message::Text(text) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).ok()?;
        match frame["interaction_type"].as_str() {
            Some("ping_pong") => {
                let echo = json!({ "response_type": "ping_pong", "timestamp": frame["timestamp"] });
                socket.send(Message::Text(echo.to_string().into())).await.ok()?;
            }
            Some("response_required") => {
                if let Some(before) = answering.take() {
                    before.abort();
                }
                let (model, words) = (Arc::clone(&model), words.clone());
                answering = Some(tokio::spawn(async move {
                    answer(&model, &frame, &words).await;
                }));
            }
            Some(_) | None => {}
        }
    }
}

/// Asks the model with what was said last, and passes each piece on.
async fn answer(model: &Arc<Client>, asked: &Value, words: &mpsc::Sender<Value>) -> Option<()> {
    let said = asked["transcript"].as_array().and_then(|all| all.last()).map(|last| last["content"].clone());
    let question = json!({
        "model": "stand-in", "stream": true,
        "messages": [{ "role": "system", "content": "You are a receptionist." }, { "role": "user", "content": said }],
    });
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let sent = model.send(Method::POST, "/v1/chat/completions", &headers, question.to_string().into()).await;
    let mut answer = sent.ok()?;
    let piece = |content: &str, complete: bool| json!({ "response_type": "response", "response_id": asked["response_id"], "content": content, "content_complete": complete });
    let mut kept = String::new();
    while let Ok(Some(bytes)) = answer.piece().await {
        kept.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = kept.find("\n\n") {
            let event: String = kept.drain(..end + 2).collect();
            let data = event.trim().strip_prefix("data: ").unwrap_or_default();
            let chunk: Value = serde_json::from_str(data).unwrap_or_default(); // The end mark is no JSON.
            if let Some(content) = chunk["choices"][0]["delta"]["content"].as_str() {
                words.send(piece(content, false)).await.ok()?;
            }
        }
    }
    words.send(piece("", true)).await.ok()
}
