//! Keeps the connection to one peer: dials, hands batches over, looks at the clock, dials again.

use std::sync::Arc;
use std::time::Duration;

use ractor_cluster::NodeServerMessage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::cluster::Shared;
use super::gateway::{GatewayMsg, label};
use super::handshake::{self, Agreed, Failure};
use super::peer::{Handover, Peer, settle};
use super::stream::Severable;
use crate::telemetry;

/// How often deadlines, beats and dials are looked at: an order of magnitude finer than what they count in.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs until the transport stops or nobody needs the peer any more.
pub(super) async fn run(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looked = true;
    loop {
        if looked && look(&shared, &peer) {
            return;
        }
        pump(&shared, &peer);
        looked = tokio::select! {
            () = shared.stop.cancelled() => return,
            // A wake can mean the first frame for a peer that is not connected, so it looks too; looking is cheap while there is no connection.
            () = peer.wake.notified() => !peer.is_connected(),
            _ = clock.tick() => true,
        };
    }
}

/// Hands over what is to be sent.
fn pump(shared: &Arc<Shared>, peer: &Arc<Peer>) {
    let pumped = peer.pump(shared.now_ms(), shared.wall_ms());
    settle(pumped.settled);
    let Some(gateway) = pumped.gateway else {
        return;
    };
    metrics::counter!(telemetry::TRANSPORT_FRAMES, "direction" => "out").increment(pumped.packets as u64);
    metrics::counter!(telemetry::TRANSPORT_BATCHES, "direction" => "out").increment(pumped.batches.len() as u64);
    for batch in pumped.batches {
        metrics::counter!(telemetry::TRANSPORT_BYTES, "direction" => "out").increment(batch.len() as u64);
        if gateway.cast(GatewayMsg::Batch(batch)).is_err() {
            return shared.end(peer, pumped.link, "the session is gone");
        }
    }
}

/// Looks at the clock; true when nobody needs the peer any more.
fn look(shared: &Arc<Shared>, peer: &Arc<Peer>) -> bool {
    let look = peer.look(shared.now_ms(), shared.wall_ms());
    settle(look.settled);
    if let Some(age_ms) = look.beat_age_ms {
        let seconds = Duration::from_millis(age_ms).as_secs_f64();
        metrics::gauge!(telemetry::TRANSPORT_BEAT_AGE, "peer" => peer.id.clone()).set(seconds);
    }
    if let Some((link, why)) = look.end {
        shared.end(peer, link, why);
    }
    if look.dial {
        match shared.directory.address(&peer.id) {
            Some(address) => {
                if let Some(attempt) = peer.dial() {
                    tokio::spawn(dial(shared.clone(), peer.clone(), attempt, address));
                }
            }
            None if look.idle => return shared.leave(peer),
            None => peer.is_nowhere(shared.now_ms()),
        }
    }
    false
}

/// One attempt.
async fn dial(shared: Arc<Shared>, peer: Arc<Peer>, attempt: u64, address: String) {
    let connected = match within(shared.config.limits.step_timeout, "connecting", TcpStream::connect(&address)).await {
        Ok(stream) => greet(&shared, &peer, attempt, stream).await,
        Err(error) => Err(error.into()),
    };
    let outcome = match &connected {
        Ok(()) => "connected",
        Err(Failure::Preferred) => "preferred",
        Err(Failure::Connection(_)) => "failed",
        Err(Failure::Refused(refusal) | Failure::RefusedThere(refusal)) => {
            tracing::error!(
                peer = peer.id,
                address,
                what = refusal.what,
                error = %connected.as_ref().map_or_else(ToString::to_string, |()| String::new()),
                "a peer does not belong to this cluster"
            );
            "refused"
        }
    };
    metrics::counter!(telemetry::TRANSPORT_DIALS, "outcome" => outcome).increment(1);
    if let Err(failure) = connected {
        tracing::debug!(peer = peer.id, address, %failure, "dialing failed");
        peer.dial_failed(attempt, &failure, shared.now_ms());
        peer.wake.notify_one();
    }
}

async fn greet(shared: &Arc<Shared>, peer: &Arc<Peer>, attempt: u64, stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let limit = shared.config.limits.step_timeout;
    match &shared.tls {
        Some(tls) => {
            let mut stream = within(limit, "TLS", tls.connect(&peer.id, stream)).await?;
            let agreed = shake(shared, peer, &mut stream).await?;
            adopt(shared, peer, attempt, agreed, stream).await
        }
        None => {
            let mut stream = stream;
            let agreed = shake(shared, peer, &mut stream).await?;
            adopt(shared, peer, attempt, agreed, stream).await
        }
    }
}

async fn shake<S>(shared: &Arc<Shared>, peer: &Peer, stream: &mut S) -> Result<Agreed, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = shared.hello(&peer.id);
    match timeout(shared.config.limits.step_timeout, handshake::dial(stream, &hello, &shared.key)).await {
        Ok(agreed) => agreed,
        Err(_) => Err(Failure::Connection(too_late("the handshake"))),
    }
}

async fn adopt<S>(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    attempt: u64,
    agreed: Agreed,
    stream: S,
) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let handover = peer.dialed(attempt, &agreed, shared.now_ms())?;
    shared.attach(peer, &handover);
    hand_over(shared, peer, handover, stream, false).await;
    Ok(())
}

/// Gives an agreed connection to `ractor_cluster`, once that has let go of the previous one.
pub(super) async fn hand_over<S>(shared: &Arc<Shared>, peer: &Arc<Peer>, handover: Handover, stream: S, is_server: bool)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    if let Some(previous) = handover.previous {
        // Late only if its actors hang; then the session does not come to be in time, and is dialed again.
        drop(timeout(shared.config.limits.step_timeout, previous.cancelled()).await);
    }
    let stream = Box::new(Severable::new(stream, label(handover.link), handover.cut));
    if shared.node_server.cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server }).is_err() {
        shared.end(peer, handover.link, "ractor_cluster has ended");
        shared.session_gone(handover.link);
    }
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(too_late(what)))
}

pub(super) fn too_late(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("{what} took too long"))
}
