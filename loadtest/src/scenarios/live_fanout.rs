//! `live-fanout`: facts come in at a fixed rate while many dashboards of one organization watch them arrive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use colloquy_wire::live::{LiveClient, LiveServer};
use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::crowd::{Tally, Visitor, make_agents, many, open_conversations};
use super::screen::{Frames, Screen, rising_counter};
use crate::api::Owner;
use crate::error::{Error, Result};
use crate::http_client::Client;
use crate::open_loop::Plan;
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted};
use crate::socket::Socket;
use crate::spread::Spread;
use crate::stand_in::{Pace, StandIn};
use crate::turn::ask;
use crate::usage::{Usage, allow_open_files};
use crate::wording::question;

/// On the command line and in the report.
pub(crate) const NAME: &str = "live-fanout";

/// Dashboards, facts a second and conversations at full scale.
const DASHBOARDS: u64 = 1000;
const FACTS_PER_SECOND: f64 = 1000.0;
const CONVERSATIONS: u64 = 1000;
/// How long conversations may take to open.
const OPENING: Duration = Duration::from_secs(120);
/// How long a snapshot may take.
const SNAPSHOT: Duration = Duration::from_secs(20);
/// How long screens may take to show the last fact before they count as wrong.
const CATCH_UP: Duration = Duration::from_secs(15);
/// How often waiting looks.
const POLL: Duration = Duration::from_millis(50);
/// How long a counter must stand still to be called settled: twenty ticks.
const STILL: Duration = Duration::from_secs(1);
/// Rows of one page of a journal, the contract's most.
const PAGE: usize = 200;

/// What the screens have in common.
struct Wall {
    counter: String,
    base: i64,
    frames: Frames,
    /// When facts began to be due, and how fast.
    begin: watch::Receiver<Option<(Instant, Plan)>>,
    delays: Mutex<Spread>,
    frames_seen: AtomicU64,
    lit: AtomicU64,
}

/// What one screen shows at the moment.
#[derive(Debug, Default)]
struct Shown {
    value: AtomicU64,
    jumps: AtomicU64,
    gaps: AtomicU64,
}

/// Measures from fact to screen, and recounts.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    allow_open_files(options.scaled(DASHBOARDS, 5) + 10_000)?;
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
    let server = home.start().await?;
    server.process.watch(measure(options, report, &server)).await?;
    server.process.stop().await
}

