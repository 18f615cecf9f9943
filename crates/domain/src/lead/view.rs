//! What others see of a lead, with the names of the public contract, and its line in an export.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    State, contact_fields,
    follow_up::{FollowUpView, shown},
};
use crate::{
    catalog::scoring::Reason,
    ids::{AgentId, ConversationId, LeadId, UserId},
    local_time::rfc3339,
    numbers::Numbers,
    vocabulary::{Channel, LeadIntent, LeadStatus, Urgency},
};

/// A lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadView {
    /// Its id.
    pub id: LeadId,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The conversation it comes from.
    pub conversation_id: Option<ConversationId>,
    /// The contact, once there is one.
    pub contact_id: Option<String>,
    /// How it came.
    pub channel: Option<Channel>,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// The page it came from.
    pub source_page: Option<String>,
    /// Where the visitor came from.
    pub referrer: Option<String>,
    /// What the visitor is after.
    pub intent: LeadIntent,
    /// How pressing it is.
    pub urgency: Urgency,
    /// 0 to 100.
    pub score: i32,
    /// They add up to the score.
    pub score_reasons: Vec<Reason>,
    /// What people noted.
    pub notes: String,
    /// Every value by field.
    pub fields: BTreeMap<String, String>,
    /// The same without name, e-mail and phone.
    pub vertical_data: BTreeMap<String, String>,
    /// Where it stands.
    pub status: LeadStatus,
    /// Whether somebody got back to them.
    pub followed_up: bool,
    /// When.
    pub followed_up_at: Option<String>,
    /// Letters to them, oldest first.
    #[serde(default)]
    pub follow_ups: Vec<FollowUpView>,
    /// Who works on it.
    pub assigned_to: Option<UserId>,
    /// The group that the rules route it to.
    pub team: Option<String>,
    /// The same group where nobody of it has the lead: who it would be for, and nobody's yet.
    #[serde(default)]
    pub suggested_team: Option<String>,
    /// When it was captured.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The sequence number of its last event.
    pub seq: u64,
}

/// Columns of an export, in order.
pub const CSV_COLUMNS: [&str; 17] = [
    "id",
    "created_at",
    "status",
    "score",
    "name",
    "email",
    "phone",
    "intent",
    "urgency",
    "channel",
    "source_page",
    "agent_id",
    "conversation_id",
    "assigned_to",
    "followed_up",
    "notes",
    "data",
];

/// The lead; `None` before it was captured.
pub fn view(state: &State) -> Option<LeadView> {
    if !state.exists() {
        return None;
    }
    let capture = state.capture.as_ref();
    let fields = state.fields();
    let contact = contact_fields();
    // What a person set stands above what the conversation told.
    let reach = |name: &str, told: Option<&Option<String>>| {
        state.edited.get(name).cloned().or_else(|| told.cloned().flatten()).or_else(|| fields.get(name).cloned())
    };
    Some(LeadView {
        id: state.id.clone(),
        agent_id: capture.map(|capture| capture.agent_id.clone()),
        conversation_id: capture.and_then(|capture| capture.conversation_id.clone()),
        contact_id: None,
        channel: capture.map(|capture| capture.channel),
        name: reach("name", capture.map(|capture| &capture.name)),
        email: reach("email", capture.map(|capture| &capture.email)),
        phone: reach("phone", capture.map(|capture| &capture.phone)),
        source_page: capture.and_then(|capture| capture.source_page.clone()),
        referrer: capture.and_then(|capture| capture.referrer.clone()),
        intent: capture.and_then(|capture| capture.intent).unwrap_or(LeadIntent::GeneralInquiry),
        urgency: capture.map_or(Urgency::Normal, |capture| capture.urgency),
        score: state.score,
        score_reasons: state.score_reasons.clone(),
        notes: state.notes.clone(),
        vertical_data: fields
            .iter()
            .filter(|(name, _)| !contact.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        fields,
        status: state.status,
        followed_up: state.followed_up,
        followed_up_at: state.followed_up_at_ms.map(rfc3339),
        follow_ups: state.follow_ups.iter().map(shown).collect(),
        assigned_to: state.assigned_to.clone(),
        team: state.assignment.as_ref().and_then(|assignment| assignment.team.clone()),
        suggested_team: suggested(state),
        created_at: rfc3339(state.created_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
        seq: state.seq,
    })
}

/// A group that is only a name in the trade's rules. One with members always gives the lead to one of them.
fn suggested(state: &State) -> Option<String> {
    let assignment = state.assignment.as_ref().filter(|assignment| assignment.user.is_none())?;
    assignment.team.clone().filter(|_| state.assigned_to.is_none())
}

/// A lead's values in the order of [`CSV_COLUMNS`]. Text that a spreadsheet would run as a formula gets an apostrophe in front.
pub fn csv_row(lead: &LeadView) -> Vec<String> {
    let data = serde_json::to_string(&lead.vertical_data).unwrap_or_default();
    let cells = vec![
        lead.id.0.clone(),
        lead.created_at.clone(),
        word(&lead.status),
        lead.score.to_string(),
        lead.name.clone().unwrap_or_default(),
        lead.email.clone().unwrap_or_default(),
        lead.phone.clone().unwrap_or_default(),
        word(&lead.intent),
        word(&lead.urgency),
        lead.channel.map(|channel| word(&channel)).unwrap_or_default(),
        lead.source_page.clone().unwrap_or_default(),
        lead.agent_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        lead.conversation_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        lead.assigned_to.as_ref().map(ToString::to_string).unwrap_or_default(),
        lead.followed_up.to_string(),
        lead.notes.clone(),
        data,
    ];
    cells.into_iter().map(harmless).collect()
}

/// What a lead contributes to its tenant's live counts.
pub fn numbers(state: &State) -> Numbers {
    let mut numbers = Numbers::default();
    if state.exists() {
        numbers.at(state.created_at_ms).all.leads += 1;
    }
    numbers
}

fn harmless(cell: String) -> String {
    let number = cell
        .strip_prefix(['+', '-'])
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    if !number && cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

/// The word of an enumeration as JSON has it.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
