//! What an organization says about itself: the fields of TEN-1 and their checks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limits::{RETENTION_DAYS_MAX, SETTINGS_BYTES_MAX, TEAM_MEMBERS_MAX, TEAMS_MAX};
use crate::{
    agent::config::BusinessHours,
    check::{Checks, NAME_CHARS_MAX, is_bounded_json, is_slug, merge_patch, normal_email},
    local_time::{DEFAULT_TIMEZONE, WEEKDAYS, minute_of_day, zone},
    rejection::{FieldError, Rejection},
    vocabulary::Vertical,
};

/// Longest part of a postal address.
const ADDRESS_CHARS_MAX: usize = 200;

/// The setting that says for how many days conversations are kept.
const KEPT_CONVERSATIONS: &str = "conversations_days";

/// For how many days conversations are kept by settings (`retention.conversations_days`); for ever if none.
pub fn keep_days(settings: &Map<String, Value>) -> Option<u32> {
    let days = settings.get("retention")?.get(KEPT_CONVERSATIONS)?.as_u64()?;
    u32::try_from(days).ok()
}

/// The setting that says for how many days after its end the people on a campaign's list are kept.
const KEPT_TARGETS: &str = "campaign_targets_days";

/// For how many days after its end the people on a campaign's list are kept by settings (`retention.campaign_targets_days`); for ever if none.
pub fn keep_targets_days(settings: &Map<String, Value>) -> Option<u32> {
    let days = settings.get("retention")?.get(KEPT_TARGETS)?.as_u64()?;
    u32::try_from(days).ok()
}

/// The setting that says for how many days recordings of calls are kept.
const KEPT_RECORDINGS: &str = "recordings_days";

/// What becomes of the sound of calls (C13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recordings {
    /// It is not recorded.
    Discarded,
    /// It is kept for so many days after the call.
    Days(u32),
    /// It is kept.
    Kept,
}

/// What becomes of recordings by settings (`retention.recordings_days`): 0 discards, nothing keeps.
pub fn recordings(settings: &Map<String, Value>) -> Recordings {
    let days = settings.get("retention").and_then(|retention| retention.get(KEPT_RECORDINGS)).and_then(Value::as_u64);
    match days {
        None => Recordings::Kept,
        Some(0) => Recordings::Discarded,
        Some(days) => Recordings::Days(u32::try_from(days).unwrap_or(u32::MAX)),
    }
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// City.
    pub city: String,
    /// State, province or canton.
    pub state: String,
    /// Postal code.
    pub zip: String,
    /// Country.
    pub country: String,
}

/// What an organization may change about itself. Field names are those of the public contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The business's name.
    pub name: String,
    /// Its unique short name, reserved by the caller.
    pub slug: String,
    /// Its trade.
    pub vertical: Vertical,
    /// The trades its agents may have; empty: all.
    pub enabled_verticals: Vec<Vertical>,
    /// Its website.
    pub website_url: Option<String>,
    /// Its number.
    pub phone: Option<String>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Where it is.
    pub address: Option<Address>,
    /// When it is open, local time.
    pub business_hours: BusinessHours,
    /// IANA zone.
    pub timezone: String,
    /// Its logo.
    pub logo_url: Option<String>,
    /// Settings: `retention` (see [`keep_days`]), `routing_teams`, and what the console keeps.
    pub settings: Map<String, Value>,
    /// What only this trade has; texts here fill variables of the same name.
    pub metadata: Map<String, Value>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            name: String::new(),
            slug: String::new(),
            vertical: Vertical::Custom,
            enabled_verticals: Vec::new(),
            website_url: None,
            phone: None,
            email: None,
            address: None,
            business_hours: BusinessHours::new(),
            timezone: DEFAULT_TIMEZONE.to_owned(),
            logo_url: None,
            settings: Map::new(),
            metadata: Map::new(),
        }
    }
}

impl Profile {
    /// Whether it has said when it is open. Nobody promises a time to visitors before.
    pub fn is_open_sometime(&self) -> bool {
        self.business_hours.values().any(Option::is_some)
    }

    /// A JSON merge patch applied and checked; fields that are not an organization's are refused by name.
    ///
    /// # Errors
    /// `Invalid` with each wrong field.
    pub fn patched(&self, patch: &Value) -> Result<Self, Rejection> {
        let Value::Object(fields) = patch else { return Err(Rejection::invalid("body", "must be a JSON object")) };
        if !is_bounded_json(patch, 3 * SETTINGS_BYTES_MAX) {
            return Err(Rejection::invalid("body", "is too large or too deeply nested"));
        }
        let known = as_object(self);
        let mut checks = Checks::default();
        let mut merged = known.clone();
        for (field, value) in fields {
            // Fields without a value leave the object when serialized as null only if they were never there; all of ours are.
            if !known.contains_key(field) {
                checks.fail(field, "is not a field of an organization that can be changed");
                continue;
            }
            let mut new = known.get(field).cloned().unwrap_or(Value::Null);
            if field == "business_hours" {
                // A day set to null is closed; a merge patch would only remove it, which means the same, so the whole is taken.
                merge_hours(&mut new, value);
            } else {
                merge_patch(&mut new, value);
            }
            if let Err(error) =
                serde_json::from_value::<Self>(Value::Object(Map::from_iter([(field.clone(), new.clone())])))
                && !(new.is_null())
            {
                checks.fail(field, format!("is not understood: {error}"));
                continue;
            }
            if new.is_null() {
                // Null resets a field to its default.
                merged.remove(field);
            } else {
                merged.insert(field.clone(), new);
            }
        }
        checks.finish()?;
        let mut profile: Self = serde_json::from_value(Value::Object(merged))
            .map_err(|error| Rejection::invalid("body", error.to_string()))?;
        profile.normalise();
        let errors = profile.problems();
        if errors.is_empty() { Ok(profile) } else { Err(Rejection::Invalid { errors }) }
    }

