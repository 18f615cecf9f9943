//! One peer: its connection if there is one, what waits until there is, and when to dial again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::config::TransportLimits;
use super::gateway::GatewayMsg;
use super::handshake::{Agreed, Failure, Refusal};
use super::link::{self, ENDED_RETRY_MS, Link, Settled, millis};
use super::reply::{ReplyTo, Sink};
use crate::frame::{Answer, Frame};
use crate::host::inner::lock;

/// The longest a sender is told to wait for a peer that is dialed again, milliseconds: it should notice soon when the peer is back.
const MAX_RETRY_MS: u64 = 1_000;

/// How often a failed dial doubles the wait before the next, at most; the configured longest wait ends it before.
const MAX_DOUBLINGS: u32 = 16;

/// How a peer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its id.
    pub node: String,
    /// Whether frames can be sent to it.
    pub connected: bool,
    /// Its latest incarnation that was seen, 0 if none was.
    pub incarnation: u64,
    /// Frames that wait for its answer or for a connection.
    pub waiting: usize,
    /// Milliseconds since it was last heard of, while there is a connection.
    pub beat_age_ms: Option<u64>,
    /// Why there is no connection, if dialing failed.
    pub error: Option<String>,
}

/// A peer.
pub(super) struct Peer {
    pub(super) id: String,
    limits: TransportLimits,
    state: Mutex<State>,
    /// There is something to do for whoever keeps the connection.
    pub(super) wake: Notify,
}

struct State {
    stage: Stage,
    waiting: VecDeque<(Frame, ReplyTo)>,
    waiting_bytes: usize,
    /// The highest incarnation that proved itself: an older one is dead for good.
    incarnation: u64,
    attempts: u64,
    failures: u32,
    /// Dials in a row that were refused only because the peer's own connection is preferred.
    preferred: u32,
    next_dial_ms: u64,
    error: Option<String>,
    /// The error is a difference that only a person can mend.
    refused: bool,
    /// Ends when `ractor_cluster` has let go of the previous connection.
    previous: Option<CancellationToken>,
    /// Nobody keeps it any more.
    retired: bool,
}

enum Stage {
    Free,
    Dialing { attempt: u64 },
    Connected(Box<Connection>),
}

struct Connection {
    link: Link,
    cut: CancellationToken,
    gone: CancellationToken,
    /// The peer's gateway, once `ractor_cluster` is through.
    gateway: Option<ActorRef<GatewayMsg>>,
}

/// A connection that was agreed on and is to be given to `ractor_cluster`.
pub(super) struct Handover {
    pub(super) link: u64,
    /// Cuts the stream.
    pub(super) cut: CancellationToken,
    /// Is to be cancelled when `ractor_cluster` has let go of it.
    pub(super) gone: CancellationToken,
    /// To be waited for before: two of its sessions with one peer make it drop either.
    pub(super) previous: Option<CancellationToken>,
}

