//! `/ops/*` on the operators' listener and `/api/ops/*` for administrators of the platform: nodes, shards, moves. Every call that changes something
//! is written to the audit log, refused ones too.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use colloquy_actors::cluster::Client;
use colloquy_actors::domain::local_time::rfc3339;
use colloquy_actors::domain::ops_log::Entry;
use colloquy_actors::ops_log;
use colloquy_wire::common::Page;
use colloquy_wire::ops::{OpsAuditEntry, OpsEntity, OpsMove, OpsMoves, OpsNode, OpsPlanning, OpsShard};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use utoipa::openapi::OpenApi as Description;
use utoipa::{OpenApi, ToSchema};

use crate::app::App;
use crate::auth::PlatformAdmin;
use crate::body::{Json, OptionalJson, Query};
use crate::problem::{Problem, Result};

/// What the audit log calls an order that is about no one node or shard.
const CLUSTER: &str = "cluster";

/// What an operator may order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Move a shard.
    Move {
        /// Which.
        shard: u32,
        /// To which node.
        to: String,
    },
    /// Leave a shard where it is.
    Pin(u32),
    /// Let it be moved again.
    Unpin(u32),
    /// Move everything away from a node.
    Drain(String),
    /// Give a node no further shards.
    Cordon(String),
    /// Take back a drain or a cordon.
    Uncordon(String),
    /// Spread the shards evenly.
    Rebalance {
        /// Only say what would move.
        dry_run: bool,
        /// At most so many moves.
        max_moves: Option<usize>,
    },
    /// Begin no further moves.
    Pause,
    /// Begin them again.
    Resume,
}

impl Order {
    /// How the audit log words the arguments.
    fn detail(&self) -> String {
        match self {
            Self::Move { to, .. } => format!("to {to}"),
            Self::Rebalance { dry_run, max_moves } => {
                let most = max_moves.map_or_else(|| "no limit".to_owned(), |most| format!("at most {most} moves"));
                if *dry_run { format!("dry run, {most}") } else { most }
            }
            Self::Pin(_)
            | Self::Unpin(_)
            | Self::Drain(_)
            | Self::Cordon(_)
            | Self::Uncordon(_)
            | Self::Pause
            | Self::Resume => String::new(),
        }
    }
}

/// What the binary knows and does for operators.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// This node's id.
    fn node(&self) -> &str;
    /// All nodes.
    async fn nodes(&self) -> Result<Vec<OpsNode>>;
    /// All shards, by number.
    async fn shards(&self) -> Result<Vec<OpsShard>>;
    /// The moves of the last hours, newest first.
    async fn moves(&self) -> Result<Vec<OpsMove>>;
    /// Whether moves are begun.
    async fn planning(&self) -> Result<OpsPlanning>;
    /// Where an entity lives; without a tenant it is looked for.
    async fn entity(&self, tenant: Option<&str>, kind: &str, id: &str) -> Result<OpsEntity>;
    /// Carries an order out, or begins to.
    async fn order(&self, order: Order) -> Result<Vec<OpsMove>>;
}

#[derive(OpenApi)]
#[openapi(paths(
    nodes, shards, moves, one_move, entity, audit, move_shard, pin, unpin, drain, cordon, uncordon, planning,
    rebalance, pause, resume
))]
struct Contract;

/// What these calls look like on the public listener, for the description of the interface.
pub(crate) fn description() -> Description {
    Contract::openapi()
}

/// Who calls: put into the request by whoever checked it.
#[derive(Clone, Debug)]
pub struct Operator(pub String);

/// What the handlers share.
#[derive(Clone)]
pub struct Ops {
    operations: Arc<dyn Operations>,
    client: Client,
}

impl Ops {
    /// The calls over a node's operations; `client` writes the audit log.
    pub fn new(operations: Arc<dyn Operations>, client: Client) -> Self {
        Self { operations, client }
    }
}

