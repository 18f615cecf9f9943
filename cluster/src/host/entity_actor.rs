//! The ractor actor of one entity: feeds its machine and carries out what the machine says. It never awaits the store; tasks do and report back.

use std::sync::Arc;

use colloquy_store::EntityKey;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::NodeInner;
use super::admission::Permit;
use super::registry::{EffectJob, Kind, Machine};
use super::transport::ReplyTo;
use super::watch::Watch;
use crate::client::{Ask, Client};
use crate::core::activation::{Command, Delivery, Gone, Input, Note, Output, Start, Ticket};
use crate::frame::{Answer, Frame, Source};
use crate::telemetry;
use crate::trace::Trace;

/// How long one delivery of an outbox message may take, milliseconds; then it is tried again.
const DELIVERY_MS: u64 = 10_000;

/// What an entity's actor is sent.
pub(crate) enum EntityMsg {
    /// A command from outside.
    Command { frame: Box<Frame>, reply: ReplyTo, permit: Permit },
    /// Anything else that happens to the machine.
    Input(Input),
}

impl ractor::Message for EntityMsg {}

/// What an entity's actor is spawned with.
pub(super) struct EntityArgs {
    pub(super) node: Arc<NodeInner>,
    pub(super) kind: Arc<dyn Kind>,
    pub(super) start: Start,
}

/// The actor's code; what it knows is in [`EntityState`].
pub(super) struct EntityActor;

pub(super) struct EntityState {
    node: Arc<NodeInner>,
    kind: Arc<dyn Kind>,
    key: EntityKey,
    shard: u32,
    epoch: u64,
    machine: Box<dyn Machine>,
    waiting: Vec<(Ticket, ReplyTo, Permit)>,
    next_ticket: Ticket,
}

impl Actor for EntityActor {
    type Msg = EntityMsg;
    type State = EntityState;
    type Arguments = EntityArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<EntityMsg>,
        args: EntityArgs,
    ) -> Result<EntityState, ActorProcessingErr> {
        let EntityArgs { node, kind, start } = args;
        let (key, shard, epoch) = (start.key.clone(), start.shard, start.epoch);
        let machine = kind.activation(start);
        metrics::gauge!(telemetry::RESIDENT, "kind" => kind.name()).increment(1);
        node.admission().resident(shard).increment(1);
        Ok(EntityState { node, kind, key, shard, epoch, machine, waiting: Vec::new(), next_ticket: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<EntityMsg>,
        message: EntityMsg,
        state: &mut EntityState,
    ) -> Result<(), ActorProcessingErr> {
        let (input, span) = match message {
            EntityMsg::Input(input) => (input, tracing::Span::none()),
            EntityMsg::Command { frame, reply, permit } => {
                let trace = frame.trace.as_deref().and_then(Trace::parse);
                let trace = trace.as_ref().map(Trace::id);
                let span = tracing::debug_span!("command", kind = state.kind.name(), id = %state.key.id, trace);
                (state.admit(*frame, reply, permit), span)
            }
        };
        let _entered = span.enter();
        let outputs = state.machine.on(state.node.now_ms(), input);
        for output in outputs {
            state.carry_out(&myself, output);
        }
        Ok(())
    }
}

impl Drop for EntityState {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::RESIDENT, "kind" => self.kind.name()).decrement(1);
        self.node.admission().resident(self.shard).decrement(1);
    }
}

impl EntityState {
    fn admit(&mut self, frame: Frame, reply: ReplyTo, permit: Permit) -> Input {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.waiting.push((ticket, reply, permit));
        Input::Command(Command {
            ticket,
            bytes: frame.bytes,
            idempotency_key: frame.idempotency_key,
            source: frame.source,
            deadline_ms: frame.deadline_ms,
            after_rows: frame.after_rows,
        })
    }

