-- Questions that stay answered, however the flights come in.

-- Delays of each carrier, month by month.
CREATE MATERIALIZED VIEW delays AS
SELECT carrier, month, COUNT(*) AS flights, COUNT(dep_delay) AS departed, AVG(dep_delay) AS mean, MIN(dep_delay) AS least,
       MAX(dep_delay) AS most, STDDEV(arr_delay) AS spread
FROM flights
GROUP BY carrier, month;

-- How busy each route is, and where it leads. Some destinations are missing in the table of airports.
CREATE MATERIALIZED VIEW routes AS
SELECT f.origin, f.dest, a.name AS airport, COUNT(*) AS flights, SUM(f.distance) AS miles, AVG(f.air_time) AS minutes
FROM flights f LEFT JOIN airports a ON f.dest = a.faa
GROUP BY f.origin, f.dest, a.name;

-- How many flights arrive at most a quarter of an hour late, by the aircraft's manufacturer.
CREATE MATERIALIZED VIEW punctuality AS
SELECT p.manufacturer, COUNT(*) AS flights, COUNT(*) FILTER (WHERE f.arr_delay <= 15) AS on_time,
       CAST(COUNT(*) FILTER (WHERE f.arr_delay <= 15) AS DOUBLE) / COUNT(*) AS rate
FROM flights f JOIN planes p ON f.tailnum = p.tailnum
WHERE f.arr_delay IS NOT NULL
GROUP BY p.manufacturer;

-- How many aircraft were in the air on each day.
CREATE MATERIALIZED VIEW fleet AS
SELECT year, month, day, COUNT(DISTINCT tailnum) AS aircraft, COUNT(*) AS flights
FROM flights
GROUP BY year, month, day;

-- Cancelled flights by the airline's name.
CREATE MATERIALIZED VIEW cancellations AS
SELECT a.name, COUNT(*) AS flights, COUNT(*) FILTER (WHERE f.dep_time IS NULL) AS cancelled
FROM flights f JOIN airlines a ON f.carrier = a.carrier
GROUP BY a.name;
