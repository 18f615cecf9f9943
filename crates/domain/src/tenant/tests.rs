//! Tests of the organization: each rule by scenario, then random command sequences.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::{
    limits::{ERASURE_ATTEMPTS_MAX, ERASURE_DEADLINE_MS, INVITATION_TTL_MS, KEY_USED_EVERY_MS, RESERVATION_MS},
    view::OrganizationView,
    *,
};
use crate::{
    catalog::template::RouteTo,
    ids::{AgentId, InvitationId},
    principal::Principal,
    vocabulary::AgentStatus,
};

struct Org {
    state: Tenant,
    events: Vec<(Event, u64, i64)>,
    now_ms: i64,
}

fn person(user: &str) -> Person {
    Person { user: user.into(), name: user.to_uppercase(), email: format!("{user}@example.com") }
}

fn user(id: &str, role: Role) -> Actor {
    Actor::User { id: id.into(), role, name: id.into() }
}

impl Org {
    fn founded(plan: Plan) -> Self {
        let mut org = Self { state: Tenant::default(), events: Vec::new(), now_ms: 1_700_000_000_000 };
        let create = Command::Create {
            profile: json!({"name": "Joe's", "slug": "joes"}),
            owner: person("owner"),
            plan,
            deployment_mode: DeploymentMode::MultiTenant,
        };
        org.ask(Actor::System, create).unwrap();
        org
    }

    fn ask(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        self.ask_in("t1", actor, command)
    }

