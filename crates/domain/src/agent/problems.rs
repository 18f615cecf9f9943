//! Everything that can be wrong with a configuration, by field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    config::AgentConfig,
    limits::{
        ANSWER_TOKENS_MAX, AUTO_CALL_COUNTRIES_MAX, AUTO_CALL_MINUTES_MAX, CONFIG_BYTES_MAX, FIELDS_MAX,
        LINE_CHARS_MAX, MESSAGE_CHARS_MAX, MESSAGES_PER_CONVERSATION_MAX, MISSED_CALL_TEXT_CHARS_MAX, OPTIONS_MAX,
        ORIGINS_MAX, PHRASE_CHARS_MAX, PHRASES_MAX, PROMPT_CHARS_MAX, QUICK_PROMPTS_MAX, RULES_MAX, VARIABLES_MAX,
    },
};
use crate::{
    call::script,
    campaign::{
        limits::{QUESTION_CHARS_MAX, QUESTIONS_MAX},
        number,
    },
    catalog::{
        check::{KNOWN_SENTIMENTS, KNOWN_TOOLS},
        template::{Field, Trigger},
    },
    check::{Checks, NAME_CHARS_MAX, is_bounded_json, is_hex_colour, is_key, is_origin},
    rejection::FieldError,
    vocabulary::FieldType,
};

/// Everything wrong with a configuration; empty if it can be saved.
pub fn problems(config: &AgentConfig) -> Vec<FieldError> {
    let mut checks = Checks::default();
    let bounded = serde_json::to_value(config).is_ok_and(|value| is_bounded_json(&value, CONFIG_BYTES_MAX));
    if !bounded {
        checks.fail("config", format!("is larger than {CONFIG_BYTES_MAX} bytes in all, or nested too deeply"));
        return checks.errors();
    }
    texts(config, &mut checks);
    voice(config, &mut checks);
    chat(config, &mut checks);
    behaviour(config, &mut checks);
    fields(config, &mut checks);
    forms_and_intents(config, &mut checks);
    rules(config, &mut checks);
    checks.errors()
}

fn texts(config: &AgentConfig, checks: &mut Checks) {
    checks.line("name", &config.name, 1, NAME_CHARS_MAX);
    if let Some(url) = &config.website_url {
        checks.web_address("website_url", url);
    }
    if let Some(template) = &config.template_id {
        checks.line("template_id", template, 1, NAME_CHARS_MAX);
    }
    checks.text("system_prompt", &config.system_prompt, 0, PROMPT_CHARS_MAX);
    let messages = [
        ("welcome_message", &config.welcome_message),
        ("voice_welcome_message", &config.voice_welcome_message),
        ("fallback_message", &config.fallback_message),
        ("escalation_message", &config.escalation_message),
    ];
    for (field, text) in messages {
        checks.text(field, text, 1, MESSAGE_CHARS_MAX);
    }
    if let Some(text) = &config.after_hours_message {
        checks.text("after_hours_message", text, 0, MESSAGE_CHARS_MAX);
    }
    lines(checks, "quick_prompts", &config.quick_prompts, QUICK_PROMPTS_MAX, PHRASE_CHARS_MAX);
    lines(checks, "guardrails", &config.guardrails, RULES_MAX, LINE_CHARS_MAX);
    lines(checks, "frameworks", &config.frameworks, RULES_MAX, PHRASE_CHARS_MAX);
    for tool in &config.tools {
        let known = KNOWN_TOOLS.contains(&tool.as_str());
        checks.ensure(known, "tools", format!("`{}` is not one of {}", shown(tool), KNOWN_TOOLS.join(", ")));
    }
    distinct(checks, "tools", config.tools.iter());
    let traits = &config.personality_traits;
    for (field, value) in [
        ("tone", &traits.tone),
        ("formality", &traits.formality),
        ("empathy_level", &traits.empathy_level),
        ("verbosity", &traits.verbosity),
    ] {
        checks.line(&format!("personality_traits.{field}"), value, 0, PHRASE_CHARS_MAX);
    }
    for (field, variables) in [("variables", &config.variables), ("variable_defaults", &config.variable_defaults)] {
        checks.count(field, variables.len(), VARIABLES_MAX);
        for (name, value) in variables {
            checks.ensure(
                is_key(name),
                format!("{field}.{}", shown(name)),
                "must be named with lower-case letters, digits and underscores",
            );
            checks.text(&format!("{field}.{}", shown(name)), value, 0, MESSAGE_CHARS_MAX);
        }
    }
}

