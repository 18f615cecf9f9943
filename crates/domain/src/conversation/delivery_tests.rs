//! Messages over carriers: sent once, in order, with receipts in any order; lines by proof; codes; merging.

use proptest::prelude::*;

use super::{
    Carried, Command, Effect, Event, Line, MessageStatus, Order, Reply, State, apply,
    command::Posted,
    delivery::{self, SEND_ATTEMPTS_MAX, Step, WHATSAPP_WINDOW_MS},
    merge::{self, Absorbed},
    on_timer, pending,
    state::CloseReason,
    tests::{Run, is_conflict, person, post, system, visitor},
    timer,
};
use crate::{
    contact_guard::Purpose,
    ids::MessageId,
    lines::{Provider, Template},
    principal::{Actor, Role},
    rejection::Rejection,
    thread::Proof,
    vocabulary::{Channel, ConversationStatus},
};

const NUMBER: &str = "+14155550111";

fn line() -> Line {
    Line {
        provider: Provider::Twilio,
        from: "+14155550100".into(),
        external_id: None,
        to: NUMBER.into(),
        template: None,
        heard_ms: None,
        proof: Some(Proof::Began),
    }
}

fn text_message(id: &str, text: &str, channel: Channel, order: Option<Order>) -> Command {
    let Command::Post(mut message) = post(id, text) else { unreachable!("a post") };
    message.channel = channel;
    message.carried = Some(Box::new(Carried { line: line(), attachments: Vec::new(), order }));
    Command::Post(message)
}

fn heard(run: &mut Run, id: &str, text: &str) -> Posted {
    match system(run, text_message(id, text, Channel::Sms, None)).expect("posted") {
        Reply::Posted(posted) => posted,
        other => panic!("{other:?}"),
    }
}

/// A conversation by SMS with one answer that is to be sent.
fn answered() -> (Run, MessageId) {
    let mut run = Run::new();
    heard(&mut run, "SM1", "are you open?");
    run.answer("Until six.").expect("answered");
    let id = run.state.messages.last().expect("an answer").id.clone();
    (run, id)
}

fn sends(run: &Run) -> Vec<delivery::Outgoing> {
    let send = |effect| match effect {
        Effect::Send { outgoing } => Some(*outgoing),
        Effect::AnswerTurn { .. } | Effect::SendAlert { .. } | Effect::CheckAlert { .. } => None,
    };
    pending(&run.state).into_iter().filter_map(|(_, _, effect)| send(effect)).collect()
}

fn attempt(run: &mut Run, id: &MessageId, part: u32, of: u32, attempt: u32) -> Result<Reply, Rejection> {
    system(run, Command::SendAttempt { message_id: id.clone(), part, of, attempt })
}

fn handed(run: &mut Run, id: &MessageId, part: u32, provider_id: &str) -> Result<Reply, Rejection> {
    let attempt = run.state.deliveries[id].attempt;
    system(run, Command::HandedOver { message_id: id.clone(), part, attempt, provider_id: provider_id.into() })
}

fn receipt(run: &mut Run, id: &MessageId, provider_id: &str, status: MessageStatus) -> Result<Reply, Rejection> {
    let receipt =
        Command::Receipt { message_id: id.clone(), part: 0, provider_id: provider_id.into(), status, error: None };
    system(run, receipt)
}

fn status(run: &Run, id: &MessageId) -> MessageStatus {
    run.state.deliveries[id].status()
}

#[test]
fn an_answer_to_a_text_message_is_queued_once_and_sent_once() {
    let (mut run, id) = answered();
    let queued = sends(&run);
    assert_eq!((queued.len(), queued[0].text.as_str(), queued[0].line.to.as_str()), (1, "Until six.", NUMBER));
    assert_eq!((queued[0].purpose, queued[0].attempted_ms), (Purpose::Answer, None));
    attempt(&mut run, &id, 0, 1, 1).expect("attempted");
    assert_eq!(attempt(&mut run, &id, 0, 1, 1), Err(Rejection::Superseded), "nobody sends it a second time");
    assert_eq!(sends(&run)[0].attempted_ms, Some(run.now_ms), "after a crash it is looked up");
    handed(&mut run, &id, 0, "SMout").expect("handed over");
    assert_eq!((status(&run, &id), sends(&run).len()), (MessageStatus::Sent, 0));
    assert!(run.state.outgoing.is_empty());
}

