//! A server process of our own: a fresh data folder, free ports, its log at hand, killed when it is no longer wanted.

use std::fs::{self, File};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::floor;
use crate::http_client::Client;
use crate::options::Options;
use crate::usage::Usage;

/// How long a server may take until it is ready: far beyond any goal, so that a slow start is measured and not cut off.
const READY: Duration = Duration::from_secs(120);
/// How often readiness is asked for: fine enough for a goal of two seconds.
const POLL: Duration = Duration::from_millis(5);
/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(60);
/// How long after a failed call a death may still be noticed.
const NOTICE: Duration = Duration::from_millis(300);
/// Lines of a dead server's log that are shown.
const LOG_LINES: usize = 20;
/// A limit that no scenario reaches: they measure the server, not its limits, and all visitors share few addresses.
const NO_LIMIT: u32 = 1_000_000_000;
/// Calls at once of an account that no scenario reaches.
const CALLS_AT_ONCE: u32 = 5_000;
/// Calls per second of an account that no scenario reaches: the most that may be set.
const MANY_CALLS: u32 = 1_000;
/// Below the ports that Linux gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a scenario wants of its server.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The model server's base address.
    pub(crate) model: String,
    /// `keyword` or `local`.
    pub(crate) embeddings: &'static str,
    /// Where the simulated carrier is, for whoever calls.
    pub(crate) carrier: Option<SocketAddr>,
}

/// What makes a server one node of several, or of one over a CQL server.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    /// The node's name.
    pub(crate) node: String,
    /// The CQL servers.
    pub(crate) cql: Vec<String>,
    /// The cluster's keyspace.
    pub(crate) keyspace: String,
    /// Redis; none when empty.
    pub(crate) redis: String,
    /// The folder of all nodes.
    pub(crate) blobs: PathBuf,
    /// The operators' token.
    pub(crate) token: String,
    /// The key of all nodes.
    pub(crate) key: String,
    /// How many shards there are.
    pub(crate) shards: u64,
}

/// A running process that was started here.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    pid: u32,
    log: PathBuf,
    ended: watch::Receiver<Option<String>>,
    keeper: JoinHandle<()>,
}

/// A data folder with its settings file; a server may be started on it again and again.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    binary: PathBuf,
    http: SocketAddr,
    ops: SocketAddr,
}

/// A ready server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its process.
    pub(crate) process: Process,
    /// Calls to its public listener.
    pub(crate) client: Arc<Client>,
    /// Calls to its operators' listener.
    pub(crate) ops: Arc<Client>,
    /// From its start until it said it was ready.
    pub(crate) ready_after: Duration,
}

impl Home {
    /// Makes a fresh folder with settings for what is wanted.
    pub(crate) fn new(options: &Options, wanted: &Wanted) -> Result<Self> {
        Self::prepare(options, wanted, None)
    }

    /// The same for a node of a cluster.
    pub(crate) fn among(options: &Options, wanted: &Wanted, membership: &Membership) -> Result<Self> {
        Self::prepare(options, wanted, Some(membership))
    }

    fn prepare(options: &Options, wanted: &Wanted, membership: Option<&Membership>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("colloquy-loadtest-").tempdir_in(&options.scratch);
        let folder = folder
            .map_err(|source| Error::io(format!("no folder could be made in {}", options.scratch.display()), source))?;
        let [http, ops, cluster] = free_ports()?;
        let home = Self { binary: options.binary.clone(), http, ops, folder };
        let data = home.folder.path().join("data");
        let settings = settings(&data, [http, ops, cluster], wanted, membership, options.weights.as_deref());
        fs::write(home.settings(), settings)
            .map_err(|source| Error::io("the settings could not be written", source))?;
        Ok(home)
    }

