//! Counts over time as charts show them: one point per local hour or day, and how conversations spread over the hours of a week.
//!
//! Points are made of whole buckets, so their sum is exactly what the cards of the same span say. A local hour that happens twice, when clocks go
//! back, is two points; one that does not happen is none.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{BUCKET_MS, Counters, Numbers, ceil_bucket};
use crate::{local_time::local_clock, vocabulary::Channel};

/// Days of a week.
pub const WEEKDAYS: usize = 7;
/// Hours of a day.
pub const HOURS: usize = 24;

/// How wide a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// An hour of local time.
    Hour,
    /// A local day.
    Day,
}

/// What was counted in one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Where it begins, Unix milliseconds.
    pub at_ms: i64,
    /// Where it ends.
    pub until_ms: i64,
    /// What was counted.
    pub counters: Counters,
}

/// One point after the other over the buckets that begin in `from_ms..to_ms`, those without any count too. The first and the last are as long as the
/// span leaves them.
pub fn points(numbers: &Numbers, zone: &TimeZone, from_ms: i64, to_ms: i64, width: Width) -> Vec<Point> {
    let (from, to) = (ceil_bucket(from_ms), ceil_bucket(to_ms));
    let mut points: Vec<(_, Point)> = Vec::new();
    for bucket in from..to {
        let (at_ms, clock) = (bucket * BUCKET_MS, local_clock(zone, bucket * BUCKET_MS));
        // The offset tells the second of two equal hours from the first.
        let name = match width {
            Width::Hour => (clock.date, i8::try_from(clock.hour).unwrap_or(0), clock.offset_s),
            Width::Day => (clock.date, 0, 0),
        };
        match points.last_mut() {
            Some((last, point)) if *last == name => point.until_ms = at_ms + BUCKET_MS,
            _ => points.push((name, Point { at_ms, until_ms: at_ms + BUCKET_MS, counters: Counters::default() })),
        }
        if let (Some(counters), Some((_, point))) = (numbers.buckets.get(&bucket), points.last_mut()) {
            point.counters.add(counters, 1);
        }
    }
    points.into_iter().map(|(_, point)| point).collect()
}

