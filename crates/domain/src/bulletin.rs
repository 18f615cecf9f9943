//! The bulletin entity: what an organization's people are told of, newest last. It holds no words of anybody: who reads a notice is shown what it
//! tells of as it is then, so nothing outlives what it tells of.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call;
use crate::context::Context;
use crate::conversation;
use crate::decision::Decision;
use crate::ids::{AgentId, CallId, ConversationId, LeadId, TenantId, UserId};
use crate::knowledge;
use crate::lead;
use crate::principal::{Actor, Role};
use crate::rejection::Rejection;
use crate::tenant;
use crate::vocabulary::Urgency;

/// The entity's kind in keys; there is one per tenant.
pub const KIND: &str = "bulletin";
/// Its id.
pub const ID: &str = "main";
/// Notices that are kept: days of a busy organization. Whoever looks further back looks at the lists themselves.
pub const KEPT_MAX: usize = 500;
/// Notices that are handed on for mail without news of it for this long are handed on again: it takes a call to each member.
pub const POST_WITHIN_MS: i64 = 60 * 1000;
/// How late a notice may still be mailed, a day: what a node that was away for longer missed is old news.
pub const MAILED_WITHIN_MS: i64 = 24 * 60 * 60 * 1000;

/// What a notice is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A conversation asks for a person.
    Escalation,
    /// Somebody is in danger.
    Emergency,
    /// A conversation or lead was given to somebody.
    Assigned,
    /// A new lead.
    Lead,
    /// A question that nobody could answer.
    Unanswered,
    /// An agent could not learn from a source.
    TrainingFailed,
    /// Somebody called, and nobody answered.
    MissedCall,
    /// Somebody joined by an invitation.
    InvitationAccepted,
    /// The daily summary.
    Summary,
}

impl Kind {
    /// Its word in the contract and in preferences.
    pub fn word(self) -> &'static str {
        match self {
            Self::Escalation => "escalation",
            Self::Emergency => "emergency",
            Self::Assigned => "assigned",
            Self::Lead => "lead",
            Self::Unanswered => "unanswered",
            Self::TrainingFailed => "training_failed",
            Self::MissedCall => "missed_call",
            Self::InvitationAccepted => "invitation_accepted",
            Self::Summary => "summary",
        }
    }

    /// The lowest role that is told.
    fn role(self) -> Role {
        match self {
            Self::Escalation | Self::Emergency | Self::Assigned | Self::Lead | Self::MissedCall | Self::Summary => {
                Role::Viewer
            }
            Self::Unanswered | Self::TrainingFailed => Role::Rep,
            Self::InvitationAccepted => Role::Admin,
        }
    }
}

/// What a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", content = "id", rename_all = "snake_case")]
pub enum About {
    /// A conversation.
    Conversation(ConversationId),
    /// A lead.
    Lead(LeadId),
    /// An agent.
    Agent(AgentId),
    /// A member.
    Member(UserId),
    /// A call.
    Call(CallId),
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// What for.
    pub kind: Kind,
    /// What about.
    pub about: About,
    /// The only person to tell; everybody of a sufficient role if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<UserId>,
}

/// Something that was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its place in the journal, which also names it.
    pub seq: u64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What.
    pub news: News,
}

impl Notice {
    /// Whether somebody of this role is told.
    pub fn is_for(&self, user: &UserId, role: Role) -> bool {
        match &self.news.to {
            Some(to) => to == user,
            None => role >= self.news.kind.role(),
        }
    }
}

/// What an organization's people are told of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bulletin {
    /// The organization; empty before there is news.
    pub tenant: TenantId,
    /// Oldest first.
    pub notices: VecDeque<Notice>,
    /// Notices up to this one were handed on for mail.
    pub posted: u64,
    /// Which try at handing on the others this is.
    pub attempt: u32,
    /// When they are handed on again, Unix milliseconds; none while there are none.
    pub deadline_ms: Option<i64>,
}

