insert into teams (id, name, city, budget, founded) values
    (1, 'red', 'Rome', 1000.50, '2001-05-06'),
    (2, 'blue', 'Oslo', 250.00, null),
    (3, 'grün', null, null, '1999-12-31');
insert into users (id, name, mail, team_id, boss_id, age, active, joined, tags, scores, data, key) values
    (1, 'Ada', 'ada@x.io', 1, null, 36, true, '2020-01-01T08:00:00Z', '{a,b}', '{1,2,3}', '{"lang":"en","level":3,"langs":["en","it"],"addr":{"city":"Rome","zip":"00100"}}', '6f0c2b6e-8d0a-4e0e-9d2b-0c1f6a0c7a11'),
    (2, 'Bob', 'bob@x.io', 1, 1, 25, true, '2021-06-05T12:00:00+02:00', '{b}', '{3}', '{"lang":"de","level":1,"langs":[],"addr":null}', null),
    (3, 'Cyn', null, 2, 1, 41, false, null, '{}', null, null, '00000000-0000-0000-0000-000000000003'),
    (4, 'Dan', 'dan@x.io', null, 2, null, true, '2022-12-31T23:59:59.5Z', '{"c d","e,f"}', '{}', '{"lang":"en","level":null}', null),
    (5, 'Élan', null, 2, null, 36, false, null, '{a,NULL}', '{5,NULL}', '[1,2]', null);
insert into profiles (user_id, bio, site) values
    (1, 'first programmer', 'https://ada.example'),
    (2, 'builder', null);
insert into desks (id, user_id, floor) values (1, 1, 3), (2, 3, 1), (3, null, 2);
insert into projects (id, team_id, name, owner_id, reviewer_id, starts, meta) values
    (10, 1, 'alpha', 1, 2, '2024-01-15', '{"prio":1}'),
    (11, 1, 'beta', 2, null, '2024-03-01', '{}'),
    (12, 2, 'gamma', 3, 1, null, '{"prio":2,"tags":["x"]}'),
    (13, null, 'delta', null, null, null, '{}');
insert into tasks (id, project_id, title, status, points, price, ratio, due, done_at, parent_id) values
    (1, 10, 'draw plan', 'done', 3, 10.50, 0.5, '2024-01-20', '2024-01-19T17:30:00', null),
    (2, 10, 'build wall', 'doing', 5, 200.00, 0.25, '2024-02-01', null, 1),
    (3, 10, 'paint wall', 'todo', 2, null, null, null, null, 1),
    (4, 11, 'Draw map', 'todo', null, 99.99, 1, '2024-03-10', null, null),
    (5, 11, 'ship it', 'done', 8, 0.00, 0.125, '2024-03-12', '2024-03-12T09:00:00.25', null),
    (6, 12, '100% wool', 'todo', 1, 1.10, null, null, null, null),
    (7, 12, 'under_score', 'doing', 1, 5.00, -2.5, '2024-05-05', null, 6);
insert into members (user_id, project_id, role) values
    (1, 10, 'lead'), (2, 10, 'dev'), (2, 11, 'lead'), (3, 12, 'lead'), (1, 12, 'dev');
insert into rooms (building, number, seats) values ('A', 1, 4), ('A', 2, 10), ('B', 1, 6);
insert into bookings (id, building, number, user_id, day) values
    (1, 'A', 1, 1, '2024-01-01'),
    (2, 'A', 1, 2, '2024-01-02'),
    (3, 'B', 1, 1, '2024-01-03'),
    (4, null, null, 3, '2024-01-04');
insert into notes (id, body) values
    (1, 'The quick brown fox jumps over the lazy dog'),
    (2, 'Lazy dogs sleep; foxes are running'),
    (3, 'A brown bear is not quick, the fox said'),
    (4, null),
    (5, 'Impossible possibilities');
insert into kinds (id, small, big, money, exact, ratio, single, flag, born, hour, at, local, span, token, raw, feeling, tags, numbers, flags, doc, extra, short, padded) values
    (1, -32768, 9223372036854775807, 1234567890.12, 123456789012345678901234567890.1234567890, 0.1, 0.1, true, '2021-06-05', '12:30:00.5', '2021-06-05T12:00:00+02:00', '2021-06-05T12:00:00.123456', '1 year 2 days 03:00:00', '6F0C2B6E-8D0A-4E0E-9D2B-0C1F6A0C7A11', '\xDEADbeef', 'done', '{a,"b c",NULL,"d\"e"}', '{1,-2,NULL}', '{t,f}', '{"b": 1,  "a": [1, 2],"b":2}', '{"bb":1,"a":[1, 2.50,{"z":null}],"bb":3}', '12345', 'ab'),
    (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
    (3, 7, -1, -0.01, 1.500, 1e300, 16777217, false, '1999-12-31', '00:00:00', '1999-12-31T23:59:59.999999Z', '1999-12-31T00:00:00', '-1 days', '00000000-0000-0000-0000-000000000000', '\x', 'todo', '{}', '{}', '{}', 'null', '"text"', '', 'x');
insert into things (id, word, n, note) values (1, 'one', 1, 'first'), (2, 'two', 2, 'second'), (3, 'three', 3, null);
insert into stamps (label, at) values ('old', '2000-01-01T00:00:00Z');
insert into pairs (a, b, note) values (1, 'x', 'one'), (1, 'y', 'two'), (2, 'x', null);
insert into bare (a, b) values (1, 'p'), (2, 'q'), (2, null);
insert into "odd names" ("select", "a b", "x.y", "Ünï", "q""uote") values (1, 'sp ace', 'do.t', 'ünï', 'q"'), (2, 'o''clock', 'a,b', '(x)', '\');
insert into hidden (id, team_id) values (1, 1);
