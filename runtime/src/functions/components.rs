//! Components in memory, loaded when first called and shared by everyone who deployed the same
//! bytes: compiled code holds nothing of an app.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pumice_host_api::bindings::Handlers;
use pumice_host_api::{HostCtx, Kind};
use wasmtime::component::Linker;

use crate::digest::Digest;
use crate::engine::artifact::{ArtifactError, ArtifactStore};
use crate::engine::check;
use crate::invoke::LoadedComponent;

pub struct Components {
    artifacts: ArtifactStore,
    linker: Linker<HostCtx>,
    loaded: Mutex<HashMap<Digest, Weak<LoadedComponent>>>,
    /// Concurrent first calls of a component load it once; others' do not wait for it.
    loading: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Components {
    pub fn new(artifacts: ArtifactStore, linker: Linker<HostCtx>) -> Components {
        Components {
            artifacts,
            linker,
            loaded: Mutex::default(),
            loading: Mutex::default(),
        }
    }

    /// Compiles if there is no valid artifact yet; says whether it did.
    ///
    /// # Errors
    /// As [`ArtifactStore::prepare`].
    pub async fn prepare(&self, digest: Digest, wasm: &Path) -> Result<bool, ArtifactError> {
        self.artifacts.prepare(digest, wasm).await
    }

    /// # Errors
    /// As [`ArtifactStore::load`]; [`ArtifactError::Load`] also when an import does not have the type it
    /// must have.
    pub async fn load(
        &self,
        digest: Digest,
        wasm: &Path,
    ) -> Result<Arc<LoadedComponent>, ArtifactError> {
        if let Some(found) = self.loaded(digest) {
            return Ok(found);
        }
        let one = self.loading.lock().entry(digest).or_default().clone();
        let result = {
            let _one = one.lock().await;
            match self.loaded(digest) {
                Some(found) => Ok(found),
                None => self.load_new(digest, wasm).await,
            }
        };
        let mut loading = self.loading.lock();
        // Nobody else waits: this handle and the map's are all there are.
        if Arc::strong_count(&one) == 2 {
            loading.remove(&digest);
        }
        result
    }

    async fn load_new(
        &self,
        digest: Digest,
        wasm: &Path,
    ) -> Result<Arc<LoadedComponent>, ArtifactError> {
        let component = self.artifacts.load(digest, wasm).await?;
        let pre = self
            .linker
            .instantiate_pre(&component)
            .map_err(ArtifactError::Load)?;
        let handlers = Handlers::find(&pre);
        let code = Arc::new(LoadedComponent { pre, handlers });
        let mut loaded = self.loaded.lock();
        loaded.retain(|_, code| code.strong_count() > 0);
        loaded.insert(digest, Arc::downgrade(&code));
        Ok(code)
    }

    /// Deletes the artifacts of components that no app has any more.
    pub async fn forget_all_but(&self, kept: &BTreeSet<Digest>) {
        self.artifacts.forget_all_but(kept).await;
    }

    /// Components in memory now.
    pub fn count(&self) -> usize {
        self.loaded
            .lock()
            .values()
            .filter(|code| code.strong_count() > 0)
            .count()
    }

    fn loaded(&self, digest: Digest) -> Option<Arc<LoadedComponent>> {
        self.loaded.lock().get(&digest)?.upgrade()
    }
}

/// Says that `code` has the handler an entry of `kind` is called through.
///
/// # Errors
/// [`ArtifactError::NoHandler`].
pub fn must_serve(code: &LoadedComponent, kind: Kind) -> Result<(), ArtifactError> {
    let handlers = &code.handlers;
    let there = match kind {
        Kind::Function => handlers.http.is_some(),
        Kind::BeforeTrigger => handlers.before.is_some(),
        Kind::AfterTrigger => handlers.after.is_some(),
        Kind::Procedure => handlers.procedure.is_some(),
        Kind::Script => handlers.script.is_some(),
        Kind::BeforeUserCreated => handlers.before_user_created.is_some(),
        Kind::CustomClaims => handlers.custom_claims.is_some(),
        Kind::SendMessage => handlers.send_message.is_some(),
    };
    if there {
        Ok(())
    } else {
        Err(ArtifactError::NoHandler(check::export_of(kind)))
    }
}
