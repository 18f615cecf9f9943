//! Times in queries: RFC 3339, or a day.

use crate::problem::{Problem, Result};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days_are_understood() {
        assert_eq!(parse("from", Some("1970-01-02")).unwrap(), Some(86_400_000));
        assert_eq!(parse("from", Some("1970-01-01T01:00:00+01:00")).unwrap(), Some(0));
        assert_eq!(parse("from", None).unwrap(), None);
        assert_eq!(parse("from", Some("yesterday")).unwrap_err().body.status, 422);
    }
}
