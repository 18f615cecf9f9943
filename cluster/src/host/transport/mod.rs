//! How frames reach other nodes, and how answers find their way back.
//!
//! `local` is the single node's way: straight to itself. `cluster` is the way between nodes: it rides on `ractor_cluster`, with one
//! remotable actor per node (`gateway`) whose one message is a batch of bytes. `ractor_cluster` brings sessions and remote
//! references; what it does not bring is here: who is on the other side (`handshake`, `tls`), the bytes (`wire`),
//! windows, deadlines, beats and acknowledgements of one connection (`link`), and dialing again (`keeper`, `accept`).
//! docs/adr/0013-transport-on-ractor-cluster.md tells why.
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
mod wire;

pub use cluster::{Bound, ClusterTransport};
pub use config::{TlsFiles, TransportConfig, TransportLimits};
pub(super) use local::LocalTransport;
pub use peer::PeerStatus;
pub use reply::ReplyTo;

use crate::frame::Frame;

/// A way to send frames to nodes. Must not block; frames to one node arrive in the order they were sent, or not at all.
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame; `reply` is answered or dropped.
    fn send(&self, node: &str, frame: Frame, reply: ReplyTo);
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
