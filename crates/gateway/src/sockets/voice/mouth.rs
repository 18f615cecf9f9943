//! Words on their way to sound: one sentence after the other, as fast as the voice makes them, and none of it once it is not wanted any more.

use std::collections::VecDeque;
use std::sync::Arc;

use colloquy_actors::voice::{Manner, Sound, Speech, SpeechError};
use tokio::task::JoinHandle;

/// A sentence that was spoken, or could not be.
#[derive(Debug)]
pub(super) struct Spoken {
    /// What it belongs to.
    pub(super) of: u64,
    /// The words.
    pub(super) text: String,
    /// The sound.
    pub(super) sound: Result<Sound, SpeechError>,
}

/// A sentence that is becoming sound.
type Making = JoinHandle<Result<Sound, SpeechError>>;

/// A call's voice.
pub(super) struct Mouth {
    speech: Arc<dyn Speech>,
    /// Who speaks when the first one fails.
    instead: Option<Arc<dyn Speech>>,
    manner: Manner,
    queue: VecDeque<(u64, String)>,
    making: Option<(u64, String, Making)>,
}

impl Drop for Mouth {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Mouth {
    pub(super) fn new(speech: Arc<dyn Speech>, instead: Option<Arc<dyn Speech>>, manner: Manner) -> Self {
        Self { speech, instead, manner, queue: VecDeque::new(), making: None }
    }

    /// Who speaks.
    pub(super) fn name(&self) -> &'static str {
        self.speech.name()
    }

    /// Speaks this after what is waiting.
    pub(super) fn say(&mut self, of: u64, text: String) {
        self.queue.push_back((of, text));
        self.begin();
    }

    /// Nothing of what is waiting is wanted any more.
    pub(super) fn stop(&mut self) {
        self.queue.clear();
        if let Some((_, _, making)) = self.making.take() {
            making.abort();
        }
    }

    /// Whether something is still to be spoken.
    pub(super) fn is_busy(&self) -> bool {
        self.making.is_some()
    }

    /// The next sentence; never, while there is none. Nothing is lost when this is cancelled.
    pub(super) async fn next(&mut self) -> Spoken {
        let made = match &mut self.making {
            Some((_, _, making)) => making.await,
            None => std::future::pending().await,
        };
        let sound = made.unwrap_or_else(|_| Err(SpeechError::Failed("it ended by itself".to_owned())));
        let (of, text) = self.making.take().map(|(of, text, _)| (of, text)).unwrap_or_default();
        self.begin();
        Spoken { of, text, sound }
    }

    fn begin(&mut self) {
        if self.making.is_some() {
            return;
        }
        let Some((of, text)) = self.queue.pop_front() else { return };
        let (speech, instead, manner, words) =
            (self.speech.clone(), self.instead.clone(), self.manner.clone(), text.clone());
        let making = tokio::spawn(async move {
            let spoken = speech.speak(&manner, &words).await;
            match (&spoken, instead) {
                // Words that nobody can speak are no failure of the voice.
                (Ok(_) | Err(SpeechError::Text), _) | (_, None) => spoken,
                (Err(error), Some(instead)) => {
                    tracing::warn!(%error, instead = instead.name(), "a voice failed, another one speaks");
                    instead.speak(&manner, &words).await
                }
            }
        });
        self.making = Some((of, text, making));
    }
}

/// The next sentence of a voice that may not be there.
pub(super) async fn next_of(mouth: &mut Option<Mouth>) -> Spoken {
    match mouth {
        Some(mouth) => mouth.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use colloquy_actors::voice::VoiceInfo;

    use super::*;

    /// Speaks a sample for each letter, after as many milliseconds as there are, and fails at the word "fail".
    struct Letters(&'static str);

    #[async_trait]
    impl Speech for Letters {
        fn name(&self) -> &'static str {
            self.0
        }
        async fn voices(&self) -> Result<Vec<VoiceInfo>, SpeechError> {
            Ok(Vec::new())
        }
        async fn speak(&self, _: &Manner, text: &str) -> Result<Sound, SpeechError> {
            tokio::time::sleep(Duration::from_millis(text.len() as u64)).await;
            if text.contains("fail") && self.0 == "first" {
                return Err(SpeechError::Late("first"));
            }
            Ok(Sound { samples: vec![0; text.len()], rate_hz: 1000, alignment: None })
        }
    }

    fn mouth(instead: bool) -> Mouth {
        let manner = Manner { voice_id: None, language: "en".into(), speed: 1.0, telephone: false };
        let instead = instead.then(|| Arc::new(Letters("second")) as Arc<dyn Speech>);
        Mouth::new(Arc::new(Letters("first")), instead, manner)
    }

    #[tokio::test(start_paused = true)]
    async fn sentences_come_in_order_and_none_after_a_stop() {
        let mut mouth = mouth(false);
        mouth.say(1, "a long sentence".into());
        mouth.say(1, "short".into());
        let (first, second) = (mouth.next().await, mouth.next().await);
        assert_eq!((first.text.as_str(), second.text.as_str()), ("a long sentence", "short"));
        assert!(!mouth.is_busy());
        mouth.say(2, "not wanted".into());
        mouth.say(2, "nor this".into());
        mouth.stop();
        assert!(!mouth.is_busy());
        mouth.say(3, "wanted".into());
        assert_eq!(mouth.next().await.of, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn another_voice_speaks_what_the_first_one_cannot() {
        let mut alone = mouth(false);
        alone.say(1, "fail".into());
        assert_eq!(alone.next().await.sound, Err(SpeechError::Late("first")));
        let mut two = mouth(true);
        two.say(1, "fail".into());
        assert_eq!(two.next().await.sound.map(|sound| sound.samples.len()), Ok(4));
    }
}
