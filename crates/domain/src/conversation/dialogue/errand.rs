//! A call that we make, as the dialogue sees it: the campaign's questions are a form of its own, and what somebody says to being called at all is heard
//! before anything else.

use super::{
    Brief, FormMove, Setting, Understanding,
    lines::{ASK_WHEN, NEVER_AGAIN, NOT_INTERESTED, WITHOUT_A_TIME, when_agreed},
    mood::Mood,
    understand::Turn,
    when::find_when,
};
use crate::{
    agent::config::AgentConfig,
    catalog::template::IntakeForm,
    contact_guard::said::{self, Contacting, Tongue},
    conversation::errand::{Errand, Wish},
    text::Words,
    vocabulary::{Channel, Urgency},
};

/// Who says this wants to be called again.
const LATER: &[&str] = &[
    "call me back",
    "call back",
    "call me later",
    "call later",
    "call again",
    "call me again",
    "phone me later",
    "ring me later",
    "ring me back",
    "try me later",
    "try again later",
    "try me again",
    "another time",
    "bad time",
    "not a good time",
    "not now",
    "busy right now",
    "busy at the moment",
    "im busy",
    "i am busy",
    "im driving",
    "i am driving",
    "in a meeting",
];
/// What one does by telephone, with a time behind it: "ring me tomorrow at nine".
const CALLS: &[&str] = &["call me", "ring me", "phone me", "try me", "reach me", "call us"];
/// Who says this does not want it, whatever else they say.
const NO: &[&str] = &["not interested", "no interest", "leave me alone", "not for me", "not for us"];
/// Who says no more than this does not want it.
const SHORT_NO: &[&str] = &[
    "no thanks",
    "no thank you",
    "dont need it",
    "dont need this",
    "dont need that",
    "dont need any",
    "dont want it",
    "dont want this",
    "dont want that",
    "dont want any",
    "no need",
    "im good",
    "were good",
    "we are good",
];
/// How such a message begins that is nothing but a no, and its longest.
const PLAIN_NO: &[&str] = &["no", "nope", "nah"];
const PLAIN_WORDS_MAX: usize = 3;
/// The longest message that says no more than that.
const SHORT_WORDS_MAX: usize = 8;

/// The errand of the call that a turn was said in.
pub fn errand(brief: &Brief) -> Option<&Errand> {
    brief.dialogue.errand.as_deref().filter(|_| brief.channel.0 == Channel::Voice)
}

/// The configuration of a turn in a call that we made: the campaign's questions are a form. `None` in any other turn.
pub fn equipped(config: &AgentConfig, brief: &Brief) -> Option<AgentConfig> {
    let errand = errand(brief).filter(|errand| !errand.questions.is_empty())?;
    let mut config = config.clone();
    // What is answered is kept, also where nobody's address is collected.
    config.collect_leads = true;
    let asks = errand.asks();
    let names = asks.iter().map(|field| field.name.clone()).collect();
    for field in asks {
        // A question that is named like a field of the agent is that field.
        if super::field_of(&config, &field.name).is_none() {
            config.form_fields.push(field);
        }
    }
    config.intake_forms.push(IntakeForm {
        id: errand.form(),
        title: errand.title.clone(),
        intro: String::new(),
        fields: names,
        urgency: Urgency::Normal,
        auto_alert: false,
        alert: Vec::new(),
        triggers: Vec::new(),
        confirmation: String::new(),
    });
    Some(config)
}

/// Whether a turn only says what somebody wants of being called: then there is nothing else to understand, to book or to look up.
pub fn hears_wish(setting: &Setting<'_>, brief: &Brief) -> bool {
    match &brief.understood {
        Some(understood) => is_all(understood),
        None => {
            let words = Words::of(&brief.text);
            wish(setting, brief, &words).is_some() || contacting(brief, &words).is_some()
        }
    }
}

/// What somebody says to being called, if this is what they say.
fn wish(setting: &Setting<'_>, brief: &Brief, words: &Words) -> Option<Wish> {
    if brief.channel.0 != Channel::Voice {
        return None;
    }
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.find(phrase).is_some());
    let means = |phrases: &[&str]| phrases.iter().any(|phrase| words.means(phrase));
    if said::never_call(words) {
        return Some(Wish::NeverAgain);
    }
    let errand = errand(brief)?;
    let mood = Mood::of(&brief.text, words);
    let zone = errand.zone.as_deref().unwrap_or(setting.timezone);
    let when = find_when(&brief.text, setting.now_ms, zone);
    let at_ms = when.as_ref().and_then(|when| when.earliest_ms).filter(|at_ms| *at_ms > setting.now_ms);
    let asked_when = matches!(errand.wish, Some(Wish::Later { settled: false, .. }));
    // Times and refusals in the middle of a booking are about the appointment.
    let free = brief.dialogue.booking.is_none();
    if says(NO) {
        return Some(Wish::NotInterested);
    }
    if asked_when {
        return match at_ms {
            Some(_) => Some(Wish::Later { at_ms, settled: true }),
            None if mood.question => None,
            None => Some(Wish::Later { at_ms: None, settled: true }),
        };
    }
    if means(LATER) && free || means(CALLS) && when.is_some() {
        return Some(Wish::Later { at_ms, settled: at_ms.is_some() });
    }
    let asked = brief.dialogue.form.as_ref().is_some_and(|form| form.asked.is_some());
    let short = words.len() <= SHORT_WORDS_MAX && !mood.question && free && brief.dialogue.offer.is_none();
    // "No" answers a question that was asked; before there was one it answers the call.
    let plain = words.len() <= PLAIN_WORDS_MAX
        && words.all().first().is_some_and(|word| PLAIN_NO.contains(&word.text.as_str()));
    let declined = says(SHORT_NO) || plain && !asked && brief.dialogue.agreed.is_empty();
    (short && declined).then_some(Wish::NotInterested)
}

