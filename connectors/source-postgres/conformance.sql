-- What the conformance suite reads: equal cursors, NULLs, an empty table, the common types.
CREATE SCHEMA conformance;
SET search_path = conformance;
CREATE TABLE orders (id bigint PRIMARY KEY, updated_at timestamptz NOT NULL, name text, amount numeric(12,2));
INSERT INTO orders SELECT i, timestamptz '2024-01-01' + (i / 5) * interval '1 minute', CASE WHEN i % 7 > 0 THEN 'order ' || i END, i / 8.0
FROM generate_series(1, 600) AS i;
CREATE TABLE ticks (id integer PRIMARY KEY, price double precision, seen boolean);
INSERT INTO ticks SELECT i, i * 0.1, i % 2 = 0 FROM generate_series(1, 100) AS i;
CREATE TABLE every_type (id uuid PRIMARY KEY, a smallint, b real, c bytea, d date, e timestamp, f jsonb, g text[], h time, i interval);
INSERT INTO every_type VALUES
    ('00000000-0000-0000-0000-000000000001', 1, 1.5, '\xdead', '2024-02-29', '2024-02-29 13:05:09.25', '{"a": 1}', '{x,NULL}', '13:05', '1 day'),
    ('00000000-0000-0000-0000-000000000002', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE nothing (id integer PRIMARY KEY);
