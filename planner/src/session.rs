//! DataFusion's configuration and state, the same for batch and continuous queries.

use std::sync::{Arc, LazyLock};

use datafusion::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;

use crate::functions::functions;

/// The configuration that plans are made and run with.
pub fn session_config(time_zone: &str) -> SessionConfig {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    // Names have been folded by the parser, once and for all.
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.collect_spans = true;
    // `1.5` is NUMERIC; `1.5e0` in a DOUBLE context becomes one by coercion.
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_subquery_sort_elimination = true;
    options.sql_parser.default_null_ordering = "nulls_max".into();
    options.execution.time_zone = Some(time_zone.to_owned());
    options.optimizer.filter_null_join_keys = true;
    options.catalog.information_schema = false;
    config
}

/// A state in which plans of [`crate::bind`] can be optimised and run. It knows all functions, and
/// no relation: plans carry theirs. It is for one statement: `now()` is the time of this call.
pub fn session_state(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionState {
    for_statement(&timeless_state(config, runtime))
}

/// A copy of a state for one statement: `now()` is the time of this call.
pub fn for_statement(state: &SessionState) -> SessionState {
    let mut state = state.clone();
    state.mark_start_execution();
    state
}

/// What the states of statements with this configuration have in common. To make it every function is
/// registered, so it is made once and [copied](for_statement).
pub fn timeless_state(config: SessionConfig, runtime: Arc<RuntimeEnv>) -> SessionState {
    let functions = functions();
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_scalar_functions(functions.scalars())
        .with_higher_order_functions(functions.higher_orders())
        .with_aggregate_functions(functions.aggregates())
        .with_window_functions(functions.windows())
        .with_table_function_list(functions.tables())
        .with_expr_planners(functions.expr_planners().to_vec())
        .build()
}

/// A state for what only wants functions and defaults.
pub(crate) fn plain_state() -> &'static SessionState {
    static STATE: LazyLock<SessionState> =
        LazyLock::new(|| timeless_state(session_config("UTC"), Arc::new(RuntimeEnv::default())));
    &STATE
}

/// The options of [`session_config`].
pub(crate) fn config_options(time_zone: &str) -> Arc<ConfigOptions> {
    static UTC: LazyLock<Arc<ConfigOptions>> =
        LazyLock::new(|| session_config("UTC").options().clone());
    match time_zone {
        "UTC" => UTC.clone(),
        other => session_config(other).options().clone(),
    }
}
