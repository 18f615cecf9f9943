//! The lines of an organization: its accounts at message and voice providers with their credentials, and the numbers it answers at. One per tenant.
//!
//! Credentials stand in this journal only, which is sealed; [`view`] shows nothing of them but their last characters.

pub mod setup;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use setup::{Bindings, SetUp, Share, State};

use crate::{
    check::{Checks, is_e164},
    context::Context,
    decision,
    ids::AgentId,
    principal::{Actor, Role},
    rejection::Rejection,
    vocabulary::Channel,
};

/// The entity's kind in keys; its id is the tenant's.
pub const KIND: &str = "lines";
/// Numbers of one organization: an agency with hundreds of locations.
pub const NUMBERS_MAX: usize = 500;
/// Characters of a credential: Meta's tokens have some 250.
const CREDENTIAL_CHARS_MAX: usize = 1_000;
/// Characters of a secret that people make up themselves.
const SECRET_CHARS_MIN: usize = 16;
/// Characters of an account's name at its provider.
const ACCOUNT_CHARS_MAX: usize = 100;

/// What the simulated carrier takes unless it is told otherwise. It reaches nobody, so its keys are no secrets.
pub mod simulated {
    /// Its account on Twilio's side.
    pub const ACCOUNT: &str = "AC00000000000000000000000000005151";
    /// The token of that account.
    pub const TOKEN: &str = "simulated-auth-token";
    /// Its API key on Retell's side.
    pub const RETELL_KEY: &str = "simulated-retell-api-key";
    /// Its number.
    pub const NUMBER: &str = "+14155550100";
}

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;

/// Who carries messages and calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Twilio: SMS, and WhatsApp through Twilio.
    Twilio,
    /// WhatsApp Cloud, by Meta.
    Whatsapp,
    /// A simulated carrier that speaks Twilio's side: reaches nobody, and everything says so.
    Simulated,
    /// Retell: calls whose words it brings to us.
    Retell,
    /// The same simulated carrier, speaking Retell's side.
    SimulatedRetell,
    /// Vapi: it carries calls that come in and asks us what to say. Nothing is sent over it.
    Vapi,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Twilio, Self::Whatsapp, Self::Retell, Self::Vapi, Self::Simulated, Self::SimulatedRetell];

    /// As it stands in addresses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Whatsapp => "whatsapp",
            Self::Simulated => "simulated",
            Self::Retell => "retell",
            Self::SimulatedRetell => "simulated_retell",
            Self::Vapi => "vapi",
        }
    }

    /// From an address.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.word() == word)
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Twilio => "Twilio",
            Self::Whatsapp => "WhatsApp",
            Self::Simulated => "the simulated carrier",
            Self::Retell => "Retell",
            Self::SimulatedRetell => "the simulated carrier (Retell's side)",
            Self::Vapi => "Vapi",
        }
    }

    /// Whether it reaches nobody.
    pub fn simulated(self) -> bool {
        match self {
            Self::Simulated | Self::SimulatedRetell => true,
            Self::Twilio | Self::Whatsapp | Self::Retell | Self::Vapi => false,
        }
    }

    /// Whether it speaks Retell's side: its numbers are bound to agents there, which are set up by us.
    pub fn as_retell(self) -> bool {
        match self {
            Self::Retell | Self::SimulatedRetell => true,
            Self::Twilio | Self::Whatsapp | Self::Simulated | Self::Vapi => false,
        }
    }

    /// What comes in over it.
    pub fn answers(self, channel: Channel) -> bool {
        self.carries(channel) || (self == Self::Vapi && channel == Channel::Voice)
    }

    /// What we can send and begin over it.
    pub fn carries(self, channel: Channel) -> bool {
        match channel {
            Channel::Sms => matches!(self, Self::Twilio | Self::Simulated),
            Channel::Whatsapp => matches!(self, Self::Twilio | Self::Simulated | Self::Whatsapp),
            Channel::Voice => matches!(self, Self::Twilio | Self::Simulated | Self::Retell | Self::SimulatedRetell),
            Channel::Chat | Channel::Email | Channel::Linkedin | Channel::Messenger => false,
        }
    }
}

/// An account's keys. `Debug` shows none of them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// Twilio: the account (`AC…`); Retell, which names none: a fingerprint of its first key, made by us.
    pub account: String,
    /// Twilio: the auth token; WhatsApp: the access token; Retell: the API key; Vapi: the private key.
    pub token: String,
    /// The key webhooks are signed with where it is another one: WhatsApp's app secret, Retell's key with the webhook badge, Vapi's server secret.
    pub signing: String,
    /// What WhatsApp repeats to us when a webhook is set up; made by us.
    pub verify_token: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("account", &self.account).finish_non_exhaustive()
    }
}

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its keys.
    pub credentials: Credentials,
    /// When it was connected, Unix milliseconds.
    pub connected_ms: i64,
}

