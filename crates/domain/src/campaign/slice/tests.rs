//! A slice: how calls begin and end, whatever comes late, twice or never.

use super::{
    super::target::{
        Act, Disposition, Ending, FailReason, Lease, Machine, NewTarget, Outcome, SkipReason, Stage, Talk, Why,
    },
    *,
};
use crate::{
    contact_guard::{ConsentKind, Permit, Placed, Reach, Refusal, Source, Verdict},
    context::Context,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
};

/// A Monday noon in San Francisco.
const NOON: i64 = 1_795_464_000_000;

struct Run {
    slice: Slice,
    now_ms: i64,
    told: Vec<Tell>,
}

impl Run {
    fn new(targets: u32, patch: serde_json::Value) -> Self {
        let mut run = Self { slice: Slice::default(), now_ms: NOON, told: Vec::new() };
        let who = |n: u32| NewTarget {
            guard: format!("guard-{n}"),
            zones: vec!["America/Los_Angeles".into()],
            ..NewTarget::default()
        };
        run.does(Command::Add { campaign: "c".into(), index: 0, import: 1, targets: (0..targets).map(who).collect() })
            .expect("added");
        run.orders(1, slice::Run::Running, 1, patch);
        run
    }

    fn orders(&mut self, version: u64, run: slice::Run, settings_version: u64, patch: serde_json::Value) {
        let base = serde_json::json!({"name": "n", "agent_id": "a", "from_numbers": ["+14155550100"]});
        let settings = Settings::default().patched(&base).and_then(|base| base.patched(&patch)).expect("settings");
        let spend_micros = settings.budget.map(|budget| budget.micros);
        let account = "acc".into();
        let orders = Orders { version, run, account, settings_version, settings: Box::new(settings), spend_micros };
        self.does(Command::Order { campaign: "c".into(), index: 0, orders: Box::new(orders) }).expect("ordered");
    }

    fn does(&mut self, command: Command) -> Result<Reply, Rejection> {
        let cx = Context {
            now_ms: self.now_ms,
            seq: self.slice.seq,
            seed: [0; 32],
            principal: Principal::system("t".into()),
        };
        let decision = decide(&self.slice, &cx, command)?;
        for event in &decision.events {
            let seq = self.slice.seq + 1;
            apply(&mut self.slice, event, seq, self.now_ms);
            self.told.extend(tells(&self.slice, event));
            assert_eq!(self.slice.counters, Counters::recount(&self.slice.targets), "{event:?}");
        }
        Ok(decision.reply)
    }

    fn tick(&mut self) {
        for _ in 0..20 {
            let Some(command) = on_timer(&self.slice, self.now_ms) else { return };
            let seq = self.slice.seq;
            self.does(command).expect("a tick");
            assert!(self.slice.seq > seq, "a timer that does nothing would fire for ever");
        }
        panic!("the timer never rests: {:?}", timer(&self.slice));
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.tick();
    }

    fn grant(&mut self) {
        let nth = self.slice.grants + 1;
        let lease = Lease {
            id: nth,
            from: "+14155550100".into(),
            not_before_ms: self.now_ms,
            expires_ms: self.now_ms + 180_000,
        };
        self.does(Command::Grant { nth, lease }).expect("a grant");
    }

    fn permit(&mut self, target: u32, attempt: u32) {
        let verdict = Verdict::Permitted(Permit { seq: 7, at_ms: self.now_ms, consent: Some(2) });
        self.does(Command::Authorized { target, attempt, verdict }).expect("permitted");
    }

    /// Up to a call that rings.
    fn ring(&mut self, target: u32) -> u32 {
        self.tick();
        self.grant();
        let attempt = self.slice.targets[target as usize].attempt().expect("it is being called").n;
        self.permit(target, attempt);
        assert!(matches!(self.does(Command::Begin { target, attempt, minute_micros: 0 }), Ok(Reply::Dial(_))));
        self.does(Command::Dialed { target, attempt, answer: DialAnswer::Placed { call: "CA1".into() } })
            .expect("placed");
        attempt
    }

