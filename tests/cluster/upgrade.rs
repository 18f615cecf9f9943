//! Two versions at the same time, as in a rolling upgrade: what a newer one has written and this one does not know is refused by name, for now, and
//! costs nobody else anything.

use colloquy_store::EntityKey;
use colloquy_store::journal::Append;
use serde_json::{Value, json};

use crate::nodes::{Cluster, Plan};
use crate::support::eventually;
use crate::support::people::{Member, SOON, Visitor, number, text};

/// Events read to find the end of an agent's journal.
const EVENTS: usize = 1_000;
/// What a newer version may write that this one has never heard of: an envelope, a version of an event, a kind of event.
fn newer_records() -> [(Value, &'static str); 3] {
    [
        (json!({ "v": 2, "ev": 1, "at": 1, "e": {} }), "envelope version 2"),
        (json!({ "v": 1, "ev": 2, "at": 1, "e": { "type": "renamed" } }), "event version 2"),
        (json!({ "v": 1, "ev": 1, "at": 1, "e": { "type": "beamed_up" } }), "its kind is not one of event version 1"),
    ]
}

/// A node's view of an agent's place: its key, and the epoch it lives under.
async fn place(cluster: &Cluster, owner: &Member, agent: &str) -> (EntityKey, u64) {
    let path = format!("/ops/entities/agent/{agent}?tenant={}", owner.organization);
    let place = cluster.ops(0).get(&path).await.expect(200);
    (EntityKey::new(owner.organization.clone(), "agent", agent), number(&place, "epoch"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_has_written_is_refused_by_name_and_everything_else_goes_on() {
    let mut cluster = Cluster::prepare(Plan::usual()).await;
    cluster.nodes[0].boot().await;
    let (owner, agent) = cluster.business().await;
    let mut visitor = Visitor::new(&cluster.nodes[0], &agent);
    visitor.say("Do you offer emergency services?").await;
    let newer = cluster.store().await;
    for (record, named) in newer_records() {
        let made = owner.agent(json!({ "vertical": "home_services" })).await;
        let id = text(&made, "id");
        let (key, epoch) = place(&cluster, &owner, &id).await;
        // As the agent's owner of before would have left it: a node of the newer version, from which the shard has come here.
        let claim = newer.journal.claim(&key, epoch).await.expect("a claim").claim;
        let before = newer.journal.load(&key, 0, EVENTS).await.expect("a journal").len() as u64;
        // Any id that no other append has.
        let append = Append { id: claim.0, events: vec![record.to_string().into()], wake: None };
        newer.journal.append(&key, claim, before, append).await.expect("appended");

        // The one in memory learns of the claim with its next write, and reads what is there.
        let path = format!("/api/agents/{id}");
        let problem = eventually("a refusal", SOON, async || {
            let answer = owner.api.call("PATCH", &path, Some(&json!({ "name": "Front desk" }))).await;
            (answer.status == 503).then(|| answer.refused(503))
        })
        .await;
        assert_eq!(
            (text(&problem, "code"), text(&problem, "retry")),
            ("unavailable".into(), "safe".into()),
            "{problem}"
        );
        owner.api.get(&path).await.refused(503);
        let log = cluster.nodes[0].log();
        let place = format!("agent/{id} event {} was written by a newer version of this program", before + 1);
        assert!(log.lines().any(|line| line.contains(&place) && line.contains(named)), "{place}, {named}: {log}");
        let after = newer.journal.load(&key, 0, EVENTS).await.expect("a journal").len() as u64;
        assert_eq!(after, before + 1, "nothing is written behind what is not understood");
    }
    assert!(cluster.metric(0, "colloquy_newer_journals_total").await >= 3.0);
    assert_eq!(cluster.metric(0, "colloquy_unreadable_total").await, 0.0, "it is no damage");
    visitor.say("Do you offer emergency services today?").await;
    owner.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    assert!(cluster.nodes[0].runs(), "{}", cluster.nodes[0].log_tail());
    cluster.end().await;
}
