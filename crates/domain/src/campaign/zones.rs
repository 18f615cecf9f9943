//! Which time zones a number may be in: by country, narrower by area code where that is certain.

use std::{collections::HashMap, sync::LazyLock};

/// The longest prefix of the table, digits.
const PREFIX_DIGITS_MAX: usize = 7;

/// Zones by country (`XX`) and by prefix (`+digits`).
static TABLE: LazyLock<HashMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    let lines = include_str!("data/zones.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split(' ');
            words.next().map(|key| (key, words.collect()))
        })
        .collect()
});

/// The zones that a number in E.164 of a country may be in; empty if nothing is known of either.
pub fn of(e164: &str, country: &str) -> Vec<String> {
    let longest = e164.len().min(PREFIX_DIGITS_MAX + 1);
    let by_prefix = (2..=longest).rev().find_map(|end| e164.get(..end).and_then(|prefix| TABLE.get(prefix)));
    by_prefix.or_else(|| TABLE.get(country)).into_iter().flatten().map(|zone| (*zone).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_time::zone;

    #[test]
    fn every_zone_of_the_table_exists_and_every_line_has_one() {
        assert!(TABLE.len() > 700, "{}", TABLE.len());
        for (key, zones) in TABLE.iter() {
            assert!(!zones.is_empty(), "{key}");
            assert!(key.len() <= PREFIX_DIGITS_MAX + 1, "{key}");
            assert!(zones.iter().all(|name| zone(name).is_some()), "{key} {zones:?}");
        }
    }

    #[test]
    fn an_area_code_is_narrower_than_its_country() {
        assert_eq!(of("+12125550100", "US"), ["America/New_York"]);
        assert_eq!(of("+14155550100", "US"), ["America/Los_Angeles"]);
        assert_eq!(of("+12085550100", "US"), ["America/Denver", "America/Los_Angeles"]);
        assert_eq!(of("+18765550100", "JM"), ["America/Jamaica"]);
        assert_eq!(of("+41446681800", "CH"), ["Europe/Zurich"]);
        assert_eq!(of("+5568991234567", "BR"), ["America/Rio_Branco"]);
        assert_eq!(of("+34922123456", "ES"), ["Atlantic/Canary"]);
        assert_eq!(of("+34612345678", "ES").len(), 2, "a mobile may be on the islands");
        assert_eq!(of("+79161234567", "RU").len(), 11);
        assert!(of("+18005550100", "US").len() > 5, "a number without a region may be anywhere");
        assert!(of("+80012345678", "001").is_empty());
    }
}
