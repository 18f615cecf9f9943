//! Calls while a node dies: the simulated carrier speaks with whichever node answers at one public address, and the node that holds conversations is
//! killed in the middle of them. Every call ends as it should, and what the carrier heard and said is what stands, each turn once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colloquy_carrier::persona::{Manner, Persona};
use colloquy_carrier::{Carrier, Config};
use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::nodes::{Cluster, NODES, Plan};
use crate::support::people::{Member, SOON, text};
use crate::support::{Server, eventually};

const ACCOUNT: &str = "AC00000000000000000000000000000078";
const TOKEN: &str = "auth-token-of-the-calls-over-nodes";
const OURS: &str = "+14155550100";
/// What the people who are called follow from.
const SEED: u64 = 23;
/// Who is called.
const CALLS: usize = 50;
/// How many times faster than life they are: whoever dies costs the others real seconds, which a caller of real patience waits for.
const SPEED: f64 = 1.0;
/// Seconds of a talk that is long enough for all that somebody has to say, over a node's death.
const LONG_S: u32 = 80;
/// Calls that may be given up without having been made: at four a second those that were being created as the node died.
const NEVER_MADE: usize = 4;
/// How many are talking when the node is killed.
const TALKING: usize = 12;
/// What a caller who waits for an answer hears in this trade.
const HOLD: &str = "Thank you for holding. I'm looking into that for you right now.";
/// Until nobody talks any more: a node's death costs seconds, a call that nobody hears of is given up after two minutes.
const ALL_DONE: Duration = Duration::from_secs(300);
/// First parts of numbers on sides of the world: somewhere it is always day.
const SIDES: [&str; 4] = ["+1415555", "+4420794", "+8135555", "+9111234"];

/// The public address: every connection goes to the next node that takes it.
struct Front {
    address: SocketAddr,
    nodes: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Front {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let nodes: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let (known, next) = (nodes.clone(), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (known, next) = (known.clone(), next.clone());
                tokio::spawn(async move {
                    let nodes = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let first = next.fetch_add(1, Ordering::Relaxed);
                    for n in 0..nodes.len() {
                        let node = nodes[(first + n) % nodes.len()];
                        if let Ok(mut server) = TcpStream::connect(node).await {
                            // However it ends, both sides see it.
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                            return;
                        }
                    }
                });
            }
        });
        Self { address, nodes, task }
    }

    fn leads_to(&self, nodes: &[Server]) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes.iter().map(|node| node.http).collect();
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// People who pick up and stay, where it is day for the next half hour.
fn people() -> Vec<String> {
    let numbers = |side: &'static str| {
        let width = if side == "+4420794" { 5 } else { 12 - side.len() };
        (0..100_000_u32).map(move |n| format!("{side}{n:0width$}")).filter_map(|text| number::normal(&text, None).ok())
    };
    let now = jiff::Timestamp::now().as_millisecond();
    let is_day = |side: &'static str| {
        let zones = numbers(side).next().expect("a number").zones;
        let hours = Window::default().hours(&zones);
        hours.is_open(now) && hours.is_open(now + 1_800_000)
    };
    let side = SIDES.into_iter().find(|side| is_day(side)).expect("somewhere it is day");
    let stays = |to: &String| matches!(Persona::of(SEED, to, 1), Persona::Person { talk_s } if talk_s >= LONG_S);
    numbers(side).map(|number| number.e164).filter(stays).take(CALLS).collect()
}

