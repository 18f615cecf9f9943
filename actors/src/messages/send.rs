//! Sends one part of a message: the guard is asked, the attempt journaled, the request made once. What may have arrived is looked up, never repeated.

use std::time::Duration;

use colloquy_cluster::Ask;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::contact_guard::{self, Address, NewEntry, Source, Verdict};
use colloquy_domain::conversation::delivery::in_window;
use colloquy_domain::conversation::{Attachment, Command, Outgoing, Reply};
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::{self, Credentials, Provider};
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, thread};
use colloquy_telephony::error::{Fault, Unfit};
use colloquy_telephony::rest::Request;
use colloquy_telephony::twilio::keywords::Channel as Carried;
use colloquy_telephony::twilio::messages::Address as TwilioAddress;
use colloquy_telephony::twilio::outgoing::{Content, CreateMessage, Sender};
use colloquy_telephony::twilio::rest::{CODE_OPTED_OUT, read_created_message};
use colloquy_telephony::whatsapp::rest as whatsapp;

use super::carrier::{self, Answered};
use super::connection_id;
use super::look;
use super::parcel::{self, Parcel};
use crate::conversation::ConversationEntity;
use crate::core::{Asked, ask};
use crate::thread::ThreadEntity;
use crate::{ActorError, Tools, guard};

/// How often a result is brought home while the conversation is moving or out of reach, and the pause in between: five minutes in all.
const RESULT_TRIES: u32 = 300;
const RESULT_PAUSE: Duration = Duration::from_secs(1);

/// Why a part does not leave.
enum Stop {
    /// For good.
    Final(String),
    /// It surely did not leave, and may after this many ms.
    Later(String, i64),
    /// Somebody else has it by now, or it cannot be said here: what is journaled decides.
    Quietly,
}

/// Sends a part, or finds out what became of it.
pub(crate) async fn run(tools: &Tools, handle: &EffectHandle, of: Outgoing) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let attempted_ms = of.attempted_ms;
    let outcome = match attempted_ms {
        Some(at_ms) => look_up(tools, handle, &tenant, &of, at_ms).await,
        None => send(tools, handle, &tenant, &of).await,
    };
    let label = match &outcome {
        Ok(_) => "sent",
        Err(Stop::Final(_)) => "failed",
        Err(Stop::Later(..)) => "later",
        Err(Stop::Quietly) => return,
    };
    let channel = if of.channel == Channel::Whatsapp { "whatsapp" } else { "sms" };
    metrics::counter!(crate::telemetry::MESSAGES, "channel" => channel, "outcome" => label).increment(1);
    let (message_id, part, attempt) = (of.message.clone(), of.part, of.attempt);
    let result = match outcome {
        Ok(provider_id) => Command::HandedOver { message_id, part, attempt, provider_id },
        Err(Stop::Final(reason)) => Command::SendFailed { message_id, part, attempt, reason, retry_ms: None },
        Err(Stop::Later(reason, ms)) => Command::SendFailed { message_id, part, attempt, reason, retry_ms: Some(ms) },
        Err(Stop::Quietly) => return,
    };
    if let Err(error) = bring(handle, result).await {
        tracing::warn!(conversation = %handle.key().id, %error, "what became of a message could not be brought back");
    }
}

/// The provider's id of the part.
async fn send(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, of: &Outgoing) -> Result<String, Stop> {
    let client = handle.client();
    let lines = tools.lines(client, tenant).await.map_err(later)?;
    let connection = lines::connected(&lines, of.line.provider).map_err(|refused| Stop::Final(sentence(&refused)))?;
    let credentials = &connection.credentials;
    if tools.carriers.base(of.line.provider).is_none() {
        return Err(Stop::Final("there is no simulated carrier here: `messages.simulated_url` is not set".to_owned()));
    }
    let (request, parts) =
        build(tools, handle, tenant, of, credentials).map_err(|unfit| Stop::Final(unfit.to_string()))?;

    let address = Address::of_carrier(&of.line.to);
    // One permit for a message, however many parts it has.
    let name = format!("{}/{}", handle.key().id, of.message);
    let verdict =
        guard::may_send(client, tools, tenant, &address, name, of.channel, of.purpose).await.map_err(later)?;
    if let Verdict::Refused(refusal) = verdict {
        return Err(Stop::Final(format!("{}: {}", refusal.code(), refusal.sentence())));
    }
    if of.part == 0 {
        wrote(tools, handle, tenant, &of.line.to).await?;
    }
    let attempt =
        Command::SendAttempt { message_id: of.message.clone(), part: of.part, of: parts, attempt: of.attempt };
    match command(handle, attempt).await {
        Ok(_) => {}
        Err(ActorError::Rejected(_)) => return Err(Stop::Quietly),
        Err(error) => {
            tracing::warn!(conversation = %handle.key().id, %error, "a message's attempt could not be journaled");
            return Err(Stop::Quietly); // It stays queued: the next activation takes it up.
        }
    }
    let attempted_ms = client.now_ms();
    let answer = tools.carriers.call(of.line.provider, &request, attempted_ms).await;
    match answer.and_then(|answer| read_sent(of.line.provider, &answer)) {
        Ok(id) => Ok(id),
        Err(Fault::OutcomeUnknown { .. }) => look_up(tools, handle, tenant, of, attempted_ms).await,
        Err(fault) => Err(stop(tools, handle, tenant, &address, fault).await),
    }
}

