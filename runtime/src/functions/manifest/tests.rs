use std::time::Duration;

use super::*;

fn faults(text: &str) -> Vec<String> {
    Manifest::parse(text).map_or_else(
        |faults| faults.iter().map(Fault::to_string).collect(),
        |_| Vec::new(),
    )
}

#[test]
fn a_full_manifest_is_read() {
    let manifest = Manifest::parse(
        r#"
        [app]
        name = "shop"
        [config]
        currency = "EUR"
        [limits]
        wall_ms = 5000
        [[function]]
        name = "hello"
        path = "functions/hello"
        route = "/api/*"
        access = "public"
        egress = ["https://api.example.com"]
        secrets = ["STRIPE_KEY"]
        limits = { memory_mib = 32 }
        "#,
    )
    .unwrap();
    let hello = &manifest.functions[0];
    assert_eq!(manifest.config["currency"], "EUR");
    assert_eq!(hello.access, Access::Public);
    assert_eq!(hello.entry.limits.wall, Duration::from_secs(5));
    assert_eq!(hello.entry.limits.memory_bytes, 32 * 1024 * 1024);
}

#[test]
fn all_faults_are_told_with_line_and_fix() {
    let text = r#"[app]
name = "Shop"
colour = "red"
[[function]]
name = "a"
path = "/etc"
acess = "public"
[[function]]
name = "a"
path = "functions/a"
access = "everybody"
route = "/rest/v1/x"
limits = { memory_mib = 4096 }
"#;
    assert_eq!(
        faults(text),
        [
            "pumice.toml:2: app name `Shop`; use 1 to 40 of a-z, 0-9 and -, beginning with a letter",
            "pumice.toml:3: [app] has an unknown key `colour`; the keys are name",
            "pumice.toml:6: path is \"/etc\"; write a path relative to pumice.toml: a cargo crate's folder, a .js or .ts file, or a .wasm component",
            "pumice.toml:7: [[function]] has an unknown key `acess`; did you mean `access`?",
            "pumice.toml:8: a second function is called `a`; rename one of them",
            "pumice.toml:11: access is \"everybody\"; use \"public\", \"anon\", \"authenticated\" or \"service\"",
            "pumice.toml:12: `/rest/v1/x` belongs to Pumice; choose a path outside of /rest/ /batch/ /auth/ /storage/ /realtime/ /functions/ /platform/ /a/ /health/ /ready/ /metrics/",
            "pumice.toml:13: limit `memory_mib` is 4096; use a whole number from 1 to 128",
        ]
    );
}

#[test]
fn broken_toml_is_a_fault_with_a_line() {
    assert!(faults("[app]\nname = \n")[0].starts_with("pumice.toml:2: "));
    assert_eq!(
        faults("")[0],
        "pumice.toml:1: there is no [app]; begin with [app] and name = \"…\""
    );
}

#[test]
fn limits_at_their_edge() {
    let manifest = |mib: u32| {
        format!(
            "[app]\nname = \"a\"\n[[function]]\nname = \"f\"\npath = \"f.js\"\nlimits = {{ memory_mib = {mib} }}\n"
        )
    };
    assert_eq!(faults(&manifest(128)), Vec::<String>::new());
    assert_eq!(faults(&manifest(129)).len(), 1);
    assert_eq!(faults(&manifest(0)).len(), 1);
}

/// One of each sort, after the five lines that an app begins with.
const EVERY_SORT: &str = r#"
[app]
name = "shop"
[limits]
wall_ms = 5000
fuel_ms = 2000
[[function]]
name = "hello"
path = "./functions//hello/"
[[trigger]]
name = "check-order"
path = "functions/check_order.js"
table = "orders"
when = "before"
on = ["insert", "update"]
isolation = "serializable"
secrets = ["KEY"]
[[trigger]]
name = "tell"
path = "functions/hello"
table = "orders"
when = "after"
on = ["delete"]
attempts = 25
egress = ["https://api.example.com"]
[[procedure]]
name = "transfer"
path = "functions/transfer"
[[script]]
name = "digest"
path = "functions/hello"
limits = { wall_ms = 60000 }
[[hook]]
name = "post"
path = "functions/post"
on = "send-message"
egress = ["https://sms.example.com"]
secrets = ["SMS_KEY"]
[[hook]]
name = "claims"
path = "functions/hello"
on = "custom-claims"
[[schedule]]
script = "digest"
cron = "0 * * * *"
timezone = "Europe/Rome"
[[schedule]]
name = "at-night"
script = "digest"
cron = "@daily"
[[bucket]]
name = "avatars"
public = true
size_max_mib = 2
[[bucket]]
name = "papers"
"#;

