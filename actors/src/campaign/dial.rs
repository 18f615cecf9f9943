//! The effects of a slice: asking the guard, making a call at its moment, looking one up, and having the provider do something with one.

use std::time::Duration;

use colloquy_cluster::Ask;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::Principal;
use colloquy_domain::campaign::core;
use colloquy_domain::campaign::slice::{Command, Dial, DialAnswer, Effect, Refused, Reply, Report};
use colloquy_domain::contact_guard::{self, Address, Verdict};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::vocabulary::AgentStatus;
use tokio::time::Instant;

use super::hear::name_of;
use super::line::line;
use super::{CampaignEntity, SliceEntity, callees};
use crate::agent::AgentNow;
use crate::core::{Asked, ask};
use crate::guard::ContactGuardEntity;
use crate::telemetry::{DIAL_SECONDS, DIALS};
use crate::{ActorError, Tools};

/// The pause after something could not be found out, and the longest: a provider that is down is back within minutes, and the slice gives up by then.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// How long a result is brought home: longer than another node needs to take over.
const BRING_WITHIN: Duration = Duration::from_secs(5 * 60);
const BRING_PAUSE: Duration = Duration::from_millis(250);

/// Carries out one effect.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, effect: Effect) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let outcome = match effect {
        Effect::Authorize { target, attempt, guard, request } => {
            authorize(tools, handle, &tenant, target, attempt, &guard, *request).await
        }
        Effect::Dial { target, attempt, not_before_ms, agent_id } => {
            if unmanned(tools, handle, &tenant, &agent_id).await {
                return;
            }
            dial(tools, handle, &tenant, target, attempt, not_before_ms).await
        }
        Effect::LookUp { target, attempt, dial, from, dialed_ms, call } => {
            let call = Call { target, attempt, dial: name_of(&dial), from, dialed_ms, name: call };
            look_up(tools, handle, &tenant, call).await
        }
        Effect::Act { target, attempt, dial, from, dialed_ms, call, act, message } => {
            let call = Call { target, attempt, dial: name_of(&dial), from, dialed_ms, name: call };
            let until_done = async {
                has_acted(tools, handle, &tenant, &call, act, message.as_deref()).await;
                bring(handle, &tenant, "acted", Command::Acted { target, attempt, act }).await
            };
            tokio::select! {
                outcome = until_done => outcome,
                () = handle.cancelled() => Ok(()),
            }
        }
    };
    match outcome {
        // Another task, or a callback, was faster.
        Ok(()) | Err(ActorError::Rejected(_)) => {}
        Err(error) => {
            tracing::warn!(slice = %handle.key().id, effect = handle.id(), %error, "what became of a call's step could not be written down");
        }
    }
}

/// A call whose name at the provider may not be known.
struct Call {
    target: u32,
    attempt: u32,
    /// As it stands in what the provider was given along.
    dial: String,
    from: String,
    dialed_ms: i64,
    name: Option<String>,
}

async fn authorize(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    target: u32,
    attempt: u32,
    guard: &str,
    mut request: contact_guard::DialRequest,
) -> Result<(), ActorError> {
    let client = handle.client();
    let by = Principal::system(tenant.clone());
    let mut pause = AGAIN;
    let verdict = loop {
        let asked = async {
            let who = callees::one(client, tenant, &handle.key().id, target).await?;
            // Who was erased meanwhile is not called: the slice has heard of it, or will.
            let who = who.ok_or_else(|| colloquy_domain::Rejection::not_found("callee"))?;
            let address = Address::Phone(who.phone);
            debug_assert_eq!(address.id(&tools.contact_key), guard, "the guard of this number");
            request.masked = address.masked();
            let command = contact_guard::Command::AuthorizeDial(Box::new(request.clone()));
            ask::<ContactGuardEntity>(client, &by, guard, command).await
        };
        match asked.await {
            Ok(contact_guard::Reply::Verdict { verdict }) => break verdict,
            Ok(_) => return Err(ActorError::Failed),
            Err(ActorError::Rejected(rejection)) => return Err(ActorError::Rejected(rejection)),
            Err(error) => tracing::info!(slice = %handle.key().id, %error, "a guard could not be asked yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_MAX),
            () = handle.cancelled() => return Ok(()),
        }
    };
    if let Verdict::Refused(refusal) = &verdict {
        tracing::debug!(slice = %handle.key().id, target, ?refusal, "somebody is not called");
    }
    // Said even when it is not wanted any more: the guard counts what it has permitted, and the slice gives it back.
    bring(handle, tenant, "verdict", Command::Authorized { target, attempt, verdict }).await
}

/// Whether the agent does not work any more: then the campaign is told, which pauses, and this call is not made.
async fn unmanned(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, agent: &AgentId) -> bool {
    let client = handle.client();
    // What cannot be read now is no reason: the start has asked.
    let works = |now: AgentNow| now.status == AgentStatus::Active && !now.suspended;
    if tools.agent(client, tenant, agent).await.is_ok_and(works) {
        return false;
    }
    let (by, id) = (Principal::system(tenant.clone()), &handle.key().id);
    let Ok(Reply::State(slice)) = ask::<SliceEntity>(client, &by, id, Command::Get).await else { return false };
    // Somebody asked for this one call; its answer says what became of it.
    if slice.campaign.is_single_call() {
        return false;
    }
    let command = core::Command::Unmanned { agent_id: agent.clone() };
    ask::<CampaignEntity>(client, &by, slice.campaign.as_str(), command).await.is_ok()
}

async fn dial(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    target: u32,
    attempt: u32,
    not_before_ms: i64,
) -> Result<(), ActorError> {
    let wait_ms = u64::try_from(not_before_ms - handle.client().now_ms()).unwrap_or(0);
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
        () = handle.cancelled() => return Ok(()),
    }
    let begin = Asked {
        by: Principal::system(tenant.clone()),
        command: Command::Begin { target, attempt, minute_micros: tools.carriers.settings.minute_micros },
    };
    let dial = match handle.command::<SliceEntity>(begin).await? {
        Reply::Dial(dial) => dial,
        Reply::DoNotDial | Reply::Done | Reply::Book { .. } | Reply::Brief(_) | Reply::State(_) => return Ok(()),
    };
    // From here on it counts as called, whatever happens.
    let answer = create(tools, handle, tenant, target, &dial).await;
    let said = match &answer {
        DialAnswer::Placed { .. } => "placed",
        DialAnswer::Refused { .. } => "refused",
        DialAnswer::Unknown => "unknown",
    };
    metrics::counter!(DIALS, "answer" => said).increment(1);
    let took_ms = u64::try_from(handle.client().now_ms() - not_before_ms).unwrap_or(0);
    metrics::histogram!(DIAL_SECONDS).record(Duration::from_millis(took_ms));
    bring(handle, tenant, "dialed", Command::Dialed { target, attempt, answer }).await
}