/// A template that WhatsApp has approved, with one place to fill: what is sent when 24 hours have passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Meta's name of it, or Twilio's `HX…`.
    pub name: String,
    /// Its language, such as `en_US`.
    pub language: String,
}

/// A number to be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNumber {
    /// E.164.
    pub number: String,
    /// Who carries it.
    pub provider: Provider,
    /// The provider's own name of it: `PN…`, or WhatsApp's phone number id.
    pub external_id: Option<String>,
    /// Who answers there.
    pub agent: AgentId,
    /// The template for WhatsApp.
    pub template: Option<Template>,
}

/// A number of the organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Number {
    /// What was registered.
    #[serde(flatten)]
    pub is: NewNumber,
    /// When, Unix milliseconds.
    pub created_ms: i64,
    /// How it is set up at a provider that has agents of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_up: Option<SetUp>,
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lines {
    /// Accounts by provider.
    pub connections: BTreeMap<Provider, Connection>,
    /// Numbers by id.
    pub numbers: BTreeMap<String, Number>,
    /// What a provider calls the agents that we made there, by provider and agent.
    pub agents: BTreeMap<Provider, BTreeMap<AgentId, String>>,
    /// The sequence number of the last event.
    pub seq: u64,
}

impl Lines {
    /// The number an agent writes from, the oldest first.
    pub fn of_agent(&self, agent: &AgentId, channel: Channel) -> Option<(&String, &Number)> {
        let serves = |number: &&(&String, &Number)| {
            let is = &number.1.is;
            is.agent == *agent
                && is.provider.carries(channel)
                // WhatsApp knows its numbers by an id of its own: one without it cannot send.
                && (is.provider != Provider::Whatsapp || is.external_id.is_some())
        };
        let numbers: Vec<_> = self.numbers.iter().collect();
        // A number of Meta's own for WhatsApp before one of Twilio's that may not be enabled for it.
        numbers
            .iter()
            .filter(serves)
            .min_by_key(|(_, number)| {
                (channel == Channel::Whatsapp && number.is.provider != Provider::Whatsapp, number.created_ms)
            })
            .copied()
    }

    /// The number that text messages of an agent leave from, else the organization's oldest one for them.
    pub fn for_texts(&self, agent: Option<&AgentId>) -> Option<&Number> {
        let own = agent.and_then(|agent| self.of_agent(agent, Channel::Sms)).map(|(_, number)| number);
        let any = || {
            let texts = self.numbers.values().filter(|number| number.is.provider.carries(Channel::Sms));
            texts.min_by_key(|number| number.created_ms)
        };
        own.or_else(any)
    }

    /// The number that text messages to an organization's own people leave from, of those whose account is connected: one that reaches somebody before a
    /// simulated one, then the agent's own, then the oldest.
    pub fn for_staff(&self, agent: &AgentId) -> Option<&Number> {
        let sends = |number: &&Number| {
            number.is.provider.carries(Channel::Sms) && self.connections.contains_key(&number.is.provider)
        };
        let first = |number: &&Number| (number.is.provider.simulated(), number.is.agent != *agent, number.created_ms);
        self.numbers.values().filter(sends).min_by_key(first)
    }

    /// A number as its provider names it.
    pub fn called(&self, provider: Provider, number: &str) -> Option<(&String, &Number)> {
        self.numbers.iter().find(|(_, known)| {
            known.is.provider == provider
                && match provider {
                    Provider::Whatsapp => known.is.external_id.as_deref() == Some(number),
                    Provider::Twilio
                    | Provider::Simulated
                    | Provider::Retell
                    | Provider::SimulatedRetell
                    | Provider::Vapi => known.is.number == number,
                }
        })
    }
}

