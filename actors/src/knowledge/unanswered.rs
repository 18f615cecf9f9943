//! Unanswered questions with their words, which are read from the conversations they stand in: when one is erased, its words are gone here too.

use colloquy_cluster::{Client, ClusterError, EntityKey};
use colloquy_domain::Principal;
use colloquy_domain::conversation::{self, Event};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::knowledge::view::{UnansweredRef, UnansweredView};
use colloquy_domain::knowledge::{Asked, Command, Reply, same_question};

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

/// The words it was last asked in, where they can still be read.
async fn words(client: &Client, tenant: &TenantId, item: &UnansweredRef) -> Result<Option<String>, ActorError> {
    for asked in item.asked.iter().rev() {
        if let Some(question) = question(client, tenant, &item.key, asked).await? {
            return Ok(Some(question));
        }
    }
    Ok(None)
}

async fn question(client: &Client, tenant: &TenantId, key: &str, asked: &Asked) -> Result<Option<String>, ActorError> {
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
        Ok(Event::Unanswered { question }) => Some(question),
        Ok(_) | Err(_) => None,
    });
    Ok(questions.rfind(|question| asked.seq > 0 || same_question(key, question)))
}
