//! What HTTP and socket have in common of a visitor's chat: who it is, which agent, which conversation, and the answer to a message.

pub mod frames;
pub mod proof;
pub mod trial;

use std::sync::Arc;
use std::time::Duration;

use colloquy_actors::cluster::client::{Watch, WatchStream};
use colloquy_actors::cluster::{EntityKey, store};
use colloquy_actors::conversation::{ConversationEntity, Streamed};
use colloquy_actors::core::ask;
use colloquy_actors::domain::conversation::attachment::READ_WITHIN_MS;
use colloquy_actors::domain::conversation::{
    self, Attachment, Command, Event, Outcome, Post, Posted, Reply, TurnOutcome,
};
use colloquy_actors::domain::demo;
use colloquy_actors::domain::ids::{AgentId, ConversationId, TenantId, TurnId, VisitorId};
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::domain::{Actor, Principal};
use colloquy_actors::messages::files;
use colloquy_actors::{ActorError, agent};
use colloquy_wire::chat::{ChatMetadata, ChatResponse};
use colloquy_wire::common::Retry;
use tokio::time::Instant;

use crate::app::AppState;
use crate::problem::{Problem, Result};
use crate::tokens::{Visitor, hex};

/// A client's own visitor id is at most this long: 128 bits take 32 hexadecimal digits.
const VISITOR_ID_MAX: usize = 128;
/// A client's own message id is at most this long.
const CLIENT_ID_MAX: usize = 100;

/// An agent as a visitor reaches it.
#[derive(Clone)]
pub struct Reached {
    /// Its id.
    pub id: AgentId,
    /// Its tenant.
    pub tenant: colloquy_actors::domain::ids::TenantId,
    /// How it is now.
    pub now: agent::AgentNow,
    /// Whether its own people are trying it out: then it answers also as a draft, and what is said is a trial.
    pub tested: bool,
}

/// A visitor at an agent.
#[derive(Clone)]
pub struct Guest {
    /// The agent.
    pub agent: Reached,
    /// The visitor.
    pub visitor: Visitor,
    /// The signed token, to hand out.
    pub token: String,
}

impl Guest {
    /// The principal of everything this visitor does.
    pub fn by(&self) -> Principal {
        let actor = Actor::Visitor { id: self.visitor.acting().clone(), agent: self.agent.id.clone() };
        Principal { tenant: self.agent.tenant.clone(), actor }
    }
}

/// Facts of the request that a first message keeps.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// From the client.
    pub metadata: ChatMetadata,
    /// The client's address.
    pub ip: Option<String>,
    /// The browser.
    pub user_agent: Option<String>,
}

