//! Proves that no call of the contract gives one organization anything of another: every path and method of `/openapi.json` is called with a
//! stranger's credentials and a tenant's real ids, and must answer exactly as it does for ids that do not exist. And that roles, keys and visitor
//! tokens open no more than they should.

mod support;

/// The interface as the server describes it.
mod tenancy {
    pub(crate) mod calls;
}

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::client::{Answer, Api};
use support::people::{Member, PASSWORD, SOON, Visitor, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};
use tenancy::calls::{Call, FAKE, Ids, PUBLIC, SOCKETS, body, calls};

/// Stands in every text of the tenant that a stranger must never see.
const MARKER: &str = "zanzibar-marker";

/// What a viewer may send although it is no GET, and why.
const VIEWERS_MAY: [(&str, &str); 7] = [
    ("patch /api/me/preferences", "their own"),
    ("post /api/organizations", "a new organization of their own"),
    ("post /api/team/invitations/accept", "joins another organization"),
    ("post /api/team/invitations/decline", "their own invitation"),
    ("post /api/agents/{id}/search", "reads only"),
    ("post /api/conversations/{id}/read", "their own mark"),
    ("post /api/notifications/read", "their own mark"),
];

/// A tenant that has one of everything, each with the marker in it.
struct Tenant {
    owner: Member,
    viewer: Member,
    visitor: Visitor,
    ids: Ids,
}

impl Tenant {
    async fn found(server: &Server, name: &str, marker: &str) -> Self {
        let owner = Member::sign_up(server, &format!("{name} {marker}")).await;
        let viewer = owner.invite(server, "viewer", &format!("Vera {marker}")).await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services", "name": format!("Agent {marker}"), "escalation_email": owner.email })).await, "id");
        let path = format!("/api/agents/{agent}");
        owner.api.patch(&path, json!({ "fallback_message": format!("No idea {marker}") })).await.expect(200);
        let source = owner.api.post(&format!("{path}/sources"), json!({ "type": "manual_text", "name": format!("Notes {marker}"), "content": format!("The password of the {marker} shed is rosebud.") })).await.expect(201);
        let faq = owner
            .api
            .post(
                &format!("{path}/faqs"),
                json!({ "question": format!("What about {marker}?"), "answer": format!("Nothing about {marker}.") }),
            )
            .await
            .expect(201);
        let mut visitor = Visitor::new(server, &agent);
        let first =
            visitor.say(&format!("My name is Ann {marker} Lee and my number is 217-555-0133, I need a quote")).await;
        owner
            .api
            .post(
                &format!("/api/conversations/{}/whisper", visitor.talk()),
                json!({ "content": format!("whisper {marker}") }),
            )
            .await
            .ok();
        let lead = eventually("the lead", SOON, || async { owner.api.list("/api/leads").await.first().cloned() }).await;
        owner
            .api
            .patch(&format!("/api/leads/{}", text(&lead, "id")), json!({ "notes": format!("note {marker}") }))
            .await
            .expect(200);
        let invitation = owner
            .api
            .post(
                "/api/team/invitations",
                json!({ "email": format!("{}@{marker}.example", random_id()), "role": "rep" }),
            )
            .await
            .expect(201);
        let key = owner
            .api
            .post("/api/api-keys", json!({ "name": format!("key {marker}"), "kind": "secret", "role": "viewer" }))
            .await
            .expect(201);
        let erasure = owner
            .api
            .post("/api/privacy/erasures", json!({ "email": format!("nobody@{marker}.example") }))
            .await
            .expect(202);
        owner.learned_text(&agent).await;
        let calendar = owner
            .api
            .post(
                "/api/calendars",
                json!({ "name": format!("Chairs {marker}"), "providers": [{ "id": "anna", "name": format!("Anna {marker}") }] }),
            )
            .await
            .expect(201);
        let free = owner.api.list("/api/appointments/slots").await.remove(0);
        let booking =
            json!({ "starts_at": free["starts_at"], "name": format!("Ann {marker}"), "phone": "217-555-0133" });
        let appointment = owner.api.post("/api/appointments", booking).await.expect(201);
        let campaign = json!({ "name": format!("Webinar {marker}"), "agent_id": agent });
        let campaign = owner.api.post("/api/calling/campaigns", campaign).await.expect(201);
        // A test call, in the agent's own words.
        let mut line =
            Socket::open(server.http, &format!("/api/voice/browser?agent_id={agent}")).await.expect("the socket opens");
        line.send(&json!({ "type": "start", "token": owner.token })).await;
        let call = line.until("the call", |frame| frame["type"] == "call").await;
        line.send(&json!({ "type": "hangup" })).await;
        line.until("its end", |frame| frame["type"] == "bye").await;
        // Its conversation hears of the end a moment later, and the call is looked back on.
        eventually("nobody is on the line", SOON, || async {
            let over = |talk: &Value| talk["on_call"].is_null();
            owner.api.list("/api/conversations").await.iter().all(over).then_some(())
        })
        .await;
        let mut ids = Ids::made_up();
        for (kind, id) in [
            ("agent", agent),
            ("source", text(&source, "id")),
            ("faq", text(&faq, "id")),
            ("conversation", visitor.talk().to_owned()),
            ("message", text(&first, "message_id")),
            ("lead", text(&lead, "id")),
            ("member", owner.user.clone()),
            ("invitation", text(&invitation, "id")),
            ("api_key", text(&key, "id")),
            ("erasure", text(&erasure, "id")),
            ("tenant", owner.organization.clone()),
            ("visitor", visitor.id.clone()),
            ("calendar", text(&calendar, "id")),
            ("appointment", text(&appointment, "id")),
            ("campaign", text(&campaign, "id")),
            ("call", text(&call, "call_id")),
            ("provider", "anna".to_owned()),
            ("template", "home_services.receptionist".to_owned()),
        ] {
            ids.0.insert(kind, id);
        }
        Self { owner, viewer, visitor, ids }
    }

