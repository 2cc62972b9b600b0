//! What mails say: templates of an app, else our own.
//!
//! A template is Jinja's language without what could make little text large (no variables of its own,
//! no macros, no `*`), rendered with bounds for steps and bytes. The dialect's way of writing
//! (`{{ .ConfirmationURL }}`, and `if`, `else`, `end` over its fields) is rewritten line for line first
//! (see [`dialect`](super::dialect)).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Rest, Serde, Value};
use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, State, Template, UndefinedBehavior, filters, tests,
};

use super::{Letter, MailError, dialect};
use crate::functions::App;
use crate::functions::bundle::{Files, MAIL, mail_template};
use crate::limits;

/// What a template may name.
pub const VARIABLES: [&str; 8] = [
    "confirmation_url",
    "token",
    "token_hash",
    "site_url",
    "email",
    "new_email",
    "redirect_to",
    "data",
];

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// Its path in the bundle.
    pub file: String,
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// A mail as it is to be sent, without its addresses. At least one of the parts is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// The templates of a revision: where their files are, and what they are once somebody is mailed.
#[derive(Default)]
pub struct MailFiles {
    /// By path in the bundle.
    files: Vec<(String, PathBuf)>,
    compiled: tokio::sync::OnceCell<Arc<Templates>>,
}

impl MailFiles {
    pub fn of(app: &App, files: &Files) -> MailFiles {
        let own = files.iter().filter(|(path, _)| path.starts_with(MAIL));
        MailFiles {
            files: own
                .map(|(path, file)| (path.clone(), app.blob(file.digest)))
                .collect(),
            compiled: tokio::sync::OnceCell::new(),
        }
    }

    /// Reads, compiles and tries them.
    ///
    /// # Errors
    /// All faults, in order of files.
    pub async fn compile(&self) -> Result<Templates, Vec<TemplateFault>> {
        let mut texts = BTreeMap::new();
        for (path, place) in &self.files {
            let text = tokio::fs::read_to_string(place).await;
            let text = text.map_err(|error| {
                let message = match error.kind() {
                    io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
                    _ => "it cannot be read".to_owned(),
                };
                vec![TemplateFault {
                    file: path.clone(),
                    line: 1,
                    message,
                }]
            })?;
            texts.insert(path.clone(), text);
        }
        // An app's templates may take most of a second, which no thread of the server has.
        let compiled = tokio::task::spawn_blocking(move || Templates::compile(&texts)).await;
        compiled.unwrap_or_else(|error| {
            Err(vec![TemplateFault {
                file: MAIL.to_owned(),
                line: 1,
                message: error.to_string(),
            }])
        })
    }

    /// The templates, compiled the first time.
    ///
    /// # Errors
    /// [`MailError::Template`] when a file is gone, or is none since Pumice has other rules.
    pub async fn templates(&self) -> Result<Arc<Templates>, MailError> {
        let compile = async || {
            let templates = self.compile().await.map(Arc::new);
            templates.map_err(|faults| MailError::Template(lines(&faults)))
        };
        self.compiled.get_or_try_init(compile).await.cloned()
    }
}

/// Faults, a line each.
pub fn lines(faults: &[TemplateFault]) -> String {
    let faults: Vec<String> = faults.iter().map(TemplateFault::to_string).collect();
    faults.join("\n")
}

/// The templates of an app, compiled.
pub struct Templates {
    env: Environment<'static>,
    /// By a template's name: its file, and how many lines of it come before the template.
    places: HashMap<String, (String, usize)>,
}

/// Our own, for letters that an app has none for.
static DEFAULTS: LazyLock<Templates> = LazyLock::new(|| {
    let texts = Letter::ALL.into_iter().flat_map(|letter| {
        let (text, html) = default_of(letter);
        [
            (format!("{MAIL}{}.txt", letter.name()), text),
            (format!("{MAIL}{}.html", letter.name()), html),
        ]
    });
    Templates::compile(&texts.collect()).expect("a unit test compiles them")
});

/// Our own templates.
pub fn defaults() -> &'static Templates {
    &DEFAULTS
}

