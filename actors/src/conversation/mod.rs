//! The conversation entity: carries out what a conversation still has to do, and brings results back as commands.

mod alert;
mod answer;
mod booking;
mod lookup;
mod model;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_domain::conversation::{self, Effect, Event, State};
use colloquy_domain::ids::VisitorId;
use colloquy_domain::{contact_guard, tenant, thread};
use serde_json::json;

pub use stream::{Streamed, Streaming, Streams, streaming};

use crate::Tools;
use crate::core::{Core, message, pure_core, pure_work};
use crate::{bulletin, feed};

/// The list that conversations are projected into.
pub const LIST: &str = "conversations";
/// The list that forks of conversations are projected into, to be found when a person is erased.
pub const SANDBOXES: &str = "sandboxes";
/// The list of conversations in which an address or number was corrected, by keyed hashes of those before, or that were merged into another one, to be found
/// when a person is erased.
pub const FORMER: &str = "former_contacts";
/// The list of what was asked in conversations, for the most frequent questions.
pub const QUESTIONS: &str = "questions";
/// The version of the row's shape: a higher one replaces rows of the same event.
const VIEW_VERSION: u16 = 4;

/// The kind `conversation`.
pub struct ConversationEntity {
    tools: Arc<Tools>,
}

impl ConversationEntity {
    /// With what its effects need.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for ConversationEntity {
    type Plain = conversation::Command;
}

