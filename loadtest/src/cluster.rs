//! Several nodes of our own over one CQL server and one Redis, with the calls that operators give them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::http_client::Client;
use crate::options::Options;
use crate::server::{Home, Membership, Process, Server, Wanted, start_redis};
use crate::turn::visitor_id;
use crate::usage::Usage;

/// Names the CQL servers, and their processes, as `scripts/cql-server run` sets them.
const CQL: &str = "COLLOQUY_TEST_CQL";
const CQL_PROCESSES: &str = "COLLOQUY_TEST_CQL_PROCESSES";
/// How long sharing the shards, or moving all of a node's, may take: several times what a busy machine needs for a thousand of them.
const SHARED_WITHIN: Duration = Duration::from_secs(180);
/// How often the progress of many moves is told.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// How often the operators' calls are asked again while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Shards at full scale, as there are by default; a smaller run has less to move.
const SHARDS: u64 = 1024;
/// Enough that each node has some.
const SHARDS_LEAST: u64 = 48;
/// How often an order is given that is refused for now.
const ORDER_TRIES: u32 = 20;

/// The CQL server of a scenario: the one that the environment names, or one of its own.
#[derive(Debug)]
pub(crate) struct Cql {
    /// `host:port` of each.
    pub(crate) servers: Vec<String>,
    /// Their processes, where they are known.
    processes: Vec<u32>,
    /// What removes it when it is no longer wanted: the script and the folder.
    own: Option<(PathBuf, TempDir)>,
}

/// A node that runs or does not.
#[derive(Debug)]
struct Node {
    id: String,
    home: Home,
    server: Option<Server>,
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    /// What a balancer knows of them.
    pub(crate) balancer: Arc<Balancer>,
    token: String,
    shards: u64,
    cql: Arc<Cql>,
    _redis: Process,
    _blobs: TempDir,
}

/// Sends visitors to nodes that take them, one after the other, as a balancer does that asks each whether it is ready.
#[derive(Debug)]
pub(crate) struct Balancer {
    frontends: Vec<(AtomicBool, Arc<Client>)>,
    next: AtomicUsize,
}

impl Cql {
    /// The one that the environment names; else one that `scripts/cql-server` starts, and that ends with this.
    pub(crate) async fn start(options: &Options) -> Result<Arc<Self>> {
        if let Ok(servers) = std::env::var(CQL) {
            let processes = std::env::var(CQL_PROCESSES).unwrap_or_default();
            let processes = processes.split(',').filter_map(|id| id.parse().ok()).collect();
            return Ok(Arc::new(Self { servers: split(&servers), processes, own: None }));
        }
        let checkout = options.checkout.as_ref();
        let script = checkout.map(|folder| folder.join("scripts/cql-server")).ok_or_else(|| {
            Error::Setup("this scenario starts a CQL server with scripts/cql-server: run it in the checkout".into())
        })?;
        let failed = |source| Error::io("scripts/cql-server could not be run", source);
        let folder =
            tempfile::Builder::new().prefix("colloquy-loadtest-cql-").tempdir_in(&options.scratch).map_err(failed)?;
        let mut cql = Self { servers: Vec::new(), processes: Vec::new(), own: Some((script.clone(), folder)) };
        let Some((_, folder)) = &cql.own else { return Ok(Arc::new(cql)) };
        eprintln!("    … starting a CQL server");
        let mut command = tokio::process::Command::new(&script);
        command.args(["start", "--port", "auto", "--dir"]).arg(folder.path()).stdin(Stdio::null());
        let started = command.output().await.map_err(failed)?;
        if !started.status.success() {
            let said = String::from_utf8_lossy(&started.stderr).trim().to_owned();
            return Err(Error::Setup(format!("no CQL server: {said}")));
        }
        let process = std::fs::read_to_string(folder.path().join("node1/pid")).map_err(failed)?;
        cql.processes = process.trim().parse().into_iter().collect();
        cql.servers = split(String::from_utf8_lossy(&started.stdout).trim());
        Ok(Arc::new(cql))
    }