    /// Everything wrong with it.
    pub fn problems(&self) -> Vec<FieldError> {
        let mut checks = Checks::default();
        checks.line("name", &self.name, 1, NAME_CHARS_MAX);
        checks.ensure(
            is_slug(&self.slug),
            "slug",
            "must have 2 to 63 lower-case letters, digits and single hyphens, and neither begin nor end with a hyphen",
        );
        checks.count("enabled_verticals", self.enabled_verticals.len(), 16);
        for (field, url) in [("website_url", &self.website_url), ("logo_url", &self.logo_url)] {
            if let Some(url) = url {
                checks.web_address(field, url);
            }
        }
        if let Some(phone) = &self.phone {
            checks.line("phone", phone, 3, 40);
        }
        if let Some(email) = &self.email {
            checks.email("email", email);
        }
        if let Some(address) = &self.address {
            let parts = [
                ("street", &address.street),
                ("city", &address.city),
                ("state", &address.state),
                ("zip", &address.zip),
                ("country", &address.country),
            ];
            for (part, value) in parts {
                checks.line(&format!("address.{part}"), value, 0, ADDRESS_CHARS_MAX);
            }
        }
        self.check_hours(&mut checks);
        checks.ensure(
            zone(&self.timezone).is_some(),
            "timezone",
            "is not an IANA time zone such as America/New_York or Europe/Zurich",
        );
        for (field, value) in [("settings", &self.settings), ("metadata", &self.metadata)] {
            let bounded = is_bounded_json(&Value::Object(value.clone()), SETTINGS_BYTES_MAX);
            checks.ensure(bounded, field, format!("must be at most {SETTINGS_BYTES_MAX} bytes and 16 levels deep"));
        }
        self.check_settings(&mut checks);
        checks.errors()
    }

