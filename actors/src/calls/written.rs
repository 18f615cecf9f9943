//! What a caller said after the beep becomes words: who listens to recordings is asked until it answers, and the words stand in the conversation of who
//! called, as their own message. Here and in the call nothing stands of them but that they do.

use std::time::Duration;

use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::call::{Call, Command, NewCall, NoWords, Words};
use colloquy_domain::conversation::{self, CallBegun};
use colloquy_domain::ids::{CallId, ConversationId, TenantId};
use colloquy_domain::{Principal, Rejection};
use colloquy_telephony::audio::mulaw;
use colloquy_telephony::error::Fault;

use super::recording::{self, CHANNELS};
use super::{CallEntity, TRIES as CLOSED_TRIES, belongs, caller, find};
use crate::conversation::ConversationEntity;
use crate::core::{Asked, ask};
use crate::voice::Ears;
use crate::{ActorError, Tools};

/// Pauses between tries, each twice the one before up to the longest, and how many: a service that is away for an hour.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: Duration = Duration::from_secs(300);
const TRIES: u32 = 20;

/// Why a try came to nothing.
enum Trouble {
    /// No other will come to more.
    Final(NoWords),
    /// It may the next time; in words for the operator.
    Later(String),
}

impl From<ActorError> for Trouble {
    fn from(error: ActorError) -> Self {
        match error {
            // The call, its agent or its conversation is gone.
            ActorError::Rejected(_) => Self::Final(NoWords::Gone),
            error => Self::Later(error.to_string()),
        }
    }
}

/// Writes it down, and says what became of that.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle) {
    let words = match tools.voices.ears() {
        Some(ears) => match patiently(tools, handle, &ears).await {
            Some(words) => words,
            None => return, // Nobody wants it any more.
        },
        None => Words::Not { why: NoWords::NoEars },
    };
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    let told = handle.command::<CallEntity>(Asked { by, command: Command::VoicemailWritten { words } }).await;
    match told.map_err(ActorError::from) {
        Ok(_) | Err(ActorError::Rejected(_)) => {}
        Err(error) => {
            tracing::warn!(call = %handle.key().id, %error, "that a voicemail is written down could not be brought back");
        }
    }
}

async fn patiently(tools: &Tools, handle: &EffectHandle, ears: &Ears) -> Option<Words> {
    let mut pause = AGAIN;
    for _ in 0..TRIES {
        let tried = tokio::select! {
            tried = try_write(tools, handle, ears) => tried,
            () = handle.cancelled() => return None,
        };
        match tried {
            Ok(words) => return Some(words),
            Err(Trouble::Final(why)) => {
                tracing::warn!(call = %handle.key().id, ?why, "a voicemail is not written down");
                return Some(Words::Not { why });
            }
            Err(Trouble::Later(error)) => {
                tracing::info!(call = %handle.key().id, error, "a voicemail could not be written down yet");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_MAX),
            () = handle.cancelled() => return None,
        }
    }
    tracing::error!(call = %handle.key().id, "writing down a voicemail was given up: nobody answered");
    Some(Words::Not { why: NoWords::Away })
}

