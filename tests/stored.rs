//! Proves that what an agent has learned is stored sealed, and that what nothing names any more is deleted from the disk, also across `kill -9`.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;
use support::people::{LEARNED_WITHIN, Member, SOON, Visitor, text};
use support::site::Site;
use support::{Server, eventually};

fn page(title: &str, words: &str) -> String {
    format!(
        "<html><head><title>{title}</title></head><body><main><h1>{title}</h1><p>{words}</p>\
         <p><a href=\"/\">Home</a> <a href=\"/prices.html\">Prices</a> <a href=\"/team.html\">Team</a></p></main></body></html>"
    )
}

/// The stored files of one kind below the blobs: `pages`, `uploads` or `index`.
fn stored(data: &Path, kind: &str) -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.insert(path.display().to_string());
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(&data.join("blobs"), &mut found);
    found.into_iter().filter(|path| path.contains(&format!("/{kind}/"))).collect()
}

#[tokio::test]
async fn what_vanishes_changes_or_is_removed_leaves_the_disk_and_what_serves_stays() {
    let mut server = Server::start().await;
    let data = server.data();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, html: String| fs::write(folder.path().join(name), html).expect("written");
    write("index.html", page("Oak Plumbing", "We repair pipes, drains and water heaters in Springfield since 1974."));
    write("prices.html", page("Prices", "A drain cleaning costs 149 dollars in Springfield, whatever the hour."));
    write("team.html", page("Our team", "The founder is Aloysius Snodgrass, who still answers the telephone himself."));
    let site = Site::folder(folder.path()).await;
    let owner = Member::sign_up(&server, "Oak Street Plumbing").await;
    let agent = owner.trained("home_services", &site.url("/"), json!({})).await;
    let first = stored(&data, "pages");
    assert_eq!(first.len(), 3, "{first:?}");
    for path in first.iter().chain(&stored(&data, "index")) {
        let bytes = fs::read(path).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains("Snodgrass"), "{path} is sealed");
    }

    // One page changes, one vanishes, one stays.
    write("prices.html", page("Prices", "A drain cleaning costs 151 dollars in Springfield, whatever the hour."));
    write(
        "index.html",
        page("Oak Plumbing", "We repair pipes, drains and water heaters in Springfield since 1974.")
            .replace("/team.html", "/"),
    );
    fs::remove_file(folder.path().join("team.html")).expect("removed");
    let again = async || {
        owner.api.post(&format!("/api/agents/{agent}/scrape"), json!({ "url": site.url("/") })).await.ok();
        owner.learned(&agent, LEARNED_WITHIN).await;
    };
    again().await;
    eventually("only the pages of today are stored", SOON, async || {
        let now = stored(&data, "pages");
        (now.len() == 2 && now.intersection(&first).count() <= 1).then_some(())
    })
    .await;
    let pages = stored(&data, "pages");
    assert!(stored(&data, "index").len() <= 2);
    let mut visitor = Visitor::new(&server, &agent);
    let answer = text(&visitor.say("What does a drain cleaning cost?").await, "response");
    assert!(answer.contains("151") && !answer.contains("149"), "{answer}");

    // A text is added and removed; the process dies before it could clean up.
    let note = json!({ "type": "manual_text", "name": "Holidays", "content": "# Holidays\n\nOn the feast of Saint Snodgrass the office is closed all day long." });
    let source = owner.api.post(&format!("/api/agents/{agent}/sources"), note).await.ok();
    owner.learned(&agent, LEARNED_WITHIN).await;
    eventually("the text is learned", SOON, async || (stored(&data, "pages").len() == 3).then_some(())).await;
    let upload = stored(&data, "uploads");
    assert_eq!(upload.len(), 1, "{upload:?}");
    assert!(!String::from_utf8_lossy(&fs::read(upload.first().expect("one")).expect("a file")).contains("Snodgrass"));
    owner.api.delete(&format!("/api/agents/{agent}/sources/{}", text(&source, "id"))).await.ok();
    server.kill();
    server.boot().await;
    eventually("the text is gone", SOON, async || {
        (stored(&data, "pages") == pages && stored(&data, "uploads").is_empty()).then_some(())
    })
    .await;
    // What is left is enough to build again from.
    owner
        .api
        .post(
            &format!("/api/agents/{agent}/faqs"),
            json!({ "question": "Do you sell boats?", "answer": "Only bath tubs that float." }),
        )
        .await
        .expect(201);
    let answer = eventually("the next index serves", SOON, async || {
        let answer = text(&visitor.say("Do you sell boats?").await, "response");
        answer.contains("float").then_some(answer)
    })
    .await;
    assert!(!answer.is_empty());
    let answer = text(&visitor.say("What does a drain cleaning cost?").await, "response");
    assert!(answer.contains("151"), "{answer}");

    owner.api.delete(&format!("/api/agents/{agent}")).await.ok();
    eventually("nothing is left of a deleted agent", SOON, async || {
        let left = ["pages", "uploads", "index"].map(|kind| stored(&data, kind).len());
        (left == [0, 0, 0]).then_some(())
    })
    .await;
}
