//! The clocks of the host: wall time for what is journaled, tokio's time for waiting.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Tells wall time. A value, so that tests run on tokio's paused time.
pub trait Clock: Send + Sync + 'static {
    /// Now, Unix milliseconds.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        // A clock before 1970 or beyond the year 292 million is a broken machine: saturate rather than fail.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Follows tokio's time from a given start: stands still and jumps with it in tests.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start_ms: i64,
    started: Instant,
}

impl TokioClock {
    /// A clock that reads `start_ms` now.
    pub fn starting_at(start_ms: i64) -> Self {
        Self { start_ms, started: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        let elapsed = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(elapsed)
    }
}
