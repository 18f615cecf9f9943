//! `calls`: concurrent telephone calls in Retell's protocol: how soon the first words come, how soon an interrupted answer falls silent, what a turn costs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::Instant;

use super::crowd::make_agents;
use crate::api::Owner;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::retell::{Call, Course, Heard, lead_all};
use crate::server::{Home, Process, Wanted, start_call_floor};
use crate::stand_in::{Pace, StandIn};
use crate::usage::allow_open_files;

/// On the command line and in the report.
pub(crate) const NAME: &str = "calls";

/// Calls at once at full scale.
const CALLS: u64 = 1_000;
/// From one question of a caller to the next: some seconds of speech each way.
const EVERY: Duration = Duration::from_secs(10);
/// Calls that begin within a second: greetings are not what is measured.
const BEGUN_PER_SECOND: f64 = 100.0;
/// Agents, each an organization's own.
const AGENTS: u64 = 10;
/// How long after the last question all calls must be over.
const OVER: Duration = Duration::from_secs(60);
/// Calls of a page of the list.
const PAGE: usize = 100;

/// What a load came to, and what it took.
struct Load {
    heard: Heard,
    cpu: Duration,
    resident: u64,
}

/// Measures.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let count = options.scaled(CALLS, 10);
    allow_open_files(count * 4 + 1_000)?;
    let stand_in = StandIn::start(Pace::HOSTED).await?;

    let (floor, client) = start_call_floor(options, stand_in.address()).await?;
    let strangers = vec!["/calls".to_owned()];
    let floor_load =
        floor.watch(load(options, &floor, client.server(), &strangers, count, 0, stand_in.pace().first)).await?;
    floor.kill().await?;

    let wanted = Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None };
    let home = Home::new(options, &wanted)?;
    let server = home.start().await?;
    let (loaded, own) = server
        .process
        .watch(async {
            let agents = make_agents(&server.client, options.scaled(AGENTS, 1), 1).await?;
            let mut paths = Vec::new();
            for (owner, agent) in &agents {
                paths.push(voice(owner, agent).await?);
            }
            let own = stand_in.pace().first_sentence();
            let server_at = server.client.server();
            let loaded = load(options, &server.process, server_at, &paths, count, count, own).await?;
            Ok((loaded, conversations(&agents).await?))
        })
        .await?;
    server.process.stop().await?;
    rows(report, &loaded, &floor_load, count);
    report.add(
        Row::new(NAME, "calls without exactly one conversation of their own", count.abs_diff(own) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!("{own} conversations of {count} calls, counted from the list of calls")),
    );
    report.note(
        NAME,
        format!(
            "{count} calls at once over Retell's custom-LLM socket, each asking every {} s with the whole transcript; one question of five is interrupted behind its first sentence, one call of ten loses its \
             connection and comes back. The model takes {} to its first sentence, which is what the agent begins to speak with; that is taken off. The floor is a server without state that \
             passes the model's pieces on as they come ({} to the first, taken off as well).",
            EVERY.as_secs(),
            millis(stand_in.pace().first_sentence()),
            millis(stand_in.pace().first),
        ),
    );
    Ok(())
}

/// Lets an agent answer the telephone, and gives the path of its socket.
async fn voice(owner: &Arc<Owner>, agent: &str) -> Result<String> {
    let path = format!("/api/agents/{agent}");
    owner.call(Method::PATCH, &path, Some(&json!({ "voice_enabled": true }))).await?;
    let shown = owner.get(&path).await?;
    let url = shown["voice_socket_url"].as_str().unwrap_or_default();
    let at = url.find("/api/").ok_or_else(|| Error::unexpected(&path, "no voice_socket_url"))?;
    Ok(url[at..].to_owned())
}

