//! The lead: capture, learning, work by people, routing, score, views.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    catalog::{
        scoring::{Scoring, Signal},
        template::{RouteTo, RoutingCondition, RoutingRule},
    },
    context::Context,
    principal::{Actor, Principal, Role},
    rejection::Rejection,
};

fn scoring() -> Scoring {
    let signal = |name: &str, points: i32| Signal {
        signal: name.into(),
        points,
        description: "d".into(),
        group: None,
        at_least: None,
        phrases: Vec::new(),
    };
    Scoring { min_score: 0, max_score: 100, signals: vec![signal("gave_phone", 60), signal("form_completed", 60)] }
}

fn capture(fields: &[(&str, &str)], signals: &[&str]) -> Box<Capture> {
    Box::new(Capture {
        agent_id: "a".into(),
        conversation_id: Some("c".into()),
        visitor_id: "v".into(),
        channel: Channel::Chat,
        source_page: Some("https://x.example/p".into()),
        referrer: None,
        name: Some("Ann".into()),
        email: None,
        phone: Some("+15552013344".into()),
        fields: fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        intent: Some(LeadIntent::GetQuote),
        urgency: Urgency::Normal,
        evidence: Evidence { signals: signals.iter().map(|&name| name.to_owned()).collect(), counts: BTreeMap::new() },
        config_version: 3,
        called: false,
    })
}

pub(super) fn ask(state: &mut State, actor: Actor, command: Command) -> Result<Reply, Rejection> {
    let cx =
        Context { now_ms: 1_000, seq: state.seq, seed: [7; 32], principal: Principal { tenant: "t".into(), actor } };
    let decision = decide(state, &cx, command, &scoring())?;
    for event in decision.events {
        let seq = state.seq + 1;
        apply(state, &event, seq, 1_000);
    }
    Ok(decision.reply)
}

/// A lead with or without an e-mail address.
pub(super) fn captured(email: Option<&str>) -> State {
    let mut state = State::default();
    let capture = Capture { email: email.map(str::to_owned), ..*capture(&[], &[]) };
    ask(&mut state, Actor::System, Command::Capture { id: "l".into(), capture: Box::new(capture) }).expect("captured");
    state
}

fn told(state: &mut State, capture: Box<Capture>) {
    ask(state, Actor::System, Command::Capture { id: "l".into(), capture }).unwrap();
}

fn rep() -> Actor {
    Actor::User { id: "u".into(), role: Role::Rep, name: "Rita".into() }
}

fn routed(state: &mut State, routing: u32, user: &str) -> Result<Reply, Rejection> {
    let assignment = Assignment { rule: Some(0), team: None, user: Some(user.into()) };
    ask(state, Actor::System, Command::Routed { routing, assignment })
}

#[test]
fn a_capture_is_scored_and_its_repeat_changes_nothing() {
    let mut state = State::default();
    told(&mut state, capture(&[("area", "Bern")], &["gave_phone"]));
    assert_eq!((state.score, state.score_reasons.len(), state.seq), (60, 1, 1));
    told(&mut state, capture(&[("area", "Bern")], &["gave_phone"]));
    assert_eq!(state.seq, 1);
    told(&mut state, capture(&[("area", "Bern")], &["gave_phone", "form_completed"]));
    assert_eq!((state.score, state.score_reasons.iter().map(|reason| reason.points).sum::<i32>()), (100, 100));
    let view = view(&state).unwrap();
    assert_eq!(
        (view.name.as_deref(), view.intent, view.source_page.as_deref()),
        (Some("Ann"), LeadIntent::GetQuote, Some("https://x.example/p"))
    );
}

