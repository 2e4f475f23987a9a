//! The encoders: what makes rows of the decoder's input out of pictures and sounds.
//!
//! Each is a graph beside the decoder, opened for the first medium and given back when it has been idle. What it made is
//! kept for a while by medium, so that the next step of a turn and the next turn of a conversation do not see the same
//! picture anew.

mod features;
mod hearing;
mod layout;
mod needs;
mod overlay;
mod senses;

pub(crate) use features::Features;
use features::Kept;
pub use hearing::Hearing;
use layout::{AudioLayout, VisionLayout};
pub use needs::EncoderNeeds;
pub(crate) use overlay::Overlaid;
pub use senses::Senses;

use crate::budget::Size;
use crate::folder::ModelFolder;
use crate::media::mel::Frames;
use crate::soft::{Library, Prepared, Sense, ShowMediumError, Sight};
use hob_onnx::{OpenSessionError, RunError, Runtime, Session, SessionSettings, Stop, TensorError, usable_memory};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a medium has no rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error(transparent)]
    Show(#[from] ShowMediumError),
    #[error("the {0} of a prompt is not known any more: ask again")]
    Forgotten(&'static str),
    #[error("cannot take in a {sense}: {source}")]
    Open { sense: Sense, source: Box<OpenSessionError> },
    #[error("{graph} has another layout: expected {expected}, found {found}")]
    Layout { graph: &'static str, expected: &'static str, found: String },
    #[error(
        "taking in this {sense} takes {needs} and {free} are free: {advice}",
        advice = match sense { Sense::Sound => "give hob more memory", Sense::Picture(_) | Sense::Frame => "lower `[media] image_tokens`, or give hob more memory" }
    )]
    Memory { sense: Sense, needs: EncoderNeeds, free: Size },
    #[error("the encoder gave {found} rows for a {sense} of {expected}")]
    Rows { sense: Sense, expected: usize, found: usize },
    #[error("the encoder gave numbers that are none for a {sense}")]
    NotFinite { sense: Sense },
    #[error("the encoder failed: {0}")]
    Run(RunError),
    #[error("the run was stopped")]
    Stopped,
}

impl From<RunError> for EncodeError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped => Self::Stopped,
            RunError::Tensor(_) | RunError::NoOutput(_) | RunError::Failed(_) => Self::Run(error),
        }
    }
}

impl From<TensorError> for EncodeError {
    fn from(error: TensorError) -> Self {
        Self::Run(error.into())
    }
}

/// An encoder that is open.
#[derive(Debug)]
struct Open<L> {
    session: Session,
    layout: L,
    used: Instant,
}

/// Both encoders of one model folder, and what they made lately.
#[derive(Debug)]
pub(crate) struct Encoders {
    runtime: Runtime,
    session: SessionSettings,
    files: [Option<PathBuf>; 2],
    check_memory: bool,
    heads: usize,
    padding: u32,
    vision: Option<Open<VisionLayout>>,
    audio: Option<Open<AudioLayout>>,
    library: Arc<Library>,
    kept: Kept,
}

impl Encoders {
    /// Nothing is opened yet.
    pub(crate) fn new(
        runtime: &Runtime,
        folder: &ModelFolder,
        session: &SessionSettings,
        check_memory: bool,
        library: Arc<Library>,
    ) -> Self {
        Self {
            runtime: runtime.clone(),
            // Only the decoder is packed: it is what is opened at each start, and there is room for two.
            session: SessionSettings { packed: None, ..session.clone() },
            files: [folder.vision.clone(), folder.audio.clone()],
            check_memory,
            heads: folder.config.vision_heads(),
            padding: folder.config.padding(),
            vision: None,
            audio: None,
            library,
            kept: Kept::default(),
        }
    }

    /// The rows of a medium: as they were kept, or encoded now.
    pub(crate) fn features(&mut self, sight: Sight, stop: &Stop) -> Result<Arc<Features>, EncodeError> {
        if let Some(kept) = self.kept.find(sight) {
            return Ok(kept);
        }
        let prepared = self.library.take(sight)?;
        let features = Arc::new(self.encode(sight.sense, &prepared, stop)?);
        self.keep(sight, &features);
        Ok(features)
    }

    fn keep(&mut self, sight: Sight, features: &Arc<Features>) {
        self.kept.keep(sight, Arc::clone(features));
    }

