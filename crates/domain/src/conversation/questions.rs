//! What visitors asked in one conversation: the questions that were looked up, with what tells who they are taken out.

use serde::{Deserialize, Serialize};

use super::{State, TurnOutcome, state::Message};
use crate::{text, vocabulary::MessageRole};

/// Questions of one conversation: the newest ones. Who asks more is one voice among many.
const QUESTIONS_MAX: usize = 20;
/// The longest question as it is counted, characters: what fits on two lines of a list.
const QUESTION_CHARS_MAX: usize = 160;
/// Stands for an address or a number in a question.
const MASK: &str = "…";

/// A question that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedQuestion {
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// In which words, without addresses and numbers.
    pub text: String,
    /// Whether the answer said more than that nothing is known.
    pub answered: bool,
}

/// The questions of a conversation, oldest first: words of the visitor that the knowledge was asked for, or that got the fallback message.
/// Greetings, details given, forks and trials are none.
pub fn questions(state: &State) -> Vec<AskedQuestion> {
    if !state.exists() || state.is_tried() {
        return Vec::new();
    }
    let mut asked: Vec<AskedQuestion> = Vec::new();
    for turn in state.turns.iter().rev() {
        let (Some(trace), TurnOutcome::Answered { message_id }) = (&turn.trace, &turn.outcome) else { continue };
        let Some(answer) = state.message(message_id) else { continue };
        if trace.retrieved.is_empty() && !answer.fallback {
            continue;
        }
        let said = |message: &&Message| message.role == MessageRole::User && message.turn.as_ref() == Some(&turn.id);
        let Some(last) = state.messages.iter().rfind(said) else { continue };
        let words: Vec<&str> = state.messages.iter().filter(said).map(|message| message.content.as_str()).collect();
        let text = text::shorten(&masked(&text::one_line(&words.join(" "))), QUESTION_CHARS_MAX);
        if !text.is_empty() {
            asked.push(AskedQuestion { at_ms: last.at_ms, text, answered: !answer.fallback });
        }
        if asked.len() == QUESTIONS_MAX {
            break;
        }
    }
    asked.reverse();
    asked
}

/// A text without its addresses and phone numbers.
fn masked(text: &str) -> String {
    let mut found: Vec<_> = text::emails(text).into_iter().chain(text::phones(text)).map(|found| found.at).collect();
    found.sort_by_key(|at| at.start);
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for at in found {
        if at.start < end {
            continue;
        }
        masked.push_str(text.get(end..at.start).unwrap_or_default());
        masked.push_str(MASK);
        end = at.end;
    }
    masked.push_str(text.get(end..).unwrap_or_default());
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{RetrievedRef, Trace, state::Turn};

    fn said(id: &str, role: MessageRole, turn: &str, content: &str, at_ms: i64) -> Message {
        Message {
            id: id.into(),
            seq: 0,
            role,
            whisper: false,
            author: None,
            channel: crate::vocabulary::Channel::Chat,
            content: content.into(),
            sources: Vec::new(),
            confidence: None,
            prompt: None,
            turn: Some(turn.into()),
            at_ms,
            thumbs_up: None,
            feedback: None,
            tokens: None,
            latency_ms: None,
            used: false,
            fallback: false,
            attachments: Vec::new(),
            files: Vec::new(),
            call: None,
            unheard: None,
            voicemail: false,
            typed: false,
        }
    }

    fn state(turns: &[(&str, bool, bool)]) -> State {
        let mut state = State { id: "c".into(), ..State::default() };
        for (nth, (words, searched, fallback)) in turns.iter().enumerate() {
            let (turn, answer) = (format!("t{nth}"), format!("a{nth}"));
            let at_ms = nth as i64 * 1_000;
            state.messages.push(said(&format!("q{nth}"), MessageRole::User, &turn, words, at_ms));
            let mut given = said(&answer, MessageRole::Assistant, &turn, "…", at_ms + 1);
            given.fallback = *fallback;
            state.messages.push(given);
            let retrieved = if *searched { vec![RetrievedRef::default()] } else { Vec::new() };
            state.turns.push(Turn {
                id: turn.as_str().into(),
                outcome: TurnOutcome::Answered { message_id: answer.as_str().into() },
                trace: Some(Trace { retrieved, ..Trace::default() }),
            });
        }
        state
    }

    #[test]
    fn what_was_looked_up_is_a_question_and_small_talk_is_none() {
        let asked = questions(&state(&[
            ("Hello!", false, false),
            ("When are you open?", true, false),
            ("Do you fix kites?", false, true),
        ]));
        let shown: Vec<_> = asked.iter().map(|asked| (asked.text.as_str(), asked.answered, asked.at_ms)).collect();
        assert_eq!(shown, [("When are you open?", true, 1_000), ("Do you fix kites?", false, 2_000)]);
    }

    #[test]
    fn addresses_and_numbers_are_not_in_a_question() {
        let words = "I am ann@example.com or 217-555-0133, what does a visit cost?";
        let asked = questions(&state(&[(words, true, false)]));
        assert_eq!(asked[0].text, "I am … or …, what does a visit cost?");
    }

    #[test]
    fn forks_ask_nothing_and_a_long_talk_counts_its_newest_questions() {
        let many: Vec<(String, bool, bool)> = (0..30).map(|nth| (format!("What is {nth}?"), true, false)).collect();
        let many: Vec<(&str, bool, bool)> = many.iter().map(|(words, a, b)| (words.as_str(), *a, *b)).collect();
        let mut state = state(&many);
        let asked = questions(&state);
        assert_eq!((asked.len(), asked[0].text.as_str()), (QUESTIONS_MAX, "What is 10?"));
        state.sandbox = true;
        assert!(questions(&state).is_empty());
    }
}
