//! The owner's settings: one file, every key with a default, checked once before anything starts.
//!
//! `configs/hob.toml` documents every key. `HOB_<SECTION>__<KEY>` in the environment wins over the file. A key that
//! nothing reads is an error that names the nearest one, so that a misspelt setting is not silently the default.

mod cameras;
mod microphones;
mod model;

pub use cameras::Camera;
pub use microphones::{Microphone, OpenPhraseError, Senses, Voice};
pub use model::{Draft, Model, Sampling};

use crate::spoken::REMEMBERED;
use config::{Config, Environment, File, FileFormat};
use hob_agent::{AgentSettings, Place, Rule, RuleLimits};
use hob_events::{CommandLimits, NodeName};
use hob_onnx::Provider;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Where the settings are looked for when no file is named.
pub const DEFAULT_FILE: &str = "/etc/hob/hob.toml";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadSettingsError {
    /// The file is not there.
    #[error("there are no settings at {path}: copy configs/hob.toml there, or name a file with --config")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file, or a variable, is not understood.
    #[error("the settings in {path} are not understood: {reason}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Which key, and why.
        reason: String,
    },
}

/// Everything the owner can set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Settings {
    /// The board as others see it.
    pub node: Node,
    /// Which model, and how it decodes.
    pub model: Model,
    /// The library that runs the model.
    pub onnx: Onnx,
    /// Bounds on turns.
    pub agent: AgentSettings,
    /// The broker.
    pub mqtt: Mqtt,
    /// The control socket.
    pub doors: Doors,
    /// Where plugins, grants and compiled code lie.
    pub plugins: Plugins,
    /// The inventory.
    pub devices: Inventory,
    /// What is remembered, and for how long.
    pub state: State,
    /// Pictures, sounds and films.
    pub media: Media,
    /// What all microphones have in common.
    pub senses: Senses,
    /// What the board listens with.
    pub microphone: Vec<Microphone>,
    /// What it looks with.
    pub camera: Vec<Camera>,
    /// How it answers aloud.
    pub voice: Voice,
    /// Bounds on commands.
    pub commands: CommandLimits,
    /// What is logged, and where to.
    pub log: Log,
    /// Where the board stands, for rules that go by the clock or the sun.
    pub place: Place,
    /// The owner's answers to messages, to silence and to the time of day, in order.
    pub rule: Vec<Rule>,
    /// Bounds on all of them together.
    pub rules: RuleLimits,
}

/// The board as others see it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// The second level of every topic.
    pub name: NodeName,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: NodeName::lossy("hob") }
    }
}

/// The library that runs the model.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Onnx {
    /// `libonnxruntime.so`; none to look beside the binary, then in `/usr/lib/hob`.
    pub library: Option<PathBuf>,
    /// Libraries of providers that come as plugins; those without a line are looked for as
    /// [`find_plugin`](hob_onnx::find_plugin) says.
    pub plugins: BTreeMap<Provider, PathBuf>,
}

/// The broker.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    /// Without a broker, hob still answers on its socket.
    pub enabled: bool,
    /// The broker's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How hob calls itself to the broker; empty for `hob-<node>`.
    pub client_id: String,
    /// A user name, when the broker asks for one.
    pub username: Option<String>,
    /// A file that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// Seconds of silence after which the connection is tested.
    pub keep_alive_s: u16,
    /// How long the broker keeps the session while hob is away.
    pub session_expiry_s: u32,
    /// The largest packet either way.
    pub max_packet_bytes: u32,
    /// Messages that may wait while the broker is away; the oldest status goes first.
    pub queue: usize,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            enabled: true,
            host: "127.0.0.1".into(),
            port: 1883,
            client_id: String::new(),
            username: None,
            password_file: None,
            keep_alive_s: 30,
            session_expiry_s: 24 * 60 * 60,
            max_packet_bytes: 1024 * 1024,
            queue: 256,
        }
    }
}

/// The control socket.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Doors {
    /// Where it lies.
    pub socket: PathBuf,
    /// User ids that may use it besides root and hob's own.
    pub allow_uids: Vec<u32>,
}

impl Default for Doors {
    fn default() -> Self {
        Self { socket: "/run/hob/control.sock".into(), allow_uids: Vec::new() }
    }
}

