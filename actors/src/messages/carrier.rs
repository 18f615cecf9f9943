//! Sends the requests that the codecs make, over HTTP, bounded in time and size, and without following anybody elsewhere.

use std::time::Duration;

use bytes::Bytes;
use colloquy_domain::lines::{Credentials, Provider};
use colloquy_telephony::error::Fault;
use colloquy_telephony::rest::{ANSWER_BYTES_MAX, Answer, Request};
use colloquy_telephony::retell::rest::{BASE_URL as RETELL, Retell};
use colloquy_telephony::twilio::rest::{BASE_URL as TWILIO, Twilio};
use colloquy_telephony::vapi::rest::BASE_URL as VAPI;
use colloquy_telephony::whatsapp::rest::{BASE_URL as WHATSAPP, Whatsapp};
use futures::{Stream, StreamExt as _};

use crate::campaign::pacer::Pacing;

/// How long a connection may take, and a whole request: a provider that takes longer has not answered.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a whole recording may take: that of the longest call over a slow line.
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(900);

/// The largest file that is fetched, bytes: what WhatsApp lets people send as a picture or short document.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a minute costs unless set: about Twilio's price of an outgoing call in the USA.
const MINUTE_MICROS: i64 = 14_000;

/// Where providers are, and how they reach us.
#[derive(Clone, Debug)]
pub struct CarrierSettings {
    /// Twilio's interface.
    pub twilio_url: String,
    /// Meta's.
    pub whatsapp_url: String,
    /// Retell's.
    pub retell_url: String,
    /// Vapi's.
    pub vapi_url: String,
    /// A simulated carrier's, which speaks Twilio's side and Retell's; none: there is none here.
    pub simulated_url: Option<String>,
    /// Where providers call us back.
    pub api_url: String,
    /// How long an unknown outcome is looked up, ms.
    pub unconfirmed_after_ms: i64,
    /// The limits of accounts that call.
    pub pacing: Pacing,
    /// What a minute of a call costs, millionths of a US dollar.
    pub minute_micros: i64,
}

impl Default for CarrierSettings {
    fn default() -> Self {
        Self {
            twilio_url: TWILIO.to_owned(),
            whatsapp_url: WHATSAPP.to_owned(),
            retell_url: RETELL.to_owned(),
            vapi_url: VAPI.to_owned(),
            simulated_url: None,
            api_url: String::new(),
            unconfirmed_after_ms: colloquy_domain::conversation::delivery::UNCONFIRMED_AFTER_MS,
            pacing: Pacing::default(),
            minute_micros: MINUTE_MICROS,
        }
    }
}

/// The way to providers.
pub struct Carriers {
    http: reqwest::Client,
    /// Where they are.
    pub settings: CarrierSettings,
}

/// An answer that was read.
pub(crate) struct Answered {
    status: u16,
    retry_after: Option<String>,
    body: Vec<u8>,
    now_ms: i64,
}

impl Answered {
    /// As the codecs read it.
    pub(crate) fn as_answer(&self) -> Answer<'_> {
        Answer { status: self.status, retry_after: self.retry_after.as_deref(), body: &self.body, now_ms: self.now_ms }
    }
}

impl Carriers {
    /// With these addresses.
    ///
    /// # Errors
    /// When no TLS can be set up on this machine.
    pub fn new(settings: CarrierSettings) -> Result<Self, String> {
        // The first provider that is installed stays for the whole process; if there is one already, it does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A redirect would carry the account's key to somewhere the operator did not name.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("colloquy/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, settings })
    }

    /// Where a provider is; none for a simulated carrier that is not there.
    pub fn base(&self, provider: Provider) -> Option<&str> {
        match provider {
            Provider::Twilio => Some(&self.settings.twilio_url),
            Provider::Whatsapp => Some(&self.settings.whatsapp_url),
            Provider::Retell => Some(&self.settings.retell_url),
            Provider::Vapi => Some(&self.settings.vapi_url),
            Provider::Simulated | Provider::SimulatedRetell => self.settings.simulated_url.as_deref(),
        }
    }

    /// Fetches a file, over the one redirect that Twilio answers with. The account's key stays with who was asked first.
    pub(crate) async fn file(&self, provider: Provider, request: &Request) -> Result<Vec<u8>, Fault> {
        let Some(base) = self.base(provider) else { return Err(Fault::NotFound) };
        let mut asking = self.http.get(format!("{base}{}", request.path));
        // The bytes are wanted, not what JSON says of them.
        for (name, value) in request.headers.iter().filter(|(name, _)| *name != "accept") {
            asking = asking.header(*name, value);
        }
        let response = asking.send().await.map_err(|_| Fault::Unavailable { status: None })?;
        if !response.status().is_redirection() {
            return whole(response).await;
        }
        let to = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.file_at(provider, to, None).await
    }

