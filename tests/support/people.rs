//! The people of the tests: an owner who signs up and trains agents, and visitors who chat.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, Api};
use super::{Server, eventually, random_id};

/// The password of every login of the tests.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// A crawl of a small site.
pub(crate) const LEARNED_WITHIN: Duration = Duration::from_secs(60);
/// A projection, an alert or a push: what follows an answer without being waited for.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// A signed-in member of an organization.
#[derive(Clone)]
pub(crate) struct Member {
    /// Acts with the member's token.
    pub(crate) api: Api,
    /// The login.
    pub(crate) email: String,
    /// The access token.
    pub(crate) token: String,
    /// The refresh token.
    pub(crate) refresh_token: String,
    /// The organization's id.
    pub(crate) organization: String,
    /// The person's id.
    pub(crate) user: String,
}

impl Member {
    /// Signs up with a new organization of this name.
    pub(crate) async fn sign_up(server: &Server, organization: &str) -> Self {
        let email = format!("owner-{}@example.com", random_id());
        let body = json!({
            "email": email, "password": PASSWORD, "name": "Olive Owner",
            "organization": { "name": organization, "vertical": "home_services", "timezone": "America/New_York" },
        });
        Self::of_session(server, &email, &server.api().post("/api/auth/signup", body).await.expect(201))
    }

    /// Invites a person of this role, who signs up.
    pub(crate) async fn invite(&self, server: &Server, role: &str, name: &str) -> Self {
        let email = format!("{role}-{}@example.com", random_id());
        let invitation =
            self.api.post("/api/team/invitations", json!({ "email": email, "role": role })).await.expect(201);
        let code = invitation["code"]
            .as_str()
            .unwrap_or_else(|| panic!("an invitation is answered with its code: {invitation}"));
        let body = json!({ "email": email, "password": PASSWORD, "name": name, "invitation_code": code });
        let session = server.api().post("/api/auth/signup", body).await.expect(201);
        // Whoever invites sees the code as well, so it proves nothing about the address.
        assert_eq!(session["user"]["email_verified"], false, "{session}");
        Self::of_session(server, &email, &session)
    }

    fn of_session(server: &Server, email: &str, session: &Value) -> Self {
        let token = text(session, "access_token");
        Self {
            api: server.api().bearer(&token),
            email: email.to_owned(),
            refresh_token: text(session, "refresh_token"),
            organization: text(&session["organization"], "id"),
            user: text(&session["user"], "id"),
            token,
        }
    }

    /// The same person at another frontend.
    pub(crate) fn at(&self, server: &Server) -> Self {
        Self { api: server.api().bearer(&self.token), ..self.clone() }
    }

    /// Creates an agent and returns it.
    pub(crate) async fn agent(&self, body: Value) -> Value {
        self.api.post("/api/agents", body).await.expect(201)
    }

    /// Creates an agent that has learned a site, and returns its id.
    pub(crate) async fn trained(&self, vertical: &str, website: &str, more: Value) -> String {
        let mut body = json!({ "vertical": vertical, "website_url": website });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let agent = self.agent(body).await;
        let id = text(&agent, "id");
        self.learned(&id, LEARNED_WITHIN).await;
        let agent = self.api.get(&format!("/api/agents/{id}")).await.expect(200);
        assert_eq!(agent["status"], "active", "an agent whose crawl is completed can answer: {agent}");
        id
    }

