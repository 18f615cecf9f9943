//! A node of the tests: a process of its own, because one process is one node, driven by lines of JSON.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::clock::{Clock, SystemClock};
use colloquy_cluster::frame::{Answer, FRAME_SCHEMA, Frame};
use colloquy_cluster::host::transport::{
    ClusterTransport, Peers, Receive, ReplyTo, TlsFiles, Transport, TransportConfig, TransportLimits,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tells the test binary that it is to be a node.
const ROLE: &str = "COLLOQUY_TEST_PEER";

/// The longest anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) node: String,
    pub(crate) incarnation: u64,
    pub(crate) listen: String,
    pub(crate) cluster: String,
    pub(crate) shards: u32,
    pub(crate) schema: u32,
    pub(crate) secret: u8,
    /// Authority, certificate, key.
    pub(crate) tls: Option<[PathBuf; 3]>,
    pub(crate) window_frames: usize,
    pub(crate) window_bytes: usize,
    pub(crate) unacknowledged_bytes: usize,
}

impl Setup {
    pub(crate) fn new(node: &str) -> Self {
        let limits = TransportLimits::default();
        Self {
            node: node.to_owned(),
            incarnation: 1,
            listen: "127.0.0.1:0".to_owned(),
            cluster: "tests".to_owned(),
            shards: 16,
            schema: 1,
            secret: 7,
            tls: None,
            window_frames: limits.window_frames,
            window_bytes: limits.window_bytes,
            unacknowledged_bytes: limits.unacknowledged_bytes,
        }
    }

    fn config(&self) -> TransportConfig {
        let listen = self.listen.parse().expect("an address");
        let mut config = TransportConfig::new(self.node.clone(), listen, [self.secret; 32]);
        config.cluster.clone_from(&self.cluster);
        (config.shards, config.schema) = (self.shards, self.schema);
        config.tls = self.tls.clone().map(|[authority, certificate, key]| TlsFiles { authority, certificate, key });
        config.limits.window_frames = self.window_frames;
        config.limits.window_bytes = self.window_bytes;
        config.limits.unacknowledged_bytes = self.unacknowledged_bytes;
        config
    }
}

/// What a node is asked to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    pub(crate) to: String,
    /// What the receiver does with it.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Bytes of `x` in place of the text, if above zero.
    pub(crate) size: usize,
    /// How many frames; their text is then their number.
    pub(crate) count: u64,
    pub(crate) deadline_ms: i64,
    pub(crate) idempotency_key: Option<String>,
    /// Whether the parts of the answer are wanted as they come.
    pub(crate) in_parts: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answers {
    pub(crate) labels: HashMap<String, u64>,
    /// Of the last answer: the text if it is short, or what is in the answer.
    pub(crate) last: String,
    pub(crate) bytes: usize,
    pub(crate) parts: Vec<String>,
    pub(crate) took_ms: u64,
}

impl Answers {
    pub(crate) fn all(&self, label: &str) -> bool {
        self.labels.len() == 1 && self.labels.contains_key(label)
    }
}

// --- the side of the tests ---

/// A running node.
pub(crate) struct Peer {
    pub(crate) setup: Setup,
    pub(crate) address: String,
    child: Child,
    input: Mutex<ChildStdin>,
    next: AtomicU64,
    heard: Arc<(Mutex<HashMap<u64, Value>>, Condvar)>,
    log: Arc<Mutex<Vec<String>>>,
}

/// An answer that is still to come.
pub(crate) struct Pending<'a> {
    peer: &'a Peer,
    id: u64,
}

impl Peer {
    /// Starts a node and waits until it listens.
    pub(crate) fn start(setup: Setup) -> Self {
        Self::try_start(setup).unwrap_or_else(|error| panic!("the node did not start: {error}"))
    }

