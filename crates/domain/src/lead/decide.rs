//! How a lead changes: captured and learned from its source, worked on by people, routed by rules.

use std::collections::BTreeMap;

use super::{Capture, Command, Decision, Event, NOTES_CHARS_MAX, Reply, State, Update, follow_up};
use crate::{
    catalog::scoring::Scoring,
    context::Context,
    principal::{Actor, Role},
    rejection::{FieldError, Rejection},
    text,
    vocabulary::LeadStatus,
};

/// Values that people may set on one lead.
const FIELDS_MAX: usize = 60;
/// Characters of a value that people set.
const VALUE_CHARS_MAX: usize = 2_000;

/// Decides a command. `scoring` gives the points; the score that was decided travels in the event.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &State, cx: &Context, command: Command, scoring: &Scoring) -> Result<Decision, Rejection> {
    if state.exists() {
        cx.bound_to(&state.tenant, "lead")?;
    }
    match command {
        Command::Capture { id, capture } => {
            system(cx)?;
            Ok(captured(state, cx, id, capture, scoring))
        }
        Command::Qualify { .. }
        | Command::Update(_)
        | Command::FollowUp { .. }
        | Command::FollowUpDone { .. }
        | Command::Routed { .. }
        | Command::Get
            if !state.exists() =>
        {
            Err(Rejection::not_found("lead"))
        }
        Command::Qualify { answers } => {
            system(cx)?;
            Ok(qualified(state, answers))
        }
        Command::Update(update) => updated(state, cx, *update),
        Command::FollowUp { subject, content } => follow_up::queue(state, cx, &subject, &content),
        Command::FollowUpDone { id, error } => {
            system(cx)?;
            follow_up::done(state, &id, error)
        }
        Command::Routed { routing, assignment } => {
            system(cx)?;
            if routing != state.routing_wanted || routing <= state.routing_done {
                return Err(Rejection::Superseded);
            }
            Ok(Decision::event(Event::Routed { routing, assignment }, Reply::Done))
        }
        Command::Get => match cx.principal.actor {
            Actor::Visitor { .. } => Err(Rejection::not_found("lead")),
            Actor::User { .. } | Actor::ApiKey { .. } | Actor::Platform { .. } | Actor::System => {
                Ok(Decision::reply(Reply::State(Box::new(state.clone()))))
            }
        },
    }
}

/// Folds one event. Cannot fail.
pub fn apply(state: &mut State, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Captured { id, tenant, capture, score, routing } => {
            state.id = id.clone();
            state.tenant = tenant.clone();
            state.created_at_ms = at_ms;
            state.capture = Some((**capture).clone());
            state.score = score.score;
            state.score_reasons.clone_from(&score.reasons);
            state.routing_wanted = *routing;
        }
        Event::Learned { capture, score, routing } => {
            state.capture = Some((**capture).clone());
            state.score = score.score;
            state.score_reasons.clone_from(&score.reasons);
            state.routing_wanted = *routing;
        }
        Event::Qualified { answers, routing } => {
            state.answers.extend(answers.clone());
            state.routing_wanted = *routing;
        }
        Event::Updated { update, .. } => change(state, update, at_ms),
        Event::FollowUpQueued { follow_up } => follow_up::add(state, (**follow_up).clone()),
        Event::FollowUpDone { id, error } => {
            follow_up::settle(state, id, error.as_ref());
            if error.is_none() {
                change(state, &Update { followed_up: Some(true), ..Update::default() }, at_ms);
            }
        }
        Event::Routed { routing, assignment } => {
            state.routing_done = *routing;
            if !state.assigned_by_person {
                state.assigned_to.clone_from(&assignment.user);
                state.assignment = Some(assignment.clone());
            }
        }
    }
    state.updated_at_ms = at_ms;
    state.seq = seq;
}

fn captured(state: &State, cx: &Context, id: crate::ids::LeadId, capture: Box<Capture>, scoring: &Scoring) -> Decision {
    let score = scoring.score(&capture.evidence);
    let Some(known) = &state.capture else {
        let tenant = cx.principal.tenant.clone();
        return Decision::event(Event::Captured { id, tenant, capture, score, routing: 1 }, Reply::Done);
    };
    if *known == *capture && state.score == score.score && state.score_reasons == score.reasons {
        return Decision::reply(Reply::Done);
    }
    // A lead nobody has touched is routed again when what the rules look at has changed: the trade is often known only later.
    let moves = state.status == LeadStatus::New
        && !state.assigned_by_person
        && (known.fields != capture.fields || known.urgency != capture.urgency);
    let routing = state.routing_wanted + u32::from(moves);
    Decision::event(Event::Learned { capture, score, routing }, Reply::Done)
}

