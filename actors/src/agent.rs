//! The agent entity: a receptionist's configuration. Nodes keep copies; a change reaches running conversations at their next turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::{Range, Row};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::agent::config::{AgentConfig, BusinessHours};
use colloquy_domain::agent::{self, Agent, Event, Reply, Tell};
use colloquy_domain::conversation::Terms;
use colloquy_domain::conversation::confidential::Confidential;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::vocabulary::AgentStatus;
use colloquy_domain::{Principal, Rejection, knowledge, tenant};

use crate::core::{Core, ID_BYTES_MAX, ask, message, pure_core};
use crate::tenant::TenantEntity;
use crate::{ActorError, Tools, feed};

/// The list that agents are projected into.
pub const LIST: &str = "agents";
/// The scope in which an agent's id names its tenant: a public call knows the agent only.
const AGENTS: &str = "agent";
const VIEW_VERSION: u16 = 1;
/// Agents whose tenant is remembered; a hundred bytes each.
const HOMES_MAX: usize = 100_000;

/// Agents of a tenant that are listed at once: the most a tenant may have.
const LISTED_MAX: usize = 1_000;

/// The names of a tenant's agents, by id.
pub async fn names(client: &Client, tenant: &TenantId) -> Result<BTreeMap<String, String>, ActorError> {
    let range = Range { limit: LISTED_MAX, ..Range::default() };
    let rows = client.list_sound::<serde_json::Value>(tenant.as_str(), LIST, &range).await?.rows;
    let name = |body: &serde_json::Value| body["name"].as_str().unwrap_or_default().to_owned();
    Ok(rows.into_iter().map(|row| (row.id, name(&row.body))).collect())
}

