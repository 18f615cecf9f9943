//! The lead entity: somebody who wants something from the business, captured from a conversation or form, scored, routed and worked on.

mod decide;
pub mod follow_up;
mod routing;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use decide::{apply, decide};
pub use routing::{Assignment, Candidate, Teams, choose};
pub use view::{CSV_COLUMNS, LeadView, csv_row, numbers, view};

use crate::{
    catalog::scoring::{Evidence, Reason, Score},
    decision,
    ids::{AgentId, ConversationId, LeadId, TenantId, UserId, VisitorId},
    vocabulary::{Channel, LeadIntent, LeadStatus, Urgency},
};

/// The entity's kind in keys.
pub const KIND: &str = "lead";

/// Characters of a lead's notes.
pub const NOTES_CHARS_MAX: usize = 10_000;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// All that its source knows of a lead. The newest one replaces what earlier ones said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// The agent.
    pub agent_id: AgentId,
    /// The conversation it comes from.
    pub conversation_id: Option<ConversationId>,
    /// The visitor.
    pub visitor_id: VisitorId,
    /// How it came (LEAD-16).
    pub channel: Channel,
    /// The page it came from.
    pub source_page: Option<String>,
    /// Where the visitor came from.
    pub referrer: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Every captured value by field.
    pub fields: BTreeMap<String, String>,
    /// What the visitor is after.
    pub intent: Option<LeadIntent>,
    /// How pressing it is.
    pub urgency: Urgency,
    /// What bears on the score.
    pub evidence: Evidence,
    /// The agent's configuration that the routing rules are taken from.
    pub config_version: u64,
    /// It is somebody whom a campaign called: thousands of these in an hour are shown on its board, and are no news one by one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called: bool,
}

/// The folded state. One that was never captured has an empty id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its id.
    pub id: LeadId,
    /// The tenant.
    pub tenant: TenantId,
    /// What its source told last.
    pub capture: Option<Capture>,
    /// What they answered to a campaign's questions when they were called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// Values that people set; they stand above what the source tells.
    pub edited: BTreeMap<String, String>,
    /// Where it stands.
    pub status: LeadStatus,
    /// What people noted.
    pub notes: String,
    /// 0 to 100.
    pub score: i32,
    /// They add up to the score.
    pub score_reasons: Vec<Reason>,
    /// Who it was given to by a rule.
    pub assignment: Option<Assignment>,
    /// Who works on it.
    pub assigned_to: Option<UserId>,
    /// A person has decided who works on it; rules no longer do.
    pub assigned_by_person: bool,
    /// The number of the routing that is wanted; 0: none yet.
    pub routing_wanted: u32,
    /// The number of the routing that was done.
    pub routing_done: u32,
    /// Whether somebody got back to them.
    pub followed_up: bool,
    /// When.
    pub followed_up_at_ms: Option<i64>,
    /// Letters to them, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<follow_up::FollowUp>,
    /// When it was captured.
    pub created_at_ms: i64,
    /// When it last changed.
    pub updated_at_ms: i64,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            id: LeadId::default(),
            tenant: TenantId::default(),
            capture: None,
            answers: BTreeMap::new(),
            edited: BTreeMap::new(),
            status: LeadStatus::New,
            notes: String::new(),
            score: 0,
            score_reasons: Vec::new(),
            assignment: None,
            assigned_to: None,
            assigned_by_person: false,
            routing_wanted: 0,
            routing_done: 0,
            followed_up: false,
            followed_up_at_ms: None,
            follow_ups: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            seq: 0,
        }
    }
}

impl State {
    /// Whether it was captured.
    pub fn exists(&self) -> bool {
        !self.id.0.is_empty()
    }

    /// All values: what the source told, what was answered in calls, under what people set.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut fields = self.capture.as_ref().map(|capture| capture.fields.clone()).unwrap_or_default();
        fields.extend(self.answers.clone());
        fields.extend(self.edited.clone());
        fields
    }
}

