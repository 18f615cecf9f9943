//! The life of an appointment: given, refused, moved, given up late, reminded once; its letters and its file.

use super::*;
use crate::{
    calendar::Span,
    context::Context,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
};

const DAY: i64 = 24 * 3600 * 1000;
/// Monday, 23 November 2026, 10:00 in New York.
const STARTS: i64 = 1_795_446_000_000;

fn rep() -> Actor {
    Actor::User { id: "u".into(), role: Role::Rep, name: "U".into() }
}

fn ask(state: &mut Appointment, now_ms: i64, actor: Actor, command: Command) -> Result<Reply, Rejection> {
    let cx = Context { now_ms, seq: state.seq, seed: [1; 32], principal: Principal { tenant: "t".into(), actor } };
    let decision = decide(state, &cx, command)?;
    for event in &decision.events {
        let stored: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        let seq = state.seq + 1;
        apply(state, &stored, seq, now_ms);
    }
    Ok(decision.reply)
}

fn slot(starts_ms: i64) -> Slot {
    let span = Span { provider: "anna".into(), starts_ms, ends_ms: starts_ms + 45 * 60_000, before_ms: 0, after_ms: 0 };
    Slot { span, kind: "cut".into(), kind_name: "Haircut".into(), provider_name: Some("Anna".into()) }
}

fn want(starts_ms: i64) -> Want {
    Want { kind: Some("cut".into()), provider: Some("anna".into()), starts_ms }
}

fn request() -> Request {
    Request {
        id: "a1".into(),
        calendar_id: "c".into(),
        want: want(STARTS),
        holder: None,
        details: Details {
            name: Some(" Jo Lee ".into()),
            email: Some("Jo@Example.com".into()),
            phone: Some("(415) 555-0100".into()),
            ..Details::default()
        },
        source: Source { conversation_id: Some("talk".into()), ..Source::default() },
        terms: Terms {
            business: "Snip; Co".into(),
            timezone: "America/New_York".into(),
            remind_before_ms: DAY,
            late_before_ms: DAY,
        },
    }
}

fn given(n: u32, starts_ms: i64) -> Command {
    Command::Settled { n, outcome: Outcome::Given { slot: slot(starts_ms) } }
}

/// Booked three days ahead, its confirmation sent.
fn booked() -> Appointment {
    let mut state = Appointment::default();
    let now = STARTS - 3 * DAY;
    ask(&mut state, now, rep(), Command::Request(Box::new(request()))).unwrap();
    ask(&mut state, now, Actor::System, given(1, STARTS)).unwrap();
    ask(
        &mut state,
        now,
        Actor::System,
        Command::LetterSent { id: "confirmation-1".into(), attempt: 1, recorded: false },
    )
    .unwrap();
    state
}

fn update(update: Update) -> Command {
    Command::Update(Box::new(update))
}

fn cancel() -> Command {
    update(Update { status: Some(AppointmentStatus::Canceled), ..Update::default() })
}

#[test]
fn it_asks_its_calendar_until_that_has_answered_and_then_stands() {
    let mut state = Appointment::default();
    ask(&mut state, 0, rep(), Command::Request(Box::new(request()))).unwrap();
    assert!(view(&state).is_none() && numbers(&state).total().all.appointments == 0, "nobody sees what has no slot");
    assert_eq!(pending(&state)[0].0, "settle:1");
    // Asked again by its request, by a crash and by the clock: still one wish.
    ask(&mut state, 0, rep(), Command::Request(Box::new(request()))).unwrap();
    let recovered = on_recovered(&state).unwrap();
    ask(&mut state, 0, Actor::System, recovered).unwrap();
    let tick = on_timer(&state, SETTLE_AGAIN_MS).unwrap();
    ask(&mut state, SETTLE_AGAIN_MS, Actor::System, tick).unwrap();
    assert_eq!((pending(&state).len(), pending(&state)[0].1), (1, 3));
    ask(&mut state, 1, Actor::System, given(1, STARTS)).unwrap();
    assert_eq!(ask(&mut state, 1, Actor::System, given(1, STARTS)), Err(Rejection::Superseded));
    let shown = view(&state).unwrap();
    assert_eq!((shown.title.as_str(), shown.when.as_str()), ("Haircut: Jo Lee", "Monday, November 23 at 10:00 AM"));
    assert_eq!((shown.email.as_deref(), shown.phone.as_deref()), (Some("Jo@example.com"), Some("+14155550100")));
    assert_eq!(numbers(&state).total().all.appointments, 1);
}

