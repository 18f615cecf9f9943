//! From a template to a configuration, and from a configuration with variables to the texts visitors read.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{config::AgentConfig, patch::patched};
use crate::{
    catalog::template::{SampleFaq, Template},
    check::is_key,
    local_time::{day_clock, hours_phrase},
    rejection::Rejection,
    tenant::{profile::Address, view::OrgFacts},
    text,
};

/// A template's configuration with the owner's own fields on top.
///
/// # Errors
/// `Invalid` with each wrong field of `overrides`.
pub fn from_template(template: &Template, overrides: &Value) -> Result<AgentConfig, Rejection> {
    let agent = &template.agent;
    let config = AgentConfig {
        name: agent.name.clone(),
        vertical: template.vertical,
        template_id: Some(template.id.clone()),
        variable_defaults: template.variables.clone(),
        system_prompt: agent.system_prompt.clone(),
        welcome_message: agent.welcome_message.clone(),
        voice_welcome_message: agent.voice_welcome_message.clone(),
        fallback_message: agent.fallback_message.clone(),
        escalation_message: agent.escalation_message.clone(),
        after_hours_message: Some(agent.after_hours_message.clone()).filter(|text| !text.is_empty()),
        quick_prompts: agent.quick_prompts.clone(),
        personality_traits: agent.personality_traits.clone(),
        tools: agent.tools.clone(),
        frameworks: agent.frameworks.clone(),
        voice_id: template.recommended_voice_id.clone(),
        voice_scripts: template.voice_scripts.clone(),
        lead_fields: template.lead_fields.clone(),
        form_fields: template.fields.clone(),
        intake_forms: template.intake_forms.clone(),
        intents: template.intents.clone(),
        escalation_rules: template.escalation_rules.clone(),
        routing_rules: template.routing_rules.clone(),
        compliance_notices: template.compliance_notices.clone(),
        vertical_config: template.vertical_config.clone(),
        ..AgentConfig::default()
    };
    patched(&config, overrides)
}

/// What an agent is called that nobody named: after the business, as its visitors know it.
pub fn usual_name(organization: &str, overrides: &Value) -> String {
    const MARK: &str = "'s receptionist";
    let own = overrides.get("variables").and_then(|variables| variables.get("business_name")).and_then(Value::as_str);
    let business = text::one_line(own.unwrap_or(organization));
    let room = crate::check::NAME_CHARS_MAX - MARK.chars().count();
    match business.trim() {
        "" => "Receptionist".to_owned(),
        business => format!("{}{MARK}", business.chars().take(room).collect::<String>().trim_end()),
    }
}

/// A configuration for a second agent: what belongs to one agent alone is left out.
pub fn copy_of(config: &AgentConfig) -> AgentConfig {
    const MARK: &str = " (copy)";
    let room = crate::check::NAME_CHARS_MAX - MARK.chars().count();
    let name: String = config.name.chars().take(room).collect();
    AgentConfig {
        name: format!("{name}{MARK}"),
        phone_number: None,
        phone_number_sid: None,
        retell_agent_id: None,
        ..config.clone()
    }
}

/// What fills an agent's variables: the owner's words, else facts of the organization, else the template's sentences.
pub fn variables(config: &AgentConfig, facts: &OrgFacts) -> BTreeMap<String, String> {
    let mut all = config.variable_defaults.clone();
    all.extend(organization_variables(facts, config.website_url.as_deref()));
    let own = config.variables.iter().filter(|(_, value)| !value.trim().is_empty());
    all.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    all
}

/// The configuration with every variable of its texts filled in.
pub fn rendered(config: &AgentConfig, facts: &OrgFacts) -> AgentConfig {
    let variables = variables(config, facts);
    let Ok(Value::Object(mut fields)) = serde_json::to_value(config) else { return config.clone() };
    for (field, value) in &mut fields {
        if !matches!(field.as_str(), "variables" | "variable_defaults") {
            fill_all(value, &variables);
        }
    }
    // Filling changes texts only, so the shape is still right; if it were not, the unfilled texts are better than none.
    serde_json::from_value(Value::Object(fields)).unwrap_or_else(|_| config.clone())
}

/// Questions and answers with their variables filled in.
pub fn rendered_faqs(faqs: &[SampleFaq], variables: &BTreeMap<String, String>) -> Vec<SampleFaq> {
    let fill = |faq: &SampleFaq| SampleFaq {
        q: text::fill(&faq.q, variables),
        a: text::fill(&faq.a, variables),
        category: faq.category.clone(),
    };
    faqs.iter().map(fill).collect()
}

fn fill_all(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) if text.contains("{{") => *text = text::fill(text, variables),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_all(item, variables)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill_all(field, variables)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What an organization says about itself, as variables; only what is known, so that a template's careful sentence stays otherwise.
fn organization_variables(facts: &OrgFacts, website: Option<&str>) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()) {
            known.insert(name.to_owned(), value);
        }
    };
    put("business_name", Some(facts.name.clone()));
    put("business_phone", facts.phone.clone());
    put("business_email", facts.email.clone());
    put("website_url", website.map(str::to_owned).or_else(|| facts.website_url.clone()));
    put("timezone", Some(facts.timezone.clone()));
    if let Some(address) = &facts.address {
        put("city", Some(address.city.clone()));
        put("state", Some(address.state.clone()));
        let city = address.city.trim();
        put("service_area", (!city.is_empty()).then(|| format!("the {city} area")));
        let line = address_line(address);
        put("location_answer", (!address.street.trim().is_empty()).then(|| format!("You can find us at {line}.")));
        put("business_address", Some(line));
    }
    if let Some(hours) = hours_phrase(&facts.business_hours, day_clock(&facts.timezone)) {
        put("business_hours_answer", Some(format!("We're open {hours}.")));
        put("support_hours_answer", Some(format!("You can write here at any time. Our team is there {hours}.")));
        put("business_hours", Some(hours));
    }
    put("contact_answer", contact_answer(facts));
    for (name, value) in &facts.metadata {
        match value {
            Value::String(text) if is_key(name) => put(name, Some(text.clone())),
            Value::Number(number) if is_key(name) => put(name, Some(number.to_string())),
            Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            }
        }
    }
    known
}

fn contact_answer(facts: &OrgFacts) -> Option<String> {
    let ways = match (facts.phone.as_deref().map(text::pretty_phone), &facts.email) {
        (Some(phone), Some(email)) => format!("call us at {phone} or write to {email}"),
        (Some(phone), None) => format!("call us at {phone}"),
        (None, Some(email)) => format!("write to {email}"),
        (None, None) => return None,
    };
    Some(format!("You can {ways}. You can also leave a message here, and I'll pass it on."))
}

fn address_line(address: &Address) -> String {
    let region = format!("{} {}", address.state.trim(), address.zip.trim());
    let parts = [address.street.trim(), address.city.trim(), region.trim(), address.country.trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}
