//! Changes the sample rate of a stream by a whole ratio (8, 16, 24, 48 kHz among each other, and 22.05 kHz) with a windowed-sinc low-pass, piece by piece.

use std::collections::VecDeque;
use std::f64::consts::PI;

/// Zero crossings of the sinc on each side: 16 keep what is above the new band 60 dB down.
const CROSSINGS: usize = 16;
/// How much of the narrower band is kept: above it the filter falls off.
const PASS: f64 = 0.92;
/// The largest factor in either direction: 22.05 to 8 kHz is 160 over 441, and a filter for that has some 14,000 taps.
const FACTOR_MAX: u32 = 441;

/// A stream at one rate made into one at another. The output is as much later as half the filter is long: [`Resampler::delay_ms`].
#[derive(Clone, Debug)]
pub struct Resampler {
    up: usize,
    down: usize,
    from_hz: u32,
    /// Per phase, newest sample first.
    phases: Vec<Vec<f64>>,
    history: VecDeque<f64>,
    /// Where the next output lies, in steps of 1/up behind the newest input.
    position: usize,
}

impl Resampler {
    /// From one rate to another; `None` when the ratio is not one of small whole numbers.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        if from_hz == 0 || to_hz == 0 {
            return None;
        }
        let divisor = gcd(from_hz, to_hz);
        let (up, down) = (to_hz / divisor, from_hz / divisor);
        if up > FACTOR_MAX || down > FACTOR_MAX {
            return None;
        }
        let (up, down) = (up as usize, down as usize);
        let wide = up.max(down);
        // At the common rate `from·up` the cut-off is at the narrower of the two bands.
        let half = CROSSINGS * wide;
        let cutoff = PASS / wide as f64;
        let taps: Vec<f64> = (0..=2 * half)
            .map(|n| {
                let x = n as f64 - half as f64;
                let sinc = if x == 0.0 { cutoff } else { (PI * cutoff * x).sin() / (PI * x) };
                // Blackman: side lobes 58 dB down.
                let turn = PI * n as f64 / half as f64;
                sinc * (0.42 - 0.5 * turn.cos() + 0.08 * (2.0 * turn).cos())
            })
            .collect();
        let phases: Vec<Vec<f64>> = (0..up)
            .map(|phase| {
                let mut phase: Vec<f64> = taps.iter().skip(phase).step_by(up).copied().collect();
                // Each phase by itself must let a constant through unchanged, or there would be a hum at the input's rate.
                let sum: f64 = phase.iter().sum();
                phase.iter_mut().for_each(|tap| *tap /= sum);
                phase
            })
            .collect();
        let length = phases.iter().map(Vec::len).max().unwrap_or(1);
        Some(Self { up, down, from_hz, phases, history: VecDeque::from(vec![0.0; length]), position: 0 })
    }

    /// What this piece brings.
    pub fn push(&mut self, samples: &[i16]) -> Vec<i16> {
        if self.up == self.down {
            return samples.to_vec();
        }
        let mut out = Vec::with_capacity(samples.len() * self.up / self.down + 1);
        for sample in samples {
            self.history.pop_back();
            self.history.push_front(f64::from(*sample));
            while self.position < self.up {
                let taps = &self.phases[self.position];
                let value: f64 = taps.iter().zip(&self.history).map(|(tap, sample)| tap * sample).sum();
                out.push(value.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16);
                self.position += self.down;
            }
            self.position -= self.up;
        }
        out
    }

    /// How much later the output is, ms.
    pub fn delay_ms(&self) -> f64 {
        if self.up == self.down {
            return 0.0;
        }
        CROSSINGS as f64 * self.up.max(self.down) as f64 / self.up as f64 / f64::from(self.from_hz) * 1000.0
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hz: f64, rate: u32, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((2.0 * PI * hz * n as f64 / f64::from(rate)).sin() * 10_000.0) as i16).collect()
    }

    /// Amplitude of a tone in the middle of a signal.
    fn level(signal: &[i16], hz: f64, rate: u32) -> f64 {
        let middle = &signal[signal.len() / 4..signal.len() * 3 / 4];
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in middle.iter().enumerate() {
            let angle = 2.0 * PI * hz * n as f64 / f64::from(rate);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
        2.0 * (re * re + im * im).sqrt() / middle.len() as f64
    }

    #[test]
    fn speech_keeps_its_loudness_between_all_rates_in_use() {
        for (from, to) in [
            (8000, 16_000),
            (8000, 24_000),
            (16_000, 24_000),
            (24_000, 16_000),
            (24_000, 8000),
            (16_000, 8000),
            (48_000, 8000),
            (22_050, 8000),
        ] {
            let mut resampler = Resampler::new(from, to).expect("a small ratio");
            let out = resampler.push(&tone(1000.0, from, from as usize));
            assert_eq!(out.len(), to as usize, "{from} to {to}");
            let level = level(&out, 1000.0, to);
            assert!((level - 10_000.0).abs() < 300.0, "{from} to {to}: {level}");
            assert!(resampler.delay_ms() < 3.0, "{}", resampler.delay_ms());
        }
    }

    #[test]
    fn what_the_line_cannot_carry_is_taken_out_and_no_ghost_appears() {
        let mut down = Resampler::new(24_000, 8000).expect("a small ratio");
        // 6 kHz would fold to 2 kHz.
        let ghost = level(&down.push(&tone(6000.0, 24_000, 24_000)), 2000.0, 8000);
        assert!(ghost < 30.0, "{ghost}");
        let mut up = Resampler::new(8000, 24_000).expect("a small ratio");
        // 1 kHz would be mirrored at 7 kHz.
        let ghost = level(&up.push(&tone(1000.0, 8000, 8000)), 7000.0, 24_000);
        assert!(ghost < 30.0, "{ghost}");
    }

    #[test]
    fn rates_without_a_small_ratio_are_refused_and_equal_ones_pass_through() {
        assert!(Resampler::new(44_101, 8000).is_none() && Resampler::new(0, 8000).is_none());
        assert_eq!(Resampler::new(8000, 8000).expect("equal").push(&[1, 2, 3]), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(samples in proptest::collection::vec(any::<i16>(), 0..200), size in 1_usize..50) {
            let (mut a, mut b) = (Resampler::new(16_000, 24_000).expect("small"), Resampler::new(16_000, 24_000).expect("small"));
            let pieces: Vec<i16> = samples.chunks(size).flat_map(|piece| a.push(piece)).collect();
            prop_assert_eq!(pieces, b.push(&samples));
        }
    }
}
