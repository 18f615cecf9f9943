//! `chat-turns`: turns arrive at a fixed rate in many open conversations; the same turns go through a stateless proxy as the floor.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::{Tally, Visitor, is_answer, make_agents, open_conversations};
use crate::api::Owner;
use crate::error::{Error, Result};
use crate::http_client::Client;
use crate::open_loop::{Offered, Plan, UNDER_WAY_MAX};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Process, Wanted, start_floor};
use crate::stand_in::{Pace, StandIn};
use crate::turn::ask;
use crate::usage::{Usage, allow_open_files};
use crate::wording::question;

/// On the command line and in the report.
pub(crate) const NAME: &str = "chat-turns";

/// Conversations open at full scale.
const CONVERSATIONS: u64 = 10_000;
/// Turns a second at full scale.
const TURNS_PER_SECOND: f64 = 1000.0;
/// An offered rate counts as kept from here on: the last answers of a run come a few milliseconds late, and that is all the rest.
const RATE_KEPT: f64 = 0.995;
/// Organizations, and agents of each.
const ORGANIZATIONS: u64 = 10;
const AGENTS_EACH: u64 = 10;
/// Conversations of the row with the local embedder: its rate is a tenth of the other's.
const EMBEDDED_CONVERSATIONS: u64 = 1_000;
/// Part of the embedder's own rate that turns are offered at: at the whole of it any queue grows without end.
const EMBEDDED_LOAD: f64 = 0.8;
/// How long the embedder's own rate is measured, and with how many questions at once.
const EMBEDDER_TIME: Duration = Duration::from_secs(5);
const EMBEDDER_AT_ONCE: u64 = 4;
/// Connections to the model server beside those of the visitors: the server's own limit of 2,000 calls, and some for everything else.
const MODEL_CALLS: u64 = 3_000;
/// How long opening all conversations may take.
const OPENING: Duration = Duration::from_secs(300);
/// Before counting begins: connections are made, caches filled.
const WARM_UP: Duration = Duration::from_secs(3);

/// What one run of turns came to.
struct Load {
    tally: Tally,
    offered: Offered,
    /// Processor time of the process that answered.
    cpu: Duration,
    /// Its memory at the end, bytes.
    resident: u64,
    /// Processor time of this program: generator and model server.
    own_cpu: Duration,
    /// Turns that were not begun within the rate or not answered.
    lost: u64,
}

/// Measures both rows.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let rate = options.rate(TURNS_PER_SECOND);
    allow_open_files(UNDER_WAY_MAX as u64 + MODEL_CALLS)?;
    let stand_in = StandIn::start(Pace::HOSTED).await?;

    let (floor, client) = start_floor(options, stand_in.address()).await?;
    let strangers: Vec<Visitor> = (0..100).map(|_| Visitor::new("floor")).collect();
    let floor_load = floor.watch(load(&floor, &client, &stand_in, strangers, rate, options.steady() / 2)).await?;
    floor.kill().await?;

    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
    let server = home.start().await?;
    let (loaded, opened, served) = server
        .process
        .watch(async {
            let agents = make_agents(&server.client, organizations(options), AGENTS_EACH).await?;
            let visitors =
                open_conversations(&server.client, &agents, options.scaled(CONVERSATIONS, 50), OPENING).await?;
            let opened = visitors.len();
            let before = stand_in.served();
            let loaded = load(&server.process, &server.client, &stand_in, visitors, rate, options.steady()).await?;
            Ok((loaded, opened, stand_in.served() - before))
        })
        .await?;
    server.process.stop().await?;
    rows(report, &loaded, &floor_load, rate, opened);
    report.note(
        NAME,
        format!(
            "{opened} open conversations of {} agents, keyword retrieval, durable journal on this disk ({} in all at the end). The model takes {} to its first words and {} to its last; that is taken off every turn. \
             The floor is an axum proxy without state that passes the same model server's stream on, for half the time at the same rate. {served} model calls for {} turns of the measured time and the warm-up. \
             The generator began turns at most {} late (p99) and used {} of the processor with the model server.",
            options_agents(options),
            with_unit(home.data_bytes() as f64 / f64::from(1 << 20), Unit::Megabytes),
            millis(stand_in.pace().first),
            millis(stand_in.pace().own_time()),
            loaded.tally.answered,
            loaded.tally.lag.percentiles().map_or_else(|| "nothing".into(), |lag| millis(lag.p99)),
            with_unit(loaded.own_cpu.as_secs_f64() / options.steady().as_secs_f64() * 100.0, Unit::Percent),
        ),
    );
    drop(home);
    embedded(options, report, &stand_in).await
}

