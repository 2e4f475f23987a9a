//! One answer as it lies on disk.
//!
//! ```text
//! "hobmemo" version | key 32 | stop 1 | count 4 | count × (token 4, kept 4, winner 4) | SHA-256 of all before 32
//! ```
//! Numbers are little-endian, shares of probability are kept bit by bit. The key stands inside too, so that a file under
//! another's name is none.

use super::key::Key;
use hob_events::{Confidence, StopReason};
use sha2::{Digest, Sha256};

/// The last byte is the version of the layout.
const MAGIC: [u8; 8] = *b"hobmemo\x01";

const DIGEST: usize = 32;

/// Of the longest answer: some five thousand tokens.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

/// What a generation wrote.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Why it ended.
    pub(crate) stop: StopReason,
    /// Its token ids.
    pub(crate) tokens: Vec<u32>,
    /// One for each id.
    pub(crate) sureness: Vec<Confidence>,
}

impl Entry {
    /// The bytes of the file; nothing for an answer that is not to be kept.
    pub(super) fn encode(&self, key: &Key) -> Option<Vec<u8>> {
        let stop = match self.stop {
            StopReason::EndOfTurn => 0,
            StopReason::ToolCalls => 1,
            // With more room it would have gone on.
            StopReason::Length => return None,
        };
        let count = u32::try_from(self.tokens.len()).ok().filter(|_| self.sureness.len() == self.tokens.len())?;
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(key.0);
        bytes.push(stop);
        bytes.extend(count.to_le_bytes());
        for (token, sureness) in self.tokens.iter().zip(&self.sureness) {
            bytes.extend(token.to_le_bytes());
            bytes.extend(sureness.kept.to_bits().to_le_bytes());
            bytes.extend(sureness.winner.to_bits().to_le_bytes());
        }
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        Some(bytes)
    }

    /// Reads a file; nothing when it is torn, of another version, or another key's.
    pub(super) fn decode(key: &Key, bytes: &[u8]) -> Option<Self> {
        let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
        if *Sha256::digest(content) != *digest {
            return None;
        }
        let content = content.strip_prefix(&MAGIC)?.strip_prefix(&key.0)?;
        let (stop, content) = content.split_first()?;
        let stop = match stop {
            0 => StopReason::EndOfTurn,
            1 => StopReason::ToolCalls,
            _ => return None,
        };
        let (count, content) = content.split_first_chunk::<4>()?;
        let (words, []) = content.as_chunks::<4>() else { return None };
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let (rows, []) = words.as_chunks::<3>() else { return None };
        if u32::try_from(rows.len()) != Ok(u32::from_le_bytes(*count)) {
            return None;
        }
        let sure = |kept: u32, winner: u32| Confidence { kept: f32::from_bits(kept), winner: f32::from_bits(winner) };
        Some(Self {
            stop,
            tokens: rows.iter().map(|[token, _, _]| *token).collect(),
            sureness: rows.iter().map(|[_, kept, winner]| sure(*kept, *winner)).collect(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry(tokens: &[u32]) -> Entry {
        let sureness = tokens.iter().map(|_| Confidence { kept: 0.1, winner: 1.0 / 3.0 }).collect();
        Entry { stop: StopReason::EndOfTurn, tokens: tokens.to_vec(), sureness }
    }

    const KEY: Key = Key([7; 32]);

    proptest! {
        #[test]
        fn what_was_written_is_read_again_bit_by_bit(
            rows in proptest::collection::vec((any::<u32>(), 0.0_f32..1.0, 0.0_f32..1.0), 0..40),
            calls in any::<bool>(),
        ) {
            let stop = if calls { StopReason::ToolCalls } else { StopReason::EndOfTurn };
            let sureness = rows.iter().map(|(_, kept, winner)| Confidence { kept: *kept, winner: *winner }).collect();
            let entry = Entry { stop, tokens: rows.iter().map(|row| row.0).collect(), sureness };
            let bytes = entry.encode(&KEY).unwrap();
            prop_assert_eq!(Entry::decode(&KEY, &bytes), Some(entry));
        }

        #[test]
        fn a_torn_file_is_none(cut in 0_usize..101, flipped in 0_usize..101, bit in 0_u8..8) {
            let mut bytes = entry(&[1, 2]).encode(&KEY).unwrap();
            prop_assert_eq!(bytes.len(), 101);
            prop_assert_eq!(Entry::decode(&KEY, &bytes[..cut]), None);
            bytes[flipped] ^= 1 << bit;
            prop_assert_eq!(Entry::decode(&KEY, &bytes), None);
        }
    }

    #[test]
    fn a_file_of_another_key_or_another_version_is_none() {
        let bytes = entry(&[1, 2]).encode(&KEY).unwrap();
        assert_eq!(Entry::decode(&Key([8; 32]), &bytes), None);

        // Whole, but from a later hob.
        let mut later = bytes[..bytes.len() - DIGEST].to_vec();
        later[MAGIC.len() - 1] += 1;
        later.extend(Sha256::digest(&later));
        assert_eq!(Entry::decode(&KEY, &later), None);
    }

    #[test]
    fn what_was_cut_short_is_not_kept() {
        let cut = Entry { stop: StopReason::Length, ..entry(&[1]) };
        assert_eq!(cut.encode(&KEY), None);
    }
}
