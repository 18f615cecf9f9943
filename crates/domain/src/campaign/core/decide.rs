//! How a campaign decides: what people may order when, and what happens by itself.

use super::{
    super::{
        limits::{ABANDONED_PER_MILLE_MAX, ABANDONMENT_CALLS_MIN, REJECTED_TOLD_MAX, SLICE_TARGETS, TARGETS_MAX},
        settings::{CampaignType, Settings},
    },
    Campaign, Command, Decision, Event, Import, Imported, PauseReason, Progress, Reply, Source, Status,
};
use crate::{
    context::Context,
    principal::{Actor, Role},
    rejection::Rejection,
};

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &Campaign, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if !state.id.0.is_empty() {
        cx.bound_to(&state.tenant, "campaign")?;
    }
    match command {
        Command::Create { id, account, settings } => create(state, cx, id, account, &settings),
        // A deleted campaign still hears of its last calls.
        Command::Progress { slice, progress } if !state.id.0.is_empty() => {
            system(cx)?;
            Ok(progressed(state, cx, slice, progress))
        }
        Command::Forgotten if state.status == Status::Deleted => {
            system(cx)?;
            let event = (!state.forgotten).then_some(Event::Forgotten);
            Ok(Decision::new(event.into_iter().collect(), Reply::Done))
        }
        Command::Update { .. }
        | Command::Start
        | Command::Pause
        | Command::Resume
        | Command::Stop
        | Command::Delete
        | Command::Import { .. }
        | Command::Imported { .. }
        | Command::Progress { .. }
        | Command::Short { .. }
        | Command::Unmanned { .. }
        | Command::Tick
        | Command::Forgotten
        | Command::Recovered
        | Command::Get
            if !state.exists() =>
        {
            Err(Rejection::not_found("campaign"))
        }
        Command::Update { patch, account, if_version } => update(state, cx, &patch, account, if_version),
        Command::Start => start(state, cx),
        Command::Pause => pause(state, cx),
        Command::Resume => resume(state, cx),
        Command::Stop => stop(state, cx),
        Command::Delete => delete(state, cx),
        Command::Import { source } => import(state, cx, source),
        Command::Imported { n, attempt, slices, mut result } => {
            system(cx)?;
            if state.import.as_ref().is_none_or(|import| (import.n, import.attempt) != (n, attempt)) {
                return Err(Rejection::Superseded);
            }
            result.told.truncate(REJECTED_TOLD_MAX);
            Ok(Decision::event(Event::Imported { n, slices, result }, Reply::Done))
        }
        Command::Progress { .. } => Err(Rejection::not_found("campaign")),
        Command::Short { slice, need_micros } => {
            system(cx)?;
            Ok(Decision::new(short(state, slice, need_micros), Reply::Done))
        }
        Command::Unmanned { agent_id } => {
            system(cx)?;
            // Found for an agent that was replaced meanwhile, or while nobody is called anyway: no reason to pause.
            let now = state.status == Status::Running && state.settings.agent_id == agent_id;
            let paused_by = Some(PauseReason::Agent);
            let moved = Event::Moved { status: Status::Paused, paused_by, by: "system".to_owned() };
            Ok(Decision::new(now.then_some(moved).into_iter().collect(), Reply::Done))
        }
        Command::Forgotten => Err(Rejection::Superseded),
        Command::Tick => {
            system(cx)?;
            Ok(Decision::new(tick(state, cx.now_ms), Reply::Done))
        }
        Command::Recovered => {
            system(cx)?;
            let again = state.import.as_ref().map(|import| Event::Importing {
                import: Box::new(Import { attempt: import.attempt + 1, ..import.clone() }),
            });
            Ok(Decision::new(again.into_iter().collect(), Reply::Done))
        }
        Command::Get => {
            if cx.principal.at_least(Role::Viewer) {
                Ok(Decision::reply(Reply::State(Box::new(state.clone()))))
            } else {
                Err(Rejection::not_found("campaign"))
            }
        }
    }
}

