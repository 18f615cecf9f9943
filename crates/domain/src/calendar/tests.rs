//! Slots over hours, buffers and clock changes; who gets one; holds; what a repeated or late command does.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    agent::config::OpenHours,
    context::Context,
    local_time::{local_clock, zone_or_utc},
    principal::{Actor, Principal, Role},
    rejection::Rejection,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn hours(open: &str, close: &str) -> Option<OpenHours> {
    Some(OpenHours { open: open.into(), close: close.into() })
}

fn organization() -> Organization {
    let week = ["mon", "tue", "wed", "thu", "fri"].map(|day| (day.to_owned(), hours("09:00", "17:00")));
    Organization { timezone: "America/New_York".into(), hours: week.into() }
}

fn manager() -> Actor {
    Actor::User { id: "m".into(), role: Role::Manager, name: "M".into() }
}

fn ask_at(state: &mut Calendar, now_ms: i64, actor: Actor, command: Command) -> Result<Reply, Rejection> {
    let cx = Context { now_ms, seq: 0, seed: [3; 32], principal: Principal { tenant: "t".into(), actor } };
    let decision = decide(state, &cx, command)?;
    for event in &decision.events {
        let stored: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        apply(state, &stored, 0, now_ms);
    }
    Ok(decision.reply)
}

fn salon(extra: serde_json::Value) -> Calendar {
    let mut state = Calendar::default();
    let mut settings = json!({ "name": "Salon", "types": [{ "id": "cut", "name": "Haircut", "duration_minutes": 45 }, { "id": "color", "name": "Color", "duration_minutes": 120 }] });
    crate::check::merge_patch(&mut settings, &extra);
    let create = Command::Create { id: "c".into(), settings, organization: organization() };
    ask_at(&mut state, ms("2026-11-20T12:00:00Z"), manager(), create).unwrap();
    state
}

fn want(starts: &str) -> Want {
    Want { kind: Some("cut".into()), provider: None, starts_ms: ms(starts) }
}

fn book(state: &mut Calendar, now: &str, id: &str, want: Want) -> Result<Slot, Rejection> {
    let command = Command::Book { appointment: id.into(), n: 1, holder: None, want, organization: organization() };
    match ask_at(state, ms(now), Actor::System, command)? {
        Reply::Booked { slot } => Ok(slot),
        other => panic!("{other:?}"),
    }
}

