//! Where the things lie that a daemon is started with.

use anyhow::{Context, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder that holds everything.
pub(crate) fn repository() -> PathBuf {
    // tests/ lies right in it.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Places {
    /// The hob binary.
    pub binary: PathBuf,
    /// ONNX Runtime.
    pub onnxruntime: PathBuf,
    /// The model's folder.
    pub model: PathBuf,
    /// The plugins to install.
    pub plugins: Vec<Plugin>,
}

impl Places {
    /// The shipped plugins with the tiny model of the tests: it has the shipped model's shape and knows nothing. What a
    /// test wants done, it asks for as a tool call.
    ///
    /// # Errors
    /// When something was not built yet: says what to run.
    pub fn tiny() -> anyhow::Result<Self> {
        Self::with_model(repository().join("tests/fixtures/tiny"))
    }

    /// The shipped plugins with the shipped model, or the one that `HOB_MODEL__FOLDER` names, as for hob itself.
    ///
    /// # Errors
    /// When something was not built yet: says what to run.
    pub fn pocket() -> anyhow::Result<Self> {
        let named = std::env::var_os("HOB_MODEL__FOLDER").map(PathBuf::from);
        Self::with_model(named.unwrap_or_else(|| repository().join("models/pocket")))
    }

    /// The same with one more plugin.
    #[must_use]
    pub fn and(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    fn with_model(model: PathBuf) -> anyhow::Result<Self> {
        let library = repository().join(".cache/onnxruntime");
        let onnxruntime = file_in(&library, "libonnxruntime.so").context("run `make setup`")?;
        ensure!(model.join("config.json").exists(), "{} holds no model", model.display());
        let plugins = ["home", "lists"].map(Plugin::shipped).into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Self { binary: binary()?, onnxruntime, model, plugins })
    }
}

/// The binary of the same build: beside the test's own, or one folder up.
fn binary() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("hob")).find(|path| path.is_file());
    found.context("the hob binary is not built: run `cargo build -p hob`, or `make test`")
}

fn file_in(folder: &Path, beginning: &str) -> anyhow::Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} is missing", folder.display()))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let begins = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning));
    paths.find(begins).with_context(|| format!("{} has no {beginning}", folder.display()))
}

/// A built plugin: a folder with `plugin.toml` and the component.
#[derive(Debug, Clone)]
pub struct Plugin {
    folder: PathBuf,
    id: String,
}

impl Plugin {
    /// One of those that `scripts/build-plugins.sh` builds.
    ///
    /// # Errors
    /// When it was not built yet.
    pub fn shipped(id: &str) -> anyhow::Result<Self> {
        Self::built("target/plugins", id)
    }

    /// `press` of `tests/guests`: its tool toggles a switch, so that running it twice would show.
    ///
    /// # Errors
    /// When it was not built yet.
    pub fn press() -> anyhow::Result<Self> {
        Self::built("target/guests", "press")
    }

    fn built(folder: &str, id: &str) -> anyhow::Result<Self> {
        let folder = repository().join(folder).join(id);
        ensure!(folder.join("plugin.toml").exists(), "the plugin {id} is not built: run `make plugins`");
        Ok(Self { folder, id: id.to_owned() })
    }

    /// Where its package lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}
