//! The thread that owns the shelf of media: what comes in over the doors lies on disk before a command that names it is
//! written down.
//!
//! Bytes come in pieces over the control socket, or whole in a command's payload. The driver hands both over and waits
//! for neither.

use crate::cameras::{Cameras, Frame, NoFrame};
use crate::driver::{Accepting, Told};
use crate::notices::NoticeWords;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hob_doors::Reply;
use hob_events::{Medium, MediumDraft, MediumId, SenseName};
use hob_state::{Shelf, ShelveError, Store, Upload};
use serde_json::json;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// Jobs that may wait for the disk.
const QUEUE: usize = 64;

/// Media that may come in side by side.
const UPLOADS: usize = 8;

/// A medium of which nothing comes for so long is given up.
const UPLOAD_IDLE: Duration = Duration::from_secs(60);

/// How long a medium stays that was handed over, or asked for by a command that is not written down yet. The command that
/// names it comes after the last of its media, and is in the inbox moments later; from then on the store says that it is
/// needed.
const HELD: Duration = Duration::from_secs(120);

/// Why media are not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeMediaError {
    /// It was never handed over, or made room since.
    #[error("the medium {0} is not here: hand it over again")]
    Missing(MediumId),
    /// It never began, was given up, or is someone else's.
    #[error("there is no such upload: begin again")]
    NoUpload,
    /// Too many come in.
    #[error("{UPLOADS} media are coming in already: try again later")]
    TooMany,
    /// The payload's text is no Base64.
    #[error("the data of a medium is no Base64: {0}")]
    NotBase64(#[from] base64::DecodeError),
    /// A camera shows nothing.
    #[error(transparent)]
    Camera(#[from] NoFrame),
    /// The shelf takes it not.
    #[error(transparent)]
    Shelve(#[from] ShelveError),
    /// The shelf does not know what it has to keep.
    #[error("what media are needed cannot be read: {0}")]
    State(#[from] hob_state::ReadStateError),
}

impl TakeMediaError {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::NoUpload => "gone",
            Self::Camera(NoFrame::Unknown { .. }) => "invalid",
            Self::Camera(NoFrame::Dark { .. }) => "medium",
            Self::NotBase64(_) => "malformed",
            Self::Shelve(ShelveError::TooLarge { .. }) => "oversize",
            Self::Shelve(ShelveError::Empty) => "invalid",
            Self::Shelve(ShelveError::Full { .. }) | Self::TooMany => "busy",
            Self::Shelve(ShelveError::Disk { .. }) | Self::State(_) => "state",
        }
    }
}

/// Something for the shelf to do.
#[derive(Debug)]
pub enum ShelfJob {
    /// A medium begins to come in.
    Begin {
        /// Whose it is: only this user may go on with it.
        uid: u32,
        /// Told its number.
        replies: Sender<Reply>,
    },
    /// More of it.
    Piece {
        /// Who sends it.
        uid: u32,
        /// Its number.
        upload: u64,
        /// Base64.
        data: String,
        /// Told when there may be more.
        replies: Sender<Reply>,
    },
    /// It is whole.
    Finish {
        /// Who says so.
        uid: u32,
        /// Its number.
        upload: u64,
        /// Told its id.
        replies: Sender<Reply>,
    },
    /// A camera's frame is to be kept.
    See {
        /// Which.
        camera: SenseName,
        /// What it showed.
        frame: Frame,
    },
    /// A notice shows a picture.
    Show {
        /// Which.
        picture: MediumId,
        /// It goes on with it.
        words: Box<NoticeWords>,
    },
    /// A command brings media.
    Take {
        /// What its payload says.
        media: Vec<MediumDraft>,
        /// What the cameras among them showed.
        frames: BTreeMap<SenseName, Frame>,
        /// It goes on with them.
        accepting: Box<Accepting>,
    },
}

/// Speaks to the shelf's thread. It ends when the last of these is gone.
#[derive(Debug, Clone)]
pub struct ShelfHandle {
    jobs: SyncSender<ShelfJob>,
}

impl ShelfHandle {
    /// Starts the thread. What it finds out about commands it tells through `back`.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(shelf: Shelf, store: Store, back: Sender<Told>) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let thread = Librarian::new(shelf, store);
        std::thread::Builder::new().name("hob-shelf".to_owned()).spawn(move || thread.work(&waiting, &back))?;
        Ok(Self { jobs })
    }

    /// Hands a job over.
    ///
    /// # Errors
    /// The job, when too many wait.
    pub fn submit(&self, job: ShelfJob) -> Result<(), Box<ShelfJob>> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => Box::new(job),
        })
    }
}