    fn hears(&mut self, target: u32, attempt: u32, report: Report) {
        self.does(Command::Heard { target, attempt, report }).expect("heard");
    }

    fn ends(&mut self, target: u32, attempt: u32, how: Ending, talk_s: u32) {
        self.hears(target, attempt, Report::Ended { how, talk_s, cost_micros: Some(10_000) });
    }

    fn done(&self, target: u32) -> Option<Disposition> {
        self.slice.targets[target as usize].disposition()
    }

    fn waits(&self, target: u32) -> Option<(i64, Why)> {
        match &self.slice.targets[target as usize].standing {
            Standing::Waiting { at_ms, why } => Some((*at_ms - self.now_ms, *why)),
            Standing::Trying(_) | Standing::Done { .. } => None,
        }
    }

    fn settled(&self) -> Vec<Placed> {
        self.told
            .iter()
            .filter_map(|tell| match tell {
                Tell::Guard { command, .. } => match &**command {
                    crate::contact_guard::Command::Settle { placed, .. } => Some(*placed),
                    _ => None,
                },
                Tell::Pacer { .. } | Tell::Campaign(_) | Tell::Call { .. } => None,
            })
            .collect()
    }

    fn returned(&self) -> Vec<u64> {
        self.told
            .iter()
            .filter_map(|tell| match tell {
                Tell::Pacer { command, .. } => match &**command {
                    crate::pacer::Command::Return { lease, .. } => Some(*lease),
                    _ => None,
                },
                Tell::Guard { .. } | Tell::Campaign(_) | Tell::Call { .. } => None,
            })
            .collect()
    }
}

use crate::campaign::{settings::Settings, slice};
use serde_json::json;

fn talk(talk: Talk) -> Report {
    Report::Talk { talk: Box::new(talk) }
}

#[test]
fn a_call_begins_only_if_the_budget_has_room_for_its_full_length_beside_those_that_go_on() {
    // Two calls of ten minutes at a cent each.
    let patch = serde_json::json!({"budget": 0.25, "max_call_minutes": 10, "consent": "none", "max_concurrent": 5});
    let mut run = Run::new(4, patch);
    let begins = |run: &mut Run, target: u32| {
        run.tick();
        run.grant();
        let attempt = run.slice.targets[target as usize].attempt().expect("it is being called").n;
        run.permit(target, attempt);
        run.told.clear();
        let reply = run.does(Command::Begin { target, attempt, minute_micros: 10_000 }).expect("answered");
        (attempt, reply)
    };
    let short = |run: &Run| {
        run.told.iter().any(|tell| {
            matches!(tell, Tell::Campaign(crate::campaign::core::Command::Short { need_micros: 100_000, .. }))
        })
    };
    let (first, reply) = begins(&mut run, 0);
    assert!(matches!(reply, Reply::Dial(_)));
    let (second, reply) = begins(&mut run, 1);
    assert!(matches!(reply, Reply::Dial(_)));
    assert_eq!(run.slice.owed_micros(), 200_000);
    assert_eq!(begins(&mut run, 2).1, Reply::DoNotDial, "a third could cost more than the budget");
    assert!(!short(&run) && run.waits(2).is_some(), "what goes on may leave room");
    // One is over after a minute: known as soon as it is hung up.
    run.hears(0, first, Report::Answered);
    run.ends(0, first, Ending::Completed, 50);
    assert_eq!((run.slice.counters.cost_micros, run.slice.owed_micros()), (10_000, 100_000));
    assert!(matches!(begins(&mut run, 3).1, Reply::Dial(_)));
    let third = run.slice.targets[3].attempt().expect("open").n;
    for (target, attempt) in [(1, second), (3, third)] {
        run.hears(target, attempt, Report::Answered);
        let told = Report::Ended { how: Ending::Completed, talk_s: 600, cost_micros: Some(100_000) };
        run.hears(target, attempt, told);
    }
    run.pass(120_000);
    assert_eq!(run.slice.owed_micros(), 0);
    assert_eq!(begins(&mut run, 2).1, Reply::DoNotDial);
    assert!(short(&run), "nothing goes on and there is room for none: the campaign is told");
    assert!(run.slice.counters.cost_micros <= 250_000);
}

