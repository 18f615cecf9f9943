//! The state machine: each transition.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Command, Decision, Effect, Event, Reply, State, alerts, apply,
    command::{Answer, Post, Posted, SubmitLead},
    decide,
    dialogue::{AlertDraft, Escalation, Facts, Understanding, lead_form},
    event::AnswerGiven,
    lead_message, on_recovered, on_timer, pending,
    state::{
        AlertLine, AlertStatus, CloseReason, Contact, Floor, IDLE_AFTER_MS, TURN_DEADLINE_MS, Terms, TurnOutcome,
        Visitor,
    },
    timer, view,
};
use crate::{
    agent::config::AgentConfig,
    catalog::template::AlertChannel,
    context::Context,
    ids::TurnId,
    lead,
    lines::Provider,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
    vocabulary::{Channel, ConversationStatus, EscalationAction, MessageRole, Urgency},
};

pub(super) const CAP: u32 = 8;

#[derive(Clone, Default)]
pub(super) struct Run {
    pub(super) state: State,
    pub(super) events: Vec<(Event, u64, i64)>,
    pub(super) now_ms: i64,
    pub(super) decisions: u64,
    pub(super) lead_ids: BTreeSet<String>,
    /// `t` without one.
    pub(super) tenant: Option<&'static str>,
}

impl Run {
    pub(super) fn new() -> Self {
        Self { now_ms: 1_000_000, ..Self::default() }
    }

    pub(super) fn decide(&mut self, actor: Actor, command: Command) -> Result<Decision, Rejection> {
        self.decisions += 1;
        let mut seed = [0_u8; 32];
        seed[8..16].copy_from_slice(&self.decisions.to_be_bytes());
        let cx = Context {
            now_ms: self.now_ms,
            seq: self.state.seq,
            seed,
            principal: Principal { tenant: self.tenant.unwrap_or("t").into(), actor },
        };
        decide(&self.state, &cx, command)
    }

    pub(super) fn ask(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let decision = self.decide(actor, command)?;
        for event in decision.events {
            let seq = self.state.seq + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            if let Some((id, lead::Command::Capture { .. })) = lead_message(&self.state, &event) {
                self.lead_ids.insert(id.0);
            }
            self.events.push((event, seq, self.now_ms));
        }
        Ok(decision.reply)
    }

