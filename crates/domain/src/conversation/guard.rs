//! What a model may not do: reveal its orders, name prices nobody published, call tools that the visitor's own words do not support.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    confidential::Confidential,
    dialogue::{self, Brief, Escalation, Facts, Prompt, Setting, Understanding, booking},
    retrieved::{Retrieved, SOURCES_MAX, SourceRef},
};
use crate::{
    text::{self, Words},
    vocabulary::{EscalationAction, MessageRole, Urgency},
};

/// Distinct longer words an answer and a passage share before the passage counts as its source.
const SHARED_WORDS_MIN: usize = 3;
/// The shortest word that says something about where an answer is from.
const TELLING_WORD_CHARS_MIN: usize = 4;
/// Characters of a wish for an appointment.
const WISH_CHARS_MAX: usize = 200;
/// Characters of a tool's arguments that are read.
const ARGUMENTS_CHARS_MAX: usize = 8_000;
/// Tool calls of one answer that are looked at.
const TOOL_CALLS_MAX: usize = 8;
/// The rule name of an escalation by a model.
const MODEL_RULE: &str = "model";

/// What a model gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// Its text.
    pub text: String,
    /// Its tool calls.
    pub tool_calls: Vec<ToolCall>,
}

/// A model's wish to use a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which.
    pub name: String,
    /// Its arguments as the model wrote them.
    pub arguments: String,
}

/// What of it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The whole answer, with what must be said around the model's words.
    pub text: String,
    /// Buttons or a form.
    pub prompt: Option<Prompt>,
    /// The passages it is from.
    pub sources: Vec<SourceRef>,
    /// How sure the search was, 0 to 1; none without sources.
    pub confidence: Option<f64>,
    /// Whether it says that nothing is known.
    pub fallback: bool,
    /// Whether the owner should see the question as unanswered.
    pub question: bool,
    /// When, what and with whom a model wants to find free times.
    pub booking: Option<String>,
    /// What the tools did.
    pub tool_facts: Option<Box<Facts>>,
    /// Each tool call, carried out or ignored, with the reason.
    pub tools: Vec<String>,
    /// What was taken out, and why.
    pub problems: Vec<String>,
}

/// Checks a model's answer and tool calls. Deterministic; what is refused is named in `problems` and `tools`.
pub fn accept_model_answer(
    setting: &Setting<'_>,
    brief: &Brief,
    understanding: &Understanding,
    retrieved: &Retrieved,
    answer: &ModelAnswer,
) -> Accepted {
    let mut accepted = Accepted::default();
    let fallback = dialogue::fallback_line(setting);
    let mut words = answer.text.trim().to_owned();
    if !Eye::on(setting, brief, retrieved).may_show(0, &words) {
        accepted.problems.push("the answer quoted private instructions and was replaced".to_owned());
        words.clear();
    }
    words = without_invented_prices(setting, brief, retrieved, &words, &mut accepted.problems);
    if words.is_empty() && accepted.problems.is_empty() {
        accepted.problems.push("the model's answer was empty".to_owned());
    }
    let says_nothing = words.is_empty();
    if says_nothing {
        let soft = understanding.plan.soft.first().cloned();
        words = soft.unwrap_or_else(|| fallback.clone());
    }
    accepted.fallback =
        says_nothing || Words::of(&words).joined().contains(&Words::of(&fallback).joined()) && !fallback.is_empty();
    if !accepted.fallback {
        accepted.sources = sources(retrieved, &words);
        accepted.confidence = (!accepted.sources.is_empty()).then_some(retrieved.confidence);
    }
    accepted.question = accepted.fallback && understanding.mood.question && !understanding.mood.injection;
    accepted.text = dialogue::wrap(understanding, &words);
    accepted.prompt = understanding.plan.prompt.clone();
    use_tools(setting, brief, understanding, &answer.tool_calls, &mut accepted);
    accepted
}

/// Looks at an answer in the making before each piece of it is shown.
#[derive(Debug)]
pub struct Eye<'a> {
    setting: &'a Setting<'a>,
    brief: &'a Brief,
    retrieved: &'a Retrieved,
    whispered: Confidential,
    /// What visitors may be told, joined; made when something is quoted for the first time, which is rare.
    public: Option<String>,
    /// Where the words that may still become part of a quotation begin, in bytes.
    from: usize,
    /// Of which of the model's attempts: another one begins anew.
    attempt: u32,
}

