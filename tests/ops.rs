//! Proves what operators may ask of a node: who they must be, what each list holds, which orders are refused by name, that every order stands in the
//! audit log, refused ones too, and that `colloquy ops` says the same in a terminal. One node is enough; orders between nodes have tests of their own.

mod support;

use std::process::Output;

use serde_json::{Value, json};
use support::client::Api;
use support::people::{Member, SOON, mailbox, text};
use support::{OPS_TOKEN, Server, eventually, random_id, run};

/// The node's name where none is set.
const NODE: &str = "node-1";
/// Shards where none are set.
const SHARDS: usize = 1024;

#[tokio::test(flavor = "multi_thread")]
async fn operators_calls_open_with_their_token_only() {
    let server = Server::start().await;
    let api = server.ops_api();
    for stranger in [
        api.clone(),
        api.bearer(""),
        api.bearer("somebody-elses-token"),
        api.bearer(&format!("{OPS_TOKEN}x")),
        api.bearer(&OPS_TOKEN[1..]),
        api.visitor(OPS_TOKEN),
    ] {
        for (method, path) in [("GET", "/ops/nodes"), ("GET", "/ops/audit"), ("POST", "/ops/pause")] {
            let problem = stranger.call(method, path, None).await.refused(401);
            assert!(!problem.to_string().contains(OPS_TOKEN), "{problem}");
        }
    }
    assert_eq!(api.get("/health/readyz").await.expect(200)["status"], "ready", "health needs no token");
    let operator = operator(&server);
    operator.get("/ops/nodes").await.expect(200);
    assert!(items(&operator, "/ops/audit").await.is_empty(), "strangers do not fill the audit log");
    operator.get("/ops/nothing").await.refused(404);
    operator.call("POST", "/ops/nodes", None).await.refused(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_of_the_operators_token_is_no_token_for_everybody() {
    let mut server = Server::start_with(&[("COLLOQUY_OPS__TOKEN", "")]).await;
    let token = std::fs::read_to_string(server.data().join("ops.token")).expect("it was generated");
    server.ops_api().get("/ops/nodes").await.refused(401);
    server.ops_api().bearer(token.trim()).get("/ops/nodes").await.expect(200);
    server.stop().await;
    std::fs::write(server.data().join("ops.token"), "\n").expect("our own file");
    let said = server.refuses_to_start();
    assert!(said.contains("ops.token") && said.contains("is empty"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_who_is_there_and_who_owns_what() {
    let server = Server::start().await;
    let api = operator(&server);
    let nodes = items(&api, "/ops/nodes").await;
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let node = &nodes[0];
    for (key, value) in [
        ("id", json!(NODE)),
        ("state", json!("alive")),
        ("shards", json!(SHARDS)),
        ("beat_age_ms", json!(0)),
        ("cordoned", json!(false)),
        ("draining", json!(false)),
        ("answering", json!(true)),
    ] {
        assert_eq!(node[key], value, "{key} of {node}");
    }
    assert!(node["incarnation"].is_u64() && node["entities"].is_u64() && node["queued"].is_u64(), "{node}");

    let shards = items(&api, "/ops/shards").await;
    assert_eq!(shards.len(), SHARDS);
    for (number, shard) in shards.iter().enumerate() {
        assert_eq!(shard["id"], number);
        assert_eq!(shard["owner"], NODE, "{shard}");
        assert_eq!(
            (&shard["state"], &shard["pinned"], &shard["target"]),
            (&json!("owned"), &json!(false), &Value::Null)
        );
        assert!(shard["epoch"].as_u64().is_some_and(|epoch| epoch > 0) && shard["entities"].is_u64(), "{shard}");
    }
    assert_eq!(items(&api, &format!("/ops/shards?owner={NODE}&state=owned")).await.len(), SHARDS);
    assert!(items(&api, "/ops/shards?state=orphan").await.is_empty());
    assert!(items(&api, "/ops/shards?owner=nobody").await.is_empty());
    api.get("/ops/shards?state=lost").await.names("state");
    assert!(items(&api, "/ops/moves").await.is_empty());
    api.get("/ops/moves/17-1").await.refused(404);
    for month in ["2026", "2026-13", "november"] {
        api.get(&format!("/ops/audit?month={month}")).await.names("month");
    }
    assert!(items(&api, "/ops/audit?month=2001-01").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_is_found_with_and_without_its_organization() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    Member::sign_up(&server, "Elm Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Reception" })).await, "id");
    let api = operator(&server);
    let path = format!("/ops/entities/agent/{agent}");
    let named = api.get(&format!("{path}?tenant={}", owner.organization)).await.expect(200);
    let found = eventually("the agent's row", SOON, async || {
        let answer = api.get(&path).await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(found, named);
    assert_eq!(
        (text(&found, "tenant"), text(&found, "kind"), text(&found, "id")),
        (owner.organization.clone(), "agent".into(), agent)
    );
    assert_eq!((text(&found, "owner"), text(&found, "state")), (NODE.into(), "owned".into()));
    let shard = found["shard"].as_u64().expect("a number");
    let shards = items(&api, "/ops/shards").await;
    let listed = shards.iter().find(|listed| listed["id"] == shard).expect("one of the shards");
    assert_eq!(listed["epoch"], found["epoch"]);
    assert!(listed["entities"].as_u64().is_some_and(|entities| entities > 0), "the agent is in memory there: {listed}");
    api.get("/ops/entities/agent/nobody").await.refused(404);
    api.get("/ops/entities/teapot/x").await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_cannot_be_are_refused_by_name_and_all_are_written_down() {
    let server = Server::start().await;
    let api = operator(&server);
    // What is asked, its status, and what the audit log says of it.
    let orders: Vec<(&str, Value, u16, [&str; 4])> = vec![
        ("shards/17/move", json!({ "to": "nowhere" }), 404, ["shards.move", "shard 17", "to nowhere", "not_found"]),
        ("shards/17/move", json!({ "to": NODE }), 409, ["shards.move", "shard 17", "to node-1", "contradiction"]),
        ("shards/1024/move", json!({ "to": NODE }), 404, ["shards.move", "shard 1024", "to node-1", "not_found"]),
        ("shards/x/move", json!({ "to": NODE }), 404, ["shards.move", "shard x", "", "not_found"]),
        ("shards/17/move", json!({}), 422, ["shards.move", "shard 17", "", "invalid_fields"]),
        ("shards/17/move", json!({ "to": NODE, "at": "once" }), 422, ["shards.move", "shard 17", "", "invalid_fields"]),
        ("shards/1024/pin", json!({}), 404, ["shards.pin", "shard 1024", "", "not_found"]),
        ("shards/-1/unpin", json!({}), 404, ["shards.unpin", "shard -1", "", "not_found"]),
        ("nodes/nowhere/drain", json!({}), 404, ["nodes.drain", "node nowhere", "", "not_found"]),
        ("nodes/node-1/drain", json!({}), 409, ["nodes.drain", "node node-1", "", "contradiction"]),
        ("nodes/nowhere/cordon", json!({}), 404, ["nodes.cordon", "node nowhere", "", "not_found"]),
        ("nodes/nowhere/uncordon", json!({}), 404, ["nodes.uncordon", "node nowhere", "", "not_found"]),
        ("rebalance", json!({ "max_moves": -1 }), 422, ["rebalance", "cluster", "", "invalid_fields"]),
        ("shards/17/pin", json!({}), 202, ["shards.pin", "shard 17", "", "accepted"]),
        ("shards/17/unpin", json!({}), 202, ["shards.unpin", "shard 17", "", "accepted"]),
        ("nodes/node-1/cordon", json!({}), 202, ["nodes.cordon", "node node-1", "", "accepted"]),
        ("nodes/node-1/uncordon", json!({}), 202, ["nodes.uncordon", "node node-1", "", "accepted"]),
        (
            "rebalance",
            json!({ "dry_run": true, "max_moves": 5 }),
            202,
            ["rebalance", "cluster", "dry run, at most 5 moves", "accepted"],
        ),
        ("rebalance", json!({}), 202, ["rebalance", "cluster", "no limit", "accepted"]),
        ("rebalance/pause", json!({}), 202, ["pause", "cluster", "", "accepted"]),
        ("rebalance/resume", json!({}), 202, ["resume", "cluster", "", "accepted"]),
        ("pause", json!({}), 202, ["pause", "cluster", "", "accepted"]),
        ("resume", json!({}), 202, ["resume", "cluster", "", "accepted"]),
    ];
    for (path, body, status, _) in &orders {
        let answer = api.post(&format!("/ops/{path}"), body.clone()).await;
        if *status == 202 {
            assert_eq!(answer.expect(202), json!({ "moves": [] }), "{path}: a single node has nothing to move");
        } else {
            let detail = text(&answer.refused(*status), "detail");
            assert!(*status != 404 || detail.len() > "not found".len(), "{path}: {detail}");
        }
    }
    let log = items(&api, "/ops/audit").await;
    let told: Vec<[String; 4]> =
        log.iter().rev().map(|entry| ["action", "resource", "detail", "outcome"].map(|key| text(entry, key))).collect();
    let wanted: Vec<[String; 4]> = orders.iter().map(|(_, _, _, entry)| entry.map(str::to_owned)).collect();
    assert_eq!(told, wanted, "in the order they were given, newest first");
    for entry in &log {
        assert_eq!((text(entry, "actor"), text(entry, "node")), ("ops.token".into(), NODE.into()));
        assert!(text(entry, "at").ends_with('Z'), "{entry}");
    }
    let month = &text(&log[0], "at")[..7];
    assert_eq!(items(&api, &format!("/ops/audit?month={month}")).await, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_node_cannot_be_drained_and_stays_ready() {
    let server = Server::start().await;
    let api = operator(&server);
    let problem = api.post(&format!("/ops/nodes/{NODE}/drain"), json!({})).await.refused(409);
    assert!(text(&problem, "detail").contains("no other node"), "{problem}");
    assert_eq!(items(&api, "/ops/nodes").await[0]["draining"], false);
    api.get("/health/readyz").await.expect(200);
    Member::sign_up(&server, "Still Served").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_and_cordons_are_seen_and_outlive_the_node() {
    let mut server = Server::start().await;
    let api = operator(&server);
    // Twice is as good as once.
    for _ in 0..2 {
        api.post("/ops/shards/17/pin", json!({})).await.expect(202);
        api.post(&format!("/ops/nodes/{NODE}/cordon"), json!({})).await.expect(202);
    }
    let shown = async || {
        let shards = items(&api, "/ops/shards").await;
        let pinned: Vec<&Value> =
            shards.iter().filter(|shard| shard["pinned"] == true).map(|shard| &shard["id"]).collect();
        (json!(pinned), items(&api, "/ops/nodes").await[0]["cordoned"].clone())
    };
    assert_eq!(shown().await, (json!([17]), json!(true)));
    server.kill();
    server.boot().await;
    assert_eq!(shown().await, (json!([17]), json!(true)));
    assert_eq!(items(&api, "/ops/audit").await.len(), 4, "so does the audit log");
    api.post("/ops/shards/17/unpin", json!({})).await.expect(202);
    api.post(&format!("/ops/nodes/{NODE}/uncordon"), json!({})).await.expect(202);
    assert_eq!(shown().await, (json!([]), json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_says_the_same_as_tables_and_as_json() {
    let server = Server::start().await;
    let table = said(&ops(&server, &["nodes"], Some(OPS_TOKEN)).await);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("NODE") && lines[0].contains("SHARDS"), "{table}");
    assert!(lines[1].starts_with("node-1  alive  1024"), "{table}");
    assert_eq!(lines.len(), 2, "{table}");
    let listed: Value =
        serde_json::from_str(&said(&ops(&server, &["nodes", "--json"], Some(OPS_TOKEN)).await)).expect("JSON");
    assert_eq!(listed["items"][0]["id"], NODE);

    let short = said(&ops(&server, &["shards"], Some(OPS_TOKEN)).await);
    assert!(short.ends_with("… and 984 more (--all shows every line)\n"), "{short}");
    assert_eq!(said(&ops(&server, &["shards", "--all"], Some(OPS_TOKEN)).await).lines().count(), SHARDS + 1);
    assert_eq!(said(&ops(&server, &["shards", "--state", "orphan"], Some(OPS_TOKEN)).await), "none\n");
    assert_eq!(said(&ops(&server, &["moves"], Some(OPS_TOKEN)).await), "none\n");
    assert_eq!(said(&ops(&server, &["pin", "17"], Some(OPS_TOKEN)).await), "done\n");
    let dry = said(&ops(&server, &["rebalance", "--dry-run", "--json"], Some(OPS_TOKEN)).await);
    assert_eq!(serde_json::from_str::<Value>(&dry).expect("JSON"), json!({ "moves": [] }));

    refused(
        &ops(&server, &["move", "17", "--to", "nowhere"], Some(OPS_TOKEN)).await,
        "there is no node \"nowhere\" (not_found)",
    );
    refused(
        &ops(&server, &["drain", NODE], Some(OPS_TOKEN)).await,
        "no other node could take the shards of node-1 (contradiction)",
    );
    // An id is one part of the path, whatever it looks like: this is no other call.
    refused(
        &ops(&server, &["drain", "../pause?"], Some(OPS_TOKEN)).await,
        "there is no node \"../pause?\" (not_found)",
    );
    refused(&ops(&server, &["nodes"], Some("wrong")).await, "(unauthorized)");
    for nothing in [None, Some("")] {
        refused(
            &ops(&server, &["nodes"], nothing).await,
            "the operators' token is missing: --token, or COLLOQUY_OPS__TOKEN",
        );
    }
    let log = said(&ops(&server, &["audit"], Some(OPS_TOKEN)).await);
    assert!(log.lines().any(|line| line.contains("shards.pin") && line.contains("accepted")), "{log}");
    assert!(log.lines().any(|line| line.contains("../pause?") && line.contains("not_found")), "{log}");

    let nobody = support::free_port();
    let output = run(&["ops", "--ops", &format!("http://{nobody}"), "--token", "x", "nodes"], &[], &server.data());
    refused(&output, "no answer from the operators' listener");
    refused(&run(&["ops", "--ops", "nonsense", "--token", "x", "nodes"], &[], &server.data()), "--ops nonsense");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_of_the_platform_have_the_same_calls_on_the_public_listener() {
    let email = format!("admin-{}@example.com", random_id());
    let server = Server::start_with(&[("COLLOQUY_PLATFORM__ADMIN_EMAILS", &format!("[\"{email}\"]"))]).await;
    let nobody = server.api();
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    for (method, path) in [("GET", "/api/ops/nodes"), ("POST", "/api/ops/shards/17/pin"), ("POST", "/api/ops/pause")] {
        nobody.call(method, path, None).await.refused(401);
        nobody.bearer(OPS_TOKEN).call(method, path, None).await.refused(401);
        owner.api.call(method, path, None).await.refused(403);
    }
    let body = json!({ "email": email, "password": support::people::PASSWORD, "name": "Ada Admin",
        "organization": { "name": "Platform", "vertical": "home_services", "timezone": "UTC" } });
    server.api().post("/api/auth/signup", body).await.expect(201);
    let admin = proven(&server, &email).await;
    let nodes = admin.get("/api/ops/nodes").await.expect(200);
    assert_eq!(nodes["items"][0]["id"], NODE);
    admin.post("/api/ops/shards/17/pin", json!({})).await.expect(202);
    admin.post("/api/ops/shards/5000/pin", json!({})).await.refused(404);
    admin.get("/api/ops/nothing").await.refused(404);
    let me = text(&admin.get("/api/me").await.expect(200)["user"], "id");
    let log = items(&operator(&server), "/ops/audit").await;
    let told: Vec<(String, String)> = log.iter().map(|entry| (text(entry, "actor"), text(entry, "outcome"))).collect();
    assert_eq!(told, [(me.clone(), "not_found".into()), (me.clone(), "accepted".into())]);
    assert!(!json!(log).to_string().contains(&email), "the log names accounts, not people: {log:?}");
}

/// The token of somebody whose address is proven by a link in a mail.
async fn proven(server: &Server, email: &str) -> Api {
    server.api().post("/api/auth/magic-link", json!({ "email": email })).await.expect(202);
    let begin = server.url("/api/auth/magic/");
    let token = eventually("the letter with a link", SOON, async || {
        let letters = mailbox(server, email).await;
        letters.iter().find_map(|letter| {
            let link = letter["text"].as_str()?.split_whitespace().find(|word| word.starts_with(&begin))?;
            Some(link.trim_start_matches(&begin).to_owned())
        })
    })
    .await;
    let session = server.api().header("accept", "application/json").get(&format!("/api/auth/magic/{token}")).await;
    server.api().bearer(&text(&session.ok(), "access_token"))
}

fn operator(server: &Server) -> Api {
    server.ops_api().bearer(OPS_TOKEN)
}

async fn items(api: &Api, path: &str) -> Vec<Value> {
    let page = api.get(path).await.expect(200);
    assert_eq!(page["next_cursor"], Value::Null, "{path} is whole");
    page["items"].as_array().unwrap_or_else(|| panic!("{path}: {page}")).clone()
}

/// `colloquy ops …` against a server.
async fn ops(server: &Server, words: &[&str], token: Option<&str>) -> Output {
    let arguments: Vec<String> = ["ops"].iter().chain(words).map(|&word| word.to_owned()).collect();
    let mut environment = vec![("COLLOQUY_OPS_URL".to_owned(), format!("http://{}", server.ops))];
    environment.extend(token.map(|token| ("COLLOQUY_OPS__TOKEN".to_owned(), token.to_owned())));
    let folder = server.data();
    let work = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(key, value)| (&**key, &**value)).collect();
        run(&arguments, &environment, &folder)
    };
    tokio::task::spawn_blocking(work).await.expect("it ran")
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(output: &Output, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(why), "{why:?} is not in {told:?}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}
