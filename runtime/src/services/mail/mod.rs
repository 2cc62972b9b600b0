//! Mail for the flows of `/auth/v1`: rendered at once, sent later by the node itself.
//!
//! Nobody who asks for a mail waits for an SMTP server, so that an address that is known and one that is
//! not are answered in the same time. What waits is in memory: a crash loses it, and users ask again.

mod dialect;
pub mod mailbox;
mod message;
mod queue;
pub mod routes;
pub mod smtp;
pub mod templates;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chrono::{SecondsFormat, Utc};
use lettre::message::{Mailbox as From, Message};
use parking_lot::Mutex;
use pumice_host_api::{AppId, EgressPolicy};
use serde::Serialize;
use serde_json::Map;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::mailbox::Kept;
use self::message::{address, message, redacted};
use self::queue::{Queue, Waiting};
use self::smtp::{Failed, Post, Route, SmtpUrl, Taken};
use self::templates::Rendered;
use crate::functions::App;
use crate::limits;
use crate::logs::{Body, Logs, MailRecord, Record};
use crate::services::auth::fault::Fault;

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Letter {
    Confirmation,
    Invite,
    MagicLink,
    Recovery,
    EmailChange,
    Reauthentication,
}

impl Letter {
    pub const ALL: [Letter; 6] = [
        Letter::Confirmation,
        Letter::Invite,
        Letter::MagicLink,
        Letter::Recovery,
        Letter::EmailChange,
        Letter::Reauthentication,
    ];

    /// Its template's name.
    pub const fn name(self) -> &'static str {
        match self {
            Letter::Confirmation => "confirmation",
            Letter::Invite => "invite",
            Letter::MagicLink => "magic_link",
            Letter::Recovery => "recovery",
            Letter::EmailChange => "email_change",
            Letter::Reauthentication => "reauthentication",
        }
    }
}

/// A mail to be sent: what its template may name.
pub struct Mail<'a> {
    pub letter: Letter,
    /// One address without a name.
    pub to: &'a str,
    /// Where the mail leads.
    pub confirmation_url: Option<&'a str>,
    /// The code in it.
    pub token: &'a str,
    pub token_hash: &'a str,
    pub site_url: &'a str,
    /// The user's address, which a mail about its change is not always sent to.
    pub email: &'a str,
    pub new_email: Option<&'a str>,
    pub redirect_to: &'a str,
    /// The user's own metadata. Templates see none of what has more than
    /// [`limits::MAIL_DATA_BYTES_MAX`].
    pub data: &'a Map<String, serde_json::Value>,
}

/// Why no mail was or will be sent. No variant quotes code, link, password or recipient, except
/// [`Refused`](MailError::Refused) by an SMTP server, whose words may be anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// With how to set it up.
    #[error("mail is not set up: {0}")]
    NotConfigured(String),
    /// With file and line.
    #[error("a template of the app's mail is faulty: {0}")]
    Template(String),
    /// For good: an address or subject that cannot be, or what the SMTP server said.
    #[error("the mail was refused: {0}")]
    Refused(String),
    /// For now.
    #[error("the mail cannot be sent now: {0}")]
    Unavailable(String),
}

impl std::convert::From<MailError> for Fault {
    fn from(error: MailError) -> Fault {
        use http::StatusCode;
        match error {
            MailError::Unavailable(_) => Fault {
                cause: Some(error.to_string()),
                ..Fault::overloaded()
            },
            MailError::Refused(_) => Fault::new(
                StatusCode::BAD_REQUEST,
                "email_address_invalid",
                "No email can be sent to this address",
            ),
            MailError::NotConfigured(_) | MailError::Template(_) => Fault {
                cause: Some(error.to_string()),
                ..Fault::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "unexpected_failure",
                    "Error sending email",
                )
            },
        }
    }
}

