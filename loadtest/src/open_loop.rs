//! The open-loop scheduler: arrivals at a fixed rate that wait for nobody, each told when it was meant to begin.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

/// Arrivals under way at once. Beyond it an arrival is counted as turned away by the generator instead of growing without bound:
/// at a thousand a second it is reached when answers take eight seconds, which is a failed run by any measure.
pub(crate) const UNDER_WAY_MAX: usize = 8_000;
/// How long what is under way at the end may still take.
const DRAIN: Duration = Duration::from_secs(20);

/// How many arrivals, how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Arrivals a second.
    pub(crate) per_second: f64,
    /// Arrivals in all.
    pub(crate) arrivals: u64,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Arrivals that were begun.
    pub(crate) begun: u64,
    /// Arrivals that were not, because too many were under way.
    pub(crate) turned_away: u64,
    /// Arrivals that had not ended when waiting did.
    pub(crate) unfinished: u64,
    /// From the first intended start until the last arrival was begun.
    pub(crate) sending: Duration,
}

impl Plan {
    /// A plan for a rate kept up for a time.
    pub(crate) fn lasting(per_second: f64, time: Duration) -> Self {
        Self { per_second, arrivals: ((per_second * time.as_secs_f64()).round() as u64).max(1) }
    }

    /// When an arrival is meant to begin, from the start of the plan.
    pub(crate) fn intended(&self, arrival: u64) -> Duration {
        Duration::from_secs_f64(arrival as f64 / self.per_second)
    }

    /// Begins every arrival at its time, late ones at once, and waits for them to end within bounds.
    ///
    /// `begin` gets the arrival's number and its intended start: latencies are counted from there, so that a generator or
    /// server that falls behind cannot hide it.
    pub(crate) async fn run<F, Fut>(&self, mut begin: F) -> Offered
    where
        F: FnMut(u64, Instant) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let start = Instant::now();
        let mut under_way = JoinSet::new();
        let mut offered = Offered::default();
        for arrival in 0..self.arrivals {
            let intended = start + self.intended(arrival);
            tokio::time::sleep_until(intended).await;
            while under_way.try_join_next().is_some() {}
            if under_way.len() < UNDER_WAY_MAX {
                under_way.spawn(begin(arrival, intended));
                offered.begun += 1;
            } else {
                offered.turned_away += 1;
            }
        }
        offered.sending = start.elapsed();
        let all = async { while under_way.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, all).await; // What is left is counted just below.
        while under_way.try_join_next().is_some() {}
        offered.unfinished = under_way.len() as u64;
        under_way.abort_all();
        offered
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn arrivals_keep_their_rate_however_long_answers_take() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let plan = Plan::lasting(100.0, Duration::from_secs(2));
        let offered = plan
            .run(|arrival, intended| {
                let seen = Arc::clone(&seen);
                seen.lock().unwrap().push((arrival, intended - start, start.elapsed()));
                async { tokio::time::sleep(Duration::from_secs(5)).await }
            })
            .await;
        assert_eq!(offered.begun, 200);
        assert_eq!((offered.turned_away, offered.unfinished), (0, 0));
        assert!(offered.sending < Duration::from_millis(2000), "{offered:?}");
        let seen = seen.lock().unwrap();
        for (arrival, intended, begun) in seen.iter() {
            assert_eq!(*intended, Duration::from_millis(arrival * 10));
            assert!(
                *begun >= *intended && *begun - *intended <= Duration::from_millis(1),
                "arrival {arrival} began {begun:?} for {intended:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_of_the_generator_counts_against_the_arrivals_behind_it() {
        let waits = Arc::new(Mutex::new(Vec::new()));
        let plan = Plan { per_second: 10.0, arrivals: 5 };
        let clock = Instant::now();
        let mut first = true;
        plan.run(|_, intended| {
            if std::mem::take(&mut first) {
                // As a blocked thread would: time passes and nothing is begun. The first poll moves the clock.
                let mut pass = std::pin::pin!(tokio::time::advance(Duration::from_millis(250)));
                let _ = pass.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            }
            let waits = Arc::clone(&waits);
            async move { waits.lock().unwrap().push(intended.elapsed()) }
        })
        .await;
        let waits = waits.lock().unwrap();
        assert_eq!(waits.len(), 5);
        assert!(waits[0] >= Duration::from_millis(250), "{waits:?}");
        assert!(waits[1] >= Duration::from_millis(150) && waits[2] >= Duration::from_millis(50), "{waits:?}");
        assert!(waits[3] < Duration::from_millis(50), "{waits:?}");
        assert!(clock.elapsed() >= Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_counted_and_given_up() {
        let offered = Plan { per_second: 1000.0, arrivals: 7 }.run(|_, _| std::future::pending()).await;
        assert_eq!(offered.unfinished, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_does_not_make_the_generator_grow_without_bound() {
        let plan = Plan { per_second: 1e6, arrivals: UNDER_WAY_MAX as u64 + 10 };
        let offered = plan.run(|_, _| std::future::pending()).await;
        assert_eq!((offered.begun, offered.turned_away), (UNDER_WAY_MAX as u64, 10));
    }

    #[test]
    fn a_plan_has_at_least_one_arrival() {
        assert_eq!(Plan::lasting(1000.0, Duration::from_secs(30)).arrivals, 30_000);
        assert_eq!(Plan::lasting(0.01, Duration::from_secs(1)).arrivals, 1);
    }
}
