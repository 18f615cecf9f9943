//! The checker: compares what a campaign says it did with the carrier's own log, and names everything in which the two differ or that must never be.

use std::collections::{BTreeMap, BTreeSet};

use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};

/// Calls that one number may get a day.
const DIALS_PER_DAY: usize = 3;

/// What both sides have written down.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) campaign: String,
    pub(crate) targets: Vec<Value>,
    pub(crate) stats: Value,
    /// The audit as columns by name.
    pub(crate) audit: Vec<BTreeMap<String, String>>,
    /// The carrier's own log.
    pub(crate) log: Vec<Value>,
    /// Numbers that must not be called at all.
    pub(crate) forbidden: BTreeSet<String>,
}

impl Books {
    /// Everything that is wrong, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.every_target_ends_once(&mut faults);
        self.nobody_is_called_who_must_not_be(&mut faults);
        self.every_call_is_in_the_audit(&mut faults);
        self.every_end_is_the_carriers(&mut faults);
        self.counters_are_the_recount(&mut faults);
        faults
    }

    fn created(&self) -> impl Iterator<Item = &Value> {
        self.log.iter().filter(|line| line["event"] == "create")
    }

    /// Rows of calls that were made.
    fn dialled(&self) -> impl Iterator<Item = &BTreeMap<String, String>> {
        self.audit.iter().filter(|row| !row["dialed_at"].is_empty())
    }

    fn every_target_ends_once(&self, faults: &mut Vec<String>) {
        for target in &self.targets {
            if target["status"] != "done" || !target["outcome"].is_string() {
                faults.push(format!("has not ended: {target}"));
            }
        }
        let mut seen = BTreeSet::new();
        for dial in self.created().filter_map(|line| line["dial"].as_str()) {
            if !seen.insert(dial) {
                faults.push(format!("asked for twice: {dial}"));
            }
        }
    }

    fn nobody_is_called_who_must_not_be(&self, faults: &mut Vec<String>) {
        for line in self.created() {
            let (to, at_ms) = (line["to"].as_str().unwrap_or_default(), line["at_ms"].as_i64().unwrap_or_default());
            if self.forbidden.contains(to) {
                faults.push(format!("on the list and called: {line}"));
            }
            let zones = number::normal(to, None).map(|number| number.zones).unwrap_or_default();
            if !Window::default().hours(&zones).is_open(at_ms) {
                faults.push(format!("called outside of the hours: {line}"));
            }
            let said_no = self.log.iter().filter(|talk| {
                talk["event"] == "talk"
                    && talk["to"] == line["to"]
                    && talk["manner"] == "never_again"
                    && talk["wished"] == true
            });
            if said_no.filter_map(|talk| talk["at_ms"].as_i64()).any(|no_ms| no_ms < at_ms) {
                faults.push(format!("called although they said never again: {line}"));
            }
            let taken = self.created().filter(|other| other["to"] == line["to"] && !other["sid"].is_null()).count();
            if taken > DIALS_PER_DAY {
                faults.push(format!("called more than {DIALS_PER_DAY} times: {to}"));
            }
        }
    }

    fn every_call_is_in_the_audit(&self, faults: &mut Vec<String>) {
        let prefix = format!("{}.", self.campaign);
        let by_dial: BTreeMap<&str, &BTreeMap<String, String>> =
            self.audit.iter().map(|row| (row["dial"].as_str(), row)).collect();
        let mut taken = 0;
        for line in self.created().filter(|line| !line["sid"].is_null()) {
            taken += 1;
            let dial = line["dial"].as_str().and_then(|dial| dial.strip_prefix(&prefix)).unwrap_or_default();
            let Some(row) = by_dial.get(dial) else {
                faults.push(format!("not in the audit: {line}"));
                continue;
            };
            let same_person = row["phone"] == line["to"].as_str().unwrap_or_default();
            let same_call =
                row["provider_call"].is_empty() || row["provider_call"] == line["sid"].as_str().unwrap_or_default();
            if !same_person || !same_call || row["dialed_at"].is_empty() || row["permit"].is_empty() {
                faults.push(format!("another call in the audit than at the carrier: {row:?}, {line}"));
            }
        }
        // What was dialled and never reached the carrier says so.
        for row in self.dialled().filter(|row| row["provider_call"].is_empty() && row["reason"] != "unconfirmed") {
            faults.push(format!("a call without a name at the carrier: {row:?}"));
        }
        let dialled = self.dialled().count();
        if dialled < taken {
            faults.push(format!("{dialled} dialled, {taken} taken"));
        }
    }

    fn every_end_is_the_carriers(&self, faults: &mut Vec<String>) {
        let of_event = |event: &'static str| self.log.iter().filter(move |line| line["event"] == event);
        let last: BTreeMap<&str, &str> =
            of_event("step").filter_map(|line| Some((line["sid"].as_str()?, line["status"].as_str()?))).collect();
        let talks: BTreeMap<&str, &Value> =
            of_event("talk").filter_map(|line| Some((line["sid"].as_str()?, line))).collect();
        for row in self.dialled().filter(|row| !row["provider_call"].is_empty()) {
            let (sid, outcome) = (row["provider_call"].as_str(), (row["outcome"].as_str(), row["reason"].as_str()));
            let expected: &[(&str, &str)] = match last.get(sid).copied().unwrap_or("nothing") {
                "completed" => match talks.get(sid).map(|talk| (talk["manner"].as_str(), talk["wished"] == true)) {
                    Some((Some("not_interested" | "never_again"), true)) => &[("not_interested", "")],
                    Some((Some("later"), true)) => &[("callback", "")],
                    // They hung up in the middle: it was heard, or it was not.
                    Some((Some("not_interested" | "never_again"), false)) => {
                        &[("answered", ""), ("not_interested", "")]
                    }
                    Some((Some("later"), false)) => &[("answered", ""), ("callback", "")],
                    Some((Some(_), _)) => &[("answered", "")],
                    Some((None, _)) | None => &[("voicemail", ""), ("answered", ""), ("failed", "fax")],
                },
                // The line broke in the middle: what was said by then counts.
                "lost" => &[("answered", ""), ("not_interested", ""), ("callback", ""), ("failed", "carrier")],
                "busy" => &[("busy", "")],
                "no-answer" => &[("no_answer", "")],
                "failed" => &[("failed", "invalid_number"), ("failed", "carrier")],
                "canceled" => &[("failed", "canceled"), ("voicemail", "")],
                _ => &[],
            };
            if !expected.contains(&outcome) {
                faults.push(format!(
                    "ended otherwise at the carrier ({:?}, {:?}): {row:?}",
                    last.get(sid),
                    talks.get(sid)
                ));
            }
        }
    }

    fn counters_are_the_recount(&self, faults: &mut Vec<String>) {
        let mut outcomes: BTreeMap<&str, i64> = BTreeMap::new();
        for target in &self.targets {
            *outcomes.entry(target["outcome"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let counts = &self.stats["counts"];
        let expected = [
            (&counts["outcomes"], json!(outcomes)),
            (&counts["done"], json!(self.targets.len())),
            (&counts["trying"], json!(0)),
            (&counts["waiting"], json!(0)),
            (&self.stats["cards"]["total_calls"], json!(self.dialled().count())),
        ];
        for (counted, recount) in expected {
            if *counted != recount {
                faults.push(format!("counted {counted}, recounted {recount}"));
            }
        }
    }
}
