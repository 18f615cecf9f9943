//! Projected rows: lists newest first, guarded by version.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, Row as SqlRow, params};

use crate::{
    EntityKey, StoreError,
    checksum::Checksum,
    limits,
    rows::{Range, Row, Rows},
};

use super::{Sqlite, fault};

const COLUMNS: &str = "id, at_ms, version, crc, body, numbers";

fn checksum(row: &Row, version: i64) -> Checksum {
    let name = Checksum::of("list_row").text(&row.tenant).text(&row.list).text(&row.id);
    name.number(row.at_ms).number(version).optional(row.body.as_ref()).optional(row.numbers.as_ref())
}

/// Reads one row of [`COLUMNS`] and checks it.
fn read(tenant: &str, list: &str, row: &SqlRow<'_>) -> Result<Row, StoreError> {
    let version: i64 = row.get(2)?;
    let blob = |column| -> Result<Option<Bytes>, rusqlite::Error> {
        Ok(row.get_ref(column)?.as_blob_or_null()?.map(Bytes::copy_from_slice))
    };
    let read = Row {
        tenant: tenant.to_owned(),
        list: list.to_owned(),
        id: row.get(0)?,
        at_ms: row.get(1)?,
        seq: version.unsigned_abs() >> 16,
        view_version: (version & 0xffff) as u16,
        body: blob(4)?,
        numbers: blob(5)?,
    };
    checksum(&read, version).check(row.get(3)?, || fault::unequal(format!("row {tenant}/{list}/{}", read.id)))?;
    Ok(read)
}

fn put(db: &Connection, row: &Row) -> Result<(), StoreError> {
    let version = limits::signed("a row's version", row.version())?;
    db.prepare_cached(
        "INSERT INTO list_row (tenant, list, id, at_ms, version, crc, body, numbers) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (tenant, list, id) DO UPDATE SET at_ms = excluded.at_ms, version = excluded.version, crc = excluded.crc,
         body = excluded.body, numbers = excluded.numbers WHERE excluded.version > version",
    )?
    .execute(params![
        row.tenant,
        row.list,
        row.id,
        row.at_ms,
        version,
        checksum(row, version).end(),
        row.body.as_deref(),
        row.numbers.as_deref()
    ])?;
    Ok(())
}

/// Finds the rows of an entity in all lists: ids that begin with "<id>/" end before "<id>0", since '0' follows '/'.
const OF_ENTITY: &str =
    "SELECT id, at_ms, version, crc, body, numbers, list, number FROM list_row INDEXED BY list_row_by_entity
    WHERE tenant = ?1 AND id = ?2 AND body IS NOT NULL
    UNION ALL
    SELECT id, at_ms, version, crc, body, numbers, list, number FROM list_row INDEXED BY list_row_by_entity
    WHERE tenant = ?1 AND id >= ?3 AND id < ?4 AND body IS NOT NULL";

/// Turns all rows of an entity into tombstones; numbers and versions stay.
pub(super) fn blank(db: &Connection, key: &EntityKey) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached(OF_ENTITY)?;
    let mut rows = statement.query((&*key.tenant, &*key.id, format!("{}/", key.id), format!("{}0", key.id)))?;
    let mut blanked = Vec::new();
    while let Some(found) = rows.next()? {
        let list: String = found.get(6)?;
        let row = Row { body: None, ..read(&key.tenant, &list, found)? };
        let version = limits::signed("a row's version", row.version())?;
        blanked.push((found.get::<_, i64>(7)?, checksum(&row, version).end()));
    }
    drop(rows);
    for blanked in blanked {
        db.prepare_cached("UPDATE list_row SET body = NULL, crc = ?2 WHERE number = ?1")?.execute(blanked)?;
    }
    Ok(())
}

fn select(db: &Connection, tenant: &str, list: &str, range: &Range) -> Result<Vec<Row>, StoreError> {
    let from = range.from_ms.unwrap_or(i64::MIN);
    // The newest order key inside the range; there is none below the smallest number.
    let last = |below: Option<i64>| below.map_or(Some(i64::MAX), |below| below.checked_sub(1));
    let Some(mut newest) = last(range.to_ms) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    if let Some(after) = &range.after {
        if (from..=newest).contains(&after.at_ms) {
            let bounds = (after.at_ms, after.at_ms, Some(after.id.as_str()));
            select_between(db, (tenant, list), bounds, range.limit, &mut found)?;
        }
        let Some(older) = last(Some(after.at_ms)) else {
            return Ok(found);
        };
        newest = newest.min(older);
    }
    select_between(db, (tenant, list), (from, newest, None), range.limit, &mut found)?;
    Ok(found)
}

