//! Two apps may have crates of one name, and each must get its own component from the shared target folder.

use std::path::Path;

use pumice_guest_build::{Settings, Toolchain};

fn write_crate(folder: &Path, word: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("src"))?;
    let manifest = "[package]\nname = \"same\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest)?;
    let source = format!("#[used]\nstatic WORD: [u8; 9] = *b\"word of {word}\";\n");
    std::fs::write(folder.join("src/lib.rs"), source)
}

#[test]
fn crates_of_one_name_do_not_mix() {
    let root = tempfile::tempdir().unwrap();
    let settings = Settings {
        cache: root.path().join("cache"),
        route: None,
    };
    let toolchain = Toolchain::find_with(settings, &|_| {}).unwrap();
    write_crate(&root.path().join("a"), "a").unwrap();
    write_crate(&root.path().join("b"), "b").unwrap();
    let check = |app: &str, expect_change: bool| {
        let out = root.path().join(format!("{app}.wasm"));
        let built = toolchain
            .build_crate(&root.path().join(app), &out, &|_| {})
            .unwrap();
        let component = std::fs::read(&built.component).unwrap();
        let word = format!("word of {app}");
        let found = component
            .windows(word.len())
            .any(|window| window == word.as_bytes());
        assert!(found, "the component of {app} says something else");
        assert_eq!(built.changed, expect_change, "{app}");
    };
    check("a", true);
    check("b", true);
    check("b", false);
    check("a", false);
}
