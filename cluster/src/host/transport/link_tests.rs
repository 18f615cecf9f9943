//! Tests of one connection without its IO.

use std::sync::{Arc, Mutex};

use colloquy_store::EntityKey;

use super::super::wire::{BatchReader, Packet, Received};
use super::*;
use crate::frame::FRAME_SCHEMA;

const WALL_MS: i64 = 1_700_000_000_000;

fn limits() -> TransportLimits {
    TransportLimits {
        window_frames: 4,
        window_bytes: 10_000,
        unacknowledged_bytes: 1_000,
        ..TransportLimits::default()
    }
}

fn link() -> Link {
    Link::new(5, 1, true, 0, limits())
}

fn frame(bytes: usize) -> Frame {
    Frame {
        shard: 1,
        epoch: 1,
        key: EntityKey::new("t", "k", "i"),
        schema: FRAME_SCHEMA,
        correlation: 0,
        idempotency_key: None,
        deadline_ms: WALL_MS + 5_000,
        trace: None,
        source: None,
        after_rows: false,
        note: false,
        bytes: vec![0; bytes].into(),
    }
}

/// What the replies said, by name.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<(&'static str, Answer)>>>);

impl Said {
    fn reply(&self, name: &'static str) -> ReplyTo {
        let said = self.0.clone();
        ReplyTo::new(move |answer| said.lock().expect("whole").push((name, answer)))
    }

