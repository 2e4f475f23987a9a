//! From an installed package and its grant to a plugin that can be called. Every check stands here, in order.

use crate::amounts::Bytes;
use crate::breaker::Breaker;
use crate::capability::{Capability, Rights};
use crate::compiled::CompiledCache;
use crate::digest::ComponentHash;
use crate::grant::Grant;
use crate::guest::{Guest, Imports, Stop};
use crate::io::PluginIo;
use crate::limits::EffectiveLimits;
use crate::manifest::{Manifest, ReadManifestError};
use crate::settings::HostSettings;
use crate::toml_file::ReadTomlError;
use crate::tool_list::{self, LOCK_FILE, ToolListError, ToolLock};
use hob_events::{PluginName, ToolSpec};
use jsonschema::Validator;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

/// A plugin that can be called.
pub(crate) struct LoadedPlugin {
    pub(crate) name: PluginName,
    pub(crate) guest: Guest,
    pub(crate) rights: Arc<Rights>,
    pub(crate) rights_to_read: Arc<Rights>,
    pub(crate) limits: EffectiveLimits,
    pub(crate) tools: Vec<LoadedTool>,
    /// Calls at a time.
    pub(crate) calls: Semaphore,
    pub(crate) breaker: Mutex<Breaker>,
    /// Held while a call's reads are checked and its writes committed. The host is the only one who writes to a plugin's
    /// store, so no other call can come between.
    pub(crate) commit: Arc<tokio::sync::Mutex<()>>,
}

/// A tool, with its schema ready to check.
pub(crate) struct LoadedTool {
    pub(crate) spec: ToolSpec,
    pub(crate) arguments: Validator,
}

