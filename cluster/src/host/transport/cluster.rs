//! The transport between nodes, riding on `ractor_cluster`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use ractor::{Actor, ActorRef};
use ractor_cluster::{IncomingEncryptionMode, NodeServer, NodeServerMessage};
use rustls::pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::{BATCH_BYTES, MAX_PACKET_BYTES, TransportConfig};
use super::gateway::{Events, Gateway, GatewayMsg};
use super::handshake::{self, Hello, MAX_NAME};
use super::link::ENDED_RETRY_MS;
use super::peer::{Handover, Peer, PeerStatus};
use super::tls::{self, Tls};
use super::warden::{Breakage, Warden};
use super::wire::{self, BatchReader, Packet, Received};
use super::{MakeTransport, Peers, Receive, ReplyTo, Transport, Wiring, accept, keeper};
use crate::error::ClusterError;
use crate::frame::{Answer, Frame};
use crate::host::inner::lock;
use crate::telemetry;

/// What `ractor_cluster` puts around a batch, bytes, with room.
const RACTOR_OVERHEAD: usize = 4 * 1024;

/// A transport that listens but does not serve yet: the node's address is known, its incarnation is not.
pub struct Bound {
    config: TransportConfig,
    tls: Option<Tls>,
    listener: TcpListener,
    local: SocketAddr,
    node_server: ActorRef<NodeServerMessage>,
    warden: ActorRef<()>,
    breakage: Breakage,
}

/// The transport between nodes. One per process, because `ractor`'s registry is. Dropping it ends its connections.
pub struct ClusterTransport {
    shared: Arc<Shared>,
}

/// What the parts of the transport share.
pub(super) struct Shared {
    pub(super) config: TransportConfig,
    pub(super) tls: Option<Tls>,
    pub(super) key: [u8; 32],
    incarnation: u64,
    pub(super) directory: Arc<dyn Peers>,
    receiver: Arc<dyn Receive>,
    started: Instant,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
    /// Connections that `ractor_cluster` has or will get.
    links: Mutex<HashMap<u64, Attached>>,
    sessions: AtomicU64,
    pub(super) node_server: ActorRef<NodeServerMessage>,
    gateway: OnceLock<ActorRef<GatewayMsg>>,
    warden: ActorRef<()>,
    pub(super) breakage: Breakage,
    pub(super) stop: CancellationToken,
}

/// A connection in the hands of `ractor_cluster`.
struct Attached {
    peer: Arc<Peer>,
    cut: CancellationToken,
    gone: CancellationToken,
    ready: bool,
}

impl ClusterTransport {
    /// Checks the configuration, reads the certificates and listens. Connections wait until [`Bound::serve`].
    pub async fn bind(config: TransportConfig) -> Result<Bound, ClusterError> {
        for (what, name) in [("the node id", &config.node), ("the cluster name", &config.cluster)] {
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(ClusterError::Node(format!("{what} has {} bytes, not 1 to {MAX_NAME}", name.len())));
            }
        }
        let tls = match &config.tls {
            Some(files) => {
                if ServerName::try_from(config.node.as_str()).is_err() {
                    let detail = format!("the node id {:?} cannot be a name in a certificate", config.node);
                    return Err(ClusterError::Node(detail));
                }
                Some(Tls::load(files)?)
            }
            None if config.listen.ip().is_loopback() || config.plain_text_allowed => None,
            None => return Err(ClusterError::PlainText { address: config.listen }),
        };
        let listen = |error: std::io::Error| ClusterError::Listen { address: config.listen, detail: error.to_string() };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;
        let breakage = Breakage::default();
        let (warden, _) =
            Actor::spawn(None, Warden, breakage.clone()).await.map_err(|error| could_not_start(&error))?;
        let node_server = node_server(&config, &warden).await?;
        Ok(Bound { config, tls, listener, local, node_server, warden, breakage })
    }

    /// How the peers are doing.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let now_ms = self.shared.now_ms();
        let mut peers: Vec<_> = lock(&self.shared.peers).values().map(|peer| peer.status(now_ms)).collect();
        peers.sort_by(|a, b| a.node.cmp(&b.node));
        peers
    }

    /// Ends all connections: what was sent is answered `Unknown`, the rest `Moving`.
    pub fn stop(&self) {
        self.shared.stop();
    }
}

