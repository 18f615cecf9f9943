//! What a visitor wants of the calendar: read from the message and from how far the booking is.

use std::collections::BTreeMap;

use super::{
    super::{Brief, FormMove, Setting, Understanding, when},
    Booking, FORM, Offered, added, gives_up, kind_of, moves, query, says, standing,
};
use crate::{
    calendar::{Query, Settings},
    ids::AppointmentId,
    local_time::{day_start_ms, days_after, local_clock, local_date, zone_or_utc},
    text::Words,
};

/// Days looked through where the visitor names none: who finds nothing in four weeks calls.
const AHEAD_DAYS: i32 = 28;
/// Slots looked at where one of each of several days is wanted: three days of a business that is open around the clock.
const OVER_DAYS_LIMIT: usize = 450;
/// Words up to which a message without a question is only a choice.
const CHOICE_WORDS_MAX: usize = 8;
/// What stands before a time that is the earliest.
const BEHIND: [&str; 3] = ["after", "from", "past"];
/// What stands before a time that is the latest.
const UP_TO: [&str; 2] = ["before", "until"];
/// A day, milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// What asks for other times than those that were offered.
const OTHERS: [&str; 8] = ["later", "earlier", "other", "others", "another", "different", "else", "more"];
/// What says that none of them suits.
const REFUSALS: [&str; 30] = [
    "none of",
    "none suits",
    "none suit",
    "none works",
    "none work",
    "none fits",
    "none fit",
    "neither",
    "dont work",
    "doesnt work",
    "do not work",
    "does not work",
    "wont work",
    "will not work",
    "dont suit",
    "doesnt suit",
    "do not suit",
    "does not suit",
    "dont fit",
    "doesnt fit",
    "cant make",
    "cannot make",
    "cant do",
    "cannot do",
    "not possible",
    "not convenient",
    "not good",
    "no good",
    "not free then",
    "busy then",
];

/// What is to be done with the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the message is about something else.
    Leave,
    /// The form asks what is to be booked.
    Ask,
    /// Look for free slots and offer some.
    Offer {
        /// Which.
        query: Box<Query>,
        /// The instant that was named exactly, Unix milliseconds.
        exact_ms: Option<i64>,
        /// The visitor's words for when.
        phrase: Option<String>,
        /// The appointment that is to be moved there.
        moving: Option<AppointmentId>,
        /// One slot of each of several days, rather than several of one: what was offered before did not suit.
        over_days: bool,
    },
    /// The offer stands; something else was asked in between.
    Remind,
    /// None of them suits, and the visitor has not said what does.
    AskWhen,
    /// Hold a slot while details are asked for.
    Hold {
        /// Which.
        slot: Offered,
    },
    /// Everything is known: book it.
    Book {
        /// Which.
        slot: Offered,
        /// The appointment that is moved there.
        moving: Option<AppointmentId>,
    },
    /// The visitor wants no appointment any more.
    Drop,
    /// Ask whether an appointment is really to be given up.
    AskCancel {
        /// Which.
        appointment: AppointmentId,
    },
    /// Give it up.
    Cancel {
        /// Which.
        appointment: AppointmentId,
    },
    /// It stays.
    KeepIt,
    /// Add something to the appointment that stands.
    Note {
        /// Which.
        appointment: AppointmentId,
        /// In the visitor's own words.
        words: String,
        /// Whether the message asks something besides.
        asks: bool,
    },
}