#[test]
fn a_slot_that_somebody_else_has_leaves_nothing_behind_but_the_reason() {
    let mut state = Appointment::default();
    ask(&mut state, 0, rep(), Command::Request(Box::new(request()))).unwrap();
    let refused = Outcome::Refused { code: "slot_taken".into(), detail: "gone".into() };
    ask(&mut state, 0, Actor::System, Command::Settled { n: 1, outcome: refused }).unwrap();
    assert_eq!(state.refusal.as_ref().map(|refusal| refusal.code.as_str()), Some("slot_taken"));
    assert!(view(&state).is_none() && pending(&state).is_empty() && timer(&state).is_none());
    assert!(matches!(ask(&mut state, 0, rep(), cancel()), Err(Rejection::Conflict { .. })));
}

#[test]
fn a_move_keeps_the_old_time_until_the_calendar_gave_the_new_one() {
    let mut state = booked();
    let later = STARTS + DAY;
    let now = STARTS - 2 * DAY;
    ask(&mut state, now, rep(), update(Update { status: Some(AppointmentStatus::Confirmed), ..Update::default() }))
        .unwrap();
    ask(&mut state, now, rep(), update(Update { want: Some(want(later)), ..Update::default() })).unwrap();
    let shown = view(&state).unwrap();
    assert!(shown.moving && shown.starts_at == crate::local_time::rfc3339(STARTS));
    assert!(
        matches!(ask(&mut state, now, rep(), cancel()), Err(Rejection::Conflict { code, .. }) if code == "booking_under_way")
    );
    let refused = Outcome::Refused { code: "slot_taken".into(), detail: "gone".into() };
    ask(&mut state, now, Actor::System, Command::Settled { n: 2, outcome: refused }).unwrap();
    assert_eq!((state.slot.as_ref().unwrap().span.starts_ms, state.status), (STARTS, AppointmentStatus::Confirmed));
    // The next wish has a number of its own, so that the calendar never takes the refused one for it.
    ask(&mut state, now, rep(), update(Update { want: Some(want(later)), ..Update::default() })).unwrap();
    assert_eq!(ask(&mut state, now, Actor::System, given(2, later)), Err(Rejection::Superseded));
    ask(&mut state, now, Actor::System, given(3, later)).unwrap();
    assert_eq!((state.slot.as_ref().unwrap().span.starts_ms, state.status), (later, AppointmentStatus::Scheduled));
    assert_eq!(state.letters[0].kind, LetterKind::Moved);
    assert_eq!(state.remind_at_ms, Some(later - DAY));
}

#[test]
fn giving_up_with_too_little_notice_is_late_and_final() {
    for (before, late) in [(DAY - 1, true), (DAY, false)] {
        let mut state = booked();
        ask(&mut state, STARTS - before, rep(), cancel()).unwrap();
        assert_eq!((state.status, state.late), (AppointmentStatus::Canceled, late));
        assert_eq!(state.letters[0].kind, LetterKind::Canceled);
        assert!(state.remind_at_ms.is_none());
        let again = update(Update { status: Some(AppointmentStatus::Scheduled), ..Update::default() });
        assert!(
            matches!(ask(&mut state, 0, rep(), again), Err(Rejection::Conflict { code, .. }) if code == "appointment_canceled")
        );
    }
}

#[test]
fn how_it_went_is_said_after_it_began() {
    let mut state = booked();
    let no_show = || update(Update { status: Some(AppointmentStatus::NoShow), ..Update::default() });
    assert!(
        matches!(ask(&mut state, STARTS - 1, rep(), no_show()), Err(Rejection::Conflict { code, .. }) if code == "appointment_ahead")
    );
    ask(&mut state, STARTS, rep(), no_show()).unwrap();
    ask(&mut state, STARTS, rep(), update(Update { status: Some(AppointmentStatus::Completed), ..Update::default() }))
        .unwrap();
    assert!(matches!(ask(&mut state, STARTS, rep(), cancel()), Err(Rejection::Conflict { .. })));
    assert!(timer(&state).is_none());
}

