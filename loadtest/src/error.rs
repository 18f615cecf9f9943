//! What can go wrong while measuring, in words that say what to do.

use std::io;
use std::time::Duration;

/// A measurement that could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, socket or process.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An HTTP exchange that broke.
    #[error("{what}")]
    Http {
        /// What was asked.
        what: String,
        /// Why it failed.
        #[source]
        source: hyper::Error,
    },
    /// A socket that broke.
    #[error("{what}")]
    Socket {
        /// What was tried.
        what: String,
        /// Why it failed; boxed because it is much larger than everything else here.
        #[source]
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// The server answered with a problem.
    #[error("{call} was refused: {status} {code}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Refused {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The problem's stable code.
        code: String,
        /// What the server says about it.
        detail: String,
    },
    /// An answer that is not what the contract says.
    #[error("{call} answered something unexpected: {what}")]
    Unexpected {
        /// Method and path, or the socket.
        call: String,
        /// What was missing or wrong.
        what: String,
    },
    /// Something took too long.
    #[error("{what}: not within {after:?}")]
    NotInTime {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// A server process ended by itself.
    #[error("the {name} process ended: {status}\n{log}")]
    Died {
        /// Which process.
        name: String,
        /// How it ended.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// Something the machine lacks, or an argument that makes no sense.
    #[error("{0}")]
    Setup(String),
    /// Ctrl-C or SIGTERM.
    #[error("stopped before the end")]
    Stopped,
    /// Some scenarios could not be measured; each has said why.
    #[error("not everything could be measured: {0}")]
    ScenariosFailed(String),
}

/// Results of this program.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failed attempt at a file, socket or process.
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// An answer outside the contract.
    pub(crate) fn unexpected(call: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unexpected { call: call.into(), what: what.into() }
    }

    /// A broken socket.
    pub(crate) fn socket(what: impl Into<String>, source: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Socket { what: what.into(), source: Box::new(source) }
    }

    /// A short name for counting failures by kind.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Refused { status, code, .. } => format!("{status} {code}"),
            Self::Io { .. } | Self::Http { .. } | Self::Socket { .. } => "connection broke".to_owned(),
            Self::Unexpected { what, .. } => what.clone(),
            Self::NotInTime { .. } => "no answer in time".to_owned(),
            Self::Died { name, .. } => format!("{name} ended"),
            Self::Setup(what) => what.clone(),
            Self::Stopped => "stopped".to_owned(),
            Self::ScenariosFailed(_) => "scenarios failed".to_owned(),
        }
    }

    /// The message with everything that led to it.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_causes_once() {
        let error = Error::io("could not read x", io::Error::other("disk on fire"));
        assert_eq!(error.with_causes(), "could not read x: disk on fire");
    }

    #[test]
    fn a_refusal_without_detail_ends_with_its_code() {
        let error =
            Error::Refused { call: "POST /api/chat".into(), status: 503, code: "busy".into(), detail: String::new() };
        assert_eq!(error.with_causes(), "POST /api/chat was refused: 503 busy");
        assert_eq!(error.kind(), "503 busy");
    }
}
