//! Nodes and shards. One process holds the folder, so the tables are small and mostly tell this node's own boots apart.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::{
    StoreError,
    leases::{
        ClusterInfo, Fact, Leases, NodeRow, NodeState, ShardRow, ShardState, check_fact, check_swap, check_take,
        refuse_beat, refuse_join,
    },
    limits,
};

use super::Sqlite;

fn node(db: &Connection, id: &str) -> Result<Option<NodeRow>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id, incarnation, beat, alive, address FROM node WHERE id = ?1")?;
    Ok(statement.query_row([id], read_node).optional()?)
}

fn read_node(row: &rusqlite::Row<'_>) -> Result<NodeRow, rusqlite::Error> {
    Ok(NodeRow {
        id: row.get(0)?,
        incarnation: row.get::<_, i64>(1)?.unsigned_abs(),
        beat: row.get::<_, i64>(2)?.unsigned_abs(),
        state: if row.get(3)? { NodeState::Alive } else { NodeState::Dead },
        address: row.get(4)?,
    })
}

fn read_shard(row: &rusqlite::Row<'_>) -> Result<ShardRow, rusqlite::Error> {
    Ok(ShardRow {
        shard: row.get(0)?,
        owner: row.get(1)?,
        epoch: row.get::<_, i64>(2)?.unsigned_abs(),
        state: if row.get(3)? { ShardState::Draining } else { ShardState::Owned },
        target: row.get(4)?,
    })
}

fn shards_below(db: &Connection, count: i64) -> Result<Vec<ShardRow>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT shard, owner, epoch, draining, target FROM shard WHERE shard < ?1 ORDER BY shard")?;
    let rows = statement.query_map([count], read_shard)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[async_trait]
impl Leases for Sqlite {
    async fn found(&self, info: &ClusterInfo) -> Result<ClusterInfo, StoreError> {
        limits::name("a cluster's name", &info.name)?;
        let info = info.clone();
        self.write(0, move |db| {
            db.execute(
                "INSERT INTO cluster (one, name, shards, schema, key_check) VALUES (1, ?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                (&info.name, info.shards, info.schema, &info.key_check),
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                Ok(ClusterInfo { name: row.get(0)?, shards: row.get(1)?, schema: row.get(2)?, key_check: row.get(3)? })
            };
            Ok(db.query_row("SELECT name, shards, schema, key_check FROM cluster", [], read)?)
        })
        .await
    }

    async fn join(&self, id: &str, address: &str, replace: bool) -> Result<NodeRow, StoreError> {
        limits::name("a node id", id)?;
        limits::name("a node address", address)?;
        let (id, address) = (id.to_owned(), address.to_owned());
        self.write(0, move |db| {
            let before = node(db, &id)?;
            if let Some(before) = before.as_ref().filter(|before| before.state == NodeState::Alive && !replace) {
                return Err(refuse_join(before));
            }
            let incarnation = before.map_or(1, |before| before.incarnation + 1);
            db.execute(
                "INSERT INTO node (id, incarnation, beat, alive, address) VALUES (?1, ?2, 0, 1, ?3)
                 ON CONFLICT (id) DO UPDATE SET incarnation = excluded.incarnation, beat = 0, alive = 1, address = excluded.address",
                (&id, limits::signed("an incarnation", incarnation)?, &address),
            )?;
            Ok(NodeRow { id: id.clone(), incarnation, beat: 0, state: NodeState::Alive, address: address.clone() })
        })
        .await
    }

    async fn beat(&self, id: &str, incarnation: u64) -> Result<u64, StoreError> {
        let (id, own) = (id.to_owned(), id.to_owned());
        let renewed = self.write(0, move |db| {
            let mut statement = db.prepare_cached(
                "UPDATE node SET beat = beat + 1 WHERE id = ?1 AND incarnation = ?2 AND alive = 1 RETURNING beat",
            )?;
            let beat = statement.query_row((&id, incarnation as i64), |row| row.get::<_, i64>(0)).optional()?;
            beat.map(i64::unsigned_abs).ok_or_else(|| refuse_beat(&id, incarnation))
        });
        match renewed.await {
            // No other node can take over what this process holds the folder's lock on, so a full disk ends no lease: reads go on.
            Err(StoreError::Full(_)) => {
                self.read(move |db| {
                    let sql = "SELECT beat FROM node WHERE id = ?1 AND incarnation = ?2 AND alive = 1";
                    let mut statement = db.prepare_cached(sql)?;
                    let beat =
                        statement.query_row((&own, incarnation as i64), |row| row.get::<_, i64>(0)).optional()?;
                    beat.map(i64::unsigned_abs).ok_or_else(|| refuse_beat(&own, incarnation))
                })
                .await
            }
            renewed => renewed,
        }
    }

