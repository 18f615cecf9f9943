//! A call's states, whoever says what when.

use proptest::prelude::*;

use super::{
    CARRIED_EVERY_MS, CARRIED_WITHIN_MS, Call, CallStatus, Carrier, Command, Direction, Effect, End, Event,
    LOST_AFTER_MS, NewCall, RING_MS_MAX, Reply, Review, TransferKind, apply, conversation_message, decide, on_timer,
    pacer_message, pending, score,
    script::{self, Next},
    slice_message, timer, view,
};
use crate::{
    agent::{config::AgentConfig, problems::problems},
    campaign::{
        dialled::Dialled,
        slice::{self, Report},
        target::Talk,
    },
    catalog::template::{ComplianceNotice, NoticeWhen},
    context::Context,
    conversation::{self, CallLink, Errand, State, Wish},
    pacer,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
    vocabulary::{ConversationStatus, EscalationAction, MessageRole},
};

#[derive(Clone)]
pub(super) struct Run {
    pub(super) call: Call,
    pub(super) events: Vec<(Event, u64, i64)>,
    pub(super) now_ms: i64,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { call: Call::default(), events: Vec::new(), now_ms: 1_000_000 }
    }

    pub(super) fn by(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let cx = Context {
            now_ms: self.now_ms,
            seq: self.call.seq,
            seed: [7; 32],
            principal: Principal { tenant: "t".into(), actor },
        };
        let decision = decide(&self.call, &cx, command)?;
        for event in decision.events {
            let seq = self.call.seq + 1;
            apply(&mut self.call, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        Ok(decision.reply)
    }

    pub(super) fn ask(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.by(Actor::System, command)
    }

    pub(super) fn ring(&mut self) {
        self.ring_over(Carrier::Retell);
    }

    pub(super) fn ring_over(&mut self, carrier: Carrier) {
        let call = NewCall {
            id: "k".into(),
            carrier,
            provider_call_id: "call_1".into(),
            agent_id: "a".into(),
            direction: Direction::Inbound,
            person: Some("+12175550100".into()),
            line: Some("+12175550199".into()),
            test: false,
            account: Some("twilio:AC1".into()),
            dial: None,
        };
        self.ask(Command::Ring(Box::new(call))).expect("it rings");
    }

    pub(super) fn talk(&mut self) {
        self.talk_over(Carrier::Retell);
    }

    pub(super) fn talk_over(&mut self, carrier: Carrier) {
        self.ring_over(carrier);
        self.ask(Command::Join { conversation: "c".into() }).expect("joined");
        self.ask(Command::Attach { socket: "s1".into() }).expect("taken");
    }
}

pub(super) fn rep() -> Actor {
    Actor::User { id: "u".into(), role: Role::Rep, name: "Rita".into() }
}

pub(super) fn end(status: Option<CallStatus>, reason: Option<&str>, spoke_ms: Option<i64>) -> Command {
    Command::Ended(Box::new(End { status, reason: reason.map(Into::into), spoke_ms, cost_micros: None }))
}

#[test]
fn a_call_is_taken_talked_and_over() {
    let mut run = Run::new();
    run.ring();
    assert_eq!(run.call.status, CallStatus::Ringing);
    run.ask(Command::Join { conversation: "c".into() }).expect("joined");
    run.ask(Command::Attach { socket: "s1".into() }).expect("taken");
    assert_eq!(run.call.status, CallStatus::InProgress);
    run.now_ms += 61_500;
    run.ask(end(None, None, None)).expect("over");
    assert_eq!((run.call.status, run.call.duration_s), (CallStatus::Completed, 62));
    let told = run.events.iter().find_map(|(event, ..)| conversation_message(&run.call, event));
    assert!(
        matches!(told, Some((conversation, conversation::Command::CallEnded { .. })) if conversation.as_str() == "c")
    );
    assert_eq!(pending(&run.call).len(), 1, "how it went is to be said");
    assert_eq!(view::numbers(&run.call).total().all.calls_answered, 1);
    assert_eq!(view::numbers(&run.call).total().all.call_seconds, 62);
}

#[test]
fn a_call_of_one_agent_is_not_found_by_another_agents_socket_or_over_another_carrier() {
    let mut run = Run::new();
    run.talk();
    let (seq, mine) = (run.call.seq, *run.call.is.clone().expect("it rang"));
    let others = NewCall { agent_id: "b".into(), ..mine.clone() };
    let elsewhere = NewCall { carrier: Carrier::Twilio, ..mine.clone() };
    for call in [others, elsewhere] {
        let answer = run.ask(Command::Ring(Box::new(call)));
        assert!(matches!(answer, Err(Rejection::NotFound { .. })), "{answer:?}");
    }
    run.ask(Command::Ring(Box::new(mine))).expect("its own agent finds it");
    assert_eq!(run.call.seq, seq);
}

#[test]
fn what_is_said_twice_late_or_with_more_never_ends_it_twice() {
    let mut run = Run::new();
    run.talk();
    run.now_ms += 10_000;
    run.ask(end(None, Some("agent_hangup"), None)).expect("over");
    let seq = run.call.seq;
    run.ask(end(None, None, None)).expect("again");
    assert_eq!(run.call.seq, seq, "nothing new");
    run.ask(end(Some(CallStatus::Transferred), Some("call_transfer"), Some(8_000))).expect("more");
    assert_eq!((run.call.status, run.call.duration_s), (CallStatus::Transferred, 8));
    let seq = run.call.seq;
    run.ask(end(Some(CallStatus::Transferred), Some("call_transfer"), Some(8_000))).expect("and again");
    assert_eq!(run.call.seq, seq);
    assert_eq!(run.events.iter().filter(|(event, ..)| matches!(event, Event::Ended { .. })).count(), 1);
    assert!(run.ask(Command::Attach { socket: "s2".into() }).is_err(), "nobody takes a call that is over");
}

#[test]
fn a_call_that_nobody_takes_was_missed() {
    let mut run = Run::new();
    run.ring();
    run.now_ms += RING_MS_MAX;
    let tick = on_timer(&run.call, run.now_ms).expect("due");
    run.ask(tick).expect("over");
    assert_eq!(run.call.status, CallStatus::Missed);
    assert_eq!(view::numbers(&run.call).total().all.calls_missed, 1);
    let names: Vec<String> = pending(&run.call).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["text_back"], "nothing was said, so nothing is to be judged");
}

