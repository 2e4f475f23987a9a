//! The listening side of the control socket.

use crate::wire::{MAX_LINE_BYTES, Reply, Request};
use futures_util::{SinkExt, StreamExt};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// Replies that may wait for a slow reader. A turn has some ten statuses and a stream of words; a reader that is
/// further behind is cut off, and finds its result stored.
const REPLIES_WAITING: usize = 256;

/// The wait after a connection could not be taken.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How the socket is opened.
#[derive(Debug, Clone)]
pub struct DoorSettings {
    /// Where it lies.
    pub path: PathBuf,
    /// Users that may use it. Everyone else is told so and cut off.
    pub allowed_uids: Vec<u32>,
    /// Connections at a time.
    pub connections: usize,
    /// A connection that asks nothing and is told nothing for so long is closed.
    pub idle: Duration,
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindDoorError {
    /// Another hob listens there.
    #[error("another hob listens on {path} already: stop it first, or set doors.socket to another path")]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// Something else lies there, which is not hob's to remove.
    #[error("{path} is there and is no socket: set doors.socket to another path")]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// The path cannot be a socket.
    #[error("the control socket {path} cannot be opened: set doors.socket to a path in a folder hob may write to")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Who is on the other end, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user id.
    pub uid: u32,
}

/// One request, with the way back.
#[derive(Debug)]
pub struct DoorRequest {
    /// Who asks.
    pub peer: Peer,
    /// What.
    pub request: Request,
    /// Replies go here, with `try_send`: a full one is a reader that does not read.
    pub replies: mpsc::Sender<Reply>,
}

/// The open socket.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    settings: DoorSettings,
}

impl Door {
    /// Opens the socket, readable and writable for its user and group. One left by a hob that is gone is replaced.
    ///
    /// # Errors
    /// [`BindDoorError`] when another process listens there, or the path cannot be used.
    pub async fn bind(settings: DoorSettings) -> Result<Self, BindDoorError> {
        let path = settings.path.clone();
        let failed = |source| BindDoorError::Bind { path: path.clone(), source };
        remove_stale(&path).await?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(Self { listener, settings })
    }

    /// Serves until `stop` completes; then no new connection is taken and open ones are closed.
    pub async fn serve(self, requests: mpsc::Sender<DoorRequest>, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.listener.accept() => accepted,
            };
            // Those that ended meanwhile do not count.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) if connections.len() < self.settings.connections => {
                    connections.spawn(converse(stream, self.settings.clone(), requests.clone()));
                }
                Ok((stream, _)) => turn_away(&stream, self.settings.connections),
                Err(error) => {
                    tracing::warn!(%error, "the control socket could not take a connection");
                    // Out of file descriptors, most likely: the next attempt would fail at once, and the next.
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
        connections.shutdown().await;
        std::fs::remove_file(&self.settings.path).ok();
    }
}

