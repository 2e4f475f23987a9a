//! Pictures one after another in a stream of bytes.

use super::MOST_FRAME_BYTES;

/// Finds JPEGs: from `FF D8` to `FF D9`, between which no `FF D9` can stand, since every `FF` of the picture itself is followed by
/// another byte. What is longer than any frame is thrown away.
#[derive(Debug, Default)]
pub struct Splitter {
    waiting: Vec<u8>,
    /// No end lies before here.
    looked: usize,
}

impl Splitter {
    /// Takes more bytes, and gives the pictures that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.waiting.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(picture) = self.first() {
            whole.push(picture);
        }
        if self.waiting.len() > MOST_FRAME_BYTES {
            self.waiting.clear();
            self.looked = 0;
        }
        whole
    }

    fn first(&mut self) -> Option<Vec<u8>> {
        if !self.waiting.starts_with(&[0xFF, 0xD8]) {
            let begin = find(&self.waiting, [0xFF, 0xD8]);
            // The last byte may be the first half of a mark.
            self.waiting.drain(..begin.unwrap_or(self.waiting.len().saturating_sub(1)));
            self.looked = 0;
            begin?;
        }
        let end = self.waiting.get(self.looked..).and_then(|rest| find(rest, [0xFF, 0xD9]));
        let Some(end) = end else {
            self.looked = self.waiting.len().saturating_sub(1);
            return None;
        };
        let picture = self.waiting.drain(..self.looked + end + 2).collect();
        self.looked = 0;
        Some(picture)
    }
}

fn find(bytes: &[u8], mark: [u8; 2]) -> Option<usize> {
    bytes.windows(2).position(|pair| *pair == mark)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_never_ends_is_thrown_away() {
        let mut splitter = Splitter::default();
        assert!(splitter.push(&[0xFF, 0xD8]).is_empty());
        for _ in 0..9 {
            assert!(splitter.push(&vec![0; 1 << 20]).is_empty());
        }
        assert!(splitter.waiting.len() <= MOST_FRAME_BYTES);
        assert_eq!(splitter.push(&[0xFF, 0xD8, 1, 0xFF, 0xD9]), [vec![0xFF, 0xD8, 1, 0xFF, 0xD9]]);
    }

    proptest! {
        #[test]
        fn pictures_are_found_however_they_are_cut(
            inner in proptest::collection::vec(proptest::collection::vec(0_u8..0xFF, 0..20), 0..6),
            junk in proptest::collection::vec(0_u8..0xFF, 0..10), cut in 1_usize..9,
        ) {
            let picture = |inner: &Vec<u8>| [&[0xFF, 0xD8], inner.as_slice(), &[0xFF, 0xD9]].concat();
            let pictures: Vec<Vec<u8>> = inner.iter().map(picture).collect();
            let stream: Vec<u8> = pictures.iter().flat_map(|picture| junk.iter().chain(picture)).copied().collect();
            let mut splitter = Splitter::default();
            let found: Vec<Vec<u8>> = stream.chunks(cut).flat_map(|bytes| splitter.push(bytes)).collect();
            prop_assert_eq!(found, pictures);
        }
    }
}