/// Finds an agent by its public id. Unknown and deleted ones are the same.
pub async fn reach(app: &AppState, id: &str) -> Result<Reached> {
    let not_found = || Problem::not_found("agent");
    let id = AgentId::from(id);
    let tenant = app.actors.tenant_of_agent(&id).await?.ok_or_else(not_found)?;
    // An installation that switched the demonstration off again keeps what was said, and shows nobody.
    if !app.settings.demo && demo::is_sandboxed(tenant.as_str()) {
        return Err(not_found());
    }
    match app.actors.tools.agent(&app.actors.client, &tenant, &id).await {
        Ok(now) => Ok(Reached { id, tenant, now, tested: false }),
        Err(ActorError::Rejected(_)) => Err(not_found()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses visitors of an agent that does not answer.
pub fn need_live(agent: &Reached) -> Result<()> {
    if agent.now.live() {
        Ok(())
    } else {
        Err(Problem::conflict("agent_not_live", "This assistant is switched off at the moment."))
    }
}

/// Who a client is: by its token, or new.
pub fn guest(
    app: &AppState,
    agent: Reached,
    visitor_id: &str,
    token: Option<&Visitor>,
    first: Option<&str>,
) -> Result<Guest> {
    check_visitor_id(visitor_id)?;
    let visitor = match token {
        Some(visitor) if visitor.agent == agent.id && visitor.tenant == agent.tenant && visitor.is(visitor_id) => {
            visitor.clone()
        }
        Some(_) => {
            return Err(Problem::unauthorized(
                "The visitor token belongs to another agent or visitor: start again without it.",
            ));
        }
        None => {
            let fresh;
            let first = match first {
                Some(first) => first,
                None => {
                    fresh = hex(&rand::random::<[u8; 16]>());
                    &fresh
                }
            };
            let visitor = app.tokens.visitor_of(&agent.id, visitor_id, first);
            Visitor { tenant: agent.tenant.clone(), agent: agent.id.clone(), visitor, person: None }
        }
    };
    let token = app.tokens.sign_visitor(&visitor);
    Ok(Guest { agent, visitor, token })
}

/// Refuses too many messages of one visitor or address.
pub fn limit(app: &AppState, address: std::net::IpAddr, agent: &AgentId, visitor_id: &str) -> Result<()> {
    let now = app.now_ms();
    app.limits.chat_address.take(address, now).map_err(Problem::too_many)?;
    if agent.as_str() == demo::AGENT {
        app.limits.demo_address.take(address, now).map_err(Problem::too_many)?;
    }
    app.limits.chat_visitor.take((agent.as_str(), visitor_id), now).map_err(Problem::too_many)
}

/// Refuses messages beyond the plan's month (C2). Installations without limits do not pay for the question.
pub async fn limit_of_plan(app: &AppState, agent: &Reached) -> Result<()> {
    let organization = app.actors.organization(&agent.tenant).await?;
    if organization.facts.limits.monthly_chats.is_none() {
        return Ok(());
    }
    let figures = colloquy_actors::feed::overview(&app.actors.client, &agent.tenant, Default::default())
        .await
        .map_err(ActorError::Unavailable)?;
    match figures.chat_messages_remaining {
        Some(left) if left <= 0 => Err(colloquy_actors::domain::Rejection::LimitReached {
            limit: "monthly_chats".into(),
            detail: "This month's chat messages are used up. Please call or write to us instead.".into(),
        }
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// A message on its way in.
pub struct Incoming {
    /// The conversation; a new one without it.
    pub conversation: Option<ConversationId>,
    /// The client's id of it.
    pub client_message_id: Option<String>,
    /// What is said.
    pub text: String,
    /// Facts for a first message.
    pub facts: Facts,
}

/// A message that stands, with the stream of what follows.
pub struct Standing {
    /// The conversation.
    pub conversation: ConversationId,
    /// How it stands.
    pub posted: Posted,
    /// What happens next; begun before the message was posted, so nothing is missed.
    pub watch: WatchStream,
}

/// Posts a visitor's message.
pub async fn post(app: &AppState, guest: &Guest, incoming: Incoming) -> Result<Standing> {
    let text = incoming.text.trim();
    if text.is_empty() {
        return Err(Problem::field("message", "must not be empty"));
    }
    let chars = text.chars().count();
    if chars > app.settings.message_chars_max {
        return Err(Problem::field(
            "message",
            format!("has {chars} characters; {} at most", app.settings.message_chars_max),
        ));
    }
    if incoming.client_message_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > CLIENT_ID_MAX) {
        return Err(Problem::field("client_message_id", format!("must have 1 to {CLIENT_ID_MAX} bytes")));
    }
    let continues = incoming.conversation.is_some();
    let conversation = match incoming.conversation {
        Some(id) => id,
        None => {
            let fresh;
            let first = match &incoming.client_message_id {
                Some(first) => first,
                None => {
                    fresh = hex(&rand::random::<[u8; 16]>());
                    &fresh
                }
            };
            app.tokens.conversation_id(&guest.agent.id, guest.visitor.acting(), first)
        }
    };
    let facts = incoming.facts;
    let post = Post {
        conversation_id: conversation.clone(),
        agent_id: guest.agent.id.clone(),
        client_message_id: incoming.client_message_id,
        text: text.to_owned(),
        channel: Channel::Chat,
        visitor: conversation::Visitor {
            id: guest.visitor.acting().clone(),
            trial: guest.agent.tested,
            ip: facts.ip,
            page_url: facts.metadata.page_url.map(|url| clip(url, 2000)),
            referrer: facts.metadata.referrer.map(|url| clip(url, 2000)),
            locale: facts.metadata.locale.map(|locale| clip(locale, 35)),
            user_agent: facts.user_agent.map(|agent| clip(agent, 300)),
            ..Default::default()
        },
        terms: guest.agent.now.terms(),
        agent_live: guest.agent.now.live() || guest.agent.tested,
        continues,
        carried: None,
        spoken: None,
    };
    if let Err(problem) = limit_of_plan(app, &guest.agent).await {
        // The repeat of a message that stands still gets its answer.
        let repeated = match &post.client_message_id {
            Some(id) => state(app, guest, &conversation).await.is_ok_and(|state| state.seen.contains_key(id)),
            None => false,
        };
        if !repeated {
            return Err(problem);
        }
    }
    let watch = app.actors.client.watch(&key(guest, &conversation)).followed().await;
    match ask::<ConversationEntity>(
        &app.actors.client,
        &guest.by(),
        conversation.as_str(),
        Command::Post(Box::new(post)),
    )
    .await?
    {
        Reply::Posted(posted) => Ok(Standing { conversation, posted, watch }),
        _ => Err(Problem::not_found("conversation")),
    }
}

/// Waits for the answer to a message. `None`: a person holds the floor, or the conversation ended instead.
pub async fn answer(
    app: &AppState,
    guest: &Guest,
    standing: &mut Standing,
    show: impl FnMut(Streamed),
) -> Result<Outcome> {
    // The message itself stands: whatever hinders the waiting must not say that nothing happened.
    wait(app, guest, standing, show).await.map_err(|problem| match problem.body.retry {
        Retry::Safe => pending("The message is stored, its answer cannot be told now"),
        Retry::SameKey | Retry::Never => problem,
    })
}

async fn wait(
    app: &AppState,
    guest: &Guest,
    standing: &mut Standing,
    mut show: impl FnMut(Streamed),
) -> Result<Outcome> {
    let deadline = Instant::now() + Duration::from_secs(app.settings.request_timeout_s);
    let Some(turn) = standing.posted.turn.clone() else {
        return outcome_without_turn(app, guest, &standing.conversation).await;
    };
    if standing.posted.repeated
        && let Some(outcome) = settled(app, guest, &standing.conversation, &turn).await?
    {
        return Ok(outcome);
    }
    loop {
        let Ok(heard) = tokio::time::timeout_at(deadline, standing.watch.next()).await else {
            // Watches are a courtesy; the conversation itself knows.
            return match settled(app, guest, &standing.conversation, &turn).await? {
                Some(outcome) => Ok(outcome),
                None => Err(pending("The answer takes longer than expected")),
            };
        };
        let look = match heard {
            Some(Watch::Frame { bytes }) => {
                if let Ok(frame) = serde_json::from_slice::<Streamed>(&bytes) {
                    show(frame);
                }
                false
            }
            Some(Watch::Event { bytes, .. }) => {
                serde_json::from_slice::<Event>(&bytes).is_ok_and(|event| may_settle(&event))
            }
            Some(Watch::Lagged) => true,
            None => {
                standing.watch = app.actors.client.watch(&key(guest, &standing.conversation)).followed().await;
                true
            }
        };
        if look && let Some(outcome) = settled(app, guest, &standing.conversation, &turn).await? {
            return Ok(outcome);
        }
    }
}

/// 503 for a message that stands without an answer to show: its repeat is told the answer.
fn pending(why: &str) -> Problem {
    let detail = format!("{why}: repeat the request with the same client_message_id.");
    let mut problem = Problem::unavailable("answer_pending", detail, 2);
    problem.body.retry = Retry::SameKey;
    problem
}

/// The contract's answer to a message.
pub fn response(guest: &Guest, standing: &Standing, outcome: &Outcome) -> ChatResponse {
    let answer = outcome.answer.as_ref();
    ChatResponse {
        response: answer.map(|message| message.content.clone()).unwrap_or_default(),
        conversation_id: standing.conversation.to_string(),
        message_id: answer.map(|message| message.id.to_string()),
        seq: answer.map_or(standing.posted.seq, |message| message.seq),
        visitor_token: guest.token.clone(),
        sources: answer.map(|message| message.sources.iter().map(frames::source).collect()).unwrap_or_default(),
        confidence: answer.and_then(|message| message.confidence),
        status: frames::word(&outcome.status),
        urgency: frames::word(&outcome.urgency),
        prompt: answer.and_then(|message| message.prompt.as_ref()).and_then(|prompt| serde_json::to_value(prompt).ok()),
    }
}

/// The whole conversation, if it is this visitor's.
pub async fn state(app: &AppState, guest: &Guest, conversation: &ConversationId) -> Result<Arc<conversation::State>> {
    match ask::<ConversationEntity>(&app.actors.client, &guest.by(), conversation.as_str(), Command::Get).await? {
        Reply::State(state) => Ok(Arc::new(*state)),
        _ => Err(Problem::not_found("conversation")),
    }
}

/// The runtime's name of a visitor's conversation.
pub fn key(guest: &Guest, conversation: &ConversationId) -> EntityKey {
    EntityKey::new(guest.agent.tenant.as_str(), conversation::KIND, conversation.as_str())
}

/// The lists of a visitor's own conversations: as it is called now, and before.
pub fn own_lists(visitor: &VisitorId) -> [String; 2] {
    use colloquy_actors::conversation::{visitor_list, visitor_list_before};
    [visitor_list(visitor), visitor_list_before(visitor)]
}

/// A range over a visitor's own conversations.
pub fn own_range(limit: usize) -> store::rows::Range {
    store::rows::Range { limit, ..Default::default() }
}

async fn settled(
    app: &AppState,
    guest: &Guest,
    conversation: &ConversationId,
    turn: &TurnId,
) -> Result<Option<Outcome>> {
    match ask::<ConversationEntity>(
        &app.actors.client,
        &guest.by(),
        conversation.as_str(),
        Command::Outcome { turn: turn.clone() },
    )
    .await?
    {
        Reply::Outcome(outcome) => {
            let open = matches!(outcome.outcome, TurnOutcome::Open)
                || (outcome.answer.is_none() && matches!(outcome.outcome, TurnOutcome::Superseded { .. }));
            Ok((!open).then_some(*outcome))
        }
        _ => Err(Problem::not_found("conversation")),
    }
}

async fn outcome_without_turn(app: &AppState, guest: &Guest, conversation: &ConversationId) -> Result<Outcome> {
    let state = state(app, guest, conversation).await?;
    Ok(Outcome { outcome: TurnOutcome::Silenced, answer: None, status: state.status, urgency: state.urgency })
}

/// Whether an event may settle a turn.
fn may_settle(event: &Event) -> bool {
    matches!(
        event,
        Event::Answered(_)
            | Event::TakenOver { .. }
            | Event::Closed { .. }
            | Event::Idled { .. }
            | Event::HandedBack { .. }
            | Event::StatusSet { .. }
    )
}

fn check_visitor_id(id: &str) -> Result<()> {
    let fine = (1..=VISITOR_ID_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fine {
        Ok(())
    } else {
        Err(Problem::field(
            "visitor_id",
            format!("must be 1 to {VISITOR_ID_MAX} letters, digits, hyphens or underscores"),
        ))
    }
}

fn clip(mut text: String, max: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(max) {
        text.truncate(at);
    }
    text
}

/// How messages read for a visitor: a file stands as a link that opens for a week from now.
pub fn words(
    app: &AppState,
    tenant: &TenantId,
    conversation: &ConversationId,
) -> impl Fn(&str, &[Attachment]) -> String {
    let until_ms = app.now_ms().saturating_add(READ_WITHIN_MS);
    move |text, attached| {
        let link = |file: &Attachment| {
            let link = files::link(&app.actors.tools, tenant, conversation.as_str(), &file.id, until_ms);
            format!("[{}]({link})", file.name)
        };
        let said = Some(text.to_owned()).filter(|text| !text.is_empty());
        said.into_iter().chain(attached.iter().map(link)).collect::<Vec<_>>().join("\n")
    }
}
