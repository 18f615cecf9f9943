//! The public listener: takes connections and bounds how many one address holds, so that connections which say nothing cannot take the places of others.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::proxies::{Proxies, group};

/// Connections of one address for each socket it may have: as many again for plain requests, of which a browser opens six at a time.
const CONNECTIONS_PER_SOCKET: u32 = 2;
/// What a connection beyond the limit is told before it is closed.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 10\r\nconnection: close\r\n\r\n\
    {\"type\":\"/docs#errors\",\"title\":\"Service Unavailable\",\"status\":503,\"code\":\"too_many_connections\",\
    \"detail\":\"Too many open connections from this address (twice `limits.sockets_per_address`).\",\"retry\":\"safe\"}";

/// A listener with a bound for each address.
pub struct Bounded {
    listener: TcpListener,
    per_address: u32,
    /// Each holds the connections of many clients: whoever runs it bounds them there, and sockets are bounded here by client.
    proxies: Proxies,
    open: Open,
}

/// Connections by address.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, u32>>>);

/// A connection that counts until it is dropped.
pub struct Connection {
    stream: TcpStream,
    open: Open,
    address: IpAddr,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Bounded {
    /// Bounds a listener by the number of sockets that one address may have.
    pub fn new(listener: TcpListener, sockets_per_address: u32, proxies: Proxies) -> Self {
        let per_address = sockets_per_address.saturating_mul(CONNECTIONS_PER_SOCKET);
        Self { listener, per_address, proxies, open: Open::default() }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

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
                return (Connection { stream, open: self.open.clone(), address }, peer);
            }
            // Whoever floods is not waited for: what does not go out at once is lost.
            let _ = stream.try_write(REFUSAL.as_bytes());
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
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
    use tokio::io::AsyncReadExt as _;

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