async fn measure(options: &Options, report: &mut Report, server: &Server) -> Result<()> {
    let agents = make_agents(&server.client, 1, 4).await?;
    let owner = Arc::clone(&agents.first().ok_or_else(|| Error::Setup("no agent was made".into()))?.0);
    let visitors = held_conversations(options, server, &owner, &agents).await?;

    // One message tells which counter on the screen counts messages.
    let before = settled(server, &owner).await?;
    say(&server.client, &visitors[0], 0).await?;
    let after = settled(server, &owner).await?;
    let counter = rising_counter(&before, &after)
        .ok_or_else(|| Error::unexpected("GET /api/live", "no counter of the overview rises with a message"))?;
    let base = after.counter(&counter).unwrap_or_default();

    let (start, begin) = watch::channel(None);
    let wall = Arc::new(Wall {
        counter,
        base,
        frames: Frames::default(),
        begin,
        delays: Mutex::default(),
        frames_seen: AtomicU64::new(0),
        lit: AtomicU64::new(0),
    });
    let dashboards = options.scaled(DASHBOARDS, 5);
    let (shown, mut screens) = light_up(server, &owner, &wall, dashboards).await?;

    let plan = Plan::lasting(options.rate(FACTS_PER_SECOND), options.steady());
    let tally = Arc::new(Mutex::new(Tally::default()));
    let (cpu_before, own_before) = (server.usage()?, Usage::own()?);
    start.send_replace(Some((Instant::now(), plan)));
    let visitors = Arc::new(visitors);
    let offered = plan
        .run(|fact, intended| {
            let (client, visitors, tally) = (Arc::clone(&server.client), Arc::clone(&visitors), Arc::clone(&tally));
            async move {
                let begun = Instant::now();
                let outcome = say(&client, &visitors[(fact % visitors.len() as u64) as usize], fact).await;
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(()) => tally.answered(intended, begun, None, Instant::now(), (Duration::ZERO, Duration::ZERO)),
                    Err(error) => tally.failed(error.kind()),
                }
            }
        })
        .await;
    let (cpu_after, own_after) = (server.usage()?, Usage::own()?);
    let tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    let wanted = base.unsigned_abs() + tally.answered;
    let right = caught_up(&shown, wanted).await;
    let ended_early = std::iter::from_fn(|| screens.try_join_next()).count();
    screens.shutdown().await;
    let recount = recount(&owner, &visitors).await?;
    let fresh = snapshot(server, &owner).await?.counter(&wall.counter);

    let delays = wall.delays.lock().unwrap_or_else(PoisonError::into_inner).percentiles();
    let stored = tally.added.percentiles().map_or(0.0, |stored| stored.p99.as_secs_f64() * 1e3);
    report.add(
        Row::timed(NAME, "fact to screen, p99", At::P99, Unit::Millis, delays).goal(Goal::AtMost(120.0)).beside(
            format!(
                "one delta a 50 ms tick; floor: the sender's own acknowledgement p99 {} (ratio {})",
                with_unit(stored, Unit::Millis),
                with_unit(delays.map_or(0.0, |delays| delays.p99.as_secs_f64() * 1e3) / stored.max(0.1), Unit::Times)
            ),
        ),
    );
    let rate = format!(
        "offered {}; {}",
        with_unit(plan.per_second, Unit::PerSecond),
        if tally.failures.is_empty() { "none refused".into() } else { tally.failures_in_words() }
    );
    report.add(
        Row::new(NAME, "facts stored a second", tally.per_second(Duration::ZERO), Unit::PerSecond)
            .goal(Goal::AtLeast(FACTS_PER_SECOND * 0.995))
            .beside(rate)
            .spread(tally.added.percentiles()),
    );
    let equal = if recount == wanted && fresh == i64::try_from(wanted).ok() { right } else { 0 };
    let sum = format!(
        "of {dashboards}; acknowledged {wanted}, journals {recount}, a fresh snapshot {}",
        fresh.map_or("nothing".into(), |value| value.to_string())
    );
    report.add(
        Row::new(NAME, "screens equal to the recount", equal as f64, Unit::Count)
            .goal(Goal::AtLeast(DASHBOARDS as f64))
            .beside(sum),
    );
    let count =
        |pick: fn(&Shown) -> &AtomicU64| shown.iter().map(|screen| pick(screen).load(Ordering::Relaxed)).sum::<u64>();
    let breaks = count(|screen| &screen.jumps) + ended_early as u64;
    report.add(
        Row::new(NAME, "sequence jumps and lost sockets", breaks as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!("{} announced gaps", count(|screen| &screen.gaps))),
    );
    let busy = |time: Duration| with_unit(time.as_secs_f64() / options.steady().as_secs_f64() * 100.0, Unit::Percent);
    let cpu = cpu_after.cpu_since(&cpu_before);
    report.add(
        Row::new(
            NAME,
            "processor of the server",
            cpu.as_secs_f64() / options.steady().as_secs_f64() * 100.0,
            Unit::Percent,
        )
        .beside(format!("of one core; dashboards and generator {}", busy(own_after.cpu_since(&own_before)))),
    );
    report.note(
        NAME,
        format!(
            "A fact is a visitor's message in a conversation whose floor a person holds, so that no model is asked ({} conversations). The n-th rise of the counter `{}` is compared with the n-th message's due time: \
             messages overtake each other, so a single delay may be off by the time between two, the distribution is not. {} messages were sent, {} frames shown. The recount adds up the messages in the journals of all conversations.",
            visitors.len(),
            wall.counter,
            offered.begun,
            wall.frames_seen.load(Ordering::Relaxed),
        ),
    );
    Ok(())
}