/// The request for a part, and how many there are.
fn build(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    of: &Outgoing,
    credentials: &Credentials,
) -> Result<(Request, u32), Unfit> {
    let template = of
        .line
        .template
        .as_ref()
        .filter(|_| of.channel == Channel::Whatsapp && !in_window(&of.line, handle.client().now_ms()));
    if template.is_some() && !of.files.is_empty() {
        return Err(Unfit {
            field: "attachments",
            problem: "cannot leave any more: WhatsApp takes files only within 24 hours after the person wrote",
        });
    }
    // A template has one place to fill, so it is never cut.
    let parts = match template {
        Some(_) => vec![Parcel { text: of.text.trim().to_owned(), files: Vec::new() }],
        None => parcel::parcels(tools, tenant, &handle.key().id, of),
    };
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let Parcel { text, files } = parts.into_iter().nth(of.part as usize).unwrap_or_default();
    let link = |file: &Attachment| parcel::fetched_at(tools, tenant, &handle.key().id, of, file);
    let request = match of.line.provider {
        Provider::Twilio | Provider::Simulated => {
            let channel = if of.channel == Channel::Whatsapp { Carried::Whatsapp } else { Carried::Sms };
            let content = match template {
                Some(template) => Content::Template {
                    content_sid: template.name.clone(),
                    variables: [("1".to_owned(), text.into())].into_iter().collect(),
                },
                None => Content::Free { text, media: files.iter().map(link).collect() },
            };
            let callback = format!(
                "{}/api/messages/twilio/status/{}?c={}&m={}&p={}",
                tools.carriers.settings.api_url,
                connection_id(of.line.provider, tenant),
                handle.key().id,
                of.message,
                of.part
            );
            let message = CreateMessage {
                to: TwilioAddress { channel, number: of.line.to.clone() },
                from: Sender::Number(of.line.from.clone()),
                content,
                status_callback: Some(callback),
                validity_s: None,
            };
            carrier::twilio(credentials).create_message(&message)?
        }
        Provider::Whatsapp => {
            let number = carrier::whatsapp(credentials, of.line.external_id.as_deref().unwrap_or_default());
            let request = match template {
                Some(template) => {
                    number.send_template(&of.line.to, &template.name, &template.language, &[text.as_str()])?
                }
                None => match files.first() {
                    Some(file) => {
                        let kind = if file.kind.is_image() { "image" } else { "document" };
                        let caption = Some(text.as_str()).filter(|text| !text.is_empty());
                        number.send_media(&of.line.to, kind, &link(file), caption, Some(&file.name))?
                    }
                    None => number.send_text(&of.line.to, &text, None)?,
                },
            };
            whatsapp::referenced(request, &format!("{}/{}/{}", handle.key().id, of.message, of.part))
        }
        Provider::Retell | Provider::SimulatedRetell => {
            return Err(Unfit { field: "from", problem: "is a number that carries calls only" });
        }
        // No line leads there: it carries calls only.
        Provider::Vapi => return Err(Unfit { field: "provider", problem: "carries no messages" }),
    };
    Ok((request, count))
}

fn read_sent(provider: Provider, answer: &Answered) -> Result<String, Fault> {
    match provider {
        Provider::Twilio | Provider::Simulated => read_created_message(&answer.as_answer()).map(|message| message.sid),
        Provider::Whatsapp => whatsapp::read_sent(&answer.as_answer()),
        // Never asked to: they carry no messages.
        Provider::Retell | Provider::SimulatedRetell | Provider::Vapi => Err(Fault::Unreadable),
    }
}

/// What a fault means for the message. A carrier that says "they told us to stop" is heard.
async fn stop(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, address: &Address, fault: Fault) -> Stop {
    match fault {
        Fault::RateLimited { retry_after_ms } => {
            let ms = retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
            Stop::Later(fault.to_string(), ms)
        }
        Fault::Unavailable { .. } => Stop::Later(fault.to_string(), 0),
        Fault::Refused { code: Some(CODE_OPTED_OUT), .. } => {
            opted_out(tools, handle.client(), tenant, address).await;
            Stop::Final("do_not_contact: the carrier does not deliver to this person, who told it to stop".to_owned())
        }
        Fault::Refused { code: Some(whatsapp::CODE_OUTSIDE_WINDOW), .. } => {
            Stop::Final("whatsapp_window_closed: more than 24 hours since the person wrote".to_owned())
        }
        Fault::Refused { status, code, message } => {
            let code = code.map(|code| format!(", error {code}")).unwrap_or_default();
            Stop::Final(format!("the provider refused it (status {status}{code}): {message}"))
        }
        Fault::Credentials | Fault::Payment | Fault::NotFound | Fault::OutcomeUnknown { .. } | Fault::Unreadable => {
            Stop::Final(fault.to_string())
        }
    }
}

