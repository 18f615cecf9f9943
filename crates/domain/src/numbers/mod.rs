//! What one row contributes to its tenant's live counts, how contributions add up, and the figures shown from the sum.
//!
//! A row carries its *whole* contribution, so a newer one replaces an older one and a recount needs nothing but the newest rows.
//! Sums are exact integers; averages are taken only when shown.

pub mod charts;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::{
    local_time::{local_date, month_start_ms},
    tenant::plan::Limits,
    vocabulary::Channel,
};

/// Width of a bucket. Every time zone is a multiple of a quarter of an hour away from UTC, so no bucket lies in two local days.
pub const BUCKET_MS: i64 = 15 * 60 * 1000;

/// Milliseconds of a day in a rolling window.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

macro_rules! sums {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(skip_serializing_if = "is_zero")] pub $field: i64,)+
        }

        impl $name {
            /// Adds another's counts, `sign` times.
            pub fn add(&mut self, other: &Self, sign: i64) {
                $(self.$field += sign * other.$field;)+
            }
        }
    };
}

sums! {
    /// Counts of one channel.
    ChannelCounts {
        /// Conversations that began.
        conversations,
        /// Messages of anyone but Colloquy itself.
        messages,
        /// Visitors' turns that got an answer: the unit of the chat allowance.
        turns,
        /// Conversations that ended answered.
        resolved,
        /// Conversations that needed a person.
        escalated,
        /// Conversations that ended unanswered.
        abandoned,
        /// Milliseconds from a visitor's message to its answer, added up.
        response_ms,
        /// How many answers `response_ms` adds up.
        responses,
        /// Milliseconds from a conversation's begin to its resolution, added up.
        resolution_ms,
        /// How many resolutions `resolution_ms` adds up.
        resolutions,
    }
}

sums! {
    /// Counts of all channels together.
    Counts {
        /// Leads captured.
        leads,
        /// Appointments booked.
        appointments,
        /// Visits of pages with the widget.
        visits,
        /// Questions asked.
        questions,
        /// Questions answered with the fallback message.
        unanswered,
        /// Ratings of 1 to 5, added up.
        rating_sum,
        /// How many ratings.
        ratings,
        /// Answers marked as good.
        thumbs_up,
        /// Answers marked as bad.
        thumbs_down,
        /// Calls that were answered.
        calls_answered,
        /// Calls that were not.
        calls_missed,
        /// Calls handed to a person.
        calls_transferred,
        /// Seconds of answered calls.
        call_seconds,
        /// Tokens sent to models.
        tokens_in,
        /// Tokens received from models.
        tokens_out,
        /// What models cost, millionths of a US dollar.
        cost_micros,
    }
}

/// Everything counted in one bucket of time, one day or one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// By channel; channels without any count are absent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<Channel, ChannelCounts>,
    /// Independent of the channel.
    #[serde(flatten)]
    pub all: Counts,
}

impl Counters {
    /// The counts of one channel, to be raised.
    pub fn channel(&mut self, channel: Channel) -> &mut ChannelCounts {
        self.channels.entry(channel).or_default()
    }

    /// The counts of all channels added up.
    pub fn every_channel(&self) -> ChannelCounts {
        let mut sum = ChannelCounts::default();
        self.channels.values().for_each(|counts| sum.add(counts, 1));
        sum
    }

    /// The counts of one channel, or of all of them added up.
    pub fn of(&self, channel: Option<Channel>) -> ChannelCounts {
        match channel {
            Some(channel) => self.channels.get(&channel).copied().unwrap_or_default(),
            None => self.every_channel(),
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.all == Counts::default() && self.channels.values().all(|counts| *counts == ChannelCounts::default())
    }

    /// Adds another's counts, `sign` times; channels that come to nothing disappear, so that equal counts are equal values.
    pub fn add(&mut self, other: &Self, sign: i64) {
        self.all.add(&other.all, sign);
        for (channel, counts) in &other.channels {
            self.channels.entry(*channel).or_default().add(counts, sign);
        }
        self.channels.retain(|_, counts| *counts != ChannelCounts::default());
    }
}

/// Counts by time: one row's contribution, or the sum of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Numbers {
    /// By bucket: Unix milliseconds divided by [`BUCKET_MS`].
    buckets: BTreeMap<i64, Counters>,
}