    /// Processor time that the servers have used; none where their processes are not known.
    pub(crate) fn cpu(&self) -> Result<Option<Duration>> {
        let used = self.processes.iter().map(|&process| Usage::of(process).map(|usage| usage.cpu));
        let used: Vec<Duration> = used.collect::<Result<_>>()?;
        Ok((!used.is_empty()).then(|| used.iter().sum()))
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        if let Some((script, folder)) = &self.own {
            // It takes a moment, and whoever started it waits for it: nothing is left behind.
            let removed = std::process::Command::new(script).arg("remove").arg("--dir").arg(folder.path()).status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("the CQL server in {} could not be removed", folder.path().display());
            }
        }
    }
}

fn split(servers: &str) -> Vec<String> {
    servers.split(',').map(str::to_owned).collect()
}

impl Balancer {
    /// One that has nothing to choose.
    pub(crate) fn of_one(client: &Arc<Client>) -> Self {
        Self { frontends: vec![(AtomicBool::new(true), Arc::clone(client))], next: AtomicUsize::new(0) }
    }

    /// The next frontend that takes visitors.
    pub(crate) fn pick(&self) -> Arc<Client> {
        let count = self.frontends.len();
        let begin = self.next.fetch_add(1, Ordering::Relaxed);
        let open = (0..count).map(|step| (begin + step) % count);
        let mut open = open.filter(|&place| self.frontends[place].0.load(Ordering::Relaxed));
        Arc::clone(&self.frontends[open.next().unwrap_or(begin % count)].1)
    }

    fn set(&self, place: usize, open: bool) {
        self.frontends[place].0.store(open, Ordering::Relaxed);
    }
}

impl Cluster {
    /// Starts so many nodes on a keyspace of their own and waits until they have shared the shards.
    pub(crate) async fn start(options: &Options, wanted: &Wanted, cql: &Arc<Cql>, count: usize) -> Result<Self> {
        let (redis, url) = start_redis(&options.scratch).await?;
        let blobs = tempfile::Builder::new().prefix("colloquy-loadtest-").tempdir_in(&options.scratch);
        let blobs =
            blobs.map_err(|source| Error::io("no folder could be made for what the nodes share".to_owned(), source))?;
        let (keyspace, token) = (format!("loadtest_{}", &visitor_id()[..16]), visitor_id());
        let key = format!("{}{}", visitor_id(), visitor_id());
        let shards = options.scaled(SHARDS, SHARDS_LEAST);
        let mut nodes = Vec::new();
        for number in 1..=count {
            let id = format!("node-{number}");
            let membership = Membership {
                node: id.clone(),
                cql: cql.servers.clone(),
                keyspace: keyspace.clone(),
                redis: url.clone(),
                blobs: PathBuf::from(blobs.path()),
                token: token.clone(),
                key: key.clone(),
                shards,
            };
            let home = Home::among(options, wanted, &membership)?;
            // The first one makes the tables.
            let server = home.start().await?;
            nodes.push(Node { id, home, server: Some(server) });
        }
        let open = |node: &Node| node.server.as_ref().map(|server| (AtomicBool::new(true), Arc::clone(&server.client)));
        let balancer =
            Arc::new(Balancer { frontends: nodes.iter().filter_map(open).collect(), next: AtomicUsize::new(0) });
        let cluster = Self { nodes, balancer, token, shards, cql: Arc::clone(cql), _redis: redis, _blobs: blobs };
        cluster.shared().await?;
        Ok(cluster)
    }

    /// The first node's frontend, for setting up.
    pub(crate) fn client(&self) -> Result<Arc<Client>> {
        self.running(0).map(|server| Arc::clone(&server.client))
    }

    /// Does something; ends with a node's last words if it ends meanwhile. Nodes that are stopped on purpose are not waited for.
    pub(crate) async fn watch<T>(&self, place: usize, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.running(place)?.process.watch(work).await
    }