#[test]
fn a_call_whose_node_died_ends_soon_and_when_it_was_last_carried() {
    let mut run = Run::new();
    run.talk();
    for _ in 0..5 {
        run.now_ms += CARRIED_EVERY_MS;
        run.ask(Command::Carried { socket: "s1".into() }).expect("still there");
    }
    let (carried_ms, spoke_s) = (run.now_ms, 5 * CARRIED_EVERY_MS / 1000);
    // A socket whose place another has taken, or of another call, carries nothing.
    let seq = run.call.seq;
    run.now_ms += 1;
    run.ask(Command::Carried { socket: "s0".into() }).expect("passed over");
    assert_eq!(run.call.seq, seq);
    run.now_ms = carried_ms + CARRIED_WITHIN_MS - 1;
    assert_eq!(on_timer(&run.call, run.now_ms), None);
    run.now_ms += 1;
    let tick = on_timer(&run.call, run.now_ms).expect("due");
    run.ask(tick).expect("over");
    assert_eq!((run.call.status, run.call.reason.as_deref()), (CallStatus::Completed, Some("connection_lost")));
    assert_eq!((run.call.ended_ms, run.call.duration_s), (Some(carried_ms), spoke_s));
    let told = run.events.iter().filter_map(|(event, ..)| conversation_message(&run.call, event)).count();
    assert_eq!(told, 1, "the conversation hears of it");
    run.ask(Command::Carried { socket: "s1".into() }).expect("too late");
    assert!(run.call.status.over());
}

