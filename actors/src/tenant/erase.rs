//! Erases a person everywhere in a tenant: every conversation, fork and lead of theirs loses its data key, and copies of their words go elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{ConversationId, TenantId};
use colloquy_domain::tenant::{Command, ErasureWho, Whom};
use colloquy_domain::{Principal, appointment, calendar, call, contact_guard, conversation, knowledge, lead, thread};
use serde_json::Value;

use super::TenantEntity;
use crate::calendar::CalendarEntity;
use crate::conversation::ConversationEntity;
use crate::core::{Asked, ask};
use crate::guard::ContactGuardEntity;
use crate::knowledge::KnowledgeEntity;
use crate::thread::ThreadEntity;
use crate::{ActorError, Tools, answers, calls, feed};

/// Rows looked at in one go.
const BATCH: usize = 500;

/// How long rows may trail what they tell of: a person is looked for again after this long, until nothing new is found.
const ROWS_TRAIL: Duration = Duration::from_secs(2);

/// What is searched: lists, and the kind of entity that stands behind their rows.
const SEARCHED: [(&str, &str); 6] = [
    (crate::conversation::LIST, conversation::KIND),
    (crate::conversation::SANDBOXES, conversation::KIND),
    (crate::lead::LIST, lead::KIND),
    (crate::appointment::LIST, appointment::KIND),
    (crate::appointment::REFUSED, appointment::KIND),
    (crate::calls::LIST, call::KIND),
];

/// Lists whose rows name the conversation they come from instead of being one.
const OF_CONVERSATIONS: [&str; 4] =
    [crate::lead::LIST, crate::appointment::LIST, crate::appointment::REFUSED, crate::calls::LIST];

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
    let mut theirs = Theirs::default();
    loop {
        let before = theirs.rows.len();
        search(client, tenant, &mut theirs, |row| about(row, whom, &tools.erasure_key)).await?;
        for at in before..theirs.rows.len() {
            erase_one(tools, client, tenant, &mut theirs, at).await?;
        }
        // The live boards may have been told of a row since.
        for (list, _) in SEARCHED {
            let ids: Vec<String> =
                theirs.rows.iter().filter(|row| row.list == list).map(|row| row.id.clone()).collect();
            if !ids.is_empty() {
                feed::forget(client, &TenantId::from(tenant), list, ids).await?;
            }
        }
        if theirs.looked_again && theirs.rows.len() == before {
            break;
        }
        // What the person said a moment ago stands already, its rows may not.
        theirs.looked_again = true;
        tokio::time::sleep(ROWS_TRAIL).await;
    }
    let leads = theirs.rows.iter().filter(|row| row.list == crate::lead::LIST).map(|row| row.id.clone()).collect();
    let about_them = |row: &Value| about(row, whom, &tools.erasure_key);
    let called = crate::campaign::erase::person(client, &TenantId::from(tenant), &leads, about_them).await?;
    let by = Principal::system(TenantId::from(tenant));
    for guard in &whom.guards {
        let forget = contact_guard::Command::ForgetWords;
        ask::<ContactGuardEntity>(client, &by, guard, forget).await.map_err(|error| error.to_string())?;
    }
    let mut counts = BTreeMap::new();
    if called > 0 {
        counts.insert("campaign_targets".to_owned(), called);
    }
    for row in &theirs.rows {
        *counts.entry(row.list.to_owned()).or_insert(0) += 1;
    }
    // Whether anything was found or not: an earlier try may have come this far.
    for scope in [answers::scope_of_tenant(tenant), answers::scope_of_tenant(answers::ANYBODY)] {
        let gone = Bytes::from_static(answers::GONE);
        client.store().answers.forget(&scope, gone).await.map_err(|error| error.to_string())?;
    }
    Ok(counts)
}