    pub(super) fn post(&mut self, id: &str, text: &str) -> Result<Posted, Rejection> {
        match self.ask(visitor(), post(id, text))? {
            Reply::Posted(posted) => Ok(posted),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn open(&self) -> (TurnId, u32) {
        let open = self.state.open.as_ref().expect("an open turn");
        (open.id.clone(), open.attempt)
    }

    pub(super) fn answer(&mut self, text: &str) -> Result<Reply, Rejection> {
        let (turn, attempt) = self.open();
        self.ask(
            Actor::System,
            Command::Answered(Box::new(Answer { turn, attempt, text: text.into(), ..Answer::default() })),
        )
    }
}

pub(super) fn visitor() -> Actor {
    Actor::Visitor { id: "v".into(), agent: "a".into() }
}

pub(super) fn person(id: &str, role: Role) -> Actor {
    Actor::User { id: id.into(), role, name: id.to_uppercase() }
}

pub(super) fn post(id: &str, text: &str) -> Command {
    Command::Post(Box::new(Post {
        conversation_id: "c".into(),
        agent_id: "a".into(),
        client_message_id: Some(id.into()),
        text: text.into(),
        channel: Channel::Chat,
        visitor: Visitor { id: "v".into(), ..Visitor::default() },
        terms: Terms {
            config_version: 1,
            max_messages: CAP,
            fallback_message: "I don't know.".into(),
            reachable: false,
            collect_leads: true,
            prefers_form: false,
            alert_email: Some("b@x.com".into()),
        },
        agent_live: true,
        continues: false,
        carried: None,
        spoken: None,
    }))
}

pub(super) fn draft(channel: AlertChannel) -> AlertDraft {
    AlertDraft { channel, to: "x".into(), subject: "s".into(), body: "b".into(), about: "r".into() }
}

pub(super) fn meaning(phone: Option<&str>, action: Option<EscalationAction>) -> Understanding {
    let values: BTreeMap<String, String> =
        phone.map(|phone| ("phone".to_owned(), phone.to_owned())).into_iter().collect();
    let escalations = action.map(|action| Escalation {
        rule: "r".into(),
        action,
        urgency: Some(Urgency::High),
        reason: "why".into(),
        to: None,
    });
    let facts = Facts {
        contact: Contact { phone: phone.map(str::to_owned), ..Contact::default() },
        values,
        alerts: if action.is_some() { vec![draft(AlertChannel::Sms), draft(AlertChannel::Email)] } else { Vec::new() },
        escalations: escalations.into_iter().collect(),
        ..Facts::default()
    };
    Understanding { facts, ..Understanding::default() }
}

pub(super) fn system(run: &mut Run, command: Command) -> Result<Reply, Rejection> {
    run.ask(Actor::System, command)
}

pub(super) fn is_conflict(result: Result<impl std::fmt::Debug, Rejection>, wanted: &str) -> bool {
    matches!(result, Err(Rejection::Conflict { code, .. }) if code == wanted)
}

#[test]
fn a_first_message_starts_the_conversation_and_opens_a_turn() {
    let mut run = Run::new();
    let posted = run.post("1", "hello").unwrap();
    assert_eq!(
        (posted.seq, posted.turn.as_ref().map(|turn| turn.0.as_str()), posted.repeated),
        (2, Some("turn-1"), false)
    );
    assert_eq!(pending(&run.state).len(), 1);
    assert_eq!(timer(&run.state), Some(1_000_000 + TURN_DEADLINE_MS));
    assert_eq!(run.state.message(&posted.message_id).unwrap().seq, posted.seq);
}

#[test]
fn a_repeated_client_id_gives_the_first_reply_and_changes_nothing() {
    let mut run = Run::new();
    let first = run.post("1", "hello").unwrap();
    let again = run.post("1", "hello").unwrap();
    assert_eq!(
        (again.seq, &again.message_id, &again.turn, again.repeated),
        (first.seq, &first.message_id, &first.turn, true)
    );
    run.answer("hi").unwrap();
    let seq = run.state.seq;
    assert_eq!(run.post("1", "hello").unwrap().seq, first.seq);
    assert_eq!(run.state.seq, seq);
}

#[test]
fn an_answer_closes_the_turn_and_its_repeat_is_refused() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.now_ms += 700;
    let (turn, attempt) = run.open();
    run.answer("hi").unwrap();
    assert!(run.state.open.is_none() && pending(&run.state).is_empty());
    let last = run.state.messages.last().unwrap();
    assert_eq!(
        (last.role, last.latency_ms, run.state.first_response_ms),
        (MessageRole::Assistant, Some(700), Some(700))
    );
    let late = Answer { turn, attempt, text: "again".into(), ..Answer::default() };
    assert_eq!(system(&mut run, Command::Answered(Box::new(late))), Err(Rejection::Superseded));
}

#[test]
fn a_newer_message_replaces_the_turn_and_its_answer_covers_both() {
    let mut run = Run::new();
    let first = run.post("1", "do you").unwrap();
    let second = run.post("2", "work sundays?").unwrap();
    let Ok(Reply::Brief(brief)) = system(&mut run, Command::Brief { turn: second.turn.clone().unwrap(), attempt: 1 })
    else {
        panic!("a brief")
    };
    assert_eq!(brief.question, "do you\nwork sundays?");
    assert_eq!(
        system(&mut run, Command::Brief { turn: first.turn.clone().unwrap(), attempt: 1 }),
        Err(Rejection::Superseded)
    );
    run.answer("yes").unwrap();
    let Ok(Reply::Outcome(outcome)) = run.ask(visitor(), Command::Outcome { turn: first.turn.unwrap() }) else {
        panic!("an outcome")
    };
    assert_eq!(
        outcome.answer.map(|message| message.content).as_deref(),
        Some("yes"),
        "whoever waits for the first turn gets the answer too"
    );
}

#[test]
fn a_failed_turn_is_tried_again_and_then_answered_with_the_fallback() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let (turn, attempt) = run.open();
    system(&mut run, Command::TurnFailed { turn: turn.clone(), attempt, reason: "429".into() }).unwrap();
    assert_eq!(run.open(), (turn.clone(), 2));
    assert_eq!(
        system(&mut run, Command::TurnFailed { turn: turn.clone(), attempt: 1, reason: "late".into() }),
        Err(Rejection::Superseded)
    );
    system(&mut run, Command::TurnFailed { turn, attempt: 2, reason: "429".into() }).unwrap();
    let last = run.state.messages.last().unwrap();
    assert_eq!((last.content.as_str(), last.fallback), ("I don't know.", true));
    assert_eq!(run.state.turns[0].trace.as_ref().unwrap().problems, ["429"]);
}

