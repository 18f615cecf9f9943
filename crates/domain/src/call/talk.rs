//! What a call of a campaign came to, from its conversation alone: what the campaign counts it as follows from this.

use crate::{
    campaign::target::Talk,
    conversation::{State, Wish, spoken},
    ids::CallId,
};

/// What the conversation says of a call.
pub fn talk(state: &State, call: &CallId, score: Option<u8>) -> Talk {
    let before = state.calls.iter().find(|link| link.id == *call).map_or(usize::MAX, |link| link.agreed_before);
    let wish = spoken::errand(state, call).and_then(|errand| errand.wish);
    let (callback, callback_ms) = match wish {
        Some(Wish::Later { at_ms, .. }) => (true, at_ms),
        Some(Wish::NotInterested | Wish::NeverAgain) | None => (false, None),
    };
    Talk {
        conversation: Some(state.id.clone()),
        meeting: state.dialogue.agreed.iter().filter(|agreed| !agreed.canceled).count() > before,
        not_interested: matches!(wish, Some(Wish::NotInterested | Wish::NeverAgain)),
        callback,
        callback_ms,
        score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{CallLink, Errand, dialogue::booking::Agreed};

    #[test]
    fn a_call_is_counted_by_what_was_said_in_it_and_not_by_what_was_agreed_before() {
        let with = |wish| {
            let errand = Errand { call: "k".into(), wish, ..Errand::default() };
            let link =
                CallLink { id: "k".into(), agreed_before: 1, errand: Some(Box::new(errand)), ..CallLink::default() };
            let mut state = State { id: "c".into(), calls: vec![link], ..State::default() };
            state.dialogue.agreed = vec![Agreed::default()];
            state
        };
        let of = |wish| talk(&with(wish), &"k".into(), Some(70));
        assert_eq!(of(None), Talk { conversation: Some("c".into()), score: Some(70), ..Talk::default() });
        assert!(of(Some(Wish::NotInterested)).not_interested && of(Some(Wish::NeverAgain)).not_interested);
        let later = of(Some(Wish::Later { at_ms: Some(5), settled: true }));
        assert_eq!((later.callback, later.callback_ms), (true, Some(5)));
        let no_time = of(Some(Wish::Later { at_ms: None, settled: false }));
        assert_eq!(
            (no_time.callback, no_time.callback_ms),
            (true, None),
            "who hung up before the time was agreed wants it all the same"
        );
        let mut booked = with(Some(Wish::NotInterested));
        booked.dialogue.agreed.push(Agreed::default());
        assert!(talk(&booked, &"k".into(), None).meeting);
        assert!(!talk(&booked, &"another".into(), None).meeting);
    }
}
