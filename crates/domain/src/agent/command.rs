//! What may be asked of an agent, what can happen to it, and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    config::AgentConfig,
    view::{AgentView, PublicView, VersionView},
};
use crate::{catalog::template::SampleFaq, ids::AgentId, vocabulary::AgentStatus};

/// What may be asked of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Makes it, after room was reserved at the organization. Repeating it succeeds.
    Create {
        /// Its id.
        agent: AgentId,
        /// Its configuration, from a template or another agent.
        config: Box<AgentConfig>,
        /// The template's questions and answers, for its knowledge.
        #[serde(default)]
        faqs: Vec<SampleFaq>,
        /// Whether it stays a draft.
        #[serde(default)]
        draft: bool,
        /// Its publishable key.
        publishable_key: String,
        /// The most pages its knowledge may have; none without limit.
        #[serde(default)]
        max_pages: Option<u32>,
    },
    /// Changes it by a JSON merge patch over its configuration; `status` among the fields is a change of status.
    Update {
        /// The patch.
        patch: Value,
        /// The version it was made from; refused as stale if another is current.
        #[serde(default)]
        if_version: Option<u32>,
    },
    /// Makes an older version's configuration the newest.
    Restore {
        /// Which.
        version: u32,
    },
    /// Its owner wants it to be active, paused or a draft.
    SetStatus {
        /// Which.
        status: AgentStatus,
    },
    /// A newer index of its knowledge answers.
    IndexReady {
        /// Which.
        index_version: u64,
        /// Whether every source it began with is in it, or was tried in vain.
        settled: bool,
    },
    /// A source could not be read; matters only while it waits for its first index.
    IndexFailed {
        /// Why.
        reason: String,
    },
    /// Adds to its counters.
    Count(Totals),
    /// Deletes it.
    Delete,
    /// All of it (query).
    View,
    /// What a visitor's browser may know (query).
    Public,
    /// The configuration a turn uses (query).
    Config {
        /// Which version; the current without one.
        #[serde(default)]
        version: Option<u32>,
    },
    /// Saved configurations, the newest first (query).
    Versions,
    /// A configuration for a duplicate (query).
    Export,
}

/// Counts of an agent (AGT-15); signed, so that a correction can be told too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Conversations.
    pub conversations: i64,
    /// Messages.
    pub messages: i64,
    /// Calls.
    pub calls: i64,
    /// Ratings of 1 to 5, added up.
    pub rating_sum: i64,
    /// How many ratings.
    pub ratings: i64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.conversations, other.conversations),
            (&mut self.messages, other.messages),
            (&mut self.calls, other.calls),
            (&mut self.rating_sum, other.rating_sum),
            (&mut self.ratings, other.ratings),
        ] {
            *own = own.saturating_add(more);
        }
    }
}

/// What happened to an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It was made.
    Created {
        /// Its id.
        agent: AgentId,
        /// The organization it belongs to.
        tenant: crate::ids::TenantId,
        /// Its configuration.
        config: Box<AgentConfig>,
        /// Questions and answers its knowledge begins with.
        faqs: Vec<SampleFaq>,
        /// Where it begins.
        status: AgentStatus,
        /// Its publishable key.
        publishable_key: String,
        /// The most pages its knowledge may have.
        max_pages: Option<u32>,
        /// Who made it; none for a program.
        by: Option<String>,
    },
    /// A configuration was saved as the newest version.
    Saved {
        /// Its number.
        version: u32,
        /// It.
        config: Box<AgentConfig>,
        /// The older version it was taken from; none for a change.
        restored: Option<u32>,
        /// Who saved it; none for a program.
        by: Option<String>,
    },
    /// The status changed.
    StatusSet {
        /// To which.
        status: AgentStatus,
        /// Why, for errors.
        reason: Option<String>,
    },
    /// An index answers.
    IndexReady {
        /// Which.
        index_version: u64,
        /// Whether nothing is waited for any more.
        settled: bool,
    },
    /// What it waited for could not be read.
    IndexFailed {
        /// Why.
        reason: String,
    },
    /// Counters rose.
    Counted(Totals),
    /// It was deleted.
    Deleted,
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// Made; `fresh` is false if it had happened before.
    Created {
        /// Whether this call did it.
        fresh: bool,
        /// It.
        agent: Box<AgentView>,
    },
    /// All of it.
    Agent(Box<AgentView>),
    /// What a visitor's browser may know, without variables filled.
    Public(Box<PublicView>),
    /// A configuration, without variables filled.
    Config {
        /// Its version.
        version: u32,
        /// The status now.
        status: AgentStatus,
        /// It.
        config: Box<AgentConfig>,
    },
    /// Saved configurations.
    Versions {
        /// Them.
        items: Vec<VersionView>,
    },
}
