//! What a person wants to be told, out of their preferences: what they never chose follows from their role.

use serde_json::{Map, Value, json};

use crate::{
    bulletin::Kind,
    check::merge_patch,
    principal::Role,
    rejection::{FieldError, Rejection},
};

/// Where the wish for the daily summary stands among the preferences.
const DAILY_SUMMARY: [&str; 3] = ["notifications", "daily_summary", "email"];

/// Whether somebody wants the daily summary by mail: unless they said, who runs the organization does.
pub fn wants_daily_summary(preferences: &Map<String, Value>, role: Role) -> bool {
    said(preferences).and_then(Value::as_bool).unwrap_or(role >= Role::Admin)
}

/// Whether somebody wants notices of a kind by mail: unless they said, the owner does when somebody is in danger, asks for a person or
/// called in vain, so that a new organization hears of these without having chosen anything.
pub fn wants_mail(preferences: &Map<String, Value>, role: Role, kind: Kind) -> bool {
    let said = preferences.get("notifications").and_then(|all| all[kind.word()]["email"].as_bool());
    said.unwrap_or_else(|| mails_unasked(role, kind))
}

fn mails_unasked(role: Role, kind: Kind) -> bool {
    role == Role::Owner && matches!(kind, Kind::Emergency | Kind::Escalation | Kind::MissedCall)
}

/// The preferences with what holds where nothing was said.
pub fn with_defaults(preferences: Map<String, Value>, role: Role) -> Map<String, Value> {
    let wants = wants_daily_summary(&preferences, role);
    let [group, kind, way] = DAILY_SUMMARY;
    let mut all = json!({ group: { kind: { way: wants } } });
    for topic in [Kind::Emergency, Kind::Escalation, Kind::MissedCall] {
        if mails_unasked(role, topic) {
            all[group][topic.word()] = json!({ way: true });
        }
    }
    merge_patch(&mut all, &Value::Object(preferences));
    if let Value::Object(all) = all { all } else { Map::new() }
}

/// Refuses what cannot be understood as a wish.
pub(super) fn check(preferences: &Map<String, Value>) -> Result<(), Rejection> {
    match said(preferences) {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(_) => {
            let field = FieldError::new(DAILY_SUMMARY.join("."), "must be true or false");
            Err(Rejection::Invalid { errors: vec![field] })
        }
    }
}

fn said(preferences: &Map<String, Value>) -> Option<&Value> {
    let [group, kind, way] = DAILY_SUMMARY;
    preferences.get(group)?.get(kind)?.get(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn who_runs_the_organization_is_told_until_they_say_otherwise() {
        for (role, wants) in [(Role::Owner, true), (Role::Admin, true), (Role::Manager, false), (Role::Viewer, false)] {
            assert_eq!(wants_daily_summary(&Map::new(), role), wants, "{role:?}");
            let shown = Value::Object(with_defaults(map(json!({ "theme": "dark" })), role));
            assert_eq!(shown["notifications"]["daily_summary"]["email"], json!(wants));
            assert_eq!(shown["theme"], "dark");
        }
        let said = map(json!({ "notifications": { "daily_summary": { "email": false }, "lead": { "email": true } } }));
        assert!(!wants_daily_summary(&said, Role::Owner));
        assert_eq!(with_defaults(said.clone(), Role::Admin), said, "nothing else is touched");
    }

    #[test]
    fn only_who_asked_for_it_gets_notices_by_mail() {
        let said = map(json!({ "notifications": { "lead": { "email": true }, "escalation": { "email": false } } }));
        assert!(wants_mail(&said, Role::Rep, Kind::Lead));
        assert!(!wants_mail(&said, Role::Owner, Kind::Escalation) && !wants_mail(&said, Role::Owner, Kind::Assigned));
        let odd = map(json!({ "notifications": true }));
        assert!(!wants_mail(&odd, Role::Rep, Kind::Lead) && !wants_mail(&Map::new(), Role::Rep, Kind::Lead));
    }

    #[test]
    fn an_owner_who_said_nothing_is_mailed_of_danger_and_of_whoever_wants_a_person() {
        for kind in [Kind::Emergency, Kind::Escalation, Kind::MissedCall] {
            assert!(wants_mail(&Map::new(), Role::Owner, kind) && !wants_mail(&Map::new(), Role::Admin, kind));
            assert_eq!(with_defaults(Map::new(), Role::Owner)["notifications"][kind.word()]["email"], true);
        }
        assert!(!wants_mail(&Map::new(), Role::Owner, Kind::Lead));
        let muted = map(json!({ "notifications": { "emergency": { "in_app": false, "email": false } } }));
        assert!(!wants_mail(&muted, Role::Owner, Kind::Emergency));
        assert_eq!(with_defaults(muted, Role::Owner)["notifications"]["emergency"]["email"], false);
    }

    #[test]
    fn what_is_no_wish_is_refused() {
        assert!(check(&map(json!({ "notifications": { "daily_summary": { "email": "yes" } } }))).is_err());
        assert!(check(&map(json!({ "notifications": { "daily_summary": { "email": true } } }))).is_ok());
        assert!(check(&map(json!({ "notifications": [] }))).is_ok());
        let odd = map(json!({ "notifications": [] }));
        assert_eq!(with_defaults(odd.clone(), Role::Owner), odd, "what is no group is left as it is");
    }
}
