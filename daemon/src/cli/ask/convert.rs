//! What hob does not read itself goes through `ffmpeg`, where it is installed: films into pictures, other pictures into
//! PNG, other sounds into WAV.
//!
//! It runs here, as the user who asks, and not in the daemon: a decoder of fifty formats is the last thing that belongs
//! next to keys to a house. There is no shell; the file comes in as its standard input, so that its name is never read as
//! anything; it may open nothing over a network; and its time, memory and output are bounded.

use anyhow::{Context, bail};
use hob_model::media::video;
use rustix::process::{Pid, Resource, Rlimit};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The longest a conversion may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Address space that it may take.
const MEMORY: u64 = 2 << 30;

/// Most bytes that it may give.
const OUTPUT: u64 = 256 << 20;

/// Most bytes of its complaints that are read.
const COMPLAINT: u64 = 4096;

/// Seconds of a film that are looked at. The model sees 32 pictures of them.
const FILM_SECONDS: &str = "600";

/// Containers that hold all that they are. A playlist, which names other files to be read, is none of them.
const FORMATS: &str = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mp3,flac,wav,aac,amr,aiff,au,caf,gif,\
    bmp_pipe,gif_pipe,jpeg_pipe,jpegxl_pipe,png_pipe,tiff_pipe,webp_pipe";

/// Nothing but the file itself is opened.
const BEFORE: [&str; 14] = [
    "-nostdin",
    "-hide_banner",
    "-loglevel",
    "error",
    "-protocol_whitelist",
    "file,pipe",
    "-format_whitelist",
    FORMATS,
    "-threads",
    "2",
    "-i",
    "file:/dev/stdin",
    "-map_metadata",
    "-1",
];

/// A program that stands for `ffmpeg`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ffmpeg<'a> {
    /// A name that is looked for on the path, or a path.
    pub(super) program: &'a str,
}

impl Ffmpeg<'_> {
    /// The first picture of a file, as PNG.
    pub(super) fn picture(self, path: &Path) -> anyhow::Result<Vec<u8>> {
        self.run(path, &["-frames:v", "1", "-an", "-c:v", "png", "-f", "image2pipe"])
    }

    /// The sound of a file, as WAV of one channel: what the model hears of it, and a second more so that it can tell.
    pub(super) fn sound(self, path: &Path) -> anyhow::Result<Vec<u8>> {
        let samples =
            self.run(path, &["-vn", "-t", "31", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le", "-f", "s16le"])?;
        Ok(wav(&samples))
    }

    /// The pictures of a film that the model sees, as PNG, each with its moment.
    pub(super) fn film(self, path: &Path) -> anyhow::Result<Vec<(Duration, Vec<u8>)>> {
        // A picture a second, no larger than is looked at.
        let filter = "fps=1,scale=w='min(768,iw)':h='min(768,ih)':force_original_aspect_ratio=decrease";
        let arguments = ["-an", "-t", FILM_SECONDS, "-vf", filter, "-c:v", "png", "-f", "image2pipe"];
        let pictures = pictures(&self.run(path, &arguments)?);
        let count = u64::try_from(pictures.len())?;
        let chosen = video::chosen(count, 1.0).with_context(|| format!("{} has no pictures", path.display()))?;
        let mut pictures: Vec<Option<Vec<u8>>> = pictures.into_iter().map(Some).collect();
        let mut take = |frame: u64| pictures.get_mut(usize::try_from(frame).ok()?)?.take();
        Ok(chosen.into_iter().filter_map(|moment| Some((moment.at, take(moment.frame)?))).collect())
    }

    fn run(self, path: &Path, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut command = Command::new(self.program);
        command.args(BEFORE).args(arguments).arg("pipe:1");
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let started = command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = started.map_err(|error| self.absent(path, error))?;
        bound(&child);
        finish(child).with_context(|| format!("ffmpeg cannot read {}", path.display()))
    }

    /// Why the program did not start.
    fn absent(self, path: &Path, error: std::io::Error) -> anyhow::Error {
        if error.kind() != ErrorKind::NotFound {
            return anyhow::Error::new(error).context(format!("cannot run {}", self.program));
        }
        anyhow::anyhow!(
            "{} is of a format that hob reads only with ffmpeg, and {} is not installed: install it, or convert the file \
             to PNG, JPEG, WebP or WAV",
            path.display(),
            self.program
        )
    }
}

/// Holds a child to its memory and its share of the processor.
fn bound(child: &Child) {
    let limit = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    for (resource, most) in [(Resource::As, MEMORY), (Resource::Cpu, PATIENCE.as_secs()), (Resource::Fsize, 0)] {
        // One that is over already needs no bounds.
        rustix::process::prlimit(pid, resource, limit(most)).ok();
    }
}

/// Reads what a child gives until its end. One that gives too much, or takes too long, is ended.
fn finish(mut child: Child) -> anyhow::Result<Vec<u8>> {
    let (Some(output), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else { bail!("no output") };
    let (told, hears) = channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(OUTPUT + 1).read_to_end(&mut bytes).map(|_| bytes);
        told.send(read).ok();
    });
    let complains = std::thread::spawn(move || {
        let mut text = Vec::new();
        complaint.take(COMPLAINT).read_to_end(&mut text).ok();
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let output = hears.recv_timeout(PATIENCE);
    if !matches!(&output, Ok(Ok(bytes)) if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes <= OUTPUT)) {
        child.kill().ok();
    }
    let status = child.wait()?;
    reader.join().ok();
    let complaint = complains.join().unwrap_or_default();
    match output {
        Ok(Ok(bytes)) if u64::try_from(bytes.len())? > OUTPUT => bail!("it becomes more than {} MB", OUTPUT >> 20),
        Ok(Ok(bytes)) if status.success() && !bytes.is_empty() => Ok(bytes),
        Ok(Ok(_)) if complaint.is_empty() => bail!("it has nothing of the kind in it"),
        Ok(Ok(_)) => bail!("{complaint}"),
        Ok(Err(error)) => Err(error.into()),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            bail!("it took longer than {} s", PATIENCE.as_secs())
        }
    }
}

