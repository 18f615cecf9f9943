//! Proves what damaged files do to the real binary: a torn tail of the log costs nothing that was acknowledged, a flipped byte in what was committed is
//! found before anything is served, and one in a stored event is an error of that conversation and of nothing else.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use support::client::Answer;
use support::people::{Member, SOON, Visitor, text};
use support::{Server, eventually};

/// The log's header and that of a frame; a frame holds one page (<https://www.sqlite.org/fileformat2.html#walformat>).
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const PAGE: usize = 4096;
const FRAME: usize = FRAME_HEADER + PAGE;
/// A log that did not grow for a second is folded into the file.
const FOLDED_WITHIN: Duration = Duration::from_secs(15);

/// A killed server with what its visitors were told.
struct Scene {
    server: Server,
    owner: Member,
    agent: String,
    visitors: Vec<Visitor>,
    /// What each visitor's history was after the last answer.
    told: Vec<Value>,
}

impl Scene {
    /// Three visitors with three turns each.
    async fn play() -> Self {
        let server = Server::start().await;
        let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
        let agent = text(&owner.agent(json!({ "vertical": "home_services" })).await, "id");
        let mut visitors: Vec<Visitor> = (0..3).map(|_| Visitor::new(&server, &agent)).collect();
        let mut told = Vec::new();
        for visitor in &mut visitors {
            for words in ["Do you offer emergency services?", "Are you licensed?", "Do you offer free estimates?"] {
                visitor.say(words).await;
            }
            told.push(visitor.history().await["messages"].clone());
        }
        Self { server, owner, agent, visitors, told }
    }

    /// One turn of everybody, at once killed, so that the log holds them.
    async fn say_and_kill(&mut self) {
        for (visitor, told) in self.visitors.iter_mut().zip(&mut self.told) {
            visitor.say("Which areas do you serve?").await;
            *told = visitor.history().await["messages"].clone();
        }
        self.server.kill();
    }

    /// Every visitor finds what they were told, and is answered.
    async fn whole(&mut self) {
        for (visitor, told) in self.visitors.iter_mut().zip(&mut self.told) {
            assert_eq!(visitor.history().await["messages"], *told, "conversation {}", visitor.talk());
            visitor.say("Do you offer emergency services?").await;
            *told = visitor.history().await["messages"].clone();
        }
    }

    fn file(&self) -> PathBuf {
        self.server.data().join("colloquy.db")
    }

    fn log(&self) -> PathBuf {
        self.server.data().join("colloquy.db-wal")
    }
}

#[tokio::test]
async fn a_torn_tail_of_the_log_costs_nothing_that_was_acknowledged() {
    let mut scene = Scene::play().await;
    for torn in [1, FRAME_HEADER - 1, FRAME_HEADER + 100, FRAME - 1, FRAME + 500] {
        scene.say_and_kill().await;
        // What a process leaves that dies while it writes the next transaction: frames that begin like those before, the last one cut.
        let mut log = fs::read(scene.log()).expect("a log");
        let frames = (log.len() - HEADER) / FRAME;
        assert!(frames >= 3, "the log holds the last turns, not {frames} frames");
        let begun = log[HEADER..HEADER + FRAME].repeat(2);
        let mut begun = begun[..torn].to_vec();
        for frame in begun.chunks_mut(FRAME) {
            // The size that marks a commit is the second word.
            frame.iter_mut().skip(4).take(4).for_each(|byte| *byte = 0);
        }
        log.extend(begun);
        fs::write(scene.log(), log).expect("written");
        scene.server.boot().await;
        scene.whole().await;
    }
}

#[tokio::test]
async fn a_log_that_was_cut_gives_back_whole_transactions_in_order() {
    let mut scene = Scene::play().await;
    scene.say_and_kill().await;
    let whole = fs::read(scene.log()).expect("a log");
    let frames = (whole.len() - HEADER) / FRAME;
    // More than a dying process can do: bytes that were synced are gone. What is left is a beginning, never a history with holes.
    for kept in [frames - 1, frames / 2, 1] {
        let lost = tempfile::tempdir().expect("a folder");
        copy(&scene.server.data(), lost.path());
        fs::write(scene.log(), &whole[..HEADER + kept * FRAME + FRAME / 2]).expect("written");
        scene.server.boot().await;
        for (visitor, told) in scene.visitors.iter().zip(&scene.told) {
            let answer = visitor.api().get(&format!("/api/chat/history?conversation_id={}", visitor.talk())).await;
            let told = told.as_array().expect("messages");
            match answer.status {
                // It began in what is lost.
                404 | 401 => {}
                _ => {
                    let shown = answer.expect(200)["messages"].clone();
                    let shown = shown.as_array().expect("messages");
                    let same = shown.iter().zip(told).take_while(|(shown, told)| shown == told).count();
                    // A question whose answer was lost is answered anew.
                    let anew = &shown[same..];
                    assert!(
                        anew.is_empty() || (anew.len() == 1 && anew[0]["role"] == "assistant"),
                        "{shown:?} is no beginning of {told:?}"
                    );
                }
            }
        }
        scene.server.kill();
        copy(lost.path(), &scene.server.data());
    }
    scene.server.boot().await;
    scene.whole().await;
}

