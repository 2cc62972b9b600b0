//! What the node serves: a snapshot of apps and their active revisions, all in memory.
//!
//! A request finds its function without a lock or a query. A deployment builds a [`Revision`] aside
//! and puts it in place with one store; requests under way finish on the old one.

pub mod bundle;
pub mod components;
pub mod manifest;
pub mod statics;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use pumice_host_api::auth::Users;
use pumice_host_api::data::{DataStore, Settings};
use pumice_host_api::jobs::Scripts;
use pumice_host_api::{
    AppId, AppName, Buckets, Cache, ComponentName, Egress, EgressClient, EgressPolicy, Entry,
    FileLimits, FileStore, HostLimits, Kind, MemoryBudget, Messages,
};

pub use self::bundle::{Files, StoredFile};

use self::bundle::{PUBLIC, component_path};
use self::components::Components;
use self::manifest::auth::AuthSettings;
use self::manifest::{Access, Manifest, Operation, Schedule, When};
use crate::digest::Digest;
use crate::engine::artifact::ArtifactError;
use crate::invoke::admission::AppShare;
use crate::invoke::{AppGuests, Target};
use crate::keyring::Keyring;
use crate::limits::{self, Limits};
use crate::outcome::Sampler;
use crate::services::auth::AppKeys;
use crate::services::auth::compat::SharedSecret;
use crate::services::auth::keys::foreign::Foreign;
use crate::services::auth::oauth::OAuth;
use crate::services::mail::mailbox::Mailbox;
use crate::services::mail::templates::MailFiles;
use crate::services::rates::RequestPaces;

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
        let revisions: Vec<Arc<Revision>> = self
            .all()
            .iter()
            .filter_map(|app| app.revision.load_full())
            .collect();
        let loaded: Vec<&Deployed> = revisions
            .iter()
            .flat_map(|revision| revision.guests())
            .filter(|guest| guest.target.load().is_some())
            .collect();
        let excess = loaded
            .len()
            .saturating_sub(limits::COMPONENTS_LOADED_IDLE_MAX);
        let idle = loaded
            .iter()
            .filter(|guest| !guest.called.swap(false, Ordering::Relaxed));
        idle.take(excess).for_each(|guest| guest.target.store(None));
    }
}

/// One tenant: nothing in here is shared with another app.
pub struct App {
    pub id: AppId,
    pub name: String,
    pub created_at: String,
    pub keys: Arc<AppKeys>,
    pub guests: Arc<AppGuests>,
    /// The app's folder; its files by content are in `blobs/`.
    pub folder: PathBuf,
    pub secrets: ArcSwap<BTreeMap<String, String>>,
    pub revision: ArcSwapOption<Revision>,
    /// The app's tables.
    pub data: DataStore,
    /// The app's users.
    pub users: Users,
    oauth: OnceLock<Arc<OAuth>>,
    /// The app's objects.
    pub files: FileStore,
    /// The app's messages.
    pub messages: Messages,
    /// Mails that nobody sends: the developer reads them.
    pub mailbox: Arc<Mailbox>,
    /// Whether it stands in the queue of apps that may have work.
    pub woken: AtomicBool,
    cache: Cache,
    egress: EgressClient,
    memory: Arc<MemoryBudget>,
    /// One deployment at a time.
    pub deploying: Arc<tokio::sync::Mutex<()>>,
    /// Held by each job and delivery under way; whoever moves the data waits until none is.
    pub working: Arc<tokio::sync::RwLock<()>>,
    /// The same app with its data elsewhere, once that was moved or registered: this one then ends what
    /// it began.
    pub successor: OnceLock<Arc<App>>,
}

/// Who an app is.
pub struct About {
    pub id: AppId,
    pub name: String,
    pub created_at: String,
    pub keys: AppKeys,
}