#[test]
fn a_call_whose_cost_nobody_tells_counts_against_the_budget_with_all_that_it_may_have_cost() {
    let patch = serde_json::json!({"budget": 0.15, "max_call_minutes": 10, "consent": "none", "max_concurrent": 5, "retry": {"busy": {"attempts": 0, "delays_minutes": []}}});
    let mut run = Run::new(2, patch);
    let begins = |run: &mut Run, target: u32| {
        run.tick();
        run.grant();
        let attempt = run.slice.targets[target as usize].attempt().expect("it is being called").n;
        run.permit(target, attempt);
        run.told.clear();
        (attempt, run.does(Command::Begin { target, attempt, minute_micros: 10_000 }).expect("answered"))
    };
    let (first, reply) = begins(&mut run, 0);
    assert!(matches!(reply, Reply::Dial(_)));
    run.hears(0, first, Report::Ended { how: Ending::Busy, talk_s: 0, cost_micros: None });
    assert_eq!(run.done(0), Some(Disposition::Busy));
    assert_eq!(
        (run.slice.under_way_micros(), run.slice.owed_micros()),
        (0, 100_000),
        "nothing goes on, and it may have cost"
    );
    assert_eq!(begins(&mut run, 1).1, Reply::DoNotDial, "there is no room for a second");
    let short = |tell: &Tell| matches!(tell, Tell::Campaign(crate::campaign::core::Command::Short { .. }));
    assert!(run.told.iter().any(short), "nothing that goes on will make room: the campaign is told");
    run.hears(0, first, Report::Cost { micros: 20_000 });
    assert_eq!(
        (run.slice.counters.cost_micros, run.slice.owed_micros()),
        (20_000, 0),
        "what is told late takes its place"
    );
}

#[test]
fn a_call_that_books_a_meeting_is_one_disposition_and_every_permit_goes_back() {
    let mut run = Run::new(1, json!({}));
    let attempt = run.ring(0);
    assert!(run.settled().is_empty(), "while it rings the list may still stop it");
    run.hears(0, attempt, Report::Answered);
    run.hears(0, attempt, Report::Answered);
    run.ends(0, attempt, Ending::Completed, 61);
    assert_eq!(run.done(0), None, "how it went is still to be told");
    assert_eq!(run.returned(), [1], "but the line is free");
    run.ends(0, attempt, Ending::Busy, 0);
    assert_eq!(run.slice.counters.talk_s, 61, "the first end is the end");
    run.hears(0, attempt, talk(Talk { meeting: true, score: Some(250), ..Talk::default() }));
    assert_eq!(run.done(0), Some(Disposition::MeetingBooked));
    run.ends(0, attempt, Ending::Completed, 61);
    run.hears(0, attempt, talk(Talk::default()));
    let counters = &run.slice.counters;
    assert_eq!(
        (counters.dials, counters.connected, counters.meetings, counters.talk_s, counters.cost_micros),
        (1, 1, 1, 61, 10_000)
    );
    assert_eq!(counters.cards().meeting_rate, Some(1.0));
    assert_eq!(run.slice.targets[0].past[0].score, Some(100));
    assert_eq!(run.returned(), [1], "once");
    assert_eq!(audit::rows(&run.slice, &[])[0][9], "meeting_booked");
}

#[test]
fn callbacks_in_the_wrong_order_end_in_the_same_place() {
    let reports = [
        Report::Ringing { call: Some("CA1".into()) },
        Report::Answered,
        talk(Talk { not_interested: true, ..Talk::default() }),
        Report::Ended { how: Ending::Completed, talk_s: 5, cost_micros: None },
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [1, 3, 0, 2], [3, 1, 2, 0]] {
        let mut run = Run::new(1, json!({}));
        let attempt = run.ring(0);
        for which in order {
            run.hears(0, attempt, reports[which].clone());
            run.hears(0, attempt, reports[which].clone());
        }
        assert_eq!(run.done(0), Some(Disposition::NotInterested), "{order:?}");
        assert_eq!((run.slice.counters.connected, run.slice.counters.dials), (1, 1), "{order:?}");
    }
}