    pub(crate) fn try_start(setup: Setup) -> Result<Self, String> {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "peer::node", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, serde_json::to_string(&setup).expect("encodes"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let heard: Arc<(Mutex<HashMap<u64, Value>>, Condvar)> = Arc::default();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (into, out) = (heard.clone(), BufReader::new(child.stdout.take().expect("piped")));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // libtest prints beside it, and not always with a line of its own.
                if let Some(at) = line.find("@{")
                    && let Ok(value) = serde_json::from_str::<Value>(&line[at + 1..])
                {
                    into.0.lock().expect("whole").insert(value["id"].as_u64().unwrap_or(0), value);
                    into.1.notify_all();
                }
            }
        });
        let (into, errors) = (log.clone(), BufReader::new(child.stderr.take().expect("piped")));
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                into.lock().expect("whole").push(line);
            }
        });
        let input = Mutex::new(child.stdin.take().expect("piped"));
        let mut peer = Self { setup, address: String::new(), child, input, next: AtomicU64::new(1), heard, log };
        let hello = peer.await_answer(0);
        if let Some(error) = hello["error"].as_str() {
            return Err(error.to_owned());
        }
        peer.address = hello["address"].as_str().expect("an address").to_owned();
        Ok(peer)
    }

    fn begin(&self, mut message: Value) -> Pending<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        message["id"] = json!(id);
        writeln!(self.input.lock().expect("whole"), "{message}").expect("the node reads");
        Pending { peer: self, id }
    }

    fn await_answer(&self, id: u64) -> Value {
        let (heard, changed) = &*self.heard;
        let guard = heard.lock().expect("whole");
        let (mut guard, late) =
            changed.wait_timeout_while(guard, PATIENCE, |heard| !heard.contains_key(&id)).expect("whole");
        assert!(!late.timed_out(), "node {} did not answer; its log:\n{}", self.setup.node, self.logged());
        guard.remove(&id).expect("is there")
    }

    /// Tells it where the others are.
    pub(crate) fn knows(&self, others: &[(&str, &str)]) {
        let map: HashMap<_, _> = others.iter().copied().collect();
        self.begin(json!({"op": "peers", "map": map})).wait();
    }

    /// Has it send, and waits for the answers.
    pub(crate) fn ask(&self, ask: &Ask) -> Answers {
        self.begin_ask(ask).answers()
    }

    /// Has it send.
    pub(crate) fn begin_ask(&self, ask: &Ask) -> Pending<'_> {
        self.begin(json!({"op": "ask", "ask": ask}))
    }

    /// Asks again and again until the answer is `ok`: what callers do with `Moving` and `Busy`.
    pub(crate) fn ask_until_ok(&self, ask: &Ask) -> Answers {
        let mut last = None;
        until(&format!("{} answers {}", ask.to, self.setup.node), || {
            let answers = self.ask(ask);
            let ok = answers.all("ok");
            last = Some(answers);
            ok
        });
        last.expect("asked")
    }

    /// How it says one of its peers is doing.
    pub(crate) fn status(&self, of: &str) -> Value {
        let status = self.begin(json!({"op": "status"})).wait();
        let peers = status["peers"].as_array().expect("a list");
        peers.iter().find(|peer| peer["node"] == of).cloned().unwrap_or(Value::Null)
    }

    pub(crate) fn is_connected_to(&self, of: &str) -> bool {
        self.status(of)["connected"] == json!(true)
    }

    /// What it was told with kind `count`, in order, and what it holds.
    pub(crate) fn seen(&self) -> (Vec<u64>, u64) {
        let seen = self.begin(json!({"op": "seen"})).wait();
        let numbers = seen["numbers"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
        (numbers, seen["held"].as_u64().expect("a number"))
    }

    /// Answers what it holds.
    pub(crate) fn release(&self) {
        self.begin(json!({"op": "release"})).wait();
    }

    /// A counter or gauge of its metrics, summed over labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.begin(json!({"op": "metric", "name": name})).wait()["value"].as_f64().expect("a number")
    }

    pub(crate) fn logged(&self) -> String {
        self.log.lock().expect("whole").join("\n")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        if signal == "STOP" {
            // The signal reaches one thread after the other.
            let tasks = format!("/proc/{}/task", self.child.id());
            let stopped = |task: std::fs::DirEntry| {
                let status = std::fs::read_to_string(task.path().join("status"));
                status.map_or(true, |status| status.contains("State:\tT"))
            };
            until("all its threads stand still", || {
                std::fs::read_dir(&tasks).expect("runs").map_while(Result::ok).all(stopped)
            });
        }
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number") * 1024
    }

    pub(crate) fn kill(mut self) -> Setup {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
        self.setup.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of {} ---\n{}", self.setup.node, self.logged());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Pending<'_> {
    pub(crate) fn wait(self) -> Value {
        self.peer.await_answer(self.id)
    }

    pub(crate) fn answers(self) -> Answers {
        serde_json::from_value(self.wait()).expect("answers")
    }
}

