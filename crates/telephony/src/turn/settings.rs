//! What can be tuned about turns.

/// How patient we are. Times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long to wait after speech-to-text says that the caller has finished. 0 where a model decides; 200 to 500 where silence does.
    pub hold_ms: i64,
    /// How much longer when the words sound unfinished ("and", "my number is").
    pub unfinished_ms: i64,
    /// Silence after the last word that ends a turn though speech-to-text says nothing: its message may be lost.
    pub silence_ms: i64,
    /// Whether answers are prepared when speech-to-text thinks that the caller has probably finished.
    pub eager: bool,
    /// How many words interrupt us; small sounds such as "mhm" do not count.
    pub barge_in_words: usize,
    /// Sound that lasts this long interrupts us though no word is known yet: speech-to-text is late.
    pub barge_in_ms: i64,
    /// When no words follow such a sound for so long it was none, and we go on where we were.
    pub resume_ms: i64,
    /// Silence after which the caller is asked whether he is still there.
    pub reminder_ms: i64,
    /// How often.
    pub reminders_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hold_ms: 250,
            unfinished_ms: 900,
            silence_ms: 2_000,
            eager: true,
            barge_in_words: 2,
            barge_in_ms: 700,
            resume_ms: 1_200,
            reminder_ms: 10_000,
            reminders_max: 2,
        }
    }
}