#[test]
fn a_call_of_an_earlier_version_has_no_beats_and_is_not_missed_for_them() {
    let mut run = Run::new();
    run.talk();
    let mut json = serde_json::to_value(&run.call).expect("a state is JSON");
    json.as_object_mut().expect("an object").remove("carried_ms");
    let old: Call = serde_json::from_value(json).expect("an earlier version's");
    assert_eq!(on_timer(&old, run.now_ms + CARRIED_WITHIN_MS), None);
    let event: Event = serde_json::from_str(r#"{"type":"detached"}"#).expect("an earlier version's");
    assert_eq!(event, Event::Detached { since_ms: None });
}

#[test]
fn people_of_a_country_hear_what_the_owner_wants_them_to() {
    let mut config =
        AgentConfig { name: "Oak".into(), voice_welcome_message: "Hello.".into(), ..AgentConfig::default() };
    config.voice_scripts.insert("disclosure_de".into(), " Sie sprechen mit einer KI. ".into());
    for (person, expected) in [
        (Some("+4930901820"), "Hello. Sie sprechen mit einer KI."),
        (Some("+12175550100"), "Hello."),
        (Some("anonymous"), "Hello."),
        (None, "Hello."),
    ] {
        assert_eq!(script::first_words(&config, None, Direction::Inbound, true, person), expected, "{person:?}");
    }
    let before = problems(&config).len();
    config.voice_scripts.insert("disclosure_atlantis".into(), "Glub.".into());
    assert_eq!(problems(&config).len(), before + 1, "{:?}", problems(&config));
}

#[test]
fn a_recording_is_kept_as_long_as_was_promised_and_deleted_once() {
    let mut run = Run::new();
    run.talk();
    run.ask(Command::Record { keep_days: Some(30) }).expect("recorded");
    let seq = run.call.seq;
    run.ask(Command::Record { keep_days: None }).expect("another socket of the call");
    assert_eq!(run.call.seq, seq, "what the caller was promised stays");
    run.now_ms += 60_000;
    run.ask(end(None, None, None)).expect("over");
    let ended_ms = run.now_ms;
    run.ask(Command::Reviewed { attempt: 1, review: Box::new(Review::none()), talk: None }).expect("judged");
    let due_ms = ended_ms + 30 * 86_400_000;
    assert_eq!(timer(&run.call), Some(due_ms));
    run.now_ms = due_ms;
    let tick = on_timer(&run.call, run.now_ms).expect("due");
    run.ask(tick).expect("expired");
    assert!(!run.call.recording.as_ref().expect("recorded").stands(), "nobody listens any more");
    assert_eq!(pending(&run.call).len(), 1, "and it is to be deleted");
    run.ask(Command::RecordingDeleted).expect("deleted");
    let seq = run.call.seq;
    run.ask(Command::RecordingDeleted).expect("again");
    assert_eq!((run.call.seq, timer(&run.call), pending(&run.call).len()), (seq, None, 0));
    assert!(run.by(rep(), Command::Record { keep_days: None }).is_err(), "only the service itself");
}

#[test]
fn a_recording_without_an_end_is_kept_and_a_call_without_one_has_none() {
    let mut run = Run::new();
    run.talk();
    run.ask(Command::Record { keep_days: None }).expect("recorded");
    run.ask(end(None, None, None)).expect("over");
    run.ask(Command::Reviewed { attempt: 1, review: Box::new(Review::none()), talk: None }).expect("judged");
    assert_eq!(timer(&run.call), None);
    assert!(run.ask(Command::Record { keep_days: None }).is_err(), "it is over");
    assert_eq!(Call::default().recording, None);
}

#[test]
fn a_lost_connection_is_waited_for_and_another_takes_its_place() {
    let mut run = Run::new();
    run.talk();
    run.ask(Command::Detach { socket: "s1".into() }).expect("lost");
    run.now_ms += LOST_AFTER_MS - 1;
    assert_eq!(on_timer(&run.call, run.now_ms), None);
    run.ask(Command::Attach { socket: "s2".into() }).expect("back");
    assert_eq!(run.call.sockets, 2);
    run.ask(Command::Detach { socket: "s1".into() }).expect("the old one's end comes late");
    assert_eq!(run.call.lost_ms, None, "and says nothing about the new one");
    run.ask(Command::Detach { socket: "s2".into() }).expect("lost");
    let lost_at = run.now_ms;
    run.now_ms += LOST_AFTER_MS;
    let tick = on_timer(&run.call, run.now_ms).expect("due");
    run.ask(tick).expect("over");
    assert_eq!(run.call.status, CallStatus::Completed);
    assert_eq!(run.call.ended_ms, Some(lost_at), "it ended when it was lost, not when that was noticed");
    assert_eq!(run.call.reason.as_deref(), Some("connection_lost"));
}

#[test]
fn people_hang_up_and_put_through_what_goes_on_and_nobody_else_does() {
    let mut run = Run::new();
    run.talk();
    let cold = |to: &str| Command::Transfer { to: to.into(), kind: TransferKind::Cold };
    assert!(matches!(run.by(rep(), cold("555")), Err(Rejection::Invalid { .. })));
    let warm = Command::Transfer { to: "+12175550111".into(), kind: TransferKind::Warm };
    assert!(matches!(run.by(rep(), warm), Err(Rejection::Conflict { .. })), "Retell cannot do that");
    let viewer = Actor::User { id: "v".into(), role: Role::Viewer, name: "V".into() };
    for command in [cold("+12175550111"), Command::HangUp] {
        assert!(matches!(run.by(viewer.clone(), command), Err(Rejection::Forbidden { .. })));
    }
    let bound = Actor::ApiKey { id: "key".into(), role: Role::Owner, agent: Some("other".into()) };
    assert!(matches!(run.by(bound, Command::Get), Err(Rejection::NotFound { .. })));
    for refused in ["+19005551234", "+881612345678", "+1911", "911", "+12175550111;+19005551234"] {
        let refused = run.by(rep(), cold(refused));
        assert!(matches!(refused, Err(Rejection::Invalid { .. })), "{refused:?}");
    }
    run.by(rep(), cold("+12175550111")).expect("asked");
    run.by(rep(), cold("+12175550111")).expect("again");
    assert!(matches!(run.by(rep(), cold("+12175550122")), Err(Rejection::Conflict { .. })));
    run.by(rep(), Command::HangUp).expect("asked");
    run.ask(end(None, None, None)).expect("over");
    assert_eq!(run.call.status, CallStatus::Transferred);
    assert!(matches!(run.by(rep(), Command::HangUp), Err(Rejection::Conflict { .. })));
    let system_only = run.by(rep(), Command::Join { conversation: "c2".into() });
    assert!(matches!(system_only, Err(Rejection::Forbidden { .. })));
}

#[test]
fn a_test_call_counts_nowhere_and_is_put_through_to_nobody() {
    let mut run = Run::new();
    let call = NewCall {
        id: "k".into(),
        carrier: Carrier::Browser,
        provider_call_id: "x".into(),
        agent_id: "a".into(),
        direction: Direction::Inbound,
        person: None,
        line: None,
        test: true,
        account: None,
        dial: None,
    };
    run.ask(Command::Ring(Box::new(call))).expect("rings");
    run.ask(Command::Attach { socket: "s".into() }).expect("taken");
    let transfer = Command::Transfer { to: "+12175550111".into(), kind: TransferKind::Cold };
    assert!(matches!(run.by(rep(), transfer), Err(Rejection::Conflict { ref code, .. }) if code == "test_call"));
    run.ask(end(None, None, None)).expect("over");
    assert!(view::numbers(&run.call).is_empty());
}

#[test]
fn what_cannot_be_a_call_is_refused_by_field() {
    let mut run = Run::new();
    let call = NewCall {
        id: "k".into(),
        carrier: Carrier::Retell,
        provider_call_id: String::new(),
        agent_id: "".into(),
        direction: Direction::Inbound,
        person: Some("anonymous".into()),
        line: None,
        test: false,
        account: None,
        dial: None,
    };
    let Err(Rejection::Invalid { errors }) = run.ask(Command::Ring(Box::new(call))) else { panic!("refused") };
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["provider_call_id", "agent_id", "person"]);
}

