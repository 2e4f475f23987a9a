//! The board: processor, memory, clock, disks.

use super::Finding;
use crate::settings::Settings;
use hob_model::Size;
use hob_onnx::{Cpus, Heat, hottest};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nothing of hob is older than this: 2026-01-01, in seconds of Unix time.
const FIRST_DAY: Duration = Duration::from_secs(1_767_225_600);

/// Files that are written while hob runs may be as much younger than a clock that is slowly set right.
const SLEW: Duration = Duration::from_secs(24 * 60 * 60);

/// Below the first, hob cannot be sure to write what it has to; below the second, it soon will not be.
const DISK_FAIL: u64 = 32 << 20;
const DISK_WARN: u64 = 256 << 20;

/// Less than that is no room for any model beside the rest of hob.
const MEMORY_WARN: u64 = 256 << 20;

pub(super) fn processor(settings: &Settings) -> Finding {
    let cpus = Cpus::here();
    let crew = cpus.crew(NonZero::new(settings.model.threads), settings.model.all_cores);
    processor_finding(std::env::consts::ARCH, &hob_onnx::cpu_features(), &format!("{cpus}: {crew}"))
}

/// A board that is so hot that the model rests is told, with what to do.
pub(super) fn heat(settings: &Settings) -> Finding {
    heat_finding(hottest(Path::new("/")), settings.model.hot_celsius)
}

fn heat_finding(heat: Option<Heat>, limit: i32) -> Finding {
    const WHAT: &str = "heat";
    let from = if limit > 0 { format!("the model rests from {limit} °C on") } else { "left to the kernel".to_owned() };
    match heat {
        None => Finding::ok(WHAT, "no sensor: left to the kernel"),
        Some(heat) if limit > 0 && heat.celsius >= limit => {
            let advice = "give the board air or a heat sink, fewer `[model] threads`, or a higher `hot_celsius`";
            Finding::warn(WHAT, format!("{heat}; {from}"), advice)
        }
        Some(heat) => Finding::ok(WHAT, format!("{heat}; {from}")),
    }
}

fn processor_finding(machine: &str, features: &[&str], cores: &str) -> Finding {
    const WHAT: &str = "processor";
    let instructions = if features.is_empty() { "none that count for speed".to_owned() } else { features.join(" ") };
    let found = format!("{machine}, {cores}; instructions: {instructions}");
    // The products of eight bits that rounded models are made of.
    let wanted = if machine == "aarch64" { "asimddp" } else { "avx2" };
    match features.contains(&wanted) {
        true => Finding::ok(WHAT, found),
        false => {
            let advice =
                format!("without {wanted}, rounded models run several times slower: take a small one, as pocket");
            Finding::warn(WHAT, found, advice)
        }
    }
}

pub(super) fn memory() -> Finding {
    memory_finding(hob_onnx::usable_memory())
}

fn memory_finding(free: Option<u64>) -> Finding {
    const WHAT: &str = "memory";
    match free {
        None => Finding::warn(WHAT, "the system does not tell how much is free", "is /proc mounted?"),
        Some(free) if free < MEMORY_WARN => {
            let advice =
                "stop other programs, or raise MemoryMax= of the unit; `hob model info` tells what a model takes";
            Finding::warn(WHAT, format!("{} free for hob", Size(free)), advice)
        }
        Some(free) => Finding::ok(WHAT, format!("{} free for hob", Size(free))),
    }
}

/// A clock that is wrong ends deadlines and certificates at the wrong time. A board without a battery begins in 1970.
pub(super) fn clock() -> Finding {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
    let own = std::env::current_exe().ok().as_deref().and_then(changed);
    clock_finding(SystemTime::now(), own)
}

