//! Who ran which nodes, out of the profile that ONNX Runtime writes.

use super::{Provider, Share};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Why a profile tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadProfileError {
    /// There is no place for it.
    #[error("there is no place for a profile below {folder}: make room, or name another folder with TMPDIR")]
    Folder {
        /// Where it should be.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// ONNX Runtime wrote none.
    #[error("ONNX Runtime wrote no profile: {0}")]
    None(String),
    /// It cannot be read.
    #[error("the profile at {path} cannot be read: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A folder of its own for one profile, gone with its content when it is dropped.
#[derive(Debug)]
pub(crate) struct ProfileFolder(PathBuf);

impl ProfileFolder {
    pub(crate) fn new() -> Result<Self, ReadProfileError> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("hob-profile-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        // Not one that is there already: someone else may have put it there.
        std::fs::create_dir(&folder).map_err(|source| ReadProfileError::Folder { folder: folder.clone(), source })?;
        Ok(Self(folder))
    }

    /// What the profile's name begins with; ONNX Runtime adds the time.
    pub(crate) fn prefix(&self) -> PathBuf {
        self.0.join("run")
    }
}

impl Drop for ProfileFolder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// One entry of the profile; there are others than nodes.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct Args {
    provider: Option<String>,
    op_name: Option<String>,
}

/// Reads who ran how many nodes of which kind in all runs together. A provider that takes a part of the graph as a whole
/// has run one node, by a name of its own.
pub(crate) fn read(path: &Path, runs: usize) -> Result<Vec<Share>, ReadProfileError> {
    let unreadable = |reason: String| ReadProfileError::Unreadable { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&text, runs).map_err(|error| unreadable(error.to_string()))
}

fn parse(text: &str, runs: usize) -> Result<Vec<Share>, serde_json::Error> {
    let entries: Vec<Entry> = serde_json::from_str(text)?;
    let nodes = entries.into_iter().filter(|entry| entry.cat == "Node");
    let ran = nodes.filter_map(|node| Some((Provider::known_as(&node.args.provider?), node.args.op_name?)));
    let mut shares = Share::gather(ran);
    for count in shares.iter_mut().flat_map(|share| share.operators.values_mut()) {
        *count = count.div_ceil(runs.max(1));
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_a_profile_are_told_for_one_run() {
        let node = |provider: &str, operator: &str| {
            format!(
                r#"{{"cat":"Node","name":"n_kernel_time","dur":3,"args":{{"op_name":"{operator}","provider":"{provider}"}}}}"#
            )
        };
        let entries = [
            r#"{"cat":"Session","name":"model_run","args":{}}"#.to_owned(),
            node("CPUExecutionProvider", "MatMul"),
            node("OpenVINOExecutionProvider", "part_1"),
            r#"{"cat":"Node","name":"n_fence_before","args":{"op_name":"MatMul"}}"#.to_owned(),
            node("CPUExecutionProvider", "MatMul"),
            node("OpenVINOExecutionProvider", "part_1"),
        ];
        let shares = parse(&format!("[{}]", entries.join(",")), 2).unwrap();
        let told: Vec<String> = shares.iter().map(Share::to_string).collect();
        assert_eq!(told, ["cpu 1 (MatMul)", "openvino 1 (part_1)"]);
        assert!(parse("[{\"cat\":", 1).is_err());
    }

    #[test]
    fn a_profiles_folder_goes_with_it() {
        let folder = ProfileFolder::new().unwrap();
        let prefix = folder.prefix();
        std::fs::write(&prefix, "[]").unwrap();
        drop(folder);
        assert!(!prefix.exists());
    }
}
