//! An SMTP server of a test's own: it takes every mail, unless it was told what to say.
//!
//! Without TLS: whoever is to be tested with STARTTLS finds that it is not offered.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::in_time;

/// Where in a session a reply is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Greeting,
    Hello,
    Auth,
    From,
    Recipient,
    Data,
    /// After the dot that ends a mail.
    End,
}

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Of the envelope, as is `from`.
    pub to: Vec<String>,
    pub from: String,
    /// Decoded.
    pub subject: String,
    /// The plain part.
    pub text: Option<String>,
    pub html: Option<String>,
    /// In order, names in lower case, values unfolded.
    pub headers: Vec<(String, String)>,
    /// User and password that opened the session.
    pub login: Option<(String, String)>,
    /// As it came.
    pub raw: String,
}

/// The server. It ends with the test's runtime.
pub struct Sink {
    address: SocketAddr,
    inner: Arc<Inner>,
    letters: tokio::sync::Mutex<mpsc::UnboundedReceiver<Letter>>,
    stages: tokio::sync::Mutex<mpsc::UnboundedReceiver<Stage>>,
}

struct Inner {
    script: Mutex<BTreeMap<Stage, VecDeque<Answer>>>,
    letters: mpsc::UnboundedSender<Letter>,
    stages: mpsc::UnboundedSender<Stage>,
    lines: Mutex<Vec<String>>,
}

enum Answer {
    Say(String),
    Drop,
}

impl Sink {
    /// # Panics
    /// If no port is free.
    pub async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (letters, taken) = mpsc::unbounded_channel();
        let (stages, reached) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            script: Mutex::default(),
            letters,
            stages,
            lines: Mutex::default(),
        });
        let serving = inner.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = serving.clone();
                tokio::spawn(async move { inner.session(stream).await });
            }
        });
        Sink {
            address,
            inner,
            letters: tokio::sync::Mutex::new(taken),
            stages: tokio::sync::Mutex::new(reached),
        }
    }

    /// What a server's `smtp_url` or an app's secret has to be: without TLS, and with [`PASSWORD`].
    pub fn url(&self) -> String {
        format!("smtp://mailer:{PASSWORD}@{}?tls=none", self.address)
    }

    /// The same with STARTTLS required, which it does not offer.
    pub fn url_with_tls(&self) -> String {
        format!("smtp://mailer:{PASSWORD}@{}", self.address)
    }

    /// Says this once instead of what it says otherwise, the next time it comes to `stage`.
    pub fn say(&self, stage: Stage, reply: &str) {
        self.script(stage, Answer::Say(reply.to_owned()));
    }

    /// Closes the connection once at `stage`: for [`Stage::End`] in the middle of the mail.
    pub fn drop_at(&self, stage: Stage) {
        self.script(stage, Answer::Drop);
    }

    fn script(&self, stage: Stage, answer: Answer) {
        let mut script = self.inner.script.lock().expect("no test panics with it");
        script.entry(stage).or_default().push_back(answer);
    }

    /// Waits for the next mail that is taken.
    pub async fn next(&self) -> Letter {
        let mut letters = self.letters.lock().await;
        let letter = in_time("a mail", letters.recv()).await;
        letter.expect("the sink lives as long")
    }

    /// Whether a mail was taken that nobody has asked for.
    pub async fn is_empty(&self) -> bool {
        self.letters.lock().await.is_empty()
    }

    /// Waits until a session comes to `stage`, from the last one that was waited for.
    pub async fn reached(&self, stage: Stage) {
        let mut stages = self.stages.lock().await;
        in_time("a stage of a session", async {
            while stages.recv().await != Some(stage) {}
        })
        .await;
    }

    /// Everything that was said to it so far, mails aside.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.inner.lines.lock().expect("no test panics with it");
        lines.clone()
    }
}

/// What opens a session, besides the user `mailer`.
pub const PASSWORD: &str = "hunter2-of-the-sink";

type Reader = BufReader<OwnedReadHalf>;

