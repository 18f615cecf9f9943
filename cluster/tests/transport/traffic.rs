//! Two healthy nodes: answers, order, windows, sizes.

use colloquy_cluster::frame::MAX_COMMAND_BYTES;

use crate::peer::{Peer, Setup, ask, pair, until};

#[test]
fn frames_and_answers_cross_in_both_directions() {
    let (a, b) = pair(Setup::new("n1"), Setup::new("n2"));
    let there = a.ask(&ask("n2", "echo", "hello"));
    assert!(there.all("ok"), "{there:?}");
    assert_eq!(there.last, "hello");
    let back = b.ask(&ask("n1", "reject", "no"));
    assert!(back.all("rejected"), "{back:?}");
    assert_eq!(back.last, "no");
    let own = a.ask(&ask("n1", "echo", "myself"));
    assert!(own.all("ok"), "{own:?}");
    assert_eq!(own.last, "myself");
    // A receiver that drops or panics leaves the outcome unknown, and the transport working.
    for kind in ["drop", "panic"] {
        let lost = a.ask(&ask("n2", kind, ""));
        assert!(lost.all("unknown"), "{kind}: {lost:?}");
    }
    assert!(a.ask(&ask("n2", "echo", "again")).all("ok"));
    let nobody = a.ask(&ask("n9", "echo", ""));
    assert!(nobody.all("moving"), "{nobody:?}");
    assert_eq!(a.metric("colloquy_transport_sessions"), 1.0);
    assert!(a.metric("colloquy_transport_bytes_total") > 0.0);
}

#[test]
fn deadlines_are_told_and_kept() {
    let (a, _b) = pair(Setup::new("n1"), Setup::new("n2"));
    let mut left = ask("n2", "left", "");
    left.deadline_ms = 8_000;
    let answers = a.ask(&left);
    let left_ms: i64 = answers.last.parse().expect("a number");
    assert!((1..=8_000).contains(&left_ms), "{answers:?}");
    let mut over = ask("n2", "count", "1");
    over.deadline_ms = -1;
    let answers = a.ask(&over);
    assert!(answers.all("expired"), "{answers:?}");
    // Nobody answers this one: it is given up, and its place in the window is free again.
    let mut held = ask("n2", "hold", "");
    held.deadline_ms = 200;
    let answers = a.ask(&held);
    assert!(answers.all("unknown"), "{answers:?}");
    until("nothing waits", || a.status("n2")["waiting"] == 0);
}

#[test]
fn order_holds_under_load_over_a_small_window_of_bytes() {
    const FRAMES: u64 = 30_000;
    let mut small = Setup::new("n1");
    small.window_frames = usize::try_from(FRAMES).expect("fits");
    // Many rounds of filling up and being acknowledged.
    small.unacknowledged_bytes = 32 * 1024;
    let mut other = Setup::new("n2");
    other.window_frames = small.window_frames;
    other.unacknowledged_bytes = small.unacknowledged_bytes;
    let (a, b) = pair(small, other);
    let mut counting = ask("n2", "count", "");
    (counting.count, counting.deadline_ms) = (FRAMES, 60_000);
    let mut back = ask("n1", "count", "");
    (back.count, back.deadline_ms) = (FRAMES, 60_000);
    let (there, back) = (a.begin_ask(&counting), b.begin_ask(&back));
    for answers in [there.answers(), back.answers()] {
        assert_eq!(answers.labels.get("ok"), Some(&FRAMES), "{answers:?}");
    }
    for node in [&a, &b] {
        assert!(node.seen().0.into_iter().eq(0..FRAMES), "out of order at {}", node.setup.node);
    }
    // Coalesced: far fewer batches than frames.
    let (frames, batches) = (a.metric("colloquy_transport_frames_total"), a.metric("colloquy_transport_batches_total"));
    assert!(batches * 4.0 < frames, "{frames} frames in {batches} batches");
}