#[test]
fn a_reminder_goes_out_once_and_is_flagged_when_it_has() {
    let mut state = booked();
    assert_eq!(timer(&state), Some(STARTS - DAY));
    assert_eq!(on_timer(&state, STARTS - DAY - 1), None);
    let tick = on_timer(&state, STARTS - DAY).unwrap();
    ask(&mut state, STARTS - DAY, Actor::System, tick).unwrap();
    assert!(!view(&state).unwrap().reminder_sent);
    let first = pending(&state);
    // A crash in the middle: the same letter under a higher attempt, whose old result counts no more.
    let recovered = on_recovered(&state).unwrap();
    ask(&mut state, STARTS - DAY + 5, Actor::System, recovered).unwrap();
    assert_eq!((pending(&state)[0].0.as_str(), pending(&state)[0].1), (first[0].0.as_str(), 2));
    let sent = |attempt| Command::LetterSent { id: "reminder-1".into(), attempt, recorded: true };
    assert_eq!(ask(&mut state, STARTS - DAY + 6, Actor::System, sent(1)), Err(Rejection::Superseded));
    ask(&mut state, STARTS - DAY + 6, Actor::System, sent(2)).unwrap();
    let shown = view(&state).unwrap();
    assert!(shown.reminder_sent && shown.reminder_recorded, "it says that nobody got it");
    assert!(pending(&state).is_empty() && timer(&state).is_none());
}

#[test]
fn a_reminder_that_is_too_late_or_reaches_nobody_is_not_sent() {
    let mut state = booked();
    let tick = on_timer(&state, STARTS + 1).unwrap();
    ask(&mut state, STARTS + 1, Actor::System, tick).unwrap();
    assert!(pending(&state).is_empty() && !view(&state).unwrap().reminder_sent && timer(&state).is_none());
    let mut state = booked();
    ask(
        &mut state,
        STARTS - 2 * DAY,
        rep(),
        update(Update { email: Some(String::new()), phone: Some(String::new()), ..Update::default() }),
    )
    .unwrap();
    let tick = on_timer(&state, STARTS - DAY).unwrap();
    ask(&mut state, STARTS - DAY, Actor::System, tick).unwrap();
    assert!(pending(&state).is_empty());
}

#[test]
fn a_letter_that_cannot_go_waits_longer_each_time_and_is_given_up() {
    let mut state = booked();
    let mut now = STARTS - DAY;
    let tick = on_timer(&state, now).unwrap();
    ask(&mut state, now, Actor::System, tick).unwrap();
    for attempt in 1..=3 {
        let failed = Command::LetterFailed { id: "reminder-1".into(), attempt, retry: true };
        ask(&mut state, now, Actor::System, failed).unwrap();
        assert!(pending(&state).is_empty());
        now += LETTER_PAUSES_MS[attempt as usize - 1];
        assert_eq!(timer(&state), Some(now));
        let tick = on_timer(&state, now).unwrap();
        ask(&mut state, now, Actor::System, tick).unwrap();
    }
    let failed = Command::LetterFailed { id: "reminder-1".into(), attempt: 4, retry: true };
    ask(&mut state, now, Actor::System, failed).unwrap();
    assert!(state.letters.is_empty() && state.reminded_at_ms.is_none());
}

#[test]
fn strangers_viewers_and_wrong_values_are_refused() {
    let mut state = booked();
    let visitor = Actor::Visitor { id: "v".into(), agent: "a".into() };
    assert_eq!(ask(&mut state, 0, visitor, Command::Get), Err(Rejection::not_found("appointment")));
    let viewer = Actor::User { id: "w".into(), role: Role::Viewer, name: "W".into() };
    assert!(matches!(ask(&mut state, 0, viewer, cancel()), Err(Rejection::Forbidden { .. })));
    let wrong = Update {
        email: Some("nope".into()),
        phone: Some("12".into()),
        title: Some("x".repeat(TITLE_CHARS_MAX + 1)),
        ..Update::default()
    };
    let Err(Rejection::Invalid { errors }) = ask(&mut state, 0, rep(), update(wrong)) else { panic!("errors") };
    assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["title", "email", "phone"]);
    let stale = Update { if_seq: Some(1), ..Update::default() };
    assert!(matches!(ask(&mut state, 0, rep(), update(stale)), Err(Rejection::Stale { .. })));
    let foreign =
        Context { now_ms: 0, seq: 1, seed: [0; 32], principal: Principal { tenant: "other".into(), actor: rep() } };
    assert_eq!(decide(&state, &foreign, Command::Get), Err(Rejection::not_found("appointment")));
}