/// Erases what stands behind a row. A conversation's lead goes first: it is known by the conversation's state before it has a row of its own, and
/// what the conversation tells it afterwards finds it erased.
async fn erase_one(tools: &Tools, client: &Client, tenant: &str, theirs: &mut Theirs, at: usize) -> Result<(), String> {
    let row = theirs.rows[at].clone();
    let kind = SEARCHED.iter().find(|(list, _)| *list == row.list).map_or(conversation::KIND, |(_, kind)| kind);
    let gone = |kind: &str, id: &str| {
        let key = EntityKey::new(tenant, kind, id);
        async move { client.erase(&key).await.map_err(|error| error.to_string()) }
    };
    if kind == conversation::KIND
        && let Some(lead) = lead_of(client, tenant, &row.id).await?
        && theirs.known.insert((crate::lead::LIST, lead.clone()))
    {
        gone(lead::KIND, &lead).await?;
        theirs.rows.push(Found { list: crate::lead::LIST, id: lead, agent: None, calendar: None });
    }
    if kind == conversation::KIND {
        let agent = row.agent.as_deref().filter(|_| row.list == crate::conversation::LIST);
        return erase_conversation(tools, client, &TenantId::from(tenant), &row.id, agent).await;
    }
    give_back(client, tenant, &row).await?;
    if kind == call::KIND {
        let key = EntityKey::new(tenant, kind, row.id.as_str());
        calls::recording::delete(client, &key).await.map_err(|error| error.to_string())?;
    }
    gone(kind, &row.id).await?;
    tools.mailer.forget(&row.id);
    tools.sms.forget(&row.id);
    Ok(())
}

/// Erases one conversation with its calls, and what its agent's knowledge knows of it. What became of it, such as a lead, stays.
pub(crate) async fn erase_conversation(
    tools: &Tools,
    client: &Client,
    tenant: &TenantId,
    id: &str,
    agent: Option<&str>,
) -> Result<(), String> {
    forget_numbers(tools, client, tenant, id).await?;
    forget(client, tenant, id, agent).await?;
    let key = EntityKey::new(tenant.as_str(), conversation::KIND, id);
    client.erase(&key).await.map_err(|error| error.to_string())?;
    crate::messages::files::delete_all(client, &key).await.map_err(|error| error.to_string())?;
    // Letters and text messages recorded for developers: an alert links to its conversation.
    tools.mailer.forget(id);
    tools.sms.forget(id);
    Ok(())
}

