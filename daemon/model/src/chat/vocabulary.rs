//! The tokenizer as hob uses it: text to ids, ids to the very bytes they stand for, and text made harmless.

use hob_events::TokenizerId;
use sha2::{Digest, Sha256};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer;

/// Characters that mark places in a rendered prompt. They mean nothing to anyone, and never come in from outside.
pub(super) const HOLE: char = '\u{F8D0}';

/// The highest id that is believed: sixteen times Gemma's. Each id up to the highest takes memory, whether it is used or not.
const HIGHEST_ID: u32 = 1 << 22;

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VocabularyUnreadable {
    /// It could not be read.
    #[error("the tokenizer {path} cannot be read: {message}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// Its tokens cannot be turned into bytes.
    #[error("the tokenizer's decoder is neither byte level nor byte fallback, so its tokens cannot be constrained")]
    Decoder,
    /// An id beyond `HIGHEST_ID`.
    #[error(
        "the tokenizer has a token {0}, and hob knows none beyond {HIGHEST_ID}: its file is damaged, fetch it again"
    )]
    Id(u32),
    /// A token that the format needs is missing.
    #[error("the tokenizer has no token {0}: it belongs to another family of models")]
    Token(String),
}

/// A tokenizer, and the bytes of each of its tokens.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    /// By id. Empty where an id stands for no bytes: gaps and control tokens.
    bytes: Vec<Vec<u8>>,
    /// Control tokens, sorted by id.
    control: Vec<(u32, String)>,
    id: TokenizerId,
}