/// Who gives orders: a manager, or a program with that role.
fn manager(cx: &Context) -> Result<String, Rejection> {
    let by = match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => id.0.clone(),
        Actor::ApiKey { id, .. } => format!("key:{id}"),
        Actor::System => "system".to_owned(),
        Actor::Visitor { .. } => return Err(Rejection::not_found("campaign")),
    };
    if cx.principal.at_least(Role::Manager) {
        Ok(by)
    } else {
        Err(Rejection::forbidden("this needs the role manager or above"))
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

fn create(
    state: &Campaign,
    cx: &Context,
    id: crate::ids::CampaignId,
    account: String,
    settings: &serde_json::Value,
) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    if !state.id.0.is_empty() {
        return Ok(Decision::reply(Reply::Done));
    }
    let settings = Box::new(Settings::default().patched(settings)?);
    let tenant = cx.principal.tenant.clone();
    Ok(Decision::event(Event::Created { id, tenant, by, account, settings }, Reply::Done))
}

fn update(
    state: &Campaign,
    cx: &Context,
    patch: &serde_json::Value,
    account: String,
    if_version: Option<u64>,
) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    if if_version.is_some_and(|version| version != state.settings_version) {
        return Err(Rejection::Stale { current: state.settings_version.into() });
    }
    match state.status {
        Status::Draft | Status::Scheduled | Status::Running | Status::Paused => {}
        Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => {
            return Err(ended());
        }
    }
    let settings = Box::new(state.settings.patched(patch)?);
    // Its calls under way are the old account's, whose pacer counts them.
    if account != state.account && state.progress().trying > 0 {
        return Err(Rejection::conflict(
            "calls_open",
            "numbers of another account can be set once the calls that are going on have ended; pause the campaign first",
        ));
    }
    if *settings == state.settings && account == state.account {
        return Ok(Decision::reply(Reply::Done));
    }
    let version = state.settings_version + 1;
    Ok(Decision::event(Event::Updated { by, account, settings, version }, Reply::Done))
}

fn start(state: &Campaign, cx: &Context) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    match state.status {
        Status::Draft => {}
        Status::Scheduled | Status::Running => return Ok(Decision::reply(Reply::Done)),
        Status::Paused => {
            return Err(Rejection::conflict("campaign_paused", "the campaign is paused; resume it instead"));
        }
        Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => {
            return Err(ended());
        }
    }
    let settings = &state.settings;
    if settings.from_numbers.is_empty() || state.account.is_empty() {
        return Err(Rejection::conflict("no_number", "set the number that calls come from before the campaign starts"));
    }
    if state.import.is_some() {
        return Err(Rejection::conflict(
            "importing",
            "targets are still being read; start the campaign when that is done",
        ));
    }
    if state.slices.is_empty() && settings.kind == CampaignType::Outbound {
        return Err(Rejection::conflict("no_targets", "add targets before the campaign starts"));
    }
    if settings.deadline.is_some_and(|end| end.ms <= cx.now_ms) {
        return Err(Rejection::conflict("deadline_passed", "the deadline has passed; set a later one"));
    }
    let later = settings.starts_at.is_some_and(|at| at.ms > cx.now_ms);
    let status = if later { Status::Scheduled } else { Status::Running };
    Ok(Decision::event(Event::Moved { status, paused_by: None, by }, Reply::Done))
}

fn pause(state: &Campaign, cx: &Context) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    match state.status {
        Status::Running => {
            let paused_by = Some(PauseReason::Person);
            Ok(Decision::event(Event::Moved { status: Status::Paused, paused_by, by }, Reply::Done))
        }
        // Called off before it began.
        Status::Scheduled => {
            Ok(Decision::event(Event::Moved { status: Status::Draft, paused_by: None, by }, Reply::Done))
        }
        Status::Paused => Ok(Decision::reply(Reply::Done)),
        Status::Draft => Err(Rejection::conflict("campaign_not_running", "the campaign has not begun")),
        Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => Err(ended()),
    }
}

