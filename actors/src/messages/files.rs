//! Files of messages at rest, and the links that open them without a login: a file is a blob under its conversation's key, so that with the conversation it is
//! gone; a link names conversation, file and end under a key of this installation.

use bytes::Bytes;
use colloquy_cluster::store::StoreError;
use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::Rejection;
use colloquy_domain::conversation::attachment::{BYTES_MAX, ID_DIGITS, KEPT_MAX, file_name, is_id};
use colloquy_domain::conversation::{self, Attachment, FileType, State};
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::Provider;
use colloquy_telephony::error::Fault;
use colloquy_telephony::whatsapp::rest as whatsapp;
use serde::{Deserialize, Serialize};

use super::carrier;
use crate::{ActorError, Tools};

/// Hexadecimal digits of a link's signature: 128 bits.
const SIGNATURE_DIGITS: usize = 32;

/// What stands before a file's bytes, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    kind: FileType,
}

/// Keeps a file of a conversation that exists. The same bytes under the same name are the same file, however often they come.
///
/// # Errors
/// When it is none that can be sent, or cannot be stored.
pub async fn keep(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    conversation: &str,
    name: &str,
    bytes: &[u8],
) -> Result<Attachment, ActorError> {
    if bytes.is_empty() {
        return Err(Rejection::invalid("file", "is empty").into());
    }
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Rejection::invalid("file", "is larger than 5 MB").into());
    }
    let Some(kind) = FileType::of(bytes).filter(|kind| kind.is_sendable()) else {
        return Err(Rejection::invalid("file", "is no JPEG, PNG, GIF or PDF, whatever its name says").into());
    };
    let name = file_name(name, kind);
    let mut id = signed(tools, &["file", tenant.as_str(), conversation, &name, blake3::hash(bytes).to_hex().as_str()]);
    id.truncate(ID_DIGITS);
    let file = Attachment { id, kind, name, bytes: bytes.len() as u64 };
    let key = key(tenant, conversation);
    let path = path(&key, &file.id);
    let kept = client.store().blobs.list(&folder(&key)).await?;
    if kept.contains(&path) {
        return Ok(file);
    }
    if kept.len() >= KEPT_MAX {
        let detail = format!("This conversation has {KEPT_MAX} files already.");
        return Err(Rejection::conflict("too_many_files", detail).into());
    }
    store(client, &key, &file.id, &Head { name: file.name.clone(), kind }, bytes).await?;
    Ok(file)
}

async fn store(client: &Client, key: &EntityKey, id: &str, head: &Head, bytes: &[u8]) -> Result<(), ActorError> {
    let mut whole = serde_json::to_vec(head).map_err(|_| ActorError::Failed)?;
    whole.push(b'\n');
    whole.extend_from_slice(bytes);
    match client.put_blob(key, &path(key, id), &whole).await {
        Ok(()) => Ok(()),
        // Erased a moment ago.
        Err(StoreError::Erased(_)) => Err(Rejection::not_found("conversation").into()),
        Err(error) => Err(error.into()),
    }
}

