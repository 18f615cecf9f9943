//! Tests of the agent: each rule by scenario, then random command sequences.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::{limits::VERSIONS_KEPT, *};
use crate::{
    catalog::template::Template,
    principal::Principal,
    tenant::{plan::Limits, profile::Address, view::OrgFacts},
    vocabulary::Vertical,
};

struct Desk {
    state: Agent,
    events: Vec<(Event, u64, i64)>,
    now_ms: i64,
}

fn manager() -> Actor {
    Actor::User { id: "m".into(), role: Role::Manager, name: "Max".into() }
}

impl Desk {
    fn empty() -> Self {
        Self { state: Agent::default(), events: Vec::new(), now_ms: 1_000 }
    }

    fn made(website: Option<&str>, draft: bool) -> Self {
        let mut desk = Self::empty();
        desk.ask(manager(), create(website, draft)).unwrap();
        desk
    }

    fn ask(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        self.ask_in("t1", actor, command)
    }

    fn ask_in(&mut self, tenant: &str, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let seq = self.events.len() as u64;
        let principal = Principal { tenant: tenant.into(), actor };
        let cx = Context { now_ms: self.now_ms, seq, seed: [9; 32], principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            let seq = self.events.len() as u64 + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        let text = serde_json::to_string(&decision.reply).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), decision.reply, "replies travel as JSON");
        Ok(decision.reply)
    }

    fn patch(&mut self, patch: Value) -> Result<Reply, Rejection> {
        self.ask(manager(), Command::Update { patch, if_version: None })
    }

    fn version(&self) -> u32 {
        self.state.current().unwrap().version
    }
}

fn create(website: Option<&str>, draft: bool) -> Command {
    let config = AgentConfig { website_url: website.map(str::to_owned), ..AgentConfig::default() };
    Command::Create {
        agent: "a1".into(),
        config: Box::new(config),
        faqs: Vec::new(),
        draft,
        publishable_key: "pk_1".into(),
        max_pages: Some(100),
    }
}

fn facts() -> OrgFacts {
    OrgFacts {
        id: "t1".into(),
        version: 1,
        name: "Joe's Plumbing".into(),
        vertical: Vertical::HomeServices,
        enabled_verticals: Vec::new(),
        website_url: None,
        phone: Some("+15551234567".into()),
        email: None,
        address: Some(Address {
            street: "1 Main St".into(),
            city: "Austin".into(),
            state: "TX".into(),
            zip: "78701".into(),
            country: String::new(),
        }),
        business_hours: serde_json::from_value(json!({"mon": {"open": "08:00", "close": "18:00"}})).unwrap(),
        timezone: "America/Chicago".into(),
        logo_url: None,
        settings: serde_json::Map::new(),
        metadata: serde_json::from_value(json!({"licence": "TX-1", "nested": {"a": 1}})).unwrap(),
        limits: Limits::default(),
        suspended: false,
    }
}

fn template() -> Template {
    serde_json::from_value(json!({
        "id": "home_services.receptionist", "kind": "receptionist", "vertical": "home_services", "name": "Home services",
        "description": "For plumbers.", "icon": "wrench",
        "agent": {
            "name": "Dispatcher", "system_prompt": "You work for {{business_name}}, which serves {{service_area}}.",
            "welcome_message": "Hi from {{business_name}} in {{city}}!", "voice_welcome_message": "Hello.",
            "fallback_message": "I'm not sure.", "escalation_message": "One moment.", "after_hours_message": "",
            "quick_prompts": ["Book {{service_type}}"], "personality_traits": {"tone": "warm"}, "tools": ["capture_lead"]
        },
        "variables": {"business_name": "our company", "city": "town", "service_area": "the local area", "service_type": "a repair", "business_hours_answer": "The team will confirm."},
        "vertical_config": {"radius_miles": 25},
        "lead_fields": [{"name": "name", "type": "text"}, {"name": "phone", "type": "phone"}],
        "intake_forms": [{"id": "callback", "fields": ["name", "phone"], "urgency": "normal"}],
        "escalation_rules": [],
        "faqs": [{"q": "When are you open?", "a": "{{business_hours_answer}} Licence {{licence}}."}],
        "voice_scripts": {"on_hold": "Please hold, {{business_name}} is with you soon."}
    }))
    .unwrap()
}

