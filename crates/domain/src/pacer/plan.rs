//! Whom the pacer serves next, and when it looks again.

use super::{
    Breaker, Command, Event, HORIZON_MS, Holder, LEASE_MS, Lease, Pacer, Part, SHARE_WINDOW_MS, Share, Use,
    apply::{expire, grant},
};
use crate::ids::{CampaignId, TenantId};

/// Permits of one append: the horizon at a thousand calls per second.
const GRANTS_MAX: usize = 500;
/// A share of one, for comparing shares without fractions.
const WHOLE: u64 = 1_000_000;

/// What a tick does.
pub(super) fn tick(state: &Pacer, now_ms: i64) -> Vec<Event> {
    let mut ahead = state.clone();
    let expired: Vec<u64> =
        state.leases.values().filter(|lease| lease.expires_ms <= now_ms).map(|lease| lease.id).collect();
    expire(&mut ahead, &expired, now_ms);
    let leases = grants(&mut ahead, now_ms);
    let mut events = Vec::new();
    if !expired.is_empty() {
        events.push(Event::Expired { leases: expired });
    }
    if !leases.is_empty() {
        events.push(Event::Granted { leases });
    }
    events
}

/// When there is something to do, Unix milliseconds.
pub fn timer(state: &Pacer) -> Option<i64> {
    let expiry = state.leases.values().map(|lease| lease.expires_ms).min();
    let grant = room(state).then(|| soonest_us(state)).flatten().map(|at_us| {
        // Looked at half a horizon before, so that every tick has several to grant.
        let at_ms = at_us.div_euclid(1000) - HORIZON_MS / 2;
        match state.breaker {
            Breaker::Closed => at_ms,
            Breaker::Open { until_ms, .. } => at_ms.max(until_ms),
        }
    });
    [expiry, grant].into_iter().flatten().min()
}

/// The command that a due timer turns into.
pub fn on_timer(state: &Pacer, now_ms: i64) -> Option<Command> {
    timer(state).filter(|at_ms| *at_ms <= now_ms).map(|_| Command::Tick)
}

/// Grants what the limits allow until the horizon.
fn grants(state: &mut Pacer, now_ms: i64) -> Vec<Lease> {
    let mut leases = Vec::new();
    let horizon_us = (now_ms + HORIZON_MS) * 1000;
    let mut moment_us = state.used.next_us.max(now_ms * 1000);
    while leases.len() < GRANTS_MAX && room(state) && moment_us <= horizon_us {
        if let Breaker::Open { until_ms, .. } = state.breaker
            && now_ms < until_ms
        {
            break;
        }
        let Some((tenant, campaign)) = next(state, moment_us) else {
            // Nobody may call at this moment; perhaps at a later one within the horizon.
            match soonest_us(state) {
                Some(later_us) if later_us > moment_us => moment_us = later_us,
                Some(_) | None => break,
            }
            continue;
        };
        let Some((slice, nth, from)) = turn(state, &tenant, &campaign, moment_us) else { break };
        let lease = Lease {
            id: state.granted + 1,
            holder: Holder { tenant, campaign, slice },
            nth,
            from,
            at_us: moment_us,
            expires_ms: now_ms + LEASE_MS,
        };
        grant(state, &lease);
        leases.push(lease);
        moment_us = state.used.next_us;
    }
    leases
}

/// Whether one more call may go out at all.
fn room(state: &Pacer) -> bool {
    let probing = match state.breaker {
        Breaker::Closed => false,
        Breaker::Open { probe, .. } => probe.is_some(),
    };
    state.used.out < state.outbound() && !probing
}

/// Campaigns that want something and have a call free, with the moment their rates allow.
fn candidates(state: &Pacer) -> impl Iterator<Item = (&TenantId, &Part, &CampaignId, &Share, i64)> {
    let parts = state.parts.iter().filter(|(_, part)| part.used.out < state.config.tenant.concurrent);
    parts.flat_map(move |(tenant, part)| {
        part.campaigns.iter().filter_map(move |(campaign, share)| {
            let wants = share.used.out < share.limits.concurrent && share.wishes.values().any(|wish| wish.count > 0);
            let number_us =
                share.numbers.iter().filter_map(|number| free(state, number)).map(|used| used.next_us).min();
            let at_us = number_us?.max(share.used.next_us).max(part.used.next_us).max(state.used.next_us);
            wants.then_some((tenant, part, campaign, share, at_us))
        })
    })
}

/// The use of a number that has a call free.
fn free(state: &Pacer, number: &str) -> Option<Use> {
    let used = state.numbers.get(number).copied().unwrap_or_default();
    (used.out < state.config.number.concurrent).then_some(used)
}

/// The soonest moment at which anybody may call, Unix microseconds.
fn soonest_us(state: &Pacer) -> Option<i64> {
    candidates(state).map(|(.., at_us)| at_us).min()
}

/// Whose turn it is at a moment: the tenant with the smallest share, its campaign with the fewest calls.
fn next(state: &Pacer, moment_us: i64) -> Option<(TenantId, CampaignId)> {
    let fits = candidates(state).filter(|(.., at_us)| *at_us <= moment_us);
    let first = fits.min_by_key(|(_, part, _, share, _)| {
        (dominant_share(state, part, moment_us), part.used.next_us, share.used.out, share.used.next_us)
    });
    first.map(|(tenant, _, campaign, ..)| (tenant.clone(), campaign.clone()))
}

/// The larger of a tenant's part of the calls at once and of the calls per second.
fn dominant_share(state: &Pacer, part: &Part, moment_us: i64) -> u64 {
    let at_once = u64::from(part.used.out) * WHOLE / u64::from(state.outbound().max(1));
    let since_s = moment_us.div_euclid(1_000_000) - SHARE_WINDOW_MS / 1000;
    let recent: u64 =
        part.recent.iter().filter(|(second, _)| *second > since_s).map(|(_, count)| u64::from(*count)).sum();
    // Calls that the account allows in the window, in thousandths.
    let allowed = u64::from(state.config.account.rate.milli) * u64::try_from(SHARE_WINDOW_MS / 1000).unwrap_or(1);
    at_once.max(recent * 1000 * WHOLE / allowed.max(1))
}

/// The slice of a campaign whose turn it is, how many it was granted with this one, and the number that calls.
fn turn(state: &Pacer, tenant: &TenantId, campaign: &CampaignId, moment_us: i64) -> Option<(u32, u64, String)> {
    let share = state.parts.get(tenant)?.campaigns.get(campaign)?;
    let waiting = |slice: &u32| share.wishes.get(slice).is_some_and(|wish| wish.count > 0);
    let after = share.wishes.range(share.served.saturating_add(1)..).map(|(slice, _)| *slice).find(waiting);
    let slice = after.or_else(|| share.wishes.keys().copied().find(waiting))?;
    let numbers = share.numbers.iter().filter_map(|number| free(state, number).map(|used| (number, used)));
    let (from, _) =
        numbers.filter(|(_, used)| used.next_us <= moment_us).min_by_key(|(_, used)| (used.out, used.next_us))?;
    Some((slice, share.wishes.get(&slice)?.granted + 1, from.clone()))
}
