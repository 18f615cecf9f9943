//! Clients: what they ask, how they repeat themselves, what they are told.

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::core::activation::{Command as Incoming, Delivery, Input};
use colloquy_cluster::frame::{Answer, Source};

use super::{Asker, ENTITIES, Event, OPS_PER_CLIENT, Op, PATIENCE_MS, World};
use crate::ledger::{Command, Reply, key};

impl World {
    pub(super) fn client_acts(&mut self, client: usize) {
        if self.clients[client].op.is_some() || self.clients[client].done >= OPS_PER_CLIENT {
            return;
        }
        let id = self.next_op;
        self.next_op += 1;
        let to = key(&format!("e{}", self.random.below(ENTITIES)));
        let other = key(&format!("e{}", self.random.below(ENTITIES)));
        let command = match self.random.below(100) {
            0..40 => Command::Add { op: id, amount: 1 + id as i64 % 7 },
            40..65 => Command::Look,
            65..80 if other != to => Command::Transfer { op: id, to: other, amount: 1 },
            80..90 => Command::StartJob { op: id },
            90..96 => {
                let at_ms = self.now_ms + self.random.below(20_000) as i64;
                Command::Remind { op: id, at_ms }
            }
            96..98 => Command::Poison,
            _ => Command::Refuse,
        };
        let known = self.acked.get(&to).cloned().unwrap_or_default();
        let keyless = matches!(command, Command::Add { .. }) && self.random.chance(30);
        self.clients[client].op = Some(Op { id, to, command, asked_ms: self.now_ms, keyless, known });
        self.ask(client);
    }

    pub(super) fn ask(&mut self, client: usize) {
        let Some(op) = self.clients[client].op.clone() else {
            return;
        };
        self.clients[client].nth += 1;
        let nth = self.clients[client].nth;
        self.commands += 1;
        self.after(PATIENCE_MS as u64, Event::Impatient(client, nth));
        let idempotency = (!op.keyless).then(|| format!("op-{}", op.id));
        self.send(&op.to, &op.command, idempotency.clone(), None, Asker::Client { client, nth });
        if !op.keyless && self.random.chance(15) {
            // The same frame arrives twice.
            self.send(&op.to, &op.command, idempotency, None, Asker::Nobody);
        }
    }

    pub(super) fn send(
        &mut self,
        to: &EntityKey,
        command: &Command,
        idempotency_key: Option<String>,
        source: Option<Source>,
        asker: Asker,
    ) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.askers.insert(ticket, asker);
        let incoming = Incoming {
            ticket,
            bytes: Bytes::from(serde_json::to_vec(command).expect("encodes")),
            idempotency_key,
            source,
            deadline_ms: self.now_ms + PATIENCE_MS - 5_000,
            after_rows: self.random.chance(10),
        };
        let act = self.current.get(to).copied().unwrap_or_else(|| self.activate(to));
        if let Some(alive) = self.acts.get_mut(&act) {
            alive.tickets.insert(ticket);
        }
        self.input(act, Input::Command(incoming));
    }

    pub(super) fn answered(&mut self, ticket: u64, answer: Answer) {
        match self.askers.remove(&ticket) {
            Some(Asker::Client { client, nth }) => self.client_answered(client, nth, answer),
            Some(Asker::Outbox { act, pos }) => {
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
                // Some acknowledgements are lost on their way.
                let lost = !self.calm() && self.random.chance(15);
                let (ms, delivery) = if lost { (10_000, Delivery::Retry) } else { (3, delivery) };
                self.after(ms, Event::Input(act, Input::Delivered { pos, delivery }));
            }
            Some(Asker::Effect | Asker::Nobody) | None => {}
        }
    }

    pub(super) fn client_answered(&mut self, client: usize, nth: u64, answer: Answer) {
        let Some(op) = self.clients[client].op.clone() else {
            return;
        };
        if self.clients[client].nth != nth {
            return;
        }
        match answer {
            Answer::Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Reply::Look { applied, .. }) => {
                    if let Some(missing) = op.known.iter().find(|known| !applied.contains(known)) {
                        let asked = op.asked_ms;
                        self.failures.push(format!("a query at {asked} does not show acknowledged {missing}"));
                    }
                    self.check_shown(&op.to, &applied);
                }
                Ok(Reply::Done { .. }) => {
                    self.acked.entry(op.to.clone()).or_default().push(op.id);
                    self.clients[client].acked.push((op.to.clone(), op.id));
                }
                Err(error) => self.failures.push(format!("a reply does not decode: {error}")),
            },
            Answer::Rejected(_) | Answer::HandlerFailed => {
                if !matches!(op.command, Command::Refuse | Command::Poison) {
                    self.failures.push(format!("{:?} was refused", op.command));
                }
            }
            Answer::Unknown if op.keyless => {}
            Answer::NotOwner { .. }
            | Answer::Moving { .. }
            | Answer::Busy { .. }
            | Answer::Unknown
            | Answer::Expired
            | Answer::Unavailable { .. } => {
                // All but `Unknown` say that nothing happened, so even a command without a key is safe to ask again.
                let ms = 50 + self.random.below(500);
                self.after(ms, Event::Again(client, nth));
                return;
            }
            Answer::Erased | Answer::Malformed { .. } => self.failures.push(format!("answered {answer:?}")),
        }
        self.next(client);
    }

    pub(super) fn next(&mut self, client: usize) {
        self.clients[client].op = None;
        self.clients[client].done += 1;
        let ms = self.random.below(2_000);
        self.after(ms, Event::Client(client));
    }
}
