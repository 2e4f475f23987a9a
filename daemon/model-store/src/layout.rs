//! The published layout, as far as a store has to know it: which files of a folder make one variant of a model.

use crate::names::{RelativePath, VariantName};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// Files without which no variant runs.
const NEEDED: [&str; 4] = ["config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"];

/// Files that come along where they are there.
const WELCOME: [&str; 5] = [
    "tokenizer_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    REQUANTIZED,
];

/// How a model was made from another, in hob's own words; only those that were have it.
pub(crate) const REQUANTIZED: &str = "requantized.json";

/// Graphs without which no variant runs, and those of pictures and sound.
const GRAPHS: [&str; 2] = ["embed_tokens", "decoder_model_merged"];
const MORE_GRAPHS: [&str; 2] = ["vision_encoder", "audio_encoder"];

/// A graph larger than this holds its weights itself and names no data files.
const LARGEST_GRAPH_WITH_DATA: u64 = 64 * 1024 * 1024;

/// Why a folder is no model.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It is not the published layout, or not all of it.
    #[error("{folder} is no whole model: {missing} is missing; copy the folder again as it was published")]
    Missing {
        /// The folder.
        folder: String,
        /// Which file.
        missing: String,
    },
    /// Which of its variants is meant is not clear.
    #[error("{folder} holds {found}: say which with --variant")]
    Several {
        /// The folder.
        folder: String,
        /// The variants.
        found: String,
    },
    /// A file is a link or another thing than a file, and could lie anywhere.
    #[error("{path} is no plain file of the folder: copy the folder with its links followed (cp -rL)")]
    NotAFile {
        /// Which.
        path: String,
    },
    /// A name in it cannot be a file of a model.
    #[error(transparent)]
    Name(#[from] crate::names::WrongName),
    /// It cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file or folder.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The variant in a folder and the files that make it.
pub(crate) fn files_of(
    folder: &Path,
    variant: Option<&VariantName>,
) -> Result<(VariantName, Vec<RelativePath>), LayoutError> {
    let variant = match variant {
        Some(variant) => variant.clone(),
        None => the_one_variant(folder)?,
    };
    let mut files = Vec::new();
    for name in NEEDED {
        files.push(needed(folder, name)?);
    }
    for name in WELCOME {
        files.extend(welcome(folder, name)?);
    }
    for name in GRAPHS {
        let graph = needed(folder, &graph_file(name, &variant))?;
        files.extend(data_files(folder, &graph)?);
        files.push(graph);
    }
    for name in MORE_GRAPHS {
        if let Some(graph) = welcome(folder, &graph_file(name, &variant))? {
            files.extend(data_files(folder, &graph)?);
            files.push(graph);
        }
    }
    Ok((variant, files))
}

/// `onnx/<graph><suffix>.onnx`; single precision has no suffix.
pub(crate) fn graph_file(graph: &str, variant: &VariantName) -> String {
    match variant.as_str() {
        "fp32" => format!("onnx/{graph}.onnx"),
        variant => format!("onnx/{graph}_{variant}.onnx"),
    }
}

fn the_one_variant(folder: &Path) -> Result<VariantName, LayoutError> {
    let onnx = folder.join("onnx");
    let unreadable = |source| LayoutError::Unreadable { path: onnx.display().to_string(), source };
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&onnx).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let suffix = name.to_str().and_then(|name| name.strip_prefix(GRAPHS[1])?.strip_suffix(".onnx"));
        match suffix {
            Some("") => found.insert("fp32".parse()?),
            Some(suffix) => found.insert(suffix.trim_start_matches('_').parse()?),
            None => continue,
        };
    }
    let shown = found.iter().map(VariantName::as_str).collect::<Vec<_>>().join(", ");
    let folder = folder.display().to_string();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(LayoutError::Missing { folder, missing: format!("onnx/{}….onnx", GRAPHS[1]) }),
        (Some(_), Some(_)) => Err(LayoutError::Several { folder, found: shown }),
    }
}

fn needed(folder: &Path, name: &str) -> Result<RelativePath, LayoutError> {
    let missing = || LayoutError::Missing { folder: folder.display().to_string(), missing: name.to_owned() };
    welcome(folder, name)?.ok_or_else(missing)
}

