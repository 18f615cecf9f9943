//! The lead entity: somebody who wants something from the business. Its one effect asks the routing rules who gets it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Cx, Decision, Entity, Message, Pending};
use colloquy_cluster::store::rows::Row;
use colloquy_connectors::Mail;
use colloquy_domain::Rejection;
use colloquy_domain::contact_guard::{Address, Purpose, Verdict};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lead::follow_up::FollowUp;
use colloquy_domain::lead::{self, Candidate, Command, Effect, Event, Reply, State, Teams};
use colloquy_domain::principal::{Principal, Role};
use colloquy_domain::vocabulary::{Channel, Urgency};

use crate::campaign::callback;
use crate::core::{Asked, Core, ask, context, decided, pendings};
use crate::{ActorError, Tools, bulletin, feed, guard};

/// The list that leads are projected into.
pub const LIST: &str = "leads";
const VIEW_VERSION: u16 = 2;
/// Leads whose owners are counted to share turns fairly: the newest ones say who is busy now.
const COUNTED_LEADS: usize = 500;
/// The first wait before a letter is tried again, and the longest: a mail server is back within minutes, or somebody has to look at it.
const MAIL_AGAIN: Duration = Duration::from_secs(10);
const MAIL_AGAIN_MAX: Duration = Duration::from_secs(320);

/// The kind `lead`.
pub struct LeadEntity {
    tools: Arc<Tools>,
}

impl LeadEntity {
    /// With what it scores and routes by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for LeadEntity {
    type Plain = Command;
}

impl Entity for LeadEntity {
    const KIND: &'static str = lead::KIND;
    const STATE_VERSION: u32 = 1;
    const EVENT_VERSION: u32 = 1;
    const PERSONAL: bool = true;

    type State = State;
    type Command = Asked<Command>;
    type Event = Event;
    type Reply = Reply;
    type Rejection = Rejection;
    type Effect = Effect;

    fn decide(&self, state: &State, cx: &Cx, asked: Asked<Command>) -> Result<Decision<Event, Reply>, Rejection> {
        let context = context(cx, asked.by)?;
        lead::decide(state, &context, asked.command, &self.tools.catalog.scoring).map(decided)
    }

    fn apply(state: &mut State, event: &Event, at: At) {
        lead::apply(state, event, at.seq, at.at_ms);
    }

    fn pending(state: &State) -> Vec<Pending<Effect>> {
        pendings(lead::pending(state))
    }

    fn rows(&self, key: &EntityKey, state: &State, seq: u64) -> Vec<Row> {
        let Some(view) = lead::view(state) else { return Vec::new() };
        let agent = view.agent_id.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.created_at_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&view),
            numbers: feed::encode(&feed::Contribution { agent, numbers: lead::numbers(state) }),
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn outbox(&self, key: &EntityKey, state: &State, event: &Event, _at: At) -> Vec<Message> {
        let news = colloquy_domain::bulletin::of_lead(state, event);
        news.map(|news| bulletin::tell(&key.tenant, news)).into_iter().collect()
    }

    fn watched(&self, _key: &EntityKey, _state: &State, event: &Event, _at: At) -> Option<Bytes> {
        feed::encode(event)
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            Effect::Mail { follow_up } => mail(&self.tools, &handle, *follow_up).await,
            Effect::Route { routing, agent_id, config_version: _ } => {
                if let Err(error) = route(&self.tools, &handle, routing, &agent_id).await {
                    // It stays wanted: the next change or activation asks again.
                    tracing::warn!(lead = %handle.key().id, %error, "a lead could not be routed yet");
                }
            }
        }
    }
}

/// Sends a letter, if the guard lets it. The letter's key makes a second one the same letter.
async fn mail(tools: &Tools, handle: &EffectHandle, follow_up: FollowUp) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let mut wait = MAIL_AGAIN;
    let error = loop {
        match mail_once(tools, handle, &tenant, &follow_up).await {
            Ok(()) => break None,
            Err((reason, true)) if wait <= MAIL_AGAIN_MAX => {
                tracing::info!(lead = %handle.key().id, reason, "a letter to a lead is tried again");
                tokio::select! {
                    () = tokio::time::sleep(wait) => wait *= 2,
                    () = handle.cancelled() => return,
                }
            }
            Err((reason, _)) => break Some(reason),
        }
    };
    let command = Command::FollowUpDone { id: follow_up.id, error };
    if let Err(error) = handle.command::<LeadEntity>(Asked { by: Principal::system(tenant), command }).await {
        tracing::warn!(lead = %handle.key().id, error = ?error, "what became of a letter could not be brought back");
    }
}

