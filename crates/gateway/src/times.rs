//! Times in queries: RFC 3339, or a day.

use colloquy_actors::domain::local_time::{day_start_ms, days_after};
use jiff::tz::TimeZone;

use crate::problem::{Problem, Result};

/// Characters of a day such as `2026-01-31`: whatever is longer has a time.
const DAY_CHARS: usize = 10;

/// Unix milliseconds of a query field: a time with zone, or a day (its beginning in UTC).
pub(crate) fn parse(field: &str, text: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        text.parse::<jiff::civil::Date>()
            .ok()
            .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .map(|day| day.timestamp())
    });
    match time {
        Some(time) => Ok(Some(time.as_millisecond())),
        None => Err(Problem::field(field, "must be a time such as 2026-01-31T09:00:00Z or a day such as 2026-01-31")),
    }
}

/// The stretch that two query fields name: times with zone as they are, days as whole days of a zone, the last one included.
pub(crate) fn stretch(zone: &TimeZone, from: Option<&str>, to: Option<&str>) -> Result<(Option<i64>, Option<i64>)> {
    let at = |field: &str, text: Option<&str>, later: i32| match text {
        Some(text) if text.parse::<jiff::civil::Date>().is_ok() && text.len() == DAY_CHARS => {
            let begin = days_after(text, later).and_then(|day| day_start_ms(zone, &day));
            begin.map(Some).ok_or_else(|| Problem::field(field, "is out of range"))
        }
        text => parse(field, text),
    };
    Ok((at("from", from, 0)?, at("to", to, 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_of_the_zone_and_whole() {
        let zone = colloquy_actors::domain::local_time::zone_or_utc("Asia/Tokyo");
        let day = (Some(-9 * 3_600_000), Some(15 * 3_600_000));
        assert_eq!(stretch(&zone, Some("1970-01-01"), Some("1970-01-01")).unwrap(), day);
        let instant = Some("1970-01-01T00:00:00Z");
        assert_eq!(stretch(&zone, instant, instant).unwrap(), (Some(0), Some(0)));
        assert_eq!(stretch(&zone, None, Some("soon")).unwrap_err().body.status, 422);
    }

    #[test]
    fn times_and_days_are_understood() {
        assert_eq!(parse("from", Some("1970-01-02")).unwrap(), Some(86_400_000));
        assert_eq!(parse("from", Some("1970-01-01T01:00:00+01:00")).unwrap(), Some(0));
        assert_eq!(parse("from", None).unwrap(), None);
        assert_eq!(parse("from", Some("yesterday")).unwrap_err().body.status, 422);
    }
}
