//! Accounts and numbers: what is refused for want of which key, and that keys are shown to nobody.

use super::*;
use crate::principal::Principal;

struct Run {
    state: Lines,
    now_ms: i64,
}

impl Run {
    fn by(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        self.now_ms += 1;
        let principal = Principal { tenant: "t".into(), actor };
        let cx = Context { now_ms: self.now_ms, seq: self.state.seq, seed: [3; 32], principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            let json = serde_json::to_string(&event).expect("JSON");
            let event: Event = serde_json::from_str(&json).expect("an event");
            apply(&mut self.state, &event, cx.seq + 1, cx.now_ms);
        }
        Ok(decision.reply)
    }
}

fn run() -> Run {
    Run { state: Lines::default(), now_ms: 1_700_000_000_000 }
}

fn person(role: Role) -> Actor {
    Actor::User { id: "u".into(), role, name: "Ann".into() }
}

fn twilio() -> Box<Credentials> {
    Box::new(Credentials { account: "AC1".into(), token: "a-token-of-twilio-0042".into(), ..Credentials::default() })
}

fn number(number: &str, provider: Provider) -> Command {
    let number = NewNumber {
        number: number.into(),
        provider,
        external_id: (provider == Provider::Whatsapp).then(|| "12345".into()),
        agent: "a".into(),
        template: None,
    };
    Command::Register { number: Box::new(number) }
}

#[test]
fn a_provider_without_keys_is_refused_by_the_name_of_the_key() {
    let mut run = run();
    let refused = run.by(person(Role::Owner), number("+14155550100", Provider::Twilio));
    let Err(Rejection::Conflict { code, detail }) = refused else { panic!("{refused:?}") };
    assert_eq!(code, "not_connected");
    assert!(detail.contains("auth_token") && detail.contains("/api/integrations/twilio/connect"), "{detail}");
    let empty = Command::Connect { provider: Provider::Whatsapp, credentials: Box::default() };
    let Err(Rejection::Invalid { errors }) = run.by(person(Role::Owner), empty) else { panic!("accepted") };
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["access_token", "app_secret"]);
}

#[test]
fn a_number_is_registered_once_and_answered_by_its_agent() {
    let mut run = run();
    let connect = Command::Connect { provider: Provider::Twilio, credentials: twilio() };
    assert!(matches!(run.by(person(Role::Manager), connect.clone()), Err(Rejection::Forbidden { .. })));
    run.by(person(Role::Admin), connect).expect("connected");
    let Ok(Reply::Number { id }) = run.by(person(Role::Manager), number("+14155550100", Provider::Twilio)) else {
        panic!("not registered")
    };
    assert_eq!(
        run.by(person(Role::Manager), number("+14155550100", Provider::Twilio)),
        Ok(Reply::Number { id: id.clone() })
    );
    assert!(run.by(person(Role::Manager), number("4155550100", Provider::Twilio)).is_err());
    assert_eq!(run.state.of_agent(&"a".into(), Channel::Sms).map(|(id, _)| id), Some(&id));
    assert_eq!(run.state.called(Provider::Twilio, "+14155550100").map(|(id, _)| id), Some(&id));
    assert_eq!(run.state.called(Provider::Simulated, "+14155550100"), None);
    let assign = Command::Assign { id: id.clone(), agent: "b".into(), template: None };
    run.by(person(Role::Manager), assign).expect("assigned");
    assert_eq!(run.state.of_agent(&"a".into(), Channel::Sms), None);
    run.by(person(Role::Admin), Command::Release { id }).expect("released");
    assert!(run.state.numbers.is_empty());
}

#[test]
fn over_vapi_calls_come_in_and_nothing_goes_out() {
    let mut run = run();
    let keys = |signing: &str| {
        let credentials = Credentials { token: "private".into(), signing: signing.into(), ..Credentials::default() };
        Command::Connect { provider: Provider::Vapi, credentials: Box::new(credentials) }
    };
    let Err(Rejection::Invalid { errors }) = run.by(person(Role::Owner), keys("short")) else { panic!("accepted") };
    assert_eq!(errors[0].field, "server_secret");
    run.by(person(Role::Owner), keys("a-secret-of-our-own")).expect("connected");
    run.by(person(Role::Owner), number("+14155550100", Provider::Vapi)).expect("registered");
    assert_eq!(run.state.of_agent(&"a".into(), Channel::Voice), None, "no campaign calls over it");
    let Ok(Reply::View(view)) = run.by(person(Role::Viewer), Command::View) else { panic!("a view") };
    assert_eq!(view.numbers[0].channels, [Channel::Voice]);
}

