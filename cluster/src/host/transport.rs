//! How frames reach other nodes, and how answers find their way back.

use std::sync::Weak;

use super::NodeInner;
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

/// The transport of a single node: straight to itself.
pub(super) struct LocalTransport {
    pub(super) node: Weak<NodeInner>,
}

impl Transport for LocalTransport {
    fn send(&self, _node: &str, frame: Frame, reply: ReplyTo) {
        match self.node.upgrade() {
            Some(node) => node.receive(frame, reply),
            None => reply.send(Answer::Moving { retry_after_ms: crate::core::lease::BEAT_EVERY_MS }),
        }
    }
}