/// Conversations in which a person has the floor, and so nobody answers.
async fn held_conversations(
    options: &Options,
    server: &Server,
    owner: &Arc<Owner>,
    agents: &[(Arc<Owner>, String)],
) -> Result<Vec<Visitor>> {
    let visitors = open_conversations(&server.client, agents, options.scaled(CONVERSATIONS, 10), OPENING).await?;
    if visitors.is_empty() {
        return Err(Error::Setup("no conversation could be opened".into()));
    }
    let (owner, held) = (Arc::clone(owner), Arc::new(visitors));
    let all = Arc::clone(&held);
    many(held.len() as u64, move |number| {
        let (owner, path) =
            (Arc::clone(&owner), format!("/api/conversations/{}/takeover", all[number as usize].conversation));
        async move { owner.call(Method::POST, &path, None::<&()>).await.map(drop) }
    })
    .await?;
    Ok(Arc::unwrap_or_clone(held))
}

/// A visitor's message to a person: acknowledged with an empty answer.
async fn say(client: &Arc<Client>, visitor: &Visitor, number: u64) -> Result<()> {
    let turn = ask(client, &visitor.request(question(number)), Some(&visitor.token)).await?;
    match turn.answer {
        Some(answer) if answer.message_id.is_none() && answer.response.is_empty() => Ok(()),
        Some(_) | None => Err(Error::unexpected("POST /api/chat", "an answer while a person holds the floor")),
    }
}

/// Connects the dashboards and waits until each shows its snapshot.
async fn light_up(
    server: &Server,
    owner: &Arc<Owner>,
    wall: &Arc<Wall>,
    count: u64,
) -> Result<(Arc<Vec<Shown>>, JoinSet<Result<()>>)> {
    let shown: Arc<Vec<Shown>> = Arc::new((0..count).map(|_| Shown::default()).collect());
    let sockets = {
        let (address, owner) = (server.client.server(), Arc::clone(owner));
        many(count, move |number| subscribe(address, Arc::clone(&owner), number)).await?
    };
    let mut screens = JoinSet::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        screens.spawn(watch_screen(socket, Arc::clone(wall), Arc::clone(&shown), number));
    }
    let all = async {
        while wall.lit.load(Ordering::Relaxed) < count {
            tokio::time::sleep(POLL).await;
        }
    };
    let in_time = tokio::time::timeout(SNAPSHOT, all).await;
    in_time.map_err(|_| Error::NotInTime { what: format!("snapshots on {count} dashboards"), after: SNAPSHOT })?;
    Ok((shown, screens))
}

async fn subscribe(server: std::net::SocketAddr, owner: Arc<Owner>, number: u64) -> Result<Socket> {
    let mut socket = Socket::connect(server, "/api/live", number).await?;
    socket.send(&LiveClient::Auth { token: owner.token().await? }).await?;
    socket.send(&LiveClient::Subscribe { topic: "overview".into(), since: None }).await?;
    Ok(socket)
}

async fn watch_screen(mut socket: Socket, wall: Arc<Wall>, shown: Arc<Vec<Shown>>, number: usize) -> Result<()> {
    let mut screen = Screen::default();
    let mine = &shown[number];
    let mut seen = 0;
    while let Some(text) = socket.text().await? {
        let arrived = Instant::now();
        let Some(frame) = wall.frames.parse(&text) else {
            continue;
        };
        if let LiveServer::Error { code, .. } = frame.as_ref() {
            return Err(Error::unexpected("GET /api/live", code.clone()));
        }
        let dark = !screen.is_lit();
        screen.show(&frame);
        wall.frames_seen.fetch_add(1, Ordering::Relaxed);
        let value = screen.counter(&wall.counter).unwrap_or_default();
        mine.value.store(value.unsigned_abs(), Ordering::Relaxed);
        mine.jumps.store(screen.jumps, Ordering::Relaxed);
        mine.gaps.store(screen.gaps, Ordering::Relaxed);
        if dark && screen.is_lit() {
            wall.lit.fetch_add(1, Ordering::Relaxed);
        }
        let counted = u64::try_from(value - wall.base).unwrap_or_default();
        if counted > seen
            && let Some((start, plan)) = *wall.begin.borrow()
        {
            let mut delays = wall.delays.lock().unwrap_or_else(PoisonError::into_inner);
            (seen..counted).for_each(|fact| delays.add(arrived.duration_since(start + plan.intended(fact))));
            seen = counted;
        }
    }
    Ok(())
}

