//! The state machine: what holds after any sequence of commands, and that the journal rebuilds the state.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Command, Event, Reply, State, apply,
    command::{Answer, SubmitLead},
    dialogue::{Facts, FormMove, lead_form},
    on_timer, pending,
    state::{AlertStatus, Contact, Floor, TurnOutcome},
    tests::{CAP, Run, meaning, person, post, system, visitor},
    timer, view,
};
use crate::{
    agent::config::AgentConfig,
    principal::Role,
    rejection::Rejection,
    vocabulary::{ConversationStatus, EscalationAction, MessageRole},
};

/// Any command at any time, with ids that hit and miss.
#[derive(Clone, Debug)]
enum Step {
    Post(u8),
    Understood(bool, Option<EscalationAction>),
    Answer(bool, bool),
    StaleAnswer,
    Fail,
    Recover,
    Tick(u32),
    Takeover(bool),
    Handback(bool),
    Say(u8),
    Whisper,
    Close,
    Status(ConversationStatus),
    Rate(u8),
    Lead(u8),
    Alert(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let action = prop_oneof![
        Just(EscalationAction::ImmediateAlert),
        Just(EscalationAction::SoftEscalate),
        Just(EscalationAction::OfferHuman),
        Just(EscalationAction::Transfer)
    ];
    let status = prop_oneof![
        Just(ConversationStatus::Active),
        Just(ConversationStatus::Resolved),
        Just(ConversationStatus::Escalated),
        Just(ConversationStatus::Abandoned)
    ];
    let step = prop_oneof![
        6 => any::<u8>().prop_map(|n| Step::Post(n % 40)),
        3 => (any::<bool>(), proptest::option::of(action)).prop_map(|(phone, action)| Step::Understood(phone, action)),
        6 => (any::<bool>(), any::<bool>()).prop_map(|(fallback, ends)| Step::Answer(fallback, ends)),
        1 => Just(Step::StaleAnswer),
        2 => Just(Step::Fail),
        1 => Just(Step::Recover),
        2 => (0u32..3_000_000).prop_map(Step::Tick),
        1 => any::<bool>().prop_map(Step::Takeover),
        1 => any::<bool>().prop_map(Step::Handback),
        1 => any::<u8>().prop_map(|n| Step::Say(n % 10)),
        1 => Just(Step::Whisper),
        1 => Just(Step::Close),
        1 => status.prop_map(Step::Status),
        1 => any::<u8>().prop_map(Step::Rate),
        1 => any::<u8>().prop_map(|n| Step::Lead(n % 6)),
        2 => any::<bool>().prop_map(Step::Alert),
    ];
    proptest::collection::vec(step, 1..60)
}

fn take(run: &mut Run, step: &Step) -> Result<Reply, Rejection> {
    let open = run.state.open.as_ref().map(|open| (open.id.clone(), open.attempt)).unwrap_or_default();
    match step.clone() {
        Step::Post(n) => run.ask(visitor(), post(&format!("p{n}"), "words")),
        Step::Understood(phone, action) => {
            let understanding = Box::new(meaning(phone.then_some("+15552013344"), action));
            system(run, Command::Understood { turn: open.0, attempt: open.1, understanding })
        }
        Step::Answer(fallback, ends) => {
            let facts = Facts { ended: ends, form: FormMove::Same, ..Facts::default() };
            let answer = Answer {
                turn: open.0,
                attempt: open.1,
                text: "an answer".into(),
                fallback,
                question: fallback,
                tool_facts: ends.then(|| Box::new(facts)),
                ..Answer::default()
            };
            system(run, Command::Answered(Box::new(answer)))
        }
        Step::StaleAnswer => system(
            run,
            Command::Answered(Box::new(Answer {
                turn: "turn-1".into(),
                attempt: 1,
                text: "stale".into(),
                ..Answer::default()
            })),
        ),
        Step::Fail => system(run, Command::TurnFailed { turn: open.0, attempt: open.1, reason: "x".into() }),
        Step::Recover => system(run, Command::Recovered),
        Step::Tick(wait) => {
            run.now_ms += i64::from(wait);
            match on_timer(&run.state, run.now_ms) {
                Some(command) => system(run, command),
                None => Ok(Reply::Done),
            }
        }
        Step::Takeover(manager) => run.ask(
            person(if manager { "m" } else { "u" }, if manager { Role::Manager } else { Role::Rep }),
            Command::Takeover,
        ),
        Step::Handback(manager) => run.ask(
            person(if manager { "m" } else { "u" }, if manager { Role::Manager } else { Role::Rep }),
            Command::Handback,
        ),
        Step::Say(n) => run.ask(
            person("u", Role::Rep),
            Command::HumanMessage {
                client_message_id: Some(format!("h{n}")),
                text: "hi".into(),
                channel: None,
                files: Vec::new(),
            },
        ),
        Step::Whisper => run.ask(person("u", Role::Rep), Command::Whisper { text: "psst".into() }),
        Step::Close => run.ask(visitor(), Command::Close),
        Step::Status(status) => run.ask(
            person("u", Role::Rep),
            Command::Update { status: Some(status), urgency: None, assigned_to: Some(None) },
        ),
        Step::Rate(rating) => run.ask(visitor(), Command::Rate { rating: rating % 7, feedback: None }),
        Step::Lead(n) => {
            let config = AgentConfig::default();
            let fields = BTreeMap::from([
                ("name".to_owned(), "Ann".to_owned()),
                ("phone".to_owned(), format!("555-201-33{n}4")),
            ]);
            let form = SubmitLead {
                client_id: Some(format!("f{n}")),
                fields,
                form: None,
                asked: lead_form(&config, None),
                known: Vec::new(),
                alerts: Vec::new(),
                contact: Contact::default(),
                confirmation: Some("Thanks, we have it.".into()),
                urgency: None,
                collect_leads: true,
            };
            run.ask(visitor(), Command::SubmitLead(Box::new(form)))
        }
        Step::Alert(good) => {
            let Some(alert) = run
                .state
                .alerts
                .values()
                .find(|alert| matches!(alert.status, AlertStatus::Queued | AlertStatus::Attempted))
                .cloned()
            else {
                return Ok(Reply::Done);
            };
            let _ = system(run, Command::AlertAttempt { id: alert.id.clone(), attempt: alert.attempt, line: None });
            if good {
                system(run, Command::AlertDone { id: alert.id, attempt: alert.attempt, recorded: false })
            } else {
                system(
                    run,
                    Command::AlertFailed { id: alert.id, attempt: alert.attempt, error: "x".into(), retry: true },
                )
            }
        }
    }
}

fn holds(run: &Run, before: &State) {
    let state = &run.state;
    let ids: BTreeSet<_> = state.messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), state.messages.len(), "message ids are unique");
    assert!(
        state.messages.windows(2).all(|pair| pair[0].seq < pair[1].seq),
        "messages stand in the order of the journal"
    );
    let turns: BTreeSet<_> = state.turns.iter().map(|turn| &turn.id).collect();
    assert_eq!(turns.len(), state.turns.len(), "turn ids are unique");
    let opened = state.turns.iter().filter(|turn| turn.outcome == TurnOutcome::Open).count();
    assert_eq!(opened, usize::from(state.open.is_some()), "exactly the open turn is open");
    if state.closed.is_some() || state.floor != Floor::Assistant {
        assert!(state.open.is_none(), "no turn is open after the end or while a person holds the floor");
        assert!(pending(state).iter().all(|(id, ..)| !id.starts_with("answer:")));
    }
    if before.floor != Floor::Assistant && state.floor != Floor::Assistant {
        let new = &state.messages[before.messages.len()..];
        assert!(
            new.iter().all(|message| message.role != MessageRole::Assistant),
            "the assistant is silent while a person holds the floor"
        );
    }
    // What is said to a form answers no turn.
    let spoken = state.messages.iter().filter(|message| message.role == MessageRole::Assistant);
    let answers = spoken.filter(|message| message.turn.is_some()).count();
    let answered = state.turns.iter().filter(|turn| matches!(turn.outcome, TurnOutcome::Answered { .. })).count();
    assert_eq!(answers, answered, "one answer for each answered turn");
    if before.message_count >= CAP && before.closed.is_some() && before.floor == Floor::Assistant {
        let new = &state.messages[before.messages.len()..];
        assert!(new.iter().all(|message| message.role != MessageRole::Assistant), "the cap holds");
    }
    assert!(run.lead_ids.len() <= 1, "one lead");
    assert!(state.alerts.len() <= super::state::ALERTS_MAX);
    if let Some(due) = timer(state) {
        assert!(state.exists() && due > 0);
    }
    let view = serde_json::to_string(&view::conversation(state)).expect("a view");
    assert!(!view.contains("psst"));
    assert!(state.messages.iter().filter_map(view::visitor_message).all(|message| message.content != "psst"));
}

proptest! {
    #[test]
    fn any_sequence_of_commands_keeps_the_invariants(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            let before = run.state.clone();
            run.now_ms += 1;
            let result = take(&mut run, step);
            holds(&run, &before);
            if result.is_err() {
                prop_assert_eq!(&run.state, &before, "a refusal changes nothing");
            }
            // Repeating a post with its client id never adds anything.
            if let (Step::Post(_) | Step::Say(_) | Step::Lead(_), Ok(_)) = (step, &result) {
                let seq = run.state.seq;
                let again = take(&mut run, step);
                prop_assert!(again.is_ok() && run.state.seq == seq, "{step:?} twice");
            }
            if let Step::Tick(_) = step {
                prop_assert!(timer(&run.state).is_none_or(|due| due > run.now_ms), "a fired timer moves");
            }
        }
        let mut replayed = State::default();
        for (event, seq, at_ms) in &run.events {
            let json = serde_json::to_string(event).unwrap();
            let event: Event = serde_json::from_str(&json).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &run.state, "the journal rebuilds the state");
        let json = serde_json::to_string(&run.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&json).unwrap(), &run.state);
    }

}
