//! New leads that are called back: while an inbound campaign of their agent runs, or when the agent itself does that, whoever leaves a number is called
//! within minutes, or not by a machine.

use std::time::Duration;

use colloquy_cluster::Client;
use colloquy_cluster::store::rows::Range;
use colloquy_domain::campaign::core::{Command, Source};
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::vocabulary::Channel;
use colloquy_domain::{Principal, Rejection, lead};
use serde_json::Value;

use super::{CampaignEntity, LIST, single};
use crate::core::ask;
use crate::{ActorError, Tools};

/// How long after it came in a lead is called at the latest, ms (LEAD-13).
const WITHIN_MS: i64 = 5 * 60_000;
/// New leads of an organization's hour up to which an agent calls them by itself. Anybody may leave numbers in a chat, and calls cost money: what is more than
/// a business gets on its best day is left to people.
const PER_HOUR: usize = 30;
const HOUR_MS: i64 = 3_600_000;
/// Campaigns looked at: an organization has dozens.
const CAMPAIGNS: usize = 500;
/// The pause while another lead is being added, and how often.
const AGAIN: Duration = Duration::from_millis(250);
const TRIES: u32 = 80;

/// Puts a lead that has just come in on the list of the inbound campaign that its agent runs, if there is one; else the agent calls them, if it is to.
/// A second time changes nothing.
pub(crate) async fn call_back(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    agent: &AgentId,
    lead: &lead::State,
) -> Result<(), ActorError> {
    // Who has just been on the telephone is not called.
    if lead.capture.as_ref().is_none_or(|capture| capture.channel == Channel::Voice) {
        return Ok(());
    }
    let not_after_ms = lead.created_at_ms.saturating_add(WITHIN_MS);
    let phone = lead.fields().remove("phone").or_else(|| lead.capture.as_ref()?.phone.clone());
    let Some(phone) = phone else { return Ok(()) };
    let range = Range { limit: CAMPAIGNS, ..Range::default() };
    let rows = client.list::<Value>(tenant.as_str(), LIST, &range).await?;
    let serves =
        |row: &Value| row["type"] == "inbound" && row["status"] == "running" && row["agent_id"] == agent.as_str();
    let Some(campaign) = rows.into_iter().find(|row| serves(&row.body)) else {
        let config = tools.agent(client, tenant, agent).await?.config;
        let Some(auto) = &config.auto_call_leads else { return Ok(()) };
        let range = Range { from_ms: Some(client.now_ms() - HOUR_MS), limit: PER_HOUR + 1, ..Range::default() };
        let recent = client.list::<Value>(tenant.as_str(), crate::lead::LIST, &range).await?;
        if recent.iter().filter(|row| row.id != lead.id.as_str()).count() >= PER_HOUR {
            tracing::warn!(lead = %lead.id, "a new lead is not called: too many came in within an hour");
            return Ok(());
        }
        return single::lead(client, tools, tenant, agent, lead, &phone, auto).await;
    };
    if client.now_ms() >= not_after_ms {
        return Ok(());
    }
    let by = Principal::system(tenant.clone());
    for _ in 0..TRIES {
        let import = Command::Import { source: Source::Lead { lead: lead.id.clone(), not_after_ms } };
        match ask::<CampaignEntity>(client, &by, &campaign.id, import).await {
            Ok(_) => return Ok(()),
            // Another one is being added.
            Err(ActorError::Rejected(Rejection::Conflict { code, .. })) if code == "importing" => {}
            // It was stopped, or is full.
            Err(ActorError::Rejected(rejection)) => {
                tracing::info!(lead = %lead.id, campaign = campaign.id, %rejection, "a new lead is not called back");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(AGAIN).await;
    }
    Err(ActorError::Busy { retry_after_ms: 1_000 })
}
