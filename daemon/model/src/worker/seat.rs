//! The model's thread: the model in its seat, the jobs it is given, and how one model follows another.

use super::{PANICS_IN_A_ROW, Planner, Report, Running, Shared, Standing, guarded};
use crate::budget::Room;
use crate::describe::Description;
use crate::front::Recalled;
use crate::interrupt::Interrupt;
use crate::language_model::{Glimpse, LanguageModel, Progress, Warmed};
use crate::queue::Waiting;
use crate::worker::swap::{Opener, Plan, SwapFailure};
use hob_events::{GenerateFailure, Generated, Prompt, TurnId};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The model, when it is open, and how to open it.
pub(super) struct Seat {
    open: Opener,
    model: Option<Box<dyn LanguageModel>>,
    /// An open model that nobody needs for so long is dropped.
    unload_after: Option<Duration>,
}

/// What the thread does next.
enum Job {
    Generate(Box<Waiting>),
    Warm(Box<Prompt>, Interrupt),
    Forget(Vec<TurnId>),
    Swap(Planner),
    /// The model has something to give back that it has not used for a while.
    Rest,
    Unload,
    Stop,
}

impl Seat {
    pub(super) fn new(open: Opener, unload_after: Option<Duration>) -> Self {
        Self { open, model: None, unload_after }
    }
}

impl Shared {
    /// The thread, from the opening of the model to its end. Without a model, whoever waits is told, and nothing is
    /// taken any more.
    pub(super) fn run(&self, mut seat: Seat) {
        match guarded(&mut seat.open) {
            Ok(Ok(model)) => self.take_up(&mut seat, model),
            Ok(Err(reason)) => {
                self.lock().standing = Standing::Unloaded;
                let message = format!("the model could not be opened: {reason}");
                return self.close(&GenerateFailure::Model { message });
            }
            Err(reason) => {
                self.lock().standing = Standing::Unloaded;
                let message = format!("the model broke as it was opened: {reason}");
                self.close(&GenerateFailure::Model { message });
                return (self.tell)(Report::Dead { reason });
            }
        }
        self.work(seat);
    }