/// Where plugins, grants and compiled code lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Installed packages.
    pub folder: PathBuf,
    /// The owner's grants, one file a plugin.
    pub grants: PathBuf,
    /// Compiled components; may be emptied at any time.
    pub cache: PathBuf,
    /// Calls that run at the same time, over all plugins.
    pub calls_at_once: usize,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            folder: "/var/lib/hob/plugins".into(),
            grants: "/etc/hob/grants".into(),
            cache: "/var/cache/hob/plugins".into(),
            calls_at_once: 4,
        }
    }
}

/// The inventory.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inventory {
    /// The file that lists the devices.
    pub file: PathBuf,
}

impl Default for Inventory {
    fn default() -> Self {
        Self { file: "/etc/hob/devices.toml".into() }
    }
}

/// What is remembered, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// The database.
    pub folder: PathBuf,
    /// Final results kept, so that a repeated command is answered and not run again.
    pub finals: usize,
    /// Days they are kept.
    pub finals_days: u32,
    /// Lines of the audit log kept; the chain stays whole.
    pub audit_lines: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { folder: "/var/lib/hob/state".into(), finals: 10_000, finals_days: 7, audit_lines: 100_000 }
    }
}

/// Pictures, sounds and films.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// Bytes of all that are kept; the longest unused go first, those that commands and conversations need stay.
    pub shelf_bytes: u64,
    /// Bytes of one.
    pub medium_bytes: u64,
    /// Soft tokens of a picture at most: 70, 140, 280, 560 or 1120. More show smaller writing and take longer.
    pub image_tokens: u32,
    /// An encoder that had nothing to do for so many seconds gives its memory back.
    pub encoder_idle_s: u64,
    /// The program that `hob ask` takes films apart with, and what hob reads not itself: a name or a path.
    pub ffmpeg: String,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            shelf_bytes: 256 << 20,
            medium_bytes: 32 << 20,
            image_tokens: 280,
            encoder_idle_s: 60,
            ffmpeg: "ffmpeg".into(),
        }
    }
}

/// What is logged, and where to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A filter as tracing has it: `info`, `hob=debug,warn`.
    pub filter: String,
    /// Where to.
    pub to: LogTarget,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info,ort=warn".into(), to: LogTarget::Auto }
    }
}

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// journald under systemd, else stderr.
    Auto,
    /// journald.
    Journald,
    /// stderr.
    Stderr,
}

impl Settings {
    /// Reads the file and the environment. Paths in the file count from the file's own folder.
    ///
    /// # Errors
    /// [`ReadSettingsError`], naming the file and the key.
    pub fn read(path: &Path) -> Result<Self, ReadSettingsError> {
        Self::read_with(path, std::env::vars().collect())
    }

