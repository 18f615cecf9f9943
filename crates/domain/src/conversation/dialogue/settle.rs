//! What a message sets off once it is read: rules and alerts, the form's next step, small talk, notices; then the result.

use std::collections::BTreeMap;

use super::{
    AlertDraft, Escalation, FormMove, Mood, Offer, Plan, Prompt, Understanding,
    alert::{self, About},
    area, extract, form, lines, rules,
    understand::{Asked, BARE_ANSWER_WORDS_MAX, Turn},
};
use crate::{
    catalog::template::{EscalationRule, IntakeForm, NoticeWhen, Trigger},
    text::{self, Words},
    vocabulary::{Channel, EscalationAction, FieldType, Urgency},
};

/// Answers to one question that may fail before it is passed over.
const TRIES_MAX: u8 = 2;
/// The intent of a question that the team is told of only when the knowledge has no answer.
const PRICING: &str = "pricing_question";
/// Words up to which asking for a person is all that a message says.
const HUMAN_ONLY_WORDS_MAX: usize = 12;

impl Turn<'_> {
    pub(super) fn raise(&mut self, urgency: Urgency) {
        self.result.facts.urgency = Some(self.result.facts.urgency.map_or(urgency, |own| own.max(urgency)));
    }

    pub(super) fn set_off_rules(&mut self) {
        let captured = self.found.values.clone();
        let mut hits = rules::hits(self.config, &self.reading, &self.mood, &captured);
        if self.accepted_person && !hits.iter().any(|hit| hit.human) {
            hits.push(rules::Hit {
                rule: rules::human_rule(self.config),
                reason: "accepted the offer of a person".to_owned(),
                human: true,
            });
        }
        let human = hits.iter().any(|hit| hit.human);
        for hit in &hits {
            let rule = &hit.rule;
            let again = self.brief.dialogue.fired.contains(&rule.id);
            let reply = self.fill(&rule.reply);
            match rule.action {
                EscalationAction::ImmediateAlert => self.immediate(rule, again, reply),
                EscalationAction::Transfer => self.transfer(again, reply),
                EscalationAction::SoftEscalate => {
                    if !reply.is_empty() {
                        self.plan().soft.push(reply);
                    }
                }
                EscalationAction::OfferHuman if human || again => {}
                EscalationAction::OfferHuman => {
                    let offer = if reply.is_empty() { lines::OFFER_PERSON.to_owned() } else { reply };
                    self.plan().offer = Some(offer);
                    self.result.facts.offer = Some(Offer::Person);
                }
            }
            if !again && !self.already_told(rule) {
                self.escalate(rule, &hit.reason);
            } else if again && self.waits_for_answer(rule) {
                // The first may have been answered.
                let drafts = self.alerts_of(rule, &hit.reason);
                self.if_unanswered(drafts);
            }
            if matches!(rule.trigger, Trigger::FieldAbove { .. }) {
                self.result.facts.signals.insert("budget_above_threshold".to_owned());
            }
        }
    }

    pub(super) fn immediate(&mut self, rule: &EscalationRule, again: bool, reply: String) {
        if again {
            return;
        }
        let emergency = rule.urgency == Some(Urgency::Emergency);
        // In an emergency that people already know of, only new advice is news.
        let known = self.config.escalation_rules.iter().any(|other| {
            other.action == EscalationAction::ImmediateAlert
                && other.urgency == rule.urgency
                && self.brief.dialogue.fired.contains(&other.id)
        });
        let advice: Vec<String> = rules::advice(rule, self.reading.words).iter().map(|text| self.fill(text)).collect();
        let alerted =
            if alert::reachable(self.config) && !self.brief.sandbox { lines::ALERTED } else { lines::FLAGGED };
        let plan = self.plan();
        if !reply.is_empty() && !known && !plan.acknowledge.contains(&reply) {
            plan.acknowledge.push(reply.clone());
        }
        for text in advice {
            if !plan.advice.contains(&text) {
                plan.advice.push(text);
            }
        }
        plan.emergency |= emergency;
        // A reply that says so itself needs no second sentence.
        if emergency && !known && !reply.to_lowercase().contains("alert") {
            plan.alerted.get_or_insert_with(|| alerted.to_owned());
        }
    }

    /// Whether people know of this danger by another rule already: of the same message, or of an earlier one that it says nothing new about.
    fn already_told(&self, rule: &EscalationRule) -> bool {
        if rule.action != EscalationAction::ImmediateAlert {
            return false;
        }
        let alike = |id: &str| {
            let other = self.config.escalation_rules.iter().find(|other| other.id == id);
            other.is_some_and(|other| {
                other.id != rule.id && other.action == rule.action && other.urgency == rule.urgency
            })
        };
        let now = self.result.facts.escalations.iter().any(|told| alike(&told.rule));
        let before = self.brief.dialogue.fired.iter().any(|id| alike(id));
        let said = |advice: &String| {
            let advice = self.fill(advice);
            self.brief.history.iter().any(|line| line.text.contains(&advice))
        };
        now || before && rules::advice(rule, self.reading.words).iter().all(said)
    }

    pub(super) fn transfer(&mut self, again: bool, reply: String) {
        let reach = self.reached_at();
        let line = if !self.config.escalation_enabled {
            match &reach {
                Some(at) => lines::noted_without_transfer(at),
                None => lines::NO_TRANSFER.to_owned(),
            }
        } else if again {
            lines::ALREADY_TOLD.to_owned()
        } else {
            let line = if reply.is_empty() { self.fill(&self.config.escalation_message) } else { reply };
            match &reach {
                // Who said how to be reached, perhaps with these very words, is not asked to say it.
                Some(at) => lines::without_asking(&line, at),
                None => line,
            }
        };
        self.plan().acknowledge.push(line);
        if self.form.is_none() && reach.is_none() && self.config.collect_leads {
            self.start(form::CONTACT_FORM, false);
        }
    }

    /// The number or address at which the visitor said they can be reached, as it is said back: a number before an e-mail address.
    fn reached_at(&self) -> Option<String> {
        let known = self.known_now();
        let of = |kind: FieldType| {
            let is = |name: &str| form::field_of(self.config, name).is_some_and(|field| field.kind == kind);
            known.iter().find(|(name, _)| is(name)).map(|(_, value)| text::pretty_phone(value))
        };
        of(FieldType::Phone).or_else(|| of(FieldType::Email))
    }

    /// Whom a rule tells, and what.
    fn alerts_of(&self, rule: &EscalationRule, reason: &str) -> Vec<AlertDraft> {
        let urgency = rule.urgency.unwrap_or(Urgency::Normal);
        let heading = match rule.action {
            EscalationAction::ImmediateAlert if urgency == Urgency::Emergency => "Emergency",
            EscalationAction::ImmediateAlert => "Urgent",
            EscalationAction::Transfer => "Person wanted",
            EscalationAction::SoftEscalate => "Please look",
            EscalationAction::OfferHuman => "Person offered",
        };
        let known = self.known_now();
        let about = About { id: &rule.id, heading, reason, urgency };
        alert::drafts(self.config, self.brief, &known, &rule.notify, &about)
    }

    pub(super) fn escalate(&mut self, rule: &EscalationRule, reason: &str) {
        if let Some(urgency) = rule.urgency {
            self.raise(urgency);
        }
        let drafts = self.alerts_of(rule, reason);
        let to = drafts.first().map(|draft| draft.to.clone());
        if self.waits_for_answer(rule) {
            self.if_unanswered(drafts);
        } else {
            self.queue(drafts);
        }
        if self.config.escalation_enabled {
            self.result.facts.escalations.push(Escalation {
                rule: rule.id.clone(),
                action: rule.action,
                urgency: rule.urgency,
                reason: reason.to_owned(),
                to,
            });
        }
    }

    /// Whether a rule only asks the team for an answer (VRT-20: soft escalation of a question about prices): a price that stands on the
    /// business's own pages is one, and nobody need be written to.
    fn waits_for_answer(&self, rule: &EscalationRule) -> bool {
        let about_prices = matches!(&rule.trigger, Trigger::Intent { value, .. } if value == PRICING);
        about_prices && rule.action == EscalationAction::SoftEscalate
    }

    fn if_unanswered(&mut self, drafts: Vec<AlertDraft>) {
        self.plan().unless_answered.get_or_insert_default().alerts.extend(drafts);
    }

    /// One alert per address and turn: the first, which comes from the rule the owner put first.
    pub(super) fn queue(&mut self, drafts: Vec<AlertDraft>) {
        for draft in drafts {
            let alerts = &mut self.result.facts.alerts;
            if !alerts.iter().any(|other| other.channel == draft.channel && other.to == draft.to) {
                alerts.push(draft);
            }
        }
    }

    pub(super) fn move_form_on(&mut self) {
        let before = self.values.clone();
        if let Some(address) = self
            .found
            .values
            .iter()
            .find(|(name, _)| form::field_of(self.config, name).is_some_and(|field| extract::is_address(&field)))
            .map(|(_, value)| value.clone())
            && let Some(area) = area::of(self.config, &address)
        {
            self.result.facts.signals.extend(area.signal.map(str::to_owned));
            self.plan().remarks.extend(area.reply);
        }
        self.values.extend(self.found.values.clone());
        let Some((form, mut progress)) = self.form.take() else {
            let only_values =
                !self.found.values.is_empty() && !self.mood.question && self.result.plan.acknowledge.is_empty();
            if only_values {
                self.plan().acknowledge.push(lines::NOTED.to_owned());
            }
            return;
        };
        if self.asked == Asked::Cancelled {
            self.plan().acknowledge.push(lines::CANCELLED.to_owned());
            self.result.facts.form = FormMove::Cancelled { form: form.id };
            return;
        }
        let asked = progress.asked.clone().unwrap_or_default();
        let field = form::field_of(self.config, &asked);
        let mut repeat = None;
        match self.asked.clone() {
            Asked::Answered | Asked::Cancelled => {}
            Asked::Aside => repeat = field,
            Asked::Skipped => {
                progress.skipped.insert(asked);
                self.plan().acknowledge.push(lines::SKIPPED.to_owned());
            }
            refused @ (Asked::Refused | Asked::Invalid(_)) => {
                progress.tries += 1;
                if progress.tries >= TRIES_MAX {
                    progress.skipped.insert(asked);
                    self.plan().remarks.push(lines::MOVE_ON.to_owned());
                } else {
                    let problem =
                        if let Asked::Invalid(problem) = refused { problem } else { lines::REQUIRED.to_owned() };
                    self.plan().remarks.push(problem);
                }
            }
        }
        let wanted = form::wanted(self.config, &form, &self.values, &progress);
        let critical = self.reaches(&form, &self.values) && !self.reaches(&form, &before);
        if wanted.is_empty() {
            self.end_form(&form);
            return;
        }
        if critical && form.urgency == Urgency::Emergency && form.auto_alert {
            self.alert_form(&form);
        }
        let next = wanted[0].name.clone();
        let same = progress.asked.as_ref() == Some(&next);
        let aside = same && repeat.is_some() && !self.started && self.found.values.is_empty();
        if aside && progress.reminded {
            // Came back once already: the question stands, but is not said a third time.
        } else {
            progress.reminded = aside;
            let mut asks = form::asks(self.config, &form, &wanted);
            let invalid = matches!(self.asked, Asked::Invalid(_)) && same;
            // The problem with a choice, a day or an address already says what is wanted.
            let says_enough =
                matches!(wanted[0].kind, FieldType::Select | FieldType::Date) || extract::is_address(&wanted[0]);
            if invalid && says_enough {
                asks.clear();
            }
            if self.result.plan.prompt.is_none() {
                let buttons = form::buttons(self.brief.channel.0, &wanted[0]);
                let plan = self.plan();
                plan.prompt = buttons;
                plan.asks = asks;
            } else {
                self.plan().acknowledge.push(lines::FORM_SHOWN.to_owned());
            }
        }
        if !same {
            progress.tries = 0;
        }
        progress.asked = Some(next);
        self.result.facts.form = FormMove::Going { progress };
    }

    /// Whether everything needed to reach somebody in an emergency is known.
    pub(super) fn reaches(&self, form: &IntakeForm, values: &BTreeMap<String, String>) -> bool {
        form.fields.iter().filter_map(|name| form::field_of(self.config, name)).all(|field| {
            let needed = field.kind == FieldType::Phone || extract::is_address(&field);
            !needed || values.contains_key(&field.name)
        })
    }

    pub(super) fn end_form(&mut self, form: &IntakeForm) {
        let complete = form::complete(self.config, form, &self.values);
        self.result.facts.form = FormMove::Done { form: form.id.clone(), complete };
        if complete {
            let line = form::confirmation(self.config, form, &self.values);
            // That people were alerted is said once; what they get now is more of it.
            let told = self.told_of_alert();
            self.plan().confirmation = Some(if told { lines::updated(&line) } else { line });
        } else {
            self.plan().confirmation = Some(lines::INCOMPLETE.to_owned());
            if alert::reachable(self.config)
                && self.result.plan.offer.is_none()
                && !self.brief.dialogue.fired.contains(&rules::human_rule(self.config).id)
            {
                self.plan().offer = Some(lines::OFFER_AFTER_PROBLEM.to_owned());
                self.result.facts.offer = Some(Offer::Person);
            }
        }
        if form.auto_alert {
            self.alert_form(form);
        }
    }

    /// Whether the visitor has heard that people were alerted, in this answer or an earlier one.
    fn told_of_alert(&self) -> bool {
        let immediate = |id: &str| {
            let mut rules = self.config.escalation_rules.iter();
            rules.any(|rule| {
                rule.id == id
                    && rule.action == EscalationAction::ImmediateAlert
                    && rule.urgency == Some(Urgency::Emergency)
            })
        };
        self.result.plan.alerted.is_some() || self.brief.dialogue.fired.iter().any(|id| immediate(id))
    }

    pub(super) fn alert_form(&mut self, form: &IntakeForm) {
        let told = self
            .config
            .escalation_rules
            .iter()
            .any(|rule| self.brief.dialogue.fired.contains(&rule.id) && form.triggers.contains(&rule.id));
        let heading = if told { "Update" } else { "New request" };
        let title = if form.title.is_empty() { form.id.replace('_', " ") } else { form.title.clone() };
        let about = About { id: &form.id, heading, reason: &title, urgency: form.urgency };
        let drafts = alert::drafts(self.config, self.brief, &self.values, &form.alert, &about);
        self.queue(drafts);
    }

    pub(super) fn say_closed(&mut self) {
        if !self.setting.closed() {
            return;
        }
        let line = if self.brief.dialogue.told_closed {
            lines::STILL_CLOSED.to_owned()
        } else {
            let own =
                self.config.after_hours_message.as_deref().map(|text| self.fill(text)).filter(|text| !text.is_empty());
            own.unwrap_or_else(|| lines::CLOSED.to_owned())
        };
        let busy = self.brief.dialogue.form.is_some() || !self.result.plan.acknowledge.is_empty();
        if !self.brief.dialogue.told_closed || !busy {
            self.plan().closed = Some(line);
        }
        self.result.facts.told_closed = true;
        let known = self
            .values
            .keys()
            .filter_map(|name| form::field_of(self.config, name))
            .any(|field| matches!(field.kind, FieldType::Phone | FieldType::Email));
        let idle = self.result.facts.form == FormMove::Same && self.brief.dialogue.form.is_none();
        if idle && !known && self.config.collect_leads && !self.brief.dialogue.cancelled.contains(form::CONTACT_FORM) {
            self.start(form::CONTACT_FORM, false);
            self.asked = Asked::Aside;
            self.move_form_on();
        }
    }

    pub(super) fn small_talk(&mut self) {
        let nothing_yet = {
            let plan = &self.result.plan;
            plan.acknowledge.is_empty()
                && plan.asks.is_empty()
                && plan.remarks.is_empty()
                && plan.confirmation.is_none()
                && plan.closed.is_none()
                && plan.small_talk.is_none()
                && plan.direct.is_none()
                && plan.prompt.is_none()
        };
        if nothing_yet {
            let line = match self.mood {
                Mood { greeting: true, .. } => Some(lines::HELLO_AGAIN),
                Mood { bye: true, .. } => Some(lines::GOODBYE),
                Mood { thanks: true, .. } => Some(lines::WELCOME),
                Mood { confirms: true, .. } if !self.offer_settled => Some(lines::GO_ON),
                Mood { denies: true, .. } if !self.offer_settled => Some(lines::OFFER_DECLINED),
                Mood { cancels: true, .. } | Mood { skips: true, question: false, .. } => Some(lines::OFFER_DECLINED),
                _ if self.brief.only_files && self.brief.text.trim().is_empty() => Some(lines::FILES),
                _ => None,
            };
            self.plan().small_talk = line.map(str::to_owned);
        } else if self.result.plan.prompt.is_some()
            && self.result.plan.acknowledge.is_empty()
            && self.result.plan.asks.is_empty()
            && self.mood.wants_form
        {
            self.plan().acknowledge.push(lines::FORM_SHOWN.to_owned());
        }
        if self.brief.only_files && self.result.plan.small_talk.is_none() && self.result.plan.acknowledge.is_empty() {
            self.plan().acknowledge.push(lines::FILES_ASIDE.to_owned());
        }
        if self.mood.injection {
            self.plan().soft.push(lines::NOT_THAT.to_owned());
        }
        self.result.plan.wants_knowledge = self.wants_knowledge(nothing_yet);
    }

    pub(super) fn wants_knowledge(&self, nothing_yet: bool) -> bool {
        let plan = &self.result.plan;
        let said = plan.small_talk.is_some() || plan.direct.is_some();
        if self.setting.closed() || plan.emergency || said || self.brief.text.trim().is_empty() {
            return false;
        }
        if matches!(self.asked, Asked::Refused | Asked::Skipped) {
            // "Why do you need it?" is about the question, not about the business.
            return false;
        }
        let short = self.reading.words.len();
        if self.mood.question {
            let only_answer = self.asked != Asked::Aside && short <= BARE_ANSWER_WORDS_MAX;
            // Name and number beside the request are no question.
            let besides = || Words::of(&self.found.remainder(&self.brief.text)).len();
            let only_human =
                self.mood.wants_human && (short <= HUMAN_ONLY_WORDS_MAX || besides() <= HUMAN_ONLY_WORDS_MAX);
            let only_wish = self.started && !self.mood.informational && !self.mood.price;
            return !(only_answer || only_human || only_wish || self.mood.wants_form || self.accepted_person);
        }
        // A statement that nothing else answers may still be one the knowledge has something on.
        let aside = self.asked == Asked::Aside
            && !self.started
            && self.found.values.is_empty()
            && !self.mood.wants_human
            && !self.offer_settled;
        aside && (nothing_yet || self.brief.dialogue.form.is_some() && short > BARE_ANSWER_WORDS_MAX)
    }

    pub(super) fn notices(&self, when: NoticeWhen) -> Vec<(String, String)> {
        self.config
            .compliance_notices
            .iter()
            .filter(|notice| notice.when == when && !self.brief.dialogue.notices.contains(&notice.kind))
            .map(|notice| {
                let text = self.fill(&notice.text);
                let spoken = self.brief.channel.0 == Channel::Voice;
                (notice.kind.clone(), if spoken { lines::for_the_ear(&text) } else { text })
            })
            .collect()
    }

    /// Offers, once, to go on with a form that a person of the business interrupted; what was told before is not asked again.
    pub(super) fn offer_to_go_on(&mut self) {
        let Some(id) = self.brief.dialogue.paused.clone() else { return };
        let busy = self.form.is_some() || self.result.facts.form != FormMove::Same || self.result.plan.offer.is_some();
        if busy || self.mood.bye || self.mood.thanks || self.mood.denies || !self.may_start(&id) {
            return;
        }
        let title = form::form_of(self.config, &id).map(|form| form.title.to_lowercase()).unwrap_or_default();
        self.plan().offer = Some(lines::go_on_with(&title));
        self.result.facts.offer = Some(Offer::Form { form: id });
    }

    pub(super) fn give_notices(&mut self) {
        let mut due = Vec::new();
        if self.brief.first_answer {
            due.extend(self.notices(NoticeWhen::FirstMessage));
        }
        if matches!(self.result.plan.prompt, Some(Prompt::LeadForm { .. })) {
            // The form shows its notices itself; said too, the visitor would read them twice.
            for (kind, _) in self.notices(NoticeWhen::Form) {
                self.result.facts.notices.insert(kind);
            }
        } else if self.started {
            due.extend(self.notices(NoticeWhen::Form));
        }
        for (kind, text) in due {
            self.result.facts.notices.insert(kind);
            self.plan().notices.push(text);
        }
    }

    pub(super) fn finish(mut self) -> Understanding {
        let heard = self.setting.scoring.heard(self.reading.words);
        self.result.facts.signals.extend(heard);
        self.result.facts.need = self.need();
        // How to reach somebody is no intake form; it has signals of its own.
        if let FormMove::Done { complete: true, form } = &self.result.facts.form
            && form != form::CONTACT_FORM
        {
            self.result.facts.signals.insert("form_completed".to_owned());
        }
        if self.collecting() || self.config.collect_leads {
            self.result.facts.values = self
                .found
                .values
                .into_iter()
                .filter(|(name, value)| self.brief.dialogue.values.get(name) != Some(value))
                .collect();
        }
        self.result.facts.contact = form::contact(self.config, &self.result.facts.values);
        if let Some(carried) = &self.brief.carried {
            self.result.plan.owe(carried);
        }
        self.result
    }
}

