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

/// `GET /api/models`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ModelList {
    /// The models an agent may name, in the catalog's order; first what answers without any provider.
    pub items: Vec<ModelView>,
    /// Always null: the list is whole.
    pub next_cursor: Option<String>,
}

/// A language model that an agent's `llm_model` may name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ModelView {
    /// What `llm_model` names.
    pub id: String,
    /// Who serves it.
    pub provider: String,
    /// Its name for people.
    pub name: String,
    /// Prompt and answer together, tokens; 0 where there is no such limit.
    #[ts(type = "number")]
    pub context_tokens: u64,
    /// What it costs; absent where it costs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub price: Option<ModelPrice>,
    /// Whether agents that name none get it.
    pub default: bool,
    /// Whether it can answer on this installation.
    pub available: bool,
    /// Why it cannot, and what would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub why_not: Option<String>,
}

/// US dollars per million tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct ModelPrice {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer.
    pub output: f64,
}