fn voice(config: &AgentConfig, checks: &mut Checks) {
    one_of(checks, "voice_provider", &config.voice_provider, &["retell", "vapi", "elevenlabs", "openai", "espeak-ng"]);
    let ids = [
        ("voice_id", &config.voice_id),
        ("retell_agent_id", &config.retell_agent_id),
        ("phone_number_sid", &config.phone_number_sid),
    ];
    for (field, id) in ids {
        if let Some(id) = id {
            checks.line(field, id, 1, NAME_CHARS_MAX);
        }
    }
    if let Some(phone) = &config.phone_number {
        checks.phone("phone_number", phone);
    }
    // Callers are put through to it at the business's expense: none that costs extra, and none that does not exist.
    if let Some(problem) = config.escalation_phone.as_ref().and_then(|phone| number::normal(phone, None).err()) {
        checks.fail("escalation_phone", problem.to_string());
    }
    let language = &config.voice_language;
    let tag = (2..=35).contains(&language.len())
        && language
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    checks.ensure(tag, "voice_language", "must be a language tag such as en-US");
    checks.ensure((0.5..=2.0).contains(&config.voice_speed), "voice_speed", "must be from 0.5 to 2");
    let told = |kind: &str| config.compliance_notices.iter().any(|notice| notice.kind == kind);
    checks.ensure(
        !config.voice_recording || told("call_recording") || told("recording_consent"),
        "voice_recording",
        "needs a notice of the type call_recording or recording_consent among the compliance_notices: callers are told before they are recorded",
    );
    if let Some(text) = &config.missed_call_text {
        checks.text("missed_call_text", text, 1, MISSED_CALL_TEXT_CHARS_MAX);
    }
    checks.count("voice_scripts", config.voice_scripts.len(), RULES_MAX);
    for (situation, text) in &config.voice_scripts {
        if let Some(country) = script::disclosed_country(situation) {
            let field = format!("voice_scripts.{}", shown(situation));
            checks.ensure(number::is_country(&country), field, "names no country: end it with two letters such as de");
        }
        checks.text(&format!("voice_scripts.{}", shown(situation)), text, 0, MESSAGE_CHARS_MAX);
    }
    if let Some(auto) = &config.auto_call_leads {
        checks.ensure(
            (1..=AUTO_CALL_MINUTES_MAX).contains(&auto.within_minutes),
            "auto_call_leads.within_minutes",
            format!("must be 1 to {AUTO_CALL_MINUTES_MAX}"),
        );
        checks.count("auto_call_leads.questions", auto.questions.len(), QUESTIONS_MAX);
        for question in &auto.questions {
            checks.line("auto_call_leads.questions", question, 1, QUESTION_CHARS_MAX);
        }
        for country in &auto.countries {
            let fine = crate::campaign::number::is_country(country);
            checks.ensure(fine, "auto_call_leads.countries", "must be countries of two letters such as US");
        }
        checks.count("auto_call_leads.countries", auto.countries.len(), AUTO_CALL_COUNTRIES_MAX);
    }
}

