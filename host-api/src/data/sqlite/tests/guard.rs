//! What the text of guests' SQL may name.

use crate::data::sqlite::guard::{check, is_blank};

#[test]
fn text_that_names_a_reserved_table_is_refused() {
    let check = |sql: &str, expect: &str| {
        let got = match check(sql) {
            Ok(()) => "ok".to_owned(),
            Err(fault) => format!("{} {}", fault.code, fault.message),
        };
        assert_eq!(got, expect, "{sql}");
    };
    let users = "42501 permission denied for table users";
    check("select * from \"auth.users\"", users);
    check("select * from [auth.users]", users);
    check("select * from `auth.users`", users);
    check("select * from 'auth.users'", users);
    check(
        "select * from \"AUTH.Users\"",
        "42501 permission denied for table Users",
    );
    check("select * from main.\"auth.users\"", users);
    check("select * from auth.users", users);
    check("select * from auth /* x */ . -- y\n users", users);
    check("select * from \"auth\".'users'", users);
    check(
        "select 1 from t, 'pumice.change'",
        "42501 permission denied for table change",
    );
    check(
        "with \"pumice.x\" as (select 1) select 1",
        "42501 permission denied for table x",
    );
    check(
        "select '' , \"storage.objects\"",
        "42501 permission denied for table objects",
    );
    check("select 'it''s', [auth.users]", users);
    check("select 1 --\n, \"auth.users\"", users);
    check("select 1 /* ' */, \"auth.users\" /* ' */", users);
    check("select 1 /*/ ' */, \"auth.users\" /* ' */", users);
    check("select \"a\"\"b\", \"auth.users\"", users);
    check("select auth.x from t as auth", "ok");
    check(
        "select 'the auth.users table', 'example.com', a.users from a",
        "ok",
    );
    check("select 1 -- \"auth.users\"", "ok");
    check("select '\"auth.users\"'", "ok");
    check("; ;pragma user_version", "42501 PRAGMA is not allowed here");
    check(
        "/* a */ Vacuum into 'x'",
        "42501 VACUUM is not allowed here",
    );
    check(
        "insert or\n rollback into t values (1)",
        "42501 ROLLBACK is not allowed here",
    );
    check("select begin from t", "ok");
    check("", "ok");
    check("'", "ok");
    check("/*", "ok");
}

#[test]
fn only_semicolons_space_and_comments_are_blank() {
    for (sql, expect) in [
        ("", true),
        (" ;; -- select 1", true),
        ("/* a */;\n/* open", true),
        (" select 1", false),
        ("--\nselect 1", false),
        ("-", false),
        ("/", false),
    ] {
        assert_eq!(is_blank(sql), expect, "{sql:?}");
    }
}
