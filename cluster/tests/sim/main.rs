//! The seeded simulation of the activation machine. `SEEDS=n` runs more of them, `SEED=x` runs one again.

mod journal;
#[path = "../ledger/mod.rs"]
mod ledger;
mod random;
mod world;

use std::sync::Once;

use colloquy_cluster::core::activation::Mutation;
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

#[test]
fn nothing_acknowledged_is_lost_doubled_or_hidden_whatever_fails() {
    quiet_poison();
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(DEFAULT_SEEDS),
    };
    let (mut commands, mut crashes) = (0, 0);
    for seed in seeds {
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
