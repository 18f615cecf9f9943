//! Three nodes over one keyspace and one Redis, started and spoiled by a test of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use colloquy_store::Store;
use colloquy_store::scylla::ScyllaConfig;
use scylla::client::session_builder::SessionBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::redis_server;
use crate::support::client::Api;
use crate::support::people::{Member, SOON, number, text};
use crate::support::{OPS_TOKEN, Server, eventually, free_port, random_id};

/// Names the CQL servers, as `scripts/cql-server run` sets it.
const CQL: &str = "COLLOQUY_TEST_CQL";
/// Nodes of a cluster.
pub(crate) const NODES: usize = 3;
/// Enough that each node has some dozens and a conversation's shard is rarely another one's.
pub(crate) const SHARDS: u32 = 96;
/// Until all tables are made on several CQL servers, each of which must agree with the others after each table.
const TABLES_WITHIN: Duration = Duration::from_secs(180);
/// Until every shard has an owner and the nodes have shared them: a newcomer waits for the steward's next round, and each shard for writes of its own.
const SPREAD_WITHIN: Duration = Duration::from_secs(120);
/// The part of it that each shard adds.
const SHARD_WITHIN: Duration = Duration::from_millis(120);
/// Moves of a whole node on a busy machine.
pub(crate) const MOVED_WITHIN: Duration = Duration::from_secs(120);

/// Clusters at the same time: one waits for a lease to end or a server to start while another one works. More would only wait for processors.
const AT_ONCE: u32 = 2;
static ROOM: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// The servers' addresses. Without a server a test fails: one that is skipped proves nothing.
pub(crate) fn cql_servers() -> Vec<String> {
    match std::env::var(CQL) {
        Ok(servers) => servers.split(',').map(str::to_owned).collect(),
        Err(_) => panic!(
            "this test needs a CQL server: run `make test`, or `scripts/cql-server run -- cargo test -p colloquy-server --test cluster`"
        ),
    }
}

/// Where the cluster keeps what it shares, and what each node is told beyond that.
pub(crate) struct Plan {
    /// The CQL servers.
    pub(crate) cql: Vec<String>,
    /// For every node.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// For one node each, by its place.
    pub(crate) each: Vec<Vec<(&'static str, String)>>,
    /// Where each node listens for the others, if that is decided already.
    pub(crate) listen: Vec<SocketAddr>,
    /// The programs that each node is started through, for nodes that are somewhere else than at 127.0.0.1.
    pub(crate) through: Vec<Vec<String>>,
    /// What nodes hear of each other through.
    pub(crate) redis: redis_server::Server,
    /// Into how many shards the entities are spread.
    pub(crate) shards: u32,
    /// Whether it needs the machine for itself, because it is large or because its times are looked at.
    pub(crate) alone: bool,
}

impl Plan {
    /// Over the CQL server of the tests, with nothing special.
    pub(crate) fn usual() -> Self {
        Self::over(cql_servers())
    }

    /// Over this CQL server.
    pub(crate) fn over(cql: Vec<String>) -> Self {
        let listen = (0..NODES).map(|_| free_port()).collect();
        let (settings, each, through) = (Vec::new(), vec![Vec::new(); NODES], vec![Vec::new(); NODES]);
        let redis = redis_server::Server::start();
        Self { cql, settings, each, listen, through, redis, shards: SHARDS, alone: false }
    }

    /// The same, while no other cluster runs.
    pub(crate) fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// The nodes and what they share.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
    pub(crate) redis: redis_server::Server,
    /// How many there are.
    pub(crate) shards: usize,
    cql: Vec<String>,
    keyspace: String,
    /// Uploads and indices; a folder that all nodes reach.
    _shared: TempDir,
    room: SemaphorePermit<'static>,
    begun: Instant,
}

impl Cluster {
    /// Three nodes that have shared the shards, all started at the same time over a keyspace that is not there yet.
    pub(crate) async fn start(plan: Plan) -> Self {
        let mut cluster = Self::prepare(plan).await;
        for node in &mut cluster.nodes {
            node.spawn();
        }
        for node in &mut cluster.nodes {
            node.ready_within(TABLES_WITHIN).await;
        }
        let ready = cluster.begun.elapsed();
        cluster.spread(&[0, 1, 2]).await;
        eprintln!(
            "{NODES} nodes were ready after {ready:.1?} and had shared the shards after {:.1?}",
            cluster.begun.elapsed()
        );
        cluster
    }

