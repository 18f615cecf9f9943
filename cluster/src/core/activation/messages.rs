//! What an activation is told and what it says: inputs, outputs, and the values in them.

use bytes::Bytes;
use colloquy_store::journal::{Append, Claim, Claimed, Record, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, StoreError};

use crate::entity::{EffectId, Entity, Message};
use crate::frame::{Answer, Source};

/// The outputs of an entity kind's activation.
pub type Outputs<E> = Vec<Output<<E as Entity>::Effect>>;

/// The host's number for who waits for an answer.
pub type Ticket = u64;

/// A command as it reaches the entity.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who waits for the answer.
    pub ticket: Ticket,
    /// JSON of the kind's `Command`.
    pub bytes: Bytes,
    /// A repeated key gets the first reply.
    pub idempotency_key: Option<String>,
    /// Where it comes from, if from an outbox.
    pub source: Option<Source>,
    /// Not begun by then, it is answered [`Answer::Expired`]. Unix milliseconds.
    pub deadline_ms: i64,
    /// Answer only after the rows that follow are written.
    pub after_rows: bool,
}

/// What an activation reads.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The newest snapshot.
    pub snapshot: Option<Snapshot>,
    /// Records after the snapshot, and from `also_after` on when that is earlier; in the clear.
    pub records: Vec<Record>,
    /// Effects of this entity whose tasks run on this node.
    pub running: Vec<(EffectId, u32)>,
}

/// What became of an outbox message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it, or refused it for good.
    Settled,
    /// Nobody knows, or the receiver cannot take it now.
    Retry,
}

/// What happens to an activation.
#[derive(Clone, Debug)]
pub enum Input {
    /// A command arrived.
    Command(Command),
    /// The answer to [`Output::Claim`].
    Claimed(Result<Claimed, StoreError>),
    /// The other answer to [`Output::Claim`]: the entity has no journal, and nothing was claimed.
    NothingThere,
    /// The answer to [`Output::Load`].
    Loaded(Result<Loaded, StoreError>),
    /// The answer to [`Output::Append`].
    Appended(Result<(), StoreError>),
    /// The answer to [`Output::WriteRows`].
    RowsWritten(Result<(), StoreError>),
    /// The answer to [`Output::SaveSnapshot`].
    SnapshotSaved(Result<(), StoreError>),
    /// The answer to [`Output::PutWake`] and [`Output::RemoveWake`].
    WakeStored(Result<(), StoreError>),
    /// The answer to [`Output::Deliver`].
    Delivered {
        /// The message's position.
        pos: u64,
        /// What became of it.
        delivery: Delivery,
    },
    /// An alarm came due, or somebody only wants the activation to exist.
    Tick,
    /// These attempts ran on another node, and it is dead.
    EffectsLost(Vec<(EffectId, u32)>),
    /// Leave memory if there is nothing to do.
    Passivate,
    /// Finish what is in flight, take nothing new, leave memory.
    Drain,
    /// The entity's data key is gone: answer nothing any more, leave memory.
    Erase,
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// State is in memory.
    Activated,
    /// A timer fired.
    TimerFired,
    /// Effects without a task were found.
    Recovered,
    /// The entity's own code panicked.
    Panicked,
    /// Another activation holds the claim.
    Fenced,
    /// A batch of this many commands was appended.
    Batch(usize),
    /// Stored data could not be folded.
    Unreadable,
    /// A newer version wrote it, so it cannot be served here.
    Newer,
    /// The store refused rows for good: the entity's projection makes values no store takes.
    RowsRefused,
}

/// Why an activation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Nothing to do, or asked to leave; commands are welcome again elsewhere.
    Retired,
    /// Being drained: its node or shard takes nothing new.
    Drained,
    /// Somebody else owns the entity.
    Fenced,
    /// Its personal data was erased.
    Erased,
}