impl Templates {
    /// Compiles the files of `mail/`, by path, and tries each with sample values.
    ///
    /// # Errors
    /// All faults, in order of files.
    pub fn compile(files: &BTreeMap<String, String>) -> Result<Templates, Vec<TemplateFault>> {
        let mut templates = Templates {
            env: environment(),
            places: HashMap::new(),
        };
        let mut faults = Vec::new();
        let mut subjects: HashMap<Letter, (&str, &str)> = HashMap::new();
        for (path, text) in files {
            let Some((letter, html)) = path.strip_prefix(MAIL).and_then(mail_template) else {
                continue;
            };
            let (subject, body, skipped) = split_subject(text);
            if let Some(subject) = subject {
                match subjects.get(&letter) {
                    Some((other, first)) if *first != subject => faults.push(TemplateFault {
                        file: path.clone(),
                        line: 1,
                        message: format!("{other} has another subject; write it in one of them"),
                    }),
                    Some(_) => {}
                    None => {
                        subjects.insert(letter, (path, subject));
                        faults.extend(templates.add(letter, "subject", path, 0, subject).err());
                    }
                }
            }
            let ending = if html { "html" } else { "txt" };
            faults.extend(templates.add(letter, ending, path, skipped, body).err());
        }
        if faults.is_empty() {
            faults = templates.tried();
        }
        if faults.is_empty() {
            Ok(templates)
        } else {
            Err(faults)
        }
    }

    fn add(
        &mut self,
        letter: Letter,
        ending: &str,
        path: &str,
        skipped: usize,
        source: &str,
    ) -> Result<(), TemplateFault> {
        let fault = |line: usize, message: String| TemplateFault {
            file: path.to_owned(),
            line: line + skipped,
            message,
        };
        let source = dialect::translate(source).map_err(|(line, message)| fault(line, message))?;
        let name = name_of(letter, ending);
        self.places.insert(name.clone(), (path.to_owned(), skipped));
        self.env
            .add_template_owned(name.clone(), source)
            .map_err(|error| fault(error.line().unwrap_or(1), words(&error)))?;
        let Ok(template) = self.env.get_template(&name) else {
            return Ok(());
        };
        let mut unknown: Vec<String> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|variable| !VARIABLES.contains(&variable.as_str()));
        unknown.sort();
        match unknown.first() {
            None => Ok(()),
            Some(variable) => {
                let lines = template.source().lines();
                let mut numbered = lines.enumerate();
                let found = numbered.find(|(_, line)| line.contains(variable.as_str()));
                Err(fault(
                    found.map_or(1, |(number, _)| number + 1),
                    format!(
                        "there is no `{variable}`; there are {}",
                        VARIABLES.join(", ")
                    ),
                ))
            }
        }
    }

    /// What goes wrong with sample values, and with none.
    fn tried(&self) -> Vec<TemplateFault> {
        let mut faults: Vec<TemplateFault> = Vec::new();
        let mut names: Vec<&String> = self.places.keys().collect();
        names.sort();
        for name in names {
            for context in [sample(), values(())] {
                if let Err(fault) = self.one(name, &context, true)
                    && !faults.contains(&fault)
                {
                    faults.push(fault);
                }
            }
        }
        faults
    }

    /// The mail about `letter`: of the app's own parts if it has any for it, else of ours.
    ///
    /// # Errors
    /// The first fault. Its words quote no value of the mail.
    pub fn render(&self, letter: Letter, context: &Value) -> Result<Rendered, TemplateFault> {
        let part = |templates: &Templates, ending: &str| {
            let name = name_of(letter, ending);
            match templates.places.contains_key(&name) {
                true => templates.one(&name, context, false).map(Some),
                false => Ok(None),
            }
        };
        let (mut text, mut html) = (part(self, "txt")?, part(self, "html")?);
        if text.is_none() && html.is_none() {
            (text, html) = (part(defaults(), "txt")?, part(defaults(), "html")?);
        }
        let subject = match part(self, "subject")? {
            Some(subject) => Some(subject),
            None => part(defaults(), "subject")?,
        };
        let subject = subject.unwrap_or_default();
        let subject = subject.trim();
        Ok(Rendered {
            subject: subject
                .chars()
                .take(limits::MAIL_SUBJECT_CHARS_MAX)
                .collect(),
            text,
            html,
        })
    }

    /// Renders one template. `detailed` faults may quote values.
    fn one(&self, name: &str, context: &Value, detailed: bool) -> Result<String, TemplateFault> {
        let render = |template: Template<'_, '_>| {
            let mut out = Bounded(Vec::new());
            let rendered = template.render_captured_to(context.clone(), &mut out);
            rendered.map(|_| out.0)
        };
        let rendered = self.env.get_template(name).and_then(render);
        let fault = |line: usize, message: String| {
            let (file, skipped) = self.places.get(name).cloned().unwrap_or_default();
            TemplateFault {
                file,
                line: line + skipped,
                message,
            }
        };
        match rendered {
            Ok(bytes) => {
                String::from_utf8(bytes).map_err(|_| fault(1, "it is not UTF-8".to_owned()))
            }
            Err(error) => Err(fault(
                error.line().unwrap_or(1),
                match error.kind() {
                    ErrorKind::OutOfFuel => {
                        format!("it takes more than {} steps", limits::MAIL_TEMPLATE_FUEL)
                    }
                    ErrorKind::WriteFailure => {
                        format!("it becomes more than {} bytes", limits::MAIL_PART_BYTES_MAX)
                    }
                    _ if detailed => words(&error),
                    kind => kind.to_string(),
                },
            )),
        }
    }
}

