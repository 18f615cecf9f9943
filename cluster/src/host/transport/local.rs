//! The transport of a single node: straight to itself.

use std::sync::Weak;

use super::{Receive, ReplyTo, Transport};
use crate::core::lease::BEAT_EVERY_MS;
use crate::frame::{Answer, Frame};
use crate::host::NodeInner;

/// The node as a transport sees it. It does not keep the node alive.
pub(in crate::host) struct Inbound(pub(in crate::host) Weak<NodeInner>);

impl Receive for Inbound {
    fn receive(&self, frame: Frame, reply: ReplyTo) {
        match self.0.upgrade() {
            Some(node) => node.receive(frame, reply),
            None => reply.send(Answer::Moving { retry_after_ms: BEAT_EVERY_MS }),
        }
    }
}

/// Hands every frame to the node it belongs to.
pub(in crate::host) struct LocalTransport {
    pub(in crate::host) node: Inbound,
}

impl Transport for LocalTransport {
    fn send(&self, _node: &str, frame: Frame, reply: ReplyTo) {
        self.node.receive(frame, reply);
    }
}
