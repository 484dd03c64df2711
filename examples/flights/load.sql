-- Loads the slice of the data that is kept here. From the project's directory, in Millpond's shell or in psql:
--   \i examples/flights/load.sql

\i examples/flights/schema.sql
\i examples/flights/views.sql
\copy airlines from 'examples/flights/data/airlines.csv' with (format csv, header, null 'NA')
\copy airports from 'examples/flights/data/airports.csv' with (format csv, header, null 'NA')
\copy planes from 'examples/flights/data/planes.csv' with (format csv, header, null 'NA')
\copy flights from 'examples/flights/data/flights.csv' with (format csv, header, null 'NA')
