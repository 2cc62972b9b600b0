//! `auth.one_time_tokens`.

use crate::data::own::Sql;

macro_rules! token_sqlite {
    ($rest:literal) => {
        concat!(
            r#"select json_object('id', id, 'user_id', user_id, 'kind', kind,
                'token_hash', token_hash, 'relates_to', relates_to, 'attempts', attempts,
                'flow_id', flow_id, 'created_at', created_at) from "auth.one_time_tokens" "#,
            $rest
        )
    };
}

macro_rules! token_postgres {
    ($rest:literal) => {
        concat!(
            "select json_build_object('id', id, 'user_id', user_id, 'kind', kind,
                'token_hash', token_hash, 'relates_to', relates_to, 'attempts', attempts,
                'flow_id', flow_id, 'created_at', created_at)::text from auth.one_time_tokens ",
            $rest
        )
    };
}

/// $1 id, $2 user, $3 kind, $4 hash, $5 address, $6 attempts, $7 flow, $8 created. In place of the user's of
/// the same kind.
pub const PUT_TOKEN: Sql = Sql {
    sqlite: r#"insert into "auth.one_time_tokens" (id, user_id, kind, token_hash, relates_to,
            attempts, flow_id, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (user_id, kind) do update set id = excluded.id,
            token_hash = excluded.token_hash, relates_to = excluded.relates_to,
            attempts = excluded.attempts, flow_id = excluded.flow_id,
            created_at = excluded.created_at"#,
    postgres: "insert into auth.one_time_tokens (id, user_id, kind, token_hash, relates_to,
            attempts, flow_id, created_at)
        values ($1::uuid, $2::uuid, $3, $4, $5, $6::bigint, $7::uuid, $8::timestamptz)
        on conflict (user_id, kind) do update set id = excluded.id,
            token_hash = excluded.token_hash, relates_to = excluded.relates_to,
            attempts = excluded.attempts, flow_id = excluded.flow_id,
            created_at = excluded.created_at",
};

/// $1 hash.
pub const TOKEN_BY_HASH: Sql = Sql {
    sqlite: token_sqlite!("where token_hash = $1"),
    postgres: token_postgres!("where token_hash = $1"),
};

/// $1 user, $2 kind.
pub const TOKEN_OF: Sql = Sql {
    sqlite: token_sqlite!("where user_id = $1 and kind = $2"),
    postgres: token_postgres!("where user_id = $1::uuid and kind = $2"),
};

/// As [`TOKEN_BY_HASH`], and keeps it from others who ask the same.
pub const LOCK_TOKEN_BY_HASH: Sql = Sql {
    sqlite: TOKEN_BY_HASH.sqlite,
    postgres: token_postgres!("where token_hash = $1 for no key update"),
};

/// As [`TOKEN_OF`], and keeps it from others who ask the same.
pub const LOCK_TOKEN_OF: Sql = Sql {
    sqlite: TOKEN_OF.sqlite,
    postgres: token_postgres!("where user_id = $1::uuid and kind = $2 for no key update"),
};

/// $1 id.
pub const COUNT_ATTEMPT: Sql = Sql {
    sqlite: r#"update "auth.one_time_tokens" set attempts = attempts + 1 where id = $1"#,
    postgres: "update auth.one_time_tokens set attempts = attempts + 1 where id = $1::uuid",
};

/// $1 the address it was sent to, $2 kind.
pub const COUNT_ATTEMPTS: Sql = Sql {
    sqlite: r#"update "auth.one_time_tokens" set attempts = attempts + 1
        where relates_to = $1 and kind = $2"#,
    postgres: "update auth.one_time_tokens set attempts = attempts + 1
        where relates_to = $1 and kind = $2",
};

/// $1 id.
pub const DELETE_TOKEN: Sql = Sql {
    sqlite: r#"delete from "auth.one_time_tokens" where id = $1"#,
    postgres: "delete from auth.one_time_tokens where id = $1::uuid",
};

/// $1 user.
pub const DELETE_TOKENS: Sql = Sql {
    sqlite: r#"delete from "auth.one_time_tokens" where user_id = $1"#,
    postgres: "delete from auth.one_time_tokens where user_id = $1::uuid",
};

/// Those made before $1.
pub const TRIM_TOKENS: Sql = Sql {
    sqlite: r#"delete from "auth.one_time_tokens" where created_at < $1"#,
    postgres: "delete from auth.one_time_tokens where created_at < $1::timestamptz",
};