impl Inner {
    /// Gives the reply of a stage; none when the connection is to be closed.
    async fn reply(&self, out: &mut OwnedWriteHalf, stage: Stage, usual: &str) -> Option<bool> {
        let answer = {
            let mut script = self.script.lock().expect("no test panics with it");
            script.get_mut(&stage).and_then(VecDeque::pop_front)
        };
        let _ = self.stages.send(stage);
        let text = match answer {
            None => usual.to_owned(),
            Some(Answer::Say(text)) => text,
            Some(Answer::Drop) => return None,
        };
        let sent = out.write_all(format!("{text}\r\n").as_bytes()).await;
        sent.ok()?;
        Some(text.starts_with(['2', '3']))
    }

    async fn line(&self, reader: &mut Reader) -> Option<String> {
        let mut line = String::new();
        let read = reader.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_owned();
        (read > 0).then_some(line)
    }

    async fn session(&self, stream: TcpStream) -> Option<()> {
        let (reader, mut out) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let (mut from, mut to) = (String::new(), Vec::new());
        let mut login = None;
        if !self.reply(&mut out, Stage::Greeting, "220 sink").await? {
            return None;
        }
        loop {
            let line = self.line(&mut reader).await?;
            self.lines
                .lock()
                .expect("no test panics with it")
                .push(line.clone());
            let word = line.split(' ').next().unwrap_or_default();
            match word.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => {
                    let offers = "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN";
                    self.reply(&mut out, Stage::Hello, offers).await?;
                }
                "AUTH" => {
                    login = plain_login(&line);
                    let good = login
                        .as_ref()
                        .is_some_and(|(user, password)| user == "mailer" && password == PASSWORD);
                    let usual = if good {
                        "235 2.7.0 welcome"
                    } else {
                        "535 5.7.8 who?"
                    };
                    self.reply(&mut out, Stage::Auth, usual).await?;
                }
                "MAIL" => {
                    (from, to) = (bracketed(&line), Vec::new());
                    self.reply(&mut out, Stage::From, "250 2.1.0 ok").await?;
                }
                "RCPT" => {
                    if self
                        .reply(&mut out, Stage::Recipient, "250 2.1.5 ok")
                        .await?
                    {
                        to.push(bracketed(&line));
                    }
                }
                "DATA" => {
                    if !self.reply(&mut out, Stage::Data, "354 go on").await? {
                        continue;
                    }
                    let raw = self.mail(&mut reader).await?;
                    if self.reply(&mut out, Stage::End, "250 2.0.0 taken").await? {
                        let letter = Letter::read(&raw, from.clone(), to.clone(), login.clone());
                        let _ = self.letters.send(letter);
                    }
                }
                "RSET" | "NOOP" => out.write_all(b"250 2.0.0 ok\r\n").await.ok()?,
                "QUIT" => {
                    out.write_all(b"221 2.0.0 bye\r\n").await.ok()?;
                    return None;
                }
                _ => out.write_all(b"500 5.5.1 what?\r\n").await.ok()?,
            }
        }
    }

    /// A mail up to the dot; none if the connection is to be closed in the middle of it.
    async fn mail(&self, reader: &mut Reader) -> Option<String> {
        let mut raw = String::new();
        let dropped = {
            let script = self.script.lock().expect("no test panics with it");
            let next = script.get(&Stage::End).and_then(VecDeque::front);
            matches!(next, Some(Answer::Drop))
        };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if dropped {
                let mut script = self.script.lock().expect("no test panics with it");
                script.get_mut(&Stage::End).and_then(VecDeque::pop_front);
                let _ = self.stages.send(Stage::End);
                return None;
            }
            if line == ".\r\n" {
                return Some(raw);
            }
            raw.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
    }
}

/// What stands between `<` and `>`.
fn bracketed(line: &str) -> String {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or_else(String::new, |(inner, _)| inner.to_owned())
}

