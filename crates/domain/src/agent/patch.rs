//! Changing a configuration by a JSON merge patch, with every mistake named by field.

use serde_json::{Map, Value, json};

use super::{config::AgentConfig, limits::CONFIG_BYTES_MAX, problems::problems};
use crate::{
    catalog::template::Trigger,
    check::{Checks, is_bounded_json, is_web_address, merge_patch, normal_email},
    rejection::Rejection,
};

/// The seeds' spelling of theme keys, and ours.
const THEME_KEYS: [(&str, &str); 3] =
    [("primaryColor", "primary_color"), ("fontFamily", "font_family"), ("borderRadius", "border_radius")];

/// The configuration with a merge patch applied; null brings a field's default back.
///
/// # Errors
/// `Invalid` with each field that is unknown, of the wrong type or outside of its limits.
pub fn patched(config: &AgentConfig, patch: &Value) -> Result<AgentConfig, Rejection> {
    let Value::Object(fields) = patch else { return Err(Rejection::invalid("body", "must be a JSON object")) };
    if !is_bounded_json(patch, CONFIG_BYTES_MAX) {
        return Err(Rejection::invalid("body", format!("must be at most {CONFIG_BYTES_MAX} bytes and 16 levels deep")));
    }
    let mut merged = as_object(config);
    let mut checks = Checks::default();
    for (field, value) in fields {
        let Some(current) = merged.get(field) else {
            checks.fail(field, "is not a field of an agent that can be changed");
            continue;
        };
        if value.is_null() {
            // Absent means the default (the struct is `serde(default)`); the key stays known for the other fields.
            merged.insert(field.clone(), as_object(&AgentConfig::default()).remove(field).unwrap_or(Value::Null));
            continue;
        }
        let mut new = current.clone();
        merge_patch(&mut new, &in_our_words(field, value, config));
        let alone = Map::from_iter([(field.clone(), new.clone())]);
        match serde_json::from_value::<AgentConfig>(Value::Object(alone)) {
            Ok(_) => {
                merged.insert(field.clone(), new);
            }
            Err(error) => checks.fail(field, format!("is not understood: {error}")),
        }
    }
    checks.finish()?;
    let mut config: AgentConfig =
        serde_json::from_value(Value::Object(merged)).map_err(|error| Rejection::invalid("body", error.to_string()))?;
    normalise(&mut config);
    let errors = problems(&config);
    if errors.is_empty() { Ok(config) } else { Err(Rejection::Invalid { errors }) }
}

/// Accepts the seeds' spellings: theme keys in camel case, lead fields by name alone.
fn in_our_words(field: &str, value: &Value, config: &AgentConfig) -> Value {
    match (field, value) {
        ("chat_theme", Value::Object(theme)) => {
            let renamed = theme.iter().map(|(key, value)| {
                let ours = THEME_KEYS.iter().find(|(seeds, _)| seeds == key).map_or(key.as_str(), |(_, ours)| *ours);
                (ours.to_owned(), pixels(ours, value))
            });
            Value::Object(renamed.collect())
        }
        ("lead_fields", Value::Array(fields)) => fields
            .iter()
            .map(|field| field.as_str().map_or_else(|| field.clone(), |name| named_field(name, config)))
            .collect(),
        _ => value.clone(),
    }
}

/// A radius may come as the CSS text `12px`.
fn pixels(key: &str, value: &Value) -> Value {
    let number = value.as_str().and_then(|text| text.trim().trim_end_matches("px").parse::<u16>().ok());
    match (key, number) {
        ("border_radius", Some(number)) => json!(number),
        _ => value.clone(),
    }
}

fn named_field(name: &str, config: &AgentConfig) -> Value {
    if let Some(known) = config.field(name) {
        return serde_json::to_value(known).unwrap_or(Value::Null);
    }
    let kind = match name {
        "email" => "email",
        "phone" => "phone",
        _ => "text",
    };
    let words = name.replace('_', " ");
    let mut label: Vec<char> = words.chars().collect();
    if let Some(first) = label.first_mut() {
        *first = first.to_ascii_uppercase();
    }
    json!({
        "name": name,
        "label": label.into_iter().collect::<String>(),
        "type": kind,
        "required": false,
        "ask": format!("What is your {words}?"),
    })
}