/// The row with the local embedder, beside the embedder's own rate.
async fn embedded(options: &Options, report: &mut Report, stand_in: &StandIn) -> Result<()> {
    let figure = "turns answered a second, local embedder";
    if options.weights.is_none() {
        report.add(
            Row::missing(
                NAME,
                figure,
                "the embedder's weights are not on this machine (scripts/fetch-weights.sh gets them)",
            )
            .in_unit(Unit::PerSecond),
        );
        return Ok(());
    }
    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "local", carrier: None })?;
    let server = home.start().await?;
    let (own_rate, rate, loaded) = server
        .process
        .watch(async {
            let agents = make_agents(&server.client, 1, 2).await?;
            let (owner, agent) = agents.first().ok_or_else(|| Error::Setup("no agent was made".into()))?;
            let own_rate = embedder_rate(owner, agent).await?;
            let visitors =
                open_conversations(&server.client, &agents, options.scaled(EMBEDDED_CONVERSATIONS, 50), OPENING)
                    .await?;
            let rate = (own_rate * EMBEDDED_LOAD).min(options.rate(TURNS_PER_SECOND));
            let loaded = load(&server.process, &server.client, stand_in, visitors, rate, options.steady()).await?;
            Ok((own_rate, rate, loaded))
        })
        .await?;
    server.process.stop().await?;
    let achieved = loaded.tally.per_second(stand_in.pace().own_time());
    let beside = format!(
        "offered {}; the embedder alone, asked by search: {} (ratio {})",
        with_unit(rate, Unit::PerSecond),
        with_unit(own_rate, Unit::PerSecond),
        with_unit(achieved / own_rate, Unit::Times)
    );
    report.add(Row::new(NAME, figure, achieved, Unit::PerSecond).beside(beside));
    report.add(
        Row::timed(
            NAME,
            "time added to the model's own, local embedder, p95",
            At::P95,
            Unit::Millis,
            loaded.tally.added.percentiles(),
        )
        .beside(lost_in_words(&loaded)),
    );
    Ok(())
}

/// Sends turns at a rate: a warm-up that is not counted, then the measured time.
async fn load(
    process: &Process,
    client: &Arc<Client>,
    stand_in: &StandIn,
    visitors: Vec<Visitor>,
    rate: f64,
    time: Duration,
) -> Result<Load> {
    let visitors = Arc::new(visitors);
    if visitors.is_empty() {
        return Err(Error::Setup("no conversation could be opened".into()));
    }
    let warm_up = Plan::lasting(rate, WARM_UP);
    turns(client, stand_in, &visitors, warm_up, 0, &Arc::default()).await;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let plan = Plan::lasting(rate, time);
    let (before, own_before) = (process.usage()?, Usage::own()?);
    let offered = turns(client, stand_in, &visitors, plan, warm_up.arrivals, &tally).await;
    let (after, own_after) = (process.usage()?, Usage::own()?);
    let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    let lost = plan.arrivals.saturating_sub(tally.answered);
    Ok(Load {
        tally,
        offered,
        cpu: after.cpu_since(&before),
        resident: after.resident,
        own_cpu: own_after.cpu_since(&own_before),
        lost,
    })
}

async fn turns(
    client: &Arc<Client>,
    stand_in: &StandIn,
    visitors: &Arc<Vec<Visitor>>,
    plan: Plan,
    offset: u64,
    tally: &Arc<Mutex<Tally>>,
) -> Offered {
    let model = (stand_in.pace().first, stand_in.pace().own_time());
    plan.run(|arrival, intended| {
        let (client, visitors, tally) = (Arc::clone(client), Arc::clone(visitors), Arc::clone(tally));
        let number = offset + arrival;
        async move {
            // Round robin: a conversation is asked again only when its last answer is long complete.
            let visitor = &visitors[(number % visitors.len() as u64) as usize];
            let token = (!visitor.token.is_empty()).then_some(visitor.token.as_str());
            let begun = Instant::now();
            let outcome = ask(&client, &visitor.request(question(number)), token).await;
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(turn) if turn.answer.as_ref().is_none_or(is_answer) => {
                    tally.answered(intended, begun, turn.first, turn.done, model)
                }
                Ok(_) => tally.failed("an empty answer".into()),
                Err(error) => tally.failed(error.kind()),
            }
        }
    })
    .await
}

