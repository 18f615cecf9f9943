//! The report: one row a figure, with its goal and what it is compared with, as Markdown.

mod machine;
mod measured;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

pub(crate) use self::machine::Machine;
pub(crate) use self::measured::Measured;
use crate::spread::Percentiles;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Things a second.
    PerSecond,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Seconds.
    Seconds,
    /// 1024 bytes.
    Kilobytes,
    /// 1024 · 1024 bytes.
    Megabytes,
    /// A ratio of two like figures.
    Times,
    /// Parts of a hundred.
    Percent,
    /// A plain number.
    Count,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
}

/// Which sample of a spread a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The median.
    P50,
    /// 95 of 100 are below.
    P95,
    /// 99 of 100 are below.
    P99,
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    scenario: String,
    figure: String,
    value: Result<f64, String>,
    unit: Unit,
    goal: Option<Goal>,
    beside: String,
    spread: Option<Percentiles>,
}

/// A run's figures and what is to be known about them.
#[derive(Debug)]
pub(crate) struct Report {
    scale: f64,
    seconds: u64,
    machine: Machine,
    rows: Vec<Row>,
    notes: Vec<(String, String)>,
}

impl Row {
    /// A measured number.
    pub(crate) fn new(scenario: &str, figure: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self {
            scenario: scenario.to_owned(),
            figure: figure.into(),
            value: Ok(value),
            unit,
            goal: None,
            beside: String::new(),
            spread: None,
        }
    }

    /// One sample of a spread in milliseconds or microseconds, with its percentiles beside it.
    pub(crate) fn timed(
        scenario: &str,
        figure: impl Into<String>,
        at: At,
        unit: Unit,
        spread: Option<Percentiles>,
    ) -> Self {
        let Some(spread) = spread else {
            return Self::missing(scenario, figure, "nothing was answered").in_unit(unit);
        };
        let sample = match at {
            At::P50 => spread.p50,
            At::P95 => spread.p95,
            At::P99 => spread.p99,
        };
        Self { spread: Some(spread), ..Self::new(scenario, figure, in_unit(sample, unit), unit) }
    }

    /// A figure that could not be measured, with the reason.
    pub(crate) fn missing(scenario: &str, figure: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { value: Err(reason.into()), ..Self::new(scenario, figure, 0.0, Unit::Count) }
    }

    /// Sets the goal.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Sets the floor or peer it is compared with.
    pub(crate) fn beside(self, beside: impl Into<String>) -> Self {
        Self { beside: beside.into(), ..self }
    }

    /// Sets the percentiles shown beside a number that is none of them.
    pub(crate) fn spread(self, spread: Option<Percentiles>) -> Self {
        Self { spread, ..self }
    }

    /// Sets the unit of a goal whose figure is missing.
    pub(crate) fn in_unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    fn verdict(&self, full_scale: bool) -> &'static str {
        match (&self.value, self.goal) {
            (_, None) => "",
            (Err(_), Some(_)) => "not measured",
            // A goal is for the full load: meeting it with a part of that says nothing.
            (Ok(_), Some(_)) if !full_scale => "scaled",
            (Ok(value), Some(Goal::AtMost(most))) if *value <= most => "met",
            (Ok(value), Some(Goal::AtLeast(least))) if *value >= least => "met",
            (Ok(_), Some(Goal::AtMost(_) | Goal::AtLeast(_))) => "**missed**",
        }
    }

    fn cells(&self, full_scale: bool) -> [String; 10] {
        let value = match &self.value {
            Ok(value) => with_unit(*value, self.unit),
            Err(reason) => format!("not measured: {reason}"),
        };
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::AtMost(most)) => format!("≤ {}", with_unit(most, self.unit)),
            Some(Goal::AtLeast(least)) => format!("≥ {}", with_unit(least, self.unit)),
        };
        let unit = match self.unit {
            Unit::Micros => Unit::Micros,
            Unit::PerSecond
            | Unit::Millis
            | Unit::Seconds
            | Unit::Kilobytes
            | Unit::Megabytes
            | Unit::Times
            | Unit::Percent
            | Unit::Count => Unit::Millis,
        };
        let sample = |pick: fn(&Percentiles) -> Duration| {
            self.spread.as_ref().map(|spread| with_unit(in_unit(pick(spread), unit), unit)).unwrap_or_default()
        };
        [
            self.scenario.clone(),
            self.figure.clone(),
            value,
            goal,
            self.verdict(full_scale).to_owned(),
            self.beside.clone(),
            sample(|spread| spread.p50),
            sample(|spread| spread.p95),
            sample(|spread| spread.p99),
            sample(|spread| spread.max),
        ]
    }
}

