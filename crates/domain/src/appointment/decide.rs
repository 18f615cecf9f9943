//! How an appointment changes: asked for, given a slot, moved, confirmed, given up, closed; and the letters about it.

use super::{
    Appointment, Command, DATA_BYTES_MAX, Decision, Details, Effect, Event, LETTER_DEADLINE_MS, LETTER_PAUSES_MS,
    Letter, LetterKind, MOVES_MAX, NAME_CHARS_MAX, Outcome, Refusal, Reply, Request, SETTLE_AGAIN_MS, TEXT_CHARS_MAX,
    TITLE_CHARS_MAX, Update, Wish, open, quiet,
};
use crate::{
    check::is_bounded_json,
    context::Context,
    principal::{Actor, Role},
    rejection::{FieldError, Rejection},
    text,
    vocabulary::AppointmentStatus,
};

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &Appointment, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if let Actor::Visitor { .. } = cx.principal.actor {
        return Err(Rejection::not_found("appointment"));
    }
    if state.exists() {
        cx.bound_to(&state.tenant, "appointment")?;
    }
    match command {
        Command::Request(request) => {
            need_rep(cx)?;
            requested(state, cx, *request)
        }
        _ if !state.exists() => Err(Rejection::not_found("appointment")),
        Command::Get => Ok(Decision::reply(Reply::State(Box::new(state.clone())))),
        Command::Update(update) => {
            need_rep(cx)?;
            updated(state, cx, *update)
        }
        Command::Settled { n, outcome } => {
            system(cx)?;
            settled(state, cx.now_ms, n, outcome)
        }
        Command::LetterLeaves { id, attempt } => {
            system(cx)?;
            if letter(state, &id, attempt)?.left {
                return Err(Rejection::Superseded);
            }
            Ok(Decision::event(Event::LetterLeft { id }, Reply::Done))
        }
        Command::LetterSent { id, attempt, recorded } => {
            system(cx)?;
            letter(state, &id, attempt)?;
            Ok(Decision::event(Event::LetterEnded { id, sent: true, recorded }, Reply::Done))
        }
        Command::LetterFailed { id, attempt, retry } => {
            system(cx)?;
            let failed = letter(state, &id, attempt)?;
            Ok(Decision::event(after_failure(failed, cx.now_ms, retry), Reply::Done))
        }
        Command::Tick => {
            system(cx)?;
            Ok(Decision::new(due(state, cx.now_ms), Reply::Done))
        }
        Command::Recovered => {
            system(cx)?;
            Ok(Decision::new(cut_off(state), Reply::Done))
        }
    }
}