#[test]
fn the_file_is_icalendar_with_everything_escaped_and_folded() {
    let mut state = booked();
    state.details.description = "Line one\nBEGIN:VEVENT\r; and, more \\ ".repeat(4);
    let shown = view(&state).unwrap();
    let guest = ics::file([&shown], ics::For::Guest("Snip; Co"), STARTS);
    for line in [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "UID:a1@colloquy",
        "DTSTART:20261123T150000Z",
        "DTEND:20261123T154500Z",
        "STATUS:CONFIRMED",
        "SUMMARY:Haircut with Anna at Snip\\; Co",
        "END:VCALENDAR",
    ] {
        assert!(guest.split("\r\n").any(|own| own == line), "{line} in {guest}");
    }
    assert!(!guest.contains("415"), "who comes needs no number in it");
    let business = ics::file([&shown], ics::For::Business("Chairs"), STARTS);
    assert!(business.contains("X-WR-CALNAME:Chairs") && business.contains("SUMMARY:Haircut: Jo Lee with Anna"));
    assert!(business.split("\r\n").all(|line| line.len() <= 75), "folded");
    assert_eq!(business.split("\r\n").filter(|line| *line == "BEGIN:VEVENT").count(), 1, "text begins no event");
    let unfolded = business.replace("\r\n ", "");
    assert!(unfolded.contains(
        "DESCRIPTION:Jo Lee\\, +14155550100\\, Jo@example.com\\nLine one\\nBEGIN:VEVENT\\; and\\, more \\\\ "
    ));
    ask(&mut state, STARTS - 2 * DAY, rep(), cancel()).unwrap();
    assert!(ics::file([&view(&state).unwrap()], ics::For::Guest("Snip"), STARTS).contains("STATUS:CANCELLED"));
}

#[test]
fn letters_say_what_when_where_and_lead_to_the_file() {
    let state = booked();
    for kind in [LetterKind::Confirmation, LetterKind::Moved, LetterKind::Reminder] {
        let words = letter::words(&state, kind, "https://x.example/file.ics").unwrap();
        for part in ["Jo Lee", "Haircut with Anna", "Monday, November 23 at 10:00 AM", "https://x.example/file.ics"] {
            assert!(words.text.contains(part), "{part} in {}", words.text);
        }
    }
    assert!(letter::text_message(&state, LetterKind::Reminder).unwrap().contains("Monday, November 23 at 10:00 AM"));
}

/// Somebody who gave only a number, in Chicago, for eight in the morning there.
fn by_phone(state: &mut Appointment, now_ms: i64, remind_before_ms: i64) {
    let mut request = request();
    request.details.email = None;
    request.details.phone = Some("+12175550133".into());
    request.terms.remind_before_ms = remind_before_ms;
    ask(state, now_ms, rep(), Command::Request(Box::new(request))).unwrap();
    let given = Command::Settled { n: 1, outcome: Outcome::Given { slot: slot(STARTS) } };
    ask(state, now_ms, Actor::System, given).unwrap();
}

#[test]
fn who_has_only_a_number_is_texted_of_what_is_new_but_not_at_night() {
    const HOUR: i64 = 3_600_000;
    let mut state = Appointment::default();
    // The appointment is at 9:00 in Chicago on Monday; it is Sunday, 20:00 there.
    let evening = STARTS - 13 * HOUR;
    by_phone(&mut state, evening, HOUR);
    assert!(state.letters.is_empty(), "what was just agreed is not confirmed by text message");
    assert_eq!(state.remind_at_ms, Some(STARTS - HOUR));
    // Moved at 22:00 there to Tuesday: told in the morning.
    let night = STARTS - 11 * HOUR;
    let moved = Update { want: Some(want(STARTS + DAY)), ..Update::default() };
    ask(&mut state, night, rep(), Command::Update(Box::new(moved))).unwrap();
    let given = Command::Settled { n: 2, outcome: Outcome::Given { slot: slot(STARTS + DAY) } };
    ask(&mut state, night, Actor::System, given).unwrap();
    let letter = state.letters[0].clone();
    assert_eq!((letter.kind, letter.waits, letter.due_ms), (LetterKind::Moved, true, STARTS - HOUR));
    assert!(pending(&state).is_empty());
    // Called off before it left: nothing of the move is told any more, the cancellation is.
    let off = Update { status: Some(AppointmentStatus::Canceled), ..Update::default() };
    ask(&mut state, night + 60_000, rep(), Command::Update(Box::new(off))).unwrap();
    assert_eq!(state.letters.iter().map(|letter| letter.kind).collect::<Vec<_>>(), [LetterKind::Canceled]);
    assert_eq!(state.remind_at_ms, None);
    assert!(letter::text_message(&state, LetterKind::Canceled).unwrap().contains("is canceled"));
}

