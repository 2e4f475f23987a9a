//! The tokenizer as llguidance sees it: the bytes of every token, and the ids a text is written with.

use crate::chat::Vocabulary;
use std::sync::Arc;
use toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

/// Bytes and ids of one tokenizer.
struct Environment {
    vocabulary: Arc<Vocabulary>,
    trie: TokTrie,
}

/// Makes the environment for logits of `width` ids. A model's last layer is often wider than its tokenizer; the ids
/// beyond stand for nothing and are never allowed.
pub(super) fn environment(vocabulary: Arc<Vocabulary>, width: usize) -> TokEnv {
    let width = width.max(vocabulary.len());
    let mut words: Vec<Vec<u8>> = ids(vocabulary.len()).map(|id| vocabulary.bytes_of(id).to_vec()).collect();
    for (id, token) in vocabulary.control() {
        // The marker byte occurs in no UTF-8, so no text can be mistaken for a control token.
        let word = std::iter::once(TokTrie::SPECIAL_TOKEN_MARKER).chain(token.bytes()).collect();
        if let Some(slot) = usize::try_from(*id).ok().and_then(|index| words.get_mut(index)) {
            *slot = word;
        }
    }
    words.resize(width, Vec::new());
    // The grammars name the tokens they end with, so llguidance need not add one of its own.
    let info = TokRxInfo::new(u32::try_from(width).unwrap_or(u32::MAX), INVALID_TOKEN);
    let trie = TokTrie::from(&info, &words);
    Arc::new(Environment { vocabulary, trie })
}

/// Every id below `len`.
fn ids(len: usize) -> impl Iterator<Item = TokenId> {
    (0..).take(len)
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        // Literals were made harmless when the grammar was written, so no control token appears here unasked.
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.vocabulary.ids(text))
    }
}
