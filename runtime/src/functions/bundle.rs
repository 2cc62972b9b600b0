//! What a bundle holds, and where: an app as it is uploaded, besides its manifest.
//!
//! - `components/<name>.wasm`: one for each path of the manifest, called like the first entry that has
//!   the path (functions come first, then triggers, procedures, scripts and hooks);
//! - `migrations/<name>.sql` and `seed.sql`;
//! - `mail/<letter>.html` and `mail/<letter>.txt`: templates of mails;
//! - `public/…`: static files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use crate::digest::Digest;
use crate::limits;
use crate::services::mail::Letter;

/// A file of a revision, stored under its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// Files of a revision by their path in the bundle.
pub type Files = BTreeMap<String, StoredFile>;

/// Where static files stand in a bundle.
pub const PUBLIC: &str = "public/";

/// Where migrations stand in a bundle, and in an app's folder.
pub const MIGRATIONS: &str = "migrations/";

/// Where templates of mails stand in a bundle, and in an app's folder.
pub const MAIL: &str = "mail/";

/// The rows that a new database begins with.
pub const SEED: &str = "seed.sql";

/// Where a component stands, by [`Component::name`](super::manifest::Component::name).
pub fn component_path(component: &str) -> String {
    format!("components/{component}.wasm")
}

/// What a file of a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Component,
    Migration,
    Seed,
    Mail,
    Static,
}

impl Part {
    /// Its largest size.
    pub fn bytes_max(self) -> u64 {
        match self {
            Part::Component => limits::COMPONENT_BYTES_MAX,
            Part::Migration | Part::Seed => limits::MIGRATION_BYTES_MAX,
            Part::Mail => limits::MAIL_TEMPLATE_BYTES_MAX,
            Part::Static => limits::STATIC_FILE_BYTES_MAX,
        }
    }
}

/// The paths that a manifest's bundle may have.
pub struct Layout(BTreeSet<String>);

impl Layout {
    pub fn of(manifest: &Manifest) -> Layout {
        let components = manifest.components();
        Layout(
            components
                .iter()
                .map(|component| component_path(component.name))
                .collect(),
        )
    }

    /// What stands at `path`; `None` if nothing can.
    pub fn part(&self, path: &str) -> Option<Part> {
        let unclean = path.contains(['\\', '\0'])
            || path.split('/').any(|part| matches!(part, "" | "." | ".."));
        if unclean {
            return None;
        }
        if self.0.contains(path) {
            return Some(Part::Component);
        }
        if path == SEED {
            return Some(Part::Seed);
        }
        if let Some(name) = path.strip_prefix(MIGRATIONS) {
            return is_migration(name).then_some(Part::Migration);
        }
        if let Some(name) = path.strip_prefix(MAIL) {
            return mail_template(name).map(|_| Part::Mail);
        }
        path.starts_with(PUBLIC).then_some(Part::Static)
    }
}

/// Whether a file called `name` in `migrations/` is one. Others stay at home: notes, and what editors
/// and systems hide.
pub fn is_migration(name: &str) -> bool {
    let stem = name.strip_suffix(".sql").unwrap_or_default();
    !stem.is_empty() && !stem.starts_with('.') && !stem.contains('/')
}

/// What a file called `name` in `mail/` is a template of; whether it is one of HTML.
pub fn mail_template(name: &str) -> Option<(Letter, bool)> {
    let (stem, ending) = name.split_once('.')?;
    let letter = Letter::ALL
        .into_iter()
        .find(|letter| letter.name() == stem)?;
    match ending {
        "html" => Some((letter, true)),
        "txt" => Some((letter, false)),
        _ => None,
    }
}

/// The migrations among `files`, by their paths, in the order in which they run: that of the names'
/// bytes.
pub fn migrations(files: &Files) -> Vec<(String, StoredFile)> {
    files
        .iter()
        .filter(|(path, _)| path.strip_prefix(MIGRATIONS).is_some_and(is_migration))
        .map(|(path, file)| (path.clone(), *file))
        .collect()
}

/// The `seed.sql` among `files`.
pub fn seed(files: &Files) -> Option<StoredFile> {
    files.get(SEED).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_one_use_or_none() {
        let manifest = Manifest::parse(
            "[app]\nname = \"a\"\n[[function]]\nname = \"f\"\npath = \"./both/\"\n[[script]]\nname = \"s\"\npath = \"both\"\n[[script]]\nname = \"t\"\npath = \"t\"\n",
        )
        .unwrap();
        let layout = Layout::of(&manifest);
        let check = |path: &str, part| assert_eq!(layout.part(path), part, "{path}");
        check("components/f.wasm", Some(Part::Component));
        check("components/t.wasm", Some(Part::Component));
        check("components/s.wasm", None);
        check("components/x.wasm", None);
        check("migrations/0001_init.sql", Some(Part::Migration));
        check("migrations/.sql", None);
        check("migrations/._0001_init.sql", None);
        check("migrations/README.md", None);
        check("migrations/old/0001.sql", None);
        check("migrations/../x.sql", None);
        check("migrations", None);
        check("seed.sql", Some(Part::Seed));
        check("seed.sql/x", None);
        check("other.sql", None);
        check("mail/magic_link.html", Some(Part::Mail));
        check("mail/magic_link.txt", Some(Part::Mail));
        check("mail/magic_link.htm", None);
        check("mail/welcome.html", None);
        check("mail/de/invite.txt", None);
        check("mail/invite", None);
        check("public/a/b", Some(Part::Static));
        check("public/", None);
        check("public/seed.sql", Some(Part::Static));
        check("public/a\\b", None);
        check("/public/a", None);
        check("", None);
    }

    #[test]
    fn migrations_come_in_order() {
        let file = |text: &str| StoredFile {
            digest: Digest::of(text.as_bytes()),
            size: text.len() as u64,
        };
        let names = [
            "migrations/0010_c.sql",
            "migrations/0002_b.sql",
            "migrations/0001_a.sql",
            "public/x.sql",
            "seed.sql",
        ];
        let files: Files = names
            .iter()
            .map(|name| ((*name).to_owned(), file(name)))
            .collect();
        let found = migrations(&files);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, [names[2], names[1], names[0]]);
        assert_eq!(found[0].1, file(names[2]));
        assert_eq!(seed(&files), Some(file("seed.sql")));
        assert_eq!(seed(&Files::new()), None);
    }
}
