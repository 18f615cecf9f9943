//! The upkeep entity's walks: gives conversations from before there was search their words, and erases those that an organization does not want to
//! keep any longer. Slowly and one after the other, so that nobody who talks notices.

use std::sync::Arc;
use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Ask, Client, ClusterError, EntityKey};
use colloquy_domain::audit::{ActorKind, Entry};
use colloquy_domain::ids::TenantId;
use colloquy_domain::tenant::profile::{keep_days, keep_targets_days};
use colloquy_domain::upkeep::{Command, Effect, Place};
use colloquy_domain::{Principal, account, call, conversation};
use serde_json::Value;

use crate::conversation::{ConversationEntity, LIST, SANDBOXES};
use crate::core::{Asked, Core, ask, ask_with, pure_core, pure_work};
use crate::tenant::erase_conversation;
use crate::{ActorError, Tools, audit, calls, feed, search};

/// Rows of a list read in one go.
const BATCH: usize = 200;
/// The pause after each conversation that was brought into memory: it stays there for a while, and those who talk need the room.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks for the row that an activation writes, and the pause between two: rows trail by milliseconds.
const LOOKS: usize = 40;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The pause after each organization that is looked at when a node starts.
const PLAN_PAUSE: Duration = Duration::from_millis(20);
/// The first wait before organizations are looked for again, and the longest: a node of several begins before it owns anything.
const AGAIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// The kind `upkeep`.
pub struct UpkeepEntity {
    tools: Arc<Tools>,
}

impl UpkeepEntity {
    /// With what it erases by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for UpkeepEntity {
    type Plain = Command;
}

impl Entity for UpkeepEntity {
    pure_core!(upkeep, Upkeep, 1, 1, false);
    pure_work!(upkeep, Effect, |state| state.tenant.clone());

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        let tenant = TenantId::from(&*handle.key().tenant);
        let (what, outcome) = match effect {
            Effect::Index { attempt, after } => ("index", index(&handle, &tenant, attempt, after).await),
            Effect::Sweep { attempt, before_ms, targets_before_ms } => {
                ("sweep", sweep(&self.tools, &handle, &tenant, attempt, before_ms, targets_before_ms).await)
            }
        };
        match outcome {
            // Superseded: another attempt goes on with it.
            Ok(()) | Err(ActorError::Rejected(_)) => {}
            // It begins again when its time is over.
            Err(error) => tracing::warn!(%tenant, what, %error, "a walk through conversations was interrupted"),
        }
    }
}

/// Tells an organization's upkeep what it wants.
async fn plan(client: &Client, tools: &Tools, tenant: &TenantId) -> Result<(), ActorError> {
    let copy = tools.tenant_copy(client, tenant).await?;
    let settings = &copy.facts.settings;
    let command = Command::Plan {
        timezone: copy.facts.timezone.clone(),
        keep_days: keep_days(settings),
        keep_targets_days: keep_targets_days(settings),
        fresh: false,
    };
    ask::<UpkeepEntity>(client, &Principal::system(tenant.clone()), tenant.as_str(), command).await?;
    Ok(())
}