async fn try_write(tools: &Tools, handle: &EffectHandle, ears: &Ears) -> Result<Words, Trouble> {
    let client = handle.client();
    let by = Principal::system(TenantId::from(&*handle.key().tenant));
    let call = find(client, &by, &CallId::from(&*handle.key().id)).await?;
    let Some(call) = call else { return Err(Trouble::Final(NoWords::Gone)) };
    let Some(is) = call.is.as_deref() else { return Err(Trouble::Final(NoWords::Gone)) };
    if stands(handle, &by, &call).await? {
        // A node died after its words stood, and before it was said: they are not asked for again.
        return Ok(Words::Stand { confidence_percent: None });
    }
    let agent = tools.agent(client, &by.tenant, &is.agent_id).await?;
    let samples = sound(handle, &call).await?;
    let written = ears.write_down(&samples, &agent.config.voice_language).await.map_err(|fault| match fault {
        Fault::Credentials => Trouble::Final(NoWords::Key),
        Fault::Payment => Trouble::Final(NoWords::Unpaid),
        Fault::Refused { .. } | Fault::NotFound => Trouble::Final(NoWords::Refused),
        // What it answered to a recording it may answer otherwise the next time.
        Fault::RateLimited { .. } | Fault::Unavailable { .. } | Fault::OutcomeUnknown { .. } | Fault::Unreadable => {
            Trouble::Later(fault.to_string())
        }
    })?;
    if written.text.is_empty() {
        return Ok(Words::Silent);
    }
    note(tools, handle, &by, &call, is, agent.terms(), &written.text).await?;
    let percent = written.confidence.map(|sure| (sure * 100.0).round().clamp(0.0, 100.0) as u8);
    Ok(Words::Stand { confidence_percent: percent })
}

/// Whether a call's words stand in its conversation.
async fn stands(handle: &EffectHandle, by: &Principal, call: &Call) -> Result<bool, ActorError> {
    let Some(conversation) = &call.conversation_id else { return Ok(false) };
    let get = conversation::Command::Get;
    match ask::<ConversationEntity>(handle.client(), by, conversation.as_str(), get).await {
        Ok(conversation::Reply::State(state)) => Ok(state.calls.iter().any(|known| known.id == call.id)),
        Ok(_) => Err(ActorError::Failed),
        // Erased since: then the call is about to be, too.
        Err(ActorError::Rejected(Rejection::NotFound { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the caller said, 8,000 samples a second.
async fn sound(handle: &EffectHandle, call: &Call) -> Result<Vec<i16>, Trouble> {
    let client = handle.client();
    let mut samples = Vec::new();
    for piece in recording::pieces(client, &call.tenant, &call.id).await? {
        let Some(bytes) = recording::read(client, &call.tenant, &call.id, &piece).await? else {
            return Err(Trouble::Final(NoWords::Gone));
        };
        // The caller comes first of the channels.
        samples.extend(bytes.iter().step_by(usize::from(CHANNELS)).map(|byte| mulaw::decode(*byte)));
    }
    if samples.is_empty() { Err(Trouble::Final(NoWords::Gone)) } else { Ok(samples) }
}

/// Has the words stand in the conversation of who called, which begins with them if there is none.
async fn note(
    tools: &Tools,
    handle: &EffectHandle,
    by: &Principal,
    call: &Call,
    is: &NewCall,
    terms: conversation::Terms,
    words: &str,
) -> Result<(), Trouble> {
    let client = handle.client();
    let person = is.person.as_deref();
    let mut closed: Option<ConversationId> = None;
    for _ in 0..CLOSED_TRIES {
        let id = belongs(client, tools, call, &is.agent_id, person, closed.as_ref()).await?;
        let left = CallBegun {
            conversation_id: id.clone(),
            agent_id: is.agent_id.clone(),
            call: call.id.clone(),
            visitor: caller(tools, &call.id, &is.agent_id, person),
            terms: terms.clone(),
            greeting: None,
            person: is.person.clone(),
            errand: None,
        };
        let voicemail = conversation::Command::Voicemail { call: Box::new(left), text: words.to_owned() };
        match ask::<ConversationEntity>(client, by, id.as_str(), voicemail).await {
            Ok(_) => {
                // At once: whoever takes this up finds that they stand.
                ask::<CallEntity>(client, by, call.id.as_str(), Command::Join { conversation: id }).await?;
                return Ok(());
            }
            // Ended for good, or erased since: the person begins anew.
            Err(ActorError::Rejected(Rejection::Conflict { code, .. })) if code == "conversation_closed" => {}
            Err(ActorError::Rejected(Rejection::NotFound { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        closed = Some(id);
    }
    Err(Trouble::Later("the conversation it belongs to is closed".to_owned()))
}
