//! Getting back to a lead by mail: queued with the words, sent once by the letter's key, and then the lead counts as followed up.

use serde::{Deserialize, Serialize};

use super::{Decision, Effect, Event, Reply, State, decide::who_works};
use crate::{
    context::Context,
    local_time::rfc3339,
    rejection::{FieldError, Rejection},
    text,
};

/// Follow-ups kept of one lead; the journal has the rest.
pub const FOLLOW_UPS_MAX: usize = 50;
/// Characters of a letter.
const CONTENT_CHARS_MAX: usize = 10_000;
/// Characters of its subject.
const SUBJECT_CHARS_MAX: usize = 180;
/// Characters of a failure's reason.
const REASON_CHARS_MAX: usize = 300;

/// Where a follow-up stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// To be sent.
    Queued,
    /// Handed over.
    Sent,
    /// Not sent, and not tried again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A letter to a lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// Its id, also the letter's key.
    pub id: String,
    /// To which address.
    pub to: String,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub content: String,
    /// Who wrote it.
    pub by: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// Where it stands.
    pub standing: Standing,
}

/// A follow-up as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUpView {
    /// Its id.
    pub id: String,
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub content: String,
    /// Who wrote it.
    pub by: String,
    /// When.
    pub created_at: String,
    /// `queued`, `sent` or `failed`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
}

/// What people see of a follow-up.
pub fn shown(of: &FollowUp) -> FollowUpView {
    let (status, error) = match &of.standing {
        Standing::Queued => ("queued", None),
        Standing::Sent => ("sent", None),
        Standing::Failed { reason } => ("failed", Some(reason.clone())),
    };
    FollowUpView {
        id: of.id.clone(),
        subject: of.subject.clone(),
        content: of.content.clone(),
        by: of.by.clone(),
        created_at: rfc3339(of.at_ms),
        status: status.to_owned(),
        error,
    }
}

/// A person writes to the lead.
pub(super) fn queue(state: &State, cx: &Context, subject: &str, content: &str) -> Result<Decision, Rejection> {
    let by = who_works(cx)?;
    let mut errors = Vec::new();
    for (field, value, max) in [("subject", subject, SUBJECT_CHARS_MAX), ("content", content, CONTENT_CHARS_MAX)] {
        if value.trim().is_empty() || value.chars().count() > max {
            errors.push(FieldError::new(field, format!("1 to {max} characters")));
        }
    }
    if !errors.is_empty() {
        return Err(Rejection::Invalid { errors });
    }
    let to = super::view(state)
        .and_then(|lead| lead.email)
        .ok_or_else(|| Rejection::conflict("no_address", "This lead has no e-mail address."))?;
    if state.follow_ups.len() >= FOLLOW_UPS_MAX
        && state.follow_ups.iter().all(|known| known.standing == Standing::Queued)
    {
        let waiting = format!("{FOLLOW_UPS_MAX} letters to this lead are not sent yet. Write again when they are.");
        return Err(Rejection::conflict("too_many_waiting", waiting));
    }
    let id = cx.fresh_id(0);
    let follow_up = FollowUp {
        id: id.clone(),
        to,
        subject: text::one_line(subject),
        content: content.trim().to_owned(),
        by,
        at_ms: cx.now_ms,
        standing: Standing::Queued,
    };
    Ok(Decision::event(Event::FollowUpQueued { follow_up: Box::new(follow_up) }, Reply::FollowUp { id }))
}

/// What became of it.
pub(super) fn done(state: &State, id: &str, error: Option<String>) -> Result<Decision, Rejection> {
    let known = state.follow_ups.iter().find(|known| known.id == id);
    match known.map(|known| &known.standing) {
        Some(Standing::Queued) => {
            let error = error.map(|error| text::shorten(&text::one_line(&error), REASON_CHARS_MAX));
            Ok(Decision::event(Event::FollowUpDone { id: id.to_owned(), error }, Reply::Done))
        }
        Some(Standing::Sent | Standing::Failed { .. }) => Ok(Decision::reply(Reply::Done)),
        None => Err(Rejection::Superseded),
    }
}

/// Letters to be sent.
pub(super) fn pending(state: &State) -> impl Iterator<Item = (String, u32, Effect)> {
    state.follow_ups.iter().filter(|follow_up| follow_up.standing == Standing::Queued).map(|follow_up| {
        (format!("follow_up:{}", follow_up.id), 1, Effect::Mail { follow_up: Box::new(follow_up.clone()) })
    })
}

