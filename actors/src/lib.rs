//! The business actors: effects around the pure core of the domain.
//!
//! Reading order: [`core`] (how a pure core becomes an entity), [`Tools`] and [`Actors`] below, then one file per kind:
//! [`account`], [`tenant`], [`agent`], [`knowledge`], [`conversation`], [`lead`], [`calendar`], [`appointment`], [`campaign`]; carriers ([`lines`], [`thread`], [`guard`], [`messages`], [`retell`], the sound of calls in [`voice`]); the live [`feed`], what is made of it ([`days`], [`questions`], [`digest`]), what people are told ([`bulletin`], [`letters`]), and the [`audit`] log. [`signup`] strings steps of several together, [`demo`] too.

pub mod account;
pub mod agent;
pub mod answers;
pub mod appointment;
pub mod audit;
pub mod bulletin;
pub mod calendar;
pub mod calls;
pub mod campaign;
pub mod conversation;
mod copies;
pub mod core;
pub mod days;
pub mod demo;
pub mod digest;
mod error;
pub mod feed;
pub mod guard;
pub mod identity;
pub mod inbox;
pub mod knowledge;
pub mod lead;
pub mod letters;
pub mod lines;
pub mod messages;
pub mod numbers;
pub mod once;
pub mod ops_log;
pub mod presence;
pub mod questions;
pub mod retell;
pub mod search;
pub mod signup;
pub mod telemetry;
pub mod tenant;
pub mod thread;
mod tools;
pub mod traffic;
pub mod upkeep;
pub mod voice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use colloquy_cluster::client::WatchStream;
use colloquy_cluster::{Client, EntityKey, Registry};
use colloquy_domain::ids::{AgentId, ApiKeyId, ConversationId, LeadId, TenantId, UserId};
use colloquy_domain::principal::{Actor, Principal, Role};
use colloquy_domain::rejection::Rejection;
use colloquy_domain::tenant::view::OrgFacts;

pub use colloquy_cluster as cluster;
pub use colloquy_connectors as connectors;
pub use colloquy_domain as domain;
pub use colloquy_telephony as telephony;
pub use error::ActorError;
pub use tools::{Links, Tools};

use crate::account::AccountEntity;
use crate::core::ask;
use crate::tenant::TenantEntity;

/// How long a checked API key is believed on this node before it is checked again, milliseconds. A revoked key is forgotten at once.
const KEY_BELIEVED_MS: i64 = 60_000;

/// How long a lead may take from its conversation to its own entity.
const LEAD_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// How long a try in a sandbox may take.
const TRY_OUT_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// All kinds, for the node's registry.
pub fn registry(tools: &Arc<Tools>) -> Registry {
    let here = tools.clone();
    Registry::new()
        .beside(move |key| here.streams.told(key))
        .entity(AccountEntity)
        .entity(TenantEntity::new(tools.clone()))
        .entity(agent::AgentEntity)
        .entity(knowledge::KnowledgeEntity::new(tools.clone()))
        .entity(conversation::ConversationEntity::new(tools.clone()))
        .entity(lead::LeadEntity::new(tools.clone()))
        .entity(calendar::CalendarEntity)
        .entity(appointment::AppointmentEntity::new(tools.clone()))
        .entity(campaign::CampaignEntity::new(tools.clone()))
        .entity(campaign::SliceEntity::new(tools.clone()))
        .entity(campaign::CalleesEntity)
        .entity(campaign::PacerEntity::new(tools.clone()))
        .entity(traffic::TrafficEntity)
        .entity(ops_log::OpsLogEntity)
        .entity(audit::AuditEntity)
        .entity(digest::DigestEntity::new(tools.clone()))
        .entity(inbox::InboxEntity)
        .entity(upkeep::UpkeepEntity::new(tools.clone()))
        .entity(bulletin::BulletinEntity::new(tools.clone()))
        .entity(letters::LettersEntity::new(tools.clone()))
        .entity(guard::ContactGuardEntity)
        .entity(lines::LinesEntity)
        .entity(thread::ThreadEntity)
        .entity(calls::CallEntity::new(tools.clone()))
        .resident::<feed::Feed>(tools.clone())
        .resident::<presence::Presence>(tools.clone())
}

