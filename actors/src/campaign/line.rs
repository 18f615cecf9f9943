//! What a provider is asked about calls: make one (once), find one whose creation nobody heard of, end one, leave a message. Twilio and the simulated
//! carrier on its side here; Retell in [`crate::retell`].

use colloquy_cluster::Client;
use colloquy_domain::call::Carrier;
use colloquy_domain::campaign::slice::{Dial, DialAnswer, Refused, Report};
use colloquy_domain::campaign::target::{Act, Machine};
use colloquy_domain::ids::TenantId;
use colloquy_domain::lines::{Credentials, Provider};
use colloquy_domain::local_time::rfc3339;
use colloquy_domain::vocabulary::Channel;
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::{Repeat, Request};
use colloquy_telephony::twilio::calls::{Amd, CreateCall, Instructions, MachineDetection, ModifyCall};
use colloquy_telephony::twilio::rest::{CODES_NO_SUCH_NUMBER, CallResource, read_call, read_calls, read_created_call};
use colloquy_telephony::twilio::twiml;
use jiff::fmt::rfc2822::DateTimeParser;

use super::hear;
use crate::messages::{carrier, connection_id};
use crate::{ActorError, Tools, retell};

/// Calls of a number that are listed when one is looked for: a number is called a few times a day.
const LISTED: u32 = 50;
/// How far the provider's clock may be behind ours, ms, and the precision of its times.
const CLOCKS_DIFFER_MS: i64 = 10_000;
/// How long after a dial its call is created at the latest, ms: a request is given up after twenty seconds.
const CREATED_WITHIN_MS: i64 = 60_000;
/// Seconds of a minute that is paid for from its begin.
const MINUTE_S: u32 = 60;

/// An account that calls.
pub(crate) struct Line<'a> {
    tools: &'a Tools,
    client: &'a Client,
    tenant: TenantId,
    provider: Provider,
    credentials: Credentials,
    connection: String,
}

/// A call as the provider has it.
pub(crate) struct Found {
    /// Its name there.
    pub(crate) call: String,
    /// What answered it, where that is known only now.
    pub(crate) machine: Option<Machine>,
    /// Where it stands.
    pub(crate) report: Option<Report>,
}

/// The account that a number of ours belongs to; none while it is not connected.
pub(crate) async fn line<'a>(
    tools: &'a Tools,
    client: &'a Client,
    tenant: &TenantId,
    from: &str,
) -> Result<Option<Line<'a>>, ActorError> {
    let lines = tools.lines(client, tenant).await?;
    let mut numbers = lines.numbers.values();
    let number = numbers.find(|known| known.is.number == from && known.is.provider.carries(Channel::Voice));
    let Some(provider) = number.map(|known| known.is.provider) else { return Ok(None) };
    let Some(connection) = lines.connections.get(&provider) else { return Ok(None) };
    let credentials = connection.credentials.clone();
    let (tenant, connection) = (tenant.clone(), connection_id(provider, tenant));
    Ok(Some(Line { tools, client, tenant, provider, credentials, connection }))
}

