//! Which span of time figures are asked for: a window up to now, or days of the organization's own time zone.

use colloquy_actors::domain::local_time::{day_start_ms, days_after, zone_or_utc};
use colloquy_actors::domain::numbers::charts::Width;
use colloquy_actors::domain::numbers::{BUCKET_MS, Window};
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::feed::{Chart, Span as Asked};
use colloquy_wire::analytics::AnalyticsQuery;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::app::AppState;
use crate::auth::Console;
use crate::problem::{Problem, Result};
use crate::routes::agents::only_agent;

/// Days of one span: a quarter of a year with its change of clocks.
const DAYS_MAX: i32 = 92;
/// The widest span that is shown by the hour unless said.
const BY_HOUR_MAX_MS: i64 = 48 * 3_600_000;

/// A span with what is asked about it.
pub(crate) struct Span {
    /// The first instant, Unix milliseconds.
    pub(crate) from_ms: i64,
    /// The first instant behind it.
    pub(crate) to_ms: i64,
    /// The name of the organization's zone.
    pub(crate) timezone: String,
    /// Only this agent's.
    pub(crate) agent: Option<String>,
    /// Only this channel's.
    pub(crate) channel: Option<Channel>,
}

impl Span {
    /// Reads a query. A key of one agent sees that agent only.
    pub(crate) async fn of(app: &AppState, console: &Console, query: &AnalyticsQuery) -> Result<Self> {
        let timezone = app.actors.organization(console.tenant()).await?.facts.timezone.clone();
        let zone = zone_or_utc(&timezone);
        let (from_ms, to_ms) = match (&query.window, &query.from, &query.to) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(Problem::field("window", "goes without from and to"));
            }
            (None, Some(from), Some(to)) => days(&zone, from, to, DAYS_MAX)?,
            (None, Some(_), None) => return Err(Problem::field("to", "goes with from: a day such as 2026-01-31")),
            (None, None, Some(_)) => return Err(Problem::field("from", "goes with to: a day such as 2026-01-01")),
            (window, None, None) => {
                let window = window.as_deref().map_or(Ok(Window::default()), parse_window)?;
                // As the cards: up to the end of the running quarter of an hour.
                let end_ms = (app.now_ms().div_euclid(BUCKET_MS) + 1) * BUCKET_MS;
                (end_ms - window.span_ms(), end_ms)
            }
        };
        let channel = query.channel.as_deref().map(parse_channel).transpose()?;
        let agent = only_agent(console).map(|id| id.0).or_else(|| query.agent_id.clone());
        Ok(Self { from_ms, to_ms, timezone, agent, channel })
    }

    /// What the feed is asked for a chart.
    pub(crate) fn chart(&self) -> Chart {
        Chart { from_ms: self.from_ms, to_ms: self.to_ms, timezone: self.timezone.clone(), agent: self.agent.clone() }
    }

    /// What the feed is asked for questions.
    pub(crate) fn asked(&self) -> Asked {
        Asked { from_ms: self.from_ms, to_ms: self.to_ms, agent: self.agent.clone(), channel: self.channel }
    }

    /// How wide a point is.
    pub(crate) fn width(&self, bucket: Option<&str>) -> Result<Width> {
        match bucket {
            Some("hour") => Ok(Width::Hour),
            Some("day") => Ok(Width::Day),
            Some(_) => Err(Problem::field("bucket", "must be hour or day")),
            None if self.to_ms - self.from_ms <= BY_HOUR_MAX_MS => Ok(Width::Hour),
            None => Ok(Width::Day),
        }
    }
}

/// The instants from the beginning of one local day to the end of another, at most so many days.
pub(crate) fn days(zone: &TimeZone, from: &str, to: &str, most: i32) -> Result<(i64, i64)> {
    let day = |field: &str, text: &str| {
        text.parse::<jiff::civil::Date>().map_err(|_| Problem::field(field, "must be a day such as 2026-01-31"))
    };
    let (first, last) = (day("from", from)?, day("to", to)?);
    let days = first.until(last).map_err(|_| Problem::field("to", "is out of range"))?.get_days();
    if !(0..most).contains(&days) {
        return Err(Problem::field("to", format!("must not be before from, and at most {most} days in all")));
    }
    let out = |field: &str| Problem::field(field, "is out of range");
    let begin = day_start_ms(zone, from).ok_or_else(|| out("from"))?;
    let end = days_after(to, 1).and_then(|next| day_start_ms(zone, &next)).ok_or_else(|| out("to"))?;
    Ok((begin, end))
}

fn parse_window(text: &str) -> Result<Window> {
    serde_json::from_value(json!(text)).map_err(|_| Problem::field("window", "must be 24h, 7d or 30d"))
}

/// A channel by its name.
pub(crate) fn parse_channel(text: &str) -> Result<Channel> {
    serde_json::from_value(json!(text)).map_err(|_| {
        let names: Vec<String> = Channel::ALL.iter().map(|channel| channel_name(*channel)).collect();
        Problem::field("channel", format!("must be one of {}", names.join(", ")))
    })
}

/// The contract's name of a channel.
pub(crate) fn channel_name(channel: Channel) -> String {
    json!(channel).as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_local_days_and_bounded() {
        let zurich = zone_or_utc("Europe/Zurich");
        let (from, to) = days(&zurich, "2026-03-29", "2026-03-29", 92).unwrap();
        assert_eq!(to - from, 23 * 3_600_000, "clocks went forward that day");
        assert_eq!(days(&zurich, "2026-01-01", "2026-04-03", 92).unwrap_err().body.status, 422, "93 days");
        assert!(days(&zurich, "2026-01-01", "2026-04-03", 93).is_ok());
        for (from, to) in [("2026-02-02", "2026-02-01"), ("yesterday", "2026-02-01"), ("2026-02-01", "2026-02-30")] {
            assert_eq!(days(&zurich, from, to, 92).unwrap_err().body.status, 422, "{from} {to}");
        }
    }

    #[test]
    fn what_is_no_channel_or_window_is_named() {
        assert_eq!(parse_channel("chat").unwrap(), Channel::Chat);
        assert_eq!(parse_channel("web").unwrap_err().body.errors[0].field, "channel");
        assert_eq!(parse_window("1y").unwrap_err().body.errors[0].field, "window");
    }
}