impl Drop for ClusterTransport {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Transport for ClusterTransport {
    fn send(&self, node: &str, mut frame: Frame, mut reply: ReplyTo) {
        let shared = &self.shared;
        if node == shared.config.node {
            return shared.receive(frame, reply);
        }
        // A peer that retires between being found and being told gives the frame back.
        while let Some(peer) = shared.peer(node) {
            match peer.send(shared.now_ms(), frame, reply) {
                Ok(None) => return,
                Ok(Some((reply, answer))) => return reply.send(answer),
                Err(back) => (frame, reply) = *back,
            }
        }
        reply.send(Answer::Moving { retry_after_ms: ENDED_RETRY_MS });
    }

    fn broken(&self) -> BoxFuture<'static, String> {
        Box::pin(self.shared.breakage.clone().happened())
    }
}

impl Bound {
    /// What a node is started with, once: it serves when the node has joined.
    pub fn maker(self) -> MakeTransport {
        let bound = Arc::new(Mutex::new(Some(self)));
        Arc::new(move |wiring: Wiring| {
            let bound = lock(&bound).take();
            Box::pin(async move {
                let bound = bound.ok_or_else(|| ClusterError::Node("its transport was made twice".to_owned()))?;
                let transport = bound.serve(wiring.incarnation, wiring.peers, wiring.receiver);
                Ok(transport as Arc<dyn Transport>)
            })
        })
    }

    /// Where it listens; the port that was chosen if none was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Begins to accept and to dial. `incarnation` is this boot's, from joining the cluster. The transport keeps `receiver` and `directory`
    /// alive, so they must not keep it. Must be called on a tokio runtime.
    pub fn serve(
        self,
        incarnation: u64,
        directory: Arc<dyn Peers>,
        receiver: Arc<dyn Receive>,
    ) -> Arc<ClusterTransport> {
        let Self { config, tls, listener, local, node_server, warden, breakage } = self;
        tracing::info!(node = config.node, %local, incarnation, tls = tls.is_some(), "the transport serves");
        let shared = Arc::new(Shared {
            key: handshake::key_of(&config.secret),
            config,
            tls,
            incarnation,
            directory,
            receiver,
            started: Instant::now(),
            peers: Mutex::default(),
            links: Mutex::default(),
            sessions: AtomicU64::new(0),
            node_server,
            gateway: OnceLock::new(),
            warden,
            breakage,
            stop: CancellationToken::new(),
        });
        shared.breakage.spawn("accepting peers", accept::run(shared.clone(), listener));
        Arc::new(ClusterTransport { shared })
    }
}

/// `ractor_cluster`'s server. It always listens; here for nobody, on loopback: connections reach it through [`accept`] and [`keeper`].
async fn node_server(
    config: &TransportConfig,
    warden: &ActorRef<()>,
) -> Result<ActorRef<NodeServerMessage>, ClusterError> {
    // It takes nodes with one "host:port" for the same one, and sessions with one name for the same peer: both must be new with each boot.
    let host = format!("{}-{:016x}", config.node, rand::random::<u64>());
    let cookie = blake3::Hash::from_bytes(blake3::derive_key("colloquy cluster ractor cookie 2026-11", &config.secret));
    let server = NodeServer::new(
        0,
        cookie.to_hex().to_string(),
        config.node.clone(),
        host,
        Some(IncomingEncryptionMode::Tls(tls::nobody()?)),
        None,
    )
    .with_listen_addr(std::net::Ipv4Addr::LOCALHOST.into())
    .with_max_inbound_frame_size((MAX_PACKET_BYTES + BATCH_BYTES + RACTOR_OVERHEAD) as u64);
    let spawned = Actor::spawn_linked(None, server, (), warden.get_cell()).await;
    let (server, _) = spawned.map_err(|error| could_not_start(&error))?;
    Ok(server)
}

fn could_not_start(error: &dyn std::fmt::Display) -> ClusterError {
    ClusterError::Node(format!("ractor_cluster could not start: {error}"))
}

impl Shared {
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn wall_ms(&self) -> i64 {
        self.config.clock.now_ms()
    }

