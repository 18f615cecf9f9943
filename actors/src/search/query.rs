//! Answers a query: joins the lists of its words, newest conversation first, and reads what they let through.

use std::cmp::Ordering;
use std::collections::VecDeque;

use colloquy_cluster::client::ListRow;
use colloquy_cluster::store::StoreError;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Client, ClusterError};
use colloquy_domain::ids::TenantId;
use colloquy_domain::text::search::{Match, Searched, Sought};
use futures::future::try_join_all;
use serde_json::Value;

use super::words::Place;
use crate::conversation::{self, ConversationEntity};
use crate::{ActorError, Tools};

/// Rows of a list of words read at once: a row is about a hundred bytes.
const BATCH: usize = 500;
/// Rows of lists looked at for one page; who wants more goes on by cursor instead of waiting.
const ROWS_MAX: usize = 50_000;
/// Conversations read word by word for one page.
const READ_MAX: usize = 400;
/// Conversations read at the same time.
const READ_AT_ONCE: usize = 8;

/// What a query found.
#[derive(Debug, Default)]
pub struct Found {
    /// Rows of conversations with where the words stand in them, newest first.
    pub items: Vec<(Value, Match)>,
    /// Where to go on; `None` at the end.
    pub next: Option<After>,
}

/// Where a conversation stands in all lists: newest first, ties by id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct At {
    at_ms: i64,
    id: String,
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_ms.cmp(&self.at_ms).then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Conversations of a tenant in which all words of a query occur and whose rows `keep` lets through, within a range.
pub async fn find(
    client: &Client,
    tools: &Tools,
    tenant: &TenantId,
    sought: &Sought,
    range: &Range,
    keep: impl Fn(&Value) -> bool,
) -> Result<Found, ActorError> {
    let places = tools.words.places(tenant, sought);
    let mut lists: Vec<List<'_>> = if places.is_empty() {
        vec![List::new(client, tenant, conversation::LIST.to_owned(), None, range)]
    } else {
        places.into_iter().map(|Place { list, mark }| List::new(client, tenant, list, Some(mark), range)).collect()
    };
    let mut found = Found::default();
    let mut read = 0;
    loop {
        let mut batch = Vec::new();
        let mut ended = false;
        while batch.len() < READ_AT_ONCE {
            match next(&mut lists).await? {
                Some(at) => batch.push(at),
                None => {
                    ended = true;
                    break;
                }
            }
        }
        read += batch.len();
        let looked = try_join_all(batch.iter().map(|at| look(client, tenant, sought, &at.id, &keep))).await?;
        for (at, hit) in batch.into_iter().zip(looked) {
            found.items.extend(hit);
            found.next = Some(After { at_ms: at.at_ms, id: at.id });
            if found.items.len() >= range.limit {
                return Ok(found);
            }
        }
        if ended {
            // A list of which enough was read says how far that was; any other has ended.
            let gave_up = lists.into_iter().find(|list| list.gave_up).and_then(|list| list.passed);
            found.next = gave_up.map(|at| After { at_ms: at.at_ms, id: at.id });
            return Ok(found);
        }
        if read >= READ_MAX {
            return Ok(found);
        }
    }
}

