//! A model from a hub into the store: locked, room made sure of, files side by side, then put in place.

use crate::Store;
use crate::client::{Client, NetworkSettings, OpenClientError};
use crate::disk::{self, DiskError};
use crate::download::{Around, DownloadError, download};
use crate::hub::HubAddress;
use crate::lock::{LockModelError, ModelLock};
use crate::manifest::{FilePlan, Plan};
use crate::names::{ModelName, RelativePath};
use crate::pause::Pause;
use crate::record::{Record, RecordedFile};
use crate::staging::{PlaceModelError, Staging};
use crate::token::Token;
use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchModelError {
    /// The name is taken.
    #[error("{folder} holds {holds}: remove it first (hob model remove {name}), or fetch under another name (--name)")]
    Taken {
        /// The name.
        name: ModelName,
        /// Its folder.
        folder: PathBuf,
        /// What is in it.
        holds: String,
    },
    /// Another process works on it.
    #[error(transparent)]
    Lock(#[from] LockModelError),
    /// The hub cannot be asked.
    #[error(transparent)]
    Client(#[from] OpenClientError),
    /// A file could not be fetched.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is whole and could not be put in place.
    #[error(transparent)]
    Place(#[from] PlaceModelError),
}

/// What to fetch, from where, and how.
pub struct FetchOrder<'a> {
    /// Which files.
    pub plan: &'a Plan,
    /// From where.
    pub hub: &'a HubAddress,
    /// A credential that is meant for this hub.
    pub token: Option<Token>,
    /// Files fetched side by side.
    pub jobs: NonZero<usize>,
    /// How the network is reached.
    pub network: NetworkSettings,
    /// Is told how it goes, from several threads.
    pub report: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl fmt::Debug for FetchOrder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchOrder").field("plan", self.plan).field("hub", self.hub).finish_non_exhaustive()
    }
}

/// How a fetch goes.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// It begins: so many files, so many bytes as far as they are known, so many of them there already.
    Begins {
        /// All files of the model.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Bytes that an earlier fetch brought.
        there: u64,
    },
    /// More bytes came.
    Received {
        /// How many.
        bytes: u64,
    },
    /// Bytes that were there are of no use.
    Lost {
        /// How many.
        bytes: u64,
    },
    /// A file is tried again after a pause.
    Again {
        /// Which file.
        path: &'a RelativePath,
        /// What went wrong.
        reason: &'a str,
        /// For how long.
        wait: Duration,
    },
    /// A file is there and checked.
    Whole {
        /// Which file.
        path: &'a RelativePath,
    },
}

/// A model that is in place.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where.
    pub folder: PathBuf,
    /// What it holds.
    pub record: Record,
    /// Whether it was in place before, so that nothing was fetched.
    pub was_there: bool,
}

impl Store {
    /// Fetches a model. What an interrupted fetch of the same revision left is gone on from.
    ///
    /// # Errors
    /// [`FetchModelError`]. Files that came whole, and what came of others, are kept for the next try.
    pub fn fetch(&self, order: &FetchOrder<'_>) -> Result<Fetched, FetchModelError> {
        let plan = order.plan;
        let _lock = ModelLock::take(self, &plan.name)?;
        let folder = self.model(&plan.name);
        if folder.exists() {
            return is_it_already(plan, folder);
        }
        let client = Client::open(order.hub, order.token.clone(), &order.network)?;
        let staging = Staging::open(self, &plan.name, &format!("{} {}", plan.repository, plan.revision))?;
        begin(order, &staging)?;
        let files = all_files(order, &client, &staging)?;
        let record = Record {
            name: plan.name.clone(),
            variant: plan.variant.clone(),
            repository: Some(plan.repository.clone()),
            revision: Some(plan.revision.clone()),
            files,
        };
        staging.place(&record, &folder)?;
        Ok(Fetched { folder, record, was_there: false })
    }
}

fn is_it_already(plan: &Plan, folder: PathBuf) -> Result<Fetched, FetchModelError> {
    let taken = |folder, holds| Err(FetchModelError::Taken { name: plan.name.clone(), folder, holds });
    let Ok(record) = Record::read(&folder) else { return taken(folder, "something that hob did not fetch".to_owned()) };
    let same = record.repository.as_ref() == Some(&plan.repository)
        && record.revision.as_ref() == Some(&plan.revision)
        && record.variant == plan.variant;
    if same {
        return Ok(Fetched { folder, record, was_there: true });
    }
    let revision = record.revision.as_ref().map_or_else(String::new, |revision| format!(" at revision {revision}"));
    taken(folder, format!("{}{revision}", record.variant))
}

/// Makes sure that what is still to come fits.
fn begin(order: &FetchOrder<'_>, staging: &Staging) -> Result<(), DiskError> {
    let files = &order.plan.files;
    let sizes = files.iter().map(|file| {
        let there = staging.bytes_there(&file.path);
        let bytes = file.bytes.unwrap_or(there);
        (bytes, there.min(bytes))
    });
    let (bytes, there) = sizes.fold((0_u64, 0_u64), |(bytes, there), (more, of_it)| {
        (bytes.saturating_add(more), there.saturating_add(of_it))
    });
    (order.report)(Progress::Begins { files: files.len(), bytes, there });
    disk::make_folder(&staging.model())?;
    disk::room_for(bytes.saturating_sub(there), &staging.model())
}

/// Fetches all files, some side by side, the large ones first. The first that fails ends the others.
fn all_files(order: &FetchOrder<'_>, client: &Client, staging: &Staging) -> Result<Vec<RecordedFile>, DownloadError> {
    let pause = Pause::default();
    let plan = order.plan;
    let lasting = plan.revision.is_commit();
    let around = Around { client, staging, network: &order.network, pause: &pause, report: order.report, lasting };
    let mut waiting: Vec<&FilePlan> = plan.files.iter().collect();
    waiting.sort_by_key(|file| file.bytes);
    let waiting = Mutex::new(waiting);
    let ended = Mutex::new(Vec::new());
    // Apart from the loop, whose condition would hold the lock for as long as its body runs.
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some(file) = next() {
            let address = order.hub.file(&plan.repository, &plan.revision, &file.path);
            let done = download(around, &address, file);
            let failed = done.is_err();
            ended.lock().unwrap_or_else(PoisonError::into_inner).push(done);
            if failed {
                return pause.stop();
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..order.jobs.get().min(plan.files.len()) {
            scope.spawn(work);
        }
    });
    in_order(plan, ended.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The files as the plan lists them; or the failure that ended the others.
fn in_order(plan: &Plan, ended: Vec<Result<RecordedFile, DownloadError>>) -> Result<Vec<RecordedFile>, DownloadError> {
    let mut files = Vec::new();
    let mut stopped = None;
    for done in ended {
        match done {
            Ok(file) => files.push(file),
            Err(error @ DownloadError::Stopped { .. }) => stopped = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = stopped {
        return Err(error);
    }
    files.sort_by_key(|done| plan.files.iter().position(|file| file.path == done.path));
    Ok(files)
}
