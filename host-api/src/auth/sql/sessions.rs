//! `auth.sessions`.

use crate::data::own::Sql;

macro_rules! session_sqlite {
    ($rest:literal) => {
        concat!(
            r#"select json_object('id', id, 'user_id', user_id, 'aal', aal, 'amr', json(amr),
                'counter', counter, 'factor_id', factor_id, 'created_at', created_at,
                'refreshed_at', refreshed_at, 'not_after', not_after, 'user_agent', user_agent,
                'ip', ip) from "auth.sessions" "#,
            $rest
        )
    };
}

macro_rules! session_postgres {
    ($rest:literal) => {
        concat!(
            "select json_build_object('id', id, 'user_id', user_id, 'aal', aal, 'amr', amr,
                'counter', counter, 'factor_id', factor_id, 'created_at', created_at,
                'refreshed_at', refreshed_at, 'not_after', not_after, 'user_agent', user_agent,
                'ip', ip)::text from auth.sessions ",
            $rest
        )
    };
}

/// $1 id.
pub const SESSION: Sql = Sql {
    sqlite: session_sqlite!("where id = $1"),
    postgres: session_postgres!("where id = $1::uuid"),
};

/// As [`SESSION`], and keeps it from others who ask the same.
pub const LOCK_SESSION: Sql = Sql {
    sqlite: session_sqlite!("where id = $1"),
    postgres: session_postgres!("where id = $1::uuid for no key update"),
};

/// $1 user.
pub const SESSIONS: Sql = Sql {
    sqlite: session_sqlite!("where user_id = $1 order by created_at desc, id desc"),
    postgres: session_postgres!("where user_id = $1::uuid order by created_at desc, id desc"),
};

/// $1 id, $2 user, $3 aal, $4 amr, $5 counter, $6 factor, $7 created, $8 refreshed, $9 not after,
/// $10 user agent, $11 address.
pub const INSERT_SESSION: Sql = Sql {
    sqlite: r#"insert into "auth.sessions" (id, user_id, aal, amr, counter, factor_id, created_at,
            refreshed_at, not_after, user_agent, ip)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"#,
    postgres: "insert into auth.sessions (id, user_id, aal, amr, counter, factor_id, created_at,
            refreshed_at, not_after, user_agent, ip)
        values ($1::uuid, $2::uuid, $3, $4::jsonb, $5::bigint, $6::uuid, $7::timestamptz,
            $8::timestamptz, $9::timestamptz, $10, $11)",
};

/// As [`INSERT_SESSION`].
pub const SAVE_SESSION: Sql = Sql {
    sqlite: r#"update "auth.sessions" set user_id = $2, aal = $3, amr = $4, counter = $5,
            factor_id = $6, created_at = $7, refreshed_at = $8, not_after = $9, user_agent = $10,
            ip = $11
        where id = $1"#,
    postgres: "update auth.sessions set user_id = $2::uuid, aal = $3, amr = $4::jsonb,
            counter = $5::bigint, factor_id = $6::uuid, created_at = $7::timestamptz,
            refreshed_at = $8::timestamptz, not_after = $9::timestamptz, user_agent = $10, ip = $11
        where id = $1::uuid",
};

/// $1 id.
pub const DELETE_SESSION: Sql = Sql {
    sqlite: r#"delete from "auth.sessions" where id = $1"#,
    postgres: "delete from auth.sessions where id = $1::uuid",
};

/// $1 user, $2 the one that stays, or null.
pub const DELETE_SESSIONS: Sql = Sql {
    sqlite: r#"delete from "auth.sessions" where user_id = $1 and id is not $2
        returning json_quote(id)"#,
    postgres: "delete from auth.sessions where user_id = $1::uuid and id is distinct from $2::uuid
        returning to_json(id)::text",
};

/// Those that ended before $1.
pub const TRIM_SESSIONS: Sql = Sql {
    sqlite: r#"delete from "auth.sessions" where not_after < $1"#,
    postgres: "delete from auth.sessions where not_after < $1::timestamptz",
};

/// Those that ended after $1.
pub const ENDED_SESSIONS: Sql = Sql {
    sqlite: r#"select json_quote(id) from "auth.ended_sessions" where ended_at > $1"#,
    postgres: "select to_json(id)::text from auth.ended_sessions where ended_at > $1::timestamptz",
};

/// Those that ended before $1, whose tokens are over too.
pub const TRIM_ENDED_SESSIONS: Sql = Sql {
    sqlite: r#"delete from "auth.ended_sessions" where ended_at < $1"#,
    postgres: "delete from auth.ended_sessions where ended_at < $1::timestamptz",
};
