//! Who the organization's server vouches for: which conversation they go on in on this device, and who is kept out of it.

use colloquy_cluster::Client;
use colloquy_domain::conversation::{self, Command, State};
use colloquy_domain::ids::{AgentId, ConversationId, VisitorId};
use colloquy_domain::rejection::Rejection;
use colloquy_domain::{Principal, thread};

use crate::conversation::ConversationEntity;
use crate::core::ask;
use crate::messages::inbound::link;
use crate::thread::ThreadEntity;
use crate::{ActorError, Tools};

/// How often a conversation may turn out to be over before it is somebody else's turn to look.
const TRIES: usize = 3;

/// What a proof says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The organization's own id of the person.
    pub external_id: String,
    /// The person's number, E.164, where the proof covers it.
    pub number: Option<String>,
}

/// Where a vouched person goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Who they are, as visitors are named.
    pub person: VisitorId,
    /// Their conversation, if there is one already.
    pub conversation: Option<ConversationId>,
}

/// Finds the conversation of a person whose proof was checked. `by` is the visitor as the browser was known before, `current` what that visitor is
/// talking in.
///
/// What this device was talking in goes on if it may become the person's; else the person's own conversation of the last hours does. Two that both
/// have words are linked for people to see and never merged.
pub async fn join(
    client: &Client,
    tools: &Tools,
    by: &Principal,
    agent: &AgentId,
    current: Option<ConversationId>,
    vouched: &Vouched,
) -> Result<Joined, ActorError> {
    let tenant = &by.tenant;
    let of = Person {
        client,
        tools,
        system: Principal::system(tenant.clone()),
        agent,
        id: crate::thread::person(tools, agent, &vouched.external_id),
        vouched,
        within_ms: crate::thread::within_ms(client, tools, tenant).await?,
    };
    let current = match current {
        Some(current) if of.claim(by, &current).await? => Some(current),
        Some(_) | None => None,
    };
    let texts = match of.number_thread() {
        Some(number) => of.own_of(&number).await?,
        None => None,
    };
    let texts = match texts {
        Some(texts) if Some(&texts) != current.as_ref() && of.good(&texts).await? => Some(texts),
        Some(_) | None => None,
    };
    let claims: Vec<ConversationId> = current.iter().cloned().chain(texts).collect();
    let one = of.one(&claims).await?;
    if let (Some(one), Some(number)) = (&one, of.number_thread()) {
        let vouch = thread::Command::Vouch { agent: agent.clone(), conversation: one.clone(), within_ms: of.within_ms };
        of.thread(&number, vouch).await?;
    }
    Ok(Joined { person: of.id, conversation: current.or(one) })
}

struct Person<'a> {
    client: &'a Client,
    tools: &'a Tools,
    system: Principal,
    agent: &'a AgentId,
    id: VisitorId,
    vouched: &'a Vouched,
    within_ms: i64,
}

impl Person<'_> {
    /// The thread of the vouched number.
    fn number_thread(&self) -> Option<String> {
        self.vouched.number.as_deref().map(|number| crate::thread::id(self.tools, self.agent, number))
    }

    /// The person's one conversation, which is theirs when this returns.
    async fn one(&self, claims: &[ConversationId]) -> Result<Option<ConversationId>, ActorError> {
        let own = crate::thread::of_person(self.tools, self.agent, &self.vouched.external_id);
        let mut gone = match self.own_of(&own).await? {
            Some(held) if !self.good(&held).await? => Some(held),
            Some(_) | None => None,
        };
        for _ in 0..TRIES {
            let claims: Vec<ConversationId> = claims.iter().filter(|id| Some(*id) != gone.as_ref()).cloned().collect();
            let belongs = thread::Command::Belongs { agent: self.agent.clone(), claims, gone: gone.clone() };
            let thread::Reply::Person { conversation, link: with } = self.thread(&own, belongs).await? else {
                return Err(ActorError::Failed);
            };
            let Some(one) = conversation else { return Ok(None) };
            link(self.client, &self.system, &one, &with).await;
            if self.claim(&self.system, &one).await? {
                return Ok(Some(one));
            }
            gone = Some(one);
        }
        Ok(None)
    }

    /// Makes a conversation the person's. `false`: it may not become theirs.
    async fn claim(&self, by: &Principal, conversation: &ConversationId) -> Result<bool, ActorError> {
        let Vouched { external_id, number } = self.vouched;
        let claim =
            Command::Claim { person: self.id.clone(), external_id: external_id.clone(), number: number.clone() };
        match ask::<ConversationEntity>(self.client, by, conversation.as_str(), claim).await {
            Ok(_) => Ok(true),
            Err(ActorError::Rejected(Rejection::Conflict { .. } | Rejection::NotFound { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a conversation is young enough, open and this agent's; whether it may become the person's it says itself.
    async fn good(&self, conversation: &ConversationId) -> Result<bool, ActorError> {
        let recent = |state: &State| self.client.now_ms().saturating_sub(state.active_at_ms) <= self.within_ms;
        match ask::<ConversationEntity>(self.client, &self.system, conversation.as_str(), Command::Get).await {
            Ok(conversation::Reply::State(state)) => {
                Ok(state.agent_id == *self.agent && state.closed.is_none() && recent(&state))
            }
            Ok(_) => Err(ActorError::Failed),
            Err(ActorError::Rejected(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn own_of(&self, thread: &str) -> Result<Option<ConversationId>, ActorError> {
        match self.thread(thread, thread::Command::Get).await? {
            thread::Reply::State(state) => Ok(state.own.map(|own| own.id)),
            thread::Reply::Goes { .. } | thread::Reply::Person { .. } | thread::Reply::Done => Err(ActorError::Failed),
        }
    }

    async fn thread(&self, id: &str, command: thread::Command) -> Result<thread::Reply, ActorError> {
        ask::<ThreadEntity>(self.client, &self.system, id, command).await
    }
}
