//! Takes a package into the plugins folder. Nothing of it runs but `list-tools`, in the sandbox without rights; nothing
//! is granted.

use crate::amounts::Bytes;
use crate::capability::Capability;
use crate::digest::ComponentHash;
use crate::load::{ImportError, LoadPluginError, ReadComponentError, Workshop, check_imports};
use crate::manifest::{MANIFEST_FILE, Manifest, ReadManifestError};
use crate::tool_list::{LOCK_FILE, ToolLock};
use hob_events::ToolSpec;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was installed. Its text is what the owner reads before granting.
#[derive(Debug, Clone, PartialEq)]
pub struct InstallReport {
    /// What the package says of itself.
    pub manifest: Manifest,
    /// Size of the component.
    pub component: Bytes,
    /// The capabilities its binary imports.
    pub needs: Vec<Capability>,
    /// What it offers, pinned from now on.
    pub tools: Vec<ToolSpec>,
}

/// Why a package is not installed. The plugins folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallPluginError {
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ReadManifestError),
    /// Its component.
    #[error(transparent)]
    Component(#[from] ReadComponentError),
    /// The component is not the one the manifest names.
    #[error("plugin.toml names the component {named}, but it is {found}")]
    Hash {
        /// In the manifest.
        named: ComponentHash,
        /// In truth.
        found: ComponentHash,
    },
    /// What it imports.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// What it lists.
    #[error(transparent)]
    Tools(LoadPluginError),
    /// The thread that copied it died.
    #[error("copying the package was cut short: install it again")]
    Interrupted,
    /// The plugins folder.
    #[error("{path} cannot be written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Workshop {
    /// Checks a package and copies it: manifest, component, pinned tools, and nothing else that may lie there.
    pub(crate) async fn install(&self, package: &Path) -> Result<InstallReport, InstallPluginError> {
        let manifest = Manifest::read(package)?;
        let found = self.component(package, &manifest.plugin.wasm).await?;
        let named = manifest.plugin.sha256;
        if named != found.hash {
            return Err(InstallPluginError::Hash { named, found: found.hash });
        }
        check_imports(&found.imports, &manifest)?;
        let id = &manifest.plugin.id;
        let tools = self.listed_tools(id, &found.component).await.map_err(InstallPluginError::Tools)?;
        let lock = ToolLock { sha256: found.hash, tools };
        let (package, settings) = (package.to_path_buf(), Arc::clone(&self.settings));
        let copying = tokio::task::spawn_blocking(move || {
            copy(&package, &settings.plugins, &manifest, &lock)?;
            Ok(InstallReport { needs: found.imports.capabilities, component: found.bytes, tools: lock.tools, manifest })
        });
        copying.await.unwrap_or(Err(InstallPluginError::Interrupted))
    }
}

/// Builds the new folder beside the old one and swaps them, so that a half-copied plugin is never seen.
fn copy(package: &Path, plugins: &Path, manifest: &Manifest, lock: &ToolLock) -> Result<(), InstallPluginError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| InstallPluginError::Io { path, source }
    };
    let place = plugins.join(manifest.plugin.id.as_str());
    // A name that no plugin id can have.
    let unfinished = plugins.join(format!(".{}.new", manifest.plugin.id));
    remove_if_there(&unfinished).map_err(failed(&unfinished))?;
    std::fs::create_dir_all(&unfinished).map_err(failed(&unfinished))?;
    for file in [MANIFEST_FILE, manifest.plugin.wasm.as_str()] {
        std::fs::copy(package.join(file), unfinished.join(file)).map_err(failed(&unfinished.join(file)))?;
    }
    let pinned = unfinished.join(LOCK_FILE);
    let text = serde_json::to_vec_pretty(lock).map_err(std::io::Error::from).map_err(failed(&pinned))?;
    std::fs::write(&pinned, text).map_err(failed(&pinned))?;
    remove_if_there(&place).map_err(failed(&place))?;
    std::fs::rename(&unfinished, &place).map_err(failed(&place))
}

pub(crate) fn remove_if_there(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl fmt::Display for InstallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plugin = &self.manifest.plugin;
        writeln!(f, "{} {}, a component of {}", plugin.id, plugin.version, self.component)?;
        writeln!(f, "sha256 {}", plugin.sha256)?;
        if self.needs.is_empty() {
            writeln!(f, "needs nothing from outside")?;
        }
        let asked = toml::Table::try_from(&self.manifest.capabilities).unwrap_or_default();
        for capability in &self.needs {
            match asked.get(capability.word()) {
                Some(bounds) => writeln!(f, "needs {} = {bounds}", capability.word())?,
                None => writeln!(f, "needs {}", capability.word())?,
            }
        }
        for tool in &self.tools {
            writeln!(f, "offers {}: {}", tool.name, tool.description)?;
        }
        write!(f, "it may do nothing yet: allow it with `hob plugin grant {}`", plugin.id)
    }
}
