//! Alerts to people of the business: who gets them and what they say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AlertDraft, Brief, form};
use crate::{agent::config::AgentConfig, catalog::template::AlertChannel, text, vocabulary::Urgency};

/// Characters of a text message: three segments of GSM text, which every carrier delivers as one.
const SMS_CHARS_MAX: usize = 459;
/// Characters of the visitor's words in an alert.
const QUOTE_CHARS_MAX: usize = 300;

/// What an alert is about.
pub(super) struct About<'a> {
    /// The rule or form.
    pub(super) id: &'a str,
    /// Such as `Emergency` or `Update`.
    pub(super) heading: &'a str,
    /// Why.
    pub(super) reason: &'a str,
    /// How pressing.
    pub(super) urgency: Urgency,
}

/// One alert per channel that is wanted and has an address.
pub(super) fn drafts(
    config: &AgentConfig,
    brief: &Brief,
    values: &BTreeMap<String, String>,
    channels: &[AlertChannel],
    about: &About<'_>,
) -> Vec<AlertDraft> {
    if !config.escalation_enabled {
        return Vec::new();
    }
    let sms_off = config.vertical_config.get("emergency_sms") == Some(&Value::Bool(false));
    let mut drafts = Vec::new();
    for channel in [AlertChannel::Sms, AlertChannel::Email] {
        let to = match channel {
            AlertChannel::Sms if sms_off => None,
            AlertChannel::Sms => config.escalation_phone.as_ref(),
            AlertChannel::Email => config.escalation_email.as_ref(),
        };
        let Some(to) = to.filter(|to| !to.is_empty() && channels.contains(&channel)) else { continue };
        let (subject, body) = match channel {
            AlertChannel::Sms => (String::new(), sms(config, brief, values, about)),
            AlertChannel::Email => {
                (format!("{}: {} ({})", about.heading, about.reason, config.name), email(config, brief, values, about))
            }
        };
        drafts.push(AlertDraft {
            channel,
            to: to.clone(),
            subject: text::one_line(&subject),
            body,
            about: about.id.to_owned(),
        });
    }
    drafts
}

/// The alerts of a form that was filled in at once, if it is one that alerts.
pub fn form_alerts(
    config: &AgentConfig,
    brief: &Brief,
    form: &str,
    values: &BTreeMap<String, String>,
) -> Vec<AlertDraft> {
    match form::form_of(config, form).filter(|form| form.auto_alert) {
        Some(form) => {
            let title = if form.title.is_empty() { form.id.replace('_', " ") } else { form.title.clone() };
            drafts(
                config,
                brief,
                values,
                &form.alert,
                &About { id: &form.id, heading: "New request", reason: &title, urgency: form.urgency },
            )
        }
        None => Vec::new(),
    }
}

/// The alerts of an escalation that a model's tool asks for.
pub(in crate::conversation) fn tool_alerts(
    config: &AgentConfig,
    brief: &Brief,
    reason: &str,
    urgency: Urgency,
) -> Vec<AlertDraft> {
    let about = About { id: "model", heading: "Please look", reason, urgency };
    drafts(config, brief, &brief.dialogue.values, &[AlertChannel::Email], &about)
}

/// Whether anybody can be alerted at all.
pub(super) fn reachable(config: &AgentConfig) -> bool {
    let given = |to: &Option<String>| to.as_ref().is_some_and(|to| !to.is_empty());
    config.escalation_enabled && (given(&config.escalation_email) || given(&config.escalation_phone))
}

/// Whether the visitor's words may leave the encrypted conversation (`phi_in_alerts = false` in medical trades).
fn may_quote(config: &AgentConfig) -> bool {
    config.vertical_config.get("phi_in_alerts") != Some(&Value::Bool(false))
}

/// The values an alert may show: all, or only how to reach the person.
fn shown(config: &AgentConfig, values: &BTreeMap<String, String>) -> Vec<(String, String)> {
    form::readable(values)
        .into_iter()
        .filter(|(name, _)| may_quote(config) || matches!(name.as_str(), "name" | "phone" | "email"))
        .map(|(name, value)| (config.field(&name).map_or_else(|| name.replace('_', " "), form::label), value))
        .collect()
}

