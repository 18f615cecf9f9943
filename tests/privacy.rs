//! Proves that an erased person is gone: from every file the server keeps, from every journal once it is opened, and from everything it answers.

mod support;

use std::path::Path;

use colloquy_cluster::EntityKey;
use colloquy_cluster::seal::{Sealer, open_records, open_snapshot};
use serde_json::{Value, json};
use support::people::{Member, SOON, Visitor, mailbox, text};
use support::site::Site;
use support::socket::Socket;
use support::{Server, eventually, random_id, root};

/// Words that only the person uses.
struct Words {
    question: String,
    name: String,
    email: String,
    phone: String,
    page: String,
    feedback: String,
    detail: String,
    visitor: String,
    key: String,
}

impl Words {
    fn new() -> Self {
        let word = |stem: &str| format!("{stem}{}", &random_id()[..10]);
        Self {
            question: word("zanzibar"),
            name: word("Quillon"),
            email: format!("{}@wordsworth.example", word("mail")),
            phone: "217-555-0177".into(),
            page: word("landing"),
            feedback: word("grumble"),
            detail: word("hydrangea"),
            visitor: word("browser"),
            key: word("idempotent"),
        }
    }

    /// All of them, in the forms they may be kept in.
    fn all(&self) -> Vec<String> {
        let plain = [
            &self.question,
            &self.name,
            &self.email,
            &self.phone,
            &self.page,
            &self.feedback,
            &self.detail,
            &self.visitor,
            &self.key,
        ];
        let mut all: Vec<String> = plain.into_iter().map(|word| word.to_lowercase()).collect();
        all.extend(["2175550177".to_owned(), "(217) 555-0177".to_owned()]);
        all
    }

    #[track_caller]
    fn assert_absent(&self, from: &str, what: &str) {
        let from = from.to_lowercase();
        for word in self.all() {
            if let Some(at) = from.find(&word) {
                let around: String = from[..at].chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect();
                panic!("{what} still holds {word}: …{around}{word}…");
            }
        }
    }
}

/// Everything an organization's owner can read, by path.
async fn everything(owner: &Member, agent: &str, conversation: &str, lead: &str, fork: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let today = text(&json!({ "day": jiff::Timestamp::now().to_string()[..10] }), "day");
    for path in [
        "/api/me".to_owned(),
        "/api/organization".to_owned(),
        "/api/team".to_owned(),
        "/api/agents".to_owned(),
        format!("/api/agents/{agent}"),
        format!("/api/agents/{agent}/versions"),
        format!("/api/agents/{agent}/sources"),
        format!("/api/agents/{agent}/faqs"),
        format!("/api/agents/{agent}/scrape/status"),
        "/api/conversations?limit=200".to_owned(),
        format!("/api/conversations/{conversation}"),
        format!("/api/conversations/{conversation}/journal?after=0"),
        format!("/api/conversations/{conversation}/replay"),
        format!("/api/conversations/{fork}"),
        format!("/api/conversations/{fork}/journal?after=0"),
        "/api/leads?limit=200".to_owned(),
        format!("/api/leads/{lead}"),
        "/api/leads/export.csv".to_owned(),
        "/api/analytics/overview?window=30d".to_owned(),
        format!("/api/analytics/daily?from={today}&to={today}"),
        "/api/analytics/unanswered".to_owned(),
        format!("/api/analytics/unanswered?agent_id={agent}"),
        "/dev/mailbox".to_owned(),
    ] {
        let answer = owner.api.get(&path).await;
        all.push((path, answer.text));
    }
    for topic in ["overview".to_owned(), "conversations".to_owned(), "leads".to_owned(), format!("agent:{agent}")] {
        let mut live = Socket::live(owner.api.address, &owner.token).await;
        live.send(&json!({ "type": "subscribe", "topic": topic })).await;
        let wanted = topic.clone();
        let snapshot =
            live.until("a snapshot", move |frame| frame["type"] == "snapshot" && frame["topic"] == json!(wanted)).await;
        all.push((format!("live {topic}"), snapshot.to_string()));
        live.close().await;
    }
    all
}

