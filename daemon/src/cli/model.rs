//! `hob model`: models into the store and out of it, and what they are. Run by hand; the daemon fetches nothing.

mod fetch;
mod in_use;
mod prepare;
mod progress;
mod requantize;
mod swap;

use super::Invocation;
use crate::exit::Exit;
use crate::settings::Settings;
use crate::stage_settings::model_settings;
use anyhow::{Context, bail};
use hob_model::{Budget, Description, Extent, ModelFolder, Needs, PrepareError, Prepared, Size, describe};
use hob_model_store::{AddOrder, Listed, ModelName, Record, Standing, Store, VariantName, Verified, in_words, verify};
use hob_onnx::{Instructions, Kernels, Outcome, Products};
use in_use::InUse;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
Examples:
  sudo -u hob hob model fetch gemma-4-e2b      from the hub in the settings; run again, it goes on
  hob model fetch gemma-4-e2b --from http://nas:8080     from a server of your own
  hob model add /media/usb/gemma-4-E2B-it-ONNX --name gemma-4-e2b --variant q4f16
  hob model prepare                            rewrite the decoder now, and see which rewritings took
  hob model verify                             hold every model of the store to its record
  sudo hob model swap gemma-4-e2b              a running hob changes to it

A running hob takes another model up when it is restarted, or by swap.")]
pub(super) enum Model {
    /// What the folder in the settings holds.
    Info,
    /// Fetch a model, check every file, and put it in the store.
    Fetch(fetch::Fetch),
    /// Rewrite a model's decoder for speed, into the cache.
    Prepare(prepare::Prepare),
    /// Copy a folder of the published layout into the store.
    Add {
        /// The folder; it is left as it is.
        folder: PathBuf,
        /// What to call it; the folder's own name without.
        #[arg(long)]
        name: Option<ModelName>,
        /// Which graphs, when there are more than one set: q4f16, q4, …
        #[arg(long)]
        variant: Option<VariantName>,
    },
    /// Hash every file again and hold it to the record. Ends with 1 when one differs.
    Verify {
        /// A model of the store, or a folder; the whole store without.
        model: Option<String>,
    },
    /// List what is in the store.
    List,
    /// Change the model of a running hob. Commands wait meanwhile; none is lost.
    Swap(swap::Swap),
    /// Remove a model, or what was fetched of one.
    Remove {
        /// Its name.
        name: ModelName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Even if the settings name it, or a running hob has it open.
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn model(invocation: &Invocation, command: Model, runtime: &Runtime) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    let store = Store::at(&settings.model.store);
    match command {
        Model::Info => info(invocation, &settings),
        Model::Fetch(order) => fetch::fetch(invocation, &settings, &store, &order),
        Model::Prepare(order) => prepare::prepare(invocation, &settings, &order, runtime),
        Model::Add { folder, name, variant } => {
            patience(&format!("copying and hashing {}", folder.display()));
            let record = store.add(&AddOrder { folder, name, variant })?;
            let place = store.model(&record.name);
            invocation.print(&record, || {
                let first = format!("added {} {} as {}", record.name, record.variant, place.display());
                [first].into_iter().chain(about_hashes(&record)).chain(what_next(invocation, &record, &place)).collect()
            })?;
            Ok(Exit::Ok)
        }
        Model::Verify { model } => verify_models(invocation, &store, model.as_deref()),
        Model::Swap(order) => runtime.block_on(swap::swap(invocation, &order)),
        Model::List => list(invocation, &store, &runtime.block_on(InUse::or_as_set(&settings))),
        Model::Remove { name, yes, force } => {
            // Whoever insists is not held up by a hob that cannot be asked.
            let users = match force {
                true => InUse::default(),
                false => runtime
                    .block_on(InUse::ask(&settings))
                    .context("whether it is in use cannot be told; --force removes it all the same")?,
            };
            remove(&users, &store, &name, yes)
        }
    }
}

/// What `hob model info` tells: what is there, and what running it takes.
#[derive(Serialize)]
struct Info {
    #[serde(flatten)]
    model: Description,
    /// What became of each rewriting of the decoder; none when it is run as published, which `as_published` explains.
    prepared: Vec<Outcome>,
    as_published: Option<String>,
    /// What hob's own kernels carry out, and with which instructions; none where they are not asked for.
    products: Option<Products>,
    instructions: String,
    /// As set, and at round contexts up to the model's own.
    memory: Vec<Reckoned>,
    /// Bytes that are free for hob now.
    free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Reckoned {
    context_tokens: usize,
    budget: Budget,
    total_bytes: u64,
}

fn info(invocation: &Invocation, settings: &Settings) -> anyhow::Result<Exit> {
    const ROUND_CONTEXTS: [usize; 3] = [4096, 32_768, 131_072];
    let asked = model_settings(settings)?;
    let mut folder = ModelFolder::open(&asked.folder, asked.variant)?;
    let as_published = match &asked.prepare {
        None => Some("`[model] prepare` is off".to_owned()),
        Some(_) if asked.session.providers.beside_cpu().next().is_some() => {
            Some("rewritten graphs are for the processor alone".to_owned())
        }
        Some(prepare) => match check_library(settings).and_then(|()| Prepared::look(&folder, prepare)) {
            Ok(prepared) => {
                folder.prepared = Some(prepared);
                None
            }
            Err(error) => Some(error.to_string()),
        },
    };
    let kernels = asked.session.wanted_kernels();
    let needs = Needs::read(&folder)?.with_kernels(kernels);
    let least = asked.session.packed.as_ref().map_or(0, |packed| packed.least_bytes);
    let own_kernels = kernels == Kernels::Hob && needs.products().bytes >= least;
    let model = describe(&folder)?;
    let most = model.context_tokens.unwrap_or(usize::MAX);
    let round = ROUND_CONTEXTS.into_iter().filter(|context| *context <= most);
    let contexts: BTreeSet<usize> = round.chain([asked.context_tokens]).collect();
    let reckon = |context_tokens| {
        let budget = needs.budget(Extent { context_tokens, slots: asked.slots, chunk_tokens: asked.chunk_tokens });
        Reckoned { context_tokens, budget, total_bytes: budget.total() }
    };
    let info = Info {
        model,
        prepared: folder.prepared.as_ref().map(|prepared| prepared.outcomes().to_vec()).unwrap_or_default(),
        as_published,
        products: own_kernels.then(|| needs.products()),
        instructions: Instructions::best().to_string(),
        memory: contexts.into_iter().map(reckon).collect(),
        free_bytes: hob_onnx::usable_memory(),
    };
    let lines = || {
        let model = &info.model;
        let bytes: u64 = model.files.iter().map(|file| file.bytes).sum();
        let tables = if model.tables_on_disk { "left on disk, read row by row" } else { "loaded whole" };
        let mut lines = vec![
            format!("name          {}", model.name),
            format!("architecture  {}", model.architecture),
            format!("variant       {}", model.variant),
            format!("layers        {}", model.layers.map_or("?".to_owned(), |layers| layers.to_string())),
            format!("KV pairs      {}", model.kv_pairs),
            format!("KV cache      {} bytes a token and slot", model.kv_bytes_per_token),
            format!("embeddings    {tables}"),
            format!("context       {} of {} tokens", settings.model.context_tokens, model.context_tokens.unwrap_or(0)),
            format!("vocabulary    {}", model.vocabulary),
            format!("vision        {}", encoder(model.vision_bytes)),
            format!("audio         {}", encoder(model.audio_bytes)),
            format!("thinking      {}", if model.thinking { "on request" } else { "no: its template asks for none" }),
            format!("files         {}, {}", model.files.len(), Size(bytes)),
        ];
        if let Some(note) = &model.requantized {
            lines.push("requantized on a board:".to_owned());
            lines.extend(note.lines().into_iter().map(|line| format!("  {line}")));
        }
        lines.push(match &info.as_published {
            Some(reason) => format!("decoder       as published: {reason}"),
            None => "decoder       prepared:".to_owned(),
        });
        lines.extend(info.prepared.iter().map(|outcome| format!("  {outcome}")));
        lines.push(match info.products {
            Some(Products { own, all, bytes }) if own > 0 => {
                let (with, bytes) = (&info.instructions, Size(bytes));
                format!("kernels       hob's for {own} of {all} products, with {with}, from a file of {bytes}")
            }
            Some(_) | None => "kernels       those of ONNX Runtime".to_owned(),
        });
        let free = info.free_bytes.map_or("?".to_owned(), |bytes| Size(bytes).to_string());
        lines.push(format!("memory        {free} free; with {} slots it takes about", asked.slots));
        let reckoned = |one: &Reckoned| format!("  {:>7} tokens  {}", one.context_tokens, one.budget);
        lines.extend(info.memory.iter().map(reckoned));
        lines
    };
    invocation.print(&info, lines)?;
    Ok(Exit::Ok)
}

/// Whether the library that is found runs rewritten graphs. Where none is, nothing speaks against it.
fn check_library(settings: &Settings) -> Result<(), PrepareError> {
    let found = hob_onnx::Runtime::find(settings.onnx.library.as_deref());
    found.map_or(Ok(()), |library| Prepared::check_library(&library))
}

fn encoder(bytes: Option<u64>) -> String {
    bytes.map_or("no".to_owned(), |bytes| format!("yes: {} more while it is used", Size(bytes)))
}

/// What takes minutes for gigabytes is said beforehand to a person who waits.
fn patience(what: &str) {
    if std::io::stderr().is_terminal() {
        writeln!(std::io::stderr().lock(), "{what} …").ok();
    }
}

/// How the hashes of a record came to be believed, in words.
fn about_hashes(record: &Record) -> Vec<String> {
    let recorded: Vec<&str> = record.recorded().map(|file| file.path.as_str()).collect();
    let all = record.files.len();
    if recorded.len() == all {
        return vec![format!("no hashes were known beforehand: all {all} are recorded as the files came")];
    }
    let mut lines = vec![format!("{} of {all} files agree with hashes known beforehand", all - recorded.len())];
    if !recorded.is_empty() {
        let names = recorded.join(", ");
        lines.push(format!("no hashes were known of these, and they are recorded as they came: {names}"));
    }
    lines
}

/// The lines that bring a model into use.
fn what_next(invocation: &Invocation, record: &Record, folder: &Path) -> Vec<String> {
    let settings = invocation.config.display();
    // In the file a relative path would count from somewhere else.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if let Err(error) = record.variant.as_str().parse::<hob_model::Variant>() {
        return vec![format!("this hob keeps the model and cannot run it: {error}")];
    }
    vec![
        format!("now put this into {settings}, and look: hob check --config {settings}"),
        "  [model]".to_owned(),
        format!("  folder = \"{}\"", folder.display()),
        format!("  variant = \"{}\"", record.variant),
    ]
}

fn verify_models(invocation: &Invocation, store: &Store, model: Option<&str>) -> anyhow::Result<Exit> {
    let folders = match model {
        Some(model) => vec![named_folder(store, model)?],
        None => placed(store)?,
    };
    let mut found = Vec::new();
    for folder in folders {
        patience(&format!("hashing {}", folder.display()));
        found.push(match verify(&folder) {
            Ok(verified) => Looked::Verified(verified),
            Err(error) => Looked::Unverified { reason: format!("{:#}", anyhow::Error::from(error)), folder },
        });
    }
    invocation.print(&found, || found.iter().flat_map(Looked::lines).collect())?;
    let sound = |looked: &Looked| matches!(looked, Looked::Verified(model) if model.differences.is_empty());
    Ok(if found.iter().all(sound) { Exit::Ok } else { Exit::Failed })
}

/// What became of verifying a folder.
#[derive(Serialize)]
#[serde(untagged)]
enum Looked {
    Verified(Verified),
    /// It cannot be verified; the others are.
    Unverified {
        folder: PathBuf,
        reason: String,
    },
}

impl Looked {
    fn lines(&self) -> Vec<String> {
        let model = match self {
            Self::Verified(model) => model,
            Self::Unverified { folder, reason } => {
                return vec![format!("cannot verify {}: {reason}", folder.display())];
            }
        };
        let name = &model.record.name;
        let mut lines: Vec<String> =
            model.differences.iter().map(|difference| format!("{name}: {difference}")).collect();
        lines.push(match model.differences.len() {
            0 => format!("{name}: {} files are as recorded", model.record.files.len()),
            _ => format!("{name} is damaged: hob model remove {name}, then fetch or add it again"),
        });
        lines
    }
}

/// A model's folder, by its name in the store or by its path.
fn named_folder(store: &Store, model: &str) -> anyhow::Result<PathBuf> {
    let in_store = model.parse().ok().map(|name| store.model(&name)).filter(|folder| folder.is_dir());
    match in_store {
        Some(folder) => Ok(folder),
        None if Path::new(model).is_dir() => Ok(model.into()),
        None => bail!("{} has no model called {model}, and there is no such folder", store.folder().display()),
    }
}

fn placed(store: &Store) -> anyhow::Result<Vec<PathBuf>> {
    let all = store.list()?.into_iter();
    Ok(all.filter(|listed| !matches!(listed.standing, Standing::Partial { .. })).map(|listed| listed.folder).collect())
}

/// A line of `hob model list`.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    listed: Listed,
    /// By a running hob, or by the next one that is started.
    in_use: bool,
}

