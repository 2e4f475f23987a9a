//! `hob senses`: what can be listened to, and what is heard there.

use super::look::ask_daemon;
use super::{Invocation, print_line};
use crate::exit::Exit;
use anyhow::bail;
use hob_doors::Request;
use hob_onnx::Runtime;
use hob_senses::listen::{Listener, Source, Told};
use hob_senses::microphone::{DEFAULT, Found, devices};
use hob_senses::segment::Heard;
use hob_senses::vad::Vad;
use hob_senses::{FRAME_MS, RATE};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::stdio::dup2_stderr;
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

mod camera;
mod train_wake;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Senses {
    /// List the microphones.
    List,
    /// Listen, and say what is heard: levels, speech, and what was said from when to when. Nothing is kept.
    #[command(after_help = EXAMPLES)]
    Test {
        /// A microphone, as `hob senses list` names it.
        #[arg(long, default_value = DEFAULT, conflicts_with = "file", value_name = "ID")]
        device: String,
        /// A WAV file in place of a microphone.
        #[arg(long, value_name = "WAV")]
        file: Option<PathBuf>,
        /// For so long; a file is read to its end.
        #[arg(long, default_value_t = 10, value_name = "N")]
        seconds: u64,
        /// Listen for the wake phrase too, and show how much each moment sounds like it.
        #[arg(long)]
        wake: bool,
    },
    /// Teach the wake phrase your voices, from recordings of them. Nothing of the recordings is kept.
    #[command(after_help = train_wake::EXAMPLES)]
    TrainWake(train_wake::TrainWake),
    /// Look through a camera for a while, and say what moves; with --json also what comes, and what is wrong with it.
    Watch {
        /// Its name in the settings, or an address or a device as a camera's `source` has it.
        camera: String,
        /// For so long.
        #[arg(long, default_value_t = 10, value_name = "N")]
        seconds: u64,
    },
    /// Say how the microphones and cameras of a running hob are.
    Status,
    /// Look through a camera of the settings, or any other, once: the picture is drawn here, or written to a file.
    Look {
        /// Its name in the settings, or an address or a device as a camera's `source` has it.
        camera: String,
        /// Write it there, as JPEG.
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
    /// Close a microphone of a running hob: nothing is heard there until it is unmuted, over a restart too.
    Mute {
        /// Its name in the settings.
        microphone: String,
    },
    /// Open a microphone again.
    Unmute {
        /// Its name in the settings.
        microphone: String,
    },
    /// Press the button of a microphone of a running hob: what is said there next is meant for it.
    Listen {
        /// Its name in the settings.
        microphone: String,
        /// Let the button go: what was said so far is all.
        #[arg(long)]
        end: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  hob senses test                              the default microphone, ten seconds
  hob senses test --device pulseaudio:vmic --seconds 60
  hob senses test --file meeting.wav --json    what was said, for a script

Exit codes: 0 sound came · 1 none came";

pub(super) async fn senses(invocation: &Invocation, command: Senses) -> anyhow::Result<Exit> {
    match command {
        Senses::List => list(invocation),
        Senses::TrainWake(command) => train_wake::train_wake(invocation, &command),
        Senses::Status => status(invocation).await,
        Senses::Look { camera, out } => camera::look(invocation, &camera, out.as_deref()),
        Senses::Watch { camera, seconds } => camera::watch(invocation, &camera, Duration::from_secs(seconds)),
        Senses::Mute { microphone } => order(invocation, Request::Mute { microphone, muted: true }).await,
        Senses::Unmute { microphone } => order(invocation, Request::Mute { microphone, muted: false }).await,
        Senses::Listen { microphone, end } => order(invocation, Request::Listen { microphone, pressed: !end }).await,
        Senses::Test { device, file, seconds, wake } => {
            let source = file.map_or(Source::Microphone(device), Source::Wav);
            test(invocation, &source, Duration::from_secs(seconds), wake)
        }
    }
}

/// Asks a running hob, and has nothing to print where it went well.
async fn order(invocation: &Invocation, request: Request) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    match ask_daemon(&settings.doors.socket, request).await? {
        Some(_) => Ok(Exit::Ok),
        None => bail!("no hob listens on {}", settings.doors.socket.display()),
    }
}

async fn status(invocation: &Invocation) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let socket = &settings.doors.socket;
    let microphones = ask_daemon(socket, Request::Microphones).await?;
    let (Some(microphones), Some(cameras)) = (microphones, ask_daemon(socket, Request::Cameras).await?) else {
        bail!("no hob listens on {}", socket.display());
    };
    let senses = json!({ "microphones": microphones, "cameras": cameras });
    let lines = || {
        let line = |kind: &str, entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default();
            let from = if kind == "camera" { text("source") } else { text("device") };
            let line = format!("{kind:10} {:16} {from:32} {:10} {}", text("name"), text("is"), text("reason"));
            line.trim_end().to_owned()
        };
        let of = |kind: &'static str, all: &Value| {
            let all = all.as_array().cloned().unwrap_or_default();
            all.iter().map(|entry| line(kind, entry)).collect::<Vec<_>>()
        };
        let lines = [of("microphone", &senses["microphones"]), of("camera", &senses["cameras"])].concat();
        match lines.is_empty() {
            true => vec!["nothing listens or looks: name a [[microphone]] or a [[camera]] in the settings".to_owned()],
            false => lines,
        }
    };
    invocation.print(&senses, lines)?;
    Ok(Exit::Ok)
}

