//! The pacer: its limits, its fairness in virtual time, its breaker.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::principal::Principal;

struct Run {
    state: Pacer,
    seq: u64,
    now_ms: i64,
    granted: Vec<Lease>,
}

impl Run {
    fn new(config: Config) -> Self {
        let mut run = Self { state: Pacer::default(), seq: 0, now_ms: 1_000_000, granted: Vec::new() };
        run.does(Command::Configure { config });
        run
    }

    fn does(&mut self, command: Command) -> Vec<Event> {
        let principal = Principal::system(TENANT.into());
        let cx = Context { now_ms: self.now_ms, seq: self.seq, seed: [0; 32], principal };
        let decision = decide(&self.state, &cx, command).expect("allowed");
        for event in &decision.events {
            self.seq += 1;
            apply(&mut self.state, event, self.seq, self.now_ms);
            if let Event::Granted { leases } = event {
                self.granted.extend(leases.clone());
            }
        }
        decision.events
    }

    fn wants(&mut self, tenant: &str, slice: u32, count: u32, limits: Limits) {
        let holder = Holder { tenant: tenant.into(), campaign: format!("campaign of {tenant}").into(), slice };
        let seen = self.granted.iter().filter(|lease| lease.holder == holder).count() as u64;
        let numbers = vec![format!("number of {tenant}")];
        self.does(Command::Want(Box::new(Want { holder, count, seen, settings_version: 1, limits, numbers })));
    }

    /// Lets time pass; calls end after `duration`, told by who had them.
    fn pass(&mut self, until_ms: i64, duration: impl Fn(&Lease) -> i64, ended: &mut Vec<(i64, Lease)>) {
        while self.now_ms < until_ms {
            let out = |run: &Self| {
                run.state.leases.values().map(|lease| (lease.at_us / 1000 + duration(lease), lease.id)).min()
            };
            let next = [timer(&self.state), out(self).map(|(at, _)| at), Some(until_ms)].into_iter().flatten().min();
            self.now_ms = self.now_ms.max(next.unwrap_or(until_ms));
            while let Some((at, id)) = out(self).filter(|(at, _)| *at <= self.now_ms) {
                let lease = self.state.leases[&id].clone();
                self.does(Command::Return { lease: id, health: Health::Fine });
                ended.push((at, lease));
            }
            if let Some(command) = on_timer(&self.state, self.now_ms) {
                let events = self.does(command);
                assert!(!events.is_empty(), "a timer that does nothing would fire for ever");
                let granted = events.iter().any(|event| matches!(event, Event::Granted { .. }));
                assert!(!granted || self.state.used.out <= self.state.outbound());
            }
        }
    }
}

fn limits(concurrent: u32, milli: u32) -> Limits {
    Limits { concurrent, rate: Rate { milli } }
}

fn config(concurrent: u32, milli: u32) -> Config {
    let account = limits(concurrent, milli);
    Config { account, inbound_reserved: 0, tenant: account, number: account }
}

/// Milliseconds until a tenant's `count` calls have ended, beside another's or alone.
fn finishes(config: Config, count: u32, beside: Option<(u32, i64)>, duration_ms: i64) -> i64 {
    let mut run = Run::new(config);
    let mut ended = Vec::new();
    let wide = limits(10_000, 1_000_000);
    if let Some((others, other_ms)) = beside {
        for slice in 0..others / 256 + 1 {
            run.wants("big", slice, 256.min(others), wide);
        }
        // The other has all the account to itself by now.
        let duration = move |lease: &Lease| if lease.holder.tenant.as_str() == "big" { other_ms } else { duration_ms };
        run.pass(1_000_000 + other_ms, duration, &mut ended);
        ended.clear();
        let start_ms = run.now_ms;
        run.wants("small", 0, count, wide);
        return until_done(&mut run, start_ms, count, duration);
    }
    let start_ms = run.now_ms;
    run.wants("small", 0, count, wide);
    until_done(&mut run, start_ms, count, move |_: &Lease| duration_ms)
}

