//! A sentence as sound: samples of one channel, and what lines and pages take.

use colloquy_telephony::audio::mulaw;
use colloquy_telephony::audio::resample::Resampler;
use colloquy_telephony::elevenlabs::alignment::Alignment;

/// What a telephone carries.
const TELEPHONE_HZ: u32 = 8_000;
/// The header of a WAV file, bytes.
const WAV_HEADER: usize = 44;

/// Spoken words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// The samples.
    pub samples: Vec<i16>,
    /// How many a second.
    pub rate_hz: u32,
    /// When which character is spoken, where the voice tells.
    pub alignment: Option<Alignment>,
}

impl Sound {
    /// How long it is.
    pub fn duration_ms(&self) -> u64 {
        if self.rate_hz == 0 { 0 } else { self.samples.len() as u64 * 1000 / u64::from(self.rate_hz) }
    }

    /// For a telephone: µ-law at 8 kHz. `None` for a rate that cannot be made into that.
    pub fn mulaw(&self) -> Option<Vec<u8>> {
        if self.rate_hz == TELEPHONE_HZ {
            return Some(mulaw::encode_all(&self.samples));
        }
        Some(mulaw::encode_all(&Resampler::new(self.rate_hz, TELEPHONE_HZ)?.push(&self.samples)))
    }

    /// For a page: a WAV file.
    pub fn wav(&self) -> Vec<u8> {
        let data = u32::try_from(self.samples.len() * 2).unwrap_or(u32::MAX - 64);
        let mut out = Vec::with_capacity(WAV_HEADER + self.samples.len() * 2);
        out.extend_from_slice(b"RIFF");
        out.extend_from_slice(&(data + 36).to_le_bytes());
        out.extend_from_slice(b"WAVEfmt ");
        out.extend_from_slice(&16_u32.to_le_bytes());
        out.extend_from_slice(&1_u16.to_le_bytes()); // Linear samples.
        out.extend_from_slice(&1_u16.to_le_bytes()); // One channel.
        out.extend_from_slice(&self.rate_hz.to_le_bytes());
        out.extend_from_slice(&self.rate_hz.saturating_mul(2).to_le_bytes());
        out.extend_from_slice(&2_u16.to_le_bytes());
        out.extend_from_slice(&16_u16.to_le_bytes());
        out.extend_from_slice(b"data");
        out.extend_from_slice(&data.to_le_bytes());
        self.samples.iter().for_each(|sample| out.extend_from_slice(&sample.to_le_bytes()));
        out
    }

    /// Reads a WAV file of one channel with 16 bits. A program that writes to a pipe does not know the length when it begins, so what comes after the
    /// header of the samples is taken to the end.
    pub(super) fn read_wav(bytes: &[u8]) -> Option<Self> {
        let word =
            |at: usize| bytes.get(at..at + 4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let half = |at: usize| bytes.get(at..at + 2).map(|half| u16::from_le_bytes([half[0], half[1]]));
        if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
            return None;
        }
        let (mut at, mut rate_hz) = (12, None);
        loop {
            let (name, size) = (bytes.get(at..at + 4)?, word(at + 4)?);
            at += 8;
            match name {
                b"fmt " => {
                    let linear = (half(at)?, half(at + 2)?, half(at + 14)?) == (1, 1, 16);
                    rate_hz = Some(word(at + 4)?).filter(|rate| linear && (4_000..=192_000).contains(rate));
                    rate_hz?;
                }
                b"data" => {
                    let rest = bytes.get(at..)?;
                    let size = usize::try_from(size).ok()?.min(rest.len());
                    let (samples, _) = mulaw::from_bytes(&rest[..size]);
                    return Some(Self { samples, rate_hz: rate_hz?, alignment: None });
                }
                _ => {}
            }
            at = at.checked_add(usize::try_from(size).ok()?)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate_hz: u32) -> Sound {
        let sample = |n: u32| (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin() * 8_000.0;
        Sound { samples: (0..rate_hz).map(|n| sample(n) as i16).collect(), rate_hz, alignment: None }
    }

    #[test]
    fn a_wav_file_is_read_as_it_was_written_also_with_a_length_that_was_not_known() {
        let sound = tone(22_050);
        let mut wav = sound.wav();
        assert_eq!(Sound::read_wav(&wav), Some(sound.clone()));
        wav[40..44].copy_from_slice(&0x7fff_f000_u32.to_le_bytes());
        assert_eq!(Sound::read_wav(&wav), Some(sound.clone()));
        assert_eq!(sound.duration_ms(), 1000);
    }

    #[test]
    fn what_is_no_wav_file_is_none_however_it_ends() {
        let wav = tone(8_000).wav();
        for cut in 0..WAV_HEADER {
            assert_eq!(Sound::read_wav(&wav[..cut]), None, "{cut}");
        }
        for (at, byte) in [(0, b'X'), (8, b'X'), (20, 3), (22, 2), (34, 8), (16, 0xff)] {
            let mut bent = wav.clone();
            bent[at] = byte;
            assert_eq!(Sound::read_wav(&bent), None, "{at}");
        }
    }

    #[test]
    fn every_voice_in_use_reaches_a_telephone_at_its_length() {
        for rate_hz in [8_000, 16_000, 22_050, 24_000] {
            let line = tone(rate_hz).mulaw().expect("a rate in use");
            assert!((7_999..=8_001).contains(&line.len()), "{rate_hz}: {}", line.len());
            let loudest = mulaw::decode_all(&line[2_000..6_000]).into_iter().map(i16::unsigned_abs).max();
            assert!((7_000..=9_000).contains(&loudest.unwrap_or(0)), "{rate_hz}: {loudest:?}");
        }
    }
}
