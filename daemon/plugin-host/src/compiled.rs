//! Compiled components, kept between starts: compiling takes up to seconds, loading what was compiled a millisecond.
//!
//! What is in the folder becomes native code, so it is believed only under a key that stands beside it, readable for
//! the daemon's user alone. A file that is broken, forged or for another engine is compiled anew and replaced.

use crate::digest::{ComponentHash, hex};
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of the code that stands in front of each file.
const MAC_BYTES: usize = 32;
/// A whole block of SHA-256, so that it is used as it is.
const KEY_BYTES: usize = 64;
const KEY_FILE: &str = "key";

/// The folder and its key.
pub(crate) struct CompiledCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    /// Files that were asked for since the folder was opened.
    used: Mutex<BTreeSet<PathBuf>>,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenCacheError {
    /// It cannot be made, read or written.
    #[error("the folder of compiled plugins {path} cannot be used")]
    Io {
        /// The folder or the key in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Someone else could put code there.
    #[error("the folder of compiled plugins {path} belongs to user {owner}, not to the one hob runs as: remove it")]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
}

/// Where a component came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Cached,
    Compiled,
}

impl CompiledCache {
    /// Makes the folder and the key when they are missing.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenCacheError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| OpenCacheError::Io { path, source }
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
        let owner = std::fs::metadata(folder).map_err(failed(folder))?.uid();
        if owner != geteuid().as_raw() {
            return Err(OpenCacheError::Owner { path: folder.to_path_buf(), owner });
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed(folder))?;
        let key_path = folder.join(KEY_FILE);
        let key = read_key(&key_path).or_else(|_| make_key(&key_path)).map_err(failed(&key_path))?;
        Ok(Self { folder: folder.to_path_buf(), key, used: Mutex::default() })
    }

    /// The component of these bytes, compiled now if need be. Blocks: up to seconds for a large component.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        wasm: &[u8],
        hash: &ComponentHash,
    ) -> wasmtime::Result<(Component, Origin)> {
        let path = self.folder.join(file_name(engine, hash));
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        if let Some(component) = self.load(engine, &path) {
            return Ok((component, Origin::Cached));
        }
        let component = Component::new(engine, wasm)?;
        if let Err(error) = self.keep(&component, &path) {
            tracing::warn!(path = %path.display(), %error, "a compiled plugin could not be kept; it is compiled again next time");
        }
        Ok((component, Origin::Compiled))
    }

    /// Removes what nobody has asked for: builds that were replaced, and those of older engines. Another process that still
    /// wants one compiles it again.
    pub(crate) fn prune(&self) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let stale = entries.map(|entry| entry.path()).filter(|path| {
            path.extension().is_some_and(|kind| kind == "cwasm" || kind == "new") && !used.contains(path)
        });
        for path in stale {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "a compiled plugin that nobody uses cannot be removed");
            }
        }
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let file = std::fs::read(path).ok()?;
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        if self.mac(path, code).verify_slice(mac).is_err() {
            tracing::warn!(path = %path.display(), "a compiled plugin does not carry this machine's mark; it is compiled anew");
            return None;
        }
        load_trusted(engine, code)
    }

    fn keep(&self, component: &Component, path: &Path) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        let mac = self.mac(path, &code).finalize().into_bytes();
        let unfinished = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(&mac)?;
        file.write_all(&code)?;
        std::fs::rename(&unfinished, path)?;
        Ok(())
    }

    /// Over the file's name too, so that the code of one component cannot pass for another's.
    fn mac(&self, path: &Path, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&self.key).into());
        mac.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        mac.update(&[0]);
        mac.update(code);
        mac
    }
}

#[expect(unsafe_code, reason = "wasmtime takes compiled code on trust")]
fn load_trusted(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the bytes were written by `keep` of this program on this machine: the caller verified a code over them under
    // a key that only this user can read, and the file's name binds them to this wasmtime, engine and target.
    let component = unsafe { Component::deserialize(engine, code) };
    component.inspect_err(|error| tracing::warn!("a compiled plugin cannot be loaded: {error}")).ok()
}

/// Another component, wasmtime, engine setting or processor is another file.
fn file_name(engine: &Engine, hash: &ComponentHash) -> String {
    let mut name = Sha256::new();
    name.update(hash.bytes());
    name.update(env!("CARGO_PKG_VERSION"));
    name.update(std::env::consts::ARCH);
    name.update(std::env::consts::OS);
    let mut hasher = HashInto(&mut name);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}.cwasm", hex(&name.finalize()))
}

/// Feeds what a `Hash` says into SHA-256: the standard library's hashers promise nothing over versions.
struct HashInto<'a>(&'a mut Sha256);

impl Hasher for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

fn read_key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    std::fs::File::open(path)?.read_exact(&mut key)?;
    Ok(key)
}

/// A new key; what was compiled under an old one no longer counts.
fn make_key(path: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TickingEngine;

    const EMPTY: &[u8] = b"(component)";

    fn origin(cache: &CompiledCache, engine: &Engine) -> Origin {
        cache.component(engine, EMPTY, &ComponentHash::of(EMPTY)).unwrap().1
    }

    fn the_file(folder: &Path) -> PathBuf {
        let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.extension().is_some_and(|kind| kind == "cwasm")).unwrap()
    }

    #[test]
    fn what_was_compiled_once_is_loaded_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let engine = TickingEngine::start().unwrap().engine;
        assert_eq!(origin(&CompiledCache::open(folder.path()).unwrap(), &engine), Origin::Compiled);
        assert_eq!(origin(&CompiledCache::open(folder.path()).unwrap(), &engine), Origin::Cached);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join(KEY_FILE))), (0o700, 0o600));
    }

    #[test]
    fn broken_and_forged_files_are_compiled_anew() {
        let folder = tempfile::tempdir().unwrap();
        let engine = TickingEngine::start().unwrap().engine;
        let cache = CompiledCache::open(folder.path()).unwrap();
        origin(&cache, &engine);
        let path = the_file(folder.path());
        let good = std::fs::read(&path).unwrap();
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        for bad in [&forged[..], &good[..good.len() / 2], b"short", b""] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(origin(&cache, &engine), Origin::Compiled);
            assert_eq!(origin(&cache, &engine), Origin::Cached, "it was replaced");
        }
    }

    #[test]
    fn what_nobody_asks_for_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let engine = TickingEngine::start().unwrap().engine;
        origin(&CompiledCache::open(folder.path()).unwrap(), &engine);
        let cache = CompiledCache::open(folder.path()).unwrap();
        cache.component(&engine, b"(component )", &ComponentHash::of(b"(component )")).unwrap();
        cache.prune();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "one component and the key");
        assert_eq!(origin(&cache, &engine), Origin::Compiled);
    }

    #[test]
    fn a_file_under_another_name_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let engine = TickingEngine::start().unwrap().engine;
        let cache = CompiledCache::open(folder.path()).unwrap();
        origin(&cache, &engine);
        let path = the_file(folder.path());
        let other = ComponentHash::of(b"(component )");
        std::fs::rename(path, folder.path().join(file_name(&engine, &other))).unwrap();
        assert_eq!(cache.component(&engine, b"(component )", &other).unwrap().1, Origin::Compiled);
    }
}