#[test]
fn every_sort_of_entry_is_read() {
    let manifest = Manifest::parse(EVERY_SORT).unwrap();
    let [check, tell] = &manifest.triggers[..] else {
        panic!("{:?}", manifest.triggers)
    };
    assert_eq!(check.entry.kind, Kind::BeforeTrigger);
    assert_eq!(check.table, "orders");
    assert_eq!(check.when, When::Before { serializable: true });
    assert_eq!(check.on, [Operation::Insert, Operation::Update]);
    assert_eq!(check.entry.to_string(), "before-trigger `check-order`");
    assert_eq!(tell.entry.kind, Kind::AfterTrigger);
    assert_eq!(tell.when, When::After { attempts_max: 25 });
    assert_eq!(tell.on, [Operation::Delete]);
    assert_eq!(tell.entry.egress, ["https://api.example.com"]);
    assert_eq!(manifest.functions[0].access, Access::Anon);
    assert_eq!(manifest.procedures[0].access, Access::Authenticated);
    assert_eq!(manifest.scripts[0].access, Access::Service);
    assert_eq!(manifest.scripts[0].attempts_max, 5);
    let [post, claims] = &manifest.hooks[..] else {
        panic!("{:?}", manifest.hooks)
    };
    assert_eq!(post.to_string(), "send-message `post`");
    assert_eq!(post.egress, ["https://sms.example.com"]);
    assert_eq!(claims.kind, Kind::CustomClaims);
    let schedules: Vec<[&str; 4]> = manifest
        .schedules
        .iter()
        .map(|schedule| {
            [
                schedule.name.as_str(),
                schedule.script.as_str(),
                schedule.cron.as_str(),
                schedule.timezone.as_str(),
            ]
        })
        .collect();
    let expected = [
        ["digest", "digest", "0 * * * *", "Europe/Rome"],
        ["at-night", "digest", "@daily", "UTC"],
    ];
    assert_eq!(schedules, expected);
    let [avatars, papers] = &manifest.buckets[..] else {
        panic!("{:?}", manifest.buckets)
    };
    assert_eq!((avatars.public, avatars.size_max), (true, 2 << 20));
    assert_eq!((papers.public, papers.size_max), (false, 50 << 20));
}

#[test]
fn the_apps_limits_are_cut_to_what_a_kind_may_have() {
    let manifest = Manifest::parse(EVERY_SORT).unwrap();
    let ms = |limits: &Limits| {
        (
            limits.wall.as_millis(),
            limits.fuel / crate::limits::FUEL_PER_MS,
        )
    };
    assert_eq!(ms(&manifest.functions[0].entry.limits), (5_000, 500));
    assert_eq!(ms(&manifest.triggers[0].entry.limits), (500, 500));
    assert_eq!(ms(&manifest.procedures[0].entry.limits), (500, 500));
    assert_eq!(ms(&manifest.scripts[0].entry.limits), (60_000, 2_000));
    let hook = &manifest.hooks[1].limits;
    assert_eq!((ms(hook), hook.memory_bytes), ((500, 500), 64 << 20));
    // Without a script, no entry may have as much fuel.
    let alone = "[app]\nname = \"a\"\n[limits]\nfuel_ms = 2000\n[[function]]\nname = \"f\"\npath = \"f\"\n[[function]]\nname = \"g\"\npath = \"g\"\n";
    let fault = "pumice.toml:4: limit `fuel_ms` is 2000; use a whole number from 1 to 500";
    assert_eq!(faults(alone), [fault]);
}

#[test]
fn entries_with_one_path_share_a_component() {
    let manifest = Manifest::parse(EVERY_SORT).unwrap();
    let components: Vec<(&str, &str, Vec<&str>)> = manifest
        .components()
        .iter()
        .map(|component| {
            let entries = component.entries.iter().map(|entry| entry.name.as_str());
            (component.name, component.path, entries.collect())
        })
        .collect();
    let expected = [
        (
            "hello",
            "functions/hello",
            vec!["hello", "tell", "digest", "claims"],
        ),
        (
            "check-order",
            "functions/check_order.js",
            vec!["check-order"],
        ),
        ("transfer", "functions/transfer", vec!["transfer"]),
        ("post", "functions/post", vec!["post"]),
    ];
    assert_eq!(components, expected);
}