/// Reads what is to be done. `setting` and `brief` are the prepared ones, `understanding` what they led to.
pub fn step(setting: &Setting<'_>, brief: &Brief, understanding: &Understanding, settings: &Settings) -> Step {
    let mood = &understanding.mood;
    if understanding.plan.emergency || mood.injection {
        return Step::Leave;
    }
    let words = Words::of(&brief.text);
    let active = brief.dialogue.booking.as_deref();
    if let Some(appointment) = active.and_then(|booking| booking.canceling.clone()) {
        if mood.denies {
            return Step::KeepIt;
        }
        if mood.confirms || words.has("cancel") {
            return Step::Cancel { appointment };
        }
    }
    if let Some(agreed) = standing(brief) {
        if moves(&words, brief) {
            return offer(setting, brief, settings, None, Some(agreed.id.clone()), &words);
        }
        if gives_up(&words, brief) {
            return Step::AskCancel { appointment: agreed.id.clone() };
        }
        if active.is_none()
            && let Some((words, asks)) = added::find(brief, understanding)
        {
            return Step::Note { appointment: agreed.id.clone(), words, asks };
        }
    }
    let moving = active.and_then(|booking| booking.moving.clone());
    let (going, complete) = match &understanding.facts.form {
        FormMove::Going { progress } => (progress.form == FORM, false),
        // Nobody is booked whom nobody could name or reach.
        FormMove::Done { form, complete: false }
            if form == FORM && super::details(setting, brief, understanding).is_empty() =>
        {
            return Step::Drop;
        }
        FormMove::Done { form, .. } => (form == FORM, true),
        FormMove::Cancelled { form } if form == FORM => return Step::Drop,
        FormMove::Cancelled { .. } => (false, false),
        FormMove::Same => (brief.dialogue.form.as_ref().is_some_and(|progress| progress.form == FORM), false),
    };
    if !going && moving.is_none() {
        return Step::Leave;
    }
    if mood.cancels {
        return Step::Drop;
    }
    let complete = complete || moving.is_some();
    let mut values: BTreeMap<String, String> = brief.dialogue.values.clone();
    values.extend(understanding.facts.values.clone());
    if moving.is_none() && kind_of(settings, &values).is_none() {
        return Step::Ask;
    }
    let kind = kind_of(settings, &values).map(|kind| kind.id.clone());
    let take = |slot: Offered| {
        if complete { Step::Book { slot, moving: moving.clone() } } else { Step::Hold { slot } }
    };
    let Some(booking) = active.filter(|booking| !booking.offered.is_empty()) else {
        return offer(setting, brief, settings, kind.as_deref(), moving.clone(), &words);
    };
    if understanding.plan.direct.is_some() {
        // "Are you open on Tuesday?" is answered, and chooses nothing.
        return booking.chosen.clone().map_or(Step::Remind, take);
    }
    if let Some(chosen) = &booking.chosen {
        // While details are asked for only a plain change of mind is one: a name may be a day too.
        const OTHER: [&str; 6] =
            ["another time", "different time", "other time", "another day", "different day", "instead"];
        let other = says(&words, &OTHER)
            || stretch(&words).is_some()
            || refuses(&words) && understanding.facts.values.is_empty()
            || (names_day(&words) || says_clock(&words)) && understanding.facts.values.is_empty();
        if other {
            return offer(setting, brief, settings, kind.as_deref(), moving.clone(), &words);
        }
        return take(chosen.clone());
    }
    match choice(booking, &brief.text, &words, setting, settings) {
        Some(slot) => take(slot),
        // Who says goodbye is not asked again.
        None if mood.bye => Step::Leave,
        None => {
            let other = says(&words, &OTHERS) || refuses(&words);
            // "Do you work weekends?" asks how things are.
            let stretches = !mood.informational && stretch(&words).is_some();
            let asks_when = find(&brief.text, setting.now_ms, &settings.timezone).is_some() || stretches;
            if asks_when || provider_in(settings, &words).is_some() || other {
                return offer(setting, brief, settings, kind.as_deref(), moving.clone(), &words);
            }
            if mood.denies { Step::AskWhen } else { Step::Remind }
        }
    }
}

/// Whether a message says that what was offered does not suit, and no more than that is needed to look for others.
fn refuses(words: &Words) -> bool {
    // As it stands: "none" and "don't" are the refusal here, and negate nothing.
    REFUSALS.iter().any(|phrase| words.find(phrase).is_some()) || words.joined() == "none"
}

