//! `/privacy`, `/cookies` and `/terms`: what this program does with what it is told, as it is. Whoever runs an installation is named by `[legal]`.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use super::page;
use crate::app::{App, AppState};
use crate::auth::{ACCESS_COOKIE, REFRESH_COOKIE, SESSION_COOKIE};
use crate::routes::pages::forms::FORM_COOKIE;

/// The routes of this file.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/privacy", get(privacy)).route("/cookies", get(cookies)).route("/terms", get(terms))
}

struct Section {
    heading: &'static str,
    paragraphs: &'static [&'static str],
    /// Name, purpose, time.
    rows: &'static [(&'static str, &'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "legal.html")]
struct Legal<'a> {
    title: &'static str,
    lead: &'static str,
    operator: &'a str,
    /// Words and address.
    contact: Option<(&'a str, String)>,
    sections: &'static [Section],
}

fn shown(app: &AppState, title: &'static str, lead: &'static str, sections: &'static [Section]) -> Response {
    let (operator, contact) = (app.settings.operator.trim(), app.settings.contact.trim());
    let contact = link(contact).map(|address| (contact, address));
    page(&Legal { title, lead, operator, contact, sections })
}

/// Where a contact leads: an e-mail address or a website, nothing that could run.
fn link(contact: &str) -> Option<String> {
    if contact.starts_with("https://") || contact.starts_with("http://") {
        Some(contact.to_owned())
    } else if contact.contains('@') && !contact.contains(':') {
        Some(format!("mailto:{contact}"))
    } else {
        None
    }
}

async fn privacy(State(app): State<App>) -> Response {
    const SECTIONS: &[Section] = &[
        Section {
            heading: "Visitors of a chat",
            paragraphs: &[
                "What you write is kept with the answers, so that the conversation can go on and the business can read it. With it are kept: a random number for your browser, the network address you came from, the page the chat is on and the one before it, the language and the kind of your browser.",
                "Names, numbers and addresses that you give may become a contact of the business whose website you are on. That business decides about them: ask it first.",
                "Answers may be written by a language model of another company, if whoever runs this installation has set one up. It then gets the conversation and the pieces of the business's own content that fit it. Without one, nothing leaves this installation.",
            ],
            rows: &[],
        },
        Section {
            heading: "People with an account",
            paragraphs: &[
                "Kept are your name, your e-mail address, a hash of your password, your sessions with the network address they began from, and what you write and change.",
            ],
            rows: &[],
        },
        Section {
            heading: "The chat on the front page",
            paragraphs: &[
                "Where the front page shows a live chat, it belongs to an organization that nobody looks into. What is written there becomes no contact, is counted nowhere and is mailed to nobody.",
            ],
            rows: &[],
        },
        Section {
            heading: "How it is kept",
            paragraphs: &[
                "Conversations, contacts and accounts are encrypted at rest, conversations and contacts with a key of their own. When a person is erased, the key is destroyed: what it opened can be read by nobody any more, also not in copies. Numbers that hold nothing personal stay.",
                "There is no advertising, no tracking across websites and no script of anybody else on these pages.",
            ],
            rows: &[],
        },
        Section {
            heading: "What you can ask for",
            paragraphs: &[
                "To see what is kept about you, to have it corrected, to have it erased, and to get it as a file. Visitors ask the business whose website they were on; it can erase a person by address, number or visitor in its settings. People with an account ask an admin of their organization.",
            ],
            rows: &[],
        },
    ];
    shown(&app, "Privacy", "What this program keeps about people, why, and how it is erased.", SECTIONS)
}

async fn cookies(State(app): State<App>) -> Response {
    const SECTIONS: &[Section] = &[
        Section {
            heading: "Cookies",
            paragraphs: &[
                "Only what a log-in needs. All are for this server alone, sent to no other website and read by no script. The chat on a website sets none.",
            ],
            rows: &[
                (FORM_COOKIE, "Proves that a form was sent from a page of ours.", "7 days"),
                (ACCESS_COOKIE, "Says who is logged in.", "15 minutes, renewed while you work"),
                (REFRESH_COOKIE, "Renews the log-in.", "30 days"),
                (SESSION_COOKIE, "Says that there is a log-in to renew.", "30 days"),
            ],
        },
        Section {
            heading: "Kept in your browser",
            paragraphs: &["Entries of the browser's storage that are not sent along with requests by themselves."],
            rows: &[
                (
                    "vbot:…",
                    "The chat: a random number for this browser, its proof, the conversation, messages that could not be sent yet, and whether sounds are off. Where a website asks for consent, nothing before you agree.",
                    "until you clear it",
                ),
                ("colloquy.…", "The console: theme, drafts that were not sent, what was read.", "until you clear it"),
            ],
        },
    ];
    shown(&app, "Cookies", "What is stored in your browser. Nothing of it is for advertising.", SECTIONS)
}

async fn terms(State(app): State<App>) -> Response {
    const SECTIONS: &[Section] = &[
        Section {
            heading: "The program",
            paragraphs: &[
                "Colloquy is open source under the Apache License 2.0, which also says that it comes without warranty. What holds between you and whoever runs this installation is for the two of you to agree on.",
            ],
            rows: &[],
        },
        Section {
            heading: "Answers",
            paragraphs: &[
                "An assistant answers from the content it was given and can be wrong. It gives no medical, legal or financial advice. In an emergency call your local emergency number.",
            ],
            rows: &[],
        },
        Section {
            heading: "Fair use",
            paragraphs: &[
                "Give it only content that you may use, and websites that are yours or that allow it. Tell your visitors that they write with an assistant. Do not use it to deceive, to harass, or to get around limits; calls and messages beyond the limits are refused.",
            ],
            rows: &[],
        },
        Section {
            heading: "Your content",
            paragraphs: &[
                "What you give the assistant and what visitors write stays yours and theirs. It is used to answer, and for nothing else.",
            ],
            rows: &[],
        },
    ];
    shown(&app, "Terms of use", "What may be expected of this program, and of those who use it.", SECTIONS)
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn a_contact_leads_to_a_mail_or_a_website_and_nowhere_else() {
        assert_eq!(link("help@example.com").as_deref(), Some("mailto:help@example.com"));
        assert_eq!(link("https://example.com/imprint").as_deref(), Some("https://example.com/imprint"));
        for other in ["", "javascript:alert(1)//@", "call us", "data:text/html,@"] {
            assert_eq!(link(other), None, "{other}");
        }
    }
}
