//! What the node serves: a snapshot of apps and their active revisions, all in memory.
//!
//! A request finds its function without a lock or a query. A deployment builds a [`Revision`] aside
//! and puts it in place with one store; requests under way finish on the old one.

pub mod components;
pub mod manifest;
pub mod statics;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use pumice_host_api::{
    AppId, AppName, Cache, ComponentName, Egress, EgressClient, EgressPolicy, Entry, HostLimits,
    Kind, MemoryBudget,
};

use serde::{Deserialize, Serialize};

use self::components::Components;
use self::manifest::{Access, Manifest};
use crate::digest::Digest;
use crate::engine::artifact::ArtifactError;
use crate::invoke::admission::AppShare;
use crate::invoke::{AppGuests, Target};
use crate::limits::{self, Limits};
use crate::outcome::Sampler;
use crate::services::auth::AppKeys;

/// A file of a revision, stored under its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Files of a revision by their path in the bundle.
pub type Files = BTreeMap<String, StoredFile>;

/// All apps of the node.
#[derive(Default)]
pub struct Registry {
    apps: ArcSwap<HashMap<String, Arc<App>>>,
}

impl Registry {
    pub fn get(&self, name: &str) -> Option<Arc<App>> {
        self.apps.load().get(name).cloned()
    }

    /// In order of name.
    pub fn all(&self) -> Vec<Arc<App>> {
        let mut apps: Vec<Arc<App>> = self.apps.load().values().cloned().collect();
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        apps
    }

    pub fn insert(&self, app: Arc<App>) {
        self.extend([app]);
    }

    pub fn extend(&self, apps: impl IntoIterator<Item = Arc<App>>) {
        let new: Vec<Arc<App>> = apps.into_iter().collect();
        self.apps.rcu(|old| {
            let mut apps = HashMap::clone(old);
            apps.extend(new.iter().map(|app| (app.name.clone(), app.clone())));
            apps
        });
    }

    /// Forgets an app, and not one that has taken its name meanwhile.
    pub fn remove(&self, app: &App) {
        self.apps.rcu(|old| {
            let mut apps = HashMap::clone(old);
            if apps.get(&app.name).is_some_and(|found| found.id == app.id) {
                apps.remove(&app.name);
            }
            apps
        });
    }

    /// Unloads components that nobody has called since the last sweep, when there are many.
    pub fn sweep(&self) {
        let functions: Vec<Arc<Function>> = self
            .all()
            .iter()
            .filter_map(|app| app.revision.load_full())
            .flat_map(|revision| revision.functions.clone())
            .filter(|function| function.target.load().is_some())
            .collect();
        let excess = functions
            .len()
            .saturating_sub(limits::COMPONENTS_LOADED_IDLE_MAX);
        let idle = functions
            .iter()
            .filter(|function| !function.called.swap(false, Ordering::Relaxed));
        idle.take(excess)
            .for_each(|function| function.target.store(None));
    }
}

/// One tenant: nothing in here is shared with another app.
pub struct App {
    pub id: AppId,
    pub name: String,
    pub created_at: String,
    pub keys: AppKeys,
    pub guests: Arc<AppGuests>,
    /// The app's folder; its files by content are in `blobs/`.
    pub folder: PathBuf,
    pub secrets: ArcSwap<BTreeMap<String, String>>,
    pub revision: ArcSwapOption<Revision>,
    cache: Cache,
    egress: EgressClient,
    memory: Arc<MemoryBudget>,
    /// One deployment at a time.
    pub deploying: tokio::sync::Mutex<()>,
}

impl App {
    pub fn new(
        id: AppId,
        name: String,
        created_at: String,
        keys: AppKeys,
        folder: PathBuf,
        server: &ServerFacts,
        node: &limits::Node,
    ) -> App {
        App {
            id,
            name,
            created_at,
            keys,
            guests: Arc::new(AppGuests {
                share: AppShare::new(node),
                sampler: Sampler::default(),
            }),
            folder,
            secrets: ArcSwap::default(),
            revision: ArcSwapOption::empty(),
            cache: Cache::new(limits::CACHE_APP_BYTES),
            egress: EgressClient::new(server.egress.clone()),
            memory: Arc::new(MemoryBudget::within(
                server.memory.clone(),
                node.memory_bytes / 2,
            )),
            deploying: tokio::sync::Mutex::default(),
        }
    }

    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.to_string())
    }
}