    fn ask_in(&mut self, tenant: &str, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let seq = self.events.len() as u64;
        let mut seed = [0; 32];
        seed[8..16].copy_from_slice(&(seq * 1_000 + 1).to_be_bytes());
        let cx = Context { now_ms: self.now_ms, seq, seed, principal: Principal { tenant: tenant.into(), actor } };
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

    fn owner(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.ask(user("owner", Role::Owner), command)
    }

    fn join(&mut self, who: &str, role: Role) {
        self.owner(Command::Invite { code_hash: format!("c-{who}"), email: None, role }).unwrap();
        let accept = Command::AcceptInvitation { code_hash: format!("c-{who}"), person: person(who) };
        self.ask(Actor::System, accept).unwrap();
    }

    fn organization(&mut self) -> OrganizationView {
        match self.owner(Command::View).unwrap() {
            Reply::Organization(view) => *view,
            other => panic!("{other:?}"),
        }
    }
}

fn code(result: Result<Reply, Rejection>) -> String {
    match result.unwrap_err() {
        Rejection::Conflict { code, .. } => code,
        Rejection::LimitReached { limit, .. } => limit,
        Rejection::Forbidden { .. } => "forbidden".to_owned(),
        Rejection::NotFound { .. } => "not_found".to_owned(),
        Rejection::Invalid { errors } => errors[0].field.clone(),
        Rejection::Stale { .. } => "stale".to_owned(),
        Rejection::Superseded => "superseded".to_owned(),
    }
}

#[test]
fn founding_twice_is_one_organization() {
    let mut org = Org::founded(Plan::trial());
    let create = Command::Create {
        profile: json!({"name": "Other", "slug": "other"}),
        owner: person("owner"),
        plan: Plan::unlimited(),
        deployment_mode: DeploymentMode::SingleTenant,
    };
    assert!(matches!(org.ask(Actor::System, create.clone()).unwrap(), Reply::Created { fresh: false, .. }));
    assert_eq!(code(org.ask_in("t2", Actor::System, create)), "already_done");
    let seen = org.organization();
    assert_eq!((seen.profile.name.as_str(), seen.profile.timezone.as_str()), ("Joe's", "America/New_York"));
    assert_eq!((seen.max_agents, seen.monthly_chat_limit), (Some(1), Some(1_000)));
    assert_eq!(seen.owner_id, Some("owner".into()));
}

#[test]
fn a_principal_of_another_tenant_finds_nothing() {
    let mut org = Org::founded(Plan::unlimited());
    for command in [
        Command::View,
        Command::Members,
        Command::Keys,
        Command::Update { patch: json!({"name": "x"}), if_version: None },
        Command::RemoveMember { user: "owner".into() },
        Command::RequestErasure { id: "e".into(), who: ErasureWho::default(), key: [3; 32], guard_key: [4; 32] },
    ] {
        assert_eq!(code(org.ask_in("t2", user("eve", Role::Owner), command)), "not_found");
    }
    let visitor = Actor::Visitor { id: "v".into(), agent: "a".into() };
    assert_eq!(code(org.ask(visitor, Command::View)), "not_found");
}

#[test]
fn a_change_from_an_old_version_is_stale_and_shows_the_current() {
    let mut org = Org::founded(Plan::unlimited());
    org.owner(Command::Update { patch: json!({"phone": "555"}), if_version: Some(1) }).unwrap();
    match org.owner(Command::Update { patch: json!({"phone": "556"}), if_version: Some(1) }) {
        Err(Rejection::Stale { current }) => {
            assert_eq!((&current["phone"], &current["version"]), (&json!("555"), &json!(2)))
        }
        other => panic!("{other:?}"),
    }
    let before = org.events.len();
    org.owner(Command::Update { patch: json!({"phone": "555"}), if_version: None }).unwrap();
    assert_eq!(org.events.len(), before, "no change, no event");
    assert_eq!(
        code(org.ask(user("m", Role::Manager), Command::Update { patch: json!({}), if_version: None })),
        "forbidden"
    );
}

#[test]
fn nobody_gives_or_takes_above_their_own_role_and_an_owner_stays() {
    let mut org = Org::founded(Plan::unlimited());
    org.join("admin", Role::Admin);
    org.join("rep", Role::Rep);
    let admin = user("admin", Role::Admin);
    let set = |who: &str, role| Command::SetRole { user: who.into(), role, if_version: None };
    assert_eq!(code(org.ask(admin.clone(), set("rep", Role::Owner))), "forbidden");
    assert_eq!(code(org.ask(admin.clone(), set("owner", Role::Viewer))), "forbidden");
    assert_eq!(code(org.ask(admin.clone(), Command::RemoveMember { user: "owner".into() })), "forbidden");
    let invite = Command::Invite { code_hash: "x".into(), email: None, role: Role::Owner };
    assert_eq!(code(org.ask(admin.clone(), invite)), "forbidden");
    assert_eq!(code(org.ask(user("rep", Role::Rep), set("rep", Role::Admin))), "forbidden");
    assert_eq!(code(org.owner(set("owner", Role::Admin))), "last_owner");
    assert_eq!(code(org.owner(Command::RemoveMember { user: "owner".into() })), "last_owner");
    let seen = org.state.members[&UserId::from("rep")].version;
    org.owner(set("rep", Role::Manager)).unwrap();
    let late = Command::SetRole { user: "rep".into(), role: Role::Viewer, if_version: Some(seen) };
    let Err(Rejection::Stale { current }) = org.owner(late) else { panic!("somebody saved first") };
    assert_eq!((&current["role"], current["version"].as_u64() > Some(seen)), (&json!("manager"), true));
    org.owner(set("admin", Role::Owner)).unwrap();
    org.owner(Command::RemoveMember { user: "owner".into() }).unwrap();
    assert_eq!(org.state.owners(), 1);
    org.ask(user("rep", Role::Rep), Command::RemoveMember { user: "rep".into() }).unwrap();
}

#[test]
fn an_invitation_is_accepted_once_in_time_by_the_invited() {
    let mut org = Org::founded(Plan::unlimited());
    let invite = |code: &str, email: Option<&str>| Command::Invite {
        code_hash: code.into(),
        email: email.map(str::to_owned),
        role: Role::Rep,
    };
    let accept = |code: &str, who: &str| Command::AcceptInvitation { code_hash: code.into(), person: person(who) };
    org.owner(invite("c1", Some("Bob@Example.com"))).unwrap();
    assert_eq!(code(org.ask(user("bob", Role::Viewer), accept("c1", "bob"))), "not_found");
    assert_eq!(code(org.ask(Actor::System, accept("c1", "eve"))), "forbidden");
    assert!(matches!(org.ask(Actor::System, accept("c1", "bob")).unwrap(), Reply::Joined { role: Role::Rep, .. }));
    assert_eq!(code(org.ask(Actor::System, accept("c1", "bob"))), "invitation_void");
    assert_eq!(code(org.owner(invite("c2", Some("bob@example.com")))), "email");
    org.owner(invite("c3", None)).unwrap();
    assert_eq!(code(org.ask(Actor::System, accept("c3", "bob"))), "already_member");
    org.ask(Actor::System, Command::DeclineInvitation { code_hash: "c3".into() }).unwrap();
    org.owner(invite("c4", None)).unwrap();
    org.now_ms += INVITATION_TTL_MS;
    assert_eq!(code(org.ask(Actor::System, accept("c4", "ann"))), "invitation_void");
    let Reply::Invitation(seen) = org.owner(invite("c5", None)).unwrap() else { panic!("an invitation") };
    assert_eq!(org.state.invitations.len(), 1, "void ones make room");
    org.owner(Command::RevokeInvitation { id: seen.id }).unwrap();
    assert_eq!(code(org.ask(Actor::System, accept("c5", "ann"))), "invitation_void");
    assert_eq!(code(org.owner(Command::RevokeInvitation { id: InvitationId::from("x") })), "not_found");
}

#[test]
fn accounts_learn_of_their_memberships() {
    let mut org = Org::founded(Plan::unlimited());
    org.join("rep", Role::Rep);
    org.owner(Command::Update { patch: json!({"name": "Joe and Sons"}), if_version: None }).unwrap();
    org.owner(Command::Update { patch: json!({"phone": "1234"}), if_version: None }).unwrap();
    org.owner(Command::RemoveMember { user: "rep".into() }).unwrap();
    let mut state = Tenant::default();
    let mut told = Vec::new();
    for (event, seq, at_ms) in &org.events {
        apply(&mut state, event, *seq, *at_ms);
        for (user, command) in tells(&state, event, *seq) {
            let account::Command::SetMembership(change) = command else { panic!("a membership") };
            assert_eq!(change.version, *seq);
            told.push((user.0, change.role, change.name));
        }
    }
    let joes = || "Joe's".to_owned();
    let sons = || "Joe and Sons".to_owned();
    assert_eq!(
        told,
        [
            ("owner".to_owned(), Some(Role::Owner), joes()),
            ("rep".to_owned(), Some(Role::Rep), joes()),
            ("owner".to_owned(), Some(Role::Owner), sons()),
            ("rep".to_owned(), Some(Role::Rep), sons()),
            ("rep".to_owned(), None, sons()),
        ]
    );
}

#[test]
fn a_key_works_until_revoked_and_its_use_is_noted_sparsely() {
    let mut org = Org::founded(Plan::unlimited());
    let create = |id: &str, kind, role, agent: Option<&str>| Command::CreateKey {
        id: id.into(),
        hash: format!("h-{id}"),
        hint: "1234".into(),
        kind,
        role,
        agent: agent.map(AgentId::from),
        name: "CRM".into(),
    };
    org.owner(create("k1", KeyKind::Secret, Role::Admin, None)).unwrap();
    assert_eq!(code(org.owner(create("k2", KeyKind::Secret, Role::Owner, None))), "role");
    assert_eq!(code(org.owner(create("k2", KeyKind::Publishable, Role::Rep, None))), "role");
    assert_eq!(code(org.owner(create("k2", KeyKind::Secret, Role::Rep, Some("a1")))), "agent_id");
    assert_eq!(code(org.ask(user("m", Role::Manager), create("k2", KeyKind::Secret, Role::Rep, None))), "forbidden");
    let used = |hash: &str| Command::UseKey { id: "k1".into(), hash: hash.into() };
    assert_eq!(code(org.ask(Actor::System, used("wrong"))), "not_found");
    let events = org.events.len();
    for _ in 0..5 {
        assert!(matches!(org.ask(Actor::System, used("h-k1")).unwrap(), Reply::KeyGood { role: Role::Admin, .. }));
    }
    assert_eq!(org.events.len(), events + 1);
    org.now_ms += KEY_USED_EVERY_MS;
    org.ask(Actor::System, used("h-k1")).unwrap();
    assert_eq!(org.events.len(), events + 2);
    org.owner(Command::RevokeKey { id: "k1".into() }).unwrap();
    assert_eq!(code(org.ask(Actor::System, used("h-k1"))), "not_found");
}

#[test]
fn room_for_agents_is_what_the_plan_says_and_lost_reservations_are_settled() {
    let mut org = Org::founded(Plan::trial());
    let reserve = |id: &str| Command::ReserveAgent { agent: id.into(), name: "Ada".into() };
    org.owner(reserve("a1")).unwrap();
    org.owner(reserve("a1")).unwrap();
    assert_eq!(code(org.owner(reserve("a2"))), "max_agents");
    assert!(pending(&org.state).is_empty());
    org.now_ms += RESERVATION_MS;
    let tick = on_timer(&org.state, org.now_ms).unwrap();
    org.ask(Actor::System, tick).unwrap();
    assert_eq!(pending(&org.state), [("settle-agent:a1".to_owned(), 1, Effect::SettleAgent { agent: "a1".into() })]);
    assert!(timer(&org.state).unwrap() > org.now_ms, "the timer moved");
    org.ask(Actor::System, Command::AgentGone { agent: "a1".into() }).unwrap();
    org.owner(reserve("a2")).unwrap();
    let told = Command::AgentChanged { agent: "a2".into(), name: "Ada".into(), status: AgentStatus::Active };
    org.ask(Actor::System, told.clone()).unwrap();
    let events = org.events.len();
    org.ask(Actor::System, told).unwrap();
    assert_eq!((org.events.len(), timer(&org.state)), (events, None));
    org.ask(Actor::Platform { id: "p".into() }, Command::SetPlan { plan: Plan::unlimited() }).unwrap();
    org.owner(reserve("a3")).unwrap();
}

#[test]
fn keys_of_an_agent_die_with_it() {
    let mut org = Org::founded(Plan::unlimited());
    org.owner(Command::ReserveAgent { agent: "a1".into(), name: "Ada".into() }).unwrap();
    let create = Command::CreateKey {
        id: "k".into(),
        hash: "h".into(),
        hint: String::new(),
        kind: KeyKind::Publishable,
        role: Role::Viewer,
        agent: Some("a1".into()),
        name: "Site".into(),
    };
    org.owner(create).unwrap();
    org.ask(Actor::System, Command::AgentGone { agent: "a1".into() }).unwrap();
    assert_eq!(code(org.ask(Actor::System, Command::UseKey { id: "k".into(), hash: "h".into() })), "not_found");
}

#[test]
fn leads_go_to_people_teams_or_everyone_in_turn() {
    let mut org = Org::founded(Plan::unlimited());
    let route = |org: &mut Org, routes: Vec<RouteTo>| match org.ask(Actor::System, Command::Route { routes }).unwrap() {
        Reply::Assignee { person } => person.map(|person| person.user.0),
        other => panic!("{other:?}"),
    };
    let all = || vec![RouteTo { strategy: Some("round_robin".into()), ..RouteTo::default() }];
    assert_eq!(route(&mut org, all()).as_deref(), Some("owner"), "without reps the owner takes them");
    for rep in ["r1", "r2", "r3"] {
        org.join(rep, Role::Rep);
    }
    org.join("v", Role::Viewer);
    let turns: Vec<String> = (0..4).filter_map(|_| route(&mut org, all())).collect();
    assert_eq!(turns, ["r1", "r2", "r3", "r1"]);
    let teams = json!({"settings": {"routing_teams": {"night": ["r3", "r2@example.com", "v", "gone"]}}});
    org.owner(Command::Update { patch: teams, if_version: None }).unwrap();
    let team = || vec![RouteTo { team: Some("night".into()), ..RouteTo::default() }];
    let turns: Vec<String> = (0..3).filter_map(|_| route(&mut org, team())).collect();
    assert_eq!(turns, ["r2", "r3", "r2"]);
    let person_or_team = || vec![RouteTo { user: Some("gone".into()), ..RouteTo::default() }, team().remove(0)];
    assert_eq!(route(&mut org, person_or_team()).as_deref(), Some("r3"));
    let by_mail = vec![RouteTo { user: Some("R1@example.com".into()), ..RouteTo::default() }];
    assert_eq!(route(&mut org, by_mail).as_deref(), Some("r1"));
    assert_eq!(route(&mut org, vec![RouteTo { user: Some("v".into()), ..RouteTo::default() }]), None);
}

#[test]
fn an_erasure_is_retried_then_ends_and_never_kept_whom_it_was_about() {
    const KEY: [u8; 32] = [3; 32];
    let mut org = Org::founded(Plan::unlimited());
    let who = ErasureWho { email: Some(" Ann@Example.com ".into()), ..ErasureWho::default() };
    assert_eq!(
        code(org.owner(Command::RequestErasure {
            id: "e0".into(),
            who: ErasureWho::default(),
            key: KEY,
            guard_key: [4; 32]
        })),
        "email"
    );
    let two = ErasureWho { phone: Some("+14155551234; +14155551235".into()), ..ErasureWho::default() };
    let two = Command::RequestErasure { id: "e0".into(), who: two, key: KEY, guard_key: [4; 32] };
    assert_eq!(code(org.owner(two)), "phone", "which of them is meant nobody can know");
    let request = |id: &str| Command::RequestErasure { id: id.into(), who: who.clone(), key: KEY, guard_key: [4; 32] };
    org.owner(request("e1")).unwrap();
    let (_, attempt, Effect::Erase { whom, .. }) = pending(&org.state).remove(0) else { panic!("an erasure") };
    let guard = crate::contact_guard::Address::email("ann@example.com").expect("an address");
    assert_eq!(whom.guards, [guard.id(&[4; 32])]);
    let named = |email: &str| ErasureWho { email: Some(email.into()), ..ErasureWho::default() };
    assert_eq!((attempt, whom.email.as_ref().map(|hidden| hidden.masked.as_str())), (1, Some("a***@e***.com")));
    assert!(whom.is(&named("Ann@example.com"), &KEY) && !whom.is(&named("anna@example.com"), &KEY));
    assert!(!whom.is(&named("ann@example.com"), &[4; 32]), "without the installation's key nobody can try who it was");
    org.now_ms += ERASURE_DEADLINE_MS;
    let tick = on_timer(&org.state, org.now_ms).unwrap();
    org.ask(Actor::System, tick).unwrap();
    let progress = |attempt, done| Command::ErasureProgress {
        id: "e1".into(),
        attempt,
        counts: BTreeMap::from([("conversation".to_owned(), 2)]),
        done,
    };
    assert_eq!(code(org.ask(Actor::System, progress(1, true))), "superseded");
    org.ask(Actor::System, progress(2, false)).unwrap();
    org.ask(Actor::System, progress(2, true)).unwrap();
    let ended = &org.state.erasures["e1"];
    assert_eq!((ended.status, ended.counts["conversation"]), (ErasureStatus::Completed, 2));
    let kept = serde_json::to_string(&(&org.events, &org.state)).unwrap().to_lowercase();
    assert!(!kept.contains("ann@example"), "{kept}");
    assert!(pending(&org.state).is_empty() && timer(&org.state).is_none());

    org.owner(request("e2")).unwrap();
    for attempt in 1..=ERASURE_ATTEMPTS_MAX {
        let failed = Command::ErasureFailed { id: "e2".into(), attempt, reason: "store is full".into() };
        org.ask(Actor::System, failed).unwrap();
    }
    assert_eq!(org.state.erasures["e2"].status, ErasureStatus::Failed);
    org.owner(request("e3")).unwrap();
    assert_eq!(on_recovered(&org.state), Some(Command::Recovered));
    org.ask(Actor::System, Command::Recovered).unwrap();
    assert_eq!(pending(&org.state)[0].1, 2);
}

#[test]
fn a_suspended_organization_can_be_read_but_not_changed() {
    let mut org = Org::founded(Plan::unlimited());
    assert_eq!(code(org.owner(Command::SetSuspended { reason: Some("unpaid".into()) })), "forbidden");
    let platform = || Actor::Platform { id: "p".into() };
    org.ask(platform(), Command::SetSuspended { reason: Some("unpaid".into()) }).unwrap();
    assert_eq!(org.organization().suspended.as_deref(), Some("unpaid"));
    let rename = || Command::Update { patch: json!({"name": "x"}), if_version: None };
    assert_eq!(code(org.owner(rename())), "organization_suspended");
    org.ask(platform(), Command::SetSuspended { reason: None }).unwrap();
    org.owner(rename()).unwrap();
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Viewer, Role::Rep, Role::Manager, Role::Admin, Role::Owner])
}

