//! Conversations under way whose visitors do not give up: what each was told, how long it took, and whether all of it is stored.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::{Tally, Visitor, is_answer, many};
use crate::api::Owner;
use crate::cluster::Balancer;
use crate::error::{Error, Result};
use crate::open_loop::{Offered, Plan};
use crate::stand_in::Pace;
use crate::turn::{ask, visitor_id};
use crate::wording::question;

/// How long a visitor insists, with the same message, before it counts as dropped.
const INSISTS: Duration = Duration::from_secs(60);
/// Between two attempts: a widget waits about as long before it connects again.
const RETRY: Duration = Duration::from_millis(100);

/// All chats of a run.
pub(crate) struct Chats {
    balancer: Arc<Balancer>,
    visitors: Vec<Visitor>,
    told: Mutex<Told>,
    pace: Pace,
}

#[derive(Default)]
struct Told {
    /// Words that were acknowledged, by conversation.
    acknowledged: BTreeMap<String, Vec<String>>,
    /// Attempts beyond the first.
    retries: u64,
}

/// What is stored, compared with what was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Messages that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Acknowledged and not there.
    pub(crate) lost: u64,
    /// There more than once.
    pub(crate) doubled: u64,
}

impl Chats {
    /// Takes over conversations that are open.
    pub(crate) fn new(balancer: Arc<Balancer>, visitors: Vec<Visitor>, pace: Pace) -> Result<Arc<Self>> {
        if visitors.is_empty() {
            return Err(Error::Setup("no conversation could be opened".into()));
        }
        Ok(Arc::new(Self { balancer, visitors, told: Mutex::default(), pace }))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.visitors.len()
    }

    /// Attempts beyond the first, so far.
    pub(crate) fn retries(&self) -> u64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).retries
    }

    /// Turns at a rate, in one conversation after the other, until the plan is over.
    pub(crate) async fn talk(self: &Arc<Self>, plan: Plan, offset: u64) -> (Tally, Offered) {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let model = (self.pace.first, self.pace.own_time());
        let offered = plan
            .run(|arrival, intended| {
                let (chats, tally) = (Arc::clone(self), Arc::clone(&tally));
                let number = offset + arrival;
                async move {
                    let begun = Instant::now();
                    let outcome = chats.turn((number % chats.visitors.len() as u64) as usize, number, INSISTS).await;
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        Ok((first, done)) => tally.answered(intended, begun, first, done, model),
                        Err(error) => tally.failed(error.kind()),
                    }
                }
            })
            .await;
        (std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner)), offered)
    }

    /// Every conversation at once asks and insists; gives how long after `since` each was answered.
    pub(crate) async fn all_answer(self: &Arc<Self>, since: Instant, within: Duration) -> (Vec<Duration>, u64) {
        let mut asking = tokio::task::JoinSet::new();
        for place in 0..self.visitors.len() {
            let chats = Arc::clone(self);
            asking.spawn(async move { chats.turn(place, place as u64, within).await });
        }
        let (mut answered, mut silent) = (Vec::new(), 0);
        while let Some(outcome) = asking.join_next().await {
            match outcome {
                Ok(Ok((_, done))) => answered.push(done.duration_since(since)),
                Ok(Err(_)) | Err(_) => silent += 1,
            }
        }
        (answered, silent)
    }

    /// One message, with as many attempts at as many frontends as it takes.
    async fn turn(&self, place: usize, number: u64, within: Duration) -> Result<(Option<Instant>, Instant)> {
        let visitor = &self.visitors[place];
        let words = format!("{} My reference is {}.", question(number), visitor_id());
        let request = visitor.request(words.clone());
        let begun = Instant::now();
        loop {
            let outcome = ask(&self.balancer.pick(), &request, Some(visitor.token.as_str())).await;
            let error = match outcome {
                Ok(turn) if turn.answer.as_ref().is_some_and(is_answer) => {
                    let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.acknowledged.entry(visitor.conversation.clone()).or_default().push(words);
                    return Ok((turn.first, turn.done));
                }
                Ok(_) => Error::unexpected("POST /api/chat", "an empty answer"),
                Err(error) => error,
            };
            if begun.elapsed() > within || !may_be_asked_again(&error) {
                return Err(error);
            }
            self.told.lock().unwrap_or_else(PoisonError::into_inner).retries += 1;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Reads every conversation back and looks for what was acknowledged.
    pub(crate) async fn kept(&self, owners: &BTreeMap<String, Arc<Owner>>) -> Result<Kept> {
        let acknowledged = std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner).acknowledged);
        let owner_of: BTreeMap<&str, &Arc<Owner>> = self
            .visitors
            .iter()
            .filter_map(|visitor| Some((visitor.conversation.as_str(), owners.get(&visitor.agent)?)))
            .collect();
        let mut all = Vec::new();
        for (conversation, words) in acknowledged {
            let owner =
                owner_of.get(conversation.as_str()).ok_or_else(|| Error::Setup("a stray conversation".into()))?;
            all.push((Arc::clone(owner), conversation, words));
        }
        let all = Arc::new(all);
        let count = all.len() as u64;
        let each = many(count, move |number| {
            let all = Arc::clone(&all);
            async move {
                let (owner, conversation, words) = &all[number as usize];
                let shown = owner.get(&format!("/api/conversations/{conversation}")).await?;
                let stored = shown["messages"].as_array().into_iter().flatten();
                let stored: Vec<&str> = stored.filter_map(|message| message["content"].as_str()).collect();
                Ok(compare(words, &stored))
            }
        })
        .await?;
        Ok(each.into_iter().fold(Kept::default(), |sum, one| Kept {
            acknowledged: sum.acknowledged + one.acknowledged,
            lost: sum.lost + one.lost,
            doubled: sum.doubled + one.doubled,
        }))
    }
}

/// What a visitor's client tries again: everything but a refusal that says it is its own fault.
fn may_be_asked_again(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => *status >= 500 || [408, 409, 429].contains(status),
        Error::Io { .. }
        | Error::Http { .. }
        | Error::Socket { .. }
        | Error::Unexpected { .. }
        | Error::NotInTime { .. } => true,
        Error::Died { .. } | Error::Setup(_) | Error::Stopped | Error::ScenariosFailed(_) => false,
    }
}

fn compare(acknowledged: &[String], stored: &[&str]) -> Kept {
    let mut kept = Kept { acknowledged: acknowledged.len() as u64, ..Kept::default() };
    for words in acknowledged {
        match stored.iter().filter(|stored| **stored == words).count() {
            0 => kept.lost += 1,
            1 => {}
            _ => kept.doubled += 1,
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_there_twice_is_told_apart() {
        let acknowledged = ["a", "b", "c"].map(str::to_owned);
        let kept = compare(&acknowledged, &["a", "x", "c", "c"]);
        assert_eq!(kept, Kept { acknowledged: 3, lost: 1, doubled: 1 });
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let refused = |status| Error::Refused { call: "c".into(), status, code: "x".into(), detail: String::new() };
        assert!(may_be_asked_again(&refused(503)) && may_be_asked_again(&refused(429)));
        assert!(!may_be_asked_again(&refused(401)) && !may_be_asked_again(&Error::Stopped));
        assert!(may_be_asked_again(&Error::unexpected("c", "the stream ended without an answer")));
    }
}
