//! A model's eyes and ears, for whoever renders prompts, runs them, or lets it listen.

use super::{EncodeError, Encoders, Hearing};
use crate::folder::ModelFolder;
use crate::front::told;
use crate::soft::{Absent, Library, Look, MediaSettings, Rows, Shown};
use hob_events::{GenerateFailure, Medium, MediumId};
use hob_onnx::{Runtime, SessionSettings, Stop};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// See the module. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Senses {
    library: Arc<Library>,
    encoders: Arc<Mutex<Encoders>>,
}

impl Senses {
    /// The encoders of a folder, none of them open yet.
    #[must_use]
    pub fn new(
        runtime: &Runtime,
        folder: &ModelFolder,
        session: &SessionSettings,
        settings: MediaSettings,
        check_memory: bool,
    ) -> Self {
        let library = Arc::new(Library::new(Some(settings), Absent::of(folder)));
        let encoders = Encoders::new(runtime, folder, session, check_memory, Arc::clone(&library));
        Self { library, encoders: Arc::new(Mutex::new(encoders)) }
    }

    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    pub(crate) fn encoders(&self) -> MutexGuard<'_, Encoders> {
        self.encoders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a medium from the shelf and gives its rows their ids.
    ///
    /// # Errors
    /// [`GenerateFailure::Medium`], saying what is wrong with it or missing.
    pub fn show(&self, medium: &Medium) -> Result<Shown, GenerateFailure> {
        self.library
            .show(medium, &mut Look::at_leisure())
            .map_err(|error| GenerateFailure::Medium { message: told(&error) })
    }

    /// The numbers of rows, one after another, each as wide as the decoder's input. They are encoded now unless they were
    /// lately: so what arrives before it is asked about, like the frames of a film, need not be waited for then.
    ///
    /// # Errors
    /// [`GenerateFailure::Medium`], saying why it cannot be taken in.
    pub fn take_in(&self, rows: &Rows, stop: &Stop) -> Result<Vec<f32>, GenerateFailure> {
        let taken = || {
            let first = rows.ids().next().ok_or(EncodeError::Forgotten("medium"))?;
            let place = self.library.place(first).ok_or(EncodeError::Forgotten("medium"))?;
            Ok(self.encoders().features(place.sight, stop)?.numbers().to_vec())
        };
        taken().map_err(|error: EncodeError| failed(&error))
    }

    /// Hears more of a sound, 16 kHz. What of it can be encoded for good is encoded, once a second of it is new. Returns
    /// how many rows are settled.
    ///
    /// # Errors
    /// [`GenerateFailure::Medium`], saying why it cannot be taken in.
    pub fn hear(&self, hearing: &mut Hearing, samples: &[f32], stop: &Stop) -> Result<usize, GenerateFailure> {
        hearing.push(samples);
        self.encoders().hear(hearing, stop).map_err(|error| failed(&error))
    }

    /// Whoever speaks pauses: all of the sound that can be encoded for good is, so that nothing is left to do should this have
    /// been the end. Returns how many rows are settled.
    ///
    /// # Errors
    /// [`GenerateFailure::Medium`], saying why it cannot be taken in.
    pub fn settle(&self, hearing: &mut Hearing, stop: &Stop) -> Result<usize, GenerateFailure> {
        self.encoders().settle(hearing, 1, stop).map_err(|error| failed(&error))
    }

    /// The sound ended where its rows are settled: they are kept under the name of its first
    /// [`settled_samples`](Hearing::settled_samples), for the prompt that shows them.
    pub fn keep_settled(&self, hearing: Hearing, id: MediumId) {
        self.encoders().keep_settled(hearing, id);
    }

    /// The whole sound was heard; its bytes lie on the shelf under `id`. Its rows are kept for the prompt that shows it.
    ///
    /// # Errors
    /// [`GenerateFailure::Medium`], saying why it cannot be taken in.
    pub fn heard(&self, hearing: Hearing, id: MediumId, stop: &Stop) -> Result<Vec<f32>, GenerateFailure> {
        let features = self.encoders().heard(hearing, id, stop).map_err(|error| failed(&error))?;
        Ok(features.numbers().to_vec())
    }

    /// Gives back encoders that have been idle until `now`. Returns when there will be something to give back.
    pub(crate) fn rest(&self, now: Instant) -> Option<Instant> {
        let idle = self.library.encoder_idle()?;
        self.encoders().rest(now, idle)
    }

    /// How many encoders are open now.
    #[must_use]
    pub fn open_encoders(&self) -> usize {
        self.encoders().open_now()
    }
}

fn failed(error: &EncodeError) -> GenerateFailure {
    match error {
        EncodeError::Stopped => GenerateFailure::Cancelled,
        EncodeError::Show(_)
        | EncodeError::Forgotten(_)
        | EncodeError::Open { .. }
        | EncodeError::Layout { .. }
        | EncodeError::Memory { .. }
        | EncodeError::Rows { .. }
        | EncodeError::NotFinite { .. }
        | EncodeError::Run(_) => GenerateFailure::Medium { message: told(error) },
    }
}