impl Plan {
    /// Adds what a replaced turn still owes: what was heard, advice, notices and a confirmation. Its questions are replaced by newer ones.
    fn owe(&mut self, carried: &Plan) {
        let before = |own: &mut Vec<String>, theirs: &[String]| {
            let mut all: Vec<String> = theirs.to_vec();
            all.extend(own.iter().filter(|line| !theirs.contains(line)).cloned());
            *own = all;
        };
        before(&mut self.acknowledge, &carried.acknowledge);
        before(&mut self.advice, &carried.advice);
        before(&mut self.notices, &carried.notices);
        before(&mut self.soft, &carried.soft);
        if self.unless_answered.is_none() {
            self.unless_answered.clone_from(&carried.unless_answered);
        }
        for (own, theirs) in [
            (&mut self.alerted, &carried.alerted),
            (&mut self.confirmation, &carried.confirmation),
            (&mut self.intro, &carried.intro),
            (&mut self.closed, &carried.closed),
            (&mut self.direct, &carried.direct),
            (&mut self.offer, &carried.offer),
        ] {
            if own.is_none() {
                own.clone_from(theirs);
            }
        }
        if self.asks.is_empty() && self.confirmation.is_none() {
            self.asks.clone_from(&carried.asks);
            if self.prompt.is_none() {
                self.prompt.clone_from(&carried.prompt);
            }
        }
        self.emergency |= carried.emergency;
        self.handled |= carried.handled;
        self.wants_knowledge |= carried.wants_knowledge;
    }
}
