//! Who gets which stretch of time. One decision follows the other, and each sees what all before it gave away.

use super::{
    BOOKINGS_KEPT_MS, BOOKINGS_MAX, Booking, Calendar, Command, Decision, Event, HOLD_MS, HOLDER_BYTES_MAX, HOLDS_MAX,
    Hold, Reply, Settings,
    settings::Organization,
    slots::{self, Slot, Unfit, Want},
};
use crate::{
    context::Context,
    ids::{AppointmentId, CalendarId},
    principal::{Actor, Role},
    rejection::Rejection,
};

/// The name of the calendar that an organization begins with.
const STARTER_NAME: &str = "Appointments";
/// The code of a slot that somebody else has.
pub const SLOT_TAKEN: &str = "slot_taken";
/// The code of a time at which no appointment begins.
pub const SLOT_CLOSED: &str = "slot_not_offered";

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &Calendar, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if let Actor::Visitor { .. } = cx.principal.actor {
        return Err(Rejection::not_found("calendar"));
    }
    if state.exists() {
        cx.bound_to(&state.tenant, "calendar")?;
    }
    if let Command::Create { id, settings, organization } = command {
        need(cx, Role::Manager)?;
        if state.exists() {
            // A repeated request has made it already.
            return Ok(Decision::reply(Reply::Calendar(Box::new(state.clone()))));
        }
        let defaults = Settings { timezone: organization.timezone, ..Settings::default() };
        let settings = Box::new(defaults.patched(&settings)?);
        return made(state, cx, Event::Created { id, tenant: cx.principal.tenant.clone(), settings, starter: false });
    }
    if let Command::Plan { timezone, opened } = command {
        return plan(state, cx, timezone, opened);
    }
    if !state.exists() {
        return Err(Rejection::not_found("calendar"));
    }
    match command {
        Command::Create { .. } | Command::Plan { .. } => Err(Rejection::not_found("calendar")),
        Command::Update { patch, if_version } => {
            need(cx, Role::Manager)?;
            if if_version.is_some_and(|version| version != state.version) {
                let current = serde_json::to_value(super::view::view(state)).unwrap_or_default();
                return Err(Rejection::Stale { current });
            }
            let settings = state.settings.patched(&patch)?;
            if settings == state.settings {
                return Ok(Decision::reply(Reply::Calendar(Box::new(state.clone()))));
            }
            made(state, cx, Event::Updated { settings: Box::new(settings) })
        }
        Command::Suit { kind } => {
            system(cx)?;
            // What was promised under another kind stays what it is.
            let untouched = state.starter
                && state.settings.types == Settings::default().types
                && state.taken(cx.now_ms, None, None).is_empty();
            if !untouched {
                return Ok(Decision::reply(Reply::Calendar(Box::new(state.clone()))));
            }
            made(state, cx, Event::Suited { kind })
        }
        Command::RotateFeed => {
            need(cx, Role::Manager)?;
            made(state, cx, Event::FeedRotated)
        }
        Command::Slots { query, organization } => {
            let taken = state.taken(cx.now_ms, query.holder.as_deref(), None);
            let items = slots::free(&state.settings, &organization, &taken, &query, cx.now_ms);
            Ok(Decision::reply(Reply::Slots { items }))
        }
        Command::Hold { holder, want, organization } => {
            need(cx, Role::Rep)?;
            hold(state, cx, holder, &want, &organization)
        }
        Command::Unhold { holder } => {
            need(cx, Role::Rep)?;
            if !state.holds.contains_key(&holder) {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::HoldsEnded { holders: vec![holder] }, Reply::Done))
        }
        Command::Held { holder } => {
            let hold = state.holds.get(&holder).filter(|hold| hold.expires_ms > cx.now_ms).cloned();
            Ok(Decision::reply(Reply::Hold { hold }))
        }
        Command::Book { appointment, n, holder, want, organization } => {
            system(cx)?;
            book(state, cx, (appointment, n), holder, &want, &organization)
        }
        Command::Release { appointment } => {
            system(cx)?;
            match state.bookings.get(&appointment) {
                Some(booking) if !booking.released => Ok(Decision::event(Event::Released { appointment }, Reply::Done)),
                Some(_) | None => Ok(Decision::reply(Reply::Done)),
            }
        }
        Command::Tick => {
            system(cx)?;
            let out = |hold: &Hold| hold.expires_ms <= cx.now_ms;
            let holders: Vec<String> =
                state.holds.iter().filter(|(_, hold)| out(hold)).map(|(holder, _)| holder.clone()).collect();
            if holders.is_empty() {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::HoldsEnded { holders }, Reply::Done))
        }
        Command::View => Ok(Decision::reply(Reply::Calendar(Box::new(state.clone())))),
    }
}

