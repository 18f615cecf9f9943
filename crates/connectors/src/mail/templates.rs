//! The letters Colloquy writes: alerts, leads, invitations, ways to sign in.

use super::{Mail, letter::Letter, letter::Written, one_line};

/// How much of a name a subject shows; a longer one would push out what the letter is about.
const SUBJECT_NAME_CHARS_MAX: usize = 60;

/// The longest line about one notice in a letter.
const NOTICE_CHARS_MAX: usize = 300;
/// Questions of one list in a letter; the console has all of them.
const QUESTIONS_MAX: usize = 10;
/// The longest question in a letter.
const QUESTION_CHARS_MAX: usize = 200;

/// Somebody is needed in a conversation.
#[derive(Clone, Copy)]
pub struct Alert<'a> {
    /// The agent's name, as the owner knows it.
    pub agent_name: &'a str,
    /// Whether it cannot wait.
    pub emergency: bool,
    /// Why, such as `mentioned flooding` or `asked for a person`.
    pub reason: &'a str,
    /// What is known about the visitor: label and value.
    pub visitor: &'a [(&'a str, &'a str)],
    /// The visitor's last words.
    pub last_message: &'a str,
    /// Where the conversation can be taken over.
    pub conversation_url: &'a str,
}

/// The letter for an escalation or an emergency.
pub fn alert(to: &str, key: &str, alert: &Alert<'_>) -> Mail {
    let (label, urge) = if alert.emergency {
        ("Emergency", "This was reported as an emergency. Please look at it right away.")
    } else {
        (
            "A visitor needs a person",
            "The visitor was told that somebody will take over. You can join the conversation now.",
        )
    };
    let written = Letter::new(&format!("{label}: {}", alert.reason))
        .paragraph(urge)
        .facts(alert.visitor.iter().copied())
        .quote(alert.last_message)
        .button("Open the conversation", alert.conversation_url)
        .sign(&format!("You get this because you are the escalation contact of {}.", name(alert.agent_name)));
    mail(to, key, format!("[{}] {label}: {}", name(alert.agent_name), alert.reason), written)
}

/// Contact data was captured.
#[derive(Clone, Copy)]
pub struct LeadCaptured<'a> {
    /// The agent's name.
    pub agent_name: &'a str,
    /// The fields in the order of the form: label and value.
    pub fields: &'a [(&'a str, &'a str)],
    /// 0 to 100.
    pub score: u8,
    /// What made up the score, in words.
    pub reasons: &'a [&'a str],
    /// Where the lead can be seen.
    pub lead_url: &'a str,
}

/// The letter for a new lead.
pub fn lead_captured(to: &str, key: &str, lead: &LeadCaptured<'_>) -> Mail {
    let score = format!("{} of 100", lead.score);
    let reasons = lead.reasons.join(", ");
    let written = Letter::new("You have a new lead")
        .paragraph(&format!("{} collected these details in a conversation.", name(lead.agent_name)))
        .facts(lead.fields.iter().copied())
        .facts([("Score", score.as_str()), ("Because of", reasons.as_str())])
        .button("Open the lead", lead.lead_url)
        .sign(&format!("You get this because leads of {} go to this address.", name(lead.agent_name)));
    mail(to, key, format!("[{}] New lead, score {}", name(lead.agent_name), lead.score), written)
}

/// The letter that invites somebody to an organization.
pub fn invitation(
    to: &str,
    key: &str,
    organization: &str,
    inviter: &str,
    role: &str,
    url: &str,
    valid_days: u32,
) -> Mail {
    let written = Letter::new(&format!("Join {} on Colloquy", name(organization)))
        .paragraph(&format!("{} invites you to work with {} as {}.", name(inviter), name(organization), name(role)))
        .button("Accept the invitation", url)
        .paragraph(&format!("The invitation is valid for {}.", count(valid_days, "day")))
        .sign("If you do not know the sender, ignore this letter: nothing happens without your click.");
    mail(to, key, format!("{} invites you to {}", name(inviter), name(organization)), written)
}

/// The letter with a link that signs in once.
pub fn magic_link(to: &str, key: &str, url: &str, valid_minutes: u32) -> Mail {
    let written = Letter::new("Sign in to Colloquy")
        .paragraph(&format!("This link signs you in. It works once, for {}.", count(valid_minutes, "minute")))
        .button("Sign in", url)
        .sign("If you did not ask for it, ignore this letter: nobody is signed in without the link. Never pass it on.");
    mail(to, key, "Your link to sign in".to_owned(), written)
}

/// The letter with a link to choose a new password.
pub fn password_reset(to: &str, key: &str, url: &str, valid_minutes: u32) -> Mail {
    let written = Letter::new("Choose a new password")
        .paragraph(&format!(
            "Somebody, hopefully you, asked for a new password. The link works once, for {}.",
            count(valid_minutes, "minute")
        ))
        .button("Choose a new password", url)
        .sign("If you did not ask for it, ignore this letter: your password stays as it is. Never pass the link on.");
    mail(to, key, "Choose a new password".to_owned(), written)
}

