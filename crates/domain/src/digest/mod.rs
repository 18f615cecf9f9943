//! The daily summary of an organization: when it goes out, to whom it went, and what is done about a mail server that is away.
//!
//! At eight in the morning of the organization's own zone the day before is told, each day once. What was missed while nothing ran is not made up
//! for: only the last whole day is told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    context::Context,
    decision::Decision,
    ids::{TenantId, UserId},
    local_time::{days_after, local_date, local_time_ms, zone_or_utc},
    principal::Actor,
    rejection::Rejection,
};

/// The entity's kind in keys; its id is the tenant's own.
pub const KIND: &str = "digest";

/// The hour of the local day at which it goes out (ANA-18).
pub const HOUR: i8 = 8;
/// A run without news for this long is begun again: mail to a thousand people takes minutes.
pub const DEADLINE_MS: i64 = 10 * 60 * 1000;
/// Runs that failed before a day is given up: with the pauses between them five hours of a mail server that is away.
pub const FAILURES_MAX: u32 = 6;
/// The pause after the first failure; each further one is twice as long.
pub const PAUSE_MS: i64 = 5 * 60 * 1000;

/// What is known of an organization's summaries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digest {
    /// The organization; empty before it is planned.
    pub tenant: TenantId,
    /// The organization's zone; empty before it is planned.
    pub timezone: String,
    /// The local day it was planned on: no earlier one is told.
    pub since: String,
    /// The last day that was told, or given up.
    pub done: Option<String>,
    /// The day being told.
    pub open: Option<Open>,
}

/// A day being told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// The local day, `YYYY-MM-DD`.
    pub date: String,
    /// Counts from 1.
    pub attempt: u32,
    /// Runs that failed.
    pub failures: u32,
    /// Whether the next run waits for the deadline.
    pub waits: bool,
    /// When it is begun again, Unix milliseconds.
    pub deadline_ms: i64,
    /// Who has it.
    pub sent: BTreeSet<UserId>,
}

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// The organization is in this zone.
    Plan {
        /// An IANA name.
        timezone: String,
    },
    /// Tell yesterday now, unless it was told.
    SendNow,
    /// Somebody has it.
    Delivered {
        /// Of which day.
        date: String,
        /// By which run.
        attempt: u32,
        /// Who.
        user: UserId,
    },
    /// A run came to its end.
    Finished {
        /// Of which day.
        date: String,
        /// Which run.
        attempt: u32,
        /// Whether everybody has it.
        whole: bool,
    },
    /// A deadline came.
    Tick,
    /// Tasks were lost.
    Recovered,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// It goes out in this zone.
    Planned {
        /// The organization.
        tenant: TenantId,
        /// An IANA name.
        timezone: String,
    },
    /// A day is told.
    Begun {
        /// Which.
        date: String,
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// Somebody has it.
    Delivered {
        /// Who.
        user: UserId,
    },
    /// A run failed; the next one waits.
    Paused {
        /// For when.
        until_ms: i64,
    },
    /// The next run begins.
    Retried {
        /// When it is begun again without news.
        deadline_ms: i64,
    },
    /// The day was told, or given up.
    Ended {
        /// Whether everybody has it.
        whole: bool,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// The day that is told now; none if it was told.
    Begun {
        /// Which.
        date: Option<String>,
    },
}

/// Work outside the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Effect {
    /// Write to all members who want it and do not have it. Keyed: a letter's key is made of day and member.
    Send {
        /// The day.
        date: String,
        /// Which run.
        attempt: u32,
        /// In which zone.
        timezone: String,
        /// Who has it.
        sent: BTreeSet<UserId>,
    },
}

/// What a command leads to.
pub type Outcome = Result<Decision<Event, Reply>, Rejection>;

