//! What a catalog file must mean, beyond its syntax: names that exist, texts that are filled, numbers that add up.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    frameworks::Frameworks,
    load::Report,
    models::Models,
    scoring::{KNOWN_SIGNALS, Scoring},
    template::{Field, Template, TemplateKind, Trigger},
};
use crate::{text, vocabulary::FieldType};

/// What every receptionist template brings at least (issue part 5).
const FAQS_MIN: usize = 6;
const QUICK_PROMPTS_MIN: usize = 5;
const LEAD_FIELDS_MIN: usize = 5;
const INTAKE_FORMS_MIN: usize = 2;
const ESCALATION_RULES_MIN: usize = 3;
const VOICE_SCRIPTS_MIN: usize = 3;

/// Tools an agent may be given (AGT-16).
pub const KNOWN_TOOLS: [&str; 6] =
    ["capture_lead", "escalate", "end_conversation", "book_meeting", "send_sms", "transfer_to_human"];

/// Moods a rule may be set off by.
pub const KNOWN_SENTIMENTS: [&str; 2] = ["frustrated", "distressed"];

pub(super) fn scoring(scoring: &Scoring, report: &mut Report<'_>) {
    if (scoring.min_score, scoring.max_score) != (0, 100) {
        report.add("max_score", "a lead's score goes from 0 to 100");
    }
    let mut seen = BTreeSet::new();
    let mut best_of_group: BTreeMap<&str, i32> = BTreeMap::new();
    let mut total = 0;
    for (n, signal) in scoring.signals.iter().enumerate() {
        let at = format!("signals.{n}");
        if !KNOWN_SIGNALS.contains(&signal.signal.as_str()) {
            report.add(
                &format!("{at}.signal"),
                format!("there is no signal `{}`; known are {}", signal.signal, KNOWN_SIGNALS.join(", ")),
            );
        }
        if !seen.insert(signal.signal.as_str()) {
            report.add(&format!("{at}.signal"), format!("the signal `{}` is given twice", signal.signal));
        }
        if signal.points == 0 || signal.points.abs() > 100 {
            report.add(&format!("{at}.points"), "points are 1 to 100, or -1 to -100");
        }
        filled(report, &format!("{at}.description"), &signal.description);
        phrases(report, &format!("{at}.phrases"), &signal.phrases);
        match (&signal.group, signal.points > 0) {
            (Some(group), true) => {
                let best = best_of_group.entry(group).or_default();
                *best = (*best).max(signal.points);
            }
            (None, true) => total += signal.points,
            (_, false) => {}
        }
    }
    for missing in KNOWN_SIGNALS.iter().filter(|known| !seen.contains(**known)) {
        report.add("signals", format!("the signal `{missing}` has no points"));
    }
    total += best_of_group.values().sum::<i32>();
    if total != 100 {
        report.add(
            "signals",
            format!("the best of each group and all other positive points must come to 100, they come to {total}"),
        );
    }
}

