//! One microphone: its thread, and what the driver holds of it.

use super::scribe::{Piece, ScribeHandle};
use super::{Condition, Heard};
use crate::driver::Told;
use crate::settings::{Microphone, OpenPhraseError, Senses};
use bytes::Bytes;
use hob_onnx::Runtime;
use hob_senses::attention::{Attention, AttentionSettings, Begin, Cue, Meant};
use hob_senses::listen::{self, Fed, Listener};
use hob_senses::vad::Vad;
use hob_senses::wake::Wake;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;
use tokio::sync::mpsc::Sender;

/// The device of a satellite.
const OVER_MQTT: &str = "mqtt";

/// Before the path of a WAV file.
const FILE: &str = "file:";

/// Messages of a satellite that may wait: some seconds.
const FED: usize = 128;

/// What the driver holds. Its thread ends when this is gone.
#[derive(Debug)]
pub(super) struct Ear {
    shared: Arc<Shared>,
    /// To a satellite's thread.
    feed: SyncSender<Fed>,
}

/// What listens.
#[derive(Debug)]
pub(super) struct EarThread {
    shared: Arc<Shared>,
    fed: Receiver<Fed>,
}

impl EarThread {
    pub(super) fn start(self, runtime: &Runtime, senses: &Senses) -> std::io::Result<()> {
        let Self { shared, fed } = self;
        let (runtime, senses) = (runtime.clone(), senses.clone());
        let name = format!("hob-ear-{}", shared.settings.name);
        thread::Builder::new().name(name).spawn(move || shared.run(&runtime, &senses, fed)).map(drop)
    }
}

#[derive(Debug)]
struct Shared {
    settings: Microphone,
    attention: Mutex<State>,
    changed: Condvar,
    /// The stream is to be closed.
    close: AtomicBool,
    scribe: ScribeHandle,
    back: Sender<Told>,
    started: Instant,
}

#[derive(Debug)]
struct State {
    attention: Attention,
    condition: Condition,
    ending: bool,
}

impl Ear {
    pub(super) fn open(
        settings: &Microphone,
        muted: bool,
        scribe: ScribeHandle,
        back: Sender<Told>,
    ) -> (Self, EarThread) {
        let attention = AttentionSettings {
            begin: settings.begin,
            open_ms: settings.open_s * 1_000,
            follow_up_ms: settings.follow_up_s * 1_000,
            echo_cancelled: settings.echo_cancelled,
        };
        let condition =
            if muted { Condition::Muted } else { Condition::Lost { reason: "it is being opened".to_owned() } };
        let state = State { attention: Attention::new(attention, muted), condition, ending: false };
        let shared = Arc::new(Shared {
            settings: settings.clone(),
            attention: Mutex::new(state),
            changed: Condvar::new(),
            close: AtomicBool::new(muted),
            scribe,
            back,
            started: Instant::now(),
        });
        let (feed, fed) = sync_channel(FED);
        let thread = EarThread { shared: Arc::clone(&shared), fed };
        (Self { shared, feed }, thread)
    }

    pub(super) fn settings(&self) -> &Microphone {
        &self.shared.settings
    }

    pub(super) fn condition(&self) -> Condition {
        self.shared.lock().condition.clone()
    }

    pub(super) fn is_muted(&self) -> bool {
        self.shared.lock().attention.is_muted()
    }

    pub(super) fn cue(&self, cue: Cue) {
        self.shared.cue(cue);
    }

    pub(super) fn mute(&self, muted: bool) {
        self.shared.cue(Cue::Mute(muted));
        if muted {
            self.shared.close.store(true, Ordering::Relaxed);
        }
        self.shared.changed.notify_all();
    }

