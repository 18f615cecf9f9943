//! Clients of the town: each does one thing after the other through whichever node it reaches, some of them several commands in one breath.

use colloquy_cluster::EntityKey;
use colloquy_cluster::frame::Answer;

use super::{Asker, ENTITIES, Event, NODES, Town};
use crate::ledger::{Command, Reply, key};

pub(super) const CLIENTS: usize = 4;
pub(super) const OPS_PER_CLIENT: u64 = 16;
/// How long a client waits before it asks another node, milliseconds.
const PATIENCE_MS: u64 = 15_000;
/// When no node runs at all, milliseconds.
const NOBODY_THERE_MS: u64 = 500;

/// A client and what it wants to have done now.
#[derive(Default)]
pub(super) struct Client {
    /// The try under way; a higher one replaces it.
    pub(super) nth: u64,
    pub(super) op: Option<Op>,
    pub(super) done: u64,
    pub(super) acked: Vec<(EntityKey, u64)>,
}

pub(super) struct Op {
    pub(super) to: EntityKey,
    pub(super) asked_ms: i64,
    members: Vec<Member>,
    /// Without an idempotency key: never asked twice, since nobody could tell the second from the first.
    keyless: bool,
    /// What had been acknowledged for the entity when a query was asked.
    known: Vec<u64>,
}

/// One of the commands of a breath.
struct Member {
    id: u64,
    command: Command,
    stage: Stage,
    /// It had to be asked more than once, so its place among the others is not promised.
    disturbed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    ToRepeat,
    Acknowledged,
    Over,
}

impl Town {
    pub(super) fn client_acts(&mut self, client: usize) {
        if self.clients[client].op.is_some() || self.clients[client].done >= OPS_PER_CLIENT {
            return;
        }
        let to = key(&format!("e{}", self.random.below(ENTITIES)));
        let other = key(&format!("e{}", self.random.below(ENTITIES)));
        let burst = if self.random.chance(25) { 2 + self.random.below(3) } else { 1 };
        let mut members = Vec::new();
        for _ in 0..burst {
            let id = self.next_op;
            self.next_op += 1;
            let command = match if burst > 1 { 0 } else { self.random.below(100) } {
                0..35 => Command::Add { op: id, amount: 1 + id as i64 % 7 },
                35..65 => Command::Look,
                65..78 if other != to => Command::Transfer { op: id, to: other.clone(), amount: 1 },
                78..88 => Command::StartJob { op: id },
                88..96 => Command::Remind { op: id, at_ms: self.now_ms + self.random.below(20_000) as i64 },
                96..98 => Command::Poison,
                _ => Command::Refuse,
            };
            members.push(Member { id, command, stage: Stage::ToRepeat, disturbed: false });
        }
        let known = self.acked.get(&to).cloned().unwrap_or_default();
        let keyless = matches!(members[0].command, Command::Add { .. }) && burst == 1 && self.random.chance(30);
        self.clients[client].op = Some(Op { to, asked_ms: self.now_ms, members, keyless, known });
        self.ask_all(client);
    }

    /// Asks what is not answered yet, one after the other without waiting for answers.
    pub(super) fn ask_all(&mut self, client: usize) {
        self.clients[client].nth += 1;
        let nth = self.clients[client].nth;
        let running: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].process.is_some()).collect();
        if running.is_empty() {
            return self.after(NOBODY_THERE_MS, Event::Again(client, nth));
        }
        self.after(PATIENCE_MS, Event::Impatient(client, nth));
        let front = self.random.below(running.len() as u64) as usize;
        let through = self.run_of(running[front]);
        let Some(op) = &mut self.clients[client].op else { return };
        let (to, keyless) = (op.to.clone(), op.keyless);
        let mut asks = Vec::new();
        for (number, member) in op.members.iter_mut().enumerate().filter(|(_, member)| member.stage == Stage::ToRepeat)
        {
            member.stage = Stage::Asked;
            asks.push((number, member.id, member.command.clone()));
        }
        let mut ms = 0;
        for (member, id, command) in asks {
            let idempotency_key = (!keyless).then(|| format!("op-{id}"));
            let asker = Asker::Client { client, nth, member };
            self.after(ms, Event::Ask { through, to: to.clone(), command, idempotency_key, asker });
            // Long enough for owners to change within a breath.
            ms += self.random.below(60);
        }
    }

    pub(super) fn impatient(&mut self, client: usize, nth: u64) {
        let Client { nth: latest, op: Some(op), .. } = &mut self.clients[client] else { return };
        if *latest != nth {
            return;
        }
        for member in op.members.iter_mut().filter(|member| member.stage == Stage::Asked) {
            (member.stage, member.disturbed) = (if op.keyless { Stage::Over } else { Stage::ToRepeat }, true);
        }
        self.go_on(client);
    }

    pub(super) fn client_answered(&mut self, client: usize, nth: u64, member: usize, answer: Answer) {
        let Client { nth: latest, op: Some(op), .. } = &mut self.clients[client] else { return };
        if *latest != nth || op.members[member].stage != Stage::Asked {
            return;
        }
        let (to, asked_ms, keyless) = (op.to.clone(), op.asked_ms, op.keyless);
        let member = &mut op.members[member];
        match answer {
            Answer::Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Reply::Look { applied, .. }) => {
                    member.stage = Stage::Over;
                    if let Some(missing) = op.known.iter().find(|known| !applied.contains(known)) {
                        self.failures
                            .push(format!("a query at {asked_ms} does not show acknowledged {missing} of {to}"));
                    }
                    self.check_shown(&to, &applied);
                }
                Ok(Reply::Done { .. }) => {
                    member.stage = Stage::Acknowledged;
                    let id = member.id;
                    self.acked.entry(to.clone()).or_default().push(id);
                    self.clients[client].acked.push((to, id));
                }
                Err(error) => self.failures.push(format!("a reply does not decode: {error}")),
            },
            Answer::Rejected(_) | Answer::HandlerFailed => {
                member.stage = Stage::Over;
                if !matches!(member.command, Command::Refuse | Command::Poison) {
                    self.failures.push(format!("{:?} was refused", member.command));
                }
            }
            Answer::Unknown if keyless => member.stage = Stage::Over,
            Answer::NotOwner { .. }
            | Answer::Moving { .. }
            | Answer::Busy { .. }
            | Answer::Unknown
            | Answer::Expired
            | Answer::Unavailable { .. } => (member.stage, member.disturbed) = (Stage::ToRepeat, true),
            Answer::Erased | Answer::Malformed { .. } => self.failures.push(format!("answered {answer:?}")),
        }
        self.go_on(client);
    }

    /// What comes next once all commands of a breath have some answer.
    fn go_on(&mut self, client: usize) {
        let Some(op) = &self.clients[client].op else { return };
        if op.members.iter().any(|member| member.stage == Stage::Asked) {
            return;
        }
        if op.members.iter().any(|member| member.stage == Stage::ToRepeat) {
            let ms = 50 + self.random.below(500);
            let nth = self.clients[client].nth;
            return self.after(ms, Event::Again(client, nth));
        }
        let smooth = op.members.iter().filter(|member| member.stage == Stage::Acknowledged && !member.disturbed);
        let burst: Vec<u64> = smooth.map(|member| member.id).collect();
        // One that had to be asked again may have been let in between the others, but those that were not keep their order.
        self.bursts.push((op.to.clone(), burst));
        self.clients[client].op = None;
        self.clients[client].done += 1;
        let ms = self.random.below(4_000);
        self.after(ms, Event::Client(client));
    }
}
