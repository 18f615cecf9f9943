//! One text message that belongs to no conversation, such as a reminder or one that tries a number: allowed by the guard, asked for once, and told as
//! unknown where nobody knows.

use colloquy_cluster::Client;
use colloquy_domain::Rejection;
use colloquy_domain::contact_guard::{Address, Purpose, Verdict};
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::{self, NewNumber};
use colloquy_domain::vocabulary::Channel;
use colloquy_telephony::error::Fault;
use colloquy_telephony::twilio::keywords::Channel as Carried;
use colloquy_telephony::twilio::messages::Address as TwilioAddress;
use colloquy_telephony::twilio::outgoing::{Content, CreateMessage, Sender};
use colloquy_telephony::twilio::rest::{CODE_OPTED_OUT, read_created_message};

use super::{carrier, send};
use crate::{ActorError, Tools, guard};

/// How long to wait for a provider that does not say how long, ms.
const PAUSE_MS: u64 = 60_000;

/// Sends it; the provider's id of the message. `leaves` is done between the guard's permit and the provider: what it refuses does not leave.
///
/// # Errors
/// A [`Rejection`] that says why it did not leave; [`ActorError::Busy`] where it surely did not and may later; [`ActorError::Unknown`] when the provider
/// did not say whether it did.
#[expect(clippy::too_many_arguments, reason = "from, to, what and who asks")]
pub async fn text(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    number: &NewNumber,
    to: &Address,
    name: String,
    words: String,
    leaves: impl AsyncFnOnce() -> Result<(), ActorError>,
) -> Result<String, ActorError> {
    let refused = |code: &'static str, why: String| ActorError::Rejected(Rejection::conflict(code, why));
    let Address::Phone(phone) = to else { return Err(refused("no_text_message", "only telephones take them".into())) };
    if !number.provider.carries(Channel::Sms) {
        return Err(refused("no_text_message", "this number sends no text messages".into()));
    }
    let lines = tools.lines(client, tenant).await?;
    let credentials = &lines::connected(&lines, number.provider)?.credentials;
    if tools.carriers.base(number.provider).is_none() {
        return Err(refused("no_carrier", "there is no simulated carrier here: set `messages.simulated_url`".into()));
    }
    let message = CreateMessage {
        to: TwilioAddress { channel: Carried::Sms, number: phone.clone() },
        from: Sender::Number(number.number.clone()),
        content: Content::Free { text: words, media: Vec::new() },
        status_callback: None,
        validity_s: None,
    };
    let request = carrier::twilio(credentials)
        .create_message(&message)
        .map_err(|unfit| ActorError::Rejected(Rejection::invalid("to", unfit.to_string())))?;
    let verdict = guard::may_send(client, tools, tenant, to, name, Channel::Sms, Purpose::Service).await?;
    if let Verdict::Refused(refusal) = verdict {
        return Err(refused(refusal.code(), refusal.sentence()));
    }
    leaves().await?;
    let answer = tools.carriers.call(number.provider, &request, client.now_ms()).await;
    match answer.and_then(|answer| read_created_message(&answer.as_answer())) {
        Ok(message) => Ok(message.sid),
        Err(Fault::OutcomeUnknown { .. }) => Err(ActorError::Unknown),
        Err(Fault::Refused { code: Some(CODE_OPTED_OUT), .. }) => {
            send::opted_out(tools, client, tenant, to).await;
            Err(refused("do_not_contact", "the carrier does not deliver to this person, who told it to stop".into()))
        }
        Err(Fault::RateLimited { retry_after_ms }) => {
            Err(ActorError::Busy { retry_after_ms: retry_after_ms.unwrap_or(PAUSE_MS) })
        }
        Err(Fault::Unavailable { .. }) => Err(ActorError::Busy { retry_after_ms: PAUSE_MS }),
        Err(fault) => Err(refused("provider_refused", fault.to_string())),
    }
}