fn any_command() -> impl Strategy<Value = Command> {
    let who = || prop::sample::select(vec!["owner", "a", "b", "c"]);
    let name = || prop::sample::select(vec!["x1", "x2", "x3"]);
    prop_oneof![
        (who(), any_role()).prop_map(|(user, role)| Command::SetRole { user: user.into(), role, if_version: None }),
        who().prop_map(|user| Command::RemoveMember { user: user.into() }),
        (name(), any_role()).prop_map(|(code, role)| Command::Invite { code_hash: code.into(), email: None, role }),
        (name(), who())
            .prop_map(|(code, who)| Command::AcceptInvitation { code_hash: code.into(), person: person(who) }),
        name().prop_map(|code| Command::DeclineInvitation { code_hash: code.into() }),
        (name(), any_role()).prop_map(|(id, role)| Command::CreateKey {
            id: id.into(),
            hash: id.into(),
            hint: String::new(),
            kind: KeyKind::Secret,
            role,
            agent: None,
            name: "k".into(),
        }),
        name().prop_map(|id| Command::RevokeKey { id: id.into() }),
        name().prop_map(|id| Command::ReserveAgent { agent: id.into(), name: id.into() }),
        name().prop_map(|id| Command::AgentGone { agent: id.into() }),
        "[a-z]{1,5}".prop_map(|name| Command::Update { patch: json!({"name": name}), if_version: None }),
        name().prop_map(|id| Command::RequestErasure {
            id: id.into(),
            who: ErasureWho { visitor_id: Some("v".into()), ..ErasureWho::default() },
            key: [3; 32],
            guard_key: [4; 32],
        }),
        (name(), 1_u32..3, any::<bool>()).prop_map(|(id, attempt, done)| Command::ErasureProgress {
            id: id.into(),
            attempt,
            counts: BTreeMap::new(),
            done
        }),
        Just(Command::Route { routes: vec![RouteTo { strategy: Some("round_robin".into()), ..RouteTo::default() }] }),
        Just(Command::Tick),
        Just(Command::Recovered),
    ]
}

