//! Random queries.
//!
//! A query is built from the outside in: its shape, where its rows come from, what is kept, what is
//! computed. Types are tracked so that most queries mean something; one that does not is refused, and
//! counted as such.
//!
//! What keeps answers comparable:
//! - `DOUBLE` values are multiples of a quarter and small, and are only added, so sums are exact;
//! - a quotient ([`Ty::Ratio`], as of `AVG`) is compared and grouped by, and never summed;
//! - what rounds on its way ([`Ty::Approx`]) is only passed on, in columns named `approx…`;
//! - functions that see an order are given a total one.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// The type of a column, as far as queries care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    Int,
    BigInt,
    Double,
    Text,
    Bool,
    Decimal,
    Date,
    Timestamp,
    /// A quotient: exact, but sums of it are not.
    Ratio,
    /// Right only within a tolerance.
    Approx,
    /// A list; passed on, or unnested to its elements.
    TextList,
    IntList,
}

/// Types of columns of base relations.
pub const BASE_TYPES: [Ty; 8] = [
    Ty::Int,
    Ty::BigInt,
    Ty::Double,
    Ty::Text,
    Ty::Bool,
    Ty::Decimal,
    Ty::Date,
    Ty::Timestamp,
];

impl Ty {
    pub fn sql(self) -> &'static str {
        match self {
            Ty::Int => "INT",
            Ty::BigInt => "BIGINT",
            Ty::Double | Ty::Ratio | Ty::Approx => "DOUBLE",
            Ty::Text => "TEXT",
            Ty::Bool => "BOOLEAN",
            Ty::Decimal => "DECIMAL(12,2)",
            Ty::Date => "DATE",
            Ty::Timestamp => "TIMESTAMP",
            Ty::TextList => "TEXT[]",
            Ty::IntList => "INT[]",
        }
    }

    /// Whether rows can be told apart by it.
    fn is_key(self) -> bool {
        !matches!(self, Ty::Approx | Ty::TextList | Ty::IntList)
    }
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub ty: Ty,
}

/// Something with columns: a relation or a query.
#[derive(Debug, Clone)]
pub struct Source {
    /// What stands after FROM, without alias.
    pub sql: String,
    pub columns: Vec<Column>,
    /// About how many rows there may be, to keep joins of joins small.
    pub size: usize,
    /// Rows are only ever added.
    pub append_only: bool,
}

/// Literals are few, so that values meet.
pub fn literal(rng: &mut StdRng, ty: Ty) -> String {
    match ty {
        Ty::Int => rng.random_range(-3..=5).to_string(),
        Ty::BigInt if rng.random_bool(0.1) => rng
            .random_range(1_000_000_000i64..1_000_000_004)
            .to_string(),
        Ty::BigInt => rng.random_range(-4..=8).to_string(),
        // A bare number with a point is a DECIMAL; DataFusion mixes the two up in a UNION below a
        // correlated subquery, in batch queries too.
        Ty::Double | Ty::Ratio | Ty::Approx => {
            format!(
                "CAST({:?} AS DOUBLE)",
                f64::from(rng.random_range(-8..=12)) * 0.25
            )
        }
        Ty::Text => {
            let text = ["", "a", "b", "ab", "B", "zürich", "x y", "a,b"]
                .choose(rng)
                .expect("not empty");
            format!("'{text}'")
        }
        Ty::Bool => ["true", "false"]
            .choose(rng)
            .expect("not empty")
            .to_string(),
        Ty::Decimal => format!(
            "{}.{:02}",
            rng.random_range(-3..=4),
            rng.random_range(0..4) * 25
        ),
        Ty::Date => format!("DATE '2024-02-2{}'", rng.random_range(6..=9)),
        Ty::Timestamp => format!(
            "TIMESTAMP '2024-02-2{} 0{}:30:00'",
            rng.random_range(7..=9),
            rng.random_range(0..=3)
        ),
        Ty::TextList => "make_array('a', 'b')".into(),
        Ty::IntList => "make_array(1, 2)".into(),
    }
}

/// Makes queries over relations.
pub struct Queries<'a> {
    pub rng: &'a mut StdRng,
    pub relations: &'a [Source],
    aliases: usize,
    subqueries: bool,
}

/// The rows that a query may compute with.
struct Scope {
    from: String,
    columns: Vec<Column>,
    size: usize,
    append_only: bool,
}

