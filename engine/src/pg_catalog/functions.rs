//! Functions that only queries over the system catalog call.
//!
//! They are called a few times on small tables, so each is a plain function from scalars to a scalar.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::Array as _;
use arrow_schema::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::definitions::{describe, functions, index_definition, key_columns};
use super::types::{format_type, type_oid};
use super::{INDEX_OID, RelationInfo, SystemTables};

type Body = Arc<dyn Fn(&[ScalarValue]) -> ScalarValue + Send + Sync>;

/// A function given by a closure.
struct Simple {
    name: &'static str,
    signature: Signature,
    returns: DataType,
    body: Body,
}

impl fmt::Debug for Simple {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PartialEq for Simple {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Simple {}

impl Hash for Simple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Simple {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)))
        {
            let values: Vec<ScalarValue> = args
                .args
                .iter()
                .filter_map(|arg| match arg {
                    ColumnarValue::Scalar(value) => Some(value.clone()),
                    ColumnarValue::Array(_) => None,
                })
                .collect();
            return Ok(ColumnarValue::Scalar((self.body)(&values)));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut results = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let values = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row))
                .collect::<Result<Vec<_>>>()?;
            results.push((self.body)(&values));
        }
        if results.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(
                &self.returns,
            )));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(results)?))
    }
}

/// Names that are called without parentheses, and those that alone mark a query as ours.
pub const SESSION_FUNCTIONS: [&str; 14] = [
    "version",
    "current_database",
    "current_catalog",
    "current_schema",
    "current_schemas",
    "current_user",
    "session_user",
    "user",
    "current_role",
    "pg_backend_pid",
    "current_setting",
    "set_config",
    "pg_is_in_recovery",
    "inet_server_addr",
];

/// All functions over one snapshot of the catalog.
pub fn all(tables: &Arc<SystemTables>) -> Vec<ScalarUDF> {
    let mut all = Registry::default();
    names(&mut all, tables);
    definitions(&mut all, tables);
    session(&mut all, tables);
    constants(&mut all);
    texts(&mut all);
    all.functions
}

#[derive(Default)]
struct Registry {
    functions: Vec<ScalarUDF>,
}

impl Registry {
    fn add(
        &mut self,
        name: &'static str,
        returns: DataType,
        body: impl Fn(&[ScalarValue]) -> ScalarValue + Send + Sync + 'static,
    ) {
        // Without arguments too.
        let signature = Signature::one_of(
            vec![
                datafusion::logical_expr::TypeSignature::Nullary,
                datafusion::logical_expr::TypeSignature::VariadicAny,
            ],
            Volatility::Stable,
        );
        let function = Simple {
            name,
            signature,
            returns,
            body: Arc::new(body),
        };
        self.functions.push(ScalarUDF::new_from_impl(function));
    }

    fn text(
        &mut self,
        name: &'static str,
        body: impl Fn(&[ScalarValue]) -> Option<String> + Send + Sync + 'static,
    ) {
        self.add(name, DataType::Utf8, move |args| {
            ScalarValue::Utf8(body(args))
        });
    }

    fn int(
        &mut self,
        name: &'static str,
        body: impl Fn(&[ScalarValue]) -> Option<i64> + Send + Sync + 'static,
    ) {
        self.add(name, DataType::Int64, move |args| {
            ScalarValue::Int64(body(args))
        });
    }
}

