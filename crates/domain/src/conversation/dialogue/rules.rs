//! Which escalation rules a message sets off.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;

use super::{Mood, extract::Reading, when};
use crate::{
    agent::config::AgentConfig,
    catalog::template::{AlertChannel, EscalationRule, Trigger},
    text::{self, Words},
    vocabulary::{EscalationAction, Urgency},
};

/// Rule ids that exist without a rule of the agent.
pub(super) const HUMAN_REQUEST: &str = "human_request";
/// See [`HUMAN_REQUEST`].
pub(super) const FRUSTRATION: &str = "frustration";

/// A rule that was set off.
pub(super) struct Hit {
    /// The rule: the agent's, or a built-in one.
    pub(super) rule: EscalationRule,
    /// Why, in words for the owner.
    pub(super) reason: String,
    /// Whether the visitor asked for a person with it.
    pub(super) human: bool,
}

/// All rules that a message sets off, in the agent's order.
///
/// `captured` are the values this message gave, `now` the clock for rules about time.
pub(super) fn hits(
    config: &AgentConfig,
    reading: &Reading<'_>,
    mood: &Mood,
    captured: &BTreeMap<String, String>,
) -> Vec<Hit> {
    let mut found: Vec<Hit> = Vec::new();
    for rule in &config.escalation_rules {
        let reason = match &rule.trigger {
            Trigger::Keywords { any } => meant(reading.words, any).map(|phrase| format!("said \"{phrase}\"")),
            Trigger::Intent { value, phrases } => meant(reading.words, phrases).map(|_| value.replace('_', " ")),
            Trigger::Sentiment { value, phrases } => {
                let heard = match value.as_str() {
                    "frustrated" => mood.frustrated,
                    "distressed" => mood.distressed,
                    _ => false,
                };
                (heard || meant(reading.words, phrases).is_some()).then(|| format!("sounds {value}"))
            }
            Trigger::HumanRequest {} => mood.wants_human.then(|| "asked for a person".to_owned()),
            Trigger::FieldAbove { field, threshold_from } => above(config, captured.get(field), threshold_from)
                .then(|| format!("{} is above your threshold", field.replace('_', " "))),
            Trigger::WithinHours { field, phrases, hours_from } => {
                within(config, reading, field.as_ref().and_then(|field| captured.get(field)), phrases, hours_from)
                    .map(|hours| format!("less than {} away", text::counted(hours, "hour")))
            }
        };
        if let Some(reason) = reason {
            let human = matches!(rule.trigger, Trigger::HumanRequest {});
            found.push(Hit { rule: rule.clone(), reason, human });
        }
    }
    let has = |wanted: fn(&Trigger) -> bool| config.escalation_rules.iter().any(|rule| wanted(&rule.trigger));
    if mood.wants_human && !has(|trigger| matches!(trigger, Trigger::HumanRequest {})) {
        found.push(Hit {
            rule: built_in(HUMAN_REQUEST, EscalationAction::Transfer, &config.escalation_message),
            reason: "asked for a person".to_owned(),
            human: true,
        });
    }
    if mood.frustrated && !has(|trigger| matches!(trigger, Trigger::Sentiment { .. })) {
        found.push(Hit {
            rule: built_in(FRUSTRATION, EscalationAction::OfferHuman, super::lines::OFFER_PERSON),
            reason: "sounds frustrated".to_owned(),
            human: false,
        });
    }
    found
}

/// The rule that answers a wish for a person: the agent's, or the built-in one.
pub(super) fn human_rule(config: &AgentConfig) -> EscalationRule {
    config
        .escalation_rules
        .iter()
        .find(|rule| matches!(rule.trigger, Trigger::HumanRequest {}))
        .cloned()
        .unwrap_or_else(|| built_in(HUMAN_REQUEST, EscalationAction::Transfer, &config.escalation_message))
}

/// Advice of a rule for the words that were said; each advice once.
pub(super) fn advice(rule: &EscalationRule, words: &Words) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for advice in &rule.safety_advice {
        if meant(words, &advice.matches).is_some() && !said.contains(&advice.text) {
            said.push(advice.text.clone());
        }
    }
    said
}

fn built_in(id: &str, action: EscalationAction, reply: &str) -> EscalationRule {
    EscalationRule {
        id: id.to_owned(),
        trigger: Trigger::HumanRequest {},
        action,
        notify: vec![AlertChannel::Sms, AlertChannel::Email],
        urgency: Some(Urgency::High),
        reply: reply.to_owned(),
        safety_advice: Vec::new(),
    }
}

/// The first phrase that is meant: neither negated nor only asked about.
fn meant<'a>(words: &Words, phrases: &'a [String]) -> Option<&'a str> {
    phrases
        .iter()
        .find(|phrase| words.place_meant(phrase).is_some_and(|place| !only_asked_about(words, &place)))
        .map(String::as_str)
}

