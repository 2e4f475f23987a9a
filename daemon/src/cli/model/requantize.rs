//! `hob model prepare DIR --block 128 --out NEWDIR`: a model of its own whose decoder has larger blocks, with its error.

use super::progress::Meter;
use super::what_next;
use crate::cli::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::{stage_settings, start};
use anyhow::{Context, bail};
use hob_model::{
    CompareError, Comparison, Interrupt, ModelFolder, ModelSettings, PrepareSettings, Prepared, REQUANTIZED_FILE,
    RequantizedNote, WeightError, compare, graph_sha256,
};
use hob_model_store::{Derivation, DeriveOrder, RelativePath, in_words};
use hob_onnx::{Requantization, Runtime, SessionSettings, WIDE_BLOCK};
use serde::Serialize;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// What to requantize, and how it will be run.
pub(super) struct Order<'a> {
    pub(super) folder: &'a ModelFolder,
    pub(super) out: &'a Path,
    pub(super) settings: &'a Settings,
    pub(super) prepare: PrepareSettings,
}

/// What became of it.
#[derive(Serialize)]
struct Told {
    folder: PathBuf,
    bytes: u64,
    requantized: RequantizedNote,
}

/// Makes the new folder. Ended by a signal, it leaves nothing.
pub(super) fn requantize(
    invocation: &Invocation,
    order: &Order<'_>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Exit> {
    let interrupt = Interrupt::default();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    // Before the first file is begun: a signal that nobody waits for ends the process where it stands. Without signals it
    // goes on to its end.
    let signals = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    });
    let made = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let made = make(invocation, order, &interrupt);
            drop(done);
            made
        });
        if let Ok((mut terminate, mut interrupted)) = signals {
            runtime.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    _ = terminate.recv() => interrupt.cancel(),
                    _ = interrupted.recv() => interrupt.cancel(),
                }
            });
        }
        work.join().unwrap_or_else(|_| bail!("it panicked; nothing was written"))
    });
    match made {
        Err(_) if interrupt.ended().is_some() => bail!("it was ended before it was done: nothing was written"),
        made => made.map(|()| Exit::Ok),
    }
}

fn make(invocation: &Invocation, order: &Order<'_>, interrupt: &Interrupt) -> anyhow::Result<()> {
    let Order { folder, out, settings, .. } = order;
    let stopped = || interrupt.ended().is_some();
    let read = Requantization::read(&folder.decoder)?;
    let above = std::path::absolute(out)?;
    if let Some(owner) = start::owner(above.parent().unwrap_or(&above))
        .filter(|owner| *owner != 0 && rustix::process::geteuid().is_root())
    {
        bail!("{} will belong to user {owner}: run this as that user (sudo -u '#{owner}' hob …)", above.display());
    }
    let derivation = Derivation::begin(&DeriveOrder {
        folder: folder.path.clone(),
        variant: folder.variant.name().parse()?,
        graph: ModelFolder::DECODER,
        target: out.to_path_buf(),
    })?;
    derivation.take_over(read.bytes()?, &stopped)?;
    let session = stage_settings::session_settings(settings);
    let meter = Meter::new();
    let bytes = read.bytes_to_read()?;
    meter.begin(&format!("{} products, {} of weights", read.products(), in_words(bytes)), bytes, 0);
    let threads = NonZero::new(session.crew().threads).unwrap_or(NonZero::<usize>::MIN);
    let report = |bytes| meter.more(bytes);
    let written = read.write(&derivation.folder().join("onnx"), threads, &report, &stopped);
    meter.end();
    let matrices = written?;
    super::patience("running both models side by side");
    let measured = match side_by_side(order, derivation.folder(), &session, interrupt) {
        Err(error) if error.downcast_ref::<CompareError>().is_some_and(CompareError::was_ended) => return Err(error),
        measured => measured,
    };
    let (measured, unmeasured) = match measured {
        Ok(measured) => (Some(measured), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let note = RequantizedNote {
        from: folder.name(),
        graph_sha256: graph_sha256(read.content()),
        block: WIDE_BLOCK,
        hob: env!("CARGO_PKG_VERSION").to_owned(),
        products: read.products(),
        left: read.left().clone(),
        error: WeightError::over(&matrices),
        measured,
        unmeasured,
        matrices,
    };
    note.write(derivation.folder()).with_context(|| format!("cannot write {REQUANTIZED_FILE}"))?;
    let files = written_files(folder)?;
    super::patience("hashing");
    let (record, target) = derivation.place(files, &stopped)?;
    let told = Told { folder: target, bytes: record.bytes(), requantized: note };
    invocation.print(&told, || {
        let first = format!("made {} from {}, {}", told.folder.display(), folder.name(), in_words(told.bytes));
        let lines = told.requantized.lines().into_iter().map(|line| format!("  {line}"));
        [first].into_iter().chain(lines).chain(what_next(invocation, &record, &told.folder)).collect()
    })
}

/// What is written besides what the two models share.
fn written_files(folder: &ModelFolder) -> anyhow::Result<Vec<RelativePath>> {
    let graph = folder.decoder.file_name().unwrap_or_default().to_string_lossy();
    let files = [format!("onnx/{graph}"), format!("onnx/{graph}_data"), REQUANTIZED_FILE.to_owned()];
    Ok(files.iter().map(|file| file.parse()).collect::<Result<_, _>>()?)
}

/// Both decoders on the same question, prepared as the daemon would prepare them, with nothing left in a cache.
fn side_by_side(
    order: &Order<'_>,
    made: &Path,
    session: &SessionSettings,
    interrupt: &Interrupt,
) -> anyhow::Result<Comparison> {
    let Order { folder, settings, prepare, .. } = order;
    let library = Runtime::find(settings.onnx.library.as_deref())?;
    let ready = |mut folder: ModelFolder| {
        let usual = ModelSettings { session: session.clone(), ..ModelSettings::new(&folder.path) };
        let may = settings.model.prepare && usual.session.providers.beside_cpu().next().is_none();
        let prepared = || Prepared::check_library(&library).and_then(|()| Prepared::look(&folder, prepare)).ok();
        folder.prepared = may.then(prepared).flatten();
        folder
    };
    let one = ready((*folder).clone());
    let other = ready(ModelFolder::open(made, Some(folder.variant))?);
    Ok(compare(&library, [&one, &other], session, settings.model.check_memory, interrupt)?)
}
