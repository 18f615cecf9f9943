//! The sound of WAV files as a telephone has it: one channel, 8,000 samples a second.

use super::{mulaw, resample::Resampler};
use crate::error::Malformed;

/// A telephone's rate.
const RATE_HZ: u32 = 8_000;
/// Formats in a file's head: 16-bit samples, and µ-law.
const PCM: u16 = 1;
const MULAW: u16 = 7;

/// The samples of a file; of two channels their mean.
///
/// # Errors
/// When it is no such file, or its sound is written in another way.
pub fn read(bytes: &[u8]) -> Result<Vec<i16>, Malformed> {
    let mut rest = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)).ok_or(Malformed::Audio)?;
    rest = rest.strip_prefix(b"WAVE").ok_or(Malformed::Audio)?;
    let mut format = None;
    loop {
        let (name, size) = (rest.get(..4), rest.get(4..8).and_then(|size| size.try_into().ok()));
        let (Some(name), Some(size)) = (name, size) else { return Err(Malformed::Audio) };
        let size = usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX);
        let body = rest.get(8..).unwrap_or_default();
        // A file that was written while it was sent says more than there is.
        let chunk = body.get(..size.min(body.len())).unwrap_or_default();
        match name {
            b"fmt " => format = Some(Format::read(chunk)?),
            b"data" => return format.ok_or(Malformed::Audio)?.samples(chunk),
            _ => {}
        }
        // Chunks begin at even places.
        rest = body.get(size.saturating_add(size % 2)..).unwrap_or_default();
    }
}

/// A file of one channel with 16 bits a sample.
pub fn write(samples: &[i16]) -> Vec<u8> {
    let data = mulaw::to_bytes(samples);
    // Four gigabytes are six days.
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(data.len() + 44);
    file.extend(b"RIFF");
    file.extend(size.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend([PCM, 1].into_iter().flat_map(u16::to_le_bytes));
    file.extend([RATE_HZ, RATE_HZ * 2].into_iter().flat_map(u32::to_le_bytes));
    file.extend([2_u16, 16].into_iter().flat_map(u16::to_le_bytes));
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(data);
    file
}

struct Format {
    code: u16,
    channels: usize,
    rate_hz: u32,
}

impl Format {
    fn read(chunk: &[u8]) -> Result<Self, Malformed> {
        let short = |at: usize| chunk.get(at..at + 2).map(|two| u16::from_le_bytes([two[0], two[1]]));
        let long = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
        let read = || Some((short(0)?, short(2)?, long(4)?, short(14)?));
        match read() {
            Some((code @ (PCM | MULAW), channels @ (1 | 2), rate_hz, bits))
                if bits == if code == PCM { 16 } else { 8 } =>
            {
                Ok(Self { code, channels: usize::from(channels), rate_hz })
            }
            Some(_) | None => Err(Malformed::Audio),
        }
    }

    fn samples(&self, data: &[u8]) -> Result<Vec<i16>, Malformed> {
        let all = if self.code == MULAW { mulaw::decode_all(data) } else { mulaw::from_bytes(data).0 };
        let mean = |frame: &[i16]| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            i16::try_from(sum / i32::try_from(frame.len()).unwrap_or(1)).unwrap_or_default()
        };
        let one: Vec<i16> = all.chunks_exact(self.channels).map(mean).collect();
        let mut rate = Resampler::new(self.rate_hz, RATE_HZ).ok_or(Malformed::Audio)?;
        Ok(rate.push(&one))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(code: u16, channels: u16, rate_hz: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        for short in [code, channels] {
            bytes.extend(short.to_le_bytes());
        }
        bytes.extend(rate_hz.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(u32::try_from(data.len()).expect("short").to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn the_sound_of_a_file_is_that_of_a_telephone() {
        let samples = [1_i16, -2, 300, -400];
        let data = mulaw::to_bytes(&samples);
        assert_eq!(read(&file(PCM, 1, 8_000, 16, &data)), Ok(samples.to_vec()));
        assert_eq!(read(&file(PCM, 2, 8_000, 16, &data)), Ok(vec![0, -50]), "two channels are one");
        assert_eq!(read(&file(PCM, 1, 16_000, 16, &data)).map(|half| half.len()), Ok(2));
        let quiet = mulaw::encode_all(&[0, 0]);
        assert_eq!(read(&file(MULAW, 1, 8_000, 8, &quiet)).map(|all| all.len()), Ok(2));
        for bad in [file(3, 1, 8_000, 32, &data), file(PCM, 9, 8_000, 16, &data), file(PCM, 1, 7, 16, &data)] {
            assert_eq!(read(&bad), Err(Malformed::Audio));
        }
        assert_eq!(read(b"RIFF\0\0\0\0WAVE"), Err(Malformed::Audio));
        assert_eq!(read(&write(&samples)), Ok(samples.to_vec()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(head in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..60) {
            let mut all = if head { file(PCM, 1, 8_000, 16, &bytes) } else { bytes };
            all.truncate(all.len().saturating_sub(cut));
            let _ = read(&all);
        }
    }
}