/// Sees to organizations that were founded before there was upkeep: once at the start of a node, however often that takes.
pub async fn establish(client: Client, tools: Arc<Tools>) {
    let mut wait = AGAIN[0];
    let mut after: Option<After> = None;
    loop {
        match plan_from(&client, &tools, &mut after).await {
            Ok(()) => return,
            Err(error) => tracing::info!(%error, "not every organization's upkeep is planned yet"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN[1]);
    }
}

async fn plan_from(client: &Client, tools: &Tools, after: &mut Option<After>) -> Result<(), ActorError> {
    loop {
        let range = Range { after: after.clone(), limit: BATCH, ..Range::default() };
        let rows = client.list_sound::<Value>(account::TENANT, crate::tenant::LIST, &range).await?.rows;
        for row in &rows {
            match plan(client, tools, &TenantId(row.id.clone())).await {
                Ok(()) | Err(ActorError::Rejected(_)) => {}
                Err(ActorError::Damaged(detail)) => tracing::error!(tenant = row.id, %detail, "no upkeep is planned"),
                Err(error) => return Err(error),
            }
            *after = Some(After { at_ms: row.at_ms, id: row.id.clone() });
            tokio::time::sleep(PLAN_PAUSE).await;
        }
        if rows.len() < BATCH {
            return Ok(());
        }
    }
}

/// Walks through all conversations, newest first, and wakes those that have no words: they write their own.
async fn index(handle: &EffectHandle, tenant: &TenantId, attempt: u32, after: Option<Place>) -> Result<(), ActorError> {
    let rows = &handle.client().store().rows;
    let mut after = after.map(|place| After { at_ms: place.at_ms, id: place.id });
    loop {
        let range = Range { after: after.clone(), limit: BATCH, ..Range::default() };
        let batch = rows.list(tenant.as_str(), LIST, &range).await.map_err(ClusterError::from)?;
        for row in &batch {
            if !has_words(handle.client(), tenant, &row.id).await? {
                wake(handle.client(), tenant, &row.id).await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        after = batch.last().map(|row| After { at_ms: row.at_ms, id: row.id.clone() });
        let place = after.clone().filter(|_| batch.len() == BATCH);
        let ended = place.is_none();
        let command = Command::Indexed { attempt, after: place.map(|After { at_ms, id }| Place { at_ms, id }) };
        bring(handle, tenant, command).await?;
        if ended {
            return Ok(());
        }
    }
}

async fn has_words(client: &Client, tenant: &TenantId, id: &str) -> Result<bool, ActorError> {
    let row = client.store().rows.get(tenant.as_str(), search::LIST, id).await.map_err(ClusterError::from)?;
    Ok(row.is_some())
}

/// Activates a conversation and waits for its rows. One that cannot be read, or was erased meanwhile, is left as it is.
async fn wake(client: &Client, tenant: &TenantId, id: &str) -> Result<(), ActorError> {
    let by = Principal::system(tenant.clone());
    let options = Ask::default().after_rows();
    match ask_with::<ConversationEntity>(client, &by, id, conversation::Command::Get, options).await {
        Ok(_) => {}
        Err(ActorError::Rejected(_)) => return Ok(()),
        Err(ActorError::Damaged(detail)) => {
            tracing::error!(conversation = id, %detail, "a damaged conversation gets no words");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    for _ in 0..LOOKS {
        if has_words(client, tenant, id).await? {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(ActorError::Unavailable(format!("conversation {id} has no words yet")))
}

/// Erases conversations and forks in which nothing was said since then.
async fn sweep(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    attempt: u32,
    before_ms: i64,
    targets_before_ms: Option<i64>,
) -> Result<(), ActorError> {
    let client = handle.client();
    let mut erased = 0_u64;
    if let Some(before_ms) = targets_before_ms {
        let (mut people, mut after) = (0, None);
        while let Some(erased) = crate::campaign::erase::expired(client, tenant, before_ms, &mut after).await? {
            people += erased;
            bring(handle, tenant, Command::Swept { attempt, ended: false }).await?;
        }
        if people > 0 {
            let entry = Entry {
                actor_kind: ActorKind::System,
                action: "campaign.targets_expired".to_owned(),
                resource_kind: "campaign".to_owned(),
                done: true,
                detail: Some(people.to_string()),
                ..Entry::default()
            };
            audit::record(client, tenant, entry).await?;
        }
    }
    for list in [LIST, SANDBOXES] {
        let mut after: Option<After> = None;
        loop {
            // What began later cannot have ended before.
            let range = Range { to_ms: Some(before_ms), after, limit: BATCH, ..Range::default() };
            let listed = client.list_sound::<Value>(tenant.as_str(), list, &range).await?;
            let Some(last) = listed.rows.last() else { break };
            after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
            let mut gone = Vec::new();
            for row in listed.rows.iter().filter(|row| is_older(&row.body, before_ms)) {
                let agent = row.body["agent_id"].as_str();
                erase_conversation(tools, client, tenant, &row.id, agent.filter(|_| list == LIST))
                    .await
                    .map_err(ActorError::Unavailable)?;
                gone.push(row.id.clone());
            }
            erased += gone.len() as u64;
            if !gone.is_empty() {
                feed::forget(client, tenant, list, gone).await.map_err(ActorError::Unavailable)?;
            }
            bring(handle, tenant, Command::Swept { attempt, ended: false }).await?;
        }
    }
    erased += sweep_calls(handle, tenant, attempt, before_ms).await?;
    if erased > 0 {
        let entry = Entry {
            actor_kind: ActorKind::System,
            action: "conversation.expired".to_owned(),
            resource_kind: "conversation".to_owned(),
            done: true,
            detail: Some(erased.to_string()),
            ..Entry::default()
        };
        audit::record(client, tenant, entry).await?;
    }
    bring(handle, tenant, Command::Swept { attempt, ended: true }).await
}

/// Erases calls that nobody answered: no conversation takes them along.
async fn sweep_calls(
    handle: &EffectHandle,
    tenant: &TenantId,
    attempt: u32,
    before_ms: i64,
) -> Result<u64, ActorError> {
    let client = handle.client();
    let mut erased = 0_u64;
    let mut after: Option<After> = None;
    loop {
        let range = Range { to_ms: Some(before_ms), after, limit: BATCH, ..Range::default() };
        let listed = client.list_sound::<Value>(tenant.as_str(), calls::LIST, &range).await?;
        let Some(last) = listed.rows.last() else { return Ok(erased) };
        after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
        let mut gone = Vec::new();
        let nobodys = |row: &Value| row["conversation_id"].is_null() && row["ended_at"].is_string();
        for row in listed.rows.iter().filter(|row| nobodys(&row.body)) {
            let key = EntityKey::new(tenant.as_str(), call::KIND, row.id.as_str());
            calls::recording::delete(client, &key).await?;
            client.erase(&key).await.map_err(|error| ActorError::Unavailable(error.to_string()))?;
            gone.push(row.id.clone());
        }
        erased += gone.len() as u64;
        if !gone.is_empty() {
            feed::forget(client, tenant, calls::LIST, gone).await.map_err(ActorError::Unavailable)?;
        }
        bring(handle, tenant, Command::Swept { attempt, ended: false }).await?;
    }
}

/// Whether nothing was said in a conversation since then; one whose row does not say when is kept.
fn is_older(row: &Value, before_ms: i64) -> bool {
    let at = row["updated_at"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    at.is_some_and(|at| at.as_millisecond() < before_ms)
}

async fn bring(handle: &EffectHandle, tenant: &TenantId, command: Command) -> Result<(), ActorError> {
    let by = Principal::system(tenant.clone());
    handle.command::<UpkeepEntity>(Asked { by, command }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_talked_in_lately_is_not_old_whenever_it_began() {
        let row = |updated: &str| json!({ "started_at": "2020-01-01T00:00:00Z", "updated_at": updated });
        let before_ms = 1_795_219_200_000; // 2026-11-21T00:00:00Z
        assert!(is_older(&row("2026-11-20T23:59:59.999Z"), before_ms));
        assert!(!is_older(&row("2026-11-21T00:00:00Z"), before_ms));
        assert!(!is_older(&row("yesterday"), before_ms) && !is_older(&json!({}), before_ms));
    }
}