#[test]
fn chat_messages_and_sandboxes_leave_over_no_carrier() {
    let mut run = Run::new();
    run.post("1", "hello").expect("posted");
    run.answer("hi").expect("answered");
    assert!(run.state.deliveries.is_empty());
    let (mut run, _) = answered();
    let fork = Command::Fork { id: "f".into(), from: "c".into(), at: 1, state: Box::new(run.state.clone()) };
    run.state = State::default();
    run.ask(person("u", Role::Rep), fork).expect("forked");
    system(&mut run, text_message("SM9", "and now?", Channel::Sms, None)).expect("posted");
    run.answer("still six").expect("answered");
    assert!(run.state.deliveries.is_empty() && sends(&run).is_empty(), "a sandbox reaches nobody");
}

#[test]
fn nobody_but_the_service_says_what_a_carrier_brought() {
    let mut run = Run::new();
    for actor in [visitor(), person("u", Role::Owner)] {
        let refused = run.ask(actor, text_message("SM1", "hello", Channel::Sms, None));
        assert!(matches!(refused, Err(Rejection::Forbidden { .. })), "{refused:?}");
    }
    assert!(!run.state.exists());
}

#[test]
fn messages_of_a_channel_leave_in_the_order_in_which_they_were_said() {
    let (mut run, first) = answered();
    let said =
        Command::HumanMessage { client_message_id: None, text: "Rita here".into(), channel: None, files: Vec::new() };
    run.ask(person("u", Role::Rep), said).expect("said");
    assert_eq!(sends(&run).len(), 1, "the second waits");
    attempt(&mut run, &first, 0, 1, 1).expect("attempted");
    assert_eq!(sends(&run)[0].message, first);
    handed(&mut run, &first, 0, "SMout").expect("handed over");
    assert_eq!(sends(&run)[0].text, "Rita here");
}

#[test]
fn parts_follow_each_other_and_the_slowest_says_where_the_whole_stands() {
    let (mut run, id) = answered();
    attempt(&mut run, &id, 0, 2, 1).expect("attempted");
    handed(&mut run, &id, 0, "A").expect("handed over");
    assert_eq!((sends(&run)[0].part, status(&run, &id)), (1, MessageStatus::Queued));
    assert!(attempt(&mut run, &id, 1, 3, 1).is_err(), "the cut does not change half way");
    attempt(&mut run, &id, 1, 2, 1).expect("attempted");
    handed(&mut run, &id, 1, "B").expect("handed over");
    receipt(&mut run, &id, "A", MessageStatus::Delivered).expect("receipt");
    assert_eq!(status(&run, &id), MessageStatus::Sent);
    let second = Command::Receipt {
        message_id: id.clone(),
        part: 1,
        provider_id: "B".into(),
        status: MessageStatus::Delivered,
        error: None,
    };
    system(&mut run, second).expect("receipt");
    assert_eq!(status(&run, &id), MessageStatus::Delivered);
}

#[test]
fn a_receipt_before_the_answer_to_the_sending_counts_as_the_answer() {
    let (mut run, id) = answered();
    attempt(&mut run, &id, 0, 1, 1).expect("attempted");
    receipt(&mut run, &id, "SMout", MessageStatus::Delivered).expect("receipt");
    assert_eq!((status(&run, &id), sends(&run).len()), (MessageStatus::Delivered, 0));
    let seq = run.state.seq;
    handed(&mut run, &id, 0, "SMout").expect("known already");
    assert_eq!(run.state.seq, seq);
    assert!(receipt(&mut run, &id, "SMother", MessageStatus::Read).is_err(), "of another message");
}

#[test]
fn a_failure_may_come_after_sent_and_arriving_after_a_failure() {
    let (mut run, id) = answered();
    attempt(&mut run, &id, 0, 1, 1).expect("attempted");
    handed(&mut run, &id, 0, "SMout").expect("handed over");
    let failed = Command::Receipt {
        message_id: id.clone(),
        part: 0,
        provider_id: "SMout".into(),
        status: MessageStatus::Failed,
        error: Some(30_003),
    };
    system(&mut run, failed).expect("receipt");
    let delivery = &run.state.deliveries[&id];
    assert_eq!(
        (delivery.status(), delivery.error.as_deref()),
        (MessageStatus::Failed, Some("the carrier did not deliver it (error 30003)"))
    );
    receipt(&mut run, &id, "SMout", MessageStatus::Delivered).expect("receipt");
    assert_eq!((status(&run, &id), run.state.deliveries[&id].error.clone()), (MessageStatus::Delivered, None));
}

