//! Calls within a conversation: what stands of what was said, what was only the beginning of other words, and what nobody heard.

use super::{
    Command, Errand, Event, Reply, State, Wish, apply,
    command::{Answer, Post, Posted},
    dialogue::{Facts, FormMove, Understanding},
    lead_message, qualified,
    spoken::{CallBegun, Spoken, errand, never_again},
    state::{Terms, TurnOutcome, Visitor},
    tests::{Run, meaning, person, system},
};
use crate::{
    bulletin,
    call::Untaken,
    catalog::scoring::Score,
    lead,
    principal::{Actor, Role},
    rejection::Rejection,
    vocabulary::{Channel, ConversationStatus, MessageRole},
};

fn begin(run: &mut Run, call: &str) -> Result<Reply, Rejection> {
    system(run, Command::CallBegan(Box::new(begun(call))))
}

/// Words that the same person left after the beep.
fn leaves(run: &mut Run, call: &str, text: &str) -> Result<Reply, Rejection> {
    system(run, Command::Voicemail { call: Box::new(begun(call)), text: text.into() })
}

fn begun(call: &str) -> CallBegun {
    CallBegun {
        conversation_id: "c".into(),
        agent_id: "a".into(),
        call: call.into(),
        visitor: Visitor { id: "tel-1".into(), phone: Some("+12175550100".into()), ..Visitor::default() },
        terms: Terms { max_messages: 50, ..Terms::default() },
        greeting: Some("Hello, this is Oak. How can I help?".into()),
        person: Some("+12175550100".into()),
        errand: None,
    }
}

fn words(call: &str, turn: u32, text: &str, heard: Option<&str>) -> Command {
    Command::Post(Box::new(Post {
        conversation_id: "c".into(),
        agent_id: "a".into(),
        client_message_id: Some(format!("{call}/{turn}/{text}")),
        text: text.into(),
        channel: Channel::Voice,
        visitor: Visitor::default(),
        terms: Terms { max_messages: 50, collect_leads: true, ..Terms::default() },
        agent_live: true,
        continues: true,
        carried: None,
        spoken: Some(Box::new(Spoken { call: call.into(), turn, heard: heard.map(Into::into), typed: false })),
    }))
}

fn say(run: &mut Run, turn: u32, text: &str, heard: Option<&str>) -> Posted {
    match system(run, words("k1", turn, text, heard)) {
        Ok(Reply::Posted(posted)) => posted,
        other => panic!("{other:?}"),
    }
}

fn lines(state: &State) -> Vec<(MessageRole, String)> {
    state.visible().map(|message| (message.role, message.content.clone())).collect()
}

fn replayed(run: &Run) {
    let mut again = State::default();
    for (event, seq, at_ms) in &run.events {
        let json = serde_json::to_string(event).expect("an event is JSON");
        apply(&mut again, &serde_json::from_str(&json).expect("and back"), *seq, *at_ms);
    }
    assert_eq!(again, run.state, "the journal rebuilds the state");
}

fn on_the_phone() -> Run {
    let mut run = Run::new();
    begin(&mut run, "k1").expect("it begins");
    run
}

#[test]
fn a_call_begins_a_conversation_with_its_greeting_and_once() {
    let mut run = on_the_phone();
    assert_eq!(run.state.channel, Channel::Voice);
    assert_eq!(lines(&run.state), [(MessageRole::Assistant, "Hello, this is Oak. How can I help?".to_owned())]);
    let seq = run.state.seq;
    begin(&mut run, "k1").expect("again");
    assert_eq!(run.state.seq, seq, "a call begins once");
    assert!(run.state.messages[0].call.is_some());
    replayed(&run);
}

