//! The way to entities for everybody: ask, watch, list, replay, erase.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::rows::{After, Range, Row};
use colloquy_store::{EntityKey, Store, StoreError};
use serde::de::DeserializeOwned;

use crate::entity::Entity;
use crate::error::{AskError, ClusterError};
use crate::frame::{Answer, FRAME_SCHEMA, Frame, Source};
use crate::host::NodeInner;
pub use crate::host::watch::{Watch, WatchStream};
use crate::record::{Folded, JournalRecord, fold, key_of};
use crate::seal::{open_blob, seal_blob};

/// How long an ask waits unless it says otherwise, milliseconds: what a person waits before trying again.
pub const DEFAULT_DEADLINE_MS: u64 = 5_000;

/// The longest an ask may wait, milliseconds.
pub const MAX_DEADLINE_MS: u64 = 60_000;

/// A blob above this takes turns with others, and is sealed beside the threads that answer, bytes.
const LARGE_BYTES: usize = 256 * 1024;

/// How an ask is to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A repeated key gets the first reply; at most 128 bytes. With it an unknown outcome is settled by asking again.
    pub idempotency_key: Option<String>,
    /// How long to wait, milliseconds, at most a minute.
    pub deadline_ms: u64,
    /// Answer only after the list rows that follow are written.
    pub after_rows: bool,
    /// W3C trace context; the current task's unless set.
    pub trace: Option<String>,
}

impl Default for Ask {
    fn default() -> Self {
        Self { idempotency_key: None, deadline_ms: DEFAULT_DEADLINE_MS, after_rows: false, trace: None }
    }
}

impl Ask {
    /// An ask with an idempotency key.
    pub fn keyed(key: impl Into<String>) -> Self {
        Self { idempotency_key: Some(key.into()), ..Self::default() }
    }

    /// The same, answered only after rows are written.
    #[must_use]
    pub fn after_rows(mut self) -> Self {
        self.after_rows = true;
        self
    }

    /// The same, with another deadline (milliseconds from the start of the ask).
    #[must_use]
    pub fn within_ms(mut self, deadline_ms: u64) -> Self {
        self.deadline_ms = deadline_ms;
        self
    }
}

/// A stretch of a list, and what of it could not be read.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The rows that are whole.
    pub rows: Vec<ListRow<T>>,
    /// The ids of rows that are damaged.
    pub damaged: Vec<String>,
}

/// A list row with its body in the clear.
#[derive(Clone, Debug, PartialEq)]
pub struct ListRow<T> {
    /// The row's id.
    pub id: String,
    /// Its order key, Unix milliseconds.
    pub at_ms: i64,
    /// The entity's sequence number it reflects.
    pub seq: u64,
    /// What a list shows.
    pub body: T,
}

/// A row's contribution to its tenant's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct NumbersRow<T> {
    /// The row's id.
    pub id: String,
    /// Its order key, Unix milliseconds.
    pub at_ms: i64,
    /// The entity's sequence number it reflects.
    pub seq: u64,
    /// The contribution; `None` for a row without one.
    pub numbers: Option<T>,
    /// Whether it cannot be read: what it contributes is not known.
    pub damaged: bool,
}

/// A client of the cluster through this node. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    node: Arc<NodeInner>,
}

impl Client {
    pub(crate) fn new(node: Arc<NodeInner>) -> Self {
        Self { node }
    }

    /// Asks an entity and waits for what it says. What the reply tells is durable.
    pub async fn ask<E: Entity>(
        &self,
        tenant: &str,
        id: &str,
        command: E::Command,
        ask: Ask,
    ) -> Result<E::Reply, AskError<E::Rejection>> {
        match serde_json::to_vec(&command) {
            Ok(bytes) => self.ask_encoded::<E>(&key_of(tenant, E::KIND, id), Bytes::from(bytes), ask).await,
            Err(error) => Err(AskError::Malformed(error.to_string())),
        }
    }

    pub(crate) async fn ask_encoded<E: Entity>(
        &self,
        key: &EntityKey,
        command: Bytes,
        ask: Ask,
    ) -> Result<E::Reply, AskError<E::Rejection>> {
        let malformed = |error: serde_json::Error| {
            AskError::Malformed(format!("{} answer: {:?} error at byte {}", E::KIND, error.classify(), error.column()))
        };
        match self.ask_raw(key, command, ask).await {
            Answer::Ok(bytes) => serde_json::from_slice(&bytes).map_err(malformed),
            Answer::Rejected(bytes) => Err(serde_json::from_slice(&bytes).map_or_else(malformed, AskError::Rejected)),
            Answer::NotOwner { .. } => Err(AskError::Busy { retry_after_ms: crate::core::router::NOT_OWNER_RETRY_MS }),
            Answer::Moving { retry_after_ms } | Answer::Busy { retry_after_ms } => {
                Err(AskError::Busy { retry_after_ms })
            }
            Answer::Unknown => Err(AskError::Unknown),
            Answer::Expired => Err(AskError::Expired),
            Answer::HandlerFailed => Err(AskError::HandlerFailed),
            Answer::Unavailable { detail } => Err(AskError::Unavailable(detail)),
            Answer::Erased => Err(AskError::Erased),
            Answer::Malformed { detail } => Err(AskError::Malformed(detail)),
        }
    }