/// The faults of a manifest with these tables; their lines are counted from the first table's.
fn check(tables: &str, expect: &[&str]) {
    let found = faults(&format!("[app]\nname = \"a\"\n{tables}"));
    let expect: Vec<String> = expect
        .iter()
        .map(|fault| {
            let (line, rest) = fault.split_once(' ').unwrap();
            format!("pumice.toml:{}: {rest}", 2 + line.parse::<usize>().unwrap())
        })
        .collect();
    assert_eq!(found, expect, "{tables}");
}

#[test]
fn faults_of_triggers() {
    let trigger = |lines: &str| {
        format!("[[trigger]]\nname = \"t\"\npath = \"t\"\ntable = \"orders\"\n{lines}\n")
    };
    const ON: &str = "write one or more of \"insert\", \"update\" and \"delete\", each once";
    check(&trigger("when = \"before\"\non = [\"insert\"]"), &[]);
    check(
        "[[trigger]]\nname = \"t\"\n",
        &[
            "1 a trigger has no when; add when = …: use \"before\" or \"after\"",
            "1 trigger `t` has no path; add path = \"functions/t\"",
            "1 trigger `t` has no table; add table = \"…\"",
            &format!("1 trigger `t` has no on; add on = […]: {ON}"),
        ],
    );
    check(
        &trigger("when = \"during\"\non = [\"insert\", \"upsert\"]"),
        &[
            "5 when is \"during\"; use \"before\" or \"after\"",
            &format!("6 on is [\"insert\", \"upsert\"]; {ON}"),
        ],
    );
    for on in ["[]", "[\"insert\", \"insert\"]", "\"insert\"", "[1]"] {
        check(
            &trigger(&format!("when = \"after\"\non = {on}")),
            &[&format!("6 on is {on}; {ON}")],
        );
    }
    check(
        &trigger(
            "when = \"before\"\non = [\"insert\"]\nattempts = 3\negress = [\"https://example.com\"]\nisolation = \"snapshot\"",
        ),
        &[
            "7 before-trigger `t` has attempts; leave it out: the write fails with it; only an after-trigger is tried again",
            "8 before-trigger `t` has egress; leave it out: its write may be tried again or refused; call others from an after-trigger",
            "9 isolation is \"snapshot\"; use \"serializable\", or leave it out",
        ],
    );
    check(
        &trigger(
            "when = \"after\"\non = [\"insert\"]\nattempts = 26\nisolation = \"serializable\"",
        ),
        &[
            "7 attempts is 26; use a whole number from 1 to 25",
            "8 an after-trigger has isolation; leave it out: its change is there already; only a before-trigger has it",
        ],
    );
    check(
        "[[trigger]]\nname = \"t\"\npath = \"t\"\ntable = \"auth.users\"\nwhen = \"after\"\non = [\"insert\"]\naccess = \"anon\"\n",
        &[
            "4 table is \"auth.users\"; write the name of a table of schema public, without the schema: 1 to 63 bytes",
            "7 [[trigger]] has an unknown key `access`; the keys are name, path, table, when, on, isolation, attempts, egress, secrets, limits",
        ],
    );
}

#[test]
fn faults_of_hooks() {
    let hook =
        |name: &str, lines: &str| format!("[[hook]]\nname = \"{name}\"\npath = \"h\"\n{lines}\n");
    const ON: &str = "\"before-user-created\", \"custom-claims\", \"send-message\"";
    for on in ["before-user-created", "custom-claims", "send-message"] {
        check(&hook("h", &format!("on = \"{on}\"")), &[]);
    }
    check(
        "[[hook]]\nname = \"h\"\n",
        &[
            &format!("1 a hook has no on; add on = …, one of {ON}"),
            "1 hook `h` has no path; add path = \"functions/h\"",
        ],
    );
    for on in ["\"before-token\"", "[\"custom-claims\"]", "\"script\""] {
        check(
            &hook("h", &format!("on = {on}")),
            &[&format!("4 on is {on}; use one of {ON}")],
        );
    }
    let egress = "egress = [\"https://example.com\"]";
    check(&hook("h", &format!("on = \"send-message\"\n{egress}")), &[]);
    for on in ["before-user-created", "custom-claims"] {
        check(
            &hook("h", &format!("on = \"{on}\"\n{egress}")),
            &[&format!(
                "5 {on} `h` has egress; leave it out: it may be asked again or refuse; call others from a script or an after-trigger"
            )],
        );
    }
    let claims = "on = \"custom-claims\"";
    check(
        &(hook("a", claims) + &hook("b", claims) + &hook("c", "on = \"send-message\"")),
        &[
            "5 a second hook is on \"custom-claims\"; let one hook do both: one is asked, and not two in turn",
        ],
    );
    check(
        &hook("h", "on = \"custom-claims\"\naccess = \"anon\""),
        &[
            "5 [[hook]] has an unknown key `access`; the keys are name, on, path, egress, secrets, limits",
        ],
    );
    // A hook waits for nobody longer than a trigger does.
    check(
        &hook("h", "on = \"custom-claims\"\nlimits = { wall_ms = 501 }"),
        &["5 limit `wall_ms` is 501; use a whole number from 1 to 500"],
    );
}

