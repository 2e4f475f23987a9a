//! Mosquitto on a free port. It keeps nothing over a restart.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) struct Broker {
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Broker {
    /// A port, and no broker on it yet.
    pub(crate) fn absent() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self { port, folder: tempfile::tempdir().unwrap(), child: None }
    }

    pub(crate) fn started() -> Self {
        let mut broker = Self::absent();
        broker.start("");
        broker
    }

    /// Starts it with these lines of settings besides, and waits until it says that it runs.
    pub(crate) fn start(&mut self, more: &str) {
        let path = self.folder.path().join("conf");
        let port = self.port;
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest stderr\nconnection_messages false\n{more}\n"
        );
        std::fs::write(&path, settings).unwrap();
        // Debian keeps it where only root's path looks.
        let program = Path::new("/usr/sbin/mosquitto");
        let program = if program.exists() { program } else { Path::new("mosquitto") };
        let mut child = Command::new(program).arg("-c").arg(path).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("running")), "mosquitto does not start");
        // Read to its end, so that mosquitto never waits for a reader.
        std::thread::spawn(move || lines.count());
        self.child = Some(child);
    }

    /// It no longer reads or answers, and its connections stay open.
    pub(crate) fn freeze(&self) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-STOP", &id]).status().unwrap().success());
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A file in its folder, for its settings to name.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
