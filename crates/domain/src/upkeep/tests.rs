//! Upkeep under virtual time: nights, wishes that change, walks that are interrupted.

use super::*;
use crate::principal::Principal;

const ZONE: &str = "America/New_York";

struct House {
    state: Upkeep,
    seq: u64,
    now_ms: i64,
    /// Nights on which conversations were erased, and from when on they were kept.
    swept: Vec<(String, i64)>,
}

impl House {
    fn new(keep_days: Option<u32>) -> Self {
        let now_ms = local_time_ms(&zone_or_utc(ZONE), "2026-01-01", 15).unwrap();
        let mut house = Self { state: Upkeep::default(), seq: 0, now_ms, swept: Vec::new() };
        house.plan(keep_days, true);
        house
    }

    fn plan(&mut self, keep_days: Option<u32>, fresh: bool) {
        self.ask(Command::Plan { timezone: ZONE.into(), keep_days, keep_targets_days: None, fresh }).unwrap();
    }

    fn ask(&mut self, command: Command) -> Result<usize, Rejection> {
        let cx =
            Context { now_ms: self.now_ms, seq: self.seq, seed: [0; 32], principal: Principal::system("t".into()) };
        let decision = decide(&self.state, &cx, command)?;
        for event in &decision.events {
            if let Event::SweepBegun { day, before_ms, .. } = event {
                self.swept.push((day.clone(), *before_ms));
            }
            self.seq += 1;
            apply(&mut self.state, event, self.seq, self.now_ms);
        }
        Ok(decision.events.len())
    }

    /// Time passes; due timers fire, and walks that erase end at once if they are to.
    fn pass(&mut self, ms: i64, ends: bool) {
        let until = self.now_ms + ms;
        while let Some(due) = timer(&self.state).filter(|due| *due <= until) {
            self.now_ms = self.now_ms.max(due);
            let command = on_timer(&self.state, self.now_ms).expect("due");
            assert_ne!(self.ask(command).unwrap(), 0, "a due timer moves");
            if let (true, Some(sweep)) = (ends, self.state.sweeping.clone()) {
                self.ask(Command::Swept { attempt: sweep.attempt, ended: true }).unwrap();
            }
        }
        self.now_ms = until;
    }
}

#[test]
fn old_conversations_are_erased_each_night_once_over_changes_of_clocks() {
    let mut house = House::new(Some(30));
    house.pass(365 * DAY_MS, true);
    let days: Vec<String> = house.swept.iter().map(|(day, _)| day.clone()).collect();
    let nights: Vec<String> = (1..=365).filter_map(|day| days_after("2026-01-01", day)).collect();
    assert_eq!(days, nights);
    for (day, before_ms) in &house.swept {
        let night = local_time_ms(&zone_or_utc(ZONE), day, HOUR).unwrap();
        assert_eq!(night - before_ms, 30 * DAY_MS, "{day}: exactly so many days are kept");
    }
}

#[test]
fn nothing_is_erased_while_nothing_is_wished_or_on_the_day_of_the_wish() {
    let mut house = House::new(None);
    house.pass(10 * DAY_MS, true);
    assert_eq!((house.swept.len(), timer(&house.state)), (0, None));
    house.plan(Some(1), false);
    house.pass(8 * 60 * 60 * 1000, true);
    assert!(house.swept.is_empty(), "a slip can be taken back on the same day");
    house.plan(None, false);
    house.pass(10 * DAY_MS, true);
    assert!(house.swept.is_empty());
}

#[test]
fn a_wish_that_changes_ends_what_is_under_way() {
    let mut house = House::new(Some(7));
    house.pass(DAY_MS, false);
    let sweep = house.state.sweeping.clone().expect("under way");
    house.plan(Some(700), false);
    assert!(pending(&house.state).is_empty());
    let late = Command::Swept { attempt: sweep.attempt, ended: true };
    assert_eq!(house.ask(late), Err(Rejection::Superseded));
    house.plan(Some(700), false);
    house.pass(2 * DAY_MS, true);
    assert_eq!(house.swept.last().map(|(_, before)| house.now_ms - before > 700 * DAY_MS), Some(true));
}

#[test]
fn a_walk_without_news_begins_again_where_it_was_and_old_news_is_refused() {
    let mut house = House { state: Upkeep::default(), seq: 0, now_ms: 0, swept: Vec::new() };
    house.plan(None, false);
    house.plan(None, false);
    let place = Place { at_ms: 7, id: "c".into() };
    house.ask(Command::Indexed { attempt: 1, after: Some(place.clone()) }).unwrap();
    let recovered = on_recovered(&house.state).expect("a task was lost");
    house.ask(recovered).unwrap();
    let (_, attempt, effect) = pending(&house.state).pop().unwrap();
    assert_eq!(effect, Effect::Index { attempt, after: Some(place.clone()) });
    assert_eq!(house.ask(Command::Indexed { attempt: 1, after: None }), Err(Rejection::Superseded));
    house.pass(3 * DEADLINE_MS, false);
    let walk = house.state.indexing.clone().expect("it goes on for ever");
    assert_eq!((walk.after, walk.attempt), (Some(place), attempt + 3));
    house.ask(Command::Indexed { attempt: walk.attempt, after: None }).unwrap();
    assert_eq!((house.state.words, pending(&house.state), timer(&house.state)), (WORDS_VERSION, Vec::new(), None));
    assert_eq!(
        house.ask(Command::Plan { timezone: ZONE.into(), keep_days: None, keep_targets_days: None, fresh: false }),
        Ok(0),
        "once"
    );
}

#[test]
fn a_new_organization_has_nothing_from_before() {
    let house = House::new(None);
    assert_eq!((house.state.words, pending(&house.state)), (WORDS_VERSION, Vec::new()));
}

#[test]
fn what_nobody_ran_for_days_is_swept_once() {
    let mut house = House::new(Some(3));
    house.now_ms += 20 * DAY_MS;
    house.pass(0, true);
    assert_eq!(house.swept.len(), 1);
    house.pass(DAY_MS, true);
    assert_eq!(house.swept.len(), 2);
}
