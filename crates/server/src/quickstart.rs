//! `colloquy quickstart`: from a website address to a chat page, against a running server, over the public API like any customer's program.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// How often progress is asked for.
const POLL: Duration = Duration::from_millis(300);
/// Longer than the server's own limit for a crawl (`crawl.total_timeout_s`): then something is stuck and waiting on helps nobody.
const GIVE_UP: Duration = Duration::from_secs(45 * 60);
/// No single call of the API takes longer.
const REQUEST: Duration = Duration::from_secs(60);

/// What `colloquy quickstart` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The website to learn
    #[arg(long)]
    url: String,
    /// The trade: home_services, dental_medical, legal, real_estate, salon_spa, ecommerce or custom
    #[arg(long)]
    vertical: String,
    /// The running server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
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
    /// At most this many pages
    #[arg(long)]
    limit: Option<u32>,
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(quickstart(arguments))
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

    let mut body =
        json!({ "vertical": arguments.vertical, "website_url": arguments.url, "variables": { "business_name": name } });
    if let Some(limit) = arguments.limit {
        body["crawl_limit"] = json!(limit);
    }
    let agent = api.call(Method::POST, "/api/agents", Some(body)).await?;
    let id = agent["id"].as_str().ok_or("the server's answer names no agent")?.to_owned();
    println!("agent         {} ({id})", agent["name"].as_str().unwrap_or_default());

    let status = api.follow_crawl(&id).await?;
    let failed = status["pages_failed"].as_u64().unwrap_or(0);
    if failed > 0 {
        println!("{failed} pages could not be read:");
        for page in status["pages"].as_array().into_iter().flatten().filter(|p| p["status"] == "failed").take(10) {
            println!("  {}  {}", page["url"].as_str().unwrap_or_default(), page["error"].as_str().unwrap_or_default());
        }
    }
    let server = &api.server;
    println!("\nchat page     {server}/demo/{id}");
    println!("embed code    <script src=\"{server}/widget/{id}.js\" async></script>");
    Ok(())
}

impl Api {
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

    async fn follow_crawl(&self, agent: &str) -> Result<Value, String> {
        let begun = Instant::now();
        let live = std::io::stdout().is_terminal();
        let mut shown = String::new();
        loop {
            let status = self.call(Method::GET, &format!("/api/agents/{agent}/scrape/status"), None).await?;
            let state = status["status"].as_str().unwrap_or_default();
            let line = format!(
                "reading       {state}: {} of {} pages, {} failed, {} chunks",
                status["pages_done"], status["pages_found"], status["pages_failed"], status["chunks"]
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
                    return Err(format!("the site could not be learned: {why}"));
                }
                return Ok(status);
            }
            if begun.elapsed() > GIVE_UP {
                return Err("the crawl did not end in time; look at the server's log".into());
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
    fn a_name_is_made_from_the_address() {
        assert_eq!(name_from("www.oak-street-dental.com"), "Oak Street Dental");
        assert_eq!(name_from("127.0.0.1"), "My business");
    }

    #[test]
    fn an_address_that_cannot_be_read_is_refused_with_the_reason() {
        assert!(host_of("example.com").unwrap_err().contains("whole address"));
        assert!(host_of("ftp://example.com").unwrap_err().contains("only http"));
    }
}
