-- Flights from New York in 2013. What happens is a stream; what is known about it are tables.

CREATE STREAM flights (
    year INT, month INT, day INT,
    dep_time INT, sched_dep_time INT, dep_delay INT,
    arr_time INT, sched_arr_time INT, arr_delay INT,
    carrier TEXT, flight INT, tailnum TEXT, origin TEXT, dest TEXT,
    air_time INT, distance INT, hour INT, minute INT,
    time_hour TIMESTAMPTZ
) WITH (timestamp = 'time_hour');

CREATE TABLE airlines (carrier TEXT PRIMARY KEY, name TEXT);

CREATE TABLE airports (
    faa TEXT PRIMARY KEY, name TEXT, lat DOUBLE, lon DOUBLE, alt INT, tz INT, dst TEXT, tzone TEXT
);

CREATE TABLE planes (
    tailnum TEXT PRIMARY KEY, year INT, type TEXT, manufacturer TEXT, model TEXT, engines INT, seats INT, speed INT,
    engine TEXT
);
