//! The 24-hour rule: free words only within a day after the person wrote; after that an approved template.

/// How long free words are allowed after the person's last message, ms.
pub const WINDOW_MS: i64 = 24 * 3600 * 1000;
/// What is left of the window when it counts as over, ms: a message that leaves in the last moment arrives too late.
const MARGIN_MS: i64 = 60_000;

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Anything, until then (Unix ms).
    Free {
        /// When it ends.
        until_ms: i64,
    },
    /// Templates only.
    TemplateOnly,
}

/// What may be sent at `now_ms` to a person whose last message came at `last_inbound_ms`. Only messages open the window, calls and receipts
/// do not. A message from the future (clocks differ) counts as just come.
pub fn allowed(last_inbound_ms: Option<i64>, now_ms: i64) -> Allowed {
    let Some(last) = last_inbound_ms else { return Allowed::TemplateOnly };
    let until_ms = last.min(now_ms).saturating_add(WINDOW_MS - MARGIN_MS);
    if now_ms < until_ms { Allowed::Free { until_ms } } else { Allowed::TemplateOnly }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_words_are_allowed_for_a_day_after_the_person_wrote() {
        let hour = 3_600_000;
        assert_eq!(allowed(None, 0), Allowed::TemplateOnly);
        assert_eq!(allowed(Some(0), 0), Allowed::Free { until_ms: WINDOW_MS - 60_000 });
        assert!(matches!(allowed(Some(0), 23 * hour), Allowed::Free { .. }));
        assert_eq!(allowed(Some(0), 24 * hour - 60_000), Allowed::TemplateOnly);
        assert_eq!(allowed(Some(0), 48 * hour), Allowed::TemplateOnly);
        assert_eq!(
            allowed(Some(1000 * hour), 0),
            Allowed::Free { until_ms: WINDOW_MS - 60_000 },
            "no window grows by a wrong clock"
        );
    }
}