impl Report {
    /// An empty report of a run.
    pub(crate) fn new(scale: f64, seconds: u64, machine: Machine) -> Self {
        Self { scale, seconds, machine, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a figure, and says it at once: a long run is watched.
    pub(crate) fn add(&mut self, row: Row) {
        let [_, figure, value, goal, verdict, beside, ..] = row.cells(self.full_scale());
        let parts: Vec<String> = [goal, verdict, beside].into_iter().filter(|part| !part.is_empty()).collect();
        let behind = if parts.is_empty() { String::new() } else { format!("  ({})", parts.join("; ")) };
        eprintln!("    {figure}: {value}{behind}");
        self.rows.push(row);
    }

    /// Adds a sentence about how a scenario was measured or what happened in it.
    pub(crate) fn note(&mut self, scenario: &str, note: impl Into<String>) {
        self.notes.push((scenario.to_owned(), note.into()));
    }

    /// Records a scenario that could not be finished.
    pub(crate) fn failed(&mut self, scenario: &str, reason: &str) {
        let first = reason.lines().next().unwrap_or_default();
        self.rows.push(Row::missing(scenario, "the scenario", first));
        if reason.lines().nth(1).is_some() {
            self.notes.push((scenario.to_owned(), reason.replace('\n', "; ")));
        }
    }

    /// The whole report.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("# How fast it is\n\n");
        text.push_str("Written by `make bench`; do not edit. Every figure stands beside its goal and beside a floor or peer measured in the same run; the load generator, ");
        text.push_str("the stand-in model server and the server share this machine's cores. Load is open-loop: arrivals do not wait for answers, and a latency begins when its arrival was due.\n\n");
        text.push_str(&format!("{}", self.machine));
        text.push_str(&format!(
            "* scale {}, {} s of steady load{}\n\n",
            self.scale,
            self.seconds,
            if self.full_scale() { "" } else { " (goals are for scale 1)" }
        ));
        text.push_str("| scenario | figure | measured | goal | | floor, peer or circumstance | p50 | p95 | p99 | max |\n|---|---|---|---|---|---|---|---|---|---|\n");
        for row in &self.rows {
            text.push_str("| ");
            text.push_str(&row.cells(self.full_scale()).map(|cell| in_cell(&cell)).join(" | "));
            text.push_str(" |\n");
        }
        if !self.notes.is_empty() {
            text.push_str("\n## How it was measured\n\n");
            for (scenario, note) in &self.notes {
                text.push_str(&format!("* **{scenario}**: {}\n", note.replace('\n', " ")));
            }
        }
        text
    }

    fn full_scale(&self) -> bool {
        (self.scale - 1.0).abs() < 1e-9
    }
}

/// What is written behind a number.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerSecond => "/s",
            Self::Millis => " ms",
            Self::Micros => " µs",
            Self::Seconds => " s",
            Self::Kilobytes => " KB",
            Self::Megabytes => " MB",
            Self::Times => "×",
            Self::Percent => " %",
            Self::Count => "",
        })
    }
}

/// A number with three digits that say something, and its unit.
pub(crate) fn with_unit(value: f64, unit: Unit) -> String {
    let digits = if value.fract() == 0.0 || value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{}{unit}", with_thousands(&format!("{value:.digits$}")))
}

