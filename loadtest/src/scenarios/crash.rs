//! `crash`: kill -9 of one node of three under load; what was acknowledged, and how soon every conversation answers again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::{make_agents, open_conversations};
use super::live_chats::Chats;
use crate::api::Owner;
use crate::cluster::{Cluster, Cql};
use crate::error::{Error, Result};
use crate::open_loop::{Plan, UNDER_WAY_MAX};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::Wanted;
use crate::spread::Spread;
use crate::stand_in::{Pace, StandIn};
use crate::usage::allow_open_files;

/// On the command line and in the report.
pub(crate) const NAME: &str = "crash";

/// Nodes, as in the smallest cluster that one should run.
const NODES: usize = 3;
/// Who dies; not the one that was used for setting up.
const VICTIM: usize = 1;
/// Conversations at full scale.
const CHATS: u64 = 500;
/// Turns a second at full scale, before, while and after the node dies.
const TURNS_PER_SECOND: f64 = 50.0;
/// How long opening the conversations may take.
const OPENING: Duration = Duration::from_secs(300);
/// How long a conversation is asked until it counts as silent: four times the goal.
const ASKED_FOR: Duration = Duration::from_secs(60);
/// Connections to the model server and to the other nodes beside those of the visitors.
const OTHERS: u64 = 3_000;

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

    let plan = Plan::lasting(options.rate(TURNS_PER_SECOND), options.steady());
    let (before, _) = chats.talk(plan, 0).await;
    let during = {
        let chats = Arc::clone(&chats);
        tokio::spawn(async move { chats.talk(plan, plan.arrivals).await })
    };
    // In the middle of answers: the first of them are being streamed by then.
    tokio::time::sleep(stand_in.pace().own_time()).await;
    let killed = Instant::now();
    cluster.kill(VICTIM).await?;
    let (answered, silent) = chats.all_answer(killed, ASKED_FOR).await;
    let (during, _) = during.await.map_err(|error| Error::Setup(format!("talking broke: {error}")))?;
    let begun = Instant::now();
    cluster.restart(VICTIM).await?;
    let back = begun.elapsed();
    let (after, _) = chats.talk(plan, plan.arrivals * 2).await;
    let kept = chats.kept(&owners).await?;
    cluster.end().await?;

    let mut spread = Spread::default();
    answered.iter().for_each(|time| spread.add(*time));
    report.add(
        Row::new(NAME, "acknowledged messages lost or doubled", (kept.lost + kept.doubled) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!("{} lost, {} doubled of {} acknowledged", kept.lost, kept.doubled, kept.acknowledged)),
    );
    let slowest = answered.iter().max().copied().unwrap_or_default();
    let figure = "every conversation answers again after";
    report.add(match silent {
        0 => Row::new(NAME, figure, slowest.as_secs_f64(), Unit::Seconds)
            .goal(Goal::AtMost(15.0))
            .spread(spread.percentiles())
            .beside(format!(
                "{} conversations, each asked from the kill on; the model's own {} included",
                answered.len(),
                with_unit(stand_in.pace().own_time().as_secs_f64(), Unit::Seconds)
            )),
        silent => {
            Row::missing(NAME, figure, format!("{silent} of {} did not answer within {ASKED_FOR:?}", chats.len()))
                .goal(Goal::AtMost(15.0))
                .in_unit(Unit::Seconds)
        }
    });
    let failed: u64 = [&before, &during, &after].iter().flat_map(|tally| tally.failures.values()).sum();
    report.add(
        Row::new(NAME, "turns given up by their visitors", failed as f64, Unit::Count).goal(Goal::AtMost(0.0)).beside(
            format!(
                "of {} at {} before, while and after; {} attempts repeated",
                plan.arrivals * 3,
                with_unit(options.rate(TURNS_PER_SECOND), Unit::PerSecond),
                chats.retries()
            ),
        ),
    );
    report.add(
        Row::timed(
            NAME,
            "time added to the model's own once all is well again, p95",
            At::P95,
            Unit::Millis,
            after.added.percentiles(),
        )
        .beside(before.added.percentiles().map_or_else(String::new, |before| {
            format!("before the kill p95 {}", with_unit(before.p95.as_secs_f64() * 1e3, Unit::Millis))
        })),
    );
    report.note(
        NAME,
        format!(
            "{} conversations on {NODES} nodes over one CQL server and one Redis, all on this machine. Under load one node is killed with SIGKILL; from then on every conversation says something new and insists, with the same message, at the frontends that are left. \
             The node was ready and had its share again {} after it was started.",
            chats.len(),
            with_unit(back.as_secs_f64(), Unit::Seconds)
        ),
    );
    Ok(())
}
