//! `cargo xtask deps`: what `deny.toml` asks of dependencies, checked without a network.
//!
//! cargo-deny reads the same file and knows more, advisories among it, but fetches its database from
//! outside. What is checked here is what is really built, as `cargo tree` resolves it: an optional
//! dependency that nobody turns on stands in the lock file and does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use toml::Value;

use crate::needs;
use crate::process::{output, say};

/// The rules of `deny.toml` that are checked here.
#[derive(Debug, Default)]
struct Rules {
    licences: BTreeSet<String>,
    /// Crate and reason.
    banned: BTreeMap<String, String>,
    /// Crates that may be there in one version only.
    single: BTreeSet<String>,
}

/// A crate that is built.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

/// Checks every crate of the workspace's tree.
///
/// # Errors
/// All faults together.
pub fn check(root: &Path) -> anyhow::Result<()> {
    say("dependencies against deny.toml");
    let text = std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let rules = Rules::parse(&text)?;
    let mut tree = needs::cargo(root, "tree");
    tree.args(["--workspace", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{l}"]);
    let packages = packages(&output(&mut tree)?)?;
    let faults = rules.faults(&packages);
    if !faults.is_empty() {
        bail!("dependencies:\n  {}", faults.join("\n  "));
    }
    eprintln!("    {} crates", packages.len());
    Ok(())
}

impl Rules {
    fn parse(text: &str) -> anyhow::Result<Rules> {
        let file: toml::Table = text.parse().context("deny.toml")?;
        let list = |section: &str, key: &str| -> anyhow::Result<Vec<Value>> {
            let value = file.get(section).and_then(|section| section.get(key));
            let list = value.and_then(Value::as_array);
            Ok(list
                .with_context(|| format!("deny.toml has no {section}.{key}"))?
                .clone())
        };
        let mut rules = Rules::default();
        for licence in list("licenses", "allow")? {
            let licence = licence.as_str().context("a licence is a text")?;
            rules.licences.insert(licence.to_owned());
        }
        for ban in list("bans", "deny")? {
            let text = |key: &str| ban.get(key).and_then(Value::as_str);
            let name = text("crate")
                .context("bans.deny names no crate")?
                .to_owned();
            let only_twice = ban.get("deny-multiple-versions").and_then(Value::as_bool);
            if only_twice == Some(true) {
                rules.single.insert(name);
            } else {
                let reason = text("reason").unwrap_or("deny.toml denies it");
                rules.banned.insert(name, reason.to_owned());
            }
        }
        Ok(rules)
    }

    fn faults(&self, packages: &BTreeSet<Package>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in packages {
            let Package {
                name,
                version,
                licence,
            } = package;
            versions.entry(name).or_default().push(version);
            if let Some(reason) = self.banned.get(name) {
                faults.push(format!(
                    "{name} {version} is banned: {reason}; `cargo tree -i {name}` shows who wants it"
                ));
            }
            if !allows(&self.licences, licence) {
                faults.push(format!("{name} {version} has the licence `{licence}`"));
            }
        }
        for name in &self.single {
            if let Some(versions) = versions.get(name.as_str())
                && versions.len() > 1
            {
                faults.push(format!("{name} is there twice: {}", versions.join(", ")));
            }
        }
        faults
    }
}

/// Lines such as `serde v1.0.229|MIT OR Apache-2.0 (*)`; crates of the workspace end in their folder.
fn packages(tree: &str) -> anyhow::Result<BTreeSet<Package>> {
    let lines = tree.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let parts = line.split_once('|').and_then(|(package, licence)| {
                let mut words = package.split(' ');
                Some((words.next()?, words.next()?.strip_prefix('v')?, licence))
            });
            let (name, version, licence) =
                parts.with_context(|| format!("`cargo tree` says `{line}`"))?;
            Ok(Package {
                name: name.to_owned(),
                version: version.to_owned(),
                licence: licence.trim_end_matches(" (*)").to_owned(),
            })
        })
        .collect()
}

/// Whether an SPDX expression can be met with the licences allowed. `/` is how `OR` used to be written.
fn allows(licences: &BTreeSet<String>, expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = either(licences, &mut words);
    met == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// None if the words make no expression.
fn either(licences: &BTreeSet<String>, words: &mut Words<'_>) -> Option<bool> {
    let mut met = both(licences, words)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= both(licences, words)?;
    }
    Some(met)
}

fn both(licences: &BTreeSet<String>, words: &mut Words<'_>) -> Option<bool> {
    let mut met = single(licences, words)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= single(licences, words)?;
    }
    Some(met)
}

fn single(licences: &BTreeSet<String>, words: &mut Words<'_>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = either(licences, words)?;
        return (words.next()? == ")").then_some(met);
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next()?);
    }
    Some(licences.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0", "Zlib", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        deny = [{ crate = "ring", reason = "two of them" }, { crate = "http", deny-multiple-versions = true }]
    "#;

    #[test]
    fn licences_are_expressions() {
        let licences = Rules::parse(DENY).unwrap().licences;
        let check = |expression: &str, expect: bool| {
            assert_eq!(allows(&licences, expression), expect, "{expression}");
        };
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("MIT/Apache-2.0", true);
        check("MIT AND GPL-3.0", false);
        check("(MIT OR GPL-3.0) AND Zlib", true);
        check("MIT OR GPL-3.0 AND GPL-2.0", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("Apache-2.0 WITH Classpath-exception-2.0", false);
        check("MIT OR", false);
        check("(MIT", false);
        check("", false);
    }

    #[test]
    fn every_fault_is_named() {
        let tree = "own v0.1.0 (/here)|MIT\nring v0.17.14|Apache-2.0 (*)\nhttp v0.2.1|MIT\nhttp v1.5.0|MIT\nhttp v1.5.0|MIT (*)\nodd v1.0.0|GPL-3.0\n\n";
        let faults = Rules::parse(DENY).unwrap().faults(&packages(tree).unwrap());
        assert_eq!(
            faults,
            [
                "odd 1.0.0 has the licence `GPL-3.0`".to_owned(),
                "ring 0.17.14 is banned: two of them; `cargo tree -i ring` shows who wants it"
                    .into(),
                "http is there twice: 0.2.1, 1.5.0".into(),
            ]
        );
    }
}
