//! Campaigns: their entities, what they project, and the work outside of the rules.
//!
//! Reading order: this file (the campaign, its rows, how people ask); `slice` (the calls), `callees` (who is called), `pacer`; the effects: `import`,
//! `dial` (guard, call, look-up), `line` (what a provider is asked); [`hear`] (what webhooks tell) and [`errand`] (what who answers must know); `erase`; [`single`] calls, and new leads that are called back (`callback`).

pub(crate) mod callback;
pub(crate) mod callees;
pub(crate) mod dial;
pub(crate) mod erase;
pub mod errand;
pub mod hear;
mod import;
pub(crate) mod line;
pub mod pacer;
pub mod single;
pub mod slice;

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::{After, Range, Row};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::campaign::core::{self as domain, Campaign, Command, Effect, Event, Imported, Reply, Status};
use colloquy_domain::campaign::counters::Counters;
use colloquy_domain::campaign::settings::Settings;
use colloquy_domain::campaign::slice as calls;
use colloquy_domain::ids::{CampaignId, TenantId};
use colloquy_domain::lines::{self, Lines, Provider};
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::vocabulary::{AgentStatus, Channel};
use colloquy_domain::{Principal, Rejection};
use serde_json::{Value, json};

use crate::core::{Core, ask, message, pure_core, pure_work};
use crate::{ActorError, Tools, feed};

pub use callees::CalleesEntity;
pub use import::folder as import_folder;
pub use line::cost;
pub use pacer::PacerEntity;
pub use slice::SliceEntity;

/// The list of campaigns.
pub const LIST: &str = "campaigns";
/// Campaigns whose callees are kept, deleted ones too until they are forgotten: where an erasure looks.
pub(crate) const KEPT: &str = "campaigns_kept";
const VIEW_VERSION: u16 = 1;
/// Slices of the largest campaign, and one that is being filled.
const SLICES_MAX: usize =
    colloquy_domain::campaign::limits::TARGETS_MAX as usize / colloquy_domain::campaign::limits::SLICE_TARGETS + 2;

/// The kind `campaign`.
pub struct CampaignEntity {
    tools: Arc<Tools>,
}

impl CampaignEntity {
    /// With what its imports use.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for CampaignEntity {
    type Plain = Command;
}

impl Entity for CampaignEntity {
    pure_core!(campaign::core, Campaign, 1, 1, true);
    pure_work!(campaign::core, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &Campaign, seq: u64) -> Vec<Row> {
        if state.id.0.is_empty() {
            return Vec::new();
        }
        let row = |list: &str, body| Row {
            tenant: key.tenant.to_string(),
            list: list.to_owned(),
            at_ms: state.created_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body,
            numbers: None,
        };
        let shown = if state.exists() { feed::encode(&view(state)) } else { None };
        let kept = if state.forgotten { None } else { feed::encode(&json!({ "slices": state.slices.len() })) };
        vec![row(LIST, shown), row(KEPT, kept)]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        let shown: Vec<Row> = rows.iter().filter(|row| row.list == LIST).cloned().collect();
        feed::tell(key, &shown)
    }

    fn outbox(&self, key: &EntityKey, state: &Campaign, event: &Event, _at: At) -> Vec<Message> {
        domain::tells(state, event)
            .into_iter()
            .map(|(index, command)| message(&key.tenant, calls::KIND, &calls::id(&state.id, index), command))
            .collect()
    }

    fn watched(&self, _key: &EntityKey, _state: &Campaign, _event: &Event, _at: At) -> Option<Bytes> {
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            Effect::Import(import) => import::run(&self.tools, &handle, *import).await,
            Effect::Forget { slices } => erase::forget(&handle, slices).await,
        }
    }
}

/// What people see of a campaign, without the numbers that its slices know.
pub fn view(state: &Campaign) -> Value {
    let mut shown = serde_json::to_value(&state.settings).unwrap_or_default();
    let sum = state.progress();
    let (connected, abandoned) = state.abandonment();
    let more = json!({
        "id": state.id,
        "status": state.status,
        "paused_by": state.paused_by,
        "reason": state.paused_by.map(domain::PauseReason::sentence),
        "simulated": state.account.starts_with(Provider::Simulated.word()),
        "settings_version": state.settings_version,
        "created_by": state.created_by,
        "created_at": rfc3339(state.created_ms),
        "updated_at": rfc3339(state.updated_ms),
        "started_at": state.started_ms.map(rfc3339),
        "ended_at": state.ended_ms.map(rfc3339),
        "importing": state.import.is_some(),
        "progress": { "targets": sum.targets, "calling": sum.trying, "done": sum.done, "connected": sum.connected },
        "cost_usd": sum.cost_micros as f64 / 1e6,
        "abandonment": { "connected": connected, "abandoned": abandoned, "days": 30 },
    });
    if let (Some(shown), Some(more)) = (shown.as_object_mut(), more.as_object()) {
        shown.extend(more.clone());
    }
    shown
}

