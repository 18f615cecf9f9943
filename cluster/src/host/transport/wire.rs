//! The bytes between gateways: batches of packets made of numbered, length-prefixed fields.
//!
//! A batch is `version u8 · link u64 · acknowledged u64` and packets; a packet is `length u32 · kind u8 · correlation u64` and fields; a field
//! is `number u8 · length u32` and its bytes; a number in a field is its little-endian bytes without the zeros at the end. All lengths are
//! little-endian and are checked against what is there, so nothing is allocated for a claim. A field that is not known is skipped: it
//! must be one that can be. Kinds below 128 want an answer and get one even when they are not known; the others do not.

use bytes::Bytes;
use colloquy_store::EntityKey;

use super::config::{MAX_DEADLINE_MS, MAX_DETAIL_BYTES, PART_BYTES};
use crate::frame::{Answer, Frame, Source};

/// The version of the batch's own shape. The handshake makes sure that both sides speak it.
pub(super) const BATCH_VERSION: u8 = 1;

/// Kinds from here on want no answer.
const FIRST_ONE_WAY: u8 = 128;

const FRAME: u8 = 1;
const ANSWER: u8 = 128;
const PART: u8 = 129;
const BEAT: u8 = 130;

const HEADER_BYTES: usize = 1 + 8 + 8;
const PACKET_HEADER_BYTES: usize = 1 + 8;
/// What a packet costs beside its body.
pub(super) const PACKET_OVERHEAD: usize = 4;

/// Why bytes are no batch, no packet or no field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undecodable {
    #[error("it ends too early")]
    Short,
    #[error("it is of another version")]
    Version,
    #[error("a number is too long")]
    Number,
    #[error("a text is not UTF-8")]
    Text,
    #[error("a part that is always there is missing")]
    Missing,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A frame that wants an answer. Its deadline is already in the receiver's time.
    Frame(Box<Frame>),
    /// The answer, or its end.
    Answer(Answer),
    /// A part of an answer.
    Part(Bytes),
    /// The sender lives.
    Beat,
}

/// One packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Understood.
    Packet { correlation: u64, packet: Packet },
    /// Of a kind this version does not have.
    Unknown { kind: u8, correlation: u64 },
    /// Of a known kind, and broken.
    Broken { kind: u8, correlation: u64, why: Undecodable },
    /// Not even a packet; what follows in the batch is lost.
    Lost(Undecodable),
}

/// Whether packets of a kind want an answer.
pub(super) fn wants_answer(kind: u8) -> bool {
    kind < FIRST_ONE_WAY
}

// --- writing ---

/// A batch that is being put together.
pub(super) struct BatchWriter {
    bytes: Vec<u8>,
}

