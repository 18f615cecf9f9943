//! A single call that somebody orders: a slice of one target without a campaign, so that the same guard, pace, hours and look-ups hold for it.

use std::time::Duration;

use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::agent::config::AutoCall;
use colloquy_domain::campaign::callees::{self as people, Listed};
use colloquy_domain::campaign::number;
use colloquy_domain::campaign::settings::{Again, Consent, Retry, Settings};
use colloquy_domain::campaign::slice::{self as calls, Command, Orders, Reply, Run, Slice};
use colloquy_domain::campaign::target::{Disposition, SkipReason, Stage, Standing};
use colloquy_domain::contact_guard::Address;
use colloquy_domain::ids::{AgentId, CampaignId, TenantId};
use colloquy_domain::principal::Role;
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection, lead};

use super::{SliceEntity, account_of, callees, ready};
use crate::core::ask;
use crate::{ActorError, Tools};

/// How long a single call may wait for its turn, ms: whoever ordered it is waiting too.
const WAITS_MS: i64 = 60_000;
/// How long the answer waits to hear whether it was dialled.
const TELL_WITHIN: Duration = Duration::from_secs(5);

/// What is ordered.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id, without the prefix: the same id again is the same call.
    pub id: String,
    /// The agent that speaks, from its own number.
    pub agent: AgentId,
    /// Whom, as it was typed.
    pub to: String,
    /// Which consent must stand in the ledger.
    pub consent: Consent,
    /// What it is for.
    pub objective: String,
    /// What is said first.
    pub opening: Option<String>,
    /// What is said.
    pub script: Option<String>,
    /// What is asked.
    pub questions: Vec<String>,
}

/// What became of it within seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The call's id.
    pub id: String,
    /// `queued`, `dialing` or `ringing`.
    pub status: &'static str,
    /// The number that calls.
    pub from: String,
    /// Whom, E.164.
    pub to: String,
    /// It reaches nobody.
    pub simulated: bool,
}

/// Has somebody called, if nothing forbids it.
///
/// # Errors
/// Says which rule forbids it, or which key is missing.
pub async fn order(client: &Client, tools: &Tools, by: &Principal, order: Order) -> Result<Ordered, ActorError> {
    if !by.at_least(Role::Rep) {
        return Err(Rejection::forbidden("this needs the role rep or above").into());
    }
    let lines = tools.lines(client, &by.tenant).await?;
    let from = lines.of_agent(&order.agent, Channel::Voice).map(|(_, number)| number.is.clone());
    let from = from.ok_or_else(|| {
        Rejection::conflict("no_number", "this agent has no number that can call; register one for it first")
    })?;
    let account = account_of(&lines, std::slice::from_ref(&from.number))?;
    let number = number::normal(&order.to, None).map_err(|problem| Rejection::invalid("to", problem.to_string()))?;
    let never = Again { attempts: 0, delays_minutes: Vec::new() };
    let settings = Settings {
        name: "Single call".to_owned(),
        agent_id: order.agent,
        from_numbers: vec![from.number.clone()],
        max_concurrent: 1,
        consent: order.consent,
        objective: order.objective,
        opening: order.opening,
        script: order.script,
        questions: order.questions,
        retry: Retry { no_answer: never.clone(), busy: never.clone(), failed: never },
        ..Settings::default()
    };
    settings.check()?;
    ready(client, tools, &by.tenant, &settings, &account).await?;
    let now_ms = client.now_ms();
    if !settings.window.hours(&number.zones).is_open(now_ms) {
        return Err(Rejection::conflict(
            "outside_hours",
            "it is outside of the hours in which people there may be called",
        )
        .into());
    }
    let campaign = CampaignId::of_single_call(&order.id);
    let id = calls::id(&campaign, 0);
    let listed = Listed {
        phone: number.e164.clone(),
        zones: number.zones,
        not_after_ms: Some(now_ms + WAITS_MS),
        ..Listed::default()
    };
    let system = Principal::system(by.tenant.clone());
    let mut changes = client.watch(&EntityKey::new(by.tenant.as_str(), calls::KIND, id.as_str())).followed().await;
    let simulated = account.starts_with(colloquy_domain::lines::Provider::Simulated.word());
    place(client, tools, &by.tenant, &campaign, listed, account, settings).await?;
    let deadline = tokio::time::Instant::now() + TELL_WITHIN;
    loop {
        let status = match ask::<SliceEntity>(client, &system, &id, Command::Get).await? {
            Reply::State(state) => standing(&state)?,
            Reply::Done | Reply::Dial(_) | Reply::DoNotDial | Reply::Book { .. } | Reply::Brief(_) => {
                return Err(ActorError::Failed);
            }
        };
        let late = match status {
            Some(_) => true,
            None => tokio::time::timeout_at(deadline, changes.next()).await.is_err(),
        };
        if late {
            let status = status.unwrap_or("queued");
            return Ok(Ordered { id: campaign.0, status, from: from.number, to: number.e164, simulated });
        }
    }
}

