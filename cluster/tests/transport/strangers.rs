//! Nodes that do not belong to the cluster, and sockets that are no nodes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::peer::{Peer, Setup, ask, pair, until};
use crate::proxy::Proxy;

/// Two nodes of which one has another idea of the cluster: both say which.
fn refused(b: Setup, what: &str) {
    let (a, b) = pair(Setup::new("n1"), b);
    let mut answers = a.ask(&ask("n2", "echo", "hello"));
    until("it is refused", || {
        answers = a.ask(&ask("n2", "echo", "hello"));
        answers.all("unavailable")
    });
    assert!(answers.last.contains(what), "{what}: {answers:?}");
    assert!(a.status("n2")["error"].as_str().is_some_and(|error| error.contains(what)), "{}", a.status("n2"));
    for node in [&a, &b] {
        until("it is logged", || node.logged().lines().any(|line| line.contains("ERROR") && line.contains(what)));
    }
    let answers = b.ask(&ask("n1", "echo", "hello"));
    assert!(!answers.all("ok"), "{answers:?}");
    assert_eq!(a.metric("colloquy_transport_sessions") + b.metric("colloquy_transport_sessions"), 0.0);
}

#[test]
fn another_cluster_name_is_refused_by_name() {
    let mut other = Setup::new("n2");
    other.cluster = "production".to_owned();
    refused(other, "the cluster name");
}

#[test]
fn another_number_of_shards_is_refused_by_name() {
    let mut other = Setup::new("n2");
    other.shards = 32;
    refused(other, "the number of shards");
}

#[test]
fn another_schema_version_is_refused_by_name() {
    let mut other = Setup::new("n2");
    other.schema = 2;
    refused(other, "the schema version");
}

#[test]
fn another_secret_is_refused_by_name() {
    let mut other = Setup::new("n2");
    other.secret = 8;
    refused(other, "the secret");
}

#[test]
fn a_node_at_anothers_address_is_refused_by_name() {
    let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n3")));
    a.knows(&[("n2", &b.address)]);
    until("it is refused", || {
        let answers = a.ask(&ask("n2", "echo", ""));
        answers.all("unavailable") && answers.last.contains("the node id")
    });
}

/// A folder of certificates, as an operator makes it.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new(nodes: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/certificates.sh");
        let made = Command::new("sh").arg(script).arg(folder.path()).args(nodes).output().expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(folder)
    }

    fn files(&self, node: &str) -> [PathBuf; 3] {
        let file = |name: String| self.0.path().join(name);
        [file("ca.pem".to_owned()), file(format!("{node}.pem")), file(format!("{node}.key"))]
    }
}

fn with_tls(node: &str, files: [PathBuf; 3]) -> Setup {
    let mut setup = Setup::new(node);
    setup.tls = Some(files);
    setup
}

#[test]
fn nodes_with_certificates_of_one_authority_talk_and_nobody_else() {
    let (ours, theirs) = (Certificates::new(&["n1", "n2"]), Certificates::new(&["n1", "n2"]));
    let (a, b) = pair(with_tls("n1", ours.files("n1")), with_tls("n2", ours.files("n2")));
    assert!(a.ask(&ask("n2", "echo", "hello")).all("ok"));
    let mut large = ask("n1", "echo", "");
    large.size = 1_000_000;
    assert!(b.ask(&large).all("ok"));

    // Another authority.
    let stranger = Peer::start(with_tls("n2", theirs.files("n2")));
    stranger.knows(&[("n1", &a.address)]);
    until("it cannot connect", || {
        !stranger.ask(&ask("n1", "echo", "")).all("ok")
            && stranger.status("n1")["error"].as_str().is_some_and(|error| error.contains("certificate"))
    });
    // It trusts us, but its own certificate is of another authority.
    let [authority, _, _] = ours.files("n2");
    let [_, certificate, key] = theirs.files("n2");
    let forger = Peer::start(with_tls("n2", [authority, certificate, key]));
    forger.knows(&[("n1", &a.address)]);
    until("it cannot connect", || {
        let answers = forger.ask(&ask("n1", "echo", ""));
        assert!(!answers.all("ok"), "{answers:?}");
        forger.status("n1")["error"].is_string()
    });
    // Our authority and the right name, towards a node of another.
    let misled = Peer::start(with_tls("n1", ours.files("n1")));
    misled.knows(&[("n2", &stranger.address)]);
    until("it does not trust it", || {
        !misled.ask(&ask("n2", "echo", "")).all("ok")
            && misled.status("n2")["error"].as_str().is_some_and(|error| error.contains("certificate"))
    });
    // Without TLS.
    let plain = Peer::start(Setup::new("n2"));
    plain.knows(&[("n1", &a.address)]);
    assert!(!plain.ask(&ask("n1", "echo", "")).all("ok"));
    until("it is noticed", || plain.status("n1")["error"].is_string());
    assert!(a.ask(&ask("n2", "echo", "still ours")).all("ok"));
}

