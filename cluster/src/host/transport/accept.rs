//! Accepts peers: each connection on its own, with a time limit, and nothing kept for strangers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::cluster::Shared;
use super::handshake::{self, Agreed, Failure, Hello, Refusal};
use super::keeper::{hand_over, too_late};
use super::peer::{Handover, Peer};
use super::tls::check_name;
use crate::telemetry;

/// How long accepting rests after it failed, which it does when there are no file descriptors left.
const REST: Duration = Duration::from_millis(100);

/// Runs until the transport stops. `ractor_cluster`'s own listener would wait for one silent stranger while all others wait for it.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    if !shared.start_gateway().await {
        tracing::error!("the transport cannot serve");
        return;
    }
    let handshakes = Arc::new(Semaphore::new(shared.config.limits.handshakes));
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match handshakes.clone().try_acquire_owned() {
                Ok(permit) => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        greet(shared, stream, from).await;
                        drop(permit);
                    });
                }
                // The peer dials again.
                Err(_) => metrics::counter!(telemetry::TRANSPORT_STRANGERS, "what" => "too many").increment(1),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(REST).await;
            }
        }
    }
}

async fn greet(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr) {
    let limit = shared.config.limits.step_timeout;
    let met = match stream.set_nodelay(true) {
        Ok(()) => match &shared.tls {
            Some(tls) => match timeout(limit, tls.accept(stream)).await {
                Ok(Ok(stream)) => meet(&shared, stream, |stream, hello| check_name(stream, &hello.node)).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(too_late("TLS").into()),
            },
            None => meet(&shared, stream, |_, _| Ok(())).await,
        },
        Err(error) => Err(error.into()),
    };
    let what = match &met {
        Ok(()) | Err(Failure::Preferred) => return,
        Err(Failure::Refused(_)) => "refused",
        Err(Failure::RefusedThere(_)) => "refused there",
        Err(Failure::Connection(_)) => "connection",
    };
    metrics::counter!(telemetry::TRANSPORT_STRANGERS, "what" => what).increment(1);
    match met {
        Err(failure @ (Failure::Refused(_) | Failure::RefusedThere(_))) => {
            tracing::error!(%from, error = %failure, "a node does not belong to this cluster");
        }
        Err(failure) => tracing::warn!(%from, error = %failure, "a connection came to nothing"),
        Ok(()) => {}
    }
}

async fn meet<S>(
    shared: &Arc<Shared>,
    mut stream: S,
    check_name: impl FnOnce(&S, &Hello) -> Result<(), Refusal>,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let me = shared.hello("");
    let check = |stream: &S, peer: &Hello| {
        if peer.node == me.node {
            return Err(Refusal::new("the node id", "the same", format!("{:?}", peer.node)));
        }
        check_name(stream, peer)
    };
    let mut admitted: Option<(Arc<Peer>, Handover)> = None;
    let admit = |agreed: &Agreed| {
        let peer = shared.enter(&agreed.peer.node);
        let handover = peer.admit(&me.node, agreed, shared.now_ms())?;
        shared.attach(&peer, &handover);
        admitted = Some((peer, handover));
        Ok(())
    };
    let greeting = handshake::answer(&mut stream, &me, &shared.key, check, admit);
    let agreed = match timeout(shared.config.limits.step_timeout, greeting).await {
        Ok(agreed) => agreed,
        Err(_) => Err(Failure::Connection(too_late("the handshake"))),
    };
    match (agreed, admitted) {
        (Ok(_), Some((peer, handover))) => {
            hand_over(shared, &peer, handover, stream, true).await;
            Ok(())
        }
        (Err(failure), Some((peer, handover))) => {
            // It was admitted, and was gone before it could be told.
            shared.end(&peer, handover.link, "the peer left in the handshake");
            shared.session_gone(handover.link);
            Err(failure)
        }
        (Err(failure), None) => Err(failure),
        (Ok(_), None) => Err(Failure::Preferred),
    }
}
