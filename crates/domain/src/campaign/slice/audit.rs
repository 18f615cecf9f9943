//! The audit of a slice: who was called when, from which number, under which consent, permit and settings, and what became of it.

use super::{super::callees::Callee, super::target::Disposition, Slice};
use crate::local_time::rfc3339;

/// The columns of the export.
pub const COLUMNS: [&str; 16] = [
    "campaign",
    "dial",
    "phone",
    "name",
    "from_number",
    "dialed_at",
    "answered_at",
    "ended_at",
    "talk_seconds",
    "outcome",
    "reason",
    "consent_record",
    "permit",
    "settings_version",
    "cost_usd",
    "provider_call",
];

/// One line for each attempt that led to something, and one for each target that is done without any. `people` are the slice's callees by target; who was
/// erased is in no line but by number of the dial.
pub fn rows(slice: &Slice, people: &[Option<Callee>]) -> Vec<[String; 16]> {
    let mut rows = Vec::new();
    for (target, one) in (0_u32..).zip(&slice.targets) {
        let who = usize::try_from(target).ok().and_then(|at| people.get(at)).and_then(Option::as_ref);
        let (phone, name) =
            who.map(|who| (who.phone.clone(), who.name.clone().unwrap_or_default())).unwrap_or_default();
        for past in &one.past {
            let (outcome, reason) = past.result.map(words).unwrap_or_default();
            rows.push([
                slice.campaign.0.clone(),
                format!("{}.{target}.{}", slice.index, past.n),
                phone.clone(),
                name.clone(),
                past.from.clone(),
                past.dialed_ms.map(rfc3339).unwrap_or_default(),
                past.answered_ms.map(rfc3339).unwrap_or_default(),
                rfc3339(past.ended_ms),
                past.talk_s.to_string(),
                outcome,
                reason,
                past.consent.map(|n| n.to_string()).unwrap_or_default(),
                past.permit.map(|seq| seq.to_string()).unwrap_or_default(),
                past.settings_version.to_string(),
                past.cost_micros.map(|micros| format!("{:.6}", micros as f64 / 1e6)).unwrap_or_default(),
                past.call.clone().unwrap_or_default(),
            ]);
        }
        if let (Some(disposition), true) = (one.disposition(), one.past.is_empty()) {
            let (outcome, reason) = words(disposition);
            let mut row: [String; 16] = Default::default();
            (row[0], row[1]) = (slice.campaign.0.clone(), format!("{}.{target}", slice.index));
            (row[2], row[3], row[9], row[10]) = (phone, name, outcome, reason);
            rows.push(row);
        }
    }
    rows
}

/// Outcome and reason as they stand in the API.
fn words(disposition: Disposition) -> (String, String) {
    let value = serde_json::to_value(disposition).unwrap_or_default();
    let word = |field: &str| value.get(field).and_then(|word| word.as_str()).unwrap_or_default().to_owned();
    (word("outcome"), word("reason"))
}