/// The lead that a conversation became, as the conversation itself knows it.
async fn lead_of(client: &Client, tenant: &str, conversation: &str) -> Result<Option<String>, String> {
    let by = Principal::system(TenantId::from(tenant));
    match ask::<ConversationEntity>(client, &by, conversation, conversation::Command::Get).await {
        Ok(conversation::Reply::State(state)) => Ok(state.lead.map(|lead| lead.id.0)),
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
        // What cannot be read can be erased all the same, and its lead by its own row.
        Err(ActorError::Damaged(detail)) => {
            tracing::warn!(%detail, "a conversation is erased unread");
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Erases a conversation's calls, and lets the threads of its numbers forget it. Threads know no number and no word, but where a number's messages went.
async fn forget_numbers(tools: &Tools, client: &Client, tenant: &TenantId, conversation: &str) -> Result<(), String> {
    let by = Principal::system(tenant.clone());
    let state = match ask::<ConversationEntity>(client, &by, conversation, conversation::Command::Get).await {
        Ok(conversation::Reply::State(state)) => state,
        // What is gone, or cannot be read any more, names no number.
        Ok(_) | Err(ActorError::Rejected(_) | ActorError::Damaged(_)) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    for link in &state.calls {
        let key = EntityKey::new(tenant.as_str(), call::KIND, link.id.as_str());
        calls::recording::delete(client, &key).await.map_err(|error| error.to_string())?;
        client.erase(&key).await.map_err(|error| error.to_string())?;
    }
    let numbers: BTreeSet<&str> =
        state.lines.values().map(|line| line.to.as_str()).chain(state.visitor.phone.as_deref()).collect();
    let person = state.visitor.external_id.iter().map(|id| crate::thread::of_person(tools, &state.agent_id, id));
    let threads: Vec<String> =
        numbers.into_iter().map(|number| crate::thread::id(tools, &state.agent_id, number)).chain(person).collect();
    for thread in threads {
        let forget = thread::Command::Forget { conversation: state.id.clone() };
        match ask::<ThreadEntity>(client, &by, &thread, forget).await {
            Ok(_) | Err(ActorError::Rejected(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Lets the agent's knowledge forget a conversation. It holds no words of it, only where a question stands.
async fn forget(client: &Client, tenant: &TenantId, id: &str, agent: Option<&str>) -> Result<(), String> {
    let Some(agent) = agent else { return Ok(()) };
    let by = Principal::system(tenant.clone());
    let forget = knowledge::Command::ForgetConversation { conversation: ConversationId(id.to_owned()) };
    match ask::<KnowledgeEntity>(client, &by, agent, forget).await {
        // An agent that was deleted has forgotten already.
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives the slot of an appointment back: who was erased does not come.
async fn give_back(client: &Client, tenant: &str, row: &Found) -> Result<(), String> {
    let Some(calendar) = row.calendar.as_deref() else { return Ok(()) };
    let by = Principal::system(TenantId::from(tenant));
    let release = calendar::Command::Release { appointment: row.id.as_str().into() };
    match ask::<CalendarEntity>(client, &by, calendar, release).await {
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(()),
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
    /// Whether rows have had the time to catch up since the first look.
    looked_again: bool,
}

#[derive(Clone)]
struct Found {
    list: &'static str,
    id: String,
    agent: Option<String>,
    calendar: Option<String>,
}

/// All rows that are about the person, and what hangs together with them: a lead and its conversation, what else the same browser said, and forks
/// of it. Collected before anything is erased, because erased rows say nothing any more.
async fn search(
    client: &Client,
    tenant: &str,
    theirs: &mut Theirs,
    is_about: impl Fn(&Value) -> bool,
) -> Result<(), String> {
    loop {
        let before = (theirs.rows.len(), theirs.conversations.len());
        for list in SEARCHED.map(|(list, _)| list).into_iter().chain([crate::conversation::FORMER]) {
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
        if (theirs.rows.len(), theirs.conversations.len()) == before {
            return Ok(());
        }
    }
}

impl Theirs {
    fn look_at(&mut self, list: &'static str, id: String, row: &Value, is_about: impl Fn(&Value) -> bool) {
        let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if list == crate::conversation::FORMER {
            // It only says who the conversation was with: the conversation's own row is found by it. Whom people merged into one is one.
            let merged = text("merged_into");
            let linked = merged.as_ref().is_some_and(|into| self.conversations.contains(into));
            if linked || self.conversations.contains(&id) || is_about(row) {
                self.conversations.insert(id);
                self.conversations.extend(merged);
            }
            return;
        }
        let conversation = if OF_CONVERSATIONS.contains(&list) { text("conversation_id") } else { Some(id.clone()) };
        let visitor = text("visitor_id");
        let linked = conversation.as_ref().is_some_and(|id| self.conversations.contains(id))
            || visitor.as_ref().is_some_and(|id| self.visitors.contains(id));
        if !(linked || is_about(row)) || !self.known.insert((list, id.clone())) {
            return;
        }
        self.conversations.extend(conversation);
        self.visitors.extend(visitor);
        self.rows.push(Found { list, id, agent: text("agent_id"), calendar: text("calendar_id") });
    }
}

/// Whether a row names the person, or is known to have named them.
fn about(row: &Value, whom: &Whom, key: &[u8; 32]) -> bool {
    let hashes = row["known_as"].as_array().into_iter().flatten().filter_map(Value::as_str);
    whom.is(&named(row), key) || whom.is_hashed(hashes)
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
            (talks, "c6", json!({ "visitor_id": "b.6" })),
            (talks, "c7", json!({ "visitor_id": "b.7" })),
            (crate::conversation::FORMER, "c6", json!({ "merged_into": "c1" })),
            (crate::conversation::FORMER, "c7", json!({ "merged_into": "c5" })),
        ];
        let mut theirs = Theirs::default();
        for _ in 0..3 {
            for (list, id, row) in &rows {
                theirs.look_at(list, (*id).to_owned(), row, |row| row["email"] == "ann@example.com");
            }
        }
        let found: BTreeSet<&str> = theirs.rows.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(found, BTreeSet::from(["c1", "c2", "c6", "f1", "l1", "l2"]));
        assert_eq!(theirs.rows.len(), found.len(), "each once");
    }
}
