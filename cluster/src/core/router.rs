//! The way of a frame to the owner of its entity, in order per entity, across bounces.
//!
//! `shard = hash(tenant, kind, id) mod shards`, with the first eight bytes of BLAKE3 over the length-prefixed parts: the same on every machine
//! and for ever. A bounce (`NotOwner`, `Moving`) freezes this sender's queue to that entity until the first bounced frame got through; so does a
//! new owner while frames to the old one have no answer yet. The first is only sent again once none is on its way, so none can overtake it.

use std::collections::{BTreeMap, HashMap};

use colloquy_store::EntityKey;

use crate::frame::{Answer, Frame};
use crate::record::stable_hash;

/// Frames held per entity while it moves: what its own admission would take.
pub const MAX_FROZEN: usize = 256;

/// How soon after `NotOwner` another try is made when the map knows nothing better, milliseconds.
pub const NOT_OWNER_RETRY_MS: u64 = 100;

/// The shard of an entity.
pub fn shard_of(key: &EntityKey, shards: u32) -> u32 {
    let hash = stable_hash(&[key.tenant.as_bytes(), key.kind.as_bytes(), key.id.as_bytes()]);
    u32::try_from(hash % u64::from(shards.max(1))).unwrap_or(0)
}

/// Who owns a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The node.
    pub node: String,
    /// Under which epoch.
    pub epoch: u64,
}

/// What happens to a router.
#[derive(Clone, Debug)]
pub enum Input {
    /// A frame is to be sent; its correlation is unique within this router, its shard and epoch are filled in here.
    Send(Frame),
    /// An answer, or the sign that none will come ([`Answer::Unknown`]).
    Answered {
        /// The frame's number.
        correlation: u64,
        /// The answer.
        answer: Answer,
    },
    /// A shard has another owner.
    Owned {
        /// The shard.
        shard: u32,
        /// Its owner.
        owner: Owner,
    },
    /// Time passed.
    Tick,
}

/// What the host must do for a router.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a frame to a node.
    Transmit {
        /// The node.
        node: String,
        /// The frame.
        frame: Frame,
    },
    /// Give the sender its answer.
    Done {
        /// The frame's number.
        correlation: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tick again then, Unix milliseconds.
    Alarm {
        /// When.
        at_ms: i64,
    },
}

/// A frozen entity: its frames by number, and when the next try is due.
#[derive(Debug)]
struct Frozen {
    frames: BTreeMap<u64, Frame>,
    retry_at_ms: i64,
    /// The frame that is trying the way.
    probing: Option<u64>,
}

/// Frames of one entity without an answer, and under which epoch they left.
#[derive(Debug)]
struct Left {
    frames: usize,
    epoch: u64,
}

/// The router machine of one sender.
#[derive(Debug)]
pub struct Router {
    shards: u32,
    owners: Vec<Option<Owner>>,
    on_the_way: HashMap<u64, Frame>,
    left: HashMap<EntityKey, Left>,
    frozen: HashMap<EntityKey, Frozen>,
    alarm_ms: Option<i64>,
}

impl Router {
    /// A router that knows no owner yet.
    pub fn new(shards: u32) -> Self {
        let owners = vec![None; shards as usize];
        Self {
            shards,
            owners,
            on_the_way: HashMap::new(),
            left: HashMap::new(),
            frozen: HashMap::new(),
            alarm_ms: None,
        }
    }

    /// Whether some entity's frames are held back.
    pub fn is_frozen(&self, key: &EntityKey) -> bool {
        self.frozen.contains_key(key)
    }

    /// How many frames have no answer yet.
    pub fn outstanding(&self) -> usize {
        self.on_the_way.len() + self.frozen.values().map(|frozen| frozen.frames.len()).sum::<usize>()
    }

    /// The owner of a shard as this router knows it.
    pub fn owner(&self, shard: u32) -> Option<&Owner> {
        self.owners.get(shard as usize).and_then(Option::as_ref)
    }

