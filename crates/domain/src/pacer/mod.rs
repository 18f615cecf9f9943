//! The pacer of one provider account: gives out permits to call, so that no limit is ever exceeded and everybody gets a fair share.
//!
//! One entity per account, under the platform's tenant, because an account's limits hold across tenants. Slices of campaigns say how many permits they
//! could use ([`Command::Want`]); the pacer grants them one by one ([`Event::Granted`], told to the slice), each for a moment of its own
//! ([`Lease::at_us`]), so that calls keep their distance instead of coming in bursts. A permit is a lease: it is returned when the call is over, renewed while it goes
//! on, and runs out if its holder is never heard of again.
//!
//! **Limits**, all of which must have room: calls at once and calls per second of the account (less what is kept free for calls that come in), of the tenant,
//! of the campaign and of the number that calls. **Fairness**: the tenant with the smallest dominant share goes first: the larger of its part of the
//! calls at once and its part of the calls per second (dominant resource fairness, Ghodsi et al., NSDI 2011); within a tenant the campaign with the fewest calls, within
//! a campaign its slices in turn. **Breaker**: failures of the provider in a row stop the account for a while; one call at a time then tries whether it works again.

mod apply;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use apply::apply;
pub use plan::{on_timer, timer};

use crate::{
    campaign::{settings::Rate, slice, target},
    context::Context,
    decision,
    ids::{CallId, CampaignId, TenantId},
    principal::Actor,
    rejection::Rejection,
};

/// The entity's kind in keys.
pub const KIND: &str = "pacer";
/// The tenant of all pacers.
pub const TENANT: &str = "platform";

/// How long a permit is good without being renewed, ms: three renewals may get lost.
pub const LEASE_MS: i64 = 180_000;
/// How far ahead permits are granted, ms: long enough for several in one append, short enough that a change of settings is felt at once.
const HORIZON_MS: i64 = 500;
/// Failures in a row that open the breaker.
const BREAK_AFTER: u32 = 5;
/// How long it stays open at first, ms, and at most; it doubles with every failed try.
const OPEN_MS: i64 = 15_000;
const OPEN_MAX_MS: i64 = 10 * 60_000;
/// Grants are remembered this long to tell each tenant's share of the rate, ms.
const SHARE_WINDOW_MS: i64 = 10_000;
/// Slices that may wait at once: forty campaigns of 100,000.
const HOLDERS_MAX: usize = 16_000;
/// Calls that came in and are counted at once: more than any account carries.
const INBOUND_MAX: usize = 20_000;
/// Numbers of one wish.
const NUMBERS_MAX: usize = crate::campaign::limits::FROM_NUMBERS_MAX;

/// What a command leads to.
pub type Decision = decision::Decision<Event, Reply>;
/// There is no work outside the core.
pub type Effect = std::convert::Infallible;

/// How much at once, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Calls at once.
    pub concurrent: u32,
    /// Calls begun per second.
    pub rate: Rate,
}

/// An account's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Of the whole account.
    pub account: Limits,
    /// Calls at once that are kept free for calls that come in.
    pub inbound_reserved: u32,
    /// Of each tenant.
    pub tenant: Limits,
    /// Of each number that calls.
    pub number: Limits,
}

impl Default for Config {
    /// What a new account of a voice provider allows.
    fn default() -> Self {
        let account = Limits { concurrent: 100, rate: Rate::per_second(1) };
        Self { account, inbound_reserved: 10, tenant: account, number: account }
    }
}

/// Who holds or wants permits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Holder {
    /// The tenant.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The slice of it.
    pub slice: u32,
}

/// A wish for permits. It replaces the holder's earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Who.
    pub holder: Holder,
    /// How many.
    pub count: u32,
    /// Grants the holder has heard of so far: those on their way count against the wish.
    pub seen: u64,
    /// The version of the campaign's settings.
    pub settings_version: u64,
    /// The campaign's limits.
    pub limits: Limits,
    /// The numbers that may call.
    pub numbers: Vec<String>,
}

/// What is learned about the provider from a permit that is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It took the call, or nobody knows: nothing new is learned.
    Fine,
    /// It refused or could not be reached.
    Failed,
    /// It was never asked.
    Unused,
}

/// A permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Counts from 1.
    pub id: u64,
    /// Whose.
    pub holder: Holder,
    /// How many that holder was granted, this one included.
    pub nth: u64,
    /// The number that calls.
    pub from: String,
    /// Its moment, Unix microseconds: not to be used before.
    pub at_us: i64,
    /// Good until, Unix milliseconds, unless renewed.
    pub expires_ms: i64,
}

