//! One file, from a server that may do anything, to the disk.
//!
//! | the server | hob |
//! |---|---|
//! | breaks off, falls silent, answers 5xx or 429 | tries again from where it was, after a pause |
//! | sends the whole file when asked for the rest | begins the file anew |
//! | has another state of the file than before | begins the file anew |
//! | has another size than the manifest | gives up at once |
//! | sends other bytes than the manifest's hash says | throws the file away; anew once if it came in pieces, else gives up |
//! | wants a token, or knows no such file | gives up at once and says what to do |

use crate::client::{Answer, AskError, Begun, Client, Content, NetworkSettings, why_lost};
use crate::disk::{DiskError, make_folder_of, remove_file, rename, room_for};
use crate::fetch::Progress;
use crate::manifest::FilePlan;
use crate::names::{RelativePath, Sha256};
use crate::part::{Part, hash_file};
use crate::pause::Pause;
use crate::record::{Origin, RecordedFile};
use crate::staging::Staging;
use std::io::Read;
use std::time::Duration;
use ureq::http::StatusCode;

/// A try that brought at least so many bytes shows that there is use in trying.
const WORTH_IT: u64 = 64 * 1024;
const BUFFER: usize = 128 * 1024;
/// The most bytes of a file whose size nobody says: small files of text come so, graphs and weights do not.
const UNMEASURED: u64 = 64 * 1024 * 1024;

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The repository is not open to everyone.
    #[error("{server} wants a token for {path} ({status}): {}", token_advice(*had_token))]
    Denied {
        /// Which file.
        path: RelativePath,
        /// Who refused.
        server: String,
        /// 401 or 403.
        status: StatusCode,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// There is no such file.
    #[error("{server} has no {path} ({status}): check the address, the repository and the revision")]
    Absent {
        /// Which file.
        path: RelativePath,
        /// Who said so.
        server: String,
        /// 404 or 410.
        status: StatusCode,
    },
    /// The server's answer leads nowhere.
    #[error("{path} cannot be fetched: {reason}")]
    Unusable {
        /// Which file.
        path: RelativePath,
        /// Why.
        reason: String,
    },
    /// The size is another than the manifest's.
    #[error(
        "{path} has {found} bytes at the hub where {expected} are expected: it is another file; check the revision"
    )]
    WrongSize {
        /// Which file.
        path: RelativePath,
        /// As the manifest has it, or at most.
        expected: u64,
        /// As the server has it, or at least.
        found: u64,
    },
    /// The bytes are others than the manifest's.
    #[error(
        "{path} is not what the manifest says and was thrown away: sha256 {found}, expected {expected}; try another hub \
         with --from, and use no file of this one"
    )]
    WrongHash {
        /// Which file.
        path: RelativePath,
        /// As the manifest has it.
        expected: Sha256,
        /// As it came.
        found: Sha256,
    },
    /// It went wrong too often.
    #[error("gave up on {path} after {tries} tries: {reason}; the same command goes on from there")]
    GaveUp {
        /// Which file.
        path: RelativePath,
        /// How often it was tried.
        tries: u32,
        /// What was wrong the last time.
        reason: String,
    },
    /// The server wants to be left alone for long.
    #[error("{reason} and asks to wait {} s before {path}: the same command goes on from there, later", wait.as_secs())]
    AskedToWait {
        /// Which file.
        path: RelativePath,
        /// What it answered.
        reason: String,
        /// For how long.
        wait: Duration,
    },
    /// Another file failed, and this one was left as it was.
    #[error("{path} was left where it was")]
    Stopped {
        /// Which file.
        path: RelativePath,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn token_advice(had_token: bool) -> &'static str {
    if had_token {
        "the one it was given does not open it; accept the model's terms on its page, or take another token"
    } else {
        "accept the model's terms on its page, then give a token with --token-file FILE or HF_TOKEN"
    }
}

/// What a download needs besides its file.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) client: &'a Client,
    pub(crate) staging: &'a Staging,
    pub(crate) network: &'a NetworkSettings,
    pub(crate) pause: &'a Pause,
    pub(crate) report: &'a (dyn Fn(Progress<'_>) + Sync),
    /// Whether the revision is the same for ever, so that what came of it before is of it still.
    pub(crate) lasting: bool,
}

/// How one try ended.
enum Tried {
    /// All bytes are there.
    Whole,
    /// It is worth trying again.
    Again { reason: String, retry_after: Option<Duration> },
}

/// One file on its way.
struct Download<'a> {
    around: Around<'a>,
    address: &'a str,
    plan: &'a FilePlan,
    part: Part,
    /// Bytes of the whole file, as soon as the manifest or the server says.
    total: Option<u64>,
    /// The server's mark of the state that the part belongs to.
    etag: Option<String>,
    /// Answers that the part was put together from.
    pieces: u32,
    /// How often what was there had to be thrown away.
    losses: u32,
    /// Whether all that is there came from a branch at another time, and the server has yet to say that it stands.
    doubted: bool,
}

