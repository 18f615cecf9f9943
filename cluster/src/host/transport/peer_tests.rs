//! Tests of whether a peer's connection is wanted.

use super::super::handshake::Hello;
use super::*;

fn agreed(node: &str, incarnation: u64, link: u64) -> Agreed {
    let peer = Hello {
        node: node.to_owned(),
        incarnation,
        cluster: String::new(),
        shards: 1,
        schema: 1,
        protocol: (1, 1),
        to: String::new(),
        nonce: [0; 32],
    };
    Agreed { peer, link }
}

fn peer(id: &str) -> Peer {
    Peer::new(id.to_owned(), TransportLimits::default())
}

#[test]
fn when_both_dial_both_keep_what_the_higher_id_dialed() {
    // On n1: it dials n2 and is dialed by n2.
    let n2 = peer("n2");
    let attempt = n2.dial().expect("free");
    let theirs = n2.admit("n1", &agreed("n2", 1, 2), 0).expect("n2's is preferred");
    let own = n2.dialed(attempt, &agreed("n2", 1, 1), 0);
    assert!(matches!(own, Err(Failure::Preferred)), "its own is dropped");
    assert!(n2.is_connected() && !theirs.cut.is_cancelled());
    // On n2: the other way round.
    let n1 = peer("n1");
    let attempt = n1.dial().expect("free");
    assert_eq!(n1.admit("n2", &agreed("n1", 1, 1), 0).err(), Some(Refusal::preferred()));
    let ours = n1.dialed(attempt, &agreed("n1", 1, 2), 0).expect("stands");
    // Its dial may also arrive just after.
    assert_eq!(n1.admit("n2", &agreed("n1", 1, 1), 100).err(), Some(Refusal::preferred()));
    assert!(!ours.cut.is_cancelled());
    // Long after, it means that n1 has lost the connection.
    let replaced = n1.admit("n2", &agreed("n1", 1, 3), 60_000).expect("n1 has none any more");
    assert!(ours.cut.is_cancelled());
    assert!(replaced.previous.is_some_and(|previous| !previous.is_cancelled()), "it waits for the old session's end");
}

#[test]
fn a_dialer_that_has_lost_its_own_connection_gets_a_new_one_at_once() {
    let n1 = peer("n1");
    let first = n1.admit("n2", &agreed("n1", 1, 1), 0).expect("free");
    n1.admit("n2", &agreed("n1", 1, 2), 10).expect("dialed again");
    assert!(first.cut.is_cancelled());
}

#[test]
fn a_new_incarnation_replaces_the_old_one_which_is_refused_from_then_on() {
    let n1 = peer("n1");
    let attempt = n1.dial().expect("free");
    let old = n1.dialed(attempt, &agreed("n1", 4, 1), 0).expect("stands");
    n1.admit("n2", &agreed("n1", 5, 2), 1).expect("is newer, however young the old connection is");
    assert!(old.cut.is_cancelled());
    let refusal = n1.admit("n2", &agreed("n1", 4, 3), 2).err().expect("is dead");
    assert_eq!(refusal.what, "the incarnation");
    assert!(n1.is_connected());
}

#[test]
fn an_older_incarnation_that_is_dialed_is_refused_too() {
    let n1 = peer("n1");
    let new = n1.admit("n2", &agreed("n1", 5, 1), 0).expect("free");
    assert!(n1.end(new.link, "test", 0));
    let attempt = n1.dial().expect("free");
    let failure = n1.dialed(attempt, &agreed("n1", 4, 2), 0).err().expect("is dead");
    assert!(failure.to_string().contains("the incarnation"), "{failure}");
}

#[test]
fn a_session_that_does_not_come_to_be_is_ended_and_waits_grow() {
    let n1 = peer("n1");
    let mut last_ms = 0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        let attempt = n1.dial().expect("free");
        let handover = n1.dialed(attempt, &agreed("n1", 1, last_ms + 1), last_ms).expect("stands");
        assert!(n1.look(last_ms + 4_999, 0).end.is_none());
        let look = n1.look(last_ms + 5_000, 0);
        assert_eq!(look.end.map(|(link, _)| link), Some(handover.link));
        let ended_ms = last_ms + 5_000;
        assert!(n1.end(handover.link, "late", ended_ms));
        let mut at_ms = ended_ms;
        while !n1.look(at_ms, 0).dial {
            at_ms += 1;
        }
        waits.push(at_ms - ended_ms);
        last_ms = at_ms;
    }
    assert!((50..=150).contains(&waits[0]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 4_500), "{waits:?}");
    assert!(waits[7] >= 1_500, "{waits:?}");
}

#[test]
fn a_dial_that_failed_is_tried_again_for_ever() {
    let n1 = peer("n1");
    let refused = || Failure::Connection(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    let mut at_ms = 0;
    for _ in 0..50 {
        let attempt = n1.dial().expect("it is time");
        assert!(!n1.look(at_ms, 0).dial, "one at a time");
        n1.dial_failed(attempt, &refused(), at_ms);
        assert!(!n1.look(at_ms, 0).dial, "not at once");
        // Half more than the longest wait at most.
        at_ms += 4_500;
        assert!(n1.look(at_ms, 0).dial, "never again");
    }
}

#[test]
fn a_peer_that_is_retired_gives_frames_back() {
    let n1 = peer("n1");
    assert!(n1.retire());
    let frame = Frame {
        shard: 1,
        epoch: 1,
        key: colloquy_store::EntityKey::new("t", "k", "i"),
        schema: 1,
        correlation: 0,
        idempotency_key: None,
        deadline_ms: 1,
        trace: None,
        source: None,
        after_rows: false,
        note: false,
        bytes: Bytes::new(),
    };
    assert!(n1.send(0, frame.clone(), ReplyTo::new(drop)).is_err());
    let busy = peer("n1");
    assert!(busy.send(0, frame, ReplyTo::new(drop)).is_ok());
    assert!(!busy.retire(), "something waits for it");
}
