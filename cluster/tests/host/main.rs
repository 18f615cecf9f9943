//! The host over the memory store: what a node promises to its clients.

mod cluster;
mod commands;
mod doubles;
mod effects;
mod hostile;
#[path = "../ledger/mod.rs"]
mod ledger;
mod life;
mod switchboard;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use colloquy_cluster::client::Watch;
use colloquy_cluster::clock::TokioClock;
use colloquy_cluster::entity::{Entity, Resident};
use colloquy_cluster::frame::Answer;
use colloquy_cluster::record::state_hash;
use colloquy_cluster::{Ask, AskError, Client, EntityKey, Fate, Node, NodeConfig, Registry};
use colloquy_store::rows::Range;
use colloquy_store::{Store, memory};
use ledger::{Command, Ledger, Rejection, Reply, Script, key};

const START_MS: i64 = 1_700_000_000_000;

/// A store with a clock that goes on over restarts of the node.
struct Place {
    store: Store,
    clock: TokioClock,
    script: Arc<Script>,
}

impl Place {
    fn new() -> Self {
        Self { store: memory::open(), clock: TokioClock::starting_at(START_MS), script: Arc::default() }
    }

    fn config(&self) -> NodeConfig {
        let mut config = NodeConfig::new("n1", [7; 32]);
        config.shards = 16;
        config.clock = Arc::new(self.clock);
        config
    }

    async fn node(&self) -> Node {
        self.node_with(self.config()).await
    }

    async fn node_with(&self, config: NodeConfig) -> Node {
        let registry = Registry::new().entity(Ledger { script: self.script.clone() }).resident::<Board>(());
        Node::start(config, self.store.clone(), registry).await.expect("starts")
    }
}

/// A board that sums what it is told.
struct Board {
    generation: u64,
    told: u64,
    shown: u64,
}

impl Resident for Board {
    const KIND: &'static str = "board";
    const IDLE_AFTER_MS: i64 = 5_000;
    const TICK_MS: u64 = 50;
    type Env = ();

    async fn start(_env: Arc<()>, _client: Client, key: EntityKey, epoch: u64) -> Result<Self, String> {
        if &*key.id == "broken" {
            return Err("no such board".to_owned());
        }
        Ok(Self { generation: epoch, told: 0, shown: 0 })
    }

    async fn handle(&mut self, message: Bytes) -> Bytes {
        if message.is_empty() {
            return Bytes::from(format!("{}", self.generation));
        }
        self.told += 1;
        Bytes::from(format!("{}", self.told))
    }

    async fn tick(&mut self, _now_ms: i64) -> Vec<Bytes> {
        if self.shown == self.told {
            return vec![];
        }
        self.shown = self.told;
        vec![Bytes::from(format!("told {}", self.told))]
    }
}

async fn ask(client: &Client, id: &str, command: Command) -> Result<Reply, AskError<Rejection>> {
    client.ask::<Ledger>("acme", id, command, Ask::default()).await
}

async fn applied(client: &Client, id: &str) -> Vec<u64> {
    match ask(client, id, Command::Look).await {
        Ok(Reply::Look { applied, .. }) => applied,
        other => panic!("{other:?}"),
    }
}

/// Waits (in virtual time) until something holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..10_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn look() -> Bytes {
    Bytes::from(serde_json::to_vec(&Command::Look).expect("encodes"))
}

async fn jobs_done(client: &Client, id: &str) -> Vec<u64> {
    match ask(client, id, Command::Look).await {
        Ok(Reply::Look { jobs_done, .. }) => jobs_done,
        other => panic!("{other:?}"),
    }
}

impl Place {
    fn clock_ms(&self) -> i64 {
        colloquy_cluster::clock::Clock::now_ms(&self.clock)
    }
}

async fn client_of_a_board(client: &Client) {
    client.resident_ask(&EntityKey::new("acme", "board", "all"), Bytes::new()).await.expect("answers");
}
