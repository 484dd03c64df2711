//! Everything that is tested through the front doors. One binary, so that it is linked once.

mod architecture;
mod auth;
mod consistency;
mod crash;
mod documents;
mod flights;
mod hostile;
mod kafka_hostile;
mod kafka_java;
mod kafka_kcat;
mod kafka_logins;
mod kafka_python;
mod kafka_sql;
mod kafka_sql_push;
mod kafka_sql_topics;
mod lifecycle;
mod psql;
mod shell;
mod slt;
mod streaming;
