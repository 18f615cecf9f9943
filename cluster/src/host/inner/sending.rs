//! How a frame leaves: one router that whoever has something for it drives, and what is tried again until the deadline.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::receiving::BUSY_RETRY_MS;
use super::{DRAIN_RETRY_MS, NodeInner, lock};
use crate::core::router::{Input, NOT_OWNER_RETRY_MS, Output, Router};
use crate::frame::{Answer, Frame};
use crate::host::transport::ReplyTo;

/// How long an answer may be late before the sender gives up, milliseconds: the answerer counts the deadline too, and should win.
const ANSWER_GRACE_MS: u64 = 250;

/// The sending side: one router, driven by whoever has something for it.
pub(super) struct Outbound {
    inbox: Mutex<VecDeque<Input>>,
    driving: AtomicBool,
    router: Mutex<Router>,
    waiters: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    next: AtomicU64,
}

impl Outbound {
    pub(super) fn new(shards: u32) -> Self {
        Self {
            inbox: Mutex::default(),
            driving: AtomicBool::new(false),
            router: Mutex::new(Router::new(shards)),
            waiters: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// A correlation that nobody else has.
    pub(super) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// Gives the wheel back, also when the driver panics.
struct Driving<'a>(&'a AtomicBool);

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// A waiter that is forgotten with its ask.
struct Waiting<'a> {
    outbound: &'a Outbound,
    correlation: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.outbound.waiters).remove(&self.correlation);
    }
}

impl NodeInner {
    /// Sends a frame and waits for its answer; retries what is safe to retry inside the deadline.
    pub(crate) async fn ask(self: &Arc<Self>, mut frame: Frame) -> Answer {
        if self.fate.borrow().is_some() {
            return Answer::Moving { retry_after_ms: DRAIN_RETRY_MS };
        }
        let settles_by_itself = frame.idempotency_key.is_some() || frame.source.is_some();
        let mut perhaps_done = false;
        loop {
            frame.correlation = self.outbound.next();
            let answer = self.ask_once(frame.clone()).await;
            let wait_ms = match &answer {
                Answer::Busy { retry_after_ms } | Answer::Moving { retry_after_ms } => *retry_after_ms,
                Answer::NotOwner { .. } => NOT_OWNER_RETRY_MS,
                Answer::Unknown if settles_by_itself => BUSY_RETRY_MS,
                Answer::Ok(_)
                | Answer::Rejected(_)
                | Answer::Unknown
                | Answer::Expired
                | Answer::HandlerFailed
                | Answer::Unavailable { .. }
                | Answer::Erased
                | Answer::Malformed { .. } => return unless_done(perhaps_done, answer),
            };
            perhaps_done |= answer == Answer::Unknown;
            let left_ms = frame.deadline_ms.saturating_sub(self.now_ms());
            let wait_ms = wait_ms.max(1);
            if i64::try_from(wait_ms).map_or(true, |wait_ms| wait_ms >= left_ms) || self.fate.borrow().is_some() {
                return unless_done(perhaps_done, answer);
            }
            // Spread over half to one and a half of the wait, so that the refused do not return as one crowd.
            let spread = wait_ms / 2 + rand::random_range(0..=wait_ms);
            tokio::time::sleep(Duration::from_millis(spread)).await;
        }
    }

    async fn ask_once(self: &Arc<Self>, frame: Frame) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let correlation = frame.correlation;
        let left_ms = u64::try_from(frame.deadline_ms.saturating_sub(self.now_ms())).unwrap_or(0);
        lock(&self.outbound.waiters).insert(correlation, sender);
        let _waiting = Waiting { outbound: &self.outbound, correlation };
        self.feed(Input::Send(frame));
        match tokio::time::timeout(Duration::from_millis(left_ms + ANSWER_GRACE_MS), receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Answer::Unknown,
        }
    }

    /// Gives the router an input. Whoever finds nobody driving drives, so outputs happen in order and a transport may call back.
    pub(in crate::host) fn feed(self: &Arc<Self>, input: Input) {
        lock(&self.outbound.inbox).push_back(input);
        while !lock(&self.outbound.inbox).is_empty() {
            if self.outbound.driving.swap(true, Ordering::SeqCst) {
                return;
            }
            let driving = Driving(&self.outbound.driving);
            let mut out = Vec::new();
            loop {
                let Some(input) = lock(&self.outbound.inbox).pop_front() else {
                    break;
                };
                lock(&self.outbound.router).on(self.clock.now_ms(), input, &mut out);
                for output in out.drain(..) {
                    self.route(output);
                }
            }
            drop(driving);
        }
    }

    fn route(self: &Arc<Self>, output: Output) {
        match output {
            Output::Transmit { node, frame } => {
                let correlation = frame.correlation;
                let home = Arc::downgrade(self);
                let reply = ReplyTo::new(move |answer| {
                    if let Some(home) = home.upgrade() {
                        if matches!(answer, Answer::NotOwner { .. }) {
                            home.look_soon();
                        }
                        home.feed(Input::Answered { correlation, answer });
                    }
                });
                match self.transport.get() {
                    Some(transport) => transport.send(&node, frame, reply),
                    None => reply.send(Answer::Moving { retry_after_ms: DRAIN_RETRY_MS }),
                }
            }
            Output::Done { correlation, answer } => {
                if let Some(waiter) = lock(&self.outbound.waiters).remove(&correlation) {
                    // Nobody waits any more: the answer came after its deadline.
                    drop(waiter.send(answer));
                }
            }
            Output::Alarm { at_ms } => {
                let wait_ms = u64::try_from(at_ms.saturating_sub(self.now_ms())).unwrap_or(0).max(1);
                let home = Arc::downgrade(self);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    if let Some(home) = home.upgrade() {
                        home.feed(Input::Tick);
                    }
                });
            }
        }
    }
}

/// What a sender learns after several attempts: "nothing happened" is only true of all of them if it is true of each.
fn unless_done(perhaps_done: bool, answer: Answer) -> Answer {
    match answer {
        Answer::Busy { .. }
        | Answer::Moving { .. }
        | Answer::NotOwner { .. }
        | Answer::Expired
        | Answer::Unavailable { .. }
            if perhaps_done =>
        {
            Answer::Unknown
        }
        answer => answer,
    }
}
