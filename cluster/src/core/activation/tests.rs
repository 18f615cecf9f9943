//! Scenarios of the activation machine, step by step; the seeded simulation in `tests/sim` covers their combinations.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_store::journal::{Append, Claim, Claimed, Record, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::{EntityKey, StoreError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::*;
use crate::effect::EffectHandle;
use crate::entity::{At, Cx, Decision};

/// A counter: adds, tells, and wants to be woken `due_ms` after 1970 if that is set. Version 2 of both shapes.
struct Counter;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    sum: i64,
    due_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
enum Ask {
    Add(i64),
    Sum,
    Pad(usize),
    WakeAt(i64),
    Panic,
    StuckTimer,
}

#[derive(Clone, Serialize, Deserialize)]
enum Event {
    Added { amount: i64 },
    Padded(String),
    WakeSet(Option<i64>),
}

impl Entity for Counter {
    const KIND: &'static str = "counter";
    const STATE_VERSION: u32 = 2;
    const EVENT_VERSION: u32 = 2;
    const PERSONAL: bool = false;
    const IDLE_AFTER_MS: i64 = 60_000;
    const SNAPSHOT_EVERY: u64 = 5;
    type State = State;
    type Command = Ask;
    type Event = Event;
    type Reply = i64;
    type Rejection = String;
    type Effect = ();

    fn decide(&self, state: &State, _cx: &Cx, command: Ask) -> Result<Decision<Event, i64>, String> {
        let events = match command {
            Ask::Add(0) => return Err("nothing to add".to_owned()),
            Ask::Add(amount) => vec![Event::Added { amount }],
            Ask::Sum | Ask::StuckTimer => vec![],
            Ask::Pad(bytes) => vec![Event::Padded("x".repeat(bytes))],
            Ask::WakeAt(at_ms) => vec![Event::WakeSet(Some(at_ms))],
            Ask::Panic => panic!("asked to"),
        };
        Ok(Decision { events, reply: state.sum })
    }

    fn apply(state: &mut State, event: &Event, _at: At) {
        match event {
            Event::Added { amount } => state.sum += amount,
            Event::Padded(_) => {}
            Event::WakeSet(at_ms) => state.due_ms = *at_ms,
        }
    }

    fn timer(state: &State) -> Option<i64> {
        state.due_ms
    }

    fn on_timer(_state: &State, _now_ms: i64) -> Option<Ask> {
        Some(Ask::StuckTimer)
    }

    fn rows(&self, _key: &EntityKey, state: &State, seq: u64) -> Vec<Row> {
        vec![Row {
            tenant: "t".to_owned(),
            list: "counters".to_owned(),
            at_ms: 1,
            id: "a".to_owned(),
            seq,
            view_version: 1,
            body: Some(Bytes::from(state.sum.to_string())),
            numbers: None,
        }]
    }

    fn upgrade(version: u32, event: serde_json::Value) -> Result<serde_json::Value, String> {
        match version {
            // Version 1 wrote a bare number.
            1 => Ok(serde_json::json!({ "Added": { "amount": event } })),
            2 => Ok(event),
            other => Err(format!("no upgrade from event version {other}")),
        }
    }

    async fn run(self: Arc<Self>, (): (), _handle: EffectHandle) {}
}

/// A machine with what it said last.
struct Bench {
    machine: Activation<Counter>,
    now_ms: i64,
    tickets: Ticket,
    out: Outputs<Counter>,
}

fn full() -> StoreError {
    StoreError::Full("test".to_owned())
}

fn unknown() -> StoreError {
    StoreError::Unknown("test".to_owned())
}

fn record(seq: u64, bytes: &str) -> Record {
    Record { seq, append_id: Uuid::nil(), epoch: 1, bytes: Bytes::copy_from_slice(bytes.as_bytes()) }
}

