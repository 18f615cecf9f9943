//! What the organization's own people try, through the real binary: a test call and the sample page make no lead, alert nobody and stand in no figure, and what
//! a stranger says does all of it.

mod support;

use std::net::Ipv4Addr;

use serde_json::json;
use support::people::{Member, SOON, Visitor, mailbox, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// Said by somebody in danger, as the trade's rules have it.
const DANGER: &str = "Help, a pipe burst and my basement is flooding!";
/// What nobody has told the agent.
const UNKNOWN: &str = "Do you sell marmalade fountains?";
/// Who is told of emergencies.
const DESK: &str = "desk@oak.example";

async fn founded(server: &Server) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let agent = json!({ "vertical": "home_services", "name": "Oak", "escalation_email": DESK });
    let agent = text(&owner.agent(agent).await, "id");
    (owner, agent)
}

/// Conversations of a kind.
async fn conversations(owner: &Member, trial: bool) -> usize {
    owner.api.list(&format!("/api/conversations?trial={trial}")).await.len()
}

/// Says something in a test call, and waits for the answer's end.
async fn said(socket: &mut Socket, turn: u32, words: &str) {
    socket.send(&json!({ "type": "said", "turn": turn, "text": words })).await;
    socket.until("the answer's end", |frame| frame["type"] == "done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_makes_no_lead_alerts_nobody_and_is_in_no_figure_and_a_visitor_does_all_of_it() {
    let server = Server::start().await;
    let (owner, agent) = founded(&server).await;
    let path = format!("/api/voice/browser?agent_id={agent}");
    let mut socket = Socket::open(server.http, &path).await.expect("it opens");
    socket.send(&json!({ "type": "start", "token": owner.token })).await;
    let hello = socket.until("a hello", |frame| frame["type"] == "call").await;
    assert!(text(&hello, "note").contains("makes no lead, alerts nobody and is in no figure"), "{hello}");
    socket.until("the greeting", |frame| frame["type"] == "done").await;
    for (turn, words) in
        (1..).zip([DANGER, "My name is Rosa Lee", "217-555-0133", UNKNOWN, "I want to talk to a person"])
    {
        said(&mut socket, turn, words).await;
    }
    socket.send(&json!({ "type": "hangup" })).await;
    socket.until("the end", |frame| frame["type"] == "bye").await;
    let tried = text(&hello, "conversation_id");
    let shown = owner.settled(&tried, SOON).await;
    let talk = &shown["conversation"];
    assert_eq!((&talk["trial"], &talk["urgency"]), (&json!(true), &json!("emergency")), "{shown}");
    assert_eq!(shown["alerts"], json!([]), "{shown}");

    // A visitor says the same afterwards: whatever the test call had led to would be there as well.
    let mut visitor = Visitor::new(&server, &agent);
    for words in [DANGER, "My name is Ann Oak and my number is 217-555-0144", UNKNOWN, "I want to talk to a person"] {
        visitor.say(words).await;
    }
    eventually("the alert", SOON, || async { (!mailbox(&server, DESK).await.is_empty()).then_some(()) }).await;
    let seen =
        owner.counted(json!({ "total_conversations": 1, "leads_captured": 1, "escalated": 1, "unanswered": 1 })).await;
    assert_eq!((&seen["calls_answered"], &seen["voice_minutes_used"]), (&json!(0), &json!(0.0)), "{seen}");
    let mails = mailbox(&server, DESK).await;
    assert!(mails.iter().all(|mail| !mail.to_string().contains("Rosa")), "{mails:?}");
    let leads = owner.api.list("/api/leads").await;
    assert!(leads.len() == 1 && leads[0]["name"] == "Ann Oak", "{leads:?}");
    let unanswered = owner.api.get("/api/analytics/unanswered").await.expect(200);
    assert!(!unanswered.to_string().contains(&tried), "{unanswered}");
    assert_eq!((conversations(&owner, true).await, conversations(&owner, false).await), (1, 1));
}

/// Says something to the agent over the widget's socket, from a page and with headers, and gives whether it is a trial.
async fn is_trial(server: &Server, owner: &Member, agent: &str, page: &str, headers: &[(&'static str, &str)]) -> bool {
    let path = format!("/api/chat/socket?agent_id={agent}");
    let mut socket = Socket::open_with(Ipv4Addr::LOCALHOST, server.http, &path, headers).await.expect("it opens");
    let hello = json!({ "type": "hello", "visitor_id": random_id(), "metadata": { "page_url": page } });
    socket.send(&hello).await;
    socket.until("a welcome", |frame| frame["type"] == "welcome").await;
    socket.send(&json!({ "type": "message", "client_message_id": random_id(), "text": "Hello there" })).await;
    let taken = socket.until("it is taken", |frame| frame["type"] == "ack").await;
    let shown = owner.conversation(&text(&taken, "conversation_id")).await;
    shown["conversation"]["trial"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_page_is_tried_by_who_is_signed_in_and_visited_by_anybody_else() {
    let server = Server::start().await;
    let (owner, agent) = founded(&server).await;
    let stranger = Member::sign_up(&server, "Elm").await;
    let (own, other) = (format!("colloquy_access={}", owner.token), format!("colloquy_access={}", stranger.token));
    let (sample, origin) = (server.url(&format!("/demo/{agent}")), server.url(""));
    let site = "https://oak.example/demo/";
    let origin = ("origin", origin.as_str());
    let (own, other) = (("cookie", own.as_str()), ("cookie", other.as_str()));
    let elsewhere = ("origin", "https://oak.example");
    for (page, headers, expected) in [
        (sample.as_str(), vec![origin, own], true),
        (sample.as_str(), vec![origin], false),
        (sample.as_str(), vec![origin, other], false),
        // Only pages of this server may say who somebody is, and on a website of one's own everybody is a visitor.
        (sample.as_str(), vec![elsewhere, own], false),
        (site, vec![origin, own], false),
    ] {
        assert_eq!(is_trial(&server, &owner, &agent, page, &headers).await, expected, "{page} {headers:?}");
    }
    owner.counted(json!({ "total_conversations": 4 })).await;
    assert_eq!((conversations(&owner, true).await, conversations(&owner, false).await), (1, 4));
}
