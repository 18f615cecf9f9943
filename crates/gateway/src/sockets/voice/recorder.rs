//! Writes down the sound of a call whose sound is ours: what the caller said and what was played to them, side by side, in pieces of twenty seconds. The
//! caller's sound is the clock: it comes all the time, as a telephone sends it.

use colloquy_actors::calls::recording::{self, RATE_HZ};
use colloquy_actors::cluster::Client;
use colloquy_actors::domain::ids::{CallId, TenantId};
use colloquy_actors::telephony::twilio::media::SILENCE;
use tokio::sync::mpsc;

/// A piece of each channel, bytes: what a kill may cost, and 320 KB of both in memory.
const PIECE: usize = 20 * RATE_HZ as usize;
/// The most sound of ours that waits to be played, bytes: as long as the longest answer.
const WAITING_MAX: usize = 300 * RATE_HZ as usize;
/// Pieces on their way to the store: two minutes in which it may be away.
const PIECES_WAITING_MAX: usize = 6;

/// A call that is being recorded. Dropped, it ends after what it has was kept.
pub(super) struct Recorder {
    sides: Sides,
    number: u32,
    pieces: mpsc::Sender<(u32, Vec<u8>)>,
}

/// The two sides since the last piece, from the same moment on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sides {
    caller: Vec<u8>,
    /// May be longer: it is played later.
    ours: Vec<u8>,
}

impl Recorder {
    /// Records the call's how-manieth socket.
    pub(super) fn new(client: Client, tenant: TenantId, call: CallId, socket: u32) -> Self {
        let (pieces, mut waiting) = mpsc::channel::<(u32, Vec<u8>)>(PIECES_WAITING_MAX);
        tokio::spawn(async move {
            while let Some((number, bytes)) = waiting.recv().await {
                if !recording::keep(&client, &tenant, &call, socket, number, &bytes).await {
                    tracing::warn!(call = %call, "a piece of a recording is lost");
                }
            }
        });
        Self { sides: Sides::default(), number: 0, pieces }
    }

    /// The caller's sound, µ-law at 8 kHz.
    pub(super) fn heard(&mut self, bytes: &[u8]) {
        self.sides.caller.extend_from_slice(bytes);
        while let Some(piece) = self.sides.piece(PIECE) {
            self.send(piece);
        }
    }

    /// Sound of ours was put behind what is being played.
    pub(super) fn plays(&mut self, bytes: &[u8]) {
        self.sides.plays(bytes);
    }

    /// What was not played yet will not be.
    pub(super) fn clears(&mut self) {
        let played = self.sides.caller.len();
        self.sides.ours.truncate(played);
    }

    fn send(&mut self, piece: Vec<u8>) {
        self.number += 1;
        if self.pieces.try_send((self.number, piece)).is_err() {
            tracing::warn!("a piece of a recording is lost: the store does not keep up");
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let rest = self.sides.caller.len();
        if let Some(piece) = self.sides.piece(rest.max(1)) {
            self.send(piece);
        }
    }
}

impl Sides {
    fn plays(&mut self, bytes: &[u8]) {
        if self.ours.len() < self.caller.len() {
            self.ours.resize(self.caller.len(), SILENCE);
        }
        let room = WAITING_MAX.saturating_sub(self.ours.len());
        self.ours.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The first so many bytes of each side, one of each after the other; none until the caller's are there.
    fn piece(&mut self, length: usize) -> Option<Vec<u8>> {
        if self.caller.len() < length {
            return None;
        }
        if self.ours.len() < length {
            self.ours.resize(length, SILENCE);
        }
        let (caller, ours) = (self.caller.drain(..length), self.ours.drain(..length));
        Some(caller.zip(ours).flat_map(|(caller, ours)| [caller, ours]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_stand_beside_each_other_as_they_were_heard() {
        let mut sides = Sides::default();
        sides.caller.extend([1, 2]);
        sides.plays(&[11, 12, 13]);
        sides.caller.extend([3, 4, 5, 6]);
        assert_eq!(sides.piece(4), Some(vec![1, SILENCE, 2, SILENCE, 3, 11, 4, 12]));
        assert_eq!(sides.piece(4), None);
        assert_eq!(sides.piece(2), Some(vec![5, 13, 6, SILENCE]));
        assert_eq!(sides, Sides::default());
    }

    #[test]
    fn what_was_thrown_away_is_not_in_it() {
        let mut sides = Sides::default();
        sides.plays(&[11, 12, 13]);
        sides.caller.extend([1]);
        let played = sides.caller.len();
        sides.ours.truncate(played);
        sides.caller.extend([2, 3]);
        assert_eq!(sides.piece(3), Some(vec![1, 11, 2, SILENCE, 3, SILENCE]));
        sides.plays(&vec![7; WAITING_MAX + 1]);
        assert_eq!(sides.ours.len(), WAITING_MAX);
    }
}
