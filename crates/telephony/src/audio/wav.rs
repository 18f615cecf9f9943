//! The sound of WAV files as a telephone has it: one channel, 8,000 samples a second.

use super::{mulaw, resample::Resampler};
use crate::error::Malformed;

/// A telephone's rate.
const RATE_HZ: u32 = 8_000;
/// Formats in a file's head: 16-bit samples, and µ-law.
const PCM: u16 = 1;
const MULAW: u16 = 7;

/// The longest head of a file, bytes: what studios write into theirs before the sound.
const HEAD_BYTES_MAX: usize = 1024 * 1024;

/// The samples of a file; of two channels their mean.
///
/// # Errors
/// When it is no such file, or its sound is written in another way.
pub fn read(bytes: &[u8]) -> Result<Vec<i16>, Malformed> {
    let mut reader = Reader::default();
    let samples = reader.push(bytes)?;
    reader.finish()?;
    Ok(samples)
}

/// Reads a file that comes in pieces, however long it is: of two channels their mean.
#[derive(Default)]
pub struct Reader {
    /// What came before the sound.
    head: Vec<u8>,
    sound: Option<Sound>,
}

/// The sound of a file, as far as it has come.
struct Sound {
    format: Format,
    rate: Resampler,
    /// Bytes that are still to come.
    left: usize,
    /// The begin of a sample.
    rest: Vec<u8>,
}

impl Reader {
    /// The samples that this piece brings.
    ///
    /// # Errors
    /// When it is no such file, or its sound is written in another way.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Malformed> {
        if let Some(sound) = &mut self.sound {
            return Ok(sound.push(bytes));
        }
        self.head.extend_from_slice(bytes);
        match sound_of(&self.head)? {
            Some((format, begin, left)) => {
                let rate = Resampler::new(format.rate_hz, RATE_HZ).ok_or(Malformed::Audio)?;
                let sound = self.sound.insert(Sound { format, rate, left, rest: Vec::new() });
                let head = std::mem::take(&mut self.head);
                Ok(sound.push(head.get(begin..).unwrap_or_default()))
            }
            None if self.head.len() > HEAD_BYTES_MAX => Err(Malformed::Audio),
            None => Ok(Vec::new()),
        }
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// When there was no sound.
    pub fn finish(self) -> Result<(), Malformed> {
        self.sound.map(|_| ()).ok_or(Malformed::Audio)
    }
}

impl Sound {
    fn push(&mut self, bytes: &[u8]) -> Vec<i16> {
        // A file that was written while it was sent says more than there is.
        let bytes = bytes.get(..self.left.min(bytes.len())).unwrap_or_default();
        self.left -= bytes.len();
        self.rest.extend_from_slice(bytes);
        let frame = self.format.channels * if self.format.code == MULAW { 1 } else { 2 };
        let whole = self.rest.len() - self.rest.len() % frame;
        let data: Vec<u8> = self.rest.drain(..whole).collect();
        let all = if self.format.code == MULAW { mulaw::decode_all(&data) } else { mulaw::from_bytes(&data).0 };
        let mean = |frame: &[i16]| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            i16::try_from(sum / i32::try_from(frame.len()).unwrap_or(1)).unwrap_or_default()
        };
        let one: Vec<i16> = all.chunks_exact(self.format.channels).map(mean).collect();
        self.rate.push(&one)
    }
}

/// How the sound is written, where it begins and how many bytes it has; none while more of the head is to come.
fn sound_of(head: &[u8]) -> Result<Option<(Format, usize, usize)>, Malformed> {
    let word = |at: usize| head.get(at..at + 4);
    for (at, wanted) in [(0, b"RIFF"), (8, b"WAVE")] {
        let known = head.get(at..head.len().min(at + 4)).unwrap_or_default();
        if !wanted.starts_with(known) {
            return Err(Malformed::Audio);
        }
    }
    let mut format = None;
    let mut at = 12;
    loop {
        let size = word(at + 4).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
        let (Some(name), Some(size)) = (word(at), size) else { return Ok(None) };
        let (begin, size) = (at + 8, usize::try_from(size).unwrap_or(usize::MAX));
        if name == b"data" {
            return Ok(Some((format.ok_or(Malformed::Audio)?, begin, size)));
        }
        // Chunks begin at even places.
        let next = begin.saturating_add(size).saturating_add(size % 2);
        if name == b"fmt " {
            let Some(chunk) = head.get(begin..begin.saturating_add(size)) else { return Ok(None) };
            format = Some(Format::read(chunk)?);
        } else if next > HEAD_BYTES_MAX {
            return Err(Malformed::Audio);
        }
        at = next;
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
        for cut in [&b"RIFF\0\0\0\0WAVE"[..], b"RI", b"", b"OggS\0\0\0\0\0\0\0\0"] {
            assert_eq!(read(cut), Err(Malformed::Audio));
        }
        assert_eq!(read(&write(&samples)), Ok(samples.to_vec()));
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_a_file_comes_its_sound_is_the_same(
            samples in proptest::collection::vec(any::<i16>(), 0..400), two in any::<bool>(), half in any::<bool>(), piece in 1_usize..90,
        ) {
            let (channels, rate_hz) = (if two { 2 } else { 1 }, if half { 16_000 } else { 8_000 });
            let bytes = file(PCM, channels, rate_hz, 16, &mulaw::to_bytes(&samples));
            let mut reader = Reader::default();
            let mut heard = Vec::new();
            for piece in bytes.chunks(piece) {
                heard.extend(reader.push(piece).expect("a file"));
            }
            prop_assert!(reader.finish().is_ok());
            prop_assert_eq!(Ok(heard), read(&bytes));
        }

        #[test]
        fn any_bytes_are_answered(head in any::<bool>(), bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..60) {
            let mut all = if head { file(PCM, 1, 8_000, 16, &bytes) } else { bytes };
            all.truncate(all.len().saturating_sub(cut));
            let _ = read(&all);
        }
    }
}
