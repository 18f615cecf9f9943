//! Partitions with packets that get lost instead of bytes that wait: each node in a network namespace of its own, behind a cable. Where the tests may
//! not make namespaces this says so, and the relays of `partition.rs` are the proof.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::nodes::{Cluster, NODES, Plan};
use crate::partition::{Fault, endured};

/// A network that is for measurements only, so it leads nowhere else: 198.18.n.0/24.
const NETWORK: [u8; 2] = [198, 18];
/// The test itself on that network.
const TESTER: u8 = 254;
/// Where nobody lives: a frame sent there is lost without a word.
const NOWHERE: &str = "02:00:00:00:00:01";

/// A switch, and a cable from it into each node's namespace.
struct Cables {
    switch: String,
    number: u8,
    relays: Vec<JoinHandle<()>>,
}

impl Cables {
    /// Lays them, or says why not.
    fn lay() -> Result<Self, String> {
        let cables = Self {
            switch: format!("cq{:06x}", rand::random_range(0..0x100_0000)),
            number: rand::random(),
            relays: Vec::new(),
        };
        let switch = &cables.switch;
        ip(&format!("link add {switch} type bridge"))?;
        ip(&format!("addr add {}/24 dev {switch}", cables.host(TESTER)))?;
        ip(&format!("link set {switch} up"))?;
        for place in 0..NODES {
            let (namespace, cable) = (cables.namespace(place), format!("{switch}c{place}"));
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("link add {cable} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("link set {cable} master {switch} up"))?;
            ip(&format!("-n {namespace} addr add {}/24 dev eth0", cables.node(place)))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(cables)
    }

    fn host(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(NETWORK[0], NETWORK[1], self.number, last).into()
    }

    fn node(&self, place: usize) -> IpAddr {
        self.host(u8::try_from(place + 1).expect("few nodes"))
    }

    fn namespace(&self, place: usize) -> String {
        format!("{}n{place}", self.switch)
    }

    /// Makes what listens on this machine's loopback address answer at the same address in a node's namespace.
    fn relay(&mut self, place: usize, to: SocketAddr) {
        let namespace = File::open(format!("/run/netns/{}", self.namespace(place))).expect("a namespace");
        // A socket stays in the namespace that it was made in; the thread that goes there ends.
        let there = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let listener = std::net::TcpListener::bind(to)?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        });
        let listener = there.join().expect("ends").expect("listens in the namespace");
        let listener = TcpListener::from_std(listener).expect("a listener");
        self.relays.push(tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(to).await {
                        // Either side may end it.
                        drop(copy_bidirectional(&mut near, &mut far).await);
                    }
                });
            }
        }));
    }

    /// A plan whose nodes are at the ends of the cables; the store and Redis are not what is cut.
    fn plan(&mut self) -> Plan {
        let mut plan = Plan::usual();
        let redis = plan.redis.url().trim_start_matches("redis://").to_owned();
        for place in 0..NODES {
            for server in plan.cql.iter().chain([&redis]) {
                self.relay(place, server.parse().expect("an address"));
            }
            plan.listen[place].set_ip(self.node(place));
            plan.through[place] = ["ip", "netns", "exec", &self.namespace(place)].map(str::to_owned).into();
        }
        plan.settings.push(("COLLOQUY_CLUSTER__PLAIN_TEXT", "true".to_owned()));
        plan
    }

    /// What one node sends to another one is lost.
    fn cut(&self, from: usize, to: usize) {
        let (namespace, to) = (self.namespace(from), self.node(to));
        ip(&format!("-n {namespace} neigh replace {to} lladdr {NOWHERE} nud permanent dev eth0")).expect("cut");
    }

    /// Everything arrives again.
    fn mend(&self) {
        for place in 0..NODES {
            ip(&format!("-n {} neigh flush all nud permanent", self.namespace(place))).expect("mended");
        }
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        self.relays.iter().for_each(JoinHandle::abort);
        // What was not laid cannot be taken away; a namespace takes its cable with it.
        for place in 0..NODES {
            drop(ip(&format!("netns del {}", self.namespace(place))));
        }
        drop(ip(&format!("link del {}", self.switch)));
    }
}

fn ip(words: &str) -> Result<(), String> {
    let done = Command::new("ip").args(words.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("ip {words}: {}", said.trim())) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_lost_between_namespaces_double_nothing_and_what_is_mended_heals() {
    let mut cables = match Cables::lay() {
        Ok(cables) => cables,
        Err(why) => {
            eprintln!("no network namespaces here ({why}): partitions are proven with relays only");
            return;
        }
    };
    let plan = cables.plan();
    let faults: [Fault<'_>; 2] = [
        ("what one node sends and is sent is lost", &|| {
            for other in [0, 2] {
                cables.cut(1, other);
                cables.cut(other, 1);
            }
        }),
        ("what one node sends to one other is lost", &|| cables.cut(0, 2)),
    ];
    endured(Cluster::start(plan).await, &faults, &|| cables.mend()).await;
}
