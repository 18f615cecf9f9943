//! `chat-idle`: what an open widget costs that nobody types in, bare and with a live conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use colloquy_wire::sockets::{ChatClient, ChatServer};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::crowd::{make_agents, many};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::report::{Goal, Report, Row, Unit, with_unit};
use crate::server::{Home, Server, Wanted, start_socket_floor};
use crate::socket::Socket;
use crate::stand_in::{Pace, StandIn};
use crate::turn::visitor_id;
use crate::usage::{Usage, allow_open_files};
use crate::wording::question;

/// On the command line and in the report.
pub(crate) const NAME: &str = "chat-idle";

/// Sockets at full scale.
const SOCKETS: u64 = 10_000;
/// Sockets that are connecting or waiting for their first answer at once.
const AT_ONCE: usize = 100;
/// Sockets opened before anything is counted, so that pools and caches are there.
const WARM_UP: u64 = 50;
/// How long a welcome or an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long memory is given to settle before it is read.
const SETTLE: Duration = Duration::from_secs(2);
/// How long all sockets together may take for a step.
const STEP: Duration = Duration::from_secs(300);

/// How far the sockets may go; each waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Welcomed,
    Talked,
    Over,
}

/// Sockets that follow the same steps.
struct Crowd {
    step: watch::Sender<Step>,
    welcomed: Arc<AtomicU64>,
    talked: Arc<AtomicU64>,
    tasks: JoinSet<Result<()>>,
    count: u64,
}

/// Measures memory a session and what idling costs.
pub(crate) async fn run(options: &Options, report: &mut Report) -> Result<()> {
    let count = options.scaled(SOCKETS, 20);
    // One here for each socket, and the same again in the server, which inherits the limit.
    allow_open_files(count + 5_000)?;
    let stand_in = StandIn::start(Pace::INSTANT).await?;
    let home = Home::new(options, &Wanted { model: stand_in.base_url(), embeddings: "keyword", carrier: None })?;
    let server = home.start().await?;
    let floor = floor(options, count).await?;
    server.process.watch(measure(options, report, &server, count, floor)).await?;
    server.process.stop().await
}

/// Kilobytes a socket that a server takes which does nothing but hold it open.
async fn floor(options: &Options, count: u64) -> Result<f64> {
    let (process, client) = start_socket_floor(options).await?;
    let address = client.server();
    let connect = |first: u64| move |number: u64| Socket::connect(address, "/", first + number);
    let each = process
        .watch(async {
            let warm_up = many(WARM_UP, connect(0)).await?;
            let empty = process.usage()?;
            let sockets = many(count, connect(WARM_UP)).await?;
            tokio::time::sleep(SETTLE).await;
            let full = process.usage()?;
            drop((warm_up, sockets));
            Ok(full.resident.saturating_sub(empty.resident) as f64 / 1024.0 / count as f64)
        })
        .await?;
    process.kill().await?;
    Ok(each)
}

async fn measure(options: &Options, report: &mut Report, server: &Server, count: u64, floor: f64) -> Result<()> {
    let agents: Vec<String> = make_agents(&server.client, 1, 10).await?.into_iter().map(|(_, agent)| agent).collect();
    let mut warm_up = Crowd::connect(server, &agents, WARM_UP, 0);
    warm_up.reach(Step::Welcomed).await?;
    warm_up.reach(Step::Talked).await?;
    tokio::time::sleep(SETTLE).await;

    let mut crowd = Crowd::connect(server, &agents, count, WARM_UP);
    crowd.reach(Step::Welcomed).await?;
    tokio::time::sleep(SETTLE).await;
    let bare = server.usage()?;
    crowd.reach(Step::Talked).await?;
    tokio::time::sleep(SETTLE).await;
    let live = server.usage()?;
    tokio::time::sleep(options.steady()).await;
    let held = server.usage()?;
    let lost = crowd.over().await;
    warm_up.over().await;

    // Everything the process holds counts: what it held before includes pages that are used again, and taking them off would flatter.
    let each = |usage: &Usage| usage.resident as f64 / 1024.0 / count as f64;
    let megabytes = |usage: &Usage| with_unit(usage.resident as f64 / f64::from(1 << 20), Unit::Megabytes);
    report.add(
        Row::new(NAME, "memory a session, socket and live conversation", each(&live), Unit::Kilobytes)
            .goal(Goal::AtMost(48.0))
            .beside(format!(
                "{count} sessions, {} in all, everything else of the server included; floor (a server that only holds sockets open) {} each (ratio {}); Phoenix: ≤ 64 KB a bare socket",
                megabytes(&live),
                with_unit(floor, Unit::Kilobytes),
                with_unit(each(&live) / floor.max(0.1), Unit::Times)
            )),
    );
    report.add(
        Row::new(NAME, "memory a bare socket, everything else of the server included", each(&bare), Unit::Kilobytes)
            .beside(format!(
                "welcomed, nothing said; floor {} (ratio {})",
                with_unit(floor, Unit::Kilobytes),
                with_unit(each(&bare) / floor.max(0.1), Unit::Times)
            )),
    );
    report.add(
        Row::new(NAME, "memory a session after idling", each(&held), Unit::Kilobytes)
            .beside(format!("{} s later", options.seconds)),
    );
    let busy = held.cpu_since(&live).as_secs_f64() / options.steady().as_secs_f64() * 100.0;
    report.add(Row::new(NAME, "processor while idle", busy, Unit::Percent).beside("of one core"));
    report.add(Row::new(NAME, "sockets lost while idle", lost as f64, Unit::Count).goal(Goal::AtMost(0.0)));
    report.note(NAME, "Memory is the server's whole resident memory divided by the sessions; the kernel's own socket buffers are not in it. Each conversation holds one question and one answer.");
    Ok(())
}

