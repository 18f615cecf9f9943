//! A node that does not belong to the cluster is refused by name, and the cluster does not notice.

use crate::nodes::{Cluster, Plan};
use crate::support::people::Visitor;
use crate::support::random_id;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_secret_number_of_shards_or_name_is_refused_by_name() {
    let mut cluster = Cluster::prepare(Plan::usual()).await;
    cluster.nodes[0].boot().await;
    let (_, agent) = cluster.business().await;
    let mut visitor = Visitor::new(&cluster.nodes[0], &agent);
    visitor.say("Do you offer emergency services?").await;
    let before = cluster.incarnation(0, 0).await;

    let secret = format!("{}{}", random_id(), random_id());
    let stranger = &mut cluster.nodes[1];
    for (key, wrong, named) in [
        ("COLLOQUY_SECRETS__KEY", secret.as_str(), "created with master key"),
        ("COLLOQUY_CLUSTER__SHARDS", "97", "created with number of shards 96, this node is configured with 97"),
        ("COLLOQUY_CLUSTER__NAME", "elsewhere", "created with name colloquy, this node is configured with elsewhere"),
        ("COLLOQUY_CLUSTER__NODE_ID", "node-1", "node-1"),
    ] {
        let right = stranger.set(key, wrong).expect("a setting of every node");
        let said = stranger.refuses_to_start();
        assert!(said.contains(named), "{key}: {said}");
        assert!(!said.contains(&secret), "the secret is in the log: {said}");
        stranger.set(key, &right);
    }

    assert_eq!(cluster.incarnation(0, 0).await, before, "the cluster's own node goes on");
    assert_eq!(cluster.incarnation(0, 1).await, None, "the stranger is not among the nodes");
    visitor.say("Do you offer emergency services today?").await;
    cluster.nodes[1].boot().await;
    cluster.spread(&[0, 1]).await;
    cluster.end().await;
}
