//! Root beside a hob that runs as a user of its own: it manages plugins and spoils nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Output};

/// Nobody, as Debian numbers them.
const OTHER: u32 = 65_534;

fn hob(folder: &Path, arguments: &[&str]) -> Output {
    let settings = folder.join("hob.toml");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/pocket");
    let text = format!(
        "[model]\nfolder = '{model}'\ncache = 'cache/model'\n[mqtt]\nenabled = false\n[state]\nfolder = 'state'\n\
         [devices]\nfile = 'devices.toml'\n[doors]\nsocket = 'run/control.sock'\n\
         [plugins]\nfolder = 'plugins'\ngrants = 'grants'\ncache = 'cache/plugins'\n"
    );
    std::fs::write(&settings, text).unwrap();
    std::fs::write(folder.join("devices.toml"), "").unwrap();
    Command::new(env!("CARGO_BIN_EXE_hob")).arg("--config").arg(&settings).args(arguments).output().unwrap()
}

#[test]
fn root_leaves_nothing_behind_in_the_folders_of_hobs_own_user() {
    if !rustix::process::geteuid().is_root() {
        return; // nobody else can give files away
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["state", "cache"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
        chown(folder.path().join(name), Some(OTHER), Some(OTHER)).unwrap();
    }
    for arguments in [&["plugin", "list"][..], &["tools"]] {
        let output = hob(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for arguments in [&["check"][..], &["ask", "hello"], &["run"]] {
        let output = hob(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
        assert!(said.contains("belongs to user 65534, and root would spoil it: run this as that user"), "{said}");
    }
    for name in ["state", "cache"] {
        let mut left = std::fs::read_dir(folder.path().join(name)).unwrap();
        assert!(left.next().is_none(), "something was left in {name}");
        assert_eq!(std::fs::metadata(folder.path().join(name)).unwrap().uid(), OTHER);
    }
}
