//! The floors that figures are compared with, in processes of their own so that their use can be told: a proxy that forgets
//! everything for chat turns, and sockets that say nothing for idle widgets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::error::{Error, Result};
use crate::http_client::Client;

/// Bytes read at once from a socket of the floor: a page; the library's default of 128 KB is allocated for each.
const SOCKET_BUFFER: usize = 4096;
/// The line that tells the parent where the proxy listens.
pub(crate) const LISTENING: &str = "listening on ";

/// Serves until standard input ends, which happens when the parent does: takes a chat turn, asks the model server, passes its stream on.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<()> {
    let (listener, address) = listen().await?;
    println!("{LISTENING}{address}");
    tokio::select! {
        outcome = serve_on(listener, app(upstream)) => outcome,
        () = parent_ends() => Ok(()),
    }
}

/// Serves until standard input ends: takes sockets and reads them, which is the least any server does for an idle one.
pub(crate) async fn serve_sockets() -> Result<()> {
    // As many as the scenario opens; the parent has raised its own limit, which is inherited.
    let (listener, address) = listen().await?;
    println!("{LISTENING}{address}");
    tokio::select! {
        outcome = sockets_on(listener) => outcome,
        () = parent_ends() => Ok(()),
    }
}

async fn sockets_on(listener: TcpListener) -> Result<()> {
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| Error::io("the floor's listener ended", source))?;
        tokio::spawn(async move {
            let config = WebSocketConfig::default().read_buffer_size(SOCKET_BUFFER).write_buffer_size(0);
            // A socket that breaks is missed by whoever opened it.
            if let Ok(mut socket) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await {
                while let Some(Ok(_)) = socket.next().await {}
            }
        });
    }
}

/// Ends when standard input does, which happens when the parent does.
pub(crate) async fn parent_ends() {
    let mut nothing = [0; 16];
    let mut parent = tokio::io::stdin();
    while matches!(parent.read(&mut nothing).await, Ok(1..)) {}
}

/// A listener on a free loopback port.
pub(crate) async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::io("no loopback port is free", source);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves without Nagle's delay, which would be measured otherwise.
pub(crate) async fn serve_on(listener: TcpListener, app: Router) -> Result<()> {
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true); // A socket that refuses is already closed.
    });
    axum::serve(listener, app).await.map_err(|source| Error::io("a server on loopback ended", source))
}

/// The proxy in front of a model server.
pub(crate) fn app(upstream: SocketAddr) -> Router {
    Router::new()
        .route("/health/readyz", get(|| async { StatusCode::OK }))
        .route("/api/chat", post(chat))
        .with_state(Client::new(upstream))
}

async fn chat(State(model): State<Arc<Client>>, body: Bytes) -> Response<Body> {
    let Ok(turn) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let question = json!({
        "model": "stand-in", "stream": true,
        "messages": [{ "role": "system", "content": "You are a receptionist." }, { "role": "user", "content": turn["message"] }],
    });
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let Ok(answer) = model.send(Method::POST, "/v1/chat/completions", &headers, question.to_string().into()).await
    else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let status = answer.status;
    let stream = futures::stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        match answer.piece().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(answer))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    });
    (status, [(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stand_in::{Pace, StandIn};

    #[tokio::test]
    async fn sockets_of_the_floor_stay_open_and_say_nothing() {
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(sockets_on(listener));
        let mut socket = crate::socket::Socket::connect(address, "/", 0).await.expect("a socket");
        socket.send(&json!({ "type": "hello" })).await.expect("sent");
        let said = tokio::time::timeout(std::time::Duration::from_millis(50), socket.text()).await;
        assert!(said.is_err(), "{said:?}");
    }

    #[tokio::test]
    async fn the_model_servers_stream_passes_through_byte_for_byte() {
        let stand_in = StandIn::start(Pace::INSTANT).await.expect("stand-in");
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(serve_on(listener, app(stand_in.address())));
        let ask = |client: Arc<Client>, path: &'static str, body: &'static str| async move {
            let answer =
                client.send(Method::POST, path, &[], Bytes::from_static(body.as_bytes())).await.expect("answer");
            (answer.status, answer.bytes().await.expect("body"))
        };
        let through = ask(Client::new(address), "/api/chat", r#"{"message":"Hello"}"#).await;
        let direct = ask(Client::new(stand_in.address()), "/v1/chat/completions", r#"{"stream":true}"#).await;
        assert_eq!(through, direct);
        assert_eq!(ask(Client::new(address), "/api/chat", "{").await.0, StatusCode::BAD_REQUEST);
    }
}