impl App {
    pub fn new(
        about: About,
        folder: PathBuf,
        data: DataStore,
        server: &ServerFacts,
        node: &limits::Node,
    ) -> App {
        let About {
            id,
            name,
            created_at,
            keys,
        } = about;
        let keys = Arc::new(keys);
        App {
            users: users(&data, &keys),
            oauth: OnceLock::new(),
            data,
            files: FileStore::new(folder.join("objects"), FileLimits::default()),
            messages: Messages::new(),
            mailbox: Arc::default(),
            woken: AtomicBool::new(false),
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
            deploying: Arc::default(),
            working: Arc::default(),
            successor: OnceLock::new(),
        }
    }

    /// The same app with its tables in `data`; without a revision, for that leads to the tables too.
    pub fn moved(&self, data: DataStore) -> App {
        App {
            id: self.id,
            name: self.name.clone(),
            created_at: self.created_at.clone(),
            keys: self.keys.clone(),
            guests: self.guests.clone(),
            folder: self.folder.clone(),
            secrets: ArcSwap::new(self.secrets.load_full()),
            revision: ArcSwapOption::empty(),
            users: users(&data, &self.keys),
            oauth: OnceLock::new(),
            data,
            files: self.files.clone(),
            messages: self.messages.clone(),
            mailbox: self.mailbox.clone(),
            woken: AtomicBool::new(false),
            cache: self.cache.clone(),
            egress: self.egress.clone(),
            memory: self.memory.clone(),
            deploying: self.deploying.clone(),
            working: Arc::default(),
            successor: OnceLock::new(),
        }
    }

    /// Serves `revision` from now on; requests under way finish on the one before.
    pub fn activate(&self, revision: Revision) {
        self.data.set_settings(revision.api.clone());
        if let Err(error) = self.keys.set_foreign(revision.foreign.clone()) {
            tracing::error!(app.id = %self.id, %error, "the keys that [auth] names are not those in force");
        }
        self.revision.store(Some(Arc::new(revision)));
    }

    /// What sign-ins at other providers keep.
    pub fn oauth(&self, keyring: &Arc<Keyring>) -> Arc<OAuth> {
        let make = || Arc::new(OAuth::new(self.id, self.egress.clone(), keyring.clone()));
        self.oauth.get_or_init(make).clone()
    }

    /// What the app says of its users; what is usual before its first revision.
    pub fn auth(&self) -> Arc<AuthSettings> {
        match &*self.revision.load() {
            Some(revision) => revision.auth.clone(),
            None => Arc::default(),
        }
    }

    /// How fast requests may come; what is usual before its first revision.
    pub fn request_paces(&self) -> RequestPaces {
        match &*self.revision.load() {
            Some(revision) => revision.rates,
            None => RequestPaces::default(),
        }
    }

    /// The app's connections to hosts of its choice.
    pub fn egress(&self) -> &EgressClient {
        &self.egress
    }

    pub fn blob(&self, digest: Digest) -> PathBuf {
        self.folder.join("blobs").join(digest.to_string())
    }
}

/// The users in `data`; sessions that end take their tokens along.
fn users(data: &DataStore, keys: &Arc<AppKeys>) -> Users {
    let keys = keys.clone();
    Users::new(data.clone()).telling(Arc::new(move |session| keys.revoked.add([session])))
}

/// One immutable deployed bundle of an app.
pub struct Revision {
    pub number: i64,
    functions: Vec<Arc<Function>>,
    by_name: HashMap<String, Arc<Function>>,
    by_path: HashMap<String, Arc<Function>>,
    /// Longest first.
    by_prefix: Vec<(String, Arc<Function>)>,
    /// In order of the manifest.
    triggers: Vec<Arc<Trigger>>,
    by_table: HashMap<String, TableTriggers>,
    procedures: BTreeMap<String, Arc<Procedure>>,
    scripts: BTreeMap<String, Arc<Script>>,
    /// At most one of each kind.
    hooks: Vec<Arc<Deployed>>,
    /// In order of the manifest.
    pub schedules: Vec<Schedule>,
    pub buckets: Buckets,
    api: Settings,
    /// What the app says of its users.
    pub auth: Arc<AuthSettings>,
    /// The keys that it names there.
    foreign: Arc<Foreign>,
    rates: RequestPaces,
    /// The app's own templates of mails.
    pub mail: Arc<MailFiles>,
    /// Paths below `public/`.
    pub statics: BTreeMap<String, StoredFile>,
}