#[test]
fn what_surely_did_not_leave_is_tried_again_and_given_up_in_the_end() {
    let (mut run, id) = answered();
    for n in 1..=SEND_ATTEMPTS_MAX {
        let failed = Command::SendFailed {
            message_id: id.clone(),
            part: 0,
            attempt: n,
            reason: "the provider is not available".into(),
            retry_ms: Some(0),
        };
        attempt(&mut run, &id, 0, 1, n).expect("attempted");
        system(&mut run, failed.clone()).expect("failed");
        assert_eq!(system(&mut run, failed), Err(Rejection::Superseded));
        let Step::Waiting { until_ms } = run.state.deliveries[&id].step else { break };
        assert!(sends(&run).is_empty() && timer(&run.state).is_some_and(|due| due <= until_ms));
        run.now_ms = until_ms;
        let tick = on_timer(&run.state, run.now_ms).expect("due");
        system(&mut run, tick).expect("ticked");
        assert_eq!(sends(&run)[0].attempt, n + 1);
    }
    assert_eq!((run.state.deliveries[&id].step, run.state.deliveries[&id].attempt), (Step::Failed, SEND_ATTEMPTS_MAX));
    assert!(run.state.outgoing.is_empty(), "what was given up holds nothing up");
}

#[test]
fn an_order_is_obeyed_and_not_discussed() {
    let mut run = Run::new();
    heard(&mut run, "SM1", "hello");
    run.answer("hi").expect("answered");
    let stop = text_message("SM2", "STOP", Channel::Sms, Some(Order { reply: Some("You get no more.".into()) }));
    let Reply::Posted(posted) = system(&mut run, stop.clone()).expect("posted") else { panic!("no post") };
    assert!(posted.turn.is_none() && run.state.open.is_none());
    let last = run.state.messages.last().expect("a reply").id.clone();
    assert_eq!(run.state.deliveries[&last].purpose, Purpose::Confirmation);
    let seq = run.state.seq;
    system(&mut run, stop).expect("a replay");
    assert_eq!(run.state.seq, seq, "changes nothing");
    system(&mut run, text_message("SM3", "START", Channel::Sms, Some(Order::default()))).expect("posted");
    assert_eq!(run.state.messages.last().expect("a message").content, "START");
}

#[test]
fn whatsapp_takes_free_words_for_a_day_and_then_a_template_or_nothing() {
    let mut run = Run::new();
    system(&mut run, text_message("wamid.1", "hello", Channel::Whatsapp, None)).expect("posted");
    run.answer("hi").expect("answered");
    let say = |run: &mut Run| {
        let words = Command::HumanMessage {
            client_message_id: None,
            text: "still there?".into(),
            channel: None,
            files: Vec::new(),
        };
        run.ask(person("u", Role::Rep), words)
    };
    run.now_ms += WHATSAPP_WINDOW_MS - 1;
    say(&mut run).expect("within the day");
    let shown = |run: &Run| delivery::reach(&run.state, run.now_ms).remove(0);
    let open = shown(&run);
    assert!(open.channel == Channel::Whatsapp && !open.closed && open.free_until.is_some(), "{open:?}");
    run.now_ms += 1;
    let closed = shown(&run);
    assert!(closed.closed && closed.free_until.is_none() && !closed.template, "{closed:?}");
    assert!(is_conflict(say(&mut run), "whatsapp_window_closed"));
    let template = Some(Template { name: "hello".into(), language: "en_US".into() });
    let open = Command::OpenLine { channel: Channel::Whatsapp, line: Box::new(Line { template, ..line() }) };
    run.ask(person("u", Role::Rep), open).expect("opened");
    say(&mut run).expect("by template");
    let last = run.state.messages.last().expect("a message").id.clone();
    assert_eq!(run.state.deliveries[&last].purpose, Purpose::Answer, "the guard's day is a minute longer");
}