#[test]
fn a_reminder_by_text_message_leaves_the_evening_before_a_night_and_only_once() {
    const HOUR: i64 = 3_600_000;
    let mut state = Appointment::default();
    // Two hours before nine is seven: so the evening before, at five to nine.
    by_phone(&mut state, STARTS - 3 * DAY, 2 * HOUR);
    let at_ms = STARTS - 12 * HOUR - 5 * 60_000;
    assert_eq!(state.remind_at_ms, Some(at_ms));
    // Nothing ran until night: in the morning then.
    let mut late = state.clone();
    ask(&mut late, STARTS - 6 * HOUR, Actor::System, Command::Tick).unwrap();
    assert_eq!((late.remind_at_ms, late.letters.len()), (Some(STARTS - HOUR), 0));
    ask(&mut state, at_ms, Actor::System, Command::Tick).unwrap();
    let letter = state.letters[0].clone();
    let leaves = Command::LetterLeaves { id: letter.id.clone(), attempt: 1 };
    ask(&mut state, at_ms, Actor::System, leaves.clone()).unwrap();
    assert_eq!(ask(&mut state, at_ms, Actor::System, leaves.clone()).unwrap_err(), Rejection::Superseded);
    // A crash after that: it may have left, so it is never sent again.
    let mut crashed = state.clone();
    ask(&mut crashed, at_ms + 1, Actor::System, Command::Recovered).unwrap();
    assert!(crashed.letters.is_empty() && crashed.reminded_at_ms.is_none());
    let mut silent = state.clone();
    ask(&mut silent, at_ms + LETTER_DEADLINE_MS, Actor::System, Command::Tick).unwrap();
    assert!(silent.letters.is_empty());
    // The carrier asks for a pause: it surely did not leave, and does after it.
    let failed = Command::LetterFailed { id: letter.id.clone(), attempt: 1, retry: true };
    ask(&mut state, at_ms, Actor::System, failed).unwrap();
    assert!(state.letters[0].waits && !state.letters[0].left);
    ask(&mut state, at_ms + LETTER_PAUSES_MS[0], Actor::System, Command::Tick).unwrap();
    ask(&mut state, at_ms, Actor::System, Command::LetterLeaves { id: letter.id.clone(), attempt: 2 }).unwrap();
    ask(&mut state, at_ms, Actor::System, Command::LetterSent { id: letter.id, attempt: 2, recorded: false }).unwrap();
    assert!(state.reminded_at_ms.is_some() && pending(&state).is_empty());
}

#[test]
fn what_was_only_tried_is_booked_and_marked_and_nobody_is_texted_reminded_or_counted() {
    let made = |trial: bool, email: Option<&str>| {
        let mut state = Appointment::default();
        let mut request = request();
        (request.source.trial, request.details.email) = (trial, email.map(Into::into));
        let now = STARTS - 3 * DAY;
        ask(&mut state, now, rep(), Command::Request(Box::new(request))).unwrap();
        ask(&mut state, now, Actor::System, given(1, STARTS)).unwrap();
        let before = (state.letters.len(), state.remind_at_ms.is_some());
        ask(&mut state, now, rep(), cancel()).unwrap();
        (before, state.letters.len(), numbers(&state).total().all.appointments, view(&state).unwrap().trial)
    };
    assert_eq!(made(true, None), ((0, false), 0, 0, true), "a number that was typed in may be anybody's");
    assert_eq!(made(false, None), ((0, true), 1, 1, false), "whoever really comes is texted");
    assert_eq!(made(true, Some("jo@example.com")), ((1, false), 1, 0, true), "a mail shows what a visitor would get");
    let mut state = booked();
    state.source.trial = true;
    let words = letter::words(&state, LetterKind::Confirmation, "https://x").unwrap();
    assert!(words.subject.starts_with("Trial: ") && words.text.starts_with("This is a trial"), "{words:?}");
    let file = ics::file([&view(&state).unwrap()], ics::For::Business("Snip"), 0);
    assert!(file.contains("SUMMARY:Trial: Haircut"), "{file}");
}
