//! Puts together what is said, and has it encoded while it is still being said.

use super::{Heard, Needs, Said};
use crate::clock::now;
use crate::driver::Told;
use hob_events::{MediumId, SenseName};
use hob_model::{Hearing, Senses, Spoken};
use hob_onnx::Stop;
use hob_senses::RATE;
use hob_senses::attention::Meant;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

/// Pieces that may wait while something is encoded: 32 s of one microphone.
const QUEUE: usize = 1024;

/// What a microphone's attention let past.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) microphone: SenseName,
    pub(super) meant: Meant,
}

/// Hands pieces over.
#[derive(Debug, Clone)]
pub(super) struct ScribeHandle {
    pieces: SyncSender<Piece>,
    /// A piece found no room: what is being said has a hole.
    holed: Arc<AtomicBool>,
}

impl ScribeHandle {
    pub(super) fn take(&self, piece: Piece) {
        if let Err(TrySendError::Full(_)) = self.pieces.try_send(piece) {
            self.holed.store(true, Ordering::Relaxed);
        }
    }
}

/// What was handed over.
#[derive(Debug)]
pub(super) struct Pieces {
    waiting: Receiver<Piece>,
    holed: Arc<AtomicBool>,
}

pub(super) fn handle() -> (ScribeHandle, Pieces) {
    let (pieces, waiting) = sync_channel(QUEUE);
    let holed = Arc::new(AtomicBool::new(false));
    (ScribeHandle { pieces, holed: Arc::clone(&holed) }, Pieces { waiting, holed })
}

/// Starts the scribe. It ends when nobody can hand anything over any more.
pub(super) fn start(pieces: Pieces, needs: Needs) -> std::io::Result<()> {
    let scribe = Scribe { needs, open: BTreeMap::new() };
    thread::Builder::new().name("hob-scribe".to_owned()).spawn(move || scribe.work(&pieces)).map(drop)
}

struct Scribe {
    needs: Needs,
    /// What is being said, at each microphone.
    open: BTreeMap<SenseName, Utterance>,
}

struct Utterance {
    samples: Vec<f32>,
    /// Where the model was open when it began.
    encoding: Option<Encoding>,
    /// Since the last pause there was silence alone.
    paused: bool,
}

/// What of it is encoded so far.
struct Encoding {
    senses: Senses,
    hearing: Hearing,
    stop: Stop,
}

impl Scribe {
    fn work(mut self, pieces: &Pieces) {
        while let Ok(Piece { microphone, meant }) = pieces.waiting.recv() {
            if pieces.holed.swap(false, Ordering::Relaxed) {
                tracing::warn!("what is said came faster than it could be written down, and is dropped");
                self.open.clear();
            }
            match meant {
                Meant::Began { samples, .. } => {
                    let mut utterance = Utterance { samples: Vec::new(), encoding: self.encoding(), paused: false };
                    utterance.add(&samples);
                    self.open.insert(microphone, utterance);
                }
                Meant::More(samples) => {
                    if let Some(utterance) = self.open.get_mut(&microphone) {
                        utterance.add(&samples);
                    }
                }
                Meant::Paused => {
                    if let Some(utterance) = self.open.get_mut(&microphone) {
                        utterance.pause();
                    }
                }
                Meant::Resumed => {
                    if let Some(utterance) = self.open.get_mut(&microphone) {
                        utterance.paused = false;
                    }
                }
                Meant::Ended { speech_ms } => {
                    let at = now();
                    let Some(utterance) = self.open.remove(&microphone) else { continue };
                    let id = utterance.end(&self.needs.spoken);
                    tracing::debug!(%microphone, speech_ms, encoded_ms = now().since(at), "something was said");
                    let said = Said { microphone, id, speech_ms, at };
                    if self.needs.back.blocking_send(Told::Heard(Heard::Said(said))).is_err() {
                        return;
                    }
                }
                Meant::Dropped => {
                    self.open.remove(&microphone);
                }
            }
        }
    }

    fn encoding(&self) -> Option<Encoding> {
        let senses = self.needs.model.senses()?;
        let stop = Stop::new(&self.needs.runtime).ok()?;
        Some(Encoding { senses, hearing: Hearing::default(), stop })
    }
}

impl Utterance {
    fn add(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
        self.encoding = self.encoding.take().and_then(|mut encoding| {
            let heard = encoding.senses.hear(&mut encoding.hearing, samples, &encoding.stop);
            // What is wrong with it the turn says, which tries again.
            heard
                .inspect_err(|failure| tracing::debug!(%failure, "what is said cannot be encoded now"))
                .is_ok()
                .then_some(encoding)
        });
    }

    /// Whoever speaks pauses: should this have been all, its rows are there when that is known.
    fn pause(&mut self) {
        self.paused = true;
        self.encoding = self.encoding.take().and_then(|mut encoding| {
            encoding.senses.settle(&mut encoding.hearing, &encoding.stop).is_ok().then_some(encoding)
        });
    }

    /// All of it is said: it is kept under a name, and its rows with it. The silence after the last word is left out.
    fn end(mut self, spoken: &Spoken) -> MediumId {
        match self.encoding.take() {
            Some(Encoding { senses, hearing, .. }) if self.paused && hearing.settled() > 0 => {
                let settled = self.samples.get(..hearing.settled_samples()).unwrap_or(&self.samples);
                let id = spoken.keep(settled);
                senses.keep_settled(hearing, id);
                id
            }
            Some(Encoding { senses, hearing, stop }) => {
                let id = spoken.keep(&self.samples);
                if let Err(failure) = senses.heard(hearing, id, &stop) {
                    tracing::debug!(%failure, "what was said cannot be encoded now");
                }
                id
            }
            None => spoken.keep(&self.samples),
        }
    }
}

const _: () = assert!(RATE == 16_000, "the model hears 16 kHz");