/// A medium that is coming in.
struct Coming {
    uid: u32,
    upload: Upload,
    last: Instant,
}

struct Librarian {
    shelf: Shelf,
    store: Store,
    uploads: BTreeMap<u64, Coming>,
    begun: u64,
    /// Until when media stay that no durable command names yet.
    held: HashMap<MediumId, Instant>,
}

impl Librarian {
    fn new(shelf: Shelf, store: Store) -> Self {
        Self { shelf, store, uploads: BTreeMap::new(), begun: 0, held: HashMap::new() }
    }

    fn work(mut self, jobs: &Receiver<ShelfJob>, back: &Sender<Told>) {
        while let Ok(job) = jobs.recv() {
            self.uploads.retain(|_, coming| coming.last.elapsed() < UPLOAD_IDLE);
            self.held.retain(|_, until| *until > Instant::now());
            match job {
                ShelfJob::Begin { uid, replies } => answer(&replies, self.begin(uid)),
                ShelfJob::Piece { uid, upload, data, replies } => answer(&replies, self.piece(uid, upload, &data)),
                ShelfJob::Finish { uid, upload, replies } => answer(&replies, self.finish(uid, upload)),
                ShelfJob::See { camera, frame } => {
                    let kept = self.see(&frame);
                    if back.blocking_send(Told::Shown(camera, Box::new(frame), kept)).is_err() {
                        return;
                    }
                }
                ShelfJob::Show { picture, words } => {
                    let picture = self.shelf.read(picture).map(|bytes| STANDARD.encode(bytes));
                    if back.blocking_send(Told::Pictured(words, picture)).is_err() {
                        return;
                    }
                }
                ShelfJob::Take { media, frames, mut accepting } => {
                    let taken = self.take(media, &frames).map(|media| accepting.command.media = media);
                    if let Err(error) = &taken {
                        tell_owner(error);
                    }
                    if back.blocking_send(Told::Shelved(accepting, taken)).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn begin(&mut self, uid: u32) -> Result<Reply, TakeMediaError> {
        if self.uploads.len() >= UPLOADS {
            return Err(TakeMediaError::TooMany);
        }
        let upload = self.shelf.begin()?;
        self.begun += 1;
        self.uploads.insert(self.begun, Coming { uid, upload, last: Instant::now() });
        Ok(Reply::Data { value: json!({ "upload": self.begun }) })
    }

    fn piece(&mut self, uid: u32, number: u64, data: &str) -> Result<Reply, TakeMediaError> {
        let mut coming = self.coming(uid, number)?;
        let bytes = STANDARD.decode(data)?;
        self.shelf.append(&mut coming.upload, &bytes)?;
        coming.last = Instant::now();
        self.uploads.insert(number, coming);
        Ok(Reply::Done)
    }

    fn finish(&mut self, uid: u32, number: u64) -> Result<Reply, TakeMediaError> {
        let coming = self.coming(uid, number)?;
        let needed = self.needed()?;
        let id = self.shelf.finish(coming.upload, &needed)?;
        self.hold(id);
        Ok(Reply::Data { value: json!({ "id": id }) })
    }

    /// What must stay on the shelf.
    fn needed(&self) -> Result<HashSet<MediumId>, TakeMediaError> {
        let mut needed = self.store.needed_media()?;
        needed.extend(self.held.keys());
        Ok(needed)
    }

    fn hold(&mut self, id: MediumId) {
        self.held.insert(id, Instant::now() + HELD);
    }

    /// Takes out what comes in under a number. After an error it is given up.
    fn coming(&mut self, uid: u32, number: u64) -> Result<Coming, TakeMediaError> {
        if self.uploads.get(&number).is_none_or(|coming| coming.uid != uid) {
            return Err(TakeMediaError::NoUpload);
        }
        self.uploads.remove(&number).ok_or(TakeMediaError::NoUpload)
    }

    fn see(&mut self, frame: &Frame) -> Result<Medium, TakeMediaError> {
        let needed = self.needed()?;
        let id = self.shelf.put(&frame.jpeg, &needed)?;
        self.hold(id);
        Ok(Medium::Camera { id, trust: frame.trust })
    }

    fn take(
        &mut self,
        media: Vec<MediumDraft>,
        frames: &BTreeMap<SenseName, Frame>,
    ) -> Result<Vec<Medium>, TakeMediaError> {
        let mut taken = Vec::with_capacity(media.len());
        let mut needed = self.needed()?;
        for medium in media {
            let medium = match medium {
                MediumDraft::Named(medium) => medium,
                MediumDraft::Picture(data) => Medium::Image { id: self.shelf.put(&STANDARD.decode(data)?, &needed)? },
                MediumDraft::Sound(data) => Medium::Audio { id: self.shelf.put(&STANDARD.decode(data)?, &needed)? },
                MediumDraft::Document(data) => {
                    Medium::Document { id: self.shelf.put(&STANDARD.decode(data)?, &needed)? }
                }
                MediumDraft::Camera(name) => {
                    let dark = || NoFrame::Dark { name: name.clone(), reason: "nobody looked".to_owned() };
                    let Frame { jpeg, trust, .. } = frames.get(&name).ok_or_else(dark)?;
                    Medium::Camera { id: self.shelf.put(jpeg, &needed)?, trust: *trust }
                }
            };
            if let Some(missing) = medium.shelved().find(|id| !self.shelf.touch(*id)) {
                return Err(TakeMediaError::Missing(missing));
            }
            needed.extend(medium.shelved());
            medium.shelved().for_each(|id| self.hold(id));
            taken.push(medium);
        }
        Ok(taken)
    }
}

/// What the cameras among media show now. Waits for those that give a picture at a time.
///
/// # Errors
/// [`NoFrame`] of the first one that shows nothing.
pub(crate) fn look(cameras: &Cameras, media: &[MediumDraft]) -> Result<BTreeMap<SenseName, Frame>, NoFrame> {
    let named = media.iter().filter_map(|medium| match medium {
        MediumDraft::Camera(name) => Some(name),
        MediumDraft::Named(_) | MediumDraft::Picture(_) | MediumDraft::Sound(_) | MediumDraft::Document(_) => None,
    });
    named.map(|name| Ok((name.clone(), cameras.now(name)?))).collect()
}

fn answer(replies: &Sender<Reply>, result: Result<Reply, TakeMediaError>) {
    let reply = result.unwrap_or_else(|error| {
        tell_owner(&error);
        Reply::error(error.code(), &error)
    });
    replies.try_send(reply).ok();
}

/// A disk that fails is the owner's to know of, whoever asked.
fn tell_owner(error: &TakeMediaError) {
    if let TakeMediaError::Shelve(ShelveError::Disk { .. }) | TakeMediaError::State(_) = error {
        tracing::error!(%error, "media cannot be kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_state::{ShelfBounds, StateLimits};

    fn librarian(folder: &std::path::Path, bytes: u64) -> Librarian {
        let shelf = Shelf::open(&folder.join("media"), ShelfBounds { bytes, medium_bytes: bytes }).unwrap();
        let store = Store::open(&folder.join("state"), StateLimits::default()).unwrap().store;
        Librarian::new(shelf, store)
    }

    fn picture(byte: u8) -> MediumDraft {
        MediumDraft::Picture(STANDARD.encode([byte; 30]))
    }

    #[test]
    fn media_of_a_command_that_is_not_written_down_yet_make_no_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut librarian = librarian(folder.path(), 70);
        let first = librarian.take(vec![picture(1)], &BTreeMap::new()).unwrap();
        librarian.take(vec![picture(2)], &BTreeMap::new()).unwrap();
        let full = librarian.take(vec![picture(3)], &BTreeMap::new());
        assert!(matches!(full, Err(TakeMediaError::Shelve(ShelveError::Full { .. }))), "{full:?}");
        let held = librarian.take(first.into_iter().map(MediumDraft::Named).collect(), &BTreeMap::new());
        assert!(held.is_ok(), "{held:?}");
        librarian.held.clear();
        assert!(librarian.take(vec![picture(3)], &BTreeMap::new()).is_ok(), "once nobody needs them they go");
    }

    #[test]
    fn a_medium_that_was_handed_over_waits_for_its_command() {
        let folder = tempfile::tempdir().unwrap();
        let mut librarian = librarian(folder.path(), 40);
        librarian.begin(0).unwrap();
        librarian.piece(0, 1, &STANDARD.encode([1; 30])).unwrap();
        librarian.finish(0, 1).unwrap();
        assert!(matches!(
            librarian.take(vec![picture(2)], &BTreeMap::new()),
            Err(TakeMediaError::Shelve(ShelveError::Full { .. }))
        ));
    }
}
