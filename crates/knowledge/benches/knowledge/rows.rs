//! Measured rows in the form that the load test's report reads, and how samples become percentiles.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The report's name for what is measured here.
const SCENARIO: &str = "knowledge";

/// What has been measured so far.
#[derive(Default)]
pub(crate) struct Rows(Vec<Value>);

/// One figure.
pub(crate) struct Row {
    pub(crate) figure: String,
    /// The number, or why there is none.
    pub(crate) value: Result<f64, String>,
    pub(crate) unit: &'static str,
    /// `("at_most", 30.0)` or `("at_least", 99.0)`.
    pub(crate) goal: Option<(&'static str, f64)>,
    /// The floor or peer of the same run.
    pub(crate) beside: String,
    pub(crate) samples: Option<Samples>,
}

/// Durations of one kind, sorted.
pub(crate) struct Samples(Vec<Duration>);

impl Rows {
    /// Adds a figure, and says it at once.
    pub(crate) fn add(&mut self, row: Row) {
        let shown = match &row.value {
            Ok(value) => format!("{value:.2} {}", row.unit),
            Err(reason) => format!("not measured: {reason}"),
        };
        eprintln!("    {}: {shown}  ({})", row.figure, row.beside);
        let mut line = json!({ "scenario": SCENARIO, "figure": row.figure, "unit": row.unit, "beside": row.beside });
        match row.value {
            Ok(value) => line["value"] = json!(value),
            Err(reason) => line["reason"] = json!(reason),
        }
        if let Some((direction, bound)) = row.goal {
            line["goal"] = json!({ direction: bound });
        }
        if let Some(samples) = &row.samples {
            line["percentiles_us"] = json!({
                "p50": samples.at_us(0.5), "p95": samples.at_us(0.95), "p99": samples.at_us(0.99), "max": samples.at_us(1.0), "count": samples.0.len(),
            });
        }
        self.0.push(line);
    }

    /// Adds a sentence about how it was measured.
    pub(crate) fn note(&mut self, note: &str) {
        self.0.push(json!({ "scenario": SCENARIO, "note": note }));
    }

    /// Writes one JSON object a line.
    pub(crate) fn write(&self, file: &Path) -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
        for row in &self.0 {
            writeln!(out, "{row}")?;
        }
        out.flush()
    }
}

impl Samples {
    /// Times every call, after some that are not counted.
    pub(crate) fn of(warm_up: usize, count: usize, mut call: impl FnMut(usize)) -> Self {
        (0..warm_up).for_each(&mut call);
        let time = |number| {
            let begun = Instant::now();
            call(number);
            begun.elapsed()
        };
        Self::sorted((warm_up..warm_up + count).map(time).collect())
    }

    /// Durations measured elsewhere.
    pub(crate) fn sorted(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// Microseconds at a quantile; 0 without samples.
    pub(crate) fn at_us(&self, quantile: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * quantile).round() as usize).map_or(0.0, |sample| sample.as_secs_f64() * 1e6)
    }
}
