//! The call entity, and what a frontend does with a call: finds or begins it, brings its words to the conversation, and ends it.
//!
//! A call is named after its carrier and the carrier's id of it, so a socket that opens anywhere finds it. Everything here may be done again: a frontend
//! that dies in the middle leaves what the next one goes on with.

pub mod fetch;
pub mod missed;
pub mod recording;
mod review;
mod written;

use std::sync::Arc;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::{At, Entity, Message};
use colloquy_cluster::store::rows::Row;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::call::{
    self, Call, Carrier, Command, Direction, Effect, End, Event, NewCall, Reply, script, view,
};
use colloquy_domain::campaign::dialled::Dialled;
use colloquy_domain::campaign::slice;
use colloquy_domain::conversation::{self, CallBegun, Post, Posted, Spoken};
use colloquy_domain::ids::{AgentId, CallId, ConversationId, TenantId, VisitorId};
use colloquy_domain::local_time::{is_open, zone_or_utc};
use colloquy_domain::thread;
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection, bulletin, check, pacer};

use self::fetch::What;
use crate::agent::AgentNow;
use crate::conversation::ConversationEntity;
use crate::core::{Core, ask, message, pure_core, pure_work};
use crate::thread::ThreadEntity;
use crate::{ActorError, Tools, campaign, feed};

/// The list that calls are projected into.
pub const LIST: &str = "calls";
/// The version of the row's shape.
const VIEW_VERSION: u16 = 1;
/// Hexadecimal digits of derived ids: 128 bits.
const DIGITS: usize = 32;
/// How often a call is brought to another conversation because one turned out to be closed.
const TRIES: u32 = 3;

/// The kind `call`.
pub struct CallEntity {
    tools: Arc<Tools>,
}

impl CallEntity {
    /// With what its effects need.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for CallEntity {
    type Plain = Command;
}

impl Entity for CallEntity {
    pure_core!(call, Call, 1, 1, true);
    pure_work!(call, Effect, |state| state.tenant.clone());

    fn rows(&self, key: &EntityKey, state: &Call, seq: u64) -> Vec<Row> {
        let Some(shown) = view::view(state) else { return Vec::new() };
        let numbers = feed::Contribution { agent: shown.agent_id.to_string(), numbers: view::numbers(state) };
        vec![Row {
            tenant: key.tenant.to_string(),
            list: LIST.to_owned(),
            at_ms: state.rang_ms,
            id: key.id.to_string(),
            seq,
            view_version: VIEW_VERSION,
            body: feed::encode(&shown),
            numbers: feed::encode(&numbers),
        }]
    }

    fn tell(&self, key: &EntityKey, rows: &[Row]) -> Vec<Message> {
        feed::tell(key, rows)
    }

    fn outbox(&self, key: &EntityKey, state: &Call, event: &Event, _at: At) -> Vec<Message> {
        let told = call::conversation_message(state, event)
            .map(|(conversation, command)| message(&key.tenant, conversation::KIND, conversation.as_str(), command));
        let slice =
            call::slice_message(state, event).map(|(id, command)| message(&key.tenant, slice::KIND, &id, command));
        let pacer = call::pacer_message(state, event)
            .map(|(account, command)| message(pacer::TENANT, pacer::KIND, &account, command));
        let news = bulletin::of_call(state, event).map(|news| crate::bulletin::tell(&key.tenant, news));
        told.into_iter().chain(slice).chain(pacer).chain(news).collect()
    }