#[test]
fn what_people_set_stands_above_what_the_conversation_tells() {
    let mut state = State::default();
    told(&mut state, capture(&[("phone", "+15552013344"), ("area", "Bern")], &[]));
    let update = Update {
        status: Some(LeadStatus::Qualified),
        notes: Some("call after five".into()),
        fields: BTreeMap::from([("area".into(), "Thun".into()), ("phone".into(), "555-201-9999".into())]),
        ..Update::default()
    };
    ask(&mut state, rep(), Command::Update(Box::new(update.clone()))).unwrap();
    let seq = state.seq;
    ask(&mut state, rep(), Command::Update(Box::new(update))).unwrap();
    assert_eq!(state.seq, seq, "the same change twice is one");
    told(&mut state, capture(&[("area", "Basel")], &["gave_phone"]));
    let view = view(&state).unwrap();
    assert_eq!(
        (view.fields["area"].as_str(), view.phone.as_deref(), view.status),
        ("Thun", Some("+15552019999"), LeadStatus::Qualified)
    );
    let clear = Update { fields: BTreeMap::from([("area".into(), String::new())]), ..Update::default() };
    ask(&mut state, rep(), Command::Update(Box::new(clear))).unwrap();
    assert_eq!(state.fields()["area"], "Basel");
}

#[test]
fn following_up_marks_a_new_lead_as_contacted() {
    let mut state = State::default();
    told(&mut state, capture(&[], &[]));
    ask(&mut state, rep(), Command::Update(Box::new(Update { followed_up: Some(true), ..Update::default() }))).unwrap();
    assert_eq!((state.followed_up_at_ms, state.status), (Some(1_000), LeadStatus::Contacted));
}

#[test]
fn wrong_changes_and_strangers_are_refused() {
    let mut state = State::default();
    assert_eq!(ask(&mut state, rep(), Command::Get), Err(Rejection::not_found("lead")));
    told(&mut state, capture(&[], &[]));
    let bad = Update {
        notes: Some("x".repeat(NOTES_CHARS_MAX + 1)),
        fields: BTreeMap::from([("email".into(), "nope".into())]),
        ..Update::default()
    };
    let Err(Rejection::Invalid { errors }) = ask(&mut state, rep(), Command::Update(Box::new(bad))) else {
        panic!("errors")
    };
    assert_eq!(errors.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["notes", "email"]);
    let viewer = Actor::User { id: "w".into(), role: Role::Viewer, name: "W".into() };
    assert!(matches!(ask(&mut state, viewer, Command::Update(Box::default())), Err(Rejection::Forbidden { .. })));
    let visitor = Actor::Visitor { id: "v".into(), agent: "a".into() };
    assert_eq!(ask(&mut state, visitor, Command::Get), Err(Rejection::not_found("lead")));
    assert!(ask(&mut state, rep(), Command::Capture { id: "l".into(), capture: capture(&[], &[]) }).is_err());
    let foreign =
        Context { now_ms: 0, seq: 1, seed: [0; 32], principal: Principal { tenant: "other".into(), actor: rep() } };
    assert_eq!(decide(&state, &foreign, Command::Get, &scoring()), Err(Rejection::not_found("lead")));
}

#[test]
fn routing_is_wanted_at_capture_and_again_when_what_it_looks_at_changes_until_a_person_decides() {
    let mut state = State::default();
    told(&mut state, capture(&[], &[]));
    assert_eq!(pending(&state).len(), 1);
    assert_eq!(routed(&mut state, 2, "x"), Err(Rejection::Superseded));
    routed(&mut state, 1, "x").unwrap();
    assert!(pending(&state).is_empty() && state.assigned_to == Some("x".into()));
    told(&mut state, capture(&[], &["gave_phone"]));
    assert!(pending(&state).is_empty(), "the score alone moves nobody");
    told(&mut state, capture(&[("service_type", "HVAC")], &["gave_phone"]));
    assert_eq!(pending(&state)[0].1, 2);
    ask(&mut state, rep(), Command::Update(Box::new(Update { assigned_to: Some("u".into()), ..Update::default() })))
        .unwrap();
    assert!(pending(&state).is_empty());
    routed(&mut state, 2, "y").unwrap();
    assert_eq!(state.assigned_to, Some("u".into()), "a late result does not undo a person's decision");
}