fn list(invocation: &Invocation, store: &Store, users: &InUse) -> anyhow::Result<Exit> {
    let row = |listed: Listed| Row { in_use: users.reason(&listed.folder).is_some(), listed };
    let rows: Vec<Row> = store.list()?.into_iter().map(row).collect();
    invocation.print(&rows, || match rows.is_empty() {
        true => vec![format!("{} is empty: hob model fetch gemma-4-e2b", store.folder().display())],
        false => rows.iter().map(in_one_line).collect(),
    })?;
    Ok(Exit::Ok)
}

fn in_one_line(row: &Row) -> String {
    let mark = if row.in_use { '*' } else { ' ' };
    let name = &row.listed.name;
    match &row.listed.standing {
        Standing::Placed { record } => {
            let recorded = record.recorded().count();
            let known = record.files.len() - recorded;
            let revision = record.revision.as_ref().map_or("added", |revision| revision.as_str());
            let revision: String = revision.chars().take(12).collect();
            let (variant, bytes) = (&record.variant, in_words(record.bytes()));
            format!(
                "{mark} {name:24} {variant:10} {bytes:>10}  {revision:12}  hashes {known} known, {recorded} recorded"
            )
        }
        Standing::Unrecorded { reason } => format!("{mark} {name:24} {reason}"),
        Standing::Partial { bytes } => {
            format!("{mark} {name:24} {:10} {:>10}  not whole: fetch it again, or remove it", "", in_words(*bytes))
        }
    }
}

fn remove(users: &InUse, store: &Store, name: &ModelName, yes: bool) -> anyhow::Result<Exit> {
    if let Some(reason) = users.reason(&store.model(name)) {
        writeln!(std::io::stderr().lock(), "hob: {reason}, or use --force")?;
        return Ok(Exit::NotDone);
    }
    if !yes && !super::says_yes(&format!("Remove {name} from {}?", store.folder().display()))? {
        return Ok(Exit::NotDone);
    }
    store.remove(name)?;
    super::print_line(&format!("removed {name}"))?;
    Ok(Exit::Ok)
}
