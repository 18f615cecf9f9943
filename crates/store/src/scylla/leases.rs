//! Nodes and shards. Every change names what it replaces; what a lost answer leaves open is settled by looking again.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::{
    StoreError,
    leases::{
        ClusterInfo, Fact, Leases, NodeRow, NodeState, SHARDS_TOGETHER, ShardRow, ShardState, check_fact, check_swap,
        check_take, refuse_beat, refuse_join,
    },
    limits,
};

use super::{
    session::{Cql, Values, contended},
    wake::column,
};

/// `id, incarnation, beat, alive, address, boot`.
type NodeColumns = (String, i64, i64, bool, String, Uuid);

/// `shard, owner, epoch, draining, target`.
type ShardColumns = (i32, String, i64, bool, Option<String>);

fn node_row((id, incarnation, beat, alive, address, _): NodeColumns) -> NodeRow {
    let state = if alive { NodeState::Alive } else { NodeState::Dead };
    NodeRow { id, incarnation: incarnation.unsigned_abs(), beat: beat.unsigned_abs(), state, address }
}

fn shard_row((shard, owner, epoch, draining, target): ShardColumns) -> ShardRow {
    let state = if draining { ShardState::Draining } else { ShardState::Owned };
    ShardRow { shard: shard.cast_unsigned(), owner, epoch: epoch.unsigned_abs(), state, target }
}

fn is_draining(state: ShardState) -> bool {
    match state {
        ShardState::Owned => false,
        ShardState::Draining => true,
    }
}

/// The values of `shard_swap`.
fn replaced<'a>(expected: Option<&'a ShardRow>, new: &'a ShardRow) -> Result<Values<'a>, StoreError> {
    let epoch = expected.map(|expected| limits::signed("an epoch", expected.epoch)).transpose()?;
    Ok(Box::new((
        &new.owner,
        limits::signed("an epoch", new.epoch)?,
        is_draining(new.state),
        &new.target,
        column(new.shard / SHARDS_TOGETHER),
        column(new.shard),
        expected.map(|expected| &expected.owner),
        epoch,
        expected.map(|expected| is_draining(expected.state)),
        expected.and_then(|expected| expected.target.as_ref()),
    )))
}

impl Cql {
    async fn node(&self, id: &str) -> Result<Option<(NodeRow, Uuid)>, StoreError> {
        let found = self.row::<NodeColumns>(&self.statements.node, (id,)).await?;
        Ok(found.map(|columns| {
            let boot = columns.5;
            (node_row(columns), boot)
        }))
    }

    async fn shard_rows(&self, statement: &PreparedStatement, part: Option<u32>) -> Result<Vec<ShardRow>, StoreError> {
        let part: Vec<i32> = part.map(column).into_iter().collect();
        let mut rows: Vec<ShardRow> =
            self.rows::<ShardColumns>(statement, part).await?.into_iter().map(shard_row).collect();
        rows.sort_by_key(|row| row.shard);
        Ok(rows)
    }

    /// Swaps of one part in one step: whether all took effect, or none; `None` when that is not known, or one row is to be changed twice.
    async fn swap_together(&self, swaps: &[&(Option<ShardRow>, ShardRow)]) -> Option<bool> {
        let batch = swaps
            .iter()
            .map(|(expected, new)| Ok((self.statements.shard_swap.clone(), replaced(expected.as_ref(), new)?)))
            .collect::<Result<_, StoreError>>();
        self.swap_all(batch.ok()?).await.ok()
    }

    /// Swaps a row of a part that nobody else in this process changes.
    async fn swap_row(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        match Self::swap(self, &self.statements.shard_swap, replaced(expected, new)?).await {
            Ok(applied) => Ok(applied),
            Err(error) => self.swap_tried(expected, new, error).await,
        }
    }

    /// The same after a try whose outcome is not known.
    async fn swap_again(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        self.swap_tried(expected, new, contended(format!("shard {}", new.shard))).await
    }

    async fn swap_tried(
        &self,
        expected: Option<&ShardRow>,
        new: &ShardRow,
        mut error: StoreError,
    ) -> Result<bool, StoreError> {
        let mut tries = self.tries();
        loop {
            tries.again(error).await?;
            // The lost try took effect: nobody else writes this row with this owner and epoch.
            let place = (column(new.shard / SHARDS_TOGETHER), column(new.shard));
            let stored = self.row::<ShardColumns>(&self.statements.shard, place).await?.map(shard_row);
            if stored.as_ref() == Some(new) && expected != Some(new) {
                return Ok(true);
            }
            error = match Self::swap(self, &self.statements.shard_swap, replaced(expected, new)?).await {
                Ok(applied) => return Ok(applied),
                Err(error) => error,
            };
        }
    }

