//! `auth.flow_state`.

use crate::data::own::Sql;

macro_rules! flow_sqlite {
    ($rest:literal) => {
        concat!(
            r#"select json_object('id', id, 'user_id', user_id, 'linking_user_id', linking_user_id,
                'auth_code_hash', auth_code_hash, 'code_challenge', code_challenge,
                'code_challenge_method', code_challenge_method, 'provider', provider,
                'method', method, 'sealed', sealed, 'redirect_to', redirect_to,
                'created_at', created_at, 'code_issued_at', code_issued_at)
            from "auth.flow_state" "#,
            $rest
        )
    };
}

macro_rules! flow_postgres {
    ($rest:literal) => {
        concat!(
            "select json_build_object('id', id, 'user_id', user_id,
                'linking_user_id', linking_user_id, 'auth_code_hash', auth_code_hash,
                'code_challenge', code_challenge, 'code_challenge_method', code_challenge_method,
                'provider', provider, 'method', method, 'sealed', sealed,
                'redirect_to', redirect_to, 'created_at', created_at,
                'code_issued_at', code_issued_at)::text
            from auth.flow_state ",
            $rest
        )
    };
}

/// $1 id, $2 user, $3 linking user, $4 code's hash, $5 challenge, $6 its method, $7 provider, $8 method,
/// $9 sealed, $10 redirect, $11 created, $12 code issued.
pub const INSERT_FLOW: Sql = Sql {
    sqlite: r#"insert into "auth.flow_state" (id, user_id, linking_user_id, auth_code_hash,
            code_challenge, code_challenge_method, provider, method, sealed, redirect_to,
            created_at, code_issued_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
    postgres: "insert into auth.flow_state (id, user_id, linking_user_id, auth_code_hash,
            code_challenge, code_challenge_method, provider, method, sealed, redirect_to,
            created_at, code_issued_at)
        values ($1::uuid, $2::uuid, $3::uuid, $4, $5, $6, $7, $8, $9, $10, $11::timestamptz,
            $12::timestamptz)",
};

/// $1 id.
pub const FLOW: Sql = Sql {
    sqlite: flow_sqlite!("where id = $1"),
    postgres: flow_postgres!("where id = $1::uuid"),
};

/// $1 code's hash.
pub const FLOW_BY_CODE: Sql = Sql {
    sqlite: flow_sqlite!("where auth_code_hash = $1"),
    postgres: flow_postgres!("where auth_code_hash = $1"),
};

/// As [`FLOW`], and keeps it from others who ask the same.
pub const LOCK_FLOW: Sql = Sql {
    sqlite: FLOW.sqlite,
    postgres: flow_postgres!("where id = $1::uuid for no key update"),
};

/// As [`FLOW_BY_CODE`], and keeps it from others who ask the same.
pub const LOCK_FLOW_BY_CODE: Sql = Sql {
    sqlite: FLOW_BY_CODE.sqlite,
    postgres: flow_postgres!("where auth_code_hash = $1 for no key update"),
};

/// As [`INSERT_FLOW`].
pub const SAVE_FLOW: Sql = Sql {
    sqlite: r#"update "auth.flow_state" set user_id = $2, linking_user_id = $3,
            auth_code_hash = $4, code_challenge = $5, code_challenge_method = $6, provider = $7,
            method = $8, sealed = $9, redirect_to = $10, created_at = $11, code_issued_at = $12
        where id = $1"#,
    postgres: "update auth.flow_state set user_id = $2::uuid, linking_user_id = $3::uuid,
            auth_code_hash = $4, code_challenge = $5, code_challenge_method = $6, provider = $7,
            method = $8, sealed = $9, redirect_to = $10, created_at = $11::timestamptz,
            code_issued_at = $12::timestamptz
        where id = $1::uuid",
};

/// $1 id.
pub const DELETE_FLOW: Sql = Sql {
    sqlite: r#"delete from "auth.flow_state" where id = $1"#,
    postgres: "delete from auth.flow_state where id = $1::uuid",
};

/// $1 user.
pub const DELETE_FLOWS: Sql = Sql {
    sqlite: r#"delete from "auth.flow_state" where user_id = $1 or linking_user_id = $1"#,
    postgres: "delete from auth.flow_state where user_id = $1::uuid or linking_user_id = $1::uuid",
};

/// Those made before $1.
pub const TRIM_FLOWS: Sql = Sql {
    sqlite: r#"delete from "auth.flow_state" where created_at < $1"#,
    postgres: "delete from auth.flow_state where created_at < $1::timestamptz",
};
