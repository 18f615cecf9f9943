//! `start`: how soon a server with a large journal is ready, and how soon a conversation nobody has touched since answers.

use std::time::Duration;

use super::crowd::{Tally, Visitor, is_answer, make_agents, open_conversations};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted};
use crate::spread::{Percentiles, Spread};
use crate::stand_in::{Pace, StandIn};
use crate::turn::ask;
use crate::usage::allow_open_files;
use crate::wording::{Dice, question};
use tokio::time::Instant;

/// On the command line and in the report.
pub(crate) const NAME: &str = "start";

/// Conversations in the journal at full scale.
const CONVERSATIONS: u64 = 100_000;
/// How long making them may take; what is there then is what is measured.
const MAKING: Duration = Duration::from_secs(15 * 60);
/// Cold conversations asked after a start.
const COLD: u64 = 200;

/// Makes the journal, then starts on it after a clean stop and after a kill.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    allow_open_files(10_000)?;
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
    let server = home.start().await?;
    let empty = server.ready_after;
    let wanted = options.scaled(CONVERSATIONS, 50);
    let begun = Instant::now();
    let visitors = server
        .process
        .watch(async {
            let agents = make_agents(&server.client, options.scaled(10, 1), 5).await?;
            open_conversations(&server.client, &agents, wanted, MAKING).await
        })
        .await?;
    let made = begun.elapsed();
    if visitors.is_empty() {
        return Err(Error::Setup("no conversation could be opened".into()));
    }
    let full = server.usage()?.resident as f64 / f64::from(1 << 20);
    server.process.stop().await?;
    let size = with_unit(home.data_bytes() as f64 / f64::from(1 << 20), Unit::Megabytes);
    let circumstance =
        format!("{} conversations, {size}; empty: {}", visitors.len(), with_unit(empty.as_secs_f64(), Unit::Seconds));

    let server = home.start().await?;
    report.add(
        Row::new(NAME, "ready after a clean stop", server.ready_after.as_secs_f64(), Unit::Seconds)
            .goal(Goal::AtMost(2.0))
            .beside(circumstance.clone()),
    );
    let (first, cold, failures) = server.process.watch(turns(&server, &visitors)).await?;
    let (_, warm, _) = server.process.watch(turns(&server, &visitors)).await?;
    report.add(
        Row::new(NAME, "first turn of all after the start", first.as_secs_f64() * 1e3, Unit::Millis)
            .beside("its agent's index and configuration are cold as well"),
    );
    report.add(
        Row::timed(NAME, "first turn of a cold conversation, p95", At::P95, Unit::Millis, cold.percentiles())
            .goal(Goal::AtMost(20.0))
            .beside(beside_warm(cold.percentiles(), warm.percentiles(), &failures)),
    );
    let resident = server.usage()?.resident as f64 / f64::from(1 << 20);
    report.add(
        Row::new(NAME, "memory after the start and the cold turns", resident, Unit::Megabytes)
            .beside(format!("before the stop, every conversation touched: {}", with_unit(full, Unit::Megabytes))),
    );

    server.process.kill().await?;
    let server = home.start().await?;
    report.add(
        Row::new(NAME, "ready after kill -9", server.ready_after.as_secs_f64(), Unit::Seconds)
            .goal(Goal::AtMost(2.0))
            .beside(circumstance),
    );
    let (_, _, failures) = server.process.watch(turns(&server, &visitors)).await?;
    if !failures.is_empty() {
        report.note(NAME, format!("after kill -9: {failures}"));
    }
    server.process.stop().await?;
    report.note(
        NAME,
        format!(
            "The journal was made over the public API: {} of {wanted} conversations of one question and one answer each in {}. Ready means that /health/readyz says so, asked every 5 ms from the start of the process.",
            visitors.len(),
            with_unit(made.as_secs_f64(), Unit::Seconds)
        ),
    );
    Ok(())
}

/// The same conversations asked once more are the peer: they are in memory by then.
fn beside_warm(cold: Option<Percentiles>, warm: Option<Percentiles>, failures: &str) -> String {
    let mut parts = vec!["the model answers at once".to_owned()];
    if let (Some(cold), Some(warm)) = (cold, warm) {
        let ratio = cold.p95.as_secs_f64() / warm.p95.as_secs_f64().max(1e-6);
        parts.push(format!(
            "the same conversations once more, warm: p50 {}, p95 {} (ratio {})",
            with_unit(warm.p50.as_secs_f64() * 1e3, Unit::Millis),
            with_unit(warm.p95.as_secs_f64() * 1e3, Unit::Millis),
            with_unit(ratio, Unit::Times)
        ));
    }
    if !failures.is_empty() {
        parts.push(failures.to_owned());
    }
    parts.join("; ")
}

/// Asks conversations picked all over the journal, one after the other, each time the same: the first, the rest, and what failed.
async fn turns(server: &Server, visitors: &[Visitor]) -> Result<(Duration, Spread, String)> {
    let mut dice = Dice::new(visitors.len() as u64);
    let mut tally = Tally::default();
    let (mut first, mut rest) = (None, Spread::default());
    let count = COLD.min(visitors.len() as u64);
    // None twice: the second time it would not be cold.
    let step = visitors.len() as u64 / count.max(1);
    for number in 0..count {
        let visitor = &visitors[(number * step) as usize + dice.below(step as usize)];
        let begun = Instant::now();
        match ask(&server.client, &visitor.request(question(number)), Some(&visitor.token)).await {
            Ok(turn) if turn.answer.as_ref().is_some_and(is_answer) => {
                let took = turn.done.duration_since(begun);
                if first.is_none() {
                    first = Some(took);
                } else {
                    rest.add(took);
                }
            }
            Ok(_) => tally.failed("an empty answer".into()),
            Err(error) => tally.failed(error.kind()),
        }
    }
    let first = first.ok_or_else(|| {
        Error::unexpected("POST /api/chat", format!("no cold conversation answered: {}", tally.failures_in_words()))
    })?;
    Ok((first, rest, tally.failures_in_words()))
}