impl Numbers {
    /// Nothing counted.
    pub const NONE: Self = Self { buckets: BTreeMap::new() };

    /// The counters of the bucket an instant falls in, to be raised.
    pub fn at(&mut self, at_ms: i64) -> &mut Counters {
        self.buckets.entry(at_ms.div_euclid(BUCKET_MS)).or_default()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.buckets.values().all(Counters::is_empty)
    }

    /// Adds a contribution.
    pub fn fold(&mut self, row: &Self) {
        self.add(row, 1);
    }

    /// Takes a contribution away that was folded before.
    pub fn remove(&mut self, row: &Self) {
        self.add(row, -1);
    }

    /// Puts a row's newer contribution in the place of its older one.
    pub fn replace(&mut self, old: &Self, new: &Self) {
        self.remove(old);
        self.fold(new);
    }

    /// The sum of all buckets that begin in `from_ms..to_ms`.
    pub fn between(&self, from_ms: i64, to_ms: i64) -> Counters {
        let mut sum = Counters::default();
        let (from, to) = (ceil_bucket(from_ms), ceil_bucket(to_ms));
        if from < to {
            self.buckets.range(from..to).for_each(|(_, counters)| sum.add(counters, 1));
        }
        sum
    }

    /// The sum of everything.
    pub fn total(&self) -> Counters {
        self.between(i64::MIN / 2, i64::MAX / 2)
    }

    /// Sums by local day, `YYYY-MM-DD`; days without any count are absent.
    pub fn days(&self, zone: &TimeZone) -> BTreeMap<String, Counters> {
        let mut days: BTreeMap<String, Counters> = BTreeMap::new();
        for (bucket, counters) in &self.buckets {
            days.entry(local_date(zone, bucket * BUCKET_MS)).or_default().add(counters, 1);
        }
        days.retain(|_, counters| !counters.is_empty());
        days
    }

    /// Forgets buckets that ended before an instant; for a feed that keeps only what its windows need.
    pub fn forget_before(&mut self, at_ms: i64) {
        self.buckets = self.buckets.split_off(&at_ms.div_euclid(BUCKET_MS));
    }

    fn add(&mut self, row: &Self, sign: i64) {
        for (bucket, counters) in &row.buckets {
            let sum = self.buckets.entry(*bucket).or_default();
            sum.add(counters, sign);
            if sum.is_empty() {
                self.buckets.remove(bucket);
            }
        }
    }
}

/// A span of time up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Window {
    /// The last day.
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// The last seven days.
    #[serde(rename = "7d")]
    Week,
    /// The last thirty days.
    #[serde(rename = "30d")]
    Month,
}

impl Window {
    /// Its length in milliseconds.
    pub fn span_ms(self) -> i64 {
        match self {
            Self::Day => DAY_MS,
            Self::Week => 7 * DAY_MS,
            Self::Month => 30 * DAY_MS,
        }
    }
}

/// What a minute of calls costs that a plan does not include, millionths of a US dollar: $0.15 (VOI-25).
pub const OVERAGE_MINUTE_MICROS: i64 = 150_000;

/// The overview's six cards (ANA-1) and what stands beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// What the figures below cover, unless their name says otherwise.
    pub window: Window,
    /// Card 1: conversations that began.
    pub total_conversations: i64,
    /// The same over the last day.
    pub conversations_24h: i64,
    /// The same over the last seven days.
    pub conversations_7d: i64,
    /// The same over the last thirty days.
    pub conversations_30d: i64,
    /// Card 2: calls answered.
    pub calls_answered: i64,
    /// Card 2: calls missed.
    pub calls_missed: i64,
    /// Card 3: leads captured.
    pub leads_captured: i64,
    /// Card 4: the mean of all ratings, 1 to 5; none without ratings.
    pub avg_satisfaction: Option<f64>,
    /// Card 5: minutes of calls in this calendar month.
    pub voice_minutes_used: f64,
    /// Card 5: what the plan still allows; none without a limit.
    pub voice_minutes_remaining: Option<f64>,
    /// Minutes of calls in this calendar month that the plan does not include; each is charged.
    #[serde(default)]
    pub voice_minutes_overage: f64,
    /// What these cost, millionths of a US dollar.
    #[serde(default)]
    pub voice_overage_micros: i64,
    /// Card 6: answered chat messages in this calendar month.
    pub chat_messages_used: i64,
    /// Card 6: what the plan still allows; none without a limit.
    pub chat_messages_remaining: Option<i64>,
    /// Messages of anyone.
    pub messages: i64,
    /// Conversations that began, by channel.
    pub by_channel: BTreeMap<Channel, i64>,
    /// Conversations that ended answered.
    pub resolved: i64,
    /// Conversations that needed a person.
    pub escalated: i64,
    /// Conversations that ended unanswered.
    pub abandoned: i64,
    /// Questions answered with the fallback message.
    pub unanswered: i64,
    /// Answers marked as good.
    pub thumbs_up_count: i64,
    /// Answers marked as bad.
    pub thumbs_down_count: i64,
    /// Mean milliseconds to an answer; none without answers.
    pub avg_response_ms: Option<i64>,
    /// What models cost, millionths of a US dollar.
    pub cost_micros: i64,
    /// Rows that cannot be read, as `list/id`: what they contribute is missing from all figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<String>,
}