/// The slot that a message chooses among those offered.
fn choice(booking: &Booking, text: &str, words: &Words, setting: &Setting<'_>, settings: &Settings) -> Option<Offered> {
    let offered = &booking.offered;
    // A button says exactly what was offered.
    let said = words.joined();
    if let Some(slot) = offered.iter().find(|slot| Words::of(&slot.label).joined() == said) {
        return Some(slot.clone());
    }
    // "Mornings only" chooses none of those offered, even where one is in the morning; "none of those" least of all.
    if words.has_any(&["mornings", "afternoons", "evenings"]) || refuses(words) {
        return None;
    }
    // "The second one" is one, whatever is said in the same breath.
    if let Some(n) = named_one(words) {
        return if n == LAST { offered.last().cloned() } else { offered.get(n).cloned() };
    }
    let zone = zone_or_utc(&settings.timezone);
    if let Some(found) = find(text, setting.now_ms, &settings.timezone) {
        let day = names_day(words).then(|| local_date(&zone, found.from_ms));
        let clock = found.exact_ms.map(|at| time_of_day(&zone, at));
        let fits = |slot: &&Offered| {
            day.as_ref().is_none_or(|day| local_date(&zone, slot.starts_ms) == *day)
                && clock.is_none_or(|clock| time_of_day(&zone, slot.starts_ms) == clock)
                && (clock.is_some() || keeps_open(&found, slot.starts_ms, words, &zone))
                && found
                    .hours
                    .is_none_or(|(first, last)| (first..last).contains(&local_clock(&zone, slot.starts_ms).hour))
        };
        let mut fitting = offered.iter().filter(fits);
        return match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.clone()),
            (Some(_), Some(_)) | (None, _) => None,
        };
    }
    if words.len() > CHOICE_WORDS_MAX {
        return None;
    }
    let nth = |n: usize| offered.get(n).cloned();
    const NAMES: [[&str; 3]; 3] = [["first", "1st", "1"], ["second", "2nd", "2"], ["third", "3rd", "3"]];
    if let Some(n) = NAMES.iter().position(|names| words.has_any(names)) {
        return nth(n);
    }
    if words.has("last") {
        return offered.last().cloned();
    }
    // "At 10" among 10:00 and 2:30.
    let hour = words.all().iter().find_map(|word| word.text.parse::<u8>().ok()).filter(|hour| (1..=12).contains(hour));
    if let Some(hour) = hour {
        let mut fitting = offered.iter().filter(|slot| local_clock(&zone, slot.starts_ms).hour % 12 == hour % 12);
        return match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.clone()),
            (Some(_), Some(_)) | (None, _) => None,
        };
    }
    let mood = super::super::Mood::of(text, words);
    let agrees = mood.confirms && !mood.denies;
    match offered.as_slice() {
        [only] if agrees => Some(only.clone()),
        [first, ..] if agrees && words.has_any(&["any", "either", "whichever", "whatever"]) => Some(first.clone()),
        _ => None,
    }
}

/// The last of those offered, among [`named_one`]'s.
const LAST: usize = usize::MAX;

/// Which of those offered "the second one" is.
fn named_one(words: &Words) -> Option<usize> {
    words.all().windows(2).find_map(|pair| {
        if !matches!(pair[1].text.as_str(), "one" | "slot" | "option") {
            return None;
        }
        match pair[0].text.as_str() {
            "first" | "1st" => Some(0),
            "second" | "2nd" => Some(1),
            "third" | "3rd" => Some(2),
            "last" => Some(LAST),
            _ => None,
        }
    })
}

