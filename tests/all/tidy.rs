//! Rules of the repository that no compiler checks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pumice_tests::repository;

/// Files below `folder` whose name ends so, as paths from the top of the repository with their text.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![repository().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !matches!(&*name, "target" | "node_modules" | ".git" | ".pumice") {
                    folders.push(path);
                }
            } else if name.ends_with(ending) {
                let text = std::fs::read_to_string(&path).expect("it is text");
                let path = path.strip_prefix(repository()).expect("it is below");
                found.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no {ending}");
    found.sort();
    found
}

/// Rust files of the host's crates.
fn host_code() -> Vec<(String, String)> {
    let crates = ["runtime/src", "host-api/src", "guest-build/src"];
    crates
        .iter()
        .flat_map(|folder| files(folder, ".rs"))
        .collect()
}

/// Lines with `wanted` in them outside of comments, as `path:line: text`.
fn lines(files: &[(String, String)], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && wanted(line) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    found
}

/// Fails with the lines that are not at one of these places.
#[track_caller]
fn only_in(found: &[String], places: &[&str]) {
    let strays: Vec<&String> = found
        .iter()
        .filter(|line| {
            !places.iter().any(|place| {
                line.split(':')
                    .next()
                    .is_some_and(|path| is_at(path, place))
            })
        })
        .collect();
    assert!(strays.is_empty(), "only in {places:?}: {strays:#?}");
}

/// Whether a path is a place: the file itself, a file so named, below a folder, or below any folder of
/// that name.
fn is_at(path: &str, place: &str) -> bool {
    path == place
        || (place.starts_with('/') && path.contains(place))
        || Path::new(path)
            .file_name()
            .is_some_and(|name| name == place)
        || (place.ends_with('/') && path.starts_with(place))
}

#[test]
fn axum_is_known_to_the_runtime_alone() {
    let uses = lines(&files(".", "Cargo.toml"), |line| line.starts_with("axum"));
    only_in(&uses, &["Cargo.toml", "runtime/Cargo.toml"]);
    let members = [
        "host-api/Cargo.toml",
        "guest-build/Cargo.toml",
        "tests/Cargo.toml",
        "xtask/Cargo.toml",
    ];
    for line in &uses {
        assert!(
            !members.iter().any(|member| line.starts_with(member)),
            "{line}"
        );
    }
    let mentions = lines(&files(".", ".rs"), |line| {
        line.contains(concat!("ax", "um::"))
    });
    only_in(&mentions, &["runtime/src/"]);
}

#[test]
fn the_arrows_point_one_way() {
    let manifest =
        |path: &str| std::fs::read_to_string(repository().join(path)).expect("it is there");
    assert!(!manifest("host-api/Cargo.toml").contains("pumice-runtime"));
    assert!(!manifest("guest-build/Cargo.toml").contains("path = \"../"));
    for path in [
        "guest-sdk/rust/Cargo.toml",
        "guest-sdk/macros/Cargo.toml",
        "tests/guests/Cargo.toml",
    ] {
        let text = manifest(path);
        for host in ["pumice-runtime", "pumice-host-api", "wasmtime"] {
            assert!(!text.contains(host), "{path} knows {host}");
        }
    }
}

#[test]
fn sql_stands_in_files_for_it() {
    let verbs = [
        "select ",
        "insert into ",
        "update ",
        "delete from ",
        "create table ",
        "pragma ",
        "alter table ",
    ];
    // Tests ask a database what is in it.
    let code: Vec<(String, String)> = host_code()
        .into_iter()
        .filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs"))
        .map(|(path, text)| {
            let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            (path, text[..end].to_owned())
        })
        .collect();
    let found = lines(&code, |line| {
        line.split('"').skip(1).step_by(2).any(|text| {
            // The dialect's name for a part of a request.
            text != "select parameter"
                && verbs
                    .iter()
                    .any(|verb| text.to_ascii_lowercase().starts_with(verb))
        })
    });
    assert!(!found.is_empty(), "the rule finds nothing");
    only_in(
        &found,
        &[
            "sql.rs",
            "/sql/",
            "host-api/src/data/testing.rs",
            // A schema for fuzzers, and PostgreSQL's messages that begin as a statement does.
            "host-api/src/fuzz.rs",
            "host-api/src/data/sqlite/errors.rs",
            "host-api/src/data/ddl/from.rs",
            // A migration's query is taken apart here and put together again.
            "host-api/src/data/ddl/select.rs",
        ],
    );
}