/// Conversations that calls have, each counted once, of calls that are completed.
async fn conversations(agents: &[(Arc<Owner>, String)]) -> Result<u64> {
    let mut own = BTreeSet::new();
    for (owner, agent) in agents {
        let mut cursor = String::new();
        loop {
            let path = format!("/api/voice/calls?agent_id={agent}&limit={PAGE}{cursor}");
            let page = owner.get(&path).await?;
            let items = page["items"].as_array().ok_or_else(|| Error::unexpected(&path, "no items"))?;
            own.extend(items.iter().filter_map(|call| call["conversation_id"].as_str().map(str::to_owned)));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    Ok(own.len() as u64)
}

async fn load(
    options: &Options,
    process: &Process,
    server: std::net::SocketAddr,
    paths: &[String],
    count: u64,
    first_number: u64,
    own: Duration,
) -> Result<Load> {
    let turns = (options.seconds / EVERY.as_secs()).max(1);
    let now = Instant::now();
    let calls = (0..count)
        .map(|n| {
            let begin = now + Duration::from_secs_f64(n as f64 / BEGUN_PER_SECOND);
            let path = &paths[(n % paths.len() as u64) as usize];
            let course = Course { first: begin + EVERY, every: EVERY, turns, own };
            (begin, Call::new(server, path, first_number + n), course)
        })
        .collect::<Vec<_>>();
    let within = EVERY * (turns as u32 + 2) + Duration::from_secs_f64(count as f64 / BEGUN_PER_SECOND) + OVER;
    let before = process.usage()?;
    let heard = lead_all(calls, within).await?;
    let after = process.usage()?;
    Ok(Load { heard, cpu: after.cpu_since(&before), resident: after.resident })
}

fn rows(report: &mut Report, loaded: &Load, floor: &Load, count: u64) {
    let (heard, theirs) = (&loaded.heard, &floor.heard);
    let beside = theirs
        .first
        .percentiles()
        .map_or_else(|| "the floor answered nothing".to_owned(), |floor| format!("floor p95 {}", millis(floor.p95)));
    report.add(
        Row::timed(NAME, "first words beyond the model's own, p95", At::P95, Unit::Millis, heard.first.percentiles())
            .goal(Goal::AtMost(20.0))
            .beside(beside),
    );
    report.add(
        Row::timed(
            NAME,
            "from an interruption to the last word of what was interrupted, p95",
            At::P95,
            Unit::Millis,
            heard.silence.percentiles(),
        )
        .goal(Goal::AtMost(20.0))
        .beside(format!("{} pieces came late in all; floor {}", heard.late_words, theirs.late_words)),
    );
    let slowest = heard.pings.percentiles().map(|pings| pings.max);
    report.add(match slowest {
        Some(slowest) => Row::new(NAME, "slowest answer to a ping", slowest.as_secs_f64() * 1e3, Unit::Millis)
            .goal(Goal::AtMost(1_000.0))
            .spread(heard.pings.percentiles())
            .beside(
                theirs.pings.percentiles().map_or_else(String::new, |floor| format!("floor {}", millis(floor.max))),
            ),
        None => Row::missing(NAME, "slowest answer to a ping", "no ping was answered")
            .goal(Goal::AtMost(1_000.0))
            .in_unit(Unit::Millis),
    });
    let failures: Vec<String> = heard.failures.iter().map(|(kind, times)| format!("{times}× {kind}")).collect();
    report.add(
        Row::new(NAME, "calls that did not come to their end", (count - heard.ended) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!(
                "{} questions, {} answered to the end, {} connections lost and taken up again{}{}",
                heard.asked,
                heard.answered,
                heard.lost,
                if failures.is_empty() { "" } else { "; " },
                failures.join(", ")
            )),
    );
    if let (Some(ours), Some(floor_each)) = (each(loaded), each(floor)) {
        report.add(Row::new(NAME, "processor time a question, by the floor's", ours / floor_each, Unit::Times).beside(
            format!(
                "{} a question with everything around it, floor {}",
                with_unit(ours * 1e6, Unit::Micros),
                with_unit(floor_each * 1e6, Unit::Micros)
            ),
        ));
    }
    let megabytes = |bytes: u64| with_unit(bytes as f64 / f64::from(1 << 20), Unit::Megabytes);
    report.add(
        Row::new(NAME, "memory of the server", loaded.resident as f64 / f64::from(1 << 20), Unit::Megabytes)
            .beside(format!("after {count} calls; floor {}", megabytes(floor.resident))),
    );
}

/// Seconds of processor time for a question.
fn each(load: &Load) -> Option<f64> {
    (load.heard.asked > 0 && load.cpu > Duration::from_millis(50))
        .then(|| load.cpu.as_secs_f64() / load.heard.asked as f64)
}

fn millis(time: Duration) -> String {
    with_unit(time.as_secs_f64() * 1e3, Unit::Millis)
}
