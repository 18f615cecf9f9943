//! Several nodes over one store: take-over, moves under load, drains, what survives a move.

use std::collections::BTreeMap;
use std::sync::Mutex;

use colloquy_cluster::core::router::shard_of;
use colloquy_cluster::core::view::MoveState;
use colloquy_cluster::host::ops::Rebalance;
use colloquy_cluster::host::transport::TransportKind;
use doubles::{SlowJournal, StallingLeases};
use switchboard::Switchboard;

use super::*;

/// A store, a switchboard, and the nodes on it.
struct Town {
    place: Place,
    board: Switchboard,
}

/// A node and the leases it can be cut off from.
struct Citizen {
    node: Node,
    leases: Arc<StallingLeases>,
    journal: Arc<SlowJournal>,
    /// What it knows of ledgers beside their journals, by id.
    beside: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl Citizen {
    fn knows(&self, id: &str, what: &'static str) {
        self.beside.lock().expect("whole").insert(id.to_owned(), Bytes::from_static(what.as_bytes()));
    }
}

impl Town {
    fn new() -> Self {
        Self { place: Place::new(), board: Switchboard::default() }
    }

    async fn try_start(&self, id: &str) -> Result<Citizen, String> {
        let mut config = self.place.config();
        config.id = id.to_owned();
        config.replace = false;
        config.transport = TransportKind::Custom(self.board.plug());
        let mut store = self.place.store.clone();
        let (leases, journal) = doubles::stalling(&mut store);
        let beside: Arc<Mutex<BTreeMap<String, Bytes>>> = Arc::default();
        let known = beside.clone();
        let registry = Registry::new()
            .entity(Ledger { script: self.place.script.clone() })
            .resident::<Board>(())
            .beside(move |key| known.lock().expect("whole").get(&*key.id).cloned());
        match Node::start(config, store, registry).await {
            Ok(node) => Ok(Citizen { node, leases, journal, beside }),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn start(&self, id: &str) -> Citizen {
        self.try_start(id).await.expect("starts")
    }

    /// Three nodes, each with its share.
    async fn three() -> (Self, [Citizen; 3]) {
        let town = Self::new();
        let citizens = [town.start("n1").await, town.start("n2").await, town.start("n3").await];
        town.settled(&citizens[0].node, 3).await;
        (town, citizens)
    }

    /// Waits until so many nodes own all shards, evenly.
    async fn settled(&self, node: &Node, nodes: usize) {
        until("spread", || async {
            let shards = node.shards().await.expect("reads");
            let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
            for shard in shards.iter().filter(|shard| shard.owned && !shard.draining) {
                *owned.entry(&shard.owner).or_default() += 1;
            }
            let even = owned.values().max().zip(owned.values().min()).is_some_and(|(most, least)| most - least <= 1);
            owned.len() == nodes && owned.values().sum::<usize>() == shards.len() && even
        })
        .await;
    }

    /// The node is gone for all others, and cannot renew its lease.
    fn crash(&self, citizen: &Citizen, id: &str) {
        self.board.cut(id);
        citizen.leases.stalled.store(true, Ordering::SeqCst);
    }
}

/// Ids of ledgers whose shards a node owns.
async fn owned_by(node: &Node, owner: &str, count: usize) -> Vec<String> {
    let shards = node.shards().await.expect("reads");
    let ids = (0..).map(|number| format!("e{number}"));
    ids.filter(|id| shards[shard_of(&key(id), 16) as usize].owner == owner).take(count).collect()
}

async fn owner_of(node: &Node, id: &str) -> String {
    node.place(&key(id)).await.expect("reads").owner.unwrap_or_default()
}

async fn moved(node: &Node, shard: u32, to: &str) {
    let planned = node.move_shard(shard, to).await.expect("planned");
    until("moved", || async { !node.find_move(&planned.id).await.expect("known").state.is_active() }).await;
    let ended = node.find_move(&planned.id).await.expect("known");
    assert_eq!(ended.state, MoveState::Done, "{ended:?}");
}

fn patient(op: u64) -> Ask {
    Ask::keyed(format!("op-{op}")).within_ms(30_000)
}

async fn add(client: &Client, id: &str, op: u64) {
    client.ask::<Ledger>("acme", id, Command::Add { op, amount: 1 }, patient(op)).await.expect("added");
}

async fn look_at(client: &Client, id: &str) -> Vec<u64> {
    let ask = Ask::default().within_ms(30_000);
    match client.ask::<Ledger>("acme", id, Command::Look, ask).await {
        Ok(Reply::Look { applied, .. }) => applied,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn shards_are_shared_and_any_node_reaches_any_entity() {
    let (_town, citizens) = Town::three().await;
    for op in 0..60 {
        let id = format!("e{op}");
        add(&citizens[op as usize % 3].node.client(), &id, op).await;
        assert_eq!(look_at(&citizens[(op as usize + 1) % 3].node.client(), &id).await, [op]);
    }
    let nodes = citizens[1].node.nodes().await.expect("reads");
    assert_eq!(nodes.iter().filter(|node| node.steward).count(), 1);
    assert_eq!(nodes.iter().map(|node| node.shards).sum::<usize>(), 16);
    assert_eq!(citizens.iter().map(|citizen| citizen.node.status().shards).sum::<usize>(), 16);
    assert_eq!(nodes.iter().filter(|node| node.here).map(|node| node.id.as_str()).collect::<Vec<_>>(), ["n2"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_transport_breaks_ends_and_the_others_take_its_shards() {
    let (town, citizens) = Town::three().await;
    let id = owned_by(&citizens[1].node, "n1", 1).await.remove(0);
    add(&citizens[1].node.client(), &id, 1).await;
    town.board.break_plug("n1");
    assert_eq!(citizens[0].node.fate().await, Fate::TransportBroken("the plug is broken".to_owned()));
    assert!(!citizens[0].node.status().lease_valid);
    // As the process does with any fate: what it says last gives its lease back.
    citizens[0].node.shutdown(Duration::from_secs(5)).await;
    let before = tokio::time::Instant::now();
    add(&citizens[2].node.client(), &id, 2).await;
    assert!(before.elapsed() < Duration::from_secs(8), "nobody waits for its lease: {:?}", before.elapsed());
    assert_eq!(look_at(&citizens[1].node.client(), &id).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn shards_of_a_dead_node_are_taken_over_and_it_learns_that_it_is_dead() {
    let (town, citizens) = Town::three().await;
    let ids = owned_by(&citizens[1].node, "n1", 3).await;
    for (op, id) in (0..).zip(&ids) {
        add(&citizens[1].node.client(), id, op).await;
    }
    town.crash(&citizens[0], "n1");
    let before = tokio::time::Instant::now();
    for (op, id) in (0..).zip(&ids) {
        add(&citizens[2].node.client(), id, op + 100).await;
        assert_eq!(look_at(&citizens[1].node.client(), id).await, [op, op + 100], "nothing acknowledged is lost");
    }
    let took = before.elapsed();
    assert!(took >= Duration::from_secs(8), "not before the lease ended: {took:?}");
    assert!(took <= Duration::from_secs(16), "{took:?}");
    // Back again it finds its lease refused, and nothing it says counts.
    citizens[0].leases.stalled.store(false, Ordering::SeqCst);
    assert!(matches!(citizens[0].node.fate().await, Fate::LeaseLost(_)));
    let zombie = citizens[0].node.client().ask_raw(&key(&ids[0]), look(), Ask::default().within_ms(500)).await;
    assert!(!matches!(zombie, Answer::Ok(_)), "{zombie:?}");
    town.settled(&citizens[1].node, 2).await;
    // Under the same name it is a new incarnation and is given its share.
    let again = town.start("n1").await;
    town.settled(&again.node, 3).await;
    assert_eq!(look_at(&again.node.client(), &ids[0]).await, [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn what_one_node_erases_no_other_node_answers_or_reads_any_more() {
    let (town, citizens) = Town::three().await;
    let id = owned_by(&citizens[1].node, "n1", 1).await.remove(0);
    add(&citizens[1].node.client(), &id, 1).await;
    for citizen in &citizens {
        citizen.node.client().journal(&key(&id), 0, 10).await.expect("each has read its key");
    }
    citizens[1].node.client().erase(&key(&id)).await.expect("erases");
    for citizen in &citizens {
        let client = citizen.node.client();
        assert_eq!(ask(&client, &id, Command::Look).await, Err(AskError::Erased));
        assert!(client.journal(&key(&id), 0, 10).await.is_err());
    }
    // A node that dies meanwhile holds nobody up for longer than its lease.
    let other = owned_by(&citizens[1].node, "n2", 1).await.remove(0);
    add(&citizens[1].node.client(), &other, 2).await;
    town.crash(&citizens[0], "n1");
    citizens[1].node.client().erase(&key(&other)).await.expect("erases");
    assert_eq!(ask(&citizens[2].node.client(), &other, Command::Look).await, Err(AskError::Erased));
}

#[tokio::test(start_paused = true)]
async fn moves_under_load_lose_double_and_reorder_nothing() {
    let (_town, citizens) = Town::three().await;
    let ids = ["a", "b"];
    let shards: Vec<u32> = ids.iter().map(|id| shard_of(&key(id), 16)).collect();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut senders = vec![];
    for (number, citizen) in (0_u64..).zip(&citizens) {
        // Slow enough for a move to find appends in flight.
        citizen.journal.slow_ms.store(4, Ordering::SeqCst);
        for id in ids {
            let (client, stop) = (citizen.node.client(), stop.clone());
            senders.push(tokio::spawn(async move {
                let first = (number + 1) * 1_000_000;
                let mut sent = first;
                while !stop.load(Ordering::SeqCst) {
                    // A burst whose order must hold although nobody waits in between. `join_all` asks in order.
                    let burst: Vec<u64> = (sent..sent + 5).collect();
                    futures::future::join_all(burst.iter().map(|op| add(&client, id, *op))).await;
                    // A planned move leaves nobody in doubt: this one could not be asked again.
                    let keyless = Ask::default().within_ms(30_000);
                    let command = Command::Add { op: sent + 5, amount: 1 };
                    client.ask::<Ledger>("acme", id, command, keyless).await.expect("certain");
                    sent += 6;
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                (id, first..sent)
            }));
        }
    }
    for round in 0..12 {
        for shard in &shards {
            let owner = citizens[0].node.shards().await.expect("reads")[*shard as usize].owner.clone();
            let to = ["n1", "n2", "n3"].into_iter().filter(|to| *to != owner).nth(round % 2).expect("another");
            moved(&citizens[round % 3].node, *shard, to).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut sent: BTreeMap<&str, Vec<std::ops::Range<u64>>> = BTreeMap::new();
    for sender in senders {
        let (id, range) = sender.await.expect("all acknowledged");
        sent.entry(id).or_default().push(range);
    }
    for id in ids {
        let applied = look_at(&citizens[0].node.client(), id).await;
        let mut total = 0;
        for range in &sent[id] {
            let of_sender: Vec<u64> = applied.iter().copied().filter(|op| range.contains(op)).collect();
            assert_eq!(of_sender, range.clone().collect::<Vec<_>>(), "each once, in the sender's order");
            total += of_sender.len();
        }
        assert_eq!(applied.len(), total);
        let journal = citizens[0].node.client().journal(&key(id), 0, usize::MAX).await.expect("reads");
        assert!(journal.iter().map(|record| record.seq).eq(1..=journal.len() as u64), "gapless");
        assert!(journal.is_sorted_by_key(|record| record.epoch), "no interleaved epochs");
        let epochs = journal.iter().map(|record| record.epoch).collect::<std::collections::BTreeSet<_>>();
        assert!(epochs.len() > 5, "it really moved under traffic: {epochs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn drained_node_gives_everything_away_and_orders_that_contradict_are_told_apart() {
    let (town, citizens) = Town::three().await;
    let [one, two, _] = &citizens;
    let pinned =
        one.node.shards().await.expect("reads").into_iter().find(|shard| shard.owner == "n3").expect("one").shard;
    one.node.pin(pinned).await.expect("pinned");
    assert!(one.node.drain("n3").await.expect_err("pinned").is_contradiction());
    one.node.unpin(pinned).await.expect("unpinned");
    let ids = owned_by(&one.node, "n3", 2).await;
    add(&one.node.client(), &ids[0], 1).await;
    let moves = two.node.drain("n3").await.expect("planned");
    assert!(!moves.is_empty() && moves.iter().all(|planned| planned.from == "n3"));
    town.settled(&one.node, 2).await;
    for planned in &moves {
        until("done", || async { one.node.find_move(&planned.id).await.expect("known").state == MoveState::Done })
            .await;
    }
    assert_eq!(look_at(&citizens[2].node.client(), &ids[0]).await, [1], "it still serves its sockets");
    // What is there, what is not, what cannot be.
    assert!(one.node.move_shard(99, "n1").await.expect_err("shard").is_unknown());
    assert!(one.node.move_shard(0, "n9").await.expect_err("node").is_unknown());
    assert!(one.node.drain("n9").await.expect_err("node").is_unknown());
    assert!(one.node.cordon("n9").await.expect_err("node").is_unknown());
    assert!(one.node.pin(16).await.expect_err("shard").is_unknown());
    assert!(one.node.find_move("0-0").await.expect_err("move").is_unknown());
    assert!(one.node.cancel_move("0-0").await.expect_err("move").is_unknown());
    assert!(one.node.cancel_move(&moves[0].id).await.expect_err("done").is_contradiction());
    assert!(one.node.move_shard(0, "n3").await.expect_err("being emptied").is_contradiction());
    let owner = one.node.shards().await.expect("reads")[0].owner.clone();
    assert!(one.node.move_shard(0, &owner).await.expect_err("owns it").is_contradiction());
    one.node.undrain("n3").await.expect("undrained");
    assert!(one.node.undrain("n3").await.expect_err("is not").is_contradiction());
    // Spread by hand: first as a plan, which changes nothing.
    let plan = one.node.rebalance(Rebalance { dry_run: true, ..Rebalance::default() }).await.expect("planned");
    assert!(plan.len() >= 5, "{plan:?}");
    town.settled(&one.node, 2).await;
    one.node.pause().await.expect("paused");
    let few = one.node.rebalance(Rebalance { max_moves: 2, dry_run: false }).await.expect("planned");
    assert_eq!(few.len(), 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(one.node.find_move(&few[0].id).await.expect("known").state, MoveState::Waiting, "paused");
    one.node.cancel_move(&few[0].id).await.expect("called off");
    one.node.resume().await.expect("resumed");
    until("done", || async { one.node.find_move(&few[1].id).await.expect("known").state == MoveState::Done }).await;
    assert_eq!(one.node.find_move(&few[0].id).await.expect("known").state, MoveState::Cancelled);
    one.node.cordon("n3").await.expect("cordoned");
    assert!(one.node.rebalance(Rebalance::default()).await.expect("planned").is_empty(), "cordoned nodes get nothing");
}

#[tokio::test(start_paused = true)]
async fn node_that_leaves_hands_over_and_nobody_waits_for_its_lease() {
    let (town, citizens) = Town::three().await;
    let [one, two, three] = citizens;
    let ids = owned_by(&one.node, "n1", 2).await;
    add(&two.node.client(), &ids[0], 1).await;
    let asking = {
        let (client, id) = (two.node.client(), ids[0].clone());
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for op in 2..400 {
                let asked = tokio::time::Instant::now();
                add(&client, &id, op).await;
                longest = longest.max(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            longest
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(one.node.shutdown(Duration::from_secs(10)).await);
    assert_eq!(one.node.fate().await, Fate::Stopped);
    let longest = asking.await.expect("all answered");
    assert!(longest < Duration::from_secs(1), "a pause, not a lease: {longest:?}");
    town.settled(&two.node, 2).await;
    assert_eq!(look_at(&three.node.client(), &ids[0]).await, (1..400).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn second_node_of_the_same_name_is_refused_while_the_first_lives() {
    let town = Town::new();
    let first = town.start("n1").await;
    let error = town.try_start("n1").await.err().expect("refused");
    assert!(error.contains("n1 runs elsewhere"), "{error}");
    assert!(first.node.status().lease_valid);
    // One that crashed is waited for, also when nobody else is there to bury it.
    town.crash(&first, "n1");
    let again = town.start("n1").await;
    until("all taken", || async { again.node.shards().await.expect("reads").iter().all(|shard| shard.owned) }).await;
    add(&again.node.client(), "a", 1).await;
}

#[tokio::test(start_paused = true)]
async fn effect_survives_the_move_of_its_entity_and_runs_once() {
    let (town, citizens) = Town::three().await;
    let client = citizens[0].node.client();
    let shard = shard_of(&key("a"), 16);
    let from = owner_of(&citizens[0].node, "a").await;
    let to = if from == "n2" { "n3" } else { "n2" };
    ask(&client, "a", Command::StartJob { op: 1 }).await.expect("started");
    until("runs", || async { town.place.script.started.load(Ordering::SeqCst) == 1 }).await;
    moved(&citizens[0].node, shard, to).await;
    assert_eq!(look_at(&client, "a").await, [1], "active on its new node");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(town.place.script.started.load(Ordering::SeqCst), 1, "the new owner knows that it runs elsewhere");
    town.place.script.may_finish.add_permits(1);
    until("done", || async { jobs_done(&client, "a").await == [1] }).await;
    assert_eq!(town.place.script.started.load(Ordering::SeqCst), 1);
    // One that is no longer wanted is cancelled where it runs.
    ask(&client, "a", Command::StartJob { op: 2 }).await.expect("started");
    until("runs", || async { town.place.script.started.load(Ordering::SeqCst) == 2 }).await;
    moved(&citizens[0].node, shard, &from).await;
    ask(&client, "a", Command::CancelJob { op: 2 }).await.expect("cancelled");
    until("cancelled", || async { town.place.script.cancelled.load(Ordering::SeqCst) == 1 }).await;
}

/// What the nodes know of a ledger beside its journal, asked through one of them.
async fn beside(asked: &Citizen, id: &str) -> Vec<Bytes> {
    asked.node.client().beside(&key(id)).await
}

#[tokio::test(start_paused = true)]
async fn what_one_node_knows_beside_the_journal_any_node_can_tell() {
    let (town, citizens) = Town::three().await;
    citizens[1].knows("a", "half an answer");
    for asked in &citizens {
        assert_eq!(beside(asked, "a").await, ["half an answer"]);
        assert_eq!(beside(asked, "b").await, [] as [&str; 0]);
    }
    citizens[0].knows("a", "another half");
    assert_eq!(beside(&citizens[0], "a").await, ["another half", "half an answer"], "the own one first");
    // One that takes its time costs a moment and not the question; so does one that is cut off.
    for fault in [|town: &Town| town.board.delay("n2", Duration::from_secs(5)), |town: &Town| town.board.cut("n2")] {
        fault(&town);
        let asked = tokio::time::Instant::now();
        assert_eq!(beside(&citizens[2], "a").await, ["another half"]);
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    }
}

/// Far less than what is left of a job's time when the node it ran on goes.
const LONG_BEFORE_ITS_DEADLINE: Duration = Duration::from_millis(ledger::JOB_DEADLINE_MS as u64 / 2);

#[tokio::test(start_paused = true)]
async fn effect_of_a_moved_entity_begins_again_when_the_node_it_ran_on_is_dead() {
    let (town, citizens) = Town::three().await;
    let shard = shard_of(&key("a"), 16);
    let from = owner_of(&citizens[0].node, "a").await;
    let (dying, staying): (Vec<_>, Vec<_>) =
        ["n1", "n2", "n3"].into_iter().zip(&citizens).partition(|(id, _)| *id == from);
    let client = staying[0].1.node.client();
    ask(&client, "a", Command::StartJob { op: 1 }).await.expect("started");
    until("runs", || async { town.place.script.started.load(Ordering::SeqCst) == 1 }).await;
    moved(&staying[0].1.node, shard, staying[1].0).await;
    assert_eq!(look_at(&client, "a").await, [1]);
    town.crash(dying[0].1, dying[0].0);
    let died = tokio::time::Instant::now();
    until("begun again", || async { town.place.script.started.load(Ordering::SeqCst) == 2 }).await;
    let after = died.elapsed();
    assert!(after < LONG_BEFORE_ITS_DEADLINE, "not only at its deadline: {after:?}");
    town.place.script.may_finish.add_permits(2);
    until("done", || async { jobs_done(&client, "a").await == [1] }).await;
}

#[tokio::test(start_paused = true)]
async fn effect_of_a_node_that_leaves_begins_again_although_its_word_that_it_runs_arrives_afterwards() {
    let (town, citizens) = Town::three().await;
    let from = owner_of(&citizens[0].node, "a").await;
    let (leaving, staying): (Vec<_>, Vec<_>) =
        ["n1", "n2", "n3"].into_iter().zip(&citizens).partition(|(id, _)| *id == from);
    let to = staying[0];
    ask(&to.1.node.client(), "a", Command::StartJob { op: 1 }).await.expect("started");
    until("runs", || async { town.place.script.started.load(Ordering::SeqCst) == 1 }).await;
    // Asked by the new owner it says that it runs the effect; it is gone before that arrives.
    town.board.delay(leaving[0].0, Duration::from_millis(900));
    to.1.node.move_shard(shard_of(&key("a"), 16), to.0).await.expect("planned");
    until("handed over", || async { owner_of(&to.1.node, "a").await == to.0 }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    leaving[0].1.node.shutdown(Duration::from_secs(10)).await;
    let left = tokio::time::Instant::now();
    until("begun again", || async { town.place.script.started.load(Ordering::SeqCst) == 2 }).await;
    let after = left.elapsed();
    assert!(after < LONG_BEFORE_ITS_DEADLINE, "not only at its deadline: {after:?}");
    town.place.script.may_finish.add_permits(2);
    until("done", || async { jobs_done(&to.1.node.client(), "a").await == [1] }).await;
}

#[tokio::test(start_paused = true)]
async fn timer_fires_on_the_new_owner_without_traffic() {
    let (town, citizens) = Town::three().await;
    let node = &citizens[0].node;
    let at_ms = town.place.clock_ms() + 60_000;
    ask(&node.client(), "a", Command::Remind { op: 1, at_ms }).await.expect("set");
    let shard = shard_of(&key("a"), 16);
    let from = owner_of(node, "a").await;
    moved(node, shard, if from == "n2" { "n3" } else { "n2" }).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(node.client().journal(&key("a"), 1, 1).await.expect("reads").len(), 0, "not before it is due");
    until("fired", || async {
        let journal = node.client().journal(&key("a"), 1, 1).await.expect("reads");
        journal.first().is_some_and(|record| record.at_ms >= at_ms && record.event.get("Reminded").is_some())
    })
    .await;
    assert!(town.place.clock_ms() < at_ms + 2_000);
}

#[tokio::test(start_paused = true)]
async fn resident_lives_with_its_shard_and_is_reached_from_everywhere() {
    let (_town, citizens) = Town::three().await;
    let board = EntityKey::new("acme", "board", "all");
    let shard = shard_of(&board, 16);
    let generation = async |client: Client| {
        let answer = client.resident_ask(&board, Bytes::new()).await.expect("answers");
        String::from_utf8(answer.to_vec()).expect("text").parse::<u64>().expect("a number")
    };
    let first = generation(citizens[0].node.client()).await;
    for citizen in &citizens {
        assert_eq!(generation(citizen.node.client()).await, first, "there is one");
    }
    // Somebody follows it on each node, so it is kept, and is there again after a move without being asked.
    let watches: Vec<_> = citizens.iter().map(|citizen| citizen.node.client().watch(&board)).collect();
    let owner = citizens[0].node.shards().await.expect("reads")[shard as usize].owner.clone();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(generation(citizens[1].node.client()).await, first, "kept by watchers on other nodes");
    let to = if owner == "n1" { "n2" } else { "n1" };
    moved(&citizens[0].node, shard, to).await;
    let second = generation(citizens[2].node.client()).await;
    assert!(second > first, "a new generation under a higher epoch");
    // Notes reach it from a ledger on whichever node.
    let (mut watches, mut told) = (watches, 0);
    let here = ["n1", "n2", "n3"].iter().position(|id| *id == to).expect("one");
    for op in 0..30 {
        let add = Command::Add { op, amount: 1 };
        let ask = Ask::default().after_rows();
        citizens[op as usize % 3]
            .node
            .client()
            .ask::<Ledger>("acme", &format!("e{op}"), add, ask)
            .await
            .expect("added");
    }
    while told < 30 {
        let next = tokio::time::timeout(Duration::from_secs(5), watches[here].next()).await.expect("in time");
        let Some(Watch::Frame { bytes }) = next else { panic!("{next:?}") };
        told = String::from_utf8(bytes.to_vec()).expect("text").trim_start_matches("told ").parse().expect("a number");
    }
    assert_eq!(told, 30, "every fact once");
}