#[test]
fn attempts_at_their_edge() {
    for (attempts, fits) in [(0, false), (1, true), (25, true), (26, false)] {
        let trigger = format!(
            "[app]\nname = \"a\"\n[[trigger]]\nname = \"t\"\npath = \"t\"\ntable = \"x\"\nwhen = \"after\"\non = [\"insert\"]\nattempts = {attempts}\n"
        );
        assert_eq!(faults(&trigger).is_empty(), fits, "{attempts}");
        let script = format!(
            "[app]\nname = \"a\"\n[[script]]\nname = \"s\"\npath = \"s\"\nattempts_max = {attempts}\n"
        );
        assert_eq!(faults(&script).is_empty(), fits, "{attempts}");
    }
}

#[test]
fn names_are_of_one_component() {
    let both = |paths: [&str; 2]| {
        format!(
            "[[script]]\nname = \"x\"\npath = \"{}\"\n[[procedure]]\nname = \"x\"\npath = \"{}\"\n",
            paths[0], paths[1]
        )
    };
    check(&both(["a", "./a/"]), &[]);
    check(
        &both(["a", "b"]),
        &[
            "4 script `x` and procedure `x` have different paths; rename one of them, or let one component serve both",
        ],
    );
    let twice =
        "[[procedure]]\nname = \"x\"\npath = \"a\"\n[[procedure]]\nname = \"x\"\npath = \"a\"\n";
    check(
        twice,
        &["4 a second procedure is called `x`; rename one of them"],
    );
    let before_and_after = "[[trigger]]\nname = \"x\"\npath = \"a\"\ntable = \"t\"\nwhen = \"before\"\non = [\"insert\"]\n[[trigger]]\nname = \"x\"\npath = \"a\"\ntable = \"t\"\nwhen = \"after\"\non = [\"insert\"]\n";
    check(
        before_and_after,
        &["7 a second trigger is called `x`; rename one of them"],
    );
    check(
        "[[script]]\nname = \"x\"\npath = \".\"\n",
        &[
            "3 path is \".\"; write a path relative to pumice.toml: a cargo crate's folder, a .js or .ts file, or a .wasm component",
        ],
    );
}

#[test]
fn faults_of_schedules() {
    let script = "[[script]]\nname = \"s\"\npath = \"s\"\n";
    check(
        &format!("{script}[[schedule]]\nscript = \"s\"\ncron = \"* * * * *\"\n"),
        &[],
    );
    check(
        &format!("{script}[[schedule]]\n"),
        &[
            "4 a schedule has no script; add script = \"…\"",
            "4 a schedule has no cron; add cron = \"0 * * * *\"",
        ],
    );
    check(
        &format!("{script}[[schedule]]\nscript = \"other\"\ncron = \"* * * * *\"\n"),
        &["5 there is no script `other`; name a [[script]] of this manifest"],
    );
    let hourly = "[[schedule]]\nscript = \"s\"\ncron = \"@hourly\"\n";
    check(
        &format!("{script}{hourly}{hourly}"),
        &["7 a second schedule is called `s`; give it another name: name = \"…\""],
    );
    check(&format!("{script}{hourly}{hourly}name = \"again\"\n"), &[]);
    let placed = |cron: &str, timezone: &str| {
        let text = format!(
            "[app]\nname = \"a\"\n{script}[[schedule]]\nscript = \"s\"\ncron = \"{cron}\"\ntimezone = \"{timezone}\"\n"
        );
        let found = faults(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].split("; ").next().unwrap().to_owned()
    };
    assert_eq!(
        placed("0 25 * * *", "UTC"),
        "pumice.toml:8: cron is \"0 25 * * *\""
    );
    assert_eq!(
        placed("0 1 30 2 *", "UTC"),
        "pumice.toml:8: cron is \"0 1 30 2 *\""
    );
    assert_eq!(
        placed("0 1 * * *", "Europe/Nowhere"),
        "pumice.toml:9: timezone is \"Europe/Nowhere\""
    );
}

