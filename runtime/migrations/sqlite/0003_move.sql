-- The PostgreSQL server that apps were moved to, when no setting names one: its URL, sealed.
create table cluster (
    one integer primary key check (one = 1),
    url blob not null
) strict;

-- Apps whose data is on its way from SQLite to PostgreSQL. Where it is, `app.engine` says.
create table move (
    app_id text not null primary key references app (id) on delete cascade,
    -- Without a password.
    target text not null,
    step text not null,
    started_at text not null
) strict;