/// An ask with a text.
pub(crate) fn ask(to: &str, kind: &str, text: &str) -> Ask {
    Ask {
        to: to.to_owned(),
        kind: kind.to_owned(),
        text: text.to_owned(),
        size: 0,
        count: 1,
        deadline_ms: 10_000,
        idempotency_key: None,
        in_parts: false,
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10)); // The wait between two looks.
    }
}

/// Two nodes that know each other.
pub(crate) fn pair(a: Setup, b: Setup) -> (Peer, Peer) {
    let (a, b) = (Peer::start(a), Peer::start(b));
    a.knows(&[(&b.setup.node, &b.address)]);
    b.knows(&[(&a.setup.node, &a.address)]);
    (a, b)
}

// --- the side of the node ---

#[derive(Default)]
struct Directory(RwLock<HashMap<String, String>>);

impl Peers for Directory {
    fn address(&self, node: &str) -> Option<String> {
        self.0.read().expect("whole").get(node).cloned()
    }
}

#[derive(Default)]
struct Receiver {
    numbers: Mutex<Vec<u64>>,
    held: Mutex<Vec<ReplyTo>>,
}

impl Receive for Receiver {
    fn receive(&self, frame: Frame, mut reply: ReplyTo) {
        let text =
            String::from_utf8_lossy(frame.bytes.get(..frame.bytes.len().min(64)).unwrap_or_default()).into_owned();
        let number = || text.parse::<usize>().expect("a number");
        match &*frame.key.kind {
            "echo" => reply.send(Answer::Ok(frame.bytes)),
            "reject" => reply.send(Answer::Rejected(frame.bytes)),
            "count" => {
                self.numbers.lock().expect("whole").push(number() as u64);
                reply.send(Answer::Ok(Bytes::new()));
            }
            "hold" => self.held.lock().expect("whole").push(reply),
            "big" => reply.send(Answer::Ok(vec![b'y'; number()].into())),
            "stream" => {
                for part in 0..number() {
                    assert!(reply.part(Bytes::from(format!("part {part};"))), "nobody listens");
                }
                reply.send(Answer::Ok(Bytes::from_static(b"end")));
            }
            "left" => {
                let left_ms = frame.deadline_ms - SystemClock.now_ms();
                reply.send(Answer::Ok(Bytes::from(left_ms.to_string())));
            }
            "panic" => panic!("as asked"),
            _ => drop(reply),
        }
    }
}

/// Keeps counters and gauges to be looked at.
#[derive(Default)]
struct Metrics(Mutex<HashMap<String, Arc<AtomicU64>>>);

impl Metrics {
    fn slot(&self, key: &metrics::Key) -> Arc<AtomicU64> {
        self.0.lock().expect("whole").entry(key.to_string()).or_default().clone()
    }
}

struct Recorder(Arc<Metrics>);

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(self.0.slot(key))
    }
    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(self.0.slot(key))
    }
    fn register_histogram(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::noop()
    }
}

fn say(value: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{value}").and_then(|()| out.flush()).expect("the test reads");
}

