//! The bytes in the journal and in snapshots: envelopes with short keys, the fold of them, and the hash of a state.
//!
//! A record is `{"v":1,"ev":1,"at":1700000000000,"k":…,"r":…,"src":[…],"o":…,"e":…}`:
//! `v` envelope version, `ev` event version, `at` Unix milliseconds, `e` the event. The first event of a command may carry
//! `k` its idempotency key with `r` the reply, `src` the outbox position it came from, and `o` up to where this entity's own outbox was delivered.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::{EntityKey, journal::Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::entity::{At, Entity};
use crate::error::ClusterError;
use crate::frame::Source;

/// The version of the record envelope.
pub const RECORD_VERSION: u32 = 1;

/// The version of the snapshot envelope.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Idempotency keys an entity remembers: a widget or a webhook retries within minutes, a thousand commands is far more than that.
pub const KEYS_KEPT: usize = 1_000;

/// How long an idempotency key is remembered, milliseconds: a day, what HTTP clients and webhooks are promised.
pub const KEYS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Senders whose outbox position an entity remembers; above it the one heard least recently is forgotten.
pub const SOURCES_KEPT: usize = 2_048;

/// How long a sender's position is remembered, milliseconds: a week, beyond any outage in which a sender could still repeat itself.
pub const SOURCES_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How many bits of an outbox position count the messages of one event.
pub const OUTBOX_INDEX_BITS: u32 = 16;

/// A record's envelope as written.
#[derive(Serialize)]
pub(crate) struct Envelope<'a, E> {
    pub(crate) v: u32,
    pub(crate) ev: u32,
    pub(crate) at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) k: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) src: Option<&'a Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) o: Option<u64>,
    pub(crate) e: &'a E,
}

/// A record's envelope as read: the event itself is left for its kind.
#[derive(Deserialize)]
pub(crate) struct Opened<'a> {
    pub(crate) v: u32,
    pub(crate) ev: u32,
    pub(crate) at: i64,
    #[serde(default)]
    pub(crate) k: Option<String>,
    #[serde(default, borrow)]
    pub(crate) r: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) src: Option<Source>,
    #[serde(default)]
    pub(crate) o: Option<u64>,
    #[serde(borrow)]
    pub(crate) e: &'a RawValue,
}

/// A journal record in the clear, for people and replays.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalRecord {
    /// The event's sequence number.
    pub seq: u64,
    /// When it was decided, Unix milliseconds.
    pub at_ms: i64,
    /// The epoch of the activation that appended it.
    pub epoch: u64,
    /// The append it came with.
    pub append_id: uuid::Uuid,
    /// The event's version as written.
    pub version: u32,
    /// The idempotency key of its command, if this was the command's first event and it had one.
    pub idempotency_key: Option<String>,
    /// The event as written.
    pub event: serde_json::Value,
}

impl JournalRecord {
    /// Reads a stored record in the clear. Errors name the place, never the content.
    pub fn read(key: &EntityKey, record: &Record) -> Result<Self, ClusterError> {
        let opened = open(key, record)?;
        let event = serde_json::from_str(opened.e.get()).map_err(|error| unreadable(key, record.seq, &error))?;
        Ok(Self {
            seq: record.seq,
            at_ms: opened.at,
            epoch: record.epoch,
            append_id: record.append_id,
            version: opened.ev,
            idempotency_key: opened.k,
            event,
        })
    }
}

/// A state with the place in the journal it was folded to.
#[derive(Clone, Debug)]
pub struct Folded<S> {
    /// The state.
    pub state: S,
    /// The last event folded.
    pub seq: u64,
    /// When that event was decided, Unix milliseconds; 0 without events.
    pub at_ms: i64,
    /// [`state_hash`] of it.
    pub hash: String,
}

/// Folds records (in the clear, from the first) up to and including `upto`, as an activation would.
pub fn fold<E: Entity>(
    key: &EntityKey,
    records: &[Record],
    upto: Option<u64>,
) -> Result<Folded<E::State>, ClusterError> {
    let mut state = E::State::default();
    let (mut seq, mut at_ms) = (0, 0);
    for record in records.iter().take_while(|record| upto.is_none_or(|upto| record.seq <= upto)) {
        let opened = open(key, record)?;
        let event = event_of::<E>(key, record.seq, &opened)?;
        E::apply(&mut state, &event, At { seq: record.seq, at_ms: opened.at });
        (seq, at_ms) = (record.seq, opened.at);
    }
    let hash = state_hash::<E>(&state);
    Ok(Folded { state, seq, at_ms, hash })
}

