//! `colloquy quickstart`: from a website address to a chat page, against a running server, over the public API like any customer's program.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use colloquy_domain::text::counted;
use colloquy_domain::vocabulary::Vertical;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::program;

/// How often progress is asked for.
const POLL: Duration = Duration::from_millis(300);
/// Longer than the server's own limit for a crawl (`crawl.total_timeout_s`): then something is stuck and waiting on helps nobody.
const GIVE_UP: Duration = Duration::from_secs(45 * 60);
/// No single call of the API takes longer.
const REQUEST: Duration = Duration::from_secs(60);

/// How long the site may take to begin its answer before anything is created.
const SITE: Duration = Duration::from_secs(20);
/// Where a server is that was started without settings.
pub(crate) const SERVER: &str = "http://127.0.0.1:8080";
/// Pages read unless --limit says otherwise: enough for most businesses' sites, and read in seconds to a few minutes.
const PAGES: u32 = 100;
/// How a crawl says that it left pages unread because of a limit on their number.
const STOPPED_AT_LIMIT: &str = "Stopped at the limit";

/// What `colloquy quickstart` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The website to learn
    #[arg(long)]
    url: String,
    /// The trade: home_services, dental_medical, legal, real_estate, salon_spa, ecommerce or custom
    #[arg(long, value_parser = trade)]
    vertical: String,
    /// The running server
    #[arg(long, default_value = SERVER)]
    server: String,
    /// The business's name; taken from the address by default
    #[arg(long)]
    name: Option<String>,
    /// Your login; an existing one signs in (with --password), a new one is created
    #[arg(long)]
    email: Option<String>,
    /// Its password; generated and printed by default
    #[arg(long, env = "COLLOQUY_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Read at most this many pages; the server's `crawl.pages_max` (1000) and your plan may allow fewer
    #[arg(long, default_value_t = PAGES, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// When you are open from Monday to Friday, such as 09:00-17:00: then visitors can book appointments in these hours at once
    #[arg(long, value_parser = open_hours)]
    hours: Option<(String, String)>,
    /// Do not look at the site from here first: for a site that only the server reaches
    #[arg(long)]
    unchecked: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(quickstart(arguments))
}

/// One of the trades, by its name.
fn trade(name: &str) -> Result<String, String> {
    let all = trades();
    if all.iter().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(format!("the trades are {}; `custom` is for everything else", all.join(", ")))
}

/// `09:00-17:00` as opening and closing; which times are good the server says.
fn open_hours(text: &str) -> Result<(String, String), String> {
    match text.split_once('-') {
        Some((open, close)) if open.len() == 5 && close.len() == 5 => Ok((open.to_owned(), close.to_owned())),
        Some(_) | None => Err("give opening and closing time such as 09:00-17:00".to_owned()),
    }
}

/// The names of the trades.
fn trades() -> Vec<String> {
    let name = |trade| serde_json::to_value(trade).ok().and_then(|name| name.as_str().map(str::to_owned));
    Vertical::ALL.iter().filter_map(name).collect()
}

/// Behind the note that pages were left unread.
const MORE_PAGES: &str = " The site has more: `--limit 1000` reads more of them (the server's `crawl.pages_max` and your plan may allow fewer).";

/// Asks the site for its first page, as a browser would.
async fn look_at(client: &Client, url: &str) -> Result<(), String> {
    let after = "Nothing was created. Open the address in a browser; if only the server can reach it, add --unchecked";
    match client.get(url).timeout(SITE).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("--url {url}: the site answers {}. {after}", answer.status())),
        Err(error) => {
            let why = if error.is_timeout() {
                format!("the site does not answer within {} seconds", SITE.as_secs())
            } else if error.is_connect() {
                format!("nothing answers there ({})", innermost(&error))
            } else {
                innermost(&error)
            };
            Err(format!("--url {url}: {why}. {after}"))
        }
    }
}

/// The first cause of an error: what a person can do something about.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(cause) = inner.source() {
        inner = cause;
    }
    inner.to_string()
}

/// What to do once the crawl found nothing.
fn try_again(why: &str, arguments: &Arguments, server: &str, email: &str) -> String {
    let hint = if why.contains("private network") {
        "\nThe server reads addresses of your own machine or network only when it is started with COLLOQUY_CRAWL__ALLOW_PRIVATE=true"
    } else {
        ""
    };
    let elsewhere = if server == SERVER { String::new() } else { format!(" --server {server}") };
    format!(
        "the site could not be learned: {why}{hint}\nThe organization and its login stay, the receptionist was taken away. Try again with\n  \
         COLLOQUY_PASSWORD=<password> {} quickstart --url {} --vertical {}{elsewhere} --email {email}",
        program::called(),
        arguments.url,
        arguments.vertical
    )
}

