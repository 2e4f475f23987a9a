//! The command line: what a person types, what they read, how the process ends.

mod ask;
mod audit;
mod check;
mod doctor;
mod look;
mod model;
mod plugin;
mod provider;
mod rules;
mod run;
mod senses;

use crate::exit::Exit;
use crate::settings::{DEFAULT_FILE, ReadSettingsError, Settings};
use crate::start::{RunError, StartError};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// An agent that lives on this board: it listens, thinks with a model that runs here, and acts through plugins.
#[derive(Debug, Parser)]
#[command(name = "hob", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// The settings file.
    #[arg(long, global = true, env = "HOB_CONFIG", default_value = DEFAULT_FILE, value_name = "FILE")]
    config: PathBuf,
    /// Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  hob check --config configs/hob.toml     is everything there to start?
  hob ask \"turn on the kitchen light\"      over the socket when hob runs, else by itself
  hob ask --json \"is the door locked?\"     the whole result, for a script
  hob plugin install target/plugins/home && hob plugin grant home
  hob model fetch gemma-4-e2b              a real Gemma 4 into the store, checked file by file
  hob rules why                            what the rules decided last, and why
  hob doctor                               what is wrong, and what to do about it
  hob audit --last 20

Exit codes: 0 done · 1 failed · 2 understood and not done (denied, no yes) · 64 wrong command line · 78 wrong settings";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until it is told to stop.
    Run,
    /// Do all that starting does, short of starting.
    Check,
    /// Send a command in plain words and follow it to its end.
    Ask(ask::Ask),
    /// List the tools on offer.
    Tools,
    /// List the devices and what they last said.
    Devices,
    /// Fetch models and look at them.
    Model {
        #[command(subcommand)]
        command: Option<model::Model>,
    },
    /// Install plugins and say what they may do.
    Plugin {
        #[command(subcommand)]
        command: plugin::Plugin,
    },
    /// List what can run the model, and try it.
    Provider {
        #[command(subcommand)]
        command: provider::ProviderCommand,
    },
    /// Look at the rules, ask why they acted or did not, and try them on a recording.
    Rules {
        #[command(subcommand)]
        command: rules::Rules,
    },
    /// Look what can be listened to, and try it.
    Senses {
        #[command(subcommand)]
        command: senses::Senses,
    },
    /// Look whether everything that hob needs is well, and say what to do where it is not.
    Doctor,
    /// Read the audit log.
    Audit(audit::Audit),
    /// How a running hob is.
    Status,
    /// Print a completion script for a shell.
    #[command(after_help = "Example:\n  hob completions bash > /usr/share/bash-completion/completions/hob")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

/// What every command needs to know.
struct Invocation {
    config: PathBuf,
    json: bool,
}

impl Invocation {
    fn settings(&self) -> Result<Settings, ReadSettingsError> {
        Settings::read(&self.config)
    }

    /// Prints a value as JSON, or as `lines` for people.
    fn print(&self, value: &impl serde::Serialize, lines: impl FnOnce() -> Vec<String>) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { lines().join("\n") };
        print_line(&text)
    }
}

/// Writes to standard output. A reader that closed the pipe ends the command quietly.
fn print_line(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Asks for a yes at the terminal. Without anyone to ask, the answer is no.
fn says_yes(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        writeln!(std::io::stderr().lock(), "hob: {question} (no one is here to ask; use --yes)")?;
        return Ok(false);
    }
    write!(std::io::stderr().lock(), "{question} [y/N] ")?;
    let mut said = String::new();
    std::io::stdin().lock().read_line(&mut said)?;
    Ok(matches!(said.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Whether a person looks at standard output.
fn on_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Runs a command line to its end. Errors are told on standard error, with their causes.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print().ok();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let context = Invocation { config: cli.config, json: cli.json };
    match dispatch(&context, cli.command) {
        Ok(exit) => exit,
        Err(error) => {
            writeln!(std::io::stderr().lock(), "hob: {error:#}").ok();
            exit_of(&error)
        }
    }
}

fn dispatch(context: &Invocation, command: Command) -> anyhow::Result<Exit> {
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "hob", &mut script);
        print_line(String::from_utf8_lossy(&script).trim_end())?;
        return Ok(Exit::Ok);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let exit = match command {
        Command::Run => runtime.block_on(run::run(context)),
        Command::Check => runtime.block_on(check::check(context)),
        Command::Ask(ask) => runtime.block_on(ask::ask(context, ask)),
        Command::Tools => runtime.block_on(look::tools(context)),
        Command::Devices => runtime.block_on(look::devices(context)),
        Command::Model { command } => model::model(context, command.unwrap_or(model::Model::Info), &runtime),
        Command::Plugin { command } => runtime.block_on(plugin::plugin(context, command)),
        Command::Provider { command } => provider::provider(context, command),
        Command::Doctor => runtime.block_on(doctor::doctor(context)),
        Command::Audit(audit) => runtime.block_on(audit::audit(context, audit)),
        Command::Rules { command } => runtime.block_on(rules::rules(context, command)),
        Command::Senses { command } => runtime.block_on(senses::senses(context, command)),
        Command::Status => runtime.block_on(look::status(context)),
        Command::Completions { .. } => Ok(Exit::Ok),
    };
    // A generation under way must not keep the process: its thread ends with it.
    runtime.shutdown_background();
    exit
}

/// Wrong settings are told from what may pass by itself, so that systemd does not start again in vain.
fn exit_of(error: &anyhow::Error) -> Exit {
    let settings = error.downcast_ref::<ReadSettingsError>().is_some();
    let start = error.chain().find_map(|cause| match cause.downcast_ref::<RunError>() {
        Some(RunError::Start(error)) => Some(error),
        Some(RunError::Driver(_) | RunError::Task(_)) | None => cause.downcast_ref::<StartError>(),
    });
    if settings || start.is_some_and(|error| !error.may_pass()) { Exit::Config } else { Exit::Failed }
}
