//! Nodes and networks that fail: stalls, deaths, cuts, partitions.

use std::time::{Duration, Instant};

use crate::peer::{Peer, Setup, ask, pair, until};
use crate::proxy::Proxy;

/// The lease time: within it a stalled peer must be noticed.
const LEASE: Duration = Duration::from_secs(8);

#[test]
fn a_stopped_peer_is_noticed_within_the_lease_costs_bounded_memory_and_is_found_again() {
    let mut setup = Setup::new("n1");
    setup.window_bytes = 4 * 1024 * 1024;
    setup.unacknowledged_bytes = 1024 * 1024;
    let (a, b) = pair(setup, Setup::new("n2"));
    let mut load = ask("n2", "echo", "");
    // Far more than the bound below, if it were kept.
    (load.size, load.count, load.deadline_ms) = (64 * 1024, 2_000, 1_000);
    a.ask(&load); // So that what the first load allocates is not counted.
    let before = a.memory();
    b.signal("STOP");
    let stopped = Instant::now();
    let mut most = 0;
    let mut refused = 0;
    while a.is_connected_to("n2") {
        assert!(stopped.elapsed() < LEASE, "not noticed");
        let answers = a.ask(&load);
        assert!(!answers.labels.contains_key("ok"), "{answers:?}");
        refused += answers.labels.get("busy").copied().unwrap_or(0);
        most = most.max(a.memory());
    }
    assert!(refused > 0, "the window never filled");
    let grown = most.saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "grew by {grown} bytes");
    // Meanwhile nothing waits for it for long.
    let answers = a.ask(&ask("n2", "echo", "anybody?"));
    assert!(answers.took_ms < 11_000 && !answers.all("ok"), "{answers:?}");
    b.signal("CONT");
    assert_eq!(a.ask_until_ok(&ask("n2", "echo", "welcome back")).last, "welcome back");
}

#[test]
fn a_connection_without_traffic_lives_by_its_beats() {
    let (a, b) = pair(Setup::new("n1"), Setup::new("n2"));
    assert!(a.ask(&ask("n2", "echo", "once")).all("ok"));
    let began = a.metric("colloquy_transport_frames_total");
    // Both directions count: this many beats take longer than a silent connection would live.
    until("it has beaten for a while", || a.metric("colloquy_transport_frames_total") >= began + 14.0);
    for node in [&a, &b] {
        assert!(!node.logged().contains("the connection to a peer ended"), "{}", node.logged());
        assert_eq!(node.metric("colloquy_transport_sessions"), 1.0);
    }
    assert!(a.status("n2")["beat_age_ms"].as_u64().is_some_and(|age_ms| age_ms < 4_000), "{}", a.status("n2"));
}

#[test]
fn a_killed_peer_leaves_its_answers_unknown_and_is_dialed_again_when_it_is_back() {
    let (a, b) = pair(Setup::new("n1"), Setup::new("n2"));
    let mut held = ask("n2", "hold", "");
    held.deadline_ms = 60_000;
    let holding = a.begin_ask(&held);
    until("it is held", || b.seen().1 == 1);
    let address = b.address.clone();
    let mut setup = b.kill();
    let answers = holding.answers();
    assert!(answers.all("unknown"), "{answers:?}");
    assert!(answers.took_ms < 20_000, "{answers:?}");
    let answers = a.ask(&ask("n2", "echo", "nobody there"));
    assert!(answers.all("moving"), "{answers:?}");
    (setup.listen, setup.incarnation) = (address, 2);
    let b = Peer::start(setup);
    b.knows(&[("n1", &a.address)]);
    assert_eq!(a.ask_until_ok(&ask("n2", "echo", "again")).last, "again");
    assert_eq!(a.status("n2")["incarnation"], 2);
    assert!(b.ask(&ask("n1", "echo", "back")).all("ok"));
    assert!(a.metric("colloquy_transport_dials_total") > 0.0);
}

