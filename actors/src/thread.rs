//! The thread entity: which conversation the messages of a number, and the words of a vouched person, belong to. What is known of both here is keyed hashes.

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_domain::ids::{AgentId, ConversationId, TenantId, VisitorId};
use colloquy_domain::thread::{self, CONTINUE_WITHIN_HOURS, CONTINUE_WITHIN_HOURS_MAX};

use crate::core::{Core, pure_core};
use crate::{ActorError, Tools};

/// Hexadecimal digits of derived ids: 128 bits.
const DIGITS: usize = 32;

/// The kind `thread`.
pub struct ThreadEntity;

impl Core for ThreadEntity {
    type Plain = thread::Command;
}

impl Entity for ThreadEntity {
    pure_core!(thread, Thread, 1, 1, true);

    type Effect = std::convert::Infallible;

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// The thread of a number with an agent.
pub(crate) fn id(tools: &Tools, agent: &AgentId, number: &str) -> String {
    derived(tools, "thread", agent, &[number])
}

/// The thread of a person whom the organization's server vouches for.
pub(crate) fn of_person(tools: &Tools, agent: &AgentId, external_id: &str) -> String {
    derived(tools, "person's thread", agent, &[external_id])
}

/// Such a person, as visitors are named. No browser can name itself so.
pub(crate) fn person(tools: &Tools, agent: &AgentId, external_id: &str) -> VisitorId {
    VisitorId(format!("usr-{}", derived(tools, "person", agent, &[external_id])))
}

/// How long a conversation goes on over another channel, ms, as the organization says.
pub(crate) async fn within_ms(client: &Client, tools: &Tools, tenant: &TenantId) -> Result<i64, ActorError> {
    let copy = tools.tenant_copy(client, tenant).await?;
    let hours = copy.facts.settings.get("continue_within_hours").and_then(serde_json::Value::as_i64);
    Ok(hours.unwrap_or(CONTINUE_WITHIN_HOURS).clamp(0, CONTINUE_WITHIN_HOURS_MAX) * 3_600_000)
}

/// Who writes from a number, as visitors are named. No browser can name itself so: what it chooses is followed by a part of our own.
pub(crate) fn visitor(tools: &Tools, agent: &AgentId, number: &str) -> VisitorId {
    VisitorId(format!("tel-{}", derived(tools, "visitor", agent, &[number])))
}

/// The conversation that begins with a message: the same message begins the same one.
pub(crate) fn conversation(tools: &Tools, agent: &AgentId, number: &str, message: &str) -> ConversationId {
    ConversationId(derived(tools, "conversation", agent, &[number, message]))
}

fn derived(tools: &Tools, what: &str, agent: &AgentId, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&tools.contact_key);
    for part in [what, agent.as_str()].iter().chain(parts) {
        // Lengths keep "ab","c" and "a","bc" apart.
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    let mut id = hasher.finalize().to_hex().to_string();
    id.truncate(DIGITS);
    id
}
