//! Values that may exist once.

use colloquy_store::unique::Holder;
use tokio::task::JoinSet;

use crate::fixture::Fixture;

pub(crate) async fn a_value_has_one_owner_until_released(fixture: &mut impl Fixture) {
    let unique = &fixture.store().unique;
    assert_eq!(unique.reserve("mail", "a@b.c", "ann", 10).await.unwrap(), None);
    // Trying again is safe, and does not move the time at which the reservation is settled.
    assert_eq!(unique.reserve("mail", "a@b.c", "ann", 20).await.unwrap(), None);
    let ann = Holder { owner: "ann".to_owned(), confirmed: false, reserved_at_ms: 10 };
    assert_eq!(unique.reserve("mail", "a@b.c", "bob", 30).await.unwrap(), Some(ann.clone()));
    assert_eq!(unique.reserve("slug", "a@b.c", "bob", 30).await.unwrap(), None);
    unique.release("mail", "a@b.c", "bob").await.unwrap();
    assert_eq!(unique.holder("mail", "a@b.c").await.unwrap(), Some(ann));
    unique.release("mail", "a@b.c", "ann").await.unwrap();
    assert_eq!(unique.holder("mail", "a@b.c").await.unwrap(), None);
    assert_eq!(unique.reserve("mail", "a@b.c", "bob", 40).await.unwrap(), None);
}

pub(crate) async fn fifty_tasks_race_and_one_wins(fixture: &mut impl Fixture) {
    let mut tasks = JoinSet::new();
    for task in 0..50 {
        let unique = fixture.store().unique.clone();
        tasks.spawn(async move { unique.reserve("mail", "a@b.c", &format!("task {task}"), task).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), 1);
    let winner = fixture.store().unique.holder("mail", "a@b.c").await.unwrap();
    assert!(answers.iter().flatten().all(|holder| Some(holder) == winner.as_ref()));
}

pub(crate) async fn only_the_owner_confirms(fixture: &mut impl Fixture) {
    let unique = fixture.store().unique.clone();
    assert!(!unique.confirm("mail", "a@b.c", "ann").await.unwrap());
    unique.reserve("mail", "a@b.c", "ann", 10).await.unwrap();
    assert!(!unique.confirm("mail", "a@b.c", "bob").await.unwrap());
    assert!(unique.confirm("mail", "a@b.c", "ann").await.unwrap());
    assert!(unique.confirm("mail", "a@b.c", "ann").await.unwrap());
    assert_eq!(unique.reserve("mail", "a@b.c", "ann", 50).await.unwrap(), None);
    drop(unique);
    fixture.crash().await;
    let holder = fixture.store().unique.holder("mail", "a@b.c").await.unwrap();
    assert_eq!(holder, Some(Holder { owner: "ann".to_owned(), confirmed: true, reserved_at_ms: 10 }));
}