    /// Starts a server here and waits until it is ready.
    pub(crate) async fn start(&self) -> Result<Server> {
        let log = self.folder.path().join("server.log");
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(self.settings()).current_dir(self.folder.path());
        // Settings in the environment would come on top of the file and change what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COLLOQUY_")) {
            command.env_remove(name);
        }
        let begun = Instant::now();
        let process = Process::spawn("colloquy", command, log)?;
        let ops = Client::new(self.ops);
        let ready = async {
            loop {
                if let Ok(answer) = ops.send(Method::GET, "/health/readyz", &[], bytes::Bytes::new()).await
                    && answer.status.is_success()
                {
                    return Ok(begun.elapsed());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let ready = async {
            tokio::time::timeout(READY, ready)
                .await
                .unwrap_or(Err(Error::NotInTime { what: "readiness of the server".into(), after: READY }))
        };
        let ready_after = process.watch(ready).await?;
        Ok(Server { process, client: Client::new(self.http), ops, ready_after })
    }

    /// Bytes on disk, for the report.
    pub(crate) fn data_bytes(&self) -> u64 {
        bytes_under(&self.folder.path().join("data"))
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("loadtest.toml")
    }
}

impl Server {
    /// What the process uses.
    pub(crate) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }
}

impl Process {
    /// What the process uses.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid)
    }

    /// Does something against this process; ends with the process's last words if it dies meanwhile or the work fails because of it.
    pub(crate) async fn watch<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = work => match outcome {
                Ok(value) => Ok(value),
                // A broken connection is often the first sign of a death: give its notice a moment.
                Err(error) => match tokio::time::timeout(NOTICE, self.wait_for_end()).await {
                    Ok(()) => Err(self.death()),
                    Err(_) => Err(error),
                },
            },
            () = self.wait_for_end() => Err(self.death()),
        }
    }

    async fn wait_for_end(&self) {
        let mut ended = self.ended.clone();
        // Without a keeper the process is gone as well.
        let _ = ended.wait_for(Option::is_some).await;
    }

    /// Asks it to drain and waits for its end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.end(Signal::TERM).await
    }

    /// Kills it as a power failure would, and waits for its end.
    pub(crate) async fn kill(self) -> Result<()> {
        self.end(Signal::KILL).await
    }

    async fn end(self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::Setup(format!("{} is no process id", self.pid)))?;
        kill_process(pid, signal)
            .map_err(|errno| Error::io(format!("the {} process could not be ended", self.name), errno.into()))?;
        match tokio::time::timeout(DRAIN, self.wait_for_end()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::NotInTime {
                what: format!("the end of the {} process\n{}", self.name, tail(&self.log)),
                after: DRAIN,
            }),
        }
    }

    fn spawn(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        let failed = |source| Error::io(format!("the {name} process could not be started"), source);
        let file = File::options().create(true).append(true).open(&log).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file);
        let child = command.kill_on_drop(true).spawn().map_err(failed)?;
        Self::keep(name, child, log)
    }

    /// Whoever drops the keeper drops the child, which kills it.
    fn keep(name: &'static str, mut child: Child, log: PathBuf) -> Result<Self> {
        let pid =
            child.id().ok_or_else(|| Error::Died { name: name.into(), status: "at once".into(), log: tail(&log) })?;
        let (end, ended) = watch::channel(None);
        // Waiting closes a child's input, but the floor takes the end of its input for the end of its parent.
        let input = child.stdin.take();
        let keeper = tokio::spawn(async move {
            let _input = input;
            let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
            end.send_replace(Some(status));
        });
        Ok(Self { name, pid, log, ended, keeper })
    }

    fn death(&self) -> Error {
        let status = self.ended.borrow().clone().unwrap_or_else(|| "nobody knows how".into());
        Error::Died { name: self.name.into(), status, log: tail(&self.log) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Starts a Redis of a scenario's own, which keeps nothing, and says where it is.
pub(crate) async fn start_redis(scratch: &Path) -> Result<(Process, String)> {
    let [address] = free_ports()?;
    let mut command = Command::new("redis-server");
    command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    let process = Process::spawn("redis-server", command, scratch.join("loadtest-redis.log"))?;
    let answers = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    process.watch(answers).await?;
    Ok((process, format!("redis://{address}")))
}

/// Starts a simulated carrier with these arguments, which writes down in `log` what it is asked and does, and says where it is.
pub(crate) async fn start_carrier(options: &Options, arguments: &[&str], log: &Path) -> Result<(Process, SocketAddr)> {
    let [address] = free_ports()?;
    let mut command = Command::new(&options.binary);
    command.args(["carrier", "--listen", &address.to_string()]).args(arguments).arg("--log").arg(log);
    let process = Process::spawn("carrier", command, options.scratch.join("loadtest-carrier.log"))?;
    let answers = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    };
    process.watch(answers).await?;
    Ok((process, address))
}

/// Starts the floor of calls beside a model server.
pub(crate) async fn start_call_floor(options: &Options, model: SocketAddr) -> Result<(Process, Arc<Client>)> {
    floor_process(options, &["floor-calls", "--upstream", &model.to_string()]).await
}

/// Starts the floor beside a model server, and says where it listens.
pub(crate) async fn start_floor(options: &Options, model: SocketAddr) -> Result<(Process, Arc<Client>)> {
    floor_process(options, &["floor-proxy", "--upstream", &model.to_string()]).await
}

/// Starts the floor of idle sockets.
pub(crate) async fn start_socket_floor(options: &Options) -> Result<(Process, Arc<Client>)> {
    floor_process(options, &["floor-sockets"]).await
}

async fn floor_process(options: &Options, arguments: &[&str]) -> Result<(Process, Arc<Client>)> {
    let failed = |source| Error::io("the floor's process could not be started", source);
    let mut command = Command::new(&options.own_binary);
    command.args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).await.map_err(failed)?;
    }
    let address = line.trim().strip_prefix(floor::LISTENING).and_then(|address| address.parse().ok());
    let address = address.ok_or_else(|| Error::unexpected("the floor", "it does not say where it listens"))?;
    Ok((Process::keep("floor", child, PathBuf::new())?, Client::new(address)))
}