#[test]
fn only_the_service_itself_brings_the_words_of_a_call() {
    let mut run = on_the_phone();
    let visitor = Actor::Visitor { id: "tel-1".into(), agent: "a".into() };
    for actor in [visitor, person("u", Role::Owner)] {
        let refused = run.ask(actor, words("k1", 1, "hello", None));
        assert!(matches!(refused, Err(Rejection::Forbidden { .. })), "{refused:?}");
    }
}

#[test]
fn a_call_goes_on_in_the_conversation_that_its_number_wrote_in() {
    let mut run = Run::new();
    run.post("m1", "Do you repair boilers?").expect("stands");
    run.answer("Yes, we do.").expect("answered");
    begin(&mut run, "k1").expect("the call joins");
    let posted = say(&mut run, 1, "When can you come?", Some("Hello, this is Oak. How can I help?"));
    assert!(posted.turn.is_some());
    assert_eq!(run.state.channel, Channel::Chat);
    assert!(run.state.channels.contains(&Channel::Voice));
    assert_eq!(run.state.visitor_messages, 2);
    replayed(&run);
}

#[test]
fn the_same_words_of_a_turn_are_the_same_message_however_often_they_come() {
    let mut run = on_the_phone();
    let first = say(&mut run, 1, "Are you open?", Some("Hello, this is Oak. How can I help?"));
    let seq = run.state.seq;
    let again = say(&mut run, 1, "Are you open?", Some("Hello, this is Oak. How can I help?"));
    assert!(again.repeated && run.state.seq == seq);
    assert_eq!(again.turn, first.turn);
    run.answer("We are open until six.").expect("answered");
    let after = say(&mut run, 1, "Are you open?", None);
    assert!(after.repeated, "also when it was answered and a socket comes back");
    assert_eq!(lines(&run.state).len(), 3);
}

#[test]
fn words_that_go_on_take_the_place_of_their_beginning_and_of_what_it_led_to() {
    let mut run = on_the_phone();
    say(&mut run, 1, "My number is 217", Some("Hello, this is Oak. How can I help?"));
    let (turn, attempt) = run.open();
    let understanding = Box::new(meaning(Some("+15552013344"), None));
    system(&mut run, Command::Understood { turn, attempt, understanding }).expect("understood");
    run.answer("Thanks, I have your number.").expect("answered before the caller went on");
    let before = run.state.contact.phone.clone();
    assert!(before.is_some());
    say(&mut run, 1, "My number is 217 555 0133, call me", Some("Hello, this is Oak. How can I help?"));
    assert_eq!(run.state.contact.phone, None, "what the half sentence meant is taken back");
    assert_eq!(
        lines(&run.state),
        [
            (MessageRole::Assistant, "Hello, this is Oak. How can I help?".to_owned()),
            (MessageRole::User, "My number is 217 555 0133, call me".to_owned()),
        ],
        "and its answer was never heard"
    );
    assert_eq!(run.state.visitor_messages, 1);
    replayed(&run);
}

#[test]
fn words_that_go_on_before_their_answer_are_answered_alone() {
    let mut run = on_the_phone();
    say(&mut run, 1, "I want", None);
    say(&mut run, 1, "I want an appointment", None);
    let open = run.state.open.clone().expect("open");
    let (turn, attempt) = run.open();
    assert_eq!(open.posts.len(), 1);
    let Ok(Reply::Brief(brief)) = system(&mut run, Command::Brief { turn, attempt }) else { panic!("a brief") };
    assert_eq!((brief.text.as_str(), brief.question.as_str()), ("I want an appointment", "I want an appointment"));
    replayed(&run);
}

#[test]
fn words_that_come_late_over_a_lost_connection_change_nothing() {
    let mut run = on_the_phone();
    say(&mut run, 1, "Hello there", None);
    say(&mut run, 2, "Are you open?", None);
    let before = run.state.clone();
    assert_eq!(system(&mut run, words("k1", 1, "Hello", None)), Err(Rejection::Superseded));
    assert_eq!(run.state, before);
}

