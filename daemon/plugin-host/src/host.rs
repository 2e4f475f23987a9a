//! The host itself: which plugins there are, and what is offered.

use crate::breaker::{Admission, Breaker};
use crate::compiled::{CompiledCache, OpenCacheError};
use crate::engine::{StartEngineError, TickingEngine};
use crate::grant::Grant;
use crate::inspect::{LimitsReport, PluginReport, PluginState, in_full};
use crate::install::{InstallPluginError, InstallReport, remove_if_there};
use crate::io::PluginIo;
use crate::load::{LoadPluginError, LoadedPlugin, Workshop};
use crate::manifest::{Manifest, is_plugin_id};
use crate::settings::HostSettings;
use hob_events::{PluginName, ToolSpec};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use wasmtime::Engine;

/// Runs plugins. Shared behind an `Arc`; every method takes `&self`.
pub struct PluginHost {
    workshop: Workshop,
    /// Keeps the engine's thread going.
    _engine: TickingEngine,
    plugins: RwLock<BTreeMap<PluginName, Slot>>,
    /// One a plugin for as long as the host lives, so that two loads of it never commit at once.
    commits: Mutex<BTreeMap<PluginName, Arc<tokio::sync::Mutex<()>>>>,
    calls: Semaphore,
    /// One change to the plugins folder at a time; compiling is heavy.
    changing: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
}

enum Slot {
    Loaded(Arc<LoadedPlugin>),
    Refused(Arc<LoadPluginError>),
}

