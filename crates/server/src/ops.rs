//! The operator's calls on this node: what the gateway's `/ops` routes ask for, over the runtime's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use colloquy_cluster::host::ops::{Move, MoveCause, MoveState, NodeInfo, OpsError, Rebalance, ShardInfo};
use colloquy_cluster::{EntityKey, Node};
use colloquy_gateway::problem::{Problem, Result};
use colloquy_gateway::routes::ops::{Operations, Order};
use colloquy_wire::ops::{OpsEntity, OpsMove, OpsNode, OpsPlanning, OpsShard};
use futures::future::join_all;

/// After how many seconds an order that met the store in trouble may be given again.
const AGAIN_S: u64 = 2;

/// Tenants looked at for an entity whose tenant is not named, at a time.
const TENANTS_AT_ONCE: usize = 200;

/// This node, for operators.
pub(crate) struct NodeOperations {
    id: String,
    node: Arc<Node>,
}

impl NodeOperations {
    pub(crate) fn new(id: &str, node: Arc<Node>) -> Self {
        Self { id: id.to_owned(), node }
    }

    async fn shown(&self, info: NodeInfo) -> OpsNode {
        let load = if info.alive { self.node.load_of(&info.id).await } else { None };
        OpsNode {
            state: if info.alive { "alive" } else { "dead" }.to_owned(),
            incarnation: info.incarnation,
            address: info.address,
            beat_age_ms: if info.here { Some(0) } else { self.node.beat_age_ms(&info.id) },
            shards: info.shards,
            entities: load.as_ref().map(|load| load.resident),
            queued: load.map(|load| load.queued),
            cordoned: info.cordoned,
            draining: info.draining,
            steward: info.steward,
            answering: info.here,
            id: info.id,
        }
    }

    /// The tenant whose list of that kind has the id. Kinds without a list are looked for under the id's own name.
    async fn tenant_of(&self, kind: &str, id: &str) -> Result<String> {
        use colloquy_actors::{agent, conversation, knowledge, lead, tenant, traffic};
        let list = match kind {
            "tenant" => return Ok(id.to_owned()),
            "account" => return Ok(colloquy_actors::domain::account::TENANT.to_owned()),
            "ops_log" => return Ok(colloquy_actors::domain::ops_log::TENANT.to_owned()),
            "agent" => agent::LIST,
            "conversation" => conversation::LIST,
            "knowledge" => knowledge::LIST,
            "lead" => lead::LIST,
            "traffic" => traffic::LIST,
            _ => return Err(Problem::not_found("kind of entity")),
        };
        let (client, mut after) = (self.node.client(), None::<String>);
        let rows = &client.store().rows;
        let failed = |error: colloquy_store::StoreError| Problem::unavailable("storage", error.to_string(), AGAIN_S);
        loop {
            let page = rows
                .scan(colloquy_actors::domain::account::TENANT, tenant::LIST, after.as_deref(), TENANTS_AT_ONCE)
                .await
                .map_err(failed)?;
            let Some(last) = page.last() else { return Err(Problem::not_found(kind)) };
            after = Some(last.id.clone());
            let found = join_all(page.iter().map(|row| rows.get(&row.id, list, id))).await;
            for (row, found) in page.iter().zip(found) {
                if found.map_err(failed)?.is_some() {
                    return Ok(row.id.clone());
                }
            }
        }
    }
}

#[async_trait]
impl Operations for NodeOperations {
    fn node(&self) -> &str {
        &self.id
    }

    async fn nodes(&self) -> Result<Vec<OpsNode>> {
        let nodes = self.node.nodes().await.map_err(problem)?;
        Ok(join_all(nodes.into_iter().map(|info| self.shown(info))).await)
    }

    async fn shards(&self) -> Result<Vec<OpsShard>> {
        let infos = self.node.shards().await.map_err(problem)?;
        let elsewhere = infos.iter().filter(|info| info.owned && info.resident.is_none()).map(|info| &info.owner);
        let owners: BTreeSet<&String> = elsewhere.collect();
        let loads = join_all(owners.into_iter().map(async |owner| (owner.clone(), self.node.load_of(owner).await)));
        let told: HashMap<String, BTreeMap<u32, usize>> =
            loads.await.into_iter().filter_map(|(owner, load)| Some((owner, load?.by_shard?))).collect();
        let with_load = |mut info: ShardInfo| {
            let elsewhere = || told.get(&info.owner).map(|counts| counts.get(&info.shard).copied().unwrap_or(0));
            info.resident = info.resident.or_else(elsewhere);
            shard(info)
        };
        Ok(infos.into_iter().map(with_load).collect())
    }

    async fn planning(&self) -> Result<OpsPlanning> {
        Ok(OpsPlanning { paused: self.node.is_paused().await.map_err(problem)? })
    }