impl<'a> Queries<'a> {
    pub fn new(rng: &'a mut StdRng, relations: &'a [Source]) -> Self {
        Self {
            rng,
            relations,
            aliases: 0,
            subqueries: true,
        }
    }

    /// Any query.
    pub fn query(&mut self, depth: usize) -> Source {
        match self.rng.random_range(0..100) {
            0..30 => self.select(depth),
            30..70 => self.aggregate(depth),
            70..80 => self.distinct(depth),
            80..94 => self.set_operation(depth),
            _ => self.unnest(depth),
        }
    }

    /// A query whose rows are never taken back; only over streams.
    pub fn append_only(&mut self) -> Option<Source> {
        let streams: Vec<&Source> = self.relations.iter().filter(|r| r.append_only).collect();
        let stream = (*streams.choose(self.rng)?).clone();
        let scope = self.named(&stream);
        // No subqueries: a stream that looks into a table says what it found then, not what a batch
        // query finds now.
        self.subqueries = false;
        Some(self.select_from(scope))
    }

    /// A query that gives exactly these types, for `INSERT INTO … SELECT`.
    pub fn of_types(&mut self, types: &[Ty]) -> Source {
        let scope = self.from(0);
        self.typed_select(scope, types)
    }

    fn select(&mut self, depth: usize) -> Source {
        let scope = self.from(depth);
        self.select_from(scope)
    }

    fn select_from(&mut self, scope: Scope) -> Source {
        let count = self.rng.random_range(1..=4);
        let mut outputs = Vec::new();
        for _ in 0..count {
            let ty = self.some_type(&scope);
            outputs.push((self.expr(&scope, ty, 2), ty));
        }
        let predicate = self.where_clause(&scope);
        self.finish(
            &scope,
            "",
            outputs,
            &predicate,
            "",
            scope.size,
            scope.append_only,
        )
    }

    fn typed_select(&mut self, scope: Scope, types: &[Ty]) -> Source {
        let outputs = types
            .iter()
            .map(|ty| (self.expr(&scope, *ty, 1), *ty))
            .collect();
        let predicate = self.where_clause(&scope);
        self.finish(
            &scope,
            "",
            outputs,
            &predicate,
            "",
            scope.size,
            scope.append_only,
        )
    }