/// Conversations that began in `from_ms..to_ms` by weekday, Monday first, and local hour; of all channels, or of one.
pub fn week(
    numbers: &Numbers,
    zone: &TimeZone,
    from_ms: i64,
    to_ms: i64,
    channel: Option<Channel>,
) -> [[i64; HOURS]; WEEKDAYS] {
    let mut cells = [[0; HOURS]; WEEKDAYS];
    let (from, to) = (ceil_bucket(from_ms), ceil_bucket(to_ms));
    if from >= to {
        return cells;
    }
    for (bucket, counters) in numbers.buckets.range(from..to) {
        let clock = local_clock(zone, bucket * BUCKET_MS);
        let counted = counters.of(channel).conversations;
        if let Some(cell) = cells.get_mut(clock.weekday).and_then(|day| day.get_mut(usize::from(clock.hour))) {
            *cell += counted;
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::local_time::{day_start_ms, zone_or_utc};

    const HOUR_MS: i64 = 3_600_000;
    const ZONES: [&str; 6] =
        ["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"];

    fn one(at_ms: i64) -> Numbers {
        let mut numbers = Numbers::default();
        numbers.at(at_ms).channel(Channel::Chat).conversations = 1;
        numbers
    }

    #[test]
    fn a_day_has_23_hours_when_clocks_go_forward_and_25_when_they_go_back() {
        let zone = zone_or_utc("Europe/Zurich");
        for (day, next, hours) in
            [("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25), ("2026-06-01", "2026-06-02", 24)]
        {
            let (from, to) = (day_start_ms(&zone, day).unwrap(), day_start_ms(&zone, next).unwrap());
            let points_of = |width| points(&Numbers::default(), &zone, from, to, width);
            assert_eq!(points_of(Width::Hour).len(), hours, "{day}");
            assert!(points_of(Width::Hour).iter().all(|point| point.until_ms - point.at_ms == HOUR_MS), "{day}");
            let days = points_of(Width::Day);
            assert_eq!((days.len(), days[0].at_ms, days[0].until_ms), (1, from, to), "{day}");
        }
    }

    #[test]
    fn a_conversation_in_the_hour_that_happens_twice_is_in_the_one_it_was_in() {
        let zone = zone_or_utc("Europe/Zurich");
        let (from, to) = (day_start_ms(&zone, "2026-10-25").unwrap(), day_start_ms(&zone, "2026-10-26").unwrap());
        let mut numbers = one(from + 2 * HOUR_MS + 60_000); // 02:01 summer time
        numbers.fold(&one(from + 3 * HOUR_MS + 60_000)); // 02:01 winter time
        let counts: Vec<i64> = points(&numbers, &zone, from, to, Width::Hour)
            .iter()
            .map(|point| point.counters.every_channel().conversations)
            .collect();
        assert_eq!(counts[..5], [0, 0, 1, 1, 0]);
        // Both are the Sunday's third hour on the clock.
        assert_eq!(week(&numbers, &zone, from, to, None)[6][2], 2);
    }

    #[test]
    fn a_zone_half_an_hour_off_has_its_own_hours() {
        let zone = zone_or_utc("Asia/Kolkata");
        let from = day_start_ms(&zone, "2026-01-05").unwrap(); // a Monday
        let numbers = one(from + 9 * HOUR_MS + 45 * 60_000);
        let shown = points(&numbers, &zone, from, from + 24 * HOUR_MS, Width::Hour);
        assert_eq!((shown.len(), shown[9].counters.every_channel().conversations), (24, 1));
        assert_eq!(week(&numbers, &zone, from, from + 24 * HOUR_MS, Some(Channel::Chat))[0][9], 1);
        assert_eq!(week(&numbers, &zone, from, from + 24 * HOUR_MS, Some(Channel::Voice))[0][9], 0);
    }

    #[test]
    fn thirty_days_of_fifty_thousand_conversations_are_as_many_buckets_as_there_are_quarters_of_an_hour() {
        let zone = zone_or_utc("America/New_York");
        let from = day_start_ms(&zone, "2026-10-15").unwrap();
        let to = day_start_ms(&zone, "2026-11-14").unwrap();
        let mut numbers = Numbers::default();
        for nth in 0..50_000_i64 {
            numbers.fold(&one(from + nth * (to - from) / 50_000));
        }
        assert!(numbers.buckets.len() as i64 <= (to - from) / BUCKET_MS, "{}", numbers.buckets.len());
        let begun = std::time::Instant::now();
        let shown = points(&numbers, &zone, from, to, Width::Hour);
        println!("a chart of thirty days by the hour: {:?}", begun.elapsed());
        assert_eq!(shown.len(), 30 * 24 + 1, "one hour happened twice");
        assert_eq!(shown.iter().map(|point| point.counters.every_channel().conversations).sum::<i64>(), 50_000);
    }

    proptest! {
        /// Whatever the zone, the span and the width: points lie end to end, cover the span, and add up to what a recount of the sources says.
        #[test]
        fn points_add_up_to_a_recount(
            sources in prop::collection::vec((0_i64..24 * 200, 0_i64..4, 0_i64..60), 0..40),
            span in (0_i64..24 * 150, 1_i64..24 * 50),
            zone in 0_usize..ZONES.len(),
        ) {
            let zone = zone_or_utc(ZONES[zone]);
            let begin = 1_767_225_600_000; // 2026-01-01T00:00:00Z: half a year with a change of clocks in each zone that has one
            let (from, to) = (begin + span.0 * HOUR_MS, begin + (span.0 + span.1) * HOUR_MS);
            let mut numbers = Numbers::default();
            let mut recount = (0, 0);
            for (hour, conversations, minute) in sources {
                let at_ms = begin + hour * HOUR_MS + minute * 60_000;
                // An entity that gave something else before: late events replace, they do not add.
                let (mut before, mut after) = (Numbers::default(), Numbers::default());
                before.at(at_ms + HOUR_MS).channel(Channel::Chat).conversations = conversations + 1;
                after.at(at_ms).channel(Channel::Chat).conversations = conversations;
                after.at(at_ms).all.leads = 1;
                numbers.fold(&before);
                numbers.replace(&before, &after);
                if (from..to).contains(&at_ms) {
                    recount = (recount.0 + conversations, recount.1 + 1);
                }
            }
            for width in [Width::Hour, Width::Day] {
                let shown = points(&numbers, &zone, from, to, width);
                prop_assert_eq!(shown.first().map(|point| point.at_ms), Some(from));
                prop_assert_eq!(shown.last().map(|point| point.until_ms), Some(to));
                prop_assert!(shown.windows(2).all(|pair| pair[0].until_ms == pair[1].at_ms));
                let mut sum = Counters::default();
                shown.iter().for_each(|point| sum.add(&point.counters, 1));
                prop_assert_eq!(&sum, &numbers.between(from, to));
                prop_assert_eq!((sum.every_channel().conversations, sum.all.leads), recount);
            }
            let cells: i64 = week(&numbers, &zone, from, to, None).iter().flatten().sum();
            prop_assert_eq!(cells, recount.0);
        }
    }
}