pub(super) fn models(models: &Models, report: &mut Report<'_>) {
    unique(report, "providers", "id", models.providers.iter().map(|provider| provider.id.as_str()));
    for (n, provider) in models.providers.iter().enumerate() {
        if !provider.base_url.starts_with("https://") {
            report.add(&format!("providers.{n}.base_url"), "a provider's address begins with https://");
        }
    }
    let mut names = BTreeSet::new();
    for (n, model) in models.models.iter().enumerate() {
        let at = format!("models.{n}");
        if models.provider(&model.provider).is_none() {
            report.add(&format!("{at}.provider"), format!("there is no provider `{}`", model.provider));
        }
        for name in std::iter::once(&model.id).chain(&model.aliases) {
            if !names.insert(name.clone()) {
                report.add(&format!("{at}.id"), format!("two models go by the name `{name}`"));
            }
        }
        if model.context_tokens == 0
            || model.max_output_tokens.is_some_and(|most| most == 0 || most > model.context_tokens)
        {
            report.add(
                &format!("{at}.max_output_tokens"),
                "the context must be above 0, and the longest answer must fit into it",
            );
        }
        if model
            .cached_input_micros_per_million_tokens
            .is_some_and(|cached| cached > model.input_micros_per_million_tokens)
        {
            report.add(
                &format!("{at}.cached_input_micros_per_million_tokens"),
                "cached input cannot cost more than other input",
            );
        }
        date(report, &format!("{at}.price_as_of"), &model.price_as_of);
    }
    for (n, model) in models.embedding_models.iter().enumerate() {
        let at = format!("embedding_models.{n}");
        if model.provider != "local" && models.provider(&model.provider).is_none() {
            report.add(&format!("{at}.provider"), format!("there is no provider `{}`", model.provider));
        }
        if !names.insert(model.id.clone()) {
            report.add(&format!("{at}.id"), format!("two models go by the name `{}`", model.id));
        }
        if model.dimensions == 0 || model.max_input_tokens == 0 {
            report.add(&at, "dimensions and longest text must be above 0");
        }
        date(report, &format!("{at}.price_as_of"), &model.price_as_of);
    }
    if models.get(&models.default_model).is_none() {
        report.add("default_model", format!("there is no model `{}`", models.default_model));
    }
    if models.embedding(&models.default_embedding_model).is_none() {
        report.add(
            "default_embedding_model",
            format!("there is no embedding model `{}`", models.default_embedding_model),
        );
    }
}

pub(super) fn frameworks(frameworks: &Frameworks, report: &mut Report<'_>) {
    unique(report, "frameworks", "id", frameworks.frameworks.iter().map(|framework| framework.id.as_str()));
    for (n, framework) in frameworks.frameworks.iter().enumerate() {
        let at = format!("frameworks.{n}");
        filled(report, &format!("{at}.name"), &framework.name);
        filled(report, &format!("{at}.prompt"), &framework.prompt);
        unique(
            report,
            &format!("{at}.dimensions"),
            "key",
            framework.dimensions.iter().map(|dimension| dimension.key.as_str()),
        );
        for (m, dimension) in framework.dimensions.iter().enumerate() {
            if dimension.questions.is_empty() {
                report.add(&format!("{at}.dimensions.{m}.questions"), "a dimension needs at least one question");
            }
        }
    }
}

pub(super) fn template(template: &Template, frameworks: &Frameworks, report: &mut Report<'_>) {
    let agent = &template.agent;
    for (key, value) in [
        ("name", &template.name),
        ("description", &template.description),
        ("agent.name", &agent.name),
        ("agent.system_prompt", &agent.system_prompt),
        ("agent.welcome_message", &agent.welcome_message),
        ("agent.voice_welcome_message", &agent.voice_welcome_message),
        ("agent.fallback_message", &agent.fallback_message),
        ("agent.escalation_message", &agent.escalation_message),
        ("agent.after_hours_message", &agent.after_hours_message),
    ] {
        filled(report, key, value);
    }
    if template.kind == TemplateKind::Receptionist {
        for (path, what, count, least) in [
            ("faqs", "questions", template.faqs.len(), FAQS_MIN),
            ("agent.quick_prompts", "quick prompts", agent.quick_prompts.len(), QUICK_PROMPTS_MIN),
            ("lead_fields", "lead fields", template.lead_fields.len(), LEAD_FIELDS_MIN),
            ("intake_forms", "intake forms", template.intake_forms.len(), INTAKE_FORMS_MIN),
            ("escalation_rules", "escalation rules", template.escalation_rules.len(), ESCALATION_RULES_MIN),
            ("voice_scripts", "voice scripts", template.voice_scripts.len(), VOICE_SCRIPTS_MIN),
        ] {
            if count < least {
                report.add(
                    path,
                    format!("a receptionist's template needs at least {least} {what}, this one has {count}"),
                );
            }
        }
    }
    for (n, tool) in agent.tools.iter().enumerate() {
        if !KNOWN_TOOLS.contains(&tool.as_str()) {
            report.add(
                &format!("agent.tools.{n}"),
                format!("there is no tool `{tool}`; known are {}", KNOWN_TOOLS.join(", ")),
            );
        }
    }
    for (n, id) in agent.frameworks.iter().enumerate() {
        if frameworks.get(id).is_none() {
            report.add(&format!("agent.frameworks.{n}"), format!("there is no framework `{id}`"));
        }
    }
    fields(template, report);
    forms(template, report);
    rules(template, report);
    routing(template, report);
    for (n, notice) in template.compliance_notices.iter().enumerate() {
        filled(report, &format!("compliance_notices.{n}.text"), &notice.text);
    }
    unique(report, "faqs", "q", template.faqs.iter().map(|faq| faq.q.as_str()));
    for (n, faq) in template.faqs.iter().enumerate() {
        filled(report, &format!("faqs.{n}.a"), &faq.a);
    }
    variables(template, report);
}