/// What may be asked; only by the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Something is to be told.
    Tell {
        /// What.
        news: News,
    },
    /// All that is kept.
    Notices,
    /// Notices were handed on for mail.
    Posted {
        /// Up to which.
        upto: u64,
        /// By which try.
        attempt: u32,
    },
    /// A deadline came.
    Tick,
    /// Tasks were lost.
    Recovered,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Something was told.
    Told {
        /// The organization.
        #[serde(default)]
        tenant: TenantId,
        /// What.
        news: News,
    },
    /// Notices were handed on for mail.
    Posted {
        /// Up to which.
        upto: u64,
    },
    /// They are handed on again.
    Retried {
        /// When it is tried once more without news.
        deadline_ms: i64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// All that is kept, oldest first.
    Notices {
        /// Them.
        notices: Vec<Notice>,
    },
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Hand notices on to the letters of the members who want them by mail. Repeatable: who has heard of one does not hear it again.
    Post {
        /// Which try.
        attempt: u32,
        /// The notices, oldest first.
        notices: Vec<Notice>,
    },
}

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself: who may see which notice is decided where they are shown. `Superseded` for the news of an older try.
pub fn decide(state: &Bulletin, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found(KIND));
    }
    match command {
        Command::Tell { news } => {
            Ok(Decision::event(Event::Told { tenant: cx.principal.tenant.clone(), news }, Reply::Done))
        }
        Command::Notices => Ok(Decision::reply(Reply::Notices { notices: state.notices.iter().cloned().collect() })),
        Command::Posted { upto, attempt } if attempt == state.attempt && upto > state.posted => {
            Ok(Decision::event(Event::Posted { upto }, Reply::Done))
        }
        Command::Posted { .. } => Err(Rejection::Superseded),
        Command::Tick if on_timer(state, cx.now_ms).is_none() => Ok(Decision::reply(Reply::Done)),
        Command::Tick | Command::Recovered => {
            Ok(Decision::event(Event::Retried { deadline_ms: cx.now_ms + POST_WITHIN_MS }, Reply::Done))
        }
    }
}

/// What is still to be done.
pub fn pending(state: &Bulletin) -> Vec<(String, u32, Effect)> {
    let notices: Vec<Notice> = state.notices.iter().filter(|notice| notice.seq > state.posted).cloned().collect();
    // What was told before notices were mailed names no organization, and is not mailed.
    if notices.is_empty() || state.tenant.0.is_empty() {
        return Vec::new();
    }
    vec![(format!("post:{}", state.posted), state.attempt, Effect::Post { attempt: state.attempt, notices })]
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Bulletin) -> Option<i64> {
    state.deadline_ms
}

/// The command a due timer turns into.
pub fn on_timer(state: &Bulletin, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Bulletin) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

/// Folds one event.
pub fn apply(state: &mut Bulletin, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Told { tenant, news } => {
            state.tenant.clone_from(tenant);
            state.notices.push_back(Notice { seq, at_ms, news: news.clone() });
            if state.notices.len() > KEPT_MAX {
                state.notices.pop_front();
            }
            // In a journal from before notices were mailed nobody says that they were.
            if !tenant.0.is_empty() && state.deadline_ms.is_none() {
                state.deadline_ms = Some(at_ms + POST_WITHIN_MS);
            }
        }
        Event::Posted { upto } => {
            state.posted = *upto;
            let more = state.notices.iter().any(|notice| notice.seq > state.posted);
            state.deadline_ms = more.then_some(at_ms + POST_WITHIN_MS);
        }
        Event::Retried { deadline_ms } => {
            state.attempt += 1;
            state.deadline_ms = Some(*deadline_ms);
        }
    }
}

fn everybody(kind: Kind, about: About) -> Option<News> {
    Some(News { kind, about, to: None })
}

/// What an event of a conversation is to be told of. A sandbox tells nobody anything; a trial only whom somebody gave it to.
pub fn of_conversation(state: &conversation::State, event: &conversation::Event) -> Option<News> {
    if state.sandbox {
        return None;
    }
    let about = || About::Conversation(state.id.clone());
    match event {
        conversation::Event::Escalated { escalation }
            if conversation::calls_a_person(escalation.action) && !state.is_tried() =>
        {
            let kind = if state.urgency == Urgency::Emergency { Kind::Emergency } else { Kind::Escalation };
            everybody(kind, about())
        }
        conversation::Event::Assigned { to: Some(to) } => {
            Some(News { kind: Kind::Assigned, about: about(), to: Some(to.clone()) })
        }
        _ => None,
    }
}

/// What an event of a lead is to be told of.
pub fn of_lead(state: &lead::State, event: &lead::Event) -> Option<News> {
    let about = || About::Lead(state.id.clone());
    match event {
        lead::Event::Captured { capture, .. } if capture.called => None,
        lead::Event::Captured { .. } => everybody(Kind::Lead, about()),
        lead::Event::Routed { assignment, .. } => {
            let to = assignment.user.clone()?;
            Some(News { kind: Kind::Assigned, about: about(), to: Some(to) })
        }
        lead::Event::Learned { .. }
        | lead::Event::Qualified { .. }
        | lead::Event::Updated { .. }
        | lead::Event::FollowUpQueued { .. }
        | lead::Event::FollowUpDone { .. } => None,
    }
}

/// What an event of an organization is to be told of.
pub fn of_tenant(event: &tenant::Event) -> Option<News> {
    match event {
        tenant::Event::MemberJoined { person, .. } => {
            everybody(Kind::InvitationAccepted, About::Member(person.user.clone()))
        }
        _ => None,
    }
}