#[test]
fn a_template_becomes_a_configuration_with_the_owners_words_on_top() {
    let overrides =
        json!({"name": "Ada", "variables": {"service_type": "plumbing"}, "chat_theme": {"primaryColor": "#123456"}});
    let config = make::from_template(&template(), &overrides).unwrap();
    assert_eq!((config.name.as_str(), config.template_id.as_deref()), ("Ada", Some("home_services.receptionist")));
    assert_eq!(config.welcome_message, "Hi from {{business_name}} in {{city}}!", "variables stay until they are read");
    assert_eq!(config.after_hours_message, None);
    let read = make::rendered(&config, &facts());
    assert_eq!(read.welcome_message, "Hi from Joe's Plumbing in Austin!");
    assert_eq!(read.system_prompt, "You work for Joe's Plumbing, which serves the Austin area.");
    assert_eq!(read.quick_prompts, ["Book plumbing"]);
    assert_eq!(read.voice_scripts["on_hold"], "Please hold, Joe's Plumbing is with you soon.");
    assert_eq!(read.variables, config.variables);
    assert!(make::from_template(&template(), &json!({"max_tokens": 0})).is_err());
}

#[test]
fn owners_words_beat_facts_and_facts_beat_the_templates_sentences() {
    let config = make::from_template(&template(), &json!({})).unwrap();
    let variables = make::variables(&config, &facts());
    assert_eq!(variables["business_hours_answer"], "We're open Monday 8:00 AM to 6:00 PM.");
    assert_eq!(variables["location_answer"], "You can find us at 1 Main St, Austin, TX 78701.");
    assert_eq!((variables["licence"].as_str(), variables.get("nested")), ("TX-1", None));
    let answers = make::rendered_faqs(&template().faqs, &variables);
    assert_eq!(answers[0].a, "We're open Monday 8:00 AM to 6:00 PM. Licence TX-1.");
    let own = patch::patched(&config, &json!({"variables": {"business_name": "Joe & Sons", "city": " "}})).unwrap();
    let variables = make::variables(&own, &facts());
    assert_eq!((variables["business_name"].as_str(), variables["city"].as_str()), ("Joe & Sons", "Austin"));
    let nothing =
        OrgFacts { name: String::new(), address: None, business_hours: BTreeMap::new(), phone: None, ..facts() };
    let variables = make::variables(&config, &nothing);
    assert_eq!(
        (variables["business_name"].as_str(), variables["business_hours_answer"].as_str()),
        ("our company", "The team will confirm.")
    );
}

#[test]
fn every_template_of_the_catalog_makes_an_agent_that_can_be_saved() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/catalog/verticals");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let template: Template = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let config =
            make::from_template(&template, &json!({})).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        let text = serde_json::to_string(&make::rendered(&config, &facts())).unwrap();
        let texts = text.split("\"variable_defaults\"").next().unwrap();
        assert!(!texts.contains("{{"), "{}: a variable is left", path.display());
        seen += 1;
    }
    assert!(seen >= 7, "six trades and custom");
}

#[test]
fn an_agent_is_active_at_once_or_once_it_has_read_its_site() {
    assert_eq!(Desk::made(None, false).state.status, AgentStatus::Active);
    assert_eq!(Desk::made(None, true).state.status, AgentStatus::Draft);
    let mut desk = Desk::made(Some("https://joes.example"), false);
    assert_eq!(desk.state.status, AgentStatus::Training);
    let ready = |index_version, settled| Command::IndexReady { index_version, settled };
    desk.ask(Actor::System, ready(1, false)).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Training, "its first questions alone are not its site");
    desk.patch(json!({"status": "active"})).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Training, "it becomes active by itself");
    desk.ask(Actor::System, ready(2, true)).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Active);
    let events = desk.events.len();
    desk.ask(Actor::System, ready(1, true)).unwrap();
    assert_eq!((desk.state.index_version, desk.events.len()), (2, events), "an older index changes nothing");
}

