//! `/api/analytics/{timeseries,funnel,heatmap,top-questions}`: what charts show, as JSON or as a table.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use colloquy_actors::domain::local_time::rfc3339;
use colloquy_actors::domain::numbers::charts::{Point, Width};
use colloquy_actors::domain::numbers::{mean, whole_mean};
use colloquy_actors::domain::vocabulary::Channel;
use colloquy_actors::{feed, questions};
use colloquy_wire::analytics as wire;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::analytics::unavailable;
use crate::app::App;
use crate::auth::Console;
use crate::body::{Json, Query};
use crate::problem::{Problem, Result};
use crate::spans::{Span, channel_name};
use crate::tables;

/// Questions listed unless the caller says.
const QUESTIONS: usize = 10;
/// The most questions listed.
const QUESTIONS_MAX: usize = 100;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(timeseries))
        .routes(routes!(funnel))
        .routes(routes!(heatmap))
        .routes(routes!(top_questions))
}

/// Counts over time, by hour or by day of the organization's time zone.
#[utoipa::path(get, path = "/api/analytics/timeseries", tag = "analytics", params(wire::AnalyticsQuery), responses((status = 200, body = wire::TimeSeries)))]
async fn timeseries(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Query(query): Query<wire::AnalyticsQuery>,
) -> Result<Response> {
    let csv = tables::wanted(&headers, query.format.as_deref())?;
    let span = Span::of(&app, &console, &query).await?;
    let width = span.width(query.bucket.as_deref())?;
    let points = feed::points(&app.actors.client, console.tenant(), span.chart(), width).await.map_err(unavailable)?;
    let series: Vec<wire::TimePoint> = points.iter().map(|point| shown(point, span.channel)).collect();
    if csv {
        let channels: Vec<String> = Channel::ALL.iter().map(|channel| channel_name(*channel)).collect();
        let columns: Vec<&str> = POINT_COLUMNS.iter().copied().chain(channels.iter().map(String::as_str)).collect();
        let rows = series.iter().map(|point| {
            let value = json!(point);
            let by_channel = channels.iter().map(|name| json!(point.by_channel.get(name).copied().unwrap_or(0)));
            POINT_COLUMNS.iter().map(|column| value[*column].clone()).chain(by_channel).collect()
        });
        return tables::csv("timeseries", &columns, rows);
    }
    let bucket = match width {
        Width::Hour => wire::Bucket::Hour,
        Width::Day => wire::Bucket::Day,
    };
    let (from, to) = (rfc3339(span.from_ms), rfc3339(span.to_ms));
    Ok(Json(wire::TimeSeries { from, to, bucket, timezone: span.timezone, series }).into_response())
}

/// The columns of a time series as a table, before one for each channel.
const POINT_COLUMNS: [&str; 11] = [
    "at",
    "until",
    "conversations",
    "messages",
    "resolved",
    "escalated",
    "abandoned",
    "resolution_rate",
    "leads",
    "avg_response_ms",
    "avg_satisfaction",
];

fn shown(point: &Point, channel: Option<Channel>) -> wire::TimePoint {
    let (counts, all) = (point.counters.of(channel), &point.counters.all);
    let ended = counts.resolved + counts.abandoned;
    let began = point.counters.channels.iter().filter(|(name, _)| channel.is_none_or(|wanted| wanted == **name));
    wire::TimePoint {
        at: rfc3339(point.at_ms),
        until: rfc3339(point.until_ms),
        by_channel: began
            .filter(|(_, counts)| counts.conversations != 0)
            .map(|(name, counts)| (channel_name(*name), counts.conversations))
            .collect(),
        conversations: counts.conversations,
        messages: counts.messages,
        resolved: counts.resolved,
        escalated: counts.escalated,
        abandoned: counts.abandoned,
        resolution_rate: mean(counts.resolved, ended),
        leads: channel.is_none().then_some(all.leads),
        avg_response_ms: whole_mean(counts.response_ms, counts.responses),
        avg_satisfaction: mean(all.rating_sum, all.ratings).filter(|_| channel.is_none()),
    }
}

/// How many went on from each stage to the next.
#[utoipa::path(get, path = "/api/analytics/funnel", tag = "analytics", params(wire::AnalyticsQuery), responses((status = 200, body = wire::Funnel)))]
async fn funnel(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Query(query): Query<wire::AnalyticsQuery>,
) -> Result<Response> {
    let csv = tables::wanted(&headers, query.format.as_deref())?;
    let span = Span::of(&app, &console, &query).await?;
    if span.channel.is_some() {
        return Err(Problem::field("channel", "does not go with the funnel: visits and leads count for all channels"));
    }
    let counted = feed::sum(&app.actors.client, console.tenant(), span.chart()).await.map_err(unavailable)?;
    let conversations = counted.every_channel().conversations;
    let stages = [
        // Whoever wrote or called was there, also where no page told of it: over a carrier, or by a program.
        (wire::Stage::Visitors, counted.all.visits.max(conversations)),
        (wire::Stage::Conversations, conversations),
        (wire::Stage::Leads, counted.all.leads),
        (wire::Stage::Appointments, counted.all.appointments),
    ];
    let stages: Vec<wire::StageCount> =
        stages.into_iter().map(|(stage, count)| wire::StageCount { stage, count }).collect();
    if csv {
        let rows = stages.iter().map(|stage| vec![json!(stage.stage), json!(stage.count)]);
        return tables::csv("funnel", &["stage", "count"], rows);
    }
    Ok(Json(wire::Funnel { stages }).into_response())
}

