//! The CQL server of a cluster stands still: a clear refusal in bounded time and memory, and everything goes on when it does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tempfile::TempDir;

use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan};
use crate::support::people::Visitor;
use crate::support::{eventually, random_id, root};

/// By the issue: a clear 503, and not a hanging one. Some room for a machine that compiles something else.
const REFUSED_WITHIN: Duration = Duration::from_secs(6);
/// How long it stands still: longer than a lease, so that every node has lost its right to answer.
const STANDS_STILL: Duration = Duration::from_secs(15);
/// After it goes on: renewed leases or, where one was lost, a take-over.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// What a node may grow by while it refuses.
const GROWTH_MAX: u64 = 64 << 20;
/// Visitors who ask at the same time, again and again.
const ASKING: usize = 12;

/// A CQL server of this test's own.
struct Cql {
    folder: TempDir,
    addresses: Vec<String>,
}

impl Cql {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let addresses = script("start", folder.path(), &["--port", "auto"]);
        let addresses = addresses.trim().split(',').map(str::to_owned).collect();
        Self { folder, addresses }
    }

    fn pause(&self) {
        script("pause", self.folder.path(), &[]);
    }

    fn resume(&self) {
        script("resume", self.folder.path(), &[]);
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        // Also after a failure, when it may stand still.
        script("kill", self.folder.path(), &[]);
    }
}

fn script(verb: &str, folder: &Path, more: &[&str]) -> String {
    let script: PathBuf = root().join("scripts/cql-server");
    let output = Command::new(script).arg(verb).arg("--dir").arg(folder).args(more).output().expect("the script runs");
    assert!(output.status.success(), "cql-server {verb}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stands_still_is_a_clear_refusal_and_nothing_is_lost() {
    let cql = Cql::start();
    let mut cluster = Cluster::start(Plan::over(cql.addresses.clone())).await;
    let (owner, agent) = cluster.business().await;
    let size = Size { http: 4, sockets: 4, within: STANDS_STILL + BACK_WITHIN };
    let mut load = Load::start(cluster.frontends(), &agent, size);
    load.goes_on(20).await;
    let before: Vec<u64> = cluster.nodes.iter().map(|node| node.resident_bytes()).collect();
    cql.pause();
    let paused = Instant::now();
    let mut refusals = 0;
    let mut slowest = Duration::ZERO;
    while paused.elapsed() < STANDS_STILL {
        let asked = (0..ASKING).map(|n| {
            let visitor = Visitor::new(&cluster.nodes[n % NODES], &agent);
            async move {
                let begun = Instant::now();
                let body = visitor.body("Do you offer emergency services?", &random_id());
                (visitor.post(&body).await, begun.elapsed())
            }
        });
        for (answer, took) in join_all(asked).await {
            if paused.elapsed() < STANDS_STILL {
                answer.refused(503);
                let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
                assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{}: Retry-After {wait:?}", answer.text);
                assert!(took < REFUSED_WITHIN, "refused after {took:?}: {}", answer.text);
                slowest = slowest.max(took);
                refusals += 1;
            }
        }
        load.fine();
    }
    assert!(refusals > ASKING, "{refusals} refusals");
    for (node, before) in cluster.nodes.iter().zip(before) {
        let grown = node.resident_bytes().saturating_sub(before);
        assert!(grown < GROWTH_MAX, "grown by {grown} bytes while the store stood still");
    }
    cql.resume();
    let resumed = Instant::now();
    for place in 0..NODES {
        eventually(&format!("frontend {place} answers again"), BACK_WITHIN, async || {
            let visitor = Visitor::new(&cluster.nodes[place], &agent);
            let body = visitor.body(&format!("Are you back, {}?", random_id()), &random_id());
            (visitor.post(&body).await.status == 200).then_some(())
        })
        .await;
    }
    let back = resumed.elapsed();
    for node in &mut cluster.nodes {
        assert!(node.runs(), "a node ended because the store stood still: {}", node.log_tail());
    }
    load.goes_on(20).await;
    let history = load.end().await;
    eprintln!(
        "{refusals} refusals, the slowest after {slowest:?}; all frontends answered {back:?} after the store went on"
    );
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}
