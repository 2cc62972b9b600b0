//! The statements of the queue and of schedules, for both engines.
//!
//! Instants are milliseconds since 1970-01-01T00:00:00Z and come from outside.

use crate::data::own::Sql;

/// SQLite's tables.
///
/// `waiting_key` is the unique key until the first claim: a job that comes back to the queue after a
/// failure is in nobody's way.
pub const PREPARE_SQLITE: &str = r#"
create table if not exists "pumice.job" (
    id text primary key, script text not null, payload text not null,
    state text not null default 'queued', run_at integer not null,
    attempt integer not null default 0, attempts_max integer not null,
    lease_until integer, token text, waiting_key text, revision integer not null,
    schedule text, due integer not null, error text, role text not null, claims text not null,
    depth integer not null, created_at integer not null, finished_at integer) without rowid;
create index if not exists "pumice.job_queued" on "pumice.job" (run_at, id) where state = 'queued';
create index if not exists "pumice.job_running" on "pumice.job" (lease_until) where state = 'running';
create index if not exists "pumice.job_token" on "pumice.job" (token) where token is not null;
create index if not exists "pumice.job_finished" on "pumice.job" (state, finished_at)
    where finished_at is not null;
create unique index if not exists "pumice.job_waiting" on "pumice.job" (script, waiting_key)
    where waiting_key is not null;
create table if not exists "pumice.schedule" (
    name text primary key, line text not null, since integer not null) without rowid;
create table if not exists "pumice.schedule_run" (
    schedule text not null, due integer not null, job text not null,
    primary key (schedule, due)) without rowid;
"#;

/// PostgreSQL's, one statement each; run as the owner of the schema.
pub const PREPARE_POSTGRES: &[&str] = &[
    "create table if not exists pumice.job (
        id uuid primary key, script text not null, payload text not null,
        state text not null default 'queued', run_at bigint not null,
        attempt integer not null default 0, attempts_max integer not null,
        lease_until bigint, token text, waiting_key text, revision bigint not null,
        schedule text, due bigint not null, error text, role text not null, claims text not null,
        depth integer not null, created_at bigint not null, finished_at bigint)",
    "create index if not exists job_queued on pumice.job (run_at, id) where state = 'queued'",
    "create index if not exists job_running on pumice.job (lease_until) where state = 'running'",
    "create index if not exists job_token on pumice.job (token) where token is not null",
    "create index if not exists job_finished on pumice.job (state, finished_at)
        where finished_at is not null",
    "create unique index if not exists job_waiting on pumice.job (script, waiting_key)
        where waiting_key is not null",
    "create table if not exists pumice.schedule (
        name text primary key, line text not null, since bigint not null)",
    "create table if not exists pumice.schedule_run (
        schedule text not null, due bigint not null, job text not null, primary key (schedule, due))",
    // The host logs in as a role that is called like its database.
    "do $$ begin
        if exists (select from pg_catalog.pg_roles where rolname = current_database()) then
            execute format('grant usage on schema pumice to %I', current_database());
            execute format('grant select, insert, update, delete on pumice.job, pumice.schedule,
                pumice.schedule_run to %I', current_database());
        end if;
    end $$",
];

/// $1 id, $2 script, $3 payload, $4 run at, $5 attempts at most, $6 unique key, $7 revision,
/// $8 schedule, $9 due, $10 role, $11 claims, $12 depth, $13 now.
pub const ENQUEUE: Sql = Sql {
    sqlite: r#"insert into "pumice.job" (id, script, payload, run_at, attempts_max, waiting_key,
            revision, schedule, due, role, claims, depth, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing"#,
    postgres: "insert into pumice.job (id, script, payload, run_at, attempts_max, waiting_key,
            revision, schedule, due, role, claims, depth, created_at)
        values ($1::uuid, $2, $3, $4::bigint, $5::integer, $6, $7::bigint, $8, $9::bigint, $10, $11,
            $12::integer, $13::bigint) on conflict do nothing",
};