    /// Three nodes that are not started.
    pub(crate) async fn prepare(plan: Plan) -> Self {
        let room = ROOM.acquire_many(if plan.alone { AT_ONCE } else { 1 }).await.expect("never closed");
        let begun = Instant::now();
        let shared = tempfile::tempdir().expect("a temporary folder");
        let keyspace = format!("test_{}", random_id());
        let quoted: Vec<String> = plan.cql.iter().map(|server| format!("{server:?}")).collect();
        let common = [
            ("COLLOQUY_STORE__KIND", "scylla".to_owned()),
            ("COLLOQUY_STORE__NODES", format!("[{}]", quoted.join(","))),
            ("COLLOQUY_STORE__KEYSPACE", keyspace.clone()),
            ("COLLOQUY_STORE__REPLICATION", plan.cql.len().to_string()),
            ("COLLOQUY_SECRETS__KEY", format!("{}{}", random_id(), random_id())),
            ("COLLOQUY_REDIS__URL", plan.redis.url()),
            ("COLLOQUY_DATA__BLOBS", shared.path().display().to_string()),
            ("COLLOQUY_CLUSTER__SHARDS", plan.shards.to_string()),
            ("COLLOQUY_CLUSTER__NAME", "colloquy".to_owned()),
            ("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", "1000000".to_owned()),
            ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "1000000".to_owned()),
            ("COLLOQUY_LIMITS__API_PER_PRINCIPAL_PER_MINUTE", "1000000".to_owned()),
        ];
        let nodes = (0..NODES).map(|place| {
            let own = [
                ("COLLOQUY_CLUSTER__NODE_ID", node_id(place)),
                ("COLLOQUY_CLUSTER__LISTEN", plan.listen[place].to_string()),
            ];
            let all = common.iter().chain(&plan.settings).chain(&own).chain(&plan.each[place]);
            let all: Vec<(&str, &str)> = all.map(|(key, value)| (*key, value.as_str())).collect();
            Server::prepare(&all).behind(plan.listen[place].ip(), plan.through[place].clone())
        });
        let nodes = nodes.collect();
        let shards = plan.shards as usize;
        Self { nodes, redis: plan.redis, shards, cql: plan.cql, keyspace, _shared: shared, room, begun }
    }

    /// An owner and their agent.
    pub(crate) async fn business(&self) -> (Member, String) {
        let owner = Member::sign_up(&self.nodes[0], "Oak Street Plumbing").await;
        let variables = json!({ "business_name": "Oak Street Plumbing" });
        let agent = owner.agent(json!({ "vertical": "home_services", "variables": variables })).await;
        let id = text(&agent, "id");
        (owner, id)
    }

    /// Every node's frontend.
    pub(crate) fn frontends(&self) -> Vec<Api> {
        self.nodes.iter().map(Server::api).collect()
    }

    /// The operators' calls of one node.
    pub(crate) fn ops(&self, place: usize) -> Api {
        self.nodes[place].ops_api().bearer(OPS_TOKEN)
    }

    /// Waits until these nodes own all shards between them, each a fair part.
    pub(crate) async fn spread(&self, places: &[usize]) {
        let fair = self.shards / places.len() / 2;
        let within = SPREAD_WITHIN + SHARD_WITHIN * u32::try_from(self.shards).unwrap_or(u32::MAX);
        let ids: Vec<String> = places.iter().map(|&place| node_id(place)).collect();
        eventually(&format!("{ids:?} own all shards"), within, async || {
            let owned = self.owned(places[0]).await?;
            let all: usize = ids.iter().filter_map(|id| owned.get(id)).sum();
            (all == self.shards && ids.iter().all(|id| owned.get(id).is_some_and(|&own| own >= fair))).then_some(())
        })
        .await;
    }

    /// How many shards each node owns, as one node sees it; nothing while it cannot say.
    pub(crate) async fn owned(&self, place: usize) -> Option<std::collections::BTreeMap<String, usize>> {
        let answer =
            self.ops(place).try_call("GET", "/ops/shards", None).await.ok().filter(|answer| answer.status == 200)?;
        let mut owned = std::collections::BTreeMap::new();
        for shard in answer.body["items"].as_array()? {
            if shard["state"] != "orphan" {
                *owned.entry(text(shard, "owner")).or_insert(0) += 1;
            }
        }
        Some(owned)
    }