/// A campaign as a board of many shows it: without its long texts, which whoever opens it reads.
pub(crate) fn brief(mut shown: Value) -> Value {
    if let Some(fields) = shown.as_object_mut() {
        for long in ["objective", "script", "questions", "voicemail_message"] {
            fields.remove(long);
        }
    }
    shown
}

/// A campaign's state.
pub async fn state(client: &Client, by: &Principal, id: &str) -> Result<Campaign, ActorError> {
    match ask::<CampaignEntity>(client, by, id, Command::Get).await? {
        Reply::State(state) => Ok(*state),
        Reply::Done | Reply::Import { .. } => Err(ActorError::Failed),
    }
}

/// All its counters: the sum of what its slices contribute, and the sequence number each has counted to.
pub async fn counters(
    client: &Client,
    tenant: &TenantId,
    campaign: &CampaignId,
) -> Result<(Counters, Value), ActorError> {
    let range = Range { limit: SLICES_MAX, ..Range::default() };
    let rows = client.list_sound::<Counters>(tenant.as_str(), &slice::numbers_list(campaign), &range).await?;
    if let Some(damaged) = rows.damaged.first() {
        return Err(ActorError::Damaged(format!("the numbers of slice {damaged}")));
    }
    let mut sum = Counters::default();
    let mut sources = serde_json::Map::new();
    for row in rows.rows {
        sum.add(&row.body, 1);
        sources.insert(row.id, json!(row.seq));
    }
    Ok((sum, Value::Object(sources)))
}

/// The six cards, and every count.
pub async fn stats(client: &Client, tenant: &TenantId, state: &Campaign) -> Result<Value, ActorError> {
    let (sum, sources) = counters(client, tenant, &state.id).await?;
    let cards = sum.cards();
    Ok(json!({
        "cards": cards,
        "counts": sum,
        "status": state.status,
        "paused_by": state.paused_by,
        "settings_version": state.settings_version,
        "cost_usd": sum.cost_micros as f64 / 1e6,
        "budget_usd": state.settings.budget,
        "sources": sources,
    }))
}

/// Which account calls from these numbers: all must be numbers of this organization, of one connected account. Empty for none.
///
/// # Errors
/// `Invalid` with the number that is not, or says which key is missing.
pub fn account_of(lines: &Lines, numbers: &[String]) -> Result<String, Rejection> {
    let mut provider: Option<Provider> = None;
    for number in numbers {
        let known = lines
            .numbers
            .values()
            .find(|known| known.is.number == *number && known.is.provider.carries(Channel::Voice));
        let known = known.ok_or_else(|| {
            Rejection::invalid("from_numbers", format!("{number} is not a number of yours that can call"))
        })?;
        if provider.is_some_and(|first| first != known.is.provider) {
            return Err(Rejection::invalid("from_numbers", "must all be of one provider"));
        }
        provider = Some(known.is.provider);
    }
    let Some(provider) = provider else { return Ok(String::new()) };
    let connection = lines::connected(lines, provider)?;
    Ok(format!("{}:{}", provider.word(), connection.credentials.account))
}

/// Refuses calls that nobody could answer for: of an agent that does not work, over a provider that cannot reach this installation, or within a budget where
/// calls have no price. Where the provider has agents of its own, the one that speaks for this agent is brought to what it is to be.
///
/// # Errors
/// Says which of them.
pub async fn ready(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    settings: &Settings,
    account: &str,
) -> Result<(), ActorError> {
    let now = tools.agent(client, tenant, &settings.agent_id).await?;
    let carriers = &tools.carriers.settings;
    answerable(now.status, now.suspended, account, &carriers.api_url)?;
    priced(settings.budget.is_some(), carriers.minute_micros)?;
    if let Some(provider) = provider_of(account).filter(|provider| provider.as_retell()) {
        crate::retell::setup::agent(client, tools, tenant, provider, &settings.agent_id).await?;
    }
    Ok(())
}

/// The provider of an account, as pacers are named.
fn provider_of(account: &str) -> Option<Provider> {
    account.split_once(':').and_then(|(provider, _)| Provider::of(provider))
}

/// A budget counts what each call may cost at most; without a price it would never be used up.
fn priced(budget: bool, minute_micros: i64) -> Result<(), Rejection> {
    if budget && minute_micros <= 0 {
        return Err(Rejection::conflict(
            "no_call_price",
            "this installation knows no price of a call, so a budget would never be used up: set `voice.minute_usd`, or take the budget away",
        ));
    }
    Ok(())
}