/// Folds what became of it.
pub(super) fn settle(state: &mut State, id: &str, error: Option<&String>) {
    if let Some(known) = state.follow_ups.iter_mut().find(|known| known.id == id) {
        known.standing = match error {
            None => Standing::Sent,
            Some(reason) => Standing::Failed { reason: reason.clone() },
        };
    }
}

/// Folds a new one.
pub(super) fn add(state: &mut State, follow_up: FollowUp) {
    if state.follow_ups.len() >= FOLLOW_UPS_MAX {
        // One that is not sent yet is never dropped: a new one is refused while there are only such.
        let sent = state.follow_ups.iter().position(|known| known.standing != Standing::Queued);
        state.follow_ups.remove(sent.unwrap_or(0));
    }
    state.follow_ups.push(follow_up);
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, captured};
    use super::*;
    use crate::{
        lead::{Command, pending as all_pending},
        principal::{Actor, Role},
    };

    fn rep() -> Actor {
        Actor::User { id: "u".into(), role: Role::Rep, name: "Rita".into() }
    }

    fn mails(state: &State) -> Vec<String> {
        let mail = |(name, _, effect)| match effect {
            Effect::Mail { .. } => Some(name),
            Effect::Route { .. } => None,
        };
        all_pending(state).into_iter().filter_map(mail).collect()
    }

    #[test]
    fn letters_that_wait_are_never_dropped_for_a_new_one() {
        let mut state = captured(Some("ann@example.com"));
        let write = || Command::FollowUp { subject: "Your quote".into(), content: "Here it is.".into() };
        for _ in 0..FOLLOW_UPS_MAX {
            ask(&mut state, rep(), write()).expect("queued");
        }
        let first = state.follow_ups[0].clone();
        let refused = ask(&mut state, rep(), write()).expect_err("all wait");
        assert!(matches!(refused, Rejection::Conflict { ref code, .. } if code == "too_many_waiting"), "{refused}");
        assert_eq!((mails(&state).len(), &state.follow_ups[0]), (FOLLOW_UPS_MAX, &first));
        ask(&mut state, Actor::System, Command::FollowUpDone { id: first.id, error: None }).expect("sent");
        ask(&mut state, rep(), write()).expect("room again");
        assert_eq!((state.follow_ups.len(), mails(&state).len()), (FOLLOW_UPS_MAX, FOLLOW_UPS_MAX));
    }

    #[test]
    fn a_letter_is_queued_sent_once_and_the_lead_is_followed_up() {
        let mut state = captured(Some("ann@example.com"));
        let write = Command::FollowUp { subject: "Your quote".into(), content: "Here it is.".into() };
        let viewer = Actor::User { id: "v".into(), role: Role::Viewer, name: "V".into() };
        assert!(matches!(ask(&mut state, viewer, write.clone()), Err(Rejection::Forbidden { .. })));
        let Ok(Reply::FollowUp { id }) = ask(&mut state, rep(), write) else { panic!("not queued") };
        assert_eq!(mails(&state), [format!("follow_up:{id}")]);
        assert!(!state.followed_up, "not before it is sent");
        let done = Command::FollowUpDone { id: id.clone(), error: None };
        assert!(ask(&mut state, rep(), done.clone()).is_err(), "nobody says so but the service");
        ask(&mut state, Actor::System, done.clone()).expect("sent");
        assert!(state.followed_up && mails(&state).is_empty());
        let seq = state.seq;
        ask(&mut state, Actor::System, done).expect("again");
        assert_eq!(state.seq, seq);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_or_fails_with_its_reason() {
        let mut state = captured(None);
        let write =
            |subject: &str, content: &str| Command::FollowUp { subject: subject.into(), content: content.into() };
        let refused = ask(&mut state, rep(), write("s", "c"));
        assert!(matches!(refused, Err(Rejection::Conflict { code, .. }) if code == "no_address"));
        assert!(
            matches!(ask(&mut state, rep(), write(" ", "")), Err(Rejection::Invalid { errors }) if errors.len() == 2)
        );
        let mut state = captured(Some("ann@example.com"));
        let Ok(Reply::FollowUp { id }) = ask(&mut state, rep(), write("s", "c")) else { panic!("not queued") };
        ask(&mut state, Actor::System, Command::FollowUpDone { id, error: Some("do_not_contact".into()) })
            .expect("told");
        assert!(!state.followed_up);
        assert_eq!(shown(&state.follow_ups[0]).error.as_deref(), Some("do_not_contact"));
    }
}