/// What an event of a call is to be told of.
pub fn of_call(state: &call::Call, event: &call::Event) -> Option<News> {
    match event {
        call::Event::Ended { missed: true, .. } => everybody(Kind::MissedCall, About::Call(state.id.clone())),
        _ => None,
    }
}

/// What an event of an agent's knowledge is to be told of.
pub fn of_knowledge(state: &knowledge::Knowledge, event: &knowledge::Event) -> Option<News> {
    match event {
        knowledge::Event::RunFinished { outcome: knowledge::RunOutcome::Failed { .. }, .. } => {
            everybody(Kind::TrainingFailed, About::Agent(state.agent.clone()))
        }
        // Each different question once: it is noted by what it says, not by how often it was asked.
        knowledge::Event::UnansweredNoted { conversation, .. } => {
            everybody(Kind::Unanswered, About::Conversation(conversation.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(kind: Kind, to: Option<&str>) -> News {
        News { kind, about: About::Conversation(ConversationId("c".into())), to: to.map(|to| UserId(to.into())) }
    }

    fn told(kind: Kind) -> Event {
        Event::Told { tenant: "t".into(), news: news(kind, None) }
    }

    fn ask(state: &mut Bulletin, now_ms: i64, seq: u64, command: Command) -> Result<(), Rejection> {
        let principal = crate::principal::Principal::system("t".into());
        let cx = Context { now_ms, seq, seed: [0; 32], principal };
        for event in decide(state, &cx, command)?.events {
            apply(state, &event, seq + 1, now_ms);
        }
        Ok(())
    }

    #[test]
    fn what_is_new_is_handed_on_once_and_what_was_lost_again() {
        let mut state = Bulletin::default();
        apply(&mut state, &told(Kind::Lead), 1, 10);
        apply(&mut state, &told(Kind::Lead), 2, 20);
        let (_, attempt, Effect::Post { notices, .. }) = pending(&state).pop().expect("work");
        assert_eq!((notices.len(), timer(&state)), (2, Some(10 + POST_WITHIN_MS)));
        apply(&mut state, &told(Kind::Lead), 3, 30);
        assert_eq!(ask(&mut state, 40, 3, Command::Tick), Ok(()), "too early: nothing happens");
        assert_eq!(state.attempt, attempt);
        // The task was lost: its late word counts no more.
        let recovered = on_recovered(&state).expect("a task was lost");
        ask(&mut state, 50, 3, recovered).unwrap();
        assert_eq!(ask(&mut state, 60, 4, Command::Posted { upto: 2, attempt }), Err(Rejection::Superseded));
        ask(&mut state, 70, 4, Command::Posted { upto: 2, attempt: attempt + 1 }).unwrap();
        let (_, attempt, Effect::Post { notices, .. }) = pending(&state).pop().expect("the newest is left");
        assert_eq!(notices.iter().map(|notice| notice.seq).collect::<Vec<_>>(), [3]);
        ask(&mut state, 80, 5, Command::Posted { upto: 3, attempt }).unwrap();
        assert_eq!((pending(&state), timer(&state), on_recovered(&state)), (Vec::new(), None, None));
    }

    #[test]
    fn what_was_told_before_there_was_mail_is_not_mailed() {
        let old: Event = serde_json::from_value(
            serde_json::json!({ "type": "told", "news": { "kind": "lead", "about": { "of": "lead", "id": "l" } } }),
        )
        .expect("an event as the journal has it");
        let mut state = Bulletin::default();
        apply(&mut state, &old, 1, 10);
        assert_eq!((pending(&state), timer(&state)), (Vec::new(), None));
    }

    #[test]
    fn the_oldest_notices_leave_a_full_bulletin() {
        let mut state = Bulletin::default();
        for seq in 1..=KEPT_MAX as u64 + 3 {
            apply(&mut state, &told(Kind::Lead), seq, 1);
        }
        assert_eq!((state.notices.len(), state.notices[0].seq), (KEPT_MAX, 4));
    }

    #[test]
    fn who_is_told_is_a_matter_of_name_or_role() {
        let is_for = |kind, to, user: &str, role| {
            Notice { seq: 1, at_ms: 1, news: news(kind, to) }.is_for(&UserId(user.into()), role)
        };
        assert!(is_for(Kind::Escalation, None, "v", Role::Viewer));
        assert!(!is_for(Kind::InvitationAccepted, None, "r", Role::Rep));
        assert!(is_for(Kind::InvitationAccepted, None, "a", Role::Admin));
        assert!(is_for(Kind::Assigned, Some("r"), "r", Role::Viewer));
        assert!(!is_for(Kind::Assigned, Some("r"), "a", Role::Owner), "somebody else's business");
    }
}