#[test]
fn busy_is_tried_again_as_often_as_set_and_then_done() {
    let mut run = Run::new(1, json!({"retry": {"busy": {"attempts": 2, "delays_minutes": [10, 20]}}}));
    for minutes in [10, 20] {
        let attempt = run.ring(0);
        run.ends(0, attempt, Ending::Busy, 0);
        assert_eq!(run.waits(0), Some((minutes * 60_000, Why::Retry)));
        run.pass(minutes * 60_000);
        assert_eq!(run.slice.wanted, 1, "it is due again");
    }
    let attempt = run.ring(0);
    run.ends(0, attempt, Ending::Busy, 0);
    assert_eq!((run.done(0), run.slice.counters.dials), (Some(Disposition::Busy), 3));
}

#[test]
fn a_machine_is_hung_up_on_or_spoken_to_once_it_has_spoken() {
    let mut run = Run::new(1, json!({"voicemail": "message", "voicemail_message": "Hi"}));
    let attempt = run.ring(0);
    run.hears(0, attempt, Report::Machine { machine: Machine::Speaking });
    assert!(pending(&run.slice).is_empty(), "not into its greeting");
    run.hears(0, attempt, Report::Machine { machine: Machine::Ready });
    run.hears(0, attempt, Report::Machine { machine: Machine::Ready });
    run.hears(0, attempt, Report::Machine { machine: Machine::Speaking });
    let effects = pending(&run.slice);
    assert!(
        matches!(&effects[..], [(_, 1, Effect::Act { act: Act::LeaveMessage, message: Some(text), .. })] if text == "Hi"),
        "{effects:?}"
    );
    run.does(Command::Acted { target: 0, attempt, act: Act::LeaveMessage }).expect("acted");
    assert!(run.does(Command::Acted { target: 0, attempt, act: Act::LeaveMessage }).is_err());
    run.ends(0, attempt, Ending::Completed, 20);
    assert_eq!(run.done(0), Some(Disposition::Voicemail));
    assert_eq!((run.slice.counters.machines, run.slice.counters.connected), (1, 0));
    let mut run = Run::new(1, json!({"voicemail": "retry"}));
    let attempt = run.ring(0);
    run.hears(0, attempt, Report::Machine { machine: Machine::Speaking });
    assert!(matches!(pending(&run.slice)[0].2, Effect::Act { act: Act::HangUp, .. }));
    run.ends(0, attempt, Ending::Completed, 3);
    assert_eq!(run.waits(0), Some((3_600_000, Why::Retry)));
}

#[test]
fn a_call_nobody_hears_of_is_looked_up_after_one_minute_and_given_up_after_two() {
    let mut run = Run::new(1, json!({"retry": {"failed": {"attempts": 0}}}));
    let attempt = run.ring(0);
    run.pass(59_999);
    assert!(pending(&run.slice).is_empty());
    run.pass(1);
    assert!(matches!(&pending(&run.slice)[..], [(_, 2, Effect::LookUp { .. })]));
    run.does(Command::LookedUp { target: 0, attempt, found: None }).expect("not there");
    assert!(pending(&run.slice).is_empty(), "once");
    run.pass(60_000);
    assert_eq!(run.done(0), Some(Disposition::Failed { reason: FailReason::Unconfirmed }));
    assert_eq!((run.slice.counters.unconfirmed, run.slice.counters.dials), (1, 1));
    assert_eq!((run.settled(), run.returned()), (vec![Placed::Yes], vec![1]), "it counts against the caps");
    run.ends(0, attempt, Ending::Completed, 30);
    assert_eq!(
        run.done(0),
        Some(Disposition::Failed { reason: FailReason::Unconfirmed }),
        "what comes later changes no disposition"
    );
    assert_eq!(run.slice.counters.cost_micros, 10_000, "but costs are costs");
}