/// Decides a command.
///
/// # Errors
/// `NotFound` for anyone but the service itself, `Superseded` for the news of an older run.
pub fn decide(state: &Digest, cx: &Context, command: Command) -> Outcome {
    if cx.principal.actor != Actor::System {
        return Err(Rejection::not_found("summary"));
    }
    match command {
        Command::Plan { timezone } if timezone == state.timezone => Ok(Decision::reply(Reply::Done)),
        Command::Plan { timezone } => {
            let tenant = cx.principal.tenant.clone();
            Ok(Decision::event(Event::Planned { tenant, timezone }, Reply::Done))
        }
        Command::SendNow => {
            let zone = zone_or_utc(&state.timezone);
            let yesterday = days_after(&local_date(&zone, cx.now_ms), -1);
            let date = yesterday.filter(|date| state.open.is_none() && !is_told(state, date));
            Ok(match date {
                Some(date) => Decision::event(begin(cx, date.clone()), Reply::Begun { date: Some(date) }),
                None => Decision::reply(Reply::Begun { date: None }),
            })
        }
        Command::Delivered { date, attempt, user } => {
            let open = current(state, &date, attempt)?;
            Ok(if open.sent.contains(&user) {
                Decision::reply(Reply::Done)
            } else {
                Decision::event(Event::Delivered { user }, Reply::Done)
            })
        }
        Command::Finished { date, attempt, whole } => {
            let open = current(state, &date, attempt)?;
            let event = if whole || open.failures + 1 >= FAILURES_MAX {
                Event::Ended { whole }
            } else {
                Event::Paused { until_ms: cx.now_ms + (PAUSE_MS << open.failures) }
            };
            Ok(Decision::event(event, Reply::Done))
        }
        Command::Tick => Ok(match (&state.open, timer(state)) {
            (Some(_), Some(due)) if due <= cx.now_ms => {
                Decision::event(Event::Retried { deadline_ms: cx.now_ms + DEADLINE_MS }, Reply::Done)
            }
            (None, Some(due)) if due <= cx.now_ms => match last_whole_day(state, cx.now_ms) {
                Some(date) => Decision::event(begin(cx, date), Reply::Done),
                None => Decision::reply(Reply::Done),
            },
            (Some(_) | None, _) => Decision::reply(Reply::Done),
        }),
        // A lost task is nobody's failure.
        Command::Recovered => Ok(match &state.open {
            Some(open) if !open.waits => {
                Decision::event(Event::Retried { deadline_ms: cx.now_ms + DEADLINE_MS }, Reply::Done)
            }
            Some(_) | None => Decision::reply(Reply::Done),
        }),
    }
}

/// Folds one event.
pub fn apply(state: &mut Digest, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Planned { tenant, timezone } => {
            state.tenant.clone_from(tenant);
            state.timezone.clone_from(timezone);
            if state.since.is_empty() {
                state.since = local_date(&zone_or_utc(timezone), at_ms);
            }
        }
        Event::Begun { date, deadline_ms } => {
            state.open = Some(Open { date: date.clone(), attempt: 1, deadline_ms: *deadline_ms, ..Open::default() });
        }
        Event::Delivered { user } => {
            if let Some(open) = &mut state.open {
                open.sent.insert(user.clone());
            }
        }
        Event::Paused { until_ms } => {
            if let Some(open) = &mut state.open {
                open.waits = true;
                open.failures += 1;
                open.deadline_ms = *until_ms;
            }
        }
        Event::Retried { deadline_ms } => {
            if let Some(open) = &mut state.open {
                open.waits = false;
                open.attempt += 1;
                open.deadline_ms = *deadline_ms;
            }
        }
        Event::Ended { .. } => {
            if let Some(open) = state.open.take() {
                state.done = Some(open.date);
            }
        }
    }
}

/// What is still to be done.
pub fn pending(state: &Digest) -> Vec<(String, u32, Effect)> {
    let Some(open) = state.open.as_ref().filter(|open| !open.waits) else { return Vec::new() };
    let effect = Effect::Send {
        date: open.date.clone(),
        attempt: open.attempt,
        timezone: state.timezone.clone(),
        sent: open.sent.clone(),
    };
    vec![(format!("send:{}", open.date), open.attempt, effect)]
}

/// When it wants to be woken, Unix milliseconds.
pub fn timer(state: &Digest) -> Option<i64> {
    if let Some(open) = &state.open {
        return Some(open.deadline_ms);
    }
    if state.timezone.is_empty() {
        return None;
    }
    // The day after the one that is told next.
    let next = match &state.done {
        Some(done) => days_after(done, 2)?,
        None => days_after(&state.since, 1)?,
    };
    local_time_ms(&zone_or_utc(&state.timezone), &next, HOUR)
}

/// The command a due timer turns into.
pub fn on_timer(state: &Digest, now_ms: i64) -> Option<Command> {
    timer(state).filter(|due| *due <= now_ms).map(|_| Command::Tick)
}

