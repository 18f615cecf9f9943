//! Forms: which fields they have, which is asked next, and the check of one that was filled in at once.

use std::collections::BTreeMap;

use super::{Ask, FormProgress, Prompt, extract, lines};
use crate::{
    agent::config::AgentConfig,
    catalog::template::{Field, IntakeForm},
    conversation::state::Contact,
    rejection::FieldError,
    text,
    vocabulary::{Channel, FieldType, Urgency},
};

/// The form that asks how to reach the visitor, where no form of the agent fits.
pub const CONTACT_FORM: &str = "contact";

/// Fields of one filled form; templates have about ten.
const SUBMITTED_FIELDS_MAX: usize = 40;

/// A form by id: the agent's own, or the built-in contact form.
pub fn form_of(config: &AgentConfig, id: &str) -> Option<IntakeForm> {
    if let Some(form) = config.intake_forms.iter().find(|form| form.id == id) {
        return Some(form.clone());
    }
    if id != CONTACT_FORM {
        return None;
    }
    let own = |kind: FieldType| config.lead_fields.iter().find(|field| field.kind == kind && field.required);
    let name =
        config.lead_fields.iter().find(|field| extract::is_name(field)).map_or("name", |field| field.name.as_str());
    let reach = own(FieldType::Phone).or_else(|| own(FieldType::Email)).map_or("phone", |field| field.name.as_str());
    Some(IntakeForm {
        id: CONTACT_FORM.to_owned(),
        title: "How can we reach you?".to_owned(),
        intro: String::new(),
        fields: vec![name.to_owned(), reach.to_owned()],
        urgency: Urgency::Normal,
        auto_alert: false,
        alert: Vec::new(),
        triggers: Vec::new(),
        confirmation: String::new(),
    })
}

/// A field's definition: the agent's own, or the built-in one of `name`, `phone` and `email`.
pub fn field_of(config: &AgentConfig, name: &str) -> Option<Field> {
    if let Some(field) = config.field(name) {
        return Some(field.clone());
    }
    let (kind, label, ask) = match name {
        "name" => (FieldType::Text, "Name", lines::ASK_NAME),
        "phone" => (FieldType::Phone, "Phone", lines::ASK_PHONE),
        "email" => (FieldType::Email, "E-mail", lines::ASK_EMAIL),
        _ => return None,
    };
    let required = name != "email";
    Some(Field {
        name: name.to_owned(),
        label: label.to_owned(),
        kind,
        required,
        options: Vec::new(),
        ask: ask.to_owned(),
    })
}

/// Every field that may be given by name: lead fields, form fields, and name, phone, e-mail and notes, which every agent takes.
pub fn known_fields(config: &AgentConfig) -> Vec<Field> {
    let mut known: Vec<Field> = config.lead_fields.iter().chain(&config.form_fields).cloned().collect();
    for name in ["name", "phone", "email"] {
        if !known.iter().any(|field| field.name == name)
            && let Some(field) = field_of(config, name)
        {
            known.push(field);
        }
    }
    if !known.iter().any(|field| field.name == "notes") {
        known.push(Field {
            name: "notes".into(),
            label: "Notes".into(),
            kind: FieldType::Textarea,
            required: false,
            options: Vec::new(),
            ask: String::new(),
        });
    }
    known
}

/// The fields a widget shows and requires: those of a form, else the lead fields, else the contact form's.
pub fn lead_form(config: &AgentConfig, form: Option<&str>) -> Vec<Field> {
    let fields = |form: &IntakeForm| form.fields.iter().filter_map(|name| field_of(config, name)).collect::<Vec<_>>();
    match form.and_then(|id| form_of(config, id)) {
        Some(form) => fields(&form),
        None if !config.lead_fields.is_empty() => config.lead_fields.clone(),
        None => form_of(config, CONTACT_FORM).map(|form| fields(&form)).unwrap_or_default(),
    }
}

