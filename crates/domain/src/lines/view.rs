//! What people see of an organization's lines: everything but the keys.

use serde::{Deserialize, Serialize};

use super::{Lines, Provider, State, Template};
use crate::{ids::AgentId, local_time::rfc3339, vocabulary::Channel};

/// How much of a key is shown, so that two can be told apart.
const HINT_CHARS: usize = 4;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// At whom.
    pub provider: Provider,
    /// Whether it is connected.
    pub connected: bool,
    /// A simulated carrier reaches nobody.
    pub simulated: bool,
    /// The account's name there.
    pub account: Option<String>,
    /// The last characters of its token.
    pub token_hint: Option<String>,
    /// When it was connected.
    pub connected_at: Option<String>,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberView {
    /// Its id.
    pub id: String,
    /// E.164.
    pub number: String,
    /// Who carries it.
    pub provider: Provider,
    /// A simulated number reaches nobody.
    pub simulated: bool,
    /// Who answers there.
    pub agent_id: AgentId,
    /// What goes over it.
    pub channels: Vec<Channel>,
    /// The provider's own name of it.
    pub external_id: Option<String>,
    /// The template for WhatsApp.
    pub whatsapp_template: Option<Template>,
    /// Whether its account is connected: without it nothing is sent and no webhook believed.
    pub connected: bool,
    /// How far it is set up at a provider that has agents of its own; others need no setting up.
    #[serde(default)]
    pub state: State,
    /// Why it could not be set up, in the provider's words.
    #[serde(default)]
    pub trouble: Option<String>,
    /// When it was registered.
    pub created_at: String,
}

/// Accounts and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinesView {
    /// One for each provider, connected or not.
    pub connections: Vec<ConnectionView>,
    /// Oldest first.
    pub numbers: Vec<NumberView>,
}

/// What people see.
pub fn view(state: &Lines) -> LinesView {
    let connections = Provider::ALL.into_iter().map(|provider| {
        let known = state.connections.get(&provider);
        let keys = known.map(|known| &known.credentials);
        ConnectionView {
            provider,
            connected: known.is_some(),
            simulated: provider.simulated(),
            account: keys.map(|keys| keys.account.clone()).filter(|account| !account.is_empty()),
            token_hint: keys.map(|keys| hint(&keys.token)),
            connected_at: known.map(|known| rfc3339(known.connected_ms)),
        }
    });
    let mut numbers: Vec<_> = state.numbers.iter().collect();
    numbers.sort_by_key(|(id, number)| (number.created_ms, (*id).clone()));
    LinesView {
        connections: connections.collect(),
        numbers: numbers
            .into_iter()
            .map(|(id, number)| NumberView {
                id: id.clone(),
                number: number.is.number.clone(),
                provider: number.is.provider,
                simulated: number.is.provider.simulated(),
                agent_id: number.is.agent.clone(),
                channels: [Channel::Sms, Channel::Whatsapp, Channel::Voice]
                    .into_iter()
                    .filter(|channel| number.is.provider.answers(*channel))
                    .collect(),
                external_id: number.is.external_id.clone(),
                whatsapp_template: number.is.template.clone(),
                connected: state.connections.contains_key(&number.is.provider),
                state: number.state(),
                trouble: number.set_up.as_ref().and_then(|set_up| set_up.trouble.clone()),
                created_at: rfc3339(number.created_ms),
            })
            .collect(),
    }
}

/// The last characters of a key that is long enough to have some to spare.
fn hint(key: &str) -> String {
    let chars = key.chars().count();
    if chars < HINT_CHARS * 4 {
        return "…".to_owned();
    }
    format!("…{}", key.chars().skip(chars - HINT_CHARS).collect::<String>())
}
