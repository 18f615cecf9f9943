//! A WebSocket client for the chat socket and the live socket: JSON frames with deadlines.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// The longest wait for one frame: an answer of the built-in responder takes milliseconds.
const FRAME_WITHIN: Duration = Duration::from_secs(20);

/// An open socket and every frame it has brought.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Every frame so far, oldest first.
    pub(crate) seen: Vec<Value>,
}

impl Socket {
    /// Opens a socket, or says why not.
    pub(crate) async fn open(address: SocketAddr, path: &str) -> Result<Self, String> {
        Self::open_from(Ipv4Addr::LOCALHOST, address, path).await
    }

    /// Opens a socket from one of this machine's addresses; all of 127.0.0.0/8 are.
    pub(crate) async fn open_from(own: Ipv4Addr, address: SocketAddr, path: &str) -> Result<Self, String> {
        Self::open_with(own, address, path, &[]).await
    }

    /// Opens a socket with more headers in its handshake.
    pub(crate) async fn open_with(
        own: Ipv4Addr,
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, String> {
        let tcp = connect_from(own, address).await.map_err(|error| error.to_string())?;
        let mut request = format!("ws://{address}{path}").into_client_request().map_err(|error| error.to_string())?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        let open = tokio_tungstenite::client_async(request, tcp);
        let (stream, _) = tokio::time::timeout(FRAME_WITHIN, open)
            .await
            .map_err(|_| "no answer to the upgrade".to_owned())?
            .map_err(|error| error.to_string())?;
        Ok(Self { stream, seen: Vec::new() })
    }

    /// A visitor's chat socket, greeted and welcomed; gives the welcome frame.
    pub(crate) async fn chat(address: SocketAddr, agent: &str, hello: Value) -> Result<(Self, Value), String> {
        Self::chat_from(Ipv4Addr::LOCALHOST, address, agent, hello).await
    }

    /// As [`Socket::chat`], from one of this machine's addresses.
    pub(crate) async fn chat_from(
        own: Ipv4Addr,
        address: SocketAddr,
        agent: &str,
        hello: Value,
    ) -> Result<(Self, Value), String> {
        let mut socket = Self::open_from(own, address, &format!("/api/chat/socket?agent_id={agent}")).await?;
        let mut frame = json!({ "type": "hello" });
        for (key, value) in hello.as_object().into_iter().flatten() {
            frame[key] = value.clone();
        }
        socket.try_send(&frame).await?;
        match socket.try_next().await? {
            Some(frame) if frame["type"] == "welcome" => Ok((socket, frame)),
            other => Err(format!("instead of a welcome: {other:?}")),
        }
    }

    /// A console's live socket with its token sent.
    pub(crate) async fn live(address: SocketAddr, token: &str) -> Self {
        let mut socket = Self::open(address, "/api/live").await.expect("the live socket opens");
        socket.send(&json!({ "type": "auth", "token": token })).await;
        socket
    }

    /// Sends a frame over a connection that must stand.
    pub(crate) async fn send(&mut self, frame: &Value) {
        self.try_send(frame).await.expect("the socket takes a frame");
    }

    /// Sends a frame.
    pub(crate) async fn try_send(&mut self, frame: &Value) -> Result<(), String> {
        self.try_text(&frame.to_string()).await
    }

    /// Sends any text.
    pub(crate) async fn try_text(&mut self, text: &str) -> Result<(), String> {
        self.stream.send(Message::text(text)).await.map_err(|error| error.to_string())
    }

    /// Sends any bytes as a binary frame.
    pub(crate) async fn try_bytes(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.stream.send(Message::binary(bytes)).await.map_err(|error| error.to_string())
    }

    /// The next frame; none when the server has ended the connection.
    pub(crate) async fn try_next(&mut self) -> Result<Option<Value>, String> {
        self.next_within(FRAME_WITHIN).await
    }

    /// The next frame within a time of the caller's choice.
    pub(crate) async fn next_within(&mut self, within: Duration) -> Result<Option<Value>, String> {
        loop {
            let next = tokio::time::timeout(within, self.stream.next())
                .await
                .map_err(|_| format!("no frame within {within:?}; the last was {:?}", self.seen.last()))?;
            match next {
                None | Some(Ok(Message::Close(_))) => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).map_err(|error| format!("{text}: {error}"))?;
                    self.seen.push(frame.clone());
                    return Ok(Some(frame));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => return Err(format!("an unexpected frame: {other:?}")),
            }
        }
    }

    /// Reads on until a frame fits; fails the test when the connection ends or nothing comes.
    pub(crate) async fn until(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.try_next().await {
                Ok(Some(frame)) if fits(&frame) => return frame,
                Ok(Some(_)) => {}
                Ok(None) => panic!("the server closed the socket before {what}; frames: {:?}", self.seen),
                Err(error) => panic!("{error} before {what}; frames: {:?}", self.seen),
            }
        }
    }

    /// Ends the connection.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}

/// A connection from one of this machine's addresses.
pub(crate) async fn connect_from(own: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // From a loopback address nothing else is reached.
    if address.ip().is_loopback() {
        socket.bind((own, 0).into())?;
    }
    socket.connect(address).await
}