    fn carry_out(&mut self, myself: &ActorRef<EntityMsg>, output: Output<EffectJob>) {
        let kind = self.kind.name();
        let personal = self.kind.is_personal();
        let (node, key) = (self.node.clone(), self.key.clone());
        match output {
            Output::Claim { even_if_new } => {
                let epoch = self.epoch;
                report(myself, async move {
                    match node.store_claim(&key, epoch, even_if_new).await {
                        Ok(Some(claimed)) => Input::Claimed(Ok(claimed)),
                        Ok(None) => Input::NothingThere,
                        Err(error) => Input::Claimed(Err(error)),
                    }
                });
            }
            Output::Load { also_after } => {
                report(myself, async move { Input::Loaded(node.store_load(&key, personal, also_after).await) });
            }
            Output::Append { claim, expected_seq, append } => report(myself, async move {
                Input::Appended(node.store_append(&key, kind, personal, claim, expected_seq, append).await)
            }),
            Output::Reply { ticket, answer } => self.reply(ticket, answer),
            Output::WriteRows(rows) => {
                let kind = self.kind.clone();
                let seals = move |list: &str| personal && kind.seals(list);
                report(myself, async move { Input::RowsWritten(node.store_rows(&key, personal, seals, rows).await) });
            }
            Output::SaveSnapshot(snapshot) => {
                report(myself, async move { Input::SnapshotSaved(node.store_snapshot(&key, personal, snapshot).await) })
            }
            Output::PutWake(wake) => {
                report(myself, async move { Input::WakeStored(node.store_wake(&wake).await) });
            }
            Output::RemoveWake => {
                let (shard, epoch) = (self.shard, self.epoch);
                report(myself, async move { Input::WakeStored(node.store_no_wake(shard, &key, epoch).await) });
            }
            Output::Tell(message) => self.node.tell(message),
            Output::Deliver { pos, message } => report(myself, async move {
                let source = Source { entity: key, pos };
                let ask = Ask::default().within_ms(DELIVERY_MS);
                let answer = Client::new(node).send(&message.to, message.command, ask, Some(source)).await;
                Input::Delivered { pos, delivery: delivery(&message.to, &answer) }
            }),
            Output::StartEffect { id, attempt, effect } => {
                self.node.effects().start(&self.node, kind, &self.key, id, attempt, effect);
            }
            Output::CancelEffect { id, attempt } => {
                if let Some(runs_on) = self.node.effects().cancel(&self.key, &id, attempt) {
                    self.node.tell_cancelled(&runs_on, &self.key, &id, attempt);
                }
            }
            Output::Alarm { at_ms } => self.node.timers().arm(self.shard, &self.key, at_ms),
            Output::Watched { seq, bytes } => self.node.hub().publish(&self.key, Watch::Event { seq, bytes }),
            Output::Note(note) => self.note(note),
            Output::Retire { gone, wake_row } => {
                match gone {
                    Gone::Retired => {
                        self.node.timers().leave_wake(self.shard, &self.key, wake_row, self.node.now_ms());
                    }
                    // The rows are for whoever owns the entity next; an erased one has none.
                    Gone::Drained | Gone::Fenced | Gone::Erased => {}
                }
                if self.node.directory().leave(&self.key, myself.get_id()) {
                    self.node.timers().left(self.shard, &self.key);
                    myself.stop(None);
                } else {
                    // A command crossed with our leaving; the machine takes it and will ask to leave again.
                    self.node.timers().take_wake(self.shard, &self.key);
                }
            }
        }
    }

    fn reply(&mut self, ticket: Ticket, answer: Answer) {
        let Some(at) = self.waiting.iter().position(|(known, _, _)| *known == ticket) else {
            return;
        };
        // Answers come in order, so the one looked for is the first and removing it costs little.
        let (_, reply, permit) = self.waiting.remove(at);
        // Past the lease somebody else may have changed what we say.
        let answer = match answer {
            Answer::Ok(_) if !self.node.holds_lease() => Answer::Unknown,
            answer => answer,
        };
        metrics::counter!(telemetry::ANSWERS, "kind" => self.kind.name(), "outcome" => answer.label()).increment(1);
        drop(permit);
        reply.send(answer);
    }

    fn note(&self, note: Note) {
        let kind = self.kind.name();
        match note {
            Note::Activated => metrics::counter!(telemetry::ACTIVATIONS, "kind" => kind).increment(1),
            Note::TimerFired => metrics::counter!(telemetry::TIMERS, "kind" => kind).increment(1),
            Note::Recovered => metrics::counter!(telemetry::RECOVERIES, "kind" => kind).increment(1),
            Note::Batch(commands) => {
                // A batch is at most 64 commands, far below where a float loses count.
                let commands = u32::try_from(commands).unwrap_or(u32::MAX);
                metrics::histogram!(telemetry::BATCH_COMMANDS, "kind" => kind).record(f64::from(commands));
            }
            Note::Panicked => {
                metrics::counter!(telemetry::PANICS, "kind" => kind).increment(1);
                tracing::error!(entity = %self.key, "the entity's code panicked; it is loaded again");
            }
            Note::Fenced => {
                metrics::counter!(telemetry::FENCED, "kind" => kind).increment(1);
                tracing::warn!(entity = %self.key, epoch = self.epoch, "another activation holds the claim");
            }
            Note::RowsRefused => {
                metrics::counter!(telemetry::ROWS_REFUSED, "kind" => kind).increment(1);
                tracing::error!(entity = %self.key, "the store refuses the entity's rows for good");
            }
            Note::Newer => {
                metrics::counter!(telemetry::NEWER, "kind" => kind).increment(1);
                tracing::warn!(entity = %self.key, "a newer version wrote the entity's journal; it is served where that version runs");
            }
            Note::Unreadable => {
                metrics::counter!(telemetry::UNREADABLE, "kind" => kind).increment(1);
                tracing::error!(entity = %self.key, "stored data of the entity cannot be folded");
            }
        }
    }
}

/// Runs store work in a task and sends its result to the actor; a dead actor no longer needs it.
fn report(myself: &ActorRef<EntityMsg>, work: impl Future<Output = Input> + Send + 'static) {
    let myself = myself.clone();
    tokio::spawn(async move {
        drop(myself.send_message(EntityMsg::Input(work.await)));
    });
}

fn delivery(to: &EntityKey, answer: &Answer) -> Delivery {
    match answer {
        Answer::Ok(_) | Answer::Rejected(_) | Answer::Erased => Delivery::Settled,
        Answer::Malformed { detail } => {
            tracing::error!(%to, detail, "an outbox message cannot be understood by its receiver and is dropped");
            Delivery::Settled
        }
        Answer::NotOwner { .. }
        | Answer::Moving { .. }
        | Answer::Busy { .. }
        | Answer::Unknown
        | Answer::Expired
        | Answer::HandlerFailed
        | Answer::Unavailable { .. } => Delivery::Retry,
    }
}
