//! What nodes say to each other about themselves, in frames of a kind of its own: "look at the tables", "what do you run?", "stop that", "what do
//! you know of this?", "that was erased".
//!
//! None of it is needed for the safety of the journal; it saves waiting for the next look, and effects from running twice. What was erased is another
//! matter: who erases waits until no living node holds it in memory any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::EntityKey;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::NodeInner;
use super::effects::Attempts;
use super::transport::ReplyTo;
use crate::error::ClusterError;
use crate::frame::{Answer, FRAME_SCHEMA, Frame};

/// The kind of these frames. No entity kind begins with an underscore.
pub(super) const CONTROL_KIND: &str = "_cluster";

const LOOK: &str = "look";
const EFFECTS: &str = "effects";
const CANCEL: &str = "cancel";
const LOAD: &str = "load";
const BESIDE: &str = "beside";
const ERASED: &str = "erased";

/// How long a node waits for what another one says about itself, milliseconds: it holds a shard back meanwhile.
const CONTROL_MS: u64 = 1_000;

/// How long a node waits for what others know of an entity, milliseconds: somebody looks at a screen meanwhile, and goes on without.
const BESIDE_MS: u64 = 500;

/// How long a node that does not answer is told of an erased entity, and the pause between two tries: longer than a dead one counts as living.
const ERASED_FOR: Duration = Duration::from_secs(20);
const ERASED_AGAIN: Duration = Duration::from_millis(250);

/// Attempts told in one answer: keeps it below what a frame may hold.
const MAX_TOLD: usize = 2_000;

/// What a node carries now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Entities in memory.
    pub resident: usize,
    /// Commands admitted and not yet answered.
    pub queued: usize,
    /// Entities in memory by shard, without the shards that have none; `None` from a node of a version that did not tell.
    #[serde(default)]
    pub by_shard: Option<BTreeMap<u32, usize>>,
}

#[derive(Serialize, Deserialize)]
struct OfShard {
    shard: u32,
}

#[derive(Serialize, Deserialize)]
struct Attempt {
    key: EntityKey,
    id: String,
    attempt: u32,
}

impl NodeInner {
    /// Tells another node that the tables have news for it.
    pub(super) fn tell_to_look(self: &Arc<Self>, node: &str) {
        self.control(node, LOOK, Bytes::new(), ReplyTo::new(|_| {}));
    }

    /// Tells another node that an effect it runs is no longer wanted.
    pub(super) fn tell_cancelled(self: &Arc<Self>, node: &str, key: &EntityKey, id: &str, attempt: u32) {
        let body = encode(&Attempt { key: key.clone(), id: id.to_owned(), attempt });
        self.control(node, CANCEL, body, ReplyTo::new(|_| {}));
    }

    /// What another node runs for the entities of a shard; `None` when it does not say.
    pub(super) async fn ask_effects(self: &Arc<Self>, node: &str, shard: u32) -> Option<Attempts> {
        let bytes = self.question(node, EFFECTS, encode(&OfShard { shard }), CONTROL_MS).await?;
        let told: Vec<Attempt> = serde_json::from_slice(&bytes).ok()?;
        Some(told.into_iter().map(|task| (task.key, vec![(task.id, task.attempt)])).collect())
    }

    /// What a node carries; `None` when it does not say.
    pub(super) async fn load_of(self: &Arc<Self>, node: &str) -> Option<Load> {
        serde_json::from_slice(&self.question(node, LOAD, Bytes::new(), CONTROL_MS).await?).ok()
    }

    /// What the living nodes know of an entity beside its journal, this one first; who does not say in time is left out.
    pub(crate) async fn beside(self: &Arc<Self>, key: &EntityKey) -> Vec<Bytes> {
        let others = self.living_peers().into_iter().map(|peer| {
            let body = encode(key);
            async move { self.question(&peer.node, BESIDE, body, BESIDE_MS).await }
        });
        let others = join_all(others).await.into_iter().flatten();
        // Nothing is known where nothing is said.
        self.known_beside(key).into_iter().chain(others).filter(|known| !known.is_empty()).collect()
    }