impl<'a> Eye<'a> {
    /// For one answer.
    pub fn on(setting: &'a Setting<'a>, brief: &'a Brief, retrieved: &'a Retrieved) -> Self {
        let whispered = Confidential::whispered(&brief.whispers);
        Self { setting, brief, retrieved, whispered, public: None, from: 0, attempt: 0 }
    }

    /// Whether all of `text` may be shown: it contains no long run of words of the orders or whispers that is nowhere in what
    /// may be said. Within one of the model's attempts `text` is what was seen before with more at its end.
    pub fn may_show(&mut self, attempt: u32, text: &str) -> bool {
        if attempt != self.attempt {
            (self.attempt, self.from) = (attempt, 0);
        }
        let Some(rest) = text.get(self.from..) else { return false };
        let said = Words::of(rest);
        for quoted in self.setting.confidential.quoted_by(said.all()).chain(self.whispered.quoted_by(said.all())) {
            let public =
                self.public.get_or_insert_with(|| joined(&public_texts(self.setting, self.brief, self.retrieved)));
            if !public.contains(&quoted) {
                return false;
            }
        }
        // The last word may still grow, and a quotation may have begun with the words before it.
        let kept = self.setting.confidential.longest_run().max(self.whispered.longest_run());
        if let Some(word) = said.len().checked_sub(kept + 1).and_then(|at| said.all().get(at)) {
            self.from += word.at.start;
        }
        true
    }
}

/// Everything that visitors may be told.
fn public_texts(setting: &Setting<'_>, brief: &Brief, retrieved: &Retrieved) -> Vec<String> {
    let config = setting.config;
    let fill = |text: &str| text::fill(text, &config.variables);
    let mut texts: Vec<String> = [&config.welcome_message, &config.fallback_message, &config.escalation_message]
        .into_iter()
        .map(|text| fill(text))
        .collect();
    texts.extend(config.after_hours_message.iter().map(|text| fill(text)));
    texts.extend(config.variables.values().map(|text| fill(text)));
    texts.extend(
        config
            .escalation_rules
            .iter()
            .flat_map(|rule| std::iter::once(&rule.reply).chain(rule.safety_advice.iter().map(|advice| &advice.text)))
            .map(|text| fill(text)),
    );
    texts.extend(config.intake_forms.iter().flat_map(|form| [&form.intro, &form.confirmation]).map(|text| fill(text)));
    texts.extend(config.compliance_notices.iter().map(|notice| fill(&notice.text)));
    texts.extend(retrieved.faqs.iter().flat_map(|faq| [faq.question.clone(), faq.answer.clone()]));
    texts.extend(
        retrieved
            .passages
            .iter()
            .flat_map(|passage| [passage.title.clone(), passage.section.clone(), passage.text.clone()]),
    );
    texts.push(brief.question.clone());
    texts
}

fn joined(texts: &[String]) -> String {
    texts.iter().map(|text| Words::of(text).joined()).collect::<Vec<_>>().join(" | ")
}

/// Takes out sentences with an amount of money that stands in no source, no configured text and no value the visitor gave (VRT-16).
fn without_invented_prices(
    setting: &Setting<'_>,
    brief: &Brief,
    retrieved: &Retrieved,
    answer: &str,
    problems: &mut Vec<String>,
) -> String {
    if !text::amounts(answer).iter().any(|amount| amount.marked) {
        return answer.to_owned();
    }
    let config = setting.config;
    let mut sources: Vec<String> = public_texts(setting, brief, retrieved);
    // The visitor's message is no source of prices ("so it costs $5?"); a budget that was captured may be repeated.
    sources.pop();
    sources.push(text::fill(&config.system_prompt, &config.variables));
    sources.extend(brief.dialogue.values.values().cloned());
    // What a campaign has its calls say, the owner has written.
    if let Some(errand) = super::dialogue::errand::errand(brief) {
        sources.extend(
            [Some(errand.objective.clone()), errand.opening.clone(), errand.script.clone()].into_iter().flatten(),
        );
    }
    // A colleague may authorize a price.
    sources.extend(brief.whispers.iter().cloned());
    let mut known: BTreeSet<u64> = sources
        .iter()
        .flat_map(|source| text::amounts(source))
        .filter(|amount| amount.marked)
        .map(|amount| amount.micros)
        .collect();
    let captured = brief.dialogue.values.values().flat_map(|value| text::amounts(value));
    known.extend(captured.map(|amount| amount.micros));
    let config_values: Vec<String> = config.vertical_config.values().map(Value::to_string).collect();
    known.extend(config_values.iter().flat_map(|value| text::amounts(value)).map(|amount| amount.micros));
    let invented =
        |sentence: &str| text::amounts(sentence).iter().any(|amount| amount.marked && !known.contains(&amount.micros));
    let mut kept: Vec<String> = Vec::new();
    let mut removed = 0;
    for line in answer.lines() {
        let sentences = text::sentences(line);
        let good: Vec<&str> = sentences.iter().copied().filter(|sentence| !invented(sentence)).collect();
        removed += sentences.len() - good.len();
        kept.push(good.join(" "));
    }
    if removed == 0 {
        return answer.to_owned();
    }
    problems.push(format!("{removed} sentence(s) with a price that stands in no source were taken out"));
    kept.join("\n").trim().to_owned()
}