fn plain_login(line: &str) -> Option<(String, String)> {
    let text = STANDARD.decode(line.strip_prefix("AUTH PLAIN ")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let mut parts = text.split('\0').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

impl Letter {
    fn read(raw: &str, from: String, to: Vec<String>, login: Option<(String, String)>) -> Letter {
        let (headers, body) = part(raw);
        let kind = value(&headers, "content-type");
        let (mut text, mut html) = (None, None);
        let parts: Vec<String> = match parameter(kind, "boundary") {
            Some(boundary) => body
                .split(&format!("--{boundary}"))
                .skip(1)
                .take_while(|part| !part.starts_with("--"))
                .map(|part| part.trim_start_matches("\r\n").to_owned())
                .collect(),
            None => vec![raw.to_owned()],
        };
        for inner in &parts {
            let (headers, body) = part(inner);
            let decoded = decoded(body, value(&headers, "content-transfer-encoding"));
            match value(&headers, "content-type") {
                kind if kind.starts_with("text/html") => html = Some(decoded),
                _ => text = Some(decoded),
            }
        }
        Letter {
            to,
            from,
            subject: encoded_words(value(&headers, "subject")),
            text,
            html,
            headers,
            login,
            raw: raw.to_owned(),
        }
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        value(&self.headers, name)
    }

    /// The link that is to be followed, of the plain part, else of the other; any link if there is none
    /// such.
    ///
    /// # Panics
    /// If there is none at all.
    pub fn link(&self) -> String {
        let words = self.text.as_deref().unwrap_or_default().split_whitespace();
        let links: Vec<&str> = words.filter(|word| word.starts_with("http")).collect();
        let action = links.iter().find(|link| link.contains("/auth/v1/verify?"));
        if let Some(link) = action.or(links.first()) {
            return (*link).to_owned();
        }
        let html = self.html.as_deref().unwrap_or_default();
        let link = html
            .split_once("href=\"")
            .and_then(|(_, rest)| rest.split_once('"'));
        let (link, _) = link.unwrap_or_else(|| panic!("there is no link: {}", self.raw));
        link.replace("&amp;", "&").replace("&#x2f;", "/")
    }

    /// The code: the first word of 6 to 10 digits.
    ///
    /// # Panics
    /// If there is none.
    pub fn code(&self) -> String {
        let parts = [&self.text, &self.html];
        let text: String = parts.into_iter().flatten().cloned().collect();
        let is_word = |sign: char| sign.is_ascii_alphanumeric() || "#=_-&%?./:".contains(sign);
        let code = text.split(|sign| !is_word(sign)).find(|word| {
            (6..=10).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
        });
        code.unwrap_or_else(|| panic!("there is no code: {}", self.raw))
            .to_owned()
    }
}

/// Headers, unfolded, and what comes after them.
fn part(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let headers = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    (headers.collect(), body)
}

fn value<'h>(headers: &'h [(String, String)], name: &str) -> &'h str {
    let found = headers.iter().find(|(header, _)| header == name);
    found.map_or("", |(_, value)| value)
}

fn parameter<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    let (_, rest) = value.split_once(&format!("{name}="))?;
    let rest = rest.trim_start_matches('"');
    rest.split(['"', ';']).next()
}

fn decoded(body: &str, encoding: &str) -> String {
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let text: String = body.split_whitespace().collect();
            STANDARD.decode(text).expect("it is base64")
        }
        "quoted-printable" => unquoted(&body.replace("=\r\n", "")),
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes)
        .expect("it is UTF-8")
        .replace("\r\n", "\n")
}

fn unquoted(text: &str) -> Vec<u8> {
    let mut parts = text.split('=');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.expect("two digits follow"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Words of RFC 2047 as text.
fn encoded_words(text: &str) -> String {
    let text = text.replace("?= =?", "?==?");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, word)) = rest.split_once("=?") {
        out.push_str(before);
        let mut parts = word.splitn(3, '?');
        let (_, how, more) = (parts.next(), parts.next(), parts.next());
        let Some((inner, after)) = more.and_then(|more| more.split_once("?=")) else {
            out.push_str("=?");
            rest = word;
            continue;
        };
        let bytes = match how {
            Some("b" | "B") => STANDARD.decode(inner).expect("it is base64"),
            _ => unquoted(&inner.replace('_', " ")),
        };
        out.push_str(&String::from_utf8(bytes).expect("it is UTF-8"));
        rest = after;
    }
    out.push_str(rest);
    out
}
