//! Builds hob from top to bottom, in the order the data flows. The file to read first.
//!
//! [`build`] makes every stage and starts none: `hob check` stops there. [`Built::run`] starts the tasks, says that hob is
//! ready, drives, and stops everything in order: doors first, then what is under way, then the broker, then the disk.

use crate::cameras::{Cameras, Looking};
use crate::clock::now;
use crate::devices::{Devices, OpenDevicesError, States};
use crate::driver::{Driver, DriverError, Ears, Stages, TOLD, Told};
use crate::house::{House, Serving};
use crate::microphones::{Listening, Microphones, Needs};
use crate::models::Models;
use crate::rules::{OpenRulesError, open_rules};
use crate::service;
use crate::settings::Settings;
use crate::shelf::ShelfHandle;
use crate::spoken;
use crate::stage_settings::{
    door_settings, host_settings, mqtt_settings, shelf_bounds, shelf_folder, state_limits, worker_settings,
};
use crate::supervisor::{Stopped, Supervisor};
use crate::voice::{Speaker, VoiceHandle};
use hob_agent::{Agent, Decisions, KeptConversation, Rule, RuleAction, RuleMemory};
use hob_doors::{BindDoorError, Door, DoorRequest};
use hob_events::{Offer, Record, SenseName, ToolName, ToolSpec};
use hob_model::media::image::UnknownBudget;
use hob_model::{Description, ModelWorker, OpenModelError, Report, StartWorkerError, UnknownVariant};
use hob_mqtt::{MqttClient, MqttEvent, StartMqttError, Topics};
use hob_onnx::OpenLibraryError;
use hob_plugin_host::{OpenHostError, PluginHost};
use hob_state::{
    OpenStoreError, Opened, ReadStateError, Recovered, Shelf, ShelveError, StateWriter, Store, StoredConversation,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages of the broker that the driver has not heard yet. When it is full the connection is read no further, and
/// the broker keeps what comes.
const BROKER_EVENTS: usize = 256;

/// Requests at the door that the driver has not heard yet. A peer waits when it is full.
const DOOR_REQUESTS: usize = 32;

/// How often plugins that were paused are looked at again.
const RECOVERY: Duration = Duration::from_secs(5);

/// How long tasks may take to end. Longer than a tool's deadline and the broker's farewell together; the unit's
/// `TimeoutStopSec` is longer still.
const GRACE: Duration = Duration::from_secs(15);

/// Why hob cannot start. Each says what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The inventory.
    #[error(transparent)]
    Devices(#[from] OpenDevicesError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] OpenStoreError),
    /// The shelf of media.
    #[error(transparent)]
    Shelf(#[from] ShelveError),
    /// How finely pictures are looked at.
    #[error("`[media] image_tokens`: {0}")]
    ImageTokens(#[from] UnknownBudget),
    /// What is in the state folder.
    #[error(transparent)]
    ReadState(#[from] ReadStateError),
    /// The broker's settings.
    #[error(transparent)]
    Mqtt(#[from] StartMqttError),
    /// The plugins.
    #[error(transparent)]
    Plugins(#[from] OpenHostError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] OpenRulesError),
    /// The library.
    #[error(transparent)]
    Library(#[from] OpenLibraryError),
    /// The model's variant.
    #[error(transparent)]
    Variant(#[from] UnknownVariant),
    /// The model.
    #[error(transparent)]
    Model(#[from] OpenModelError),
    /// The model, in a way that nobody foresaw.
    #[error("the model broke as it was opened: see the log")]
    ModelBroke,
    /// Root works on what is another user's.
    #[error(
        "{folder} belongs to user {owner}, and root would spoil it: run this as that user (sudo -u '#{owner}' hob …)"
    )]
    Root {
        /// The state's folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The state's thread.
    #[error("the state's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The model's threads.
    #[error(transparent)]
    Worker(#[from] StartWorkerError),
    /// The control socket.
    #[error(transparent)]
    Door(#[from] BindDoorError),
}

impl StartError {
    /// Whether starting again can help without anyone changing something.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::State(_)
            | Self::ReadState(_)
            | Self::Shelf(_)
            | Self::Thread(_)
            | Self::Worker(_)
            | Self::Door(_)
            | Self::ModelBroke => true,
            Self::Devices(_)
            | Self::Rules(_)
            | Self::Mqtt(_)
            | Self::Plugins(_)
            | Self::Library(_)
            | Self::Variant(_)
            | Self::ImageTokens(_)
            | Self::Root { .. }
            | Self::Model(_) => false,
        }
    }
}

/// Everything that `hob run` needs, made and not started.
#[expect(missing_debug_implementations, reason = "the stages say nothing when printed")]
pub struct Built {
    settings: Settings,
    stages: Stages,
    agent: Agent,
    first: Decisions,
    model: Description,
    models: Arc<Models>,
    /// Told when the model is open, or cannot be; none when it was heard already.
    opening: Option<Opening>,
    worker: ModelWorker,
    connection: Option<hob_mqtt::Connection>,
    listening: Listening,
    looking: Looking,
    /// The task that speaks.
    speaker: Option<Speaker>,
    effects: TaskTracker,
    back: mpsc::Sender<Told>,
    told: mpsc::Receiver<Told>,
    events: mpsc::Receiver<MqttEvent>,
    /// How the state was found.
    pub recovered: Vec<Recovered>,
}

/// Makes every stage, top to bottom. A broker that is away is no error; everything else that is missing is, but the
/// model is opened by its worker meanwhile: see [`Built::model_opened`].
///
/// # Errors
/// [`StartError`], for the first stage that cannot be made.
pub async fn build(settings: Settings) -> Result<Built, StartError> {
    refuse_root(&settings)?;
    let devices = Arc::new(Devices::open(&settings.devices.file)?);
    let names = devices.inventory().devices.iter().map(|device| device.name.clone());
    let states = Arc::new(States::of(names));

    let Opened { store, recovered } = Store::open(&settings.state.folder, state_limits(&settings))?;
    let shelf = Shelf::open(&shelf_folder(&settings), shelf_bounds(&settings))?;
    let writer = StateWriter::start(&store).map_err(StartError::Thread)?;

    let topics = Topics::new(settings.node.name.clone());
    let (events_in, events) = mpsc::channel(BROKER_EVENTS);
    let (mqtt, connection) = if settings.mqtt.enabled {
        let (client, connection) = MqttClient::open(mqtt_settings(&settings, &devices), events_in)?;
        (Some(client), Some(connection))
    } else {
        (None, None)
    };

    let serving = Serving::default();
    let effects = TaskTracker::new();
    let house = House {
        devices: devices.clone(),
        states: states.clone(),
        store: store.clone(),
        writer: writer.clone(),
        mqtt: mqtt.clone(),
        topics: topics.clone(),
        serving: serving.clone(),
        effects: effects.clone(),
    };
    let plugins = Arc::new(PluginHost::open(host_settings(&settings), Arc::new(house)).await?);
    let offer = Arc::new(Offer { tools: plugins.tools(), inventory: (**devices.inventory()).clone() });

    let (back, told) = mpsc::channel(TOLD);
    let (cameras, looking) = Cameras::open(&settings.camera, &settings.media.ffmpeg, &back);
    let shelf = ShelfHandle::start(shelf, store.clone(), back.clone()).map_err(StartError::Thread)?;
    let models = Arc::new(Models::find(&settings)?);
    let about = models.describe()?;
    let (opened_in, opened) = oneshot::channel();
    // On the worker's own thread: gigabytes take their time, and commands can be accepted meanwhile.
    let open = models.opener(|result| {
        opened_in.send(result).ok();
    });
    let reports = back.clone();
    // The worker's own thread waits when the driver is busy; the driver never waits for it.
    let report = move |report: Report| {
        reports.blocking_send(Told::Model(report)).ok();
    };
    let worker = ModelWorker::start(open, worker_settings(&settings), report)?;
    let model = worker.handle();

    let next_turn = store.next_turn()?.0;
    let remembered = store.remembered()?;
    let gone = forgotten(&settings, &remembered);
    let (of_microphones, remembered): (Vec<_>, Vec<_>) =
        remembered.into_iter().partition(|(name, _)| name.starts_with(spoken::REMEMBERED));
    let muted = |name: &SenseName| {
        of_microphones.iter().any(|(piece, _)| piece.strip_prefix(spoken::REMEMBERED) == Some(name.as_str()))
    };
    let needs =
        Needs { runtime: models.runtime().clone(), model: model.clone(), spoken: models.spoken(), back: back.clone() };
    let (microphones, listening) = Microphones::open(&settings.microphone, muted, needs);
    let (voice, speaker) = VoiceHandle::open(&settings.voice, microphones.clone()).unzip();
    let rules = open_rules(&settings, &devices, RuleMemory::of(remembered), now())?;
    let mut agent = Agent::new(settings.agent.clone(), rules, offer, Some(about.name.clone()), next_turn)
        .thinking(settings.model.thinking)
        .hold();
    model.warm(agent.stable_prompt());
    let whole = !recovered.iter().any(|damage| matches!(damage, Recovered::LostCommits { .. }));
    let mut first = restore(&mut agent, &store, whole)?;
    first.records.extend(gone);

    let stages = Stages {
        plugins,
        writer,
        store,
        model,
        mqtt,
        topics,
        devices,
        states,
        serving,
        shelf,
        microphones,
        cameras,
        voice,
    };
    Ok(Built {
        listening,
        looking,
        speaker,
        settings,
        stages,
        agent,
        first,
        model: about,
        models,
        opening: Some(opened),
        worker,
        connection,
        effects,
        back,
        told,
        events,
        recovered,
    })
}

impl Built {
    /// What `hob check` prints of it, a line each.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let mut lines = vec![
            format!("node      {}", self.settings.node.name),
            format!("model     {} {}, {} KV pairs", self.model.name, self.model.variant, self.model.kv_pairs),
            format!("tools     {}", self.stages.plugins.tools().len()),
            format!("devices   {}", self.stages.devices.inventory().devices.len()),
            format!("rules     {}", self.settings.rule.len()),
            format!("state     {}", self.settings.state.folder.display()),
        ];
        lines.push(match &self.stages.mqtt {
            Some(_) => format!("broker    {}:{}", self.settings.mqtt.host, self.settings.mqtt.port),
            None => "broker    none".to_owned(),
        });
        let tools = self.stages.plugins.tools();
        let unknown = unknown_tools(&self.settings, &tools);
        lines.extend(
            unknown.map(|(rule, tool)| format!("warning   rule '{rule}' calls {tool}, which no plugin offers")),
        );
        lines.extend(self.recovered.iter().map(|damage| format!("warning   {damage}")));
        lines
    }

    /// Waits until the model is open.
    ///
    /// # Errors
    /// [`StartError::Model`] when it cannot be opened.
    pub async fn model_opened(&mut self) -> Result<(), StartError> {
        match self.opening.take() {
            Some(opening) => opened(opening).await,
            None => Ok(()),
        }
    }

    /// The broker, when hob is to have one.
    #[must_use]
    pub fn broker(&self) -> Option<MqttClient> {
        self.stages.mqtt.clone()
    }

    /// Closes what building opened.
    pub fn discard(self) {
        self.stages.writer.stop();
    }

    /// Runs with the control socket open, until `stop`.
    ///
    /// # Errors
    /// [`RunError`] when the socket cannot be opened or the driver gives up.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        make_folder_of(&self.settings.doors.socket);
        let door = Door::bind(door_settings(&self.settings)).await.map_err(StartError::Door)?;
        let (requests_in, requests) = mpsc::channel(DOOR_REQUESTS);
        self.drive(requests, stop, true, |supervisor| {
            let closed = supervisor.stop_token();
            supervisor.spawn("control socket", async move { door.serve(requests_in, closed.cancelled()).await });
        })
        .await
    }

    /// Runs with requests from `requests` instead of the socket, until `stop`: one turn by itself.
    ///
    /// # Errors
    /// [`RunError`] when the driver gives up.
    pub async fn run_alone(
        self,
        requests: mpsc::Receiver<DoorRequest>,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        self.drive(requests, stop, false, |_| {}).await
    }

    async fn drive(
        mut self,
        doors: mpsc::Receiver<DoorRequest>,
        stop: CancellationToken,
        senses: bool,
        open_doors: impl FnOnce(&mut Supervisor),
    ) -> Result<(), RunError> {
        let mut supervisor = Supervisor::default();
        open_doors(&mut supervisor);
        // The broker is left last: what is under way still has to be told.
        let broker_stop = CancellationToken::new();
        let mut broker = Supervisor::default();
        if let Some(connection) = self.connection.take() {
            broker.spawn("broker", connection.run(broker_stop.clone()));
        }
        self.watch_plugins(&mut supervisor);
        if senses {
            self.listening.start(&self.settings.senses).map_err(StartError::Thread)?;
            self.looking.start().map_err(StartError::Thread)?;
        }
        if let Some(speaker) = self.speaker.take() {
            supervisor.spawn("voice", speaker.run(supervisor.stop_token()));
        }
        let about = serde_json::to_value(&self.model).unwrap_or_default();
        let (limits, back) = (self.settings.commands, self.back.clone());
        let mut driver = Driver::new(self.agent, self.stages.clone(), limits, about, self.models, back);
        let ears = Ears { told: self.told, mqtt: self.events, doors };
        let status = format!("{} tools, {}", self.stages.plugins.tools().len(), self.model.name);
        service::ready(&format!("{status}; the model is being opened, commands wait"));
        tracing::info!(node = %self.settings.node.name, model = self.model.name, "ready");
        let (opening, back) = (self.opening, self.back);
        let no_model = async move {
            if let Some(opening) = opening
                && let Err(error) = opened(opening).await
            {
                return error;
            }
            service::status(&status);
            back.send(Told::Ready).await.ok();
            std::future::pending().await
        };
        let driven = tokio::select! {
            biased;
            error = no_model => Err(RunError::Start(error)),
            driven = driver.run(self.first, ears, service::alive, stop) => driven.map_err(RunError::Driver),
            task = supervisor.first_to_fail() => Err(RunError::Task(task)),
            task = broker.first_to_fail() => Err(RunError::Task(task)),
        };
        service::stopping();
        let mut left = named(supervisor.stop(GRACE).await);
        self.effects.close();
        if tokio::time::timeout(GRACE, self.effects.wait()).await.is_err() {
            left.push("device commands");
        }
        broker_stop.cancel();
        left.extend(named(broker.stop(GRACE).await));
        // The driver and its ears are gone, so neither thread waits for anyone.
        drop(self.worker);
        self.stages.writer.stop();
        if !left.is_empty() {
            tracing::warn!(?left, "these did not end in time");
        }
        driven
    }

    /// Looks after paused plugins, and tells the driver when the offer changes.
    fn watch_plugins(&self, supervisor: &mut Supervisor) {
        let plugins = self.stages.plugins.clone();
        let inventory = self.stages.devices.inventory().clone();
        let back = self.back.clone();
        let stop = supervisor.stop_token();
        let mut changes = plugins.changes();
        supervisor.spawn("plugins", async move {
            let mut recovery = tokio::time::interval(RECOVERY);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = recovery.tick() => {
                        plugins.recover().await;
                    }
                    changed = changes.changed() => {
                        let offer = Offer { tools: plugins.tools(), inventory: (*inventory).clone() };
                        if changed.is_err() || back.send(Told::Offer(Arc::new(offer))).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
}

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The driver gave up.
    #[error(transparent)]
    Driver(DriverError),
    /// A task ended.
    #[error("the task \"{0}\" ended by itself")]
    Task(&'static str),
}

fn named(stopped: Stopped) -> Vec<&'static str> {
    match stopped {
        Stopped::Drained => Vec::new(),
        Stopped::Aborted(names) => names,
    }
}

/// Who owns a folder, or the nearest one above that is there.
pub(crate) fn owner(folder: &Path) -> Option<u32> {
    folder.ancestors().find_map(|folder| std::fs::metadata(folder).ok()).map(|about| about.uid())
}

/// The user hob runs as, as the kernel shows it.
pub(crate) fn own_uid() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

/// Root would leave files that hob's own user cannot use.
fn refuse_root(settings: &Settings) -> Result<(), StartError> {
    let folder = &settings.state.folder;
    match owner(folder) {
        Some(owner) if owner != 0 && rustix::process::geteuid().is_root() => {
            Err(StartError::Root { folder: folder.clone(), owner })
        }
        Some(_) | None => Ok(()),
    }
}

/// Makes the folder that a socket is to lie in. When it cannot, opening the socket says why.
pub(crate) fn make_folder_of(socket: &Path) {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).ok();
    }
}

type Opening = oneshot::Receiver<Result<(), OpenModelError>>;

async fn opened(opening: Opening) -> Result<(), StartError> {
    match opening.await {
        Ok(result) => Ok(result?),
        // Its thread broke, and has said how.
        Err(_) => Err(StartError::ModelBroke),
    }
}

fn restore(agent: &mut Agent, store: &Store, whole: bool) -> Result<Decisions, ReadStateError> {
    let conversations = store.conversations()?;
    let kept = |StoredConversation { id, messages, lowest, at }| KeptConversation { id, messages, lowest, at };
    let conversations = conversations.into_iter().map(kept).collect();
    Ok(agent.restore(now(), whole, conversations, store.unfinished()?))
}

/// Forgets what rules remember that are gone. What all remember together has no name.
fn forgotten(settings: &Settings, remembered: &[(String, serde_json::Value)]) -> Vec<Record> {
    let gone = |name: &str| match name.strip_prefix(spoken::REMEMBERED) {
        Some(microphone) => settings.microphone.iter().all(|known| known.name.as_str() != microphone),
        None => !name.is_empty() && settings.rule.iter().all(|rule| rule.name != name),
    };
    let pieces = remembered.iter().map(|(name, _)| name).filter(|name| gone(name));
    pieces.map(|piece| Record::Remembered { piece: piece.clone(), memory: None }).collect()
}

/// Rules that call a tool which no plugin offers, each with that tool.
fn unknown_tools<'a>(settings: &'a Settings, tools: &'a [ToolSpec]) -> impl Iterator<Item = (&'a str, &'a ToolName)> {
    let called = |rule: &'a Rule| match &rule.action {
        RuleAction::Call { tool, .. } => Some((rule.name.as_str(), tool)),
        RuleAction::Ignore | RuleAction::Publish { .. } | RuleAction::Ask(_) | RuleAction::Notify { .. } => None,
    };
    settings.rule.iter().filter_map(called).filter(|(_, called)| tools.iter().all(|tool| tool.name != **called))
}
