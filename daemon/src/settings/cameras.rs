//! What the board looks with.

use hob_events::{SenseName, Trust};
use serde::Deserialize;

/// One camera.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Its name in topics, rules and commands.
    pub name: SenseName,
    /// `rtsp://…` or `http://…` for a film, `/dev/video0` for a camera of the board, `mqtt:` and a topic for pictures that come
    /// over the broker.
    pub source: String,
    /// Seconds between two pictures of an address that gives one at a time; 0 for a film.
    #[serde(default)]
    pub snapshot_s: f32,
    /// Frames a second that are looked at.
    #[serde(default = "default_fps")]
    pub fps: f32,
    /// Wider ones are made smaller.
    #[serde(default = "default_width")]
    pub width: u32,
    /// A hardware decoder as `ffmpeg -hwaccels` names it; empty for none.
    #[serde(default)]
    pub decoder: String,
    /// It is told of when at least such a share of the picture changes, from 0 to 1.
    #[serde(default = "default_motion")]
    pub motion: f32,
    /// Seconds for which it is not told of again.
    #[serde(default = "default_cool_down_s")]
    pub cool_down_s: u64,
    /// It is told of every so many seconds, whatever moves; 0 for never.
    #[serde(default)]
    pub every_s: u64,
    /// How far what stands in its pictures is believed: `untrusted`, or `device` where nobody can write anything in front of it.
    #[serde(default = "default_trust")]
    pub trust: Trust,
    /// Seconds without a frame after which it is started again.
    #[serde(default = "default_stalled_s")]
    pub stalled_s: u64,
}

const fn default_fps() -> f32 {
    2.0
}

const fn default_width() -> u32 {
    960
}

const fn default_motion() -> f32 {
    0.02
}

const fn default_cool_down_s() -> u64 {
    10
}

const fn default_trust() -> Trust {
    Trust::Untrusted
}

const fn default_stalled_s() -> u64 {
    10
}

/// Before the topic of one whose pictures come over the broker.
pub(crate) const OVER_MQTT: &str = "mqtt:";

impl Camera {
    /// The topic that its pictures come on, where they come over the broker.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.source.strip_prefix(OVER_MQTT)
    }

    /// The first thing that cannot be meant.
    pub(super) fn wrong(&self) -> Option<String> {
        let Self { name, source, snapshot_s, fps, width, motion, trust, stalled_s, .. } = self;
        let known = ["rtsp://", "rtsps://", "http://", "https://", "/dev/", OVER_MQTT];
        let stalled = u16::try_from(*stalled_s).map_or(f32::MAX, f32::from);
        let reason = if !known.iter().any(|known| source.starts_with(known)) {
            format!("source must begin with one of {}", known.join(" "))
        } else if *snapshot_s != 0.0 && !source.starts_with("http") {
            "snapshot_s is for an address that gives one picture at a time".to_owned()
        } else if !(0.0..=86_400.0).contains(snapshot_s) || *snapshot_s > 0.0 && *snapshot_s < 0.2 {
            "snapshot_s is 0, or from 0.2 to 86400".to_owned()
        } else if !(0.01..=30.0).contains(fps) {
            "fps is from 0.01 to 30".to_owned()
        } else if *snapshot_s == 0.0 && self.topic().is_none() && fps * stalled < 2.0 {
            format!("with {fps} frames a second two do not come within stalled_s = {stalled_s}: make it longer")
        } else if self.topic().is_some_and(|topic| topic.is_empty() || topic.contains(['+', '#'])) {
            format!("{source} has to name one topic, without + and #")
        } else if !(64..=4096).contains(width) {
            "width is from 64 to 4096".to_owned()
        } else if !(0.0..=1.0).contains(motion) {
            "motion is a share from 0 to 1".to_owned()
        } else if !(1..=300).contains(stalled_s) {
            "stalled_s is from 1 to 300".to_owned()
        } else if *trust > Trust::Device {
            "trust is untrusted or device: a picture is no person".to_owned()
        } else {
            return None;
        };
        Some(format!("camera {name}: {reason}"))
    }
}