#[test]
fn faults_of_buckets() {
    let sized = |mib: &str| format!("[[bucket]]\nname = \"b\"\nsize_max_mib = {mib}\n");
    check(&sized("1"), &[]);
    check(&sized("1024"), &[]);
    for mib in ["0", "1025", "-1", "\"1\""] {
        check(
            &sized(mib),
            &[&format!(
                "3 size_max_mib is {mib}; use a whole number from 1 to 1024"
            )],
        );
    }
    check(
        "[[bucket]]\nname = \"b\"\npublic = \"yes\"\n[[bucket]]\nname = \"b\"\n[[bucket]]\n",
        &[
            "3 `public` is \"yes\"; use true or false",
            "4 a second bucket is called `b`; rename one of them",
            "6 a bucket has no name; add name = \"…\"",
        ],
    );
    let found = faults("[app]\nname = \"a\"\n[[bucket]]\nname = \"a/b\"\n");
    assert!(
        found[0].starts_with("pumice.toml:4: bucket name \"a/b\"; "),
        "{found:?}"
    );
}

#[test]
fn an_app_has_so_many_entries() {
    let app = |buckets: usize| {
        let mut text = "[app]\nname = \"a\"\n[[script]]\nname = \"s\"\npath = \"s\"\n".to_owned();
        for number in 0..buckets {
            text.push_str(&format!("[[bucket]]\nname = \"b{number}\"\n"));
        }
        faults(&text)
    };
    assert_eq!(app(499), Vec::<String>::new());
    assert_eq!(
        app(500),
        ["pumice.toml:1: the app has 501 entries; 500 are the most"]
    );
}

#[test]
fn what_api_leaves_out_is_safe() {
    use pumice_host_api::data::{Settings, TransactionEnd};
    let api = |text: &str| {
        Manifest::parse(&format!("[app]\nname = \"a\"\n{text}"))
            .unwrap()
            .api
    };
    assert_eq!(api(""), Settings::default());
    assert_eq!(api("[api]\n"), Settings::default());
    let all = api(r#"
        [api]
        schemas = ["public", "personal"]
        search_path = ["public", "extensions"]
        rows_max = 100000
        aggregates = true
        plan = true
        transaction_end = "commit-allow-override"
        anonymous = true
        statement_timeout_ms = 60000
        "#);
    let expect = Settings {
        schemas: vec!["public".to_owned(), "personal".to_owned()],
        search_path: vec!["public".to_owned(), "extensions".to_owned()],
        rows_max: 100_000,
        aggregates: true,
        plan: true,
        transaction_end: TransactionEnd::CommitAllowOverride,
        anonymous: true,
        statement_timeout: Duration::from_secs(60),
    };
    assert_eq!(all, expect);
}

#[test]
fn faults_of_api_name_their_fix() {
    let fault = |line: &str| {
        let faults = faults(&format!("[app]\nname = \"a\"\n[api]\n{line}\n"));
        assert_eq!(faults.len(), 1, "{line}: {faults:?}");
        faults[0]
            .strip_prefix("pumice.toml:4: ")
            .unwrap()
            .to_owned()
    };
    let check = |line: &str, expect: &str| assert_eq!(fault(line), expect);
    check(
        "rows_max = 0",
        "`rows_max` is 0; use a whole number from 1 to 100000",
    );
    check(
        "rows_max = 100001",
        "`rows_max` is 100001; use a whole number from 1 to 100000",
    );
    check(
        "statement_timeout_ms = 60001",
        "`statement_timeout_ms` is 60001; use a whole number from 1 to 60000",
    );
    check("aggregates = 1", "`aggregates` is 1; use true or false");
    check(
        "transaction_end = \"rollback\"",
        "`transaction_end` is \"rollback\"; use \"commit\", \"commit-allow-override\" or \"rollback-allow-override\"",
    );
    check(
        "schemas = []",
        "`schemas` names no schema; write schemas = [\"public\"]",
    );
    check(
        "schemas = [\"auth\"]",
        "schemas `auth`; choose a schema of the app's own",
    );
    check(
        "schemas = [\"pg_catalog\"]",
        "schemas `pg_catalog`; choose a schema of the app's own",
    );
    check(
        "schemas = [\"a,b\"]",
        "schemas `a,b`; use 1 to 63 of a-z, A-Z, 0-9 and _",
    );
    check(
        "schemas = [\"a\", \"a\"]",
        "`schemas` names `a` twice; leave one of them out",
    );
    check(
        "anonymus = true",
        "[api] has an unknown key `anonymus`; did you mean `anonymous`?",
    );
}

#[test]
fn rates_are_read_and_their_faults_name_a_fix() {
    use std::time::Duration;

    use crate::services::rates::{Pace, RequestPaces};

    let parse = |text: &str| Manifest::parse(&format!("[app]\nname = \"a\"\n{text}"));
    let usual = parse("").unwrap();
    assert_eq!(usual.rates, RequestPaces::default());
    let read = parse("[rates]\nper_ip = 60\n[auth.rates]\nsign_in = 12\n").unwrap();
    let minute = Duration::from_secs(60);
    assert_eq!(read.rates.per_ip, Pace::new(60, minute, 60));
    assert_eq!(read.rates.per_user, usual.rates.per_user);
    assert_eq!(read.auth.rates["sign_in"], 12);
    let check = |text: &str, expect: &str| {
        let faults = parse(text).unwrap_err();
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [format!("pumice.toml:4: {expect}")], "{text}");
    };
    check(
        "[rates]\nper_ip = 0\n",
        "per_ip is 0; use a whole number from 1 to 60000000",
    );
    check(
        "[rates]\nper_app = 60000001\n",
        "per_app is 60000001; use a whole number from 1 to 60000000",
    );
    check(
        "[rates]\nper_users = 1\n",
        "[rates] has an unknown key `per_users`; did you mean `per_user`?",
    );
    check(
        "[auth.rates]\nsignin = 1\n",
        "[auth.rates] has an unknown key `signin`; did you mean `sign_in`?",
    );
    check(
        "[auth.rates]\nsign_in = 100000001\n",
        "sign_in is 100000001; use a whole number from 1 to 100000000",
    );
}

