//! Letters under virtual time: what waits, what is gathered, what goes out how often, and what a crash may not repeat.

use super::*;
use crate::ids::UserId;
use crate::principal::Principal;

const T0: i64 = 1_795_219_200_000;

/// One address, and a mail server that says how sending ends.
struct Desk {
    state: Letters,
    seq: u64,
    now_ms: i64,
    /// Letters that went out: when, and what of.
    out: Vec<(i64, Vec<Item>, u32)>,
}

impl Desk {
    fn new() -> Self {
        Self { state: Letters::default(), seq: 0, now_ms: T0, out: Vec::new() }
    }

    fn ask(&mut self, command: Command) -> Result<Reply, Rejection> {
        let principal = Principal::system("t".into());
        let cx = Context { now_ms: self.now_ms, seq: self.seq, seed: [0; 32], principal };
        let decision = decide(&self.state, &cx, command)?;
        for event in decision.events {
            self.seq += 1;
            apply(&mut self.state, &event, self.seq, self.now_ms);
        }
        Ok(decision.reply)
    }

    fn notice(&mut self, seq: u64, kind: Kind, about: &str) {
        let news = News { kind, about: About::Conversation(about.into()), to: None };
        self.ask(Command::Notice { user: UserId::from("u"), seq, at_ms: self.now_ms, news }).unwrap();
    }

    fn alert(&mut self, id: &str, urgent: bool) -> bool {
        let about = format!("c-{id}").into();
        match self.ask(Command::Admit { id: id.to_owned(), about, urgent }).unwrap() {
            Reply::Admitted { now } => now,
            Reply::Done => panic!("an alert is admitted or held"),
        }
    }

    fn ended(&mut self, how: Ended) -> Result<Reply, Rejection> {
        let open = self.state.open.as_ref().expect("a letter is being written");
        let (letter, attempt) = (open.letter, open.attempt);
        self.ask(Command::Ended { letter, attempt, how })
    }

    /// Time passes; due timers fire, letters end as told.
    fn pass(&mut self, ms: i64, how: Ended) {
        let until = self.now_ms + ms;
        loop {
            if let Some((_, _, Effect::Send { items, more, .. })) = pending(&self.state).pop() {
                if how == Ended::Delivered {
                    self.out.push((self.now_ms, items, more));
                }
                self.ended(how).unwrap();
                continue;
            }
            match timer(&self.state).filter(|due| *due <= until) {
                Some(due) => {
                    self.now_ms = self.now_ms.max(due);
                    let before = self.state.clone();
                    let command = on_timer(&self.state, self.now_ms).expect("due");
                    self.ask(command).unwrap();
                    assert_ne!(before, self.state, "a due timer moves");
                }
                None => break,
            }
        }
        self.now_ms = until;
    }
}

#[test]
fn what_comes_together_is_one_letter_and_nothing_is_told_twice() {
    let mut desk = Desk::new();
    desk.notice(3, Kind::Lead, "c1");
    desk.notice(4, Kind::Unanswered, "c2");
    desk.notice(4, Kind::Unanswered, "c2");
    desk.notice(3, Kind::Lead, "c1");
    desk.pass(QUIET_MS - 1, Ended::Delivered);
    assert!(desk.out.is_empty(), "it waits for being read");
    desk.pass(HOUR_MS, Ended::Delivered);
    assert_eq!(desk.out.len(), 1);
    assert_eq!(desk.out[0].1.iter().map(|item| item.seq).collect::<Vec<_>>(), [Some(3), Some(4)]);
    desk.notice(4, Kind::Unanswered, "c2");
    desk.pass(HOUR_MS, Ended::Delivered);
    assert_eq!(desk.out.len(), 1, "what was told once is not told again");
}

#[test]
fn an_hour_has_so_many_letters_and_the_rest_becomes_one() {
    let mut desk = Desk::new();
    for seq in 1..=300 {
        desk.notice(seq, Kind::Lead, "c");
        desk.pass(QUIET_MS / 2, Ended::Delivered);
    }
    desk.pass(3 * HOUR_MS, Ended::Delivered);
    for (at, ..) in &desk.out {
        let within = desk.out.iter().filter(|(other, ..)| (*at..at + HOUR_MS).contains(other)).count();
        assert!(within <= PER_HOUR, "{within} letters within an hour");
    }
    let told: u64 = desk.out.iter().map(|(_, items, more)| items.len() as u64 + u64::from(*more)).sum();
    assert_eq!(told, 300, "every one is told or counted");
    let digest = desk.out.iter().find(|(_, items, _)| items.len() == WAITING_MAX);
    assert!(digest.is_some_and(|(_, _, more)| *more > 0), "what there was no room for is one letter");
}

