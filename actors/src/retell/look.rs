//! Calls that open our socket without our key in its address: believed only after Retell itself says that there is such a call at the number it claims.
//!
//! Anybody may open such a socket, so a look is one question, few go on at once, and what was found is kept for a while, also that there is nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use colloquy_cluster::Client;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lines::Provider;
use colloquy_telephony::retell::object::{Call, Direction};
use tokio::sync::Semaphore;

use super::Account;
use crate::{ActorError, Tools, lines};

/// Looks at once on a node: Retell allows an account some hundred questions a second, and strangers must not use them up.
const LOOKS_MAX: usize = 8;
/// What is kept of looks: more calls than a node carries at once.
const KEPT_MAX: usize = 10_000;
/// How long, ms: a call comes back for a lost connection within seconds; who was refused and asks again is refused from memory.
const KEPT_MS: i64 = 10 * 60_000;

/// What was found, and looks that go on.
pub(crate) struct Looks {
    at_once: Semaphore,
    kept: Mutex<HashMap<String, (i64, Option<Claimed>)>>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { at_once: Semaphore::new(LOOKS_MAX), kept: Mutex::default() }
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (i64, Option<Claimed>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, name: &str, now_ms: i64) -> Option<Option<Claimed>> {
        self.lock().get(name).filter(|(at_ms, _)| now_ms - at_ms < KEPT_MS).map(|(_, found)| found.clone())
    }

    fn keep(&self, name: String, now_ms: i64, found: Option<Claimed>) {
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (at_ms, _)| now_ms - *at_ms < KEPT_MS);
        }
        if kept.len() >= KEPT_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, (at_ms, _))| *at_ms).map(|(name, _)| name.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(name, (now_ms, found));
    }
}

/// A call that is what it claims to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// Whose.
    pub tenant: TenantId,
    /// Who answers.
    pub agent: AgentId,
    /// As Retell describes it, not as the socket did.
    pub call: Box<Call>,
}

/// The number of ours in a call.
fn ours(call: &Call) -> Option<&str> {
    match call.direction {
        Some(Direction::Outbound) => call.from_number.as_deref(),
        Some(Direction::Inbound | Direction::Other(_)) | None => call.to_number.as_deref(),
    }
}

/// Whether the socket's claim holds: none if Retell knows no such call, or it is not at a number of an account that is connected here.
///
/// # Errors
/// When that cannot be found out now.
pub async fn claim(client: &Client, tools: &Tools, call_id: &str, said: &Call) -> Result<Option<Claimed>, ActorError> {
    let Some(number) = ours(said).map(str::to_owned) else { return Ok(None) };
    let looks = &tools.retell.looks;
    let name = format!("{number}/{call_id}");
    if let Some(known) = looks.known(&name, client.now_ms()) {
        return Ok(known);
    }
    // Who cannot be looked at now is not kept waiting: Retell tries again three times.
    let Ok(_one) = looks.at_once.try_acquire() else { return Err(ActorError::Busy { retry_after_ms: 1_000 }) };
    let mut asked = false;
    for provider in [Provider::Retell, Provider::SimulatedRetell] {
        let Some(tenant) = lines::home(client, provider, &number).await? else { continue };
        let state = tools.lines(client, &tenant).await?;
        let Ok(account) = Account::of(client, tools, &tenant, provider, &state) else { continue };
        asked = true;
        let found = account.by_name(call_id).await.map_err(|fault| {
            tracing::info!(%fault, "a call without a key could not be looked up");
            ActorError::Busy { retry_after_ms: 1_000 }
        })?;
        let Some(call) = found else { continue };
        // It may be one of another number, or one that somebody heard of after it was over.
        let theirs = call.call_id == call_id && ours(&call) == Some(&number) && call.end().is_none();
        let Some(agents) = state.agents.get(&provider).filter(|_| theirs) else { continue };
        let agent = agents.iter().find(|(_, external)| call.agent_id.as_ref() == Some(external)).map(|(own, _)| own);
        if let Some(agent) = agent.cloned() {
            let claimed = Claimed { tenant, agent, call: Box::new(call) };
            looks.keep(name, client.now_ms(), Some(claimed.clone()));
            return Ok(Some(claimed));
        }
    }
    // Of a number that nobody has here nothing is kept: it cost no question.
    if asked {
        looks.keep(name, client.now_ms(), None);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_known_for_a_while_and_there_is_no_end_of_names_to_keep() {
        let looks = Looks::default();
        looks.keep("a".into(), 0, None);
        assert_eq!(looks.known("a", KEPT_MS - 1), Some(None));
        assert_eq!(looks.known("a", KEPT_MS), None, "asked anew");
        for n in 0..KEPT_MAX + 50 {
            looks.keep(format!("n{n}"), 1 + i64::try_from(n).expect("a count"), None);
        }
        assert_eq!(looks.lock().len(), KEPT_MAX);
        assert_eq!(looks.known("a", 5), None, "the oldest went first");
    }
}
