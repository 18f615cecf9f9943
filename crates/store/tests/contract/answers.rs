//! First answers.

use bytes::Bytes;
use colloquy_store::answers::{BEGUN_KEPT_MS, Begun, DEAD_RUN_MS};

use crate::fixture::Fixture;

const BODY: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const DAY_MS: i64 = 86_400_000;

fn answer(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(crate) async fn the_first_answer_is_kept_and_repeated(fixture: &mut impl Fixture) {
    let answers = fixture.store().answers.clone();
    assert_eq!(answers.begin("ann /a", "k", BODY, 0).await.unwrap(), Begun::First);
    answers.finish("ann /a", "k", answer("first"), DAY_MS).await.unwrap();
    answers.finish("ann /a", "k", answer("second"), 2 * DAY_MS).await.unwrap();
    drop(answers);
    fixture.crash().await;
    let answers = &fixture.store().answers;
    assert_eq!(answers.begin("ann /a", "k", BODY, 5).await.unwrap(), Begun::Done(answer("first")));
    // Neither another principal or path nor another key sees it.
    assert_eq!(answers.begin("bob /a", "k", BODY, 5).await.unwrap(), Begun::First);
    assert_eq!(answers.begin("ann /a", "l", BODY, 5).await.unwrap(), Begun::First);
    // An answer to what nobody began is not kept.
    answers.finish("ann /b", "k", answer("stray"), DAY_MS).await.unwrap();
    assert_eq!(answers.begin("ann /b", "k", BODY, 5).await.unwrap(), Begun::First);
}

pub(crate) async fn forgotten_answers_leave_their_keys_used(fixture: &mut impl Fixture) {
    let answers = fixture.store().answers.clone();
    for scope in ["t/1", "t/2", "tt/1", "s/1"] {
        assert_eq!(answers.begin(scope, "k", BODY, 0).await.unwrap(), Begun::First);
        answers.finish(scope, "k", answer("words"), DAY_MS).await.unwrap();
    }
    answers.begin("t/1", "runs", BODY, 0).await.unwrap();
    answers.forget("t/", answer("gone")).await.unwrap();
    answers.forget("t/", answer("gone")).await.unwrap();
    for (scope, kept) in [("t/1", "gone"), ("t/2", "gone"), ("tt/1", "words"), ("s/1", "words")] {
        assert_eq!(answers.begin(scope, "k", BODY, 5).await.unwrap(), Begun::Done(answer(kept)), "{scope}");
    }
    assert_eq!(answers.begin("t/1", "runs", BODY, 5).await.unwrap(), Begun::Running);
}

pub(crate) async fn a_running_request_is_not_run_twice(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 0).await.unwrap();
    assert_eq!(answers.begin("s", "k", BODY, DEAD_RUN_MS - 1).await.unwrap(), Begun::Running);
}

pub(crate) async fn another_body_under_the_same_key_is_told(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 0).await.unwrap();
    assert_eq!(answers.begin("s", "k", OTHER, 1).await.unwrap(), Begun::Different);
    answers.finish("s", "k", answer("x"), DAY_MS).await.unwrap();
    assert_eq!(answers.begin("s", "k", OTHER, 2).await.unwrap(), Begun::Different);
}

pub(crate) async fn a_run_that_died_is_run_again_as_the_same_request(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 7).await.unwrap();
    let dead = 7 + DEAD_RUN_MS;
    // What became of it nobody knows: it may have been done, so the key is not free for anything else.
    assert_eq!(answers.begin("s", "k", OTHER, dead).await.unwrap(), Begun::Different);
    assert_eq!(answers.begin("s", "k", BODY, dead).await.unwrap(), Begun::Again { since_ms: 7 });
    assert_eq!(answers.begin("s", "k", BODY, dead + 1).await.unwrap(), Begun::Running);
    assert_eq!(answers.begin("s", "k", BODY, dead + DEAD_RUN_MS).await.unwrap(), Begun::Again { since_ms: 7 });
    assert_eq!(answers.begin("s", "k", OTHER, 7 + BEGUN_KEPT_MS).await.unwrap(), Begun::First);
}