    /// People of a routing team, by user id or e-mail address; empty for an unknown team.
    pub fn team(&self, name: &str) -> Vec<&str> {
        let team = self.settings.get("routing_teams").and_then(|teams| teams.get(name));
        team.and_then(Value::as_array)
            .map(|people| people.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }

    fn normalise(&mut self) {
        self.name = self.name.trim().to_owned();
        self.slug = self.slug.trim().to_lowercase();
        self.email = self.email.take().map(|email| normal_email(&email)).filter(|email| !email.is_empty());
        for text in [&mut self.website_url, &mut self.phone, &mut self.logo_url] {
            *text = text.take().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        }
        self.enabled_verticals.sort_unstable();
        self.enabled_verticals.dedup();
    }

    fn check_hours(&self, checks: &mut Checks) {
        for (day, hours) in &self.business_hours {
            let field = format!("business_hours.{day}");
            checks.ensure(WEEKDAYS.contains(&day.as_str()), &*field, "is not one of mon, tue, wed, thu, fri, sat, sun");
            let Some(hours) = hours else { continue };
            match (minute_of_day(&hours.open), minute_of_day(&hours.close)) {
                (Some(open), Some(close)) => checks.ensure(open < close, field, "must open before it closes"),
                (None, _) | (_, None) => checks.fail(field, "must have open and close as HH:MM, such as 09:00"),
            }
        }
    }

    fn check_settings(&self, checks: &mut Checks) {
        if let Some(retention) = self.settings.get("retention") {
            let Value::Object(retention) = retention else {
                checks.fail("settings.retention", "must be an object such as {\"conversations_days\":365}");
                return;
            };
            for (kind, days) in retention {
                let field = format!("settings.retention.{kind}");
                let least = match kind.as_str() {
                    KEPT_CONVERSATIONS | KEPT_TARGETS => 1,
                    // None at all: nothing is recorded.
                    KEPT_RECORDINGS => 0,
                    // Who is promised that something is erased must not wait for it in vain.
                    _ => {
                        let known = format!("{KEPT_CONVERSATIONS}, {KEPT_TARGETS} and {KEPT_RECORDINGS}");
                        checks.fail(field, format!("is not erased by age; only {known} are"));
                        continue;
                    }
                };
                let right =
                    days.is_null() || days.as_u64().is_some_and(|days| (least..=RETENTION_DAYS_MAX).contains(&days));
                let range = format!("must be null or a number of days from {least} to {RETENTION_DAYS_MAX}");
                checks.ensure(right, field, range);
            }
        }
        if let Some(teams) = self.settings.get("routing_teams") {
            let Value::Object(teams) = teams else {
                checks.fail("settings.routing_teams", "must be an object of lists of user ids or e-mail addresses");
                return;
            };
            checks.count("settings.routing_teams", teams.len(), TEAMS_MAX);
            for (team, people) in teams {
                let field = format!("settings.routing_teams.{team}");
                match people {
                    Value::Array(people) if people.iter().all(Value::is_string) => {
                        checks.count(&field, people.len(), TEAM_MEMBERS_MAX);
                    }
                    _ => checks.fail(field, "must be a list of user ids or e-mail addresses"),
                }
            }
        }
    }
}

fn as_object(profile: &Profile) -> Map<String, Value> {
    match serde_json::to_value(profile) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn merge_hours(hours: &mut Value, patch: &Value) {
    match (hours, patch) {
        (Value::Object(hours), Value::Object(patch)) => {
            hours.extend(patch.iter().map(|(day, open)| (day.clone(), open.clone())));
        }
        (hours, patch) => *hours = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Profile {
        Profile { name: "Joe's".to_owned(), slug: "joes".to_owned(), ..Profile::default() }
    }

    fn fields(patch: Value) -> Vec<String> {
        match base().patched(&patch) {
            Err(Rejection::Invalid { errors }) => errors.into_iter().map(|error| error.field).collect(),
            other => panic!("{patch}: {other:?}"),
        }
    }

    #[test]
    fn each_wrong_field_is_named() {
        for (patch, field) in [
            (json!({"timezone": "Mars/Phobos"}), "timezone"),
            (json!({"slug": "Not a slug"}), "slug"),
            (json!({"name": "  "}), "name"),
            (json!({"name": null}), "name"),
            (json!({"name": 7}), "name"),
            (json!({"website_url": "javascript:alert(1)"}), "website_url"),
            (json!({"email": "nobody"}), "email"),
            (json!({"vertical": "submarines"}), "vertical"),
            (json!({"address": {"planet": "Mars"}}), "address"),
            (json!({"address": {"city": "x".repeat(300)}}), "address.city"),
            (json!({"business_hours": {"mon": {"open": "17:00", "close": "09:00"}}}), "business_hours.mon"),
            (json!({"business_hours": {"mon": {"open": "9", "close": "17:00"}}}), "business_hours.mon"),
            (json!({"business_hours": {"someday": null}}), "business_hours.someday"),
            (json!({"settings": {"retention": {"conversations_days": 0}}}), "settings.retention.conversations_days"),
            (json!({"settings": {"retention": {"dreams_days": 5}}}), "settings.retention.dreams_days"),
            (json!({"settings": {"retention": {"recordings_days": -1}}}), "settings.retention.recordings_days"),
            (json!({"settings": {"routing_teams": {"a": "b"}}}), "settings.routing_teams.a"),
            (json!({"metadata": {"x": "y".repeat(40_000)}}), "metadata"),
            (json!({"owner_id": "me"}), "owner_id"),
        ] {
            assert_eq!(fields(patch.clone()), [field], "{patch}");
        }
        assert_eq!(fields(json!({"timezone": "x", "slug": "-"})), ["slug", "timezone"]);
        assert_eq!(fields(json!([])), ["body"]);
    }

    #[test]
    fn recordings_are_kept_unless_days_are_said_and_none_are_made_for_no_days() {
        for (settings, expected) in [
            (json!({}), Recordings::Kept),
            (json!({"retention": {"recordings_days": null}}), Recordings::Kept),
            (json!({"retention": {"recordings_days": 0}}), Recordings::Discarded),
            (json!({"retention": {"recordings_days": 30}}), Recordings::Days(30)),
        ] {
            let patched = base().patched(&json!({ "settings": settings })).expect("fits");
            assert_eq!(recordings(&patched.settings), expected, "{settings}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_resets() {
        let first = base()
            .patched(&json!({
                "website_url": " https://joes.example ",
                "email": "Info@Joes.example",
                "timezone": "Europe/Zurich",
                "business_hours": {"mon": {"open": "09:00", "close": "17:00"}, "sun": null},
                "address": {"city": "Austin"},
                "settings": {"a": {"b": 1, "c": 2}}
            }))
            .unwrap();
        assert_eq!(first.website_url.as_deref(), Some("https://joes.example"));
        assert_eq!(first.email.as_deref(), Some("info@joes.example"));
        let second = first
            .patched(&json!({
                "website_url": null,
                "timezone": null,
                "business_hours": {"mon": null, "tue": {"open": "10:00", "close": "24:00"}},
                "address": {"state": "TX"},
                "settings": {"a": {"b": null}}
            }))
            .unwrap();
        assert_eq!((second.website_url.as_deref(), second.timezone.as_str()), (None, DEFAULT_TIMEZONE));
        assert_eq!(second.business_hours["mon"], None);
        assert!(second.business_hours["tue"].is_some() && second.business_hours["sun"].is_none());
        let address = second.address.unwrap();
        assert_eq!((address.city.as_str(), address.state.as_str()), ("Austin", "TX"));
        assert_eq!(second.settings["a"], json!({"c": 2}));
    }
}
