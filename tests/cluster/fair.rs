//! Organizations that call over one account share it, whichever nodes their campaigns live on.

use std::time::{Duration, Instant};

use colloquy_carrier::{Carrier, Config};
use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};

use crate::nodes::{Cluster, Plan};
use crate::support::eventually;
use crate::support::people::{Member, text};

/// The account that both call over, and a number of each.
const ACCOUNT: &str = "AC00000000000000000000000000000088";
const TOKEN: &str = "auth-token-that-two-organizations-share";
const OURS: [&str; 2] = ["+14155550100", "+14155550101"];
/// What the account allows: slow enough that the pace and not the machine says how long a campaign takes.
const PER_SECOND: &str = "5";
/// Targets of the small campaign and of the large one.
const SMALL: usize = 50;
const LARGE: usize = 500;
/// How much longer the small campaign may take beside the large one, in tenths.
const LONGER: u128 = 22;
/// How long the small one may take at all.
const DONE_WITHIN: Duration = Duration::from_secs(180);
/// First parts of numbers on four sides of the world: somewhere it is always day.
const SIDES: [&str; 4] = ["+1415555", "+4420794", "+8135555", "+9111234"];

/// Numbers that may be called now and for the next half hour.
fn numbers(count: usize) -> Vec<String> {
    let now = jiff::Timestamp::now().as_millisecond();
    let open = |side: &str| {
        let first = number::normal(&format!("{side}{:0width$}", 0, width = width(side)), None).ok();
        first.is_some_and(|first| {
            let hours = Window::default().hours(&first.zones);
            hours.is_open(now) && hours.is_open(now + 1_800_000)
        })
    };
    let side = SIDES.into_iter().find(|side| open(side)).expect("somewhere it is day");
    let all = (0..100_000_u32).map(|n| format!("{side}{n:0width$}", width = width(side)));
    all.filter_map(|text| number::normal(&text, None).ok()).map(|number| number.e164).take(count).collect()
}

/// Digits that such a number lacks.
fn width(side: &str) -> usize {
    if side == "+4420794" { 5 } else { 12 - side.len() }
}

async fn founded(cluster: &Cluster, place: usize) -> (Member, String) {
    let owner = Member::sign_up(&cluster.nodes[place], &format!("Organization {place}")).await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let keys = json!({ "account_sid": ACCOUNT, "auth_token": TOKEN });
    owner.api.post("/api/integrations/simulated/connect", keys).await.expect(200);
    let number = json!({ "number": OURS[place], "provider": "simulated", "agent_id": agent });
    owner.api.post("/api/voice/numbers", number).await.expect(201);
    (owner, agent)
}

async fn started(owner: &Member, agent: &str, from: &str, people: &[String]) -> String {
    let never = json!({ "attempts": 0, "delays_minutes": [] });
    let body = json!({
        "name": "Webinar", "agent_id": agent, "from_numbers": [from], "consent": "none", "max_call_minutes": 1,
        "calls_per_second": 50, "max_concurrent": 200, "retry": { "no_answer": never, "busy": never, "failed": never },
    });
    let campaign = text(&owner.api.post("/api/calling/campaigns", body).await.expect(201), "id");
    let path = format!("/api/calling/campaigns/{campaign}");
    let list = format!("phone\n{}\n", people.join("\n"));
    let read = owner.api.try_raw("POST", &format!("{path}/targets"), "text/csv", Some(list.into_bytes())).await;
    assert_eq!(read.expect("an answer").expect(200)["accepted"], json!(people.len()));
    owner.api.post(&format!("{path}/start"), json!({})).await.expect(200);
    campaign
}

/// How many calls it has made.
async fn made(owner: &Member, campaign: &str) -> usize {
    let stats: Value = owner.api.get(&format!("/api/calling/campaigns/{campaign}/stats")).await.expect(200);
    stats["cards"]["total_calls"].as_u64().and_then(|calls| usize::try_from(calls).ok()).expect("a count")
}

/// How long a campaign takes until everybody on its list has been called once: who asks to be called later keeps it open for longer.
async fn takes(owner: &Member, agent: &str, people: &[String]) -> Duration {
    let begun = Instant::now();
    let campaign = started(owner, agent, OURS[0], people).await;
    eventually("everybody has been called", DONE_WITHIN, async || {
        (made(owner, &campaign).await >= people.len()).then_some(())
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_campaign_beside_another_organizations_large_one_takes_at_most_twice_as_long() {
    let config = Config {
        listen: "127.0.0.1:0".parse().expect("an address"),
        account: ACCOUNT.to_owned(),
        token: TOKEN.to_owned(),
        numbers: OURS.map(str::to_owned).to_vec(),
        speed: 12.0,
        ..Config::default()
    };
    let carrier = Carrier::start(config).await.expect("a carrier");
    let mut plan = Plan::usual();
    plan.settings.push(("COLLOQUY_MESSAGES__SIMULATED_URL", carrier.url()));
    plan.settings.push(("COLLOQUY_VOICE__SIMULATED__CALLS_PER_SECOND", PER_SECOND.to_owned()));
    let cluster = Cluster::start(plan).await;
    let (small, its_agent) = founded(&cluster, 0).await;
    let (large, their_agent) = founded(&cluster, 1).await;
    let people = numbers(2 * SMALL + LARGE);
    let alone = takes(&small, &its_agent, &people[..SMALL]).await;
    let crowd = started(&large, &their_agent, OURS[1], &people[2 * SMALL..]).await;
    eventually("the large one calls", DONE_WITHIN, async || (made(&large, &crowd).await > 0).then_some(())).await;
    let beside = takes(&small, &its_agent, &people[SMALL..2 * SMALL]).await;
    let calls = made(&large, &crowd).await;
    eprintln!("{alone:.1?} alone, {beside:.1?} beside; the large one has made {calls} of {LARGE} calls by then");
    assert!(calls < LARGE, "the large one went on all that while: {calls} calls");
    assert!(beside.as_millis() * 10 <= alone.as_millis() * LONGER, "{alone:?} alone, {beside:?} beside");
    // Neither was served alone: both had their part.
    assert!(beside > alone, "{alone:?} alone, {beside:?} beside");
    large.api.post(&format!("/api/calling/campaigns/{crowd}/stop"), json!({})).await.expect(200);
    cluster.end().await;
}