#[test]
fn a_deadline_raises_the_attempt_and_a_crash_too_but_not_for_ever() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.now_ms += TURN_DEADLINE_MS;
    let tick = on_timer(&run.state, run.now_ms).expect("due");
    system(&mut run, tick).unwrap();
    assert_eq!(run.open().1, 2);
    assert!(timer(&run.state).unwrap() > run.now_ms, "a fired timer moves");
    for _ in 0..5 {
        let command = on_recovered(&run.state).expect("a turn is open");
        system(&mut run, command).unwrap();
    }
    assert_eq!(run.open().1, 7);
    system(&mut run, Command::Recovered).unwrap();
    assert!(run.state.open.is_none() && run.state.messages.last().unwrap().fallback);
    assert!(on_recovered(&run.state).is_none());
}

#[test]
fn an_empty_answer_becomes_a_useful_message() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.answer("  ").unwrap();
    assert_eq!(run.state.messages.last().unwrap().content, "I don't know.");
}

#[test]
fn what_was_understood_is_applied_once_and_survives_a_retry() {
    let mut run = Run::new();
    run.post("1", "call me at 555").unwrap();
    let (turn, _) = run.open();
    let understood = |attempt| Command::Understood {
        turn: turn.clone(),
        attempt,
        understanding: Box::new(meaning(Some("+15552013344"), Some(EscalationAction::ImmediateAlert))),
    };
    system(&mut run, understood(1)).unwrap();
    assert_eq!(
        (run.state.alerts.len(), run.state.status, run.state.urgency),
        (2, ConversationStatus::Escalated, Urgency::High)
    );
    let seq = run.state.seq;
    system(&mut run, understood(1)).unwrap();
    assert_eq!(run.state.seq, seq);
    system(&mut run, Command::Recovered).unwrap();
    let Ok(Reply::Brief(brief)) = system(&mut run, Command::Brief { turn: turn.clone(), attempt: 2 }) else {
        panic!("a brief")
    };
    assert!(brief.understood.is_some());
    let again = Answer {
        turn: turn.clone(),
        attempt: 2,
        text: "ok".into(),
        understanding: Some(Box::new(meaning(None, Some(EscalationAction::ImmediateAlert)))),
        ..Answer::default()
    };
    system(&mut run, Command::Answered(Box::new(again))).unwrap();
    assert_eq!(run.state.alerts.len(), 2, "facts are not applied a second time");
    assert_eq!(run.lead_ids.len(), 1);
}

#[test]
fn the_cap_closes_it_and_the_next_post_is_refused() {
    for reachable in [false, true] {
        let mut run = Run::new();
        for n in 0..CAP / 2 {
            let Command::Post(mut post) = post(&n.to_string(), "hi") else { panic!() };
            post.terms.reachable = reachable;
            run.ask(visitor(), Command::Post(post)).unwrap();
            run.answer("hello").unwrap();
        }
        let status = if reachable { ConversationStatus::Escalated } else { ConversationStatus::Resolved };
        assert_eq!(
            (run.state.message_count, run.state.status, run.state.closed),
            (CAP, status, Some(CloseReason::MessageCap))
        );
        assert_eq!(run.state.alerts.len(), usize::from(reachable));
        assert!(is_conflict(run.post("x", "hi"), "conversation_closed"));
        assert_eq!(timer(&run.state), None);
        // A person can still take it from here.
        run.ask(person("u", Role::Rep), Command::Takeover).unwrap();
        assert!(run.post("y", "hi").unwrap().turn.is_none());
    }
}

