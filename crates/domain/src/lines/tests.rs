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
