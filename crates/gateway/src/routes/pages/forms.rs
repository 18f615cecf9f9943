//! Plain HTML forms: reading what was typed, proving that it was typed on a page of ours, showing it again with what is wrong.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use crate::accounts::set_cookie;
use crate::app::{App, AppState};
use crate::auth::cookie;
use crate::problem::Problem;
use crate::tokens::{fresh_secret, same};

/// The cookie half of the proof; its other half is a hidden field of every form.
pub(super) const FORM_COOKIE: &str = "colloquy_form";
/// The hidden field.
const FORM_FIELD: &str = "form_token";
/// Seconds a browser keeps the cookie: somebody may leave a form open over night.
const FORM_COOKIE_S: i64 = 7 * 24 * 3600;
/// The longest value of the cookie that is looked at, bytes: ours have 43.
const FORM_COOKIE_MAX: usize = 64;
/// The longest address to continue at, bytes: ours have an id or a code.
const NEXT_MAX: usize = 512;

/// The fields of a form as they were sent.
pub(super) struct Sent(BTreeMap<String, String>);

impl Sent {
    /// A field without white space around it; empty if it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// A field exactly as typed, for passwords.
    pub(super) fn exact(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// A field that is there and not blank.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

impl FromRequest<App> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match axum::Form::<BTreeMap<String, String>>::from_request(request, app).await {
            Ok(axum::Form(fields)) => Ok(Self(fields)),
            Err(error) => Err(Problem::new(error.status(), "bad_form", error.body_text())),
        }
    }
}

/// A browser's half of the proof that a form came from a page of ours.
///
/// A signed double submit: the cookie is random and the field is its HMAC, so another site, which can neither read nor set the cookie, cannot
/// send a matching pair, also not to the log-in form, where there is no session yet to bind a token to. It works in browsers that send
/// no `Origin`, and on pages without a referrer, where they send `null`. Where a browser does say that another site sent the form, that
/// decides: a neighbouring subdomain may be able to set a cookie.
pub(super) struct Browser {
    value: String,
    fresh: bool,
}

impl Browser {
    /// The browser of a request; a new one gets its cookie with the answer.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let known = cookie(headers, FORM_COOKIE).filter(|value| {
            (1..=FORM_COOKIE_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic())
        });
        match known {
            Some(value) => Self { value: value.to_owned(), fresh: false },
            None => Self { value: fresh_secret(), fresh: true },
        }
    }

    /// What the hidden field holds.
    pub(super) fn token(&self, app: &AppState) -> String {
        app.tokens.form(&self.value)
    }

    /// Gives a new browser its cookie.
    pub(super) fn remember(&self, app: &AppState, headers: &mut HeaderMap) {
        if self.fresh {
            set_cookie(app, headers, FORM_COOKIE, &self.value, "/", FORM_COOKIE_S);
        }
    }

    /// Refuses a form that did not come from a page of ours.
    pub(super) fn check(&self, app: &AppState, headers: &HeaderMap, sent: &Sent) -> Result<(), Problem> {
        let proven = !self.fresh && same(sent.text(FORM_FIELD).as_bytes(), self.token(app).as_bytes());
        if proven && !from_elsewhere(app, headers) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "form_expired",
            "This form was open for too long, or your browser refuses cookies. Nothing was changed: please send it again.",
        ))
    }
}

/// Whether the browser itself says that another site sent the form.
fn from_elsewhere(app: &AppState, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    match text(header::ORIGIN.as_str()) {
        None | Some("null") => false,
        Some(origin) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            origin != app.settings.public_url && (host.is_none() || host != text(header::HOST.as_str()))
        }
    }
}

/// One input.
pub(super) struct Field {
    /// Its name, as sent.
    pub(super) name: &'static str,
    /// What it is called.
    pub(super) label: &'static str,
    /// The type of the input; `select` and `area` are elements of their own.
    pub(super) kind: &'static str,
    /// What the browser may fill in.
    pub(super) autocomplete: &'static str,
    /// What is in it.
    pub(super) value: String,
    /// Said below it.
    pub(super) hint: &'static str,
    /// What is wrong with it.
    pub(super) error: String,
    /// Whether it may be left empty.
    pub(super) optional: bool,
    /// The choices of a `select`, by group.
    pub(super) groups: Vec<Group>,
}

/// Choices under one heading; without a heading they stand alone.
pub(super) struct Group {
    /// The heading.
    pub(super) label: String,
    /// Value and words.
    pub(super) choices: Vec<(String, String)>,
}

impl Field {
    /// An input that must be filled.
    pub(super) fn new(kind: &'static str, name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self {
            name,
            label,
            kind,
            autocomplete,
            value: String::new(),
            hint: "",
            error: String::new(),
            optional: false,
            groups: Vec::new(),
        }
    }

    /// With something in it.
    pub(super) fn holding(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// With a sentence below.
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// That may be left empty.
    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// With choices.
    pub(super) fn groups(mut self, groups: Vec<Group>) -> Self {
        self.groups = groups;
        self
    }
}