/// What the server's settings say of mail.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The operator's SMTP server, for apps that have none of their own.
    pub smtp: Option<SmtpUrl>,
    /// Who sends through it. There whenever `smtp` is.
    pub from: Option<From>,
    /// Whether mails of apps without an SMTP server are kept for the developer.
    pub mailbox: bool,
    /// Before the second try and before the third.
    pub pauses: [Duration; 2],
}

impl Default for MailSettings {
    fn default() -> MailSettings {
        MailSettings {
            smtp: None,
            from: None,
            mailbox: false,
            pauses: limits::MAIL_PAUSES,
        }
    }
}

/// Sends the node's mails. Cheap to clone.
#[derive(Clone)]
pub struct Mailer(Arc<Inner>);

struct Inner {
    settings: MailSettings,
    post: Post,
    queue: Mutex<Queue>,
    changed: Notify,
    logs: Logs,
    sent: AtomicU64,
    /// Apps that were told how to set mail up.
    told: Mutex<HashSet<AppId>>,
    kept: broadcast::Sender<(AppId, Arc<Kept>)>,
}

/// How an app's mails leave.
enum Way {
    Smtp(Box<Out>),
    /// They stay, in the mailbox.
    Kept {
        from: String,
    },
}

/// By whose server, and from whom.
struct Out {
    route: Route,
    from: From,
    reply_to: Option<From>,
}

/// A mail that was tried.
type Tried = (Waiting, Result<Taken, Failed>);

/// What became of a mail to try the settings.
#[derive(Debug, Serialize)]
pub struct Tested {
    pub template: &'static str,
    /// Host and port of the SMTP server; none if the mail is in the mailbox.
    pub server: Option<String>,
    /// What the SMTP server said; none if nobody has waited for it.
    pub reply: Option<String>,
}

impl Mailer {
    /// `policy` says which servers may be reached without TLS. Nothing is sent before
    /// [`work`](Self::work).
    pub fn new(settings: MailSettings, policy: Arc<EgressPolicy>, logs: Logs) -> Mailer {
        Mailer(Arc::new(Inner {
            settings,
            post: Post::new(policy),
            queue: Mutex::default(),
            changed: Notify::new(),
            logs,
            sent: AtomicU64::new(0),
            told: Mutex::default(),
            kept: broadcast::channel(64).0,
        }))
    }

    /// Renders now, hands over to the app's part of the queue and returns: nobody waits for an SMTP
    /// server.
    ///
    /// # Errors
    /// [`MailError::NotConfigured`], which is logged once for an app; [`MailError::Template`];
    /// [`MailError::Refused`] for an address or a subject with a line break;
    /// [`MailError::Unavailable`] when the queue is full.
    pub async fn send(&self, app: &Arc<App>, mail: Mail<'_>) -> Result<(), MailError> {
        let way = self.way(app).inspect_err(|error| self.tell(app, error))?;
        let to = address(mail.to)?;
        let rendered = render(app, &mail).await?;
        match way {
            Way::Kept { from } => {
                self.keep(app, &mail, from, rendered);
                Ok(())
            }
            Way::Smtp(out) => {
                let message = message(out.from, out.reply_to, to, rendered)?;
                self.hand_over(app, &mail, out.route, &message)
            }
        }
    }

    /// Whether mails of the app go anywhere. Whoever answers the same for known and unknown addresses
    /// asks before it looks one up.
    ///
    /// # Errors
    /// [`MailError::NotConfigured`].
    pub fn ready(&self, app: &App) -> Result<(), MailError> {
        self.way(app)
            .map(|_| ())
            .inspect_err(|error| self.tell(app, error))
    }

