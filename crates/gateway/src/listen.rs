//! What listens: takes connections, bounds how many one address holds and how long one may say nothing, and serves them.
//!
//! Connections which say nothing, or hardly anything, cannot take the places of others. Open sockets are not bounded here: they have pings of their own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::proxies::{Proxies, group};

/// Connections of one address for each socket it may have: as many again for plain requests, of which a browser opens six at a time.
const CONNECTIONS_PER_SOCKET: u32 = 2;
/// A client has its first request's head sent within this time after it has connected: people's browsers take milliseconds, bad lines seconds.
const FIRST_HEAD_WITHIN: Duration = Duration::from_secs(15);
/// A connection may rest this long between two requests, and take this long for the head of the next: longer than proxies keep theirs, so that
/// they close first and no request meets a closed connection.
const NEXT_HEAD_WITHIN: Duration = Duration::from_secs(75);
/// An HTTP/2 connection is asked this often whether its client is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long connections may say nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From connecting to the end of the first request's head.
    pub first_head: Duration,
    /// From an answer to the end of the next request's head.
    pub next_head: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first_head: FIRST_HEAD_WITHIN, next_head: NEXT_HEAD_WITHIN }
    }
}

/// What a connection beyond the limit is told before it is closed.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 10\r\nconnection: close\r\n\r\n\
    {\"type\":\"/docs#errors\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"too_many_connections\",\
    \"detail\":\"Too many open connections from this address (see `limits.sockets_per_address`).\",\"retry\":\"safe\"}";

/// A listener with a bound for each address.
pub struct Bounded {
    listener: TcpListener,
    per_address: u32,
    /// Each holds the connections of many clients: whoever runs it bounds them there, and sockets are bounded here by client.
    proxies: Proxies,
    open: Open,
    patience: Patience,
}

/// Connections by address.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// A connection that counts until it is dropped.
pub struct Connection {
    stream: TcpStream,
    open: Open,
    address: IpAddr,
    /// When it is closed for having asked nothing; none once it has asked.
    first: Option<Pin<Box<Sleep>>>,
    asked: Arc<AtomicBool>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Bounded {
    /// Bounds a listener by the number of sockets that one address may have.
    pub fn new(listener: TcpListener, sockets_per_address: u32, proxies: Proxies) -> Self {
        let per_address = sockets_per_address.saturating_mul(CONNECTIONS_PER_SOCKET);
        Self { listener, per_address, proxies, open: Open::default(), patience: Patience::default() }
    }

    /// With another patience.
    #[must_use]
    pub fn patient(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Serves connections until told to stop; those that are open then finish what they are answering.
    pub async fn serve(mut self, router: Router, stop: CancellationToken) {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.patience.next_head);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).enable_connect_protocol();
        let builder = Arc::new(builder);
        loop {
            let (connection, peer) = tokio::select! {
                taken = self.accept() => taken,
                () = stop.cancelled() => return,
            };
            let (builder, router, stop) = (builder.clone(), router.clone(), stop.clone());
            tokio::spawn(async move {
                let asked = connection.asked.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    asked.store(true, Ordering::Relaxed);
                    let mut request = request.map(Body::new);
                    request.extensions_mut().insert(ConnectInfo(Peer(peer)));
                    router.clone().call(request)
                });
                let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(connection), service));
                let ended = tokio::select! {
                    ended = serving.as_mut() => ended,
                    () = stop.cancelled() => {
                        serving.as_mut().graceful_shutdown();
                        serving.await
                    }
                };
                if let Err(error) = ended {
                    // The client's doing, nearly always: it went away, sent no HTTP, or took too long.
                    tracing::trace!(%error, "a connection ended badly");
                }
            });
        }
    }
}

