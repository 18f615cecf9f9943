//! Folds what happened to a call. Cannot fail.

use super::{
    Call, CallStatus, Elsewhere, Event, NoWords, REVIEW_DEADLINE_MS, Recording, Sound, Stage, Untaken, Words, elsewhere,
};

/// Folds one event.
pub fn apply(state: &mut Call, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Rang { tenant, call } => {
            state.id = call.id.clone();
            state.tenant = tenant.clone();
            state.is = Some(call.clone());
            state.rang_ms = at_ms;
        }
        Event::Joined { conversation } => state.conversation_id = Some(conversation.clone()),
        Event::Attached { socket } => {
            state.socket = Some(socket.clone());
            state.sockets += 1;
            state.lost_ms = None;
            state.carried_ms = Some(at_ms);
            state.answered_ms.get_or_insert(at_ms);
            state.status = CallStatus::InProgress;
        }
        Event::Carried => state.carried_ms = Some(at_ms),
        Event::Detached { since_ms } => state.lost_ms = Some(since_ms.unwrap_or(at_ms)),
        Event::Texted { step } => state.texted = Some(*step),
        Event::VoicemailLeft { voicemail } => state.voicemail = Some(voicemail.clone()),
        Event::VoicemailFetched { here, words } => {
            if let Some(voicemail) = &mut state.voicemail {
                voicemail.words = (*here && *words).then_some(Words::Wanted);
                voicemail.sound = if *here { Sound::Here } else { Sound::Lost };
                let began_ms = state.rang_ms;
                let keep_days = voicemail.keep_days;
                state.recording = here.then_some(Recording { began_ms, keep_days, expired: false, deleted: false });
            }
        }
        Event::RecordedElsewhere { keep_days } => {
            state.elsewhere = Some(Elsewhere { keep_days: *keep_days, sound: Sound::There });
        }
        Event::ElsewhereFetched { here } => elsewhere::arrived(state, *here),
        Event::VoicemailWritten { words } => write(state, *words),
        Event::TransferAsked { transfer } => {
            state.transfer = Some(transfer.clone());
            state.transfers += 1;
        }
        Event::TransferCalling => stage(state, Stage::Calling, None),
        Event::TransferTaken => stage(state, Stage::Taken, None),
        Event::TransferReturned { why } => stage(state, Stage::Back, Some(*why)),
        Event::HangUpAsked { by } => state.hangup = Some(by.clone()),
        Event::RecordingBegan { keep_days } => {
            let recording = Recording { began_ms: at_ms, keep_days: *keep_days, expired: false, deleted: false };
            state.recording = Some(recording);
        }
        Event::RecordingExpired => {
            if let Some(recording) = &mut state.recording {
                recording.expired = true;
            }
            if state.voicemail.as_ref().is_some_and(|voicemail| voicemail.words == Some(Words::Wanted)) {
                write(state, Words::Not { why: NoWords::Gone });
            }
        }
        Event::RecordingDeleted => {
            if let Some(recording) = &mut state.recording {
                (recording.expired, recording.deleted) = (true, true);
            }
        }
        Event::Ended { status, reason, duration_s, cost_micros, missed } => {
            state.wants_text = *missed;
            // When a connection was lost nothing was said any more.
            state.ended_ms = Some(state.lost_ms.unwrap_or(at_ms));
            state.review_attempt = 1;
            state.review_deadline_ms = at_ms.saturating_add(REVIEW_DEADLINE_MS);
            over(state, *status, reason.as_ref(), *duration_s, *cost_micros);
        }
        Event::EndTold { status, reason, duration_s, cost_micros } => {
            over(state, *status, reason.as_ref(), *duration_s, *cost_micros);
        }
        Event::ReviewAgain { attempt, deadline_ms } => {
            state.review_attempt = *attempt;
            state.review_deadline_ms = *deadline_ms;
        }
        Event::MachineFound => {
            state.machine = true;
            if state.status == CallStatus::Completed {
                state.status = CallStatus::Voicemail;
            }
        }
        Event::Reviewed { review, .. } => state.review = Some(review.clone()),
    }
    state.seq = seq;
}

fn over(state: &mut Call, status: CallStatus, reason: Option<&String>, duration_s: i64, cost_micros: Option<i64>) {
    state.status = status;
    state.reason = reason.cloned();
    state.duration_s = duration_s;
    state.cost_micros = cost_micros;
    state.socket = None;
    state.lost_ms = None;
    state.carried_ms = None;
}

fn write(state: &mut Call, words: Words) {
    if let Some(voicemail) = &mut state.voicemail {
        voicemail.words = Some(words);
    }
}

fn stage(state: &mut Call, stage: Stage, untaken: Option<Untaken>) {
    if let Some(transfer) = &mut state.transfer {
        (transfer.stage, transfer.untaken) = (stage, untaken);
    }
}
