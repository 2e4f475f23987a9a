//! A store in a folder of its own, and a model of three small files to fetch into it.

use crate::server::Server;
use hob_model_store::{FetchModelError, FetchOrder, Fetched, FilePlan, NetworkSettings, Plan, Progress, Store, Token};
use sha2::Digest;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub(crate) const CONFIG: &[u8] = b"{\"model_type\":\"gemma4\"}";
pub(crate) const GRAPH: &[u8] = b"graph";
pub(crate) const FILES: &[(&str, &[u8])] =
    &[("config.json", CONFIG), ("onnx/g.onnx", GRAPH), ("onnx/g.onnx_data", DATA)];
pub(crate) const DATA: &[u8] = &[7; 1000];

pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) plan: Plan,
    pub(crate) network: NetworkSettings,
    pub(crate) token: Option<&'static str>,
    pub(crate) jobs: usize,
    pub(crate) told: Mutex<Vec<String>>,
}

/// Knows size and hash of every file.
pub(crate) fn bench() -> Bench {
    let file = |(path, bytes): &(&str, &[u8])| FilePlan {
        path: path.parse().unwrap(),
        bytes: Some(bytes.len() as u64),
        sha256: Some(sha256(bytes).parse().unwrap()),
    };
    let network = NetworkSettings {
        // Only who tests silence has it end soon: a machine with much to do is not silent.
        stall: Duration::from_secs(10),
        first_pause: Duration::ZERO,
        longest_retry_after: Duration::from_secs(2),
        retries: 3,
        redirects: 3,
        proxy_from_environment: false,
        ..NetworkSettings::default()
    };
    Bench {
        folder: tempfile::tempdir().unwrap(),
        plan: Plan {
            name: "little".parse().unwrap(),
            repository: "someone/little-ONNX".parse().unwrap(),
            revision: "abc".parse().unwrap(),
            variant: "q4".parse().unwrap(),
            files: FILES.iter().map(file).collect(),
        },
        network,
        token: None,
        jobs: 1,
        told: Mutex::new(Vec::new()),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bench {
    /// Forgets what was known of a file beforehand.
    pub(crate) fn forget(&mut self, path: &str) {
        let file = self.plan.files.iter_mut().find(|file| file.path.as_str() == path).unwrap();
        (file.bytes, file.sha256) = (None, None);
    }

    pub(crate) fn store(&self) -> Store {
        Store::at(self.folder.path().join("models"))
    }

    pub(crate) fn fetch(&self, server: &Server) -> Result<Fetched, FetchModelError> {
        self.fetch_from(server, &server.address())
    }

    pub(crate) fn fetch_from(&self, server: &Server, hub: &str) -> Result<Fetched, FetchModelError> {
        let report = |progress: Progress<'_>| {
            let line = match progress {
                Progress::Begins { files, bytes, there } => format!("{files} files, {bytes} bytes, {there} there"),
                Progress::Again { path, reason, .. } => format!("{path} again: {reason}"),
                Progress::Whole { path } => format!("{path} whole"),
                Progress::Lost { bytes } => format!("{bytes} lost"),
                Progress::Received { .. } => return,
            };
            self.told.lock().unwrap().push(line.replace(&server.address().replace("http://", ""), "<server>"));
        };
        self.store().fetch(&FetchOrder {
            plan: &self.plan,
            hub: &hub.parse().unwrap(),
            token: self.token.map(|token| Token::new(token, "the test").unwrap()),
            jobs: NonZero::new(self.jobs).unwrap(),
            network: self.network.clone(),
            report: &report,
        })
    }

    /// What a failed fetch says, without what differs from run to run.
    pub(crate) fn refusal(&self, server: &Server) -> String {
        let error = self.fetch(server).unwrap_err().to_string();
        let port = server.address().replace("http://", "");
        error.replace(&*self.folder.path().to_string_lossy(), "<folder>").replace(&port, "<server>")
    }

    /// A file of the model in the making: `model/…` for whole ones, `parts/…` for begun ones.
    pub(crate) fn partial(&self, path: &str) -> PathBuf {
        self.store().folder().join(".partial/little").join(path)
    }

    pub(crate) fn placed(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.store().folder().join("little").join(path)).unwrap()
    }
}

/// All files below a folder, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
