//! How watch items are written into Redis messages: version, kind, origin, sequence number, bytes.

use bytes::{BufMut, Bytes, BytesMut};

use crate::host::watch::Watch;

/// The version of the encoding; messages of another are counted and left, since a lost message is made up for and a misread one is not.
const VERSION: u8 = 1;
const EVENT: u8 = 1;
const FRAME: u8 = 2;
const LAGGED: u8 = 3;
/// Version, kind, origin, sequence number.
const HEADER_BYTES: usize = 1 + 1 + 8 + 8;

/// Writes an item of the node that calls itself `origin`.
pub(super) fn encode(origin: u64, item: &Watch) -> Bytes {
    let (kind, seq, bytes) = match item {
        Watch::Event { seq, bytes } => (EVENT, *seq, bytes.as_ref()),
        Watch::Frame { bytes } => (FRAME, 0, bytes.as_ref()),
        Watch::Lagged => (LAGGED, 0, &[][..]),
    };
    let mut message = BytesMut::with_capacity(HEADER_BYTES + bytes.len());
    message.put_u8(VERSION);
    message.put_u8(kind);
    message.put_u64_le(origin);
    message.put_u64_le(seq);
    message.put_slice(bytes);
    message.freeze()
}

/// Reads a message; `None` when it is not one of ours.
pub(super) fn decode(message: &Bytes) -> Option<(u64, Watch)> {
    let header: &[u8; HEADER_BYTES] = message.get(..HEADER_BYTES)?.try_into().ok()?;
    let [VERSION, kind, rest @ ..] = header else { return None };
    let (origin, seq) = rest.split_at(8);
    let origin = u64::from_le_bytes(origin.try_into().ok()?);
    let seq = u64::from_le_bytes(seq.try_into().ok()?);
    let bytes = message.slice(HEADER_BYTES..);
    let item = match *kind {
        EVENT => Watch::Event { seq, bytes },
        FRAME => Watch::Frame { bytes },
        LAGGED => Watch::Lagged,
        _ => return None,
    };
    Some((origin, item))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_item_comes_back(origin: u64, seq: u64, kind in 0..3, bytes: Vec<u8>) {
            let bytes = Bytes::from(bytes);
            let item = match kind {
                0 => Watch::Event { seq, bytes },
                1 => Watch::Frame { bytes },
                _ => Watch::Lagged,
            };
            prop_assert_eq!(decode(&encode(origin, &item)), Some((origin, item)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Some((origin, item)) = decode(&Bytes::from(bytes.clone())) {
                prop_assert_eq!(&bytes[2..10], &origin.to_le_bytes());
                prop_assert!(bytes.len() >= HEADER_BYTES);
                drop(item);
            }
        }
    }
}
