//! What is read from a visitor's words while a booking goes on, against a calendar that is only described here.

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    agent::config::{BusinessHours, OpenHours},
    calendar::{Provider, Span},
    catalog::scoring::Scoring,
    conversation::{
        confidential::Confidential,
        dialogue::{FormMove, Prompt, Understanding, understand},
    },
    vocabulary::Channel,
};

const ZONE: &str = "America/New_York";
/// Friday, 20 November 2026, noon in New York.
const NOW: i64 = 1_795_194_000_000;

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn salon() -> Settings {
    let settings = Settings { name: "Salon".into(), timezone: ZONE.into(), ..Settings::default() };
    settings
        .patched(&json!({ "providers": [{ "id": "anna", "name": "Anna Berg" }, { "id": "ben", "name": "Ben" }] }))
        .unwrap()
}

fn slot(starts: &str, provider: &str) -> Slot {
    let starts_ms = ms(starts);
    let span = Span { provider: provider.into(), starts_ms, ends_ms: starts_ms + 1_800_000, before_ms: 0, after_ms: 0 };
    Slot {
        span,
        kind: "consultation".into(),
        kind_name: "Consultation".into(),
        provider_name: Some("Anna Berg".into()),
    }
}

/// A dialogue with a calendar of which only the answers are known.
struct Talk {
    config: AgentConfig,
    confidential: Confidential,
    scoring: Scoring,
    settings: Settings,
    hours: BusinessHours,
    brief: Brief,
}

impl Talk {
    fn new() -> Self {
        let config = AgentConfig { tools: vec![TOOL.into()], ..AgentConfig::default() };
        let confidential = Confidential::of(&config);
        let brief = Brief { conversation_id: "talk".into(), ..Brief::default() };
        Self {
            config,
            confidential,
            scoring: Scoring::default(),
            settings: salon(),
            hours: BusinessHours::new(),
            brief,
        }
    }

    /// Reads a message: what is to be done, and what is understood once `outcome` has come of it.
    fn say(&mut self, text: &str, outcome: impl FnOnce(&Step) -> Outcome) -> Option<(Step, Understanding)> {
        self.brief.text = text.into();
        self.brief.question = text.into();
        let setting = Setting {
            config: &self.config,
            confidential: &self.confidential,
            scoring: &self.scoring,
            hours: &self.hours,
            timezone: ZONE,
            now_ms: NOW,
        };
        if !concerns(&setting, &self.brief) {
            return None;
        }
        let (config, brief) = prepared(&setting, &self.brief, &self.settings);
        let setting = Setting { config: &config, ..setting };
        let mut understood = understand(&setting, &brief);
        let step = step(&setting, &brief, &understood, &self.settings);
        let outcome = outcome(&step);
        steer(&setting, &brief, &mut understood, (&"c".into(), &self.settings), &step, outcome);
        // As the conversation folds it.
        let dialogue = &mut self.brief.dialogue;
        dialogue.values.extend(understood.facts.values.clone());
        match &understood.facts.form {
            FormMove::Same => {}
            FormMove::Going { progress } => dialogue.form = Some(progress.clone()),
            FormMove::Done { form, .. } => {
                dialogue.completed.insert(form.clone());
                dialogue.form = None;
            }
            FormMove::Cancelled { .. } => dialogue.form = None,
        }
        dialogue.told_closed |= understood.facts.told_closed;
        absorb(&mut dialogue.booking, &mut dialogue.agreed, &understood.facts.booking);
        Some((step, understood))
    }

    fn offered(&mut self, text: &str, slots: &[Slot]) -> (Step, Understanding) {
        let offered = slots.iter().map(|slot| Offered::of(slot, &self.settings)).collect();
        self.say(text, |_| Outcome::Slots { offered, others: false, taken: false }).unwrap()
    }
}

const TUESDAY_TWO: &str = "2026-11-24T19:00:00Z";
const TUESDAY_FOUR: &str = "2026-11-24T21:00:00Z";
const WEDNESDAY_TEN: &str = "2026-11-25T15:00:00Z";

fn three() -> [Slot; 3] {
    [slot(TUESDAY_TWO, "anna"), slot(TUESDAY_FOUR, "anna"), slot(WEDNESDAY_TEN, "ben")]
}