fn added(seq: u64, amount: i64) -> Record {
    record(seq, &format!(r#"{{"v":1,"ev":2,"at":5,"e":{{"Added":{{"amount":{amount}}}}}}}"#))
}

impl Bench {
    fn cold(wake_row: WakeRow) -> Self {
        let start = Start {
            key: EntityKey::new("t", "counter", "a"),
            shard: 3,
            epoch: 1,
            seed: [1; 32],
            wake_row,
            mutation: Mutation::None,
        };
        Self { machine: Activation::new(Arc::new(Counter), start), now_ms: 1_000, tickets: 0, out: vec![] }
    }

    fn on(&mut self, input: Input) -> &mut Self {
        self.out.clear();
        self.machine.on(self.now_ms, input, &mut self.out);
        self
    }

    fn at(&mut self, now_ms: i64) -> &mut Self {
        self.now_ms = now_ms;
        self
    }

    fn ask(&mut self, command: &Ask) -> Ticket {
        self.ask_keyed(command, None)
    }

    fn ask_keyed(&mut self, command: &Ask, key: Option<&str>) -> Ticket {
        self.tickets += 1;
        let command = Command {
            ticket: self.tickets,
            bytes: Bytes::from(serde_json::to_vec(command).expect("encodes")),
            idempotency_key: key.map(str::to_owned),
            source: None,
            deadline_ms: self.now_ms + 5_000,
            after_rows: false,
        };
        self.on(Input::Command(command));
        self.tickets
    }

    fn claimed(&mut self) -> &mut Self {
        self.on(Input::Claimed(Ok(Claimed { claim: Claim(Uuid::from_u128(9)), last_seq: 0 })))
    }

    fn loaded(&mut self, snapshot: Option<Snapshot>, records: Vec<Record>) -> &mut Self {
        self.on(Input::Loaded(Ok(Loaded { snapshot, records, running: vec![] })))
    }

    /// Ready with these records and its rows written.
    fn ready(records: Vec<Record>) -> Self {
        let mut bench = Self::cold(WakeRow::Absent);
        bench.on(Input::Tick);
        bench.claimed().loaded(None, records).on(Input::RowsWritten(Ok(())));
        bench
    }

    fn replies(&self) -> Vec<(Ticket, Answer)> {
        let reply = |output: &Output<()>| match output {
            Output::Reply { ticket, answer } => Some((*ticket, answer.clone())),
            _ => None,
        };
        self.out.iter().filter_map(reply).collect()
    }

    fn append(&self) -> Option<(u64, &Append)> {
        self.out.iter().find_map(|output| match output {
            Output::Append { expected_seq, append, .. } => Some((*expected_seq, append)),
            _ => None,
        })
    }

    fn said(&self, wanted: impl Fn(&Output<()>) -> bool) -> bool {
        self.out.iter().any(wanted)
    }
}

fn ok(number: i64) -> Answer {
    Answer::Ok(Bytes::from(number.to_string()))
}

#[test]
fn answer_waits_for_the_append_and_what_queued_becomes_one_batch() {
    let mut bench = Bench::ready(vec![]);
    let first = bench.ask(&Ask::Add(5));
    assert_eq!((bench.replies(), bench.append().map(|(at, _)| at)), (vec![], Some(0)));
    let (second, query, third) = (bench.ask(&Ask::Add(6)), bench.ask(&Ask::Sum), bench.ask(&Ask::Add(7)));
    assert_eq!(bench.replies(), vec![], "queries wait too");
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(first, ok(0))]);
    let (at, append) = bench.append().expect("a batch");
    assert_eq!((at, append.events.len()), (1, 2));
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(second, ok(5)), (query, ok(11)), (third, ok(11))]);
}

#[test]
fn batch_ends_at_its_limits() {
    let mut bench = Bench::ready(vec![]);
    bench.ask(&Ask::Add(1));
    for _ in 0..MAX_BATCH_COMMANDS + 3 {
        bench.ask(&Ask::Add(1));
    }
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.append().expect("a batch").1.events.len(), MAX_BATCH_COMMANDS);
    for _ in 0..4 {
        bench.ask(&Ask::Pad(100 * 1024));
    }
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.append().expect("a batch").1.events.len(), 6, "three small ones and three times 100 KB");
}

#[test]
fn full_store_refuses_writes_keeps_reads_and_recovers() {
    let mut bench = Bench::ready(vec![added(1, 5)]);
    let write = bench.ask(&Ask::Add(1));
    bench.on(Input::Appended(Err(full())));
    assert_eq!(bench.replies(), [(write, Answer::storage_full())]);
    bench.loaded(None, vec![added(1, 5)]);
    let (query, write) = (bench.ask(&Ask::Sum), bench.tickets + 1);
    assert_eq!(bench.replies(), [(query, ok(5))]);
    bench.ask(&Ask::Add(1));
    assert_eq!(bench.replies(), [(write, Answer::storage_full())], "not even tried");
    bench.at(1_000 + FULL_PAUSE_MS).ask(&Ask::Add(1));
    assert!(bench.append().is_some(), "tried again");
}