    fn take(&self) -> Vec<(&'static str, Answer)> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

fn settle(settled: impl IntoIterator<Item = Settled>) {
    for (reply, answer) in settled {
        reply.send(answer);
    }
}

fn packets(batch: Vec<u8>) -> Vec<Received> {
    BatchReader::new(batch.into(), WALL_MS).expect("a batch").collect()
}

fn correlations(batch: Vec<u8>) -> Vec<u64> {
    packets(batch)
        .into_iter()
        .filter_map(|received| match received {
            Received::Packet { correlation, packet: Packet::Frame(_) } => Some(correlation),
            _ => None,
        })
        .collect()
}

#[test]
fn a_window_is_bounded_in_frames_and_in_bytes_and_opens_with_answers() {
    let (mut link, said) = (link(), Said::default());
    for name in ["a", "b", "c", "d"] {
        assert!(link.ask(frame(10), said.reply(name)).is_none());
    }
    settle(link.ask(frame(10), said.reply("e")));
    assert_eq!(said.take(), [("e", Answer::Busy { retry_after_ms: WINDOW_RETRY_MS })]);
    link.batch(0, WALL_MS, &mut Vec::new()).expect("sends");
    settle(link.answered(2, Answer::Erased));
    assert_eq!(said.take(), [("b", Answer::Erased)]);
    assert!(link.ask(frame(9_000), said.reply("f")).is_none());
    settle(link.answered(1, Answer::Erased));
    settle(link.ask(frame(2_000), said.reply("g")));
    assert_eq!(said.take()[1], ("g", Answer::Busy { retry_after_ms: WINDOW_RETRY_MS }));
    // One frame always fits, however small the window is.
    let mut link = Link::new(5, 1, true, 0, TransportLimits { window_bytes: 1, ..limits() });
    assert!(link.ask(frame(5_000), said.reply("h")).is_none());
}

#[test]
fn nothing_more_is_handed_over_until_the_peer_acknowledges() {
    let mut link = Link::new(5, 1, true, 0, TransportLimits { window_frames: 100, ..limits() });
    let said = Said::default();
    for _ in 0..3 {
        assert!(link.ask(frame(900), said.reply("x")).is_none());
    }
    let (first, sent) = link.batch(0, WALL_MS, &mut Vec::new()).expect("sends");
    assert_eq!(sent, 3, "together");
    assert!(link.ask(frame(900), said.reply("y")).is_none());
    assert!(link.batch(0, WALL_MS, &mut Vec::new()).is_none(), "the peer has not taken the first");
    link.took(1, 50, first.len() as u64 - 1_000);
    assert!(link.batch(1, WALL_MS, &mut Vec::new()).is_none(), "nor all of it");
    // A peer cannot acknowledge what was never sent.
    link.took(2, 50, u64::MAX);
    assert_eq!(correlations(link.batch(2, WALL_MS, &mut Vec::new()).expect("sends").0), [4]);
    assert!(link.ask(frame(900), said.reply("z")).is_none());
    assert!(link.ask(frame(900), said.reply("z")).is_none());
    assert!(link.batch(2, WALL_MS, &mut Vec::new()).is_some(), "one batch beyond");
    assert!(link.ask(frame(900), said.reply("z")).is_none());
    assert!(link.batch(2, WALL_MS, &mut Vec::new()).is_none());
}

#[test]
fn batches_are_put_together_up_to_their_size_in_order() {
    let wide = TransportLimits {
        window_frames: 1_000,
        window_bytes: usize::MAX,
        unacknowledged_bytes: usize::MAX / 2,
        ..limits()
    };
    let mut link = Link::new(5, 1, true, 0, wide);
    let said = Said::default();
    for _ in 0..100 {
        assert!(link.ask(frame(1_000), said.reply("x")).is_none());
    }
    assert!(link.ask(frame(500_000), said.reply("large")).is_none());
    assert!(link.ask(frame(1), said.reply("after")).is_none());
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    while let Some((batch, _)) = link.batch(0, WALL_MS, &mut Vec::new()) {
        sizes.push(batch.len());
        seen.extend(correlations(batch));
    }
    assert!(seen.into_iter().eq(1..=102), "out of order");
    assert_eq!(sizes.len(), 4, "{sizes:?}: two of small ones, the large one alone, the last");
    assert!(sizes[0] <= BATCH_BYTES && sizes[1] <= BATCH_BYTES);
}

#[test]
fn a_silent_link_beats_and_a_silent_peer_is_noticed() {
    let mut link = link();
    assert!(link.batch(999, WALL_MS, &mut Vec::new()).is_none());
    let (beat, _) = link.batch(1_000, WALL_MS, &mut Vec::new()).expect("beats");
    assert_eq!(packets(beat), [Received::Packet { correlation: 0, packet: Packet::Beat }]);
    assert!(link.batch(1_000, WALL_MS, &mut Vec::new()).is_none(), "once");
    assert!(!link.tick(4_999, WALL_MS).silent);
    assert!(link.tick(5_000, WALL_MS).silent);
    link.took(5_000, 1, 0);
    assert!(!link.tick(9_999, WALL_MS).silent);
}

#[test]
fn a_beat_passes_a_full_connection_or_the_peer_would_take_a_slow_one_for_dead() {
    let (mut link, said) = (link(), Said::default());
    assert!(link.ask(frame(5_000), said.reply("x")).is_none());
    assert!(link.batch(0, WALL_MS, &mut Vec::new()).is_some());
    assert!(link.ask(frame(100), said.reply("y")).is_none());
    let (beat, _) = link.batch(1_000, WALL_MS, &mut Vec::new()).expect("beats");
    assert_eq!(packets(beat), [Received::Packet { correlation: 0, packet: Packet::Beat }]);
}

#[test]
fn what_came_is_acknowledged_before_the_peer_has_to_wait() {
    let mut link = link();
    link.took(0, 249, 0);
    assert!(!link.owes_acknowledgement());
    link.took(0, 1, 0);
    assert!(link.owes_acknowledgement());
    let (batch, _) = link.batch(0, WALL_MS, &mut Vec::new()).expect("acknowledges");
    assert_eq!(BatchReader::new(batch.into(), WALL_MS).expect("a batch").acknowledged, 250);
    assert!(!link.owes_acknowledgement());
}

#[test]
fn the_end_tells_what_was_sent_from_what_was_not() {
    let (mut link, said) = (link(), Said::default());
    assert!(link.ask(frame(2_000), said.reply("sent")).is_none());
    assert!(link.batch(0, WALL_MS, &mut Vec::new()).is_some());
    assert!(link.ask(frame(10), said.reply("never sent")).is_none());
    settle(link.end());
    let mut answers = said.take();
    answers.sort_by_key(|(name, _)| *name);
    assert_eq!(answers, [("never sent", Answer::Moving { retry_after_ms: ENDED_RETRY_MS }), ("sent", Answer::Unknown)]);
    assert_eq!(link.waiting(), 0);
}

#[test]
fn a_deadline_expires_what_was_not_sent_and_gives_up_what_was() {
    let (mut link, said) = (link(), Said::default());
    assert!(link.ask(frame(2_000), said.reply("sent")).is_none());
    assert!(link.batch(0, WALL_MS, &mut Vec::new()).is_some());
    assert!(link.ask(frame(10), said.reply("queued")).is_none());
    settle(link.tick(0, WALL_MS + 4_999).settled);
    assert_eq!(said.take(), []);
    settle(link.tick(0, WALL_MS + 5_000).settled);
    assert_eq!(said.take(), [("queued", Answer::Expired)]);
    settle(link.tick(0, WALL_MS + 9_999).settled);
    assert_eq!(said.take(), []);
    settle(link.tick(0, WALL_MS + 10_000).settled);
    assert_eq!(said.take(), [("sent", Answer::Unknown)]);
    // The late answer finds nobody.
    assert!(link.answered(1, Answer::Erased).is_none());
    // What is over when its turn comes is not sent.
    let mut late = frame(10);
    late.deadline_ms = WALL_MS;
    link.took(0, 1, u64::MAX);
    assert!(link.ask(late, said.reply("late")).is_none());
    let mut settled = Vec::new();
    assert!(link.batch(0, WALL_MS, &mut settled).is_none());
    settle(settled);
    assert_eq!(said.take(), [("late", Answer::Expired)]);
}

#[test]
fn a_peer_that_makes_up_answers_settles_nothing() {
    let (mut link, said) = (link(), Said::default());
    assert!(link.ask(frame(10), said.reply("queued")).is_none());
    assert!(link.answered(1, Answer::Erased).is_none(), "it was not sent yet");
    assert!(link.answered(77, Answer::Erased).is_none());
    assert!(link.part(1).is_none() && link.part(77).is_none());
    assert_eq!(said.take(), []);
}

#[test]
fn a_peer_that_does_not_take_its_answers_is_told_unknown_and_costs_no_more() {
    let mut link = Link::new(5, 1, true, 0, TransportLimits { answer_bytes: 10_000, ..limits() });
    let long = Answer::Ok(Bytes::from(vec![0; 4_000]));
    assert!(link.serve() && link.serve() && link.serve());
    assert!(link.give(1, &long) && link.give(2, &long));
    assert!(!link.give(3, &long), "does not fit");
    assert!(!link.give_part(4, &[0; 4_000]));
    let mut answers = Vec::new();
    while let Some((batch, _)) = link.batch(0, WALL_MS, &mut Vec::new()) {
        answers.extend(packets(batch));
        link.took(0, 1, u64::MAX);
    }
    assert_eq!(answers[2], Received::Packet { correlation: 3, packet: Packet::Answer(Answer::Unknown) });
    assert!(link.give_part(4, &[0; 4_000]), "taken: there is room again");
}

#[test]
fn a_peer_that_ignores_its_window_is_not_served_more() {
    let mut link = link();
    let served = (0..100).filter(|_| link.serve()).count();
    assert_eq!(served, 8);
    link.give(1, &Answer::Erased);
    assert!(link.serve() && !link.serve());
}