#[test]
fn while_a_person_holds_the_floor_no_turn_opens() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let (turn, attempt) = run.open();
    run.ask(person("u", Role::Rep), Command::Takeover).unwrap();
    assert!(pending(&run.state).is_empty());
    let late = Answer { turn: turn.clone(), attempt, text: "late".into(), ..Answer::default() };
    assert_eq!(system(&mut run, Command::Answered(Box::new(late))), Err(Rejection::Superseded));
    assert_eq!(run.state.turn(&turn).unwrap().outcome, TurnOutcome::Silenced);
    assert!(run.post("2", "anyone?").unwrap().turn.is_none());
    let seq = run.state.seq;
    run.ask(person("u", Role::Rep), Command::Takeover).unwrap();
    assert_eq!(run.state.seq, seq, "taking over twice is once");
    assert!(is_conflict(run.ask(person("w", Role::Rep), Command::Takeover), "floor_taken"));
    assert!(is_conflict(run.ask(person("w", Role::Rep), Command::Handback), "floor_taken"));
    run.ask(person("m", Role::Manager), Command::Takeover).unwrap();
    run.ask(person("m", Role::Manager), Command::Handback).unwrap();
    let turn = run.open().0;
    let Ok(Reply::Brief(brief)) = system(&mut run, Command::Brief { turn, attempt: 1 }) else { panic!("a brief") };
    assert_eq!(brief.question, "hello\nanyone?", "the assistant answers what nobody answered");
}

#[test]
fn a_persons_message_takes_the_floor_and_its_repeat_is_the_same_message() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let say = || Command::HumanMessage {
        client_message_id: Some("h1".into()),
        text: "Hi, Rita here".into(),
        channel: None,
        files: Vec::new(),
    };
    let Ok(Reply::Said { message_id, seq }) = run.ask(person("u", Role::Rep), say()) else { panic!("said") };
    assert_eq!(run.state.floor, Floor::Person { user: "u".into(), name: "U".into() });
    assert_eq!(run.state.message(&message_id).unwrap().seq, seq);
    assert_eq!(run.ask(person("u", Role::Rep), say()), Ok(Reply::Said { message_id, seq }));
    assert_eq!(run.state.assigned_to, Some("u".into()));
}

#[test]
fn idleness_resolves_what_was_answered_and_abandons_the_rest() {
    let idle = |run: &mut Run| {
        run.now_ms += IDLE_AFTER_MS;
        let command = on_timer(&run.state, run.now_ms).expect("due");
        system(run, command).unwrap();
        assert_eq!(timer(&run.state), None);
        run.state.status
    };
    let mut answered = Run::new();
    answered.post("1", "hello").unwrap();
    answered.answer("hi").unwrap();
    assert_eq!(idle(&mut answered.clone()), ConversationStatus::Resolved);

    let mut fallback = Run::new();
    fallback.post("1", "hello").unwrap();
    let (turn, attempt) = fallback.open();
    system(
        &mut fallback,
        Command::Answered(Box::new(Answer {
            turn,
            attempt,
            text: "dunno".into(),
            fallback: true,
            ..Answer::default()
        })),
    )
    .unwrap();
    assert_eq!(idle(&mut fallback), ConversationStatus::Abandoned);

    let mut escalated = Run::new();
    escalated.post("1", "help").unwrap();
    let (turn, attempt) = escalated.open();
    let understanding = Some(Box::new(meaning(None, Some(EscalationAction::Transfer))));
    system(
        &mut escalated,
        Command::Answered(Box::new(Answer { turn, attempt, text: "ok".into(), understanding, ..Answer::default() })),
    )
    .unwrap();
    assert_eq!(idle(&mut escalated.clone()), ConversationStatus::Abandoned);
    escalated
        .ask(
            person("u", Role::Rep),
            Command::HumanMessage { client_message_id: None, text: "here".into(), channel: None, files: Vec::new() },
        )
        .unwrap();
    assert_eq!(idle(&mut escalated), ConversationStatus::Resolved);
    assert_eq!(escalated.state.floor, Floor::Assistant, "nobody holds an ended conversation");

    let mut silent = Run::new();
    silent.post("1", "hello").unwrap();
    silent.ask(person("u", Role::Rep), Command::Takeover).unwrap();
    assert_eq!(idle(&mut silent), ConversationStatus::Abandoned);
    assert!(silent.post("2", "back again").unwrap().turn.is_some(), "the visitor may come back");
    assert_eq!((silent.state.status, silent.state.ended_at_ms), (ConversationStatus::Active, None));
}

