//! What only the ScyllaDB store has: replies that get lost, requests that come late, buckets, migrations, damage.
#![cfg(feature = "scylla")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use colloquy_store::journal::{Append, Snapshot};
use colloquy_store::rows::{Range, Row};
use colloquy_store::scylla::{ScyllaConfig, ScyllaTimeouts, open};
use colloquy_store::wake::Wake;
use colloquy_store::{EntityKey, Store, StoreError, memory};
use scylla_proxy::{
    Condition, Node, Proxy, Reaction, RequestFrame, RequestOpcode, RequestReaction, RequestRule, ResponseFrame,
    ResponseOpcode, ResponseReaction, ResponseRule, RunningProxy, ShardAwareness,
};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

mod cql;

use cql::{Keyspace, servers, session};

/// Longer than anything on a loaded machine takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the store waits for an answer in these tests.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// How long a late request is held back: beyond the time-out.
const LATE: Duration = Duration::from_secs(4);

/// Which answers to conditional statements a start does not get, counted from its first.
const LOST: [usize; 5] = [1, 3, 5, 8, 12];

fn key(id: &str) -> EntityKey {
    EntityKey::new("acme", "conversation", id)
}

fn append(event: &str) -> Append {
    Append { id: Uuid::new_v4(), events: vec![Bytes::copy_from_slice(event.as_bytes())], wake: None }
}

async fn store(config: &ScyllaConfig) -> Store {
    open(config, memory::open().blobs).await.unwrap()
}

async fn events(store: &Store, key: &EntityKey) -> Vec<String> {
    let records = store.journal.load(key, 0, usize::MAX).await.unwrap();
    records.iter().map(|record| String::from_utf8(record.bytes.to_vec()).unwrap()).collect()
}

/// Something between a store and its server, and how the store reaches it.
async fn proxy() -> (RunningProxy, Vec<String>) {
    let servers = servers();
    assert_eq!(servers.len(), 1, "with more servers than one the store would go around the proxy");
    let real: SocketAddr = servers[0].parse().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = Node::new(real, free, ShardAwareness::Unaware, None, None);
    (Proxy::new([node]).run().await.unwrap(), vec![free.to_string()])
}

/// A store whose connection can be tampered with, and one beside it that nobody touches.
struct Tampered {
    through: Store,
    beside: Store,
    proxy: RunningProxy,
    _keyspace: Keyspace,
}

impl Tampered {
    async fn open() -> Self {
        let keyspace = Keyspace::take().await;
        let beside = store(&keyspace.config()).await;
        let (proxy, nodes) = proxy().await;
        let timeouts = ScyllaTimeouts { lwt: IMPATIENCE, ..keyspace.config().timeouts };
        let through = store(&ScyllaConfig { nodes, timeouts, ..keyspace.config() }).await;
        Self { through, beside, proxy, _keyspace: keyspace }
    }

    /// From now on answers to conditional statements are told, and the next one does not arrive if `drop`.
    fn watch_answers(&mut self, drop: bool) -> UnboundedReceiver<(ResponseFrame, Option<u16>)> {
        let (told, answers) = tokio::sync::mpsc::unbounded_channel();
        let is_answer = || {
            Condition::ResponseOpcode(ResponseOpcode::Result)
                .and(Condition::BodyContainsCaseSensitive(Box::new(*b"[applied]")))
        };
        let lose = is_answer().and(Condition::TrueForLimitedTimes(usize::from(drop)));
        self.proxy.running_nodes[0].change_response_rules(Some(vec![
            ResponseRule(lose, ResponseReaction::drop_frame().with_feedback_when_performed(told.clone())),
            ResponseRule(is_answer(), ResponseReaction::noop().with_feedback_when_performed(told)),
        ]));
        answers
    }

    /// Holds the next append back on its way to the server.
    fn delay_append(&mut self) {
        let once = Condition::RequestOpcode(RequestOpcode::Batch).and(Condition::TrueForLimitedTimes(1));
        self.proxy.running_nodes[0].change_request_rules(Some(vec![RequestRule(once, RequestReaction::delay(LATE))]));
    }
}

