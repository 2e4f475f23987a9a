//! One thread that owns the model, the queue in front of it, and a clerk who watches the time.
//!
//! The clerk is a second thread: deadlines pass while the model is deep in a run, and someone has to end that run from
//! outside. It also tells the ends that the model has no part in, so that nobody who submits or cancels is ever called
//! back from within their own call; and while the model runs, it answers those who wait from the memo, where it can.

use crate::front::Recalled;
use crate::interrupt::Interrupt;
use crate::language_model::{LanguageModel, Progress, Recall, Warmed};
use crate::queue::{Queue, Waiting};
use hob_events::{GenerateFailure, GenerateOrder, Generated, Priority, Prompt, TurnId};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// What the worker tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
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
    /// The model broke [`PANICS_IN_A_ROW`] times in a row, and the worker has given up: no order is taken any more.
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
    /// Answers from the memo; once the model is open, and where it has one.
    recall: OnceLock<Recall>,
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
    /// The model is not open yet.
    opening: bool,
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
    /// none to be had every order fails. `queue` is how many orders may wait. `tell` is called from the worker's threads
    /// and should hand over quickly: the model waits for it.
    ///
    /// # Errors
    /// [`StartWorkerError`] when the system gives no threads.
    pub fn start(
        open: impl FnOnce() -> Option<Box<dyn LanguageModel>> + Send + 'static,
        queue: usize,
        tell: impl Fn(Report) + Send + Sync + 'static,
    ) -> Result<Self, StartWorkerError> {
        let state = State {
            queue: Queue::new(queue),
            running: None,
            warm: None,
            forgotten: Vec::new(),
            untold: Vec::new(),
            opening: true,
            closing: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            recall: OnceLock::new(),
            tell: Box::new(tell),
        });
        let mut worker = Self { handle: WorkerHandle { shared: Arc::clone(&shared) }, threads: Vec::new() };
        let clerk = Arc::clone(&shared);
        worker.spawn("hob-model-clerk", move || clerk.watch())?;
        worker.spawn("hob-model", move || {
            if let Some(model) = shared.open(open) {
                shared.work(model);
            }
        })?;
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
        if self.handle.shared.lock().opening {
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
        if let Some(running) = &state.running
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

    /// Notes the end of an order that the memo answers, unless someone else has ended or begun it meanwhile.
    fn answer(&mut self, turn: TurnId, recalled: Recalled, now: Instant) {
        let Some(waiting) = self.queue.remove_unbegun(turn, now) else { return };
        let Recalled { mut generated, words } = recalled;
        generated.timings.queue_ms = waiting.waited.as_secs_f64() * 1e3;
        if !words.is_empty() {
            self.untold.push(Report::Text { turn, delta: words });
        }
        self.untold.push(Report::Ended { turn, result: Ok(generated) });
    }

    /// Ends what has run out of time. Returns the next moment to look.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        for waiting in self.queue.expired(now) {
            self.end(&waiting, GenerateFailure::Deadline { limit_ms: waiting.order.deadline_ms });
        }
        if let Some(running) = &mut self.running
            && running.deadline.is_some_and(|deadline| deadline <= now)
        {
            running.deadline = None;
            running.interrupt.expire();
        }
        let running = self.running.as_ref().and_then(|running| running.deadline);
        self.queue.next_deadline().into_iter().chain(running).min()
    }
}

/// What the model's thread does next.
enum Job {
    Generate(Box<Waiting>),
    Warm(Box<Prompt>, Interrupt),
    Forget(Vec<TurnId>),
    Stop,
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

