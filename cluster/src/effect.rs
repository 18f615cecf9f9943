//! What an effect's task holds: who it works for, whether it is still wanted, and the way back for its results.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::EntityKey;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Ask, Client};
use crate::entity::{EffectId, Entity};
use crate::error::AskError;
use crate::frame::MAX_IDEMPOTENCY_KEY;

/// How long an effect tries to bring a result home, milliseconds: longer than a fail-over takes. After it the entity's own deadline for the effect decides.
pub const RESULT_TRIES_FOR_MS: u64 = 5 * 60 * 1000;

/// How long one try may take, milliseconds.
const RESULT_TRY_MS: u64 = 10_000;

/// Between two tries, milliseconds.
const RESULT_PAUSE_MS: u64 = 250;

/// The handle of one attempt at one effect.
pub struct EffectHandle {
    key: EntityKey,
    id: EffectId,
    attempt: u32,
    cancel: CancellationToken,
    client: Client,
    commands: AtomicU32,
}

impl EffectHandle {
    pub(crate) fn new(key: EntityKey, id: EffectId, attempt: u32, cancel: CancellationToken, client: Client) -> Self {
        Self { key, id, attempt, cancel, client, commands: AtomicU32::new(0) }
    }

    /// The entity the effect belongs to.
    pub fn key(&self) -> &EntityKey {
        &self.key
    }

    /// The effect's name within its entity.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which attempt this is.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The way to other entities, lists and the store.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Brings a result home as a command to the effect's own entity. It is keyed by effect, attempt and order of the call, so it takes effect
    /// once however often it is tried; it is tried for up to [`RESULT_TRIES_FOR_MS`] while the entity is busy, moving or out of reach.
    pub async fn command<E: Entity>(&self, command: E::Command) -> Result<E::Reply, AskError<E::Rejection>> {
        debug_assert_eq!(&*self.key.kind, E::KIND, "an effect commands its own entity");
        let nth = self.commands.fetch_add(1, Ordering::Relaxed);
        let bytes = match serde_json::to_vec(&command) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return Err(AskError::Malformed(error.to_string())),
        };
        let give_up_at = Instant::now() + Duration::from_millis(RESULT_TRIES_FOR_MS);
        loop {
            let ask = Ask::keyed(self.command_key(nth)).within_ms(RESULT_TRY_MS);
            let result = self.client.ask_encoded::<E>(&self.key, bytes.clone(), ask).await;
            let again = match &result {
                Ok(_)
                | Err(AskError::Rejected(_) | AskError::HandlerFailed | AskError::Erased | AskError::Malformed(_)) => {
                    false
                }
                Err(AskError::Busy { .. } | AskError::Unknown | AskError::Expired | AskError::Unavailable(_)) => true,
            };
            if !again || Instant::now() >= give_up_at || self.cancel.is_cancelled() {
                return result;
            }
            tokio::time::sleep(Duration::from_millis(RESULT_PAUSE_MS)).await;
        }
    }

    /// Pushes a frame that is not journaled, such as a stretch of tokens, to the entity's watchers.
    pub fn stream(&self, bytes: Bytes) {
        if !self.cancel.is_cancelled() {
            self.client.publish(&self.key, bytes);
        }
    }

    /// Resolves when the effect is no longer wanted. The task has ten more seconds to end by itself.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Whether the effect is no longer wanted.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn command_key(&self, nth: u32) -> String {
        let key = format!("fx:{}:{}:{nth}", self.id, self.attempt);
        if key.len() <= MAX_IDEMPOTENCY_KEY {
            return key;
        }
        format!("fx:{}:{}:{nth}", blake3::hash(self.id.as_bytes()).to_hex(), self.attempt)
    }
}
