//! The record of operators' calls as an entity.

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_domain::Principal;
use colloquy_domain::ops_log::{self, Entry, Reply, TENANT, id_at};

use crate::ActorError;
use crate::core::{Core, ask, pure_core};

/// The kind `ops_log`.
pub struct OpsLogEntity;

impl Core for OpsLogEntity {
    type Plain = ops_log::Command;
}

impl Entity for OpsLogEntity {
    pure_core!(ops_log, OpsLog, 1, 1, false);

    type Effect = std::convert::Infallible;

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// Writes an operator's call down.
pub async fn record(client: &Client, entry: Entry) -> Result<(), ActorError> {
    let id = id_at(client.now_ms());
    ask::<OpsLogEntity>(client, &Principal::system(TENANT.into()), &id, ops_log::Command::Record { entry }).await?;
    Ok(())
}

/// The calls of one month (`2026-11`; this one when `None`), newest first, at most [`ops_log::SHOWN_MAX`].
pub async fn read(client: &Client, month: Option<String>) -> Result<Vec<Entry>, ActorError> {
    let id = month.unwrap_or_else(|| id_at(client.now_ms()));
    match ask::<OpsLogEntity>(client, &Principal::system(TENANT.into()), &id, ops_log::Command::Read).await? {
        Reply::Entries { entries } => Ok(entries),
        Reply::Done => Err(ActorError::Failed),
    }
}
