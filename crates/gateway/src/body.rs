//! Bodies and queries as typed values, with our own errors instead of the framework's.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body, in and out.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// Query fields.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !(essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "Send a JSON body with `Content-Type: application/json`.",
            ));
        }
        let bytes = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be missing altogether.
#[derive(Clone, Debug)]
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = read(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::bad_request("bad_query", error.body_text())),
        }
    }
}

/// Parses JSON and names the field that is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::bad_request("not_utf8", "The body is not valid UTF-8."));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        problem_of(&path, &error.into_inner())
    })?;
    reader.end().map_err(|error| problem_of("", &error))?;
    Ok(value)
}

fn problem_of(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data => {
            let message = error.to_string();
            // An unknown or missing field is named in the message; a wrong type by where it stands.
            let named = message
                .split('`')
                .nth(1)
                .filter(|_| message.starts_with("missing field") || message.starts_with("unknown field"));
            let said = said(&message);
            match (path, named) {
                ("" | ".", Some(field)) => Problem::field(field, said),
                (path, Some(field)) if !path.ends_with(field) => Problem::field(&format!("{path}.{field}"), said),
                (path, _) => Problem::field(path, said),
            }
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            Problem::bad_request("not_json", format!("The body is not valid JSON: {error}"))
        }
    }
}

/// The decoder's words as a caller understands them; what is of our own stays as it is.
fn said(message: &str) -> String {
    // The field is named, so the place in the bytes helps nobody.
    let message = message.rsplit_once(" at line ").map_or(message, |(words, _)| words);
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let known = |expected: &str| expected.trim_start_matches("one of ").replace(" or ", ", ");
    if what.starts_with("missing field") {
        "is missing".to_owned()
    } else if what.starts_with("unknown field") {
        match expected {
            "" => "is not known here".to_owned(),
            expected => format!("is not known here; known are {}", known(expected)),
        }
    } else if what.starts_with("unknown variant") && !expected.is_empty() {
        format!("must be one of {}", known(expected))
    } else if let Some(given) = what.strip_prefix("invalid type: ") {
        format!("must be {}, not {}", kind(expected), kind(given.split(' ').next().unwrap_or_default()))
    } else if what.starts_with("invalid length") && expected.starts_with("struct ") {
        // A list may stand for an object, value by value; nobody means that.
        "must be an object".to_owned()
    } else if what.starts_with("invalid value: integer") && is_whole(expected) {
        "must be a whole number in the range that is allowed".to_owned()
    } else {
        message.to_owned()
    }
}

fn is_whole(expected: &str) -> bool {
    matches!(expected, "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64")
}

/// What JSON calls what the decoder names after Rust's types.
fn kind(name: &str) -> &str {
    match name {
        whole if is_whole(whole) => "a whole number",
        "integer" => "a whole number",
        "floating" => "a number with a fraction",
        "f32" | "f64" | "number" => "a number",
        "a" | "string" | "a string" | "str" => "a text",
        "a boolean" | "boolean" => "true or false",
        "sequence" | "a sequence" => "a list",
        "map" | "a map" => "an object",
        "null" | "unit" => "null",
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum") => "an object",
        other => other,
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is larger than `limits.body_bytes_max` allows.",
            )
        } else if stalled(&error) {
            too_slow()
        } else {
            Problem::bad_request("bad_body", error.body_text())
        }
    })
}

/// The answer to a body that stops half way.
pub(crate) fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_stalled", "The rest of the body did not come in time.")
}

/// Whether a body ended because nothing more of it came.
pub(crate) fn stalled(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tower_http::timeout::TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[serde(rename = "count")]
        _count: u8,
        #[serde(rename = "kind")]
        _kind: Kind,
        #[serde(rename = "tags", default)]
        _tags: Vec<String>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Large,
        Small,
    }

    #[test]
    fn a_wrong_field_is_named_in_words_of_json() {
        for (body, field, words) in [
            (r#"{"kind":"large"}"#, "count", "is missing"),
            (r#"{"count":1,"kind":"large","size":2}"#, "size", "is not known here; known are `count`, `kind`, `tags`"),
            (r#"{"count":"x","kind":"large"}"#, "count", "must be a whole number, not a text"),
            (r#"{"count":300,"kind":"large"}"#, "count", "must be a whole number in the range that is allowed"),
            (r#"{"count":1.5,"kind":"large"}"#, "count", "must be a whole number, not a number with a fraction"),
            (r#"{"count":1,"kind":"huge"}"#, "kind", "must be one of `large`, `small`"),
            (r#"{"count":1,"kind":"large","tags":"a"}"#, "tags", "must be a list, not a text"),
            (r#"{"count":1,"kind":"large","tags":[true]}"#, "tags[0]", "must be a text, not true or false"),
            (r#"[]"#, ".", "must be an object"),
        ] {
            let problem = parse::<Order>(body.as_bytes()).expect_err(body);
            let [error] = problem.body.errors.as_slice() else { panic!("{body}: {problem:?}") };
            assert_eq!((error.field.as_str(), error.message.as_str()), (field, words), "{body}");
        }
        assert_eq!(Problem::bad_request("not_json", "x").body.code, parse::<Order>(b"{").expect_err("half").body.code);
    }
}