async fn next_answer(answers: &mut UnboundedReceiver<(ResponseFrame, Option<u16>)>) {
    tokio::time::timeout(PATIENCE, answers.recv()).await.expect("an answer passes the proxy").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_is_an_unknown_outcome_and_the_event_is_there_once() {
    let mut tampered = Tampered::open().await;
    let claim = tampered.through.journal.claim(&key("a"), 1).await.unwrap().claim;
    let mut answers = tampered.watch_answers(true);
    let lost = append("lost");
    let wake = Wake { shard: 3, key: key("a"), epoch: 1, due_ms: 9 };
    let with_wake = Append { wake: Some(wake.clone()), ..lost.clone() };
    let outcome = tampered.through.journal.append(&key("a"), claim, 0, with_wake).await;
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
    next_answer(&mut answers).await;

    // Whoever lost the answer claims again and looks for the id.
    let again = tampered.through.journal.claim(&key("a"), 1).await.unwrap();
    assert_eq!(again.last_seq, 1);
    let records = tampered.through.journal.load(&key("a"), 0, 9).await.unwrap();
    assert_eq!((records.len(), records[0].append_id), (1, lost.id));
    assert_eq!(tampered.beside.wake.scan(3).await.unwrap(), [wake]);
    // The lost one's claim is over, also for a repetition of the same append.
    let refused = tampered.through.journal.append(&key("a"), claim, 1, lost).await;
    assert_eq!(refused, Err(StoreError::Fenced(key("a"))));
    tampered.through.journal.append(&key("a"), again.claim, 1, append("next")).await.unwrap();
    assert_eq!(events(&tampered.beside, &key("a")).await, ["lost", "next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_arrives_after_its_time_out_happens_once() {
    let mut tampered = Tampered::open().await;
    let claim = tampered.through.journal.claim(&key("a"), 1).await.unwrap().claim;
    tampered.delay_append();
    let mut answers = tampered.watch_answers(false);
    let late = append("late");
    let outcome = tampered.through.journal.append(&key("a"), claim, 0, late.clone()).await;
    assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
    assert_eq!(events(&tampered.beside, &key("a")).await, [""; 0], "it is still under way");
    next_answer(&mut answers).await;
    let again = tampered.beside.journal.claim(&key("a"), 1).await.unwrap();
    assert_eq!(again.last_seq, 1);
    assert_eq!(events(&tampered.beside, &key("a")).await, ["late"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_arrives_after_another_claim_never_happens() {
    for new_owner_writes in [false, true] {
        let mut tampered = Tampered::open().await;
        let claim = tampered.through.journal.claim(&key("a"), 1).await.unwrap().claim;
        tampered.through.journal.append(&key("a"), claim, 0, append("first")).await.unwrap();
        tampered.delay_append();
        let mut answers = tampered.watch_answers(false);
        let late = append("late");
        let outcome = tampered.through.journal.append(&key("a"), claim, 1, late.clone()).await;
        assert!(matches!(outcome, Err(StoreError::Unknown(_))), "{outcome:?}");
        // Under the same epoch too: that the number still fits must not help it.
        let again = tampered.beside.journal.claim(&key("a"), 1).await.unwrap();
        assert_eq!(again.last_seq, 1);
        let mut expected = vec!["first"];
        if new_owner_writes {
            tampered.beside.journal.append(&key("a"), again.claim, 1, append("new")).await.unwrap();
            expected.push("new");
        }
        next_answer(&mut answers).await;
        assert_eq!(events(&tampered.beside, &key("a")).await, expected);
        let last_seq = expected.len() as u64;
        tampered.beside.journal.append(&key("a"), again.claim, last_seq, append("on")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_reply_is_lost_settles_itself() {
    let mut tampered = Tampered::open().await;
    let mut answers = tampered.watch_answers(true);
    let claim = tampered.through.journal.claim(&key("a"), 1).await.unwrap().claim;
    next_answer(&mut answers).await;
    tampered.through.journal.append(&key("a"), claim, 0, append("1")).await.unwrap();
    // Leases, reservations and first answers too: what they wrote is known again.
    drop(tampered.watch_answers(true));
    assert_eq!(tampered.through.unique.reserve("mail", "a@b.c", "ann", 1).await.unwrap(), None);
    drop(tampered.watch_answers(true));
    assert_eq!(tampered.through.leases.join("n1", "here", false).await.unwrap().incarnation, 1);
    drop(tampered.watch_answers(true));
    let begun = tampered.through.answers.begin("s", "k", [1; 32], 0).await.unwrap();
    assert_eq!(begun, colloquy_store::answers::Begun::First);
}

fn many(count: usize, from: usize) -> Append {
    let events = (from..from + count).map(|number| Bytes::from(number.to_string())).collect();
    Append { id: Uuid::new_v4(), events, wake: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_goes_on_over_buckets_and_claims() {
    let keyspace = Keyspace::take().await;
    let (mut one, mut two) = (store(&keyspace.config()).await, store(&keyspace.config()).await);
    let mut written = 0;
    let mut claim = one.journal.claim(&key("a"), 1).await.unwrap().claim;
    // Four buckets, some of them claimed anew when they were full, open, or not begun.
    for (step, count) in [4_999, 1, 3_000, 2_000, 6_000, 10, 5_000].into_iter().enumerate() {
        if step % 3 == 2 {
            let lost = claim;
            std::mem::swap(&mut one, &mut two);
            let claimed = one.journal.claim(&key("a"), 1).await.unwrap();
            assert_eq!(claimed.last_seq, written as u64, "step {step}");
            claim = claimed.claim;
            let refused = two.journal.append(&key("a"), lost, claimed.last_seq, append("x")).await;
            assert_eq!(refused, Err(StoreError::Fenced(key("a"))), "step {step}");
        }
        one.journal.append(&key("a"), claim, written as u64, many(count, written)).await.unwrap();
        written += count;
        let wrong = one.journal.append(&key("a"), claim, 5, append("x")).await;
        let found = written as u64;
        assert_eq!(wrong, Err(StoreError::Conflict { key: key("a"), expected: 5, found }), "step {step}");
    }
    // A lower epoch is refused also where the open bucket has no head of its own yet.
    assert_eq!(one.journal.claim(&key("a"), 0).await, Err(StoreError::Fenced(key("a"))));
    let cold = store(&keyspace.config()).await;
    for (after, limit) in
        [(0, usize::MAX), (4_998, 3), (4_999, 5_003), (5_000, 1), (9_999, 2), (16_009, 99), (written as u64, 9)]
    {
        let records = cold.journal.load(&key("a"), after, limit).await.unwrap();
        let expected: Vec<(u64, String)> =
            (after..written as u64).take(limit).map(|number| (number + 1, number.to_string())).collect();
        let found: Vec<(u64, String)> =
            records.iter().map(|it| (it.seq, String::from_utf8(it.bytes.to_vec()).unwrap())).collect();
        assert!(found == expected, "after {after}, limit {limit}: {} events", found.len());
    }
    let heads = "SELECT bucket FROM %.journal WHERE tenant = 'acme' AND kind = 'conversation' AND id = 'a' AND bucket = 3 LIMIT 1";
    let heads = heads.replace('%', &keyspace.name);
    let found = session().await.query_unpaged(heads, ()).await.unwrap().into_rows_result().unwrap();
    assert_eq!(found.rows_num(), 1, "the journal is in several buckets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_told_and_names_the_place() {
    let keyspace = Keyspace::take().await;
    let whole = store(&keyspace.config()).await;
    let claim = whole.journal.claim(&key("a"), 1).await.unwrap().claim;
    for (seq, event) in ["1", "2", "3"].into_iter().enumerate() {
        whole.journal.append(&key("a"), claim, seq as u64, append(event)).await.unwrap();
    }
    whole.journal.save_snapshot(&key("a"), Snapshot { seq: 3, bytes: Bytes::from_static(b"state") }).await.unwrap();
    let of = "tenant = 'acme' AND kind = 'conversation' AND id = 'a'";
    let session = session().await;
    let damage = async |cql: &str| {
        session.query_unpaged(cql.replace('%', &keyspace.name), ()).await.unwrap();
        store(&keyspace.config()).await
    };
    let places = |error: Result<(), StoreError>, place: &str| {
        let Err(StoreError::Corrupt { place: found, detail }) = error else { panic!("{error:?}") };
        assert!(found.contains(place) && detail.contains("backup"), "{found}: {detail}");
    };
    let damaged = damage(&format!("UPDATE %.snapshot SET bytes = 0x00 WHERE {of}")).await;
    places(damaged.journal.load_snapshot(&key("a")).await.map(drop), "the snapshot of acme/conversation/a");
    // As a server that lost a cell would: these tables are otherwise touched by conditional statements only.
    let damaged =
        damage(&format!("UPDATE %.journal SET bytes = 0x00 WHERE {of} AND bucket = 0 AND seq = 2 IF EXISTS")).await;
    places(damaged.journal.load(&key("a"), 0, 9).await.map(drop), "acme/conversation/a at 2");
    assert_eq!(damaged.journal.load(&key("a"), 2, 9).await.unwrap().len(), 1);
    let damaged = damage(&format!("DELETE FROM %.journal WHERE {of} AND bucket = 0 AND seq = 2 IF EXISTS")).await;
    places(damaged.journal.load(&key("a"), 0, 9).await.map(drop), "acme/conversation/a at 2");
    let damaged = damage(&format!("UPDATE %.journal SET last_seq = 2 WHERE {of} AND bucket = 0 IF last_seq = 3")).await;
    places(damaged.journal.load(&key("a"), 0, 9).await.map(drop), "acme/conversation/a in bucket 0");
    places(damaged.journal.claim(&key("a"), 9).await.map(drop), "acme/conversation/a in bucket 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_start_at_once_migrate_once_and_a_changed_ledger_is_refused() {
    let keyspace = Keyspace::fresh();
    let config = keyspace.config();
    let (one, two) = tokio::join!(store(&config), store(&config));
    one.journal.claim(&key("a"), 1).await.unwrap();
    assert_eq!(two.journal.claim(&key("a"), 2).await.unwrap().last_seq, 0);
    let session = session().await;
    let refused = async |cql: &str| {
        session.query_unpaged(cql.replace('%', &keyspace.name), ()).await.unwrap();
        let Err(StoreError::Incompatible(text)) = open(&config, memory::open().blobs).await else { panic!("opened") };
        text
    };
    let text = refused(
        "INSERT INTO %.migration (one, number, name, checksum, statements) VALUES (1, 9, '0009_later', 'x', 1) IF NOT EXISTS",
    )
    .await;
    assert!(text.contains("newer Colloquy") && text.contains("0009_later"), "{text}");
    let cql = format!("DELETE FROM {}.migration WHERE one = 1 AND number = 9 IF EXISTS", keyspace.name);
    session.query_unpaged(cql, ()).await.unwrap();
    let text = refused("UPDATE %.migration SET checksum = 'other' WHERE one = 1 AND number = 1 IF EXISTS").await;
    assert!(text.contains("0001_store") && text.contains("another content"), "{text}");
    session.query_unpaged(format!("DROP KEYSPACE {}", keyspace.name), ()).await.unwrap();
}

/// What a start asks the ledger of migrations, as it asks.
const LEDGER: &[u8] = b"SELECT number, name, checksum, statements FROM";
/// What it asks before it takes the lock.
const LOCK: &[u8] = b"SELECT owner, until_ms FROM";

/// Answers a question of the next starts, so often, with an error instead of the server; says when.
fn answered(
    question: &[u8],
    error: RequestReaction,
    times: usize,
) -> (RequestRule, UnboundedReceiver<(RequestFrame, Option<u16>)>) {
    let (told, performed) = tokio::sync::mpsc::unbounded_channel();
    let asked = Condition::RequestOpcode(RequestOpcode::Query)
        .and(Condition::BodyContainsCaseSensitive(question.into()))
        .and(Condition::TrueForLimitedTimes(times));
    (RequestRule(asked, error.with_feedback_when_performed(told)), performed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_reads_the_ledger_and_the_lock_again_when_servers_answer_late_but_believes_what_they_do_not_take() {
    let keyspace = Keyspace::fresh();
    let (mut proxy, nodes) = proxy().await;
    let config = ScyllaConfig { nodes, ..keyspace.config() };
    let late = || RequestReaction::forge().read_timeout();
    // Two late answers in a row, about the ledger and about the lock, while the tables are made, and again once they are there.
    for (made, questions) in [(true, &[LEDGER, LOCK][..]), (false, &[LEDGER])] {
        let rules = questions.iter().map(|question| answered(question, late(), 2));
        let (rules, performed): (Vec<_>, Vec<_>) = rules.unzip();
        proxy.running_nodes[0].change_request_rules(Some(rules));
        let opened = store(&config).await;
        assert_eq!(opened.journal.claim(&key("a"), 1).await.unwrap().last_seq, 0);
        for (question, mut performed) in questions.iter().zip(performed) {
            let question = String::from_utf8_lossy(question);
            for _ in 0..2 {
                assert!(performed.try_recv().is_ok(), "{question} was not asked again (made: {made})");
            }
        }
    }
    // A server that has not heard of the table yet is asked again, too.
    let unheard = || RequestReaction::forge().invalid();
    let (rule, mut performed) = answered(LEDGER, unheard(), 2);
    proxy.running_nodes[0].change_request_rules(Some(vec![rule]));
    drop(store(&config).await);
    assert!(performed.try_recv().is_ok() && performed.try_recv().is_ok(), "the ledger was not asked for again");
    // Neither is waited for for ever: then the server is believed.
    let timeouts = ScyllaTimeouts { settle: IMPATIENCE, ..config.timeouts };
    let config = ScyllaConfig { timeouts, ..config };
    for (reaction, unavailable) in [(late(), true), (unheard(), false)] {
        let (rule, _performed) = answered(LEDGER, reaction, usize::MAX);
        proxy.running_nodes[0].change_request_rules(Some(vec![rule]));
        match open(&config, memory::open().blobs).await.map(drop) {
            Err(StoreError::Unavailable(_)) => assert!(unavailable),
            Err(StoreError::Incompatible(_)) => assert!(!unavailable),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_whose_conditional_statements_get_no_answer_looks_at_the_ledger_and_makes_each_table_once() {
    let keyspace = Keyspace::fresh();
    let (mut proxy, nodes) = proxy().await;
    let timeouts = ScyllaTimeouts { recovery: IMPATIENCE, ..keyspace.config().timeouts };
    let config = ScyllaConfig { nodes, timeouts, ..keyspace.config() };
    // Done, and the answers get lost: of taking the lock, of keeping it, of beginning the file, of noting a statement.
    let (told, mut lost) = tokio::sync::mpsc::unbounded_channel();
    let last = LOST[LOST.len() - 1];
    let rules = (1..=last).map(|answer| {
        let once = Condition::ResponseOpcode(ResponseOpcode::Result)
            .and(Condition::BodyContainsCaseSensitive(Box::new(*b"[applied]")))
            .and(Condition::TrueForLimitedTimes(1));
        let lose = || ResponseReaction::drop_frame().with_feedback_when_performed(told.clone());
        ResponseRule(once, if LOST.contains(&answer) { lose() } else { ResponseReaction::noop() })
    });
    proxy.running_nodes[0].change_response_rules(Some(rules.collect()));
    let opened = store(&config).await;
    assert_eq!(opened.journal.claim(&key("a"), 1).await.unwrap().last_seq, 0);
    for _ in LOST {
        assert!(lost.try_recv().is_ok(), "fewer answers were lost than meant");
    }
    let session = session().await;
    let ask = async |cql: &str| {
        let answer = session.query_unpaged(cql.replace('%', &keyspace.name), ()).await.unwrap();
        answer.into_rows_result().unwrap()
    };
    let ledger = ask("SELECT number, name, statements FROM %.migration WHERE one = 1").await;
    let ledger: Vec<(i32, String, i32)> = ledger.rows().unwrap().map(Result::unwrap).collect();
    let file = include_str!("../../../migrations/0001_store.cql");
    let statements = file.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<String>();
    let statements = statements.matches(';').count() as i32;
    assert_eq!(ledger[0], (1, "0001_store".to_owned(), statements), "each statement is noted once");
    assert_eq!(ask("SELECT owner FROM %.migration_lock WHERE one = 1").await.rows_num(), 0, "the lock is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_there_are_named_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = open(&ScyllaConfig::new(vec![free.to_string()], "nowhere"), memory::open().blobs).await;
    let Err(StoreError::Unavailable(text)) = outcome.map(drop) else { panic!("opened") };
    assert!(text.contains("CQL"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_over_months_comes_in_pages_and_survives_an_erasure_of_the_same_version() {
    let keyspace = Keyspace::take().await;
    let store = Arc::new(store(&keyspace.config()).await);
    let day = 24 * 3600 * 1000;
    let row = |number: i64| Row {
        tenant: "acme".to_owned(),
        list: "leads".to_owned(),
        at_ms: 1_700_000_000_000 + number * day,
        id: format!("{number:03}"),
        seq: 1,
        view_version: 1,
        body: Some(Bytes::from(number.to_string())),
        numbers: None,
    };
    let all: Vec<Row> = (0..300).map(row).collect();
    store.rows.put(&all).await.unwrap();
    let listed = store.rows.list("acme", "leads", &Range { limit: 1_000, ..Range::default() }).await.unwrap();
    assert_eq!(listed, all.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(store.rows.scan("acme", "leads", None, 1_000).await.unwrap(), all);
    // A node that was replaced writes the row of an erased entity once more.
    store.keys.destroy(&EntityKey::new("acme", "lead", "007")).await.unwrap();
    let cold = self::store(&keyspace.config()).await;
    cold.rows.put(&[row(7)]).await.unwrap();
    assert_eq!(cold.rows.get("acme", "leads", "007").await.unwrap(), None);
    let listed = cold.rows.list("acme", "leads", &Range { limit: 1_000, ..Range::default() }).await.unwrap();
    assert_eq!(listed.len(), 299);
}