impl Crowd {
    fn connect(server: &Server, agents: &[String], count: u64, first: u64) -> Self {
        let (step, _) = watch::channel(Step::Welcomed);
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let (welcomed, talked) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for number in first..first + count {
            let visitor = Visitor {
                agent: agents[(number % agents.len() as u64) as usize].clone(),
                number,
                permits: Arc::clone(&permits),
                step: step.subscribe(),
                welcomed: Arc::clone(&welcomed),
                talked: Arc::clone(&talked),
            };
            let address = server.client.server();
            tasks.spawn(visitor.sit(address));
        }
        Self { step, welcomed, talked, tasks, count }
    }

    /// Lets every socket take a step and waits until all have.
    async fn reach(&mut self, step: Step) -> Result<()> {
        self.step.send_replace(step);
        let counter = match step {
            Step::Welcomed => Arc::clone(&self.welcomed),
            Step::Talked | Step::Over => Arc::clone(&self.talked),
        };
        let all = async {
            while counter.load(Ordering::Relaxed) < self.count {
                tokio::select! {
                    // A socket that ends now has failed.
                    Some(ended) = self.tasks.join_next() => {
                        ended.map_err(|error| Error::Setup(format!("a visitor broke: {error}")))??;
                        return Err(Error::unexpected("the chat socket", "closed by the server"));
                    }
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
            Ok(())
        };
        tokio::time::timeout(STEP, all).await.unwrap_or_else(|_| {
            Err(Error::NotInTime { what: format!("{} sockets to be {step:?}", self.count), after: STEP })
        })
    }

    /// Ends all sockets, and says how many had been lost before.
    async fn over(&mut self) -> u64 {
        let mut lost = 0;
        while self.tasks.try_join_next().is_some() {
            lost += 1;
        }
        self.step.send_replace(Step::Over);
        self.tasks.shutdown().await;
        lost
    }
}

/// One socket and what it needs.
struct Visitor {
    agent: String,
    number: u64,
    permits: Arc<Semaphore>,
    step: watch::Receiver<Step>,
    welcomed: Arc<AtomicU64>,
    talked: Arc<AtomicU64>,
}

impl Visitor {
    async fn sit(mut self, server: std::net::SocketAddr) -> Result<()> {
        let mut socket = {
            let _permit = self.permits.acquire().await;
            let mut socket =
                Socket::connect(server, &format!("/api/chat/socket?agent_id={}", self.agent), self.number).await?;
            socket
                .send(&ChatClient::Hello {
                    visitor_id: visitor_id(),
                    visitor_token: None,
                    conversation_id: None,
                    last_seq: None,
                    metadata: None,
                })
                .await?;
            socket
                .wait_for("welcome", ANSWER, |frame| Ok(matches!(frame, ChatServer::Welcome { .. }).then_some(())))
                .await?;
            socket
        };
        self.welcomed.fetch_add(1, Ordering::Relaxed);
        // The socket is read all the time: pings want answers.
        while *self.step.borrow_and_update() < Step::Talked {
            tokio::select! {
                changed = self.step.changed() => if changed.is_err() { return Ok(()) },
                text = socket.text() => if text?.is_none() { return Ok(()) },
            }
        }
        {
            let _permit = self.permits.acquire().await;
            socket.send(&ChatClient::Message { client_message_id: visitor_id(), text: question(self.number) }).await?;
            socket.wait_for("an answer", ANSWER, answered).await?;
        }
        self.talked.fetch_add(1, Ordering::Relaxed);
        while socket.text().await?.is_some() {}
        Ok(())
    }
}

fn answered(frame: ChatServer) -> Result<Option<()>> {
    match frame {
        ChatServer::Message { role, .. } => Ok((role == "assistant").then_some(())),
        ChatServer::Error { code, detail, .. } => {
            Err(Error::unexpected("the chat socket", format!("{code}: {detail}")))
        }
        ChatServer::Bye { reason } => Err(Error::unexpected("the chat socket", reason)),
        ChatServer::Welcome { .. }
        | ChatServer::Identified { .. }
        | ChatServer::Ack { .. }
        | ChatServer::Token { .. }
        | ChatServer::Discard { .. } => Ok(None),
        ChatServer::Typing { .. } | ChatServer::Prompt { .. } | ChatServer::Status { .. } | ChatServer::Done { .. } => {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_assistants_message_is_an_answer_and_a_refusal_is_an_error() {
        let frame = |value: serde_json::Value| serde_json::from_value::<ChatServer>(value).expect("frame");
        let message = |role: &str| {
            frame(
                json!({ "type": "message", "id": "m", "seq": 1, "role": role, "content": "x", "sources": [], "created_at": "2026-01-01T00:00:00Z" }),
            )
        };
        assert_eq!(answered(message("assistant")).expect("fine"), Some(()));
        assert_eq!(answered(message("user")).expect("fine"), None);
        let error = answered(frame(
            json!({ "type": "error", "code": "agent_not_live", "detail": "it sleeps", "retry": "never" }),
        ))
        .expect_err("refused");
        assert!(error.to_string().contains("agent_not_live"));
    }
}