#[test]
fn an_unknown_outcome_of_the_dial_is_looked_up_and_never_dialled_again() {
    let mut run = Run::new(1, json!({}));
    run.tick();
    run.grant();
    run.permit(0, 1);
    assert!(matches!(&pending(&run.slice)[..], [(name, 1, Effect::Dial { .. })] if name == "dial:0:1"));
    run.does(Command::Begin { target: 0, attempt: 1, minute_micros: 0 }).expect("it may");
    assert_eq!(
        run.does(Command::Begin { target: 0, attempt: 1, minute_micros: 0 }),
        Err(Rejection::Superseded),
        "one call"
    );
    // After a crash this is what is pending under the same name: a look, not a call.
    assert!(matches!(&pending(&run.slice)[..], [(name, 1, Effect::LookUp { .. })] if name == "dial:0:1"));
    run.does(Command::Dialed { target: 0, attempt: 1, answer: DialAnswer::Unknown }).expect("unknown");
    assert!(matches!(&pending(&run.slice)[..], [(_, 2, Effect::LookUp { .. })]));
    run.does(Command::LookedUp { target: 0, attempt: 1, found: Some(Report::Ringing { call: Some("CA9".into()) }) })
        .expect("found");
    assert_eq!(
        run.slice.targets[0].attempt().map(|open| (open.stage, open.call.clone())),
        Some((Stage::Placed, Some("CA9".into())))
    );
    assert!(pending(&run.slice).is_empty());
    // Its callbacks do not come either: the second look is not the first one repeated, whose outcome is known.
    run.pass(60_000);
    assert!(matches!(&pending(&run.slice)[..], [(_, 3, Effect::LookUp { .. })]), "{:?}", pending(&run.slice));
    let ended = Report::Ended { how: Ending::NoAnswer, talk_s: 0, cost_micros: None };
    run.does(Command::LookedUp { target: 0, attempt: 1, found: Some(ended) }).expect("over");
    assert_ne!(run.done(0), Some(Disposition::Failed { reason: FailReason::Unconfirmed }));
}

#[test]
fn pause_stop_and_settings_hold_for_every_call_that_has_not_begun() {
    let mut run = Run::new(3, json!({}));
    let begun = run.ring(0);
    run.grant();
    run.permit(1, 1);
    run.orders(2, slice::Run::Held, 1, json!({}));
    assert_eq!(run.does(Command::Begin { target: 1, attempt: 1, minute_micros: 0 }), Ok(Reply::DoNotDial));
    run.tick();
    assert_eq!((run.slice.wanted, run.waits(1).is_some()), (0, true));
    run.grant();
    assert_eq!(run.returned(), [2, 3], "what comes too late goes back");
    run.hears(0, begun, Report::Answered);
    assert!(run.slice.targets[0].attempt().is_some(), "who talks is not interrupted");
    run.orders(3, slice::Run::Running, 2, json!({"max_call_minutes": 3}));
    run.tick();
    run.grant();
    run.permit(1, 2);
    run.orders(4, slice::Run::Running, 3, json!({"max_call_minutes": 2}));
    let Ok(Reply::Dial(dial)) = run.does(Command::Begin { target: 1, attempt: 2, minute_micros: 0 }) else {
        panic!("it may")
    };
    assert_eq!((dial.settings_version, dial.max_call_minutes), (3, 2), "the newest settings, and it is told which");
    run.orders(4, slice::Run::Held, 9, json!({}));
    assert_eq!(run.slice.orders.run, slice::Run::Running, "older orders come too late");
    run.orders(5, slice::Run::Ending { reason: SkipReason::Stopped }, 3, json!({}));
    run.tick();
    assert_eq!(run.done(2), Some(Disposition::Skipped { reason: SkipReason::Stopped }));
    run.ends(1, 2, Ending::Busy, 0);
    assert_eq!(run.done(1), Some(Disposition::Busy), "no retry any more");
    assert_eq!(timer(&Slice::default()), None);
}