#[test]
fn a_review_that_fails_is_tried_again_and_then_left_out() {
    let mut run = Run::new();
    run.talk();
    run.ask(end(None, None, None)).expect("over");
    for _ in 0..10 {
        let Some(due) = timer(&run.call) else { break };
        run.now_ms = due;
        let tick = on_timer(&run.call, run.now_ms).expect("due");
        run.ask(tick).expect("again");
    }
    assert_eq!(run.call.review.as_deref(), Some(&Review::none()));
    assert_eq!(timer(&run.call), None);
    let late = Command::Reviewed { attempt: 1, review: Box::new(Review::none()), talk: None };
    assert_eq!(run.ask(late), Err(Rejection::Superseded));
}

#[test]
fn the_greeting_tells_what_must_be_heard_unless_it_says_so_itself() {
    let notice = |kind: &str, text: &str| ComplianceNotice {
        kind: kind.into(),
        text: text.into(),
        when: NoticeWhen::AlwaysAvailable,
    };
    let mut config = AgentConfig {
        voice_welcome_message: "Oak Plumbing, hello.".into(),
        compliance_notices: vec![
            notice("ai_disclosure", "You're talking with an AI assistant."),
            notice("call_recording", "This call is recorded."),
            notice("hipaa", "We keep it private."),
        ],
        ..AgentConfig::default()
    };
    assert_eq!(
        script::greeting(&config, Direction::Inbound, true),
        "Oak Plumbing, hello. You're talking with an AI assistant. This call is recorded."
    );
    config.voice_scripts.insert("greeting".into(), "Oak Plumbing, I'm an AI assistant.".into());
    config.voice_scripts.insert("after_hours".into(), "We are closed, I'm the AI assistant.".into());
    assert_eq!(
        script::greeting(&config, Direction::Inbound, true),
        "Oak Plumbing, I'm an AI assistant. This call is recorded."
    );
    assert_eq!(
        script::greeting(&config, Direction::Inbound, false),
        "We are closed, I'm the AI assistant. This call is recorded."
    );
    assert!(script::reminder(0).1 && !script::reminder(1).1 && !script::reminder(9).1);
}

