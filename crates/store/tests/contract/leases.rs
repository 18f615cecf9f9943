//! Membership and ownership.

use colloquy_store::StoreError;
use colloquy_store::leases::{ClusterInfo, Fact, NodeState, ShardRow, ShardState};

use crate::fixture::Fixture;

pub(crate) async fn the_founding_facts_never_change(fixture: &mut impl Fixture) {
    let info = ClusterInfo { name: "one".to_owned(), shards: 1024, schema: 3, key_check: "c0ffee".to_owned() };
    assert_eq!(fixture.store().leases.found(&info).await.unwrap(), info);
    fixture.crash().await;
    // Whoever comes with other facts sees what the cluster was founded with, and refuses to start.
    let other = ClusterInfo { name: "two".to_owned(), shards: 512, schema: 4, key_check: "decaf".to_owned() };
    assert_eq!(fixture.store().leases.found(&other).await.unwrap(), info);
}

pub(crate) async fn every_boot_has_a_higher_incarnation(fixture: &mut impl Fixture) {
    for boot in 1..4 {
        let leases = fixture.store().leases.clone();
        let node = leases.join("n1", "10.0.0.1:9", true).await.unwrap();
        assert_eq!(
            (node.incarnation, node.beat, node.state, node.address.as_str()),
            (boot, 0, NodeState::Alive, "10.0.0.1:9")
        );
        leases.beat("n1", boot).await.unwrap();
        drop(leases);
        fixture.crash().await;
    }
    assert_eq!(fixture.store().leases.nodes().await.unwrap().len(), 1);
}

pub(crate) async fn a_living_node_is_replaced_only_by_who_knows_it_is_gone(fixture: &mut impl Fixture) {
    let leases = &fixture.store().leases;
    leases.join("n1", "", false).await.unwrap();
    assert!(matches!(leases.join("n1", "", false).await, Err(StoreError::Unavailable(_))));
    assert_eq!(leases.nodes().await.unwrap()[0].incarnation, 1);
    assert!(leases.bury("n1", 1, 0).await.unwrap());
    assert_eq!(leases.join("n1", "", false).await.unwrap().incarnation, 2);
    assert_eq!(leases.join("n1", "", true).await.unwrap().incarnation, 3);
    assert!(matches!(leases.beat("n1", 2).await, Err(StoreError::Unavailable(_))));
}

pub(crate) async fn beats_end_with_death(fixture: &mut impl Fixture) {
    let leases = &fixture.store().leases;
    assert!(matches!(leases.beat("n1", 1).await, Err(StoreError::Unavailable(_))));
    leases.join("n1", "", false).await.unwrap();
    assert_eq!(leases.beat("n1", 1).await.unwrap(), 1);
    assert_eq!(leases.beat("n1", 1).await.unwrap(), 2);
    assert!(leases.bury("n1", 1, 2).await.unwrap());
    assert!(matches!(leases.beat("n1", 1).await, Err(StoreError::Unavailable(_))));
    assert_eq!(leases.nodes().await.unwrap()[0].state, NodeState::Dead);
    assert!(leases.bury("n1", 1, 2).await.unwrap());
}

pub(crate) async fn a_node_that_moved_on_is_not_buried(fixture: &mut impl Fixture) {
    let leases = &fixture.store().leases;
    leases.join("n1", "", false).await.unwrap();
    leases.beat("n1", 1).await.unwrap();
    assert!(!leases.bury("n1", 1, 0).await.unwrap());
    assert!(!leases.bury("n1", 2, 1).await.unwrap());
    assert!(!leases.bury("n2", 1, 1).await.unwrap());
    assert_eq!(leases.beat("n1", 1).await.unwrap(), 2);
}

pub(crate) async fn a_shard_changes_hands_by_compare_and_set(fixture: &mut impl Fixture) {
    let first = ShardRow { shard: 3, owner: "n1".to_owned(), epoch: 1, state: ShardState::Owned, target: None };
    let draining = ShardRow { state: ShardState::Draining, target: Some("n2".to_owned()), ..first.clone() };
    let moved = ShardRow { owner: "n2".to_owned(), epoch: 2, ..first.clone() };
    let leases = fixture.store().leases.clone();
    assert!(!leases.swap(Some(&first), &draining).await.unwrap());
    assert!(leases.swap(None, &first).await.unwrap());
    assert!(!leases.swap(None, &moved).await.unwrap());
    assert!(!leases.swap(Some(&moved), &draining).await.unwrap());
    assert!(leases.swap(Some(&first), &draining).await.unwrap());
    assert!(!leases.swap(Some(&first), &moved).await.unwrap());
    drop(leases);
    fixture.crash().await;
    let leases = &fixture.store().leases;
    assert_eq!(leases.shards().await.unwrap(), std::slice::from_ref(&draining));
    assert!(leases.swap(Some(&draining), &moved).await.unwrap());
    assert_eq!(leases.shard(3).await.unwrap().as_ref(), Some(&moved));
    assert_eq!(leases.shard(4).await.unwrap(), None);
    let elsewhere = ShardRow { shard: 4, ..moved.clone() };
    assert!(matches!(leases.swap(Some(&moved), &elsewhere).await, Err(StoreError::Invalid(_))));
    assert_eq!(leases.shards().await.unwrap(), [moved]);
}