#[tokio::test]
async fn a_flipped_byte_in_a_committed_frame_is_refused_with_what_to_do() {
    let mut scene = Scene::play().await;
    scene.say_and_kill().await;
    let whole = fs::read(scene.log()).expect("a log");
    let frames = (whole.len() - HEADER) / FRAME;
    assert!(frames >= 6, "{frames}");
    // The header, a frame's checksum, the page of a frame in the middle, and the very last committed byte.
    for place in
        [5, HEADER + FRAME + 17, HEADER + (frames / 2) * FRAME + FRAME_HEADER + 2_000, HEADER + frames * FRAME - 1]
    {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        fs::write(scene.log(), &damaged).expect("written");
        let said = scene.server.refuses_to_start();
        for word in ["colloquy.db-wal", "damaged", "backup", "store.accept_damaged_log"] {
            assert!(said.contains(word), "byte {place}: `{word}` is not in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(fs::read(scene.log()).expect("a log"), damaged, "nothing is changed by the refusal");
    }
    // Undamaged, nothing is missing.
    fs::write(scene.log(), &whole).expect("written");
    scene.server.boot().await;
    scene.whole().await;

    // Who accepts the loss says so, and keeps a copy of what was damaged.
    scene.say_and_kill().await;
    let mut damaged = fs::read(scene.log()).expect("a log");
    let frames = (damaged.len() - HEADER) / FRAME;
    damaged[HEADER + (frames / 2) * FRAME + FRAME_HEADER + 2_000] ^= 0x10;
    fs::write(scene.log(), &damaged).expect("written");
    scene.server.set("COLLOQUY_STORE__ACCEPT_DAMAGED_LOG", "true");
    scene.server.boot().await;
    assert_eq!(fs::read(scene.server.data().join("colloquy.db-wal.damaged")).expect("a copy"), damaged);
    Visitor::new(&scene.server, &scene.agent).say("Do you offer emergency services?").await;
}

#[tokio::test]
async fn a_flipped_byte_in_a_stored_event_is_an_error_of_that_conversation_only() {
    let mut scene = Scene::play().await;
    folded_and_killed(&mut scene).await;
    flip(
        &scene.file(),
        "SELECT e.bytes FROM event e JOIN entity n ON n.number = e.entity WHERE n.id = ?1 ORDER BY e.seq LIMIT 1 OFFSET 2",
        scene.visitors[0].talk(),
    );
    scene.server.boot().await;
    let damaged = scene.visitors[0].talk().to_owned();

    let visitor = &scene.visitors[0];
    let owner = &scene.owner;
    for _ in 0..3 {
        // Again and again, however long ago it was first found.
        storage_damaged(&visitor.api().get(&format!("/api/chat/history?conversation_id={damaged}")).await);
        storage_damaged(&visitor.post(&visitor.body("Hello?", &support::random_id())).await);
        storage_damaged(&owner.api.get(&format!("/api/conversations/{damaged}")).await);
        storage_damaged(&owner.api.get(&format!("/api/conversations/{damaged}/journal?after=0")).await);
        storage_damaged(&owner.api.get(&format!("/api/conversations/{damaged}/replay?at=5")).await);
        storage_damaged(&owner.api.post(&format!("/api/conversations/{damaged}/takeover"), json!({})).await);
    }

    // Everybody else goes on; lists and numbers too.
    let broken = scene.visitors.remove(0);
    let told = scene.told.remove(0);
    scene.whole().await;
    Visitor::new(&scene.server, &scene.agent).say("Do you offer emergency services?").await;
    let listed = scene.owner.api.list("/api/conversations").await;
    assert_eq!(listed.len(), 4, "{listed:?}");
    scene.owner.api.get("/api/analytics/overview?window=24h").await.expect(200);
    scene.server.ops_api().get("/health/readyz").await.expect(200);
    assert!(scene.server.runs() && !scene.server.log().contains("panicked"), "{}", scene.server.log_tail());
    let log = scene.server.log();
    assert!(
        log.contains(&damaged) && log.contains("backup"),
        "the log names the place and what to do:\n{}",
        scene.server.log_tail()
    );

    // A stop is orderly all the same; the byte put right, the conversation is as it was.
    assert!(scene.server.stop().await.success());
    flip(
        &scene.file(),
        "SELECT e.bytes FROM event e JOIN entity n ON n.number = e.entity WHERE n.id = ?1 ORDER BY e.seq LIMIT 1 OFFSET 2",
        &damaged,
    );
    scene.server.boot().await;
    scene.visitors.insert(0, broken);
    scene.told.insert(0, told);
    scene.whole().await;
}

#[tokio::test]
async fn a_damaged_snapshot_or_list_row_never_shows_something_else() {
    let mut scene = Scene::play().await;
    // An orderly stop keeps the state of what was in memory.
    assert!(scene.server.stop().await.success());
    flip(
        &scene.file(),
        "SELECT s.bytes FROM snapshot s JOIN entity n ON n.number = s.entity WHERE n.id = ?1",
        scene.visitors[0].talk(),
    );
    flip(&scene.file(), "SELECT body FROM list_row WHERE list = 'conversations' AND id = ?1", scene.visitors[1].talk());
    scene.server.boot().await;
    // A snapshot only saves folding: the journal tells the same.
    assert_eq!(scene.visitors[0].history().await["messages"], scene.told[0], "folded from the journal");
    assert!(scene.server.log().contains("a snapshot is damaged"), "{}", scene.server.log_tail());
    // The rest of a list is shown, and the row that is not is named: it is not lost without a word.
    let listed = scene.owner.api.get("/api/conversations").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(listed["damaged"], json!([scene.visitors[1].talk()]), "{listed}");
    let place = format!("conversations/{}", scene.visitors[1].talk());
    assert!(scene.server.log().contains(&place), "the log names the row: {}", scene.server.log_tail());
    // Dashboards start, and say what is missing from their figures.
    let cards = scene.owner.api.get("/api/analytics/overview").await.expect(200);
    assert_eq!((&cards["total_conversations"], &cards["damaged"]), (&json!(2), &json!([place])), "{cards}");
    // Whoever is to be erased everywhere is not said to be gone while something cannot be searched.
    let erasure = scene.owner.api.post("/api/privacy/erasures", json!({ "email": "q@q.example" })).await.expect(202);
    let path = format!("/api/privacy/erasures/{}", support::people::text(&erasure, "id"));
    eventually("the erasure says that it could not look everywhere", SOON, async || {
        let erasure = scene.owner.api.get(&path).await.expect(200);
        assert_ne!(erasure["status"], "completed", "{erasure}");
        (erasure["status"] == "failed").then_some(())
    })
    .await;
    // Its conversation is whole, and the next time it changes the row is written anew.
    assert_eq!(scene.visitors[1].history().await["messages"], scene.told[1]);
    scene.visitors[1].say("Do you offer emergency services?").await;
    let listed = eventually("the list is whole again", SOON, async || {
        let listed = scene.owner.api.get("/api/conversations").await.expect(200);
        listed["damaged"].is_null().then_some(listed)
    })
    .await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(3), "{listed}");
    eventually("the figures are whole again", SOON, async || {
        let cards = scene.owner.api.get("/api/analytics/overview").await.expect(200);
        (cards["total_conversations"] == 3 && cards["damaged"].is_null()).then_some(())
    })
    .await;
    scene.visitors[2].say("Do you offer emergency services?").await;
    assert!(scene.server.runs() && !scene.server.log().contains("panicked"), "{}", scene.server.log_tail());
}

/// Waits until everything is in the file, and kills the server before it keeps any state beside the journal.
async fn folded_and_killed(scene: &mut Scene) {
    let log = scene.log();
    eventually("the log is folded into the file", FOLDED_WITHIN, async || {
        fs::metadata(&log).is_ok_and(|log| log.len() == 0).then_some(())
    })
    .await;
    scene.server.kill();
}

/// Flips one bit in the middle of a value that a query finds, without the database knowing.
fn flip(file: &Path, query: &str, id: &str) {
    let value: Vec<u8> = {
        let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the file opens");
        database.query_row(query, [id], |row| row.get(0)).unwrap_or_else(|error| panic!("{query} for {id}: {error}"))
    };
    let mut bytes = fs::read(file).expect("the file");
    // Long values go on in other pages; the first of it is together.
    let start = &value[..value.len().min(100)];
    let places: Vec<usize> =
        bytes.windows(start.len()).enumerate().filter(|(_, found)| *found == start).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1, "the value stands once in the file");
    bytes[places[0] + start.len() / 2] ^= 0x04;
    fs::write(file, bytes).expect("written");
}

fn copy(from: &Path, to: &Path) {
    for name in ["colloquy.db", "colloquy.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("copied");
    }
}

/// An error that says that what is stored is damaged, and that trying again is no use.
#[track_caller]
fn storage_damaged(answer: &Answer) {
    let problem = answer.refused(500);
    assert_eq!(
        (problem["code"].as_str(), problem["retry"].as_str()),
        (Some("storage_damaged"), Some("never")),
        "{problem}"
    );
}