#[test]
fn a_group_without_members_is_a_suggestion_and_nobody_has_the_lead() {
    let mut state = State::default();
    told(&mut state, capture(&[], &[]));
    let nobody = Assignment { rule: Some(0), team: Some("dispatch".into()), user: None };
    ask(&mut state, Actor::System, Command::Routed { routing: 1, assignment: nobody }).unwrap();
    let shown = view(&state).unwrap();
    assert_eq!(
        (shown.team, shown.suggested_team.as_deref(), shown.assigned_to),
        (Some("dispatch".into()), Some("dispatch"), None)
    );
    told(&mut state, capture(&[("service_type", "HVAC")], &[]));
    let somebody = Assignment { rule: Some(1), team: Some("hvac".into()), user: Some("x".into()) };
    ask(&mut state, Actor::System, Command::Routed { routing: 2, assignment: somebody }).unwrap();
    let shown = view(&state).unwrap();
    assert_eq!(
        (shown.team.as_deref(), shown.suggested_team, shown.assigned_to),
        (Some("hvac"), None, Some("x".into()))
    );
}

fn rule(condition: Option<RoutingCondition>, to: RouteTo) -> RoutingRule {
    RoutingRule { condition, route_to: to }
}

fn members(leads: &[(&str, u64)]) -> Vec<Candidate> {
    leads
        .iter()
        .map(|(user, leads)| Candidate { user: (*user).into(), email: format!("{user}@x.example"), leads: *leads })
        .collect()
}

#[test]
fn the_first_rule_that_applies_decides() {
    let equals = |value: &str| {
        Some(RoutingCondition {
            field: Some("case_type".into()),
            equals: Some(value.into()),
            ..RoutingCondition::default()
        })
    };
    let urgent = Some(RoutingCondition { urgency: Some(Urgency::Emergency), ..RoutingCondition::default() });
    let team = |name: &str| RouteTo { team: Some(name.into()), ..RouteTo::default() };
    let always = Some(RoutingCondition { always: true, ..RoutingCondition::default() });
    let rules = [
        rule(urgent, team("on_call")),
        rule(equals("Family"), team("family")),
        rule(always, RouteTo { user: Some("B@X.example".into()), ..RouteTo::default() }),
    ];
    let teams = Teams::from([("family".into(), vec!["c@x.example".into(), "gone".into()])]);
    let people = members(&[("a", 0), ("b", 0), ("c", 9)]);
    let fields = |value: &str| BTreeMap::from([("case_type".to_owned(), value.to_owned())]);
    for (value, urgency, expected) in [
        ("family", Urgency::Normal, (Some(1), Some("family"), Some("c"))),
        ("Family", Urgency::Emergency, (Some(0), Some("on_call"), None)),
        ("Business", Urgency::Normal, (Some(2), None, Some("b"))),
    ] {
        let chosen = choose(&rules, &fields(value), urgency, &people, &teams, None);
        let user = chosen.user.as_ref().map(|user| user.0.as_str());
        assert_eq!((chosen.rule, chosen.team.as_deref(), user), expected, "{value}");
    }
    assert_eq!(choose(&[], &BTreeMap::new(), Urgency::Normal, &people, &teams, None), Assignment::default());
}

