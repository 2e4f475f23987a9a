//! The media that one model has been shown: where each lies, how many rows it has, and which ids they are.

use super::look::Look;
use super::{FIRST_SOFT, Rows, Sense, Shown, Sight, Spoken};
use crate::folder::{AUDIO, ModelFolder, VISION};
use crate::interrupt::Interruption;
use crate::media::document::{self, ReadDocumentError};
use crate::media::image::{self, CutPictureError, ImageBudget, Patches, ReadImageError};
use crate::media::mel::{self, Frames};
use crate::media::sound::{self, ReadSoundError, Sound};
use crate::media::video;
use hob_events::{Medium, MediumId};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where media lie, and how they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSettings {
    /// A folder with a file for each medium, named by its id.
    pub folder: PathBuf,
    /// Soft tokens of a picture at most. Fewer are read faster, more show small writing.
    pub image_tokens: ImageBudget,
    /// An encoder that has nothing to do for so long gives its memory back.
    pub encoder_idle: Duration,
    /// What was said lately.
    pub spoken: Spoken,
}

impl MediaSettings {
    /// How long an encoder stays open unless something else is said: a person answers a question about a picture, or
    /// asks the next one, within that.
    pub const USUAL_IDLE: Duration = Duration::from_secs(60);

    /// The bytes of a medium, which are those that its id names. `what` it is, for people.
    fn read(&self, what: &'static str, id: MediumId) -> Result<Vec<u8>, ShowMediumError> {
        let bytes = std::fs::read(self.folder.join(id.to_string())).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                ShowMediumError::Gone { what, id }
            } else {
                ShowMediumError::Unreadable { what, id, source }
            }
        })?;
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != id.0 {
            return Err(ShowMediumError::Changed { what, id });
        }
        Ok(bytes)
    }
}

/// Media whose ids are remembered: those of the longest conversations many times over. What is forgotten gets new ids,
/// and is read anew.
const MOST_KNOWN: usize = 16 * 1024;

/// Bytes of prepared media that wait to be encoded: two pictures of the largest budget, or 32 pictures of a film.
const PREPARED_BYTES: usize = 64 << 20;

/// Why a medium cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShowMediumError {
    #[error("this hob keeps no media: set `[media] folder`")]
    NoShelf,
    #[error("this model takes in no {sense}s: it has no {file}, fetch it with its encoders", file = .file.display())]
    NoEncoder { sense: Sense, file: PathBuf },
    #[error("the {what} {id} is not there any more: hand it over again")]
    Gone { what: &'static str, id: MediumId },
    #[error("what was said is not known any more: say it again")]
    Unsaid,
    #[error("the {what} {id} cannot be read")]
    Unreadable {
        what: &'static str,
        id: MediumId,
        #[source]
        source: io::Error,
    },
    #[error("the {what} {id} was changed on the disk: hand it over again")]
    Changed { what: &'static str, id: MediumId },
    #[error("{0}")]
    Image(#[from] ReadImageError),
    #[error("{0}")]
    Cut(#[from] CutPictureError),
    #[error("{0}")]
    Sound(#[from] ReadSoundError),
    #[error("the document {id} cannot be shown: {reason}")]
    Document { id: MediumId, reason: ReadDocumentError },
    #[error("the sound {id} is too short to be heard: it needs 10 ms at least")]
    TooShort { id: MediumId },
    #[error("the generation was ended")]
    Ended(Interruption),
    #[error("what is seen and heard has {rows} rows, and the context holds {context}")]
    TooMuch { rows: usize, context: usize },
    #[error("hob has been shown more than it has numbers for: start it again")]
    UsedUp,
}

/// A medium as its encoder takes it.
#[derive(Debug, Clone)]
pub(crate) enum Prepared {
    Picture(Arc<Patches>),
    Sound(Arc<Frames>),
}

impl Prepared {
    /// Rows that the encoder will make of it.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Picture(patches) => patches.soft_tokens,
            Self::Sound(frames) => frames.soft_tokens(),
        }
    }

    fn bytes(&self) -> usize {
        let values = match self {
            Self::Picture(patches) => patches.pixels.len(),
            Self::Sound(frames) => frames.values.len(),
        };
        values.saturating_mul(size_of::<f32>())
    }
}

/// Which row of which medium an id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sight: Sight,
    pub(crate) row: usize,
    /// Rows that the medium has.
    pub(crate) rows: usize,
}

/// Encoders that a model folder lacks, by the files that they would be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Absent {
    pub(crate) vision: Option<PathBuf>,
    pub(crate) audio: Option<PathBuf>,
}