fn spoken(understood: &Understanding) -> String {
    let plan = &understood.plan;
    let asks = plan.asks.iter().map(|ask| ask.text.clone());
    plan.acknowledge
        .iter()
        .cloned()
        .chain(plan.direct.clone())
        .chain(plan.confirmation.clone())
        .chain(plan.offer.clone())
        .chain(asks)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_wish_for_a_day_is_a_question_to_the_calendar_and_its_slots_are_offered() {
    let mut talk = Talk::new();
    let (step, understood) = talk.offered("Can I come on Tuesday afternoon?", &three());
    let Step::Offer { query, exact_ms: None, phrase: Some(phrase), moving: None, over_days: false } = step else {
        panic!("{step:?}")
    };
    assert_eq!(phrase, "Tuesday afternoon");
    assert_eq!(
        (query.from_ms, query.to_ms, query.hours),
        (ms("2026-11-24T05:00:00Z"), ms("2026-11-25T05:00:00Z"), Some((12, 17)))
    );
    let said = spoken(&understood);
    assert_eq!(
        said,
        "I can offer you Tuesday, November 24 at 2:00 PM with Anna Berg, Tuesday, November 24 at 4:00 PM with Anna Berg or Wednesday, November 25 at 10:00 AM with Anna Berg (Eastern time). Which one suits you?"
    );
    let Some(Prompt::Slots { options, slots }) = &understood.plan.prompt else { panic!("slots") };
    assert_eq!((options.len(), slots[2].provider_id.as_deref()), (3, Some("ben")));
    assert!(!understood.plan.wants_knowledge && understood.facts.must_not_wait());
}

#[test]
fn a_slot_is_chosen_by_its_button_number_time_or_day() {
    for (text, chosen) in [
        ("Tuesday, November 24 at 4:00 PM with Anna Berg", Some(TUESDAY_FOUR)),
        ("the second one", Some(TUESDAY_FOUR)),
        ("1", Some(TUESDAY_TWO)),
        ("the last one please", Some(WEDNESDAY_TEN)),
        ("2pm works", Some(TUESDAY_TWO)),
        ("at 10", Some(WEDNESDAY_TEN)),
        ("Wednesday at ten in the morning", Some(WEDNESDAY_TEN)),
        ("the second one, my name is Tom Berg and my number is 319 555 0177", Some(TUESDAY_FOUR)),
        ("Tuesday after 3pm", Some(TUESDAY_FOUR)),
        ("Tuesday before 3pm", Some(TUESDAY_TWO)),
        ("Wednesday after 3pm would be best", None),
        ("thanks, bye", None),
        ("Wednesday", Some(WEDNESDAY_TEN)),
        ("either is fine", None),
        ("Tuesday", None),
        ("Thursday morning", None),
        ("something later", None),
        ("6pm", None),
    ] {
        let mut talk = Talk::new();
        talk.offered("can i come next week?", &three());
        let (step, _) = talk.say(text, |_| Outcome::Held).unwrap();
        let held = match &step {
            // Who gives name and number with it is booked at once.
            Step::Hold { slot } | Step::Book { slot, .. } => Some(slot.starts_ms),
            _ => None,
        };
        assert_eq!(held, chosen.map(ms), "{text}: {step:?}");
    }
}

#[test]
fn name_and_number_are_asked_only_while_unknown_and_then_it_is_booked() {
    let mut talk = Talk::new();
    talk.offered("I need an appointment", &three());
    let (_, held) = talk.say("2pm", |_| Outcome::Held).unwrap();
    let said = spoken(&held);
    assert!(
        said.contains("I'm holding Tuesday, November 24 at 2:00 PM with Anna Berg for you.") && said.contains("name"),
        "{said}"
    );
    let (step, asked) = talk.say("Jo Lee", |_| Outcome::Held).unwrap();
    assert!(matches!(step, Step::Hold { .. }), "held again while the rest is asked for: {step:?}");
    assert!(spoken(&asked).contains("number"), "{}", spoken(&asked));
    let settled = Settled {
        id: "a".into(),
        what: "Consultation".into(),
        when: "Tuesday".into(),
        file: Some("https://x.example/a.ics".into()),
        email: None,
    };
    let (step, booked) = talk.say("+1 415 555 0100", |_| Outcome::Booked(settled.clone())).unwrap();
    assert!(matches!(&step, Step::Book { slot, moving: None } if slot.starts_ms == ms(TUESDAY_TWO)), "{step:?}");
    assert_eq!(
        spoken(&booked),
        "You're booked: Consultation on Tuesday Eastern time. [Add it to your calendar](https://x.example/a.ics)"
    );
    assert!(talk.brief.dialogue.booking.is_none() && talk.brief.dialogue.agreed.len() == 1);
    // The next one asks for nothing that is known.
    talk.offered("I need an appointment", &three());
    let (step, _) = talk.say("the first", |_| Outcome::Booked(settled)).unwrap();
    assert!(matches!(step, Step::Book { .. }), "{step:?}");
}

#[test]
fn somebody_who_is_known_is_booked_with_the_choice() {
    let mut talk = Talk::new();
    talk.brief.visitor.name = Some("Jo".into());
    talk.brief.visitor.phone = Some("+14155550100".into());
    talk.offered("any openings tomorrow?", &three());
    let (step, _) = talk.say("1", |_| Outcome::Unavailable).unwrap();
    assert!(matches!(step, Step::Book { .. }), "{step:?}");
}

#[test]
fn a_question_in_between_is_answered_and_the_offer_stands() {
    let mut talk = Talk::new();
    talk.offered("can i come next week?", &three());
    let (step, understood) = talk.say("how much does a consultation cost?", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::Remind);
    assert!(understood.plan.wants_knowledge && understood.plan.prompt.is_some());
    talk.hours.insert("wed".into(), Some(OpenHours { open: "09:00".into(), close: "17:00".into() }));
    let (step, understood) = talk.say("are you open on Wednesday?", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::Remind, "that is no choice of the slot on Wednesday");
    assert!(spoken(&understood).starts_with("Yes, we're open on Wednesday from 9:00 AM to 5:00 PM."));
    let (step, _) = talk.say("the first one", |_| Outcome::Held).unwrap();
    assert!(matches!(step, Step::Hold { .. }), "{step:?}");
}

#[test]
fn where_a_link_can_have_no_name_it_stands_as_it_is() {
    let settled =
        Settled { when: "Tuesday".into(), file: Some("https://x.example/a.ics".into()), ..Settled::default() };
    let mut talk = Talk::new();
    talk.brief.channel.0 = Channel::Sms;
    talk.brief.visitor.name = Some("Jo".into());
    talk.brief.visitor.phone = Some("+14155550100".into());
    talk.offered("any openings tomorrow?", &three());
    let (_, booked) = talk.say("1", |_| Outcome::Booked(settled)).unwrap();
    assert!(spoken(&booked).ends_with("Add it to your calendar: https://x.example/a.ics"), "{}", spoken(&booked));
}

#[test]
fn who_wants_none_of_those_offered_is_offered_others_and_never_the_same_again() {
    for said in [
        "none of those work for me",
        "None of these times suit me.",
        "none",
        "neither",
        "those don't work",
        "Sorry, I can't make any of these",
        "that is not possible for me",
        "something later please",
        "do you have anything else?",
    ] {
        let mut talk = Talk::new();
        talk.offered("can i come next week?", &three());
        let (step, _) = talk.offered(said, &three());
        let Step::Offer { query, .. } = &step else { panic!("{said}: {step:?}") };
        assert!(query.from_ms > ms(WEDNESDAY_TEN), "{said}");
    }
    for (said, from, to) in [
        ("Thursday afternoon", "2026-11-26T05:00:00Z", "2026-11-27T05:00:00Z"),
        ("How about Thursday afternoon instead?", "2026-11-26T05:00:00Z", "2026-11-27T05:00:00Z"),
        ("None of these, I'd prefer Thursday afternoon", "2026-11-26T05:00:00Z", "2026-11-27T05:00:00Z"),
        ("another day please", "2026-11-26T05:00:00Z", "2026-12-18T05:00:00Z"),
    ] {
        for holds in [false, true] {
            let mut talk = Talk::new();
            talk.offered("can i come next week?", &three());
            if holds {
                talk.say("the first one", |_| Outcome::Held).unwrap();
            }
            let (step, _) = talk.offered(said, &three());
            let Step::Offer { query, .. } = &step else { panic!("{said}, {holds}: {step:?}") };
            assert_eq!((query.from_ms, query.to_ms), (ms(from), ms(to)), "{said}, {holds}");
        }
    }
    let mut talk = Talk::new();
    talk.offered("can i come next week?", &three());
    let (step, _) = talk.offered("anything earlier?", &three());
    assert!(matches!(&step, Step::Offer { query, .. } if query.to_ms == ms(TUESDAY_TWO)), "{step:?}");
}

#[test]
fn after_a_refusal_other_days_are_offered_and_what_is_wished_for_is_kept_to() {
    // Offered: Tuesday at two and four, Wednesday at ten.
    for (said, from, to, hours) in [
        ("none of those times suits me", "2026-11-26T05:00:00Z", "2026-12-18T05:00:00Z", None),
        ("none of those, mornings only", "2026-11-26T05:00:00Z", "2026-12-18T05:00:00Z", Some((0, 12))),
        ("I can't do any of these, later in the week please", "2026-11-26T05:00:00Z", "2026-11-30T05:00:00Z", None),
        ("those don't work, the week after would be better", "2026-11-30T05:00:00Z", "2026-12-07T05:00:00Z", None),
        ("Tuesday doesn't work for me", "2026-11-25T05:00:00Z", "2026-12-18T05:00:00Z", None),
        ("Tuesday doesn't work, how about Thursday?", "2026-11-26T05:00:00Z", "2026-11-27T05:00:00Z", None),
        ("I can't do mornings", "2026-11-20T17:00:00Z", "2026-12-18T05:00:00Z", Some((12, 24))),
    ] {
        let mut talk = Talk::new();
        talk.offered("can i come next week?", &three());
        let (step, _) = talk.offered(said, &three());
        let Step::Offer { query, over_days, .. } = &step else { panic!("{said}: {step:?}") };
        assert_eq!((query.from_ms, query.to_ms, query.hours), (ms(from), ms(to), hours), "{said}");
        assert_eq!(*over_days, !said.contains("Thursday"), "{said}");
    }
    // "Mornings only" is a wish, and chooses none of those offered.
    let mut talk = Talk::new();
    talk.offered("can i come next week?", &three());
    let (step, _) = talk.offered("mornings only please", &three());
    assert!(matches!(&step, Step::Offer { query, over_days: true, .. } if query.hours == Some((0, 12))), "{step:?}");
}

#[test]
fn a_time_without_a_day_is_meant_for_the_day_that_is_spoken_of() {
    let asked_for = |talk: &mut Talk, said: &str| match talk.offered(said, &three()).0 {
        Step::Offer { query, exact_ms, .. } => (query.from_ms, query.to_ms, query.hours, exact_ms),
        step => panic!("{said}: {step:?}"),
    };
    let wednesday_end = ms("2026-11-26T05:00:00Z");
    let mut talk = Talk::new();
    talk.offered("can i come next week?", &three());
    let three_pm = ms("2026-11-25T20:00:00Z");
    assert_eq!(asked_for(&mut talk, "Wednesday after 3pm would be best"), (three_pm, wednesday_end, None, None));
    // Ten was taken to be meant; whoever corrects it means that Wednesday.
    talk.say("the last one", |_| Outcome::Held).unwrap();
    assert_eq!(asked_for(&mut talk, "no, I said after 3pm"), (three_pm, wednesday_end, None, None));
    let mut talk = Talk::new();
    let when = "Wednesday, November 25 at 10:00 AM".to_owned();
    talk.brief.dialogue.agreed.push(Agreed { id: "a1".into(), calendar: "c".into(), when, canceled: false });
    let (from_ms, _, hours, _) = asked_for(&mut talk, "can we move it to the afternoon?");
    assert_eq!((from_ms, hours), (ms("2026-11-25T05:00:00Z"), Some((12, 17))), "from that day on");
    let mut talk = Talk::new();
    talk.offered("can i come on Tuesday?", &three()[..2]);
    assert_eq!(asked_for(&mut talk, "can you do 5pm?").3, Some(ms("2026-11-24T22:00:00Z")));
}

#[test]
fn slots_of_several_days_are_one_of_each() {
    let days = spread_over_days(
        vec![
            slot(TUESDAY_TWO, "anna"),
            slot(TUESDAY_FOUR, "anna"),
            slot(WEDNESDAY_TEN, "ben"),
            slot("2026-11-26T15:00:00Z", "ben"),
            slot("2026-11-27T15:00:00Z", "ben"),
        ],
        ZONE,
    );
    let starts: Vec<i64> = days.iter().map(|slot| slot.span.starts_ms).collect();
    assert_eq!(starts, [ms(TUESDAY_TWO), ms(WEDNESDAY_TEN), ms("2026-11-26T15:00:00Z")]);
    assert_eq!(spread_over_days(three().to_vec(), ZONE).len(), 3, "of two days there are more");
}

#[test]
fn what_is_added_to_an_appointment_is_noted_and_a_question_is_answered() {
    let booked = || {
        let mut talk = Talk::new();
        let agreed = Agreed { id: "a1".into(), calendar: "c".into(), when: "Monday".into(), canceled: false };
        talk.brief.dialogue.agreed.push(agreed);
        talk
    };
    for said in ["the gate code is 4411", "please ring the side bell", "thanks, and there's a dog"] {
        let (step, understood) = booked().say(said, |_| Outcome::Noted).unwrap();
        assert_eq!(step, Step::Note { appointment: "a1".into(), words: said.into(), asks: false }, "{said}");
        assert_eq!(spoken(&understood), "Thanks, I've added that to your appointment.");
        assert!(!understood.plan.wants_knowledge && understood.plan.small_talk.is_none(), "{said}");
        assert_eq!(understood.facts.need.as_deref(), Some(said), "the lead has it too");
        let (_, lost) = booked().say(said, |_| Outcome::Unavailable).unwrap();
        assert_eq!(spoken(&lost), "Thanks, I've noted that for the team.", "the calendar could not be asked");
    }
    let (step, both) = booked().say("The gate code is 4411. Do you take cards?", |_| Outcome::Noted).unwrap();
    assert!(matches!(&step, Step::Note { words, asks: true, .. } if words == "The gate code is 4411."), "{step:?}");
    assert!(both.plan.wants_knowledge && spoken(&both).contains("added"), "{both:?}");
    for said in ["do you take cards?", "thanks!", "see you then", "I want to talk to a person"] {
        let (step, _) = booked().say(said, |_| Outcome::None).unwrap();
        assert_eq!(step, Step::Leave, "{said}");
    }
    let (step, _) = booked().say("cancel it", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::AskCancel { appointment: "a1".into() });
    let (step, _) = booked().offered("can we move it to Wednesday?", &three());
    assert!(matches!(&step, Step::Offer { moving: Some(_), .. }), "{step:?}");
    let (step, _) = booked().offered("I would like to book another visit", &three());
    assert!(matches!(&step, Step::Offer { moving: None, .. }), "a second one is no addition: {step:?}");
}

#[test]
fn the_zone_is_said_once_where_the_visitor_may_think_of_another() {
    let offered = |channel: Channel, phone: Option<&str>| {
        let mut talk = Talk::new();
        talk.brief.channel.0 = channel;
        talk.brief.visitor.phone = phone.map(str::to_owned);
        let (_, first) = talk.offered("I would like to book a visit", &three());
        let (_, second) = talk.offered("none of those", &three());
        (spoken(&first), spoken(&second))
    };
    let (first, second) = offered(Channel::Chat, None);
    assert!(first.contains("(Eastern time). Which") && !second.contains("Eastern"), "{first} {second}");
    let (first, _) = offered(Channel::Voice, Some("+14155550100"));
    assert!(first.contains(", Eastern time. Which"), "a caller from California: {first}");
    let (first, _) = offered(Channel::Voice, Some("+12125550100"));
    assert!(!first.contains("Eastern"), "a caller from New York: {first}");
    let settled = Settled { when: "Tuesday at 2:00 PM".into(), what: "Visit".into(), ..Settled::default() };
    for (phone, said) in [("+14155550100", true), ("+12125550100", false)] {
        let mut talk = Talk::new();
        talk.brief.visitor.name = Some("Jo".into());
        talk.brief.visitor.phone = Some(phone.into());
        talk.offered("any openings tomorrow?", &three());
        let (_, booked) = talk.say("1", |_| Outcome::Booked(settled.clone())).unwrap();
        assert_eq!(spoken(&booked).contains("2:00 PM Eastern time."), said, "{}", spoken(&booked));
    }
}

#[test]
fn after_the_greeting_of_a_closed_business_a_time_is_no_contradiction() {
    let first = |channel: Channel, open: bool, only_open: bool| {
        let mut talk = Talk::new();
        talk.brief.channel.0 = channel;
        talk.config.business_hours_only = only_open;
        let day = if open { "fri" } else { "mon" };
        talk.hours.insert(day.into(), Some(OpenHours { open: "09:00".into(), close: "17:00".into() }));
        let (_, understood) = talk.offered("I would like to book a visit", &three());
        let closed = understood.plan.closed.clone().unwrap_or_default();
        let (_, again) = talk.offered("none of those", &three());
        (format!("{closed} {}", spoken(&understood)), again.plan.closed.is_some() || spoken(&again).contains("closed"))
    };
    for (channel, only_open) in [(Channel::Voice, false), (Channel::Voice, true), (Channel::Chat, true)] {
        let (said, again) = first(channel, false, only_open);
        assert!(said.trim_start().starts_with("Our office is closed right now, but I can still help"), "{said}");
        assert_eq!(said.matches("closed").count(), 1, "{said}");
        assert!(said.contains("I can offer you"), "{said}");
        assert!(!again, "once is enough");
    }
    assert!(!first(Channel::Voice, true, true).0.contains("closed"));
}

#[test]
fn who_comes_to_people_asks_where_before_it_is_booked() {
    let mut talk = Talk::new();
    talk.config.lead_fields.push(Field {
        name: "address".into(),
        label: "Service Address".into(),
        kind: FieldType::Text,
        required: true,
        options: Vec::new(),
        ask: "What's the address?".into(),
    });
    assert_eq!(kind_to_begin_with(&talk.config).map(|kind| kind.id), Some("service_call".into()));
    talk.brief.visitor.name = Some("Jo".into());
    talk.brief.visitor.phone = Some("+14155550100".into());
    talk.offered("I need an appointment", &three());
    let (step, held) = talk.say("2pm", |_| Outcome::Held).unwrap();
    assert!(matches!(step, Step::Hold { .. }) && spoken(&held).contains("What's the address?"), "{}", spoken(&held));
    let (step, _) = talk.say("12 Oak Street, Springfield", |_| Outcome::Unavailable).unwrap();
    assert!(matches!(step, Step::Book { .. }), "{step:?}");
    assert_eq!(talk.brief.dialogue.values.get("address").map(String::as_str), Some("12 Oak Street, Springfield"));
    assert_eq!(kind_to_begin_with(&Talk::new().config), None, "nobody is asked where they live who comes to a salon");
}

#[test]
fn a_kind_is_asked_for_where_there_are_several() {
    let mut talk = Talk::new();
    talk.settings = talk.settings.patched(&json!({ "types": [{ "id": "cut", "name": "Haircut", "duration_minutes": 30 }, { "id": "color", "name": "Color", "duration_minutes": 90 }] })).unwrap();
    let (step, asked) = talk.say("I'd like to book an appointment", |_| Outcome::None).unwrap();
    assert_eq!((step, spoken(&asked).as_str()), (Step::Ask, "What would you like to book: Haircut or Color?"));
    let (step, _) = talk.offered("color please", &three());
    assert!(matches!(&step, Step::Offer { query, .. } if query.kind.as_deref() == Some("color")), "{step:?}");
}

#[test]
fn somebody_who_was_asked_for_by_name_is() {
    let mut talk = Talk::new();
    let (step, _) = talk.offered("can i come to Ben on Monday?", &three());
    let Step::Offer { query, .. } = step else { panic!("{step:?}") };
    assert_eq!((query.provider.as_deref(), query.any_provider), (Some("ben"), false));
}

#[test]
fn an_appointment_is_moved_and_given_up_on_request_and_not_without_asking() {
    let mut talk = Talk::new();
    let agreed = Agreed { id: "a1".into(), calendar: "c".into(), when: "Monday".into(), canceled: false };
    talk.brief.dialogue.agreed.push(agreed);
    let (step, understood) = talk.say("I need to cancel my appointment", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::AskCancel { appointment: "a1".into() });
    assert!(spoken(&understood).contains("Shall I cancel it?"));
    let (step, _) = talk.say("No, keep it", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::KeepIt);
    let (step, _) = talk.offered("can we reschedule to Wednesday?", &three());
    assert!(matches!(&step, Step::Offer { moving: Some(_), .. }), "{step:?}");
    let (step, _) = talk.say("at 10", |_| Outcome::Unavailable).unwrap();
    assert!(matches!(&step, Step::Book { moving: Some(_), slot } if slot.starts_ms == ms(WEDNESDAY_TEN)), "{step:?}");
    talk.brief.dialogue.booking = None;
    talk.say("cancel my appointment", |_| Outcome::None).unwrap();
    let (step, understood) =
        talk.say("Yes, cancel it", |_| Outcome::Canceled { when: "Monday".into(), late: true }).unwrap();
    assert_eq!(step, Step::Cancel { appointment: "a1".into() });
    assert!(understood.facts.escalations.iter().any(|escalation| escalation.rule == "late_cancellation"));
    assert!(standing(&talk.brief).is_none());
    assert!(talk.say("cancel my appointment", |_| Outcome::None).is_none(), "there is none any more");
}

#[test]
fn nothing_is_booked_for_who_does_not_want_it_or_may_not() {
    let mut talk = Talk::new();
    assert!(talk.say("what are your hours?", |_| Outcome::None).is_none());
    talk.offered("I need an appointment", &three());
    let (step, understood) = talk.say("never mind", |_| Outcome::None).unwrap();
    assert_eq!(step, Step::Drop);
    assert!(spoken(&understood).contains("haven't booked") && talk.brief.dialogue.form.is_none());
    let mut shy = Talk::new();
    shy.config.collect_leads = false;
    shy.offered("I need an appointment", &three());
    let (step, _) = shy.say("2pm", |_| Outcome::Held).unwrap();
    assert!(matches!(step, Step::Hold { .. }), "who collects no addresses can be booked all the same: {step:?}");
    talk.brief.sandbox = true;
    assert!(talk.say("I need an appointment", |_| Outcome::None).is_none(), "a sandbox books nothing");
    let mut other = Talk::new();
    other.config.tools.clear();
    assert!(other.say("I need an appointment", |_| Outcome::None).is_none(), "its owner does not let it");
}

#[test]
fn nothing_free_is_said_and_a_person_offered() {
    let mut talk = Talk::new();
    let (_, understood) = talk
        .say("I need an appointment", |_| Outcome::Slots { offered: Vec::new(), others: true, taken: false })
        .unwrap();
    assert!(spoken(&understood).contains("can't find a free time"));
    assert!(talk.brief.dialogue.booking.is_none() && understood.facts.offer.is_some());
}

#[test]
fn offered_slots_lie_apart_where_there_are_enough() {
    let at = |minutes: i64| {
        let mut one = slot(TUESDAY_TWO, "anna");
        one.span.starts_ms += minutes * 60_000;
        one
    };
    let starts = |slots: Vec<Slot>| {
        slots.iter().map(|slot| (slot.span.starts_ms - ms(TUESDAY_TWO)) / 60_000).collect::<Vec<_>>()
    };
    assert_eq!(starts(spread(vec![at(0), at(30), at(60), at(90), at(120), at(200)])), [0, 90, 200]);
    assert_eq!(starts(spread(vec![at(0), at(30), at(60)])), [0, 30, 60]);
    assert!(spread(Vec::new()).is_empty());
    assert!(Provider::default().does("anything"));
}
