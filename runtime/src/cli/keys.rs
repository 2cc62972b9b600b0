//! `pumice keys`: an app's API keys, and the keys that sign its tokens.

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::remote::{app_name, connect};
use super::{AppArgs, Report};

#[derive(Subcommand)]
pub enum Keys {
    /// Show the API keys and the signing keys; of a secret key its beginning.
    List,
    /// Make an API key and show it, once.
    Create {
        name: String,
        #[arg(long = "type", value_enum, default_value = "publishable")]
        kind: Kind,
        /// Where a secret key opens anything: rest, functions, auth, jobs, storage, realtime. Everywhere if
        /// not given.
        #[arg(long, value_delimiter = ',')]
        scopes: Option<Vec<String>>,
    },
    /// End an API key or a signing key at once: its id, or an API key's name.
    Revoke {
        /// Its name or id.
        #[arg(value_name = "KEY")]
        which: String,
    },
    /// Make the next signing key: others see it, and it does not sign yet.
    Standby,
    /// Sign with the next key from now on; makes one if there is none. Tokens of the old one stay good.
    Rotate,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Kind {
    /// For pages and phones: what policies give `anon`.
    Publishable,
    /// For servers: everything.
    Secret,
}

pub async fn run(command: Keys, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    let (keys, signing) = (
        format!("/apps/{app}/keys"),
        format!("/apps/{app}/signing-keys"),
    );
    match command {
        Keys::List => {
            let all = json!({
                "keys": client.json(Method::GET, &keys, None).await?,
                "signing_keys": client.json(Method::GET, &signing, None).await?,
            });
            report.data(&all, show);
        }
        Keys::Create { name, kind, scopes } => {
            let kind = match kind {
                Kind::Publishable => "publishable",
                Kind::Secret => "secret",
            };
            let wanted = json!({ "name": name, "type": kind, "scopes": scopes });
            let made = client.json(Method::POST, &keys, Some(&wanted)).await?;
            report.data(&made, |made| println!("{}", text(made, "api_key")));
        }
        Keys::Revoke { which: key } => {
            let path = path_of(&client, &keys, &signing, &key).await?;
            client.json(Method::DELETE, &path, None).await?;
            report.data(&json!({ "revoked": key }), |_| println!("revoked {key}"));
        }
        Keys::Standby => {
            let made = client.json(Method::POST, &signing, None).await?;
            report.data(&made, |made| {
                println!(
                    "{} is on standby; others know it within 10 minutes",
                    text(made, "id")
                );
            });
        }
        Keys::Rotate => {
            let path = format!("{signing}/rotate");
            let (mut status, mut answer) = client.exchange(Method::POST, &path, None).await?;
            if status == StatusCode::CONFLICT && answer["code"] == "platform.no_standby" {
                client.json(Method::POST, &signing, None).await?;
                (status, answer) = client.exchange(Method::POST, &path, None).await?;
            }
            if !status.is_success() {
                return Err(refusal(status, &answer));
            }
            report.data(&answer, |answer| {
                println!("{} signs from now on", text(answer, "id"));
            });
        }
    }
    Ok(())
}

/// Where the key with this id or name is revoked.
async fn path_of(client: &Client, keys: &str, signing: &str, key: &str) -> anyhow::Result<String> {
    for (path, names) in [(keys, &["id", "name"][..]), (signing, &["id"])] {
        let list = client.json(Method::GET, path, None).await?;
        let is = |found: &&Value| names.iter().any(|name| text(found, name) == key);
        if let Some(found) = list.as_array().into_iter().flatten().find(is) {
            return Ok(format!("{path}/{}", text(found, "id")));
        }
    }
    bail!("there is no key `{key}`; `pumice keys list` shows those there are")
}

fn show(all: &Value) {
    for key in all["keys"].as_array().into_iter().flatten() {
        let scopes = key["scopes"].as_array().map(|scopes| {
            let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
            format!(" for {}", scopes.join(", "))
        });
        println!(
            "{}  {:<12} {:<20} {}{}, used {}",
            text(key, "id"),
            text(key, "type"),
            text(key, "name"),
            text(key, "shown"),
            scopes.unwrap_or_default(),
            key["last_used_at"].as_str().unwrap_or("never")
        );
    }
    for key in all["signing_keys"].as_array().into_iter().flatten() {
        println!(
            "{}  {:<12} {:<20} since {}",
            text(key, "id"),
            text(key, "algorithm"),
            text(key, "state"),
            text(key, "changed_at")
        );
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
