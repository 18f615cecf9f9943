//! Blobs in a bucket when the service is slow, refuses, forgets or breaks off in the middle. What works is in the contract suite.
#![cfg(feature = "s3")]

mod server;

use std::time::{Duration, Instant};

use bytes::Bytes;
use colloquy_store::StoreError;
use colloquy_store::blobs::Blobs as _;
use colloquy_store::s3::{S3, S3Config};

use server::{Fault, Server};

/// Longer than the tests' own limit for an operation with what a busy machine adds, shorter than for ever.
const BOUNDED: Duration = Duration::from_secs(20);

#[tokio::test]
async fn objects_stand_below_the_prefix_and_those_of_others_are_not_seen() {
    let server = Server::start().await;
    for name in ["other", "one/other", "one/twofold/x", "one/two/not ours"] {
        server.put_aside(name);
    }
    let bucket = server.bucket().await;
    bucket.put("acme/a", Bytes::from_static(b"x")).await.unwrap();
    assert!(server.objects().contains_key("one/two/acme/a"));
    assert_eq!(bucket.list("").await.unwrap(), ["acme/a"]);
}

#[tokio::test]
async fn a_service_that_is_busy_or_loses_an_answer_is_asked_again() {
    let server = Server::start().await;
    let bucket = server.bucket().await;
    server.fail(&[Fault::SlowDown, Fault::DoneAndLost]);
    bucket.put("a", Bytes::from_static(b"value")).await.unwrap();
    server.fail(&[Fault::SlowDown]);
    assert_eq!(bucket.get("a").await.unwrap(), Some(Bytes::from_static(b"value")));
    server.fail(&[Fault::SlowDown]);
    assert_eq!(bucket.list("").await.unwrap(), ["a"]);
    server.fail(&[Fault::DoneAndLost]);
    bucket.delete("a").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn half_a_value_is_never_taken_for_the_whole() {
    let server = Server::start().await;
    let bucket = server.bucket().await;
    let value = Bytes::from(vec![7; 200_000]);
    bucket.put("a", value.clone()).await.unwrap();
    for fault in [Fault::Truncated, Fault::Stalled] {
        server.fail(&[fault]);
        match bucket.get("a").await {
            Ok(found) => assert_eq!(found.as_ref(), Some(&value), "{fault:?}"),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{fault:?}: {error}"),
        }
        assert_eq!(bucket.get("a").await.unwrap().as_ref(), Some(&value), "{fault:?}");
    }
}

#[tokio::test]
async fn a_service_that_stays_away_ends_every_operation_in_bounded_time() {
    let server = Server::start().await;
    let bucket = server.bucket().await;
    bucket.put("a", Bytes::from(vec![1; 1000])).await.unwrap();
    for fault in [Fault::SlowDown, Fault::Silent, Fault::Stalled] {
        server.fail_always(Some(fault));
        let begun = Instant::now();
        let read = bucket.get("a").await;
        assert!(matches!(read, Err(StoreError::Unavailable(_))), "{fault:?}: {read:?}");
        if fault != Fault::Stalled {
            let written = bucket.put("b", Bytes::from_static(b"x")).await;
            assert!(matches!(written, Err(StoreError::Unavailable(_))), "{fault:?}: {written:?}");
        }
        assert!(begun.elapsed() < BOUNDED, "{fault:?}: {:?}", begun.elapsed());
    }
    // Not one request after the other without a pause.
    assert!(server.requests() < 60, "{}", server.requests());
    server.fail_always(None);
    assert_eq!(bucket.get("a").await.unwrap().map(|value| value.len()), Some(1000));
}

#[tokio::test]
async fn wrong_keys_and_wrong_buckets_are_refused_by_name_when_it_is_opened() {
    let server = Server::start().await;
    let wrong_key = S3Config { keys: Some(("somebody".into(), "hush".into())), ..server.config() };
    let error = S3::open(&wrong_key).await.err().expect("refused").to_string();
    assert!(
        error.contains("InvalidAccessKeyId") && error.contains(server::BUCKET) && !error.contains("hush"),
        "{error}"
    );
    let other = S3Config { bucket: "somewhere-else".into(), ..server.config() };
    let error = S3::open(&other).await.err().expect("refused").to_string();
    assert!(error.contains("NoSuchBucket") && error.contains("somewhere-else"), "{error}");
    // A bucket that goes away later is not a lot of missing blobs.
    let gone = S3::open(&server.config()).await.unwrap();
    drop(server);
    let error = gone.get("a").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_service_that_is_away_at_the_start_may_come_back() {
    let server = Server::start().await;
    server.fail_always(Some(Fault::SlowDown));
    let bucket = S3::open(&server.config()).await.expect("opens all the same");
    server.fail_always(None);
    bucket.put("a", Bytes::new()).await.unwrap();
    assert_eq!(bucket.list("").await.unwrap(), ["a"]);
}
