//! The calling side of the control socket, for the command line.

use crate::wire::{MAX_LINE_BYTES, Reply, Request};
use futures_util::{SinkExt, StreamExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// Why hob cannot be reached, or was lost.
#[derive(Debug, thiserror::Error)]
pub enum CallDoorError {
    /// Nobody listens.
    #[error("no hob listens on {path}")]
    Nobody {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("the control socket {path} may not be used: run as root, or as a member of its group")]
    NotAllowed {
        /// Where it lies.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the connection to hob broke")]
    Broken(#[source] LinesCodecError),
    /// hob closed the connection.
    #[error("hob closed the connection")]
    Closed,
    /// What came is no reply.
    #[error("hob answered what this version does not know")]
    NotUnderstood(#[source] serde_json::Error),
}

/// A connection to a running hob.
#[derive(Debug)]
pub struct DoorClient {
    lines: Framed<UnixStream, LinesCodec>,
}

impl DoorClient {
    /// Connects.
    ///
    /// # Errors
    /// [`CallDoorError::Nobody`] when no daemon runs, [`CallDoorError::NotAllowed`] when the file may not be opened.
    pub async fn connect(path: &Path) -> Result<Self, CallDoorError> {
        let stream = UnixStream::connect(path).await.map_err(|error| {
            let path = path.to_owned();
            if error.kind() == std::io::ErrorKind::PermissionDenied {
                CallDoorError::NotAllowed { path }
            } else {
                CallDoorError::Nobody { path }
            }
        })?;
        Ok(Self { lines: Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE_BYTES)) })
    }

    /// Asks.
    ///
    /// # Errors
    /// [`CallDoorError::Broken`] when the connection is gone.
    pub async fn send(&mut self, request: &Request) -> Result<(), CallDoorError> {
        let line = serde_json::to_string(request).map_err(CallDoorError::NotUnderstood)?;
        self.lines.send(line).await.map_err(CallDoorError::Broken)
    }

    /// The next reply.
    ///
    /// # Errors
    /// [`CallDoorError`] when the connection is gone, or the reply is of another version.
    pub async fn next(&mut self) -> Result<Reply, CallDoorError> {
        let line = self.lines.next().await.ok_or(CallDoorError::Closed)?.map_err(CallDoorError::Broken)?;
        serde_json::from_str(&line).map_err(CallDoorError::NotUnderstood)
    }
}