/// BLAKE3 (hex) over `kind`, the state's version and its JSON with keys in order: equal states hash equal on any machine.
pub fn state_hash<E: Entity>(state: &E::State) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(E::KIND.as_bytes());
    hasher.update(&[0]);
    hasher.update(&E::STATE_VERSION.to_be_bytes());
    // A state that JSON cannot express could not be snapshotted either; its error text stands in for it.
    match serde_json::to_value(state) {
        Ok(value) => hash_canonical(&value, &mut hasher),
        Err(error) => {
            hasher.update(error.to_string().as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Feeds a value with its objects' keys in order. Not left to serde_json's map, whose order a feature of another crate can change.
fn hash_canonical(value: &serde_json::Value, hasher: &mut blake3::Hasher) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for key in keys {
                hasher.update(&(key.len() as u64).to_be_bytes());
                hasher.update(key.as_bytes());
                hash_canonical(&map[key], hasher);
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            items.iter().for_each(|item| hash_canonical(item, hasher));
            hasher.update(b"]");
        }
        Value::String(text) => {
            hasher.update(b"\"");
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            hasher.update(value.to_string().as_bytes());
            hasher.update(b",");
        }
    }
}

/// Reads a record's envelope.
pub(crate) fn open<'a>(key: &EntityKey, record: &'a Record) -> Result<Opened<'a>, ClusterError> {
    let opened: Opened<'a> =
        serde_json::from_slice(&record.bytes).map_err(|error| unreadable(key, record.seq, &error))?;
    match opened.v {
        RECORD_VERSION => Ok(opened),
        newer if newer > RECORD_VERSION => Err(ClusterError::Newer {
            place: place(key, record.seq),
            detail: format!("envelope version {newer}, this one knows {RECORD_VERSION}"),
        }),
        other => Err(ClusterError::Unreadable {
            place: place(key, record.seq),
            detail: format!("envelope version {other} is not one this program knows"),
        }),
    }
}

/// Reads the event in an envelope, upgraded to today's shape.
pub(crate) fn event_of<E: Entity>(key: &EntityKey, seq: u64, opened: &Opened<'_>) -> Result<E::Event, ClusterError> {
    if opened.ev == E::EVENT_VERSION {
        return serde_json::from_str(opened.e.get()).map_err(|error| match unknown_kind(&error) {
            true => ClusterError::Newer {
                place: place(key, seq),
                detail: format!("its kind is not one of event version {} as this one knows it", opened.ev),
            },
            false => unreadable(key, seq, &error),
        });
    }
    if opened.ev > E::EVENT_VERSION {
        return Err(ClusterError::Newer {
            place: place(key, seq),
            detail: format!("event version {}, this one knows {}", opened.ev, E::EVENT_VERSION),
        });
    }
    let written = serde_json::from_str(opened.e.get()).map_err(|error| unreadable(key, seq, &error))?;
    let today =
        E::upgrade(opened.ev, written).map_err(|detail| ClusterError::Unreadable { place: place(key, seq), detail })?;
    serde_json::from_value(today).map_err(|error| unreadable(key, seq, &error))
}

/// Whether an event is of a kind that this version does not have. Kinds are added without another event version, and what is stored is what was
/// written, so only a newer version can have written it. serde tells it in words only.
fn unknown_kind(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with("unknown variant")
}

fn place(key: &EntityKey, seq: u64) -> String {
    format!("{key} event {seq}")
}

fn unreadable(key: &EntityKey, seq: u64, error: &serde_json::Error) -> ClusterError {
    // serde's message may quote content; line and column are enough to find it.
    ClusterError::Unreadable {
        place: place(key, seq),
        detail: format!("{:?} error at byte {}", error.classify(), error.column()),
    }
}

/// An answered idempotency key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    key: Box<str>,
    at: i64,
    #[serde(with = "json_text")]
    reply: Bytes,
}

