//! Calls that Vapi carries, through the real binary: it asks who answers, asks for each turn as an OpenAI client would, posts what happens, and asks again
//! when an answer is lost.

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use support::client::{Answer, Api};
use support::people::{Member, SOON, text};
use support::site::Site;
use support::{Server, eventually};

/// Somebody's telephone.
const ANN: &str = "+12175550133";
/// Where people are put through to.
const DESK: &str = "+12175550177";
/// Our number at Vapi.
const OURS: &str = "+12175550100";
/// The keys of the account.
const PRIVATE: &str = "private-key-of-the-simulated-account";
const SECRET: &str = "server-secret-of-the-tests";
/// What the agent knows, and says first.
const HOURS: &str = "We are open from nine to six on weekdays. On Sundays we are closed.";
const GREETING: &str = "Oak Plumbing, this is the AI assistant. How can I help?";

/// Vapi's own interface: it knows one number, for whoever has the key.
async fn vapi() -> Site {
    async fn numbers(headers: HeaderMap) -> Response {
        if headers.get(header::AUTHORIZATION).is_none_or(|key| key != format!("Bearer {PRIVATE}").as_str()) {
            return (StatusCode::UNAUTHORIZED, r#"{"message":"Invalid Key"}"#).into_response();
        }
        ([(header::CONTENT_TYPE, "application/json")], json!([{ "id": "p1", "number": OURS }]).to_string())
            .into_response()
    }
    Site::router(Router::new().route("/phone-number", get(numbers))).await
}

/// A server whose Vapi is the simulated one, and an owner with an agent that answers its number.
async fn founded(more: Value) -> (Server, Member, String, Site) {
    let vapi = vapi().await;
    let server = Server::start_with(&[("COLLOQUY_VOICE__VAPI__URL", &vapi.url(""))]).await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let scripts = json!({ "greeting": GREETING, "after_hours": GREETING, "transfer": "I am connecting you now." });
    let mut body =
        json!({ "vertical": "home_services", "name": "Oak", "voice_enabled": true, "voice_scripts": scripts });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let agent = text(&owner.agent(body).await, "id");
    let faq = json!({ "question": "When are you open?", "answer": HOURS });
    owner.api.post(&format!("/api/agents/{agent}/faqs"), faq).await.expect(201);
    eventually("the answer is found", SOON, || async {
        let body = json!({ "query": "When are you open?" });
        let found = owner.api.post(&format!("/api/agents/{agent}/search"), body).await.expect(200);
        found["faqs"].as_array().is_some_and(|faqs| !faqs.is_empty()).then_some(())
    })
    .await;
    connect(&owner, PRIVATE).await.expect(200);
    let number = json!({ "number": OURS, "provider": "vapi", "agent_id": agent });
    owner.api.post("/api/voice/numbers", number).await.expect(201);
    (server, owner, agent, vapi)
}

async fn connect(owner: &Member, key: &str) -> Answer {
    let keys = json!({ "api_key": key, "server_secret": SECRET });
    owner.api.post("/api/integrations/vapi/connect", keys).await
}

/// Where the account's messages go.
async fn webhook(owner: &Member) -> String {
    let accounts = owner.api.list("/api/integrations").await;
    let account = accounts.iter().find(|account| account["provider"] == "vapi").expect("an account");
    let address = text(account, "webhook_url");
    address[address.find("/api/").expect("a path")..].to_owned()
}

/// A message of Vapi's about a call.
fn about(call: &str, more: Value) -> Value {
    let mut message = json!({ "timestamp": 1_700_000_000_000_i64, "call": { "id": call, "type": "inboundPhoneCall" },
        "customer": { "number": ANN }, "phoneNumber": { "number": OURS } });
    for (name, value) in more.as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
    json!({ "message": message })
}

fn vendor(server: &Server) -> Api {
    server.api().header("x-vapi-secret", SECRET)
}

async fn post(server: &Server, path: &str, call: &str, more: Value) -> Value {
    vendor(server).post(path, about(call, more)).await.expect(200)
}

fn said(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// A question as Vapi asks it.
fn ask(call: &str, messages: &[Value]) -> Value {
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
    json!({ "model": "colloquy", "stream": true, "temperature": 0.5, "max_tokens": 250, "messages": messages,
        "tools": [tool("endCall"), tool("transferCall")], "call": { "id": call, "type": "inboundPhoneCall" },
        "phoneNumber": { "number": OURS }, "customer": { "number": ANN } })
}

/// What an answer said, how it ended, and which tool it called.
#[derive(Debug, PartialEq)]
struct Heard {
    words: String,
    pieces: usize,
    finish: String,
    tool: Option<String>,
}

/// Reads a stream as an OpenAI client does.
fn heard(answer: &Answer) -> Heard {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let mut heard = Heard { words: String::new(), pieces: 0, finish: String::new(), tool: None };
    let mut done = false;
    for event in answer.text.split("\n\n").filter(|event| !event.is_empty() && !event.starts_with(':')) {
        let data = event.strip_prefix("data: ").expect("an event");
        assert!(!done, "nothing follows the end: {data}");
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).expect("JSON");
        let choice = &chunk["choices"][0];
        if let Some(words) = choice["delta"]["content"].as_str().filter(|words| !words.is_empty()) {
            heard.words += words;
            heard.pieces += 1;
        }
        if let Some(name) = choice["delta"]["tool_calls"][0]["function"]["name"].as_str() {
            heard.tool = Some(name.to_owned());
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            finish.clone_into(&mut heard.finish);
        }
    }
    assert!(done, "it ended: {}", answer.text);
    heard.words = heard.words.trim().to_owned();
    heard
}

async fn asked(server: &Server, path: &str, call: &str, messages: &[Value]) -> Heard {
    heard(&server.api().post(path, ask(call, messages)).await)
}

/// The address that an assistant of the agent asks.
async fn model(owner: &Member, agent: &str) -> String {
    let shown = owner.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    let address = text(&shown, "vapi_url");
    format!("{}/chat/completions", &address[address.find("/api/").expect("a path")..])
}

async fn call_is(owner: &Member, status: &str) -> Value {
    eventually(&format!("the call is {status}"), SOON, || async {
        owner.api.list("/api/voice/calls").await.first().filter(|call| call["status"] == status).cloned()
    })
    .await
}

fn lines(shown: &Value) -> Vec<(String, String)> {
    let messages = shown["messages"].as_array().into_iter().flatten();
    let all = messages.map(|message| (text(message, "role"), text(message, "content")));
    all.filter(|(_, words)| !words.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_call_from_who_answers_to_the_report() {
    let (server, owner, agent, _vapi) = founded(json!({ "escalation_phone": DESK })).await;
    let hook = webhook(&owner).await;
    // The number's assistant is made for the call; its greeting stands in the conversation.
    let made = post(&server, &hook, "call_1", json!({ "type": "assistant-request" })).await;
    let assistant = &made["assistant"];
    assert_eq!(assistant["firstMessage"], GREETING, "{made}");
    assert_eq!(
        (&assistant["model"]["provider"], &assistant["model"]["metadataSendMode"]),
        (&json!("custom-llm"), &json!("variable"))
    );
    let path = model(&owner, &agent).await;
    let url = format!("{}/chat/completions", text(&assistant["model"], "url"));
    assert!(url.ends_with(&path), "{url} {path}");
    let again = post(&server, &hook, "call_1", json!({ "type": "assistant-request" })).await;
    assert_eq!(again, made, "asked twice, one call");
    post(&server, &hook, "call_1", json!({ "type": "status-update", "status": "in-progress" })).await;

    let first = [said("system", "x"), said("assistant", GREETING), said("user", "When are you open?")];
    let told = asked(&server, &path, "call_1", &first).await;
    assert!(told.words.contains("nine to six") && told.pieces > 1, "sentence by sentence: {told:?}");
    assert_eq!((told.finish.as_str(), &told.tool), ("stop", &None));
    // Its answer was lost on the way: the same words, and no second turn.
    assert_eq!(asked(&server, &path, "call_1", &first).await.words, told.words);

    // Interrupted: what was heard is what stands. And asked too early: the longer words take the place of the shorter ones.
    let mut second = first.to_vec();
    second.extend([said("assistant", "We are open from nine"), said("user", "And do you")]);
    asked(&server, &path, "call_1", &second).await;
    second.push(said("user", "fix boilers?"));
    asked(&server, &path, "call_1", &second).await;
    let call = call_is(&owner, "in_progress").await;
    assert_eq!((&call["provider"], &call["from"], &call["to"]), (&json!("vapi"), &json!(ANN), &json!(OURS)));
    let conversation = text(&call, "conversation_id");
    let stands = lines(&owner.settled(&conversation, SOON).await);
    assert_eq!(stands[0].1, GREETING, "{stands:?}");
    assert_eq!((stands[1].1.as_str(), stands[2].1.as_str()), ("When are you open?", "We are open from nine"));
    assert_eq!(stands[3].1, "And do you fix boilers?", "{stands:?}");
    assert_eq!(stands.iter().filter(|(role, _)| role == "user").count(), 2, "{stands:?}");

    // Somebody is wanted: the call is handed on where the business's telephone is.
    let mut third = second.clone();
    third.extend([said("assistant", &stands[4].1), said("user", "I want to speak to a person")]);
    let handed = asked(&server, &path, "call_1", &third).await;
    assert_eq!((handed.tool.as_deref(), handed.finish.as_str()), (Some("transferCall"), "tool_calls"), "{handed:?}");
    assert!(handed.words.ends_with("I am connecting you now."), "{handed:?}");
    let again = asked(&server, &path, "call_1", &third).await;
    assert_eq!((&again.words, &again.tool), (&handed.words, &handed.tool), "also when it is asked for again");
    let whereto = post(&server, &hook, "call_1", json!({ "type": "transfer-destination-request" })).await;
    assert_eq!(whereto["destination"]["number"], DESK, "{whereto}");

    let report = json!({ "type": "end-of-call-report", "endedReason": "assistant-forwarded-call", "cost": 0.0725,
        "startedAt": "2026-01-05T10:00:00.000Z", "endedAt": "2026-01-05T10:01:30.000Z", "artifact": { "transcript": "x" } });
    post(&server, &hook, "call_1", report.clone()).await;
    post(&server, &hook, "call_1", report).await;
    let over = call_is(&owner, "transferred").await;
    assert_eq!(over["duration"], 90, "{over}");
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1);
    // What comes late is sent away, and ends there too.
    let late = asked(&server, &path, "call_1", &third).await;
    assert_eq!((late.words.as_str(), late.tool.as_deref()), ("", Some("endCall")));
    owner.counted(json!({ "calls_answered": 1 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_after_the_server_was_killed_and_goodbye_ends_it() {
    let (mut server, owner, agent, _vapi) = founded(json!({})).await;
    let path = model(&owner, &agent).await;
    // An assistant that was set up by hand and lets the model speak first.
    let greeted = asked(&server, &path, "call_1", &[said("system", "x")]).await;
    assert_eq!((greeted.words.as_str(), greeted.finish.as_str()), (GREETING, "stop"));
    let mut messages = vec![said("system", "x"), said("assistant", GREETING), said("user", "My name is Ann Lee")];
    let told = asked(&server, &path, "call_1", &messages).await;
    messages.extend([said("assistant", &told.words), said("user", "When are you open?")]);
    // In the middle of a turn.
    let (api, body, to) = (server.api(), ask("call_1", &messages), path.clone());
    let cut = tokio::spawn(async move { api.try_call("POST", &to, Some(&body)).await.map(|answer| answer.text) });
    let before = owner.clone();
    eventually("the words stand", SOON, || async {
        let call = before.api.list("/api/voice/calls").await.first().cloned()?;
        let shown = before.conversation(&text(&call, "conversation_id")).await;
        lines(&shown).iter().any(|(_, words)| words == "When are you open?").then_some(())
    })
    .await;
    server.kill();
    let _ = cut.await;
    server.boot().await;
    let owner = owner.at(&server);
    let told = asked(&server, &path, "call_1", &messages).await;
    assert_eq!(told.words.matches("nine to six").count(), 1, "once: {told:?}");
    let call = call_is(&owner, "in_progress").await;
    let stands = lines(&owner.settled(&text(&call, "conversation_id"), SOON).await);
    assert_eq!(stands.iter().filter(|(_, words)| words == "When are you open?").count(), 1, "{stands:?}");
    assert_eq!(stands.iter().filter(|(_, words)| words.contains("nine to six")).count(), 1, "{stands:?}");
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1, "one call");

    messages.extend([said("assistant", &told.words), said("user", "Thank you, goodbye!")]);
    let bye = asked(&server, &path, "call_1", &messages).await;
    assert_eq!((bye.tool.as_deref(), bye.finish.as_str()), (Some("endCall"), "tool_calls"), "{bye:?}");
    // The bare address, where the number says whose call it is.
    let ended = json!({ "type": "status-update", "status": "ended", "endedReason": "assistant-ended-call" });
    post(&server, "/api/voice/vapi/webhook", "call_1", ended).await;
    call_is(&owner, "completed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_prove_to_be_vapi_is_refused_and_what_vapi_says_is_never_an_error() {
    let (server, owner, agent, _vapi) = founded(json!({ "escalation_phone": DESK })).await;
    // Keys are tried before they are kept.
    let refused = connect(&owner, "wrong").await.refused(409);
    assert!(text(&refused, "detail").contains("Vapi"), "{refused}");
    let foreign = json!({ "number": "+12175550199", "provider": "vapi", "agent_id": agent });
    owner.api.post("/api/voice/numbers", foreign).await.refused(409);

    let hook = webhook(&owner).await;
    let ended = about("call_1", json!({ "type": "status-update", "status": "ended", "endedReason": "voicemail" }));
    for path in
        [hook.as_str(), "/api/voice/vapi/webhook", "/api/voice/vapi/webhook/vapi-nobody", "/api/voice/vapi/webhook/x"]
    {
        for api in [server.api(), server.api().header("x-vapi-secret", "wrong"), server.api().bearer("wrong")] {
            api.post(path, ended.clone()).await.refused(401);
        }
    }
    let question = ask("call_1", &[said("user", "When are you open?")]);
    let bare = "/api/voice/vapi/chat/completions";
    for api in [server.api(), server.api().bearer("wrong")] {
        let refused = api.post(bare, question.clone()).await.expect(401);
        assert_eq!(refused["error"]["code"], "invalid_api_key", "as OpenAI's clients read it");
    }
    let path = model(&owner, &agent).await;
    let other = path.replacen(&agent, "another", 1);
    assert_eq!(server.api().post(&other, question.clone()).await.expect(404)["error"]["type"], "invalid_request_error");
    assert!(owner.api.list("/api/voice/calls").await.is_empty(), "nothing of it left a trace");

    // With the secret, in each of the three ways.
    let words = heard(&server.api().bearer(SECRET).post(bare, question.clone()).await).words;
    assert!(words.contains("nine to six"), "{words}");
    let named = json!({ "metadata": { "agent_id": agent }, "messages": [said("user", "Hello")], "stream": true, "call": { "id": "call_2" } });
    heard(&vendor(&server).post(bare, named).await);
    for body in ["", "[]", "{}", r#"{"message":{}}"#, r#"{"message":{"type":"session.created"}}"#, "\u{0}"] {
        let answer =
            vendor(&server).try_raw("POST", &hook, "application/json", Some(body.into())).await.expect("answered");
        assert_eq!((answer.status, answer.text.as_str()), (200, "{}"), "{body:?}");
    }
    for body in ["", "{}", r#"{"messages":5}"#] {
        let answer =
            server.api().try_raw("POST", &path, "application/json", Some(body.into())).await.expect("answered");
        assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!("invalid_request")), "{body:?}");
    }
    let nameless = json!({ "messages": [said("user", "Hi")], "stream": true });
    let answer = server.api().post(&path, nameless).await.expect(400);
    assert!(text(&answer["error"], "message").contains("metadataSendMode"), "{answer}");
    for kind in ["transcript", "hang", "speech-update", "user-interrupted", "conversation-update", "status-update"] {
        post(&server, &hook, "nobody-knows", json!({ "type": kind, "transcript": "x", "status": "queued" })).await;
    }
    // Tools of an assistant whose words are not ours.
    let call = json!([{ "id": "t1", "type": "function", "function": { "name": "search_knowledge", "arguments": { "query": "When are you open?" } } },
        { "id": "t2", "type": "function", "function": { "name": "launch", "arguments": "{}" } }]);
    let found = post(&server, &hook, "call_1", json!({ "type": "tool-calls", "toolCallList": call })).await;
    assert!(text(&found["results"][0], "result").contains("nine to six"), "{found}");
    assert!(text(&found["results"][1], "error").contains("search_knowledge"), "{found}");
    // The list of those who must not be called holds for Vapi's campaigns too.
    let predial =
        |number: &str| json!({ "type": "campaign.predial", "campaignId": "k", "contact": { "number": number } });
    assert_eq!(post(&server, &hook, "x", predial(ANN)).await, json!({ "eligible": true }));
    let listed = json!({ "channel": "phone", "address": ANN, "reason": "asked" });
    owner.api.post("/api/dnc", listed).await.expect(201);
    assert_eq!(post(&server, &hook, "x", predial(ANN)).await, json!({ "eligible": false }));
    // An agent that is switched off answers nobody.
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_enabled": false })).await.expect(200);
    let nobody = post(&server, &hook, "call_9", json!({ "type": "assistant-request" })).await;
    assert!(text(&nobody, "error").contains("not in service"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_own_client_reads_the_stream_of_the_running_server() {
    let (server, owner, agent, _vapi) = founded(json!({})).await;
    let path = model(&owner, &agent).await;
    let base = format!("http://{}{}", server.http, path.trim_end_matches("/chat/completions"));
    let own = ask("call_1", &[said("assistant", GREETING), said("user", "When are you open?")]);
    let task = json!({ "base_url": base, "key": "unused", "ask": own, "refuse": { "call": null } });
    let answer = tokio::task::spawn_blocking(move || peer("openai", &task)).await.expect("it ran");
    let heard = &answer["heard"];
    let words = text(heard, "text");
    assert!(words.contains("nine to six") && heard["chunks"].as_u64() > Some(3), "{answer}");
    assert_eq!((&heard["finish"], &heard["usage"]["total_tokens"]), (&json!("stop"), &json!(0)));
    assert_eq!(text(&answer, "whole"), words.trim(), "asked again, the same answer");
    assert_eq!((&answer["refused"]["status"], &answer["refused"]["code"]), (&json!(400), &json!("missing_call")));
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1);
}

/// Runs a vendor's own package.
fn peer(name: &str, task: &Value) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
    assert!(folder.join("node_modules").is_dir(), "the vendors' packages are not there: `npm ci` in tests/peers");
    let script = folder.join(format!("{name}.mjs"));
    let mut child =
        Command::new("node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
    child.stdin.take().expect("piped").write_all(task.to_string().as_bytes()).expect("taken");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{name}.mjs failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}
