//! The knowledge entity: what an agent has learned. Its effects crawl, embed and build; the old index answers until the new one is complete.

mod build;
mod business;
mod faqs;
mod library;
mod pages;
mod read;
mod sweep;
mod unanswered;

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_domain::ids::TenantId;
use colloquy_domain::knowledge::{self, Command, Effect, Event, Knowledge, Reply};
use colloquy_domain::{Principal, agent};

pub use business::{Business, Found, business};
pub use library::{Library, PLATFORM};
pub use unanswered::{ByDay, unanswered, unanswered_by_day};

use crate::core::{Asked, Core, message, pure_core, pure_work};
use crate::{ActorError, Tools, feed};

/// The list that each agent's knowledge is projected into, for its live board.
pub const LIST: &str = "knowledge";
const VIEW_VERSION: u16 = 1;

/// The kind `knowledge`: one per agent, with the agent's id.
pub struct KnowledgeEntity {
    tools: Arc<Tools>,
}

impl KnowledgeEntity {
    /// With what its effects need.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for KnowledgeEntity {
    type Plain = Command;
}

impl Entity for KnowledgeEntity {
    pure_core!(knowledge, Knowledge, 2, 2, true);
    pure_work!(knowledge, Effect, |state| state.tenant.clone());

    fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
        knowledge::upgrade(version, event)
    }

    fn outbox(&self, key: &EntityKey, state: &Knowledge, event: &Event, _at: At) -> Vec<Message> {
        let agents = knowledge::tells(state, event)
            .into_iter()
            .map(|command| message(&key.tenant, agent::KIND, &key.id, command));
        let news = colloquy_domain::bulletin::of_knowledge(state, event);
        agents.chain(news.map(|news| crate::bulletin::tell(&key.tenant, news))).collect()
    }

    fn rows(&self, key: &EntityKey, state: &Knowledge, seq: u64) -> Vec<Row> {
        if state.agent.as_str().is_empty() {
            return Vec::new();
        }
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.created_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: knowledge::view::list_row(state).and_then(|row| feed::encode(&row)),
            numbers: None,
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn watched(&self, _key: &EntityKey, _state: &Knowledge, event: &Event, _at: At) -> Option<Bytes> {
        // Nodes drop their copy of which index answers.
        matches!(event, Event::IndexBuilt { .. } | Event::Deleted)
            .then(|| Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            Effect::Crawl { source, run, attempt } => read::run(&self.tools, &handle, source, run, attempt).await,
            Effect::BuildIndex { version, attempt } => build::run(&self.tools, &handle, version, attempt).await,
            Effect::Sweep { mark } => sweep::run(&handle, mark).await,
            Effect::GenerateFaqs { run, attempt } => faqs::run(&self.tools, &handle, run, attempt).await,
        }
    }
}

/// Asks the knowledge itself, from one of its effects.
async fn command(handle: &EffectHandle, command: Command) -> Result<Reply, ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    Ok(handle.command::<KnowledgeEntity>(Asked { by, command }).await?)
}

/// Brings a result back; what is refused has been replaced by a newer try.
async fn report(handle: &EffectHandle, result: Command) {
    match command(handle, result).await {
        Ok(_) | Err(ActorError::Rejected(_)) => {}
        Err(error) => {
            tracing::warn!(agent = %handle.key().id, %error, "a result of learning could not be brought back")
        }
    }
}