#[test]
fn whatsapp_goes_over_the_number_that_meta_carries() {
    let mut run = run();
    run.by(person(Role::Admin), Command::Connect { provider: Provider::Twilio, credentials: twilio() })
        .expect("connected");
    let keys = Credentials { token: "t".into(), signing: "s".into(), ..Credentials::default() };
    run.by(person(Role::Admin), Command::Connect { provider: Provider::Whatsapp, credentials: Box::new(keys) })
        .expect("connected");
    run.by(person(Role::Admin), number("+14155550100", Provider::Twilio)).expect("registered");
    run.by(person(Role::Admin), number("+14155550101", Provider::Whatsapp)).expect("registered");
    let of = |channel| run.state.of_agent(&"a".into(), channel).map(|(_, number)| number.is.number.clone());
    assert_eq!(of(Channel::Sms).as_deref(), Some("+14155550100"));
    assert_eq!(of(Channel::Whatsapp).as_deref(), Some("+14155550101"));
    assert_eq!(of(Channel::Chat), None);
}

#[test]
fn nobody_sees_a_key() {
    let mut run = run();
    run.by(person(Role::Admin), Command::Connect { provider: Provider::Twilio, credentials: twilio() })
        .expect("connected");
    let shown = run.by(person(Role::Owner), Command::View).expect("a view");
    assert!(!serde_json::to_string(&shown).expect("JSON").contains("a-token-of-twilio"));
    assert!(!format!("{:?}", run.state).contains("a-token-of-twilio"));
    assert!(matches!(run.by(person(Role::Owner), Command::Get), Err(Rejection::Forbidden { .. })));
    assert!(run.by(Actor::System, Command::Get).is_ok());
}

/// A number at Retell, bound by one step after the other.
fn at_retell(run: &mut Run) -> String {
    let keys = Credentials { account: "key-1".into(), token: "a-key-of-retell-0042".into(), ..Credentials::default() };
    run.by(person(Role::Admin), Command::Connect { provider: Provider::Retell, credentials: Box::new(keys) })
        .expect("connected");
    match run.by(person(Role::Manager), number("+14155550100", Provider::Retell)) {
        Ok(Reply::Number { id }) => id,
        other => panic!("{other:?}"),
    }
}

fn step(run: &mut Run, step: setup::Step) -> Result<Reply, Rejection> {
    run.by(Actor::System, Command::SetUp(step))
}

fn before(agent: &str) -> Bindings {
    Bindings { inbound: vec![Share { agent_id: agent.into(), thousandths: 1000, version: None }], outbound: vec![] }
}

#[test]
fn what_a_number_was_bound_to_before_us_is_kept_through_every_binding_of_ours() {
    use setup::Step;
    let mut run = run();
    let id = at_retell(&mut run);
    let state = |run: &Run| run.state.numbers.values().next().map(Number::state);
    assert_eq!(state(&run), Some(State::NotSetUp));
    let bind = |agent: &str, was: &str| Step::Binding { id: id.clone(), agent: agent.into(), before: before(was) };
    assert!(run.by(person(Role::Owner), Command::SetUp(bind("r1", "theirs"))).is_err(), "not for people");
    assert!(step(&mut run, Step::Bound { id: id.clone() }).is_err(), "nothing is being bound");
    step(&mut run, bind("r1", "theirs")).expect("noted");
    assert_eq!(state(&run), Some(State::NotSetUp), "the provider has not confirmed it");
    step(&mut run, Step::NotBound { id: id.clone(), why: "down".into() }).expect("noted");
    step(&mut run, Step::Bound { id: id.clone() }).expect("noted");
    assert_eq!(state(&run), Some(State::Ready));
    let seq = run.state.numbers.clone();
    step(&mut run, bind("r1", "r1")).expect("the same again");
    step(&mut run, Step::Bound { id: id.clone() }).expect("the same again");
    assert_eq!(run.state.numbers, seq, "changes nothing");
    // Another of ours answers: until that is confirmed it is not ready, and theirs is still what is put back.
    run.by(person(Role::Manager), Command::Assign { id: id.clone(), agent: "b".into(), template: None })
        .expect("assigned");
    assert_eq!(state(&run), Some(State::NotSetUp));
    step(&mut run, bind("r2", "r1")).expect("noted");
    step(&mut run, Step::Bound { id: id.clone() }).expect("noted");
    let set_up = run.state.numbers[&id].set_up.clone().expect("set up");
    assert_eq!(
        (set_up.agent.as_str(), set_up.before, set_up.ready, set_up.trouble),
        ("r2", before("theirs"), true, None)
    );
}