    async fn bury(&self, id: &str, incarnation: u64, seen_beat: u64) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(0, move |db| {
            let sql = "UPDATE node SET alive = 0 WHERE id = ?1 AND incarnation = ?2 AND beat = ?3";
            Ok(db.prepare_cached(sql)?.execute((&id, incarnation as i64, seen_beat as i64))? == 1)
        })
        .await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached("SELECT id, incarnation, beat, alive, address FROM node ORDER BY id")?;
            let rows = statement.query_map([], read_node)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, StoreError> {
        self.read(|db| shards_below(db, i64::MAX)).await
    }

    async fn shard(&self, shard: u32) -> Result<Option<ShardRow>, StoreError> {
        self.read(move |db| {
            let sql = "SELECT shard, owner, epoch, draining, target FROM shard WHERE shard = ?1";
            Ok(db.prepare_cached(sql)?.query_row([shard], read_shard).optional()?)
        })
        .await
    }

    async fn swap(&self, expected: Option<&ShardRow>, new: &ShardRow) -> Result<bool, StoreError> {
        check_swap(expected, new)?;
        let (expected, new) = (expected.cloned(), new.clone());
        self.write(0, move |db| {
            let mut statement =
                db.prepare_cached("SELECT shard, owner, epoch, draining, target FROM shard WHERE shard = ?1")?;
            if statement.query_row([new.shard], read_shard).optional()? != expected {
                return Ok(false);
            }
            let draining = match new.state {
                ShardState::Owned => false,
                ShardState::Draining => true,
            };
            db.prepare_cached(
                "INSERT OR REPLACE INTO shard (shard, owner, epoch, draining, target) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                new.shard,
                &new.owner,
                limits::signed("an epoch", new.epoch)?,
                draining,
                &new.target,
            ))?;
            Ok(true)
        })
        .await
    }

    async fn take_all(&self, owner: &str, shards: u32) -> Result<Vec<ShardRow>, StoreError> {
        check_take(owner, shards)?;
        let owner = owner.to_owned();
        self.write(0, move |db| {
            let mut take = db.prepare_cached(
                "INSERT INTO shard (shard, owner, epoch, draining, target) VALUES (?1, ?2, 1, 0, NULL)
                 ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = epoch + 1, draining = 0, target = NULL",
            )?;
            for shard in 0..shards {
                take.execute((shard, &owner))?;
            }
            shards_below(db, i64::from(shards))
        })
        .await
    }

    async fn facts(&self) -> Result<Vec<Fact>, StoreError> {
        self.read(|db| {
            let mut statement = db.prepare_cached("SELECT name, value FROM fact ORDER BY name")?;
            let rows = statement.query_map([], |row| Ok(Fact { name: row.get(0)?, value: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_fact(&self, name: &str, expected: Option<&str>, new: Option<&str>) -> Result<bool, StoreError> {
        check_fact(name, new)?;
        let name = name.to_owned();
        let (expected, new) = (expected.map(str::to_owned), new.map(str::to_owned));
        self.write(0, move |db| {
            let changed = match (&expected, &new) {
                (None, None) => {
                    let absent = "SELECT 1 FROM fact WHERE name = ?1";
                    return Ok(db.prepare_cached(absent)?.query_row([&name], |_| Ok(())).optional()?.is_none());
                }
                (None, Some(new)) => db
                    .prepare_cached("INSERT INTO fact (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
                    .execute((&name, new))?,
                (Some(expected), Some(new)) => db
                    .prepare_cached("UPDATE fact SET value = ?3 WHERE name = ?1 AND value = ?2")?
                    .execute((&name, expected, new))?,
                (Some(expected), None) => {
                    db.prepare_cached("DELETE FROM fact WHERE name = ?1 AND value = ?2")?.execute((&name, expected))?
                }
            };
            Ok(changed == 1)
        })
        .await
    }
}
