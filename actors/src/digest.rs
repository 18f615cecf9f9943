//! The daily summary: what it says of a day, who gets it, and the entity that sends it each morning.

use std::collections::BTreeSet;
use std::sync::Arc;

use colloquy_cluster::Client;
use colloquy_cluster::effect::EffectHandle;
use colloquy_cluster::entity::Entity;
use colloquy_connectors::Mail;
use colloquy_connectors::mail::templates::{self, DailySummary, SummaryQuestion};
use colloquy_domain::account::wishes::wants_daily_summary;
use colloquy_domain::digest::{Command, Effect, Reply};
use colloquy_domain::ids::{TenantId, UserId};
use colloquy_domain::local_time::{DayClock, day_clock, day_start_ms, days_after, zone_or_utc};
use colloquy_domain::numbers::QuestionCount;
use colloquy_domain::principal::Principal;
use colloquy_domain::tenant::view::OrgFacts;
use colloquy_domain::vocabulary::Channel;

use crate::core::{Asked, Core, ask, pure_core, pure_work};
use crate::{ActorError, Tools, account, days, feed, questions};

/// The questions that a summary names (NOT-6).
const TOP_QUESTIONS: usize = 3;

/// The kind `digest`.
pub struct DigestEntity {
    tools: Arc<Tools>,
}

impl DigestEntity {
    /// With what it writes and sends by.
    pub fn new(tools: Arc<Tools>) -> Self {
        Self { tools }
    }
}

impl Core for DigestEntity {
    type Plain = Command;
}

impl Entity for DigestEntity {
    pure_core!(digest, Digest, 1, 1, false);

    pure_work!(digest, Effect, |state| state.tenant.clone());

    async fn run(self: Arc<Self>, effect: Effect, handle: EffectHandle) {
        match effect {
            // Keyed: a letter's key is made of day and member, and who has it is journaled after each.
            Effect::Send { date, attempt, timezone, sent } => {
                send(&self.tools, &handle, &date, attempt, &timezone, &sent).await;
            }
        }
    }
}

/// Makes sure that an organization's summaries go out in its zone.
pub async fn plan(client: &Client, tenant: &TenantId, timezone: &str) -> Result<(), ActorError> {
    let command = Command::Plan { timezone: timezone.to_owned() };
    ask::<DigestEntity>(client, &Principal::system(tenant.clone()), tenant.as_str(), command).await?;
    Ok(())
}

/// Tells yesterday now, unless it was told. The day, if it is told now.
pub async fn send_now(client: &Client, tools: &Tools, tenant: &TenantId) -> Result<Option<String>, ActorError> {
    plan(client, tenant, &tools.tenant_copy(client, tenant).await?.facts.timezone).await?;
    let by = Principal::system(tenant.clone());
    match ask::<DigestEntity>(client, &by, tenant.as_str(), Command::SendNow).await? {
        Reply::Begun { date } => Ok(date),
        Reply::Done => Ok(None),
    }
}

/// What a day's summary says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Chats that began.
    pub chat_conversations: i64,
    /// Chats that ended answered.
    pub chat_resolved: i64,
    /// The share of chats that ended answered of those that ended, percent.
    pub chat_resolved_percent: Option<i64>,
    /// Calls answered.
    pub calls_answered: i64,
    /// Minutes of calls.
    pub call_minutes: f64,
    /// Calls handed to a person.
    pub calls_transferred: i64,
    /// Leads captured.
    pub leads: i64,
    /// Appointments booked.
    pub appointments: i64,
    /// The most frequent questions, and whether they were answered.
    pub top_questions: Vec<QuestionCount>,
    /// Questions without an answer.
    pub unanswered_questions: Vec<QuestionCount>,
}

/// Counts a local day, `YYYY-MM-DD`, of a zone.
pub async fn of(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    timezone: &str,
    date: &str,
) -> Result<Summary, ActorError> {
    let zone = zone_or_utc(timezone);
    let begin = |day: &str| day_start_ms(&zone, day).ok_or(ActorError::Failed);
    let (from_ms, to_ms) = (begin(date)?, begin(&days_after(date, 1).ok_or(ActorError::Failed)?)?);
    let chart = feed::Chart { from_ms, to_ms, timezone: timezone.to_owned(), agent: None };
    let counted = feed::sum(client, tenant, chart).await.map_err(ActorError::Unavailable)?;
    let span = feed::Span { from_ms, to_ms, agent: None, channel: None };
    let top = questions::top(client, tools, tenant, span, TOP_QUESTIONS).await?;
    let mut unanswered =
        days::unanswered(client, &Principal::system(tenant.clone()), None, &zone, (date, date)).await?;
    let (chat, all) = (counted.of(Some(Channel::Chat)), &counted.all);
    let ended = chat.resolved + chat.abandoned;
    Ok(Summary {
        chat_conversations: chat.conversations,
        chat_resolved: chat.resolved,
        chat_resolved_percent: colloquy_domain::numbers::whole_mean(chat.resolved * 100, ended),
        calls_answered: all.calls_answered,
        call_minutes: colloquy_domain::numbers::minutes(all.call_seconds),
        calls_transferred: all.calls_transferred,
        leads: all.leads,
        appointments: all.appointments,
        top_questions: top
            .groups
            .into_iter()
            .map(|group| QuestionCount {
                question: group.question,
                count: i64::try_from(group.count).unwrap_or(i64::MAX),
                answered: Some(group.answered),
            })
            .collect(),
        unanswered_questions: unanswered.remove(date).unwrap_or_default(),
    })
}

