//! Whether Twilio, or who speaks its side, lists a message that may have left: known by its numbers, its words, how many media it has and when it was made.

use std::time::Duration;

use colloquy_cluster::Client;
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::{self, Provider};
use colloquy_domain::local_time::rfc3339;
use colloquy_telephony::twilio::keywords::Channel;
use colloquy_telephony::twilio::messages::Address;
use colloquy_telephony::twilio::rest::read_messages;
use jiff::fmt::rfc2822::DateTimeParser;

use super::carrier;
use crate::Tools;

/// How often an unknown outcome is looked up: a provider lists a message within seconds.
pub(super) const EVERY: Duration = Duration::from_secs(4);
/// Messages of a day to one number that a look-up reads.
const LISTED: u32 = 100;
/// How much the provider's clock may differ from ours, ms.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// What is looked for.
pub(super) struct Sought<'a> {
    pub(super) provider: Provider,
    pub(super) channel: Channel,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) text: &'a str,
    pub(super) media: usize,
    /// Ids of others like it.
    pub(super) known: &'a [String],
    /// When it was journaled that it leaves, Unix milliseconds.
    pub(super) attempted_ms: i64,
}

/// The provider's id of it, if it is listed.
///
/// # Errors
/// Why the list could not be read, without a number.
pub(super) async fn listed(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    of: &Sought<'_>,
) -> Result<Option<String>, String> {
    let lines = tools.lines(client, tenant).await.map_err(|error| error.to_string())?;
    let connection = lines::connected(&lines, of.provider).map_err(|refused| refused.to_string())?;
    let address = |number: &str| Address { channel: of.channel, number: number.to_owned() }.to_text();
    let (to, from) = (address(of.to), address(of.from));
    let media = i64::try_from(of.media).unwrap_or(i64::MAX);
    let parser = DateTimeParser::new();
    // Around midnight the provider may have it under either day.
    for day_ms in [of.attempted_ms, of.attempted_ms.saturating_add(CLOCKS_DIFFER_MS)] {
        let day = rfc3339(day_ms).chars().take(10).collect::<String>();
        let request = carrier::twilio(&connection.credentials).find_messages(&to, &day, LISTED);
        let answer = tools
            .carriers
            .call(of.provider, &request, client.now_ms())
            .await
            .and_then(|answer| read_messages(&answer.as_answer()))
            .map_err(|fault| fault.to_string())?;
        let ours = answer.into_iter().find(|message| {
            let made_ms = message.date_created.as_deref().and_then(|at| parser.parse_timestamp(at).ok());
            // A picture alone has no words, or none that are listed.
            message.body.as_deref().unwrap_or_default() == of.text
                && message.num_media.is_none_or(|count| count == media)
                && message.from.as_deref() == Some(from.as_str())
                && !of.known.contains(&message.sid)
                && made_ms.is_none_or(|at| at.as_millisecond() >= of.attempted_ms - CLOCKS_DIFFER_MS)
        });
        if let Some(message) = ours {
            return Ok(Some(message.sid));
        }
    }
    Ok(None)
}
