//! An ffmpeg at work: JPEGs out of whatever a camera gives.

use super::{CameraSettings, Splitter};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::io::Read;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Frames between the thread that reads and whoever takes them: more would only be old.
const AHEAD: usize = 2;

/// What may be spoken with a camera. An address that is led elsewhere must not end at a file of this board.
const PROTOCOLS: &str = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto,http,https,httpproxy";

/// Pixels of a frame that ffmpeg takes: 8K has 33 million.
const MOST_PIXELS: &str = "50000000";

/// Bytes of address space that an ffmpeg may have: what never ends is collected by it until it is given up.
const MOST_MEMORY: u64 = 3 << 29;

/// Bytes of its complaints that are kept.
const COMPLAINTS: usize = 2_048;

/// A film under way. Dropping it ends its ffmpeg.
#[derive(Debug)]
pub struct Film {
    child: Child,
    frames: Receiver<Vec<u8>>,
    complaints: Arc<Mutex<Vec<u8>>>,
    address: String,
    stalled: Duration,
    last: Instant,
}

impl Film {
    /// Starts an ffmpeg.
    ///
    /// # Errors
    /// Why it cannot be started, for people.
    pub fn open(address: &str, settings: &CameraSettings) -> Result<Self, String> {
        let filter = format!("fps={},scale='min({},iw)':-2", settings.fps, settings.width);
        let mut command = input(address, settings);
        command.args(["-an", "-sn", "-vf", &filter, "-c:v", "mjpeg", "-q:v", "4", "-f", "image2pipe", "pipe:1"]);
        Self::start(command, address, settings)
    }

    /// One picture, now.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub fn snapshot(address: &str, settings: &CameraSettings) -> Result<Vec<u8>, String> {
        let filter = format!("scale='min({},iw)':-2", settings.width);
        let mut command = input(address, settings);
        command.args([
            "-an",
            "-vf",
            &filter,
            "-frames:v",
            "1",
            "-c:v",
            "mjpeg",
            "-q:v",
            "4",
            "-f",
            "image2pipe",
            "pipe:1",
        ]);
        let mut film = Self::start(command, address, settings)?;
        loop {
            if let Some(jpeg) = film.next(settings.stalled)? {
                return Ok(jpeg);
            }
        }
    }

    fn start(mut command: Command, address: &str, settings: &CameraSettings) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            format!("{} cannot be started: {error}; install it, or name it with [media] ffmpeg", settings.ffmpeg)
        })?;
        bound_memory(&child);
        let (frames_in, frames) = sync_channel(AHEAD);
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let threads = match (child.stdout.take(), child.stderr.take()) {
            (Some(out), Some(err)) => {
                let kept = Arc::clone(&complaints);
                let frames = thread::Builder::new().name("camera frames".to_owned());
                let words = thread::Builder::new().name("camera words".to_owned());
                frames
                    .spawn(move || read_frames(out, &frames_in))
                    .and_then(|_| words.spawn(move || read_complaints(err, &kept)))
            }
            _ => Err(std::io::Error::other("it has no output")),
        };
        let address = address.to_owned();
        let film = Self { child, frames, complaints, address, stalled: settings.stalled, last: Instant::now() };
        threads.map(|_| film).map_err(|error| error.to_string())
    }

    /// The next frame, if one comes within the time.
    ///
    /// # Errors
    /// Why there will be none, for people: the stream ended, or stands still.
    pub fn next(&mut self, within: Duration) -> Result<Option<Vec<u8>>, String> {
        match self.frames.recv_timeout(within) {
            Ok(jpeg) => {
                self.last = Instant::now();
                // The newest wins.
                Ok(Some(self.frames.try_iter().last().unwrap_or(jpeg)))
            }
            Err(RecvTimeoutError::Timeout) if self.last.elapsed() >= self.stalled => {
                Err(self.reason(&format!("no frame came for {} s", self.stalled.as_secs())))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                self.child.wait().ok();
                Err(self.reason("the stream ended"))
            }
        }
    }

    /// What ffmpeg said last, or these words where it said nothing; no password in it.
    fn reason(&self, otherwise: &str) -> String {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&complaints);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let reason = last.map_or_else(|| otherwise.to_owned(), |line| format!("{otherwise}: {line}"));
        let reason = reason.replace(&self.address, &mask(&self.address));
        secrets(&self.address).iter().fold(reason, |reason, secret| reason.replace(secret, "***"))
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        // It may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a camera sends is decoded by a process that may not bring down the rest.
fn bound_memory(child: &Child) {
    let most = Rlimit { current: Some(MOST_MEMORY), maximum: Some(MOST_MEMORY) };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Err(error) = prlimit(pid, Resource::As, most) {
        tracing::debug!(%error, "ffmpeg's memory could not be bounded");
    }
}