    /// What this node says of itself to another, or to whoever dials.
    pub(super) fn hello(&self, to: &str) -> Hello {
        Hello {
            node: self.config.node.clone(),
            incarnation: self.incarnation,
            cluster: self.config.cluster.clone(),
            shards: u64::from(self.config.shards),
            schema: u64::from(self.config.schema),
            protocol: (0, 0),
            to: to.to_owned(),
            nonce: rand::random(),
        }
        .with_protocols()
    }

    /// The actors that make up this node for `ractor_cluster`.
    pub(super) async fn start_gateway(self: &Arc<Self>) -> bool {
        let events = Box::new(Events(Arc::downgrade(self)));
        let subscribe = NodeServerMessage::SubscribeToEvents { id: "transport".to_owned(), subscription: events };
        if self.node_server.cast(subscribe).is_err() {
            return false; // The warden knows why.
        }
        match Actor::spawn_linked(None, Gateway, Arc::downgrade(self), self.warden.get_cell()).await {
            Ok((gateway, _)) => {
                // Stopped meanwhile: then it ends with the warden.
                drop(self.gateway.set(gateway));
                true
            }
            Err(error) => {
                self.breakage.tell(format!("the gateway could not start: {error}"));
                false
            }
        }
    }

    // --- peers ---

    /// A peer that is known or in the directory.
    fn peer(self: &Arc<Self>, node: &str) -> Option<Arc<Peer>> {
        if let Some(peer) = lock(&self.peers).get(node) {
            return Some(peer.clone());
        }
        if self.stop.is_cancelled() || self.directory.address(node).is_none() {
            return None;
        }
        Some(self.enter(node))
    }

    /// A peer, which is entered if it is not known: it is in the directory, or has proved to be of the cluster.
    pub(super) fn enter(self: &Arc<Self>, node: &str) -> Arc<Peer> {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.get(node) {
            return peer.clone();
        }
        let peer = Arc::new(Peer::new(node.to_owned(), self.config.limits.clone()));
        peers.insert(node.to_owned(), peer.clone());
        drop(peers);
        self.breakage.spawn("keeping a peer", keeper::run(self.clone(), peer.clone()));
        peer
    }

    /// Forgets a peer that nobody needs; false when somebody does.
    pub(super) fn leave(&self, peer: &Arc<Peer>) -> bool {
        let mut peers = lock(&self.peers);
        let retired = peer.retire();
        if retired {
            peers.remove(&peer.id);
            metrics::gauge!(telemetry::TRANSPORT_BEAT_AGE, "peer" => peer.id.clone()).set(0.0);
        }
        retired
    }

    fn stop(&self) {
        self.stop.cancel();
        for (_, peer) in std::mem::take(&mut *lock(&self.peers)) {
            if let Some(link) = peer.close() {
                self.detach(link);
            }
        }
        // Its actors end with it, and it does not hear of their ends any more.
        self.warden.stop(None);
    }

    // --- connections ---

    /// Notes a connection that `ractor_cluster` is about to get.
    pub(super) fn attach(&self, peer: &Arc<Peer>, handover: &Handover) {
        let attached =
            Attached { peer: peer.clone(), cut: handover.cut.clone(), gone: handover.gone.clone(), ready: false };
        lock(&self.links).insert(handover.link, attached);
    }

    fn detach(&self, link: u64) {
        let Some(attached) = lock(&self.links).remove(&link) else {
            return;
        };
        attached.cut.cancel();
        attached.gone.cancel();
        if attached.ready {
            let left = self.sessions.fetch_sub(1, Ordering::Relaxed) - 1;
            metrics::gauge!(telemetry::TRANSPORT_SESSIONS).set(left as f64);
        }
    }

    /// Ends a connection; `ractor_cluster` notices because its stream fails.
    pub(super) fn end(&self, peer: &Arc<Peer>, link: u64, why: &str) {
        if peer.end(link, why, self.now_ms()) && !self.stop.is_cancelled() {
            tracing::warn!(peer = peer.id, why, "the connection to a peer ended");
        }
        if let Some(attached) = lock(&self.links).get(&link) {
            attached.cut.cancel();
        }
    }

