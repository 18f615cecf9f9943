//! `campaign`: a calling campaign against a simulated carrier that loses, doubles and delays callbacks: one end for everybody, nobody called who must not be,
//! counters that equal a recount, and the pace that was set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::Owner;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::{Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted, start_carrier};
use crate::stand_in::{Pace, StandIn};
use crate::usage::Usage;

/// On the command line and in the report.
pub(crate) const NAME: &str = "campaign";

/// Targets at full scale.
const TARGETS: u64 = 10_000;
/// Calls begun a second at full scale.
const CALLS_PER_SECOND: f64 = 100.0;
/// Calls at once that the campaign may have at full scale: more than its pace leads to, so that the pace is what is measured.
const AT_ONCE: u64 = 2_000;
/// How many times faster than life the carrier is: about a thousand calls are going on then.
const SPEED: &str = "3.7";
/// Of a hundred callbacks: lost, doubled, late; and of a hundred creations: faults.
const TROUBLES: [(&str, &str); 4] = [("--lost", "2"), ("--doubled", "5"), ("--late", "5"), ("--faults", "1")];
/// One target of so many is on the do-not-contact list.
const FORBIDDEN_EACH: usize = 200;
/// How often the counters are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long everybody may take beyond the dialling: a call that nobody hears of is given up after two minutes, one that was answered a little later.
const TAIL: Duration = Duration::from_secs(420);
/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// The carrier's only account.
const ACCOUNT: &str = "AC00000000000000000000000000005151";
const TOKEN: &str = "simulated-auth-token";
/// The number that calls.
const OURS: &str = "+14155550100";
/// Where numbers are, how they begin, how many digits follow and from which on: somewhere it is always day.
const SIDES: [(&str, &str, usize, u64); 3] = [
    ("America/New_York", "+1646", 7, 2_000_000),
    ("Europe/London", "+4420794", 5, 0),
    ("Asia/Tokyo", "+8135555", 4, 0),
];
/// Hours in which a campaign that takes some minutes may begin.
const HOURS: std::ops::Range<i8> = 8..20;
/// Targets of a page of the list.
const PAGE: usize = 256;

/// What was seen while it ran.
#[derive(Default)]
struct Watched {
    looks: u64,
    /// Looks at which the counters were not of one piece.
    wrong: u64,
    took: Duration,
    used: Usage,
}

/// Measures.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let people = people(options.scaled(TARGETS, 20))?;
    let folder = tempfile::tempdir_in(&options.scratch)
        .map_err(|source| Error::io("no folder could be made for the carrier's log", source))?;
    let log = folder.path().join("carrier.jsonl");
    let mut arguments = vec!["--account", ACCOUNT, "--token", TOKEN, "--number", OURS, "--speed", SPEED];
    arguments.extend(["--calls-per-second", "5000"]);
    arguments.extend(TROUBLES.iter().flat_map(|(name, value)| [*name, *value]));
    let (carrier, address) = start_carrier(options, &arguments, &log).await?;
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    let home =
        Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: Some(address) })?;
    let server = home.start().await?;
    let owner = server.process.watch(Owner::sign_up(&server.client)).await?;
    let work = measure(options, report, &server, &owner, &people, &log);
    server.process.watch(work).await?;
    server.process.stop().await?;
    carrier.kill().await
}

