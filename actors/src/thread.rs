//! The thread entity: which conversation the messages of a number belong to. What is known of numbers here is keyed hashes.

use std::sync::Arc;

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_domain::ids::{AgentId, ConversationId, VisitorId};
use colloquy_domain::thread;

use crate::Tools;
use crate::core::{Core, pure_core};

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
