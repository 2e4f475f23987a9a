//! The microphones of a running hob: what is said there and meant for it becomes a sound that the model hears.
//!
//! Each has a thread that listens (`ear`). What its attention lets past goes to one scribe, which puts it together and
//! has it encoded while it is still being said; what is whole is told to the driver. No sample lies on disk.

mod ear;
mod scribe;

use crate::driver::Told;
use crate::settings::{Microphone, Senses};
use bytes::Bytes;
use ear::{Ear, EarThread};
use hob_events::{MediumId, SenseName, UnixMs};
use hob_model::{Spoken, WorkerHandle};
use hob_onnx::Runtime;
use hob_senses::attention::Cue;
use scribe::Pieces;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// What microphones tell.
#[derive(Debug)]
pub enum Heard {
    /// How a microphone is now.
    Is(SenseName, Condition),
    /// Somebody called hob there, by a push or the phrase, or begins to speak after it.
    Called(SenseName),
    /// Something was said.
    Said(Said),
}

/// Something that was said and is meant for hob.
#[derive(Debug)]
pub struct Said {
    /// Where.
    pub microphone: SenseName,
    /// Its samples' name.
    pub id: MediumId,
    /// How much of it was speech.
    pub speech_ms: u64,
    /// When its end was known.
    pub at: UnixMs,
}

/// How a microphone is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Condition {
    /// Its stream is open, and nobody speaks to hob.
    Waiting,
    /// Somebody speaks to hob.
    Listening,
    /// Its stream is closed, as somebody wanted.
    Muted,
    /// No sound comes; it is tried again.
    Lost {
        /// Why.
        reason: String,
    },
    /// It cannot be listened to until somebody changes something.
    Broken {
        /// Why.
        reason: String,
    },
}

/// What the threads need.
#[derive(Debug)]
pub struct Needs {
    /// Runs the detectors.
    pub runtime: Runtime,
    /// Encodes what is being said.
    pub model: WorkerHandle,
    /// Keeps what was said.
    pub spoken: Spoken,
    /// To the driver.
    pub back: Sender<Told>,
}

/// Speaks to all of them. Cheap to clone; the threads end when the last of these is gone.
#[derive(Debug, Clone)]
pub struct Microphones {
    ears: Arc<[Ear]>,
}

/// The threads, not yet started.
#[derive(Debug)]
pub struct Listening {
    listeners: Vec<EarThread>,
    pieces: Pieces,
    needs: Needs,
}

impl Listening {
    /// Starts to listen.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(self, senses: &Senses) -> std::io::Result<()> {
        let Self { listeners, pieces, needs } = self;
        let runtime = needs.runtime.clone();
        if !listeners.is_empty() {
            scribe::start(pieces, needs)?;
        }
        listeners.into_iter().try_for_each(|listener| listener.start(&runtime, senses))
    }
}

/// There is no such microphone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no microphone '{name}'{known}")]
pub struct UnknownMicrophone {
    name: String,
    known: String,
}

impl Microphones {
    /// All of them, and what listens to all but the `muted` ones once it is started.
    pub fn open(microphones: &[Microphone], muted: impl Fn(&SenseName) -> bool, needs: Needs) -> (Self, Listening) {
        let (scribe, pieces) = scribe::handle();
        let open = |microphone: &Microphone| {
            Ear::open(microphone, muted(&microphone.name), scribe.clone(), needs.back.clone())
        };
        let (ears, listeners): (Vec<Ear>, Vec<EarThread>) = microphones.iter().map(open).unzip();
        (Self { ears: ears.into() }, Listening { listeners, pieces, needs })
    }

    /// The settings and condition of each.
    pub fn all(&self) -> impl Iterator<Item = (&Microphone, Condition)> {
        self.ears.iter().map(|ear| (ear.settings(), ear.condition()))
    }

    /// The settings of one.
    ///
    /// # Errors
    /// [`UnknownMicrophone`].
    pub fn settings(&self, name: &SenseName) -> Result<&Microphone, UnknownMicrophone> {
        self.ear(name.as_str()).map(Ear::settings)
    }

    /// Whether one is muted; one that there is not is.
    #[must_use]
    pub fn is_muted(&self, name: &SenseName) -> bool {
        self.ear(name.as_str()).map_or(true, Ear::is_muted)
    }

    /// The button of one was pressed, or let go.
    ///
    /// # Errors
    /// [`UnknownMicrophone`].
    pub fn push(&self, name: &str, pressed: bool) -> Result<(), UnknownMicrophone> {
        self.ear(name).map(|ear| ear.cue(Cue::Push(pressed)))
    }

    /// Mutes one, or no longer.
    ///
    /// # Errors
    /// [`UnknownMicrophone`].
    pub fn mute(&self, name: &str, muted: bool) -> Result<(), UnknownMicrophone> {
        self.ear(name).map(|ear| ear.mute(muted))
    }

    /// Sound of a satellite: 16 kHz, one channel, 16 bits, the lower byte first.
    ///
    /// # Errors
    /// [`UnknownMicrophone`].
    pub fn feed(&self, name: &str, sound: &Bytes) -> Result<(), UnknownMicrophone> {
        self.ear(name).map(|ear| ear.feed(sound))
    }

    /// What was said at one is answered.
    pub fn answered(&self, name: &str) {
        if let Ok(ear) = self.ear(name) {
            ear.cue(Cue::Answered);
        }
    }

    /// Hob speaks, or has ended.
    pub fn speaking(&self, speaking: bool) {
        self.ears.iter().for_each(|ear| ear.cue(Cue::Speaking(speaking)));
    }

    fn ear(&self, name: &str) -> Result<&Ear, UnknownMicrophone> {
        self.ears.iter().find(|ear| ear.settings().name.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = self.ears.iter().map(|ear| ear.settings().name.as_str()).collect();
            let known = match names.as_slice() {
                [] => ": the settings name none, see [[microphone]]".to_owned(),
                names => format!(", only {}", names.join(", ")),
            };
            UnknownMicrophone { name: name.to_owned(), known }
        })
    }
}