/// What a look at the clock found.
#[derive(Default)]
pub(super) struct Look {
    pub(super) settled: Vec<Settled>,
    /// The connection to end, and why.
    pub(super) end: Option<(u64, &'static str)>,
    /// It is time to dial.
    pub(super) dial: bool,
    /// There is no connection, nothing waits.
    pub(super) idle: bool,
    pub(super) beat_age_ms: Option<u64>,
}

/// Batches for the peer's gateway.
#[derive(Default)]
pub(super) struct Pumped {
    pub(super) link: u64,
    pub(super) gateway: Option<ActorRef<GatewayMsg>>,
    pub(super) batches: Vec<Vec<u8>>,
    pub(super) packets: usize,
    pub(super) settled: Vec<Settled>,
}

impl Peer {
    pub(super) fn new(id: String, limits: TransportLimits) -> Self {
        let state = State {
            stage: Stage::Free,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            incarnation: 0,
            attempts: 0,
            failures: 0,
            preferred: 0,
            next_dial_ms: 0,
            error: None,
            refused: false,
            previous: None,
            retired: false,
        };
        Self { id, limits, state: Mutex::new(state), wake: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // --- sending ---

    /// Takes a frame to be sent, or gives it back when nobody keeps this peer any more.
    pub(super) fn send(
        &self,
        now_ms: u64,
        frame: Frame,
        reply: ReplyTo,
    ) -> Result<Option<Settled>, Box<(Frame, ReplyTo)>> {
        let mut state = self.lock();
        if state.retired {
            return Err(Box::new((frame, reply)));
        }
        let failed_before = state.failures > 0;
        let settled = match &mut state.stage {
            Stage::Connected(connection) => connection.link.ask(frame, reply),
            Stage::Dialing { .. } => state.wait(&self.limits, frame, reply),
            Stage::Free if !failed_before => state.wait(&self.limits, frame, reply),
            Stage::Free => {
                let answer = state.failed(&self.id, now_ms);
                Some((reply, answer))
            }
        };
        drop(state);
        self.wake.notify_one();
        Ok(settled)
    }

    /// What is to be handed over now.
    pub(super) fn pump(&self, now_ms: u64, wall_ms: i64) -> Pumped {
        let mut pumped = Pumped::default();
        let mut state = self.lock();
        let Stage::Connected(connection) = &mut state.stage else {
            return pumped;
        };
        let Connection { link, gateway: Some(gateway), .. } = &mut **connection else {
            return pumped;
        };
        pumped.link = link.id;
        while let Some((batch, packets)) = link.batch(now_ms, wall_ms, &mut pumped.settled) {
            pumped.packets += packets;
            pumped.batches.push(batch);
        }
        if !pumped.batches.is_empty() {
            pumped.gateway = Some(gateway.clone());
        }
        pumped
    }

    // --- receiving ---

    fn with_link<T>(&self, id: u64, with: impl FnOnce(&mut Link) -> T) -> Option<T> {
        match &mut self.lock().stage {
            Stage::Connected(connection) if connection.link.id == id => Some(with(&mut connection.link)),
            Stage::Connected(_) | Stage::Dialing { .. } | Stage::Free => None,
        }
    }

    /// Counts a batch; false when it belongs to a connection that is over.
    pub(super) fn took(&self, link: u64, now_ms: u64, bytes: usize, acknowledged: u64) -> bool {
        let known = self.with_link(link, |link| link.took(now_ms, bytes, acknowledged)).is_some();
        self.wake.notify_one();
        known
    }

    pub(super) fn answered(&self, link: u64, correlation: u64, answer: Answer) -> Option<Settled> {
        self.with_link(link, |link| link.answered(correlation, answer)).flatten()
    }

    /// Delivers a part of an answer, outside of the lock because who waits may call back.
    pub(super) fn part(&self, link: u64, correlation: u64, bytes: Bytes) {
        if let Some(mut reply) = self.with_link(link, |link| link.part(correlation)).flatten() {
            link::deliver_part(&mut reply, bytes);
            let mut left = Some(reply);
            self.with_link(link, |link| {
                left = left.take().and_then(|reply| link.part_delivered(correlation, reply));
            });
            drop(left); // Its time was over meanwhile: dropped, it says `Unknown`.
        }
    }

    /// Begins to serve a frame; none when the peer has too many in work.
    pub(super) fn serve(self: &Arc<Self>, link: u64, correlation: u64) -> Option<ReplyTo> {
        let free = self.with_link(link, Link::serve)?;
        free.then(|| ReplyTo::to(ToPeer { peer: self.clone(), link, correlation, broken: false }))
    }

    /// Answers a packet that is not served.
    pub(super) fn refuse(&self, link: u64, correlation: u64, answer: &Answer) {
        self.with_link(link, |link| link.give_unserved(correlation, answer));
        self.wake.notify_one();
    }

    // --- the connection ---

    /// Begins to dial; the number of the attempt.
    pub(super) fn dial(&self) -> Option<u64> {
        let mut state = self.lock();
        match state.stage {
            Stage::Free => {
                state.attempts += 1;
                let attempt = state.attempts;
                state.stage = Stage::Dialing { attempt };
                Some(attempt)
            }
            Stage::Dialing { .. } | Stage::Connected(_) => None,
        }
    }

    /// The attempt agreed with the peer. Fails when another connection came to be meanwhile, which stands, and for a dead incarnation.
    pub(super) fn dialed(&self, attempt: u64, agreed: &Agreed, now_ms: u64) -> Result<Handover, Failure> {
        let mut state = self.lock();
        match state.stage {
            Stage::Dialing { attempt: current } if current == attempt => {}
            Stage::Dialing { .. } | Stage::Connected(_) | Stage::Free => return Err(Failure::Preferred),
        }
        state.check_incarnation(agreed).map_err(Failure::Refused)?;
        let (handover, settled) = state.connect(&self.limits, agreed, true, now_ms);
        drop(state);
        settle(settled);
        Ok(handover)
    }

    /// The attempt failed.
    pub(super) fn dial_failed(&self, attempt: u64, failure: &Failure, now_ms: u64) {
        let mut state = self.lock();
        match state.stage {
            Stage::Dialing { attempt: current } if current == attempt => {}
            Stage::Dialing { .. } | Stage::Connected(_) | Stage::Free => return,
        }
        state.stage = Stage::Free;
        state.refused = match failure {
            Failure::Refused(_) | Failure::RefusedThere(_) => true,
            Failure::Connection(_) => false,
            Failure::Preferred => {
                // The peer's own connection is on its way, so what waits goes on waiting; if it does not come, this side dials again.
                state.next_dial_ms = now_ms + redial_after(&self.limits, state.preferred);
                state.preferred = state.preferred.saturating_add(1);
                return;
            }
        };
        state.error = Some(failure.to_string());
        state.back_off(&self.limits, now_ms);
        let answer = state.failed(&self.id, now_ms);
        state.waiting_bytes = 0;
        let waiting: Vec<_> = state.waiting.drain(..).map(|(_, reply)| (reply, answer.clone())).collect();
        drop(state);
        settle(waiting);
    }

    /// The peer dialed and proved to be of the cluster. Decides whether its connection is wanted; an old one that it replaces is ended.
    pub(super) fn admit(&self, me: &str, agreed: &Agreed, now_ms: u64) -> Result<Handover, Refusal> {
        let mut state = self.lock();
        if state.retired {
            return Err(Refusal::preferred()); // It dials again, and finds its successor.
        }
        state.check_incarnation(agreed)?;
        // Both dial at once: both prefer what the one with the higher id dialed.
        let mine_is_preferred = me > self.id.as_str();
        match &state.stage {
            Stage::Free => {}
            Stage::Dialing { .. } if mine_is_preferred => return Err(Refusal::preferred()),
            Stage::Dialing { .. } => {}
            Stage::Connected(connection) => {
                let link = &connection.link;
                // A dial that began before this connection stood can arrive that late.
                let young = now_ms.saturating_sub(link.since_ms) < millis(self.limits.step_timeout);
                if link.incarnation == agreed.peer.incarnation && link.dialed && young && mine_is_preferred {
                    return Err(Refusal::preferred());
                }
                // It would not dial if it still had this one, which is ended.
            }
        }
        let ended = state.end();
        let (handover, settled) = state.connect(&self.limits, agreed, false, now_ms);
        drop(state);
        settle(ended);
        settle(settled);
        Ok(handover)
    }

    /// `ractor_cluster` is through: frames can go.
    pub(super) fn ready(&self, link: u64, gateway: ActorRef<GatewayMsg>) -> bool {
        let mut state = self.lock();
        let ready = match &mut state.stage {
            Stage::Connected(connection) if connection.link.id == link => {
                connection.gateway = Some(gateway);
                true
            }
            Stage::Connected(_) | Stage::Dialing { .. } | Stage::Free => false,
        };
        if ready {
            (state.failures, state.preferred, state.refused, state.error) = (0, 0, false, None);
        }
        drop(state);
        self.wake.notify_one();
        ready
    }

    /// Ends a connection if it is the current one: what was sent is unknown, what was not can be tried again.
    pub(super) fn end(&self, link: u64, why: &str, now_ms: u64) -> bool {
        let mut state = self.lock();
        let ended = match &state.stage {
            Stage::Connected(connection) if connection.link.id == link => {
                let was_ready = connection.gateway.is_some();
                let settled = state.end();
                state.error = Some(why.to_owned());
                if !was_ready {
                    state.back_off(&self.limits, now_ms);
                }
                Some(settled)
            }
            Stage::Connected(_) | Stage::Dialing { .. } | Stage::Free => None,
        };
        drop(state);
        self.wake.notify_one();
        let is_end = ended.is_some();
        settle(ended.unwrap_or_default());
        is_end
    }

    /// There is no address for it: what waits can be tried again.
    pub(super) fn is_nowhere(&self, now_ms: u64) {
        let mut state = self.lock();
        state.error = Some("no living node has this id".to_owned());
        state.refused = false;
        state.back_off(&self.limits, now_ms);
        let answer = state.failed(&self.id, now_ms);
        state.waiting_bytes = 0;
        let waiting: Vec<_> = state.waiting.drain(..).map(|(_, reply)| (reply, answer.clone())).collect();
        drop(state);
        settle(waiting);
    }

    /// Whether there is a connection.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.lock().stage, Stage::Connected(_))
    }

    /// Looks at the clock.
    pub(super) fn look(&self, now_ms: u64, wall_ms: i64) -> Look {
        let mut look = Look::default();
        let mut state = self.lock();
        let join_ms = millis(self.limits.step_timeout);
        match &mut state.stage {
            Stage::Connected(connection) => {
                let tick = connection.link.tick(now_ms, wall_ms);
                look.settled = tick.settled;
                look.beat_age_ms = Some(connection.link.silence_ms(now_ms));
                if connection.gateway.is_none() {
                    if now_ms.saturating_sub(connection.link.since_ms) >= join_ms {
                        look.end = Some((connection.link.id, "the session did not come to be in time"));
                    }
                } else if tick.silent {
                    look.end = Some((connection.link.id, "the peer is silent"));
                }
            }
            Stage::Free => {
                look.dial = now_ms >= state.next_dial_ms;
                look.idle = state.waiting.is_empty();
            }
            Stage::Dialing { .. } => {}
        }
        let mut kept = VecDeque::with_capacity(state.waiting.len());
        for (frame, reply) in std::mem::take(&mut state.waiting) {
            if frame.deadline_ms <= wall_ms {
                state.waiting_bytes = state.waiting_bytes.saturating_sub(link::fits(&frame).unwrap_or(0));
                look.settled.push((reply, Answer::Expired));
            } else {
                kept.push_back((frame, reply));
            }
        }
        state.waiting = kept;
        look
    }

    /// Nobody keeps this peer any more. False when it has got something to do meanwhile.
    pub(super) fn retire(&self) -> bool {
        let mut state = self.lock();
        let free = matches!(state.stage, Stage::Free) && state.waiting.is_empty();
        state.retired |= free;
        free
    }

    /// Gives up everything.
    pub(super) fn close(&self) -> Option<u64> {
        let mut state = self.lock();
        state.retired = true;
        let link = match &state.stage {
            Stage::Connected(connection) => Some(connection.link.id),
            Stage::Dialing { .. } | Stage::Free => None,
        };
        let mut settled = state.end();
        let moving = Answer::Moving { retry_after_ms: ENDED_RETRY_MS };
        settled.extend(state.waiting.drain(..).map(|(_, reply)| (reply, moving.clone())));
        drop(state);
        settle(settled);
        link
    }

    /// How it is doing.
    pub(super) fn status(&self, now_ms: u64) -> PeerStatus {
        let state = self.lock();
        let (connected, waiting, beat_age_ms) = match &state.stage {
            Stage::Connected(connection) => {
                (connection.gateway.is_some(), connection.link.waiting(), Some(connection.link.silence_ms(now_ms)))
            }
            Stage::Dialing { .. } | Stage::Free => (false, 0, None),
        };
        PeerStatus {
            node: self.id.clone(),
            connected,
            incarnation: state.incarnation,
            waiting: waiting + state.waiting.len(),
            beat_age_ms,
            error: if connected { None } else { state.error.clone() },
        }
    }
}

impl State {
    fn check_incarnation(&self, agreed: &Agreed) -> Result<(), Refusal> {
        let (known, told) = (self.incarnation, agreed.peer.incarnation);
        if told < known {
            return Err(Refusal::new("the incarnation", format!("known as {known}"), told));
        }
        Ok(())
    }

