//! Backup and restore as the guide says: a snapshot of the keyspace, then the blobs; both into servers that know nothing, with the key of the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use serde_json::json;
use tempfile::TempDir;

use crate::support::people::{Member, Visitor, number, text};
use crate::support::site::Site;
use crate::support::{Server, eventually, free_port, random_id, root};

/// The keyspace, on both servers.
const KEYSPACE: &str = "colloquy";
/// The name of the snapshot.
const TAG: &str = "before";
/// Conversations before the snapshot, and after it.
const CONVERSATIONS: usize = 6;
/// Until the node that the snapshot shows alive is declared dead, and what was its is taken over.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(40);

/// A CQL server of this test's own, made to be operated.
struct Cassandra {
    folder: TempDir,
    address: String,
}

impl Cassandra {
    fn start() -> Self {
        let mut server = Self { folder: tempfile::tempdir().expect("a folder"), address: String::new() };
        server.address = server.run(&["start", "--port", "auto"], &[]).trim().to_owned();
        server
    }

    fn run(&self, arguments: &[&str], behind: &[&str]) -> String {
        let mut command = Command::new(root().join("scripts/cql-server"));
        command.args(arguments).arg("--dir").arg(self.folder.path().join("server"));
        if !behind.is_empty() {
            command.arg("--").args(behind);
        }
        let output = command.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} {behind:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn nodetool(&self, words: &[&str]) -> String {
        self.run(&["nodetool"], words)
    }

    /// The folders of the keyspace's tables: name and folder. Each ends with an id that is another one on each server.
    fn tables(&self) -> Vec<(String, PathBuf)> {
        let data = self.folder.path().join("server/node1/data").join(KEYSPACE);
        let folders = fs::read_dir(data).expect("a keyspace").map(|entry| entry.expect("an entry").path());
        let named = folders.map(|folder| {
            let name = folder.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            (name.rsplit_once('-').expect("an id").0.to_owned(), folder)
        });
        named.collect()
    }

    async fn session(&self) -> Session {
        let session = SessionBuilder::new().known_node(&self.address).fetch_schema_metadata(false).build().await;
        session.expect("the server answers")
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        self.run(&["remove"], &[]);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

async fn node(cql: &Cassandra, blobs: &Path, key: &str) -> Server {
    let nodes = format!("[{:?}]", cql.address);
    let (blobs, listen) = (blobs.display().to_string(), free_port().to_string());
    let settings = [
        ("COLLOQUY_STORE__KIND", "scylla"),
        ("COLLOQUY_STORE__NODES", nodes.as_str()),
        ("COLLOQUY_STORE__KEYSPACE", KEYSPACE),
        ("COLLOQUY_STORE__REPLICATION", "1"),
        ("COLLOQUY_SECRETS__KEY", key),
        ("COLLOQUY_DATA__BLOBS", blobs.as_str()),
        ("COLLOQUY_CLUSTER__NODE_ID", "node-1"),
        ("COLLOQUY_CLUSTER__LISTEN", listen.as_str()),
        ("COLLOQUY_CLUSTER__SHARDS", "32"),
    ];
    Server::start_with(&settings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_blobs_start_a_cluster_that_has_everything_acknowledged_before_it() {
    // The second one is not needed before the first one ends, but the time of their starts is.
    let servers = [0, 1].map(|_| tokio::task::spawn_blocking(Cassandra::start));
    let [first, second] = servers.map(async |server| server.await.expect("started"));
    let (first, second) = tokio::join!(first, second);
    let place = tempfile::tempdir().expect("a folder");
    let (blobs, copied) = (place.path().join("blobs"), place.path().join("copied"));
    let key = format!("{}{}", random_id(), random_id());
    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let mut original = node(&first, &blobs, &key).await;
    let owner = Member::sign_up(&original, "Oak Street Plumbing").await;
    let agent = owner.trained("home_services", &site.url("/"), json!({})).await;
    let mut visitors: Vec<Visitor> = (0..CONVERSATIONS).map(|_| Visitor::new(&original, &agent)).collect();
    for visitor in &mut visitors {
        visitor.say(&format!("Who founded Oak Street Plumbing? {}", random_id())).await;
    }
    // Nothing is stopped for it.
    first.nodetool(&["snapshot", "--tag", TAG, KEYSPACE]);
    let before: Vec<_> = {
        let mut all = Vec::new();
        for visitor in &visitors {
            all.push(owner.settled(visitor.talk(), Duration::from_secs(15)).await);
        }
        all
    };
    visitors[0].say("This came after the snapshot.").await;
    copy(&blobs, &copied);
    let schema = {
        let session = first.session().await;
        let described = session.query_unpaged(format!("DESCRIBE KEYSPACE {KEYSPACE}"), ()).await.expect("described");
        let rows = described.into_rows_result().expect("rows");
        let rows = rows.rows::<(String, String, String, String)>().expect("four columns");
        rows.map(|row| row.expect("a row").3).collect::<Vec<String>>()
    };
    original.kill();

    let session = second.session().await;
    for statement in &schema {
        session.query_unpaged(statement.as_str(), ()).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    drop(session);
    second.run(&["stop"], &[]);
    let new = second.tables();
    for (table, folder) in first.tables() {
        let snapshot = folder.join("snapshots").join(TAG);
        let (_, target) = new.iter().find(|(name, _)| *name == table).unwrap_or_else(|| panic!("no table {table}"));
        if snapshot.is_dir() {
            copy(&snapshot, target);
        }
    }
    second.run(&["start"], &[]);
    drop(first);

    let restored = node(&second, &copied, &key).await;
    let owner = owner.at(&restored);
    eventually("everything is taken over", TAKEN_OVER_WITHIN, async || {
        let path = format!("/api/conversations/{}", visitors[0].talk());
        owner.api.try_call("GET", &path, None).await.ok().filter(|answer| answer.status == 200).map(|_| ())
    })
    .await;
    for (visitor, before) in visitors.iter().zip(&before) {
        let shown = owner.settled(visitor.talk(), Duration::from_secs(15)).await;
        assert_eq!(shown["messages"], before["messages"], "as it was at the snapshot, and nothing of after it");
        assert_eq!(shown["conversation"]["state_hash"], before["conversation"]["state_hash"]);
    }
    assert_eq!(owner.api.list("/api/conversations").await.len(), CONVERSATIONS);
    // It goes on: what it knows came with the blobs, and the journal takes more.
    let mut back = Visitor::new(&restored, &agent);
    let answer = back.say("Who founded Oak Street Plumbing?").await;
    assert!(!answer["sources"].as_array().is_none_or(Vec::is_empty), "{answer}");
    assert!(number(&owner.settled(back.talk(), Duration::from_secs(15)).await["conversation"], "seq") > 0);
    assert_eq!(text(&answer, "status"), "active");
}