/// The last outbox position heard from one sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Heard {
    from: EntityKey,
    pos: u64,
    at: i64,
}

/// A message that waits to be delivered to another entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Its place in this entity's outbox.
    pub pos: u64,
    /// The receiver.
    pub to: EntityKey,
    /// The receiver's command, JSON.
    #[serde(with = "json_text")]
    pub command: Bytes,
}

/// Bytes that are JSON themselves, embedded as such: readable, and not four times as long as an array of numbers.
mod json_text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Bytes::from(String::from(Box::<str>::from(raw))))
    }
}

/// What the runtime itself remembers per entity: folded from the records' own fields and kept in snapshots beside the state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(default)]
    keys: VecDeque<Remembered>,
    #[serde(default)]
    heard: Vec<Heard>,
    /// Messages not yet known to be delivered, in order of position.
    #[serde(default)]
    pub outbox: VecDeque<Outgoing>,
    /// Every outbox position up to this one was delivered.
    #[serde(default)]
    pub delivered: u64,
}

impl Memory {
    /// The first answer to an idempotency key, if still remembered.
    pub fn answered(&self, key: &str, now_ms: i64) -> Option<&Bytes> {
        // Newest first: a retry follows soon after its first try.
        self.keys
            .iter()
            .rev()
            .find(|known| &*known.key == key && known.at.saturating_add(KEYS_KEPT_MS) > now_ms)
            .map(|known| &known.reply)
    }

    /// Remembers the answer to a key.
    pub fn remember(&mut self, key: &str, reply: Bytes, at_ms: i64) {
        while self.keys.len() >= KEYS_KEPT
            || self.keys.front().is_some_and(|oldest| oldest.at.saturating_add(KEYS_KEPT_MS) <= at_ms)
        {
            self.keys.pop_front();
        }
        self.keys.push_back(Remembered { key: key.into(), at: at_ms, reply });
    }

    /// Whether an outbox message was heard before.
    pub fn has_heard(&self, source: &Source) -> bool {
        self.heard.iter().any(|heard| heard.from == source.entity && heard.pos >= source.pos)
    }

    /// Notes how far a sender was heard.
    pub fn hear(&mut self, source: &Source, at_ms: i64) {
        if let Some(heard) = self.heard.iter_mut().find(|heard| heard.from == source.entity) {
            heard.pos = heard.pos.max(source.pos);
            heard.at = heard.at.max(at_ms);
            return;
        }
        self.heard.retain(|heard| heard.at.saturating_add(SOURCES_KEPT_MS) > at_ms);
        if self.heard.len() >= SOURCES_KEPT
            && let Some(oldest) = self.heard.iter().enumerate().min_by_key(|(_, heard)| heard.at).map(|(i, _)| i)
        {
            self.heard.swap_remove(oldest);
        }
        self.heard.push(Heard { from: source.entity.clone(), pos: source.pos, at: at_ms });
    }

    /// Takes the outbox cursor forward and drops what it covers.
    pub fn delivered_to(&mut self, pos: u64) {
        self.delivered = self.delivered.max(pos);
        while self.outbox.front().is_some_and(|message| message.pos <= self.delivered) {
            self.outbox.pop_front();
        }
    }

    /// Notes the runtime's own part of a folded record.
    pub(crate) fn note(&mut self, opened: &Opened<'_>) {
        if let (Some(key), Some(reply)) = (&opened.k, opened.r) {
            self.remember(key, Bytes::copy_from_slice(reply.get().as_bytes()), opened.at);
        }
        if let Some(source) = &opened.src {
            self.hear(source, opened.at);
        }
        if let Some(delivered) = opened.o {
            self.delivered_to(delivered);
        }
    }
}

/// The position of the `index`-th message of the event at `seq`.
pub fn outbox_pos(seq: u64, index: usize) -> u64 {
    (seq << OUTBOX_INDEX_BITS) | (index as u64 & ((1 << OUTBOX_INDEX_BITS) - 1))
}

/// A snapshot's envelope as written.
#[derive(Serialize)]
pub(crate) struct SnapshotEnvelope<'a, S> {
    pub(crate) v: u32,
    pub(crate) sv: u32,
    /// What the runtime remembers; readable whatever becomes of the state's shape.
    pub(crate) m: &'a Memory,
    /// Hash of the rows that are known to be written, so that an activation need not write them again.
    pub(crate) rows: u64,
    pub(crate) s: &'a S,
}

