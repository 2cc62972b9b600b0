//! The command line: one file for each group of commands.

mod client;
mod db;
mod db_move;
mod db_register;
mod dev;
mod doctor;
mod r#gen;
mod init;
mod keys;
mod mail;
mod members;
mod permissions;
mod project;
mod remote;
mod report;
mod schema_diff;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use self::report::Report;

/// A backend in one binary: tables become APIs, components become functions.
#[derive(Parser)]
#[command(name = "pumice", version, max_term_width = 100)]
struct Cli {
    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new app in the folder NAME.
    Init {
        name: String,
        /// The language of its first function.
        #[arg(long, value_enum, default_value = "rust")]
        template: init::Template,
    },
    /// Serve the app of this folder, and rebuild what changes.
    Dev {
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The address; 127.0.0.1:8787, or 127.0.0.1:54321 with --compat.
        #[arg(long, alias = "address")]
        listen: Option<SocketAddr>,
        /// Accept the demo keys that everybody knows, to run a dialect's own suites. On this machine only.
        #[arg(long, value_enum)]
        compat: Option<dev::Compat>,
    },
    /// Build the components of the app of this folder into .pumice/build.
    Build {
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Serve all apps of a data folder.
    Serve {
        #[arg(long, env = "PUMICE_DATA")]
        data: PathBuf,
        /// The address; 127.0.0.1:8787 unless server.toml says otherwise.
        #[arg(long)]
        listen: Option<SocketAddr>,
        /// A PostgreSQL server for the apps' databases: postgres://user:password@host/postgres. Without
        /// it each app has an SQLite file.
        #[arg(long, env = "PUMICE_DATABASE_URL", hide_env_values = true)]
        database_url: Option<String>,
    },
    /// Manage the apps of a server.
    Apps {
        #[command(subcommand)]
        command: remote::Apps,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Build the app of this folder and switch the server to it at once.
    Push {
        #[arg(default_value = ".")]
        folder: PathBuf,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Make an earlier revision active again.
    Rollback {
        /// Its number; the one before the active one if not given.
        #[arg(long)]
        to: Option<i64>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Show what an app's guests wrote and what became of each invocation.
    Logs {
        /// Go on with new lines.
        #[arg(short, long)]
        follow: bool,
        /// Of one component only.
        #[arg(long)]
        component: Option<String>,
        /// Of one request only: the value of its x-request-id.
        #[arg(long)]
        request: Option<String>,
        /// How many lines back.
        #[arg(short = 'n', long, default_value_t = 200)]
        count: usize,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Call a function with the service key and print its answer.
    Invoke {
        name: String,
        /// The body to send; `-` reads it from standard input.
        #[arg(long)]
        body: Option<String>,
        #[arg(long, default_value = "POST")]
        method: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Manage the secrets of an app.
    Secrets {
        #[command(subcommand)]
        command: remote::Secrets,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Manage the keys of an app: API keys, and those that sign its tokens.
    Keys {
        #[command(subcommand)]
        command: keys::Keys,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Try how an app's mails leave.
    Mail {
        #[command(subcommand)]
        command: mail::Mail,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Manage who may what in an app.
    Permissions {
        #[command(subcommand)]
        command: permissions::Permissions,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Manage who may use a server's platform API.
    Members {
        #[command(subcommand)]
        command: members::Members,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Write an app's tables down for another language.
    Gen {
        #[command(subcommand)]
        command: r#gen::Gen,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Manage the database of an app.
    Db {
        #[command(subcommand)]
        command: db::Db,
    },
    /// Say what this machine offers and what is missing.
    Doctor,
    /// Compile a component: the child process of a deployment.
    #[command(name = crate::engine::compile::SUBCOMMAND, hide = true)]
    CompileComponent,
}

/// Which server to talk to: by default the one that `pumice dev` runs in this folder.
#[derive(Args)]
struct ServerArgs {
    /// The server's address; needs --key.
    #[arg(long, global = true, env = "PUMICE_SERVER", requires = "key")]
    server: Option<String>,
    /// The server's platform key (`key` in its data folder's platform.json), or a member's token.
    #[arg(long, global = true, env = "PUMICE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// The data folder of a server on this machine.
    #[arg(long, global = true, env = "PUMICE_DATA", conflicts_with = "server")]
    data: Option<PathBuf>,
}

/// Which app: by default the one of this folder.
#[derive(Args)]
struct AppArgs {
    #[arg(long, global = true)]
    app: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileComponent = &cli.command {
        return crate::engine::compile::child();
    }
    let report = Report::new(cli.json);
    match run(cli.command, &report) {
        Ok(code) => code,
        Err(error) => {
            report.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, report: &Report) -> anyhow::Result<ExitCode> {
    let runtime = serve::tokio_runtime()?;
    match command {
        Command::Init { name, template } => init::run(&name, template, report)?,
        Command::Dev {
            folder,
            listen,
            compat,
        } => runtime.block_on(dev::run(&folder, listen, compat, report))?,
        Command::Build { folder } => {
            let mut project = project::Project::open(&folder)?;
            let built = project.build(report)?;
            report.data(&built, |built| {
                built.iter().for_each(|built| {
                    println!("{}  {} bytes", built.component.display(), built.bytes)
                })
            });
        }
        Command::Serve {
            data,
            listen,
            database_url,
        } => runtime.block_on(serve::run(&data, listen, database_url))?,
        Command::Apps { command, server } => {
            runtime.block_on(remote::apps(command, &server, report))?
        }
        Command::Push { folder, app } => runtime.block_on(remote::push(&folder, &app, report))?,
        Command::Rollback { to, app } => runtime.block_on(remote::rollback(to, &app, report))?,
        Command::Logs {
            follow,
            component,
            request,
            count,
            app,
        } => {
            let query = remote::LogQuery {
                follow,
                component,
                request_id: request,
                count,
            };
            runtime.block_on(remote::logs(&query, &app, report))?;
        }
        Command::Invoke {
            name,
            body,
            method,
            app,
        } => return runtime.block_on(remote::invoke(&name, body, &method, &app, report)),
        Command::Secrets { command, app } => {
            runtime.block_on(remote::secrets(command, &app, report))?
        }
        Command::Keys { command, app } => runtime.block_on(keys::run(command, &app, report))?,
        Command::Mail { command, app } => runtime.block_on(mail::run(command, &app, report))?,
        Command::Permissions { command, app } => {
            runtime.block_on(permissions::run(command, &app, report))?
        }
        Command::Members { command, server } => {
            runtime.block_on(members::run(command, &server, report))?
        }
        Command::Gen { command, app } => runtime.block_on(r#gen::run(command, &app, report))?,
        Command::Db { command } => return runtime.block_on(db::run(command, report)),
        Command::Doctor => return doctor::run(report),
        Command::CompileComponent => {}
    }
    Ok(ExitCode::SUCCESS)
}