/// What one may ask it to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// The account's limits.
    Configure {
        /// Them.
        config: Config,
    },
    /// A slice wants permits.
    Want(Box<Want>),
    /// The provider took the call of a permit.
    Reached {
        /// Which.
        lease: u64,
    },
    /// A permit is not needed any more.
    Return {
        /// Which.
        lease: u64,
        /// What was learned.
        health: Health,
    },
    /// Permits of calls that go on.
    Renew {
        /// Whose.
        holder: Holder,
        /// Which.
        leases: Vec<u64>,
    },
    /// A call that came in goes on, or is over. Repeats change nothing.
    Inbound {
        /// Which.
        call: CallId,
        /// Whether it goes on.
        going_on: bool,
    },
    /// The timer.
    Tick,
    /// Query: the whole state.
    Get,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// Limits were set.
    Configured {
        /// Them.
        config: Config,
    },
    /// A slice wants permits.
    Wanted(Box<Want>),
    /// Permits were granted.
    Granted {
        /// They.
        leases: Vec<Lease>,
    },
    /// The provider took the call of a permit.
    Reached {
        /// Which.
        lease: u64,
    },
    /// A permit came back.
    Returned {
        /// Which.
        lease: u64,
        /// What was learned.
        health: Health,
    },
    /// Permits were renewed.
    Renewed {
        /// Whose.
        holder: Holder,
        /// Which.
        leases: Vec<u64>,
    },
    /// Permits ran out.
    Expired {
        /// Which.
        leases: Vec<u64>,
    },
    /// A call that came in goes on, or is over.
    Inbound {
        /// Which.
        call: CallId,
        /// Whether it goes on.
        going_on: bool,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done, or already so.
    Done,
    /// The whole state.
    State(Box<Pacer>),
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Permits out.
    pub out: u32,
    /// The next moment that the rate allows, Unix microseconds.
    pub next_us: i64,
}

/// What a slice wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Permits still to be granted.
    pub count: u32,
    /// Permits granted so far.
    pub granted: u64,
    /// Permits out.
    pub out: u32,
}

/// A campaign's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version of its settings.
    pub settings_version: u64,
    /// Its limits.
    pub limits: Limits,
    /// The numbers that may call.
    pub numbers: Vec<String>,
    /// What it uses.
    pub used: Use,
    /// What its slices want.
    #[serde(with = "pairs")]
    pub wishes: BTreeMap<u32, Wish>,
    /// The slice that was served last.
    pub served: u32,
}

/// A tenant's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it uses.
    pub used: Use,
    /// Its permits of the last seconds: the second (Unix time) and how many, oldest first.
    pub recent: Vec<(i64, u32)>,
    /// Its campaigns.
    pub campaigns: BTreeMap<CampaignId, Share>,
}

/// Whether the provider is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "breaker", rename_all = "snake_case")]
pub enum Breaker {
    /// Yes.
    #[default]
    Closed,
    /// Not before that time; then one call tries.
    Open {
        /// Unix milliseconds.
        until_ms: i64,
        /// How long it was opened for, ms.
        for_ms: i64,
        /// The permit that tries.
        probe: Option<u64>,
    },
}

/// The folded state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pacer {
    /// The account's limits.
    pub config: Config,
    /// What the account uses.
    pub used: Use,
    /// Calls that came in and are going on.
    pub inbound: BTreeSet<CallId>,
    /// By tenant.
    pub parts: BTreeMap<TenantId, Part>,
    /// By number that calls.
    pub numbers: BTreeMap<String, Use>,
    /// Permits out.
    #[serde(with = "pairs")]
    pub leases: BTreeMap<u64, Lease>,
    /// Permits ever granted.
    pub granted: u64,
    /// Failures of the provider in a row.
    pub failures: u32,
    /// Whether the provider is called.
    #[serde(flatten)]
    pub breaker: Breaker,
    /// When the last event happened, Unix milliseconds.
    pub now_ms: i64,
}

impl Pacer {
    /// Calls at once that may go out: what calls that come in do not need, now or by reservation.
    pub fn outbound(&self) -> u32 {
        let inbound = u32::try_from(self.inbound.len()).unwrap_or(u32::MAX);
        self.config.account.concurrent.saturating_sub(inbound.max(self.config.inbound_reserved))
    }
}