#[test]
fn of_an_answer_only_what_the_caller_heard_stands() {
    let mut run = on_the_phone();
    say(&mut run, 1, "Are you open?", Some("Hello, this is Oak. How can I help?"));
    run.answer("We are open from nine to six. On Sundays we are closed.").expect("answered");
    say(&mut run, 2, "And on Sundays?", Some("we are open from nine to six"));
    let said = lines(&run.state);
    assert_eq!(said[2].1, "We are open from nine to six.");
    let message = &run.state.messages[2];
    assert_eq!(message.unheard.as_deref(), Some("On Sundays we are closed."));
    // And it is what the next answer is made from.
    let (turn, attempt) = run.open();
    let Ok(Reply::Brief(brief)) = system(&mut run, Command::Brief { turn, attempt }) else { panic!("a brief") };
    assert!(brief.history.iter().all(|line| !line.text.contains("Sundays we are closed")), "{:?}", brief.history);
    replayed(&run);
}

#[test]
fn an_answer_nobody_heard_at_all_was_not_said() {
    let mut run = on_the_phone();
    say(&mut run, 1, "Are you open?", None);
    run.answer("We are open from nine to six.").expect("answered");
    say(&mut run, 2, "Hello?", Some(""));
    assert!(lines(&run.state).iter().all(|(_, text)| !text.contains("nine")), "{:?}", lines(&run.state));
    let answered = run.state.turns.iter().filter(|turn| matches!(turn.outcome, TurnOutcome::Answered { .. })).count();
    assert_eq!(answered, 1, "it was made all the same");
}

#[test]
fn the_greeting_and_a_reminder_are_cut_where_the_caller_spoke() {
    let mut run = on_the_phone();
    let speak = |text: &str, id: &str| Command::Speak { call: "k1".into(), client_id: id.into(), text: text.into() };
    system(&mut run, speak("Are you still there?", "r1")).expect("said");
    let seq = run.state.seq;
    system(&mut run, speak("Are you still there?", "r1")).expect("again");
    assert_eq!(run.state.seq, seq, "a reminder with a name is said once");
    say(&mut run, 1, "Yes", Some("Hello, this is Oak. How can I help? Are you"));
    let said = lines(&run.state);
    assert_eq!(said[0].1, "Hello, this is Oak. How can I help?", "all of the first was heard");
    assert_eq!(said[1].1, "Are you");
}

#[test]
fn what_was_heard_of_an_answer_in_the_making_stands_as_said() {
    let mut run = on_the_phone();
    say(&mut run, 1, "Are you open?", Some("Hello, this is Oak. How can I help?"));
    let turn = run.open().0;
    say(&mut run, 2, "On Sundays I mean", Some("We are open"));
    let said = lines(&run.state);
    assert_eq!(said[2], (MessageRole::Assistant, "We are open".to_owned()));
    assert!(matches!(run.state.turn(&turn).map(|turn| &turn.outcome), Some(TurnOutcome::Superseded { .. })));
    let stale = Answer { turn, attempt: 1, text: "We are open from nine.".into(), ..Answer::default() };
    assert_eq!(system(&mut run, Command::Answered(Box::new(stale))), Err(Rejection::Superseded));
    replayed(&run);
}

#[test]
fn the_end_of_a_call_ends_what_was_being_made_for_it_and_takes_no_more_words() {
    let mut run = on_the_phone();
    say(&mut run, 1, "Are you open?", None);
    system(&mut run, Command::CallEnded { call: "k1".into() }).expect("over");
    assert!(run.state.open.is_none());
    assert_eq!(run.state.status, ConversationStatus::Active, "the person may still write");
    let late = system(&mut run, words("k1", 2, "hello?", None));
    assert!(matches!(late, Err(Rejection::Conflict { ref code, .. }) if code == "call_ended"), "{late:?}");
    let seq = run.state.seq;
    system(&mut run, Command::CallEnded { call: "k1".into() }).expect("again");
    assert_eq!(run.state.seq, seq);
    begin(&mut run, "k2").expect("another call");
    assert_eq!(run.state.calls.len(), 2);
    replayed(&run);
}