impl Absent {
    pub(crate) fn of(folder: &ModelFolder) -> Self {
        let expected = |there: &Option<PathBuf>, name| there.is_none().then(|| folder.expected(name));
        Self { vision: expected(&folder.vision, VISION), audio: expected(&folder.audio, AUDIO) }
    }
}

/// See the module. Shared by whoever renders prompts and whoever runs them.
#[derive(Debug)]
pub(crate) struct Library {
    settings: Option<MediaSettings>,
    absent: Absent,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By what they are.
    sights: HashMap<Sight, Entry>,
    /// By their first id, ascending: ids are never given out twice.
    firsts: std::collections::BTreeMap<u32, Sight>,
    /// How many ids were given out.
    given: u32,
    uses: u64,
    /// Not encoded yet, oldest first.
    prepared: Vec<(Sight, Prepared)>,
}

#[derive(Debug)]
struct Entry {
    rows: Rows,
    used: u64,
}

impl Library {
    pub(crate) fn new(settings: Option<MediaSettings>, absent: Absent) -> Self {
        Self { settings, absent, known: Mutex::default() }
    }

    /// For a model that is shown nothing.
    pub(crate) fn none() -> Self {
        Self::new(None, Absent::default())
    }

    /// When an encoder gives its memory back; nothing where there are no media.
    pub(crate) fn encoder_idle(&self) -> Option<Duration> {
        self.settings.as_ref().map(|settings| settings.encoder_idle)
    }

    /// The ids of a medium's rows. What was never seen is read, checked and prepared.
    pub(crate) fn show(&self, medium: &Medium, look: &mut Look<'_>) -> Result<Shown, ShowMediumError> {
        let settings = self.settings.as_ref().ok_or(ShowMediumError::NoShelf)?;
        look.go_on()?;
        let mut rows = |id: MediumId, sense: Sense| -> Result<Rows, ShowMediumError> {
            look.go_on()?;
            let rows = self.rows(Sight { medium: id, sense })?;
            look.saw(&rows)?;
            Ok(rows)
        };
        Ok(match medium {
            Medium::Image { id } => Shown::Picture(rows(*id, Sense::Picture(settings.image_tokens))?),
            Medium::Audio { id } => Shown::Sound(rows(*id, Sense::Sound)?),
            Medium::Speech { id } => Shown::Sound(rows(*id, Sense::Sound).map_err(|error| {
                if matches!(error, ShowMediumError::Gone { .. }) { ShowMediumError::Unsaid } else { error }
            })?),
            // A frame is looked at as one of a film: 70 soft tokens.
            Medium::Camera { id, .. } => Shown::Picture(rows(*id, Sense::Frame)?),
            Medium::Document { id } => {
                let bytes = settings.read("document", *id)?;
                let text = document::decode(&bytes).map_err(|reason| ShowMediumError::Document { id: *id, reason })?;
                Shown::Document(text)
            }
            Medium::Video { frames } => Shown::Film(
                frames
                    .iter()
                    .map(|frame| {
                        let at = video::stamp(Duration::from_millis(frame.at_ms));
                        Ok((at, rows(frame.id, Sense::Frame)?))
                    })
                    .collect::<Result<_, ShowMediumError>>()?,
            ),
        })
    }

    fn rows(&self, sight: Sight) -> Result<Rows, ShowMediumError> {
        let absent = match sight.sense {
            Sense::Picture(_) | Sense::Frame => &self.absent.vision,
            Sense::Sound => &self.absent.audio,
        };
        if let Some(file) = absent {
            return Err(ShowMediumError::NoEncoder { sense: sight.sense, file: file.clone() });
        }
        if let Some(rows) = self.lock().known(sight) {
            return Ok(rows);
        }
        // Without the lock: a large picture takes a while.
        let prepared = self.prepare(sight)?;
        self.lock().enter(sight, prepared)
    }

