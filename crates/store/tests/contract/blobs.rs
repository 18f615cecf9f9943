//! Large values.

use bytes::Bytes;
use colloquy_store::StoreError;

use crate::fixture::Fixture;

pub(crate) async fn values_come_back_and_go(fixture: &mut impl Fixture) {
    let large = Bytes::from(vec![7; 3 << 20]);
    let blobs = fixture.store().blobs.clone();
    assert_eq!(blobs.get("acme/a.bin").await.unwrap(), None);
    blobs.put("acme/a.bin", Bytes::from_static(b"old")).await.unwrap();
    blobs.put("acme/a.bin", large.clone()).await.unwrap();
    blobs.put("acme/empty", Bytes::new()).await.unwrap();
    drop(blobs);
    fixture.crash().await;
    let blobs = &fixture.store().blobs;
    assert_eq!(blobs.get("acme/a.bin").await.unwrap(), Some(large));
    assert_eq!(blobs.get("acme/empty").await.unwrap(), Some(Bytes::new()));
    blobs.delete("acme/a.bin").await.unwrap();
    blobs.delete("acme/a.bin").await.unwrap();
    blobs.delete("never/there").await.unwrap();
    assert_eq!(blobs.get("acme/a.bin").await.unwrap(), None);
}

pub(crate) async fn a_folder_lists_what_is_below_it(fixture: &mut impl Fixture) {
    let blobs = &fixture.store().blobs;
    for path in ["b/2", "a/x/1", "a/2", "a-b/1", "top", "a/.hidden"] {
        blobs.put(path, Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(blobs.list("").await.unwrap(), ["a-b/1", "a/.hidden", "a/2", "a/x/1", "b/2", "top"]);
    for folder in ["a", "a/"] {
        assert_eq!(blobs.list(folder).await.unwrap(), ["a/.hidden", "a/2", "a/x/1"]);
    }
    assert_eq!(blobs.list("a/x").await.unwrap(), ["a/x/1"]);
    for nothing in ["top", "none", "a/x/1"] {
        assert_eq!(blobs.list(nothing).await.unwrap(), [""; 0]);
    }
}

pub(crate) async fn a_name_may_be_both_value_and_folder(fixture: &mut impl Fixture) {
    let blobs = &fixture.store().blobs;
    blobs.put("a/b", Bytes::from_static(b"value")).await.unwrap();
    blobs.put("a/b/c", Bytes::from_static(b"below")).await.unwrap();
    blobs.put("a", Bytes::from_static(b"above")).await.unwrap();
    assert_eq!(blobs.list("").await.unwrap(), ["a", "a/b", "a/b/c"]);
    blobs.delete("a/b").await.unwrap();
    assert_eq!(blobs.get("a/b").await.unwrap(), None);
    assert_eq!(blobs.get("a/b/c").await.unwrap(), Some(Bytes::from_static(b"below")));
}

pub(crate) async fn paths_that_leave_the_folder_are_refused(fixture: &mut impl Fixture) {
    let blobs = &fixture.store().blobs;
    let (long_segment, long_path) = ("a".repeat(255), "a/".repeat(600) + "a");
    let hostile = [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "a//b",
        "a/",
        ".",
        "./a",
        "a\\b",
        "a\0b",
        "ä",
        "a b",
        "a~",
        "C:",
        &long_segment,
        &long_path,
    ];
    for path in hostile {
        let refused =
            |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Invalid(_))), "{path:?}");
        refused(blobs.put(path, Bytes::new()).await);
        refused(blobs.get(path).await.map(|_| ()));
        refused(blobs.delete(path).await);
        if !["", "a/"].contains(&path) {
            refused(blobs.list(path).await.map(|_| ()));
        }
    }
    assert_eq!(blobs.list("").await.unwrap(), [""; 0]);
}
