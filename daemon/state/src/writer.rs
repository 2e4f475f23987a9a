//! The one thread that writes. Commits that wait together become durable together.

use crate::apply::{self, ApplyError};
use crate::disk::panic_text;
use crate::entries;
use crate::kv::{self, ApplyKvError, KvChange, KvQuota, KvUsage};
use crate::read::{Shared, Store};
use crate::tables::{TableError, View};
use hob_events::{CommandId, PluginName, Record};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Commits that may wait. A turn makes some ten; the driver refuses commands long before this is full.
const QUEUE: usize = 256;

/// Commits that share one sync. Keeps the first of them from waiting for a queue that fills as fast as it is emptied.
const GROUP: usize = 64;

/// Called on the writer's thread once a commit is durable, or is known not to be. Must not wait for anything.
pub type Done = Box<dyn FnOnce(Result<(), CommitError>) + Send>;

/// Why a commit was not taken. Nothing of it was written, and its `done` is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryCommitError {
    /// Too many wait.
    #[error("the disk does not keep up: {QUEUE} commits wait already")]
    Full,
    /// The writer was stopped.
    #[error("the state writer was stopped")]
    Stopped,
}

/// Why a commit is not durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The command is in the inbox, or has a final result. Nothing of the commit was written.
    #[error("command {command} is known already")]
    AlreadyKnown {
        /// Which.
        command: CommandId,
    },
    /// A plugin's store would go past its quota. Nothing of the commit was written.
    #[error("the store would hold {} bytes in {} keys, and {} bytes in {} keys are allowed", usage.bytes, usage.keys, quota.max_bytes, quota.max_keys)]
    Quota {
        /// What it would have held.
        usage: KvUsage,
        /// What it may hold.
        quota: KvQuota,
    },
    /// Too little is left on the disk. Nothing was written; the next commit is tried again.
    #[error("the disk is full: {free_bytes} bytes are free and {needed_bytes} must stay so")]
    DiskFull {
        /// What is left.
        free_bytes: u64,
        /// What must stay free.
        needed_bytes: u64,
    },
    /// The records cannot be written: too large, or an entry they build on is damaged. Nothing was written.
    #[error("the records cannot be written: {reason}")]
    Unwritable {
        /// Why.
        reason: String,
    },
    /// The database failed. Whether the commit is on disk is not known, and no commit is taken any more.
    #[error("the state database failed ({reason}): restart hob")]
    Broken {
        /// Why.
        reason: String,
    },
}

/// Hands records to the writer's thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StateWriter {
    queue: SyncSender<Job>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

enum Job {
    Write(Work, Done),
    Stop,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(work, _) => f.debug_tuple("Write").field(work).finish(),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

#[derive(Debug)]
enum Work {
    Records(Vec<Record>),
    Kv { plugin: PluginName, changes: Vec<KvChange>, quota: KvQuota },
}

impl StateWriter {
    /// Starts the writer's thread. There must be one writer to a store.
    ///
    /// # Errors
    /// When the operating system starts no thread.
    pub fn start(store: &Store) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let shared = Arc::clone(&store.shared);
        let thread = std::thread::Builder::new().name("hob-state".to_owned()).spawn(move || run(&shared, &jobs))?;
        Ok(Self { queue, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Makes the records durable, all or none of them, then calls `done`. Commits become durable in the order in which
    /// they were taken.
    ///
    /// # Errors
    /// [`TryCommitError`] when it is not taken: it never waits.
    pub fn try_commit(
        &self,
        records: Vec<Record>,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) -> Result<(), TryCommitError> {
        self.hand_over(Work::Records(records), Box::new(done))
    }

    /// Makes a plugin's writes durable, all or none of them, then calls `done`.
    ///
    /// # Errors
    /// [`TryCommitError`] when it is not taken: it never waits.
    pub fn try_commit_kv(
        &self,
        plugin: PluginName,
        changes: Vec<KvChange>,
        quota: KvQuota,
        done: impl FnOnce(Result<(), CommitError>) + Send + 'static,
    ) -> Result<(), TryCommitError> {
        self.hand_over(Work::Kv { plugin, changes, quota }, Box::new(done))
    }

    /// Finishes what was taken so far and ends the thread; later commits are refused. Waits for the disk.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Both fail only when the thread is gone already, which is what is wanted.
            self.queue.send(Job::Stop).ok();
            thread.join().ok();
        }
    }

