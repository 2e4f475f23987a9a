//! One thread that owns the model, the queue in front of it, and a clerk who watches the time.
//!
//! The clerk is a second thread: deadlines pass while the model is deep in a run, and someone has to end that run from
//! outside. It also tells the ends that the model has no part in, so that nobody who submits or cancels is ever called
//! back from within their own call; and while the model runs, it answers those who wait from the memo, where it can.

mod clerk;
mod seat;
mod swap;

pub use swap::{Opener, Plan, Planner, Standing, SwapFailure, SwapNotBegun};

use crate::describe::Description;
use crate::encoder::Senses;
use crate::interrupt::Interrupt;
use crate::language_model::Recall;
use crate::queue::{Queue, Waiting};
use hob_events::{GenerateFailure, GenerateOrder, Generated, Priority, Prompt, TurnId};
use seat::Seat;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the worker tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A long prompt is being read.
    Reading {
        /// The turn.
        turn: TurnId,
        /// Tokens read so far.
        tokens: usize,
        /// Tokens of the prompt.
        of: usize,
    },
    /// New words of a generation under way.
    Text {
        /// The turn.
        turn: TurnId,
        /// What came on top of what was told before.
        delta: String,
    },
    /// A generation is over. Every order that was taken gets exactly one of these.
    Ended {
        /// The turn.
        turn: TurnId,
        /// What came of it.
        result: Result<Generated, GenerateFailure>,
    },
    /// A [`WorkerHandle::swap`] is over. Every one that was begun gets exactly one of these.
    Swapped {
        /// What the model is now, or why it is what it was.
        result: Box<Result<Description, SwapFailure>>,
    },
    /// The model broke [`PANICS_IN_A_ROW`] times in a row, or cannot be opened again, and the worker has given up: no
    /// order is taken any more.
    Dead {
        /// What the last break said.
        reason: String,
    },
}

/// Breaks of the model after which the worker gives up. One can be an unlucky prompt; the caches hold no half-written
/// rows afterwards, so the next order may well succeed.
pub const PANICS_IN_A_ROW: u32 = 3;

/// The worker's threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the model's thread cannot be started")]
pub struct StartWorkerError(#[from] std::io::Error);

/// What the owner settles about the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSettings {
    /// How many orders may wait.
    pub queue: usize,
    /// An idle model is dropped after so long, and opened again by the next order; `None` keeps it.
    pub unload_after: Option<Duration>,
}

/// The worker. Dropping it ends what runs and waits for its threads, but not for a model that is still being opened.
#[derive(Debug)]
pub struct ModelWorker {
    handle: WorkerHandle,
    threads: Vec<JoinHandle<()>>,
}

/// Speaks to the worker. Cheap to clone; no call waits for the model.
#[derive(Clone)]
pub struct WorkerHandle {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    tell: Box<dyn Fn(Report) + Send + Sync>,
}

struct State {
    queue: Queue,
    running: Option<Running>,
    /// The beginning to run when nobody waits. A later one replaces an earlier one.
    warm: Option<Prompt>,
    /// Parked generations that the model may drop.
    forgotten: Vec<TurnId>,
    /// What the clerk has yet to tell: ends, and words before them.
    untold: Vec<Report>,
    /// Answers from the memo of the present model, where it has one; also while that is unloaded.
    recall: Option<Arc<Recall>>,
    /// The ears and eyes of the present model, while it is open.
    senses: Option<Senses>,
    /// Looks for the model to come; taken up when nothing is under way.
    swap: Option<Planner>,
    /// A swap was asked for and has not ended.
    swapping: bool,
    standing: Standing,
    closing: bool,
}

struct Running {
    /// None while it warms up.
    order: Option<(TurnId, Priority)>,
    interrupt: Interrupt,
    deadline: Option<Instant>,
}

impl ModelWorker {
    /// Starts the worker. The model is opened on its own thread, by `open`, while orders are taken already; when there is
    /// none to be had every order fails. `tell` is called from the worker's threads and should hand over quickly: the
    /// model waits for it.
    ///
    /// # Errors
    /// [`StartWorkerError`] when the system gives no threads.
    pub fn start(
        open: Opener,
        settings: WorkerSettings,
        tell: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<Self, StartWorkerError> {
        let state = State {
            queue: Queue::new(settings.queue),
            running: None,
            warm: None,
            forgotten: Vec::new(),
            untold: Vec::new(),
            recall: None,
            senses: None,
            swap: None,
            swapping: false,
            standing: Standing::Opening,
            closing: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), tell: Box::new(tell) });
        let mut worker = Self { handle: WorkerHandle { shared: Arc::clone(&shared) }, threads: Vec::new() };
        let clerk = Arc::clone(&shared);
        worker.spawn("hob-model-clerk", move || clerk.watch())?;
        worker.spawn("hob-model", move || shared.run(Seat::new(open, settings.unload_after)))?;
        Ok(worker)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartWorkerError> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// A handle to it.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }
}

