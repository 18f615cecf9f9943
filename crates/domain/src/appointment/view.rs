//! What others see of an appointment, with the names of the public contract, and what it contributes to live counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Appointment;
use crate::{
    calendar::view::label,
    ids::{AgentId, AppointmentId, CalendarId, ConversationId, VisitorId},
    local_time::rfc3339,
    numbers::Numbers,
    vocabulary::{AppointmentStatus, Channel},
};

/// An appointment (APT-1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppointmentView {
    /// Its id.
    pub id: AppointmentId,
    /// The calendar it is in.
    pub calendar_id: CalendarId,
    /// Whose external calendar it is copied to: `google`, `outlook` or `cal_com`, once one is connected.
    pub calendar_provider: Option<String>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The conversation it was agreed in.
    pub conversation_id: Option<ConversationId>,
    /// The contact, once there is one.
    pub contact_id: Option<String>,
    /// The visitor.
    pub visitor_id: Option<VisitorId>,
    /// How it was booked.
    pub channel: Option<Channel>,
    /// Whether somebody of the organization booked it who tried the agent out.
    #[serde(default)]
    pub trial: bool,
    /// A line.
    pub title: String,
    /// More of it.
    pub description: String,
    /// The key of what is booked.
    #[serde(rename = "type")]
    pub kind: String,
    /// What people call it.
    pub type_name: String,
    /// Who takes it.
    pub provider_id: Option<String>,
    /// Their name.
    pub provider_name: Option<String>,
    /// When it begins.
    pub starts_at: String,
    /// When it ends.
    pub ends_at: String,
    /// The calendar's zone.
    pub timezone: String,
    /// When it begins, in words and local time.
    pub when: String,
    /// Name.
    pub name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Where it stands.
    pub status: AppointmentStatus,
    /// Whether another time is being asked for.
    pub moving: bool,
    /// Why it was given up.
    pub cancel_reason: Option<String>,
    /// Given up with too little notice.
    pub late_cancellation: bool,
    /// Whether a reminder went out for this time.
    pub reminder_sent: bool,
    /// Whether it was only recorded, because nothing is set up that sends: nobody got it.
    pub reminder_recorded: bool,
    /// When.
    pub reminder_sent_at: Option<String>,
    /// What only a trade has.
    pub vertical_data: BTreeMap<String, serde_json::Value>,
    /// When it was asked for.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// The sequence number of its last event.
    pub seq: u64,
}

/// The appointment; `None` before it has a slot.
pub fn view(state: &Appointment) -> Option<AppointmentView> {
    let slot = state.slot.as_ref()?;
    let kind_name = if slot.kind_name.is_empty() { slot.kind.clone() } else { slot.kind_name.clone() };
    let title = match (&state.details.title, &state.details.name) {
        (title, _) if !title.is_empty() => title.clone(),
        (_, Some(name)) => format!("{kind_name}: {name}"),
        (_, None) => kind_name.clone(),
    };
    Some(AppointmentView {
        id: state.id.clone(),
        calendar_id: state.calendar_id.clone(),
        calendar_provider: None,
        agent_id: state.source.agent_id.clone(),
        conversation_id: state.source.conversation_id.clone(),
        contact_id: None,
        visitor_id: state.source.visitor_id.clone(),
        channel: state.source.channel,
        trial: state.source.trial,
        title,
        description: state.details.description.clone(),
        kind: slot.kind.clone(),
        type_name: kind_name,
        provider_id: Some(slot.span.provider.clone()).filter(|id| !id.is_empty()),
        provider_name: slot.provider_name.clone(),
        starts_at: rfc3339(slot.span.starts_ms),
        ends_at: rfc3339(slot.span.ends_ms),
        timezone: state.terms.timezone.clone(),
        when: label(&state.terms.timezone, slot.span.starts_ms),
        name: state.details.name.clone(),
        email: state.details.email.clone(),
        phone: state.details.phone.clone(),
        status: state.status,
        moving: state.wish.is_some(),
        cancel_reason: state.cancel_reason.clone(),
        late_cancellation: state.late,
        reminder_sent: state.reminded_at_ms.is_some(),
        reminder_recorded: state.reminder_recorded,
        reminder_sent_at: state.reminded_at_ms.map(rfc3339),
        vertical_data: state.details.vertical_data.clone(),
        created_at: rfc3339(state.created_at_ms),
        updated_at: rfc3339(state.updated_at_ms),
        seq: state.seq,
    })
}

/// What an appointment contributes to its tenant's live counts: it was booked, whatever became of it. A trial contributes nothing.
pub fn numbers(state: &Appointment) -> Numbers {
    let mut numbers = Numbers::default();
    if state.slot.is_some() && !state.source.trial {
        numbers.at(state.created_at_ms).all.appointments += 1;
    }
    numbers
}
