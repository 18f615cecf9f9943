//! Who gets into which conversation, and who does not.

use super::*;
use crate::principal::Principal;

const HOUR: i64 = 3_600_000;
const WITHIN: i64 = CONTINUE_WITHIN_HOURS * HOUR;

struct Run {
    state: Thread,
    events: Vec<(Event, u64, i64)>,
    now_ms: i64,
}

impl Run {
    fn new() -> Self {
        Self { state: Thread::default(), events: Vec::new(), now_ms: 1_700_000_000_000 }
    }

    fn ask(&mut self, command: Command) -> Reply {
        let cx = Context {
            now_ms: self.now_ms,
            seq: self.state.seq,
            seed: [1; 32],
            principal: Principal::system("t".into()),
        };
        let decision = decide(&self.state, &cx, command).expect("accepted");
        for event in decision.events {
            let seq = self.state.seq + 1;
            apply(&mut self.state, &event, seq, self.now_ms);
            self.events.push((event, seq, self.now_ms));
        }
        decision.reply
    }

    fn heard(&mut self, message: &str, fresh: &str, code: Option<&str>) -> (String, Option<Proof>, Vec<String>) {
        self.heard_but(message, fresh, code, None)
    }

    fn heard_but(
        &mut self,
        message: &str,
        fresh: &str,
        code: Option<&str>,
        closed: Option<&str>,
    ) -> (String, Option<Proof>, Vec<String>) {
        let reply = self.ask(Command::Heard {
            agent: "a".into(),
            message: message.into(),
            fresh: fresh.into(),
            code: code.map(Into::into),
            closed: closed.map(Into::into),
            within_ms: WITHIN,
        });
        match reply {
            Reply::Goes { conversation, proof, link } => {
                (conversation.0, proof, link.into_iter().map(|id| id.0).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn wrote(&mut self, conversation: &str) {
        self.ask(Command::Wrote { agent: "a".into(), conversation: conversation.into() });
    }
}

#[test]
fn a_number_goes_on_in_its_own_conversation_for_three_days() {
    let mut run = Run::new();
    assert_eq!(run.heard("m1", "n1", None), ("n1".into(), Some(Proof::Began), vec![]));
    run.now_ms += WITHIN;
    assert_eq!(run.heard("m2", "n2", None), ("n1".into(), None, vec![]));
    run.now_ms += WITHIN;
    run.wrote("n1"); // Our own word keeps it going too.
    run.now_ms += WITHIN;
    assert_eq!(run.heard("m3", "n3", None).0, "n1");
    run.now_ms += WITHIN + 1;
    assert_eq!(run.heard("m4", "n4", None), ("n4".into(), Some(Proof::Began), vec![]));
}

#[test]
fn a_replayed_message_goes_where_it_went_whatever_happened_since() {
    let mut run = Run::new();
    run.heard("m1", "n1", None);
    run.now_ms += 2 * WITHIN;
    run.heard("m2", "n2", None);
    let seq = run.state.seq;
    assert_eq!(run.heard("m1", "n9", None), ("n1".into(), None, vec![]));
    assert_eq!(run.state.seq, seq, "and changes nothing");
}

#[test]
fn an_answer_to_a_conversations_own_message_joins_it() {
    let mut run = Run::new();
    run.wrote("widget");
    run.now_ms += HOUR;
    assert_eq!(run.heard("m1", "n1", None), ("widget".into(), Some(Proof::Answered), vec![]));
    let mut late = Run::new();
    late.wrote("widget");
    late.now_ms += WITHIN + 1;
    assert_eq!(late.heard("m1", "n1", None), ("n1".into(), Some(Proof::Began), vec![]), "not for ever");
}

#[test]
fn a_conversation_that_writes_to_a_strangers_number_gets_nothing_of_theirs() {
    // A stranger typed the victim's number in a widget and had a message sent there.
    let mut run = Run::new();
    run.heard("m1", "victim", None);
    run.wrote("stranger");
    assert_eq!(run.heard("m2", "n2", None), ("victim".into(), None, vec!["stranger".into()]), "linked, not joined");
    assert!(run.state.linked.contains(&"stranger".into()));
    assert_eq!(run.heard("m3", "n3", None), ("victim".into(), None, vec![]), "and linked once");
}

#[test]
fn of_two_conversations_that_wrote_neither_gets_the_answer() {
    let mut run = Run::new();
    run.wrote("one");
    run.wrote("two");
    assert_eq!(run.heard("m1", "n1", None), ("n1".into(), Some(Proof::Began), vec!["one".into(), "two".into()]));
}

#[test]
fn a_code_joins_a_number_without_a_conversation_and_only_links_one_that_has() {
    let mut run = Run::new();
    assert_eq!(run.heard("m1", "n1", Some("widget")), ("widget".into(), Some(Proof::Code), vec![]));
    let mut run = Run::new();
    run.heard("m1", "own", None);
    assert_eq!(run.heard("m2", "n2", Some("widget")), ("own".into(), None, vec!["widget".into()]));
}

#[test]
fn a_message_to_a_closed_conversation_begins_another_one() {
    let mut run = Run::new();
    run.heard("m1", "n1", None);
    assert_eq!(run.heard("m2", "n2", None).0, "n1");
    assert_eq!(run.heard_but("m2", "n2", None, Some("n1")), ("n2".into(), Some(Proof::Began), vec![]));
    assert_eq!(run.heard("m2", "n9", None).0, "n2", "and a replay finds it there");
    assert_eq!(run.heard("m1", "n9", None).0, "n1");
}

#[test]
fn merged_and_erased_conversations_are_followed_and_forgotten() {
    let mut run = Run::new();
    run.heard("m1", "n1", None);
    run.ask(Command::Moved { from: "n1".into(), into: "big".into() });
    assert_eq!(run.heard("m2", "n2", None).0, "big");
    assert_eq!(run.heard("m1", "n2", None).0, "big");
    run.ask(Command::Forget { conversation: "big".into() });
    assert_eq!(run.heard("m3", "n3", None), ("n3".into(), Some(Proof::Began), vec![]));
    assert!(!serde_json::to_string(&run.state).expect("JSON").contains("big"));
    let mut replayed = Thread::default();
    for (event, seq, at_ms) in &run.events {
        let json = serde_json::to_string(event).expect("JSON");
        apply(&mut replayed, &serde_json::from_str(&json).expect("an event"), *seq, *at_ms);
    }
    assert_eq!(replayed, run.state);
}

#[test]
fn nothing_grows_without_end() {
    let mut run = Run::new();
    for n in 0..2_000 {
        run.wrote(&format!("w{n}"));
        if n % 2 == 0 {
            run.heard(&format!("m{n}"), "n", None);
        }
    }
    assert!(run.state.seen.len() <= SEEN_MAX && run.state.wrote.len() <= 20 && run.state.linked.len() <= 50);
}

#[test]
fn nobody_but_the_service_asks() {
    let cx = Context {
        now_ms: 0,
        seq: 0,
        seed: [0; 32],
        principal: Principal { tenant: "t".into(), actor: Actor::Visitor { id: "v".into(), agent: "a".into() } },
    };
    assert!(matches!(decide(&Thread::default(), &cx, Command::Get), Err(Rejection::NotFound { .. })));
}

fn person(reply: Reply) -> (Option<String>, Vec<String>) {
    match reply {
        Reply::Person { conversation, link } => {
            (conversation.map(|id| id.0), link.into_iter().map(|id| id.0).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn belongs_to(claims: &[&str], gone: Option<&str>) -> Command {
    Command::Belongs {
        agent: "a".into(),
        claims: claims.iter().map(|id| (*id).into()).collect(),
        gone: gone.map(Into::into),
    }
}

#[test]
fn a_vouched_person_goes_on_in_the_first_conversation_and_others_are_linked_once() {
    let mut run = Run::new();
    assert_eq!(person(run.ask(belongs_to(&[], None))), (None, vec![]));
    assert_eq!(run.state.seq, 0, "nothing was said yet");
    assert_eq!(person(run.ask(belongs_to(&["web"], None))), (Some("web".into()), vec![]));
    assert_eq!(person(run.ask(belongs_to(&[], None))), (Some("web".into()), vec![]));
    // A conflict: it is linked, never joined, and said once.
    assert_eq!(person(run.ask(belongs_to(&["phone"], None))), (Some("web".into()), vec!["phone".into()]));
    let seq = run.state.seq;
    assert_eq!(person(run.ask(belongs_to(&["phone"], None))), (Some("web".into()), vec![]));
    assert_eq!(run.state.seq, seq);
    // One that is over gives way to what is there now.
    assert_eq!(person(run.ask(belongs_to(&["phone"], Some("web")))), (Some("phone".into()), vec![]));
    assert!(!run.state.linked.contains(&ConversationId::from("phone")));
}

#[test]
fn a_vouched_number_without_its_own_conversation_gets_the_persons_and_one_with_another_is_linked() {
    let vouch =
        |conversation: &str| Command::Vouch { agent: "a".into(), conversation: conversation.into(), within_ms: WITHIN };
    let mut run = Run::new();
    assert_eq!(person(run.ask(vouch("web"))), (Some("web".into()), vec![]));
    assert_eq!(run.heard("m1", "fresh", None).0, "web", "a message of that number goes on there");
    let mut run = Run::new();
    run.heard("m1", "text", None);
    assert_eq!(person(run.ask(vouch("web"))), (Some("text".into()), vec!["web".into()]));
    assert_eq!(run.heard("m2", "fresh", None).0, "text");
    run.now_ms += WITHIN + 1;
    assert_eq!(person(run.ask(vouch("web"))), (Some("web".into()), vec![]), "the old one is over");
}
