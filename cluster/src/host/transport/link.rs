//! One connection to a peer, without its IO: what waits for an answer, what is to be sent, what was acknowledged, and whether it lives.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::config::{BATCH_BYTES, MAX_ENVELOPE_BYTES, MAX_PACKET_BYTES, TransportLimits};
use super::reply::ReplyTo;
use super::wire::{self, BatchWriter, PACKET_OVERHEAD};
use crate::frame::{Answer, Frame, MAX_COMMAND_BYTES};

/// What a full window tells its senders to wait, milliseconds: a few round trips.
pub(super) const WINDOW_RETRY_MS: u64 = 20;

/// What senders are told to wait when a connection ended before their frame was sent, milliseconds: about the first redial.
pub(super) const ENDED_RETRY_MS: u64 = 100;

/// How many times its own window a peer may have in work here before it is told `Busy`: its window ends with its deadlines, the work may last longer.
const SERVING_FACTOR: usize = 2;

/// An answer and who waits for it. Given out instead of delivered, because who waits may call back.
pub(super) type Settled = (ReplyTo, Answer);

/// One connection.
pub(super) struct Link {
    /// Both sides' name for it.
    pub(super) id: u64,
    /// The peer's incarnation.
    pub(super) incarnation: u64,
    /// Whether this node dialed.
    pub(super) dialed: bool,
    /// When it was agreed on, monotonic milliseconds.
    pub(super) since_ms: u64,
    limits: TransportLimits,
    next: u64,
    asked: HashMap<u64, Asked>,
    asked_bytes: usize,
    queue: VecDeque<Queued>,
    answer_bytes: usize,
    serving: usize,
    /// Bytes of batches handed over, and of those acknowledged.
    handed: u64,
    acknowledged: u64,
    /// Bytes of batches that came, and of those acknowledged to the peer.
    taken: u64,
    told: u64,
    heard_ms: u64,
    spoke_ms: u64,
}

/// A frame that waits for its answer.
struct Asked {
    /// Away while a part is delivered.
    reply: Option<ReplyTo>,
    /// The frame until it is sent.
    frame: Option<Frame>,
    bytes: usize,
    deadline_ms: i64,
}

enum Queued {
    /// A frame; it stands in `asked`, or its deadline passed.
    Frame(u64),
    /// An answer's packet.
    Answer(Vec<u8>),
}

/// What a look at the clock found.
pub(super) struct Tick {
    /// Frames whose time is over.
    pub(super) settled: Vec<Settled>,
    /// The peer was not heard of for too long.
    pub(super) silent: bool,
}

impl Link {
    pub(super) fn new(id: u64, incarnation: u64, dialed: bool, now_ms: u64, limits: TransportLimits) -> Self {
        Self {
            id,
            incarnation,
            dialed,
            since_ms: now_ms,
            limits,
            next: 1,
            asked: HashMap::new(),
            asked_bytes: 0,
            queue: VecDeque::new(),
            answer_bytes: 0,
            serving: 0,
            handed: 0,
            acknowledged: 0,
            taken: 0,
            told: 0,
            heard_ms: now_ms,
            spoke_ms: now_ms,
        }
    }

