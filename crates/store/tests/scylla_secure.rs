//! A CQL server that asks for TLS on both sides and for a login: what is right opens the store, what is wrong is told by name and in time.
#![cfg(feature = "scylla")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use colloquy_store::scylla::{ScyllaConfig, ScyllaLogin, ScyllaTimeouts, ScyllaTls, open};
use colloquy_store::{EntityKey, StoreError, memory};
use tempfile::TempDir;

/// How long a refusal may take: it is somebody's first start.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(in_checkout(program)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server of this test's own with certificates of its own.
struct Server {
    folder: TempDir,
    address: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (authority, name) in [("ours", "127.0.0.1"), ("ours", "node-1"), ("theirs", "node-1")] {
            run("cluster/deploy/certificates.sh", &[&format!("{}/{authority}", folder.path().display()), name]);
        }
        let mut server = Self { folder, address: String::new() };
        let (secure, dir) = (server.path("ours"), server.path("server"));
        let started = ["start", "--port", "auto", "--secure", &secure, "--dir", &dir];
        server.address = run("scripts/cql-server", &started).trim().to_owned();
        server
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn tls(&self, authority: &str, own: Option<&str>) -> ScyllaTls {
        let file = |folder: &str, name: &str| PathBuf::from(self.path(&format!("{folder}/{name}")));
        let identity = own.map(|folder| (file(folder, "node-1.pem"), file(folder, "node-1.key")));
        ScyllaTls { ca: file(authority, "ca.pem"), identity }
    }

    fn config(&self) -> ScyllaConfig {
        let second = Duration::from_secs(1);
        let timeouts = ScyllaTimeouts {
            connect: 10 * second,
            write: 20 * second,
            lwt: 20 * second,
            read: 20 * second,
            recovery: 60 * second,
            settle: 40 * second,
        };
        ScyllaConfig {
            replication: 1,
            timeouts,
            login: Some(ScyllaLogin { user: "cassandra".into(), password: "cassandra".into() }),
            tls: Some(self.tls("ours", Some("ours"))),
            ..ScyllaConfig::new(vec![self.address.clone()], "secure")
        }
    }

    /// Opens with something wrong; what was not said of what should have been.
    async fn refused(&self, what: &str, config: ScyllaConfig, wanted: &[&str]) -> Vec<String> {
        let begun = Instant::now();
        let error = open(&config, memory::open().blobs).await.err().unwrap_or_else(|| panic!("{what} is taken"));
        assert!(begun.elapsed() < TOLD_WITHIN, "{what}: {:?}", begun.elapsed());
        let said = error.to_string();
        assert!(!said.contains("hush"), "{what}: {said}");
        let named = matches!(error, StoreError::Invalid(_)) && wanted.iter().all(|words| said.contains(words));
        if named { Vec::new() } else { vec![format!("{what}: {wanted:?} is not in {said}")] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.address.is_empty() {
            run("scripts/cql-server", &["remove", "--dir", &self.path("server")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_and_logins_takes_who_belongs_and_names_what_is_wrong_with_others() {
    let server = Server::start();
    let store = open(&server.config(), memory::open().blobs).await.expect("all is right");
    let key = EntityKey::new("acme", "conversation", "one");
    assert_eq!(store.journal.claim(&key, 1).await.expect("claims").last_seq, 0);

    let login = |user: &str, password: &str| Some(ScyllaLogin { user: user.into(), password: password.into() });
    let tls = |authority: &str, own: Option<&str>| Some(server.tls(authority, own));
    let config = || server.config();
    let wrong = [
        (
            "a wrong password",
            ScyllaConfig { login: login("cassandra", "hush"), ..config() },
            &["refuse the login \"cassandra\""][..],
        ),
        ("no login", ScyllaConfig { login: None, ..config() }, &["ask for a login"]),
        (
            "another authority",
            ScyllaConfig { tls: tls("theirs", Some("ours")), ..config() },
            &["do not lead to", "theirs/ca.pem"],
        ),
        (
            "no certificate",
            ScyllaConfig { tls: tls("ours", None), ..config() },
            &["ask for a certificate of one's own"],
        ),
        (
            "a stranger's certificate",
            ScyllaConfig { tls: tls("ours", Some("theirs")), ..config() },
            &["refuse the certificate", "theirs/node-1.pem"],
        ),
        ("no TLS", ScyllaConfig { tls: None, ..config() }, &["may speak TLS only"]),
    ];
    let mut unsaid = Vec::new();
    for (what, config, wanted) in wrong {
        unsaid.extend(server.refused(what, config, wanted).await);
    }
    assert!(unsaid.is_empty(), "{unsaid:#?}");
}
