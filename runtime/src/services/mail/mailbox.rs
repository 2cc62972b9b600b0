//! Mails that are kept in memory for the developer, in place of being sent.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::limits;

/// A mail as the developer sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    pub id: String,
    /// The template's name.
    pub template: &'static str,
    pub from: String,
    pub to: String,
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    /// Where it leads: the confirmation link first.
    pub links: Vec<String>,
    /// The code in it.
    pub token: String,
    /// RFC 3339.
    pub created_at: String,
}

impl Kept {
    fn bytes(&self) -> usize {
        let part = |part: &Option<String>| part.as_ref().map_or(0, String::len);
        let links: usize = self.links.iter().map(String::len).sum();
        part(&self.text) + part(&self.html) + links + self.subject.len() + self.to.len()
    }
}

/// The last mails of one app: at most [`limits::MAILBOX_MAILS_MAX`] and [`limits::MAILBOX_BYTES_MAX`].
#[derive(Default)]
pub struct Mailbox(Mutex<VecDeque<Arc<Kept>>>);

impl Mailbox {
    pub fn put(&self, mail: Arc<Kept>) {
        let mut mails = self.0.lock();
        mails.push_back(mail);
        let mut bytes: usize = mails.iter().map(|mail| mail.bytes()).sum();
        while mails.len() > limits::MAILBOX_MAILS_MAX || bytes > limits::MAILBOX_BYTES_MAX {
            let Some(oldest) = mails.pop_front() else {
                break;
            };
            bytes -= oldest.bytes();
        }
    }

    /// Newest first; those to one address only, if it is given.
    pub fn mails(&self, to: Option<&str>) -> Vec<Arc<Kept>> {
        let mails = self.0.lock();
        let newest = mails.iter().rev();
        newest.filter(|mail| is_to(mail, to)).cloned().collect()
    }

    pub fn mail(&self, id: &str) -> Option<Arc<Kept>> {
        self.0.lock().iter().find(|mail| mail.id == id).cloned()
    }

    /// Forgets them; those to one address only, if it is given.
    pub fn clear(&self, to: Option<&str>) {
        self.0.lock().retain(|mail| !is_to(mail, to));
    }
}

fn is_to(mail: &Kept, to: Option<&str>) -> bool {
    to.is_none_or(|to| mail.to.eq_ignore_ascii_case(to))
}

/// Where a mail leads, each place once and `first` before the others.
pub fn links(first: Option<&str>, text: Option<&str>, html: Option<&str>) -> Vec<String> {
    let mut links: Vec<String> = first.map(str::to_owned).into_iter().collect();
    let mut add = |link: String| {
        let web = link.starts_with("https://") || link.starts_with("http://");
        if web && !links.contains(&link) {
            links.push(link);
        }
    };
    for word in text.unwrap_or_default().split_whitespace() {
        const AROUND: [char; 8] = ['<', '>', '(', ')', '"', '\'', ',', ';'];
        let ends = |sign: char| AROUND.contains(&sign) || ['.', '!', '?', ':'].contains(&sign);
        add(word
            .trim_start_matches(AROUND)
            .trim_end_matches(ends)
            .to_owned());
    }
    for rest in html.unwrap_or_default().split("href=").skip(1) {
        let quote = rest
            .chars()
            .next()
            .filter(|sign| matches!(sign, '"' | '\''));
        if let Some((link, _)) = quote.and_then(|quote| rest[1..].split_once(quote)) {
            add(unescaped(link));
        }
    }
    links
}

fn unescaped(text: &str) -> String {
    [
        ("&#x2f;", "/"),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: usize, to: &str, bytes: usize) -> Arc<Kept> {
        Arc::new(Kept {
            id: number.to_string(),
            template: "invite",
            from: String::new(),
            to: to.to_owned(),
            subject: String::new(),
            text: Some("x".repeat(bytes)),
            html: None,
            links: Vec::new(),
            token: String::new(),
            created_at: String::new(),
        })
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let mailbox = Mailbox::default();
        (0..limits::MAILBOX_MAILS_MAX + 1).for_each(|number| mailbox.put(mail(number, "a@b", 1)));
        let kept = mailbox.mails(None);
        assert_eq!(kept.len(), limits::MAILBOX_MAILS_MAX);
        assert_eq!(kept[0].id, limits::MAILBOX_MAILS_MAX.to_string());
        assert!(mailbox.mail("0").is_none() && mailbox.mail("1").is_some());
        mailbox.put(mail(1_000, "c@d", limits::MAILBOX_BYTES_MAX - 3));
        assert_eq!(mailbox.mails(None).len(), 1);
        mailbox.put(mail(1_001, "a@b", 3));
        assert_eq!(mailbox.mails(None).len(), 1);
        assert_eq!(mailbox.mails(Some("A@B")).len(), 1);
        mailbox.clear(Some("c@d"));
        assert_eq!(mailbox.mails(None).len(), 1);
        mailbox.clear(None);
        assert_eq!(mailbox.mails(None).len(), 0);
    }

    #[test]
    fn links_are_found_once() {
        let found = links(
            Some("https://a/1?x=1&y=2"),
            Some("go to https://a/1?x=1&y=2 or (http://b/2). ftp://c mailto:x"),
            Some(r#"<a href="https://a/1?x=1&amp;y=2">a</a><a href='https://d/'>d</a><a href=#>"#),
        );
        assert_eq!(found, ["https://a/1?x=1&y=2", "http://b/2", "https://d/"]);
    }
}
