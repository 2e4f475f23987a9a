//! `hob model swap`, as the driver sees it: turns under way end, new ones wait, the worker changes the model, and
//! whoever asked is told how it went.

use crate::driver::{Driver, DriverError};
use crate::models::Models;
use hob_agent::Input;
use hob_doors::Reply;
use hob_model::{Description, SwapFailure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// A swap that was asked for.
pub(crate) struct Swapping {
    next: Arc<Models>,
    replies: mpsc::Sender<Reply>,
    asked: Instant,
    /// Handed to the worker.
    begun: bool,
}

impl Swapping {
    /// Of the model that is to run.
    pub(crate) fn folder(&self) -> &Path {
        self.next.folder()
    }

    fn say(&self, message: String) {
        tracing::info!("{message}");
        // Whoever asked may have gone; it is done all the same.
        self.replies.try_send(Reply::Progress { message }).ok();
    }
}

impl Driver {
    /// Another model is wanted. New turns wait from now on, in the inbox, and their time does not run.
    pub(crate) fn swap(
        &mut self,
        folder: PathBuf,
        variant: Option<&str>,
        replies: mpsc::Sender<Reply>,
    ) -> Result<(), DriverError> {
        let refuse = |code: &str, message: String| {
            replies.try_send(Reply::error(code, message)).ok();
            Ok(())
        };
        if self.swapping.is_some() {
            return refuse("busy", hob_model::SwapNotBegun::UnderWay.to_string());
        }
        if !self.agent.is_ready() {
            return refuse("busy", hob_model::SwapNotBegun::Opening.to_string());
        }
        if !folder.is_absolute() || !folder.is_dir() {
            return refuse("invalid", format!("{} is no folder here: name it by its whole path", folder.display()));
        }
        let next = match self.models.with(folder, variant) {
            Ok(next) => Arc::new(next),
            Err(error) => return refuse("invalid", error.to_string()),
        };
        let swapping = Swapping { next, replies, asked: Instant::now(), begun: false };
        match self.agent.working() {
            0 => {}
            turns => swapping.say(format!("{turns} turns under way are brought to their end; new commands wait")),
        }
        self.swapping = Some(swapping);
        self.tell_agent(Input::Hold)?;
        self.begin_swap()
    }

    /// Hands the swap to the worker once no turn is under way. Those that wait for a person hold nothing.
    pub(crate) fn begin_swap(&mut self) -> Result<(), DriverError> {
        let Some(swapping) = self.swapping.as_mut().filter(|swapping| !swapping.begun) else { return Ok(()) };
        if self.agent.working() > 0 {
            return Ok(());
        }
        swapping.begun = true;
        swapping.say(format!("opening {}", swapping.next.folder().display()));
        match self.stages.model.swap(self.models.planner(&swapping.next)) {
            Ok(()) => Ok(()),
            Err(error) => self.swapped(Err(SwapFailure::Refused { reason: error.to_string() })),
        }
    }

    /// The worker is done with it. Turns may begin again, whatever became of it.
    pub(crate) fn swapped(&mut self, result: Result<Description, SwapFailure>) -> Result<(), DriverError> {
        let Some(Swapping { next, replies, asked, .. }) = self.swapping.take() else { return Ok(()) };
        let took_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        let reply = match result {
            Ok(about) => {
                tracing::info!(model = about.name, variant = about.variant, took_ms, "another model runs");
                let value = json!({ "name": about.name, "variant": about.variant, "took_ms": took_ms });
                self.models = next;
                self.about_model = serde_json::to_value(&about).unwrap_or_default();
                self.tell_agent(Input::ModelChanged(about.name))?;
                Reply::Data { value }
            }
            Err(failure) => {
                tracing::warn!(%failure, "the model was not changed");
                Reply::error("model", failure)
            }
        };
        replies.try_send(reply).ok();
        self.stages.model.warm(self.agent.stable_prompt());
        self.tell_agent(Input::Ready)
    }
}