fn name_of(letter: Letter, ending: &str) -> String {
    format!("{}.{ending}", letter.name())
}

/// What the engine says, without its own name for the place.
fn words(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// The subject in a file's first line, what comes after it, and how many lines came before that.
fn split_subject(text: &str) -> (Option<&str>, &str, usize) {
    const KEY: &str = "subject:";
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let key = first.get(..KEY.len());
    if !key.is_some_and(|key| key.eq_ignore_ascii_case(KEY)) {
        return (None, text, 0);
    }
    let subject = first[KEY.len()..].trim();
    let blank = rest
        .split_once('\n')
        .filter(|(line, _)| line.trim().is_empty());
    match blank {
        Some((_, rest)) => (Some(subject), rest, 2),
        None => (Some(subject), rest, 1),
    }
}

/// An engine with what templates may use and nothing else: no filter or function makes much of little.
fn environment() -> Environment<'static> {
    let mut env = Environment::empty();
    env.set_fuel(Some(limits::MAIL_TEMPLATE_FUEL));
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    env.set_formatter(write_value);
    env.add_filter("upper", filters::upper);
    env.add_filter("lower", filters::lower);
    env.add_filter("title", filters::title);
    env.add_filter("capitalize", filters::capitalize);
    env.add_filter("trim", filters::trim);
    env.add_filter("length", filters::length);
    env.add_filter("first", filters::first);
    env.add_filter("last", filters::last);
    env.add_filter("safe", filters::safe);
    env.add_filter("escape", |value: String| {
        Value::from_safe_string(escaped(&value))
    });
    env.add_filter("e", |value: String| {
        Value::from_safe_string(escaped(&value))
    });
    env.add_filter("urlencode", |value: String| -> String {
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
    });
    let default = |state: &State<'_, '_>, value: &Value, other: Rest<Value>| {
        if value.is_none() {
            return Ok(other.first().cloned().unwrap_or_default());
        }
        filters::default(state, value, other)
    };
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_test("defined", tests::is_defined);
    env.add_test("undefined", tests::is_undefined);
    env.add_test("none", tests::is_none);
    env
}

/// Writes a value: nothing for none, and with HTML's own signs escaped where a template is HTML.
fn write_value(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    let written = if value.is_none() || value.is_undefined() {
        Ok(())
    } else if value.is_safe() || *state.auto_escape() != AutoEscape::Html {
        write!(out, "{value}")
    } else {
        out.write_str(&escaped(&value.to_string()))
    };
    written.map_err(|_| minijinja::Error::new(ErrorKind::WriteFailure, "the mail is too large"))
}

/// For HTML, between tags and in quoted attributes. A slash stays what it is, for whoever looks for URLs.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Takes as many bytes as a part of a mail may have.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::MAIL_PART_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template sees of `fields`.
pub fn values(fields: impl serde::Serialize) -> Value {
    Value::from(Serde(fields))
}

/// Values to try templates with.
pub fn sample() -> Value {
    values(serde_json::json!({
        "confirmation_url": "https://app.example/auth/v1/verify?token=SAMPLE&type=signup&redirect_to=https://app.example/welcome",
        "token": "123456",
        "token_hash": "SAMPLE",
        "site_url": "https://app.example",
        "email": "ada@example.com",
        "new_email": "ada.lovelace@example.com",
        "redirect_to": "https://app.example/welcome",
        "data": { "name": "Ada", "language": "en" },
    }))
}