#[test]
fn the_visitor_ends_it_for_good() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.ask(visitor(), Command::Close).unwrap();
    assert_eq!((run.state.status, run.state.closed), (ConversationStatus::Abandoned, Some(CloseReason::Visitor)));
    assert!(run.state.open.is_none());
    let seq = run.state.seq;
    run.ask(visitor(), Command::Close).unwrap();
    assert_eq!(run.state.seq, seq);
    assert!(is_conflict(run.post("2", "hi"), "conversation_closed"));
}

#[test]
fn alerts_are_attempted_once_and_retried_after_a_wait() {
    let mut run = Run::new();
    run.post("1", "fire").unwrap();
    let (turn, attempt) = run.open();
    system(
        &mut run,
        Command::Understood {
            turn,
            attempt,
            understanding: Box::new(meaning(None, Some(EscalationAction::ImmediateAlert))),
        },
    )
    .unwrap();
    let alerts: Vec<_> = pending(&run.state).into_iter().filter(|(id, ..)| id.starts_with("alert:")).collect();
    assert_eq!(alerts.len(), 2);
    let Effect::SendAlert { alert } = &alerts[0].2 else { panic!("to send") };
    let attempted = || Command::AlertAttempt { id: alert.id.clone(), attempt: 1, line: None };
    system(&mut run, attempted()).unwrap();
    assert_eq!(system(&mut run, attempted()), Err(Rejection::Superseded), "a second sender must look up the outcome");
    assert!(pending(&run.state).iter().any(|(id, attempt, effect)| *id == alerts[0].0
        && *attempt == 1
        && matches!(effect, Effect::CheckAlert { .. })));
    system(&mut run, Command::AlertFailed { id: alert.id.clone(), attempt: 1, error: "503".into(), retry: true })
        .unwrap();
    let AlertStatus::Waiting { until_ms } = run.state.alerts[&alert.id].status else { panic!("waits") };
    assert_eq!(until_ms, run.now_ms + 30_000);
    run.now_ms = until_ms;
    system(&mut run, Command::Tick { due_ms: until_ms }).unwrap();
    assert_eq!((run.state.alerts[&alert.id].status, run.state.alerts[&alert.id].attempt), (AlertStatus::Queued, 2));
    let done = |attempt, recorded| Command::AlertDone { id: alert.id.clone(), attempt, recorded };
    assert_eq!(system(&mut run, done(1, false)), Err(Rejection::Superseded));
    system(&mut run, done(2, false)).unwrap();
    system(&mut run, done(2, false)).unwrap();
    assert_eq!(run.state.alerts[&alert.id].status, AlertStatus::Sent);
}

