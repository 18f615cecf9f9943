//! Who may be contacted: the list, the ledger, caps, and the order that sequence numbers prove.

use proptest::prelude::*;

use super::*;
use crate::{
    principal::{Principal, Role},
    vocabulary::Channel,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A guard with its journal.
struct Run {
    state: ContactGuard,
    events: Vec<(Event, u64, i64)>,
    now_ms: i64,
}

impl Run {
    fn new() -> Self {
        Self { state: ContactGuard::default(), events: Vec::new(), now_ms: 1_700_000_000_000 }
    }

    fn by(&mut self, actor: Actor, command: Command) -> Result<Reply, Rejection> {
        let principal = Principal { tenant: "t".into(), actor };
        let cx = Context { now_ms: self.now_ms, seq: self.state.seq, seed: [1; 32], principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            let seq = self.state.seq + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        Ok(decision.reply)
    }

    fn system(&mut self, command: Command) -> Reply {
        self.by(Actor::System, command).expect("accepted")
    }

    fn add(&mut self, reach: Reach, source: Source, expires_ms: Option<i64>) {
        let entry = NewEntry { masked: masked(), reach, source, reason: "asked for it".into(), expires_ms };
        assert_eq!(self.system(Command::AddEntry(Box::new(entry))), Reply::Done);
    }

    fn agrees(&mut self, kind: ConsentKind, granted: bool) {
        self.agrees_at(kind, granted, None);
    }

    fn agrees_at(&mut self, kind: ConsentKind, granted: bool, at_ms: Option<i64>) {
        let consent = NewConsent {
            masked: masked(),
            kind,
            granted,
            text: "Call me.".into(),
            source: "https://example.com/form".into(),
            at_ms,
        };
        self.system(Command::RecordConsent(Box::new(consent)));
    }

    fn dial(&mut self, attempt: u32, needs: Option<ConsentKind>, caps: &[Cap]) -> Verdict {
        let request =
            DialRequest { masked: masked(), dial: key(attempt), settings_version: 7, needs, caps: caps.to_vec() };
        verdict(self.system(Command::AuthorizeDial(Box::new(request))))
    }

    fn message(&mut self, name: &str, purpose: Purpose) -> Verdict {
        let request = MessageRequest { masked: masked(), message: name.into(), channel: Channel::Sms, purpose };
        verdict(self.system(Command::AuthorizeMessage(Box::new(request))))
    }
}

fn masked() -> address::Masked {
    Address::Phone("+14155550100".into()).masked()
}

fn key(attempt: u32) -> DialKey {
    DialKey { campaign: "c".into(), target: "t1".into(), attempt }
}

fn verdict(reply: Reply) -> Verdict {
    match reply {
        Reply::Verdict { verdict } => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

fn permitted(verdict: Verdict) -> Permit {
    match verdict {
        Verdict::Permitted(permit) => permit,
        Verdict::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn why(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Permitted(_) => "permitted",
        Verdict::Refused(refusal) => refusal.code(),
    }
}

fn person(role: Role) -> Actor {
    Actor::User { id: "u".into(), role, name: "Ann".into() }
}

#[test]
fn the_order_of_permit_and_entry_is_that_of_their_sequence_numbers() {
    let mut run = Run::new();
    let before = permitted(run.dial(1, None, &[]));
    run.add(Reach::Phone, Source::Staff, None);
    let entry = run.state.entries[0].seq;
    assert!(before.seq < entry);
    assert_eq!(why(run.dial(2, None, &[])), "do_not_contact");
    // The dial that was permitted before has not been placed: who asks again is refused.
    assert_eq!(why(run.dial(1, None, &[])), "do_not_contact");
    let (event, _, at_ms) = run.events.last().expect("an event").clone();
    assert_eq!(stopped(&run.state, &event, at_ms), [key(1)], "what may still be queued at the carrier is named");
}

#[test]
fn a_settled_or_old_dial_is_not_called_back_from_the_carrier() {
    let mut run = Run::new();
    permitted(run.dial(1, None, &[]));
    run.system(Command::Settle { dial: key(1), placed: Placed::Yes });
    run.add(Reach::Voice, Source::Complaint, None);
    let (event, _, at_ms) = run.events.last().expect("an event").clone();
    assert!(stopped(&run.state, &event, at_ms).is_empty());
    let mut run = Run::new();
    permitted(run.dial(1, None, &[]));
    run.now_ms += state::DIAL_OPEN_MS + 1;
    run.add(Reach::Voice, Source::Complaint, None);
    let (event, _, at_ms) = run.events.last().expect("an event").clone();
    assert!(stopped(&run.state, &event, at_ms).is_empty());
}

#[test]
fn the_same_dial_twice_is_one_permit_and_counts_once() {
    let mut run = Run::new();
    let cap = [Cap { within_ms: DAY, dials: 1 }];
    let first = permitted(run.dial(1, None, &cap));
    assert_eq!(permitted(run.dial(1, None, &cap)), first);
    assert_eq!(run.state.dials.len(), 1);
    assert_eq!(why(run.dial(2, None, &cap)), "too_often");
}

#[test]
fn caps_count_whatever_the_campaign_and_have_room_again_when_the_oldest_leaves() {
    let mut run = Run::new();
    let caps = [Cap { within_ms: DAY, dials: 2 }, Cap { within_ms: 7 * DAY, dials: 3 }];
    let first_at = run.now_ms;
    permitted(run.dial(1, None, &caps));
    run.now_ms += HOUR;
    permitted(run.dial(2, None, &caps));
    match run.dial(3, None, &caps) {
        Verdict::Refused(Refusal::TooOften { again_at_ms }) => assert_eq!(again_at_ms, first_at + DAY),
        other => panic!("{other:?}"),
    }
    run.now_ms = first_at + DAY;
    permitted(run.dial(3, None, &caps));
    run.now_ms += DAY;
    match run.dial(4, None, &caps) {
        Verdict::Refused(Refusal::TooOften { again_at_ms }) => assert_eq!(again_at_ms, first_at + 7 * DAY),
        other => panic!("{other:?}"),
    }
    assert_eq!(why(run.dial(5, None, &[Cap { within_ms: HOUR, dials: 0 }])), "too_often");
}

#[test]
fn a_dial_that_never_left_does_not_count() {
    let mut run = Run::new();
    let cap = [Cap { within_ms: DAY, dials: 1 }];
    permitted(run.dial(1, None, &cap));
    run.system(Command::Settle { dial: key(1), placed: Placed::No });
    permitted(run.dial(2, None, &cap));
    run.system(Command::Settle { dial: key(2), placed: Placed::Yes });
    let seq = run.state.seq;
    run.system(Command::Settle { dial: key(2), placed: Placed::No });
    assert_eq!(run.state.seq, seq, "what counts once is not taken back");
    assert_eq!(why(run.dial(3, None, &cap)), "too_often");
}

#[test]
fn a_needed_consent_must_stand_and_its_withdrawal_ends_the_channel() {
    let mut run = Run::new();
    assert_eq!(why(run.dial(1, Some(ConsentKind::AiCalls), &[])), "no_consent");
    run.agrees(ConsentKind::AiCalls, true);
    assert_eq!(permitted(run.dial(1, Some(ConsentKind::AiCalls), &[])).consent, Some(1));
    run.agrees(ConsentKind::AiCalls, false);
    assert_eq!(why(run.dial(2, Some(ConsentKind::AiCalls), &[])), "consent_withdrawn");
    assert_eq!(why(run.dial(2, None, &[])), "consent_withdrawn", "also where none was needed");
    run.agrees(ConsentKind::AiCalls, true);
    permitted(run.dial(2, None, &[]));
    assert_eq!(why(run.message("m1", Purpose::Marketing)), "no_consent");
    run.agrees(ConsentKind::Messages, true);
    permitted(run.message("m1", Purpose::Marketing));
}

#[test]
fn a_consent_from_before_a_withdrawal_does_not_undo_it() {
    let mut run = Run::new();
    let start = run.now_ms;
    run.agrees(ConsentKind::Calls, false);
    run.now_ms += DAY;
    run.agrees_at(ConsentKind::Calls, true, Some(start - DAY));
    assert_eq!(why(run.dial(1, None, &[])), "consent_withdrawn");
    assert_eq!(why(run.dial(1, Some(ConsentKind::Calls), &[])), "consent_withdrawn");
    // However many old ones are written down after it.
    for n in 0..=state::CONSENTS_MAX {
        run.agrees_at(ConsentKind::Calls, true, Some(start - DAY + i64::try_from(n).expect("few")));
    }
    assert_eq!(why(run.dial(1, None, &[])), "consent_withdrawn");
    run.agrees_at(ConsentKind::Calls, true, Some(start + HOUR));
    assert_eq!(permitted(run.dial(1, Some(ConsentKind::Calls), &[])).consent, Some(run.state.consents_ever));
    // A clock that is ahead does not make a consent outlive what is said a moment later.
    run.agrees_at(ConsentKind::Calls, true, Some(run.now_ms + 60_000));
    run.now_ms += 1_000;
    run.agrees(ConsentKind::Calls, false);
    assert_eq!(why(run.dial(2, None, &[])), "consent_withdrawn");
}

#[test]
fn stop_silences_everything_but_its_own_confirmation_and_only_start_takes_it_back() {
    let mut run = Run::new();
    run.add(state::STOP_REACHES, Source::Keyword, None);
    assert!(run.state.stopped_by_person(Channel::Sms, run.now_ms));
    for purpose in [Purpose::Answer, Purpose::Service, Purpose::Marketing, Purpose::Staff] {
        assert_eq!(why(run.message("m", purpose)), "do_not_contact", "{purpose:?}");
    }
    assert_eq!(why(run.dial(1, None, &[])), "do_not_contact");
    permitted(run.message("ok", Purpose::Confirmation));
    run.now_ms += HOUR;
    assert_eq!(why(run.message("late", Purpose::Confirmation)), "do_not_contact");
    let lift = Command::Lift { reach: Reach::Phone, source: Source::Keyword };
    let refused = run.by(person(Role::Owner), lift.clone());
    assert!(matches!(refused, Err(Rejection::Conflict { code, .. }) if code == "stopped_by_person"));
    run.system(lift);
    permitted(run.message("m", Purpose::Service));
}

#[test]
fn a_replayed_stop_does_not_undo_a_start() {
    let mut run = Run::new();
    let order =
        |message: &str, stop| Command::Order { masked: masked(), message: message.into(), stop, channel: Channel::Sms };
    run.add(Reach::Phone, Source::Staff, None);
    run.system(order("SM1", true));
    assert!(run.state.stopped_by_person(Channel::Sms, run.now_ms));
    run.system(order("SM2", false));
    assert!(!run.state.stopped_by_person(Channel::Sms, run.now_ms));
    let seq = run.state.seq;
    run.system(order("SM1", true));
    assert_eq!(run.state.seq, seq);
    assert!(run.state.blocked(Channel::Sms, run.now_ms).is_some(), "START takes off only what the person put on");
    let forged = run.by(person(Role::Owner), order("SM3", false));
    assert!(matches!(forged, Err(Rejection::Forbidden { .. })));
}

#[test]
fn an_entry_of_the_staff_forbids_to_reach_out_but_not_to_answer() {
    let mut run = Run::new();
    run.add(Reach::Phone, Source::Staff, None);
    permitted(run.message("answer", Purpose::Answer));
    permitted(run.message("alert", Purpose::Staff));
    assert_eq!(why(run.message("service", Purpose::Service)), "do_not_contact");
    let mut run = Run::new();
    run.add(Reach::Voice, Source::Staff, None);
    permitted(run.message("service", Purpose::Service));
    assert_eq!(why(run.dial(1, None, &[])), "do_not_contact");
}

#[test]
fn an_entry_ends_at_its_time() {
    let mut run = Run::new();
    let end = run.now_ms + DAY;
    run.add(Reach::Phone, Source::Staff, Some(end));
    assert_eq!(timer(&run.state), Some(end));
    assert_eq!(why(run.dial(1, None, &[])), "do_not_contact");
    run.now_ms = end;
    permitted(run.dial(1, None, &[]));
    let tick = on_timer(&run.state, end).expect("due");
    run.system(tick);
    assert_eq!(timer(&run.state), None);
    assert!(run.state.entries[0].lifted_ms.is_some());
}

#[test]
fn of_who_is_erased_no_words_stay_but_what_they_forbade_holds() {
    let mut run = Run::new();
    run.add(Reach::Phone, Source::Staff, None);
    run.agrees(ConsentKind::AiCalls, false);
    let owner = run.by(person(Role::Owner), Command::ForgetWords);
    assert!(matches!(owner, Err(Rejection::Forbidden { .. })), "only an erasure does that");
    run.system(Command::ForgetWords);
    let shown = serde_json::to_string(&run.state).expect("a state");
    for words in ["asked for it", "Call me.", "example.com"] {
        assert!(!shown.contains(words), "{words}");
    }
    assert_eq!(why(run.dial(1, None, &[])), "do_not_contact");
    run.system(Command::Lift { reach: Reach::Phone, source: Source::Staff });
    assert_eq!(why(run.dial(1, None, &[])), "consent_withdrawn");
    let seq = run.state.seq;
    run.system(Command::ForgetWords);
    assert_eq!(run.state.seq, seq, "what is gone is not written down again");
}

#[test]
fn who_may_do_what() {
    let mut run = Run::new();
    let entry = NewEntry {
        masked: masked(),
        reach: Reach::Phone,
        source: Source::Staff,
        reason: "no".into(),
        expires_ms: None,
    };
    let add = |entry: &NewEntry| Command::AddEntry(Box::new(entry.clone()));
    assert!(matches!(run.by(person(Role::Viewer), add(&entry)), Err(Rejection::Forbidden { .. })));
    let forged = NewEntry { source: Source::Keyword, ..entry.clone() };
    assert!(matches!(run.by(person(Role::Owner), add(&forged)), Err(Rejection::Invalid { .. })));
    run.by(person(Role::Rep), add(&entry)).expect("a rep may");
    let seq = run.state.seq;
    run.by(person(Role::Rep), add(&entry)).expect("again");
    assert_eq!(run.state.seq, seq, "what stands changes nothing");
    assert_eq!(run.state.entries[0].by, "u");
    let lift = Command::Lift { reach: Reach::Phone, source: Source::Staff };
    assert!(matches!(run.by(person(Role::Rep), lift.clone()), Err(Rejection::Forbidden { .. })));
    run.by(person(Role::Manager), lift).expect("a manager may");
    let dial = DialRequest { masked: masked(), dial: key(1), settings_version: 1, needs: None, caps: Vec::new() };
    assert!(matches!(
        run.by(person(Role::Owner), Command::AuthorizeDial(Box::new(dial))),
        Err(Rejection::Forbidden { .. })
    ));
    let visitor = Actor::Visitor { id: "v".into(), agent: "a".into() };
    assert!(matches!(run.by(visitor, Command::Get), Err(Rejection::NotFound { .. })));
}

#[test]
fn nothing_grows_without_end() {
    let mut run = Run::new();
    for n in 0..600_u32 {
        run.now_ms += 1_000;
        run.add(Reach::Phone, Source::Keyword, None);
        run.system(Command::Lift { reach: Reach::Phone, source: Source::Keyword });
        run.agrees(ConsentKind::Messages, n % 2 == 0);
        permitted(run.dial(n + 1, None, &[]));
        permitted(run.message(&format!("m{n}"), Purpose::Answer));
        if n == 0 {
            run.agrees(ConsentKind::Recording, true);
        }
    }
    assert_eq!(run.state.entries.len(), 1);
    assert_eq!(run.state.consents.len(), state::CONSENTS_MAX);
    assert!(
        run.state.consent(ConsentKind::Recording).is_some_and(|record| record.granted),
        "the newest of a kind stays"
    );
    assert_eq!(run.state.dials.len(), state::DIALS_MAX);
    assert_eq!(run.state.messages.len(), state::MESSAGES_MAX);
}

#[derive(Clone, Debug)]
enum Step {
    Add(Reach, Source),
    Lift(Reach, Source),
    Dial(u32),
    Message(u8),
    Settle(u32, bool),
    Consent(bool),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reach = proptest::sample::select(Reach::ALL.to_vec());
    let source = proptest::sample::select(Source::ALL.to_vec());
    let step = prop_oneof![
        (reach.clone(), source.clone()).prop_map(|(reach, source)| Step::Add(reach, source)),
        (reach, source).prop_map(|(reach, source)| Step::Lift(reach, source)),
        (1..6_u32).prop_map(Step::Dial),
        any::<u8>().prop_map(|n| Step::Message(n % 5)),
        (1..6_u32, any::<bool>()).prop_map(|(n, placed)| Step::Settle(n, placed)),
        any::<bool>().prop_map(Step::Consent),
        (0..200_000_000_u32).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn no_permit_is_ever_given_against_the_list_or_the_caps_and_the_journal_rebuilds_the_state(steps in steps()) {
        let mut run = Run::new();
        let cap = Cap { within_ms: DAY, dials: 3 };
        for step in steps {
            let before = run.state.clone();
            match step {
                Step::Add(reach, source) => run.add(reach, source, None),
                Step::Lift(reach, source) => {
                    let _ = run.by(Actor::System, Command::Lift { reach, source });
                }
                Step::Dial(n) => {
                    let blocked = before.blocked(Channel::Voice, run.now_ms).is_some();
                    if let Verdict::Permitted(permit) = run.dial(n, None, &[cap]) {
                        prop_assert!(!blocked, "a dial against the list");
                        let since = run.now_ms - cap.within_ms;
                        let counted = run.state.dials.iter().filter(|dial| dial.permit.at_ms > since).count();
                        prop_assert!(counted <= 3, "a dial above the cap");
                        prop_assert!(permit.seq <= run.state.seq);
                    }
                }
                Step::Message(n) => {
                    let own = before.stopped_by_person(Channel::Sms, run.now_ms);
                    let answered = matches!(run.message(&format!("m{n}"), Purpose::Answer), Verdict::Permitted(_));
                    prop_assert_eq!(answered, !own);
                }
                Step::Settle(n, placed) => {
                    let placed = if placed { Placed::Yes } else { Placed::No };
                    run.system(Command::Settle { dial: key(n), placed });
                }
                Step::Consent(granted) => run.agrees(ConsentKind::Messages, granted),
                Step::Wait(ms) => run.now_ms += i64::from(ms),
            }
        }
        let mut replayed = ContactGuard::default();
        for (event, seq, at_ms) in &run.events {
            let json = serde_json::to_string(event).unwrap();
            prop_assert!(!json.contains("4155550100"), "no number stands in the journal");
            let event: Event = serde_json::from_str(&json).unwrap();
            apply(&mut replayed, &event, *seq, *at_ms);
        }
        prop_assert_eq!(&replayed, &run.state);
        let json = serde_json::to_string(&Reply::State(Box::new(run.state.clone()))).unwrap();
        prop_assert_eq!(serde_json::from_str::<Reply>(&json).unwrap(), Reply::State(Box::new(run.state)));
    }
}

#[test]
fn a_wish_in_a_conversation_holds_until_that_conversation_or_the_persons_start_takes_it_back() {
    let wish = |conversation: &str, stop: bool| Command::Wish {
        masked: masked(),
        reach: Reach::Phone,
        conversation: conversation.into(),
        stop,
    };
    let mut run = Run::new();
    run.system(wish("talk", true));
    assert!(matches!(run.message("m1", Purpose::Service), Verdict::Refused(Refusal::DoNotContact { .. })));
    assert!(matches!(run.message("m2", Purpose::Answer), Verdict::Permitted(_)), "who writes themselves is answered");
    // Neither staff nor somebody who types the number elsewhere takes it back.
    let manager = Actor::User { id: "u".into(), role: Role::Owner, name: "U".into() };
    let lift = Command::Lift { reach: Reach::Phone, source: Source::Person };
    assert!(run.by(manager, lift).is_err());
    run.system(wish("another", true));
    run.system(wish("another", false));
    assert!(matches!(run.message("m3", Purpose::Service), Verdict::Refused(_)));
    let seq = run.state.seq;
    run.system(wish("talk", true));
    assert_eq!(run.state.seq, seq, "said twice it is one entry");
    run.system(wish("talk", false));
    assert!(matches!(run.message("m4", Purpose::Service), Verdict::Permitted(_)));
    // Their START by telephone takes back what was wished anywhere.
    run.system(wish("talk", true));
    let start = Command::Order { masked: masked(), message: "SM1".into(), stop: false, channel: Channel::Sms };
    run.system(start);
    assert!(matches!(run.message("m5", Purpose::Service), Verdict::Permitted(_)));
}
