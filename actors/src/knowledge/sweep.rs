//! Deletes stored pages, uploads and indices that nothing names any more.
//!
//! Safe beside everything else: a path is written by one run, one upload or one build only, what is deleted was listed before the entity said what it
//! names, runs under way keep all of theirs, and while an index is built nothing is swept.

use std::time::Duration;

use colloquy_cluster::EntityKey;
use colloquy_cluster::effect::EffectHandle;
use colloquy_domain::knowledge::{Command, Reply, Stored};

use super::{command, report};
use crate::ActorError;

/// Before another try, when the blobs cannot be listed or deleted.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// An upload that no source names may be on its way to one: it is stored first. No request lives this long, milliseconds.
const UPLOAD_SETTLED_MS: i64 = 60 * 60 * 1000;
/// Hexadecimal digits of a UUID of version 7 that tell its time.
const TIME_DIGITS: usize = 12;

/// The folder of an agent's pages.
pub(super) fn pages(agent: &EntityKey) -> String {
    format!("{}/pages/", folder(agent))
}

/// The folder of an agent's indices.
pub(super) fn indices(agent: &EntityKey) -> String {
    format!("{}/index/", folder(agent))
}

fn folder(agent: &EntityKey) -> String {
    format!("knowledge/{}/{}", agent.tenant, agent.id)
}

/// Sweeps until it succeeds or is no longer wanted.
pub(super) async fn run(handle: &EffectHandle, mark: u64) {
    tokio::select! {
        () = sweep(handle, mark) => {}
        () = handle.cancelled() => {}
    }
}

async fn sweep(handle: &EffectHandle, mark: u64) {
    loop {
        match once(handle).await {
            Ok(true) => return report(handle, Command::Swept { mark }).await,
            // Something else goes first; when it is done the sweep is pending again.
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(agent = %handle.key().id, %error, "what is stored in vain could not be deleted yet");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

async fn once(handle: &EffectHandle) -> Result<bool, ActorError> {
    let failed = |error: colloquy_cluster::store::StoreError| ActorError::Unavailable(error.to_string());
    let (key, client) = (handle.key(), handle.client());
    let blobs = &client.store().blobs;
    let listed = blobs.list(&folder(key)).await.map_err(failed)?;
    let stored = match command(handle, Command::Stored).await {
        Ok(Reply::Stored(stored)) => *stored,
        Ok(_) | Err(ActorError::Rejected(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    for path in listed.iter().filter(|path| in_vain(key, path, &stored, client.now_ms())) {
        blobs.delete(path).await.map_err(failed)?;
    }
    Ok(true)
}

/// Whether nothing names a path and nothing that is under way will.
fn in_vain(agent: &EntityKey, path: &str, stored: &Stored, now_ms: i64) -> bool {
    if stored.deleted {
        return true;
    }
    if stored.named.contains(path) {
        return false;
    }
    if let Some(page) = path.strip_prefix(&pages(agent)) {
        return page.split_once('-').is_none_or(|(_, run)| !stored.runs.contains(run));
    }
    if let Some(index) = path.strip_prefix(&indices(agent)) {
        let version = index.split_once('-').and_then(|(version, _)| version.parse::<u64>().ok());
        // Nodes may be loading the one before; a later one was built in vain if it is not named, and is built again under this name.
        return version.is_some_and(|version| version + 1 < stored.index_version);
    }
    stored.dropped.contains(path) || uploaded_ms(path).is_some_and(|at_ms| at_ms + UPLOAD_SETTLED_MS < now_ms)
}

/// When an upload's name was made.
fn uploaded_ms(path: &str) -> Option<i64> {
    let name = path.rsplit('/').next()?;
    i64::from_str_radix(name.get(..TIME_DIGITS)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nothing_names_or_will_name_is_deleted() {
        let agent = EntityKey::new("t", "knowledge", "a");
        let day_ms = 24 * 60 * 60 * 1000;
        let now_ms = 20_000 * day_ms;
        let upload = |at_ms: i64| format!("knowledge/t/a/uploads/{at_ms:012x}7abcdef");
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let mut stored = Stored {
            named: set(&["knowledge/t/a/pages/p1-r1", "knowledge/t/a/index/5-9", &upload(day_ms)]),
            runs: set(&["r2"]),
            index_version: 5,
            dropped: set(&[&upload(now_ms - 1)]),
            deleted: false,
        };
        let gone = |stored: &Stored, path: &str| in_vain(&agent, path, stored, now_ms);
        for kept in [
            "knowledge/t/a/pages/p1-r1",  // named
            "knowledge/t/a/pages/p9-r2",  // written by a run that has not told of it yet
            "knowledge/t/a/index/5-9",    // answers
            "knowledge/t/a/index/4-8",    // may be loaded still
            "knowledge/t/a/index/6-10",   // was being built
            "knowledge/t/a/index/README", // not ours
            &upload(day_ms),
            &upload(now_ms - 2), // on its way to its source
        ] {
            assert!(!gone(&stored, kept), "{kept} is needed");
        }
        for vain in [
            "knowledge/t/a/pages/p2-r1",
            "knowledge/t/a/pages/p1-r0",
            "knowledge/t/a/pages/0123456789",
            "knowledge/t/a/index/3-7",
            &upload(now_ms - 1),
            &upload(now_ms - day_ms),
        ] {
            assert!(gone(&stored, vain), "{vain} is stored in vain");
        }
        stored.deleted = true;
        assert!(gone(&stored, "knowledge/t/a/index/5-9"));
    }
}
