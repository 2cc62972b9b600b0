//! `auth.users` with `auth.identities`.

use crate::data::own::Sql;

/// An identity's row `i` on SQLite.
macro_rules! identity_sqlite {
    () => {
        "json_object('id', i.id, 'user_id', i.user_id, 'provider', i.provider,
            'provider_id', i.provider_id, 'identity_data', json(i.identity_data),
            'last_sign_in_at', i.last_sign_in_at, 'created_at', i.created_at,
            'updated_at', i.updated_at)"
    };
}

macro_rules! identity_postgres {
    () => {
        "json_build_object('id', i.id, 'user_id', i.user_id, 'provider', i.provider,
            'provider_id', i.provider_id, 'identity_data', i.identity_data,
            'last_sign_in_at', i.last_sign_in_at, 'created_at', i.created_at,
            'updated_at', i.updated_at)"
    };
}

/// The user `u` with identities and factors, on SQLite. (A subquery's answer is text again to SQLite.)
macro_rules! user_sqlite {
    ($rest:literal) => {
        concat!(
            r#"select json_object('id', u.id, 'aud', u.aud, 'role', u.role, 'email', u.email,
                'phone', u.phone, 'password_hash', u.encrypted_password,
                'email_confirmed_at', u.email_confirmed_at,
                'phone_confirmed_at', u.phone_confirmed_at, 'invited_at', u.invited_at,
                'confirmation_sent_at', u.confirmation_sent_at,
                'recovery_sent_at', u.recovery_sent_at, 'email_change', u.email_change,
                'email_change_half', json(iif(u.email_change_confirm_status, 'true', 'false')),
                'email_change_sent_at', u.email_change_sent_at, 'phone_change', u.phone_change,
                'phone_change_sent_at', u.phone_change_sent_at,
                'reauthentication_sent_at', u.reauthentication_sent_at,
                'last_sign_in_at', u.last_sign_in_at, 'app_metadata', json(u.raw_app_meta_data),
                'user_metadata', json(u.raw_user_meta_data), 'banned_until', u.banned_until,
                'deleted_at', u.deleted_at,
                'is_anonymous', json(iif(u.is_anonymous, 'true', 'false')),
                'created_at', u.created_at, 'updated_at', coalesce(u.updated_at, u.created_at),
                'identities', json((select json_group_array("#,
            identity_sqlite!(),
            r#" order by i.created_at, i.id) from "auth.identities" i where i.user_id = u.id)),
                'factors', json((select json_group_array("#,
            factor_sqlite!(),
            r#" order by f.created_at, f.id) from "auth.mfa_factors" f where f.user_id = u.id)))
            from "auth.users" u "#,
            $rest
        )
    };
}

/// Triggers and statements of an app's own may have left metadata that is no object.
macro_rules! user_postgres {
    ($rest:literal) => {
        concat!(
            "select json_build_object('id', u.id, 'aud', u.aud, 'role', u.role, 'email', u.email,
                'phone', u.phone, 'password_hash', u.encrypted_password,
                'email_confirmed_at', u.email_confirmed_at,
                'phone_confirmed_at', u.phone_confirmed_at, 'invited_at', u.invited_at,
                'confirmation_sent_at', u.confirmation_sent_at,
                'recovery_sent_at', u.recovery_sent_at, 'email_change', u.email_change,
                'email_change_half', u.email_change_confirm_status <> 0,
                'email_change_sent_at', u.email_change_sent_at, 'phone_change', u.phone_change,
                'phone_change_sent_at', u.phone_change_sent_at,
                'reauthentication_sent_at', u.reauthentication_sent_at,
                'last_sign_in_at', u.last_sign_in_at, 'app_metadata',
                case jsonb_typeof(u.raw_app_meta_data) when 'object'
                    then u.raw_app_meta_data else '{}' end,
                'user_metadata', case jsonb_typeof(u.raw_user_meta_data) when 'object'
                    then u.raw_user_meta_data else '{}' end,
                'banned_until', u.banned_until, 'deleted_at', u.deleted_at,
                'is_anonymous', u.is_anonymous,
                'created_at', coalesce(u.created_at, u.updated_at, 'epoch'),
                'updated_at', coalesce(u.updated_at, u.created_at, 'epoch'),
                'identities', coalesce((select json_agg(",
            identity_postgres!(),
            " order by i.created_at, i.id) from auth.identities i where i.user_id = u.id), '[]'),
                'factors', coalesce((select json_agg(",
            factor_postgres!(),
            " order by f.created_at, f.id) from auth.mfa_factors f where f.user_id = u.id), '[]')
            )::text from auth.users u ",
            $rest
        )
    };
}

use super::factors::{factor_postgres, factor_sqlite};

/// $1 id.
pub const USER: Sql = Sql {
    sqlite: user_sqlite!("where u.id = $1"),
    postgres: user_postgres!("where u.id = $1::uuid"),
};

/// Keeps others from user $1 who ask the same, and nobody from pointing to it. A statement of its own: what one
/// that waits reads beside the row is as it was before it waited.
pub const LOCK_USER: Sql = Sql {
    sqlite: "select null where $1 is null",
    postgres: "select to_json(id)::text from auth.users where id = $1::uuid for no key update",
};

/// $1 email.
pub const USER_BY_EMAIL: Sql = Sql {
    sqlite: user_sqlite!("where u.email = $1 and u.deleted_at is null"),
    postgres: user_postgres!("where u.email = $1 and u.deleted_at is null"),
};

/// $1 phone.
pub const USER_BY_PHONE: Sql = Sql {
    sqlite: user_sqlite!("where u.phone = $1 and u.deleted_at is null"),
    postgres: user_postgres!("where u.phone = $1 and u.deleted_at is null"),
};

/// $1 provider, $2 its name of the user.
pub const USER_BY_IDENTITY: Sql = Sql {
    sqlite: user_sqlite!(
        r#"where u.id = (select user_id from "auth.identities" where provider = $1 and provider_id = $2)"#
    ),
    postgres: user_postgres!(
        "where u.id = (select user_id from auth.identities where provider = $1 and provider_id = $2)"
    ),
};

/// The arguments of a user's row, in order.
macro_rules! user_columns {
    () => {
        "id, aud, role, email, phone, encrypted_password, email_confirmed_at, phone_confirmed_at,
            invited_at, confirmation_sent_at, recovery_sent_at, email_change,
            email_change_confirm_status, email_change_sent_at, phone_change, phone_change_sent_at,
            reauthentication_sent_at, last_sign_in_at, raw_app_meta_data, raw_user_meta_data,
            banned_until, deleted_at, is_anonymous, created_at, updated_at"
    };
}

macro_rules! user_arguments {
    () => {
        "$1::uuid, $2, $3, $4, $5, $6, $7::timestamptz, $8::timestamptz, $9::timestamptz,
            $10::timestamptz, $11::timestamptz, $12, $13::smallint, $14::timestamptz, $15,
            $16::timestamptz, $17::timestamptz, $18::timestamptz, $19::jsonb, $20::jsonb,
            $21::timestamptz, $22::timestamptz, $23::boolean, $24::timestamptz, $25::timestamptz"
    };
}

/// A user's row, in order of its columns.
pub const INSERT_USER: Sql = Sql {
    sqlite: concat!(
        r#"insert into "auth.users" ("#,
        user_columns!(),
        ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
            $18, $19, $20, $21, $22, $23, $24, $25) on conflict do nothing"
    ),
    postgres: concat!(
        "insert into auth.users (",
        user_columns!(),
        ") values (",
        user_arguments!(),
        ") on conflict do nothing"
    ),
};

/// As [`INSERT_USER`]; none when the address or phone number is another's.
pub const SAVE_USER: Sql = Sql {
    sqlite: concat!(
        r#"update "auth.users" set ("#,
        user_columns!(),
        r#") = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
            $18, $19, $20, $21, $22, $23, $24, $25)
        where id = $1 and ($22 is not null or not exists (select 1 from "auth.users" o
            where o.deleted_at is null and o.id <> $1 and (o.email = $4 or o.phone = $5)))"#
    ),
    postgres: concat!(
        "update auth.users set (",
        user_columns!(),
        ") = (",
        user_arguments!(),
        ") where id = $1::uuid and ($22::timestamptz is not null
            or not exists (select from auth.users o where o.deleted_at is null
                and o.id <> $1::uuid and (o.email = $4 or o.phone = $5)))"
    ),
};

/// $1 id. No foreign key leads from what is permitted to users.
pub const DELETE_USERS_ROLES: Sql = Sql {
    sqlite: r#"delete from "auth.permission_role_members" where user_id = $1"#,
    postgres: "delete from auth.permission_role_members where user_id = $1::uuid",
};

/// $1 id.
pub const DELETE_USERS_GRANTS: Sql = Sql {
    sqlite: r#"delete from "auth.permission_grants" where user_id = $1"#,
    postgres: "delete from auth.permission_grants where user_id = $1::uuid",
};

/// $1 id.
pub const DELETE_USER: Sql = Sql {
    sqlite: r#"delete from "auth.users" where id = $1"#,
    postgres: "delete from auth.users where id = $1::uuid",
};

/// $1 part of the address, the number or the name, or null; $2 to be passed over, $3 at most.
pub const USERS: Sql = Sql {
    sqlite: user_sqlite!(
        "where $1 is null or instr(pumice_lower(coalesce(u.email, '') || char(10)
            || coalesce(u.phone, '') || char(10)
            || coalesce(u.raw_user_meta_data ->> 'full_name', '') || char(10)
            || coalesce(u.raw_user_meta_data ->> 'name', '')), pumice_lower($1)) > 0
        order by u.created_at desc, u.id desc limit $3 offset $2"
    ),
    postgres: user_postgres!(
        "where $1::text is null or position(lower($1) in lower(concat_ws(chr(10), u.email, u.phone,
            u.raw_user_meta_data ->> 'full_name', u.raw_user_meta_data ->> 'name'))) > 0
        order by u.created_at desc, u.id desc limit $3::bigint offset $2::bigint"
    ),
};

/// $1 as in [`USERS`].
pub const COUNT_USERS: Sql = Sql {
    sqlite: r#"select cast(count(*) as text) from "auth.users" u
        where $1 is null or instr(pumice_lower(coalesce(u.email, '') || char(10)
            || coalesce(u.phone, '') || char(10)
            || coalesce(u.raw_user_meta_data ->> 'full_name', '') || char(10)
            || coalesce(u.raw_user_meta_data ->> 'name', '')), pumice_lower($1)) > 0"#,
    postgres: "select count(*)::text from auth.users u
        where $1::text is null or position(lower($1) in lower(concat_ws(chr(10), u.email, u.phone,
            u.raw_user_meta_data ->> 'full_name', u.raw_user_meta_data ->> 'name'))) > 0",
};

/// $1 id, $2 user, $3 provider, $4 its name of the user, $5 data, $6 last sign-in, $7 created, $8
/// updated.
pub const INSERT_IDENTITY: Sql = Sql {
    sqlite: r#"insert into "auth.identities" (id, user_id, provider, provider_id, identity_data,
            last_sign_in_at, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing"#,
    postgres: "insert into auth.identities (id, user_id, provider, provider_id, identity_data,
            last_sign_in_at, created_at, updated_at)
        values ($1::uuid, $2::uuid, $3, $4, $5::jsonb, $6::timestamptz, $7::timestamptz,
            $8::timestamptz) on conflict do nothing",
};

/// As [`INSERT_IDENTITY`].
pub const SAVE_IDENTITY: Sql = Sql {
    sqlite: r#"update "auth.identities" set user_id = $2, provider = $3, provider_id = $4,
            identity_data = $5, last_sign_in_at = $6, created_at = $7, updated_at = $8
        where id = $1"#,
    postgres: "update auth.identities set user_id = $2::uuid, provider = $3, provider_id = $4,
            identity_data = $5::jsonb, last_sign_in_at = $6::timestamptz,
            created_at = $7::timestamptz, updated_at = $8::timestamptz
        where id = $1::uuid",
};

/// $1 id.
pub const DELETE_IDENTITY: Sql = Sql {
    sqlite: r#"delete from "auth.identities" where id = $1"#,
    postgres: "delete from auth.identities where id = $1::uuid",
};