/// What was answered in a call; a lead nobody has touched is routed again, because rules may look at it.
fn qualified(state: &State, answers: BTreeMap<String, String>) -> Decision {
    let answers: BTreeMap<String, String> = answers
        .into_iter()
        .map(|(name, value)| (name, text::shorten(&value, VALUE_CHARS_MAX)))
        .filter(|(name, value)| state.answers.get(name) != Some(value))
        .collect();
    if answers.is_empty() || state.answers.len() + answers.len() > FIELDS_MAX {
        return Decision::reply(Reply::Done);
    }
    let moves = state.status == LeadStatus::New && !state.assigned_by_person;
    let routing = state.routing_wanted + u32::from(moves);
    Decision::event(Event::Qualified { answers, routing }, Reply::Done)
}

/// The name of who works on the lead, as its history has it. To a visitor there is no lead.
pub(super) fn who_works(cx: &Context) -> Result<String, Rejection> {
    let by = match &cx.principal.actor {
        Actor::User { id, .. } | Actor::Platform { id } => id.0.clone(),
        Actor::ApiKey { id, .. } => format!("key:{id}"),
        Actor::System => "system".to_owned(),
        Actor::Visitor { .. } => return Err(Rejection::not_found("lead")),
    };
    if !cx.principal.at_least(Role::Rep) {
        return Err(Rejection::forbidden("this needs the role rep or above"));
    }
    Ok(by)
}

fn updated(state: &State, cx: &Context, mut update: Update) -> Result<Decision, Rejection> {
    let by = who_works(cx)?;
    let mut errors = Vec::new();
    if update.notes.as_ref().is_some_and(|notes| notes.chars().count() > NOTES_CHARS_MAX) {
        errors.push(FieldError::new("notes", format!("at most {NOTES_CHARS_MAX} characters")));
    }
    if state.edited.len() + update.fields.len() > FIELDS_MAX {
        errors.push(FieldError::new("fields", format!("at most {FIELDS_MAX} fields")));
    }
    for (name, value) in &mut update.fields {
        *value = value.trim().to_owned();
        let problem = match name.as_str() {
            _ if value.chars().count() > VALUE_CHARS_MAX => Some(format!("at most {VALUE_CHARS_MAX} characters")),
            "email" if !value.is_empty() => match text::valid_email(value) {
                Some(email) => {
                    *value = email;
                    None
                }
                None => Some("an e-mail address such as name@example.com".to_owned()),
            },
            "phone" if !value.is_empty() => match text::only_phone(value) {
                Ok(phone) => {
                    *value = phone;
                    None
                }
                Err(problem) => Some(problem.to_string()),
            },
            _ => None,
        };
        errors.extend(problem.map(|problem| FieldError::new(name.clone(), problem)));
    }
    if !errors.is_empty() {
        return Err(Rejection::Invalid { errors });
    }
    let mut after = state.clone();
    change(&mut after, &update, cx.now_ms);
    if after == *state {
        return Ok(Decision::reply(Reply::Done));
    }
    Ok(Decision::event(Event::Updated { update: Box::new(update), by }, Reply::Done))
}

fn change(state: &mut State, update: &Update, at_ms: i64) {
    if let Some(status) = update.status {
        state.status = status;
    }
    if let Some(notes) = &update.notes {
        state.notes.clone_from(notes);
    }
    if let Some(user) = &update.assigned_to {
        state.assigned_to = Some(user.clone()).filter(|user| !user.0.is_empty());
        state.assigned_by_person = true;
    }
    if let Some(followed_up) = update.followed_up
        && followed_up != state.followed_up
    {
        state.followed_up = followed_up;
        state.followed_up_at_ms = followed_up.then_some(at_ms);
        if followed_up && state.status == LeadStatus::New {
            state.status = LeadStatus::Contacted;
        }
    }
    for (name, value) in &update.fields {
        if value.is_empty() {
            state.edited.remove(name);
        } else {
            state.edited.insert(name.clone(), value.clone());
        }
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
