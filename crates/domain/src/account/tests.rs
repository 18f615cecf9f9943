//! Tests of the account: each rule by scenario, then random command sequences.

use proptest::prelude::*;
use serde_json::json;

use super::{
    limits::{
        ALL_FREE_FAILURES, FAILURES_FORGOTTEN_MS, FREE_FAILURES, FROM_MAX, LOCK_FIRST_MS, LOCK_MAX_MS, MAGIC_TTL_MS,
        PROVEN_MS, ROTATION_GRACE_MS, SESSIONS_MAX, SIBLINGS_MAX,
    },
    *,
};
use crate::{
    ids::{TenantId, UserId},
    principal::{Principal, Role},
};

struct Person {
    state: Account,
    events: Vec<(Event, u64, i64)>,
    now_ms: i64,
}

impl Person {
    fn nobody() -> Self {
        Self { state: Account::default(), events: Vec::new(), now_ms: 1_000_000 }
    }

    fn registered() -> Self {
        let mut person = Self::nobody();
        let new = Register {
            id: "u1".into(),
            email: " Ann@Example.com ".into(),
            name: "Ann".into(),
            password_hash: Some("hash-0".into()),
            platform_admin: true,
            verified: false,
        };
        person.ask(Command::Register(new)).unwrap();
        person
    }

    fn ask(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.ask_as(Actor::System, command)
    }