#[test]
fn a_full_window_answers_busy_and_opens_again() {
    let mut narrow = Setup::new("n1");
    narrow.window_frames = 8;
    let (a, b) = pair(narrow, Setup::new("n2"));
    let mut held = ask("n2", "hold", "");
    (held.count, held.deadline_ms) = (8, 60_000);
    let holding = a.begin_ask(&held);
    until("all are held", || b.seen().1 == 8);
    let refused = a.ask(&ask("n2", "echo", "one more"));
    assert!(refused.all("busy"), "{refused:?}");
    assert!(refused.took_ms < 1_000, "{refused:?}");
    assert_eq!(a.metric("colloquy_transport_window_refusals_total"), 1.0);
    b.release();
    let answers = holding.answers();
    assert_eq!(answers.labels.get("ok"), Some(&8), "{answers:?}");
    assert!(a.ask(&ask("n2", "echo", "one more")).all("ok"));
}

#[test]
fn a_full_window_of_bytes_answers_busy_too() {
    let mut narrow = Setup::new("n1");
    narrow.window_bytes = 100_000;
    let (a, b) = pair(narrow, Setup::new("n2"));
    let mut held = ask("n2", "hold", "");
    (held.size, held.deadline_ms) = (70_000, 60_000);
    let holding = a.begin_ask(&held);
    until("it is held", || b.seen().1 == 1);
    let mut large = ask("n2", "echo", "");
    large.size = 70_000;
    assert!(a.ask(&large).all("busy"));
    assert!(a.ask(&ask("n2", "echo", "a small one fits")).all("ok"));
    b.release();
    assert!(holding.answers().all("ok"));
    assert!(a.ask(&large).all("ok"));
}

#[test]
fn every_legal_command_crosses_and_a_larger_one_is_refused_by_name() {
    let (a, _b) = pair(Setup::new("n1"), Setup::new("n2"));
    let mut largest = ask("n2", "echo", "");
    largest.size = MAX_COMMAND_BYTES;
    largest.idempotency_key = Some("k".repeat(128));
    let answers = a.ask(&largest);
    assert!(answers.all("ok"), "{answers:?}");
    assert_eq!(answers.bytes, MAX_COMMAND_BYTES);
    largest.size += 1;
    let answers = a.ask(&largest);
    assert!(answers.all("malformed") && answers.last.contains("above the limit"), "{answers:?}");
    let mut wordy = ask("n2", "echo", "");
    wordy.idempotency_key = Some("k".repeat(10_000));
    let answers = a.ask(&wordy);
    assert!(answers.all("malformed") && answers.last.contains("beside its command"), "{answers:?}");
    assert!(a.ask(&ask("n2", "echo", "still there")).all("ok"));
}

#[test]
fn long_answers_come_in_parts_and_too_long_ones_say_so() {
    let (a, _b) = pair(Setup::new("n1"), Setup::new("n2"));
    let answers = a.ask(&ask("n2", "big", "5000000"));
    assert!(answers.all("ok"), "{answers:?}");
    assert_eq!(answers.bytes, 5_000_000);
    let answers = a.ask(&ask("n2", "big", "17000000"));
    assert!(answers.all("malformed") && answers.last.contains("answer is above the limit"), "{answers:?}");
    let mut stream = ask("n2", "stream", "3");
    assert_eq!(a.ask(&stream).last, "part 0;part 1;part 2;end");
    stream.in_parts = true;
    let answers = a.ask(&stream);
    assert_eq!(answers.parts, ["part 0;", "part 1;", "part 2;"]);
    assert_eq!(answers.last, "end");
}

#[test]
fn both_dialing_at_once_settle_on_one_session() {
    for _ in 0..8 {
        let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n2")));
        a.knows(&[("n2", &b.address)]);
        b.knows(&[("n1", &a.address)]);
        let (from_a, from_b) = (ask("n2", "echo", "a"), ask("n1", "echo", "b"));
        let (from_a, from_b) = (a.begin_ask(&from_a), b.begin_ask(&from_b));
        let (from_a, from_b) = (from_a.answers(), from_b.answers());
        assert!(from_a.all("ok") && from_b.all("ok"), "{from_a:?} {from_b:?}");
        for node in [&a, &b] {
            assert_eq!(node.metric("colloquy_transport_sessions"), 1.0, "{}", node.logged());
            assert!(!node.logged().contains("the connection to a peer ended"), "{}", node.logged());
        }
    }
}
