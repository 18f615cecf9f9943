//! What a receptionist owes a visitor besides an answer: each question its own, what was needed kept for the lead, and nobody told of what was answered.

mod support;

use colloquy_domain::{
    agent::config::OpenHours,
    conversation::{Command, NEED, Reply},
    vocabulary::{Channel, LeadIntent, Vertical},
};
use support::Talk;

fn said_by_rita(talk: &mut Talk, text: &str) {
    let said = Command::HumanMessage { client_message_id: None, text: text.into(), channel: None, files: Vec::new() };
    talk.ask(Talk::person(), said).expect("said");
}

fn plumber() -> Talk {
    Talk::with(Vertical::HomeServices)
        .knows("financing", "Jobs can be paid in twelve installments.")
        .knows("weekend", "We work on Saturdays.")
        .knows("hours", "We are open 9 to 5.")
}

#[test]
fn two_questions_in_quick_succession_get_an_answer_each() {
    let mut talk = plumber();
    talk.post("Do you offer financing?").expect("posted");
    let answer = talk.say("Do you work weekends?");
    assert_eq!(
        answer,
        "On \"Do you offer financing?\": Jobs can be paid in twelve installments.\n\nOn \"Do you work weekends?\": We work on Saturdays."
    );
    assert_eq!(talk.state.messages.last().expect("an answer").sources.len(), 2);
    assert!(talk.state.unanswered.is_empty());
}

#[test]
fn what_one_of_two_questions_misses_is_said_and_noted_and_the_other_is_answered() {
    let mut talk = plumber();
    talk.post("Do you offer financing?").expect("posted");
    let answer = talk.say("Do you sell bicycles?");
    assert!(answer.contains("twelve installments"), "{answer}");
    assert!(answer.contains("On \"Do you sell bicycles?\": Let me have a technician"), "{answer}");
    let Reply::State(state) = talk.ask(Talk::visitor(), Command::Get).expect("a state") else { panic!("the state") };
    let noted: Vec<&str> = state.unanswered.iter().map(|noted| noted.question.as_str()).collect();
    assert_eq!(noted, ["Do you sell bicycles?"]);
}

#[test]
fn after_a_handback_only_what_nobody_answered_is_answered_and_each_by_itself() {
    let mut talk = plumber();
    talk.ask(Talk::person(), Command::Takeover).expect_err("nobody has said anything yet");
    talk.say("Hello!");
    talk.ask(Talk::person(), Command::Takeover).expect("taken over");
    talk.say("What are your hours?");
    said_by_rita(&mut talk, "We close at five today.");
    talk.say("Do you offer financing?");
    talk.say("Do you work weekends?");
    talk.ask(Talk::person(), Command::Handback).expect("handed back");
    let answer = talk.answer().expect("an answer").content;
    assert!(!answer.contains("9 to 5"), "Rita has answered that: {answer}");
    assert!(
        answer.starts_with(
            "On \"Do you offer financing?\": Jobs can be paid in twelve installments.\n\nOn \"Do you work weekends?\""
        ),
        "{answer}"
    );
    talk.ask(Talk::person(), Command::Takeover).expect("taken over again");
    talk.say("Do you work weekends?");
    talk.say("hello?");
    talk.ask(Talk::person(), Command::Handback).expect("handed back again");
    let answer = talk.answer().expect("an answer").content;
    assert!(answer.starts_with("We work on Saturdays."), "one question is answered as such: {answer}");
}

#[test]
fn what_a_visitor_needs_is_in_the_lead_in_their_own_words() {
    for (said, need) in [
        (&["My water heater leaks"][..], Some("My water heater leaks")),
        (&["Hi", "the kitchen sink is clogged", "Do you work weekends?"], Some("the kitchen sink is clogged")),
        (&["Can you fix my leaking faucet?"], Some("Can you fix my leaking faucet?")),
        (&["Do you work weekends?", "thanks"], None),
        (&["I need a plumber"], None),
        (&["I'd like to book an appointment for tomorrow"], None),
    ] {
        let mut talk = plumber();
        for line in said {
            talk.say(line);
        }
        talk.say("I'm Ann Lee, 217-555-0133");
        let lead = talk.state.lead.as_ref().expect("a lead");
        assert_eq!(lead.told.fields.get(NEED).map(String::as_str), need, "{said:?}");
    }
}

#[test]
fn what_was_needed_is_not_asked_again_by_the_form_and_stands_in_the_lead_once() {
    let mut talk = plumber();
    talk.say("My water heater leaks");
    talk.say("Schedule a service call");
    assert_eq!(talk.value("description"), Some("My water heater leaks"));
    talk.say("Ann Lee");
    talk.say("217-555-0133");
    let lead = talk.state.lead.as_ref().expect("a lead");
    assert!(
        lead.told.fields.contains_key("description") && !lead.told.fields.contains_key(NEED),
        "{:?}",
        lead.told.fields
    );
}

