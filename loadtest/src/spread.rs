//! How measured durations spread: percentiles without keeping every sample.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer waits count as this long: nothing here is waited for longer than ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// Digits kept: a percentile is off by at most one in a thousand.
const DIGITS: u8 = 3;

/// Durations in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    histogram: Histogram<u64>,
}

/// The percentiles shown in the report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percentiles {
    /// Half of all samples are below.
    pub(crate) p50: Duration,
    /// 95 of 100.
    pub(crate) p95: Duration,
    /// 99 of 100.
    pub(crate) p99: Duration,
    /// The longest.
    pub(crate) max: Duration,
    /// How many samples there are.
    pub(crate) count: u64,
}

impl Default for Spread {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self { histogram: histogram.expect("the bounds are constants in the order the histogram asks for") }
    }
}

impl Spread {
    /// Adds one sample.
    pub(crate) fn add(&mut self, sample: Duration) {
        self.histogram.saturating_record(u64::try_from(sample.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US));
    }

    /// Adds all samples of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds, which is all that adding can fail for.
        let _ = self.histogram.add(&other.histogram);
    }

    /// The percentiles; none without samples.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| Duration::from_micros(self.histogram.value_at_quantile(quantile));
        (!self.histogram.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: Duration::from_micros(self.histogram.max()),
            count: self.histogram.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: Duration, wanted_ms: u64) {
        let wanted = Duration::from_millis(wanted_ms);
        assert!(found.abs_diff(wanted) <= wanted / 1000 + Duration::from_micros(1), "{found:?} is not {wanted:?}");
    }

    #[test]
    fn percentiles_of_one_to_a_thousand_milliseconds() {
        let mut spread = Spread::default();
        (1..=1000).rev().for_each(|ms| spread.add(Duration::from_millis(ms)));
        let found = spread.percentiles().expect("samples");
        close(found.p50, 500);
        close(found.p95, 950);
        close(found.p99, 990);
        close(found.max, 1000);
        assert_eq!(found.count, 1000);
    }

    #[test]
    fn merged_spreads_count_as_one() {
        let (mut one, mut other) = (Spread::default(), Spread::default());
        (1..=500).for_each(|ms| one.add(Duration::from_millis(ms)));
        (501..=1000).for_each(|ms| other.add(Duration::from_millis(ms)));
        one.merge(&other);
        let found = one.percentiles().expect("samples");
        close(found.p50, 500);
        assert_eq!(found.count, 1000);
    }

    #[test]
    fn samples_out_of_bounds_are_kept_at_the_bound() {
        let mut spread = Spread::default();
        spread.add(Duration::ZERO);
        spread.add(Duration::from_secs(100_000));
        let found = spread.percentiles().expect("samples");
        assert_eq!(found.count, 2);
        assert!(found.max >= Duration::from_secs(599));
        assert_eq!(Spread::default().percentiles(), None);
    }
}