#[test]
fn who_is_called_hears_that_no_person_speaks_in_the_agents_language_once() {
    let mut config = AgentConfig {
        name: "Oak Plumbing".into(),
        voice_welcome_message: "Thank you for calling Oak.".into(),
        ..AgentConfig::default()
    };
    let first = |config: &AgentConfig, direction, words: Option<&str>| {
        let opening = words.map(|words| script::opening(config, direction, words));
        script::first_words(config, opening.as_deref(), direction, true, None)
    };
    assert_eq!(
        first(&config, Direction::Inbound, None),
        "Thank you for calling Oak.",
        "who calls is told what the owner wants"
    );
    assert_eq!(
        first(&config, Direction::Outbound, None),
        "Hello, this is Oak Plumbing. You're talking with an AI assistant."
    );
    let about = Some("Hello Ann, it is about boilers.");
    assert_eq!(
        first(&config, Direction::Outbound, about),
        "Hello Ann, it is about boilers. You're talking with an AI assistant."
    );
    config.voice_language = "de-AT".into();
    assert_eq!(
        first(&config, Direction::Outbound, Some("Guten Tag, hier ist Eiche.")),
        "Guten Tag, hier ist Eiche. Sie sprechen mit einem KI-Assistenten."
    );
    let own = "Guten Tag, ich bin die KI von Eiche.";
    assert_eq!(first(&config, Direction::Outbound, Some(own)), own, "said already");
    config.compliance_notices = vec![ComplianceNotice {
        kind: "ai_disclosure".into(),
        text: "Kein Mensch spricht.".into(),
        when: NoticeWhen::AlwaysAvailable,
    }];
    assert_eq!(
        first(&config, Direction::Outbound, Some("Guten Tag.")),
        "Guten Tag. Kein Mensch spricht.",
        "the owner's own words for it"
    );
}