/// The letter about a day to one reader. It is the same for all but for its address and key.
pub fn letter(tools: &Tools, of: &OrgFacts, date: &str, summary: &Summary, to: &str, key: &str) -> Mail {
    // Where clocks have twelve hours the month is said before the day.
    let written = match day_clock(&of.timezone) {
        DayClock::Twelve => "%A, %B %-d, %Y",
        DayClock::TwentyFour => "%A, %-d %B %Y",
    };
    let day =
        date.parse::<jiff::civil::Date>().map_or_else(|_| date.to_owned(), |day| day.strftime(written).to_string());
    let question = |given: &QuestionCount| SummaryQuestion {
        text: given.question.clone(),
        count: given.count,
        answered: given.answered,
    };
    let given = DailySummary {
        organization: of.name.clone(),
        day,
        chats: summary.chat_conversations,
        resolved: summary.chat_resolved,
        resolved_percent: summary.chat_resolved_percent,
        calls: summary.calls_answered,
        minutes: summary.call_minutes,
        transferred: summary.calls_transferred,
        leads: summary.leads,
        appointments: summary.appointments,
        top: summary.top_questions.iter().map(question).collect(),
        unanswered: summary.unanswered_questions.iter().map(question).collect(),
        url: format!("{}/app", tools.links.console),
    };
    templates::daily_summary(to, key, &given)
}

/// The members who want it, with their addresses.
pub async fn readers(client: &Client, tools: &Tools, tenant: &TenantId) -> Result<Vec<(UserId, String)>, ActorError> {
    let copy = tools.tenant_copy(client, tenant).await?;
    let mut readers = Vec::new();
    for (user, member) in &copy.members {
        // An account that is gone or stopped reads nothing.
        let Some(preferences) = account::preferences(client, user).await? else { continue };
        if wants_daily_summary(&preferences, member.role) {
            readers.push((user.clone(), member.email.clone()));
        }
    }
    Ok(readers)
}

/// One run: writes to everybody who wants it and does not have it, and says how it went.
async fn send(tools: &Tools, handle: &EffectHandle, date: &str, attempt: u32, timezone: &str, sent: &BTreeSet<UserId>) {
    let tenant = TenantId::from(&*handle.key().tenant);
    let whole = match deliver(tools, handle, &tenant, date, attempt, timezone, sent).await {
        Ok(whole) => whole,
        Err(ActorError::Rejected(_)) => return,
        Err(error) => {
            tracing::warn!(%tenant, date, %error, "a daily summary could not be made");
            false
        }
    };
    let command = Command::Finished { date: date.to_owned(), attempt, whole };
    if let Err(error) = bring(handle, &tenant, command).await {
        tracing::warn!(%tenant, date, %error, "the end of a daily summary could not be brought back");
    }
}

/// Whether everybody has it now.
async fn deliver(
    tools: &Tools,
    handle: &EffectHandle,
    tenant: &TenantId,
    date: &str,
    attempt: u32,
    timezone: &str,
    sent: &BTreeSet<UserId>,
) -> Result<bool, ActorError> {
    let client = handle.client();
    let facts = tools.tenant_copy(client, tenant).await?.facts.clone();
    if facts.suspended {
        // Nothing is told of an organization that is stopped.
        return Ok(true);
    }
    let readers = readers(client, tools, tenant).await?;
    let summary = of(client, tools, tenant, timezone, date).await?;
    let mut whole = true;
    for (user, address) in readers.into_iter().filter(|(user, _)| !sent.contains(user)) {
        let mail = letter(tools, &facts, date, &summary, &address, &format!("summary:{tenant}:{date}:{user}"));
        match tools.mailer.send(&mail).await {
            Err(error) if error.retryable() => {
                tracing::warn!(%tenant, date, %error, "a daily summary could not be sent");
                whole = false;
                continue;
            }
            // An address that takes no mail will take none later either: the member is not asked about again today.
            Err(error) => tracing::warn!(%tenant, date, %user, %error, "a daily summary was refused"),
            Ok(_) => {}
        }
        bring(handle, tenant, Command::Delivered { date: date.to_owned(), attempt, user }).await?;
    }
    Ok(whole)
}

async fn bring(handle: &EffectHandle, tenant: &TenantId, command: Command) -> Result<(), ActorError> {
    let by = Principal::system(tenant.clone());
    handle.command::<DigestEntity>(Asked { by, command }).await?;
    Ok(())
}
