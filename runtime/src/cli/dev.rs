//! `pumice dev`: serves the app of a folder, and rebuilds and redeploys what changes in it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pumice_host_api::AppId;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Report;
use super::project::{Bundle, Project};
use super::serve::{environment, environment_all};
use crate::config::Config;
use crate::functions::App;
use crate::node::{Node, Single};
use crate::services::auth::compat::{self, SharedSecret};
use crate::services::mail::mailbox::Kept;
use crate::services::mail::routes::DEV_MAIL;
use crate::services::platform::Platform;
use crate::{server, telemetry};

/// How often the folder is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(40);

/// Whose own suites are to run against the app.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Compat {
    Supabase,
}

pub async fn run(
    folder: &Path,
    listen: Option<SocketAddr>,
    compat: Option<Compat>,
    report: &Report,
) -> anyhow::Result<()> {
    let port = compat.map_or(8787, |Compat::Supabase| 54321);
    let listen = listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)));
    anyhow::ensure!(
        compat.is_none() || listen.ip().is_loopback(),
        "--compat accepts keys that everybody knows; listen at 127.0.0.1 or [::1]"
    );
    telemetry::start(Some(environment("RUST_LOG").as_deref().unwrap_or("warn")));
    let project = Project::open(folder)?;
    let (manifest, _) = project.manifest()?;
    let data = project.state().join("data");
    let flags = [
        ("listen", listen.to_string()),
        ("mailbox", true.to_string()),
    ];
    let config = Config::load(&data, environment_all(), &flags)?;
    let node = Node::start(
        super::serve::with_descriptors(config),
        Some(Single {
            app: manifest.name.clone(),
            shared_secret: compat.map(|Compat::Supabase| SharedSecret::of_suites()),
        }),
    )
    .await?;
    let app = match node.platform.app(&manifest.name) {
        Ok(app) => app,
        Err(_) => node.platform.create_app(&manifest.name).await?,
    };
    let facts = json!({
        "url": node.url, "app": app.name, "anon_key": app.keys.anon(), "service_role_key": app.keys.service_role(),
    });
    let file = project.state().join("dev.json");
    write_private(&file, &serde_json::to_vec_pretty(&facts)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    let text = format!(
        "serving {} at {}\nanon key: {}\nservice_role key: in {}",
        app.name,
        node.url,
        app.keys.anon(),
        file.display()
    );
    event(report, "serving", &facts, &text);
    if let Some(Compat::Supabase) = compat {
        let demo = |role| compat::demo_key(role).unwrap_or_default();
        let facts = json!({ "anon_key": demo("anon"), "service_role_key": demo("service_role") });
        let text = format!(
            "WARNING: --compat supabase: EVERYBODY KNOWS THE SECRET that now opens this app and all its data.\nUse it for the dialect's own suites and for nothing else.\ndemo anon key: {}\ndemo service_role key: {}",
            facts["anon_key"].as_str().unwrap_or_default(),
            facts["service_role_key"].as_str().unwrap_or_default()
        );
        event(report, "compat", &facts, &text);
    }

    let (platform, url) = (node.platform.clone(), node.url.clone());
    let watcher = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn({
            let report = Report::new(report.is_json());
            let handle = tokio::runtime::Handle::current();
            move || watch(project, &platform, &app, &url, &report, &handle)
        })?;
    let telling = tokio::spawn(tell_mails(
        node.mailer.kept(),
        node.url.clone(),
        Report::new(report.is_json()),
    ));
    node.serve(server::stop_signal()).await;
    telling.abort();
    // It ends with the process; a build under way is not waited for.
    drop(watcher);
    Ok(())
}

/// Prints each mail that comes into the mailbox: the fastest way to its code and link.
async fn tell_mails(
    mut mails: broadcast::Receiver<(AppId, Arc<Kept>)>,
    url: String,
    report: Report,
) {
    loop {
        let mail = match mails.recv().await {
            Ok((_, mail)) => mail,
            // Many at once: the page has them.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let link = mail.links.first();
        let facts = json!({
            "to": mail.to, "template": mail.template, "subject": mail.subject, "link": link, "code": mail.token,
        });
        let shown = link.map_or_else(String::new, |link| format!(" link {link}"));
        let text = format!(
            "mail to {}: {} code {}{shown} (all: {url}{DEV_MAIL})",
            mail.to, mail.subject, mail.token
        );
        event(&report, "mail", &facts, &text);
    }
}

/// Builds and deploys now and after each change. Whatever fails, the old revision goes on serving.
fn watch(
    mut project: Project,
    platform: &Platform,
    app: &Arc<App>,
    url: &str,
    report: &Report,
    handle: &tokio::runtime::Handle,
) {
    loop {
        let seen = project.watched();
        match build_and_deploy(&mut project, platform, app, handle) {
            Ok((answer, took)) => {
                let text = format!(
                    "revision {} is live at {url} ({} ms)",
                    answer["revision"],
                    took.as_millis()
                );
                event(report, "deployed", &answer, &text);
            }
            Err(error) => {
                let text = format!("{error:#}");
                let still = app.revision.load().as_ref().map(|revision| revision.number);
                let rest = still.map_or_else(String::new, |number| {
                    format!("\nrevision {number} goes on serving")
                });
                event(
                    report,
                    "failed",
                    &json!({ "error": text, "serving": still }),
                    &format!("error: {text}{rest}"),
                );
            }
        }
        let mut now = seen;
        while now == seen {
            std::thread::sleep(LOOK_AGAIN);
            now = project.watched();
        }
        // Editors write in several steps: what is built is what stands still.
        loop {
            std::thread::sleep(LOOK_AGAIN);
            let next = project.watched();
            if next == now {
                break;
            }
            now = next;
        }
    }
}

fn build_and_deploy(
    project: &mut Project,
    platform: &Platform,
    app: &Arc<App>,
    handle: &tokio::runtime::Handle,
) -> anyhow::Result<(Value, Duration)> {
    let began = std::time::Instant::now();
    project.build(&Report::new(false))?;
    let Bundle {
        name,
        manifest,
        files,
        sources,
    } = project.bundle()?;
    anyhow::ensure!(
        name == app.name,
        "the app is called `{name}` now; stop `pumice dev` and start it again"
    );
    let deployed = handle.block_on(async {
        for (digest, source) in &sources {
            if !tokio::fs::try_exists(app.blob(*digest)).await? {
                platform
                    .put_blob(app, *digest, &tokio::fs::read(source).await?)
                    .await?;
            }
        }
        platform
            .deploy(app, &manifest, files, true)
            .await
            .map_err(|error| super::remote::explain(&error))
    })?;
    Ok((serde_json::to_value(deployed)?, began.elapsed()))
}

fn event(report: &Report, name: &str, data: &Value, text: &str) {
    let mut data = data.clone();
    data["event"] = name.into();
    report.data(&data, |_| println!("{text}"));
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}