/// Brings texts into the form they are compared and shown in; never fails.
fn normalise(config: &mut AgentConfig) {
    config.name = config.name.trim().to_owned();
    for text in [
        &mut config.website_url,
        &mut config.chat_avatar_url,
        &mut config.voice_id,
        &mut config.retell_agent_id,
        &mut config.phone_number_sid,
        &mut config.after_hours_message,
        &mut config.missed_call_text,
    ] {
        *text = text.take().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    }
    if let Some(url) = &mut config.website_url
        && !url.contains("://")
        && is_web_address(&format!("https://{url}"))
    {
        url.insert_str(0, "https://");
    }
    config.escalation_email =
        config.escalation_email.take().map(|email| normal_email(&email)).filter(|email| !email.is_empty());
    for phone in [&mut config.phone_number, &mut config.escalation_phone] {
        *phone = phone.take().map(|phone| without_separators(&phone)).filter(|phone| !phone.is_empty());
    }
    for origin in &mut config.allowed_origins {
        *origin = origin.trim().trim_end_matches('/').to_lowercase();
    }
    for intent in &mut config.intents {
        lower(&mut intent.phrases);
    }
    for rule in &mut config.escalation_rules {
        match &mut rule.trigger {
            Trigger::Keywords { any } => lower(any),
            Trigger::Sentiment { phrases, .. }
            | Trigger::Intent { phrases, .. }
            | Trigger::WithinHours { phrases, .. } => lower(phrases),
            Trigger::HumanRequest {} | Trigger::FieldAbove { .. } => {}
        }
        rule.safety_advice.iter_mut().for_each(|advice| lower(&mut advice.matches));
    }
}

fn lower(phrases: &mut Vec<String>) {
    for phrase in phrases.iter_mut() {
        *phrase = phrase.trim().to_lowercase();
    }
    phrases.retain(|phrase| !phrase.is_empty());
}

fn without_separators(phone: &str) -> String {
    phone.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '\u{a0}')).collect()
}

