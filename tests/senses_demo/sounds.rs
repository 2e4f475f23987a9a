//! A server of sounds with a virtual microphone, and a voice that speaks into it.

use anyhow::{Context, bail, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// What the server is told: what is played to `voice` is what `vmic` hears.
const SERVER: &str = "load-module module-native-protocol-unix
load-module module-null-sink sink_name=voice rate=48000 channels=2
load-module module-remap-source source_name=vmic master=voice.monitor
set-default-source vmic
set-default-sink voice
";

/// A PulseAudio of its own: nobody's sound is touched. Ends with this value.
pub(crate) struct Sounds {
    folder: TempDir,
    server: Child,
}

impl Sounds {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hob-sounds-").tempdir()?;
        let run = folder.path().join("run");
        fs::create_dir(&run)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700))?;
        let script = folder.path().join("server.pa");
        fs::write(&script, SERVER)?;
        let mut command = Command::new("pulseaudio");
        command.args(["-n", "-F"]).arg(&script).args(["--daemonize=no", "--exit-idle-time=-1"]);
        for (name, value) in variables(&folder) {
            command.env(name, value);
        }
        let server = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("pulseaudio is missing: run `scripts/setup.sh sound`")?;
        let sounds = Self { folder, server };
        let began = Instant::now();
        while !sounds.program("pactl").arg("info").output()?.status.success() {
            ensure!(began.elapsed() < Duration::from_secs(20), "the server of sounds does not answer");
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(sounds)
    }

    /// What a program has to know to find it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        variables(&self.folder)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    /// Says something, and tells when it was said.
    pub(crate) async fn speak(&self, words: &str) -> anyhow::Result<Instant> {
        let wav = self.folder.path().join("words.wav");
        let voice = ["-v", "en-us+f4", "-s", "150", "-w"];
        run(Command::new("espeak-ng").args(voice).arg(&wav).arg(words))?;
        let mut play = self.program("paplay");
        play.args(["-d", "voice"]).arg(&wav);
        tokio::task::spawn_blocking(move || run(&mut play).map(|()| Instant::now())).await?
    }
}

fn variables(folder: &TempDir) -> Vec<(&'static str, String)> {
    let run: PathBuf = folder.path().join("run");
    vec![
        ("HOME", folder.path().display().to_string()),
        ("XDG_RUNTIME_DIR", run.display().to_string()),
        ("PULSE_SERVER", format!("unix:{}/pulse/native", run.display())),
    ]
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

impl Drop for Sounds {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