#[tokio::test]
async fn an_erased_person_is_gone_from_every_file_every_journal_and_every_answer() {
    let mut server = Server::start().await;
    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let more = json!({
        "variables": { "business_name": "Oak Street Plumbing" },
        "escalation_email": owner.email, "escalation_phone": "+12175550142",
    });
    let agent = owner.trained("home_services", &site.url("/"), more).await;
    let words = Words::new();

    // Somebody else asks something that nobody can answer either: theirs stays.
    let mut other = Visitor::new(&server, &agent);
    other.say("What is the capital of Bystanderland?").await;

    // The person says their words wherever one can: in questions, a form, a rating, a thumb, the page's address, an idempotency key.
    let mut visitor = Visitor::new(&server, &agent);
    visitor.id.clone_from(&words.visitor);
    let mut first = visitor.body(&format!("What is the capital of {}?", words.question), &random_id());
    first["metadata"]["page_url"] = json!(format!("https://oak-plumbing.example/{}", words.page));
    first["metadata"]["referrer"] = json!(format!("https://search.example/?q={}", words.page));
    let answer = visitor.post(&first).await.expect(200);
    visitor.remember(&answer);
    visitor
        .say(&format!("My name is {} Ash, my number is {} and my e-mail is {}", words.name, words.phone, words.email))
        .await;
    let keyed = visitor.api().header("idempotency-key", &words.key);
    let repeated = visitor
        .body(&format!("Help, a pipe burst under the {} and the basement is flooding!", words.detail), &random_id());
    keyed.post("/api/chat", repeated.clone()).await.expect(200);
    let form = json!({
        "agent_id": agent, "conversation_id": visitor.talk(),
        "fields": {
            "name": format!("{} Ash", words.name), "phone": words.phone, "email": words.email,
            "address": format!("1 {} Lane, Springfield", words.detail), "service_type": "Plumbing", "urgency": "This week",
        },
    });
    let lead = text(&keyed.post("/api/leads/capture", form.clone()).await.expect(201), "id");
    let rating = json!({ "rating": 2, "feedback": format!("too much {}", words.feedback) });
    visitor.api().post(&format!("/api/chat/{}/rating", visitor.talk()), rating).await.ok();
    let history = visitor.history().await;
    let answered = history["messages"].as_array().or(history["items"].as_array()).expect("messages").iter();
    let answered = text(answered.clone().find(|message| message["role"] == "assistant").expect("an answer"), "id");
    let thumb = json!({ "thumbs_up": false, "feedback": format!("{} again", words.feedback) });
    visitor.api().post(&format!("/api/chat/{}/messages/{answered}/feedback", visitor.talk()), thumb).await.ok();

    // The same browser in a conversation that names nobody, and what the staff makes of it all.
    let mut again = Visitor::new(&server, &agent);
    again.id.clone_from(&words.visitor);
    again.token.clone_from(&visitor.token);
    again.say(&format!("And do you repair a {} by moonlight in Ruritania?", words.detail)).await;
    assert_ne!(again.talk(), visitor.talk());
    let talk = format!("/api/conversations/{}", visitor.talk());
    let staff = owner.api.header("idempotency-key", &words.key);
    owner.api.post(&format!("{talk}/takeover"), json!({})).await.ok();
    let reply = json!({ "content": format!("Dear {}, I am on my way.", words.name) });
    staff.post(&format!("{talk}/messages"), reply.clone()).await.ok();
    owner.api.post(&format!("{talk}/handback"), json!({})).await.ok();
    let note = json!({ "notes": format!("{} wants the {}", words.name, words.detail) });
    eventually("the lead can be worked on", SOON, || async {
        (owner.api.patch(&format!("/api/leads/{lead}"), note.clone()).await.status == 200).then_some(())
    })
    .await;
    let fork_body = json!({ "at": 1, "message": format!("And the {}?", words.detail) });
    let forked = owner.api.post(&format!("{talk}/fork"), fork_body).await.ok();
    let fork = text(&forked["conversation"], "id");

    // It is there to be found: what is looked for afterwards is seen before.
    eventually("the alert", SOON, || async {
        let mails = mailbox(&server, &owner.email).await;
        mails
            .iter()
            .any(|mail| {
                mail.to_string().to_lowercase().contains(&words.phone.replace('-', ""))
                    || mail.to_string().contains(&words.detail)
            })
            .then_some(())
    })
    .await;
    eventually("the questions", SOON, || async {
        let questions = owner.api.get("/api/analytics/unanswered").await.text;
        (questions.contains(&words.question) && questions.contains("Bystanderland")).then_some(())
    })
    .await;
    let before = everything(&owner, &agent, visitor.talk(), &lead, &fork).await;
    let seen = |path: &str, word: &str| {
        let found = before.iter().find(|(seen, _)| seen.starts_with(path)).unwrap_or_else(|| panic!("{path}"));
        assert!(found.1.contains(word), "{path} does not show {word} before: {}", found.1);
    };
    seen("/api/conversations?", &words.name);
    seen(&talk, &words.question);
    seen(&format!("/api/conversations/{fork}"), &words.detail);
    seen("/api/leads/export.csv", &words.email);
    seen("/dev/mailbox", &words.detail);
    seen("live leads", &words.email);
    seen("live conversations", &words.name);

    let done = erased(&owner, json!({ "email": words.email.to_uppercase() })).await;
    words.assert_absent(&done.to_string(), "the erasure itself");
    let count = |what: &str| done["counts"][what].as_u64();
    assert_eq!((count("conversations"), count("leads"), count("sandboxes")), (Some(2), Some(1), Some(1)), "{done}");

    // No answer holds the words: neither what the staff can read, nor what the person's own browser gets, nor a repeated request.
    for (path, answer) in everything(&owner, &agent, visitor.talk(), &lead, &fork).await {
        words.assert_absent(&answer, &path);
    }
    for path in [format!("/api/chat/history?conversation_id={}", visitor.talk()), "/api/chat/conversations".into()] {
        words.assert_absent(&visitor.api().get(&path).await.text, &path);
    }
    for (api, path, body) in [
        (&keyed, "/api/chat".to_owned(), repeated),
        (&keyed, "/api/leads/capture".to_owned(), form),
        (&staff, format!("{talk}/messages"), reply),
    ] {
        let answer = api.post(&path, body).await;
        assert_eq!(answer.body["code"], "already_done", "{path}: {}", answer.text);
        words.assert_absent(&answer.text, &path);
    }
    let questions = owner.api.get("/api/analytics/unanswered").await.text;
    assert!(questions.contains("Bystanderland"), "what others said stays: {questions}");
    assert!(other.history().await.to_string().contains("Bystanderland"));

    assert!(server.stop().await.success());
    words.assert_absent(&server.log(), "the log");
    let files = search(&server.data(), &words);
    assert!(files >= 3, "the database, the key and the index are files: {files}");
    opened(&server.data(), &owner, &agent, &words).await;

    server.boot().await;
    for (path, answer) in everything(&owner, &agent, visitor.talk(), &lead, &fork).await {
        words.assert_absent(&answer, &format!("{path} after a restart"));
    }
}