    /// One try to take the shards of a part; `None` when another one changed one of them meanwhile.
    async fn take_part(&self, owner: &str, part: u32, shards: u32) -> Result<Option<Vec<ShardRow>>, StoreError> {
        let stored = self.shard_rows(&self.statements.shards_of_part, Some(part)).await?;
        let stored: HashMap<u32, ShardRow> = stored.into_iter().map(|row| (row.shard, row)).collect();
        let first = part * SHARDS_TOGETHER;
        let taken: Vec<ShardRow> = (first..shards.min(first + SHARDS_TOGETHER))
            .map(|shard| {
                let epoch = stored.get(&shard).map_or(1, |row| row.epoch + 1);
                ShardRow { shard, owner: owner.to_owned(), epoch, state: ShardState::Owned, target: None }
            })
            .collect();
        let batch =
            taken.iter().map(|row| Ok((self.statements.shard_swap.clone(), replaced(stored.get(&row.shard), row)?)));
        let applied = self.swap_all(batch.collect::<Result<_, StoreError>>()?).await?;
        Ok(applied.then_some(taken))
    }
}

#[async_trait]
impl Leases for Cql {
    async fn found(&self, info: &ClusterInfo) -> Result<ClusterInfo, StoreError> {
        limits::name("a cluster's name", &info.name)?;
        let _alone = self.alone("cluster").await;
        let mut tries = self.tries();
        loop {
            let found = async {
                let stored = self.row::<(String, i32, i32, String)>(&self.statements.cluster, ()).await?;
                if let Some((name, shards, schema, key_check)) = stored {
                    let (shards, schema) = (shards.cast_unsigned(), schema.cast_unsigned());
                    return Ok(Some(ClusterInfo { name, shards, schema, key_check }));
                }
                let row = (&info.name, column(info.shards), column(info.schema), &info.key_check);
                Ok(self.swap(&self.statements.found, row).await?.then(|| info.clone()))
            };
            match found.await {
                Ok(Some(info)) => return Ok(info),
                Ok(None) => tries.again(contended("the cluster")).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn join(&self, id: &str, address: &str, replace: bool) -> Result<NodeRow, StoreError> {
        limits::name("a node id", id)?;
        limits::name("a node address", address)?;
        let _alone = self.alone(&("node", id)).await;
        // By which a try knows that an earlier one of this call took effect.
        let boot = Uuid::new_v4();
        let mut tries = self.tries();
        loop {
            let joined = async {
                let before = self.node(id).await?;
                let (incarnation, applied) = match before {
                    Some((row, stored)) if stored == boot => return Ok(Some(Ok(row))),
                    None => (1, self.swap(&self.statements.node_insert, (id, address, boot)).await?),
                    Some((before, stored)) => {
                        let alive = before.state == NodeState::Alive;
                        if alive && !replace {
                            return Ok(Some(Err(refuse_join(&before))));
                        }
                        let incarnation = before.incarnation + 1;
                        let number = limits::signed("an incarnation", incarnation)?;
                        let row = (number, address, boot, id, stored, alive);
                        (incarnation, self.swap(&self.statements.node_boot, row).await?)
                    }
                };
                let (id, address) = (id.to_owned(), address.to_owned());
                Ok(applied.then_some(Ok(NodeRow { id, incarnation, beat: 0, state: NodeState::Alive, address })))
            };
            match joined.await {
                Ok(Some(settled)) => return settled,
                Ok(None) => tries.again(contended(format!("node {id}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn beat(&self, id: &str, incarnation: u64) -> Result<u64, StoreError> {
        let _alone = self.alone(&("node", id)).await;
        let mut tries = self.tries();
        loop {
            let renewed = async {
                let stored = self.node(id).await?.map(|(row, _)| row);
                let stored = stored.filter(|row| row.incarnation == incarnation && row.state == NodeState::Alive);
                let Some(stored) = stored else { return Ok(None) };
                let (number, beat) = (limits::signed("an incarnation", incarnation)?, stored.beat as i64);
                let applied = self.swap(&self.statements.node_beat, (beat + 1, id, number, beat)).await?;
                Ok(Some(applied.then_some(stored.beat + 1)))
            };
            match renewed.await {
                Ok(Some(Some(beat))) => return Ok(beat),
                Ok(None) => return Err(refuse_beat(id, incarnation)),
                Ok(Some(None)) => tries.again(contended(format!("node {id}"))).await?,
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn bury(&self, id: &str, incarnation: u64, seen_beat: u64) -> Result<bool, StoreError> {
        let number = limits::signed("an incarnation", incarnation)?;
        let beat = limits::signed("a beat", seen_beat)?;
        let _alone = self.alone(&("node", id)).await;
        let mut tries = self.tries();
        loop {
            // Twice is as good as once.
            match self.swap(&self.statements.node_bury, (id, number, beat)).await {
                Ok(applied) => return Ok(applied),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let rows = self.rows::<NodeColumns>(&self.statements.nodes, ()).await?;
        let mut nodes: Vec<NodeRow> = rows.into_iter().map(node_row).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.shard_rows(&self.statements.shards, None).await
    }

    async fn shard(&self, shard: u32) -> Result<Option<ShardRow>, StoreError> {
        let place = (column(shard / SHARDS_TOGETHER), column(shard));
        Ok(self.row::<ShardColumns>(&self.statements.shard, place).await?.map(shard_row))
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        let rows = self.rows::<(String, String)>(&self.statements.facts, ()).await?;
        let mut facts: Vec<Fact> = rows.into_iter().map(|(name, value)| Fact { name, value }).collect();
        facts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(facts)
    }

    async fn set_fact(&self, name: &str, expected: Option<&str>, new: Option<&str>) -> Result<bool, StoreError> {
        check_fact(name, new)?;
        let _alone = self.alone(&("fact", name)).await;
        let statements = &self.statements;
        let mut tries = self.tries();
        loop {
            let done = match (expected, new) {
                (None, Some(new)) => Cql::swap(self, &statements.fact_insert, (name, new)).await,
                (Some(expected), Some(new)) => Cql::swap(self, &statements.fact_swap, (new, name, expected)).await,
                (Some(expected), None) => Cql::swap(self, &statements.fact_delete, (name, expected)).await,
                (None, None) => {
                    return Ok(self.row::<(String,)>(&statements.fact, (name,)).await?.is_none());
                }
            };
            let error = match done {
                Ok(applied) => return Ok(applied),
                Err(error) => error,
            };
            tries.again(error).await?;
            // A lost try took effect, or somebody else wrote the same: either way it is as the caller wants it.
            let stored = self.row::<(String,)>(&statements.fact, (name,)).await?;
            if stored.as_ref().map(|(value,)| value.as_str()) == new {
                return Ok(true);
            }
        }
    }

    async fn swap(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        check_swap(expected, new)?;
        let _alone = self.alone(&("shard", new.shard / SHARDS_TOGETHER)).await;
        self.swap_row(expected, new).await
    }

    async fn swap_each(&self, swaps: &[(Option<ShardRow>, ShardRow)]) -> Vec<Result<bool, StoreError>> {
        let mut answers: Vec<Result<bool, StoreError>> =
            swaps.iter().map(|(expected, new)| check_swap(expected.as_ref(), new).map(|()| false)).collect();
        let mut parts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, (_, new)) in swaps.iter().enumerate().filter(|&(at, _)| answers[at].is_ok()) {
            parts.entry(new.shard / SHARDS_TOGETHER).or_default().push(at);
        }
        for (part, swaps_of_part) in parts {
            let _alone = self.alone(&("shard", part)).await;
            let chosen: Vec<_> = swaps_of_part.iter().map(|&at| &swaps[at]).collect();
            let together = self.swap_together(&chosen).await;
            for (at, (expected, new)) in swaps_of_part.into_iter().zip(chosen) {
                answers[at] = match together {
                    Some(true) => Ok(true),
                    // One of them was changed by another: each for itself.
                    Some(false) => self.swap_row(expected.as_ref(), new).await,
                    None => self.swap_again(expected.as_ref(), new).await,
                };
            }
        }
        answers
    }

    async fn take_all(&self, owner: &str, shards: u32) -> Result<Vec<ShardRow>, StoreError> {
        check_take(owner, shards)?;
        let mut taken = Vec::new();
        for part in 0..shards.div_ceil(SHARDS_TOGETHER) {
            let _alone = self.alone(&("shard", part)).await;
            let mut tries = self.tries();
            let rows = loop {
                match self.take_part(owner, part, shards).await {
                    Ok(Some(rows)) => break rows,
                    Ok(None) => tries.again(contended(format!("the shards of part {part}"))).await?,
                    Err(error) => tries.again(error).await?,
                }
            };
            taken.extend(rows);
        }
        Ok(taken)
    }
}