    /// Sends the confirmation with sample values. With `queued` as any other; else in one try that is
    /// waited for.
    ///
    /// # Errors
    /// As [`send`](Self::send); what the SMTP server said stands in the error.
    pub async fn test(
        &self,
        app: &Arc<App>,
        site_url: &str,
        to: &str,
        queued: bool,
    ) -> Result<Tested, MailError> {
        let url = format!("{site_url}/auth/v1/verify?token=SAMPLE&type=signup");
        let data = Map::from_iter([("name".to_owned(), "Ada".into())]);
        let mail = Mail {
            letter: Letter::Confirmation,
            to,
            confirmation_url: Some(&url),
            token: "123456",
            token_hash: "SAMPLE",
            site_url,
            email: to,
            new_email: None,
            redirect_to: site_url,
            data: &data,
        };
        let template = mail.letter.name();
        let Out {
            route,
            from,
            reply_to,
        } = match self.way(app)? {
            Way::Smtp(out) => *out,
            Way::Kept { .. } => {
                self.send(app, mail).await?;
                return Ok(Tested {
                    template,
                    server: None,
                    reply: None,
                });
            }
        };
        let to = address(mail.to)?;
        let message = message(from, reply_to, to, render(app, &mail).await?)?;
        let server = Some(route.url.place());
        if queued {
            self.hand_over(app, &mail, route, &message)?;
            return Ok(Tested {
                template,
                server,
                reply: None,
            });
        }
        let (envelope, bytes) = (message.envelope().clone(), message.formatted());
        let tried = self.0.post.send(&route, &envelope, &bytes).await;
        self.write(app.id, mail.letter, redacted(mail.to), 1, &tried, false);
        match tried {
            Ok(taken) => Ok(Tested {
                template,
                server,
                reply: Some(taken.reply),
            }),
            Err(failed) if failed.again => Err(MailError::Unavailable(failed.words)),
            Err(failed) => Err(MailError::Refused(failed.words)),
        }
    }

    /// Mails that SMTP servers have taken since the start.
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Mails as they come into mailboxes.
    pub fn kept(&self) -> broadcast::Receiver<(AppId, Arc<Kept>)> {
        self.0.kept.subscribe()
    }