#[test]
fn the_team_hears_of_a_price_question_only_if_nobody_answered_it() {
    let mut talk = Talk::with(Vertical::HomeServices).knows("tune", "A tune-up costs $89.");
    talk.say("how much is a tune-up?");
    assert!(talk.alerts().is_empty(), "{:?}", talk.alerts());
    assert!(talk.state.escalations.iter().any(|escalation| escalation.rule == "pricing_question"), "VRT-20");
    let answer = talk.say("how much is a new furnace?");
    assert!(answer.starts_with("For detailed pricing"), "{answer}");
    assert_eq!(talk.alerts().len(), 1, "the first was answered, this one was not: {:?}", talk.alerts());
    talk.say("and how much is a new boiler?");
    assert_eq!(talk.alerts().len(), 1, "once is enough");
    // A turn that was replaced still owes it, and so does one whose answers were not all of it.
    let mut quick = Talk::with(Vertical::HomeServices).knows("tune", "A tune-up costs $89.");
    quick.post("how much is a new furnace?").expect("posted");
    quick.say("how much is a tune-up?");
    assert_eq!(quick.alerts().len(), 1, "{:?}", quick.alerts());
}

#[test]
fn every_trade_hears_its_own_words_for_a_visit_and_nobody_elses() {
    for (trade, said) in [
        (Vertical::HomeServices, "I would like to book a visit"),
        (Vertical::HomeServices, "I need a technician to come by"),
        (Vertical::HomeServices, "could you send somebody round?"),
        (Vertical::DentalMedical, "I need a cleaning"),
        (Vertical::DentalMedical, "set up a check-up for my daughter please"),
        (Vertical::Legal, "I want to arrange a consultation"),
        (Vertical::RealEstate, "I'd like to arrange a viewing on Saturday"),
        (Vertical::SalonSpa, "can I get a haircut on Friday"),
        (Vertical::Custom, "I want to reserve a table for four"),
        (Vertical::Custom, "is it possible to set up a time?"),
    ] {
        let mut talk = Talk::with(trade);
        let answer = talk.say(said);
        assert_eq!(talk.state.dialogue.intent, Some(LeadIntent::BookAppointment), "{said}: {answer}");
        let form = talk.state.dialogue.form.as_ref().map(|form| form.form.as_str());
        assert!(form.is_some_and(|form| form != "contact" && form != "emergency"), "{said}: {form:?}, {answer}");
    }
    for trade in [Vertical::HomeServices, Vertical::Legal, Vertical::Ecommerce] {
        for said in ["I booked a visit yesterday, what is the address?", "book me a flight", "do you sell books"] {
            let mut talk = Talk::with(trade);
            talk.say(said);
            assert_eq!(talk.state.dialogue.intent, None, "{said}");
        }
    }
}

#[test]
fn in_an_emergency_it_is_said_once_that_people_were_alerted_and_nothing_is_sent_on_the_phone() {
    let mut talk = Talk::with(Vertical::HomeServices);
    talk.channel = Channel::Voice;
    let mut said = talk.say("my basement is flooding");
    assert!(said.contains("I've alerted our team."), "{said}");
    for line in ["12 Oak Street, Springfield", "217-555-0133", "water comes through the ceiling"] {
        said.push('\n');
        said.push_str(&talk.say(line));
    }
    assert_eq!(said.matches("alerted").count(), 1, "{said}");
    assert!(said.contains("I've updated the team with your address"), "{said}");
    assert!(said.contains("By giving me your details") && !said.contains("sending your details"), "{said}");
    // Help is not broken off for an appointment.
    let mut going = Talk::with(Vertical::HomeServices);
    going.say("my basement is flooding");
    let answer = going.say("can someone come out tonight?");
    assert_eq!(going.state.dialogue.form.as_ref().map(|form| form.form.as_str()), Some("emergency"), "{answer}");
    // In writing the notice is what the owner wrote.
    let mut written = Talk::with(Vertical::HomeServices);
    let said = written.say("my basement is flooding");
    assert!(said.contains("By sending your details"), "{said}");
}

#[test]
fn whether_it_is_open_is_answered_from_its_own_hours() {
    let mut talk = plumber();
    for day in ["mon", "tue", "wed", "thu", "fri"] {
        let open = OpenHours { open: "08:00".into(), close: "17:00".into() };
        talk.hours.insert(day.into(), Some(open));
    }
    let answer = talk.say("what are your hours on Sunday?");
    assert!(
        answer.starts_with("No, we're closed on Sunday. We're open Monday to Friday 8:00 AM to 5:00 PM."),
        "{answer}"
    );
    assert!(talk.say("are you open now?").starts_with("Yes, we're open now, until 5:00 PM today."));
    assert!(talk.state.unanswered.is_empty(), "{:?}", talk.state.unanswered);
    assert!(talk.say("what are your hours?").starts_with("We are open 9 to 5."), "all of them the knowledge has");
    let mut unknown = plumber();
    assert!(unknown.say("what are your hours on Sunday?").starts_with("We are open 9 to 5."));
}
