//! What came of a step with the calendar, put into what is said and what is journaled.

use super::{
    super::{
        Brief, Escalation, FormMove, FormProgress, Offer, Prompt, Setting, Understanding,
        alert::{self, About},
        form, lines,
    },
    Agreed, Booking, FORM, Move, Offered, SlotChoice, Step, listed, standing,
};
use crate::{
    calendar::Settings,
    campaign::{number, zones},
    catalog::template::{AlertChannel, Trigger},
    conversation::state::Contact,
    ids::{AppointmentId, CalendarId},
    local_time::{self, rfc3339},
    text,
    vocabulary::{Channel, EscalationAction, Urgency},
};

const ADDED: &str = "Thanks, I've added that to your appointment.";
const CLOSED_BUT_BOOKS: &str = "Our office is closed right now, but I can still help with appointments.";
const ASK_WHEN: &str = "Which day or time would suit you better?";
const DEMO: &str = "This was a demonstration: nobody expects you, and the time is free again in ten minutes.";
const ADD_TO_CALENDAR: &str = "Add it to your calendar";
const WHICH: &str = "Which one suits you?";
const TAKEN: &str = "I'm sorry, that time has just been taken.";
const NOTHING_FREE: &str =
    "I'm sorry, I can't find a free time. Would you like me to ask a team member to find one with you?";
const UNAVAILABLE: &str = "I'm sorry, I can't reach the calendar right now. Please try again in a moment.";
const DROPPED: &str = "No problem, I haven't booked anything. Is there anything else I can help with?";
const KEPT: &str = "Good, your appointment stays as it is.";
const CANCEL_CHOICES: [&str; 2] = ["Yes, cancel it", "No, keep it"];
const LATE: &str = "As this is at short notice, I've told the team.";
const LATE_REASON: &str = "An appointment was canceled at short notice.";

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing had to be done.
    None,
    /// Slots that are free.
    Slots {
        /// Some of them; none if nothing is free.
        offered: Vec<Offered>,
        /// What was named was not free: these are others.
        others: bool,
        /// Somebody else was faster.
        taken: bool,
    },
    /// The slot is held.
    Held,
    /// It is booked or moved.
    Booked(Settled),
    /// It is given up.
    Canceled {
        /// When it was, in words.
        when: String,
        /// With too little notice.
        late: bool,
    },
    /// What was added stands with the appointment.
    Noted,
    /// The calendar could not be asked.
    Unavailable,
}

/// An appointment as it was agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub id: AppointmentId,
    /// What was booked.
    pub what: String,
    /// When, in words, and with whom.
    pub when: String,
    /// Where its file is; none in the demonstration, where nothing stands.
    pub file: Option<String>,
    /// Where the confirmation went.
    pub email: Option<String>,
}

/// Who the appointment is for, as far as it is known after this message.
pub fn details(setting: &Setting<'_>, brief: &Brief, understanding: &Understanding) -> Contact {
    let mut values = brief.dialogue.values.clone();
    values.extend(understanding.facts.values.clone());
    let mut contact = form::contact(setting.config, &values);
    contact.name = contact.name.or_else(|| brief.visitor.name.clone());
    contact.email = contact.email.or_else(|| brief.visitor.email.clone());
    contact.phone = contact.phone.or_else(|| brief.visitor.phone.clone());
    contact
}

/// Puts what came of a step into the understanding of the turn.
pub fn steer(
    setting: &Setting<'_>,
    brief: &Brief,
    understanding: &mut Understanding,
    (calendar, settings): (&CalendarId, &Settings),
    step: &Step,
    outcome: Outcome,
) {
    let mut desk = Steering { setting, brief, understanding, calendar, settings };
    if *step == Step::Leave {
        return;
    }
    if let Step::Note { words, asks, .. } = step {
        desk.noted(words, *asks, outcome == Outcome::Noted);
        return;
    }
    match outcome {
        Outcome::Unavailable => {
            desk.take_over();
            desk.say(UNAVAILABLE.to_owned());
            desk.go_on(desk.booking());
        }
        Outcome::Slots { offered, others, taken } => desk.offer(step, offered, others, taken),
        Outcome::Held => desk.held(step),
        Outcome::Booked(settled) => desk.booked(step, settled),
        Outcome::Canceled { when, late } => desk.canceled(step, when, late),
        Outcome::Noted | Outcome::None => desk.without_calendar(step),
    }
}

struct Steering<'a> {
    setting: &'a Setting<'a>,
    brief: &'a Brief,
    understanding: &'a mut Understanding,
    calendar: &'a CalendarId,
    settings: &'a Settings,
}