pub(crate) async fn many_shards_change_hands_each_for_itself(fixture: &mut impl Fixture) {
    let owned = |shard, owner: &str, epoch| ShardRow {
        shard,
        owner: owner.to_owned(),
        epoch,
        state: ShardState::Owned,
        target: None,
    };
    let leases = fixture.store().leases.clone();
    let first: Vec<_> = (0..40).map(|shard| (None, owned(shard, "n1", 1))).collect();
    assert!(leases.swap_each(&first).await.into_iter().all(|answer| answer.unwrap()));
    // Another one was faster with two of them, in one part or the other; and one is asked for against the rules.
    for shard in [3, 17] {
        assert!(leases.swap(Some(&owned(shard, "n1", 1)), &owned(shard, "n3", 2)).await.unwrap());
    }
    let mut taken: Vec<_> = (0..40).rev().map(|shard| (Some(owned(shard, "n1", 1)), owned(shard, "n2", 2))).collect();
    taken.push((Some(owned(40, "n1", 1)), owned(41, "n2", 2)));
    let answers = leases.swap_each(&taken).await;
    drop(leases);
    fixture.crash().await;
    let stored = fixture.store().leases.shards().await.unwrap();
    assert_eq!((answers.len(), stored.len()), (41, 40));
    assert!(matches!(answers[40], Err(StoreError::Invalid(_))));
    for ((_, new), answer) in taken.iter().zip(answers).take(40) {
        let lost = [3, 17].contains(&new.shard);
        assert_eq!(answer.unwrap(), !lost, "shard {}", new.shard);
        let owner = if lost { "n3" } else { "n2" };
        assert_eq!(stored.iter().find(|row| row.shard == new.shard), Some(&owned(new.shard, owner, 2)));
    }
}

pub(crate) async fn taking_all_raises_every_epoch(fixture: &mut impl Fixture) {
    let own = |shard, epoch| ShardRow { shard, owner: "n1".to_owned(), epoch, state: ShardState::Owned, target: None };
    let foreign = ShardRow {
        shard: 1,
        owner: "n0".to_owned(),
        epoch: 41,
        state: ShardState::Draining,
        target: Some("n9".to_owned()),
    };
    fixture.store().leases.swap(None, &foreign).await.unwrap();
    assert_eq!(fixture.store().leases.take_all("n1", 3).await.unwrap(), [own(0, 1), own(1, 42), own(2, 1)]);
    fixture.crash().await;
    assert_eq!(fixture.store().leases.take_all("n1", 3).await.unwrap(), [own(0, 2), own(1, 43), own(2, 2)]);
    assert_eq!(fixture.store().leases.shards().await.unwrap(), [own(0, 2), own(1, 43), own(2, 2)]);
    assert!(matches!(fixture.store().leases.take_all("n1", u32::MAX).await, Err(StoreError::Invalid(_))));
}

pub(crate) async fn a_fact_changes_by_compare_and_set(fixture: &mut impl Fixture) {
    let leases = fixture.store().leases.clone();
    assert!(!leases.set_fact("steward", Some("n1"), Some("n2")).await.unwrap(), "there is none");
    assert!(leases.set_fact("steward", None, None).await.unwrap());
    assert!(leases.set_fact("steward", None, Some("n1")).await.unwrap());
    assert!(!leases.set_fact("steward", None, Some("n2")).await.unwrap());
    assert!(!leases.set_fact("steward", None, None).await.unwrap());
    assert!(leases.set_fact("paused", None, Some("")).await.unwrap(), "an empty value is a value");
    assert!(leases.set_fact("steward", Some("n1"), Some("n2")).await.unwrap());
    assert!(!leases.set_fact("steward", Some("n1"), None).await.unwrap());
    drop(leases);
    fixture.crash().await;
    let leases = &fixture.store().leases;
    let fact = |name: &str, value: &str| Fact { name: name.to_owned(), value: value.to_owned() };
    assert_eq!(leases.facts().await.unwrap(), [fact("paused", ""), fact("steward", "n2")]);
    assert!(leases.set_fact("steward", Some("n2"), None).await.unwrap());
    assert_eq!(leases.facts().await.unwrap(), [fact("paused", "")]);
    let large = "x".repeat(colloquy_store::limits::FACT_MAX_BYTES + 1);
    assert!(matches!(leases.set_fact("large", None, Some(&large)).await, Err(StoreError::TooLarge { .. })));
}
