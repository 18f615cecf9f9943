//! The sound of a call that its provider recorded: fetched from there until it is here or is given up, then kept and deleted as recordings of ours are.

use serde::{Deserialize, Serialize};

use super::{Call, Decision, Effect, Event, Recording, Reply, Sound};
use crate::rejection::Rejection;

/// What a provider recorded. Where it is, the provider is asked when it is fetched: what a webhook says of that could send this server anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// For how many days it is kept after the call; for ever if none.
    pub keep_days: Option<u32>,
    /// Where it is.
    pub sound: Sound,
}

/// A provider says that it has the sound of a call.
pub(super) fn recorded(state: &Call, keep_days: Option<u32>) -> Result<Decision, Rejection> {
    if state.elsewhere.is_some() || state.recording.is_some() {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(Event::RecordedElsewhere { keep_days }, Reply::Done))
}

/// It is here, or nowhere.
pub(super) fn fetched(state: &Call, here: bool) -> Result<Decision, Rejection> {
    match state.elsewhere.as_ref().map(|elsewhere| elsewhere.sound) {
        Some(Sound::There) => Ok(Decision::event(Event::ElsewhereFetched { here }, Reply::Done)),
        Some(Sound::Here | Sound::Lost) => Ok(Decision::reply(Reply::Done)),
        None => Err(Rejection::not_found("recording")),
    }
}

/// Folds where it is.
pub(super) fn arrived(state: &mut Call, here: bool) {
    let began_ms = state.answered_ms.unwrap_or(state.rang_ms);
    let Some(elsewhere) = &mut state.elsewhere else { return };
    elsewhere.sound = if here { Sound::Here } else { Sound::Lost };
    let keep_days = elsewhere.keep_days;
    state.recording = here.then_some(Recording { began_ms, keep_days, expired: false, deleted: false });
}

/// What is still to be fetched.
pub(super) fn pending(state: &Call) -> Option<(String, u32, Effect)> {
    state.elsewhere.as_ref().filter(|elsewhere| elsewhere.sound == Sound::There)?;
    Some(("sound".to_owned(), 1, Effect::FetchRecording))
}

#[cfg(test)]
mod tests {
    use crate::call::{
        Command, pending,
        tests::{Run, end},
    };

    fn told() -> Command {
        Command::Recorded { keep_days: Some(30) }
    }

    fn fetches(run: &Run) -> bool {
        pending(&run.call).iter().any(|(name, ..)| name == "sound")
    }

    #[test]
    fn what_a_provider_recorded_is_fetched_once_and_deleted_when_its_time_is_over() {
        let mut run = Run::new();
        run.talk();
        run.ask(end(None, None, None)).expect("over");
        run.ask(told()).expect("told");
        run.ask(Command::Recorded { keep_days: None }).expect("told again");
        let kept = run.call.elsewhere.as_ref().map(|elsewhere| elsewhere.keep_days);
        assert_eq!(kept, Some(Some(30)), "the first stands");
        assert!(fetches(&run) && run.call.recording.is_none());
        run.ask(Command::RecordingFetched { here: true }).expect("here");
        run.ask(Command::RecordingFetched { here: false }).expect("an older try says less");
        let recording = run.call.recording.as_ref().expect("it can be listened to");
        assert_eq!((recording.keep_days, recording.began_ms), (Some(30), run.call.answered_ms.unwrap_or_default()));
        assert!(!fetches(&run) && crate::call::timer(&run.call).is_some(), "it is deleted one day");
    }

    #[test]
    fn what_nobody_hands_out_is_given_up() {
        let mut run = Run::new();
        run.talk();
        assert!(run.ask(Command::RecordingFetched { here: true }).is_err(), "nothing was told of");
        run.ask(told()).expect("told");
        run.ask(Command::RecordingFetched { here: false }).expect("given up");
        assert!(!fetches(&run) && run.call.recording.is_none());
    }
}
