//! `knowledge`: reading a site, making it searchable, and searching it, with and without the local embedder.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::api::{Indexed, Owner};
use crate::error::Result;
use crate::http_client::Client;
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted};
use crate::site::{Site, Size};
use crate::spread::Spread;
use crate::stand_in::{Pace, StandIn};
use crate::wording::question;

/// On the command line and in the report.
pub(crate) const NAME: &str = "knowledge";

/// The site of the goals: 100 pages of about one chunk each.
const SITE: Size = Size { pages: 100, words: 300 };
/// What a business has: about 1,000 chunks.
const BUSINESS: Size = Size { pages: 100, words: 3_300 };
/// A hundred times as much.
const LIBRARY: Size = Size { pages: 1_000, words: 33_000 };
/// Searches timed on each index.
const SEARCHES: u64 = 500;
/// Searches not counted before.
const WARM_UP: u64 = 20;
/// Questions with one right page, and how many pages may be looked at.
const ASKED: u64 = 100;
const LOOKED_AT: usize = 5;

/// How searching an index went.
struct Searched {
    server: Spread,
    whole: Spread,
    hits: u64,
    asked: u64,
}

/// Measures with keyword search and, where its weights are, with the local embedder.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    {
        let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
        let server = home.start().await?;
        server.process.watch(with_keywords(options, report, &server)).await?;
        server.process.stop().await?;
    }
    let figure = "100 pages searchable, local embedder";
    if options.weights.is_some() {
        let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "local", carrier: None })?;
        let server = home.start().await?;
        server.process.watch(with_embedder(options, report, &server, figure)).await?;
        server.process.stop().await?;
    } else {
        let reason = "the embedder's weights are not on this machine (scripts/fetch-weights.sh gets them)";
        report.add(Row::missing(NAME, figure, reason).goal(Goal::AtMost(300.0)).in_unit(Unit::Seconds));
    }
    report.note(
        NAME,
        "The pages are generated and served on loopback; every page states one fact that stands nowhere else, and a hit is its page among the first five. Search times are the server's own `took_us` over the API, \
         which counts the whole search of a question, with its embedding where there is an embedder; the goal of 30 µs is for the vector scan alone, which is timed inside the crate `colloquy-knowledge`. \
         Crawling keeps the crawler's own politeness; its floor reads the same pages one after the other.",
    );
    Ok(())
}

async fn with_keywords(options: &Options, report: &mut Report, server: &Server) -> Result<()> {
    let owner = Arc::new(Owner::sign_up(&server.client).await?);
    let (agent, indexed, site) = learn(&owner, "Small site", SITE).await?;
    let floor = read_alone(&site).await?;
    let beside = format!(
        "{} pages of {}, {} failed, {} chunks; searchable after {}; floor: the pages read and thrown away {} (ratio {})",
        indexed.pages,
        site.size().pages,
        indexed.failed,
        indexed.chunks,
        seconds(indexed.took),
        seconds(floor),
        with_unit(indexed.read.as_secs_f64() / floor.as_secs_f64().max(1e-3), Unit::Times)
    );
    report.add(
        Row::new(NAME, "100 pages crawled", indexed.read.as_secs_f64(), Unit::Seconds)
            .goal(Goal::AtMost(10.0))
            .beside(beside),
    );
    drop((agent, site));
    for (name, full) in [("1,000 chunks", BUSINESS), ("100,000 chunks", LIBRARY)] {
        let size = Size { pages: options.scaled(full.pages, 10), words: full.words };
        // A site that cannot be learned leaves the other figures standing.
        match search_after_learning(&owner, name, size).await {
            Ok((indexed, searched)) => {
                searched_rows(report, &format!("search of {name}, keywords"), &indexed, &searched)
            }
            Err(error) => report.add(Row::missing(NAME, format!("search of {name}, keywords"), error.with_causes())),
        }
    }
    Ok(())
}