/// Why an installed plugin is not loaded. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadPluginError {
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ReadManifestError),
    /// The owner gave it nothing.
    #[error("no grant: allow it with `hob plugin grant {plugin}`, which writes {path}")]
    NoGrant {
        /// The plugin.
        plugin: PluginName,
        /// Where the grant would stand.
        path: PathBuf,
    },
    /// Its grant.
    #[error(transparent)]
    Grant(ReadTomlError),
    /// The component, the manifest and the grant do not name one hash.
    #[error("the component is {found}, but {place} names {named}: grant it again if you know why it changed")]
    Hash {
        /// `plugin.toml`, `the grant` or `tools.lock`.
        place: &'static str,
        /// The hash there.
        named: ComponentHash,
        /// The component's.
        found: ComponentHash,
    },
    /// The component.
    #[error(transparent)]
    Component(#[from] ReadComponentError),
    /// It imports something that its manifest does not ask for or its grant does not give.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It cannot be linked.
    #[error("the component does not fit the contract: {0}")]
    Link(String),
    /// It was put into the folder by hand.
    #[error("it was not installed: run `hob plugin install` on its package, which pins its tools")]
    NotInstalled,
    /// Its list of tools.
    #[error(transparent)]
    Listing(#[from] ListToolsError),
    /// It lists other tools than at install. A description is prompt text.
    #[error("quarantined: its tool '{tool}' is not as it was when it was installed; install it again if you trust it")]
    Quarantined {
        /// The first that differs.
        tool: String,
    },
    /// Another plugin has a tool of that name.
    #[error("its tool '{tool}' is already offered by the plugin '{by}': remove one of them")]
    ToolTaken {
        /// The tool.
        tool: String,
        /// Who has it.
        by: PluginName,
    },
}

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadComponentError {
    /// No such file.
    #[error("{path} cannot be read")]
    Io {
        /// The component.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than the owner allows.
    #[error("{path} has {bytes}, and {limit} are allowed")]
    TooLarge {
        /// The component.
        path: PathBuf,
        /// What it has.
        bytes: Bytes,
        /// What is allowed.
        limit: Bytes,
    },
    /// No component, or one that this wasmtime does not know.
    #[error("{path} is no WebAssembly component that can be compiled: {reason}")]
    Compile {
        /// The component.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The thread that compiled it died.
    #[error("compiling was cut short")]
    Interrupted,
}

/// Why a component's imports are not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Nothing of hob's or of WASI's.
    #[error("it imports {import}, which this hob does not have")]
    Unknown {
        /// The full name.
        import: String,
    },
    /// The manifest is silent.
    #[error("it imports {}, and its plugin.toml does not ask for it: add `{}` under [capabilities] there", .capability.word(), .capability.example_line())]
    NotAsked {
        /// The capability.
        capability: Capability,
    },
    /// The grant is silent.
    #[error("it needs {}, and the owner does not give it: add `{}` under [capabilities] in grants/{plugin}.toml", .capability.word(), .capability.example_line())]
    NotGranted {
        /// The capability.
        capability: Capability,
        /// Who needs it.
        plugin: PluginName,
    },
    /// It exports no tools.
    #[error("it exports no tools of hob:plugin@0.1.0")]
    NoTools,
}

/// Why there is no list of tools.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListToolsError {
    /// It did not answer in the sandbox.
    #[error("it could not list its tools: {0}")]
    Stopped(#[from] Stop),
    /// What it lists.
    #[error(transparent)]
    List(#[from] ToolListError),
}

/// What loading needs from the host.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) settings: Arc<HostSettings>,
    pub(crate) engine: Engine,
    pub(crate) cache: Arc<CompiledCache>,
    pub(crate) io: Arc<dyn PluginIo>,
}

/// A component as it lies in a package.
pub(crate) struct CheckedComponent {
    pub(crate) component: Component,
    pub(crate) hash: ComponentHash,
    pub(crate) imports: Imports,
    pub(crate) bytes: Bytes,
}

impl Workshop {
    /// Reads and compiles the component of a package, on a thread that may block.
    pub(crate) async fn component(&self, package: &Path, file: &str) -> Result<CheckedComponent, ReadComponentError> {
        let path = package.join(file);
        let workshop = self.clone();
        tokio::task::spawn_blocking(move || workshop.component_blocking(path))
            .await
            .unwrap_or(Err(ReadComponentError::Interrupted))
    }

    fn component_blocking(&self, path: PathBuf) -> Result<CheckedComponent, ReadComponentError> {
        let failed = |source| ReadComponentError::Io { path: path.clone(), source };
        let bytes = Bytes(std::fs::metadata(&path).map_err(failed)?.len());
        let limit = self.settings.caps.component;
        if bytes > limit {
            return Err(ReadComponentError::TooLarge { path, bytes, limit });
        }
        let wasm = std::fs::read(&path).map_err(failed)?;
        let hash = ComponentHash::of(&wasm);
        let compiled = self.cache.component(&self.engine, &wasm, &hash);
        let (component, _) =
            compiled.map_err(|error| ReadComponentError::Compile { path, reason: format!("{error:#}") })?;
        let imports = Imports::of(&self.engine, &component);
        Ok(CheckedComponent { component, hash, imports, bytes })
    }

    /// The tools of a component, listed where it has no rights.
    pub(crate) async fn listed_tools(
        &self,
        plugin: &PluginName,
        component: &Component,
    ) -> Result<Vec<ToolSpec>, LoadPluginError> {
        let guest = Guest::link(&self.engine, component, &Capability::ALL).map_err(unlinkable)?;
        let listed = guest.list_tools(plugin, Arc::clone(&self.io)).await.map_err(ListToolsError::Stopped)?;
        Ok(tool_list::checked(plugin, listed).map_err(ListToolsError::List)?)
    }

    /// Loads an installed plugin.
    pub(crate) async fn load(
        &self,
        plugin: &PluginName,
        commit: Arc<tokio::sync::Mutex<()>>,
    ) -> Result<LoadedPlugin, LoadPluginError> {
        let package = self.settings.plugins.join(plugin.as_str());
        let manifest = Manifest::read(&package)?;
        let grant = Grant::read(&self.settings.grants, plugin).map_err(LoadPluginError::Grant)?;
        let grant = grant.ok_or_else(|| LoadPluginError::NoGrant {
            plugin: plugin.clone(),
            path: Grant::path(&self.settings.grants, plugin),
        })?;
        let lock = read_lock(&package)?;
        let found = self.component(&package, &manifest.plugin.wasm).await?;
        for (place, named) in
            [("plugin.toml", manifest.plugin.sha256), ("the grant", grant.sha256), ("tools.lock", lock.sha256)]
        {
            if named != found.hash {
                return Err(LoadPluginError::Hash { place, named, found: found.hash });
            }
        }
        check_imports(&found.imports, &manifest)?;
        check_granted(&found.imports, &grant)?;
        let listed = self.listed_tools(plugin, &found.component).await?;
        if let Some(tool) = lock.first_difference(&listed) {
            return Err(LoadPluginError::Quarantined { tool });
        }
        let guest = Guest::link(&self.engine, &found.component, &found.imports.capabilities).map_err(unlinkable)?;
        let rights = Rights::agreed(&manifest.capabilities, &grant.capabilities);
        let limits = EffectiveLimits::agreed(manifest.limits, grant.limits, self.settings.caps);
        Ok(LoadedPlugin {
            name: plugin.clone(),
            guest,
            rights_to_read: Arc::new(rights.reading_only()),
            rights: Arc::new(rights),
            limits,
            tools: listed.into_iter().map(|tool| loaded_tool(tool, limits)).collect::<Result<_, _>>()?,
            calls: Semaphore::new(limits.concurrency),
            breaker: Mutex::new(Breaker::new()),
            commit,
        })
    }
}

fn loaded_tool(mut spec: ToolSpec, limits: EffectiveLimits) -> Result<LoadedTool, ListToolsError> {
    let arguments = jsonschema::validator_for(&spec.schema)
        .map_err(|error| ToolListError::Schema { tool: spec.name.to_string(), reason: error.to_string() })?;
    spec.deadline_ms = spec.deadline_ms.min(u32::try_from(limits.deadline.0).unwrap_or(u32::MAX));
    Ok(LoadedTool { spec, arguments })
}

fn unlinkable(error: wasmtime::Error) -> LoadPluginError {
    LoadPluginError::Link(format!("{error:#}"))
}

fn read_lock(package: &Path) -> Result<ToolLock, LoadPluginError> {
    let text = std::fs::read_to_string(package.join(LOCK_FILE)).map_err(|_| LoadPluginError::NotInstalled)?;
    serde_json::from_str(&text).map_err(|_| LoadPluginError::NotInstalled)
}

/// The imports are what hob has, and the manifest asks for each.
pub(crate) fn check_imports(imports: &Imports, manifest: &Manifest) -> Result<(), ImportError> {
    if let Some(import) = imports.unknown.first() {
        return Err(ImportError::Unknown { import: import.clone() });
    }
    if !imports.exports_tools {
        return Err(ImportError::NoTools);
    }
    match imports.capabilities.iter().find(|capability| !capability.is_in(&manifest.capabilities)) {
        Some(capability) => Err(ImportError::NotAsked { capability: *capability }),
        None => Ok(()),
    }
}

fn check_granted(imports: &Imports, grant: &Grant) -> Result<(), ImportError> {
    match imports.capabilities.iter().find(|capability| !capability.is_in(&grant.capabilities)) {
        Some(capability) => Err(ImportError::NotGranted { capability: *capability, plugin: grant.plugin.clone() }),
        None => Ok(()),
    }
}
