//! What hob does not read itself goes through `ffmpeg`, where it is installed: films into pictures, other pictures into
//! PNG, other sounds into WAV.
//!
//! It runs here, as the user who asks, and not in the daemon: a decoder of fifty formats is the last thing that belongs
//! next to keys to a house. There is no shell; the file comes in as its standard input, so that its name is never read as
//! anything; it may open nothing over a network; and its time, memory and output are bounded.

use anyhow::{Context, bail};
use hob_model::media::sound::Sound;
use hob_model::media::video;
use rustix::process::{Pid, Resource, Rlimit};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// The longest a conversion may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Address space that it may take.
const MEMORY: u64 = 2 << 30;

/// Most bytes that it may give, where all are kept.
const OUTPUT: u64 = 256 << 20;

/// Most bytes of a picture of a film: twice what 768 by 768 pixels have.
const PICTURE: usize = 4 << 20;

/// Pictures of a film that are held while more come: at least as many as the model sees are left when every second one goes.
const HELD: usize = 64;

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
        self.run(path, &["-frames:v", "1", "-an", "-c:v", "png", "-f", "image2pipe"], whole)
    }

    /// The sound of a file, as WAV of one channel: what the model hears of it, and a second more so that it can tell.
    pub(super) fn sound(self, path: &Path) -> anyhow::Result<Vec<u8>> {
        let arguments = ["-vn", "-t", "31", "-ac", "1", "-ar", "16000", "-c:a", "pcm_s16le", "-f", "s16le"];
        Ok(wav(&self.run(path, &arguments, whole)?))
    }

    /// The pictures of a film that the model sees, as PNG, each with its moment.
    pub(super) fn film(self, path: &Path) -> anyhow::Result<Vec<(Duration, Vec<u8>)>> {
        // A picture a second, no larger than is looked at.
        let filter = "fps=1,scale=w='min(768,iw)':h='min(768,ih)':force_original_aspect_ratio=decrease,format=rgb24";
        let arguments = ["-an", "-t", FILM_SECONDS, "-vf", filter, "-c:v", "png", "-f", "image2pipe"];
        self.run(path, &arguments, Pictures::pick)?.chosen()
    }

    fn run<T: Send + 'static>(
        self,
        path: &Path,
        arguments: &[&str],
        read: impl FnOnce(ChildStdout) -> anyhow::Result<Option<T>> + Send + 'static,
    ) -> anyhow::Result<T> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut command = Command::new(self.program);
        command.args(BEFORE).args(arguments).arg("pipe:1");
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let started = command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = started.map_err(|error| self.absent(path, error))?;
        bound(&child);
        finish(child, read).with_context(|| format!("ffmpeg cannot read {}", path.display()))
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

