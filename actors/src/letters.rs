//! The letters entity: writes what somebody wants to be told by mail, in so many letters an hour, with the words of that moment; and says which alerts
//! may go at once.

use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_connectors::Mail;
use colloquy_connectors::mail::templates::{self, Told};
use colloquy_domain::account::wishes::wants_mail;
use colloquy_domain::bulletin::{About, Notice};
use colloquy_domain::ids::{AgentId, ConversationId, TenantId, UserId};
use colloquy_domain::letters::{Command, Effect, Ended, Item, Reply};
use colloquy_domain::{Principal, tenant};
use serde_json::Value;

use crate::bulletin::Words;
use crate::core::{Asked, Core, ask, pure_core, pure_work};
use crate::{ActorError, Actors, Tools, account, inbox, telemetry};

/// What one letter shows; the rest is a number, and stands in the console.
const SHOWN_MAX: usize = 10;

/// The kind `letters`.
pub struct LettersEntity {
    tools: Arc<Tools>,
}

impl LettersEntity {
    /// With what it writes and sends by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for LettersEntity {
    type Plain = Command;
}

impl Entity for LettersEntity {
    pure_core!(letters, Letters, 1, 1, false);
    pure_work!(letters, Effect, |state| state.tenant.clone());

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Keyed: the letter keeps its number over all attempts.
            Effect::Send { letter, attempt, user, items, more } => {
                let tenant = TenantId::from(&*handle.key().tenant);
                let letter = Letter { number: letter, user, items, more };
                let how = match send(&self.tools, &handle, &tenant, &letter).await {
                    Ok(how) => how,
                    Err(error) => {
                        tracing::warn!(%tenant, %error, "a letter of notices could not be written");
                        Ended::Failed
                    }
                };
                let command = Command::Ended { letter: letter.number, attempt, how };
                let asked = Asked { by: Principal::system(tenant.clone()), command };
                if let Err(error) = handle.command::<Self>(asked).await {
                    tracing::warn!(%tenant, ?error, "the end of a letter could not be brought back");
                }
            }
        }
    }
}

struct Letter {
    number: u64,
    user: Option<UserId>,
    items: Vec<Item>,
    more: u32,
}

/// The id of an address's letters: it is recognised, and names nobody.
fn id_of(tools: &Tools, to: &str) -> Option<String> {
    tenant::hashes(Some(to), None, &tools.erasure_key).pop()
}

/// Hands a notice on to a member's letters.
pub(crate) async fn notice(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    (user, to): (&UserId, &str),
    notice: &Notice,
) -> Result<(), ActorError> {
    let Some(id) = id_of(tools, to) else { return Ok(()) };
    let command =
        Command::Notice { user: user.clone(), seq: notice.seq, at_ms: notice.at_ms, news: notice.news.clone() };
    ask::<LettersEntity>(client, &Principal::system(tenant.clone()), &id, command).await?;
    Ok(())
}

/// Whether an alert may go to an address now; if not, it is told with the next letter.
pub(crate) async fn admit(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    to: &str,
    alert: &str,
    about: &ConversationId,
    urgent: bool,
) -> Result<bool, ActorError> {
    let Some(id) = id_of(tools, to) else { return Ok(true) };
    let command = Command::Admit { id: alert.to_owned(), about: about.clone(), urgent };
    match ask::<LettersEntity>(client, &Principal::system(tenant.clone()), &id, command).await? {
        Reply::Admitted { now } => {
            if !now {
                metrics::counter!(telemetry::LETTERS, "outcome" => "held").increment(1);
            }
            Ok(now)
        }
        Reply::Done => Err(ActorError::Failed),
    }
}