impl Steering<'_> {
    /// The booking as it was, in this calendar.
    fn booking(&self) -> Booking {
        let mut booking = self.brief.dialogue.booking.as_deref().cloned().unwrap_or_default();
        booking.calendar = self.calendar.clone();
        booking
    }

    fn say(&mut self, line: String) {
        self.understanding.plan.acknowledge.push(line);
    }

    /// The calendar has the word: what the form would ask or conclude is not said.
    fn take_over(&mut self) {
        let plan = &mut self.understanding.plan;
        plan.asks.clear();
        plan.remarks.clear();
        plan.small_talk = None;
        plan.intro = None;
        plan.confirmation = None;
        plan.prompt = None;
        plan.offer = None;
        plan.wants_knowledge = false;
        plan.handled = true;
        // That details are only taken when the business is closed does not go with a time that is booked.
        if plan.closed.is_some() {
            plan.closed = (!self.brief.dialogue.told_closed).then(|| CLOSED_BUT_BOOKS.to_owned());
        }
        // Lines of the form that the calendar's own replace: that values were noted, that the form was stopped.
        plan.acknowledge.clear();
        self.understanding.facts.offer = None;
        self.understanding.facts.signals.remove("form_completed");
    }

    /// The booking goes on; the form waits without a question.
    fn go_on(&mut self, booking: Booking) {
        let progress = match &self.understanding.facts.form {
            FormMove::Going { progress } if progress.form == FORM => progress.clone(),
            FormMove::Going { .. } | FormMove::Done { .. } | FormMove::Cancelled { .. } | FormMove::Same => {
                FormProgress { form: FORM.to_owned(), ..FormProgress::default() }
            }
        };
        if booking.moving.is_none() && booking.canceling.is_none() {
            self.understanding.facts.form =
                FormMove::Going { progress: FormProgress { asked: None, tries: 0, reminded: false, ..progress } };
        }
        self.understanding.facts.booking = Move::Going { booking: Box::new(booking) };
    }

    fn end(&mut self, agreed: Option<Agreed>, complete: bool) {
        let going = self.brief.dialogue.form.as_ref().is_some_and(|form| form.form == FORM);
        let own = match &self.understanding.facts.form {
            FormMove::Going { progress } => progress.form == FORM,
            FormMove::Done { form, .. } | FormMove::Cancelled { form } => form == FORM,
            FormMove::Same => false,
        };
        if going || own {
            self.understanding.facts.form = if complete {
                FormMove::Done { form: FORM.to_owned(), complete: true }
            } else {
                FormMove::Cancelled { form: FORM.to_owned() }
            };
        }
        self.understanding.facts.booking = Move::Ended { agreed };
    }

    fn offer(&mut self, step: &Step, offered: Vec<Offered>, others: bool, taken: bool) {
        self.take_over();
        self.say_that_it_books_when_closed();
        if taken {
            self.say(TAKEN.to_owned());
        }
        let moving = match step {
            Step::Offer { moving, .. } | Step::Book { moving, .. } => moving.clone(),
            _ => self.booking().moving,
        };
        if offered.is_empty() {
            self.understanding.plan.offer = Some(NOTHING_FREE.to_owned());
            self.understanding.facts.offer = Some(Offer::Person);
            self.end(None, false);
            return;
        }
        let labels: Vec<String> = offered.iter().map(|slot| slot.label.clone()).collect();
        let phrase = match step {
            Step::Offer { phrase, .. } => phrase.clone(),
            _ => None,
        };
        let begins = match phrase.filter(|_| others && !taken) {
            Some(phrase) => format!(
                "I'm sorry, there is nothing free for \"{}\". The next free times are",
                text::shorten(&phrase, 60)
            ),
            None => "I can offer you".to_owned(),
        };
        // Once: whoever has heard it knows which clock is meant.
        let first = self.brief.dialogue.booking.as_ref().is_none_or(|booking| booking.offered.is_empty());
        let zone = if first { self.zone(offered[0].starts_ms) } else { None };
        let zone = zone.map_or_else(String::new, |zone| match self.brief.channel.0 {
            Channel::Voice => format!(", {zone}"),
            Channel::Chat
            | Channel::Sms
            | Channel::Whatsapp
            | Channel::Email
            | Channel::Linkedin
            | Channel::Messenger => format!(" ({zone})"),
        });
        self.say(format!(
            "{begins} {}{zone}. {}",
            listed(&labels),
            if labels.len() > 1 { WHICH } else { "Does that suit you?" }
        ));
        self.show(&offered);
        let booking = Booking { offered, chosen: None, moving, canceling: None, ..self.booking() };
        self.go_on(booking);
    }

    /// After the greeting of a closed business a time is no contradiction, if it is said that it is one for when it is open again.
    fn say_that_it_books_when_closed(&mut self) {
        let zone = local_time::zone_or_utc(self.setting.timezone);
        let open = local_time::is_open(self.setting.hours, &zone, self.setting.now_ms);
        let begins = self.brief.dialogue.booking.is_none();
        // Where only messages are taken the plan has it already.
        if self.brief.channel.0 == Channel::Voice && !open && begins && self.understanding.plan.closed.is_none() {
            self.say(CLOSED_BUT_BOOKS.to_owned());
        }
    }

    /// The calendar's zone in words, where the visitor may think of another one.
    fn zone(&self, at_ms: i64) -> Option<String> {
        let values = &self.brief.dialogue.values;
        let told = form::contact(self.setting.config, values).phone;
        let given = form::contact(self.setting.config, &self.understanding.facts.values).phone;
        let number = given.or(told).or_else(|| self.brief.visitor.phone.clone());
        let own = local_time::zone_or_utc(&self.settings.timezone);
        let same = number.is_some_and(|number| {
            let zones = zones::of(&number, &number::country(&number).unwrap_or_default());
            !zones.is_empty() && zones.iter().all(|zone| local_time::same_clock(&own, zone, at_ms))
        });
        if same { None } else { Some(local_time::zone_phrase(&self.settings.timezone, at_ms)) }
    }

    /// What was added stands: it is said so, and only what was asked besides is looked up.
    fn noted(&mut self, words: &str, asks: bool, stands: bool) {
        let plan = &mut self.understanding.plan;
        plan.acknowledge.retain(|line| line != lines::NOTED);
        let line = if stands { ADDED } else { lines::NOTED }.to_owned();
        plan.small_talk = None;
        plan.closed = None;
        if asks {
            plan.acknowledge.push(line);
        } else {
            // That is all there is to say: neither the knowledge nor a model is asked.
            plan.direct = Some(line);
            plan.wants_knowledge = false;
            plan.handled = true;
            plan.soft.clear();
            plan.unless_answered = None;
        }
        self.understanding.facts.need.get_or_insert_with(|| words.to_owned());
    }

    fn show(&mut self, offered: &[Offered]) {
        let slots = offered
            .iter()
            .map(|slot| SlotChoice {
                starts_at: rfc3339(slot.starts_ms),
                label: slot.label.clone(),
                provider_id: Some(slot.provider.clone()).filter(|provider| !provider.is_empty()),
            })
            .collect();
        let options = offered.iter().map(|slot| slot.label.clone()).collect();
        self.understanding.plan.prompt = Some(Prompt::Slots { options, slots });
    }

    /// The slot is held: the form asks for what is missing, and that is all there is to do.
    fn held(&mut self, step: &Step) {
        let Step::Hold { slot } = step else { return };
        let mut booking = self.booking();
        let first = booking.chosen.as_ref() != Some(slot);
        if first {
            let plan = &mut self.understanding.plan;
            plan.acknowledge.retain(|line| line != lines::NOTED);
            plan.acknowledge.insert(0, format!("Great, I'm holding {} for you.", slot.label));
            plan.small_talk = None;
            plan.intro = None;
            plan.wants_knowledge = false;
        }
        self.understanding.plan.handled = true;
        booking.chosen = Some(slot.clone());
        self.understanding.facts.booking = Move::Going { booking: Box::new(booking) };
    }

    fn booked(&mut self, step: &Step, settled: Settled) {
        let moved = self.booking().moving.is_some();
        self.take_over();
        let zone = match step {
            Step::Book { slot, .. } => self.zone(slot.starts_ms),
            _ => None,
        };
        let when = &zone.map_or_else(|| settled.when.clone(), |zone| format!("{} {zone}", settled.when));
        let what = &settled.what;
        let said = if moved {
            format!("Your appointment now is on {when}: {what}.")
        } else {
            format!("You're booked: {what} on {when}.")
        };
        let mailed =
            settled.email.as_ref().map(|to| format!(" A confirmation is on its way to {to}.")).unwrap_or_default();
        let after = match (&settled.file, self.brief.channel.0) {
            (None, _) => format!(" {DEMO}"),
            // An address is for the eye.
            (Some(_), Channel::Voice) => String::new(),
            // Where a link can have a name, nobody has to look at what is behind it.
            (Some(file), Channel::Chat) => format!(" [{ADD_TO_CALENDAR}]({file})"),
            (
                Some(file),
                Channel::Sms | Channel::Whatsapp | Channel::Email | Channel::Linkedin | Channel::Messenger,
            ) => format!(" {ADD_TO_CALENDAR}: {file}"),
        };
        self.understanding.plan.confirmation = Some(format!("{said}{mailed}{after}"));
        self.understanding.facts.signals.insert("form_completed".to_owned());
        let agreed =
            Agreed { id: settled.id, calendar: self.calendar.clone(), when: settled.when.clone(), canceled: false };
        self.end(Some(agreed), true);
    }

    fn canceled(&mut self, step: &Step, when: String, late: bool) {
        let Step::Cancel { appointment } = step else { return };
        self.take_over();
        self.say(format!("Your appointment on {when} is canceled."));
        if late {
            self.tell_late(&when);
        }
        let agreed = Agreed { id: appointment.clone(), calendar: self.calendar.clone(), when, canceled: true };
        self.end(Some(agreed), false);
    }

    /// Too little notice: people are told, in the words of the trade where it has some (APT-9).
    fn tell_late(&mut self, when: &str) {
        let config = self.setting.config;
        let rule = config.escalation_rules.iter().find(|rule| matches!(rule.trigger, Trigger::WithinHours { .. }));
        let said = rule.map(|rule| text::fill(&rule.reply, &config.variables)).filter(|reply| !reply.is_empty());
        self.say(said.unwrap_or_else(|| LATE.to_owned()));
        let id = rule.map_or("late_cancellation", |rule| rule.id.as_str());
        let urgency = rule.and_then(|rule| rule.urgency).unwrap_or(Urgency::High);
        let channels = rule.map_or_else(|| vec![AlertChannel::Email], |rule| rule.notify.clone());
        let reason = format!("{LATE_REASON} It was on {when}.");
        let about = About { id, heading: "Late cancellation", reason: &reason, urgency };
        let drafts = alert::drafts(config, self.brief, &self.brief.dialogue.values, &channels, &about);
        let facts = &mut self.understanding.facts;
        facts.urgency = Some(facts.urgency.map_or(urgency, |own| own.max(urgency)));
        if config.escalation_enabled {
            facts.escalations.push(Escalation {
                rule: id.to_owned(),
                action: rule.map_or(EscalationAction::SoftEscalate, |rule| rule.action),
                urgency: Some(urgency),
                reason,
                to: drafts.first().map(|draft| draft.to.clone()),
            });
        }
        facts.alerts.extend(drafts);
    }

    /// Steps that need no calendar.
    fn without_calendar(&mut self, step: &Step) {
        match step {
            Step::Leave
            | Step::Offer { .. }
            | Step::Hold { .. }
            | Step::Book { .. }
            | Step::Cancel { .. }
            | Step::Note { .. } => {}
            // The form's own question for the kind stands.
            Step::Ask => {
                self.understanding.plan.wants_knowledge &=
                    self.understanding.mood.question && !self.understanding.plan.handled;
                let booking = self.booking();
                self.understanding.facts.booking = Move::Going { booking: Box::new(booking) };
            }
            Step::Remind => {
                let booking = self.booking();
                let wants = self.understanding.plan.wants_knowledge;
                let answer = self.understanding.plan.direct.take();
                self.take_over();
                self.understanding.plan.direct = answer;
                self.understanding.plan.wants_knowledge = wants && self.understanding.mood.question;
                let labels: Vec<String> = booking.offered.iter().map(|slot| slot.label.clone()).collect();
                // After the answer to what was asked.
                self.understanding.plan.offer =
                    Some(format!("The times I can offer you are {}. {WHICH}", listed(&labels)));
                self.show(&booking.offered);
                self.go_on(booking);
            }
            Step::AskWhen => {
                let booking = self.booking();
                self.take_over();
                self.say(ASK_WHEN.to_owned());
                self.go_on(booking);
            }
            Step::Drop => {
                self.take_over();
                self.say(DROPPED.to_owned());
                self.end(None, false);
            }
            Step::KeepIt => {
                self.take_over();
                self.say(KEPT.to_owned());
                self.end(None, false);
            }
            Step::AskCancel { appointment } => {
                self.take_over();
                let when = standing(self.brief).map(|agreed| agreed.when.clone()).unwrap_or_default();
                self.say(format!("Your appointment is on {when}. Shall I cancel it?"));
                let options = CANCEL_CHOICES.map(str::to_owned).to_vec();
                self.understanding.plan.prompt = Some(Prompt::QuickReplies { options, field: None });
                let booking = Booking {
                    calendar: self.calendar.clone(),
                    canceling: Some(appointment.clone()),
                    ..Booking::default()
                };
                self.go_on(booking);
            }
        }
    }
}