/// A snapshot's envelope as read.
#[derive(Deserialize)]
pub(crate) struct OpenedSnapshot<'a> {
    pub(crate) v: u32,
    pub(crate) sv: u32,
    pub(crate) m: Memory,
    pub(crate) rows: u64,
    #[serde(borrow)]
    pub(crate) s: &'a RawValue,
}

/// The first eight bytes of a BLAKE3 hash as a number: the runtime's one stable hash, for shards and row contents.
pub fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        // The length before each part keeps ("ab", "c") apart from ("a", "bc").
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// The name of a shared kind: one allocation per kind, not per key.
pub(crate) fn key_of(tenant: &str, kind: &str, id: &str) -> EntityKey {
    EntityKey { tenant: Arc::from(tenant), kind: Arc::from(kind), id: Arc::from(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(id: &str, pos: u64) -> Source {
        Source { entity: EntityKey::new("t", "k", id), pos }
    }

    #[test]
    fn idempotency_keys_are_forgotten_by_age_and_by_number() {
        let mut memory = Memory::default();
        memory.remember("old", Bytes::from_static(b"1"), 0);
        assert_eq!(memory.answered("old", KEYS_KEPT_MS - 1), Some(&Bytes::from_static(b"1")));
        assert_eq!(memory.answered("old", KEYS_KEPT_MS), None);
        for nth in 0..KEYS_KEPT {
            memory.remember(&format!("k{nth}"), Bytes::from_static(b"2"), 1);
        }
        assert_eq!((memory.answered("old", 1), memory.keys.len()), (None, KEYS_KEPT));
        assert!(memory.answered("k0", 1).is_some());
    }

    #[test]
    fn senders_are_remembered_by_position_age_and_number() {
        let mut memory = Memory::default();
        memory.hear(&source("a", 7), 0);
        assert!(memory.has_heard(&source("a", 7)) && memory.has_heard(&source("a", 6)));
        assert!(!memory.has_heard(&source("a", 8)) && !memory.has_heard(&source("b", 7)));
        for nth in 0..SOURCES_KEPT {
            memory.hear(&source(&format!("s{nth}"), 1), 1);
        }
        assert!(!memory.has_heard(&source("a", 7)), "the least recent made room");
        assert_eq!(memory.heard.len(), SOURCES_KEPT);
        memory.hear(&source("late", 1), SOURCES_KEPT_MS + 1);
        assert_eq!(memory.heard.len(), 1, "a week later the others are forgotten");
    }

    #[test]
    fn what_the_runtime_remembers_survives_json() {
        let mut memory = Memory::default();
        memory.remember("k", Bytes::from_static(br#"{"a":[1,2]}"#), 5);
        memory.hear(&source("a", 7), 5);
        let to = EntityKey::new("t", "k", "b");
        memory.outbox.push_back(Outgoing { pos: outbox_pos(3, 1), to, command: Bytes::from_static(b"[1]") });
        let text = serde_json::to_string(&memory).expect("encodes");
        assert_eq!(serde_json::from_str::<Memory>(&text).expect("decodes"), memory, "{text}");
        memory.delivered_to(outbox_pos(3, 1));
        assert!(memory.outbox.is_empty());
    }

    #[test]
    fn canonical_hash_tells_structures_apart_and_ignores_the_order_of_keys() {
        let hash = |text: &str| {
            let mut hasher = blake3::Hasher::new();
            hash_canonical(&serde_json::from_str(text).expect("json"), &mut hasher);
            hasher.finalize()
        };
        assert_eq!(hash(r#"{"a":1,"b":[true,null]}"#), hash(r#"{"b":[true,null],"a":1}"#));
        let different =
            [r#"["1"]"#, "[1]", "[[1]]", "[1,1]", "[11]", r#"{"a":1}"#, r#"{"a":[1]}"#, r#"["a",1]"#, "1.5", "1.25"];
        for (nth, one) in different.iter().enumerate() {
            for other in &different[nth + 1..] {
                assert_ne!(hash(one), hash(other), "{one} {other}");
            }
        }
    }
}