/// What the host must do for an activation.
#[derive(Clone, Debug)]
pub enum Output<F> {
    /// Take the journal's claim under the activation's epoch.
    Claim {
        /// Also if the entity has no journal. Else a claim would leave a row for each id that anybody asks for; until its first event it needs none,
        /// because there is nothing another activation could have told about it.
        even_if_new: bool,
    },
    /// Read snapshot and records.
    Load {
        /// Read records after this one even where the snapshot covers them.
        also_after: Option<u64>,
    },
    /// Append under the claim.
    Append {
        /// The claim held.
        claim: Claim,
        /// The journal's expected end.
        expected_seq: u64,
        /// The events (in the clear) and the wake row that must not be later than them.
        append: Append,
    },
    /// Answer a command.
    Reply {
        /// Who waits.
        ticket: Ticket,
        /// The answer.
        answer: Answer,
    },
    /// Write list rows.
    WriteRows(Vec<Row>),
    /// A best-effort note to a resident.
    Tell(Message),
    /// Deliver an outbox message.
    Deliver {
        /// Its position.
        pos: u64,
        /// The message.
        message: Message,
    },
    /// Run an effect in a task of its own, unless that attempt already runs.
    StartEffect {
        /// Its name.
        id: EffectId,
        /// Its attempt.
        attempt: u32,
        /// What to do.
        effect: F,
    },
    /// Cancel an attempt's task.
    CancelEffect {
        /// Its name.
        id: EffectId,
        /// Its attempt.
        attempt: u32,
    },
    /// Send [`Input::Tick`] at this time; an earlier alarm replaces a later one.
    Alarm {
        /// When, Unix milliseconds.
        at_ms: i64,
    },
    /// Write the wake row.
    PutWake(Wake),
    /// Remove the wake row.
    RemoveWake,
    /// Keep a snapshot (in the clear).
    SaveSnapshot(Snapshot),
    /// Push to watchers.
    Watched {
        /// The event's sequence number.
        seq: u64,
        /// What they get.
        bytes: Bytes,
    },
    /// Count something.
    Note(Note),
    /// Leave memory now, unless a command is already on its way here.
    Retire {
        /// Why.
        gone: Gone,
        /// What is known of its wake row, for the next activation.
        wake_row: WakeRow,
    },
}

/// What is known of the entity's row in the wake list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeRow {
    /// There is none.
    Absent,
    /// There is one, due then.
    At(i64),
    /// There may be one.
    Unsure,
}

/// Defects put in on purpose, so that the simulation can prove that it finds them. Production runs [`Mutation::None`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutation {
    /// The real thing.
    #[default]
    None,
    /// Answers before the append is acknowledged.
    AckBeforeAppend,
    /// Decides a repeated command again.
    SkipIdempotency,
    /// Takes an outbox message as often as it comes.
    ForgetSources,
    /// Answers queries while an append is in flight.
    EarlyQueries,
    /// Believes a failed append with unknown outcome did not happen.
    SkipLookup,
}

/// What an activation is started with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The entity.
    pub key: EntityKey,
    /// Its shard.
    pub shard: u32,
    /// The epoch this node owns the shard under.
    pub epoch: u64,
    /// Randomness for ids and append ids; differs with each activation.
    pub seed: [u8; 32],
    /// What is known of the wake row.
    pub wake_row: WakeRow,
    /// A defect to show that tests find it.
    #[doc(hidden)]
    pub mutation: Mutation,
}

impl<F> Output<F> {
    /// The same output with its effect turned into something else.
    pub fn map_effect<G>(self, map: impl FnOnce(F) -> G) -> Output<G> {
        match self {
            Self::StartEffect { id, attempt, effect } => Output::StartEffect { id, attempt, effect: map(effect) },
            Self::Claim { even_if_new } => Output::Claim { even_if_new },
            Self::Load { also_after } => Output::Load { also_after },
            Self::Append { claim, expected_seq, append } => Output::Append { claim, expected_seq, append },
            Self::Reply { ticket, answer } => Output::Reply { ticket, answer },
            Self::WriteRows(rows) => Output::WriteRows(rows),
            Self::Tell(message) => Output::Tell(message),
            Self::Deliver { pos, message } => Output::Deliver { pos, message },
            Self::CancelEffect { id, attempt } => Output::CancelEffect { id, attempt },
            Self::Alarm { at_ms } => Output::Alarm { at_ms },
            Self::PutWake(wake) => Output::PutWake(wake),
            Self::RemoveWake => Output::RemoveWake,
            Self::SaveSnapshot(snapshot) => Output::SaveSnapshot(snapshot),
            Self::Watched { seq, bytes } => Output::Watched { seq, bytes },
            Self::Note(note) => Output::Note(note),
            Self::Retire { gone, wake_row } => Output::Retire { gone, wake_row },
        }
    }
}