/// Has a new lead called by its agent until the time the agent's settings say, if nothing forbids it. A second time it is the same call.
pub(crate) async fn lead(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    agent: &AgentId,
    lead: &lead::State,
    phone: &str,
    auto: &AutoCall,
) -> Result<(), ActorError> {
    let not_after_ms = lead.created_at_ms.saturating_add(i64::from(auto.within_minutes) * 60_000);
    if client.now_ms() >= not_after_ms {
        return Ok(());
    }
    let lines = tools.lines(client, tenant).await?;
    let skipped = |why: &str| {
        tracing::info!(lead = %lead.id, why, "a new lead is not called");
        Ok(())
    };
    let Some((_, from)) = lines.of_agent(agent, Channel::Voice) else { return skipped("the agent has no number") };
    let Ok(number) = number::normal(phone, None) else { return skipped("no international number") };
    // Anybody may leave any number in a chat: what is called by itself stays where the organization itself has numbers, and never calls those.
    let own: Vec<&str> = lines.numbers.values().map(|known| known.is.number.as_str()).collect();
    if let Err(why) = may_be_called_back(&own, &auto.countries, &number) {
        return skipped(why);
    }
    let account = match account_of(&lines, std::slice::from_ref(&from.is.number)) {
        Ok(account) => account,
        Err(rejection) => return skipped(&rejection.to_string()),
    };
    let never = Again { attempts: 0, delays_minutes: Vec::new() };
    let settings = Settings {
        name: "New lead".to_owned(),
        agent_id: agent.clone(),
        from_numbers: vec![from.is.number.clone()],
        max_concurrent: 1,
        consent: auto.consent,
        questions: auto.questions.clone(),
        retry: Retry { no_answer: never.clone(), busy: never.clone(), failed: never },
        ..Settings::default()
    };
    let listed = Listed {
        phone: number.e164,
        zones: number.zones,
        name: lead.capture.as_ref().and_then(|capture| capture.name.clone()),
        lead_id: Some(lead.id.clone()),
        not_after_ms: Some(not_after_ms),
        ..Listed::default()
    };
    let campaign = CampaignId::of_single_call(&format!("lead-{}", lead.id));
    place(client, tools, tenant, &campaign, listed, account, settings).await
}

/// Whether a number that somebody left may be called without a person's order.
fn may_be_called_back(own: &[&str], more: &[String], number: &number::Number) -> Result<(), &'static str> {
    if own.contains(&number.e164.as_str()) {
        return Err("it is a number of the organization");
    }
    let mut countries = own.iter().filter_map(|own| number::country(own));
    if !more.contains(&number.country) && countries.all(|country| country != number.country) {
        return Err("the organization has no number in that country");
    }
    Ok(())
}

/// Puts one person on a list of their own and has them called.
async fn place(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    campaign: &CampaignId,
    listed: Listed,
    account: String,
    settings: Settings,
) -> Result<(), ActorError> {
    let (id, system) = (calls::id(campaign, 0), Principal::system(tenant.clone()));
    let guard = Address::Phone(listed.phone.clone()).id(&tools.contact_key);
    let (target, callee) = listed.split(guard, 1);
    callees::asked(client, tenant, &id, 0, people::Command::Add { import: 1, people: vec![callee] }).await?;
    let add = Command::Add { campaign: campaign.clone(), index: 0, import: 1, targets: vec![target] };
    ask::<SliceEntity>(client, &system, &id, add).await?;
    let orders = Orders {
        version: 1,
        run: Run::Running,
        account,
        settings_version: 1,
        settings: Box::new(settings),
        spend_micros: None,
    };
    let orders = Box::new(orders);
    ask::<SliceEntity>(client, &system, &id, Command::Order { campaign: campaign.clone(), index: 0, orders }).await?;
    Ok(())
}

/// Where the call stands; none while that is open.
fn standing(slice: &Slice) -> Result<Option<&'static str>, Rejection> {
    let Some(one) = slice.targets.first() else { return Ok(None) };
    match &one.standing {
        Standing::Waiting { .. } => Ok(None),
        Standing::Trying(open) => Ok(match open.stage {
            Stage::Asked | Stage::Permitted => None,
            Stage::Dialing => Some("dialing"),
            Stage::Placed => Some("ringing"),
            Stage::Answered | Stage::Over => Some("in_progress"),
        }),
        Standing::Done { disposition: Disposition::Skipped { reason }, .. } => Err(refusal(*reason)),
        Standing::Done { .. } => Ok(Some("ended")),
    }
}

/// Why nobody is called, in words.
fn refusal(reason: SkipReason) -> Rejection {
    let (code, words) = match reason {
        SkipReason::DoNotContact => ("do_not_contact", "this number is on the do-not-contact list"),
        SkipReason::ConsentWithdrawn => ("consent_withdrawn", "this person has withdrawn the consent to calls"),
        SkipReason::NoConsent => {
            ("no_consent", "no consent to calls by an artificial voice is recorded for this number")
        }
        SkipReason::TooOften => ("called_too_often", "this number was called as often as it may be today"),
        SkipReason::NoHours => ("outside_hours", "no hour is open in all time zones that this number may be in"),
        SkipReason::Deadline => ("line_busy", "no line was free within a minute"),
        SkipReason::Stopped | SkipReason::Deleted | SkipReason::Erased => ("not_called", "the call was taken back"),
    };
    Rejection::conflict(code, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_somebody_left_is_called_only_in_the_organizations_own_countries() {
        let own = ["+14155550100", "+442070313000"];
        let left =
            |text: &str| may_be_called_back(&own, &["CH".to_owned()], &number::normal(text, None).expect("a number"));
        assert_eq!(left("+12125552368"), Ok(()));
        assert_eq!(left("+442079460000"), Ok(()));
        assert_eq!(left("+41446681800"), Ok(()), "a setting names it");
        assert!(left("+390636001234").is_err(), "Italy");
        assert!(left("+16045552671").is_err(), "Canada shares the code, not the country");
        assert!(left("+442070313000").is_err(), "it would call itself");
        assert!(may_be_called_back(&[], &[], &number::normal("+12125552368", None).expect("a number")).is_err());
    }
}
