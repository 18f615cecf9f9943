//! Numbers that are bought and given back: the provider is asked once for each step that costs money, and what a node died over is found again at the
//! provider before anything is bought anew. What calls or campaigns use is not given up.

use colloquy_cluster::Client;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_domain::call::CALL_MS_MAX;
use colloquy_domain::ids::{AgentId, TenantId};
use colloquy_domain::lines::{self, NUMBERS_MAX, NewNumber, Number, Provider};
use colloquy_domain::{Principal, Rejection};
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::Repeat;
use colloquy_telephony::twilio::rest::{NumberAddresses, NumberResource, read_bought_number, read_numbers};
use serde_json::Value;

use crate::lines::register;
use crate::messages::{carrier, connection_id};
use crate::{ActorError, Tools, calls, campaign};

/// Numbers that are offered in one answer: the first is taken, and the next when that has just been sold.
const OFFERED: u32 = 5;
/// Numbers of an account that are looked at for one that was bought and not written down.
const OWNED: u32 = 1000;
/// Rows read at once, and calls and campaigns that are named in a refusal.
const BATCH: usize = 200;
const NAMED_MAX: usize = 5;
/// Standings of a campaign that has nothing to call for any more.
const CAMPAIGNS_OVER: [&str; 4] = ["stopped", "completed", "deleting", "deleted"];
/// Standings of a call that goes on.
const CALLS_OPEN: [&str; 2] = ["ringing", "in_progress"];

/// Where calls and messages to a provider's numbers go.
pub fn addresses(tools: &Tools, tenant: &TenantId, provider: Provider) -> NumberAddresses {
    let api = &tools.carriers.settings.api_url;
    let connection = connection_id(provider, tenant);
    let voice = format!("{api}/api/voice/twilio/voice/{connection}");
    NumberAddresses {
        // Behind one address are several nodes: another one may answer.
        voice_fallback: voice.clone(),
        voice,
        status: format!("{api}/api/voice/twilio/status/{connection}"),
        sms: format!("{api}/api/messages/twilio/{connection}"),
    }
}

/// Buys a number and lets an agent answer there; its id here. One that was bought before and not written down is taken first.
///
/// # Errors
/// A [`Rejection`] that says what the provider said; nothing is bought then, or what was bought is found the next time.
pub async fn provision(
    client: &Client,
    tools: &Tools,
    by: &Principal,
    provider: Provider,
    agent: AgentId,
    country: &str,
    area_code: Option<u32>,
) -> Result<String, ActorError> {
    let tenant = &by.tenant;
    let lines = tools.lines(client, tenant).await?;
    let credentials = &lines::connected(&lines, provider)?.credentials;
    if lines.numbers.len() >= NUMBERS_MAX {
        let detail = format!("{NUMBERS_MAX} numbers are registered. Give up one first.");
        return Err(Rejection::LimitReached { limit: "numbers".to_owned(), detail }.into());
    }
    let (twilio, at) = (carrier::twilio(credentials), addresses(tools, tenant, provider));
    let said = |fault: Fault| {
        let detail = format!("{} says: {fault}.", provider.name());
        ActorError::Rejected(Rejection::conflict("provider_refused", detail))
    };
    let call = async |request| tools.carriers.call(provider, &request, client.now_ms()).await;
    let owned = call(twilio.numbers(OWNED)).await.and_then(|answer| read_numbers(&answer.as_answer())).map_err(said)?;
    let unknown_here =
        |number: &&NumberResource| !lines.numbers.values().any(|known| known.is.number == number.phone_number);
    let found = owned.iter().filter(unknown_here).find(|number| number.voice_url.as_ref() == Some(&at.voice));
    let bought = match found {
        Some(number) => number.clone(),
        None => {
            let offer = twilio.available_numbers(country, area_code, OFFERED);
            let offered = call(offer).await.and_then(|answer| read_numbers(&answer.as_answer()));
            let offered = match offered {
                Ok(offered) => offered,
                // A country that it sells no numbers of.
                Err(Fault::NotFound) => Vec::new(),
                Err(fault) => return Err(said(fault)),
            };
            let mut bought = None;
            for number in &offered {
                let request = twilio.buy_number(&number.phone_number, &at).map_err(|unfit| {
                    ActorError::Rejected(Rejection::conflict("provider_refused", unfit.to_string()))
                })?;
                match call(request).await.and_then(|answer| read_bought_number(&answer.as_answer())) {
                    Ok(number) => bought = Some(number),
                    // It may be ours by now.
                    Err(Fault::OutcomeUnknown { .. }) => {
                        let looked = call(twilio.find_number(&number.phone_number)).await;
                        let looked = looked.and_then(|answer| read_numbers(&answer.as_answer())).map_err(said)?;
                        bought = looked.into_iter().find(|owned| owned.phone_number == number.phone_number);
                    }
                    // Somebody else was faster.
                    Err(Fault::Refused { status: 400, .. }) => continue,
                    Err(fault) => return Err(said(fault)),
                }
                break;
            }
            bought.ok_or_else(|| {
                let place = area_code.map_or_else(|| country.to_owned(), |code| format!("{country} {code}"));
                let detail = format!("{} has no number for sale in {place} now.", provider.name());
                ActorError::Rejected(Rejection::conflict("no_number_available", detail))
            })?
        }
    };
    let number = NewNumber { number: bought.phone_number, provider, external_id: bought.sid, agent, template: None };
    register(client, tools, by, number).await
}