fn list(invocation: &Invocation) -> anyhow::Result<Exit> {
    let found = quietly(devices);
    let width = found.iter().map(|device| device.id.len()).max().unwrap_or(0);
    // What does not say what it gives is a part of ALSA's plumbing mostly, and no microphone.
    let line = |device: &Found| Some(format!("{:width$}  {}  {}", device.id, device.name, device.gives.as_deref()?));
    invocation.print(&found, || match found.is_empty() {
        true => vec!["no microphones: is one plugged in, and may hob's user reach it (group audio)?".to_owned()],
        false => found.iter().filter_map(line).collect(),
    })?;
    Ok(if found.is_empty() { Exit::Failed } else { Exit::Ok })
}

/// ALSA and JACK write to standard error what they tried and did not find: no news for whoever wants a list.
fn quietly<T>(look: impl FnOnce() -> T) -> T {
    let kept = std::io::stderr().as_fd().try_clone_to_owned().ok();
    let hidden = File::options().write(true).open("/dev/null").and_then(|null| Ok(dup2_stderr(null)?));
    let found = look();
    if let (Some(kept), Ok(())) = (kept, hidden) {
        dup2_stderr(kept).ok();
    }
    found
}

/// What was said from when to when.
#[derive(Debug, Default)]
struct Said {
    began_ms: u64,
    samples: usize,
}

