//! The days of an agent or of all (ANA-4): exact counts from the feed, with what was asked and what stayed unanswered.

use colloquy_cluster::Client;
use colloquy_domain::Principal;
use colloquy_domain::ids::AgentId;
use colloquy_domain::local_time::{day_start_ms, days_after, zone_or_utc};
use colloquy_domain::numbers::DailyRow;

use crate::knowledge::{ByDay, unanswered_by_day};
use crate::{ActorError, Tools, feed, questions};

/// Questions listed for one day: what a person reads; all of them are in `/api/analytics/unanswered` and `/top-questions`.
const QUESTIONS_MAX: usize = 20;

/// One row for each local day from `from` to `to`, both `YYYY-MM-DD` and included, on which anything was counted.
pub async fn rows(
    client: &Client,
    tools: &Tools,
    by: &Principal,
    agent: Option<String>,
    (from, to): (&str, &str),
) -> Result<Vec<DailyRow>, ActorError> {
    let tenant = &by.tenant;
    let zone = zone_or_utc(&tools.tenant_copy(client, tenant).await?.facts.timezone);
    let mut rows = feed::daily(client, tenant, from, to, agent.clone()).await.map_err(ActorError::Unavailable)?;
    let begin = |day: &str| day_start_ms(&zone, day).ok_or(ActorError::Failed);
    let span = feed::Span {
        from_ms: begin(from)?,
        to_ms: begin(&days_after(to, 1).ok_or(ActorError::Failed)?)?,
        agent: agent.clone(),
        channel: None,
    };
    let mut top = questions::by_day(client, tools, tenant, span, &zone, QUESTIONS_MAX).await?;
    let mut unanswered = unanswered(client, by, agent, &zone, (from, to)).await?;
    for row in &mut rows {
        row.top_questions = top.remove(&row.date).unwrap_or_default();
        row.unanswered_questions = unanswered.remove(&row.date).unwrap_or_default();
    }
    Ok(rows)
}

/// Each day's questions without an answer, of one agent or of all, the most frequent first.
pub async fn unanswered(
    client: &Client,
    by: &Principal,
    agent: Option<String>,
    zone: &jiff::tz::TimeZone,
    days: (&str, &str),
) -> Result<ByDay, ActorError> {
    let agents = match agent {
        Some(id) => vec![id],
        None => crate::agent::ids(client, &by.tenant).await?,
    };
    let mut all = ByDay::new();
    for id in agents {
        for (day, questions) in unanswered_by_day(client, by, &AgentId(id), zone, days).await? {
            all.entry(day).or_default().extend(questions);
        }
    }
    for questions in all.values_mut() {
        questions.sort_by_key(|question| std::cmp::Reverse(question.count));
        questions.truncate(QUESTIONS_MAX);
    }
    Ok(all)
}
