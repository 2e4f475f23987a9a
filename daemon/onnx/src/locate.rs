//! Where the library may lie.

use std::path::{Path, PathBuf};

/// The environment variable that names the library when the settings do not.
pub const LIBRARY_VARIABLE: &str = "HOB_ONNX_LIBRARY";

/// Where a package puts the library.
const PACKAGED: &str = "/usr/lib/hob";
/// Where `make setup` puts it in a checkout.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/onnxruntime");

/// The path to open: the one from the settings (`[onnx] library`), else [`LIBRARY_VARIABLE`], else the newest
/// `libonnxruntime.so*` beside the executable, in `/usr/lib/hob`, or in the checkout this was built from.
///
/// A path that was asked for is given back whether or not there is a file, so that opening it can say what is wrong.
#[must_use]
pub fn find_library(from_settings: Option<&Path>) -> Option<PathBuf> {
    let asked = from_settings.map(Path::to_owned).or_else(|| std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from));
    asked.or_else(|| {
        let executable = std::env::current_exe().ok();
        let beside = executable.as_deref().and_then(Path::parent).map(Path::to_owned);
        beside
            .into_iter()
            .chain([PathBuf::from(PACKAGED), PathBuf::from(CHECKOUT)])
            .find_map(|folder| newest_in(&folder))
    })
}

/// The `libonnxruntime.so*` of the highest version in a folder.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let libraries = names.filter(|name| name.starts_with("libonnxruntime.so"));
    let version = |name: &String| name.split('.').filter_map(|part| part.parse().ok()).collect::<Vec<u32>>();
    libraries.max_by_key(version).map(|name| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_several_libraries_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime_providers_shared.so"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest_in(folder.path()), Some(folder.path().join("libonnxruntime.so.1.32.0")));
    }

    #[test]
    fn a_path_from_the_settings_wins_even_when_nothing_is_there() {
        let asked = Path::new("/nowhere/libonnxruntime.so");
        assert_eq!(find_library(Some(asked)).as_deref(), Some(asked));
    }
}
