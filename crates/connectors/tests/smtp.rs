//! Letters handed to an SMTP server that is kind, strict, slow or gone.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use colloquy_connectors::{Error, Mail, Mailer, Smtp, SmtpConfig, mail::smtp::Security};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What the server does when it hears a command.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Kind,
    /// Answers a command of this name with these words.
    Says(&'static str, &'static str),
    /// Stays silent after a command of this name.
    Silent(&'static str),
    /// Hangs up at a command of this name.
    HangsUp(&'static str),
}

struct Stub {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let lines = Arc::clone(&lines);
                tokio::spawn(async move { talk(socket, behaviour, &lines).await });
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().expect("lines").join("\n")
    }

    fn smtp(&self, security: Security) -> Smtp {
        let config = SmtpConfig {
            port: self.port,
            security,
            timeout: Duration::from_millis(300),
            ..SmtpConfig::new("127.0.0.1", "Ace Plumbing <hello@ace.example>")
        };
        Smtp::new(&config).expect("settings")
    }
}

async fn talk(socket: TcpStream, behaviour: Behaviour, heard: &Mutex<Vec<String>>) -> Option<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(b"220 stub ready\r\n").await.ok()?;
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        heard.lock().expect("lines").push(line.clone());
        if in_data && line != "." {
            continue;
        }
        let command = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let usual = match command.as_str() {
            "EHLO" => "250-stub\r\n250-8BITMIME\r\n250 SMTPUTF8",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let reply = match behaviour {
            Behaviour::Says(at, words) if at == command => words,
            Behaviour::Silent(at) if at == command => {
                let mut rest = Vec::new();
                let _ = socket.read_to_end(&mut rest).await;
                return None;
            }
            Behaviour::HangsUp(at) if at == command => return None,
            Behaviour::Kind | Behaviour::Says(..) | Behaviour::Silent(_) | Behaviour::HangsUp(_) => usual,
        };
        in_data = command == "DATA" && reply.starts_with("354");
        socket.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
    }
}

fn letter() -> Mail {
    Mail {
        to: "jo@example.com".into(),
        subject: "Burst pipe\r\nBcc: all@example.com".into(),
        text: "Please call.\n.\nBye – Jo".into(),
        html: Some("<p>Please call.</p>".into()),
        idempotency_key: "alert-1".into(),
    }
}

#[tokio::test]
async fn a_letter_is_handed_over_whole_with_a_stable_id_and_no_smuggled_header() {
    let stub = Stub::start(Behaviour::Kind).await;
    let smtp = stub.smtp(Security::None);
    let first = smtp.send(&letter()).await.expect("handed over");
    let again = smtp.send(&letter()).await.expect("handed over");
    assert_eq!(first, again);
    assert!(!first.recorded && first.message_id.ends_with("@ace.example>"));
    let heard = stub.heard();
    for line in [
        "MAIL FROM:<hello@ace.example>",
        "RCPT TO:<jo@example.com>",
        "Subject: Burst pipe Bcc: all@example.com",
        "Content-Type: multipart/alternative",
    ] {
        assert!(heard.contains(line), "{line} is missing in\n{heard}");
    }
    assert!(heard.contains(&format!("Message-ID: {}", first.message_id)), "{heard}");
    assert!(
        !heard.lines().any(|line| line.starts_with("Bcc:")) && !heard.contains("RCPT TO:<all@example.com>"),
        "{heard}"
    );
    assert!(heard.contains("\n..\n"), "a line with a lone dot is doubled:\n{heard}");
}

#[tokio::test]
async fn what_the_server_does_is_told_in_kind() {
    let cases = [
        (Behaviour::Says("RCPT", "550 no such user jo@example.com"), Error::Refused { code: 550 }),
        (Behaviour::Says("RCPT", "451 try later"), Error::Busy { code: 451 }),
        (Behaviour::Says(".", "554 spam"), Error::Refused { code: 554 }),
        (Behaviour::Says("MAIL", "421 too busy"), Error::Busy { code: 421 }),
        (Behaviour::Silent("EHLO"), Error::Timeout),
        (Behaviour::Silent("."), Error::Timeout),
    ];
    for (behaviour, expected) in cases {
        let stub = Stub::start(behaviour).await;
        let error = stub.smtp(Security::None).send(&letter()).await.expect_err("no success");
        assert_eq!(error, expected, "{behaviour:?}");
        assert!(!error.to_string().contains("jo@"), "{error}");
    }
}

#[tokio::test]
async fn a_broken_connection_may_be_tried_again() {
    let gone = Stub { port: 9, heard: Arc::default() };
    let error = gone.smtp(Security::None).send(&letter()).await.expect_err("nobody listens");
    assert_eq!((&error, error.retryable()), (&Error::Unreachable, true));
    for at in ["EHLO", "DATA", "."] {
        let stub = Stub::start(Behaviour::HangsUp(at)).await;
        let error = stub.smtp(Security::None).send(&letter()).await.expect_err("no success");
        assert!(error.retryable(), "{at}: {error:?}");
    }
}

#[tokio::test]
async fn garbage_is_an_error_and_not_a_success() {
    for words in ["\u{fffd}\u{fffd}", "", "hello", "999 what", "25"] {
        let stub = Stub::start(Behaviour::Says(".", words)).await;
        let result = stub.smtp(Security::None).send(&letter()).await;
        assert!(result.is_err(), "{words:?}: {result:?}");
    }
}

#[tokio::test]
async fn without_the_encryption_that_is_asked_for_nothing_is_sent() {
    let stub = Stub::start(Behaviour::Kind).await;
    let error = stub.smtp(Security::StartTls).send(&letter()).await.expect_err("no STARTTLS");
    assert_eq!((&error, error.retryable()), (&Error::Insecure, false));
    assert!(!stub.heard().contains("MAIL FROM"), "{}", stub.heard());
}

#[test]
fn settings_that_cannot_work_are_named() {
    let good = || SmtpConfig::new("mail.example.com", "Ace <hello@ace.example>");
    let cases = [
        (SmtpConfig { host: String::new(), ..good() }, "mail.smtp.host"),
        (SmtpConfig { host: "mail example".into(), ..good() }, "mail.smtp.host"),
        (SmtpConfig { from: "nobody".into(), ..good() }, "mail.from"),
        (SmtpConfig { from: "A <a@b.example>\r\nBcc: x@y.example".into(), ..good() }, "mail.from"),
        (
            SmtpConfig { security: Security::None, credentials: Some(("u".into(), "p".into())), ..good() },
            "mail.smtp.security",
        ),
    ];
    for (config, expected) in cases {
        match Smtp::new(&config) {
            Err(Error::Config { key, .. }) => assert_eq!(key, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let secret = SmtpConfig { credentials: Some(("user".into(), "hunter2".into())), ..good() };
    let smtp = Smtp::new(&secret).expect("settings");
    assert!(!format!("{secret:?} {smtp:?}").contains("hunter2"));
}
