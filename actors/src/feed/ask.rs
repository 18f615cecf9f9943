//! What others ask a feed for, by its owner wherever that is.

use std::collections::BTreeMap;

use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::TenantId;
use colloquy_domain::numbers::charts::{HOURS, Point, WEEKDAYS, Width};
use colloquy_domain::numbers::{Counters, DailyRow, Numbers, Overview, Window};
use colloquy_domain::vocabulary::Channel;
use serde::{Deserialize, Serialize};

use super::{Ask, AskedList, Chart, ID, KIND, Snapshot, Span, Topic, Update, encode};

/// The feed's key of a tenant.
pub fn key(tenant: &TenantId) -> EntityKey {
    EntityKey::new(tenant.as_str(), KIND, ID)
}

/// A board as a whole.
pub async fn snapshot(client: &Client, tenant: &TenantId, topic: &Topic) -> Result<Snapshot, String> {
    asked(client, tenant, &Ask::Snapshot { topic: topic.clone() }).await
}

/// The deltas after `seq`, if they are still known.
pub async fn since(client: &Client, tenant: &TenantId, topic: &Topic, seq: u64) -> Result<Option<Vec<Update>>, String> {
    asked(client, tenant, &Ask::Since { topic: topic.clone(), seq }).await
}

/// An agent's counters since its first day (AGT-15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Conversations.
    pub conversations: i64,
    /// Messages of anyone.
    pub messages: i64,
    /// Calls.
    pub calls: i64,
    /// Mean rating, 1 to 5, two decimals; none without ratings.
    pub satisfaction: Option<f64>,
}

impl Totals {
    pub(super) fn of(numbers: &Numbers) -> Self {
        let total = numbers.total();
        let channels = total.every_channel();
        let all = &total.all;
        Self {
            conversations: channels.conversations,
            messages: channels.messages,
            calls: all.calls_answered + all.calls_missed,
            satisfaction: (all.ratings > 0)
                .then(|| (all.rating_sum as f64 / all.ratings as f64 * 100.0).round() / 100.0),
        }
    }
}

/// The counters of all agents, exact at this moment.
pub async fn totals(client: &Client, tenant: &TenantId) -> Result<BTreeMap<String, Totals>, String> {
    asked(client, tenant, &Ask::Totals).await
}

/// The six cards.
pub async fn overview(client: &Client, tenant: &TenantId, window: Window) -> Result<Overview, String> {
    asked(client, tenant, &Ask::Overview { window }).await
}

/// Takes erased entries off the boards, and out of what is kept for dashboards that come back. Their numbers stay.
pub(crate) async fn forget(client: &Client, tenant: &TenantId, list: &str, ids: Vec<String>) -> Result<(), String> {
    asked(client, tenant, &Ask::Forget { list: list.to_owned(), ids }).await
}

/// Rows by day.
pub async fn daily(
    client: &Client,
    tenant: &TenantId,
    from: &str,
    to: &str,
    agent: Option<String>,
) -> Result<Vec<DailyRow>, String> {
    asked(client, tenant, &Ask::Daily { from: from.to_owned(), to: to.to_owned(), agent }).await
}

/// Counts over time: one point per local hour or day.
pub async fn points(client: &Client, tenant: &TenantId, span: Chart, width: Width) -> Result<Vec<Point>, String> {
    asked(client, tenant, &Ask::Points { span, width }).await
}

/// Conversations by weekday, Monday first, and local hour.
pub async fn week(
    client: &Client,
    tenant: &TenantId,
    span: Chart,
    channel: Option<Channel>,
) -> Result<[[i64; HOURS]; WEEKDAYS], String> {
    asked(client, tenant, &Ask::Week { span, channel }).await
}

/// Everything counted in a span.
pub async fn sum(client: &Client, tenant: &TenantId, span: Chart) -> Result<Counters, String> {
    asked(client, tenant, &Ask::Sum { span }).await
}

/// What was asked in a span, the newest first.
pub async fn questions(client: &Client, tenant: &TenantId, span: Span) -> Result<AskedList, String> {
    asked(client, tenant, &Ask::Questions { span }).await
}

async fn asked<T: serde::de::DeserializeOwned>(client: &Client, tenant: &TenantId, ask: &Ask) -> Result<T, String> {
    let answer =
        client.resident_ask(&key(tenant), encode(ask).unwrap_or_default()).await.map_err(|error| error.to_string())?;
    serde_json::from_slice(&answer).map_err(|error| error.to_string())
}
