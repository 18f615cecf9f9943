//! Erases a person everywhere in a tenant: every conversation, fork and lead of theirs loses its data key, and copies of their words go elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{ConversationId, TenantId};
use colloquy_domain::tenant::{Command, ErasureWho, Whom};
use colloquy_domain::{Principal, conversation, knowledge, lead};
use serde_json::Value;

use super::TenantEntity;
use crate::core::{Asked, ask};
use crate::knowledge::KnowledgeEntity;
use crate::{Tools, answers, feed};

/// Rows looked at in one go.
const BATCH: usize = 500;

/// What is searched: lists, and the kind of entity that stands behind their rows.
const SEARCHED: [(&str, &str); 3] = [
    (crate::conversation::LIST, conversation::KIND),
    (crate::conversation::SANDBOXES, conversation::KIND),
    (crate::lead::LIST, lead::KIND),
];

/// Runs one try of an erasure. What is gone stays gone, so it may be repeated.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, id: &str, attempt: u32, whom: &Whom) {
    let result = match erase(tools, handle.client(), &handle.key().tenant, whom).await {
        Ok(counts) => Command::ErasureProgress { id: id.to_owned(), attempt, counts, done: true },
        Err(reason) => Command::ErasureFailed { id: id.to_owned(), attempt, reason },
    };
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    if let Err(error) = handle.command::<TenantEntity>(Asked { by, command: result }).await {
        tracing::warn!(erasure = id, error = ?error, "an erasure's result could not be brought back");
    }
}

async fn erase(tools: &Tools, client: &Client, tenant: &str, whom: &Whom) -> Result<BTreeMap<String, u64>, String> {
    let found = search(client, tenant, |row| whom.is(&named(row), &tools.erasure_key)).await?;
    let mut counts = BTreeMap::new();
    for (list, kind) in SEARCHED {
        let ids: Vec<String> = found.rows.iter().filter(|row| row.list == list).map(|row| row.id.clone()).collect();
        for row in found.rows.iter().filter(|row| row.list == list) {
            forget(client, tenant, row).await?;
            client.erase(&EntityKey::new(tenant, kind, row.id.as_str())).await.map_err(|error| error.to_string())?;
            // Letters and text messages recorded for developers: an alert links to its conversation.
            tools.mailer.forget(&row.id);
            tools.sms.forget(&row.id);
            *counts.entry(list.to_owned()).or_insert(0) += 1;
        }
        if !ids.is_empty() {
            feed::forget(client, &TenantId::from(tenant), list, ids).await?;
        }
    }
    // Whether anything was found or not: an earlier try may have come this far.
    for scope in [answers::scope_of_tenant(tenant), answers::scope_of_tenant(answers::ANYBODY)] {
        let gone = Bytes::from_static(answers::GONE);
        client.store().answers.forget(&scope, gone).await.map_err(|error| error.to_string())?;
    }
    Ok(counts)
}