fn until_done(run: &mut Run, start_ms: i64, count: u32, duration: impl Fn(&Lease) -> i64) -> i64 {
    let mut ended = Vec::new();
    loop {
        run.pass(run.now_ms + 100, &duration, &mut ended);
        let small: Vec<i64> =
            ended.iter().filter(|(_, lease)| lease.holder.tenant.as_str() == "small").map(|(at, _)| *at).collect();
        if small.len() as u32 == count {
            return small.into_iter().max().unwrap_or(0) - start_ms;
        }
        assert!(run.now_ms - start_ms < 3_600_000, "it never ends");
    }
}

#[test]
fn a_hundred_calls_beside_another_tenants_ten_thousand_take_at_most_twice_as_long() {
    // Bound by calls per second, by calls at once, and by both, the other's calls being longer or shorter.
    for (config, duration_ms, other_ms) in [
        (config(1_000, 10_000), 20_000, 20_000),
        (config(50, 100_000), 30_000, 30_000),
        (config(50, 5_000), 10_000, 60_000),
        (config(50, 5_000), 60_000, 10_000),
    ] {
        let alone = finishes(config, 100, None, duration_ms);
        let beside = finishes(config, 100, Some((10_000, other_ms)), duration_ms);
        assert!(beside * 10 <= alone * 22, "{config:?}: {alone} ms alone, {beside} ms beside");
    }
}

#[test]
fn a_tenant_with_short_calls_does_not_starve_one_with_long_calls() {
    let mut run = Run::new(config(1_000, 10_000));
    let wide = limits(10_000, 1_000_000);
    for slice in 0..40 {
        run.wants("short", slice, 256, wide);
        run.wants("long", slice, 256, wide);
    }
    let start = run.now_ms;
    let mut ended = Vec::new();
    run.pass(start + 60_000, |lease| if lease.holder.tenant.as_str() == "short" { 1_000 } else { 600_000 }, &mut ended);
    let of = |tenant: &str| run.granted.iter().filter(|lease| lease.holder.tenant.as_str() == tenant).count();
    let (short, long) = (of("short"), of("long"));
    assert!(short.abs_diff(long) < 40, "{short} short, {long} long");
}

#[test]
fn calls_keep_the_rate_exactly_and_come_one_by_one() {
    for milli in [333, 1_000, 7_000, 50_000, 300_000] {
        let mut run = Run::new(config(100_000, milli));
        for slice in 0..100 {
            run.wants("a", slice, 256, limits(100_000, 1_000_000));
        }
        let start = run.now_ms;
        run.pass(start + 30_000, |_| 1_000_000, &mut Vec::new());
        let moments: Vec<i64> =
            run.granted.iter().map(|lease| lease.at_us).filter(|at| *at < (start + 30_000) * 1000).collect();
        let interval = Rate { milli }.interval_us();
        assert!(moments.windows(2).all(|pair| pair[1] - pair[0] >= interval), "{milli}: never faster");
        let expected = i64::from(milli) * 30 / 1000;
        let got = moments.len() as i64;
        assert!((got - expected).abs() * 50 <= expected.max(50), "{milli}: {got} of {expected}");
    }
}

#[test]
fn every_limit_holds_and_calls_that_come_in_have_room() {
    let mut config = config(20, 1_000_000);
    config.inbound_reserved = 5;
    config.tenant = limits(12, 1_000_000);
    config.number = limits(8, 1_000_000);
    let mut run = Run::new(config);
    run.wants("a", 0, 100, limits(10, 1_000_000));
    run.wants("b", 0, 100, limits(100, 1_000_000));
    run.pass(1_002_000, |_| i64::MAX / 4, &mut Vec::new());
    assert_eq!(run.state.used.out, 15, "twenty less the five that are kept free");
    assert!(run.state.parts.values().all(|part| part.used.out <= 8), "one number each, of eight calls");
    for _ in 0..2 {
        // Told twice, a call is one call.
        for n in 0..9 {
            run.does(Command::Inbound { call: format!("in-{n}").as_str().into(), going_on: true });
        }
    }
    assert_eq!(run.state.outbound(), 11);
    let lease = *run.state.leases.keys().next().expect("some are out");
    run.does(Command::Return { lease, health: Health::Fine });
    run.pass(1_004_000, |_| i64::MAX / 4, &mut Vec::new());
    assert_eq!(run.state.used.out, 14, "nothing goes out while calls come in");
    for n in 0..9 {
        run.does(Command::Inbound { call: format!("in-{n}").as_str().into(), going_on: false });
    }
    assert_eq!(run.state.outbound(), 15, "and they leave what is kept free");
}