/// A conversation with a call in which this was said.
fn talk(words: &[&str]) -> State {
    let link = CallLink { id: "k".into(), began_ms: 1_000, ..CallLink::default() };
    let mut state = State { id: "c".into(), calls: vec![link], ..State::default() };
    for (n, words) in (0_i64..).zip(words) {
        let mut message: conversation::Message = serde_json::from_value(serde_json::json!({
            "id": format!("m{n}"), "seq": n, "role": "user", "whisper": false, "author": null, "channel": "voice", "content": words,
            "sources": [], "confidence": null, "prompt": null, "turn": null, "at_ms": 2_000 + n, "thumbs_up": null, "feedback": null,
            "tokens": null, "latency_ms": null, "used": false, "fallback": false, "call": "k",
        }))
        .expect("a message");
        message.role = MessageRole::User;
        state.messages.push(message);
    }
    state
}

#[test]
fn a_person_asked_for_is_reached_by_the_rules_number_or_not_at_all() {
    let mut run = Run::new();
    run.talk();
    let mut state = talk(&["I want to talk to a person"]);
    state.escalations.push(conversation::state::EscalationRecord {
        rule: "human_request".into(),
        action: EscalationAction::Transfer,
        reason: "asked".into(),
        to: None,
        at_ms: 3_000,
    });
    let mut config = AgentConfig::default();
    assert!(matches!(script::next(&state, &run.call, &config), Next::Sorry { .. }));
    config.escalation_phone = Some("+19005551234".into());
    assert!(
        matches!(script::next(&state, &run.call, &config), Next::Sorry { .. }),
        "nobody is put through at a premium"
    );
    let problems = crate::agent::problems::problems(&config);
    assert!(problems.iter().any(|problem| problem.field == "escalation_phone"), "{problems:?}");
    config.escalation_phone = Some("+12175550111".into());
    assert!(matches!(script::next(&state, &run.call, &config), Next::Transfer { ref to, .. } if to == "+12175550111"));
    state.escalations[0].at_ms = 1_500;
    assert_eq!(script::next(&state, &run.call, &config), Next::Listen, "an older wish was dealt with");
    state.status = ConversationStatus::Resolved;
    assert_eq!(script::next(&state, &run.call, &config), Next::HangUp);
}

#[test]
fn a_goodbye_ends_the_call_unless_something_is_still_being_asked() {
    let mut run = Run::new();
    run.talk();
    let config = AgentConfig::default();
    let mut state = talk(&["Thank you, goodbye!"]);
    assert_eq!(script::next(&state, &run.call, &config), Next::HangUp);
    let mut question = state.messages[0].clone();
    question.role = MessageRole::Assistant;
    question.content = "Before you go, what is your number?".into();
    state.messages.push(question);
    assert_eq!(script::next(&state, &run.call, &config), Next::Listen);
    assert_eq!(script::next(&talk(&["When are you open?"]), &run.call, &config), Next::Listen);
}

#[test]
fn a_score_is_the_sum_of_its_reasons_and_stays_on_the_scale() {
    let none = score::review(&talk(&[]), &"k".into());
    assert_eq!((none.score, none.sentiment), (Some(10), score::Sentiment::Unknown));
    let good = score::review(&talk(&["Are you open on Sundays?", "Thank you!"]), &"k".into());
    assert_eq!(good.sentiment, score::Sentiment::Positive);
    assert!(good.score > Some(50) && good.method == "rules" && good.summary.contains("Sundays"));
    let mut bad = talk(&["This is ridiculous, I am so angry", "This is ridiculous, you are useless"]);
    for n in 0..5 {
        bad.unanswered.push(conversation::state::Unanswered { question: "?".into(), at_ms: 2_000 + n });
    }
    let bad = score::review(&bad, &"k".into());
    assert_eq!(bad.sentiment, score::Sentiment::Negative);
    for review in [none, good, bad] {
        let sum: i64 = review.reasons.iter().map(|reason| reason.points).sum();
        assert_eq!(Some(sum), review.score.map(i64::from), "{review:?}");
    }
    assert_eq!(score::review(&talk(&["hi"]), &"other".into()), Review::none());
}

