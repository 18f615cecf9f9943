//! Calls through the real binary, over the sockets that voice providers open: greeted, answered in sentences, interrupted, reminded, put through and
//! hung up; the same conversation as the person's messages; and gone on with when a connection or the server is lost.

mod support;

use std::time::Duration;

use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::signature::{Covered, sign};
use serde_json::{Value, json};
use support::carrier::{ACCOUNT, Carrier, TOKEN, connect_twilio, only_conversation, post_form, text_from};
use support::client::Answer;
use support::people::{Member, SOON, Visitor, text};
use support::screen::Screen;
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// Somebody's telephone.
const ANN: &str = "+12175550133";
/// Where people are put through to.
const DESK: &str = "+12175550177";
/// Our number at the voice provider.
const OURS: &str = "+12175550100";
/// What the agent knows.
const HOURS: &str = "We are open from nine to six on weekdays. On Sundays we are closed.";

/// An owner with an agent that answers the phone, and the address its provider opens.
async fn founded(server: &Server, more: Value) -> (Member, String, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let mut body = json!({ "vertical": "home_services", "name": "Oak", "voice_enabled": true, "voice_welcome_message": "Oak Plumbing, this is the AI assistant. How can I help?" });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let agent = text(&owner.agent(body).await, "id");
    let scripts = json!({ "voice_scripts": { "greeting": "Oak Plumbing, this is the AI assistant. How can I help?", "after_hours": "Oak Plumbing, this is the AI assistant. How can I help?" } });
    owner.api.patch(&format!("/api/agents/{agent}"), scripts).await.expect(200);
    let faq = json!({ "question": "When are you open?", "answer": HOURS });
    owner.api.post(&format!("/api/agents/{agent}/faqs"), faq).await.expect(201);
    eventually("the answer is found", SOON, || async {
        let body = json!({ "query": "When are you open?" });
        let found = owner.api.post(&format!("/api/agents/{agent}/search"), body).await.expect(200);
        found["faqs"].as_array().is_some_and(|faqs| !faqs.is_empty()).then_some(())
    })
    .await;
    let shown = owner.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    let address = text(&shown, "voice_socket_url");
    let path = address[address.find("/api/").expect("a path")..].to_owned();
    (owner, agent, path)
}

fn call_details(call: &str, from: Option<&str>) -> Value {
    let mut details = json!({ "interaction_type": "call_details", "call": { "call_id": call, "call_type": "phone_call", "agent_id": "ra", "call_status": "registered", "direction": "inbound", "to_number": OURS } });
    if let Some(from) = from {
        details["call"]["from_number"] = json!(from);
    }
    details
}