    /// The clerk: ends what has run out of time, answers from the memo, and tells the ends that the model has no part in.
    fn watch(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let next = state.expire(now);
            let untold = std::mem::take(&mut state.untold);
            if !untold.is_empty() {
                drop(state);
                untold.into_iter().for_each(&self.tell);
                state = self.lock();
                continue;
            }
            if state.closing && state.running.is_none() {
                return;
            }
            // An idle model looks there itself, and need not be waited for.
            if let Some(recall) = self.recall.get()
                && state.running.is_some()
                && let Some(order) = state.queue.next_unasked()
            {
                drop(state);
                let recalled = guarded(|| recall(&order)).unwrap_or_default();
                state = self.lock();
                if let Some(recalled) = recalled {
                    state.answer(order.turn, recalled, Instant::now());
                }
                continue;
            }
            state = match next {
                Some(next) => {
                    let wait = self.changed.wait_timeout(state, next.saturating_duration_since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Opens the model. Without one, whoever waits is told, and nothing is taken any more.
    fn open(&self, open: impl FnOnce() -> Option<Box<dyn LanguageModel>>) -> Option<Box<dyn LanguageModel>> {
        let opened = guarded(open);
        self.lock().opening = false;
        let model = match opened {
            Ok(Some(model)) => model,
            Ok(None) => {
                self.close(&GenerateFailure::Model { message: "the model could not be opened".to_owned() });
                return None;
            }
            Err(reason) => {
                self.close(&GenerateFailure::Model { message: format!("the model broke as it was opened: {reason}") });
                (self.tell)(Report::Dead { reason });
                return None;
            }
        };
        if let Some(recall) = model.recall() {
            self.recall.get_or_init(|| recall);
        }
        Some(model)
    }

    /// The model's thread.
    fn work(&self, mut model: Box<dyn LanguageModel>) {
        let mut panics = 0;
        loop {
            let broken = match self.next_job() {
                Job::Generate(waiting) => self.generate(&mut *model, *waiting),
                Job::Warm(prompt, interrupt) => self.warm(&mut *model, &prompt, &interrupt),
                Job::Forget(turns) => guarded(|| turns.into_iter().for_each(|turn| model.forget(turn))).err(),
                Job::Stop => return,
            };
            match broken {
                None => panics = 0,
                Some(reason) => {
                    panics += 1;
                    tracing::error!(%reason, panics, "the model broke");
                    if panics == PANICS_IN_A_ROW {
                        self.close(&GenerateFailure::Model { message: format!("the model broke: {reason}") });
                        (self.tell)(Report::Dead { reason });
                    }
                }
            }
        }
    }

    fn next_job(&self) -> Job {
        let mut state = self.lock();
        loop {
            if state.closing {
                return Job::Stop;
            }
            if !state.forgotten.is_empty() {
                return Job::Forget(std::mem::take(&mut state.forgotten));
            }
            if let Some(waiting) = state.queue.next(Instant::now()) {
                state.running = Some(Running {
                    order: Some((waiting.order.turn, waiting.order.priority)),
                    interrupt: waiting.interrupt.clone(),
                    deadline: Some(waiting.deadline),
                });
                self.changed.notify_all();
                return Job::Generate(Box::new(waiting));
            }
            if let Some(prompt) = state.warm.take() {
                let interrupt = Interrupt::default();
                state.running = Some(Running { order: None, interrupt: interrupt.clone(), deadline: None });
                return Job::Warm(Box::new(prompt), interrupt);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Works on an order. Gives back what the model said when it broke.
    fn generate(&self, model: &mut dyn LanguageModel, waiting: Waiting) -> Option<String> {
        let turn = waiting.order.turn;
        let mut watch = |delta: &str| (self.tell)(Report::Text { turn, delta: delta.to_owned() });
        let ran = guarded(|| model.generate(&waiting.order, &mut watch, &waiting.interrupt));
        let (result, broken) = match ran {
            Ok(Ok(Progress::Parked)) => {
                self.put_back(waiting);
                return None;
            }
            Ok(Ok(Progress::Ended(mut generated))) => {
                generated.timings.queue_ms = waiting.waited.as_secs_f64() * 1e3;
                (Ok(generated), None)
            }
            Ok(Err(failure)) => (Err(failure), None),
            Err(reason) => {
                (Err(GenerateFailure::Model { message: format!("the model broke: {reason}") }), Some(reason))
            }
        };
        self.finished();
        (self.tell)(Report::Ended { turn, result });
        broken
    }

    fn warm(&self, model: &mut dyn LanguageModel, prompt: &Prompt, interrupt: &Interrupt) -> Option<String> {
        let ran = guarded(|| model.warm(prompt, interrupt));
        self.finished();
        match ran {
            Ok(Ok(Warmed::Whole)) => None,
            Ok(Ok(Warmed::Parked)) => {
                // Someone came in between; the rest is for when nobody waits again.
                self.lock().warm.get_or_insert_with(|| prompt.clone());
                None
            }
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "the beginning of the prompts could not be run in advance");
                None
            }
            Err(reason) => Some(reason),
        }
    }

    /// Back into the queue with what made room, unless it was ended meanwhile.
    fn put_back(&self, mut waiting: Waiting) {
        let mut state = self.lock();
        state.running = None;
        let ended = waiting.interrupt.ended().map(|why| why.told(waiting.order.deadline_ms));
        let closing = state.closing.then_some(GenerateFailure::Cancelled);
        match ended.or(closing) {
            Some(failure) => {
                waiting.parked = true;
                state.end(&waiting, failure);
            }
            None => state.queue.put_back(waiting, Instant::now()),
        }
        self.changed.notify_all();
    }

    fn finished(&self) {
        self.lock().running = None;
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
