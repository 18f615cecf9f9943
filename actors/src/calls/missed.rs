//! What is done for somebody whose call nobody carried: a text message, once. What they said after the beep is fetched in `fetch`.

use std::sync::atomic::{AtomicBool, Ordering};

use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::call::{Call, Command, NoText, Texted};
use colloquy_domain::campaign::number;
use colloquy_domain::contact_guard::Address;
use colloquy_domain::ids::{CallId, TenantId};
use colloquy_domain::lines::NewNumber;
use colloquy_domain::tenant::profile::{Recordings, recordings};
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection};

use super::{CallEntity, find};
use crate::core::Asked;
use crate::messages::trial;
use crate::{ActorError, Tools};

/// The scope in which a number is texted back once a day.
const TEXTED: &str = "texted back";
/// A day, ms.
const DAY_MS: i64 = 86_400_000;
/// For how many days a message after the beep is kept; `None` where the organization keeps no recordings, so that nobody is asked for one.
///
/// # Errors
/// When the organization cannot be asked.
pub async fn keeps(client: &Client, tools: &Tools, tenant: &TenantId) -> Result<Option<Option<u32>>, ActorError> {
    let facts = tools.tenant_copy(client, tenant).await?;
    Ok(match recordings(&facts.facts.settings) {
        Recordings::Discarded => None,
        Recordings::Days(days) => Some(Some(days)),
        Recordings::Kept => Some(None),
    })
}

/// Tells who called that nobody answered, where the agent's settings say so. What was begun is never begun again.
pub(super) async fn text_back(tools: &Tools, handle: &EffectHandle) {
    let step = match try_text(tools, handle).await {
        Ok(step) => step,
        Err(ActorError::Unknown) => Texted::Unknown,
        Err(error) => {
            tracing::warn!(call = %handle.key().id, %error, "a missed call could not be answered by text message");
            return;
        }
    };
    if let Err(error) = tell(handle, Command::Texted { step }).await {
        tracing::warn!(call = %handle.key().id, %error, "what became of a text message could not be brought back");
    }
}

async fn try_text(tools: &Tools, handle: &EffectHandle) -> Result<Texted, ActorError> {
    let client = handle.client();
    let tenant = TenantId::from(&*handle.key().tenant);
    let not = |why| Ok(Texted::Not { why });
    let call = this_call(handle).await?;
    let Some(is) = &call.is else { return not(NoText::Off) };
    if call.texted == Some(Texted::Begun) {
        // A node died over it. Commands of an effect are keyed by their order, and the first one was to begin: asked again it is answered as it was, and
        // the outcome that follows is not taken for it.
        match tell(handle, Command::Texted { step: Texted::Begun }).await {
            Ok(()) | Err(ActorError::Rejected(_)) => return Ok(Texted::Unknown),
            Err(error) => return Err(error),
        }
    }
    let agent = match tools.agent(client, &tenant, &is.agent_id).await {
        Ok(agent) => agent,
        Err(ActorError::Rejected(_)) => return not(NoText::Off),
        Err(error) => return Err(error),
    };
    let Some(words) = agent.config.missed_call_text.clone() else { return not(NoText::Off) };
    let Some(phone) = is.person.clone().filter(|phone| number::takes_texts(phone)) else {
        return not(NoText::NoMobile);
    };
    let lines = tools.lines(client, &tenant).await?;
    // From the number that was called, if it can: an answer comes back to the same agent.
    let called = lines.numbers.values().find(|known| Some(&known.is.number) == is.line.as_ref());
    let called = called.filter(|known| known.is.provider.carries(Channel::Sms));
    let from: Option<NewNumber> = called
        .map(|known| known.is.clone())
        .or_else(|| lines.of_agent(&is.agent_id, Channel::Sms).map(|(_, known)| known.is.clone()));
    let Some(from) = from else { return not(NoText::NoLine) };
    let to = Address::Phone(phone);
    let day = client.now_ms().div_euclid(DAY_MS);
    let once = format!("{tenant}:{}:{}:{day}", is.agent_id, to.id(&tools.contact_key));
    let unique = &client.store().unique;
    if unique.reserve(TEXTED, &once, call.id.as_str(), client.now_ms()).await?.is_some() {
        return not(NoText::AlreadyTexted);
    }
    let begun = AtomicBool::new(false);
    let leaves = async || {
        tell(handle, Command::Texted { step: Texted::Begun }).await?;
        begun.store(true, Ordering::Relaxed);
        unique.confirm(TEXTED, &once, call.id.as_str()).await?;
        Ok(())
    };
    let name = format!("missed/{}", call.id);
    match trial::text(client, tools, &tenant, &from, &to, name, words, leaves).await {
        Ok(_) => Ok(Texted::Sent),
        Err(ActorError::Rejected(Rejection::Conflict { code, .. })) => {
            let refused = matches!(&*code, "provider_refused" | "no_carrier" | "no_text_message" | "not_connected");
            not(if refused { NoText::Refused } else { NoText::DoNotContact })
        }
        // A provider that surely did not take it now: who called is not written to hours later.
        Err(ActorError::Busy { .. }) if begun.load(Ordering::Relaxed) => not(NoText::Refused),
        Err(ActorError::Rejected(_)) => not(NoText::Refused),
        Err(error) => Err(error),
    }
}

pub(super) async fn this_call(handle: &EffectHandle) -> Result<Call, ActorError> {
    let EntityKey { tenant, id, .. } = handle.key();
    let by = Principal::system(TenantId::from(&**tenant));
    let call = find(handle.client(), &by, &CallId::from(&**id)).await?;
    call.ok_or_else(|| Rejection::not_found("call").into())
}

pub(super) async fn tell(handle: &EffectHandle, command: Command) -> Result<(), ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    match handle.command::<CallEntity>(Asked { by, command }).await.map_err(ActorError::from) {
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}