#[test]
fn full_store_at_the_claim_still_answers_queries() {
    let mut bench = Bench::cold(WakeRow::Absent);
    let query = bench.ask(&Ask::Sum);
    bench.on(Input::Claimed(Err(full()))).loaded(None, vec![added(1, 5)]);
    assert_eq!(bench.replies(), [(query, ok(5))]);
    let write = bench.ask(&Ask::Add(1));
    assert_eq!(bench.replies(), [(write, Answer::storage_full())]);
    bench.at(1_000 + FULL_PAUSE_MS).ask(&Ask::Add(1));
    assert!(bench.said(|output| matches!(output, Output::Claim { .. })), "a write needs the claim");
    bench.claimed().loaded(None, vec![added(1, 5)]);
    assert_eq!(bench.append().map(|(at, _)| at), Some(1));
}

#[test]
fn damaged_data_is_named_to_everybody_until_a_later_look_can_read_it() {
    let mut bench = Bench::cold(WakeRow::Absent);
    let first = bench.ask(&Ask::Sum);
    let corrupt = StoreError::Corrupt { place: "event 3".to_owned(), detail: "flipped".to_owned() };
    bench.claimed().on(Input::Loaded(Err(corrupt.clone())));
    let damaged = Answer::storage_damaged(&corrupt);
    assert_eq!(bench.replies(), [(first, damaged.clone())]);
    assert!(bench.said(|output| matches!(output, Output::Note(Note::Unreadable))));
    let second = bench.ask(&Ask::Add(1));
    assert_eq!(bench.replies(), [(second, damaged)], "not that it is busy");
    bench.at(1_000 + FIRST_BACKOFF_MS).on(Input::Tick).claimed().loaded(None, vec![added(1, 5)]);
    let third = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(third, ok(5))]);
}

#[test]
fn unknown_outcome_is_settled_by_a_new_claim_and_the_id() {
    for happened in [true, false] {
        let mut bench = Bench::ready(vec![]);
        let write = bench.ask(&Ask::Add(5));
        let append = bench.append().expect("one").1.clone();
        bench.on(Input::Appended(Err(unknown())));
        assert_eq!(bench.replies(), vec![]);
        assert!(bench.said(|output| matches!(output, Output::Claim { .. })));
        bench.claimed();
        assert!(bench.said(|output| matches!(output, Output::Load { also_after: Some(0) })));
        let stored = Record { seq: 1, append_id: append.id, epoch: 1, bytes: append.events[0].clone() };
        bench.loaded(None, if happened { vec![stored] } else { vec![] });
        if happened {
            assert_eq!(bench.replies(), [(write, ok(0))]);
            assert!(bench.append().is_none());
        } else {
            assert_eq!(bench.replies(), vec![], "decided again");
            assert_eq!(bench.append().map(|(at, _)| at), Some(0));
        }
    }
}

#[test]
fn fenced_append_reloads_once_and_then_leaves() {
    let mut bench = Bench::ready(vec![]);
    let write = bench.ask(&Ask::Add(5));
    bench.on(Input::Appended(Err(StoreError::Fenced(EntityKey::new("t", "counter", "a")))));
    bench.claimed().loaded(None, vec![added(1, 1)]);
    assert_eq!(bench.append().map(|(at, _)| at), Some(1), "decided again on what is there");
    bench.on(Input::Appended(Err(StoreError::Fenced(EntityKey::new("t", "counter", "a")))));
    assert_eq!(bench.replies(), [(write, Answer::NotOwner { owner: None, epoch: 1 })]);
    assert!(bench.said(|output| matches!(output, Output::Retire { gone: Gone::Fenced, .. })));
    let late = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(late, Answer::NotOwner { owner: None, epoch: 1 })]);
}

#[test]
fn panics_reload_then_back_off_and_then_serve_again() {
    let mut bench = Bench::ready(vec![]);
    for nth in 1..=FAILURES_BEFORE_BACKOFF {
        let poison = bench.ask(&Ask::Panic);
        assert_eq!(bench.replies(), [(poison, Answer::HandlerFailed)]);
        if nth < FAILURES_BEFORE_BACKOFF {
            bench.loaded(None, vec![]);
        }
    }
    let refused = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(refused, Answer::Busy { retry_after_ms: FIRST_BACKOFF_MS as u64 })]);
    bench.at(1_000 + FIRST_BACKOFF_MS).on(Input::Tick).claimed().loaded(None, vec![]);
    let served = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(served, ok(0))]);
}