/// Computes the overview at an instant; allowances count by the calendar month of the organization's zone.
pub fn overview(numbers: &Numbers, window: Window, zone: &TimeZone, now_ms: i64, limits: &Limits) -> Overview {
    let end_ms = (now_ms.div_euclid(BUCKET_MS) + 1) * BUCKET_MS;
    let last = |window: Window| numbers.between(end_ms - window.span_ms(), end_ms);
    let began = |window: Window| last(window).every_channel().conversations;
    let shown = last(window);
    let every = shown.every_channel();
    let month = numbers.between(month_start_ms(zone, now_ms), end_ms);
    let chat_messages_used = month.channels.get(&Channel::Chat).map_or(0, |chat| chat.turns);
    let voice_minutes_used = minutes(month.all.call_seconds);
    let voice_minutes_overage =
        limits.monthly_voice_minutes.map_or(0.0, |limit| (voice_minutes_used - limit as f64).max(0.0));
    Overview {
        window,
        total_conversations: every.conversations,
        conversations_24h: began(Window::Day),
        conversations_7d: began(Window::Week),
        conversations_30d: began(Window::Month),
        calls_answered: shown.all.calls_answered,
        calls_missed: shown.all.calls_missed,
        leads_captured: shown.all.leads,
        avg_satisfaction: mean(shown.all.rating_sum, shown.all.ratings),
        voice_minutes_used,
        voice_minutes_remaining: limits.monthly_voice_minutes.map(|limit| (limit as f64 - voice_minutes_used).max(0.0)),
        voice_minutes_overage,
        // Begun minutes count whole.
        voice_overage_micros: voice_minutes_overage.ceil() as i64 * OVERAGE_MINUTE_MICROS,
        chat_messages_used,
        chat_messages_remaining: limits
            .monthly_chats
            .map(|limit| i64::try_from(limit).unwrap_or(i64::MAX).saturating_sub(chat_messages_used).max(0)),
        messages: every.messages,
        by_channel: shown.channels.iter().map(|(channel, counts)| (*channel, counts.conversations)).collect(),
        resolved: every.resolved,
        escalated: every.escalated,
        abandoned: every.abandoned,
        unanswered: shown.all.unanswered,
        thumbs_up_count: shown.all.thumbs_up,
        thumbs_down_count: shown.all.thumbs_down,
        avg_response_ms: whole_mean(every.response_ms, every.responses),
        cost_micros: shown.all.cost_micros,
        damaged: Vec::new(),
    }
}

/// One question with how often it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionCount {
    /// The question.
    pub question: String,
    /// How often.
    pub count: i64,
    /// Whether it was answered; only given among top questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
}

