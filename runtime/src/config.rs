//! The server's settings: defaults, then `server.toml` in the data folder, then `PUMICE_*`, then
//! flags. Unknown keys are errors, and all faults are reported together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits;
use crate::services::mail::MailSettings;
use crate::services::mail::smtp::NoSmtpUrl;

/// Settings of one server process.
#[derive(Clone, Debug)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// Apps are reached at `<app>.<domain>`.
    pub domain: String,
    /// Where the server is reached from outside; its listening address if not set.
    pub public_url: Option<String>,
    /// Private networks that guests may reach, such as `10.1.0.0/16`: none by default.
    pub allow_private: Vec<ipnet::IpNet>,
    /// Proxies whose `x-forwarded-*` headers are believed: this machine's by default, so that any process
    /// on it can say that it is somebody else. `[]` believes nobody.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The PostgreSQL server that new apps' databases are made on; each app has an SQLite file without it.
    pub database_url: Option<DatabaseUrl>,
    /// Connections to that server at most.
    pub database_connections: u32,
    /// Passwords that attackers know, in the format of the Pwned Passwords downloader, ordered by hash.
    pub leaked_passwords: Option<PathBuf>,
    /// Where nodes count rate limits together; each in its own memory without it.
    pub redis_url: Option<DatabaseUrl>,
    /// Whether SQLite waits for the disk. Off only in a test which shows what that loses.
    pub sqlite_durable: bool,
    /// After which step of a move the process ends. Only in a test which shows that nothing is lost then.
    pub move_abort: Option<u32>,
    /// Whether apps believe tokens signed with the secret of `--compat`. On only in tests, which have to
    /// be signed-in users.
    pub shared_secret: bool,
    /// How mails leave.
    pub mail: MailSettings,
    pub node: limits::Node,
}

/// A connection string. It holds a password, so that its `Debug` says no more than its scheme.
#[derive(Clone)]
pub struct DatabaseUrl(pub String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.0.split_once("://").map_or("", |(scheme, _)| scheme);
        write!(f, "{scheme}://…")
    }
}

/// What is wrong with the settings, all of it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

/// The keys of `server.toml`; `PUMICE_<KEY>` in the environment.
const KEYS: &[&str] = &[
    "listen",
    "domain",
    "public_url",
    "allow_private",
    "instances",
    "app_instances",
    "app_queue",
    "queue_wait_ms",
    "connections",
    "trusted_proxies",
    "memory_mib",
    "database_url",
    "database_connections",
    "leaked_passwords",
    "redis_url",
    "smtp_url",
    "mail_from",
    "mailbox",
];

/// Keys whose value may be a password.
const SECRET: [&str; 3] = ["database_url", "redis_url", "smtp_url"];

/// Variables of the command line and of the guest compiler.
const NOT_OURS: &[&str] = &[
    "server",
    "key",
    "data",
    "cache_dir",
    "guest_toolchain",
    "bin",
    "guests",
    "test_database_url",
    "test_redis_url",
    "move_to",
];