/// What a visitor of the website says of being contacted at all. Over lines of telephones it is heard before a turn begins.
fn contacting(brief: &Brief, words: &Words) -> Option<(Contacting, Tongue)> {
    let chat = matches!(brief.channel.0, Channel::Chat | Channel::Messenger | Channel::Linkedin);
    said::of_contacting(words, brief.dialogue.no_contact).filter(|_| chat)
}

impl Turn<'_> {
    /// Hears what a visitor says of being contacted. Whether that is all there is to this turn.
    pub(super) fn hear_contacting(&mut self) -> bool {
        let Some((contacting, tongue)) = contacting(self.brief, self.reading.words) else { return false };
        // "Don't contact me at 217-555-0133 any more": that is what they mean.
        self.read_contact_details();
        let told = super::form::contact(self.config, &self.known_now());
        let vouched = &self.brief.visitor;
        let known = [&told.phone, &told.email, &vouched.phone, &vouched.email].into_iter().any(Option::is_some);
        let contact = super::form::contact(self.config, &self.found.values);
        self.result.facts.values = std::mem::take(&mut self.found.values);
        self.result.facts.contact = contact;
        self.result.facts.contacting = Some(contacting);
        if contacting == Contacting::Never
            && let Some(form) = self.brief.dialogue.form.as_ref().map(|form| form.form.clone())
        {
            self.result.facts.form = FormMove::Cancelled { form };
        }
        self.plan().acknowledge.push(said::confirmed(contacting, tongue, known).to_owned());
        true
    }

    /// Hears what somebody says to being called. Whether that is all there is to this turn.
    pub(super) fn hear_wish(&mut self) -> bool {
        let Some(wish) = wish(self.setting, self.brief, self.reading.words) else { return false };
        let line = match wish {
            Wish::NotInterested => NOT_INTERESTED.to_owned(),
            Wish::NeverAgain => NEVER_AGAIN.to_owned(),
            Wish::Later { settled: false, .. } => ASK_WHEN.to_owned(),
            Wish::Later { at_ms: None, settled: true } => WITHOUT_A_TIME.to_owned(),
            Wish::Later { at_ms: Some(_), settled: true } => {
                let zone = errand(self.brief).and_then(|errand| errand.zone.as_deref());
                let zone = zone.unwrap_or(self.setting.timezone);
                let when = find_when(&self.brief.text, self.setting.now_ms, zone);
                when_agreed(&when.map(|when| when.phrase).unwrap_or_default())
            }
        };
        let form = errand(self.brief).map(Errand::form).filter(|form| {
            wish.ends_the_call() && self.brief.dialogue.form.as_ref().is_some_and(|going| going.form == *form)
        });
        self.result.facts.wish = Some(wish);
        if let Some(form) = form {
            self.result.facts.form = FormMove::Cancelled { form };
        }
        self.plan().acknowledge.push(line);
        true
    }

    /// Whether a field is a question of the campaign that this call is made for: whatever is said to it is its answer.
    pub(super) fn is_campaigns(&self, field: &crate::catalog::template::Field) -> bool {
        errand(self.brief).is_some_and(|errand| errand.asks().iter().any(|ask| ask == field))
    }
}