#[test]
fn nobody_is_called_outside_the_window_or_after_the_deadline() {
    let mut run = Run::new(2, json!({"deadline": "2026-11-24T20:00:00Z"}));
    run.tick();
    run.grant();
    run.permit(0, 1);
    // Nine in the evening has struck between the permit and the call.
    run.now_ms = NOON + 9 * 3_600_000;
    let expires_ms = run.now_ms + 1_000;
    if let Some(open) = run.slice.targets[0].attempt_mut() {
        open.lease.expires_ms = expires_ms;
    }
    if let Some(open) = run.slice.targets[0].attempt_mut() {
        open.permitted_ms = NOON + 9 * 3_600_000;
    }
    assert_eq!(run.does(Command::Begin { target: 0, attempt: 1, minute_micros: 0 }), Ok(Reply::DoNotDial));
    run.tick();
    run.grant();
    assert!(run.slice.targets.iter().all(|one| one.attempt().is_none()), "nor is one begun");
    assert_eq!(timer(&run.slice), Some(NOON + 20 * 3_600_000), "it looks again at eight");
    run.pass(11 * 3_600_000);
    assert_eq!(run.slice.wanted, 2);
    run.pass(4 * 3_600_000);
    let deadline = Some(Disposition::Skipped { reason: SkipReason::Deadline });
    assert_eq!((run.done(0), run.done(1)), (deadline, deadline));
}

#[test]
fn a_permit_that_had_to_wait_is_not_used() {
    let mut run = Run::new(1, json!({}));
    run.tick();
    run.grant();
    run.permit(0, 1);
    run.now_ms += super::super::limits::PERMIT_FRESH_MS + 1;
    assert_eq!(run.does(Command::Begin { target: 0, attempt: 1, minute_micros: 0 }), Ok(Reply::DoNotDial));
    assert_eq!((run.settled(), run.returned()), (vec![Placed::No], vec![1]), "and does not count");
    let attempt = run.ring(0);
    assert_eq!(attempt, 2, "it is asked for again");
}

#[test]
fn the_guard_decides_and_hears_what_became_of_its_permits() {
    let refusals = [
        (Refusal::DoNotContact { reach: Reach::Phone, source: Source::Keyword, seq: 1 }, SkipReason::DoNotContact),
        (Refusal::ConsentWithdrawn { kind: ConsentKind::Calls }, SkipReason::ConsentWithdrawn),
        (Refusal::NoConsent { kind: ConsentKind::AiCalls }, SkipReason::NoConsent),
        (Refusal::TooOften { again_at_ms: i64::MAX }, SkipReason::TooOften),
    ];
    for (refusal, reason) in refusals {
        let mut run = Run::new(1, json!({}));
        run.tick();
        run.grant();
        run.does(Command::Authorized { target: 0, attempt: 1, verdict: Verdict::Refused(refusal) }).expect("heard");
        assert_eq!((run.done(0), run.returned()), (Some(Disposition::Skipped { reason }), vec![1]));
        assert_eq!(run.slice.counters.dials, 0);
    }
    let mut run = Run::new(1, json!({}));
    run.tick();
    run.grant();
    let verdict = Verdict::Refused(Refusal::TooOften { again_at_ms: NOON + 5_000 });
    run.does(Command::Authorized { target: 0, attempt: 1, verdict }).expect("heard");
    assert_eq!(run.waits(0), Some((5_000, Why::Room)));
    run.pass(5_000);
    run.grant();
    run.permit(0, 2);
    run.does(Command::Forbidden { target: 0, attempt: 2 }).expect("heard");
    assert_eq!(run.done(0), Some(Disposition::Skipped { reason: SkipReason::DoNotContact }));
    assert_eq!(run.settled().last(), Some(&Placed::No));
    // Who is to be called by then or not at all does not wait for the next day.
    let mut single = Run::new(1, json!({}));
    single.slice.targets[0].who.not_after_ms = Some(NOON + 60_000);
    single.tick();
    single.grant();
    let verdict = Verdict::Refused(Refusal::TooOften { again_at_ms: NOON + 60_001 });
    single.does(Command::Authorized { target: 0, attempt: 1, verdict }).expect("heard");
    assert_eq!(single.done(0), Some(Disposition::Skipped { reason: SkipReason::TooOften }));
    // A permit that comes after all is given back at once.
    let verdict = Verdict::Permitted(Permit { seq: 9, at_ms: NOON, consent: None });
    run.does(Command::Authorized { target: 0, attempt: 2, verdict }).expect("heard");
    assert_eq!(run.settled().len(), 3);
}