    /// Everything that a stranger could change.
    async fn everything(&self) -> BTreeMap<String, Value> {
        let (agent, conversation, lead) = (&self.ids.0["agent"], &self.ids.0["conversation"], &self.ids.0["lead"]);
        let mut all = BTreeMap::new();
        for path in [
            "/api/organization".to_owned(),
            "/api/team/members".to_owned(),
            "/api/team/invitations".to_owned(),
            "/api/api-keys".to_owned(),
            "/api/agents".to_owned(),
            format!("/api/agents/{agent}"),
            format!("/api/agents/{agent}/versions"),
            format!("/api/agents/{agent}/sources"),
            format!("/api/agents/{agent}/faqs"),
            "/api/conversations".to_owned(),
            format!("/api/conversations/{conversation}"),
            format!("/api/conversations/{conversation}/journal"),
            "/api/leads".to_owned(),
            format!("/api/leads/{lead}"),
            "/api/calendars".to_owned(),
            "/api/appointments".to_owned(),
            "/api/calling/campaigns".to_owned(),
            format!("/api/calling/campaigns/{}", self.ids.0["campaign"]),
            format!("/api/appointments/{}", self.ids.0["appointment"]),
        ] {
            all.insert(path.clone(), self.owner.api.get(&path).await.expect(200));
        }
        all
    }
}

