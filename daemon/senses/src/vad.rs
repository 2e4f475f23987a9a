//! How much a frame sounds like speech: Silero's detector (MIT), run by ONNX Runtime.

use crate::{FRAME, RATE};
use hob_onnx::{OpenSessionError, RunError, Runtime, Session, SessionSettings, Stop, Tensor, TensorError};
use std::num::NonZero;
use std::path::Path;

/// Samples of the frame before that the detector wants to see again.
const CONTEXT: usize = 64;

/// What the detector remembers: `[2, 1, 128]`.
const STATE: [usize; 3] = [2, 1, 128];

/// Why there is no detector.
#[derive(Debug, thiserror::Error)]
pub enum OpenVadError {
    /// The graph cannot be opened.
    #[error("the detector of speech cannot be opened")]
    Session(#[from] OpenSessionError),
    /// It cannot be stopped, or its memory not be made.
    #[error("the detector of speech does not run")]
    Run(#[from] RunError),
    /// Its memory cannot be made.
    #[error("the detector of speech has no memory")]
    Tensor(#[from] TensorError),
}

/// Listens to one stream.
#[derive(Debug)]
pub struct Vad {
    session: Session,
    stop: Stop,
    context: Vec<f32>,
    state: Tensor,
    rate: Tensor,
}

impl Vad {
    /// Opens the graph: inputs `input` `[1, 64 + 512]`, `state` `[2, 1, 128]` and `sr`, outputs `output` `[1, 1]` and `stateN`.
    ///
    /// # Errors
    /// [`OpenVadError`].
    pub fn open(runtime: &Runtime, path: &Path) -> Result<Self, OpenVadError> {
        // A frame takes a fifth of a millisecond: more threads would take longer to wake.
        let settings = SessionSettings { threads: NonZero::new(1), ..SessionSettings::default() };
        let session = Session::open(runtime, path, &settings)?;
        let stop = session.stop_handle()?;
        let state = Tensor::f32(&STATE, vec![0.0; STATE.iter().product()])?;
        let rate = Tensor::i64(&[], vec![i64::from(RATE)])?;
        Ok(Self { session, stop, context: vec![0.0; CONTEXT], state, rate })
    }

    /// How much the next frame of [`FRAME`] samples sounds like speech, from 0 to 1.
    ///
    /// # Errors
    /// [`RunError`]; the stream is then to be begun anew.
    pub fn speech(&mut self, frame: &[f32]) -> Result<f32, RunError> {
        // A driver that went wrong gives what is no number, and the detector would remember it for ever.
        let clean = frame.iter().map(|sample| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 });
        let input: Vec<f32> = self.context.iter().copied().chain(clean).collect();
        self.context = input.get(input.len() - CONTEXT..).unwrap_or_default().to_vec();
        let input = Tensor::f32(&[1, CONTEXT + FRAME], input)?;
        let feeds = [("input", &input), ("state", &self.state), ("sr", &self.rate)];
        let mut outputs = self.session.run(&feeds, &self.stop)?.into_iter();
        let none = |name: &str| RunError::NoOutput(name.to_owned());
        let speech = outputs.next().ok_or_else(|| none("output"))?.last_rows(1)?;
        self.state = outputs.next().ok_or_else(|| none("stateN"))?;
        speech.first().copied().filter(|speech| speech.is_finite()).ok_or_else(|| none("output"))
    }

    /// Forgets what was heard: another stream begins.
    ///
    /// # Errors
    /// [`TensorError`].
    pub fn forget(&mut self) -> Result<(), TensorError> {
        self.context.fill(0.0);
        self.state = Tensor::f32(&STATE, vec![0.0; STATE.iter().product()])?;
        Ok(())
    }
}