#[test]
fn who_types_while_a_voice_reads_interrupts_nobody() {
    let interrupted = |typed: bool| {
        let mut state = talk(&["When are you open?", "And on Sundays?"]);
        let mut answer = state.messages[0].clone();
        answer.role = MessageRole::Assistant;
        answer.unheard = Some("On Sundays we are closed.".into());
        state.messages.insert(1, answer);
        state.messages[2].typed = typed;
        let reasons = score::review(&state, &"k".into()).reasons;
        reasons.iter().filter(|reason| reason.signal == "answer_interrupted").map(|reason| reason.points).sum::<i64>()
    };
    assert_eq!((interrupted(false), interrupted(true)), (-2, 0));
    // Hanging up in mid-sentence is one for who listens, and none for who reads.
    for typed in [false, true] {
        let mut state = talk(&["When are you open?"]);
        let mut last = state.messages[0].clone();
        (last.role, last.unheard) = (MessageRole::Assistant, Some("six.".into()));
        state.messages[0].typed = typed;
        state.messages.push(last);
        let reasons = score::review(&state, &"k".into()).reasons;
        let counted = reasons.iter().any(|reason| reason.signal == "answer_interrupted");
        assert_eq!(counted, !typed, "{reasons:?}");
    }
}

fn commands() -> impl Strategy<Value = Vec<(u8, u32)>> {
    proptest::collection::vec((0_u8..12, 0_u32..200_000), 1..40)
}

proptest! {
    #[test]
    fn whoever_says_what_when_a_call_ends_once_and_the_journal_rebuilds_it(steps in commands()) {
        let mut run = Run::new();
        for (what, wait) in steps {
            run.now_ms += i64::from(wait);
            let before = run.call.clone();
            let outcome = match what {
                0 => { run.ring(); Ok(Reply::Done) }
                1 => run.ask(Command::Join { conversation: "c".into() }),
                2 => run.ask(Command::Attach { socket: "s1".into() }),
                3 => run.ask(Command::Attach { socket: "s2".into() }),
                4 => run.ask(Command::Detach { socket: "s1".into() }),
                5 => run.by(rep(), Command::Transfer { to: "+12175550111".into(), kind: TransferKind::Cold }),
                6 => run.by(rep(), Command::HangUp),
                7 => run.ask(end(None, None, None)),
                8 => run.ask(end(Some(CallStatus::Voicemail), Some("voicemail_reached"), Some(4_000))),
                9 => run.ask(Command::Reviewed { attempt: run.call.review_attempt, review: Box::new(Review::none()), talk: None }),
                10 => run.ask(Command::Recovered),
                _ => match on_timer(&run.call, run.now_ms) {
                    Some(command) => run.ask(command),
                    None => Ok(Reply::Done),
                },
            };
            if outcome.is_err() {
                prop_assert_eq!(&run.call, &before, "a refusal changes nothing");
            }
            prop_assert!(!before.status.over() || run.call.status.over(), "what is over stays over");
            prop_assert!(timer(&run.call).is_none() || run.call.exists());
            let ends = run.events.iter().filter(|(event, ..)| matches!(event, Event::Ended { .. })).count();
            prop_assert!(ends <= 1, "it ends once");
            let total = view::numbers(&run.call).total().all;
            prop_assert!(total.calls_answered + total.calls_missed <= 1);
        }
        let mut again = Call::default();
        for (event, seq, at_ms) in &run.events {
            apply(&mut again, event, *seq, *at_ms);
        }
        prop_assert_eq!(again, run.call);
    }
}

