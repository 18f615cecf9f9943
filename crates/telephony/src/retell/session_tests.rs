//! Tests of the machine behind Retell's socket: what is asked, superseded, completed, and what ends a socket.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::arbitrary::{bent, mutated};
use crate::retell::frames::read_outbound;

const ASK: &str =
    r#"{"interaction_type":"response_required","response_id":1,"transcript":[{"role":"user","content":"hi"}]}"#;
const PING: &str = r#"{"interaction_type":"ping_pong","timestamp":1703413000000}"#;

fn ask(id: u64) -> String {
    ASK.replace("\"response_id\":1", &format!("\"response_id\":{id}"))
}

fn opened(opening: Opening) -> (Session, Vec<Output>) {
    let mut out = Vec::new();
    let session = Session::open(opening, 0, &mut out);
    (session, out)
}

fn sent(out: &[Output]) -> Vec<Value> {
    out.iter()
        .filter_map(|output| match output {
            Output::Send(text) => Some(serde_json::from_str(text).expect("JSON")),
            Output::Close(_) | Output::Drop | Output::Tell(_) => None,
        })
        .collect()
}

fn feed(session: &mut Session, text: &str) -> Vec<Output> {
    let mut out = Vec::new();
    session.on_text(1, text, &mut out);
    out
}

