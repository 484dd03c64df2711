//! Every name in sqlparser's trees, wherever it hides. sqlparser's own visitors pass over aliases.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DateTimeField, ExcludeSelectItem, Expr, FunctionArg, FunctionArguments, Ident,
    JoinConstraint, JoinOperator, NamedWindowExpr, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, TableAlias, TableFactor, TableWithJoins,
    ValueWithSpan, VisitMut, VisitorMut, WildcardAdditionalOptions, WindowType,
};

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A function.
    Function,
    /// Anything else.
    Name,
}

/// Called for each name and each literal of a tree, in no particular order.
pub(crate) trait Rewrite {
    fn ident(&mut self, ident: &mut Ident, role: Role);

    fn value(&mut self, _value: &mut ValueWithSpan) {}

    /// Called before anything inside the expression is.
    fn expr(&mut self, _expr: &mut Expr) {}
}

/// Shows every name of a tree to a [`Rewrite`].
pub(crate) fn rewrite<T: VisitMut, R: Rewrite>(tree: &mut T, rewrite: &mut R) {
    let mut walk = Walk {
        rewrite,
        in_table_function: false,
    };
    let ControlFlow::Continue(()) = tree.visit(&mut walk);
}

struct Walk<'a, R> {
    rewrite: &'a mut R,
    /// The relation visited next is a function's name.
    in_table_function: bool,
}

impl<R: Rewrite> Walk<'_, R> {
    fn name(&mut self, ident: &mut Ident) {
        self.rewrite.ident(ident, Role::Name);
    }

    fn names<'i>(&mut self, idents: impl IntoIterator<Item = &'i mut Ident>) {
        for ident in idents {
            self.name(ident);
        }
    }

    fn object_name(&mut self, name: &mut ObjectName, role: Role) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.rewrite.ident(ident, role);
            }
        }
    }

    fn alias(&mut self, alias: &mut TableAlias) {
        self.name(&mut alias.name);
        self.names(alias.columns.iter_mut().map(|column| &mut column.name));
    }

    fn joins(&mut self, table: &mut TableWithJoins) {
        for join in &mut table.joins {
            if let Some(JoinConstraint::Using(columns)) = constraint_mut(&mut join.join_operator) {
                for column in columns {
                    self.object_name(column, Role::Name);
                }
            }
        }
    }

    fn wildcard(&mut self, options: &mut WildcardAdditionalOptions) {
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(column)) => self.object_name(column, Role::Name),
            Some(ExcludeSelectItem::Multiple(columns)) => {
                for column in columns {
                    self.object_name(column, Role::Name);
                }
            }
            None => {}
        }
        self.names(&mut options.opt_alias);
    }
}

/// The condition of a join, if it is of a kind that has one.
pub(crate) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::StraightJoin(constraint)
        | JoinOperator::AsOf { constraint, .. } => Some(constraint),
        JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => None,
    }
}

