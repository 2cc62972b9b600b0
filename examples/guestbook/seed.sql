-- Run once, after the first migrations.
insert into members (name, points) values ('Ada', 20), ('Grace', 12), ('Linus', 5);
