//! Projected rows.

use bytes::Bytes;
use colloquy_store::rows::{After, Range, Row};

use crate::fixture::Fixture;

fn row(id: &str, at_ms: i64, seq: u64, body: Option<&str>) -> Row {
    Row {
        tenant: "acme".to_owned(),
        list: "leads".to_owned(),
        at_ms,
        id: id.to_owned(),
        seq,
        view_version: 1,
        body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
        numbers: Some(Bytes::from_static(b"{\"open\":1}")),
    }
}

fn ids(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

fn first(limit: usize) -> Range {
    Range { limit, ..Range::default() }
}

pub(crate) async fn an_older_or_equal_version_never_replaces_a_row(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    rows.put(&[row("a", 1, 5, Some("five"))]).await.unwrap();
    rows.put(&[row("a", 1, 4, Some("four")), row("a", 1, 5, Some("five again"))]).await.unwrap();
    assert_eq!(rows.get("acme", "leads", "a").await.unwrap(), Some(row("a", 1, 5, Some("five"))));
    rows.put(&[row("a", 1, 6, Some("six")), row("a", 1, 5, None)]).await.unwrap();
    assert_eq!(rows.list("acme", "leads", &first(9)).await.unwrap(), [row("a", 1, 6, Some("six"))]);
}

pub(crate) async fn a_rebuilt_view_replaces_at_the_same_seq(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    let rebuilt = Row { view_version: 2, ..row("a", 1, 5, Some("rebuilt")) };
    rows.put(&[row("a", 1, 5, Some("five"))]).await.unwrap();
    rows.put(std::slice::from_ref(&rebuilt)).await.unwrap();
    rows.put(&[row("a", 1, 5, Some("five"))]).await.unwrap();
    assert_eq!(rows.get("acme", "leads", "a").await.unwrap(), Some(rebuilt));
    let widest = Row { view_version: u16::MAX, seq: (1 << 47) - 1, ..row("b", i64::MIN, 0, Some("")) };
    rows.put(std::slice::from_ref(&widest)).await.unwrap();
    assert_eq!(rows.get("acme", "leads", "b").await.unwrap(), Some(widest));
}

pub(crate) async fn lists_are_newest_first_with_ties_by_id(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    let put = [("b", 10), ("a", 10), ("c", 20), ("d", -5), ("e", i64::MAX)].map(|(id, at)| row(id, at, 1, Some("x")));
    rows.put(&put).await.unwrap();
    assert_eq!(ids(&rows.list("acme", "leads", &first(9)).await.unwrap()), ["e", "c", "a", "b", "d"]);
    assert_eq!(ids(&rows.list("acme", "leads", &first(2)).await.unwrap()), ["e", "c"]);
    assert_eq!(ids(&rows.list("acme", "leads", &first(0)).await.unwrap()), [""; 0]);
}

pub(crate) async fn pages_join_without_loss_or_doubles_across_ties(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    let all: Vec<Row> = (0..23).map(|n| row(&format!("{n:02}"), i64::from(n / 5), 1, Some("x"))).collect();
    rows.put(&all).await.unwrap();
    let whole = rows.list("acme", "leads", &first(99)).await.unwrap();
    for (limit, from_ms, to_ms) in
        [(1, None, None), (3, None, None), (4, Some(1), Some(4)), (7, None, Some(3)), (2, Some(2), None)]
    {
        let mut pages = Vec::new();
        let mut range = Range { from_ms, to_ms, after: None, limit };
        loop {
            let page = rows.list("acme", "leads", &range).await.unwrap();
            let Some(last) = page.last() else { break };
            range.after = Some(After { at_ms: last.at_ms, id: last.id.clone() });
            pages.extend(page);
        }
        let inside = |row: &&Row| from_ms.is_none_or(|from| row.at_ms >= from) && to_ms.is_none_or(|to| row.at_ms < to);
        assert_eq!(
            pages,
            whole.iter().filter(inside).cloned().collect::<Vec<_>>(),
            "limit {limit}, from {from_ms:?}, to {to_ms:?}"
        );
    }
}

pub(crate) async fn from_is_inclusive_and_to_is_exclusive(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    rows.put(&[1, 2, 3, i64::MIN].map(|at| row(&at.to_string(), at, 1, Some("x")))).await.unwrap();
    let after = |at_ms| Some(After { at_ms, id: String::new() });
    for (from_ms, to_ms, after, expected) in [
        (Some(2), None, None, &["3", "2"][..]),
        (Some(0), Some(2), None, &["1"]),
        (Some(2), Some(2), None, &[]),
        (Some(3), Some(1), None, &[]),
        (None, Some(i64::MIN), None, &[]),
        (Some(0), None, after(2), &["2", "1"]),
        (Some(2), None, after(1), &[]),
        (Some(0), Some(3), after(9), &["2", "1"]),
        (None, Some(0), after(i64::MIN), &["-9223372036854775808"]),
    ] {
        let range = Range { from_ms, to_ms, after, limit: 9 };
        assert_eq!(ids(&rows.list("acme", "leads", &range).await.unwrap()), expected, "{range:?}");
    }
}

pub(crate) async fn tombstones_leave_lists_and_stay_in_scans(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    rows.put(&["a", "b", "c"].map(|id| row(id, 1, 1, Some("x")))).await.unwrap();
    rows.put(&[row("b", 1, 2, None)]).await.unwrap();
    assert_eq!(ids(&rows.list("acme", "leads", &first(9)).await.unwrap()), ["a", "c"]);
    assert_eq!(rows.get("acme", "leads", "b").await.unwrap(), None);
    let scanned = rows.scan("acme", "leads", None, 9).await.unwrap();
    assert_eq!(ids(&scanned), ["a", "b", "c"]);
    assert_eq!(scanned[1], row("b", 1, 2, None));
    assert_eq!(ids(&rows.scan("acme", "leads", Some("a"), 1).await.unwrap()), ["b"]);
    assert_eq!(ids(&rows.scan("acme", "leads", Some("aa"), 9).await.unwrap()), ["b", "c"]);
    assert_eq!(ids(&rows.scan("acme", "leads", Some("c"), 9).await.unwrap()), [""; 0]);
    // A later version brings the row back, an earlier one does not.
    rows.put(&[row("b", 1, 1, Some("old"))]).await.unwrap();
    assert_eq!(rows.get("acme", "leads", "b").await.unwrap(), None);
    rows.put(&[row("b", 1, 3, Some("back"))]).await.unwrap();
    assert_eq!(ids(&rows.list("acme", "leads", &first(9)).await.unwrap()), ["a", "b", "c"]);
}

pub(crate) async fn lists_and_tenants_are_apart(fixture: &mut impl Fixture) {
    let rows = &fixture.store().rows;
    let other_list = Row { list: "calls".to_owned(), ..row("a", 2, 1, Some("call")) };
    let other_tenant = Row { tenant: "beta".to_owned(), ..row("a", 3, 1, Some("beta")) };
    rows.put(&[row("a", 1, 1, Some("lead")), other_list.clone(), other_tenant.clone()]).await.unwrap();
    assert_eq!(rows.list("acme", "leads", &first(9)).await.unwrap(), [row("a", 1, 1, Some("lead"))]);
    assert_eq!(rows.scan("acme", "calls", None, 9).await.unwrap(), [other_list]);
    assert_eq!(rows.get("beta", "leads", "a").await.unwrap(), Some(other_tenant));
    assert_eq!(rows.get("beta", "calls", "a").await.unwrap(), None);
}

pub(crate) async fn rows_survive_a_crash(fixture: &mut impl Fixture) {
    let unusual = Row { numbers: None, ..row("b", 2, 1, Some("")) };
    fixture.store().rows.put(&[row("a", 1, 1, None), unusual.clone()]).await.unwrap();
    fixture.crash().await;
    assert_eq!(fixture.store().rows.scan("acme", "leads", None, 9).await.unwrap(), [row("a", 1, 1, None), unusual]);
}
