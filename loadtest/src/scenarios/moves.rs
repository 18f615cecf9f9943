//! `move`: live chats while shards move, a node is emptied and filled again, and all nodes are stopped and started one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::{Tally, make_agents, open_conversations};
use super::live_chats::Chats;
use crate::api::Owner;
use crate::cluster::{Cluster, Cql};
use crate::error::{Error, Result};
use crate::open_loop::{Plan, UNDER_WAY_MAX};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::Wanted;
use crate::spread::Percentiles;
use crate::stand_in::{Pace, StandIn};
use crate::usage::allow_open_files;

/// On the command line and in the report.
pub(crate) const NAME: &str = "move";

/// Nodes, as in the smallest cluster that one should run.
const NODES: usize = 3;
/// Conversations at full scale.
const CHATS: u64 = 1_000;
/// Turns a second at full scale: each conversation says something about every forty seconds. A turn takes some 25 ms of processor time on three nodes
/// with the CQL server beside them (`journal`), so that two cores are busy with a third of what they have and the rest is there for moves; at a hundred
/// a second they are overloaded without any move.
const TURNS_PER_SECOND: f64 = 25.0;
/// How long opening the conversations may take.
const OPENING: Duration = Duration::from_secs(300);
/// Shards ordered to move at a time: what the steward lets run at once from one node.
const MOVED_AT_ONCE: usize = 8;
/// Connections to the model server and to the other nodes beside those of the visitors.
const OTHERS: u64 = 3_000;
/// How long everything that operators do may take beside the time that shards are moved by order: it moves each shard some three times, and a
/// machine that needs longer than a quarter of an hour for that says more about itself than about moves.
const UPHEAVAL_WITHIN: Duration = Duration::from_secs(900);

/// What went on while the turns came.
#[derive(Clone, Copy, Debug, Default)]
struct Upheaval {
    ordered: usize,
    drained: usize,
    rolled: usize,
    took: Duration,
}

/// Measures.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    allow_open_files(UNDER_WAY_MAX as u64 + OTHERS)?;
    let stand_in = StandIn::start(Pace::HOSTED).await?;
    let wanted = Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None };
    let cql = Cql::start(options).await?;
    let mut cluster = Cluster::start(options, &wanted, &cql, NODES).await?;
    let client = cluster.client()?;
    let agents = cluster.watch(0, make_agents(&client, 2, 2)).await?;
    let owners: BTreeMap<String, Arc<Owner>> =
        agents.iter().map(|(owner, agent)| (agent.clone(), Arc::clone(owner))).collect();
    let visitors = cluster.watch(0, open_conversations(&client, &agents, options.scaled(CHATS, 20), OPENING)).await?;
    let chats = Chats::new(Arc::clone(&cluster.balancer), visitors, stand_in.pace())?;

    let rate = options.rate(TURNS_PER_SECOND);
    let plan = Plan::lasting(rate, options.steady());
    eprintln!("    … {} conversations are open; {rate}/s turns for {:?} without moves", chats.len(), options.steady());
    let (quiet, _) = chats.talk(plan, 0).await;
    let before = chats.retries();
    // Turns go on for as long as the upheaval takes.
    let (talking, stop) = talk_until_told(&chats, rate, plan.arrivals);
    let within = options.steady() + UPHEAVAL_WITHIN;
    let upheaval = tokio::time::timeout(within, upheave(&mut cluster, options.steady()))
        .await
        .unwrap_or_else(|_| Err(Error::NotInTime { what: "the end of all moves".into(), after: within }));
    // Whoever listens has ended already if talking failed, which is told below.
    let _ = stop.send(());
    let moving = talking.await.map_err(|error| Error::Setup(format!("talking broke: {error}")))?;
    let upheaval = upheaval?;
    eprintln!("    … {} turns were answered meanwhile; all conversations are read back", moving.answered);
    let kept = chats.kept(&owners).await?;
    let retries = chats.retries() - before;
    cluster.end().await?;

    let dropped: u64 = moving.failures.values().sum();
    let beside = |spread: Option<Percentiles>| {
        spread.map_or_else(
            || "the quiet run answered nothing".to_owned(),
            |quiet| format!("without moves p50 {}, p99 {}", millis(quiet.p50), millis(quiet.p99)),
        )
    };
    let (added, calm) = (moving.added.percentiles(), quiet.added.percentiles());
    report.add(
        Row::new(NAME, "acknowledged messages lost or doubled", (kept.lost + kept.doubled) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!("{} lost, {} doubled of {} acknowledged", kept.lost, kept.doubled, kept.acknowledged)),
    );
    report.add(Row::new(NAME, "turns dropped", dropped as f64, Unit::Count).goal(Goal::AtMost(0.0)).beside(format!(
        "{} answered while things moved, {retries} attempts repeated{}",
        moving.answered,
        if dropped > 0 { format!("; {}", moving.failures_in_words()) } else { String::new() }
    )));
    for (at, sample, goal) in [(At::P50, "p50", None), (At::P99, "p99", Some(Goal::AtMost(250.0)))] {
        let figure = format!("pause added to a turn by the moves, {sample}");
        let pick = |spread: Percentiles| match at {
            At::P50 => spread.p50,
            At::P95 => spread.p95,
            At::P99 => spread.p99,
        };
        let row = match (added, calm) {
            (Some(added), Some(calm)) => {
                let pause = pick(added).saturating_sub(pick(calm)).as_secs_f64() * 1e3;
                Row::new(NAME, figure, pause, Unit::Millis).spread(Some(added)).beside(beside(Some(calm)))
            }
            (_, _) => Row::missing(NAME, figure, "nothing was answered").in_unit(Unit::Millis),
        };
        report.add(match goal {
            Some(goal) => row.goal(goal),
            None => row,
        });
    }
    report.note(
        NAME,
        format!(
            "{} conversations on {NODES} nodes over one CQL server and one Redis, all on this machine, {} turns a second, {} without and then {} with, in this order: {} shards moved by order, {} by emptying a node and filling it again, {} nodes stopped and started. \
             Percentiles are of the time beyond the model's own while things moved; the pause is what that is above the same percentile without moves. The balancer sends nobody to a node that is emptied or stopped; a turn that is broken off is asked again with the same id, which counts as its time.",
            chats.len(),
            rate,
            with_unit(options.steady().as_secs_f64(), Unit::Seconds),
            with_unit(upheaval.took.as_secs_f64(), Unit::Seconds),
            upheaval.ordered,
            upheaval.drained,
            upheaval.rolled,
        ),
    );
    Ok(())
}