#[test]
fn of_two_agents_made_at_once_the_first_stands_until_the_provider_has_lost_it() {
    let mut run = run();
    at_retell(&mut run);
    let made = |external: &str, instead: Option<&str>| setup::Step::AgentMade {
        provider: Provider::Retell,
        agent: "a".into(),
        external_id: external.into(),
        instead_of: instead.map(str::to_owned),
    };
    let stands = |external: &str| Ok(Reply::Agent { external_id: external.into() });
    assert_eq!(step(&mut run, made("r1", None)), stands("r1"));
    assert_eq!(step(&mut run, made("r2", None)), stands("r1"));
    assert_eq!(step(&mut run, made("r3", Some("r1"))), stands("r3"), "Retell does not know r1 any more");
    let gone = setup::Step::AgentGone { provider: Provider::Retell, agent: "a".into() };
    step(&mut run, gone).expect("noted");
    assert_eq!(step(&mut run, made("r4", None)), stands("r4"));
}

#[test]
fn lines_that_were_written_before_numbers_were_set_up_are_read() {
    let old = r#"{"connections":{},"numbers":{"n":{"number":"+14155550100","provider":"twilio","external_id":null,"agent":"a","template":null,"created_ms":1}},"seq":2}"#;
    let read: Lines = serde_json::from_str(old).expect("readable");
    assert_eq!(read.numbers["n"].state(), State::Ready);
}

#[test]
fn retell_carries_calls_and_no_messages() {
    for provider in [Provider::Retell, Provider::SimulatedRetell] {
        assert!(provider.carries(Channel::Voice));
        assert!(!provider.carries(Channel::Sms) && !provider.carries(Channel::Whatsapp));
        assert_eq!(Provider::of(provider.word()), Some(provider));
    }
}

#[test]
fn alerts_leave_from_a_connected_number_that_reaches_somebody_the_agents_own_first() {
    let mut run = run();
    let own: AgentId = "b".into();
    let from = |run: &Run| run.state.for_staff(&own).map(|number| number.is.number.clone());
    for provider in [Provider::Twilio, Provider::Simulated] {
        run.by(person(Role::Admin), Command::Connect { provider, credentials: twilio() }).expect("connected");
    }
    assert_eq!(from(&run), None, "no number");
    let register = |run: &mut Run, digits: &str, provider, agent: &str| {
        let Ok(Reply::Number { id }) = run.by(person(Role::Manager), number(digits, provider)) else {
            panic!("not registered")
        };
        if agent != "a" {
            let assign = Command::Assign { id, agent: agent.into(), template: None };
            run.by(person(Role::Manager), assign).expect("assigned");
        }
    };
    register(&mut run, "+14155550101", Provider::Simulated, "b");
    assert_eq!(from(&run).as_deref(), Some("+14155550101"), "better than nothing, and labelled");
    register(&mut run, "+14155550102", Provider::Twilio, "a");
    assert_eq!(from(&run).as_deref(), Some("+14155550102"), "another agent's that reaches somebody");
    register(&mut run, "+14155550103", Provider::Twilio, "b");
    assert_eq!(from(&run).as_deref(), Some("+14155550103"));
    run.by(person(Role::Admin), Command::Disconnect { provider: Provider::Twilio }).expect("gone");
    assert_eq!(from(&run).as_deref(), Some("+14155550101"));
    run.by(person(Role::Admin), Command::Disconnect { provider: Provider::Simulated }).expect("gone");
    assert_eq!(from(&run), None);
}