fn fields(template: &Template, report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    let lists = [("lead_fields", &template.lead_fields), ("fields", &template.fields)];
    for (list, n, field) in
        lists.iter().flat_map(|(list, fields)| fields.iter().enumerate().map(move |(n, field)| (list, n, field)))
    {
        let at = format!("{list}.{n}");
        if !names.insert(field.name.as_str()) {
            report.add(&format!("{at}.name"), format!("the field `{}` is defined twice", field.name));
        }
        if field.name.is_empty()
            || !field.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            report.add(&format!("{at}.name"), "a field's name has lower-case letters, digits and _ only");
        }
        filled(report, &format!("{at}.ask"), &field.ask);
        match field.kind {
            FieldType::Select => {
                let distinct: BTreeSet<String> = field.options.iter().map(|option| option.to_lowercase()).collect();
                if field.options.len() < 2 || distinct.len() < field.options.len() {
                    report.add(&format!("{at}.options"), "a select needs at least two options, all different");
                }
            }
            FieldType::Text | FieldType::Phone | FieldType::Email | FieldType::Textarea | FieldType::Date => {
                if !field.options.is_empty() {
                    report.add(&format!("{at}.options"), "only a select has options");
                }
            }
        }
    }
}

fn forms(template: &Template, report: &mut Report<'_>) {
    unique(report, "intake_forms", "id", template.intake_forms.iter().map(|form| form.id.as_str()));
    unique(report, "intents", "id", template.intents.iter().map(|intent| intent.id.as_str()));
    for (n, form) in template.intake_forms.iter().enumerate() {
        let at = format!("intake_forms.{n}");
        if form.fields.is_empty() {
            report.add(&format!("{at}.fields"), "a form needs fields");
        }
        for (m, name) in form.fields.iter().enumerate() {
            if field(template, name).is_none() {
                report.add(
                    &format!("{at}.fields.{m}"),
                    format!("the form `{}` names the unknown field `{name}`", form.id),
                );
            }
        }
        for (m, trigger) in form.triggers.iter().enumerate() {
            let known = template.intents.iter().any(|intent| intent.id == *trigger)
                || template.escalation_rules.iter().any(|rule| rule.id == *trigger);
            if !known {
                report.add(
                    &format!("{at}.triggers.{m}"),
                    format!("`{trigger}` is neither an intent nor an escalation rule"),
                );
            }
        }
        filled(report, &format!("{at}.confirmation"), &form.confirmation);
        for name in text::fields_in(&form.confirmation).iter().filter(|name| !form.fields.contains(name)) {
            report.add(
                &format!("{at}.confirmation"),
                format!("the confirmation uses `{{{name}}}`, which is no field of this form"),
            );
        }
        if form.auto_alert && form.alert.is_empty() {
            report.add(&format!("{at}.alert"), "a form that alerts needs a channel to alert by");
        }
    }
    for (n, intent) in template.intents.iter().enumerate() {
        let at = format!("intents.{n}");
        if intent.phrases.is_empty() {
            report.add(&format!("{at}.phrases"), "an intent needs phrases");
        }
        phrases(report, &format!("{at}.phrases"), &intent.phrases);
        if let Some(form) =
            intent.form.as_ref().filter(|form| !template.intake_forms.iter().any(|own| own.id == **form))
        {
            report.add(&format!("{at}.form"), format!("there is no form `{form}`"));
        }
    }
}