/// Why the host cannot be opened. A single bad plugin is no reason: it is refused, and `inspect` says why.
#[derive(Debug, thiserror::Error)]
pub enum OpenHostError {
    /// No WebAssembly here.
    #[error(transparent)]
    Engine(#[from] StartEngineError),
    /// No folder for compiled components.
    #[error(transparent)]
    Cache(#[from] OpenCacheError),
    /// No plugins folder.
    #[error("the plugins folder {path} cannot be used")]
    Plugins {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a grant was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteGrantError {
    /// The grants folder.
    #[error("the grant {path} cannot be written")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was written, and the plugin still cannot be loaded.
    #[error("the grant is written, but the plugin cannot be loaded")]
    Load(#[source] Arc<LoadPluginError>),
    /// A value that TOML cannot hold.
    #[error("the grant cannot be written down: {0}")]
    Text(#[from] toml::ser::Error),
}

/// Why a plugin was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovePluginError {
    /// Not there.
    #[error("there is no plugin '{0}'")]
    Unknown(PluginName),
    /// The plugins folder.
    #[error("the folder {path} cannot be removed")]
    Io {
        /// The package's folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl PluginHost {
    /// Opens the host and loads every installed plugin that the owner granted. One that cannot be loaded is refused and
    /// reported by [`inspect`](Self::inspect); the others run.
    ///
    /// # Errors
    /// [`OpenHostError`] when there is no engine, cache or plugins folder.
    pub async fn open(settings: HostSettings, io: Arc<dyn PluginIo>) -> Result<Self, OpenHostError> {
        let ticking = TickingEngine::start()?;
        let cache = Arc::new(CompiledCache::open(&settings.cache)?);
        let engine = ticking.engine.clone();
        let host = Self {
            calls: Semaphore::new(settings.caps.total_concurrency.max(1)),
            workshop: Workshop { settings: Arc::new(settings), engine, cache, io },
            _engine: ticking,
            plugins: RwLock::default(),
            commits: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        };
        for plugin in host.installed()? {
            if let Err(error) = host.reload(&plugin).await {
                tracing::warn!(%plugin, "not loaded: {}", in_full(error.as_ref()));
            }
        }
        host.workshop.cache.prune();
        Ok(host)
    }

    /// Everything offered now, sorted by name. The tools of a paused plugin are absent.
    #[must_use]
    pub fn tools(&self) -> Vec<ToolSpec> {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        let offering = plugins.values().filter_map(Slot::loaded).filter(|plugin| plugin.breaker_state().is_closed());
        let mut tools: Vec<ToolSpec> =
            offering.flat_map(|plugin| plugin.tools.iter().map(|tool| tool.spec.clone())).collect();
        tools.sort_by(|left, right| left.name.cmp(&right.name));
        tools
    }

    /// A number that changes whenever [`tools`](Self::tools) does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tries the paused plugins whose pause is over: lists their tools in the sandbox, and offers them again where that
    /// works. Call it now and then from a supervised task; a call to a paused plugin by its owner is a trial as well.
    /// Returns the plugins that are back.
    pub async fn recover(&self) -> Vec<PluginName> {
        let due = |plugin: &&Arc<LoadedPlugin>| plugin.breaker_state().admits(Instant::now()) == Admission::Trial;
        let plugins: Vec<Arc<LoadedPlugin>> = {
            let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
            plugins.values().filter_map(Slot::loaded).filter(due).cloned().collect()
        };
        let mut back = Vec::new();
        for plugin in plugins {
            match plugin.guest.list_tools(&plugin.name, self.io()).await {
                Ok(_) => {
                    plugin.breaker_state().recovered();
                    back.push(plugin.name.clone());
                }
                Err(_) => {
                    plugin.breaker_state().stopped(Instant::now());
                }
            }
        }
        if !back.is_empty() {
            self.offer_changed();
        }
        back
    }

    /// Copies a package into the plugins folder after checking it; an installed plugin of that id is replaced, and its
    /// grant no longer fits a changed component. Grants nothing.
    ///
    /// # Errors
    /// [`InstallPluginError`]; the plugins folder is then as it was.
    pub async fn install(&self, package: &Path) -> Result<InstallReport, InstallPluginError> {
        let report = {
            let _alone = self.changing.lock().await;
            self.workshop.install(package).await?
        };
        if let Err(error) = self.reload(&report.manifest.plugin.id).await {
            tracing::info!(plugin = %report.manifest.plugin.id, "installed, not loaded: {}", in_full(error.as_ref()));
        }
        Ok(report)
    }

    /// Writes a grant and loads its plugin. For the owner alone: no tool and no model may reach this.
    ///
    /// # Errors
    /// [`WriteGrantError`] when the file cannot be written, or the plugin cannot be loaded with it.
    pub async fn grant(&self, grant: &Grant) -> Result<(), WriteGrantError> {
        let grants = &self.workshop.settings.grants;
        let path = Grant::path(grants, &grant.plugin);
        let text = grant.to_toml()?;
        let unfinished = path.with_extension("new");
        std::fs::create_dir_all(grants)
            .and_then(|()| std::fs::write(&unfinished, text))
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .map_err(|source| WriteGrantError::Io { path, source })?;
        self.reload(&grant.plugin).await.map_err(WriteGrantError::Load)
    }

    /// The manifest of an installed plugin, from which [`Grant::all_asked`] makes a grant.
    ///
    /// # Errors
    /// [`ReadManifestError`](crate::ReadManifestError) when it is not installed or unreadable.
    pub fn manifest(&self, plugin: &PluginName) -> Result<Manifest, crate::ReadManifestError> {
        Manifest::read(&self.workshop.settings.plugins.join(plugin.as_str()))
    }

    /// Loads a plugin anew from its folder and its grant. Calls under way end on the old one. When it cannot be loaded,
    /// it is refused from now on: what the owner took back must not go on running.
    ///
    /// # Errors
    /// [`LoadPluginError`], which `inspect` repeats.
    pub async fn reload(&self, plugin: &PluginName) -> Result<(), Arc<LoadPluginError>> {
        let _alone = self.changing.lock().await;
        let loaded = match self.workshop.load(plugin, self.commit_lock(plugin)).await {
            Ok(loaded) => self.check_tools_free(loaded),
            Err(error) => Err(error),
        };
        let (slot, result) = match loaded {
            Ok(loaded) => (Slot::Loaded(Arc::new(loaded)), Ok(())),
            Err(error) => {
                let error = Arc::new(error);
                (Slot::Refused(Arc::clone(&error)), Err(error))
            }
        };
        self.plugins.write().unwrap_or_else(PoisonError::into_inner).insert(plugin.clone(), slot);
        self.offer_changed();
        result
    }

    /// Removes a plugin's package. Its grant and what it stored stay, for the owner to remove.
    ///
    /// # Errors
    /// [`RemovePluginError`] when it is not there or cannot be removed.
    pub async fn remove(&self, plugin: &PluginName) -> Result<(), RemovePluginError> {
        let _alone = self.changing.lock().await;
        let path = self.workshop.settings.plugins.join(plugin.as_str());
        if !is_plugin_id(plugin.as_str()) || !path.is_dir() {
            return Err(RemovePluginError::Unknown(plugin.clone()));
        }
        remove_if_there(&path).map_err(|source| RemovePluginError::Io { path, source })?;
        self.plugins.write().unwrap_or_else(PoisonError::into_inner).remove(plugin);
        self.offer_changed();
        Ok(())
    }

    /// What is known of every installed plugin, sorted by id.
    pub async fn inspect(&self) -> Vec<PluginReport> {
        let names: Vec<PluginName> =
            self.plugins.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        let mut reports = Vec::with_capacity(names.len());
        for name in names {
            reports.push(self.report(name).await);
        }
        reports
    }

    async fn report(&self, plugin: PluginName) -> PluginReport {
        let settings = &self.workshop.settings;
        let package = settings.plugins.join(plugin.as_str());
        let manifest = Manifest::read(&package).ok();
        let component = match &manifest {
            Some(manifest) => self.workshop.component(&package, &manifest.plugin.wasm).await.ok(),
            None => None,
        };
        let (state, loaded) = self.state_of(&plugin);
        PluginReport {
            version: manifest.as_ref().map(|manifest| manifest.plugin.version.clone()),
            sha256: component.as_ref().map(|component| component.hash),
            component: component.as_ref().map(|component| component.bytes),
            imports: component.as_ref().map(|component| component.imports.names.clone()).unwrap_or_default(),
            needs: component.map(|component| component.imports.capabilities).unwrap_or_default(),
            asks: manifest.map(|manifest| manifest.capabilities).unwrap_or_default(),
            granted: Grant::read(&settings.grants, &plugin).ok().flatten().map(|grant| grant.capabilities),
            tools: loaded.iter().flat_map(|plugin| plugin.tools.iter().map(|tool| tool.spec.clone())).collect(),
            limits: loaded.map(|plugin| LimitsReport {
                memory: plugin.limits.memory,
                deadline: plugin.limits.deadline,
                concurrency: plugin.limits.concurrency,
            }),
            state,
            plugin,
        }
    }

    fn state_of(&self, plugin: &PluginName) -> (PluginState, Option<Arc<LoadedPlugin>>) {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        match plugins.get(plugin) {
            Some(Slot::Loaded(loaded)) => (breaker_report(&loaded.breaker_state()), Some(Arc::clone(loaded))),
            Some(Slot::Refused(error)) => (PluginState::of(error), None),
            None => (PluginState::Refused { reason: "it was removed".to_owned() }, None),
        }
    }

    fn installed(&self) -> Result<Vec<PluginName>, OpenHostError> {
        let path = &self.workshop.settings.plugins;
        let failed = |source| OpenHostError::Plugins { path: path.clone(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if is_plugin_id(&name)
                && let Ok(name) = PluginName::new(name)
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn commit_lock(&self, plugin: &PluginName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(plugin.clone()).or_default())
    }

    fn check_tools_free(&self, loaded: LoadedPlugin) -> Result<LoadedPlugin, LoadPluginError> {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        let others = plugins.values().filter_map(Slot::loaded).filter(|other| other.name != loaded.name);
        for other in others {
            let taken = |tool: &&ToolSpec| other.tools.iter().any(|theirs| theirs.spec.name == tool.name);
            if let Some(tool) = loaded.tools.iter().map(|tool| &tool.spec).find(taken) {
                return Err(LoadPluginError::ToolTaken { tool: tool.name.to_string(), by: other.name.clone() });
            }
        }
        Ok(loaded)
    }

    pub(crate) fn loaded(&self, plugin: &PluginName) -> Option<Arc<LoadedPlugin>> {
        let plugins = self.plugins.read().unwrap_or_else(PoisonError::into_inner);
        plugins.get(plugin).and_then(Slot::loaded).cloned()
    }

    pub(crate) fn io(&self) -> Arc<dyn PluginIo> {
        Arc::clone(&self.workshop.io)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.workshop.engine
    }

    pub(crate) fn running_calls(&self) -> &Semaphore {
        &self.calls
    }

    pub(crate) fn offer_changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Slot {
    fn loaded(&self) -> Option<&Arc<LoadedPlugin>> {
        match self {
            Self::Loaded(plugin) => Some(plugin),
            Self::Refused(_) => None,
        }
    }
}

impl LoadedPlugin {
    pub(crate) fn breaker_state(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn breaker_report(breaker: &Breaker) -> PluginState {
    match breaker.admits(Instant::now()) {
        Admission::Admitted => PluginState::Ready,
        Admission::Trial => PluginState::Paused { for_ms: 0 },
        Admission::Paused(left) => PluginState::Paused { for_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX) },
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("settings", &self.workshop.settings).finish_non_exhaustive()
    }
}
