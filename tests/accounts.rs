//! Proves that sessions end everywhere, that other people's guesses lock nobody out, and that sign-up and invitations cannot be turned against others.

mod support;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use support::client::{Answer, Api};
use support::people::{Member, PASSWORD, SOON, mailbox, text};
use support::socket::Socket;
use support::{Server, eventually, random_id};

/// Somebody who guesses.
const GUESSER: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);
/// Where a person signs in from for the first time.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 8, 8, 8);

/// A live socket that shows its first board.
async fn watching(member: &Member) -> Socket {
    let mut socket = Socket::live(member.api.address, &member.token).await;
    socket.send(&json!({ "type": "subscribe", "topic": "conversations" })).await;
    socket.until("a snapshot", |frame| frame["type"] == "snapshot").await;
    socket
}

/// The socket says why and is closed, and the access token opens nothing any more.
async fn is_out(member: &Member, mut socket: Socket, why: &str) {
    let told = socket.until(why, |frame| frame["type"] == "error").await;
    assert_eq!(told["code"], "unauthorized", "{why}: {told}");
    assert_eq!(socket.try_next().await, Ok(None), "{why}: the socket is closed");
    member.api.get("/api/me").await.refused(401);
    member.api.post("/api/api-keys", json!({ "name": "k", "kind": "secret", "role": "viewer" })).await.refused(401);
}

async fn token_of(server: &Server, email: &str, path: &str) -> String {
    let begin = server.url(path);
    eventually("the mail", SOON, || async {
        let mails = mailbox(server, email).await;
        mails.iter().find_map(|mail| {
            let link = mail["text"].as_str()?.split_whitespace().find(|word| word.starts_with(&begin))?;
            Some(link.trim_start_matches(&begin).to_owned())
        })
    })
    .await
}

#[tokio::test]
async fn who_signs_out_sets_a_new_password_or_is_removed_is_out_on_every_connection() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let (leaver, forgetful, removed) = (
        owner.invite(&server, "rep", "Lea").await,
        owner.invite(&server, "rep", "Fay").await,
        owner.invite(&server, "rep", "Rae").await,
    );
    let sockets = (watching(&leaver).await, watching(&forgetful).await, watching(&removed).await);
    let mut stays = watching(&owner).await;

    leaver.api.post("/api/auth/logout", json!({ "refresh_token": leaver.refresh_token })).await.expect(204);
    is_out(&leaver, sockets.0, "signed out").await;

    server.api().post("/api/auth/forgot-password", json!({ "email": forgetful.email })).await.expect(202);
    let token = token_of(&server, &forgetful.email, "/reset-password?token=").await;
    let fresh = json!({ "token": token, "password": "another long password" });
    server.api().post("/api/auth/reset-password", fresh).await.expect(204);
    is_out(&forgetful, sockets.1, "a new password").await;

    owner.api.delete(&format!("/api/team/members/{}", removed.user)).await.expect(204);
    is_out(&removed, sockets.2, "removed").await;

    // Nobody else is touched, and a session that has just begun is good at once.
    owner.api.get("/api/me").await.expect(200);
    stays.send(&json!({ "type": "subscribe", "topic": "leads" })).await;
    stays.until("another board", |frame| frame["type"] == "snapshot" && frame["topic"] == "leads").await;
    let again = json!({ "email": forgetful.email, "password": "another long password" });
    let session = server.api().post("/api/auth/login", again).await.expect(200);
    server.api().bearer(&text(&session, "access_token")).get("/api/me").await.expect(200);
}

async fn log_in(api: &Api, email: &str, password: &str) -> Answer {
    api.post("/api/auth/login", json!({ "email": email, "password": password })).await
}

#[tokio::test]
async fn guesses_lock_out_who_guesses_and_a_locked_account_answers_as_an_unknown_one() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let guesser = server.api().from(GUESSER);
    let nobody = format!("{}@example.com", random_id());
    for _ in 0..8 {
        let (known, unknown) = (
            log_in(&guesser, &owner.email, "wrong wrong wrong").await,
            log_in(&guesser, &nobody, "wrong wrong wrong").await,
        );
        assert_eq!(known.refused(401), unknown.refused(401));
    }
    // Also with the right password: whoever is locked out learns nothing by it.
    assert_eq!(log_in(&guesser, &owner.email, PASSWORD).await.refused(401)["code"], "invalid_credentials");
    for own in [ELSEWHERE, Ipv4Addr::LOCALHOST] {
        log_in(&server.api().from(own), &owner.email, PASSWORD).await.expect(200);
    }
    // The guesser's tries are used up, and only theirs.
    let mut limited = false;
    for _ in 0..20 {
        limited |= log_in(&guesser, &owner.email, "wrong wrong wrong").await.status == 429;
    }
    assert!(limited, "tries are counted by address and client");
    log_in(&server.api().from(ELSEWHERE), &owner.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn inviting_and_taking_back_again_and_again_fills_nobodys_mailbox() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "You won a prize").await;
    let invite = async |email: &str| {
        let invitation =
            owner.api.post("/api/team/invitations", json!({ "email": email, "role": "rep" })).await.expect(201);
        let id = text(&invitation, "id");
        owner.api.delete(&format!("/api/team/invitations/{id}")).await.expect(204);
        invitation["mailed"] == json!(true)
    };
    let mut mailed = 0;
    for _ in 0..20 {
        mailed += usize::from(invite("target@victim.example").await);
    }
    assert_eq!((mailed, mailbox(&server, "target@victim.example").await.len()), (5, 5));
    // Others too, but not everybody: who invites has never shown an address of their own.
    let mut others = 0;
    for n in 0..20 {
        others += usize::from(invite(&format!("somebody-{n}@victim.example")).await);
    }
    assert_eq!(mailed + others, 10, "letters of one organization");
    server.api().post("/api/auth/magic-link", json!({ "email": owner.email })).await.expect(202);
    let token = token_of(&server, &owner.email, "/api/auth/magic/").await;
    let session = server.api().header("accept", "application/json").get(&format!("/api/auth/magic/{token}")).await;
    let proven = server.api().bearer(&text(&session.expect(200), "access_token"));
    let invitation = proven.post("/api/team/invitations", json!({ "email": "new@team.example", "role": "rep" })).await;
    assert_eq!(invitation.expect(201)["mailed"], true, "a proven address invites its team");
}

