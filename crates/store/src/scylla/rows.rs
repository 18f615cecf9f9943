//! Projected rows: by id, and a second time by time. The row's version is the time stamp of both writes, so an older one never wins.
//!
//! A row's content is one cell. Of two cells with one time stamp both servers keep the greater, and an erased row's cell begins with the
//! greatest byte: so nothing that is written again at the same version brings an erased row's text back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    EntityKey, StoreError,
    checksum::Checksum,
    limits,
    rows::{Range, Row, Rows, belongs_to},
};

use super::{
    fault,
    merge::{Source, merge},
    session::Cql,
};

/// Partitions of a list by id. A list of ten million rows of 500 bytes has partitions of some 300 MB. Fixed: rows are found by it.
const ID_SLOTS: i32 = 16;

/// Partitions of one stretch of a list by time. Fixed: rows are found by it.
const TIME_SLOTS: i32 = 4;

/// The length of a stretch of time that shares partitions, 30 days. Fixed: rows are found by it.
const STRETCH_MS: i64 = 30 * 24 * 3600 * 1000;

/// Rows written at the same time by one call.
const WRITES: usize = 16;

/// Stretches known to be listed; beyond it they are listed again, which costs a write.
const LISTED_MAX: usize = 65_536;

const SHOWN: u8 = 1;
const TOMBSTONE: u8 = 2;
const ERASED: u8 = 3;

/// Before the numbers and the body: kind, order key, version, checksum, and the length of the numbers plus one, 0 for none.
const HEADER_BYTES: usize = 1 + 8 + 8 + 4 + 4;

pub(super) struct ListRows {
    cql: Arc<Cql>,
    listed: Mutex<HashSet<(String, String, i64)>>,
}

fn stretch_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(STRETCH_MS)
}

/// Rows of one entity share a slot: what their ids begin with decides.
fn slot_of(id: &str, slots: i32) -> i32 {
    let entity = id.split('/').next().unwrap_or_default();
    (Checksum::of("slot").text(entity).end() % i64::from(slots)) as i32
}

fn checksum(row: &Row, version: i64) -> u32 {
    let name = Checksum::of("list_row").text(&row.tenant).text(&row.list).text(&row.id);
    let crc = name.number(row.at_ms).number(version).optional(row.body.as_ref()).optional(row.numbers.as_ref()).end();
    crc as u32
}

fn encode(row: &Row, version: i64, kind: u8) -> Vec<u8> {
    let (numbers, body) = (row.numbers.as_deref(), row.body.as_deref());
    let size = numbers.map_or(0, <[u8]>::len) + body.map_or(0, <[u8]>::len);
    let mut data = Vec::with_capacity(HEADER_BYTES + size);
    data.push(kind);
    data.extend_from_slice(&row.at_ms.to_be_bytes());
    data.extend_from_slice(&version.to_be_bytes());
    data.extend_from_slice(&checksum(row, version).to_be_bytes());
    data.extend_from_slice(&numbers.map_or(0, |numbers| numbers.len() as u32 + 1).to_be_bytes());
    data.extend_from_slice(numbers.unwrap_or_default());
    data.extend_from_slice(body.unwrap_or_default());
    data
}

fn decode(tenant: &str, list: &str, id: String, data: &Bytes) -> Result<Row, StoreError> {
    let place = || format!("row {tenant}/{list}/{id}");
    let read = || {
        let kind = *data.first().filter(|kind| [SHOWN, TOMBSTONE, ERASED].contains(*kind))?;
        let (at_ms, version) = (data.get(1..9)?.try_into().ok()?, data.get(9..17)?.try_into().ok()?);
        let (crc, length) = (data.get(17..21)?.try_into().ok()?, data.get(21..25)?.try_into().ok()?);
        let (at_ms, version) = (i64::from_be_bytes(at_ms), i64::from_be_bytes(version));
        let numbers = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let body_at = HEADER_BYTES + numbers.saturating_sub(1);
        data.get(body_at..)?;
        let row = Row {
            tenant: tenant.to_owned(),
            list: list.to_owned(),
            at_ms,
            id: id.clone(),
            seq: version.unsigned_abs() >> 16,
            view_version: (version & 0xffff) as u16,
            body: (kind == SHOWN).then(|| data.slice(body_at..)),
            numbers: (numbers > 0).then(|| data.slice(HEADER_BYTES..body_at)),
        };
        (checksum(&row, version) == u32::from_be_bytes(crc)).then_some(row)
    };
    read().ok_or_else(|| fault::unequal(place()))
}