#[test]
fn a_text_message_to_staff_is_known_by_where_it_left_from_until_another_attempt_chooses_anew() {
    let mut run = Run::new();
    run.post("1", "fire").unwrap();
    let (turn, attempt) = run.open();
    let understanding = Box::new(meaning(None, Some(EscalationAction::ImmediateAlert)));
    system(&mut run, Command::Understood { turn, attempt, understanding }).unwrap();
    let sms = |run: &Run| run.state.alerts.values().find(|alert| alert.channel == AlertChannel::Sms).cloned().unwrap();
    let alert = sms(&run);
    let line = AlertLine { provider: Provider::Twilio, from: "+14155550100".into() };
    let begins = Command::AlertAttempt { id: alert.id.clone(), attempt: 1, line: Some(line.clone()) };
    system(&mut run, begins).unwrap();
    assert_eq!((sms(&run).line, sms(&run).attempted_ms), (Some(line), Some(run.now_ms)));
    let shown = alerts::views(&run.state).into_iter().find(|shown| shown.id == alert.id).unwrap();
    assert_eq!((&*shown.status, shown.provider, shown.simulated), ("attempted", Some(Provider::Twilio), false));
    let failed = Command::AlertFailed { id: alert.id.clone(), attempt: 1, error: "away".into(), retry: true };
    system(&mut run, failed).unwrap();
    let AlertStatus::Waiting { until_ms } = sms(&run).status else { panic!("waits") };
    run.now_ms = until_ms;
    system(&mut run, Command::Tick { due_ms: until_ms }).unwrap();
    assert_eq!((sms(&run).line, sms(&run).attempted_ms), (None, None), "nothing of it has left");
    // Disconnected meanwhile: what reaches nobody is never called sent.
    system(&mut run, Command::AlertAttempt { id: alert.id.clone(), attempt: 2, line: None }).unwrap();
    let done = || Command::AlertDone { id: alert.id.clone(), attempt: 2, recorded: true };
    system(&mut run, done()).unwrap();
    system(&mut run, done()).unwrap();
    assert_eq!((sms(&run).status, sms(&run).attempted_ms), (AlertStatus::Recorded, None));
    let old = serde_json::json!({ "type": "alert_attempted", "id": "x", "attempt": 1 });
    let old: Event = serde_json::from_value(old).expect("as older journals have it");
    assert_eq!(old, Event::AlertAttempted { id: "x".into(), attempt: 1, line: None });
}

#[test]
fn a_filled_form_is_checked_and_becomes_the_one_lead() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let config = AgentConfig::default();
    let form = |fields: &[(&str, &str)], client: &str| {
        Command::SubmitLead(Box::new(SubmitLead {
            client_id: Some(client.into()),
            fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            form: None,
            asked: lead_form(&config, None),
            known: super::dialogue::known_fields(&config),
            alerts: vec![draft(AlertChannel::Email)],
            contact: Contact::default(),
            confirmation: Some("Thanks, we have it.".into()),
            urgency: None,
            collect_leads: true,
        }))
    };
    let Err(Rejection::Invalid { errors }) = run.ask(visitor(), form(&[("email", "x")], "f1")) else {
        panic!("errors")
    };
    assert_eq!(
        errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(),
        ["fields.email", "fields.name", "fields.phone"]
    );
    let Ok(Reply::Lead { lead_id, .. }) = run.ask(visitor(), form(&[("name", "Ann"), ("phone", "555-201-3344")], "f1"))
    else {
        panic!("a lead")
    };
    assert_eq!(
        run.ask(visitor(), form(&[("name", "Ann"), ("phone", "555-201-3344")], "f1"))
            .map(|reply| matches!(reply, Reply::Lead { .. })),
        Ok(true)
    );
    let said = |run: &Run| run.state.messages.iter().filter(|message| message.content == "Thanks, we have it.").count();
    assert_eq!(said(&run), 1, "a form is answered, a repeated one not again");
    assert_eq!(run.state.messages.last().map(|message| message.role), Some(MessageRole::Assistant));
    let Ok(Reply::Lead { lead_id: second, .. }) = run.ask(visitor(), form(&[("email", "ann@lee.com")], "f2")) else {
        panic!("the same lead")
    };
    assert_eq!(lead_id, second);
    let told = &run.state.lead.as_ref().unwrap().told;
    assert_eq!(
        (told.name.as_deref(), told.phone.as_deref(), told.email.as_deref()),
        (Some("Ann"), Some("+15552013344"), Some("ann@lee.com"))
    );
    assert_eq!(run.lead_ids.len(), 1);
}