impl Vocabulary {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`VocabularyUnreadable`] when the file is missing or damaged, or its tokens stand for no bytes.
    pub fn open(path: &Path) -> Result<Self, VocabularyUnreadable> {
        let refused = |message: String| VocabularyUnreadable::File { path: path.to_owned(), message };
        // The library panics over a decoder that it does not know, instead of saying so.
        let tokenizer = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_file(path)))
            .map_err(|_| refused("it is damaged, fetch it again".to_owned()))?
            .map_err(|error| refused(error.to_string()))?;
        Self::new(tokenizer)
    }

    /// Which tokenizer it is: two of the same id mean the same by every token.
    #[must_use]
    pub fn tokenizer_id(&self) -> TokenizerId {
        self.id
    }

    /// Takes a tokenizer that was read already.
    ///
    /// # Errors
    /// [`VocabularyUnreadable`] when its tokens stand for no bytes, or an id is beyond all reason.
    pub fn new(tokenizer: Tokenizer) -> Result<Self, VocabularyUnreadable> {
        let spelling = Spelling::of(&tokenizer).ok_or(VocabularyUnreadable::Decoder)?;
        let added = tokenizer.get_added_tokens_decoder();
        // Every added token in angle brackets is a control token, whether or not its author marked it so.
        let is_control = |text: &str, special: bool| special || (text.starts_with('<') && text.ends_with('>'));
        let mut control: Vec<(u32, String)> = added
            .iter()
            .filter(|(_, token)| is_control(&token.content, token.special))
            .map(|(id, token)| (*id, token.content.clone()))
            .collect();
        control.sort_unstable();
        let highest = tokenizer.get_vocab(true).into_values().max();
        if let Some(id) = highest.filter(|id| *id > HIGHEST_ID) {
            return Err(VocabularyUnreadable::Id(id));
        }
        let size = highest.map_or(0, |highest| highest + 1);
        let bytes: Vec<Vec<u8>> = (0..size)
            .map(|id| match added.get(&id) {
                Some(token) if is_control(&token.content, token.special) => Vec::new(),
                Some(token) => token.content.clone().into_bytes(),
                None => tokenizer.id_to_token(id).map(|token| spelling.bytes(&token)).unwrap_or_default(),
            })
            .collect();
        let id = identity(&bytes, &control);
        Ok(Self { tokenizer, bytes, control, id })
    }

    /// How many ids there are, gaps included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no tokens at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The id of a token by its own text, such as `<|turn>`.
    ///
    /// # Errors
    /// [`VocabularyUnreadable::Token`] when there is none.
    pub fn id(&self, token: &str) -> Result<u32, VocabularyUnreadable> {
        self.tokenizer.token_to_id(token).ok_or_else(|| VocabularyUnreadable::Token(token.to_owned()))
    }

    /// The ids of a text. Control tokens in it become control tokens: give it only text that passed [`Self::harmless`].
    /// Nothing is put in front or behind.
    #[must_use]
    pub fn ids(&self, text: &str) -> Vec<u32> {
        // Encoding fails only where a model has no unknown token and no byte fallback; such a word is left out.
        self.tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }

    /// The text of ids, without control tokens. Bytes that are no UTF-8 become the replacement character.
    #[must_use]
    pub fn text(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.bytes_of(*id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes of one token; none for control tokens and unknown ids.
    #[must_use]
    pub fn bytes_of(&self, id: u32) -> &[u8] {
        usize::try_from(id).ok().and_then(|index| self.bytes.get(index)).map_or(&[], Vec::as_slice)
    }

    /// The control tokens with their texts, by id.
    #[must_use]
    pub fn control(&self) -> &[(u32, String)] {
        &self.control
    }

    /// The text as this tokenizer can write it: one that knows only lower case gives it back in lower case.
    #[must_use]
    pub fn written(&self, text: &str) -> String {
        self.text(&self.ids(&self.harmless(text)))
    }

    /// The text with every control token in it broken by a blank, so that what comes from outside stays words.
    #[must_use]
    pub fn harmless(&self, text: &str) -> String {
        let starts_control = |rest: &str| self.control.iter().any(|(_, token)| rest.starts_with(token.as_str()));
        let mut safe = String::with_capacity(text.len());
        let mut rest = text.chars();
        loop {
            let here = rest.as_str();
            let Some(character) = rest.next() else { return safe };
            // Replaced, not left out: what stands on both sides of it could become a control token.
            safe.push(if character == HOLE { char::REPLACEMENT_CHARACTER } else { character });
            if character == '<' && starts_control(here) {
                safe.push(' ');
            }
        }
    }
}

/// Over every token's bytes and every control token's name, each with its length in front.
fn identity(bytes: &[Vec<u8>], control: &[(u32, String)]) -> TokenizerId {
    let mut hash = Sha256::new();
    for field in bytes.iter().map(Vec::as_slice).chain(control.iter().map(|(_, name)| name.as_bytes())) {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(field);
    }
    let sum = hash.finalize();
    TokenizerId(sum.first_chunk().map_or(0, |first| u64::from_le_bytes(*first)))
}

/// How a tokenizer spells bytes in the names of its tokens.
enum Spelling {
    /// Each byte as one printable character.
    ByteLevel(std::collections::HashMap<char, u8>),
    /// As text, with a stand-in for the blank, and `<0x0A>` for single bytes.
    ByteFallback { blank: char },
}

impl Spelling {
    fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let decoder = serde_json::to_value(tokenizer.get_decoder()).ok()?;
        let steps = match decoder.get("decoders").and_then(serde_json::Value::as_array) {
            Some(steps) => steps.clone(),
            None => vec![decoder],
        };
        let kind = |step: &serde_json::Value, kind: &str| step["type"].as_str() == Some(kind);
        if steps.iter().any(|step| kind(step, "ByteLevel")) {
            return Some(Self::ByteLevel(byte_level_alphabet()));
        }
        if !steps.iter().any(|step| kind(step, "ByteFallback")) {
            return None;
        }
        let blank = steps.iter().find(|step| kind(step, "Replace") && step["content"].as_str() == Some(" "));
        let blank = blank.and_then(|step| step["pattern"]["String"].as_str()?.chars().next());
        Some(Self::ByteFallback { blank: blank.unwrap_or(' ') })
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(alphabet) => {
                let bytes: Option<Vec<u8>> = token.chars().map(|character| alphabet.get(&character).copied()).collect();
                bytes.unwrap_or_default()
            }
            Self::ByteFallback { blank } => match single_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace(*blank, " ").into_bytes(),
            },
        }
    }
}

/// `<0x0A>` stands for the byte 10.
fn single_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The alphabet of byte-level BPE (GPT-2): printable Latin-1 characters stand for themselves, every other byte for the
/// next free character from U+0100 on.
fn byte_level_alphabet() -> std::collections::HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut stand_ins = ('\u{100}'..).fuse();
    let mut alphabet = std::collections::HashMap::new();
    for byte in 0..=u8::MAX {
        let character = if printable(byte) { Some(char::from(byte)) } else { stand_ins.next() };
        alphabet.extend(character.map(|character| (character, byte)));
    }
    alphabet
}