async fn create(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, target: u32, dial: &Dial) -> DialAnswer {
    let client = handle.client();
    // Nothing has left before the line is asked: what cannot be read now was surely not called.
    let down = |error: &ActorError| {
        tracing::warn!(slice = %handle.key().id, target, %error, "a call was not made because its account or callee could not be read");
        DialAnswer::Refused { why: Refused::Down }
    };
    let who = match callees::one(client, tenant, &handle.key().id, target).await {
        Ok(who) => who,
        Err(error) => return down(&error),
    };
    let line = match line(tools, client, tenant, &dial.from).await {
        Ok(line) => line,
        Err(error) => return down(&error),
    };
    match (line, who) {
        (Some(line), Some(who)) => line.create(dial, &who.phone).await,
        // Disconnected or given up, or erased in the last moment.
        (None, _) | (_, None) => DialAnswer::Refused { why: Refused::NotAllowed },
    }
}

async fn look_up(tools: &Tools, handle: &EffectHandle, tenant: &TenantId, call: Call) -> Result<(), ActorError> {
    let (target, attempt) = (call.target, call.attempt);
    let looked = async {
        let mut pause = AGAIN;
        loop {
            match find(tools, handle, tenant, &call).await {
                Ok(found) => return found,
                Err(said) => {
                    tracing::info!(slice = %handle.key().id, target, said, "a call could not be looked up yet")
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_MAX);
        }
    };
    let found = tokio::select! {
        found = looked => found,
        () = handle.cancelled() => return Ok(()),
    };
    let report = match found {
        Some(found) => {
            if call.name.is_none() {
                let ringing = Report::Ringing { call: Some(found.call) };
                bring(handle, tenant, "named", Command::Heard { target, attempt, report: ringing }).await?;
            }
            if let Some(machine) = found.machine {
                let report = Report::Machine { machine };
                bring(handle, tenant, "machine", Command::Heard { target, attempt, report }).await?;
            }
            found.report
        }
        None => None,
    };
    bring(handle, tenant, "looked", Command::LookedUp { target, attempt, found: report }).await
}

async fn find(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    call: &Call,
) -> Result<Option<super::line::Found>, String> {
    let client = handle.client();
    let line = line(tools, client, tenant, &call.from).await.map_err(|error| error.to_string())?;
    // An account that was taken away cannot be asked; time decides then.
    let Some(line) = line else { return Ok(None) };
    let who = match &call.name {
        Some(_) => None,
        None => callees::one(client, tenant, &handle.key().id, call.target).await.map_err(|error| error.to_string())?,
    };
    let to = who.as_ref().map(|who| who.phone.as_str());
    line.find(call.name.as_deref(), to, &call.from, call.dialed_ms, &call.dial).await.map_err(|fault| fault.to_string())
}

/// Has the provider do it, until it has, or there is nobody to ask.
async fn has_acted(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    call: &Call,
    act: colloquy_domain::campaign::target::Act,
    message: Option<&str>,
) {
    let mut pause = AGAIN;
    loop {
        let tried = async {
            let line = line(tools, handle.client(), tenant, &call.from).await.map_err(|error| error.to_string())?;
            let Some(line) = line else { return Ok(()) };
            let name = match &call.name {
                Some(name) => Some(name.clone()),
                None => find(tools, handle, tenant, call).await?.map(|found| found.call),
            };
            // The provider has no such call yet: it may still get it.
            let name = name.ok_or_else(|| "the call is not there yet".to_owned())?;
            line.act(&name, act, message).await.map_err(|fault| fault.to_string())
        };
        match tried.await {
            Ok(()) => return,
            Err(said) => tracing::info!(slice = %handle.key().id, said, "a call could not be changed yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_MAX);
    }
}

/// Brings a result home under a key of its own: tasks of one name follow each other, and the second would be taken for a repeat of the first.
async fn bring(handle: &EffectHandle, tenant: &TenantId, what: &str, command: Command) -> Result<(), ActorError> {
    let key = format!("{}/{}/{what}", handle.id(), handle.attempt());
    let asked = Asked { by: Principal::system(tenant.clone()), command };
    let until = Instant::now() + BRING_WITHIN;
    loop {
        let options = Ask::keyed(&key);
        let done = handle.client().ask::<SliceEntity>(tenant.as_str(), &handle.key().id, asked.clone(), options).await;
        match done.map_err(ActorError::from) {
            Ok(_) => return Ok(()),
            Err(ActorError::Rejected(rejection)) => return Err(ActorError::Rejected(rejection)),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => tokio::time::sleep(BRING_PAUSE).await,
        }
    }
}
