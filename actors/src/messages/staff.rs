//! A text message to one of the organization's own people, such as an alert: from a number of theirs whose account is connected, if they have not told it to
//! stop. What may have left is looked up; only what its provider surely does not have leaves once more, because an alert that is missing costs more than
//! one that is late.

use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::contact_guard::{Address, Purpose, Verdict};
use colloquy_domain::conversation::AlertLine;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lines;
use colloquy_domain::vocabulary::Channel;
use colloquy_telephony::error::Fault;
use colloquy_telephony::twilio::keywords::Channel as Carried;
use colloquy_telephony::twilio::messages::Address as TwilioAddress;
use colloquy_telephony::twilio::outgoing::{Content, CreateMessage, Sender};
use colloquy_telephony::twilio::rest::{CODE_OPTED_OUT, read_created_message};

use super::{carrier, look, send};
use crate::{ActorError, Tools, guard};

/// For how many times as long as an unknown outcome is looked up a list that cannot be read is asked for: a provider that is away for a quarter of an hour.
const UNREADABLE_TIMES: i64 = 8;

/// A message to one of the organization's own people.
pub(crate) struct Staff<'a> {
    /// Names it: the same name is the same permit.
    pub(crate) name: &'a str,
    /// The number of the organization it leaves from.
    pub(crate) line: &'a AlertLine,
    /// To whom, E.164.
    pub(crate) to: &'a str,
    /// What.
    pub(crate) words: &'a str,
}

/// Why it is not on its way, in a sentence without a number.
pub(crate) struct Unsent {
    /// In a sentence.
    pub(crate) why: String,
    /// Whether it surely did not leave, and may another time.
    pub(crate) retry: bool,
}

impl Unsent {
    fn never(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry: false }
    }

    fn later(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry: true }
    }
}

/// The number such messages of an agent leave from now; none while nothing that sends them is connected.
///
/// # Errors
/// When the organization's lines cannot be asked.
pub(crate) async fn line(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    agent: &AgentId,
) -> Result<Option<AlertLine>, ActorError> {
    let lines = tools.lines(handle.client(), tenant).await?;
    let there = |number: &&lines::Number| tools.carriers.base(number.is.provider).is_some();
    let number = lines.for_staff(agent).filter(there);
    Ok(number.map(|number| AlertLine { provider: number.is.provider, from: number.is.number.clone() }))
}

/// Sends it, once: the caller has journaled the attempt.
pub(crate) async fn send(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    of: &Staff<'_>,
) -> Result<(), Unsent> {
    let client = handle.client();
    let lines = tools.lines(client, tenant).await.map_err(|error| Unsent::later(error.to_string()))?;
    let connection =
        lines::connected(&lines, of.line.provider).map_err(|refused| Unsent::later(refused.to_string()))?;
    let message = CreateMessage {
        to: TwilioAddress { channel: Carried::Sms, number: of.to.to_owned() },
        from: Sender::Number(of.line.from.clone()),
        content: Content::Free { text: of.words.to_owned(), media: Vec::new() },
        status_callback: None,
        validity_s: None,
    };
    let request = carrier::twilio(&connection.credentials)
        .create_message(&message)
        .map_err(|unfit| Unsent::never(unfit.to_string()))?;
    let address = Address::of_carrier(of.to);
    let name = of.name.to_owned();
    match guard::may_send(client, tools, tenant, &address, name, Channel::Sms, Purpose::Staff).await {
        Ok(Verdict::Permitted(_)) => {}
        Ok(Verdict::Refused(refusal)) => {
            return Err(Unsent::never(format!("{}: {}", refusal.code(), refusal.sentence())));
        }
        Err(error) => return Err(Unsent::later(error.to_string())),
    }
    let attempted_ms = client.now_ms();
    let answer = tools.carriers.call(of.line.provider, &request, attempted_ms).await;
    match answer.and_then(|answer| read_created_message(&answer.as_answer())) {
        Ok(_) => Ok(()),
        Err(Fault::OutcomeUnknown { .. }) => look_up(tools, handle, tenant, of, attempted_ms).await,
        Err(Fault::Refused { code: Some(CODE_OPTED_OUT), .. }) => {
            send::opted_out(tools, client, tenant, &address).await;
            Err(Unsent::never("do_not_contact: the carrier does not deliver to this person, who told it to stop"))
        }
        // What the provider wrote may quote the number.
        Err(Fault::Refused { status, code, .. }) => {
            let code = code.map(|code| format!(", error {code}")).unwrap_or_default();
            Err(Unsent::never(format!("the provider refused it (status {status}{code})")))
        }
        Err(fault @ (Fault::RateLimited { .. } | Fault::Unavailable { .. })) => Err(Unsent::later(fault.to_string())),
        Err(fault @ (Fault::Credentials | Fault::Payment | Fault::NotFound | Fault::Unreadable)) => {
            Err(Unsent::never(fault.to_string()))
        }
    }
}

/// Finds out what became of one that may have left.
pub(crate) async fn look_up(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    of: &Staff<'_>,
    attempted_ms: i64,
) -> Result<(), Unsent> {
    let within_ms = tools.carriers.settings.unconfirmed_after_ms;
    let listed_by_ms = attempted_ms.saturating_add(within_ms);
    let given_up_ms = attempted_ms.saturating_add(within_ms.saturating_mul(UNREADABLE_TIMES));
    loop {
        let asked_ms = handle.client().now_ms();
        let sought = look::Sought {
            provider: of.line.provider,
            channel: Carried::Sms,
            from: &of.line.from,
            to: of.to,
            text: of.words,
            media: 0,
            known: &[],
            attempted_ms,
        };
        match look::listed(handle.client(), tools, tenant, &sought).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if asked_ms >= listed_by_ms => {
                return Err(Unsent::later("the provider does not have it: it never left"));
            }
            Ok(None) => {}
            Err(_) if asked_ms >= given_up_ms => {
                return Err(Unsent::never("unconfirmed: the provider did not say whether it was sent"));
            }
            Err(error) => tracing::info!(key = %handle.key().id, error, "an alert could not be looked up yet"),
        }
        let due = if asked_ms < listed_by_ms { listed_by_ms } else { given_up_ms };
        let wait = Duration::from_millis(due.saturating_sub(asked_ms).max(1).unsigned_abs());
        tokio::select! {
            () = tokio::time::sleep(look::EVERY.min(wait)) => {}
            () = handle.cancelled() => return Err(Unsent::later("the service stopped")),
        }
    }
}