    /// What an id stands for; nothing for one that was forgotten.
    pub(crate) fn place(&self, id: u32) -> Option<Place> {
        let known = self.lock();
        let (first, sight) = known.firsts.range(..=id).next_back()?;
        let rows = &known.sights.get(sight)?.rows.0;
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        rows.contains(&id).then(|| Place { sight: *sight, row: count(id - first), rows: count(rows.end - first) })
    }

    /// A medium as its encoder takes it: as it was left by [`show`](Self::show), or read anew.
    pub(crate) fn take(&self, sight: Sight) -> Result<Prepared, ShowMediumError> {
        let waiting = {
            let mut known = self.lock();
            let place = known.prepared.iter().position(|(waits, _)| *waits == sight);
            place.map(|place| known.prepared.remove(place).1)
        };
        waiting.map_or_else(|| self.prepare(sight), Ok)
    }

    fn prepare(&self, sight: Sight) -> Result<Prepared, ShowMediumError> {
        let settings = self.settings.as_ref().ok_or(ShowMediumError::NoShelf)?;
        if sight.sense == Sense::Sound
            && let Some(said) = settings.spoken.samples(sight.medium)
        {
            return heard(sight.medium, mel::features(&Sound::from_samples(&said, 1, SPOKEN_RATE)?));
        }
        let bytes = settings.read(sight.sense.name(), sight.medium)?;
        Ok(match sight.sense.budget() {
            Some(budget) => Prepared::Picture(Arc::new(image::patches(&image::decode(&bytes)?, budget)?)),
            None => return heard(sight.medium, mel::features(&sound::decode_wav(&bytes)?)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Samples a second of what was said.
const SPOKEN_RATE: u32 = 16_000;

/// A sound that is long enough to be heard.
fn heard(id: MediumId, frames: Frames) -> Result<Prepared, ShowMediumError> {
    match frames.soft_tokens() {
        0 => Err(ShowMediumError::TooShort { id }),
        _ => Ok(Prepared::Sound(Arc::new(frames))),
    }
}

impl Known {
    fn known(&mut self, sight: Sight) -> Option<Rows> {
        self.uses += 1;
        let entry = self.sights.get_mut(&sight)?;
        entry.used = self.uses;
        Some(entry.rows.clone())
    }

    fn enter(&mut self, sight: Sight, prepared: Prepared) -> Result<Rows, ShowMediumError> {
        if let Some(rows) = self.known(sight) {
            return Ok(rows); // someone else was as fast
        }
        let count = u32::try_from(prepared.rows()).map_err(|_| ShowMediumError::UsedUp)?;
        let first = FIRST_SOFT.checked_add(self.given).ok_or(ShowMediumError::UsedUp)?;
        let end = first.checked_add(count).ok_or(ShowMediumError::UsedUp)?;
        self.given = end - FIRST_SOFT;
        if self.sights.len() >= MOST_KNOWN
            && let Some((oldest, first)) = self
                .sights
                .iter()
                .min_by_key(|(_, entry)| entry.used)
                .map(|(sight, entry)| (*sight, entry.rows.0.start))
        {
            self.sights.remove(&oldest);
            self.firsts.remove(&first);
        }
        let rows = Rows(first..end);
        self.sights.insert(sight, Entry { rows: rows.clone(), used: self.uses });
        self.firsts.insert(first, sight);
        self.wait(sight, prepared);
        Ok(rows)
    }

    fn wait(&mut self, sight: Sight, prepared: Prepared) {
        self.prepared.push((sight, prepared));
        let bytes = |waiting: &[(Sight, Prepared)]| waiting.iter().map(|(_, prepared)| prepared.bytes()).sum::<usize>();
        while bytes(&self.prepared) > PREPARED_BYTES {
            self.prepared.remove(0);
        }
    }
}

#[cfg(test)]
mod tests;