impl Bounded {
    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // The library's own way with errors: those of one connection are passed over, a lack of descriptors is waited out.
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let most = if self.proxies.trusts(peer.ip()) { u32::MAX } else { self.per_address };
            let address = group(peer.ip());
            if self.open.take(address, most) {
                // Small writes leave at once: with Nagle's delay the last part of a streamed answer waits up to 40 ms for the client's
                // acknowledgement. A connection that refuses is already closed.
                let _ = stream.set_nodelay(true);
                let first = Some(Box::pin(tokio::time::sleep(self.patience.first_head)));
                return (Connection { stream, open: self.open.clone(), address, first, asked: Arc::default() }, peer);
            }
            // Whoever floods is not waited for: what does not go out at once is lost.
            let _ = stream.try_write(REFUSAL.as_bytes());
        }
    }
}

impl Open {
    fn take(&self, address: IpAddr, most: u32) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    fn give_back(&self, address: IpAddr) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.open.give_back(self.address);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.asked.load(Ordering::Relaxed) {
            self.first = None;
        }
        if self.first.as_mut().is_some_and(|first| first.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1, Proxies::default());
        let connect = || TcpStream::connect(at);
        let (_one, _two) = (connect().await.unwrap(), connect().await.unwrap());
        let first = bounded.accept().await.0;
        assert!(first.stream.nodelay().unwrap(), "the end of an answer does not wait for the client's acknowledgement");
        let second = bounded.accept().await.0;
        let mut third = connect().await.unwrap();
        let mut told = String::new();
        tokio::select! {
            taken = bounded.accept() => panic!("a third connection of {} was taken", taken.1),
            read = third.read_to_string(&mut told) => drop(read.unwrap()),
        }
        assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("too_many_connections"), "{told}");
        let body = told.split_once("\r\n\r\n").unwrap().1;
        let _: colloquy_wire::common::Problem = serde_json::from_str(body).unwrap();
        drop(first);
        let _fourth = connect().await.unwrap();
        let fourth = bounded.accept().await.0;
        drop((second, fourth));
        assert!(bounded.open.0.lock().unwrap().is_empty());
    }

    /// What a client hears until the server closes the connection.
    async fn hears(stream: &mut TcpStream) -> String {
        let mut heard = Vec::new();
        // A connection that is reset is closed too.
        let _ =
            tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut heard)).await.expect("it is closed");
        String::from_utf8_lossy(&heard).into_owned()
    }

    #[tokio::test]
    async fn who_says_nothing_or_hardly_anything_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let patience = Patience { first_head: Duration::from_millis(300), next_head: Duration::from_millis(600) };
        let bounded = Bounded::new(listener, 100, Proxies::default()).patient(patience);
        let open = bounded.open.clone();
        let slow = async || {
            tokio::time::sleep(Duration::from_millis(900)).await;
            "slow"
        };
        let router = Router::new().route("/", get(async || "here")).route("/slow", get(slow));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(bounded.serve(router, stop.clone()));
        let connect = async |text: &[u8]| {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(text).await.unwrap();
            stream
        };
        let mut silent = connect(b"").await;
        let mut half = connect(b"GET / HTTP/1.1\r\nhost: x\r\nx-").await;
        let mut preface = connect(b"PRI * HT").await;
        let mut rests = connect(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut waits = connect(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        for nothing in [&mut silent, &mut half, &mut preface] {
            let heard = hears(nothing).await;
            assert!(!heard.contains("200 OK"), "{heard}");
        }
        assert!(hears(&mut rests).await.ends_with("here"), "an answer, and then the connection is closed");
        assert!(hears(&mut waits).await.ends_with("slow"), "whoever waits for an answer is not silent");
        assert!(open.0.lock().unwrap().is_empty());
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_trusted_proxy_holds_the_connections_of_all_its_clients() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 0, Proxies::parse(&["127.0.0.1".to_owned()]).unwrap());
        let mut held = Vec::new();
        for _ in 0..5 {
            let client = TcpStream::connect(at).await.unwrap();
            held.push((client, bounded.accept().await.0));
        }
        drop(held);
        assert!(bounded.open.0.lock().unwrap().is_empty());
    }
}