/// The calls behind the operators' token.
pub fn routes(ops: Ops, token: String) -> Router {
    let token: Arc<str> = token.into();
    let guarded = middleware::from_fn(move |mut request: Request, next: Next| {
        let token = token.clone();
        async move {
            let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().trim();
            // Nothing sent is not the empty token: without a token nobody is an operator.
            if token.is_empty() || !bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
                return Problem::unauthorized("Send the operators' token (`ops.token`): `Authorization: Bearer …`.")
                    .into_response();
            }
            request.extensions_mut().insert(Operator("ops.token".into()));
            next.run(request).await
        }
    });
    Router::new().nest("/ops", calls(ops)).layer(guarded)
}

/// The calls on the public listener, for administrators of the platform.
pub(crate) fn for_administrators(ops: Ops, app: App) -> Router<App> {
    calls(ops).layer(middleware::from_fn_with_state(
        app,
        async |PlatformAdmin(user): PlatformAdmin, mut request: Request, next: Next| {
            // The log is not sealed: it names accounts, not addresses.
            request.extensions_mut().insert(Operator(user.0));
            next.run(request).await
        },
    ))
}

/// The calls themselves; whoever mounts them checks who calls and says so with [`Operator`].
fn calls<S: Clone + Send + Sync + 'static>(ops: Ops) -> Router<S> {
    Router::new()
        .route("/nodes", get(nodes))
        .route("/nodes/{id}/drain", post(drain))
        .route("/nodes/{id}/cordon", post(cordon))
        .route("/nodes/{id}/uncordon", post(uncordon))
        .route("/shards", get(shards))
        .route("/shards/{id}/move", post(move_shard))
        .route("/shards/{id}/pin", post(pin))
        .route("/shards/{id}/unpin", post(unpin))
        .route("/moves", get(moves))
        .route("/moves/{id}", get(one_move))
        .route("/entities/{kind}/{id}", get(entity))
        .route("/rebalance", get(planning).post(rebalance))
        .route("/rebalance/pause", post(pause))
        .route("/rebalance/resume", post(resume))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route("/audit", get(audit))
        .fallback(async || Problem::not_found("operator's call"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This call does not take this method.")
        })
        .with_state(ops)
}

/// All nodes of the cluster.
#[utoipa::path(get, path = "/api/ops/nodes", tag = "operators", responses((status = 200, body = Page<OpsNode>)))]
async fn nodes(State(ops): State<Ops>) -> Result<Json<Page<OpsNode>>> {
    Ok(Json(Page::whole(ops.operations.nodes().await?)))
}

#[derive(Debug, Deserialize)]
struct ShardQuery {
    owner: Option<String>,
    state: Option<String>,
}

/// All shards, by number.
#[utoipa::path(get, path = "/api/ops/shards", tag = "operators", params(("owner" = Option<String>, Query), ("state" = Option<String>, Query)), responses((status = 200, body = Page<OpsShard>)))]
async fn shards(State(ops): State<Ops>, Query(query): Query<ShardQuery>) -> Result<Json<Page<OpsShard>>> {
    let mut shards = ops.operations.shards().await?;
    if let Some(owner) = &query.owner {
        shards.retain(|shard| shard.owner == *owner);
    }
    if let Some(state) = &query.state {
        if !["owned", "draining", "orphan"].contains(&state.as_str()) {
            return Err(Problem::field("state", "must be owned, draining or orphan"));
        }
        shards.retain(|shard| shard.state == *state);
    }
    Ok(Json(Page::whole(shards)))
}

/// The moves of the last hours, newest first.
#[utoipa::path(get, path = "/api/ops/moves", tag = "operators", responses((status = 200, body = Page<OpsMove>)))]
async fn moves(State(ops): State<Ops>) -> Result<Json<Page<OpsMove>>> {
    Ok(Json(Page::whole(ops.operations.moves().await?)))
}

/// One move.
#[utoipa::path(get, path = "/api/ops/moves/{id}", tag = "operators", params(("id" = String, Path)), responses((status = 200, body = OpsMove)))]
async fn one_move(State(ops): State<Ops>, Path(id): Path<String>) -> Result<Json<OpsMove>> {
    let moves = ops.operations.moves().await?;
    moves.into_iter().find(|known| known.id == id).map(Json).ok_or_else(|| Problem::not_found("move"))
}

