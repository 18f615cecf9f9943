//! Whether an address lies in the area that a business serves (VRT-7), by postal code or city.

use serde_json::Value;

use crate::{
    agent::config::AgentConfig,
    text::{self, Words},
};

/// What an address is to the business.
pub(super) struct Area {
    /// The signal for the lead's score, if it is certain.
    pub(super) signal: Option<&'static str>,
    /// What to say.
    pub(super) reply: Option<String>,
}

/// Compares an address with `vertical_config.service_area`; `None` if the trade has no such thing.
pub(super) fn of(config: &AgentConfig, address: &str) -> Option<Area> {
    let area = config.vertical_config.get("service_area")?.as_object()?;
    let list = |key: &str| {
        area.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    let (codes, cities) = (list("postal_codes"), list("cities"));
    let words = Words::of(address);
    let inside =
        codes.iter().any(|code| words.find(code).is_some()) || cities.iter().any(|city| words.find(city).is_some());
    // The number of a house is no postal code: only one behind the first word counts.
    let has_code = words
        .all()
        .iter()
        .skip(1)
        .any(|word| word.text.len() == 5 && word.text.bytes().all(|byte| byte.is_ascii_digit()));
    let (signal, key) = if inside {
        (Some("in_service_area"), "inside_reply")
    } else if !codes.is_empty() && has_code {
        (Some("outside_service_area"), "outside_reply")
    } else {
        (None, "unknown_reply")
    };
    let reply = area
        .get(key)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(|text| text::fill(text, &config.variables));
    Some(Area { signal, reply })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_inside_outside_or_unknown() {
        let mut config = AgentConfig::default();
        assert!(of(&config, "12 Oak St").is_none());
        let area = json!({"postal_codes": ["62704"], "cities": ["Springfield"], "inside_reply": "in", "outside_reply": "out", "unknown_reply": "?"});
        config.vertical_config.insert("service_area".into(), area);
        for (address, reply) in [
            ("12 Oak St, 62704", "in"),
            ("12 Oak St, springfield", "in"),
            ("12 Oak St, 10001", "out"),
            ("10001 Oak St", "?"),
        ] {
            assert_eq!(of(&config, address).and_then(|area| area.reply).as_deref(), Some(reply), "{address}");
        }
    }
}
