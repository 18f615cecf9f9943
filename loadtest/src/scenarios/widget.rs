//! `widget`: how much a visitor's browser has to fetch, and how soon the widget opens on a slow processor.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use tokio::process::Command;

use super::crowd::make_agents;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::{At, Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted};
use crate::spread::Spread;
use crate::stand_in::{Pace, StandIn};

/// On the command line and in the report.
pub(crate) const NAME: &str = "widget";

/// The processor is slowed down by this much.
const THROTTLE: u32 = 4;
/// Fresh page loads, each with one first open.
const OPENS: u32 = 20;
/// How long all of them may take.
const BROWSER: Duration = Duration::from_secs(300);
/// What the host page loads, and the page in the frame.
const LOADER: &str = "loader.js";
const PAGE: &str = "frame.html";
/// Where the built files lie that are cached for good.
const BUILDS: &str = "assets";
/// The script that drives the browser, in the checkout.
const SCRIPT: &str = "loadtest/widget-open.mjs";

/// A built file with its size on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asset {
    name: String,
    gzipped: u64,
    /// Whether a first open fetches it: the loader, the page and what the page names. Languages and other parts follow when they are needed.
    at_first: bool,
}

/// What the browser script prints.
#[derive(Debug, Deserialize)]
struct Opened {
    /// From the click until the panel can be typed in, milliseconds.
    open_ms: Vec<f64>,
    /// Time the host page's main thread was blocked by tasks above 50 ms while the page and the loader came in, milliseconds.
    blocked_ms: Vec<f64>,
    /// The floor of both: the same page with the loader kept away, and how long an empty frame takes to appear on it.
    bare_open_ms: Vec<f64>,
    bare_blocked_ms: Vec<f64>,
}

/// Measures sizes and, where Chromium is, the first open.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let Some(checkout) = &options.checkout else {
        report.add(
            Row::missing(NAME, "size, gzipped", "run this inside the checkout")
                .goal(Goal::AtMost(12.0))
                .in_unit(Unit::Kilobytes),
        );
        return Ok(());
    };
    sizes(report, &checkout.join("web/widget/dist"))?;
    let Some(chromium) = chromium() else {
        report.add(
            Row::missing(NAME, "first open", "Chromium is not installed")
                .goal(Goal::AtMost(400.0))
                .in_unit(Unit::Millis),
        );
        return Ok(());
    };
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
    let server = home.start().await?;
    let opened = server.process.watch(open(&server, checkout, &chromium)).await?;
    server.process.stop().await?;
    let open_spread = spread(&opened.open_ms).percentiles();
    let bare = spread(&opened.bare_open_ms).percentiles().map_or(0.0, |bare| bare.p95.as_secs_f64() * 1e3);
    let ratio = open_spread.map_or(0.0, |open| open.p95.as_secs_f64() * 1e3) / bare.max(1.0);
    report.add(
        Row::timed(NAME, "first open, p95", At::P95, Unit::Millis, open_spread).goal(Goal::AtMost(400.0)).beside(
            format!(
                "{THROTTLE}× slower processor, {OPENS} fresh pages; from the click until it can be typed in; an empty frame on the same page {} (ratio {})",
                with_unit(bare, Unit::Millis),
                with_unit(ratio, Unit::Times)
            ),
        ),
    );
    let blocked = spread(&opened.blocked_ms).percentiles();
    let worst = |samples: &[f64]| samples.iter().copied().fold(0.0, f64::max);
    let longest = worst(&opened.blocked_ms);
    let without = with_unit(worst(&opened.bare_blocked_ms), Unit::Millis);
    report.add(
        Row::new(NAME, "host page blocked", longest, Unit::Millis)
            .goal(Goal::AtMost(0.0))
            .beside(format!(
                "tasks above 50 ms while the page loads, the worst page; the same page without the widget: {without}"
            ))
            .spread(blocked),
    );
    Ok(())
}

fn sizes(report: &mut Report, dist: &Path) -> Result<()> {
    let assets = assets_of(dist)?;
    let sum = |assets: &[&Asset]| assets.iter().map(|asset| asset.gzipped).sum::<u64>() as f64 / 1024.0;
    let first: Vec<&Asset> = assets.iter().filter(|asset| asset.at_first).collect();
    let listed: Vec<String> = first.iter().map(|asset| format!("{} {} B", asset.name, asset.gzipped)).collect();
    report.add(
        Row::new(NAME, "first open fetches, gzipped", sum(&first), Unit::Kilobytes)
            .goal(Goal::AtMost(12.0))
            .beside(listed.join(", ")),
    );
    let all: Vec<&Asset> = assets.iter().collect();
    report.add(
        Row::new(NAME, "everything with all languages, gzipped", sum(&all), Unit::Kilobytes)
            .beside(format!("{} files", all.len())),
    );
    Ok(())
}