/// Removes a socket that nobody listens on.
async fn remove_stale(path: &Path) -> Result<(), BindDoorError> {
    let failed = |source| BindDoorError::Bind { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => return Err(BindDoorError::NoSocket { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match UnixStream::connect(path).await {
        // Only this says that nobody is there: a full queue of connections, or a lack of rights, means that someone is.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Ok(_) | Err(_) => Err(BindDoorError::Taken { path: path.to_owned() }),
    }
}

/// Says why, as far as that is possible without waiting, and closes.
fn turn_away(stream: &UnixStream, connections: usize) {
    let message = format!("{connections} connections are open already: close one, or try again later");
    if let Ok(line) = serde_json::to_string(&Reply::error("busy", message)) {
        stream.try_write(format!("{line}\n").as_bytes()).ok();
    }
}

/// One connection: lines in become requests, replies become lines out.
async fn converse(stream: UnixStream, settings: DoorSettings, requests: mpsc::Sender<DoorRequest>) {
    let uid = stream.peer_cred().map(|peer| peer.uid());
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    let peer = match uid {
        Ok(uid) if settings.allowed_uids.contains(&uid) => Peer { uid },
        Ok(uid) => {
            let message = format!("user {uid} may not use this socket: add it to doors.allow_uids");
            write(&mut lines, &Reply::error("denied", message), settings.idle).await;
            return;
        }
        Err(_) => return,
    };
    let (replies, mut answers) = mpsc::channel(REPLIES_WAITING);
    loop {
        let goes_on = tokio::select! {
            line = lines.next() => match line {
                None => false,
                Some(line) => match read(line, peer, &replies) {
                    Ok(request) => requests.send(request).await.is_ok(),
                    Err(Refused { reply, cut_off }) => write(&mut lines, &reply, settings.idle).await && !cut_off,
                },
            },
            Some(reply) = answers.recv() => write(&mut lines, &reply, settings.idle).await,
            () = tokio::time::sleep(settings.idle) => false,
        };
        if !goes_on {
            return;
        }
    }
}

/// A line that is no request.
struct Refused {
    reply: Box<Reply>,
    /// What follows cannot be told from the rest of this line.
    cut_off: bool,
}

impl Refused {
    fn new(reply: Reply, cut_off: bool) -> Self {
        Self { reply: Box::new(reply), cut_off }
    }
}

fn read(
    line: Result<String, LinesCodecError>,
    peer: Peer,
    replies: &mpsc::Sender<Reply>,
) -> Result<DoorRequest, Refused> {
    let line = line.map_err(|error| match error {
        LinesCodecError::MaxLineLengthExceeded => {
            let message = format!("a line has at most {MAX_LINE_BYTES} bytes");
            Refused::new(Reply::error("oversize", message), true)
        }
        LinesCodecError::Io(error) => Refused::new(Reply::error("malformed", error), true),
    })?;
    let request = serde_json::from_str(&line).map_err(|error| Refused::new(Reply::error("malformed", error), false))?;
    Ok(DoorRequest { peer, request, replies: replies.clone() })
}

/// Writes a line. A peer that does not read for as long as it may be idle is taken for gone.
async fn write(lines: &mut Framed<UnixStream, LinesCodec>, reply: &Reply, patience: Duration) -> bool {
    let Ok(line) = serde_json::to_string(reply) else { return false };
    matches!(tokio::time::timeout(patience, lines.send(line)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::DoorClient;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::sync::oneshot;

    fn settings(folder: &Path, allowed_uids: Vec<u32>) -> DoorSettings {
        DoorSettings { path: folder.join("s"), allowed_uids, connections: 2, idle: Duration::from_secs(60) }
    }

    fn own_uid(folder: &Path) -> u32 {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(folder).expect("the temp folder").uid()
    }

    #[tokio::test]
    async fn a_request_reaches_the_driver_and_its_replies_come_back() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let door = Door::bind(settings(folder.path(), vec![own_uid(folder.path())])).await.expect("bound");
        let (sender, mut requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = door.serve(sender, async { _ = stopped.await });
        let talk = async {
            let mut client = DoorClient::connect(&folder.path().join("s")).await.expect("connected");
            client.send(&Request::Tools).await.expect("sent");
            let asked = requests.recv().await.expect("a request");
            assert_eq!(asked.request, Request::Tools);
            asked.replies.try_send(Reply::Done).expect("room");
            assert_eq!(client.next().await.expect("a reply"), Reply::Done);
            drop(stop);
        };
        tokio::join!(served, talk);
        assert!(!folder.path().join("s").exists(), "the socket is gone after the end");
    }

    #[tokio::test]
    async fn a_stranger_is_told_and_cut_off() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let door = Door::bind(settings(folder.path(), vec![own_uid(folder.path()) + 1])).await.expect("bound");
        let (sender, _requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = door.serve(sender, async { _ = stopped.await });
        let talk = async {
            let mut client = DoorClient::connect(&folder.path().join("s")).await.expect("connected");
            let Reply::Error { code, .. } = client.next().await.expect("a reply") else { unreachable!("an error") };
            assert_eq!(code, "denied");
            assert!(client.next().await.is_err(), "cut off");
            drop(stop);
        };
        tokio::join!(served, talk);
    }

    #[tokio::test]
    async fn a_malformed_line_is_answered_and_the_connection_goes_on() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let door = Door::bind(settings(folder.path(), vec![own_uid(folder.path())])).await.expect("bound");
        let (sender, mut requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = door.serve(sender, async { _ = stopped.await });
        let talk = async {
            let mut raw = BufReader::new(UnixStream::connect(folder.path().join("s")).await.expect("connected"));
            raw.write_all(b"{\"op\":\"fly\"}\n{\"op\":\"tools\"}\n").await.expect("written");
            let mut line = String::new();
            raw.read_line(&mut line).await.expect("a line");
            assert!(line.contains("\"malformed\"") && line.contains("fly"), "{line}");
            assert_eq!(requests.recv().await.expect("the second").request, Request::Tools);
            drop(stop);
        };
        tokio::join!(served, talk);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_and_any_other_file_are_not() {
        let folder = tempfile::tempdir().expect("a temp folder");
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("s")).expect("a socket of a hob that is gone"));
        let first = Door::bind(settings(folder.path(), Vec::new())).await.expect("bound");
        let second = Door::bind(settings(folder.path(), Vec::new())).await;
        assert!(matches!(second, Err(BindDoorError::Taken { .. })));
        drop(first);
        Door::bind(settings(folder.path(), Vec::new())).await.expect("the first one is gone");
        let precious = DoorSettings { path: folder.path().join("notes"), ..settings(folder.path(), Vec::new()) };
        std::fs::write(&precious.path, "keep me").expect("a file");
        assert!(matches!(Door::bind(precious.clone()).await, Err(BindDoorError::NoSocket { .. })));
        assert!(precious.path.exists());
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_the_others_go_on() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("s");
        let door = Door::bind(settings(folder.path(), vec![own_uid(folder.path())])).await.expect("bound");
        let (sender, mut requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = door.serve(sender, async { _ = stopped.await });
        let talk = async {
            let mut open = Vec::new();
            for _ in 0..2 {
                let mut client = DoorClient::connect(&path).await.expect("connected");
                client.send(&Request::Tools).await.expect("sent");
                requests.recv().await.expect("taken");
                open.push(client);
            }
            let mut third = DoorClient::connect(&path).await.expect("connected");
            let Reply::Error { code, .. } = third.next().await.expect("a reply") else { unreachable!("an error") };
            assert_eq!(code, "busy");
            open[0].send(&Request::Model).await.expect("sent");
            assert_eq!(requests.recv().await.expect("the others go on").request, Request::Model);
            drop(stop);
        };
        tokio::join!(served, talk);
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_off() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let door = Door::bind(settings(folder.path(), vec![own_uid(folder.path())])).await.expect("bound");
        let (sender, _requests) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = door.serve(sender, async { _ = stopped.await });
        let talk = async {
            let mut raw = BufReader::new(UnixStream::connect(folder.path().join("s")).await.expect("connected"));
            // It may be cut off before everything is written.
            raw.write_all(&vec![b'x'; MAX_LINE_BYTES + 2]).await.ok();
            let mut line = String::new();
            raw.read_line(&mut line).await.expect("a line");
            assert!(line.contains("\"oversize\""), "{line}");
            drop(stop);
        };
        tokio::join!(served, talk);
    }
}