/// A change by a person; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Update {
    /// The new status.
    pub status: Option<LeadStatus>,
    /// The new notes.
    pub notes: Option<String>,
    /// Who works on it; an empty id is nobody.
    pub assigned_to: Option<UserId>,
    /// Whether somebody got back to them.
    pub followed_up: Option<bool>,
    /// Values by field; an empty one removes what a person set before.
    pub fields: BTreeMap<String, String>,
}

/// What one may ask it to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Its source tells all it knows.
    Capture {
        /// The lead's id.
        id: LeadId,
        /// All that is known.
        capture: Box<Capture>,
    },
    /// Somebody was called and answered a campaign's questions.
    Qualify {
        /// Answers by field.
        answers: BTreeMap<String, String>,
    },
    /// A person changes it.
    Update(Box<Update>),
    /// A person writes to them by mail.
    FollowUp {
        /// Subject line.
        subject: String,
        /// Plain text.
        content: String,
    },
    /// What became of a letter.
    FollowUpDone {
        /// Which.
        id: String,
        /// Why it was not sent.
        error: Option<String>,
    },
    /// The routing rules were asked.
    Routed {
        /// Which routing this answers.
        routing: u32,
        /// What they say.
        assignment: Assignment,
    },
    /// Query: the whole state.
    Get,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was captured.
    Captured {
        /// Its id.
        id: LeadId,
        /// The tenant.
        tenant: TenantId,
        /// All that is known.
        capture: Box<Capture>,
        /// Its score.
        score: Score,
        /// The routing it wants.
        routing: u32,
    },
    /// Its source knows more.
    Learned {
        /// All that is known.
        capture: Box<Capture>,
        /// Its score.
        score: Score,
        /// The routing it wants; the same as before if none.
        routing: u32,
    },
    /// Somebody was called and answered a campaign's questions.
    Qualified {
        /// Answers by field.
        answers: BTreeMap<String, String>,
        /// The routing it wants; the same as before if none.
        routing: u32,
    },
    /// A person changed it.
    Updated {
        /// What.
        update: Box<Update>,
        /// Who.
        by: String,
    },
    /// A person wrote to them.
    FollowUpQueued {
        /// What.
        follow_up: Box<follow_up::FollowUp>,
    },
    /// What became of a letter.
    FollowUpDone {
        /// Which.
        id: String,
        /// Why it was not sent.
        error: Option<String>,
    },
    /// The rules gave it to somebody.
    Routed {
        /// Which routing this answers.
        routing: u32,
        /// To whom and why.
        assignment: Assignment,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// A letter is queued.
    FollowUp {
        /// Which.
        id: String,
    },
    /// The whole state.
    State(Box<State>),
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: ask the routing rules ([`choose`]) with the agent's configuration and the tenant's members.
    Route {
        /// The number that the result must carry.
        routing: u32,
        /// Whose rules.
        agent_id: AgentId,
        /// Which version of them.
        config_version: u64,
    },
    /// Keyed: send a letter. Its result comes back as [`Command::FollowUpDone`].
    Mail {
        /// Which.
        follow_up: Box<follow_up::FollowUp>,
    },
}

/// What is still to be done, from state alone.
pub fn pending(state: &State) -> Vec<(String, u32, Effect)> {
    let mut pending: Vec<_> = follow_up::pending(state).collect();
    match &state.capture {
        Some(capture) if state.routing_wanted > state.routing_done && !state.assigned_by_person => {
            let effect = Effect::Route {
                routing: state.routing_wanted,
                agent_id: capture.agent_id.clone(),
                config_version: capture.config_version,
            };
            pending.push(("route".to_owned(), state.routing_wanted, effect));
        }
        Some(_) | None => {}
    }
    pending
}

/// Names of fields that say how to reach somebody, besides the trade's own.
pub(crate) fn contact_fields() -> BTreeSet<&'static str> {
    BTreeSet::from(["name", "email", "phone"])
}