#[test]
fn calls_that_come_in_are_told_to_the_pacer_once_and_taken_back_once() {
    let mut run = Run::new();
    run.talk();
    run.ask(end(None, None, None)).expect("over");
    run.ask(end(None, Some("more"), None)).expect("more is said");
    let told: Vec<_> = run.events.iter().filter_map(|(event, ..)| pacer_message(&run.call, event)).collect();
    let inbound = |going_on| ("twilio:AC1".to_owned(), pacer::Command::Inbound { call: "k".into(), going_on });
    assert_eq!(told, [inbound(true), inbound(false)]);
    assert!(run.events.iter().all(|(event, ..)| slice_message(&run.call, event).is_none()), "no campaign made it");
}

#[test]
fn a_campaign_hears_what_its_call_came_to_and_a_machine_talks_to_nobody() {
    let dial = Dialled { campaign: "c1".into(), slice: 2, target: 17, attempt: 3 };
    let ring = |run: &mut Run| {
        let call = NewCall {
            id: "k".into(),
            carrier: Carrier::Twilio,
            provider_call_id: "CA1".into(),
            agent_id: "a".into(),
            direction: Direction::Outbound,
            person: Some("+12175550100".into()),
            line: Some("+12175550199".into()),
            test: false,
            account: Some("twilio:AC1".into()),
            dial: Some(dial.clone()),
        };
        run.ask(Command::Ring(Box::new(call))).expect("it rings");
        run.ask(Command::Join { conversation: "c".into() }).expect("joined");
        run.ask(Command::Attach { socket: "s1".into() }).expect("taken");
    };
    let mut run = Run::new();
    ring(&mut run);
    assert_eq!(view::view(&run.call).and_then(|view| view.campaign_id), Some("c1".into()));
    run.ask(end(None, None, None)).expect("over");
    assert!(matches!(&pending(&run.call)[..], [(_, 1, Effect::Review { campaigns: true, .. })]));
    let talk = Box::new(Talk { not_interested: true, ..Talk::default() });
    let reviewed = Command::Reviewed { attempt: 1, review: Box::new(Review::none()), talk: Some(talk.clone()) };
    run.ask(reviewed).expect("reviewed");
    let told: Vec<_> = run.events.iter().filter_map(|(event, ..)| slice_message(&run.call, event)).collect();
    let heard = slice::Command::Heard { target: 17, attempt: 3, report: Report::Talk { talk } };
    assert_eq!(told, [("c1.2".to_owned(), heard)]);
    assert!(run.events.iter().all(|(event, ..)| pacer_message(&run.call, event).is_none()), "its own permit counts it");

    // A machine, found while it goes on or after.
    for after in [false, true] {
        let mut run = Run::new();
        ring(&mut run);
        if after {
            run.ask(end(None, None, Some(9_000))).expect("over");
        }
        for _ in 0..2 {
            run.ask(Command::Machine).expect("found");
        }
        if !after {
            run.ask(end(None, None, Some(9_000))).expect("over");
        }
        assert_eq!(run.call.status, CallStatus::Voicemail, "found after: {after}");
        assert!(pending(&run.call).is_empty(), "nothing was said to it");
    }
}

#[test]
fn a_call_ends_once_the_person_has_said_what_they_want_of_it() {
    let mut run = Run::new();
    run.talk();
    let config = AgentConfig::default();
    let with = |wish| {
        let mut state = talk(&["I am not interested"]);
        state.dialogue.errand = Some(Box::new(Errand { call: "k".into(), wish, ..Errand::default() }));
        script::next(&state, &run.call, &config)
    };
    assert_eq!(with(None), Next::Listen);
    assert_eq!(with(Some(Wish::NotInterested)), Next::HangUp);
    assert_eq!(with(Some(Wish::Later { at_ms: None, settled: false })), Next::Listen, "it is asked when");
    assert_eq!(with(Some(Wish::Later { at_ms: Some(5), settled: true })), Next::HangUp);
}
