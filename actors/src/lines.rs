//! The lines entity: an organization's provider accounts and numbers; nodes keep copies. A number belongs to one organization of the installation.

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity};
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lines::{self, Command, Event, Lines, NewNumber, Provider, Reply};
use colloquy_domain::principal::Role;
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection, conversation};

use crate::core::{Core, ask, pure_core};
use crate::{ActorError, Tools};

/// The scope in which a number names its organization: a provider's webhook knows the number only.
const NUMBERS: &str = "number";

/// The kind `lines`. It is sealed: it holds credentials.
pub struct LinesEntity;

impl Core for LinesEntity {
    type Plain = Command;
}

impl Entity for LinesEntity {
    pure_core!(lines, Lines, 1, 1, true);

    type Effect = std::convert::Infallible;

    fn watched(&self, _key: &EntityKey, _state: &Lines, _event: &Event, _at: At) -> Option<Bytes> {
        // Copies are dropped; what changed is asked anew, because events hold keys.
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Self::Effect, _handle: EffectHandle) {
        match effect {}
    }
}

impl Tools {
    /// The node's copy of an organization's lines.
    pub async fn lines(&self, client: &Client, tenant: &TenantId) -> Result<Arc<Lines>, ActorError> {
        let load = async {
            match ask::<LinesEntity>(client, &Principal::system(tenant.clone()), tenant.as_str(), Command::Get).await? {
                Reply::State(state) => Ok(*state),
                Reply::Done | Reply::Number { .. } | Reply::Agent { .. } | Reply::View(_) => Err(ActorError::Failed),
            }
        };
        self.lines.get(client, &key(tenant), load).await
    }

    /// Forgets the node's copy: it was just changed from here.
    pub fn lines_changed(&self, tenant: &TenantId) {
        self.lines.drop(&key(tenant));
    }

    /// A line from an agent to a person's number, if the agent has a number for the channel.
    pub async fn line_to(
        &self,
        client: &Client,
        tenant: &TenantId,
        agent: &AgentId,
        channel: Channel,
        to: &str,
    ) -> Result<Option<conversation::Line>, ActorError> {
        let lines = self.lines(client, tenant).await?;
        Ok(lines.of_agent(agent, channel).map(|(_, number)| line(&number.is, to)))
    }
}

/// The line between a number of ours and a person's.
pub(crate) fn line(number: &NewNumber, to: &str) -> conversation::Line {
    conversation::Line {
        provider: number.provider,
        from: number.number.clone(),
        external_id: number.external_id.clone(),
        to: to.to_owned(),
        template: number.template.clone(),
        heard_ms: None,
        proof: None,
    }
}

/// Asks an organization's lines.
pub async fn ask_lines(client: &Client, tools: &Tools, by: &Principal, command: Command) -> Result<Reply, ActorError> {
    let reply = ask::<LinesEntity>(client, by, by.tenant.as_str(), command).await;
    tools.lines_changed(&by.tenant);
    reply
}

/// Registers a number: it may belong to one organization only, because messages to it go there.
pub async fn register(client: &Client, tools: &Tools, by: &Principal, number: NewNumber) -> Result<String, ActorError> {
    let value = value(number.provider, called(&number));
    let owner = by.tenant.as_str();
    let unique = &client.store().unique;
    if let Some(holder) = unique.reserve(NUMBERS, &value, owner, client.now_ms()).await? {
        // Whoever reserved it and never finished has let it go; whoever holds it has not.
        let theirs = TenantId::from(holder.owner.as_str());
        let provider = number.provider;
        let held = tools.lines(client, &theirs).await?.called(provider, called(&number)).is_some();
        if held {
            return Err(Rejection::conflict("number_taken", "This number belongs to another organization here.").into());
        }
        unique.release(NUMBERS, &value, &holder.owner).await?;
        if unique.reserve(NUMBERS, &value, owner, client.now_ms()).await?.is_some() {
            return Err(ActorError::Busy { retry_after_ms: 1000 });
        }
    }
    match ask_lines(client, tools, by, Command::Register { number: Box::new(number) }).await {
        Ok(Reply::Number { id }) => {
            unique.confirm(NUMBERS, &value, owner).await?;
            Ok(id)
        }
        Ok(Reply::Done | Reply::Agent { .. } | Reply::View(_) | Reply::State(_)) => Err(ActorError::Failed),
        // What could not be found out keeps its reservation: the same call again settles it, and anybody else finds that nobody has the number.
        Err(error) => Err(error),
    }
}

/// Gives a number up. What we set up for it at its provider is taken back first: a provider that cannot be reached leaves everything as it is.
pub async fn release(client: &Client, tools: &Tools, by: &Principal, id: String) -> Result<(), ActorError> {
    let lines = tools.lines(client, &by.tenant).await?;
    let number = lines.numbers.get(&id).ok_or_else(|| Rejection::not_found("number"))?.is.clone();
    if number.provider.as_retell() {
        if !by.at_least(Role::Admin) {
            return Err(Rejection::forbidden("to give up a number you need the role admin or above").into());
        }
        crate::retell::setup::take_back(client, tools, &by.tenant, &id).await?;
    }
    ask_lines(client, tools, by, Command::Release { id }).await?;
    let value = value(number.provider, called(&number));
    client.store().unique.release(NUMBERS, &value, by.tenant.as_str()).await?;
    Ok(())
}

/// The organization a number belongs to.
pub async fn home(client: &Client, provider: Provider, number: &str) -> Result<Option<TenantId>, ActorError> {
    let holder = client.store().unique.holder(NUMBERS, &value(provider, number)).await?;
    Ok(holder.map(|holder| TenantId::from(holder.owner.as_str())))
}

/// What the provider calls a number in its webhooks.
fn called(number: &NewNumber) -> &str {
    match number.provider {
        Provider::Whatsapp => number.external_id.as_deref().unwrap_or(&number.number),
        Provider::Twilio | Provider::Simulated | Provider::Retell | Provider::SimulatedRetell | Provider::Vapi => {
            &number.number
        }
    }
}

fn value(provider: Provider, number: &str) -> String {
    format!("{}:{number}", provider.word())
}

fn key(tenant: &TenantId) -> EntityKey {
    EntityKey::new(tenant.as_str(), lines::KIND, tenant.as_str())
}