/// Checks a filled form: the values in their kept form, or every field that is wrong. Empty values count as not given.
///
/// # Errors
/// Missing required fields of `asked`, values of the wrong kind, and names in neither list.
pub fn validate(
    asked: &[Field],
    known: &[Field],
    given: &BTreeMap<String, String>,
    already: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut values = BTreeMap::new();
    if given.len() > SUBMITTED_FIELDS_MAX {
        return Err(vec![FieldError::new("fields", format!("at most {SUBMITTED_FIELDS_MAX} fields"))]);
    }
    for (name, value) in given.iter().filter(|(_, value)| !value.trim().is_empty()) {
        let Some(field) = asked.iter().chain(known).find(|field| field.name == *name) else {
            let names: Vec<_> = asked.iter().map(|field| field.name.as_str()).collect();
            errors.push(FieldError::new(
                format!("fields.{}", text::shorten(name, 60)),
                format!("there is no such field; known are {}", names.join(", ")),
            ));
            continue;
        };
        match extract::check_value(field, value) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(problem) => errors.push(FieldError::new(format!("fields.{name}"), problem)),
        }
    }
    for field in asked.iter().filter(|field| field.required) {
        let wrong = errors.iter().any(|error| error.field == format!("fields.{}", field.name));
        if !wrong && !values.contains_key(&field.name) && !already.contains_key(&field.name) {
            errors.push(FieldError::new(format!("fields.{}", field.name), format!("{} is required", label(field))));
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// A field's name for people.
pub(super) fn label(field: &Field) -> String {
    if field.label.is_empty() { field.name.replace('_', " ") } else { field.label.clone() }
}

/// The fields that a form still wants, in the order asked. In an emergency how and where to reach somebody comes first (VRT-14),
/// and nobody is asked who they are: a name that was said is taken down all the same.
pub(super) fn wanted(
    config: &AgentConfig,
    form: &IntakeForm,
    values: &BTreeMap<String, String>,
    progress: &FormProgress,
) -> Vec<Field> {
    let mut fields: Vec<Field> = form
        .fields
        .iter()
        .filter_map(|name| field_of(config, name))
        .filter(|field| !values.contains_key(&field.name) && !progress.skipped.contains(&field.name))
        .filter(|field| !unasked(form, field))
        .collect();
    if form.urgency == Urgency::Emergency {
        fields.sort_by_key(
            |field| if extract::is_address(field) { 0 } else { 1 + u8::from(field.kind != FieldType::Phone) },
        );
    }
    fields
}

/// Whether every required field has its value.
pub(super) fn complete(config: &AgentConfig, form: &IntakeForm, values: &BTreeMap<String, String>) -> bool {
    form.fields
        .iter()
        .filter_map(|name| field_of(config, name))
        .all(|field| !field.required || values.contains_key(&field.name) || unasked(form, &field))
}

/// Whether a form goes on without asking for a field: the name, in an emergency.
fn unasked(form: &IntakeForm, field: &Field) -> bool {
    form.urgency == Urgency::Emergency && extract::is_name(field)
}

/// What is asked next: one thing, or address and phone together at the beginning of an emergency.
pub(super) fn asks(config: &AgentConfig, form: &IntakeForm, wanted: &[Field]) -> Vec<Ask> {
    let urgent = |field: &&Field| extract::is_address(field) || field.kind == FieldType::Phone;
    let count =
        if form.urgency == Urgency::Emergency { wanted.iter().take_while(urgent).count().clamp(1, 2) } else { 1 };
    wanted
        .iter()
        .take(count)
        .map(|field| {
            let ask = text::fill(&field.ask, &config.variables);
            let text =
                if ask.trim().is_empty() { format!("What is your {}?", label(field).to_lowercase()) } else { ask };
            Ask { field: field.name.clone(), text }
        })
        .collect()
}

/// Buttons for a choice; none by voice, where they are read out with the question.
pub(super) fn buttons(channel: Channel, field: &Field) -> Option<Prompt> {
    let shown = channel != Channel::Voice && field.kind == FieldType::Select && !field.options.is_empty();
    shown.then(|| Prompt::QuickReplies { options: field.options.clone(), field: Some(field.name.clone()) })
}

/// Which of some values say how to reach the visitor.
pub fn contact(config: &AgentConfig, values: &BTreeMap<String, String>) -> Contact {
    let mut contact = Contact::default();
    for (name, value) in values {
        let Some(field) = field_of(config, name) else { continue };
        match field.kind {
            FieldType::Phone => contact.phone = Some(value.clone()),
            FieldType::Email => contact.email = Some(value.clone()),
            FieldType::Text if extract::is_name(&field) => contact.name = Some(value.clone()),
            FieldType::Text | FieldType::Textarea | FieldType::Select | FieldType::Date => {}
        }
    }
    contact
}

/// Values as people read them.
/// What is said once a form is in: the same whether it was filled in at once or in talking.
pub fn confirmation(config: &AgentConfig, form: &IntakeForm, values: &BTreeMap<String, String>) -> String {
    let filled = text::fill_fields(&text::fill(&form.confirmation, &config.variables), &readable(values));
    if filled.is_empty() { lines::CONFIRMED.to_owned() } else { filled }
}

pub(super) fn readable(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| (name.clone(), text::pretty_phone(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_filled_form_names_every_wrong_field() {
        let config = AgentConfig::default();
        let asked = lead_form(&config, None);
        let errors = validate(
            &asked,
            &known_fields(&config),
            &given(&[("email", "nope"), ("colour", "red"), ("phone", " ")]),
            &BTreeMap::new(),
        )
        .unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["fields.colour", "fields.email", "fields.name", "fields.phone"]);
    }

    #[test]
    fn what_is_already_known_is_not_required_again() {
        let config = AgentConfig::default();
        let values = validate(
            &lead_form(&config, None),
            &known_fields(&config),
            &given(&[("phone", "555-201-3344")]),
            &given(&[("name", "Ann")]),
        );
        assert_eq!(values, Ok(given(&[("phone", "+15552013344")])));
    }
}
