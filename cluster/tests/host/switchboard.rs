//! A transport between nodes of one process: frames arrive a millisecond later, in order per pair of nodes; nodes can be cut off.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use colloquy_cluster::frame::{Answer, Frame};
use colloquy_cluster::host::transport::{MakeTransport, Receive, ReplyTo, Transport, Wiring};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One way through the board.
const LATENCY: Duration = Duration::from_millis(1);

type Link = mpsc::UnboundedSender<(Instant, Frame, ReplyTo)>;

#[derive(Default)]
struct Lines {
    nodes: HashMap<String, Arc<dyn Receive>>,
    links: HashMap<(String, String), Link>,
    cut: BTreeSet<String>,
    late: HashMap<String, Duration>,
    broken: HashMap<String, Arc<tokio::sync::Notify>>,
}

/// The board that all nodes are plugged into.
#[derive(Clone, Default)]
pub(crate) struct Switchboard {
    lines: Arc<Mutex<Lines>>,
}

struct Plug {
    me: String,
    board: Switchboard,
}

impl Switchboard {
    /// What nodes are started with.
    pub(crate) fn plug(&self) -> MakeTransport {
        let board = self.clone();
        Arc::new(move |wiring: Wiring| {
            let board = board.clone();
            Box::pin(async move {
                let mut lines = board.lines.lock().expect("whole");
                lines.cut.remove(&wiring.node);
                lines.links.retain(|(_, to), _| *to != wiring.node);
                lines.nodes.insert(wiring.node.clone(), wiring.receiver);
                drop(lines);
                Ok(Arc::new(Plug { me: wiring.node, board }) as Arc<dyn Transport>)
            })
        })
    }

    /// No frame reaches or leaves the node any more, and no answer.
    pub(crate) fn cut(&self, node: &str) {
        self.lines.lock().expect("whole").cut.insert(node.to_owned());
    }

    /// The node's plug breaks, and says so.
    pub(crate) fn break_plug(&self, node: &str) {
        self.lines.lock().expect("whole").broken.entry(node.to_owned()).or_default().notify_one();
    }

    /// From now on the node's answers take so long.
    pub(crate) fn delay(&self, node: &str, by: Duration) {
        self.lines.lock().expect("whole").late.insert(node.to_owned(), by);
    }

    fn latency_of(&self, node: &str) -> Duration {
        self.lines.lock().expect("whole").late.get(node).copied().unwrap_or(LATENCY)
    }

    fn is_cut(&self, one: &str, other: &str) -> bool {
        let lines = self.lines.lock().expect("whole");
        one != other && (lines.cut.contains(one) || lines.cut.contains(other))
    }

    fn link(&self, from: &str, to: &str) -> Option<Link> {
        let mut lines = self.lines.lock().expect("whole");
        let pair = (from.to_owned(), to.to_owned());
        if let Some(link) = lines.links.get(&pair) {
            return Some(link.clone());
        }
        let receiver = lines.nodes.get(to)?.clone();
        let (sender, mut frames) = mpsc::unbounded_channel::<(Instant, Frame, ReplyTo)>();
        lines.links.insert(pair.clone(), sender.clone());
        let board = self.clone();
        tokio::spawn(async move {
            while let Some((sent, frame, reply)) = frames.recv().await {
                tokio::time::sleep_until(sent + LATENCY).await;
                if board.is_cut(&pair.0, &pair.1) {
                    continue;
                }
                let (board, pair) = (board.clone(), pair.clone());
                let back = ReplyTo::new(move |answer| {
                    tokio::spawn(async move {
                        tokio::time::sleep(board.latency_of(&pair.1)).await;
                        if board.is_cut(&pair.0, &pair.1) {
                            drop(reply);
                        } else {
                            reply.send(answer);
                        }
                    });
                });
                receiver.receive(frame, back);
            }
        });
        Some(sender)
    }
}

impl Transport for Plug {
    fn broken(&self) -> futures::future::BoxFuture<'static, String> {
        let broken = self.board.lines.lock().expect("whole").broken.entry(self.me.clone()).or_default().clone();
        Box::pin(async move {
            broken.notified().await;
            "the plug is broken".to_owned()
        })
    }

    fn send(&self, node: &str, frame: Frame, reply: ReplyTo) {
        // What cannot be sent did not happen.
        let never_sent = Answer::Moving { retry_after_ms: 100 };
        if self.board.is_cut(&self.me, node) {
            return reply.send(never_sent);
        }
        match self.board.link(&self.me, node) {
            Some(link) => drop(link.send((Instant::now(), frame, reply))),
            None => reply.send(never_sent),
        }
    }
}
