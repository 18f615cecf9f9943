//! G.711 µ-law, eight bits at 8 kHz, to and from linear samples of 16 bits (ITU-T G.711, with the usual 14-bit range).

/// Added before the logarithm.
const BIAS: i32 = 0x84;
/// Louder samples are cut.
const CLIP: i32 = 32_635;

/// One sample to µ-law.
pub fn encode(sample: i16) -> u8 {
    let value = i32::from(sample);
    let sign: u8 = if value < 0 { 0x80 } else { 0 };
    let magnitude = value.abs().min(CLIP) + BIAS;
    // The bias keeps bit 7 set, so that the exponent is 0 to 7.
    let exponent = (31 - magnitude.leading_zeros() - 7) as u8;
    let mantissa = ((magnitude >> (exponent + 3)) & 0x0f) as u8;
    !(sign | (exponent << 4) | mantissa)
}

/// One sample from µ-law.
pub fn decode(byte: u8) -> i16 {
    let bits = !byte;
    let exponent = (bits >> 4) & 0x07;
    let magnitude = (((i32::from(bits & 0x0f) << 3) + BIAS) << exponent) - BIAS;
    // At most 32,124: fits.
    (if bits & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

/// Samples to µ-law.
pub fn encode_all(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|sample| encode(*sample)).collect()
}

/// Samples from µ-law.
pub fn decode_all(bytes: &[u8]) -> Vec<i16> {
    bytes.iter().map(|byte| decode(*byte)).collect()
}

/// Samples as little-endian bytes, as models take them.
pub fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Samples from little-endian bytes; an odd byte at the end is returned, to be put before the next piece.
pub fn from_bytes(bytes: &[u8]) -> (Vec<i16>, Option<u8>) {
    let pairs = bytes.chunks_exact(2);
    let odd = pairs.remainder().first().copied();
    (pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(), odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_those_of_the_standard() {
        for (sample, byte) in [(0, 0xff), (-1, 0x7f), (32_767, 0x80), (-32_768, 0x00), (1000, 0xce), (-1000, 0x4e)] {
            assert_eq!(encode(sample), byte, "{sample}");
        }
        for (byte, sample) in [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xce, 988), (0xfe, 8)] {
            assert_eq!(decode(byte), sample, "{byte:#x}");
        }
    }

    #[test]
    fn every_byte_survives_and_every_sample_comes_back_close() {
        for byte in 0..=255_u8 {
            // Two bytes mean zero; the negative one comes back as the positive one.
            assert_eq!(encode(decode(byte)), if byte == 0x7f { 0xff } else { byte }, "{byte:#x}");
        }
        for sample in i16::MIN..=i16::MAX {
            let (value, back) = (i32::from(sample), i32::from(decode(encode(sample))));
            let step = (value.abs() + BIAS) / 16 + 8;
            assert!((value.clamp(-CLIP, CLIP) - back).abs() <= step, "{sample} came back as {back}");
        }
    }

    #[test]
    fn bytes_are_little_endian_and_an_odd_one_is_kept() {
        assert_eq!(to_bytes(&[1, -2]), [1, 0, 0xfe, 0xff]);
        assert_eq!(from_bytes(&[1, 0, 0xfe, 0xff, 7]), (vec![1, -2], Some(7)));
    }
}