    /// Sends what waits until `stopping`, and then once more what still waits, for
    /// [`limits::MAIL_STOP_WAIT`] at most.
    pub async fn work(self, stopping: CancellationToken) {
        let mut sending = JoinSet::new();
        let given_up = CancellationToken::new();
        loop {
            let now = Instant::now();
            self.begin(&mut sending, &given_up, now);
            let due = self.0.queue.lock().due(now);
            let wake = due.into_iter().chain(self.0.post.tidy()).min();
            let woken = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(tried) = sending.join_next() => self.end(tried, false),
                () = self.0.changed.notified() => {}
                () = woken => {}
                () = stopping.cancelled() => break,
            }
        }
        self.0.queue.lock().close(Instant::now());
        let last = async {
            loop {
                self.begin(&mut sending, &given_up, Instant::now());
                match sending.join_next().await {
                    Some(tried) => self.end(tried, true),
                    None => break,
                }
            }
        };
        let ended = tokio::time::timeout(limits::MAIL_STOP_WAIT, last).await;
        if ended.is_ok() {
            return;
        }
        given_up.cancel();
        while let Some(tried) = sending.join_next().await {
            self.end(tried, true);
        }
        let left = self.0.queue.lock().drain();
        for mail in left {
            let failed = Err(Failed::stopped());
            self.write(mail.app, mail.letter, mail.shown, mail.tries, &failed, true);
        }
    }

    /// Begins sending what is due, as far as there are places.
    fn begin(&self, sending: &mut JoinSet<Tried>, given_up: &CancellationToken, now: Instant) {
        loop {
            let Some(mut mail) = self.0.queue.lock().next(now) else {
                return;
            };
            let (inner, given_up) = (self.0.clone(), given_up.clone());
            sending.spawn(async move {
                mail.tries += 1;
                let tried = tokio::select! {
                    tried = inner.post.send(&mail.route, &mail.envelope, &mail.mail) => tried,
                    () = given_up.cancelled() => Err(Failed::stopped()),
                };
                (mail, tried)
            });
        }
    }

    /// What follows from a try. Once the server is `stopping`, each mail has one more.
    fn end(&self, tried: Result<Tried, tokio::task::JoinError>, stopping: bool) {
        let (mut mail, tried) = match tried {
            Ok(tried) => tried,
            Err(error) => {
                tracing::error!(%error, "sending a mail broke off");
                return;
            }
        };
        let pause = match stopping {
            true => (!mail.last).then_some(Duration::ZERO),
            false => self.0.settings.pauses.get(mail.tries as usize - 1).copied(),
        };
        let mut queue = self.0.queue.lock();
        match (&tried, pause) {
            (Err(failed), Some(pause)) if failed.again => {
                mail.due = Instant::now() + pause;
                mail.last = stopping;
                queue.back(mail);
            }
            _ => {
                queue.leave(mail.app, mail.mail.len());
                drop(queue);
                self.write(
                    mail.app,
                    mail.letter,
                    mail.shown,
                    mail.tries,
                    &tried,
                    stopping,
                );
            }
        }
    }

    /// The end of a mail, in the app's log. An SMTP server's words may quote the mail: its code is told
    /// and they are not.
    fn write(
        &self,
        app: AppId,
        letter: Letter,
        to: String,
        tries: u32,
        tried: &Result<Taken, Failed>,
        stopped: bool,
    ) {
        let (outcome, reply, message) = match tried {
            Ok(taken) => {
                self.0.sent.fetch_add(1, Ordering::Relaxed);
                let (status, words) = taken.reply.split_once(' ').unwrap_or((&taken.reply, ""));
                let message = "the SMTP server took it".to_owned();
                ("sent", Some(smtp::code(status, words)), message)
            }
            Err(failed) => {
                let outcome = if stopped && failed.again {
                    "lost"
                } else {
                    "failed"
                };
                let message = match &failed.code {
                    Some(_) => "the SMTP server refused it".to_owned(),
                    None => failed.words.clone(),
                };
                (outcome, failed.code.clone(), message)
            }
        };
        self.record(
            app,
            MailRecord {
                template: letter.name(),
                to,
                outcome,
                tries,
                reply,
                message,
            },
        );
    }

    fn record(&self, app: AppId, record: MailRecord) {
        self.0.logs.write(Record {
            app,
            at: SystemTime::now(),
            body: Body::Mail(Box::new(record)),
        });
    }

    /// Says once for an app how mail is set up.
    fn tell(&self, app: &App, error: &MailError) {
        if !self.0.told.lock().insert(app.id) {
            return;
        }
        tracing::warn!(app.id = %app.id, %error, "an app's mail was not sent");
        self.record(
            app.id,
            MailRecord {
                template: "",
                to: String::new(),
                outcome: "not_configured",
                tries: 0,
                reply: None,
                message: error.to_string(),
            },
        );
    }

    fn way(&self, app: &App) -> Result<Way, MailError> {
        let auth = app.auth();
        let settings = &self.0.settings;
        let own = auth.mail.from.as_deref();
        let own: Option<From> = own.and_then(|from| from.parse().ok());
        let secret = auth.mail.smtp.as_ref();
        let value = secret.and_then(|name| app.secrets.load().get(name).cloned());
        if let (Some(name), Some(value)) = (secret, value) {
            let url = value.parse().map_err(|fault| {
                MailError::NotConfigured(format!(
                    "the secret `{name}` is no address of an SMTP server; {fault}"
                ))
            })?;
            let from = own.ok_or_else(|| {
                MailError::NotConfigured(
                    "write who sends: `from = \"Shop <no-reply@shop.example>\"` in [auth.mail]"
                        .to_owned(),
                )
            })?;
            let app = Some((app.id, app.egress().clone()));
            return Ok(Way::Smtp(Box::new(Out {
                route: Route { url, app },
                from,
                reply_to: None,
            })));
        }
        // An app that names its server does not fall back on another, or its mails would come from
        // somebody else.
        if let (None, Some(url), Some(from)) = (secret, &settings.smtp, &settings.from) {
            // The address is the operator's, whose server answers for it; the name is the app's.
            let name = own.as_ref().and_then(|own| own.name.clone());
            return Ok(Way::Smtp(Box::new(Out {
                route: Route {
                    url: url.clone(),
                    app: None,
                },
                from: From::new(name.or_else(|| from.name.clone()), from.email.clone()),
                reply_to: own,
            })));
        }
        if settings.mailbox {
            let from = own.map_or_else(|| format!("{}@localhost", app.name), |own| own.to_string());
            return Ok(Way::Kept { from });
        }
        Err(MailError::NotConfigured(match secret {
            Some(name) => format!("set the secret `{name}`: `pumice secrets set {name}`"),
            None => "give the server `smtp_url` and `mail_from`, or the app `smtp` and `from` in [auth.mail]".to_owned(),
        }))
    }

    fn keep(&self, app: &App, mail: &Mail<'_>, from: String, rendered: Rendered) {
        let (text, html) = (rendered.text, rendered.html);
        let links = mailbox::links(mail.confirmation_url, text.as_deref(), html.as_deref());
        let kept = Arc::new(Kept {
            id: uuid::Uuid::new_v4().simple().to_string(),
            template: mail.letter.name(),
            from,
            to: mail.to.to_owned(),
            subject: rendered.subject,
            text,
            html,
            links,
            token: mail.token.to_owned(),
            created_at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        });
        app.mailbox.put(kept.clone());
        self.record(
            app.id,
            MailRecord {
                template: mail.letter.name(),
                to: redacted(mail.to),
                outcome: "kept",
                tries: 0,
                reply: None,
                message: "it is in the mailbox: /dev/mail".to_owned(),
            },
        );
        let _ = self.0.kept.send((app.id, kept));
    }

    fn hand_over(
        &self,
        app: &App,
        mail: &Mail<'_>,
        route: Route,
        message: &Message,
    ) -> Result<(), MailError> {
        let waiting = Waiting {
            app: app.id,
            letter: mail.letter,
            shown: redacted(mail.to),
            envelope: message.envelope().clone(),
            mail: message.formatted(),
            route: Arc::new(route),
            tries: 0,
            due: Instant::now(),
            last: false,
        };
        let entered = self.0.queue.lock().enter(waiting);
        self.0.changed.notify_one();
        entered.map_err(|_| MailError::Unavailable("too many mails are waiting".to_owned()))
    }
}

