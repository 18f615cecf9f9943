//! What a caller said after the beep, in words: written down once from its recording, and why not where it is not. The words themselves stand in the
//! conversation, and here only that they do.

use serde::{Deserialize, Serialize};

use super::{Call, Decision, Effect, Event, Recording, Reply, Sound};
use crate::rejection::Rejection;

/// What became of writing down a voicemail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Words {
    /// They are to be written down.
    Wanted,
    /// They stand in the call's conversation.
    Stand {
        /// How sure who wrote them down is, where they say so, percent.
        confidence_percent: Option<u8>,
    },
    /// Nothing in it could be understood as words.
    Silent,
    /// None are written down.
    Not {
        /// Why.
        why: NoWords,
    },
}

/// Why nobody wrote them down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWords {
    /// There is nobody who could.
    NoEars,
    /// Who could refuses the key.
    Key,
    /// The account has no credit.
    Unpaid,
    /// Who could does not read this recording.
    Refused,
    /// Who could did not answer, however often asked.
    Away,
    /// The recording, or the agent that asked for it, is gone.
    Gone,
}

impl NoWords {
    /// In a sentence, for the owner.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoEars => {
                "Nothing was written down: no speech-to-text is connected (`voice.deepgram.api_key`). Listen to the recording."
            }
            Self::Key => "Nothing was written down: Deepgram refuses the key in `voice.deepgram.api_key`.",
            Self::Unpaid => "Nothing was written down: the account at Deepgram has no credit left.",
            Self::Refused => "Nothing was written down: Deepgram could not read the recording.",
            Self::Away => "Nothing was written down: Deepgram did not answer for more than an hour.",
            Self::Gone => "Nothing was written down: the recording, or the agent that asked for it, was deleted first.",
        }
    }
}

/// What became of it.
pub(super) fn written(state: &Call, words: Words) -> Result<Decision, Rejection> {
    match state.voicemail.as_ref().and_then(|voicemail| voicemail.words) {
        Some(Words::Wanted) if words != Words::Wanted => {
            Ok(Decision::event(Event::VoicemailWritten { words }, Reply::Done))
        }
        Some(Words::Wanted | Words::Stand { .. } | Words::Silent | Words::Not { .. }) => {
            Ok(Decision::reply(Reply::Done))
        }
        None => Err(Rejection::not_found("voicemail")),
    }
}

/// Whether somebody is to write it down.
pub(super) fn pending(state: &Call) -> Option<(String, u32, Effect)> {
    let wanted = |words: Option<Words>| words == Some(Words::Wanted);
    let voicemail = state.voicemail.as_ref().filter(|left| left.sound == Sound::Here && wanted(left.words));
    let heard = state.recording.as_ref().is_some_and(Recording::stands);
    voicemail.filter(|_| heard).map(|_| ("words".to_owned(), 1, Effect::WriteVoicemail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Command, pending, tests::Run};

    fn left(run: &mut Run) {
        run.ring();
        let left = Command::VoicemailLeft { recording: "RE1".into(), seconds: 9, keep_days: Some(30) };
        run.ask(left).expect("left");
        assert!(run.ask(Command::VoicemailWritten { words: Words::Silent }).is_err(), "nobody has heard it");
        run.ask(Command::VoicemailFetched { here: true }).expect("here");
    }

    fn wanted(run: &Run) -> bool {
        pending(&run.call).iter().any(|(.., effect)| *effect == Effect::WriteVoicemail)
    }

    #[test]
    fn a_voicemail_is_written_down_once_and_what_was_said_first_of_it_stands() {
        let mut run = Run::new();
        left(&mut run);
        assert!(wanted(&run));
        run.ask(Command::VoicemailWritten { words: Words::Wanted }).expect("nothing new");
        let stand = Words::Stand { confidence_percent: Some(97) };
        run.ask(Command::VoicemailWritten { words: stand }).expect("written");
        assert!(!wanted(&run));
        run.ask(Command::VoicemailWritten { words: Words::Silent }).expect("said again");
        assert_eq!(run.call.voicemail.as_ref().and_then(|left| left.words), Some(stand));
    }

    #[test]
    fn what_is_lost_or_older_than_this_is_not_written_down() {
        let mut run = Run::new();
        run.ring();
        run.ask(Command::VoicemailLeft { recording: "RE1".into(), seconds: 9, keep_days: None }).expect("left");
        run.ask(Command::VoicemailFetched { here: false }).expect("nowhere");
        assert!(!wanted(&run));
        let old = serde_json::json!({ "type": "voicemail_fetched", "here": true });
        let old: Event = serde_json::from_value(old).expect("as older journals have it");
        assert_eq!(old, Event::VoicemailFetched { here: true, words: false });
        // Its time ends before anybody came to it.
        let mut run = Run::new();
        left(&mut run);
        crate::call::apply(&mut run.call, &Event::RecordingExpired, 99, 0);
        assert!(!wanted(&run));
        let why = Words::Not { why: NoWords::Gone };
        assert_eq!(run.call.voicemail.as_ref().and_then(|left| left.words), Some(why));
    }
}