/// Asks for an erasure and waits until it is done.
async fn erased(owner: &Member, whom: Value) -> Value {
    let erasure = text(&owner.api.post("/api/privacy/erasures", whom).await.expect(202), "id");
    eventually("the erasure", SOON, || async {
        let shown = owner.api.get(&format!("/api/privacy/erasures/{erasure}")).await.expect(200);
        assert_ne!(shown["status"], "failed", "{shown}");
        (shown["status"] == "completed").then_some(shown)
    })
    .await
}

#[tokio::test]
async fn who_is_erased_right_after_their_message_leaves_neither_conversation_nor_lead() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let people: Vec<String> = (0..8).map(|_| format!("{}@zed.example", random_id())).collect();
    let erasures = people.iter().map(|email| {
        let (owner, server, agent) = (owner.clone(), &server, agent.clone());
        async move {
            let mut visitor = Visitor::new(server, &agent);
            visitor.say(&format!("Hello, my name is Zed Ash and my email is {email}")).await;
            let done = erased(&owner, json!({ "email": email })).await;
            assert_eq!((&done["counts"]["conversations"], &done["counts"]["leads"]), (&json!(1), &json!(1)), "{done}");
        }
    });
    futures::future::join_all(erasures).await;
    assert_eq!(owner.api.list("/api/leads").await, Vec::<Value>::new());
    assert_eq!(owner.api.list("/api/conversations").await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_corrected_their_address_and_number_is_found_by_the_first_ones() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    for (first, corrected, whom) in [
        (
            "my email is first@old.example",
            "Sorry, my email is second@new.example instead",
            json!({ "email": "First@Old.example" }),
        ),
        ("my number is 217-555-0177", "Sorry, my number is 217-555-0188 instead", json!({ "phone": "+12175550177" })),
    ] {
        let mut visitor = Visitor::new(&server, &agent);
        visitor.say(&format!("My name is Anna Smith and {first}")).await;
        visitor.say(corrected).await;
        let shown = owner.api.get(&format!("/api/conversations/{}", visitor.talk())).await.expect(200);
        let shown = shown["conversation"].to_string();
        assert!(shown.contains("second@new.example") || shown.contains("2175550188"), "it was corrected: {shown}");
        assert!(!shown.contains("first@old.example") && !shown.contains("2175550177"), "it was corrected: {shown}");
        let done = erased(&owner, whom).await;
        assert_eq!((&done["counts"]["conversations"], &done["counts"]["leads"]), (&json!(1), &json!(1)), "{done}");
        owner.api.get(&format!("/api/conversations/{}", visitor.talk())).await.refused(404);
    }
    assert_eq!(owner.api.list("/api/leads").await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_people_merged_into_one_is_erased_as_one_whichever_is_named() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    for named in ["one", "two"] {
        let mut visitors = Vec::new();
        for name in ["one", "two"] {
            let mut visitor = Visitor::new(&server, &agent);
            visitor.say(&format!("My name is Anna Smith and my email is {name}-{named}@zed.example")).await;
            visitors.push(visitor);
        }
        let [one, two] = [visitors[0].talk(), visitors[1].talk()];
        owner.api.post(&format!("/api/conversations/{two}/merge"), json!({ "into": one })).await.expect(200);
        erased(&owner, json!({ "email": format!("{named}-{named}@zed.example") })).await;
        for talk in [one, two] {
            owner.api.get(&format!("/api/conversations/{talk}")).await.refused(404);
        }
    }
    assert_eq!(owner.api.list("/api/leads").await, Vec::<Value>::new());
}

/// Reads every file below a folder; returns how many there were.
fn search(folder: &Path, words: &Words) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files += search(&path, words);
        } else {
            files += 1;
            let bytes = std::fs::read(&path).expect("a file").to_ascii_lowercase();
            words.assert_absent(&String::from_utf8_lossy(&bytes), &path.display().to_string());
        }
    }
    files
}

