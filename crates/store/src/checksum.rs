//! The checksum that binds a row's content to its name.

use bytes::Bytes;

use crate::{EntityKey, StoreError};

/// CRC-32C over parts with their lengths: finds every single damaged bit and every burst of up to 32.
#[derive(Clone, Copy)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Starts with the table's name, so that no row can pass for one of another table.
    pub(crate) fn of(table: &'static str) -> Self {
        Self(0).bytes(table.as_bytes())
    }

    pub(crate) fn key(self, key: &EntityKey) -> Self {
        self.text(&key.tenant).text(&key.kind).text(&key.id)
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(self, number: i64) -> Self {
        Self(crc32c::crc32c_append(self.0, &number.to_le_bytes()))
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        Self(crc32c::crc32c_append(crc32c::crc32c_append(self.0, &length), bytes))
    }

    pub(crate) fn optional(self, bytes: Option<&Bytes>) -> Self {
        match bytes {
            None => self.number(0),
            Some(bytes) => self.number(1).bytes(bytes),
        }
    }

    pub(crate) fn end(self) -> i64 {
        i64::from(self.0)
    }

    /// Compares with what is stored; `corrupt` makes the adapter's error, which names the row.
    pub(crate) fn check(self, stored: i64, corrupt: impl FnOnce() -> StoreError) -> Result<(), StoreError> {
        if self.end() == stored { Ok(()) } else { Err(corrupt()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(Checksum::of("t").text("ab").text("c").end(), Checksum::of("t").text("a").text("bc").end());
        assert_ne!(Checksum::of("t").optional(None).end(), Checksum::of("t").optional(Some(&Bytes::new())).end());
        assert_ne!(Checksum::of("t").number(1).end(), Checksum::of("u").number(1).end());
    }

    #[test]
    fn every_single_bit_is_noticed() {
        let bytes: Vec<u8> = (0..200).map(|i| i as u8).collect();
        let right = Checksum::of("t").bytes(&bytes).end();
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let corrupt = || StoreError::Corrupt { place: String::new(), detail: String::new() };
            assert!(Checksum::of("t").bytes(&wrong).check(right, corrupt).is_err(), "bit {bit}");
        }
    }
}