/// Whether nothing but what is owed is said: a model is not asked about a goodbye, nor about what the settings answer.
pub fn is_all(understanding: &Understanding) -> bool {
    let plan = &understanding.plan;
    let answered = plan.direct.is_some() && !plan.wants_knowledge;
    answered || understanding.facts.wish.is_some() || understanding.facts.contacting.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::scoring::Scoring,
        conversation::{
            confidential::Confidential,
            dialogue::{BriefChannel, Dialogue, FormProgress, understand},
        },
    };

    /// A Monday noon in San Francisco.
    const NOON: i64 = 1_795_464_000_000;

    fn brief(text: &str) -> Brief {
        let errand = Errand {
            campaign: "c1".into(),
            questions: vec!["Do you own your home?".into(), "When would you like to start?".into()],
            zone: Some("America/Los_Angeles".into()),
            ..Errand::default()
        };
        let form = FormProgress { form: errand.form(), ..FormProgress::default() };
        Brief {
            channel: BriefChannel(Channel::Voice),
            text: text.to_owned(),
            question: text.to_owned(),
            dialogue: Dialogue { errand: Some(Box::new(errand)), form: Some(form), ..Dialogue::default() },
            ..Brief::default()
        }
    }

    fn understood(brief: &Brief) -> Understanding {
        let base = AgentConfig::default();
        let config = equipped(&base, brief).unwrap_or(base);
        let (confidential, scoring, hours) = (Confidential::of(&config), Scoring::default(), Default::default());
        let setting = Setting {
            config: &config,
            confidential: &confidential,
            scoring: &scoring,
            hours: &hours,
            timezone: "Europe/Zurich",
            now_ms: NOON,
        };
        assert_eq!(hears_wish(&setting, brief), understand(&setting, brief).facts.wish.is_some());
        understand(&setting, brief)
    }

    fn heard(text: &str) -> Option<Wish> {
        understood(&brief(text)).facts.wish
    }

    #[test]
    fn what_somebody_says_to_being_called_is_heard() {
        let hour = 3_600_000;
        for text in [
            "Please stop calling me",
            "Don't call me again, ever",
            "take me off your list",
            "Do not call this number.",
            "remove my number please",
        ] {
            assert_eq!(heard(text), Some(Wish::NeverAgain), "{text}");
        }
        for text in ["I'm not interested", "No thanks.", "no", "We don't need it, thank you", "That is not for us"] {
            assert_eq!(heard(text), Some(Wish::NotInterested), "{text}");
        }
        for text in ["Can you call me back?", "This is a bad time", "I'm in a meeting"] {
            assert_eq!(heard(text), Some(Wish::Later { at_ms: None, settled: false }), "{text}");
        }
        assert_eq!(
            heard("Call me back in two hours"),
            Some(Wish::Later { at_ms: Some(NOON + 2 * hour), settled: true })
        );
        // In their own zone, not in that of the business.
        assert_eq!(
            heard("ring me tomorrow at 3 pm"),
            Some(Wish::Later { at_ms: Some(NOON + 27 * hour), settled: true })
        );
        for text in [
            "Hello?",
            "Who is this?",
            "Yes, what is it about?",
            "I would be interested",
            "I call my plumber Joe",
            "No, who is this?",
        ] {
            assert_eq!(heard(text), None, "{text}");
        }
        assert_eq!(heard("Don't call me before nine"), None, "they mean a time");
        let written = Brief { channel: BriefChannel(Channel::Chat), ..brief("stop calling me") };
        assert_eq!(understood(&written).facts.wish, None, "nobody is called there");
    }

    #[test]
    fn who_wants_to_be_called_again_is_asked_when_once() {
        let mut brief = brief("tomorrow at 9 am");
        let errand = |brief: &mut Brief| {
            brief.dialogue.errand.as_mut().expect("an errand").wish = Some(Wish::Later { at_ms: None, settled: false })
        };
        errand(&mut brief);
        assert!(matches!(understood(&brief).facts.wish, Some(Wish::Later { at_ms: Some(_), settled: true })));
        brief.text = "I really can't say".into();
        let settled = understood(&brief);
        assert_eq!(settled.facts.wish, Some(Wish::Later { at_ms: None, settled: true }));
        assert!(settled.plan.asks.is_empty(), "and asked nothing else");
    }

    #[test]
    fn the_campaigns_questions_are_asked_one_by_one_and_any_answer_is_taken() {
        let mut brief = brief("Hello, yes?");
        let first = understood(&brief);
        assert_eq!(first.plan.asks.len(), 1, "{first:?}");
        assert_eq!(first.plan.asks[0].text, "Do you own your home?");
        for (text, kept) in [("yes", "yes"), ("No", "No"), ("I need a quote for that", "I need a quote for that")] {
            let FormMove::Going { progress } = first.facts.form.clone() else { panic!("{first:?}") };
            brief.dialogue.form = Some(progress);
            brief.text = text.into();
            let second = understood(&brief);
            assert_eq!(second.facts.wish, None, "{text} answers the question");
            assert_eq!(second.facts.values.get("do_you_own_your_home").map(String::as_str), Some(kept), "{second:?}");
            assert_eq!(second.plan.asks[0].text, "When would you like to start?");
        }
        // Who asks something back is answered, and asked again.
        brief.text = "Why do you ask?".into();
        let aside = understood(&brief);
        assert!(aside.facts.values.is_empty() && aside.plan.asks[0].text == "Do you own your home?", "{aside:?}");
        // Who has had enough is asked nothing more.
        brief.text = "I am not interested".into();
        let over = understood(&brief);
        assert!(over.plan.asks.is_empty() && matches!(over.facts.form, FormMove::Cancelled { .. }), "{over:?}");
    }
}
