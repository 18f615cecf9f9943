//! What a campaign's numbers are: sums of what each target contributes, so that they equal a recount at every instant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::target::{Attempt, Disposition, FailReason, Outcome, Past, SkipReason, Stage, Standing, Target};

/// Counts of a slice or a whole campaign. Differences of them are counts too, so they are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Targets.
    pub targets: i64,
    /// Those that wait.
    pub waiting: i64,
    /// Those that are being called.
    pub trying: i64,
    /// Those that are done.
    pub done: i64,
    /// Those that are done, by how.
    pub outcomes: BTreeMap<Outcome, i64>,
    /// The failed ones, by why.
    pub failed: BTreeMap<FailReason, i64>,
    /// The skipped ones, by why.
    pub skipped: BTreeMap<SkipReason, i64>,
    /// Calls that were dialled (CMP-7: total calls).
    pub dials: i64,
    /// Calls that a person answered (CMP-7: connected calls).
    pub connected: i64,
    /// Calls that a machine answered.
    pub machines: i64,
    /// Calls with a meeting booked (CMP-7).
    pub meetings: i64,
    /// Connected calls in which nobody spoke to the person in time.
    pub abandoned: i64,
    /// Calls of which the provider never said what became of them.
    pub unconfirmed: i64,
    /// Seconds of connected calls.
    pub talk_s: i64,
    /// What calls cost, millionths of a US dollar.
    pub cost_micros: i64,
    /// Calls whose cost is known.
    pub costed: i64,
}

/// The six cards (CMP-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cards {
    /// Calls dialled.
    pub total_calls: i64,
    /// Calls that a person answered.
    pub connected_calls: i64,
    /// Meetings booked.
    pub meetings_booked: i64,
    /// Seconds of a connected call; none without one.
    pub avg_duration_s: Option<f64>,
    /// Connected of all calls; none without one.
    pub connect_rate: Option<f64>,
    /// Meetings of connected calls; none without one.
    pub meeting_rate: Option<f64>,
}

impl Counters {
    /// What one target contributes.
    pub fn of(target: &Target) -> Self {
        let mut counters = Self { targets: 1, ..Self::default() };
        match &target.standing {
            Standing::Waiting { .. } => counters.waiting = 1,
            Standing::Trying(attempt) => {
                counters.trying = 1;
                counters.open(attempt);
            }
            Standing::Done { disposition, .. } => {
                counters.done = 1;
                counters.outcomes.insert(disposition.outcome(), 1);
                match disposition {
                    Disposition::Failed { reason } => {
                        counters.failed.insert(*reason, 1);
                    }
                    Disposition::Skipped { reason } => {
                        counters.skipped.insert(*reason, 1);
                    }
                    Disposition::Answered
                    | Disposition::Voicemail
                    | Disposition::NoAnswer
                    | Disposition::Busy
                    | Disposition::MeetingBooked
                    | Disposition::Callback
                    | Disposition::NotInterested => {}
                }
            }
        }
        target.past.iter().for_each(|past| counters.past(past));
        counters
    }

    /// Adds another's counts, `sign` times. Counts that come to nothing disappear, so that equal counts are equal values.
    pub fn add(&mut self, other: &Self, sign: i64) {
        fn merge<K: Ord + Copy>(into: &mut BTreeMap<K, i64>, from: &BTreeMap<K, i64>, sign: i64) {
            for (key, count) in from {
                *into.entry(*key).or_default() += sign * count;
            }
            into.retain(|_, count| *count != 0);
        }
        let pairs = [
            (&mut self.targets, other.targets),
            (&mut self.waiting, other.waiting),
            (&mut self.trying, other.trying),
            (&mut self.done, other.done),
            (&mut self.dials, other.dials),
            (&mut self.connected, other.connected),
            (&mut self.machines, other.machines),
            (&mut self.meetings, other.meetings),
            (&mut self.abandoned, other.abandoned),
            (&mut self.unconfirmed, other.unconfirmed),
            (&mut self.talk_s, other.talk_s),
            (&mut self.cost_micros, other.cost_micros),
            (&mut self.costed, other.costed),
        ];
        for (own, others) in pairs {
            *own += sign * others;
        }
        merge(&mut self.outcomes, &other.outcomes, sign);
        merge(&mut self.failed, &other.failed, sign);
        merge(&mut self.skipped, &other.skipped, sign);
    }

    /// Of all these targets.
    pub fn recount<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut sum = Self::default();
        targets.into_iter().for_each(|target| sum.add(&Self::of(target), 1));
        sum
    }

    /// The six cards.
    pub fn cards(&self) -> Cards {
        let rate = |part: i64, of: i64| (of > 0).then(|| part as f64 / of as f64);
        Cards {
            total_calls: self.dials,
            connected_calls: self.connected,
            meetings_booked: self.meetings,
            avg_duration_s: rate(self.talk_s, self.connected),
            connect_rate: rate(self.connected, self.dials),
            meeting_rate: rate(self.meetings, self.connected),
        }
    }

    fn open(&mut self, attempt: &Attempt) {
        self.dials += i64::from(attempt.dialed_ms.is_some());
        // Known when it is hung up, before it is told how it went.
        self.cost_micros += attempt.cost_micros.unwrap_or(0);
        self.costed += i64::from(attempt.cost_micros.is_some());
        match attempt.stage {
            Stage::Asked | Stage::Permitted | Stage::Dialing | Stage::Placed => {}
            Stage::Answered | Stage::Over if attempt.machine.is_some() => self.machines += 1,
            Stage::Answered | Stage::Over => {
                self.connected += 1;
                self.abandoned += i64::from(attempt.abandoned);
                self.talk_s += attempt.over.map_or(0, |over| i64::from(over.talk_s));
                self.meetings += i64::from(attempt.talk.as_ref().is_some_and(|talk| talk.meeting));
            }
        }
    }

    fn past(&mut self, past: &Past) {
        self.dials += i64::from(past.dialed_ms.is_some());
        self.cost_micros += past.cost_micros.unwrap_or(0);
        self.costed += i64::from(past.cost_micros.is_some());
        let Some(result) = past.result else { return };
        if result.connected() {
            self.connected += 1;
            self.abandoned += i64::from(past.abandoned);
            self.talk_s += i64::from(past.talk_s);
        }
        match result {
            Disposition::MeetingBooked => self.meetings += 1,
            Disposition::Voicemail | Disposition::Failed { reason: FailReason::Fax } => self.machines += 1,
            Disposition::Failed { reason: FailReason::Unconfirmed } => self.unconfirmed += 1,
            Disposition::Answered
            | Disposition::NoAnswer
            | Disposition::Busy
            | Disposition::Callback
            | Disposition::NotInterested
            | Disposition::Failed { .. }
            | Disposition::Skipped { .. } => {}
        }
    }
}
