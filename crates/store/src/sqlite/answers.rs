//! First answers to requests with an idempotency key.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::OptionalExtension;

use crate::{
    StoreError,
    answers::{Answers, BEGUN_KEPT_MS, Begun, DEAD_RUN_MS},
    limits,
};

use super::Sqlite;

/// Expired rows deleted in one transaction, so that a large sweep does not keep appends waiting.
const SWEEP: i64 = 1_000;

#[async_trait]
impl Answers for Sqlite {
    async fn begin(&self, scope: &str, key: &str, body_hash: [u8; 32], now_ms: i64) -> Result<Begun, StoreError> {
        limits::name("a scope", scope)?;
        limits::name("an idempotency key", key)?;
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.write(0, move |db| {
            let mut statement = db.prepare_cached(
                "SELECT body_hash, answer, started_ms, expires_at_ms FROM answer
                 WHERE scope = ?1 AND key = ?2 AND (expires_at_ms > ?3 OR (answer IS NULL AND started_ms > ?4))",
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                let (hash, answer): ([u8; 32], Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
                Ok((hash, answer, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
            };
            let oldest = now_ms.saturating_sub(BEGUN_KEPT_MS);
            match statement.query_row((&scope, &key, now_ms, oldest), read).optional()? {
                Some((hash, ..)) if hash != body_hash => return Ok(Begun::Different),
                Some((_, Some(answer), ..)) => return Ok(Begun::Done(answer.into())),
                Some((_, None, _, dead_ms)) if dead_ms > now_ms => return Ok(Begun::Running),
                Some((_, None, since_ms, _)) => {
                    db.prepare_cached("UPDATE answer SET expires_at_ms = ?3 WHERE scope = ?1 AND key = ?2")?
                        .execute((&scope, &key, now_ms.saturating_add(DEAD_RUN_MS)))?;
                    return Ok(Begun::Again { since_ms });
                }
                None => {}
            }
            db.prepare_cached(
                "INSERT INTO answer (scope, key, body_hash, started_ms, expires_at_ms, answer) VALUES (?1, ?2, ?3, ?4, ?5, NULL)
                 ON CONFLICT (scope, key) DO UPDATE SET body_hash = excluded.body_hash, started_ms = excluded.started_ms,
                 expires_at_ms = excluded.expires_at_ms, answer = NULL",
            )?
            .execute((&scope, &key, body_hash, now_ms, now_ms.saturating_add(DEAD_RUN_MS)))?;
            Ok(Begun::First)
        })
        .await
    }

    async fn finish(&self, scope: &str, key: &str, answer: Bytes, expires_at_ms: i64) -> Result<(), StoreError> {
        limits::size("an answer", answer.len(), limits::ANSWER_MAX_BYTES)?;
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.write(answer.len(), move |db| {
            let sql =
                "UPDATE answer SET answer = ?3, expires_at_ms = ?4 WHERE scope = ?1 AND key = ?2 AND answer IS NULL";
            db.prepare_cached(sql)?.execute((&scope, &key, &answer[..], expires_at_ms))?;
            Ok(())
        })
        .await
    }

    async fn abandon(&self, scope: &str, key: &str) -> Result<(), StoreError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.write(0, move |db| {
            db.prepare_cached("DELETE FROM answer WHERE scope = ?1 AND key = ?2 AND answer IS NULL")?
                .execute((&scope, &key))?;
            Ok(())
        })
        .await
    }

    async fn release(&self, scope: &str, key: &str, now_ms: i64) -> Result<(), StoreError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        self.write(0, move |db| {
            let sql =
                "UPDATE answer SET expires_at_ms = min(expires_at_ms, ?3) WHERE scope = ?1 AND key = ?2 AND answer IS NULL";
            db.prepare_cached(sql)?.execute((&scope, &key, now_ms))?;
            Ok(())
        })
        .await
    }

    async fn forget(&self, prefix: &str, instead: Bytes) -> Result<(), StoreError> {
        limits::size("an answer", instead.len(), limits::ANSWER_MAX_BYTES)?;
        // No character is above the last one: what begins with the prefix ends before this.
        let (from, to) = (prefix.to_owned(), format!("{prefix}{}", char::MAX));
        self.erase(move |db| {
            let sql = "UPDATE answer SET answer = ?3 WHERE scope >= ?1 AND scope < ?2 AND answer IS NOT NULL";
            db.prepare_cached(sql)?.execute((&from, &to, &instead[..]))?;
            Ok(())
        })
        .await
    }

    async fn sweep(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut swept = 0;
        loop {
            let some = self.write(0, move |db| {
                let sql = "DELETE FROM answer WHERE number IN
                           (SELECT number FROM answer INDEXED BY answer_by_expiry
                            WHERE expires_at_ms <= ?1 AND (answer IS NOT NULL OR started_ms <= ?3) LIMIT ?2)";
                Ok(db.prepare_cached(sql)?.execute((now_ms, SWEEP, now_ms.saturating_sub(BEGUN_KEPT_MS)))? as u64)
            });
            let some = some.await?;
            swept += some;
            if some < SWEEP.unsigned_abs() {
                return Ok(swept);
            }
        }
    }
}
