//! Why a command was refused, in words a user can act on. The gateway alone turns these into HTTP.

use serde::{Deserialize, Serialize};

/// One field that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's path, such as `organization.timezone`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    /// Builds an error for one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A refusal. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Rejection {
    /// It does not exist, or belongs to another tenant.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for, such as `agent`.
        what: String,
    },
    /// The principal's role does not allow it.
    #[error("{detail}")]
    Forbidden {
        /// What would be needed.
        detail: String,
    },
    /// Fields are wrong.
    #[error("some fields are not right")]
    Invalid {
        /// Each wrong field.
        errors: Vec<FieldError>,
    },
    /// The state does not allow it now.
    #[error("{detail}")]
    Conflict {
        /// A stable code, such as `conversation_closed` or `agent_not_live`.
        code: String,
        /// What is the matter and what to do.
        detail: String,
    },
    /// Somebody else saved first.
    #[error("it was changed meanwhile")]
    Stale {
        /// The current version.
        current: serde_json::Value,
    },
    /// A plan's limit is reached.
    #[error("{detail}")]
    LimitReached {
        /// Which limit, such as `max_agents`.
        limit: String,
        /// What to do.
        detail: String,
    },
    /// The result of an effect that was cancelled or replaced by a newer attempt.
    #[error("a newer attempt has replaced this one")]
    Superseded,
}

impl Rejection {
    /// Something is missing or foreign.
    pub fn not_found(what: &str) -> Self {
        Self::NotFound { what: what.to_owned() }
    }

    /// The state does not allow it.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::Conflict { code: code.to_owned(), detail: detail.into() }
    }

    /// One field is wrong.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { errors: vec![FieldError::new(field, message)] }
    }

    /// The role is too low.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::Forbidden { detail: detail.into() }
    }
}
