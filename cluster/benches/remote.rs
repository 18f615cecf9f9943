//! An ask between two nodes: our transport beside the floor, plain calls of `ractor_cluster`, in the same run. Each side is a process of its own, because
//! `ractor`'s registry is process-wide; processor time is that of both.
//!
//! `cargo bench -p colloquy-cluster --bench remote -- --rows FILE [--seconds N]` writes one JSON object a line, which `colloquy-loadtest --rows FILE` puts
//! into its table. Without `--bench`, which cargo adds, nothing is measured.

use std::error::Error;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_cluster::EntityKey;
use colloquy_cluster::clock::{Clock as _, SystemClock};
use colloquy_cluster::frame::{Answer, FRAME_SCHEMA, Frame};
use colloquy_cluster::host::transport::{ClusterTransport, Peers, Receive, ReplyTo, Transport, TransportConfig};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::{NodeServer, RactorClusterMessage};
use serde_json::{Value, json};

/// The goals' shape: 1 KB asks of 100 callers.
const ASK_BYTES: usize = 1024;
const CALLERS: usize = 100;
/// How long each side is measured unless told otherwise, seconds.
const SECONDS: u64 = 10;
/// Asks before it counts.
const WARM_UP: Duration = Duration::from_secs(1);
/// How many times the floor's throughput for a second of processor time ours should have.
const GOAL_TIMES: f64 = 2.0;
/// The process group of the floor's one actor.
const GROUP: &str = "echo";
/// Ticks of the clock that Linux tells processor time in.
const TICKS: f64 = 100.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["answer", "ours"] => return runtime()?.block_on(ours::answer()),
        ["answer", "floor"] => return runtime()?.block_on(floor::answer()),
        ["ask", "ours", address, seconds] => return runtime()?.block_on(ours::ask(address, seconds.parse()?)),
        ["ask", "floor", address, seconds] => return runtime()?.block_on(floor::ask(address, seconds.parse()?)),
        _ => {}
    }
    let (mut rows, mut seconds, mut wanted): (Option<PathBuf>, u64, bool) = (None, SECONDS, false);
    let mut left = arguments.iter();
    while let Some(argument) = left.next() {
        match argument.as_str() {
            "--bench" => wanted = true,
            "--rows" => rows = Some(left.next().ok_or("--rows needs a file")?.into()),
            "--seconds" => seconds = left.next().ok_or("--seconds needs a number")?.parse()?,
            unknown => return Err(format!("{unknown} is not known; there are --rows FILE and --seconds N").into()),
        }
    }
    if wanted { measure(rows, seconds) } else { Ok(()) }
}

/// What a side did.
struct Measured {
    asks: f64,
    seconds: f64,
    cpu_s: f64,
    percentiles_us: Value,
}

impl Measured {
    fn for_a_cpu_second(&self) -> f64 {
        self.asks / self.cpu_s
    }

    fn shown(&self) -> String {
        format!("{:.0} asks/s, {:.1} µs of processor each", self.asks / self.seconds, self.cpu_s * 1e6 / self.asks)
    }
}

fn measure(rows: Option<PathBuf>, seconds: u64) -> Outcome<()> {
    let floor = pair("floor", seconds)?;
    let ours = pair("ours", seconds)?;
    let times = ours.for_a_cpu_second() / floor.for_a_cpu_second();
    let beside = format!("ours: {}; plain ractor_cluster: {}", ours.shown(), floor.shown());
    eprintln!("    asks for a second of processor time, as a multiple of the floor: {times:.2}  ({beside})");
    let lines = [
        json!({
            "scenario": "remote", "figure": "asks between nodes for a second of processor time, 1 KB, 100 callers", "unit": "times",
            "value": times, "goal": { "at_least": GOAL_TIMES }, "beside": beside, "percentiles_us": ours.percentiles_us,
        }),
        json!({ "scenario": "remote", "note": "both sides on one machine over loopback without TLS, two threads each; percentiles are of an ask of ours" }),
    ];
    if let Some(file) = rows {
        let mut out = std::fs::File::create(file)?;
        for line in lines {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

/// A process that ends with its handle.
struct Side(Child);

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn side(arguments: &[&str]) -> Outcome<(Side, BufReader<std::process::ChildStdout>)> {
    let mut child = Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("no output")?;
    Ok((Side(child), BufReader::new(out)))
}

fn line(out: &mut impl std::io::BufRead) -> Outcome<String> {
    let mut line = String::new();
    out.read_line(&mut line)?;
    if line.is_empty() { Err("a side ended early".into()) } else { Ok(line.trim().to_owned()) }
}

fn pair(kind: &str, seconds: u64) -> Outcome<Measured> {
    let (answerer, mut out) = side(&["answer", kind])?;
    let address = line(&mut out)?;
    let (asker, mut out) = side(&["ask", kind, &address, &seconds.to_string()])?;
    line(&mut out)?; // Warm.
    let before = cpu_s(&answerer)? + cpu_s(&asker)?;
    let told: Value = serde_json::from_str(&line(&mut out)?)?;
    let cpu_s = cpu_s(&answerer)? + cpu_s(&asker)? - before;
    let number = |name: &str| told[name].as_f64().ok_or("a side told no figures");
    Ok(Measured {
        asks: number("asks")?,
        seconds: number("seconds")?,
        cpu_s,
        percentiles_us: told["percentiles_us"].clone(),
    })
}

/// Processor time of a process so far, user and system.
fn cpu_s(side: &Side) -> Outcome<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", side.0.id()))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| -> Outcome<f64> { Ok(fields.get(at).ok_or("no processor time")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Callers that ask one after the other each, until the time is over; says when it begins to count and what came of it.
async fn callers<F: Future<Output = bool> + Send>(
    seconds: u64,
    ask: impl Fn(u64) -> F + Clone + Send + Sync + 'static,
) -> Outcome<()> {
    let (counting, ended) = (Instant::now() + WARM_UP, Instant::now() + WARM_UP + Duration::from_secs(seconds));
    let next = Arc::new(AtomicU64::new(1));
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (ask, next) = (ask.clone(), next.clone());
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while Instant::now() < ended {
                    let begun = Instant::now();
                    assert!(ask(next.fetch_add(1, Ordering::Relaxed)).await, "an ask was not answered");
                    if begun >= counting {
                        taken.push(begun.elapsed());
                    }
                }
                taken
            })
        })
        .collect();
    tokio::time::sleep_until(counting.into()).await;
    println!("counting");
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await?);
    }
    taken.sort_unstable();
    let at_us = |quantile: f64| {
        let at = (taken.len().saturating_sub(1) as f64 * quantile).round() as usize;
        taken.get(at).map_or(0.0, |taken| taken.as_secs_f64() * 1e6)
    };
    println!(
        "{}",
        json!({ "asks": taken.len(), "seconds": seconds, "percentiles_us": {
            "p50": at_us(0.5), "p95": at_us(0.95), "p99": at_us(0.99), "max": at_us(1.0), "count": taken.len() } })
    );
    // The parent reads our processor time, then ends us.
    std::future::pending::<()>().await;
    Ok(())
}

