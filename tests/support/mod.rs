//! The harness of the process tests: starts the real binary on free ports with its own data folder, kills and restarts it, and reads its log.

#![expect(dead_code, reason = "each test target uses its own part of the harness")]

pub(crate) mod carrier;
pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod people;
pub(crate) mod screen;
pub(crate) mod site;
pub(crate) mod socket;
pub(crate) mod voices;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use client::Api;
use disk::SmallDisk;

/// The program under test, built by cargo for exactly this run.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_colloquy");
/// The operators' token of every server the tests start.
pub(crate) const OPS_TOKEN: &str = "operators-token-of-the-tests";
/// From start to ready, also on a machine that compiles something else at the same time.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// A drain waits for running turns; they are short here.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(25);
/// Lines of the server's log shown when a test fails.
const LOG_LINES: usize = 40;
/// Below the ports that the kernel gives to outgoing connections: while a killed server is down, no client can take its port by accident.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// One running (or killed) server with its data folder.
pub(crate) struct Server {
    folder: TempDir,
    /// The public listener.
    pub(crate) http: SocketAddr,
    /// The operators' listener.
    pub(crate) ops: SocketAddr,
    settings: BTreeMap<String, String>,
    /// Where the data are, if not in the folder itself.
    pub(crate) disk: Option<SmallDisk>,
    /// A program that starts the server, with its arguments, such as `prlimit`.
    through: Vec<String>,
    child: Option<Child>,
}

/// The library that shows a program another time; `make test` installs it.
fn other_time() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    places
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime is there; 'make test' installs it (Debian: apt-get install libfaketime)")
}

