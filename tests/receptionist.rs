//! Proves the first slice on the wire, as a customer's program sees it: from sign-up and a website's address to answers with sources, alerts, leads,
//! takeover, live numbers, replay and fork, and that all of it outlives `kill -9`.

mod support;

/// The parts of the proof.
mod receptionist {
    mod answers;
    mod journal;
    mod leads;
    mod live;
    mod visitors;
}

use serde_json::{Value, json};
use support::people::{Member, SOON, Visitor, number};
use support::screen::kind_of;
use support::site::Site;
use support::{Server, eventually, root};

const ALERT_PHONE: &str = "+12175550142";

/// A server, the plumber's site, its owner and an agent that has learned it.
struct Place {
    server: Server,
    site: Site,
    owner: Member,
    agent: String,
}

impl Place {
    async fn open() -> Self {
        let server = Server::start().await;
        let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
        let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
        let more = json!({
            "variables": { "business_name": "Oak Street Plumbing" },
            "escalation_email": owner.email, "escalation_phone": ALERT_PHONE,
        });
        let agent = owner.trained("home_services", &site.url("/"), more).await;
        Self { server, site, owner, agent }
    }

    fn visitor(&self) -> Visitor {
        Visitor::new(&self.server, &self.agent)
    }

    async fn agent_view(&self) -> Value {
        self.owner.api.get(&format!("/api/agents/{}", self.agent)).await.expect(200)
    }
}

/// Waits until two looks at the conversation, with its alerts settled, show the same number.
async fn quiet(place: &Place, conversation: &str) -> Value {
    let mut last = 0;
    eventually("the conversation is quiet", SOON, async || {
        let shown = place.owner.conversation(conversation).await;
        let seq = number(&shown["conversation"], "seq");
        let journal = place.owner.journal(conversation).await;
        let count = |kind: &str| journal.iter().filter(|event| kind_of(event) == kind).count();
        let ends = ["alert_sent", "alert_recorded", "alert_failed"];
        let settled = count("alert_queued") == ends.into_iter().map(count).sum::<usize>();
        let same = std::mem::replace(&mut last, seq) == seq;
        (settled && same).then_some(shown)
    })
    .await
}