/// Whether a slot lies behind "after 3pm", or before "until ten", where a message says so.
fn keeps_open(found: &Found, starts_ms: i64, words: &Words, zone: &jiff::tz::TimeZone) -> bool {
    let at = time_of_day(zone, starts_ms);
    if words.has_any(&BEHIND) {
        at >= time_of_day(zone, found.from_ms)
    } else if words.has_any(&UP_TO) && time_of_day(zone, found.to_ms) != (0, 0) {
        at < time_of_day(zone, found.to_ms)
    } else {
        true
    }
}

/// Whether a message says a time of the clock as one: "3pm", "after 3".
fn says_clock(words: &Words) -> bool {
    let all: Vec<&str> = words.all().iter().map(|word| word.text.as_str()).collect();
    let digits = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    all.iter().any(|word| digits(word) && word.len() <= 6 && (word.ends_with("am") || word.ends_with("pm")))
        || all.windows(2).any(|pair| {
            digits(pair[0]) && matches!(pair[1], "am" | "pm" | "oclock")
                || (BEHIND.contains(&pair[0]) || UP_TO.contains(&pair[0])) && digits(pair[1]) && pair[1].len() <= 2
        })
}

/// Which slots a message asks for.
fn offer(
    setting: &Setting<'_>,
    brief: &Brief,
    settings: &Settings,
    kind: Option<&str>,
    moving: Option<AppointmentId>,
    words: &Words,
) -> Step {
    let kind =
        kind.map(str::to_owned).or_else(|| settings.types.first().map(|kind| kind.id.clone())).unwrap_or_default();
    let mut query = query(&kind, provider_in(settings, words), brief.conversation_id.as_str());
    let zone = zone_or_utc(&settings.timezone);
    let active = brief.dialogue.booking.as_deref();
    query.from_ms = setting.now_ms;
    query.to_ms = later(&zone, setting.now_ms, AHEAD_DAYS);
    let (mut exact_ms, mut phrase) = (None, None);
    let offered = active.map(|booking| booking.offered.as_slice()).unwrap_or_default();
    let mut heard = Heard::of(brief, words, setting.now_ms, settings, offered);
    // Who corrects the time means the day that is spoken of already.
    let spoken_of = day_spoken_of(setting, brief, settings, moving.is_some());
    if let Some(found) = heard.found.as_mut().filter(|_| !heard.names_day)
        && let Some(day_ms) = spoken_of
    {
        *found = found.on_day(&zone, day_ms, setting.now_ms);
    }
    let mut over_days = heard.refuses;
    let next_day = offered.last().map(|last| later(&zone, heard.not_on.unwrap_or(last.starts_ms), 1));
    let span = stretch(words).and_then(|stretch| {
        let anchor = offered.last().map_or(setting.now_ms, |last| last.starts_ms);
        let (from_ms, to_ms) = stretch.within(&zone, setting.now_ms, anchor)?;
        Some((stretch.phrase, from_ms, to_ms))
    });
    let names_day = heard.names_day;
    match (heard.found, span) {
        (Some(found), None) => {
            query.from_ms = found.from_ms;
            query.to_ms = found.to_ms;
            query.hours = found.hours;
            exact_ms = found.exact_ms;
            over_days |= words.has_any(&["mornings", "afternoons", "evenings"]);
            // "None of those, mornings only": other mornings than the one that was offered.
            if let Some(next_day) = next_day.filter(|day| heard.refuses && !names_day && *day < query.to_ms) {
                query.from_ms = query.from_ms.max(next_day);
            }
            over_days &= !names_day;
            phrase = Some(found.phrase);
        }
        (found, Some((words, from_ms, to_ms))) => {
            (query.from_ms, query.to_ms) = (from_ms, to_ms);
            query.hours = found.and_then(|found| found.hours);
            over_days = true;
            phrase = Some(words.to_owned());
        }
        // None of them suits: other days. "Something later" is after what was offered, "another day" on the next, and "earlier" before it.
        (None, None) => {
            query.hours = heard.not_at;
            if let (Some(first), Some(last), Some(next_day)) = (offered.first(), offered.last(), next_day) {
                const DAYS: [&str; 3] = ["another day", "other day", "different day"];
                if words.has("earlier") {
                    query.to_ms = first.starts_ms;
                    phrase = Some("earlier".to_owned());
                    over_days = false;
                } else if heard.not_at.is_some() {
                    over_days = true;
                } else if heard.refuses && !words.has("later") || DAYS.iter().any(|day| words.find(day).is_some()) {
                    query.from_ms = next_day;
                    over_days = true;
                } else {
                    query.from_ms = last.starts_ms + 1;
                }
            }
        }
    }
    if over_days {
        query.limit = OVER_DAYS_LIMIT;
    }
    if moving.is_some() {
        query.kind = None;
    }
    Step::Offer { query: Box::new(query), exact_ms, phrase, moving, over_days }
}