/// One immutable deployed bundle of an app.
pub struct Revision {
    pub number: i64,
    functions: Vec<Arc<Function>>,
    by_name: HashMap<String, Arc<Function>>,
    by_path: HashMap<String, Arc<Function>>,
    /// Longest first.
    by_prefix: Vec<(String, Arc<Function>)>,
    /// Paths below `public/`.
    pub statics: BTreeMap<String, StoredFile>,
}

/// A function as deployed.
pub struct Function {
    pub name: String,
    pub route: Option<String>,
    pub access: Access,
    limits: Limits,
    entry: Arc<Entry>,
    digest: Digest,
    wasm: PathBuf,
    /// There once the component is loaded.
    target: ArcSwapOption<Target>,
    /// Since the last sweep.
    called: AtomicBool,
    app: Arc<AppGuests>,
}

/// Where the components of a bundle stand in it.
pub fn component_path(function: &str) -> String {
    format!("components/{function}.wasm")
}

/// Where static files stand in a bundle.
pub const PUBLIC: &str = "public/";

impl Revision {
    /// Builds the revision of `app` that `manifest` and `files` describe. Loads nothing yet.
    ///
    /// # Errors
    /// The name of a function whose component is not among the files.
    pub fn new(
        app: &App,
        number: i64,
        manifest: &Manifest,
        files: &Files,
        server: &ServerFacts,
    ) -> Result<Revision, String> {
        let secrets = app.secrets.load();
        let environment = environment(app, server, &manifest.config);
        let mut functions = Vec::new();
        for function in &manifest.functions {
            let Some(file) = files.get(&component_path(&function.name)) else {
                return Err(function.name.clone());
            };
            let granted = function
                .secrets
                .iter()
                .map(|name| (name.clone(), secrets.get(name).cloned()));
            let said =
                |error: &dyn std::fmt::Display| format!("function `{}`: {error}", function.name);
            let egress = Egress::parse(&function.egress, app.egress.clone());
            let entry = Entry {
                app_id: app.id,
                app: AppName::new(&app.name).map_err(|error| said(&error))?,
                component: ComponentName::new(&function.name).map_err(|error| said(&error))?,
                kind: Kind::Function,
                revision: number as u64,
                environment: environment.clone(),
                config: manifest.config.clone(),
                secrets: granted.collect(),
                egress: egress
                    .map_err(|faults| faults.iter().map(|fault| said(fault)).collect::<String>())?,
                cache: app.cache.clone(),
                memory: app.memory.clone(),
                limits: host_limits(&function.limits),
            };
            functions.push(Arc::new(Function {
                name: function.name.clone(),
                route: function.route.clone(),
                access: function.access,
                limits: function.limits.clone(),
                entry: Arc::new(entry),
                digest: file.digest,
                wasm: app.blob(file.digest),
                target: ArcSwapOption::empty(),
                called: AtomicBool::new(true),
                app: app.guests.clone(),
            }));
        }
        let by_name = functions
            .iter()
            .map(|function| (function.name.clone(), function.clone()))
            .collect();
        let mut by_path = HashMap::new();
        let mut by_prefix = Vec::new();
        for function in &functions {
            match function
                .route
                .as_deref()
                .map(|route| (route, route.strip_suffix('*')))
            {
                Some((_, Some(prefix))) => by_prefix.push((prefix.to_owned(), function.clone())),
                Some((route, None)) => drop(by_path.insert(route.to_owned(), function.clone())),
                None => {}
            }
        }
        by_prefix.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        let statics = files
            .iter()
            .filter_map(|(path, file)| Some((path.strip_prefix(PUBLIC)?.to_owned(), *file)))
            .collect();
        Ok(Revision {
            number,
            functions,
            by_name,
            by_path,
            by_prefix,
            statics,
        })
    }

