//! The tenant entity: one organization. Its changes reach its members' accounts; erasures go through everything it has.

mod erase;

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_domain::tenant::{self, Effect, Event, Tenant};
use colloquy_domain::{calendar, digest, upkeep};

pub(crate) use erase::erase_conversation;

use crate::core::{Core, message, pure_core, pure_work};
use crate::{Tools, bulletin};

/// The list of all organizations, kept in the platform's own tenant for its administrators.
pub const LIST: &str = "tenants";
const VIEW_VERSION: u16 = 1;

/// The kind `tenant`.
pub struct TenantEntity {
    tools: Arc<Tools>,
}

impl TenantEntity {
    /// With what its effects need.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for TenantEntity {
    type Plain = tenant::Command;
}

impl Entity for TenantEntity {
    pure_core!(tenant, Tenant, 2, 2, true);
    pure_work!(tenant, Effect, |state| state.id.clone());

    fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
        tenant::upgrade(version, event)
    }

    fn rows(&self, _key: &EntityKey, state: &Tenant, seq: u64) -> Vec<Row> {
        if !state.exists() {
            return Vec::new();
        }
        vec![Row {
            tenant: colloquy_domain::account::TENANT.to_owned(),
            list: LIST.to_owned(),
            at_ms: state.created_ms,
            id: state.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: tenant::view::list_row(state).and_then(|row| serde_json::to_vec(&row).ok()).map(Bytes::from),
            numbers: None,
        }]
    }

    fn outbox(&self, key: &EntityKey, state: &Tenant, event: &Event, at: At) -> Vec<Message> {
        let mut messages: Vec<Message> = tenant::tells(state, event, at.seq)
            .into_iter()
            .map(|(user, command)| {
                message(colloquy_domain::account::TENANT, colloquy_domain::account::KIND, user.as_str(), command)
            })
            .collect();
        if matches!(event, Event::Created { .. } | Event::Updated { .. }) {
            let plan = digest::Command::Plan { timezone: state.profile.timezone.clone() };
            messages.push(message(state.id.as_str(), digest::KIND, state.id.as_str(), plan));
            let plan = upkeep::Command::Plan {
                timezone: state.profile.timezone.clone(),
                keep_days: tenant::profile::keep_days(&state.profile.settings),
                keep_targets_days: tenant::profile::keep_targets_days(&state.profile.settings),
                fresh: matches!(event, Event::Created { .. }),
            };
            messages.push(message(state.id.as_str(), upkeep::KIND, state.id.as_str(), plan));
            let opened = match event {
                Event::Updated { opened, .. } => *opened,
                _ => state.profile.is_open_sometime(),
            };
            let plan = calendar::Command::Plan { timezone: state.profile.timezone.clone(), opened };
            messages.push(message(state.id.as_str(), calendar::KIND, state.id.as_str(), plan));
        }
        messages.extend(colloquy_domain::bulletin::of_tenant(event).map(|news| bulletin::tell(&key.tenant, news)));
        messages
    }

    fn watched(&self, _key: &EntityKey, _state: &Tenant, event: &Event, _at: At) -> Option<Bytes> {
        // A used key changes nothing that anybody keeps a copy of.
        if matches!(event, Event::KeyUsed { .. }) {
            return None;
        }
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            Effect::SettleAgent { agent } => crate::agent::settle(&handle, &agent).await,
            Effect::Erase { id, attempt, whom } => erase::run(&self.tools, &handle, &id, attempt, &whom).await,
        }
    }
}
