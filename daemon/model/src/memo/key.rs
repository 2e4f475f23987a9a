//! The name of an answer: SHA-256 over everything that could make it another one.

use super::identity::Identity;
use sha2::{Digest, Sha256};
use std::fmt;

/// Goes up whenever the same fields would be written otherwise, or decoding would choose otherwise over the same ones.
const KEY_VERSION: u32 = 1;

/// What an answer is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl Key {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().map(hex_digit).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        (digits.len() == 64).then_some(bytes)?.try_into().ok().map(Self)
    }
}

/// Lower case only: a name has one spelling.
fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Writes a key field by field. Each field has its length in front, so that no two lists of fields read the same.
#[derive(Clone)]
pub(crate) struct KeyWriter {
    hash: Sha256,
}

impl KeyWriter {
    /// Begins a key of one model.
    pub(crate) fn new(identity: &Identity) -> Self {
        let writer = Self { hash: Sha256::new() };
        writer.bytes(b"hob memo").number(KEY_VERSION).bytes(&identity.digest())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.hash.update(length(bytes.len()));
        self.hash.update(bytes);
        self
    }

    pub(crate) fn number(self, number: u32) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Whether there is something, and then what.
    pub(crate) fn option(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    pub(crate) fn ids(mut self, ids: impl ExactSizeIterator<Item = u32>) -> Self {
        self.hash.update(length(ids.len()));
        // At once: a hash takes blocks faster than words.
        self.hash.update(ids.flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        self
    }

    pub(crate) fn key(self) -> Key {
        Key(self.hash.finalize().into())
    }
}

impl fmt::Debug for KeyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWriter").finish_non_exhaustive()
    }
}

fn length(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn writer() -> KeyWriter {
        KeyWriter::new(&Identity::of_nothing())
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(Key::from_hex(&Key(bytes).to_string()), Some(Key(bytes)));
        }

        #[test]
        fn other_fields_make_another_key(
            one in proptest::collection::vec(proptest::collection::vec(0_u32..3, 0..3), 0..4),
            other in proptest::collection::vec(proptest::collection::vec(0_u32..3, 0..3), 0..4),
        ) {
            let key = |fields: &[Vec<u32>]| fields.iter().fold(writer(), |key, ids| key.ids(ids.iter().copied())).key();
            prop_assert_eq!(one == other, key(&one) == key(&other));
        }
    }

    #[test]
    fn a_name_that_is_no_key_is_none() {
        let key = writer().key().to_string();
        for wrong in ["", "abc", &key.to_uppercase(), &format!("{key}00"), &"é".repeat(32)] {
            assert_eq!(Key::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn nothing_is_not_an_empty_something() {
        assert_ne!(writer().option(None).key(), writer().option(Some(&[])).key());
    }
}