impl BatchWriter {
    pub(super) fn new(link: u64, acknowledged: u64) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(BATCH_VERSION);
        bytes.extend_from_slice(&link.to_le_bytes());
        bytes.extend_from_slice(&acknowledged.to_le_bytes());
        Self { bytes }
    }

    pub(super) fn push(&mut self, packet: &[u8]) {
        self.bytes.extend_from_slice(&length(packet).to_le_bytes());
        self.bytes.extend_from_slice(packet);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

struct PacketWriter(Vec<u8>);

impl PacketWriter {
    fn new(kind: u8, correlation: u64, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(PACKET_HEADER_BYTES + capacity);
        bytes.push(kind);
        bytes.extend_from_slice(&correlation.to_le_bytes());
        Self(bytes)
    }

    fn bytes(&mut self, number: u8, value: &[u8]) {
        self.0.push(number);
        self.0.extend_from_slice(&length(value).to_le_bytes());
        self.0.extend_from_slice(value);
    }

    fn number(&mut self, number: u8, value: u64) {
        let bytes = value.to_le_bytes();
        let used = bytes.len() - value.leading_zeros() as usize / 8;
        self.bytes(number, bytes.get(..used).unwrap_or_default());
    }
}

/// Packets are far below four gigabytes ([`super::config::MAX_PACKET_BYTES`] is checked before they are made).
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

mod frame_field {
    pub(super) const SHARD: u8 = 1;
    pub(super) const EPOCH: u8 = 2;
    pub(super) const TENANT: u8 = 3;
    pub(super) const KIND: u8 = 4;
    pub(super) const ID: u8 = 5;
    pub(super) const SCHEMA: u8 = 6;
    pub(super) const CORRELATION: u8 = 7;
    pub(super) const IDEMPOTENCY_KEY: u8 = 8;
    /// Relative, because clocks differ.
    pub(super) const LEFT_MS: u8 = 9;
    pub(super) const TRACE: u8 = 10;
    pub(super) const SOURCE_TENANT: u8 = 11;
    pub(super) const SOURCE_KIND: u8 = 12;
    pub(super) const SOURCE_ID: u8 = 13;
    pub(super) const SOURCE_POS: u8 = 14;
    pub(super) const AFTER_ROWS: u8 = 15;
    pub(super) const BYTES: u8 = 16;
    pub(super) const NOTE: u8 = 17;
}

/// How many bytes a frame carries beside its command, at most.
pub(super) fn envelope_bytes(frame: &Frame) -> usize {
    const FIELDS: usize = 16;
    const FIELD_OVERHEAD: usize = 5;
    const NUMBER: usize = 8;
    let key = |key: &EntityKey| key.tenant.len() + key.kind.len() + key.id.len();
    PACKET_HEADER_BYTES
        + FIELDS * (FIELD_OVERHEAD + NUMBER)
        + key(&frame.key)
        + frame.idempotency_key.as_ref().map_or(0, String::len)
        + frame.trace.as_ref().map_or(0, String::len)
        + frame.source.as_ref().map_or(0, |source| key(&source.entity))
}

/// A frame as a packet. The deadline travels as the time that is left.
pub(super) fn frame_packet(correlation: u64, frame: &Frame, left_ms: u64) -> Vec<u8> {
    let mut packet = PacketWriter::new(FRAME, correlation, envelope_bytes(frame) + frame.bytes.len());
    packet.number(frame_field::SHARD, u64::from(frame.shard));
    packet.number(frame_field::EPOCH, frame.epoch);
    packet.bytes(frame_field::TENANT, frame.key.tenant.as_bytes());
    packet.bytes(frame_field::KIND, frame.key.kind.as_bytes());
    packet.bytes(frame_field::ID, frame.key.id.as_bytes());
    packet.number(frame_field::SCHEMA, u64::from(frame.schema));
    packet.number(frame_field::CORRELATION, frame.correlation);
    if let Some(key) = &frame.idempotency_key {
        packet.bytes(frame_field::IDEMPOTENCY_KEY, key.as_bytes());
    }
    packet.number(frame_field::LEFT_MS, left_ms);
    if let Some(trace) = &frame.trace {
        packet.bytes(frame_field::TRACE, trace.as_bytes());
    }
    if let Some(Source { entity, pos }) = &frame.source {
        packet.bytes(frame_field::SOURCE_TENANT, entity.tenant.as_bytes());
        packet.bytes(frame_field::SOURCE_KIND, entity.kind.as_bytes());
        packet.bytes(frame_field::SOURCE_ID, entity.id.as_bytes());
        packet.number(frame_field::SOURCE_POS, *pos);
    }
    if frame.after_rows {
        packet.number(frame_field::AFTER_ROWS, 1);
    }
    if frame.note {
        packet.number(frame_field::NOTE, 1);
    }
    packet.bytes(frame_field::BYTES, &frame.bytes);
    packet.0
}

mod answer_field {
    pub(super) const STATUS: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const OWNER: u8 = 3;
    pub(super) const EPOCH: u8 = 4;
    pub(super) const RETRY_AFTER_MS: u8 = 5;
    pub(super) const DETAIL: u8 = 6;
}

mod status {
    pub(super) const OK: u64 = 0;
    pub(super) const REJECTED: u64 = 1;
    pub(super) const NOT_OWNER: u64 = 2;
    pub(super) const MOVING: u64 = 3;
    pub(super) const BUSY: u64 = 4;
    pub(super) const UNKNOWN: u64 = 5;
    pub(super) const EXPIRED: u64 = 6;
    pub(super) const HANDLER_FAILED: u64 = 7;
    pub(super) const UNAVAILABLE: u64 = 8;
    pub(super) const ERASED: u64 = 9;
    pub(super) const MALFORMED: u64 = 10;
}

/// An answer as packets: parts if it is long, and its end.
pub(super) fn answer_packets(correlation: u64, answer: &Answer) -> Vec<Vec<u8>> {
    let (code, long) = match answer {
        Answer::Ok(bytes) => (status::OK, Some(bytes)),
        Answer::Rejected(bytes) => (status::REJECTED, Some(bytes)),
        Answer::NotOwner { .. } => (status::NOT_OWNER, None),
        Answer::Moving { .. } => (status::MOVING, None),
        Answer::Busy { .. } => (status::BUSY, None),
        Answer::Unknown => (status::UNKNOWN, None),
        Answer::Expired => (status::EXPIRED, None),
        Answer::HandlerFailed => (status::HANDLER_FAILED, None),
        Answer::Unavailable { .. } => (status::UNAVAILABLE, None),
        Answer::Erased => (status::ERASED, None),
        Answer::Malformed { .. } => (status::MALFORMED, None),
    };
    let mut packets = Vec::new();
    let mut last: &[u8] = long.map_or(&[], |bytes| bytes);
    while last.len() > PART_BYTES {
        let (part, rest) = last.split_at(PART_BYTES);
        packets.push(part_packet(correlation, part));
        last = rest;
    }
    let mut packet = PacketWriter::new(ANSWER, correlation, 32 + last.len());
    packet.number(answer_field::STATUS, code);
    match answer {
        Answer::Ok(_) | Answer::Rejected(_) => packet.bytes(answer_field::BYTES, last),
        Answer::NotOwner { owner, epoch } => {
            if let Some(owner) = owner {
                packet.bytes(answer_field::OWNER, owner.as_bytes());
            }
            packet.number(answer_field::EPOCH, *epoch);
        }
        Answer::Moving { retry_after_ms } | Answer::Busy { retry_after_ms } => {
            packet.number(answer_field::RETRY_AFTER_MS, *retry_after_ms);
        }
        Answer::Unavailable { detail } | Answer::Malformed { detail } => {
            let most = detail.floor_char_boundary(MAX_DETAIL_BYTES);
            packet.bytes(answer_field::DETAIL, detail.get(..most).unwrap_or_default().as_bytes());
        }
        Answer::Unknown | Answer::Expired | Answer::HandlerFailed | Answer::Erased => {}
    }
    packets.push(packet.0);
    packets
}

/// A part of an answer.
pub(super) fn part_packet(correlation: u64, bytes: &[u8]) -> Vec<u8> {
    let mut packet = PacketWriter::new(PART, correlation, 8 + bytes.len());
    packet.bytes(answer_field::BYTES, bytes);
    packet.0
}

/// A sign of life.
pub(super) fn beat_packet() -> Vec<u8> {
    PacketWriter::new(BEAT, 0, 0).0
}

// --- reading ---

/// A batch that is being read, packet by packet.
#[derive(Debug)]
pub(super) struct BatchReader {
    rest: Bytes,
    /// The connection it belongs to.
    pub(super) link: u64,
    /// How many bytes of batches its sender has taken in.
    pub(super) acknowledged: u64,
    now_ms: i64,
}

impl BatchReader {
    /// Reads a batch's head. `now_ms` is the receiver's wall clock, which deadlines become relative to.
    pub(super) fn new(bytes: Bytes, now_ms: i64) -> Result<Self, Undecodable> {
        let (&version, rest) = bytes.split_first().ok_or(Undecodable::Short)?;
        if version != BATCH_VERSION {
            return Err(Undecodable::Version);
        }
        let (link, rest) = rest.split_first_chunk().ok_or(Undecodable::Short)?;
        let (acknowledged, _) = rest.split_first_chunk().ok_or(Undecodable::Short)?;
        let (link, acknowledged) = (u64::from_le_bytes(*link), u64::from_le_bytes(*acknowledged));
        Ok(Self { rest: bytes.slice(HEADER_BYTES..), link, acknowledged, now_ms })
    }
}

impl Iterator for BatchReader {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        if self.rest.is_empty() {
            return None;
        }
        let lost = |rest: &mut Bytes| {
            *rest = Bytes::new();
            Some(Received::Lost(Undecodable::Short))
        };
        let Some((length, after)) = self.rest.split_first_chunk() else {
            return lost(&mut self.rest);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > after.len() || length < PACKET_HEADER_BYTES {
            return lost(&mut self.rest);
        }
        let packet = self.rest.slice(PACKET_OVERHEAD..PACKET_OVERHEAD + length);
        self.rest = self.rest.slice(PACKET_OVERHEAD + length..);
        Some(read_packet(&packet, self.now_ms))
    }
}

fn read_packet(packet: &Bytes, now_ms: i64) -> Received {
    let Some((&kind, after)) = packet.split_first() else {
        return Received::Lost(Undecodable::Short);
    };
    let Some((correlation, _)) = after.split_first_chunk() else {
        return Received::Lost(Undecodable::Short);
    };
    let correlation = u64::from_le_bytes(*correlation);
    let fields = Fields { rest: packet.slice(PACKET_HEADER_BYTES..) };
    let read = match kind {
        FRAME => read_frame(fields, now_ms).map(|frame| Packet::Frame(Box::new(frame))),
        ANSWER => read_answer(fields).map(Packet::Answer),
        PART => read_part(fields).map(Packet::Part),
        BEAT => Ok(Packet::Beat),
        kind => return Received::Unknown { kind, correlation },
    };
    match read {
        Ok(packet) => Received::Packet { correlation, packet },
        Err(why) => Received::Broken { kind, correlation, why },
    }
}

/// Reads fields one by one.
pub(super) struct Fields {
    rest: Bytes,
}

impl Fields {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }
}