fn as_object(config: &AgentConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(patch: &Value) -> Vec<String> {
        match patched(&AgentConfig::default(), patch) {
            Err(Rejection::Invalid { errors }) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{patch}: {other:?}"),
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (patch, field) in [
            (json!({"nome": "x"}), "nome"),
            (json!({"id": "x"}), "id"),
            (json!({"name": ""}), "name"),
            (json!({"name": ["x"]}), "name"),
            (json!({"vertical": "submarines"}), "vertical"),
            (json!({"website_url": "javascript:alert(1)"}), "website_url"),
            (json!({"welcome_message": " "}), "welcome_message"),
            (json!({"system_prompt": "x".repeat(20_001)}), "system_prompt"),
            (json!({"quick_prompts": vec!["x"; 11]}), "quick_prompts"),
            (json!({"tools": ["rm"]}), "tools"),
            (json!({"tools": ["escalate", "escalate"]}), "tools"),
            (json!({"variables": {"Bad Name": "x"}}), "variables.Bad Name"),
            (json!({"variables": {"a": 1}}), "variables"),
            (json!({"voice_provider": "tin can"}), "voice_provider"),
            (json!({"voice_language": "e"}), "voice_language"),
            (json!({"voice_speed": 9}), "voice_speed"),
            (json!({"phone_number": "555"}), "phone_number"),
            (json!({"chat_position": "top"}), "chat_position"),
            (json!({"chat_theme": {"primaryColor": "red; background: url(x)"}}), "chat_theme.primary_color"),
            (json!({"chat_theme": {"font_family": "x;}"}}), "chat_theme.font_family"),
            (json!({"chat_theme": {"border_radius": 900}}), "chat_theme.border_radius"),
            (json!({"chat_theme": {"mode": "pink"}}), "chat_theme.mode"),
            (json!({"chat_avatar_url": "data:image/png,x"}), "chat_avatar_url"),
            (json!({"chat_avatar_url": "http://example.com/face.png"}), "chat_avatar_url"),
            (json!({"allowed_origins": ["https://a.com/path"]}), "allowed_origins.0"),
            (json!({"escalation_email": "x"}), "escalation_email"),
            (json!({"max_messages_per_convo": 1}), "max_messages_per_convo"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"max_tokens": 5000}), "max_tokens"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"lead_fields": ["a", "a"]}), "lead_fields"),
            (json!({"lead_fields": [{"name": "A B", "type": "text"}]}), "lead_fields.0.name"),
            (json!({"lead_fields": [{"name": "a", "type": "select"}]}), "lead_fields.0.options"),
            (json!({"lead_fields": [{"name": "a", "type": "colour"}]}), "lead_fields"),
            (json!({"intake_forms": [{"id": "f", "fields": ["nothing"], "urgency": "low"}]}), "intake_forms.0.fields"),
            (
                json!({"intents": [{"id": "i", "lead_intent": "get_quote", "phrases": [], "form": "x"}]}),
                "intents.0.form",
            ),
            (
                json!({"escalation_rules": [{"id": "r", "action": "transfer", "trigger": {"kind": "keywords", "any": []}}]}),
                "escalation_rules.0.trigger.any",
            ),
            (
                json!({"escalation_rules": [{"id": "r", "action": "transfer", "trigger": {"kind": "sentiment", "value": "glad"}}]}),
                "escalation_rules.0.trigger.value",
            ),
            (json!({"routing_rules": [{"route_to": {}}]}), "routing_rules.0.route_to"),
            (json!({"compliance_notices": [{"type": "x", "text": "", "when": "form"}]}), "compliance_notices.0.text"),
            (json!({"vertical_config": {"x": "y".repeat(300_000)}}), "body"),
        ] {
            assert_eq!(fields(&patch), [field], "{patch}");
        }
        assert_eq!(fields(&json!({"name": "", "max_tokens": 0})), ["name", "max_tokens"]);
        assert_eq!(fields(&json!("x")), ["body"]);
    }

    #[test]
    fn the_seeds_spellings_are_understood() {
        let patch = json!({
            "chat_theme": {"primaryColor": "#abc", "fontFamily": "Inter, sans-serif", "borderRadius": "12px"},
            "lead_fields": ["name", "email", "order_number"],
            "website_url": "joes.example",
            "escalation_phone": "+1 (415) 555-2671",
            "escalation_email": " Boss@Joes.Example ",
            "allowed_origins": ["https://Joes.Example/"],
        });
        let config = patched(&AgentConfig::default(), &patch).unwrap();
        assert_eq!(config.chat_theme.primary_color.as_deref(), Some("#abc"));
        assert_eq!(config.chat_theme.border_radius, Some(12));
        assert_eq!(config.lead_fields[1].kind, crate::vocabulary::FieldType::Email);
        assert_eq!(config.lead_fields[2].label, "Order number");
        assert_eq!(config.website_url.as_deref(), Some("https://joes.example"));
        assert_eq!(config.escalation_phone.as_deref(), Some("+14155552671"));
        assert_eq!(config.escalation_email.as_deref(), Some("boss@joes.example"));
        assert_eq!(config.allowed_origins, ["https://joes.example"]);
        // A second patch in the other spelling changes the same key.
        let config = patched(&config, &json!({"chat_theme": {"primary_color": "#def", "fontFamily": null}})).unwrap();
        assert_eq!((config.chat_theme.primary_color.as_deref(), config.chat_theme.font_family), (Some("#def"), None));
    }

    #[test]
    fn a_patch_leaves_the_rest_and_null_brings_the_default_back() {
        let first =
            patched(&AgentConfig::default(), &json!({"variables": {"a": "1", "b": "2"}, "max_tokens": 9})).unwrap();
        let second = patched(&first, &json!({"variables": {"a": null}, "max_tokens": null, "name": "Ada"})).unwrap();
        assert_eq!(second.variables, std::collections::BTreeMap::from([("b".to_owned(), "2".to_owned())]));
        assert_eq!((second.max_tokens, second.name.as_str()), (500, "Ada"));
        assert_eq!(patched(&second, &json!({})).unwrap(), second);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z_]{1,12}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_patch_breaks_it_and_what_is_taken_is_right(field in 0_usize..60, value in any_json()) {
            let known: Vec<String> = as_object(&AgentConfig::default()).keys().cloned().collect();
            let patch = json!({ known[field % known.len()].clone(): value });
            if let Ok(config) = patched(&AgentConfig::default(), &patch) {
                prop_assert!(problems(&config).is_empty());
                let text = serde_json::to_string(&config).unwrap();
                prop_assert_eq!(serde_json::from_str::<AgentConfig>(&text).unwrap(), config);
            }
        }
    }
}