fn chat(config: &AgentConfig, checks: &mut Checks) {
    one_of(checks, "chat_position", &config.chat_position, &["bottom-right", "bottom-left"]);
    let theme = &config.chat_theme;
    if let Some(colour) = &theme.primary_color {
        checks.ensure(is_hex_colour(colour), "chat_theme.primary_color", "must be a hex colour such as #2563eb");
    }
    if let Some(font) = &theme.font_family {
        // It ends up in a style sheet of the visitor's page.
        let plain = !font.is_empty()
            && font.chars().count() <= PHRASE_CHARS_MAX
            && font.chars().all(|c| c.is_alphanumeric() || " ,'\"-_".contains(c));
        checks.ensure(plain, "chat_theme.font_family", "must be font names such as Inter, sans-serif");
    }
    if let Some(radius) = theme.border_radius {
        checks.ensure(radius <= 64, "chat_theme.border_radius", "must be from 0 to 64 pixels");
    }
    if let Some(mode) = &theme.mode {
        one_of(checks, "chat_theme.mode", mode, &["auto", "light", "dark"]);
    }
    if let Some(url) = &config.chat_avatar_url {
        checks.web_address("chat_avatar_url", url);
        // A page on https shows no picture without it.
        checks.ensure(!url.starts_with("http://"), "chat_avatar_url", "must begin with https://");
    }
    checks.count("allowed_origins", config.allowed_origins.len(), ORIGINS_MAX);
    for (n, origin) in config.allowed_origins.iter().enumerate() {
        checks.ensure(
            is_origin(origin),
            format!("allowed_origins.{n}"),
            "must be an origin such as https://example.com, without a path",
        );
    }
}

fn behaviour(config: &AgentConfig, checks: &mut Checks) {
    if let Some(email) = &config.escalation_email {
        checks.email("escalation_email", email);
    }
    let messages = 2..=MESSAGES_PER_CONVERSATION_MAX;
    checks.ensure(
        messages.contains(&config.max_messages_per_convo),
        "max_messages_per_convo",
        format!("must be from 2 to {MESSAGES_PER_CONVERSATION_MAX}"),
    );
    checks.line("llm_model", &config.llm_model, 1, NAME_CHARS_MAX);
    checks.ensure((0.0..=2.0).contains(&config.temperature), "temperature", "must be from 0 to 2");
    let tokens = (1..=ANSWER_TOKENS_MAX).contains(&config.max_tokens);
    checks.ensure(tokens, "max_tokens", format!("must be from 1 to {ANSWER_TOKENS_MAX}"));
}

fn fields(config: &AgentConfig, checks: &mut Checks) {
    for (list, fields) in [("lead_fields", &config.lead_fields), ("form_fields", &config.form_fields)] {
        checks.count(list, fields.len(), FIELDS_MAX);
        for (n, field) in fields.iter().enumerate() {
            one_field(checks, &format!("{list}.{n}"), field);
        }
    }
    distinct(checks, "lead_fields", config.lead_fields.iter().chain(&config.form_fields).map(|field| &field.name));
}

fn one_field(checks: &mut Checks, at: &str, field: &Field) {
    checks.ensure(
        is_key(&field.name),
        format!("{at}.name"),
        "must have lower-case letters, digits and underscores, a letter first",
    );
    checks.line(&format!("{at}.label"), &field.label, 0, LINE_CHARS_MAX);
    checks.text(&format!("{at}.ask"), &field.ask, 0, LINE_CHARS_MAX);
    lines(checks, &format!("{at}.options"), &field.options, OPTIONS_MAX, PHRASE_CHARS_MAX);
    if field.kind == FieldType::Select {
        checks.ensure(!field.options.is_empty(), format!("{at}.options"), "must offer something to select");
    }
}