/// Ports that nothing listens on, below those that the kernel gives to outgoing connections: a server that is killed and started again
/// finds its own free.
fn free_ports<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(N);
    let mut failed = None;
    for _ in 0..200 {
        if listeners.len() == N {
            break;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(PORTS))) {
            Ok(listener) => listeners.push(listener),
            Err(source) => failed = Some(source),
        }
    }
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for (n, address) in addresses.iter_mut().enumerate() {
        let Some(listener) = listeners.get(n) else {
            return Err(Error::io(
                "no loopback port is free",
                failed.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()),
            ));
        };
        *address = listener.local_addr().map_err(|source| Error::io("no loopback port is free", source))?;
    }
    Ok(addresses)
}

/// The settings file: the defaults, but for where things are and for limits that would be measured instead of the server.
fn settings(
    data: &Path,
    [http, ops, cluster]: [SocketAddr; 3],
    wanted: &Wanted,
    membership: Option<&Membership>,
    weights: Option<&Path>,
) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string(); // A JSON string is a TOML string.
    let path = |path: &Path| text(&path.to_string_lossy());
    let (mut token, mut blobs, mut shared) = (String::new(), String::new(), String::new());
    if let Some(carrier) = wanted.carrier {
        // The pace is what a scenario sets for its campaign, not the account's.
        shared = format!(
            "\n[messages]\nsimulated_url = \"http://{carrier}\"\n\n[voice.simulated]\nconcurrent = {CALLS_AT_ONCE}\ncalls_per_second = {MANY_CALLS}.0\n\
             concurrent_per_organization = {CALLS_AT_ONCE}\nconcurrent_per_number = {CALLS_AT_ONCE}\ncalls_per_second_per_number = {MANY_CALLS}.0\n"
        );
    }
    if let Some(member) = membership {
        token = format!("token = {}\n", text(&member.token));
        blobs = format!("blobs = {}\n", path(&member.blobs));
        shared += &format!(
            "\n[store]\nkind = \"scylla\"\nnodes = {}\nkeyspace = {}\nreplication = {}\n\n[secrets]\nkey = {}\n\n[redis]\nurl = {}\n\n\
             [cluster]\nnode_id = {}\nlisten = \"{cluster}\"\nshards = {}\n",
            serde_json::json!(member.cql),
            text(&member.keyspace),
            member.cql.len().min(3),
            text(&member.key),
            text(&member.redis),
            text(&member.node),
            member.shards,
        );
    }
    format!(
        "[http]\nlisten = \"{http}\"\n\n[ops]\nlisten = \"{ops}\"\n{token}\n[data]\ndir = {data}\n{blobs}\n[public]\nurl = \"http://{http}\"\n\n\
         [models.openai]\nbase_url = {model}\napi_key = \"stand-in\"\n\n[embeddings]\nkind = \"{embeddings}\"\nlocal_path = {weights}\n\n\
         [crawl]\nallow_private = true\npages_max = 20000\ntotal_bytes_max = 4000000000\ntotal_timeout_s = 1800\n\n[log]\nfilter = \"warn\"\n\n\
         [limits]\nchat_per_visitor_per_minute = {NO_LIMIT}\nchat_per_address_per_minute = {NO_LIMIT}\nlogin_per_address_per_minute = {NO_LIMIT}\n\
         login_per_email_per_minute = {NO_LIMIT}\napi_per_principal_per_minute = {NO_LIMIT}\nsockets_per_address = {NO_LIMIT}\nbody_bytes_max = 16777216\n{shared}",
        data = path(data),
        model = text(&wanted.model),
        embeddings = wanted.embeddings,
        weights = weights.map_or_else(|| "\"\"".to_owned(), path),
    )
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "its log is empty".into();
    }
    format!("the last lines of its log:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
}