fn resume(state: &Campaign, cx: &Context) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    match state.status {
        Status::Paused => {}
        Status::Running => return Ok(Decision::reply(Reply::Done)),
        Status::Draft | Status::Scheduled => {
            return Err(Rejection::conflict("campaign_not_running", "the campaign has not begun; start it instead"));
        }
        Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => {
            return Err(ended());
        }
    }
    if over_budget(state) {
        return Err(Rejection::conflict("budget_used", "the budget is used up; raise it and resume"));
    }
    Ok(Decision::event(Event::Moved { status: Status::Running, paused_by: None, by }, Reply::Done))
}

fn stop(state: &Campaign, cx: &Context) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    match state.status {
        Status::Draft | Status::Scheduled | Status::Running | Status::Paused => {
            Ok(Decision::new(moved_and_ended(state, Status::Stopping, None, &by), Reply::Done))
        }
        Status::Stopping | Status::Stopped | Status::Completed => Ok(Decision::reply(Reply::Done)),
        Status::Deleting | Status::Deleted => Err(ended()),
    }
}

fn delete(state: &Campaign, cx: &Context) -> Result<Decision, Rejection> {
    let by = manager(cx)?;
    match state.status {
        Status::Deleting | Status::Deleted => Ok(Decision::reply(Reply::Done)),
        Status::Draft
        | Status::Scheduled
        | Status::Running
        | Status::Paused
        | Status::Stopping
        | Status::Stopped
        | Status::Completed => Ok(Decision::new(moved_and_ended(state, Status::Deleting, None, &by), Reply::Done)),
    }
}

/// Towards an end, and at once to it if nothing is left to wait for.
fn moved_and_ended(state: &Campaign, status: Status, why: Option<PauseReason>, by: &str) -> Vec<Event> {
    let moved = |status, by: &str| Event::Moved { status, paused_by: why, by: by.to_owned() };
    let mut events = vec![moved(status, by)];
    if let Some(end) = all_done(state).then(|| end_of(status, why)).flatten() {
        events.push(moved(end, "system"));
    }
    events
}

fn import(state: &Campaign, cx: &Context, source: Source) -> Result<Decision, Rejection> {
    manager(cx)?;
    match state.status {
        Status::Draft | Status::Scheduled | Status::Running | Status::Paused => {}
        Status::Stopping | Status::Stopped | Status::Completed | Status::Deleting | Status::Deleted => {
            return Err(ended());
        }
    }
    if state.import.is_some() {
        return Err(Rejection::conflict("importing", "another list is being read; wait until it is done"));
    }
    if state.progress().targets >= i64::from(TARGETS_MAX) {
        return Err(Rejection::LimitReached {
            limit: "targets".to_owned(),
            detail: format!("a campaign has at most {TARGETS_MAX} targets; begin another one"),
        });
    }
    let full = i64::try_from(SLICE_TARGETS).unwrap_or(i64::MAX);
    let (first_slice, in_first) = match state.slices.last() {
        Some(last) if last.targets < full => (state.slices.len() - 1, last.targets),
        Some(_) | None => (state.slices.len(), 0),
    };
    let import = Box::new(Import {
        n: state.imports + 1,
        attempt: 1,
        source,
        first_slice: u32::try_from(first_slice).unwrap_or(u32::MAX),
        in_first: u32::try_from(in_first).unwrap_or(0),
    });
    let reply = Reply::Import { n: import.n };
    Ok(Decision::event(Event::Importing { import }, reply))
}

