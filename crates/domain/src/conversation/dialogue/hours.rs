//! "Are you open on Sunday?" and "are you open now?", answered yes or no from the organization's own hours.

use super::{understand::Turn, when};
use crate::{
    agent::config::BusinessHours,
    local_time::{
        DAY_NAMES, DayClock, closes_today, day_clock, hours_of_day, hours_phrase, is_open, local_clock, opens_next,
        zone_or_utc,
    },
    text::Words,
};

/// What such a question is made of besides the day; with any other word in it, it asks about something else as well.
const WORDS: [&str; 84] = [
    "a",
    "again",
    "also",
    "and",
    "any",
    "are",
    "at",
    "be",
    "business",
    "by",
    "can",
    "clinic",
    "close",
    "closed",
    "closes",
    "closing",
    "come",
    "coming",
    "could",
    "currently",
    "do",
    "does",
    "early",
    "evening",
    "find",
    "for",
    "from",
    "going",
    "guys",
    "have",
    "hello",
    "hey",
    "hi",
    "hours",
    "how",
    "i",
    "if",
    "in",
    "is",
    "it",
    "know",
    "late",
    "like",
    "long",
    "me",
    "moment",
    "morning",
    "now",
    "of",
    "office",
    "on",
    "open",
    "opened",
    "opening",
    "opens",
    "our",
    "please",
    "practice",
    "right",
    "salon",
    "shop",
    "shut",
    "so",
    "still",
    "store",
    "tell",
    "the",
    "there",
    "this",
    "till",
    "time",
    "times",
    "to",
    "until",
    "up",
    "was",
    "we",
    "what",
    "whats",
    "when",
    "will",
    "you",
    "your",
    "yall",
];
/// Of these at least one stands in it.
const OPEN: [&str; 9] = ["open", "opened", "opens", "opening", "close", "closed", "closes", "closing", "hours"];
/// Days of a weekend.
const WEEKEND: [usize; 2] = [5, 6];

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Now,
    /// Weekdays, 0 is Monday, as they are called.
    Days(Vec<(usize, String)>),
}

impl Turn<'_> {
    /// Answers whether the business is open on the day that is asked for, or now; where its hours are not known its pages say what they say.
    pub(super) fn tell_hours(&mut self) {
        let (hours, timezone) = (self.setting.hours, self.setting.timezone);
        if hours.is_empty() || !self.mood.question || self.result.plan.emergency || self.started {
            return;
        }
        let zone = zone_or_utc(timezone);
        let today = local_clock(&zone, self.setting.now_ms).weekday;
        let Some(asked) = asked(self.reading.words, today) else { return };
        let clock = day_clock(timezone);
        let line = match asked {
            // Somebody who is told so already hears it once.
            Asked::Now if self.result.plan.closed.is_some() => return,
            Asked::Now => now(hours, timezone, self.setting.now_ms, clock),
            Asked::Days(days) => of_days(hours, &days, clock),
        };
        self.plan().direct = Some(line);
    }
}

/// What a question about opening hours asks for; `None` for any other one, and for all hours together.
fn asked(words: &Words, today: usize) -> Option<Asked> {
    let mut days: Vec<(usize, String)> = Vec::new();
    let (mut opens, mut now) = (false, false);
    let all: Vec<&str> = words.all().iter().map(|word| word.text.as_str()).collect();
    for (at, word) in all.iter().enumerate() {
        if let Some(day) = when::weekday(word) {
            let day = usize::try_from(day.to_monday_zero_offset()).ok()?;
            days.push((day, format!("on {}", DAY_NAMES[day])));
            continue;
        }
        match *word {
            "today" => days.push((today, "today".to_owned())),
            "tonight" => days.push((today, "today".to_owned())),
            "tomorrow" => days.push(((today + 1) % DAY_NAMES.len(), "tomorrow".to_owned())),
            "weekend" | "weekends" => days.extend(WEEKEND.map(|day| (day, format!("on {}", DAY_NAMES[day])))),
            _ if WORDS.contains(word) => {
                opens |= OPEN.contains(word);
                now |= matches!(*word, "currently" | "still")
                    || *word == "now" && all.get(at + 1).is_none_or(|next| *next != "on");
            }
            _ => return None,
        }
    }
    days.dedup();
    match (opens, days.is_empty()) {
        (true, false) => Some(Asked::Days(days)),
        (true, true) if now => Some(Asked::Now),
        (_, _) => None,
    }
}

