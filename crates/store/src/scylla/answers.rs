//! First answers to requests with an idempotency key. Each run has an id, by which a retry knows its own and a late one fails.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    StoreError,
    answers::{Answers, BEGUN_KEPT_MS, Begun, DEAD_RUN_MS},
    checksum::Checksum,
    limits,
};

use super::session::{Cql, contended};

/// Partitions of the list of runs: a day of a million requests is then some ten megabytes in each.
const SLOTS: i32 = 16;

struct Run {
    run: Uuid,
    body_hash: Vec<u8>,
    /// When the request was begun first.
    started_ms: i64,
    /// When a run without an answer counts as dead.
    dead_ms: i64,
    expires_at_ms: i64,
    answer: Option<Bytes>,
}

impl Run {
    /// Whether it is forgotten: its answer has expired, or a day after its first begin nobody runs it any more.
    fn is_over(&self, now_ms: i64) -> bool {
        self.expires_at_ms <= now_ms && (self.answer.is_some() || self.dead_ms <= now_ms)
    }
}

fn slot_of(scope: &str, key: &str) -> i32 {
    (Checksum::of("answer").text(scope).text(key).end() % i64::from(SLOTS)) as i32
}

impl Cql {
    async fn run_of(&self, scope: &str, key: &str) -> Result<Option<Run>, StoreError> {
        type Columns = (Uuid, Vec<u8>, i64, i64, i64, Option<Bytes>);
        let found = self.row::<Columns>(&self.statements.answer, (scope, key)).await?;
        Ok(found.map(|(run, body_hash, started_ms, dead_ms, expires_at_ms, answer)| Run {
            run,
            body_hash,
            started_ms,
            dead_ms,
            expires_at_ms,
            answer,
        }))
    }