#[tokio::test]
async fn of_many_who_sign_up_with_one_code_at_the_same_time_one_joins_and_the_others_have_no_account() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let code = text(&owner.api.post("/api/team/invitations", json!({ "role": "rep" })).await.expect(201), "code");
    let people: Vec<String> = (0..6).map(|_| format!("{}@example.com", random_id())).collect();
    let answers = futures::future::join_all(people.iter().map(|email| {
        let body = json!({ "email": email, "password": PASSWORD, "name": "Nora", "invitation_code": code });
        let api = server.api();
        async move { api.post("/api/auth/signup", body).await }
    }))
    .await;
    let mut by_status: BTreeMap<u16, usize> = BTreeMap::new();
    for (answer, email) in answers.iter().zip(&people) {
        *by_status.entry(answer.status).or_default() += 1;
        let login = log_in(&server.api(), email, PASSWORD).await;
        if answer.status == 201 {
            assert_eq!(text(&answer.body["organization"], "id"), owner.organization);
            login.expect(200);
        } else {
            login.refused(401);
            // The address is free.
            let own = json!({
                "email": email, "password": PASSWORD, "name": "Nora", "organization": { "name": "Own", "vertical": "custom" },
            });
            server.api().from(ELSEWHERE).post("/api/auth/signup", own).await.expect(201);
        }
    }
    assert_eq!(by_status.get(&201), Some(&1), "{by_status:?}");
    let members = owner.api.list("/api/team/members").await;
    assert_eq!(members.len(), 2, "{members:?}");
}

#[tokio::test]
async fn a_link_that_signs_in_is_not_used_up_by_what_a_page_loads_by_itself() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    server.api().post("/api/auth/magic-link", json!({ "email": owner.email })).await.expect(202);
    let token = token_of(&server, &owner.email, "/api/auth/magic/").await;
    let path = format!("/api/auth/magic/{token}");
    for (name, value) in
        [("sec-fetch-mode", "no-cors"), ("sec-fetch-mode", "navigate"), ("accept", "image/avif,image/webp,*/*")]
    {
        let answer = server.api().header(name, value).get(&path).await;
        assert_eq!(answer.status, 303, "{name}: {value}");
        assert_eq!(answer.header("location"), Some(format!("/magic-link?token={token}").as_str()));
        assert!(answer.header("set-cookie").is_none(), "nobody is signed in by {name}: {value}");
    }
    let session: Value = server.api().header("accept", "application/json").get(&path).await.expect(200);
    assert_eq!(session["user"]["email"], owner.email);
}

#[tokio::test]
async fn a_change_made_from_an_old_version_is_refused_with_what_is_stored() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let rep = owner.invite(&server, "rep", "Rita").await;
    let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
    let faqs = format!("/api/agents/{agent}/faqs");
    let sources = format!("/api/agents/{agent}/sources");
    let faq = json!({ "question": "Do you fix kites?", "answer": "No." });
    let faq = owner.api.post(&faqs, faq).await.expect(201);
    let source = json!({ "type": "website_scrape", "url": "http://127.0.0.1:9/", "auto_sync": false });
    let source = owner.api.post(&sources, source).await.expect(201);
    let member = owner.api.list("/api/team/members").await.into_iter().find(|one| one["user_id"] == rep.user);
    let member = member.expect("the rep");
    for (path, seen, first, second) in [
        (format!("/api/team/members/{}", rep.user), member, json!({ "role": "manager" }), json!({ "role": "viewer" })),
        (format!("{faqs}/{}", text(&faq, "id")), faq, json!({ "answer": "Yes." }), json!({ "answer": "Maybe." })),
        (format!("{sources}/{}", text(&source, "id")), source, json!({ "name": "Ours" }), json!({ "auto_sync": true })),
    ] {
        let from = |version: &Value| owner.api.header("if-match", &format!("\"{version}\""));
        let saved = from(&seen["version"]).patch(&path, first.clone()).await;
        assert_eq!(saved.header("etag"), Some(format!("\"{}\"", saved.body["version"]).as_str()), "{path}");
        let stale = from(&seen["version"]).patch(&path, second.clone()).await.refused(412);
        for (field, value) in first.as_object().into_iter().flatten() {
            assert_eq!(&stale["current"][field], value, "{path}: {stale}");
        }
        let now = &stale["current"]["version"];
        assert_eq!(*now, saved.body["version"], "{path}");
        let again = from(now).patch(&path, second.clone()).await.expect(200);
        for (field, value) in second.as_object().into_iter().flatten() {
            assert_eq!(&again[field], value, "{path}: {again}");
        }
        owner.api.header("if-match", "soon").patch(&path, second).await.refused(400);
    }
}
