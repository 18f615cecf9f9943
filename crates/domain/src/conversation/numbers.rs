//! What one conversation contributes to its tenant's live counts.

use super::{State, turn::calls_a_person};
use crate::{
    numbers::Numbers,
    vocabulary::{ConversationStatus, MessageRole},
};

/// The whole contribution of a conversation at this state. A sandbox contributes nothing, and what the
/// organization's own people try does not either.
pub fn numbers(state: &State) -> Numbers {
    let mut numbers = Numbers::default();
    if !state.exists() || state.is_tried() {
        return numbers;
    }
    let channel = state.channel;
    numbers.at(state.started_at_ms).channel(channel).conversations += 1;
    for message in state.visible() {
        let counters = numbers.at(message.at_ms);
        counters.channel(message.channel).messages += 1;
        match message.role {
            MessageRole::User => counters.all.questions += 1,
            MessageRole::Assistant => {
                let counts = counters.channel(message.channel);
                counts.turns += 1;
                counts.response_ms += message.latency_ms.unwrap_or(0);
                counts.responses += i64::from(message.latency_ms.is_some());
            }
            MessageRole::HumanAgent | MessageRole::System => {}
        }
        match message.thumbs_up {
            Some(true) => counters.all.thumbs_up += 1,
            Some(false) => counters.all.thumbs_down += 1,
            None => {}
        }
    }
    for turn in &state.turns {
        let Some(trace) = &turn.trace else { continue };
        let at_ms = state
            .messages
            .iter()
            .find(|message| message.turn.as_ref() == Some(&turn.id))
            .map_or(state.started_at_ms, |message| message.at_ms);
        let all = &mut numbers.at(at_ms).all;
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        all.tokens_in += signed(trace.tokens.input);
        all.tokens_out += signed(trace.tokens.output);
        all.cost_micros += signed(trace.cost_micros);
    }
    for unanswered in &state.unanswered {
        numbers.at(unanswered.at_ms).all.unanswered += 1;
    }
    if let Some(first) = state.escalations.iter().find(|escalation| calls_a_person(escalation.action)) {
        numbers.at(first.at_ms).channel(channel).escalated += 1;
    }
    if let Some(ended) = state.ended_at_ms {
        let counts = numbers.at(ended).channel(channel);
        match state.status {
            ConversationStatus::Resolved => {
                counts.resolved += 1;
                counts.resolution_ms += ended.saturating_sub(state.started_at_ms).max(0);
                counts.resolutions += 1;
            }
            ConversationStatus::Abandoned => counts.abandoned += 1,
            ConversationStatus::Active | ConversationStatus::Escalated => {}
        }
    }
    if let (Some(rating), Some(at_ms)) = (state.rating, state.rated_at_ms) {
        let all = &mut numbers.at(at_ms).all;
        all.rating_sum += i64::from(rating);
        all.ratings += 1;
    }
    numbers
}