#[test]
fn an_answer_to_what_was_written_meanwhile_is_made_although_the_call_ends() {
    let mut run = on_the_phone();
    run.state.visitor.id = "v".into();
    run.post("m1", "I am writing as well").expect("stands");
    system(&mut run, Command::CallEnded { call: "k1".into() }).expect("over");
    assert!(run.state.open.is_some(), "the last word was written, and can be answered there");
}

#[test]
fn a_person_with_the_floor_answers_instead() {
    let mut run = on_the_phone();
    run.ask(person("u", Role::Rep), Command::Takeover).expect("taken");
    let posted = say(&mut run, 1, "Are you open?", None);
    assert_eq!(posted.turn, None);
    let said =
        Command::HumanMessage { client_message_id: None, text: "Rita here.".into(), channel: None, files: Vec::new() };
    run.ask(person("u", Role::Rep), said).expect("said");
    let last = run.state.messages.last().expect("a message");
    assert_eq!((last.channel, last.call.as_ref().map(|call| call.as_str())), (Channel::Voice, Some("k1")));
}

#[test]
fn what_was_left_after_the_beep_stands_once_as_the_callers_words_and_nobody_answers_it() {
    let mut run = Run::new();
    leaves(&mut run, "k1", "  My boiler leaks, please call back. ").expect("stands");
    assert_eq!(lines(&run.state), [(MessageRole::User, "My boiler leaks, please call back.".to_owned())]);
    let [message] = run.state.messages.as_slice() else { panic!("{:?}", run.state.messages) };
    assert!(message.voicemail && message.call == Some("k1".into()) && message.channel == Channel::Voice);
    assert!(run.state.open.is_none() && run.state.calls[0].ended_ms.is_some(), "nobody is on the line");
    assert_eq!((run.state.visitor.phone.as_deref(), run.state.visitor_messages), (Some("+12175550100"), 1));
    let seq = run.state.seq;
    leaves(&mut run, "k1", "Other words").expect("again");
    assert_eq!(run.state.seq, seq, "a call is written down once");
    assert!(matches!(leaves(&mut run, "k2", " "), Err(Rejection::Invalid { .. })), "no words are no message");
    leaves(&mut run, "k2", "Ann again.").expect("the next call");
    assert_eq!(lines(&run.state).len(), 2);
    let visitor = Actor::Visitor { id: "tel-1".into(), agent: "a".into() };
    let forged = Command::Voicemail { call: Box::new(begun("k3")), text: "Hi".into() };
    assert!(matches!(run.ask(visitor, forged), Err(Rejection::Forbidden { .. })));
    replayed(&run);
}

#[test]
fn what_was_left_after_the_beep_leaves_a_call_and_an_answer_that_go_on_alone() {
    let mut run = on_the_phone();
    let posted = say(&mut run, 1, "When are", None);
    leaves(&mut run, "k0", "I called before.").expect("stands");
    assert_eq!(run.state.open.as_ref().map(|open| open.id.clone()), posted.turn, "the answer is still made");
    // The caller goes on: the longer words take the place of the shorter ones as ever.
    say(&mut run, 1, "When are you open?", None);
    let said: Vec<String> = lines(&run.state).into_iter().map(|(_, text)| text).collect();
    assert!(said.contains(&"I called before.".to_owned()) && !said.contains(&"When are".to_owned()), "{said:?}");
    replayed(&run);
}

#[test]
fn a_closed_conversation_takes_no_call() {
    let mut run = Run::new();
    run.post("m1", "Hello").expect("stands");
    run.ask(super::tests::visitor(), Command::Close).expect("closed");
    let refused = begin(&mut run, "k1");
    assert!(matches!(refused, Err(Rejection::Conflict { ref code, .. }) if code == "conversation_closed"));
}

