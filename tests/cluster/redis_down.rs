//! Redis gone, and Redis that answers nothing: what is durable does not notice, live boards catch up.

use std::time::Duration;

use serde_json::json;

use crate::load::{Load, Size};
use crate::nodes::{Cluster, NODES, Plan};
use crate::support::eventually;
use crate::support::people::Member;
use crate::support::screen::Screen;

/// Without Redis an answer does not come by itself to a frontend that does not own the conversation: it is asked for again.
const SAID_WITHIN: Duration = Duration::from_secs(20);
/// A board that was open all the time shows what is counted, once Redis is back.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// Follows boards on every frontend until they show what the owner's API counts.
async fn catch_up(cluster: &Cluster, owner: &Member, screens: &mut [Screen]) {
    for (place, screen) in screens.iter_mut().enumerate() {
        eventually(&format!("the open board of frontend {place} catches up"), CAUGHT_UP_WITHIN, async || {
            // A board that is behind is told so and gets a new snapshot, on the same connection.
            while screen.look(Duration::from_millis(200)).await.is_ok() {}
            let counted = owner.at(&cluster.nodes[place]).api.get("/api/analytics/overview?window=24h").await;
            let counted = (counted.body["total_conversations"].as_i64()?, counted.body["messages"].as_i64()?);
            ((screen.count("total_conversations"), screen.count("messages")) == counted).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_chats_go_on_and_live_boards_catch_up_afterwards() {
    let mut cluster = Cluster::start(Plan::usual()).await;
    let (owner, agent) = cluster.business().await;
    let mut screens = Vec::new();
    for place in 0..NODES {
        screens.push(Screen::open(&cluster.nodes[place], &owner, "overview").await);
    }
    let mut load = Load::start(cluster.frontends(), &agent, Size { http: 4, sockets: 4, idle: 0, within: SAID_WITHIN });
    load.goes_on(20).await;
    cluster.redis.kill();
    load.goes_on(30).await;
    for node in &cluster.nodes {
        let ready = node.ops_api().get("/health/readyz").await;
        assert_eq!(ready.status, 200, "a node without Redis serves: {}", ready.text);
    }
    cluster.redis.restart();
    load.goes_on(20).await;
    // Slow is harder than gone: its connections stay.
    cluster.redis.stop();
    load.goes_on(30).await;
    cluster.redis.go_on();
    load.goes_on(20).await;
    let history = load.end().await;
    catch_up(&cluster, &owner, &mut screens).await;
    for place in 0..NODES {
        let presence = owner.at(&cluster.nodes[place]).api.get("/api/analytics/overview?window=24h").await;
        assert_ne!(presence.body["messages"], json!(null), "{}", presence.text);
    }
    history.check(&cluster, &owner, &[0, 1, 2]).await;
    cluster.end().await;
}