/// Lets the agent's knowledge forget a conversation. It holds no words of it, only where a question stands.
async fn forget(client: &Client, tenant: &str, row: &Found) -> Result<(), String> {
    let Some(agent) = row.agent.as_deref().filter(|_| row.list == crate::conversation::LIST) else { return Ok(()) };
    let by = Principal::system(TenantId::from(tenant));
    let forget = knowledge::Command::ForgetConversation { conversation: ConversationId(row.id.clone()) };
    match ask::<KnowledgeEntity>(client, &by, agent, forget).await {
        // An agent that was deleted has forgotten already.
        Ok(_) | Err(crate::ActorError::Rejected(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What is the person's.
#[derive(Default)]
struct Theirs {
    rows: Vec<Found>,
    known: BTreeSet<(&'static str, String)>,
    /// Conversations, as leads name them.
    conversations: BTreeSet<String>,
    /// Visitors: the same browser is taken for the same person.
    visitors: BTreeSet<String>,
}

struct Found {
    list: &'static str,
    id: String,
    agent: Option<String>,
}

/// All rows that are about the person, and what hangs together with them: a lead and its conversation, what else the same browser said, and forks
/// of it. Collected before anything is erased, because erased rows say nothing any more.
async fn search(client: &Client, tenant: &str, is_about: impl Fn(&Value) -> bool) -> Result<Theirs, String> {
    let mut theirs = Theirs::default();
    loop {
        let before = theirs.rows.len();
        for (list, _) in SEARCHED {
            let mut after: Option<After> = None;
            loop {
                let range = Range { after: after.clone(), limit: BATCH, ..Range::default() };
                let rows = client.list::<Value>(tenant, list, &range).await.map_err(|error| error.to_string())?;
                // A short batch is not the last one: rows that cannot be read any more were left out of it.
                let Some(last) = rows.last() else { break };
                after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
                for row in rows {
                    theirs.look_at(list, row.id, &row.body, &is_about);
                }
            }
        }
        // What was found in a later list may lead to more in an earlier one.
        if theirs.rows.len() == before {
            return Ok(theirs);
        }
    }
}

impl Theirs {
    fn look_at(&mut self, list: &'static str, id: String, row: &Value, is_about: impl Fn(&Value) -> bool) {
        let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let conversation = if list == crate::lead::LIST { text("conversation_id") } else { Some(id.clone()) };
        let visitor = text("visitor_id");
        let linked = conversation.as_ref().is_some_and(|id| self.conversations.contains(id))
            || visitor.as_ref().is_some_and(|id| self.visitors.contains(id));
        if !(linked || is_about(row)) || !self.known.insert((list, id.clone())) {
            return;
        }
        self.conversations.extend(conversation);
        self.visitors.extend(visitor);
        self.rows.push(Found { list, id, agent: text("agent_id") });
    }
}

/// The addresses, numbers and visitors that a row names.
fn named(row: &Value) -> ErasureWho {
    let text = |names: [&str; 2]| names.iter().find_map(|name| row[*name].as_str()).map(str::to_owned);
    ErasureWho {
        email: text(["visitor_email", "email"]),
        phone: text(["visitor_phone", "phone"]),
        visitor_id: text(["visitor_id", "visitor_id"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: [u8; 32] = [5; 32];

    fn who(email: Option<&str>, phone: Option<&str>, visitor: Option<&str>) -> Whom {
        let who = ErasureWho {
            email: email.map(Into::into),
            phone: phone.map(Into::into),
            visitor_id: visitor.map(Into::into),
        };
        Whom::of(&who, &KEY)
    }

    #[test]
    fn a_person_is_found_by_address_number_or_browser() {
        let row =
            json!({ "visitor_email": "Jo@Example.com", "visitor_phone": "+14155550100", "visitor_id": "browser.ab12" });
        let is = |whom: Whom| whom.is(&named(&row), &KEY);
        assert!(is(who(Some("jo@example.com"), None, None)));
        assert!(is(who(None, Some("(415) 555-0100"), None)));
        assert!(is(who(None, None, Some("browser"))));
        assert!(is(who(None, None, Some("browser.ab12"))));
        assert!(!is(who(Some("joe@example.com"), Some("+14155550101"), Some("brow"))));
        assert!(!is(who(None, None, None)));
    }

    #[test]
    fn what_hangs_together_is_found_whichever_part_names_the_person() {
        let (talks, leads, forks) = (crate::conversation::LIST, crate::lead::LIST, crate::conversation::SANDBOXES);
        let rows = [
            (talks, "c1", json!({ "visitor_id": "b.1" })),
            (talks, "c2", json!({ "visitor_id": "b.1" })),
            (talks, "c3", json!({ "visitor_id": "b.2" })),
            (talks, "c4", json!({ "visitor_id": "" })),
            (talks, "c5", json!({ "visitor_id": "" })),
            (forks, "f1", json!({ "visitor_id": "b.1" })),
            (leads, "l1", json!({ "email": "ann@example.com", "conversation_id": "c1" })),
            (leads, "l2", json!({ "conversation_id": "c2" })),
            (leads, "l3", json!({ "conversation_id": "c3" })),
        ];
        let mut theirs = Theirs::default();
        for _ in 0..3 {
            for (list, id, row) in &rows {
                theirs.look_at(list, (*id).to_owned(), row, |row| row["email"] == "ann@example.com");
            }
        }
        let found: BTreeSet<&str> = theirs.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(found, BTreeSet::from(["c1", "c2", "f1", "l1", "l2"]));
        assert_eq!(theirs.rows.len(), found.len(), "each once");
    }
}
