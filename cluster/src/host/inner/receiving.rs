//! How a frame arrives: checks → admission → directory → entity, each with its answer when it goes no further.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use colloquy_store::EntityKey;

use super::{DRAIN_RETRY_MS, NodeInner};
use crate::core::handoff::MOVING_RETRY_MS;
use crate::core::lease::SUSPENDED_RETRY_MS;
use crate::frame::{Answer, FRAME_SCHEMA, Frame, MAX_COMMAND_BYTES, MAX_IDEMPOTENCY_KEY};
use crate::host::control::CONTROL_KIND;
use crate::host::entity_actor::EntityMsg;
use crate::host::transport::ReplyTo;
use crate::telemetry;

/// The longest part of an entity's key, bytes.
const MAX_KEY_PART: usize = 256;

/// What an overloaded node tells its senders to wait, milliseconds: a few batches.
pub(super) const BUSY_RETRY_MS: u64 = 50;

/// What became of a command that was put before its entity.
pub(in crate::host) enum Placed {
    /// It waits there.
    In,
    /// It waits for the entity's actor, which is to be spawned.
    Spawn(u32, EntityKey),
    /// It is answered already.
    Refused(ReplyTo, Answer),
}

impl NodeInner {
    /// Takes a frame from a transport.
    pub(in crate::host) fn receive(self: &Arc<Self>, frame: Frame, reply: ReplyTo) {
        if &*frame.key.kind == CONTROL_KIND {
            return reply.send(self.on_control(&frame));
        }
        // Only registered names become labels: what a sender makes up must not grow the metrics.
        let label = self.registry.kinds.get(&*frame.key.kind).map_or("unknown", |kind| kind.name());
        let refuse = |reply: ReplyTo, answer: Answer| {
            metrics::counter!(telemetry::ANSWERS, "kind" => label, "outcome" => answer.label()).increment(1);
            reply.send(answer);
        };
        if let Err(answer) = self.check(&frame) {
            return refuse(reply, answer);
        }
        if self.ownership.serving(frame.shard) != frame.epoch {
            return self.refuse_or_park(frame, reply);
        }
        let placed = self.place(frame, reply, true);
        self.finish(placed);
    }

    /// Puts a command before its entity. `look` asks once more whether the shard is served, where it cannot be missed by who stops it.
    pub(in crate::host) fn place(self: &Arc<Self>, frame: Frame, reply: ReplyTo, look: bool) -> Placed {
        if self.registry.residents.contains_key(&*frame.key.kind) {
            return self.place_at_resident(frame, reply);
        }
        let (shard, key) = (frame.shard, frame.key.clone());
        let sent = self.directory.send(shard, &key, self.now_ms(), |depth| {
            if look && self.ownership.serving(shard) != frame.epoch {
                return Err((reply, Answer::Moving { retry_after_ms: MOVING_RETRY_MS }));
            }
            match self.admission.admit(shard, depth, frame.bytes.len()) {
                Some(permit) => Ok(EntityMsg::Command { frame: Box::new(frame), reply, permit }),
                None => Err((reply, Answer::Busy { retry_after_ms: BUSY_RETRY_MS })),
            }
        });
        match sent {
            Ok(true) => Placed::Spawn(shard, key),
            Ok(false) => Placed::In,
            Err((reply, answer)) => Placed::Refused(reply, answer),
        }
    }

    /// Does what placing a command leads to.
    pub(in crate::host) fn finish(&self, placed: Placed) {
        match placed {
            Placed::In => {}
            Placed::Spawn(shard, key) => self.spawn(shard, &key),
            Placed::Refused(reply, answer) => reply.send(answer),
        }
    }

    /// Gives a resident a message from wherever it came.
    fn place_at_resident(self: &Arc<Self>, frame: Frame, reply: ReplyTo) -> Placed {
        if frame.note {
            if frame.bytes.is_empty() {
                self.residents.keep(self, &frame.key);
            } else {
                self.residents.note(&frame.key, frame.bytes);
            }
            return Placed::Refused(reply, Answer::Ok(Bytes::new()));
        }
        let node = self.clone();
        tokio::spawn(async move {
            reply.send(match node.residents.ask(&node, &frame.key, frame.bytes).await {
                Ok(answer) => Answer::Ok(answer),
                Err(error) => Answer::Unavailable { detail: error.to_string() },
            });
        });
        Placed::In
    }

    fn check(&self, frame: &Frame) -> Result<(), Answer> {
        let malformed = |detail: String| Answer::Malformed { detail };
        if frame.schema != FRAME_SCHEMA {
            return Err(malformed(format!("frame schema {} is not {FRAME_SCHEMA}", frame.schema)));
        }
        let kind = &*frame.key.kind;
        if !self.registry.kinds.contains_key(kind) && !self.registry.residents.contains_key(kind) {
            return Err(malformed(format!("no entity kind {:?} is registered", frame.key.kind)));
        }
        for (part, what) in [(&frame.key.tenant, "tenant"), (&frame.key.id, "id")] {
            if part.is_empty() || part.len() > MAX_KEY_PART {
                return Err(malformed(format!("the {what} has {} bytes, not 1 to {MAX_KEY_PART}", part.len())));
            }
        }
        if frame.bytes.len() > MAX_COMMAND_BYTES {
            let size = frame.bytes.len();
            return Err(malformed(format!("a command of {size} bytes is above the limit of {MAX_COMMAND_BYTES}")));
        }
        if frame.idempotency_key.as_ref().is_some_and(|key| key.len() > MAX_IDEMPOTENCY_KEY) {
            return Err(malformed(format!("the idempotency key is longer than {MAX_IDEMPOTENCY_KEY} bytes")));
        }
        if self.draining.load(Ordering::Acquire) {
            return Err(Answer::Moving { retry_after_ms: DRAIN_RETRY_MS });
        }
        if !self.holds_lease() {
            return Err(Answer::Busy { retry_after_ms: SUSPENDED_RETRY_MS });
        }
        if frame.shard != self.shard_of(&frame.key) {
            // A sender that counts shards differently: the epoch of none of ours.
            return Err(Answer::NotOwner { owner: None, epoch: 0 });
        }
        Ok(())
    }
}
