//! Which models are in use: by the settings, and by a running hob that may have been given another.

use crate::cli::look::ask_daemon;
use crate::settings::Settings;
use anyhow::{Context, bail};
use hob_doors::Request;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A hob that is well answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Folders of models that are in use. The default is none.
#[derive(Debug, Default)]
pub(super) struct InUse {
    /// What a hob that is started opens.
    named: Option<PathBuf>,
    /// What a running hob answers with, and what it is being changed for.
    running: Vec<PathBuf>,
}

impl InUse {
    /// Reads the settings, and asks the running hob if there is one.
    ///
    /// # Errors
    /// When there is one and it does not say.
    pub(super) async fn ask(settings: &Settings) -> anyhow::Result<Self> {
        let asked = tokio::time::timeout(PATIENCE, ask_daemon(&settings.doors.socket, Request::Status));
        let status = match asked.await {
            Ok(answered) => answered.context("a running hob cannot be asked which model it has open")?,
            Err(_) => bail!("a running hob does not say which model it has open"),
        };
        Ok(Self { running: status.as_ref().map(running).unwrap_or_default(), ..Self::as_set(settings) })
    }

    /// The same; a running hob that does not say is told about, and left out.
    pub(super) async fn or_as_set(settings: &Settings) -> Self {
        match Self::ask(settings).await {
            Ok(all) => all,
            Err(error) => {
                writeln!(std::io::stderr().lock(), "hob: {error:#}").ok();
                Self::as_set(settings)
            }
        }
    }

    fn as_set(settings: &Settings) -> Self {
        Self { named: Some(settings.model.folder.clone()), running: Vec::new() }
    }

    /// Why a folder may not go, and what would change that; nothing for one that is not in use.
    pub(super) fn reason(&self, folder: &Path) -> Option<String> {
        let (is_it, shown) = (|used: &PathBuf| is_same(used, folder), folder.display());
        if self.running.iter().any(is_it) {
            return Some(format!("a running hob has {shown} open: change it for another with hob model swap"));
        }
        let named = self.named.as_ref().is_some_and(is_it);
        named.then(|| format!("the settings name {shown}: set `[model] folder` to another"))
    }
}

/// The folders in the status of a running hob. One of an older version names none.
fn running(status: &Value) -> Vec<PathBuf> {
    let folders = ["model_folder", "model_next"].into_iter().filter_map(|key| status.get(key)?.as_str());
    folders.map(PathBuf::from).collect()
}

/// Whether two paths lead to the same folder.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_runs_and_what_the_settings_name_are_in_use_each_for_a_reason_of_its_own() {
        let status = json!({"model_folder": "/models/old", "model_next": "/models/new", "model": "old"});
        let users = InUse { named: Some("/models/named".into()), running: running(&status) };
        let reason = |name: &str| users.reason(&Path::new("/models").join(name)).unwrap_or_default();
        insta::assert_snapshot!(reason("old"), @"a running hob has /models/old open: change it for another with hob model swap");
        insta::assert_snapshot!(reason("named"), @"the settings name /models/named: set `[model] folder` to another");
        assert!(reason("new").starts_with("a running hob"), "a swap to it is under way");
        assert_eq!(reason("other"), "");
    }

    #[test]
    fn an_older_hob_names_no_folder() {
        assert!(running(&json!({"model": "pocket", "model_next": null})).is_empty());
    }
}
