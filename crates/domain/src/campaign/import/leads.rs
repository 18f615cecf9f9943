//! Leads as targets: which ones, and what a call needs of them (CMP-14, CMP-15).

use serde::{Deserialize, Serialize};

use super::{super::callees::Listed, Rows, VALUE_CHARS_MAX};
use crate::{
    campaign::{limits::FIELDS_MAX, settings::Instant},
    ids::{AgentId, UserId},
    lead,
    vocabulary::LeadStatus,
};

/// Which leads; what is absent lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeadFilter {
    /// With one of these; none named: with any.
    pub status: Vec<LeadStatus>,
    /// Captured by this agent.
    pub agent_id: Option<AgentId>,
    /// Given to this person.
    pub assigned_to: Option<UserId>,
    /// With at least this score.
    pub min_score: Option<i32>,
    /// Captured from then on.
    pub from: Option<Instant>,
    /// Captured before.
    pub to: Option<Instant>,
    /// Not changed since then: dormant ones.
    pub quiet_since: Option<Instant>,
}

impl LeadFilter {
    /// Whether it lets a lead through.
    pub fn matches(&self, lead: &lead::State) -> bool {
        let agent = lead.capture.as_ref().map(|capture| &capture.agent_id);
        (self.status.is_empty() || self.status.contains(&lead.status))
            && self.agent_id.as_ref().is_none_or(|wanted| agent == Some(wanted))
            && self.assigned_to.as_ref().is_none_or(|wanted| lead.assigned_to.as_ref() == Some(wanted))
            && self.min_score.is_none_or(|score| lead.score >= score)
            && self.from.is_none_or(|from| lead.created_at_ms >= from.ms)
            && self.to.is_none_or(|to| lead.created_at_ms < to.ms)
            && self.quiet_since.is_none_or(|since| lead.updated_at_ms < since.ms)
    }
}

/// A lead's line: its place stands for a number.
pub(super) fn row(lead: &lead::State, rows: &mut Rows) {
    let line =
        u64::from(rows.result.accepted) + u64::from(rows.result.rejected) + u64::from(rows.result.duplicates) + 1;
    let mut fields = lead.fields();
    let capture = lead.capture.as_ref();
    let mut known = |key: &str, captured: Option<&String>| fields.remove(key).or_else(|| captured.cloned());
    let phone = known("phone", capture.and_then(|capture| capture.phone.as_ref())).unwrap_or_default();
    let name = known("name", capture.and_then(|capture| capture.name.as_ref()));
    // What a form asked for may be long; the script only uses what fits.
    fields.retain(|_, value| value.chars().count() <= VALUE_CHARS_MAX);
    while fields.len() > FIELDS_MAX {
        fields.pop_last();
    }
    let country = rows.default_country.clone();
    let target = Listed { name, fields, lead_id: Some(lead.id.clone()), ..Listed::default() };
    rows.target(line, &phone, country.as_deref(), target);
}