#[test]
fn nothing_is_said_over_a_channel_that_reaches_nobody() {
    let mut run = Run::new();
    run.post("1", "hello").expect("posted");
    for (channel, code) in [(Channel::Sms, "no_line"), (Channel::Email, "channel_not_connected")] {
        let words = Command::HumanMessage {
            client_message_id: None,
            text: "hi".into(),
            channel: Some(channel),
            files: Vec::new(),
        };
        assert!(is_conflict(run.ask(person("u", Role::Rep), words), code));
    }
    let open = Command::OpenLine { channel: Channel::Sms, line: Box::new(Line { proof: None, ..line() }) };
    assert!(matches!(run.ask(visitor(), open.clone()), Err(Rejection::NotFound { .. })), "no visitor opens a line");
    run.ask(person("u", Role::Rep), open).expect("opened");
    let words = Command::HumanMessage {
        client_message_id: None,
        text: "hi".into(),
        channel: Some(Channel::Sms),
        files: Vec::new(),
    };
    run.ask(person("u", Role::Rep), words).expect("said");
    assert_eq!(sends(&run)[0].purpose, Purpose::Service, "the person has not written over this line");
    assert_eq!(run.state.visitor.phone, None, "a typed number is nobody's until it answers");
    heard(&mut run, "SM1", "yes?");
    assert_eq!(run.state.visitor.phone.as_deref(), Some(NUMBER));
    assert_eq!(run.state.lines[&Channel::Sms].proof, Some(Proof::Began));
}

#[test]
fn a_code_is_good_once_and_the_newest_counts() {
    let mut run = Run::new();
    run.post("1", "hello").expect("posted");
    for bad in ["", "abcd-1234", "ABCD1234", "ABCDEFGHIJ"] {
        assert!(run.ask(visitor(), Command::MakeJoinCode { code: bad.into() }).is_err(), "{bad}");
    }
    run.ask(visitor(), Command::MakeJoinCode { code: "ABCD-1234".into() }).expect("made");
    run.ask(visitor(), Command::MakeJoinCode { code: "WXYZ-9876".into() }).expect("made");
    let join = run.state.join.clone().expect("a code");
    assert_eq!((join.code.as_str(), join.until_ms), ("WXYZ-9876", run.now_ms + merge::JOIN_CODE_MS));
    let joins = Line { proof: Some(Proof::Code), ..line() };
    system(&mut run, Command::OpenLine { channel: Channel::Sms, line: Box::new(joins) }).expect("opened");
    assert_eq!(run.state.join, None);
    let stranger = Actor::Visitor { id: "w".into(), agent: "a".into() };
    let made = run.ask(stranger, Command::MakeJoinCode { code: "WXYZ-9876".into() });
    assert!(matches!(made, Err(Rejection::NotFound { .. })));
}

#[test]
fn merging_ends_one_conversation_and_fills_the_other_without_replacing_anything() {
    let (mut from, _) = answered();
    from.state.contact.name = Some("Ann".into());
    from.state.dialogue.values.insert("service".into(), "leak".into());
    let merge = Command::MergeInto { into: "big".into() };
    assert!(matches!(from.ask(visitor(), merge.clone()), Err(Rejection::NotFound { .. })));
    assert!(from.ask(person("u", Role::Viewer), merge.clone()).is_err());
    from.ask(person("u", Role::Rep), merge.clone()).expect("merged");
    assert_eq!((from.state.closed, from.state.status), (Some(CloseReason::Merged), ConversationStatus::Resolved));
    let seq = from.state.seq;
    from.ask(person("u", Role::Rep), merge).expect("again");
    assert_eq!(from.state.seq, seq);
    assert!(is_conflict(
        from.ask(person("u", Role::Rep), Command::MergeInto { into: "other".into() }),
        "already_merged"
    ));
    assert!(is_conflict(system(&mut from, text_message("SM7", "hm", Channel::Sms, None)), "conversation_closed"));

    let mut into = Run::new();
    into.post("1", "hello").expect("posted");
    into.state.contact.name = Some("Anna".into());
    let absorbed = Absorbed::of(&from.state);
    assert!(into.ask(person("u", Role::Owner), Command::Absorb(Box::new(absorbed.clone()))).is_err());
    into.state.id = "big".into();
    system(&mut into, Command::Absorb(Box::new(absorbed))).expect("absorbed");
    assert_eq!(into.state.contact.name.as_deref(), Some("Anna"), "what is known here stays");
    assert_eq!(into.state.dialogue.values["service"], "leak");
    assert_eq!(into.state.lines[&Channel::Sms].to, NUMBER);
    assert!(into.state.links.contains(&"c".into()));
    assert_eq!(into.state.former.last().and_then(|former| former.phone.as_deref()), Some(NUMBER), "for an erasure");
}

#[derive(Clone, Debug)]
enum Step2 {
    Hear(u8, bool),
    Answer,
    Attempt,
    Handed,
    Fail(bool),
    Receipt(u8, u8),
    Wait(u32),
    Say,
}

