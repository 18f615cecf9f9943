//! What one may ask a slice, what it answers, what it writes down, and the work it has done outside.

use serde::{Deserialize, Serialize};

use super::{
    super::{
        settings::Voicemail,
        target::{Act, Disposition, Ending, Lease, Machine, NewTarget, Over, Talk, Why},
    },
    Orders, Slice,
};
use crate::{
    contact_guard::{DialKey, DialRequest, Placed, Verdict},
    ids::{AgentId, CampaignId, LeadId, TenantId},
    pacer::Health,
};

/// What one may ask it to do. All but the queries are Colloquy's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Targets of an import. The same import again changes nothing.
    Add {
        /// Of which campaign.
        campaign: CampaignId,
        /// The slice's number in it.
        index: u32,
        /// Which import.
        import: u32,
        /// The targets.
        targets: Vec<NewTarget>,
    },
    /// The campaign's orders.
    Order {
        /// Of which campaign.
        campaign: CampaignId,
        /// The slice's number in it.
        index: u32,
        /// The orders.
        orders: Box<Orders>,
    },
    /// The pacer has granted a permit.
    Grant {
        /// How many it has granted to this slice, this one included.
        nth: u64,
        /// The permit.
        lease: Lease,
    },
    /// The guard has answered.
    Authorized {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The answer.
        verdict: Verdict,
    },
    /// The permit's moment has come: may the call be made?
    Begin {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What a minute of it costs, millionths of a US dollar.
        #[serde(default)]
        minute_micros: i64,
    },
    /// What the provider said when the call was created.
    Dialed {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What it said.
        answer: DialAnswer,
    },
    /// The provider or the conversation tells something of a call.
    Heard {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What.
        report: Report,
    },
    /// The call was looked up at the provider.
    LookedUp {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What stands there; `None` if it is not there or could not be asked.
        found: Option<Report>,
    },
    /// The provider has done what it was asked, or the call was over.
    Acted {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What.
        act: Act,
    },
    /// The number was put on the do-not-contact list after this dial was permitted.
    Forbidden {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// A person's data is erased: calls that have not begun will not be.
    Erase {
        /// The targets that are this person.
        targets: Vec<u32>,
    },
    /// Its callees stand under another generation now.
    Rebook {
        /// Which.
        book: u32,
    },
    /// Query: what the agent must know of a call that was made.
    Brief {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// Query: the generation of its callees.
    Book,
    /// The timer.
    Tick,
    /// Query: the whole state.
    Get,
}

/// What a provider said when a call was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum DialAnswer {
    /// It took the call.
    Placed {
        /// Its name for it.
        call: String,
    },
    /// It surely did not.
    Refused {
        /// Why.
        why: Refused,
    },
    /// Nobody knows: the request ran into a time-out, or the answer made no sense.
    Unknown,
}

/// Why a provider surely did not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The number is none.
    InvalidNumber,
    /// Too many at once (429).
    TooFast,
    /// It does not work now (5xx), or cannot be reached.
    Down,
    /// It refuses this account or this number's country.
    NotAllowed,
}

/// What is told of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// It is queued or rings.
    Ringing {
        /// The provider's name of the call, where it tells that.
        call: Option<String>,
    },
    /// It was answered.
    Answered,
    /// A machine answered.
    Machine {
        /// What it does.
        machine: Machine,
    },
    /// A person answered and heard nothing within two seconds.
    Abandoned,
    /// What the conversation says of it.
    Talk {
        /// That.
        talk: Box<Talk>,
    },
    /// It is over.
    Ended {
        /// How.
        how: Ending,
        /// Seconds from the answer to the end.
        talk_s: u32,
        /// What it cost, millionths of a US dollar, where that is known already.
        cost_micros: Option<i64>,
    },
    /// What it cost, millionths of a US dollar.
    Cost {
        /// That.
        micros: i64,
    },
}

/// What becomes of a target after an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "snake_case")]
pub enum Next {
    /// It waits again.
    Wait {
        /// Not before, Unix milliseconds.
        at_ms: i64,
        /// Why.
        why: Why,
    },
    /// It is done.
    Done {
        /// How it ended.
        disposition: Disposition,
    },
}