fn any_actor() -> impl Strategy<Value = Actor> {
    let members = prop::sample::select(vec!["owner", "a", "b", "c"]);
    prop_oneof![
        2 => (members, any_role()).prop_map(|(id, role)| user(id, role)),
        1 => Just(Actor::System),
    ]
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_invariants(
        steps in prop::collection::vec((any_actor(), any_command(), 0_i64..200_000_000), 0..50)
    ) {
        let mut org = Org::founded(Plan::trial());
        for (actor, command, later_ms) in steps {
            org.now_ms += later_ms;
            let text = serde_json::to_string(&command).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Command>(&text).unwrap(), &command);
            // A member acts with the role they have, as the gateway would say.
            let actor = match actor {
                Actor::User { id, name, role } => {
                    let role = org.state.members.get(&id).map_or(role.min(Role::Viewer), |member| member.role);
                    Actor::User { id, role, name }
                }
                other => other,
            };
            let own = Principal { tenant: "t1".into(), actor: actor.clone() }.role();
            let before = org.state.members.clone();
            let _ = org.ask(actor, command);
            prop_assert!(org.state.owners() >= 1, "an organization has an owner");
            prop_assert!(org.state.agents.len() <= 1, "the plan allows one agent");
            for (id, member) in &org.state.members {
                if let Some(old) = before.get(id) && old.role != member.role {
                    prop_assert!(Some(member.role.max(old.role)) <= own, "nobody gives or takes above their own role");
                }
            }
            if let Some(tick) = on_timer(&org.state, org.now_ms) {
                let due = timer(&org.state);
                org.ask(Actor::System, tick).unwrap();
                prop_assert!(timer(&org.state) > due || timer(&org.state).is_none(), "a due timer moves");
            }
        }
        let mut replayed = Tenant::default();
        for (event, seq, at_ms) in &org.events {
            let event: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &org.state);
        let text = serde_json::to_string(&org.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<Tenant>(&text).unwrap(), org.state);
    }
}