/// What is left of a row whose content is not what was written: its place in the list.
fn damaged(tenant: &str, list: &str, at_ms: i64, id: String) -> Row {
    let (tenant, list) = (tenant.to_owned(), list.to_owned());
    Row { tenant, list, at_ms, id, seq: 0, view_version: 0, body: None, numbers: None }
}

impl ListRows {
    pub(super) fn new(cql: Arc<Cql>) -> Self {
        Self { cql, listed: Mutex::default() }
    }

    async fn stored(&self, tenant: &str, list: &str, id: &str) -> Result<Option<Row>, StoreError> {
        let place = (tenant, list, slot_of(id, ID_SLOTS), id);
        match self.cql.row::<(Bytes,)>(&self.cql.statements.row, place).await? {
            Some((data,)) => decode(tenant, list, id.to_owned(), &data).map(Some),
            None => Ok(None),
        }
    }

    async fn put_one(&self, row: &Row) -> Result<(), StoreError> {
        let version = limits::signed("a row's version", row.version())?;
        let stored = self.stored(&row.tenant, &row.list, &row.id).await?;
        if stored.as_ref().is_some_and(|stored| stored.version() >= row.version()) {
            return Ok(());
        }
        if let Some(stored) = stored.filter(|stored| stored.at_ms != row.at_ms && stored.body.is_some()) {
            self.leave_time(&stored, version).await?;
        }
        let kind = if row.body.is_some() { SHOWN } else { TOMBSTONE };
        let data = encode(row, version, kind);
        if row.body.is_some() {
            self.list_stretch(row).await?;
            let (stretch, slot) = (stretch_of(row.at_ms), slot_of(&row.id, TIME_SLOTS));
            let place = (&row.tenant, &row.list, stretch, slot, row.at_ms, &row.id, &data, version);
            self.cql.write(&self.cql.statements.time_put, place).await?;
        } else {
            self.list_stretch(row).await?;
            self.leave_time(row, version).await?;
        }
        // Last: what is stored by id decides whether a repeated put has anything left to do.
        self.put_by_id(row, version, &data).await
    }

    async fn put_by_id(&self, row: &Row, version: i64, data: &[u8]) -> Result<(), StoreError> {
        let slot = slot_of(&row.id, ID_SLOTS);
        let place = (&row.tenant, &row.list, slot, &row.id, data, version);
        self.cql.write(&self.cql.statements.row_put, place).await
    }

    async fn leave_time(&self, row: &Row, version: i64) -> Result<(), StoreError> {
        let (stretch, slot) = (stretch_of(row.at_ms), slot_of(&row.id, TIME_SLOTS));
        let place = (version, &row.tenant, &row.list, stretch, slot, row.at_ms, &row.id);
        self.cql.write(&self.cql.statements.time_delete, place).await
    }

    /// Makes the list and the stretch of time known to who looks for them.
    async fn list_stretch(&self, row: &Row) -> Result<(), StoreError> {
        let listed = (row.tenant.clone(), row.list.clone(), stretch_of(row.at_ms));
        let lock = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().contains(&listed) {
            return Ok(());
        }
        self.cql.write(&self.cql.statements.stretch_put, (&listed.0, &listed.1, listed.2)).await?;
        let mut known = lock();
        if known.len() >= LISTED_MAX {
            known.clear();
        }
        known.insert(listed);
        Ok(())
    }

    /// Turns all rows of an entity into tombstones; numbers and versions stay.
    pub(super) async fn blank(&self, key: &EntityKey) -> Result<(), StoreError> {
        let statements = &self.cql.statements;
        let mut lists: Vec<String> = self
            .cql
            .rows::<(String,)>(&statements.stretches_of_all, (&*key.tenant,))
            .await?
            .into_iter()
            .map(|(list,)| list)
            .collect();
        lists.dedup();
        for list in lists {
            // Ids that begin with "<id>/" end before "<id>0", since '0' follows '/'.
            let end = format!("{}0", key.id);
            let range = (&*key.tenant, &list, slot_of(&key.id, ID_SLOTS), &*key.id, &end);
            for (id, data) in self.cql.rows::<(String, Bytes)>(&statements.rows_between, range).await? {
                let row = decode(&key.tenant, &list, id, &data)?;
                if row.body.is_none() || !belongs_to(&row.id, key) {
                    continue;
                }
                let version = limits::signed("a row's version", row.version())?;
                self.leave_time(&row, version).await?;
                let blank = Row { body: None, ..row };
                self.put_by_id(&blank, version, &encode(&blank, version, ERASED)).await?;
            }
        }
        Ok(())
    }
}