impl Iterator for Fields {
    type Item = Result<(u8, Bytes), Undecodable>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&number, after) = self.rest.split_first()?;
        let value = after.split_first_chunk().and_then(|(length, after)| {
            let length = u32::from_le_bytes(*length) as usize;
            (length <= after.len()).then_some(length)
        });
        let Some(length) = value else {
            self.rest = Bytes::new();
            return Some(Err(Undecodable::Short));
        };
        let value = self.rest.slice(5..5 + length);
        self.rest = self.rest.slice(5 + length..);
        Some(Ok((number, value)))
    }
}

pub(super) fn number(bytes: &[u8]) -> Result<u64, Undecodable> {
    let mut value = [0; 8];
    value.get_mut(..bytes.len()).ok_or(Undecodable::Number)?.copy_from_slice(bytes);
    Ok(u64::from_le_bytes(value))
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, Undecodable> {
    std::str::from_utf8(bytes).map_err(|_| Undecodable::Text)
}

fn narrow<T: TryFrom<u64>>(bytes: &[u8]) -> Result<T, Undecodable> {
    T::try_from(number(bytes)?).map_err(|_| Undecodable::Number)
}

/// A command keeps its batch in memory while it waits; a small one is copied instead, so that it does not hold on to 64 KB.
fn detached(bytes: &Bytes) -> Bytes {
    const WORTH_SHARING: usize = 16 * 1024;
    if bytes.len() < WORTH_SHARING { Bytes::copy_from_slice(bytes) } else { bytes.clone() }
}

/// The parts of an entity's key as they are found.
#[derive(Default)]
struct KeyParts([Option<Bytes>; 3]);

impl KeyParts {
    fn put(&mut self, at: usize, bytes: Bytes) {
        if let Some(part) = self.0.get_mut(at) {
            *part = Some(bytes);
        }
    }

    fn key(&self) -> Result<EntityKey, Undecodable> {
        let [Some(tenant), Some(kind), Some(id)] = &self.0 else {
            return Err(Undecodable::Missing);
        };
        Ok(EntityKey::new(text(tenant)?, text(kind)?, text(id)?))
    }
}

fn read_frame(fields: Fields, now_ms: i64) -> Result<Frame, Undecodable> {
    let (mut key, mut source, mut source_pos) = (KeyParts::default(), KeyParts::default(), None);
    let (mut shard, mut epoch, mut schema, mut correlation, mut left_ms) = (None, 0, None, 0, None);
    let (mut idempotency_key, mut trace, mut bytes) = (None, None, None);
    let (mut after_rows, mut note) = (false, false);
    for field in fields {
        let (number_of, value) = field?;
        match number_of {
            frame_field::SHARD => shard = Some(narrow(&value)?),
            frame_field::EPOCH => epoch = number(&value)?,
            frame_field::TENANT => key.put(0, value),
            frame_field::KIND => key.put(1, value),
            frame_field::ID => key.put(2, value),
            frame_field::SCHEMA => schema = Some(narrow(&value)?),
            frame_field::CORRELATION => correlation = number(&value)?,
            frame_field::IDEMPOTENCY_KEY => idempotency_key = Some(text(&value)?.to_owned()),
            frame_field::LEFT_MS => left_ms = Some(number(&value)?.min(MAX_DEADLINE_MS)),
            frame_field::TRACE => trace = Some(text(&value)?.to_owned()),
            frame_field::SOURCE_TENANT => source.put(0, value),
            frame_field::SOURCE_KIND => source.put(1, value),
            frame_field::SOURCE_ID => source.put(2, value),
            frame_field::SOURCE_POS => source_pos = Some(number(&value)?),
            frame_field::AFTER_ROWS => after_rows = number(&value)? != 0,
            frame_field::NOTE => note = number(&value)? != 0,
            frame_field::BYTES => bytes = Some(detached(&value)),
            _ => {} // From a newer version, which only adds what can be ignored.
        }
    }
    let left_ms = i64::try_from(left_ms.ok_or(Undecodable::Missing)?).unwrap_or(i64::MAX);
    Ok(Frame {
        shard: shard.ok_or(Undecodable::Missing)?,
        epoch,
        key: key.key()?,
        schema: schema.ok_or(Undecodable::Missing)?,
        correlation,
        idempotency_key,
        deadline_ms: now_ms.saturating_add(left_ms),
        trace,
        source: match source_pos {
            Some(pos) => Some(Source { entity: source.key()?, pos }),
            None => None,
        },
        after_rows,
        note,
        bytes: bytes.ok_or(Undecodable::Missing)?,
    })
}

fn read_answer(fields: Fields) -> Result<Answer, Undecodable> {
    let (mut code, mut bytes, mut owner, mut epoch, mut retry_after_ms, mut detail) =
        (None, Bytes::new(), None, 0, 0, String::new());
    for field in fields {
        let (number_of, value) = field?;
        match number_of {
            answer_field::STATUS => code = Some(number(&value)?),
            answer_field::BYTES => bytes = detached(&value),
            answer_field::OWNER => owner = Some(text(&value)?.to_owned()),
            answer_field::EPOCH => epoch = number(&value)?,
            answer_field::RETRY_AFTER_MS => retry_after_ms = number(&value)?,
            answer_field::DETAIL => text(&value)?.clone_into(&mut detail),
            _ => {}
        }
    }
    Ok(match code.ok_or(Undecodable::Missing)? {
        status::OK => Answer::Ok(bytes),
        status::REJECTED => Answer::Rejected(bytes),
        status::NOT_OWNER => Answer::NotOwner { owner, epoch },
        status::MOVING => Answer::Moving { retry_after_ms },
        status::BUSY => Answer::Busy { retry_after_ms },
        status::EXPIRED => Answer::Expired,
        status::HANDLER_FAILED => Answer::HandlerFailed,
        status::UNAVAILABLE => Answer::Unavailable { detail },
        status::ERASED => Answer::Erased,
        status::MALFORMED => Answer::Malformed { detail },
        // `status::UNKNOWN`, and what a newer node says in words this one does not have: it may mean anything.
        _ => Answer::Unknown,
    })
}

fn read_part(fields: Fields) -> Result<Bytes, Undecodable> {
    let mut bytes = None;
    for field in fields {
        let (number_of, value) = field?;
        if number_of == answer_field::BYTES {
            bytes = Some(value);
        }
    }
    bytes.ok_or(Undecodable::Missing)
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