/// Folds one event. Cannot fail.
pub fn apply(state: &mut Calendar, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Created { id, tenant, settings, starter } => {
            state.id = id.clone();
            state.starter = *starter;
            state.tenant = tenant.clone();
            state.settings = (**settings).clone();
            state.version = 1;
            state.feed_version = 1;
            state.created_at_ms = at_ms;
            state.updated_at_ms = at_ms;
        }
        Event::ZoneFollowed { timezone } => {
            state.settings.timezone.clone_from(timezone);
            state.version += 1;
            state.updated_at_ms = at_ms;
        }
        Event::Suited { kind } => {
            state.settings.types = vec![kind.clone()];
            state.version += 1;
            state.updated_at_ms = at_ms;
        }
        Event::Updated { settings } => {
            state.settings = (**settings).clone();
            state.starter = false;
            state.version += 1;
            state.updated_at_ms = at_ms;
        }
        Event::FeedRotated => {
            state.feed_version += 1;
            state.version += 1;
            state.updated_at_ms = at_ms;
        }
        Event::Held { holder, hold } => {
            state.holds.insert(holder.clone(), hold.clone());
        }
        Event::HoldsEnded { holders } => state.holds.retain(|holder, _| !holders.contains(holder)),
        Event::Booked { appointment, n, holder, span } => {
            if let Some(holder) = holder {
                state.holds.remove(holder);
            }
            state.bookings.retain(|_, booking| booking.span.ends_ms + BOOKINGS_KEPT_MS > at_ms);
            state.bookings.insert(appointment.clone(), Booking { span: span.clone(), n: *n, released: false });
        }
        Event::Released { appointment } => {
            if let Some(booking) = state.bookings.get_mut(appointment) {
                booking.released = true;
            }
        }
    }
}

/// When the next hold runs out, Unix milliseconds.
pub fn timer(state: &Calendar) -> Option<i64> {
    state.holds.values().map(|hold| hold.expires_ms).min()
}

