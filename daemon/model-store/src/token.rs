//! The credential that some repositories ask for. It is sent to one server and shown nowhere.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadTokenError {
    /// Its file cannot be read.
    #[error("cannot read the token in {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be sent in a header.
    #[error("{origin} holds no token: it must be one line of visible ASCII characters")]
    Wrong {
        /// Where it came from. What it was is not told.
        origin: String,
    },
}

/// A credential. It shows itself to nobody, not even to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token that came from `origin`, without the line end that files have.
    ///
    /// # Errors
    /// [`ReadTokenError::Wrong`] when it is empty or cannot be sent.
    pub fn new(text: &str, origin: &str) -> Result<Self, ReadTokenError> {
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ReadTokenError::Wrong { origin: origin.to_owned() });
        }
        Ok(Self(token.to_owned()))
    }

    /// Reads a file that holds the token and nothing else.
    ///
    /// # Errors
    /// [`ReadTokenError`].
    pub fn read(path: &Path) -> Result<Self, ReadTokenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ReadTokenError::Unreadable { path: path.to_owned(), source })?;
        Self::new(&text, &path.display().to_string())
    }

    /// The value of an `Authorization` header.
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_never_shown() {
        let token = Token::new("hf_secret\n", "HF_TOKEN").unwrap();
        assert_eq!((token.header().as_str(), format!("{token:?}").as_str()), ("Bearer hf_secret", "Token(…)"));
        for wrong in ["", " \n", "two words", "line\nline", "ünder"] {
            let said = Token::new(wrong, "HF_TOKEN").unwrap_err().to_string();
            assert_eq!(said, "HF_TOKEN holds no token: it must be one line of visible ASCII characters");
        }
    }
}