#[test]
fn a_new_entry_on_the_list_takes_back_a_call_that_rings_and_leaves_one_that_talks() {
    let mut run = Run::new(2, json!({}));
    let rings = run.ring(0);
    let talks = run.ring(1);
    run.hears(1, talks, Report::Answered);
    run.does(Command::Forbidden { target: 0, attempt: rings }).expect("heard");
    run.does(Command::Forbidden { target: 1, attempt: talks }).expect("heard");
    assert!(matches!(&pending(&run.slice)[..], [(_, 1, Effect::Act { target: 0, act: Act::HangUp, .. })]));
    run.ends(0, rings, Ending::Canceled, 0);
    assert_eq!(run.done(0), Some(Disposition::Failed { reason: FailReason::Canceled }), "and it is not tried again");
}

#[test]
fn a_callback_is_made_at_its_time_and_left_to_a_person_when_it_cannot_be() {
    let mut run = Run::new(1, json!({"retry": {"no_answer": {"attempts": 0}}}));
    let agree = |run: &mut Run, ms: i64| {
        let attempt = run.ring(0);
        run.hears(0, attempt, Report::Answered);
        let callback_ms = Some(run.now_ms + ms);
        run.hears(0, attempt, talk(Talk { callback_ms, ..Talk::default() }));
        run.ends(0, attempt, Ending::Completed, 9);
    };
    agree(&mut run, 600_000);
    assert_eq!(run.waits(0), Some((600_000, Why::Callback)));
    run.pass(600_000);
    let attempt = run.ring(0);
    run.ends(0, attempt, Ending::NoAnswer, 0);
    assert_eq!(run.done(0), Some(Disposition::Callback));
    let mut run = Run::new(1, json!({}));
    agree(&mut run, 200 * 24 * 3_600_000);
    assert_eq!(run.done(0), Some(Disposition::Callback), "a time too far away is nobody's");
}

#[test]
fn a_provider_that_refuses_costs_no_retry_but_not_for_ever() {
    let mut run = Run::new(1, json!({}));
    for n in 1..=super::super::limits::PROVIDER_REFUSALS_MAX {
        run.tick();
        run.grant();
        run.permit(0, n);
        run.does(Command::Begin { target: 0, attempt: n, minute_micros: 0 }).expect("it may");
        run.does(Command::Dialed { target: 0, attempt: n, answer: DialAnswer::Refused { why: Refused::TooFast } })
            .expect("heard");
        run.pass(30_000);
    }
    assert_eq!(run.done(0), Some(Disposition::Failed { reason: FailReason::Provider }));
    assert_eq!(
        (run.slice.counters.dials, run.slice.targets[0].tries.get(&Outcome::Failed)),
        (0, None),
        "nobody was called"
    );
    assert!(run.settled().iter().all(|placed| *placed == Placed::No));
}

#[test]
fn a_person_who_is_erased_is_not_called_and_leaves_nothing() {
    let mut run = Run::new(2, json!({}));
    let attempt = run.ring(0);
    for n in 0..2 {
        run.does(Command::Erase { targets: vec![n] }).expect("erased");
    }
    assert_eq!(run.done(1), Some(Disposition::Skipped { reason: SkipReason::Erased }));
    run.ends(0, attempt, Ending::Busy, 0);
    assert_eq!(run.done(0), Some(Disposition::Skipped { reason: SkipReason::Erased }), "no retry");
    assert!(run.slice.targets.iter().all(|one| one.erased && one.who.lead_id.is_none()));
}

#[test]
fn a_provider_that_lies_about_its_status_does_not_hold_a_line_for_ever() {
    let mut run = Run::new(1, json!({"retry": {"failed": {"attempts": 0}}}));
    let attempt = run.ring(0);
    for _ in 0..11 {
        run.pass(59_000);
        let _ = run.does(Command::Heard { target: 0, attempt, report: Report::Ringing { call: None } });
    }
    assert_eq!(
        run.done(0),
        Some(Disposition::Failed { reason: FailReason::Unconfirmed }),
        "it cannot ring for ten minutes"
    );
    let mut run = Run::new(1, json!({"max_call_minutes": 1}));
    let attempt = run.ring(0);
    run.hears(0, attempt, Report::Answered);
    run.pass(10 * 60_000);
    assert_eq!(run.done(0), Some(Disposition::Answered), "nor talk beyond its limit");
}