/// An argument as a number; texts of digits count.
fn int(args: &[ScalarValue], at: usize) -> Option<i64> {
    let value = args.get(at)?.cast_to(&DataType::Int64).ok()?;
    match value {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

/// An argument as a text.
fn text(args: &[ScalarValue], at: usize) -> Option<String> {
    match args.get(at)? {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        other if other.is_null() => None,
        other => Some(other.to_string()),
    }
}

/// Names of objects by their identifiers, and the other way round.
fn names(all: &mut Registry, tables: &Arc<SystemTables>) {
    let system = tables.clone();
    all.text("regclass_name", move |args| {
        let oid = int(args, 0)?;
        Some(match relation_or_index(&system, oid) {
            Some((relation, false)) => quoted(&relation.name),
            Some((relation, true)) => quoted(&super::definitions::key_name(relation)),
            None if oid == 0 => "-".to_owned(),
            None => oid.to_string(),
        })
    });
    let system = tables.clone();
    all.int("to_regclass", move |args| {
        class_oid(&system, &text(args, 0)?)
    });
    all.int("to_regtype", |args| {
        type_oid(&text(args, 0)?).map(i64::from)
    });
    all.int("to_regnamespace", |args| namespace_oid(&text(args, 0)?));
    all.text("regtype_name", |args| {
        Some(format_type(int(args, 0)?, None))
    });
    all.text("regnamespace_name", |args| {
        let oid = int(args, 0)?;
        Some(match oid {
            11 => "pg_catalog".to_owned(),
            2200 => "public".to_owned(),
            13_000 => "information_schema".to_owned(),
            other => other.to_string(),
        })
    });
    let user = tables.facts.user.clone();
    all.text("regrole_name", move |args| {
        int(args, 0).map(|_| user.clone())
    });
    all.text("regproc_name", |args| text(args, 0));
    all.text("format_type", |args| {
        Some(format_type(int(args, 0)?, int(args, 1)))
    });
    let user = tables.facts.user.clone();
    all.text("pg_get_userbyid", move |args| {
        int(args, 0).map(|_| user.clone())
    });
}

/// Whether the identifier is a relation's or that of its index.
fn relation_or_index(tables: &SystemTables, oid: i64) -> Option<(&RelationInfo, bool)> {
    if let Some(relation) = tables.by_oid(oid) {
        return Some((relation, false));
    }
    let relation = tables.by_oid(oid - i64::from(INDEX_OID))?;
    (!relation.key.is_empty()).then_some((relation, true))
}

/// The identifier that `'name'::regclass` means.
pub fn class_oid(tables: &SystemTables, name: &str) -> Option<i64> {
    if let Ok(oid) = name.parse() {
        return Some(oid);
    }
    let name = name
        .trim_start_matches("pg_catalog.")
        .trim_start_matches("public.");
    let name = name.trim_matches('"');
    if let Some(relation) = tables.by_name(name) {
        return Some(relation.oid.into());
    }
    if let Some(table) = name
        .strip_suffix("_pkey")
        .and_then(|table| tables.by_name(table))
    {
        return Some((table.oid + INDEX_OID).into());
    }
    // Those of Postgres' own tables that clients name.
    const SYSTEM: [(&str, i64); 10] = [
        ("pg_class", 1259),
        ("pg_type", 1247),
        ("pg_proc", 1255),
        ("pg_attribute", 1249),
        ("pg_namespace", 2615),
        ("pg_database", 1262),
        ("pg_constraint", 2606),
        ("pg_extension", 3079),
        ("pg_trigger", 2620),
        ("pg_rewrite", 2618),
    ];
    SYSTEM
        .iter()
        .find(|(table, _)| *table == name)
        .map(|(_, oid)| *oid)
}

/// The identifier that `'name'::regnamespace` means.
pub fn namespace_oid(name: &str) -> Option<i64> {
    match name.trim_matches('"') {
        "pg_catalog" => Some(11),
        "public" => Some(2200),
        "information_schema" => Some(13_000),
        other => other.parse().ok(),
    }
}

/// What objects are, as text.
fn definitions(all: &mut Registry, tables: &Arc<SystemTables>) {
    let system = tables.clone();
    all.text("pg_get_indexdef", move |args| {
        let (relation, _) = relation_or_index(&system, int(args, 0)?)?;
        match int(args, 1).filter(|column| *column > 0) {
            Some(column) => {
                let position = relation.key.get(column as usize - 1)?;
                Some(relation.columns.field(*position).name().clone())
            }
            None => Some(index_definition(relation)),
        }
    });
    let system = tables.clone();
    all.text("pg_get_constraintdef", move |args| {
        let (relation, _) = relation_or_index(&system, int(args, 0)?)?;
        Some(format!("PRIMARY KEY ({})", key_columns(relation)))
    });
    let system = tables.clone();
    all.text("obj_description", move |args| {
        let catalog = text(args, 1).unwrap_or_else(|| "pg_class".to_owned());
        if catalog != "pg_class" {
            return None;
        }
        system
            .by_oid(int(args, 0)?)
            .map(|relation| describe(relation).to_owned())
    });
    all.text("pg_get_function_result", |args| {
        let index = usize::try_from(int(args, 0)? - 10_000).ok()?;
        functions().nth(index).map(|_| "any".to_owned())
    });
    for name in [
        "pg_get_function_arguments",
        "pg_get_function_identity_arguments",
    ] {
        all.text(name, |args| int(args, 0).map(|_| "...".to_owned()));
    }
}

/// Who asks, and where.
fn session(all: &mut Registry, tables: &Arc<SystemTables>) {
    let facts = tables.facts.clone();
    all.text("version", |_| {
        Some(format!(
            "PostgreSQL 16.0 (Millpond {}) on {}-{}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH,
            std::env::consts::OS
        ))
    });
    for name in ["current_database", "current_catalog"] {
        let database = facts.database.clone();
        all.text(name, move |_| Some(database.clone()));
    }
    for name in ["current_user", "session_user", "user", "current_role"] {
        let user = facts.user.clone();
        all.text(name, move |_| Some(user.clone()));
    }
    all.text("current_schema", |_| Some("public".to_owned()));
    let schemas = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    all.add("current_schemas", schemas, |args| {
        let implicit = matches!(args.first(), Some(ScalarValue::Boolean(Some(true))));
        let names = if implicit {
            vec!["pg_catalog", "public"]
        } else {
            vec!["public"]
        };
        let names: Vec<ScalarValue> = names.into_iter().map(ScalarValue::from).collect();
        ScalarValue::List(ScalarValue::new_list(&names, &DataType::Utf8, true))
    });
    let pid = facts.backend_pid;
    all.add("pg_backend_pid", DataType::Int32, move |_| {
        ScalarValue::Int32(Some(pid))
    });
    let system = tables.clone();
    all.text("current_setting", move |args| {
        let name = text(args, 0)?;
        let setting = system
            .settings
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(&name));
        setting.map(|(_, value, _)| value.clone())
    });
    all.text("set_config", |args| text(args, 1));
}

/// Functions whose answer here is always the same.
fn constants(all: &mut Registry) {
    const TRUE: [&str; 20] = [
        "pg_table_is_visible",
        "pg_type_is_visible",
        "pg_function_is_visible",
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_collation_is_visible",
        "pg_conversion_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_config_is_visible",
        "has_table_privilege",
        "has_any_column_privilege",
        "has_column_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_function_privilege",
        "has_sequence_privilege",
        "has_type_privilege",
        "has_tablespace_privilege",
        "pg_has_role",
    ];
    const FALSE: [&str; 3] = [
        "pg_is_in_recovery",
        "pg_relation_is_publishable",
        "pg_is_other_temp_schema",
    ];
    for (names, value) in [(TRUE.as_slice(), true), (FALSE.as_slice(), false)] {
        for name in names {
            all.add(name, DataType::Boolean, move |_| {
                ScalarValue::Boolean(Some(value))
            });
        }
    }
    const NULL_TEXT: [&str; 16] = [
        "pg_get_expr",
        "pg_get_viewdef",
        "pg_get_partkeydef",
        "pg_get_functiondef",
        "pg_get_statisticsobjdef_columns",
        "pg_get_serial_sequence",
        "pg_get_triggerdef",
        "pg_get_ruledef",
        "pg_get_function_sqlbody",
        "pg_get_partition_constraintdef",
        "pg_tablespace_location",
        "col_description",
        "shobj_description",
        "inet_server_addr",
        "inet_client_addr",
        "pg_describe_object",
    ];
    for name in NULL_TEXT {
        all.text(name, |_| None);
    }
    const ZERO: [&str; 8] = [
        "pg_table_size",
        "pg_relation_size",
        "pg_total_relation_size",
        "pg_indexes_size",
        "pg_database_size",
        "pg_tablespace_size",
        "pg_my_temp_schema",
        "pg_relation_filenode",
    ];
    for name in ZERO {
        all.int(name, |_| Some(0));
    }
    for name in [
        "pg_encoding_to_char",
        "pg_client_encoding",
        "getdatabaseencoding",
    ] {
        all.text(name, |_| Some("UTF8".to_owned()));
    }
    all.int("pg_char_to_encoding", |_| Some(6));
}

/// Functions on texts and arrays.
fn texts(all: &mut Registry) {
    all.text("pg_size_pretty", |args| {
        Some(format!("{} bytes", int(args, 0)?))
    });
    all.text("quote_ident", |args| {
        text(args, 0).map(|name| quoted(&name))
    });
    all.text("quote_literal", |args| {
        text(args, 0).map(|value| format!("'{}'", value.replace('\'', "''")))
    });
    all.text("array_to_string", |args| {
        let separator = text(args, 1)?;
        let items = elements(args.first()?)?;
        let null = text(args, 2);
        let shown: Vec<String> = items
            .into_iter()
            .filter_map(|item| item.or_else(|| null.clone()))
            .collect();
        Some(shown.join(&separator))
    });
    all.int("array_lower", |args| {
        elements(args.first()?)
            .filter(|items| !items.is_empty())
            .map(|_| 1)
    });
    for name in ["array_upper", "cardinality"] {
        all.int(name, |args| {
            elements(args.first()?)
                .filter(|items| !items.is_empty())
                .map(|items| items.len() as i64)
        });
    }
}

/// The elements of an array, or of an array literal, as texts.
fn elements(value: &ScalarValue) -> Option<Vec<Option<String>>> {
    if let ScalarValue::List(list) = value {
        if list.is_null(0) {
            return None;
        }
        let values = list.value(0);
        return (0..values.len())
            .map(|row| ScalarValue::try_from_array(&values, row).ok())
            .map(|scalar| scalar.map(|scalar| text(&[scalar], 0)))
            .collect();
    }
    let literal = text(std::slice::from_ref(value), 0)?;
    let inner = literal.strip_prefix('{')?.strip_suffix('}')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    Some(inner.split(',').map(|item| Some(item.to_owned())).collect())
}

/// A name, in quotes if it needs them.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}
