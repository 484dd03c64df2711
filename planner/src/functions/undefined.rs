//! A stand-in for a function that does not exist.
//!
//! PostgreSQL names the argument types in `function foo(bigint, text) does not exist`. They are
//! known only where the call is planned, so the name is bound to this function, whose type check
//! fails with that message.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::{PlanError, PlanErrorKind, closest};
use crate::types::{data_type_name, type_name};

/// Something to call by this name that fails when it is planned.
pub(crate) fn undefined_function(name: &str) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Undefined {
        name: name.to_owned(),
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Undefined {
    name: String,
    signature: Signature,
}

impl Undefined {
    fn error(&self, arguments: Vec<String>) -> PlanError {
        let error = PlanError::new(
            PlanErrorKind::UndefinedFunction,
            format!(
                "function {}({}) does not exist",
                self.name,
                arguments.join(", ")
            ),
        );
        error.with_hint(match closest(&self.name, super::functions().names()) {
            Some(name) => format!("Perhaps you meant the function \"{name}\"."),
            None => "No function matches the given name and argument types. You might need to \
                     add explicit type casts."
                .to_owned(),
        })
    }
}

impl ScalarUDFImpl for Undefined {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Err(self
            .error(arg_types.iter().map(data_type_name).collect())
            .into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<arrow_schema::FieldRef> {
        let names = args.arg_fields.iter().map(|field| match field.data_type() {
            DataType::Null => "unknown".to_owned(),
            _ => type_name(field),
        });
        Err(self.error(names.collect()).into())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("function {} does not exist", self.name)
    }
}
