//! What `/api/analytics` answers: charts over time, questions, the funnel, the heatmap, days, the daily summary.
//!
//! Sums are exact integers; means and rates are null where nothing was counted.

use std::collections::BTreeMap;

use colloquy_domain::numbers;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::{IntoParams, ToSchema};

/// Which span of time, and whose numbers. Either `window`, or `from` and `to`; `window=24h` without any of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
#[ts(export, export_to = "api.ts")]
pub struct AnalyticsQuery {
    /// `24h`, `7d` or `30d` up to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub window: Option<String>,
    /// The first day in the organization's time zone, such as `2026-01-31`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub from: Option<String>,
    /// The last day, included; at most 92 days in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub to: Option<String>,
    /// Only this agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub agent_id: Option<String>,
    /// Only this channel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub channel: Option<String>,
    /// How wide a point of a time series is: `hour` or `day`; hours up to two days, days above, unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub bucket: Option<String>,
    /// The most entries of a list of questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<usize>,
    /// `csv` for a table instead of JSON, as `Accept: text/csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub format: Option<String>,
}

/// How wide a point of a time series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum Bucket {
    /// An hour of local time.
    Hour,
    /// A local day.
    Day,
}

/// `GET /api/analytics/timeseries`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct TimeSeries {
    /// The first instant counted, RFC 3339.
    pub from: String,
    /// The first instant not counted any more.
    pub to: String,
    /// How wide a point is.
    pub bucket: Bucket,
    /// The organization's time zone, which hours and days are of.
    pub timezone: String,
    /// One point after the other, those without any count too. The first and the last of a `window` may be shorter than the rest.
    pub series: Vec<TimePoint>,
}

/// One point of a time series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct TimePoint {
    /// Where it begins, RFC 3339.
    pub at: String,
    /// Where it ends.
    pub until: String,
    /// Conversations that began, by channel; channels without any are absent.
    #[ts(type = "Record<string, number>")]
    pub by_channel: BTreeMap<String, i64>,
    /// Conversations that began.
    #[ts(type = "number")]
    pub conversations: i64,
    /// Messages of anyone.
    #[ts(type = "number")]
    pub messages: i64,
    /// Conversations that ended answered.
    #[ts(type = "number")]
    pub resolved: i64,
    /// Conversations that needed a person.
    #[ts(type = "number")]
    pub escalated: i64,
    /// Conversations that ended unanswered.
    #[ts(type = "number")]
    pub abandoned: i64,
    /// The share of ended conversations that ended answered, 0 to 1.
    pub resolution_rate: Option<f64>,
    /// Leads captured; null when one channel is asked for, because they count for all together.
    #[ts(type = "number | null")]
    pub leads: Option<i64>,
    /// Mean milliseconds to an answer.
    #[ts(type = "number | null")]
    pub avg_response_ms: Option<i64>,
    /// Mean rating, 1 to 5; null when one channel is asked for.
    pub avg_satisfaction: Option<f64>,
}

/// `GET /api/analytics/top-questions`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct TopQuestions {
    /// The most frequent first.
    pub items: Vec<TopQuestion>,
    /// Whether questions were brought together by `meaning` or by `words`.
    pub grouped_by: String,
    /// How many questions were looked at.
    #[ts(type = "number")]
    pub questions: u64,
    /// Whether there were more in this span than are looked at: then these are the newest.
    pub more: bool,
}

/// Questions that mean the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct TopQuestion {
    /// The wording that stands for all.
    pub question: String,
    /// How often it was asked.
    #[ts(type = "number")]
    pub count: u64,
    /// Whether the newest of them was answered with more than the fallback message.
    pub answered: bool,
    /// Conversations it stands in, the newest first, at most five.
    pub conversations: Vec<String>,
    /// Other wordings, at most five.
    pub similar: Vec<String>,
}

/// A stage of the way from a visitor to an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum Stage {
    /// Page views with the widget.
    Visitors,
    /// Conversations that began.
    Conversations,
    /// Leads captured.
    Leads,
    /// Appointments booked.
    Appointments,
}

/// One stage with its count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct StageCount {
    /// Which.
    pub stage: Stage,
    /// How many.
    #[ts(type = "number")]
    pub count: i64,
}

/// `GET /api/analytics/funnel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Funnel {
    /// From the widest to the narrowest.
    pub stages: Vec<StageCount>,
}

/// `GET /api/analytics/heatmap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Heatmap {
    /// The organization's time zone, which hours and weekdays are of.
    pub timezone: String,
    /// All 168 hours of a week, Monday's first.
    pub cells: Vec<HeatCell>,
}

/// One hour of the week.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct HeatCell {
    /// 0 is Monday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// Conversations that began.
    #[ts(type = "number")]
    pub conversations: i64,
}

/// One question with how often it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct QuestionCount {
    /// The question.
    pub question: String,
    /// How often.
    #[ts(type = "number")]
    pub count: i64,
    /// Whether it was answered; only given among top questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub answered: Option<bool>,
}

