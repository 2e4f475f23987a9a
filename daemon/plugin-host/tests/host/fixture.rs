//! Hosts in folders of their own, packages, and small components made of WebAssembly text.

use crate::memory_io::{Manner, MemoryIo};
use hob_events::{CallId, Outcome, Permit, PluginName, Risk, ToolCall, ToolName, Trust, TurnId};
use hob_plugin_host::{CallEnded, ComponentHash, Grant, HostSettings, PluginHost};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// A host, its folders, and the house it acts on.
pub(crate) struct House {
    pub(crate) host: PluginHost,
    pub(crate) io: Arc<MemoryIo>,
    pub(crate) folder: TempDir,
}

impl House {
    pub(crate) async fn new(manner: Manner) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let io = Arc::new(MemoryIo::new(manner));
        let host = open(folder.path(), &io).await;
        Self { host, io, folder }
    }

    /// The same folders opened anew, as after a restart.
    pub(crate) async fn reopened(self) -> Self {
        let Self { host, io, folder } = self;
        drop(host);
        let host = open(folder.path(), &io).await;
        Self { host, io, folder }
    }

    pub(crate) fn grants(&self) -> PathBuf {
        self.folder.path().join("grants")
    }

    pub(crate) fn installed(&self, plugin: &str) -> PathBuf {
        self.folder.path().join("plugins").join(plugin)
    }

    /// Installs a package and gives it all it asks for.
    pub(crate) async fn add(&self, package: &Path) {
        let report = self.host.install(package).await.unwrap();
        self.host.grant(&Grant::all_asked(&report.manifest)).await.unwrap();
    }

    /// Adds a plugin of one tool made of text.
    pub(crate) async fn add_wat(&self, id: &str, capabilities: &str, guest: &WatGuest<'_>) {
        self.add(&package(self.folder.path(), id, capabilities, guest)).await;
    }

    /// Calls a tool with all the trust there is.
    pub(crate) async fn call(&self, plugin: &str, tool: &str, arguments: Value) -> CallEnded {
        self.call_with(plugin, tool, arguments, Risk::High, 10_000).await
    }

    pub(crate) async fn call_with(
        &self,
        plugin: &str,
        tool: &str,
        arguments: Value,
        risk: Risk,
        deadline_ms: u32,
    ) -> CallEnded {
        let call = ToolCall {
            id: CallId { turn: TurnId(7), index: 0 },
            tool: ToolName::new(tool).unwrap(),
            plugin: name(plugin),
            args: arguments.as_object().unwrap().clone(),
            permit: Permit { risk, trust: Trust::Owner, devices: None },
            idempotent: true,
            deadline_ms,
        };
        self.host.call(&call).await
    }
}

async fn open(folder: &Path, io: &Arc<MemoryIo>) -> PluginHost {
    let settings = HostSettings {
        cache: folder.join("cache"),
        plugins: folder.join("plugins"),
        ..HostSettings::in_folders(folder, folder.join("grants"))
    };
    PluginHost::open(settings, Arc::<MemoryIo>::clone(io)).await.unwrap()
}

pub(crate) fn name(plugin: &str) -> PluginName {
    PluginName::new(plugin).unwrap()
}

/// What became of a call, in one line.
pub(crate) fn told(ended: &CallEnded) -> String {
    match &ended.outcome {
        Outcome::Returned { value } => format!("returned {value}"),
        Outcome::Failed { message } => format!("failed: {message}"),
        Outcome::Denied { reason } => format!("denied: {reason}"),
        Outcome::Stopped { reason } => format!("stopped: {reason}"),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

/// An error with its causes, on one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A shipped plugin as `make plugins` leaves it.
pub(crate) fn shipped(plugin: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins").join(plugin);
    assert!(package.is_dir(), "{} is not there: run `make plugins` first", package.display());
    package
}

/// A plugin with one tool, `act`, in WebAssembly text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatGuest<'a> {
    /// Imports and functions of the module.
    pub(crate) module: &'a str,
    /// The body of `call-tool`: leaves a pointer to a result. `$ok` makes one of a text.
    pub(crate) call: &'a str,
    /// The body of `list-tools`: leaves a pointer to a list.
    pub(crate) list: &'a str,
    /// What the tool says of itself: read-only, idempotent.
    pub(crate) effects: [u8; 2],
}

impl WatGuest<'static> {
    /// Answers `{"ok":true}`.
    pub(crate) const GOOD: Self = Self {
        module: "",
        call: "(call $ok (i32.const 2048) (i32.const 11))",
        list: "(i32.const 256)",
        effects: [0, 1],
    };
}