impl<R: Rewrite> VisitorMut for Walk<'_, R> {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                self.alias(&mut cte.alias);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(_) => {}
                SelectItem::ExprWithAlias { alias, .. } => self.name(alias),
                SelectItem::ExprWithAliases { aliases, .. } => self.names(aliases),
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind {
                        self.object_name(name, Role::Name);
                    }
                    self.wildcard(options);
                }
                SelectItem::Wildcard(options) => self.wildcard(options),
            }
        }
        for table in &mut select.from {
            self.joins(table);
        }
        for window in &mut select.named_window {
            self.name(&mut window.0);
            match &mut window.1 {
                NamedWindowExpr::NamedWindow(base) => self.name(base),
                NamedWindowExpr::WindowSpec(spec) => self.names(&mut spec.window_name),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<Self::Break> {
        match table {
            TableFactor::Table { alias, args, .. } => {
                self.in_table_function = args.is_some();
                alias.iter_mut().for_each(|alias| self.alias(alias));
                if let Some(args) = args {
                    args.args.iter_mut().for_each(|arg| self.argument(arg));
                }
            }
            TableFactor::Derived { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                alias.iter_mut().for_each(|alias| self.alias(alias));
            }
            TableFactor::Function {
                name, alias, args, ..
            } => {
                self.object_name(name, Role::Function);
                alias.iter_mut().for_each(|alias| self.alias(alias));
                args.iter_mut().for_each(|arg| self.argument(arg));
            }
            TableFactor::UNNEST {
                alias,
                with_offset_alias,
                ..
            } => {
                alias.iter_mut().for_each(|alias| self.alias(alias));
                self.names(with_offset_alias);
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                self.joins(table_with_joins);
                alias.iter_mut().for_each(|alias| self.alias(alias));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<Self::Break> {
        let role = if std::mem::take(&mut self.in_table_function) {
            Role::Function
        } else {
            Role::Name
        };
        self.object_name(relation, role);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        self.rewrite.expr(expr);
        match expr {
            Expr::Identifier(ident) => self.name(ident),
            Expr::CompoundIdentifier(idents) => self.names(idents),
            Expr::QualifiedWildcard(name, _) => self.object_name(name, Role::Name),
            Expr::Collate { collation, .. } => self.object_name(collation, Role::Name),
            Expr::Lambda(lambda) => {
                // `OneOrManyWithParens` gives no mutable access to its items.
                use sqlparser::ast::OneOrManyWithParens::{Many, One};
                match &mut lambda.params {
                    One(parameter) => self.name(&mut parameter.name),
                    Many(parameters) => {
                        self.names(parameters.iter_mut().map(|parameter| &mut parameter.name))
                    }
                }
            }
            Expr::Function(function) => {
                self.object_name(&mut function.name, Role::Function);
                if let FunctionArguments::List(list) = &mut function.args {
                    list.args.iter_mut().for_each(|arg| self.argument(arg));
                }
                match &mut function.over {
                    Some(WindowType::NamedWindow(name)) => self.name(name),
                    Some(WindowType::WindowSpec(spec)) => self.names(&mut spec.window_name),
                    None => {}
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Self::Break> {
        self.rewrite.value(value);
        ControlFlow::Continue(())
    }
}

impl<R: Rewrite> Walk<'_, R> {
    fn argument(&mut self, argument: &mut FunctionArg) {
        use sqlparser::ast::FunctionArgExpr;
        let value = match argument {
            FunctionArg::Named { name, arg, .. } => {
                self.name(name);
                arg
            }
            FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg) => arg,
        };
        match value {
            FunctionArgExpr::QualifiedWildcard(name) => self.object_name(name, Role::Name),
            FunctionArgExpr::WildcardWithOptions(options) => self.wildcard(options),
            FunctionArgExpr::Expr(_) | FunctionArgExpr::Wildcard => {}
        }
    }
}

/// Gives every name the form [`crate::ast`] promises.
#[derive(Default)]
pub(crate) struct Normalize {
    /// The first name met that is empty: sqlparser takes strings for names in places, `''` too.
    pub(crate) empty: Option<Ident>,
}

impl Rewrite for Normalize {
    fn ident(&mut self, ident: &mut Ident, role: Role) {
        if ident.value.is_empty() {
            self.empty.get_or_insert_with(|| ident.clone());
        }
        match role {
            Role::Function => normalize_function(ident),
            Role::Name => ident.quote_style = Some('"'),
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        // OPERATOR(pg_catalog.~), as psql writes it; the schema is mere text in sqlparser's tree.
        if let Expr::BinaryOp {
            op: BinaryOperator::PGCustomBinaryOperator(parts),
            ..
        } = expr
        {
            parts
                .iter_mut()
                .for_each(|part| part.make_ascii_lowercase());
        }
        if let Expr::Extract {
            field: DateTimeField::Custom(field),
            ..
        } = expr
        {
            field.value.make_ascii_lowercase();
        }
        // USER is a plain name in ksqlDB; its synonym means the same in both dialects.
        if let Expr::Function(function) = expr
            && function.args == FunctionArguments::None
            && let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice()
            && ident.quote_style.is_none()
            && ident.value.eq_ignore_ascii_case("user")
        {
            ident.value = "current_user".to_owned();
        }
    }
}

/// A function's name, as in the tree: quoted only if it was, or cannot do without in one of the dialects.
pub(crate) fn normalize_function(ident: &mut Ident) {
    if ident.quote_style.is_none() {
        ident.value.make_ascii_lowercase();
        if !is_word_everywhere(&ident.value) {
            ident.quote_style = Some('"');
        }
    }
}

/// Whether a word without quotes is one in both dialects: in ksqlDB's it may begin with a digit or contain `@`.
pub(crate) fn is_word_everywhere(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains('@')
}