/// A map as a list of pairs: integer keys cannot be read back from inside a tagged reply.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

/// Decides a command.
///
/// # Errors
/// `Forbidden` for anyone but Colloquy itself and the platform's operators; `Invalid` for wrong limits.
pub fn decide(state: &Pacer, cx: &Context, command: Command) -> Result<Decision, Rejection> {
    match &cx.principal.actor {
        Actor::System | Actor::Platform { .. } => {}
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::Visitor { .. } => {
            return Err(Rejection::forbidden("this is done by the service itself"));
        }
    }
    let event = match command {
        Command::Configure { config } => {
            let limits = [config.account, config.tenant, config.number];
            if limits.iter().any(|limits| limits.concurrent == 0 || limits.rate.milli == 0) {
                return Err(Rejection::invalid("limits", "must be more than 0"));
            }
            (config != state.config).then_some(Event::Configured { config })
        }
        Command::Want(want) => wanted(state, want)?,
        // Told by calls that were on their way too, it matters only while there are failures.
        Command::Reached { lease } => (state.leases.contains_key(&lease)
            && (state.failures > 0 || state.breaker != Breaker::Closed))
            .then_some(Event::Reached { lease }),
        Command::Return { lease, health } => {
            state.leases.contains_key(&lease).then_some(Event::Returned { lease, health })
        }
        Command::Renew { holder, mut leases } => {
            leases.retain(|id| state.leases.get(id).is_some_and(|lease| lease.holder == holder));
            (!leases.is_empty()).then_some(Event::Renewed { holder, leases })
        }
        // Of more than any account carries nothing is learned.
        Command::Inbound { going_on: true, .. } if state.inbound.len() >= INBOUND_MAX => None,
        Command::Inbound { call, going_on } => {
            (going_on != state.inbound.contains(&call)).then_some(Event::Inbound { call, going_on })
        }
        Command::Tick => return Ok(Decision::new(plan::tick(state, cx.now_ms), Reply::Done)),
        Command::Get => return Ok(Decision::reply(Reply::State(Box::new(state.clone())))),
    };
    Ok(Decision::new(event.into_iter().collect(), Reply::Done))
}

fn wanted(state: &Pacer, want: Box<Want>) -> Result<Option<Event>, Rejection> {
    if want.numbers.is_empty() || want.numbers.len() > NUMBERS_MAX {
        return Err(Rejection::invalid("numbers", "must name the numbers that call"));
    }
    if want.limits.concurrent == 0 || want.limits.rate.milli == 0 {
        return Err(Rejection::invalid("limits", "must be more than 0"));
    }
    let share = state.parts.get(&want.holder.tenant).and_then(|part| part.campaigns.get(&want.holder.campaign));
    let known = share.is_some_and(|share| share.wishes.contains_key(&want.holder.slice));
    let holders: usize =
        state.parts.values().flat_map(|part| part.campaigns.values()).map(|share| share.wishes.len()).sum();
    if !known && holders >= HOLDERS_MAX {
        return Err(Rejection::LimitReached {
            limit: "calls".to_owned(),
            detail: "too many campaigns call through this account at once; try again later".to_owned(),
        });
    }
    Ok(Some(Event::Wanted(want)))
}

/// Nothing is ever unfinished: grants are told to their holders by the outbox.
pub fn pending(_state: &Pacer) -> Vec<(String, u32, Effect)> {
    Vec::new()
}

/// A crash leaves nothing to be done.
pub fn on_recovered(_state: &Pacer) -> Option<Command> {
    None
}

/// What one event makes it tell the slices.
pub fn tells(event: &Event) -> Vec<(Holder, slice::Command)> {
    match event {
        Event::Granted { leases } => leases
            .iter()
            .map(|lease| {
                let granted = target::Lease {
                    id: lease.id,
                    from: lease.from.clone(),
                    // Rounded up, so that no call is early.
                    not_before_ms: lease.at_us.div_euclid(1000) + i64::from(lease.at_us.rem_euclid(1000) > 0),
                    expires_ms: lease.expires_ms,
                };
                (lease.holder.clone(), slice::Command::Grant { nth: lease.nth, lease: granted })
            })
            .collect(),
        Event::Configured { .. }
        | Event::Wanted(_)
        | Event::Reached { .. }
        | Event::Returned { .. }
        | Event::Renewed { .. }
        | Event::Expired { .. }
        | Event::Inbound { .. } => Vec::new(),
    }
}
