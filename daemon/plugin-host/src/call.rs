//! One tool call, from the check of its arguments to its outcome.

use crate::arguments;
use crate::breaker::Admission;
use crate::call_state::CallState;
use crate::contract::ToolError;
use crate::guest::Stop;
use crate::host::PluginHost;
use crate::io::{Caller, KvFailure, KvQuota, PublishOrder};
use crate::limits::EffectiveLimits;
use crate::load::{LoadedPlugin, LoadedTool};
use crate::overlay::Overlay;
use hob_events::{DeviceAction, Outcome, ToolCall};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The longest a commit may take. It is outside the plugin's own time: what it writes is done with.
const COMMIT_DEADLINE: Duration = Duration::from_secs(5);
/// Runs of a call whose reads were overtaken by another's writes: once more, then it is given up.
const RUNS: usize = 2;

/// How a call ended, before it becomes a receipt.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEnded {
    /// What became of it.
    pub outcome: Outcome,
    /// Milliseconds it took, waiting for its turn included.
    pub took_ms: u64,
    /// Device commands that left, or may have left.
    pub actions: Vec<DeviceAction>,
}

/// One run of a guest.
struct Run {
    answer: Result<Result<String, ToolError>, Stop>,
    kv: Overlay,
    outbox: Vec<PublishOrder>,
    actions: Vec<DeviceAction>,
}

/// Why a call's writes and messages did not go out.
enum CommitFailure {
    /// Another call changed what this one had read; nothing was written.
    Overtaken,
    /// Nothing was written.
    Refused(String),
    /// The writes were kept, and not all messages left.
    NotPublished(String),
    /// It took too long to tell.
    Unknown,
}

impl PluginHost {
    /// Runs a call that passed the gate. Never fails as such: whatever goes wrong is an outcome.
    ///
    /// The arguments are checked first, so a call that does not fit its schema runs nothing. The plugin's time is the
    /// least of the call's, the tool's and the plugin's own limit. Dropping the future drops the instance; device
    /// commands that have left by then stay left.
    pub async fn call(&self, call: &ToolCall) -> CallEnded {
        let started = Instant::now();
        let mut actions = Vec::new();
        let outcome = match self.find_tool(call) {
            Ok((plugin, tool)) => self.call_tool(&plugin, &plugin.tools[tool], call, &mut actions).await,
            Err(outcome) => outcome,
        };
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        CallEnded { outcome, took_ms, actions }
    }

    async fn call_tool(
        &self,
        plugin: &LoadedPlugin,
        tool: &LoadedTool,
        call: &ToolCall,
        actions: &mut Vec<DeviceAction>,
    ) -> Outcome {
        if let Some(problems) = arguments::problems(&tool.arguments, &call.args) {
            return failed(format!("the arguments do not fit: {problems}"));
        }
        let mut limits = plugin.limits;
        limits.deadline.0 = limits.deadline.0.min(call.deadline_ms.into()).min(tool.spec.deadline_ms.into());
        let turn = Instant::now() + limits.deadline.duration();
        let Ok(Ok(_turn)) = timeout_at(turn, plugin.calls.acquire()).await else { return busy(plugin) };
        let Ok(Ok(_room)) = timeout_at(turn, self.running_calls().acquire()).await else { return busy(plugin) };
        for _ in 0..RUNS {
            let run = self.run(plugin, tool, call, limits).await;
            actions.extend(run.actions);
            let text = match run.answer {
                Err(stop) => return self.stopped(plugin, &stop),
                Ok(Err(error)) => return self.answered(plugin, refused(error)),
                Ok(Ok(text)) => text,
            };
            let Ok(value) = serde_json::from_str::<Value>(&text) else {
                return self.stopped(plugin, &Stop::NotJson);
            };
            let outcome = match self.commit(plugin, run.kv, run.outbox).await {
                Ok(()) => Outcome::Returned { value },
                Err(CommitFailure::Overtaken) if actions.is_empty() => continue,
                Err(CommitFailure::Overtaken) => failed("another call changed the same data meanwhile".to_owned()),
                Err(CommitFailure::Refused(reason)) => failed(format!("nothing was kept: {reason}")),
                Err(CommitFailure::NotPublished(reason)) => failed(format!("it was done, but not told on: {reason}")),
                Err(CommitFailure::Unknown) => Outcome::Unknown,
            };
            return self.answered(plugin, outcome);
        }
        failed("other calls kept changing the same data: try again".to_owned())
    }

