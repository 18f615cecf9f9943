//! The bulletin entity, and notices as their reader sees them: what they tell of is read anew each time, so that an erased person is in none.
//! Those that somebody wants by mail are handed on to the letters of their address.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::client::WatchStream;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_domain as domain;
use colloquy_domain::account::wishes::wants_mail;
use colloquy_domain::bulletin::{
    self, About, Bulletin, Command, Effect, Event, Kind, MAILED_WITHIN_MS, News, Notice, Reply,
};
use colloquy_domain::ids::{AgentId, CallId, ConversationId, LeadId, TenantId, UserId};
use colloquy_domain::inbox::Seen;
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::{Principal, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::{Asked, Core, ask, message, pure_core, pure_work};
use crate::{ActorError, Actors, Tools, account, calls, conversation, feed, inbox, lead, letters};

/// Characters of a voicemail in a notice: what one reads at a glance.
const LEFT_CHARS_MAX: usize = 280;

/// The kind `bulletin`.
pub struct BulletinEntity {
    tools: Arc<Tools>,
}

impl BulletinEntity {
    /// With what it finds members by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for BulletinEntity {
    type Plain = Command;
}

impl Entity for BulletinEntity {
    pure_core!(bulletin, Bulletin, 1, 1, false);
    pure_work!(bulletin, Effect, |state| state.tenant.clone());

    fn watched(&self, _key: &EntityKey, _state: &Bulletin, event: &Event, _at: At) -> Option<Bytes> {
        match event {
            Event::Told { .. } => feed::encode(event),
            // Whether they were handed on for mail changes nothing that anybody is shown.
            Event::Posted { .. } | Event::Retried { .. } => None,
        }
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Repeatable: letters take each notice once.
            Effect::Post { attempt, notices } => post(&self.tools, &handle, attempt, &notices).await,
        }
    }
}

/// Hands notices on to the letters of those who want them by mail. What fails is tried again when its time is over.
async fn post(tools: &Tools, handle: &EffectHandle, attempt: u32, notices: &[Notice]) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let Some(upto) = notices.last().map(|notice| notice.seq) else { return };
    match hand_on(tools, handle, &tenant, notices).await {
        // An organization that is not there any more tells nobody anything.
        Ok(()) | Err(ActorError::Rejected(_)) => {}
        Err(error) => {
            tracing::warn!(%tenant, %error, "notices could not be handed on for mail");
            return;
        }
    }
    let command = Command::Posted { upto, attempt };
    let asked = Asked { by: Principal::system(tenant.clone()), command };
    if let Err(error) = handle.command::<BulletinEntity>(asked).await {
        tracing::warn!(%tenant, ?error, "that notices were handed on could not be brought back");
    }
}