    /// Asks with a command already encoded (JSON of the kind's `Command`). Retries what is safe to retry until the deadline.
    pub async fn ask_raw(&self, key: &EntityKey, command: Bytes, ask: Ask) -> Answer {
        self.send(key, command, ask, None).await
    }

    pub(crate) async fn send(&self, key: &EntityKey, command: Bytes, ask: Ask, source: Option<Source>) -> Answer {
        let wait_ms = i64::try_from(ask.deadline_ms.min(MAX_DEADLINE_MS)).unwrap_or(0);
        let frame = Frame {
            shard: 0,
            epoch: 0,
            key: key.clone(),
            schema: FRAME_SCHEMA,
            correlation: 0,
            idempotency_key: ask.idempotency_key,
            deadline_ms: self.node.now_ms().saturating_add(wait_ms),
            trace: ask.trace.or_else(|| crate::trace::current().map(|trace| trace.traceparent().to_owned())),
            source,
            after_rows: ask.after_rows,
            note: false,
            bytes: command,
        };
        self.node.ask(frame).await
    }

    /// Follows an entity or resident. The stream holds what comes from this call on, so watch first and query then.
    pub fn watch(&self, key: &EntityKey) -> WatchStream {
        self.node.watch(key)
    }

    /// What watchers of an entity got for its events after a sequence number, folded from the journal.
    pub async fn watched_since(&self, key: &EntityKey, after_seq: u64) -> Result<Vec<(u64, Bytes)>, ClusterError> {
        let kind = self.node.kind(key)?;
        let records = self.node.records(key, 0, usize::MAX).await?;
        kind.watched(key, &records, after_seq)
    }

    /// Pushes a frame that is not journaled to whoever watches on this node.
    pub fn publish(&self, key: &EntityKey, bytes: Bytes) {
        self.node.hub().publish(key, Watch::Frame { bytes });
    }

    /// Sends a message to a resident and waits for its answer; starts it if needed.
    pub async fn resident_ask(&self, key: &EntityKey, message: Bytes) -> Result<Bytes, ClusterError> {
        self.node.resident_ask(key, message).await
    }

    /// What this and the other living nodes know of an entity beside its journal, by [`Registry::beside`](crate::Registry::beside). Waits half a second at
    /// most, so it may lack what a node knows that stands still.
    pub async fn beside(&self, key: &EntityKey) -> Vec<Bytes> {
        self.node.beside(key).await
    }

    /// Stored events after a sequence number, in the clear.
    pub async fn journal(&self, key: &EntityKey, after: u64, limit: usize) -> Result<Vec<JournalRecord>, ClusterError> {
        self.node.kind(key)?;
        let records = self.node.records(key, after, limit).await?;
        records.iter().map(|record| JournalRecord::read(key, record)).collect()
    }

    /// The state as it was at a sequence number (or is in the journal now), folded from the first event.
    pub async fn replay<E: Entity>(
        &self,
        tenant: &str,
        id: &str,
        at: Option<u64>,
    ) -> Result<Folded<E::State>, ClusterError> {
        let key = key_of(tenant, E::KIND, id);
        self.node.kind(&key)?;
        let limit = at.map_or(usize::MAX, |at| usize::try_from(at).unwrap_or(usize::MAX));
        let records = self.node.records(&key, 0, limit).await?;
        fold::<E>(&key, &records, at)
    }

    /// A stretch of a list, newest first, bodies in the clear. Rows whose entity was erased are left out, and others
    /// take their places: fewer rows than the limit are the last ones.
    pub async fn list<T: DeserializeOwned>(
        &self,
        tenant: &str,
        list: &str,
        range: &Range,
    ) -> Result<Vec<ListRow<T>>, ClusterError> {
        let Listed { rows, damaged } = self.list_sound(tenant, list, range).await?;
        match damaged.into_iter().next() {
            None => Ok(rows),
            Some(id) => {
                let detail = "its checksum does not match its content".to_owned();
                Err(StoreError::Corrupt { place: format!("row {tenant}/{list}/{id}"), detail }.into())
            }
        }
    }