fn forms_and_intents(config: &AgentConfig, checks: &mut Checks) {
    checks.count("intake_forms", config.intake_forms.len(), RULES_MAX);
    for (n, form) in config.intake_forms.iter().enumerate() {
        let at = format!("intake_forms.{n}");
        id(checks, &format!("{at}.id"), &form.id);
        checks.line(&format!("{at}.title"), &form.title, 0, LINE_CHARS_MAX);
        checks.text(&format!("{at}.intro"), &form.intro, 0, MESSAGE_CHARS_MAX);
        checks.text(&format!("{at}.confirmation"), &form.confirmation, 0, MESSAGE_CHARS_MAX);
        checks.count(&format!("{at}.triggers"), form.triggers.len(), RULES_MAX);
        checks.ensure(
            !form.fields.is_empty() && form.fields.len() <= FIELDS_MAX,
            format!("{at}.fields"),
            format!("must name 1 to {FIELDS_MAX} fields"),
        );
        for name in &form.fields {
            let known = config.field(name).is_some();
            checks.ensure(
                known,
                format!("{at}.fields"),
                format!("`{}` is neither a lead field nor a form field", shown(name)),
            );
        }
        distinct(checks, &format!("{at}.fields"), form.fields.iter());
    }
    distinct(checks, "intake_forms", config.intake_forms.iter().map(|form| &form.id));
    checks.count("intents", config.intents.len(), RULES_MAX);
    for (n, intent) in config.intents.iter().enumerate() {
        let at = format!("intents.{n}");
        id(checks, &format!("{at}.id"), &intent.id);
        phrases(checks, &format!("{at}.phrases"), &intent.phrases);
        if let Some(form) = &intent.form {
            let known = config.intake_forms.iter().any(|known| known.id == *form);
            checks.ensure(known, format!("{at}.form"), "is not the id of an intake form");
        }
    }
    distinct(checks, "intents", config.intents.iter().map(|intent| &intent.id));
}

fn rules(config: &AgentConfig, checks: &mut Checks) {
    checks.count("escalation_rules", config.escalation_rules.len(), RULES_MAX);
    for (n, rule) in config.escalation_rules.iter().enumerate() {
        let at = format!("escalation_rules.{n}");
        id(checks, &format!("{at}.id"), &rule.id);
        checks.text(&format!("{at}.reply"), &rule.reply, 0, MESSAGE_CHARS_MAX);
        trigger(config, checks, &format!("{at}.trigger"), &rule.trigger);
        checks.count(&format!("{at}.safety_advice"), rule.safety_advice.len(), RULES_MAX);
        for (m, advice) in rule.safety_advice.iter().enumerate() {
            phrases(checks, &format!("{at}.safety_advice.{m}.match"), &advice.matches);
            checks.text(&format!("{at}.safety_advice.{m}.text"), &advice.text, 1, MESSAGE_CHARS_MAX);
        }
    }
    distinct(checks, "escalation_rules", config.escalation_rules.iter().map(|rule| &rule.id));
    checks.count("routing_rules", config.routing_rules.len(), RULES_MAX);
    for (n, rule) in config.routing_rules.iter().enumerate() {
        let at = format!("routing_rules.{n}");
        if let Some(condition) = &rule.condition {
            let by_value = condition.equals.is_some() || condition.contains.is_some();
            let says = condition.always || condition.urgency.is_some() || by_value;
            checks.ensure(
                says && condition.field.is_some() == by_value,
                format!("{at}.condition"),
                "must say always, an urgency, or a field with equals or contains",
            );
            if let Some(name) = &condition.field {
                let known = config.field(name).is_some();
                checks.ensure(known, format!("{at}.condition.field"), "is neither a lead field nor a form field");
            }
            for value in [&condition.equals, &condition.contains].into_iter().flatten() {
                checks.line(&format!("{at}.condition"), value, 0, LINE_CHARS_MAX);
            }
        }
        let to = &rule.route_to;
        for target in [&to.user, &to.team].into_iter().flatten() {
            checks.line(&format!("{at}.route_to"), target, 1, LINE_CHARS_MAX);
        }
        if let Some(strategy) = &to.strategy {
            one_of(checks, &format!("{at}.route_to.strategy"), strategy, &["round_robin"]);
        }
        let somewhere = to.user.is_some() || to.team.is_some() || to.strategy.is_some();
        checks.ensure(somewhere, format!("{at}.route_to"), "must name a user, a team or the strategy round_robin");
    }
    checks.count("compliance_notices", config.compliance_notices.len(), RULES_MAX);
    for (n, notice) in config.compliance_notices.iter().enumerate() {
        checks.line(&format!("compliance_notices.{n}.type"), &notice.kind, 1, PHRASE_CHARS_MAX);
        checks.text(&format!("compliance_notices.{n}.text"), &notice.text, 1, MESSAGE_CHARS_MAX);
    }
}

