//! Agents and templates. An agent's body is its configuration (see `colloquy_domain::agent::config`) with what surrounds it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;
use utoipa::ToSchema;

/// `POST /api/agents`: from a template or a vertical, with any field of an agent on top.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct NewAgent {
    /// The template; or say `vertical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub template_id: Option<String>,
    /// The trade, whose receptionist template is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub vertical: Option<String>,
    /// The site to learn from: the agent is `training` until its index serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub website_url: Option<String>,
    /// `draft` to leave it unseen by visitors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub status: Option<String>,
    /// What fills the template's variables, such as `business_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "Record<string, string>")]
    pub variables: Option<std::collections::BTreeMap<String, String>>,
    /// Any further field of an agent.
    #[serde(flatten)]
    #[ts(skip)]
    pub fields: Map<String, Value>,
}
