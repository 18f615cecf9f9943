//! Questions that got the fallback message, grouped by their words, to be answered by people (KB-25).

use super::{
    Outcome,
    command::Reply,
    event::Event,
    faqs::{self, Text, key_of},
    limits::{QUESTION_CHARS_MAX, UNANSWERED_MAX},
    state::Knowledge,
    system, writer,
};
use crate::{
    context::Context,
    decision::Decision,
    ids::ConversationId,
    rejection::Rejection,
    text::{one_line, shorten},
};

pub(super) fn note(state: &Knowledge, cx: &Context, question: &str, conversation: ConversationId) -> Outcome {
    system(cx)?;
    let key = key_of(question);
    // A question that has got its answer meanwhile is none any more.
    if key.is_empty() || state.faqs.values().any(|faq| key_of(&faq.question) == key) {
        return Ok(Decision::reply(Reply::Done));
    }
    let full = !state.unanswered.contains_key(&key) && state.unanswered.len() >= UNANSWERED_MAX;
    let rarest = state.unanswered.iter().min_by_key(|(_, entry)| (entry.count, entry.last_ms));
    let dropped = rarest.filter(|_| full).map(|(key, _)| key.clone());
    let question = shorten(&one_line(question), QUESTION_CHARS_MAX);
    Ok(Decision::event(Event::UnansweredNoted { key, question, conversation, dropped }, Reply::Done))
}

pub(super) fn answer(
    state: &Knowledge,
    cx: &Context,
    key: String,
    question: Option<String>,
    answer: String,
    category: String,
) -> Outcome {
    writer(state, cx)?;
    let entry = state.unanswered.get(&key).ok_or_else(|| Rejection::not_found("question"))?;
    let question = question.unwrap_or_else(|| entry.question.clone());
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
    let known = state.unanswered.values().any(|entry| entry.conversations.contains(&conversation));
    Ok(if known {
        Decision::event(Event::ConversationForgotten { conversation }, Reply::Done)
    } else {
        Decision::reply(Reply::Done)
    })
}