    /// Fetches a file from where a provider says it is. Only a provider that is asked without TLS itself may name an address without.
    pub(crate) async fn file_at(&self, provider: Provider, url: &str, key: Option<&str>) -> Result<Vec<u8>, Fault> {
        let plain = self.base(provider).is_some_and(|base| base.starts_with("http://"));
        if !(url.starts_with("https://") || plain && url.starts_with("http://")) {
            return Err(Fault::Unreadable);
        }
        let mut asking = self.http.get(url);
        if let Some(key) = key {
            asking = asking.bearer_auth(key);
        }
        whole(asking.send().await.map_err(|_| Fault::Unavailable { status: None })?).await
    }

    /// Fetches a long file from where a provider says it is, piece by piece: over TLS, or from the provider itself.
    pub(crate) async fn download(
        &self,
        provider: Provider,
        url: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Fault>> + Send + Unpin + use<>, Fault> {
        // Without TLS an answer that somebody else gave could name whatever stands beside this server.
        let own =
            self.base(provider).is_some_and(|base| url.strip_prefix(base).is_some_and(|rest| rest.starts_with('/')));
        if !(own || url.starts_with("https://")) {
            return Err(Fault::Unreadable);
        }
        let asking = self.http.get(url).timeout(DOWNLOAD_WITHIN);
        let response = there(asking.send().await.map_err(|_| Fault::Unavailable { status: None })?)?;
        Ok(response.bytes_stream().map(|piece| piece.map_err(|_| Fault::Unavailable { status: None })).boxed())
    }

    /// Sends a request. What went wrong says whether it may have arrived.
    pub(crate) async fn call(&self, provider: Provider, request: &Request, now_ms: i64) -> Result<Answered, Fault> {
        let Some(base) = self.base(provider) else { return Err(request.unanswered(false)) };
        let method =
            reqwest::Method::from_bytes(request.method.as_str().as_bytes()).map_err(|_| request.unanswered(false))?;
        let mut sending = self.http.request(method, format!("{base}{}", request.path));
        for (name, value) in &request.headers {
            sending = sending.header(*name, value);
        }
        let response = match sending.body(request.body_bytes().to_vec()).send().await {
            Ok(response) => response,
            // Without a connection, or with a request that cannot be made, nothing was sent.
            Err(error) => return Err(request.unanswered(!(error.is_connect() || error.is_builder()))),
        };
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) if body.len() + piece.len() <= ANSWER_BYTES_MAX => body.extend_from_slice(&piece),
                Ok(_) | Err(_) => return Err(request.unanswered(true)),
            }
        }
        Ok(Answered { status, retry_after, body, now_ms })
    }
}

/// An answer that has the file.
fn there(response: reqwest::Response) -> Result<reqwest::Response, Fault> {
    match response.status().as_u16() {
        200 => Ok(response),
        404 | 410 => Err(Fault::NotFound),
        401 | 403 => Err(Fault::Credentials),
        status => Err(Fault::Unavailable { status: Some(status) }),
    }
}

/// The bytes of a file that is there.
async fn whole(response: reqwest::Response) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut pieces = there(response)?.bytes_stream();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) if bytes.len() + piece.len() <= FILE_BYTES_MAX => bytes.extend_from_slice(&piece),
            Ok(_) => return Err(Fault::Unreadable),
            Err(_) => return Err(Fault::Unavailable { status: None }),
        }
    }
    Ok(bytes)
}

/// Twilio's requests for an account.
pub(crate) fn twilio(credentials: &Credentials) -> Twilio {
    Twilio::new(&credentials.account, &credentials.token.clone().into())
}

/// Retell's requests for an account.
pub(crate) fn retell(credentials: &Credentials) -> Retell {
    Retell::new(credentials.token.clone().into())
}

/// WhatsApp's requests for a number.
pub(crate) fn whatsapp(credentials: &Credentials, phone_number_id: &str) -> Whatsapp {
    Whatsapp::new(phone_number_id, credentials.token.clone().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_stands_beside_this_server_is_not_asked() {
        let settings =
            CarrierSettings { simulated_url: Some("http://127.0.0.1:1".to_owned()), ..CarrierSettings::default() };
        let carriers = Carriers::new(settings).expect("TLS");
        for (provider, url) in [
            (Provider::SimulatedRetell, "http://127.0.0.1:2/secret.wav"),
            (Provider::SimulatedRetell, "http://127.0.0.1:10/secret.wav"),
            (Provider::SimulatedRetell, "http://127.0.0.1:1@127.0.0.1:2/secret.wav"),
            (Provider::Retell, "http://169.254.169.254/latest/meta-data"),
            (Provider::Retell, "file:///etc/passwd"),
        ] {
            assert!(matches!(carriers.download(provider, url).await, Err(Fault::Unreadable)), "{url}");
        }
        // Its own address is asked; nobody is there.
        let own = carriers.download(Provider::SimulatedRetell, "http://127.0.0.1:1/a.wav").await;
        assert!(matches!(own, Err(Fault::Unavailable { .. })));
    }
}