    /// Runs a fresh instance to its answer or its end.
    async fn run(&self, plugin: &LoadedPlugin, tool: &LoadedTool, call: &ToolCall, limits: EffectiveLimits) -> Run {
        let rights = if tool.spec.effects.read_only { &plugin.rights_to_read } else { &plugin.rights };
        let caller = Caller {
            call: call.id,
            plugin: plugin.name.clone(),
            permit: call.permit.clone(),
            idempotent: call.idempotent && tool.spec.effects.idempotent,
        };
        let state = CallState::new(caller, Arc::clone(rights), self.io(), limits);
        let mut store = state.into_store(self.engine());
        let arguments = Value::Object(call.args.clone()).to_string();
        let answer = plugin.guest.call_tool(&mut store, call, &arguments, limits).await;
        let state = store.into_data();
        if state.log.dropped() > 0 {
            tracing::warn!(target: "plugin", plugin = %plugin.name, call = %call.id, "{} log lines dropped", state.log.dropped());
        }
        Run { answer, kv: state.kv, outbox: state.outbox, actions: state.actions }
    }

    /// Makes the writes durable, then lets the messages go.
    async fn commit(&self, plugin: &LoadedPlugin, kv: Overlay, outbox: Vec<PublishOrder>) -> Result<(), CommitFailure> {
        if !kv.is_clean() {
            let writing = self.commit_kv(plugin, kv);
            timeout(COMMIT_DEADLINE, writing).await.unwrap_or(Err(CommitFailure::Unknown))?;
        }
        let io = self.io();
        for order in outbox {
            let sent = timeout(COMMIT_DEADLINE, io.publish(order)).await.map_err(|_| CommitFailure::Unknown)?;
            sent.map_err(|refusal| CommitFailure::NotPublished(refusal.to_string()))?;
        }
        Ok(())
    }

    async fn commit_kv(&self, plugin: &LoadedPlugin, kv: Overlay) -> Result<(), CommitFailure> {
        let Some(bounds) = plugin.rights.kv else { return Ok(()) };
        let (io, _alone) = (self.io(), plugin.commit.lock().await);
        let refused = |failure: KvFailure| CommitFailure::Refused(failure.to_string());
        if !kv.still_true(io.as_ref(), &plugin.name).await.map_err(refused)? {
            return Err(CommitFailure::Overtaken);
        }
        let quota = KvQuota { max_bytes: bounds.max_bytes.0, max_keys: bounds.max_keys.into() };
        io.kv_commit(&plugin.name, kv.into_writes(), quota).await.map_err(refused)
    }

    /// The plugin and the place of the tool in it, if it may be called now.
    fn find_tool(&self, call: &ToolCall) -> Result<(Arc<LoadedPlugin>, usize), Outcome> {
        let plugin = self
            .loaded(&call.plugin)
            .ok_or_else(|| failed(format!("the plugin '{}' is not loaded: see `hob plugin list`", call.plugin)))?;
        let tool = plugin.tools.iter().position(|tool| tool.spec.name == call.tool);
        let tool = tool.ok_or_else(|| failed(format!("the plugin '{}' has no tool '{}'", call.plugin, call.tool)))?;
        let admission = plugin.breaker_state().admits(Instant::now());
        match admission {
            Admission::Admitted | Admission::Trial => Ok((plugin, tool)),
            Admission::Paused(left) => Err(failed(format!(
                "the plugin '{}' is paused for {} s after being stopped again and again",
                call.plugin,
                left.as_secs() + 1
            ))),
        }
    }

    fn stopped(&self, plugin: &LoadedPlugin, stop: &Stop) -> Outcome {
        tracing::warn!(target: "plugin", plugin = %plugin.name, "stopped: {stop}");
        if plugin.breaker_state().stopped(Instant::now()) {
            tracing::warn!(target: "plugin", plugin = %plugin.name, "paused: its tools are not offered for a while");
            self.offer_changed();
        }
        Outcome::Stopped { reason: format!("the plugin '{}' was stopped: {stop}", plugin.name) }
    }

    fn answered(&self, plugin: &LoadedPlugin, outcome: Outcome) -> Outcome {
        if plugin.breaker_state().answered() {
            self.offer_changed();
        }
        outcome
    }
}

fn failed(message: String) -> Outcome {
    Outcome::Failed { message }
}

fn busy(plugin: &LoadedPlugin) -> Outcome {
    failed(format!("the plugin '{}' is busy with other calls: try again", plugin.name))
}

/// What the tool itself answered.
fn refused(error: ToolError) -> Outcome {
    match error {
        ToolError::UnknownTool => failed("the plugin lists this tool but does not know it".to_owned()),
        ToolError::InvalidArguments(message) => failed(format!("the arguments do not fit: {message}")),
        ToolError::Denied(reason) => Outcome::Denied { reason },
        ToolError::Failed(message) => failed(message),
    }
}
