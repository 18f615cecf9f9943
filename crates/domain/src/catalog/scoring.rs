//! How a lead's score from 0 to 100 is made: named signals with points, which add up to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::text::Words;

/// Every signal the program can see. A scoring file gives each its points; a name that is not here is a mistake in the file.
pub const KNOWN_SIGNALS: [&str; 16] = [
    "gave_name",
    "gave_phone",
    "gave_email",
    "form_completed",
    "intent_book_appointment",
    "intent_get_quote",
    "urgency_emergency",
    "urgency_high",
    "budget_above_threshold",
    "in_service_area",
    "asked_price",
    "several_messages",
    "returned_visitor",
    "outside_service_area",
    "unqualified",
    "spam_like",
];

/// The file `scoring.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// The lowest score.
    pub min_score: i32,
    /// The highest score.
    pub max_score: i32,
    /// The signals, in the order their reasons are shown.
    pub signals: Vec<Signal>,
}

/// One thing that makes a lead better or worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its name, one of [`KNOWN_SIGNALS`].
    pub signal: String,
    /// Points it adds; negative ones take away.
    pub points: i32,
    /// One sentence for people.
    pub description: String,
    /// Signals of one group exclude each other: the one with the most points counts.
    #[serde(default)]
    pub group: Option<String>,
    /// The count from which it holds.
    #[serde(default)]
    pub at_least: Option<u32>,
    /// Lower-case words of the visitor that make it hold.
    #[serde(default)]
    pub phrases: Vec<String>,
}

/// What is known of a lead that bears on its score.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Signals that hold.
    pub signals: BTreeSet<String>,
    /// Counts, for signals with `at_least`.
    pub counts: BTreeMap<String, u32>,
}

/// One reason of a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Which signal.
    pub signal: String,
    /// What it added or took away.
    pub points: i32,
}

/// A score with the reasons that add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100.
    pub score: i32,
    /// They add up to `score`.
    pub reasons: Vec<Reason>,
}

impl Scoring {
    /// The score of a lead. Positive reasons are cut at the highest score, negative ones at the lowest, so that the reasons always add up.
    pub fn score(&self, evidence: &Evidence) -> Score {
        let holds = |signal: &Signal| match signal.at_least {
            Some(least) => evidence.counts.get(&signal.signal).copied().unwrap_or(0) >= least,
            None => evidence.signals.contains(&signal.signal),
        };
        let best_of_group = |signal: &Signal| {
            signal.group.is_none()
                || self
                    .signals
                    .iter()
                    .filter(|other| other.group == signal.group && other.points > 0 && holds(other))
                    .max_by_key(|other| other.points)
                    .is_some_and(|best| best.signal == signal.signal)
        };
        let mut score = Score::default();
        for signal in self.signals.iter().filter(|signal| signal.points > 0 && holds(signal) && best_of_group(signal)) {
            let points = signal.points.min(self.max_score - score.score);
            if points > 0 {
                score.score += points;
                score.reasons.push(Reason { signal: signal.signal.clone(), points });
            }
        }
        for signal in self.signals.iter().filter(|signal| signal.points < 0 && holds(signal)) {
            let points = signal.points.max(self.min_score - score.score);
            if points < 0 {
                score.score += points;
                score.reasons.push(Reason { signal: signal.signal.clone(), points });
            }
        }
        score
    }

    /// The signals that a visitor's words make hold.
    pub fn heard(&self, words: &Words) -> BTreeSet<String> {
        self.signals
            .iter()
            .filter(|signal| signal.phrases.iter().any(|phrase| words.find(phrase).is_some()))
            .map(|signal| signal.signal.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signal(name: &str, points: i32, group: Option<&str>, at_least: Option<u32>) -> Signal {
        Signal {
            signal: name.into(),
            points,
            description: String::new(),
            group: group.map(str::to_owned),
            at_least,
            phrases: Vec::new(),
        }
    }

    fn rules() -> Scoring {
        Scoring {
            min_score: 0,
            max_score: 100,
            signals: vec![
                signal("gave_phone", 60, None, None),
                signal("intent_book_appointment", 15, Some("intent"), None),
                signal("intent_get_quote", 10, Some("intent"), None),
                signal("several_messages", 50, None, Some(4)),
                signal("spam_like", -80, None, None),
            ],
        }
    }

    fn evidence(signals: &[&str], messages: u32) -> Evidence {
        Evidence {
            signals: signals.iter().map(|&name| name.to_owned()).collect(),
            counts: BTreeMap::from([("several_messages".into(), messages)]),
        }
    }

    #[test]
    fn only_the_best_of_a_group_counts() {
        let score = rules().score(&evidence(&["intent_book_appointment", "intent_get_quote"], 3));
        assert_eq!(score.score, 15);
        assert_eq!(score.reasons, [Reason { signal: "intent_book_appointment".into(), points: 15 }]);
    }

    #[test]
    fn counts_hold_from_their_threshold_and_the_sum_is_cut_at_the_top() {
        let score = rules().score(&evidence(&["gave_phone"], 4));
        assert_eq!(score.score, 100);
        assert_eq!(score.reasons.iter().map(|reason| reason.points).collect::<Vec<_>>(), [60, 40]);
    }

    #[test]
    fn negative_signals_take_at_most_what_is_left() {
        let score = rules().score(&evidence(&["gave_phone", "spam_like"], 0));
        assert_eq!((score.score, score.reasons[1].points), (0, -60));
    }

    proptest! {
        #[test]
        fn reasons_always_add_up_to_a_score_in_range(
            points in proptest::collection::vec((-120i32..120, 0u8..3, any::<bool>()), 0..16),
        ) {
            let signals = points.iter().enumerate().map(|(n, (points, group, _))| {
                signal(KNOWN_SIGNALS[n], *points, (*group > 0).then_some(if *group == 1 { "a" } else { "b" }), None)
            }).collect();
            let held = points.iter().enumerate().filter(|(_, p)| p.2).map(|(n, _)| KNOWN_SIGNALS[n].to_owned()).collect();
            let score = Scoring { min_score: 0, max_score: 100, signals }
                .score(&Evidence { signals: held, counts: BTreeMap::new() });
            prop_assert!((0..=100).contains(&score.score));
            prop_assert_eq!(score.reasons.iter().map(|reason| reason.points).sum::<i32>(), score.score);
        }
    }
}