    fn hand_over(&self, work: Work, done: Done) -> Result<(), TryCommitError> {
        self.queue.try_send(Job::Write(work, done)).map_err(|error| match error {
            TrySendError::Full(_) => TryCommitError::Full,
            TrySendError::Disconnected(_) => TryCommitError::Stopped,
        })
    }
}

fn run(shared: &Shared, jobs: &Receiver<Job>) {
    // Set by the first failure of the database: what follows would be built on what may not be there.
    let mut broken: Option<String> = None;
    let mut stop = false;
    while !stop {
        let Ok(first) = jobs.recv() else { break };
        let mut group = Vec::new();
        for job in std::iter::once(first).chain(jobs.try_iter()) {
            match job {
                Job::Write(work, done) => group.push((work, done)),
                Job::Stop => stop = true,
            }
            if stop || group.len() == GROUP {
                break;
            }
        }
        commit_group(shared, group, &mut broken);
    }
}

/// Applies each commit by itself and syncs once.
fn commit_group(shared: &Shared, group: Vec<(Work, Done)>, broken: &mut Option<String>) {
    let mut waiting = Vec::with_capacity(group.len());
    for (work, done) in group {
        match guarded(broken, || apply_one(shared, work)) {
            Ok(()) => waiting.push(done),
            Err(error) => done(Err(error)),
        }
    }
    if waiting.is_empty() {
        return;
    }
    let synced = guarded(broken, || sync(shared).map_err(|reason| CommitError::Broken { reason }));
    for done in waiting {
        done(synced.clone());
    }
}

/// Runs one step unless the database failed before. Remembers a failure, and takes a panic of sled's for one.
fn guarded(broken: &mut Option<String>, step: impl FnOnce() -> Result<(), CommitError>) -> Result<(), CommitError> {
    if let Some(reason) = broken {
        return Err(CommitError::Broken { reason: reason.clone() });
    }
    let result = catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|panic| Err(CommitError::Broken { reason: panic_text(panic.as_ref()) }));
    if let Err(CommitError::Broken { reason }) = &result {
        tracing::error!(%reason, "the state database failed: nothing is accepted until hob is restarted");
        *broken = Some(reason.clone());
    }
    result
}

fn sync(shared: &Shared) -> Result<(), String> {
    shared.disk.sync().map_err(|error| error.to_string())?;
    let commits = entries::commits(&shared.tables.read()).map_err(|error| error.to_string())?;
    if let Err(error) = shared.disk.mark(commits) {
        tracing::warn!(%error, "the number of commits was not noted");
    }
    Ok(())
}

fn apply_one(shared: &Shared, work: Work) -> Result<(), CommitError> {
    let needed_bytes = shared.limits.min_free_bytes;
    let free_bytes = shared.disk.free_bytes().map_err(|error| CommitError::Unwritable { reason: error.to_string() })?;
    if free_bytes < needed_bytes {
        return Err(CommitError::DiskFull { free_bytes, needed_bytes });
    }
    let mut view = shared.tables.stage();
    put(&mut view, shared, work)?;
    entries::count_commit(&mut view).map_err(table_error)?;
    shared.tables.apply(view.into_changes()).map_err(|error| CommitError::Broken { reason: error.to_string() })
}

fn put(view: &mut View<'_>, shared: &Shared, work: Work) -> Result<(), CommitError> {
    match work {
        Work::Records(records) => {
            apply::apply(view, &records, (shared.clock)(), &shared.limits).map_err(|error| match error {
                ApplyError::AlreadyKnown(command) => CommitError::AlreadyKnown { command },
                ApplyError::Table(error) => table_error(error),
            })
        }
        Work::Kv { plugin, changes, quota } => kv::apply(view, &plugin, &changes, quota).map_err(|error| match error {
            ApplyKvError::Quota(usage) => CommitError::Quota { usage, quota },
            ApplyKvError::Table(error) => table_error(error),
        }),
    }
}

fn table_error(error: TableError) -> CommitError {
    match error {
        TableError::Database(reason) => CommitError::Broken { reason },
        TableError::Damaged { .. } | TableError::TooLarge { .. } => {
            CommitError::Unwritable { reason: error.to_string() }
        }
    }
}
