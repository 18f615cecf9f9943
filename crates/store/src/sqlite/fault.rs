//! What SQLite's errors mean to a caller of the store.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// Ends every message about damage: what a person does now.
const WHAT_TO_DO: &str = "nothing was dropped or repaired. Stop Colloquy, keep a copy of the data folder, then restore it from a backup, \
                          or save what can be read with `sqlite3 colloquy.db .recover`";

/// Damage at `place`, with what to do.
pub(super) fn corrupt(place: impl Into<String>, what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { place: place.into(), detail: format!("{what}; {WHAT_TO_DO}") }
}

/// Content that is not what its checksum was made over.
pub(super) fn unequal(place: String) -> StoreError {
    corrupt(place, "its checksum does not match its content")
}

/// Names the row or entity in an error that only knows the file.
pub(super) fn at(place: impl std::fmt::Display, error: Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Corrupt { place: file, detail } => {
            StoreError::Corrupt { place: format!("{place} ({file})"), detail }
        }
        other => other,
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => StoreError::Full(error.to_string()),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => corrupt(super::FILE_NAME, &error),
                // Our statements are fixed and tested: one that does not fit its table means that the table is not what was created.
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::Unknown => {
                    corrupt(super::FILE_NAME, &error)
                }
                _ => StoreError::Unavailable(error.to_string()),
            },
            Error::SqlInputError { .. }
            | Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..) => corrupt(super::FILE_NAME, &error),
            _ => StoreError::Unavailable(error.to_string()),
        }
    }
}

/// An error of COMMIT itself: after an input/output error the transaction may be in the log or not.
pub(super) fn of_commit(error: Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => StoreError::Unknown(error.to_string()),
        Some(_) | None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_the_caller_must_do() {
        let error = |code| Error::SqliteFailure(ffi::Error::new(code), None);
        assert!(matches!(of_commit(error(ffi::SQLITE_IOERR_FSYNC)), StoreError::Unknown(_)));
        assert!(matches!(of_commit(error(ffi::SQLITE_IOERR_WRITE)), StoreError::Unknown(_)));
        assert!(matches!(of_commit(error(ffi::SQLITE_FULL)), StoreError::Full(_)));
        for (code, expected) in [
            (ffi::SQLITE_FULL, StoreError::Full(String::new())),
            (ffi::SQLITE_IOERR_READ, StoreError::Unavailable(String::new())),
            (ffi::SQLITE_BUSY, StoreError::Unavailable(String::new())),
            (ffi::SQLITE_CANTOPEN, StoreError::Unavailable(String::new())),
            (ffi::SQLITE_CORRUPT_INDEX, corrupt("", "")),
            (ffi::SQLITE_NOTADB, corrupt("", "")),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, corrupt("", "")),
        ] {
            let found = StoreError::from(error(code));
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{code}: {found}");
        }
    }

    #[test]
    fn damage_names_the_place_and_what_to_do() {
        let error = at("acme/conversation/1 at 5", Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), None));
        let text = error.to_string();
        assert!(
            text.contains("acme/conversation/1 at 5") && text.contains("backup") && text.contains(".recover"),
            "{text}"
        );
    }
}
