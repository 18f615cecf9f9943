//! A request that its caller may repeat: each run of it makes things with the same ids, and what it asks of an entity happens once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

tokio::task_local! {
    /// The request that the current task works for, if its caller may repeat it.
    static RUN: Option<Arc<Run>>;
}

/// One run of a request.
struct Run {
    /// What all runs of the request have in common, and nobody else can guess.
    seed: [u8; 32],
    /// When the request came first, Unix milliseconds.
    since_ms: i64,
    /// How often each name was used: a request may make several things of a kind. The order is the same in each run.
    used: Mutex<HashMap<String, u32>>,
}

impl Run {
    fn next(&self, name: String) -> [u8; 32] {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let count = used.entry(name.clone()).or_insert(0);
        *count += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&count.to_be_bytes()).update(name.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

/// Runs a request that may be repeated. `seed` is a secret of this request, and it and when the request came first are the same each time.
pub async fn within<F: Future>(seed: [u8; 32], since_ms: i64, request: F) -> F::Output {
    RUN.scope(Some(Arc::new(Run { seed, since_ms, used: Mutex::default() })), request).await
}

/// Does something that has its own way of telling repeats, such as a client's message id.
pub async fn apart<F: Future>(work: F) -> F::Output {
    RUN.scope(None, work).await
}

/// Bytes for the next thing of this kind that the request makes, and when the request came first: nobody can guess them, and each run of it gets
/// the same ones. `None` outside of a request that may be repeated.
pub fn bytes(kind: &str) -> Option<([u8; 32], i64)> {
    let run = RUN.try_with(Clone::clone).ok().flatten()?;
    Some((run.next(format!("make {kind}")), run.since_ms))
}

/// The key under which an entity remembers that it has done this for the request. Commands are told apart by name, so that a run which asks
/// something more or less in between still finds its own answers.
pub(crate) fn key(kind: &str, id: &str, command: &impl Serialize) -> Option<String> {
    let run = RUN.try_with(Clone::clone).ok().flatten()?;
    // A command is plain data: it always encodes.
    let command = serde_json::to_value(command).unwrap_or_default();
    let name = command["type"].as_str().or(command.as_str()).unwrap_or_default();
    Some(hex(&run.next(format!("ask {kind}/{name}/{id}"))))
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> serde_json::Value {
        serde_json::json!({ "type": name })
    }

    async fn asked(seed: u8) -> Vec<Option<String>> {
        within([seed; 32], 7, async {
            let first = key("agent", "a", &named("create"));
            let second = key("agent", "a", &named("create"));
            let other = key("agent", "b", &named("create"));
            let question = key("lead", "a", &named("get"));
            let apart = apart(async { key("agent", "a", &named("create")) }).await;
            vec![first, second, other, question, apart]
        })
        .await
    }

    #[tokio::test]
    async fn each_run_of_a_request_has_the_same_keys_and_each_request_its_own() {
        let first = asked(1).await;
        assert_eq!(first, asked(1).await);
        assert_eq!(first.last(), Some(&None), "what is apart has none");
        let mut all: Vec<_> = first.into_iter().chain(asked(2).await).flatten().collect();
        assert_eq!(all.len(), 8);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 8);
        assert_eq!(key("agent", "a", &named("create")), None);
    }

    #[tokio::test]
    async fn questions_in_between_do_not_move_what_is_asked_to_be_done() {
        let done = |questions: u32| {
            within([3; 32], 7, async move {
                for _ in 0..questions {
                    key("agent", "a", &named("get"));
                }
                key("agent", "a", &named("update"))
            })
        };
        assert_eq!(done(0).await, done(3).await);
    }

    #[tokio::test]
    async fn what_a_request_makes_is_made_again_the_same() {
        let made = || within([4; 32], 7, async { (bytes("id"), bytes("id"), bytes("secret")) });
        let (first, second, secret) = made().await;
        assert_eq!((first, second, secret), made().await);
        assert!(first.is_some() && first != second && second != secret);
        assert_eq!(bytes("id"), None);
    }
}
