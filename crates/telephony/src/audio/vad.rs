//! Tells speech from silence by loudness, against the noise of the line: for barge-in before any transcript comes, and without a speech service.

/// Length of a frame, ms: a telephone sends these.
pub const FRAME_MS: u64 = 20;
/// How much louder than the noise speech is, as a ratio of power: 9 dB.
const RATIO: f64 = 8.0;
/// Power below which nothing is speech, whatever the noise: about -55 dB of full scale.
const POWER_MIN: f64 = 3_500.0;
/// The noise is not believed to be above this, or the first words would become it: about -30 dB.
const NOISE_MAX: f64 = 1_000_000.0;
/// The noise believed at first, that of a bad line: better to miss the first syllable than to hear speech in a hiss. It falls within frames.
const NOISE_AT_FIRST: f64 = 40_000.0;
/// How fast the believed noise falls and rises per frame. It falls at once to a quieter line and rises over seconds.
const FALL: f64 = 0.2;
const RISE: f64 = 0.005;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Speech began `ago_ms` before now.
    Started {
        /// How long it took to be sure.
        ago_ms: u64,
    },
    /// Speech ended `ago_ms` before now.
    Stopped {
        /// How long it took to be sure.
        ago_ms: u64,
    },
}

/// How sure it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Sound this long is speech, ms; shorter ones are clicks.
    pub start_ms: u64,
    /// Silence this long ends speech, ms.
    pub stop_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        // A short "yes" is 150 ms; pauses between words are below 300.
        Self { start_ms: 100, stop_ms: 500 }
    }
}

/// Listens to one direction of a call.
#[derive(Clone, Debug)]
pub struct Vad {
    settings: Settings,
    noise: f64,
    speaking: bool,
    /// How long the other of the two has lasted.
    against_ms: u64,
}

impl Vad {
    /// A line that was just opened.
    pub fn new(settings: Settings) -> Self {
        Self { settings, noise: NOISE_AT_FIRST, speaking: false, against_ms: 0 }
    }

    /// Whether somebody speaks.
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// Takes one frame of [`FRAME_MS`], of any rate.
    pub fn push(&mut self, frame: &[i16]) -> Option<Change> {
        if frame.is_empty() {
            return None;
        }
        let power = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / frame.len() as f64;
        let loud = power > POWER_MIN && power > self.noise * RATIO;
        let speed = if power < self.noise { FALL } else { RISE };
        // While somebody speaks the noise is not learnt from them.
        if !loud || power < self.noise {
            self.noise = (self.noise + (power - self.noise) * speed).clamp(1.0, NOISE_MAX);
        } else {
            self.noise = (self.noise * (1.0 + RISE)).min(NOISE_MAX);
        }
        if loud == self.speaking {
            self.against_ms = 0;
            return None;
        }
        self.against_ms += FRAME_MS;
        let needed_ms = if self.speaking { self.settings.stop_ms } else { self.settings.start_ms };
        if self.against_ms < needed_ms {
            return None;
        }
        let ago_ms = std::mem::take(&mut self.against_ms);
        self.speaking = loud;
        Some(if loud { Change::Started { ago_ms } } else { Change::Stopped { ago_ms } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hiss of this amplitude, the same each time.
    fn hiss(amplitude: i32, seed: &mut u32) -> Vec<i16> {
        (0..160)
            .map(|_| {
                *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let spread = i32::try_from(*seed >> 16).expect("16 bits") - 32_768;
                i16::try_from(spread * amplitude / 32_768).expect("within")
            })
            .collect()
    }

    /// Frames by amplitude and count; when, in ms, speech began and ended.
    fn run(parts: &[(i32, usize)]) -> Vec<(u64, bool)> {
        let (mut vad, mut seed, mut now_ms, mut changes) = (Vad::new(Settings::default()), 1, 0, Vec::new());
        for (amplitude, frames) in parts {
            for _ in 0..*frames {
                now_ms += FRAME_MS;
                match vad.push(&hiss(*amplitude, &mut seed)) {
                    Some(Change::Started { ago_ms }) => changes.push((now_ms - ago_ms, true)),
                    Some(Change::Stopped { ago_ms }) => changes.push((now_ms - ago_ms, false)),
                    None => {}
                }
            }
        }
        changes
    }

    #[test]
    fn speech_is_found_with_its_begin_and_end_over_a_noisy_line() {
        for noise in [0, 30, 300] {
            assert_eq!(run(&[(noise, 100), (8000, 50), (noise, 100)]), [(2000, true), (3000, false)], "noise {noise}");
        }
    }

    #[test]
    fn clicks_pauses_and_steady_noise_are_nothing() {
        assert_eq!(run(&[(20, 50), (8000, 3), (20, 50)]), [], "a click");
        assert_eq!(
            run(&[(20, 50), (8000, 20), (20, 10), (8000, 20), (20, 50)]),
            [(1000, true), (2000, false)],
            "a pause between words"
        );
        let changes = run(&[(20, 50), (700, 3000)]);
        assert!(
            changes.len() <= 2 && changes.last().is_none_or(|(_, speaking)| !speaking),
            "a fan that was switched on: {changes:?}"
        );
    }

    #[test]
    fn empty_and_extreme_frames_do_no_harm() {
        let mut vad = Vad::new(Settings { start_ms: 0, stop_ms: 0 });
        assert_eq!(vad.push(&[]), None);
        for _ in 0..1000 {
            vad.push(&[i16::MIN; 160]);
        }
        assert!(vad.noise.is_finite());
    }
}
