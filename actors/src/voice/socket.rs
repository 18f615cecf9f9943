//! Sockets that we open at voice services: over TLS with the machine's own authorities, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use futures::SinkExt as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

/// How long a connection may take, with its handshakes.
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// The largest frame that is taken, bytes: ten seconds of sound in base64.
const FRAME_BYTES_MAX: usize = 2 << 20;
/// A service that does not take a frame within this time is gone.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// A connection of either kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// An open socket.
pub(super) type Socket = WebSocketStream<Box<dyn Io>>;

/// Why none stands.
#[derive(Debug)]
pub(super) enum Failed {
    /// The service refuses the key.
    Key,
    /// Anything else, in words for the operator; never the address, which may hold words of a caller.
    Other(String),
}

/// Opens a socket at `ws://` or `wss://` with one header, which holds the key.
pub(super) async fn open(address: &str, header: (&'static str, &str)) -> Result<Socket, Failed> {
    timeout(OPEN_WITHIN, opening(address, header)).await.unwrap_or_else(|_| Err(other("it does not answer")))
}

/// Sends a frame; `false` when the service is gone.
pub(super) async fn send(socket: &mut Socket, frame: Message) -> bool {
    matches!(timeout(SEND_WITHIN, socket.send(frame)).await, Ok(Ok(())))
}

async fn opening(address: &str, header: (&'static str, &str)) -> Result<Socket, Failed> {
    let url = Url::parse(address).map_err(|_| other("its address cannot be read"))?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(other("its address names no host"));
    };
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(other)?;
    // Sound is many small pieces.
    tcp.set_nodelay(true).map_err(other)?;
    let io: Box<dyn Io> = if url.scheme() == "wss" {
        // The first provider that is installed stays for the whole process; if there is one already, it does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig::with_platform_verifier().map_err(other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(other)?;
        Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(other)?)
    } else {
        Box::new(tcp)
    };
    let mut request = address.into_client_request().map_err(other)?;
    let mut value = HeaderValue::from_str(header.1).map_err(|_| Failed::Key)?;
    value.set_sensitive(true);
    request.headers_mut().insert(header.0, value);
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
    match client_async_with_config(request, io, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(answer)) if matches!(answer.status().as_u16(), 401 | 403) => Err(Failed::Key),
        Err(Error::Http(answer)) => Err(other(format!("it answers {}", answer.status()))),
        Err(error) => Err(other(error)),
    }
}

fn other(error: impl ToString) -> Failed {
    Failed::Other(error.to_string())
}