/// An entry as deployed: everything its invocations need, and its code once that is loaded.
pub struct Deployed {
    pub name: String,
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

/// A function as deployed.
pub struct Function {
    pub guest: Deployed,
    pub route: Option<String>,
    pub access: Access,
    /// The permission that a caller must hold.
    pub require: Option<String>,
}

/// A trigger as deployed.
pub struct Trigger {
    pub guest: Deployed,
    /// A table of schema `public`.
    pub table: String,
    pub on: Vec<Operation>,
    pub when: When,
}

/// A procedure as deployed.
pub struct Procedure {
    pub guest: Deployed,
    pub access: Access,
    /// The permission that a caller must hold.
    pub require: Option<String>,
}

/// A script as deployed.
pub struct Script {
    pub guest: Deployed,
    pub access: Access,
    /// The permission that its caller must hold.
    pub require: Option<String>,
    /// How often a job is tried before it is given up.
    pub attempts_max: u32,
}

/// A table's triggers by operation, in order of the manifest.
#[derive(Default)]
struct TableTriggers {
    before: [Vec<Arc<Trigger>>; 3],
    after: [Vec<Arc<Trigger>>; 3],
}

impl Revision {
    /// Builds the revision of `app` that `manifest` and `files` describe; `foreign` are the keys that `[auth]`
    /// names. Loads nothing yet.
    ///
    /// # Errors
    /// What is wrong with an entry, such as a component that is not among the files.
    pub fn new(
        app: &App,
        number: i64,
        manifest: &Manifest,
        files: &Files,
        server: &ServerFacts,
        foreign: Foreign,
    ) -> Result<Revision, String> {
        let maker = Maker::new(app, number, manifest, files, server, &foreign);
        let mut functions = Vec::new();
        for function in &manifest.functions {
            functions.push(Arc::new(Function {
                guest: maker.deployed(&function.entry)?,
                route: function.route.clone(),
                access: function.access,
                require: function.require.clone(),
            }));
        }
        let mut triggers = Vec::new();
        for trigger in &manifest.triggers {
            triggers.push(Arc::new(Trigger {
                guest: maker.deployed(&trigger.entry)?,
                table: trigger.table.clone(),
                on: trigger.on.clone(),
                when: trigger.when,
            }));
        }
        let mut procedures = BTreeMap::new();
        for procedure in &manifest.procedures {
            let deployed = Procedure {
                guest: maker.deployed(&procedure.entry)?,
                access: procedure.access,
                require: procedure.require.clone(),
            };
            procedures.insert(procedure.entry.name.clone(), Arc::new(deployed));
        }
        let mut scripts = BTreeMap::new();
        for script in &manifest.scripts {
            let deployed = Script {
                guest: maker.deployed(&script.entry)?,
                access: script.access,
                require: script.require.clone(),
                attempts_max: script.attempts_max,
            };
            scripts.insert(script.entry.name.clone(), Arc::new(deployed));
        }
        let mut hooks = Vec::new();
        for hook in &manifest.hooks {
            hooks.push(Arc::new(maker.deployed(hook)?));
        }
        let by_name = functions
            .iter()
            .map(|function| (function.guest.name.clone(), function.clone()))
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
            by_table: by_table(&triggers),
            triggers,
            procedures,
            scripts,
            hooks,
            schedules: manifest.schedules.clone(),
            buckets: maker.buckets,
            api: manifest.api.clone(),
            auth: Arc::new(manifest.auth.clone()),
            foreign: Arc::new(foreign),
            rates: manifest.rates,
            mail: Arc::new(MailFiles::of(app, files)),
            statics,
        })
    }

    /// Loads all components, so that the first request to each need not. What cannot be loaded now
    /// is tried again then.
    pub async fn warm(&self, components: &Components) {
        for guest in self.guests() {
            if let Err(error) = guest.target(components).await {
                tracing::error!(component.name = guest.name, %error, "a component was not loaded");
            }
        }
    }

    /// Everything that can be called.
    fn guests(&self) -> impl Iterator<Item = &Deployed> {
        let functions = self.functions.iter().map(|function| &function.guest);
        let triggers = self.triggers.iter().map(|trigger| &trigger.guest);
        let procedures = self.procedures.values().map(|procedure| &procedure.guest);
        let scripts = self.scripts.values().map(|script| &script.guest);
        let hooks = self.hooks.iter().map(|hook| &**hook);
        let guests = functions.chain(triggers).chain(procedures);
        guests.chain(scripts).chain(hooks)
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

    /// Whether anything of it happens later than the request that causes it.
    pub fn works_later(&self) -> bool {
        !self.scripts.is_empty() || !self.schedules.is_empty() || self.has_after()
    }

    /// Whether it has after-triggers.
    pub fn has_after(&self) -> bool {
        self.triggers
            .iter()
            .any(|trigger| matches!(trigger.when, When::After { .. }))
    }

    /// The scripts, as those who enqueue them must know them.
    pub fn known_scripts(&self) -> Scripts {
        self.scripts
            .iter()
            .map(|(name, script)| (name.clone(), script.attempts_max))
            .collect()
    }

    pub fn triggers(&self) -> &[Arc<Trigger>] {
        &self.triggers
    }

    /// The before-triggers of an operation on a table, in order of the manifest.
    pub fn before(
        &self,
        table: &str,
        operation: Operation,
    ) -> impl Iterator<Item = &Arc<Trigger>> + use<'_> {
        let triggers = self.by_table.get(table);
        triggers
            .into_iter()
            .flat_map(move |triggers| &triggers.before[operation as usize])
    }

    /// The after-triggers of an operation on a table, in order of the manifest.
    pub fn after(
        &self,
        table: &str,
        operation: Operation,
    ) -> impl Iterator<Item = &Arc<Trigger>> + use<'_> {
        let triggers = self.by_table.get(table);
        triggers
            .into_iter()
            .flat_map(move |triggers| &triggers.after[operation as usize])
    }

    /// The trigger called `name`.
    pub fn trigger(&self, name: &str) -> Option<&Arc<Trigger>> {
        self.triggers
            .iter()
            .find(|trigger| trigger.guest.name == name)
    }

    /// The procedure called `name`.
    pub fn procedure(&self, name: &str) -> Option<&Arc<Procedure>> {
        self.procedures.get(name)
    }

    /// In order of name.
    pub fn procedures(&self) -> impl Iterator<Item = &Arc<Procedure>> {
        self.procedures.values()
    }

    /// The script called `name`.
    pub fn script(&self, name: &str) -> Option<&Arc<Script>> {
        self.scripts.get(name)
    }

    /// The hook of `kind`.
    pub fn hook(&self, kind: Kind) -> Option<&Arc<Deployed>> {
        self.hooks.iter().find(|hook| hook.entry.kind == kind)
    }

    /// In order of name.
    pub fn scripts(&self) -> impl Iterator<Item = &Arc<Script>> {
        self.scripts.values()
    }
}

