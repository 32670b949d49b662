-- A shop with a column of nearly every type that PostgreSQL has. Times count milliseconds, as Connect's do.
create extension citext;
create type loyalty as enum ('none', 'silver', 'very gold');
create type dimensions as (width real, height real);
create domain amount as numeric(12, 2) check (value > -1e9);
create domain slug as varchar(60) not null;

create table store (
    id smallint primary key, title name not null, letter "char", open boolean not null,
    since date not null, opens time(3), closes timetz(3), area real, turnover double precision,
    tax numeric(5, 4), registry oid);
insert into store select i, 'store ' || i, chr(64 + i % 26 + 1)::"char", i % 3 = 0, date '1969-12-20' + i * 97,
    time '08:00' + i * interval '1 minute 1.007 s', timetz '22:00+00' - i * interval '1.5 s',
    nullif(i % 7, 2) / 8.0, nullif(i % 11, 5) * i / 1024.0, nullif(i % 5, 4) / 100.0, i * 1000
    from generate_series(1, 200) i;

create table customer (
    id bigint primary key, public_id uuid not null, email citext, full_name varchar(80) not null,
    initials char(3), vip bit(1), born date, registered timestamp(3) not null,
    seen timestamptz(3), settings jsonb, notes text, photo bytea, level loyalty);
insert into customer select i * 10000000000, md5(i::text)::uuid, nullif('User' || i % 9 || '@Shop.example', 'User3@Shop.example'),
    'Ünïcödé № ' || i || ' 🦀', 'a' || i % 10, (i % 2)::bit(1), nullif(date '1940-02-29' + i, '1940-03-31'),
    timestamp '1999-12-31 23:59:59.999' + i * interval '1 hour 0.001 s',
    timestamptz '2026-03-29 00:59:59+00' + i * interval '37 minutes 1.234 s',
    nullif(jsonb_build_object('i', i, 'list', jsonb_build_array(null, 1.50, 'x"y')), 'null'),
    case i % 4 when 0 then '' when 1 then null when 2 then E'tab\there\nand a \\ and ''quotes"' else repeat('long ', 2000) end,
    nullif(decode(lpad(to_hex(i), (i % 5) * 2, '0'), 'hex'), '\x0c'),
    (enum_range(null::loyalty))[1 + i % 4]
    from generate_series(1, 500) i;

create table category (id serial primary key, parent int references category, address slug, rank smallint);
insert into category (parent, address, rank) select nullif(i / 3, 0), 'cat-' || i, (i % 65536 - 32768)::smallint
    from generate_series(1, 300) i;

create table product (
    id int primary key, sku char(12) not null, title varchar(200), price amount, weight numeric(8, 3),
    atoms numeric(38, 0), exact numeric, specs json, leaflet xml, big bigint, added timestamp(0));
insert into product select i, 'P-' || i, 'Product "' || i || '", new', (i - 250) * 12.34, nullif(i % 13, 7) * 1.001,
    i * 1234567890123456789012345678901234.0, nullif(i % 6, 1) * -1.2345678901234567890123456789,
    ('{"z": 1,  "a" : ' || i || ', "a": 2}')::json, xmlparse(content '<leaf n="' || i || '">&lt;ok&gt;</leaf>'),
    (i - 250) * 36893488147419103, timestamp '1970-01-01' + i * interval '1 day 1 s'
    from generate_series(1, 500) i;
insert into product values
    (2147483647, '', '', 9999999999.99, 99999.999, 99999999999999999999999999999999999999, 1e30, 'null', '', 9223372036854775807, '9999-12-31 23:59:59'),
    (-2147483648, 'x', null, -999999999.99, -99999.999, -99999999999999999999999999999999999999, -1e-100, '[]', null, -9223372036854775808, '0001-01-01 00:00:00');

create table orders (
    id bigserial primary key, customer bigint not null references customer, placed timestamptz(3) not null default now(),
    lines smallint not null, total amount not null, paid boolean, channel varchar(10), memo text);
insert into orders (customer, placed, lines, total, paid, channel, memo)
    select (1 + i % 500) * 10000000000, timestamptz '2025-01-01' + i * interval '11.111 minutes', i % 9, i * 3.07,
    nullif(i % 3, 2) = 1, (array['web', 'app', 'shop', null])[1 + i % 4], nullif(repeat('é', i % 50), '')
    from generate_series(1, 3000) i;

create table device (
    id int primary key, address inet, network cidr, mac macaddr, mac8 macaddr8, uptime interval, flags varbit, mask bit(8),
    place point, area box, outline polygon, line lseg, circle circle, seen pg_lsn);
insert into device select i, ('10.0.' || i % 256 || '.1/24')::inet, ('2001:db8:' || to_hex(i) || '::/48')::cidr,
    ('08:00:2b:01:02:' || lpad(to_hex(i % 256), 2, '0'))::macaddr, ('08:00:2b:01:02:03:04:' || lpad(to_hex(i % 256), 2, '0'))::macaddr8,
    nullif(i % 10, 4) * interval '1 year 2 mons -3 days 04:05:06.789', nullif(i % 8, 3)::bit(3)::varbit, (i % 256)::bit(8),
    point(i, -i / 8.0), box(point(0, 0), point(i, i)), polygon(box(point(0, 0), point(i, 1))), lseg(point(1, 2), point(i, 4)),
    circle(point(1, 1), i), '16/B374D848'::pg_lsn + i
    from generate_series(1, 300) i;

create table shelf (
    id int primary key, numbers int[] not null, big bigint[], ratios double precision[], words text[], yes boolean[],
    slots int4range, prices numrange, days daterange, hours tstzrange, many int4multirange, size dimensions, found tsvector);
insert into shelf select i, array[i, -i, 0], nullif(array[i * 10000000000], '{70000000000}'), array[i / 8.0, null], array['a,b', '"q"', null, ''],
    array[true, i % 2 = 0], int4range(i, i + 10), numrange(i, null), daterange('2026-01-01', date '2026-01-01' + i),
    tstzrange('2026-01-01 00:00+00', null, '[)'), int4multirange(int4range(1, 2), int4range(5, 5 + i)), row(i, 1.5)::dimensions,
    to_tsvector('simple', 'word' || i || ' and word')
    from generate_series(1, 300) i;
