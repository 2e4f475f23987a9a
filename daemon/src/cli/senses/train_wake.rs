//! `hob senses train-wake`: the wake phrase as a household says it, from its own recordings.

use crate::cli::Invocation;
use crate::exit::Exit;
use anyhow::{Context, ensure};
use hob_onnx::Runtime;
use hob_senses::RATE;
use hob_senses::wake::voice::{Example, Voice};
use hob_senses::wake::{STEP, Trigger, VECTORS, Wake, WakeFiles, Window};
use hob_senses::wav::at_16_khz;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Recordings of the phrase that are asked for at least, and seconds of other sound.
const LEAST_PHRASES: usize = 5;
const LEAST_OTHER_S: usize = 20;

/// Silence before a recording, so that its first words have something before them, and after it, so that the last are noticed.
const BEFORE: usize = 17 * STEP;
const AFTER: usize = 8 * STEP;

/// Windows after the end of the phrase that are to be taken for it.
const LATE: usize = 4;

/// Each recording is heard so many times, each time begun a little later within a step.
const PHASES: usize = 4;

/// Where a recording's loudest 10 ms have become quieter by this factor, 26 dB, nobody speaks any more.
const QUIETER: f32 = 0.05;

/// Parts of the recordings, each judged by what the others taught.
const FOLDS: usize = 4;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct TrainWake {
    /// A folder with WAV files in each of which somebody of the household says "hey hob" once.
    #[arg(value_name = "PHRASES", value_hint = clap::ValueHint::DirPath)]
    phrases: PathBuf,
    /// A folder with WAV files of the same people and rooms without the phrase: talk, a radio, the kitchen.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    other: PathBuf,
    /// Write the voice there.
    #[arg(long, value_name = "FILE", default_value = "hey_hob.voice.json", value_hint = clap::ValueHint::FilePath)]
    out: PathBuf,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  arecord -f S16_LE -r 16000 -d 2 phrase/1.wav       \"hey hob\", and so on: ten or more, from where you will say it
  arecord -f S16_LE -r 16000 -d 120 other/talk.wav   anything else
  hob senses train-wake phrase --other other --out hey_hob.voice.json

Nothing but the voice is written: 1,537 numbers, no sound. Exit codes: 0 written · 1 the recordings do not do";

/// One recording of the phrase.
struct Phrase {
    /// Of all its windows, as it is heard once.
    once: Vec<Example>,
    /// Of the windows that end with the phrase.
    ends: Vec<Example>,
}

pub(super) fn train_wake(invocation: &Invocation, command: &TrainWake) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let runtime = Runtime::find(settings.onnx.library.as_deref())?;
    let shipped = &settings.senses.wake;
    let mut wake = Wake::open(&runtime, &WakeFiles::of(&shipped.folder), shipped.threshold, None)
        .with_context(|| format!("is {} there?", shipped.folder.display()))?;
    let (phrases, other) = (recordings(&command.phrases)?, recordings(&command.other)?);
    ensure!(
        phrases.len() >= LEAST_PHRASES,
        "{} has {} recordings: record the phrase at least {LEAST_PHRASES} times, each in a file of its own",
        command.phrases.display(),
        phrases.len()
    );
    let seconds = other.iter().map(Vec::len).sum::<usize>() / RATE as usize;
    ensure!(
        seconds >= LEAST_OTHER_S,
        "{} has {seconds} s of sound: record at least {LEAST_OTHER_S} s without the phrase",
        command.other.display()
    );
    let bar = bar(invocation.json, phrases.len() + other.len())?;
    let phrases =
        phrases.iter().map(|samples| step(&bar, phrase(&mut wake, samples))).collect::<anyhow::Result<Vec<_>>>()?;
    let other =
        other.iter().map(|samples| step(&bar, without(&mut wake, samples))).collect::<anyhow::Result<Vec<_>>>()?;
    bar.finish_and_clear();
    let other = other.concat();
    let found = Found::judge(&phrases, &other, shipped.threshold);
    let ends: Vec<Example> = phrases.iter().flat_map(|phrase| phrase.ends.clone()).collect();
    let mut voice = Voice::fit(&ends, &other);
    (voice.phrases, voice.other_s) = (phrases.len(), u64::try_from(seconds)?);
    write(&voice, &command.out)?;
    found.print(invocation, &voice, &command.out)?;
    Ok(Exit::Ok)
}

/// How often it woke: by the shipped classifier, and by voices that were fitted to the other recordings alone.
struct Found {
    shipped: usize,
    own: usize,
    shipped_wrong: usize,
    own_wrong: usize,
}