    /// Waits until the agent's last crawl is completed and returns its status.
    pub(crate) async fn learned(&self, agent: &str, within: Duration) -> Value {
        let path = format!("/api/agents/{agent}/scrape/status");
        let begun = Instant::now();
        let mut told = Instant::now();
        loop {
            let status = self.api.get(&path).await.expect(200);
            match status["status"].as_str() {
                Some("completed") => return status,
                Some("pending" | "in_progress") => {}
                Some(_) | None => panic!("the crawl did not succeed: {status}"),
            }
            assert!(begun.elapsed() < within, "the crawl is not completed after {within:?}: {status}");
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!(
                    "crawl: {} of {} pages, {} chunks after {:?}",
                    status["pages_done"],
                    status["pages_found"],
                    status["chunks"],
                    begun.elapsed()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Every event of a conversation's journal, in order.
    pub(crate) async fn journal(&self, conversation: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |event| number(event, "seq"));
            let page =
                self.api.get(&format!("/api/conversations/{conversation}/journal?after={after}")).await.expect(200);
            let items = page["items"].as_array().unwrap_or_else(|| panic!("a journal is a list: {page}"));
            if items.is_empty() {
                return all;
            }
            assert!(
                items.iter().all(|event| number(event, "seq") > after),
                "the journal after {after} starts above it"
            );
            all.extend(items.iter().cloned());
        }
    }

    /// Waits until the numbers of the last day have these values.
    pub(crate) async fn counted(&self, wanted: Value) -> Value {
        let begun = Instant::now();
        loop {
            let seen = self.api.get("/api/analytics/overview?window=24h").await.expect(200);
            if wanted.as_object().into_iter().flatten().all(|(card, value)| seen[card] == *value) {
                return seen;
            }
            assert!(begun.elapsed() < SOON, "{wanted} is not counted after {SOON:?}: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A conversation as the console shows it.
    pub(crate) async fn conversation(&self, id: &str) -> Value {
        self.api.get(&format!("/api/conversations/{id}")).await.expect(200)
    }

    /// Waits until no turn of the conversation is open, and returns it.
    pub(crate) async fn settled(&self, id: &str, within: Duration) -> Value {
        eventually(&format!("conversation {id} has every message answered"), within, || async {
            let shown = self.conversation(id).await;
            let last = shown["messages"]
                .as_array()
                .and_then(|all| all.iter().rev().find(|message| message["role"] != "system"))?;
            (last["role"] != "user").then_some(shown)
        })
        .await
    }
}

/// Somebody on a website.
pub(crate) struct Visitor {
    server: Api,
    /// The agent they talk to.
    pub(crate) agent: String,
    /// Their own id.
    pub(crate) id: String,
    /// What opens their conversations.
    pub(crate) token: Option<String>,
    /// The conversation that goes on.
    pub(crate) conversation: Option<String>,
}

impl Visitor {
    /// A visitor who has not said anything.
    pub(crate) fn new(server: &Server, agent: &str) -> Self {
        Self { server: server.api(), agent: agent.to_owned(), id: random_id(), token: None, conversation: None }
    }

    /// Acts with the visitor's token, if there is one.
    pub(crate) fn api(&self) -> Api {
        self.token.as_ref().map_or_else(|| self.server.clone(), |token| self.server.visitor(token))
    }

    /// The body of a message.
    pub(crate) fn body(&self, message: &str, client_message_id: &str) -> Value {
        let mut body = json!({
            "agent_id": self.agent, "visitor_id": self.id, "message": message, "client_message_id": client_message_id,
            "metadata": { "page_url": "https://oak-plumbing.example/prices.html", "locale": "en-US" },
        });
        if let Some(conversation) = &self.conversation {
            body["conversation_id"] = json!(conversation);
        }
        body
    }

    /// Says something and returns the answer.
    pub(crate) async fn say(&mut self, message: &str) -> Value {
        let body = self.body(message, &random_id());
        let answer = self.post(&body).await.expect(200);
        self.remember(&answer);
        answer
    }

    /// Sends a body as it is.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.api().call("POST", "/api/chat", Some(body)).await
    }

    /// Keeps what an answer says about the conversation.
    pub(crate) fn remember(&mut self, answer: &Value) {
        self.token = Some(text(answer, "visitor_token"));
        self.conversation = Some(text(answer, "conversation_id"));
    }

    /// The conversation's id.
    pub(crate) fn talk(&self) -> &str {
        self.conversation.as_deref().expect("a conversation")
    }

    /// The conversation as the visitor sees it.
    pub(crate) async fn history(&self) -> Value {
        self.api().get(&format!("/api/chat/history?conversation_id={}", self.talk())).await.expect(200)
    }
}

/// A text that must be there.
#[track_caller]
pub(crate) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}")).to_owned()
}

/// A whole number that must be there.
#[track_caller]
pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no whole number `{key}` in {value}"))
}

/// The rows of the development mailbox for one recipient, newest first.
pub(crate) async fn mailbox(server: &Server, to: &str) -> Vec<Value> {
    let listed = server.api().get("/dev/mailbox").await.expect(200);
    let all = listed["items"].as_array().unwrap_or_else(|| panic!("the mailbox is a list: {listed}"));
    all.iter().filter(|message| message["to"] == to).cloned().collect()
}