    /// Processor time of all nodes that run.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let running = self.nodes.iter().filter_map(|node| node.server.as_ref());
        let used: Vec<Duration> = running.map(|server| server.usage().map(|usage| usage.cpu)).collect::<Result<_>>()?;
        Ok(used.iter().sum())
    }

    /// Processor time of the CQL servers, where it is known.
    pub(crate) fn cql_cpu(&self) -> Result<Option<Duration>> {
        self.cql.cpu()
    }

    /// Kills a node as a power failure would. The balancer learns of it at once: how long that takes is its own affair.
    pub(crate) async fn kill(&mut self, place: usize) -> Result<()> {
        self.balancer.set(place, false);
        match self.nodes[place].server.take() {
            Some(server) => server.process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops a node in order, once nobody is sent to it.
    pub(crate) async fn stop(&mut self, place: usize) -> Result<()> {
        self.balancer.set(place, false);
        match self.nodes[place].server.take() {
            Some(server) => server.process.stop().await,
            None => Ok(()),
        }
    }

    /// Starts a node again, and waits until it has its share.
    pub(crate) async fn restart(&mut self, place: usize) -> Result<()> {
        let node = &mut self.nodes[place];
        node.server = Some(node.home.start().await?);
        self.balancer.set(place, true);
        self.shared().await
    }

    /// Ends all of them.
    pub(crate) async fn end(mut self) -> Result<()> {
        for place in 0..self.nodes.len() {
            self.stop(place).await?;
        }
        Ok(())
    }

    /// Moves a share of one node's shards to another; returns how many.
    pub(crate) async fn move_some(&self, from: usize, to: usize, most: usize) -> Result<usize> {
        let (from, to) = (&self.nodes[from].id, &self.nodes[to].id);
        let shards = self.ops(Method::GET, &format!("/ops/shards?owner={from}"), None).await?;
        let shards = shards["items"].as_array().cloned().unwrap_or_default();
        let mut orders = Vec::new();
        for shard in shards.iter().filter(|shard| shard["state"] == "owned").take(most) {
            let path = format!("/ops/shards/{}/move", shard["id"]);
            let accepted = self.ops(Method::POST, &path, Some(json!({ "to": to }))).await?;
            orders.extend(moves_of(&accepted));
        }
        self.done(&orders).await
    }

    /// Empties a node while the balancer sends nobody new, then lets it take its share again; returns how many shards moved.
    pub(crate) async fn drain_and_fill(&self, place: usize) -> Result<usize> {
        let id = &self.nodes[place].id;
        self.balancer.set(place, false);
        let accepted = self.ops(Method::POST, &format!("/ops/nodes/{id}/drain"), Some(json!({}))).await?;
        let left = self.done(&moves_of(&accepted)).await?;
        self.ops(Method::POST, &format!("/ops/nodes/{id}/uncordon"), Some(json!({}))).await?;
        self.balancer.set(place, true);
        let accepted = self.ops(Method::POST, "/ops/rebalance", Some(json!({}))).await?;
        Ok(left + self.done(&moves_of(&accepted)).await?)
    }

    /// Waits until the moves have ended, and says now and then how many have; one that failed may be given again and is not counted.
    async fn done(&self, orders: &[String]) -> Result<usize> {
        let begun = Instant::now();
        let mut told = begun;
        // One call shows them all: a call for each would read the tables as often as there are moves.
        self.eventually(&format!("the end of {} moves", orders.len()), async || {
            let shown = self.ops(Method::GET, "/ops/moves", None).await.ok()?;
            let ended = ended(orders, &shown);
            if ended.len() < orders.len() && told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                eprintln!("    … {} of {} moves have ended after {:.0?}", ended.len(), orders.len(), begun.elapsed());
            }
            (ended.len() == orders.len()).then(|| ended.iter().filter(|state| **state == "done").count())
        })
        .await
    }

    /// Waits until the nodes that run own all shards between them, each a fair part.
    async fn shared(&self) -> Result<()> {
        let begun = Instant::now();
        let running: Vec<&str> =
            self.nodes.iter().filter(|node| node.server.is_some()).map(|node| node.id.as_str()).collect();
        self.eventually("the nodes' sharing of the shards", async || {
            let nodes = self.ops(Method::GET, "/ops/nodes", None).await.ok()?;
            let owned = |id: &str| {
                let items = nodes["items"].as_array()?;
                let node = items.iter().find(|node| node["id"] == id && node["state"] == "alive")?;
                node["shards"].as_u64()
            };
            let owned: Vec<u64> = running.iter().map(|id| owned(id)).collect::<Option<_>>()?;
            let all: u64 = owned.iter().sum();
            let fair = self.shards / running.len() as u64 / 2;
            (all == self.shards && owned.iter().all(|&own| own >= fair)).then_some(())
        })
        .await?;
        eprintln!("    … {} nodes share {} shards after {:.1?}", running.len(), self.shards, begun.elapsed());
        Ok(())
    }

    async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if begun.elapsed() > SHARED_WITHIN {
                return Err(Error::NotInTime { what: what.to_owned(), after: SHARED_WITHIN });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An operators' call of the first node that runs; all give the same answers. What the tables do not take now is asked again, as the answer says.
    async fn ops(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let server = self.nodes.iter().find_map(|node| node.server.as_ref());
        let server = server.ok_or_else(|| Error::Setup("no node runs".into()))?;
        let mut tries = ORDER_TRIES;
        loop {
            match server.ops.call(method.clone(), path, Some(&self.token), body.as_ref()).await {
                Err(Error::Refused { status: 503, .. }) if tries > 1 => tries -= 1,
                outcome => return outcome,
            }
            tokio::time::sleep(LOOK_EVERY * 5).await;
        }
    }

    fn running(&self, place: usize) -> Result<&Server> {
        self.nodes[place].server.as_ref().ok_or_else(|| Error::Setup(format!("{} does not run", self.nodes[place].id)))
    }
}

/// How those of the ordered moves ended that are not under way any more.
fn ended(orders: &[String], shown: &Value) -> Vec<String> {
    let shown: BTreeMap<&str, &str> = shown["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|planned| Some((planned["id"].as_str()?, planned["state"].as_str()?)))
        .collect();
    // What is remembered is bounded, and only what has ended is forgotten.
    let states = orders.iter().map(|order| shown.get(order.as_str()).copied().unwrap_or("forgotten"));
    states.filter(|state| *state != "waiting" && *state != "running").map(str::to_owned).collect()
}

fn moves_of(accepted: &Value) -> Vec<String> {
    let moves = accepted["moves"].as_array().into_iter().flatten();
    moves.filter_map(|planned| planned["id"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_goes_round_and_passes_over_who_takes_nobody() {
        let client = |port: u16| Client::new(([127, 0, 0, 1], port).into());
        let frontends = [1, 2, 3].map(|port| (AtomicBool::new(true), client(port)));
        let balancer = Balancer { frontends: frontends.into(), next: AtomicUsize::new(0) };
        let ports = |balancer: &Balancer| (0..4).map(|_| balancer.pick().server().port()).collect::<Vec<_>>();
        assert_eq!(ports(&balancer), [1, 2, 3, 1]);
        balancer.set(1, false);
        assert!(!ports(&balancer).contains(&2));
        for place in 0..3 {
            balancer.set(place, false);
        }
        // With nobody ready somebody has to say so.
        assert_eq!(ports(&balancer).len(), 4);
    }

    #[test]
    fn moves_under_way_are_waited_for_and_those_that_nobody_remembers_are_not() {
        let orders = ["1-1", "2-1", "3-1", "4-1", "5-1"].map(str::to_owned);
        let states = [("1-1", "done"), ("2-1", "running"), ("3-1", "waiting"), ("4-1", "failed"), ("9-1", "done")];
        let items: Vec<Value> = states.iter().map(|(id, state)| json!({ "id": id, "state": state })).collect();
        assert_eq!(ended(&orders, &json!({ "items": items })), ["done", "failed", "forgotten"]);
    }

    #[test]
    fn an_order_names_its_moves() {
        assert_eq!(moves_of(&json!({ "moves": [{ "id": "3-7" }, { "id": "4-1" }] })), ["3-7", "4-1"]);
        assert!(moves_of(&json!({})).is_empty());
    }
}
