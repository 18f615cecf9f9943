//! Letters over SMTP.

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox as NamedAddress, MultiPart},
    transport::smtp::{
        self,
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::{Mail, Mailer, Receipt, check, parse_sender};
use crate::error::Error;

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte, usually port 465.
    Tls,
    /// STARTTLS, required, usually port 587.
    StartTls,
    /// None: only for a relay on this machine or a trusted network; refuses to send a password elsewhere than to loopback.
    None,
}

/// Where letters are handed over. `Debug` never shows the password.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// `mail.smtp.host`.
    pub host: String,
    /// `mail.smtp.port`.
    pub port: u16,
    /// `mail.smtp.security`.
    pub security: Security,
    /// `mail.smtp.username` and `mail.smtp.password`.
    pub credentials: Option<(String, SecretString)>,
    /// `mail.from`, such as `Colloquy <hello@example.com>`.
    pub from: String,
    /// For one command of the protocol, and three times as long for a whole letter.
    pub timeout: Duration,
}

impl SmtpConfig {
    /// The defaults: STARTTLS on port 587, ten seconds per command.
    pub fn new(host: impl Into<String>, from: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 587,
            security: Security::StartTls,
            credentials: None,
            from: from.into(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Sends letters through one SMTP server. Each letter has its own connection: letters are few, and an idle one would be dead when an
/// alert needs it.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: NamedAddress,
    host: String,
    letter_timeout: Duration,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Prepares the sender; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting that cannot be used.
    pub fn new(config: &SmtpConfig) -> Result<Self, Error> {
        let wrong = |key, problem: &str| Error::Config { key, problem: problem.to_owned() };
        if config.host.is_empty() || config.host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(wrong("mail.smtp.host", "is not a host name"));
        }
        let tls =
            || TlsParameters::new(config.host.clone()).map_err(|error| wrong("mail.smtp.security", &error.to_string()));
        let tls = match config.security {
            Security::Tls => Tls::Wrapper(tls()?),
            Security::StartTls => Tls::Required(tls()?),
            Security::None => Tls::None,
        };
        if config.security == Security::None && config.credentials.is_some() && !is_loopback(&config.host) {
            return Err(wrong(
                "mail.smtp.security",
                "must be tls or starttls when a password is sent to another machine",
            ));
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(config.timeout));
        if let Some((user, password)) = &config.credentials {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            from: parse_sender(&config.from)?,
            host: config.host.clone(),
            letter_timeout: config.timeout.saturating_mul(3),
        })
    }

    fn message(&self, mail: &Mail) -> Result<(Message, String), Error> {
        let checked = check(mail)?;
        let message_id = format!("<{}@{}>", checked.digest, self.from.email.domain());
        let builder = Message::builder()
            .from(self.from.clone())
            .to(NamedAddress::new(None, checked.to))
            .subject(checked.subject)
            .message_id(Some(message_id.clone()));
        let message = match &mail.html {
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
            None => builder.body(mail.text.clone()),
        };
        let message = message.map_err(|_| Error::InvalidMessage("cannot be written as a letter"))?;
        Ok((message, message_id))
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<Receipt, Error> {
        let (message, message_id) = self.message(mail)?;
        let sent = tokio::time::timeout(self.letter_timeout, self.transport.send(message)).await;
        let error = match sent {
            Ok(Ok(_)) => {
                tracing::debug!(message_id, "mail handed over");
                return Ok(Receipt { message_id, recorded: false });
            }
            Ok(Err(error)) => meaning(&error),
            Err(_) => Error::Timeout,
        };
        // The server's own words may quote the recipient, so only the kind is logged.
        tracing::warn!(message_id, error = %error, "mail was not handed over");
        Err(error)
    }

    fn describe(&self) -> String {
        format!("Mail goes to {}", self.host)
    }
}

fn meaning(error: &smtp::Error) -> Error {
    let code = error.status().map_or(0, u16::from);
    if error.is_timeout() {
        Error::Timeout
    } else if error.is_permanent() {
        Error::Refused { code }
    } else if error.is_transient() {
        Error::Busy { code }
    } else if error.is_tls() || error.is_client() {
        // The library says "client" when the server does not offer the encryption or login that is required.
        Error::Insecure
    } else {
        Error::Unreachable
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