/// What a dashboard opened now shows.
async fn snapshot(server: &Server, owner: &Arc<Owner>) -> Result<Screen> {
    let mut socket = subscribe(server.client.server(), Arc::clone(owner), 0).await?;
    socket
        .wait_for("a snapshot of the overview", SNAPSHOT, |frame: LiveServer| match frame {
            LiveServer::Snapshot { .. } => {
                let mut screen = Screen::default();
                screen.show(&frame);
                Ok(Some(screen))
            }
            LiveServer::Error { code, .. } => Err(Error::unexpected("GET /api/live", code)),
            LiveServer::Delta { .. } | LiveServer::Gap { .. } => Ok(None),
        })
        .await
}

/// The overview once it stands still.
async fn settled(server: &Server, owner: &Arc<Owner>) -> Result<Screen> {
    let begun = Instant::now();
    let mut last = snapshot(server, owner).await?;
    let mut since = Instant::now();
    while since.elapsed() < STILL {
        if begun.elapsed() > CATCH_UP {
            return Err(Error::NotInTime { what: "the overview to stand still".into(), after: CATCH_UP });
        }
        tokio::time::sleep(POLL * 4).await;
        let now = snapshot(server, owner).await?;
        if now.counters() != last.counters() {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// How many screens show the value, once all do or the time is over.
async fn caught_up(shown: &[Shown], wanted: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let right = shown.iter().filter(|screen| screen.value.load(Ordering::Relaxed) == wanted).count();
        if right == shown.len() || begun.elapsed() > CATCH_UP {
            return right as u64;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Messages in the journals of all conversations, as the dashboards count them.
async fn recount(owner: &Arc<Owner>, visitors: &Arc<Vec<Visitor>>) -> Result<u64> {
    let (owner, all) = (Arc::clone(owner), Arc::clone(visitors));
    let counts = many(visitors.len() as u64, move |number| {
        let (owner, path) =
            (Arc::clone(&owner), format!("/api/conversations/{}/journal", all[number as usize].conversation));
        async move {
            let (mut count, mut after) = (0, 0);
            loop {
                let page = owner.get(&format!("{path}?after={after}&limit={PAGE}")).await?;
                let events = page["items"].as_array().ok_or_else(|| Error::unexpected(&path, "no items"))?;
                count += events.iter().filter(|event| is_message(event)).count() as u64;
                match events.last().and_then(|event| event["seq"].as_u64()) {
                    Some(seq) if seq > after && !page["next_cursor"].is_null() => after = seq,
                    Some(_) | None => return Ok(count),
                }
            }
        }
    })
    .await?;
    Ok(counts.iter().sum())
}

/// Whether an event of a journal is a message that visitors see, whoever wrote it; the event stands in the row or in its `event`.
fn is_message(row: &Value) -> bool {
    let kinds = [&row["type"], &row["event"]["type"]];
    kinds.iter().filter_map(|kind| kind.as_str()).any(|kind| matches!(kind, "posted" | "answered" | "human_said"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_of_either_side_are_found_in_a_journal() {
        assert!(is_message(&json!({ "seq": 2, "event": { "type": "posted", "text": "Hi" } })));
        assert!(is_message(&json!({ "seq": 2, "type": "posted" })));
        assert!(is_message(&json!({ "seq": 3, "event": { "type": "answered", "text": "Hello" } })));
        assert!(!is_message(&json!({ "seq": 1, "event": { "type": "started" } })));
        assert!(!is_message(&json!({ "seq": 4, "event": { "type": "whispered", "text": "He is angry" } })));
    }

    #[tokio::test(start_paused = true)]
    async fn screens_that_never_catch_up_are_counted_and_given_up() {
        let shown: Vec<Shown> =
            [5, 5, 4].into_iter().map(|value| Shown { value: AtomicU64::new(value), ..Shown::default() }).collect();
        assert_eq!(caught_up(&shown, 5).await, 2);
        assert_eq!(caught_up(&shown[..2], 5).await, 2);
    }
}