/// Renders on a thread of its own: an app's template may take most of a second.
async fn render(app: &App, mail: &Mail<'_>) -> Result<Rendered, MailError> {
    let files = app
        .revision
        .load()
        .as_ref()
        .map(|revision| revision.mail.clone());
    let templates = match files {
        Some(files) => Some(files.templates().await?),
        None => None,
    };
    let large =
        serde_json::to_string(mail.data).is_ok_and(|text| text.len() > limits::MAIL_DATA_BYTES_MAX);
    let data = match large {
        true => templates::values(Map::new()),
        false => templates::values(mail.data),
    };
    let context = minijinja::context! {
        confirmation_url => mail.confirmation_url.unwrap_or_default(),
        token => mail.token,
        token_hash => mail.token_hash,
        site_url => mail.site_url,
        email => mail.email,
        new_email => mail.new_email.unwrap_or_default(),
        redirect_to => mail.redirect_to,
        data => data,
    };
    let letter = mail.letter;
    let rendered = tokio::task::spawn_blocking(move || match templates {
        Some(templates) => templates.render(letter, &context),
        None => templates::defaults().render(letter, &context),
    });
    let rendered = rendered.await;
    let rendered =
        rendered.map_err(|_| MailError::Template("it could not be rendered".to_owned()))?;
    let rendered = rendered.map_err(|fault| MailError::Template(fault.to_string()))?;
    if rendered.subject.contains(char::is_control) {
        return Err(MailError::Refused(
            "its subject has a line break or a control character".to_owned(),
        ));
    }
    Ok(rendered)
}