fn now(hours: &BusinessHours, timezone: &str, now_ms: i64, clock: DayClock) -> String {
    let zone = zone_or_utc(timezone);
    if is_open(hours, &zone, now_ms) {
        return match closes_today(hours, &zone, now_ms, clock) {
            Some(until) => format!("Yes, we're open now, until {until} today."),
            None => "Yes, we're open now.".to_owned(),
        };
    }
    match opens_next(hours, &zone, now_ms, clock) {
        Some((0, _, at)) => format!("No, we're closed right now. We open today at {at}."),
        Some((1, _, at)) => format!("No, we're closed right now. We open again tomorrow at {at}."),
        Some((_, day, at)) => format!("No, we're closed right now. We open again on {} at {at}.", DAY_NAMES[day]),
        None => "No, we're closed right now.".to_owned(),
    }
}

fn of_days(hours: &BusinessHours, days: &[(usize, String)], clock: DayClock) -> String {
    let (mut said, mut closed) = (Vec::new(), Vec::new());
    for (day, called) in days {
        match hours_of_day(hours, *day, clock) {
            Some(open) => said.push(format!("{called} from {open}").replace("from around", "around")),
            None => closed.push(called.clone()),
        }
    }
    let open = (!said.is_empty()).then(|| format!("we're open {}", said.join(" and ")));
    let shut = (!closed.is_empty()).then(|| format!("we're closed {}", closed.join(" and ")));
    match (open, shut) {
        (Some(open), None) => format!("Yes, {open}."),
        (Some(open), Some(shut)) => format!("{}, and {shut}.", capital(&open)),
        (None, shut) => {
            let otherwise = hours_phrase(hours, clock).map(|all| format!(" We're open {all}.")).unwrap_or_default();
            format!("No, {}.{otherwise}", shut.unwrap_or_else(|| "we're closed then".to_owned()))
        }
    }
}

fn capital(line: &str) -> String {
    let mut chars = line.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::config::OpenHours;

    /// Friday, 20 November 2026, noon in New York.
    const NOON: i64 = 1_795_194_000_000;
    const ZONE: &str = "America/New_York";
    const HOUR: i64 = 3_600_000;

    fn hours() -> BusinessHours {
        let open = |open: &str, close: &str| Some(OpenHours { open: open.into(), close: close.into() });
        let mut hours: BusinessHours =
            ["mon", "tue", "wed", "thu", "fri"].iter().map(|day| ((*day).to_owned(), open("07:00", "18:00"))).collect();
        hours.insert("sat".into(), open("08:00", "14:00"));
        hours
    }

    fn answer(text: &str, now_ms: i64) -> Option<String> {
        let today = local_clock(&zone_or_utc(ZONE), now_ms).weekday;
        Some(match asked(&Words::of(text), today)? {
            Asked::Now => now(&hours(), ZONE, now_ms, DayClock::Twelve),
            Asked::Days(days) => of_days(&hours(), &days, DayClock::Twelve),
        })
    }

    #[test]
    fn a_day_is_answered_yes_or_no_with_its_hours() {
        let week = "We're open Monday to Friday 7:00 AM to 6:00 PM and Saturday 8:00 AM to 2:00 PM.";
        for (text, said) in [
            ("what are your hours on Sunday?", format!("No, we're closed on Sunday. {week}")),
            ("are you open Sundays?", format!("No, we're closed on Sunday. {week}")),
            ("Are you open on Saturday?", "Yes, we're open on Saturday from 8:00 AM to 2:00 PM.".to_owned()),
            ("hi, when do you close today?", "Yes, we're open today from 7:00 AM to 6:00 PM.".to_owned()),
            ("is the office open tomorrow?", "Yes, we're open tomorrow from 8:00 AM to 2:00 PM.".to_owned()),
            (
                "are you open on weekends?",
                "We're open on Saturday from 8:00 AM to 2:00 PM, and we're closed on Sunday.".to_owned(),
            ),
        ] {
            assert_eq!(answer(text, NOON), Some(said), "{text}");
        }
    }

    #[test]
    fn now_is_answered_with_when_it_ends_or_begins() {
        assert_eq!(answer("are you open now?", NOON).as_deref(), Some("Yes, we're open now, until 6:00 PM today."));
        assert_eq!(
            answer("Are you still open?", NOON + 8 * HOUR).as_deref(),
            Some("No, we're closed right now. We open again tomorrow at 8:00 AM.")
        );
        assert_eq!(
            answer("are you currently open", NOON - 6 * HOUR).as_deref(),
            Some("No, we're closed right now. We open today at 7:00 AM.")
        );
        assert_eq!(
            answer("are you open right now?", NOON + 30 * HOUR).as_deref(),
            Some("No, we're closed right now. We open again on Monday at 7:00 AM.")
        );
    }

    #[test]
    fn anything_else_is_left_to_the_knowledge() {
        for text in [
            "what are your hours?",
            "are you open for emergencies on Sunday?",
            "do you repair boilers on Sunday?",
            "can I come on Sunday?",
            "is the valve open now?",
            "do you charge more on Saturday?",
            "are you open on Thanksgiving?",
        ] {
            assert_eq!(answer(text, NOON), None, "{text}");
        }
    }
}