/// The ids of a tenant's agents.
pub async fn ids(client: &Client, tenant: &TenantId) -> Result<Vec<String>, ActorError> {
    let range = Range { limit: LISTED_MAX, ..Range::default() };
    let rows = client.list::<serde_json::Value>(tenant.as_str(), LIST, &range).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The kind `agent`.
pub struct AgentEntity;

impl Core for AgentEntity {
    type Plain = agent::Command;
}

impl Entity for AgentEntity {
    pure_core!(agent, Agent, 1, 1, false);

    type Effect = std::convert::Infallible;

    fn rows(&self, key: &EntityKey, state: &Agent, seq: u64) -> Vec<Row> {
        if state.id.as_str().is_empty() {
            return Vec::new();
        }
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.created_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: agent::view::list_row(state).and_then(|row| serde_json::to_vec(&row).ok()).map(Bytes::from),
            numbers: None,
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn outbox(&self, key: &EntityKey, state: &Agent, event: &Event, _at: At) -> Vec<Message> {
        agent::tells(state, event)
            .into_iter()
            .map(|tell| match tell {
                Tell::Tenant(command) => message(&key.tenant, tenant::KIND, &key.tenant, command),
                Tell::Knowledge(command) => message(&key.tenant, knowledge::KIND, &key.id, command),
            })
            .collect()
    }

    fn watched(&self, _key: &EntityKey, _state: &Agent, event: &Event, _at: At) -> Option<Bytes> {
        match event {
            Event::Counted(_) => None,
            Event::Created { .. }
            | Event::Saved { .. }
            | Event::StatusSet { .. }
            | Event::IndexReady { .. }
            | Event::IndexFailed { .. }
            | Event::Deleted => Some(Bytes::from_static(b"{\"type\":\"changed\"}")),
        }
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

/// What a node keeps of an agent.
pub(crate) struct AgentFacts {
    status: AgentStatus,
    config_version: u64,
    config: AgentConfig,
    rendered: Mutex<Option<(u64, Rendered)>>,
}

/// A configuration with its variables filled in, and what fills them.
#[derive(Clone)]
struct Rendered {
    config: Arc<AgentConfig>,
    confidential: Arc<Confidential>,
    variables: Arc<BTreeMap<String, String>>,
    hours: Arc<BusinessHours>,
}

/// An agent as a turn or a visitor's page uses it.
#[derive(Clone)]
pub struct AgentNow {
    /// Its configuration, variables filled in.
    pub config: Arc<AgentConfig>,
    /// What of it must not be quoted.
    pub confidential: Arc<Confidential>,
    /// What fills variables, also those of prepared answers.
    pub variables: Arc<BTreeMap<String, String>>,
    /// The configuration's number.
    pub config_version: u64,
    /// Where it stands.
    pub status: AgentStatus,
    /// When the business is open.
    pub hours: Arc<BusinessHours>,
    /// The business's IANA zone.
    pub timezone: String,
    /// Whether the organization is stopped by the platform.
    pub suspended: bool,
}

impl AgentNow {
    /// Whether visitors are answered.
    pub fn live(&self) -> bool {
        self.status == AgentStatus::Active && self.config.chat_enabled && !self.suspended
    }

    /// The terms that a post is taken under.
    pub fn terms(&self) -> Terms {
        let config = &self.config;
        let told = config.escalation_email.is_some() || config.escalation_phone.is_some();
        Terms {
            config_version: self.config_version,
            max_messages: config.max_messages_per_convo,
            fallback_message: config.fallback_message.clone(),
            reachable: config.escalation_enabled && told,
            collect_leads: config.collect_leads,
            prefers_form: false,
            alert_email: config.escalation_email.clone().filter(|_| config.escalation_enabled),
        }
    }
}

impl Tools {
    /// An agent as it is now, from this node's copies.
    pub async fn agent(&self, client: &Client, tenant: &TenantId, id: &AgentId) -> Result<AgentNow, ActorError> {
        let key = EntityKey::new(tenant.as_str(), agent::KIND, id.as_str());
        let facts = self
            .agents
            .get(client, &key, async {
                let by = Principal::system(tenant.clone());
                match ask::<AgentEntity>(client, &by, id.as_str(), agent::Command::Config { version: None }).await? {
                    Reply::Config { version, status, config } => Ok(AgentFacts {
                        status,
                        config_version: u64::from(version),
                        config: *config,
                        rendered: Mutex::default(),
                    }),
                    _ => Err(ActorError::Failed),
                }
            })
            .await?;
        let organization = self.tenant_copy(client, tenant).await?;
        let org = &organization.facts;
        let Rendered { config, confidential, variables, hours } = {
            let mut rendered = facts.rendered.lock().unwrap_or_else(PoisonError::into_inner);
            match &*rendered {
                Some((version, now)) if *version == org.version => now.clone(),
                Some(_) | None => {
                    let config = agent::make::rendered(&facts.config, org);
                    let now = Rendered {
                        confidential: Arc::new(Confidential::of(&config)),
                        config: Arc::new(config),
                        variables: Arc::new(agent::make::variables(&facts.config, org)),
                        hours: Arc::new(org.business_hours.clone()),
                    };
                    *rendered = Some((org.version, now.clone()));
                    now
                }
            }
        };
        Ok(AgentNow {
            config,
            confidential,
            variables,
            config_version: facts.config_version,
            status: facts.status,
            hours,
            timezone: org.timezone.clone(),
            suspended: org.suspended,
        })
    }
}

impl Tools {
    /// Which tenant an agent belongs to. Agents are public names that never move, so a known one is not looked up again.
    pub async fn tenant_of_agent(&self, client: &Client, id: &AgentId) -> Result<Option<TenantId>, ActorError> {
        if let Some(tenant) = self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(Some(tenant.clone()));
        }
        if id.as_str().len() > ID_BYTES_MAX {
            return Ok(None);
        }
        let holder = client.store().unique.holder(AGENTS, id.as_str()).await?;
        let Some(tenant) = holder.filter(|holder| holder.confirmed).map(|holder| TenantId(holder.owner)) else {
            return Ok(None);
        };
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= HOMES_MAX {
            homes.clear();
        }
        homes.insert(id.clone(), tenant.clone());
        Ok(Some(tenant))
    }
}

/// Makes an agent: reserves its name and its place in the plan, then creates it. Each step may be repeated with the same id.
pub async fn create(
    client: &Client,
    by: &Principal,
    id: &AgentId,
    command: agent::Command,
) -> Result<agent::view::AgentView, ActorError> {
    let name = match &command {
        agent::Command::Create { config, .. } => config.name.clone(),
        _ => return Err(ActorError::Failed),
    };
    let unique = &client.store().unique;
    if unique.reserve(AGENTS, id.as_str(), by.tenant.as_str(), client.now_ms()).await?.is_some() {
        return Err(Rejection::conflict("already_done", "This agent exists.").into());
    }
    let reserve = tenant::Command::ReserveAgent { agent: id.clone(), name };
    ask::<TenantEntity>(client, &Principal::system(by.tenant.clone()), by.tenant.as_str(), reserve).await?;
    let reply = crate::core::ask_after_rows::<AgentEntity>(client, by, id.as_str(), command).await;
    match reply {
        Ok(Reply::Created { agent, .. }) => {
            unique.confirm(AGENTS, id.as_str(), by.tenant.as_str()).await?;
            Ok(*agent)
        }
        Ok(_) => Err(ActorError::Failed),
        Err(error) => {
            if matches!(error, ActorError::Rejected(_)) {
                let gone = tenant::Command::AgentGone { agent: id.clone() };
                ask::<TenantEntity>(client, &Principal::system(by.tenant.clone()), by.tenant.as_str(), gone).await?;
                unique.release(AGENTS, id.as_str(), by.tenant.as_str()).await?;
            }
            Err(error)
        }
    }
}

/// Settles a reserved place that did not report: the agent exists, or never came to be.
pub(crate) async fn settle(handle: &EffectHandle, id: &AgentId) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let by = Principal::system(tenant);
    let report = match ask::<AgentEntity>(handle.client(), &by, id.as_str(), agent::Command::View).await {
        Ok(Reply::Agent(agent)) => {
            tenant::Command::AgentChanged { agent: id.clone(), name: agent.config.name, status: agent.status }
        }
        Ok(_) | Err(ActorError::Rejected(Rejection::NotFound { .. })) => {
            tenant::Command::AgentGone { agent: id.clone() }
        }
        Err(error) => {
            tracing::warn!(agent = %id, %error, "a reserved place for an agent could not be settled yet");
            return; // The reservation's timer asks again.
        }
    };
    if let Err(error) = handle.command::<TenantEntity>(crate::core::Asked { by, command: report }).await {
        tracing::warn!(agent = %id, error = ?error, "a reserved place for an agent could not be settled yet");
    }
}