/// Writes a package.
pub(crate) fn package(folder: &Path, id: &str, capabilities: &str, guest: &WatGuest<'_>) -> PathBuf {
    let package = folder.join("packages").join(id);
    std::fs::create_dir_all(&package).unwrap();
    let component = component(guest, id);
    let manifest = format!(
        "[plugin]\nid = \"{id}\"\nversion = \"1.0.0\"\napi = \"hob:plugin@0.1\"\nwasm = \"it.wasm\"\nsha256 = \"{}\"\n\n[capabilities]\n{capabilities}\n[limits]\nmemory = \"8MiB\"\ndeadline = \"300ms\"\n",
        ComponentHash::of(&component)
    );
    std::fs::write(package.join("it.wasm"), component).unwrap();
    std::fs::write(package.join("plugin.toml"), manifest).unwrap();
    package
}

/// A component as any compiler makes one: a core module after the canonical ABI, and the contract it was made for.
fn component(guest: &WatGuest<'_>, id: &str) -> Vec<u8> {
    let mut core = wat::parse_str(module_text(guest, id)).unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/wit");
    let (packages, _) = resolve.push_path(contract).unwrap();
    let world = resolve.select_world(&[packages], Some("tool-plugin")).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
}

/// Memory: 256 the list, 512 its one `tool-spec`, 1024 the tool's texts, 2048 the good answer, 4096 a place for results,
/// from 65536 on whatever `cabi_realloc` gives out. The tool is named after the plugin, so that several can be loaded.
fn module_text(guest: &WatGuest<'_>, id: &str) -> String {
    let WatGuest { module, call, list, effects } = guest;
    let tool = format!("act_{}", id.replace('-', "_"));
    let (description, schema) = ("Acts.", r#"{"type":"object"}"#);
    let texts = [tool.as_str(), description, schema].concat();
    let mut spec = Vec::new();
    let mut at = 1024;
    for text in [tool.as_str(), description, schema] {
        spec.extend(u32::try_from(at).unwrap().to_le_bytes());
        spec.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        at += text.len();
    }
    spec.extend(effects);
    spec.extend([1, 0]); // low risk, padding
    spec.extend([0; 16]); // no replies
    spec.extend(5_000_u32.to_le_bytes());
    let list_of_one: Vec<u8> = [512_u32, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    format!(
        r#"(module
            {module}
            (memory (export "memory") 2)
            (global $next (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (loop $grow
                    (if (i32.gt_u (global.get $next) (i32.shl (memory.size) (i32.const 16)))
                        (then
                            (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
                            (br $grow))))
                (local.get $at))
            (func $ok (param $text i32) (param $bytes i32) (result i32)
                (i32.store (i32.const 4096) (i32.const 0))
                (i32.store (i32.const 4100) (local.get $text))
                (i32.store (i32.const 4104) (local.get $bytes))
                (i32.const 4096))
            (func (export "hob:plugin/tools@0.1.0#list-tools") (result i32) {list})
            (func (export "hob:plugin/tools@0.1.0#call-tool")
                (param $id i32) (param $id-bytes i32) (param $deadline i32) (param $name i32) (param $name-bytes i32)
                (param $arguments i32) (param $arguments-bytes i32) (result i32)
                {call})
            (data (i32.const 256) "{}")
            (data (i32.const 512) "{}")
            (data (i32.const 1024) "{}")
            (data (i32.const 2048) "{}"))"#,
        escaped(&list_of_one),
        escaped(&spec),
        escaped(texts.as_bytes()),
        escaped(br#"{"ok":true}"#),
    )
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
