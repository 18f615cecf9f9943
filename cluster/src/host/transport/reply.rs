//! Where the answer to one frame goes, in one piece or in several.

use bytes::{Bytes, BytesMut};

use super::config::MAX_ANSWER_BYTES;
use crate::frame::Answer;

/// Where the answer to one frame goes. Dropped without an answer it says [`Answer::Unknown`]: whoever held it died.
///
/// A long answer may be given in parts: the bytes of [`Answer::Ok`] or [`Answer::Rejected`] follow those of the parts. Whoever asked sees them
/// as one, or each as it comes ([`ReplyTo::in_parts`]). With any other answer the parts mean nothing.
pub struct ReplyTo {
    sink: Option<Box<dyn Sink>>,
}

/// What stands behind a [`ReplyTo`].
pub(super) trait Sink: Send {
    /// Takes a part; false when further parts are of no use.
    fn part(&mut self, bytes: Bytes) -> bool;
    /// Takes the answer.
    fn answer(self: Box<Self>, answer: Answer);
}

impl ReplyTo {
    /// A reply that is delivered by a function, which must not block. Parts are gathered.
    pub fn new(deliver: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self::to(Whole { deliver, gathered: BytesMut::new(), too_long: false })
    }

    /// A reply whose parts are delivered as they come. `part` says whether it wants more; neither function may block.
    pub fn in_parts(
        part: impl FnMut(Bytes) -> bool + Send + 'static,
        deliver: impl FnOnce(Answer) + Send + 'static,
    ) -> Self {
        Self::to(InParts { part, deliver })
    }

    pub(super) fn to(sink: impl Sink + 'static) -> Self {
        Self { sink: Some(Box::new(sink)) }
    }

    /// Gives a part of the answer; false when nobody waits any more or the receiver is too far behind: the producer should stop.
    pub fn part(&mut self, bytes: Bytes) -> bool {
        self.sink.as_mut().is_some_and(|sink| sink.part(bytes))
    }

    /// Gives the answer.
    pub fn send(mut self, answer: Answer) {
        if let Some(sink) = self.sink.take() {
            sink.answer(answer);
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink.answer(Answer::Unknown);
        }
    }
}

/// Puts the parts together.
struct Whole<F> {
    deliver: F,
    gathered: BytesMut,
    too_long: bool,
}

impl<F: FnOnce(Answer) + Send> Sink for Whole<F> {
    fn part(&mut self, bytes: Bytes) -> bool {
        self.too_long |= self.gathered.len() + bytes.len() > MAX_ANSWER_BYTES;
        if self.too_long {
            self.gathered = BytesMut::new();
        } else {
            self.gathered.extend_from_slice(&bytes);
        }
        !self.too_long
    }

    fn answer(self: Box<Self>, answer: Answer) {
        let Self { deliver, mut gathered, too_long } = *self;
        let mut whole = |last: Bytes| {
            if gathered.is_empty() {
                return last;
            }
            gathered.extend_from_slice(&last);
            std::mem::take(&mut gathered).freeze()
        };
        deliver(match answer {
            Answer::Ok(_) | Answer::Rejected(_) if too_long => too_long_an_answer(),
            Answer::Ok(last) => Answer::Ok(whole(last)),
            Answer::Rejected(last) => Answer::Rejected(whole(last)),
            other => other,
        });
    }
}

struct InParts<P, F> {
    part: P,
    deliver: F,
}

impl<P: FnMut(Bytes) -> bool + Send, F: FnOnce(Answer) + Send> Sink for InParts<P, F> {
    fn part(&mut self, bytes: Bytes) -> bool {
        (self.part)(bytes)
    }

    fn answer(self: Box<Self>, answer: Answer) {
        (self.deliver)(answer);
    }
}

/// What an answer above [`MAX_ANSWER_BYTES`] becomes.
pub(super) fn too_long_an_answer() -> Answer {
    Answer::Malformed { detail: format!("the answer is above the limit of {MAX_ANSWER_BYTES} bytes") }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn catch() -> (ReplyTo, Arc<Mutex<Option<Answer>>>) {
        let caught = Arc::new(Mutex::new(None));
        let into = caught.clone();
        (ReplyTo::new(move |answer| *into.lock().expect("whole") = Some(answer)), caught)
    }

    fn taken(caught: &Arc<Mutex<Option<Answer>>>) -> Answer {
        caught.lock().expect("whole").take().expect("answered")
    }

    #[test]
    fn parts_become_one_answer_for_who_wants_one() {
        let (mut reply, caught) = catch();
        assert!(reply.part(Bytes::from_static(b"one ")));
        assert!(reply.part(Bytes::from_static(b"two ")));
        reply.send(Answer::Ok(Bytes::from_static(b"three")));
        assert_eq!(taken(&caught), Answer::Ok(Bytes::from_static(b"one two three")));
    }

    #[test]
    fn parts_mean_nothing_when_the_answer_is_a_failure() {
        let (mut reply, caught) = catch();
        reply.part(Bytes::from_static(b"half"));
        drop(reply);
        assert_eq!(taken(&caught), Answer::Unknown);
    }

    #[test]
    fn an_endless_answer_is_cut_off_and_says_so() {
        let (mut reply, caught) = catch();
        let chunk = Bytes::from(vec![0; 1024 * 1024]);
        let mut parts = 0;
        while reply.part(chunk.clone()) {
            parts += 1;
            assert!(parts * chunk.len() <= MAX_ANSWER_BYTES, "never refused");
        }
        reply.send(Answer::Ok(Bytes::new()));
        assert_eq!(taken(&caught), too_long_an_answer());
    }

    #[test]
    fn parts_reach_who_wants_them_as_they_come() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (parts, end) = (seen.clone(), seen.clone());
        let mut reply = ReplyTo::in_parts(
            move |bytes| {
                let mut parts = parts.lock().expect("whole");
                parts.push(format!("{bytes:?}"));
                parts.len() < 2
            },
            move |answer| end.lock().expect("whole").push(answer.label().to_owned()),
        );
        assert!(reply.part(Bytes::from_static(b"a")));
        assert!(!reply.part(Bytes::from_static(b"b")));
        reply.send(Answer::Ok(Bytes::new()));
        assert_eq!(*seen.lock().expect("whole"), ["b\"a\"", "b\"b\"", "ok"]);
    }
}
