//! The walk that the cluster was built for: two visitors at two frontends, somebody who watches at a third, a drain of the node that owns both
//! conversations, then the sudden end of another.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::{Web, Widget};
use crate::nodes::{Cluster, MOVED_WITHIN, NODES, Plan, node_id};
use crate::support::eventually;
use crate::support::people::{Member, number, text};
use crate::support::screen::Screen;
use crate::support::socket::Socket;

/// What operators start with.
const SHARDS: u32 = 1_024;
/// Includes the ten seconds until a dead node is dead for sure, on a busy machine.
const SAID_WITHIN: Duration = Duration::from_secs(30);
/// Conversations begun until two live on the same node: of three nodes, four are enough.
const BEGUN_MAX: usize = NODES + 1;
/// A board that was open all the time shows what is counted.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);
/// How long a board is listened to.
const LOOK: Duration = Duration::from_millis(100);
/// Messages of each visitor between two events.
const TURNS: usize = 4;

/// A visitor with an open widget.
struct Talk {
    widget: Widget,
    socket: Socket,
    /// The frontend that it is at, counted on.
    at: usize,
}

impl Talk {
    async fn begin(web: &Web, at: usize) -> Self {
        let (mut widget, mut at) = (Widget::new(), at);
        let mut socket = widget.connect(web, &mut at).await;
        widget.ask(web, &mut at, &mut socket).await;
        Self { widget, socket, at }
    }

    /// Another connection, at this frontend.
    async fn moves_to(&mut self, web: &Web, frontend: usize) {
        self.at = frontend;
        self.socket = self.widget.connect(web, &mut self.at).await;
    }

    async fn go_on(&mut self, web: &Web) {
        for _ in 0..TURNS {
            self.widget.ask(web, &mut self.at, &mut self.socket).await;
        }
    }

    /// Says something whenever another part of a node's shards is gone.
    async fn go_on_while_drained(&mut self, web: &Web, cluster: &Cluster, asked: usize, node: &str) {
        let all = cluster.shards / NODES;
        for turn in 0..=TURNS {
            eventually(&format!("{turn} of {TURNS} parts of {node} are gone"), MOVED_WITHIN, async || {
                let owned = cluster.owned(asked).await?;
                (owned.get(node).copied().unwrap_or_default() * TURNS <= all * (TURNS - turn) + TURNS).then_some(())
            })
            .await;
            self.widget.ask(web, &mut self.at, &mut self.socket).await;
        }
    }

    fn conversation(&self) -> &str {
        self.widget.conversation.as_str().expect("a conversation")
    }
}

/// Two visitors whose conversations one node owns.
async fn two_on_one_node(cluster: &Cluster, web: &Web) -> (usize, [Talk; 2]) {
    let mut begun: Vec<(usize, Talk)> = Vec::new();
    for n in 0..BEGUN_MAX {
        let talk = Talk::begin(web, n).await;
        let owner = cluster.owner_of(0, talk.conversation()).await;
        if let Some(at) = begun.iter().position(|(known, _)| *known == owner) {
            let (_, first) = begun.swap_remove(at);
            return (owner, [first, talk]);
        }
        begun.push((owner, talk));
    }
    panic!("{BEGUN_MAX} conversations on {NODES} nodes, and no two on the same");
}

/// Takes what comes to the boards, for a moment each.
async fn take(boards: &mut [Screen; 2]) {
    for screen in boards {
        while let Ok(taken) = tokio::time::timeout(LOOK, screen.look(SHOWN_WITHIN)).await {
            taken.expect("the watcher's connection stands");
        }
    }
}

/// Somebody watches while something is done: a socket whose peer reads nothing is given up by the server after a while.
async fn meanwhile<T>(boards: &mut [Screen; 2], done: impl Future<Output = T>) -> T {
    tokio::pin!(done);
    loop {
        tokio::select! {
            done = &mut done => return done,
            () = take(boards) => {}
        }
    }
}

