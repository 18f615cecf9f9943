//! What the driver's errors mean to a caller of the store.

use scylla::errors::{
    DbError, DeserializationError, ExecutionError, IntoRowsResultError, MaybeFirstRowError, NewSessionError,
    NextPageError, NextRowError, PagerExecutionError, PrepareError, RequestAttemptError, RequestError, RowsError,
    TypeCheckError,
};

use super::ScyllaConfig;
use crate::StoreError;

/// Ends every message about damage: what a person does now.
const WHAT_TO_DO: &str = "nothing was dropped or repaired. Look at the servers' disks and logs, run a repair of the keyspace, \
                          and restore it from a backup if that does not help";

/// Damage at `place`, with what to do.
pub(super) fn corrupt(place: impl Into<String>, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { place: place.into(), detail: format!("{what}; {WHAT_TO_DO}") }
}

/// Content that is not what its checksum was made over.
pub(super) fn unequal(place: String) -> StoreError {
    corrupt(place, "its checksum does not match its content")
}

/// An error of a read, or of a plain write: both may be done again.
pub(super) fn of_repeatable(error: ExecutionError) -> StoreError {
    match Fault::of(&error) {
        Fault::Foreign => incompatible(&error),
        Fault::NotSent | Fault::Refused | Fault::Open => StoreError::Unavailable(error.to_string()),
    }
}

/// An error of a conditional statement: unless it certainly was not carried out, nobody knows whether it was.
pub(super) fn of_conditional(error: ExecutionError) -> StoreError {
    match Fault::of(&error) {
        Fault::Foreign => incompatible(&error),
        Fault::NotSent | Fault::Refused => StoreError::Unavailable(error.to_string()),
        Fault::Open => StoreError::Unknown(error.to_string()),
    }
}

fn incompatible(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Incompatible(format!("the server does not take a statement of this version: {error}"))
}

/// How far a request came.
enum Fault {
    /// It did not leave this process.
    NotSent,
    /// The server refused it before it did anything.
    Refused,
    /// The server does not understand it: another schema, other rights, another product.
    Foreign,
    /// It may have been carried out, or may still be.
    Open,
}

impl Fault {
    fn of(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::BadQuery(_) => Self::Foreign,
            ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => Self::NotSent,
            ExecutionError::PrepareError(error) => Self::of_prepare(error),
            ExecutionError::LastAttemptError(error) => Self::of_attempt(error),
            _ => Self::Open,
        }
    }

    fn of_prepare(error: &PrepareError) -> Self {
        match error {
            PrepareError::AllAttemptsFailed { first_attempt: RequestAttemptError::DbError(error, _) } => {
                match Self::of_server(error) {
                    Self::Foreign => Self::Foreign,
                    Self::NotSent | Self::Refused | Self::Open => Self::NotSent,
                }
            }
            _ => Self::NotSent,
        }
    }

    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
                Self::Foreign
            }
            RequestAttemptError::UnableToAllocStreamId => Self::NotSent,
            RequestAttemptError::DbError(error, _) => Self::of_server(error),
            _ => Self::Open,
        }
    }

    fn of_server(error: &DbError) -> Self {
        match error {
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::ConfigError
            | DbError::Unauthorized
            | DbError::AuthenticationError => Self::Foreign,
            DbError::IsBootstrapping | DbError::Unprepared { .. } => Self::Refused,
            // Unavailable and Overloaded too: a server counts living replicas and hints once more when it commits what was agreed on.
            _ => Self::Open,
        }
    }
}

/// Why there is no session, with what is probably to be mended. Only from the words: the driver keeps causes where no type can be asked for.
pub(super) fn of_session(config: &ScyllaConfig, error: &NewSessionError) -> StoreError {
    let text = format!("no connection to the CQL servers: {error}");
    let lower = text.to_lowercase();
    let said = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let hint = if said(&["bad credentials"]) {
        let user = config.login.as_ref().map_or("", |login| login.user.as_str());
        format!("the servers refuse the login {user:?} with this password")
    } else if said(&["authentication is required"]) {
        "the servers ask for a login, and none is set".to_owned()
    } else if let Some(tls) = &config.tls {
        if said(&["invalid peer certificate"]) {
            format!("the servers' certificates do not lead to {}, or are not for these addresses", tls.ca.display())
        } else if said(&["fatal alert", "peer is incompatible"]) {
            match &tls.identity {
                None => "the servers ask for a certificate of one's own, and none is set".to_owned(),
                Some((chain, _)) => format!("the servers refuse the certificate {}", chain.display()),
            }
        } else if said(&["corrupt message"]) {
            "the servers do not speak TLS there, and it is set".to_owned()
        } else if tls.identity.is_none() && said(&["broken", "reset", "closed"]) && !said(&["refused"]) {
            // A server's reason for hanging up is lost when what was written to it comes back first.
            "the servers hang up: they may ask for a certificate of one's own, and none is set".to_owned()
        } else {
            return StoreError::Unavailable(text);
        }
    } else if said(&["broken", "reset", "frame", "closed"]) && !said(&["refused"]) {
        "the servers may speak TLS only, and none is set".to_owned()
    } else {
        return StoreError::Unavailable(text);
    };
    StoreError::Invalid(format!("{hint} ({text})"))
}