/// What our own mails say.
struct Words {
    subject: &'static str,
    lead: &'static str,
    button: &'static str,
    /// Before the code.
    code: &'static str,
    end: &'static str,
}

fn words_of(letter: Letter) -> Words {
    match letter {
        Letter::Confirmation => Words {
            subject: "Confirm your email address",
            lead: "One step is left: confirm that {{ email }} is your address.",
            button: "Confirm address",
            code: "Or type this code where you signed up:",
            end: "If you did not sign up, do nothing, and no account is opened.",
        },
        Letter::Invite => Words {
            subject: "You are invited",
            lead: "Somebody has invited you to join {{ site_url }}.",
            button: "Accept the invitation",
            code: "Or type this code there:",
            end: "If you do not want to join, do nothing.",
        },
        Letter::MagicLink => Words {
            subject: "Your sign-in link",
            lead: "You wanted to sign in to {{ site_url }} as {{ email }}.",
            button: "Sign in",
            code: "Or type this code where you are signing in:",
            end: "The link works once. Give neither it nor the code to anybody. If it was not you, do nothing.",
        },
        Letter::Recovery => Words {
            subject: "Choose a new password",
            lead: "A new password was asked for the account of {{ email }}.",
            button: "Choose a password",
            code: "Or type this code where you asked:",
            end: "If it was not you, do nothing: your password stays as it is.",
        },
        Letter::EmailChange => Words {
            subject: "Confirm your new email address",
            lead: "The account of {{ email }} is to get the address {{ new_email }}.",
            button: "Confirm the change",
            code: "Or type this code where you asked for it:",
            end: "If it was not you, do not confirm, and change your password.",
        },
        Letter::Reauthentication => Words {
            subject: "Your confirmation code",
            lead: "Something that needs your confirmation was begun in the account of {{ email }}.",
            button: "Confirm",
            code: "Type this code there:",
            end: "If it was not you, give the code to nobody and change your password.",
        },
    }
}

/// The sources of our own mail: text, with the subject, and HTML.
fn default_of(letter: Letter) -> (String, String) {
    let Words {
        subject,
        lead,
        button,
        code,
        end,
    } = words_of(letter);
    let text = format!(
        "Subject: {subject}\n\n{lead}\n{{% if confirmation_url %}}\n{button}:\n{{{{ confirmation_url }}}}\n{{% endif %}}{{% if token %}}\n{code}\n{{{{ token }}}}\n{{% endif %}}\n{end}\n"
    );
    let html = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{subject}</title>
</head>
<body style="margin:0;padding:32px 20px;font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif">
<div style="max-width:480px;margin:0 auto">
<h1 style="margin:0 0 16px;font-size:22px;line-height:1.3">{subject}</h1>
<p style="margin:0 0 24px">{lead}</p>
{{% if confirmation_url %}}<p style="margin:0 0 24px"><a href="{{{{ confirmation_url }}}}" style="display:inline-block;padding:12px 20px;border-radius:6px;background:#1f5fbf;color:#ffffff;text-decoration:none;font-weight:600">{button}</a></p>
{{% endif %}}{{% if token %}}<p style="margin:0 0 4px">{code}</p>
<p style="margin:0 0 24px;font:600 26px/1.4 ui-monospace,Menlo,Consolas,monospace;letter-spacing:4px">{{{{ token }}}}</p>
{{% endif %}}<p style="margin:0;font-size:14px;opacity:.75">{end}</p>
</div>
</body>
</html>
"#
    );
    (text, html)
}

#[cfg(test)]
mod checks {
    use super::*;

    fn compiled(files: &[(&str, &str)]) -> Result<Templates, String> {
        let files = files
            .iter()
            .map(|(path, text)| (format!("mail/{path}"), (*text).to_owned()));
        Templates::compile(&files.collect()).map_err(|faults| lines(&faults))
    }

    fn faults(files: &[(&str, &str)]) -> String {
        compiled(files).err().unwrap_or_default()
    }

