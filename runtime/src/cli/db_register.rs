//! `pumice db register`: a database that somebody else keeps becomes an app's.

use anyhow::Context as _;
use http::Method;
use pumice_host_api::data::postgres::preparation;
use serde_json::{Value, json};

use super::remote::{app_name, connect};
use super::{AppArgs, Report};

/// Prints what the database's administrator runs once.
pub fn print_sql(login: Option<String>, app: &AppArgs) -> anyhow::Result<()> {
    let login = match login {
        Some(login) => login,
        None => format!("pumice_{}", app_name(app)?.replace('-', "_")),
    };
    print!("{}", preparation(&login));
    Ok(())
}

/// Registers the database and says what the app cannot have there.
pub async fn run(url: Option<String>, app: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, name) = (connect(&app.server)?, app_name(app)?);
    let url = match url {
        Some(url) => url,
        None => std::io::read_to_string(std::io::stdin())
            .context("the URL is read from standard input")?,
    };
    let body = json!({ "url": url.trim() });
    let path = format!("/apps/{name}/database");
    let registered = client.json(Method::PUT, &path, Some(&body)).await?;
    report.data(&registered, |registered| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        println!("{name} has its tables in {}", text(&registered["database"]));
        println!("there it cannot have");
        for lack in registered["cannot"].as_array().into_iter().flatten() {
            println!("- {}", text(lack));
        }
    });
    Ok(())
}
