//! `hob audit`: the log of what was decided and done, and whether it is whole.

use super::look::ask_daemon;
use super::{Invocation, print_line};
use crate::exit::Exit;
use hob_doors::Request;
use hob_state::{StateLimits, Store};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hob audit --last 20\n  hob audit verify")]
pub(super) struct Audit {
    /// How many of the newest lines.
    #[arg(long, default_value_t = 50, value_name = "N")]
    last: usize,
    #[command(subcommand)]
    command: Option<AuditCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    /// Walk the whole chain and say whether a line was changed or is missing.
    Verify,
}

pub(super) async fn audit(invocation: &Invocation, audit: Audit) -> anyhow::Result<Exit> {
    let settings = invocation.settings()?;
    if let Some(AuditCommand::Verify) = audit.command {
        let verified = match ask_daemon(&settings.doors.socket, Request::AuditVerify).await? {
            Some(verified) => verified,
            None => {
                let opened = Store::open(&settings.state.folder, StateLimits::default())?;
                json!({ "lines": opened.store.verify_audit()? })
            }
        };
        invocation.print(&verified, || vec![format!("the chain of {} lines is whole", verified["lines"])])?;
        return Ok(Exit::Ok);
    }
    let lines = match ask_daemon(&settings.doors.socket, Request::Audit { last: audit.last }).await? {
        Some(lines) => lines,
        None => {
            let opened = Store::open(&settings.state.folder, StateLimits::default())?;
            serde_json::to_value(opened.store.audit_tail(audit.last)?)?
        }
    };
    if invocation.json {
        print_line(&serde_json::to_string_pretty(&lines)?)?;
    } else {
        for line in lines.as_array().into_iter().flatten() {
            print_line(&Value::to_string(line))?;
        }
    }
    Ok(Exit::Ok)
}
