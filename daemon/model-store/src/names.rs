//! Names that become parts of paths and addresses. Each is checked once, where it comes in, so that no path built from
//! one can leave its folder and no address needs escaping.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A text that cannot be such a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot be {what}: {rule}")]
pub struct WrongName {
    /// What was given.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// What such a name looks like.
    pub rule: &'static str,
}

/// A text type that is only made through its check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WrongName;

            fn from_str(text: &str) -> Result<Self, WrongName> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(WrongName { text: text.to_owned(), what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = WrongName;

            fn try_from(text: String) -> Result<Self, WrongName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

checked_text!(
    /// What a model is called in the store: the name of its folder.
    ModelName,
    "a model's name",
    "use letters, digits, '.', '_' and '-', beginning with a letter or digit, 64 at most",
    |text| text.len() <= 64 && is_word(text)
);

checked_text!(
    /// A set of graphs of one model: `q4f16`, `q4`, …
    VariantName,
    "a variant",
    "use letters, digits, '.', '_' and '-', beginning with a letter or digit, 32 at most",
    |text| text.len() <= 32 && is_word(text)
);

checked_text!(
    /// Which state of a repository: a commit, a tag or a branch.
    Revision,
    "a revision",
    "name a commit, a tag or a branch without '/'",
    |text| text.len() <= 128 && is_word(text)
);

impl Revision {
    /// Whether it is the hash of a commit, and so the same for ever. A branch moves, and a tag may.
    pub(crate) fn is_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

checked_text!(
    /// Where a hub keeps a model: `owner/name`.
    Repository,
    "a repository",
    "it is owner/name",
    |text| text.len() <= 256 && text.split_once('/').is_some_and(|(owner, name)| is_word(owner) && is_word(name))
);

checked_text!(
    /// A file inside a model's folder: `onnx/embed_tokens_q4.onnx`. Never the folder's own `hob-model.toml`.
    RelativePath,
    "a file of a model",
    "use plain names of letters, digits, '.', '_', '-', '+' and '=' with '/' between them, none of them '.', '..' or \
     hidden, and not hob-model.toml",
    |text| text.len() <= 512 && text != crate::record::FILE_NAME && text.split('/').all(is_file_name)
);

impl RelativePath {
    /// The folders above the file, outermost first: `a`, `a/b` for `a/b/c`.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let names: Vec<&str> = self.0.split('/').collect();
        (1..names.len()).map(move |depth| names.iter().take(depth).collect())
    }
}

/// One component: it cannot be empty, `.`, `..`, hidden, or read as an option.
fn is_word(text: &str) -> bool {
    is_of(text, b"._-")
}

/// The same, with what else published files are called by.
fn is_file_name(text: &str) -> bool {
    // Most file systems end a name at 255 bytes.
    text.len() <= 255 && is_of(text, b"._-+=")
}

fn is_of(text: &str, marks: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    text.bytes().all(plain) && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The SHA-256 of a file, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash that a hasher has come to.
    pub(crate) fn of(hasher: sha2::Sha256) -> Self {
        Self(sha2::Digest::finalize(hasher).into())
    }
}

impl FromStr for Sha256 {
    type Err = WrongName;

    fn from_str(text: &str) -> Result<Self, WrongName> {
        let wrong = || WrongName { text: text.to_owned(), what: "a sha256", rule: "it is 64 hexadecimal digits" };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = WrongName;

    fn try_from(text: String) -> Result<Self, WrongName> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn what_could_leave_the_folder_is_no_file_of_a_model() {
        for hostile in ["", "/etc/passwd", "../x", "onnx/../../x", "onnx//x", "./x", "onnx/", ".hidden", "a\\b", "a\0b"]
        {
            assert!(hostile.parse::<RelativePath>().is_err(), "{hostile:?}");
        }
        assert!("hob-model.toml".parse::<RelativePath>().is_err(), "it would pass for the record");
        assert_eq!("a b".parse::<RelativePath>().unwrap_err().text, "a b");
        let path: RelativePath = "onnx/deep/decoder_model_merged_q4.onnx_data_1".parse().unwrap();
        assert_eq!(path.folders().collect::<Vec<_>>(), [Path::new("onnx"), Path::new("onnx/deep")]);
    }

    #[test]
    fn a_model_cannot_be_called_like_the_store_s_own_folders() {
        assert!(".partial".parse::<ModelName>().is_err());
        assert!("--yes".parse::<ModelName>().is_err());
        assert!("gemma-4-E2B-it-ONNX".parse::<ModelName>().is_ok());
        assert!("owner/name/more".parse::<Repository>().is_err());
        assert!("refs/pr/1".parse::<Revision>().is_err());
        let commit = |text: &str| text.parse::<Revision>().unwrap().is_commit();
        assert!(commit(&"0f".repeat(20)) && !commit("main") && !commit("v1.0") && !commit(&"0f".repeat(19)));
    }

    proptest! {
        #[test]
        fn a_path_that_is_taken_stays_below_its_folder(text in "[a-zA-Z0-9./\\\\_ \0-]{0,24}") {
            if let Ok(path) = text.parse::<RelativePath>() {
                let joined = Path::new("/store").join(path.as_str());
                prop_assert!(joined.starts_with("/store"));
                prop_assert!(Path::new(path.as_str()).components().all(|part| matches!(part, Component::Normal(_))));
            }
        }

        #[test]
        fn a_hash_is_read_as_it_is_written(bytes in any::<[u8; 32]>()) {
            let hash = Sha256(bytes);
            prop_assert_eq!(hash.to_string().parse::<Sha256>().unwrap(), hash);
        }
    }
}