fn bytes_under(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            entry.metadata().ok().map(|about| if about.is_dir() { bytes_under(&entry.path()) } else { about.len() })
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Process::spawn("shell", command, folder.join("log")).expect("sh")
    }

    #[tokio::test]
    async fn a_server_that_dies_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().expect("folder");
        let process = shell("echo one; echo the disk is full >&2; exit 3", folder.path());
        let error = process.watch(std::future::pending::<Result<()>>()).await.expect_err("death").to_string();
        assert!(error.contains("exit status: 3") && error.contains("the disk is full"), "{error}");
    }

    #[tokio::test]
    async fn a_failure_of_a_living_server_keeps_its_own_reason() {
        let folder = tempfile::tempdir().expect("folder");
        let process = shell("exec sleep 60", folder.path());
        let error = process.watch(async { Err::<(), _>(Error::Setup("refused".into())) }).await.expect_err("failure");
        assert_eq!(error.to_string(), "refused");
    }

    #[tokio::test]
    async fn dropping_a_process_kills_it() {
        let folder = tempfile::tempdir().expect("folder");
        let process = shell("exec sleep 60", folder.path());
        let pid = process.pid;
        drop(process);
        let gone = async {
            // A zombie has no memory, so its status names none.
            while Usage::of(pid).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the process lives on");
    }

    #[tokio::test]
    async fn stopping_waits_for_the_end() {
        let folder = tempfile::tempdir().expect("folder");
        shell("exec sleep 60", folder.path()).stop().await.expect("stopped");
        shell("exec sleep 60", folder.path()).kill().await.expect("killed");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_shown() {
        let folder = tempfile::tempdir().expect("folder");
        let log = folder.path().join("log");
        fs::write(&log, (0..100).map(|line| format!("line {line}\n")).collect::<String>()).expect("log");
        let shown = tail(&log);
        assert!(shown.contains("line 99") && shown.contains("line 80") && !shown.contains("line 79"), "{shown}");
    }

    #[test]
    fn settings_name_the_folder_the_ports_and_the_model() {
        let [http, ops, cluster] = free_ports().expect("ports");
        assert_ne!(http.port(), ops.port());
        let wanted = Wanted { model: "http://127.0.0.1:9/v1".into(), embeddings: "keyword", carrier: None };
        let text = settings(Path::new("/tmp/with \"quotes\""), [http, ops, cluster], &wanted, None, None);
        for part in [
            format!("listen = \"{http}\""),
            format!("listen = \"{ops}\""),
            "dir = \"/tmp/with \\\"quotes\\\"\"".into(),
            "base_url = \"http://127.0.0.1:9/v1\"".into(),
        ] {
            assert!(text.contains(&part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("[cluster]"), "{text}");
        let member = Membership {
            node: "node-1".into(),
            cql: vec!["127.0.0.1:9042".into()],
            keyspace: "bench".into(),
            redis: "redis://127.0.0.1:6379".into(),
            blobs: "/tmp/blobs".into(),
            token: "open".into(),
            key: "ab".repeat(32),
            shards: 48,
        };
        let text = settings(Path::new("/tmp/x"), [http, ops, cluster], &wanted, Some(&member), None);
        for part in [
            "nodes = [\"127.0.0.1:9042\"]",
            "replication = 1",
            "token = \"open\"",
            "blobs = \"/tmp/blobs\"",
            &format!("listen = \"{cluster}\""),
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
