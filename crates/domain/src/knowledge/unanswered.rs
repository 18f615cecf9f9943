//! Questions that got the fallback message, grouped by their words, to be answered by people (KB-25).

use serde_json::Value;

use super::{
    Outcome,
    command::Reply,
    event::Event,
    faqs::{self, Text, key_of},
    limits::UNANSWERED_MAX,
    state::Knowledge,
    system, writer,
};
use crate::{context::Context, decision::Decision, ids::ConversationId, rejection::Rejection};

/// What the key of groups is derived for: the decision's randomness also makes ids, which are seen.
const GROUPING: &str = "colloquy unanswered questions grouping v1";
/// Stands for the key where journals of version 1 are read: their words stand in them anyway.
const UNKEYED: [u8; 32] = [0; 32];
/// Hexadecimal digits of a group's name: 128 bits.
const GROUP_CHARS: usize = 32;

pub(super) fn note(state: &Knowledge, cx: &Context, question: &str, conversation: ConversationId, seq: u64) -> Outcome {
    system(cx)?;
    let words = key_of(question);
    // A question that has got its answer meanwhile is none any more.
    if words.is_empty() || state.faqs.values().any(|faq| key_of(&faq.question) == words) {
        return Ok(Decision::reply(Reply::Done));
    }
    let mut events = Vec::new();
    let grouping = state.grouping.unwrap_or_else(|| {
        let key = blake3::derive_key(GROUPING, &cx.seed);
        events.push(Event::GroupingSet { key });
        key
    });
    // Groups of version 1 go on under their own name.
    let old = group(&UNKEYED, &words);
    let key = if state.unanswered.contains_key(&old) { old } else { group(&grouping, &words) };
    let full = !state.unanswered.contains_key(&key) && state.unanswered.len() >= UNANSWERED_MAX;
    let rarest = state.unanswered.iter().min_by_key(|(_, entry)| (entry.count, entry.last_ms));
    let dropped = rarest.filter(|_| full).map(|(key, _)| key.clone());
    events.push(Event::UnansweredNoted { key, conversation, seq, dropped });
    Ok(Decision::new(events, Reply::Done))
}

pub(super) fn answer(
    state: &Knowledge,
    cx: &Context,
    key: String,
    question: String,
    answer: String,
    category: String,
) -> Outcome {
    writer(state, cx)?;
    if !state.unanswered.contains_key(&key) {
        return Err(Rejection::not_found("question"));
    }
    let event = faqs::new(state, cx, Text { question, answer, category, priority: 0 })?;
    Ok(faqs::put(state, cx, vec![event, Event::UnansweredClosed { key }]))
}

pub(super) fn dismiss(state: &Knowledge, cx: &Context, key: String) -> Outcome {
    writer(state, cx)?;
    if state.unanswered.contains_key(&key) {
        Ok(Decision::event(Event::UnansweredClosed { key }, Reply::Done))
    } else {
        Err(Rejection::not_found("question"))
    }
}

pub(super) fn forget(state: &Knowledge, cx: &Context, conversation: ConversationId) -> Outcome {
    system(cx)?;
    let known =
        state.unanswered.values().any(|entry| entry.asked.iter().any(|asked| asked.conversation == conversation));
    Ok(if known {
        Decision::event(Event::ConversationForgotten { conversation }, Reply::Done)
    } else {
        Decision::reply(Reply::Done)
    })
}

/// The groups that a question belongs to, of those that are there: under today's name or under that of version 1.
pub(super) fn groups_of(state: &Knowledge, question: &str) -> Vec<String> {
    let words = key_of(question);
    let names = [Some(UNKEYED), state.grouping].into_iter().flatten().map(|key| group(&key, &words));
    names.filter(|name| state.unanswered.contains_key(name)).collect()
}

/// Whether words are the question of a group of version 1, whose place in its conversation is not known.
pub fn same_question(key: &str, words: &str) -> bool {
    key == group(&UNKEYED, &key_of(words))
}

/// Brings an event of version 1 to today's shape: it held the question, and its normalised words as the key.
pub(super) fn without_words(mut event: Value) -> Result<Value, String> {
    let noted = event["type"] == "unanswered_noted";
    if !noted && event["type"] != "unanswered_closed" {
        return Ok(event);
    }
    let object = event.as_object_mut().ok_or("an event is an object")?;
    for name in ["key", "dropped"] {
        if let Some(words) = object.get(name).and_then(Value::as_str) {
            let hash = group(&UNKEYED, words);
            object.insert(name.to_owned(), Value::String(hash));
        }
    }
    if noted {
        object.remove("question");
        object.insert("seq".to_owned(), Value::from(0));
    }
    Ok(event)
}

/// The name of a group of questions.
fn group(key: &[u8; 32], words: &str) -> String {
    blake3::keyed_hash(key, words.as_bytes()).to_hex()[..GROUP_CHARS].to_owned()
}