/// Questions a second that the embedder answers when nothing else is done: searches, each with new words.
async fn embedder_rate(owner: &Arc<Owner>, agent: &str) -> Result<f64> {
    let begun = Instant::now();
    let counts = futures::future::try_join_all((0..EMBEDDER_AT_ONCE).map(|lane| async move {
        let mut count = 0_u64;
        while begun.elapsed() < EMBEDDER_TIME {
            owner.search(agent, &format!("{} Number {lane}-{count}.", question(count)), 5).await?;
            count += 1;
        }
        Ok::<_, Error>(count)
    }))
    .await?;
    Ok(counts.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

fn rows(report: &mut Report, loaded: &Load, floor: &Load, rate: f64, conversations: usize) {
    let floor_added = floor.tally.added.percentiles();
    let beside_floor = floor_added.map_or_else(
        || "the floor answered nothing".to_owned(),
        |floor| format!("floor p95 {}, p99 {}", millis(floor.p95), millis(floor.p99)),
    );
    let rate_of = |load: &Load| load.tally.per_second(Pace::HOSTED.own_time());
    let added = loaded.tally.added.percentiles();
    report.add(
        Row::new(NAME, "turns answered a second", rate_of(loaded), Unit::PerSecond)
            .goal(Goal::AtLeast(TURNS_PER_SECOND * RATE_KEPT))
            .beside(format!(
                "offered {}; floor {}; {}",
                with_unit(rate, Unit::PerSecond),
                with_unit(rate_of(floor), Unit::PerSecond),
                lost_in_words(loaded)
            )),
    );
    report.add(
        Row::timed(NAME, "time added to the model's own, p95", At::P95, Unit::Millis, added)
            .goal(Goal::AtMost(10.0))
            .beside(beside_floor.clone()),
    );
    report.add(
        Row::timed(NAME, "time added to the model's own, p99", At::P99, Unit::Millis, added)
            .goal(Goal::AtMost(25.0))
            .beside(beside_floor),
    );
    report.add(
        Row::timed(
            NAME,
            "first words beyond the model's own, p95",
            At::P95,
            Unit::Millis,
            loaded.tally.first_added.percentiles(),
        )
        .beside("words are gathered for up to 30 ms"),
    );
    match (cpu_per_turn(loaded), cpu_per_turn(floor)) {
        (Some(ours), Some(theirs)) => {
            let beside = format!(
                "{} a turn, floor {} a turn",
                with_unit(ours * 1e6, Unit::Micros),
                with_unit(theirs * 1e6, Unit::Micros)
            );
            report.add(
                Row::new(NAME, "processor time a turn, by the floor's", ours / theirs, Unit::Times)
                    .goal(Goal::AtMost(3.0))
                    .beside(beside),
            );
        }
        (_, _) => report.add(
            Row::missing(NAME, "processor time a turn, by the floor's", "too little was used to be counted")
                .goal(Goal::AtMost(3.0))
                .in_unit(Unit::Times),
        ),
    }
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let beside = format!(
        "{conversations} conversations in memory; floor {}",
        with_unit(megabytes(floor.resident), Unit::Megabytes)
    );
    report.add(Row::new(NAME, "memory of the server", megabytes(loaded.resident), Unit::Megabytes).beside(beside));
}

/// Seconds; none where the kernel's clock ticks are too coarse to tell.
fn cpu_per_turn(load: &Load) -> Option<f64> {
    (load.tally.answered > 0 && load.cpu > Duration::from_millis(100))
        .then(|| load.cpu.as_secs_f64() / load.tally.answered as f64)
}

fn lost_in_words(load: &Load) -> String {
    if load.lost == 0 {
        return "every turn answered".into();
    }
    let mut parts = vec![format!("{} of {} turns not answered", load.lost, load.lost + load.tally.answered)];
    let failures = load.tally.failures_in_words();
    if !failures.is_empty() {
        parts.push(failures);
    }
    if load.offered.turned_away > 0 {
        parts.push(format!("{} never sent", load.offered.turned_away));
    }
    if load.offered.unfinished > 0 {
        parts.push(format!("{} still open at the end", load.offered.unfinished));
    }
    parts.join("; ")
}

fn millis(time: Duration) -> String {
    with_unit(time.as_secs_f64() * 1e3, Unit::Millis)
}

fn organizations(options: &Options) -> u64 {
    options.scaled(ORGANIZATIONS, 1)
}

fn options_agents(options: &Options) -> u64 {
    organizations(options) * AGENTS_EACH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_floor_itself_is_measured_by_the_same_turns() {
        let stand_in = StandIn::start(Pace { first: Duration::from_millis(20), gap: Duration::from_millis(1) })
            .await
            .expect("stand-in");
        // The model server is asked over the visitor's path here: what counts is that its stream is read as a turn.
        let (listener, address) = crate::floor::listen().await.expect("listener");
        tokio::spawn(crate::floor::serve_on(listener, crate::floor::app(stand_in.address())));
        let visitors = Arc::new(vec![Visitor::new("floor")]);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let offered =
            turns(&Client::new(address), &stand_in, &visitors, Plan { per_second: 200.0, arrivals: 40 }, 0, &tally)
                .await;
        let tally = std::mem::take(&mut *tally.lock().expect("tally"));
        assert_eq!((offered.begun, tally.answered, tally.failures.len()), (40, 40, 0), "{}", tally.failures_in_words());
        assert_eq!(tally.first_added.percentiles().expect("first words").count, 40);
    }

    #[test]
    fn losses_are_told_by_kind() {
        let mut tally = Tally { answered: 7, ..Tally::default() };
        tally.failed("503 busy".into());
        let offered = Offered { turned_away: 1, unfinished: 1, ..Offered::default() };
        let load = Load { tally, offered, cpu: Duration::ZERO, resident: 0, own_cpu: Duration::ZERO, lost: 3 };
        assert_eq!(
            lost_in_words(&load),
            "3 of 10 turns not answered; 1× 503 busy; 1 never sent; 1 still open at the end"
        );
        assert_eq!(cpu_per_turn(&load), None);
    }
}