/// A file, if it is there; on the way to it there may be no link.
fn welcome(folder: &Path, name: &str) -> Result<Option<RelativePath>, LayoutError> {
    let relative: RelativePath = name.parse()?;
    let path = folder.join(name);
    let shown = || path.display().to_string();
    let behind_link = relative.folders().any(|above| folder.join(above).is_symlink());
    match fs::symlink_metadata(&path) {
        Ok(about) if about.is_file() && !behind_link => Ok(Some(relative)),
        Ok(_) => Err(LayoutError::NotAFile { path: shown() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LayoutError::Unreadable { path: shown(), source }),
    }
}

/// The data files that a graph names: `<graph>_data`, `<graph>_data_1`, …. All have to be there.
fn data_files(folder: &Path, graph: &RelativePath) -> Result<Vec<RelativePath>, LayoutError> {
    let path = folder.join(graph.as_str());
    let unreadable = |source| LayoutError::Unreadable { path: path.display().to_string(), source };
    if fs::metadata(&path).map_err(unreadable)?.len() > LARGEST_GRAPH_WITH_DATA {
        return Ok(Vec::new());
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    let name = graph.as_str().rsplit('/').next().unwrap_or_default();
    let named = data_names(&bytes, &format!("{name}_data"));
    named.iter().map(|name| needed(folder, &format!("onnx/{name}"))).collect()
}

/// Every `base`, `base_1`, `base_2`, … that stands in the bytes of a graph. They are the graph's own words for its data
/// files; the rest of the graph is none of the store's business.
fn data_names(graph: &[u8], base: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = graph;
    while let Some(at) = rest.windows(base.len()).position(|window| window == base.as_bytes()) {
        rest = rest.get(at + base.len()..).unwrap_or_default();
        let digits = rest.strip_prefix(b"_").unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
        let number: String = digits.map(|digit| char::from(*digit)).collect();
        names.insert(if number.is_empty() { base.to_owned() } else { format!("{base}_{number}") });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use std::path::PathBuf;

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
    }

    fn files(variant: &str) -> Vec<String> {
        let (_, files) = files_of(&tiny(), Some(&variant.parse().unwrap())).unwrap();
        files.into_iter().map(String::from).collect()
    }

    #[test]
    fn a_real_graph_s_data_files_are_found_in_it() {
        assert_snapshot!(files("q4").join("\n"), @"
        config.json
        generation_config.json
        tokenizer.json
        chat_template.jinja
        tokenizer_config.json
        onnx/embed_tokens_q4.onnx_data
        onnx/embed_tokens_q4.onnx
        onnx/decoder_model_merged_q4.onnx_data
        onnx/decoder_model_merged_q4.onnx
        ");
        assert_snapshot!(files("fp32").join("\n"), @"
        config.json
        generation_config.json
        tokenizer.json
        chat_template.jinja
        tokenizer_config.json
        onnx/embed_tokens.onnx_data
        onnx/embed_tokens.onnx
        onnx/decoder_model_merged.onnx_data
        onnx/decoder_model_merged.onnx
        ");
    }

    #[test]
    fn every_part_of_split_data_is_found() {
        let graph = b"..g.onnx_data\x12..g.onnx_data_1j..g.onnx_data_12\x0ag.onnx_dat";
        let names: Vec<String> = data_names(graph, "g.onnx_data").into_iter().collect();
        assert_eq!(names, ["g.onnx_data", "g.onnx_data_1", "g.onnx_data_12"]);
    }

    #[test]
    fn what_is_no_model_or_more_than_one_is_said() {
        let said = |folder: &Path| {
            files_of(folder, None).unwrap_err().to_string().replace(&*folder.to_string_lossy(), "<folder>")
        };
        assert_snapshot!(said(&tiny()), @"<folder> holds fp32, q4: say which with --variant");
        let empty = tempfile::tempdir().unwrap();
        assert_snapshot!(said(empty.path()), @"cannot read <folder>/onnx");
        fs::create_dir(empty.path().join("onnx")).unwrap();
        assert_snapshot!(said(empty.path()), @"<folder> is no whole model: onnx/decoder_model_merged….onnx is missing; copy the folder again as it was published");
        assert!(
            files_of(&tiny(), Some(&"q8".parse().unwrap())).unwrap_err().to_string().contains("_q8.onnx is missing")
        );
    }
}