#[test]
fn ratings_feedback_and_identity_are_kept_and_repeats_change_nothing() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.answer("hi").unwrap();
    let answer = run.state.messages.last().unwrap().id.clone();
    let question = run.state.messages[0].id.clone();
    for command in [
        Command::Rate { rating: 5, feedback: Some("great".into()) },
        Command::Feedback { message_id: answer.clone(), thumbs_up: true, feedback: None },
        Command::Identify { external_id: Some("77".into()), name: Some("Ann".into()), email: None, phone: None },
    ] {
        run.ask(visitor(), command.clone()).unwrap();
        let seq = run.state.seq;
        run.ask(visitor(), command).unwrap();
        assert_eq!(run.state.seq, seq);
    }
    assert!(run.ask(visitor(), Command::Rate { rating: 6, feedback: None }).is_err());
    assert!(run.ask(visitor(), Command::Feedback { message_id: question, thumbs_up: true, feedback: None }).is_err());
    let row = view::conversation(&run.state);
    assert_eq!((row.satisfaction_rating, row.visitor_name.as_deref()), (Some(5), Some("Ann")));
}

#[test]
fn strangers_find_nothing_and_roles_are_checked() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let not_found = Rejection::not_found("conversation");
    let other = Actor::Visitor { id: "w".into(), agent: "a".into() };
    assert_eq!(run.ask(other.clone(), post("9", "hi")).unwrap_err(), not_found);
    assert_eq!(run.ask(other, Command::Get).unwrap_err(), not_found);
    let cx = Context {
        now_ms: 0,
        seq: run.state.seq,
        seed: [0; 32],
        principal: Principal { tenant: "other".into(), actor: person("u", Role::Owner) },
    };
    assert_eq!(decide(&run.state, &cx, Command::Get).unwrap_err(), not_found);
    assert!(matches!(run.ask(person("u", Role::Viewer), Command::Takeover), Err(Rejection::Forbidden { .. })));
    assert!(matches!(run.ask(visitor(), Command::Recovered), Err(Rejection::Forbidden { .. })));
    assert_eq!(run.ask(visitor(), Command::Takeover).unwrap_err(), not_found);
    assert!(is_conflict(
        Run::new().ask(visitor(), {
            let Command::Post(mut post) = post("1", "hi") else { panic!() };
            post.agent_live = false;
            Command::Post(post)
        }),
        "agent_not_live"
    ));
    assert!(
        run.ask(visitor(), post("2", "   ")).is_err() && run.ask(visitor(), post("3", &"x".repeat(8_001))).is_err()
    );
}

#[test]
fn a_fork_goes_on_alone_and_tells_nobody() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    let forked = run.state.clone();
    let mut fork = Run::new();
    fork.ask(
        person("u", Role::Manager),
        Command::Fork { id: "f".into(), from: "c".into(), at: 2, state: Box::new(forked) },
    )
    .unwrap();
    assert!(fork.state.sandbox && fork.state.open.is_none() && fork.state.id == "f".into());
    let Command::Post(mut next) = post("2", "what if") else { panic!() };
    next.conversation_id = "f".into();
    fork.ask(person("u", Role::Manager), Command::Post(next)).unwrap();
    let (turn, attempt) = fork.open();
    system(
        &mut fork,
        Command::Understood {
            turn,
            attempt,
            understanding: Box::new(meaning(Some("+15552013344"), Some(EscalationAction::ImmediateAlert))),
        },
    )
    .unwrap();
    assert!(fork.state.alerts.is_empty() && fork.state.lead.is_none() && fork.lead_ids.is_empty());
    assert!(super::numbers(&fork.state).is_empty());
}

