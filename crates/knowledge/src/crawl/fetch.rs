//! One request with its redirects, under every limit.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::guard::{GuardedResolver, Refused, check_url};
use super::{CrawlConfig, Reason};
use crate::http::{chain, install_crypto};
use crate::{Error, Result};

/// Redirects followed for one page; browsers follow 20, people's sites need 3.
const MAX_REDIRECTS: usize = 6;
/// Time to connect, so that dead hosts do not use up a page's whole time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// The wait before the second try when the server does not name one.
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// The longest wait that a server may ask for before the second try.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(10);

/// What a request is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    pub max_bytes: usize,
    /// 0 when there is nothing to read PDFs with.
    pub max_pdf_bytes: usize,
    pub timeout: Duration,
    pub allow_private: bool,
}

/// An answer with a body.
#[derive(Debug)]
pub(super) struct Fetched {
    pub url: Url,
    pub content_type: Option<String>,
    /// The `X-Robots-Tag` headers.
    pub robots_tag: String,
    pub bytes: Vec<u8>,
}

/// The client of a crawler: no proxy and no redirects of its own, because both would step around the address check.
pub(super) fn client(config: &CrawlConfig) -> Result<Client> {
    install_crypto();
    Client::builder()
        .user_agent(config.user_agent())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(std::sync::Arc::new(GuardedResolver { allow_private: config.allow_private }))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(4)
        .build()
        .map_err(|error| Error::Client { reason: chain(&error) })
}

/// Fetches a page. `may` judges each redirect's target after the address check; its refusal is the result.
/// A server that is busy or drops the connection gets one more chance.
pub(super) async fn fetch(
    client: &Client,
    url: &Url,
    allowance: Allowance,
    may: impl Fn(&Url) -> Result<(), Reason>,
) -> Result<Fetched, Reason> {
    let timeout = || Reason::Timeout { limit_ms: u64::try_from(allowance.timeout.as_millis()).unwrap_or(u64::MAX) };
    let first =
        tokio::time::timeout(allowance.timeout, follow(client, url, allowance, &may)).await.map_err(|_| timeout())?;
    let wait = match &first {
        Err(Failure { wait: Some(wait), .. }) => *wait,
        _ => return first.map_err(|failure| failure.reason),
    };
    tokio::time::sleep(wait.min(MAX_RETRY_WAIT)).await;
    let second =
        tokio::time::timeout(allowance.timeout, follow(client, url, allowance, &may)).await.map_err(|_| timeout())?;
    second.map_err(|failure| failure.reason)
}

struct Failure {
    reason: Reason,
    /// When a second try makes sense, how long to wait.
    wait: Option<Duration>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Failure { reason, wait: None }
    }
}

async fn follow(
    client: &Client,
    start: &Url,
    allowance: Allowance,
    may: &impl Fn(&Url) -> Result<(), Reason>,
) -> Result<Fetched, Failure> {
    let mut url = start.clone();
    let mut visited = HashSet::new();
    loop {
        check_url(&url, allowance.allow_private)?;
        if !visited.insert(url.clone()) {
            return Err(Reason::RedirectLoop.into());
        }
        if visited.len() > MAX_REDIRECTS + 1 {
            return Err(Reason::TooManyRedirects.into());
        }
        let request = client
            .get(url.clone())
            .header(ACCEPT, "text/html,application/xhtml+xml,application/pdf;q=0.8,text/plain;q=0.7,*/*;q=0.1");
        let response = request.send().await.map_err(|error| transport(&error))?;
        let status = response.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let mut next = target.and_then(|target| url.join(target).ok()).ok_or(Reason::BadRedirect)?;
            next.set_fragment(None);
            check_url(&next, allowance.allow_private)?;
            may(&next)?;
            url = next;
            continue;
        }
        if !status.is_success() {
            return Err(refused(&response));
        }
        return read(url, response, allowance).await;
    }
}

/// An error status; those that pass get a second try.
fn refused(response: &Response) -> Failure {
    let status = response.status();
    let passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
    );
    let asked = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok());
    let wait = passing.then(|| asked.map_or(RETRY_WAIT, Duration::from_secs));
    Failure { reason: Reason::Status { status: status.as_u16() }, wait }
}

async fn read(url: Url, mut response: Response, allowance: Allowance) -> Result<Fetched, Failure> {
    let header = |name| {
        response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
    };
    let content_type = Some(header(CONTENT_TYPE)).filter(|value| !value.is_empty());
    let robots_tag = header(reqwest::header::HeaderName::from_static("x-robots-tag"));
    let pdf = content_type.as_deref().is_some_and(|value| value.starts_with("application/pdf"));
    if pdf && allowance.max_pdf_bytes == 0 {
        return Err(Reason::NotAPage { content_type: "application/pdf".to_owned() }.into());
    }
    let limit = if pdf { allowance.max_pdf_bytes } else { allowance.max_bytes };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(Reason::TooLarge { limit }.into());
    }
    let mut bytes = Vec::new();
    // Chunks are counted after decompression, so a bomb ends here as well.
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if bytes.len() + chunk.len() > limit {
            return Err(Reason::TooLarge { limit }.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Fetched { url, content_type, robots_tag, bytes })
}

/// What a failed request means for the person who reads the list of pages.
fn transport(error: &reqwest::Error) -> Failure {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.is::<Refused>() {
            return Reason::PrivateAddress.into();
        }
        if cause.is::<rustls::Error>() {
            return Reason::Tls.into();
        }
        // The TLS error travels inside an IO error, whose `source` skips it.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
            return Reason::Tls.into();
        }
        source = cause.source();
    }
    let text = chain(error);
    if text.contains("dns error") {
        return Reason::UnknownHost.into();
    }
    if error.is_body() || error.is_decode() {
        return Reason::Broken.into();
    }
    Failure { reason: Reason::Unreachable, wait: Some(RETRY_WAIT) }
}
