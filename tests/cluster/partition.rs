//! The network between the nodes fails while each still reaches the store: nothing is answered twice, somebody serves, and it heals.

use std::time::Duration;

use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan};
use crate::proxy::{Flow, Network};
use crate::support::eventually;

/// While nodes do not hear each other a message is served by the frontend that owns its conversation. Others refuse it within five seconds, and send
/// a widget elsewhere after two of those; it may have to be sent twice. Some room for a machine that compiles something else.
const SAID_WITHIN: Duration = Duration::from_secs(32);
/// Slow, but slower things have been called a network.
const LATE: Duration = Duration::from_millis(300);
/// A delay is borne, not noticed.
const LATELY: &str = "everything arrives late";
/// Attempts that end without an answer before a fault counts as felt.
const NOTICES: usize = 6;
/// Until then: attempts that wait for a silent node, and the time in which it is found silent.
const NOTICED_WITHIN: Duration = Duration::from_secs(40);

/// What goes wrong with a network, and how.
pub(crate) type Fault<'a> = (&'a str, &'a dyn Fn());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_and_delay_between_nodes_double_nothing_and_heal() {
    let mut plan = Plan::usual();
    let network = Network::before(&plan.listen).await;
    for place in 0..NODES {
        plan.each[place].push(network.peers(place));
    }
    let faults: [Fault<'_>; 4] = [
        ("one node hears nobody and is heard by nobody", &|| network.around(1, Flow::Cut)),
        ("one way of one pair is cut", &|| network.one_way(0, 2, Flow::Cut)),
        ("one node hears nobody and is heard by all", &|| {
            network.one_way(0, 2, Flow::Cut);
            network.one_way(1, 2, Flow::Cut);
        }),
        (LATELY, &|| (0..NODES).for_each(|place| network.around(place, Flow::Late(LATE)))),
    ];
    endured(Cluster::start(plan).await, &faults, &|| network.heal()).await;
}

/// Visitors chat while one thing after the other goes wrong and is mended.
pub(crate) async fn endured(mut cluster: Cluster, faults: &[Fault<'_>], heal: &dyn Fn()) {
    let (owner, agent) = cluster.business().await;
    let mut load = Load::start(cluster.frontends(), &agent, Size { http: 6, sockets: 6, idle: 0, within: SAID_WITHIN });
    load.goes_on(20).await;
    for &(what, fail) in faults {
        let before = load.history.unknowns() + load.history.fails();
        fail();
        if what != LATELY {
            eventually(&format!("somebody notices that {what}"), NOTICED_WITHIN, async || {
                load.fine();
                (load.history.unknowns() + load.history.fails() >= before + NOTICES).then_some(())
            })
            .await;
        }
        load.goes_on(25).await;
        eprintln!("{what}: {} attempts unknown, {} refused so far", load.history.unknowns(), load.history.fails());
        heal();
        load.goes_on(25).await;
    }
    let history = load.end().await;
    for node in &mut cluster.nodes {
        assert!(node.runs(), "a node ended although it reached the store: {}", node.log_tail());
    }
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}