#[test]
fn what_is_said_to_the_demonstration_reaches_nobody() {
    let mut run = Run { tenant: Some(crate::demo::TENANT), ..Run::new() };
    run.post("1", "I am Rosa, call me at 555-201-3344, this is an emergency").unwrap();
    assert!(run.state.sandbox);
    let (turn, attempt) = run.open();
    let understanding = Box::new(meaning(Some("+15552013344"), Some(EscalationAction::ImmediateAlert)));
    system(&mut run, Command::Understood { turn, attempt, understanding }).unwrap();
    assert!(run.state.alerts.is_empty() && run.state.lead.is_none() && run.lead_ids.is_empty());
    assert!(super::numbers(&run.state).is_empty());
    let mut other = Run::new();
    other.post("1", "hello").unwrap();
    assert!(!other.state.sandbox, "nobody else's conversations are");
}

#[test]
fn what_the_organization_tries_itself_is_answered_and_tells_nobody() {
    let tried = |trial: bool| {
        let mut run = Run::new();
        let Command::Post(mut first) = post("1", "I am Rosa, call me at 555-201-3344, this is an emergency") else {
            panic!()
        };
        first.visitor.trial = trial;
        run.ask(visitor(), Command::Post(first)).unwrap();
        let (turn, attempt) = run.open();
        let understanding = Box::new(meaning(Some("+15552013344"), Some(EscalationAction::ImmediateAlert)));
        system(&mut run, Command::Understood { turn, attempt, understanding }).unwrap();
        run.answer("Somebody is on the way").unwrap();
        run
    };
    let told = |run: &Run| {
        let news =
            run.events.iter().filter(|(event, ..)| crate::bulletin::of_conversation(&run.state, event).is_some());
        let unanswered = Event::Unanswered { question: "Why?".into() };
        (
            run.state.alerts.len(),
            run.lead_ids.len(),
            news.count(),
            super::numbers(&run.state).is_empty(),
            super::leads::knowledge_message(&run.state, &unanswered, 1).is_some(),
        )
    };
    let (trial, real) = (tried(true), tried(false));
    assert_eq!(told(&trial), (0, 0, 0, true, false));
    assert_eq!(told(&real), (2, 1, 1, false, true), "anybody else's conversation does all of it");
    assert_eq!(trial.state.status, ConversationStatus::Escalated, "it goes on as it would for a visitor");
    assert!(view::list_row(&trial.state).is_some_and(|row| row.trial) && view::conversation(&trial.state).trial);
    let assigned = Event::Assigned { to: Some("u".into()) };
    assert!(crate::bulletin::of_conversation(&trial.state, &assigned).is_some(), "whoever it is given to is told");
}

#[test]
fn numbers_count_what_happened() {
    let mut run = Run::new();
    run.post("1", "hello").unwrap();
    run.now_ms += 500;
    run.answer("hi").unwrap();
    run.ask(visitor(), Command::Rate { rating: 4, feedback: None }).unwrap();
    run.ask(visitor(), Command::Close).unwrap();
    let total = super::numbers(&run.state).total();
    let counts = total.every_channel();
    assert_eq!(
        (counts.conversations, counts.messages, counts.turns, counts.resolved, counts.response_ms),
        (1, 2, 1, 1, 500)
    );
    assert_eq!((total.all.rating_sum, total.all.ratings, total.all.questions), (4, 1, 1));
}
#[test]
fn commands_and_events_survive_the_wire() {
    for command in [
        post("1", "x"),
        Command::Update { status: None, urgency: None, assigned_to: Some(None) },
        Command::Update { status: None, urgency: None, assigned_to: None },
    ] {
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(serde_json::from_str::<Command>(&json).unwrap(), command);
    }
    let given = Event::Answered(Box::new(AnswerGiven {
        turn: "t".into(),
        attempt: 1,
        message_id: "m".into(),
        text: "x".into(),
        sources: Vec::new(),
        confidence: Some(0.1 + 0.2),
        prompt: None,
        fallback: false,
        whispers_used: Vec::new(),
        understanding: None,
        tool_facts: None,
        trace: super::Trace::default(),
        latency_ms: 1,
    }));
    assert_eq!(serde_json::from_str::<Event>(&serde_json::to_string(&given).unwrap()).unwrap(), given);
}
