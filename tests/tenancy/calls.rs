//! Every call of `/openapi.json`, with ids for its parameters and a body it accepts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::people::text;
use crate::support::{Server, random_id};

/// What may be called, as the description of the interface has it.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Paths that belong to nobody: sign-in, files of the widget, descriptions of the interface. Those with a tenant's data have tests of their own.
pub(crate) const PUBLIC: [&str; 18] = [
    "/api/auth/",
    "/widget/",
    "/demo/",
    "/docs",
    "/openapi.json",
    "/schemas/",
    "/dev/",
    "/health",
    "/api/cron/",
    // Signed by providers: tests/messages.rs.
    "/api/messages/",
    // The same: tests/calls.rs, tests/campaigns.rs.
    "/api/voice/twilio/",
    // And this: tests/retell.rs.
    "/api/voice/retell/webhook",
    // The same: tests/vapi.rs.
    "/api/voice/vapi/",
    "/assets/",
    // Opened by the key in its address, as a socket: tests/calls.rs.
    "/llm-websocket/",
    // Opened by a key in their address: tests/appointments.rs.
    "/api/appointments/{id}/invite.ics",
    "/api/calendars/{id}/feed.ics",
    // By a signed link: tests/attachments.rs.
    "/api/files/",
];

/// WebSockets: tested on their own.
pub(crate) const SOCKETS: [&str; 4] = ["/api/chat/socket", "/api/live", "/api/voice/browser", "/api/voice/retell/llm/"];

/// One call of the interface.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    query: Vec<String>,
    has_body: bool,
}

impl Call {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn is(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.path.starts_with(prefix))
    }

    /// Calls of visitors, who have a visitor token instead of a login.
    pub(crate) fn of_visitors(&self) -> bool {
        self.path.starts_with("/api/chat") || self.path == "/api/leads/capture"
    }

    pub(crate) fn has_ids(&self) -> bool {
        self.path.contains('{')
            || self.query.iter().any(|name| name.ends_with("_id"))
            || body(self, &Ids::made_up()).is_some_and(|body| body.to_string().contains(FAKE))
    }

    /// The path with ids in every parameter, also in those of the query.
    pub(crate) fn filled(&self, ids: &Ids) -> String {
        let mut before = "";
        let parts: Vec<String> = self
            .path
            .split('/')
            .map(|part| {
                let filled = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                    Some(_) => ids.of(before, self),
                    None => part.to_owned(),
                };
                before = part;
                filled
            })
            .collect();
        let query: Vec<String> = self
            .query
            .iter()
            .filter(|name| name.ends_with("_id"))
            .map(|name| format!("{name}={}", ids.named(name, self)))
            .collect();
        let query = if self.path.ends_with("/replay") { vec!["at=1".to_owned()] } else { query };
        let path = parts.join("/");
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
    }
}

/// Part of every id that does not exist.
pub(crate) const FAKE: &str = "0123456789abcdef0123";