    fn distinct(&mut self, depth: usize) -> Source {
        let scope = self.from(depth);
        let mut outputs = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let ty = self.some_key_type(&scope);
            outputs.push((self.expr(&scope, ty, 1), ty));
        }
        let predicate = self.where_clause(&scope);
        let append_only = scope.append_only;
        self.finish(
            &scope,
            "DISTINCT ",
            outputs,
            &predicate,
            "",
            scope.size.min(200),
            append_only,
        )
    }

    fn aggregate(&mut self, depth: usize) -> Source {
        let scope = self.from(depth);
        let mut outputs = Vec::new();
        let mut groups = Vec::new();
        for _ in 0..[0, 1, 1, 1, 2, 2, 3]
            .choose(self.rng)
            .copied()
            .expect("not empty")
        {
            let ty = self.some_key_type(&scope);
            let depth = usize::from(self.rng.random_bool(0.2));
            let key = self.expr(&scope, ty, depth);
            if !key.contains("r") {
                continue; // a constant as a key means a position
            }
            groups.push(key.clone());
            outputs.push((key, ty));
        }
        for _ in 0..self.rng.random_range(1..=4) {
            let (call, ty) = self.call(&scope);
            outputs.push((call, ty));
        }
        let predicate = self.where_clause(&scope);
        let mut tail = String::new();
        if !groups.is_empty() {
            tail = format!(" GROUP BY {}", groups.join(", "));
        }
        if self.rng.random_bool(0.25) {
            let condition = match self.rng.random_range(0..3) {
                0 => format!("COUNT(*) > {}", self.rng.random_range(0..4)),
                1 => format!("COUNT(*) % 2 = {}", self.rng.random_range(0..2)),
                _ => match self.call(&scope) {
                    (call, Ty::Approx) => format!("{call} IS NOT NULL"),
                    (call, ty) if ty.is_key() => format!("{call} > {}", literal(self.rng, ty)),
                    (call, _) => format!("{call} IS NOT NULL"),
                },
            };
            tail.push_str(&format!(" HAVING {condition}"));
        }
        let size = if groups.is_empty() {
            1
        } else {
            scope.size.min(60)
        };
        self.finish(&scope, "", outputs, &predicate, &tail, size, false)
    }

    /// An aggregate call over the rows in scope.
    fn call(&mut self, scope: &Scope) -> (String, Ty) {
        let number = [Ty::Int, Ty::BigInt, Ty::Double, Ty::Decimal];
        let sum_of = |ty| if ty == Ty::Int { Ty::BigInt } else { ty };
        let (call, ty) = match self.rng.random_range(0..24) {
            0..2 => ("COUNT(*)".to_owned(), Ty::BigInt),
            2 => {
                let ty = self.some_key_type(scope);
                (format!("COUNT({})", self.expr(scope, ty, 1)), Ty::BigInt)
            }
            3..6 => {
                let ty = *number.choose(self.rng).expect("not empty");
                (format!("SUM({})", self.expr(scope, ty, 1)), sum_of(ty))
            }
            6 => {
                let ty = *number.choose(self.rng).expect("not empty");
                (format!("AVG({})", self.expr(scope, ty, 1)), Ty::Ratio)
            }
            7..11 => {
                let ty = self.some_key_type(scope);
                let function = ["MIN", "MAX"].choose(self.rng).expect("not empty");
                (format!("{function}({})", self.expr(scope, ty, 1)), ty)
            }
            11..13 => {
                let ty = self.some_key_type(scope);
                (
                    format!("COUNT(DISTINCT {})", self.expr(scope, ty, 1)),
                    Ty::BigInt,
                )
            }
            13 => {
                let ty = *[Ty::Int, Ty::BigInt, Ty::Double]
                    .choose(self.rng)
                    .expect("not empty");
                (
                    format!("SUM(DISTINCT {})", self.expr(scope, ty, 0)),
                    sum_of(ty),
                )
            }
            14 => {
                let function = ["bool_and", "bool_or"].choose(self.rng).expect("not empty");
                (
                    format!("{function}({})", self.expr(scope, Ty::Bool, 1)),
                    Ty::Bool,
                )
            }
            15 => {
                let function = ["bit_and", "bit_or", "bit_xor"]
                    .choose(self.rng)
                    .expect("not empty");
                let ty = *[Ty::Int, Ty::BigInt].choose(self.rng).expect("not empty");
                (format!("{function}({})", self.expr(scope, ty, 0)), ty)
            }
            16..18 => {
                let arg = self.expr(scope, Ty::Text, 0);
                let direction = ["", " DESC"].choose(self.rng).expect("not empty");
                (
                    format!("string_agg({arg}, ',' ORDER BY {arg}{direction})"),
                    Ty::Text,
                )
            }
            18..20 => {
                let (ty, list) = *[(Ty::Text, Ty::TextList), (Ty::Int, Ty::IntList)]
                    .choose(self.rng)
                    .expect("not empty");
                let arg = self.expr(scope, ty, 0);
                let distinct = if self.rng.random_bool(0.2) {
                    "DISTINCT "
                } else {
                    ""
                };
                let order = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]
                    .choose(self.rng)
                    .expect("not empty");
                (
                    format!("array_agg({distinct}{arg} ORDER BY {arg}{order})"),
                    list,
                )
            }
            20..22 => {
                let function = ["var_samp", "var_pop", "stddev", "stddev_pop"]
                    .choose(self.rng)
                    .expect("not empty");
                let ty = *[Ty::Int, Ty::Double].choose(self.rng).expect("not empty");
                (
                    format!("{function}({})", self.bounded(scope, ty)),
                    Ty::Approx,
                )
            }
            22 => {
                let ty = self.some_key_type(scope);
                let arg = self.expr(scope, ty, 0);
                let function = ["first_value", "last_value"]
                    .choose(self.rng)
                    .expect("not empty");
                (format!("{function}({arg} ORDER BY {arg})"), ty)
            }
            _ => {
                let arg = self.bounded(scope, Ty::Int);
                (format!("median({arg})"), Ty::Approx)
            }
        };
        if self.rng.random_bool(0.15) {
            let predicate = self.predicate(scope, 1);
            return (format!("{call} FILTER (WHERE {predicate})"), ty);
        }
        (call, ty)
    }

    fn set_operation(&mut self, depth: usize) -> Source {
        let left = self.from(depth);
        let right = self.from(depth);
        let operator = *[
            "UNION ALL",
            "UNION ALL",
            "UNION",
            "UNION",
            "INTERSECT",
            "EXCEPT",
        ]
        .choose(self.rng)
        .expect("not empty");
        let append_only = left.append_only && right.append_only && operator.starts_with("UNION");
        let size = left.size + right.size;
        let types: Vec<Ty> = (0..self.rng.random_range(1..=3))
            .map(|_| self.some_key_type(&left))
            .collect();
        let left = self.typed_select(left, &types);
        let right = self.typed_select(right, &types);
        Source {
            sql: format!("{} {operator} {}", left.sql, right.sql),
            columns: left.columns,
            size,
            append_only,
        }
    }

    fn unnest(&mut self, depth: usize) -> Source {
        let scope = self.from(depth);
        let lists: Vec<Column> = scope
            .columns
            .iter()
            .filter(|c| matches!(c.ty, Ty::TextList | Ty::IntList))
            .cloned()
            .collect();
        let (list, ty) = match lists.choose(self.rng) {
            Some(list) if list.ty == Ty::TextList => (list.name.clone(), Ty::Text),
            Some(list) => (list.name.clone(), Ty::Int),
            None => {
                let ty = *[Ty::Int, Ty::Text].choose(self.rng).expect("not empty");
                let elements: Vec<String> = (0..self.rng.random_range(1..=3))
                    .map(|_| self.expr(&scope, ty, 1))
                    .collect();
                (format!("make_array({})", elements.join(", ")), ty)
            }
        };
        let other = self.some_key_type(&scope);
        let outputs = vec![
            (self.expr(&scope, other, 0), other),
            (format!("unnest({list})"), ty),
        ];
        let predicate = self.where_clause(&scope);
        self.finish(
            &scope,
            "",
            outputs,
            &predicate,
            "",
            scope.size * 2,
            scope.append_only,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the clauses of a SELECT")]
    fn finish(
        &mut self,
        scope: &Scope,
        distinct: &str,
        outputs: Vec<(String, Ty)>,
        predicate: &str,
        tail: &str,
        size: usize,
        append_only: bool,
    ) -> Source {
        let columns: Vec<Column> = outputs
            .iter()
            .enumerate()
            .map(|(index, (_, ty))| Column {
                name: match ty {
                    Ty::Approx => format!("approx{index}"),
                    _ => format!("c{index}"),
                },
                ty: *ty,
            })
            .collect();
        let list: Vec<String> = outputs
            .iter()
            .zip(&columns)
            .map(|((expr, _), column)| format!("{expr} AS {}", column.name))
            .collect();
        Source {
            sql: format!(
                "SELECT {distinct}{} FROM {}{predicate}{tail}",
                list.join(", "),
                scope.from
            ),
            columns,
            size,
            append_only,
        }
    }

    fn from(&mut self, depth: usize) -> Scope {
        let left = self.operand(depth);
        if !self.rng.random_bool(0.4) {
            return left;
        }
        let joined = self.join(left, depth);
        if self.rng.random_bool(0.2) {
            self.join(joined, 0)
        } else {
            joined
        }
    }

    fn operand(&mut self, depth: usize) -> Scope {
        if depth > 0 && self.rng.random_bool(0.3) {
            let query = self.query(depth - 1);
            let source = Source {
                sql: format!("({})", query.sql),
                ..query
            };
            return self.named(&source);
        }
        let relation = self
            .relations
            .choose(self.rng)
            .expect("there are relations")
            .clone();
        self.named(&relation)
    }

    fn named(&mut self, source: &Source) -> Scope {
        let alias = format!("r{}", self.aliases);
        self.aliases += 1;
        Scope {
            from: format!("{} AS {alias}", source.sql),
            columns: source
                .columns
                .iter()
                .map(|column| Column {
                    name: format!("{alias}.{}", column.name),
                    ty: column.ty,
                })
                .collect(),
            size: source.size,
            append_only: source.append_only,
        }
    }

    fn join(&mut self, left: Scope, depth: usize) -> Scope {
        let right = self.operand(depth);
        if left.size * right.size > 40_000 {
            return left;
        }
        let mut columns = left.columns.clone();
        columns.extend(right.columns.iter().cloned());
        let both = Scope {
            from: String::new(),
            columns,
            size: 0,
            append_only: false,
        };
        let mut conditions = Vec::new();
        for _ in 0..self.rng.random_range(1..=2) {
            let pairs: Vec<(&Column, &Column)> = left
                .columns
                .iter()
                .flat_map(|l| right.columns.iter().map(move |r| (l, r)))
                .filter(|(l, r)| l.ty == r.ty && l.ty.is_key())
                .collect();
            if let Some((l, r)) = pairs.choose(self.rng) {
                conditions.push(format!("{} = {}", l.name, r.name));
            }
        }
        conditions.dedup();
        let is_equi = !conditions.is_empty();
        if !is_equi || self.rng.random_bool(0.3) {
            conditions.push(self.predicate(&both, 1));
        }
        let kind = *[
            "JOIN",
            "JOIN",
            "LEFT JOIN",
            "LEFT JOIN",
            "RIGHT JOIN",
            "FULL JOIN",
        ]
        .choose(self.rng)
        .expect("not empty");
        let size = left.size * right.size / if is_equi { 4 } else { 1 };
        let append_only = left.append_only && right.append_only && kind == "JOIN";
        if self.rng.random_bool(0.05) {
            return Scope {
                from: format!("{} CROSS JOIN {}", left.from, right.from),
                columns: both.columns,
                size: left.size * right.size,
                append_only,
            };
        }
        Scope {
            from: format!(
                "{} {kind} {} ON {}",
                left.from,
                right.from,
                conditions.join(" AND ")
            ),
            columns: both.columns,
            size,
            append_only,
        }
    }

    fn where_clause(&mut self, scope: &Scope) -> String {
        let kinds = if self.subqueries { 10 } else { 8 };
        match self.rng.random_range(0..kinds) {
            0..5 => String::new(),
            5..8 => format!(" WHERE {}", self.predicate(scope, 2)),
            _ => {
                let mut clause = format!(" WHERE {}", self.subquery(scope));
                if self.rng.random_bool(0.3) {
                    clause.push_str(&format!(" AND {}", self.predicate(scope, 1)));
                }
                clause
            }
        }
    }

    /// A condition that asks another relation.
    fn subquery(&mut self, scope: &Scope) -> String {
        let relation = self
            .relations
            .choose(self.rng)
            .expect("there are relations")
            .clone();
        let inner = self.named(&relation);
        let outer: Vec<&Column> = scope.columns.iter().filter(|c| c.ty.is_key()).collect();
        let pairs: Vec<(&Column, &Column)> = outer
            .iter()
            .flat_map(|o| inner.columns.iter().map(move |i| (*o, i)))
            .filter(|(o, i)| o.ty == i.ty)
            .collect();
        let Some((outer, column)) = pairs.choose(self.rng).copied() else {
            return self.predicate(scope, 1);
        };
        let filter = match self.rng.random_bool(0.4) {
            true => self.predicate(&inner, 1),
            false => "true".to_owned(),
        };
        let (o, i, from) = (&outer.name, &column.name, &inner.from);
        match self.rng.random_range(0..10) {
            0..3 => format!("{o} IN (SELECT {i} FROM {from} WHERE {filter})"),
            3 => format!("{o} NOT IN (SELECT {i} FROM {from} WHERE {filter} AND {i} IS NOT NULL)"),
            4 => format!("{o} NOT IN (SELECT {i} FROM {from} WHERE {filter})"),
            5..7 => format!("EXISTS (SELECT 1 FROM {from} WHERE {i} = {o} AND {filter})"),
            7..9 => format!("NOT EXISTS (SELECT 1 FROM {from} WHERE {i} = {o} AND {filter})"),
            _ => format!("{o} >= (SELECT MAX({i}) FROM {from} WHERE {filter})"),
        }
    }

    fn predicate(&mut self, scope: &Scope, depth: usize) -> String {
        if depth > 0 && self.rng.random_bool(0.3) {
            let (a, b) = (
                self.predicate(scope, depth - 1),
                self.predicate(scope, depth - 1),
            );
            return match self.rng.random_range(0..3) {
                0 => format!("({a} AND {b})"),
                1 => format!("({a} OR {b})"),
                _ => format!("NOT ({a})"),
            };
        }
        let ty = self.some_key_type(scope);
        let a = self.expr(scope, ty, depth.min(1));
        let operator = *["=", "<>", "<", "<=", ">", ">="]
            .choose(self.rng)
            .expect("not empty");
        match self.rng.random_range(0..10) {
            0..3 => format!("{a} {operator} {}", literal(self.rng, ty)),
            3..5 => format!("{a} {operator} {}", self.expr(scope, ty, 0)),
            5 => format!("{a} IS NULL"),
            6 => format!("{a} IS NOT NULL"),
            7 => format!(
                "{a} IN ({}, {})",
                literal(self.rng, ty),
                literal(self.rng, ty)
            ),
            8 => format!("{a} IS DISTINCT FROM {}", self.expr(scope, ty, 0)),
            _ => format!(
                "{a} BETWEEN {} AND {}",
                literal(self.rng, ty),
                literal(self.rng, ty)
            ),
        }
    }

    /// A type that a column in scope has.
    fn some_type(&mut self, scope: &Scope) -> Ty {
        scope
            .columns
            .choose(self.rng)
            .map_or(Ty::Int, |column| column.ty)
    }

    fn some_key_type(&mut self, scope: &Scope) -> Ty {
        let types: Vec<Ty> = scope
            .columns
            .iter()
            .map(|c| c.ty)
            .filter(|ty| ty.is_key())
            .collect();
        types.choose(self.rng).copied().unwrap_or(Ty::Int)
    }

    /// Values of a size for which a tolerance makes sense.
    fn bounded(&mut self, scope: &Scope, ty: Ty) -> String {
        let expr = self.expr(scope, ty, 0);
        format!("CASE WHEN {expr} BETWEEN -1000 AND 1000 THEN {expr} END")
    }

    fn expr(&mut self, scope: &Scope, ty: Ty, depth: usize) -> String {
        let columns: Vec<&Column> = scope.columns.iter().filter(|c| c.ty == ty).collect();
        let column = columns.choose(self.rng).map(|column| column.name.clone());
        if matches!(ty, Ty::Approx | Ty::TextList | Ty::IntList | Ty::Ratio) {
            return column.unwrap_or_else(|| literal(self.rng, ty));
        }
        if depth == 0 || self.rng.random_bool(0.6) {
            return match column {
                Some(column) if !self.rng.random_bool(0.03) => column,
                _ => self.converted(scope, ty),
            };
        }
        let a = self.expr(scope, ty, depth - 1);
        let b = self.expr(scope, ty, depth - 1);
        match (self.rng.random_range(0..6), ty) {
            (0, _) => format!("coalesce({a}, {b})"),
            (1, _) => format!("nullif({a}, {b})"),
            (2, _) => {
                let condition = self.predicate(scope, depth - 1);
                format!("CASE WHEN {condition} THEN {a} ELSE {b} END")
            }
            (3, Ty::Int | Ty::BigInt | Ty::Double | Ty::Decimal) => format!("({a} + {b})"),
            (4, Ty::Int | Ty::BigInt | Ty::Double | Ty::Decimal) => format!("({a} - {b})"),
            (5, Ty::Int | Ty::BigInt) => format!("({a} * 3)"),
            (3, Ty::Text) => format!("({a} || {b})"),
            (4, Ty::Text) => format!("upper({a})"),
            (5, Ty::Text) => format!("substr({a}, 1, 2)"),
            (3, Ty::Bool) => format!("({a} AND {b})"),
            (4, Ty::Bool) => format!("({a} OR {b})"),
            (5, Ty::Bool) => format!("(NOT {a})"),
            (3, Ty::Timestamp) => format!("date_trunc('day', {a})"),
            _ => a,
        }
    }

    /// A value of a type that need not be that of a column.
    fn converted(&mut self, scope: &Scope, ty: Ty) -> String {
        let of = |ty: Ty| {
            scope
                .columns
                .iter()
                .find(|column| column.ty == ty)
                .map(|column| &column.name)
        };
        match ty {
            Ty::BigInt => match (of(Ty::Int), of(Ty::Text)) {
                (Some(int), _) => format!("CAST({int} AS BIGINT)"),
                (None, Some(text)) => format!("CAST(length({text}) AS BIGINT)"),
                _ => literal(self.rng, ty),
            },
            Ty::Int => match (of(Ty::Date), of(Ty::Text)) {
                (Some(date), _) => format!("CAST(extract(day FROM {date}) AS INT)"),
                (None, Some(text)) => format!("CAST(length({text}) AS INT)"),
                _ => literal(self.rng, ty),
            },
            Ty::Date => match of(Ty::Timestamp) {
                Some(timestamp) => format!("CAST({timestamp} AS DATE)"),
                None => literal(self.rng, ty),
            },
            Ty::Text => match of(Ty::Int) {
                Some(int) => format!("CAST({int} AS TEXT)"),
                None => literal(self.rng, ty),
            },
            Ty::Bool => match of(Ty::Int) {
                Some(int) => format!("({int} > 0)"),
                None => literal(self.rng, ty),
            },
            _ => literal(self.rng, ty),
        }
    }
}