#[test]
fn an_emergency_waits_for_nothing_and_has_room_of_its_own() {
    let mut desk = Desk::new();
    for id in 0..PER_HOUR {
        assert!(desk.alert(&format!("a{id}"), false));
    }
    assert!(!desk.alert("too-many", false), "the room of the hour is used up");
    desk.notice(1, Kind::Lead, "c1");
    desk.notice(2, Kind::Emergency, "c2");
    desk.pass(0, Ended::Delivered);
    assert_eq!(desk.out.len(), 1);
    assert_eq!(desk.out[0].1.iter().map(|item| item.seq).collect::<Vec<_>>(), [Some(2)]);
    assert!(desk.alert("fire", true));
    desk.pass(HOUR_MS, Ended::Delivered);
    assert_eq!(desk.out.len(), 2, "the others are one letter when there is room");
    assert_eq!(desk.out[1].0, T0 + HOUR_MS);
    assert_eq!(desk.out[1].1.len(), 2);
    for id in 0..EMERGENCIES_PER_HOUR + 5 {
        desk.alert(&format!("fire{id}"), true);
    }
    assert_eq!(desk.state.emergencies.len(), EMERGENCIES_PER_HOUR, "and that has an end too");
}

#[test]
fn an_alert_keeps_its_answer_and_its_notice_is_not_mailed_beside_it() {
    let mut desk = Desk::new();
    desk.notice(1, Kind::Escalation, "c-a");
    assert!(desk.alert("a", false) && desk.alert("a", false), "asked again after a crash: the same answer");
    assert_eq!(desk.state.sent.len(), 1, "and counted once");
    desk.notice(2, Kind::Escalation, "c-a");
    desk.notice(3, Kind::Assigned, "c-a");
    desk.pass(HOUR_MS, Ended::Delivered);
    assert_eq!(desk.out.len(), 1);
    assert_eq!(desk.out[0].1.iter().map(|item| item.seq).collect::<Vec<_>>(), [Some(3)]);
    desk.notice(4, Kind::Escalation, "c-a");
    desk.pass(HOUR_MS, Ended::Delivered);
    assert_eq!(desk.out.len(), 2, "hours later it is news again");
}

#[test]
fn one_conversation_that_needs_somebody_for_two_reasons_is_told_once_until_it_is_worse() {
    let mut desk = Desk::new();
    desk.notice(1, Kind::Escalation, "c");
    desk.notice(2, Kind::Escalation, "c");
    desk.pass(QUIET_MS, Ended::Delivered);
    desk.notice(3, Kind::Emergency, "c");
    desk.notice(4, Kind::Emergency, "c");
    desk.notice(5, Kind::Escalation, "c");
    desk.pass(HOUR_MS / 2, Ended::Delivered);
    let told: Vec<Vec<_>> = desk.out.iter().map(|(_, items, _)| items.iter().map(|item| item.seq).collect()).collect();
    assert_eq!(told, [vec![Some(1)], vec![Some(3)]]);
    assert_eq!(desk.state.heard, 5);
}

#[test]
fn a_crash_between_the_decision_and_the_sending_writes_the_same_letter_again_and_old_results_are_refused() {
    let mut desk = Desk::new();
    desk.notice(1, Kind::Emergency, "c1");
    desk.ask(on_timer(&desk.state, desk.now_ms).expect("due at once")).unwrap();
    let (name, attempt, Effect::Send { letter, items, .. }) = pending(&desk.state).pop().expect("a letter");
    desk.notice(2, Kind::Emergency, "c2");
    let command = on_recovered(&desk.state).expect("a task was lost");
    desk.ask(command).unwrap();
    let (again, second, Effect::Send { letter: same, items: told, .. }) = pending(&desk.state).pop().unwrap();
    assert_eq!((name, letter, items, attempt + 1), (again, same, told, second), "what came since is another letter");
    let late = Command::Ended { letter, attempt, how: Ended::Delivered };
    assert_eq!(desk.ask(late).unwrap_err(), Rejection::Superseded);
    desk.ended(Ended::Delivered).unwrap();
    let late = Command::Ended { letter, attempt: second, how: Ended::Delivered };
    assert_eq!(desk.ask(late).unwrap_err(), Rejection::Superseded);
    assert_eq!(desk.state.emergencies.len(), 1);
}

#[test]
fn a_mail_server_that_is_away_is_tried_with_pauses_and_then_given_up_without_counting() {
    let mut desk = Desk::new();
    desk.notice(1, Kind::Emergency, "c1");
    desk.pass(10 * HOUR_MS, Ended::Failed);
    assert!(desk.state.open.is_none() && desk.state.waiting.is_empty() && desk.out.is_empty());
    assert!(desk.state.emergencies.is_empty() && desk.state.sent.is_empty());
    desk.notice(2, Kind::Emergency, "c1");
    desk.pass(0, Ended::Delivered);
    assert_eq!(desk.out.len(), 1, "the next one is tried anew");
}

#[test]
fn what_was_read_meanwhile_costs_nothing() {
    let mut desk = Desk::new();
    for seq in 1..=30 {
        desk.notice(seq, Kind::Lead, "c");
        desk.pass(QUIET_MS, Ended::Nothing);
    }
    assert!(desk.state.sent.is_empty());
}

#[test]
fn only_the_service_asks() {
    let principal = Principal { tenant: "t".into(), actor: Actor::Platform { id: "p".into() } };
    let cx = Context { now_ms: T0, seq: 0, seed: [0; 32], principal };
    assert!(matches!(decide(&Letters::default(), &cx, Command::Tick), Err(Rejection::NotFound { .. })));
}