/// A form.
pub(super) struct Form {
    /// Where it is sent.
    pub(super) action: String,
    /// The words of its button.
    pub(super) button: &'static str,
    /// Whether it is what the page is for.
    pub(super) main: bool,
    /// Its proof.
    pub(super) token: String,
    /// Fields nobody sees.
    pub(super) hidden: Vec<(&'static str, String)>,
    /// Its inputs.
    pub(super) fields: Vec<Field>,
    /// What is wrong with it as a whole.
    pub(super) error: String,
}

impl Form {
    /// A form of a page.
    pub(super) fn new(action: impl Into<String>, button: &'static str, token: &str) -> Self {
        Self {
            action: action.into(),
            button,
            main: true,
            token: token.to_owned(),
            hidden: Vec::new(),
            fields: Vec::new(),
            error: String::new(),
        }
    }

    /// A form that is not what the page is for.
    pub(super) fn minor(mut self) -> Self {
        self.main = false;
        self
    }

    /// With an input.
    pub(super) fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// With a field nobody sees.
    pub(super) fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// With what was typed before, passwords excepted.
    pub(super) fn filled(mut self, sent: &Sent) -> Self {
        for field in self.fields.iter_mut().filter(|field| field.kind != "password") {
            field.value = sent.text(field.name).to_owned();
        }
        self
    }

    /// With what was wrong: each message at its field, the rest above all.
    pub(super) fn refused(mut self, problem: &Problem) -> Self {
        let mut rest = Vec::new();
        for error in &problem.body.errors {
            // `organization.website_url` is the field `organization_website_url` of a form.
            let name = error.field.replace('.', "_");
            match self.fields.iter_mut().find(|field| field.name == name && field.error.is_empty()) {
                Some(field) => field.error = sentence(&error.message),
                None => rest.push(sentence(&error.message)),
            }
        }
        self.error = match (problem.body.errors.is_empty(), rest.is_empty()) {
            (true, _) => problem.body.detail.clone(),
            (false, true) => "Please look at what is marked below.".to_owned(),
            (false, false) => rest.join(" "),
        };
        self
    }
}

/// `must be …` as a sentence of its own.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let Some(first) = letters.next() else { return String::new() };
    let text: String = first.to_uppercase().chain(letters).collect();
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

/// Where to go on after signing in: only a page of ours that shows something of a signed-in person, never another site.
pub(super) fn next(wanted: &str) -> &str {
    // Our addresses need no escapes and no dots in a row; a browser would climb out of `/app` by them (`%2e%2e` is `..` to it).
    let plain = wanted.len() <= NEXT_MAX
        && !wanted.contains("..")
        && wanted
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'?' | b'=' | b'&' | b'-' | b'_' | b'.' | b'~'));
    let ours = ["/app", "/logout", "/signup"]
        .iter()
        .any(|page| wanted.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])));
    if plain && ours { wanted } else { "/app" }
}

/// A value inside of a query.
pub(super) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_are_continued_at() {
        for good in ["/app", "/app/conversations/0a1b", "/app?x=1", "/signup?invitation=t.s-c_1", "/logout"] {
            assert_eq!(next(good), good);
        }
        for bad in [
            "",
            "/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "https://evil.example/app",
            "javascript:alert(1)",
            "/application",
            "/app\r\nSet-Cookie: a=b",
            "/app@evil.example",
            "/api/auth/magic/token-of-somebody-else",
            "/app/../api/auth/magic/token-of-somebody-else",
            "/app/%2e%2e/api/auth/magic/token-of-somebody-else",
            " /app",
        ] {
            assert_eq!(next(bad), "/app", "{bad:?}");
        }
        assert_eq!(next(&format!("/app/{}", "x".repeat(NEXT_MAX))), "/app");
    }

    #[test]
    fn a_problem_is_said_where_it_belongs() {
        let form = || {
            Form::new("/signup", "Sign up", "t")
                .field(Field::new("email", "email", "E-mail", "email"))
                .field(Field::new("url", "organization_website_url", "Website", "url"))
        };
        let error =
            |field: &str| colloquy_wire::common::FieldError { field: field.into(), message: "must be good".into() };
        let shown = form().refused(&Problem::fields(vec![error("organization.website_url")]));
        assert_eq!((shown.fields[0].error.as_str(), shown.fields[1].error.as_str()), ("", "Must be good."));
        let unknown = form().refused(&Problem::fields(vec![error("email"), error("token")]));
        assert_eq!((unknown.fields[0].error.as_str(), unknown.error.as_str()), ("Must be good.", "Must be good."));
        let whole = form().refused(&Problem::unauthorized("E-mail address or password is wrong."));
        assert_eq!(whole.error, "E-mail address or password is wrong.");
    }

    #[test]
    fn a_value_of_a_query_stays_one_value() {
        assert_eq!(encoded("/signup?a=b&c"), "%2Fsignup%3Fa%3Db%26c");
    }
}
