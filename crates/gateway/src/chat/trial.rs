//! Who is no visitor: somebody of the organization who tries an agent out, in the console or on its sample page.

use axum::http::{HeaderMap, header};

use super::Reached;
use crate::app::AppState;
use crate::auth::{self, ACCESS_COOKIE};

/// Whether a token is of somebody, or of a key, of the agent's own organization.
pub async fn is_of(app: &AppState, token: &str, agent: &Reached) -> bool {
    auth::of_token(app, token).await.is_ok_and(|console| *console.tenant() == agent.tenant)
}

/// Whether who chats on the sample page is of the organization.
pub struct Tester {
    /// The console's access token, if a page of ours asks and its browser is signed in.
    token: Option<String>,
    /// What was found out.
    pub tries: bool,
}

impl Tester {
    /// Not looked at yet. The widget's own frame is a page of ours wherever it stands.
    pub fn of(app: &AppState, headers: &HeaderMap) -> Self {
        let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let ours = [&app.settings.public_url, &app.settings.widget_url].iter().any(|own| origin == own.as_str());
        let token = auth::cookie(headers, ACCESS_COOKIE).filter(|_| ours).map(str::to_owned);
        Self { token, tries: false }
    }

    /// Looks who it is, once the page is known that the widget stands on. On the organization's own website its people are visitors like all others:
    /// whether their browser would tell there who they are depends on the names of hosts alone.
    pub async fn look(&mut self, app: &AppState, agent: &Reached, page: Option<&str>) {
        self.tries = match &self.token {
            Some(token) if is_sample(app, page) => is_of(app, token, agent).await,
            Some(_) | None => false,
        };
    }
}

fn is_sample(app: &AppState, page: Option<&str>) -> bool {
    let path = page.and_then(|page| page.strip_prefix(app.settings.public_url.as_str()));
    path.is_some_and(|path| path.starts_with("/demo/"))
}