#[test]
fn config_goes_first_and_the_greeting_may_wait_for_the_details() {
    let (mut session, mut out) = opened(Opening::Greet);
    assert_eq!(
        sent(&out),
        [
            json!({"response_type": "config", "config": {"auto_reconnect": true, "call_details": true, "transcript_with_tool_calls": true}})
        ]
    );
    out.clear();
    let told =
        feed(&mut session, r#"{"interaction_type":"call_details","call":{"call_id":"c1","to_number":"+14155550111"}}"#);
    assert!(matches!(&told[..], [Output::Tell(Event::Details(call))] if call.call_id == "c1"), "{told:?}");
    session.say(GREETING, "Hello, ", &mut out).expect("open");
    session.complete(GREETING, "how can I help?", &Then::Listen, &mut out).expect("open");
    assert_eq!(
        sent(&out),
        [
            json!({"response_type": "response", "response_id": 0, "content": "Hello, ", "content_complete": false}),
            json!({"response_type": "response", "response_id": 0, "content": "how can I help?", "content_complete": true}),
        ]
    );
    assert_eq!(session.say(GREETING, "more", &mut out), Err(Refusal::NotOpen));
}

#[test]
fn a_socket_that_came_back_is_configured_and_says_nothing() {
    let (session, out) = opened(Opening::Resume);
    let frames = sent(&out);
    assert_eq!(frames[0]["response_type"], "config");
    assert_eq!(
        frames[1],
        json!({"response_type": "response", "response_id": 0, "content": "", "content_complete": true})
    );
    assert_eq!((frames.len(), session.open_id()), (2, None));
}

#[test]
fn the_vendors_smoke_test_is_answered_under_its_id() {
    let (mut session, _) = opened(Opening::Greet);
    let out = feed(&mut session, r#"{"interaction_type":"response_required","response_id":1,"transcript":[]}"#);
    assert!(
        out.iter().any(|output| matches!(output, Output::Tell(Event::Asked { response_id: 1, reminder: false, .. })))
    );
    let mut out = Vec::new();
    session.complete(1, "Hi.", &Then::Listen, &mut out).expect("open");
    assert_eq!(sent(&out)[0]["response_id"], 1);
}

#[test]
fn a_ping_is_echoed_also_while_an_answer_is_open() {
    let (mut session, _) = opened(Opening::Greet);
    feed(&mut session, ASK);
    let out = feed(&mut session, PING);
    assert_eq!(sent(&out), [json!({"response_type": "ping_pong", "timestamp": 1_703_413_000_000_i64})]);
    assert_eq!(session.open_id(), Some(1));
}

#[test]
fn only_the_latest_request_is_answered_and_an_update_does_not_supersede_it() {
    let (mut session, _) = opened(Opening::Greet);
    let out = feed(&mut session, ASK);
    assert_eq!(out[0], Output::Tell(Event::Superseded { response_id: GREETING }), "the greeting was still open");
    feed(&mut session, r#"{"interaction_type":"update_only","transcript":[]}"#);
    let mut out = Vec::new();
    assert_eq!(session.say(1, "One ", &mut out), Ok(()), "an update does not end it");
    let told = feed(&mut session, &ask(2).replace("response_required", "reminder_required"));
    assert_eq!(told[0], Output::Tell(Event::Superseded { response_id: 1 }));
    assert!(matches!(told[1], Output::Tell(Event::Asked { response_id: 2, reminder: true, .. })));
    out.clear();
    assert_eq!(session.say(1, "moment", &mut out), Err(Refusal::NotOpen));
    assert_eq!(session.complete(1, "", &Then::HangUp, &mut out), Err(Refusal::NotOpen));
    assert!(out.is_empty(), "nothing of a superseded answer is sent");
}

#[test]
fn a_request_that_comes_twice_or_late_is_not_answered_twice() {
    let (mut session, _) = opened(Opening::Greet);
    feed(&mut session, &ask(2));
    let mut out = Vec::new();
    session.complete(2, "Yes.", &Then::Listen, &mut out).expect("open");
    assert!(feed(&mut session, &ask(2)).is_empty() && feed(&mut session, &ask(1)).is_empty());
    assert_eq!(session.open_id(), None);
}

#[test]
fn each_ending_is_one_action_and_an_impossible_one_leaves_the_answer_open() {
    let cases = [
        (Then::HangUp, Some(("end_call", json!(true)))),
        (
            Then::Transfer { to: "+14155550100".into(), show_caller: false },
            Some(("transfer_number", json!("+14155550100"))),
        ),
        (Then::Press('#'), Some(("digit_to_press", json!("#")))),
        (Then::Transfer { to: "911; rm".into(), show_caller: true }, None),
        (Then::Press('x'), None),
    ];
    for (then, expected) in cases {
        let (mut session, _) = opened(Opening::Greet);
        feed(&mut session, ASK);
        let mut out = Vec::new();
        let result = session.complete(1, "Bye.", &then, &mut out);
        match expected {
            Some((field, value)) => assert_eq!(sent(&out)[0][field], value, "{then:?}"),
            None => {
                assert!(matches!(result, Err(Refusal::Unfit(_))) && out.is_empty(), "{then:?}");
                assert_eq!(session.open_id(), Some(1));
            }
        }
    }
}

#[test]
fn an_interruption_takes_the_open_answer_back_and_goes_on_under_its_own_id() {
    let (mut session, _) = opened(Opening::Greet);
    feed(&mut session, ASK);
    let mut out = Vec::new();
    session.interrupt("A colleague ", false, &Then::HangUp, &mut out).expect("possible");
    session.interrupt("takes over.", true, &Then::Listen, &mut out).expect("possible");
    session.interrupt("One more thing.", true, &Then::Listen, &mut out).expect("possible");
    assert_eq!(out[0], Output::Tell(Event::Superseded { response_id: 1 }));
    let ids: Vec<_> =
        sent(&out).iter().map(|frame| (frame["interrupt_id"].clone(), frame["content_complete"].clone())).collect();
    assert_eq!(ids, [(json!(1), json!(false)), (json!(1), json!(true)), (json!(2), json!(true))]);
    assert!(sent(&out).iter().all(|frame| frame.get("end_call").is_none()), "an unfinished piece ends nothing");
    assert_eq!(session.say(1, "x", &mut out), Err(Refusal::NotOpen));
}

#[test]
fn a_binary_frame_and_endless_babble_close_with_1007() {
    let (mut session, _) = opened(Opening::Greet);
    let mut out = Vec::new();
    session.on_binary(&mut out);
    assert_eq!(out.last(), Some(&Output::Close(1007)));
    assert!(feed(&mut session, PING).is_empty(), "nothing follows a close");
    let (mut session, _) = opened(Opening::Greet);
    let mut outputs = Vec::new();
    for _ in 0..200 {
        outputs.extend(feed(&mut session, "{"));
    }
    assert_eq!(outputs.iter().filter(|output| **output == Output::Close(1007)).count(), 1);
    assert_eq!(outputs.len(), MALFORMED_MAX as usize + 2, "each is told, the greeting is taken back, and it ends");
}

#[test]
fn a_silent_socket_is_dropped_so_that_it_comes_back_and_hanging_up_is_1000() {
    let (mut session, _) = opened(Opening::Greet);
    let mut out = Vec::new();
    session.on_text(5_000, PING, &mut out);
    out.clear();
    session.on_tick(19_999, &mut out);
    assert!(out.is_empty());
    session.on_tick(20_000, &mut out);
    assert_eq!(out.last(), Some(&Output::Drop));
    let (mut session, _) = opened(Opening::Greet);
    out.clear();
    session.hang_up(&mut out);
    session.let_go(&mut out);
    assert_eq!(out, [Output::Tell(Event::Superseded { response_id: 0 }), Output::Close(1000)], "one end only");
}

#[test]
fn words_the_law_wants_heard_keep_the_floor_for_one_answer() {
    let (mut session, mut out) = opened(Opening::Greet);
    out.clear();
    session.keep_floor();
    session.say(GREETING, "This call is recorded. ", &mut out).expect("open");
    session.complete(GREETING, "Hello.", &Then::Listen, &mut out).expect("open");
    feed(&mut session, ASK);
    session.complete(1, "Yes.", &Then::Listen, &mut out).expect("open");
    let kept: Vec<bool> = sent(&out).iter().map(|frame| frame.get("no_interruption_allowed").is_some()).collect();
    assert_eq!(kept, [true, true, false]);
}

#[test]
fn tools_and_settings_are_sent_as_documented() {
    let (session, _) = opened(Opening::Greet);
    let mut out = Vec::new();
    session.tool_started("t1", "book", &json!({"day": 1}), &mut out);
    session.tool_finished("t1", "booked", true, &mut out);
    session.update_agent(AgentConfig { responsiveness: Some(0.5), ..AgentConfig::default() }, &mut out).expect("fits");
    assert_eq!(sent(&out)[0]["arguments"], "{\"day\":1}", "arguments are a text");
    assert_eq!(sent(&out)[2]["agent_config"], json!({"responsiveness": 0.5}));
    for wrong in [
        AgentConfig { responsiveness: Some(1.1), ..AgentConfig::default() },
        AgentConfig { interruption_sensitivity: Some(f64::NAN), ..AgentConfig::default() },
        AgentConfig { reminder_trigger_ms: Some(0), ..AgentConfig::default() },
    ] {
        assert!(session.update_agent(wrong, &mut out).is_err(), "{wrong:?}");
    }
}

#[derive(Clone, Debug)]
enum Move {
    Ask(u64),
    Text(String),
    Say(u64),
    Complete(u64, bool),
    Interrupt(bool),
    Tick(i64),
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0_u64..6).prop_map(Move::Ask),
        2 => prop_oneof![mutated(&[ASK, PING]), bent(&[ASK, PING])].prop_map(Move::Text),
        4 => (0_u64..6).prop_map(Move::Say),
        3 => (0_u64..6, any::<bool>()).prop_map(|(id, wrong)| Move::Complete(id, wrong)),
        1 => any::<bool>().prop_map(Move::Interrupt),
        1 => (0_i64..40_000).prop_map(Move::Tick),
    ]
}

proptest! {
    /// What a strict Retell would check: every frame is one it knows, each response belongs to the latest request, nothing follows a
    /// completion, and nothing follows the end.
    #[test]
    fn whatever_comes_retell_never_hears_a_stale_or_doubled_answer(steps in proptest::collection::vec(moves(), 0..60)) {
        let mut out = Vec::new();
        let mut session = Session::open(Opening::Greet, 0, &mut out);
        let mut wanted = Some(GREETING);
        let mut ended = false;
        for step in steps {
            out.clear();
            match &step {
                Move::Ask(id) => session.on_text(1, &ask(*id), &mut out),
                Move::Text(text) => session.on_text(1, text, &mut out),
                Move::Say(id) => drop(session.say(*id, "word ", &mut out)),
                Move::Complete(id, wrong) => {
                    let then = if *wrong { Then::Press('?') } else { Then::HangUp };
                    drop(session.complete(*id, "end", &then, &mut out));
                }
                Move::Interrupt(last) => drop(session.interrupt("now", *last, &Then::Listen, &mut out)),
                Move::Tick(now) => session.on_tick(*now, &mut out),
            }
            prop_assert!(!ended || out.is_empty(), "{step:?} after the end: {out:?}");
            for output in &out {
                match output {
                    Output::Tell(Event::Asked { response_id, .. }) => wanted = Some(*response_id),
                    Output::Tell(Event::Superseded { response_id }) => {
                        prop_assert_eq!(wanted.take(), Some(*response_id));
                    }
                    Output::Tell(Event::Details(_) | Event::Update { .. } | Event::Ignored(_)) => {}
                    Output::Close(_) | Output::Drop => ended = true,
                    Output::Send(text) => match read_outbound(text) {
                        Ok(Outbound::Response { response_id, content_complete, .. }) => {
                            prop_assert_eq!(wanted, Some(response_id));
                            if content_complete {
                                wanted = None;
                            }
                        }
                        Ok(Outbound::Unknown) | Err(_) => prop_assert!(false, "Retell would drop {text}"),
                        Ok(_) => {}
                    },
                }
            }
            prop_assert_eq!(session.open_id(), wanted);
        }
    }
}
