//! The cameras of a running hob: each has a thread that looks; what moves is told to the driver, newest first, and never more
//! often than the owner wants.

use crate::clock::now;
use crate::driver::Told;
use crate::settings::Camera;
use bytes::Bytes;
use hob_events::{SenseName, Trust, UnixMs};
use hob_senses::camera::{self, CameraSettings, CameraSource, Film, Handed, Slot, mask};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// A frame that was taken so long ago is not what stands there now.
const FRESH_MS: u64 = 3_000;

/// What cameras tell.
#[derive(Debug)]
pub enum Seen {
    /// How a camera is now.
    Is(SenseName, View),
    /// A frame is worth looking at; it lies in the camera's [`Cameras::take`].
    Moved(SenseName),
}

/// How a camera is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum View {
    /// Frames come.
    Open,
    /// None came yet, or none comes any more; it is tried again.
    Lost {
        /// Why, without passwords.
        reason: String,
    },
}

/// A frame with where it comes from.
#[derive(Debug, Clone)]
pub struct Frame {
    /// As JPEG.
    pub jpeg: Vec<u8>,
    /// Which share of it changed.
    pub motion: f32,
    /// When it came.
    pub at: UnixMs,
    /// How far it is believed.
    pub trust: Trust,
}

/// Why there is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFrame {
    /// There is no such camera.
    #[error("there is no camera '{name}'{known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Which there are.
        known: String,
    },
    /// It shows nothing now.
    #[error("the camera '{name}' shows nothing now: {reason}")]
    Dark {
        /// Which.
        name: SenseName,
        /// Why.
        reason: String,
    },
}

/// Speaks to all of them. Cheap to clone; the threads end when the last of these is gone.
#[derive(Debug, Clone)]
pub struct Cameras {
    all: Arc<BTreeMap<SenseName, Eye>>,
}

/// The threads, not yet started.
#[derive(Debug)]
pub struct Looking(Vec<EyeThread>);

#[derive(Debug)]
struct Eye {
    shared: Arc<Shared>,
    feed: Arc<Slot>,
}

#[derive(Debug)]
struct EyeThread {
    shared: Arc<Shared>,
    fed: Arc<Slot>,
}

#[derive(Debug)]
struct Shared {
    settings: Camera,
    ffmpeg: String,
    state: Mutex<State>,
    stop: AtomicBool,
    back: Sender<Told>,
}

#[derive(Debug)]
struct State {
    view: View,
    newest: Option<Frame>,
    /// The one that the driver was told of and has not taken.
    moved: Option<Frame>,
    told_at: Option<UnixMs>,
}

impl Cameras {
    /// All of them, and what looks through them once it is started.
    #[must_use]
    pub fn open(cameras: &[Camera], ffmpeg: &str, back: &Sender<Told>) -> (Self, Looking) {
        let mut threads = Vec::new();
        let open = |camera: &Camera| {
            let view = View::Lost { reason: "only a running hob looks through it".to_owned() };
            let shared = Arc::new(Shared {
                settings: camera.clone(),
                ffmpeg: ffmpeg.to_owned(),
                state: Mutex::new(State { view, newest: None, moved: None, told_at: None }),
                stop: AtomicBool::new(false),
                back: back.clone(),
            });
            let feed = Arc::new(Slot::default());
            threads.push(EyeThread { shared: Arc::clone(&shared), fed: Arc::clone(&feed) });
            (camera.name.clone(), Eye { shared, feed })
        };
        let all = Arc::new(cameras.iter().map(open).collect());
        (Self { all }, Looking(threads))
    }

    /// The settings and view of each.
    pub fn all(&self) -> impl Iterator<Item = (&Camera, View)> {
        self.all.values().map(|eye| (&eye.shared.settings, eye.shared.lock().view.clone()))
    }

    /// The frame that was told of last, once.
    #[must_use]
    pub fn take(&self, name: &SenseName) -> Option<Frame> {
        self.all.get(name)?.shared.lock().moved.take()
    }

    /// What a camera shows now. Waits for one that gives a picture at a time.
    ///
    /// # Errors
    /// [`NoFrame`].
    pub fn now(&self, name: &SenseName) -> Result<Frame, NoFrame> {
        let shared = &self.all.get(name).ok_or_else(|| self.unknown(name))?.shared;
        let dark = |reason: String| NoFrame::Dark { name: name.clone(), reason };
        if shared.settings.snapshot_s > 0.0 {
            let jpeg = Film::snapshot(&shared.settings.source, &shared.looks()).map_err(dark)?;
            return Ok(Frame { jpeg, motion: 0.0, at: now(), trust: shared.settings.trust });
        }
        let state = shared.lock();
        let fresh = |frame: &&Frame| shared.settings.topic().is_some() || now().since(frame.at) <= shared.freshness();
        match (state.newest.as_ref().filter(fresh), &state.view) {
            (Some(frame), _) => Ok(frame.clone()),
            (None, View::Lost { reason }) => Err(dark(reason.clone())),
            (None, View::Open) => Err(dark("its last frame is old".to_owned())),
        }
    }