/// A file with its bytes; none when there is no such file, or no longer.
///
/// # Errors
/// When the store cannot be asked, or the file is damaged.
pub async fn read(
    client: &Client,
    tenant: &TenantId,
    conversation: &str,
    id: &str,
) -> Result<Option<(Attachment, Bytes)>, ActorError> {
    if !is_id(id) {
        return Ok(None);
    }
    let key = key(tenant, conversation);
    let path = path(&key, id);
    let whole = match client.get_blob(&key, &path).await {
        Ok(Some(whole)) => whole,
        Ok(None) | Err(StoreError::Erased(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = || ActorError::Damaged(format!("corrupt data in blob {path}: it has no head"));
    let end = whole.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let head: Head = serde_json::from_slice(&whole[..end]).map_err(|_| damaged())?;
    let bytes = whole.slice(end + 1..);
    let file = Attachment { id: id.to_owned(), kind: head.kind, name: head.name, bytes: bytes.len() as u64 };
    Ok(Some((file, bytes)))
}

/// What a person attached to a message of theirs: fetched from their carrier when somebody looks at it first, and kept from then on. None when there is no such
/// thing, the carrier has it no more, or it is nothing that can be shown.
///
/// # Errors
/// When carrier or store cannot be asked.
pub async fn heard(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    state: &State,
    message: &str,
    at: usize,
) -> Result<Option<(Attachment, Bytes)>, ActorError> {
    let Some(message) = state.message(&message.into()) else { return Ok(None) };
    let Some(address) = message.attachments.get(at) else { return Ok(None) };
    let conversation = state.id.as_str();
    let mut id = signed(tools, &["heard", tenant.as_str(), conversation, address]);
    id.truncate(ID_DIGITS);
    if let Some(found) = read(client, tenant, conversation, &id).await? {
        return Ok(Some(found));
    }
    let Some(line) = state.lines.get(&message.channel) else { return Ok(None) };
    let lines = tools.lines(client, tenant).await?;
    let Some(connection) = lines.connections.get(&line.provider) else { return Ok(None) };
    let (carriers, keys) = (&tools.carriers, &connection.credentials);
    let fetched = match line.provider {
        Provider::Twilio | Provider::Simulated => match carrier::twilio(keys).media(address) {
            Some(request) => carriers.file(line.provider, &request).await,
            None => return Ok(None),
        },
        Provider::Whatsapp => {
            let medium = address.rsplit(':').next().unwrap_or_default();
            let number = carrier::whatsapp(keys, line.external_id.as_deref().unwrap_or_default());
            let told = carriers.call(line.provider, &number.media(medium), client.now_ms()).await;
            match told.and_then(|told| whatsapp::read_media(&told.as_answer())) {
                Ok(url) => carriers.file_at(line.provider, &url, Some(&keys.token)).await,
                Err(fault) => Err(fault),
            }
        }
        Provider::Retell | Provider::SimulatedRetell | Provider::Vapi => return Ok(None),
    };
    let bytes = match fetched {
        Ok(bytes) => bytes,
        Err(Fault::Unavailable { .. } | Fault::RateLimited { .. }) => {
            return Err(ActorError::Unavailable("the carrier does not give the file now".to_owned()));
        }
        // Gone there, too large, or not ours to read: it will not come by asking again.
        Err(fault) => {
            tracing::info!(%fault, "what a person attached could not be fetched");
            return Ok(None);
        }
    };
    let Some(kind) = FileType::of(&bytes) else { return Ok(None) };
    let name = file_name(&format!("{}-{}", message.seq, at + 1), kind);
    store(client, &key(tenant, conversation), &id, &Head { name, kind }, &bytes).await?;
    read(client, tenant, conversation, &id).await
}

/// Deletes a file that was not sent.
///
/// # Errors
/// When the store cannot be asked.
pub async fn discard(client: &Client, tenant: &TenantId, conversation: &str, id: &str) -> Result<(), ActorError> {
    if is_id(id) {
        client.store().blobs.delete(&path(&key(tenant, conversation), id)).await?;
    }
    Ok(())
}

/// Keeps a file again that was deleted although its message stands.
///
/// # Errors
/// When the conversation is erased, or the store cannot be written.
pub async fn put_back(
    client: &Client,
    tenant: &TenantId,
    conversation: &str,
    file: &Attachment,
    bytes: &[u8],
) -> Result<(), ActorError> {
    let head = Head { name: file.name.clone(), kind: file.kind };
    store(client, &key(tenant, conversation), &file.id, &head, bytes).await
}

/// Deletes all files of a conversation. Without its key they cannot be opened anyway.
pub(crate) async fn delete_all(client: &Client, key: &EntityKey) -> Result<(), ActorError> {
    let blobs = &client.store().blobs;
    for path in blobs.list(&folder(key)).await? {
        blobs.delete(&path).await?;
    }
    Ok(())
}

/// Where a file opens without a login, until then.
pub fn link(tools: &Tools, tenant: &TenantId, conversation: &str, id: &str, until_ms: i64) -> String {
    let until_s = until_ms.div_euclid(1000);
    let signature = signature(tools, tenant, conversation, id, until_s);
    format!("{}/api/files/{tenant}/{conversation}/{id}/{until_s}/{signature}", tools.carriers.settings.api_url)
}

/// Whether a link of ours said so, and still does.
pub fn opens(
    tools: &Tools,
    tenant: &TenantId,
    conversation: &str,
    id: &str,
    until_s: i64,
    given: &str,
    now_ms: i64,
) -> bool {
    let own = signature(tools, tenant, conversation, id, until_s);
    // Compared as hashes, so that the time it takes tells nothing about the signature.
    let same = blake3::hash(own.as_bytes()) == blake3::hash(given.as_bytes());
    same && now_ms < until_s.saturating_mul(1000)
}

fn signature(tools: &Tools, tenant: &TenantId, conversation: &str, id: &str, until_s: i64) -> String {
    let mut digits = signed(tools, &["link", tenant.as_str(), conversation, id, &until_s.to_string()]);
    digits.truncate(SIGNATURE_DIGITS);
    digits
}

fn signed(tools: &Tools, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new_keyed(&tools.file_key);
    for part in parts {
        // Lengths keep "ab","c" and "a","bc" apart.
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn key(tenant: &TenantId, conversation: &str) -> EntityKey {
    EntityKey::new(tenant.as_str(), conversation::KIND, conversation)
}

fn folder(key: &EntityKey) -> String {
    format!("conversations/{}/{}", key.tenant, key.id)
}

fn path(key: &EntityKey, id: &str) -> String {
    format!("{}/{id}", folder(key))
}
