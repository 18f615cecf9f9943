//! Proves the server-rendered pages as a browser without JavaScript uses them: forms, cookies, redirects, the links of mails, and who gets the console's shell.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use reqwest::header::SET_COOKIE;
use serde_json::json;
use support::client::{Answer, Api};
use support::people::{Member, PASSWORD, SOON, mailbox, text};
use support::{Server, eventually, random_id};

/// What a visitor or an owner may call themselves.
const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";
/// The same as text of a page.
const ESCAPED: &str = "&#60;img src=x onerror=alert(1)&#62;";

/// What only the console's shell has.
const SHELL: &str = "<div id=\"app\">";

/// A browser without scripts: keeps cookies with their paths, follows redirects, and fills in forms that it has seen.
struct Browser {
    api: Api,
    /// Value and path by name.
    cookies: BTreeMap<String, (String, String)>,
    /// Where it is.
    at: String,
    /// What it shows.
    page: Answer,
}

impl Browser {
    async fn open(server: &Server, path: &str) -> Self {
        let api = server.api();
        let page = api.get("/pages.css").await;
        let mut browser = Self { api, cookies: BTreeMap::new(), at: path.to_owned(), page };
        browser.go(path).await;
        browser
    }

    /// Opens a path and follows redirects.
    async fn go(&mut self, path: &str) -> &mut Self {
        self.send("GET", path, None, &[]).await;
        self
    }

    /// Fills in the form with this action and presses its button.
    async fn submit(&mut self, action: &str, typed: &[(&str, &str)]) -> &mut Self {
        let mut fields = hidden(&self.page.text, action);
        fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let action = action.to_owned();
        self.post(&action, &fields, &[]).await
    }

    /// Sends fields as they are.
    async fn post(&mut self, path: &str, fields: &BTreeMap<String, String>, headers: &[(&str, &str)]) -> &mut Self {
        let body = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let body = body.collect::<Vec<_>>().join("&");
        self.send("POST", path, Some(body), headers).await;
        self
    }

    async fn send(&mut self, method: &str, path: &str, body: Option<String>, headers: &[(&str, &str)]) {
        let (mut method, mut path, mut body) = (method.to_owned(), path.to_owned(), body);
        for _ in 0..6 {
            let mut api = self.api.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
            let jar = self.cookies.iter().filter(|(_, (_, scope))| path.starts_with(scope.as_str()));
            let jar = jar.map(|(name, (value, _))| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            if !jar.is_empty() {
                api = api.header("cookie", &jar);
            }
            for (name, value) in headers {
                api = api.header(name, value);
            }
            let bytes = body.clone().map(String::into_bytes);
            let answer = api
                .try_raw(&method, &path, "application/x-www-form-urlencoded", bytes)
                .await
                .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            for cookie in answer.headers.get_all(SET_COOKIE) {
                self.keep(cookie.to_str().expect("a cookie is text"));
            }
            self.at.clone_from(&path);
            let location = answer.header("location").map(str::to_owned);
            self.page = answer;
            match (self.page.status, location) {
                (303, Some(to)) => (method, path, body) = ("GET".to_owned(), to, None),
                (307, Some(to)) => path = to,
                _ => return,
            }
            assert!(path.starts_with('/') && !path.starts_with("//"), "led away to {path}");
        }
        panic!("{path}: redirects without end");
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name");
        let parts: Vec<&str> = parts.collect();
        assert!(parts.contains(&"HttpOnly") && parts.contains(&"SameSite=Lax"), "{cookie}");
        if parts.contains(&"Max-Age=0") {
            self.cookies.remove(name);
        } else {
            let path = parts.iter().find_map(|part| part.strip_prefix("Path=")).unwrap_or("/");
            self.cookies.insert(name.to_owned(), (value.to_owned(), path.to_owned()));
        }
    }

    /// Logs out as the page for it does.
    async fn log_out(&mut self) -> &mut Self {
        self.go("/logout").await.submit("/logout", &[]).await
    }

    /// Whom the session is for, as the console would ask; nobody while there is none.
    async fn session(&mut self) -> Option<serde_json::Value> {
        self.go("/api/me").await;
        (self.page.status == 200).then(|| serde_json::from_str(&self.page.text).expect("JSON"))
    }

    /// The session is for this organization.
    async fn belongs_to(&mut self, organization: &str) {
        let me = self.session().await.expect("somebody is signed in");
        assert_eq!(me["organization"]["name"], organization, "{me}");
    }

    /// As after a quarter of an hour: the access token has ended.
    fn wait_a_quarter_of_an_hour(&mut self) {
        self.cookies.remove("colloquy_access").expect("a signed-in browser");
    }

    #[track_caller]
    fn shows(&self, status: u16, wanted: &str) -> &Self {
        assert_eq!(self.page.status, status, "{}: {}", self.page.what, self.page.text);
        assert!(self.page.text.contains(wanted), "{} does not show {wanted:?}: {}", self.page.what, self.page.text);
        assert!(!self.page.text.contains("<img src=x"), "{}: markup of somebody else", self.page.what);
        let policy = self.page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{}: {policy}", self.page.what);
        assert_eq!(self.page.header("cache-control"), Some("no-store"), "{}", self.page.what);
        self
    }

    #[track_caller]
    fn is_at(&self, path: &str) -> &Self {
        assert_eq!(self.at, path, "{}", self.page.text);
        self
    }

    /// Signs up with a new organization, and is at its home.
    async fn sign_up(server: &Server, organization: &str, email: &str) -> Self {
        let mut browser = Self::open(server, "/signup").await;
        let fields = sign_up_fields(organization, email);
        browser.submit("/signup", &fields).await.is_at("/app").shows(200, SHELL);
        browser
    }
}

fn sign_up_fields<'a>(organization: &'a str, email: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("organization_name", organization),
        ("organization_vertical", "home_services"),
        ("organization_website_url", ""),
        ("organization_timezone", "Europe/Zurich"),
        ("name", "Olive Owner"),
        ("email", email),
        ("password", PASSWORD),
    ]
}

