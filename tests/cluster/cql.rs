//! A CQL server of a test's own, of one node or three, each of which can be spoiled by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::root;

/// The server; it ends with this.
pub(crate) struct Cql {
    folder: TempDir,
    /// Where its nodes answer.
    pub(crate) addresses: Vec<String>,
}

impl Cql {
    /// Starts so many nodes.
    pub(crate) fn start(nodes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let addresses = script("start", folder.path(), &["--port", "auto", "--nodes", &nodes.to_string()]);
        let addresses = addresses.trim().split(',').map(str::to_owned).collect();
        Self { folder, addresses }
    }

    /// SIGSTOP: every node holds its connections and answers nothing.
    pub(crate) fn pause(&self) {
        script("pause", self.folder.path(), &[]);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        script("resume", self.folder.path(), &[]);
    }

    /// `kill -9` of one node, counted from 1; its data stays.
    pub(crate) fn kill(&self, node: usize) {
        script("kill", self.folder.path(), &[&node.to_string()]);
    }

    /// Starts the nodes that are down, with their data. Takes as long as it takes: run it beside what must go on.
    pub(crate) async fn start_again(&self) {
        let folder = self.folder.path().to_owned();
        tokio::task::spawn_blocking(move || script("start", &folder, &[])).await.expect("the script runs");
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
