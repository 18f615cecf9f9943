//! Agents and numbers at Retell, brought to what they are to be: looked at first, changed only where they differ, so that doing it again changes nothing.

use std::time::Duration;

use colloquy_cluster::Client;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lines::setup::{Bindings, Share, Step};
use colloquy_domain::lines::{Command, Lines, Number, Provider, Reply};
use colloquy_domain::{Principal, Rejection};
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::Repeat;
use colloquy_telephony::retell::rest::{read_agent, read_agents, read_number};
use colloquy_telephony::retell::settings::{AgentSettings, NumberSettings, ResponseEngine, WeightedAgent};
use serde_json::Value;

use super::{Account, Trouble};
use crate::core::ask;
use crate::lines::LinesEntity;
use crate::messages::connection_id;
use crate::{ActorError, Tools, calls};

/// The voice of agents that name none of Retell's.
const VOICE: &str = "11labs-Adrian";
/// What Retell is to tell us.
const EVENTS: [&str; 3] = ["call_started", "call_ended", "call_analyzed"];
/// The speeds that Retell takes.
const SPEED: (f64, f64) = (0.5, 2.0);
/// What Retell keeps of calls: everything, or neither sound nor words.
const KEEPS_ALL: &str = "everything";
const KEEPS_NO_WORDS: &str = "basic_attributes_only";
/// Characters of an agent's name there that are the agent's own.
const NAME_CHARS: usize = 60;
/// Hexadecimal digits of what tells our agents from others there.
const MARK_DIGITS: usize = 16;
/// Pauses before a changed agent is taken there again, each twice the one before, up to the longest.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(8);
/// Agents with one mark that are looked at: there is one, or two were made at once.
const MARKED_MAX: u32 = 10;

/// Sets a number up whole: an agent there that asks us, and the number bound to it in both directions. What stands in the way is kept with the number.
///
/// # Errors
/// A [`Rejection`] that says what is wrong and what to do.
pub async fn number(client: &Client, tools: &Tools, tenant: &TenantId, id: &str) -> Result<(), ActorError> {
    let lines = now(client, tenant).await?;
    let number = lines.numbers.get(id).ok_or_else(|| Rejection::not_found("number"))?;
    let provider = number.is.provider;
    let account = Account::of(client, tools, tenant, provider, &lines)?;
    match account.bind(id, number, &lines).await {
        Ok(()) => Ok(()),
        Err(trouble) => {
            let why = trouble.told(provider);
            account.note(Step::NotBound { id: id.to_owned(), why }).await?;
            Err(trouble.into_error(provider))
        }
    }
}

/// Takes back what was set up for a number: what it was bound to before, and no agent of ours that nobody needs.
///
/// # Errors
/// When Retell cannot be reached: nothing is given up then, because calls would go on coming to us.
pub async fn take_back(client: &Client, tools: &Tools, tenant: &TenantId, id: &str) -> Result<(), ActorError> {
    let lines = now(client, tenant).await?;
    let number = lines.numbers.get(id).ok_or_else(|| Rejection::not_found("number"))?;
    // An account that was taken away cannot be asked.
    let Ok(account) = Account::of(client, tools, tenant, number.is.provider, &lines) else { return Ok(()) };
    match account.unbind(id, number, &lines).await {
        Ok(()) => Ok(()),
        // Its key is no good any more: what stands there is its owner's to change.
        Err(Trouble::Fault(Fault::Credentials)) => Ok(()),
        Err(trouble) => Err(trouble.into_error(number.is.provider)),
    }
}

/// Brings the agent there that speaks for an agent of ours to what it is to be, before calls begin that need it.
///
/// # Errors
/// A [`Rejection`] that says what is wrong and what to do.
pub async fn agent(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    provider: Provider,
    agent: &AgentId,
) -> Result<String, ActorError> {
    let lines = now(client, tenant).await?;
    let account = Account::of(client, tools, tenant, provider, &lines)?;
    account.ensure(agent).await.map_err(|trouble| trouble.into_error(provider))
}

