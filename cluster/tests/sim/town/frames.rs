//! The way of frames between nodes: lost, late, doubled; in order per entity on each link, as the transport promises.

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Command as Incoming, Delivery, Input as EntityInput};
use colloquy_cluster::core::handoff::Admit;
use colloquy_cluster::core::lease::SUSPENDED_RETRY_MS;
use colloquy_cluster::core::router::{Input, Output};
use colloquy_cluster::frame::{Answer, FRAME_SCHEMA, Frame, Source};

use super::{Asked, Asker, Event, Happening, Run, SESSION_MS, Town};
use crate::ledger::Command;

/// How long a frame may wait to be begun, milliseconds.
const DEADLINE_MS: i64 = 12_000;

impl Town {
    /// Asks through a node's router.
    pub(super) fn ask_through(
        &mut self,
        run: Run,
        to: &EntityKey,
        command: &Command,
        idempotency_key: Option<String>,
        source: Option<Source>,
        asker: Asker,
    ) {
        let (now_ms, deadline_ms) = (self.now_ms, self.now_ms + DEADLINE_MS);
        let after_rows = self.random.chance(10);
        let Some(process) = self.process(run) else { return };
        let correlation = process.next_correlation;
        process.next_correlation += 1;
        process.asked.insert(correlation, Asked { asker, deadline_ms, asked_ms: now_ms });
        let frame = Frame {
            shard: 0,
            epoch: 0,
            key: to.clone(),
            schema: FRAME_SCHEMA,
            correlation,
            idempotency_key,
            deadline_ms,
            trace: None,
            source,
            after_rows,
            note: false,
            bytes: Bytes::from(serde_json::to_vec(command).expect("encodes")),
        };
        self.route(run, Input::Send(frame));
    }

    pub(super) fn route(&mut self, run: Run, input: Input) {
        let now_ms = self.now_ms;
        let mut out = Vec::new();
        if let Input::Answered { answer: Answer::NotOwner { .. }, .. } = &input {
            self.look_soon(run);
        }
        let Some(process) = self.process(run) else { return };
        process.router.on(now_ms, input, &mut out);
        for output in out {
            match output {
                Output::Transmit { node, frame } => self.transmit(run, &node, frame),
                Output::Done { correlation, answer } => {
                    let asked = self.process(run).and_then(|process| process.asked.remove(&correlation));
                    if let Some(asked) = asked {
                        self.check_answered_in_time(run, &asked);
                        self.done(run, asked.asker, answer);
                    }
                }
                Output::Alarm { at_ms } => {
                    let ms = (at_ms - now_ms).max(1) as u64;
                    self.tell(run, ms, Happening::RouterTick);
                }
            }
        }
    }

    fn transmit(&mut self, from: Run, node: &str, frame: Frame) {
        let Some(number) = (0..self.nodes.len()).find(|number| self.nodes[*number].id == node) else { return };
        let correlation = frame.correlation;
        if self.nodes[number].process.is_none() {
            // Nobody listens, so nothing was sent.
            let answer = Answer::Moving { retry_after_ms: 100 };
            return self.tell(from, 2, Happening::Answer { correlation, answer });
        }
        let to = self.run_of(number);
        let mut ms = match (number == from.node, self.fails(6)) {
            (true, _) => 0,
            (false, true) => self.random.below(2_500),
            (false, false) => 1 + self.random.below(4),
        };
        // The order of one sender's frames to one entity is the transport's promise; between entities there is none.
        let arrives_ms = self.now_ms + ms as i64;
        let last_ms = self.links.entry((from, to, frame.key.clone())).or_default();
        *last_ms = arrives_ms.max(*last_ms);
        ms = (*last_ms - self.now_ms) as u64;
        self.tell(from, SESSION_MS, Happening::Answer { correlation, answer: Answer::Unknown });
        if number != from.node && self.fails(3) {
            return;
        }
        if number != from.node && (frame.idempotency_key.is_some() || frame.source.is_some()) && self.fails(5) {
            let again = ms + self.random.below(3_000);
            self.after(again, Event::Frame { to, from, frame: frame.clone() });
        }
        self.after(ms, Event::Frame { to, from, frame });
    }

    pub(super) fn arrive(&mut self, to: Run, from: Run, frame: Frame) {
        if self.process(to).is_some() {
            self.receive(to, from, frame);
        }
    }

    /// A node takes a frame.
    pub(super) fn receive(&mut self, run: Run, from: Run, frame: Frame) {
        let correlation = frame.correlation;
        if !self.is_leased(run) {
            return self.answer(run, from, correlation, Answer::Busy { retry_after_ms: SUSPENDED_RETRY_MS });
        }
        let Some(process) = self.process(run) else { return };
        match process.holdings.admit(frame.shard, frame.epoch) {
            Admit::Serve => self.place(run, from, frame),
            Admit::Park => process.parked.entry(frame.shard).or_default().push((from, frame)),
            Admit::Refuse { answer, look } => {
                if look {
                    self.look_soon(run);
                }
                self.answer(run, from, correlation, answer);
            }
        }
    }

    fn place(&mut self, run: Run, from: Run, frame: Frame) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let incoming = Incoming {
            ticket,
            bytes: frame.bytes,
            idempotency_key: frame.idempotency_key,
            source: frame.source,
            deadline_ms: frame.deadline_ms,
            after_rows: frame.after_rows,
        };
        let current = self.process(run).and_then(|process| process.current.get(&frame.key).copied());
        let Some(act) = current.or_else(|| self.activate(run, &frame.key)) else { return };
        if let Some(alive) = self.process(run).and_then(|process| process.acts.get_mut(&act)) {
            alive.tickets.insert(ticket, (from, frame.correlation));
        }
        self.input(run, act, EntityInput::Command(incoming));
    }

    /// An answer goes back, or is lost: then the sender's session ends.
    pub(super) fn answer(&mut self, run: Run, to: Run, correlation: u64, answer: Answer) {
        let ms = match (run.node == to.node, self.fails(6)) {
            (true, _) => 0,
            (false, true) => self.random.below(2_500),
            (false, false) => 1 + self.random.below(4),
        };
        if run.node != to.node && self.fails(3) {
            return;
        }
        self.tell(to, ms, Happening::Answer { correlation, answer });
    }

    fn done(&mut self, run: Run, asker: Asker, answer: Answer) {
        match asker {
            Asker::Client { client, nth, member } => self.client_answered(client, nth, member, answer),
            Asker::Outbox { act, pos } => {
                let delivery = match answer {
                    Answer::Ok(_) | Answer::Rejected(_) | Answer::Erased | Answer::Malformed { .. } => {
                        Delivery::Settled
                    }
                    Answer::NotOwner { .. }
                    | Answer::Moving { .. }
                    | Answer::Busy { .. }
                    | Answer::Unknown
                    | Answer::Expired
                    | Answer::HandlerFailed
                    | Answer::Unavailable { .. } => Delivery::Retry,
                };
                self.tell(run, 1, Happening::Input(act, EntityInput::Delivered { pos, delivery }));
            }
            Asker::Nobody => {}
        }
    }
}