/// Has what a child gives read until its end. One that gives too much, or takes too long, is ended. `read` says nothing when
/// there was nothing of what it looks for.
fn finish<T: Send + 'static>(
    mut child: Child,
    read: impl FnOnce(ChildStdout) -> anyhow::Result<Option<T>> + Send + 'static,
) -> anyhow::Result<T> {
    let (Some(output), Some(complaint)) = (child.stdout.take(), child.stderr.take()) else { bail!("no output") };
    let (told, hears) = channel();
    let reader = std::thread::spawn(move || told.send(read(output)).ok());
    let complains = std::thread::spawn(move || {
        let mut text = Vec::new();
        complaint.take(COMPLAINT).read_to_end(&mut text).ok();
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let output = hears.recv_timeout(PATIENCE);
    if !matches!(output, Ok(Ok(_))) {
        child.kill().ok();
    }
    let status = child.wait()?;
    reader.join().ok();
    let complaint = complains.join().unwrap_or_default();
    let Ok(output) = output else { bail!("it took longer than {} s", PATIENCE.as_secs()) };
    match (output?, status.signal()) {
        (Some(found), None) if status.success() => Ok(found),
        (_, Some(signal)) => bail!(
            "it was ended by signal {signal}: it may take {} s of the processor and {} GB of memory, and no more; {}",
            PATIENCE.as_secs(),
            MEMORY >> 30,
            if complaint.is_empty() { "make the file shorter or smaller" } else { &complaint }
        ),
        (_, None) if complaint.is_empty() => bail!("it has nothing of the kind in it"),
        (_, None) => bail!("{complaint}"),
    }
}

/// All bytes of a stream, within bounds.
fn whole(stream: impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    stream.take(OUTPUT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len())? > OUTPUT {
        bail!("it becomes more than {} MB", OUTPUT >> 20);
    }
    Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
}

/// Pictures of a film, evenly apart from its beginning.
struct Pictures {
    kept: Vec<Vec<u8>>,
    /// Seconds from one to the next.
    apart: u32,
}

impl Pictures {
    /// Picks from a stream of PNGs, one for each second. When more are held than [`HELD`], every second one goes: so it does
    /// not matter how many are to come.
    fn pick(stream: impl Read) -> anyhow::Result<Option<Self>> {
        let mut stream = BufReader::new(stream);
        let mut picked = Self { kept: Vec::new(), apart: 1 };
        let mut second = 0_u32;
        while let Some(picture) = next_picture(&mut stream)? {
            if second.is_multiple_of(picked.apart) {
                picked.kept.push(picture);
            }
            second += 1;
            if picked.kept.len() > HELD {
                let mut keep = false;
                picked.kept.retain(|_| {
                    keep = !keep;
                    keep
                });
                picked.apart *= 2;
            }
        }
        Ok(Some(picked).filter(|picked| !picked.kept.is_empty()))
    }

    /// Those that the model sees, each with its moment.
    fn chosen(self) -> anyhow::Result<Vec<(Duration, Vec<u8>)>> {
        let chosen = video::chosen(u64::try_from(self.kept.len())?, 1.0 / f64::from(self.apart))?;
        let mut pictures: Vec<Option<Vec<u8>>> = self.kept.into_iter().map(Some).collect();
        let mut take = |frame: u64| pictures.get_mut(usize::try_from(frame).ok()?)?.take();
        Ok(chosen.into_iter().filter_map(|moment| Some((moment.at, take(moment.frame)?))).collect())
    }
}

/// The next picture of a stream of PNGs; nothing at its end. What is torn there is left out.
fn next_picture(stream: &mut impl Read) -> anyhow::Result<Option<Vec<u8>>> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut picture = Vec::new();
    if !more(stream, &mut picture, SIGNATURE.len())? || picture != SIGNATURE {
        return Ok(None);
    }
    loop {
        let chunk = picture.len();
        // Length, kind, content, checksum.
        if !more(stream, &mut picture, 8)? {
            return Ok(None);
        }
        let Some((length, kind)) = picture.get(chunk..).and_then(<[u8]>::split_first_chunk::<4>) else {
            return Ok(None);
        };
        let (length, last) = (usize::try_from(u32::from_be_bytes(*length))?, kind == b"IEND");
        if picture.len().saturating_add(length) > PICTURE {
            bail!("a picture of it has more than {} MB", PICTURE >> 20);
        }
        if !more(stream, &mut picture, length + 4)? {
            return Ok(None);
        }
        if last {
            return Ok(Some(picture));
        }
    }
}

/// Reads so many bytes more. Returns whether they were there.
fn more(stream: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> std::io::Result<bool> {
    let read = stream.take(u64::try_from(count).unwrap_or(u64::MAX)).read_to_end(bytes)?;
    Ok(read == count)
}

/// A sound as a WAV file.
pub(super) fn wav_of(sound: &Sound) -> Vec<u8> {
    let samples: Vec<u8> = sound.samples().iter().flat_map(|sample| in_16_bits(*sample).to_le_bytes()).collect();
    wav(&samples)
}

#[expect(clippy::cast_possible_truncation, reason = "it is held within what 16 bits hold")]
fn in_16_bits(sample: f32) -> i16 {
    (sample * -f32::from(i16::MIN)).round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
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
        let killed = said("kill -9 $$");
        assert!(killed.contains("it was ended by signal 9: it may take 120 s of the processor"), "{killed}");
        assert_eq!(said("exit 0"), "ffmpeg cannot read photo.heic: it has nothing of the kind in it");
        let nowhere = Ffmpeg { program: "/nowhere/ffmpeg" }.picture(&file).unwrap_err().to_string();
        assert!(nowhere.contains("photo.heic is of a format that hob reads only with ffmpeg"), "{nowhere}");
    }

    #[test]
    fn torn_streams_of_pictures_lose_the_torn_one_only() {
        let picture = std::fs::read(media("odd.png")).unwrap();
        let stream = [&picture[..], &picture[..picture.len() - 3]].concat();
        assert_eq!(Pictures::pick(&stream[..]).unwrap().unwrap().kept, std::slice::from_ref(&picture));
        assert!(Pictures::pick(&b"no picture"[..]).unwrap().is_none() && Pictures::pick(&b""[..]).unwrap().is_none());
        let endless = [&picture[..8], &[0xFF; 12]].concat();
        assert_eq!(Pictures::pick(&endless[..]).err().unwrap().to_string(), "a picture of it has more than 4 MB");
    }

    #[test]
    fn of_a_film_of_any_length_32_pictures_are_seen_and_few_are_held() {
        // Pictures that end where they begin, and say which they are.
        let picture = |number: u32| [b"\x89PNG\r\n\x1a\n\0\0\0\x04IEND", &number.to_be_bytes()[..], &[0; 4]].concat();
        let seen = |seconds: u32| {
            let stream: Vec<u8> = (0..seconds).flat_map(picture).collect();
            let picked = Pictures::pick(&stream[..]).unwrap().unwrap();
            assert!(picked.kept.len() <= HELD);
            let chosen = picked.chosen().unwrap();
            for (at, bytes) in &chosen {
                assert_eq!(*bytes, picture(u32::try_from(at.as_secs()).unwrap()), "each has its own moment");
            }
            chosen.iter().map(|(at, _)| at.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(seen(5), [0, 1, 2, 3, 4]);
        for seconds in [32, 64, 65, 129, 600] {
            let moments = seen(seconds);
            assert_eq!(moments.len(), 32, "{seconds} s");
            let last = moments.last().unwrap();
            assert!(last + u64::from(seconds) / 16 >= u64::from(seconds), "{seconds} s: to its end, {last}");
        }
    }

    #[test]
    fn a_sound_is_written_as_it_is_read() {
        let sound = sound::decode_wav(&wav(&[0, 0, 255, 127, 1, 128, 57, 48])).unwrap();
        assert_eq!(wav_of(&sound), wav(&[0, 0, 255, 127, 1, 128, 57, 48]));
    }
}