/// Folds one event. Cannot fail.
pub fn apply(state: &mut Appointment, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Requested { tenant, request } => {
            state.id = request.id.clone();
            state.tenant = tenant.clone();
            state.calendar_id = request.calendar_id.clone();
            state.details = request.details.clone();
            state.source = request.source.clone();
            state.terms = request.terms.clone();
            state.created_at_ms = at_ms;
            state.wish = Some(wish(1, request.want.clone(), request.holder.clone(), at_ms));
        }
        Event::MoveWanted { n, want, holder } => {
            state.wish = Some(wish(*n, want.clone(), holder.clone(), at_ms));
            state.refusal = None;
        }
        Event::AskedAgain { attempt } => {
            if let Some(wish) = &mut state.wish {
                wish.attempt = *attempt;
                wish.deadline_ms = at_ms + SETTLE_AGAIN_MS;
            }
        }
        Event::Given { n, slot } => {
            state.n = *n;
            state.wish = None;
            state.refusal = None;
            // Whoever said to come at the old time has not said so of the new one.
            state.status = AppointmentStatus::Scheduled;
            let remind_at = slot.span.starts_ms - state.terms.remind_before_ms;
            let reminds = state.terms.remind_before_ms > 0 && !state.source.trial;
            state.remind_at_ms = (reminds && remind_at > at_ms).then_some(remind_at);
            state.reminded_at_ms = None;
            state.reminder_recorded = false;
            // What was owed about another time is told no more.
            state.letters.clear();
            state.slot = Some(slot.clone());
        }
        Event::Refused { refusal } => {
            state.wish = None;
            state.refusal = Some(refusal.clone());
        }
        Event::Edited { details } => state.details = (**details).clone(),
        Event::StatusSet { status } => {
            state.status = *status;
            if !open(*status) {
                state.remind_at_ms = None;
            }
        }
        Event::Canceled { reason, late } => {
            state.status = AppointmentStatus::Canceled;
            state.cancel_reason.clone_from(reason);
            state.late = *late;
            state.remind_at_ms = None;
            state.letters.clear();
        }
        Event::LetterOwed { id, kind } => {
            if *kind == LetterKind::Reminder {
                state.remind_at_ms = None;
            }
            let (id, kind) = (id.clone(), *kind);
            state.letters.push(Letter {
                id,
                kind,
                attempt: 1,
                waits: false,
                due_ms: at_ms + LETTER_DEADLINE_MS,
                left: false,
            });
        }
        Event::LetterAgain { id, attempt } => {
            if let Some(letter) = state.letters.iter_mut().find(|letter| letter.id == *id) {
                letter.attempt = *attempt;
                letter.waits = false;
                letter.due_ms = at_ms + LETTER_DEADLINE_MS;
            }
        }
        Event::LetterLeft { id } => {
            if let Some(letter) = state.letters.iter_mut().find(|letter| letter.id == *id) {
                letter.left = true;
            }
        }
        Event::LetterWaits { id, until_ms } => {
            if let Some(letter) = state.letters.iter_mut().find(|letter| letter.id == *id) {
                letter.waits = true;
                // Whoever says that it may go later says that it surely did not leave.
                letter.left = false;
                letter.due_ms = *until_ms;
            }
        }
        Event::LetterEnded { id, sent, recorded } => {
            let reminder = state.letters.iter().any(|letter| letter.id == *id && letter.kind == LetterKind::Reminder);
            if reminder && *sent {
                state.reminded_at_ms = Some(at_ms);
                state.reminder_recorded = *recorded;
            }
            state.letters.retain(|letter| letter.id != *id);
        }
        Event::ReminderPlanned { at_ms } => state.remind_at_ms = Some(*at_ms),
        Event::ReminderMissed => state.remind_at_ms = None,
    }
    state.updated_at_ms = at_ms;
    state.seq = seq;
}

/// What is still to be done, from state alone.
pub fn pending(state: &Appointment) -> Vec<(String, u32, Effect)> {
    let settle = state
        .wish
        .as_ref()
        .map(|wish| (format!("settle:{}", wish.n), wish.attempt, Effect::Settle { wish: wish.clone() }));
    let letters = state
        .letters
        .iter()
        .filter(|letter| !letter.waits)
        .map(|letter| (format!("letter:{}", letter.id), letter.attempt, Effect::Write { letter: letter.clone() }));
    settle.into_iter().chain(letters).collect()
}

/// When something is due, Unix milliseconds.
pub fn timer(state: &Appointment) -> Option<i64> {
    let letters = state.letters.iter().map(|letter| letter.due_ms);
    let wish = state.wish.as_ref().map(|wish| wish.deadline_ms);
    letters.chain(wish).chain(state.remind_at_ms).min()
}

