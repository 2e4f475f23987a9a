//! The one loop in which stages meet.
//!
//! Something is told ([`Told`]): a message from the broker, a request at the door, a report of the model, the end of a
//! call, a commit that is durable. What the agent decides about it is written down first and let go when the writer says
//! that it is durable. Nothing here waits for a stage: orders are handed over with `try_send` and the like, and stages
//! hand their answers back as something told. That is what keeps two stages from waiting for each other.

use crate::cameras::{Cameras, Frame, Seen};
use crate::clock::now;
use crate::devices::{Devices, States};
use crate::entrance::Entrance;
use crate::followers::Followers;
use crate::house::{Serving, report_on};
use crate::microphones::{Heard, Microphones};
use crate::models::Models;
use crate::notices::NoticeWords;
use crate::shelf::{ShelfHandle, TakeMediaError};
use crate::swap::Swapping;
use crate::voice::VoiceHandle;
use bytes::Bytes;
use hob_agent::{Agent, Decisions, Effect, Input, Step};
use hob_doors::{DoorRequest, Reply};
use hob_events::{
    Command, CommandId, CommandLimits, Event, EventKind, GenerateFailure, Generated, Medium, Offer, Outcome, Receipt,
    Record, SenseName, Source, ToolCall, TurnId, UnixMs,
};
use hob_model::{Report, WorkerHandle};
use hob_mqtt::{Ack, Class, MqttClient, MqttEvent, Outgoing, Topics};
use hob_plugin_host::{CallEnded, PluginHost};
use hob_state::{CommitError, StateWriter, Store, TryCommitError};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// What stages may have told and the driver not yet heard: the commits under way (below), a report for each generation,
/// and a stream of words. Stages wait when it is full; the driver never does.
pub const TOLD: usize = 1024;

/// Commits handed to the writer at a time; it holds 256, shared with plugins' effects.
const COMMITS_AT_ONCE: usize = 64;

/// Commits that wait when the broker is not heard any more until the disk has caught up.
const COMMITS_BEHIND: usize = 256;

/// Commits that may wait for their turn. Only a disk that has stopped can bring them there.
const COMMITS_WAITING: usize = 4096;

/// What the driver's own helpers tell it.
#[derive(Debug)]
pub enum Told {
    /// The commit of this number is durable, or will never be.
    Committed(u64, Result<(), CommitError>),
    /// The model worker reports.
    Model(Report),
    /// The plugins offer something else.
    Offer(Arc<Offer>),
    /// A camera tells something.
    Seen(Seen),
    /// A camera's frame lies on the shelf, or cannot.
    Shown(SenseName, Box<Frame>, Result<Medium, TakeMediaError>),
    /// A microphone tells something.
    Heard(Heard),
    /// A notice has its picture, in Base64, or goes without.
    Pictured(Box<NoticeWords>, Option<String>),
    /// A command's media lie on the shelf, or cannot.
    Shelved(Box<Accepting>, Result<(), TakeMediaError>),
    /// The model is open.
    Ready,
}

/// What follows a commit.
#[derive(Debug)]
pub enum Then {
    /// Let these go.
    Release(Vec<Effect>),
    /// Nothing hangs on it: what rules remember is written down again.
    Nothing,
    /// The command is in the inbox: tell its sender, and begin.
    Begin(Box<Accepting>),
}

/// A command on its way into the inbox.
#[derive(Debug)]
pub struct Accepting {
    /// The command.
    pub command: Command,
    /// To be given to the broker when it is durable.
    pub ack: Option<Ack>,
    /// Whoever follows it on the socket.
    pub follower: Option<mpsc::Sender<Reply>>,
}

/// Whoever asked for a command again while it was on its way into the inbox.
#[derive(Debug)]
pub enum Again {
    /// Over the broker.
    Mqtt {
        /// To be given to the broker when it is decided.
        ack: Box<Ack>,
        /// Where the answer goes.
        source: Source,
    },
    /// On the socket.
    Socket(mpsc::Sender<Reply>),
}