/// One id of each kind.
#[derive(Clone)]
pub(crate) struct Ids(pub(crate) BTreeMap<&'static str, String>);

impl Ids {
    /// Ids of the same shape that nobody has.
    pub(crate) fn made_up() -> Self {
        let kinds = [
            "agent",
            "source",
            "faq",
            "version",
            "conversation",
            "message",
            "lead",
            "member",
            "invitation",
            "api_key",
            "erasure",
            "tenant",
            "template",
            "visitor",
            "calendar",
            "appointment",
            "provider",
            "integration",
            "number",
            "do_not_contact",
            "campaign",
            "call",
        ];
        let all = kinds.map(|kind| {
            (kind, if kind == "version" { "1".to_owned() } else { format!("{FAKE}{}", &random_id()[20..]) })
        });
        Self(all.into())
    }

    /// The id for the parameter that follows this part of a path.
    pub(crate) fn of(&self, before: &str, call: &Call) -> String {
        let kind = match before {
            "agents" => "agent",
            "sources" => "source",
            "faqs" => "faq",
            "versions" => "version",
            "conversations" | "chat" => "conversation",
            "messages" | "attachments" => "message",
            "leads" => "lead",
            "members" => "member",
            "invitations" => "invitation",
            "api-keys" => "api_key",
            "erasures" => "erasure",
            "tenants" => "tenant",
            "templates" => "template",
            "calendars" => "calendar",
            "appointments" => "appointment",
            "integrations" => "integration",
            "numbers" => "number",
            "calls" => "call",
            "dnc" => "do_not_contact",
            "campaigns" => "campaign",
            // Nobody here administers the platform: what the ids name does not matter.
            "nodes" | "shards" | "moves" | "entities" | "{kind}" => "agent",
            _ => panic!("teach this test which id follows `{before}` in {}", call.name()),
        };
        self.0[kind].clone()
    }

    pub(crate) fn named(&self, name: &str, call: &Call) -> String {
        let kind = name.strip_suffix("_id").unwrap_or(name);
        self.0.get(kind).unwrap_or_else(|| panic!("teach this test which id `{name}` is in {}", call.name())).clone()
    }
}

/// A body that the call accepts, with a tenant's ids wherever the contract has room for one.
pub(crate) fn body(call: &Call, ids: &Ids) -> Option<Value> {
    let id = |kind: &str| json!(ids.0[kind]);
    let body = match call.name().as_str() {
        "post /api/agents" => json!({ "vertical": "custom", "status": "draft", "name": "mine" }),
        "patch /api/agents/{id}" => json!({ "name": "taken over" }),
        "post /api/agents/{id}/scrape" => json!({ "url": "http://127.0.0.1:9/" }),
        "post /api/scrape" => json!({ "agent_id": id("agent"), "url": "http://127.0.0.1:9/" }),
        "post /api/agents/{id}/sources" | "post /api/platform/knowledge" => {
            json!({ "type": "manual_text", "name": "n", "content": "text of a stranger" })
        }
        "patch /api/agents/{id}/sources/{sid}" => json!({ "name": "taken over" }),
        "post /api/agents/{id}/retrain" => json!({ "source_id": id("source") }),
        "post /api/embed" => json!({ "agent_id": id("agent"), "source_id": id("source") }),
        "post /api/agents/{id}/faqs" => json!({ "question": "Whose?", "answer": "Mine." }),
        "patch /api/agents/{id}/faqs/{fid}" => json!({ "answer": "taken over" }),
        "post /api/agents/{id}/search" => json!({ "query": "anything" }),
        "patch /api/conversations/{id}" => json!({ "status": "resolved" }),
        "post /api/conversations/{id}/messages" | "post /api/conversations/{id}/whisper" => {
            json!({ "content": "from a stranger" })
        }
        "post /api/conversations/{id}/read" => json!({ "seq": 1 }),
        "post /api/conversations/{id}/merge" => json!({ "into": id("conversation") }),
        "post /api/integrations/{provider}/connect" => json!({ "account_sid": "AC1", "auth_token": "t" }),
        "post /api/ai/realtime-token" => json!({ "agent_id": id("agent") }),
        "post /api/voice/numbers" => {
            json!({ "number": "+14155550100", "provider": "twilio", "agent_id": id("agent") })
        }
        "post /api/voice/provision-number" => json!({ "agent_id": id("agent"), "country": "US" }),
        "post /api/voice/numbers/{id}/test" => json!({ "to": "+12175550199" }),
        "patch /api/voice/numbers/{id}" => json!({ "agent_id": id("agent") }),
        "post /api/voice/calls/{id}/transfer" => json!({ "to": "+12175550199" }),
        "post /api/dnc" => json!({ "channel": "phone", "address": "+12175550199", "reason": "by a stranger" }),
        "post /api/consents" => {
            json!({ "kind": "calls", "address": "+12175550199", "text": "yes", "source": "a stranger" })
        }
        "post /api/leads/{id}/follow-up" => json!({ "channel": "email", "content": "from a stranger" }),
        "post /api/chat/{conversation_id}/continue" => json!({ "channel": "sms" }),
        "post /api/conversations/{id}/fork" => json!({ "at": 1 }),
        "patch /api/leads/{id}" => json!({ "status": "lost", "assigned_to": id("member") }),
        "post /api/leads/capture" => {
            json!({ "agent_id": id("agent"), "conversation_id": id("conversation"), "fields": { "name": "n" } })
        }
        "post /api/chat" => {
            json!({ "agent_id": id("agent"), "conversation_id": id("conversation"), "visitor_id": id("visitor"), "message": "hello" })
        }
        "post /api/chat/visits" => {
            json!({ "agent_id": id("agent"), "visitor_id": id("visitor"), "page_url": "https://a.example/" })
        }
        "post /api/chat/{conversation_id}/rating" => json!({ "rating": 1 }),
        "post /api/chat/{conversation_id}/messages/{id}/feedback" => json!({ "thumbs_up": false }),
        "patch /api/me/preferences" => json!({ "theme": "dark" }),
        "post /api/organizations" => json!({ "name": "Another one" }),
        "patch /api/organization" => json!({ "phone": "+12175550100" }),
        "patch /api/team/members/{id}" => json!({ "role": "viewer" }),
        "post /api/team/invitations" => json!({ "email": "someone@example.com", "role": "viewer" }),
        "post /api/team/invitations/accept" | "post /api/team/invitations/decline" => {
            json!({ "code": format!("{}.nothing", ids.0["tenant"]) })
        }
        "post /api/api-keys" => {
            json!({ "name": "k", "kind": "secret", "role": "viewer", "agent_id": id("agent") })
        }
        "post /api/auth/switch" => json!({ "organization_id": id("tenant") }),
        "post /api/privacy/erasures" => json!({ "visitor_id": id("visitor") }),
        "post /api/ops/shards/{id}/move" => json!({ "to": "n2" }),
        "post /api/ops/rebalance" => json!({ "dry_run": true }),
        "post /api/admin/tenants" => json!({ "name": "n", "owner_email": "someone@example.com" }),
        "patch /api/admin/tenants/{id}" => json!({ "suspended": "by a stranger" }),
        "post /api/calendars" => json!({ "name": "mine", "agent_ids": [id("agent")] }),
        "patch /api/calendars/{id}" => json!({ "name": "taken over" }),
        "post /api/appointments" => {
            json!({ "calendar_id": id("calendar"), "agent_id": id("agent"), "conversation_id": id("conversation"), "starts_at": "2030-01-07T15:00:00Z" })
        }
        "post /api/appointments/holds" => {
            json!({ "calendar_id": id("calendar"), "conversation_id": id("conversation"), "starts_at": "2030-01-07T15:00:00Z" })
        }
        "patch /api/appointments/{id}" => json!({ "status": "canceled" }),
        "post /api/calling/campaigns" => json!({ "name": "mine", "agent_id": id("agent") }),
        "patch /api/calling/campaigns/{id}" => json!({ "name": "taken over" }),
        "post /api/calling/campaigns/{id}/targets" => json!({ "from_leads": { "filter": {} } }),
        "post /api/voice/calls" => json!({ "agent_id": id("agent"), "to": "+14155552671" }),
        "post /api/notifications/read" => json!({ "all": true }),
        // No file that is taken.
        "post /api/conversations/{id}/attachments" => json!({}),
        other if call.has_body && !call.is(&PUBLIC) => panic!("teach this test a body for {other}"),
        _ => return None,
    };
    Some(body)
}

/// Every call that the server says it has.
pub(crate) async fn calls(server: &Server) -> Vec<Call> {
    let description = server.api().get("/openapi.json").await.expect(200);
    let mut calls = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in METHODS {
            let Some(call) = methods.get(method) else {
                continue;
            };
            let shared = methods["parameters"].as_array().into_iter().flatten();
            let query = call["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(shared)
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| text(parameter, "name"))
                .collect();
            calls.push(Call {
                method: method.to_owned(),
                path: path.clone(),
                query,
                has_body: call["requestBody"].is_object(),
            });
        }
    }
    assert!(calls.len() > 50, "the description lists the interface: {} calls", calls.len());
    calls
}
