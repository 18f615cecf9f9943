//! The bulletin entity: what an organization's people are told of, newest last. It holds no words of anybody: who reads a notice is shown what it
//! tells of as it is then, so nothing outlives what it tells of.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::conversation;
use crate::decision::Decision;
use crate::ids::{AgentId, ConversationId, LeadId, UserId};
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
            Self::InvitationAccepted => "invitation_accepted",
            Self::Summary => "summary",
        }
    }

    /// The lowest role that is told.
    fn role(self) -> Role {
        match self {
            Self::Escalation | Self::Emergency | Self::Assigned | Self::Lead | Self::Summary => Role::Viewer,
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
    /// Oldest first.
    pub notices: VecDeque<Notice>,
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
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Something was told.
    Told {
        /// What.
        news: News,
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

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself: who may see which notice is decided where they are shown.
pub fn decide(state: &Bulletin, cx: &Context, command: Command) -> Result<Decision<Event, Reply>, Rejection> {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found(KIND));
    }
    match command {
        Command::Tell { news } => Ok(Decision::event(Event::Told { news }, Reply::Done)),
        Command::Notices => Ok(Decision::reply(Reply::Notices { notices: state.notices.iter().cloned().collect() })),
    }
}

/// Folds one event.
pub fn apply(state: &mut Bulletin, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Told { news } => {
            state.notices.push_back(Notice { seq, at_ms, news: news.clone() });
            if state.notices.len() > KEPT_MAX {
                state.notices.pop_front();
            }
        }
    }
}

fn everybody(kind: Kind, about: About) -> Option<News> {
    Some(News { kind, about, to: None })
}

/// What an event of a conversation is to be told of. A sandbox tells nobody anything.
pub fn of_conversation(state: &conversation::State, event: &conversation::Event) -> Option<News> {
    if state.sandbox {
        return None;
    }
    let about = || About::Conversation(state.id.clone());
    match event {
        conversation::Event::Escalated { escalation } if conversation::calls_a_person(escalation.action) => {
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
        lead::Event::Captured { .. } => everybody(Kind::Lead, about()),
        lead::Event::Routed { assignment, .. } => {
            let to = assignment.user.clone()?;
            Some(News { kind: Kind::Assigned, about: about(), to: Some(to) })
        }
        lead::Event::Learned { .. }
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

    #[test]
    fn the_oldest_notices_leave_a_full_bulletin() {
        let mut state = Bulletin::default();
        for seq in 1..=KEPT_MAX as u64 + 3 {
            apply(&mut state, &Event::Told { news: news(Kind::Lead, None) }, seq, 1);
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