/// Turns at a rate, second by second, until told to stop.
fn talk_until_told(
    chats: &Arc<Chats>,
    rate: f64,
    mut number: u64,
) -> (tokio::task::JoinHandle<Tally>, tokio::sync::oneshot::Sender<()>) {
    let (stop, mut told) = tokio::sync::oneshot::channel();
    let chats = Arc::clone(chats);
    let talking = tokio::spawn(async move {
        let mut all = Tally::default();
        let mut seconds = tokio::task::JoinSet::new();
        let mut due = tokio::time::interval(Duration::from_secs(1));
        loop {
            // Each second is a plan of its own, so that one that takes long does not hold up the next.
            tokio::select! {
                _ = due.tick() => {}
                _ = &mut told => break,
            }
            let plan = Plan::lasting(rate, Duration::from_secs(1));
            let (chats, offset) = (Arc::clone(&chats), number);
            number += plan.arrivals;
            seconds.spawn(async move { chats.talk(plan, offset).await.0 });
        }
        while let Some(second) = seconds.join_next().await {
            if let Ok(second) = second {
                all.add(second);
            }
        }
        all
    });
    (talking, stop)
}

/// Everything that an operator does to a cluster in service.
async fn upheave(cluster: &mut Cluster, moving: Duration) -> Result<Upheaval> {
    let begun = Instant::now();
    let mut upheaval = Upheaval::default();
    let mut round = 0;
    eprintln!("    … shards are moved by order, {MOVED_AT_ONCE} at a time, for {moving:?}");
    while begun.elapsed() < moving {
        upheaval.ordered += cluster.move_some(round % NODES, (round + 1) % NODES, MOVED_AT_ONCE).await?;
        round += 1;
    }
    eprintln!("    … {} shards were moved so; a node is emptied and filled again", upheaval.ordered);
    let emptying = Instant::now();
    upheaval.drained = cluster.drain_and_fill(NODES - 1).await?;
    eprintln!("    … {} shards were moved for that in {:.1?}", upheaval.drained, emptying.elapsed());
    for place in 0..NODES {
        let rolling = Instant::now();
        cluster.stop(place).await?;
        let stopped = rolling.elapsed();
        cluster.restart(place).await?;
        upheaval.rolled += 1;
        let took = rolling.elapsed();
        eprintln!(
            "    … node {} of {NODES} stopped in {stopped:.1?}, and had its share again after {took:.1?}",
            place + 1
        );
    }
    upheaval.took = begun.elapsed();
    Ok(upheaval)
}

fn millis(time: Duration) -> String {
    with_unit(time.as_secs_f64() * 1e3, Unit::Millis)
}