/// An instant of the day that is spoken of: of the slot that was chosen, of the appointment that is to be moved, or of all that were offered.
fn day_spoken_of(setting: &Setting<'_>, brief: &Brief, settings: &Settings, moving: bool) -> Option<i64> {
    let booking = brief.dialogue.booking.as_deref();
    if let Some(chosen) = booking.and_then(|booking| booking.chosen.as_ref()) {
        return Some(chosen.starts_ms);
    }
    if moving {
        let agreed = super::standing(brief)?;
        return find(&agreed.when, setting.now_ms, &settings.timezone).map(|found| found.from_ms);
    }
    let zone = zone_or_utc(&settings.timezone);
    let offered = &booking?.offered;
    let first = offered.first()?.starts_ms;
    let day = local_date(&zone, first);
    offered.iter().all(|slot| local_date(&zone, slot.starts_ms) == day).then_some(first)
}

/// When a message says that it should be, apart from when it says that it cannot be.
struct Heard {
    /// What it asks for.
    found: Option<Found>,
    /// Whether it names a day for that.
    names_day: bool,
    /// Whether it says that what was offered does not suit.
    refuses: bool,
    /// An instant of the day that it refuses: "Tuesday doesn't work".
    not_on: Option<i64>,
    /// The hours that are left where it refuses a part of the day: "I can't do mornings".
    not_at: Option<(u8, u8)>,
}

impl Heard {
    fn of(brief: &Brief, words: &Words, now_ms: i64, settings: &Settings, offered: &[Offered]) -> Self {
        let timezone = &settings.timezone;
        let refuses = !offered.is_empty() && refuses(words);
        if !refuses {
            let found = find(&brief.text, now_ms, timezone);
            return Self { found, names_day: names_day(words), refuses, not_on: None, not_at: None };
        }
        let (wanted, refused) = apart(&brief.text, words);
        let mut heard =
            Self { found: find(&wanted, now_ms, timezone), names_day: false, refuses, not_on: None, not_at: None };
        heard.names_day = names_day(&Words::of(&wanted));
        if heard.found.is_some() {
            return heard;
        }
        // In the same breath as the refusal: what was offered is refused, anything else is wanted instead.
        let Some(found) = find(&refused, now_ms, timezone) else { return heard };
        let refused = Words::of(&refused);
        let zone = zone_or_utc(timezone);
        let same_day = |slot: &Offered| local_date(&zone, slot.starts_ms) == local_date(&zone, found.from_ms);
        let of_all = refused.has_any(&["none", "neither"]);
        match (names_day(&refused), found.hours) {
            (true, None) if !of_all && offered.iter().any(same_day) => heard.not_on = Some(found.from_ms),
            (false, Some(hours)) if !of_all => heard.not_at = rest_of_day(hours),
            (named, _) => {
                heard.names_day = named;
                heard.found = Some(found);
            }
        }
        heard
    }
}

/// The hours of a day that are left without some of them.
fn rest_of_day((first, last): (u8, u8)) -> Option<(u8, u8)> {
    match (first, last) {
        (0, last) => Some((last, 24)),
        (first, _) => Some((0, first)),
    }
}