    /// Loads all components, so that the first request to each need not. What cannot be loaded now
    /// is tried again then.
    pub async fn warm(&self, components: &Components) {
        for function in &self.functions {
            if let Err(error) = function.target(components).await {
                tracing::error!(component.name = function.name, %error, "a component was not loaded");
            }
        }
    }

    pub fn functions(&self) -> &[Arc<Function>] {
        &self.functions
    }

    /// The function called `name`.
    pub fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.by_name.get(name)
    }

    /// The function whose route covers `path`: an exact one, or the longest prefix.
    pub fn route(&self, path: &str) -> Option<&Arc<Function>> {
        if let Some(function) = self.by_path.get(path) {
            return Some(function);
        }
        let covers =
            |prefix: &str| path.starts_with(prefix) || path == prefix.trim_end_matches('/');
        self.by_prefix
            .iter()
            .find(|(prefix, _)| covers(prefix))
            .map(|(_, function)| function)
    }
}

impl Function {
    /// What its invocations have in common.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The function ready to invoke; loads its component the first time.
    ///
    /// # Errors
    /// [`ArtifactError`] when the component can neither be loaded nor compiled.
    pub async fn target(&self, components: &Components) -> Result<Arc<Target>, ArtifactError> {
        self.called.store(true, Ordering::Relaxed);
        if let Some(target) = self.target.load_full() {
            return Ok(target);
        }
        let code = components.load(self.digest, &self.wasm).await?;
        let target = Arc::new(Target {
            entry: self.entry.clone(),
            limits: self.limits.clone(),
            app: self.app.clone(),
            code,
        });
        self.target.store(Some(target.clone()));
        Ok(target)
    }
}

/// What apps are told of the server.
#[derive(Clone)]
pub struct ServerFacts {
    /// Where the server is reached, without a slash at the end.
    pub url: String,
    /// Whether `url` reaches the one app directly (`pumice dev`).
    pub single_app: bool,
    pub egress: Arc<EgressPolicy>,
    /// What all guests of the node may hold together.
    pub memory: Arc<MemoryBudget>,
}

impl ServerFacts {
    /// The address of an app.
    pub fn app_url(&self, app: &str) -> String {
        if self.single_app {
            self.url.clone()
        } else {
            format!("{}/a/{app}", self.url)
        }
    }
}

/// The environment variables of an app's guests: the dialect's, and the app's `[config]`.
fn environment(
    app: &App,
    server: &ServerFacts,
    config: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let own = [
        ("SUPABASE_URL", server.app_url(&app.name)),
        ("SUPABASE_ANON_KEY", app.keys.anon().to_owned()),
        (
            "SUPABASE_SERVICE_ROLE_KEY",
            app.keys.service_role().to_owned(),
        ),
        ("SUPABASE_JWKS", app.keys.jwks().to_string()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    config
        .clone()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("SUPABASE_"))
        .chain(own)
        .collect()
}

fn host_limits(limits: &Limits) -> HostLimits {
    HostLimits {
        memory_bytes_max: limits.memory_bytes,
        table_elements_max: limits.table_elements,
        host_call_bytes_max: limits.host_call_bytes,
        handles_max: limits.handles,
        request_bytes_max: limits::REQUEST_BODY_BYTES_MAX,
        response_bytes_max: limits.response_bytes,
        outbound_requests_max: limits.outbound_requests,
        outbound_timeout: limits::OUTBOUND_WAIT,
        log_line_bytes_max: limits::LOG_LINE_BYTES_MAX,
        log_bytes_max: limits::LOG_BYTES_PER_INVOCATION,
    }
}

/// The folder of an app.
pub fn app_folder(data: &Path, id: AppId) -> PathBuf {
    data.join("apps").join(id.to_string())
}
