//! An ffmpeg at work: JPEGs out of whatever a camera gives.

use super::{CameraSettings, Splitter};
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
        match (password(&self.address), mask(&self.address)) {
            (Some(secret), masked) => reason.replace(&self.address, &masked).replace(&secret, "***"),
            (None, _) => reason,
        }
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        // It may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An ffmpeg that reads a camera, without what it writes.
fn input(address: &str, settings: &CameraSettings) -> Command {
    let mut command = Command::new(&settings.ffmpeg);
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
    if !settings.decoder.is_empty() {
        command.args(["-hwaccel", &settings.decoder]);
    }
    let patience = settings.stalled.as_micros().to_string();
    if address.starts_with("rtsp") {
        command.args(["-protocol_whitelist", PROTOCOLS, "-rtsp_transport", "tcp", "-timeout", &patience]);
    } else if address.starts_with("http") {
        // What it is shows in the first second; ffmpeg would look for five.
        command.args(["-protocol_whitelist", PROTOCOLS, "-rw_timeout", &patience, "-analyzeduration", "1000000"]);
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

/// The password in an address.
fn password(address: &str) -> Option<String> {
    let (_, rest) = address.split_once("://")?;
    let (before, _) = rest.split(['/', '?']).next()?.rsplit_once('@')?;
    before.split_once(':').map(|(_, secret)| secret.to_owned()).filter(|secret| !secret.is_empty())
}

/// An address for people and logs, without its password.
#[must_use]
pub fn mask(address: &str) -> String {
    password(address).map_or_else(|| address.to_owned(), |secret| address.replacen(&format!(":{secret}@"), ":***@", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_told() {
        assert_eq!(mask("rtsp://me:geh%3Aeim@10.0.0.2:554/a@b"), "rtsp://me:***@10.0.0.2:554/a@b");
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
