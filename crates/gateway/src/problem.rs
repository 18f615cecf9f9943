//! Errors as `application/problem+json` (RFC 9457). Only here do refusals become HTTP.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use colloquy_actors::ActorError;
use colloquy_actors::cluster::ClusterError;
use colloquy_actors::cluster::store::StoreError;
use colloquy_actors::domain::Rejection;
use colloquy_wire::common::{FieldError, Problem as Body, Retry};

use crate::audit::Code;

/// An error on its way out.
#[derive(Debug)]
pub struct Problem {
    /// What is sent.
    pub body: Box<Body>,
    /// For 429 and 503.
    pub retry_after_s: Option<u64>,
}

/// What handlers return.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem by status, code and words.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            body: Box::new(Body {
                kind: "/docs#errors".to_owned(),
                title: status.canonical_reason().unwrap_or("Error").to_owned(),
                status: status.as_u16(),
                code: code.to_owned(),
                detail: detail.into(),
                errors: Vec::new(),
                retry: Retry::Never,
                current: None,
            }),
            retry_after_s: None,
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: no credentials, or bad ones.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: not with this role.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: does not exist, or is another tenant's.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
    }

    /// 409: the state does not allow it.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: a field is wrong.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// 422: fields are wrong.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(|e| format!("{}: {}", e.field, e.message)).collect::<Vec<_>>().join("; ");
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_fields", detail);
        problem.body.errors = errors;
        problem
    }

    /// 429: too many.
    pub fn too_many(retry_after_s: u64) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("Too many requests: try again in {retry_after_s} s."),
        );
        problem.retry_after_s = Some(retry_after_s);
        problem.body.retry = Retry::Safe;
        problem
    }

    /// 503: not now, nothing happened.
    pub fn unavailable(code: &str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retry_after_s = Some(retry_after_s);
        problem.body.retry = Retry::Safe;
        problem
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let detail = rejection.to_string();
        match rejection {
            Rejection::NotFound { what } => Self::not_found(&what),
            Rejection::Forbidden { detail } => Self::forbidden(detail),
            Rejection::Invalid { errors } => {
                Self::fields(errors.into_iter().map(|e| FieldError { field: e.field, message: e.message }).collect())
            }
            Rejection::Conflict { code, detail } => Self::conflict(&code, detail),
            Rejection::Stale { current } => {
                let mut problem = Self::new(
                    StatusCode::PRECONDITION_FAILED,
                    "stale",
                    "Somebody else saved first: compare with `current` and send again with its ETag.",
                );
                problem.body.current = Some(current);
                problem
            }
            Rejection::LimitReached { limit, detail } => {
                let mut problem = Self::new(StatusCode::PAYMENT_REQUIRED, "limit_reached", detail);
                problem.body.errors = vec![FieldError { field: limit, message: "the plan's limit is reached".into() }];
                problem
            }
            Rejection::Superseded => Self::conflict("superseded", detail),
        }
    }
}

impl From<ActorError> for Problem {
    fn from(error: ActorError) -> Self {
        match error {
            ActorError::Rejected(rejection) => rejection.into(),
            ActorError::Busy { retry_after_ms } => Self::unavailable(
                "overloaded",
                "Too much at once: nothing happened, try again shortly.",
                retry_after_ms.div_ceil(1000).max(1),
            ),
            ActorError::Unknown => {
                let mut problem = Self::unavailable(
                    "outcome_unknown",
                    "It may or may not have happened: repeat the request with the same Idempotency-Key or client id.",
                    1,
                );
                problem.body.retry = Retry::SameKey;
                problem
            }
            // The runtime logs it once; a caller should know that trying again at once is in vain.
            ActorError::StorageFull => Self::unavailable(
                "storage_full",
                "The server's storage is full: nothing was stored. Reading works; try again once there is space.",
                30,
            ),
            ActorError::Damaged(detail) => {
                // The place is for the operator's eyes.
                tracing::error!(%detail, "stored data is damaged");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "storage_damaged",
                    "What the server has stored of this is damaged. It is not shown, changed or dropped; the server's log says where and what to do.",
                )
            }
            ActorError::Unavailable(detail) => {
                // What exactly is wrong is for the operator's eyes.
                tracing::warn!(%detail, "a call could not be carried out");
                Self::unavailable(
                    "unavailable",
                    "This cannot be done right now; nothing was changed. Please try again shortly.",
                    2,
                )
            }
            ActorError::Failed => {
                let mut problem = Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Something went wrong on our side; nothing was changed.",
                );
                problem.body.retry = Retry::Safe;
                problem
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ActorError::from(error).into()
    }
}

impl From<ClusterError> for Problem {
    fn from(error: ClusterError) -> Self {
        ActorError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = (status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Code(self.body.code));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_name_and_other_failures_keep_their_details_inside() {
        let full = Problem::from(ActorError::StorageFull);
        assert_eq!((full.body.status, full.body.code.as_str(), full.retry_after_s), (503, "storage_full", Some(30)));
        let damaged = Problem::from(ActorError::Damaged("corrupt data in event 3 of t/conversation/1".into()));
        assert_eq!((damaged.body.status, damaged.body.code.as_str()), (500, "storage_damaged"));
        assert!(!damaged.body.detail.contains("event 3"), "{}", damaged.body.detail);
        let inner = Problem::from(ActorError::Unavailable("corrupt data in data key of platform/account/1".into()));
        assert_eq!(inner.body.code, "unavailable");
        assert!(!inner.body.detail.contains("account"), "{}", inner.body.detail);
    }
}
