//! Proves what the command line promises: it explains itself, masks secrets, refuses settings it does not know by name, and `quickstart` leads from a
//! website's address to a chat page.

mod support;

use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::json;
use support::people::{SOON, Visitor, text};
use support::site::Site;
use support::{Server, eventually, root, run};

#[test]
fn help_explains_every_command_and_how_to_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = success(&run(&["--help"], &[], folder.path()));
    for word in ["serve", "config", "quickstart", "--url", "config/colloquy.toml", "http://127.0.0.1:8080"] {
        assert!(help.contains(word), "`{word}` is not in:\n{help}");
    }
    for command in ["serve", "config", "quickstart", "backup"] {
        assert!(success(&run(&[command, "--help"], &[], folder.path())).lines().count() > 4, "{command} --help");
    }
    assert!(!run(&["dance"], &[], folder.path()).status.success());
}

#[test]
fn config_prints_what_is_in_force_and_masks_every_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.toml");
    fs::write(&file, "[public]\nurl = \"https://chat.example.com\"\n[http]\nlisten = \"127.0.0.1:9999\"\n[models.openai]\napi_key = \"sk-file-secret\"\n").expect("written");
    let secrets = [
        ("COLLOQUY_HTTP__LISTEN", "127.0.0.1:7777"),
        ("COLLOQUY_SECRETS__KEY", "abababababababababababababababababababababababababababababababab"),
        ("COLLOQUY_OPS__TOKEN", "ops-secret"),
        ("COLLOQUY_CRON__SECRET", "cron-secret"),
        ("COLLOQUY_MAIL__SMTP__PASSWORD", "smtp-secret"),
    ];
    let shown = success(&run(&["config", "--config", &file.display().to_string()], &secrets, folder.path()));
    let parsed: toml::Table = shown.parse().expect("it prints TOML");
    assert_eq!(parsed["http"]["listen"].as_str(), Some("127.0.0.1:7777"), "the environment beats the file");
    assert_eq!(parsed["public"]["url"].as_str(), Some("https://chat.example.com"), "the file beats the defaults");
    for secret in ["sk-file-secret", "abababab", "ops-secret", "cron-secret", "smtp-secret"] {
        assert!(!shown.contains(secret), "{secret} is shown:\n{shown}");
    }
    // What it prints is complete: every key of the shipped file is there.
    let shipped: toml::Table =
        fs::read_to_string(root().join("config/colloquy.toml")).expect("the shipped file").parse().expect("TOML");
    for (section, keys) in &shipped {
        for key in keys.as_table().into_iter().flat_map(|keys| keys.keys()) {
            assert!(parsed[section].get(key).is_some(), "{section}.{key} is not printed");
        }
    }
}