/// What one may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// An account is connected, or its keys are replaced.
    Connect {
        /// At whom.
        provider: Provider,
        /// Its keys.
        credentials: Box<Credentials>,
    },
    /// An account is taken away; numbers stay registered and cannot send until it is back.
    Disconnect {
        /// At whom.
        provider: Provider,
    },
    /// A number is registered.
    Register {
        /// Which.
        number: Box<NewNumber>,
    },
    /// Another agent answers, or another template is used.
    Assign {
        /// Which number.
        id: String,
        /// Who answers there.
        agent: AgentId,
        /// The template for WhatsApp; what was before if none.
        template: Option<Template>,
    },
    /// A number is given up.
    Release {
        /// Which.
        id: String,
    },
    /// What became of setting up a number or an agent at the provider; of the service itself.
    SetUp(setup::Step),
    /// Query: what people may see.
    View,
    /// Query of the service itself: everything, keys too.
    Get,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The id of a number.
    Number {
        /// Its id.
        id: String,
    },
    /// What a provider calls an agent: the one that stands, if two were made at once.
    Agent {
        /// The provider's id of it.
        external_id: String,
    },
    /// What people may see.
    View(Box<view::LinesView>),
    /// Everything.
    State(Box<Lines>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An account was connected.
    Connected {
        /// At whom.
        provider: Provider,
        /// Its keys.
        credentials: Box<Credentials>,
    },
    /// An account was taken away.
    Disconnected {
        /// At whom.
        provider: Provider,
    },
    /// A number was registered.
    Registered {
        /// Its id.
        id: String,
        /// Which.
        number: Box<NewNumber>,
    },
    /// Another agent answers, or another template is used.
    Assigned {
        /// Which number.
        id: String,
        /// Who answers there.
        agent: AgentId,
        /// The template for WhatsApp.
        template: Option<Template>,
    },
    /// A number was given up.
    Released {
        /// Which.
        id: String,
    },
    /// A step of setting up a number or an agent at the provider.
    SetUp(setup::Step),
}

/// Decides a command.
///
/// # Errors
/// A [`Rejection`] in words for the user; nothing changes then.
pub fn decide(state: &Lines, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    if matches!(cx.principal.actor, Actor::Visitor { .. }) {
        return Err(Rejection::not_found("number"));
    }
    match command {
        Command::Connect { provider, credentials } => {
            need(cx, Role::Admin, "connect an account")?;
            check(provider, &credentials)?;
            match state.connections.get(&provider) {
                Some(known) if known.credentials == *credentials => Ok(Decision::reply(Reply::Done)),
                Some(_) | None => Ok(Decision::event(Event::Connected { provider, credentials }, Reply::Done)),
            }
        }
        Command::Disconnect { provider } => {
            need(cx, Role::Admin, "disconnect an account")?;
            match state.connections.contains_key(&provider) {
                true => Ok(Decision::event(Event::Disconnected { provider }, Reply::Done)),
                false => Ok(Decision::reply(Reply::Done)),
            }
        }
        Command::Register { number } => register(state, cx, number),
        Command::Assign { id, agent, template } => {
            need(cx, Role::Manager, "say who answers at a number")?;
            let known = state.numbers.get(&id).ok_or_else(|| Rejection::not_found("number"))?;
            check_template(template.as_ref())?;
            let template = template.or_else(|| known.is.template.clone());
            if known.is.agent == agent && known.is.template == template {
                return Ok(Decision::reply(Reply::Done));
            }
            Ok(Decision::event(Event::Assigned { id, agent, template }, Reply::Done))
        }
        Command::Release { id } => {
            need(cx, Role::Admin, "give up a number")?;
            match state.numbers.contains_key(&id) {
                true => Ok(Decision::event(Event::Released { id }, Reply::Done)),
                false => Err(Rejection::not_found("number")),
            }
        }
        Command::SetUp(step) => setup::decide(state, cx, step),
        Command::View => Ok(Decision::reply(Reply::View(Box::new(view::view(state))))),
        Command::Get => match cx.principal.actor {
            Actor::System => Ok(Decision::reply(Reply::State(Box::new(state.clone())))),
            Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } | Actor::Platform { .. } => {
                Err(Rejection::forbidden("keys are for the service itself"))
            }
        },
    }
}

/// Folds one event. Cannot fail.
pub fn apply(state: &mut Lines, event: &Event, seq: u64, at_ms: i64) {
    match event {
        Event::Connected { provider, credentials } => {
            let connection = Connection { credentials: (**credentials).clone(), connected_ms: at_ms };
            state.connections.insert(*provider, connection);
        }
        Event::Disconnected { provider } => {
            state.connections.remove(provider);
        }
        Event::Registered { id, number } => {
            state.numbers.insert(id.clone(), Number { is: (**number).clone(), created_ms: at_ms, set_up: None });
        }
        Event::Assigned { id, agent, template } => {
            if let Some(number) = state.numbers.get_mut(id) {
                if let Some(set_up) = number.set_up.as_mut().filter(|_| number.is.agent != *agent) {
                    set_up.ready = false;
                }
                number.is.agent = agent.clone();
                number.is.template.clone_from(template);
            }
        }
        Event::SetUp(step) => setup::apply(state, step),
        Event::Released { id } => {
            state.numbers.remove(id);
        }
    }
    state.seq = seq;
}