#[test]
fn permissions_are_read_and_their_faults_named() {
    let manifest = Manifest::parse(
        "[app]\nname = \"a\"\n[[permission]]\nnamespace = \"shop\"\nactions = [\"refund\", \"addUsers\"]\n\
         [[function]]\nname = \"f\"\npath = \"f\"\nrequire = \"shop.refund\"\n\
         [[procedure]]\nname = \"p\"\npath = \"p\"\nrequire = \"shop.refund\"\n\
         [[script]]\nname = \"s\"\npath = \"s\"\nrequire = \"other.do_it\"\n",
    )
    .unwrap();
    assert_eq!(manifest.permissions[0].name, "shop");
    assert_eq!(manifest.permissions[0].owner, "app");
    assert_eq!(manifest.permissions[0].actions, ["refund", "addUsers"]);
    assert_eq!(manifest.required(), ["other.do_it", "shop.refund"]);
    // Whoever holds it may call: no key of a certain kind is asked for beside.
    assert_eq!(manifest.procedures[0].access, Access::Anon);
    assert_eq!(manifest.scripts[0].access, Access::Anon);
    let function = |lines: &str| format!("[[function]]\nname = \"f\"\npath = \"f\"\n{lines}\n");
    const NAME: &str = "write `namespace.action`, such as \"shop.refund\"";
    for wrong in ["shop", "shop.*", "a.b.c", ".x", "ä.b"] {
        let fault = format!("4 require is {wrong:?}; {NAME}");
        check(&function(&format!("require = \"{wrong}\"")), &[&fault]);
    }
    check(
        &function("require = \"a.b\"\naccess = \"anon\""),
        &[
            "4 an entry has access and require; leave access out: whoever holds the permission may call",
        ],
    );
    const WORD: &str = "use 1 to 64 letters, digits, _ and -";
    let twice = "[[permission]]\nnamespace = \"n\"\nactions = [\"a\"]\n".repeat(2);
    check(
        &twice,
        &["4 a second permission has the namespace `n`; write all actions into one of them"],
    );
    check(
        "[[permission]]\nnamespace = \"a.b\"\nactions = [\"c d\"]\n",
        &[
            &format!("2 namespace \"a.b\"; {WORD}"),
            &format!("3 actions `c d`; {WORD}"),
        ],
    );
    check(
        "[[permission]]\nnamespace = \"n\"\n",
        &["1 a permission has no actions; add actions = [\"refund\"]"],
    );
}
