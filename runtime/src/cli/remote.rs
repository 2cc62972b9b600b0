//! The commands that talk to a running server.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Subcommand;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::project::{Bundle, Project, STATE};
use super::{AppArgs, Report, ServerArgs, serve};
use crate::functions::manifest::Fault;
use crate::node::Contact;
use crate::services::platform::PlatformError;

#[derive(Subcommand)]
pub enum Apps {
    /// Show all apps.
    List,
    /// Make an app with its keys.
    Create { name: String },
    /// Delete an app with everything it has.
    Delete {
        name: String,
        /// Yes, delete it.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Subcommand)]
pub enum Secrets {
    /// Show the names of the secrets.
    List,
    /// Set a secret; its value is read from standard input.
    Set { name: String },
    /// Delete a secret.
    Delete { name: String },
}

/// Which lines `pumice logs` shows.
pub struct LogQuery {
    pub follow: bool,
    pub component: Option<String>,
    pub request_id: Option<String>,
    pub count: usize,
}

pub(super) fn connect(server: &ServerArgs) -> anyhow::Result<Client> {
    if let (Some(url), Some(key)) = (&server.server, &server.key) {
        return Ok(Client::new(Contact {
            url: url.trim_end_matches('/').to_owned(),
            key: key.clone(),
        }));
    }
    let folder = match &server.data {
        Some(data) => data.clone(),
        None => {
            let current = serve::current_folder()?;
            let found = current
                .ancestors()
                .map(|folder| folder.join(STATE).join("data"))
                .find(|data| data.is_dir());
            found.context("which server? start `pumice dev` here, or name one with --data DIR, or with --server URL --key KEY")?
        }
    };
    let contact = Contact::read(&folder).with_context(|| {
        format!(
            "no server has used {}; start one with `pumice serve --data`",
            folder.display()
        )
    })?;
    Ok(Client::new(contact))
}

/// The app that is meant: named, or the one of the current folder.
pub(super) fn app_name(args: &AppArgs) -> anyhow::Result<String> {
    if let Some(name) = &args.app {
        return Ok(name.clone());
    }
    let project =
        Project::open(&serve::current_folder()?).context("which app? name it with --app")?;
    Ok(project.manifest()?.0.name)
}

pub async fn apps(command: Apps, server: &ServerArgs, report: &Report) -> anyhow::Result<()> {
    let client = connect(server)?;
    match command {
        Apps::List => {
            let apps = client.json(Method::GET, "/apps", None).await?;
            report.data(&apps, |apps| {
                for app in apps.as_array().into_iter().flatten() {
                    let revision = app["revision"]
                        .as_i64()
                        .map_or("not deployed".to_owned(), |number| {
                            format!("revision {number}")
                        });
                    println!(
                        "{:<24} {:<14} {}",
                        text(app, "name"),
                        revision,
                        text(app, "url")
                    );
                }
            });
        }
        Apps::Create { name } => {
            let app = client
                .json(Method::POST, "/apps", Some(&json!({ "name": name })))
                .await?;
            report.data(&app, |app| {
                for key in ["url", "anon_key", "service_role_key"] {
                    println!("{key:<18}{}", text(app, key));
                }
            });
        }
        Apps::Delete { name, yes } => {
            if !yes {
                bail!("this deletes `{name}` with its files, logs and secrets; say --yes");
            }
            client
                .json(Method::DELETE, &format!("/apps/{name}"), None)
                .await?;
            report.data(&json!({ "deleted": name }), |_| println!("deleted {name}"));
        }
    }
    Ok(())
}

pub async fn push(folder: &Path, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let client = connect(&args.server)?;
    let mut project = Project::open(folder)?;
    project.build(report)?;
    let Bundle {
        name,
        manifest,
        files,
        sources,
    } = project.bundle()?;
    let name = args.app.clone().unwrap_or(name);
    let path = format!("/apps/{name}/revisions");
    let bundle = json!({ "manifest": manifest, "files": files });
    let step = report.step(format!("deploying {name}"));
    // First asked without content: what the server has already does not travel.
    let (mut status, mut answer) = client.exchange(Method::POST, &path, Some(&bundle)).await?;
    if status == StatusCode::CONFLICT && answer["code"] == "platform.missing_blobs" {
        let missing: Vec<crate::digest::Digest> = serde_json::from_value(answer["missing"].take())?;
        for digest in missing {
            let source = sources
                .get(&digest)
                .context("the server asks for a file that is not in the bundle")?;
            let bytes = Bytes::from(std::fs::read(source)?);
            let response = client
                .send(Method::PUT, &format!("/apps/{name}/blobs/{digest}"), bytes)
                .await?;
            if !response.status().is_success() {
                let (status, body) = (
                    response.status(),
                    response.into_body().collect().await?.to_bytes(),
                );
                return Err(refusal(
                    status,
                    &serde_json::from_slice(&body).unwrap_or_default(),
                ));
            }
        }
        (status, answer) = client.exchange(Method::POST, &path, Some(&bundle)).await?;
    }
    drop(step);
    if !status.is_success() {
        return Err(refusal(status, &answer));
    }
    report.data(&answer, |answer| {
        println!(
            "revision {} of {} is live",
            answer["revision"],
            text(answer, "app")
        )
    });
    Ok(())
}

pub async fn rollback(to: Option<i64>, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, name) = (connect(&args.server)?, app_name(args)?);
    let answer = client
        .json(
            Method::POST,
            &format!("/apps/{name}/rollback"),
            Some(&json!({ "to": to })),
        )
        .await?;
    report.data(&answer, |answer| {
        println!("revision {} of {name} is live", answer["revision"])
    });
    Ok(())
}

pub async fn secrets(command: Secrets, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    match command {
        Secrets::List => {
            let names = client
                .json(Method::GET, &format!("/apps/{app}/secrets"), None)
                .await?;
            report.data(&names, |names| {
                names
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .for_each(|name| println!("{name}"))
            });
        }
        Secrets::Set { name } => {
            let mut value = String::new();
            std::io::stdin()
                .read_to_string(&mut value)
                .context("the value is read from standard input")?;
            let body = json!({ "value": value.strip_suffix('\n').unwrap_or(&value) });
            client
                .json(
                    Method::PUT,
                    &format!("/apps/{app}/secrets/{name}"),
                    Some(&body),
                )
                .await?;
            report.data(&json!({ "set": name }), |_| println!("set {name}"));
        }
        Secrets::Delete { name } => {
            client
                .json(Method::DELETE, &format!("/apps/{app}/secrets/{name}"), None)
                .await?;
            report.data(&json!({ "deleted": name }), |_| println!("deleted {name}"));
        }
    }
    Ok(())
}

pub async fn logs(query: &LogQuery, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, name) = (connect(&args.server)?, app_name(args)?);
    let mut parameters = url::form_urlencoded::Serializer::new(String::new());
    parameters
        .append_pair("count", &query.count.to_string())
        .append_pair("follow", if query.follow { "true" } else { "false" });
    for (key, value) in [
        ("component", &query.component),
        ("request_id", &query.request_id),
    ] {
        if let Some(value) = value {
            parameters.append_pair(key, value);
        }
    }
    let response = client
        .send(
            Method::GET,
            &format!("/apps/{name}/logs?{}", parameters.finish()),
            Bytes::new(),
        )
        .await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let bytes = body.collect().await?.to_bytes();
        return Err(refusal(
            status,
            &serde_json::from_slice(&bytes).unwrap_or_default(),
        ));
    }
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            show_line(String::from_utf8_lossy(&line).trim_end(), report);
        }
    }
    Ok(())
}