/// What is done about it.
pub fn on_timer(state: &Appointment, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// What a crash or move cut off begins again.
pub fn on_recovered(state: &Appointment) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

fn requested(state: &Appointment, cx: &Context, mut request: Request) -> Result<Decision, Rejection> {
    if state.exists() {
        // A repeated request has made it already.
        return Ok(Decision::reply(Reply::State(Box::new(state.clone()))));
    }
    request.details = checked(request.details)?;
    let event = Event::Requested { tenant: cx.principal.tenant.clone(), request: Box::new(request) };
    let mut after = state.clone();
    apply(&mut after, &event, cx.seq + 1, cx.now_ms);
    Ok(Decision::event(event, Reply::State(Box::new(after))))
}

fn updated(state: &Appointment, cx: &Context, update: Update) -> Result<Decision, Rejection> {
    if update.if_seq.is_some_and(|seq| seq != state.seq) {
        return Err(Rejection::Stale { current: serde_json::to_value(super::view(state)).unwrap_or_default() });
    }
    let Some(slot) = &state.slot else {
        return Err(Rejection::conflict("not_booked", "this appointment never got a slot"));
    };
    if state.wish.is_some() {
        return Err(Rejection::conflict(
            "booking_under_way",
            "its calendar is just being asked; try again in a moment",
        ));
    }
    let mut events = Vec::new();
    let details = edited(&state.details, &update)?;
    if details != state.details {
        events.push(Event::Edited { details: Box::new(details.clone()) });
    }
    if let Some(want) = update.want {
        if !open(state.status) || update.status.is_some_and(|status| !open(status)) {
            return Err(Rejection::conflict(
                "appointment_closed",
                "only an appointment that is still to come can be moved",
            ));
        }
        let same = want.starts_ms == slot.span.starts_ms
            && want.provider.as_ref().is_none_or(|provider| *provider == slot.span.provider)
            && want.kind.as_ref().is_none_or(|kind| *kind == slot.kind);
        if !same {
            if state.n >= MOVES_MAX {
                return Err(Rejection::conflict(
                    "moved_too_often",
                    "it was moved too often; cancel it and book a new one",
                ));
            }
            // Refused wishes have numbers too: the calendar must never take an old one for a new one.
            let last = state.refusal.as_ref().map_or(state.n, |refusal| refusal.n.max(state.n));
            events.push(Event::MoveWanted { n: last + 1, want, holder: update.holder });
        }
    }
    match update.status {
        Some(status) if status != state.status => {
            events.extend(to_status(state, cx, status, update.cancel_reason, &details)?);
        }
        Some(_) | None => {}
    }
    let mut after = state.clone();
    for (n, event) in events.iter().enumerate() {
        apply(&mut after, event, cx.seq + n as u64 + 1, cx.now_ms);
    }
    Ok(Decision::new(events, Reply::State(Box::new(after))))
}

fn to_status(
    state: &Appointment,
    cx: &Context,
    status: AppointmentStatus,
    reason: Option<String>,
    details: &Details,
) -> Result<Vec<Event>, Rejection> {
    let starts_ms = state.slot.as_ref().map_or(0, |slot| slot.span.starts_ms);
    match (state.status, status) {
        (AppointmentStatus::Canceled, _) => {
            Err(Rejection::conflict("appointment_canceled", "its slot was given back; book a new appointment"))
        }
        (_, AppointmentStatus::Canceled) if !open(state.status) => {
            Err(Rejection::conflict("appointment_closed", "an appointment that is over cannot be canceled"))
        }
        (_, AppointmentStatus::Canceled) => {
            let reason =
                reason.map(|reason| text::shorten(reason.trim(), TEXT_CHARS_MAX)).filter(|text| !text.is_empty());
            let late = starts_ms - cx.now_ms < state.terms.late_before_ms;
            let mut events = vec![Event::Canceled { reason, late }];
            if starts_ms > cx.now_ms {
                let id = format!("canceled-{}", state.n);
                events.extend(owed(state, details, id, LetterKind::Canceled, cx.now_ms, starts_ms));
            }
            Ok(events)
        }
        (_, AppointmentStatus::Completed | AppointmentStatus::NoShow) if starts_ms > cx.now_ms => {
            Err(Rejection::conflict("appointment_ahead", "it has not begun yet"))
        }
        (_, AppointmentStatus::Scheduled | AppointmentStatus::Confirmed) if !open(state.status) => {
            Err(Rejection::conflict("appointment_closed", "an appointment that is over cannot be opened again"))
        }
        (_, status) => Ok(vec![Event::StatusSet { status }]),
    }
}

fn settled(state: &Appointment, now_ms: i64, n: u32, outcome: Outcome) -> Result<Decision, Rejection> {
    if state.wish.as_ref().is_none_or(|wish| wish.n != n) {
        return Err(Rejection::Superseded);
    }
    let events = match outcome {
        Outcome::Given { slot } => {
            let first = state.slot.is_none();
            let (kind, word) =
                if first { (LetterKind::Confirmation, "confirmation") } else { (LetterKind::Moved, "moved") };
            let (starts_ms, zone) = (slot.span.starts_ms, &state.terms.timezone);
            let mut events = vec![Event::Given { n, slot }];
            events.extend(owed(state, &state.details, format!("{word}-{n}"), kind, now_ms, starts_ms));
            let remind_at = starts_ms - state.terms.remind_before_ms;
            if state.terms.remind_before_ms > 0
                && !state.source.trial
                && remind_at > now_ms
                && let Some(phone) = phone_only(&state.details)
            {
                events.extend(match quiet::reminder(phone, zone, remind_at, now_ms, starts_ms) {
                    Some(at_ms) => (at_ms != remind_at).then_some(Event::ReminderPlanned { at_ms }),
                    None => Some(Event::ReminderMissed),
                });
            }
            events
        }
        Outcome::Refused { code, detail } => vec![Event::Refused { refusal: Refusal { n, code, detail } }],
    };
    Ok(Decision::new(events, Reply::Done))
}

/// A letter that is owed, if there is a way: by mail, else by text message, which waits for the morning and does not confirm what was just agreed. A
/// number that somebody gave who only tried the agent may be anybody's: nothing is sent there.
fn owed(
    state: &Appointment,
    details: &Details,
    id: String,
    kind: LetterKind,
    now_ms: i64,
    starts_ms: i64,
) -> impl Iterator<Item = Event> {
    let phone = phone_only(details).filter(|_| kind != LetterKind::Confirmation && !state.source.trial);
    let waits = phone.and_then(|phone| quiet::news(phone, &state.terms.timezone, now_ms, starts_ms));
    let waits = waits.map(|until_ms| Event::LetterWaits { id: id.clone(), until_ms });
    let owed = (details.email.is_some() || phone.is_some()).then_some(Event::LetterOwed { id, kind });
    owed.into_iter().chain(waits)
}

/// The number of somebody who can be reached by nothing else.
fn phone_only(details: &Details) -> Option<&str> {
    details.phone.as_deref().filter(|_| details.email.is_none())
}

fn due(state: &Appointment, now_ms: i64) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(wish) = state.wish.as_ref().filter(|wish| wish.deadline_ms <= now_ms) {
        events.push(Event::AskedAgain { attempt: wish.attempt + 1 });
    }
    if state.remind_at_ms.is_some_and(|at| at <= now_ms) {
        let starts_ms = state.slot.as_ref().map_or(0, |slot| slot.span.starts_ms);
        let reachable = state.details.email.is_some() || state.details.phone.is_some();
        // Nothing ran when it was due, or the number changed since.
        let moment = match phone_only(&state.details) {
            Some(phone) => quiet::reminder(phone, &state.terms.timezone, now_ms, now_ms, starts_ms),
            None => Some(now_ms),
        };
        events.push(match moment.filter(|_| starts_ms > now_ms && reachable && open(state.status)) {
            Some(at) if at <= now_ms => {
                Event::LetterOwed { id: format!("reminder-{}", state.n), kind: LetterKind::Reminder }
            }
            Some(at_ms) => Event::ReminderPlanned { at_ms },
            None => Event::ReminderMissed,
        });
    }
    for letter in state.letters.iter().filter(|letter| letter.due_ms <= now_ms) {
        let (id, attempt) = (letter.id.clone(), letter.attempt + 1);
        events.push(if !letter.left && (letter.waits || attempt <= LETTER_PAUSES_MS.len() as u32) {
            Event::LetterAgain { id, attempt }
        } else {
            Event::LetterEnded { id, sent: false, recorded: false }
        });
    }
    events
}

