-- Which engine an app's own database is on, and the sealed password of its login role there.
alter table app add column engine text not null default 'sqlite';
alter table app add column database_password blob;
