//! Listening: a source of sound that is opened again and again, and what is said there.

use crate::microphone::{Microphone, OpenMicrophoneError};
use crate::resample::{Framer, ResampleError};
use crate::segment::{Heard, SegmentSettings, Segmenter, dbfs};
use crate::vad::Vad;
use crate::wake::{Step, Wake};
use crate::wav::{Recording, WavError};
use crate::{FRAME, FRAME_MS, RATE};
use hob_onnx::RunError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Where sound comes from.
#[derive(Debug)]
pub enum Source {
    /// A microphone, by the stable name of its device.
    Microphone(String),
    /// A WAV file, as fast as it can be read: for trying things out.
    Wav(PathBuf),
    /// Somebody else hands samples over, 16 kHz and one channel, as a satellite does. When nothing comes for a while, what was
    /// said is at its end.
    Fed(Receiver<Fed>),
}

/// Samples that are handed over.
pub type Fed = Vec<f32>;

/// What happens while somebody listens.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The source is open.
    Opened {
        /// Samples of each channel in a second.
        rate: u32,
        /// Channels side by side.
        channels: u16,
    },
    /// A frame was looked at.
    Level {
        /// Milliseconds of sound since the source was opened.
        at_ms: u64,
        /// Its power in decibels of full scale.
        dbfs: f32,
        /// How much it sounds like speech, from 0 to 1.
        speech: f32,
    },
    /// Something is said.
    Heard {
        /// Milliseconds of sound since the source was opened.
        at_ms: u64,
        /// What.
        heard: Heard,
    },
    /// A step was held against the wake phrase.
    Wake {
        /// How much it sounds like the phrase, from 0 to 1.
        score: f32,
        /// It was the phrase.
        woken: bool,
    },
    /// Samples found no room, since somebody listened too slowly.
    Dropped {
        /// How many, all told.
        samples: u64,
    },
    /// No sound comes any more, or none came; it is tried again.
    Lost {
        /// Why.
        reason: String,
        /// After so many milliseconds.
        again_ms: u64,
    },
    /// The file has come to its end.
    Ended,
}

/// Why listening cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The file cannot be read.
    #[error(transparent)]
    Wav(#[from] WavError),
    /// No such stream can be listened to.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// The detector of speech does not answer.
    #[error("the detector of speech does not answer")]
    Vad(#[from] RunError),
}

/// A microphone that gives nothing for so long is dead: servers of sound do not say so.
const STALLED: Duration = Duration::from_millis(1_500);

/// How often is looked whether to stop, where nothing else comes.
const GLANCE: Duration = Duration::from_millis(100);

/// How long opening may take before it is said that it does.
const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// How long to wait before it is opened again: doubled each time, up to the second.
const AGAIN_MS: (u64, u64) = (250, 30_000);

/// Listens to one source with one detector, until told to stop.
pub struct Listener<'a> {
    vad: &'a mut Vad,
    segmenter: Segmenter,
    tell: &'a mut dyn FnMut(Told),
    stop: &'a AtomicBool,
    wake: Option<&'a mut Wake>,
    frames: u64,
}

impl<'a> Listener<'a> {
    /// One that has heard nothing. `tell` is called from the thread that listens, and must not wait.
    pub fn new(
        vad: &'a mut Vad,
        settings: SegmentSettings,
        tell: &'a mut dyn FnMut(Told),
        stop: &'a AtomicBool,
    ) -> Self {
        Self { vad, segmenter: Segmenter::new(settings), tell, stop, wake: None, frames: 0 }
    }

    /// Listens for the wake phrase too.
    #[must_use]
    pub fn waking(self, wake: Option<&'a mut Wake>) -> Self {
        Self { wake, ..self }
    }

    /// Listens to the end of a file, or to a microphone until it is told to stop.
    ///
    /// # Errors
    /// [`ListenError`]; a microphone that goes away is none.
    pub fn listen(&mut self, source: &Source) -> Result<(), ListenError> {
        match source {
            Source::Wav(path) => self.read(path),
            Source::Microphone(device) => self.hear(device),
            Source::Fed(fed) => self.take_fed(fed),
        }
    }

