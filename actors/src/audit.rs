//! The audit log of an organization as an entity, and how it is read: newest first, from its journal.

use std::sync::Arc;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::Principal;
use colloquy_domain::audit::{self, Command, Entry, Event, Month, Reply, month_before, month_of};
use colloquy_domain::ids::TenantId;

use crate::ActorError;
use crate::core::{Asked, Core, ask, pure_core};

/// Entries read from the journal in one go.
const BATCH: u64 = 500;
/// Entries looked at for one page: with a filter that fits little the reader goes on by cursor instead of waiting.
const LOOKED_AT_MAX: usize = 5_000;

/// The kind `audit`. It is sealed: it holds network addresses of people.
pub struct AuditEntity;

impl Core for AuditEntity {
    type Plain = audit::Command;
}

impl Entity for AuditEntity {
    pure_core!(audit, Month, 1, 1, true);

    type Effect = std::convert::Infallible;

    fn timer(state: &Month) -> Option<i64> {
        audit::timer(state)
    }

    fn on_timer(state: &Month, now_ms: i64) -> Option<Asked<Command>> {
        let command = audit::on_timer(state, now_ms)?;
        Some(Asked { by: Principal::system(state.tenant.clone()), command })
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// One entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which.
    pub place: Place,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub entry: Entry,
}

/// Where an entry stands: the month, and its number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Such as `2026-11`.
    pub month: String,
    /// Counts from 1.
    pub number: u64,
}

impl Place {
    /// From the text it is shown as.
    pub fn parse(text: &str) -> Option<Self> {
        let (month, number) = text.rsplit_once('-')?;
        month_before(month)?;
        let well_formed = month.len() == 7 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        well_formed.then_some(())?;
        Some(Self { month: month.to_owned(), number: number.parse().ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.month, self.number)
    }
}

/// Writes a call down. It is in the journal when this returns.
pub async fn record(client: &Client, tenant: &TenantId, entry: Entry) -> Result<(), ActorError> {
    let month = month_of(client.now_ms());
    let command = Command::Record { entry: Box::new(entry) };
    ask::<AuditEntity>(client, &Principal::system(tenant.clone()), &month, command).await?;
    Ok(())
}

/// A call that is noted and has no outcome yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    tenant: TenantId,
    month: String,
    id: String,
}

impl Begun {
    /// The organization in whose log it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

/// Notes a call before it is run, under an id of its own: if nobody tells its end, it stands in the log as unknown.
pub async fn begin(client: &Client, tenant: &TenantId, id: String, entry: Entry) -> Result<Begun, ActorError> {
    let month = month_of(client.now_ms());
    let command = Command::Begin { id: id.clone(), entry: Box::new(entry) };
    ask::<AuditEntity>(client, &Principal::system(tenant.clone()), &month, command).await?;
    Ok(Begun { tenant: tenant.clone(), month, id })
}

/// Writes down what became of a call that was noted; nothing if it stands in another log.
pub async fn end(client: &Client, begun: Begun, entry: Option<Entry>) -> Result<(), ActorError> {
    let Begun { tenant, month, id } = begun;
    let command = Command::End { id, entry: entry.map(Box::new) };
    ask::<AuditEntity>(client, &Principal::system(tenant), &month, command).await?;
    Ok(())
}

/// Which entries are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// From this instant on, Unix milliseconds: not before the organization was founded.
    pub from_ms: i64,
    /// Up to before this one.
    pub to_ms: i64,
    /// Only entries before this one.
    pub before: Option<Place>,
    /// At most this many.
    pub limit: usize,
}

/// Entries that `keep` lets through, the newest first, and where to go on.
pub async fn read(
    client: &Client,
    tenant: &TenantId,
    reading: &Reading,
    keep: impl Fn(&Entry) -> bool,
) -> Result<(Vec<Recorded>, Option<Place>), ActorError> {
    let (mut found, mut looked_at) = (Vec::new(), 0);
    let oldest = month_of(reading.from_ms);
    let mut before = reading.before.as_ref().map(|place| place.number);
    let mut month = reading.before.as_ref().map_or_else(|| month_of(reading.to_ms - 1), |place| place.month.clone());
    while month >= oldest {
        let mut above = match before.take() {
            Some(number) => number.saturating_sub(1),
            None => count(client, tenant, &month).await?,
        };
        while above > 0 {
            let after = above.saturating_sub(BATCH);
            for recorded in batch(client, tenant, &month, after, above).await?.into_iter().rev() {
                looked_at += 1;
                if recorded.at_ms < reading.from_ms {
                    return Ok((found, None));
                }
                let place = recorded.place.clone();
                if recorded.at_ms < reading.to_ms && keep(&recorded.entry) {
                    found.push(recorded);
                }
                if found.len() == reading.limit || looked_at == LOOKED_AT_MAX {
                    return Ok((found, Some(place)));
                }
            }
            above = after;
        }
        month = month_before(&month).ok_or(ActorError::Failed)?;
    }
    Ok((found, None))
}

async fn count(client: &Client, tenant: &TenantId, month: &str) -> Result<u64, ActorError> {
    match ask::<AuditEntity>(client, &Principal::system(tenant.clone()), month, Command::Count).await? {
        Reply::Count { entries } => Ok(entries),
    }
}

/// The entries of a month numbered above `after` up to `last`, oldest first.
async fn batch(
    client: &Client,
    tenant: &TenantId,
    month: &str,
    after: u64,
    last: u64,
) -> Result<Vec<Recorded>, ActorError> {
    let key = EntityKey::new(tenant.as_str(), audit::KIND, month);
    let most = usize::try_from(last - after).unwrap_or(usize::MAX);
    let records = client.journal(&key, after, most).await?;
    let read = |record: colloquy_cluster::record::JournalRecord| {
        let event = serde_json::from_value(record.event)
            .map_err(|error| ActorError::Damaged(format!("audit log {month} at {}: {error}", record.seq)))?;
        let place = Place { month: month.to_owned(), number: record.seq };
        Ok(match event {
            Event::Recorded { entry, .. } => Some(Recorded { place, at_ms: record.at_ms, entry: *entry }),
            // What was only begun is no entry yet.
            Event::Begun { .. } | Event::Dropped { .. } => None,
        })
    };
    records.into_iter().filter_map(|record| read(record).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_shown_and_nothing_else_is() {
        let place = Place { month: "2026-11".into(), number: 42 };
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for text in ["", "2026-11", "2026-11-", "2026-11-x", "2026-13-1", "x-1", "2026-1-1", "2026-11--1"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }
}