fn lines(log_file: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log_file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// All calls that the business lists.
async fn calls(owner: &Member) -> Vec<Value> {
    owner.api.list("/api/voice/calls").await
}

/// What is wrong with a call: what the carrier wrote down beside what stands.
async fn faults(owner: &Member, to: &str, talk: Option<&Value>, call: Option<&Value>) -> Vec<String> {
    let (Some(talk), Some(call)) = (talk, call) else { return vec![format!("{to}: {talk:?} beside {call:?}")] };
    let mut faults = Vec::new();
    let mut check = |fine: bool, what: String| {
        if !fine {
            faults.push(format!("{to}: {what}"));
        }
    };
    let manner = Manner::of(SEED, to, 1);
    check(call["status"] == "completed", format!("it is {}", call["status"]));
    let shown = owner.api.get(&format!("/api/voice/calls/{}", text(call, "id"))).await.expect(200);
    let transcript = shown["transcript"].as_array().cloned().unwrap_or_default();
    let of = |role: &str| -> Vec<String> {
        let theirs = transcript.iter().filter(|line| line["role"] == role);
        theirs.map(|line| text(line, "content")).collect()
    };
    // Each line of theirs stands once, in order. One that was said into the socket of a node as it died may have reached nobody: no carrier says it again.
    let said = usize::try_from(talk["said"].as_u64().unwrap_or(0)).expect("few");
    let cut: Vec<u64> = talk["cut"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let stand = of("user");
    let mut stands = stand.iter().map(String::as_str).peekable();
    for (nth, line) in (0..said).filter_map(|nth| manner.line(nth).map(|line| (nth, line))) {
        let is_there = stands.next_if_eq(&line).is_some();
        check(
            is_there || cut.contains(&(nth as u64)),
            format!("it said {line:?} ({nth}, cut {cut:?}), and {stand:?} stands"),
        );
    }
    check(stands.peek().is_none(), format!("{stand:?} stands, of which it said only {said} lines"));
    if manner != Manner::Silent {
        check(talk["answered"] == talk["said"], format!("not every turn was answered: {talk}"));
    }
    // Each is answered by one message: none is doubled, none is lost.
    for pair in transcript.windows(2) {
        let twice =
            pair[0]["role"] == "assistant" && pair[1]["role"] == "assistant" && pair[0]["turn"] == pair[1]["turn"];
        check(!twice || pair[0]["turn"].is_null(), format!("answered twice: {pair:?}"));
        let unanswered = pair[0]["role"] == "user" && pair[1]["role"] == "user";
        check(!unanswered, format!("not answered: {pair:?}"));
    }
    // What was heard stands, and no answer was heard twice.
    let ours = of("assistant").join(" ");
    // What was said while the conversation could not be reached stands a little later than it was heard.
    for words in talk["heard"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let parts = [squeezed(&words.replace(HOLD, "")), HOLD.to_owned()];
        let heard = parts.iter().filter(|part| !part.is_empty() && squeezed(words).contains(part.as_str()));
        for part in heard {
            check(
                squeezed(&ours).contains(part.as_str()),
                format!("it heard {part:?}, which does not stand: {ours:?}"),
            );
        }
    }
    faults
}

fn squeezed(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_node_that_dies_end_as_they_should_and_each_turn_is_answered_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let log_file = folder.path().join("carrier.jsonl");
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: ACCOUNT.to_owned(),
        token: TOKEN.to_owned(),
        numbers: vec![OURS.to_owned()],
        seed: SEED,
        speed: SPEED,
        log: Some(log_file.clone()),
        ..Config::default()
    };
    let carrier = Carrier::start(config).await.expect("a carrier");
    let front = Front::open().await;
    let mut plan = Plan::usual();
    plan.settings.push(("COLLOQUY_MESSAGES__SIMULATED_URL", carrier.url()));
    plan.settings.push(("COLLOQUY_PUBLIC__API_URL", format!("http://{}", front.address)));
    let mut cluster = Cluster::start(plan).await;
    front.leads_to(&cluster.nodes);
    let (owner, agent) = cluster.business().await;
    let keys = json!({ "account_sid": ACCOUNT, "auth_token": TOKEN });
    owner.api.post("/api/integrations/simulated/connect", keys).await.expect(200);
    let number = json!({ "number": OURS, "provider": "simulated", "agent_id": agent });
    owner.api.post("/api/voice/numbers", number).await.expect(201);
    let never = json!({ "attempts": 0, "delays_minutes": [] });
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(25);
    let campaign = json!({
        "name": "Boilers", "agent_id": agent, "from_numbers": [OURS], "consent": "none", "max_call_minutes": 3, "calls_per_second": 4,
        "max_concurrent": CALLS, "retry": { "no_answer": never, "busy": never, "failed": never }, "deadline": deadline.to_string(),
        "opening": "Hello {{name}}. Oak Street Plumbing calls about boilers.",
        "questions": ["What is it about?", "By when?", "What budget do you have?"],
    });
    let campaign = text(&owner.api.post("/api/calling/campaigns", campaign).await.expect(201), "id");
    let people = people();
    assert_eq!(people.len(), CALLS);
    let list: String = people.iter().enumerate().map(|(n, phone)| format!("{phone},Person {n}\n")).collect();
    let path = format!("/api/calling/campaigns/{campaign}/targets");
    let list = format!("phone,name\n{list}").into_bytes();
    owner.api.try_raw("POST", &path, "text/csv", Some(list)).await.expect("an answer").expect(200);
    owner.api.post(&format!("/api/calling/campaigns/{campaign}/start"), json!({})).await.expect(200);

    // The first node goes on answering the test itself; another one dies, the one that holds most of the talks.
    let talking = eventually("people talk", ALL_DONE, async || {
        let talking: Vec<Value> =
            calls(&owner).await.into_iter().filter(|call| call["status"] == "in_progress").collect();
        (talking.len() >= TALKING).then_some(talking)
    })
    .await;
    let mut held = BTreeMap::<usize, usize>::new();
    for call in &talking {
        *held.entry(cluster.owner_of(0, &text(call, "conversation_id")).await).or_default() += 1;
    }
    let victim = (1..NODES).max_by_key(|place| held.get(place).copied().unwrap_or(0)).expect("three nodes");
    eprintln!("{} talk, as {held:?}; node {} dies", talking.len(), victim + 1);
    assert!(held.get(&victim).is_some_and(|&count| count > 0), "it holds none of the talks: {held:?}");
    cluster.nodes[victim].kill();

    eventually("everybody has been called", ALL_DONE, async || {
        let answer = owner.api.try_call("GET", &format!("/api/calling/campaigns/{campaign}/stats"), None).await.ok()?;
        (answer.status == 200 && answer.body["counts"]["done"] == json!(CALLS)).then_some(())
    })
    .await;
    eventually("no call goes on", ALL_DONE, async || {
        let on = |call: &Value| call["status"] == "in_progress" || call["status"] == "ringing";
        let going_on: Vec<Value> = calls(&owner).await.into_iter().filter(on).collect();
        going_on.is_empty().then_some(()).or_else(|| {
            eprintln!("{} go on, such as {}", going_on.len(), going_on[0]);
            None
        })
    })
    .await;
    let log = lines(&log_file);
    let of = |event: &'static str| log.iter().filter(move |line| line["event"] == event);
    let talks: BTreeMap<String, &Value> = of("talk").map(|line| (text(line, "to"), line)).collect();
    let created: Vec<String> = of("create").map(|line| text(line, "to")).collect();
    eprintln!("{} calls were made, {} times somebody was asked to wait", created.len(), of("waits").count());
    let standing: BTreeMap<String, Value> =
        calls(&owner).await.into_iter().map(|call| (text(&call, "phone"), call)).collect();
    let targets = owner.api.list(&path).await;
    assert_eq!(targets.len(), CALLS);
    let mut all = Vec::new();
    let mut never_made = 0;
    for target in &targets {
        let to = text(target, "phone");
        match created.iter().filter(|called| **called == to).count() {
            1 => all.extend(faults(&owner, &to, talks.get(&to).copied(), standing.get(&to)).await),
            // The node died before the carrier heard of it: what nobody can confirm is not tried again.
            0 if target["outcome"] == "failed" && target["reason"] == "unconfirmed" => never_made += 1,
            many => all.push(format!("{to} was called {many} times: {target}")),
        }
    }
    let left: BTreeMap<String, &Value> = of("left").map(|line| (text(line, "sid"), &line["why"])).collect();
    assert!(all.is_empty(), "{} faults: {all:#?}\nwhy calls ended: {left:#?}", all.len());
    assert!(never_made <= NEVER_MADE, "{never_made} were given up without a call");
    // The node comes back and finds nothing to do again.
    cluster.nodes[victim].boot().await;
    cluster.spread(&[0, 1, 2]).await;
    eventually("the campaign knows all of it", SOON, async || {
        let stats = owner.api.try_call("GET", &format!("/api/calling/campaigns/{campaign}/stats"), None).await.ok()?;
        (stats.body["counts"]["done"] == json!(CALLS)).then_some(())
    })
    .await;
    let afterwards = lines(&log_file).iter().filter(|line| line["event"] == "create").count();
    assert_eq!(afterwards, created.len(), "nobody was called again");
    cluster.end().await;
}