/// Not a test: what [`Peer::start`] starts. Does nothing when it is run as one.
#[test]
#[ignore = "the nodes of the other tests"]
fn node() {
    let Ok(setup) = std::env::var(ROLE) else {
        return;
    };
    let setup: Setup = serde_json::from_str(&setup).expect("a setup");
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,colloquy_cluster=debug".to_owned());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let metrics = Arc::new(Metrics::default());
    assert!(metrics::set_global_recorder(Recorder(metrics.clone())).is_ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts");
    runtime.block_on(serve(setup, metrics));
    std::process::exit(0);
}

async fn serve(setup: Setup, metrics: Arc<Metrics>) {
    let (lines, mut read) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    let bound = match ClusterTransport::bind(setup.config()).await {
        Ok(bound) => bound,
        Err(error) => return say(&json!({"id": 0, "error": error.to_string()})),
    };
    let address = bound.local_addr().to_string();
    let (directory, receiver) = (Arc::new(Directory::default()), Arc::new(Receiver::default()));
    let transport = bound.serve(setup.incarnation, directory.clone(), receiver.clone());
    say(&json!({"id": 0, "address": address}));
    while let Some(line) = read.recv().await {
        let message: Value = serde_json::from_str(&line).expect("a message");
        let id = message["id"].as_u64().expect("an id");
        match message["op"].as_str().expect("an operation") {
            "peers" => {
                *directory.0.write().expect("whole") =
                    serde_json::from_value(message["map"].clone()).expect("addresses");
                say(&json!({"id": id}));
            }
            "status" => {
                let peers: Vec<_> = transport
                    .peers()
                    .into_iter()
                    .map(|peer| {
                        json!({"node": peer.node, "connected": peer.connected, "incarnation": peer.incarnation,
                            "waiting": peer.waiting, "beat_age_ms": peer.beat_age_ms, "error": peer.error})
                    })
                    .collect();
                say(&json!({"id": id, "peers": peers}));
            }
            "seen" => {
                let numbers = receiver.numbers.lock().expect("whole").clone();
                say(&json!({"id": id, "numbers": numbers, "held": receiver.held.lock().expect("whole").len()}));
            }
            "release" => {
                for reply in std::mem::take(&mut *receiver.held.lock().expect("whole")) {
                    reply.send(Answer::Ok(Bytes::new()));
                }
                say(&json!({"id": id}));
            }
            "metric" => {
                let name = message["name"].as_str().expect("a name");
                let found = metrics.0.lock().expect("whole");
                let is_gauge = !name.ends_with("_total");
                let value: f64 = found
                    .iter()
                    .filter(|(key, _)| key.contains(&format!("({name}")))
                    .map(|(_, value)| value.load(Ordering::Relaxed))
                    .map(|bits| if is_gauge { f64::from_bits(bits) } else { bits as f64 })
                    .sum();
                say(&json!({"id": id, "value": value}));
            }
            "ask" => {
                let ask: Ask = serde_json::from_value(message["ask"].clone()).expect("an ask");
                send(id, ask, transport.clone());
            }
            other => panic!("no such operation: {other}"),
        }
    }
}

fn send(id: u64, ask: Ask, transport: Arc<ClusterTransport>) {
    let began = Instant::now();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let parts: Arc<Mutex<Vec<String>>> = Arc::default();
    for number in 0..ask.count {
        let bytes = match (ask.count, ask.size) {
            (1, 0) => Bytes::from(ask.text.clone()),
            (1, size) => vec![b'x'; size].into(),
            (_, size) => Bytes::from(format!("{number}{}", " ".repeat(size))),
        };
        let frame = Frame {
            shard: 3,
            epoch: 1,
            key: EntityKey::new("tenant", ask.kind.as_str(), "id"),
            schema: FRAME_SCHEMA,
            correlation: number,
            idempotency_key: ask.idempotency_key.clone(),
            deadline_ms: SystemClock.now_ms() + ask.deadline_ms,
            trace: None,
            source: None,
            after_rows: false,
            note: false,
            bytes,
        };
        let (to_part, to_end) = (parts.clone(), sender.clone());
        let deliver = move |answer| drop(to_end.send(answer));
        let reply = if ask.in_parts {
            let part = move |bytes: Bytes| {
                to_part.lock().expect("whole").push(String::from_utf8_lossy(&bytes).into_owned());
                true
            };
            ReplyTo::in_parts(part, deliver)
        } else {
            ReplyTo::new(deliver)
        };
        transport.send(&ask.to, frame, reply);
    }
    drop(sender);
    tokio::spawn(async move {
        let mut labels: HashMap<String, u64> = HashMap::new();
        let (mut last, mut bytes) = (String::new(), 0);
        while let Some(answer) = receiver.recv().await {
            *labels.entry(answer.label().to_owned()).or_default() += 1;
            (last, bytes) = match answer {
                Answer::Ok(body) | Answer::Rejected(body) if body.len() < 1024 => {
                    (String::from_utf8_lossy(&body).into_owned(), body.len())
                }
                Answer::Ok(body) | Answer::Rejected(body) => (String::new(), body.len()),
                Answer::Malformed { detail } | Answer::Unavailable { detail } => (detail, 0),
                other => (format!("{other:?}"), 0),
            };
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let parts = parts.lock().expect("whole").clone();
        let mut value = serde_json::to_value(Answers { labels, last, bytes, parts, took_ms }).expect("encodes");
        value["id"] = json!(id);
        say(&value);
    });
}
