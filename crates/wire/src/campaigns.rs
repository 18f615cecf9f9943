//! Bodies about campaigns and calls that are ordered. A campaign's own fields stand in the contract's description: they are checked where they are decided.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/voice/calls`.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts", optional_fields)]
pub struct NewCall {
    /// The agent that speaks; the call comes from its number.
    pub agent_id: String,
    /// Whom: an international number.
    pub to: String,
    /// Which consent must stand in the ledger: `ai_calls` (unless said), `calls` or `none`.
    #[serde(default)]
    pub consent: Option<String>,
    /// What the call is for.
    #[serde(default)]
    pub objective: Option<String>,
    /// What is said first; the agent's own greeting for calls that go out if none.
    #[serde(default)]
    pub opening: Option<String>,
    /// What is said.
    #[serde(default)]
    pub script: Option<String>,
    /// What is asked.
    #[serde(default)]
    pub questions: Option<Vec<String>>,
}

/// A call that was ordered.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct OrderedCall {
    /// Its id.
    pub id: String,
    /// `queued`, `dialing`, `ringing`, `in_progress` or `ended`.
    pub status: String,
    /// The agent that speaks.
    pub agent_id: String,
    /// The number that calls.
    pub from_number: String,
    /// Whom, in international form.
    pub to: String,
    /// A simulated call reaches nobody.
    pub simulated: bool,
}

/// `POST /api/calling/campaigns/:id/targets` for leads; lists are sent as CSV or JSON lines.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct FromLeads {
    /// Which: `{filter:{status,agent_id,assigned_to,min_score,from,to,quiet_since}}`.
    #[ts(type = "{ filter: Record<string, unknown> }")]
    pub from_leads: LeadsWanted,
}

/// Which leads.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadsWanted {
    /// What is absent lets all through.
    #[serde(default)]
    pub filter: Map<String, Value>,
}

/// A line that was refused.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct RefusedLine {
    /// Counts from 1.
    #[ts(type = "number")]
    pub line: u64,
    /// In words.
    pub reason: String,
}

/// What a list came to.
#[derive(Clone, Debug, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct TargetsRead {
    /// Which import.
    pub import: u32,
    /// `done`, or `running` when it takes longer than a request: the campaign shows its end.
    pub status: String,
    /// Targets taken.
    pub accepted: u32,
    /// The first thousand lines that were refused.
    pub rejected: Vec<RefusedLine>,
    /// How many were refused.
    pub rejected_total: u32,
    /// Numbers that were there before, in the list or in the campaign.
    pub duplicates: u32,
}