fn steps() -> impl Strategy<Value = Vec<Step2>> {
    let step = prop_oneof![
        3 => (any::<u8>(), any::<bool>()).prop_map(|(n, order)| Step2::Hear(n % 12, order)),
        3 => Just(Step2::Answer),
        4 => Just(Step2::Attempt),
        3 => Just(Step2::Handed),
        1 => any::<bool>().prop_map(Step2::Fail),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(which, status)| Step2::Receipt(which, status)),
        1 => (0..200_000_u32).prop_map(Step2::Wait),
        1 => Just(Step2::Say),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn whatever_carriers_do_each_part_is_attempted_once_per_attempt_and_receipts_never_go_back(steps in steps()) {
        let mut run = Run::new();
        heard(&mut run, "first", "hello");
        let statuses = [MessageStatus::Sent, MessageStatus::Failed, MessageStatus::Delivered, MessageStatus::Read];
        for step in steps {
            run.now_ms += 1;
            let before = run.state.clone();
            let next = sends(&run).into_iter().next();
            let done = match step {
                Step2::Hear(n, order) => {
                    let order = order.then(|| Order { reply: Some("ok".into()) });
                    system(&mut run, text_message(&format!("SM{n}"), "words", Channel::Sms, order)).map(|_| ())
                }
                Step2::Answer if run.state.open.is_some() => run.answer("an answer").map(|_| ()),
                Step2::Attempt => next.map_or(Ok(()), |next| attempt(&mut run, &next.message, next.part, 2, next.attempt).map(|_| ())),
                Step2::Handed => next.map_or(Ok(()), |next| {
                    let id = format!("{}-{}", next.message, next.part);
                    handed(&mut run, &next.message, next.part, &id).map(|_| ())
                }),
                Step2::Fail(retry) => next.map_or(Ok(()), |next| {
                    let failed = Command::SendFailed {
                        message_id: next.message, part: next.part, attempt: next.attempt, reason: "x".into(), retry_ms: retry.then_some(0),
                    };
                    system(&mut run, failed).map(|_| ())
                }),
                Step2::Receipt(which, status) => {
                    let ids: Vec<MessageId> = run.state.deliveries.keys().cloned().collect();
                    if ids.is_empty() { continue }
                    let id = ids[usize::from(which) % ids.len()].clone();
                    let status = statuses[usize::from(status) % statuses.len()];
                    receipt(&mut run, &id.clone(), &format!("{id}-0"), status).map(|_| ())
                }
                Step2::Wait(ms) => {
                    run.now_ms += i64::from(ms);
                    on_timer(&run.state, run.now_ms).map_or(Ok(()), |tick| system(&mut run, tick).map(|_| ()))
                }
                Step2::Say => {
                    let words = Command::HumanMessage { client_message_id: None, text: "hi".into(), channel: None, files: Vec::new() };
                    run.ask(person("u", Role::Rep), words).map(|_| ())
                }
                Step2::Answer => Ok(()),
            };
            if done.is_err() {
                prop_assert_eq!(&run.state, &before, "a refusal changes nothing");
            }
            for (id, delivery) in &run.state.deliveries {
                let open = run.state.outgoing.contains(id);
                let over = matches!(delivery.step, Step::Done | Step::Failed);
                prop_assert_eq!(open, !over, "unfinished messages are exactly those to be sent");
                prop_assert!(delivery.parts.len() <= 2);
                if let Some(known) = before.deliveries.get(id) {
                    for (was, is) in known.parts.iter().zip(&delivery.parts) {
                        prop_assert!(was.id == is.id && was.status <= is.status, "a receipt took a message back");
                    }
                }
            }
            prop_assert!(sends(&run).len() <= 1, "one at a time on one channel");
        }
        let mut attempts: Vec<(String, u32, u32)> = run.events.iter().filter_map(|(event, _, _)| match event {
            Event::SendAttempted { message_id, part, attempt, .. } => Some((message_id.0.clone(), *part, *attempt)),
            _ => None,
        }).collect();
        let all = attempts.len();
        attempts.sort();
        attempts.dedup();
        prop_assert_eq!(attempts.len(), all, "no attempt is made twice");
        let mut replayed = State::default();
        for (event, seq, at_ms) in &run.events {
            let json = serde_json::to_string(event).unwrap();
            apply(&mut replayed, &serde_json::from_str(&json).unwrap(), *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &run.state);
        let json = serde_json::to_string(&run.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &run.state);
    }
}