/// Fetches a file, or finds that it is there already.
pub(crate) fn download(around: Around<'_>, address: &str, plan: &FilePlan) -> Result<RecordedFile, DownloadError> {
    let told_by_itself = plan.sha256.is_some() || around.lasting;
    if !told_by_itself {
        doubt(around.staging, plan)?;
    } else if let Some(there) = already_whole(around.staging, plan)? {
        (around.report)(Progress::Whole { path: &plan.path });
        return Ok(there);
    }
    let part = Part::open(around.staging.part(&plan.path))?;
    let pieces = u32::from(part.bytes() > 0);
    let etag = around.staging.etag(&plan.path);
    let (total, doubted) = (plan.bytes, !told_by_itself && pieces > 0);
    let mut download = Download { around, address, plan, part, total, etag, pieces, losses: 0, doubted };
    let sha256 = download.until_whole()?;
    let Download { part, .. } = download;
    let file = RecordedFile { path: plan.path.clone(), bytes: part.bytes(), sha256, checksum: origin(plan) };
    part.finish(&around.staging.whole(&plan.path))?;
    if told_by_itself {
        around.staging.remember_etag(&plan.path, None)?;
    }
    (around.report)(Progress::Whole { path: &plan.path });
    Ok(file)
}

/// Takes what an earlier fetch brought whole for a part that may be: nobody knows its hash, and the branch may have moved
/// since. Whether the server still has this state, its mark tells.
fn doubt(staging: &Staging, plan: &FilePlan) -> Result<(), DiskError> {
    let (whole, part) = (staging.whole(&plan.path), staging.part(&plan.path));
    if !whole.is_file() {
        return Ok(());
    }
    make_folder_of(&part)?;
    rename(&whole, &part)
}

/// What an earlier fetch brought whole, if it still is what it should be.
fn already_whole(staging: &Staging, plan: &FilePlan) -> Result<Option<RecordedFile>, DownloadError> {
    let path = staging.whole(&plan.path);
    if !path.is_file() {
        return Ok(None);
    }
    let (sha256, bytes) = hash_file(&path)?;
    if plan.bytes.is_some_and(|planned| planned != bytes) || plan.sha256.is_some_and(|planned| planned != sha256) {
        remove_file(&path)?;
        return Ok(None);
    }
    Ok(Some(RecordedFile { path: plan.path.clone(), bytes, sha256, checksum: origin(plan) }))
}

fn origin(plan: &FilePlan) -> Origin {
    if plan.sha256.is_some() { Origin::Known } else { Origin::Recorded }
}

