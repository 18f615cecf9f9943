//! Values that may exist once.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::{
    StoreError, limits,
    unique::{Holder, Unique},
};

use super::Sqlite;

fn holder(db: &Connection, scope: &str, value: &str) -> Result<Option<Holder>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT owner, confirmed, reserved_at_ms FROM unique_value WHERE scope = ?1 AND value = ?2")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Holder { owner: row.get(0)?, confirmed: row.get(1)?, reserved_at_ms: row.get(2)? })
    };
    Ok(statement.query_row((scope, value), read).optional()?)
}

#[async_trait]
impl Unique for Sqlite {
    async fn reserve(&self, scope: &str, value: &str, owner: &str, now_ms: i64) -> Result<Option<Holder>, StoreError> {
        for (what, part) in [("a scope", scope), ("a unique value", value), ("an owner", owner)] {
            limits::name(what, part)?;
        }
        let (scope, value, owner) = (scope.to_owned(), value.to_owned(), owner.to_owned());
        self.write(0, move |db| {
            if let Some(holder) = holder(db, &scope, &value)? {
                return Ok(Some(holder).filter(|holder| holder.owner != owner));
            }
            db.prepare_cached(
                "INSERT INTO unique_value (scope, value, owner, confirmed, reserved_at_ms) VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .execute((&scope, &value, &owner, now_ms))?;
            Ok(None)
        })
        .await
    }

    async fn confirm(&self, scope: &str, value: &str, owner: &str) -> Result<bool, StoreError> {
        let (scope, value, owner) = (scope.to_owned(), value.to_owned(), owner.to_owned());
        self.write(0, move |db| {
            let sql = "UPDATE unique_value SET confirmed = 1 WHERE scope = ?1 AND value = ?2 AND owner = ?3";
            Ok(db.prepare_cached(sql)?.execute((&scope, &value, &owner))? == 1)
        })
        .await
    }

    async fn release(&self, scope: &str, value: &str, owner: &str) -> Result<(), StoreError> {
        let (scope, value, owner) = (scope.to_owned(), value.to_owned(), owner.to_owned());
        self.write(0, move |db| {
            let sql = "DELETE FROM unique_value WHERE scope = ?1 AND value = ?2 AND owner = ?3";
            db.prepare_cached(sql)?.execute((&scope, &value, &owner))?;
            Ok(())
        })
        .await
    }

    async fn holder(&self, scope: &str, value: &str) -> Result<Option<Holder>, StoreError> {
        let (scope, value) = (scope.to_owned(), value.to_owned());
        self.read(move |db| holder(db, &scope, &value)).await
    }
}
