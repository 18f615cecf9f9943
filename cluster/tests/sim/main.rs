//! The seeded simulations: one of the activation machine alone, one of several nodes with all machines. `SEEDS=n` runs more of them, `SEED=x`
//! runs one again.

mod journal;
#[path = "../ledger/mod.rs"]
mod ledger;
mod random;
mod town;
mod world;

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use colloquy_cluster::core::activation::Mutation;
use town::Town;
use world::{Defect, World};

/// Seeds run by default: a few seconds.
const DEFAULT_SEEDS: u64 = 1_000;

/// Seeds a defect may hide from before the simulation counts as blind.
const SEEDS_FOR_DEFECTS: u64 = 400;

/// The ledgers' poison panics on purpose, thousands of times: it need not be printed.
fn quiet_poison() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"poison") {
                print(panic);
            }
        }));
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seeds() -> std::ops::Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(DEFAULT_SEEDS),
    }
}

#[test]
fn several_nodes_keep_every_promise_whatever_crashes_sleeps_drifts_or_moves() {
    quiet_poison();
    let next = AtomicU64::new(seeds().start);
    let live = || {
        let (mut commands, mut moves, mut deaths) = (0, 0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds().end {
                return (commands, moves, deaths);
            }
            match Town::new(seed, town::Defect::None).run() {
                Ok(town) => {
                    commands += town.commands;
                    moves += town.moves;
                    deaths += town.deaths;
                }
                Err(failure) => panic!("SEED={seed}: {failure}"),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lives: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(live)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a failing seed is named above")).collect()
    });
    let (mut commands, mut moves, mut deaths) = (0, 0, 0);
    for life in lives {
        (commands, moves, deaths) = (commands + life.0, moves + life.1, deaths + life.2);
    }
    println!("{commands} commands asked, {moves} moves begun, {deaths} processes ended");
}

#[test]
fn every_defect_of_a_town_is_found() {
    quiet_poison();
    let defects = [
        town::Defect::NoClaimCheck,
        town::Defect::AckBeforeAppend,
        town::Defect::NoLeaseMargin,
        town::Defect::EpochNotRaised,
        town::Defect::WakesBeforeServing,
    ];
    for defect in defects {
        let found =
            (0..SEEDS_FOR_DEFECTS).find_map(|seed| Town::new(seed, defect).run().err().map(|failure| (seed, failure)));
        match found {
            Some((seed, failure)) => println!("{defect:?}: seed {seed}: {failure}"),
            None => panic!("{defect:?} was not found in {SEEDS_FOR_DEFECTS} seeds"),
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_doubled_or_hidden_whatever_fails() {
    quiet_poison();
    let (mut commands, mut crashes) = (0, 0);
    for seed in seeds() {
        match World::new(seed, Defect::None).run() {
            Ok(world) => {
                commands += world.commands;
                crashes += world.crashes;
            }
            Err(failure) => panic!("SEED={seed}: {failure}"),
        }
    }
    println!("{commands} commands asked, {crashes} crashes");
}

#[test]
fn same_seed_lives_the_same_life() {
    quiet_poison();
    for seed in 0..20 {
        let lives = [0, 1].map(|_| World::new(seed, Defect::None).run().map(|world| (world.commands, world.crashes)));
        assert_eq!(lives[0], lives[1]);
        let lives = [0, 1].map(|_| Town::new(seed, town::Defect::None).run().map(|town| (town.commands, town.moves)));
        assert_eq!(lives[0], lives[1]);
    }
}

#[test]
fn every_defect_is_found() {
    quiet_poison();
    let defects = [
        Defect::JournalIgnoresClaims,
        Defect::Machine(Mutation::AckBeforeAppend),
        Defect::Machine(Mutation::SkipIdempotency),
        Defect::Machine(Mutation::ForgetSources),
        Defect::Machine(Mutation::EarlyQueries),
        Defect::Machine(Mutation::SkipLookup),
    ];
    for defect in defects {
        let found =
            (0..SEEDS_FOR_DEFECTS).find_map(|seed| World::new(seed, defect).run().err().map(|failure| (seed, failure)));
        match found {
            Some((seed, failure)) => println!("{defect:?}: seed {seed}: {failure}"),
            None => panic!("{defect:?} was not found in {SEEDS_FOR_DEFECTS} seeds"),
        }
    }
}
