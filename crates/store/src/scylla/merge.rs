//! Reads rows that are spread over slots in one order, a little from each slot at a time.

use std::collections::VecDeque;

use futures::future::try_join_all;

use crate::{StoreError, rows::Row};

/// Most rows read from one slot at once.
const CHUNK_MAX: usize = 128;

/// Rows read from a slot beyond its even share, so that an uneven spread rarely costs another read.
const SPARE: usize = 4;

/// Where the rows come from.
pub(super) trait Source: Sync {
    /// How far a slot was read.
    type Cursor: Clone + Send + Sync;

    /// Up to `count` rows of a slot, and where to go on if there may be more.
    fn fetch(
        &self,
        slot: i32,
        cursor: Self::Cursor,
        count: usize,
    ) -> impl Future<Output = Result<(Vec<Row>, Option<Self::Cursor>), StoreError>> + Send;

    /// Whether `a` stands before `b`.
    fn is_before(&self, a: &Row, b: &Row) -> bool;
}

struct Slot<C> {
    number: i32,
    waiting: VecDeque<Row>,
    cursor: Option<C>,
}

/// The first `limit` rows of all slots.
pub(super) async fn merge<S: Source>(
    source: &S,
    slots: i32,
    first: S::Cursor,
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let mut slots: Vec<Slot<S::Cursor>> =
        (0..slots).map(|number| Slot { number, waiting: VecDeque::new(), cursor: Some(first.clone()) }).collect();
    let share = limit / slots.len().max(1) + SPARE;
    let mut merged = Vec::new();
    while merged.len() < limit {
        let count = share.min(limit - merged.len()).clamp(1, CHUNK_MAX);
        let empty = slots.iter_mut().filter(|slot| slot.waiting.is_empty());
        let fill = empty.filter_map(|slot| Some((slot.cursor.take()?, slot))).map(async |(cursor, slot)| {
            let (rows, next) = source.fetch(slot.number, cursor, count).await?;
            slot.waiting.extend(rows);
            slot.cursor = next;
            Ok::<_, StoreError>(())
        });
        try_join_all(fill).await?;
        // Until a slot runs dry, the least of all fronts is the next row.
        while merged.len() < limit && slots.iter().all(|slot| !slot.waiting.is_empty() || slot.cursor.is_none()) {
            let fronts = slots.iter_mut().filter(|slot| !slot.waiting.is_empty());
            let least = fronts.reduce(
                |least, slot| {
                    if source.is_before(&slot.waiting[0], &least.waiting[0]) { slot } else { least }
                },
            );
            let Some(row) = least.and_then(|slot| slot.waiting.pop_front()) else {
                return Ok(merged);
            };
            merged.push(row);
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as ids, given to slots by a table.
    struct Numbers(Vec<Vec<u32>>);

    impl Source for Numbers {
        type Cursor = usize;

        async fn fetch(&self, slot: i32, cursor: usize, count: usize) -> Result<(Vec<Row>, Option<usize>), StoreError> {
            let all = &self.0[slot as usize];
            let end = all.len().min(cursor + count);
            let row = |number: &u32| Row {
                tenant: String::new(),
                list: String::new(),
                at_ms: i64::from(*number),
                id: String::new(),
                seq: 1,
                view_version: 1,
                body: None,
                numbers: None,
            };
            Ok((all[cursor..end].iter().map(row).collect(), (end - cursor == count).then_some(end)))
        }

        fn is_before(&self, a: &Row, b: &Row) -> bool {
            a.at_ms < b.at_ms
        }
    }

    #[tokio::test]
    async fn slots_of_any_length_come_out_in_order_and_whole() {
        for table in [
            vec![vec![], vec![], vec![]],
            vec![vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], vec![], vec![0]],
            vec![
                (0..500).map(|n| n * 3).collect(),
                (0..500).map(|n| n * 3 + 1).collect(),
                (0..9).map(|n| n * 3 + 2).collect(),
            ],
        ] {
            let mut all: Vec<u32> = table.concat();
            all.sort_unstable();
            for limit in [0, 1, 2, 7, 600, 5_000] {
                let merged = merge(&Numbers(table.clone()), 3, 0, limit).await.unwrap();
                let found: Vec<u32> = merged.iter().map(|row| row.at_ms as u32).collect();
                assert_eq!(found, all[..limit.min(all.len())], "limit {limit}");
            }
        }
    }
}
