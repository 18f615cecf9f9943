//! What an organization may use. Until billing exists a plan is unlimited or the trial (C2).

use serde::{Deserialize, Serialize};

/// A plan with its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Such as `unlimited` or `trial`.
    pub id: String,
    /// What it allows.
    pub limits: Limits,
}

/// Limits; none means without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Answered chat messages in a calendar month.
    pub monthly_chats: Option<u64>,
    /// Minutes of calls in a calendar month.
    pub monthly_voice_minutes: Option<u64>,
    /// Agents at once.
    pub max_agents: Option<u32>,
    /// Pages of knowledge of one agent.
    pub max_pages: Option<u32>,
}

impl Plan {
    /// No limits but those that protect the machine.
    pub fn unlimited() -> Self {
        Self { id: "unlimited".to_owned(), limits: Limits::default() }
    }

    /// The trial (requirement C2): 1,000 chats, 0 minutes, 1 agent, 100 pages.
    pub fn trial() -> Self {
        Self {
            id: "trial".to_owned(),
            limits: Limits {
                monthly_chats: Some(1_000),
                monthly_voice_minutes: Some(0),
                max_agents: Some(1),
                max_pages: Some(100),
            },
        }
    }

    /// A plan by its name in the configuration; `None` if there is no such plan.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "unlimited" => Some(Self::unlimited()),
            "trial" => Some(Self::trial()),
            _ => None,
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::unlimited()
    }
}