fn rules(template: &Template, report: &mut Report<'_>) {
    unique(report, "escalation_rules", "id", template.escalation_rules.iter().map(|rule| rule.id.as_str()));
    for (n, rule) in template.escalation_rules.iter().enumerate() {
        let at = format!("escalation_rules.{n}");
        let threshold = |report: &mut Report<'_>, key: &str| match template.vertical_config.get(key) {
            Some(value)
                if value.is_number() || value.get("amount_micros").is_some_and(serde_json::Value::is_number) => {}
            Some(_) | None => {
                report.add(
                    &format!("{at}.trigger"),
                    format!("`{key}` must be a number, or an amount, in [vertical_config]"),
                );
            }
        };
        let known_field = |report: &mut Report<'_>, name: &str| {
            if field(template, name).is_none() {
                report
                    .add(&format!("{at}.trigger"), format!("the rule `{}` names the unknown field `{name}`", rule.id));
            }
        };
        match &rule.trigger {
            Trigger::Keywords { any } => {
                if any.is_empty() {
                    report.add(&format!("{at}.trigger"), "a keyword rule needs keywords");
                }
                phrases(report, &format!("{at}.trigger"), any);
            }
            Trigger::Sentiment { value, phrases: own } => {
                if !KNOWN_SENTIMENTS.contains(&value.as_str()) {
                    report.add(
                        &format!("{at}.trigger"),
                        format!("there is no mood `{value}`; known are {}", KNOWN_SENTIMENTS.join(", ")),
                    );
                }
                phrases(report, &format!("{at}.trigger"), own);
            }
            Trigger::Intent { phrases: own, .. } => {
                if own.is_empty() {
                    report.add(&format!("{at}.trigger"), "an intent rule needs phrases");
                }
                phrases(report, &format!("{at}.trigger"), own);
            }
            Trigger::HumanRequest {} => {}
            Trigger::FieldAbove { field, threshold_from } => {
                known_field(report, field);
                threshold(report, threshold_from);
            }
            Trigger::WithinHours { field, phrases: own, hours_from } => {
                if let Some(field) = field {
                    known_field(report, field);
                } else if own.is_empty() {
                    report.add(&format!("{at}.trigger"), "a rule about time needs a field or phrases");
                }
                phrases(report, &format!("{at}.trigger"), own);
                threshold(report, hours_from);
            }
        }
        filled(report, &format!("{at}.reply"), &rule.reply);
        for (m, advice) in rule.safety_advice.iter().enumerate() {
            phrases(report, &format!("{at}.safety_advice.{m}"), &advice.matches);
            filled(report, &format!("{at}.safety_advice.{m}"), &advice.text);
        }
    }
}

fn routing(template: &Template, report: &mut Report<'_>) {
    for (n, rule) in template.routing_rules.iter().enumerate() {
        let at = format!("routing_rules.{n}");
        if let Some(condition) = &rule.condition {
            let by_field = condition.equals.is_some() || condition.contains.is_some();
            if condition.field.is_some() != by_field || !(condition.always || condition.urgency.is_some() || by_field) {
                report.add(
                    &format!("{at}.condition"),
                    "a condition says `always = true`, an urgency, or a field with `equals` or `contains`",
                );
            }
            if let Some(name) = &condition.field {
                match field(template, name) {
                    None => {
                        report.add(&format!("{at}.condition"), format!("the route names the unknown field `{name}`"))
                    }
                    Some(known) => {
                        if let Some(value) = condition.equals.as_ref().filter(|value| {
                            known.kind == FieldType::Select
                                && !known.options.iter().any(|option| option.eq_ignore_ascii_case(value))
                        }) {
                            report.add(
                                &format!("{at}.condition"),
                                format!("`{value}` is no option of the field `{name}`"),
                            );
                        }
                    }
                }
            }
        }
        let to = &rule.route_to;
        if to.user.is_none() && to.team.is_none() && to.strategy.is_none() {
            report.add(&format!("{at}.route_to"), "a route needs a user, a team or a strategy");
        }
        if to.strategy.as_deref().is_some_and(|strategy| strategy != "round_robin") {
            report.add(&format!("{at}.route_to"), "the only strategy is `round_robin`");
        }
    }
}

