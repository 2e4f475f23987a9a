//! Where the library of a plugin provider may lie.

use super::Provider;
use std::path::{Path, PathBuf};

/// Where a package puts them, each in a folder of the provider's name.
const PACKAGED: &str = "/usr/lib/hob";
/// Where `scripts/fetch-openvino.sh` puts it in a checkout.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache");

/// The plugin to load: the one from the settings (`[onnx.plugins]`), else the one that `HOB_<NAME>_LIBRARY` names, else
/// `<name>/lib…` beside the executable, in `/usr/lib/hob`, or in the checkout this was built from.
///
/// A path that was asked for is given back whether or not there is a file, so that loading it can say what is wrong.
#[must_use]
pub fn find_plugin(provider: Provider, from_settings: Option<&Path>) -> Option<PathBuf> {
    let variable = format!("HOB_{}_LIBRARY", provider.name().to_ascii_uppercase());
    let asked = from_settings.map(Path::to_owned).or_else(|| std::env::var_os(variable).map(PathBuf::from));
    asked.or_else(|| {
        let executable = std::env::current_exe().ok();
        let beside = executable.as_deref().and_then(Path::parent).map(Path::to_owned);
        let folders = beside.into_iter().chain([PathBuf::from(PACKAGED), PathBuf::from(CHECKOUT)]);
        found_in(folders, provider)
    })
}

fn found_in(folders: impl Iterator<Item = PathBuf>, provider: Provider) -> Option<PathBuf> {
    let name = file_name(provider)?;
    folders.map(|folder| folder.join(provider.name()).join(name)).find(|path| path.is_file())
}

/// What the packages call it; nothing for the processor, which is in the library.
fn file_name(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Cpu => None,
        Provider::OpenVino => Some("libonnxruntime_providers_openvino_plugin.so"),
        Provider::WebGpu => Some("libonnxruntime_providers_webgpu.so"),
        Provider::Qnn => Some("libonnxruntime_providers_qnn.so"),
        Provider::Cuda => Some("libonnxruntime_providers_cuda_plugin.so"),
        Provider::TensorRt => Some("libonnxruntime_providers_nv_tensorrt_rtx.so"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_lies_in_a_folder_of_its_name() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = || [first.path().to_owned(), second.path().to_owned()].into_iter();
        assert_eq!(found_in(folders(), Provider::WebGpu), None);
        let path = second.path().join("webgpu/libonnxruntime_providers_webgpu.so");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        assert_eq!(found_in(folders(), Provider::WebGpu), Some(path));
        assert_eq!(found_in(folders(), Provider::Cpu), None);
    }

    #[test]
    fn a_path_from_the_settings_wins_even_when_nothing_is_there() {
        let asked = Path::new("/nowhere/plugin.so");
        assert_eq!(find_plugin(Provider::Qnn, Some(asked)).as_deref(), Some(asked));
    }
}
