//! `auth.audit_log_entries`.

use crate::data::own::Sql;

/// $1 id, $2 payload, $3 address, $4 created.
pub const RECORD: Sql = Sql {
    sqlite: r#"insert into "auth.audit_log_entries" (id, payload, ip_address, created_at)
        values ($1, $2, $3, $4)"#,
    postgres: "insert into auth.audit_log_entries (id, payload, ip_address, created_at)
        values ($1::uuid, $2::jsonb, $3, $4::timestamptz)",
};

/// $1 part of the payload, or null; $2 to be passed over, $3 at most.
pub const AUDIT: Sql = Sql {
    sqlite: r#"select json_object('id', id, 'payload', json(payload), 'ip_address', ip_address,
            'created_at', created_at)
        from "auth.audit_log_entries"
        where $1 is null or instr(pumice_lower(payload), pumice_lower($1)) > 0
        order by created_at desc, id desc limit $3 offset $2"#,
    postgres: "select json_build_object('id', id, 'payload', payload, 'ip_address', ip_address,
            'created_at', created_at)::text
        from auth.audit_log_entries
        where $1::text is null or position(lower($1) in lower(payload::text)) > 0
        order by created_at desc, id desc limit $3::bigint offset $2::bigint",
};

/// $1 as in [`AUDIT`].
pub const COUNT_AUDIT: Sql = Sql {
    sqlite: r#"select cast(count(*) as text) from "auth.audit_log_entries"
        where $1 is null or instr(pumice_lower(payload), pumice_lower($1)) > 0"#,
    postgres: "select count(*)::text from auth.audit_log_entries
        where $1::text is null or position(lower($1) in lower(payload::text)) > 0",
};

/// Those beyond the newest $1.
pub const TRIM_AUDIT: Sql = Sql {
    sqlite: r#"delete from "auth.audit_log_entries" where (created_at, id) <= (
        select created_at, id from "auth.audit_log_entries"
        order by created_at desc, id desc limit 1 offset $1)"#,
    postgres: "delete from auth.audit_log_entries where (created_at, id) <= (
        select created_at, id from auth.audit_log_entries
        order by created_at desc, id desc limit 1 offset $1::bigint)",
};
