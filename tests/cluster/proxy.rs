//! The network between the nodes, with faults: every connection of one node to another goes through a relay whose two directions can be cut or slowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::nodes::{NODES, node_id};

/// What is read at once.
const CHUNK: usize = 16 * 1024;

/// How bytes get from one node to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    #[default]
    Open,
    /// Nothing arrives; what was sent waits, as TCP repeats it, until the way is open again.
    Cut,
    /// Everything arrives so much later.
    Late(Duration),
}

/// The ways between all nodes, by place of the sender and of the receiver.
pub(crate) struct Network {
    ways: Vec<Vec<Arc<watch::Sender<Flow>>>>,
    /// Where each node finds each other one.
    relays: Vec<Vec<Option<SocketAddr>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Network {
    /// Relays in front of nodes that will listen there.
    pub(crate) async fn before(listen: &[SocketAddr]) -> Self {
        let ways: Vec<Vec<Arc<watch::Sender<Flow>>>> =
            (0..NODES).map(|_| (0..NODES).map(|_| Arc::new(watch::Sender::new(Flow::Open))).collect()).collect();
        let mut relays = vec![vec![None; NODES]; NODES];
        let mut tasks = Vec::new();
        for from in 0..NODES {
            for to in (0..NODES).filter(|&to| to != from) {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                relays[from][to] = Some(listener.local_addr().expect("bound"));
                tasks.push(tokio::spawn(relay(listener, listen[to], ways[from][to].clone(), ways[to][from].clone())));
            }
        }
        Self { ways, relays, tasks }
    }

    /// The setting that leads a node's connections through the relays.
    pub(crate) fn peers(&self, place: usize) -> (&'static str, String) {
        let all = self.relays[place].iter().enumerate();
        let all = all.filter_map(|(to, relay)| Some(format!("\"{}={}\"", node_id(to), (*relay)?)));
        ("COLLOQUY_CLUSTER__PEERS", format!("[{}]", all.collect::<Vec<_>>().join(",")))
    }

    /// Changes one direction between two nodes.
    pub(crate) fn one_way(&self, from: usize, to: usize, flow: Flow) {
        self.ways[from][to].send_replace(flow);
    }

    /// Changes both directions between a node and all others.
    pub(crate) fn around(&self, place: usize, flow: Flow) {
        for other in (0..NODES).filter(|&other| other != place) {
            self.one_way(place, other, flow);
            self.one_way(other, place, flow);
        }
    }

    /// Everything arrives again.
    pub(crate) fn heal(&self) {
        (0..NODES).for_each(|place| self.around(place, Flow::Open));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn relay(listener: TcpListener, to: SocketAddr, there: Arc<watch::Sender<Flow>>, back: Arc<watch::Sender<Flow>>) {
    while let Ok((near, _)) = listener.accept().await {
        let (there, back) = (there.subscribe(), back.subscribe());
        tokio::spawn(async move {
            // A connection needs both directions to come about.
            let (mut out, mut home) = (there.clone(), back.clone());
            if passed(&mut out).await.is_none() || passed(&mut home).await.is_none() {
                return;
            }
            let Ok(far) = TcpStream::connect(to).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = carry(near_in, far_out, there) => {}
                () = carry(far_in, near_out, back) => {}
            }
        });
    }
}

/// Waits until the way is open; nothing when the network is gone.
async fn passed(way: &mut watch::Receiver<Flow>) -> Option<Flow> {
    way.wait_for(|flow| *flow != Flow::Cut).await.ok().map(|flow| *flow)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Flow>) {
    let mut bytes = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let Some(flow) = passed(&mut way).await else { return };
        if let Flow::Late(by) = flow {
            tokio::time::sleep(by).await;
            if passed(&mut way).await.is_none() {
                return;
            }
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