/// Whether a clause asks about a thing in general instead of reporting it: "is this an emergency line?", "do you handle floods?".
fn only_asked_about(words: &Words, place: &Range<usize>) -> bool {
    const STARTS: [&str; 18] = [
        "is this",
        "is that",
        "do you",
        "does",
        "are you",
        "what is",
        "what counts",
        "whats",
        "which",
        "when is",
        "how do you",
        "how does",
        "what kind",
        "can you handle",
        "are there",
        "who handles",
        "what do you",
        "where do you",
    ];
    const REPORTS: [&str; 20] = [
        "i",
        "im",
        "ive",
        "we",
        "weve",
        "my",
        "our",
        "us",
        "me",
        "help",
        "now",
        "need",
        "theres",
        "asap",
        "urgent",
        "urgently",
        "immediately",
        "someone",
        "right",
        "please",
    ];
    let clause = words.clause_of(place.start);
    let Some(first) = clause.first() else { return false };
    let text = clause.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let skip = if matches!(first.text.as_str(), "hi" | "hello" | "so" | "and" | "also" | "ok") {
        text.find(' ').map_or(0, |at| at + 1)
    } else {
        0
    };
    let general = STARTS
        .iter()
        .any(|start| text[skip..].strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')));
    general && !clause.iter().any(|word| REPORTS.contains(&word.text.as_str()))
}

fn above(config: &AgentConfig, value: Option<&String>, threshold_from: &str) -> bool {
    let threshold = config.vertical_config.get(threshold_from).and_then(micros);
    let largest = value.and_then(|value| text::amounts(value).iter().map(|amount| amount.micros).max());
    matches!((largest, threshold), (Some(largest), Some(threshold)) if largest > threshold)
}

/// A threshold as a number of units, or as `{amount_micros, currency}`.
fn micros(value: &Value) -> Option<u64> {
    match value.get("amount_micros") {
        Some(amount) => amount.as_u64(),
        None => value.as_u64().map(|units| units.saturating_mul(1_000_000)),
    }
}

fn within(
    config: &AgentConfig,
    reading: &Reading<'_>,
    captured: Option<&String>,
    phrases: &[String],
    hours_from: &str,
) -> Option<i64> {
    let hours = config.vertical_config.get(hours_from)?.as_i64()?;
    let spoken = meant(reading.words, phrases).map(|_| reading.text);
    let text = captured.map(String::as_str).or(spoken)?;
    let at = when::find_when(text, reading.now_ms, reading.timezone)?.earliest_ms?;
    let left = at - reading.now_ms;
    // An hour of grace: "today at 3" said at ten past three is about today's appointment.
    (left >= -3_600_000 && left < hours.saturating_mul(3_600_000)).then_some(hours)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(id: &str, trigger: Trigger) -> EscalationRule {
        EscalationRule { trigger, ..built_in(id, EscalationAction::ImmediateAlert, "r") }
    }

    fn fired(config: &AgentConfig, text: &str, captured: &[(&str, &str)]) -> Vec<String> {
        let words = Words::of(text);
        let reading = Reading { text, words: &words, now_ms: 1_795_194_000_000, timezone: "America/New_York" };
        let captured = captured.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        hits(config, &reading, &Mood::of(text, &words), &captured).into_iter().map(|hit| hit.rule.id).collect()
    }

    #[test]
    fn keywords_fire_when_reported_not_when_denied_or_asked_about() {
        let mut config = AgentConfig::default();
        let any = ["emergency", "flood", "gas leak", "no heat", "fire"].map(str::to_owned).to_vec();
        config.escalation_rules = vec![rule("emergency", Trigger::Keywords { any })];
        for (text, fires) in [
            ("Emergency — I need help now", true),
            ("my basement is flooding", true),
            ("We have no heat", true),
            ("is there a gas leak? I smell something", true),
            ("what do I do, there's a fire", true),
            ("this is not an emergency", false),
            ("is this an emergency line?", false),
            ("Do you offer emergency services?", false),
            ("hi, do you handle floods", false),
            ("do you do emergency repairs? my cellar is flooded", true),
        ] {
            assert_eq!(!fired(&config, text, &[]).is_empty(), fires, "{text}");
        }
    }

    #[test]
    fn a_budget_above_the_threshold_fires_once_it_is_captured() {
        let mut config = AgentConfig::default();
        config
            .vertical_config
            .insert("high".into(), json!({"amount_micros": 1_000_000_000_000_u64, "currency": "USD"}));
        config.escalation_rules =
            vec![rule("rich", Trigger::FieldAbove { field: "budget".into(), threshold_from: "high".into() })];
        assert_eq!(fired(&config, "x", &[("budget", "around $1.2 million")]), ["rich"]);
        assert!(fired(&config, "x", &[("budget", "500-900k")]).is_empty());
        assert!(fired(&config, "x", &[("budget", "$1,000,000")]).is_empty(), "the threshold itself is not above it");
        assert!(fired(&config, "I have 2 million", &[]).is_empty());
    }

    #[test]
    fn a_late_cancellation_is_within_the_hours() {
        let mut config = AgentConfig::default();
        config.vertical_config.insert("hours".into(), json!(24));
        config.escalation_rules = vec![rule(
            "late",
            Trigger::WithinHours {
                field: Some("day".into()),
                phrases: vec!["cancel".into()],
                hours_from: "hours".into(),
            },
        )];
        assert_eq!(fired(&config, "x", &[("day", "tomorrow at 10am")]), ["late"]);
        assert_eq!(fired(&config, "I must cancel today", &[]), ["late"]);
        assert!(fired(&config, "x", &[("day", "next Friday")]).is_empty());
        assert!(fired(&config, "x", &[("day", "whenever")]).is_empty());
    }

    #[test]
    fn a_person_and_frustration_work_without_rules() {
        let config = AgentConfig::default();
        assert_eq!(fired(&config, "let me talk to a person, this is ridiculous", &[]), [HUMAN_REQUEST, FRUSTRATION]);
    }
}
