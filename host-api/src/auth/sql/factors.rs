//! `auth.mfa_factors`, `auth.mfa_challenges`, `auth.mfa_recovery_codes`.

use crate::data::own::Sql;

/// A factor's row `f` on SQLite.
macro_rules! factor_sqlite {
    () => {
        "json_object('id', f.id, 'user_id', f.user_id, 'friendly_name', f.friendly_name,
            'factor_type', f.factor_type, 'status', f.status, 'secret', f.secret,
            'last_step', f.last_step, 'last_challenged_at', f.last_challenged_at,
            'created_at', f.created_at, 'updated_at', f.updated_at)"
    };
}

macro_rules! factor_postgres {
    () => {
        "json_build_object('id', f.id, 'user_id', f.user_id, 'friendly_name', f.friendly_name,
            'factor_type', f.factor_type, 'status', f.status, 'secret', f.secret,
            'last_step', f.last_step, 'last_challenged_at', f.last_challenged_at,
            'created_at', f.created_at, 'updated_at', f.updated_at)"
    };
}

pub(super) use {factor_postgres, factor_sqlite};

/// $1 id, $2 user, $3 name, $4 type, $5 status, $6 secret, $7 last step, $8 last challenged,
/// $9 created, $10 updated.
pub const INSERT_FACTOR: Sql = Sql {
    sqlite: r#"insert into "auth.mfa_factors" (id, user_id, friendly_name, factor_type, status,
            secret, last_step, last_challenged_at, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
    postgres: "insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status,
            secret, last_step, last_challenged_at, created_at, updated_at)
        values ($1::uuid, $2::uuid, $3, $4, $5, $6, $7::bigint, $8::timestamptz, $9::timestamptz,
            $10::timestamptz)",
};

/// As [`INSERT_FACTOR`].
pub const SAVE_FACTOR: Sql = Sql {
    sqlite: r#"update "auth.mfa_factors" set user_id = $2, friendly_name = $3, factor_type = $4,
            status = $5, secret = $6, last_step = $7, last_challenged_at = $8, created_at = $9,
            updated_at = $10
        where id = $1"#,
    postgres: "update auth.mfa_factors set user_id = $2::uuid, friendly_name = $3,
            factor_type = $4, status = $5, secret = $6, last_step = $7::bigint,
            last_challenged_at = $8::timestamptz, created_at = $9::timestamptz,
            updated_at = $10::timestamptz
        where id = $1::uuid",
};

/// $1 id.
pub const DELETE_FACTOR: Sql = Sql {
    sqlite: r#"delete from "auth.mfa_factors" where id = $1"#,
    postgres: "delete from auth.mfa_factors where id = $1::uuid",
};

/// $1 id, $2 factor, $3 created, $4 verified, $5 attempts, $6 address.
pub const INSERT_CHALLENGE: Sql = Sql {
    sqlite: r#"insert into "auth.mfa_challenges" (id, factor_id, created_at, verified_at, attempts, ip)
        values ($1, $2, $3, $4, $5, $6)"#,
    postgres:
        "insert into auth.mfa_challenges (id, factor_id, created_at, verified_at, attempts, ip)
        values ($1::uuid, $2::uuid, $3::timestamptz, $4::timestamptz, $5::bigint, $6)",
};

/// $1 id.
pub const CHALLENGE: Sql = Sql {
    sqlite: r#"select json_object('id', id, 'factor_id', factor_id, 'created_at', created_at,
            'verified_at', verified_at, 'attempts', attempts, 'ip', ip)
        from "auth.mfa_challenges" where id = $1"#,
    postgres: "select json_build_object('id', id, 'factor_id', factor_id, 'created_at', created_at,
            'verified_at', verified_at, 'attempts', attempts, 'ip', ip)::text
        from auth.mfa_challenges where id = $1::uuid",
};

/// As [`CHALLENGE`], and keeps it from others who ask the same.
pub const LOCK_CHALLENGE: Sql = Sql {
    sqlite: CHALLENGE.sqlite,
    postgres: "select json_build_object('id', id, 'factor_id', factor_id, 'created_at', created_at,
            'verified_at', verified_at, 'attempts', attempts, 'ip', ip)::text
        from auth.mfa_challenges where id = $1::uuid for no key update",
};

/// As [`INSERT_CHALLENGE`].
pub const SAVE_CHALLENGE: Sql = Sql {
    sqlite: r#"update "auth.mfa_challenges" set factor_id = $2, created_at = $3, verified_at = $4,
            attempts = $5, ip = $6
        where id = $1"#,
    postgres: "update auth.mfa_challenges set factor_id = $2::uuid, created_at = $3::timestamptz,
            verified_at = $4::timestamptz, attempts = $5::bigint, ip = $6
        where id = $1::uuid",
};

/// $1 factor, $2 since.
pub const WRONG_CODES: Sql = Sql {
    sqlite: r#"select cast(coalesce(sum(attempts), 0) as text) from "auth.mfa_challenges"
        where factor_id = $1 and created_at >= $2"#,
    postgres: "select coalesce(sum(attempts), 0)::bigint::text from auth.mfa_challenges
        where factor_id = $1::uuid and created_at >= $2::timestamptz",
};

/// $1 user.
pub const DELETE_RECOVERY_CODES: Sql = Sql {
    sqlite: r#"delete from "auth.mfa_recovery_codes" where user_id = $1"#,
    postgres: "delete from auth.mfa_recovery_codes where user_id = $1::uuid",
};

/// $1 user, $2 a JSON array of hashes.
pub const INSERT_RECOVERY_CODES: Sql = Sql {
    sqlite: r#"insert into "auth.mfa_recovery_codes" (user_id, code_hash)
        select distinct $1, value from json_each($2)"#,
    postgres: "insert into auth.mfa_recovery_codes (user_id, code_hash)
        select distinct $1::uuid, code from json_array_elements_text($2::json) code",
};

/// $1 user, $2 hash.
pub const TAKE_RECOVERY_CODE: Sql = Sql {
    sqlite: r#"delete from "auth.mfa_recovery_codes" where user_id = $1 and code_hash = $2"#,
    postgres: "delete from auth.mfa_recovery_codes where user_id = $1::uuid and code_hash = $2",
};

/// $1 user.
pub const COUNT_RECOVERY_CODES: Sql = Sql {
    sqlite: r#"select cast(count(*) as text) from "auth.mfa_recovery_codes" where user_id = $1"#,
    postgres: "select count(*)::text from auth.mfa_recovery_codes where user_id = $1::uuid",
};

/// Challenges made before $1.
pub const TRIM_CHALLENGES: Sql = Sql {
    sqlite: r#"delete from "auth.mfa_challenges" where created_at < $1"#,
    postgres: "delete from auth.mfa_challenges where created_at < $1::timestamptz",
};
