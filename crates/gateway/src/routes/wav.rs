//! A recording as a file that is never whole anywhere: its pieces are read one after the other, from where somebody wants to listen.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use colloquy_actors::ActorError;
use colloquy_actors::calls::recording::{self, CHANNELS, Piece, RATE_HZ};
use colloquy_actors::domain::call::Call;
use futures::stream;

use super::range::{Part, outside, part};
use crate::app::{App, AppState};
use crate::problem::Result;

/// The bytes before the sound.
const HEADER: usize = 58;
/// µ-law, in WAV files.
const MULAW: u16 = 7;

/// The part of a call's recording that a `Range` names; all of it without one.
pub(super) async fn answer(app: &App, call: &Call, range: Option<&str>) -> Result<Response> {
    let pieces = recording::pieces(&app.actors.client, &call.tenant, &call.id).await?;
    let sound: u64 = pieces.iter().map(|piece| piece.bytes).sum();
    let whole = HEADER as u64 + sound;
    let (status, from, to) = match range.map(|range| part(range, whole)) {
        None | Some(Part::All) => (StatusCode::OK, 0, whole - 1),
        Some(Part::Of { from, to }) => (StatusCode::PARTIAL_CONTENT, from, to),
        Some(Part::Outside) => return Ok(outside(whole, "the recording")),
    };
    let mut headers = vec![
        (header::CONTENT_TYPE, "audio/wav".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_LENGTH, (to - from + 1).to_string()),
        // Personal, and deleted one day.
        (header::CACHE_CONTROL, "private, no-store".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"call-{}.wav\"", call.id)),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        headers.push((header::CONTENT_RANGE, format!("bytes {from}-{to}/{whole}")));
    }
    let mut answer =
        (status, Body::from_stream(body(app.clone(), call.clone(), pieces, sound, from, to))).into_response();
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(name, value);
        }
    }
    Ok(answer)
}

/// The bytes from the one to the other, both included.
fn body(
    app: App,
    call: Call,
    pieces: Vec<Piece>,
    sound: u64,
    from: u64,
    to: u64,
) -> impl futures::Stream<Item = std::result::Result<Bytes, ActorError>> {
    let head = cut(&Bytes::from(head(sound)), 0, from, to);
    let pieces = pieces.into_iter().scan(HEADER as u64, |at, piece| {
        let begins = *at;
        *at += piece.bytes;
        Some((begins, piece))
    });
    let wanted: Vec<(u64, Piece)> =
        pieces.filter(|(begins, piece)| *begins <= to && begins + piece.bytes > from).collect();
    let rest = stream::unfold((app, call, wanted.into_iter()), move |(app, call, mut wanted)| async move {
        let (begins, piece) = wanted.next()?;
        let read = of_piece(&app, &call, &piece).await.map(|bytes| cut(&bytes, begins, from, to));
        Some((read, (app, call, wanted)))
    });
    futures::StreamExt::chain(stream::iter((!head.is_empty()).then_some(Ok(head))), rest)
}

/// A piece. One that is gone, or shorter than it says, ends the answer in the middle: its length was said.
async fn of_piece(app: &AppState, call: &Call, piece: &Piece) -> std::result::Result<Bytes, ActorError> {
    let gone = || ActorError::Unavailable("a piece of the recording is gone".to_owned());
    let bytes = recording::read(&app.actors.client, &call.tenant, &call.id, piece).await?.ok_or_else(gone)?;
    if bytes.len() as u64 == piece.bytes { Ok(bytes) } else { Err(gone()) }
}

/// What of bytes that begin at `begins` lies between the two.
fn cut(bytes: &Bytes, begins: u64, from: u64, to: u64) -> Bytes {
    let at = |place: u64| usize::try_from(place.saturating_sub(begins)).unwrap_or(usize::MAX).min(bytes.len());
    let (first, last) = (at(from), at(to.saturating_add(1)));
    bytes.slice(first.min(last)..last)
}

/// The head of a WAV file with µ-law on both channels.
fn head(sound: u64) -> Vec<u8> {
    let sound = u32::try_from(sound).unwrap_or(u32::MAX - 64);
    let bytes_per_second = RATE_HZ * u32::from(CHANNELS);
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(sound + 50).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&18_u32.to_le_bytes());
    out.extend_from_slice(&MULAW.to_le_bytes());
    out.extend_from_slice(&CHANNELS.to_le_bytes());
    out.extend_from_slice(&RATE_HZ.to_le_bytes());
    out.extend_from_slice(&bytes_per_second.to_le_bytes());
    out.extend_from_slice(&CHANNELS.to_le_bytes()); // A byte each.
    out.extend_from_slice(&8_u16.to_le_bytes()); // Bits.
    out.extend_from_slice(&0_u16.to_le_bytes()); // Nothing more about the format.
    out.extend_from_slice(b"fact");
    out.extend_from_slice(&4_u32.to_le_bytes());
    out.extend_from_slice(&(sound / u32::from(CHANNELS)).to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&sound.to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_as_long_as_it_says_and_tells_what_follows() {
        let head = head(16_000);
        assert_eq!(head.len(), HEADER);
        assert_eq!((&head[..4], &head[8..16], &head[50..54]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        assert_eq!(u32::from_le_bytes([head[4], head[5], head[6], head[7]]), 16_000 + HEADER as u32 - 8);
        assert_eq!(u32::from_le_bytes([head[46], head[47], head[48], head[49]]), 8_000, "samples of each channel");
    }

    #[test]
    fn pieces_are_cut_to_what_is_wanted() {
        let bytes = Bytes::from_static(b"0123456789");
        assert_eq!(cut(&bytes, 100, 0, 1_000), "0123456789");
        assert_eq!(cut(&bytes, 100, 103, 105), "345");
        assert_eq!((cut(&bytes, 100, 0, 50).len(), cut(&bytes, 100, 110, 120).len()), (0, 0));
    }
}