impl Member {
    /// Waits until the agent's manual text is indexed, so that later looks at it are the same.
    async fn learned_text(&self, agent: &str) {
        eventually("the text is learned", SOON, || async {
            let sources = self.api.list(&format!("/api/agents/{agent}/sources")).await;
            sources.iter().all(|source| source["status"] == "completed").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_call_answers_a_stranger_as_if_the_tenants_ids_did_not_exist() {
    let server = Server::start_with(&[("COLLOQUY_LIMITS__LOGIN_PER_ADDRESS_PER_MINUTE", "1000")]).await;
    let tenant = Tenant::found(&server, "Oak", MARKER).await;
    let stranger = Tenant::found(&server, "Elm", "elm").await;
    let before = tenant.everything().await;
    assert!(
        before.values().filter(|value| value.to_string().contains(MARKER)).count() > 8,
        "the tenant's own answers show its marker"
    );
    let (console, visitor) = (&stranger.owner.api, stranger.visitor.api());
    let made_up = Ids::made_up();
    let mut tried = 0;
    let mut wrong = Vec::new();
    for call in calls(&server).await {
        if call.is(&PUBLIC) && call.name() != "post /api/auth/switch"
            || call.is(&SOCKETS)
            || call.path == "/api/chat"
            || call.path == "/api/chat/visits"
        {
            continue;
        }
        let api = if call.of_visitors() { &visitor } else { console };
        if !call.has_ids() || call.path.starts_with("/api/templates") {
            // Nothing to put an id in: whatever it lists must be the stranger's own.
            if call.method == "get" && !call.path.starts_with("/api/templates") {
                note(&mut wrong, &call, &send(&call, api, &stranger.ids).await, None);
            }
            continue;
        }
        tried += 1;
        let real = send(&call, api, &tenant.ids).await;
        let fake = send(&call, api, &made_up).await;
        note(&mut wrong, &call, &real, Some(&fake));
        // With the stranger's own agent and the tenant's id below it.
        if call.path.contains("/agents/{id}/") && call.path.matches('{').count() > 1 {
            let mut mixed = tenant.ids.clone();
            mixed.0.insert("agent", stranger.ids.0["agent"].clone());
            let mut mixed_fake = made_up.clone();
            mixed_fake.0.insert("agent", stranger.ids.0["agent"].clone());
            if !call.path.contains("/versions/") {
                note(&mut wrong, &call, &send(&call, api, &mixed).await, Some(&send(&call, api, &mixed_fake).await));
            }
        }
    }
    assert!(tried > 30, "only {tried} calls take an id");
    // Erasures that the stranger asked for run in their own organization only.
    eventually("the stranger's erasures have ended", SOON, || async {
        let own =
            stranger.owner.api.get(&format!("/api/privacy/erasures/{}", stranger.ids.0["erasure"])).await.expect(200);
        (own["status"] == "completed").then_some(())
    })
    .await;
    for (path, value) in tenant.everything().await {
        if value != before[&path] {
            wrong.push(format!("a stranger changed what {path} shows: {} became {value}", before[&path]));
        }
    }
    assert!(wrong.is_empty(), "{} leaks:\n{}", wrong.len(), wrong.join("\n"));
}

/// Sends a call with these ids everywhere.
async fn send(call: &Call, api: &Api, ids: &Ids) -> Answer {
    api.call(&call.method.to_uppercase(), &call.filled(ids), body(call, ids).as_ref()).await
}

/// Notes what is wrong with an answer to a stranger, and how it differs from the answer for ids that do not exist.
fn note(wrong: &mut Vec<String>, call: &Call, real: &Answer, fake: Option<&Answer>) {
    let name = call.name();
    if real.text.contains(MARKER) {
        wrong.push(format!("{name} shows the tenant's data: {}", real.text));
    }
    if real.status >= 500 {
        wrong.push(format!("{name} fails with {}: {}", real.status, real.text));
    }
    let Some(fake) = fake else { return };
    if real.status != fake.status
        || real.body["code"] != fake.body["code"]
        || real.body["detail"] != fake.body["detail"] && !real.text.contains(FAKE) && !fake.text.contains(FAKE)
    {
        wrong.push(format!(
            "{name} tells that the id exists: {} {} for the tenant's, {} {} for one made up",
            real.status, real.text, fake.status, fake.text
        ));
    }
    let in_path = call.path.contains('{');
    let due = if call.is(&["/api/admin/", "/api/ops/"]) { 403 } else { 404 };
    if in_path && real.status != due {
        wrong.push(format!("{name} answers {} instead of {due}: {}", real.status, real.text));
    }
}

#[tokio::test]
async fn a_viewer_changes_nothing_and_nobody_calls_without_credentials() {
    let server = Server::start().await;
    let tenant = Tenant::found(&server, "Oak", MARKER).await;
    let before = tenant.everything().await;
    let mut wrong = Vec::new();
    for call in calls(&server).await {
        if call.is(&PUBLIC) || call.is(&SOCKETS) {
            continue;
        }
        let path = call.filled(&tenant.ids);
        let method = call.method.to_uppercase();
        let body = body(&call, &tenant.ids);
        let open_to_all = call.name() == "post /api/team/invitations/decline"
            || call.path.starts_with("/api/templates")
            || call.path == "/api/chat/visits";
        if !open_to_all {
            let nobody = server.api().call(&method, &path, body.as_ref()).await;
            if nobody.status != 401 || nobody.text.contains(MARKER) {
                wrong.push(format!("{} without credentials: {} {}", call.name(), nobody.status, nobody.text));
            }
        }
        let may = VIEWERS_MAY.iter().any(|(name, _)| *name == call.name());
        if call.method == "get" || call.of_visitors() || may {
            continue;
        }
        let viewer = tenant.viewer.api.call(&method, &path, body.as_ref()).await;
        if !matches!(viewer.status, 403 | 404) {
            wrong.push(format!("{} by a viewer: {} {}", call.name(), viewer.status, viewer.text));
        }
    }
    for (path, value) in tenant.everything().await {
        if value != before[&path] {
            wrong.push(format!("a viewer changed what {path} shows: {} became {value}", before[&path]));
        }
    }
    assert!(wrong.is_empty(), "{} calls are too open:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_key_opens_what_its_role_and_agent_allow_until_it_is_revoked() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let (mine, other) = (
        text(&owner.agent(json!({ "vertical": "home_services" })).await, "id"),
        text(&owner.agent(json!({ "vertical": "legal" })).await, "id"),
    );
    let key = |body: Value| {
        let owner = owner.clone();
        async move {
            let made = owner.api.post("/api/api-keys", body).await.expect(201);
            (text(&made, "id"), text(&made, "key"))
        }
    };
    let (id, viewer) = key(json!({ "name": "reader", "kind": "secret", "role": "viewer" })).await;
    let listed = owner.api.get("/api/api-keys").await.expect(200);
    assert!(
        !listed.to_string().contains(&viewer) && listed.to_string().contains(&id),
        "a list never shows a secret: {listed}"
    );
    let reader = server.api().bearer(&viewer);
    reader.get("/api/agents").await.expect(200);
    reader.post("/api/agents", json!({ "vertical": "custom" })).await.refused(403);
    reader.post("/api/api-keys", json!({ "name": "x", "kind": "secret", "role": "owner" })).await.refused(403);

    let (_, bound) = key(json!({ "name": "bound", "kind": "secret", "role": "manager", "agent_id": mine })).await;
    let bound = server.api().bearer(&bound);
    bound.get(&format!("/api/agents/{mine}")).await.expect(200);
    bound.get(&format!("/api/agents/{other}")).await.refused(404);
    bound.patch(&format!("/api/agents/{other}"), json!({ "name": "x" })).await.refused(404);
    let agents = bound.list("/api/agents").await;
    assert!(agents.iter().all(|agent| agent["id"] == json!(mine)), "a key of one agent lists one agent: {agents:?}");
    let mut talk = Visitor::new(&server, &other);
    talk.say("Do you offer a free consultation?").await;
    bound.get(&format!("/api/conversations/{}", talk.talk())).await.refused(404);
    assert!(bound.list("/api/conversations").await.is_empty());

    // What belongs to the whole organization is not for a key that speaks for one agent, whatever its role.
    let (_, bound_admin) =
        key(json!({ "name": "bound admin", "kind": "secret", "role": "admin", "agent_id": mine })).await;
    let bound_admin = server.api().bearer(&bound_admin);
    let account = json!({ "account_sid": "AC00000000000000000000000000000077", "auth_token": "t".repeat(32) });
    let number = json!({ "number": "+14155550100", "provider": "simulated", "agent_id": mine });
    for (path, body) in [
        ("/api/integrations/simulated/connect", &account),
        ("/api/integrations/simulated/check", &json!({})),
        ("/api/voice/numbers", &number),
    ] {
        bound_admin.post(path, body.clone()).await.refused(403);
    }
    bound_admin.delete("/api/integrations/simulated/disconnect").await.refused(403);
    for path in ["/api/dnc", "/api/consents", "/api/team/members", "/api/team/invitations"] {
        bound_admin.get(path).await.refused(403);
    }
    let entry = json!({ "channel": "phone", "address": "+14155550123", "reason": "asked on the phone" });
    let entry = text(&bound_admin.post("/api/dnc", entry).await.expect(201), "id");
    bound_admin.delete(&format!("/api/dnc/{entry}")).await.refused(403);
    bound_admin.delete("/api/voice/release-number?number=14155550100").await.refused(403);
    let call = json!({ "agent_id": other, "to": "+14155552671" });
    bound_admin.post("/api/voice/calls", call).await.refused(422);
    let campaign = |agent: &str| json!({ "name": "n", "agent_id": agent });
    bound_admin.post("/api/calling/campaigns", campaign(&other)).await.refused(422);
    let theirs = text(&owner.api.post("/api/calling/campaigns", campaign(&other)).await.expect(201), "id");
    let own = text(&bound_admin.post("/api/calling/campaigns", campaign(&mine)).await.expect(201), "id");
    let moved = json!({ "agent_id": other });
    bound_admin.patch(&format!("/api/calling/campaigns/{own}"), moved).await.refused(422);
    bound_admin.patch(&format!("/api/calling/campaigns/{theirs}"), json!({ "name": "x" })).await.refused(404);
    for what in ["targets", "calls", "stats"] {
        bound_admin.get(&format!("/api/calling/campaigns/{theirs}/{what}")).await.refused(404);
    }
    bound_admin.post(&format!("/api/calling/campaigns/{theirs}/start"), json!({})).await.refused(404);
    let listed = bound_admin.list("/api/calling/campaigns").await;
    assert!(listed.iter().all(|one| one["agent_id"] == json!(mine)), "{listed:?}");

    let (_, publishable) = key(json!({ "name": "page", "kind": "publishable", "agent_id": mine })).await;
    assert!(
        matches!(server.api().bearer(&publishable).get("/api/agents").await.status, 401 | 403),
        "a publishable key opens no console call"
    );
    for bad in [&viewer[..viewer.len() - 2], "cq_sk_", "cq_sk_a_b_c", "x"] {
        server.api().bearer(bad).get("/api/agents").await.refused(401);
    }
    let mut live = Socket::live(owner.api.address, &viewer).await;
    live.send(&json!({ "type": "subscribe", "topic": "conversations" })).await;
    live.until("its snapshot", |frame| frame["type"] == "snapshot").await;
    owner.api.delete(&format!("/api/api-keys/{id}")).await.expect(204);
    reader.get("/api/agents").await.refused(401);
    // Its live socket hears of it at once, not when sessions are looked at again.
    live.until("the refusal", |frame| frame["type"] == "error").await;
    assert!(live.try_next().await.expect("the end of the socket").is_none(), "it goes on: {:?}", live.seen.last());
    // Neither kind of token passes as the other.
    let visitor_token = talk.token.clone().expect("a token");
    server.api().bearer(&visitor_token).get("/api/agents").await.refused(401);
    server.api().visitor(&owner.token).get("/api/chat/conversations").await.refused(401);
}

#[tokio::test]
async fn roles_cannot_raise_themselves_and_the_last_owner_stays() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let admin = owner.invite(&server, "admin", "Ada").await;
    let rep = owner.invite(&server, "rep", "Rita").await;
    for (who, role) in [(&admin, "owner"), (&rep, "manager")] {
        let path = format!("/api/team/members/{}", who.user);
        who.api.patch(&path, json!({ "role": role })).await.refused(403);
    }
    admin.api.patch(&format!("/api/team/members/{}", owner.user), json!({ "role": "viewer" })).await.refused(403);
    admin.api.post("/api/team/invitations", json!({ "email": "x@example.com", "role": "owner" })).await.refused(403);
    let last = owner.api.patch(&format!("/api/team/members/{}", owner.user), json!({ "role": "viewer" })).await;
    assert_eq!(last.status, 409, "{}", last.text);
    let last = owner.api.delete(&format!("/api/team/members/{}", owner.user)).await;
    assert_eq!(last.status, 409, "{}", last.text);
    // Who is removed is out at once, with the same token.
    rep.api.get("/api/agents").await.expect(200);
    owner.api.delete(&format!("/api/team/members/{}", rep.user)).await.expect(204);
    rep.api.get("/api/agents").await.refused(401);
    // An invitation works once.
    let invitation = owner.api.post("/api/team/invitations", json!({ "role": "rep" })).await.expect(201);
    let body = |email: &str| json!({ "email": email, "password": PASSWORD, "name": "N", "invitation_code": invitation["code"] });
    server.api().post("/api/auth/signup", body("first@example.com")).await.expect(201);
    let second = server.api().post("/api/auth/signup", body("second@example.com")).await;
    assert!(matches!(second.status, 409 | 422), "{} {}", second.status, second.text);
}

#[tokio::test]
async fn sockets_show_a_stranger_nothing() {
    let server = Server::start().await;
    let tenant = Tenant::found(&server, "Oak", MARKER).await;
    let stranger = Tenant::found(&server, "Elm", "elm").await;
    let mut live = Socket::live(server.http, &stranger.owner.token).await;
    for topic in [format!("conversation:{}", tenant.ids.0["conversation"]), format!("agent:{}", tenant.ids.0["agent"])]
    {
        live.send(&json!({ "type": "subscribe", "topic": topic })).await;
        let answer = live.until("an answer to the subscription", |frame| frame["topic"] == json!(topic)).await;
        assert_eq!(answer["type"], "error", "{answer}");
    }
    for topic in ["overview", "conversations", "leads"] {
        live.send(&json!({ "type": "subscribe", "topic": topic })).await;
        live.until("the snapshot", |frame| frame["type"] == "snapshot" && frame["topic"] == json!(topic)).await;
    }
    // Something happens at the tenant, then at the stranger's: only the second is told.
    let mut talk = Visitor::new(&server, &tenant.ids.0["agent"]);
    talk.say(&format!("hello {MARKER}")).await;
    let mut own = Visitor::new(&server, &stranger.ids.0["agent"]);
    own.say("hello from elm").await;
    live.until("the stranger's own conversation", |frame| {
        frame["type"] == "delta" && frame.to_string().contains(own.talk())
    })
    .await;
    assert!(!format!("{:?}", live.seen).contains(MARKER) && !format!("{:?}", live.seen).contains(talk.talk()));

    // A socket that does not sign in is shown nothing until it is closed.
    let visitor = stranger.visitor.token.clone().expect("a token");
    let http = server.http;
    let refused = ["", "x", visitor.as_str()].map(|token| async move {
        let mut socket = Socket::live(http, token).await;
        socket.send(&json!({ "type": "subscribe", "topic": "overview" })).await;
        while let Ok(Some(frame)) = socket.try_next().await {
            assert_ne!(frame["type"], "snapshot", "{frame}");
        }
    });
    futures::future::join_all(refused).await;
    // The chat socket: another's conversation with one's own token, and with none.
    for token in [json!(stranger.visitor.token), Value::Null] {
        let hello = json!({ "visitor_id": stranger.visitor.id, "visitor_token": token, "conversation_id": tenant.ids.0["conversation"], "last_seq": 0 });
        if let Ok((mut socket, welcome)) = Socket::chat(server.http, &tenant.ids.0["agent"], hello).await {
            assert_ne!(welcome["conversation_id"], json!(tenant.ids.0["conversation"]), "{welcome}");
            socket.send(&json!({ "type": "message", "client_message_id": random_id(), "text": "who is there" })).await;
            socket.until("an answer", |frame| frame["type"] == "message" && frame["role"] == "assistant").await;
            let seen =
                format!("{:?}", socket.seen[1..].iter().filter(|frame| frame["role"] == "user").collect::<Vec<_>>());
            assert!(!seen.contains(MARKER), "{seen}");
        }
    }
}