impl Found {
    fn judge(phrases: &[Phrase], other: &[Example], threshold: f32) -> Self {
        let plain = Voice::fit(&[], &[]);
        let wakes = |voice: &Voice, examples: &[Example]| {
            let mut trigger = Trigger::new(threshold);
            examples.iter().filter(|example| trigger.push(voice.score(example))).count()
        };
        let woken = |voice: &Voice, phrase: &Phrase| usize::from(wakes(voice, &phrase.once) > 0);
        let mut found = Self {
            shipped: phrases.iter().map(|phrase| woken(&plain, phrase)).sum(),
            own: 0,
            shipped_wrong: wakes(&plain, other),
            own_wrong: 0,
        };
        let part = other.len().div_ceil(FOLDS);
        for fold in 0..FOLDS {
            let (mine, others): (Vec<_>, Vec<_>) = phrases.iter().enumerate().partition(|(at, _)| at % FOLDS == fold);
            let taught: Vec<Example> = others.iter().flat_map(|(_, phrase)| phrase.ends.clone()).collect();
            let apart =
                other.chunks(part).enumerate().filter(|(at, _)| *at != fold).flat_map(|(_, some)| some.to_vec());
            let voice = Voice::fit(&taught, &apart.collect::<Vec<_>>());
            found.own += mine.iter().map(|(_, phrase)| woken(&voice, phrase)).sum::<usize>();
            found.own_wrong += other.chunks(part).nth(fold).map_or(0, |some| wakes(&voice, some));
        }
        found
    }

    fn print(&self, invocation: &Invocation, voice: &Voice, out: &Path) -> anyhow::Result<()> {
        let told = json!({
            "phrases": voice.phrases, "other_s": voice.other_s, "voice": out,
            "woken": {"shipped": self.shipped, "voice": self.own},
            "wrongly_woken": {"shipped": self.shipped_wrong, "voice": self.own_wrong},
        });
        let (phrases, seconds) = (voice.phrases, voice.other_s);
        invocation.print(&told, || {
            vec![
                "                          as shipped    with your voice".to_owned(),
                format!("woken by the phrase       {:>4} of {phrases:<4}  {:>4} of {phrases}", self.shipped, self.own),
                format!("woken by something else   {:>4} in {seconds:>3} s  {:>4}", self.shipped_wrong, self.own_wrong),
                "(each recording is judged by a voice that was made without it)".to_owned(),
                format!("{} is written; to use it: voice = \"{}\" under [senses.wake]", out.display(), out.display()),
            ]
        })
    }
}

/// The recordings of a folder, by their names, at 16 kHz.
fn recordings(folder: &Path) -> anyhow::Result<Vec<Vec<f32>>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("wav")));
    paths.sort();
    Ok(paths.iter().map(|path| at_16_khz(path)).collect::<Result<_, _>>()?)
}

fn phrase(wake: &mut Wake, samples: &[f32]) -> anyhow::Result<Phrase> {
    let end = BEFORE + end_of_speech(samples).context("a recording of the phrase is silent")?;
    let (mut once, mut ends) = (Vec::new(), Vec::new());
    for phase in 0..PHASES {
        let later = phase * STEP / PHASES;
        let windows = heard(wake, samples, BEFORE + later, AFTER)?;
        // The first window ends with the 16th step.
        let first = ((end + later) / STEP).saturating_sub(VECTORS - 1);
        ends.extend(windows.iter().skip(first).take(LATE).map(Example::from));
        if phase == 0 {
            once = windows.iter().map(Example::from).collect();
        }
    }
    Ok(Phrase { once, ends })
}

fn without(wake: &mut Wake, samples: &[f32]) -> anyhow::Result<Vec<Example>> {
    Ok(heard(wake, samples, BEFORE, 0)?.iter().map(Example::from).collect())
}

/// What there is to judge in a recording with so much silence around it.
fn heard(wake: &mut Wake, samples: &[f32], before: usize, after: usize) -> anyhow::Result<Vec<Window>> {
    wake.forget();
    let around = [&vec![0.0; before], samples, &vec![0.0; after]].concat();
    Ok(wake.windows(&around)?)
}

/// The sample after which a recording stays quiet.
fn end_of_speech(samples: &[f32]) -> Option<usize> {
    const BLOCK: usize = RATE as usize / 100;
    let energies: Vec<f32> =
        samples.chunks(BLOCK).map(|block| block.iter().map(|sample| sample * sample).sum()).collect();
    let loudest = energies.iter().copied().fold(0.0, f32::max);
    let last = energies.iter().rposition(|energy| *energy > 0.0 && *energy >= loudest * QUIETER * QUIETER)?;
    Some((last + 1) * BLOCK)
}

fn write(voice: &Voice, out: &Path) -> anyhow::Result<()> {
    let part = out.with_extension("part");
    std::fs::write(&part, serde_json::to_vec(voice)?).with_context(|| part.display().to_string())?;
    std::fs::rename(&part, out).with_context(|| out.display().to_string())
}

fn bar(quiet: bool, count: usize) -> anyhow::Result<ProgressBar> {
    if quiet {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} recordings")?;
    Ok(ProgressBar::new(u64::try_from(count)?).with_style(style))
}

fn step<T>(bar: &ProgressBar, done: anyhow::Result<T>) -> anyhow::Result<T> {
    bar.inc(1);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_ends_where_it_becomes_quiet() {
        let loud = vec![0.5; 3_200];
        let quiet = vec![0.001; 8_000];
        assert_eq!(end_of_speech(&[loud, quiet].concat()), Some(3_200));
        assert_eq!(end_of_speech(&[0.0; 1_600]), None);
    }
}
