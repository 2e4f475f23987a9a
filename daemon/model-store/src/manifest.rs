//! `models/*.toml`: which files make a model, and what is known of each.

use crate::names::{ModelName, RelativePath, Repository, Revision, Sha256, VariantName};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The manifests that hob brings along.
const SHIPPED: [&str; 3] = [
    include_str!("../../../models/gemma-4-e2b.toml"),
    include_str!("../../../models/gemma-4-e2b-mobile.toml"),
    include_str!("../../../models/gemma-4-e4b.toml"),
];

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest {path}: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The text is not understood, or names a file that could leave its folder.
    #[error("the manifest {path} is not understood: {reason}")]
    Wrong {
        /// Which file.
        path: String,
        /// Where and why.
        reason: String,
    },
    /// Two entries cannot both be files of one folder.
    #[error("the manifest {path} names {file} twice in one variant, or as a file and as a folder")]
    Clash {
        /// Which manifest.
        path: String,
        /// Which file.
        file: RelativePath,
    },
    /// No shipped manifest has that name.
    #[error("no model is called {name}: take one of {known}, or bring a list of your own with --manifest FILE")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// Why no variant can be chosen.
#[derive(Debug, thiserror::Error)]
pub enum PickVariantError {
    /// None is called that.
    #[error("{model} has no variant {variant}: take one of {known}")]
    Unknown {
        /// The model.
        model: ModelName,
        /// What was asked for.
        variant: VariantName,
        /// What there is.
        known: String,
    },
    /// The manifest lists none at all.
    #[error("{model} has no variants: add a [variants.NAME] with its graphs to the manifest")]
    NoneListed {
        /// The model.
        model: ModelName,
    },
}

/// One model as it is published: its files, in one or more variants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the model is called in the store, unless told otherwise.
    pub name: ModelName,
    /// Where a hub keeps it.
    pub repository: Repository,
    /// The state that sizes and hashes were taken from.
    pub revision: Revision,
    /// Under which terms it may be used.
    pub licence: String,
    /// Files that every variant needs.
    files: Vec<FileEntry>,
    /// The sets of graphs.
    variants: BTreeMap<VariantName, VariantEntry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    path: RelativePath,
    bytes: u64,
    sha256: Option<Sha256>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantEntry {
    /// For people who read the file.
    #[serde(rename = "description")]
    _description: String,
    files: Vec<FileEntry>,
}

impl VariantEntry {
    fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// What to fetch: one variant of one model at one revision.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the folder in the store will be called.
    pub name: ModelName,
    /// Where a hub keeps it.
    pub repository: Repository,
    /// Which state of it.
    pub revision: Revision,
    /// Which graphs.
    pub variant: VariantName,
    /// Every file; no path twice.
    pub files: Vec<FilePlan>,
}

/// One file of a plan, and what is known of it beforehand.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// Where it lies in the repository and in the folder.
    pub path: RelativePath,
    /// Its size; unknown at another revision than the manifest's.
    pub bytes: Option<u64>,
    /// Its hash, where one is known.
    pub sha256: Option<Sha256>,
}

impl Manifest {
    /// The shipped manifest of that name.
    ///
    /// # Errors
    /// [`ReadManifestError::Unknown`] with the names there are.
    pub fn shipped(name: &str) -> Result<Self, ReadManifestError> {
        let all = Self::all_shipped()?;
        let known = || all.iter().map(|manifest| manifest.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = all.iter().find(|manifest| manifest.name.as_str() == name);
        found.cloned().ok_or_else(|| ReadManifestError::Unknown { name: name.to_owned(), known: known() })
    }

    /// All that hob brings along.
    ///
    /// # Errors
    /// [`ReadManifestError`] for a build with a broken manifest in it, which a test keeps from happening.
    pub fn all_shipped() -> Result<Vec<Self>, ReadManifestError> {
        SHIPPED.into_iter().map(|text| Self::parse(text, "in this build")).collect()
    }

    /// Reads the owner's own manifest.
    ///
    /// # Errors
    /// [`ReadManifestError`], naming the line.
    pub fn read(path: &Path) -> Result<Self, ReadManifestError> {
        let shown = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &shown),
            Err(source) => Err(ReadManifestError::Unreadable { path: shown, source }),
        }
    }

    /// `path` is what errors call the text.
    fn parse(text: &str, path: &str) -> Result<Self, ReadManifestError> {
        let wrong = |reason: String| ReadManifestError::Wrong { path: path.to_owned(), reason };
        let manifest: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        for variant in manifest.variants.values() {
            no_clash(manifest.files.iter().chain(&variant.files))
                .map_err(|file| ReadManifestError::Clash { path: path.to_owned(), file })?;
        }
        Ok(manifest)
    }

    /// What to fetch for a variant; without one named, the smallest. At another revision than the manifest's nothing is
    /// known of the files but their names.
    ///
    /// # Errors
    /// [`PickVariantError`] with the variants there are.
    pub fn plan(&self, variant: Option<&VariantName>, revision: Option<Revision>) -> Result<Plan, PickVariantError> {
        let model = || self.name.clone();
        let (variant, entry) = match variant {
            Some(name) => self.variants.get_key_value(name).ok_or_else(|| PickVariantError::Unknown {
                model: model(),
                variant: name.clone(),
                known: self.variants.keys().map(VariantName::as_str).collect::<Vec<_>>().join(", "),
            }),
            None => {
                let smallest = self.variants.iter().min_by_key(|(_, entry)| entry.bytes());
                smallest.ok_or_else(|| PickVariantError::NoneListed { model: model() })
            }
        }?;
        let known = revision.as_ref().is_none_or(|revision| *revision == self.revision);
        let file = |file: &FileEntry| FilePlan {
            path: file.path.clone(),
            bytes: Some(file.bytes).filter(|_| known),
            sha256: file.sha256.filter(|_| known),
        };
        Ok(Plan {
            name: self.name.clone(),
            repository: self.repository.clone(),
            revision: revision.unwrap_or_else(|| self.revision.clone()),
            variant: variant.clone(),
            files: self.files.iter().chain(&entry.files).map(file).collect(),
        })
    }

    /// Whether this manifest says that `path` has that hash.
    pub(crate) fn knows(&self, path: &RelativePath, sha256: Sha256) -> bool {
        let graphs = self.variants.values().flat_map(|variant| &variant.files);
        self.files.iter().chain(graphs).any(|file| file.path == *path && file.sha256 == Some(sha256))
    }
}