async fn measure(
    options: &Options,
    report: &mut Report,
    server: &Server,
    owner: &Owner,
    people: &[String],
    log: &Path,
) -> Result<()> {
    let rate = options.rate(CALLS_PER_SECOND);
    let forbidden: BTreeSet<String> = people.iter().step_by(FORBIDDEN_EACH).cloned().collect();
    let campaign = prepare(options, owner, people, &forbidden, rate).await?;
    let path = format!("/api/calling/campaigns/{campaign}");
    let before = server.usage()?;
    post(owner, &format!("{path}/start"), &json!({})).await?;
    let mut watched = watch(owner, &path, people.len() as u64, rate).await?;
    watched.used = Usage { cpu: server.usage()?.cpu_since(&before), resident: server.usage()?.resident };
    let targets = targets(owner, &path).await?;
    let last = owner.get(&format!("{path}/stats")).await?;
    let asked = Asked::read(log)?;

    let without = targets.iter().filter(|target| !target["outcome"].is_string()).count();
    let phones: BTreeSet<&str> = targets.iter().filter_map(|target| target["phone"].as_str()).collect();
    let missing = people.iter().filter(|phone| !phones.contains(phone.as_str())).count();
    report.add(
        Row::new(NAME, "targets without exactly one end", (without + missing) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(outcomes_in_words(&targets)),
    );
    let against = asked.to.iter().filter(|to| forbidden.contains(*to)).count();
    report.add(
        Row::new(NAME, "calls to somebody on the do-not-contact list", against as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!(
                "{} on the list, {} calls in all by the carrier's own log",
                forbidden.len(),
                asked.to.len()
            )),
    );
    report.add(
        Row::new(NAME, "calls asked for twice, or of somebody a second time", asked.twice() as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside("nobody is tried again in this campaign"),
    );
    let mut recount: BTreeMap<String, i64> = BTreeMap::new();
    for outcome in targets.iter().filter_map(|target| target["outcome"].as_str()) {
        *recount.entry(outcome.to_owned()).or_default() += 1;
    }
    let differs = u64::from(last["counts"]["outcomes"] != json!(recount));
    report.add(
        Row::new(NAME, "looks at which counters were not of one piece", (watched.wrong + differs) as f64, Unit::Count)
            .goal(Goal::AtMost(0.0))
            .beside(format!("{} looks while it ran, and a recount of the whole list at the end", watched.looks)),
    );
    let pace = asked.pace();
    report.add(match pace {
        Some(pace) => Row::new(NAME, "pace off the one that was set", (pace / rate - 1.0).abs() * 100.0, Unit::Percent)
            .goal(Goal::AtMost(2.0))
            .beside(format!(
                "{} of {} a second, from the tenth to the ninetieth of a hundred calls",
                with_unit(pace, Unit::PerSecond),
                with_unit(rate, Unit::PerSecond)
            )),
        None => Row::missing(NAME, "pace off the one that was set", "too few calls").in_unit(Unit::Percent),
    });
    report.add(
        Row::new(NAME, "calls at once, at most", asked.at_once as f64, Unit::Count).beside("by the carrier's log"),
    );
    report.add(
        Row::new(
            NAME,
            "processor time a call",
            watched.used.cpu.as_secs_f64() * 1e3 / asked.to.len().max(1) as f64,
            Unit::Millis,
        )
        .beside(format!(
            "the server's, with permits, callbacks, counters and reading them; {} of memory",
            with_unit(watched.used.resident as f64 / f64::from(1 << 20), Unit::Megabytes)
        )),
    );
    report.note(
        NAME,
        format!(
            "{} targets on one list, called in {} by a carrier in a process of its own, {SPEED} times as fast as life, whose callbacks are lost ({} %), doubled ({} %) or late ({} %) and whose answers fail ({} %).",
            people.len(),
            with_unit(watched.took.as_secs_f64(), Unit::Seconds),
            TROUBLES[0].1,
            TROUBLES[1].1,
            TROUBLES[2].1,
            TROUBLES[3].1,
        ),
    );
    Ok(())
}

/// Numbers of people whose day it is.
fn people(count: u64) -> Result<Vec<String>> {
    let now = Timestamp::now();
    let day = SIDES
        .iter()
        .find(|(zone, ..)| TimeZone::get(zone).is_ok_and(|zone| HOURS.contains(&now.to_zoned(zone).hour())));
    let (_, begins, digits, first) =
        day.ok_or_else(|| Error::Setup("nobody may be called now on any side of the world".into()))?;
    let most = 10_u64.pow(*digits as u32) - first;
    Ok((0..count.min(most)).map(|n| format!("{begins}{:0digits$}", first + n)).collect())
}

async fn post(owner: &Owner, path: &str, body: &Value) -> Result<Value> {
    owner.call(Method::POST, path, Some(body)).await
}

/// An account, a number, a list that forbids, and a campaign with everybody on it.
async fn prepare(
    options: &Options,
    owner: &Owner,
    people: &[String],
    forbidden: &BTreeSet<String>,
    rate: f64,
) -> Result<String> {
    let agent = owner.new_agent("Front desk").await?;
    post(owner, "/api/integrations/simulated/connect", &json!({ "account_sid": ACCOUNT, "auth_token": TOKEN })).await?;
    let number = json!({ "number": OURS, "provider": "simulated", "agent_id": agent });
    post(owner, "/api/voice/numbers", &number).await?;
    for phone in forbidden {
        let entry = json!({ "channel": "phone", "address": phone, "reason": "asked not to be called" });
        post(owner, "/api/dnc", &entry).await?;
    }
    let never = json!({ "attempts": 0, "delays_minutes": [] });
    let campaign = json!({
        "name": "Load test", "agent_id": agent, "from_numbers": [OURS], "consent": "none", "max_call_minutes": 1,
        "calls_per_second": rate, "max_concurrent": options.scaled(AT_ONCE, 20),
        "retry": { "no_answer": never, "busy": never, "failed": never },
    });
    let path = "/api/calling/campaigns";
    let made = post(owner, path, &campaign).await?;
    let id = made["id"].as_str().ok_or_else(|| Error::unexpected(path, "no id"))?.to_owned();
    let list: Vec<Value> =
        people.iter().enumerate().map(|(n, phone)| json!({ "phone": phone, "name": format!("Person {n}") })).collect();
    let path = format!("{path}/{id}/targets");
    let read = post(owner, &path, &Value::Array(list)).await?;
    if read["rejected_total"].as_u64().unwrap_or_default() > 0 {
        return Err(Error::unexpected(&path, format!("refused lines: {}", read["rejected"][0])));
    }
    let begun = Instant::now();
    while owner.get(&format!("/api/calling/campaigns/{id}/stats")).await?["counts"]["targets"].as_u64()
        != Some(people.len() as u64)
    {
        if begun.elapsed() > TAIL {
            return Err(Error::NotInTime { what: "reading the list".into(), after: TAIL });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(id)
}

/// Looks at the counters until the campaign has ended.
async fn watch(owner: &Owner, path: &str, targets: u64, rate: f64) -> Result<Watched> {
    let within = Duration::from_secs_f64(targets as f64 / rate) + TAIL;
    let begun = Instant::now();
    let mut watched = Watched::default();
    let mut told = Instant::now();
    loop {
        let stats = owner.get(&format!("{path}/stats")).await?;
        let count = |key: &str| stats["counts"][key].as_u64().unwrap_or_default();
        watched.looks += 1;
        let ended: u64 =
            stats["counts"]["outcomes"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        if count("waiting") + count("trying") + count("done") != targets || ended != count("done") {
            watched.wrong += 1;
        }
        let skipped: u64 =
            stats["counts"]["skipped"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
        match stats["status"].as_str() {
            Some("completed" | "stopped") => {
                watched.took = begun.elapsed();
                return Ok(watched);
            }
            // Who is left asked to be called another day.
            Some("running")
                if count("trying") == 0 && count("dials") + skipped >= targets && count("done") < targets =>
            {
                post(owner, &format!("{path}/stop"), &json!({})).await?;
            }
            _ => {}
        }
        if stats["status"] == "paused" {
            let why = format!(
                "it paused by itself (`{}`): this machine is too slow for the rate, try a smaller --scale",
                stats["paused_by"]
            );
            return Err(Error::unexpected("the campaign", why));
        }
        if begun.elapsed() > within {
            return Err(Error::NotInTime { what: format!("the end of the campaign ({stats})"), after: within });
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            eprintln!("    … {} of {targets} done, {} being called", count("done"), count("trying"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn targets(owner: &Owner, path: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("{path}/targets?limit={PAGE}{cursor}");
        let page = owner.get(&path).await?;
        all.extend(page["items"].as_array().ok_or_else(|| Error::unexpected(&path, "no items"))?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

fn outcomes_in_words(targets: &[Value]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for target in targets {
        *counts.entry(target["outcome"].as_str().unwrap_or("none")).or_default() += 1;
    }
    counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

/// What the carrier was asked for, by its own log.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    /// Who was to be called, in order, of requests that led to a call.
    to: Vec<String>,
    /// Names of the dials, of all requests.
    dials: Vec<String>,
    /// When, Unix milliseconds.
    at_ms: Vec<i64>,
    /// Calls at once, at most.
    at_once: usize,
}

impl Asked {
    fn read(log: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(log)
            .map_err(|source| Error::io(format!("could not read {}", log.display()), source))?;
        Ok(Self::of(text.lines().filter_map(|line| serde_json::from_str(line).ok())))
    }

    fn of(lines: impl Iterator<Item = Value>) -> Self {
        let mut asked = Self::default();
        let mut going_on: BTreeSet<String> = BTreeSet::new();
        for line in lines {
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            match (line["event"].as_str(), line["status"].as_str()) {
                (Some("create"), _) => {
                    asked.dials.push(text("dial"));
                    if let Some(sid) = line["sid"].as_str() {
                        asked.to.push(text("to"));
                        asked.at_ms.push(line["at_ms"].as_i64().unwrap_or_default());
                        going_on.insert(sid.to_owned());
                        asked.at_once = asked.at_once.max(going_on.len());
                    }
                }
                (Some("step"), Some("completed" | "busy" | "failed" | "no-answer" | "canceled")) => {
                    going_on.remove(&text("sid"));
                }
                (_, _) => {}
            }
        }
        asked
    }

    /// Requests with a name that another one had, and people who were called again.
    fn twice(&self) -> usize {
        let again = |all: &[String]| all.len() - all.iter().collect::<BTreeSet<_>>().len();
        again(&self.dials) + again(&self.to)
    }

    /// Calls a second between a tenth and nine tenths of them; none of too few.
    fn pace(&self) -> Option<f64> {
        let (from, to) = (self.at_ms.len() / 10, self.at_ms.len() * 9 / 10);
        let took_ms = self.at_ms.get(to)?.checked_sub(*self.at_ms.get(from)?).filter(|took| *took > 0)?;
        Some((to - from) as f64 * 1000.0 / took_ms as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u64, to: &str, dial: &str) -> [Value; 2] {
        let at_ms = n * 10;
        [
            json!({ "event": "create", "to": to, "dial": dial, "status": 201, "sid": format!("CA{n}"), "at_ms": at_ms }),
            json!({ "event": "step", "sid": format!("CA{n}"), "status": "completed", "at_ms": at_ms + 5 }),
        ]
    }

    #[test]
    fn a_call_of_somebody_again_and_a_dial_asked_for_twice_are_found() {
        let right = Asked::of((0..100).flat_map(|n| line(n, &format!("+1{n}"), &format!("d{n}"))));
        assert_eq!((right.twice(), right.at_once, right.to.len()), (0, 1, 100));
        assert!((right.pace().expect("a pace") - 100.0).abs() < 0.001);
        assert_eq!(Asked::of([line(0, "+1", "a"), line(1, "+1", "b")].concat().into_iter()).twice(), 1);
        assert_eq!(Asked::of([line(0, "+1", "a"), line(1, "+2", "a")].concat().into_iter()).twice(), 1);
        assert_eq!(Asked::default().pace(), None);
    }

    #[test]
    fn somewhere_it_is_day_and_nobody_is_on_the_list_twice() {
        let people = people(10_000).expect("somewhere");
        assert_eq!(people.iter().collect::<BTreeSet<_>>().len(), 10_000);
    }
}
