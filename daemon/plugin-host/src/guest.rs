//! One component, linked: each call gets a fresh instance of it, which is dropped afterwards whatever it did.

use crate::amounts::{Bytes, Millis};
use crate::call_state::CallState;
use crate::capabilities::{link, link_basics};
use crate::capability::{Capability, Rights};
use crate::contract::{CallContext, PACKAGE, ToolError, ToolPlugin, ToolPluginPre, ToolSpec, VERSION};
use crate::io::{Caller, PluginIo};
use crate::limits::{EffectiveLimits, HOSTCALL_DATA, LISTING, RESULT};
use hob_events::{CallId, Permit, PluginName, Risk, ToolCall, Trust, TurnId};
use std::sync::Arc;
use tokio::time::timeout_at;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store, Trap};

/// A component with what it may import.
pub(crate) struct Guest {
    pre: ToolPluginPre<CallState>,
}

/// Why a guest did not answer. Its instance is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It computed, or waited, past its time.
    #[error("it did not finish within {0}")]
    Deadline(Millis),
    /// It wanted more memory than it has, and could not go on without.
    #[error("it needed more than its {0} of memory")]
    Memory(Bytes),
    /// It called itself too deep.
    #[error("it ran out of stack")]
    Stack,
    /// It passed more data over the border than a call may.
    #[error("it passed more than {HOSTCALL_DATA} of data at once")]
    Data,
    /// Its answer is larger than anyone can read.
    #[error("it returned {0}, and {RESULT} are allowed")]
    Oversize(Bytes),
    /// Its answer is no JSON.
    #[error("it returned a text that is no JSON")]
    NotJson,
    /// It crashed.
    #[error("it crashed: {0}")]
    Trap(String),
}

/// What a component imports, sorted into what hob knows and what it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Imports {
    /// Every import by its full name.
    pub(crate) names: Vec<String>,
    /// The capabilities among them.
    pub(crate) capabilities: Vec<Capability>,
    /// Imports that this host has nothing for.
    pub(crate) unknown: Vec<String>,
    /// Whether it exports the tools of this contract.
    pub(crate) exports_tools: bool,
}

impl Imports {
    pub(crate) fn of(engine: &Engine, component: &Component) -> Self {
        let mut imports = Self::default();
        let ty = component.component_type();
        for (name, _) in ty.imports(engine) {
            let capability = Capability::ALL.into_iter().find(|capability| interface(capability.word()) == name);
            match capability {
                Some(capability) => imports.capabilities.push(capability),
                None if name.starts_with("wasi:") || name == interface("types") => {}
                None => imports.unknown.push(name.to_owned()),
            }
            imports.names.push(name.to_owned());
        }
        imports.exports_tools = ty.exports(engine).any(|(name, _)| name == interface("tools"));
        imports
    }
}

fn interface(name: &str) -> String {
    format!("{PACKAGE}{name}@{VERSION}")
}

impl Guest {
    /// Links a component with these capabilities and no others.
    pub(crate) fn link(engine: &Engine, component: &Component, capabilities: &[Capability]) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(engine);
        link_basics(&mut linker)?;
        for capability in capabilities {
            link(&mut linker, *capability)?;
        }
        Ok(Self { pre: ToolPluginPre::new(linker.instantiate_pre(component)?)? })
    }

    /// What it lists, in the sandbox: everything linked, nothing allowed.
    pub(crate) async fn list_tools(&self, plugin: &PluginName, io: Arc<dyn PluginIo>) -> Result<Vec<ToolSpec>, Stop> {
        let state = CallState::new(nobody(plugin), Arc::new(Rights::default()), io, LISTING);
        let ends = state.ends;
        let mut store = state.into_store(self.pre.engine());
        let listing = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            instance.hob_plugin_tools().call_list_tools(&mut store).await
        };
        let listed = timeout_at(ends, listing).await;
        ended(listed, &store, LISTING)
    }

    /// Runs one call in this store, which no other call may use.
    pub(crate) async fn call_tool(
        &self,
        store: &mut Store<CallState>,
        call: &ToolCall,
        arguments: &String,
        limits: EffectiveLimits,
    ) -> Result<Result<String, ToolError>, Stop> {
        let ends = store.data().ends;
        let context = CallContext {
            call_id: call.id.to_string(),
            deadline_ms: u32::try_from(limits.deadline.0).unwrap_or(u32::MAX),
        };
        let calling = async {
            let instance: ToolPlugin = self.pre.instantiate_async(&mut *store).await?;
            let tools = instance.hob_plugin_tools();
            tools.call_call_tool(&mut *store, &context, call.tool.as_str(), arguments).await
        };
        let answered = timeout_at(ends, calling).await;
        match ended(answered, store, limits)? {
            Ok(text) if text.len() > RESULT.in_memory() => Err(Stop::Oversize(Bytes(text.len() as u64))),
            answer => Ok(answer),
        }
    }
}

/// Who asks for the list of tools: no turn's call, allowed nothing.
fn nobody(plugin: &PluginName) -> Caller {
    Caller {
        call: CallId { turn: TurnId(0), index: 0 },
        plugin: plugin.clone(),
        permit: Permit { risk: Risk::None, trust: Trust::Untrusted, devices: Some(Vec::new()) },
        idempotent: true,
    }
}

fn ended<T>(
    result: Result<wasmtime::Result<T>, tokio::time::error::Elapsed>,
    store: &Store<CallState>,
    limits: EffectiveLimits,
) -> Result<T, Stop> {
    match result {
        Err(_) => Err(Stop::Deadline(limits.deadline)),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(crash(&error, store, limits)),
    }
}

/// What a trap was about. The backtrace stays out: writing it down costs tens of megabytes for good.
fn crash(error: &wasmtime::Error, store: &Store<CallState>, limits: EffectiveLimits) -> Stop {
    if store.data().memory.refused {
        return Stop::Memory(limits.memory);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Stop::Stack,
        Some(trap) => Stop::Trap(trap.to_string()),
        None if error.root_cause().to_string().contains("fuel allocated for hostcalls") => Stop::Data,
        None => Stop::Trap(error.root_cause().to_string()),
    }
}