/// One day of one agent or of all (ANA-4, VB §3.1 `daily_analytics`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DailyRow {
    /// The local day, `YYYY-MM-DD`.
    pub date: String,
    /// The agent; none for all of them.
    pub agent_id: Option<String>,
    /// Chats that began.
    pub chat_conversations: i64,
    /// Messages in chats.
    pub chat_messages: i64,
    /// Chats that ended answered.
    pub chat_resolved: i64,
    /// Chats that needed a person.
    pub chat_escalated: i64,
    /// Mean milliseconds to an answer in chats.
    pub chat_avg_response_ms: Option<i64>,
    /// Calls.
    pub voice_calls: i64,
    /// Minutes of calls.
    pub voice_minutes: f64,
    /// Calls answered.
    pub voice_answered: i64,
    /// Calls missed.
    pub voice_missed: i64,
    /// Calls handed to a person.
    pub voice_transferred: i64,
    /// Mean seconds of a call.
    pub voice_avg_duration: Option<i64>,
    /// Leads captured.
    pub leads_captured: i64,
    /// Appointments booked.
    pub appointments_booked: i64,
    /// Mean rating, 1 to 5.
    pub avg_satisfaction: Option<f64>,
    /// Answers marked as good.
    pub thumbs_up_count: i64,
    /// Answers marked as bad.
    pub thumbs_down_count: i64,
    /// The day's most frequent questions.
    pub top_questions: Vec<QuestionCount>,
    /// The day's questions without an answer.
    pub unanswered_questions: Vec<QuestionCount>,
}

impl DailyRow {
    /// The figures of one day; the two lists of questions are left to the caller, who knows the texts.
    pub fn new(date: &str, agent_id: Option<&str>, counters: &Counters) -> Self {
        let chat = counters.channels.get(&Channel::Chat).copied().unwrap_or_default();
        let all = &counters.all;
        Self {
            date: date.to_owned(),
            agent_id: agent_id.map(str::to_owned),
            chat_conversations: chat.conversations,
            chat_messages: chat.messages,
            chat_resolved: chat.resolved,
            chat_escalated: chat.escalated,
            chat_avg_response_ms: whole_mean(chat.response_ms, chat.responses),
            voice_calls: all.calls_answered + all.calls_missed,
            voice_minutes: minutes(all.call_seconds),
            voice_answered: all.calls_answered,
            voice_missed: all.calls_missed,
            voice_transferred: all.calls_transferred,
            voice_avg_duration: whole_mean(all.call_seconds, all.calls_answered),
            leads_captured: all.leads,
            appointments_booked: all.appointments,
            avg_satisfaction: mean(all.rating_sum, all.ratings),
            thumbs_up_count: all.thumbs_up,
            thumbs_down_count: all.thumbs_down,
            top_questions: Vec::new(),
            unanswered_questions: Vec::new(),
        }
    }
}

/// One row for each local day from `from` to `to`, both `YYYY-MM-DD` and included, that counts anything.
pub fn daily(numbers: &Numbers, zone: &TimeZone, from: &str, to: &str, agent_id: Option<&str>) -> Vec<DailyRow> {
    let days = numbers.days(zone);
    days.iter()
        .filter(|(date, _)| (from..=to).contains(&date.as_str()))
        .map(|(date, counters)| DailyRow::new(date, agent_id, counters))
        .collect()
}

/// Minutes with two decimals.
pub fn minutes(seconds: i64) -> f64 {
    (seconds as f64 / 60.0 * 100.0).round() / 100.0
}

/// A mean with two decimals.
pub fn mean(sum: i64, count: i64) -> Option<f64> {
    (count > 0).then(|| (sum as f64 / count as f64 * 100.0).round() / 100.0)
}

/// A mean as the nearest whole number.
pub fn whole_mean(sum: i64, count: i64) -> Option<i64> {
    (count > 0).then(|| (sum + count / 2) / count)
}