/// A list in id order.
struct ById<'a> {
    rows: &'a ListRows,
    tenant: &'a str,
    list: &'a str,
}

impl Source for ById<'_> {
    /// Strictly after this id; everything for `None`.
    type Cursor = Option<String>;

    async fn fetch(
        &self,
        slot: i32,
        cursor: Option<String>,
        count: usize,
    ) -> Result<(Vec<Row>, Option<Option<String>>), StoreError> {
        let cql = &self.rows.cql;
        let statement = if cursor.is_some() { &cql.statements.rows_after } else { &cql.statements.rows_from };
        let range = (self.tenant, self.list, slot, cursor.as_deref().unwrap_or_default(), count as i32);
        let found = cql.rows::<(String, Bytes)>(statement, range).await?;
        let next = found.last().filter(|_| found.len() == count).map(|(id, _)| Some(id.clone()));
        let rows = found.into_iter().map(|(id, data)| match decode(self.tenant, self.list, id.clone(), &data) {
            // As in a list: the rest counts, and which row does not is told. When it stood is not known here.
            Err(StoreError::Corrupt { .. }) => Ok(damaged(self.tenant, self.list, 0, id)),
            read => read,
        });
        Ok((rows.collect::<Result<_, _>>()?, next))
    }

    fn is_before(&self, a: &Row, b: &Row) -> bool {
        a.id < b.id
    }
}

/// One stretch of a list, newest first.
struct ByTime<'a> {
    rows: &'a ListRows,
    tenant: &'a str,
    list: &'a str,
    stretch: i64,
    from_ms: i64,
}

/// Where a list goes on.
#[derive(Clone)]
enum Place {
    /// At this order key and below.
    From(i64),
    /// Behind the row with this order key and id.
    Behind(i64, String),
}

impl ByTime<'_> {
    async fn range(&self, slot: i32, newest: i64, count: usize) -> Result<Vec<(i64, String, Bytes)>, StoreError> {
        if newest < self.from_ms || count == 0 {
            return Ok(Vec::new());
        }
        let range = (self.tenant, self.list, self.stretch, slot, self.from_ms, newest, count as i32);
        self.rows.cql.rows(&self.rows.cql.statements.time_range, range).await
    }
}

impl Source for ByTime<'_> {
    type Cursor = Place;

    async fn fetch(&self, slot: i32, cursor: Place, count: usize) -> Result<(Vec<Row>, Option<Place>), StoreError> {
        let found = match cursor {
            Place::From(newest) => self.range(slot, newest, count).await?,
            Place::Behind(at_ms, id) => {
                let ties = (self.tenant, self.list, self.stretch, slot, at_ms, id, count as i32);
                let mut found = self.rows.cql.rows(&self.rows.cql.statements.time_ties, ties).await?;
                if let Some(older) = at_ms.checked_sub(1) {
                    found.extend(self.range(slot, older, count - found.len()).await?);
                }
                found
            }
        };
        let is_full = found.len() == count;
        let rows = found.into_iter().map(|(at_ms, id, data)| match decode(self.tenant, self.list, id.clone(), &data) {
            // The rest of the list is whole: whoever asked is told which row is not.
            Err(StoreError::Corrupt { .. }) => Ok(damaged(self.tenant, self.list, at_ms, id)),
            read => read,
        });
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        let next = rows.last().filter(|_| is_full).map(|row| Place::Behind(row.at_ms, row.id.clone()));
        Ok((rows, next))
    }

    fn is_before(&self, a: &Row, b: &Row) -> bool {
        (b.at_ms, &a.id) < (a.at_ms, &b.id)
    }
}