fn sms(config: &AgentConfig, brief: &Brief, values: &BTreeMap<String, String>, about: &About<'_>) -> String {
    let details: Vec<String> =
        shown(config, values).into_iter().map(|(_, value)| text::shorten(&text::one_line(&value), 80)).collect();
    let mut body = format!("{} at {}: {}.", about.heading, config.name, about.reason);
    if !details.is_empty() {
        body.push_str(&format!(" {}.", details.join(", ")));
    }
    if may_quote(config) && !brief.text.is_empty() {
        body.push_str(&format!(" \"{}\"", text::shorten(&text::one_line(&brief.text), 160)));
    }
    text::shorten(&body, SMS_CHARS_MAX)
}

fn email(config: &AgentConfig, brief: &Brief, values: &BTreeMap<String, String>, about: &About<'_>) -> String {
    let urgency = match about.urgency {
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
        Urgency::Emergency => "EMERGENCY",
    };
    let mut lines = vec![format!("{}: {}", about.heading, about.reason), format!("Urgency: {urgency}"), String::new()];
    for (label, value) in shown(config, values) {
        lines.push(format!("{label}: {value}"));
    }
    if may_quote(config) && !brief.text.is_empty() {
        lines.push(String::new());
        lines.push(format!("The visitor wrote: \"{}\"", text::shorten(&text::one_line(&brief.text), QUOTE_CHARS_MAX)));
    }
    let checklist: Vec<&str> = config
        .vertical_config
        .get("emergency_checklist")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if about.urgency == Urgency::Emergency && !checklist.is_empty() {
        lines.push(String::new());
        lines.extend(checklist.iter().map(|item| format!("- {item}")));
    }
    lines.push(String::new());
    if let Some(page) = brief.visitor.page_url.as_ref().filter(|_| may_quote(config)) {
        lines.push(format!("Page: {page}"));
    }
    lines.push(format!("Agent: {}", config.name));
    lines.push(format!("Conversation: {}", brief.conversation_id));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> AgentConfig {
        AgentConfig {
            name: "Acme".into(),
            escalation_email: Some("boss@acme.com".into()),
            escalation_phone: Some("+15550001111".into()),
            ..AgentConfig::default()
        }
    }

    fn about() -> About<'static> {
        About { id: "emergency", heading: "Emergency", reason: "said \"gas leak\"", urgency: Urgency::Emergency }
    }

    fn values() -> BTreeMap<String, String> {
        BTreeMap::from([("phone".into(), "+15552013344".into()), ("reason_for_visit".into(), "tooth".into())])
    }

    #[test]
    fn every_wanted_channel_with_an_address_gets_an_alert() {
        let brief = Brief { text: "gas leak!".into(), ..Brief::default() };
        let both = drafts(&config(), &brief, &values(), &[AlertChannel::Sms, AlertChannel::Email], &about());
        assert_eq!(both.len(), 2);
        assert!(both.iter().all(|draft| draft.body.contains("(555) 201-3344") && draft.body.contains("gas leak!")));
        assert_eq!(drafts(&config(), &brief, &values(), &[AlertChannel::Email], &about()).len(), 1);
        let alone = AgentConfig { escalation_email: None, escalation_phone: None, ..config() };
        assert!(drafts(&alone, &brief, &values(), &[AlertChannel::Email], &about()).is_empty() && !reachable(&alone));
        let off = AgentConfig { escalation_enabled: false, ..config() };
        assert!(drafts(&off, &brief, &values(), &[AlertChannel::Email], &about()).is_empty() && !reachable(&off));
    }

    #[test]
    fn health_details_stay_out_of_alerts_where_the_trade_says_so() {
        let mut config = config();
        config.vertical_config.insert("phi_in_alerts".into(), json!(false));
        let brief = Brief { text: "my tooth hurts".into(), ..Brief::default() };
        for draft in drafts(&config, &brief, &values(), &[AlertChannel::Sms, AlertChannel::Email], &about()) {
            assert!(!draft.body.contains("tooth") && draft.body.contains("201-3344"), "{}", draft.body);
        }
    }

    #[test]
    fn a_text_message_stays_within_three_segments() {
        let brief = Brief { text: "x".repeat(5_000), ..Brief::default() };
        let many = (0..50).map(|n| (format!("f{n}"), "y".repeat(200))).collect();
        assert!(
            drafts(&config(), &brief, &many, &[AlertChannel::Sms], &about())[0].body.chars().count() <= SMS_CHARS_MAX
        );
    }
}