/// A call that was made for something.
fn called(run: &mut Run, call: &str, lead: Option<&str>) {
    let errand = Errand {
        campaign: "c1".into(),
        questions: vec!["What is it about?".into()],
        lead: lead.map(Into::into),
        ..Errand::default()
    };
    let begun = CallBegun {
        conversation_id: "c".into(),
        agent_id: "a".into(),
        call: call.into(),
        visitor: Visitor { id: "tel-1".into(), phone: Some("+12175550100".into()), ..Visitor::default() },
        terms: Terms { max_messages: 50, collect_leads: true, ..Terms::default() },
        greeting: Some("Hello".into()),
        person: Some("+12175550100".into()),
        errand: Some(Box::new(errand)),
    };
    system(run, Command::CallBegan(Box::new(begun))).expect("it begins");
}

/// What the caller's newest words meant.
fn understood(run: &mut Run, turn: &Posted, facts: Facts) {
    let understanding = Box::new(Understanding { facts, ..Understanding::default() });
    let turn = turn.turn.clone().expect("a turn");
    system(run, Command::Understood { turn, attempt: 1, understanding }).expect("understood");
}

#[test]
fn what_a_call_was_made_for_goes_with_the_call_and_what_was_wanted_stands_there() {
    let mut run = Run::new();
    called(&mut run, "k1", None);
    assert_eq!(run.state.dialogue.form.as_ref().map(|form| form.form.as_str()), Some("campaign:c1"));
    assert_eq!(errand(&run.state, &"k1".into()).map(|errand| errand.call.as_str()), Some("k1"));
    let turn = say(&mut run, 1, "Please stop calling me", None);
    let facts = Facts { wish: Some(Wish::NeverAgain), ..Facts::default() };
    understood(&mut run, &turn, facts);
    let numbers: Vec<&str> = run.events.iter().filter_map(|(event, ..)| never_again(&run.state, event)).collect();
    assert_eq!(numbers, ["+12175550100"], "the number they speak from, once");
    system(&mut run, Command::CallEnded { call: "k1".into() }).expect("over");
    assert!(
        run.state.dialogue.errand.is_none() && run.state.dialogue.form.is_none(),
        "the next call has nothing of it"
    );
    assert_eq!(errand(&run.state, &"k1".into()).and_then(|errand| errand.wish), Some(Wish::NeverAgain));
    replayed(&run);
    // Whoever calls us afterwards is not asked the campaign's questions.
    begin(&mut run, "k2").expect("another call");
    assert_eq!(errand(&run.state, &"k2".into()), None);
    replayed(&run);
}

#[test]
fn what_is_said_to_our_questions_is_asked_of_nobody() {
    let noted = |run: &mut Run| {
        let turn = say(run, 1, "It is about the boiler", None).turn.expect("a turn");
        let answer = Answer { turn, attempt: 1, text: "Thank you.".into(), question: true, ..Answer::default() };
        system(run, Command::Answered(Box::new(answer))).expect("answered");
        run.events.iter().any(|(event, ..)| matches!(event, Event::Unanswered { .. }))
    };
    let mut run = Run::new();
    called(&mut run, "k1", None);
    assert!(!noted(&mut run), "they answer us");
    let mut run = Run::new();
    begin(&mut run, "k1").expect("it begins");
    assert!(noted(&mut run), "they ask us");
}

#[test]
fn words_that_were_only_a_beginning_take_their_wish_along() {
    let mut run = Run::new();
    called(&mut run, "k1", None);
    let turn = say(&mut run, 1, "No", None);
    understood(&mut run, &turn, Facts { wish: Some(Wish::NotInterested), ..Facts::default() });
    say(&mut run, 1, "No problem, go on", None);
    assert_eq!(errand(&run.state, &"k1".into()).and_then(|errand| errand.wish), None);
    replayed(&run);
}