    #[test]
    fn our_own_have_link_and_code_in_both_parts() {
        for letter in Letter::ALL {
            let mail = defaults().render(letter, &sample()).unwrap();
            let (text, html) = (mail.text.unwrap(), mail.html.unwrap());
            assert!(!mail.subject.is_empty() && !mail.subject.contains('{'));
            for part in [&text, &html] {
                assert!(part.contains("123456"), "{part}");
                assert!(!part.contains("{{") && !part.contains("{%"), "{part}");
            }
            assert!(text.contains("verify?token=SAMPLE&type=signup"), "{text}");
            assert!(
                html.contains("verify?token=SAMPLE&amp;type=signup"),
                "{html}"
            );
        }
        // Without a link none is shown.
        let context = values(serde_json::json!({ "token": "1", "email": "a" }));
        let mail = defaults()
            .render(Letter::Reauthentication, &context)
            .unwrap();
        assert!(!mail.html.unwrap().contains("href") && !mail.text.unwrap().contains("http"));
    }

    #[test]
    fn an_apps_files_replace_ours_letter_by_letter() {
        let templates = compiled(&[
            (
                "confirmation.html",
                "Subject: Hallo {{ data.name }}\n\n<b>{{ data.name }}</b> {{ .Token }}",
            ),
            ("invite.txt", "come: {{ confirmation_url }}"),
        ])
        .unwrap();
        let context = values(serde_json::json!({
            "confirmation_url": "u", "token": "7", "data": { "name": "<i>&" },
        }));
        let mail = templates.render(Letter::Confirmation, &context).unwrap();
        assert_eq!(mail.subject, "Hallo <i>&");
        assert_eq!(mail.html.as_deref(), Some("<b>&lt;i&gt;&amp;</b> 7"));
        assert_eq!(mail.text, None);
        let mail = templates.render(Letter::Invite, &context).unwrap();
        assert_eq!(
            (mail.subject.as_str(), mail.text.as_deref(), mail.html),
            ("You are invited", Some("come: u"), None)
        );
        let mail = templates.render(Letter::Recovery, &context).unwrap();
        assert_eq!(mail.subject, "Choose a new password");
        assert!(mail.text.is_some() && mail.html.is_some());
    }

    #[test]
    fn faults_are_told_with_file_and_line() {
        let check = |text: &str, expect: &str| {
            let told = faults(&[("invite.html", text)]);
            assert!(told.starts_with(expect), "{text}: {told}");
        };
        check("a\n{{ token", "mail/invite.html:2: ");
        check("a\n{{ tokn }}", "mail/invite.html:2: there is no `tokn`");
        check(
            "Subject: x\n\na\n{{ tokn }}",
            "mail/invite.html:4: there is",
        );
        check("Subject: {{ x }}\n", "mail/invite.html:1: there is no `x`");
        check("{{ token|frobnicate }}", "mail/invite.html:1: ");
        check("a\n\n{{ .OldName }}", "mail/invite.html:3: ");
        check("{% set x = token %}", "mail/invite.html:1: ");
        check("{{ token * 100000000 }}", "mail/invite.html:1: ");
        check("{% include 'x' %}", "mail/invite.html:1: ");
        let endless = "{% for a in data %}{% for b in data %}{% endfor %}{% endfor %}";
        assert_eq!(faults(&[("invite.html", endless)]), "");
        let numbered = "{% for a in data.l %}{{ loop.index }}{{ a }}{% endfor %}";
        assert_eq!(faults(&[("invite.html", numbered)]), "");
        let two = [
            ("invite.html", "Subject: a\n"),
            ("invite.txt", "Subject: b\n"),
        ];
        assert!(faults(&two).starts_with("mail/invite.txt:1: mail/invite.html has another"));
        let same = [
            ("invite.html", "Subject: a\nx"),
            ("invite.txt", "Subject: a\nx"),
        ];
        assert_eq!(faults(&same), "");
    }

    #[test]
    fn steps_and_bytes_are_bounded() {
        let templates = compiled(&[
            (
                "invite.txt",
                "{% for a in data.l %}{% for b in data.l %}.{% endfor %}{% endfor %}",
            ),
            (
                "recovery.txt",
                "{% for a in data.l %}{{ data.s }}{% endfor %}",
            ),
        ])
        .unwrap();
        let items = vec![1; 200];
        let context = values(serde_json::json!({ "data": { "l": items, "s": "x".repeat(2_000) } }));
        let told = templates.render(Letter::Invite, &context).unwrap_err();
        assert!(told.message.contains("steps"), "{told}");
        let told = templates.render(Letter::Recovery, &context).unwrap_err();
        assert!(told.message.contains("bytes"), "{told}");
    }
}
