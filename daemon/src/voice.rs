//! Answers aloud: a program of the owner's is given the words and plays them. Nothing waits for it.

use crate::microphones::Microphones;
use crate::settings::Voice;
use hob_events::SenseName;
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Answers that may wait to be said. What finds no room is not said: it can be read.
const QUEUE: usize = 8;

/// Something to say.
#[derive(Debug)]
struct Saying {
    words: String,
    /// Who may go on speaking afterwards.
    answers: Option<SenseName>,
    /// How often hob was hushed before.
    hushed: u64,
}

/// Speaks to the task that speaks.
#[derive(Debug, Clone)]
pub struct VoiceHandle {
    sayings: mpsc::Sender<Saying>,
    hush: Arc<Hush>,
}

/// Stops what is being said, and what waits to be.
#[derive(Debug, Default)]
struct Hush {
    times: AtomicU64,
    now: Notify,
}

/// The task that speaks.
#[derive(Debug)]
pub struct Speaker {
    program: String,
    arguments: Vec<String>,
    longest: Duration,
    microphones: Microphones,
    sayings: mpsc::Receiver<Saying>,
    hush: Arc<Hush>,
}

impl VoiceHandle {
    /// A voice and its task; none where the settings name no program.
    #[must_use]
    pub fn open(settings: &Voice, microphones: Microphones) -> Option<(Self, Speaker)> {
        let (program, arguments) = settings.command.split_first()?;
        let (sayings_in, sayings) = mpsc::channel(QUEUE);
        let hush = Arc::new(Hush::default());
        let speaker = Speaker {
            program: program.clone(),
            arguments: arguments.to_vec(),
            longest: Duration::from_secs(settings.timeout_s.max(1)),
            microphones,
            sayings,
            hush: Arc::clone(&hush),
        };
        Some((Self { sayings: sayings_in, hush }, speaker))
    }

    /// Says something, after what is being said. `answers` is where somebody asked.
    pub fn say(&self, words: &str, answers: Option<SenseName>) {
        let hushed = self.hush.times.load(Ordering::Relaxed);
        if self.sayings.try_send(Saying { words: words.to_owned(), answers, hushed }).is_err() {
            tracing::warn!("too much waits to be said: this is not");
        }
    }

    /// Stops what is being said, at once, and what waits to be said is not.
    pub fn hush(&self) {
        self.hush.times.fetch_add(1, Ordering::Relaxed);
        self.hush.now.notify_waiters();
    }
}

/// A program with all that it has started: a script around a synthesizer and a player is three processes.
struct Group(Option<u32>);

impl Group {
    /// It came to its own end.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(leader) = leader {
            // It may be gone already.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

impl Speaker {
    /// Speaks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let saying = tokio::select! {
                () = stop.cancelled() => return,
                saying = self.sayings.recv() => saying,
            };
            let Some(Saying { words, answers, hushed }) = saying else { return stop.cancelled().await };
            // Before the look whether it is still wanted: a hush in between is not missed.
            let hush = self.hush.now.notified();
            tokio::pin!(hush);
            hush.as_mut().enable();
            if !words.trim().is_empty() && hushed == self.hush.times.load(Ordering::Relaxed) {
                self.microphones.speaking(true);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = &mut hush => tracing::debug!("hushed"),
                    spoken = tokio::time::timeout(self.longest, self.say(&words)) => self.note(spoken),
                }
                self.microphones.speaking(false);
            }
            if let Some(microphone) = answers {
                self.microphones.answered(microphone.as_str());
            }
        }
    }

    /// The program is ended when this is dropped.
    async fn say(&self, words: &str) -> std::io::Result<bool> {
        let mut child: Child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = Group(child.id());
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not want to hear it all is its own affair.
            stdin.write_all(words.as_bytes()).await.ok();
        }
        let ended = child.wait().await;
        group.ended();
        Ok(ended?.success())
    }

    fn note(&self, spoken: Result<std::io::Result<bool>, tokio::time::error::Elapsed>) {
        let program = &self.program;
        match spoken {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => tracing::warn!(program, "the voice's program failed: try it by itself"),
            Ok(Err(error)) => tracing::warn!(program, %error, "the voice's program cannot be run: see [voice] command"),
            Err(_) => tracing::warn!(program, "the voice's program took too long and was ended: see [voice] timeout_s"),
        }
    }
}
