//! What watchers of a conversation get besides its events: tokens of an answer in the making, typing. Never journaled.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::MessageId;
use colloquy_domain::vocabulary::MessageRole;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Tokens are sent at most this often: the eye sees a flow, the sockets a third of the frames.
const COALESCE: Duration = Duration::from_millis(30);
/// Room for retries of a model within one attempt of a turn, in the number that watchers compare.
const MODEL_ATTEMPTS: u32 = 100;

/// A frame to watchers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Streamed {
    /// A piece of an answer in the making.
    Token {
        /// The answer.
        message_id: MessageId,
        /// A higher attempt replaces what was shown.
        attempt: u32,
        /// Position of the piece.
        index: u32,
        /// The piece.
        text: String,
    },
    /// The answer in the making will not come.
    Discard {
        /// The answer.
        message_id: MessageId,
        /// Why.
        reason: String,
    },
    /// Somebody is typing.
    Typing {
        /// Who.
        role: MessageRole,
    },
}

/// An unfinished answer as far as it was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streaming {
    /// The answer.
    pub message_id: MessageId,
    /// A higher attempt replaces this text.
    pub attempt: u32,
    /// The position of the piece that comes next.
    pub next_index: u32,
    /// What was shown so far.
    pub text: String,
}

/// What was shown of an answer in the making, whichever node makes it: after a move that is not its conversation's owner, and after the sudden end of a
/// node two may think that they do. For whoever opens a conversation in the middle of an answer: watch first, then ask.
pub async fn streaming(client: &Client, conversation: &EntityKey, answer: &MessageId) -> Option<Streaming> {
    newest(&client.beside(conversation).await, answer)
}

/// The latest attempt of this answer among what nodes told.
fn newest(told: &[Bytes], answer: &MessageId) -> Option<Streaming> {
    // What another version tells may be unreadable: the answer will come all the same.
    let told = told.iter().filter_map(|bytes| serde_json::from_slice::<Streaming>(bytes).ok());
    told.filter(|shown| shown.message_id == *answer).max_by_key(|shown| (shown.attempt, shown.next_index))
}

/// The unfinished answers whose tasks run on this node.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<EntityKey, Streaming>>);

impl Streams {
    /// What was shown of a conversation's answer in the making here, encoded for other nodes.
    pub(crate) fn told(&self, conversation: &EntityKey) -> Option<Bytes> {
        serde_json::to_vec(&self.of(conversation)?).ok().map(Bytes::from)
    }

    fn of(&self, conversation: &EntityKey) -> Option<Streaming> {
        self.lock().get(conversation).cloned()
    }

    /// Notes a piece before it is told: who watches first and looks then misses none.
    fn add(&self, conversation: &EntityKey, message_id: &MessageId, attempt: u32, index: u32, text: &str) {
        let mut all = self.lock();
        let shown = all.entry(conversation.clone()).or_default();
        if shown.message_id != *message_id || shown.attempt != attempt {
            *shown = Streaming { message_id: message_id.clone(), attempt, ..Streaming::default() };
        }
        shown.next_index = index + 1;
        shown.text.push_str(text);
    }