fn cut_off(state: &Appointment) -> Vec<Event> {
    let wish = state.wish.iter().map(|wish| Event::AskedAgain { attempt: wish.attempt + 1 });
    let letters = state.letters.iter().filter(|letter| !letter.waits);
    let letters = letters.map(|letter| {
        let id = letter.id.clone();
        if letter.left {
            // Nobody knows whether the carrier has it: it is not sent twice.
            Event::LetterEnded { id, sent: false, recorded: false }
        } else {
            Event::LetterAgain { id, attempt: letter.attempt + 1 }
        }
    });
    wish.chain(letters).collect()
}

fn after_failure(letter: &Letter, now_ms: i64, retry: bool) -> Event {
    let pause =
        usize::try_from(letter.attempt).ok().and_then(|attempt| LETTER_PAUSES_MS.get(attempt.saturating_sub(1)));
    match pause.filter(|_| retry) {
        Some(pause) => Event::LetterWaits { id: letter.id.clone(), until_ms: now_ms + pause },
        None => Event::LetterEnded { id: letter.id.clone(), sent: false, recorded: false },
    }
}

fn letter<'a>(state: &'a Appointment, id: &str, attempt: u32) -> Result<&'a Letter, Rejection> {
    let known = state.letters.iter().find(|letter| letter.id == id && letter.attempt == attempt && !letter.waits);
    known.ok_or(Rejection::Superseded)
}