/// Brings the agents there that speak for a changed agent of ours to what they are to be now. What stands in the way is kept with their numbers, where the owner
/// sees it and sets them up again.
pub async fn changed(client: &Client, tools: &Tools, tenant: &TenantId, agent: &AgentId) {
    let lines = match tools.lines(client, tenant).await {
        Ok(lines) => lines,
        Err(error) => return tracing::warn!(%agent, %error, "a changed agent could not be taken to Retell"),
    };
    for provider in [Provider::Retell, Provider::SimulatedRetell] {
        if !lines.agents.get(&provider).is_some_and(|agents| agents.contains_key(agent)) {
            continue;
        }
        let Ok(account) = Account::of(client, tools, tenant, provider, &lines) else { continue };
        let mut pause = AGAIN;
        let trouble = loop {
            let Err(trouble) = account.ensure(agent).await else { break None };
            if pause > AGAIN_MAX {
                break Some(trouble.told(provider));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        };
        let Some(why) = trouble else { continue };
        for (id, _) in lines.numbers.iter().filter(|(_, of)| of.is.provider == provider && of.is.agent == *agent) {
            if let Err(error) = account.note(Step::NotBound { id: id.clone(), why: why.clone() }).await {
                tracing::warn!(number = %id, %error, "that an agent at Retell is not what it is to be could not be noted");
            }
        }
    }
}

/// The lines as they are, not the node's copy of them.
async fn now(client: &Client, tenant: &TenantId) -> Result<Lines, ActorError> {
    match ask::<LinesEntity>(client, &Principal::system(tenant.clone()), tenant.as_str(), Command::Get).await? {
        Reply::State(state) => Ok(*state),
        Reply::Done | Reply::Number { .. } | Reply::Agent { .. } | Reply::View(_) => Err(ActorError::Failed),
    }
}

impl Account<'_> {
    /// The agent there, made if there is none, changed if it is otherwise.
    pub(super) async fn ensure(&self, agent: &AgentId) -> Result<String, Trouble> {
        let _one = self.tools.retell.one_at_a_time(&self.tenant).await;
        let lines = now(self.client, &self.tenant).await?;
        let known = lines.agents.get(&self.provider).and_then(|agents| agents.get(agent)).cloned();
        let wanted = self.wanted(agent).await?;
        if let Some(id) = &known
            && self.brought_to(id, &wanted).await?
        {
            return Ok(id.clone());
        }
        let id = match self.marked(agent, &wanted).await? {
            Some(id) => id,
            None => self.make(agent, &wanted).await?,
        };
        let step = Step::AgentMade {
            provider: self.provider,
            agent: agent.clone(),
            external_id: id.clone(),
            instead_of: known,
        };
        let stands = match self.noted(step).await? {
            Reply::Agent { external_id } => external_id,
            Reply::Done | Reply::Number { .. } | Reply::View(_) | Reply::State(_) => {
                return Err(ActorError::Failed.into());
            }
        };
        if stands != id {
            // Another node was faster. That this one stays behind there would only confuse whoever looks at it.
            self.delete(&id).await?;
        }
        Ok(stands)
    }

    /// What the agent there is to be.
    async fn wanted(&self, agent: &AgentId) -> Result<AgentSettings, Trouble> {
        let settings = &self.tools.carriers.settings;
        if self.provider == Provider::Retell && !settings.api_url.starts_with("https://") {
            return Err(Rejection::conflict(
                "no_public_address",
                "Retell cannot reach this installation: set `public.api_url` to its https address",
            )
            .into());
        }
        let now = self.tools.agent(self.client, &self.tenant, agent).await?;
        let config = &now.config;
        let own_voice =
            config.voice_id.clone().filter(|voice| config.voice_provider == "retell" && !voice.trim().is_empty());
        let socket = settings.api_url.replacen("http", "ws", 1);
        let key = calls::socket_key(self.tools, agent);
        let connection = connection_id(self.provider, &self.tenant);
        let name: String = config.name.chars().take(NAME_CHARS).collect();
        Ok(AgentSettings {
            response_engine: Some(ResponseEngine::CustomLlm {
                llm_websocket_url: format!("{socket}/api/voice/retell/llm/{key}"),
            }),
            voice_id: Some(own_voice.unwrap_or_else(|| VOICE.to_owned())),
            agent_name: Some(format!("{name} (Colloquy {})", self.mark(agent))),
            language: Some(config.voice_language.clone()).filter(|language| !language.is_empty()),
            voice_speed: Some(config.voice_speed.clamp(SPEED.0, SPEED.1)),
            webhook_url: Some(format!("{}/api/voice/retell/webhook/{connection}", settings.api_url)),
            webhook_events: EVENTS.map(str::to_owned).to_vec(),
            // Callers are told that they are recorded where the owner wants recordings, and nowhere else: then nothing is kept there either.
            data_storage_setting: Some(if config.voice_recording { KEEPS_ALL } else { KEEPS_NO_WORDS }.to_owned()),
            ..AgentSettings::default()
        })
    }

    /// In the name of our agent there: nobody else can make it, so whatever has it is ours, also when nobody heard that it was made.
    fn mark(&self, agent: &AgentId) -> String {
        let name = format!("retell agent {} {} {agent}", self.provider.word(), self.tenant);
        let mut mark = blake3::keyed_hash(&self.tools.contact_key, name.as_bytes()).to_hex().to_string();
        mark.truncate(MARK_DIGITS);
        mark
    }

    /// Whether there is such an agent, which then is what it is to be.
    async fn brought_to(&self, id: &str, wanted: &AgentSettings) -> Result<bool, Trouble> {
        let answer = self.call(&self.rest().agent(id)).await?;
        let there: Value = match answer.as_answer().read(Repeat::Safe) {
            Ok(there) => there,
            Err(Fault::NotFound) => return Ok(false),
            Err(fault) => return Err(fault.into()),
        };
        let to_be = serde_json::to_value(wanted).map_err(|_| ActorError::Failed)?;
        if !covers(&there, &to_be) {
            let answer = self.call(&self.rest().update_agent(id, wanted)?).await?;
            answer.as_answer().done(Repeat::Safe)?;
        }
        Ok(true)
    }

    /// An agent with our mark.
    async fn marked(&self, agent: &AgentId, wanted: &AgentSettings) -> Result<Option<String>, Trouble> {
        let mark = self.mark(agent);
        let answer = self.call(&self.rest().find_agents(&mark, MARKED_MAX)).await?;
        for found in read_agents(&answer.as_answer())?.items {
            let ours = found.agent_name.is_some_and(|name| name.contains(&mark));
            if ours && self.brought_to(&found.agent_id, wanted).await? {
                return Ok(Some(found.agent_id));
            }
        }
        Ok(None)
    }

    async fn make(&self, agent: &AgentId, wanted: &AgentSettings) -> Result<String, Trouble> {
        let request = self.rest().create_agent(wanted)?;
        let answer = self.call(&request).await;
        match answer.and_then(|answer| read_agent(&answer.as_answer(), Repeat::OnceOnly)) {
            Ok(made) => Ok(made.agent_id),
            Err(Fault::OutcomeUnknown { status }) => match self.marked(agent, wanted).await? {
                Some(id) => Ok(id),
                None => Err(Fault::Unavailable { status }.into()),
            },
            Err(fault) => Err(fault.into()),
        }
    }

    async fn delete(&self, id: &str) -> Result<(), Trouble> {
        let answer = self.call(&self.rest().delete_agent(id)).await?;
        match answer.as_answer().done(Repeat::Safe) {
            Ok(()) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn bind(&self, id: &str, number: &Number, lines: &Lines) -> Result<(), Trouble> {
        let agent = self.ensure(&number.is.agent).await?;
        let answer = self.call(&self.rest().number(&number.is.number)).await?;
        let there = read_number(&answer.as_answer(), Repeat::Safe)?;
        let own: Vec<&String> = lines.agents.get(&self.provider).into_iter().flatten().map(|(_, id)| id).collect();
        let theirs = |agents: &[WeightedAgent]| {
            agents
                .iter()
                .filter(|bound| bound.agent_id != agent && !own.contains(&&bound.agent_id))
                .map(share)
                .collect()
        };
        let before = Bindings { inbound: theirs(&there.inbound_agents), outbound: theirs(&there.outbound_agents) };
        // Written down first: what was before is known also if nobody hears of what comes now.
        self.note(Step::Binding { id: id.to_owned(), agent: agent.clone(), before }).await?;
        let only = |agents: &[WeightedAgent]| matches!(agents, [one] if one.agent_id == agent);
        if !only(&there.inbound_agents) || !only(&there.outbound_agents) {
            let whole = vec![WeightedAgent { agent_id: agent, weight: 1.0, agent_version: None }];
            self.set(&number.is.number, whole.clone(), whole).await?;
        }
        self.note(Step::Bound { id: id.to_owned() }).await?;
        // Who answered here before may have nothing else to do there.
        let of_before = number.set_up.as_ref().map(|set_up| set_up.agent.as_str()).unwrap_or_default();
        let agents = lines.agents.get(&self.provider);
        let before = agents.into_iter().flatten().find(|(_, there)| there.as_str() == of_before);
        match before {
            Some((own, there)) if *own != number.is.agent => self.retire(id, own, there, lines).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Deletes an agent there that no other number of this account is bound to. A campaign that needs it has it made again.
    async fn retire(&self, id: &str, own: &AgentId, there: &str, lines: &Lines) -> Result<(), Trouble> {
        let mut others = lines.numbers.iter().filter(|(other, _)| *other != id);
        if others.any(|(_, other)| other.is.provider == self.provider && other.is.agent == *own) {
            return Ok(());
        }
        self.delete(there).await?;
        Ok(self.note(Step::AgentGone { provider: self.provider, agent: own.clone() }).await?)
    }

    async fn set(&self, number: &str, inbound: Vec<WeightedAgent>, outbound: Vec<WeightedAgent>) -> Result<(), Fault> {
        let settings = NumberSettings {
            inbound_agents: Some(inbound),
            outbound_agents: Some(outbound),
            ..NumberSettings::default()
        };
        self.call(&self.rest().update_number(number, &settings)).await?.as_answer().done(Repeat::Safe)
    }

    async fn unbind(&self, id: &str, number: &Number, lines: &Lines) -> Result<(), Trouble> {
        let Some(set_up) = number.set_up.as_ref().filter(|set_up| !set_up.agent.is_empty()) else { return Ok(()) };
        let answer = self.call(&self.rest().number(&number.is.number)).await?;
        match read_number(&answer.as_answer(), Repeat::Safe) {
            Ok(there) => {
                let mut bound = there.inbound_agents.iter().chain(&there.outbound_agents);
                // Whoever bound it to something else since wants that.
                if bound.any(|bound| bound.agent_id == set_up.agent) {
                    let again = |shares: &[Share]| shares.iter().map(weighted).collect::<Vec<_>>();
                    let (inbound, outbound) = (again(&set_up.before.inbound), again(&set_up.before.outbound));
                    match self.set(&number.is.number, inbound, outbound).await {
                        Ok(()) => {}
                        // Those agents are gone: better nobody than us.
                        Err(Fault::Refused { .. } | Fault::NotFound) => {
                            self.set(&number.is.number, Vec::new(), Vec::new()).await?;
                        }
                        Err(fault) => return Err(fault.into()),
                    }
                }
            }
            Err(Fault::NotFound) => {}
            Err(fault) => return Err(fault.into()),
        }
        self.retire(id, &number.is.agent, &set_up.agent, lines).await
    }

    async fn note(&self, step: Step) -> Result<(), ActorError> {
        self.noted(step).await.map(|_| ())
    }

    async fn noted(&self, step: Step) -> Result<Reply, ActorError> {
        let by = Principal::system(self.tenant.clone());
        crate::lines::ask_lines(self.client, self.tools, &by, Command::SetUp(step)).await
    }
}

fn share(bound: &WeightedAgent) -> Share {
    let thousandths = (bound.weight.clamp(0.0, 1.0) * 1000.0).round() as u32;
    Share { agent_id: bound.agent_id.clone(), thousandths, version: bound.agent_version.clone() }
}

fn weighted(share: &Share) -> WeightedAgent {
    let weight = f64::from(share.thousandths) / 1000.0;
    WeightedAgent { agent_id: share.agent_id.clone(), weight, agent_version: share.version.clone() }
}

/// Whether everything that is wanted is there already. Retell adds fields of its own, writes 1 for 1.0, and orders lists as it likes.
fn covers(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| there.get(name).is_some_and(|there| covers(there, wanted)))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && wanted.iter().all(|wanted| there.iter().any(|there| covers(there, wanted)))
        }
        (Value::Number(there), Value::Number(wanted)) => match (there.as_f64(), wanted.as_f64()) {
            (Some(there), Some(wanted)) => (there - wanted).abs() < 1e-6,
            _ => there == wanted,
        },
        (there, wanted) => there == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_is_changed_only_where_it_differs() {
        let there = json!({ "voice_speed": 1, "webhook_events": ["call_ended", "call_started"], "response_engine": { "type": "custom-llm", "llm_websocket_url": "wss://a" }, "version": 3 });
        assert!(covers(&there, &json!({ "voice_speed": 1.0, "webhook_events": ["call_started", "call_ended"] })));
        assert!(covers(&there, &json!({ "response_engine": { "llm_websocket_url": "wss://a" } })));
        assert!(!covers(&there, &json!({ "response_engine": { "llm_websocket_url": "wss://b" } })));
        assert!(!covers(&there, &json!({ "webhook_events": ["call_started"] })));
        assert!(!covers(&there, &json!({ "language": "en-US" })), "what is not there differs");
    }

    #[test]
    fn shares_come_back_as_they_were() {
        let bound = WeightedAgent { agent_id: "a".into(), weight: 0.3, agent_version: Some(json!(4)) };
        assert_eq!(weighted(&share(&bound)), bound);
    }
}
