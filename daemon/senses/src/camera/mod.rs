//! A camera: frames as JPEG, each with how much moved since the ones before.
//!
//! A [`Film`] is a stream, or one picture after another, through an ffmpeg that is watched and started again; a [`Splitter`] finds
//! the pictures in what it writes, and [`Motion`] says what is worth looking at. Whoever takes frames slowly gets the newest.

mod drawn;
mod film;
mod motion;
mod slot;
mod split;

pub use drawn::drawn;
pub use film::{Film, mask};
pub use motion::Motion;
pub use slot::{Handed, Slot};
pub use split::Splitter;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a frame. A picture of 4K in good quality has a tenth.
pub const MOST_FRAME_BYTES: usize = 8 << 20;

/// Where frames come from.
#[derive(Debug)]
pub enum CameraSource {
    /// A film: an address of `rtsp`, `rtsps`, `http` or `https`, or a device such as `/dev/video0`.
    Film(String),
    /// The same address again and again, one picture each.
    Snapshots {
        /// Of `http` or `https`.
        address: String,
        /// Between two of them.
        every: Duration,
    },
    /// Somebody else hands JPEGs over.
    Fed(Arc<Slot>),
}

/// How a camera is looked through.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraSettings {
    /// The program: a name or a path.
    pub ffmpeg: String,
    /// Frames a second that are looked at.
    pub fps: f32,
    /// Wider ones are made smaller.
    pub width: u32,
    /// A hardware decoder as ffmpeg names it: `ffmpeg -hwaccels` lists them (`drm`, `vaapi`); empty for none.
    pub decoder: String,
    /// A camera that gives nothing for so long is lost.
    pub stalled: Duration,
}

/// What happens at a camera.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A frame.
    Frame {
        /// As JPEG.
        jpeg: Vec<u8>,
        /// Which share of the picture changed, 0 to 1.
        motion: f32,
        /// It is what was shown last, some time ago.
        kept: bool,
    },
    /// What came is no picture, and is left out.
    NoPicture {
        /// Why.
        reason: String,
    },
    /// Nothing comes any more; it is tried again.
    Lost {
        /// Why, without passwords.
        reason: String,
        /// After so many milliseconds.
        again_ms: u64,
    },
}

/// How often is looked whether to stop.
const GLANCE: Duration = Duration::from_millis(200);

/// How long to wait before it is started again: doubled each time, up to the second.
const AGAIN_MS: (u64, u64) = (500, 30_000);

/// One that gave frames for so long may begin anew with the shortest wait.
const WORKED: Duration = Duration::from_secs(10);

/// Looks through a camera until told to stop. `tell` is called from this thread and must not wait.
pub fn watch(source: &CameraSource, settings: &CameraSettings, tell: &mut dyn FnMut(Seen), stop: &AtomicBool) {
    match source {
        CameraSource::Film(address) => film(address, settings, tell, stop),
        CameraSource::Snapshots { address, every } => snapshots(address, *every, settings, tell, stop),
        CameraSource::Fed(fed) => take_fed(fed, tell, stop),
    }
}

fn film(address: &str, settings: &CameraSettings, tell: &mut dyn FnMut(Seen), stop: &AtomicBool) {
    let (least, most) = AGAIN_MS;
    let mut again_ms = least;
    while !stop.load(Ordering::Relaxed) {
        let mut motion = Motion::default();
        let (began, mut came) = (Instant::now(), 0_u64);
        let reason = match Film::open(address, settings) {
            Ok(mut film) => loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match film.next(GLANCE) {
                    Ok(Some(jpeg)) => {
                        came += 1;
                        show(Handed { jpeg, kept: false }, &mut motion, tell);
                    }
                    Ok(None) => {}
                    Err(reason) => break reason,
                }
            },
            Err(reason) => reason,
        };
        let reason = if came == 1 { format!("{reason}; it gave one picture: set snapshot_s") } else { reason };
        again_ms = if came > 0 && began.elapsed() > WORKED { least } else { again_ms };
        tell(Seen::Lost { reason, again_ms });
        wait(Duration::from_millis(again_ms), stop);
        again_ms = (again_ms * 2).min(most);
    }
}

fn snapshots(address: &str, every: Duration, settings: &CameraSettings, tell: &mut dyn FnMut(Seen), stop: &AtomicBool) {
    let (least, most) = AGAIN_MS;
    let (mut again_ms, mut motion) = (least, Motion::default());
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match Film::snapshot(address, settings) {
            Ok(jpeg) => {
                again_ms = least;
                show(Handed { jpeg, kept: false }, &mut motion, tell);
                wait(every.saturating_sub(began.elapsed()), stop);
            }
            Err(reason) => {
                tell(Seen::Lost { reason, again_ms });
                wait(Duration::from_millis(again_ms), stop);
                again_ms = (again_ms * 2).min(most);
            }
        }
    }
}

fn take_fed(fed: &Slot, tell: &mut dyn FnMut(Seen), stop: &AtomicBool) {
    let mut motion = Motion::default();
    while !stop.load(Ordering::Relaxed) {
        if let Some(picture) = fed.take(GLANCE) {
            show(picture, &mut motion, tell);
        }
    }
}

fn show(Handed { jpeg, kept }: Handed, motion: &mut Motion, tell: &mut dyn FnMut(Seen)) {
    match motion.of(&jpeg) {
        Ok(motion) => tell(Seen::Frame { jpeg, motion, kept }),
        Err(reason) => tell(Seen::NoPicture { reason: reason.to_string() }),
    }
}

fn wait(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        thread::park_timeout(GLANCE.min(until.saturating_duration_since(Instant::now())));
    }
}