#[test]
fn a_new_incarnation_replaces_a_stalled_one_at_once_and_the_old_one_is_refused_by_name() {
    let (a, old) = pair(Setup::new("n1"), Setup::new("n2"));
    assert!(a.ask(&ask("n2", "echo", "old")).all("ok"));
    assert!(old.ask(&ask("n1", "echo", "old")).all("ok"));
    old.signal("STOP");
    let mut setup = Setup::new("n2");
    setup.incarnation = 2;
    let new = Peer::start(setup);
    a.knows(&[("n2", &new.address)]);
    new.knows(&[("n1", &a.address)]);
    // It dials; `a` still believes in the old session.
    let answers = new.ask(&ask("n1", "echo", "new"));
    assert!(answers.all("ok") && answers.took_ms < 4_000, "{answers:?}");
    assert_eq!(a.ask(&ask("n2", "echo", "to the new one")).last, "to the new one");
    old.signal("CONT");
    until("the old one is refused", || {
        let answers = old.ask(&ask("n1", "echo", "am I still n2?"));
        answers.all("unavailable") && answers.last.contains("the incarnation")
    });
    assert_eq!(a.status("n2")["incarnation"], 2);
    assert!(a.ask(&ask("n2", "echo", "still the new one")).all("ok"));
}

#[test]
fn a_peer_that_does_not_dial_itself_is_dialed_until_it_is_there_and_again_when_it_is_back() {
    let a = Peer::start(Setup::new("n1"));
    let b = Peer::start(Setup::new("n2"));
    let address = b.address.clone();
    let mut setup = b.kill();
    a.knows(&[("n2", &address)]);
    assert!(a.ask(&ask("n2", "echo", "nobody there")).all("moving"));
    // From here on nobody asks for it, and it knows no address to dial: only dialing again connects them.
    for incarnation in 2..5 {
        (setup.listen, setup.incarnation) = (address.clone(), incarnation);
        let b = Peer::start(setup);
        until("it is dialed", || a.is_connected_to("n2") && a.status("n2")["incarnation"] == incarnation);
        setup = b.kill();
        until("its end is noticed", || !a.is_connected_to("n2"));
    }
}

#[test]
fn a_connection_cut_in_the_middle_of_a_frame_leaves_it_unknown_and_is_dialed_again() {
    let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n2")));
    let proxy = Proxy::start(&b.address);
    a.knows(&[("n2", &proxy.address)]);
    assert!(a.ask(&ask("n2", "echo", "through the proxy")).all("ok"));
    let mut large = ask("n2", "echo", "");
    large.size = 1_000_000;
    for cut_after in [0, 1, 7, 100, 70_000, 999_999] {
        // A beat may be what is cut; then the frame is not in the middle of anything, and it is tried again.
        until(&format!("a frame is cut after {cut_after}"), || {
            let cuts = proxy.cuts();
            proxy.cut_after(cut_after);
            let answers = a.ask(&large);
            assert!(answers.took_ms < 10_000, "waited for its deadline: {answers:?}");
            assert!(["unknown", "moving", "ok"].iter().any(|label| answers.all(label)), "{answers:?}");
            assert_eq!(proxy.cuts(), cuts + 1, "not cut after {cut_after}: {answers:?}");
            a.ask_until_ok(&large);
            answers.all("unknown")
        });
    }
    assert!(b.ask(&ask("n2", "echo", "itself")).all("ok"));
}

#[test]
fn a_partition_heals_by_itself() {
    let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n2")));
    let (to_b, to_a) = (Proxy::start(&b.address), Proxy::start(&a.address));
    a.knows(&[("n2", &to_b.address)]);
    b.knows(&[("n1", &to_a.address)]);
    let (from_a, from_b) = (ask("n2", "echo", "a"), ask("n1", "echo", "b"));
    a.ask_until_ok(&from_a);
    for _ in 0..2 {
        to_a.refuse(true);
        to_b.refuse(true);
        until("both notice", || !a.is_connected_to("n2") && !b.is_connected_to("n1"));
        let answers = a.ask(&from_a);
        assert!(!answers.all("ok"), "{answers:?}");
        to_a.refuse(false);
        to_b.refuse(false);
        a.ask_until_ok(&from_a);
        b.ask_until_ok(&from_b);
        assert_eq!(a.metric("colloquy_transport_sessions"), 1.0);
        assert_eq!(b.metric("colloquy_transport_sessions"), 1.0);
    }
}