/// An attempt's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Which target.
    pub target: u32,
    /// Which attempt.
    pub attempt: u32,
    /// How the call ended at the carrier, if there was one.
    pub over: Option<Over>,
    /// What it cost, where that is known already.
    pub cost_micros: Option<i64>,
    /// What the conversation told with it.
    pub talk: Option<Box<Talk>>,
    /// How it ended; absent if it was given up before the dial and nothing follows from it.
    pub result: Option<Disposition>,
    /// The provider surely never had it.
    pub never_left: bool,
    /// Whether it counts as refused by the provider.
    pub refused: bool,
    /// What becomes of the target.
    pub then: Next,
    /// The permit to give back, unless it was.
    pub lease: Option<u64>,
    /// What the account's breaker learns from it.
    pub health: Health,
    /// What the guard is told.
    pub settle: Option<Placed>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Targets came.
    Added {
        /// Of which campaign.
        campaign: CampaignId,
        /// The tenant.
        tenant: TenantId,
        /// The slice's number.
        index: u32,
        /// Which import.
        import: u32,
        /// The targets.
        targets: Vec<NewTarget>,
    },
    /// Orders came.
    Ordered {
        /// Of which campaign.
        campaign: CampaignId,
        /// The tenant.
        tenant: TenantId,
        /// The slice's number.
        index: u32,
        /// The orders.
        orders: Box<Orders>,
    },
    /// So many permits are wanted now.
    Wanted {
        /// How many.
        count: u32,
    },
    /// A permit came and nobody is to be called.
    Spared {
        /// Which.
        lease: u64,
    },
    /// A permit came and opened an attempt.
    Opened {
        /// Of which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The permit.
        lease: Lease,
        /// The settings it uses.
        settings_version: u64,
    },
    /// The guard has permitted it.
    Permitted {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The sequence number of that in the guard's journal.
        permit: u64,
        /// When it was given there, Unix milliseconds.
        permitted_ms: i64,
        /// The consent it rests on.
        consent: Option<u32>,
    },
    /// The guard has permitted what was given up meanwhile.
    Void {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// The call is made.
    Dialing {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What it may cost at most, millionths of a US dollar.
        #[serde(default)]
        worst_micros: i64,
    },
    /// The provider took it.
    Placed {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// Its name for it.
        call: String,
    },
    /// Something was told of it.
    Told {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What.
        report: Report,
        /// What the provider is asked to do about it.
        act: Option<Act>,
    },
    /// It is to be looked up.
    LookUp {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// It was looked up in vain.
    NotFound {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
    },
    /// The provider is asked to do something with it.
    Act {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What.
        act: Act,
    },
    /// The provider has done that.
    Acted {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// What.
        act: Act,
    },
    /// A person's call is over; how it went is still to be told.
    Hung {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// How it ended.
        over: Over,
        /// What it cost, where that is known already.
        cost_micros: Option<i64>,
        /// The permit to give back.
        lease: Option<u64>,
    },
    /// An attempt has ended.
    Ended(Box<End>),
    /// A target is done without a further call.
    Closed {
        /// Which target.
        target: u32,
        /// How it ended.
        disposition: Disposition,
    },
    /// What may be spent has no room for one more call, and no call goes on.
    Short {
        /// What one more may cost, millionths of a US dollar.
        need_micros: i64,
    },
    /// What a finished call cost.
    Costed {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// Millionths of a US dollar.
        micros: i64,
    },
    /// Permits of calls that go on are renewed.
    Renewed {
        /// Which.
        leases: Vec<u64>,
    },
    /// Its callees stand under another generation.
    Rebooked {
        /// Which.
        book: u32,
    },
    /// A person's data was erased.
    Erased {
        /// Which targets.
        targets: Vec<u32>,
    },
}

/// All that is needed to make a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// Names the call in callback addresses and metadata.
    pub dial: DialKey,
    /// The contact guard of whom; number and name stand in the callees.
    pub guard: String,
    /// From which number.
    pub from: String,
    /// The agent that speaks.
    pub agent_id: AgentId,
    /// With which voice.
    pub voice_id: Option<String>,
    /// What the call is for.
    pub objective: String,
    /// What is said.
    pub script: Option<String>,
    /// What is asked.
    pub questions: Vec<String>,
    /// What is done when a machine answers.
    pub voicemail: Voicemail,
    /// What a machine hears, where it is told something.
    #[serde(default)]
    pub voicemail_message: Option<String>,
    /// How long it rings, seconds.
    pub ring_seconds: u32,
    /// How long it may last, minutes.
    pub max_call_minutes: u32,
    /// The settings these are from.
    pub settings_version: u64,
}

/// What the agent must know of a call that was made, but for who is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallBrief {
    /// The agent that speaks.
    pub agent_id: AgentId,
    /// What the campaign is called.
    pub title: String,
    /// What the call is for.
    pub objective: String,
    /// What is said first.
    pub opening: Option<String>,
    /// What is said.
    pub script: Option<String>,
    /// What is asked.
    pub questions: Vec<String>,
    /// The time zones the number may be in.
    pub zones: Vec<String>,
    /// The lead it was selected from.
    pub lead_id: Option<LeadId>,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The call may be made, now, and by nobody else.
    Dial(Box<Dial>),
    /// It may not be made any more.
    DoNotDial,
    /// What the agent must know of a call that was made.
    Brief(Box<CallBrief>),
    /// The generation of its callees.
    Book {
        /// Which.
        book: u32,
    },
    /// The whole state.
    State(Box<Slice>),
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: ask the guard of this number and tell [`Command::Authorized`].
    Authorize {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The guard.
        guard: String,
        /// The question, but for what people are shown of the number.
        request: Box<DialRequest>,
    },
    /// Once only: wait for the moment, ask [`Command::Begin`], and create the call if the reply is [`Reply::Dial`].
    Dial {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The moment, Unix milliseconds.
        not_before_ms: i64,
        /// The agent that will speak.
        agent_id: AgentId,
    },
    /// Repeatable: look the call up at the provider, by its name there or by the dial's key, and tell [`Command::LookedUp`].
    LookUp {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The dial.
        dial: DialKey,
        /// The number that called.
        from: String,
        /// When it was dialled, Unix milliseconds.
        dialed_ms: i64,
        /// Its name at the provider, if that is known.
        call: Option<String>,
    },
    /// Repeatable: have the provider do something with the call and tell [`Command::Acted`].
    Act {
        /// Which target.
        target: u32,
        /// Which attempt.
        attempt: u32,
        /// The dial.
        dial: DialKey,
        /// The number that called.
        from: String,
        /// When it was dialled, Unix milliseconds.
        dialed_ms: i64,
        /// Its name at the provider, if that is known.
        call: Option<String>,
        /// What.
        act: Act,
        /// What is spoken to a machine.
        message: Option<String>,
    },
}