/// Every built file; names are sorted so that the report is the same each time.
fn assets_of(dist: &Path) -> Result<Vec<Asset>> {
    let page = std::fs::read_to_string(dist.join(PAGE)).unwrap_or_default();
    let mut assets = Vec::new();
    // Each build has a folder of its own below this one, and the page names the one that is served.
    let builds = dist.join(BUILDS);
    let mut folders: Vec<PathBuf> = vec![dist.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| {
            Error::io(format!("{} cannot be read: build the widget first (`make build`)", folder.display()), source)
        };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if folder != builds || page.contains(&format!("\"{BUILDS}/{name}/")) {
                    folders.push(path);
                }
            } else {
                let gzipped = gzipped(&std::fs::read(&path).map_err(failed)?).map_err(failed)?;
                let at_first = name == LOADER || name == PAGE || page.contains(&format!("/{name}\""));
                assets.push(Asset { name, gzipped, at_first });
            }
        }
    }
    assets.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(assets)
}

fn gzipped(content: &[u8]) -> std::io::Result<u64> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.len() as u64)
}

async fn open(server: &Server, checkout: &Path, chromium: &Path) -> Result<Opened> {
    let agents = make_agents(&server.client, 1, 1).await?;
    let (_, agent) = agents.first().ok_or_else(|| Error::Setup("no agent was made".into()))?;
    let script = checkout.join(SCRIPT);
    let mut command = Command::new("node");
    command
        .arg(&script)
        .arg(format!("http://{}/demo/{agent}", server.client.server()))
        .arg(THROTTLE.to_string())
        .arg(OPENS.to_string());
    command
        .env("CHROMIUM", chromium)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let failed = |source| Error::io(format!("node could not run {}", script.display()), source);
    let output = tokio::time::timeout(BROWSER, command.output())
        .await
        .map_err(|_| Error::NotInTime { what: "the browser's opens".into(), after: BROWSER })?
        .map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::unexpected(
            SCRIPT,
            said.lines().find(|line| line.contains("Error")).unwrap_or("it failed without a word").trim(),
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::unexpected(SCRIPT, error.to_string()))
}

fn spread(samples_ms: &[f64]) -> Spread {
    let mut spread = Spread::default();
    samples_ms.iter().for_each(|ms| spread.add(Duration::from_secs_f64(ms.max(0.0) / 1e3)));
    spread
}

/// Where `CHROMIUM` says, or where distributions put it.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named
        .into_iter()
        .chain(["/usr/bin/chromium".into(), "/usr/bin/chromium-browser".into(), "/usr/bin/google-chrome".into()])
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_measured_as_they_travel() {
        let dist = tempfile::tempdir().expect("folder");
        std::fs::create_dir(dist.path().join("assets")).expect("folder");
        std::fs::write(dist.path().join("loader.js"), "x".repeat(10_000)).expect("file");
        for build in ["0ld", "n3w"] {
            let folder = dist.path().join("assets").join(build);
            std::fs::create_dir(&folder).expect("folder");
            std::fs::write(folder.join("de.js"), "y").expect("file");
            std::fs::write(folder.join("frame.js"), "import(\"./de.js\")").expect("file");
        }
        std::fs::write(dist.path().join("frame.html"), "<script src=\"assets/n3w/frame.js\">").expect("file");
        let assets = assets_of(dist.path()).expect("assets");
        let found: Vec<(&str, bool)> = assets.iter().map(|asset| (asset.name.as_str(), asset.at_first)).collect();
        assert_eq!(found, [("de.js", false), ("frame.html", true), ("frame.js", true), ("loader.js", true)]);
        assert!((20..200).contains(&assets[3].gzipped), "{assets:?}");
    }

    #[test]
    fn a_widget_that_was_not_built_says_what_to_do() {
        let error = assets_of(Path::new("/nowhere/dist")).expect_err("missing").to_string();
        assert!(error.contains("make build"), "{error}");
    }
}