impl Drop for ModelWorker {
    fn drop(&mut self) {
        self.handle.shared.close(&GenerateFailure::Cancelled);
        if self.handle.shared.lock().standing == Standing::Opening {
            // Nobody can end that, and nobody waits for it: it ends with the process.
            return;
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the model worker broke");
            }
        }
    }
}

impl WorkerHandle {
    /// Hands an order over. It is ended once, by [`Report::Ended`].
    ///
    /// # Errors
    /// [`GenerateFailure::Busy`] when the queue is full, [`GenerateFailure::Model`] when the worker is gone; nothing is
    /// reported then.
    pub fn submit(&self, order: GenerateOrder) -> Result<(), GenerateFailure> {
        let mut state = self.shared.lock();
        if state.closing {
            return Err(GenerateFailure::Model { message: "the model worker is not running".to_owned() });
        }
        let priority = order.priority;
        state.queue.submit(order, Instant::now())?;
        // Before a swap only what has begun is served.
        if !state.swapping
            && let Some(running) = &state.running
            && running.order.is_none_or(|(_, running)| priority < running)
        {
            running.interrupt.park(true);
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Takes an order back, whether it waits or runs. Its end is reported, if it had not ended already.
    pub fn cancel(&self, turn: TurnId) {
        let mut state = self.shared.lock();
        if let Some(waiting) = state.queue.remove(turn) {
            state.end(&waiting, GenerateFailure::Cancelled);
        } else if let Some(running) = &state.running
            && running.order.is_some_and(|(running, _)| running == turn)
        {
            running.interrupt.cancel();
        }
        self.shared.changed.notify_all();
    }

    /// Has the beginning run that prompts like this one share, once nobody waits for anything.
    pub fn warm(&self, prompt: Prompt) {
        self.shared.lock().warm = Some(prompt);
        self.shared.changed.notify_all();
    }

    /// Changes the model: what has begun is brought to its end first, what waits is served by the new one. The end is
    /// reported by [`Report::Swapped`]; whatever becomes of it, no order is lost.
    ///
    /// # Errors
    /// [`SwapNotBegun`]; nothing is reported then.
    pub fn swap(&self, plan: Planner) -> Result<(), SwapNotBegun> {
        let mut state = self.shared.lock();
        if state.closing {
            return Err(SwapNotBegun::Gone);
        }
        if state.swapping {
            return Err(SwapNotBegun::UnderWay);
        }
        // An unloaded model that is being opened again will be done with it; there is no first one to wait for.
        if state.standing == Standing::Opening && state.running.is_none() {
            return Err(SwapNotBegun::Opening);
        }
        state.swapping = true;
        state.swap = Some(plan);
        // The beginning of the old model's prompts is worth nothing any more.
        state.warm = None;
        if let Some(Running { order: None, interrupt, .. }) = &state.running {
            interrupt.park(true);
        }
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The ears and eyes of the model while it is open, for what is taken in before it is asked about.
    #[must_use]
    pub fn senses(&self) -> Option<Senses> {
        self.shared.lock().senses.clone()
    }

    /// What the worker holds now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.shared.lock().standing
    }

    /// How many orders wait for their first turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.lock().queue.len()
    }
}

impl std::fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerHandle").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl State {
    /// Notes the end of an order that is not running.
    fn end(&mut self, waiting: &Waiting, failure: GenerateFailure) {
        let turn = waiting.order.turn;
        if waiting.parked {
            self.forgotten.push(turn);
        }
        self.untold.push(Report::Ended { turn, result: Err(failure) });
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends everything.
    fn close(&self, failure: &GenerateFailure) {
        let mut state = self.lock();
        state.closing = true;
        for waiting in state.queue.drain() {
            state.end(&waiting, failure.clone());
        }
        if let Some(running) = &state.running {
            running.interrupt.cancel();
        }
        self.changed.notify_all();
    }
}

/// Runs something of the model's; a break in it becomes its message.
fn guarded<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a word").to_owned()
}

#[cfg(test)]
pub(crate) mod tests;