impl Entity for ConversationEntity {
    pure_core!(conversation, State, 2, 1, true);
    pure_work!(conversation, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &State, seq: u64) -> Vec<Row> {
        let Some(row) = conversation::view::list_row(state) else { return Vec::new() };
        if row.sandbox {
            // A sandbox is nobody's conversation: it is shown in no list and counts nowhere. But who erases a person must find it.
            return vec![Row {
                tenant: key.tenant.to_string(),
                list: SANDBOXES.to_owned(),
                at_ms: state.started_at_ms,
                id: key.id.to_string(),
                seq,
                view_version: VIEW_VERSION,
                body: feed::encode(&row),
                numbers: None,
            }];
        }
        let numbers = feed::Contribution { agent: state.agent_id.to_string(), numbers: conversation::numbers(state) };
        let listed = Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.started_at_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&row),
            numbers: feed::encode(&numbers),
        };
        let own = Row {
            list: visitor_list(&state.visitor.id),
            body: feed::encode(&conversation::view::visitor_conversation(state)),
            numbers: None,
            ..listed.clone()
        };
        let hashes: BTreeSet<String> =
            contacts(state).flat_map(|(email, phone)| tenant::hashes(email, phone, &self.tools.erasure_key)).collect();
        let former = Row {
            list: FORMER.to_owned(),
            // The browser it began in names the same person.
            body: feed::encode(&json!({
                "visitor_id": state.claimed_from.as_ref().unwrap_or(&state.visitor.id), "known_as": hashes,
                "merged_into": state.merged_into,
            })),
            numbers: None,
            ..listed.clone()
        };
        // While an answer is made, what was asked can wait for it: search is a row a turn, not two.
        let words = state.open.is_none().then(|| self.tools.words.row(&listed, state));
        let mut rows = vec![listed];
        let items = conversation::questions(state);
        if !items.is_empty() {
            let asked = feed::QuestionsRow { agent_id: state.agent_id.to_string(), channel: state.channel, items };
            let body = feed::encode(&asked);
            rows.push(Row { list: QUESTIONS.to_owned(), body, numbers: None, ..rows[0].clone() });
        }
        rows.push(own);
        // It is in the list of the browser it began in no more: whoever sits there now need not be this person.
        if let Some(before) = &state.claimed_from {
            rows.push(Row { list: visitor_list(before), body: None, numbers: None, ..rows[0].clone() });
        }
        // Without corrections the conversation's own row names all there ever was.
        if !state.former.is_empty()
            || !state.lines.is_empty()
            || state.claimed_from.is_some()
            || state.visitor.email.is_some()
            || state.visitor.phone.is_some()
            || state.merged_into.is_some()
        {
            rows.push(former);
        }
        rows.extend(words);
        rows
    }

    fn seals(list: &str) -> bool {
        list != crate::search::LIST
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn outbox(&self, key: &EntityKey, state: &State, event: &Event, at: At) -> Vec<Message> {
        let mut messages = Vec::new();
        if let Some((lead, command)) = conversation::lead_message(state, event) {
            messages.push(message(&key.tenant, colloquy_domain::lead::KIND, lead.as_str(), command));
        }
        if let Some((lead, command)) = conversation::qualified(state, event) {
            messages.push(message(&key.tenant, colloquy_domain::lead::KIND, lead.as_str(), command));
        }
        if let Some(number) = conversation::never_again(state, event) {
            let address = contact_guard::Address::of_carrier(number);
            let entry = contact_guard::NewEntry {
                masked: address.masked(),
                reach: contact_guard::state::STOP_REACHES,
                source: contact_guard::Source::Complaint,
                reason: "said in a call not to be called again".to_owned(),
                expires_ms: None,
            };
            let guard = address.id(&self.tools.contact_key);
            let command = contact_guard::Command::AddEntry(Box::new(entry));
            messages.push(message(&key.tenant, contact_guard::KIND, &guard, command));
        }
        for wished in conversation::contacting::wished(state, event) {
            let command = contact_guard::Command::Wish {
                masked: wished.address.masked(),
                reach: wished.reach,
                conversation: state.id.to_string(),
                stop: wished.stop,
            };
            let guard = wished.address.id(&self.tools.contact_key);
            messages.push(message(&key.tenant, contact_guard::KIND, &guard, command));
        }
        if let Some(command) = conversation::knowledge_message(state, event, at.seq) {
            messages.push(message(&key.tenant, colloquy_domain::knowledge::KIND, state.agent_id.as_str(), command));
        }
        if let Event::MergedInto { into, .. } = event {
            let absorbed = conversation::Command::Absorb(Box::new(conversation::merge::Absorbed::of(state)));
            messages.push(message(&key.tenant, conversation::KIND, into.as_str(), absorbed));
            let numbers: BTreeSet<&str> = state.lines.values().map(|line| line.to.as_str()).collect();
            for number in numbers {
                let thread = crate::thread::id(&self.tools, &state.agent_id, number);
                let moved = thread::Command::Moved { from: state.id.clone(), into: into.clone() };
                messages.push(message(&key.tenant, thread::KIND, &thread, moved));
            }
            if let Some(person) = &state.visitor.external_id {
                let thread = crate::thread::of_person(&self.tools, &state.agent_id, person);
                let moved = thread::Command::Moved { from: state.id.clone(), into: into.clone() };
                messages.push(message(&key.tenant, thread::KIND, &thread, moved));
            }
        }
        let news = colloquy_domain::bulletin::of_conversation(state, event);
        messages.extend(news.map(|news| bulletin::tell(&key.tenant, news)));
        messages
    }

    fn watched(&self, _key: &EntityKey, _state: &State, event: &Event, _at: At) -> Option<Bytes> {
        feed::encode(event)
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Repeatable: after a crash it is answered again under a higher attempt.
            Effect::AnswerTurn { turn, attempt, answer_id } => {
                answer::turn(&self.tools, &handle, turn, attempt, answer_id).await
            }
            // Once only for text messages, keyed for mail: the attempt is in the journal before anything leaves.
            Effect::SendAlert { alert } => alert::send(&self.tools, &handle, *alert).await,
            Effect::Send { outgoing } => crate::messages::send::run(&self.tools, &handle, *outgoing).await,
            Effect::CheckAlert { alert } => alert::check(&self.tools, &handle, *alert).await,
        }
    }
}

/// Every address and number that the visitor was known by.
fn contacts(state: &State) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
    let vouched = (state.visitor.email.as_deref(), state.visitor.phone.as_deref());
    let given = state.former.iter().chain([&state.contact]);
    let lines = state.lines.values().map(|line| (None, Some(line.to.as_str())));
    given.map(|contact| (contact.email.as_deref(), contact.phone.as_deref())).chain([vouched]).chain(lines)
}

/// The list of one visitor's own conversations. Its name stands in the clear and outlives an erasure, so it does not name the visitor: the id ends in
/// a part that only the installation can make, so that nobody can try ids either.
pub fn visitor_list(visitor: &VisitorId) -> String {
    format!("visitor/{}", blake3::hash(visitor.as_str().as_bytes()).to_hex())
}

/// What the list of a visitor's own conversations was called before names were hidden: rows of conversations that rest since are in it.
pub fn visitor_list_before(visitor: &VisitorId) -> String {
    format!("visitor/{visitor}")
}