/// Why a crawl did not end well.
enum Unread {
    /// It ended, and nothing was learned.
    Failed(String),
    /// Nobody knows: it may be going on.
    Unknown(String),
}

struct Api {
    client: Client,
    server: String,
    token: Option<String>,
}

async fn quickstart(arguments: &Arguments) -> Result<(), String> {
    let host = host_of(&arguments.url)?;
    // The one provider of cryptography of this program; a second call finds it set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(REQUEST).build().map_err(|e| e.to_string())?;
    let mut api = Api { client, server: arguments.server.trim_end_matches('/').to_owned(), token: None };
    api.is_there().await?;
    // Before anything is created: an organization without a receptionist helps nobody.
    if !arguments.unchecked {
        look_at(&api.client, &arguments.url).await?;
    }
    let name = arguments.name.clone().unwrap_or_else(|| name_from(&host));

    let email = arguments
        .email
        .clone()
        .unwrap_or_else(|| format!("owner-{}@{}.example", short_random(), host.replace([':', '[', ']'], "-")));
    let password = arguments.password.clone().unwrap_or_else(long_random);
    let signed_up = api.sign_in(&email, &password, &name, arguments).await?;
    println!("organization  {name}");
    if signed_up {
        println!("login         {email}");
        if arguments.password.is_none() {
            println!("password      {password}");
        }
    }

    if let Some((open, close)) = &arguments.hours {
        let day = json!({ "open": open, "close": close });
        let week: Value = ["mon", "tue", "wed", "thu", "fri"].iter().map(|name| (*name, day.clone())).collect();
        api.call(Method::PATCH, "/api/organization", Some(json!({ "business_hours": week }))).await?;
        println!("open          Monday to Friday, {open} to {close}: visitors can book appointments");
    }

    let body = json!({
        "vertical": arguments.vertical, "website_url": arguments.url, "crawl_limit": arguments.limit,
        "variables": { "business_name": name }
    });
    let agent = api.call(Method::POST, "/api/agents", Some(body)).await?;
    let id = agent["id"].as_str().ok_or("the server's answer names no agent")?.to_owned();
    println!("agent         {} ({id})", agent["name"].as_str().unwrap_or_default());

    println!("website       {}, at most {} (--limit)", arguments.url, counted(arguments.limit, "page"));
    let status = match api.follow_crawl(&id).await {
        Ok(status) => status,
        Err(Unread::Failed(why)) => {
            // A receptionist that knows nothing is taken away again; the login is good for the next try.
            api.call(Method::DELETE, &format!("/api/agents/{id}"), None).await?;
            return Err(try_again(&why, arguments, &api.server, &email));
        }
        Err(Unread::Unknown(why)) => return Err(why),
    };
    let failed = status["pages_failed"].as_u64().unwrap_or(0);
    if failed > 0 {
        println!("{} could not be read:", counted(failed, "page"));
        for page in status["pages"].as_array().into_iter().flatten().filter(|p| p["status"] == "failed").take(10) {
            println!("  {}  {}", page["url"].as_str().unwrap_or_default(), page["error"].as_str().unwrap_or_default());
        }
    }
    let server = &api.server;
    if let Some(note) = status["error"].as_str() {
        println!("note          {note}{}", if note.starts_with(STOPPED_AT_LIMIT) { MORE_PAGES } else { "" });
    }
    println!("\nchat page     {server}/demo/{id}");
    println!("embed code    <script src=\"{server}/widget/{id}.js\" async></script>");
    println!("log in        {server}/login with {email}: conversations, leads and the embed code are there");
    Ok(())
}

impl Api {
    /// Whether Colloquy answers at that address.
    async fn is_there(&self) -> Result<(), String> {
        let (_, answer) = self.request(Method::GET, "/openapi.json", None).await?;
        if answer["paths"].is_object() {
            return Ok(());
        }
        Err(format!("what answers at {} is not Colloquy: name the running server with --server", self.server))
    }

    /// Signs up, or in where the login exists; says whether it signed up.
    async fn sign_in(
        &mut self,
        email: &str,
        password: &str,
        name: &str,
        arguments: &Arguments,
    ) -> Result<bool, String> {
        let signup = json!({
            "email": email, "password": password, "name": "Owner",
            "organization": { "name": name, "vertical": arguments.vertical, "website_url": arguments.url }
        });
        let (session, fresh) = match self.request(Method::POST, "/api/auth/signup", Some(signup)).await? {
            (StatusCode::CREATED, session) => (session, true),
            (StatusCode::CONFLICT, _) if arguments.password.is_some() => (
                self.call(Method::POST, "/api/auth/login", Some(json!({ "email": email, "password": password })))
                    .await?,
                false,
            ),
            (status, problem) => return Err(said(status, &problem)),
        };
        self.token = session["access_token"].as_str().map(str::to_owned);
        Ok(fresh)
    }

