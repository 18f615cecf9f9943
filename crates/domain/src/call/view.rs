//! What others see of a call, with the names of the public contract, and what it contributes to live counts.

use serde::{Deserialize, Serialize};

use super::{
    Call, CallStatus, Carrier, Direction, Sound, Stage, Texted, Transfer, TransferKind, Untaken, Voicemail, Words,
    score::{Reason, Sentiment},
};
use crate::{
    ids::{AgentId, CallId, CampaignId, ConversationId},
    lines::Provider,
    local_time::rfc3339,
    numbers::Numbers,
};

/// A call that is being handed on, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferView {
    /// To whom, E.164.
    pub to: String,
    /// How.
    pub kind: TransferKind,
    /// Since when.
    pub at: String,
    /// How far it is.
    #[serde(default)]
    pub stage: Stage,
    /// Why nobody took it.
    #[serde(default)]
    pub untaken: Option<Untaken>,
}

/// The sound of a call that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingView {
    /// Since when it was recorded.
    pub began_at: String,
    /// When it is deleted, once the call is over; never if nothing is said.
    pub until: Option<String>,
}

/// What a caller left after the beep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoicemailView {
    /// Its length, seconds.
    pub seconds: u32,
    /// Where its sound is: once it is `here`, it is the call's recording.
    pub sound: Sound,
    /// How far writing it down is: `pending`, `written`, `silent` (no words in it) or `none`.
    #[serde(default)]
    pub transcript_status: String,
    /// Why there is no transcript, in a sentence.
    #[serde(default)]
    pub transcript_note: Option<String>,
    /// How sure who wrote it down is, where they say so, percent.
    #[serde(default)]
    pub confidence_percent: Option<u8>,
}