/// The pictures of a stream of PNGs. What is torn at the end is left out.
fn pictures(stream: &[u8]) -> Vec<Vec<u8>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut pictures = Vec::new();
    let mut rest = stream;
    while let Some(mut chunks) = rest.strip_prefix(SIGNATURE) {
        let end = loop {
            // Length, kind, content, checksum.
            let Some((length, after)) = chunks.split_first_chunk::<4>() else { return pictures };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some(next) = length.checked_add(8).and_then(|length| after.get(length..)) else { return pictures };
            chunks = next;
            if after.starts_with(b"IEND") {
                break rest.len() - next.len();
            }
        };
        let (picture, next) = rest.split_at(end);
        pictures.push(picture.to_vec());
        rest = next;
    }
    pictures
}

/// Samples of 16 bits, 16,000 a second, one channel, with the header of a WAV file.
fn wav(samples: &[u8]) -> Vec<u8> {
    let size = u32::try_from(samples.len()).unwrap_or(u32::MAX - 36);
    let mut wav = Vec::with_capacity(samples.len() + 44);
    for field in [&b"RIFF"[..], &(size + 36).to_le_bytes(), b"WAVEfmt ", &16_u32.to_le_bytes()] {
        wav.extend_from_slice(field);
    }
    // PCM, one channel; samples and bytes a second; bytes and bits of a sample.
    wav.extend([1_u16, 1].into_iter().flat_map(u16::to_le_bytes));
    wav.extend([16_000_u32, 32_000].into_iter().flat_map(u32::to_le_bytes));
    wav.extend([2_u16, 16].into_iter().flat_map(u16::to_le_bytes));
    wav.extend_from_slice(b"data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend_from_slice(samples);
    wav
}

#[cfg(test)]
mod tests {
    use super::*;
    use hob_model::media::{image, sound};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A program that stands in for ffmpeg.
    fn stand_in(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn media(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/media").join(name)
    }

    #[test]
    fn a_film_becomes_its_pictures_with_their_moments() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (media("odd.png"), media("tiny.png"));
        let program =
            stand_in(folder.path(), &format!("cat '{}' '{}' '{}'", one.display(), two.display(), one.display()));
        let film = folder.path().join("-rf; film.mp4");
        std::fs::write(&film, "a film").unwrap();
        let frames = Ffmpeg { program: program.to_str().unwrap() }.film(&film).unwrap();
        let seconds: Vec<u64> = frames.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(seconds, [0, 1, 2]);
        assert!(frames.iter().all(|(_, picture)| image::decode(picture).is_ok()));
        assert_eq!(frames[0].1, std::fs::read(one).unwrap());
    }

    #[test]
    fn the_file_is_the_input_and_its_name_is_no_argument() {
        let folder = tempfile::tempdir().unwrap();
        // What it is given becomes the samples.
        let program = stand_in(folder.path(), "case \"$*\" in *rf*) exit 9;; esac; cat");
        let song = folder.path().join("-rf");
        std::fs::write(&song, [1; 1600]).unwrap();
        let wav = Ffmpeg { program: program.to_str().unwrap() }.sound(&song).unwrap();
        assert_eq!(sound::decode_wav(&wav).unwrap().samples().len(), 800);
    }

    #[test]
    fn what_went_wrong_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("photo.heic");
        std::fs::write(&file, "x").unwrap();
        let said = |script: &str| {
            let program = stand_in(folder.path(), script);
            let error = Ffmpeg { program: program.to_str().unwrap() }.picture(&file).unwrap_err();
            format!("{error:#}").replace(&file.display().to_string(), "photo.heic")
        };
        assert_eq!(
            said("echo 'moov atom not found' >&2; exit 1"),
            "ffmpeg cannot read photo.heic: moov atom not found"
        );
        assert_eq!(said("exit 0"), "ffmpeg cannot read photo.heic: it has nothing of the kind in it");
        let nowhere = Ffmpeg { program: "/nowhere/ffmpeg" }.picture(&file).unwrap_err().to_string();
        assert!(nowhere.contains("photo.heic is of a format that hob reads only with ffmpeg"), "{nowhere}");
    }

    #[test]
    fn torn_streams_of_pictures_lose_the_torn_one_only() {
        let picture = std::fs::read(media("odd.png")).unwrap();
        let stream = [&picture[..], &picture[..picture.len() - 3]].concat();
        assert_eq!(pictures(&stream), std::slice::from_ref(&picture));
        assert!(pictures(b"no picture").is_empty() && pictures(b"").is_empty());
        let endless = [&picture[..8], &[0xFF; 12]].concat();
        assert!(pictures(&endless).is_empty());
    }
}
