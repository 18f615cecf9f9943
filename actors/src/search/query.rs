//! Answers a query: looks through a tenant's rows of hashes, newest conversation first, and reads what they let through.

use std::collections::VecDeque;

use colloquy_cluster::client::ListRow;
use colloquy_cluster::store::StoreError;
use colloquy_cluster::store::rows::{After, Range};
use colloquy_cluster::{Client, ClusterError};
use colloquy_domain::ids::TenantId;
use colloquy_domain::text::search::{Match, Searched, Sought};
use futures::future::try_join_all;
use serde_json::Value;

use super::words::{self, Mark};
use crate::conversation::{self, ConversationEntity};
use crate::{ActorError, Tools};

/// Rows of hashes read at once: a row is about a kilobyte.
const BATCH: usize = 500;
/// Rows looked at for one page; who wants more goes on by cursor instead of waiting.
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

/// Where a conversation stands in a list.
#[derive(Clone, Debug)]
struct At {
    at_ms: i64,
    id: String,
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
    let wanted = tools.words.wanted(tenant, sought);
    let list = if wanted.is_empty() { conversation::LIST } else { words::LIST };
    let mut list = List::new(client, tenant, list, wanted, range);
    let mut found = Found::default();
    let mut read = 0;
    loop {
        let mut batch = Vec::new();
        let mut ended = false;
        while batch.len() < READ_AT_ONCE {
            match list.next().await? {
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
            // If enough was read, how far; else there is no more.
            found.next = list.passed.filter(|_| list.gave_up).map(|at| After { at_ms: at.at_ms, id: at.id });
            return Ok(found);
        }
        if read >= READ_MAX {
            return Ok(found);
        }
    }
}

/// A conversation that the hashes let through: its row, if it is wanted, and where the words stand, if they do.
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
        ClusterError::Store(StoreError::Corrupt { .. })
        | ClusterError::Unreadable { .. }
        | ClusterError::Newer { .. } => {
            tracing::error!(conversation = id, %error, "a search could not read a conversation");
            Ok(None)
        }
        other => Err(other.into()),
    }
}

/// A list, read in batches, of which only rows with all wanted hashes count.
struct List<'a> {
    client: &'a Client,
    tenant: &'a TenantId,
    list: &'static str,
    wanted: Vec<Mark>,
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
    fn new(client: &'a Client, tenant: &'a TenantId, list: &'static str, wanted: Vec<Mark>, range: &Range) -> Self {
        let range = Range { limit: BATCH, ..range.clone() };
        let (waiting, passed) = (VecDeque::new(), None);
        Self { client, tenant, list, wanted, range, waiting, passed, ended: false, gave_up: false, rows: 0 }
    }

    /// The next row that counts, newest first.
    async fn next(&mut self) -> Result<Option<At>, ActorError> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Ok(Some(next));
            }
            if self.ended {
                return Ok(None);
            }
            if self.rows >= ROWS_MAX {
                (self.gave_up, self.ended) = (true, true);
                return Ok(None);
            }
            let rows = self.client.store().rows.list(self.tenant.as_str(), self.list, &self.range).await;
            let rows = rows.map_err(ClusterError::from)?;
            self.ended = rows.len() < BATCH;
            self.rows += rows.len();
            for row in rows {
                // One that is damaged may have had the words: it is read.
                let has = |mark: &Mark| {
                    row.body.as_ref().is_none_or(|body| body.chunks_exact(mark.len()).any(|one| one == mark))
                };
                let counts = self.wanted.iter().all(has);
                let at = At { at_ms: row.at_ms, id: row.id };
                self.range.after = Some(After { at_ms: at.at_ms, id: at.id.clone() });
                self.passed = Some(at.clone());
                if counts {
                    self.waiting.push_back(at);
                }
            }
        }
    }
}