/// Adds rows with an order key from `from` to `newest` and an id above `above`, if given, up to `limit` in all.
fn select_between(
    db: &Connection,
    (tenant, list): (&str, &str),
    (from, newest, above): (i64, i64, Option<&str>),
    limit: usize,
    found: &mut Vec<Row>,
) -> Result<(), StoreError> {
    let left = limit.saturating_sub(found.len());
    if left == 0 || from > newest {
        return Ok(());
    }
    let tie = if above.is_some() { "AND id > ?6" } else { "" };
    let sql = format!(
        "SELECT {COLUMNS} FROM list_row INDEXED BY list_row_by_time
         WHERE tenant = ?1 AND list = ?2 AND at_ms BETWEEN ?3 AND ?4 AND body IS NOT NULL {tie} ORDER BY at_ms DESC, id LIMIT ?5"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let left = i64::try_from(left).unwrap_or(i64::MAX);
    let mut rows = match above {
        None => statement.query((tenant, list, from, newest, left))?,
        Some(above) => statement.query((tenant, list, from, newest, left, above))?,
    };
    while let Some(row) = rows.next().map_err(|error| fault::at(format_args!("list {tenant}/{list}"), error))? {
        found.push(match read(tenant, list, row) {
            Ok(row) => row,
            // The rest of the list is whole: whoever asked is told which row is not.
            Err(StoreError::Corrupt { .. }) => damaged(tenant, list, row)?,
            Err(error) => return Err(error),
        });
    }
    Ok(())
}

/// What is left of a row whose content is not what was written: its place in the list.
fn damaged(tenant: &str, list: &str, row: &SqlRow<'_>) -> Result<Row, StoreError> {
    let (id, at_ms) = (row.get(0)?, row.get(1)?);
    Ok(Row {
        tenant: tenant.to_owned(),
        list: list.to_owned(),
        id,
        at_ms,
        seq: 0,
        view_version: 0,
        body: None,
        numbers: None,
    })
}

#[async_trait]
impl Rows for Sqlite {
    async fn put(&self, rows: &[Row]) -> Result<(), StoreError> {
        let bytes = limits::rows(rows)?;
        if rows.is_empty() {
            return Ok(());
        }
        let rows = rows.to_vec();
        self.write_sometime(bytes, move |db| rows.iter().try_for_each(|row| put(db, row))).await
    }

    async fn list(&self, tenant: &str, list: &str, range: &Range) -> Result<Vec<Row>, StoreError> {
        let (tenant, list, range) = (tenant.to_owned(), list.to_owned(), range.clone());
        self.read(move |db| select(db, &tenant, &list, &range)).await
    }

    async fn get(&self, tenant: &str, list: &str, id: &str) -> Result<Option<Row>, StoreError> {
        let (tenant, list, id) = (tenant.to_owned(), list.to_owned(), id.to_owned());
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM list_row INDEXED BY list_row_by_id WHERE tenant = ?1 AND list = ?2 AND id = ?3"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let mut rows = statement.query((&tenant, &list, &id))?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(read(&tenant, &list, row)?).filter(|row| row.body.is_some()))
        })
        .await
    }

    async fn scan(
        &self,
        tenant: &str,
        list: &str,
        after_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (tenant, list, after) = (tenant.to_owned(), list.to_owned(), after_id.map(str::to_owned));
        self.read(move |db| {
            let sql = format!(
                "SELECT {COLUMNS} FROM list_row INDEXED BY list_row_by_id
                 WHERE tenant = ?1 AND list = ?2 AND id >= ?3 AND id IS NOT ?4 ORDER BY id LIMIT ?5"
            );
            let mut statement = db.prepare_cached(&sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows =
                statement.query((&tenant, &list, after.as_deref().unwrap_or_default(), after.as_deref(), limit))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(|error| fault::at(format_args!("list {tenant}/{list}"), error))? {
                found.push(match read(&tenant, &list, row) {
                    Ok(row) => row,
                    // As in a list: the rest counts, and which row does not is told.
                    Err(StoreError::Corrupt { .. }) => damaged(&tenant, &list, row)?,
                    Err(error) => return Err(error),
                });
            }
            Ok(found)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entitys_rows_are_looked_up_and_lists_are_not_walked() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("migrations/0001_journal.sql")).unwrap();
        db.execute_batch(include_str!("migrations/0003_rows_of_an_entity.sql")).unwrap();
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {OF_ENTITY}")).unwrap();
        let plan: Vec<String> = statement
            .query_map(("t", "a", "a/", "a0"), |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{plan:?}");
        let searched = plan.iter().filter(|step| step.contains("list_row_by_entity")).collect::<Vec<_>>();
        assert!(searched.len() == 2 && searched.iter().all(|step| step.contains("tenant=? AND id")), "{plan:?}");
    }
}