fn by_table(triggers: &[Arc<Trigger>]) -> HashMap<String, TableTriggers> {
    let mut by_table: HashMap<String, TableTriggers> = HashMap::new();
    for trigger in triggers {
        let of_table = by_table.entry(trigger.table.clone()).or_default();
        let side = match trigger.when {
            When::Before { .. } => &mut of_table.before,
            When::After { .. } => &mut of_table.after,
        };
        for operation in &trigger.on {
            side[*operation as usize].push(trigger.clone());
        }
    }
    by_table
}

/// What the entries of one revision are made with.
struct Maker<'r> {
    app: &'r App,
    number: i64,
    config: &'r BTreeMap<String, String>,
    environment: Vec<(String, String)>,
    secrets: Arc<BTreeMap<String, String>>,
    buckets: Buckets,
    scripts: Arc<Scripts>,
    /// By the path of their source.
    components: HashMap<&'r str, StoredFile>,
}

impl<'r> Maker<'r> {
    fn new(
        app: &'r App,
        number: i64,
        manifest: &'r Manifest,
        files: &Files,
        server: &ServerFacts,
        foreign: &Foreign,
    ) -> Maker<'r> {
        let components = manifest.components().into_iter();
        Maker {
            app,
            number,
            config: &manifest.config,
            environment: environment(app, server, &manifest.config, foreign),
            secrets: app.secrets.load_full(),
            buckets: manifest.buckets.iter().cloned().collect(),
            scripts: Arc::new(
                manifest
                    .scripts
                    .iter()
                    .map(|script| (script.entry.name.clone(), script.attempts_max))
                    .collect(),
            ),
            components: components
                .filter_map(|component| {
                    let file = files.get(&component_path(component.name))?;
                    Some((component.path, *file))
                })
                .collect(),
        }
    }

    fn deployed(&self, declared: &manifest::Entry) -> Result<Deployed, String> {
        let app = self.app;
        let said = |error: &dyn std::fmt::Display| format!("{declared}: {error}");
        let file = self.components.get(declared.path.as_str());
        let file = file.ok_or_else(|| said(&"its component is not in the bundle"))?;
        let granted = declared
            .secrets
            .iter()
            .map(|name| (name.clone(), self.secrets.get(name).cloned()));
        let egress = Egress::parse(&declared.egress, app.egress.clone());
        let entry = Entry {
            app_id: app.id,
            app: AppName::new(&app.name).map_err(|error| said(&error))?,
            component: ComponentName::new(&declared.name).map_err(|error| said(&error))?,
            kind: declared.kind,
            revision: self.number as u64,
            environment: self.environment.clone(),
            config: self.config.clone(),
            secrets: granted.collect(),
            egress: egress
                .map_err(|faults| faults.iter().map(|fault| said(fault)).collect::<String>())?,
            cache: app.cache.clone(),
            data: Some(app.data.clone()),
            scripts: self.scripts.clone(),
            files: app.files.clone(),
            buckets: self.buckets.clone(),
            messages: app.messages.clone(),
            memory: app.memory.clone(),
            limits: host_limits(&declared.limits),
        };
        Ok(Deployed {
            name: declared.name.clone(),
            limits: declared.limits.clone(),
            entry: Arc::new(entry),
            digest: file.digest,
            wasm: app.blob(file.digest),
            target: ArcSwapOption::empty(),
            called: AtomicBool::new(true),
            app: app.guests.clone(),
        })
    }
}

