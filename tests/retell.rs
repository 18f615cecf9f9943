//! Retell as an account of an organization, through the real binary against the simulated carrier on Retell's side: numbers set up whole and given back as
//! they were, webhooks that are believed by signature only, calls that are made once, and sockets that are served only if they are what they say.

mod support;

/// What campaigns are checked by.
mod campaigns {
    pub(crate) mod ledger;
}

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use campaigns::ledger::Books;
use colloquy_actors::telephony::retell::signature;
use colloquy_carrier::persona::Persona;
use colloquy_carrier::{Carrier, Config, Troubles};
use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};
use support::client::{Answer, Api};
use support::people::{Member, SOON, text};
use support::socket::Socket;
use support::{Server, eventually, root};
use tempfile::TempDir;

/// The key of the tests' account.
const KEY: &str = "retell-api-key-of-the-tests-0042";
/// Our numbers there.
const OURS: [&str; 2] = ["+14155550100", "+14155550101"];
/// What the people who are called follow from.
const SEED: u64 = 11;
/// First parts of numbers on several sides of the world: somewhere it is always day.
const SIDES: [&str; 4] = ["+1415555", "+4420794", "+8135555", "+9111234"];
/// How long everybody on a list may take: a call that nobody hears of is given up after two minutes, one that was answered a little later.
const ALL_DONE: Duration = Duration::from_secs(420);

struct World {
    carrier: Carrier,
    log: std::path::PathBuf,
    _folder: TempDir,
}

impl World {
    async fn start(speed: f64, troubles: Troubles) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("carrier.jsonl");
        let config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            retell_key: KEY.to_owned(),
            numbers: OURS.map(str::to_owned).to_vec(),
            seed: SEED,
            speed,
            troubles,
            log: Some(log.clone()),
            ..Config::default()
        };
        Self { carrier: Carrier::start(config).await.expect("a carrier"), log, _folder: folder }
    }

    async fn server(&self) -> Server {
        Server::start_with(&[("COLLOQUY_MESSAGES__SIMULATED_URL", &self.carrier.url())]).await
    }

    /// Its interface, as whoever owns the account asks it.
    fn api(&self) -> Api {
        let url = self.carrier.url();
        let address: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
        Api::at(address).bearer(KEY)
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// How often its log says this.
    fn count(&self, event: &str, key: &str, value: &str) -> usize {
        self.lines().iter().filter(|line| line["event"] == event && line[key] == value).count()
    }

    /// The first call that was made.
    async fn created(&self) -> Value {
        eventually("the call is created", SOON, async || {
            self.lines().into_iter().find(|line| line["event"] == "create" && line["sid"].is_string())
        })
        .await
    }
}

/// Numbers of people on a side of the world where it is day now and for the next half hour.
fn people(count: usize) -> Vec<String> {
    let now = jiff::Timestamp::now().as_millisecond();
    let of = |side: &str, count: usize| -> Vec<String> {
        let width = if side == "+4420794" { 5 } else { 12 - side.len() };
        let all = (0..100_000_u32).map(|n| format!("{side}{n:0width$}"));
        all.filter_map(|text| number::normal(&text, None).ok()).map(|number| number.e164).take(count).collect()
    };
    let is_day = |side: &&str| {
        let zones = of(side, 1).first().and_then(|one| number::normal(one, None).ok()).map(|number| number.zones);
        zones.is_some_and(|zones| {
            let hours = Window::default().hours(&zones);
            hours.is_open(now) && hours.is_open(now + 1_800_000)
        })
    };
    of(SIDES.into_iter().find(|side| is_day(side)).expect("somewhere it is day"), count)
}

/// An owner with a connected account, and an agent that answers the phone.
async fn connected(server: &Server) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let agent = json!({ "vertical": "home_services", "name": "Oak", "voice_enabled": true });
    let agent = text(&owner.agent(agent).await, "id");
    owner.api.post("/api/integrations/simulated_retell/connect", json!({ "api_key": KEY })).await.expect(200);
    (owner, agent)
}