/// When conversations begin: the hours of a week in the organization's time zone.
#[utoipa::path(get, path = "/api/analytics/heatmap", tag = "analytics", params(wire::AnalyticsQuery), responses((status = 200, body = wire::Heatmap)))]
async fn heatmap(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Query(query): Query<wire::AnalyticsQuery>,
) -> Result<Response> {
    let csv = tables::wanted(&headers, query.format.as_deref())?;
    let span = Span::of(&app, &console, &query).await?;
    let week =
        feed::week(&app.actors.client, console.tenant(), span.chart(), span.channel).await.map_err(unavailable)?;
    let mut cells = Vec::new();
    for (weekday, hours) in (0_u8..).zip(week) {
        cells.extend((0_u8..).zip(hours).map(|(hour, conversations)| wire::HeatCell { weekday, hour, conversations }));
    }
    if csv {
        let rows = cells.iter().map(|cell| vec![json!(cell.weekday), json!(cell.hour), json!(cell.conversations)]);
        return tables::csv("heatmap", &["weekday", "hour", "conversations"], rows);
    }
    Ok(Json(wire::Heatmap { timezone: span.timezone, cells }).into_response())
}

/// What visitors ask most, questions that mean the same brought together.
#[utoipa::path(get, path = "/api/analytics/top-questions", tag = "analytics", params(wire::AnalyticsQuery), responses((status = 200, body = wire::TopQuestions)))]
async fn top_questions(
    State(app): State<App>,
    console: Console,
    headers: HeaderMap,
    Query(query): Query<wire::AnalyticsQuery>,
) -> Result<Response> {
    let csv = tables::wanted(&headers, query.format.as_deref())?;
    let limit = query.limit.unwrap_or(QUESTIONS);
    if !(1..=QUESTIONS_MAX).contains(&limit) {
        return Err(Problem::field("limit", format!("must be 1 to {QUESTIONS_MAX}")));
    }
    let span = Span::of(&app, &console, &query).await?;
    let actors = &app.actors;
    let top = questions::top(&actors.client, &actors.tools, console.tenant(), span.asked(), limit).await?;
    let items: Vec<wire::TopQuestion> = top
        .groups
        .into_iter()
        .map(|group| wire::TopQuestion {
            question: group.question,
            count: group.count,
            answered: group.answered,
            conversations: group.conversations,
            similar: group.similar,
        })
        .collect();
    if csv {
        let joined = |texts: &[String], by: &str| Value::String(texts.join(by));
        let rows = items.iter().map(|item| {
            let (similar, places) = (joined(&item.similar, " | "), joined(&item.conversations, " "));
            vec![json!(item.question), json!(item.count), json!(item.answered), similar, places]
        });
        return tables::csv("top-questions", &["question", "count", "answered", "similar", "conversations"], rows);
    }
    let grouped_by = if top.by_meaning { "meaning" } else { "words" }.to_owned();
    Ok(Json(wire::TopQuestions { items, grouped_by, questions: top.questions, more: top.more }).into_response())
}

#[cfg(test)]
mod tests {
    use colloquy_actors::domain::numbers::Counters;

    use super::*;

    #[test]
    fn a_point_of_one_channel_tells_only_what_belongs_to_it() {
        let mut counters = Counters::default();
        counters.channel(Channel::Chat).conversations = 3;
        counters.channel(Channel::Chat).resolved = 2;
        counters.channel(Channel::Chat).abandoned = 1;
        counters.channel(Channel::Voice).conversations = 4;
        (counters.all.leads, counters.all.rating_sum, counters.all.ratings) = (5, 9, 2);
        let point = Point { at_ms: 0, until_ms: 3_600_000, counters };
        let all = shown(&point, None);
        assert_eq!((all.conversations, all.leads, all.avg_satisfaction), (7, Some(5), Some(4.5)));
        assert_eq!(json!(all.by_channel), json!({ "chat": 3, "voice": 4 }));
        let chat = shown(&point, Some(Channel::Chat));
        assert_eq!((chat.conversations, chat.resolution_rate, chat.leads), (3, Some(0.67), None));
        assert_eq!(json!(chat.by_channel), json!({ "chat": 3 }));
        let voice = shown(&point, Some(Channel::Voice));
        assert_eq!((voice.resolution_rate, voice.avg_satisfaction), (None, None), "nothing ended, nothing rated");
    }
}