impl Download<'_> {
    /// Tries until the file is whole and is what the manifest says, or there is no use in it.
    fn until_whole(&mut self) -> Result<Sha256, DownloadError> {
        let mut failed = 0;
        loop {
            let before = self.part.bytes();
            let (reason, retry_after) = match self.once()? {
                Tried::Whole => match self.plan.sha256 {
                    Some(expected) if expected != self.part.sha256() => (self.not_as_expected(expected)?, None),
                    Some(_) | None => return Ok(self.part.sha256()),
                },
                Tried::Again { reason, retry_after } => (reason, retry_after),
            };
            let brought = self.part.bytes().saturating_sub(before);
            failed = if brought >= WORTH_IT { 1 } else { failed + 1 };
            // Losses are counted as well: a server that is never of one mind would otherwise be listened to forever.
            if failed.max(self.losses) > self.around.network.retries {
                return Err(DownloadError::GaveUp { path: self.path(), tries: failed.max(self.losses), reason });
            }
            self.wait(failed, reason, retry_after)?;
        }
    }

    fn path(&self) -> RelativePath {
        self.plan.path.clone()
    }

    /// One question and its answer.
    fn once(&mut self) -> Result<Tried, DownloadError> {
        if self.around.pause.is_stopped() {
            return Err(DownloadError::Stopped { path: self.path() });
        }
        if self.total.is_some_and(|total| self.part.bytes() > total) || !self.can_go_on() {
            self.begin_anew()?;
        }
        let there = self.part.bytes();
        if self.total == Some(there) && !self.doubted {
            return Ok(Tried::Whole);
        }
        let begun = (there > 0).then_some(Begun { bytes: there, etag: self.etag.as_deref() });
        let answer = self.around.client.ask(self.address, begun);
        let doubted = self.doubted;
        self.doubted = doubted && answer.is_err();
        match answer {
            Ok(Answer::Whole(content)) => {
                // Before anything is thrown away: who sits between may answer with a page of its own.
                self.right_size(&content)?;
                self.begin_anew()?;
                self.etag.clone_from(&content.etag);
                self.around.staging.remember_etag(&self.plan.path, content.etag.as_deref())?;
                self.take(content)
            }
            Ok(Answer::Rest { first, content }) => {
                let other = content.etag.is_some() && self.etag.is_some() && content.etag != self.etag;
                if first != there || other {
                    self.begin_anew()?;
                    return Ok(again("the file changed at the hub between two parts of it"));
                }
                self.right_size(&content)?;
                self.take(content)
            }
            Ok(Answer::NothingMore { total }) if total == Some(there) && (doubted || self.plan.bytes.is_none()) => {
                Ok(Tried::Whole)
            }
            Ok(Answer::NothingMore { .. }) => {
                self.begin_anew()?;
                Ok(again("the hub has no more of the file than is there"))
            }
            Err(AskError::Passing { reason, retry_after }) => Ok(Tried::Again { reason, retry_after }),
            Err(AskError::Refused { status, server }) => Err(self.refused(status, server)),
            Err(AskError::Unusable { reason }) => Err(DownloadError::Unusable { path: self.path(), reason }),
        }
    }

    /// Without a hash to hold the whole to, or a mark of its state, two parts may be of two files.
    fn can_go_on(&self) -> bool {
        self.plan.sha256.is_some() || self.etag.is_some()
    }

    fn begin_anew(&mut self) -> Result<(), DownloadError> {
        let lost = self.part.bytes();
        if lost > 0 {
            self.part.empty()?;
            self.losses += 1;
            (self.around.report)(Progress::Lost { bytes: lost });
        }
        self.total = self.plan.bytes;
        self.doubted = false;
        self.etag = None;
        self.pieces = 0;
        Ok(self.around.staging.remember_etag(&self.plan.path, None)?)
    }

    /// Writes a body to the end of the part.
    fn take(&mut self, content: Content) -> Result<Tried, DownloadError> {
        let limit = self.limit(&content)?;
        self.pieces += 1;
        let mut body = content.body.into_reader();
        let mut buffer = vec![0; BUFFER];
        while self.total.is_none_or(|total| self.part.bytes() < total) {
            if self.around.pause.is_stopped() {
                return Err(DownloadError::Stopped { path: self.path() });
            }
            let read = match body.read(&mut buffer) {
                Ok(read) => read,
                Err(error) => return Ok(again(&format!("the connection was lost: {}", why_lost(&error)))),
            };
            let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else {
                if self.total.is_some() {
                    return Ok(again("the hub ended the file early"));
                }
                self.total = Some(self.part.bytes());
                break;
            };
            let found = self.part.bytes().saturating_add(chunk.len() as u64);
            if found > limit {
                self.begin_anew()?;
                return Err(DownloadError::WrongSize { path: self.path(), expected: limit, found });
            }
            self.part.append(chunk)?;
            (self.around.report)(Progress::Received { bytes: chunk.len() as u64 });
        }
        Ok(Tried::Whole)
    }

    /// The most bytes that the file may have. Learns its size from the server, where the manifest does not know it.
    fn limit(&mut self, content: &Content) -> Result<u64, DownloadError> {
        match (self.total, content.total) {
            (Some(total), _) => Ok(total),
            (None, Some(total)) => {
                self.total = Some(total);
                room_for(total.saturating_sub(self.part.bytes()), &self.around.staging.model())?;
                Ok(total)
            }
            (None, None) if content.marks_its_end => Ok(UNMEASURED),
            (None, None) => {
                let reason = "the hub does not say how long it is".to_owned();
                Err(DownloadError::Unusable { path: self.path(), reason })
            }
        }
    }

    /// A file of another size is another file.
    fn right_size(&self, content: &Content) -> Result<(), DownloadError> {
        match (self.plan.bytes, content.total) {
            (Some(expected), Some(found)) if found != expected => {
                Err(DownloadError::WrongSize { path: self.path(), expected, found })
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// Throws the file away. What came in pieces may have been put together wrongly, and deserves one more try.
    fn not_as_expected(&mut self, expected: Sha256) -> Result<String, DownloadError> {
        let found = self.part.sha256();
        let first_time = self.pieces > 1 && self.losses == 0;
        self.begin_anew()?;
        if first_time {
            return Ok("its parts do not make the file that the manifest names".to_owned());
        }
        Err(DownloadError::WrongHash { path: self.path(), expected, found })
    }

    fn refused(&self, status: StatusCode, server: String) -> DownloadError {
        let path = self.path();
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            DownloadError::Denied { path, server, status, had_token: self.around.client.has_token() }
        } else if status == StatusCode::NOT_FOUND || status == StatusCode::GONE {
            DownloadError::Absent { path, server, status }
        } else {
            DownloadError::Unusable { path, reason: format!("{server} answered {status}") }
        }
    }

    /// Waits as long as the server asks, or longer from try to try.
    fn wait(&self, failed: u32, reason: String, retry_after: Option<Duration>) -> Result<(), DownloadError> {
        let network = self.around.network;
        let own = network.first_pause.saturating_mul(1_u32 << (failed - 1).min(16)).min(network.longest_pause);
        let wait = retry_after.unwrap_or(own);
        if wait > network.longest_retry_after {
            return Err(DownloadError::AskedToWait { path: self.path(), reason, wait });
        }
        (self.around.report)(Progress::Again { path: &self.plan.path, reason: &reason, wait });
        self.around.pause.wait(wait);
        Ok(())
    }
}

fn again(reason: &str) -> Tried {
    Tried::Again { reason: reason.to_owned(), retry_after: None }
}