impl Trigger {
    /// Whether nothing else may change between what it reads and the write it stands before.
    pub fn serializable(&self) -> bool {
        self.when == When::Before { serializable: true }
    }
}

impl Deployed {
    /// What its invocations have in common.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The entry ready to invoke; loads its component the first time.
    ///
    /// # Errors
    /// [`ArtifactError`] when the component can neither be loaded nor compiled, or has no such handler.
    pub async fn target(&self, components: &Components) -> Result<Arc<Target>, ArtifactError> {
        self.called.store(true, Ordering::Relaxed);
        if let Some(target) = self.target.load_full() {
            return Ok(target);
        }
        let code = components.load(self.digest, &self.wasm).await?;
        components::must_serve(&code, self.entry.kind)?;
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
    /// What apps' tokens may be signed with beside their own keys (`pumice dev --compat`).
    pub shared_secret: Option<SharedSecret>,
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
    foreign: &Foreign,
) -> Vec<(String, String)> {
    let own = [
        ("SUPABASE_URL", server.app_url(&app.name)),
        ("SUPABASE_ANON_KEY", app.keys.anon()),
        ("SUPABASE_SERVICE_ROLE_KEY", app.keys.service_role()),
        // Secret keys are nowhere in plain text: who needs one makes it a secret of the app.
        (
            "SUPABASE_PUBLISHABLE_KEYS",
            app.keys.publishable().to_string(),
        ),
        ("SUPABASE_JWKS", app.keys.jwks_with(foreign).to_string()),
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
