//! One request and what is expected, and how a file writes them:
//!
//! ```text
//! # A remark.
//! % rollback                           from here on every write is undone (`Prefer: tx=rollback`); `% commit` ends it
//!
//! PATCH tasks?id=eq.1&select=points    method and path below `/rest/v1/`; what a URL cannot hold is encoded
//! @ anon                               as whom: service (if nothing is said), anon, user, none
//! > prefer: return=representation      a header of the request
//! | {"points":4}                       a line of its body
//! 200                                  the status
//! < content-range: 0-0/*               a header of the answer; one that is not there is empty
//! = [{"points":4}]                     the body; space outside of strings does not count in JSON
//! ~ points                             something in the body
//! ! title                              nothing of this in the body
//! ```
//!
//! An error is written behind the status: `400 22P02 invalid input syntax for type integer: "x"`, the message as
//! far as it is of interest.

use std::fmt;

use pumice_tests::{Answer, App, Call};

/// A request and what is expected of its answer.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// File and line.
    place: String,
    method: String,
    path: String,
    caller: String,
    headers: Vec<(String, String)>,
    body: Vec<String>,
    status: u16,
    code: String,
    message: String,
    answered: Vec<(String, String)>,
    answer: Vec<String>,
    parts: Vec<String>,
    absent: Vec<String>,
}

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE",
];

/// The cases of a file.
///
/// # Panics
/// On a line that is none of the above.
pub fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut rollback = false;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (name, value) = rest.split_once(':').expect("a header has a colon");
            (name.to_owned(), value.trim().to_owned())
        };
        if mark.is_empty() || mark == "#" {
            continue;
        }
        if mark == "%" {
            rollback = rest == "rollback";
            continue;
        }
        if METHODS.contains(&mark) {
            let reads = ["GET", "HEAD", "OPTIONS"].contains(&mark);
            let mut case = Case {
                place,
                method: mark.to_owned(),
                path: rest.to_owned(),
                ..Case::default()
            };
            if rollback && !reads {
                let undone = ("prefer".to_owned(), "tx=rollback".to_owned());
                case.headers.push(undone);
            }
            cases.push(case);
            continue;
        }
        let case = cases
            .last_mut()
            .unwrap_or_else(|| panic!("{place}: {line}"));
        match mark {
            "@" => rest.clone_into(&mut case.caller),
            ">" => case.headers.push(pair()),
            "|" => case.body.push(rest.to_owned()),
            "<" => case.answered.push(pair()),
            "=" => case.answer.push(rest.to_owned()),
            "~" => case.parts.push(rest.to_owned()),
            "!" => case.absent.push(rest.to_owned()),
            status => {
                case.status = status.parse().unwrap_or_else(|_| panic!("{place}: {line}"));
                let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
                code.clone_into(&mut case.code);
                message.clone_into(&mut case.message);
            }
        }
    }
    for case in &cases {
        assert!(case.status > 0, "{case}: no status");
    }
    assert!(!cases.is_empty(), "{file}: nothing in it");
    cases
}

impl Case {
    /// Sends it to the app.
    pub async fn send(&self, app: &App) -> Answer {
        let mut call: Call = app.call(&self.method, &format!("/rest/v1/{}", url(&self.path)));
        match self.caller.as_str() {
            "" | "service" => call = call.header("apikey", &app.service_role_key),
            "anon" => call = call.header("apikey", &app.anon_key),
            "none" => {}
            other => panic!("{self}: who is {other}?"),
        }
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        let typed = self.headers.iter().any(|(name, _)| name == "content-type");
        if !self.body.is_empty() && !typed {
            call = call.header("content-type", "application/json");
        }
        call.body(self.body.join("\n")).await
    }

    /// In which ways an answer is not what is expected.
    pub fn faults(&self, answer: &Answer) -> Vec<String> {
        let mut faults = Vec::new();
        let mut want = |what: &str, found: String, expect: &str| {
            if found != expect {
                faults.push(format!("{what} is {found}, not {expect}"));
            }
        };
        let body = answer.text();
        want(
            "status",
            format!(
                "{}{}",
                answer.status,
                if answer.status == self.status {
                    ""
                } else {
                    &body
                }
            ),
            &self.status.to_string(),
        );
        if !self.code.is_empty() {
            let error: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            let text = |name: &str| error[name].as_str().unwrap_or(&body).to_owned();
            want("code", text("code"), &self.code);
            if !self.message.is_empty() {
                want("message", text("message"), &self.message);
            }
            want(
                "proxy-status",
                answer.header("proxy-status").to_owned(),
                &format!("PostgREST; error={}", self.code),
            );
        }
        for (name, value) in &self.answered {
            want(name, answer.header(name).to_owned(), value);
        }
        if !self.answer.is_empty() {
            let expect = self.answer.join("\n");
            if answer.header("content-type").contains("json") {
                want("body", compact(&body), &compact(&expect));
            } else {
                want("body", body.clone(), &expect);
            }
        }
        // What a JSON string says is looked for as it is said.
        let said = body.replace("\\\"", "\"");
        for part in &self.parts {
            if !body.contains(part) && !said.contains(part) {
                faults.push(format!("no {part} in {body}"));
            }
        }
        for part in &self.absent {
            if body.contains(part) {
                faults.push(format!("{part} in {body}"));
            }
        }
        faults
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.place, self.method, self.path)
    }
}

/// Percent-encodes what a URL cannot hold; `%` itself is for the file to write.
fn url(path: &str) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// JSON without the space between its tokens.
fn compact(json: &str) -> String {
    let mut out = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for letter in json.chars() {
        if quoted || !letter.is_ascii_whitespace() {
            out.push(letter);
        }
        quoted = match letter {
            '"' if !escaped => !quoted,
            _ => quoted,
        };
        escaped = quoted && letter == '\\' && !escaped;
    }
    out
}
