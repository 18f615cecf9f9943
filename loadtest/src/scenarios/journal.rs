//! `journal`: what a turn costs when the journal is in the CQL store, on one node and on three, beside SQLite; the cost of an append by itself is measured inside
//! the store's crate.

use std::sync::Arc;
use std::time::Duration;

use super::crowd::{Tally, make_agents, open_conversations};
use super::live_chats::Chats;
use crate::cluster::{Balancer, Cluster, Cql};
use crate::error::Result;
use crate::open_loop::{Plan, UNDER_WAY_MAX};
use crate::options::Options;
use crate::report::{At, Report, Row, Unit, with_unit};
use crate::server::{Home, Wanted};
use crate::stand_in::{Pace, StandIn};
use crate::usage::allow_open_files;

/// On the command line and in the report.
pub(crate) const NAME: &str = "journal";

/// Conversations at full scale.
const CHATS: u64 = 500;
/// Turns a second at full scale: what two cores carry with the CQL server beside the nodes, so that all three are measured at one rate.
const TURNS_PER_SECOND: f64 = 50.0;
/// How long opening the conversations may take.
const OPENING: Duration = Duration::from_secs(300);
/// Before counting begins.
const WARM_UP: Duration = Duration::from_secs(3);
/// Connections to the model server and to the other nodes beside those of the visitors.
const OTHERS: u64 = 3_000;

/// What one way to keep the journal came to.
struct Cost {
    way: &'static str,
    tally: Tally,
    nodes: Duration,
    store: Option<Duration>,
}

/// Measures.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    allow_open_files(UNDER_WAY_MAX as u64 + OTHERS)?;
    let stand_in = StandIn::start(Pace::HOSTED).await?;
    let wanted = Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None };
    let mut costs = vec![sqlite(options, &wanted, &stand_in).await?];
    let server = Cql::start(options).await?;
    for (way, nodes) in [("one node over CQL", 1), ("three nodes over CQL", 3)] {
        costs.push(cql(options, &wanted, &stand_in, &server, (way, nodes)).await?);
    }
    let each = |cost: &Cost, used: Duration| used.as_secs_f64() * 1e6 / cost.tally.answered.max(1) as f64;
    let floor = each(&costs[0], costs[0].nodes);
    for cost in &costs {
        let own = each(cost, cost.nodes);
        let store = match cost.store {
            Some(used) => format!("; the CQL server beside it {}", with_unit(each(cost, used), Unit::Micros)),
            None => String::new(),
        };
        let failed: u64 = cost.tally.failures.values().sum();
        report.add(Row::new(NAME, format!("processor time a turn, {}", cost.way), own, Unit::Micros).beside(format!(
            "{} of one node with SQLite{store}; {} turns, {failed} failed",
            with_unit(own / floor.max(f64::EPSILON), Unit::Times),
            cost.tally.answered
        )));
        report.add(Row::timed(
            NAME,
            format!("time added to the model's own, {}, p95", cost.way),
            At::P95,
            Unit::Millis,
            cost.tally.added.percentiles(),
        ));
    }
    report.note(
        NAME,
        format!(
            "Turns at {} in {} conversations each, the same for all three. Processor time is that of all nodes together, without the model server and the generator; the CQL server is one Apache Cassandra on this machine.",
            with_unit(options.rate(TURNS_PER_SECOND), Unit::PerSecond),
            options.scaled(CHATS, 20)
        ),
    );
    Ok(())
}

async fn sqlite(options: &Options, wanted: &Wanted, stand_in: &StandIn) -> Result<Cost> {
    let home = Home::new(options, wanted)?;
    let server = home.start().await?;
    let work = async {
        let agents = make_agents(&server.client, 2, 2).await?;
        let visitors = open_conversations(&server.client, &agents, options.scaled(CHATS, 20), OPENING).await?;
        let balancer = Balancer::of_one(&server.client);
        let chats = Chats::new(Arc::new(balancer), visitors, stand_in.pace())?;
        talk(options, "one node with SQLite", &chats, || Ok((server.usage()?.cpu, None))).await
    };
    let cost = server.process.watch(work).await?;
    server.process.stop().await?;
    Ok(cost)
}

async fn cql(
    options: &Options,
    wanted: &Wanted,
    stand_in: &StandIn,
    server: &Arc<Cql>,
    (way, nodes): (&'static str, usize),
) -> Result<Cost> {
    let cluster = Cluster::start(options, wanted, server, nodes).await?;
    let client = cluster.client()?;
    let work = async {
        let agents = make_agents(&client, 2, 2).await?;
        let visitors = open_conversations(&client, &agents, options.scaled(CHATS, 20), OPENING).await?;
        let chats = Chats::new(Arc::clone(&cluster.balancer), visitors, stand_in.pace())?;
        talk(options, way, &chats, || Ok((cluster.cpu()?, cluster.cql_cpu()?))).await
    };
    let cost = cluster.watch(0, work).await?;
    cluster.end().await?;
    Ok(cost)
}

/// Turns at the rate; `used` tells what nodes and CQL servers have used so far.
async fn talk(
    options: &Options,
    way: &'static str,
    chats: &Arc<Chats>,
    used: impl Fn() -> Result<(Duration, Option<Duration>)>,
) -> Result<Cost> {
    let rate = options.rate(TURNS_PER_SECOND);
    let warm_up = Plan::lasting(rate, WARM_UP.min(options.steady()));
    chats.talk(warm_up, 0).await;
    let before = used()?;
    let (tally, _) = chats.talk(Plan::lasting(rate, options.steady()), warm_up.arrivals).await;
    let after = used()?;
    let store = after.1.zip(before.1).map(|(after, before)| after.saturating_sub(before));
    Ok(Cost { way, tally, nodes: after.0.saturating_sub(before.0), store })
}
