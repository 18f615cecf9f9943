//! Erases a person everywhere in a tenant: every conversation and lead that names their address, number or visitor id loses its data key.

use std::collections::{BTreeMap, BTreeSet};

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{ConversationId, TenantId};
use colloquy_domain::tenant::{Command, ErasureWho};
use colloquy_domain::{Principal, conversation, knowledge, lead, text};
use serde_json::Value;

use super::TenantEntity;
use crate::Tools;
use crate::core::{Asked, ask};
use crate::knowledge::KnowledgeEntity;

/// Rows looked at in one go.
const BATCH: usize = 500;

/// Runs one try of an erasure. What is gone stays gone, so it may be repeated.
pub(super) async fn run(_tools: &Tools, handle: &EffectHandle, id: &str, attempt: u32, who: &ErasureWho) {
    let result = match erase(handle.client(), &handle.key().tenant, who).await {
        Ok(counts) => Command::ErasureProgress { id: id.to_owned(), attempt, counts, done: true },
        Err(reason) => Command::ErasureFailed { id: id.to_owned(), attempt, reason },
    };
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    if let Err(error) = handle.command::<TenantEntity>(Asked { by, command: result }).await {
        tracing::warn!(erasure = id, error = ?error, "an erasure's result could not be brought back");
    }
}

async fn erase(client: &Client, tenant: &str, who: &ErasureWho) -> Result<BTreeMap<String, u64>, String> {
    let by = Principal::system(TenantId::from(tenant));
    let mut counts = BTreeMap::new();
    let mut agents = BTreeSet::new();
    for (list, kind) in [(crate::conversation::LIST, conversation::KIND), (crate::lead::LIST, lead::KIND)] {
        for (id, row) in matching(client, tenant, list, who).await? {
            client.erase(&EntityKey::new(tenant, kind, id.as_str())).await.map_err(|error| error.to_string())?;
            *counts.entry(list.to_owned()).or_insert(0) += 1;
            if let Some(agent) = row["agent_id"].as_str() {
                agents.insert((agent.to_owned(), row["conversation_id"].as_str().unwrap_or(id.as_str()).to_owned()));
            }
        }
    }
    for (agent, conversation) in agents {
        let forget = knowledge::Command::ForgetConversation { conversation: ConversationId(conversation) };
        // An agent that was deleted has forgotten already.
        if let Err(error) = ask::<KnowledgeEntity>(client, &by, &agent, forget).await
            && !matches!(error, crate::ActorError::Rejected(_))
        {
            return Err(error.to_string());
        }
    }
    Ok(counts)
}

/// All rows of a list that are about the person. Collected before anything is erased, because erased rows say nothing any more.
async fn matching(client: &Client, tenant: &str, list: &str, who: &ErasureWho) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    let mut after: Option<After> = None;
    loop {
        let range = Range { after: after.clone(), limit: BATCH, ..Range::default() };
        let rows = client.list::<Value>(tenant, list, &range).await.map_err(|error| error.to_string())?;
        let last = rows.len() < BATCH;
        for row in rows {
            after = Some(After { at_ms: row.at_ms, id: row.id.clone() });
            if is_about(&row.body, who) {
                found.push((row.id, row.body));
            }
        }
        if last {
            return Ok(found);
        }
    }
}

fn is_about(row: &Value, who: &ErasureWho) -> bool {
    let field =
        |names: [&str; 2]| names.iter().filter_map(|name| row[*name].as_str()).map(str::to_owned).collect::<Vec<_>>();
    let email = who
        .email
        .as_ref()
        .is_some_and(|wanted| field(["visitor_email", "email"]).iter().any(|have| have.eq_ignore_ascii_case(wanted)));
    let phone = who.phone.as_ref().is_some_and(|wanted| {
        let wanted = text::valid_phone(wanted).unwrap_or_else(|_| wanted.clone());
        field(["visitor_phone", "phone"]).iter().any(|have| text::valid_phone(have).as_ref().unwrap_or(have) == &wanted)
    });
    let visitor = who.visitor_id.as_ref().is_some_and(|wanted| {
        // A visitor's id is the browser's own, a dot, and what tells apart two who claim the same one.
        field(["visitor_id", "visitor_id"])
            .iter()
            .any(|have| have == wanted || have.rsplit_once('.').is_some_and(|(own, _)| own == wanted))
    });
    email || phone || visitor
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_is_found_by_address_number_or_browser() {
        let row =
            json!({ "visitor_email": "Jo@Example.com", "visitor_phone": "+14155550100", "visitor_id": "browser.ab12" });
        let who = |email: Option<&str>, phone: Option<&str>, visitor: Option<&str>| ErasureWho {
            email: email.map(Into::into),
            phone: phone.map(Into::into),
            visitor_id: visitor.map(Into::into),
        };
        assert!(is_about(&row, &who(Some("jo@example.com"), None, None)));
        assert!(is_about(&row, &who(None, Some("(415) 555-0100"), None)));
        assert!(is_about(&row, &who(None, None, Some("browser"))));
        assert!(!is_about(&row, &who(Some("joe@example.com"), Some("+14155550101"), Some("brow"))));
        assert!(!is_about(&row, &who(None, None, None)));
    }
}