    fn watched(&self, _key: &EntityKey, _state: &Call, _event: &Event, _at: At) -> Option<Bytes> {
        Some(Bytes::from_static(b"{\"type\":\"changed\"}"))
    }

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Repeatable: the same conversation gives the same review by rules; a model is asked by the first attempt only.
            Effect::Review { attempt, conversation, campaigns } => {
                review::run(&self.tools, &handle, attempt, &conversation, campaigns).await;
            }
            Effect::DeleteRecording => recording::run(&handle).await,
            // Once only: journaled as begun before anything leaves.
            Effect::TextBack => missed::text_back(&self.tools, &handle).await,
            // Repeatable: the same pieces under the same names.
            Effect::FetchVoicemail { recording } => fetch::run(&self.tools, &handle, What::Voicemail(&recording)).await,
            Effect::FetchRecording => fetch::run(&self.tools, &handle, What::Call).await,
            // Repeatable: the conversation notes a call's words once.
            Effect::WriteVoicemail => written::run(&self.tools, &handle).await,
        }
    }
}

/// A call as a frontend hears of it.
#[derive(Clone)]
pub struct Heard {
    /// Who answers.
    pub agent: AgentId,
    /// Who carries it.
    pub carrier: Carrier,
    /// The carrier's id of it.
    pub provider_call_id: String,
    /// Who called whom.
    pub direction: Direction,
    /// The number of the person, as the carrier says; anything else than E.164 is nobody's.
    pub person: Option<String>,
    /// Our number.
    pub line: Option<String>,
    /// A test from the console.
    pub test: bool,
    /// The provider account that carries it, as its pacer is named.
    pub account: Option<String>,
    /// The dial it comes of, if we made it.
    pub dial: Option<Dialled>,
}

/// A call that goes on in its conversation.
#[derive(Clone, Debug)]
pub struct Live {
    /// The call.
    pub call: CallId,
    /// Where its words stand.
    pub conversation: ConversationId,
}

/// The call's name here.
pub fn id(tools: &Tools, tenant: &TenantId, carrier: Carrier, provider_call_id: &str) -> CallId {
    CallId(derived(tools, &["call", tenant.as_str(), carrier.word(), provider_call_id]))
}

/// The secret part of the address that a voice provider opens for an agent: nothing else proves that it is the provider who asks.
pub fn socket_key(tools: &Tools, agent: &AgentId) -> String {
    format!("{agent}.{}", derived(tools, &["voice socket", agent.as_str()]))
}

/// The agent that such an address names.
pub fn agent_of_key(tools: &Tools, key: &str) -> Option<AgentId> {
    let (agent, _) = key.rsplit_once('.')?;
    let agent = AgentId::from(agent);
    let own = socket_key(tools, &agent);
    // Compared as hashes, so that the time it takes tells nothing about the key.
    (blake3::hash(own.as_bytes()) == blake3::hash(key.as_bytes())).then_some(agent)
}

/// What proves to our socket that instructions of ours opened it for this call, until then.
/// It names the agent and the dial that the call comes of, if we made it.
pub fn ticket(tools: &Tools, agent: &AgentId, provider_call_id: &str, dial: Option<&Dialled>, until_ms: i64) -> String {
    let (until, dial) = (until_ms.to_string(), dial.map(Dialled::name).unwrap_or_default());
    format!("{agent}.{until}.{}", derived(tools, &["voice ticket", agent.as_str(), provider_call_id, &dial, &until]))
}

/// The agent that a good ticket of this call names, and until when it is good.
pub fn agent_of_ticket(
    tools: &Tools,
    given: &str,
    provider_call_id: &str,
    dial: Option<&Dialled>,
    now_ms: i64,
) -> Option<(AgentId, i64)> {
    let mut parts = given.rsplitn(3, '.');
    let (_, until, agent) = (parts.next()?, parts.next()?, parts.next()?);
    let (until_ms, agent) = (until.parse::<i64>().ok()?, AgentId::from(agent));
    let own = ticket(tools, &agent, provider_call_id, dial, until_ms);
    let same = blake3::hash(own.as_bytes()) == blake3::hash(given.as_bytes());
    (same && now_ms <= until_ms).then_some((agent, until_ms))
}