#[test]
fn new_settings_hold_for_the_next_permit_and_older_ones_come_too_late() {
    let mut run = Run::new(config(100, 1_000_000));
    run.wants("a", 0, 50, limits(3, 1_000_000));
    run.pass(1_001_000, |_| i64::MAX / 4, &mut Vec::new());
    assert_eq!(run.state.used.out, 3);
    let holder = Holder { tenant: "a".into(), campaign: "campaign of a".into(), slice: 0 };
    let want = |version, concurrent, seen| {
        let numbers = vec!["number of a".to_owned()];
        Want {
            holder: holder.clone(),
            count: 50,
            seen,
            settings_version: version,
            limits: limits(concurrent, 1_000_000),
            numbers,
        }
    };
    run.does(Command::Want(Box::new(want(2, 5, 3))));
    run.does(Command::Want(Box::new(want(1, 90, 3))));
    run.pass(1_002_000, |_| i64::MAX / 4, &mut Vec::new());
    assert_eq!(run.state.used.out, 5);
    run.does(Command::Want(Box::new(Want { count: 0, ..want(3, 90, 5) })));
    run.pass(1_003_000, |_| i64::MAX / 4, &mut Vec::new());
    assert_eq!(run.state.used.out, 5, "who wants nothing gets nothing");
}

#[test]
fn a_wish_on_its_way_past_a_grant_is_not_granted_twice() {
    let mut run = Run::new(config(100, 1_000_000));
    run.wants("a", 0, 1, limits(100, 1_000_000));
    run.does(Command::Tick);
    assert_eq!(run.granted.len(), 1);
    // The slice has not heard of it and says again that it wants one.
    run.granted.clear();
    run.wants("a", 0, 1, limits(100, 1_000_000));
    run.does(Command::Tick);
    assert!(run.granted.is_empty());
}

#[test]
fn a_permit_runs_out_unless_it_is_renewed() {
    let mut run = Run::new(config(2, 1_000_000));
    run.wants("a", 0, 2, limits(2, 1_000_000));
    run.does(Command::Tick);
    let holder = run.granted[0].holder.clone();
    run.now_ms += LEASE_MS - 1;
    run.does(Command::Renew { holder, leases: vec![run.granted[0].id, 99] });
    run.now_ms += 1;
    let tick = on_timer(&run.state, run.now_ms).expect("one runs out");
    assert_eq!(run.does(tick), [Event::Expired { leases: vec![run.granted[1].id] }]);
    assert_eq!(run.state.used.out, 1);
    assert!(run.does(Command::Return { lease: run.granted[1].id, health: Health::Fine }).is_empty(), "it is gone");
}

#[test]
fn failures_in_a_row_stop_the_account_and_one_call_at_a_time_tries_again() {
    let mut run = Run::new(config(100, 1_000_000));
    run.wants("a", 0, 200, limits(100, 1_000_000));
    run.does(Command::Tick);
    let give = |run: &mut Run, nth: usize, health| {
        let lease = run.granted[nth].id;
        run.does(Command::Return { lease, health });
    };
    for nth in 0..4 {
        give(&mut run, nth, Health::Failed);
    }
    let reached = run.granted[4].id;
    run.does(Command::Reached { lease: reached });
    for nth in 5..10 {
        assert_eq!(run.state.breaker, Breaker::Closed, "a call that went through begins the count anew");
        give(&mut run, nth, Health::Failed);
    }
    let Breaker::Open { until_ms, .. } = run.state.breaker else { panic!("five in a row open it") };
    assert_eq!(until_ms, run.now_ms + OPEN_MS);
    for nth in 10..100 {
        give(&mut run, nth, Health::Fine);
    }
    let before = run.granted.len();
    run.now_ms = until_ms - 1;
    run.does(Command::Tick);
    assert_eq!(run.granted.len(), before, "nobody calls meanwhile");
    run.now_ms = until_ms;
    let tick = on_timer(&run.state, run.now_ms).expect("it tries again");
    run.does(tick);
    assert_eq!(run.granted.len(), before + 1, "with one call");
    assert_eq!(on_timer(&run.state, run.now_ms + 1_000), None, "and no second one");
    give(&mut run, before, Health::Failed);
    let Breaker::Open { for_ms, .. } = run.state.breaker else { panic!("still open") };
    assert_eq!(for_ms, 2 * OPEN_MS);
    run.now_ms += 2 * OPEN_MS;
    run.does(Command::Tick);
    let lease = run.granted[before + 1].id;
    run.does(Command::Reached { lease });
    assert_eq!(run.state.breaker, Breaker::Closed);
    run.now_ms += 1_000;
    run.does(Command::Tick);
    assert!(run.granted.len() > before + 2, "all goes on");
}