    /// An answer stands, or will not come.
    pub(super) fn end(&self, conversation: &EntityKey, message_id: &MessageId) {
        let mut all = self.lock();
        // A newer turn's answer may be shown by now.
        if all.get(conversation).is_some_and(|shown| shown.message_id == *message_id) {
            all.remove(conversation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EntityKey, Streaming>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One piece of text on its way to the watchers.
pub(super) struct Piece {
    /// Of which of the model's own attempts.
    pub(super) attempt: u32,
    /// The text.
    pub(super) text: String,
}

/// Whether a text has a whole sentence: its mark and something white behind it. What only looks like one costs a frame.
fn has_sentence(text: &str) -> bool {
    let mut marked = false;
    text.chars().any(|char| {
        let ends = marked && char.is_whitespace();
        marked = matches!(char, '.' | '!' | '?' | '…' | '。' | '？' | '！');
        ends
    })
}

/// Sends pieces on, coalesced but for the end of the first sentence, with which a voice can begin, until the sender is dropped. `may_show` sees all text of one of the model's attempts so far and may end the showing for good.
pub(super) async fn forward(
    streams: &Streams,
    handle: &EffectHandle,
    message_id: &MessageId,
    turn_attempt: u32,
    mut pieces: mpsc::UnboundedReceiver<Piece>,
    mut may_show: impl FnMut(u32, &str) -> bool,
) {
    let mut model_attempt = 0;
    let mut index = 0;
    let mut whole = String::new();
    let mut waiting = String::new();
    let mut flush_at: Option<Instant> = None;
    let mut sentence = false;
    loop {
        let piece = match flush_at {
            None => pieces.recv().await,
            Some(at) => tokio::select! {
                piece = pieces.recv() => piece,
                () = sleep_until(at) => {
                    flush_at = None;
                    if !may_show(model_attempt, &whole) {
                        return;
                    }
                    send(streams, handle, message_id, turn_attempt, model_attempt, &mut index, &mut waiting);
                    continue;
                }
            },
        };
        let Some(piece) = piece else { break };
        if piece.attempt != model_attempt {
            model_attempt = piece.attempt;
            index = 0;
            whole.clear();
            waiting.clear();
            sentence = false;
        }
        whole.push_str(&piece.text);
        waiting.push_str(&piece.text);
        if !sentence && has_sentence(&whole) {
            // Sent here and not by the clock, whose ticks are a millisecond and more: a caller waits for it.
            sentence = true;
            flush_at = None;
            if !may_show(model_attempt, &whole) {
                return;
            }
            send(streams, handle, message_id, turn_attempt, model_attempt, &mut index, &mut waiting);
        } else {
            flush_at.get_or_insert_with(|| Instant::now() + COALESCE);
        }
    }
    if !waiting.is_empty() && may_show(model_attempt, &whole) {
        send(streams, handle, message_id, turn_attempt, model_attempt, &mut index, &mut waiting);
    }
}

/// Tells the watchers that the answer in the making will not come.
pub(super) fn discard(handle: &EffectHandle, message_id: &MessageId, reason: &str) {
    let frame = Streamed::Discard { message_id: message_id.clone(), reason: reason.to_owned() };
    // A cancelled attempt streams no more, but it must still take back what it showed.
    handle.client().publish(handle.key(), serde_json::to_vec(&frame).unwrap_or_default().into());
}

/// Tells the watchers that the assistant is at work.
pub(super) fn typing(handle: &EffectHandle) {
    stream(handle, &Streamed::Typing { role: MessageRole::Assistant });
}

fn send(
    streams: &Streams,
    handle: &EffectHandle,
    message_id: &MessageId,
    turn_attempt: u32,
    model_attempt: u32,
    index: &mut u32,
    waiting: &mut String,
) {
    let attempt = turn_attempt * MODEL_ATTEMPTS + model_attempt.min(MODEL_ATTEMPTS - 1);
    let text = std::mem::take(waiting);
    streams.add(handle.key(), message_id, attempt, *index, &text);
    let token = Streamed::Token { message_id: message_id.clone(), attempt, index: *index, text };
    *index += 1;
    stream(handle, &token);
}

fn stream(handle: &EffectHandle, frame: &Streamed) {
    handle.stream(serde_json::to_vec(frame).unwrap_or_default().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_whole_when_something_white_follows_its_mark() {
        for text in ["We are open. ", "Yes! We", "Really?\nYes"] {
            assert!(has_sentence(text), "{text}");
        }
        for text in ["", "We are open", "We are open.", "It costs 3.50 a day", "...and"] {
            assert!(!has_sentence(text), "{text}");
        }
    }

    #[test]
    fn who_opens_in_the_middle_of_an_answer_gets_what_was_shown_of_its_last_attempt() {
        let (streams, key) = (Streams::default(), EntityKey::new("t", "conversation", "c"));
        let (first, second) = (MessageId("m1".into()), MessageId("m2".into()));
        assert_eq!(streams.of(&key), None);
        streams.add(&key, &first, 100, 0, "We are ");
        streams.add(&key, &first, 100, 1, "open");
        let shown = streams.of(&key).expect("shown");
        assert_eq!((shown.text.as_str(), shown.next_index), ("We are open", 2));
        streams.add(&key, &first, 101, 0, "Closed");
        assert_eq!(streams.of(&key).expect("shown").text, "Closed", "a higher attempt replaces it");
        streams.add(&key, &second, 100, 0, "Yes");
        streams.end(&key, &first);
        assert_eq!(streams.of(&key).expect("the newer turn's").message_id, second);
        streams.end(&key, &second);
        assert_eq!(streams.of(&key), None);
    }

    #[test]
    fn of_what_several_nodes_tell_the_latest_attempt_of_the_answer_that_is_open_counts() {
        let key = EntityKey::new("t", "conversation", "c");
        let node = |answer: &str, attempt: u32, pieces: &[&str]| {
            let streams = Streams::default();
            for (index, piece) in (0..).zip(pieces) {
                streams.add(&key, &MessageId(answer.into()), attempt, index, piece);
            }
            streams.told(&key).expect("told")
        };
        let open = MessageId("m2".into());
        let stood_still = node("m2", 100, &["We ", "are ", "op"]);
        let newer = node("m2", 200, &["Clo"]);
        let before = node("m1", 300, &["Hello"]);
        let told = [before.clone(), stood_still, Bytes::from_static(b"of another version"), newer];
        let shown = newest(&told, &open).expect("shown");
        assert_eq!((shown.attempt, shown.text.as_str()), (200, "Clo"));
        assert_eq!(newest(&[before], &open), None, "an answer that stands already");
        assert_eq!(Streams::default().told(&key), None);
    }
}