/// Something that somebody is told of.
#[derive(Clone, Debug)]
pub struct Told {
    /// In a few words.
    pub title: String,
    /// In a sentence; may be empty.
    pub body: String,
    /// Where to look.
    pub url: String,
}

/// The letter about what happened lately, the newest first; `more` is what is not shown. `settings` is where its reader chooses, if it goes to a member.
pub fn notices(to: &str, key: &str, organization: &str, told: &[Told], more: usize, settings: Option<&str>) -> Mail {
    let all = told.len() + more;
    let first = told.first().map_or("", |first| first.title.as_str());
    let heading = if all == 1 { first.to_owned() } else { format!("{all} things to look at") };
    let mut letter = Letter::new(&heading);
    for one in told {
        if all > 1 {
            letter = letter.paragraph(&one_line(&one.title, NOTICE_CHARS_MAX));
        }
        letter = letter.quote(&one_line(&one.body, NOTICE_CHARS_MAX)).button("Open", &one.url);
    }
    if more > 0 {
        letter = letter.paragraph(&format!("And {more} more, which stand in the console."));
    }
    let written = match settings {
        Some(settings) => letter.sign(&format!("You chose to get this by e-mail. Change it here: {settings}")),
        None => letter.sign(&format!("You get this because alerts of {} go to this address.", name(organization))),
    };
    let subject = match all {
        0 | 1 => format!("[{}] {first}", name(organization)),
        _ => format!("[{}] {first}, and {} more", name(organization), all - 1),
    };
    mail(to, key, subject, written)
}

/// What happened on one day.
#[derive(Clone, Debug, Default)]
pub struct DailySummary {
    /// The organization's name.
    pub organization: String,
    /// The day in words.
    pub day: String,
    /// Chats that began.
    pub chats: i64,
    /// Chats that ended answered.
    pub resolved: i64,
    /// Of those that ended, percent.
    pub resolved_percent: Option<i64>,
    /// Calls answered.
    pub calls: i64,
    /// Minutes of calls.
    pub minutes: f64,
    /// Calls handed to a person.
    pub transferred: i64,
    /// Leads captured.
    pub leads: i64,
    /// Appointments booked.
    pub appointments: i64,
    /// The most frequent questions.
    pub top: Vec<SummaryQuestion>,
    /// Questions without an answer.
    pub unanswered: Vec<SummaryQuestion>,
    /// The dashboard.
    pub url: String,
}

/// A question of a day.
#[derive(Clone, Debug, Default)]
pub struct SummaryQuestion {
    /// The question.
    pub text: String,
    /// How often it was asked.
    pub count: i64,
    /// Whether it was answered, where that is told.
    pub answered: Option<bool>,
}

/// The letter about one day.
pub fn daily_summary(to: &str, key: &str, summary: &DailySummary) -> Mail {
    let resolved = match summary.resolved_percent {
        Some(percent) => format!("{} ({percent}%)", summary.resolved),
        None => summary.resolved.to_string(),
    };
    let calls = format!(
        "{} answered, {} minutes, {} transferred",
        summary.calls,
        (summary.minutes * 10.0).round() / 10.0,
        summary.transferred
    );
    let (chats, leads) = (summary.chats.to_string(), summary.leads.to_string());
    let appointments = summary.appointments.to_string();
    let mut letter = Letter::new(&format!("{}: {}", name(&summary.organization), summary.day)).facts([
        ("Chat conversations", chats.as_str()),
        ("Resolved", resolved.as_str()),
        ("Calls", calls.as_str()),
        ("Leads", leads.as_str()),
        ("Appointments", appointments.as_str()),
    ]);
    if !summary.top.is_empty() {
        letter = letter.paragraph("Asked most").quote(&listed(&summary.top));
    }
    if !summary.unanswered.is_empty() {
        letter = letter
            .paragraph("Not answered yet: add an answer, and the next visitor gets it.")
            .quote(&listed(&summary.unanswered));
    }
    let written = letter
        .button("Open the dashboard", &summary.url)
        .sign("You get this each morning. Settings, Notifications in the console ends it.");
    let subject = format!(
        "{}: {}, {} on {}",
        name(&summary.organization),
        many(summary.chats, "conversation"),
        many(summary.leads, "lead"),
        summary.day
    );
    mail(to, key, subject, written)
}

/// Questions, one a line, each with how often it was asked and whether it was answered.
fn listed(questions: &[SummaryQuestion]) -> String {
    let line = |question: &SummaryQuestion| {
        let state = match question.answered {
            Some(true) => ", answered",
            Some(false) => ", not answered",
            None => "",
        };
        format!("{} ({}{state})", one_line(&question.text, QUESTION_CHARS_MAX), many(question.count, "time"))
    };
    questions.iter().take(QUESTIONS_MAX).map(line).collect::<Vec<_>>().join("\n")
}