impl Config {
    /// The settings for the data folder `data`. `environment` and `flags` override the file.
    ///
    /// # Errors
    /// Every fault, each with what to write instead.
    pub fn load(
        data: &Path,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Config, ConfigError> {
        let file = data.join("server.toml");
        let mut faults = Vec::new();
        let mut values: BTreeMap<String, (String, String)> = BTreeMap::new();
        match std::fs::read_to_string(&file) {
            Ok(text) => match text.parse::<toml::Table>() {
                Ok(table) => {
                    for (key, value) in table {
                        let text = match value {
                            toml::Value::String(text) => text,
                            toml::Value::Array(items) => items
                                .iter()
                                .map(|item| item.as_str().unwrap_or("?"))
                                .collect::<Vec<_>>()
                                .join(","),
                            other => other.to_string(),
                        };
                        values.insert(key, (text, "server.toml".to_owned()));
                    }
                }
                Err(error) => faults.push(format!("server.toml: {error}")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => faults.push(format!("{}: {error}", file.display())),
        }
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("PUMICE_").map(str::to_ascii_lowercase) else {
                continue;
            };
            if !NOT_OURS.contains(&key.as_str()) {
                values.insert(key, (value, name));
            }
        }
        for (key, value) in flags {
            values.insert((*key).to_owned(), (value.clone(), format!("--{key}")));
        }

        let mut config = Config {
            data: data.to_owned(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            domain: "localhost".to_owned(),
            public_url: None,
            allow_private: Vec::new(),
            trusted_proxies: ["127.0.0.0/8", "::1/128"]
                .iter()
                .filter_map(|net| net.parse().ok())
                .collect(),
            database_url: None,
            database_connections: 80,
            leaked_passwords: None,
            redis_url: None,
            sqlite_durable: true,
            move_abort: None,
            shared_secret: false,
            mail: MailSettings::default(),
            node: limits::Node::default(),
        };
        for (key, (value, place)) in values {
            if let Err(fix) = config.set(&key, &value) {
                let secret = SECRET.contains(&key.as_str());
                let shown = if secret { "…" } else { &value };
                faults.push(format!("{place}: `{key}` is `{shown}`; {fix}"));
            }
        }
        if config.mail.smtp.is_some() && config.mail.from.is_none() {
            faults.push(
                "`smtp_url` is set and `mail_from` is not; write who sends, such as \"Shop <no-reply@shop.example>\""
                    .to_owned(),
            );
        }
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(faults))
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let count = |max: u32| match value.parse::<u32>() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(format!("write a whole number from 1 to {max}")),
        };
        match key {
            "listen" => {
                self.listen = value
                    .parse()
                    .map_err(|_| "write an address such as 127.0.0.1:8787".to_owned())?
            }
            "domain" => self.domain = value.trim_matches('.').to_ascii_lowercase(),
            "public_url" => {
                let url: url::Url = value
                    .parse()
                    .map_err(|_| "write a URL such as https://api.example.com".to_owned())?;
                self.public_url = Some(url.as_str().trim_end_matches('/').to_owned());
            }
            "allow_private" => self.allow_private = networks(value)?,
            "trusted_proxies" => self.trusted_proxies = networks(value)?,
            "memory_mib" => self.node.memory_bytes = u64::from(count(u32::MAX)?) << 20,
            "instances" => self.node.instances = count(10_000)?,
            "app_instances" => self.node.app_instances = count(10_000)?,
            "app_queue" => self.node.app_queue = count(100_000)?,
            "queue_wait_ms" => {
                self.node.queue_wait = Duration::from_millis(u64::from(count(60_000)?))
            }
            "database_url" => {
                let known = value.starts_with("postgres://") || value.starts_with("postgresql://");
                if !known {
                    return Err(
                        "write an address such as postgres://user:password@host/postgres"
                            .to_owned(),
                    );
                }
                self.database_url = Some(DatabaseUrl(value.to_owned()));
            }
            "leaked_passwords" => {
                let path = PathBuf::from(value);
                if !path.is_file() {
                    return Err("write the path of a file that can be read".to_owned());
                }
                self.leaked_passwords = Some(path);
            }
            "redis_url" => {
                if !(value.starts_with("redis://") || value.starts_with("rediss://")) {
                    return Err("write an address such as redis://:password@host:6379".to_owned());
                }
                self.redis_url = Some(DatabaseUrl(value.to_owned()));
            }
            "smtp_url" => {
                self.mail.smtp = Some(
                    value
                        .parse()
                        .map_err(|fault: NoSmtpUrl| fault.to_string())?,
                )
            }
            "mail_from" => {
                let from = value.parse().map_err(|_| {
                    "write an address such as \"Shop <no-reply@shop.example>\"".to_owned()
                })?;
                self.mail.from = Some(from);
            }
            "mailbox" => {
                self.mail.mailbox = value
                    .parse()
                    .map_err(|_| "write true or false".to_owned())?
            }
            "test_mail_pause_ms" if cfg!(debug_assertions) => {
                self.mail.pauses = [Duration::from_millis(u64::from(count(60_000)?)); 2]
            }
            "database_connections" => self.database_connections = count(10_000)?,
            "test_sqlite_durable" if cfg!(debug_assertions) => self.sqlite_durable = value != "off",
            "test_clock" if cfg!(debug_assertions) => crate::clock::move_by(value.into()),
            "test_move_abort" if cfg!(debug_assertions) => self.move_abort = value.parse().ok(),
            "test_shared_secret" if cfg!(debug_assertions) => self.shared_secret = value == "on",
            "connections" => self.node.connections = count(1_000_000)? as usize,
            _ => return Err(format!("the keys are {}", KEYS.join(", "))),
        }
        Ok(())
    }
}

/// Networks separated by commas.
fn networks(value: &str) -> Result<Vec<ipnet::IpNet>, String> {
    let nets = value
        .split(',')
        .map(str::trim)
        .filter(|net| !net.is_empty());
    let nets: Result<_, _> = nets.map(str::parse).collect();
    nets.map_err(|_| "write networks such as [\"10.1.0.0/16\"]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_places_win_and_faults_are_told_together() {
        let folder = tempfile::tempdir().unwrap();
        let load = |environment: &[(&str, &str)], flags: &[(&str, String)]| {
            let environment = environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Config::load(
                folder.path(),
                environment.collect::<Vec<_>>().into_iter(),
                flags,
            )
        };
        assert_eq!(load(&[], &[]).unwrap().listen.port(), 8787);
        std::fs::write(
            folder.path().join("server.toml"),
            "listen = \"127.0.0.1:1\"\ninstances = 7\nallow_private = [\"10.0.0.0/8\"]\n",
        )
        .unwrap();
        let config = load(&[("PUMICE_LISTEN", "127.0.0.1:2")], &[]).unwrap();
        assert_eq!(
            (
                config.listen.port(),
                config.node.instances,
                config.allow_private.len()
            ),
            (2, 7, 1)
        );
        let config = load(
            &[("PUMICE_LISTEN", "127.0.0.1:2")],
            &[("listen", "127.0.0.1:3".to_owned())],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 3);

        std::fs::write(
            folder.path().join("server.toml"),
            "listn = 1\ninstances = 0\nleaked_passwords = \"/nowhere/at/all\"\n",
        )
        .unwrap();
        let smtp = load(&[("PUMICE_SMTP_URL", "smtp://a:hunter2@h/x")], &[]);
        let told = smtp.unwrap_err().to_string();
        assert!(
            told.contains("`smtp_url` is `…`") && !told.contains("hunter2"),
            "{told}"
        );
        let text = load(&[("PUMICE_REDIS_URL", "http://:hunter2@host")], &[]);
        let text = text.unwrap_err().to_string();
        assert!(
            text.contains("`redis_url` is `…`") && !text.contains("hunter2"),
            "{text}"
        );
        let text = load(&[], &[]).unwrap_err().to_string();
        for fault in [
            "`listn`",
            "`instances` is `0`; write a whole number",
            "`leaked_passwords` is `/nowhere/at/all`; write the path of a file",
        ] {
            assert!(text.contains(fault), "{text}");
        }
    }
}