/// The job of script $1 that waits under key $2.
pub const WAITING: Sql = Sql {
    sqlite: r#"select json_quote(id) from "pumice.job" where script = $1 and waiting_key = $2"#,
    postgres: "select to_json(id)::text from pumice.job where script = $1 and waiting_key = $2",
};

/// Jobs whose last attempt's lease has run out at $1.
pub const BURY_LOST: Sql = Sql {
    sqlite: r#"update "pumice.job" set state = 'dead', finished_at = $1, token = null,
            lease_until = null, error = 'its worker went away'
        where state = 'running' and lease_until <= $1 and attempt >= attempts_max"#,
    postgres: "update pumice.job set state = 'dead', finished_at = $1::bigint, token = null,
            lease_until = null, error = 'its worker went away'
        where state = 'running' and lease_until <= $1::bigint and attempt >= attempts_max",
};

/// $1 now, $2 until, $3 token, $4 at most.
pub const CLAIM: Sql = Sql {
    sqlite: r#"update "pumice.job" set state = 'running', attempt = attempt + 1, token = $3,
            lease_until = $2, waiting_key = null
        where id in (
            select id from (select id, lease_until as at from "pumice.job"
                where state = 'running' and lease_until <= $1 order by lease_until limit $4)
            union all
            select id from (select id, run_at as at from "pumice.job"
                where state = 'queued' and run_at <= $1 order by run_at, id limit $4)
            limit $4)"#,
    postgres: "with due as (
            select id from pumice.job
            where (state = 'queued' and run_at <= $1::bigint)
                or (state = 'running' and lease_until <= $1::bigint)
            order by run_at, id limit $4::bigint for update skip locked)
        update pumice.job j set state = 'running', attempt = attempt + 1, token = $3,
            lease_until = $2::bigint, waiting_key = null
        from due where j.id = due.id",
};

/// What token $1 has.
pub const CLAIMED: Sql = Sql {
    sqlite: r#"select json_object('id', id, 'script', script, 'payload', payload, 'attempt', attempt,
            'attempts_max', attempts_max, 'due', due, 'schedule', schedule, 'revision', revision,
            'role', role, 'claims', claims, 'depth', depth)
        from "pumice.job" where token = $1 and state = 'running' order by run_at, id"#,
    postgres: "select json_build_object('id', id, 'script', script, 'payload', payload,
            'attempt', attempt, 'attempts_max', attempts_max, 'due', due, 'schedule', schedule,
            'revision', revision, 'role', role, 'claims', claims, 'depth', depth)::text
        from pumice.job where token = $1 and state = 'running' order by run_at, id",
};

/// $1 token, $2 until.
pub const HEARTBEAT: Sql = Sql {
    sqlite: r#"update "pumice.job" set lease_until = $2 where token = $1 and state = 'running'"#,
    postgres: "update pumice.job set lease_until = $2::bigint where token = $1 and state = 'running'",
};

/// $1 id, $2 token, $3 state, $4 run at, $5 error, $6 finished at, $7 attempts taken back.
pub const FINISH: Sql = Sql {
    sqlite: r#"update "pumice.job" set state = $3, run_at = coalesce($4, run_at),
            error = coalesce($5, error), finished_at = $6, attempt = attempt - $7, token = null,
            lease_until = null
        where id = $1 and token = $2 and state = 'running'"#,
    postgres: "update pumice.job set state = $3, run_at = coalesce($4::bigint, run_at),
            error = coalesce($5, error), finished_at = $6::bigint, attempt = attempt - $7::integer,
            token = null, lease_until = null
        where id = $1::uuid and token = $2 and state = 'running'",
};

/// $1 token.
pub const RELEASE: Sql = Sql {
    sqlite: r#"update "pumice.job" set state = 'queued', attempt = attempt - 1, token = null,
            lease_until = null where token = $1 and state = 'running'"#,
    postgres: "update pumice.job set state = 'queued', attempt = attempt - 1, token = null,
            lease_until = null where token = $1 and state = 'running'",
};

