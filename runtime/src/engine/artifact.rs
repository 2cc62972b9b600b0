//! Compiled components on disk: by content hash and engine fingerprint, each with a MAC.
//!
//! Machine code is run without any check, so only code that this server's own compiler wrote may be
//! loaded: the MAC's key never leaves the data folder's `secret.key`. What does not verify is
//! compiled anew from the component and reported.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compile::{self, CompileError};
use crate::digest::Digest;

/// Why a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error("the stored component {0} is gone or changed; push the app again")]
    Component(Digest),
    #[error("the artifact store failed")]
    Io(#[from] std::io::Error),
    #[error("the component does not fit: {0:#}")]
    Load(wasmtime::Error),
    #[error("the component exports no {0}")]
    NoHandler(&'static str),
}

/// The artifacts of one engine.
pub struct ArtifactStore {
    engine: Engine,
    folder: PathBuf,
    key: hmac::Key,
    /// One compilation at a time: the compiler uses all processors by itself.
    compiler: Semaphore,
}

const MAC_BYTES: usize = 32;

impl ArtifactStore {
    /// Opens the store below `folder`, making it if needed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(engine: Engine, folder: &Path, key: hmac::Key) -> std::io::Result<ArtifactStore> {
        let folder = folder.join(super::fingerprint(&engine));
        std::fs::create_dir_all(&folder)?;
        Ok(ArtifactStore {
            engine,
            folder,
            key,
            compiler: Semaphore::new(1),
        })
    }

    /// Makes sure that the component stored at `wasm` with this digest has a valid artifact.
    ///
    /// Returns whether it had to be compiled.
    ///
    /// # Errors
    /// [`ArtifactError::Compile`] when the compiler refuses it or runs out of its bounds.
    pub async fn prepare(&self, digest: Digest, wasm: &Path) -> Result<bool, ArtifactError> {
        if self.read(digest).await?.is_some() {
            return Ok(false);
        }
        self.compile(digest, wasm).await?;
        Ok(true)
    }

    /// The component, ready to instantiate. Compiles only if no valid artifact is stored.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and [`ArtifactError::Load`] if wasmtime refuses its own code.
    pub async fn load(&self, digest: Digest, wasm: &Path) -> Result<Component, ArtifactError> {
        let code = match self.read(digest).await? {
            Some(code) => code,
            None => {
                self.compile(digest, wasm).await?;
                self.read(digest)
                    .await?
                    .ok_or(ArtifactError::Component(digest))?
            }
        };
        let engine = self.engine.clone();
        let loaded = tokio::task::spawn_blocking(move || deserialize(&engine, &code)).await;
        loaded
            .map_err(std::io::Error::other)?
            .map_err(ArtifactError::Load)
    }

    /// Deletes the artifacts of components that are not in `kept`. What cannot be deleted stays.
    pub async fn forget_all_but(&self, kept: &BTreeSet<Digest>) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.folder).await else {
            return;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let name = entry.file_name();
            let digest = name
                .to_str()
                .and_then(|name| name.strip_suffix(".cwasm")?.parse().ok());
            if !digest.is_some_and(|digest| kept.contains(&digest)) {
                let _ = tokio::fs::remove_file(entry.path()).await;
            }
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.cwasm"))
    }

    /// The code stored for `digest` if its MAC holds.
    async fn read(&self, digest: Digest) -> std::io::Result<Option<Vec<u8>>> {
        let mut file = match tokio::fs::read(self.path(digest)).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(code_len) = file.len().checked_sub(MAC_BYTES) else {
            tracing::error!(component.digest = %digest, "a stored artifact is cut short; compiling it anew");
            return Ok(None);
        };
        let key = self.key.clone();
        let (file, valid) = tokio::task::spawn_blocking(move || {
            let valid = subtle::ConstantTimeEq::ct_eq(
                mac(&key, digest, &file[..code_len]).as_ref(),
                &file[code_len..],
            );
            file.truncate(code_len);
            (file, bool::from(valid))
        })
        .await
        .map_err(std::io::Error::other)?;
        if !valid {
            tracing::error!(component.digest = %digest, "a stored artifact's MAC does not hold; compiling it anew");
            return Ok(None);
        }
        Ok(Some(file))
    }

    async fn compile(&self, digest: Digest, wasm: &Path) -> Result<(), ArtifactError> {
        let _permit = self
            .compiler
            .acquire()
            .await
            .map_err(std::io::Error::other)?;
        // The source may have been damaged too: an artifact must be of the bytes it is filed under.
        let bytes = tokio::fs::read(wasm)
            .await
            .map_err(|_| ArtifactError::Component(digest))?;
        if Digest::of(&bytes) != digest {
            return Err(ArtifactError::Component(digest));
        }
        let fresh = self
            .folder
            .join(format!("{digest}.{}.tmp", uuid::Uuid::new_v4().simple()));
        let result = async {
            compile::in_child(wasm, &fresh).await?;
            let mut code = tokio::fs::read(&fresh).await?;
            let mac = mac(&self.key, digest, &code);
            code.extend_from_slice(mac.as_ref());
            tokio::fs::write(&fresh, &code).await?;
            tokio::fs::rename(&fresh, self.path(digest)).await?;
            Ok(())
        }
        .await;
        if result.is_err() {
            let _ = tokio::fs::remove_file(&fresh).await;
        }
        result
    }
}

/// Binds code to the component it was compiled from: a valid artifact cannot stand for another.
fn mac(key: &hmac::Key, digest: Digest, code: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(digest.as_bytes());
    context.update(code);
    context.sign()
}

#[expect(
    unsafe_code,
    reason = "wasmtime runs precompiled code unchecked; the bytes are our own compiler's, by their MAC"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `read` returned these bytes, so their MAC holds: `compile` wrote them, with an engine
    // of the same fingerprint, and they cannot change any more because they are in our memory.
    unsafe { Component::deserialize(engine, code) }
}