/// Writes and sends one letter of what is still worth telling.
async fn send(
    tools: &Arc<Tools>,
    handle: &EffectHandle,
    tenant: &TenantId,
    letter: &Letter,
) -> Result<Ended, ActorError> {
    let client = handle.client();
    let copy = match tools.tenant_copy(client, tenant).await {
        Ok(copy) => copy,
        Err(ActorError::Rejected(_)) => return Ok(Ended::Nothing),
        Err(error) => return Err(error),
    };
    let actors = Actors::new(client.clone(), tools.clone());
    let mut left = wanted(&actors, tenant, letter).await?;
    // The newest are shown; what is older is counted.
    let hidden = left.len().saturating_sub(SHOWN_MAX);
    let mut told = Vec::new();
    for item in left.split_off(hidden).into_iter().rev() {
        let words = actors.words(tenant, &item.news, item.at_ms).await?;
        if words.there {
            told.push(shown(&actors, tenant, words).await?);
        }
    }
    let to = match &letter.user {
        Some(user) => copy.members.get(user).map(|member| member.email.clone()),
        None => contact(&actors, tenant, &handle.key().id, &letter.items).await?,
    };
    let Some(to) = to.filter(|_| !told.is_empty() && !copy.facts.suspended) else {
        metrics::counter!(telemetry::LETTERS, "outcome" => "read").increment(1);
        return Ok(Ended::Nothing);
    };
    let more = hidden + letter.more as usize;
    let key = format!("letter:{tenant}:{}:{}", handle.key().id, letter.number);
    let settings = tools.links.page("/app/settings/notifications");
    let mail: Mail =
        templates::notices(&to, &key, &copy.facts.name, &told, more, letter.user.is_some().then_some(&*settings));
    let (outcome, how) = match tools.mailer.send(&mail).await {
        Ok(_) => ("sent", Ended::Delivered),
        Err(error) if error.retryable() => {
            tracing::warn!(%tenant, %error, "a letter of notices could not be sent");
            ("failed", Ended::Failed)
        }
        // An address that takes no mail will take none later either: what it would tell stands in the console.
        Err(error) => {
            tracing::warn!(%tenant, %error, "a letter of notices was refused");
            ("refused", Ended::Nothing)
        }
    };
    metrics::counter!(telemetry::LETTERS, "outcome" => outcome).increment(1);
    Ok(how)
}

/// The address of an escalation contact: no letters know it, so it is looked up where it was set. None if it was changed since.
async fn contact(actors: &Actors, tenant: &TenantId, id: &str, items: &[Item]) -> Result<Option<String>, ActorError> {
    for item in items {
        let About::Conversation(conversation) = &item.news.about else { continue };
        let Some(agent) = actors.agent_of(tenant, conversation).await? else { continue };
        let to = match actors.tools.agent(&actors.client, tenant, &agent).await {
            Ok(agent) => agent.config.escalation_email.clone(),
            Err(ActorError::Rejected(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(to) = to.filter(|to| id_of(&actors.tools, to).as_deref() == Some(id)) {
            return Ok(Some(to));
        }
    }
    Ok(None)
}

/// What of a letter its reader does not know yet and still wants.
async fn wanted(actors: &Actors, tenant: &TenantId, letter: &Letter) -> Result<Vec<Item>, ActorError> {
    let mut items = letter.items.clone();
    let Some(user) = &letter.user else { return Ok(items) };
    let said = match actors.member(tenant, user).await? {
        Some(member) => account::preferences(&actors.client, user).await?.map(|said| (said, member.role)),
        // Who has left is told nothing more.
        None => None,
    };
    let seen = inbox::seen(&actors.client, tenant, user).await?;
    items.retain(|item| match item.seq {
        Some(seq) => {
            let wants = said.as_ref().is_some_and(|(said, role)| wants_mail(said, *role, item.news.kind));
            wants && seen.at(seq).is_none()
        }
        // An alert goes to the address, whosever it is.
        None => true,
    });
    Ok(items)
}

/// A line of a letter. What visitors of a medical business say stays in the console.
async fn shown(actors: &Actors, tenant: &TenantId, words: Words) -> Result<Told, ActorError> {
    let quotes = match &words.agent {
        Some(agent) => may_quote(actors, tenant, agent).await?,
        None => true,
    };
    let url = actors.tools.links.page(&words.link);
    Ok(Told { title: words.title, body: if quotes { words.body } else { String::new() }, url })
}

/// Whether an agent's alerts may hold the visitor's words (`phi_in_alerts`); not when nobody can say any more.
async fn may_quote(actors: &Actors, tenant: &TenantId, agent: &AgentId) -> Result<bool, ActorError> {
    match actors.tools.agent(&actors.client, tenant, agent).await {
        Ok(agent) => Ok(agent.config.vertical_config.get("phi_in_alerts") != Some(&Value::Bool(false))),
        Err(ActorError::Rejected(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