fn wish(n: u32, want: crate::calendar::Want, holder: Option<String>, at_ms: i64) -> Wish {
    Wish { n, want, holder, attempt: 1, deadline_ms: at_ms + SETTLE_AGAIN_MS }
}

fn edited(details: &Details, update: &Update) -> Result<Details, Rejection> {
    let mut after = details.clone();
    let line = |own: &mut Option<String>, given: &Option<String>| {
        if let Some(given) = given {
            *own = Some(given.trim().to_owned()).filter(|text| !text.is_empty());
        }
    };
    line(&mut after.name, &update.name);
    line(&mut after.email, &update.email);
    line(&mut after.phone, &update.phone);
    if let Some(title) = &update.title {
        title.trim().clone_into(&mut after.title);
    }
    if let Some(description) = &update.description {
        description.trim().clone_into(&mut after.description);
    }
    for (name, value) in &update.vertical_data {
        if value.is_null() {
            after.vertical_data.remove(name);
        } else {
            after.vertical_data.insert(name.clone(), value.clone());
        }
    }
    checked(after)
}

/// Details in their kept form.
fn checked(mut details: Details) -> Result<Details, Rejection> {
    let mut errors = Vec::new();
    for (name, text, most) in [
        ("title", Some(&details.title), TITLE_CHARS_MAX),
        ("description", Some(&details.description), TEXT_CHARS_MAX),
        ("name", details.name.as_ref(), NAME_CHARS_MAX),
    ] {
        if text.is_some_and(|text| text.chars().count() > most) {
            errors.push(FieldError::new(name, format!("at most {most} characters")));
        }
    }
    details.title = text::one_line(&details.title);
    details.name = details.name.map(|name| text::one_line(&name)).filter(|name| !name.is_empty());
    if let Some(email) = details.email.take().filter(|email| !email.trim().is_empty()) {
        match text::valid_email(&email) {
            Some(email) => details.email = Some(email),
            None => errors.push(FieldError::new("email", "must be an e-mail address such as name@example.com")),
        }
    }
    if let Some(phone) = details.phone.take().filter(|phone| !phone.trim().is_empty()) {
        match text::only_phone(&phone) {
            Ok(phone) => details.phone = Some(phone),
            Err(problem) => errors.push(FieldError::new("phone", problem.to_string())),
        }
    }
    let data = serde_json::to_value(&details.vertical_data).unwrap_or_default();
    if !is_bounded_json(&data, DATA_BYTES_MAX) {
        errors.push(FieldError::new("vertical_data", format!("at most {DATA_BYTES_MAX} bytes of JSON")));
    }
    if errors.is_empty() { Ok(details) } else { Err(Rejection::Invalid { errors }) }
}

fn need_rep(cx: &Context) -> Result<(), Rejection> {
    if cx.principal.at_least(Role::Rep) {
        Ok(())
    } else {
        Err(Rejection::forbidden("this needs the role rep or above"))
    }
}

fn system(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Err(Rejection::forbidden("this is done by the service itself"))
        }
    }
}