/// The passages and prepared answers that an answer shares telling words with.
fn sources(retrieved: &Retrieved, answer: &str) -> Vec<SourceRef> {
    let answer = Words::of(answer);
    let said: HashSet<&str> = answer
        .all()
        .iter()
        .map(|word| word.text.as_str())
        .filter(|word| word.chars().count() >= TELLING_WORD_CHARS_MIN)
        .collect();
    let shares = |text: &str| Words::shares(text, &said, SHARED_WORDS_MIN);
    let faqs = retrieved.faqs.iter().filter(|faq| shares(&faq.answer)).map(super::retrieved::FaqHit::source);
    let passages =
        retrieved.passages.iter().filter(|passage| shares(&passage.text)).map(super::retrieved::Passage::source);
    faqs.chain(passages).take(SOURCES_MAX).collect()
}

fn use_tools(
    setting: &Setting<'_>,
    brief: &Brief,
    understanding: &Understanding,
    calls: &[ToolCall],
    accepted: &mut Accepted,
) {
    let mut facts = Facts::default();
    for call in calls.iter().take(TOOL_CALLS_MAX) {
        let name = text::shorten(&text::one_line(&call.name), 40);
        let outcome = match wish(setting, understanding, call) {
            Some(Ok(wish)) => {
                accepted.booking = Some(wish);
                Ok("looks for free times".to_owned())
            }
            Some(Err(reason)) => Err(reason),
            None => use_tool(setting, brief, understanding, call, &mut facts),
        };
        accepted.tools.push(match outcome {
            Ok(done) => format!("{name}: {done}"),
            Err(reason) => format!("{name}: ignored, {reason}"),
        });
    }
    if calls.len() > TOOL_CALLS_MAX {
        accepted.tools.push(format!("{} more calls: ignored, too many", calls.len() - TOOL_CALLS_MAX));
    }
    if facts != Facts::default() {
        facts.contact = dialogue::contact(setting.config, &facts.values);
        accepted.tool_facts = Some(Box::new(facts));
    }
}

/// What a model wants of the calendar, if that is what it calls: words for when, what and with whom. They only find what may be offered; the visitor
/// chooses.
fn wish(setting: &Setting<'_>, understanding: &Understanding, call: &ToolCall) -> Option<Result<String, String>> {
    if call.name != booking::TOOL || !setting.config.tools.contains(&call.name) {
        return None;
    }
    if understanding.mood.injection {
        return Some(Err("the message tries to give the agent orders".to_owned()));
    }
    let read = arguments(&call.arguments).map(|arguments| {
        let words = ["type", "provider", "when"].into_iter().filter_map(|name| arguments.get(name)?.as_str());
        text::shorten(&text::one_line(&words.collect::<Vec<_>>().join(" ")), WISH_CHARS_MAX)
    });
    Some(read)
}

fn use_tool(
    setting: &Setting<'_>,
    brief: &Brief,
    understanding: &Understanding,
    call: &ToolCall,
    facts: &mut Facts,
) -> Result<String, String> {
    let config = setting.config;
    if !["capture_lead", "escalate", "end_conversation"].contains(&call.name.as_str())
        || !config.tools.contains(&call.name)
    {
        return Err("this agent has no such tool".to_owned());
    }
    if understanding.mood.injection {
        return Err("the message tries to give the agent orders".to_owned());
    }
    let arguments = arguments(&call.arguments)?;
    match call.name.as_str() {
        "capture_lead" => capture(setting, brief, &arguments, facts),
        "escalate" => escalate(setting, brief, &arguments, facts),
        "end_conversation" => {
            let mood = &understanding.mood;
            if mood.bye || mood.thanks || mood.denies {
                facts.ended = true;
                Ok("done".to_owned())
            } else {
                Err("the visitor has not said goodbye".to_owned())
            }
        }
        _ => Err("this agent has no such tool".to_owned()),
    }
}

fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    if text.chars().count() > ARGUMENTS_CHARS_MAX {
        return Err("its arguments are too long".to_owned());
    }
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err("its arguments are no object".to_owned()),
        Err(_) => Err("its arguments are no JSON".to_owned()),
    }
}

/// Keeps values that the visitor has said; a model's own ideas, and a page's, are not among them.
fn capture(
    setting: &Setting<'_>,
    brief: &Brief,
    arguments: &Map<String, Value>,
    facts: &mut Facts,
) -> Result<String, String> {
    let config = setting.config;
    if !config.collect_leads {
        return Err("this agent does not collect leads".to_owned());
    }
    let fields = match arguments.get("fields") {
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err("`fields` is no object".to_owned()),
        None => arguments,
    };
    let visitor: Vec<&str> = brief
        .history
        .iter()
        .filter(|line| line.role == MessageRole::User)
        .map(|line| line.text.as_str())
        .chain([brief.question.as_str()])
        .collect();
    let said = Words::of(&visitor.join("\n")).joined();
    let digits: String = visitor.iter().flat_map(|text| text.chars()).filter(char::is_ascii_digit).collect();
    let known = dialogue::known_fields(config);
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        let field = known.iter().find(|field| field.name == *name);
        let (Some(field), Some(value)) = (field, value.as_str()) else {
            dropped.push(text::shorten(&text::one_line(name), 40));
            continue;
        };
        let own_digits: String = value.chars().filter(char::is_ascii_digit).collect();
        let phone = field.kind == crate::vocabulary::FieldType::Phone;
        let grounded = if phone {
            !own_digits.is_empty()
                && (digits.contains(&own_digits)
                    || own_digits.strip_prefix('1').is_some_and(|rest| !rest.is_empty() && digits.contains(rest)))
        } else {
            let words = Words::of(value).joined();
            !words.is_empty() && said.contains(&words)
        };
        match dialogue::check_value(field, value) {
            Ok(value) if grounded => {
                if brief.dialogue.values.get(name) != Some(&value) {
                    facts.values.insert(name.clone(), value);
                }
                kept.push(name.as_str());
            }
            Ok(_) | Err(_) => dropped.push(name.clone()),
        }
    }
    match (kept.is_empty(), dropped.is_empty()) {
        (true, true) => Err("it names no field".to_owned()),
        (true, false) => Err(format!("not said by the visitor, unknown or wrong: {}", dropped.join(", "))),
        (false, true) => Ok(format!("kept {}", kept.join(", "))),
        (false, false) => {
            Ok(format!("kept {}; not said by the visitor, unknown or wrong: {}", kept.join(", "), dropped.join(", ")))
        }
    }
}

fn escalate(
    setting: &Setting<'_>,
    brief: &Brief,
    arguments: &Map<String, Value>,
    facts: &mut Facts,
) -> Result<String, String> {
    if !setting.config.escalation_enabled {
        return Err("this agent does not escalate".to_owned());
    }
    let reason = arguments
        .get("reason")
        .and_then(Value::as_str)
        .map(text::one_line)
        .filter(|reason| !reason.is_empty())
        .ok_or("it gives no reason")?;
    if brief.dialogue.fired.contains(MODEL_RULE) || facts.escalations.iter().any(|own| own.rule == MODEL_RULE) {
        return Err("it was already escalated".to_owned());
    }
    let urgency = match arguments.get("urgency").and_then(Value::as_str) {
        Some("low") => Urgency::Low,
        Some("high") => Urgency::High,
        Some("emergency") => Urgency::Emergency,
        Some(_) | None => Urgency::Normal,
    };
    let reason = text::shorten(&reason, 200);
    let alerts = dialogue::tool_alerts(setting.config, brief, &reason, urgency);
    let to = alerts.first().map(|alert| alert.to.clone());
    facts.alerts.extend(alerts);
    facts.escalations.push(Escalation {
        rule: MODEL_RULE.to_owned(),
        action: EscalationAction::Transfer,
        urgency: Some(urgency),
        reason,
        to,
    });
    Ok("done".to_owned())
}
