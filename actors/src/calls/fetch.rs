//! Sound that a provider has: what a caller said after its beep, and calls that it recorded. Fetched until it is here or is given up, and kept as recordings
//! of ours are.

use std::time::Duration;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::Principal;
use colloquy_domain::call::{Call, Carrier, Command};
use colloquy_domain::ids::{CallId, TenantId};
use colloquy_domain::lines::Provider;
use colloquy_telephony::audio::{mulaw, wav};
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::Repeat;
use colloquy_telephony::retell::rest::read_call;
use futures::StreamExt as _;

use super::recording::{self, CHANNELS, RATE_HZ};
use super::{find, id, missed, told};
use crate::messages::carrier;
use crate::{ActorError, Tools};

/// Pauses between tries, each twice the one before up to the longest, and how many: a provider that is away for an hour.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_MAX: Duration = Duration::from_secs(300);
const TRIES: u32 = 20;
/// Seconds of sound in a piece of a recording, as everywhere.
const PIECE_S: usize = 20;
/// Pieces of one call: four hours, twice as long as a call may last.
const PIECES_MAX: u32 = 4 * 3600 / PIECE_S as u32;
/// What an agent's channel has while only the caller speaks.
const SILENCE: u8 = 0xff;

/// What is fetched.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    /// What a caller said after the beep, by the provider's name of it.
    Voicemail(&'a str),
    /// A whole call.
    Call,
}

impl What<'_> {
    /// What the call is told of it.
    fn told(self, here: bool) -> Command {
        match self {
            Self::Voicemail(_) => Command::VoicemailFetched { here },
            Self::Call => Command::RecordingFetched { here },
        }
    }
}

/// Why it is not here.
enum Not {
    /// It may be another time.
    Yet(String),
    /// It never will be.
    Ever(String),
}

impl<E: std::fmt::Display> From<E> for Not {
    fn from(error: E) -> Self {
        Self::Yet(error.to_string())
    }
}

