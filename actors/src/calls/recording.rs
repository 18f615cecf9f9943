//! The sound of calls at rest: pieces of twenty seconds, caller and agent side by side, each sealed under the key of its call, so that with the call they
//! are gone. How long a piece is stands in its name.

use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::store::StoreError;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::call::{self, Command};
use colloquy_domain::ids::{CallId, TenantId};
use colloquy_domain::tenant::profile::{Recordings, recordings};
use colloquy_domain::{Principal, Rejection};

use super::CallEntity;
use crate::core::{Asked, ask};
use crate::{ActorError, Tools};

/// Samples a second of each of the two channels, a byte each.
pub const RATE_HZ: u32 = 8_000;
/// Channels: the caller, then the agent.
pub const CHANNELS: u16 = 2;
/// Before another try of deleting.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often a piece is tried to be kept.
const TRIES: u32 = 4;
/// Before the second of these tries; each further one waits twice as long.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A piece that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    path: String,
    /// Its length.
    pub bytes: u64,
}

/// Begins to record a call, if its organization keeps recordings at all. `false`: nothing is to be recorded.
///
/// # Errors
/// When the organization or the call cannot be asked.
pub async fn begin(client: &Client, tools: &Tools, tenant: &TenantId, call: &CallId) -> Result<bool, ActorError> {
    let facts = tools.tenant_copy(client, tenant).await?;
    let keep_days = match recordings(&facts.facts.settings) {
        Recordings::Discarded => return Ok(false),
        Recordings::Days(days) => Some(days),
        Recordings::Kept => None,
    };
    let command = Command::Record { keep_days };
    match ask::<CallEntity>(client, &Principal::system(tenant.clone()), call.as_str(), command).await {
        Ok(_) => Ok(true),
        // It is over, or erased.
        Err(ActorError::Rejected(Rejection::Conflict { .. } | Rejection::NotFound { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps a piece: the how-manieth of the call's how-manieth socket. `false` when it is lost.
pub async fn keep(client: &Client, tenant: &TenantId, call: &CallId, socket: u32, number: u32, bytes: &[u8]) -> bool {
    let key = key(tenant, call);
    let path = format!("{}/{socket:04}-{number:06}-{}", folder(&key), bytes.len());
    let mut wait = TRY_AGAIN_AFTER;
    for _ in 0..TRIES {
        match client.put_blob(&key, &path, bytes).await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(call = %call, %error, "a piece of a recording could not be kept yet"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    false
}

/// All pieces of a call, in order.
///
/// # Errors
/// When the store cannot be asked.
pub async fn pieces(client: &Client, tenant: &TenantId, call: &CallId) -> Result<Vec<Piece>, ActorError> {
    let listed = client.store().blobs.list(&folder(&key(tenant, call))).await.map_err(failed)?;
    let length = |path: &str| path.rsplit('-').next()?.parse().ok();
    // Names begin with numbers of one width each: they are listed in order.
    Ok(listed.into_iter().filter_map(|path| length(&path).map(|bytes| Piece { path, bytes })).collect())
}

/// Reads a piece; nothing when it was deleted meanwhile.
///
/// # Errors
/// When the store cannot be asked, or the piece cannot be read.
pub async fn read(
    client: &Client,
    tenant: &TenantId,
    call: &CallId,
    piece: &Piece,
) -> Result<Option<Bytes>, ActorError> {
    client.get_blob(&key(tenant, call), &piece.path).await.map_err(failed)
}

/// Deletes all of a call's sound. Without its key it cannot be heard anyway.
///
/// # Errors
/// When the store cannot be asked.
pub(crate) async fn delete(client: &Client, key: &EntityKey) -> Result<(), ActorError> {
    let blobs = &client.store().blobs;
    for path in blobs.list(&folder(key)).await.map_err(failed)? {
        blobs.delete(&path).await.map_err(failed)?;
    }
    Ok(())
}

/// Deletes what expired, however often that takes.
pub(super) async fn run(handle: &EffectHandle) {
    let deleting = async {
        while let Err(error) = delete(handle.client(), handle.key()).await {
            tracing::warn!(call = %handle.key().id, %error, "a recording could not be deleted yet");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        let by = Principal::system(TenantId::from(&*handle.key().tenant));
        let told = handle.command::<CallEntity>(Asked { by, command: Command::RecordingDeleted }).await;
        match told.map_err(ActorError::from) {
            Ok(_) | Err(ActorError::Rejected(_)) => {}
            Err(error) => tracing::warn!(%error, "that a recording is deleted could not be brought back"),
        }
    };
    tokio::select! {
        () = deleting => {}
        () = handle.cancelled() => {}
    }
}

fn key(tenant: &TenantId, call: &CallId) -> EntityKey {
    EntityKey::new(tenant.as_str(), call::KIND, call.as_str())
}

fn folder(key: &EntityKey) -> String {
    format!("calls/{}/{}", key.tenant, key.id)
}

fn failed(error: StoreError) -> ActorError {
    ActorError::Unavailable(error.to_string())
}