    /// Repeats `change` on what is stored until it took effect or there is nothing to change (`None`).
    async fn change_run(&self, scope: &str, key: &str, change: impl AsyncRunChange) -> Result<bool, StoreError> {
        let _alone = self.alone(&(scope, key)).await;
        let mut tries = self.tries();
        loop {
            let changed = async {
                match self.run_of(scope, key).await? {
                    None => Ok(Some(false)),
                    Some(run) => change.on(self, scope, key, run).await,
                }
            };
            match changed.await {
                Ok(Some(changed)) => return Ok(changed),
                Ok(None) => tries.again(contended(format!("an answer in {scope}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }
}

/// One conditional change of a run: `Some(true)` when it took effect, `Some(false)` when there is nothing to do, `None` when it lost.
trait AsyncRunChange: Sync + Send {
    fn on(
        &self,
        cql: &Cql,
        scope: &str,
        key: &str,
        run: Run,
    ) -> impl Future<Output = Result<Option<bool>, StoreError>> + Send;
}

struct Finish {
    answer: Bytes,
    expires_at_ms: i64,
}

impl AsyncRunChange for Finish {
    async fn on(&self, cql: &Cql, scope: &str, key: &str, run: Run) -> Result<Option<bool>, StoreError> {
        if run.answer.is_some() {
            return Ok(Some(false));
        }
        let row = (self.answer.clone(), self.expires_at_ms, scope, key, run.run, run.expires_at_ms);
        if !cql.swap(&cql.statements.answer_finish, row).await? {
            return Ok(None);
        }
        cql.write(&cql.statements.run_put, (slot_of(scope, key), scope, key, run.run, self.expires_at_ms)).await?;
        Ok(Some(true))
    }
}

/// Puts another answer in the place of one.
struct Replace(Bytes);

impl AsyncRunChange for Replace {
    async fn on(&self, cql: &Cql, scope: &str, key: &str, run: Run) -> Result<Option<bool>, StoreError> {
        if run.answer.is_none_or(|answer| answer == self.0) {
            return Ok(Some(false));
        }
        let row = (self.0.clone(), scope, key, run.run, run.expires_at_ms);
        Ok(cql.swap(&cql.statements.answer_replace, row).await?.then_some(true))
    }
}

/// Removes a run without an answer.
struct Abandon;

impl AsyncRunChange for Abandon {
    async fn on(&self, cql: &Cql, scope: &str, key: &str, run: Run) -> Result<Option<bool>, StoreError> {
        if run.answer.is_some() {
            return Ok(Some(false));
        }
        delete(cql, scope, key, &run).await
    }
}

/// Lets a run count as dead.
struct Release {
    now_ms: i64,
}

impl AsyncRunChange for Release {
    async fn on(&self, cql: &Cql, scope: &str, key: &str, run: Run) -> Result<Option<bool>, StoreError> {
        if run.answer.is_some() || run.dead_ms <= self.now_ms {
            return Ok(Some(false));
        }
        let row = (self.now_ms, scope, key, run.run, run.expires_at_ms);
        Ok(cql.swap(&cql.statements.answer_release, row).await?.then_some(true))
    }
}

/// Removes a run that is over.
struct Expire {
    now_ms: i64,
}

impl AsyncRunChange for Expire {
    async fn on(&self, cql: &Cql, scope: &str, key: &str, run: Run) -> Result<Option<bool>, StoreError> {
        if !run.is_over(self.now_ms) {
            return Ok(Some(false));
        }
        delete(cql, scope, key, &run).await
    }
}

async fn delete(cql: &Cql, scope: &str, key: &str, run: &Run) -> Result<Option<bool>, StoreError> {
    if !cql.swap(&cql.statements.answer_delete, (scope, key, run.run, run.expires_at_ms)).await? {
        return Ok(None);
    }
    cql.write(&cql.statements.run_delete, (slot_of(scope, key), scope, key, run.run)).await?;
    Ok(Some(true))
}

#[async_trait]
impl Answers for Cql {
    async fn begin(&self, scope: &str, key: &str, body_hash: [u8; 32], now_ms: i64) -> Result<Begun, StoreError> {
        limits::name("a scope", scope)?;
        limits::name("an idempotency key", key)?;
        let _alone = self.alone(&(scope, key)).await;
        let (run, dead_ms) = (Uuid::new_v4(), now_ms.saturating_add(DEAD_RUN_MS));
        let mut tries = self.tries();
        let mut listed = false;
        // What this call's own run is, once a try of it was sent.
        let mut own = Begun::First;
        loop {
            let begun = async {
                let stored = self.run_of(scope, key).await?;
                if stored.as_ref().is_some_and(|stored| stored.run == run) {
                    // An earlier try of this call took effect after all.
                    return Ok(Some(own.clone()));
                }
                let known = stored.as_ref().filter(|stored| !stored.is_over(now_ms));
                if let Some(stored) = known {
                    match &stored.answer {
                        _ if stored.body_hash != body_hash => return Ok(Some(Begun::Different)),
                        Some(answer) => return Ok(Some(Begun::Done(answer.clone()))),
                        None if stored.dead_ms > now_ms => return Ok(Some(Begun::Running)),
                        None => {}
                    }
                }
                let started_ms = known.map_or(now_ms, |stored| stored.started_ms);
                own = known.map_or(Begun::First, |_| Begun::Again { since_ms: started_ms });
                let expires_at_ms = started_ms.saturating_add(BEGUN_KEPT_MS);
                if !listed {
                    // Before the run: one that is not listed would never be swept, nor forgotten.
                    self.write(&self.statements.run_put, (slot_of(scope, key), scope, key, run, expires_at_ms)).await?;
                    listed = true;
                }
                let applied = match &stored {
                    None => {
                        let row = (scope, key, run, &body_hash[..], started_ms, dead_ms, expires_at_ms);
                        self.swap(&self.statements.answer_begin, row).await?
                    }
                    Some(old) => {
                        let replaced = (old.run, old.expires_at_ms);
                        let row = (
                            run,
                            &body_hash[..],
                            started_ms,
                            dead_ms,
                            expires_at_ms,
                            scope,
                            key,
                            replaced.0,
                            replaced.1,
                        );
                        self.swap(&self.statements.answer_again, row).await?
                    }
                };
                Ok(applied.then(|| own.clone()))
            };
            match begun.await {
                Ok(Some(begun)) => return Ok(begun),
                Ok(None) => tries.again(contended(format!("an answer in {scope}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn finish(&self, scope: &str, key: &str, answer: Bytes, expires_at_ms: i64) -> Result<(), StoreError> {
        limits::size("an answer", answer.len(), limits::ANSWER_MAX_BYTES)?;
        self.change_run(scope, key, Finish { answer, expires_at_ms }).await.map(|_| ())
    }

    async fn abandon(&self, scope: &str, key: &str) -> Result<(), StoreError> {
        self.change_run(scope, key, Abandon).await.map(|_| ())
    }

    async fn release(&self, scope: &str, key: &str, now_ms: i64) -> Result<(), StoreError> {
        self.change_run(scope, key, Release { now_ms }).await.map(|_| ())
    }

    /// The old answers leave the servers' files with the next compactions, and their backups not at all.
    async fn forget(&self, prefix: &str, instead: Bytes) -> Result<(), StoreError> {
        limits::size("an answer", instead.len(), limits::ANSWER_MAX_BYTES)?;
        // No character is above the last one: what begins with the prefix ends before this.
        let end = format!("{prefix}{}", char::MAX);
        for slot in 0..SLOTS {
            let range = (slot, prefix, end.as_str());
            for (scope, key) in self.rows::<(String, String)>(&self.statements.runs_between, range).await? {
                self.change_run(&scope, &key, Replace(instead.clone())).await?;
            }
        }
        Ok(())
    }

    async fn sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut swept = 0;
        for slot in 0..SLOTS {
            for (scope, key, run, due_ms) in
                self.rows::<(String, String, Uuid, i64)>(&self.statements.runs, (slot,)).await?
            {
                if due_ms > now_ms {
                    continue;
                }
                // A run that is due was begun a minute ago or more: what it lists is there by now, or never will be.
                swept += u64::from(self.change_run(&scope, &key, Expire { now_ms }).await?);
                if self.run_of(&scope, &key).await?.is_none_or(|stored| stored.run != run) {
                    self.write(&self.statements.run_delete, (slot, &scope, &key, run)).await?;
                }
            }
        }
        Ok(swept)
    }
}
