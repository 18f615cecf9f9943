//! The bulletin entity, and notices as their reader sees them: what they tell of is read anew each time, so that an erased person is in none.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::client::WatchStream;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_domain as domain;
use colloquy_domain::bulletin::{self, About, Bulletin, Command, Kind, News, Notice, Reply};
use colloquy_domain::ids::{ConversationId, LeadId, TenantId, UserId};
use colloquy_domain::inbox::Seen;
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::{Principal, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::{Core, ask, message, pure_core};
use crate::{ActorError, Actors, conversation, feed, inbox, lead};

/// The kind `bulletin`.
pub struct BulletinEntity;

impl Core for BulletinEntity {
    type Plain = Command;
}

impl Entity for BulletinEntity {
    pure_core!(bulletin, Bulletin, 1, 1, false);

    type Effect = std::convert::Infallible;

    fn watched(&self, _key: &EntityKey, _state: &Bulletin, event: &bulletin::Event, _at: At) -> Option<Bytes> {
        feed::encode(event)
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// The message that puts news on a tenant's bulletin.
pub(crate) fn tell(tenant: &str, news: News) -> Message {
    message(tenant, bulletin::KIND, bulletin::ID, Command::Tell { news })
}

/// A notice as the contract shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeView {
    /// Its id.
    pub id: String,
    /// What for.
    pub kind: Kind,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub body: String,
    /// A path of the console.
    pub link: String,
    /// When.
    pub created_at: String,
    /// When it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
}

/// The notices of one person, newest first.
pub struct Own {
    notices: Vec<Notice>,
    seen: Seen,
}

impl Own {
    /// How many are unread.
    pub fn unread(&self) -> usize {
        self.notices.iter().filter(|notice| self.seen.at(notice.seq).is_none()).count()
    }

    /// The number of the newest, 0 without any.
    pub fn newest(&self) -> u64 {
        self.notices.first().map_or(0, |notice| notice.seq)
    }

    /// Those below a number, newest first.
    pub fn below(&self, before: Option<u64>, only_unread: bool, limit: usize) -> Vec<&Notice> {
        let wanted = |notice: &&Notice| {
            before.is_none_or(|before| notice.seq < before) && !(only_unread && self.seen.at(notice.seq).is_some())
        };
        self.notices.iter().filter(wanted).take(limit).collect()
    }
}

impl Actors {
    /// What somebody is told of, without kinds that they do not want to see.
    pub async fn notices(
        &self,
        tenant: &TenantId,
        user: &UserId,
        role: Role,
        wanted: impl Fn(Kind) -> bool,
    ) -> Result<Own, ActorError> {
        let by = Principal::system(tenant.clone());
        let reply = ask::<BulletinEntity>(&self.client, &by, bulletin::ID, Command::Notices).await?;
        let Reply::Notices { mut notices } = reply else { return Err(ActorError::Failed) };
        notices.retain(|notice| notice.is_for(user, role) && wanted(notice.news.kind));
        notices.reverse();
        Ok(Own { notices, seen: inbox::seen(&self.client, tenant, user).await? })
    }

    /// Notices with their words.
    pub async fn shown(
        &self,
        tenant: &TenantId,
        own: &Own,
        notices: Vec<&Notice>,
    ) -> Result<Vec<NoticeView>, ActorError> {
        let mut shown = Vec::new();
        for notice in notices {
            let (title, body, link) = self.words(tenant, &notice.news).await?;
            shown.push(NoticeView {
                id: notice.seq.to_string(),
                kind: notice.news.kind,
                title,
                body,
                link,
                created_at: rfc3339(notice.at_ms),
                read_at: own.seen.at(notice.seq).map(rfc3339),
            });
        }
        Ok(shown)
    }

    /// Tells of new notices.
    pub fn watch_bulletin(&self, tenant: &TenantId) -> WatchStream {
        self.client.watch(&EntityKey::new(tenant.as_str(), bulletin::KIND, bulletin::ID))
    }

    /// A conversation's row. News can be faster than rows: without one the conversation itself is asked, and what is nowhere was erased.
    async fn conversation_row(&self, tenant: &TenantId, id: &ConversationId) -> Result<Option<Value>, ActorError> {
        if let Some(row) = self.client.get::<Value>(tenant.as_str(), conversation::LIST, id.as_str()).await? {
            return Ok(Some(row.body));
        }
        let (by, get) = (Principal::system(tenant.clone()), domain::conversation::Command::Get);
        match ask::<conversation::ConversationEntity>(&self.client, &by, id.as_str(), get).await {
            Ok(domain::conversation::Reply::State(state)) => {
                Ok(domain::conversation::view::list_row(&state).map(|row| json!(row)))
            }
            Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same of a lead.
    async fn lead_row(&self, tenant: &TenantId, id: &LeadId) -> Result<Option<Value>, ActorError> {
        if let Some(row) = self.client.get::<Value>(tenant.as_str(), lead::LIST, id.as_str()).await? {
            return Ok(Some(row.body));
        }
        let (by, get) = (Principal::system(tenant.clone()), domain::lead::Command::Get);
        match ask::<lead::LeadEntity>(&self.client, &by, id.as_str(), get).await {
            Ok(domain::lead::Reply::State(state)) => Ok(domain::lead::view(&state).map(|row| json!(row))),
            Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn words(&self, tenant: &TenantId, news: &News) -> Result<(String, String, String), ActorError> {
        let (whom, body, link) = match &news.about {
            About::Conversation(id) => match self.conversation_row(tenant, id).await? {
                Some(row) => {
                    let said = match news.kind {
                        Kind::Escalation | Kind::Emergency => text(&row, "escalation_reason"),
                        _ => None,
                    };
                    let body = said.or_else(|| text(&row, "last_message")).unwrap_or_default();
                    (text(&row, "visitor_name"), body, format!("/app/conversations/{id}"))
                }
                None => (None, "The conversation was erased.".to_owned(), "/app/conversations".to_owned()),
            },
            About::Lead(id) => match self.lead_row(tenant, id).await? {
                Some(row) => {
                    let reach = text(&row, "phone").or_else(|| text(&row, "email")).unwrap_or_default();
                    (text(&row, "name"), reach, format!("/app/leads/{id}"))
                }
                None => (None, "The lead was erased.".to_owned(), "/app/leads".to_owned()),
            },
            About::Agent(id) => {
                let row = self.client.get::<Value>(tenant.as_str(), crate::agent::LIST, id.as_str()).await?;
                let name = row.and_then(|row| text(&row.body, "name"));
                (name, "Look at its sources to see which could not be read.".to_owned(), format!("/app/agents/{id}"))
            }
            About::Member(id) => {
                let name = self.member(tenant, id).await?.map(|member| member.name);
                (name, "They can sign in to this organization now.".to_owned(), "/app/settings/team".to_owned())
            }
        };
        let whom = |otherwise: &str| whom.clone().unwrap_or_else(|| otherwise.to_owned());
        let title = match (news.kind, &news.about) {
            (Kind::Escalation, _) => format!("{} asks for a person", whom("A visitor")),
            (Kind::Emergency, _) => format!("Emergency: {}", whom("a visitor")),
            (Kind::Assigned, About::Lead(_)) => format!("Your lead: {}", whom("somebody new")),
            (Kind::Assigned, _) => format!("Yours now: the conversation with {}", whom("a visitor")),
            (Kind::Lead, _) => format!("New lead: {}", whom("somebody new")),
            (Kind::Unanswered, _) => "A question without an answer".to_owned(),
            (Kind::TrainingFailed, _) => format!("{} could not learn from a source", whom("An agent")),
            (Kind::InvitationAccepted, _) => format!("{} joined", whom("Somebody")),
            (Kind::Summary, _) => "The daily summary".to_owned(),
        };
        Ok((title, body, link))
    }
}

fn text(row: &Value, name: &str) -> Option<String> {
    row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