async fn hand_on(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    notices: &[Notice],
) -> Result<(), ActorError> {
    let client = handle.client();
    let fresh: Vec<&Notice> =
        notices.iter().filter(|notice| client.now_ms() - notice.at_ms < MAILED_WITHIN_MS).collect();
    let copy = tools.tenant_copy(client, tenant).await?;
    for (user, member) in &copy.members {
        let theirs: Vec<&&Notice> = fresh.iter().filter(|notice| notice.is_for(user, member.role)).collect();
        if theirs.is_empty() {
            continue;
        }
        // An account that is gone or stopped reads nothing.
        let Some(preferences) = account::preferences(client, user).await? else { continue };
        for notice in theirs.into_iter().filter(|notice| wants_mail(&preferences, member.role, notice.news.kind)) {
            letters::notice(client, tools, tenant, (user, &member.email), notice).await?;
        }
    }
    Ok(())
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

/// What a notice says.
pub(crate) struct Words {
    /// In a few words.
    pub(crate) title: String,
    /// In a sentence.
    pub(crate) body: String,
    /// A path of the console.
    pub(crate) link: String,
    /// Whether what it tells of is still there.
    pub(crate) there: bool,
    /// The agent whose visitor's words it shows.
    pub(crate) agent: Option<AgentId>,
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
            let Words { title, body, link, .. } = self.words(tenant, &notice.news, notice.at_ms).await?;
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

    /// What was asked in a conversation and nobody could answer, when this was news.
    async fn unanswered(
        &self,
        tenant: &TenantId,
        id: &ConversationId,
        at_ms: i64,
    ) -> Result<Option<String>, ActorError> {
        let (by, get) = (Principal::system(tenant.clone()), domain::conversation::Command::Get);
        match ask::<conversation::ConversationEntity>(&self.client, &by, id.as_str(), get).await {
            Ok(domain::conversation::Reply::State(state)) => {
                let then = state.unanswered.iter().rev().find(|question| question.at_ms <= at_ms);
                Ok(then.or(state.unanswered.last()).map(|unanswered| unanswered.question.clone()))
            }
            Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The agent of a conversation; none for one that was erased.
    pub(crate) async fn agent_of(&self, tenant: &TenantId, id: &ConversationId) -> Result<Option<AgentId>, ActorError> {
        let row = self.conversation_row(tenant, id).await?;
        Ok(row.and_then(|row| text(&row, "agent_id")).map(AgentId))
    }

    /// The same of a call.
    async fn call_row(&self, tenant: &TenantId, id: &CallId) -> Result<Option<Value>, ActorError> {
        if let Some(row) = self.client.get::<Value>(tenant.as_str(), calls::LIST, id.as_str()).await? {
            return Ok(Some(row.body));
        }
        let call = calls::find(&self.client, &Principal::system(tenant.clone()), id).await?;
        Ok(call.and_then(|call| domain::call::view::view(&call)).map(|row| json!(row)))
    }

    /// What was written down of a voicemail, on a line.
    async fn left_words(&self, tenant: &TenantId, id: &CallId, row: &Value) -> Result<Option<String>, ActorError> {
        let Some(conversation) = text(row, "conversation_id") else { return Ok(None) };
        let conversation = ConversationId(conversation);
        let said = calls::left_words(&self.client, tenant, id, &conversation).await?;
        Ok(said.map(|said| domain::text::shorten(&domain::text::one_line(&said), LEFT_CHARS_MAX)))
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

    /// The words of some news of this time, as they are now.
    pub(crate) async fn words(&self, tenant: &TenantId, news: &News, at_ms: i64) -> Result<Words, ActorError> {
        let (mut there, mut agent) = (true, None);
        let (whom, body, link) = match &news.about {
            About::Conversation(id) => match self.conversation_row(tenant, id).await? {
                Some(row) => {
                    let said = match news.kind {
                        Kind::Escalation | Kind::Emergency => text(&row, "escalation_reason"),
                        Kind::Unanswered => self.unanswered(tenant, id, at_ms).await?,
                        _ => None,
                    };
                    let body = said.or_else(|| text(&row, "last_message")).unwrap_or_default();
                    agent = text(&row, "agent_id").map(AgentId);
                    (text(&row, "visitor_name"), body, format!("/app/conversations/{id}"))
                }
                None => {
                    there = false;
                    (None, "The conversation was erased.".to_owned(), "/app/conversations".to_owned())
                }
            },
            About::Lead(id) => match self.lead_row(tenant, id).await? {
                Some(row) => {
                    let reach = text(&row, "phone").or_else(|| text(&row, "email")).unwrap_or_default();
                    (text(&row, "name"), reach, format!("/app/leads/{id}"))
                }
                None => {
                    there = false;
                    (None, "The lead was erased.".to_owned(), "/app/leads".to_owned())
                }
            },
            About::Agent(id) => {
                let row = self.client.get::<Value>(tenant.as_str(), crate::agent::LIST, id.as_str()).await?;
                let name = row.and_then(|row| text(&row.body, "name"));
                (name, "Look at its sources to see which could not be read.".to_owned(), format!("/app/agents/{id}"))
            }
            About::Call(id) => match self.call_row(tenant, id).await? {
                Some(row) => {
                    agent = text(&row, "agent_id").map(AgentId);
                    let left = match row["voicemail"]["seconds"].as_u64() {
                        Some(seconds) => match self.left_words(tenant, id, &row).await? {
                            Some(words) => format!("They left a message of {seconds} seconds: “{words}”"),
                            None => format!("They left a message of {seconds} seconds."),
                        },
                        None => "They left no message.".to_owned(),
                    };
                    let back = match row["texted"]["is"].as_str() {
                        Some("sent") => " A text message told them that you will be in touch.",
                        _ => "",
                    };
                    (text(&row, "phone"), format!("{left}{back}"), format!("/app/calls/{id}"))
                }
                None => {
                    there = false;
                    (None, "The call was erased.".to_owned(), "/app/calls".to_owned())
                }
            },
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
            (Kind::MissedCall, _) => format!("Missed call from {}", whom("a hidden number")),
            (Kind::InvitationAccepted, _) => format!("{} joined", whom("Somebody")),
            (Kind::Summary, _) => "The daily summary".to_owned(),
        };
        Ok(Words { title, body, link, there, agent })
    }
}

fn text(row: &Value, name: &str) -> Option<String> {
    row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