pub(crate) async fn a_released_request_is_run_again_at_once(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 7).await.unwrap();
    answers.release("s", "k", 9).await.unwrap();
    assert_eq!(answers.begin("s", "k", OTHER, 10).await.unwrap(), Begun::Different);
    assert_eq!(answers.begin("s", "k", BODY, 10).await.unwrap(), Begun::Again { since_ms: 7 });
    assert_eq!(answers.begin("s", "k", BODY, 11).await.unwrap(), Begun::Running);
    answers.finish("s", "k", answer("x"), DAY_MS).await.unwrap();
    answers.release("s", "k", 12).await.unwrap();
    assert_eq!(answers.begin("s", "k", BODY, 13).await.unwrap(), Begun::Done(answer("x")));
}

pub(crate) async fn an_answer_expires(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 0).await.unwrap();
    answers.finish("s", "k", answer("x"), DAY_MS).await.unwrap();
    // An answer outlives the time after which a run without one counts as dead.
    assert_eq!(answers.begin("s", "k", BODY, DAY_MS - 1).await.unwrap(), Begun::Done(answer("x")));
    assert_eq!(answers.begin("s", "k", BODY, DAY_MS).await.unwrap(), Begun::First);
}

pub(crate) async fn an_abandoned_request_may_be_tried_again(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 0).await.unwrap();
    answers.abandon("s", "k").await.unwrap();
    assert_eq!(answers.begin("s", "k", OTHER, 1).await.unwrap(), Begun::First);
    answers.finish("s", "k", answer("x"), DAY_MS).await.unwrap();
    answers.abandon("s", "k").await.unwrap();
    assert_eq!(answers.begin("s", "k", OTHER, 2).await.unwrap(), Begun::Done(answer("x")));
}

pub(crate) async fn sweeping_drops_expired_and_dead_and_nothing_else(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    for (key, expires_at_ms) in [("old", Some(50)), ("new", Some(DAY_MS)), ("run", None)] {
        answers.begin("s", key, BODY, 0).await.unwrap();
        if let Some(expires_at_ms) = expires_at_ms {
            answers.finish("s", key, answer("x"), expires_at_ms).await.unwrap();
        }
    }
    assert_eq!(answers.sweep(49).await.unwrap(), 0);
    assert_eq!(answers.sweep(50).await.unwrap(), 1);
    assert_eq!(answers.begin("s", "run", BODY, 51).await.unwrap(), Begun::Running);
    assert_eq!(answers.sweep(DEAD_RUN_MS).await.unwrap(), 0, "a repeat must find when it was begun");
    assert_eq!(answers.begin("s", "new", BODY, DEAD_RUN_MS).await.unwrap(), Begun::Done(answer("x")));
    assert_eq!(answers.sweep(BEGUN_KEPT_MS).await.unwrap(), 2);
}

pub(crate) async fn a_repeat_under_way_outlives_its_day(fixture: &mut impl Fixture) {
    let answers = &fixture.store().answers;
    answers.begin("s", "k", BODY, 7).await.unwrap();
    let last = 7 + BEGUN_KEPT_MS - 1;
    assert_eq!(answers.begin("s", "k", BODY, last).await.unwrap(), Begun::Again { since_ms: 7 });
    assert_eq!(answers.sweep(last + 1).await.unwrap(), 0, "somebody runs it");
    assert_eq!(answers.begin("s", "k", BODY, last + 1).await.unwrap(), Begun::Running);
    // Whoever ends a run later than it counts as dead does not bring it back to life.
    answers.release("s", "k", last + DEAD_RUN_MS + 5).await.unwrap();
    assert_eq!(answers.sweep(last + DEAD_RUN_MS).await.unwrap(), 1);
}
