//! `pumice permissions`: who may what in an app.

use anyhow::bail;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::remote::{app_name, connect};
use super::{AppArgs, Report};

#[derive(Subcommand)]
pub enum Permissions {
    /// Show namespaces with their actions, roles, and the first 1,000 grants.
    List,
    /// Grant a permission: `shop.refund`, or `shop.*` for all of a namespace.
    Grant {
        permission: String,
        #[command(flatten)]
        subject: Subject,
        /// Deny it instead: a deny wins over every allow.
        #[arg(long)]
        deny: bool,
        /// For this resource only, or for all that begin so: `order/*`.
        #[arg(long)]
        resource: Option<String>,
        /// Until this instant: 2026-01-02T03:04:05Z.
        #[arg(long)]
        expires_at: Option<String>,
    },
    /// Take a grant back, by its id.
    Revoke { id: String },
    /// Say whether somebody may, and which grant decides.
    Explain {
        permission: String,
        #[command(flatten)]
        subject: Subject,
        #[arg(long)]
        resource: Option<String>,
    },
}

/// Who it is about.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Subject {
    /// A role of the app, or `anon` or `authenticated`.
    #[arg(long)]
    role: Option<String>,
    /// A user, by id.
    #[arg(long)]
    user: Option<String>,
    /// An API key, by id.
    #[arg(long)]
    api_key: Option<String>,
}

impl Subject {
    fn add_to(&self, body: &mut Value) {
        for (key, value) in [
            ("role", &self.role),
            ("user", &self.user),
            ("key", &self.api_key),
        ] {
            if let Some(value) = value {
                body[key] = json!(value);
            }
        }
    }
}

pub async fn run(command: Permissions, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    let path = |rest: &str| format!("/apps/{app}/permissions/{rest}");
    match command {
        Permissions::List => {
            let get = async |rest: &str| client.json(Method::GET, &path(rest), None).await;
            let all = json!({
                "namespaces": get("namespaces").await?,
                "roles": get("roles").await?,
                "grants": get("grants?limit=1000").await?["grants"],
            });
            report.data(&all, show);
        }
        Permissions::Grant {
            permission,
            subject,
            deny,
            resource,
            expires_at,
        } => {
            let effect = if deny { "deny" } else { "allow" };
            let mut body = json!({ "permission": permission, "effect": effect });
            subject.add_to(&mut body);
            for (key, value) in [("resource", resource), ("expires_at", expires_at)] {
                if let Some(value) = value {
                    body[key] = json!(value);
                }
            }
            let made = client
                .json(Method::POST, &path("grants"), Some(&body))
                .await?;
            report.data(&made, |made| println!("{}", line(made)));
        }
        Permissions::Revoke { id } => {
            if id.contains('/') {
                bail!("`{id}` is no id of a grant; `pumice permissions list` shows them");
            }
            let grant = path(&format!("grants/{id}"));
            client.json(Method::DELETE, &grant, None).await?;
            report.data(&json!({ "revoked": id }), |_| println!("revoked {id}"));
        }
        Permissions::Explain {
            permission,
            subject,
            resource,
        } => {
            let mut body = json!({ "permission": permission, "resource": resource });
            subject.add_to(&mut body);
            let told = client
                .json(Method::POST, &path("explain"), Some(&body))
                .await?;
            report.data(&told, |told| {
                let word = if told["allowed"] == true { "yes" } else { "no" };
                println!("{word}: {}", text(told, "reason"));
                if told["grant"].is_object() {
                    println!("  {}", line(&told["grant"]));
                }
            });
        }
    }
    Ok(())
}

fn show(all: &Value) {
    let each = |key: &str| all[key].as_array().cloned().unwrap_or_default();
    for namespace in each("namespaces") {
        let (name, owner) = (text(&namespace, "name"), text(&namespace, "owner"));
        for action in namespace["actions"].as_array().into_iter().flatten() {
            let action = action.as_str().unwrap_or_default();
            println!("{:<40} of {owner}", format!("{name}.{action}"));
        }
    }
    for role in each("roles") {
        let parents = role["parents"].as_array().cloned().unwrap_or_default();
        let parents: Vec<&str> = parents.iter().filter_map(Value::as_str).collect();
        let from = match parents.is_empty() {
            true => String::new(),
            false => format!(" inherits from {}", parents.join(", ")),
        };
        println!("role {}{from}", text(&role, "name"));
    }
    for grant in each("grants") {
        println!("{}", line(&grant));
    }
}

fn line(grant: &Value) -> String {
    let mut line = format!("{} {}", text(grant, "id"), text(grant, "effect"));
    for key in ["role", "user", "key"] {
        if let Some(subject) = grant[key].as_str() {
            line.push_str(&format!(" {key} {subject}"));
        }
    }
    line.push_str(&format!(" {}", text(grant, "permission")));
    if let Some(resource) = grant["resource"].as_str() {
        line.push_str(&format!(" for {resource}"));
    }
    if let Some(until) = grant["expires_at"].as_str() {
        line.push_str(&format!(" until {until}"));
    }
    line
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