/// The next conversation that stands in all lists. A list that is behind jumps to where the others are.
async fn next(lists: &mut [List<'_>]) -> Result<Option<At>, ActorError> {
    let Some(first) = lists.first_mut() else { return Ok(None) };
    let Some(mut wanted) = first.head(None).await? else { return Ok(None) };
    let mut agree = 0;
    let mut at = 0;
    while agree < lists.len() {
        let count = lists.len();
        match lists[at].head(Some(&wanted)).await? {
            None => return Ok(None),
            Some(head) if head == wanted => agree += 1,
            Some(head) => {
                wanted = head;
                agree = 1;
            }
        }
        at = (at + 1) % count;
    }
    for list in lists {
        list.take();
    }
    Ok(Some(wanted))
}

/// A conversation that the lists let through: its row, if it is wanted, and where the words stand, if they do.
async fn look(
    client: &Client,
    tenant: &TenantId,
    sought: &Sought,
    id: &str,
    keep: &impl Fn(&Value) -> bool,
) -> Result<Option<(Value, Match)>, ActorError> {
    let row: ListRow<Value> = match client.get(tenant.as_str(), conversation::LIST, id).await {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(None),
        Err(error) => return unreadable(id, error),
    };
    if !keep(&row.body) {
        return Ok(None);
    }
    // Folded from the journal: a search wakes nobody up.
    let state = match client.replay::<ConversationEntity>(tenant.as_str(), id, None).await {
        Ok(folded) => folded.state,
        Err(error) => return unreadable(id, error),
    };
    let messages =
        state.messages.iter().map(|message| Searched { seq: message.seq, role: message.role, text: &message.content });
    Ok(sought.find(messages).map(|found| (row.body, found)))
}

/// What was erased a moment ago is not found, and one damaged conversation does not hide the others.
fn unreadable<T>(id: &str, error: ClusterError) -> Result<Option<T>, ActorError> {
    match error {
        ClusterError::Store(StoreError::Erased(_)) => Ok(None),
        ClusterError::Store(StoreError::Corrupt { .. }) | ClusterError::Unreadable { .. } => {
            tracing::error!(conversation = id, %error, "a search could not read a conversation");
            Ok(None)
        }
        other => Err(other.into()),
    }
}

/// One list, read in batches, of which only rows with a mark count.
struct List<'a> {
    client: &'a Client,
    tenant: &'a TenantId,
    list: String,
    mark: Option<[u8; 2]>,
    range: Range,
    waiting: VecDeque<At>,
    /// The last row read, whether it counted or not.
    passed: Option<At>,
    ended: bool,
    /// Rows were left because enough were read.
    gave_up: bool,
    rows: usize,
}

impl<'a> List<'a> {
    fn new(client: &'a Client, tenant: &'a TenantId, list: String, mark: Option<[u8; 2]>, range: &Range) -> Self {
        let range = Range { limit: BATCH, ..range.clone() };
        Self {
            client,
            tenant,
            list,
            mark,
            range,
            waiting: VecDeque::new(),
            passed: None,
            ended: false,
            gave_up: false,
            rows: 0,
        }
    }

    /// The first row that counts and is not newer than `from`.
    async fn head(&mut self, from: Option<&At>) -> Result<Option<At>, ActorError> {
        loop {
            while from.is_some_and(|from| self.waiting.front().is_some_and(|first| first < from)) {
                self.waiting.pop_front();
            }
            if let Some(first) = self.waiting.front() {
                return Ok(Some(first.clone()));
            }
            if self.ended {
                return Ok(None);
            }
            if self.rows >= ROWS_MAX {
                (self.gave_up, self.ended) = (true, true);
                return Ok(None);
            }
            if let Some(from) = from
                && self.passed.as_ref().is_none_or(|passed| passed.at_ms > from.at_ms)
            {
                self.range.after = None;
                self.range.to_ms = Some(from.at_ms.saturating_add(1));
            }
            let rows = self.client.store().rows.list(self.tenant.as_str(), &self.list, &self.range).await;
            let rows = rows.map_err(ClusterError::from)?;
            self.ended = rows.len() < BATCH;
            self.rows += rows.len();
            for row in rows {
                // One that is damaged may have had the word: it is read.
                let counts = match (&self.mark, &row.body) {
                    (None, _) | (_, None) => true,
                    (Some(mark), Some(body)) => body.chunks_exact(mark.len()).any(|one| one == mark),
                };
                let at = At { at_ms: row.at_ms, id: row.id };
                self.range.after = Some(After { at_ms: at.at_ms, id: at.id.clone() });
                self.passed = Some(at.clone());
                if counts {
                    self.waiting.push_back(at);
                }
            }
        }
    }

    fn take(&mut self) {
        self.waiting.pop_front();
    }
}
