//! Proves that one visitor, or one address, cannot take the server from others by opening connections: thousands of them meet a named limit, memory
//! stays where it was, and somebody else is served all the while.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use support::people::{Member, text};
use support::socket::{Socket, connect_from};
use support::{Server, eventually, random_id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// As many as the issue names.
const MANY: usize = 10_000;
/// Opened at the same time.
const AT_ONCE: usize = 64;
/// Sockets of one address here, so that the test needs few descriptors of its own.
const PER_ADDRESS: usize = 200;
/// Conversations side by side whose screens are watched, and questions in each: a race that is lost once in a hundred turns is seen.
const TALKS: usize = 12;
const TURNS: usize = 12;
/// What the server may have grown by: buffers of a few hundred connections, and an allocator that keeps what it had.
const GROWTH_MAX: u64 = 48 << 20;
/// Somebody else.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Somebody with bad intentions, where others are counted too.
const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// A server that is started with the usual soft limit of descriptors, or less.
async fn server() -> (Server, String) {
    let settings = [
        ("COLLOQUY_LIMITS__SOCKETS_PER_ADDRESS", PER_ADDRESS.to_string()),
        ("COLLOQUY_LIMITS__CHAT_PER_ADDRESS_PER_MINUTE", "1000000".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let server = Server::start_through(&["prlimit", "--nofile=256:", "--"], &settings).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    (server, agent)
}

/// A visitor from another address opens a socket and is answered.
async fn somebody_else_is_served(server: &Server, agent: &str) {
    let hello = json!({ "visitor_id": random_id() });
    let (mut socket, _) = Socket::chat_from(ELSEWHERE, server.http, agent, hello).await.expect("a welcome elsewhere");
    socket
        .send(&json!({ "type": "message", "client_message_id": "m", "text": "Do you offer emergency services?" }))
        .await;
    socket.until("an answer", |frame| frame["type"] == "message" && frame["role"] == "assistant").await;
    socket.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sockets_of_one_visitor_are_refused_by_name_and_cost_nothing() {
    let (server, agent) = server().await;
    let visitor = random_id();
    let (first, welcome) = Socket::chat(server.http, &agent, json!({ "visitor_id": visitor })).await.expect("welcome");
    let known = json!({ "visitor_id": visitor, "visitor_token": welcome["visitor_token"] });
    let mut open = vec![first];
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut attempts = futures::stream::iter(0..MANY)
        .map(|_| Socket::chat(server.http, &agent, known.clone()))
        .buffer_unordered(AT_ONCE);
    let mut before = None;
    let mut done = 0;
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok((socket, _)) => open.push(socket),
            Err(refusal) => *refusals.entry(refusal).or_default() += 1,
        }
        done += 1;
        if done == MANY / 10 {
            before = Some(server.resident_bytes());
        }
        if done % 2_500 == 0 {
            somebody_else_is_served(&server, &agent).await;
        }
    }
    drop(attempts);
    let grown = server.resident_bytes().saturating_sub(before.expect("measured"));
    assert_eq!(open.len(), 8, "the default is eight sockets of one visitor: {refusals:?}");
    assert_eq!(refusals.values().sum::<usize>(), MANY - 7);
    assert!(refusals.keys().all(|refusal| refusal.contains("too_many_sockets")), "{refusals:?}");
    assert!(grown < GROWTH_MAX, "grown by {grown} bytes over {MANY} attempts");
    // The eight still work.
    let socket = &mut open[3];
    socket
        .send(&json!({ "type": "message", "client_message_id": "m", "text": "Do you offer emergency services?" }))
        .await;
    socket.until("an answer", |frame| frame["type"] == "message" && frame["role"] == "assistant").await;
    eprintln!("{MANY} attempts, memory grown by {} KiB since the first tenth", grown >> 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stands_is_not_taken_back_from_the_screen() {
    let (server, agent) = server().await;
    let talk = |_: usize| async {
        let hello = json!({ "visitor_id": random_id() });
        let (mut socket, _) = Socket::chat(server.http, &agent, hello).await.expect("welcome");
        for turn in 0..TURNS {
            let asked = json!({ "type": "message", "client_message_id": format!("m{turn}"), "text": "Are you open on Saturday?" });
            socket.send(&asked).await;
            let answer = |frame: &Value| frame["type"] == "message" && frame["role"] == "assistant";
            let before = socket.seen.len();
            socket.until("an answer", |frame| answer(frame)).await;
            assert!(socket.seen.len() > before);
        }
        let of = |which: &dyn Fn(&Value) -> bool, key: &str| -> BTreeSet<String> {
            socket.seen.iter().filter(|frame| which(frame)).map(|frame| text(frame, key)).collect()
        };
        let stand = of(&|frame| frame["type"] == "message" && frame["role"] == "assistant", "id");
        let taken_back = of(&|frame| frame["type"] == "discard", "message_id");
        socket.close().await;
        (stand, taken_back)
    };
    for (stand, taken_back) in futures::future::join_all((0..TALKS).map(talk)).await {
        assert_eq!(stand.len(), TURNS);
        assert_eq!(taken_back, BTreeSet::new(), "of {stand:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_plays_many_visitors_has_its_limit_too() {
    let (server, agent) = server().await;
    let path = format!("/api/chat/socket?agent_id={agent}");
    let mut open = Vec::new();
    let mut refused = 0;
    // Half of them never say who they are.
    for n in 0..PER_ADDRESS + 50 {
        let attempt = if n % 2 == 0 {
            let hello = json!({ "visitor_id": random_id() });
            Socket::chat_from(FLOOD, server.http, &agent, hello).await.map(|(socket, _)| socket)
        } else {
            Socket::open_from(FLOOD, server.http, &path).await
        };
        match attempt {
            Ok(socket) => open.push(socket),
            Err(refusal) => {
                assert!(refusal.contains("503"), "{refusal}");
                refused += 1;
            }
        }
    }
    assert_eq!((open.len(), refused), (PER_ADDRESS, 50));
    somebody_else_is_served(&server, &agent).await;
    // The refusal as a program reads it.
    let mut raw = connect_from(FLOOD, server.http).await.expect("a connection");
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.http
    );
    raw.write_all(upgrade.as_bytes()).await.expect("sent");
    let told = head(&mut raw).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.to_ascii_lowercase().contains("retry-after:"), "{told}");
    assert!(told.contains("too_many_sockets") && told.contains("limits.sockets_per_address"), "{told}");
    // Room comes back as they leave.
    open.truncate(PER_ADDRESS / 2);
    eventually("room for a socket", Duration::from_secs(10), || async {
        Socket::chat_from(FLOOD, server.http, &agent, json!({ "visitor_id": random_id() })).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_are_bounded_by_address() {
    let (server, agent) = server().await;
    somebody_else_is_served(&server, &agent).await;
    let before = server.resident_bytes();
    let mut open = Vec::new();
    let mut refused = 0;
    for n in 0..3 * PER_ADDRESS {
        let mut silent = connect_from(FLOOD, server.http).await.expect("a connection");
        if n % 2 == 0 {
            // A request that never ends.
            let _ = silent.write_all(b"GET /api/chat/socket?agent_id=").await;
        }
        if n < 2 * PER_ADDRESS {
            open.push(silent);
        } else {
            // One too many hears so without having asked, and is closed.
            head(&mut silent).await;
            refused += 1;
        }
    }
    somebody_else_is_served(&server, &agent).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "grown by {grown} bytes");
    let mut one_more = connect_from(FLOOD, server.http).await.expect("a connection");
    let told = head(&mut one_more).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("too_many_connections"), "{told}");
    drop(open);
    eventually("the address is served again", Duration::from_secs(10), || async {
        Socket::chat_from(FLOOD, server.http, &agent, json!({ "visitor_id": random_id() })).await.ok()
    })
    .await;
    eprintln!("{refused} silent connections refused, memory grown by {} KiB", grown >> 10);
}

/// What the server says until it closes the connection, gently or not.
async fn head(stream: &mut tokio::net::TcpStream) -> String {
    let mut told = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut told)).await;
    assert!(read.is_ok(), "the connection is not closed after {:?}", String::from_utf8_lossy(&told));
    String::from_utf8_lossy(&told).into_owned()
}
