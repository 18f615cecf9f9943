//! How frames reach other nodes, and how answers find their way back.

use std::sync::{Arc, Weak};

use futures::future::BoxFuture;

use super::NodeInner;
use crate::error::ClusterError;
use crate::frame::{Answer, Frame};

/// Where the answer to one frame goes. Dropped without an answer it says [`Answer::Unknown`]: whoever held it died.
pub struct ReplyTo {
    deliver: Option<Box<dyn FnOnce(Answer) + Send>>,
}

impl ReplyTo {
    /// A reply that is delivered by a function, which must not block.
    pub fn new(deliver: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self { deliver: Some(Box::new(deliver)) }
    }

    /// Gives the answer.
    pub fn send(mut self, answer: Answer) {
        if let Some(deliver) = self.deliver.take() {
            deliver(answer);
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(deliver) = self.deliver.take() {
            deliver(Answer::Unknown);
        }
    }
}

/// A way to send frames to nodes. Must not block; frames to one node arrive in the order they were sent, or not at all.
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame; `reply` is answered or dropped.
    fn send(&self, node: &str, frame: Frame, reply: ReplyTo);
}

/// Who takes the frames that a transport brings.
pub trait Receive: Send + Sync + 'static {
    /// Takes a frame; must not block. `reply` is answered or dropped.
    fn receive(&self, frame: Frame, reply: ReplyTo);
}

/// Where nodes are reached.
pub trait Peers: Send + Sync + 'static {
    /// The address a living node gave when it joined.
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

/// The node as a transport sees it. It does not keep the node alive.
pub(super) struct Inbound(pub(super) Weak<NodeInner>);

impl Receive for Inbound {
    fn receive(&self, frame: Frame, reply: ReplyTo) {
        match self.0.upgrade() {
            Some(node) => node.receive(frame, reply),
            None => reply.send(Answer::Moving { retry_after_ms: crate::core::lease::BEAT_EVERY_MS }),
        }
    }
}

/// The transport of a single node: straight to itself.
pub(super) struct LocalTransport {
    pub(super) node: Inbound,
}

impl Transport for LocalTransport {
    fn send(&self, _node: &str, frame: Frame, reply: ReplyTo) {
        self.node.receive(frame, reply);
    }
}