#[test]
fn a_draft_that_goes_live_before_its_site_is_read_is_in_training() {
    let mut desk = Desk::made(Some("https://joes.example"), true);
    desk.patch(json!({"status": "active"})).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Training);
    desk.patch(json!({"status": "paused"})).unwrap();
    desk.patch(json!({"status": "active"})).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Training);
    desk.ask(Actor::System, Command::IndexReady { index_version: 1, settled: true }).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Active);
}

#[test]
fn a_site_that_cannot_be_read_is_an_error_its_owner_can_wave_through() {
    let mut desk = Desk::made(Some("https://joes.example"), false);
    desk.ask(Actor::System, Command::IndexFailed { reason: "no such host".into() }).unwrap();
    assert_eq!((desk.state.status, desk.state.status_reason.as_deref()), (AgentStatus::Error, Some("no such host")));
    desk.ask(manager(), Command::SetStatus { status: AgentStatus::Active }).unwrap();
    assert_eq!((desk.state.status, &desk.state.status_reason), (AgentStatus::Active, &None));
    let events = desk.events.len();
    desk.ask(Actor::System, Command::IndexFailed { reason: "again".into() }).unwrap();
    assert_eq!(desk.events.len(), events, "an agent that answers goes on");

    // A paused one that failed meanwhile does not wait for ever.
    let mut desk = Desk::made(Some("https://joes.example"), false);
    desk.patch(json!({"status": "paused"})).unwrap();
    desk.ask(Actor::System, Command::IndexFailed { reason: "x".into() }).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Paused);
    desk.patch(json!({"status": "active"})).unwrap();
    assert_eq!(desk.state.status, AgentStatus::Active);
}

#[test]
fn owners_pause_resume_and_withdraw() {
    let mut desk = Desk::made(None, true);
    assert!(matches!(desk.patch(json!({"status": "paused"})), Err(Rejection::Conflict { .. })));
    for (wish, is) in [
        ("active", AgentStatus::Active),
        ("paused", AgentStatus::Paused),
        ("active", AgentStatus::Active),
        ("draft", AgentStatus::Draft),
    ] {
        desk.patch(json!({ "status": wish })).unwrap();
        assert_eq!(desk.state.status, is);
    }
    for wish in ["training", "error", "asleep"] {
        assert!(matches!(desk.patch(json!({ "status": wish })), Err(Rejection::Invalid { .. })), "{wish}");
    }
    assert!(!desk.state.is_live());
}

#[test]
fn each_save_is_a_version_and_an_older_one_can_come_back() {
    let mut desk = Desk::made(None, false);
    desk.patch(json!({"name": "Ada", "max_tokens": 300})).unwrap();
    desk.patch(json!({"name": "Ada"})).unwrap();
    assert_eq!(desk.version(), 2, "no change, no version");
    desk.ask(manager(), Command::Restore { version: 1 }).unwrap();
    assert_eq!((desk.version(), desk.state.current().unwrap().config.name.as_str()), (3, "AI Receptionist"));
    let versions = view::versions(&desk.state);
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(versions[0].restored_from, Some(1));
    assert_eq!(versions[1].changed, ["max_tokens", "name"]);
    assert_eq!(versions[1].saved_by.as_deref(), Some("m"));
    assert_eq!(desk.ask(manager(), Command::Restore { version: 99 }), Err(Rejection::not_found("version")));
    for n in 0..VERSIONS_KEPT + 5 {
        desk.patch(json!({"name": format!("n{n}")})).unwrap();
    }
    assert_eq!(desk.state.versions.len(), VERSIONS_KEPT);
    let Reply::Config { version, .. } = desk.ask(Actor::System, Command::Config { version: Some(1) }).unwrap() else {
        panic!()
    };
    assert_eq!(version, desk.version(), "a version no longer kept is answered with the current one");
}

