//! The dialect's templates are Go's: their fields and conditions are rewritten as Jinja's, line for line,
//! and what neither language may do here is found.

/// Tags of Jinja that templates may use. The others make variables, or text out of little.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Go's names and ours.
const FIELDS: [(&str, &str); 8] = [
    ("ConfirmationURL", "confirmation_url"),
    ("Token", "token"),
    ("TokenHash", "token_hash"),
    ("SiteURL", "site_url"),
    ("Email", "email"),
    ("NewEmail", "new_email"),
    ("RedirectTo", "redirect_to"),
    ("Data", "data"),
];

/// `source` in Jinja's words, each tag on the line it was on.
///
/// # Errors
/// The line, from 1, and what is wrong there.
pub fn translate(source: &str) -> Result<String, (usize, String)> {
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(found) = next_tag(&source[at..]) {
        let begin = at + found;
        out.push_str(&source[at..begin]);
        let line = 1 + source[..begin].matches('\n').count();
        let fault = |message: &str| (line, message.to_owned());
        let (open, rest) = source[begin..].split_at(2);
        if open == "{#" {
            let end = rest
                .find("#}")
                .ok_or_else(|| fault("`{#` is not closed by `#}`"))?;
            at = begin + 2 + end + 2;
            out.push_str(&source[begin..at]);
            continue;
        }
        let close = if open == "{{" { "}}" } else { "%}" };
        let end = tag_end(rest, close).map_err(fault)?;
        let tag = &rest[..end];
        at = begin + 2 + end + 2;
        if open == "{%" {
            let word = strip_marks(tag)
                .split_whitespace()
                .next()
                .unwrap_or_default();
            if !TAGS.contains(&word) {
                return Err((
                    line,
                    format!(
                        "`{{% {word} %}}` is not possible here; there are {}",
                        TAGS.join(", ")
                    ),
                ));
            }
            out.push_str(&source[begin..at]);
            continue;
        }
        match go(strip_marks(tag)).map_err(|message| (line, message))? {
            None => out.push_str(&source[begin..at]),
            Some((open, inner, close)) => {
                let (before, after) = marks(tag);
                out.push_str(open);
                out.push_str(before);
                out.push_str(&format!(" {inner} "));
                out.extend(tag.chars().filter(|sign| *sign == '\n'));
                out.push_str(after);
                out.push_str(close);
            }
        }
    }
    out.push_str(&source[at..]);
    Ok(out)
}

fn next_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len().saturating_sub(1))
        .find(|&at| bytes[at] == b'{' && matches!(bytes[at + 1], b'{' | b'%' | b'#'))
}

/// How long the tag is that ends in `close`.
fn tag_end(rest: &str, close: &str) -> Result<usize, &'static str> {
    let mut quote = None;
    let mut signs = rest.char_indices();
    while let Some((at, sign)) = signs.next() {
        match (quote, sign) {
            (Some(_), '\\') => drop(signs.next()),
            (Some(open), _) if open == sign => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(sign),
            (None, _) if rest[at..].starts_with(close) => return Ok(at),
            (None, '*') => return Err("`*` is not possible in a template of a mail"),
            (None, '{') => {
                return Err("`{` is not possible within a tag; is the one before closed?");
            }
            (None, _) => {}
        }
    }
    Err("a tag is not closed")
}

/// The marks that take away space around a tag.
fn marks(tag: &str) -> (&str, &str) {
    let mark = |sign: Option<char>| match sign {
        Some('-') => "-",
        Some('+') => "+",
        _ => "",
    };
    (mark(tag.chars().next()), mark(tag.chars().next_back()))
}

fn strip_marks(tag: &str) -> &str {
    let tag = tag.strip_prefix(['-', '+']).unwrap_or(tag);
    tag.strip_suffix(['-', '+']).unwrap_or(tag).trim()
}

/// What a tag of Go's is in Jinja: how it opens, what is in it, how it closes. None if it is Jinja's.
fn go(tag: &str) -> Result<Option<(&'static str, String, &'static str)>, String> {
    let block = |inner: String| Ok(Some(("{%", inner, "%}")));
    let words = words(tag);
    match words.as_slice() {
        [field] if field.starts_with('.') => Ok(Some(("{{", operand(field)?, "}}"))),
        ["if", condition @ ..] => block(format!("if {}", self::condition(condition)?)),
        ["else", "if", condition @ ..] => block(format!("elif {}", self::condition(condition)?)),
        ["else"] => block("else".to_owned()),
        ["end"] => block("endif".to_owned()),
        [
            "range" | "with" | "template" | "define" | "block" | "printf" | "html",
            ..,
        ] => Err(format!(
            "Go's `{}` is not understood; write it as Jinja's {{% if … %}} or {{% for … %}}",
            words[0]
        )),
        [first, ..] if first.starts_with('.') || first.starts_with('$') => Err(format!(
            "`{tag}` is not understood; write a field such as {{{{ .Token }}}}"
        )),
        _ => Ok(None),
    }
}