/// Refuses an account without its keys, by the key's name.
///
/// # Errors
/// Names each key that is missing or cannot be one.
pub fn check(provider: Provider, credentials: &Credentials) -> Result<(), Rejection> {
    let mut checks = Checks::default();
    let mut key = |field: &str, value: &str, what: &str| {
        if value.trim().is_empty() {
            checks.fail(field, format!("is missing: {what}"));
        } else {
            checks.line(field, value, 1, CREDENTIAL_CHARS_MAX);
        }
    };
    match provider {
        Provider::Twilio | Provider::Simulated => {
            key("account_sid", &credentials.account, "without the Account SID (AC…) nothing can be sent");
            key(
                "auth_token",
                &credentials.token,
                "without the Auth Token nothing can be sent, and nothing that comes from there can be believed",
            );
        }
        Provider::Whatsapp => {
            key("access_token", &credentials.token, "without the access token nothing can be sent");
            key("app_secret", &credentials.signing, "without the app secret no webhook can be believed");
        }
        Provider::Retell | Provider::SimulatedRetell => {
            key(
                "api_key",
                &credentials.token,
                "without the API key nobody can be called, and nothing that comes from there can be believed",
            );
        }
        Provider::Vapi => {
            key("api_key", &credentials.token, "without the private key nobody knows which numbers are yours");
            key(
                "server_secret",
                &credentials.signing,
                "without the server secret nothing that Vapi asks can be believed",
            );
        }
    }
    checks.line("webhook_key", &credentials.signing, 0, CREDENTIAL_CHARS_MAX);
    checks.line("account_sid", &credentials.account, 0, ACCOUNT_CHARS_MAX);
    if provider == Provider::Vapi && !credentials.signing.trim().is_empty() {
        let long = credentials.signing.chars().count() >= SECRET_CHARS_MIN;
        checks.ensure(
            long,
            "server_secret",
            format!("must have at least {SECRET_CHARS_MIN} characters: whoever guesses it speaks for you"),
        );
    }
    checks.finish()
}

/// Refuses what needs an account that is not connected, and says which key is missing where.
///
/// # Errors
/// Always one, unless the account is there.
pub fn connected(state: &Lines, provider: Provider) -> Result<&Connection, Rejection> {
    state.connections.get(&provider).ok_or_else(|| {
        let keys = match provider {
            Provider::Twilio | Provider::Simulated => "account_sid and auth_token",
            Provider::Whatsapp => "access_token and app_secret",
            Provider::Retell | Provider::SimulatedRetell => "api_key",
            Provider::Vapi => "api_key and server_secret",
        };
        Rejection::conflict(
            "not_connected",
            format!(
                "{} is not connected: its {keys} are missing. Give them with POST /api/integrations/{}/connect.",
                provider.name(),
                provider.word()
            ),
        )
    })
}

fn register(state: &Lines, cx: &Context, number: Box<NewNumber>) -> Result<Decision, Rejection> {
    need(cx, Role::Manager, "register a number")?;
    let mut checks = Checks::default();
    checks.ensure(is_e164(&number.number), "number", "must be an international number such as +14155550100");
    if number.provider == Provider::Whatsapp {
        let id = number.external_id.as_deref().unwrap_or_default();
        checks.ensure(
            !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_digit()),
            "phone_number_id",
            "must be the number's id at WhatsApp, digits only",
        );
    }
    checks.ensure(!number.agent.0.is_empty(), "agent_id", "must say who answers at this number");
    checks.finish()?;
    check_template(number.template.as_ref())?;
    connected(state, number.provider)?;
    let same = state
        .numbers
        .iter()
        .find(|(_, known)| known.is.provider == number.provider && known.is.number == number.number);
    if let Some((id, known)) = same {
        return if known.is == *number {
            Ok(Decision::reply(Reply::Number { id: id.clone() }))
        } else {
            Err(Rejection::conflict("already_registered", "This number is registered already: change it with PATCH."))
        };
    }
    if state.numbers.len() >= NUMBERS_MAX {
        return Err(Rejection::LimitReached {
            limit: "numbers".to_owned(),
            detail: format!("{NUMBERS_MAX} numbers are registered. Give up one first."),
        });
    }
    let id = cx.fresh_id(0);
    Ok(Decision::event(Event::Registered { id: id.clone(), number }, Reply::Number { id }))
}

fn check_template(template: Option<&Template>) -> Result<(), Rejection> {
    let Some(template) = template else { return Ok(()) };
    let mut checks = Checks::default();
    checks.line("whatsapp_template.name", &template.name, 1, 512);
    checks.line("whatsapp_template.language", &template.language, 2, 15);
    checks.finish()
}

fn need(cx: &Context, role: Role, what: &str) -> Result<(), Rejection> {
    if cx.principal.at_least(role) {
        Ok(())
    } else {
        Err(Rejection::forbidden(format!("to {what} you need a higher role: ask an admin of your organization")))
    }
}