    /// Frames that wait for their answer.
    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }

    /// How long the peer has not been heard of, milliseconds.
    pub(super) fn silence_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_ms)
    }

    /// Queues a frame, or says at once why not.
    pub(super) fn ask(&mut self, frame: Frame, reply: ReplyTo) -> Option<Settled> {
        let bytes = match fits(&frame) {
            Ok(bytes) => bytes,
            Err(answer) => return Some((reply, answer)),
        };
        if let Some(full) = window(&self.limits, self.asked.len(), self.asked_bytes, bytes) {
            return Some((reply, full));
        }
        let correlation = self.next;
        self.next += 1;
        self.asked_bytes += bytes;
        let deadline_ms = frame.deadline_ms;
        self.asked.insert(correlation, Asked { reply: Some(reply), frame: Some(frame), bytes, deadline_ms });
        self.queue.push_back(Queued::Frame(correlation));
        None
    }

    fn forget(&mut self, correlation: u64) -> Option<Asked> {
        let asked = self.asked.remove(&correlation)?;
        self.asked_bytes -= asked.bytes;
        Some(asked)
    }

    /// An answer came.
    pub(super) fn answered(&mut self, correlation: u64, answer: Answer) -> Option<Settled> {
        // What was never sent cannot be answered; a peer that makes up numbers settles nothing.
        if self.asked.get(&correlation).is_none_or(|asked| asked.frame.is_some()) {
            return None;
        }
        Some((self.forget(correlation)?.reply?, answer))
    }

    /// A part of an answer came: who waits for it, to be given back with [`Link::part_delivered`].
    pub(super) fn part(&mut self, correlation: u64) -> Option<ReplyTo> {
        let asked = self.asked.get_mut(&correlation)?;
        if asked.frame.is_some() { None } else { asked.reply.take() }
    }

    /// The part was delivered. Gives back who waited if its time was over meanwhile.
    pub(super) fn part_delivered(&mut self, correlation: u64, reply: ReplyTo) -> Option<ReplyTo> {
        match self.asked.get_mut(&correlation) {
            Some(asked) => {
                asked.reply = Some(reply);
                None
            }
            None => Some(reply),
        }
    }

    // --- answering ---

    /// Begins to serve a frame of the peer; false when it has too many in work.
    pub(super) fn serve(&mut self) -> bool {
        let free = self.serving < self.limits.window_frames.saturating_mul(SERVING_FACTOR);
        if free {
            self.serving += 1;
        }
        free
    }

    /// Queues a part of an answer; false when the peer does not take its answers.
    pub(super) fn give_part(&mut self, correlation: u64, bytes: &[u8]) -> bool {
        if self.answer_bytes + bytes.len() > self.limits.answer_bytes {
            return false;
        }
        for part in bytes.chunks(super::config::PART_BYTES) {
            self.push_answer(wire::part_packet(correlation, part));
        }
        true
    }

    /// Queues an answer to a frame that is served. If the peer does not take its answers it becomes `Unknown`, which is small and true.
    pub(super) fn give(&mut self, correlation: u64, answer: &Answer) -> bool {
        self.serving = self.serving.saturating_sub(1);
        self.give_unserved(correlation, answer)
    }

    /// Queues an answer to a packet that was not served. The peer's window bounds how many there are.
    pub(super) fn give_unserved(&mut self, correlation: u64, answer: &Answer) -> bool {
        let packets = wire::answer_packets(correlation, answer);
        let bytes: usize = packets.iter().map(Vec::len).sum();
        let fits = self.answer_bytes + bytes <= self.limits.answer_bytes;
        let packets = if fits { packets } else { wire::answer_packets(correlation, &Answer::Unknown) };
        for packet in packets {
            self.push_answer(packet);
        }
        fits
    }

    fn push_answer(&mut self, packet: Vec<u8>) {
        self.answer_bytes += packet.len();
        self.queue.push_back(Queued::Answer(packet));
    }

    // --- batches ---

    /// Counts a batch that came and was taken in.
    pub(super) fn took(&mut self, now_ms: u64, bytes: usize, acknowledged: u64) {
        self.heard_ms = now_ms;
        self.taken += bytes as u64;
        self.acknowledged = self.acknowledged.max(acknowledged.min(self.handed));
    }

    /// Whether enough came that the peer may be waiting to hear of it.
    pub(super) fn owes_acknowledgement(&self) -> bool {
        const SHARE: u64 = 4;
        self.taken - self.told >= (self.limits.unacknowledged_bytes as u64 / SHARE).max(1)
    }

    /// The next batch to hand over, if there is one and the peer keeps up. `wall_ms` is the wall clock of the frames' deadlines.
    /// Frames whose time is over are not sent but settled.
    pub(super) fn batch(&mut self, now_ms: u64, wall_ms: i64, settled: &mut Vec<Settled>) -> Option<(Vec<u8>, usize)> {
        let open = self.handed - self.acknowledged < self.limits.unacknowledged_bytes as u64;
        let due = now_ms.saturating_sub(self.spoke_ms) >= millis(self.limits.beat_every) || self.owes_acknowledgement();
        if !due && (!open || self.queue.is_empty()) {
            return None;
        }
        let mut batch = BatchWriter::new(self.id, self.taken);
        let mut packets = 0;
        while open && let Some(next) = self.queue.front() {
            let size = match next {
                Queued::Answer(packet) => packet.len(),
                Queued::Frame(correlation) => {
                    match self.asked.get(correlation).and_then(|asked| asked.frame.as_ref()) {
                        Some(frame) => wire::envelope_bytes(frame) + frame.bytes.len(),
                        None => 0,
                    }
                }
            } + PACKET_OVERHEAD;
            if packets > 0 && batch.len() + size > BATCH_BYTES {
                break;
            }
            match self.queue.pop_front() {
                Some(Queued::Answer(packet)) => {
                    self.answer_bytes -= packet.len();
                    batch.push(&packet);
                }
                Some(Queued::Frame(correlation)) => match self.send(correlation, wall_ms, settled) {
                    Some(packet) => batch.push(&packet),
                    None => continue,
                },
                None => break,
            }
            packets += 1;
        }
        if packets == 0 {
            if !due {
                return None;
            }
            batch.push(&wire::beat_packet());
        }
        self.spoke_ms = now_ms;
        self.told = self.taken;
        self.handed += batch.len() as u64;
        Some((batch.finish(), packets))
    }

    fn send(&mut self, correlation: u64, wall_ms: i64, settled: &mut Vec<Settled>) -> Option<Vec<u8>> {
        let asked = self.asked.get_mut(&correlation)?;
        let frame = asked.frame.take()?;
        match u64::try_from(frame.deadline_ms.saturating_sub(wall_ms)) {
            Ok(left_ms) if left_ms > 0 => Some(wire::frame_packet(correlation, &frame, left_ms)),
            Ok(_) | Err(_) => {
                let reply = self.forget(correlation)?.reply?;
                settled.push((reply, Answer::Expired));
                None
            }
        }
    }

    // --- time ---

    /// Looks at the clock.
    pub(super) fn tick(&mut self, now_ms: u64, wall_ms: i64) -> Tick {
        // The answerer counts the deadline too and answers with it; one silence later nothing will come any more.
        let grace_ms = i64::try_from(self.limits.silence.as_millis()).unwrap_or(i64::MAX);
        let over: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| {
                let last_ms = if asked.frame.is_some() { 0 } else { grace_ms };
                asked.deadline_ms.saturating_add(last_ms) <= wall_ms
            })
            .map(|(correlation, _)| *correlation)
            .collect();
        let settled = over
            .into_iter()
            .filter_map(|correlation| {
                let asked = self.forget(correlation)?;
                let answer = if asked.frame.is_some() { Answer::Expired } else { Answer::Unknown };
                Some((asked.reply?, answer))
            })
            .collect();
        Tick { settled, silent: self.silence_ms(now_ms) >= millis(self.limits.silence) }
    }

    /// The connection is over: what was sent is unknown, what was not can be tried again.
    pub(super) fn end(&mut self) -> Vec<Settled> {
        self.queue.clear();
        self.answer_bytes = 0;
        self.asked_bytes = 0;
        let settle = |asked: Asked| {
            let never_sent = asked.frame.is_some();
            let answer = if never_sent { Answer::Moving { retry_after_ms: ENDED_RETRY_MS } } else { Answer::Unknown };
            Some((asked.reply?, answer))
        };
        self.asked.drain().filter_map(|(_, asked)| settle(asked)).collect()
    }
}

