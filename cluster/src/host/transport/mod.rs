//! How frames reach other nodes, and how answers find their way back.
//!
//! `local` is the single node's way: straight to itself. `cluster` is the way between nodes: it rides on `ractor_cluster`, with one
//! remotable actor per node (`gateway`) whose one message is a batch of bytes. `ractor_cluster` brings sessions and remote
//! references; what it does not bring is here: who is on the other side (`handshake`, `tls`), the bytes (`wire`),
//! windows, deadlines, beats and acknowledgements of one connection (`link`), and dialing again (`keeper`, `accept`).
//! docs/adr/0014-transport-on-ractor-cluster.md tells why.
//!
//! [`TransportKind`] says which of them a node is started with.
//!
//! Reading order: `reply`, `config`, `wire`, `link`, `peer`, `cluster`, `keeper`, `accept`, `handshake`, `tls`,
//! `stream`, `gateway`.

mod accept;
mod cluster;
pub mod config;
mod gateway;
mod handshake;
mod keeper;
mod link;
mod local;
mod peer;
mod reply;
mod stream;
mod tls;
mod warden;
mod wire;

pub use cluster::{Bound, ClusterTransport};
pub use config::{TlsFiles, TransportConfig, TransportLimits};
pub(super) use local::{Inbound, LocalTransport};
pub use peer::PeerStatus;
pub use reply::ReplyTo;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::error::ClusterError;
use crate::frame::Frame;

/// A way to send frames to nodes. Must not block; frames to one node arrive in the order they were sent, or not at all.
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame; `reply` is answered or dropped.
    fn send(&self, node: &str, frame: Frame, reply: ReplyTo);

    /// Ends, with the reason, when something in it broke for good. One that cannot break never does.
    fn broken(&self) -> BoxFuture<'static, String> {
        Box::pin(std::future::pending())
    }
}

/// Who takes the frames that arrive. Must not block.
pub trait Receive: Send + Sync + 'static {
    /// Takes a frame; `reply` is answered or dropped.
    fn receive(&self, frame: Frame, reply: ReplyTo);
}

/// Where nodes are.
pub trait Peers: Send + Sync + 'static {
    /// The address (`host:port`) of a living node, or nothing when there is no such node.
    fn address(&self, node: &str) -> Option<String>;
}

/// What a transport is made with, once the node has joined.
pub struct Wiring {
    /// The own node's id.
    pub node: String,
    /// The own incarnation.
    pub incarnation: u64,
    /// Who takes frames: those from other nodes, and those to the own one.
    pub receiver: Arc<dyn Receive>,
    /// Where the others are.
    pub peers: Arc<dyn Peers>,
}

/// Makes a transport. It listens when the future ends, or says why it cannot.
pub type MakeTransport =
    Arc<dyn Fn(Wiring) -> BoxFuture<'static, Result<Arc<dyn Transport>, ClusterError>> + Send + Sync>;

/// How a node's frames travel.
#[derive(Clone, Default)]
pub enum TransportKind {
    /// There is one node: straight to itself.
    #[default]
    Local,
    /// There may be others.
    Custom(MakeTransport),
}
