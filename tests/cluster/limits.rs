//! A visitor's allowance holds for all frontends together.

use std::time::{Duration, Instant};

use crate::nodes::{Cluster, NODES, Plan};
use crate::support::people::Visitor;
use crate::support::random_id;

/// What one visitor may say in a minute.
const PER_MINUTE: usize = 24;
/// What comes back meanwhile.
const COMES_BACK_EVERY: Duration = Duration::from_millis(60_000 / PER_MINUTE as u64);
/// What passes too much: each frontend learns of it by one action, and some are on their way while the machine is busy.
const SLACK: usize = 4 * NODES;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_who_goes_from_frontend_to_frontend_has_one_allowance() {
    let mut plan = Plan::usual();
    plan.settings.push(("COLLOQUY_LIMITS__CHAT_PER_VISITOR_PER_MINUTE", PER_MINUTE.to_string()));
    let cluster = Cluster::start(plan).await;
    let (_, agent) = cluster.business().await;
    let mut visitor = Visitor::new(&cluster.nodes[0], &agent);
    let begun = Instant::now();
    visitor.say("Do you offer emergency services?").await;
    // A conversation is capped by itself; each message begins one here.
    visitor.conversation = None;
    let frontends = cluster.frontends();
    let token = visitor.token.clone().expect("a visitor's token");
    let (mut allowed, mut refused) = (1, [0; NODES]);
    // Without sharing, each frontend would allow all of its third.
    for n in 0..NODES * PER_MINUTE {
        let id = random_id();
        let body = visitor.body(&format!("Do you offer emergency services? My reference is {id}."), &id);
        let answer = frontends[n % NODES].visitor(&token).call("POST", "/api/chat", Some(&body)).await;
        if answer.status == 200 {
            allowed += 1;
        } else {
            answer.refused(429);
            let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
            assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{}: Retry-After {wait:?}", answer.text);
            refused[n % NODES] += 1;
        }
    }
    let came_back = begun.elapsed().as_millis() / COMES_BACK_EVERY.as_millis();
    let most = PER_MINUTE + usize::try_from(came_back).expect("few") + SLACK;
    eprintln!(
        "{allowed} allowed of {PER_MINUTE} a minute in {:?} (at most {most}), refused {refused:?}",
        begun.elapsed()
    );
    assert!(
        (PER_MINUTE..=most).contains(&allowed),
        "{allowed} allowed, {PER_MINUTE} a minute over {:?}",
        begun.elapsed()
    );
    assert!(refused.iter().all(|&refused| refused > 0), "a frontend knows nothing of the others: {refused:?}");
    cluster.end().await;
}