/// Why the driver gave up.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// What was decided cannot be written down, so nothing more may be done.
    #[error("the state cannot be written")]
    State(#[source] CommitError),
    /// The disk has stopped.
    #[error("{waiting} commits wait for the disk: it does not keep up")]
    Disk {
        /// How many.
        waiting: usize,
    },
    /// The model broke again and again.
    #[error("the model broke again and again: {reason}")]
    Model {
        /// What it said.
        reason: String,
    },
    /// The writer is gone.
    #[error("the state writer was stopped")]
    Writer,
    /// The system gives no thread.
    #[error("no thread can be started")]
    Thread(#[source] std::io::Error),
}

/// The near ends of the stages.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "the plugin host and the worker say nothing when printed")]
pub struct Stages {
    /// Runs calls.
    pub plugins: Arc<PluginHost>,
    /// Writes down.
    pub writer: StateWriter,
    /// Reads what was written.
    pub store: Store,
    /// Generates.
    pub model: WorkerHandle,
    /// The broker; none when hob runs without.
    pub mqtt: Option<MqttClient>,
    /// The names of hob's topics.
    pub topics: Topics,
    /// The inventory.
    pub devices: Arc<Devices>,
    /// What each device last said.
    pub states: Arc<States>,
    /// Which command each turn serves.
    pub serving: Serving,
    /// Keeps media.
    pub shelf: ShelfHandle,
    /// Listens.
    pub microphones: Microphones,
    /// Looks.
    pub cameras: Cameras,
    /// Answers aloud, where the owner wants that.
    pub voice: Option<VoiceHandle>,
}

/// The loop and what it remembers.
#[expect(missing_debug_implementations, reason = "see Stages")]
pub struct Driver {
    pub(crate) agent: Agent,
    pub(crate) stages: Stages,
    pub(crate) limits: CommandLimits,
    /// What `hob model` is told.
    pub(crate) about_model: serde_json::Value,
    /// Which model runs.
    pub(crate) models: Arc<Models>,
    /// Another one was asked for.
    pub(crate) swapping: Option<Swapping>,
    pub(crate) followers: Followers,
    /// Commands whose inbox entry is being written.
    pub(crate) entrance: Entrance<Again>,
    pub(crate) started: UnixMs,
    /// Numbers the commands that came without an id.
    pub(crate) unnamed: u64,
    /// Stored results found no room in the queue to the broker: they are told as it empties.
    pub(crate) more_untold: bool,
    back: mpsc::Sender<Told>,
    /// Decided, waiting for the writer.
    commits: VecDeque<(Vec<Record>, Then)>,
    /// With the writer, by number.
    under_way: HashMap<u64, Then>,
    next_commit: u64,
    calls: JoinSet<CallEnded>,
    running: HashMap<Id, ToolCall>,
    /// One for each turn under way: what its tools log is found under it.
    spans: HashMap<CommandId, Span>,
}

/// The ends from which the driver hears.
#[derive(Debug)]
pub struct Ears {
    /// Its own helpers.
    pub told: mpsc::Receiver<Told>,
    /// The broker.
    pub mqtt: mpsc::Receiver<MqttEvent>,
    /// The control socket.
    pub doors: mpsc::Receiver<DoorRequest>,
}

impl Driver {
    /// A driver that has heard nothing yet. Its helpers tell it things through `back`.
    #[must_use]
    pub fn new(
        agent: Agent,
        stages: Stages,
        limits: CommandLimits,
        about_model: serde_json::Value,
        models: Arc<Models>,
        back: mpsc::Sender<Told>,
    ) -> Self {
        Self {
            agent,
            stages,
            limits,
            about_model,
            models,
            swapping: None,
            followers: Followers::default(),
            entrance: Entrance::default(),
            started: now(),
            unnamed: 0,
            more_untold: false,
            back,
            commits: VecDeque::new(),
            under_way: HashMap::new(),
            next_commit: 0,
            calls: JoinSet::new(),
            running: HashMap::new(),
            spans: HashMap::new(),
        }
    }

    /// Runs until `stop`. `first` is what the agent decided about what was left over from before.
    ///
    /// # Errors
    /// [`DriverError`] when nothing more can be written down; the service is then started again.
    pub async fn run(
        &mut self,
        first: Decisions,
        mut ears: Ears,
        heartbeat: impl Fn(),
        stop: CancellationToken,
    ) -> Result<(), DriverError> {
        self.decide(first)?;
        let mut beat = tokio::time::interval(crate::service::HEARTBEAT);
        loop {
            self.begin_swap()?;
            let wake = self.until_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.say_farewell();
                    return Ok(());
                }
                Some(told) = ears.told.recv() => self.hear(told)?,
                Some(ended) = self.calls.join_next_with_id() => self.call_ended(ended)?,
                _ = beat.tick() => heartbeat(),
                Some(request) = ears.doors.recv() => self.hear_door(request)?,
                // A flood waits at the broker while the disk is behind.
                Some(event) = ears.mqtt.recv(), if self.commits.len() < COMMITS_BEHIND => self.hear_broker(event)?,
                () = tokio::time::sleep(wake) => self.tell_agent(Input::Wake)?,
            }
        }
    }

    /// Where helpers tell it things.
    pub(crate) fn back(&self) -> mpsc::Sender<Told> {
        self.back.clone()
    }

    /// The writer writes what it was given before it stops.
    fn say_farewell(&mut self) {
        let records = self.agent.farewell();
        if !records.is_empty() && self.stages.writer.try_commit(records, |_| ()).is_err() {
            tracing::warn!("what rules remember could not be written down");
        }
    }

    fn until_wake(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        self.agent.next_wake().map_or(LONG, |at| Duration::from_millis(at.since(now())).min(LONG))
    }

    // ---- deciding and writing down ----------------------------------------------------------------------------

    /// Tells the agent something that happened now.
    pub(crate) fn tell_agent(&mut self, input: Input) -> Result<(), DriverError> {
        let decisions = self.agent.step(Step { at: now(), input });
        self.decide(decisions)
    }

    fn decide(&mut self, decisions: Decisions) -> Result<(), DriverError> {
        let Decisions { records, effects } = decisions;
        if records.is_empty() && effects.is_empty() {
            return Ok(());
        }
        for record in &records {
            if let Record::Began { command, turn } = record {
                self.stages.serving.begins(*turn, command.clone());
                self.spans.insert(command.clone(), tracing::info_span!("turn", %turn, %command));
            }
        }
        let remembered = records.iter().all(|record| matches!(record, Record::Remembered { .. }));
        let then = if remembered && effects.is_empty() { Then::Nothing } else { Then::Release(effects) };
        self.commit(records, then)
    }

    /// Commits in order: nothing overtakes what was decided before it.
    pub(crate) fn commit(&mut self, records: Vec<Record>, then: Then) -> Result<(), DriverError> {
        if self.commits.len() >= COMMITS_WAITING {
            return Err(DriverError::Disk { waiting: self.commits.len() });
        }
        self.commits.push_back((records, then));
        self.hand_over_commits()
    }

    fn hand_over_commits(&mut self) -> Result<(), DriverError> {
        while self.under_way.len() < COMMITS_AT_ONCE {
            let Some((records, then)) = self.commits.pop_front() else { break };
            let number = self.next_commit;
            self.next_commit += 1;
            let back = self.back.clone();
            // This runs on the writer's own thread, which may wait for the driver.
            let done = move |result| {
                back.blocking_send(Told::Committed(number, result)).ok();
            };
            self.stages.writer.try_commit(records, done).map_err(|error| match error {
                TryCommitError::Stopped => DriverError::Writer,
                TryCommitError::Full => DriverError::Disk { waiting: self.commits.len() },
            })?;
            self.under_way.insert(number, then);
        }
        Ok(())
    }

    fn hear(&mut self, told: Told) -> Result<(), DriverError> {
        match told {
            Told::Committed(number, result) => {
                let Some(then) = self.under_way.remove(&number) else { return Ok(()) };
                self.hand_over_commits()?;
                match (then, result) {
                    (Then::Release(effects), Ok(())) => effects.into_iter().try_for_each(|effect| self.let_go(effect)),
                    (Then::Release(_), Err(error)) => Err(DriverError::State(error)),
                    (Then::Nothing, result) => {
                        if let Err(error) = result {
                            tracing::warn!(%error, "what rules remember could not be written down");
                        }
                        Ok(())
                    }
                    (Then::Begin(accepting), result) => self.accepted(*accepting, result),
                }
            }
            Told::Model(Report::Text { turn, delta }) => {
                if let Some(command) = self.stages.serving.command(turn) {
                    self.followers.text(&command, &delta);
                }
                Ok(())
            }
            Told::Model(Report::Reading { turn, tokens, of }) => {
                if let Some(command) = self.stages.serving.command(turn) {
                    self.followers.reading(&command, tokens, of);
                }
                Ok(())
            }
            Told::Model(Report::Ended { turn, result }) => self.generated(turn, result),
            Told::Model(Report::Swapped { result }) => self.swapped(*result),
            Told::Model(Report::Dead { reason }) => Err(DriverError::Model { reason }),
            Told::Shelved(accepting, taken) => self.shelved(*accepting, taken),
            Told::Heard(heard) => self.heard(heard),
            Told::Seen(seen) => self.saw(seen),
            Told::Shown(camera, frame, kept) => self.shown(camera, &frame, kept),
            Told::Pictured(words, picture) => {
                self.notify(&words, picture);
                Ok(())
            }
            Told::Ready => self.tell_agent(Input::Ready),
            Told::Offer(offer) => {
                self.tell_agent(Input::OfferChanged(offer))?;
                self.stages.model.warm(self.agent.stable_prompt());
                Ok(())
            }
        }
    }

    // ---- effects ----------------------------------------------------------------------------------------------

    fn let_go(&mut self, effect: Effect) -> Result<(), DriverError> {
        match effect {
            Effect::Generate(order) => {
                let turn = order.turn;
                match self.stages.model.submit(order) {
                    Ok(()) => Ok(()),
                    Err(failure) => self.generated(turn, Err(failure)),
                }
            }
            Effect::CancelGeneration(turn) => {
                self.stages.model.cancel(turn);
                Ok(())
            }
            Effect::Call { call, command } => {
                let span = self.spans.get(&command).cloned().unwrap_or_else(Span::none);
                let plugins = self.stages.plugins.clone();
                let ordered = call.clone();
                let handle = self.calls.spawn(async move { plugins.call(&ordered).await }.instrument(span));
                self.running.insert(handle.id(), call);
                Ok(())
            }
            Effect::Publish { topic, payload, retain } => {
                self.publish_for_rule(topic, payload, retain);
                Ok(())
            }
            Effect::Tell { update, source } => {
                self.tell_status(&update, &source);
                Ok(())
            }
            Effect::Finish { result, source } => {
                let span = self.spans.remove(&result.id).unwrap_or_else(Span::none);
                span.in_scope(|| self.tell_final(&result, &source))
            }
        }
    }

    /// For a rule, once at most: what nobody can be told now is not told later, when it may not be true any more.
    pub(crate) fn publish_for_rule(&self, topic: String, payload: String, retain: bool) {
        let Some(mqtt) = self.stages.mqtt.as_ref().filter(|mqtt| mqtt.is_connected()) else {
            tracing::warn!(topic, "there is no broker now: what a rule wanted published is dropped");
            return;
        };
        let message = Outgoing { topic, payload: payload.into(), retain, correlation: None, content_type: None };
        if let Err(error) = mqtt.tell(message, Class::Status) {
            tracing::warn!(%error, "what a rule wanted published is dropped");
        }
    }

    fn generated(&mut self, turn: TurnId, result: Result<Generated, GenerateFailure>) -> Result<(), DriverError> {
        self.tell_agent(Input::Generated { turn, result })
    }

    fn call_ended(&mut self, ended: Result<(Id, CallEnded), JoinError>) -> Result<(), DriverError> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(call) = self.running.remove(&id) else { return Ok(()) };
        let ended = ended.map(|(_, ended)| ended).unwrap_or_else(|error| {
            tracing::error!(%error, call = %call.id, "a call brought the plugin host down");
            let outcome = Outcome::Stopped { reason: "the plugin host failed".to_owned() };
            CallEnded { outcome, took_ms: 0, actions: Vec::new() }
        });
        let CallEnded { outcome, took_ms, actions } = ended;
        let receipt = Receipt { id: call.id, tool: call.tool, args: call.args, outcome, actions, took_ms };
        self.tell_agent(Input::Ended { receipt })
    }

    // ---- what comes from the broker ---------------------------------------------------------------------------

    fn hear_broker(&mut self, event: MqttEvent) -> Result<(), DriverError> {
        match event {
            MqttEvent::Connected { session_present } => {
                tracing::info!(session_present, "connected to the broker");
                self.tell_conditions();
                self.tell_views();
                self.tell_untold();
                Ok(())
            }
            MqttEvent::Microphone { name, order } => self.order_microphone(&name, order),
            MqttEvent::Disconnected { .. } => Ok(()),
            MqttEvent::Command(arrived) => self.arrived(arrived),
            MqttEvent::Answer { command, arrived } => self.answer(command, arrived),
            MqttEvent::Told { command } => {
                self.commit(vec![Record::Told { command }], Then::Release(Vec::new()))?;
                if self.more_untold {
                    self.tell_untold();
                }
                Ok(())
            }
            MqttEvent::Message { topic, payload, retained } => self.message(topic, &payload, retained),
        }
    }

    fn message(&mut self, topic: String, payload: &Bytes, retained: bool) -> Result<(), DriverError> {
        if self.stages.cameras.feed(&topic, payload, retained) {
            return Ok(());
        }
        let Ok(payload) = std::str::from_utf8(payload) else {
            tracing::debug!(topic, "a message that is no text is left alone");
            return Ok(());
        };
        if let Some((device, state)) = report_on(&self.stages.devices, &topic, payload) {
            self.stages.states.report(&device.name, state, now());
        }
        let kind = EventKind::Message { topic, payload: payload.to_owned(), retained };
        self.tell_agent(Input::Happened(Event { at: now(), kind }))
    }
}