#[test]
fn answers_of_a_lead_that_is_called_go_to_that_lead_and_make_no_second_one() {
    let mut run = Run::new();
    called(&mut run, "k1", Some("lead-1"));
    let turn = say(&mut run, 1, "The boiler", None);
    let values = [("what_is_it_about".to_owned(), "The boiler".to_owned())].into();
    let form = FormMove::Done { form: "campaign:c1".into(), complete: true };
    understood(&mut run, &turn, Facts { values, form, ..Facts::default() });
    assert!(run.state.lead.is_none(), "the lead stands where it came from");
    system(&mut run, Command::CallEnded { call: "k1".into() }).expect("over");
    let told: Vec<_> = run.events.iter().filter_map(|(event, ..)| qualified(&run.state, event)).collect();
    let answers = [("what_is_it_about".to_owned(), "The boiler".to_owned())].into();
    assert_eq!(told, [("lead-1".into(), lead::Command::Qualify { answers })]);
    // Without a lead the call makes one, with its answers.
    let mut run = Run::new();
    called(&mut run, "k1", None);
    let turn = say(&mut run, 1, "The boiler", None);
    let values = [("what_is_it_about".to_owned(), "The boiler".to_owned())].into();
    let form = FormMove::Done { form: "campaign:c1".into(), complete: true };
    understood(&mut run, &turn, Facts { values, form, ..Facts::default() });
    let lead = run.state.lead.as_ref().expect("a lead");
    assert_eq!(lead.told.fields.get("what_is_it_about").map(String::as_str), Some("The boiler"));
    assert_eq!(lead.told.phone.as_deref(), Some("+12175550100"));
    // The board of the campaign tells of it: the bell would ring for thousands.
    let news = |run: &Run| {
        let captured = run.events.iter().find_map(|(event, ..)| lead_message(&run.state, event)).expect("captured");
        let (id, lead::Command::Capture { capture, .. }) = captured else { panic!("{captured:?}") };
        let (tenant, score) = ("t".into(), Score::default());
        bulletin::of_lead(&lead::State::default(), &lead::Event::Captured { id, tenant, capture, score, routing: 0 })
    };
    assert_eq!(news(&run), None);
    let mut called_in = Run::new();
    begin(&mut called_in, "k1").expect("it begins");
    called_in.state.terms.collect_leads = true;
    let turn = say(&mut called_in, 1, "I have no hot water", None);
    let form = FormMove::Done { form: "quote".into(), complete: true };
    understood(&mut called_in, &turn, Facts { form, ..Facts::default() });
    assert!(news(&called_in).is_some(), "who calls us is news");
}

#[test]
fn a_call_that_nobody_took_is_a_matter_for_people_once_for_each_time() {
    let mut run = on_the_phone();
    run.state.terms.alert_email = Some("owner@example.com".into());
    let failed = |at_ms| Command::TransferFailed {
        call: "k1".into(),
        at_ms,
        to: "+12175550177".into(),
        why: Untaken::Declined,
        phone: Some("+12175550100".into()),
    };
    let asked_ms = run.now_ms;
    system(&mut run, failed(asked_ms)).expect("noted");
    system(&mut run, failed(asked_ms)).expect("told again");
    assert_eq!((run.state.escalations.len(), run.state.alerts.len()), (1, 1));
    assert_eq!(run.state.status, ConversationStatus::Escalated);
    let reason = &run.state.escalations[0].reason;
    assert!(reason.contains("it was sent back") && reason.contains("call +12175550100 back"), "{reason}");
    run.now_ms += 60_000;
    let again_ms = run.now_ms;
    system(&mut run, failed(again_ms)).expect("another time");
    assert_eq!((run.state.escalations.len(), run.state.alerts.len()), (2, 2));
    assert!(run.ask(person("u", Role::Owner), failed(again_ms)).is_err(), "only the service says so");
}