/// The first file that stands there twice, or that another one would need as a folder.
fn no_clash<'a>(files: impl Iterator<Item = &'a FileEntry> + Clone) -> Result<(), RelativePath> {
    let mut seen = BTreeSet::new();
    let twice = files.clone().find(|file| !seen.insert(Path::new(file.path.as_str())));
    let folder = || files.clone().find(|file| file.path.folders().any(|folder| seen.contains(folder.as_path())));
    twice.or_else(folder).map_or(Ok(()), |file| Err(file.path.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    const OWN: &str = r#"
        name = "own"
        repository = "someone/own"
        revision = "main"
        licence = "MIT"
        files = [{ path = "config.json", bytes = 2 }]
        [variants.q4]
        description = "small"
        files = [{ path = "onnx/embed_tokens_q4.onnx", bytes = 10 }]
        [variants.fp16]
        description = "large"
        files = [{ path = "onnx/embed_tokens_fp16.onnx", bytes = 40 }]
    "#;

    fn refused(from: &str, to: &str) -> String {
        assert!(OWN.contains(from));
        Manifest::parse(&OWN.replace(from, to), "own.toml").unwrap_err().to_string()
    }

    #[test]
    fn every_shipped_manifest_is_understood_and_offers_its_smallest_variant() {
        let smallest = |manifest: &Manifest| {
            let plan = manifest.plan(None, None).unwrap();
            let bytes: u64 = plan.files.iter().filter_map(|file| file.bytes).sum();
            format!("{} {}: {} files, {bytes} bytes", plan.name, plan.variant, plan.files.len())
        };
        let all: Vec<String> = Manifest::all_shipped().unwrap().iter().map(smallest).collect();
        assert_snapshot!(all.join("\n"), @"
        gemma-4-e2b q4f16: 15 files, 3401448652 bytes
        gemma-4-e2b-mobile q2f16: 9 files, 2324194278 bytes
        gemma-4-e4b q4f16: 16 files, 5198343791 bytes
        ");
        assert_snapshot!(Manifest::shipped("gemma-3").unwrap_err(), @"no model is called gemma-3: take one of gemma-4-e2b, gemma-4-e2b-mobile, gemma-4-e4b, or bring a list of your own with --manifest FILE");
    }

    #[test]
    fn another_revision_is_fetched_without_what_was_known_of_the_first() {
        let manifest = Manifest::parse(OWN, "own.toml").unwrap();
        let plan = manifest.plan(None, Some("other".parse().unwrap())).unwrap();
        assert_eq!(plan.variant.as_str(), "q4");
        assert!(plan.files.iter().all(|file| file.bytes.is_none() && file.sha256.is_none()));
        let same = manifest.plan(None, Some("main".parse().unwrap())).unwrap();
        assert_eq!(same.files[0].bytes, Some(2));
        assert_snapshot!(manifest.plan(Some(&"q8".parse().unwrap()), None).unwrap_err(), @"own has no variant q8: take one of fp16, q4");
    }

    #[test]
    fn a_manifest_that_would_write_elsewhere_is_refused() {
        assert_snapshot!(refused("\"config.json\"", "\"../../etc/passwd\""), @r#"
        the manifest own.toml is not understood: TOML parse error at line 6, column 27
          |
        6 |         files = [{ path = "../../etc/passwd", bytes = 2 }]
          |                           ^^^^^^^^^^^^^^^^^^
        "../../etc/passwd" cannot be a file of a model: use plain names of letters, digits, '.', '_', '-', '+' and '=' with '/' between them, none of them '.', '..' or hidden, and not hob-model.toml
        "#);
        assert!(refused("\"config.json\"", "\"/etc/passwd\"").contains("cannot be a file of a model"));
        assert!(refused("\"config.json\"", "\"hob-model.toml\"").contains("cannot be a file of a model"));
        assert!(refused("\"own\"", "\"..\"").contains("cannot be a model's name"));
        assert!(refused("someone/own", "https://elsewhere/x").contains("it is owner/name"));
        assert!(refused("bytes = 2", "bytes = -2").contains("invalid value"));
        assert!(refused("bytes = 2", "bytes = 2, sha265 = \"\"").contains("unknown field"));
    }

    #[test]
    fn a_path_cannot_be_two_files_or_a_file_and_a_folder() {
        assert_snapshot!(refused("\"config.json\"", "\"onnx/embed_tokens_q4.onnx\""), @"the manifest own.toml names onnx/embed_tokens_q4.onnx twice in one variant, or as a file and as a folder");
        assert!(refused("\"config.json\"", "\"onnx\"").contains("as a folder"));
    }
}