/// A member of a tenant, as every request needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The role.
    pub role: Role,
    /// The name that visitors see.
    pub name: String,
    /// The address that routing rules may name.
    pub email: String,
}

/// A good API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodKey {
    /// The role.
    pub role: Role,
    /// The only agent it may reach.
    pub agent: Option<AgentId>,
}

/// A node's copy of an organization.
pub struct TenantCopy {
    /// What it says about itself, and its plan's limits.
    pub facts: OrgFacts,
    /// Its members.
    pub members: BTreeMap<UserId, Member>,
    keys: std::sync::Mutex<BTreeMap<(ApiKeyId, String), (GoodKey, i64)>>,
}

/// The actors as the gateway sees them.
#[derive(Clone)]
pub struct Actors {
    /// The runtime.
    pub client: Client,
    /// What effects use.
    pub tools: Arc<Tools>,
}

impl Actors {
    /// Over a started node.
    pub fn new(client: Client, tools: Arc<Tools>) -> Self {
        Self { client, tools }
    }

    /// Asks an account as Colloquy itself.
    pub async fn account(
        &self,
        user: &UserId,
        command: colloquy_domain::account::Command,
    ) -> Result<colloquy_domain::account::Reply, ActorError> {
        use colloquy_domain::account::Command;
        let asks = matches!(command, Command::View | Command::Credentials { .. } | Command::Sessions);
        let reply = ask::<AccountEntity>(&self.client, &signup::platform(), user.as_str(), command).await;
        if !asks {
            // This node hears of it by itself too, but perhaps only after who asked has asked again.
            self.tools.sessions.drop(&account_key(user));
        }
        reply
    }

