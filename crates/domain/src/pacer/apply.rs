//! Folds what happened into the pacer. Cannot fail.

use super::{
    BREAK_AFTER, Breaker, Event, Health, LEASE_MS, Lease, OPEN_MAX_MS, OPEN_MS, Pacer, SHARE_WINDOW_MS, Share, Use,
    Want, Wish,
};

/// Folds one event.
pub fn apply(state: &mut Pacer, event: &Event, _seq: u64, at_ms: i64) {
    match event {
        Event::Configured { config } => state.config = *config,
        Event::Wanted(want) => wanted(state, want),
        Event::Granted { leases } => {
            for lease in leases {
                grant(state, lease);
            }
        }
        Event::Reached { lease } => {
            state.failures = 0;
            if let Breaker::Open { probe, .. } = state.breaker
                && probe == Some(*lease)
            {
                state.breaker = Breaker::Closed;
            }
        }
        Event::Returned { lease, health } => {
            learn(state, *lease, *health, at_ms);
            take_back(state, *lease, at_ms);
        }
        Event::Renewed { leases, .. } => {
            for id in leases {
                if let Some(lease) = state.leases.get_mut(id) {
                    lease.expires_ms = at_ms + LEASE_MS;
                }
            }
        }
        Event::Expired { leases } => expire(state, leases, at_ms),
        Event::Inbound { call, going_on: true } => {
            state.inbound.insert(call.clone());
        }
        Event::Inbound { call, going_on: false } => {
            state.inbound.remove(call);
        }
    }
    state.now_ms = state.now_ms.max(at_ms);
}

fn wanted(state: &mut Pacer, want: &Want) {
    let share = || Share {
        settings_version: want.settings_version,
        limits: want.limits,
        numbers: want.numbers.clone(),
        used: Use::default(),
        wishes: std::collections::BTreeMap::new(),
        served: 0,
    };
    let part = state.parts.entry(want.holder.tenant.clone()).or_default();
    let share = part.campaigns.entry(want.holder.campaign.clone()).or_insert_with(share);
    if want.settings_version >= share.settings_version {
        share.settings_version = want.settings_version;
        share.limits = want.limits;
        share.numbers.clone_from(&want.numbers);
    }
    let fresh = Wish { count: 0, granted: want.seen, out: 0 };
    let wish = share.wishes.entry(want.holder.slice).or_insert(fresh);
    let on_the_way = u32::try_from(wish.granted.saturating_sub(want.seen)).unwrap_or(u32::MAX);
    wish.count = want.count.saturating_sub(on_the_way);
    if wish.count == 0 && wish.out == 0 {
        share.wishes.remove(&want.holder.slice);
    }
}

/// A permit goes out for a moment.
pub(super) fn grant(state: &mut Pacer, lease: &Lease) {
    let moment_us = lease.at_us;
    let take = |used: &mut Use, interval_us: i64| {
        used.out += 1;
        used.next_us = used.next_us.max(moment_us) + interval_us;
    };
    take(&mut state.used, state.config.account.rate.interval_us());
    take(state.numbers.entry(lease.from.clone()).or_default(), state.config.number.rate.interval_us());
    if let Some(part) = state.parts.get_mut(&lease.holder.tenant) {
        take(&mut part.used, state.config.tenant.rate.interval_us());
        let second = moment_us.div_euclid(1_000_000);
        part.recent.retain(|(known, _)| *known > second - SHARE_WINDOW_MS / 1000);
        match part.recent.last_mut() {
            Some((known, count)) if *known == second => *count += 1,
            Some(_) | None => part.recent.push((second, 1)),
        }
        if let Some(share) = part.campaigns.get_mut(&lease.holder.campaign) {
            take(&mut share.used, share.limits.rate.interval_us());
            share.served = lease.holder.slice;
            if let Some(wish) = share.wishes.get_mut(&lease.holder.slice) {
                wish.count = wish.count.saturating_sub(1);
                (wish.granted, wish.out) = (lease.nth, wish.out + 1);
            }
        }
    }
    if let Breaker::Open { probe, .. } = &mut state.breaker {
        *probe = Some(lease.id);
    }
    state.granted = lease.id;
    state.leases.insert(lease.id, lease.clone());
}

/// Permits that ran out.
pub(super) fn expire(state: &mut Pacer, leases: &[u64], at_ms: i64) {
    for id in leases {
        if let Breaker::Open { probe, .. } = &mut state.breaker
            && *probe == Some(*id)
        {
            *probe = None;
        }
        take_back(state, *id, at_ms);
    }
}

fn take_back(state: &mut Pacer, id: u64, at_ms: i64) {
    let Some(lease) = state.leases.remove(&id) else { return };
    let idle = |used: &Use| used.out == 0 && used.next_us <= at_ms * 1000;
    let give = |used: &mut Use| used.out = used.out.saturating_sub(1);
    give(&mut state.used);
    if let Some(used) = state.numbers.get_mut(&lease.from) {
        give(used);
        if idle(used) {
            state.numbers.remove(&lease.from);
        }
    }
    let Some(part) = state.parts.get_mut(&lease.holder.tenant) else { return };
    give(&mut part.used);
    if let Some(share) = part.campaigns.get_mut(&lease.holder.campaign) {
        give(&mut share.used);
        if let Some(wish) = share.wishes.get_mut(&lease.holder.slice) {
            wish.out = wish.out.saturating_sub(1);
            // Who wants nothing and holds nothing is forgotten; it tells again how many it was granted.
            if wish.out == 0 && wish.count == 0 {
                share.wishes.remove(&lease.holder.slice);
            }
        }
        // What a rate still forbids must not be forgotten.
        if share.wishes.is_empty() && idle(&share.used) {
            part.campaigns.remove(&lease.holder.campaign);
        }
    }
    if part.campaigns.is_empty() && idle(&part.used) {
        state.parts.remove(&lease.holder.tenant);
    }
}

fn learn(state: &mut Pacer, lease: u64, health: Health, at_ms: i64) {
    if !state.leases.contains_key(&lease) {
        return;
    }
    match (health, &mut state.breaker) {
        (Health::Fine, _) => {}
        (Health::Unused, Breaker::Open { probe, .. }) if *probe == Some(lease) => *probe = None,
        (Health::Unused, Breaker::Open { .. } | Breaker::Closed) => {}
        (Health::Failed, Breaker::Closed) => {
            state.failures += 1;
            if state.failures >= BREAK_AFTER {
                state.breaker = Breaker::Open { until_ms: at_ms + OPEN_MS, for_ms: OPEN_MS, probe: None };
            }
        }
        (Health::Failed, Breaker::Open { until_ms, for_ms, probe }) if *probe == Some(lease) => {
            *for_ms = (*for_ms * 2).min(OPEN_MAX_MS);
            (*until_ms, *probe) = (at_ms + *for_ms, None);
        }
        // A call from before it opened.
        (Health::Failed, Breaker::Open { .. }) => {}
    }
}