    /// As [`Client::list`], but what is damaged is named beside the rest instead of refusing it: for lists that people look at. Whoever must not miss
    /// anything, such as an erasure, takes the other.
    pub async fn list_sound<T: DeserializeOwned>(
        &self,
        tenant: &str,
        list: &str,
        range: &Range,
    ) -> Result<Listed<T>, ClusterError> {
        let mut range = range.clone();
        let wanted = range.limit;
        let (mut shown, mut damaged) = (Vec::new(), Vec::new());
        loop {
            range.limit = wanted - shown.len();
            let rows = self.node.store().rows.list(tenant, list, &range).await?;
            let ended = rows.len() < range.limit;
            if let Some(last) = rows.last() {
                range.after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
            }
            for row in rows {
                if row.body.is_none() {
                    tracing::error!(
                        "corrupt data in row {tenant}/{list}/{}: its checksum does not match its content",
                        row.id
                    );
                    damaged.push(row.id);
                    continue;
                }
                let id = row.id.clone();
                match self.read_row(row).await {
                    Ok(row) => shown.extend(row),
                    Err(
                        error @ (ClusterError::Unreadable { .. } | ClusterError::Store(StoreError::Corrupt { .. })),
                    ) => {
                        tracing::error!(%error, "row {tenant}/{list}/{id} cannot be read");
                        damaged.push(id);
                    }
                    Err(error) => return Err(error),
                }
            }
            if ended || shown.len() >= wanted {
                return Ok(Listed { rows: shown, damaged });
            }
        }
    }

    /// One row of a list, body in the clear.
    pub async fn get<T: DeserializeOwned>(
        &self,
        tenant: &str,
        list: &str,
        id: &str,
    ) -> Result<Option<ListRow<T>>, ClusterError> {
        match self.node.store().rows.get(tenant, list, id).await? {
            Some(row) => self.read_row(row).await,
            None => Ok(None),
        }
    }

    /// The numbers of a list's rows in id order, tombstones included: what a recount reads. What is damaged is marked and does not refuse the rest.
    pub async fn numbers<T: DeserializeOwned>(
        &self,
        tenant: &str,
        list: &str,
        after_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<NumbersRow<T>>, ClusterError> {
        let rows = self.node.store().rows.scan(tenant, list, after_id, limit).await?;
        let read = rows.into_iter().map(|row| {
            let numbers = row.numbers.as_deref().map(serde_json::from_slice).transpose();
            let (numbers, damaged) = match numbers {
                Ok(numbers) => (numbers, row.seq == 0),
                Err(error) => {
                    tracing::error!(error = %unreadable_row(&row, &error), "the numbers of a row cannot be read");
                    (None, true)
                }
            };
            NumbersRow { id: row.id, at_ms: row.at_ms, seq: row.seq, numbers, damaged }
        });
        Ok(read.collect())
    }

    /// Destroys the entity's data key, so that nothing personal of its past can be read again, and takes it out of memory.
    pub async fn erase(&self, key: &EntityKey) -> Result<(), ClusterError> {
        self.node.erase(key).await
    }

    /// Stores a blob, sealed with its entity's key.
    pub async fn put_blob(&self, owner: &EntityKey, path: &str, plain: &[u8]) -> Result<(), StoreError> {
        if plain.len() <= LARGE_BYTES {
            let key = self.node.sealer().key_for_writing(owner).await?;
            return self.store().blobs.put(path, seal_blob(&key, owner, path, plain)).await;
        }
        let _turn = self.node.turn_of_large().await;
        // After the wait: the owner may have been erased in it.
        let key = self.node.sealer().key_for_writing(owner).await?;
        let (plain, owner, place) = (Bytes::copy_from_slice(plain), owner.clone(), path.to_owned());
        let sealing = tokio::task::spawn_blocking(move || seal_blob(&key, &owner, &place, &plain));
        let sealed = sealing.await.map_err(|error| StoreError::Unavailable(format!("blob {path}: {error}")))?;
        self.store().blobs.put(path, sealed).await
    }

    /// Reads a blob of an entity.
    pub async fn get_blob(&self, owner: &EntityKey, path: &str) -> Result<Option<Bytes>, StoreError> {
        let Some(stored) = self.store().blobs.get(path).await? else { return Ok(None) };
        let key = self.node.sealer().key_for_reading(owner).await?;
        open_blob(key.as_ref(), owner, path, stored).map(Some)
    }

    /// The store underneath: unique values, answers, blobs, raw rows.
    pub fn store(&self) -> &Store {
        self.node.store()
    }

    /// The host's wall clock, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.node.now_ms()
    }

    async fn read_row<T: DeserializeOwned>(&self, row: Row) -> Result<Option<ListRow<T>>, ClusterError> {
        let Some(body) = self.node.sealer().open_row(&row).await? else {
            return Ok(None);
        };
        let body = serde_json::from_slice(&body).map_err(|error| unreadable_row(&row, &error))?;
        Ok(Some(ListRow { id: row.id, at_ms: row.at_ms, seq: row.seq, body }))
    }
}

fn unreadable_row(row: &Row, error: &serde_json::Error) -> ClusterError {
    ClusterError::Unreadable {
        place: format!("row {} of list {}", row.id, row.list),
        detail: format!("{:?} error at byte {}", error.classify(), error.column()),
    }
}
