//! Documents: text that is too long to be typed, as a prompt shows it.

/// Bytes of a document at most: with the 4 bytes or so that a token has, twice the longest context of Gemma 4 (131,072
/// tokens). What is longer could never be read whole.
pub const MAX_BYTES: usize = 1 << 20;

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadDocumentError {
    /// Longer than any context.
    #[error("a document has at most {MAX_BYTES} bytes and this one has {bytes}: hand over the part that matters")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("it is no UTF-8 text (byte {at} is wrong): make text of it first, as pdftotext or pandoc do")]
    NotText {
        /// Where decoding stopped.
        at: usize,
    },
    /// Blanks alone.
    #[error("there is no text in it")]
    Empty,
}

/// The text of a document: without a byte order mark, lines ended by `\n` alone, and other control characters as blanks.
///
/// # Errors
/// [`ReadDocumentError`].
pub fn decode(bytes: &[u8]) -> Result<String, ReadDocumentError> {
    if bytes.len() > MAX_BYTES {
        return Err(ReadDocumentError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| ReadDocumentError::NotText { at: error.valid_up_to() })?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let text: String =
        text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect();
    match text.trim_matches(['\n', ' ', '\t']) {
        "" => Err(ReadDocumentError::Empty),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_its_text() {
        assert_eq!(decode("\u{feff}One\r\n\ttwo\u{7}\n\n".as_bytes()).unwrap(), "One\n\ttwo");
    }

    #[test]
    fn what_is_no_document_says_what_to_do() {
        let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_snapshot!(said(b"%PDF-1.7 \xE2\xE3\xCF"), @"it is no UTF-8 text (byte 9 is wrong): make text of it first, as pdftotext or pandoc do");
        assert_snapshot!(said(b" \n\r\n\t"), @"there is no text in it");
        assert_snapshot!(said(&vec![b'x'; MAX_BYTES + 1]), @"a document has at most 1048576 bytes and this one has 1048577: hand over the part that matters");
    }

    proptest! {
        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = decode(&bytes) {
                prop_assert!(!text.is_empty() && !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
            }
        }
    }
}
