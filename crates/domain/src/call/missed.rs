//! A call that came in and that nobody carried: who called is told by text message, once, and may have left a message after a beep.
//!
//! The text message is journaled as begun before it leaves and never begun again. A voicemail is fetched from the provider until it is here or is given up.

use serde::{Deserialize, Serialize};

use super::{Call, CallStatus, Decision, Direction, Effect, End, Event, Reply, Words};
use crate::{check::Checks, context::Context, rejection::Rejection};

/// Characters of a provider's name of a recording.
const NAME_CHARS_MAX: usize = 64;
/// The longest message after the beep, seconds; what an answering machine takes.
pub const VOICEMAIL_SECONDS_MAX: u32 = 180;

/// Why nobody was texted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoText {
    /// The agent sends none.
    Off,
    /// The number is hidden, or takes no text messages.
    NoMobile,
    /// Nobody may write to it.
    DoNotContact,
    /// This person was texted for another call of this day.
    AlreadyTexted,
    /// The agent has no number to write from.
    NoLine,
    /// The provider refused it.
    Refused,
}

/// What became of the text message to who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Texted {
    /// It is about to leave.
    Begun,
    /// The provider has it.
    Sent,
    /// Nobody knows whether it left: it is not sent again.
    Unknown,
    /// None is sent.
    Not {
        /// Why.
        why: NoText,
    },
}

/// A message that a caller left after the beep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voicemail {
    /// The provider's name of its sound.
    pub recording: String,
    /// Its length, seconds.
    pub seconds: u32,
    /// For how many days it is kept; for ever if none.
    pub keep_days: Option<u32>,
    /// Where its sound is.
    pub sound: Sound,
    /// What became of writing down what was said in it; none before its sound is here, and of those from before anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
}

/// Where the sound of a voicemail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// At the provider still.
    There,
    /// Here.
    Here,
    /// Nowhere: the provider did not have it.
    Lost,
}

/// Whether who called is to be told that nobody answered.
pub(super) fn is_missed(state: &Call, status: CallStatus) -> bool {
    let called = state.is.as_deref().is_some_and(|call| call.direction == Direction::Inbound && !call.test);
    called && state.answered_ms.is_none() && matches!(status, CallStatus::Missed | CallStatus::Voicemail)
}

/// A step of the text message.
pub(super) fn texted(state: &Call, step: Texted) -> Result<Decision, Rejection> {
    let may = match (state.texted, step) {
        (None, Texted::Begun | Texted::Not { .. }) => state.wants_text,
        (Some(Texted::Begun), Texted::Sent | Texted::Unknown | Texted::Not { .. }) => true,
        (Some(known), step) if known == step && step != Texted::Begun => return Ok(Decision::reply(Reply::Done)),
        (None, Texted::Sent | Texted::Unknown) | (Some(_), _) => false,
    };
    if may { Ok(Decision::event(Event::Texted { step }, Reply::Done)) } else { Err(Rejection::Superseded) }
}

/// A caller left a message.
pub(super) fn left(
    state: &Call,
    cx: &Context,
    recording: String,
    seconds: u32,
    keep_days: Option<u32>,
) -> Result<Decision, Rejection> {
    if state.voicemail.is_some() {
        return Ok(Decision::reply(Reply::Done));
    }
    if state.answered_ms.is_some() {
        return Err(Rejection::conflict("call_answered", "this call was answered; it has no voicemail"));
    }
    let mut checks = Checks::default();
    checks.line("recording", &recording, 1, NAME_CHARS_MAX);
    // It becomes part of an address.
    let plain = recording.bytes().all(|byte| byte.is_ascii_alphanumeric());
    checks.ensure(plain, "recording", "must be letters and digits");
    checks.finish()?;
    let end = End { status: Some(CallStatus::Voicemail), ..End::default() };
    let mut decision = super::decide::ended(state, cx, &end);
    let seconds = seconds.min(VOICEMAIL_SECONDS_MAX);
    let voicemail = Voicemail { recording, seconds, keep_days, sound: Sound::There, words: None };
    decision.events.insert(0, Event::VoicemailLeft { voicemail });
    Ok(decision)
}