/// What is done about it.
pub fn on_timer(state: &Calendar, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The calendar that an organization begins with: made once, in its zone, with its hours, until somebody sets it up.
fn plan(state: &Calendar, cx: &Context, timezone: String, opened: bool) -> Result<Decision, Rejection> {
    system(cx)?;
    let tenant = cx.principal.tenant.clone();
    let event = match (state.exists(), opened) {
        (false, true) => {
            let settings = Settings { name: STARTER_NAME.to_owned(), timezone, ..Settings::default() };
            Event::Created { id: CalendarId(tenant.0.clone()), tenant, settings: Box::new(settings), starter: true }
        }
        (true, _) if state.starter && state.settings.timezone != timezone => Event::ZoneFollowed { timezone },
        (true, _) | (false, false) => return Ok(Decision::reply(Reply::Done)),
    };
    Ok(Decision::event(event, Reply::Done))
}

fn hold(
    state: &Calendar,
    cx: &Context,
    holder: String,
    want: &Want,
    organization: &Organization,
) -> Result<Decision, Rejection> {
    if holder.is_empty() || holder.len() > HOLDER_BYTES_MAX {
        return Err(Rejection::invalid("conversation_id", format!("must have 1 to {HOLDER_BYTES_MAX} bytes")));
    }
    if let Some(own) = state.holds.get(&holder)
        && own.expires_ms > cx.now_ms
        && fits(&own.slot, want)
    {
        // Asked again: it is theirs already, for as long as was said.
        return Ok(Decision::reply(Reply::Hold { hold: Some(own.clone()) }));
    }
    let live = state.holds.iter().filter(|(name, hold)| hold.expires_ms > cx.now_ms && **name != holder).count();
    if live >= HOLDS_MAX {
        return Err(Rejection::conflict("too_many_holds", "too many slots are held at once; try again in a minute"));
    }
    let slot = choose(state, cx, Some(&holder), None, want, organization)?;
    let hold = Hold { slot, expires_ms: cx.now_ms + HOLD_MS };
    let reply = Reply::Hold { hold: Some(hold.clone()) };
    Ok(Decision::event(Event::Held { holder, hold }, reply))
}

fn book(
    state: &Calendar,
    cx: &Context,
    (appointment, n): (AppointmentId, u32),
    holder: Option<String>,
    want: &Want,
    organization: &Organization,
) -> Result<Decision, Rejection> {
    if let Some(own) = state.bookings.get(&appointment) {
        if own.n > n || own.released {
            return Err(Rejection::Superseded);
        }
        if own.n == n {
            return Ok(Decision::reply(Reply::Booked { slot: told(state, want, own.span.clone()) }));
        }
    }
    if state.bookings.len() >= BOOKINGS_MAX && !state.bookings.contains_key(&appointment) {
        return Err(Rejection::conflict("calendar_full", "this calendar holds as many appointments as it can"));
    }
    let held = holder
        .as_ref()
        .and_then(|holder| state.holds.get(holder))
        .filter(|hold| hold.expires_ms > cx.now_ms && fits(&hold.slot, want));
    let slot = match held {
        // What was held is theirs, also when the notice has become too short meanwhile.
        Some(hold) => hold.slot.clone(),
        None => choose(state, cx, holder.as_deref(), Some(&appointment), want, organization)?,
    };
    let holder = holder.filter(|holder| state.holds.contains_key(holder));
    let span = slot.span.clone();
    Ok(Decision::event(Event::Booked { appointment, n, holder, span }, Reply::Booked { slot }))
}

/// The free slot that a wish names: with the one wanted, or with whoever is free then and has least to do that day.
fn choose(
    state: &Calendar,
    cx: &Context,
    holder: Option<&str>,
    own: Option<&AppointmentId>,
    want: &Want,
    organization: &Organization,
) -> Result<Slot, Rejection> {
    let kind = state.settings.kind(want.kind.as_deref()).ok_or_else(|| unfit(Unfit::Kind))?;
    let people = slots::people(&state.settings, kind, want.provider.as_deref());
    if people.is_empty() {
        return Err(unfit(Unfit::Provider));
    }
    let taken = state.taken(cx.now_ms, holder, own);
    let mut why = None;
    let mut open = Vec::new();
    for provider in people {
        match slots::named(&state.settings, organization, want, provider, cx.now_ms) {
            Ok(slot) => open.push(slot),
            Err(problem) => why = Some(problem),
        }
    }
    if open.is_empty() {
        return Err(unfit(why.unwrap_or(Unfit::Closed)));
    }
    let busy = |slot: &Slot| taken.iter().filter(|span| span.provider == slot.span.provider).count();
    open.into_iter()
        .filter(|slot| !taken.iter().any(|span| span.collides(&slot.span)))
        .min_by_key(busy)
        .ok_or_else(|| Rejection::conflict(SLOT_TAKEN, "somebody else has this time by now; choose another one"))
}

/// Whether a slot is what a wish names.
fn fits(slot: &Slot, want: &Want) -> bool {
    slot.span.starts_ms == want.starts_ms
        && want.provider.as_ref().is_none_or(|provider| *provider == slot.span.provider)
        && want.kind.as_ref().is_none_or(|kind| *kind == slot.kind)
}

/// A booked stretch as it was answered first.
fn told(state: &Calendar, want: &Want, span: super::Span) -> Slot {
    let kind = state.settings.kind(want.kind.as_deref());
    Slot {
        kind: kind.map(|kind| kind.id.clone()).or_else(|| want.kind.clone()).unwrap_or_default(),
        kind_name: kind.map(|kind| kind.name.clone()).unwrap_or_default(),
        provider_name: state.settings.provider(&span.provider).map(|provider| provider.name.clone()),
        span,
    }
}

fn unfit(why: Unfit) -> Rejection {
    match why {
        Unfit::Kind => Rejection::invalid("type", "this calendar has no such type of appointment"),
        Unfit::Provider => Rejection::invalid("provider_id", "nobody of that name takes such appointments here"),
        Unfit::TooSoon => Rejection::conflict(SLOT_CLOSED, "this time is in the past or too near"),
        Unfit::TooFar => Rejection::conflict(SLOT_CLOSED, "this time is further ahead than appointments are made"),
        Unfit::Closed => Rejection::conflict(SLOT_CLOSED, "no appointment begins at this time"),
    }
}

/// The event, answered with the calendar as it is after it.
fn made(state: &Calendar, cx: &Context, event: Event) -> Result<Decision, Rejection> {
    let mut after = state.clone();
    apply(&mut after, &event, cx.seq + 1, cx.now_ms);
    Ok(Decision::event(event, Reply::Calendar(Box::new(after))))
}

fn need(cx: &Context, role: Role) -> Result<(), Rejection> {
    if cx.principal.at_least(role) {
        return Ok(());
    }
    let role = match role {
        Role::Viewer | Role::Rep => "rep",
        Role::Manager | Role::Admin | Role::Owner => "manager",
    };
    Err(Rejection::forbidden(format!("this needs the role {role} or above")))
}

fn system(cx: &Context) -> Result<(), Rejection> {
    match cx.principal.actor {
        Actor::System => Ok(()),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
            Err(Rejection::forbidden("this is done by the service itself"))
        }
    }
}
