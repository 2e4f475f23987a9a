//! How the broker is reached.

use hob_events::NodeName;
use std::path::PathBuf;

/// How the broker is reached, and what may wait for it.
#[derive(Debug, Clone)]
pub struct MqttSettings {
    /// The board's name in topics.
    pub node: NodeName,
    /// The broker's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How hob calls itself; the same after a restart, so that the session is found again.
    pub client_id: String,
    /// A user name, when the broker asks for one.
    pub username: Option<String>,
    /// A file with the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// Seconds of silence after which the connection is tested.
    pub keep_alive_s: u16,
    /// Seconds for which the broker keeps the session while hob is away.
    pub session_expiry_s: u32,
    /// The largest packet either way, in bytes. rumqttc's own 10 KiB would cut every picture.
    pub max_packet_bytes: u32,
    /// Messages that may wait while the broker is away.
    pub queue: usize,
    /// Topics to listen to besides hob's own: devices, rules.
    pub listen_to: Vec<String>,
}

/// Why the client cannot start. A broker that is away is no such reason: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum StartMqttError {
    /// The password cannot be read.
    #[error("the password file {path} cannot be read: create it readable for hob's user, or remove mqtt.password_file")]
    Password {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A password without a user.
    #[error("mqtt.password_file needs mqtt.username")]
    NoUser,
}

impl MqttSettings {
    /// User and password, when the broker asks for them.
    pub(crate) fn credentials(&self) -> Result<Option<(String, String)>, StartMqttError> {
        let (user, path) = match (&self.username, &self.password_file) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(StartMqttError::NoUser),
            (Some(user), None) => return Ok(Some((user.clone(), String::new()))),
            (Some(user), Some(path)) => (user, path),
        };
        let password =
            std::fs::read_to_string(path).map_err(|source| StartMqttError::Password { path: path.clone(), source })?;
        Ok(Some((user.clone(), password.trim_end_matches(['\r', '\n']).to_owned())))
    }
}