impl From<numbers::QuestionCount> for QuestionCount {
    fn from(given: numbers::QuestionCount) -> Self {
        Self { question: given.question, count: given.count, answered: given.answered }
    }
}

/// `GET /api/analytics/daily`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Daily {
    /// One row per day on which anything was counted, the first day first.
    pub items: Vec<DailyRow>,
    /// Always null: the list is whole.
    pub next_cursor: Option<String>,
}

/// One day of one agent or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct DailyRow {
    /// The local day, `YYYY-MM-DD`.
    pub date: String,
    /// The agent; null for all of them.
    pub agent_id: Option<String>,
    /// Chats that began.
    #[ts(type = "number")]
    pub chat_conversations: i64,
    /// Messages in chats.
    #[ts(type = "number")]
    pub chat_messages: i64,
    /// Chats that ended answered.
    #[ts(type = "number")]
    pub chat_resolved: i64,
    /// Chats that needed a person.
    #[ts(type = "number")]
    pub chat_escalated: i64,
    /// Mean milliseconds to an answer in chats.
    #[ts(type = "number | null")]
    pub chat_avg_response_ms: Option<i64>,
    /// Calls.
    #[ts(type = "number")]
    pub voice_calls: i64,
    /// Minutes of calls.
    pub voice_minutes: f64,
    /// Calls answered.
    #[ts(type = "number")]
    pub voice_answered: i64,
    /// Calls missed.
    #[ts(type = "number")]
    pub voice_missed: i64,
    /// Calls handed to a person.
    #[ts(type = "number")]
    pub voice_transferred: i64,
    /// Mean seconds of a call.
    #[ts(type = "number | null")]
    pub voice_avg_duration: Option<i64>,
    /// Leads captured.
    #[ts(type = "number")]
    pub leads_captured: i64,
    /// Appointments booked.
    #[ts(type = "number")]
    pub appointments_booked: i64,
    /// Mean rating, 1 to 5.
    pub avg_satisfaction: Option<f64>,
    /// Answers marked as good.
    #[ts(type = "number")]
    pub thumbs_up_count: i64,
    /// Answers marked as bad.
    #[ts(type = "number")]
    pub thumbs_down_count: i64,
    /// The day's most frequent questions.
    pub top_questions: Vec<QuestionCount>,
    /// The day's questions without an answer.
    pub unanswered_questions: Vec<QuestionCount>,
}

impl From<numbers::DailyRow> for DailyRow {
    fn from(row: numbers::DailyRow) -> Self {
        let questions = |given: Vec<numbers::QuestionCount>| given.into_iter().map(QuestionCount::from).collect();
        Self {
            date: row.date,
            agent_id: row.agent_id,
            chat_conversations: row.chat_conversations,
            chat_messages: row.chat_messages,
            chat_resolved: row.chat_resolved,
            chat_escalated: row.chat_escalated,
            chat_avg_response_ms: row.chat_avg_response_ms,
            voice_calls: row.voice_calls,
            voice_minutes: row.voice_minutes,
            voice_answered: row.voice_answered,
            voice_missed: row.voice_missed,
            voice_transferred: row.voice_transferred,
            voice_avg_duration: row.voice_avg_duration,
            leads_captured: row.leads_captured,
            appointments_booked: row.appointments_booked,
            avg_satisfaction: row.avg_satisfaction,
            thumbs_up_count: row.thumbs_up_count,
            thumbs_down_count: row.thumbs_down_count,
            top_questions: questions(row.top_questions),
            unanswered_questions: questions(row.unanswered_questions),
        }
    }
}

/// `GET /api/analytics/summary?date=`: what the daily summary mail says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct Summary {
    /// The local day it is about; yesterday unless asked otherwise.
    pub date: String,
    /// The organization's time zone.
    pub timezone: String,
    /// The mail's subject.
    pub subject: String,
    /// The mail as HTML: a whole page without scripts or pictures.
    pub html: String,
    /// The mail as plain text.
    pub text: String,
    /// What it says in figures.
    pub numbers: SummaryNumbers,
    /// Who gets it: members who want it.
    pub recipients: Vec<String>,
}

/// The figures of a daily summary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, TS, ToSchema)]
#[ts(export, export_to = "api.ts")]
pub struct SummaryNumbers {
    /// Chats that began.
    #[ts(type = "number")]
    pub chat_conversations: i64,
    /// Chats that ended answered.
    #[ts(type = "number")]
    pub chat_resolved: i64,
    /// The share of chats that ended answered of those that ended, percent.
    #[ts(type = "number | null")]
    pub chat_resolved_percent: Option<i64>,
    /// Calls answered.
    #[ts(type = "number")]
    pub calls_answered: i64,
    /// Minutes of calls.
    pub call_minutes: f64,
    /// Calls handed to a person.
    #[ts(type = "number")]
    pub calls_transferred: i64,
    /// Leads captured.
    #[ts(type = "number")]
    pub leads: i64,
    /// Appointments booked.
    #[ts(type = "number")]
    pub appointments: i64,
    /// The three most frequent questions, and whether they were answered.
    pub top_questions: Vec<QuestionCount>,
    /// Questions without an answer.
    pub unanswered_questions: Vec<QuestionCount>,
}
