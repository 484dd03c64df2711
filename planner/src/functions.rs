//! The functions that a query may call: DataFusion's, and ours beside them or in their place.
//!
//! There is one registry for the process. Batch queries, continuous queries and plans read back
//! from the catalog all look functions up here, so that they cannot mean different things.

pub mod arithmetic;
mod as_java;
mod conversion;
mod ksqldb;
mod sum;
mod time_units;
mod undefined;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::catalog::TableFunction;
use datafusion::execution::SessionStateDefaults;
use datafusion::functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion::functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};

pub use as_java::{ARRAY_DISTINCT, COMPARABLE, EMPTY_STRUCT, LIKE_PATTERN};
pub(crate) use as_java::{has_map, name_of_call as java_name};
pub use conversion::{CHECK_LENGTH, TO_JSON, TO_JSONB, TO_UUID};
pub(crate) use ksqldb::casts_as_java;
pub use ksqldb::{AVG as KSQL_AVG, DECIMAL_DIVIDE, EPOCH_MS, JAVA_CAST, SUM as KSQL_SUM};
pub(crate) use time_units::{is_unit, takes_unit};
pub(crate) use undefined::undefined_function;

/// All functions by lower-case name, aliases included.
pub struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    higher_order: HashMap<String, Arc<HigherOrderUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    window: HashMap<String, Arc<WindowUDF>>,
    table: HashMap<String, Arc<TableFunction>>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
}

/// The registry.
pub fn functions() -> &'static Functions {
    static FUNCTIONS: LazyLock<Functions> = LazyLock::new(Functions::new);
    &FUNCTIONS
}

/// Names under which PostgreSQL or ksqlDB users look for a function that DataFusion has under
/// another.
const SCALAR_ALIASES: [(&str, &str); 6] = [
    ("ucase", "upper"),
    ("lcase", "lower"),
    ("len", "character_length"),
    ("sign", "signum"),
    ("ceiling", "ceil"),
    ("array_contains", "array_has"),
];

/// The same for aggregates.
const AGGREGATE_ALIASES: [(&str, &str); 3] = [
    ("every", "bool_and"),
    ("collect_list", "array_agg"),
    ("variance", "var_samp"),
];

/// DataFusion's functions that are none of a user's business.
const LEFT_OUT: [&str; 2] = ["arrow_metadata", "with_metadata"];

impl Functions {
    fn new() -> Self {
        let mut scalar = HashMap::new();
        for function in SessionStateDefaults::default_scalar_functions() {
            put(&mut scalar, function.name(), function.aliases(), &function);
        }
        for function in arithmetic::functions()
            .into_iter()
            .chain(as_java::functions())
            .chain(conversion::functions())
            .chain(ksqldb::functions())
            .chain(time_units::functions())
        {
            put(&mut scalar, function.name(), function.aliases(), &function);
        }
        alias(&mut scalar, &SCALAR_ALIASES);
        scalar.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
        let mut higher_order = HashMap::new();
        for function in SessionStateDefaults::default_higher_order_functions() {
            put(
                &mut higher_order,
                function.name(),
                function.aliases(),
                &function,
            );
        }
        let mut aggregate = HashMap::new();
        for function in SessionStateDefaults::default_aggregate_functions() {
            put(
                &mut aggregate,
                function.name(),
                function.aliases(),
                &function,
            );
        }
        for function in ksqldb::aggregates().into_iter().chain([sum::function()]) {
            put(
                &mut aggregate,
                function.name(),
                function.aliases(),
                &function,
            );
        }
        alias(&mut aggregate, &AGGREGATE_ALIASES);
        let mut window = HashMap::new();
        for function in SessionStateDefaults::default_window_functions() {
            put(&mut window, function.name(), function.aliases(), &function);
        }
        let table = SessionStateDefaults::default_table_functions()
            .into_iter()
            .map(|function| (function.name().to_owned(), function))
            .collect();
        Self {
            scalar,
            higher_order,
            aggregate,
            window,
            table,
            expr_planners: expr_planners(),
        }
    }

    pub fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(name).cloned()
    }

    pub fn higher_order(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.higher_order.get(name).cloned()
    }

    pub fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(name).cloned()
    }

    pub fn window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.get(name).cloned()
    }

    pub fn table(&self, name: &str) -> Option<Arc<TableFunction>> {
        self.table.get(name).cloned()
    }

    /// Whether anything that can be called has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.scalar.contains_key(name)
            || self.higher_order.contains_key(name)
            || self.aggregate.contains_key(name)
            || self.window.contains_key(name)
    }

    /// Names of all functions but table functions, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .scalar
            .keys()
            .chain(self.higher_order.keys())
            .chain(self.aggregate.keys())
            .chain(self.window.keys())
            .map(String::as_str)
            .filter(|name| !name.starts_with('_'))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// All scalar functions, each once.
    pub fn scalars(&self) -> Vec<Arc<ScalarUDF>> {
        once_each(&self.scalar, |function| function.name())
    }

    /// All higher-order functions, each once.
    pub fn higher_orders(&self) -> Vec<Arc<HigherOrderUDF>> {
        once_each(&self.higher_order, |function| function.name())
    }

    /// All aggregates, each once.
    pub fn aggregates(&self) -> Vec<Arc<AggregateUDF>> {
        once_each(&self.aggregate, |function| function.name())
    }

    /// All window functions, each once.
    pub fn windows(&self) -> Vec<Arc<WindowUDF>> {
        once_each(&self.window, |function| function.name())
    }

    /// All table functions.
    pub fn tables(&self) -> Vec<Arc<TableFunction>> {
        once_each(&self.table, |function| function.name())
    }

    /// What turns operators, literals and field access into function calls.
    pub fn expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }
}

/// DataFusion's defaults depend on features of the crate that we build its functions without.
fn expr_planners() -> Vec<Arc<dyn ExprPlanner>> {
    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.push(Arc::new(DatetimeFunctionPlanner));
    planners.push(Arc::new(UnicodeFunctionPlanner));
    planners
}

fn put<T>(map: &mut HashMap<String, Arc<T>>, name: &str, aliases: &[String], function: &Arc<T>) {
    for name in aliases.iter().map(String::as_str).chain([name]) {
        map.insert(name.to_owned(), function.clone());
    }
}

fn alias<T>(map: &mut HashMap<String, Arc<T>>, aliases: &[(&str, &str)]) {
    for (alias, name) in aliases {
        if !map.contains_key(*alias)
            && let Some(function) = map.get(*name).cloned()
        {
            map.insert((*alias).to_owned(), function);
        }
    }
}

fn once_each<T>(map: &HashMap<String, Arc<T>>, name: impl Fn(&T) -> &str) -> Vec<Arc<T>> {
    let mut all: Vec<_> = map.values().cloned().collect();
    all.sort_by(|a, b| name(a).cmp(name(b)));
    all.dedup_by(|a, b| name(a) == name(b));
    all
}