impl VoicemailView {
    fn of(left: &Voicemail) -> Self {
        let (status, note, confidence_percent) = match (left.sound, left.words) {
            (Sound::There, _) | (Sound::Here, Some(Words::Wanted)) => ("pending", None, None),
            (Sound::Here, Some(Words::Stand { confidence_percent })) => ("written", None, confidence_percent),
            (Sound::Here, Some(Words::Silent)) => ("silent", Some("No words could be heard in it."), None),
            (Sound::Here, Some(Words::Not { why })) => ("none", Some(why.sentence()), None),
            (Sound::Here, None) => ("none", Some("It is from before messages were written down."), None),
            (Sound::Lost, _) => ("none", Some("Its provider did not hand out the recording."), None),
        };
        Self {
            seconds: left.seconds,
            sound: left.sound,
            transcript_status: status.to_owned(),
            transcript_note: note.map(str::to_owned),
            confidence_percent,
        }
    }
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallView {
    /// Its id.
    pub id: CallId,
    /// Who carries it.
    pub provider: Carrier,
    /// The provider's id of it.
    pub provider_call_id: String,
    /// Who answers.
    pub agent_id: AgentId,
    /// The conversation it belongs to.
    pub conversation_id: Option<ConversationId>,
    /// The contact, once there is one.
    pub contact_id: Option<String>,
    /// Who called whom.
    pub direction: Direction,
    /// Who called, E.164.
    pub from: Option<String>,
    /// Who was called, E.164.
    pub to: Option<String>,
    /// The person's number, whoever called.
    pub phone: Option<String>,
    /// A test from the console.
    pub test: bool,
    /// Carried by the simulated carrier, which reaches nobody and costs nothing.
    #[serde(default)]
    pub simulated: bool,
    /// The campaign that had it made; none for calls that come in or that somebody ordered.
    pub campaign_id: Option<CampaignId>,
    /// Where it stands.
    pub status: CallStatus,
    /// Whether it waits for its connection to come back.
    pub reconnecting: bool,
    /// Why it ended, in the provider's word.
    pub reason: Option<String>,
    /// When it was first heard of.
    pub created_at: String,
    /// When it was taken.
    pub answered_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// How long the two spoke, seconds.
    pub duration: i64,
    /// What it cost, millionths of a US dollar.
    pub cost_micros: Option<i64>,
    /// The person it goes to.
    pub transfer: Option<TransferView>,
    /// Its sound, while it is kept.
    #[serde(default)]
    pub recording: Option<RecordingView>,
    /// What the caller left after the beep.
    #[serde(default)]
    pub voicemail: Option<VoicemailView>,
    /// What became of the text message to who called and reached nobody.
    #[serde(default)]
    pub texted: Option<Texted>,
    /// How the caller sounded.
    pub sentiment: Option<Sentiment>,
    /// 0 to 100.
    pub score: Option<u8>,
    /// Why, adding up to the score.
    pub score_reasons: Vec<Reason>,
    /// What it was about.
    pub summary: Option<String>,
    /// Who says how it went: `rules`, or a model.
    pub reviewed_by: Option<String>,
    /// The sequence number of its last event.
    pub seq: u64,
}

/// The call; `None` before anybody has heard of it.
pub fn view(state: &Call) -> Option<CallView> {
    let is = state.is.as_deref()?;
    let (from, to) = match is.direction {
        Direction::Inbound => (is.person.clone(), is.line.clone()),
        Direction::Outbound => (is.line.clone(), is.person.clone()),
    };
    let review = state.review.as_deref();
    let shown = |transfer: &Transfer| TransferView {
        to: transfer.to.clone(),
        kind: transfer.kind,
        at: rfc3339(transfer.at_ms),
        stage: transfer.stage,
        untaken: transfer.untaken,
    };
    Some(CallView {
        id: state.id.clone(),
        provider: is.carrier,
        provider_call_id: is.provider_call_id.clone(),
        agent_id: is.agent_id.clone(),
        conversation_id: state.conversation_id.clone(),
        contact_id: None,
        direction: is.direction,
        from,
        to,
        phone: is.person.clone(),
        test: is.test,
        simulated: is.account.as_deref().is_some_and(|account| account.starts_with(Provider::Simulated.word())),
        campaign_id: is.dial.as_ref().map(|dial| dial.campaign.clone()).filter(|campaign| !campaign.is_single_call()),
        status: state.status,
        reconnecting: state.lost_ms.is_some(),
        reason: state.reason.clone(),
        created_at: rfc3339(state.rang_ms),
        answered_at: state.answered_ms.map(rfc3339),
        ended_at: state.ended_ms.map(rfc3339),
        duration: state.duration_s,
        cost_micros: state.cost_micros,
        transfer: state.transfer.as_ref().map(shown),
        recording: state.recording.as_ref().filter(|recording| recording.stands()).map(|recording| RecordingView {
            began_at: rfc3339(recording.began_ms),
            until: state.ended_ms.and_then(|ended_ms| recording.until_ms(ended_ms)).map(rfc3339),
        }),
        voicemail: state.voicemail.as_ref().map(VoicemailView::of),
        texted: state.texted,
        sentiment: review.map(|review| review.sentiment),
        score: review.and_then(|review| review.score),
        score_reasons: review.map(|review| review.reasons.clone()).unwrap_or_default(),
        summary: review.map(|review| review.summary.clone()).filter(|summary| !summary.is_empty()),
        reviewed_by: review.map(|review| review.method.clone()),
        seq: state.seq,
    })
}

/// What a call contributes to its tenant's live counts, once it is over. A test contributes nothing.
pub fn numbers(state: &Call) -> Numbers {
    let mut numbers = Numbers::default();
    let test = state.is.as_ref().is_none_or(|call| call.test);
    if test || !state.status.over() {
        return numbers;
    }
    let all = &mut numbers.at(state.rang_ms).all;
    match state.status {
        CallStatus::Completed => all.calls_answered += 1,
        CallStatus::Transferred => {
            all.calls_answered += 1;
            all.calls_transferred += 1;
        }
        CallStatus::Missed | CallStatus::Voicemail => all.calls_missed += 1,
        CallStatus::Failed | CallStatus::Ringing | CallStatus::InProgress => {}
    }
    all.call_seconds += state.duration_s;
    all.cost_micros += state.review.as_ref().map_or(0, |review| review.cost_micros);
    numbers
}