#[test]
fn panic_behind_others_in_a_batch_does_not_cost_them() {
    let mut bench = Bench::ready(vec![]);
    let first = bench.ask(&Ask::Add(1));
    let (second, poison) = (bench.ask(&Ask::Add(2)), bench.ask(&Ask::Panic));
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(first, ok(0)), (poison, Answer::HandlerFailed)]);
    bench.loaded(None, vec![added(1, 1)]);
    assert_eq!(bench.append().map(|(at, _)| at), Some(1));
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(second, ok(1))]);
}

#[test]
fn what_a_newer_version_wrote_is_refused_for_now_and_is_no_damage() {
    let newer = [
        (r#"{"v":1,"ev":3,"at":5,"e":{}}"#, "event version 3, this one knows 2"),
        (r#"{"v":2,"ev":2,"at":5,"e":{}}"#, "envelope version 2, this one knows 1"),
        (r#"{"v":1,"ev":2,"at":5,"e":{"Nonsense":1}}"#, "its kind is not one of event version 2"),
    ];
    for (bytes, named) in newer {
        let mut bench = Bench::cold(WakeRow::Absent);
        let query = bench.ask(&Ask::Sum);
        bench.claimed().loaded(None, vec![added(1, 1), record(2, bytes)]);
        assert!(bench.said(|output| matches!(output, Output::Note(Note::Newer))), "{bytes}");
        assert!(!bench.said(|output| matches!(output, Output::Note(Note::Unreadable))), "{bytes}");
        match &bench.replies()[..] {
            [(ticket, Answer::Unavailable { detail })] => {
                assert_eq!(*ticket, query);
                assert!(
                    detail.contains("event 2 was written by a newer version") && detail.contains(named),
                    "{detail}"
                );
            }
            other => panic!("{other:?}"),
        }
        // Whoever asks next is told the same at once; a later look reads it again.
        let second = bench.ask(&Ask::Add(1));
        assert!(
            matches!(&bench.replies()[..], [(ticket, Answer::Unavailable { .. })] if *ticket == second),
            "not that it is busy"
        );
        assert!(bench.append().is_none(), "nothing is written behind it");
    }
}

#[test]
fn events_of_an_older_version_are_upgraded_and_unknown_ones_refused_by_name() {
    let old = record(1, r#"{"v":1,"ev":1,"at":5,"e":40}"#);
    let mut bench = Bench::ready(vec![old, added(2, 2)]);
    let query = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(query, ok(42))]);
    for (bytes, named) in [
        (r#"{"v":1,"ev":0,"at":5,"e":{}}"#, "event version 0"),
        (r#"{"v":0,"ev":2,"at":5,"e":{}}"#, "envelope version 0"),
        (r#"{"v":1,"ev":2,"at":5,"e":{"Added":"many"}}"#, "Data error"),
        (r#"{"v":1,"#, "Eof error"),
    ] {
        let mut bench = Bench::cold(WakeRow::Absent);
        let query = bench.ask(&Ask::Sum);
        bench.claimed().loaded(None, vec![record(1, bytes)]);
        match &bench.replies()[..] {
            [(ticket, Answer::Unavailable { detail })] => {
                assert_eq!(*ticket, query);
                assert!(detail.contains(named), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn gap_in_the_journal_is_never_folded_over() {
    let mut bench = Bench::cold(WakeRow::Absent);
    bench.ask(&Ask::Sum);
    bench.claimed().loaded(None, vec![added(1, 1), added(3, 3)]);
    let replies = bench.replies();
    assert!(matches!(&replies[..], [(_, Answer::Unavailable { detail })] if detail.contains("event 2")), "{replies:?}");
}

#[test]
fn snapshot_of_another_shape_is_ignored_and_the_journal_folded_from_its_start() {
    for snapshot in [r#"{"v":1,"sv":1,"m":{},"rows":0,"s":{"old":true}}"#, r#"{"v":9}"#, "garbage"] {
        let snapshot = Some(Snapshot { seq: 2, bytes: Bytes::copy_from_slice(snapshot.as_bytes()) });
        let mut bench = Bench::cold(WakeRow::Absent);
        let query = bench.ask(&Ask::Sum);
        bench.claimed().loaded(snapshot.clone(), vec![added(3, 3)]);
        assert!(bench.said(|output| matches!(output, Output::Load { also_after: Some(0) })));
        bench.loaded(snapshot, vec![added(1, 1), added(2, 2), added(3, 3)]);
        assert_eq!(bench.replies(), [(query, ok(6))]);
    }
}

#[test]
fn snapshot_is_kept_every_so_often_and_spares_the_rows_when_it_left_in_order() {
    let mut bench = Bench::ready(vec![]);
    for _ in 0..5 {
        bench.ask(&Ask::Add(1));
        bench.on(Input::Appended(Ok(()))).on(Input::RowsWritten(Ok(())));
    }
    let before = bench.machine.snapshot_saving;
    assert_eq!(before, Some(5));
    bench.on(Input::SnapshotSaved(Ok(())));
    bench.ask_keyed(&Ask::Add(10), Some("k"));
    bench.on(Input::Appended(Ok(()))).on(Input::RowsWritten(Ok(())));
    bench.on(Input::Passivate);
    // First the wake row goes, then the snapshot is kept, then the entity.
    assert!(bench.said(|output| matches!(output, Output::RemoveWake)));
    bench.on(Input::WakeStored(Ok(())));
    let snapshot = bench.out.iter().find_map(|output| match output {
        Output::SaveSnapshot(snapshot) => Some(snapshot.clone()),
        _ => None,
    });
    bench.on(Input::SnapshotSaved(Ok(())));
    assert!(bench.said(|output| matches!(output, Output::Retire { gone: Gone::Retired, wake_row: WakeRow::Absent })));
    let mut again = Bench::cold(WakeRow::Absent);
    let repeated = again.ask_keyed(&Ask::Add(10), Some("k"));
    again.claimed().loaded(snapshot, vec![]);
    assert_eq!(again.replies(), [(repeated, ok(5))], "the first reply");
    assert!(!again.said(|output| matches!(output, Output::WriteRows(_))), "its rows are known to be written");
}

#[test]
fn crossing_command_keeps_a_leaving_entity() {
    let mut bench = Bench::ready(vec![]);
    bench.on(Input::Passivate);
    assert!(bench.said(|output| matches!(output, Output::Retire { .. })));
    let query = bench.ask(&Ask::Sum);
    assert_eq!(bench.replies(), [(query, ok(0))]);
    assert!(!bench.said(|output| matches!(output, Output::Retire { .. })));
}

#[test]
fn idle_entity_leaves_and_a_busy_one_stays() {
    let mut bench = Bench::ready(vec![]);
    bench.at(1_000 + Counter::IDLE_AFTER_MS / 2).ask(&Ask::Sum);
    bench.at(1_000 + Counter::IDLE_AFTER_MS).on(Input::Tick);
    assert!(!bench.said(|output| matches!(output, Output::Retire { .. })));
    bench.at(2_000 + Counter::IDLE_AFTER_MS * 3 / 2).on(Input::Tick);
    assert!(bench.said(|output| matches!(output, Output::Retire { .. })));
}

#[test]
fn wake_row_comes_with_the_append_and_is_put_right_when_the_work_is_done() {
    let mut bench = Bench::ready(vec![added(1, 1)]);
    bench.ask(&Ask::WakeAt(1_000_000));
    // The wake time alone changes no row, so the row to come is the timer's.
    assert_eq!(
        bench.append().expect("one").1.wake.as_ref().map(|wake| (wake.shard, wake.due_ms)),
        Some((3, 1_000_000))
    );
    bench.on(Input::Appended(Ok(())));
    bench.ask(&Ask::Add(1));
    assert_eq!(bench.append().expect("one").1.wake.as_ref().map(|wake| wake.due_ms), Some(0), "rows to write");
    bench.on(Input::Appended(Ok(()))).on(Input::RowsWritten(Ok(())));
    bench.ask(&Ask::Add(1));
    assert_eq!(bench.append().expect("one").1.wake, None, "the row is still there");
    bench.on(Input::Appended(Ok(()))).on(Input::RowsWritten(Ok(())));
    bench.at(1_000 + WAKE_LINGER_MS).on(Input::Tick);
    assert!(bench.said(|output| matches!(output, Output::PutWake(wake) if wake.due_ms == 1_000_000)));
    bench.ask(&Ask::Add(1));
    assert!(bench.append().is_none(), "an append must not overtake the row");
    bench.on(Input::WakeStored(Ok(())));
    assert!(bench.append().is_some());
}

#[test]
fn timer_that_does_not_move_does_not_spin() {
    let mut bench = Bench::cold(WakeRow::At(2_000));
    bench.on(Input::Tick).claimed();
    bench.loaded(None, vec![record(1, r#"{"v":1,"ev":2,"at":5,"e":{"WakeSet":2000}}"#)]);
    bench.on(Input::RowsWritten(Ok(())));
    bench.at(2_000).on(Input::Tick);
    assert!(bench.said(|output| matches!(output, Output::Note(Note::TimerFired))));
    bench.at(2_001).on(Input::Tick);
    assert!(!bench.said(|output| matches!(output, Output::Note(Note::TimerFired))));
    bench.at(2_000 + STUCK_TIMER_RETRY_MS).on(Input::Tick);
    assert!(bench.said(|output| matches!(output, Output::Note(Note::TimerFired))));
}

#[test]
fn queued_commands_expire_while_the_store_does_not_answer() {
    let mut bench = Bench::cold(WakeRow::Absent);
    let query = bench.ask(&Ask::Sum);
    assert!(bench.said(|output| matches!(output, Output::Alarm { at_ms: 6_000 })));
    bench.at(6_000).on(Input::Tick);
    assert_eq!(bench.replies(), [(query, Answer::Expired)]);
    let write = bench.at(7_000).ask(&Ask::Add(1));
    bench.claimed().loaded(None, vec![]).on(Input::Appended(Err(unknown())));
    bench.at(12_000).on(Input::Tick);
    assert_eq!(bench.replies(), [(write, Answer::Unknown)], "its outcome is not known, and says so");
}

#[test]
fn drain_answers_moving_and_keeps_a_snapshot() {
    let mut bench = Bench::ready(vec![]);
    let write = bench.ask(&Ask::Add(1));
    let queued = bench.ask(&Ask::Add(2));
    bench.on(Input::Drain);
    assert_eq!(bench.replies(), [(queued, Answer::Moving { retry_after_ms: 200 })]);
    bench.on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(write, ok(0))]);
    bench.on(Input::RowsWritten(Ok(()))).on(Input::WakeStored(Ok(())));
    assert!(bench.said(|output| matches!(output, Output::SaveSnapshot(snapshot) if snapshot.seq == 1)));
    bench.on(Input::SnapshotSaved(Err(unknown())));
    assert!(bench.said(|output| matches!(output, Output::Retire { gone: Gone::Drained, .. })));
}

#[test]
fn entity_nobody_wrote_to_is_answered_for_without_a_trace_in_the_store() {
    let mut bench = Bench::cold(WakeRow::Absent);
    let query = bench.ask(&Ask::Sum);
    assert!(bench.said(|output| matches!(output, Output::Claim { even_if_new: false })));
    bench.on(Input::NothingThere).loaded(None, vec![]);
    assert_eq!(bench.replies(), [(query, ok(0))]);
    assert!(!bench.said(|output| matches!(output, Output::WriteRows(_) | Output::PutWake(_))));
    let write = bench.ask(&Ask::Add(5));
    assert!(bench.said(|output| matches!(output, Output::Claim { even_if_new: true })));
    bench.claimed().loaded(None, vec![]).on(Input::Appended(Ok(())));
    assert_eq!(bench.replies(), [(write, ok(0))]);
}

#[test]
fn entity_with_rows_to_write_is_not_passivated() {
    let mut bench = Bench::ready(vec![]);
    bench.ask(&Ask::Add(1));
    bench.on(Input::Appended(Ok(()))).on(Input::Passivate);
    bench.on(Input::RowsWritten(Err(unknown())));
    assert!(!bench.said(|output| matches!(output, Output::SaveSnapshot(_) | Output::Retire { .. })));
    bench.at(2_000).on(Input::Tick);
    assert!(bench.said(|output| matches!(output, Output::WriteRows(_))), "tried again");
    bench.on(Input::RowsWritten(Ok(())));
    assert!(!bench.said(|output| matches!(output, Output::SaveSnapshot(_) | Output::Retire { .. })), "it had work");
}
