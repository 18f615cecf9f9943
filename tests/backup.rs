//! Proves that a backup taken while visitors talk is a data folder: a second server on it has everything that was answered before the backup began.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use support::people::{Member, Visitor, text};
use support::site::Site;
use support::{Server, random_id, root, run};

/// Visitors who talk all the time.
const VISITORS: usize = 4;
/// Answers that must have been given before the backup begins.
const BEFORE: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_starts_a_second_server_with_everything_answered_before() {
    let mut server = Server::start().await;
    let site = Site::folder(root().join("tests/sites/oak_plumbing")).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = owner.trained("home_services", &site.url("/"), json!({})).await;

    let stop = Arc::new(AtomicBool::new(false));
    let answered: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let talking: Vec<_> = (0..VISITORS)
        .map(|_| {
            let (stop, answered, mut visitor) = (stop.clone(), answered.clone(), Visitor::new(&server, &agent));
            tokio::spawn(async move {
                while !stop.load(Ordering::Acquire) {
                    let words = format!("Who founded Oak Street Plumbing? {}", random_id());
                    visitor.say(&words).await;
                    answered.lock().expect("a list").push((visitor.talk().to_owned(), words));
                    if visitor.history().await["messages"].as_array().is_some_and(|messages| messages.len() >= 20) {
                        (visitor.conversation, visitor.token) = (None, None);
                    }
                }
            })
        })
        .collect();
    while answered.lock().expect("a list").len() < BEFORE {
        tokio::task::yield_now().await;
    }
    let before = answered.lock().expect("a list").clone();
    let place = tempfile::tempdir().expect("a folder");
    let copy = place.path().join("copy");
    let data = server.data().display().to_string();
    let backup = async |to: &Path| {
        let (to, data, folder) = (to.display().to_string(), data.clone(), place.path().to_owned());
        let work = move || run(&["backup", "--to", &to], &[("COLLOQUY_DATA__DIR", &data)], &folder);
        tokio::task::spawn_blocking(work).await.expect("it ran")
    };
    let output = backup(&copy).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("secret.key") && said.contains("not in it"), "{said}");
    let during = answered.lock().expect("a list").len();
    stop.store(true, Ordering::Release);
    for visitor in talking {
        visitor.await.expect("nobody is turned away while the backup runs");
    }
    assert!(during > before.len(), "visitors were answered while the backup ran: {during}");

    // It never overwrites, and what is there stays as it was.
    let size = fs::metadata(copy.join("colloquy.db")).expect("the copy").len();
    let again = backup(&copy).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("exists already"));
    assert_eq!(fs::metadata(copy.join("colloquy.db")).expect("the copy").len(), size);
    let mode = fs::metadata(copy.join("colloquy.db")).expect("the copy").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "nobody else reads the copy");
    // Not into what is being copied, by whatever name.
    for inside in [server.data().join("blobs").join("copy"), server.data().join("blobs/../blobs/copy")] {
        let refused = backup(&inside).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("inside of what is copied"), "{said}");
    }
    assert!(!copy.join("secret.key").exists() && !copy.join("colloquy.db-wal").exists());

    // Without the key nothing starts on it, and no new key is made.
    let settings = [("COLLOQUY_DATA__DIR", copy.display().to_string())];
    let refused = run(&["serve"], &[(settings[0].0, &settings[0].1)], place.path());
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("secret.key"));
    fs::copy(server.data().join("secret.key"), copy.join("secret.key")).expect("the key is put beside it");
    let second = Server::start_with(&[(settings[0].0, &settings[0].1)]).await;
    let restored = second.api().bearer(&owner.token);
    for (conversation, words) in &before {
        let shown = restored.get(&format!("/api/conversations/{conversation}")).await.expect(200);
        assert!(shown["messages"].to_string().contains(words), "{words} was answered before the backup: {shown}");
    }
    let mut visitor = Visitor::new(&second, &agent);
    let answer = text(&visitor.say("What does a sump pump replacement cost?").await, "response");
    assert!(answer.contains("640"), "the index is in it: {answer}");
    owner.api.get("/api/me").await.expect(200);

    // Of a stopped server too; and of a folder that is none, nothing.
    assert!(server.stop().await.success());
    let output = backup(&place.path().join("stopped/")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let missing = place.path().join("missing").display().to_string();
    let output =
        run(&["backup", "--to", &format!("{missing}-copy")], &[("COLLOQUY_DATA__DIR", &missing)], place.path());
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("there is no data of a server")
    );
    let left: Vec<_> = fs::read_dir(place.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "two copies and nothing unfinished: {left:?}");
}