/// Every text of the template that visitors, callers or a model see, with its path.
fn variables(template: &Template, report: &mut Report<'_>) {
    let agent = &template.agent;
    let mut texts: Vec<(String, &str)> = vec![
        ("agent.system_prompt".into(), &agent.system_prompt),
        ("agent.welcome_message".into(), &agent.welcome_message),
        ("agent.voice_welcome_message".into(), &agent.voice_welcome_message),
        ("agent.fallback_message".into(), &agent.fallback_message),
        ("agent.escalation_message".into(), &agent.escalation_message),
        ("agent.after_hours_message".into(), &agent.after_hours_message),
    ];
    texts.extend(
        agent.quick_prompts.iter().enumerate().map(|(n, text)| (format!("agent.quick_prompts.{n}"), text.as_str())),
    );
    texts.extend(template.variables.iter().map(|(name, text)| (format!("variables.{name}"), text.as_str())));
    for (list, fields) in [("lead_fields", &template.lead_fields), ("fields", &template.fields)] {
        texts.extend(fields.iter().enumerate().map(|(n, field)| (format!("{list}.{n}.ask"), field.ask.as_str())));
    }
    for (n, form) in template.intake_forms.iter().enumerate() {
        texts.push((format!("intake_forms.{n}.intro"), &form.intro));
        texts.push((format!("intake_forms.{n}.confirmation"), &form.confirmation));
    }
    for (n, rule) in template.escalation_rules.iter().enumerate() {
        texts.push((format!("escalation_rules.{n}.reply"), &rule.reply));
        texts.extend(
            rule.safety_advice
                .iter()
                .enumerate()
                .map(|(m, advice)| (format!("escalation_rules.{n}.safety_advice.{m}"), advice.text.as_str())),
        );
    }
    texts.extend(
        template
            .compliance_notices
            .iter()
            .enumerate()
            .map(|(n, notice)| (format!("compliance_notices.{n}.text"), notice.text.as_str())),
    );
    for (n, faq) in template.faqs.iter().enumerate() {
        texts.push((format!("faqs.{n}.q"), &faq.q));
        texts.push((format!("faqs.{n}.a"), &faq.a));
    }
    texts.extend(template.voice_scripts.iter().map(|(name, text)| (format!("voice_scripts.{name}"), text.as_str())));
    let config: Vec<(String, String)> = template
        .vertical_config
        .iter()
        .map(|(key, value)| (format!("vertical_config.{key}"), value.to_string()))
        .collect();
    texts.extend(config.iter().map(|(path, text)| (path.clone(), text.as_str())));
    for (path, text) in texts {
        for name in text::variables_in(text).iter().filter(|name| !template.variables.contains_key(*name)) {
            report.add(&path, format!("the variable `{{{{{name}}}}}` is not declared in [variables]"));
        }
    }
}

fn field<'a>(template: &'a Template, name: &str) -> Option<&'a Field> {
    template.lead_fields.iter().chain(&template.fields).find(|field| field.name == name)
}

fn filled(report: &mut Report<'_>, path: &str, text: &str) {
    if text.trim().is_empty() {
        report.add(path, "this text is empty");
    }
}

fn phrases(report: &mut Report<'_>, path: &str, phrases: &[String]) {
    for phrase in phrases {
        if phrase.trim().is_empty() || *phrase != phrase.to_lowercase() {
            report.add(path, format!("the phrase `{phrase}` must be lower case and not empty"));
        }
    }
}

fn unique<'a>(report: &mut Report<'_>, list: &str, key: &str, ids: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for (n, id) in ids.enumerate() {
        if id.is_empty() {
            report.add(&format!("{list}.{n}.{key}"), format!("`{key}` is empty"));
        }
        if !seen.insert(id) {
            report.add(&format!("{list}.{n}.{key}"), format!("`{id}` is used twice"));
        }
    }
}

fn date(report: &mut Report<'_>, path: &str, text: &str) {
    if text.parse::<jiff::civil::Date>().is_err() {
        report.add(path, format!("`{text}` is no date of the form YYYY-MM-DD"));
    }
}