fn trigger(config: &AgentConfig, checks: &mut Checks, at: &str, trigger: &Trigger) {
    let setting = |checks: &mut Checks, part: &str, key: &str| {
        let is_amount = |value: &Value| value.get("amount_micros").is_some_and(Value::is_number);
        let known = config.vertical_config.get(key).is_some_and(|value| value.is_number() || is_amount(value));
        checks.ensure(known, format!("{at}.{part}"), "is not a number or an amount among the vertical_config settings");
    };
    match trigger {
        Trigger::Keywords { any } => {
            phrases(checks, &format!("{at}.any"), any);
            checks.ensure(!any.is_empty(), format!("{at}.any"), "must have at least one word");
        }
        Trigger::Sentiment { value, phrases: more } => {
            one_of(checks, &format!("{at}.value"), value, &KNOWN_SENTIMENTS);
            phrases(checks, &format!("{at}.phrases"), more);
        }
        Trigger::Intent { value, phrases: more } => {
            checks.line(&format!("{at}.value"), value, 1, PHRASE_CHARS_MAX);
            phrases(checks, &format!("{at}.phrases"), more);
        }
        Trigger::HumanRequest {} => {}
        Trigger::FieldAbove { field, threshold_from } => {
            checks.ensure(
                config.field(field).is_some(),
                format!("{at}.field"),
                "is neither a lead field nor a form field",
            );
            setting(checks, "threshold_from", threshold_from);
        }
        Trigger::WithinHours { field, phrases: about, hours_from } => {
            match field {
                Some(field) => {
                    let known = config.field(field).is_some();
                    checks.ensure(known, format!("{at}.field"), "is neither a lead field nor a form field");
                }
                None => checks.ensure(
                    !about.is_empty(),
                    format!("{at}.phrases"),
                    "must have at least one phrase, or a field",
                ),
            }
            phrases(checks, &format!("{at}.phrases"), about);
            setting(checks, "hours_from", hours_from);
        }
    }
}

fn lines(checks: &mut Checks, field: &str, values: &[String], count_max: usize, chars_max: usize) {
    checks.count(field, values.len(), count_max);
    for (n, value) in values.iter().take(count_max).enumerate() {
        checks.line(&format!("{field}.{n}"), value, 1, chars_max);
    }
}

fn phrases(checks: &mut Checks, field: &str, phrases: &[String]) {
    lines(checks, field, phrases, PHRASES_MAX, PHRASE_CHARS_MAX);
}

fn one_of(checks: &mut Checks, field: &str, value: &str, choices: &[&str]) {
    checks.ensure(choices.contains(&value), field, format!("must be one of {}", choices.join(", ")));
}

/// Keys of rules; dots and hyphens are allowed because templates of other makers use them.
fn id(checks: &mut Checks, field: &str, id: &str) {
    let right = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte));
    checks.ensure(right, field, "must have 1 to 64 lower-case letters, digits, underscores, hyphens or dots");
}

fn distinct<'a>(checks: &mut Checks, field: &str, names: impl Iterator<Item = &'a String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        checks.ensure(seen.insert(name), field, format!("`{}` is there twice", shown(name)));
    }
}

/// A user's own word in an error message, cut to a readable length.
fn shown(word: &str) -> String {
    crate::text::shorten(word, 60)
}