/// Takes what comes until the boards show what the journals say.
async fn watched(owner: &Member, boards: &mut [Screen; 2]) {
    eventually("the open boards show what is counted", SHOWN_WITHIN, async || {
        take(boards).await;
        let [overview, conversations] = &*boards;
        let counted = owner.api.get("/api/analytics/overview?window=24h").await;
        let counted = (counted.body["total_conversations"].as_i64()?, counted.body["messages"].as_i64()?);
        let listed = owner.api.list("/api/conversations").await;
        let shown = |row: &serde_json::Value| {
            let entry = &conversations.data[text(row, "id")];
            entry["message_count"] == row["message_count"]
        };
        let equal = (overview.count("total_conversations"), overview.count("messages")) == counted;
        (equal && listed.iter().all(shown)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_conversations_outlive_the_drain_of_their_node_and_the_sudden_end_of_another() {
    let mut plan = Plan::usual();
    plan.shards = SHARDS;
    let begun = Instant::now();
    let mut cluster = Cluster::start(plan).await;
    eprintln!("{SHARDS} shards shared after {:?}", begun.elapsed());
    let (owner, agent) = cluster.business().await;
    let web = Web::new(cluster.frontends(), &agent, SAID_WITHIN);
    let (drained, [mut one, mut other]) = two_on_one_node(&cluster, &web).await;
    // One talks through each of the other two frontends, and the third one is watched.
    let (first, second) = ((drained + 1) % NODES, (drained + 2) % NODES);
    one.moves_to(&web, first).await;
    other.moves_to(&web, second).await;
    let watcher = owner.at(&cluster.nodes[drained]);
    let mut boards = [
        Screen::open(&cluster.nodes[drained], &watcher, "overview").await,
        Screen::open(&cluster.nodes[drained], &watcher, "conversations").await,
    ];
    meanwhile(&mut boards, async { tokio::join!(one.go_on(&web), other.go_on(&web)) }).await;

    // They talk while it is drained, not only afterwards.
    let begun = Instant::now();
    let path = format!("/ops/nodes/{}/drain", node_id(drained));
    let leaving = node_id(drained);
    let drain = async {
        tokio::join!(
            cluster.ordered(first, &path, json!({})),
            one.go_on_while_drained(&web, &cluster, first, &leaving),
            other.go_on_while_drained(&web, &cluster, second, &leaving)
        )
    };
    let (moved, (), ()) = meanwhile(&mut boards, drain).await;
    eprintln!("{moved} shards drained in {:?}", begun.elapsed());
    assert!(moved > SHARDS as usize / NODES / 2, "{moved} shards moved");
    let mut owners = [0; 2];
    for (owner, talk) in owners.iter_mut().zip([&one, &other]) {
        *owner = cluster.owner_of(second, talk.conversation()).await;
        assert_ne!(*owner, drained, "drained, and still an owner");
    }
    watched(&watcher, &mut boards).await;

    let dead = owners[0];
    let begun = Instant::now();
    cluster.nodes[dead].kill();
    meanwhile(&mut boards, async { tokio::join!(one.go_on(&web), other.go_on(&web)) }).await;
    eprintln!("both conversations went on within {:?} of the end of {}", begun.elapsed(), node_id(dead));
    let left: Vec<usize> = (0..NODES).filter(|&place| place != dead).collect();
    watched(&watcher, &mut boards).await;
    for talk in [&one, &other] {
        let journal = watcher.journal(talk.conversation()).await;
        let epochs: BTreeSet<u64> = journal.iter().map(|entry| number(entry, "epoch")).collect();
        eprintln!("{} lived under the epochs {epochs:?}", talk.conversation());
        assert!(epochs.len() > 1, "it was never moved while somebody talked in it: {epochs:?}");
    }
    web.history().check(&cluster, &watcher, &left).await;
    cluster.end().await;
}
