//! One running server, put together from its parts.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pumice_host_api::data::DataError;
use pumice_host_api::{EgressPolicy, MemoryBudget};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine;
use crate::engine::artifact::ArtifactStore;
use crate::entries::hook::Hooks;
use crate::entries::http::Entry;
use crate::entries::procedure::Procedures;
use crate::entries::row::Triggers;
use crate::functions::components::Components;
use crate::functions::{App, Registry, ServerFacts};
use crate::invoke::Invoker;
use crate::keyring::Keyring;
use crate::logs::Logs;
use crate::server::Server;
use crate::services::auth::api::{AuthApi, Tidied};
use crate::services::auth::compat::SharedSecret;
use crate::services::auth::passwords::{Leaked, Passwords};
use crate::services::dbapi::Dbapi;
use crate::services::jobs::routes::JobsApi;
use crate::services::jobs::{self, Wakes, Worker};
use crate::services::mail::Mailer;
use crate::services::platform::databases::Databases;
use crate::services::platform::routes::Api;
use crate::services::platform::{Parts, Platform, PlatformError, routes};
use crate::services::rates::Rates;

/// A server that is ready to accept.
pub struct Node {
    pub platform: Arc<Platform>,
    pub url: String,
    pub mailer: Mailer,
    logs: Logs,
    registry: Arc<Registry>,
    server: Arc<Server>,
    worker: Arc<Worker>,
    wakes: Wakes,
    woken: mpsc::UnboundedReceiver<Weak<App>>,
    listener: TcpListener,
    _lock: File,
}

/// The one app of `pumice dev`.
pub struct Single {
    pub app: String,
    /// What opens it beside its own keys (`--compat`); none otherwise.
    pub shared_secret: Option<SharedSecret>,
}

