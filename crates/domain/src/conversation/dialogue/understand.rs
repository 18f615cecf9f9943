//! From words to facts and a plan: values captured, forms begun and moved on, rules set off, what the answer owes the visitor.

use std::collections::BTreeMap;

use super::{
    Brief, FormProgress, Mood, Offer, Plan, Prompt, Setting, Understanding,
    booking::wish,
    extract::{self, Extracted, Reading},
    form, lines, names, rules,
};
use crate::{
    agent::config::AgentConfig,
    catalog::template::{Field, IntakeForm, NoticeWhen},
    text::{self, Words},
    vocabulary::{FieldType, LeadIntent, Urgency},
};

/// Words from which a message that begins a form is kept as its description.
const DESCRIPTION_WORDS_MIN: usize = 5;
/// Words up to which an answer with a question mark is only an answer ("plumbing?").
pub(super) const BARE_ANSWER_WORDS_MAX: usize = 3;

/// Reads the visitor's words against the agent's configuration and where the dialogue stands. Deterministic: the same values give the same result.
pub fn understand(setting: &Setting<'_>, brief: &Brief) -> Understanding {
    if let Some(understood) = &brief.understood {
        return (**understood).clone();
    }
    let words = Words::of(&brief.text);
    let mut turn = Turn::new(setting, brief, &words);
    if turn.hear_wish() || turn.hear_contacting() {
        return turn.finish();
    }
    turn.read_contact_details();
    turn.answer_what_was_asked();
    turn.take_up_offer();
    turn.find_intent();
    turn.begin_form();
    turn.take_up_invitation();
    turn.set_off_rules();
    turn.move_form_on();
    turn.say_closed();
    turn.tell_hours();
    turn.offer_to_go_on();
    turn.small_talk();
    turn.give_notices();
    turn.finish()
}

/// What became of the question asked last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing was asked, or the message was about something else.
    Aside,
    Answered,
    Skipped,
    Refused,
    Invalid(String),
    Cancelled,
}

pub(super) struct Turn<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) config: &'a AgentConfig,
    pub(super) brief: &'a Brief,
    pub(super) reading: Reading<'a>,
    pub(super) mood: Mood,
    pub(super) found: Extracted,
    /// Everything known after this message.
    pub(super) values: BTreeMap<String, String>,
    /// The form going on, with its progress.
    pub(super) form: Option<(IntakeForm, FormProgress)>,
    pub(super) asked: Asked,
    pub(super) started: bool,
    pub(super) accepted_person: bool,
    pub(super) offer_settled: bool,
    pub(super) intent_form: Option<String>,
    pub(super) result: Understanding,
}

