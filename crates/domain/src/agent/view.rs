//! An agent as the API, the widget and lists show it.

use serde::{Deserialize, Serialize};

use super::{
    config::{AgentConfig, ChatTheme},
    state::{Agent, SavedVersion},
};
use crate::{
    ids::{AgentId, TenantId},
    local_time::rfc3339,
    vocabulary::{AgentStatus, Vertical},
};

/// `GET /api/agents/:id`: all fields of VB §3.1 `agents` and ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentView {
    /// Which.
    pub id: AgentId,
    /// The organization it belongs to.
    pub org_id: TenantId,
    /// Where it stands.
    pub status: AgentStatus,
    /// Why it cannot answer.
    pub status_reason: Option<String>,
    /// Everything its owner decides.
    #[serde(flatten)]
    pub config: AgentConfig,
    /// The configuration's number; its entity tag.
    pub config_version: u32,
    /// The index that answers; 0 before the first.
    pub index_version: u64,
    /// The key web pages use.
    pub publishable_key: String,
    /// Conversations so far.
    pub total_conversations: i64,
    /// Messages so far.
    pub total_messages: i64,
    /// Calls so far.
    pub total_calls: i64,
    /// Mean rating, 1 to 5; none without ratings.
    pub avg_satisfaction: Option<f64>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

/// What a visitor's browser may know; its texts still need their variables filled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublicView {
    /// Which.
    pub id: AgentId,
    /// Whether it answers.
    pub live: bool,
    /// The configuration's number.
    pub config_version: u32,
    /// Its name.
    pub name: String,
    /// A picture.
    pub avatar_url: Option<String>,
    /// First words.
    pub welcome_message: String,
    /// Buttons below them.
    pub quick_prompts: Vec<String>,
    /// How the widget looks.
    pub chat_theme: ChatTheme,
    /// Where the widget sits.
    pub chat_position: String,
    /// Whether the widget names Colloquy.
    pub show_branding: bool,
    /// Whether the widget asks before it stores an id.
    pub cookie_consent: bool,
    /// Origins that may frame the widget; empty: any.
    pub allowed_origins: Vec<String>,
}

/// One of `GET /api/agents/:id/versions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionView {
    /// Its number.
    pub version: u32,
    /// Whether it is used now.
    pub current: bool,
    /// When it was saved, RFC 3339.
    pub saved_at: String,
    /// Who saved it.
    pub saved_by: Option<String>,
    /// The older version it was taken from.
    pub restored_from: Option<u32>,
    /// Top-level fields that differ from the version before; empty for the oldest kept.
    pub changed: Vec<String>,
    /// It.
    pub config: AgentConfig,
}

/// One of the organization's agents in lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Which.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub status: AgentStatus,
    /// Why it cannot answer.
    pub status_reason: Option<String>,
    /// Its trade.
    pub vertical: Vertical,
    /// The business's website.
    pub website_url: Option<String>,
    /// A picture.
    pub chat_avatar_url: Option<String>,
    /// Whether it answers the phone.
    pub voice_enabled: bool,
    /// Its number.
    pub phone_number: Option<String>,
    /// The configuration's number.
    pub config_version: u32,
    /// Conversations so far.
    pub total_conversations: i64,
    /// Messages so far.
    pub total_messages: i64,
    /// Calls so far.
    pub total_calls: i64,
    /// Mean rating.
    pub avg_satisfaction: Option<f64>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

/// All of an agent; none before it is made or after it was deleted.
pub fn agent(state: &Agent) -> Option<AgentView> {
    let current = state.current().filter(|_| state.exists())?;
    Some(AgentView {
        id: state.id.clone(),
        org_id: state.tenant.clone(),
        status: state.status,
        status_reason: state.status_reason.clone(),
        config: current.config.clone(),
        config_version: current.version,
        index_version: state.index_version,
        publishable_key: state.publishable_key.clone(),
        total_conversations: state.totals.conversations,
        total_messages: state.totals.messages,
        total_calls: state.totals.calls,
        avg_satisfaction: satisfaction(state),
        created_at: rfc3339(state.created_ms),
        updated_at: rfc3339(state.updated_ms),
    })
}

/// What a visitor's browser may know.
pub fn public(state: &Agent) -> Option<PublicView> {
    let current = state.current().filter(|_| state.exists())?;
    let config = &current.config;
    Some(PublicView {
        id: state.id.clone(),
        live: state.is_live() && config.chat_enabled,
        config_version: current.version,
        name: config.name.clone(),
        avatar_url: config.chat_avatar_url.clone(),
        welcome_message: config.welcome_message.clone(),
        quick_prompts: config.quick_prompts.clone(),
        chat_theme: config.chat_theme.clone(),
        chat_position: config.chat_position.clone(),
        show_branding: config.show_branding,
        cookie_consent: config.cookie_consent,
        allowed_origins: config.allowed_origins.clone(),
    })
}

/// Saved configurations, the newest first.
pub fn versions(state: &Agent) -> Vec<VersionView> {
    let newest = state.current().map(|current| current.version);
    let mut before: Option<&SavedVersion> = None;
    let mut all = Vec::with_capacity(state.versions.len());
    for saved in &state.versions {
        all.push(VersionView {
            version: saved.version,
            current: Some(saved.version) == newest,
            saved_at: rfc3339(saved.saved_ms),
            saved_by: saved.by.clone(),
            restored_from: saved.restored,
            changed: before.map(|before| changed(&before.config, &saved.config)).unwrap_or_default(),
            config: saved.config.clone(),
        });
        before = Some(saved);
    }
    all.reverse();
    all
}

/// What the organization's list shows; none for an agent that is gone.
pub fn list_row(state: &Agent) -> Option<AgentRow> {
    let current = state.current().filter(|_| state.exists())?;
    let config = &current.config;
    Some(AgentRow {
        id: state.id.clone(),
        name: config.name.clone(),
        status: state.status,
        status_reason: state.status_reason.clone(),
        vertical: config.vertical,
        website_url: config.website_url.clone(),
        chat_avatar_url: config.chat_avatar_url.clone(),
        voice_enabled: config.voice_enabled,
        phone_number: config.phone_number.clone(),
        config_version: current.version,
        total_conversations: state.totals.conversations,
        total_messages: state.totals.messages,
        total_calls: state.totals.calls,
        avg_satisfaction: satisfaction(state),
        created_at: rfc3339(state.created_ms),
        updated_at: rfc3339(state.updated_ms),
    })
}

/// Two decimals, as lists show it.
fn satisfaction(state: &Agent) -> Option<f64> {
    let (sum, count) = (state.totals.rating_sum, state.totals.ratings);
    (count > 0).then(|| (sum as f64 / count as f64 * 100.0).round() / 100.0)
}

fn changed(before: &AgentConfig, after: &AgentConfig) -> Vec<String> {
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(serde_json::Value::Object(before)), Ok(serde_json::Value::Object(after))) => after
            .into_iter()
            .filter(|(field, value)| before.get(field) != Some(value))
            .map(|(field, _)| field)
            .collect(),
        _ => Vec::new(),
    }
}