fn test(invocation: &Invocation, source: &Source, time: Duration, with_wake: bool) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let runtime = Runtime::find(settings.onnx.library.as_deref())?;
    let mut vad = Vad::open(&runtime, &settings.senses.vad)?;
    let phrase = &settings.senses.wake;
    let mut wake = with_wake.then(|| phrase.open(&runtime)).transpose()?;
    let stop = AtomicBool::new(false);
    let meter = meter(invocation.json);
    let (began, mut frames, mut said) = (Instant::now(), 0_u64, Said::default());
    let mut wake_score = None;
    let mut lost_at: Option<Instant> = None;
    let mut failed = None;
    let mut tell = |told: Told| {
        if matches!(source, Source::Microphone(_)) && began.elapsed() >= time {
            stop.store(true, Ordering::Relaxed);
        }
        let line = match told {
            Told::Level { dbfs, speech, .. } => {
                frames += 1;
                show(&meter, dbfs, speech, wake_score);
                None
            }
            Told::Opened { rate, channels } => {
                let after_ms = lost_at.take().map(|at| at.elapsed().as_millis());
                Some(json!({"told": "opened", "rate": rate, "channels": channels, "lost_ms": after_ms}))
            }
            Told::Lost { reason, again_ms } => {
                lost_at.get_or_insert_with(Instant::now);
                Some(json!({"told": "lost", "reason": reason, "again_ms": again_ms}))
            }
            Told::Dropped { samples } => Some(json!({"told": "dropped", "samples": samples})),
            Told::Heard { at_ms, heard } => said.hear(at_ms, &heard),
            Told::Wake { score, woken } => {
                if woken {
                    Some(json!({"told": "woken", "score": score}))
                } else {
                    wake_score = Some(score);
                    None
                }
            }
            Told::Ended => None,
        };
        if let Some(line) = line {
            let text = if invocation.json { line.to_string() } else { in_words(&line) };
            failed = meter.suspend(|| print_line(&text)).err().or(failed.take());
        }
    };
    Listener::new(&mut vad, settings.senses.segment, &mut tell, &stop).waking(wake.as_mut()).listen(source)?;
    meter.finish_and_clear();
    match failed {
        Some(error) => Err(error),
        None => Ok(if frames == 0 { Exit::Failed } else { Exit::Ok }),
    }
}

impl Said {
    fn hear(&mut self, at_ms: u64, heard: &Heard) -> Option<Value> {
        match heard {
            Heard::Began(samples) => {
                let ms = milliseconds(samples.len());
                *self = Self { began_ms: (at_ms + FRAME_MS).saturating_sub(ms), samples: samples.len() };
                None
            }
            Heard::More { samples, .. } => {
                self.samples += samples.len();
                None
            }
            Heard::Ended { speech_ms } => {
                let ms = milliseconds(self.samples);
                Some(json!({"told": "said", "from_ms": self.began_ms, "ms": ms, "speech_ms": speech_ms}))
            }
            Heard::Paused | Heard::Resumed | Heard::Dropped => None,
        }
    }
}

fn milliseconds(samples: usize) -> u64 {
    u64::try_from(samples).unwrap_or(u64::MAX).saturating_mul(1_000) / u64::from(RATE)
}

fn in_words(line: &Value) -> String {
    let seconds = |key: &str| line[key].as_u64().map_or(0.0, |ms| Duration::from_millis(ms).as_secs_f64());
    match line["told"].as_str() {
        Some("opened") => {
            let after = match line["lost_ms"].as_u64() {
                Some(_) => format!(" again after {:.1} s", seconds("lost_ms")),
                None => String::new(),
            };
            format!("listening{after}: {} Hz, {} channels", line["rate"], line["channels"])
        }
        Some("lost") => {
            format!("{}; tried again in {:.1} s", line["reason"].as_str().unwrap_or_default(), seconds("again_ms"))
        }
        Some("woken") => format!("the wake phrase, {:.0} %", line["score"].as_f64().unwrap_or_default() * 100.0),
        Some("dropped") => format!("{} samples found no room: this board is too busy to listen", line["samples"]),
        _ => format!(
            "said at {:.1} s, for {:.1} s ({:.1} s of speech)",
            seconds("from_ms"),
            seconds("ms"),
            seconds("speech_ms")
        ),
    }
}

/// A level that moves, on a terminal.
fn meter(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(60).with_style(style)
}

fn show(meter: &ProgressBar, dbfs: f32, speech: f32, wake: Option<f32>) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 60")]
    meter.set_position((dbfs + 60.0).clamp(0.0, 60.0) as u64);
    let phrase = wake.map_or(String::new(), |score| format!("  phrase {:3.0} %", score * 100.0));
    meter.set_message(format!("{dbfs:5.1} dB  speech {:3.0} %{phrase}", speech * 100.0));
}