pub(super) fn of_prepare(statement: &str, error: &PrepareError) -> StoreError {
    match Fault::of_prepare(error) {
        Fault::Foreign => incompatible(&format_args!("{error} ({statement})")),
        Fault::NotSent | Fault::Refused | Fault::Open => StoreError::Unavailable(error.to_string()),
    }
}

pub(super) fn of_pager(error: PagerExecutionError) -> StoreError {
    match error {
        PagerExecutionError::PrepareError(error) => of_prepare("", &error),
        PagerExecutionError::SerializationError(error) => incompatible(&error),
        PagerExecutionError::NextPageError(error) => of_page(error),
        error => StoreError::Unavailable(error.to_string()),
    }
}

pub(super) fn of_next_row(error: NextRowError) -> StoreError {
    match error {
        NextRowError::NextPageError(error) => of_page(error),
        NextRowError::RowDeserializationError(error) => error.into(),
        error => StoreError::Unavailable(error.to_string()),
    }
}

fn of_page(error: NextPageError) -> StoreError {
    match error {
        NextPageError::RequestFailure(RequestError::LastAttemptError(error)) => {
            of_repeatable(ExecutionError::LastAttemptError(error))
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

impl From<TypeCheckError> for StoreError {
    fn from(error: TypeCheckError) -> Self {
        incompatible(&error)
    }
}

impl From<DeserializationError> for StoreError {
    fn from(error: DeserializationError) -> Self {
        // A NULL where a row never has one, or bytes that are no text.
        corrupt("a row", error)
    }
}

impl From<IntoRowsResultError> for StoreError {
    fn from(error: IntoRowsResultError) -> Self {
        incompatible(&error)
    }
}

impl From<RowsError> for StoreError {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::TypeCheckFailed(error) => error.into(),
        }
    }
}

impl From<MaybeFirstRowError> for StoreError {
    fn from(error: MaybeFirstRowError) -> Self {
        match error {
            MaybeFirstRowError::TypeCheckFailed(error) => error.into(),
            MaybeFirstRowError::DeserializationFailed(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    fn server(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    #[test]
    fn only_what_certainly_did_not_happen_may_be_tried_again() {
        let timeout = DbError::WriteTimeout {
            consistency: Consistency::LocalQuorum,
            received: 1,
            required: 2,
            write_type: WriteType::Cas,
        };
        let too_few = DbError::Unavailable { consistency: Consistency::LocalQuorum, required: 2, alive: 1 };
        for open in [
            server(timeout),
            server(too_few),
            server(DbError::Overloaded),
            server(DbError::ServerError),
            ExecutionError::RequestTimeout(std::time::Duration::from_secs(1)),
        ] {
            assert!(matches!(of_conditional(open.clone()), StoreError::Unknown(_)), "{open}");
            assert!(matches!(of_repeatable(open.clone()), StoreError::Unavailable(_)), "{open}");
        }
        for not_done in [
            ExecutionError::EmptyPlan,
            server(DbError::IsBootstrapping),
            ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId),
        ] {
            assert!(matches!(of_conditional(not_done.clone()), StoreError::Unavailable(_)), "{not_done}");
        }
        for foreign in [server(DbError::Invalid), server(DbError::SyntaxError), server(DbError::Unauthorized)] {
            assert!(matches!(of_conditional(foreign.clone()), StoreError::Incompatible(_)), "{foreign}");
        }
    }

    #[test]
    fn damage_names_the_place_and_what_to_do() {
        let text = unequal("acme/conversation/1 at 5".to_owned()).to_string();
        assert!(
            text.contains("acme/conversation/1 at 5") && text.contains("backup") && text.contains("repair"),
            "{text}"
        );
    }
}