    /// A picture came on a topic. Says whether it is a camera's. One that the broker had kept is what the camera showed last,
    /// and nothing that moves now.
    #[must_use]
    pub fn feed(&self, topic: &str, picture: &Bytes, retained: bool) -> bool {
        let mut ours = self.all.values().filter(|eye| eye.shared.settings.topic() == Some(topic)).peekable();
        let any = ours.peek().is_some();
        ours.for_each(|eye| eye.feed.put(Handed { jpeg: picture.to_vec(), kept: retained }));
        any
    }

    fn unknown(&self, name: &SenseName) -> NoFrame {
        let names: Vec<&str> = self.all.keys().map(SenseName::as_str).collect();
        let known = match names.as_slice() {
            [] => ": the settings name none, see [[camera]]".to_owned(),
            names => format!(", only {}", names.join(", ")),
        };
        NoFrame::Unknown { name: name.to_string(), known }
    }
}

impl Looking {
    /// Starts to look.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(self) -> std::io::Result<()> {
        self.0.into_iter().try_for_each(|EyeThread { shared, fed }| {
            let waits = if shared.settings.topic().is_some() { "no picture came yet" } else { "it is being opened" };
            shared.lock().view = View::Lost { reason: waits.to_owned() };
            let name = format!("hob-eye-{}", shared.settings.name);
            thread::Builder::new().name(name).spawn(move || shared.run(fed)).map(drop)
        })
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> CameraSettings {
        CameraSettings {
            ffmpeg: self.ffmpeg.clone(),
            fps: self.settings.fps,
            width: self.settings.width,
            decoder: self.settings.decoder.clone(),
            stalled: Duration::from_secs(self.settings.stalled_s),
        }
    }

    /// A slow film's last frame is as fresh as it gets.
    fn freshness(&self) -> u64 {
        let between = Duration::from_secs_f32(2.0 / self.settings.fps);
        FRESH_MS.max(u64::try_from(between.as_millis()).unwrap_or(u64::MAX))
    }

    fn run(&self, fed: Arc<Slot>) {
        let Camera { source, snapshot_s, .. } = &self.settings;
        let source = match self.settings.topic() {
            Some(_) => CameraSource::Fed(fed),
            None if *snapshot_s > 0.0 => {
                CameraSource::Snapshots { address: source.clone(), every: Duration::from_secs_f32(*snapshot_s) }
            }
            None => CameraSource::Film(source.clone()),
        };
        camera::watch(&source, &self.looks(), &mut |seen| self.saw(seen), &self.stop);
    }

    fn saw(&self, seen: camera::Seen) {
        let name = &self.settings.name;
        match seen {
            camera::Seen::Frame { jpeg, motion, kept } => {
                let frame = Frame { jpeg, motion, at: now(), trust: self.settings.trust };
                let mut state = self.lock();
                let worth = !kept && self.is_worth_telling(&state, &frame);
                state.newest = Some(frame.clone());
                if worth {
                    let at = frame.at;
                    // One that the driver has not taken yet is replaced, and told of already.
                    if state.moved.replace(frame).is_some() || self.tell(Seen::Moved(name.clone())) {
                        state.told_at = Some(at);
                    } else {
                        state.moved = None;
                    }
                }
                if state.view != View::Open && self.tell(Seen::Is(name.clone(), View::Open)) {
                    tracing::info!(camera = %name, "frames come");
                    state.view = View::Open;
                }
            }
            camera::Seen::NoPicture { reason } => tracing::warn!(camera = %name, reason, "what came is no picture"),
            camera::Seen::Lost { reason, again_ms } => {
                tracing::warn!(camera = %name, address = mask(&self.settings.source), reason, again_ms, "a camera is lost");
                let view = View::Lost { reason };
                let mut state = self.lock();
                if state.view != view && self.tell(Seen::Is(name.clone(), view.clone())) {
                    state.view = view;
                }
            }
        }
    }

    fn is_worth_telling(&self, state: &State, frame: &Frame) -> bool {
        let Camera { motion, cool_down_s, every_s, .. } = &self.settings;
        let since = state.told_at.map(|told| frame.at.since(told));
        let due = *every_s > 0 && since.is_none_or(|since| since >= every_s * 1_000);
        let cool = since.is_none_or(|since| since >= cool_down_s * 1_000);
        // A picture over the broker was worth sending to whoever sent it.
        let moves = frame.motion >= *motion || self.settings.topic().is_some();
        due || cool && moves
    }

    /// Whether the driver will hear of it.
    fn tell(&self, seen: Seen) -> bool {
        let told = self.back.try_send(Told::Seen(seen)).is_ok();
        if !told {
            tracing::warn!(camera = %self.settings.name, "the driver is busy: what a camera told is lost");
        }
        told
    }
}