#[test]
fn a_certificate_is_good_for_its_own_node_only() {
    let ours = Certificates::new(&["n1", "n2"]);
    let mut thief = Setup::new("n3");
    thief.tls = Some(ours.files("n2"));
    let (a, thief) = (Peer::start(with_tls("n1", ours.files("n1"))), Peer::start(thief));
    thief.knows(&[("n1", &a.address)]);
    until("it is refused", || {
        let answers = thief.ask(&ask("n1", "echo", ""));
        answers.all("unavailable") && answers.last.contains("the certificate")
    });
    until("the other side logs it too", || a.logged().contains("the certificate"));
    a.knows(&[("n3", &thief.address)]);
    until("nor is it dialed", || {
        !a.ask(&ask("n3", "echo", "")).all("ok")
            && a.status("n3")["error"].as_str().is_some_and(|error| error.contains("certificate"))
    });
}

#[test]
fn plain_text_between_machines_must_be_allowed_by_name() {
    let mut open = Setup::new("n1");
    open.listen = "0.0.0.0:0".to_owned();
    let error = Peer::try_start(open).map(drop).expect_err("refused");
    assert!(error.contains("not loopback"), "{error}");
}

#[test]
fn a_missing_certificate_is_named() {
    let missing = ["/nowhere/ca.pem", "/nowhere/n1.pem", "/nowhere/n1.key"].map(PathBuf::from);
    let error = Peer::try_start(with_tls("n1", missing)).map(drop).expect_err("refused");
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn babble_on_the_socket_does_not_take_the_node_down() {
    let (a, b) = pair(Setup::new("n1"), Setup::new("n2"));
    let mut random = StdRng::seed_from_u64(3);
    let before = b.memory();
    for round in 0..200 {
        let mut stream = TcpStream::connect(&b.address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
        let mut bytes = vec![0; random.random_range(0..4_000)];
        random.fill(bytes.as_mut_slice());
        if round % 2 == 0 {
            // Past the first gate, with a claim of length.
            let mut begun = b"colloquy".to_vec();
            begun.extend_from_slice(&u16::try_from(round * 300).unwrap_or(u16::MAX).to_be_bytes());
            begun.extend_from_slice(&bytes);
            bytes = begun;
        }
        // The node may close before all is written.
        let _closed = stream.write_all(&bytes).is_err();
        drop(stream.shutdown(std::net::Shutdown::Write));
        drop(stream.read_to_end(&mut Vec::new()));
    }
    assert!(a.ask(&ask("n2", "echo", "are you well?")).all("ok"));
    assert!(b.metric("colloquy_transport_strangers_total") >= 200.0);
    assert!(b.memory().saturating_sub(before) < 64 * 1024 * 1024);
}

#[test]
fn babble_inside_a_session_ends_it_and_the_next_one_works() {
    let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n2")));
    let proxy = Proxy::start(&b.address);
    a.knows(&[("n2", &proxy.address)]);
    let mut random = StdRng::seed_from_u64(4);
    for claim in [Some(u64::MAX), Some(1 << 30), None, None] {
        a.ask_until_ok(&ask("n2", "echo", "before"));
        let mut babble = vec![0; 300];
        random.fill(babble.as_mut_slice());
        match claim {
            // A length that would fill the memory.
            Some(length) => babble[..8].copy_from_slice(&length.to_be_bytes()),
            // A length that is there, of something that is none.
            None => babble[..8].copy_from_slice(&292_u64.to_be_bytes()),
        }
        proxy.spoil(babble);
        let answers = a.ask(&ask("n2", "echo", "spoiled"));
        assert!(answers.took_ms < 12_000, "{answers:?}");
    }
    assert_eq!(a.ask_until_ok(&ask("n2", "echo", "after")).last, "after");
    assert!(b.memory() < 256 * 1024 * 1024);
}

#[test]
fn silent_strangers_keep_nobody_out() {
    let (a, b) = (Peer::start(Setup::new("n1")), Peer::start(Setup::new("n2")));
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(&b.address).expect("connects")).collect();
    a.knows(&[("n2", &b.address)]);
    let answers = a.ask(&ask("n2", "echo", "past the silent"));
    assert!(answers.all("ok") && answers.took_ms < 4_000, "{answers:?}");
    // And they are not kept for ever.
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("sets");
        assert_eq!(stream.read(&mut [0; 1]).expect("closed, not timed out"), 0);
    }
}