impl Line<'_> {
    /// Makes the call. Once: whoever calls this has journaled that it will, and never calls it again for the same dial.
    pub(crate) async fn create(&self, dial: &Dial, to: &str) -> DialAnswer {
        if let Some(retell) = self.retell() {
            return retell.place(dial, to).await;
        }
        let api = &self.tools.carriers.settings.api_url;
        let name = hear::name_of(&dial.dial);
        let at = |what: &str| format!("{api}/api/voice/twilio/{what}/{}?d={name}", self.connection);
        let mut call = CreateCall::new(&dial.from, to, Instructions::Url(at("voice")));
        // Behind one address are several nodes: another one may answer.
        call.fallback = Some(at("voice"));
        call.status_callback = Some(at("status"));
        call.status_events = ["initiated", "ringing", "answered", "completed"].map(str::to_owned).to_vec();
        call.timeout_s = Some(dial.ring_seconds);
        call.time_limit_s = Some(dial.max_call_minutes.saturating_mul(MINUTE_S));
        call.amd = Some(Amd {
            mode: MachineDetection::DetectMessageEnd,
            timeout_s: None,
            speech_threshold_ms: None,
            speech_end_threshold_ms: None,
            silence_timeout_ms: None,
            async_callback: Some(at("amd")),
        });
        let request = match carrier::twilio(&self.credentials).create_call(&call) {
            Ok(request) => request,
            Err(unfit) => {
                tracing::warn!(dial = name, %unfit, "a call that its provider would refuse was not made");
                return DialAnswer::Refused { why: Refused::NotAllowed };
            }
        };
        let answer = self.call(&request).await;
        match answer.and_then(|answer| read_created_call(&answer.as_answer())) {
            Ok(call) => DialAnswer::Placed { call: call.sid },
            Err(fault) => answer_of(&fault),
        }
    }

    /// Looks for a call: by its name, or among those to a number since it was dialled; at Retell by the name of the dial, which it keeps.
    pub(crate) async fn find(
        &self,
        call: Option<&str>,
        to: Option<&str>,
        from: &str,
        dialed_ms: i64,
        dial: &str,
    ) -> Result<Option<Found>, Fault> {
        if let Some(retell) = self.retell() {
            return retell.find(call, dial).await;
        }
        let twilio = carrier::twilio(&self.credentials);
        if let Some(call) = call {
            let answer = self.call(&twilio.call(call)).await?;
            return match read_call(&answer.as_answer()) {
                Ok(call) => Ok(Some(self.found(call))),
                Err(Fault::NotFound) => Ok(None),
                Err(fault) => Err(fault),
            };
        }
        let Some(to) = to else { return Ok(None) };
        let day: String = rfc3339(dialed_ms - CLOCKS_DIFFER_MS).chars().take(10).collect();
        let answer = self.call(&twilio.find_calls(to, &day, LISTED)).await?;
        let calls = read_calls(&answer.as_answer())?;
        let parser = DateTimeParser::new();
        let ours = calls.into_iter().find(|call| {
            let made_ms = call.date_created.as_deref().and_then(|at| parser.parse_timestamp(at).ok());
            let span = dialed_ms - CLOCKS_DIFFER_MS..dialed_ms + CREATED_WITHIN_MS;
            // Without a time it may be one of another day.
            call.from.as_deref() == Some(from) && made_ms.is_some_and(|at| span.contains(&at.as_millisecond()))
        });
        Ok(ours.map(|call| self.found(call)))
    }

    /// Has something done with a call. That it is over is as good as done.
    pub(crate) async fn act(&self, call: &str, act: Act, message: Option<&str>) -> Result<(), Fault> {
        if let Some(retell) = self.retell() {
            return retell.act(call, act).await;
        }
        let twilio = carrier::twilio(&self.credentials);
        let changes = match act {
            // What still waits is taken back; what was answered meanwhile is hung up.
            Act::HangUp => vec![ModifyCall::HangUp, ModifyCall::Cancel],
            Act::LeaveMessage => {
                let spoken = twiml::say(message.unwrap_or_default(), None, None);
                vec![ModifyCall::Instruct(twiml::Response::new().then(spoken).then(twiml::hang_up()).to_xml())]
            }
        };
        for change in changes {
            let Ok(request) = twilio.modify_call(call, &change) else { continue };
            match self.call(&request).await.and_then(|answer| answer.as_answer().done(Repeat::Safe)) {
                Ok(()) | Err(Fault::NotFound) => return Ok(()),
                // Not in this state; perhaps the other way round.
                Err(Fault::Refused { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// The account as Retell's, if it is one.
    fn retell(&self) -> Option<retell::Account<'_>> {
        self.provider.as_retell().then(|| retell::Account {
            tools: self.tools,
            client: self.client,
            tenant: self.tenant.clone(),
            provider: self.provider,
            credentials: self.credentials.clone(),
        })
    }

    /// What a call came to, millionths of a US dollar, by the price of this installation's settings: minutes count from their begin.
    fn cost(&self, seconds: Option<i64>) -> Option<i64> {
        Some(cost(self.tools, u32::try_from(seconds?).ok()?))
    }

    fn found(&self, call: CallResource) -> Found {
        let report = call
            .status
            .as_ref()
            .and_then(|status| hear::of_status(status, &call.sid, call.duration, None, self.cost(call.duration)));
        Found { call: call.sid, machine: None, report }
    }

    async fn call(&self, request: &Request) -> Result<carrier::Answered, Fault> {
        self.tools.carriers.call(self.provider, request, self.client.now_ms()).await
    }
}

/// How calls over an account are carried, as their entities are named: the simulated carrier speaks as those do whose side it takes.
pub(super) fn carried_by(account: &str) -> Carrier {
    match account.split_once(':').and_then(|(provider, _)| Provider::of(provider)) {
        Some(Provider::Retell | Provider::SimulatedRetell) => Carrier::Retell,
        Some(Provider::Twilio | Provider::Whatsapp | Provider::Simulated | Provider::Vapi) | None => Carrier::Twilio,
    }
}

/// What a call of so many seconds costs, millionths of a US dollar.
pub fn cost(tools: &Tools, seconds: u32) -> i64 {
    i64::from(seconds.div_ceil(MINUTE_S)) * tools.carriers.settings.minute_micros
}

/// What a fault means for the call that was to be made.
pub(crate) fn answer_of(fault: &Fault) -> DialAnswer {
    let why = match fault {
        Fault::RateLimited { .. } => Refused::TooFast,
        Fault::Unavailable { .. } => Refused::Down,
        Fault::Refused { code: Some(code), .. } if CODES_NO_SUCH_NUMBER.contains(code) => Refused::InvalidNumber,
        Fault::Credentials | Fault::Payment | Fault::NotFound | Fault::Refused { .. } => Refused::NotAllowed,
        Fault::OutcomeUnknown { .. } | Fault::Unreadable => return DialAnswer::Unknown,
    };
    DialAnswer::Refused { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_not_happen_counts_as_refused() {
        let refused = |code| Fault::Refused { status: 400, code, message: String::new() };
        let why = |fault: &Fault| match answer_of(fault) {
            DialAnswer::Refused { why } => Some(why),
            DialAnswer::Placed { .. } | DialAnswer::Unknown => None,
        };
        assert_eq!(why(&refused(Some(21211))), Some(Refused::InvalidNumber));
        assert_eq!(why(&refused(None)), Some(Refused::NotAllowed));
        assert_eq!(why(&Fault::RateLimited { retry_after_ms: None }), Some(Refused::TooFast));
        assert_eq!(why(&Fault::Unavailable { status: None }), Some(Refused::Down));
        assert_eq!(why(&Fault::OutcomeUnknown { status: Some(500) }), None);
        assert_eq!(why(&Fault::Unreadable), None);
    }
}