#[test]
fn the_state_is_read_back_as_it_was_written() {
    let mut run = Run::new(config(5, 1_000_000));
    run.wants("a", 3, 9, limits(5, 1_000_000));
    run.does(Command::Tick);
    let reply = Reply::State(Box::new(run.state.clone()));
    let told = serde_json::to_vec(&reply).expect("plain data");
    assert_eq!(serde_json::from_slice::<Reply>(&told).expect("it is read back"), reply);
}

proptest! {
    /// Wishes, returns, renewals and times in any order: what is used is what is out, and no limit is ever exceeded.
    #[test]
    fn what_is_used_is_what_is_out_in_any_order(
        steps in proptest::collection::vec((0_u8..5, 0_u32..3, 0_u32..12, 0_i64..4_000), 1..120),
        concurrent in 1_u32..12, per_tenant in 1_u32..8, per_number in 1_u32..8, per_campaign in 1_u32..8,
    ) {
        let mut config = config(concurrent, 5_000);
        config.tenant = limits(per_tenant, 4_000);
        config.number = limits(per_number, 3_000);
        let mut run = Run::new(config);
        for (what, slice, count, ms) in steps {
            let tenant = ["a", "b", "c"][(slice % 3) as usize];
            match what {
                0 => run.wants(tenant, slice, count, limits(per_campaign, 2_000)),
                1 => {
                    let some = run.state.leases.keys().copied().nth(count as usize);
                    let health = [Health::Fine, Health::Failed, Health::Unused][(ms % 3) as usize];
                    if let Some(lease) = some { run.does(Command::Return { lease, health }); }
                }
                2 => run.now_ms += ms * 60,
                _ => run.now_ms += ms,
            }
            if let Some(command) = on_timer(&run.state, run.now_ms) {
                prop_assert!(!run.does(command).is_empty(), "a timer that does nothing would fire for ever");
            }
            let state = &run.state;
            prop_assert_eq!(state.used.out as usize, state.leases.len());
            prop_assert!(state.used.out <= state.outbound());
            let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
            for lease in state.leases.values() { *numbers.entry(&lease.from).or_default() += 1; }
            for (number, out) in &numbers {
                prop_assert_eq!(state.numbers[*number].out, *out);
                prop_assert!(*out <= per_number);
            }
            for (tenant, part) in &state.parts {
                let of = state.leases.values().filter(|lease| lease.holder.tenant == *tenant);
                prop_assert_eq!(part.used.out as usize, of.clone().count());
                prop_assert!(part.used.out <= per_tenant);
                for (campaign, share) in &part.campaigns {
                    prop_assert_eq!(share.used.out as usize, of.clone().filter(|lease| lease.holder.campaign == *campaign).count());
                    prop_assert!(share.used.out <= per_campaign);
                }
            }
            let apart = |pick: &dyn Fn(&Lease) -> bool, interval: i64| {
                let moments: Vec<i64> = run.granted.iter().filter(|lease| pick(lease)).map(|lease| lease.at_us).collect();
                moments.windows(2).all(|pair| pair[1] - pair[0] >= interval)
            };
            prop_assert!(apart(&|_| true, 200_000));
            for tenant in ["a", "b", "c"] {
                prop_assert!(apart(&|lease| lease.holder.tenant.as_str() == tenant, 500_000), "the campaign's rate is the narrowest");
            }
        }
    }
}