/// An ffmpeg that reads a camera, without what it writes.
fn input(address: &str, settings: &CameraSettings) -> Command {
    let mut command = Command::new(&settings.ffmpeg);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    if !settings.decoder.is_empty() {
        command.args(["-hwaccel", &settings.decoder]);
    }
    // Larger ones could take more memory than the board has.
    command.args(["-max_pixels", MOST_PIXELS]);
    let patience = settings.stalled.as_micros().to_string();
    if address.starts_with("rtsp") {
        command.args(["-protocol_whitelist", PROTOCOLS, "-rtsp_transport", "tcp", "-timeout", &patience]);
    } else if address.starts_with("http") {
        // What it is shows in the first second; ffmpeg would look for five.
        command.args(["-protocol_whitelist", PROTOCOLS, "-rw_timeout", &patience, "-analyzeduration", "1000000"]);
        // MJPEG says nothing of its times, and would be taken for 25 frames a second.
        command.args(["-use_wallclock_as_timestamps", "1"]);
    } else {
        command.args(["-f", "v4l2"]);
    }
    command.args(["-i", address]);
    command
}

fn read_frames(mut out: ChildStdout, frames: &SyncSender<Vec<u8>>) {
    let (mut splitter, mut bytes) = (Splitter::default(), vec![0; 64 << 10]);
    while let Ok(count @ 1..) = out.read(&mut bytes) {
        for jpeg in splitter.push(bytes.get(..count).unwrap_or_default()) {
            // Waits: ffmpeg drops what it cannot write, and stands still where it may not.
            if frames.send(jpeg).is_err() {
                return;
            }
        }
    }
}

fn read_complaints(mut err: ChildStderr, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 512];
    while let Ok(count @ 1..) = err.read(&mut bytes) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes.get(..count).unwrap_or_default());
        let over = kept.len().saturating_sub(COMPLAINTS);
        kept.drain(..over);
    }
}

/// The parts of an address that may be secret: what stands between a user and the last `@`, and all of the query.
fn secrets(address: &str) -> Vec<&str> {
    let Some((_, rest)) = address.split_once("://") else { return Vec::new() };
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let password = before.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, secret)| secret);
    password.into_iter().chain(query).filter(|secret| !secret.is_empty()).collect()
}

/// An address for people and logs, without its password and its query, which may hold one.
#[must_use]
pub fn mask(address: &str) -> String {
    let masked = |address: String, secret: &str| {
        let (after_user, after_mark) = (format!(":{secret}@"), format!("?{secret}"));
        address.replacen(&after_user, ":***@", 1).replacen(&after_mark, "?***", 1)
    };
    secrets(address).into_iter().fold(address.to_owned(), masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_told() {
        assert_eq!(mask("rtsp://me:geh%3Aeim@10.0.0.2:554/a"), "rtsp://me:***@10.0.0.2:554/a");
        assert_eq!(mask("rtsp://me:pa/ss@cam/a"), "rtsp://me:***@cam/a");
        assert_eq!(mask("http://cam/snap.cgi?usr=me&pwd=geheim"), "http://cam/snap.cgi?***");
        assert_eq!(mask("http://me:a@cam/x?b"), "http://me:***@cam/x?***");
        assert_eq!(mask("http://me@cam/x"), "http://me@cam/x");
        assert_eq!(mask("/dev/video0"), "/dev/video0");
    }

    #[test]
    fn an_ffmpeg_that_is_not_there_is_named() {
        let settings = CameraSettings {
            ffmpeg: "no-such-ffmpeg".to_owned(),
            fps: 1.0,
            width: 640,
            decoder: String::new(),
            stalled: Duration::from_secs(1),
        };
        let error = Film::open("rtsp://x/y", &settings).unwrap_err();
        assert!(error.contains("no-such-ffmpeg cannot be started") && error.contains("[media] ffmpeg"), "{error}");
    }
}