    fn read_with(path: &Path, variables: HashMap<String, String>) -> Result<Self, ReadSettingsError> {
        if !path.exists() {
            return Err(ReadSettingsError::Missing { path: path.to_owned() });
        }
        // Only HOB_SECTION__KEY is a setting: other HOB_ variables belong to scripts.
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with("HOB_") && name.contains("__")).collect();
        let environment = Environment::with_prefix("HOB")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            // The one list that is worth naming on a command line: HOB_MODEL__PROVIDERS=openvino,cpu.
            .list_separator(",")
            .with_list_parse_key("model.providers")
            .source(Some(ours));
        let wrong = |error: config::ConfigError| ReadSettingsError::Wrong {
            path: path.to_owned(),
            reason: with_nearest_key(&error.to_string()),
        };
        let read = Config::builder()
            .add_source(File::from(path).format(FileFormat::Toml))
            .add_source(environment)
            .build()
            .map_err(wrong)?;
        let mut settings: Self = read.try_deserialize().map_err(wrong)?;
        settings.take_paths_from(path.parent().unwrap_or(Path::new(".")));
        settings.check(path)?;
        Ok(settings)
    }

    fn take_paths_from(&mut self, folder: &Path) {
        let paths = [
            &mut self.model.folder,
            &mut self.model.store,
            &mut self.model.cache,
            &mut self.doors.socket,
            &mut self.plugins.folder,
            &mut self.plugins.grants,
            &mut self.plugins.cache,
            &mut self.devices.file,
            &mut self.state.folder,
            &mut self.senses.vad,
            &mut self.senses.wake.folder,
        ];
        let optional = self.mqtt.password_file.iter_mut().chain(&mut self.senses.wake.voice);
        let libraries = self.onnx.library.iter_mut().chain(self.onnx.plugins.values_mut());
        for path in paths.into_iter().chain(libraries).chain(optional) {
            // Joining an absolute path gives that path.
            *path = folder.join(&*path);
        }
    }

    fn check(&self, path: &Path) -> Result<(), ReadSettingsError> {
        let wrong = |reason| Err(ReadSettingsError::Wrong { path: path.to_owned(), reason });
        self.wrong().map_or(Ok(()), wrong)
    }

    /// The first thing that cannot be meant.
    fn wrong(&self) -> Option<String> {
        let bounds = [
            ("agent.turns_at_once", self.agent.turns_at_once),
            ("agent.backlog", self.agent.backlog),
            ("model.slots", self.model.slots),
            ("model.chunk_tokens", self.model.chunk_tokens),
            ("model.queue", self.model.queue),
            ("mqtt.queue", self.mqtt.queue),
            ("plugins.calls_at_once", self.plugins.calls_at_once),
            ("state.finals", self.state.finals),
        ];
        if let Some((key, _)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            return Some(format!("{key} must be at least 1"));
        }
        if let Some(reason) = self.senses.wrong() {
            return Some(reason);
        }
        if let Some(rule) = self.rule.iter().find(|rule| rule.name.starts_with(REMEMBERED)) {
            return Some(format!(
                "no rule may be called '{}': what begins with {REMEMBERED} is a microphone's",
                rule.name
            ));
        }
        if let Some(reason) = self.model.wrong() {
            return Some(reason);
        }
        if let Some(reason) = self.microphone.iter().find_map(Microphone::wrong) {
            return Some(reason);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.microphone.iter().find(|microphone| !names.insert(&microphone.name)) {
            return Some(format!("two microphones are called {}", twice.name));
        }
        if let Some(reason) = self.camera.iter().find_map(Camera::wrong) {
            return Some(reason);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.camera.iter().find(|camera| !names.insert(&camera.name)) {
            return Some(format!("two cameras are called {}", twice.name));
        }
        // The driver hands generations over without waiting: the queue must hold what the agent can have open.
        let short = self.model.queue < self.agent.turns_at_once;
        short.then(|| "model.queue must be at least agent.turns_at_once".to_owned())
    }
}

/// What is wrong with a TOML text, and in which line.
#[must_use]
pub fn with_line(text: &str, error: &toml::de::Error) -> String {
    let message = with_nearest_key(error.message());
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or_else(|| message.clone(), |before| format!("line {}: {message}", before.matches('\n').count() + 1))
}

/// Adds the nearest known key to serde's message about an unknown one.
#[must_use]
pub fn with_nearest_key(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((unknown, known)) = quoted.split_first() else { return message.to_owned() };
    if !message.contains("unknown field") && !message.contains("unknown variant") {
        return message.to_owned();
    }
    let near = |key: &&&str| strsim::damerau_levenshtein(unknown, key);
    match known.iter().min_by_key(near).filter(|key| near(key) <= 3) {
        Some(nearest) => format!("{message}; did you mean `{nearest}`?"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_onnx::Wanted;
    use insta::assert_snapshot;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hob.toml");
        std::fs::write(&path, text).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::read_with(&path, variables)
            .map_err(|error| error.to_string().replace(&*folder.path().to_string_lossy(), "<folder>"))
    }

    #[test]
    fn an_empty_file_is_all_defaults_and_the_environment_wins() {
        let settings = read("[mqtt]\nport = 1", &[("HOB_MQTT__PORT", "2"), ("HOB_ONNX_LIBRARY", "/x")]).unwrap();
        assert_eq!(settings.mqtt.port, 2);
        assert_eq!(settings.agent, AgentSettings::default());
    }

    #[test]
    fn providers_are_known_by_name_and_their_plugins_by_path() {
        let text = "[model]\nproviders = ['openvino:gpu', 'cpu']\n[onnx.plugins]\nopenvino = 'ov.so'";
        let settings = read(text, &[]).unwrap();
        let names: Vec<String> = settings.model.providers.iter().map(ToString::to_string).collect();
        assert_eq!((names.join(" "), settings.model.fallback), ("openvino:gpu cpu".to_owned(), false));
        assert!(settings.onnx.plugins[&Provider::OpenVino].is_absolute());

        let variables = [("HOB_MODEL__PROVIDERS", "qnn,cpu"), ("HOB_ONNX__PLUGINS__QNN", "/q.so")];
        let settings = read("[model]\nfallback = true", &variables).unwrap();
        assert_eq!(settings.model.providers.first(), Some(&Wanted::any(Provider::Qnn)));
        assert_eq!(settings.onnx.plugins[&Provider::Qnn], Path::new("/q.so"));

        assert_snapshot!(read("[model]\nproviders = ['opnvino']", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: there is no provider 'opnvino', only 'cpu', 'openvino', 'webgpu', 'qnn', 'cuda', 'tensorrt'; did you mean 'openvino'? for key `model.providers[0]`");
        assert_snapshot!(read("[model]\nproviders = ['cuda:gpu']", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: 'cuda:gpu': 'cuda' has one kind of device and is asked for by its name alone for key `model.providers[0]`");
        assert_snapshot!(read("[model]\nproviders = []", &[]).unwrap_err(), @r#"the settings in <folder>/hob.toml are not understood: model.providers must name at least one, such as "cpu""#);
        assert_snapshot!(read("[model]\nproviders = ['cpu', 'cpu']", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: model.providers names 'cpu' twice");
        assert!(read("[onnx.plugins]\nopenvin = 'x'", &[]).unwrap_err().contains("did you mean 'openvino'?"));
    }

    #[test]
    fn paths_count_from_the_file() {
        let text =
            "[model]\nfolder = 'm'\n[state]\nfolder = '/abs'\n[senses]\nvad = 's/vad.onnx'\n[senses.wake]\nvoice = 'v'";
        let settings = read(text, &[]).unwrap();
        assert!(settings.model.folder.is_absolute() && settings.model.folder.ends_with("m"));
        assert!(settings.senses.vad.is_absolute() && settings.senses.vad.ends_with("s/vad.onnx"));
        assert!(settings.senses.wake.voice.unwrap().is_absolute());
        assert_eq!(settings.state.folder, Path::new("/abs"));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_nearest_key() {
        assert_snapshot!(read("[mqtt]\nprot = 1", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: unknown field `prot`, expected one of `enabled`, `host`, `port`, `client_id`, `username`, `password_file`, `keep_alive_s`, `session_expiry_s`, `max_packet_bytes`, `queue` for key `mqtt`; did you mean `port`?");
        assert_snapshot!(read("[agent]\nbacklog = 0", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: agent.backlog must be at least 1");
        assert_snapshot!(read("[node]\nname = 'a/b'", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: '/' cannot be part of an identifier: use letters, digits, '_', '-', '.' and ':' for key `node.name`");
        assert_snapshot!(read("[[rule]]\nname='x'\ntopic='a'\ndo='ignor'", &[]).unwrap_err(), @"the settings in <folder>/hob.toml are not understood: enum RuleAction does not have variant constructor ignor for key `rule[0]do`");
        assert_snapshot!(read("[model]\nhub = 'hub.example'", &[]).unwrap_err(), @r#"the settings in <folder>/hob.toml are not understood: model.hub: "hub.example" cannot be a hub: it needs http:// or https:// and a host; it looks like https://host or http://host:port/path"#);
        assert!(read("[mqtt]\nport = 'x'", &[]).unwrap_err().contains("expected an integer for key `mqtt.port`"));
    }

    #[test]
    fn sampling_that_cannot_be_meant_is_refused() {
        let sampling =
            |line: &str| read(&format!("[model.sampling]\n{line}"), &[]).map(|settings| settings.model.sampling);
        assert_snapshot!(sampling("min_p = 1.5").unwrap_err(), @"the settings in <folder>/hob.toml are not understood: model.sampling.min_p is a share from 0 to 1, not 1.5");
        assert_snapshot!(sampling("top_p = 90").unwrap_err(), @"the settings in <folder>/hob.toml are not understood: model.sampling.top_p is a share from 0 to 1, not 90");
        assert_snapshot!(sampling("temperature = -0.1").unwrap_err(), @"the settings in <folder>/hob.toml are not understood: model.sampling.temperature is 0 or a number above it, not -0.1");
        for wrong in ["min_p = nan", "top_p = -0.1", "temperature = nan", "temperature = inf"] {
            assert!(sampling(wrong).unwrap_err().contains(wrong.split(' ').next().unwrap()), "{wrong}");
        }
        let bounds = sampling("min_p = 1\ntop_p = 1.0\ntemperature = 2").unwrap();
        assert_eq!((bounds.min_p, bounds.top_p, bounds.temperature), (1.0, 1.0, 2.0));
    }

    #[test]
    fn the_shipped_file_sets_every_key_to_what_it_is_without_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/hob.toml");
        let shipped = Settings::read_with(&path, HashMap::new()).unwrap();
        let mut plain = Settings::default();
        plain.take_paths_from(path.parent().unwrap());
        assert_eq!(format!("{shipped:#?}"), format!("{plain:#?}"));
    }
}