async fn registered(owner: &Member, agent: &str, number: &str) -> Answer {
    let body = json!({ "number": number, "provider": "simulated_retell", "agent_id": agent });
    owner.api.post("/api/voice/numbers", body).await
}

async fn founded(server: &Server) -> (Member, String) {
    let (owner, agent) = connected(server).await;
    for number in OURS {
        registered(&owner, &agent, number).await.expect(201);
    }
    (owner, agent)
}

async fn written(owner: &Member, agent: &str, more: Value) -> String {
    let never = json!({ "attempts": 0, "delays_minutes": [] });
    let mut body = json!({
        "name": "Webinar", "agent_id": agent, "from_numbers": OURS, "consent": "none", "max_call_minutes": 1,
        "calls_per_second": 10, "max_concurrent": 40, "retry": { "no_answer": never, "busy": never, "failed": never },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    text(&owner.api.post("/api/calling/campaigns", body).await.expect(201), "id")
}

async fn bring(owner: &Member, campaign: &str, list: &str) {
    let path = format!("/api/calling/campaigns/{campaign}/targets");
    let answer = owner.api.try_raw("POST", &path, "text/csv", Some(list.as_bytes().to_vec())).await;
    answer.expect("an answer").expect(200);
}

async fn start(owner: &Member, campaign: &str) {
    owner.api.post(&format!("/api/calling/campaigns/{campaign}/start"), json!({})).await.expect(200);
}

async fn targets(owner: &Member, campaign: &str) -> Vec<Value> {
    let path = format!("/api/calling/campaigns/{campaign}/targets?limit=256");
    owner.api.get(&path).await.expect(200)["items"].as_array().expect("a list").clone()
}

/// What the organization and the carrier have written down of a campaign.
async fn books(owner: &Member, campaign: &str, world: &World) -> Books {
    let path = format!("/api/calling/campaigns/{campaign}");
    let file = owner.api.get(&format!("{path}/audit.csv")).await;
    let mut lines = file.text.lines();
    let names: Vec<&str> = lines.next().expect("columns").split(',').collect();
    let row = |line: &str| -> BTreeMap<String, String> {
        names.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect()
    };
    Books {
        campaign: campaign.to_owned(),
        targets: targets(owner, campaign).await,
        stats: owner.api.get(&format!("{path}/stats")).await.expect(200),
        audit: lines.map(row).collect(),
        log: world.lines(),
        forbidden: BTreeSet::new(),
    }
}

/// A webhook, signed so long ago.
async fn posted(server: &Server, path: &str, body: &Value, key: &str, age_ms: i64) -> Answer {
    let body = body.to_string();
    let at_ms = jiff::Timestamp::now().as_millisecond() - age_ms;
    let signed = signature::sign(&key.to_owned().into(), body.as_bytes(), at_ms);
    let api = server.api().header("x-retell-signature", &signed);
    api.try_raw("POST", path, "application/json", Some(body.into_bytes())).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_set_up_whole_once_and_given_back_as_it_was() {
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let owner = Member::sign_up(&server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let connect = "/api/integrations/simulated_retell/connect";
    owner.api.post("/api/integrations/retell/connect", json!({})).await.names("api_key");
    // Without one the key is taken that a simulated carrier has unless it is told otherwise: this one was.
    assert_eq!(owner.api.post(connect, json!({})).await.refused(409)["code"], "account_refused");
    let wrong = owner.api.post(connect, json!({ "api_key": "another" })).await.refused(409);
    assert_eq!(wrong["code"], "account_refused");
    assert!(
        text(&wrong, "detail").contains("started with another API key: enter the one"),
        "it says what to do: {wrong}"
    );
    assert_eq!(registered(&owner, &agent, OURS[0]).await.refused(409)["code"], "not_connected");
    let shown = owner.api.post(connect, json!({ "api_key": KEY })).await.expect(200);
    assert_eq!((&shown["connected"], &shown["simulated"]), (&json!(true), &json!(true)), "{shown}");
    assert!(!shown.to_string().contains(KEY), "a key is shown to nobody: {shown}");
    registered(&owner, &agent, "+14155559999").await.refused(409);

    // Somebody else's agent answered there before.
    let theirs = json!({ "response_engine": { "type": "custom-llm", "llm_websocket_url": "wss://else.example/x" }, "voice_id": "v", "agent_name": "Theirs" });
    let theirs = text(&world.api().post("/create-agent", theirs).await.expect(201), "agent_id");
    let before = json!({ "inbound_agents": [{ "agent_id": theirs, "weight": 1.0 }], "outbound_agents": [] });
    let there = "/update-phone-number/%2B14155550100";
    world.api().patch(there, before.clone()).await.expect(200);

    let number = registered(&owner, &agent, OURS[0]).await.expect(201);
    assert_eq!((&number["state"], &number["simulated"]), (&json!("ready"), &json!(true)), "{number}");
    let bound = world.api().get("/get-phone-number/%2B14155550100").await.expect(200);
    let ours = text(&bound["inbound_agents"][0], "agent_id");
    assert_eq!(bound["inbound_agents"], bound["outbound_agents"], "in both directions: {bound}");
    let made = world.api().get(&format!("/get-agent/{ours}")).await.expect(200);
    let voice = owner.api.get(&format!("/api/agents/{agent}")).await.expect(200);
    assert_eq!(made["response_engine"]["llm_websocket_url"], voice["voice_socket_url"], "with our key in it: {made}");
    let webhook = format!("/api/voice/retell/webhook/simulated_retell-{}", owner.organization);
    assert_eq!(made["webhook_url"], server.url(&webhook));

    // Again, and again after a restart, nothing changes there.
    let written = world.lines().len();
    assert_eq!(registered(&owner, &agent, OURS[0]).await.expect(201)["id"], number["id"]);
    assert_eq!(world.lines().len(), written, "{:?}", &world.lines()[written..]);
    let told = owner.api.post("/api/integrations/simulated_retell/check", json!({})).await.expect(200);
    assert_eq!(told["numbers"][0]["ok"], true, "{told}");
    // What somebody changed there is put right.
    world
        .api()
        .patch(&format!("/update-agent/{ours}"), json!({ "webhook_url": "https://else.example" }))
        .await
        .expect(200);
    registered(&owner, &agent, OURS[0]).await.expect(201);
    let made = world.api().get(&format!("/get-agent/{ours}")).await.expect(200);
    assert_eq!(made["webhook_url"], server.url(&webhook));

    // What its owner changes here is taken there; whoever keeps no recordings has none kept there.
    let records = async |on: bool| {
        let notice = json!({ "type": "call_recording", "text": "This call is recorded.", "when": "always_available" });
        let wanted = json!({ "voice_recording": on, "compliance_notices": [notice] });
        owner.api.patch(&format!("/api/agents/{agent}"), wanted).await.expect(200);
        let keeps = if on { "everything" } else { "basic_attributes_only" };
        eventually("Retell is told what to keep", ALL_DONE, async || {
            let there = world.api().get(&format!("/get-agent/{ours}")).await.expect(200);
            (there["data_storage_setting"] == keeps).then_some(())
        })
        .await;
    };
    records(true).await;
    records(false).await;

    // Another agent answers: it is made there, and the one before has nothing to do any more.
    let other = text(&owner.agent(json!({ "vertical": "legal", "name": "Birch" })).await, "id");
    let path = format!("/api/voice/numbers/{}", text(&number, "id"));
    assert_eq!(owner.api.patch(&path, json!({ "agent_id": other })).await.expect(200)["state"], "ready");
    let bound = world.api().get("/get-phone-number/%2B14155550100").await.expect(200);
    assert_ne!(bound["inbound_agents"][0]["agent_id"], ours.as_str());
    assert_eq!(world.api().get(&format!("/get-agent/{ours}")).await.status, 404);

    owner.api.delete("/api/voice/release-number?number=14155550100").await.expect(204);
    let after = world.api().get("/get-phone-number/%2B14155550100").await.expect(200);
    assert_eq!(
        (&after["inbound_agents"], &after["outbound_agents"]),
        (&before["inbound_agents"], &before["outbound_agents"])
    );
    assert_eq!(world.count("agent", "did", "created"), 3, "theirs, and one for each agent");
    assert_eq!(world.count("agent", "did", "deleted"), 2);
    assert!(owner.api.list("/api/voice/numbers").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retell_recorded_is_kept_here_where_callers_are_told_and_nowhere_else() {
    let world = World::start(20.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, told) = connected(&server).await;
    let notice = json!({ "type": "call_recording", "text": "This call is recorded.", "when": "always_available" });
    let records = json!({ "voice_recording": true, "compliance_notices": [notice] });
    owner.api.patch(&format!("/api/agents/{told}"), records).await.expect(200);
    let silent = json!({ "vertical": "custom", "name": "Elm", "voice_enabled": true });
    let silent = text(&owner.agent(silent).await, "id");
    let talks = |to: &String| matches!(Persona::of(SEED, to, 1), Persona::Person { talk_s } if talk_s >= 20);
    let whom: Vec<String> = people(500).into_iter().filter(talks).take(2).collect();
    for (n, (agent, keeps)) in [(&told, "everything"), (&silent, "basic_attributes_only")].into_iter().enumerate() {
        registered(&owner, agent, OURS[n]).await.expect(201);
        let bound = world.api().get(&format!("/get-phone-number/{}", OURS[n].replace('+', "%2B"))).await.expect(200);
        let there = text(&bound["inbound_agents"][0], "agent_id");
        let there = world.api().get(&format!("/get-agent/{there}")).await.expect(200);
        assert_eq!(there["data_storage_setting"], keeps, "{there}");
        let campaign = written(&owner, agent, json!({ "from_numbers": [OURS[n]] })).await;
        bring(&owner, &campaign, &format!("phone\n{}\n", whom[n])).await;
        start(&owner, &campaign).await;
    }
    let of = async |agent: &str| {
        let calls = owner.api.list("/api/voice/calls").await;
        calls.into_iter().find(|call| call["agent_id"] == agent && call["ended_at"].is_string())
    };
    let call = eventually("the recording is here", ALL_DONE, async || {
        of(&told).await.filter(|call| call["recording"].is_object())
    })
    .await;
    let path = format!("/api/voice/calls/{}/recording", text(&call, "id"));
    let heard = owner.api.get(&path).await;
    assert_eq!((heard.status, heard.header("content-type")), (200, Some("audio/wav")));
    // Two channels of eight bytes a millisecond, behind the head, as long as was spoken.
    let there = world.api().get(&format!("/v2/get-call/{}", text(&call, "provider_call_id"))).await.expect(200);
    let spoke_ms = there["duration_ms"].as_u64().expect("somebody spoke");
    assert_eq!(heard.bytes.len() as u64, 58 + 16 * spoke_ms, "all of it: {there}");
    assert!(heard.bytes[44..].iter().any(|byte| *byte != heard.bytes[44]), "and no silence");
    assert_eq!(world.count("recording", "sid", &text(&call, "provider_call_id")), 1, "fetched once");
    let other = eventually("the other call is over", ALL_DONE, async || of(&silent).await).await;
    assert!(other["recording"].is_null(), "{other}");
    owner.api.get(&format!("/api/voice/calls/{}/recording", text(&other, "id"))).await.refused(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_set_up_says_why_and_goes_on_from_there() {
    let world = World::start(10.0, Troubles::default()).await;
    let url = world.carrier.url();
    let server = world.server().await;
    let (owner, agent) = connected(&server).await;
    registered(&owner, &agent, OURS[0]).await.expect(201);
    drop(world);
    let id = text(&owner.api.list("/api/voice/numbers").await[0], "id");
    let other = text(&owner.agent(json!({ "vertical": "legal", "name": "Birch" })).await, "id");
    let path = format!("/api/voice/numbers/{id}");
    let refused = owner.api.patch(&path, json!({ "agent_id": other })).await.refused(409);
    assert_eq!(refused["code"], "retell_unavailable", "{url}: {refused}");
    let shown = owner.api.list("/api/voice/numbers").await.remove(0);
    assert_eq!((&shown["state"], &shown["agent_id"]), (&json!("not_set_up"), &json!(other)));
    assert!(text(&shown, "trouble").contains("could not be reached"), "{shown}");
    // It is not given up while its calls would go on coming to us.
    owner.api.delete("/api/voice/release-number?number=14155550100").await.refused(409);
    assert_eq!(owner.api.list("/api/voice/numbers").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_change_a_call_once_and_only_under_a_fresh_signature() {
    // Slow, so that the call is open while we speak for the carrier.
    let world = World::start(0.1, Troubles { lost: 100, ..Troubles::default() }).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = people(1).remove(0);
    let campaign = written(&owner, &agent, json!({})).await;
    bring(&owner, &campaign, &format!("phone\n{phone}\n")).await;
    start(&owner, &campaign).await;
    let created = world.created().await;
    let (call, dial) = (text(&created, "sid"), text(&created, "dial"));
    let own = format!("/api/voice/retell/webhook/simulated_retell-{}", owner.organization);
    let bare = "/api/voice/retell/webhook";
    let event = |event: &str, dial: &str, more: Value| {
        let mut body = json!({ "event": event, "call": {
            "call_id": call, "from_number": OURS[0], "to_number": phone, "direction": "outbound", "metadata": { "colloquy_dial": dial },
        } });
        for (key, value) in more.as_object().into_iter().flatten() {
            body["call"][key] = value.clone();
        }
        body
    };
    let busy = json!({ "call_status": "not_connected", "disconnection_reason": "dial_busy" });
    let forged = event("call_ended", &dial, busy.clone());
    for path in [own.as_str(), bare] {
        posted(&server, path, &forged, "another key", 0).await.refused(401);
        posted(&server, path, &forged, KEY, 301_000).await.refused(401);
        posted(&server, path, &forged, KEY, -301_000).await.refused(401);
        server.api().post(path, forged.clone()).await.refused(401);
    }
    // Of calls that nobody knows, and of another organization's.
    for unknown in ["", "x", "nobody.0.0.1", &format!("{campaign}.0.0.9"), &format!("{campaign}.7.0.1")] {
        posted(&server, &own, &event("call_ended", unknown, busy.clone()), KEY, 0).await.expect(204);
    }
    let stranger = Member::sign_up(&server, "Elm").await;
    let theirs = format!("/api/voice/retell/webhook/simulated_retell-{}", stranger.organization);
    posted(&server, &theirs, &forged, KEY, 0).await.refused(401);
    assert_eq!(targets(&owner, &campaign).await[0]["status"], "calling", "none of that was believed");

    let calls = async || owner.api.list(&format!("/api/calling/campaigns/{campaign}/calls")).await;
    let ongoing = event("call_started", &dial, json!({ "call_status": "ongoing" }));
    for _ in 0..2 {
        posted(&server, &own, &ongoing, KEY, 0).await.expect(204);
        posted(&server, bare, &event("transcript_updated", &dial, json!({ "call_status": "ongoing" })), KEY, 0)
            .await
            .expect(204);
    }
    eventually("it is answered", SOON, async || (calls().await[0]["status"] == "in_progress").then_some(())).await;
    let machine = json!({ "call_status": "ended", "disconnection_reason": "voicemail_reached", "duration_ms": 7_000 });
    // The end twice, then what came before it, then the other end: the first news stands.
    for body in [event("call.ended", &dial, machine.clone()), event("call_ended", &dial, machine), ongoing, forged] {
        posted(&server, &own, &body, KEY, 0).await.expect(204);
    }
    let done = eventually("it is done", SOON, async || {
        let target = targets(&owner, &campaign).await.remove(0);
        (target["status"] == "done").then_some(target)
    })
    .await;
    assert_eq!((text(&done, "outcome").as_str(), &done["attempts"]), ("voicemail", &json!(1)));
    let analyzed = json!({ "call_status": "ended", "disconnection_reason": "voicemail_reached", "call_cost": { "combined_cost": 7.0 } });
    posted(&server, &own, &event("call_analyzed", &dial, analyzed), KEY, 0).await.expect(204);
    let stats = owner.api.get(&format!("/api/calling/campaigns/{campaign}/stats")).await.expect(200);
    assert_eq!((&stats["cards"]["total_calls"], &stats["counts"]["machines"]), (&json!(1), &json!(1)), "{stats}");

    // Who answers a number is asked too.
    let asked = json!({ "event": "call_inbound", "call_inbound": { "from_number": phone, "to_number": OURS[1] } });
    let answer = posted(&server, &own, &asked, KEY, 0).await.expect(200);
    let bound = world.api().get("/get-phone-number/%2B14155550101").await.expect(200);
    assert_eq!(answer["call_inbound"]["override_agent_id"], bound["inbound_agents"][0]["agent_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_over_retell_survives_lost_news_lost_lines_and_a_kill_and_its_audit_equals_the_carriers_log() {
    let troubles = Troubles { lost: 8, doubled: 10, late: 10, faults: 8, dropped: 8 };
    let world = World::start(12.0, troubles).await;
    let mut server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let people = people(60);
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(40);
    let spoken = json!({
        "deadline": deadline.to_string(), "objective": "Find out who needs a new boiler", "opening": "Hello {{name}}, Oak Plumbing calls about boilers.",
        "questions": ["What is it about?", "By when?", "What budget do you have?"], "voicemail": "message", "voicemail_message": "We called about boilers.",
        "calls_per_second": 4,
    });
    let campaign = written(&owner, &agent, spoken).await;
    let list: String = people.iter().enumerate().map(|(n, phone)| format!("{phone},Person {n}\n")).collect();
    bring(&owner, &campaign, &format!("phone,name\n{list}")).await;
    start(&owner, &campaign).await;
    let made = || world.lines().iter().filter(|line| line["event"] == "create").count();
    eventually("calls are being made", Duration::from_secs(90), async || (made() >= 20).then_some(())).await;
    server.kill();
    assert!(made() < people.len(), "the kill came in the middle: {} calls", made());
    server.boot().await;
    eventually("everybody is done", ALL_DONE, async || {
        let stats = owner.api.get(&format!("/api/calling/campaigns/{campaign}/stats")).await.expect(200);
        (stats["counts"]["done"].as_u64()? >= people.len() as u64).then_some(())
    })
    .await;
    let books = books(&owner, &campaign, &world).await;
    let faults = books.faults();
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
    let outcomes: BTreeSet<String> = books.targets.iter().map(|target| text(target, "outcome")).collect();
    assert!(outcomes.contains("voicemail") && outcomes.contains("answered"), "{outcomes:?}");
    // A machine was left the campaign's message, and people were greeted with its words and asked its questions.
    let lines = world.lines();
    let of = |event: &'static str| lines.iter().filter(move |line| line["event"] == event);
    assert!(of("voicemail").count() > 0 && of("voicemail").all(|line| line["left"] == "We called about boilers."));
    let said: Vec<String> = of("talk").map(|line| line["heard"].to_string()).collect();
    assert!(said.iter().any(|said| said.contains("Oak Plumbing calls about boilers")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("By when?")), "{said:?}");
    assert!(of("lost").count() > 0, "no line was lost: the test says nothing about that");
    let mut falsified = books.clone();
    falsified.log.push(json!({ "event": "create", "at_ms": 0, "to": people[0], "from": OURS[0], "dial": format!("{campaign}.0.0.9"), "status": 201, "sid": "call_x" }));
    assert!(!falsified.faults().is_empty(), "the checker finds a call that is not in the audit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_call_goes_out_once_and_an_agent_that_answers_no_calls_speaks_in_it() {
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    owner.api.patch(&format!("/api/agents/{agent}"), json!({ "voice_enabled": false })).await.expect(200);
    for phone in people(12) {
        let order =
            json!({ "agent_id": agent, "to": phone, "consent": "none", "opening": "Oak Plumbing calls you back." });
        let made = owner.api.post("/api/voice/calls", order).await.expect(201);
        assert_eq!((&made["simulated"], &made["from_number"]), (&json!(true), &json!(OURS[0])));
    }
    let spoke = eventually("somebody is spoken with", Duration::from_secs(60), async || {
        let mut lines = world.lines().into_iter().filter(|line| line["event"] == "talk" && line["manner"].is_string());
        lines.find(|line| line["heard"].to_string().contains("Oak Plumbing calls you back."))
    })
    .await;
    let sid = text(&spoke, "sid");
    let created = world.lines().into_iter().find(|line| line["event"] == "create" && line["sid"] == sid.as_str());
    assert!(text(&created.expect("it was made"), "dial").starts_with("call-"));
    let dials: Vec<String> = world.lines().iter().filter_map(|line| Some(line["dial"].as_str()?.to_owned())).collect();
    assert_eq!(dials.iter().collect::<BTreeSet<_>>().len(), dials.len(), "each once: {dials:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_is_taken_back_when_its_number_may_not_be_called_any_more() {
    // It rings for a quarter of a minute at least.
    let world = World::start(0.1, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = people(1).remove(0);
    let campaign = written(&owner, &agent, json!({})).await;
    bring(&owner, &campaign, &format!("phone\n{phone}\n")).await;
    start(&owner, &campaign).await;
    let call = text(&world.created().await, "sid");
    let entry = json!({ "channel": "phone", "address": phone, "reason": "asked not to be called" });
    owner.api.post("/api/dnc", entry).await.expect(201);
    eventually("the carrier is asked to stop it", SOON, async || {
        let mut lines = world.lines().into_iter();
        lines.find(|line| line["event"] == "modify" && line["sid"] == call.as_str() && line["done"] == true).map(|_| ())
    })
    .await;
    let done = eventually("it is done", SOON, async || {
        let target = targets(&owner, &campaign).await.remove(0);
        (target["status"] == "done").then_some(target)
    })
    .await;
    assert_eq!((text(&done, "outcome"), text(&done, "reason")), ("failed".to_owned(), "canceled".to_owned()), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_our_key_is_served_only_if_retell_itself_knows_the_call_at_that_number() {
    let world = World::start(0.1, Troubles { lost: 100, ..Troubles::default() }).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = people(1).remove(0);
    let campaign = written(&owner, &agent, json!({ "opening": "Oak Plumbing calls about boilers." })).await;
    bring(&owner, &campaign, &format!("phone\n{phone}\n")).await;
    start(&owner, &campaign).await;
    let created = world.created().await;
    let (call, from) = (text(&created, "sid"), text(&created, "from"));
    let details = |call: &str, from: &str| json!({ "interaction_type": "call_details", "call": { "call_id": call, "direction": "outbound", "from_number": from, "to_number": phone } });
    let opened = async |path: &str, call: &str, from: &str| {
        let mut socket = Socket::open(server.http, &format!("{path}/{call}")).await.expect("the socket opens");
        socket.send(&details(call, from)).await;
        loop {
            match socket.try_next().await.expect("an end or a word in time") {
                Some(frame) if frame["response_type"] == "response" => return Some(text(&frame, "content")),
                Some(_) => {}
                None => return None,
            }
        }
    };
    let path = "/api/voice/retell/llm";
    for _ in 0..3 {
        assert_eq!(opened(path, "call_of_nobody", &from).await, None);
    }
    assert_eq!(world.count("asked", "sid", "call_of_nobody"), 1, "one look");
    assert_eq!(opened(path, &call, "+12125550100").await, None, "a number that is nobody's here");
    assert_eq!(world.count("asked", "sid", &call), 0, "which costs no question");
    let greeting = opened("/llm-websocket", &call, &from).await.expect("it is served");
    assert!(greeting.contains("Oak Plumbing calls about boilers."), "with what the call is for: {greeting}");
    assert_eq!(world.count("asked", "sid", &call), 1);
    let calls = owner.api.list("/api/voice/calls").await;
    assert_eq!((&calls[0]["direction"], &calls[0]["to"]), (&json!("outbound"), &json!(phone)), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retells_own_package_signs_what_we_believe_and_nothing_else_is_believed() {
    let folder = root().join("tests/peers");
    assert!(
        folder.join("node_modules").is_dir(),
        "the vendors' packages are not there: `make test` fetches them, or `npm ci` in tests/peers"
    );
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, _) = founded(&server).await;
    let url = server.url(&format!("/api/voice/retell/webhook/simulated_retell-{}", owner.organization));
    let ended = json!({ "event": "call_ended", "call": { "call_id": "c1", "call_status": "ended", "to_number": OURS[0], "note": "é" } }).to_string();
    let inbound =
        json!({ "event": "call_inbound", "call_inbound": { "from_number": "+12175550133", "to_number": OURS[0] } })
            .to_string();
    let post = |body: &str, key: &str, age_ms: i64| json!({ "url": url, "body": body, "key": key, "age_ms": age_ms });
    let mut altered = post(&ended, KEY, 0);
    altered["altered"] = json!(ended.replace("c1", "c2"));
    let mut bare = post(&ended, KEY, 0);
    bare["url"] = json!(server.url("/api/voice/retell/webhook"));
    let posts = [
        (post(&ended, KEY, 0), 204),
        (post(&inbound, KEY, 0), 200),
        (bare, 204),
        (post(&ended, KEY, 280_000), 204),
        (post(&ended, KEY, 301_000), 401),
        (post(&ended, KEY, -330_000), 401),
        (post(&ended, "another", 0), 401),
        (altered, 401),
    ];
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let header = signature::sign(&KEY.to_owned().into(), ended.as_bytes(), now_ms);
    let replies =
        json!([{ "body": ended, "header": header, "key": KEY }, { "body": ended, "header": header, "key": "another" }]);
    let task = json!({ "posts": posts.iter().map(|(post, _)| post).collect::<Vec<_>>(), "replies": replies });
    let answer = tokio::task::spawn_blocking(move || {
        let mut child = Command::new("node")
            .arg(folder.join("retell_posts.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        child.stdin.take().expect("piped").write_all(task.to_string().as_bytes()).expect("taken");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", output.status);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    })
    .await
    .expect("it is answered");
    let statuses: Vec<&Value> =
        answer["statuses"].as_array().expect("a list").iter().map(|one| &one["status"]).collect();
    let expected: Vec<Value> = posts.iter().map(|(_, status)| json!(status)).collect();
    assert_eq!(statuses, expected.iter().collect::<Vec<_>>(), "{answer}");
    assert_eq!(answer["verified"], json!([true, false]), "what it makes of ours");
    let asked: Value = serde_json::from_str(answer["statuses"][1]["body"].as_str().expect("a body")).expect("JSON");
    assert!(asked["call_inbound"]["override_agent_id"].is_string(), "{asked}");
}