/// Writes down what the carrier knows: nobody may try again what it will not deliver.
pub(crate) async fn opted_out(tools: &Tools, client: &colloquy_cluster::Client, tenant: &TenantId, address: &Address) {
    let entry = NewEntry {
        masked: address.masked(),
        reach: contact_guard::Reach::Sms,
        source: Source::Carrier,
        reason: "the carrier refuses to deliver: this person told it to stop".to_owned(),
        expires_ms: None,
    };
    let command = contact_guard::Command::AddEntry(Box::new(entry));
    if let Err(error) = guard::ask_guard(client, tools, &Principal::system(tenant.clone()), address, command).await {
        tracing::warn!(%error, "what a carrier said about a number could not be written down; it will say it again");
    }
}

/// Looks for the part at the provider until it is found, a receipt names it, or nobody can say.
async fn look_up(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    of: &Outgoing,
    attempted_ms: i64,
) -> Result<String, Stop> {
    let until_ms = attempted_ms.saturating_add(tools.carriers.settings.unconfirmed_after_ms);
    loop {
        match find(tools, handle, tenant, of, attempted_ms).await {
            Ok(Some(id)) => return Ok(id),
            Ok(None) => {}
            Err(error) => {
                tracing::info!(conversation = %handle.key().id, %error, "a message could not be looked up yet")
            }
        }
        if handle.client().now_ms() >= until_ms {
            return Err(Stop::Final("unconfirmed: the provider did not say whether it was sent".to_owned()));
        }
        tokio::select! {
            () = tokio::time::sleep(look::EVERY) => {}
            // A receipt was faster.
            () = handle.cancelled() => return Err(Stop::Quietly),
        }
    }
}

/// The provider's id of a part, if it lists it. WhatsApp has no list: only its receipt tells.
async fn find(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    of: &Outgoing,
    attempted_ms: i64,
) -> Result<Option<String>, String> {
    if of.line.provider == Provider::Whatsapp {
        return Ok(None);
    }
    let part =
        parcel::parcels(tools, tenant, &handle.key().id, of).into_iter().nth(of.part as usize).unwrap_or_default();
    let sought = look::Sought {
        provider: of.line.provider,
        channel: if of.channel == Channel::Whatsapp { Carried::Whatsapp } else { Carried::Sms },
        from: &of.line.from,
        to: &of.line.to,
        text: &part.text,
        media: part.files.len(),
        known: &of.known,
        attempted_ms,
    };
    look::listed(handle.client(), tools, tenant, &sought).await
}

/// Tells the number's thread that this conversation writes to it, so that the answer finds its way.
async fn wrote(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, number: &str) -> Result<(), Stop> {
    let client = handle.client();
    let conversation = handle.key().id.to_string();
    let by = Principal::system(tenant.clone());
    let state = ask::<ConversationEntity>(client, &by, &conversation, Command::Get).await.map_err(later)?;
    let Reply::State(state) = state else { return Err(Stop::Quietly) };
    let thread = crate::thread::id(tools, &state.agent_id, number);
    let wrote = thread::Command::Wrote { agent: state.agent_id.clone(), conversation: conversation.as_str().into() };
    ask::<ThreadEntity>(client, &by, &thread, wrote).await.map_err(later)?;
    Ok(())
}

fn later(error: ActorError) -> Stop {
    match error {
        ActorError::Rejected(rejection) => Stop::Final(sentence(&rejection)),
        ActorError::Busy { .. }
        | ActorError::Unknown
        | ActorError::StorageFull
        | ActorError::Damaged(_)
        | ActorError::Unavailable(_)
        | ActorError::Failed => Stop::Later("the service is busy".to_owned(), 0),
    }
}

fn sentence(rejection: &colloquy_domain::Rejection) -> String {
    rejection.to_string()
}

/// Brings the result home. It has a key of its own: the handle's keys count commands, and a task that only looks up would count its result where the
/// one before it counted the attempt, so that it would be taken for a repeat and dropped.
async fn bring(handle: &EffectHandle, result: Command) -> Result<(), ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    let (tenant, id) = (handle.key().tenant.to_string(), handle.key().id.to_string());
    let key = format!("{}/{}/result", handle.id(), handle.attempt());
    let mut tries = 0;
    loop {
        tries += 1;
        let asked = Asked { by: by.clone(), command: result.clone() };
        let outcome = handle.client().ask::<ConversationEntity>(&tenant, &id, asked, Ask::keyed(&key)).await;
        match outcome.map_err(ActorError::from) {
            // A refusal means that a receipt, or another task, was faster.
            Ok(_) | Err(ActorError::Rejected(_)) => return Ok(()),
            Err(error) if tries >= RESULT_TRIES || handle.is_cancelled() => return Err(error),
            Err(_) => tokio::time::sleep(RESULT_PAUSE).await,
        }
    }
}

async fn command(handle: &EffectHandle, command: Command) -> Result<Reply, ActorError> {
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    Ok(handle.command::<ConversationEntity>(Asked { by, command }).await?)
}