/// Our transport.
mod ours {
    use super::*;

    struct Echo;

    impl Receive for Echo {
        fn receive(&self, frame: Frame, reply: ReplyTo) {
            reply.send(Answer::Ok(frame.bytes));
        }
    }

    /// The one other node.
    struct Other(Option<String>);

    impl Peers for Other {
        fn address(&self, _node: &str) -> Option<String> {
            self.0.clone()
        }
    }

    async fn node(id: &str, other: Option<String>) -> Outcome<(String, Arc<ClusterTransport>)> {
        let config = TransportConfig::new(id, "127.0.0.1:0".parse()?, [7; 32]);
        let bound = ClusterTransport::bind(config).await?;
        let address = bound.local_addr().to_string();
        Ok((address, bound.serve(1, Arc::new(Other(other)), Arc::new(Echo))))
    }

    pub(super) async fn answer() -> Outcome<()> {
        let (address, _transport) = node("answerer", None).await?;
        println!("{address}");
        std::future::pending().await
    }

    pub(super) async fn ask(address: &str, seconds: u64) -> Outcome<()> {
        let (_, transport) = node("asker", Some(address.to_owned())).await?;
        let payload = Bytes::from(vec![b'x'; ASK_BYTES]);
        callers(seconds, move |correlation| {
            let (transport, payload) = (transport.clone(), payload.clone());
            async move {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let frame = Frame {
                    shard: 1,
                    epoch: 1,
                    key: EntityKey::new("acme", "echo", "one"),
                    schema: FRAME_SCHEMA,
                    correlation,
                    idempotency_key: None,
                    deadline_ms: SystemClock.now_ms() + 5_000,
                    trace: None,
                    source: None,
                    after_rows: false,
                    note: false,
                    bytes: payload,
                };
                transport.send("answerer", frame, ReplyTo::new(move |answer| drop(sender.send(answer))));
                matches!(receiver.await, Ok(Answer::Ok(bytes)) if bytes.len() == ASK_BYTES)
            }
        })
        .await
    }
}

/// Plain calls of `ractor_cluster`.
mod floor {
    use super::*;

    #[derive(RactorClusterMessage)]
    enum EchoMsg {
        #[rpc]
        Ask(Vec<u8>, RpcReplyPort<Vec<u8>>),
    }

    struct Echo;

    impl Actor for Echo {
        type Msg = EchoMsg;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, myself: ActorRef<EchoMsg>, (): ()) -> Result<(), ActorProcessingErr> {
            ractor::pg::join(GROUP.to_owned(), vec![myself.get_cell()]);
            Ok(())
        }

        async fn handle(
            &self,
            _myself: ActorRef<EchoMsg>,
            message: EchoMsg,
            _state: &mut (),
        ) -> Result<(), ActorProcessingErr> {
            let EchoMsg::Ask(bytes, reply) = message;
            drop(reply.send(bytes)); // The caller may be gone.
            Ok(())
        }
    }

    async fn node(name: &str, port: u16) -> Outcome<ActorRef<ractor_cluster::NodeServerMessage>> {
        let server = NodeServer::new(port, "cookie".into(), name.into(), "127.0.0.1".into(), None, None)
            .with_listen_addr(std::net::Ipv4Addr::LOCALHOST.into());
        Ok(Actor::spawn(None, server, ()).await?.0)
    }

    pub(super) async fn answer() -> Outcome<()> {
        // Free a moment ago; nobody else on this machine asks for ports now.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let _server = node("answerer", port).await?;
        Actor::spawn(None, Echo, ()).await?;
        println!("127.0.0.1:{port}");
        std::future::pending().await
    }

    pub(super) async fn ask(address: &str, seconds: u64) -> Outcome<()> {
        let server = node("asker", 0).await?;
        ractor_cluster::client_connect(&server, address).await.map_err(|error| error.to_string())?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let echo: ActorRef<EchoMsg> = loop {
            if let Some(found) = ractor::pg::get_members(&GROUP.to_owned()).into_iter().next() {
                break found.into();
            }
            if Instant::now() > deadline {
                return Err("the floor's nodes do not find each other".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        callers(seconds, move |_| {
            let echo = echo.clone();
            async move {
                let asked = ractor::call_t!(echo, EchoMsg::Ask, 5_000, vec![b'x'; ASK_BYTES]);
                asked.is_ok_and(|bytes| bytes.len() == ASK_BYTES)
            }
        })
        .await
    }
}