fn in_unit(time: Duration, unit: Unit) -> f64 {
    match unit {
        Unit::Micros => time.as_secs_f64() * 1e6,
        Unit::Seconds => time.as_secs_f64(),
        Unit::PerSecond
        | Unit::Millis
        | Unit::Kilobytes
        | Unit::Megabytes
        | Unit::Times
        | Unit::Percent
        | Unit::Count => time.as_secs_f64() * 1e3,
    }
}

fn with_thousands(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// A cell must not end the table early.
fn in_cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::Spread;

    fn report(scale: f64) -> Report {
        Report::new(scale, 30, Machine::for_tests())
    }

    fn ten_milliseconds() -> Option<Percentiles> {
        let mut spread = Spread::default();
        spread.add(Duration::from_millis(10));
        spread.percentiles()
    }

    #[test]
    fn a_row_holds_figure_goal_verdict_comparison_and_percentiles() {
        let mut report = report(1.0);
        report.add(
            Row::timed("chat-turns", "time added", At::P95, Unit::Millis, ten_milliseconds())
                .goal(Goal::AtMost(10.5))
                .beside("floor 2 ms"),
        );
        let text = report.markdown();
        let row = text.lines().find(|line| line.starts_with("| chat-turns")).expect("row");
        assert_eq!(
            row,
            "| chat-turns | time added | 10.0 ms | ≤ 10.5 ms | met | floor 2 ms | 10.0 ms | 10.0 ms | 10.0 ms | 10.0 ms |"
        );
        assert!(text.contains("2 cores") && text.contains("abc1234"), "{text}");
    }

    #[test]
    fn verdicts_follow_the_direction_of_the_goal() {
        for (value, goal, verdict) in [
            (1000.0, Goal::AtLeast(1000.0), "met"),
            (999.0, Goal::AtLeast(1000.0), "**missed**"),
            (10.0, Goal::AtMost(10.0), "met"),
            (10.1, Goal::AtMost(10.0), "**missed**"),
        ] {
            assert_eq!(Row::new("x", "y", value, Unit::Count).goal(goal).verdict(true), verdict, "{value} {goal:?}");
        }
        assert_eq!(Row::new("x", "y", 1.0, Unit::Count).verdict(true), "");
    }

    #[test]
    fn a_part_of_the_load_meets_no_goal() {
        let mut report = report(0.5);
        report.add(Row::new("x", "y", 1.0, Unit::Count).goal(Goal::AtMost(2.0)));
        let text = report.markdown();
        assert!(text.contains("| scaled |") && !text.contains("| met |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_says_why_and_meets_no_goal() {
        let mut report = report(1.0);
        report
            .add(Row::missing("knowledge", "pgvector", "not installed").goal(Goal::AtLeast(10.0)).in_unit(Unit::Times));
        report.failed("start", "the server ended\nlast line of the log");
        let text = report.markdown();
        assert!(
            text.contains("| knowledge | pgvector | not measured: not installed | ≥ 10× | not measured |"),
            "{text}"
        );
        assert!(text.contains("| start | the scenario | not measured: the server ended |"), "{text}");
        assert!(text.contains("* **start**: the server ended; last line of the log"), "{text}");
    }

    #[test]
    fn a_bar_or_line_break_in_a_cell_does_not_break_the_table() {
        let mut report = report(1.0);
        report.add(Row::missing("x", "a|b", "one\ntwo"));
        let text = report.markdown();
        let row = text.lines().find(|line| line.starts_with("| x |")).expect("row");
        assert_eq!(row.replace("\\|", "").matches('|').count(), 11, "{row}");
    }

    #[test]
    fn numbers_are_readable() {
        for (value, shown) in [
            (30_000.0, "30,000"),
            (1234.56, "1,235"),
            (12.345, "12.3"),
            (0.1234, "0.12"),
            (100.0, "100"),
            (-1500.0, "-1,500"),
        ] {
            assert_eq!(with_unit(value, Unit::Count), shown);
        }
        assert_eq!(with_unit(2.5, Unit::Times), "2.50×");
    }
}