#[test]
fn generated_types_stay_at_the_edge() {
    let found = lines(&host_code(), |line| line.contains("bindings::"));
    only_in(
        &found,
        &[
            "bindings.rs",
            "host.rs",
            "host_tests.rs",
            "runtime/src/invoke/",
            "host-api/src/lib.rs",
            // The hosts of all interfaces that have no service yet.
            "host-api/src/absent.rs",
            // Finding the handler's place is part of loading a component.
            "runtime/src/functions/components.rs",
        ],
    );
}

#[test]
fn guests_are_entered_in_one_place() {
    let found = lines(&host_code(), |line| {
        line.contains("call_async(") || line.contains("instantiate_async(")
    });
    assert_eq!(found.len(), 2, "{found:#?}");
    only_in(&found, &["runtime/src/invoke/"]);
}

#[test]
fn no_interface_takes_an_app() {
    let found = lines(&files("wit", ".wit"), |line| {
        line.contains("app-id") || line.contains("app: string") || line.contains("tenant")
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn unsafe_code_is_in_two_files() {
    // A browser's policy has a word that looks like it.
    let found = lines(&host_code(), |line| {
        line.replace("'unsafe-inline'", "").contains("unsafe")
    });
    only_in(
        &found,
        &[
            "runtime/src/engine/artifact.rs",
            "host-api/src/bindings.rs",
            "host-api/src/data/sqlite_ffi.rs",
        ],
    );
}

#[test]
fn only_commands_print() {
    let found = lines(&host_code(), |line| {
        line.contains("println!") || line.contains("dbg!(")
    });
    only_in(
        &found,
        &[
            "runtime/src/cli/",
            "runtime/src/main.rs",
            "runtime/src/engine/compile.rs",
            "build.rs",
        ],
    );
}

#[test]
fn no_test_sleeps() {
    let sleeping = concat!("sle", "ep");
    let found = lines(&files("tests", ".rs"), |line| {
        line.contains(&format!("{sleeping}(")) || line.contains(&format!("{sleeping}_until("))
    });
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_limit_says_why() {
    let path = "runtime/src/limits.rs";
    let text = std::fs::read_to_string(repository().join(path)).expect("it is there");
    let mut documented = false;
    let mut limits = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with("pub ") && !line.starts_with("pub mod") {
            limits += 1;
            assert!(documented, "{path}:{}: {line} has no reason", number + 1);
        }
        documented = line.starts_with("///") || (documented && line.starts_with("#["));
    }
    assert!(limits > 30, "{limits} limits");
}

#[test]
fn numbers_of_the_outside_world_are_in_one_file() {
    // A bound that is written elsewhere is a bound that nobody finds.
    let found = lines(&files("runtime/src", ".rs"), |line| {
        line.contains("const ") && (line.contains("_MAX: ") || line.contains("_MAX :"))
    });
    // How the log's writer and the scheduler of guests work inside bounds nobody.
    only_in(
        &found,
        &[
            "runtime/src/limits.rs",
            "runtime/src/logs.rs",
            "runtime/src/invoke/",
        ],
    );
}

#[test]
fn every_guest_is_built_and_named_by_a_test() {
    let tests: String = files("tests/all", ".rs")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let named: BTreeSet<&str> = tests
        .split(concat!("gue", "st!(\""))
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let built =
        std::fs::read_to_string(repository().join("tests/guests/Cargo.toml")).expect("it is there");
    let mut guests = BTreeSet::new();
    for (path, _) in files("tests/guests/examples", ".rs") {
        let name = Path::new(&path)
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            built.contains(&format!("name = \"{name}\"\n")),
            "{name} is not in tests/guests/Cargo.toml"
        );
        assert!(
            named.contains(name.as_str()),
            "no test names the guest `{name}`"
        );
        guests.insert(name);
    }
    let unknown: Vec<_> = named
        .iter()
        .filter(|name| !guests.contains(**name))
        .collect();
    assert!(unknown.is_empty(), "there is no guest {unknown:?}");
    for (path, _) in files("tests/js/guests", "s") {
        let name = Path::new(&path)
            .file_name()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            tests.contains(&format!("javascript(\"{name}\")")),
            "no test names {path}"
        );
    }
}
