//! `hob senses look` and `watch`: a camera, without a running hob.

use crate::cli::{Invocation, print_line};
use crate::exit::Exit;
use crate::settings::Camera;
use anyhow::{Context, bail};
use hob_senses::camera::{self, CameraSettings, CameraSource, Film, Seen, drawn, mask};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Columns of a picture on a terminal.
const COLUMNS: u32 = 76;

/// A camera of the settings, or any other by its address.
struct Chosen {
    source: String,
    snapshot_s: f32,
    looks: CameraSettings,
}

fn chosen(invocation: &Invocation, name: &str) -> anyhow::Result<Chosen> {
    let settings = invocation.settings()?;
    let known = settings.camera.iter().find(|known| known.name.as_str() == name);
    let source = match known {
        Some(known) if known.topic().is_some() => {
            bail!("its pictures come over the broker: ask a running hob, with hob ask --camera {name}")
        }
        Some(known) => known.source.clone(),
        None if name.contains(['/', ':']) => name.to_owned(),
        None => bail!("the settings name no camera '{name}': see [[camera]], or give an address"),
    };
    let looks = CameraSettings {
        ffmpeg: settings.media.ffmpeg.clone(),
        fps: known.map_or(2.0, |known| known.fps),
        width: known.map_or(960, |known| known.width),
        decoder: known.map(|known| known.decoder.clone()).unwrap_or_default(),
        stalled: Duration::from_secs(known.map_or(10, |known: &Camera| known.stalled_s)),
    };
    Ok(Chosen { source, snapshot_s: known.map_or(0.0, |known| known.snapshot_s), looks })
}

/// Takes one picture.
pub(super) fn look(invocation: &Invocation, name: &str, out: Option<&Path>) -> anyhow::Result<Exit> {
    let Chosen { source, looks, .. } = chosen(invocation, name)?;
    let jpeg = match Film::snapshot(&source, &looks) {
        Ok(jpeg) => jpeg,
        Err(reason) => bail!("{}: {reason}", mask(&source)),
    };
    match out {
        Some(path) => std::fs::write(path, &jpeg).with_context(|| format!("cannot write {}", path.display()))?,
        None => print_line(&drawn(&jpeg, COLUMNS)?)?,
    }
    Ok(Exit::Ok)
}

/// Says what comes, for a while.
pub(super) fn watch(invocation: &Invocation, name: &str, time: Duration) -> anyhow::Result<Exit> {
    let Chosen { source, snapshot_s, looks } = chosen(invocation, name)?;
    let source = match snapshot_s > 0.0 {
        true => CameraSource::Snapshots { address: source, every: Duration::from_secs_f32(snapshot_s) },
        false => CameraSource::Film(source),
    };
    let (mut frames, mut lost_at, mut failed) = (0_u64, None::<Instant>, None);
    let stop = AtomicBool::new(false);
    let mut tell = |seen: Seen| {
        let line = match seen {
            Seen::Frame { jpeg, motion, .. } => {
                frames += 1;
                let after_ms = lost_at.take().map(|at| at.elapsed().as_millis());
                let line = json!({"told": "frame", "bytes": jpeg.len(), "motion": motion, "lost_ms": after_ms});
                let text = format!("frame {frames:5}  {:6} bytes  {:4.1} % moved", jpeg.len(), motion * 100.0);
                (line, text)
            }
            Seen::NoPicture { reason } => {
                (json!({"told": "no picture", "reason": reason}), format!("what came is no picture: {reason}"))
            }
            Seen::Lost { reason, again_ms } => {
                lost_at.get_or_insert_with(Instant::now);
                let text = format!("{reason}; tried again in {:.1} s", Duration::from_millis(again_ms).as_secs_f64());
                (json!({"told": "lost", "reason": reason, "again_ms": again_ms}), text)
            }
        };
        let line = if invocation.json { line.0.to_string() } else { line.1 };
        failed = print_line(&line).err().or(failed.take());
    };
    thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            let until = Instant::now() + time;
            while Instant::now() < until {
                thread::park_timeout(until.saturating_duration_since(Instant::now()));
            }
            stop.store(true, Ordering::Relaxed);
        });
        camera::watch(&source, &looks, &mut tell, stop);
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(if frames == 0 { Exit::Failed } else { Exit::Ok }),
    }
}