impl<'a> Turn<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, brief: &'a Brief, words: &'a Words) -> Self {
        let config = setting.config;
        let form = brief
            .dialogue
            .form
            .as_ref()
            .and_then(|progress| form::form_of(config, &progress.form).map(|form| (form, progress.clone())));
        let mood = Mood::of(&brief.text, words);
        Self {
            setting,
            config,
            brief,
            reading: Reading { text: &brief.text, words, now_ms: setting.now_ms, timezone: setting.timezone },
            mood,
            found: Extracted::default(),
            values: brief.dialogue.values.clone(),
            form,
            asked: Asked::Aside,
            started: false,
            accepted_person: false,
            offer_settled: false,
            intent_form: None,
            result: Understanding { mood, ..Understanding::default() },
        }
    }

    pub(super) fn plan(&mut self) -> &mut Plan {
        &mut self.result.plan
    }

    pub(super) fn fill(&self, text: &str) -> String {
        text::fill(text, &self.config.variables)
    }

    pub(super) fn form_fields(&self) -> Vec<Field> {
        self.form
            .as_ref()
            .map(|(form, _)| form.fields.iter().filter_map(|name| form::field_of(self.config, name)).collect())
            .unwrap_or_default()
    }

    pub(super) fn asked_field(&self) -> Option<Field> {
        let (_, progress) = self.form.as_ref()?;
        form::field_of(self.config, progress.asked.as_ref()?)
    }

    /// Whether values are kept at all: where no leads are collected, only an emergency is worth it.
    pub(super) fn collecting(&self) -> bool {
        self.config.collect_leads || self.form.as_ref().is_some_and(|(form, _)| form.urgency == Urgency::Emergency)
    }

    /// Name, phone, e-mail and address, wherever they are said (LEAD-5).
    pub(super) fn read_contact_details(&mut self) {
        if !self.collecting() {
            return;
        }
        let mut fields = self.form_fields();
        for field in &self.config.lead_fields {
            let contact = matches!(field.kind, FieldType::Phone | FieldType::Email)
                || extract::is_name(field)
                || extract::is_address(field);
            if contact && !fields.iter().any(|known| known.name == field.name) {
                fields.push(field.clone());
            }
        }
        for (name, present) in [
            ("name", fields.iter().any(extract::is_name)),
            ("phone", fields.iter().any(|field| field.kind == FieldType::Phone)),
            ("email", fields.iter().any(|field| field.kind == FieldType::Email)),
        ] {
            if !present && let Some(field) = form::field_of(self.config, name) {
                fields.push(field);
            }
        }
        let fresh = extract::volunteered(&self.reading, &fields, self.asked_field().as_ref());
        let earlier = std::mem::replace(&mut self.found, fresh);
        for (name, value) in earlier.values {
            self.found.values.entry(name).or_insert(value);
        }
    }

    pub(super) fn answer_what_was_asked(&mut self) {
        if self.form.is_none() {
            return;
        }
        if self.mood.cancels {
            self.asked = Asked::Cancelled;
            return;
        }
        let known = self.known_now();
        let fields = self.form_fields();
        let asked = self.asked_field();
        // Choices and days for other fields of the form; what was asked is read by its own rules below.
        let others: Vec<Field> =
            fields.into_iter().filter(|field| asked.as_ref().is_none_or(|asked| asked.name != field.name)).collect();
        if !self.mood.question {
            extract::unasked(&self.reading, &others, &known, &mut self.found);
        }
        let Some(asked) = asked else { return };
        self.asked = self.answer_to(&asked);
    }

    pub(super) fn answer_to(&mut self, field: &Field) -> Asked {
        if self.found.values.contains_key(&field.name) {
            return Asked::Answered;
        }
        if self.is_campaigns(field) {
            return self.answer_to_campaign(field);
        }
        let typed = match field.kind {
            FieldType::Phone | FieldType::Email | FieldType::Select | FieldType::Date => true,
            FieldType::Text | FieldType::Textarea => false,
        };
        if extract::is_name(field) && self.is_choice() {
            return Asked::Aside; // It answers another question, asked or not.
        }
        let answer = extract::answer(&self.reading, field, &self.found, self.mood.confirms, self.mood.denies);
        if typed && let Ok(value) = &answer {
            self.found.values.insert(field.name.clone(), value.clone());
            return Asked::Answered;
        }
        // "Are there any deadlines? If not, just say no": there "no" is the answer.
        let may_be_no = !typed && Words::of(&field.ask).has_any(&["no", "none"]);
        if may_be_no
            && (self.mood.denies || self.reading.words.has("none"))
            && self.reading.words.len() <= BARE_ANSWER_WORDS_MAX
        {
            self.found.values.insert(field.name.clone(), text::one_line(&self.brief.text));
            return Asked::Answered;
        }
        if self.mood.skips || self.mood.denies && self.reading.words.len() <= BARE_ANSWER_WORDS_MAX {
            return if field.required { Asked::Refused } else { Asked::Skipped };
        }
        // "The boiler drips since Monday, what should I do?" describes and asks at once.
        let describes = extract::is_description(field)
            && self.reading.words.len() > DESCRIPTION_WORDS_MIN
            && !self.mood.informational;
        let elsewhere = self.mood.question && !describes
            || self.mood.wants_human
            || self.mood.thanks
            || self.mood.bye
            || self.mood.greeting
            || self.mood.wants_form;
        let other_values = !self.found.values.is_empty();
        let consent = self.mood.confirms && self.reading.words.len() <= 2;
        if elsewhere || self.brief.text.trim().is_empty() || self.matched_form().is_some() {
            return Asked::Aside;
        }
        match answer {
            Ok(value) if consent && field.kind != FieldType::Select => {
                // "ok" is no description and no name.
                let _ = value;
                Asked::Aside
            }
            Ok(value) => {
                self.found.values.insert(field.name.clone(), self.cut(field, value));
                Asked::Answered
            }
            // Somebody who gives their number instead of their name is simply asked again.
            Err(_) if other_values => Asked::Aside,
            Err(problem) => Asked::Invalid(problem),
        }
    }

    /// Whether the whole message is one of the choices or buttons that the agent offers anywhere.
    fn is_choice(&self) -> bool {
        let said = self.reading.words.joined();
        let same = |text: &String| !said.is_empty() && Words::of(text).joined() == said;
        let fields = self.config.lead_fields.iter().chain(&self.config.form_fields);
        fields.flat_map(|field| &field.options).chain(&self.config.quick_prompts).any(same)
    }

    /// What is said to a question of the campaign is its answer, "yes", "no" and a wish of their own too, unless it asks something back.
    fn answer_to_campaign(&mut self, field: &Field) -> Asked {
        let small_talk = self.mood.greeting || self.mood.thanks || self.mood.bye || self.mood.wants_human;
        if self.mood.skips {
            return Asked::Skipped;
        }
        if self.mood.question || small_talk || self.brief.text.trim().is_empty() {
            return Asked::Aside;
        }
        let value = text::shorten(&text::one_line(&self.brief.text), extract::VALUE_CHARS_MAX);
        self.found.values.insert(field.name.clone(), value);
        Asked::Answered
    }

    /// Longest value of a field where the trade sets one (`<field>_max_chars`).
    pub(super) fn cut(&self, field: &Field, value: String) -> String {
        let limit =
            self.config.vertical_config.get(&format!("{}_max_chars", field.name)).and_then(serde_json::Value::as_u64);
        match limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0) {
            Some(limit) => text::shorten(&value, limit),
            None => value,
        }
    }

    pub(super) fn known_now(&self) -> BTreeMap<String, String> {
        let mut known = self.values.clone();
        known.extend(self.found.values.clone());
        known
    }

    pub(super) fn take_up_offer(&mut self) {
        let Some(offer) = self.brief.dialogue.offer.clone() else { return };
        if self.asked != Asked::Aside {
            return;
        }
        if self.mood.confirms {
            self.offer_settled = true;
            match offer {
                Offer::Person => self.accepted_person = true,
                Offer::Form { form } => self.start(&form, false),
            }
        } else if self.mood.denies {
            self.offer_settled = true;
            self.plan().acknowledge.push(lines::OFFER_DECLINED.to_owned());
        }
    }

    /// The form and its intent that the words match best: the longest phrase wins.
    pub(super) fn matched_intent(&self) -> Option<&'a crate::catalog::template::Intent> {
        let length = |phrase: &String| self.reading.words.place_meant(phrase).map(|place| place.len());
        let wished = wish::place(self.reading.words);
        let phrased = self
            .config
            .intents
            .iter()
            .filter_map(|intent| intent.phrases.iter().filter_map(length).max().map(|longest| (longest, intent)))
            // The first of equally long ones, so that the order of the file decides.
            .fold(None, |best: Option<(usize, _)>, (longest, intent)| match best {
                Some((other, _)) if other >= longest => best,
                Some(_) | None => Some((longest, intent)),
            });
        // The trade's own words for an appointment stand; else a wish for one that is said more fully than anything else.
        let fuller = |(longest, intent): &(usize, &crate::catalog::template::Intent)| {
            intent.lead_intent != LeadIntent::BookAppointment
                && wished.as_ref().is_some_and(|wish| wish.len() > *longest)
        };
        let way = || wished.as_ref().and_then(|_| self.way_to_an_appointment());
        match &phrased {
            Some(best) if fuller(best) => way().or(Some(best.1)),
            Some(best) => Some(best.1),
            None => way(),
        }
    }

    /// The trade's way to an appointment: of the intents that end in one that which has most words for it.
    fn way_to_an_appointment(&self) -> Option<&'a crate::catalog::template::Intent> {
        let wishes = |phrases: &[String]| phrases.iter().filter(|phrase| wish::is_one(phrase)).count();
        self.config
            .intents
            .iter()
            .filter(|intent| intent.lead_intent == LeadIntent::BookAppointment)
            .map(|intent| (wishes(&intent.phrases), intent))
            .filter(|(count, _)| *count > 0)
            .fold(None, |best: Option<(usize, _)>, (count, intent)| match best {
                Some((other, _)) if other >= count => best,
                Some(_) | None => Some((count, intent)),
            })
            .map(|(_, intent)| intent)
    }

    /// A form other than the one going on that the words ask for.
    pub(super) fn matched_form(&self) -> Option<String> {
        let intent = self.matched_intent()?;
        let form = intent.form.clone().or_else(|| self.triggered(&intent.id))?;
        let going = self.form.as_ref().is_some_and(|(own, _)| own.id == form);
        (!going).then_some(form)
    }

    pub(super) fn triggered(&self, id: &str) -> Option<String> {
        self.config
            .intake_forms
            .iter()
            .find(|form| form.triggers.iter().any(|trigger| trigger == id))
            .map(|form| form.id.clone())
    }

    pub(super) fn find_intent(&mut self) {
        let Some(intent) = self.matched_intent() else { return };
        self.result.intent = Some(intent.id.clone());
        self.result.facts.intent = Some(intent.lead_intent);
        self.intent_form = intent.form.clone().or_else(|| self.triggered(&intent.id));
    }

    pub(super) fn begin_form(&mut self) {
        if self.asked == Asked::Cancelled {
            return;
        }
        // A rule's form comes before anything else: an emergency interrupts a quote.
        let hits = rules::hits(self.config, &self.reading, &self.mood, &BTreeMap::new());
        let by_rule = hits
            .iter()
            .filter(|hit| !self.brief.dialogue.fired.contains(&hit.rule.id))
            .find_map(|hit| self.triggered(&hit.rule.id).filter(|form| self.may_start(form)));
        if let Some(form) = by_rule {
            self.start(&form, true);
            return;
        }
        if self.mood.wants_form {
            self.show_form();
            return;
        }
        let Some(form) = self.intent_form.clone() else { return };
        if self.asked != Asked::Aside || self.started {
            return;
        }
        // What brings help comes first: who asks in an emergency when somebody comes is not offered a time next week.
        let urgent = |form: &IntakeForm| form.urgency == Urgency::Emergency;
        let helping = self.form.as_ref().is_some_and(|(going, _)| urgent(going));
        if helping && !form::form_of(self.config, &form).is_some_and(|form| urgent(&form)) {
            return;
        }
        if self.brief.dialogue.completed.contains(&form) {
            self.plan().small_talk = Some(lines::ALREADY_HAVE.to_owned());
        } else if self.may_start(&form) && self.config.collect_leads {
            if self.mood.question && self.mood.informational && !self.intent_is_the_question() {
                if self.form.is_none() {
                    self.plan().offer = Some(lines::OFFER_FORM.to_owned());
                    self.result.facts.offer = Some(Offer::Form { form });
                }
            } else {
                self.start(&form, false);
            }
        }
    }

    /// Whether the intent's own phrase is the question ("where is my order"), or a button of the agent, so that its form is the answer.
    pub(super) fn intent_is_the_question(&self) -> bool {
        let same = |prompt: &String| Words::of(prompt).joined() == self.reading.words.joined();
        if self.config.quick_prompts.iter().any(same) {
            return true;
        }
        let greeting = self
            .reading
            .words
            .all()
            .iter()
            .take_while(|word| matches!(word.text.as_str(), "hi" | "hello" | "hey" | "so"))
            .count();
        let begins = |place: std::ops::Range<usize>| place.start <= greeting;
        self.matched_intent().is_some_and(|intent| {
            let phrased =
                intent.phrases.iter().any(|phrase| self.reading.words.place_meant(phrase).is_some_and(begins));
            let wished = intent.lead_intent == LeadIntent::BookAppointment;
            phrased || wished && wish::place(self.reading.words).is_some_and(begins)
        })
    }

    /// After an answer that invited the visitor to leave a name or number, a bare name is one, and either begins the contact form.
    pub(super) fn take_up_invitation(&mut self) {
        if !self.brief.dialogue.invited || self.form.is_some() || self.mood.question || !self.config.collect_leads {
            return;
        }
        if self.found.values.is_empty()
            && !self.mood.confirms
            && !self.mood.denies
            && !self.mood.greeting
            && !self.mood.thanks
            && !self.mood.bye
            && !self.mood.cancels
        {
            let name = form::form_of(self.config, form::CONTACT_FORM)
                .and_then(|form| form::field_of(self.config, form.fields.first()?));
            let bare = names::bare_name(&self.brief.text);
            if let (Some(field), Some(name)) = (name, bare) {
                self.found.values.insert(field.name, name);
            }
        }
        if !form::contact(self.config, &self.found.values).is_empty() && self.intent_form.is_none() {
            match &self.brief.dialogue.offer {
                Some(Offer::Form { form }) => self.start(&form.clone(), false),
                Some(Offer::Person) | None => self.start(form::CONTACT_FORM, false),
            }
        }
    }

    pub(super) fn may_start(&self, form: &str) -> bool {
        let going = self.form.as_ref().is_some_and(|(own, _)| own.id == form);
        let known = form::form_of(self.config, form);
        let emergency = known.as_ref().is_some_and(|form| form.urgency == Urgency::Emergency);
        known.is_some()
            && !going
            && !self.brief.dialogue.completed.contains(form)
            && (self.config.collect_leads || emergency)
    }

    pub(super) fn start(&mut self, id: &str, by_rule: bool) {
        let Some(form) = form::form_of(self.config, id) else { return };
        if form.urgency > Urgency::Normal {
            self.raise(form.urgency);
        }
        let intro = self.fill(&form.intro);
        self.form = Some((form, FormProgress { form: id.to_owned(), ..FormProgress::default() }));
        self.started = true;
        self.result.plan.handled = true;
        // Values of the new form's fields that the same message gives.
        self.read_contact_details();
        let known = self.known_now();
        let fields = self.form_fields();
        if !self.mood.question || by_rule {
            extract::unasked(&self.reading, &fields, &known, &mut self.found);
        }
        self.describe(&fields);
        self.plan().intro = Some(intro).filter(|intro| !intro.is_empty());
        if self.brief.prefers_form || self.mood.wants_form {
            self.show_form();
        }
    }

    /// Keeps the message that began a form as its description, if it says more than that.
    pub(super) fn describe(&mut self, fields: &[Field]) {
        let known = self.known_now();
        let Some(field) =
            fields.iter().find(|field| extract::is_description(field) && !known.contains_key(&field.name))
        else {
            return;
        };
        let rest = self.found.remainder(&self.brief.text);
        let same = |text: &String| Words::of(text).joined() == self.reading.words.joined();
        let only_asks = self.config.quick_prompts.iter().any(same)
            || self.config.intents.iter().flat_map(|intent| &intent.phrases).any(same);
        let long_enough = Words::of(&rest).len() >= DESCRIPTION_WORDS_MIN;
        // A wish ("I'd like to book an appointment") describes nothing; a report ("my kitchen pipe burst") does.
        let wish = self.intent_form.is_some() && Words::of(&rest).len() < DESCRIPTION_WORDS_MIN * 2;
        if long_enough && !only_asks && !wish && !self.mood.question {
            let value = self.cut(field, text::shorten(&rest, extract::VALUE_CHARS_MAX));
            self.found.values.insert(field.name.clone(), value);
        } else if let Some(need) = self.told_need().filter(|_| self.may_tell_need(field)) {
            // What was told once is not asked again.
            let value = self.cut(field, need);
            self.found.values.insert(field.name.clone(), value);
        }
    }

    pub(super) fn show_form(&mut self) {
        let id = self.form.as_ref().map(|(form, _)| form.id.clone()).or_else(|| self.intent_form.clone());
        let fields = form::lead_form(self.config, id.as_deref());
        let title = id
            .as_ref()
            .and_then(|id| form::form_of(self.config, id))
            .map(|form| form.title)
            .filter(|title| !title.is_empty());
        let known = self.known_now();
        let values = known.into_iter().filter(|(name, _)| fields.iter().any(|field| field.name == *name)).collect();
        let notices = self.notices(NoticeWhen::Form).into_iter().map(|(_, text)| text).collect();
        let fields =
            fields.into_iter().map(|field| Field { label: form::label(&field), ask: String::new(), ..field }).collect();
        let prompt = Prompt::LeadForm {
            form: id.unwrap_or_else(|| "lead".to_owned()),
            title: title.unwrap_or_else(|| "Your details".to_owned()),
            fields,
            values,
            notices,
        };
        self.plan().prompt = Some(prompt);
    }
}