    async fn moves(&self) -> Result<Vec<OpsMove>> {
        let mut moves = self.node.moves().await.map_err(problem)?;
        moves.sort_by(|a, b| (b.asked_ms, a.shard).cmp(&(a.asked_ms, b.shard)));
        Ok(moves.into_iter().map(|planned| shown_move(planned, false)).collect())
    }

    async fn entity(&self, tenant: Option<&str>, kind: &str, id: &str) -> Result<OpsEntity> {
        let tenant = match tenant {
            Some(tenant) => tenant.to_owned(),
            None => self.tenant_of(kind, id).await?,
        };
        let place = self.node.place(&EntityKey::new(&*tenant, kind, id)).await.map_err(problem)?;
        let state = if place.owner.is_some() { "owned" } else { "orphan" }.to_owned();
        let (shard, epoch, owner) = (place.shard, place.epoch, place.owner.unwrap_or_default());
        Ok(OpsEntity { tenant, kind: kind.to_owned(), id: id.to_owned(), shard, owner, epoch, state })
    }

    async fn order(&self, order: Order) -> Result<Vec<OpsMove>> {
        let node = &self.node;
        let done = |outcome: std::result::Result<(), OpsError>| outcome.map(|()| Vec::new());
        let mut dry = false;
        let moves = match order {
            Order::Move { shard, to } => node.move_shard(shard, &to).await.map(|planned| vec![planned]),
            Order::Pin(shard) => done(node.pin(shard).await),
            Order::Unpin(shard) => done(node.unpin(shard).await),
            Order::Drain(id) => self.drain(&id).await,
            Order::Cordon(id) => done(node.cordon(&id).await),
            Order::Uncordon(id) => done(self.uncordon(&id).await),
            Order::Rebalance { dry_run, max_moves } => {
                dry = dry_run;
                node.rebalance(Rebalance { dry_run, max_moves: max_moves.unwrap_or(usize::MAX) }).await
            }
            Order::Pause => done(node.pause().await),
            Order::Resume => done(node.resume().await),
        };
        Ok(moves.map_err(problem)?.into_iter().map(|planned| shown_move(planned, dry)).collect())
    }
}

impl NodeOperations {
    /// Has a node emptied. The steward sees the order too and plans moves of its own meanwhile: they belong to the answer.
    async fn drain(&self, id: &str) -> std::result::Result<Vec<Move>, OpsError> {
        let ours = self.node.drain(id).await?;
        let mut all: BTreeMap<String, Move> = ours.into_iter().map(|planned| (planned.id.clone(), planned)).collect();
        for known in self.node.moves().await? {
            let open = matches!(known.state, MoveState::Waiting | MoveState::Running);
            if known.from == id && known.cause == MoveCause::Drain && (open || all.contains_key(&known.id)) {
                all.insert(known.id.clone(), known);
            }
        }
        let mut all: Vec<Move> = all.into_values().collect();
        all.sort_by_key(|planned| planned.shard);
        Ok(all)
    }

    /// Takes back what keeps shards away from a node, whichever it was.
    async fn uncordon(&self, id: &str) -> std::result::Result<(), OpsError> {
        let draining = self.node.nodes().await?.iter().any(|node| node.id == *id && node.draining);
        if draining {
            self.node.undrain(id).await?;
        }
        self.node.uncordon(id).await
    }
}

fn shard(info: ShardInfo) -> OpsShard {
    let state = match (info.owned, info.draining) {
        (false, _) => "orphan",
        (true, true) => "draining",
        (true, false) => "owned",
    };
    OpsShard {
        id: info.shard,
        owner: info.owner,
        epoch: info.epoch,
        state: state.to_owned(),
        target: info.target,
        pinned: info.pinned,
        entities: info.resident,
    }
}

fn shown_move(planned: Move, dry: bool) -> OpsMove {
    let time = |ms: i64| (ms > 0).then(|| colloquy_actors::domain::local_time::rfc3339(ms));
    let state = match planned.state {
        _ if dry => "planned",
        MoveState::Waiting => "waiting",
        MoveState::Running => "running",
        MoveState::Done => "done",
        MoveState::Failed => "failed",
        MoveState::Cancelled => "cancelled",
    };
    let cause = match planned.cause {
        MoveCause::Asked => "order",
        MoveCause::Drain => "drain",
        MoveCause::Balance => "rebalance",
    };
    OpsMove {
        id: if dry { String::new() } else { planned.id },
        shard: planned.shard,
        from: planned.from,
        to: planned.to,
        state: state.to_owned(),
        cause: cause.to_owned(),
        detail: planned.detail.unwrap_or_default(),
        asked_at: time(planned.asked_ms).unwrap_or_default(),
        started_at: time(planned.started_ms),
        ended_at: time(planned.ended_ms),
    }
}

fn problem(error: OpsError) -> Problem {
    let detail = error.to_string();
    if error.is_unknown() {
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    } else if error.is_contradiction() {
        Problem::conflict("contradiction", detail)
    } else {
        Problem::unavailable("storage", format!("{detail}; nothing is lost, give the order again"), AGAIN_S)
    }
}