fn show_line(line: &str, report: &Report) {
    if report.is_json() {
        return println!("{line}");
    }
    let Ok(record) = serde_json::from_str::<Value>(line) else {
        return println!("{line}");
    };
    let (time, component, request) = (
        text(&record, "time"),
        text(&record, "component"),
        text(&record, "request_id"),
    );
    let request = request.get(26..).unwrap_or(request);
    if record["type"] == "line" {
        println!(
            "{time} {component} {request} {:<5} {}",
            text(&record, "level"),
            text(&record, "message")
        );
        return;
    }
    if record["type"] == "mail" {
        let [outcome, template, to] = ["outcome", "template", "to"].map(|key| text(&record, key));
        let (reply, message) = (text(&record, "reply"), text(&record, "message"));
        println!("{time} {component} {outcome:<5} {template} to {to}: {message} {reply}");
        return;
    }
    let ms = |key: &str| record[key].as_f64().unwrap_or_default() / 1000.0;
    let fuel = record["fuel"].as_u64().unwrap_or_default();
    println!(
        "{time} {component} {request} {:<5} cpu {:.1} ms, wall {:.1} ms, fuel {fuel}",
        text(&record, "outcome"),
        ms("cpu_us"),
        ms("wall_us")
    );
    if record["message"].is_string() {
        println!("    {}", text(&record, "message"));
    }
    record["backtrace"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .for_each(|frame| println!("      at {frame}"));
}

pub async fn invoke(
    name: &str,
    body: Option<String>,
    method: &str,
    args: &AppArgs,
    report: &Report,
) -> anyhow::Result<ExitCode> {
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    let facts = client
        .json(Method::GET, &format!("/apps/{app}"), None)
        .await?;
    let body = match body.as_deref() {
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            Bytes::from(bytes)
        }
        Some(text) => Bytes::copy_from_slice(text.as_bytes()),
        None => Bytes::new(),
    };
    let uri = format!("{}/functions/v1/{name}", text(&facts, "url"));
    let response = client
        .send_to(
            method.parse()?,
            &uri,
            text(&facts, "service_role_key"),
            body,
        )
        .await?;
    let status = response.status();
    let headers: serde_json::Map<String, Value> = response
        .headers()
        .iter()
        .map(|(key, value)| {
            (
                key.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let bytes = response.into_body().collect().await?.to_bytes();
    let answer = json!({ "status": status.as_u16(), "headers": headers, "body": String::from_utf8_lossy(&bytes) });
    report.data(&answer, |_| {
        eprintln!("{status}");
        println!("{}", String::from_utf8_lossy(&bytes));
    });
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The error in full: a manifest's faults line by line, and what lies behind it.
pub fn explain(error: &PlatformError) -> anyhow::Error {
    match error {
        PlatformError::Manifest(faults) => anyhow::anyhow!(
            faults
                .iter()
                .map(Fault::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        ),
        other => anyhow::anyhow!("{other}"),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
