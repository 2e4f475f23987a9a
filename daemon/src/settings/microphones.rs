//! What the board listens and speaks with.

use hob_events::{SenseName, Trust};
use hob_onnx::Runtime;
use hob_senses::attention::Begin;
use hob_senses::segment::SegmentSettings;
use hob_senses::wake::{OpenWakeError, Wake, WakeFiles, voice};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What all microphones have in common.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Senses {
    /// The graph of the detector of speech.
    pub vad: PathBuf,
    /// What counts as something said.
    pub segment: SegmentSettings,
    /// The wake phrase.
    pub wake: WakePhrase,
}

impl Default for Senses {
    fn default() -> Self {
        Self {
            vad: "/usr/share/hob/senses/silero_vad.onnx".into(),
            segment: SegmentSettings::default(),
            wake: WakePhrase::default(),
        }
    }
}

impl Senses {
    /// The first thing that cannot be meant.
    pub(super) fn wrong(&self) -> Option<String> {
        /// What the model's ears take at a time.
        const LONGEST_MS: u64 = 30_000;
        let SegmentSettings { speech, lead_ms, longest_ms, .. } = self.segment;
        if !(0.0..=1.0).contains(&speech) {
            return Some("senses.segment.speech is from 0 to 1".to_owned());
        }
        if longest_ms == 0 || longest_ms.saturating_add(lead_ms) > LONGEST_MS {
            return Some(format!("senses.segment: longest_ms and lead_ms are {LONGEST_MS} together at most"));
        }
        let wake = self.wake.threshold;
        (!(0.0..=1.0).contains(&wake)).then(|| "senses.wake.threshold is from 0 to 1".to_owned())
    }
}

/// The wake phrase, for microphones that begin with it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WakePhrase {
    /// Where its graphs lie: `melspectrogram.onnx`, `embedding_model.onnx` and `hey_hob.onnx`.
    pub folder: PathBuf,
    /// It has to sound so much like the phrase, from 0 to 1: more wakes less often by mistake, and misses more.
    pub threshold: f32,
    /// What `hob senses train-wake` made of the household's own recordings.
    pub voice: Option<PathBuf>,
}

impl Default for WakePhrase {
    fn default() -> Self {
        Self { folder: "/usr/share/hob/senses".into(), threshold: 0.9, voice: None }
    }
}

impl WakePhrase {
    /// Opens its graphs, and the household's voice where there is one.
    ///
    /// # Errors
    /// [`OpenPhraseError`], naming what cannot be opened.
    pub fn open(&self, runtime: &Runtime) -> Result<Wake, OpenPhraseError> {
        let voice = self.voice.as_deref().map(read_voice).transpose()?;
        Wake::open(runtime, &WakeFiles::of(&self.folder), self.threshold, voice)
            .map_err(|source| OpenPhraseError::Graphs { folder: self.folder.clone(), source })
    }
}

fn read_voice(path: &Path) -> Result<voice::Voice, OpenPhraseError> {
    let wrong = |reason: String| OpenPhraseError::Voice { path: path.to_path_buf(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

/// Why the wake phrase cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum OpenPhraseError {
    /// Its graphs.
    #[error("{source}: is {folder} there?")]
    Graphs {
        /// Where they should lie.
        folder: PathBuf,
        /// What went wrong.
        source: OpenWakeError,
    },
    /// The household's voice.
    #[error("the voice {path}: {reason}; `hob senses train-wake` makes one")]
    Voice {
        /// Where it should lie.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

/// One microphone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Microphone {
    /// Its name in topics, logs and the audit log.
    pub name: SenseName,
    /// `hob senses list` names them; `mqtt` for a satellite, whose sound comes over the broker; `file:` and a path for a WAV
    /// file, read once, for trying things out.
    #[serde(default = "default_device")]
    pub device: String,
    /// The room it hears. The model is told, so that "here" means something.
    #[serde(default)]
    pub area: Option<String>,
    /// How far whoever speaks there is believed: `device` (little, may ask back) or `person`.
    #[serde(default = "default_trust")]
    pub trust: Trust,
    /// What makes hob listen.
    #[serde(default)]
    pub begin: Begin,
    /// Seconds after a push or the wake phrase within which somebody has to begin.
    #[serde(default = "default_open_s")]
    pub open_s: u64,
    /// Seconds after an answer within which speech counts by itself; 0 for never.
    #[serde(default)]
    pub follow_up_s: u64,
    /// Its server of sounds takes out what hob says.
    #[serde(default)]
    pub echo_cancelled: bool,
}

fn default_device() -> String {
    hob_senses::microphone::DEFAULT.to_owned()
}

const fn default_trust() -> Trust {
    Trust::Device
}

const fn default_open_s() -> u64 {
    8
}

impl Microphone {
    /// The first thing that cannot be meant.
    pub(super) fn wrong(&self) -> Option<String> {
        let Self { name, area, trust, open_s, .. } = self;
        match trust {
            Trust::Device | Trust::Person => {}
            Trust::Untrusted | Trust::Owner => {
                return Some(format!("microphone {name}: trust is device or person: nobody is known by their voice"));
            }
        }
        if *open_s == 0 {
            return Some(format!("microphone {name}: open_s must be at least 1"));
        }
        let empty = area.as_ref().is_some_and(|area| area.trim().is_empty());
        empty.then(|| format!("microphone {name}: area must not be empty: leave it out"))
    }
}

/// How hob answers aloud.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Voice {
    /// A program and its arguments, given the words on its standard input; it plays them itself. Empty for none.
    pub command: Vec<String>,
    /// It is ended after so many seconds.
    pub timeout_s: u64,
}

impl Default for Voice {
    fn default() -> Self {
        Self { command: Vec::new(), timeout_s: 60 }
    }
}
