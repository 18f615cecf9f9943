//! Campaigns through the real binary against the simulated carrier: everybody on a list ends in exactly one way, nobody is called who must not be, the
//! carrier's own log agrees with the audit, and a kill, an edit, a pause in the middle change nothing about that.

mod support;

/// What campaigns are checked by.
mod campaigns {
    pub(crate) mod ledger;
    mod talks;
}

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use campaigns::ledger::Books;
use colloquy_actors::telephony::twilio::form::Form;
use colloquy_actors::telephony::twilio::signature::{self, Covered};
use colloquy_carrier::{Carrier, Config, Troubles};
use colloquy_domain::campaign::{number, window::Window};
use serde_json::{Value, json};
use support::carrier::post_form;
use support::client::Answer;
use support::people::{Member, PASSWORD, SOON, Visitor, text};
use support::screen::Screen;
use support::{Server, eventually};
use tempfile::TempDir;

/// The account of the tests.
const ACCOUNT: &str = "AC00000000000000000000000000000077";
const TOKEN: &str = "auth-token-of-the-simulated-calls";
/// What the people who are called follow from.
const SEED: u64 = 11;
/// Our numbers.
const OURS: [&str; 2] = ["+14155550100", "+14155550101"];
/// First parts of numbers on three sides of the world: somewhere it is always day.
const SIDES: [&str; 4] = ["+1415555", "+4420794", "+8135555", "+9111234"];
/// How long everybody on the list may take: a call that nobody hears of is given up after two minutes, one that was answered a little later.
const ALL_DONE: Duration = Duration::from_secs(420);

/// A number by side and count that libphonenumber takes for one.
fn numbers(side: &str, count: usize) -> Vec<String> {
    let all = (0..100_000_u32).map(|n| {
        let width = if side == "+4420794" { 5 } else { 12 - side.len() };
        format!("{side}{n:0width$}")
    });
    all.filter_map(|text| number::normal(&text, None).ok()).map(|number| number.e164).take(count).collect()
}

/// Whether people there may be called now and for the next half hour.
fn is_day(side: &str) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    let Some(one) = numbers(side, 1).first().cloned() else { return false };
    let zones = number::normal(&one, None).expect("a number").zones;
    let hours = Window::default().hours(&zones);
    hours.is_open(now) && hours.is_open(now + 1_800_000)
}

/// Whether nobody there may be called for the next half hour.
fn is_night(side: &str) -> bool {
    let now = jiff::Timestamp::now().as_millisecond();
    let Some(one) = numbers(side, 1).first().cloned() else { return false };
    let zones = number::normal(&one, None).expect("a number").zones;
    let hours = Window::default().hours(&zones);
    !hours.is_open(now) && hours.next(now).is_none_or(|next| next > now + 1_800_000)
}

fn day() -> &'static str {
    SIDES.into_iter().find(|side| is_day(side)).expect("somewhere it is day")
}

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
            account: ACCOUNT.to_owned(),
            token: TOKEN.to_owned(),
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

    fn lines(&self) -> Vec<Value> {
        lines(&self.log)
    }
}

fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// An owner with an agent whose numbers are the simulated carrier's.
async fn founded(server: &Server) -> (Member, String) {
    let owner = Member::sign_up(server, "Oak Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": "Oak" })).await, "id");
    let keys = json!({ "account_sid": ACCOUNT, "auth_token": TOKEN });
    owner.api.post("/api/integrations/simulated/connect", keys).await.expect(200);
    for number in OURS {
        let number = json!({ "number": number, "provider": "simulated", "agent_id": agent });
        owner.api.post("/api/voice/numbers", number).await.expect(201);
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

async fn bring(owner: &Member, campaign: &str, kind: &str, list: &str) -> Answer {
    let path = format!("/api/calling/campaigns/{campaign}/targets");
    owner.api.try_raw("POST", &path, kind, Some(list.as_bytes().to_vec())).await.expect("an answer")
}

async fn order(owner: &Member, campaign: &str, what: &str) -> Value {
    owner.api.post(&format!("/api/calling/campaigns/{campaign}/{what}"), json!({})).await.expect(200)
}

async fn stats(owner: &Member, campaign: &str) -> Value {
    owner.api.get(&format!("/api/calling/campaigns/{campaign}/stats")).await.expect(200)
}

async fn all_targets(owner: &Member, campaign: &str) -> Vec<Value> {
    let path = format!("/api/calling/campaigns/{campaign}/targets");
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = owner.api.get(&format!("{path}?limit=256{cursor}")).await.expect(200);
        all.extend(page["items"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The audit as columns by name.
async fn audit(owner: &Member, campaign: &str) -> Vec<BTreeMap<String, String>> {
    let file = owner.api.get(&format!("/api/calling/campaigns/{campaign}/audit.csv")).await;
    assert_eq!(file.status, 200, "{file:?}");
    let mut lines = file.text.lines();
    let names: Vec<&str> = lines.next().expect("columns").split(',').collect();
    let row =
        |line: &str| names.iter().map(|name| (*name).to_owned()).zip(line.split(',').map(str::to_owned)).collect();
    lines.map(row).collect()
}

/// What both sides have written down of a campaign.
async fn books(owner: &Member, campaign: &str, world: &World, forbidden: &BTreeSet<String>) -> Books {
    Books {
        campaign: campaign.to_owned(),
        targets: all_targets(owner, campaign).await,
        stats: stats(owner, campaign).await,
        audit: audit(owner, campaign).await,
        log: world.lines(),
        forbidden: forbidden.clone(),
    }
}

/// Compares what the carrier says it was asked with what the campaign says it did.
async fn checked(owner: &Member, campaign: &str, world: &World, forbidden: &BTreeSet<String>) {
    let faults = books(owner, campaign, world, forbidden).await.faults();
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_a_kill_an_edit_and_a_pause_and_its_audit_equals_the_carriers_log() {
    let troubles = Troubles { lost: 5, doubled: 10, late: 10, faults: 4, dropped: 0 };
    let world = World::start(12.0, troubles).await;
    let mut server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let people = numbers(day(), 300);
    assert_eq!(people.len(), 300);
    let asleep: Vec<String> =
        SIDES.into_iter().find(|side| is_night(side)).map(|side| numbers(side, 5)).unwrap_or_default();
    // A callback that is agreed for after the end is left to people.
    let deadline = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(40);
    let spoken = json!({
        "deadline": deadline.to_string(), "objective": "Find out who needs a new boiler", "opening": "Hello {{name}} of {{company}}, Oak Plumbing calls about boilers.",
        "questions": ["What is it about?", "By when?", "What budget do you have?"],
    });
    let campaign = written(&owner, &agent, spoken).await;
    let mut list = String::from("phone,name,company\n");
    for (n, phone) in people.iter().chain(&asleep).enumerate() {
        list.push_str(&format!("{phone},Person {n},Acme\n"));
    }
    list.push_str(&format!("{},Again,Acme\n12,Nobody,\n", people[0]));
    let read = bring(&owner, &campaign, "text/csv", &list).await.expect(200);
    assert_eq!(
        (&read["accepted"], &read["duplicates"], &read["rejected_total"]),
        (&json!(people.len() + asleep.len()), &json!(1), &json!(1)),
        "{read}"
    );
    let refused_line = &read["rejected"][0];
    assert_eq!(refused_line["line"], json!(people.len() + asleep.len() + 3), "{read}");

    // Some said no before, and one will while it runs.
    let mut forbidden: BTreeSet<String> = asleep.iter().cloned().collect();
    for phone in &people[40..50] {
        let entry = json!({ "channel": "phone", "address": phone, "reason": "asked not to be called" });
        owner.api.post("/api/dnc", entry).await.expect(201);
        forbidden.insert(phone.clone());
    }
    order(&owner, &campaign, "start").await;
    let dialled = |at_least: i64| {
        let (owner, campaign) = (owner.clone(), campaign.clone());
        async move {
            eventually(&format!("{at_least} calls"), Duration::from_secs(90), async || {
                (stats(&owner, &campaign).await["cards"]["total_calls"].as_i64()? >= at_least).then_some(())
            })
            .await;
        }
    };
    dialled(40).await;
    // Settings act at once: the next calls record the new version.
    let path = format!("/api/calling/campaigns/{campaign}");
    let changed = owner.api.patch(&path, json!({ "max_concurrent": 60, "calls_per_second": 15 })).await.expect(200);
    assert_eq!(changed["settings_version"], 2);
    dialled(70).await;
    order(&owner, &campaign, "pause").await;
    // What had begun is over soon; then nothing begins.
    let quiet = eventually("no call is being made", Duration::from_secs(60), async || {
        let counts = stats(&owner, &campaign).await["counts"].clone();
        let before = world.lines().iter().filter(|line| line["event"] == "create").count();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let after = world.lines().iter().filter(|line| line["event"] == "create").count();
        (before == after).then_some((counts, after))
    })
    .await;
    assert!(quiet.1 < people.len(), "the pause came in the middle: {} calls", quiet.1);
    order(&owner, &campaign, "resume").await;
    dialled(i64::try_from(quiet.1).expect("a count") + 30).await;
    server.kill();
    // The carrier goes on and tells nobody.
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.boot().await;
    dialled(i64::try_from(quiet.1).expect("a count") + 60).await;

    eventually("everybody who may be called is done", ALL_DONE, async || {
        let counts = stats(&owner, &campaign).await["counts"].clone();
        (counts["done"].as_i64()? >= i64::try_from(people.len()).ok()?).then_some(())
    })
    .await;
    if !asleep.is_empty() {
        assert_eq!(owner.api.get(&path).await.expect(200)["status"], "running", "it waits for their morning");
        order(&owner, &campaign, "stop").await;
    }
    eventually("it has ended", SOON, async || {
        let status = owner.api.get(&path).await.expect(200)["status"].clone();
        ["completed", "stopped"].contains(&status.as_str()?).then_some(())
    })
    .await;
    checked(&owner, &campaign, &world, &forbidden).await;
    let targets = all_targets(&owner, &campaign).await;
    let reasons = |phone: &str| {
        let target = targets.iter().find(|target| target["phone"] == phone).expect("on the list");
        (text(target, "outcome"), text(target, "reason"))
    };
    for phone in &people[40..50] {
        assert_eq!(reasons(phone), ("skipped".to_owned(), "do_not_contact".to_owned()));
    }
    for phone in &asleep {
        assert_eq!(reasons(phone), ("skipped".to_owned(), "stopped".to_owned()));
    }
    let versions: BTreeSet<String> = audit(&owner, &campaign)
        .await
        .into_iter()
        .filter(|row| !row["dialed_at"].is_empty())
        .map(|row| row["settings_version"].clone())
        .collect();
    assert_eq!(versions, BTreeSet::from(["1".to_owned(), "2".to_owned()]), "each call says which settings it used");
    let calls = owner.api.list(&format!("{path}/calls?outcome=answered")).await;
    assert!(calls.iter().all(|call| call["outcome"] == "answered" && call["phone"].is_string()), "{calls:?}");
    assert!(!calls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_campaign_is_refused_by_name() {
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let keyless = Member::sign_up(&server, "Keyless").await;
    let theirs = text(&keyless.agent(json!({ "vertical": "custom", "name": "A" })).await, "id");
    let body = json!({ "name": "C", "agent_id": theirs, "from_numbers": OURS });
    keyless.api.post("/api/calling/campaigns", body).await.names("from_numbers");
    let call = json!({ "agent_id": theirs, "to": numbers(day(), 1)[0] });
    assert_eq!(keyless.api.post("/api/voice/calls", call).await.refused(409)["code"], "no_number");

    let (owner, agent) = founded(&server).await;
    owner.api.post("/api/calling/campaigns", json!({ "name": "C", "agent_id": theirs })).await.names("agent_id");
    owner.api.post("/api/calling/campaigns", json!({ "name": "", "agent_id": agent })).await.names("name");
    let campaign = written(&owner, &agent, json!({})).await;
    let path = format!("/api/calling/campaigns/{campaign}");
    let refused = owner.api.post(&format!("{path}/start"), json!({})).await.refused(409);
    assert_eq!(refused["code"], "no_targets");
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    for what in ["start", "pause", "resume", "stop"] {
        viewer.api.post(&format!("{path}/{what}"), json!({})).await.refused(403);
        keyless.api.post(&format!("{path}/{what}"), json!({})).await.refused(404);
    }
    viewer.api.get(&path).await.expect(200);
    keyless.api.get(&path).await.refused(404);

    // Lists that are none.
    let utf16: Vec<u8> = "phone\r\n+14155552671".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let answer =
        owner.api.try_raw("POST", &format!("{path}/targets"), "text/csv", Some(utf16)).await.expect("an answer");
    assert!(answer.refused(422).to_string().contains("UTF-16"));
    assert!(
        bring(&owner, &campaign, "text/csv", "name,email\nAnn,a@b.ch\n")
            .await
            .refused(422)
            .to_string()
            .contains("phone")
    );
    bring(&owner, &campaign, "image/png", "x").await.refused(415);
    bring(&owner, &campaign, "application/json", "{\"from_leads\":{\"filter\":{\"colour\":1}}}").await.refused(422);
    // A hundred thousand lines in another encoding, each refused, a thousand told.
    let mut wide = b"phone,name\n".to_vec();
    for _ in 0..100_000 {
        wide.extend_from_slice(b"12,J\xfcrg\n");
    }
    let answer = owner
        .api
        .try_raw("POST", &format!("{path}/targets"), "text/csv", Some(wide))
        .await
        .expect("an answer")
        .expect(200);
    assert_eq!(
        (&answer["rejected_total"], answer["rejected"].as_array().map(Vec::len)),
        (&json!(100_000), Some(1_000))
    );

    // JSON lines, and the same again.
    let phone = &numbers(day(), 1)[0];
    let one = format!("{{\"phone\":\"{phone}\",\"name\":\"Ann\",\"fields\":{{\"plan\":\"gold\"}}}}\n");
    for (accepted, duplicates) in [(1, 0), (0, 1)] {
        let read = bring(&owner, &campaign, "application/x-ndjson", &one).await.expect(200);
        assert_eq!((&read["accepted"], &read["duplicates"]), (&json!(accepted), &json!(duplicates)), "{read}");
    }
    // An account that a campaign calls from stays; the refusal names the campaign.
    let disconnect = "/api/integrations/simulated/disconnect";
    let refused = owner.api.delete(disconnect).await.refused(409);
    assert_eq!(refused["code"], "in_use", "{refused}");
    assert!(text(&refused, "detail").contains("Webinar"), "{refused}");
    owner.api.delete(&path).await.expect(204);
    // Who waits is skipped first; then it is gone.
    eventually("it is gone", SOON, async || (owner.api.get(&path).await.status == 404).then_some(())).await;
    eventually("no list has it", SOON, async || {
        owner.api.list("/api/calling/campaigns").await.is_empty().then_some(())
    })
    .await;
    owner.api.delete(disconnect).await.expect(204);
    assert!(world.lines().iter().all(|line| line["event"] != "create"), "nobody was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_campaigns_are_one_live_board_without_their_long_texts_and_an_account_can_be_checked() {
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let stranger = Member::sign_up(&server, "Elm").await;
    let mut board = Screen::open(&server, &owner, "campaigns").await;
    let mut theirs = Screen::open(&server, &stranger, "campaigns").await;
    let long = json!({ "objective": "Invite", "script": "Good day", "questions": ["When?"] });
    let campaign = written(&owner, &agent, long).await;
    let path = format!("/api/calling/campaigns/{campaign}");
    board.until("the campaign", |screen| screen.data[&campaign]["status"] == "draft").await;
    let shown = board.data[&campaign].as_object().expect("a campaign");
    for kept in ["objective", "script", "questions", "voicemail_message"] {
        assert!(!shown.contains_key(kept), "{shown:?}");
    }
    assert_eq!((&shown["name"], &shown["progress"]["targets"]), (&json!("Webinar"), &json!(0)));
    owner.api.patch(&path, json!({ "name": "Another" })).await.expect(200);
    bring(&owner, &campaign, "text/csv", &format!("phone\n{}\n", numbers(day(), 1)[0])).await.expect(200);
    board
        .until("what was changed", |screen| {
            let one = &screen.data[&campaign];
            (&one["name"], &one["progress"]["targets"]) == (&json!("Another"), &json!(1))
        })
        .await;
    // A board that is opened later shows the same.
    assert_eq!(Screen::open(&server, &owner, "campaigns").await.data[&campaign], board.data[&campaign]);
    owner.api.delete(&path).await.expect(204);
    board.until("that it is gone", |screen| screen.data.get(&campaign).is_none()).await;
    let own = text(&stranger.agent(json!({ "vertical": "custom", "name": "E" })).await, "id");
    let own = json!({ "name": "Own", "agent_id": own });
    let own = text(&stranger.api.post("/api/calling/campaigns", own).await.expect(201), "id");
    theirs.until("their own", |screen| screen.data.get(&own).is_some()).await;
    assert_eq!(theirs.data.as_object().map(|all| all.len()), Some(1), "{}", theirs.data);

    let numbers = owner.api.list("/api/voice/numbers").await;
    assert!(numbers.iter().all(|number| number["channels"] == json!(["sms", "whatsapp", "voice"])), "{numbers:?}");
    let accounts = owner.api.get("/api/integrations").await.expect(200);
    let all = accounts["items"].as_array().expect("accounts");
    let simulated = all.iter().find(|one| one["provider"] == "simulated").expect("the account");
    assert!(text(simulated, "voice_url").contains("/api/voice/twilio/voice/"), "{simulated}");
    let check = "/api/integrations/simulated/check";
    let told = owner.api.post(check, json!({})).await.expect(200);
    assert_eq!((&told["ok"], told["numbers"].as_array().map(Vec::len)), (&json!(true), Some(OURS.len())), "{told}");
    let viewer = owner.invite(&server, "viewer", "Vera").await;
    viewer.api.post(check, json!({})).await.refused(403);
    assert_eq!(stranger.api.post(check, json!({})).await.refused(409)["code"], "not_connected");
    owner.api.post("/api/integrations/pigeon/check", json!({})).await.refused(404);
    // A key that speaks for another agent calls from none of these numbers.
    let other = text(&owner.agent(json!({ "vertical": "legal", "name": "Birch" })).await, "id");
    let bound = json!({ "name": "bound", "kind": "secret", "role": "admin", "agent_id": other });
    let bound = text(&owner.api.post("/api/api-keys", bound).await.expect(201), "key");
    let borrowed = json!({ "name": "n", "agent_id": other, "from_numbers": [OURS[0]] });
    server.api().bearer(&bound).post("/api/calling/campaigns", borrowed.clone()).await.refused(422);
    owner.api.post("/api/calling/campaigns", borrowed).await.expect(201);
    drop(world);
    let refused = owner.api.post(check, json!({})).await.refused(409);
    assert_eq!(refused["code"], "account_refused", "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_change_a_call_once_and_only_under_a_signature() {
    // Slow, so that the call is open while we speak for the carrier.
    let world = World::start(0.1, Troubles { lost: 100, ..Troubles::default() }).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let phone = numbers(day(), 1).remove(0);
    let campaign = written(&owner, &agent, json!({})).await;
    bring(&owner, &campaign, "text/csv", &format!("phone\n{phone}\n")).await.expect(200);
    order(&owner, &campaign, "start").await;
    let created = eventually("the call is created", SOON, async || {
        world.lines().into_iter().find(|line| line["event"] == "create")
    })
    .await;
    let (sid, dial) = (text(&created, "sid"), text(&created, "dial"));
    let target = async || all_targets(&owner, &campaign).await.remove(0);
    let calls = async || owner.api.list(&format!("/api/calling/campaigns/{campaign}/calls")).await;
    let says = async |what: &str, dial: &str, more: &[(&str, &str)], token: &str| {
        let path = format!("/api/voice/twilio/{what}/simulated-{}?d={dial}", owner.organization);
        let mut fields =
            vec![("CallSid", sid.as_str()), ("AccountSid", ACCOUNT), ("From", OURS[0]), ("To", phone.as_str())];
        fields.extend_from_slice(more);
        let form = Form::of(&fields);
        let signed = signature::sign(&token.to_owned().into(), &server.url(&path), Covered::Form(&form));
        post_form(&server.api().header("x-twilio-signature", &signed), &path, form.to_body()).await
    };
    let busy = [("CallStatus", "busy"), ("CallDuration", "0")];
    says("status", &dial, &busy, "another token").await.refused(401);
    says("amd", &dial, &[("AnsweredBy", "machine_end_beep")], "another token").await.refused(401);
    // Of calls that nobody knows.
    for unknown in ["", "x", "nobody.0.0.1", &format!("{campaign}.0.0.9"), &format!("{campaign}.7.0.1")] {
        says("status", unknown, &busy, TOKEN).await.expect(204);
    }
    assert_eq!(target().await["status"], "calling");
    // The answer comes before the ringing, the machine before the answer, everything twice.
    for _ in 0..2 {
        says("status", &dial, &[("CallStatus", "in-progress")], TOKEN).await.expect(204);
        says("status", &dial, &[("CallStatus", "ringing")], TOKEN).await.expect(204);
        says("status", &dial, &[("CallStatus", "initiated")], TOKEN).await.expect(204);
    }
    eventually("it is answered", SOON, async || (calls().await[0]["status"] == "in_progress").then_some(())).await;
    says("amd", &dial, &[("AnsweredBy", "machine_start")], TOKEN).await.expect(204);
    assert_eq!(calls().await[0]["status"], "in_progress", "it may be a person");
    for _ in 0..2 {
        says("amd", &dial, &[("AnsweredBy", "machine_end_beep")], TOKEN).await.expect(204);
    }
    // A machine is hung up on, at the carrier.
    eventually("the carrier is asked to hang up", SOON, async || {
        world.lines().iter().any(|line| line["event"] == "modify" && line["sid"] == sid.as_str()).then_some(())
    })
    .await;
    for status in ["completed", "completed", "busy", "in-progress"] {
        says("status", &dial, &[("CallStatus", status), ("CallDuration", "7")], TOKEN).await.expect(204);
    }
    let done = eventually("it is done", SOON, async || {
        let target = target().await;
        (target["status"] == "done").then_some(target)
    })
    .await;
    assert_eq!((text(&done, "outcome").as_str(), &done["attempts"]), ("voicemail", &json!(1)));
    let counted = stats(&owner, &campaign).await;
    assert_eq!(
        (&counted["cards"]["total_calls"], &counted["counts"]["machines"], &counted["cards"]["connected_calls"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(counted["cost_usd"], json!(0.014), "a minute from its begin");
    assert_eq!(owner.api.get(&format!("/api/calling/campaigns/{campaign}")).await.expect(200)["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_is_erased_stays_on_no_list_and_the_others_stay() {
    let world = World::start(10.0, Troubles::default()).await;
    let mut server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let campaign = written(&owner, &agent, json!({})).await;
    let people = numbers(day(), 4);
    let list = format!("phone,name\n{},Ann Rosebud\n{},Bob\n", people[0], people[1]);
    bring(&owner, &campaign, "text/csv", &list).await.expect(200);
    for _ in 0..2 {
        let erasure = owner.api.post("/api/privacy/erasures", json!({ "phone": people[0] })).await.expect(202);
        let path = format!("/api/privacy/erasures/{}", text(&erasure, "id"));
        eventually("the erasure is completed", SOON, async || {
            (owner.api.get(&path).await.expect(200)["status"] == "completed").then_some(())
        })
        .await;
    }
    let shown = all_targets(&owner, &campaign).await;
    assert_eq!(
        (&shown[0]["phone"], &shown[0]["name"], &shown[0]["erased"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    assert_eq!((text(&shown[0], "outcome"), text(&shown[0], "reason")), ("skipped".to_owned(), "erased".to_owned()));
    assert_eq!((text(&shown[1], "name"), text(&shown[1], "phone")), ("Bob".to_owned(), people[1].clone()));
    assert!(!owner.api.get(&format!("/api/calling/campaigns/{campaign}/audit.csv")).await.text.contains("Rosebud"));
    // The list goes on, over a restart too.
    server.kill();
    server.boot().await;
    let read =
        bring(&owner, &campaign, "text/csv", &format!("phone\n{}\n{}\n", people[1], people[2])).await.expect(200);
    assert_eq!((&read["accepted"], &read["duplicates"]), (&json!(1), &json!(1)), "{read}");
    assert_eq!(all_targets(&owner, &campaign).await.len(), 3);
    // A campaign that is deleted forgets everybody.
    owner.api.delete(&format!("/api/calling/campaigns/{campaign}")).await.expect(204);
    // No file knows Ann by name or number; what is sealed is opened by no key that is left.
    let found =
        std::process::Command::new("grep").args(["-rlF", "Rosebud"]).arg(server.data()).output().expect("grep runs");
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lead_is_called_back_while_an_inbound_campaign_runs_and_only_once() {
    let world = World::start(10.0, Troubles::default()).await;
    let server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let people = numbers(day(), 8);
    let leaves = async |phone: &str| {
        let mut visitor = Visitor::new(&server, &agent);
        visitor.say(&format!("My name is Ann Lee and my number is {phone}, I need a quote")).await;
    };
    let called = || {
        world.lines().iter().filter(|line| line["event"] == "create").map(|line| text(line, "to")).collect::<Vec<_>>()
    };
    // Before there is a campaign nobody is called.
    leaves(&people[0]).await;
    let campaign = written(
        &owner,
        &agent,
        json!({ "type": "inbound", "questions": ["What is it about?", "By when?", "What budget?"] }),
    )
    .await;
    order(&owner, &campaign, "start").await;
    let mut board = Screen::open(&server, &owner, &format!("campaign:{campaign}")).await;
    assert_eq!((&board.data["status"], &board.data["cards"]["total_calls"]), (&json!("running"), &json!(0)));
    // Several at once, and one of them again.
    for phone in people[1..].iter().chain([&people[1]]) {
        leaves(phone).await;
    }
    let all: BTreeSet<String> = people[1..].iter().cloned().collect();
    eventually("each is called", SOON, async || (called().into_iter().collect::<BTreeSet<_>>() == all).then_some(()))
        .await;
    assert_eq!(called().len(), all.len(), "once");
    board.until("the board shows every call", |board| board.data["cards"]["total_calls"] == json!(all.len())).await;
    assert_eq!(board.gaps, 0);
    let targets = all_targets(&owner, &campaign).await;
    assert!(targets.iter().all(|target| target["lead_id"].is_string()), "{targets:?}");
    assert_eq!(owner.api.get(&format!("/api/calling/campaigns/{campaign}")).await.expect(200)["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_call_is_made_only_where_nothing_forbids_it() {
    let world = World::start(10.0, Troubles::default()).await;
    let mut server = world.server().await;
    let (owner, agent) = founded(&server).await;
    let people = numbers(day(), 3);
    let call = |to: &str, consent: &str| json!({ "agent_id": agent, "to": to, "consent": consent });
    let refused = owner.api.post("/api/voice/calls", call(&people[0], "ai_calls")).await.refused(409);
    assert_eq!(refused["code"], "no_consent");
    let entry = json!({ "channel": "phone", "address": people[1], "reason": "asked" });
    owner.api.post("/api/dnc", entry).await.expect(201);
    assert_eq!(
        owner.api.post("/api/voice/calls", call(&people[1], "none")).await.refused(409)["code"],
        "do_not_contact"
    );
    owner.api.post("/api/voice/calls", call("12", "none")).await.names("to");
    let rep = owner.invite(&server, "rep", "Rita").await;
    rep.api.post("/api/voice/calls", call(&people[0], "none")).await.refused(403);
    if let Some(night) = SIDES.into_iter().find(|side| is_night(side)) {
        let asleep = numbers(night, 1).remove(0);
        assert_eq!(
            owner.api.post("/api/voice/calls", call(&asleep, "none")).await.refused(409)["code"],
            "outside_hours"
        );
    }
    assert!(world.lines().iter().all(|line| line["event"] != "create"), "nobody was called");
    let made = owner.api.post("/api/voice/calls", call(&people[2], "none")).await.expect(201);
    assert_eq!(
        (&made["simulated"], &made["to"], &made["from_number"]),
        (&json!(true), &json!(people[2]), &json!(OURS[0]))
    );
    let created = eventually("the carrier is asked", SOON, async || {
        world.lines().into_iter().find(|line| line["event"] == "create")
    })
    .await;
    assert_eq!(created["to"], json!(people[2]));

    // Whom a single call was for is kept no longer than who is on a campaign's list; here the two who were not called.
    let keep = json!({ "settings": { "retention": { "campaign_targets_days": 7 } } });
    owner.api.patch("/api/organization", keep).await.expect(200);
    server.later("+9d").await;
    let login = json!({ "email": owner.email, "password": PASSWORD });
    let session = server.api().post("/api/auth/login", login).await.expect(200);
    let owner = Member { api: server.api().bearer(&text(&session, "access_token")), ..owner.clone() };
    let noted = eventually("the log", SOON, || async {
        owner.api.list("/api/audit?action=campaign.targets_expired").await.into_iter().next()
    })
    .await;
    let people: u32 = text(&noted, "detail").parse().expect("a number");
    assert!(people >= 2, "{noted}");
}
