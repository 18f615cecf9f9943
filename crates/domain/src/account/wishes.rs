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

/// Whether somebody wants notices of a kind by mail: only who asked for it gets any.
pub fn wants_mail(preferences: &Map<String, Value>, kind: Kind) -> bool {
    preferences.get("notifications").is_some_and(|all| all[kind.word()]["email"] == true)
}

/// The preferences with what holds where nothing was said.
pub fn with_defaults(preferences: Map<String, Value>, role: Role) -> Map<String, Value> {
    let wants = wants_daily_summary(&preferences, role);
    let [group, kind, way] = DAILY_SUMMARY;
    let mut all = json!({ group: { kind: { way: wants } } });
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
        assert_eq!(with_defaults(said.clone(), Role::Owner), said, "nothing else is touched");
    }

    #[test]
    fn only_who_asked_for_it_gets_notices_by_mail() {
        let said = map(json!({ "notifications": { "lead": { "email": true }, "escalation": { "email": false } } }));
        assert!(wants_mail(&said, Kind::Lead));
        assert!(!wants_mail(&said, Kind::Escalation) && !wants_mail(&said, Kind::Assigned));
        assert!(
            !wants_mail(&map(json!({ "notifications": true })), Kind::Lead) && !wants_mail(&Map::new(), Kind::Lead)
        );
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