/// Opens the journals of what stays, with the installation's key, and looks for the words in the clear.
async fn opened(data: &Path, owner: &Member, agent: &str, words: &Words) {
    let key = std::fs::read_to_string(data.join("secret.key")).expect("the key");
    let mut secret = [0_u8; 32];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).expect("hexadecimal digits");
    }
    let store = colloquy_store::sqlite::open(data, Default::default()).expect("the store opens");
    let sealer = Sealer::new(&secret, store.keys.clone());
    for (tenant, kind, id, shows) in [
        (owner.organization.as_str(), "tenant", owner.organization.as_str(), "erasure_requested"),
        (owner.organization.as_str(), "knowledge", agent, "unanswered_noted"),
        ("platform", "account", owner.user.as_str(), "registered"),
    ] {
        let entity = EntityKey::new(tenant, kind, id);
        let data_key = sealer.key_for_reading(&entity).await.expect("readable").expect("a key");
        let mut records = store.journal.load(&entity, 0, usize::MAX).await.expect("a journal");
        open_records(&data_key, &entity, &mut records).expect("records open");
        let text: String = records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned()).collect();
        assert!(text.contains(shows), "{entity} is open: {text}");
        words.assert_absent(&text, &format!("the journal of {entity}"));
        if let Some(snapshot) = store.journal.load_snapshot(&entity).await.expect("readable") {
            let snapshot = open_snapshot(&data_key, &entity, snapshot).expect("it opens");
            words.assert_absent(&String::from_utf8_lossy(&snapshot.bytes), &format!("the snapshot of {entity}"));
        }
    }
    let agent = EntityKey::new(owner.organization.as_str(), "agent", agent);
    for record in store.journal.load(&agent, 0, usize::MAX).await.expect("a journal") {
        words.assert_absent(&Value::from(String::from_utf8_lossy(&record.bytes).into_owned()).to_string(), "the agent");
    }
}
