-- PostgreSQL, run as it stands there and translated for SQLite.

create table members (
  id uuid primary key default gen_random_uuid(),
  name text not null unique check (length(name) between 1 and 40),
  points integer not null default 0 check (points >= 0)
);

create table entries (
  id bigint generated always as identity primary key,
  member_id uuid not null references members on delete cascade,
  message text not null,
  mood text,                               -- set by functions/mood.js
  rewarded boolean not null default false, -- set by functions/points
  created_at timestamptz not null default now()
);

create index on entries (member_id);

-- What the book looked like, minute by minute: written by functions/tally.js.
create table minutes (
  minute timestamptz primary key,
  entries integer not null,
  points integer not null
);
