//! The part of a file that a `Range` asks for: players of audio and video jump, and some play nothing without.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything; also where it cannot be understood or names several parts, as the standard wants it.
    All,
    /// From the one byte to the other, both included.
    Of { from: u64, to: u64 },
    /// Nothing that is there.
    Outside,
}

/// What a `Range` asks for of so many bytes.
pub(super) fn part(range: &str, whole: u64) -> Part {
    let Some((from, to)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::All;
    };
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(from), _) if from >= whole => Part::Outside,
        (Ok(from), Ok(to)) if to < from => Part::All,
        (Ok(from), Ok(to)) => Part::Of { from, to: to.min(whole - 1) },
        (Ok(from), Err(_)) if to.trim().is_empty() => Part::Of { from, to: whole - 1 },
        (Err(_), Ok(0)) if from.trim().is_empty() => Part::Outside,
        (Err(_), Ok(last)) if from.trim().is_empty() => Part::Of { from: whole.saturating_sub(last), to: whole - 1 },
        _ => Part::All,
    }
}

/// The answer to a `Range` that begins behind the end.
pub(super) fn outside(whole: u64, what: &str) -> Response {
    let range = [(header::CONTENT_RANGE, format!("bytes */{whole}"))];
    let detail = format!("{what} has {whole} bytes");
    (range, Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "outside_of_file", detail)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_bytes_that_are_there() {
        for (range, expected) in [
            ("bytes=0-", Part::Of { from: 0, to: 99 }),
            ("bytes=10-19", Part::Of { from: 10, to: 19 }),
            ("bytes=90-200", Part::Of { from: 90, to: 99 }),
            ("bytes=-10", Part::Of { from: 90, to: 99 }),
            ("bytes=-1000", Part::Of { from: 0, to: 99 }),
            ("bytes=100-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=9-3", Part::All),
            ("bytes=0-1,5-6", Part::All),
            ("lines=0-1", Part::All),
            ("bytes=a-b", Part::All),
        ] {
            assert_eq!(part(range, 100), expected, "{range}");
        }
    }
}