/// The command after tasks were lost.
pub fn on_recovered(state: &Digest) -> Option<Command> {
    (!pending(state).is_empty()).then_some(Command::Recovered)
}

/// The newest day whose morning after has come, if it was not told.
fn last_whole_day(state: &Digest, now_ms: i64) -> Option<String> {
    let zone = zone_or_utc(&state.timezone);
    let today = local_date(&zone, now_ms);
    let back = if local_time_ms(&zone, &today, HOUR)? <= now_ms { -1 } else { -2 };
    days_after(&today, back).filter(|date| !is_told(state, date) && *date >= state.since)
}

/// Days sort as their names do.
fn is_told(state: &Digest, date: &str) -> bool {
    state.done.as_deref().is_some_and(|done| done >= date)
}

fn begin(cx: &Context, date: String) -> Event {
    Event::Begun { date, deadline_ms: cx.now_ms + DEADLINE_MS }
}

fn current<'a>(state: &'a Digest, date: &str, attempt: u32) -> Result<&'a Open, Rejection> {
    let open = state.open.as_ref().filter(|open| open.date == date && open.attempt == attempt && !open.waits);
    open.ok_or(Rejection::Superseded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Principal;

    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;

    struct Org {
        state: Digest,
        now_ms: i64,
        /// Days that were begun, in order.
        told: Vec<String>,
    }

    impl Org {
        fn new(timezone: &str, date: &str, hour: i8) -> Self {
            let now_ms = local_time_ms(&zone_or_utc(timezone), date, hour).unwrap();
            let mut org = Self { state: Digest::default(), now_ms, told: Vec::new() };
            org.ask(Command::Plan { timezone: timezone.into() }).unwrap();
            org
        }

        fn ask(&mut self, command: Command) -> Result<Reply, Rejection> {
            let principal = Principal::system("t".into());
            let cx = Context { now_ms: self.now_ms, seq: 0, seed: [0; 32], principal };
            let decision = decide(&self.state, &cx, command)?;
            for event in decision.events {
                if let Event::Begun { date, .. } = &event {
                    self.told.push(date.clone());
                }
                apply(&mut self.state, &event, 0, self.now_ms);
            }
            Ok(decision.reply)
        }

        /// Time passes; due timers fire, runs end as told.
        fn pass(&mut self, ms: i64, ends: Option<bool>) {
            let until = self.now_ms + ms;
            while self.now_ms < until {
                self.now_ms = timer(&self.state).map_or(until, |due| due.max(self.now_ms)).min(until);
                while let Some(command) = on_timer(&self.state, self.now_ms) {
                    let before = self.state.clone();
                    self.ask(command).unwrap();
                    assert_ne!(before, self.state, "a due timer moves");
                    if let (Some(whole), Some((_, attempt, Effect::Send { date, .. }))) =
                        (ends, pending(&self.state).pop())
                    {
                        self.ask(Command::Finished { date, attempt, whole }).unwrap();
                    }
                }
                if timer(&self.state).is_none_or(|due| due > until) {
                    self.now_ms = until;
                }
            }
        }
    }

    #[test]
    fn each_day_is_told_once_at_eight_of_the_zone_over_changes_of_clocks() {
        for zone in ["America/New_York", "Asia/Kathmandu", "Europe/Zurich", "Pacific/Apia", "America/Santiago"] {
            let mut org = Org::new(zone, "2026-01-01", 15);
            let mut at = Vec::new();
            for _ in 0..365 * 24 {
                let before = org.told.len();
                org.pass(HOUR_MS, Some(true));
                if org.told.len() > before {
                    at.push(crate::local_time::local_clock(&zone_or_utc(zone), org.now_ms).hour);
                }
            }
            let days: Vec<String> = (0..365).filter_map(|day| days_after("2026-01-01", day)).collect();
            assert_eq!(org.told[..364], days[..364], "{zone}");
            assert!(at.iter().all(|hour| (8..=9).contains(hour)), "{zone}: {at:?}");
        }
    }

    #[test]
    fn what_was_missed_while_nothing_ran_is_not_made_up_for() {
        let mut org = Org::new("UTC", "2026-03-01", 9);
        org.now_ms += 5 * 24 * HOUR_MS + 20 * MINUTE_MS;
        org.pass(MINUTE_MS, Some(true));
        assert_eq!(org.told, ["2026-03-05"]);
        org.pass(24 * HOUR_MS, Some(true));
        assert_eq!(org.told, ["2026-03-05", "2026-03-06"]);
    }

    #[test]
    fn a_crash_in_the_middle_goes_on_with_who_has_nothing_yet_and_old_news_is_refused() {
        let mut org = Org::new("UTC", "2026-03-01", 9);
        org.pass(24 * HOUR_MS, None);
        let date = org.told[0].clone();
        let (first, second) = (UserId::from("u1"), UserId::from("u2"));
        let delivered = |attempt, user: &UserId| Command::Delivered { date: date.clone(), attempt, user: user.clone() };
        let attempt = org.state.open.as_ref().unwrap().attempt;
        org.ask(delivered(attempt, &first)).unwrap();
        let recovered = on_recovered(&org.state).unwrap();
        org.ask(recovered).unwrap();
        let (_, next, Effect::Send { sent, .. }) = pending(&org.state).pop().unwrap();
        assert_eq!((next, sent), (attempt + 1, BTreeSet::from([first])));
        assert_eq!(org.ask(delivered(attempt, &second)), Err(Rejection::Superseded));
        org.ask(delivered(next, &second)).unwrap();
        org.ask(Command::Finished { date: date.clone(), attempt: next, whole: true }).unwrap();
        assert!(pending(&org.state).is_empty());
        assert_eq!(org.told, [date], "one day, begun once");
    }

    #[test]
    fn a_mail_server_that_stays_away_ends_the_day_and_not_the_next_one() {
        let mut org = Org::new("UTC", "2026-03-01", 9);
        org.pass(23 * HOUR_MS, Some(false));
        assert_eq!(org.told, ["2026-03-01"]);
        org.pass(12 * HOUR_MS, Some(false));
        assert_eq!((org.state.done.as_deref(), org.state.open.clone()), (Some("2026-03-01"), None));
        org.pass(24 * HOUR_MS, Some(true));
        assert_eq!(org.told, ["2026-03-01", "2026-03-02"]);
    }

    #[test]
    fn sending_by_hand_tells_yesterday_once_and_the_timer_does_not_repeat_it() {
        let mut org = Org::new("UTC", "2026-03-02", 6);
        let begun = org.ask(Command::SendNow).unwrap();
        assert_eq!(begun, Reply::Begun { date: Some("2026-03-01".into()) });
        assert_eq!(org.ask(Command::SendNow).unwrap(), Reply::Begun { date: None }, "while it runs");
        org.ask(Command::Finished { date: "2026-03-01".into(), attempt: 1, whole: true }).unwrap();
        assert_eq!(org.ask(Command::SendNow).unwrap(), Reply::Begun { date: None }, "after it ran");
        org.pass(4 * HOUR_MS, Some(true));
        assert_eq!(org.told, ["2026-03-01"], "eight o'clock of the same day tells nothing");
        org.pass(24 * HOUR_MS, Some(true));
        assert_eq!(org.told, ["2026-03-01", "2026-03-02"]);
    }

    #[test]
    fn moving_to_another_zone_tells_no_day_twice() {
        let mut org = Org::new("Asia/Tokyo", "2026-03-01", 9);
        org.pass(24 * HOUR_MS, Some(true));
        assert_eq!(org.told, ["2026-03-01"]);
        org.ask(Command::Plan { timezone: "America/Los_Angeles".into() }).unwrap();
        org.pass(3 * 24 * HOUR_MS, Some(true));
        let mut once = org.told.clone();
        once.dedup();
        assert_eq!((org.told.len(), once), (3, org.told.clone()));
        assert!(org.told.is_sorted());
    }

    #[test]
    fn strangers_and_the_unplanned_get_nothing() {
        let mut org = Org { state: Digest::default(), now_ms: 0, told: Vec::new() };
        assert_eq!((timer(&org.state), org.ask(Command::Tick)), (None, Ok(Reply::Done)));
        let principal = Principal { tenant: "t".into(), actor: Actor::Platform { id: "u".into() } };
        let cx = Context { now_ms: 0, seq: 0, seed: [0; 32], principal };
        assert!(decide(&org.state, &cx, Command::SendNow).is_err());
    }
}
