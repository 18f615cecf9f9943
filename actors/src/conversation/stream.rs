//! What watchers of a conversation get besides its events: tokens of an answer in the making, typing. Never journaled.

use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
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

/// One piece of text on its way to the watchers.
pub(super) struct Piece {
    /// Of which of the model's own attempts.
    pub(super) attempt: u32,
    /// The text.
    pub(super) text: String,
}

/// Sends pieces on, coalesced, until the sender is dropped. `may_show` sees all text of one of the model's attempts so far and may end the showing for good.
pub(super) async fn forward(
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
                    send(handle, message_id, turn_attempt, model_attempt, &mut index, &mut waiting);
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
        }
        whole.push_str(&piece.text);
        waiting.push_str(&piece.text);
        flush_at.get_or_insert_with(|| Instant::now() + COALESCE);
    }
    if !waiting.is_empty() && may_show(model_attempt, &whole) {
        send(handle, message_id, turn_attempt, model_attempt, &mut index, &mut waiting);
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
    handle: &EffectHandle,
    message_id: &MessageId,
    turn_attempt: u32,
    model_attempt: u32,
    index: &mut u32,
    waiting: &mut String,
) {
    let token = Streamed::Token {
        message_id: message_id.clone(),
        attempt: turn_attempt * MODEL_ATTEMPTS + model_attempt.min(MODEL_ATTEMPTS - 1),
        index: *index,
        text: std::mem::take(waiting),
    };
    *index += 1;
    stream(handle, &token);
}

fn stream(handle: &EffectHandle, frame: &Streamed) {
    handle.stream(serde_json::to_vec(frame).unwrap_or_default().into());
}
