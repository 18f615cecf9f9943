//! Rows that another program measured: a library may be timed only from inside its own crate, but there is one table.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::{Goal, Report, Row, Unit};
use crate::error::{Error, Result};
use crate::spread::Percentiles;

/// One line of the file, a JSON object: a row, or a note where only `note` is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    scenario: String,
    #[serde(default)]
    figure: String,
    value: Option<f64>,
    /// Why there is no value.
    reason: Option<String>,
    unit: Option<Unit>,
    goal: Option<Goal>,
    #[serde(default)]
    beside: String,
    percentiles_us: Option<Samples>,
    note: Option<String>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    count: u64,
}

impl Measured {
    /// Reads a file of such lines.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Setup`] naming the line that is none.
    pub(crate) fn read(file: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| Error::io(format!("could not read {}", file.display()), source))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(at, line)| {
                serde_json::from_str(line)
                    .map_err(|error| Error::Setup(format!("line {} of {}: {error}", at + 1, file.display())))
            })
            .collect()
    }

    /// Puts it into the report.
    pub(crate) fn add_to(self, report: &mut Report) {
        if let Some(note) = self.note {
            report.note(&self.scenario, note);
            return;
        }
        let unit = self.unit.unwrap_or(Unit::Count);
        let row = match self.value {
            Some(value) => Row::new(&self.scenario, self.figure, value, unit),
            None => Row::missing(&self.scenario, self.figure, self.reason.unwrap_or_default()).in_unit(unit),
        };
        let spread = self.percentiles_us.map(|samples| {
            let micros = |value: f64| Duration::from_secs_f64(value.max(0.0) / 1e6);
            Percentiles {
                p50: micros(samples.p50),
                p95: micros(samples.p95),
                p99: micros(samples.p99),
                max: micros(samples.max),
                count: samples.count,
            }
        });
        let row = row.beside(self.beside).spread(spread);
        report.add(match self.goal {
            Some(goal) => row.goal(goal),
            None => row,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Machine;
    use super::*;

    fn read(text: &str) -> Result<Vec<Measured>> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("rows.jsonl");
        std::fs::write(&file, text).expect("file");
        Measured::read(&file)
    }

    #[test]
    fn rows_of_another_program_stand_in_the_same_table() {
        let lines = [
            r#"{"scenario":"knowledge","figure":"scan","value":12.5,"unit":"micros","goal":{"at_most":30},"beside":"peer 40 µs","percentiles_us":{"p50":12.5,"p95":14,"p99":20,"max":31,"count":9}}"#,
            r#"{"scenario":"knowledge","figure":"pgvector","reason":"not installed","unit":"times","goal":{"at_least":10}}"#,
            "",
            r#"{"scenario":"knowledge","note":"generated vectors"}"#,
        ];
        let mut report = Report::new(1.0, 30, Machine::for_tests());
        read(&lines.join("\n")).expect("rows").into_iter().for_each(|measured| measured.add_to(&mut report));
        let text = report.markdown();
        for row in [
            "| knowledge | scan | 12.5 µs | ≤ 30 µs | met | peer 40 µs | 12.5 µs | 14 µs | 20 µs | 31 µs |",
            "| knowledge | pgvector | not measured: not installed | ≥ 10× | not measured |",
            "* **knowledge**: generated vectors",
        ] {
            assert!(text.contains(row), "{row} is missing in\n{text}");
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        let error = read("{\"scenario\":\"x\",\"note\":\"y\"}\nnonsense").expect_err("refused").to_string();
        assert!(error.contains("line 2 of"), "{error}");
    }
}