/// $1 id.
pub const GET: Sql = Sql {
    sqlite: r#"select json_object('id', id, 'script', script, 'state', state, 'attempt', attempt,
            'attempts_max', attempts_max, 'run_at', run_at, 'schedule', schedule, 'error', error,
            'created_at', created_at, 'finished_at', finished_at)
        from "pumice.job" where id = $1"#,
    postgres: "select json_build_object('id', id, 'script', script, 'state', state,
            'attempt', attempt, 'attempts_max', attempts_max, 'run_at', run_at,
            'schedule', schedule, 'error', error, 'created_at', created_at,
            'finished_at', finished_at)::text
        from pumice.job where id = $1::uuid",
};

/// When the next is due, or its lease over; null when nothing waits.
pub const NEXT_DUE: Sql = Sql {
    sqlite: r#"select cast(min(at) as text) from (
        select min(run_at) as at from "pumice.job" where state = 'queued'
        union all select min(lease_until) from "pumice.job" where state = 'running')"#,
    postgres: "select min(at)::text from (
        select min(run_at) as at from pumice.job where state = 'queued'
        union all select min(lease_until) from pumice.job where state = 'running') due",
};

/// All schedules, each with its last run.
pub const SCHEDULES: Sql = Sql {
    sqlite: r#"select json_object('name', s.name, 'line', s.line, 'since', s.since, 'last',
            (select max(r.due) from "pumice.schedule_run" r where r.schedule = s.name))
        from "pumice.schedule" s"#,
    postgres: "select json_build_object('name', s.name, 'line', s.line, 'since', s.since, 'last',
            (select max(r.due) from pumice.schedule_run r where r.schedule = s.name))::text
        from pumice.schedule s",
};

/// Those that are not in the JSON array $1.
pub const FORGET_SCHEDULES: Sql = Sql {
    sqlite: r#"delete from "pumice.schedule" where name not in (select value from json_each($1))"#,
    postgres: "delete from pumice.schedule
        where name not in (select json_array_elements_text($1::json))",
};

/// $1 name, $2 line, $3 now.
pub const KEEP_SCHEDULE: Sql = Sql {
    sqlite: r#"insert into "pumice.schedule" as s (name, line, since) values ($1, $2, $3)
        on conflict (name) do update set line = excluded.line, since = excluded.since
        where s.line <> excluded.line"#,
    postgres: "insert into pumice.schedule as s (name, line, since) values ($1, $2, $3::bigint)
        on conflict (name) do update set line = excluded.line, since = excluded.since
        where s.line <> excluded.line",
};

/// $1 schedule, $2 due, $3 job.
pub const FIRE: Sql = Sql {
    sqlite: r#"insert into "pumice.schedule_run" (schedule, due, job) values ($1, $2, $3)
        on conflict do nothing"#,
    postgres: "insert into pumice.schedule_run (schedule, due, job) values ($1, $2::bigint, $3)
        on conflict do nothing",
};

/// Jobs in state $1 that finished before $2, and those beyond the newest $3.
pub const TRIM: Sql = Sql {
    sqlite: r#"delete from "pumice.job" where id in (
        select id from "pumice.job" where state = $1 and finished_at < $2
        union all select id from (select id from "pumice.job"
            where state = $1 and finished_at is not null
            order by finished_at desc, id desc limit -1 offset $3))"#,
    postgres: "delete from pumice.job where id in (
        select id from pumice.job where state = $1 and finished_at < $2::bigint
        union all (select id from pumice.job where state = $1 and finished_at is not null
            order by finished_at desc, id desc offset $3::bigint))",
};

/// Runs before $1, but never the last of a schedule.
pub const TRIM_RUNS: Sql = Sql {
    sqlite: r#"delete from "pumice.schedule_run" as r where r.due < $1
        and r.due < (select max(l.due) from "pumice.schedule_run" l where l.schedule = r.schedule)"#,
    postgres: "delete from pumice.schedule_run r where r.due < $1::bigint
        and r.due < (select max(l.due) from pumice.schedule_run l where l.schedule = r.schedule)",
};