/// Why it was not sent, and whether another try may help.
async fn mail_once(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    follow_up: &FollowUp,
) -> Result<(), (String, bool)> {
    let address = Address::email(&follow_up.to).map_err(|rejection| (rejection.to_string(), false))?;
    let name = format!("{}/{}", handle.key().id, follow_up.id);
    let asked = guard::may_send(handle.client(), tools, tenant, &address, name, Channel::Email, Purpose::Service).await;
    match asked.map_err(|error| (error.to_string(), true))? {
        Verdict::Permitted(_) => {}
        Verdict::Refused(refusal) => return Err((format!("{}: {}", refusal.code(), refusal.sentence()), false)),
    }
    let mail = Mail {
        to: follow_up.to.clone(),
        subject: follow_up.subject.clone(),
        text: follow_up.content.clone(),
        html: None,
        idempotency_key: follow_up.id.clone(),
    };
    tools.mailer.send(&mail).await.map(|_| ()).map_err(|error| (error.to_string(), error.retryable()))
}

async fn route(tools: &Tools, handle: &EffectHandle, routing: u32, agent: &AgentId) -> Result<(), ActorError> {
    let client = handle.client();
    let tenant = TenantId::from(&*handle.key().tenant);
    let by = Principal::system(tenant.clone());
    let state = match ask::<LeadEntity>(client, &by, &handle.key().id, Command::Get).await? {
        Reply::State(state) => *state,
        Reply::Done | Reply::FollowUp { .. } => return Ok(()),
    };
    let config = match tools.agent(client, &tenant, agent).await {
        Ok(agent) => agent.config,
        // Its agent is gone: nobody's rules apply.
        Err(ActorError::Rejected(_)) => return settle(handle, by, routing, lead::Assignment::default()).await,
        Err(error) => return Err(error),
    };
    if let Err(error) = callback::call_back(client, tools, &tenant, agent, &state).await {
        // Who gets the lead does not wait for that: people see it and can call.
        tracing::warn!(lead = %handle.key().id, %error, "a new lead could not be put on the list of those who are called back");
    }
    let organization = tools.tenant_copy(client, &tenant).await?;
    let loads = loads(client, &tenant).await?;
    let members: Vec<Candidate> = organization
        .members
        .iter()
        .filter(|(_, member)| member.role >= Role::Rep)
        .map(|(user, member)| Candidate {
            user: user.clone(),
            email: member.email.clone(),
            leads: loads.get(user.as_str()).copied().unwrap_or(0),
        })
        .collect();
    let teams: Teams = organization
        .facts
        .settings
        .get("routing_teams")
        .and_then(|teams| serde_json::from_value(teams.clone()).ok())
        .unwrap_or_default();
    let urgency = state.capture.as_ref().map_or(Urgency::Normal, |capture| capture.urgency);
    let assignment =
        lead::choose(&config.routing_rules, &state.fields(), urgency, &members, &teams, state.assignment.as_ref());
    settle(handle, by, routing, assignment).await
}

async fn settle(
    handle: &EffectHandle,
    by: Principal,
    routing: u32,
    assignment: lead::Assignment,
) -> Result<(), ActorError> {
    match handle
        .command::<LeadEntity>(Asked { by, command: Command::Routed { routing, assignment } })
        .await
        .map_err(ActorError::from)
    {
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How many of the newest leads each member was given.
async fn loads(client: &colloquy_cluster::Client, tenant: &TenantId) -> Result<BTreeMap<String, u64>, ActorError> {
    let range = colloquy_cluster::store::rows::Range { limit: COUNTED_LEADS, ..Default::default() };
    let rows = client.list::<serde_json::Value>(tenant.as_str(), LIST, &range).await?;
    let mut loads = BTreeMap::new();
    for row in rows {
        if let Some(user) = row.body["assigned_to"].as_str() {
            *loads.entry(user.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(loads)
}