    fn work(&self, mut seat: Seat) {
        let (mut panics, mut idle_from) = (0, Instant::now());
        loop {
            let rest = |model: &mut Box<dyn LanguageModel>| guarded(|| model.rest(Instant::now())).unwrap_or_default();
            let rest_at = seat.model.as_mut().and_then(rest);
            let job = self.next_job(&seat, idle_from, rest_at);
            let rested = matches!(job, Job::Rest);
            let broken = match job {
                Job::Generate(waiting) => self.serve(&mut seat, *waiting),
                Job::Warm(prompt, interrupt) => self.warm(&mut seat, &prompt, &interrupt),
                Job::Forget(turns) => seat
                    .model
                    .as_mut()
                    .and_then(|model| guarded(|| turns.into_iter().for_each(|turn| model.forget(turn))).err()),
                Job::Swap(plan) => {
                    self.swap(&mut seat, plan);
                    None
                }
                Job::Unload => {
                    tracing::info!("nobody asked for a while: the model is unloaded until the next order");
                    seat.model = None;
                    let mut state = self.lock();
                    state.senses = None;
                    state.standing = Standing::Unloaded;
                    None
                }
                Job::Rest => None,
                Job::Stop => return,
            };
            if !rested {
                idle_from = Instant::now();
            }
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

    /// Waits for something to do: until the model wants to rest at `rest_at`, or was idle for too long since `idle_from`.
    fn next_job(&self, seat: &Seat, idle_from: Instant, rest_at: Option<Instant>) -> Job {
        let mut state = self.lock();
        loop {
            if state.closing {
                return Job::Stop;
            }
            if !state.forgotten.is_empty() {
                return Job::Forget(std::mem::take(&mut state.forgotten));
            }
            let now = Instant::now();
            // What has begun is brought to its end by the model that began it.
            let next = if state.swap.is_some() { state.queue.next_begun(now) } else { state.queue.next(now) };
            if let Some(waiting) = next {
                state.running = Some(Running {
                    order: Some((waiting.order.turn, waiting.order.priority)),
                    interrupt: waiting.interrupt.clone(),
                    deadline: Some(waiting.deadline),
                });
                self.changed.notify_all();
                return Job::Generate(Box::new(waiting));
            }
            if let Some(plan) = state.swap.take() {
                return Job::Swap(plan);
            }
            if seat.model.is_none() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if let Some(prompt) = state.warm.take() {
                let interrupt = Interrupt::default();
                state.running = Some(Running { order: None, interrupt: interrupt.clone(), deadline: None });
                return Job::Warm(Box::new(prompt), interrupt);
            }
            let unload_in = seat.unload_after.map(|after| after.saturating_sub(idle_from.elapsed()));
            let rest_in = rest_at.map(|at| at.saturating_duration_since(Instant::now()));
            if unload_in == Some(Duration::ZERO) {
                return Job::Unload;
            }
            if rest_in == Some(Duration::ZERO) {
                return Job::Rest;
            }
            state = match unload_in.into_iter().chain(rest_in).min() {
                Some(left) => self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    // ---- one model after another ------------------------------------------------------------------------------

    /// Puts a model in the seat. Whoever waits may be known to its memo.
    fn take_up(&self, seat: &mut Seat, model: Box<dyn LanguageModel>) {
        let (recall, senses) = (model.recall().map(Arc::new), model.senses());
        seat.model = Some(model);
        let mut state = self.lock();
        state.senses = senses;
        state.standing = Standing::Open;
        state.recall = recall;
        state.queue.ask_again();
    }

    /// Changes the model, and tells what became of it. Without either of them the worker gives up.
    fn swap(&self, seat: &mut Seat, plan: Planner) {
        let before = std::mem::replace(&mut self.lock().standing, Standing::Opening);
        let open = seat.model.is_some();
        let result = match guarded(|| plan(open)).and_then(std::convert::identity) {
            Ok(plan) => self.exchange(seat, plan),
            Err(reason) => Err(SwapFailure::Refused { reason }),
        };
        {
            let mut state = self.lock();
            state.swapping = false;
            state.standing = if seat.model.is_some() { Standing::Open } else { before };
        }
        if let Err(failure @ SwapFailure::Lost { .. }) = &result {
            let reason = failure.to_string();
            self.close(&GenerateFailure::Model { message: reason.clone() });
            (self.tell)(Report::Swapped { result: Box::new(result) });
            return (self.tell)(Report::Dead { reason });
        }
        (self.tell)(Report::Swapped { result: Box::new(result) });
    }

    fn exchange(&self, seat: &mut Seat, plan: Plan) -> Result<Description, SwapFailure> {
        let Plan { about, room, mut open } = plan;
        let mut put_down = false;
        if room == Room::InPlace && seat.model.take().is_some() {
            put_down = true;
            let mut state = self.lock();
            (state.recall, state.senses) = (None, None);
        }
        match guarded(&mut open).and_then(std::convert::identity) {
            Ok(model) => {
                seat.open = open;
                self.take_up(seat, model);
                Ok(about)
            }
            Err(reason) if !put_down => Err(SwapFailure::Kept { reason }),
            Err(reason) => match guarded(&mut seat.open).and_then(std::convert::identity) {
                Ok(old) => {
                    self.take_up(seat, old);
                    Err(SwapFailure::OpenedAgain { reason })
                }
                Err(old) => Err(SwapFailure::Lost { reason, old }),
            },
        }
    }

    /// The model, opened again where it was unloaded. Says why it cannot be.
    fn opened<'a>(&self, seat: &'a mut Seat) -> Result<&'a mut dyn LanguageModel, String> {
        if seat.model.is_none() {
            tracing::info!("the model was unloaded and is opened again");
            let started = Instant::now();
            self.lock().standing = Standing::Opening;
            let opened = guarded(&mut seat.open).and_then(std::convert::identity);
            self.lock().standing = Standing::Unloaded;
            self.take_up(seat, opened?);
            tracing::info!(took_ms = started.elapsed().as_millis(), "the model is open again");
        }
        match &mut seat.model {
            Some(model) => Ok(&mut **model),
            None => Err("there is no model".to_owned()),
        }
    }

    // ---- orders -----------------------------------------------------------------------------------------------

    /// Works on an order. Gives back what the model said when it broke.
    fn serve(&self, seat: &mut Seat, waiting: Waiting) -> Option<String> {
        let turn = waiting.order.turn;
        if seat.model.is_none()
            && let Some(Recalled { generated, words }) = self.known(&waiting)
        {
            if !words.is_empty() {
                (self.tell)(Report::Text { turn, delta: words });
            }
            self.end_with(&waiting, Ok(generated));
            return None;
        }
        let model = match self.opened(seat) {
            Ok(model) => model,
            Err(reason) => {
                let message = format!("the model was unloaded and cannot be opened again: {reason}");
                tracing::error!(%message);
                self.end_with(&waiting, Err(GenerateFailure::Model { message }));
                return None;
            }
        };
        let mut watch = |glimpse: Glimpse<'_>| {
            (self.tell)(match glimpse {
                Glimpse::Read { tokens, of } => Report::Reading { turn, tokens, of },
                Glimpse::Words(delta) => Report::Text { turn, delta: delta.to_owned() },
            });
        };
        let ran = guarded(|| model.generate(&waiting.order, &mut watch, &waiting.interrupt));
        let (result, broken) = match ran {
            Ok(Ok(Progress::Parked)) => {
                self.put_back(waiting);
                return None;
            }
            Ok(Ok(Progress::Ended(generated))) => (Ok(generated), None),
            Ok(Err(failure)) => (Err(failure), None),
            Err(reason) => {
                (Err(GenerateFailure::Model { message: format!("the model broke: {reason}") }), Some(reason))
            }
        };
        self.end_with(&waiting, result);
        broken
    }

    /// What the memo of an unloaded model knows of an order.
    fn known(&self, waiting: &Waiting) -> Option<Recalled> {
        let recall = self.lock().recall.clone()?;
        guarded(|| recall(&waiting.order)).unwrap_or_default()
    }

    fn end_with(&self, waiting: &Waiting, mut result: Result<Generated, GenerateFailure>) {
        if let Ok(generated) = &mut result {
            generated.timings.queue_ms = waiting.waited.as_secs_f64() * 1e3;
        }
        self.finished();
        (self.tell)(Report::Ended { turn: waiting.order.turn, result });
    }

    fn warm(&self, seat: &mut Seat, prompt: &Prompt, interrupt: &Interrupt) -> Option<String> {
        let ran = seat.model.as_mut().map(|model| guarded(|| model.warm(prompt, interrupt)));
        self.finished();
        match ran {
            None | Some(Ok(Ok(Warmed::Whole))) => None,
            Some(Ok(Ok(Warmed::Parked))) => {
                // Someone came in between; the rest is for when nobody waits again.
                self.lock().warm.get_or_insert_with(|| prompt.clone());
                None
            }
            Some(Ok(Err(failure))) => {
                tracing::warn!(%failure, "the beginning of the prompts could not be run in advance");
                None
            }
            Some(Err(reason)) => Some(reason),
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