fn ceil_bucket(at_ms: i64) -> i64 {
    at_ms.div_euclid(BUCKET_MS) + i64::from(at_ms.rem_euclid(BUCKET_MS) > 0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{local_time::zone_or_utc, tenant::plan::Plan};
    use proptest::prelude::*;

    fn row(at_ms: i64, conversations: i64, rating: i64) -> Numbers {
        let mut numbers = Numbers::default();
        if conversations > 0 {
            numbers.at(at_ms).channel(Channel::Chat).conversations = conversations;
        }
        numbers.at(at_ms).all.rating_sum = rating;
        numbers.at(at_ms).all.ratings = i64::from(rating > 0);
        numbers
    }

    #[test]
    fn a_quarter_of_an_hour_falls_in_one_local_day_in_every_zone() {
        // 18:30 UTC is midnight in Kolkata, 18:15 UTC in Kathmandu.
        let six_pm = 1_719_792_000_000 - 6 * 3_600_000;
        let mut sum = Numbers::default();
        sum.fold(&row(six_pm + 20 * 60_000, 1, 0));
        sum.fold(&row(six_pm + 35 * 60_000, 1, 0));
        let days = |name: &str| sum.days(&zone_or_utc(name)).into_keys().collect::<Vec<_>>();
        assert_eq!(days("Asia/Kolkata"), ["2024-06-30", "2024-07-01"]);
        assert_eq!(days("Asia/Kathmandu"), ["2024-07-01"]);
        assert_eq!(days("America/New_York"), ["2024-06-30"]);
    }

    #[test]
    fn the_cards_show_windows_means_and_what_is_left() {
        let zone = zone_or_utc("UTC");
        let now = 1_719_792_000_000 + 15 * DAY_MS; // 2024-07-16T00:00Z
        let mut sum = Numbers::default();
        for (days_ago, rating) in [(0, 5), (3, 4), (20, 0), (40, 1)] {
            let mut one = row(now - days_ago * DAY_MS, 1, rating);
            one.at(now - days_ago * DAY_MS).channel(Channel::Chat).turns = 10;
            one.at(now - days_ago * DAY_MS).all.call_seconds = 90;
            sum.fold(&one);
        }
        let seen = overview(&sum, Window::Week, &zone, now, &Plan::trial().limits);
        assert_eq!((seen.conversations_24h, seen.conversations_7d, seen.conversations_30d), (1, 2, 3));
        assert_eq!((seen.total_conversations, seen.avg_satisfaction), (2, Some(4.5)));
        assert_eq!((seen.chat_messages_used, seen.chat_messages_remaining), (20, Some(980)));
        assert_eq!((seen.voice_minutes_used, seen.voice_minutes_remaining), (3.0, Some(0.0)));
        assert_eq!((seen.voice_minutes_overage, seen.voice_overage_micros), (3.0, 450_000));
        let unlimited = overview(&sum, Window::Day, &zone, now, &Plan::unlimited().limits);
        assert_eq!((unlimited.chat_messages_remaining, unlimited.voice_minutes_remaining), (None, None));
        assert_eq!(unlimited.voice_minutes_overage, 0.0);
        assert_eq!(serde_json::to_value(seen.window).unwrap(), "7d");
    }

    #[test]
    fn days_list_what_the_contract_names() {
        let zone = zone_or_utc("America/New_York");
        let mut sum = row(1_719_792_000_000, 2, 3);
        sum.at(1_719_792_000_000).channel(Channel::Chat).response_ms = 301;
        sum.at(1_719_792_000_000).channel(Channel::Chat).responses = 2;
        let rows = daily(&sum, &zone, "2024-06-30", "2024-06-30", Some("a"));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].chat_conversations, rows[0].chat_avg_response_ms), (2, Some(151)));
        assert!(daily(&sum, &zone, "2024-07-01", "2024-07-02", None).is_empty());
    }

    proptest! {
        /// Rows arrive in any order and replace each other; the sum always equals a recount of the newest rows.
        #[test]
        fn the_running_sum_equals_a_recount(
            steps in prop::collection::vec((0_usize..5, 0_i64..40, 0_i64..5, 0_i64..6), 1..60)
        ) {
            let mut newest: BTreeMap<usize, Numbers> = BTreeMap::new();
            let mut sum = Numbers::default();
            for (source, hour, conversations, rating) in steps {
                let new = row(hour * 1_700_000, conversations, rating);
                let old = newest.insert(source, new.clone()).unwrap_or_default();
                sum.replace(&old, &new);
            }
            let mut recount = Numbers::default();
            newest.values().for_each(|row| recount.fold(row));
            recount.buckets.retain(|_, counters| !counters.is_empty());
            prop_assert_eq!(&sum.total(), &recount.total());
            // Channels present with nothing but zeroes are dropped by folding, so the values are equal, not only their meaning.
            prop_assert_eq!(&sum, &recount);
            let text = serde_json::to_string(&sum).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Numbers>(&text).unwrap(), &sum);
            for name in ["UTC", "Asia/Kathmandu", "America/New_York"] {
                let mut by_day = Counters::default();
                sum.days(&zone_or_utc(name)).values().for_each(|day| by_day.add(day, 1));
                prop_assert_eq!(&by_day, &sum.total());
            }
        }
    }
}