#[derive(Debug, Deserialize)]
struct EntityQuery {
    tenant: Option<String>,
}

/// Where an entity lives.
#[utoipa::path(get, path = "/api/ops/entities/{kind}/{id}", tag = "operators", params(("kind" = String, Path), ("id" = String, Path), ("tenant" = Option<String>, Query)), responses((status = 200, body = OpsEntity)))]
async fn entity(
    State(ops): State<Ops>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<EntityQuery>,
) -> Result<Json<OpsEntity>> {
    Ok(Json(ops.operations.entity(query.tenant.as_deref(), &kind, &id).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    to: String,
}

/// Move a shard to a node.
#[utoipa::path(post, path = "/api/ops/shards/{id}/move", tag = "operators", params(("id" = String, Path)), request_body = MoveBody, responses((status = 202, body = OpsMoves)))]
async fn move_shard(
    State(ops): State<Ops>,
    by: axum::Extension<Operator>,
    Path(id): Path<String>,
    body: Result<Json<MoveBody>>,
) -> Result<Response> {
    let order = number(&id).and_then(|shard| Ok(Order::Move { shard, to: body?.0.to }));
    carry_out(&ops, by, "shards.move", format!("shard {id}"), order).await
}

/// Leave a shard where it is.
#[utoipa::path(post, path = "/api/ops/shards/{id}/pin", tag = "operators", params(("id" = String, Path)), responses((status = 202, body = OpsMoves)))]
async fn pin(State(ops): State<Ops>, by: axum::Extension<Operator>, Path(id): Path<String>) -> Result<Response> {
    carry_out(&ops, by, "shards.pin", format!("shard {id}"), number(&id).map(Order::Pin)).await
}

/// Let a shard be moved again.
#[utoipa::path(post, path = "/api/ops/shards/{id}/unpin", tag = "operators", params(("id" = String, Path)), responses((status = 202, body = OpsMoves)))]
async fn unpin(State(ops): State<Ops>, by: axum::Extension<Operator>, Path(id): Path<String>) -> Result<Response> {
    carry_out(&ops, by, "shards.unpin", format!("shard {id}"), number(&id).map(Order::Unpin)).await
}

/// Move everything away from a node.
#[utoipa::path(post, path = "/api/ops/nodes/{id}/drain", tag = "operators", params(("id" = String, Path)), responses((status = 202, body = OpsMoves)))]
async fn drain(State(ops): State<Ops>, by: axum::Extension<Operator>, Path(id): Path<String>) -> Result<Response> {
    carry_out(&ops, by, "nodes.drain", format!("node {id}"), Ok(Order::Drain(id))).await
}

/// Give a node no further shards.
#[utoipa::path(post, path = "/api/ops/nodes/{id}/cordon", tag = "operators", params(("id" = String, Path)), responses((status = 202, body = OpsMoves)))]
async fn cordon(State(ops): State<Ops>, by: axum::Extension<Operator>, Path(id): Path<String>) -> Result<Response> {
    carry_out(&ops, by, "nodes.cordon", format!("node {id}"), Ok(Order::Cordon(id))).await
}

/// Take back a drain or a cordon.
#[utoipa::path(post, path = "/api/ops/nodes/{id}/uncordon", tag = "operators", params(("id" = String, Path)), responses((status = 202, body = OpsMoves)))]
async fn uncordon(State(ops): State<Ops>, by: axum::Extension<Operator>, Path(id): Path<String>) -> Result<Response> {
    carry_out(&ops, by, "nodes.uncordon", format!("node {id}"), Ok(Order::Uncordon(id))).await
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct RebalanceBody {
    dry_run: bool,
    max_moves: Option<usize>,
}

/// Spread the shards evenly.
#[utoipa::path(post, path = "/api/ops/rebalance", tag = "operators", request_body = RebalanceBody, responses((status = 202, body = OpsMoves)))]
async fn rebalance(
    State(ops): State<Ops>,
    by: axum::Extension<Operator>,
    body: Result<OptionalJson<RebalanceBody>>,
) -> Result<Response> {
    let order = body.map(|OptionalJson(body)| Order::Rebalance { dry_run: body.dry_run, max_moves: body.max_moves });
    carry_out(&ops, by, "rebalance", CLUSTER.into(), order).await
}

/// Whether moves are begun.
#[utoipa::path(get, path = "/api/ops/rebalance", tag = "operators", responses((status = 200, body = OpsPlanning)))]
async fn planning(State(ops): State<Ops>) -> Result<Json<OpsPlanning>> {
    Ok(Json(ops.operations.planning().await?))
}

/// Begin no further moves.
#[utoipa::path(post, path = "/api/ops/pause", tag = "operators", responses((status = 202, body = OpsMoves)))]
async fn pause(State(ops): State<Ops>, by: axum::Extension<Operator>) -> Result<Response> {
    carry_out(&ops, by, "pause", CLUSTER.into(), Ok(Order::Pause)).await
}

/// Begin moves again.
#[utoipa::path(post, path = "/api/ops/resume", tag = "operators", responses((status = 202, body = OpsMoves)))]
async fn resume(State(ops): State<Ops>, by: axum::Extension<Operator>) -> Result<Response> {
    carry_out(&ops, by, "resume", CLUSTER.into(), Ok(Order::Resume)).await
}

#[derive(Debug, Deserialize)]
struct AuditQuery {
    month: Option<String>,
}

/// Operators' calls of a month, newest first.
#[utoipa::path(get, path = "/api/ops/audit", tag = "operators", params(("month" = Option<String>, Query)), responses((status = 200, body = Page<OpsAuditEntry>)))]
async fn audit(State(ops): State<Ops>, Query(query): Query<AuditQuery>) -> Result<Json<Page<OpsAuditEntry>>> {
    if query.month.as_deref().is_some_and(|month| !is_month(month)) {
        return Err(Problem::field("month", "must be a month such as 2026-01"));
    }
    let entries = ops_log::read(&ops.client, query.month).await?;
    Ok(Json(Page::whole(
        entries
            .into_iter()
            .map(|entry| OpsAuditEntry {
                at: rfc3339(entry.at_ms),
                actor: entry.actor,
                action: entry.action,
                resource: entry.resource,
                detail: entry.detail,
                outcome: entry.outcome,
                node: entry.node,
            })
            .collect(),
    )))
}

fn is_month(text: &str) -> bool {
    text.len() == 7 && format!("{text}-01").parse::<jiff::civil::Date>().is_ok()
}

/// A shard's number; what is none is the name of no shard.
fn number(id: &str) -> Result<u32> {
    id.parse().map_err(|_| Problem::not_found("shard"))
}

/// Carries out what was ordered, or refuses what could not be read as an order, and writes down either.
async fn carry_out(
    ops: &Ops,
    axum::Extension(Operator(actor)): axum::Extension<Operator>,
    action: &'static str,
    resource: String,
    order: Result<Order>,
) -> Result<Response> {
    let detail = order.as_ref().map(Order::detail).unwrap_or_default();
    let outcome = match order {
        Ok(order) => ops.operations.order(order).await,
        Err(problem) => Err(problem),
    };
    let told = outcome.as_ref().map_or_else(|problem| problem.body.code.clone(), |_| "accepted".to_owned());
    // The log keeps it also when the journal cannot be reached now, which is when operators act.
    tracing::info!(target: "colloquy::audit", actor, action, resource, detail, outcome = told, "operator's call");
    let node = ops.operations.node().to_owned();
    let entry = Entry { at_ms: 0, actor, action: action.to_owned(), resource, detail, outcome: told, node };
    if let Err(error) = ops_log::record(&ops.client, entry).await {
        tracing::error!(%error, "an operator's call could not be written to the audit log; it stands in this log");
    }
    Ok((StatusCode::ACCEPTED, Json(OpsMoves { moves: outcome? })).into_response())
}