    async fn follow_crawl(&self, agent: &str) -> Result<Value, Unread> {
        let begun = Instant::now();
        let live = std::io::stdout().is_terminal();
        let mut shown = String::new();
        loop {
            let status = self
                .call(Method::GET, &format!("/api/agents/{agent}/scrape/status"), None)
                .await
                .map_err(Unread::Unknown)?;
            let state = status["status"].as_str().unwrap_or_default();
            let line = format!(
                "reading       {state}: {} of {}, {} failed, {}",
                status["pages_done"],
                counted(status["pages_found"].as_u64().unwrap_or(0), "page"),
                status["pages_failed"],
                counted(status["chunks"].as_u64().unwrap_or(0), "chunk")
            );
            if line != shown {
                if live {
                    print!("\r\x1b[K{line}");
                    let _ = std::io::stdout().flush();
                } else {
                    println!("{line}");
                }
                shown = line;
            }
            if state == "completed" || state == "failed" {
                if live {
                    println!();
                }
                if state == "failed" {
                    let why = status["error"].as_str().unwrap_or("no page could be read");
                    return Err(Unread::Failed(why.to_owned()));
                }
                return Ok(status);
            }
            if begun.elapsed() > GIVE_UP {
                return Err(Unread::Unknown("the crawl did not end in time; look at the server's log".into()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        let (status, answer) = self.request(method, path, body).await?;
        if status.is_success() { Ok(answer) } else { Err(said(status, &answer)) }
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<(StatusCode, Value), String> {
        let mut request = self.client.request(method, format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.map_err(|error| {
            if error.is_connect() {
                format!(
                    "nothing answers at {}: start it with `make run` or `colloquy serve`, or name it with --server",
                    self.server
                )
            } else {
                error.to_string()
            }
        })?;
        let status = response.status();
        let answer = response.json().await.unwrap_or(Value::Null);
        Ok((status, answer))
    }
}

/// A problem in words.
fn said(status: StatusCode, problem: &Value) -> String {
    match problem["detail"].as_str() {
        Some(detail) => detail.to_owned(),
        None => format!("the server answered {status}"),
    }
}

fn host_of(url: &str) -> Result<String, String> {
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| format!("--url {url}: {error}; give the whole address, such as https://example.com"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("--url {url}: only http and https can be read"));
    }
    parsed.host_str().map(str::to_owned).ok_or_else(|| format!("--url {url}: names no host"))
}

/// `www.oak-street-dental.com` → `Oak Street Dental`.
fn name_from(host: &str) -> String {
    let bare = host.strip_prefix("www.").unwrap_or(host);
    if bare.parse::<std::net::IpAddr>().is_ok() || bare == "localhost" {
        return "My business".into();
    }
    let label = bare.split('.').next().unwrap_or(bare);
    let words: Vec<String> = label
        .split(['-', '_'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
        })
        .collect();
    words.join(" ")
}

fn short_random() -> String {
    format!("{:06x}", rand::random::<u32>() & 0xff_ffff)
}

fn long_random() -> String {
    rand::random::<[u8; 12]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trade_that_does_not_exist_is_answered_with_those_that_do_and_help_names_them_all() {
        let said = trade("space_travel").unwrap_err();
        let command = Arguments::augment_args(clap::Command::new("quickstart"));
        let help = command.get_arguments().find(|a| a.get_id() == "vertical").unwrap().get_help().unwrap().to_string();
        for name in trades() {
            assert!(said.contains(&name), "{said}");
            assert!(help.contains(&name), "{help}");
            assert_eq!(trade(&name), Ok(name));
        }
        assert_eq!(trades().len(), 7);
    }

    #[test]
    fn a_name_is_made_from_the_address() {
        assert_eq!(name_from("www.oak-street-dental.com"), "Oak Street Dental");
        assert_eq!(name_from("127.0.0.1"), "My business");
    }

    #[test]
    fn hours_are_an_opening_and_a_closing_time() {
        assert_eq!(open_hours("09:00-17:30"), Ok(("09:00".to_owned(), "17:30".to_owned())));
        for wrong in ["9-5", "09:00", "always", "09:00 - 17:00"] {
            assert!(open_hours(wrong).unwrap_err().contains("09:00-17:00"), "{wrong}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_read_is_refused_with_the_reason() {
        assert!(host_of("example.com").unwrap_err().contains("whole address"));
        assert!(host_of("ftp://example.com").unwrap_err().contains("only http"));
    }
}
