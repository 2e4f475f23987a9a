//! Answers aloud: a program of the owner's is given the words and plays them. Nothing waits for it.

use crate::microphones::Microphones;
use crate::settings::Voice;
use hob_events::SenseName;
use std::process::Stdio;
use std::sync::Arc;
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
}

/// Speaks to the task that speaks.
#[derive(Debug, Clone)]
pub struct VoiceHandle {
    sayings: mpsc::Sender<Saying>,
    hush: Arc<Notify>,
}

/// The task that speaks.
#[derive(Debug)]
pub struct Speaker {
    program: String,
    arguments: Vec<String>,
    longest: Duration,
    microphones: Microphones,
    sayings: mpsc::Receiver<Saying>,
    hush: Arc<Notify>,
}

impl VoiceHandle {
    /// A voice and its task; none where the settings name no program.
    #[must_use]
    pub fn open(settings: &Voice, microphones: Microphones) -> Option<(Self, Speaker)> {
        let (program, arguments) = settings.command.split_first()?;
        let (sayings_in, sayings) = mpsc::channel(QUEUE);
        let hush = Arc::new(Notify::new());
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
        if self.sayings.try_send(Saying { words: words.to_owned(), answers }).is_err() {
            tracing::warn!("too much waits to be said: this is not");
        }
    }

    /// Stops what is being said, at once.
    pub fn hush(&self) {
        self.hush.notify_waiters();
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
            let Some(Saying { words, answers }) = saying else { return stop.cancelled().await };
            if !words.trim().is_empty() {
                self.microphones.speaking(true);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.hush.notified() => tracing::debug!("hushed"),
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
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not want to hear it all is its own affair.
            stdin.write_all(words.as_bytes()).await.ok();
        }
        Ok(child.wait().await?.success())
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