#[test]
fn targets_orders_and_grants_told_twice_count_once_and_strangers_are_refused() {
    let mut run = Run::new(2, json!({}));
    run.tick();
    let targets = run.slice.targets.iter().map(|one| one.who.clone()).collect();
    run.does(Command::Add { campaign: "c".into(), index: 0, import: 1, targets }).expect("known");
    assert_eq!(run.slice.targets.len(), 2);
    run.grant();
    let lease = Lease { id: 1, from: "x".into(), not_before_ms: 0, expires_ms: i64::MAX };
    run.does(Command::Grant { nth: 1, lease }).expect("known");
    assert_eq!((run.slice.grants, run.slice.counters.trying), (1, 1));
    let other = Command::Order { campaign: "other".into(), index: 0, orders: Box::default() };
    assert!(matches!(run.does(other), Err(Rejection::NotFound { .. })));
    let member = Actor::User { id: "u".into(), role: Role::Owner, name: String::new() };
    let cx = |tenant: &str| Context {
        now_ms: 1,
        seq: 1,
        seed: [0; 32],
        principal: Principal { tenant: tenant.into(), actor: member.clone() },
    };
    assert!(matches!(decide(&run.slice, &cx("t"), Command::Tick), Err(Rejection::Forbidden { .. })));
    assert!(matches!(decide(&run.slice, &cx("x"), Command::Get), Err(Rejection::NotFound { .. })));
    let told = serde_json::to_vec(&run.slice).expect("plain data");
    assert_eq!(serde_json::from_slice::<Slice>(&told).expect("it is read back"), run.slice);
}

#[test]
fn who_answers_is_told_what_a_call_is_for_while_it_is_one_and_as_the_settings_are_then() {
    let patch = serde_json::json!({"objective": "sell", "questions": ["What?"], "opening": "Hello"});
    let mut run = Run::new(1, patch);
    let brief = |run: &mut Run, attempt| run.does(Command::Brief { target: 0, attempt });
    run.tick();
    run.grant();
    assert_eq!(brief(&mut run, 1), Err(Rejection::Superseded), "it is no call yet");
    run.permit(0, 1);
    assert!(matches!(run.does(Command::Begin { target: 0, attempt: 1, minute_micros: 0 }), Ok(Reply::Dial(_))));
    let Ok(Reply::Brief(told)) = brief(&mut run, 1) else { panic!("a call that rings") };
    assert_eq!((told.agent_id.as_str(), told.objective.as_str(), told.questions.len()), ("a", "sell", 1));
    assert_eq!(told.zones, ["America/Los_Angeles"]);
    run.orders(2, slice::Run::Running, 2, serde_json::json!({"objective": "help"}));
    let Ok(Reply::Brief(told)) = brief(&mut run, 1) else { panic!("a call that rings") };
    assert_eq!(told.objective, "help", "a change holds for calls that ring");
    assert_eq!(brief(&mut run, 2), Err(Rejection::Superseded));
    run.does(Command::Dialed { target: 0, attempt: 1, answer: DialAnswer::Placed { call: "CA1".into() } })
        .expect("placed");
    run.hears(0, 1, Report::Answered);
    run.ends(0, 1, Ending::Completed, 61);
    let told: Vec<&Tell> = run.told.iter().filter(|tell| matches!(tell, Tell::Call { .. })).collect();
    assert_eq!(
        told,
        [&Tell::Call { call: "CA1".into(), talk_s: 61, cost_micros: Some(10_000) }],
        "the call hears that it is over"
    );
    // They wanted to be called again, and no time was agreed: that is for a person to do.
    run.hears(0, 1, talk(Talk { callback: true, ..Talk::default() }));
    assert_eq!(run.slice.targets[0].disposition(), Some(Disposition::Callback));
    assert_eq!(brief(&mut run, 1), Err(Rejection::Superseded), "it is over");
}