/// The clauses of a refusal that say what is wanted, and those that refuse.
fn apart(text: &str, words: &Words) -> (String, String) {
    let refusing: Vec<usize> = REFUSALS
        .iter()
        .filter_map(|phrase| words.find(phrase))
        .filter_map(|place| words.all().get(place.start).map(|word| word.clause))
        .collect();
    let (mut wanted, mut refused) = (String::new(), String::new());
    let mut before = None;
    for word in words.all() {
        let side = if refusing.contains(&word.clause) { &mut refused } else { &mut wanted };
        if before.is_some_and(|before| before != word.clause) {
            side.push(',');
        }
        before = Some(word.clause);
        side.push(' ');
        side.push_str(text.get(word.at.clone()).unwrap_or_default());
    }
    (wanted, refused)
}

/// A stretch of days that is named by where it lies in the week.
struct Stretch {
    phrase: &'static str,
    /// Whole weeks from the one that was spoken of.
    weeks: i32,
    /// Days of that week before which it does not begin.
    from_day: i32,
}

/// The stretch of days that a message names.
fn stretch(words: &Words) -> Option<Stretch> {
    const STRETCHES: [(&str, i32, i32); 13] = [
        ("later in the week", 0, 0),
        ("later this week", 0, 0),
        ("later that week", 0, 0),
        ("rest of the week", 0, 0),
        ("end of the week", 0, 3),
        ("end of this week", 0, 3),
        ("this week", 0, 0),
        ("the following week", 1, 0),
        ("the week after", 1, 0),
        ("this weekend", 0, 5),
        ("on the weekend", 0, 5),
        ("at the weekend", 0, 5),
        ("weekends", 0, 5),
    ];
    let named = STRETCHES.iter().find(|(phrase, ..)| words.means(phrase));
    named.map(|(phrase, weeks, from_day)| Stretch { phrase, weeks: *weeks, from_day: *from_day })
}

impl Stretch {
    /// From when to when it lies, from the day after what was offered on. `anchor_ms` is in the week that was spoken of.
    fn within(&self, zone: &jiff::tz::TimeZone, now_ms: i64, anchor_ms: i64) -> Option<(i64, i64)> {
        let offered = anchor_ms > now_ms;
        let weekday = i32::try_from(local_clock(zone, anchor_ms).weekday).ok()?;
        let monday = |weeks: i32| later(zone, anchor_ms, 7 * weeks - weekday);
        let after = if offered { later(zone, anchor_ms, 1) } else { now_ms };
        let at = |weeks: i32| (later(zone, monday(weeks), self.from_day).max(after), monday(weeks + 1));
        let (from_ms, to_ms) = at(self.weeks);
        // Nothing of that week is left: the next one is as near as it gets.
        Some(if from_ms < to_ms { (from_ms, to_ms) } else { at(self.weeks + 1) })
    }
}

/// When a message says.
pub(super) struct Found {
    pub(super) phrase: String,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) hours: Option<(u8, u8)>,
    pub(super) exact_ms: Option<i64>,
}

