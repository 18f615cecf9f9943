//! Tables as CSV: who wants one, and cells that no spreadsheet takes for a formula.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::problem::{Problem, Result};

/// Whether a table is asked for: `format=csv`, or `Accept: text/csv`.
pub(crate) fn wanted(headers: &HeaderMap, format: Option<&str>) -> Result<bool> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(Problem::field("format", "must be csv or json")),
        None => {
            let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let mut kinds = accepts.flat_map(|line| line.split(','));
            Ok(kinds.any(|kind| kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")))
        }
    }
}

/// A table that is written row by row.
pub(crate) struct Table {
    name: &'static str,
    out: csv::Writer<Vec<u8>>,
}

impl Table {
    /// Begins with its columns.
    pub(crate) fn new(name: &'static str, columns: &[&str]) -> Result<Self> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(columns).map_err(|error| broken(&error))?;
        Ok(Self { name, out })
    }

    /// Adds a row.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a Value>) -> Result<()> {
        self.out.write_record(cells.into_iter().map(cell)).map_err(|error| broken(&error))
    }

    /// The table as a file.
    pub(crate) fn file(self) -> Result<Response> {
        let bytes = self.out.into_inner().map_err(|error| broken(&error))?;
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.csv\"", self.name)),
        ];
        Ok((headers, bytes).into_response())
    }
}

/// A table as a file: its columns, then one line per row.
pub(crate) fn csv(
    name: &'static str,
    columns: &[&str],
    rows: impl IntoIterator<Item = Vec<Value>>,
) -> Result<Response> {
    let mut table = Table::new(name, columns)?;
    for row in rows {
        table.row(&row)?;
    }
    table.file()
}

fn broken(error: &dyn std::fmt::Display) -> Problem {
    Problem::unavailable("unavailable", error.to_string(), 1)
}

/// A value as a cell. A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if value.is_string() && text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_phone(&text) {
        format!("'{text}")
    } else {
        text
    }
}

fn is_phone(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        assert_eq!(cell(&json!("=HYPERLINK(\"x\")")), "'=HYPERLINK(\"x\")");
        assert_eq!(cell(&json!("@cmd")), "'@cmd");
        assert_eq!(cell(&json!("+14155550100")), "+14155550100");
        assert_eq!(cell(&json!(-3)), "-3");
        assert_eq!(cell(&json!(null)), "");
    }

    #[test]
    fn a_table_is_asked_for_by_query_or_header() {
        let mut headers = HeaderMap::new();
        assert!(!wanted(&headers, None).unwrap() && wanted(&headers, Some("csv")).unwrap());
        assert_eq!(wanted(&headers, Some("xls")).unwrap_err().body.status, 422);
        headers.insert(header::ACCEPT, "application/json, Text/CSV;q=0.9".parse().unwrap());
        assert!(wanted(&headers, None).unwrap() && !wanted(&headers, Some("json")).unwrap());
    }
}
