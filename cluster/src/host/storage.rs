//! Store operations of an activation, with sealing and time limits, as futures that end in the machine's next input.

use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_store::journal::{Append, Claim, Claimed, Record, Snapshot};
use colloquy_store::rows::Row;
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, StoreError};

use super::NodeInner;
use crate::core::activation::Loaded;
use crate::seal::{open_records, open_snapshot, seal_record, seal_row, seal_snapshot};
use crate::telemetry;

/// Records read in one store call: about a megabyte of ordinary events.
const LOAD_PAGE: usize = 1_000;

/// Bytes of rows in one store call: half of what stores take.
const ROWS_PER_WRITE_BYTES: usize = 4 * 1024 * 1024;

impl NodeInner {
    /// Takes the claim; `None` if the entity has no journal and is not to get one.
    pub(super) async fn store_claim(
        &self,
        key: &EntityKey,
        epoch: u64,
        even_if_new: bool,
    ) -> Result<Option<Claimed>, StoreError> {
        if !even_if_new && self.in_time(self.store().journal.load(key, 0, 1)).await?.is_empty() {
            return Ok(None);
        }
        self.in_time(self.store().journal.claim(key, epoch)).await.map(Some)
    }

    pub(super) async fn store_load(
        &self,
        key: &EntityKey,
        personal: bool,
        also_after: Option<u64>,
    ) -> Result<Loaded, StoreError> {
        let mut snapshot = match self.in_time(self.store().journal.load_snapshot(key)).await {
            // It only saves folding: the journal, which is the truth, is read from its start. Damage there is an error.
            Err(StoreError::Corrupt { place, detail }) => {
                tracing::error!(entity = %key, place, detail, "a snapshot is damaged; the entity is folded from its journal");
                None
            }
            read => read?,
        };
        if personal {
            // Asked even when there is nothing to open: an erased entity answers nothing.
            let data_key = self.in_time(self.sealer().key_for_reading(key)).await?;
            snapshot = match (snapshot, data_key) {
                (Some(snapshot), Some(data_key)) => open_snapshot(&data_key, key, snapshot),
                (Some(_) | None, _) => None,
            };
        }
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
        let after = also_after.map_or(covered, |also| also.min(covered));
        let records = self.read_records(key, personal, after, usize::MAX).await?;
        let running = self.effects().running(key);
        Ok(Loaded { snapshot, records, running })
    }

    /// Records after a number, in the clear.
    pub(super) async fn read_records(
        &self,
        key: &EntityKey,
        personal: bool,
        mut after: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records: Vec<Record> = Vec::new();
        while records.len() < limit {
            let wanted = LOAD_PAGE.min(limit - records.len());
            let page = self.in_time(self.store().journal.load(key, after, wanted)).await?;
            let last = page.len() < wanted;
            after = page.last().map_or(after, |record| record.seq);
            records.extend(page);
            if last {
                break;
            }
        }
        if personal && !records.is_empty() {
            let data_key =
                self.in_time(self.sealer().key_for_reading(key)).await?.ok_or_else(|| StoreError::Corrupt {
                    place: format!("data key of {key}"),
                    detail: "it is missing although the entity has events".to_owned(),
                })?;
            open_records(&data_key, key, &mut records)?;
        }
        Ok(records)
    }

    pub(super) async fn store_append(
        &self,
        key: &EntityKey,
        kind: &'static str,
        personal: bool,
        claim: Claim,
        expected_seq: u64,
        mut append: Append,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        if personal {
            // Nothing was sent to the journal yet, so a failure here is not an unknown outcome of the append, and is treated as one all the same.
            let data_key = self.in_time(self.sealer().key_for_writing(key)).await?;
            for (seq, event) in (expected_seq + 1..).zip(&mut append.events) {
                *event = seal_record(&data_key, key, seq, event);
            }
        }
        let result = self.in_time(self.store().journal.append(key, claim, expected_seq, append)).await;
        let outcome = match &result {
            Ok(()) => "ok",
            Err(StoreError::Fenced(_)) => "fenced",
            Err(StoreError::Conflict { .. }) => "conflict",
            Err(StoreError::Unknown(_)) => "unknown",
            Err(StoreError::Full(_)) => "full",
            Err(
                StoreError::Corrupt { .. }
                | StoreError::Incompatible(_)
                | StoreError::Unavailable(_)
                | StoreError::Erased(_)
                | StoreError::TooLarge { .. }
                | StoreError::Invalid(_),
            ) => "other",
        };
        metrics::counter!(telemetry::APPENDS, "kind" => kind, "outcome" => outcome).increment(1);
        metrics::histogram!(telemetry::APPEND_SECONDS, "kind" => kind).record(started.elapsed().as_secs_f64());
        result
    }

    pub(super) async fn store_rows(
        &self,
        key: &EntityKey,
        personal: bool,
        seals: impl Fn(&str) -> bool,
        mut rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        if personal && rows.iter().any(|row| row.body.is_some()) {
            // Asked for rows in the clear too: an erased entity writes none.
            let data_key = self.in_time(self.sealer().key_for_writing(key)).await?;
            rows.iter_mut().filter(|row| seals(&row.list)).for_each(|row| seal_row(&data_key, key, row));
        }
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|row| {
                bytes += row.body.as_ref().map_or(0, Bytes::len) + row.numbers.as_ref().map_or(0, Bytes::len);
                bytes <= ROWS_PER_WRITE_BYTES
            });
            let (now, later) = rest.split_at(fits.count().max(1));
            self.in_time(self.store().rows.put(now)).await?;
            rest = later;
        }
        Ok(())
    }

    pub(super) async fn store_snapshot(
        &self,
        key: &EntityKey,
        personal: bool,
        mut snapshot: Snapshot,
    ) -> Result<(), StoreError> {
        if personal {
            let data_key = self.in_time(self.sealer().key_for_writing(key)).await?;
            seal_snapshot(&data_key, key, &mut snapshot);
        }
        self.in_time(self.store().journal.save_snapshot(key, snapshot)).await
    }

    pub(super) async fn store_wake(&self, wake: &Wake) -> Result<(), StoreError> {
        self.in_time(self.store().wake.put(wake)).await
    }

    pub(super) async fn store_no_wake(&self, shard: u32, key: &EntityKey, epoch: u64) -> Result<(), StoreError> {
        self.in_time(self.store().wake.remove(shard, key, epoch)).await
    }

    /// A store that does not answer must not hold an entity for ever.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = Duration::from_millis(self.limits().store_timeout_ms);
        match tokio::time::timeout(limit, work).await {
            Ok(result) => {
                if matches!(result, Err(StoreError::Full(_))) {
                    self.storage_was_full();
                }
                result
            }
            Err(_) => Err(StoreError::Unknown(format!("no answer within {} ms", limit.as_millis()))),
        }
    }
}