fn many(n: i64, unit: &str) -> String {
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

fn mail(to: &str, key: &str, subject: String, written: Written) -> Mail {
    Mail {
        to: to.to_owned(),
        subject: one_line(&subject, 180),
        text: written.text,
        html: Some(written.html),
        idempotency_key: key.to_owned(),
    }
}

fn name(name: &str) -> String {
    one_line(name, SUBJECT_NAME_CHARS_MAX)
}

fn count(n: u32, unit: &str) -> String {
    if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::check;

    fn all(evil: &str) -> Vec<Mail> {
        let facts = [("Name", evil), ("Phone", "+14155550100")];
        let alert_of = |emergency| Alert {
            agent_name: evil,
            emergency,
            reason: evil,
            visitor: &facts,
            last_message: evil,
            conversation_url: "https://c.example/conversations/1",
        };
        let lead = LeadCaptured {
            agent_name: evil,
            fields: &facts,
            score: 80,
            reasons: &[evil, "a phone number"],
            lead_url: "https://c.example/leads/1",
        };
        let asked = SummaryQuestion { text: evil.to_owned(), count: 1, answered: Some(false) };
        let day = DailySummary {
            organization: evil.to_owned(),
            day: "Friday, 20 November 2026".into(),
            chats: 12,
            resolved: 9,
            resolved_percent: Some(90),
            leads: 1,
            top: vec![asked.clone(); 50],
            unanswered: vec![asked],
            url: "https://c.example/app".into(),
            ..DailySummary::default()
        };
        let told = Told { title: evil.to_owned(), body: evil.to_owned(), url: "https://c.example/app/leads/1".into() };
        vec![
            alert("jo@example.com", "k1", &alert_of(true)),
            alert("jo@example.com", "k2", &alert_of(false)),
            lead_captured("jo@example.com", "k3", &lead),
            invitation("jo@example.com", "k4", evil, evil, "manager", "https://c.example/i/1", 7),
            magic_link("jo@example.com", "k5", "https://c.example/m/1", 15),
            password_reset("jo@example.com", "k6", "https://c.example/r/1", 1),
            daily_summary("jo@example.com", "k7", &day),
            notices(
                "jo@example.com",
                "k8",
                evil,
                std::slice::from_ref(&told),
                0,
                Some("https://c.example/app/settings"),
            ),
            notices("jo@example.com", "k9", evil, &vec![told; 10], 190, None),
        ]
    }

    #[test]
    fn every_letter_can_be_sent_and_holds_its_link_in_both_forms() {
        for mail in all("Ace Plumbing") {
            assert!(check(&mail).is_ok());
            let html = mail.html.expect("html");
            assert!(
                mail.text.contains("https://c.example/") && html.contains("href=\"https://c.example/"),
                "{}",
                mail.text
            );
            assert!(!mail.subject.is_empty() && !mail.subject.contains("{"), "{}", mail.subject);
        }
    }

    #[test]
    fn what_visitors_write_stays_text_and_stays_bounded() {
        let evil = format!("</div><script>alert(1)</script>\r\nBcc: all@example.com {}", "x".repeat(50_000));
        for mail in all(&evil) {
            assert!(check(&mail).is_ok());
            assert!(!mail.subject.contains(['\r', '\n']));
            let html = mail.html.expect("html");
            assert!(!html.contains("<script"), "{html}");
            assert!(mail.text.len() < 30_000 && html.len() < 60_000);
        }
    }

    #[test]
    fn a_summary_says_what_the_day_brought() {
        let mail = &all("Do you fix kites?")[6];
        assert_eq!(mail.subject, "Do you fix kites?: 12 conversations, 1 lead on Friday, 20 November 2026");
        for words in ["Chat conversations: 12", "Resolved: 9 (90%)", "Calls: 0 answered, 0 minutes, 0 transferred"] {
            assert!(mail.text.contains(words), "{words} in {}", mail.text);
        }
        assert!(mail.text.contains("> Do you fix kites? (1 time, not answered)"), "{}", mail.text);
    }

    #[test]
    fn a_letter_of_notices_shows_some_and_counts_the_rest() {
        let letters = all("Ann asks for a person");
        assert_eq!(letters[7].subject, "[Ann asks for a person] Ann asks for a person");
        assert!(!letters[7].text.contains("more") && letters[7].text.contains("app/settings"), "{}", letters[7].text);
        assert_eq!(letters[8].subject, "[Ann asks for a person] Ann asks for a person, and 199 more");
        assert!(letters[8].text.contains("And 190 more"), "{}", letters[8].text);
        assert_eq!(letters[8].text.matches("Open: https://c.example/").count(), 10);
    }

    #[test]
    fn an_alert_says_what_happened_to_whom() {
        let mail = &all("flooding in the cellar")[0];
        assert_eq!(mail.subject, "[flooding in the cellar] Emergency: flooding in the cellar");
        assert!(
            mail.text.contains("Phone: +14155550100") && mail.text.contains("> flooding in the cellar"),
            "{}",
            mail.text
        );
        assert!(all("x")[5].text.contains("for 1 minute."));
    }
}
