//! What the platform refuses, and what fails it.

use pumice_host_api::data::DataError;
use pumice_host_api::data::migrate::MigrateError;
use pumice_host_api::data::postgres::ExternalError;
use pumice_host_api::permissions::PermissionError;

use super::members::MemberError;
use crate::digest::Digest;
use crate::engine::artifact::ArtifactError;
use crate::engine::check::CheckError;
use crate::functions::manifest::Fault;
use crate::keyring::Unsealable;
use crate::limits;
use crate::services::auth::AuthError;
use crate::services::auth::keys::foreign::ForeignFault;
use crate::services::mail::templates::{self, TemplateFault};

/// Why the platform refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    #[error("there is no app `{0}`; `pumice apps list` shows those there are")]
    NoApp(String),
    #[error("there is an app `{0}` already")]
    AppExists(String),
    #[error("`{0}` is no name; use 1 to 40 of a-z, 0-9 and -, beginning with a letter")]
    InvalidName(String),
    #[error("this server holds {0} apps, the most it may")]
    TooManyApps(usize),
    #[error("pumice.toml has {} fault(s)", .0.len())]
    Manifest(Vec<Fault>),
    #[error(
        "`{0}` is no path of a bundle; files are components/<name>.wasm, migrations/<name>.sql, seed.sql, mail/<letter>.html, mail/<letter>.txt and public/…"
    )]
    InvalidPath(String),
    #[error("the bundle has {0} files; {max} are the most", max = limits::REVISION_FILES_MAX)]
    TooManyFiles(usize),
    #[error("the bundle has {0} migrations; {max} are the most", max = limits::MIGRATIONS_MAX)]
    TooManyMigrations(usize),
    #[error("`{path}` has {bytes} bytes; {max} are the most")]
    FileTooLarge { path: String, bytes: u64, max: u64 },
    /// The bundle names content that was not uploaded yet.
    #[error("{} file(s) of the bundle were not uploaded yet", .0.len())]
    MissingBlobs(Vec<Digest>),
    #[error("what was sent is not what its digest says; send it again")]
    WrongDigest,
    /// `entry` as messages call it: ``function `hello` ``.
    #[error("{entry}: {reason}")]
    Component { entry: String, reason: CheckError },
    #[error("{entry}: {reason}")]
    Artifact {
        entry: String,
        reason: ArtifactError,
    },
    #[error("there is no revision {0} to go back to; `pumice apps list` shows the active one")]
    NoRevision(i64),
    #[error(
        "`{0}` is no name of a secret; use A-Z, 0-9 and _, beginning with a letter and not with SUPABASE_"
    )]
    InvalidSecretName(String),
    #[error("a secret has 1 to {max} bytes, and an app at most {count} secrets", max = limits::SECRET_BYTES_MAX, count = limits::SECRETS_MAX)]
    SecretLimits,
    #[error("there is no secret `{0}`")]
    NoSecret(String),
    #[error("there is no key `{0}`; `pumice keys list` shows those there are")]
    NoKey(String),
    /// What is wrong with a key that is to be made.
    #[error("{0}")]
    InvalidKey(String),
    #[error("there is an API key `{0}` already; revoke it first, or take another name")]
    KeyExists(String),
    #[error("an app has at most {api} API keys and {signing} signing keys; revoke those that nobody uses", api = limits::API_KEYS_MAX, signing = limits::SIGNING_KEYS_MAX)]
    TooManyKeys,
    #[error("there is no standby key to sign with from now on; make one first")]
    NoStandby,
    #[error("there is a standby key already; rotate, or revoke it")]
    StandbyExists,
    #[error("this key is the one that signs; rotate first, and revoke it then")]
    KeyInUse,
    /// `signing_key` or `accepted_keys` that cannot be used.
    #[error("{0}")]
    ForeignKeys(#[from] ForeignFault),
    #[error("the platform key is missing or wrong; it stands in the data folder's platform.json")]
    Unauthorized,
    #[error("the request is not understood: {0}")]
    BadRequest(String),
    #[error("the body is larger than this route takes; a file has at most {max} bytes", max = limits::STATIC_FILE_BYTES_MAX)]
    BodyTooLarge,
    /// Faults of templates of mails.
    #[error("{}", templates::lines(.0))]
    Mail(Vec<TemplateFault>),
    /// A migration or seed that did not run: file, line, statement.
    #[error("{0}")]
    Migration(String),
    #[error(
        "the app's database is on PostgreSQL; start the server with the --database-url it was made with"
    )]
    NoCluster,
    #[error("`{0}` is on PostgreSQL already")]
    OnPostgres(String),
    #[error(
        "this server's apps are on another PostgreSQL server, and a node knows one: name that one, or move the app with a server of its own"
    )]
    OtherCluster,
    #[error(
        "there is a database `{0}` already; if nobody needs what is in it, drop it there and move the app again"
    )]
    DatabaseExists(String),
    #[error("the PostgreSQL server cannot be used: {0}")]
    Cluster(String),
    #[error(
        "`{0}` was moved to PostgreSQL, and this server could not finish that: restart it, and it serves the app from there"
    )]
    HalfMoved(String),
    #[error(
        "a move of the app broke off and left `{target}`, which has to be dropped first and cannot be now: {cause}"
    )]
    MoveLeft { target: String, cause: String },
    /// The data is where it was.
    #[error("nothing was moved: {0}")]
    Transfer(String),
    #[error("`{0}` is not being moved")]
    NoMove(String),
    #[error(
        "`{0}` is being moved to PostgreSQL; try again when that has ended, or after a restart if it broke off"
    )]
    Moving(String),
    /// A database that cannot be registered. The text names the fix and no password.
    #[error("nothing was registered: {0}")]
    External(#[from] ExternalError),
    #[error(
        "`{0}` has tables, rows or jobs in its own database, which nobody would find again; register with a new app"
    )]
    DatabaseUsed(String),
    /// What an app wants that has an external database.
    #[error(
        "the app's database is an external one, where Pumice makes nothing: not possible are {0}"
    )]
    NotExternal(String),
    #[error(transparent)]
    Permissions(#[from] PermissionError),
    #[error(transparent)]
    Members(#[from] MemberError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("the system database failed")]
    Database(#[from] sqlx::Error),
    #[error("the data folder failed")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Sealed(#[from] Unsealable),
    #[error(transparent)]
    Keys(#[from] AuthError),
    #[error("the system database holds something unreadable: {0}")]
    Corrupt(String),
}

impl From<MigrateError> for PlatformError {
    fn from(error: MigrateError) -> PlatformError {
        match error {
            // What cannot be reached is ours; everything else is in the file.
            MigrateError::Data(error @ (DataError::Unavailable(_) | DataError::Internal(_))) => {
                PlatformError::Data(error)
            }
            MigrateError::Data(DataError::Sql(fault)) => {
                let details = fault.details.map(|details| format!("; {details}"));
                PlatformError::Migration(fault.message + &details.unwrap_or_default())
            }
            MigrateError::Data(error) => PlatformError::Migration(error.to_string()),
            MigrateError::Fault(fault) => PlatformError::Migration(fault.to_string()),
        }
    }
}