fn condition(words: &[&str]) -> Result<String, String> {
    match words {
        [one] => operand(one),
        ["not", one] => Ok(format!("not {}", operand(one)?)),
        ["eq", a, b] => Ok(format!("{} == {}", operand(a)?, operand(b)?)),
        ["ne", a, b] => Ok(format!("{} != {}", operand(a)?, operand(b)?)),
        other => Err(format!(
            "the condition `{}` is not understood; write a field, `not`, `eq` or `ne`",
            other.join(" ")
        )),
    }
}

fn operand(word: &str) -> Result<String, String> {
    let literal = word.len() >= 2
        && word.starts_with('"')
        && word.ends_with('"')
        && !word[1..word.len() - 1].contains(['"', '\\']);
    if literal || word.parse::<i64>().is_ok() {
        return Ok(word.to_owned());
    }
    let mut parts = word.strip_prefix('.').unwrap_or_default().split('.');
    let name = parts.next().unwrap_or_default();
    let Some((_, own)) = FIELDS.iter().find(|(go, _)| *go == name) else {
        let known: Vec<String> = FIELDS.iter().map(|(go, _)| format!(".{go}")).collect();
        return Err(format!(
            "there is no `{word}`; there are {}",
            known.join(", ")
        ));
    };
    let mut path = (*own).to_owned();
    for part in parts {
        let fine = part.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '_')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fine || *own != "data" {
            return Err(format!("there is no `{word}`; only .Data has fields"));
        }
        path.push('.');
        path.push_str(part);
    }
    Ok(path)
}

/// Words between spaces; what is quoted is one.
fn words(tag: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut quoted) = (None, false);
    for (at, sign) in tag.char_indices() {
        quoted ^= sign == '"';
        match (begin, sign.is_whitespace() && !quoted) {
            (Some(from), true) => {
                words.push(&tag[from..at]);
                begin = None;
            }
            (None, false) => begin = Some(at),
            _ => {}
        }
    }
    words.extend(begin.map(|from| &tag[from..]));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialects_tags_become_jinjas() {
        let check = |go: &str, jinja: &str| assert_eq!(translate(go).as_deref(), Ok(jinja), "{go}");
        check("{{ .ConfirmationURL }}", "{{ confirmation_url }}");
        check("{{.TokenHash}}", "{{ token_hash }}");
        check("a {{- .SiteURL -}} b", "a {{- site_url -}} b");
        check("{{ .Data.first_name }}", "{{ data.first_name }}");
        check("{{\n.Email\n}}x", "{{ email \n\n}}x");
        check(
            "{{ if .Data.x }}a{{ else }}b{{ end }}",
            "{% if data.x %}a{% else %}b{% endif %}",
        );
        check(
            r#"{{if eq .Data.lang "d e"}}a{{else if not .Token}}b{{end}}"#,
            r#"{% if data.lang == "d e" %}a{% elif not token %}b{% endif %}"#,
        );
        // What is Jinja's stays.
        for text in [
            "{{ token }}{% if data.x == '%}' %}{% endif %}",
            "{# {{ .Nothing }} * #}",
            "{ .Token } {",
            "* { }} %}",
            "é{{ 'é}}' }}",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_is_not_possible_is_told_with_its_line() {
        let check = |text: &str, line: usize, part: &str| {
            let (at, message) = translate(text).unwrap_err();
            assert!(
                at == line && message.contains(part),
                "{text}: {at}: {message}"
            );
        };
        check("\n{{ .Nope }}", 2, "there is no `.Nope`");
        check("{{ .Token.x }}", 1, "only .Data has fields");
        check("{{ .Data.x-y }}", 1, "only .Data has fields");
        check("{{ range .Data.items }}", 1, "`range`");
        check("{{ .Token | html }}", 1, "is not understood");
        check("{{ if and .Token .Email }}", 1, "the condition");
        check("\n\n{% raw %}", 3, "`{% raw %}`");
        check("{% macro x() %}", 1, "`{% macro %}`");
        check("{{ 'a' * 9 }}", 1, "`*`");
        check("{{ '}}' * 9 }}", 1, "`*`");
        check("{{ token", 1, "not closed");
        check("{{ token {{ x }}", 1, "`{`");
        check("{# x", 1, "not closed");
    }
}