    fn read(&mut self, path: &Path) -> Result<(), ListenError> {
        let Recording { rate, channels, samples } = Recording::read(path)?;
        let mut framer = Framer::new(rate, channels)?;
        self.begin(rate, channels)?;
        // Half a second of silence: what is said at the end of the file ends too.
        let silence = vec![0.0; usize::try_from(rate).unwrap_or(0) * usize::from(channels)];
        for some in samples.chunks(FRAME * usize::from(channels)).chain([silence.as_slice()]) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            self.take(&mut framer, some)?;
        }
        self.end();
        (self.tell)(Told::Ended);
        Ok(())
    }

    fn take_fed(&mut self, fed: &Receiver<Fed>) -> Result<(), ListenError> {
        let mut framer = Framer::new(RATE, 1)?;
        self.begin(RATE, 1)?;
        let mut last = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            match fed.recv_timeout(GLANCE) {
                Ok(samples) => {
                    last = Instant::now();
                    self.take(&mut framer, &samples)?;
                }
                Err(RecvTimeoutError::Timeout) if last.elapsed() > STALLED && self.segmenter.is_speech() => self.end(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end();
        // What nobody listens to any more is not kept for later.
        while fed.try_recv().is_ok() {}
        Ok(())
    }

    fn hear(&mut self, device: &str) -> Result<(), ListenError> {
        let (least, most) = AGAIN_MS;
        let mut again_ms = least;
        let mut opening = None;
        while !self.stop.load(Ordering::Relaxed) {
            let reason = match opening.get_or_insert_with(|| open_aside(device)).recv_timeout(OPEN_WITHIN) {
                Ok(Ok(mut microphone)) => {
                    opening = None;
                    let outcome = self.hear_open(&mut microphone);
                    close_aside(microphone);
                    let (reason, heard) = outcome?;
                    // One that worked for a while is not made to wait for what it did before.
                    again_ms = if heard { least } else { again_ms };
                    reason
                }
                Ok(Err(error)) => {
                    opening = None;
                    error.to_string()
                }
                // Still under way: another beside it would wait for the same.
                Err(RecvTimeoutError::Timeout) => "the server of sounds does not answer".to_owned(),
                Err(RecvTimeoutError::Disconnected) => {
                    opening = None;
                    "opening it broke".to_owned()
                }
            };
            self.end();
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            (self.tell)(Told::Lost { reason, again_ms });
            self.wait(again_ms);
            again_ms = (again_ms * 2).min(most);
        }
        Ok(())
    }

    /// Listens until nothing comes any more. Tells why, and whether anything came.
    fn hear_open(&mut self, microphone: &mut Microphone) -> Result<(String, bool), ListenError> {
        let mut framer = Framer::new(microphone.rate(), microphone.channels())?;
        let (mut last, mut heard, mut dropped) = (Instant::now(), false, 0);
        let mut samples = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            microphone.take(&mut samples);
            if !samples.is_empty() {
                if !heard {
                    self.begin(microphone.rate(), microphone.channels())?;
                }
                (last, heard) = (Instant::now(), true);
                self.take(&mut framer, &samples)?;
                samples.clear();
            } else if let Some(reason) = microphone.broken() {
                return Ok((reason, heard));
            } else if last.elapsed() > STALLED {
                return Ok(("no sound comes any more".to_owned(), heard));
            } else {
                microphone.wait(GLANCE);
            }
            if microphone.dropped() > dropped {
                dropped = microphone.dropped();
                (self.tell)(Told::Dropped { samples: dropped });
            }
        }
        Ok((String::new(), heard))
    }

    fn begin(&mut self, rate: u32, channels: u16) -> Result<(), ListenError> {
        self.vad.forget().map_err(RunError::from)?;
        if let Some(wake) = &mut self.wake {
            wake.forget();
        }
        self.frames = 0;
        (self.tell)(Told::Opened { rate, channels });
        Ok(())
    }

    fn take(&mut self, framer: &mut Framer, samples: &[f32]) -> Result<(), ListenError> {
        for frame in framer.push(samples)? {
            let speech = self.vad.speech(&frame)?;
            let at_ms = self.frames * FRAME_MS;
            self.frames += 1;
            (self.tell)(Told::Level { at_ms, dbfs: dbfs(&frame), speech });
            let steps = self.wake.as_mut().map(|wake| wake.push(&frame)).transpose()?;
            for Step { score, woken } in steps.into_iter().flatten() {
                (self.tell)(Told::Wake { score, woken });
            }
            for heard in self.segmenter.push(&frame, speech) {
                (self.tell)(Told::Heard { at_ms, heard });
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        let at_ms = self.frames * FRAME_MS;
        if let Some(heard) = self.segmenter.end() {
            (self.tell)(Told::Heard { at_ms, heard });
        }
    }

    /// Waits, and not a moment longer than anyone wants.
    fn wait(&self, ms: u64) {
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
            thread::park_timeout(GLANCE);
        }
    }
}

/// Opens a microphone in a thread of its own: a server of sounds that stands still lets whoever asks stand still too.
fn open_aside(device: &str) -> Receiver<Result<Microphone, OpenMicrophoneError>> {
    let (opened, receiver) = mpsc::channel();
    let device = device.to_owned();
    let opened = thread::Builder::new().name("open microphone".to_owned()).spawn(move || {
        // Nobody waits any more: it is closed again.
        opened.send(Microphone::open(&device)).ok();
    });
    // Without a thread the channel is closed, and it is tried again later.
    opened.map_or_else(|_| mpsc::channel().1, |_| receiver)
}

/// Closes it where nobody has to wait for that.
fn close_aside(microphone: Microphone) {
    if let Err(error) = thread::Builder::new().name("close microphone".to_owned()).spawn(move || drop(microphone)) {
        tracing::warn!(%error, "a microphone could not be closed aside");
    }
}

impl std::fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("frames", &self.frames)
            .field("segmenter", &self.segmenter)
            .finish_non_exhaustive()
    }
}

const _: () = assert!(FRAME as u64 * 1_000 == FRAME_MS * RATE as u64);