    /// `ractor_cluster` is through with a connection's beginning.
    pub(super) fn session_ready(self: &Arc<Self>, link: u64, gateway: Option<ActorRef<GatewayMsg>>) {
        let peer = lock(&self.links).get(&link).map(|attached| attached.peer.clone());
        let Some(peer) = peer else {
            return;
        };
        match gateway {
            Some(gateway) => {
                if peer.ready(link, gateway)
                    && let Some(attached) = lock(&self.links).get_mut(&link)
                    && !std::mem::replace(&mut attached.ready, true)
                {
                    let sessions = self.sessions.fetch_add(1, Ordering::Relaxed) + 1;
                    metrics::gauge!(telemetry::TRANSPORT_SESSIONS).set(sessions as f64);
                    tracing::info!(peer = peer.id, "connected to a peer");
                }
            }
            None => self.end(&peer, link, "the peer has no gateway"),
        }
    }

    /// `ractor_cluster` has let go of a connection.
    pub(super) fn session_gone(self: &Arc<Self>, link: u64) {
        let peer = lock(&self.links).get(&link).map(|attached| attached.peer.clone());
        if let Some(peer) = peer {
            self.end(&peer, link, "the connection was closed");
        }
        self.detach(link);
    }

    // --- receiving ---

    fn receive(&self, frame: Frame, reply: ReplyTo) {
        // Whoever asked learns `Unknown` from the dropped reply; the gateway must go on.
        if catch_unwind(AssertUnwindSafe(|| self.receiver.receive(frame, reply))).is_err() {
            tracing::error!("taking a frame panicked");
        }
    }

    /// Takes in a batch.
    pub(super) fn take(self: &Arc<Self>, bytes: Bytes) {
        let length = bytes.len();
        metrics::counter!(telemetry::TRANSPORT_BATCHES, "direction" => "in").increment(1);
        metrics::counter!(telemetry::TRANSPORT_BYTES, "direction" => "in").increment(length as u64);
        let reader = match BatchReader::new(bytes, self.wall_ms()) {
            Ok(reader) => reader,
            Err(why) => return undecodable("batch", &why),
        };
        let (link, acknowledged) = (reader.link, reader.acknowledged);
        let peer = lock(&self.links).get(&link).map(|attached| attached.peer.clone());
        let Some(peer) = peer else {
            return; // Of a connection that is over; its sender has been told, or will be when its own side ends.
        };
        let mut packets = 0;
        for received in reader {
            packets += 1;
            self.take_packet(&peer, link, received);
        }
        metrics::counter!(telemetry::TRANSPORT_FRAMES, "direction" => "in").increment(packets);
        peer.took(link, self.now_ms(), length, acknowledged);
    }

    fn take_packet(&self, peer: &Arc<Peer>, link: u64, received: Received) {
        match received {
            Received::Packet { correlation, packet } => match packet {
                Packet::Frame(frame) => match peer.serve(link, correlation) {
                    Some(reply) => self.receive(*frame, reply),
                    None => {
                        metrics::counter!(telemetry::TRANSPORT_REFUSED, "reason" => "serving").increment(1);
                        peer.refuse(link, correlation, &Answer::Busy { retry_after_ms: super::link::WINDOW_RETRY_MS });
                    }
                },
                Packet::Answer(answer) => {
                    if let Some((reply, answer)) = peer.answered(link, correlation, answer) {
                        reply.send(answer);
                    }
                }
                Packet::Part(bytes) => peer.part(link, correlation, bytes),
                Packet::Beat => {}
            },
            Received::Unknown { kind, correlation } => {
                metrics::counter!(telemetry::TRANSPORT_UNDECODABLE, "what" => "kind").increment(1);
                if wire::wants_answer(kind) {
                    let detail = format!("this node does not know packets of kind {kind}");
                    peer.refuse(link, correlation, &Answer::Malformed { detail });
                }
            }
            Received::Broken { kind, correlation, why } => {
                undecodable("packet", &why);
                if wire::wants_answer(kind) {
                    let detail = format!("the frame cannot be read: {why}");
                    peer.refuse(link, correlation, &Answer::Malformed { detail });
                } else if let Some((reply, answer)) = peer.answered(link, correlation, Answer::Unknown) {
                    // The answer came and cannot be read: what it said is unknown.
                    reply.send(answer);
                }
            }
            Received::Lost(why) => undecodable("packet", &why),
        }
    }
}

fn undecodable(what: &'static str, why: &wire::Undecodable) {
    metrics::counter!(telemetry::TRANSPORT_UNDECODABLE, "what" => what).increment(1);
    tracing::warn!(what, %why, "what a peer sent cannot be read");
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
