//! The catalog that ships: it loads, it holds what was promised of every trade, and mistakes are named with file and line.

use std::{fs, path::Path};

use colloquy_domain::{
    catalog::{
        load::{Catalog, CatalogError, CatalogFile},
        template::{Template, Trigger},
    },
    vocabulary::{EscalationAction, FieldType, Urgency, Vertical},
};

const TRADES: [Vertical; 7] = [
    Vertical::HomeServices,
    Vertical::DentalMedical,
    Vertical::Legal,
    Vertical::RealEstate,
    Vertical::SalonSpa,
    Vertical::Ecommerce,
    Vertical::Custom,
];

fn read() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/catalog");
    let mut files = Vec::new();
    for (folder, prefix) in [(root.clone(), ""), (root.join("verticals"), "verticals/")] {
        for entry in fs::read_dir(folder).expect("the catalog's folder") {
            let path = entry.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                files.push((format!("{prefix}{name}"), fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    files
}

fn load(files: &[(String, String)]) -> Result<Catalog, Vec<CatalogError>> {
    let files: Vec<_> = files.iter().map(|(path, text)| CatalogFile { path, text }).collect();
    Catalog::load(&files)
}

fn shipped() -> Catalog {
    load(&read())
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

fn template(catalog: &Catalog, vertical: Vertical) -> &Template {
    catalog.receptionist(vertical).unwrap_or_else(|| panic!("no template for {vertical:?}"))
}

#[test]
fn every_trade_has_all_that_was_promised() {
    let catalog = shipped();
    for vertical in TRADES {
        let template = template(&catalog, vertical);
        let id = &template.id;
        assert!(template.faqs.len() >= 6, "{id}: sample FAQs");
        assert!(template.agent.quick_prompts.len() >= 5, "{id}: quick prompts");
        assert!(template.lead_fields.len() >= 5, "{id}: lead fields");
        assert!(template.intake_forms.len() >= 2, "{id}: intake forms");
        assert!(template.escalation_rules.len() >= 3, "{id}: escalation rules");
        assert!(template.voice_scripts.len() >= 3, "{id}: voice scripts");
        assert!(template.agent.system_prompt.chars().count() > 400, "{id}: a prompt somebody wrote");
        assert!(!template.intents.is_empty() && !template.routing_rules.is_empty(), "{id}");
        let has = |wanted: fn(&Trigger) -> bool| template.escalation_rules.iter().any(|rule| wanted(&rule.trigger));
        assert!(has(|trigger| matches!(trigger, Trigger::HumanRequest {})), "{id}: a person can be asked for");
        assert!(has(|trigger| matches!(trigger, Trigger::Sentiment { .. })), "{id}: frustration is heard");
    }
    for (vertical, notice) in [(Vertical::DentalMedical, "hipaa"), (Vertical::Legal, "confidential")] {
        let notices = &template(&catalog, vertical).compliance_notices;
        assert!(notices.iter().any(|own| own.kind.contains(notice)), "{vertical:?} needs a notice about {notice}");
    }
}

#[test]
fn home_services_keeps_the_words_of_its_requirements() {
    let catalog = shipped();
    let template = template(&catalog, Vertical::HomeServices);
    assert_eq!(
        template.agent.quick_prompts,
        [
            "Schedule a service call",
            "Get a quote",
            "Emergency — I need help now",
            "What areas do you serve?",
            "What are your hours?"
        ]
    );
    let fields: Vec<_> =
        template.lead_fields.iter().map(|field| (field.name.as_str(), field.kind, field.required)).collect();
    assert_eq!(
        fields,
        [
            ("name", FieldType::Text, true),
            ("phone", FieldType::Phone, true),
            ("email", FieldType::Email, false),
            ("address", FieldType::Text, true),
            ("service_type", FieldType::Select, true),
            ("urgency", FieldType::Select, true),
            ("description", FieldType::Textarea, false),
        ]
    );
    let form = |id: &str| template.intake_forms.iter().find(|form| form.id == id).expect("the form");
    let emergency = form("emergency");
    assert_eq!(emergency.fields, ["name", "phone", "address", "issue_description"]);
    assert!(emergency.urgency == Urgency::Emergency && emergency.auto_alert && emergency.alert.len() == 2);
    let request = form("service_request");
    assert_eq!(request.fields, ["name", "phone", "email", "address", "service_type", "preferred_date", "description"]);
    assert!(request.urgency == Urgency::Normal && !request.auto_alert);
    let rule = |id: &str| template.escalation_rules.iter().find(|rule| rule.id == id).expect("the rule");
    let Trigger::Keywords { any } = &rule("emergency_keywords").trigger else { panic!("keywords") };
    assert_eq!(any, &["emergency", "flood", "gas leak", "no heat", "fire", "burst pipe", "electrical shock"]);
    assert_eq!(rule("emergency_keywords").action, EscalationAction::ImmediateAlert);
    assert_eq!(rule("pricing_question").action, EscalationAction::SoftEscalate);
    assert_eq!(rule("frustrated_customer").action, EscalationAction::OfferHuman);
    assert_eq!(template.recommended_voice_id.as_deref(), Some("11labs_rachel"));
    assert_eq!((template.seo_keywords.len(), template.suggested_integrations.len()), (5, 5));
}

#[test]
fn the_default_model_and_the_four_frameworks_are_there() {
    let catalog = shipped();
    assert_eq!(catalog.models.default_model, "gpt-4o-mini");
    assert!(catalog.models.get("gpt-4o-mini").is_some_and(|model| model.cost_micros(1_000_000, 0, 0) == 150_000));
    for id in ["bant", "meddic", "spin", "challenger"] {
        assert!(catalog.frameworks.get(id).is_some_and(|framework| framework.dimensions.len() >= 4), "{id}");
    }
}

/// Changes one file of the shipped catalog and expects one mistake on the line that was changed.
fn mistake(path: &str, from: &str, to: &str, says: &str) {
    let mut files = read();
    let file = files.iter_mut().find(|(own, _)| own == path).expect("the file");
    let at = file.1.find(from).unwrap_or_else(|| panic!("{path} has no {from:?}"));
    let line = file.1[..at].lines().count() + usize::from(at == 0 || file.1[..at].ends_with('\n'));
    file.1.replace_range(at..at + from.len(), to);
    let errors = load(&files).expect_err("a mistake");
    assert!(
        errors.iter().any(|error| error.file == path && error.line == line && error.message.contains(says)),
        "expected {path}:{line}: …{says}…, got {errors:#?}"
    );
}

#[test]
fn mistakes_are_named_with_file_and_line() {
    let home = "verticals/home_services.toml";
    for (path, from, to, says) in [
        (home, "icon = \"wrench\"", "icn = \"wrench\"", "icn"),
        (home, "type = \"phone\"", "type = \"fone\"", "fone"),
        (home, "name = \"email\"", "name = \"phone\"", "defined twice"),
        (
            home,
            "fields = [\"name\", \"phone\", \"address\", \"issue_description\"]",
            "fields = [\"name\", \"fone\"]",
            "unknown field `fone`",
        ),
        (home, "triggers = [\"schedule_service\", \"get_quote\"]", "triggers = [\"shedule\"]", "neither an intent"),
        (home, "form = \"emergency\"", "form = \"emergncy\"", "no form `emergncy`"),
        (home, "Thanks, {name}.", "Thanks, {nme}.", "`{nme}`"),
        (
            home,
            "Thank you for calling {{business_name}}.",
            "Thank you for calling {{busines_name}}.",
            "`{{busines_name}}`",
        ),
        (home, "equals = \"HVAC\"", "equals = \"HVCA\"", "no option"),
        (home, "tools = [\"capture_lead\"", "tools = [\"capture_led\"", "no tool"),
        (home, "value = \"frustrated\"", "value = \"frustated\"", "no mood"),
        ("scoring.toml", "signal = \"gave_name\"", "signal = \"gave_nam\"", "no signal"),
        ("scoring.toml", "signal = \"gave_email\"", "signal = \"gave_phone\"", "given twice"),
        ("models.toml", "provider = \"openai\"", "provider = \"opnai\"", "no provider"),
        ("models.toml", "default_model = \"gpt-4o-mini\"", "default_model = \"gpt-9\"", "no model"),
        ("frameworks.toml", "id = \"meddic\"", "id = \"bant\"", "used twice"),
    ] {
        mistake(path, from, to, says);
    }
}

#[test]
fn a_missing_field_and_a_missing_file_are_named() {
    let mut files = read();
    files.retain(|(path, _)| path != "scoring.toml");
    let home = files.iter_mut().find(|(path, _)| path == "verticals/legal.toml").expect("the file");
    home.1 = home.1.replacen("name = \"Legal\"", "", 1);
    let errors = load(&files).expect_err("mistakes");
    assert!(
        errors.iter().any(|error| error.file == "scoring.toml" && error.message.contains("missing")),
        "{errors:#?}"
    );
    assert!(
        errors.iter().any(|error| error.file == "verticals/legal.toml" && error.message.contains("name")),
        "{errors:#?}"
    );
}

#[test]
fn broken_syntax_and_oversized_files_are_refused() {
    let mut files = read();
    files[0].1.push_str("\n= =\n");
    files.push(("verticals/huge.toml".into(), "#".repeat(2_000_000)));
    let errors = load(&files).expect_err("mistakes");
    assert!(errors.iter().any(|error| error.file == files[0].0 && error.line > 10), "{errors:#?}");
    assert!(errors.iter().any(|error| error.message.contains("1 MB")), "{errors:#?}");
}