#[test]
fn settings_that_cannot_be_used_are_named_and_nothing_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |environment: &[(&str, &str)], file: Option<&str>, needles: &[&str]| {
        let path = folder.path().join("bad.toml").display().to_string();
        let mut arguments = vec!["serve"];
        if let Some(text) = file {
            fs::write(&path, text).expect("written");
            arguments.extend(["--config", &path]);
        }
        let data = folder.path().join("data").display().to_string();
        let mut environment = environment.to_vec();
        environment.push(("COLLOQUY_DATA__DIR", &data));
        let output = run(&arguments, &environment, folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{needles:?} was accepted");
        for needle in needles {
            assert!(said.contains(needle), "`{needle}` is not in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert!(!folder.path().join("data").exists(), "something was written before the settings were checked");
    };
    refused(&[], Some("[http]\nlissten = \"127.0.0.1:1\"\n"), &["lissten"]);
    refused(&[], Some("[no_such_section]\nkey = 1\n"), &["no_such_section"]);
    refused(&[], Some("[http\n"), &["bad.toml"]);
    refused(&[("COLLOQUY_HTTP__LISSTEN", "127.0.0.1:1")], None, &["lissten"]);
    refused(&[("COLLOQUY_HTTP__LISTEN", "nowhere")], None, &["http.listen"]);
    refused(&[("COLLOQUY_PUBLIC__URL", "example.com")], None, &["public.url", "example.com"]);
    refused(&[("COLLOQUY_LIMITS__BODY_BYTES_MAX", "0")], None, &["limits.body_bytes_max"]);
    refused(&[("COLLOQUY_SECRETS__KEY", "short")], None, &["secrets.key"]);
    let missing = run(&["serve", "--config", "/no/such/file.toml"], &[], folder.path());
    assert!(!missing.status.success() && String::from_utf8_lossy(&missing.stderr).contains("/no/such/file.toml"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quickstart_leads_from_an_address_to_a_chat_page() {
    let server = Server::start().await;
    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let (address, at) = (site.url("/"), server.url(""));
    let output = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().expect("a folder");
        run(
            &[
                "quickstart",
                "--url",
                &address,
                "--vertical",
                "home_services",
                "--server",
                &at,
                "--name",
                "Oak Street Plumbing",
                "--hours",
                "09:00-17:00",
            ],
            &[],
            folder.path(),
        )
    })
    .await
    .expect("the command ends");
    let said = success(&output);
    assert!(said.contains("Oak Street Plumbing") && said.contains("completed"), "{said}");
    let prefix = server.url("/demo/");
    let page = said
        .split_whitespace()
        .find(|word| word.starts_with(&prefix))
        .unwrap_or_else(|| panic!("no chat page in:\n{said}"));
    let agent = page.strip_prefix(&prefix).expect("its prefix");
    let shown = server.api().get(&format!("/demo/{agent}")).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert!(shown.text.contains(agent), "the chat page has the widget of the agent");
    assert!(said.contains(&format!("/widget/{agent}.js")));
    let answer = Visitor::new(&server, agent).say("What does a sump pump replacement cost?").await;
    assert!(text(&answer, "response").contains("640"), "{answer}");
    // The login it printed works.
    let word_after = |label: &str| {
        said.lines()
            .find_map(|line| line.strip_prefix(label))
            .map(|rest| rest.trim().to_owned())
            .unwrap_or_else(|| panic!("no {label} in:\n{said}"))
    };
    let login = json!({ "email": word_after("login"), "password": word_after("password") });
    let session = server.api().post("/api/auth/login", login).await.expect(200);
    let owner = server.api().bearer(&text(&session, "access_token"));
    // It was told when the business is open, so it can be booked.
    eventually("a calendar to begin with", SOON, || async { owner.list("/api/calendars").await.into_iter().next() })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quickstart_says_what_is_wrong() {
    let server = Server::start().await;
    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let (at, folder) = (server.url(""), tempfile::tempdir().expect("a folder"));
    for (arguments, needle) in [
        (vec!["--url", "example.com", "--vertical", "custom", "--server", &at], "whole address"),
        (
            vec!["--url", "http://127.0.0.1:9/", "--vertical", "space_travel", "--server", &at],
            "home_services, dental_medical, legal, real_estate, salon_spa, ecommerce, custom",
        ),
        (vec!["--url", "http://127.0.0.1:9/", "--vertical", "custom", "--server", &at], "Nothing was created"),
        (
            vec!["--url", "http://127.0.0.1:9/", "--vertical", "custom", "--server", "http://127.0.0.1:9"],
            "nothing answers at http://127.0.0.1:9",
        ),
        (vec!["--url", &at, "--vertical", "custom", "--server", &site.url("")], "is not Colloquy"),
        (vec!["--url", &site.url("/"), "--vertical", "custom", "--limit", "0", "--server", &at], "--limit"),
    ] {
        let mut all = vec!["quickstart"];
        all.extend(arguments);
        let output = run(&all, &[], folder.path());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(needle), "{all:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quickstart_on_a_site_that_cannot_be_read_creates_nothing_or_leaves_a_login_to_try_again_with() {
    let server = Server::start().await;
    let (at, folder) = (server.url(""), tempfile::tempdir().expect("a folder"));
    let quickstart = |more: &[&str]| {
        let arguments = ["quickstart", "--vertical", "custom", "--server", &at, "--email", "ann@example.com"];
        run(&[&arguments[..], more].concat(), &[("COLLOQUY_PASSWORD", "a long enough one")], folder.path())
    };
    let silent = quickstart(&["--url", "http://127.0.0.1:9/"]);
    assert!(!silent.status.success() && silent.stdout.is_empty(), "{silent:?}");
    let login = json!({ "email": "ann@example.com", "password": "a long enough one" });
    server.api().post("/api/auth/login", login.clone()).await.expect(401);

    let unread = quickstart(&["--url", "http://127.0.0.1:9/", "--unchecked"]);
    let said = String::from_utf8_lossy(&unread.stderr).into_owned();
    assert!(!unread.status.success() && said.contains("could not be learned"), "{said}");
    assert!(said.contains("--email ann@example.com") && said.contains(&format!("--server {at}")), "{said}");
    let session = server.api().post("/api/auth/login", login).await.expect(200);
    let agents = server.api().bearer(&text(&session, "access_token")).get("/api/agents").await.expect(200);
    assert_eq!(agents["items"], json!([]), "the receptionist that knows nothing is gone");

    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let limited = success(&quickstart(&["--url", &site.url("/"), "--limit", "1"]));
    assert!(limited.contains("at most 1 page (--limit)"), "{limited}");
    assert!(limited.contains("Stopped at the limit of 1 page.") && limited.contains("--limit 1000"), "{limited}");
    assert!(limited.contains(&format!("{at}/login")) && !limited.contains("1 pages"), "{limited}");
}

#[tokio::test]
async fn the_banner_names_commands_that_work_from_here_and_keeps_the_token_to_its_file() {
    let server = Server::start_with(&[("COLLOQUY_OPS__TOKEN", "")]).await;
    let token = fs::read_to_string(server.data().join("ops.token")).expect("the operators' token");
    let begun = Instant::now();
    while !server.log().contains("reaches nobody") && begun.elapsed() < Duration::from_secs(10) {
        tokio::task::yield_now().await;
    }
    let banner = server.log();
    let command = format!(
        "{} quickstart --url https://your.site --vertical home_services --server {}",
        support::PROGRAM,
        server.url("")
    );
    assert!(banner.contains(&command), "`{command}` is not in:\n{banner}");
    assert!(banner.contains("ops.token") && !banner.contains(token.trim()), "{banner}");
}

#[test]
fn a_backup_of_no_data_says_so_and_makes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&["backup", "--to", "copy/"], &[], folder.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("there is no data of a server in"), "{said}");
    assert!(
        said.contains(&folder.path().canonicalize().expect("it is there").join("data").display().to_string()),
        "{said}"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[tokio::test]
async fn a_data_folder_has_one_process_and_a_second_says_so() {
    let server = Server::start().await;
    let data = server.data().display().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let second = run(
        &["serve"],
        &[
            ("COLLOQUY_DATA__DIR", &data),
            ("COLLOQUY_HTTP__LISTEN", "127.0.0.1:0"),
            ("COLLOQUY_OPS__LISTEN", "127.0.0.1:0"),
        ],
        folder.path(),
    );
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("error"), "{said}");
    server.ops_api().get("/health/readyz").await.expect(200);
    server.ops_api().get("/health/livez").await.expect(200);
}

#[track_caller]
fn success(output: &Output) -> String {
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{failed}");
    said.into_owned()
}

#[tokio::test]
async fn limits_hold_for_each_client_behind_a_trusted_proxy_and_the_mailbox_is_not_passed_on() {
    let trusted = [
        ("COLLOQUY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]"),
        ("COLLOQUY_LIMITS__LOGIN_PER_ADDRESS_PER_MINUTE", "2"),
    ];
    let body = json!({ "email": "nobody@example.com", "password": "not the right one" });
    let proxied = Server::start_with(&trusted).await;
    let try_from = async |server: &Server, header: &str, value: &str| {
        server.api().header(header, value).post("/api/auth/login", body.clone()).await.status
    };
    for _ in 0..2 {
        assert_eq!(try_from(&proxied, "x-forwarded-for", "1.2.3.4").await, 401);
    }
    assert_eq!(try_from(&proxied, "x-forwarded-for", "1.2.3.4").await, 429);
    assert_eq!(
        try_from(&proxied, "x-forwarded-for", "7.7.7.7, 1.2.3.4").await,
        429,
        "an invented address is no other client"
    );
    assert_eq!(try_from(&proxied, "forwarded", "for=1.2.3.4").await, 429);
    assert_eq!(try_from(&proxied, "x-forwarded-for", "1.2.3.5").await, 401);
    for host in ["1", "2"] {
        assert_eq!(try_from(&proxied, "x-forwarded-for", &format!("2001:db8::{host}")).await, 401);
    }
    assert_eq!(try_from(&proxied, "x-forwarded-for", "2001:db8::3").await, 429, "one IPv6 network is one client");
    assert_eq!(try_from(&proxied, "x-forwarded-for", "not an address").await, 401, "counted as the proxy");

    proxied.api().get("/dev/mailbox").await.expect(200);
    for (header, value) in [
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=::1"),
        ("x-real-ip", "::1"),
        ("via", "1.1 proxy"),
    ] {
        proxied.api().header(header, value).get("/dev/mailbox").await.expect(404);
    }

    let open = Server::start_with(&trusted[1..]).await;
    for (address, status) in [("1.2.3.4", 401), ("1.2.3.5", 401), ("1.2.3.6", 429)] {
        assert_eq!(try_from(&open, "x-forwarded-for", address).await, status, "without the setting nobody is believed");
    }
}
