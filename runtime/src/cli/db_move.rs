//! `pumice db move`: an app's data from its SQLite file to PostgreSQL.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::client::{Client, refusal};
use super::remote::{app_name, connect};
use super::{AppArgs, Report};

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// Moves the app and says what is there now.
///
/// # Errors
/// The server's refusal; the app goes on as it was then.
pub async fn run(to: &str, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, name) = (connect(&args.server)?, app_name(args)?);
    let path = format!("/apps/{name}/move");
    let step = report.step(format!("moving {name} to PostgreSQL"));
    let body = json!({ "to": to });
    let moving = client.exchange(Method::POST, &path, Some(&body));
    let (status, answer) = tokio::select! {
        answer = moving => answer?,
        never = tell(&client, &path, report) => match never {},
    };
    drop(step);
    if !status.is_success() {
        return Err(refusal(status, &answer));
    }
    report.data(&answer, |answer| {
        for table in answer["tables"].as_array().into_iter().flatten() {
            println!(
                "{:<32} {:>10} rows  {}",
                text(table, "table"),
                table["rows"].as_u64().unwrap_or_default(),
                text(table, "digest")
            );
        }
        println!(
            "{name} is at {} now; writes were refused for {} ms. Its SQLite file stays as it was, read-only.",
            text(answer, "target"),
            answer["refused_ms"]
        );
    });
    Ok(())
}

/// Says how far it is, as often as that changes.
async fn tell(client: &Client, path: &str, report: &Report) -> std::convert::Infallible {
    let mut told = Value::Null;
    loop {
        tokio::time::sleep(LOOK).await;
        // That it has not begun, or has ended, is said elsewhere.
        let Ok((status, progress)) = client.exchange(Method::GET, path, None).await else {
            continue;
        };
        if !status.is_success() || progress == told {
            continue;
        }
        match progress["table"].as_str() {
            Some(table) => report.note(&format!("  {table}: {} rows", progress["rows"])),
            None => report.note(&format!("  {}", text(&progress, "step"))),
        }
        told = progress;
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