/// The hidden fields of a form.
#[track_caller]
fn hidden(page: &str, action: &str) -> BTreeMap<String, String> {
    let form = page
        .split("<form ")
        .find(|form| form.contains(&format!("action=\"{action}\"")))
        .unwrap_or_else(|| panic!("no form to {action} in {page}"));
    let form = form.split("</form>").next().unwrap_or_default();
    form.split("<input type=\"hidden\" name=\"")
        .skip(1)
        .map(|input| {
            let mut parts = input.split('"');
            let name = parts.next().unwrap_or_default().to_owned();
            (name, parts.nth(1).unwrap_or_default().to_owned())
        })
        .collect()
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn address() -> String {
    format!("p-{}@example.com", random_id())
}

/// The path of the newest mail's link that begins with `path`.
async fn mailed(server: &Server, to: &str, path: &str) -> String {
    let begin = server.url(path);
    eventually("the mail", SOON, || async {
        let mails = mailbox(server, to).await;
        mails.iter().find_map(|mail| {
            let all = mail["text"].as_str()?;
            let link = all.split_whitespace().find(|word| word.starts_with(&begin))?;
            Some(link.trim_start_matches(&server.url("")).to_owned())
        })
    })
    .await
}

#[tokio::test]
async fn somebody_signs_up_logs_out_and_in_again_without_scripts() {
    let server = Server::start().await;
    let email = address();
    let mut browser = Browser::sign_up(&server, "Oak Plumbing", &email).await;
    let me = browser.session().await.expect("somebody is signed in");
    assert_eq!(
        (&me["organization"]["name"], &me["organization"]["timezone"]),
        (&json!("Oak Plumbing"), &json!("Europe/Zurich"))
    );
    browser.log_out().await.is_at("/login?done=logout").shows(200, "You are logged out.");
    assert!(!browser.cookies.contains_key("colloquy_access") && !browser.cookies.contains_key("colloquy_refresh"));
    // The shell is the same for everybody; what it would show is not.
    browser.go("/app").await.shows(200, SHELL).is_at("/app");
    assert_eq!(browser.session().await, None);
    browser.go("/login?next=%2Fapp%2Fleads").await;
    browser.submit("/login", &[("email", &email), ("password", "not the password")]).await;
    browser.shows(401, "E-mail address or password is wrong.").shows(401, &format!("value=\"{email}\""));
    assert!(!browser.page.text.contains("not the password"), "a password is never shown again");
    // An unknown address is told the same in the same words.
    let known = browser.page.text.replace(&email, "");
    let unknown = address();
    browser.submit("/login", &[("email", &unknown), ("password", "not the password")]).await;
    assert_eq!(browser.page.text.replace(&unknown, ""), known);
    browser.submit("/login", &[("email", &email), ("password", PASSWORD)]).await;
    browser.is_at("/app/leads").shows(200, SHELL);
    browser.belongs_to("Oak Plumbing").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_sign_up_is_said_beside_the_field_and_leaves_no_account() {
    let server = Server::start().await;
    let email = address();
    let mut browser = Browser::open(&server, "/signup").await;
    let mut fields = sign_up_fields(HOSTILE, &email);
    fields[2] = ("organization_website_url", "not a website");
    fields[6] = ("password", "short");
    browser
        .submit("/signup", &fields)
        .await
        .shows(422, "id=\"e-password\"")
        .shows(422, "id=\"e-organization_website_url\"");
    browser.shows(422, ESCAPED).shows(422, "<option value=\"Europe/Zurich\" selected>");
    assert!(!browser.page.text.contains("value=\"short\""), "a password is never shown again");
    // The same address can sign up: nothing was left behind by the refusal. A website may be written without its scheme.
    fields[2] = ("organization_website_url", "oakplumbing.example");
    fields[6] = ("password", PASSWORD);
    browser.submit("/signup", &fields).await.is_at("/app");
    browser.belongs_to(HOSTILE).await;
    let me = browser.session().await.expect("somebody is signed in");
    assert_eq!(me["organization"]["website_url"], "https://oakplumbing.example");
}

#[tokio::test]
async fn an_organization_with_a_bad_website_is_refused_before_there_is_an_account() {
    let server = Server::start().await;
    let email = address();
    let body = |website: &str| json!({ "email": email, "password": PASSWORD, "name": "N", "organization": { "name": "Oak", "website_url": website } });
    server.api().post("/api/auth/signup", body("not a website")).await.names("website_url");
    server.api().post("/api/auth/signup", body("https://oak.example")).await.expect(201);
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_the_link_of_a_mail() {
    let server = Server::start().await;
    let email = address();
    Browser::sign_up(&server, "Oak", &email).await;
    let mut browser = Browser::open(&server, "/forgot-password").await;
    browser.submit("/forgot-password", &[("email", &address())]).await.is_at("/forgot-password?done=1");
    let unknown = browser.page.text.clone();
    browser.submit("/forgot-password", &[("email", &email)]).await.is_at("/forgot-password?done=1");
    assert_eq!(browser.page.text, unknown, "nothing tells whether an address is known");
    let link = mailed(&server, &email, "/reset-password?token=").await;
    browser.go(&link).await.shows(200, "Choose a new password");
    assert_eq!(browser.page.header("referrer-policy"), Some("no-referrer"));
    browser.submit("/reset-password", &[("password", "short")]).await.shows(422, "id=\"e-password\"");
    assert_eq!(browser.page.header("referrer-policy"), Some("no-referrer"));
    let fresh = "three green boats sail";
    browser.submit("/reset-password", &[("password", fresh)]).await.is_at("/login?done=password");
    browser.submit("/login", &[("email", &email), ("password", PASSWORD)]).await.shows(401, "is wrong");
    browser.submit("/login", &[("email", &email), ("password", fresh)]).await.is_at("/app");
    // A link works once.
    let mut second = Browser::open(&server, &link).await;
    second.submit("/reset-password", &[("password", fresh)]).await.shows(422, "The link is void");
}

#[tokio::test]
async fn what_is_done_by_forms_is_in_the_audit_log() {
    let server = Server::start().await;
    let email = address();
    let mut browser = Browser::sign_up(&server, "Oak", &email).await;
    browser.log_out().await;
    browser.go("/forgot-password").await.submit("/forgot-password", &[("email", &email)]).await;
    let link = mailed(&server, &email, "/reset-password?token=").await;
    let fresh = "three green boats sail";
    browser.go(&link).await.submit("/reset-password", &[("password", fresh)]).await.is_at("/login?done=password");
    browser.submit("/login", &[("email", &email), ("password", PASSWORD)]).await.shows(401, "is wrong");
    browser.submit("/login", &[("email", &email), ("password", fresh)]).await.is_at("/app");
    let session = server.api().post("/api/auth/login", json!({ "email": email, "password": fresh })).await.expect(200);
    let owner = server.api().bearer(&text(&session, "access_token"));
    eventually("all of it", SOON, || async {
        let log = owner.list("/api/audit").await;
        let mut told: Vec<(String, String)> =
            log.iter().rev().map(|entry| (text(entry, "action"), text(entry, "outcome"))).collect();
        // The refused one is written beside its answer, and may come a little later.
        told.sort();
        let wanted = [
            ("account.created", "ok"),
            ("password.reset", "ok"),
            ("session.ended", "ok"),
            ("session.started", "ok"),
            ("session.started", "ok"),
            ("session.started", "refused"),
        ];
        let found: Vec<(&str, &str)> = told.iter().map(|(what, how)| (what.as_str(), how.as_str())).collect();
        (found == wanted && log.iter().all(|entry| entry["address"] == "127.0.0.1")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_development_mailbox_is_named_only_to_whoever_can_read_it_and_only_while_it_is_the_sender() {
    let server = Server::start().await;
    let smtp = Server::start_with(&[("COLLOQUY_MAIL__KIND", "smtp"), ("COLLOQUY_MAIL__SMTP__HOST", "127.0.0.1")]).await;
    for page in ["/forgot-password?done=1", "/magic-link?done=1", "/"] {
        let named = async |server: &Server, header: &str| {
            let answer = server.api().header(header, "192.0.2.1").get(page).await;
            assert_eq!(answer.status, 200);
            answer.text.contains("/dev/mailbox")
        };
        assert!(named(&server, "x-nothing").await, "{page}");
        assert!(!named(&server, "x-forwarded-for").await, "{page} through a proxy");
        assert!(!named(&smtp, "x-nothing").await, "{page} with a mail server");
    }
    // Who may not read it is told all the same that nothing was sent.
    for page in ["/forgot-password?done=1", "/magic-link?done=1"] {
        let said = async |server: &Server| server.api().header("x-forwarded-for", "192.0.2.1").get(page).await.text;
        let (recorded, sent) = (said(&server).await, said(&smtp).await);
        assert!(recorded.contains("It is not sent") && !recorded.contains("on its way"), "{recorded}");
        assert!(sent.contains("on its way") && !sent.contains("not sent"), "{sent}");
    }
    // The console says the same of an invitation.
    let owner = Member::sign_up(&server, "Oak").await;
    let me = owner.api.get("/api/me").await.expect(200);
    assert_eq!((&me["mail_recorded"], &me["mailbox"]), (&json!(true), &json!("/dev/mailbox")));
    let elsewhere = server.api().bearer(&owner.token).header("x-forwarded-for", "192.0.2.1").get("/api/me").await;
    assert_eq!(elsewhere.expect(200)["mailbox"], json!(null));
    let body = json!({ "email": address(), "role": "rep" });
    let invitation = owner.api.post("/api/team/invitations", body).await.expect(201);
    assert_eq!((&invitation["mailed"], &invitation["recorded"]), (&json!(true), &json!(true)), "{invitation}");
    let there = Member::sign_up(&smtp, "Elm").await.api.get("/api/me").await.expect(200);
    assert_eq!((&there["mail_recorded"], &there["mailbox"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn a_simulated_carrier_needs_no_keys_and_is_named_as_missing_where_there_is_none() {
    use colloquy_carrier::{Carrier, Config};
    let none = Server::start().await;
    let owner = Member::sign_up(&none, "Oak").await;
    let simulated = async |owner: &Member| {
        let accounts = owner.api.get("/api/integrations").await.expect(200);
        let all = accounts["items"].as_array().expect("accounts").clone();
        all.into_iter().filter(|one| one["simulated"] == true).collect::<Vec<_>>()
    };
    assert!(simulated(&owner).await.iter().all(|account| account["available"] == false));
    let refused = owner.api.post("/api/integrations/simulated/connect", json!({})).await.refused(409);
    assert!(refused.to_string().contains("messages.simulated_url"), "{refused}");
    let missing = owner.api.post("/api/integrations/twilio/connect", json!({})).await;
    missing.names("account_sid");

    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        account: colloquy_domain::lines::simulated::ACCOUNT.to_owned(),
        token: colloquy_domain::lines::simulated::TOKEN.to_owned(),
        ..Config::default()
    };
    let carrier = Carrier::start(config).await.expect("a carrier");
    let there = Server::start_with(&[("COLLOQUY_MESSAGES__SIMULATED_URL", &carrier.url())]).await;
    let owner = Member::sign_up(&there, "Elm").await;
    assert!(simulated(&owner).await.iter().all(|account| account["available"] == true));
    let connected = owner.api.post("/api/integrations/simulated/connect", json!({})).await.expect(200);
    assert_eq!(connected["connected"], json!(true), "{connected}");
    let wrong = json!({ "auth_token": "somebody else's" });
    owner.api.post("/api/integrations/simulated/connect", wrong).await.refused(409);
}

#[tokio::test]
async fn a_browser_reads_the_development_mailbox_as_a_page_whose_links_can_be_followed() {
    let server = Server::start().await;
    let empty = Browser::open(&server, "/dev/mailbox").await;
    empty.shows(200, "Nothing was sent yet");
    let email = address();
    Browser::sign_up(&server, HOSTILE, &email).await;
    let mut browser = Browser::open(&server, "/magic-link").await;
    browser.submit("/magic-link", &[("email", &email)]).await.is_at("/magic-link?done=1");
    let link = mailed(&server, &email, "/api/auth/magic/").await;
    let other = format!("/dev/mailbox?to={}", encoded("nobody@example.com"));
    browser.go(&other).await.shows(200, "Nothing was sent to nobody@example.com.");
    browser.go(&format!("/dev/mailbox?to={}", encoded(&email))).await.shows(200, &email);
    let page = &browser.page;
    assert!(page.text.contains(&format!("{link}\">")), "{}", page.text);
    assert!(!page.text.contains(HOSTILE), "{}", page.text);
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("vary", "accept")] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    // A program gets what it always got.
    let listed = server.api().get("/dev/mailbox").await.expect(200);
    assert!(listed["items"].as_array().is_some_and(|items| !items.is_empty()), "{listed}");
    let elsewhere = server.api().header("accept", "text/html").header("x-forwarded-for", "192.0.2.1");
    assert_eq!(elsewhere.get("/dev/mailbox").await.status, 404);
}

#[tokio::test]
async fn the_home_page_prints_a_command_that_works_here_and_hides_the_folder_from_others() {
    let server = Server::start().await;
    let options = format!("quickstart --url https://your.site --vertical home_services --server {}", server.url(""));
    let here = server.api().get("/").await.text;
    assert!(here.contains(&format!("{} {options}", support::PROGRAM)), "{here}");
    let elsewhere = server.api().header("x-forwarded-for", "192.0.2.1").get("/").await.text;
    assert!(elsewhere.contains(&format!("<code>colloquy {options}")), "{elsewhere}");
}

#[tokio::test]
async fn a_mailed_link_signs_in_at_the_press_of_a_button_and_not_by_being_opened() {
    let server = Server::start().await;
    let email = address();
    Browser::sign_up(&server, "Oak", &email).await;
    let mut browser = Browser::open(&server, "/magic-link").await;
    browser.submit("/magic-link", &[("email", "nobody")]).await.shows(422, "id=\"e-email\"");
    browser.submit("/magic-link", &[("email", &email)]).await.is_at("/magic-link?done=1");
    let link = mailed(&server, &email, "/api/auth/magic/").await;
    let asked = link.replace("/api/auth/magic/", "/magic-link?token=");
    for _ in 0..3 {
        // A scanner of mails, which looks like a browser.
        let page = server.api().header("accept", "text/html,*/*").get(&link).await;
        assert_eq!((page.status, page.headers["location"].to_str().ok()), (303, Some(asked.as_str())));
        server.api().get(&asked).await.expect(200);
    }
    browser.go(&link).await.shows(200, "Press the button");
    assert_eq!(browser.page.header("referrer-policy"), Some("no-referrer"));
    browser.submit("/magic-link", &[]).await.is_at("/app");
    browser.belongs_to("Oak").await;
    let mut second = Browser::open(&server, &link).await;
    second.submit("/magic-link", &[]).await.shows(401, "The link is void");
    // The call of the contract signs in by itself, as ever.
    server.api().post("/api/auth/magic-link", json!({ "email": email })).await.expect(202);
    let next = eventually("the second mail", SOON, || async {
        let next = mailed(&server, &email, "/api/auth/magic/").await;
        (next != link).then_some(next)
    })
    .await;
    let token = next.rsplit('/').next().expect("a token");
    assert_eq!(server.api().get(&format!("/api/auth/magic/{token}")).await.status, 303);
    assert_eq!(server.api().get(&format!("/api/auth/magic/{token}")).await.status, 401);
}

#[tokio::test]
async fn an_invitation_is_accepted_by_somebody_new_by_somebody_signed_in_or_declined() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, HOSTILE).await;
    let invite = async |email: &str| {
        let body = json!({ "email": email, "role": "rep" });
        owner.api.post("/api/team/invitations", body).await.expect(201);
        mailed(&server, email, "/signup?invitation=").await
    };
    // Somebody new; with another address than the one that was invited no account is made.
    let (newcomer, other) = (address(), address());
    let link = invite(&newcomer).await;
    let mut browser = Browser::open(&server, &link).await;
    browser.shows(200, &format!("Join {ESCAPED}")).shows(200, &format!("value=\"{newcomer}\""));
    assert_eq!(browser.page.header("referrer-policy"), Some("no-referrer"));
    let typed = |email| [("name", "Nora New"), ("email", email), ("password", PASSWORD)];
    browser.submit("/signup", &typed(other.as_str())).await.shows(403, "another e-mail address");
    browser.submit("/signup", &typed(newcomer.as_str())).await.is_at("/app");
    let me = browser.session().await.expect("somebody is signed in");
    assert_eq!((&me["user"]["name"], &me["role"]), (&json!("Nora New"), &json!("rep")));
    Browser::open(&server, &link).await.shows(422, "This invitation has been used");
    Browser::sign_up(&server, "Other", &other).await;
    // Somebody with an account, who logs in on the way and whose access token has ended.
    let link = invite(&other).await;
    let mut browser = Browser::open(&server, &link).await;
    let login =
        browser.page.text.split("href=\"/login").nth(2).and_then(|rest| rest.split('"').next()).expect("a link");
    let login = format!("/login{login}");
    browser.go(&login).await.submit("/login", &[("email", &other), ("password", PASSWORD)]).await.is_at(&link);
    browser.wait_a_quarter_of_an_hour();
    browser.submit("/signup/accept", &[]).await.is_at("/app");
    browser.belongs_to(HOSTILE).await;
    // Removed again, they are told so, and led back to the organization of their own.
    let me = browser.session().await.expect("somebody is signed in");
    let id = me["user"]["id"].as_str().expect("an id");
    owner.api.delete(&format!("/api/team/members/{id}")).await.expect(204);
    browser
        .go("/app")
        .await
        .shows(200, "do not belong to this organization any more")
        .shows(200, "You belong to Other.");
    let form = hidden(&browser.page.text, "/app/switch");
    let mut strange = form.clone();
    strange.insert("organization_id".to_owned(), "somebody-elses".to_owned());
    browser.post("/app/switch", &strange, &[]).await.shows(404, "organization not found");
    browser.post("/app/switch", &form, &[]).await.is_at("/app");
    browser.belongs_to("Other").await;
    // Somebody who does not want to.
    let third = address();
    let link = invite(&third).await;
    let mut browser = Browser::open(&server, &link).await;
    browser.submit("/signup/decline", &[]).await.shows(200, "Invitation declined");
    Browser::open(&server, &link).await.shows(422, "This invitation has been used");
}

#[tokio::test]
async fn nobody_is_led_to_another_site_by_next() {
    let server = Server::start().await;
    let email = address();
    let mut browser = Browser::sign_up(&server, "Oak", &email).await;
    for next in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/app/../api/auth/magic/x.y",
    ] {
        browser.go(&format!("/login?next={}", encoded(next))).await.is_at("/app");
        browser.go(&format!("/api/auth/resume?next={}", encoded(next))).await.is_at("/app");
        browser.log_out().await;
        let mut fields = hidden(&browser.page.text, "/login");
        fields.extend(
            [("email", email.as_str()), ("password", PASSWORD), ("next", next)]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        // Nobody may try a password more often than ten times a minute for one address; this stays below.
        browser.post("/login", &fields, &[]).await.is_at("/app");
    }
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let server = Server::start().await;
    let email = address();
    let mut browser = Browser::sign_up(&server, "Oak", &email).await;
    let good = hidden(&browser.go("/logout").await.page.text, "/logout");
    let here = format!("http://{}", server.http);
    let nothing: &[(&str, &str)] = &[];
    let mut wrong = good.clone();
    wrong.insert("form_token".to_owned(), "0".repeat(32));
    for (fields, headers) in [
        (BTreeMap::new(), nothing),
        (wrong, nothing),
        (good.clone(), &[("sec-fetch-site", "cross-site")]),
        (good.clone(), &[("sec-fetch-site", "same-site")]),
        (good.clone(), &[("origin", "https://evil.example")]),
    ] {
        browser.post("/logout", &fields, headers).await.shows(403, "Nothing was changed");
        browser.belongs_to("Oak").await;
    }
    // Log-in too: otherwise a site could log a visitor into its own account. The pair of another browser is no proof.
    let mut stranger = Browser::open(&server, "/login").await;
    let fields = |form: &BTreeMap<String, String>| {
        let mut all = form.clone();
        all.extend([("email", email.as_str()), ("password", PASSWORD)].map(|(k, v)| (k.to_owned(), v.to_owned())));
        all
    };
    stranger.post("/login", &fields(&BTreeMap::new()), &[]).await.shows(403, "Nothing was changed");
    stranger.post("/login", &fields(&good), &[]).await.shows(403, "Nothing was changed");
    assert!(!stranger.page.text.contains(PASSWORD) && stranger.page.text.contains(&email));
    let own = hidden(&stranger.page.text, "/login");
    stranger.post("/login", &fields(&own), &[("origin", &here), ("sec-fetch-site", "same-origin")]).await.is_at("/app");
    browser.post("/logout", &good, &[("origin", "null")]).await.is_at("/login?done=logout");
}

#[tokio::test]
async fn a_session_lasts_longer_than_its_access_token_and_ends_for_good() {
    let server = Server::start().await;
    let mut browser = Browser::sign_up(&server, "Oak", &address()).await;
    browser.wait_a_quarter_of_an_hour();
    browser.go("/app/leads").await.is_at("/app/leads").shows(200, SHELL);
    browser.belongs_to("Oak").await;
    // Also a form that was open meanwhile goes through, with what was typed.
    let form = hidden(&browser.go("/logout").await.page.text, "/logout");
    browser.wait_a_quarter_of_an_hour();
    let refresh = browser.cookies["colloquy_refresh"].clone();
    browser.post("/logout", &form, &[]).await.is_at("/login?done=logout");
    // The session is over, not only forgotten by the browser.
    browser.cookies.insert("colloquy_refresh".to_owned(), refresh);
    browser.cookies.insert("colloquy_session".to_owned(), ("1".to_owned(), "/".to_owned()));
    browser.go("/app").await.is_at("/app").shows(200, SHELL);
    assert_eq!(browser.session().await, None);
    assert!(!browser.cookies.contains_key("colloquy_session"), "it is not tried again and again");
}

#[tokio::test]
async fn whoever_follows_the_link_of_an_alert_logs_in_and_is_at_the_conversation() {
    let server = Server::start().await;
    let email = address();
    Browser::sign_up(&server, "Oak Plumbing", &email).await;
    let path = format!("/app/conversations/{}", random_id());
    let mut owner = Browser::open(&server, &path).await;
    owner.shows(200, SHELL).is_at(&path);
    owner.go(&format!("/login?next={}", encoded(&path))).await;
    owner.submit("/login", &[("email", &email), ("password", PASSWORD)]).await.is_at(&path).shows(200, SHELL);
}

#[tokio::test]
async fn the_files_of_the_console_are_kept_for_good_and_what_is_no_file_is_no_page() {
    let server = Server::start().await;
    let shell = server.api().get("/app/agents/x?y=1").await;
    let file = shell.text.split("src=\"/app/assets/").nth(2).and_then(|rest| rest.split('"').next()).expect("a script");
    let script = server.api().get(&format!("/app/assets/{file}")).await;
    script.expect(200);
    assert!(script.header("content-type").is_some_and(|kind| kind.contains("javascript")));
    assert!(script.header("cache-control").is_some_and(|keep| keep.contains("max-age=31536000")));
    server.api().get("/app/assets/gone-00000000.js").await.refused(404);
    assert!(!shell.text.contains("__WIDGET_URL__"));
}

#[tokio::test]
async fn somebody_who_was_removed_sees_nothing_more() {
    let server = Server::start().await;
    let owner = Member::sign_up(&server, "Oak").await;
    let rep = owner.invite(&server, "rep", "Rita").await;
    let mut browser = Browser::open(&server, "/login").await;
    browser.submit("/login", &[("email", &rep.email), ("password", PASSWORD)]).await.is_at("/app");
    browser.belongs_to("Oak").await;
    owner.api.delete(&format!("/api/team/members/{}", rep.user)).await.expect(204);
    browser.go("/app/conversations").await.shows(200, "do not belong to this organization any more");
    browser.submit("/logout", &[]).await.is_at("/login?done=logout");
}

#[tokio::test]
async fn one_organization_per_installation_closes_the_sign_up_page() {
    let server = Server::start_with(&[("COLLOQUY_TENANCY__MODE", "single-tenant")]).await;
    let mut browser = Browser::sign_up(&server, "Oak", &address()).await;
    browser.log_out().await;
    browser.go("/signup").await.shows(200, "Sign-up is closed");
    let second = json!({ "email": address(), "password": PASSWORD, "name": "N", "organization": { "name": "Elm" } });
    let refused = server.api().post("/api/auth/signup", second).await.refused(409);
    assert_eq!(refused["code"], "signup_closed");
}

#[tokio::test]
async fn what_nobody_signed_in_may_open_is_a_page_for_everybody() {
    let server = Server::start().await;
    for path in ["/", "/login", "/signup", "/forgot-password", "/reset-password", "/magic-link"] {
        let page = server.api().get(path).await;
        page.expect(200);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{path}");
        // Sign-up has one, of this server, that chooses the browser's time zone.
        let scripts = page.text.matches("<script").count();
        assert_eq!(scripts, usize::from(path == "/signup"), "{path}");
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert_eq!(policy.contains("script-src 'self'"), path == "/signup", "{path}: {policy}");
        assert!(!page.text.contains(" style="), "{path}");
    }
    let home = server.api().get("/").await.text;
    let style = home.split("href=\"/pages.css").nth(1).and_then(|rest| rest.split('"').next()).expect("a stylesheet");
    let kept = server.api().get(&format!("/pages.css{style}")).await;
    assert!(kept.header("cache-control").is_some_and(|keep| keep.contains("immutable")));
    assert_eq!(server.api().get("/pages.css?old").await.header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn where_nothing_is_a_browser_gets_a_page_and_a_program_a_problem() {
    let server = Server::start().await;
    let ask = async |accept: &str| {
        let address = format!("http://{}/prices/nowhere", server.http);
        let answer = reqwest::Client::new().get(address).header("accept", accept).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let (status, page) = ask("text/html,application/xhtml+xml,*/*;q=0.8").await;
    assert_eq!(status, 404);
    assert!(page.contains("There is no such page") && page.contains("<html"), "{page}");
    let (status, problem) = ask("application/json").await;
    assert_eq!(status, 404);
    assert!(problem.starts_with('{') && problem.contains("not_found"), "{problem}");
}