    fn wait(&mut self, limits: &TransportLimits, frame: Frame, reply: ReplyTo) -> Option<Settled> {
        let bytes = match link::fits(&frame) {
            Ok(bytes) => bytes,
            Err(answer) => return Some((reply, answer)),
        };
        if let Some(full) = link::window(limits, self.waiting.len(), self.waiting_bytes, bytes) {
            return Some((reply, full));
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back((frame, reply));
        None
    }

    /// What senders are told while there is no connection and dialing failed.
    fn failed(&self, id: &str, now_ms: u64) -> Answer {
        match &self.error {
            Some(error) if self.refused => Answer::Unavailable { detail: format!("node {id:?}: {error}") },
            Some(_) | None => {
                let left_ms = self.next_dial_ms.saturating_sub(now_ms);
                Answer::Moving { retry_after_ms: left_ms.clamp(ENDED_RETRY_MS, MAX_RETRY_MS) }
            }
        }
    }

    fn back_off(&mut self, limits: &TransportLimits, now_ms: u64) {
        self.next_dial_ms = now_ms + redial_after(limits, self.failures);
        self.failures = self.failures.saturating_add(1);
    }

    fn connect(
        &mut self,
        limits: &TransportLimits,
        agreed: &Agreed,
        dialed: bool,
        now_ms: u64,
    ) -> (Handover, Vec<Settled>) {
        self.incarnation = self.incarnation.max(agreed.peer.incarnation);
        let mut link = Link::new(agreed.link, agreed.peer.incarnation, dialed, now_ms, limits.clone());
        // What waited goes first.
        self.waiting_bytes = 0;
        let settled = self.waiting.drain(..).filter_map(|(frame, reply)| link.ask(frame, reply)).collect();
        let connection =
            Connection { link, cut: CancellationToken::new(), gone: CancellationToken::new(), gateway: None };
        let handover = Handover {
            link: agreed.link,
            cut: connection.cut.clone(),
            gone: connection.gone.clone(),
            previous: self.previous.take(),
        };
        self.stage = Stage::Connected(Box::new(connection));
        (handover, settled)
    }

    fn end(&mut self) -> Vec<Settled> {
        match std::mem::replace(&mut self.stage, Stage::Free) {
            Stage::Connected(mut connection) => {
                connection.cut.cancel();
                self.previous = Some(connection.gone.clone());
                connection.link.end()
            }
            Stage::Dialing { .. } | Stage::Free => Vec::new(),
        }
    }
}

/// How long to wait before dialing again after so many failures: doubling, and spread over half to one and a half so that two nodes do
/// not meet again and again, nor all at one that comes back.
fn redial_after(limits: &TransportLimits, failures: u32) -> u64 {
    let doubled = millis(limits.redial_first).saturating_mul(1 << failures.min(MAX_DOUBLINGS));
    let wait_ms = doubled.min(millis(limits.redial_most)).max(1);
    wait_ms / 2 + rand::random_range(0..=wait_ms)
}

/// Delivers answers. Never under a lock.
pub(super) fn settle(settled: Vec<Settled>) {
    for (reply, answer) in settled {
        reply.send(answer);
    }
}

/// The way back to a peer.
struct ToPeer {
    peer: Arc<Peer>,
    link: u64,
    correlation: u64,
    /// A part could not be queued: the whole answer cannot be given any more.
    broken: bool,
}

impl Sink for ToPeer {
    fn part(&mut self, bytes: Bytes) -> bool {
        if !self.broken {
            let given = self.peer.with_link(self.link, |link| link.give_part(self.correlation, &bytes));
            self.broken = given != Some(true);
            self.peer.wake.notify_one();
        }
        !self.broken
    }

    fn answer(self: Box<Self>, answer: Answer) {
        let answer = if self.broken {
            Answer::Unknown
        } else {
            match &answer {
                Answer::Ok(bytes) | Answer::Rejected(bytes) if bytes.len() > super::config::MAX_ANSWER_BYTES => {
                    super::reply::too_long_an_answer()
                }
                _ => answer,
            }
        };
        let given = self.peer.with_link(self.link, |link| link.give(self.correlation, &answer));
        if given == Some(false) {
            metrics::counter!(crate::telemetry::TRANSPORT_REFUSED, "reason" => "answers").increment(1);
        }
        self.peer.wake.notify_one();
    }
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
