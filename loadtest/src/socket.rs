//! WebSockets on loopback, from as many source addresses as their number needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::error::{Error, Result};

/// Sockets from one source address: Linux has 28,232 ports for outgoing connections by default (ip_local_port_range), and other
/// connections need some too.
const PER_ADDRESS: u64 = 20_000;
/// Bytes read at once. The library's 128 KB would be more than what is measured.
const READ_BUFFER: usize = 4096;
/// The largest frame: a snapshot of a busy organization is some 100 KB.
const FRAME_MAX: usize = 8 << 20;
/// How long connecting may take: ten thousand of them come in a burst.
const CONNECT: Duration = Duration::from_secs(30);

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Connects the socket of the given number: numbers far apart come from different addresses.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Socket`] when it is refused, [`Error::NotInTime`].
    pub(crate) async fn connect(server: SocketAddr, path: &str, number: u64) -> Result<Self> {
        let url = format!("ws://{server}{path}");
        let connect = async {
            let failed = |source| Error::io(format!("no connection to {server}"), source);
            let socket = TcpSocket::new_v4().map_err(failed)?;
            if server.ip().is_loopback() {
                socket.bind(SocketAddr::from((source(number), 0))).map_err(failed)?;
            }
            let stream = socket.connect(server).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER)
                .write_buffer_size(0)
                .max_message_size(Some(FRAME_MAX))
                .max_frame_size(Some(FRAME_MAX));
            let connected = tokio_tungstenite::client_async_with_config(url.as_str(), stream, Some(config)).await;
            let (stream, _) =
                connected.map_err(|source| Error::socket(format!("the socket {path} was refused"), source))?;
            Ok(Self { stream })
        };
        tokio::time::timeout(CONNECT, connect)
            .await
            .unwrap_or_else(|_| Err(Error::NotInTime { what: format!("connecting {path}"), after: CONNECT }))
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// [`Error::Socket`] when the connection is broken.
    pub(crate) async fn send(&mut self, frame: &(impl Serialize + Sync)) -> Result<()> {
        let text = serde_json::to_string(frame).map_err(|error| Error::Setup(error.to_string()))?;
        self.stream
            .send(Message::Text(text.into()))
            .await
            .map_err(|source| Error::socket("a frame could not be sent", source))
    }

    /// Says goodbye; whoever only drops the socket has lost it.
    pub(crate) async fn close(mut self) {
        // Whether the other side still listens does not matter any more.
        let _ = self.stream.close(None).await;
    }

    /// The next text frame as it is; pings are answered on the way. None when the server has closed.
    ///
    /// # Errors
    /// [`Error::Socket`] when the connection breaks.
    pub(crate) async fn text(&mut self) -> Result<Option<Utf8Bytes>> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => {}
                Some(Err(source)) => return Err(Error::socket("a socket broke", source)),
            }
        }
    }

    /// The next frame that `wanted` takes, others passed over, within a time.
    ///
    /// # Errors
    /// [`Error::NotInTime`], [`Error::Unexpected`] when the server closes first or `wanted` says so, and those of [`Socket::text`].
    pub(crate) async fn wait_for<F, T>(
        &mut self,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(F) -> Result<Option<T>>,
    ) -> Result<T>
    where
        F: DeserializeOwned,
    {
        let wait = async {
            while let Some(text) = self.text().await? {
                // A frame of a kind that is not known yet is passed over, as the contract asks.
                if let Ok(frame) = serde_json::from_str(&text)
                    && let Some(found) = wanted(frame)?
                {
                    return Ok(found);
                }
            }
            Err(Error::unexpected("the socket", format!("closed before {what}")))
        };
        tokio::time::timeout(within, wait)
            .await
            .unwrap_or_else(|_| Err(Error::NotInTime { what: what.to_owned(), after: within }))
    }
}

/// 127.0.0.1 and up.
fn source(number: u64) -> Ipv4Addr {
    let host = 1 + (number / PER_ADDRESS).min(65_000) as u32;
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 0)) + host)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::floor::listen;

    #[test]
    fn many_sockets_are_spread_over_source_addresses() {
        assert_eq!(source(0), Ipv4Addr::LOCALHOST);
        assert_eq!(source(19_999), Ipv4Addr::LOCALHOST);
        assert_eq!(source(20_000), Ipv4Addr::new(127, 0, 0, 2));
        assert!(source(u64::MAX).is_loopback());
    }

    #[tokio::test]
    async fn frames_go_both_ways_and_unknown_ones_are_passed_over() {
        let (listener, address) = listen().await.expect("listener");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("connection");
            let mut server = tokio_tungstenite::accept_async(stream).await.expect("handshake");
            let asked = server.next().await.expect("frame").expect("frame");
            for text in [
                "not JSON".to_owned(),
                json!({ "type": "other" }).to_string(),
                asked.into_text().expect("text").to_string(),
            ] {
                server.send(Message::Text(text.into())).await.expect("sent");
            }
            server.close(None).await.expect("closed");
        });
        let mut socket = Socket::connect(address, "/x", 20_000).await.expect("socket");
        socket.send(&json!({ "type": "hello", "number": 7 })).await.expect("sent");
        let wait = Duration::from_secs(5);
        let number = socket
            .wait_for("hello", wait, |frame: Value| Ok((frame["type"] == "hello").then(|| frame["number"].as_u64())))
            .await
            .expect("frame");
        assert_eq!(number, Some(7));
        let error = socket.wait_for("more", wait, |_: Value| Ok(None::<()>)).await.expect_err("closed").to_string();
        assert!(error.contains("closed before more"), "{error}");
    }
}