/// Its sound is here, or nowhere.
pub(super) fn fetched(state: &Call, here: bool) -> Result<Decision, Rejection> {
    match state.voicemail.as_ref().map(|voicemail| voicemail.sound) {
        Some(Sound::There) => Ok(Decision::event(Event::VoicemailFetched { here, words: true }, Reply::Done)),
        Some(Sound::Here | Sound::Lost) => Ok(Decision::reply(Reply::Done)),
        None => Err(Rejection::not_found("voicemail")),
    }
}

/// What is still to be done for who called.
pub(super) fn pending(state: &Call) -> Vec<(String, u32, Effect)> {
    // What was begun stays pending: whoever takes it up finds that it was, and only says so.
    let texts = state.wants_text && matches!(state.texted, None | Some(Texted::Begun));
    let text = texts.then(|| ("text_back".to_owned(), 1, Effect::TextBack));
    let fetch = state.voicemail.as_ref().filter(|voicemail| voicemail.sound == Sound::There);
    let fetch = fetch.map(|voicemail| {
        let effect = Effect::FetchVoicemail { recording: voicemail.recording.clone() };
        ("voicemail".to_owned(), 1, effect)
    });
    text.into_iter().chain(fetch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{
        Command, pending,
        tests::{Run, end},
    };

    fn names(run: &Run) -> Vec<String> {
        pending(&run.call).into_iter().map(|(name, ..)| name).collect()
    }

    fn left() -> Command {
        Command::VoicemailLeft { recording: "RE1".into(), seconds: 9, keep_days: Some(30) }
    }

    #[test]
    fn who_reached_nobody_is_texted_once_whatever_happens_to_the_node() {
        let mut run = Run::new();
        run.ring();
        assert!(names(&run).is_empty(), "it rings still");
        run.ask(end(None, None, None)).expect("hung up");
        assert_eq!((run.call.status, names(&run)), (CallStatus::Missed, vec!["text_back".to_owned()]));
        run.ask(Command::Texted { step: Texted::Begun }).expect("begun");
        assert_eq!(names(&run), ["text_back"], "its task goes on");
        assert_eq!(run.ask(Command::Texted { step: Texted::Begun }), Err(Rejection::Superseded), "never twice");
        run.ask(Command::Texted { step: Texted::Unknown }).expect("a node died over it");
        assert!(names(&run).is_empty());
        assert_eq!(run.ask(Command::Texted { step: Texted::Sent }), Err(Rejection::Superseded));
    }

    #[test]
    fn an_answered_call_and_one_of_an_older_journal_are_not_texted() {
        let mut run = Run::new();
        run.talk();
        run.ask(end(None, None, None)).expect("over");
        assert!(!names(&run).contains(&"text_back".to_owned()));
        assert!(run.ask(left()).is_err(), "an answered call has no voicemail");
        let old = serde_json::json!({ "type": "ended", "status": "missed", "reason": null, "duration_s": 0, "cost_micros": null });
        let old: Event = serde_json::from_value(old).expect("as the journal has it");
        assert!(matches!(old, Event::Ended { missed: false, .. }));
    }

    #[test]
    fn a_message_after_the_beep_is_fetched_and_kept_like_a_recording_whichever_news_comes_first() {
        for hung_up_first in [false, true] {
            let mut run = Run::new();
            run.ring();
            if hung_up_first {
                run.ask(end(None, None, None)).expect("hung up");
            }
            run.ask(left()).expect("left");
            run.ask(left()).expect("said again");
            run.ask(end(None, None, Some(12_000))).expect("hung up");
            assert_eq!(run.call.status, CallStatus::Voicemail);
            assert_eq!(names(&run), ["text_back", "voicemail"]);
            run.ask(Command::VoicemailFetched { here: true }).expect("here");
            assert_eq!(names(&run), ["text_back", "words"]);
            let recording = run.call.recording.as_ref().expect("it can be listened to");
            assert_eq!((recording.keep_days, recording.stands()), (Some(30), true));
            assert!(crate::call::timer(&run.call).is_some(), "it is deleted one day");
        }
        let mut run = Run::new();
        run.ring();
        let odd = Command::VoicemailLeft { recording: "../RE1".into(), seconds: 9, keep_days: None };
        assert!(matches!(run.ask(odd), Err(Rejection::Invalid { .. })), "it becomes part of an address");
    }
}