#[async_trait]
impl Rows for ListRows {
    async fn put(&self, rows: &[Row]) -> Result<(), StoreError> {
        limits::rows(rows)?;
        // Of several versions of one row only the highest is written: which of them came first would be anybody's guess.
        let mut newest: HashMap<(&str, &str, &str), &Row> = HashMap::new();
        for row in rows {
            let kept = newest.entry((&row.tenant, &row.list, &row.id)).or_insert(row);
            if row.version() > kept.version() {
                *kept = row;
            }
        }
        let writes: Vec<_> = newest.into_values().map(|row| self.put_one(row)).collect();
        stream::iter(writes).buffer_unordered(WRITES).try_collect().await
    }

    async fn list(&self, tenant: &str, list: &str, range: &Range) -> Result<Vec<Row>, StoreError> {
        let from_ms = range.from_ms.unwrap_or(i64::MIN);
        let Some(newest) = range.to_ms.map_or(Some(i64::MAX), |to| to.checked_sub(1)) else {
            return Ok(Vec::new());
        };
        let first = match &range.after {
            Some(after) if after.at_ms <= newest => Place::Behind(after.at_ms, after.id.clone()),
            Some(_) | None => Place::From(newest),
        };
        let newest = range.after.as_ref().map_or(newest, |after| newest.min(after.at_ms));
        if newest < from_ms || range.limit == 0 {
            return Ok(Vec::new());
        }
        let between = (tenant, list, stretch_of(from_ms), stretch_of(newest));
        let stretches = self.cql.rows::<(i64,)>(&self.cql.statements.stretches, between).await?;
        let mut found = Vec::new();
        // Newest stretch first, as the table has them.
        for (stretch,) in stretches {
            let source = ByTime { rows: self, tenant, list, stretch, from_ms };
            let place = if stretch == stretch_of(newest) { first.clone() } else { Place::From(newest) };
            found.extend(merge(&source, TIME_SLOTS, place, range.limit - found.len()).await?);
            if found.len() >= range.limit {
                break;
            }
        }
        Ok(found)
    }

    async fn get(&self, tenant: &str, list: &str, id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.stored(tenant, list, id).await?.filter(|row| row.body.is_some()))
    }

    async fn scan(
        &self,
        tenant: &str,
        list: &str,
        after_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        merge(&ById { rows: self, tenant, list }, ID_SLOTS, after_id.map(str::to_owned), limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(body: Option<&'static [u8]>, numbers: Option<&'static [u8]>) -> Row {
        let (body, numbers) = (body.map(Bytes::from_static), numbers.map(Bytes::from_static));
        let (tenant, list, id) = ("t".to_owned(), "l".to_owned(), "i".to_owned());
        Row { tenant, list, at_ms: -7, id, seq: 9, view_version: 3, body, numbers }
    }

    #[test]
    fn a_row_comes_back_as_it_was_and_no_damage_goes_unnoticed() {
        for row in [row(None, None), row(Some(b""), Some(b"")), row(Some(b"body"), None), row(Some(b"b"), Some(b"n"))] {
            let kind = if row.body.is_some() { SHOWN } else { TOMBSTONE };
            let data = encode(&row, row.version() as i64, kind);
            assert_eq!(decode("t", "l", "i".to_owned(), &data.clone().into()).unwrap(), row);
            for bit in 0..data.len() * 8 {
                let mut wrong = data.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                let read = decode("t", "l", "i".to_owned(), &wrong.into());
                // Tombstone and erased differ in how they sort, not in what they say.
                assert!(read.is_err() || (kind == TOMBSTONE && bit == 0 && read == Ok(row.clone())), "bit {bit}");
            }
            for cut in 0..data.len() {
                assert!(decode("t", "l", "i".to_owned(), &data[..cut].to_vec().into()).is_err(), "cut at {cut}");
            }
            assert!(decode("u", "l", "i".to_owned(), &data.into()).is_err());
        }
    }

    #[test]
    fn an_erased_row_is_greater_than_the_same_version_with_its_text() {
        let shown = row(Some(b"\xff\xff\xff"), Some(b"\xff"));
        let version = shown.version() as i64;
        let erased = encode(&Row { body: None, ..shown.clone() }, version, ERASED);
        assert!(erased > encode(&shown, version, SHOWN));
    }

    #[test]
    fn the_rows_of_an_entity_share_a_slot() {
        for (id, part) in [("a", "a/1"), ("a/1", "a/1/2"), ("", "/x"), ("lead-9", "lead-9/note/3")] {
            assert_eq!(slot_of(id, ID_SLOTS), slot_of(part, ID_SLOTS), "{id}");
        }
    }
}