async fn with_embedder(options: &Options, report: &mut Report, server: &Server, figure: &str) -> Result<()> {
    let owner = Arc::new(Owner::sign_up(&server.client).await?);
    let (_, indexed, site) = learn(&owner, "Small site", SITE).await?;
    // Pages are embedded while others are still being read, so only the whole can be timed from outside; the embedder alone is timed in
    // crates/knowledge.
    let each = indexed.took.as_secs_f64() / indexed.chunks.max(1) as f64;
    let beside = format!(
        "{} chunks of {} pages, from the request until the index serves; all pages were read after {}",
        indexed.chunks,
        site.size().pages,
        seconds(indexed.read)
    );
    report.add(
        Row::new(NAME, figure, indexed.took.as_secs_f64(), Unit::Seconds).goal(Goal::AtMost(300.0)).beside(beside),
    );
    let size = Size { pages: options.scaled(BUSINESS.pages, 10), words: BUSINESS.words };
    match search_after_learning(&owner, "1,000 chunks", size).await {
        Ok((indexed, searched)) => searched_rows(report, "search of 1,000 chunks, local embedder", &indexed, &searched),
        Err(error) => report.add(Row::missing(NAME, "search of 1,000 chunks, local embedder", error.with_causes())),
    }
    let hours = each * 100_000.0 / 3600.0;
    report.add(Row::missing(
        NAME,
        "search of 100,000 chunks, local embedder",
        format!("learning that site would take {hours:.1} hours at the rate above"),
    ));
    Ok(())
}

/// How long the pages of a site take that are read one after the other, and thrown away.
async fn read_alone(site: &Site) -> Result<Duration> {
    let client = Client::new(site.address());
    let begun = tokio::time::Instant::now();
    for page in 0..site.size().pages {
        let (_, path) = Site::question(page);
        client.send(Method::GET, &path, &[], bytes::Bytes::new()).await?.bytes().await?;
    }
    Ok(begun.elapsed())
}

async fn learn(owner: &Arc<Owner>, name: &str, size: Size) -> Result<(String, Indexed, Site)> {
    let site = Site::start(size).await?;
    let agent = owner.new_agent(name).await?;
    let indexed = owner.crawl(&agent, &site.url(), size.pages + 1).await?;
    Ok((agent, indexed, site))
}

async fn search_after_learning(owner: &Arc<Owner>, name: &str, size: Size) -> Result<(Indexed, Searched)> {
    let (agent, indexed, _site) = learn(owner, name, size).await?;
    let mut searched = Searched { server: Spread::default(), whole: Spread::default(), hits: 0, asked: 0 };
    for number in 0..WARM_UP + SEARCHES {
        let begun = tokio::time::Instant::now();
        // No question twice: nothing may be answered from a cache.
        let found = owner.search(&agent, &format!("{} {number}", question(number)), LOOKED_AT).await?;
        if number >= WARM_UP {
            searched.whole.add(begun.elapsed());
            searched.server.add(found.took);
        }
    }
    let step = (size.pages / ASKED).max(1);
    for page in (0..size.pages).step_by(step as usize) {
        let (question, path) = Site::question(page);
        let found = owner.search(&agent, &question, LOOKED_AT).await?;
        searched.asked += 1;
        searched.hits += u64::from(found.urls.iter().any(|url| url.ends_with(&path)));
    }
    Ok((indexed, searched))
}

fn searched_rows(report: &mut Report, figure: &str, indexed: &Indexed, searched: &Searched) {
    let whole = searched.whole.percentiles().map_or_else(String::new, |whole| {
        format!("; over the API p50 {}", with_unit(whole.p50.as_secs_f64() * 1e3, Unit::Millis))
    });
    let beside = format!(
        "{} chunks, learned in {}{whole}",
        with_unit(indexed.chunks as f64, Unit::Count),
        seconds(indexed.took)
    );
    report.add(
        Row::timed(NAME, format!("{figure}, p50"), At::P50, Unit::Micros, searched.server.percentiles()).beside(beside),
    );
    let share = searched.hits as f64 / searched.asked.max(1) as f64 * 100.0;
    report.add(
        Row::new(NAME, format!("{figure}: right page among {LOOKED_AT}"), share, Unit::Percent)
            .goal(Goal::AtLeast(99.0))
            .beside(format!("{} of {} facts", searched.hits, searched.asked)),
    );
}

fn seconds(time: Duration) -> String {
    with_unit(time.as_secs_f64(), Unit::Seconds)
}
