//! `pumice mail`: whether an app's mails leave.

use clap::Subcommand;
use http::Method;
use serde_json::json;

use super::remote::{app_name, connect};
use super::{AppArgs, Report};

#[derive(Subcommand)]
pub enum Mail {
    /// Send the confirmation mail with sample values, and say what the SMTP server said.
    Test {
        /// To whom.
        address: String,
        /// Send it as users' mails are sent, with tries in the background; `pumice logs --component
        /// mail` shows what became of it.
        #[arg(long)]
        queue: bool,
    },
}

pub async fn run(command: Mail, args: &AppArgs, report: &Report) -> anyhow::Result<()> {
    let (client, app) = (connect(&args.server)?, app_name(args)?);
    let Mail::Test { address, queue } = command;
    let body = json!({ "to": address, "queue": queue });
    let path = format!("/apps/{app}/mail/test");
    let answer = client.json(Method::POST, &path, Some(&body)).await?;
    report.data(&answer, |answer| {
        match (answer["server"].as_str(), answer["reply"].as_str()) {
            (Some(server), Some(reply)) => println!("{server} took it: {reply}"),
            (Some(server), None) => println!("it waits for {server}"),
            (None, _) => println!("no SMTP server is set up; it is in the mailbox, /dev/mail"),
        }
    });
    Ok(())
}
