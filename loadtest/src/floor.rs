//! The floor every chat turn is compared with: a proxy that forgets everything, in a process of its own so that its use can be told.

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
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::error::{Error, Result};
use crate::http_client::Client;

/// The line that tells the parent where the proxy listens.
pub(crate) const LISTENING: &str = "listening on ";

/// Serves until standard input ends, which happens when the parent does: takes a chat turn, asks the model server, passes its stream on.
pub(crate) async fn serve(upstream: SocketAddr) -> Result<()> {
    let (listener, address) = listen().await?;
    println!("{LISTENING}{address}");
    let mut nothing = [0; 16];
    let mut parent = tokio::io::stdin();
    tokio::select! {
        outcome = serve_on(listener, app(upstream)) => outcome,
        () = async { while matches!(parent.read(&mut nothing).await, Ok(1..)) {} } => Ok(()),
    }
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