    /// Tells the living nodes of an erased entity, and waits until each has let go of it or does not live any more.
    pub(super) async fn tell_erased(self: &Arc<Self>, key: &EntityKey) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let mut left = self.living_peers();
        loop {
            let told = left.into_iter().map(|peer| async move {
                let answer = self.answer_of(&peer.node, ERASED, encode(key), CONTROL_MS).await;
                // One of a version without this question reads the store again when it is restarted, as an update does.
                let has = matches!(answer, Some(Answer::Ok(_) | Answer::Malformed { .. }));
                (!has).then_some(peer)
            });
            left = join_all(told).await.into_iter().flatten().collect();
            let living = self.living_peers();
            left.retain(|peer| living.contains(peer));
            let Some(silent) = left.first() else { return Ok(()) };
            if begun.elapsed() > ERASED_FOR {
                let silent = &silent.node;
                return Err(ClusterError::Node(format!(
                    "{key} is erased, but node {silent} did not say that it let go of it; erase it again"
                )));
            }
            tokio::time::sleep(ERASED_AGAIN).await;
        }
    }

    fn known_beside(&self, key: &EntityKey) -> Option<Bytes> {
        self.registry().beside.as_ref()?(key)
    }

    fn load(&self) -> Load {
        let served = (0..self.shards()).filter(|shard| self.serves(*shard));
        let by_shard = served.map(|shard| (shard, self.directory().len_of(shard))).filter(|(_, count)| *count > 0);
        Load { resident: self.directory().len(), queued: self.queued(), by_shard: Some(by_shard.collect()) }
    }

    /// Asks another node; `None` when it does not answer within the limit, or is of a version that does not know the question.
    async fn question(self: &Arc<Self>, node: &str, verb: &str, bytes: Bytes, limit_ms: u64) -> Option<Bytes> {
        match self.answer_of(node, verb, bytes, limit_ms).await? {
            Answer::Ok(bytes) => Some(bytes),
            Answer::Rejected(_)
            | Answer::NotOwner { .. }
            | Answer::Moving { .. }
            | Answer::Busy { .. }
            | Answer::Unknown
            | Answer::Expired
            | Answer::HandlerFailed
            | Answer::Unavailable { .. }
            | Answer::Erased
            | Answer::Malformed { .. } => None,
        }
    }

    /// What another node answers; `None` when it does not within the limit.
    async fn answer_of(self: &Arc<Self>, node: &str, verb: &str, bytes: Bytes, limit_ms: u64) -> Option<Answer> {
        let (sender, receiver) = oneshot::channel();
        // Whoever waited may have given up.
        let reply = ReplyTo::new(move |answer| drop(sender.send(answer)));
        self.control(node, verb, bytes, reply);
        tokio::time::timeout(Duration::from_millis(limit_ms), receiver).await.ok()?.ok()
    }

    fn control(self: &Arc<Self>, node: &str, verb: &str, bytes: Bytes, reply: ReplyTo) {
        let frame = Frame {
            shard: 0,
            epoch: 0,
            key: EntityKey::new("_", CONTROL_KIND, verb),
            schema: FRAME_SCHEMA,
            correlation: self.next_correlation(),
            idempotency_key: None,
            deadline_ms: self.now_ms().saturating_add(i64::try_from(CONTROL_MS).unwrap_or(i64::MAX)),
            trace: None,
            source: None,
            after_rows: false,
            note: false,
            bytes,
        };
        match self.transport() {
            Some(transport) => transport.send(node, frame, reply),
            None => reply.send(Answer::Unknown),
        }
    }

    /// Answers such a frame.
    pub(super) fn on_control(&self, frame: &Frame) -> Answer {
        let malformed = |error: serde_json::Error| Answer::Malformed { detail: format!("a control frame: {error}") };
        match &*frame.key.id {
            LOOK => {
                self.look_soon();
                Answer::Ok(Bytes::new())
            }
            EFFECTS => match serde_json::from_slice::<OfShard>(&frame.bytes) {
                Ok(OfShard { shard }) => {
                    let running = self.effects().running_here(|key| self.shard_of(key) == shard);
                    let told = running.into_iter().flat_map(|(key, attempts)| {
                        attempts.into_iter().map(move |(id, attempt)| Attempt { key: key.clone(), id, attempt })
                    });
                    Answer::Ok(encode(&told.take(MAX_TOLD).collect::<Vec<_>>()))
                }
                Err(error) => malformed(error),
            },
            CANCEL => match serde_json::from_slice::<Attempt>(&frame.bytes) {
                Ok(Attempt { key, id, attempt }) => {
                    self.effects().cancel(&key, &id, attempt);
                    Answer::Ok(Bytes::new())
                }
                Err(error) => malformed(error),
            },
            LOAD => Answer::Ok(encode(&self.load())),
            BESIDE => match serde_json::from_slice::<EntityKey>(&frame.bytes) {
                Ok(key) => Answer::Ok(self.known_beside(&key).unwrap_or_default()),
                Err(error) => malformed(error),
            },
            ERASED => match serde_json::from_slice::<EntityKey>(&frame.bytes) {
                Ok(key) => {
                    self.forget_erased(&key);
                    Answer::Ok(Bytes::new())
                }
                Err(error) => malformed(error),
            },
            other => Answer::Malformed { detail: format!("this version knows no control frame {other:?}") },
        }
    }
}

fn encode(value: &impl Serialize) -> Bytes {
    // Plain structs of strings and numbers always encode.
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}