    /// Takes one input at `now_ms` (Unix milliseconds).
    pub fn on(&mut self, now_ms: i64, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Send(mut frame) => {
                frame.shard = shard_of(&frame.key, self.shards);
                let epoch = self.epoch(frame.shard);
                match self.frozen.get_mut(&frame.key) {
                    Some(frozen) if frozen.frames.len() >= MAX_FROZEN => {
                        let retry_after_ms = u64::try_from(frozen.retry_at_ms - now_ms).unwrap_or(0).max(1);
                        out.push(Output::Done {
                            correlation: frame.correlation,
                            answer: Answer::Busy { retry_after_ms },
                        });
                    }
                    Some(frozen) => {
                        frozen.frames.insert(frame.correlation, frame);
                    }
                    None if self.left.get(&frame.key).is_some_and(|left| left.epoch != epoch) => {
                        let frames = BTreeMap::from([(frame.correlation, frame.clone())]);
                        self.frozen.insert(frame.key, Frozen { frames, retry_at_ms: now_ms, probing: None });
                    }
                    None => self.transmit(frame, now_ms, out),
                }
            }
            Input::Answered { correlation, answer } => self.answered(now_ms, correlation, answer, out),
            Input::Owned { shard, owner } => {
                let newer = self.owner(shard).is_none_or(|known| known.epoch < owner.epoch);
                if newer && let Some(slot) = self.owners.get_mut(shard as usize) {
                    *slot = Some(owner);
                    let here =
                        |frozen: &Frozen| frozen.frames.values().next().is_some_and(|frame| frame.shard == shard);
                    for frozen in self.frozen.values_mut().filter(|frozen| here(frozen)) {
                        frozen.retry_at_ms = now_ms;
                    }
                    self.retry(now_ms, out);
                }
            }
            Input::Tick => {
                self.alarm_ms = None;
                self.retry(now_ms, out);
            }
        }
    }

    fn answered(&mut self, now_ms: i64, correlation: u64, answer: Answer, out: &mut Vec<Output>) {
        let Some(frame) = self.on_the_way.remove(&correlation) else {
            return;
        };
        let last = match self.left.get_mut(&frame.key) {
            Some(left) if left.frames > 1 => {
                left.frames -= 1;
                false
            }
            Some(_) | None => self.left.remove(&frame.key).is_some(),
        };
        if let Answer::NotOwner { owner: Some(node), epoch } = &answer
            && *epoch > self.epoch(frame.shard)
            && let Some(slot) = self.owners.get_mut(frame.shard as usize)
        {
            *slot = Some(Owner { node: node.clone(), epoch: *epoch });
        }
        // With a newer owner known there is nothing to wait for.
        let known = self.epoch(frame.shard) > frame.epoch;
        let retry_after_ms = match &answer {
            Answer::Moving { .. } | Answer::NotOwner { .. } if known => Some(0),
            Answer::Moving { retry_after_ms } => Some(*retry_after_ms),
            Answer::NotOwner { .. } => Some(NOT_OWNER_RETRY_MS),
            Answer::Ok(_)
            | Answer::Rejected(_)
            | Answer::Busy { .. }
            | Answer::Unknown
            | Answer::Expired
            | Answer::HandlerFailed
            | Answer::Unavailable { .. }
            | Answer::Erased
            | Answer::Malformed { .. } => None,
        };
        let key = frame.key.clone();
        match retry_after_ms {
            Some(wait_ms) => {
                let retry_at_ms = now_ms.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX));
                let frozen = self.frozen.entry(key).or_insert_with(|| Frozen {
                    frames: BTreeMap::new(),
                    retry_at_ms,
                    probing: None,
                });
                if frozen.probing == Some(correlation) {
                    frozen.probing = None;
                    frozen.retry_at_ms = retry_at_ms;
                }
                frozen.frames.insert(correlation, frame);
                self.retry(now_ms, out);
            }
            None => {
                out.push(Output::Done { correlation, answer });
                // The probe got through: the others follow in order.
                let resolved = self.frozen.get(&key).is_some_and(|frozen| frozen.probing == Some(correlation));
                if resolved && let Some(frozen) = self.frozen.remove(&key) {
                    for frame in frozen.frames.into_values() {
                        if frame.deadline_ms > now_ms {
                            self.transmit(frame, now_ms, out);
                        } else {
                            let (correlation, answer) = (frame.correlation, Answer::Expired);
                            out.push(Output::Done { correlation, answer });
                        }
                    }
                } else if last && self.frozen.contains_key(&key) {
                    self.retry(now_ms, out);
                }
            }
        }
    }

    /// Sends the first frame of each frozen entity whose time has come, and gives up on those past their deadline.
    fn retry(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let mut probes = Vec::new();
        let mut next: Option<i64> = None;
        let left = &self.left;
        self.frozen.retain(|key, frozen| {
            while let Some(entry) = frozen.frames.first_entry() {
                if entry.get().deadline_ms > now_ms {
                    break;
                }
                let correlation = entry.remove().correlation;
                out.push(Output::Done { correlation, answer: Answer::Expired });
            }
            if frozen.probing.is_some() {
                return true;
            }
            if frozen.frames.is_empty() {
                return false;
            }
            let deadline_ms = frozen.frames.values().next().map_or(i64::MAX, |frame| frame.deadline_ms);
            if left.contains_key(key) {
                // Those on their way may still bounce, and belong before or between these.
                next = Some(next.map_or(deadline_ms, |next| next.min(deadline_ms)));
            } else if frozen.retry_at_ms > now_ms {
                let at = frozen.retry_at_ms.min(deadline_ms);
                next = Some(next.map_or(at, |next| next.min(at)));
            } else if let Some((correlation, frame)) = frozen.frames.pop_first() {
                frozen.probing = Some(correlation);
                probes.push(frame);
            }
            frozen.probing.is_some() || !frozen.frames.is_empty()
        });
        for frame in probes {
            self.transmit(frame, now_ms, out);
        }
        if let Some(at_ms) = next
            && self.alarm_ms.is_none_or(|armed| at_ms < armed || armed <= now_ms)
        {
            self.alarm_ms = Some(at_ms);
            out.push(Output::Alarm { at_ms });
        }
    }

    fn epoch(&self, shard: u32) -> u64 {
        self.owner(shard).map_or(0, |owner| owner.epoch)
    }

    fn transmit(&mut self, mut frame: Frame, now_ms: i64, out: &mut Vec<Output>) {
        let epoch = self.epoch(frame.shard);
        let left = self.left.entry(frame.key.clone()).or_insert(Left { frames: 0, epoch });
        left.frames += 1;
        left.epoch = epoch;
        match self.owner(frame.shard) {
            Some(owner) => {
                frame.epoch = owner.epoch;
                let node = owner.node.clone();
                self.on_the_way.insert(frame.correlation, frame.clone());
                out.push(Output::Transmit { node, frame });
            }
            None => {
                // Nobody owns it yet: as if a node had said so.
                let correlation = frame.correlation;
                self.on_the_way.insert(correlation, frame);
                self.answered(now_ms, correlation, Answer::NotOwner { owner: None, epoch: 0 }, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::frame::FRAME_SCHEMA;

    fn frame(id: &str, correlation: u64, deadline_ms: i64) -> Frame {
        Frame {
            shard: 0,
            epoch: 0,
            key: EntityKey::new("t", "k", id),
            schema: FRAME_SCHEMA,
            correlation,
            idempotency_key: None,
            deadline_ms,
            trace: None,
            source: None,
            after_rows: false,
            note: false,
            bytes: Bytes::new(),
        }
    }

    fn router(owner: &str) -> Router {
        let mut router = Router::new(1);
        let owner = Owner { node: owner.to_owned(), epoch: 1 };
        router.on(0, Input::Owned { shard: 0, owner }, &mut Vec::new());
        router
    }

    fn step(router: &mut Router, now_ms: i64, input: Input) -> Vec<String> {
        let mut out = Vec::new();
        router.on(now_ms, input, &mut out);
        out.into_iter()
            .map(|output| match output {
                Output::Transmit { node, frame } => format!("{}->{node}", frame.correlation),
                Output::Done { correlation, answer } => format!("{correlation}={}", answer.label()),
                Output::Alarm { at_ms } => format!("alarm {at_ms}"),
            })
            .collect()
    }

    fn ok() -> Answer {
        Answer::Ok(Bytes::new())
    }

    #[test]
    fn shard_of_a_key_never_changes() {
        // Pinned: another value would send every stored entity to another shard's wake list.
        assert_eq!(shard_of(&EntityKey::new("acme", "conversation", "01"), 1024), PINNED_SHARD);
        let split = [EntityKey::new("ab", "c", "d"), EntityKey::new("a", "bc", "d")];
        assert_ne!(shard_of(&split[0], u32::MAX), shard_of(&split[1], u32::MAX));
    }

    /// What the function gave when the first journals were written.
    const PINNED_SHARD: u32 = 496;

    #[test]
    fn bounce_freezes_the_entity_and_keeps_the_order() {
        let mut router = router("a");
        assert_eq!(step(&mut router, 0, Input::Send(frame("x", 1, 9_000))), ["1->a"]);
        assert_eq!(step(&mut router, 0, Input::Send(frame("x", 2, 9_000))), ["2->a"]);
        let moving = |correlation| Input::Answered { correlation, answer: Answer::Moving { retry_after_ms: 50 } };
        assert_eq!(step(&mut router, 10, moving(1)), ["alarm 9000"], "the second may bounce, too");
        assert!(step(&mut router, 11, Input::Send(frame("x", 3, 9_000))).is_empty(), "held behind the bounced ones");
        assert_eq!(step(&mut router, 12, Input::Send(frame("y", 4, 9_000))), ["4->a"], "others are not held");
        assert_eq!(step(&mut router, 13, moving(2)), ["alarm 60"]);
        assert_eq!(step(&mut router, 60, Input::Tick), ["1->a"], "one frame tries the way");
        let done = Input::Answered { correlation: 1, answer: ok() };
        assert_eq!(step(&mut router, 61, done), ["1=ok", "2->a", "3->a"]);
        assert!(!router.is_frozen(&EntityKey::new("t", "k", "x")));
    }

    #[test]
    fn frame_to_a_new_owner_waits_for_those_that_left_for_the_old_one() {
        let mut router = router("a");
        assert_eq!(step(&mut router, 0, Input::Send(frame("x", 1, 9_000))), ["1->a"]);
        let owner = Owner { node: "b".to_owned(), epoch: 2 };
        assert!(step(&mut router, 1, Input::Owned { shard: 0, owner }).is_empty());
        assert!(step(&mut router, 2, Input::Send(frame("x", 2, 9_000))).is_empty(), "it would overtake the first");
        assert_eq!(step(&mut router, 2, Input::Send(frame("y", 3, 9_000))), ["3->b"]);
        let bounced = Answer::NotOwner { owner: Some("b".to_owned()), epoch: 2 };
        let out = step(&mut router, 3, Input::Answered { correlation: 1, answer: bounced });
        assert_eq!(out, ["1->b"]);
        assert_eq!(step(&mut router, 104, Input::Answered { correlation: 1, answer: ok() }), ["1=ok", "2->b"]);
        assert_eq!(step(&mut router, 105, Input::Answered { correlation: 2, answer: ok() }), ["2=ok"]);
        assert_eq!(router.outstanding(), 1, "the other entity's");
    }

    #[test]
    fn frame_held_for_a_new_owner_goes_once_the_old_one_has_answered() {
        let mut router = router("a");
        step(&mut router, 0, Input::Send(frame("x", 1, 9_000)));
        let owner = Owner { node: "b".to_owned(), epoch: 2 };
        step(&mut router, 1, Input::Owned { shard: 0, owner });
        step(&mut router, 2, Input::Send(frame("x", 2, 9_000)));
        assert_eq!(step(&mut router, 3, Input::Answered { correlation: 1, answer: ok() }), ["1=ok", "2->b"]);
    }

    #[test]
    fn not_owner_with_a_newer_epoch_goes_to_the_new_owner_at_once() {
        let mut router = router("a");
        step(&mut router, 0, Input::Send(frame("x", 1, 9_000)));
        let answer = Answer::NotOwner { owner: Some("b".to_owned()), epoch: 2 };
        assert_eq!(step(&mut router, 5, Input::Answered { correlation: 1, answer }), ["1->b"]);
        let stale = Answer::NotOwner { owner: Some("a".to_owned()), epoch: 1 };
        let out = step(&mut router, 6, Input::Answered { correlation: 1, answer: stale });
        assert_eq!(out, ["alarm 106"], "stale news changes nothing but the next try");
    }

    #[test]
    fn held_frames_expire_at_their_deadline() {
        let mut router = router("a");
        step(&mut router, 0, Input::Send(frame("x", 1, 40)));
        let answer = Answer::Moving { retry_after_ms: 500 };
        assert_eq!(step(&mut router, 10, Input::Answered { correlation: 1, answer }), ["alarm 40"]);
        assert_eq!(step(&mut router, 40, Input::Tick), ["1=expired"]);
        assert_eq!(router.outstanding(), 0);
    }

    #[test]
    fn frozen_queue_is_bounded() {
        let mut router = Router::new(1);
        for correlation in 0..MAX_FROZEN as u64 {
            step(&mut router, 0, Input::Send(frame("x", correlation, 9_000)));
        }
        assert_eq!(step(&mut router, 0, Input::Send(frame("x", 999, 9_000))), ["999=busy"]);
        let owner = Owner { node: "a".to_owned(), epoch: 1 };
        assert_eq!(step(&mut router, 1, Input::Owned { shard: 0, owner }), ["0->a"]);
    }
}