proptest! {
    #[test]
    fn turns_are_shared_fairly(counts in proptest::collection::vec(0u64..4, 1..6), given in 1usize..40) {
        let rules = [rule(None, RouteTo { strategy: Some("round_robin".into()), ..RouteTo::default() })];
        let mut people: Vec<Candidate> = counts.iter().enumerate().map(|(n, leads)| Candidate { user: format!("u{n}").into(), email: String::new(), leads: *leads }).collect();
        for _ in 0..given {
            let chosen = choose(&rules, &BTreeMap::new(), Urgency::Normal, &people, &Teams::new(), None).user.unwrap();
            let least = people.iter().map(|person| person.leads).min().unwrap();
            let person = people.iter_mut().find(|person| person.user == chosen).unwrap();
            prop_assert_eq!(person.leads, least);
            person.leads += 1;
        }
        let most = people.iter().map(|person| person.leads).max().unwrap();
        let least = people.iter().map(|person| person.leads).min().unwrap();
        prop_assert!(given < 24 || most - least <= 1, "after enough turns nobody is more than one ahead");
    }

    #[test]
    fn any_history_replays_to_the_same_state(steps in proptest::collection::vec((0u8..4, 0u8..5), 1..30)) {
        let mut state = State::default();
        let mut journal = Vec::new();
        for (kind, n) in steps {
            let n = n.to_string();
            let (actor, command) = match kind {
                0 => (Actor::System, Command::Capture { id: "l".into(), capture: capture(&[("area", &n)], &["gave_phone"]) }),
                1 => (rep(), Command::Update(Box::new(Update { notes: Some(n), ..Update::default() }))),
                2 => (rep(), Command::Update(Box::new(Update { assigned_to: Some(n.as_str().into()), ..Update::default() }))),
                _ => (Actor::System, Command::Routed { routing: state.routing_wanted, assignment: Assignment { user: Some(n.as_str().into()), ..Assignment::default() } }),
            };
            let cx = Context { now_ms: 5, seq: state.seq, seed: [1; 32], principal: Principal { tenant: "t".into(), actor } };
            let Ok(decision) = decide(&state, &cx, command, &scoring()) else { continue };
            for event in decision.events {
                let seq = state.seq + 1;
                apply(&mut state, &event, seq, 5);
                journal.push(serde_json::to_string(&event).unwrap());
            }
        }
        let mut replayed = State::default();
        for (n, event) in journal.iter().enumerate() {
            apply(&mut replayed, &serde_json::from_str(event).unwrap(), n as u64 + 1, 5);
        }
        prop_assert_eq!(&replayed, &state);
        prop_assert_eq!(&serde_json::from_str::<State>(&serde_json::to_string(&state).unwrap()).unwrap(), &state);
        prop_assert_eq!(state.score_reasons.iter().map(|reason| reason.points).sum::<i32>(), state.score);
    }
}

#[test]
fn an_export_line_has_every_column_and_no_formula() {
    let mut state = State::default();
    told(&mut state, capture(&[("area", "=1+1")], &[]));
    let update = Update { notes: Some("=HYPERLINK(\"http://evil\")".into()), ..Update::default() };
    ask(&mut state, rep(), Command::Update(Box::new(update))).unwrap();
    let row = csv_row(&view(&state).unwrap());
    assert_eq!(row.len(), CSV_COLUMNS.len());
    let at = |name: &str| &row[CSV_COLUMNS.iter().position(|column| *column == name).unwrap()];
    assert_eq!(
        (at("phone").as_str(), at("status").as_str(), at("intent").as_str()),
        ("+15552013344", "new", "get_quote")
    );
    assert!(at("notes").starts_with('\''));
    let unsafe_cells: BTreeSet<_> = row.iter().filter(|cell| cell.starts_with(['=', '@'])).collect();
    assert!(unsafe_cells.is_empty());
    assert_eq!(numbers(&state).total().all.leads, 1);
}

#[test]
fn answers_of_a_call_stand_beside_what_the_source_told_and_route_it_again_while_nobody_works_on_it() {
    let mut state = captured(None);
    let answers = |value: &str| BTreeMap::from([("by_when".to_owned(), value.to_owned())]);
    let qualify = |state: &mut State, value: &str| {
        ask(state, Actor::System, Command::Qualify { answers: answers(value) }).expect("taken");
    };
    let wanted = state.routing_wanted;
    qualify(&mut state, "soon");
    assert_eq!((state.fields()["by_when"].as_str(), state.routing_wanted), ("soon", wanted + 1));
    let seq = state.seq;
    qualify(&mut state, "soon");
    assert_eq!(state.seq, seq, "told again it changes nothing");
    told(&mut state, capture(&[("by_when", "never"), ("area", "Thun")], &[]));
    assert_eq!((state.fields()["by_when"].as_str(), state.fields()["area"].as_str()), ("soon", "Thun"));
    let mine = Update { assigned_to: Some("u".into()), ..Update::default() };
    ask(&mut state, rep(), Command::Update(Box::new(mine))).expect("mine");
    let wanted = state.routing_wanted;
    qualify(&mut state, "in May");
    assert_eq!(state.routing_wanted, wanted, "who has taken it keeps it");
    assert!(matches!(
        ask(&mut state, rep(), Command::Qualify { answers: answers("x") }),
        Err(Rejection::Forbidden { .. })
    ));
    let nobody = ask(&mut State::default(), Actor::System, Command::Qualify { answers: answers("x") });
    assert!(matches!(nobody, Err(Rejection::NotFound { .. })));
}
