//! An organization's account at Retell: agents and numbers that we set up there, calls that go out over it, and calls that somebody claims are its.
//!
//! Reading order: [`Account`] here; [`setup`] (agents and numbers), [`dial`] (calls that we make), [`hear`] (what its webhooks and lists tell of calls),
//! [`look`] (calls that come without our key). ADR 0020 says why it is cut this way.

pub mod dial;
pub mod hear;
pub mod look;
pub mod setup;

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_domain::Rejection;
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::{self, Credentials, Lines, Provider};
use colloquy_telephony::error::{Fault, Unfit};
use colloquy_telephony::rest::Request;
use colloquy_telephony::retell::rest::Retell;
use tokio::sync::{Mutex, MutexGuard};

use crate::messages::carrier;
use crate::{ActorError, Tools};

/// Settings up at once on this node: organizations share a place by hash, so that one whose requests hang holds up few others.
const PLACES: usize = 64;
/// Hexadecimal digits of an account's fingerprint: 64 bits tell a hundred thousand accounts apart.
const FINGERPRINT_DIGITS: usize = 16;

/// What goes on here.
pub(crate) struct Doing {
    places: Vec<Mutex<()>>,
    pub(crate) looks: Arc<look::Looks>,
}

impl Default for Doing {
    fn default() -> Self {
        Self { places: std::iter::repeat_with(Mutex::default).take(PLACES).collect(), looks: Arc::default() }
    }
}

impl Doing {
    /// One organization sets up one thing at a time: two at once would make two agents of one.
    async fn one_at_a_time(&self, tenant: &TenantId) -> MutexGuard<'_, ()> {
        let digest = blake3::hash(tenant.as_str().as_bytes());
        self.places[usize::from(digest.as_bytes()[0]) % PLACES].lock().await
    }
}

/// An account with its key.
pub(crate) struct Account<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) client: &'a Client,
    pub(crate) tenant: TenantId,
    pub(crate) provider: Provider,
    pub(crate) credentials: Credentials,
}

impl<'a> Account<'a> {
    /// The account that is connected.
    pub(crate) fn of(
        client: &'a Client,
        tools: &'a Tools,
        tenant: &TenantId,
        provider: Provider,
        lines: &Lines,
    ) -> Result<Self, Rejection> {
        let credentials = lines::connected(lines, provider)?.credentials.clone();
        Ok(Self { tools, client, tenant: tenant.clone(), provider, credentials })
    }

    fn rest(&self) -> Retell {
        carrier::retell(&self.credentials)
    }

    async fn call(&self, request: &Request) -> Result<carrier::Answered, Fault> {
        self.tools.carriers.call(self.provider, request, self.client.now_ms()).await
    }
}

/// What an account is called here, because Retell names none: a fingerprint of its key, which tells nothing about it. Two organizations that connect the
/// same account are paced together.
pub fn fingerprint(tools: &Tools, api_key: &str) -> String {
    let mut name =
        blake3::keyed_hash(&tools.contact_key, format!("retell account {api_key}").as_bytes()).to_hex().to_string();
    name.truncate(FINGERPRINT_DIGITS);
    format!("key-{name}")
}

/// What stood in the way.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Retell's answer, or that there was none.
    Fault(Fault),
    /// It would be refused.
    Unfit(Unfit),
    /// Something here.
    Actor(ActorError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unfit> for Trouble {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<ActorError> for Trouble {
    fn from(error: ActorError) -> Self {
        Self::Actor(error)
    }
}

impl From<Rejection> for Trouble {
    fn from(rejection: Rejection) -> Self {
        Self::Actor(rejection.into())
    }
}

impl Trouble {
    /// For whoever sets something up: what is wrong and what to do.
    pub(crate) fn into_error(self, provider: Provider) -> ActorError {
        match self {
            Self::Actor(error) => error,
            Self::Unfit(unfit) => {
                Rejection::conflict("retell_refused", format!("{} would refuse this: {unfit}.", provider.name())).into()
            }
            Self::Fault(fault) => {
                let code = if fault.may_repeat() { "retell_unavailable" } else { "retell_refused" };
                Rejection::conflict(code, sentence(provider, &fault)).into()
            }
        }
    }

    /// In a sentence.
    fn told(&self, provider: Provider) -> String {
        match self {
            Self::Fault(fault) => sentence(provider, fault),
            Self::Unfit(unfit) => format!("{} would refuse this: {unfit}.", provider.name()),
            Self::Actor(ActorError::Rejected(rejection)) => rejection.to_string(),
            Self::Actor(_) => "Something here was not available. Try again.".to_owned(),
        }
    }
}

/// A fault in words for whoever connected the account.
pub(crate) fn sentence(provider: Provider, fault: &Fault) -> String {
    let name = provider.name();
    match fault {
        Fault::Credentials if provider == Provider::SimulatedRetell => {
            "The simulated carrier was started with another API key: enter the one that it printed when it started."
                .to_owned()
        }
        Fault::Credentials => {
            format!("{name} does not take this API key: copy it again from its dashboard, under Settings, API Keys.")
        }
        Fault::Payment => format!("{name} says that the account cannot pay: add a payment method in its dashboard."),
        Fault::RateLimited { .. } => format!("{name} is asked too often. Try again in a minute."),
        Fault::NotFound => format!("{name} knows no such thing in your account."),
        Fault::Refused { message, .. } if !message.is_empty() => format!("{name} says: {message}"),
        Fault::Refused { .. } | Fault::Unreadable => format!("{name} says: {fault}."),
        Fault::OutcomeUnknown { .. } | Fault::Unavailable { .. } => {
            format!("{name} could not be reached, and nothing is lost. Try again.")
        }
    }
}