impl Server {
    /// Starts one with the settings of tests: keyword search, loopback sites may be crawled.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with further settings, such as `("COLLOQUY_CRAWL__ALLOW_PRIVATE", "false")`.
    pub(crate) async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(settings);
        server.boot().await;
        server
    }

    /// Starts one through a program that becomes it, such as `prlimit` with its arguments.
    pub(crate) async fn start_through(through: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(settings);
        server.through = through.iter().map(|&word| word.to_owned()).collect();
        server.boot().await;
        server
    }

    /// Starts one whose data are on a file system of so many bytes.
    pub(crate) async fn start_on_disk_of(bytes: u64, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(settings);
        fs::create_dir(server.data()).expect("a mount point");
        server.disk = Some(SmallDisk::mount(&server.data(), bytes));
        server.boot().await;
        server
    }

    /// One that is not started yet.
    pub(crate) fn prepare(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (http, ops) = (free_port(), free_port());
        let mut all: BTreeMap<String, String> = BTreeMap::from([
            ("COLLOQUY_HTTP__LISTEN".into(), http.to_string()),
            ("COLLOQUY_OPS__LISTEN".into(), ops.to_string()),
            ("COLLOQUY_OPS__TOKEN".into(), OPS_TOKEN.into()),
            ("COLLOQUY_PUBLIC__URL".into(), format!("http://{http}")),
            ("COLLOQUY_DATA__DIR".into(), folder.path().join("data").display().to_string()),
            ("COLLOQUY_CRAWL__ALLOW_PRIVATE".into(), "true".into()),
            ("COLLOQUY_EMBEDDINGS__KIND".into(), "keyword".into()),
        ]);
        all.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Self { folder, http, ops, settings: all, disk: None, through: Vec::new(), child: None }
    }

    /// The same at another address, started through a program that becomes it.
    pub(crate) fn behind(mut self, host: IpAddr, through: Vec<String>) -> Self {
        for (address, key) in [(&mut self.http, "COLLOQUY_HTTP__LISTEN"), (&mut self.ops, "COLLOQUY_OPS__LISTEN")] {
            address.set_ip(host);
            self.settings.insert(key.to_owned(), address.to_string());
        }
        self.settings.insert("COLLOQUY_PUBLIC__URL".to_owned(), format!("http://{}", self.http));
        self.through = through;
        self
    }

    /// Changes a setting for the next start; returns what it was.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<String> {
        self.settings.insert(key.to_owned(), value.to_owned())
    }

    /// Starts the program on the same data and ports, and waits until it can answer a chat turn.
    pub(crate) async fn boot(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Ends the program and starts it again on the same data at another time: so much later, such as `+2d`, whatever was said before.
    pub(crate) async fn later(&mut self, by: &str) {
        self.kill();
        self.set("LD_PRELOAD", &other_time().display().to_string());
        self.set("FAKETIME", by);
        // How long something takes is measured as ever.
        self.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        self.boot().await;
    }

    /// Starts the program without waiting for it.
    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none(), "the server is running already");
        let log = File::options().create(true).append(true).open(self.log_file()).expect("the log can be written");
        let mut words = self.disk.as_ref().map(SmallDisk::inside).unwrap_or_default();
        words.extend(self.through.iter().cloned());
        words.push(PROGRAM.to_owned());
        let mut command = bare(&words[0]);
        command.args(&words[1..]);
        command.arg("serve").current_dir(self.folder.path()).envs(&self.settings);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one more handle")).stderr(log);
        self.child = Some(command.spawn().expect("the program starts"));
    }

    /// Waits until `GET /health/readyz` of the operators' listener says yes.
    pub(crate) async fn ready(&mut self) {
        self.ready_within(READY_WITHIN).await;
    }

    /// As [`Self::ready`], for a start that has much to do.
    pub(crate) async fn ready_within(&mut self, within: Duration) {
        let api = Api::at(self.ops);
        let begun = Instant::now();
        loop {
            if let Ok(answer) = api.try_call("GET", "/health/readyz", None).await
                && answer.status == 200
            {
                return;
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().expect("our own child")) {
                panic!("the server ended with {status} instead of becoming ready:\n{}", self.log_tail());
            }
            assert!(begun.elapsed() < within, "the server is not ready after {within:?}:\n{}", self.log_tail());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the program, which must end by itself with an error; returns what it said.
    pub(crate) fn refuses_to_start(&mut self) -> String {
        let said_before = self.log().len();
        self.spawn();
        let begun = Instant::now();
        let child = self.child.as_mut().expect("just started");
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            assert!(begun.elapsed() < READY_WITHIN, "the server runs, but should have refused to start");
            std::thread::sleep(POLL);
        };
        self.child = None;
        let said = self.log().split_off(said_before);
        assert!(!status.success(), "it ended with {status}: {said}");
        said
    }

    /// Whether the process runs still.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("our own child").is_none())
    }

    /// Memory that the process has in use, bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
        kilobytes * 1024
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// `kill -9`: returns once the process is gone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// SIGTERM: waits for the drain and returns how it ended.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take().expect("a running server");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                return status;
            }
            if begun.elapsed() > STOPPED_WITHIN {
                child.kill().expect("our own child can be killed");
                panic!("the server did not stop within {STOPPED_WITHIN:?} of SIGTERM:\n{}", self.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGSTOP: the process stands still until [`Self::go_on`]; its connections stay open.
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
        rustix::process::kill_process(id, signal).expect("our own child takes a signal");
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let child = self.child.as_mut().expect("a running server");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                self.child = None;
                return status;
            }
            assert!(begun.elapsed() < within, "the server runs still after {within:?}:\n{}", self.log_tail());
            tokio::time::sleep(POLL).await;
        }
    }

    /// A client without credentials.
    pub(crate) fn api(&self) -> Api {
        Api::at(self.http)
    }

    /// A client of the operators' listener without credentials.
    pub(crate) fn ops_api(&self) -> Api {
        Api::at(self.ops)
    }

    /// The server's address as browsers see it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The folder with everything the server keeps.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The last lines of what the server printed.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Everything the server printed.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's last {LOG_LINES} lines\n{}\n---", self.log_tail());
        }
    }
}

/// Runs one command of the program to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Output {
    bare(PROGRAM)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Waits until `look` gives something; fails the test after `within`, saying what was waited for.
pub(crate) async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < within, "{what}: not after {within:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// 128 random bits as hexadecimal digits.
pub(crate) fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout")
}

/// The program without settings of whoever runs the tests.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("COLLOQUY_") {
            command.env_remove(key);
        }
    }
    command
}

/// A loopback address that nothing listens on, and that no other process of tests is given while this one runs: a server takes its port some time after it was
/// chosen, and keeps it over restarts.
pub(crate) fn free_port() -> SocketAddr {
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("colloquy-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the marks of ports");
    for _ in 0..200 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        let mark = File::create(folder.join(address.port().to_string())).expect("a mark");
        if mark.try_lock().is_ok() && TcpListener::bind(address).is_ok() {
            HELD.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
            return address;
        }
    }
    panic!("no free port between {} and {}", PORTS.start, PORTS.end);
}