/// Gives a number up here, and at its provider where it was bought from here. Not while it is in use.
///
/// # Errors
/// A conflict that names the calls and campaigns that use it.
pub async fn give_up(client: &Client, tools: &Tools, by: &Principal, id: &str) -> Result<(), ActorError> {
    let lines = tools.lines(client, &by.tenant).await?;
    let number = lines.numbers.get(id).ok_or_else(|| Rejection::not_found("number"))?;
    free(client, &by.tenant, &[number.is.number.as_str()], "number").await?;
    if let Some(sid) = bought_here(number) {
        let credentials = &lines::connected(&lines, number.is.provider)?.credentials;
        let request = carrier::twilio(credentials).release_number(sid);
        let answer = tools.carriers.call(number.is.provider, &request, client.now_ms()).await;
        match answer.and_then(|answer| answer.as_answer().done(Repeat::Safe)) {
            // Given back already, by whoever did it.
            Ok(()) | Err(Fault::NotFound) => {}
            Err(fault) => {
                let detail =
                    format!("{} did not take it back, so it is still yours: {fault}.", number.is.provider.name());
                return Err(Rejection::conflict("provider_refused", detail).into());
            }
        }
    }
    crate::lines::release(client, tools, by, id.to_owned()).await
}

/// Whether an account may be taken away.
///
/// # Errors
/// A conflict that names the calls and campaigns that use its numbers.
pub async fn account_is_free(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    provider: Provider,
) -> Result<(), ActorError> {
    let lines = tools.lines(client, tenant).await?;
    let numbers = lines.numbers.values().filter(|known| known.is.provider == provider);
    let numbers: Vec<&str> = numbers.map(|known| known.is.number.as_str()).collect();
    free(client, tenant, &numbers, "account").await
}

/// The provider's name of a number that was bought from here.
fn bought_here(number: &Number) -> Option<&str> {
    match number.is.provider {
        Provider::Twilio | Provider::Simulated => number.is.external_id.as_deref().filter(|sid| sid.starts_with("PN")),
        _ => None,
    }
}

async fn free(client: &Client, tenant: &TenantId, numbers: &[&str], what: &str) -> Result<(), ActorError> {
    if numbers.is_empty() {
        return Ok(());
    }
    let mine = |value: &Value| value.as_str().is_some_and(|number| numbers.contains(&number));
    let is = |value: &Value, words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
    let since_ms = client.now_ms() - CALL_MS_MAX;
    let open = rows(client, tenant, calls::LIST, Some(since_ms), |row| {
        is(&row["status"], &CALLS_OPEN) && (mine(&row["from"]) || mine(&row["to"])) && row["test"] != true
    });
    let using = rows(client, tenant, campaign::LIST, None, |row| {
        let from = row["from_numbers"].as_array().into_iter().flatten();
        !is(&row["status"], &CAMPAIGNS_OVER) && from.into_iter().any(mine)
    });
    let (open, using) = (open.await?, using.await?);
    if open.is_empty() && using.is_empty() {
        return Ok(());
    }
    let mut why = Vec::new();
    if !open.is_empty() {
        let ids: Vec<&str> = open.iter().filter_map(|row| row["id"].as_str()).take(NAMED_MAX).collect();
        why.push(format!("{} of its calls go on ({})", open.len(), ids.join(", ")));
    }
    if !using.is_empty() {
        let names: Vec<&str> = using.iter().filter_map(|row| row["name"].as_str()).take(NAMED_MAX).collect();
        why.push(format!("these campaigns call from it: {}", names.join(", ")));
    }
    let detail = format!("This {what} is in use: {}. End them first.", why.join("; "));
    Err(Rejection::conflict("in_use", detail).into())
}

/// The rows of a list that fit.
async fn rows(
    client: &Client,
    tenant: &TenantId,
    list: &str,
    from_ms: Option<i64>,
    fits: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>, ActorError> {
    let mut found = Vec::new();
    let mut after: Option<After> = None;
    loop {
        let range = Range { from_ms, after: after.take(), limit: BATCH, ..Range::default() };
        let rows = client.list::<Value>(tenant.as_str(), list, &range).await?;
        // A short batch is not the last one: rows that cannot be read any more were left out of it.
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
        found.extend(rows.into_iter().map(|row| row.body).filter(&fits));
    }
}