    fn ask_as(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let principal = Principal { tenant: TENANT.into(), actor };
        let seq = self.events.len() as u64;
        let cx = Context { now_ms: self.now_ms, seq, seed: [7; 32], principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            let seq = self.events.len() as u64 + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        Ok(decision.reply)
    }

    fn log_in(&mut self, family: &str) -> Result<Reply, Rejection> {
        self.ask(Command::LogIn { verified_hash: "hash-0".into(), session: session(family) })
    }

    fn refresh(&mut self, family: &str, token: &str, next: &str) -> Reply {
        let command = Command::Refresh { family: family.into(), token_hash: token.into(), next_hash: next.into() };
        self.ask(command).unwrap()
    }
}

fn session(family: &str) -> NewSession {
    NewSession {
        family: family.into(),
        token_hash: format!("{family}-0"),
        tenant: None,
        device: "Firefox".into(),
        from: String::new(),
    }
}

fn code(result: Result<Reply, Rejection>) -> String {
    match result.unwrap_err() {
        Rejection::Conflict { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

fn membership(tenant: &str, version: u64, role: Option<Role>) -> Command {
    Command::SetMembership(MembershipChange {
        tenant: tenant.into(),
        version,
        role,
        name: tenant.to_uppercase(),
        slug: tenant.into(),
    })
}

#[test]
fn signing_up_twice_is_one_account() {
    let mut person = Person::registered();
    assert_eq!(person.state.email, "ann@example.com");
    let again = Register {
        id: "u1".into(),
        email: "ann@example.com".into(),
        name: "Other".into(),
        password_hash: None,
        platform_admin: false,
        verified: true,
    };
    assert_eq!(person.ask(Command::Register(again.clone())).unwrap(), Reply::Registered { fresh: false });
    assert_eq!(code(person.ask(Command::Register(Register { id: "u2".into(), ..again }))), "already_registered");
    assert_eq!(person.events.len(), 1);
}

#[test]
fn a_listed_address_administers_the_platform_only_once_proven() {
    let mut person = Person::registered();
    assert!(!person.state.is_platform_admin());
    person.ask(Command::RequestMagic { token_hash: "m".into() }).unwrap();
    let Reply::Session { account, .. } =
        person.ask(Command::UseMagic { token_hash: "m".into(), session: session("f") }).unwrap()
    else {
        panic!("a session")
    };
    assert!(person.state.is_platform_admin() && account.user.platform_admin);
    assert_eq!(*account, view::account(&person.state));
}

#[test]
fn the_first_proof_of_an_address_ends_what_somebody_else_may_have_begun() {
    let mut person = Person::registered();
    person.log_in("somebody").unwrap();
    let follow = |person: &mut Person, link: &str, family: &str| {
        person.ask(Command::RequestMagic { token_hash: link.into() }).unwrap();
        person.ask(Command::UseMagic { token_hash: link.into(), session: session(family) }).unwrap()
    };
    let Reply::Session { account, .. } = follow(&mut person, "m", "owner") else { panic!("a session") };
    assert!(!account.user.has_password && person.state.password_hash.is_none());
    assert_eq!(person.state.families.keys().collect::<Vec<_>>(), ["owner"]);
    assert!(person.log_in("somebody again").is_err());
    // Later links leave everything as it is.
    person.ask(Command::RequestReset { token_hash: "r".into() }).unwrap();
    person.ask(Command::UseReset { token_hash: "r".into(), password_hash: "hash-0".into() }).unwrap();
    person.log_in("own").unwrap();
    follow(&mut person, "m2", "second");
    assert!(person.state.password_hash.is_some() && person.state.families.contains_key("own"));
}

#[test]
fn a_password_checked_against_an_old_hash_is_refused() {
    let mut person = Person::registered();
    let set = Command::SetPassword {
        verified_hash: Some("hash-0".into()),
        password_hash: "hash-1".into(),
        keep_family: None,
    };
    person.ask(set).unwrap();
    assert_eq!(code(person.log_in("f")), "invalid_credentials");
}

fn failed(from: &str) -> Command {
    Command::LoginFailed { from: from.into() }
}

fn log_in_from(person: &mut Person, family: &str, from: &str) -> Result<Reply, crate::rejection::Rejection> {
    let session = NewSession { from: from.into(), ..session(family) };
    person.ask(Command::LogIn { verified_hash: "hash-0".into(), session })
}

#[test]
fn wrong_passwords_lock_with_growing_waits_and_success_forgets_them() {
    let mut person = Person::registered();
    for _ in 0..FREE_FAILURES {
        assert_eq!(person.ask(failed("here")).unwrap(), Reply::Failed { wait_ms: None });
    }
    let mut waits = Vec::new();
    for _ in 0..8 {
        let Reply::Failed { wait_ms: Some(wait) } = person.ask(failed("here")).unwrap() else { panic!("locked") };
        let events = person.events.len();
        person.ask(failed("here")).unwrap();
        assert_eq!(person.events.len(), events, "a locked account journals nothing");
        assert_eq!(code(log_in_from(&mut person, "f", "here")), "login_locked");
        person.now_ms += wait;
        waits.push(wait);
    }
    assert_eq!(waits[..3], [LOCK_FIRST_MS, 2 * LOCK_FIRST_MS, 4 * LOCK_FIRST_MS]);
    assert_eq!(*waits.last().unwrap(), LOCK_MAX_MS);
    log_in_from(&mut person, "f", "here").unwrap();
    assert_eq!((person.state.throttle, person.state.throttles.len()), (Throttle::default(), 0));
}

#[test]
fn guesses_from_one_address_lock_that_address_and_nobody_elsewhere() {
    let mut person = Person::registered();
    for _ in 0..100 {
        person.ask(failed("guesser")).unwrap();
    }
    assert_eq!(code(log_in_from(&mut person, "g", "guesser")), "login_locked");
    log_in_from(&mut person, "f", "elsewhere").unwrap();
}

#[test]
fn guesses_from_many_addresses_lock_all_but_where_somebody_signed_in_from() {
    let mut person = Person::registered();
    log_in_from(&mut person, "f0", "home").unwrap();
    for n in 0..=ALL_FREE_FAILURES {
        person.ask(failed(&format!("guesser {n}"))).unwrap();
    }
    assert_eq!(code(log_in_from(&mut person, "f1", "elsewhere")), "login_locked");
    assert!(person.state.throttles.len() <= FROM_MAX);
    let now_ms = person.now_ms;
    log_in_from(&mut person, "f2", "home").unwrap();
    person.now_ms = now_ms + PROVEN_MS + FAILURES_FORGOTTEN_MS;
    for n in 0..=ALL_FREE_FAILURES {
        person.ask(failed(&format!("guesser {n}"))).unwrap();
    }
    assert_eq!(code(log_in_from(&mut person, "f3", "home")), "login_locked", "an address is not proven for ever");
}

#[test]
fn a_lock_from_before_addresses_were_told_apart_holds_everywhere() {
    let mut person = Person::registered();
    let before: Event =
        serde_json::from_value(json!({ "type": "login_failed", "locked_until_ms": person.now_ms + 1_000 })).unwrap();
    apply(&mut person.state, &before, 9, person.now_ms);
    assert_eq!(code(log_in_from(&mut person, "f", "anywhere")), "login_locked");
}

#[test]
fn magic_and_reset_links_work_once_and_only_in_time() {
    let mut person = Person::registered();
    person.ask(Command::RequestMagic { token_hash: "m1".into() }).unwrap();
    person.ask(Command::UseMagic { token_hash: "m1".into(), session: session("a") }).unwrap();
    assert_eq!(code(person.ask(Command::UseMagic { token_hash: "m1".into(), session: session("b") })), "invalid_token");
    person.ask(Command::RequestMagic { token_hash: "m2".into() }).unwrap();
    person.now_ms += MAGIC_TTL_MS;
    assert_eq!(code(person.ask(Command::UseMagic { token_hash: "m2".into(), session: session("b") })), "invalid_token");

    person.ask(Command::RequestReset { token_hash: "r1".into() }).unwrap();
    let reset = Command::UseReset { token_hash: "r1".into(), password_hash: "hash-2".into() };
    person.ask(reset.clone()).unwrap();
    assert_eq!(code(person.ask(reset)), "invalid_token");
    assert_eq!(person.state.password_hash.as_deref(), Some("hash-2"));
    assert!(person.state.families.is_empty(), "a reset ends every session");
}

#[test]
fn more_links_than_anyone_needs_are_not_sent() {
    let mut person = Person::registered();
    let sends: Vec<bool> = (0..5)
        .map(|n| match person.ask(Command::RequestReset { token_hash: format!("r{n}") }).unwrap() {
            Reply::Requested { send, .. } => send,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sends, [true, true, true, false, false]);
}

#[test]
fn a_replaced_refresh_token_that_comes_back_late_ends_the_session() {
    let mut person = Person::registered();
    person.log_in("f").unwrap();
    assert!(matches!(person.refresh("f", "f-0", "f-1"), Reply::Session { .. }));
    assert!(matches!(person.refresh("f", "f-1", "f-2"), Reply::Session { .. }));
    // Two generations old: also within the grace time this is a copy.
    assert_eq!(person.refresh("f", "f-0", "x"), Reply::SessionEnded { why: SessionEnd::Reused });
    assert!(person.state.families.is_empty());

    person.log_in("g").unwrap();
    person.refresh("g", "g-0", "g-1");
    person.now_ms += ROTATION_GRACE_MS + 1;
    assert_eq!(person.refresh("g", "g-0", "x"), Reply::SessionEnded { why: SessionEnd::Reused });
}

#[test]
fn two_tabs_that_refresh_at_once_both_stay_signed_in() {
    let mut person = Person::registered();
    person.log_in("f").unwrap();
    person.refresh("f", "f-0", "a1");
    person.refresh("f", "f-0", "b1");
    assert!(matches!(person.refresh("f", "a1", "a2"), Reply::Session { .. }));
    assert!(matches!(person.refresh("f", "b1", "b2"), Reply::Session { .. }), "its sibling was used a moment ago");
}

#[test]
fn more_tabs_than_the_grace_gives_tokens_to_end_no_session() {
    let mut person = Person::registered();
    person.log_in("f").unwrap();
    for n in 0..SIBLINGS_MAX {
        assert!(matches!(person.refresh("f", "f-0", &format!("t{n}")), Reply::Session { .. }), "tab {n}");
    }
    let refresh = |next: &str| Command::Refresh {
        family: "f".to_owned(),
        token_hash: "f-0".to_owned(),
        next_hash: next.to_owned(),
    };
    let refused = person.ask(refresh("one-more")).unwrap_err();
    assert!(matches!(refused, Rejection::Conflict { ref code, .. } if code == "renewed_elsewhere"), "{refused:?}");
    assert!(matches!(person.refresh("f", "t0", "next"), Reply::Session { .. }), "the session goes on");

    // Late, it is a copy as ever.
    person.log_in("g").unwrap();
    person.refresh("g", "g-0", "g-1");
    person.now_ms += ROTATION_GRACE_MS + 1;
    assert_eq!(person.refresh("g", "g-0", "x"), Reply::SessionEnded { why: SessionEnd::Reused });
}

#[test]
fn sessions_are_bounded_and_the_one_unused_longest_ends() {
    let mut person = Person::registered();
    for n in 0..SESSIONS_MAX + 5 {
        person.now_ms += 1;
        person.log_in(&format!("f{n}")).unwrap();
    }
    assert_eq!(person.state.families.len(), SESSIONS_MAX);
    assert!(!person.state.families.contains_key("f4") && person.state.families.contains_key("f5"));
}

#[test]
fn memberships_follow_the_newest_version_and_sessions_leave_with_them() {
    let mut person = Person::registered();
    person.ask(membership("a", 3, Some(Role::Rep))).unwrap();
    person.ask(membership("a", 2, Some(Role::Owner))).unwrap();
    assert_eq!(person.state.memberships[&TenantId::from("a")].role, Role::Rep);
    person.ask(membership("b", 1, Some(Role::Admin))).unwrap();
    let Reply::Session { membership: Some(home), .. } = person.log_in("f").unwrap() else { panic!("a session") };
    assert_eq!(home.tenant, TenantId::from("a"));
    assert!(person.ask(Command::SwitchTenant { family: "f".into(), tenant: "c".into() }).is_err());
    person.ask(Command::SwitchTenant { family: "f".into(), tenant: "b".into() }).unwrap();
    person.ask(membership("b", 2, None)).unwrap();
    assert_eq!(person.state.families["f"].tenant, Some("a".into()));
    assert_eq!(person.state.default_tenant, Some("a".into()));
}

#[test]
fn another_person_finds_nothing() {
    let mut person = Person::registered();
    let other = Actor::User { id: "u2".into(), role: Role::Owner, name: "Eve".into() };
    assert_eq!(person.ask_as(other, Command::View), Err(Rejection::not_found("account")));
    let own = Actor::User { id: "u1".into(), role: Role::Viewer, name: "Ann".into() };
    assert!(person.ask_as(own.clone(), Command::View).is_ok());
    assert!(person.ask_as(own, Command::SetPlatformAdmin { on: true }).is_err());
    assert_eq!(Person::nobody().ask(Command::View), Err(Rejection::not_found("account")));
}

#[test]
fn preferences_merge_and_stay_small() {
    let mut person = Person::registered();
    person.ask(Command::SetPreferences { patch: json!({"theme": "dark", "a": 1}) }).unwrap();
    person.ask(Command::SetPreferences { patch: json!({"a": null}) }).unwrap();
    assert_eq!(json!(person.state.preferences), json!({"theme": "dark"}));
    assert!(person.ask(Command::SetPreferences { patch: json!({"x": "y".repeat(20_000)}) }).is_err());
    assert!(person.ask(Command::SetPreferences { patch: json!([1]) }).is_err());
}

fn any_command() -> impl Strategy<Value = Command> {
    let name = || (0..4_u8).prop_map(|n| format!("t{n}"));
    let family = || (0..4_u8).prop_map(|n| format!("f{n}"));
    prop_oneof![
        family().prop_map(|family| Command::LogIn { verified_hash: "hash-0".into(), session: session(&family) }),
        name().prop_map(|from| Command::LoginFailed { from }),
        name().prop_map(|token_hash| Command::RequestMagic { token_hash }),
        (name(), family()).prop_map(|(token_hash, family)| Command::UseMagic { token_hash, session: session(&family) }),
        name().prop_map(|token_hash| Command::RequestReset { token_hash }),
        name().prop_map(|token_hash| Command::UseReset { token_hash, password_hash: "hash-0".into() }),
        (family(), name(), name()).prop_map(|(family, token_hash, next_hash)| Command::Refresh {
            family,
            token_hash,
            next_hash
        }),
        family().prop_map(|family| Command::Logout { family }),
        Just(Command::LogoutAll),
        (name(), 0..6_u64, any::<bool>()).prop_map(|(t, v, on)| membership(&t, v, on.then_some(Role::Rep))),
        (family(), name()).prop_map(|(family, tenant)| Command::SwitchTenant { family, tenant: tenant.into() }),
        any::<bool>().prop_map(|on| Command::SetSuspended { on }),
        Just(Command::View),
    ]
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_invariants(steps in prop::collection::vec((any_command(), 0_i64..2_000_000), 0..60)) {
        let mut person = Person::registered();
        let mut used = std::collections::BTreeSet::new();
        for (command, later_ms) in steps {
            person.now_ms += later_ms;
            let text = serde_json::to_string(&command).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Command>(&text).unwrap(), &command);
            let link = match &command {
                Command::UseMagic { token_hash, .. } => Some(("magic", token_hash.clone())),
                Command::UseReset { token_hash, .. } => Some(("reset", token_hash.clone())),
                Command::RequestMagic { token_hash } => { used.remove(&("magic", token_hash.clone())); None }
                Command::RequestReset { token_hash } => { used.remove(&("reset", token_hash.clone())); None }
                _ => None,
            };
            let worked = person.ask(command).is_ok();
            if let (Some(link), true) = (link, worked) {
                prop_assert!(used.insert(link), "a link works once");
            }
            let state = &person.state;
            prop_assert!(state.families.len() <= SESSIONS_MAX);
            prop_assert!(!state.suspended || state.families.is_empty());
            let home_is_own = |tenant: &Option<TenantId>| tenant.as_ref().is_none_or(|t| state.memberships.contains_key(t));
            prop_assert!(home_is_own(&state.default_tenant));
            prop_assert!(state.families.values().all(|family| home_is_own(&family.tenant)));
        }
        let mut replayed = Account::default();
        for (event, seq, at_ms) in &person.events {
            let event: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &person.state);
        let text = serde_json::to_string(&person.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), person.state);
    }
}

#[test]
fn ids_are_not_mixed_up_in_the_view() {
    let person = Person::registered();
    assert_eq!(view::account(&person.state).user.id, UserId::from("u1"));
}