/// The state of a call, if anybody has heard of it.
pub async fn find(client: &Client, by: &Principal, call: &CallId) -> Result<Option<Call>, ActorError> {
    match ask::<CallEntity>(client, by, call.as_str(), Command::Get).await {
        Ok(Reply::State(state)) => Ok(Some(*state)),
        Ok(Reply::Done) => Err(ActorError::Failed),
        Err(ActorError::Rejected(Rejection::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A call is heard of, before anybody carries it. Said again it is the same call, and how it stands is the answer.
///
/// # Errors
/// When the call cannot be asked, or is another agent's.
pub async fn ring(client: &Client, tools: &Tools, tenant: &TenantId, heard: Heard) -> Result<Option<Call>, ActorError> {
    let by = Principal::system(tenant.clone());
    let call = id(tools, tenant, heard.carrier, &heard.provider_call_id);
    let number = |number: Option<String>| number.filter(|number| check::is_e164(number));
    let ring = NewCall {
        id: call.clone(),
        carrier: heard.carrier,
        provider_call_id: heard.provider_call_id,
        agent_id: heard.agent,
        direction: heard.direction,
        person: number(heard.person),
        line: number(heard.line),
        test: heard.test,
        account: heard.account,
        dial: heard.dial,
    };
    match ask::<CallEntity>(client, &by, call.as_str(), Command::Ring(Box::new(ring))).await? {
        Reply::State(state) => Ok(Some(*state)),
        Reply::Done => Ok(None),
    }
}

/// Begins a call, or finds it: it stands in its conversation, which has said the greeting.
pub async fn begin(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    agent: &AgentNow,
    heard: Heard,
) -> Result<Live, ActorError> {
    let by = Principal::system(tenant.clone());
    let call = id(tools, tenant, heard.carrier, &heard.provider_call_id);
    ring(client, tools, tenant, heard.clone()).await?;
    let person = heard.person.clone().filter(|number| check::is_e164(number));
    let state = find(client, &by, &call).await?.ok_or(ActorError::Failed)?;
    let errand = match &heard.dial {
        Some(dialled) => campaign::errand::of(client, tenant, dialled, person.as_deref()).await?,
        None => None,
    };
    let variables = &agent.config.variables;
    let opening = errand.as_ref().and_then(|errand| errand.opening(variables));
    let opening = opening.map(|words| script::opening(&agent.config, heard.direction, &words));
    let mut closed: Option<ConversationId> = None;
    for _ in 0..TRIES {
        let conversation = belongs(client, tools, &state, &heard.agent, person.as_deref(), closed.as_ref()).await?;
        let zone = zone_or_utc(&agent.timezone);
        let open = agent.hours.is_empty() || is_open(&agent.hours, &zone, client.now_ms());
        let name = errand.as_ref().and_then(|errand| errand.name.clone());
        let known = caller(tools, &call, &heard.agent, person.as_deref());
        // Whoever makes a test call is of the organization: they try the agent, and are no caller of it.
        let visitor = conversation::Visitor { name, trial: heard.test, ..known };
        let begun = CallBegun {
            conversation_id: conversation.clone(),
            agent_id: heard.agent.clone(),
            call: call.clone(),
            visitor,
            terms: agent.terms(),
            greeting: Some(script::first_words(
                &agent.config,
                opening.as_deref(),
                heard.direction,
                open,
                person.as_deref(),
            )),
            person: person.clone(),
            errand: errand.clone().map(Box::new),
        };
        let began = conversation::Command::CallBegan(Box::new(begun));
        match ask::<ConversationEntity>(client, &by, conversation.as_str(), began).await {
            Ok(_) => {
                ask::<CallEntity>(client, &by, call.as_str(), Command::Join { conversation: conversation.clone() })
                    .await?;
                // Another frontend may have been first: where the call belongs is said once.
                let joined = find(client, &by, &call).await?.and_then(|state| state.conversation_id);
                return Ok(Live { call, conversation: joined.unwrap_or(conversation) });
            }
            // Ended for good, or erased since: the person begins anew.
            Err(ActorError::Rejected(Rejection::Conflict { code, .. })) if code == "conversation_closed" => {}
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => {}
            Err(error) => return Err(error),
        }
        closed = Some(conversation);
    }
    Err(ActorError::Failed)
}

/// This socket carries the call from here. The state after it.
pub async fn attach(client: &Client, by: &Principal, call: &CallId, socket: &str) -> Result<Call, ActorError> {
    ask::<CallEntity>(client, by, call.as_str(), Command::Attach { socket: socket.to_owned() }).await?;
    find(client, by, call).await?.ok_or(ActorError::Failed)
}

/// This socket still carries the call. Nothing is lost when one of these is.
pub async fn carried(client: &Client, by: &Principal, call: &CallId, socket: &str) {
    let command = Command::Carried { socket: socket.to_owned() };
    if let Err(error) = ask::<CallEntity>(client, by, call.as_str(), command).await {
        tracing::debug!(call = %call, %error, "a call's beat could not be noted");
    }
}

/// The socket was lost; somebody may come back for the call.
pub async fn detach(client: &Client, by: &Principal, call: &CallId, socket: &str) {
    let command = Command::Detach { socket: socket.to_owned() };
    if let Err(error) = ask::<CallEntity>(client, by, call.as_str(), command).await {
        // Then its longest time, or its carrier's word, ends it.
        tracing::info!(call = %call, %error, "a lost connection could not be noted");
    }
}

/// The call is over, as far as who says so knows. Saying it again, or with more, changes only what was not known.
pub async fn end(client: &Client, by: &Principal, call: &CallId, end: End) -> Result<(), ActorError> {
    ask::<CallEntity>(client, by, call.as_str(), Command::Ended(Box::new(end))).await?;
    Ok(())
}

/// What a carrier's webhook says of a call that may have been taken: of one that never was there is nothing to note.
pub async fn told(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    carrier: Carrier,
    provider_call_id: &str,
    news: Command,
) -> Result<(), ActorError> {
    let call = id(tools, tenant, carrier, provider_call_id);
    match ask::<CallEntity>(client, &Principal::system(tenant.clone()), call.as_str(), news).await {
        Ok(_) | Err(ActorError::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The caller said something.
pub async fn hear(
    client: &Client,
    by: &Principal,
    agent: &AgentNow,
    live: &Live,
    agent_id: &AgentId,
    spoken: Spoken,
    words: &str,
) -> Result<Posted, ActorError> {
    // The same words of the same turn are the same message, whoever brings them, and however often.
    let digest = blake3::hash(words.as_bytes()).to_hex();
    let client_message_id = format!("{}/{}/{}", live.call, spoken.turn, &digest[..16]);
    let mut terms = agent.terms();
    terms.prefers_form = false; // A form cannot be heard.
    let post = Post {
        conversation_id: live.conversation.clone(),
        agent_id: agent_id.clone(),
        client_message_id: Some(client_message_id),
        text: words.to_owned(),
        channel: Channel::Voice,
        visitor: conversation::Visitor::default(),
        terms,
        // Who was greeted is answered, also when the agent was switched off meanwhile.
        agent_live: true,
        continues: true,
        carried: None,
        spoken: Some(Box::new(spoken)),
    };
    let post = conversation::Command::Post(Box::new(post));
    match ask::<ConversationEntity>(client, by, live.conversation.as_str(), post).await? {
        conversation::Reply::Posted(posted) => Ok(posted),
        _ => Err(ActorError::Failed),
    }
}

/// Names words of ours in their conversation.
pub fn name_of_words(live: &Live, name: &str) -> String {
    format!("{}/{name}", live.call)
}

/// Words of ours that answer nothing stand in the conversation before they are spoken. `name` tells them from others of the call.
pub async fn speak(client: &Client, by: &Principal, live: &Live, name: &str, words: &str) -> Result<(), ActorError> {
    let command = conversation::Command::Speak {
        call: live.call.clone(),
        client_id: name_of_words(live, name),
        text: words.to_owned(),
    };
    ask::<ConversationEntity>(client, by, live.conversation.as_str(), command).await?;
    Ok(())
}

/// Of our last words the caller heard only these.
pub async fn heard_only(client: &Client, by: &Principal, live: &Live, heard: &str) -> Result<(), ActorError> {
    let command = conversation::Command::HeardOnly { call: live.call.clone(), heard: heard.to_owned() };
    ask::<ConversationEntity>(client, by, live.conversation.as_str(), command).await?;
    Ok(())
}

/// What was written down of what a caller left after the beep, from the conversation it stands in.
///
/// # Errors
/// When the conversation cannot be asked. One that was erased has none.
pub async fn left_words(
    client: &Client,
    tenant: &TenantId,
    call: &CallId,
    conversation: &ConversationId,
) -> Result<Option<String>, ActorError> {
    let live = Live { call: call.clone(), conversation: conversation.clone() };
    match conversation_of(client, &Principal::system(tenant.clone()), &live).await {
        Ok(state) => {
            let left = state.messages.iter().find(|said| said.voicemail && said.call.as_ref() == Some(call));
            Ok(left.map(|said| said.content.clone()))
        }
        Err(ActorError::Rejected(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The conversation of a call as it is.
pub async fn conversation_of(
    client: &Client,
    by: &Principal,
    live: &Live,
) -> Result<Box<conversation::State>, ActorError> {
    match ask::<ConversationEntity>(client, by, live.conversation.as_str(), conversation::Command::Get).await? {
        conversation::Reply::State(state) => Ok(state),
        _ => Err(ActorError::Failed),
    }
}

/// Who called, as the conversation knows them.
fn caller(tools: &Tools, call: &CallId, agent: &AgentId, person: Option<&str>) -> conversation::Visitor {
    let id = match person {
        Some(person) => crate::thread::visitor(tools, agent, person),
        None => VisitorId(format!("call-{}", derived(tools, &["caller", call.as_str()]))),
    };
    conversation::Visitor { id, phone: person.map(str::to_owned), ..conversation::Visitor::default() }
}

/// The conversation a call belongs to, other than one that turned out to be closed.
async fn belongs(
    client: &Client,
    tools: &Tools,
    call: &Call,
    agent: &AgentId,
    person: Option<&str>,
    closed: Option<&ConversationId>,
) -> Result<ConversationId, ActorError> {
    let known = call.conversation_id.clone().filter(|known| Some(known) != closed);
    match (known, person) {
        (Some(known), _) => Ok(known),
        (None, Some(person)) => of_number(client, tools, &call.tenant, agent, person, &call.id, closed).await,
        (None, None) => {
            let after = closed.map_or("", |closed| closed.as_str());
            Ok(ConversationId(derived(tools, &["call conversation", call.id.as_str(), after])))
        }
    }
}

/// The conversation that a number's calls belong to: that of its messages, within the organization's time.
async fn of_number(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    agent: &AgentId,
    person: &str,
    call: &CallId,
    closed: Option<&ConversationId>,
) -> Result<ConversationId, ActorError> {
    let name = match closed {
        Some(closed) => format!("{call}/{closed}"),
        None => call.to_string(),
    };
    let heard = thread::Command::Heard {
        agent: agent.clone(),
        message: format!("call:{call}"),
        fresh: crate::thread::conversation(tools, agent, person, &name),
        code: None,
        closed: closed.cloned(),
        within_ms: crate::thread::within_ms(client, tools, tenant).await?,
    };
    let thread = crate::thread::id(tools, agent, person);
    match ask::<ThreadEntity>(client, &Principal::system(tenant.clone()), &thread, heard).await? {
        thread::Reply::Goes { conversation, .. } => Ok(conversation),
        thread::Reply::Person { .. } | thread::Reply::Done | thread::Reply::State(_) => Err(ActorError::Failed),
    }
}

fn derived(tools: &Tools, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&tools.contact_key);
    for part in parts {
        // Lengths keep "ab","c" and "a","bc" apart.
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    let mut id = hasher.finalize().to_hex().to_string();
    id.truncate(DIGITS);
    id
}