    /// Where a conversation lives. Its organization is found by its list row, which trails its journal.
    pub(crate) async fn place(&self, asked: usize, conversation: &str) -> Value {
        let path = format!("/ops/entities/conversation/{conversation}");
        eventually(&format!("conversation {conversation} is found"), SOON, async || {
            let answer = self.ops(asked).get(&path).await;
            (answer.status != 404).then(|| answer.expect(200))
        })
        .await
    }

    /// The place of the node that owns a conversation.
    pub(crate) async fn owner_of(&self, asked: usize, conversation: &str) -> usize {
        let owner = text(&self.place(asked, conversation).await, "owner");
        (0..NODES).find(|&place| node_id(place) == owner).unwrap_or_else(|| panic!("{owner:?} owns {conversation}"))
    }

    /// Orders moves and waits for their ends.
    pub(crate) async fn ordered(&self, place: usize, path: &str, body: Value) -> usize {
        let accepted = self.ops(place).post(path, body).await.expect(202);
        let moves = accepted["moves"].as_array().unwrap_or_else(|| panic!("{path}: no moves in {accepted}")).clone();
        for planned in &moves {
            let path = format!("/ops/moves/{}", text(planned, "id"));
            eventually(&format!("move {planned}"), MOVED_WITHIN, async || {
                let answer =
                    self.ops(place).try_call("GET", &path, None).await.ok().filter(|answer| answer.status == 200)?;
                match answer.body["state"].as_str() {
                    Some("done") => Some(()),
                    Some("waiting" | "running") => None,
                    Some(_) | None => panic!("a move did not succeed: {}", answer.body),
                }
            })
            .await;
        }
        moves.len()
    }

    /// The sum of a node's metric over all its labels; 0 while nothing was counted.
    pub(crate) async fn metric(&self, place: usize, name: &str) -> f64 {
        self.sum(place, name, |_| true).await
    }

    async fn sum(&self, place: usize, name: &str, fits: impl Fn(&str) -> bool) -> f64 {
        let page = self.ops(place).get("/metrics").await;
        assert_eq!(page.status, 200, "{}", page.text);
        let own = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && fits(line);
        page.text.lines().filter(own).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// A node's journal appends that ended so.
    pub(crate) async fn appends(&self, place: usize, outcome: &str) -> f64 {
        let label = format!("outcome=\"{outcome}\"");
        self.sum(place, "colloquy_appends_total", |line| line.contains(&label)).await
    }

    /// A store over the cluster's keyspace, as a process that is none of its nodes would open it.
    pub(crate) async fn store(&self) -> Store {
        let replication = u8::try_from(self.cql.len()).expect("few servers");
        let config = ScyllaConfig { replication, ..ScyllaConfig::new(self.cql.clone(), &*self.keyspace) };
        colloquy_store::scylla::open(&config, colloquy_store::memory::open().blobs).await.expect("the store opens")
    }

    /// Which boot of a node the others see alive.
    pub(crate) async fn incarnation(&self, asked: usize, place: usize) -> Option<u64> {
        let answer =
            self.ops(asked).try_call("GET", "/ops/nodes", None).await.ok().filter(|answer| answer.status == 200)?;
        let nodes = answer.body["items"].as_array()?.clone();
        nodes
            .iter()
            .find(|node| node["id"] == json!(node_id(place)) && node["state"] == "alive")
            .map(|node| number(node, "incarnation"))
    }

    /// Ends the nodes and drops their keyspace.
    pub(crate) async fn end(mut self) {
        self.nodes.clear();
        eprintln!("the cluster was there for {:.1?}", self.begun.elapsed());
        // The next one may start beside what is left to do.
        drop(self.room);
        let begun = Instant::now();
        let session = SessionBuilder::new().known_nodes(&self.cql).fetch_schema_metadata(false).build().await;
        let session = session.expect("the CQL server answers");
        // A loaded server may need longer for it than a statement may take by default; it is dropped all the same.
        if let Err(error) = session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {}", self.keyspace), ()).await {
            eprintln!("{}: {error} after {:?}", self.keyspace, begun.elapsed());
        }
    }
}

/// How a node is called.
pub(crate) fn node_id(place: usize) -> String {
    format!("node-{}", place + 1)
}