fn answerable(status: AgentStatus, suspended: bool, account: &str, api_url: &str) -> Result<(), Rejection> {
    if status != AgentStatus::Active || suspended {
        return Err(Rejection::conflict(
            "agent_not_active",
            "this agent is not active, so nobody would speak; activate it first",
        ));
    }
    let real = provider_of(account).filter(|provider| !provider.simulated());
    if let Some(provider) = real.filter(|_| !api_url.starts_with("https://")) {
        return Err(Rejection::conflict(
            "no_public_address",
            format!(
                "{} cannot reach this installation, so nobody would speak: set `public.api_url` to its https address",
                provider.name()
            ),
        ));
    }
    Ok(())
}

/// What an import has come to, once it has.
pub fn imported(state: &Campaign, n: u32) -> Option<&Imported> {
    state.imported.iter().find(|(known, _)| *known == n).map(|(_, result)| result)
}

/// Every slice of a campaign in turn, with who is called in it.
pub async fn slice_of(
    client: &Client,
    tenant: &TenantId,
    campaign: &CampaignId,
    index: u32,
) -> Result<(calls::Slice, Vec<Option<colloquy_domain::campaign::callees::Callee>>), ActorError> {
    let by = Principal::system(tenant.clone());
    let id = calls::id(campaign, index);
    let slice = match ask::<SliceEntity>(client, &by, &id, calls::Command::Get).await? {
        calls::Reply::State(state) => *state,
        calls::Reply::Done
        | calls::Reply::Dial(_)
        | calls::Reply::DoNotDial
        | calls::Reply::Book { .. }
        | calls::Reply::Brief(_) => {
            return Err(ActorError::Failed);
        }
    };
    let people = callees::all(client, tenant, &id, slice.book).await?.people;
    Ok((slice, people))
}

/// One page of the calls of a campaign, newest first, with who was called as far as that is known still.
pub async fn with_names(
    client: &Client,
    tenant: &TenantId,
    campaign: &CampaignId,
    calls: &mut [Value],
) -> Result<(), ActorError> {
    for call in calls {
        let number = |name: &str| call[name].as_u64().and_then(|n| u32::try_from(n).ok());
        let (Some(index), Some(target)) = (number("slice"), number("target")) else { continue };
        let who = callees::one(client, tenant, &calls::id(campaign, index), target).await?;
        let erased = who.is_none();
        let (phone, name) = who.map(|who| (who.phone, who.name)).unzip();
        call["phone"] = json!(phone);
        call["name"] = json!(name.flatten());
        call["erased"] = json!(erased);
    }
    Ok(())
}

/// Whether nothing more will happen in it.
pub fn is_over(status: Status) -> bool {
    match status {
        Status::Stopped | Status::Completed | Status::Deleted => true,
        Status::Draft | Status::Scheduled | Status::Running | Status::Paused | Status::Stopping | Status::Deleting => {
            false
        }
    }
}

/// Rows of a tenant's list, page by page.
pub(crate) async fn pages(
    client: &Client,
    tenant: &str,
    list: &str,
    after: &mut Option<After>,
    limit: usize,
) -> Result<Vec<(String, Value)>, ActorError> {
    let range = Range { after: after.clone(), limit, ..Range::default() };
    let rows = client.list::<Value>(tenant, list, &range).await?;
    *after = rows.last().map(|last| After { at_ms: last.at_ms, id: last.id.clone() });
    Ok(rows.into_iter().map(|row| (row.id, row.body)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_begin_only_for_an_active_agent_that_the_provider_can_reach() {
        let code = |status, suspended, account, url| match answerable(status, suspended, account, url) {
            Err(Rejection::Conflict { code, .. }) => code,
            Err(other) => panic!("{other:?}"),
            Ok(()) => "fine".to_owned(),
        };
        let (active, https) = (AgentStatus::Active, "https://a.example");
        assert_eq!(code(active, false, "twilio:AC1", https), "fine");
        assert_eq!(code(active, false, "twilio:AC1", "http://127.0.0.1:8080"), "no_public_address");
        assert_eq!(code(active, false, "retell:key-1", "http://127.0.0.1:8080"), "no_public_address");
        assert_eq!(code(active, false, "simulated:AC1", "http://127.0.0.1:8080"), "fine");
        assert_eq!(code(active, false, "simulated_retell:key-1", "http://127.0.0.1:8080"), "fine");
        assert_eq!(code(AgentStatus::Paused, false, "simulated:AC1", https), "agent_not_active");
        assert_eq!(code(active, true, "simulated:AC1", https), "agent_not_active");
    }

    #[test]
    fn a_budget_needs_a_price_of_calls() {
        assert!(
            priced(true, 0)
                .is_err_and(|why| matches!(why, Rejection::Conflict { code, .. } if code == "no_call_price"))
        );
        assert!(priced(true, 1).is_ok() && priced(false, 0).is_ok());
    }
}