fn said(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

fn asked(id: u64, transcript: &[Value]) -> Value {
    json!({ "interaction_type": "response_required", "response_id": id, "transcript": transcript })
}

/// A call as Retell makes it: the socket, greeted.
async fn called(server: &Server, path: &str, call: &str, from: Option<&str>) -> (Socket, String) {
    let mut socket = Socket::open(server.http, &format!("{path}/{call}")).await.expect("the socket opens");
    let config = socket.try_next().await.expect("a frame").expect("config");
    assert_eq!(config["response_type"], "config", "it comes first: {config}");
    assert_eq!((&config["config"]["auto_reconnect"], &config["config"]["call_details"]), (&json!(true), &json!(true)));
    socket.send(&call_details(call, from)).await;
    let greeting = answer(&mut socket, 0).await;
    (socket, text(&greeting, "words"))
}

/// Reads an answer to its end: its words, its pieces and what follows.
async fn answer(socket: &mut Socket, id: u64) -> Value {
    let (mut words, mut pieces) = (String::new(), 0);
    loop {
        let frame = socket.try_next().await.expect("a frame in time").expect("the socket stays open");
        if frame["response_type"] != "response" || frame["response_id"] != id {
            continue;
        }
        words += frame["content"].as_str().expect("content");
        pieces += 1;
        if frame["content_complete"] == true {
            let mut answer = frame.clone();
            answer["words"] = json!(words.trim());
            answer["pieces"] = json!(pieces);
            return answer;
        }
    }
}

async fn only_call(owner: &Member) -> Value {
    eventually("the call is listed", SOON, || async { owner.api.list("/api/voice/calls").await.first().cloned() }).await
}

async fn call_is(owner: &Member, status: &str) -> Value {
    eventually(&format!("the call is {status}"), SOON, || async {
        owner.api.list("/api/voice/calls").await.first().filter(|call| call["status"] == status).cloned()
    })
    .await
}

fn contents(shown: &Value) -> Vec<(String, String)> {
    let messages = shown["messages"].as_array().into_iter().flatten();
    messages.map(|message| (text(message, "role"), text(message, "content"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_greeted_answered_from_the_knowledge_and_judged_when_it_is_over() {
    let server = Server::start().await;
    let (owner, agent, path) = founded(&server, json!({})).await;
    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    assert_eq!(greeting, "Oak Plumbing, this is the AI assistant. How can I help?");
    let first = socket.seen.iter().find(|frame| frame["response_id"] == 0).expect("a greeting").clone();
    assert_eq!(first["no_interruption_allowed"], true, "what must be heard is heard: {first}");
    socket.send(&json!({ "interaction_type": "ping_pong", "timestamp": 1234 })).await;
    let pong = socket.until("a pong", |frame| frame["response_type"] == "ping_pong").await;
    assert_eq!(pong["timestamp"], 1234);

    let transcript = [said("agent", &greeting), said("user", "When are you open?")];
    socket.send(&asked(1, &transcript)).await;
    let told = answer(&mut socket, 1).await;
    assert!(text(&told, "words").contains("nine to six"), "{told}");
    assert!(told["pieces"].as_u64() > Some(1), "sentence by sentence: {:?}", socket.seen);
    assert!(told["end_call"].is_null());

    let call = only_call(&owner).await;
    assert_eq!((&call["status"], &call["from"], &call["to"]), (&json!("in_progress"), &json!(ANN), &json!(OURS)));
    let conversation = text(&call, "conversation_id");
    let live = owner.api.list("/api/conversations").await;
    assert_eq!((&live[0]["on_call"], &live[0]["channel"]), (&call["id"], &json!("voice")));
    let transcript = [
        said("agent", &greeting),
        said("user", "When are you open?"),
        said("agent", HOURS),
        said("user", "Thank you, goodbye!"),
    ];
    socket.send(&asked(2, &transcript)).await;
    let bye = answer(&mut socket, 2).await;
    assert_eq!(bye["end_call"], true, "{bye}");
    socket.close().await;

    let call = call_is(&owner, "completed").await;
    let detail = eventually("it is judged", SOON, || async {
        let shown = owner.api.get(&format!("/api/voice/calls/{}", text(&call, "id"))).await.expect(200);
        (!shown["score"].is_null()).then_some(shown)
    })
    .await;
    assert_eq!((&detail["reviewed_by"], &detail["agent_id"]), (&json!("rules"), &json!(agent)));
    let sum: i64 = detail["score_reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .filter_map(|reason| reason["points"].as_i64())
        .sum();
    assert_eq!(detail["score"].as_i64(), Some(sum), "{detail}");
    let transcript = detail["transcript"].as_array().expect("a transcript");
    assert_eq!(transcript.len(), 5, "{transcript:?}");
    assert!(transcript.iter().all(|message| message["call_id"] == detail["id"] && message["channel"] == "voice"));
    let shown = owner.conversation(&conversation).await;
    assert_eq!(shown["conversation"]["calls"], json!([detail["id"]]));
    assert_eq!(shown["conversation"]["visitor_phone"], ANN);
    owner.counted(json!({ "calls_answered": 1, "calls_missed": 0 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_was_said_into_an_interruption_only_what_was_heard_stands() {
    let server = Server::start().await;
    let (owner, _, path) = founded(&server, json!({})).await;
    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    // Asked too early: the caller goes on, and the longer words take the place of the shorter ones.
    socket.send(&asked(1, &[said("agent", &greeting), said("user", "When are")])).await;
    let early = answer(&mut socket, 1).await;
    assert!(early["end_call"].is_null());
    socket.send(&asked(2, &[said("agent", &greeting), said("user", "When are you open?")])).await;
    let told = answer(&mut socket, 2).await;
    assert!(text(&told, "words").contains("nine to six"), "{told}");
    let heard = [
        said("agent", &greeting),
        said("user", "When are you open?"),
        said("agent", "We are open from nine"),
        said("user", "And do you fix boilers?"),
    ];
    socket.send(&json!({ "interaction_type": "update_only", "transcript": heard, "turntaking": "user_turn" })).await;
    socket.send(&asked(3, &heard)).await;
    answer(&mut socket, 3).await;
    let conversation = text(&only_call(&owner).await, "conversation_id");
    let shown = owner.settled(&conversation, SOON).await;
    let lines = contents(&shown);
    let spoken: Vec<&str> = lines.iter().filter(|(_, text)| !text.is_empty()).map(|(_, text)| text.as_str()).collect();
    assert_eq!(spoken[1], "When are you open?", "{lines:?}");
    assert_eq!(spoken[2], "We are open from nine", "{lines:?}");
    assert_eq!(lines.iter().filter(|(role, _)| role == "user").count(), 2, "{lines:?}");
    let cut = shown["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .find(|message| message["content"] == "We are open from nine")
        .expect("cut");
    assert!(text(cut, "unheard").contains("six on weekdays"), "{cut}");
    // Silence is noticed, and ends the call at the second time.
    let reminder = |id: u64| json!({ "interaction_type": "reminder_required", "response_id": id, "transcript": heard });
    socket.send(&reminder(4)).await;
    let reminded = answer(&mut socket, 4).await;
    assert_eq!((&reminded["words"], &reminded["end_call"]), (&json!("Are you still there?"), &Value::Null));
    socket.send(&reminder(5)).await;
    assert_eq!(answer(&mut socket, 5).await["end_call"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_after_the_server_was_killed_and_nothing_is_lost_or_said_twice() {
    let mut server = Server::start().await;
    let (owner, _, path) = founded(&server, json!({})).await;
    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    let first = [said("agent", &greeting), said("user", "My name is Ann Lee")];
    socket.send(&asked(1, &first)).await;
    let told = answer(&mut socket, 1).await;
    // In the middle of the next turn.
    let mut second = first.to_vec();
    second.extend([said("agent", &text(&told, "words")), said("user", "When are you open?")]);
    socket.send(&asked(2, &second)).await;
    server.kill();
    drop(socket);
    server.boot().await;
    let owner = owner.at(&server);

    // Retell comes back for the same call, and asks again.
    let mut socket = Socket::open(server.http, &format!("{path}/call_1")).await.expect("it opens again");
    let config = socket.try_next().await.expect("a frame").expect("config");
    assert_eq!(config["response_type"], "config");
    let released = answer(&mut socket, 0).await;
    assert_eq!(released["words"], "", "the greeting is not spoken again: {released}");
    socket.send(&asked(3, &second)).await;
    let told = answer(&mut socket, 3).await;
    assert!(text(&told, "words").contains("nine to six"), "{told}");
    assert_eq!(text(&told, "words").matches("nine to six").count(), 1, "once: {told}");
    let call = only_call(&owner).await;
    let shown = owner.settled(&text(&call, "conversation_id"), SOON).await;
    let lines = contents(&shown);
    assert_eq!(lines.iter().filter(|(_, text)| text == "When are you open?").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|(_, text)| text.contains("nine to six")).count(), 1, "{lines:?}");
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1, "one call");
    // Asked for once more, because that answer was lost on the way: the same words, and no second message.
    socket.send(&asked(4, &second)).await;
    let again = answer(&mut socket, 4).await;
    assert_eq!(again["words"], told["words"]);
    assert_eq!(contents(&owner.settled(&text(&call, "conversation_id"), SOON).await), lines);

    // A second connection for the same call takes its place; the first says nothing any more.
    let mut other = Socket::open(server.http, &format!("{path}/call_1")).await.expect("it opens");
    other.try_next().await.expect("a frame");
    answer(&mut other, 0).await;
    let gone = socket.next_within(SOON).await;
    assert!(matches!(gone, Ok(None) | Err(_)), "{gone:?}");
    other.send(&asked(5, &second)).await;
    assert_eq!(answer(&mut other, 5).await["words"], told["words"]);
    assert_eq!(only_call(&owner).await["status"], "in_progress");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_starts_in_the_widget_goes_on_by_text_message_and_finishes_by_phone() {
    let carrier = Carrier::start().await;
    let server = carrier.server(&[]).await;
    let (owner, agent, path) = founded(&server, json!({})).await;
    connect_twilio(&owner, &agent).await;
    let mut visitor = Visitor::new(&server, &agent);
    visitor.say("My name is Ann Lee").await;
    let code = visitor
        .api()
        .post(&format!("/api/chat/{}/continue", visitor.talk()), json!({ "channel": "sms" }))
        .await
        .expect(201);
    text_from(&server, ANN, &text(&code, "text")).await.expect(200);
    carrier.has_sent(ANN, 1).await;
    let conversation = visitor.talk().to_owned();
    assert_eq!(only_conversation(&owner, "chat").await, conversation);

    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    socket.send(&asked(1, &[said("agent", &greeting), said("user", "When are you open?")])).await;
    answer(&mut socket, 1).await;
    let call = only_call(&owner).await;
    assert_eq!(text(&call, "conversation_id"), conversation, "one conversation");
    let shown = owner.settled(&conversation, SOON).await;
    assert_eq!(shown["conversation"]["channels"], json!(["chat", "voice", "sms"]));
    assert_eq!(shown["conversation"]["visitor_name"], "Ann Lee", "nothing is asked twice");
    // A stranger's number does not get there.
    let (_other, _) = called(&server, &path, "call_2", Some("+12175550144")).await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    for member in [&owner, &viewer] {
        let calls = member.api.list("/api/voice/calls").await;
        assert_ne!(calls[0]["conversation_id"], calls[1]["conversation_id"]);
        // Who it is says the conversation, to whoever may read that.
        let known = calls.iter().find(|call| call["conversation_id"] == json!(conversation)).expect("Ann's call");
        assert_eq!((&known["name"], &known["phone"]), (&json!("Ann Lee"), &json!(ANN)), "{known}");
        let stranger = calls.iter().find(|call| call["conversation_id"] != json!(conversation)).expect("the other");
        assert!(stranger["name"].is_null() && stranger["campaign_name"].is_null(), "{stranger}");
    }
    let shown = owner.api.get(&format!("/api/voice/calls/{}", text(&call, "id"))).await.expect(200);
    assert_eq!(shown["name"], "Ann Lee");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_watch_a_call_speak_in_it_put_it_through_and_end_it() {
    let server = Server::start().await;
    let (owner, _, path) = founded(&server, json!({ "escalation_phone": DESK })).await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let mut board = Screen::open(&server, &viewer, "calls").await;
    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    socket.send(&asked(1, &[said("agent", &greeting), said("user", "When are you open?")])).await;
    answer(&mut socket, 1).await;
    let call = only_call(&owner).await;
    let (id, conversation) = (text(&call, "id"), text(&call, "conversation_id"));
    board.until("the call", |screen| screen.data[&id]["status"] == "in_progress").await;
    owner
        .api
        .post(&format!("/api/conversations/{conversation}/messages"), json!({ "content": "Rita from Oak here." }))
        .await
        .expect(201);
    let spoken = socket.until("the person's words", |frame| frame["response_type"] == "agent_interrupt").await;
    assert_eq!((&spoken["content"], &spoken["content_complete"]), (&json!("Rita from Oak here."), &json!(true)));
    // While the person has the floor the assistant is silent, and the caller is not left hanging.
    socket
        .send(&asked(
            2,
            &[
                said("agent", &greeting),
                said("user", "When are you open?"),
                said("agent", "Rita from Oak here."),
                said("user", "Hello Rita"),
            ],
        ))
        .await;
    assert_eq!(answer(&mut socket, 2).await["words"], "");

    let path = format!("/api/voice/calls/{id}");
    viewer.api.get(&path).await.expect(200);
    viewer.api.post(&format!("{path}/transfer"), json!({ "to": DESK })).await.refused(403);
    viewer.api.post(&format!("{path}/hangup"), json!({})).await.refused(403);
    owner.api.post(&format!("{path}/transfer"), json!({ "to": "the desk" })).await.names("to");
    owner.api.post(&format!("{path}/transfer"), json!({ "to": DESK, "kind": "soft" })).await.names("kind");
    let warm = owner.api.post(&format!("{path}/transfer"), json!({ "to": DESK, "kind": "warm" })).await.refused(409);
    assert_eq!(warm["code"], "warm_not_possible");
    owner.api.post(&format!("{path}/transfer"), json!({ "to": DESK })).await.expect(202);
    let through = socket.until("the transfer", |frame| frame["transfer_number"] == DESK).await;
    assert_eq!(through["response_type"], "agent_interrupt");
    owner.api.post(&format!("{path}/hangup"), json!({})).await.expect(202);
    let ended = socket.next_within(Duration::from_secs(10)).await;
    assert!(matches!(ended, Ok(None)), "{ended:?}");
    call_is(&owner, "transferred").await;
    board.until("how it ended", |screen| screen.data[&id]["status"] == "transferred").await;
    owner.api.post(&format!("{path}/hangup"), json!({})).await.refused(409);
    owner.counted(json!({ "calls_answered": 1 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_of_ours_changes_nothing_and_babble_ends_the_socket() {
    let server = Server::start().await;
    let (owner, agent, path) = founded(&server, json!({})).await;
    let wrong = format!("{}x", path);
    for path in
        [format!("{wrong}/call_1"), format!("/api/voice/retell/llm/{agent}/call_1"), format!("{path}/call%20one")]
    {
        let refused = Socket::open(server.http, &path).await.err().expect("refused");
        assert!(refused.contains("404") || refused.contains("422"), "{path}: {refused}");
    }
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let seen = viewer.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    assert!(seen["voice_socket_url"].is_null(), "whoever knows it answers in the agent's name");
    assert!(owner.api.list("/api/voice/calls").await.is_empty());

    // Frames that are none are passed over, requests without words answered, a binary frame closes the socket.
    let (mut socket, greeting) = called(&server, &path, "call_1", None).await;
    for text in [
        "",
        "{",
        "[]",
        "{\"interaction_type\":7}",
        "{\"interaction_type\":\"response_required\"}",
        "{\"interaction_type\":\"dance\"}",
    ] {
        socket.try_text(text).await.expect("sent");
    }
    socket.send(&asked(1, &[])).await;
    assert_eq!(answer(&mut socket, 1).await["words"], "");
    socket.send(&asked(2, &[said("agent", &greeting), said("user", "(unintelligible audio)")])).await;
    assert!(text(&answer(&mut socket, 2).await, "words").contains("say it again"));
    socket.try_bytes(vec![1, 2, 3]).await.expect("sent");
    assert!(matches!(socket.next_within(Duration::from_secs(10)).await, Ok(None) | Err(_)));
    // Switched off, it answers no call.
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_enabled": false })).await.expect(200);
    let refused = Socket::open(server.http, &format!("{path}/call_9")).await.err().expect("refused");
    assert!(refused.contains("409"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_be_forgotten_takes_their_calls_along() {
    let server = Server::start().await;
    let (owner, _, path) = founded(&server, json!({})).await;
    let (mut socket, greeting) = called(&server, &path, "call_1", Some(ANN)).await;
    socket.send(&asked(1, &[said("agent", &greeting), said("user", "When are you open?")])).await;
    answer(&mut socket, 1).await;
    socket.close().await;
    let call = call_is(&owner, "completed").await;
    let erasure = owner.api.post("/api/privacy/erasures", json!({ "phone": ANN })).await.expect(202);
    let id = text(&erasure, "id");
    eventually("the erasure has ended", SOON, || async {
        let erasure = owner.api.get(&format!("/api/privacy/erasures/{id}")).await.expect(200);
        (erasure["status"] == "completed").then_some(())
    })
    .await;
    owner.api.get(&format!("/api/voice/calls/{}", text(&call, "id"))).await.refused(404);
    assert!(owner.api.list("/api/voice/calls").await.is_empty());
    owner.api.get(&format!("/api/conversations/{}", text(&call, "conversation_id"))).await.refused(404);
}

/// Where Twilio believes the server to be: it opens sockets over TLS only, and signs the address.
const PUBLIC: &str = "https://calls.example";

/// A webhook of Twilio's, signed with a token.
async fn posted(server: &Server, path: &str, fields: &[(&str, &str)], token: &str) -> Answer {
    let form = Form::of(fields);
    let signed = sign(&token.to_owned().into(), &format!("{PUBLIC}{path}"), Covered::Form(&form));
    post_form(&server.api().header("x-twilio-signature", &signed), path, form.to_body()).await
}

/// What stands between two marks.
fn between(text: &str, from: &str, to: &str) -> String {
    let text = &text[text.find(from).unwrap_or_else(|| panic!("{from} in {text}")) + from.len()..];
    text[..text.find(to).expect("its end")].to_owned()
}

/// The relay's socket, as Twilio opens it after these instructions.
async fn relayed(server: &Server, instructions: &str, from: &str) -> Socket {
    let address = between(instructions, "url=\"", "\"");
    let path = address.strip_prefix("wss://calls.example").expect("our own address").to_owned();
    let ticket = between(instructions, "name=\"ticket\" value=\"", "\"");
    let signed = sign(&TOKEN.to_owned().into(), &address, Covered::Address);
    let here = std::net::Ipv4Addr::LOCALHOST;
    let mut socket = Socket::open_with(here, server.http, &path, &[("x-twilio-signature", signed.as_str())])
        .await
        .expect("it opens");
    socket
        .send(&json!({
            "type": "setup", "sessionId": "VX1", "accountSid": ACCOUNT, "callSid": "CA1", "from": from, "to": support::carrier::OURS,
            "direction": "inbound", "callType": "PSTN", "callStatus": "RINGING", "customParameters": { "ticket": ticket },
        }))
        .await;
    socket
}

/// Says something over the relay and reads what is said to it.
async fn relayed_answer(socket: &mut Socket, words: &str) -> String {
    let before = socket.seen.len();
    socket.send(&json!({ "type": "prompt", "voicePrompt": words, "lang": "en-US", "last": true })).await;
    socket.until("the answer's end", |frame| frame["type"] == "text" && frame["last"] == true).await;
    relayed_words(&socket.seen[before..])
}

fn relayed_words(frames: &[Value]) -> String {
    frames.iter().filter_map(|frame| frame["token"].as_str()).collect()
}

/// The caller speaks over what is said after this much of it.
fn spoken_over(heard: &str) -> Value {
    json!({ "type": "interrupt", "utteranceUntilInterrupt": heard, "durationUntilInterruptMs": "900" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_twilio_is_answered_interrupted_gone_on_with_and_put_through() {
    let carrier = Carrier::start().await;
    let mut server = carrier.server(&[("COLLOQUY_PUBLIC__API_URL", PUBLIC)]).await;
    let (owner, agent, _) = founded(&server, json!({})).await;
    connect_twilio(&owner, &agent).await;
    let ours = support::carrier::OURS;
    let rings = [
        ("CallSid", "CA1"),
        ("AccountSid", ACCOUNT),
        ("From", ANN),
        ("To", ours),
        ("CallStatus", "ringing"),
        ("Direction", "inbound"),
    ];
    posted(&server, "/api/voice/twilio/voice", &rings, "another token").await.refused(401);
    let instructions = posted(&server, "/api/voice/twilio/voice", &rings, TOKEN).await;
    assert_eq!(instructions.status, 200, "{}", instructions.text);
    let instructions = instructions.text;
    // Without the signature nobody opens the socket, and without the call's ticket nobody is greeted.
    let path = between(&instructions, "url=\"wss://calls.example", "\"");
    assert!(Socket::open(server.http, &path).await.is_err_and(|error| error.contains("401")));
    let forged = instructions.replace("value=\"", "value=\"x");
    let mut socket = relayed(&server, &forged, ANN).await;
    assert!(matches!(socket.next_within(SOON).await, Ok(None) | Err(_)), "{:?}", socket.seen);
    assert_eq!(only_call(&owner).await["status"], "ringing", "nobody has it yet");

    let mut socket = relayed(&server, &instructions, ANN).await;
    let greeting = socket.until("the greeting", |frame| frame["type"] == "text").await;
    assert_eq!((&greeting["last"], &greeting["interruptible"]), (&json!(true), &json!(false)), "{greeting}");
    let told = relayed_answer(&mut socket, "When are you open?").await;
    assert!(told.contains("nine to six"), "{told}");
    socket.send(&spoken_over("We are open from nine")).await;
    relayed_answer(&mut socket, "My name is Ann Lee").await;
    let call = only_call(&owner).await;
    let conversation = text(&call, "conversation_id");
    let lines = contents(&owner.settled(&conversation, SOON).await);
    assert!(lines.contains(&("assistant".into(), "We are open from nine".into())), "{lines:?}");

    // The server dies in the middle of an answer; Twilio asks what follows, and the answer comes over another socket.
    socket.send(&json!({ "type": "prompt", "voicePrompt": "When are you open?", "last": true })).await;
    eventually("the words stand", SOON, || async {
        let lines = contents(&owner.conversation(&conversation).await);
        (lines.iter().filter(|(_, text)| text == "When are you open?").count() == 2).then_some(())
    })
    .await;
    server.kill();
    drop(socket);
    server.boot().await;
    let owner = owner.at(&server);
    let ended = between(&instructions, "action=\"https://calls.example", "\"");
    let failed = [
        ("CallSid", "CA1"),
        ("AccountSid", ACCOUNT),
        ("SessionId", "VX1"),
        ("SessionStatus", "failed"),
        ("ErrorCode", "64105"),
    ];
    posted(&server, &ended, &failed, "another token").await.refused(401);
    let again = posted(&server, &ended, &failed, TOKEN).await;
    assert!(again.text.contains("ConversationRelay"), "{}", again.text);
    let mut socket = relayed(&server, &again.text, ANN).await;
    // The answer that was under way, or that we were cut off when it stood already.
    socket.until("words to who came back", |frame| frame["type"] == "text" && frame["last"] == true).await;
    socket.send(&spoken_over("")).await;
    relayed_answer(&mut socket, "Are you there?").await;
    assert!(!relayed_words(&socket.seen).contains("this is the AI assistant"), "not greeted twice: {:?}", socket.seen);
    assert_eq!(owner.api.list("/api/voice/calls").await.len(), 1);
    // What follows waits for our voice; nothing is left to say.
    socket.send(&spoken_over("")).await;

    // Put through once the words for it were spoken.
    owner
        .api
        .post(&format!("/api/voice/calls/{}/transfer", text(&call, "id")), json!({ "to": DESK }))
        .await
        .expect(202);
    let handed = socket.until("the end of the session", |frame| frame["type"] == "end").await;
    let data = text(&handed, "handoffData");
    assert!(data.contains(DESK), "{handed}");
    let over =
        [("CallSid", "CA1"), ("AccountSid", ACCOUNT), ("SessionStatus", "ended"), ("HandoffData", data.as_str())];
    let dial = posted(&server, &ended, &over, TOKEN).await;
    assert!(dial.text.contains("<Dial") && dial.text.contains(DESK), "{}", dial.text);
    call_is(&owner, "transferred").await;
    // Twilio says it again.
    let dial = posted(&server, &ended, &over, TOKEN).await;
    assert_eq!(dial.status, 200);
    // A number whose agent does not answer the telephone is told so.
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_enabled": false })).await.expect(200);
    let over = posted(&server, "/api/voice/twilio/voice", &rings, TOKEN).await;
    assert!(!over.text.contains("<Connect"), "that call is over: {}", over.text);
    let another = rings.map(|(name, value)| (name, if name == "CallSid" { "CA2" } else { value }));
    let refused = posted(&server, "/api/voice/twilio/voice", &another, TOKEN).await;
    assert!(refused.text.contains("<Say") && refused.text.contains("<Hangup"), "{}", refused.text);
}

/// A test call as the console's page makes it.
async fn browser(server: &Server, owner: &Member, agent: &str, call: Option<&str>) -> (Socket, Value) {
    let mut socket =
        Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("it opens");
    let mut start = json!({ "type": "start", "token": owner.token });
    if let Some(call) = call {
        start["call_id"] = json!(call);
    }
    socket.send(&start).await;
    let hello = socket.try_next().await.expect("a frame").expect("an answer");
    (socket, hello)
}

/// Says something in a test call and reads what is said to it.
async fn told(socket: &mut Socket, turn: u32, words: &str) -> String {
    let before = socket.seen.len();
    socket.send(&json!({ "type": "said", "turn": turn, "text": words })).await;
    socket.until("the answer's end", |frame| frame["type"] == "done").await;
    let said = socket.seen[before..].iter().filter(|frame| frame["type"] == "say");
    said.map(|frame| text(frame, "text")).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_in_the_browser_is_answered_from_the_knowledge_and_books_an_appointment() {
    let mut server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let body =
        json!({ "vertical": "salon_spa", "escalation_email": owner.email, "variables": { "business_name": "Snip" } });
    let agent = text(&owner.agent(body).await, "id");
    let faq = json!({ "question": "Where can I park?", "answer": "You can park behind the house." });
    owner.api.post(&format!("/api/agents/{agent}/faqs"), faq).await.expect(201);
    eventually("the answer is found", SOON, || async {
        let found = owner
            .api
            .post(&format!("/api/agents/{agent}/search"), json!({ "query": "Where can I park?" }))
            .await
            .expect(200);
        found["faqs"].as_array().is_some_and(|faqs| !faqs.is_empty()).then_some(())
    })
    .await;
    let day = json!({ "open": "00:00", "close": "24:00" });
    let calendar = json!({
        "name": "Chairs", "slot_step_minutes": 30, "minimum_notice_minutes": 0,
        "business_hours": { "mon": day, "tue": day, "wed": day, "thu": day, "fri": day, "sat": day, "sun": day },
        "types": [{ "id": "cut", "name": "Haircut", "duration_minutes": 30 }],
    });
    owner.api.post("/api/calendars", calendar).await.expect(201);

    let (mut socket, hello) = browser(&server, &owner, &agent, None).await;
    assert_eq!((&hello["type"], &hello["listening"]), (&json!("call"), &json!("typed")), "{hello}");
    assert!(text(&hello, "note").contains("test call"), "it is labelled: {hello}");
    socket.until("the greeting", |frame| frame["type"] == "done").await;
    assert!(told(&mut socket, 1, "Where can I park?").await.contains("behind the house"));
    let offered = told(&mut socket, 2, "I would like an appointment").await;
    assert!(offered.contains("I can offer you"), "{offered}");
    // The page loses its connection, and the server with it; the call goes on where it was.
    let call = text(&hello, "call_id");
    server.kill();
    drop(socket);
    server.boot().await;
    let owner = owner.at(&server);
    let (mut socket, hello) = browser(&server, &owner, &agent, Some(&call)).await;
    assert_eq!(text(&hello, "call_id"), call, "{hello}");
    assert!(told(&mut socket, 3, "the first one").await.contains("holding"));
    told(&mut socket, 4, "My name is Jo Lee").await;
    let booked = told(&mut socket, 5, "217-555-0133").await;
    assert!(booked.contains("You're booked") && !booked.contains("http"), "an address cannot be heard: {booked}");
    let listed = owner.api.list("/api/appointments").await;
    let [appointment] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!((&appointment["name"], &appointment["channel"]), (&json!("Jo Lee"), &json!("voice")));
    assert_eq!(appointment["trial"], true, "it is marked: {appointment}");
    // Said again, because its answer was lost: the same answer, and no second appointment.
    assert_eq!(told(&mut socket, 5, "217-555-0133").await, booked);
    assert_eq!(owner.api.list("/api/appointments").await.len(), 1);
    socket.send(&json!({ "type": "hangup" })).await;
    socket.until("the end", |frame| frame["type"] == "bye" && frame["reason"] == "ended").await;
    let ended = call_is(&owner, "completed").await;
    assert_eq!(ended["test"], true);
    let detail = eventually("it is judged", SOON, || async {
        let shown = owner.api.get(&format!("/api/voice/calls/{call}")).await.expect(200);
        (!shown["score"].is_null()).then_some(shown)
    })
    .await;
    let signals: Vec<&str> = detail["score_reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .filter_map(|reason| reason["signal"].as_str())
        .collect();
    assert!(signals.contains(&"appointment_booked"), "{detail}");
    // They were typed, the greeting too was cut off by nobody.
    assert!(!signals.contains(&"answer_interrupted"), "{detail}");
    owner.counted(json!({ "calls_answered": 0, "voice_minutes_used": 0.0 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_is_for_people_of_the_organization() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Snip").await;
    let agent = text(&owner.agent(json!({ "vertical": "custom" })).await, "id");
    let stranger = Member::sign_up(&server, "Clip").await;
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    let (_, refused) = browser(&server, &stranger, &agent, None).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("not_found")), "{refused}");
    let (_, refused) = browser(&server, &viewer, &agent, None).await;
    assert_eq!(refused["code"], "forbidden", "{refused}");
    let mut nobody = Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("opens");
    nobody.send(&json!({ "type": "start" })).await;
    assert_eq!(nobody.try_next().await.expect("a frame").expect("an answer")["code"], "unauthorized");
    let (_, refused) = browser(&server, &owner, &agent, Some(&random_id())).await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    let (mut socket, _) = browser(&server, &owner, &agent, None).await;
    socket.until("the greeting", |frame| frame["type"] == "done").await;
    for bad in [
        json!({ "type": "said", "turn": 0, "text": "hi" }),
        json!({ "type": "said", "turn": 1, "text": " " }),
        json!({ "type": "dance" }),
    ] {
        socket.send(&bad).await;
        assert_eq!(socket.try_next().await.expect("a frame").expect("an answer")["type"], "error", "{bad}");
    }
    let status = owner.api.get("/api/voice/status").await.expect(200);
    assert_eq!(status["browser"]["listening"], "typed");
}
