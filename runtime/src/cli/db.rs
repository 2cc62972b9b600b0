//! `pumice db`: the database that `pumice dev` keeps for the app of a folder.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use http::{Method, StatusCode};
use pumice_host_api::data::ddl::{self, Applied, Lint, MigrationFile, Remark};
use pumice_host_api::data::{Engine, Schema};
use serde_json::json;

use super::client::{Client, refusal};
use super::project::Project;
use super::{AppArgs, Report, db_move, db_register, schema_diff, serve};
use crate::config::Config;
use crate::functions::App;
use crate::functions::bundle::{self, MIGRATIONS, SEED};
use crate::functions::manifest::Manifest;
use crate::node::{Contact, Node, Single, StartError};
use crate::services::platform::maintenance::Sources;

#[derive(Subcommand)]
pub enum Db {
    /// Run the migrations that have not run yet, and seed.sql if it never has.
    Migrate {
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Drop all data of the app's database, and run all migrations and seed.sql.
    Reset {
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Yes, drop it.
        #[arg(long)]
        yes: bool,
    },
    /// Check all migrations without running them.
    Lint {
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Show which files have not run, and how the tables differ from what the files say.
    Diff {
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Move an app's data from its SQLite file to a PostgreSQL server, while it is served.
    Move {
        /// The server, as who may make databases there: postgres://user:password@host/postgres.
        #[arg(long, env = "PUMICE_MOVE_TO", hide_env_values = true)]
        to: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Make a PostgreSQL database that somebody else keeps the app's.
    #[command(visible_alias = "regdb")]
    Register {
        /// postgres://user:password@host/database; read from standard input if not given.
        #[arg(long)]
        url: Option<String>,
        /// Print what the database's administrator runs once, and register nothing.
        #[arg(long, conflicts_with = "url")]
        sql: bool,
        /// With --sql: the name of the login; pumice_<app> if not given.
        #[arg(long, requires = "sql")]
        login: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

pub async fn run(command: Db, report: &Report) -> anyhow::Result<ExitCode> {
    match command {
        Db::Migrate { folder } => migrate(&Folder::open(&folder)?, report).await?,
        Db::Reset { folder, yes } => reset(&Folder::open(&folder)?, yes, report).await?,
        Db::Lint { folder } => return lint(&Folder::open(&folder)?, report).await,
        Db::Diff { folder } => diff(&Folder::open(&folder)?, report).await?,
        Db::Move { to, app } => db_move::run(&to, &app, report).await?,
        Db::Register {
            sql: true,
            login,
            app,
            ..
        } => db_register::print_sql(login, &app)?,
        Db::Register { url, app, .. } => db_register::run(url, &app, report).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn migrate(folder: &Folder, report: &Report) -> anyhow::Result<()> {
    let Some(here) = folder.node().await? else {
        bail!(
            "a server uses {}: `pumice dev` runs new migrations by itself as they are saved; stop it to run them here",
            folder.data().display()
        );
    };
    let sources = folder.sources.clone();
    let ran = here
        .node
        .platform
        .migrate_files(&here.app, &folder.manifest, sources)
        .await?;
    told(&ran, report);
    Ok(())
}

async fn reset(folder: &Folder, yes: bool, report: &Report) -> anyhow::Result<()> {
    let name = &folder.manifest.name;
    if !yes && !confirmed(name)? {
        bail!("this drops all rows, users and jobs of `{name}`; say --yes");
    }
    let Some(here) = folder.node().await? else {
        bail!(
            "a server uses {}; stop it before its database goes",
            folder.data().display()
        );
    };
    let sources = folder.sources.clone();
    let ran = here
        .node
        .platform
        .reset(&here.app, &folder.manifest, sources)
        .await?;
    told(&ran, report);
    Ok(())
}

/// Asks whoever sits at a terminal.
fn confirmed(name: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Drop all rows, users and jobs of `{name}`? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn told(ran: &[String], report: &Report) {
    report.data(&json!({ "ran": ran }), |_| {
        for file in ran {
            println!("ran {}", path(file));
        }
        if ran.is_empty() {
            println!("nothing to run");
        }
    });
}

async fn lint(folder: &Folder, report: &Report) -> anyhow::Result<ExitCode> {
    // A folder that was never served has no database, and nothing has run.
    let applied = match folder.data().is_dir() {
        true => folder.state(false).await?.applied,
        false => Vec::new(),
    };
    let Sources { files, seed } = &folder.sources;
    let found: Lint = ddl::lint(&applied, files, seed.as_deref());
    report.data(&found, |found| {
        for remark in &found.faults {
            println!("{}", line("error", remark));
        }
        for remark in &found.notes {
            println!("{}", line("info", remark));
        }
        if found.faults.is_empty() {
            println!("{} files, no faults", files.len());
        }
    });
    Ok(match found.faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn line(kind: &str, remark: &Remark) -> String {
    let Remark {
        place,
        message,
        fix,
    } = remark;
    let mut text = match place.as_str() {
        "" => format!("{kind}: {message}"),
        place => format!("{place}: {kind}: {message}"),
    };
    if !fix.is_empty() {
        text = format!("{text}; {fix}");
    }
    text
}

async fn diff(folder: &Folder, report: &Report) -> anyhow::Result<()> {
    let state = folder.state(true).await?;
    let (pending, faults) = ddl::check(&state.applied, &folder.sources.files);
    let pending: Vec<&str> = pending.iter().map(|file| file.name.as_str()).collect();
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let intended = state.intended.context("the files were not read")?;
    let lines = schema_diff::lines(&state.schema, &intended);
    let answer = json!({ "pending": pending, "faults": faults, "tables": lines });
    report.data(&answer, |_| {
        for file in &pending {
            println!("pending {}", path(file));
        }
        for fault in &faults {
            println!("error: {fault}");
        }
        lines.iter().for_each(|line| println!("{line}"));
        if pending.is_empty() && faults.is_empty() && lines.is_empty() {
            println!("the tables are as the files say");
        }
    });
    Ok(())
}

fn path(file: &str) -> String {
    match file {
        SEED => file.to_owned(),
        file => format!("{MIGRATIONS}{file}"),
    }
}

/// An app's folder, read.
struct Folder {
    project: Project,
    manifest: Manifest,
    sources: Sources,
}

/// The app's database, for this process alone.
struct Here {
    node: Node,
    app: Arc<App>,
}

/// What a database says of itself.
struct State {
    applied: Vec<Applied>,
    schema: Schema,
    /// What it would be by the files, if asked for.
    intended: Option<Schema>,
}

impl Folder {
    fn open(folder: &Path) -> anyhow::Result<Folder> {
        let project = Project::open(folder)?;
        let (manifest, _) = project.manifest()?;
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))
        };
        let mut sources = Sources::default();
        let migrations = project.folder.join(MIGRATIONS);
        if migrations.is_dir() {
            for entry in std::fs::read_dir(&migrations).context("migrations cannot be read")? {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                if let Some(name) = name.filter(|name| bundle::is_migration(name)) {
                    sources.files.push(MigrationFile {
                        name: name.to_owned(),
                        source: read(&path)?,
                    });
                }
            }
        }
        sources.files.sort_by(|a, b| a.name.cmp(&b.name));
        let seed = project.folder.join(SEED);
        if seed.is_file() {
            sources.seed = Some(read(&seed)?);
        }
        Ok(Folder {
            project,
            manifest,
            sources,
        })
    }

    fn data(&self) -> PathBuf {
        self.project.state().join("data")
    }

    /// Opens the data folder as `pumice dev` does, serving nothing. None while a server has it.
    async fn node(&self) -> anyhow::Result<Option<Here>> {
        let name = &self.manifest.name;
        let listen = [("listen", "127.0.0.1:0".to_owned())];
        let config = Config::load(&self.data(), serve::environment_all(), &listen)?;
        let single = Single {
            app: name.clone(),
            shared_secret: None,
        };
        let node = match Node::start(serve::with_descriptors(config), Some(single)).await {
            Err(StartError::InUse) => return Ok(None),
            node => node?,
        };
        let app = match node.platform.app(name) {
            Ok(app) => app,
            Err(_) => node.platform.create_app(name).await?,
        };
        Ok(Some(Here { node, app }))
    }

    /// Asks the database, or the server that has it. `intended` as in [`State`].
    async fn state(&self, intended: bool) -> anyhow::Result<State> {
        if let Some(Here { node, app }) = self.node().await? {
            let files = self.sources.files.clone();
            return Ok(State {
                applied: node.platform.applied(&app).await?,
                schema: Schema::clone(&*app.data.schema().await?),
                intended: match intended {
                    true => Some(node.platform.intended(&app, files).await?),
                    false => None,
                },
            });
        }
        let contact = Contact::read(&self.data()).context("the server cannot be found")?;
        let client = Client::new(contact);
        let name = &self.manifest.name;
        let ask = async |what: &str| {
            let path = format!("/apps/{name}/{what}");
            let (status, answer) = client.exchange(Method::GET, &path, None).await?;
            match status {
                StatusCode::OK => Ok(answer),
                status => Err(refusal(status, &answer)),
            }
        };
        let applied = serde_json::from_value(ask("migrations").await?)?;
        let schema: Schema = serde_json::from_value(ask("schema").await?)?;
        let files = &self.sources.files;
        let intended = match (intended, schema.engine) {
            (false, _) => None,
            (true, Engine::Sqlite) => Some(ddl::intended(files)?.schema()),
            (true, Engine::Postgres) => bail!(
                "a server uses {}, and on PostgreSQL the files are tried in a database of their own; stop it first",
                self.data().display()
            ),
        };
        Ok(State {
            applied,
            schema,
            intended,
        })
    }
}
