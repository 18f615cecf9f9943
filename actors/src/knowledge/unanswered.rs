//! Unanswered questions with their words, which are read from the conversations they stand in: when one is erased, its words are gone here too.

use std::collections::BTreeMap;

use colloquy_cluster::{Client, ClusterError, EntityKey};
use colloquy_domain::Principal;
use colloquy_domain::conversation::{self, Event};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::knowledge::view::{UnansweredRef, UnansweredView};
use colloquy_domain::knowledge::{Asked, Command, Reply, same_question};
use colloquy_domain::local_time::local_date;
use colloquy_domain::numbers::QuestionCount;
use jiff::tz::TimeZone;

use super::KnowledgeEntity;
use crate::ActorError;
use crate::core::ask;

/// Events of one conversation searched for a question whose place was not noted.
const SEARCHED_MAX: usize = 2_000;

/// An agent's unanswered questions, the most frequent first. Those whose words are gone everywhere are left out.
pub async fn unanswered(client: &Client, by: &Principal, agent: &AgentId) -> Result<Vec<UnansweredView>, ActorError> {
    let Reply::Unanswered { items } = ask::<KnowledgeEntity>(client, by, agent.as_str(), Command::Unanswered).await?
    else {
        return Err(ActorError::Failed);
    };
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        if let Some(question) = words(client, &by.tenant, &item).await? {
            shown.push(item.shown(agent, question));
        }
    }
    Ok(shown)
}

/// Days, each with its unanswered questions, the most frequent first.
pub type ByDay = BTreeMap<String, Vec<QuestionCount>>;

/// When an agent's unanswered questions were asked: for each local day from `from` to `to`, both `YYYY-MM-DD` and included, how many
/// conversations asked it for the last time on that day. Of one question the newest conversations are known, as many as
/// its group remembers.
pub async fn unanswered_by_day(
    client: &Client,
    by: &Principal,
    agent: &AgentId,
    zone: &TimeZone,
    (from, to): (&str, &str),
) -> Result<ByDay, ActorError> {
    let Reply::Unanswered { items } = ask::<KnowledgeEntity>(client, by, agent.as_str(), Command::Unanswered).await?
    else {
        return Err(ActorError::Failed);
    };
    let mut days = ByDay::new();
    let within = |day: &str| (from..=to).contains(&day);
    for item in items {
        let (first, last) = (local_date(zone, item.first_ms), local_date(zone, item.last_ms));
        if last.as_str() < from || first.as_str() > to {
            continue;
        }
        // The newest words stand for the group on each day, as they do in the list.
        let mut words = None;
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for asked in item.asked.iter().rev() {
            let Some((at_ms, question)) = question(client, &by.tenant, &item.key, asked).await? else { continue };
            words.get_or_insert(question);
            *counts.entry(local_date(zone, at_ms)).or_default() += 1;
        }
        let Some(words) = words else { continue };
        for (day, count) in counts.into_iter().filter(|(day, _)| within(day)) {
            let question = QuestionCount { question: words.clone(), count, answered: None };
            days.entry(day).or_default().push(question);
        }
    }
    Ok(days)
}

/// The words it was last asked in, where they can still be read.
async fn words(client: &Client, tenant: &TenantId, item: &UnansweredRef) -> Result<Option<String>, ActorError> {
    for asked in item.asked.iter().rev() {
        if let Some((_, question)) = question(client, tenant, &item.key, asked).await? {
            return Ok(Some(question));
        }
    }
    Ok(None)
}

/// When it was asked, Unix milliseconds, and in which words.
async fn question(
    client: &Client,
    tenant: &TenantId,
    key: &str,
    asked: &Asked,
) -> Result<Option<(i64, String)>, ActorError> {
    let entity = EntityKey::new(tenant.as_str(), conversation::KIND, asked.conversation.as_str());
    let (after, limit) = match asked.seq.checked_sub(1) {
        Some(before) => (before, 1),
        None => (0, SEARCHED_MAX),
    };
    let records = match client.journal(&entity, after, limit).await {
        Ok(records) => records,
        Err(ClusterError::Store(colloquy_cluster::store::StoreError::Erased(_))) => return Ok(None),
        Err(error) => return Err(ActorError::Unavailable(error.to_string())),
    };
    let mut questions = records.into_iter().filter_map(|record| match serde_json::from_value(record.event) {
        Ok(Event::Unanswered { question }) => Some((record.at_ms, question)),
        Ok(_) | Err(_) => None,
    });
    Ok(questions.rfind(|(_, question)| asked.seq > 0 || same_question(key, question)))
}