    pub(super) fn feed(&self, sound: &Bytes) {
        if self.is_muted() {
            return;
        }
        let samples = sound.chunks_exact(2).map(|pair| match pair {
            [low, high] => f32::from(i16::from_le_bytes([*low, *high])) / 32_768.0,
            _ => 0.0,
        });
        if self.shared.settings.device != OVER_MQTT {
            tracing::warn!(microphone = %self.shared.settings.name, "sound came over MQTT for a microphone that is none of a satellite");
        } else if let Err(TrySendError::Full(_)) = self.feed.try_send(samples.collect()) {
            tracing::warn!(microphone = %self.shared.settings.name, "a satellite's sound comes faster than it is heard: some is dropped");
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.close.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.attention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the attention, and passes on what it lets past. Under the lock, so that nothing overtakes a mute.
    fn cue(&self, cue: Cue) {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut state = self.lock();
        let before = state.attention.is_listening();
        let calls = matches!(cue, Cue::Push(true) | Cue::Woken) && !state.attention.is_muted();
        let meant = state.attention.cue(at_ms, cue);
        // At the call and again when they speak: hob may have begun to say something in between.
        if calls || matches!(meant, Some(Meant::Began { called: true, .. })) {
            self.tell(Heard::Called(self.settings.name.clone()));
        }
        if let Some(meant) = meant {
            self.scribe.take(Piece { microphone: self.settings.name.clone(), meant });
        }
        let now = state.attention.is_listening();
        // Muted is said once its stream is closed, and nothing in between.
        if now != before
            && !state.attention.is_muted()
            && matches!(state.condition, Condition::Waiting | Condition::Listening)
        {
            self.become_now(&mut state, if now { Condition::Listening } else { Condition::Waiting });
        }
    }

    fn is(&self, condition: Condition) {
        self.become_now(&mut self.lock(), condition);
    }

    fn become_now(&self, state: &mut State, condition: Condition) {
        if state.condition != condition {
            state.condition = condition.clone();
            self.tell(Heard::Is(self.settings.name.clone(), condition));
        }
    }

    /// Never waits: a driver that does not listen for so long has other troubles.
    fn tell(&self, heard: Heard) {
        if self.back.try_send(Told::Heard(heard)).is_err() {
            tracing::warn!(microphone = %self.settings.name, "the driver is busy: what a microphone told is lost");
        }
    }

    // ---- the thread -------------------------------------------------------------------------------------------

    fn run(&self, runtime: &Runtime, senses: &Senses, fed: Receiver<Fed>) {
        let mut vad = match Vad::open(runtime, &senses.vad) {
            Ok(vad) => vad,
            Err(error) => return self.break_down(&format!("{error}: {}", senses.vad.display())),
        };
        let mut wake = match self.wake(runtime, senses) {
            Ok(wake) => wake,
            Err(error) => return self.break_down(&error.to_string()),
        };
        let source = self.source(fed);
        while self.wait_until_wanted() {
            let mut told = |told: listen::Told| self.heard(told);
            let listener = Listener::new(&mut vad, senses.segment, &mut told, &self.close);
            let ended = listener.waking(wake.as_mut()).listen(&source);
            match (ended, &source) {
                (Err(error), _) => return self.break_down(&error.to_string()),
                (Ok(()), listen::Source::Wav(_)) if !self.close.load(Ordering::Relaxed) => {
                    return self.break_down("its file is at its end");
                }
                (Ok(()), _) => {}
            }
        }
    }

    /// Where the owner wants the phrase here.
    fn wake(&self, runtime: &Runtime, senses: &Senses) -> Result<Option<Wake>, OpenPhraseError> {
        (self.settings.begin == Begin::Wake).then(|| senses.wake.open(runtime)).transpose()
    }

    fn source(&self, fed: Receiver<Fed>) -> listen::Source {
        let device = &self.settings.device;
        match device.strip_prefix(FILE) {
            Some(path) => listen::Source::Wav(PathBuf::from(path)),
            None if device == OVER_MQTT => listen::Source::Fed(fed),
            None => listen::Source::Microphone(device.clone()),
        }
    }

    /// Waits while it is muted: its stream is closed meanwhile. False when hob ends.
    fn wait_until_wanted(&self) -> bool {
        let mut state = self.lock();
        while state.attention.is_muted() && !state.ending {
            self.become_now(&mut state, Condition::Muted);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.close.store(state.ending, Ordering::Relaxed);
        !state.ending
    }

    fn heard(&self, told: listen::Told) {
        match told {
            listen::Told::Opened { rate, channels } => {
                tracing::info!(microphone = %self.settings.name, rate, channels, "listening");
                self.is(Condition::Waiting);
            }
            listen::Told::Heard { heard, .. } => self.cue(Cue::Heard(heard)),
            listen::Told::Wake { woken: true, score } => {
                tracing::info!(microphone = %self.settings.name, score, "woken");
                self.cue(Cue::Woken);
            }
            listen::Told::Dropped { samples } => {
                tracing::warn!(microphone = %self.settings.name, samples, "samples found no room: this board is too busy to listen");
            }
            listen::Told::Lost { reason, again_ms } => {
                tracing::warn!(microphone = %self.settings.name, reason, again_ms, "a microphone is lost");
                self.is(Condition::Lost { reason });
            }
            listen::Told::Level { .. } | listen::Told::Wake { woken: false, .. } | listen::Told::Ended => {}
        }
    }

    fn break_down(&self, reason: &str) {
        tracing::error!(microphone = %self.settings.name, reason, "a microphone cannot be listened to");
        self.is(Condition::Broken { reason: reason.to_owned() });
    }
}