#[test]
fn an_erasure_of_version_1_that_is_open_goes_on_without_naming_anybody() {
    let old = json!({ "type": "erasure_requested", "id": "e", "deadline_ms": 5, "who": { "email": "ann@example.com", "phone": "+14155550100", "visitor_id": "browser-77" } });
    let event: Event = serde_json::from_value(upgrade(1, old).unwrap()).unwrap();
    let mut state = Tenant::default();
    apply(&mut state, &event, 1, 1);
    let kept = serde_json::to_string(&state).unwrap();
    assert!(!kept.contains("ann@") && !kept.contains("555") && !kept.contains("browser-77"), "{kept}");
    let Effect::Erase { whom, .. } = pending(&state).remove(0).2 else { panic!("an erasure") };
    let is = |who: ErasureWho| whom.is(&who, &[9; 32]);
    assert!(is(ErasureWho { email: Some("Ann@example.com".into()), ..ErasureWho::default() }));
    assert!(is(ErasureWho { phone: Some("(415) 555-0100".into()), ..ErasureWho::default() }));
    assert!(is(ErasureWho { visitor_id: Some("browser-77.ab12".into()), ..ErasureWho::default() }));
    assert!(is(ErasureWho { visitor_id: Some("browser-77".into()), ..ErasureWho::default() }));
    assert!(!is(ErasureWho {
        visitor_id: Some("browser".into()),
        email: Some("joe@example.com".into()),
        ..ErasureWho::default()
    }));
    assert!(!is(ErasureWho::default()));
}

#[test]
fn saying_for_the_first_time_when_it_is_open_is_told_apart_from_later_hours() {
    let mut org = Org::founded(Plan::unlimited());
    let mut opened = |patch| {
        org.owner(Command::Update { patch, if_version: None }).unwrap();
        match org.events.last() {
            Some((Event::Updated { opened, .. }, _, _)) => *opened,
            other => panic!("{other:?}"),
        }
    };
    assert!(!opened(json!({ "phone": "+12175550133" })));
    assert!(!opened(json!({ "business_hours": { "sun": null }, "email": "front@joes.example" })), "closed is not open");
    assert!(opened(json!({ "business_hours": { "mon": { "open": "09:00", "close": "17:00" } } })));
    assert!(!opened(json!({ "business_hours": { "tue": { "open": "09:00", "close": "17:00" } } })), "only once");
    // An event from before there were calendars to begin with.
    let old = json!({ "type": "updated", "profile": { "name": "Joe's" }, "renamed": false });
    assert!(matches!(serde_json::from_value(old).unwrap(), Event::Updated { opened: false, .. }));
}