/// Takes note that a provider has the sound of a call, if its agent records calls and its organization keeps recordings: only then the caller was told.
///
/// # Errors
/// When call, agent or organization cannot be asked.
pub async fn recorded(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    carrier: Carrier,
    provider_call_id: &str,
) -> Result<(), ActorError> {
    let by = Principal::system(tenant.clone());
    let call = find(client, &by, &id(tools, tenant, carrier, provider_call_id)).await?;
    let Some(is) = call.and_then(|call| call.is) else { return Ok(()) };
    match tools.agent(client, tenant, &is.agent_id).await {
        Ok(agent) if agent.config.voice_recording => {}
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    let Some(keep_days) = missed::keeps(client, tools, tenant).await? else { return Ok(()) };
    let news = Command::Recorded { keep_days };
    told(client, tools, tenant, carrier, provider_call_id, news).await
}

/// Fetches it, however often that takes.
pub(super) async fn run(tools: &Tools, handle: &EffectHandle, what: What<'_>) {
    let mut pause = AGAIN;
    for _ in 0..TRIES {
        let tried = tokio::select! {
            tried = once(tools, handle, what) => tried,
            () = handle.cancelled() => return,
        };
        match tried {
            Ok(()) => return bring(handle, what.told(true)).await,
            Err(Not::Ever(why)) => {
                tracing::error!(call = %handle.key().id, why, "the sound of a call is given up");
                return bring(handle, what.told(false)).await;
            }
            Err(Not::Yet(why)) => tracing::warn!(call = %handle.key().id, why, "the sound of a call is not here yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(AGAIN_MAX),
            () = handle.cancelled() => return,
        }
    }
    tracing::error!(call = %handle.key().id, "the sound of a call is given up: its provider did not hand it out");
    bring(handle, what.told(false)).await;
}

async fn bring(handle: &EffectHandle, news: Command) {
    if let Err(error) = missed::tell(handle, news).await {
        tracing::warn!(call = %handle.key().id, %error, "what became of the sound of a call could not be brought back");
    }
}

async fn once(tools: &Tools, handle: &EffectHandle, what: What<'_>) -> Result<(), Not> {
    let call = missed::this_call(handle).await?;
    match what {
        What::Voicemail(name) => voicemail(tools, handle, &call, name).await,
        What::Call => whole_call(tools, handle, &call).await,
    }
}

async fn voicemail(tools: &Tools, handle: &EffectHandle, call: &Call, name: &str) -> Result<(), Not> {
    let client = handle.client();
    let tenant = TenantId::from(&*handle.key().tenant);
    if call.is.as_deref().is_none_or(|call| call.carrier != Carrier::Twilio) {
        return Err(Not::Ever("its provider takes no voicemail for us".to_owned()));
    }
    let lines = tools.lines(client, &tenant).await?;
    let provider = if simulated(call, Provider::Simulated) { Provider::Simulated } else { Provider::Twilio };
    let Some(connection) = lines.connections.get(&provider) else {
        return Err(Not::Yet("its account is not connected".to_owned()));
    };
    let twilio = carrier::twilio(&connection.credentials);
    let answered = tools.carriers.call(provider, &twilio.recording(name), client.now_ms()).await?;
    let file = match answered.as_answer().bytes(Repeat::Safe) {
        Ok(file) => file,
        // Not there yet, or not any more: the provider prepares it for some seconds.
        Err(Fault::NotFound) => return Err(Not::Yet("the provider does not have it".to_owned())),
        Err(fault) => return Err(fault.into()),
    };
    let mut keeper = Keeper::new(handle);
    keeper.take(&wav::read(file)?, Some(SILENCE)).await?;
    keeper.finish().await?;
    // It stands here: a copy elsewhere would outlive it.
    if let Err(fault) = tools.carriers.call(provider, &twilio.delete_recording(name), client.now_ms()).await {
        tracing::warn!(call = %call.id, %fault, "a provider's copy of a voicemail could not be deleted");
    }
    Ok(())
}

/// Both voices are in one channel there, and in both here.
async fn whole_call(tools: &Tools, handle: &EffectHandle, call: &Call) -> Result<(), Not> {
    let client = handle.client();
    let provider =
        if simulated(call, Provider::SimulatedRetell) { Provider::SimulatedRetell } else { Provider::Retell };
    let Some(is) = &call.is else { return Err(Not::Ever("it is a call that nobody knows".to_owned())) };
    let lines = tools.lines(client, &TenantId::from(&*handle.key().tenant)).await?;
    let Some(connection) = lines.connections.get(&provider) else {
        return Err(Not::Yet("its account is not connected".to_owned()));
    };
    // Asked anew each time: addresses of recordings are signed for a while only.
    let asked = carrier::retell(&connection.credentials).call(&is.provider_call_id);
    let answered = tools.carriers.call(provider, &asked, client.now_ms()).await?;
    let url = match read_call(&answered.as_answer()) {
        Ok(told) => told.recording_url.filter(|url| !url.is_empty()),
        Err(Fault::NotFound) => return Err(Not::Ever("its provider does not know the call".to_owned())),
        Err(fault) => return Err(fault.into()),
    };
    let Some(url) = url else { return Err(Not::Yet("its provider does not say where it is".to_owned())) };
    let mut pieces = match tools.carriers.download(provider, &url).await {
        Ok(pieces) => pieces,
        Err(Fault::Unreadable) => return Err(Not::Ever("its address is none that we ask".to_owned())),
        Err(fault) => return Err(fault.into()),
    };
    let mut keeper = Keeper::new(handle);
    let mut reader = wav::Reader::default();
    let unreadable = |_| Not::Ever("it is no WAV file that we can read".to_owned());
    while let Some(piece) = pieces.next().await {
        keeper.take(&reader.push(&piece?).map_err(unreadable)?, None).await?;
    }
    reader.finish().map_err(unreadable)?;
    keeper.finish().await
}

fn simulated(call: &Call, provider: Provider) -> bool {
    let account = call.is.as_deref().and_then(|call| call.account.as_deref());
    account.is_some_and(|account| account.starts_with(provider.word()))
}

/// Keeps sound in pieces as it comes.
struct Keeper<'a> {
    handle: &'a EffectHandle,
    waiting: Vec<u8>,
    number: u32,
}

impl<'a> Keeper<'a> {
    const BYTES: usize = PIECE_S * RATE_HZ as usize * CHANNELS as usize;

    fn new(handle: &'a EffectHandle) -> Self {
        Self { handle, waiting: Vec::new(), number: 0 }
    }

    /// Takes what the caller's channel has; the agent's has this, or the same.
    async fn take(&mut self, samples: &[i16], agent: Option<u8>) -> Result<(), Not> {
        for sample in mulaw::encode_all(samples) {
            self.waiting.extend([sample, agent.unwrap_or(sample)]);
        }
        while self.waiting.len() >= Self::BYTES {
            let rest = self.waiting.split_off(Self::BYTES);
            self.keep().await?;
            self.waiting = rest;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Not> {
        if self.waiting.is_empty() { Ok(()) } else { self.keep().await }
    }

    async fn keep(&mut self) -> Result<(), Not> {
        if self.number >= PIECES_MAX {
            return Err(Not::Ever("it is longer than a call can be".to_owned()));
        }
        let key = self.handle.key();
        let (tenant, call) = (TenantId::from(&*key.tenant), CallId::from(&*key.id));
        if !recording::keep(self.handle.client(), &tenant, &call, 0, self.number, &self.waiting).await {
            return Err(Not::Yet("it could not be kept".to_owned()));
        }
        self.number += 1;
        self.waiting.clear();
        Ok(())
    }
}