fn progressed(state: &Campaign, cx: &Context, slice: u32, progress: Progress) -> Decision {
    let known = usize::try_from(slice).ok().and_then(|at| state.slices.get(at));
    if known.is_some_and(|known| known.seq >= progress.seq) {
        return Decision::reply(Reply::Done);
    }
    let event = Event::Progressed { slice, progress };
    let mut after = state.clone();
    super::apply(&mut after, &event, state.seq + 1, cx.now_ms);
    let mut events = vec![event];
    let moved = |status, paused_by| Event::Moved { status, paused_by, by: "system".to_owned() };
    let finished = all_done(&after);
    match after.status {
        // What comes in goes on; an import may still bring some.
        Status::Running | Status::Paused
            if finished && after.import.is_none() && after.settings.kind == CampaignType::Outbound =>
        {
            events.push(moved(Status::Completed, None));
        }
        Status::Stopping | Status::Deleting if finished => {
            events.extend(end_of(after.status, after.paused_by).map(|end| moved(end, after.paused_by)));
        }
        Status::Running if over_budget(&after) => events.push(moved(Status::Paused, Some(PauseReason::Budget))),
        Status::Running if abandons(&after, state) => {
            events.push(moved(Status::Paused, Some(PauseReason::Abandonment)));
        }
        Status::Draft
        | Status::Scheduled
        | Status::Running
        | Status::Paused
        | Status::Stopping
        | Status::Stopped
        | Status::Completed
        | Status::Deleting
        | Status::Deleted => {}
    }
    Decision::new(events, Reply::Done)
}

fn tick(state: &Campaign, now_ms: i64) -> Vec<Event> {
    let due = super::timer(state).is_some_and(|at_ms| at_ms <= now_ms);
    match state.status {
        Status::Scheduled if due => {
            vec![Event::Moved { status: Status::Running, paused_by: None, by: "system".to_owned() }]
        }
        Status::Running | Status::Paused if due => {
            moved_and_ended(state, Status::Stopping, Some(PauseReason::Deadline), "system")
        }
        Status::Draft
        | Status::Scheduled
        | Status::Running
        | Status::Paused
        | Status::Stopping
        | Status::Stopped
        | Status::Completed
        | Status::Deleting
        | Status::Deleted => Vec::new(),
    }
}

fn all_done(state: &Campaign) -> bool {
    state.slices.iter().all(|slice| slice.done == slice.targets)
}

fn end_of(status: Status, why: Option<PauseReason>) -> Option<Status> {
    match status {
        // It came to the end that it was given.
        Status::Stopping if why == Some(PauseReason::Deadline) => Some(Status::Completed),
        Status::Stopping => Some(Status::Stopped),
        Status::Deleting => Some(Status::Deleted),
        Status::Draft
        | Status::Scheduled
        | Status::Running
        | Status::Paused
        | Status::Stopped
        | Status::Completed
        | Status::Deleted => None,
    }
}

fn over_budget(state: &Campaign) -> bool {
    state.settings.budget.is_some_and(|budget| state.progress().cost_micros >= budget.micros)
}

/// What others have left over goes to a slice that can call nobody any more; when that is not enough for one call, the budget is used up.
fn short(state: &Campaign, slice: u32, need_micros: i64) -> Vec<Event> {
    if state.status != Status::Running {
        return Vec::new();
    }
    let at = usize::try_from(slice).unwrap_or(usize::MAX);
    let Some(share) = state.share_micros(at) else { return Vec::new() };
    let spent = state.slices.get(at).map_or(0, |own| own.cost_micros.saturating_add(own.owed_micros));
    if state.slices.len() > 1 && share.saturating_sub(spent) >= need_micros {
        return vec![Event::Shared];
    }
    vec![Event::Moved { status: Status::Paused, paused_by: Some(PauseReason::Budget), by: "system".to_owned() }]
}

/// Whether the rate of abandoned calls is too high, and one more was just added: who resumes a campaign is not paused again for the same calls.
fn abandons(after: &Campaign, before: &Campaign) -> bool {
    let (connected, abandoned) = after.abandonment();
    let more = after.progress().abandoned > before.progress().abandoned;
    more && connected >= ABANDONMENT_CALLS_MIN && abandoned * 1000 > connected * ABANDONED_PER_MILLE_MAX
}

fn ended() -> Rejection {
    Rejection::conflict("campaign_ended", "the campaign has ended; begin another one")
}

/// An import that read nothing.
impl Imported {
    /// Why.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { failed: Some(why.into()), ..Self::default() }
    }
}