    /// Whether a session of an account goes on: it ends by signing out, a new password or a suspension.
    pub async fn session_lives(&self, user: &UserId, family: &str) -> Result<bool, ActorError> {
        let key = account_key(user);
        let families = self.tools.sessions.get(&self.client, &key, self.sessions(user)).await;
        match families {
            Ok(families) if families.contains(family) => Ok(true),
            // One that has just begun may not be in the copy yet.
            Ok(_) => {
                self.tools.sessions.drop(&key);
                Ok(self.tools.sessions.get(&self.client, &key, self.sessions(user)).await?.contains(family))
            }
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells that sessions or memberships of an account may have changed.
    pub fn watch_account(&self, user: &UserId) -> WatchStream {
        self.client.watch(&account_key(user))
    }

    /// Tells that an organization, its members or its keys have changed.
    pub fn watch_tenant(&self, tenant: &TenantId) -> WatchStream {
        self.client.watch(&EntityKey::new(tenant.as_str(), colloquy_domain::tenant::KIND, tenant.as_str()))
    }

    async fn sessions(&self, user: &UserId) -> Result<BTreeSet<String>, ActorError> {
        match self.account(user, colloquy_domain::account::Command::Sessions).await? {
            colloquy_domain::account::Reply::Sessions { families } => Ok(families),
            _ => Err(ActorError::Failed),
        }
    }

    /// Asks an organization.
    pub async fn tenant(
        &self,
        by: &Principal,
        command: colloquy_domain::tenant::Command,
    ) -> Result<colloquy_domain::tenant::Reply, ActorError> {
        ask::<TenantEntity>(&self.client, by, by.tenant.as_str(), command).await
    }

    /// The node's copy of an organization.
    pub async fn organization(&self, tenant: &TenantId) -> Result<Arc<TenantCopy>, ActorError> {
        self.tools.tenant_copy(&self.client, tenant).await
    }

    /// Whether somebody is a member, and with which role.
    pub async fn member(&self, tenant: &TenantId, user: &UserId) -> Result<Option<Member>, ActorError> {
        match self.organization(tenant).await {
            Ok(copy) => Ok(copy.members.get(user).cloned()),
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an API key is good.
    pub async fn check_key(&self, tenant: &TenantId, id: &ApiKeyId, hash: &str) -> Result<Option<GoodKey>, ActorError> {
        let copy = match self.organization(tenant).await {
            Ok(copy) => copy,
            Err(ActorError::Rejected(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let now_ms = self.client.now_ms();
        let entry = (id.clone(), hash.to_owned());
        {
            let keys = copy.keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some((good, checked_ms)) = keys.get(&entry)
                && now_ms - checked_ms < KEY_BELIEVED_MS
            {
                return Ok(Some(good.clone()));
            }
        }
        let command = colloquy_domain::tenant::Command::UseKey { id: id.clone(), hash: hash.to_owned() };
        match self.tenant(&Principal::system(tenant.clone()), command).await {
            Ok(colloquy_domain::tenant::Reply::KeyGood { role, agent, .. }) => {
                let good = GoodKey { role, agent };
                copy.keys
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .insert(entry, (good.clone(), now_ms));
                Ok(Some(good))
            }
            Ok(_) | Err(ActorError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody administers the platform.
    pub async fn is_platform_admin(&self, user: &UserId) -> Result<bool, ActorError> {
        match self.account(user, colloquy_domain::account::Command::View).await? {
            colloquy_domain::account::Reply::Account(account) => Ok(account.user.platform_admin),
            _ => Ok(false),
        }
    }

    /// Whether any organization exists.
    pub async fn has_tenants(&self) -> Result<bool, ActorError> {
        let range = colloquy_cluster::store::rows::Range { limit: 1, ..Default::default() };
        let rows =
            self.client.list::<serde_json::Value>(colloquy_domain::account::TENANT, tenant::LIST, &range).await?;
        Ok(!rows.is_empty())
    }

    /// Lets somebody join by an invitation, in the organization and in their account.
    pub async fn join(
        &self,
        tenant: &TenantId,
        code_hash: String,
        person: colloquy_domain::tenant::Person,
    ) -> Result<Role, ActorError> {
        let user = person.user.clone();
        let membership = self.accept(tenant, code_hash, person).await?;
        let role = membership.role.ok_or(ActorError::Failed)?;
        self.account(&user, colloquy_domain::account::Command::SetMembership(membership)).await?;
        Ok(role)
    }

    /// Takes somebody into an organization by an invitation. Their account is to be told what this gives.
    pub async fn accept(
        &self,
        tenant: &TenantId,
        code_hash: String,
        person: colloquy_domain::tenant::Person,
    ) -> Result<colloquy_domain::account::MembershipChange, ActorError> {
        let by = Principal { tenant: tenant.clone(), actor: Actor::System };
        let command = colloquy_domain::tenant::Command::AcceptInvitation { code_hash, person };
        let colloquy_domain::tenant::Reply::Joined { role, name, slug } = self.tenant(&by, command).await? else {
            return Err(ActorError::Failed);
        };
        // The organization tells the account by itself, with its own version; version 0 only fills in until then.
        Ok(colloquy_domain::account::MembershipChange {
            tenant: tenant.clone(),
            version: 0,
            role: Some(role),
            name,
            slug,
        })
    }
}

impl Actors {
    /// Which tenant an agent belongs to.
    pub async fn tenant_of_agent(&self, agent: &AgentId) -> Result<Option<TenantId>, ActorError> {
        self.tools.tenant_of_agent(&self.client, agent).await
    }

    /// The ids of a tenant's agents.
    pub async fn agent_ids(&self, tenant: &TenantId) -> Result<Vec<String>, ActorError> {
        agent::ids(&self.client, tenant).await
    }

    /// A lead as the contract shows it. Its conversation has told it at most a moment ago: it is waited for.
    pub async fn lead_view(
        &self,
        tenant: &TenantId,
        id: &LeadId,
    ) -> Result<colloquy_domain::lead::LeadView, ActorError> {
        let by = Principal::system(tenant.clone());
        let key = EntityKey::new(tenant.as_str(), colloquy_domain::lead::KIND, id.as_str());
        let mut changes = self.client.watch(&key).followed().await;
        let deadline = tokio::time::Instant::now() + LEAD_WITHIN;
        loop {
            match ask::<lead::LeadEntity>(&self.client, &by, id.as_str(), colloquy_domain::lead::Command::Get).await {
                Ok(colloquy_domain::lead::Reply::State(state)) => {
                    if let Some(view) = colloquy_domain::lead::view(&state) {
                        return Ok(view);
                    }
                }
                Ok(colloquy_domain::lead::Reply::Done | colloquy_domain::lead::Reply::FollowUp { .. })
                | Err(ActorError::Rejected(Rejection::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
            if tokio::time::timeout_at(deadline, changes.next()).await.is_err() {
                return Err(ActorError::Unavailable(
                    "the lead is stored with its conversation and not listed yet".into(),
                ));
            }
        }
    }

    /// Counts a page view with an agent's widget on it.
    pub async fn visited(&self, tenant: &TenantId, agent: &AgentId) -> Result<(), ActorError> {
        let day = colloquy_domain::local_time::rfc3339(self.client.now_ms());
        let id = format!("{agent}/{}", &day[..10]);
        let command = colloquy_domain::traffic::Command::Visit { agent: agent.clone() };
        ask::<traffic::TrafficEntity>(&self.client, &Principal::system(tenant.clone()), &id, command).await?;
        Ok(())
    }

    /// Says something in a sandbox and waits for the answer.
    pub async fn try_out(
        &self,
        by: &Principal,
        sandbox: &ConversationId,
        state: &colloquy_domain::conversation::State,
        agent: &agent::AgentNow,
        message: String,
    ) -> Result<(), ActorError> {
        use colloquy_domain::conversation::{Command, Post, Reply, TurnOutcome};
        let key = EntityKey::new(by.tenant.as_str(), colloquy_domain::conversation::KIND, sandbox.as_str());
        let mut watch = self.client.watch(&key).followed().await;
        let post = Post {
            conversation_id: sandbox.clone(),
            agent_id: state.agent_id.clone(),
            client_message_id: None,
            text: message,
            channel: state.channel,
            visitor: state.visitor.clone(),
            terms: agent.terms(),
            agent_live: true,
            continues: false,
            carried: None,
            spoken: None,
        };
        let posted =
            ask::<conversation::ConversationEntity>(&self.client, by, sandbox.as_str(), Command::Post(Box::new(post)))
                .await?;
        let Reply::Posted(posted) = posted else { return Err(ActorError::Failed) };
        let Some(turn) = posted.turn else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + TRY_OUT_WITHIN;
        loop {
            let asked = Command::Outcome { turn: turn.clone() };
            if let Reply::Outcome(outcome) =
                ask::<conversation::ConversationEntity>(&self.client, by, sandbox.as_str(), asked).await?
                && !matches!(outcome.outcome, TurnOutcome::Open)
            {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, watch.next()).await.is_err() {
                return Err(ActorError::Unavailable("the answer takes longer than expected".into()));
            }
        }
    }
}

fn account_key(user: &UserId) -> EntityKey {
    EntityKey::new(colloquy_domain::account::TENANT, colloquy_domain::account::KIND, user.as_str())
}

/// Whether an upload can be read at all, by its name and first bytes.
pub fn readable(name: &str, bytes: &[u8]) -> Option<colloquy_knowledge::extract::Kind> {
    colloquy_knowledge::extract::Kind::of(name, bytes)
}

/// A digest of a stored document, hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

impl Tools {
    /// The node's copy of an organization.
    pub async fn tenant_copy(&self, client: &Client, tenant: &TenantId) -> Result<Arc<TenantCopy>, ActorError> {
        let key = EntityKey::new(tenant.as_str(), colloquy_domain::tenant::KIND, tenant.as_str());
        self.tenants
            .get(client, &key, async {
                let by = Principal::system(tenant.clone());
                let facts =
                    match ask::<TenantEntity>(client, &by, tenant.as_str(), colloquy_domain::tenant::Command::Facts)
                        .await?
                    {
                        colloquy_domain::tenant::Reply::Facts(facts) => *facts,
                        _ => return Err(ActorError::Failed),
                    };
                let members =
                    match ask::<TenantEntity>(client, &by, tenant.as_str(), colloquy_domain::tenant::Command::Members)
                        .await?
                    {
                        colloquy_domain::tenant::Reply::Members { items } => items
                            .into_iter()
                            .map(|m| (m.user_id, Member { role: m.role, name: m.name, email: m.email }))
                            .collect(),
                        _ => return Err(ActorError::Failed),
                    };
                Ok(TenantCopy { facts, members, keys: std::sync::Mutex::default() })
            })
            .await
    }
}