/// The day, part of the day or time that a message names.
pub(super) fn find(text: &str, now_ms: i64, timezone: &str) -> Option<Found> {
    let found = when::find_when(text, now_ms, timezone).filter(|found| found.definite && !found.past)?;
    let zone = zone_or_utc(timezone);
    let words = Words::of(text);
    let hours = if words.has_any(&["morning", "mornings"]) {
        Some((0, 12))
    } else if words.has_any(&["afternoon", "afternoons"]) {
        Some((12, 17))
    } else if words.has_any(&["evening", "evenings", "tonight"]) {
        Some((17, 24))
    } else if words.has("lunchtime") {
        Some((11, 14))
    } else {
        None
    };
    let ahead = |from_ms: i64, days: i32| later(&zone, from_ms, days);
    let Some(at) = found.earliest_ms else {
        let (from_ms, to_ms) = if words.find("next week").is_some() {
            let until_monday = 7 - i32::try_from(local_clock(&zone, now_ms).weekday).unwrap_or(0);
            (ahead(now_ms, until_monday), ahead(now_ms, until_monday + 7))
        } else if hours.is_some() {
            (now_ms, ahead(now_ms, AHEAD_DAYS))
        } else {
            return None;
        };
        return Some(Found { phrase: found.phrase, from_ms, to_ms, hours, exact_ms: None });
    };
    let start = day_start_ms(&zone, &local_date(&zone, at))?;
    let clock = at != start && at != now_ms;
    // A bare time that has passed today is meant for tomorrow.
    let at = if clock && at <= now_ms && !names_day(&words) { at + 24 * 3600 * 1000 } else { at };
    let open = words.has_any(&BEHIND) || words.has_any(&UP_TO);
    let from_ms = if words.has_any(&UP_TO) { start } else { at };
    let to_ms = if clock && words.has_any(&UP_TO) { at } else { ahead(at, 1) };
    let exact_ms = (clock && !open).then_some(at);
    // A time says more than a part of the day.
    Some(Found { phrase: found.phrase, from_ms, to_ms, hours: hours.filter(|_| !clock), exact_ms })
}

impl Found {
    /// The same on another day, if that time is still to come there.
    fn on_day(&self, zone: &jiff::tz::TimeZone, day_ms: i64, now_ms: i64) -> Self {
        let start = |at_ms: i64| day_start_ms(zone, &local_date(zone, at_ms)).unwrap_or(at_ms);
        let same = || Self { phrase: self.phrase.clone(), ..*self };
        if self.hours.is_some() {
            // A part of the day: on that day first, and on those that follow.
            return Self { from_ms: self.from_ms.max(start(day_ms)), ..same() };
        }
        let shift = start(day_ms) - start(self.from_ms);
        if self.from_ms + shift < now_ms {
            return same();
        }
        let to_ms = if self.to_ms - self.from_ms < DAY_MS && time_of_day(zone, self.to_ms) != (0, 0) {
            self.to_ms + shift
        } else {
            later(zone, day_ms, 1)
        };
        Self { from_ms: self.from_ms + shift, to_ms, exact_ms: self.exact_ms.map(|at| at + shift), ..same() }
    }
}

/// The beginning of the local day so many days after an instant's.
fn later(zone: &jiff::tz::TimeZone, at_ms: i64, days: i32) -> i64 {
    days_after(&local_date(zone, at_ms), days).and_then(|day| day_start_ms(zone, &day)).unwrap_or(at_ms)
}

/// The provider whose name a message says.
fn provider_in(settings: &Settings, words: &Words) -> Option<String> {
    let named = |name: &str| {
        let first = name.split_whitespace().next().unwrap_or(name).to_lowercase();
        words.find(&name.to_lowercase()).is_some() || first.chars().count() > 2 && words.has(&first)
    };
    settings
        .providers
        .iter()
        .find(|provider| provider.active && named(&provider.name))
        .map(|provider| provider.id.clone())
}

/// Whether a day is named, rather than only a time.
fn names_day(words: &Words) -> bool {
    words.all().iter().any(|word| {
        when::weekday(&word.text).is_some() || matches!(word.text.as_str(), "today" | "tomorrow" | "tonight")
    }) || words.all().windows(2).any(|pair| {
        when::month(&pair[0].text).is_some() && when::ordinal(&pair[1].text).is_some()
            || when::ordinal(&pair[0].text).is_some() && when::month(&pair[1].text).is_some()
    })
}

/// Hour and minute of the local clock.
fn time_of_day(zone: &jiff::tz::TimeZone, at_ms: i64) -> (i8, i8) {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let local = zone.to_datetime(at);
    (local.hour(), local.minute())
}
