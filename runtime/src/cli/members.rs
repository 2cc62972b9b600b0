//! `pumice members`: who may use the platform's API.

use anyhow::Context as _;
use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::remote::connect;
use super::{Report, ServerArgs};

#[derive(Subcommand)]
pub enum Members {
    /// Show all members.
    List,
    /// Make a member; its role is owner, admin, developer, billing or viewer.
    Add { name: String, role: String },
    /// Give a member another role.
    Role { name: String, role: String },
    /// Remove a member with its tokens.
    Remove { name: String },
    /// Show a member's tokens, not what they open with.
    Tokens { name: String },
    /// Make a token of a member. It is shown once: use it as PUMICE_KEY.
    Token {
        name: String,
        /// What the token is for.
        #[arg(long, default_value = "command line")]
        label: String,
        /// How long it lives; 90 if not given.
        #[arg(long)]
        days: Option<u64>,
    },
    /// Take a token back, by its id.
    Revoke { name: String, id: String },
}

pub async fn run(command: Members, server: &ServerArgs, report: &Report) -> anyhow::Result<()> {
    let client = connect(server)?;
    match command {
        Members::List => {
            let members = client.json(Method::GET, "/members", None).await?;
            report.data(&members, |members| {
                for member in members.as_array().into_iter().flatten() {
                    println!("{:<32} {}", text(member, "name"), text(member, "role"));
                }
            });
        }
        Members::Add { name, role } => {
            let body = json!({ "name": name, "role": role });
            let made = client.json(Method::POST, "/members", Some(&body)).await?;
            report.data(&made, |_| println!("{name} is {role}"));
        }
        Members::Role { name, role } => {
            let path = path(&client, &name).await?;
            let body = json!({ "role": role });
            let changed = client.json(Method::PUT, &path, Some(&body)).await?;
            report.data(&changed, |_| println!("{name} is {role}"));
        }
        Members::Remove { name } => {
            let path = path(&client, &name).await?;
            client.json(Method::DELETE, &path, None).await?;
            report.data(&json!({ "removed": name }), |_| println!("removed {name}"));
        }
        Members::Tokens { name } => {
            let path = path(&client, &name).await? + "/tokens";
            let tokens = client.json(Method::GET, &path, None).await?;
            report.data(&tokens, |tokens| {
                for token in tokens.as_array().into_iter().flatten() {
                    println!("{} {}", text(token, "id"), text(token, "name"));
                }
            });
        }
        Members::Token { name, label, days } => {
            let path = path(&client, &name).await? + "/tokens";
            let mut body = json!({ "name": label });
            if let Some(days) = days {
                body["expires_in"] = json!(days.saturating_mul(24 * 3600));
            }
            let made = client.json(Method::POST, &path, Some(&body)).await?;
            report.data(&made, |made| println!("{}", text(made, "token")));
        }
        Members::Revoke { name, id } => {
            let path = path(&client, &name).await? + "/tokens/" + &id;
            client.json(Method::DELETE, &path, None).await?;
            report.data(&json!({ "revoked": id }), |_| println!("revoked {id}"));
        }
    }
    Ok(())
}

/// Where the member called `name` is.
async fn path(client: &Client, name: &str) -> anyhow::Result<String> {
    let members = client.json(Method::GET, "/members", None).await?;
    let mut all = members.as_array().into_iter().flatten();
    let member = all.find(|member| member["name"] == name);
    let member = member.with_context(|| {
        format!("there is no member `{name}`; `pumice members list` shows those there are")
    })?;
    Ok(format!("/members/{}", text(member, "id")))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
