//! What a call leads to outside itself: its work that is still to be done, when it wants to be woken, and what other entities are told of it.

use super::{
    CALL_MS_MAX, CARRIED_WITHIN_MS, Call, Command, Direction, Event, LOST_AFTER_MS, RING_MS_MAX, elsewhere, missed,
    transfer, words,
};
use crate::{
    campaign::slice::{self, Report},
    conversation,
    ids::ConversationId,
    pacer,
};

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Repeatable: say how it went.
    Review {
        /// Which attempt.
        attempt: u32,
        /// The conversation it is about.
        conversation: ConversationId,
        /// Whether a campaign, or who ordered it, waits to hear what it came to.
        campaigns: bool,
    },
    /// Repeatable: delete its sound.
    DeleteRecording,
    /// Once only: tell who called that nobody answered. [`Texted::Begun`] comes first.
    TextBack,
    /// Repeatable: fetch the sound of a voicemail.
    FetchVoicemail {
        /// The provider's name of it.
        recording: String,
    },
    /// Repeatable: fetch the sound that its provider recorded.
    FetchRecording,
    /// Repeatable: write down what was said in a voicemail. The conversation notes it once.
    WriteVoicemail,
}

/// What is still to be done, from state alone.
pub fn pending(state: &Call) -> Vec<(String, u32, Effect)> {
    let conversation = state.conversation_id.clone().filter(|_| state.wants_review());
    let review = conversation.map(|conversation| {
        let attempt = state.review_attempt;
        let campaigns = state.is.as_ref().is_some_and(|call| call.dial.is_some());
        ("review".to_owned(), attempt, Effect::Review { attempt, conversation, campaigns })
    });
    let delete = state.recording.as_ref().filter(|recording| recording.expired && !recording.deleted);
    let delete = delete.map(|_| ("recording".to_owned(), 1, Effect::DeleteRecording));
    review
        .into_iter()
        .chain(delete)
        .chain(missed::pending(state))
        .chain(elsewhere::pending(state))
        .chain(words::pending(state))
        .collect()
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Call) -> Option<i64> {
    if !state.exists() {
        return None;
    }
    if state.status.over() {
        let review = state.wants_review().then_some(state.review_deadline_ms);
        return review.into_iter().chain(expires_ms(state)).min();
    }
    let lost = match (state.lost_ms, state.carried_ms) {
        (Some(lost), _) => Some(lost.saturating_add(LOST_AFTER_MS)),
        (None, carried) => carried.map(|carried| carried.saturating_add(CARRIED_WITHIN_MS)),
    };
    let longest = match state.answered_ms {
        Some(answered) => answered.saturating_add(CALL_MS_MAX),
        None => state.rang_ms.saturating_add(RING_MS_MAX),
    };
    Some(lost.map_or(longest, |lost| lost.min(longest)))
}

/// When its sound is to be deleted, Unix milliseconds; none when it stays, or is deleted.
pub(super) fn expires_ms(state: &Call) -> Option<i64> {
    let recording = state.recording.as_ref().filter(|recording| recording.stands())?;
    recording.until_ms(state.ended_ms?)
}

/// The command that a due timer turns into.
pub fn on_timer(state: &Call, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after an activation that follows a crash or a move with work unfinished.
pub fn on_recovered(state: &Call) -> Option<Command> {
    state.wants_review().then_some(Command::Recovered)
}

/// What the conversation is told of an event.
pub fn conversation_message(state: &Call, event: &Event) -> Option<(ConversationId, conversation::Command)> {
    match event {
        Event::Ended { .. } => {
            let told = conversation::Command::CallEnded { call: state.id.clone() };
            state.conversation_id.clone().map(|conversation| (conversation, told))
        }
        Event::TransferReturned { .. } => transfer::conversation_message(state, event),
        Event::Rang { .. }
        | Event::Joined { .. }
        | Event::Attached { .. }
        | Event::Carried
        | Event::Detached { .. }
        | Event::TransferAsked { .. }
        | Event::TransferCalling
        | Event::TransferTaken
        | Event::HangUpAsked { .. }
        | Event::RecordingBegan { .. }
        | Event::RecordingExpired
        | Event::RecordingDeleted
        | Event::Texted { .. }
        | Event::VoicemailLeft { .. }
        | Event::VoicemailFetched { .. }
        | Event::RecordedElsewhere { .. }
        | Event::ElsewhereFetched { .. }
        | Event::VoicemailWritten { .. }
        | Event::EndTold { .. }
        | Event::MachineFound
        | Event::ReviewAgain { .. }
        | Event::Reviewed { .. } => None,
    }
}

/// What the slice that made a call is told of an event: what was said in it decides what it is counted as.
pub fn slice_message(state: &Call, event: &Event) -> Option<(String, slice::Command)> {
    let Event::Reviewed { talk: Some(talk), .. } = event else { return None };
    let dial = state.is.as_ref()?.dial.as_ref()?;
    let report = Report::Talk { talk: talk.clone() };
    Some((dial.slice_id(), slice::Command::Heard { target: dial.target, attempt: dial.attempt, report }))
}

/// What the pacer of the account is told of an event: calls that come in leave less room for those that go out.
pub fn pacer_message(state: &Call, event: &Event) -> Option<(String, pacer::Command)> {
    let is = state.is.as_deref().filter(|call| call.direction == Direction::Inbound && !call.test)?;
    let going_on = match event {
        Event::Rang { .. } => true,
        Event::Ended { .. } => false,
        _ => return None,
    };
    Some((is.account.clone()?, pacer::Command::Inbound { call: state.id.clone(), going_on }))
}
