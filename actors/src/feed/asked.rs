//! What visitors asked lately, kept by the feed: the questions of the newest conversations, taken away with them when they are erased.

use std::collections::{BTreeMap, HashMap};

use colloquy_domain::conversation::AskedQuestion;
use colloquy_domain::vocabulary::Channel;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Conversations whose questions are kept: some megabytes, and more than anybody asks a list of ten about.
pub(super) const CONVERSATIONS_MAX: usize = 5_000;
/// Questions told at once, the newest ones: they fit a frame between nodes.
const TOLD_MAX: usize = 3_000;

/// The body of a row in the list of questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QuestionsRow {
    /// The agent that was asked.
    pub agent_id: String,
    /// How.
    pub channel: Channel,
    /// What.
    pub items: Vec<AskedQuestion>,
}

/// Which questions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Span {
    /// From this instant on, Unix milliseconds.
    pub from_ms: i64,
    /// Up to before this one.
    pub to_ms: i64,
    /// Of one agent.
    pub agent: Option<String>,
    /// Of one channel.
    pub channel: Option<Channel>,
}

/// A question and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The conversation.
    pub conversation: String,
    /// The question.
    #[serde(flatten)]
    pub question: AskedQuestion,
}

/// Questions of a span, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedList {
    /// The questions.
    pub items: Vec<Asked>,
    /// Whether there were more than are told, or than are kept.
    pub more: bool,
}

/// The questions of the newest conversations.
#[derive(Default)]
pub(super) struct Memory {
    by_time: BTreeMap<(i64, String), (u64, QuestionsRow)>,
    begun: HashMap<String, i64>,
    /// Something older was let go, or never read.
    pub(super) cut: bool,
}

impl Memory {
    /// Takes a row, unless a newer one of its conversation is known. One that cannot be read holds nothing.
    pub(super) fn take(&mut self, id: &str, at_ms: i64, seq: u64, body: Option<&Value>) {
        let row = body.and_then(|body| QuestionsRow::deserialize(body).ok());
        let known = self.begun.get(id).and_then(|begun| self.by_time.get(&(*begun, id.to_owned())));
        if known.is_some_and(|(known, _)| *known > seq) {
            return;
        }
        self.forget(id);
        let Some(row) = row else { return };
        self.begun.insert(id.to_owned(), at_ms);
        self.by_time.insert((at_ms, id.to_owned()), (seq, row));
        if self.by_time.len() > CONVERSATIONS_MAX
            && let Some(((_, oldest), _)) = self.by_time.pop_first()
        {
            self.begun.remove(&oldest);
            self.cut = true;
        }
    }

    /// Lets a conversation go.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(begun) = self.begun.remove(id) {
            self.by_time.remove(&(begun, id.to_owned()));
        }
    }

    /// The questions of a span, the newest first.
    pub(super) fn of(&self, span: &Span) -> AskedList {
        let fits = |row: &QuestionsRow| {
            span.agent.as_ref().is_none_or(|agent| *agent == row.agent_id)
                && span.channel.is_none_or(|channel| channel == row.channel)
        };
        let mut items: Vec<Asked> = self
            .by_time
            .iter()
            .filter(|(_, (_, row))| fits(row))
            .flat_map(|((_, id), (_, row))| {
                row.items.iter().map(|question| Asked { conversation: id.clone(), question: question.clone() })
            })
            .filter(|asked| (span.from_ms..span.to_ms).contains(&asked.question.at_ms))
            .collect();
        items.sort_by_key(|asked| std::cmp::Reverse(asked.question.at_ms));
        // What was let go is older than everything kept: it may only be missed by spans that begin before.
        let kept_since = self.by_time.first_key_value().map(|((at_ms, _), _)| *at_ms);
        let cut = self.cut && kept_since.is_none_or(|since| since > span.from_ms);
        let more = items.len() > TOLD_MAX || cut;
        items.truncate(TOLD_MAX);
        AskedList { items, more }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(agent: &str, questions: &[(i64, &str)]) -> Value {
        let items: Vec<Value> =
            questions.iter().map(|(at_ms, text)| json!({ "at_ms": at_ms, "text": text, "answered": true })).collect();
        json!({ "agent_id": agent, "channel": "chat", "items": items })
    }

    fn all() -> Span {
        Span { from_ms: 0, to_ms: i64::MAX, agent: None, channel: None }
    }

    fn texts(memory: &Memory, span: &Span) -> Vec<String> {
        memory.of(span).items.into_iter().map(|asked| asked.question.text).collect()
    }

    #[test]
    fn newer_rows_replace_older_ones_and_spans_choose() {
        let mut memory = Memory::default();
        memory.take("c1", 10, 4, Some(&body("a", &[(11, "one"), (30, "three")])));
        memory.take("c1", 10, 3, Some(&body("a", &[(11, "old")])));
        memory.take("c2", 20, 1, Some(&body("b", &[(21, "two")])));
        assert_eq!(texts(&memory, &all()), ["three", "two", "one"]);
        assert_eq!(texts(&memory, &Span { from_ms: 12, to_ms: 30, ..all() }), ["two"]);
        assert_eq!(texts(&memory, &Span { agent: Some("b".into()), ..all() }), ["two"]);
        assert_eq!(texts(&memory, &Span { channel: Some(Channel::Voice), ..all() }), [""; 0]);
    }

    #[test]
    fn what_was_erased_is_gone() {
        let mut memory = Memory::default();
        memory.take("c1", 10, 4, Some(&body("a", &[(11, "one")])));
        memory.take("c2", 20, 1, Some(&body("a", &[(21, "two")])));
        memory.forget("c1");
        memory.take("c2", 20, 2, None);
        assert_eq!(memory.of(&all()), AskedList::default());
    }

    #[test]
    fn the_oldest_are_let_go_and_it_is_said() {
        let mut memory = Memory::default();
        for nth in 0..=CONVERSATIONS_MAX as i64 {
            memory.take(&format!("c{nth}"), nth, 1, Some(&body("a", &[(nth, "q")])));
        }
        let told = memory.of(&all());
        assert_eq!((told.items.len(), told.more), (TOLD_MAX, true));
        assert!(!memory.of(&Span { from_ms: 4_990, ..all() }).more, "what is asked for is all there");
    }
}
