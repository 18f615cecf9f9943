//! The entity of a campaign's slice: it tells pacer, guard and campaign, projects its counters and its calls, and starts what it has to do outside.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_domain::call;
use colloquy_domain::campaign::core as campaign;
use colloquy_domain::campaign::slice::{self as domain, Command, Effect, Event, Slice, Tell};
use colloquy_domain::campaign::target::{Attempt, Disposition, Past, Stage};
use colloquy_domain::contact_guard;
use colloquy_domain::ids::CampaignId;
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::pacer;
use serde_json::{Value, json};

use super::{KEPT, dial, line};
use crate::core::{Core, message, pure_core, pure_work};
use crate::{Tools, calls, feed};

const VIEW_VERSION: u16 = 1;
/// Finished calls whose rows are computed again with every append: rows that were written stay as they are, and between two writings fewer calls end.
const RECENT: usize = 64;

/// The list of the counters of a campaign's slices.
pub(super) fn numbers_list(campaign: &CampaignId) -> String {
    format!("campaign_numbers/{campaign}")
}

/// The list of a campaign's calls.
pub fn calls_list(campaign: &CampaignId) -> String {
    format!("campaign_calls/{campaign}")
}

/// The kind `campaign_slice`. It names people by keyed hashes only; it is sealed all the same.
pub struct SliceEntity {
    tools: Arc<Tools>,
}

impl SliceEntity {
    /// With what calls are made by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for SliceEntity {
    type Plain = Command;
}

impl Entity for SliceEntity {
    pure_core!(campaign::slice, Slice, 1, 1, true);
    pure_work!(campaign::slice, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &Slice, seq: u64) -> Vec<Row> {
        if !state.exists() {
            return Vec::new();
        }
        let row = |list: String, at_ms: i64, id: String, body| Row {
            tenant: key.tenant.to_string(),
            list,
            at_ms,
            id,
            seq,
            view_version: VIEW_VERSION,
            body,
            numbers: None,
        };
        if state.campaign.is_single_call() {
            let kept = json!({ "slices": 1 });
            return vec![row(KEPT.to_owned(), 0, state.campaign.to_string(), feed::encode(&kept))];
        }
        let mut rows =
            vec![row(numbers_list(&state.campaign), 0, format!("{:05}", state.index), feed::encode(&state.counters))];
        let calls = calls_list(&state.campaign);
        let mut recent: Vec<(u32, &Past)> = Vec::new();
        for (target, one) in (0_u32..).zip(&state.targets) {
            recent.extend(one.past.iter().filter(|past| past.dialed_ms.is_some()).map(|past| (target, past)));
            if let Some((open, dialed_ms)) = one.attempt().and_then(|open| open.dialed_ms.map(|at| (open, at))) {
                let id = format!("{}.{target}.{}", state.index, open.n);
                rows.push(row(calls.clone(), dialed_ms, id, feed::encode(&going_on(state, target, open))));
            }
        }
        recent.sort_by_key(|(_, past)| std::cmp::Reverse(past.ended_ms));
        rows.extend(recent.into_iter().take(RECENT).map(|(target, past)| {
            let id = format!("{}.{target}.{}", state.index, past.n);
            let at_ms = past.dialed_ms.unwrap_or(past.ended_ms);
            row(calls.clone(), at_ms, id, feed::encode(&finished(state, target, past)))
        }));
        rows
    }

    fn outbox(&self, key: &EntityKey, state: &Slice, event: &Event, _at: At) -> Vec<Message> {
        domain::tells(state, event)
            .into_iter()
            .map(|tell| match tell {
                Tell::Pacer { account, command } => message(pacer::TENANT, pacer::KIND, &account, command),
                Tell::Guard { guard, command } => message(&key.tenant, contact_guard::KIND, &guard, command),
                Tell::Campaign(command) => message(&key.tenant, campaign::KIND, state.campaign.as_str(), command),
                Tell::Call { call, talk_s, cost_micros } => {
                    let id = calls::id(&self.tools, &state.tenant, line::carried_by(&state.orders.account), &call);
                    let spoke_ms = Some(i64::from(talk_s) * 1000);
                    let end = call::End { spoke_ms, cost_micros, ..call::End::default() };
                    message(&key.tenant, call::KIND, id.as_str(), call::Command::Ended(Box::new(end)))
                }
            })
            .collect()
    }

    fn watched(&self, _key: &EntityKey, _state: &Slice, _event: &Event, _at: At) -> Option<Bytes> {
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        dial::run(&self.tools, &handle, effect).await;
    }
}

/// A call that goes on, as people see it.
fn going_on(state: &Slice, target: u32, open: &Attempt) -> Value {
    let status = match (open.stage, open.machine) {
        (Stage::Asked | Stage::Permitted | Stage::Dialing, _) => "dialing",
        (Stage::Placed, _) => "ringing",
        (Stage::Answered, None) => "in_progress",
        (Stage::Answered, Some(_)) => "machine",
        (Stage::Over, _) => "ended",
    };
    json!({
        "id": format!("{}.{target}.{}", state.index, open.n),
        "campaign_id": state.campaign,
        "slice": state.index,
        "target": target,
        "attempt": open.n,
        "status": status,
        "from_number": open.lease.from,
        "provider_call": open.call,
        "dialed_at": open.dialed_ms.map(rfc3339),
        "answered_at": open.answered_ms.map(rfc3339),
        "talk_seconds": open.over.map(|over| over.talk_s),
        "settings_version": open.settings_version,
    })
}

/// A finished call, as people see it.
fn finished(state: &Slice, target: u32, past: &Past) -> Value {
    let disposition = past.result.map(|result| serde_json::to_value::<Disposition>(result).unwrap_or_default());
    json!({
        "id": format!("{}.{target}.{}", state.index, past.n),
        "campaign_id": state.campaign,
        "slice": state.index,
        "target": target,
        "attempt": past.n,
        "status": "ended",
        "outcome": disposition.as_ref().map(|of| of["outcome"].clone()),
        "reason": disposition.as_ref().map(|of| of["reason"].clone()),
        "from_number": past.from,
        "provider_call": past.call,
        "dialed_at": past.dialed_ms.map(rfc3339),
        "answered_at": past.answered_ms.map(rfc3339),
        "ended_at": rfc3339(past.ended_ms),
        "talk_seconds": past.talk_s,
        "abandoned": past.abandoned,
        "score": past.score,
        "conversation_id": past.conversation,
        "cost_usd": past.cost_micros.map(|micros| micros as f64 / 1e6),
        "settings_version": past.settings_version,
    })
}