/// The bytes a frame counts, or why it cannot be sent at all.
pub(super) fn fits(frame: &Frame) -> Result<usize, Answer> {
    let (command, envelope) = (frame.bytes.len(), wire::envelope_bytes(frame));
    if command > MAX_COMMAND_BYTES {
        let detail = format!("a command of {command} bytes is above the limit of {MAX_COMMAND_BYTES}");
        return Err(Answer::Malformed { detail });
    }
    if envelope > MAX_ENVELOPE_BYTES {
        let detail =
            format!("a frame carries {envelope} bytes beside its command, above the limit of {MAX_ENVELOPE_BYTES}");
        return Err(Answer::Malformed { detail });
    }
    debug_assert!(command + envelope <= MAX_PACKET_BYTES);
    Ok(command + envelope)
}

/// Whether a window is full for a frame of this many bytes. One frame always fits, or a large one could never be sent.
pub(super) fn window(limits: &TransportLimits, frames: usize, bytes: usize, more: usize) -> Option<Answer> {
    let reason = if frames >= limits.window_frames {
        "frames"
    } else if frames > 0 && bytes + more > limits.window_bytes {
        "bytes"
    } else {
        return None;
    };
    metrics::counter!(crate::telemetry::TRANSPORT_REFUSED, "reason" => reason).increment(1);
    Some(Answer::Busy { retry_after_ms: WINDOW_RETRY_MS })
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A part's bytes as who waits for it gets them.
pub(super) fn deliver_part(reply: &mut ReplyTo, bytes: Bytes) {
    // The peer goes on sending; the answer's own limit bounds what is kept.
    let _wants_more = reply.part(bytes);
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