    /// The rows of what is not in the library.
    fn encode(&mut self, sense: Sense, medium: &Prepared, stop: &Stop) -> Result<Features, EncodeError> {
        let expected = medium.rows();
        let found = match medium {
            Prepared::Picture(patches) => {
                let Open { session, layout, used } = self.vision(sense, patches.count)?;
                let outputs = session.run(&layout.feeds(patches)?.each(), stop)?;
                *used = Instant::now();
                Features::read(&outputs, layout.features)?
            }
            Prepared::Sound(frames) => self.encode_frames(frames, stop)?,
        };
        let rows = found.rows();
        // What is left of padding stands at the end.
        let features = found.first(expected).ok_or(EncodeError::Rows { sense, expected, found: rows })?;
        if features.is_finite() { Ok(features) } else { Err(EncodeError::NotFinite { sense }) }
    }

    /// All that the audio encoder makes of frames, padding among it.
    fn encode_frames(&mut self, frames: &Frames, stop: &Stop) -> Result<Features, EncodeError> {
        let Open { session, layout, used } = self.audio()?;
        let outputs = session.run(&layout.feeds(frames)?.each(), stop)?;
        *used = Instant::now();
        Ok(Features::read(&outputs, layout.features)?)
    }

    fn vision(&mut self, sense: Sense, patches: usize) -> Result<&mut Open<VisionLayout>, EncodeError> {
        if self.check_memory {
            let load = self.vision.is_none();
            self.admit(sense, |needs| needs.of_picture(patches, load))?;
        }
        if self.vision.is_none() {
            let session = self.open(sense)?;
            let layout = VisionLayout::read(session.signature())?;
            self.vision = Some(Open { session, layout, used: Instant::now() });
        }
        self.vision.as_mut().ok_or(EncodeError::Forgotten("picture"))
    }

    fn audio(&mut self) -> Result<&mut Open<AudioLayout>, EncodeError> {
        if self.audio.is_none() {
            if self.check_memory {
                self.admit(Sense::Sound, EncoderNeeds::of_sound)?;
            }
            let session = self.open(Sense::Sound)?;
            let layout = AudioLayout::read(session.signature())?;
            self.audio = Some(Open { session, layout, used: Instant::now() });
        }
        self.audio.as_mut().ok_or(EncodeError::Forgotten("sound"))
    }

    fn file(&self, sense: Sense) -> Option<&PathBuf> {
        let [vision, audio] = &self.files;
        match sense {
            Sense::Picture(_) | Sense::Frame => vision.as_ref(),
            Sense::Sound => audio.as_ref(),
        }
    }

    fn open(&self, sense: Sense) -> Result<Session, EncodeError> {
        let missing = || EncodeError::Forgotten("encoder");
        let file = self.file(sense).ok_or_else(missing)?;
        tracing::info!(graph = %file.display(), "opening an encoder");
        Session::open(&self.runtime, file, &self.session)
            .map_err(|source| EncodeError::Open { sense, source: Box::new(source) })
    }

    /// Holds what encoding takes against what is free.
    fn admit(&self, sense: Sense, of: impl FnOnce(EncoderNeeds) -> EncoderNeeds) -> Result<(), EncodeError> {
        let (Some(file), Some(free)) = (self.file(sense), usable_memory()) else { return Ok(()) };
        let needs = of(EncoderNeeds::read(file, self.heads).map_err(|source| EncodeError::Layout {
            graph: "an encoder",
            expected: "an ONNX graph",
            found: source.to_string(),
        })?);
        if needs.total() > free { Err(EncodeError::Memory { sense, needs, free: Size(free) }) } else { Ok(()) }
    }

    /// Gives back what has been idle until `now` for `idle`. Returns when there is something to give back next.
    pub(crate) fn rest(&mut self, now: Instant, idle: Duration) -> Option<Instant> {
        let due = |used: Instant| used.checked_add(idle).filter(|due| *due > now);
        if self.vision.as_ref().is_some_and(|open| due(open.used).is_none()) {
            tracing::info!("the vision encoder was idle and is given back");
            self.vision = None;
        }
        if self.audio.as_ref().is_some_and(|open| due(open.used).is_none()) {
            tracing::info!("the audio encoder was idle and is given back");
            self.audio = None;
        }
        let used = [self.vision.as_ref().map(|open| open.used), self.audio.as_ref().map(|open| open.used)];
        used.into_iter().flatten().filter_map(due).min()
    }

    /// The token whose rows stand where media are.
    pub(crate) fn padding(&self) -> u32 {
        self.padding
    }

    /// How many encoders are open, for tests and people.
    pub(crate) fn open_now(&self) -> usize {
        usize::from(self.vision.is_some()) + usize::from(self.audio.is_some())
    }
}