/// Where a running server is and what opens it: `platform.json` in the data folder, for the owner's
/// eyes only. The command line finds the server by it.
#[derive(Serialize, Deserialize)]
pub struct Contact {
    pub url: String,
    pub key: String,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{path} cannot be used: {source}")]
    Data {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("another server uses this data folder; stop it first, or use another --data")]
    InUse,
    #[error("cannot listen at {address}: {source}; choose another with --listen")]
    Listen {
        address: std::net::SocketAddr,
        source: std::io::Error,
    },
    #[error(
        "the engine does not start: {0:#}; lower `instances` in server.toml if memory cannot be reserved"
    )]
    Engine(wasmtime::Error),
    #[error("the PostgreSQL server of --database-url cannot be used: {0}")]
    Database(DataError),
    #[error("redis_url cannot be used: {0}; write an address such as redis://:password@host:6379")]
    Redis(String),
    #[error("leaked_passwords cannot be used: {0}")]
    Leaked(std::io::Error),
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl Node {
    /// Opens the data folder and listens. With `single`, that app answers at every host.
    ///
    /// # Errors
    /// [`StartError`], each with what to do.
    pub async fn start(config: Config, single: Option<Single>) -> Result<Node, StartError> {
        let began = Instant::now();
        let Config {
            trusted_proxies,
            data,
            listen,
            domain,
            public_url,
            allow_private,
            database_url,
            database_connections,
            leaked_passwords,
            redis_url,
            sqlite_durable,
            move_abort,
            shared_secret,
            mail,
            node,
        } = config;
        let failed = |source| StartError::Data {
            path: data.clone(),
            source,
        };
        private_folder(&data).map_err(failed)?;
        private_folder(&data.join("apps")).map_err(failed)?;
        let data = data.canonicalize().map_err(failed)?;
        let failed = |source| StartError::Data {
            path: data.clone(),
            source,
        };
        let lock = lock(&data)?;
        let keyring = Arc::new(Keyring::open(&data).map_err(failed)?);
        let leaked = Leaked::open(leaked_passwords.as_deref()).map_err(StartError::Leaked)?;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| StartError::Listen {
                address: listen,
                source,
            })?;
        let address = listener.local_addr().map_err(failed)?;
        let url = public_url.unwrap_or_else(|| format!("http://{address}"));

        let runtime = engine::runtime_engine(&node).map_err(StartError::Engine)?;
        let linker = engine::linker(&runtime).map_err(StartError::Engine)?;
        let artifacts = ArtifactStore::open(
            runtime.clone(),
            &data.join("artifacts"),
            keyring.artifacts(),
        )
        .map_err(failed)?;
        let components = Arc::new(Components::new(artifacts, linker));
        let logs = Logs::start(&data.join("apps")).map_err(failed)?;
        let registry = Arc::new(Registry::default());
        let egress = Arc::new(EgressPolicy { allow_private });
        if mail.mailbox && single.is_none() {
            tracing::warn!(
                "`mailbox` is on: who works on this machine reads the mails of apps without an SMTP server at /dev/mail"
            );
        }
        let mailer = Mailer::new(mail, egress.clone(), logs.clone());
        let databases = Databases::open(
            &data,
            database_url.as_ref(),
            database_connections,
            sqlite_durable,
        )
        .await
        .map_err(StartError::Database)?;
        let rates = Rates::open(redis_url.as_ref()).await;
        // The error's own words may hold the URL.
        let rates = rates.map_err(|error| StartError::Redis(error.category().to_owned()))?;
        let rates = Arc::new(rates);
        let invoker = Arc::new(Invoker::new(runtime, &node, logs.clone()));
        let (called, loaded) = (invoker.clone(), components.clone());
        let (wakes, woken) = Wakes::new();
        let waking = wakes.clone();
        let facts = ServerFacts {
            url: url.clone(),
            single_app: single.is_some(),
            shared_secret: single
                .as_ref()
                .and_then(|single| single.shared_secret.clone())
                .or_else(|| shared_secret.then(SharedSecret::of_suites)),
            egress,
            memory: Arc::new(MemoryBudget::new(node.memory_bytes)),
        };
        let platform = Platform::open(Parts {
            databases,
            hooks: Box::new(move |app| {
                app.data.set_hooks(Arc::new(Triggers {
                    app: Arc::downgrade(app),
                    invoker: called.clone(),
                    components: loaded.clone(),
                    wakes: waking.clone(),
                }));
            }),
            keyring: keyring.clone(),
            registry: registry.clone(),
            components: components.clone(),
            logs: logs.clone(),
            data: data.clone(),
            server: facts.clone(),
            node: node.clone(),
            move_abort,
        });
        let platform = Arc::new(platform.await?);

        let key = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let contact = Contact {
            url: format!("http://{address}"),
            key,
        };
        contact.write(&data).map_err(failed)?;
        let api = Api {
            platform: platform.clone(),
            logs: logs.clone(),
            mailer: mailer.clone(),
            key: contact.key.as_str().into(),
        };
        let auth = AuthApi {
            passwords: Passwords::new(&node),
            leaked,
            mailer: mailer.clone(),
            rates: rates.clone(),
            hooks: Hooks {
                invoker: invoker.clone(),
                components: components.clone(),
            },
            server: facts,
            keyring,
            tidied: Tidied::default(),
        };
        let server = Arc::new(Server {
            registry: registry.clone(),
            auth: Arc::new(auth),
            dbapi: Dbapi {
                procedures: Procedures {
                    invoker: invoker.clone(),
                    components: components.clone(),
                },
                rates: rates.clone(),
            },
            jobs: JobsApi {
                clock: jobs::system_clock(),
                rates: rates.clone(),
            },
            functions: Entry {
                invoker: invoker.clone(),
                components: components.clone(),
                rates: rates.clone(),
            },
            mailer: mailer.clone(),
            rates,
            platform: routes::router(api),
            domain,
            single_app: single.map(|single| single.app),
            connections: node.connections,
            trusted_proxies,
            ready: AtomicBool::new(true),
            requests: AtomicU64::new(0),
        });
        tracing::info!(%url, apps = registry.all().len(), ready_ms = began.elapsed().as_millis() as u64, "ready");
        Ok(Node {
            platform,
            url,
            mailer,
            logs,
            registry,
            server,
            worker: Worker::new(invoker, components, jobs::system_clock()),
            wakes,
            woken,
            listener,
            _lock: lock,
        })
    }

    /// Serves until `stop` resolves.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let stopping = CancellationToken::new();
        let working = self.worker.serve(
            self.registry.clone(),
            self.wakes,
            self.woken,
            stopping.clone(),
        );
        let working = tokio::spawn(working);
        let mailing = tokio::spawn(self.mailer.work(stopping.clone()));
        let platform = self.platform.clone();
        let sweeper = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(crate::limits::DATABASE_IDLE);
            let mut swept = Instant::now();
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                note_uses(&platform).await;
                if swept.elapsed() >= crate::limits::COMPONENT_IDLE {
                    self.registry.sweep();
                    swept = Instant::now();
                }
                let apps = self.registry.all();
                // Closing a file copies its log and waits for the disk.
                let closed = tokio::task::spawn_blocking(move || {
                    for app in apps {
                        app.data.close_idle(crate::limits::DATABASE_IDLE);
                    }
                });
                let _ = closed.await;
            }
        });
        self.server.clone().run(self.listener, stop).await;
        self.server.ready.store(false, Ordering::Relaxed);
        sweeper.abort();
        note_uses(&self.platform).await;
        stopping.cancel();
        // Each app's task waits for its own jobs, and then gives them back.
        let _ = tokio::time::timeout(crate::limits::JOBS_STOP_WAIT * 2, working).await;
        // It ends by itself, and says in the logs what was lost.
        let _ = mailing.await;
        let _ = tokio::time::timeout(Duration::from_secs(5), self.logs.flush()).await;
    }
}

/// Stores when API keys were last seen: once in a minute, and at the end.
async fn note_uses(platform: &Platform) {
    if let Err(error) = platform.note_uses().await {
        tracing::error!(%error, "when API keys were last used was not stored");
    }
}

impl Contact {
    const FILE: &str = "platform.json";

    fn write(&self, data: &Path) -> std::io::Result<()> {
        use std::io::Write as _;
        let fresh = data.join("platform.json.tmp");
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(fresh, data.join(Self::FILE))
    }

    /// The contact of the server that last used `data`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(data: &Path) -> std::io::Result<Contact> {
        Ok(serde_json::from_slice(&std::fs::read(
            data.join(Self::FILE),
        )?)?)
    }
}

/// Holds the data folder for this process: two servers on one folder would overwrite each other.
fn lock(data: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Data {
        path: data.to_owned(),
        source,
    };
    let file = File::create(data.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes a folder that only its owner can look into; one that is there stays as it is.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}