#[test]
fn a_change_from_an_old_version_is_stale() {
    let mut desk = Desk::made(None, false);
    let update = |name: &str| Command::Update { patch: json!({ "name": name }), if_version: Some(1) };
    desk.ask(manager(), update("Ada")).unwrap();
    match desk.ask(manager(), update("Bea")) {
        Err(Rejection::Stale { current }) => {
            assert_eq!((&current["name"], &current["config_version"]), (&json!("Ada"), &json!(2)))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_those_who_may_reach_it() {
    let mut desk = Desk::made(None, false);
    let update = || Command::Update { patch: json!({"name": "x"}), if_version: None };
    let key = |agent: &str| Actor::ApiKey { id: "k".into(), role: Role::Admin, agent: Some(agent.into()) };
    let visitor = |agent: &str| Actor::Visitor { id: "v".into(), agent: agent.into() };
    assert_eq!(desk.ask_in("t2", manager(), Command::View), Err(Rejection::not_found("agent")));
    assert_eq!(desk.ask(key("a2"), Command::View), Err(Rejection::not_found("agent")));
    assert_eq!(desk.ask(visitor("a1"), Command::View), Err(Rejection::not_found("agent")));
    assert_eq!(desk.ask(visitor("a2"), Command::Public), Err(Rejection::not_found("agent")));
    let rep = Actor::User { id: "r".into(), role: Role::Rep, name: "R".into() };
    assert!(matches!(desk.ask(rep.clone(), update()), Err(Rejection::Forbidden { .. })));
    assert!(matches!(desk.ask(rep.clone(), Command::Count(Totals::default())), Err(Rejection::NotFound { .. })));
    assert!(desk.ask(rep, Command::View).is_ok() && desk.ask(key("a1"), update()).is_ok());
    let Reply::Public(public) = desk.ask(visitor("a1"), Command::Public).unwrap() else { panic!() };
    assert!(public.live && !serde_json::to_string(&public).unwrap().contains("system_prompt"));
    assert!(matches!(Desk::empty().ask(visitor("a1"), create(None, false)), Err(Rejection::NotFound { .. })));
}

#[test]
fn creating_twice_is_one_agent_and_a_deleted_one_stays_gone() {
    let mut desk = Desk::made(None, false);
    assert!(matches!(desk.ask(manager(), create(None, false)).unwrap(), Reply::Created { fresh: false, .. }));
    desk.ask(manager(), Command::Delete).unwrap();
    assert_eq!(desk.ask(manager(), Command::View), Err(Rejection::not_found("agent")));
    assert!(matches!(desk.ask(manager(), create(None, false)), Err(Rejection::Conflict { .. })));
    assert_eq!(desk.ask(Actor::System, Command::Count(Totals { messages: 1, ..Totals::default() })), Ok(Reply::Done));
    assert!(view::list_row(&desk.state).is_none() && desk.state.versions.is_empty());
}

#[test]
fn counters_add_up_and_show_a_mean() {
    let mut desk = Desk::made(None, false);
    for rating in [5, 4, 4] {
        let more = Totals { conversations: 1, messages: 6, calls: 0, rating_sum: rating, ratings: 1 };
        desk.ask(Actor::System, Command::Count(more)).unwrap();
    }
    let row = view::list_row(&desk.state).unwrap();
    assert_eq!((row.total_conversations, row.total_messages, row.avg_satisfaction), (3, 18, Some(4.33)));
}

#[test]
fn a_copy_leaves_behind_what_belongs_to_one_agent() {
    let mut desk = Desk::made(None, false);
    desk.patch(json!({"name": "x".repeat(120), "phone_number": "+15551234567"})).unwrap();
    let Reply::Config { config, .. } = desk.ask(manager(), Command::Export).unwrap() else { panic!() };
    assert!(config.name.ends_with(" (copy)") && config.phone_number.is_none());
    assert!(problems::problems(&config).is_empty());
}

#[test]
fn organization_and_knowledge_learn_what_they_need() {
    let mut desk = Desk::made(Some("https://joes.example"), false);
    desk.patch(json!({"name": "Ada", "status": "paused"})).unwrap();
    desk.ask(manager(), Command::Delete).unwrap();
    let mut state = Agent::default();
    let mut told = Vec::new();
    for (event, seq, at_ms) in &desk.events {
        apply(&mut state, event, *seq, *at_ms);
        told.extend(tells(&state, event).into_iter().map(|tell| match tell {
            Tell::Tenant(tenant::Command::AgentChanged { name, status, .. }) => format!("{name} {status:?}"),
            Tell::Tenant(tenant::Command::AgentGone { .. }) => "gone".to_owned(),
            Tell::Knowledge(knowledge::Command::Setup { website_url, max_pages, .. }) => {
                format!("{website_url:?} {max_pages:?}")
            }
            Tell::Knowledge(knowledge::Command::Delete) => "forget".to_owned(),
            other => panic!("{other:?}"),
        }));
    }
    let expected = [
        "AI Receptionist Training",
        "Some(\"https://joes.example\") Some(100)",
        "Ada Training",
        "Ada Paused",
        "gone",
        "forget",
    ];
    assert_eq!(told, expected);
}

fn any_command() -> impl Strategy<Value = Command> {
    let status = prop::sample::select(vec![
        AgentStatus::Draft,
        AgentStatus::Training,
        AgentStatus::Active,
        AgentStatus::Paused,
        AgentStatus::Error,
    ]);
    prop_oneof![
        "[a-z]{1,3}".prop_map(|name| Command::Update { patch: json!({ "name": name }), if_version: None }),
        (0_u32..5)
            .prop_map(|tokens| Command::Update { patch: json!({ "max_tokens": tokens }), if_version: Some(tokens) }),
        (0_u32..8).prop_map(|version| Command::Restore { version }),
        status.prop_map(|status| Command::SetStatus { status }),
        (0_u64..6, any::<bool>()).prop_map(|(index_version, settled)| Command::IndexReady { index_version, settled }),
        Just(Command::IndexFailed { reason: "x".into() }),
        (0_i64..3, 0_i64..6).prop_map(|(messages, rating_sum)| {
            Command::Count(Totals { messages, rating_sum, ratings: i64::from(rating_sum > 0), ..Totals::default() })
        }),
        Just(Command::View),
    ]
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_invariants(
        site in any::<bool>(), draft in any::<bool>(), steps in prop::collection::vec(any_command(), 0..60)
    ) {
        let mut desk = Desk::made(site.then_some("https://joes.example"), draft);
        let mut counted = Totals::default();
        for command in steps {
            desk.now_ms += 1;
            let text = serde_json::to_string(&command).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Command>(&text).unwrap(), &command);
            let (version, index) = (desk.version(), desk.state.index_version);
            if let Command::Count(more) = &command {
                counted.add(more);
            }
            let _ = desk.ask(Actor::System, command);
            prop_assert!(desk.version() >= version && desk.state.index_version >= index, "neither goes back");
            prop_assert!(desk.state.status != AgentStatus::Training || desk.state.awaits_index, "training always ends");
            prop_assert_eq!(desk.state.status == AgentStatus::Error, desk.state.status_reason.is_some());
        }
        prop_assert_eq!(desk.state.totals, counted);
        let mut replayed = Agent::default();
        for (event, seq, at_ms) in &desk.events {
            let event: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &desk.state);
        let text = serde_json::to_string(&desk.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<Agent>(&text).unwrap(), desk.state);
    }
}