fn clock_finding(now: SystemTime, own: Option<SystemTime>) -> Finding {
    const WHAT: &str = "clock";
    const ADVICE: &str = "set it (`timedatectl set-ntp true`), or give the board a clock with a battery";
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = since.as_secs() / (24 * 60 * 60);
    if since < FIRST_DAY {
        return Finding::fail(
            WHAT,
            format!("it stands at day {day} after 1970-01-01, before hob was made"),
            Some(ADVICE),
        );
    }
    match own.and_then(|own| own.duration_since(now).ok()).filter(|ahead| *ahead > SLEW) {
        Some(ahead) => {
            let days = ahead.as_secs() / (24 * 60 * 60);
            Finding::warn(WHAT, format!("it is {days} days behind the file that hob runs from"), ADVICE)
        }
        None => Finding::ok(WHAT, format!("plausible: {} seconds after 1970-01-01", since.as_secs())),
    }
}

pub(super) fn disks(settings: &Settings) -> Vec<Finding> {
    let folders =
        [("state", &settings.state.folder), ("cache", &settings.model.cache), ("cache", &settings.plugins.cache)];
    folders.into_iter().map(|(what, folder)| disk(what, folder)).collect()
}

fn disk(what: &str, folder: &Path) -> Finding {
    let Some(there) = nearest(folder) else {
        return Finding::fail(what, format!("there is nothing of {}", folder.display()), Some("is its disk mounted?"));
    };
    match rustix::fs::statvfs(&there) {
        Ok(space) => disk_finding(what, folder, &there, space.f_bavail.saturating_mul(space.f_frsize)),
        Err(error) => Finding::fail(what, format!("{}: {error}", there.display()), Some("is its disk mounted?")),
    }
}

fn disk_finding(what: &str, folder: &Path, there: &Path, free: u64) -> Finding {
    const ADVICE: &str = "make room; caches may be emptied at any time";
    let yet = if there == folder { "" } else { ", which is not made yet" };
    let found = format!("{} free for {}{yet}", Size(free), folder.display());
    match free {
        0..DISK_FAIL => Finding::fail(what, found, Some(ADVICE)),
        DISK_FAIL..DISK_WARN => Finding::warn(what, found, ADVICE),
        DISK_WARN.. => Finding::ok(what, found),
    }
}

/// The folder, or the one that it will be made in.
fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_begins_in_1970_or_lies_behind_hob_is_told() {
        let day = |day: u64| UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60);
        assert_eq!(clock_finding(day(3), None).level, Level::Fail);
        assert_eq!(clock_finding(day(21_000), Some(day(21_010))).level, Level::Warn);
        assert_eq!(clock_finding(day(21_000), Some(day(20_999))).level, Level::Ok);
        assert_eq!(clock_finding(day(21_000), None).level, Level::Ok);
    }

    #[test]
    fn a_hot_board_is_told_and_one_without_a_sensor_is_none() {
        let at = |celsius| Some(Heat { celsius, zone: "cpu-thermal".to_owned() });
        assert_eq!(heat_finding(at(61), 85).found, "61 °C (cpu-thermal); the model rests from 85 °C on");
        assert_eq!(heat_finding(at(85), 85).level, Level::Warn);
        assert_eq!(heat_finding(at(99), 0).level, Level::Ok);
        assert_eq!(heat_finding(None, 85).level, Level::Ok);
    }

    #[test]
    fn an_old_processor_and_a_full_disk_are_told() {
        let pi4 = processor_finding("aarch64", &["asimd"], "4 cores: 4 threads, one for each core");
        assert_eq!(pi4.level, Level::Warn);
        assert_eq!(pi4.found, "aarch64, 4 cores: 4 threads, one for each core; instructions: asimd");
        assert_eq!(processor_finding("aarch64", &["asimd", "asimddp"], "4 cores").level, Level::Ok);
        assert_eq!(processor_finding("x86_64", &[], "1 cores").level, Level::Warn);

        let (folder, root) = (Path::new("/var/lib/hob/state"), Path::new("/var"));
        assert_eq!(disk_finding("state", folder, root, 1 << 20).level, Level::Fail);
        assert_eq!(disk_finding("state", folder, root, 100 << 20).level, Level::Warn);
        assert!(disk_finding("state", folder, root, 1 << 40).found.contains("not made yet"));
        assert_eq!(memory_finding(Some(1 << 20)).level, Level::Warn);
        assert_eq!(memory_finding(None).level, Level::Warn);
    }
}