fn hold(state: &mut Calendar, now_ms: i64, holder: &str, want: Want) -> Result<Hold, Rejection> {
    let command = Command::Hold { holder: holder.into(), want, organization: organization() };
    match ask_at(state, now_ms, Actor::System, command)? {
        Reply::Hold { hold } => Ok(hold.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<impl std::fmt::Debug, Rejection>) -> String {
    match result {
        Err(Rejection::Conflict { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

const NOW: &str = "2026-11-20T12:00:00Z";
/// Monday, 23 November 2026, 10:00 in New York.
const TEN: &str = "2026-11-23T15:00:00Z";

#[test]
fn free_slots_are_within_hours_and_leave_out_what_is_taken_with_its_buffers() {
    let mut state = salon(json!({ "buffer_after_minutes": 15, "slot_step_minutes": 30 }));
    book(&mut state, NOW, "a1", want(TEN)).unwrap();
    let query = Query {
        kind: Some("cut".into()),
        from_ms: ms("2026-11-23T05:00:00Z"),
        to_ms: ms("2026-11-24T05:00:00Z"),
        limit: 100,
        ..Query::default()
    };
    let Reply::Slots { items } =
        ask_at(&mut state, ms(NOW), manager(), Command::Slots { query, organization: organization() }).unwrap()
    else {
        panic!("slots")
    };
    let zone = zone_or_utc("America/New_York");
    let at: Vec<String> = items
        .iter()
        .map(|slot| {
            Timestamp::from_millisecond(slot.span.starts_ms)
                .unwrap()
                .to_zoned(zone.clone())
                .strftime("%H:%M")
                .to_string()
        })
        .collect();
    // 10:00 to 10:45 and a quarter of an hour after it are taken, and a cut with its buffer must end before.
    assert_eq!(
        at,
        ["09:00", "11:00", "11:30", "12:00", "12:30", "13:00", "13:30", "14:00", "14:30", "15:00", "15:30", "16:00"]
    );
    assert_eq!(view::slot(&state.id, "America/New_York", &items[0]).label, "Monday, November 23 at 9:00 AM");
}

#[test]
fn one_slot_is_given_once_and_asking_again_gives_the_same_answer() {
    let mut state = salon(json!({}));
    let first = book(&mut state, NOW, "a1", want(TEN)).unwrap();
    assert_eq!(book(&mut state, NOW, "a1", want(TEN)).unwrap(), first);
    assert_eq!(code(book(&mut state, NOW, "a2", want(TEN))), "slot_taken");
    assert_eq!(code(book(&mut state, NOW, "a2", want("2026-11-23T15:30:00Z"))), "slot_taken", "they would overlap");
    book(&mut state, NOW, "a2", want("2026-11-23T16:00:00Z")).unwrap();
    ask_at(&mut state, ms(NOW), Actor::System, Command::Release { appointment: "a1".into() }).unwrap();
    book(&mut state, NOW, "a3", want(TEN)).unwrap();
    // A late copy of the first wish takes nothing back.
    assert_eq!(book(&mut state, NOW, "a1", want(TEN)), Err(Rejection::Superseded));
}

#[test]
fn a_time_that_is_not_offered_is_not_booked_either() {
    let mut state = salon(
        json!({ "exceptions": [{ "date": "2026-11-26", "until": "2026-11-27" }, { "date": "2026-11-28", "hours": { "open": "10:00", "close": "12:00" } }] }),
    );
    for (starts, why) in [
        ("2026-11-23T15:10:00Z", "between two slots"),
        ("2026-11-23T13:30:00Z", "before opening"),
        ("2026-11-23T21:30:00Z", "it would end after closing"),
        ("2026-11-22T15:00:00Z", "a Sunday"),
        ("2026-11-27T15:00:00Z", "a closed day"),
        ("2026-11-20T12:30:00Z", "too near"),
        ("2027-03-01T15:00:00Z", "beyond the horizon"),
    ] {
        assert_eq!(code(book(&mut state, NOW, "x", want(starts))), "slot_not_offered", "{why}");
    }
    book(&mut state, NOW, "saturday", want("2026-11-28T15:00:00Z")).unwrap();
    let nobody = Want { provider: Some("anna".into()), ..want(TEN) };
    assert!(matches!(book(&mut state, NOW, "y", nobody), Err(Rejection::Invalid { .. })));
    let nothing = Want { kind: Some("massage".into()), ..want(TEN) };
    assert!(matches!(book(&mut state, NOW, "y", nothing), Err(Rejection::Invalid { .. })));
}

#[test]
fn providers_are_booked_side_by_side_and_each_keeps_hours_of_their_own() {
    let mut state = salon(json!({ "providers": [
        { "id": "anna", "name": "Anna", "types": ["cut"] },
        { "id": "ben", "name": "Ben", "business_hours": { "mon": { "open": "08:00", "close": "11:00" } } },
    ] }));
    let with = |who: &str, at: &str| Want { provider: Some(who.into()), ..want(at) };
    book(&mut state, NOW, "a1", with("anna", TEN)).unwrap();
    let second = book(&mut state, NOW, "a2", want(TEN)).unwrap();
    assert_eq!(second.provider_name.as_deref(), Some("Ben"), "whoever is free");
    assert_eq!(code(book(&mut state, NOW, "a3", want(TEN))), "slot_taken");
    assert_eq!(
        code(book(&mut state, NOW, "a4", with("ben", "2026-11-23T13:00:00Z"))),
        "slot_not_offered",
        "the business opens at nine"
    );
    assert_eq!(
        code(book(&mut state, NOW, "a4", with("ben", "2026-11-23T16:00:00Z"))),
        "slot_not_offered",
        "Ben has left"
    );
    let color = Want { kind: Some("color".into()), ..with("anna", "2026-11-23T18:00:00Z") };
    assert!(matches!(book(&mut state, NOW, "a5", color), Err(Rejection::Invalid { .. })), "Anna does no color");
}

#[test]
fn a_hold_keeps_others_out_until_it_runs_out_and_each_holder_has_one() {
    let mut state = salon(json!({}));
    let now = ms(NOW);
    let first = hold(&mut state, now, "talk-1", want(TEN)).unwrap();
    assert_eq!(first.expires_ms, now + HOLD_MS);
    assert_eq!(hold(&mut state, now + 1, "talk-1", want(TEN)).unwrap(), first, "asked again");
    assert_eq!(code(hold(&mut state, now, "talk-2", want(TEN))), "slot_taken");
    assert_eq!(code(book(&mut state, NOW, "a1", want(TEN))), "slot_taken");
    // Another slot for the same talk frees the first.
    hold(&mut state, now, "talk-1", want("2026-11-23T18:00:00Z")).unwrap();
    hold(&mut state, now, "talk-2", want(TEN)).unwrap();
    assert_eq!((state.holds.len(), timer(&state)), (2, Some(now + HOLD_MS)));
    // Who holds it books it; afterwards nothing is held.
    let command = Command::Book {
        appointment: "a2".into(),
        n: 1,
        holder: Some("talk-2".into()),
        want: want(TEN),
        organization: organization(),
    };
    ask_at(&mut state, now, Actor::System, command).unwrap();
    assert!(!state.holds.contains_key("talk-2"));
    // What ran out is anybody's at once, and is cleared by the timer.
    let later = now + HOLD_MS;
    hold(&mut state, later, "talk-3", want("2026-11-23T18:00:00Z")).unwrap();
    assert_eq!(on_timer(&state, later - 1), None);
    let tick = on_timer(&state, later).unwrap();
    ask_at(&mut state, later, Actor::System, tick).unwrap();
    assert_eq!(state.holds.keys().collect::<Vec<_>>(), ["talk-3"]);
}

#[test]
fn moving_takes_the_new_time_and_frees_the_old_one_in_one_step() {
    let mut state = salon(json!({}));
    book(&mut state, NOW, "a1", want(TEN)).unwrap();
    let noon = "2026-11-23T17:00:00Z";
    let other =
        Command::Book { appointment: "a1".into(), n: 2, holder: None, want: want(noon), organization: organization() };
    ask_at(&mut state, ms(NOW), Actor::System, other).unwrap();
    book(&mut state, NOW, "a2", want(TEN)).unwrap();
    assert_eq!(code(book(&mut state, NOW, "a3", want(noon))), "slot_taken");
    assert_eq!(book(&mut state, NOW, "a1", want(TEN)), Err(Rejection::Superseded), "the first wish comes too late");
}

#[test]
fn settings_are_checked_and_guarded_and_belong_to_managers() {
    let mut state = salon(json!({}));
    let update = |patch| Command::Update { patch, if_version: None };
    for (patch, field) in [
        (json!({ "timezone": "Mars/Olympus" }), "timezone"),
        (json!({ "slot_step_minutes": 0 }), "slot_step_minutes"),
        (json!({ "types": [] }), "types"),
        (json!({ "types": [{ "id": "a", "name": "A", "duration_minutes": 0 }] }), "types.0.duration_minutes"),
        (json!({ "business_hours": { "mon": { "open": "17:00", "close": "09:00" } } }), "business_hours.mon"),
        (json!({ "providers": [{ "id": "x", "name": "X", "types": ["nothing"] }] }), "providers.0.types"),
        (json!({ "exceptions": [{ "date": "tomorrow" }] }), "exceptions.0.date"),
        (json!({ "colour": "red" }), "colour"),
    ] {
        let Err(Rejection::Invalid { errors }) = ask_at(&mut state, 0, manager(), update(patch.clone())) else {
            panic!("{patch}")
        };
        assert_eq!(errors[0].field, field, "{patch}");
    }
    let rep = Actor::User { id: "r".into(), role: Role::Rep, name: "R".into() };
    assert!(matches!(ask_at(&mut state, 0, rep.clone(), update(json!({}))), Err(Rejection::Forbidden { .. })));
    assert!(matches!(
        ask_at(&mut state, 0, rep, Command::Release { appointment: "a".into() }),
        Err(Rejection::Forbidden { .. })
    ));
    let visitor = Actor::Visitor { id: "v".into(), agent: "a".into() };
    assert_eq!(ask_at(&mut state, 0, visitor, Command::View), Err(Rejection::not_found("calendar")));
    let stale = Command::Update { patch: json!({ "name": "New" }), if_version: Some(7) };
    assert!(matches!(ask_at(&mut state, 0, manager(), stale), Err(Rejection::Stale { .. })));
    ask_at(&mut state, 0, manager(), update(json!({ "name": "New" }))).unwrap();
    assert_eq!((state.version, state.settings.name.as_str()), (2, "New"));
}

/// Zones with clock changes of an hour and of half an hour, north and south, and none.
const ZONES: [&str; 5] =
    ["America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"];

fn night_and_day(zone: &str, open: u16, close: u16, duration: u32, step: u32, buffer: u32) -> Calendar {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let week: BTreeMap<String, _> = crate::local_time::WEEKDAYS
        .iter()
        .map(|day| ((*day).to_owned(), json!({ "open": clock(open), "close": clock(close) })))
        .collect();
    salon(json!({
        "timezone": zone, "business_hours": week, "slot_step_minutes": step, "buffer_before_minutes": buffer, "buffer_after_minutes": buffer,
        "minimum_notice_minutes": 0, "horizon_days": 730, "types": [{ "id": "cut", "name": "Cut", "duration_minutes": duration }],
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_slot_is_outside_the_hours_on_the_local_clock_whatever_the_clocks_do(
        zone in 0..ZONES.len(), day in 0i64..700, open in 0u16..1380, length in 30u16..600, duration in 5u32..200, step in prop::sample::select(vec![5u32, 15, 20, 30, 45, 60]),
    ) {
        let (name, close) = (ZONES[zone], (open + length).min(1440));
        let state = night_and_day(name, open, close, duration, step, 0);
        let from_ms = ms(NOW) + day * DAY;
        let query = Query { from_ms, to_ms: from_ms + 4 * DAY, limit: 500, ..Query::default() };
        let zone = zone_or_utc(name);
        let free = slots::free(&state.settings, &organization(), &[], &query, ms(NOW));
        let local = |at_ms: i64| zone.to_datetime(Timestamp::from_millisecond(at_ms).unwrap());
        for slot in &free {
            let (starts, ends) = (local(slot.span.starts_ms), local(slot.span.ends_ms));
            prop_assert_eq!(slot.span.ends_ms - slot.span.starts_ms, i64::from(duration) * MINUTE, "real minutes, not clock minutes");
            let minute = i32::from(starts.hour()) * 60 + i32::from(starts.minute());
            prop_assert!((i32::from(open)..i32::from(close)).contains(&minute), "{starts} is not within {open} to {close}");
            prop_assert_eq!((minute - i32::from(open)).rem_euclid(i32::try_from(step).unwrap()), 0, "{} is between two steps", starts);
            let midnight = if ends.date() == starts.date() { 0 } else { 1440 };
            let end = i32::from(ends.hour()) * 60 + i32::from(ends.minute()) + midnight;
            prop_assert!(end <= i32::from(close), "{starts} ends at {ends}, after {close}");
            let named = slots::named(&state.settings, &organization(), &Want { kind: None, provider: None, starts_ms: slot.span.starts_ms }, None, ms(NOW));
            prop_assert_eq!(named.as_ref(), Ok(slot), "what is offered can be booked");
        }
        let mut sorted: Vec<i64> = free.iter().map(|slot| slot.span.starts_ms).collect();
        let before = sorted.len();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), before, "each once");
    }

    #[test]
    fn whatever_is_held_booked_moved_and_given_back_no_two_stretches_collide(
        zone in 0..ZONES.len(), buffer in 0u32..30, steps in prop::collection::vec((0u8..5, 0u8..6, 0u8..6, 0i64..40, 0i64..20), 1..60),
    ) {
        let mut state = night_and_day(ZONES[zone], 0, 1440, 50, 20, buffer);
        let mut now = ms("2026-10-24T20:00:00Z");
        let mut wishes: BTreeMap<String, u32> = BTreeMap::new();
        for (what, who, whose, place, wait) in steps {
            now += wait * MINUTE;
            let query = Query { from_ms: now, to_ms: now + 14 * DAY, limit: 40, ..Query::default() };
            // Nothing taken is left out here, so that taken slots are wished for too.
            let all = slots::free(&state.settings, &organization(), &[], &query, now);
            let Some(slot) = all.get(usize::try_from(place).unwrap()) else { continue };
            let want = Want { kind: None, provider: None, starts_ms: slot.span.starts_ms };
            let (id, holder) = (format!("a{who}"), format!("h{whose}"));
            let command = match what {
                0 | 1 => Command::Hold { holder, want, organization: organization() },
                2 | 3 => {
                    let n = wishes.entry(id.clone()).or_insert(0);
                    *n += 1;
                    Command::Book { appointment: id.as_str().into(), n: *n, holder: Some(holder), want, organization: organization() }
                }
                _ => Command::Release { appointment: id.as_str().into() },
            };
            let had = state.clone();
            let result = ask_at(&mut state, now, Actor::System, command);
            prop_assert!(result.is_ok() || had == state, "a refusal changes nothing");
            let taken = state.taken(now, None, None);
            for (n, one) in taken.iter().enumerate() {
                for other in &taken[n + 1..] {
                    prop_assert!(!one.collides(other), "{one:?} and {other:?}");
                }
            }
            prop_assert_eq!(&serde_json::from_str::<Calendar>(&serde_json::to_string(&state).unwrap()).unwrap(), &state);
        }
    }
}

#[test]
fn a_skipped_hour_has_no_slots_and_a_repeated_one_has_them_twice() {
    let slots_on = |zone: &str, day: &str| {
        let state = night_and_day(zone, 0, 240, 30, 30, 0);
        let zone = zone_or_utc(zone);
        let from_ms = crate::local_time::day_start_ms(&zone, day).unwrap();
        let query = Query { from_ms, to_ms: from_ms + DAY, limit: 100, ..Query::default() };
        let free = slots::free(&state.settings, &organization(), &[], &query, from_ms - DAY);
        free.iter()
            .filter(|slot| local_clock(&zone, slot.span.starts_ms).date.to_string() == day)
            .map(|slot| {
                zone.to_datetime(Timestamp::from_millisecond(slot.span.starts_ms).unwrap())
                    .strftime("%H:%M")
                    .to_string()
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(slots_on("America/New_York", "2027-03-14"), "00:00 00:30 01:00 01:30 03:00 03:30");
    assert_eq!(
        slots_on("America/New_York", "2026-11-01"),
        "00:00 00:30 01:00 01:30 01:00 01:30 02:00 02:30 03:00 03:30"
    );
    assert_eq!(slots_on("Europe/London", "2027-03-28"), "00:00 00:30 02:00 02:30 03:00 03:30");
    // Lord Howe goes back by half an hour: 01:30 comes twice, and forward: 02:00 is 02:30.
    assert_eq!(slots_on("Australia/Lord_Howe", "2027-04-04"), "00:00 00:30 01:00 01:30 01:30 02:00 02:30 03:00 03:30");
    assert_eq!(slots_on("Australia/Lord_Howe", "2026-10-04"), "00:00 00:30 01:00 01:30 02:30 03:00 03:30");
}

#[test]
fn stretches_that_lie_behind_are_forgotten_after_a_while() {
    let mut state = salon(json!({}));
    book(&mut state, NOW, "a1", want(TEN)).unwrap();
    book(&mut state, "2026-11-29T12:00:00Z", "a2", want("2026-11-30T15:00:00Z")).unwrap();
    assert_eq!(state.bookings.len(), 2);
    book(&mut state, "2026-12-02T12:00:00Z", "a3", want("2026-12-03T15:00:00Z")).unwrap();
    assert_eq!(state.bookings.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["a2", "a3"]);
}

#[test]
fn the_calendar_to_begin_with_is_made_once_follows_the_zone_and_is_somebodys_after_the_first_change() {
    let plan = |timezone: &str, opened| Command::Plan { timezone: timezone.into(), opened };
    let mut state = Calendar::default();
    assert_eq!(ask_at(&mut state, ms(NOW), Actor::System, plan("America/New_York", false)), Ok(Reply::Done));
    assert!(!state.exists(), "who has not said when they are open promises no times");
    assert!(ask_at(&mut state, ms(NOW), manager(), plan("America/New_York", true)).is_err(), "only the service plans");
    ask_at(&mut state, ms(NOW), Actor::System, plan("America/New_York", true)).unwrap();
    assert_eq!((state.id.as_str(), state.starter, state.settings.timezone.as_str()), ("t", true, "America/New_York"));
    assert!(state.settings.business_hours.is_none(), "the organization's hours, also when they change");
    let free = ask_at(
        &mut state,
        ms(NOW),
        manager(),
        Command::Slots {
            query: Query { from_ms: ms(NOW), to_ms: ms(NOW) + 7 * DAY, limit: 5, ..Query::default() },
            organization: organization(),
        },
    );
    assert!(matches!(free, Ok(Reply::Slots { items }) if items.len() == 5), "it can be booked at once");

    ask_at(&mut state, ms(NOW), Actor::System, plan("Europe/Zurich", true)).unwrap();
    assert_eq!((state.settings.timezone.as_str(), state.version), ("Europe/Zurich", 2));
    ask_at(&mut state, ms(NOW), Actor::System, plan("Europe/Zurich", true)).unwrap();
    assert_eq!(state.version, 2, "the same plan again changes nothing");

    let suit = || Command::Suit { kind: Kind::service_call() };
    assert!(ask_at(&mut state, ms(NOW), manager(), suit()).is_err(), "only the service says what a trade books");
    ask_at(&mut state, ms(NOW), Actor::System, suit()).unwrap();
    assert_eq!((state.settings.types.as_slice(), state.version, state.starter), (&[Kind::service_call()][..], 3, true));
    ask_at(&mut state, ms(NOW), Actor::System, suit()).unwrap();
    assert_eq!(state.version, 3, "once is enough");

    let change = Command::Update { patch: json!({ "name": "Front desk" }), if_version: None };
    ask_at(&mut state, ms(NOW), manager(), change).unwrap();
    assert!(!state.starter, "somebody has set it up");
    ask_at(&mut state, ms(NOW), Actor::System, plan("Asia/Tokyo", false)).unwrap();
    assert_eq!((state.settings.timezone.as_str(), state.version), ("Europe/Zurich", 4), "their zone stays");
}
