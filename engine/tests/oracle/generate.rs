//! Random scripts: relations, what is written to them, views over them, and what befalls the engine.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::query::{BASE_TYPES, Column, Queries, Source, Ty, literal};
use crate::script::{Script, Step};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stream,
    /// With a primary key of the first so many columns.
    Keyed(usize),
    Bag,
}

/// A relation that is written to.
struct Base {
    kind: Kind,
    source: Source,
}

/// The script of a seed.
pub fn script(seed: u64) -> Script {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut maker = Maker {
        steps: Vec::new(),
        bases: Vec::new(),
        readable: Vec::new(),
        views: Vec::new(),
        paused: Vec::new(),
        named: 0,
    };
    maker.make(&mut rng);
    Script {
        workers: rng.random_range(1..=3),
        checkpoint_ms: *[3, 20, 100, 3_600_000].choose(&mut rng).expect("not empty"),
        // Half of the time everything leaves memory as soon as it is on disk.
        state_memory: rng.random_bool(0.5).then_some(1),
        steps: maker.steps,
    }
}

struct Maker {
    steps: Vec<Step>,
    bases: Vec<Base>,
    /// What queries may read: bases, views, derived streams.
    readable: Vec<Source>,
    views: Vec<String>,
    paused: Vec<String>,
    named: usize,
}

impl Maker {
    fn make(&mut self, rng: &mut StdRng) {
        for _ in 0..rng.random_range(2..=3) {
            self.base(rng);
        }
        for _ in 0..rng.random_range(0..4) {
            self.write(rng);
        }
        self.view(rng);
        for _ in 0..rng.random_range(10..35) {
            self.action(rng);
        }
        for view in std::mem::take(&mut self.paused) {
            self.steps.push(Step::Resume(view));
        }
        self.steps.push(Step::Check);
    }

    fn action(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..100) {
            0..50 => self.write(rng),
            50..56 => self.transaction(rng),
            56..70 => self.view(rng),
            70..84 => self.steps.push(Step::Check),
            84..88 => self.steps.push(Step::Restart {
                workers: rng.random_range(1..=3),
            }),
            88..92 => self.steps.push(Step::Crash {
                workers: rng.random_range(1..=3),
            }),
            92..95 => self.pause(rng),
            95..97 => self.derived_stream(rng),
            97..98 => self.fed_stream(rng),
            98..99 => self.drop_view(rng),
            _ => self.sql("FLUSH"),
        }
    }

    fn sql(&mut self, text: impl Into<String>) {
        self.steps.push(Step::Sql(text.into()));
    }

    fn name(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}{}", self.named)
    }

    fn base(&mut self, rng: &mut StdRng) {
        let kind = match rng.random_range(0..3) {
            0 => Kind::Stream,
            1 => Kind::Keyed(rng.random_range(1..=2)),
            _ => Kind::Bag,
        };
        let count = rng.random_range(2..=5);
        let columns: Vec<Column> = (0..count)
            .map(|index| Column {
                name: format!("{}", (b'a' + index as u8) as char),
                ty: match index {
                    // Something to join on is always there.
                    0 => Ty::Int,
                    _ => *BASE_TYPES.choose(rng).expect("not empty"),
                },
            })
            .collect();
        let mut list: Vec<String> = columns
            .iter()
            .map(|c| format!("{} {}", c.name, c.ty.sql()))
            .collect();
        if let Kind::Keyed(keys) = kind {
            let keys: Vec<&str> = columns.iter().take(keys).map(|c| c.name.as_str()).collect();
            list.push(format!("PRIMARY KEY ({})", keys.join(", ")));
        }
        let (word, name) = match kind {
            Kind::Stream => ("STREAM", self.name("s")),
            Kind::Keyed(_) => ("TABLE", self.name("t")),
            Kind::Bag => ("TABLE", self.name("b")),
        };
        let options = match rng.random_range(0..4) {
            0 => " WITH (partitions = 3)",
            _ => "",
        };
        self.sql(format!(
            "CREATE {word} {name} ({}){options}",
            list.join(", ")
        ));
        let source = Source {
            sql: name,
            columns,
            size: 50,
            append_only: kind == Kind::Stream,
        };
        self.readable.push(source.clone());
        self.bases.push(Base { kind, source });
    }

    fn write(&mut self, rng: &mut StdRng) {
        let index = rng.random_range(0..self.bases.len());
        let kind = self.bases[index].kind;
        match rng.random_range(0..10) {
            0..6 => self.insert(rng, index),
            _ if kind == Kind::Stream => self.insert(rng, index),
            6..8 => self.update(rng, index),
            8 => self.delete(rng, index),
            _ => self.insert_select(rng, index),
        }
    }

    fn insert(&mut self, rng: &mut StdRng, index: usize) {
        let base = &self.bases[index];
        let keys = match base.kind {
            Kind::Keyed(keys) => keys,
            _ => 0,
        };
        // Some batches are large enough to be kept as columns.
        let count = if rng.random_bool(0.05) {
            rng.random_range(64..90)
        } else {
            rng.random_range(1..=6)
        };
        let rows: Vec<String> = (0..count)
            .map(|_| {
                let values: Vec<String> = base
                    .source
                    .columns
                    .iter()
                    .enumerate()
                    .map(
                        |(index, column)| match index >= keys && rng.random_bool(0.2) {
                            true => "NULL".to_owned(),
                            false => literal(rng, column.ty),
                        },
                    )
                    .collect();
                values.join(", ")
            })
            .collect();
        let text = format!(
            "INSERT INTO {} VALUES ({})",
            base.source.sql,
            rows.join("), (")
        );
        self.sql(text);
    }

    /// Rows of other relations, as they are now; into tables only.
    fn insert_select(&mut self, rng: &mut StdRng, index: usize) {
        let base = &self.bases[index];
        let types: Vec<Ty> = base.source.columns.iter().map(|column| column.ty).collect();
        let bases: Vec<Source> = self.bases.iter().map(|base| base.source.clone()).collect();
        let mut query = Queries::new(rng, &bases).of_types(&types).sql;
        if let Kind::Keyed(keys) = base.kind {
            let keys: Vec<String> = (0..keys)
                .map(|key| format!("q.c{key} IS NOT NULL"))
                .collect();
            query = format!("SELECT * FROM ({query}) AS q WHERE {}", keys.join(" AND "));
        }
        let text = format!("INSERT INTO {} {query} LIMIT 20", base.source.sql);
        self.sql(text);
    }

    fn update(&mut self, rng: &mut StdRng, index: usize) {
        let base = &self.bases[index];
        let keys = match base.kind {
            Kind::Keyed(keys) => keys,
            _ => 0,
        };
        // Rows that get the key of another take its place, so a key is changed only now and then.
        let first = if rng.random_bool(0.1) { 0 } else { keys };
        let Some(column) = base.source.columns[first..].choose(rng).cloned() else {
            return;
        };
        let value = match column.ty {
            _ if first == keys && rng.random_bool(0.15) => "NULL".to_owned(),
            Ty::Int | Ty::BigInt | Ty::Double if rng.random_bool(0.5) => {
                format!("{} + 1", column.name)
            }
            ty => literal(rng, ty),
        };
        let text = format!(
            "UPDATE {} SET {} = {value}{}",
            base.source.sql,
            column.name,
            condition(rng, &base.source)
        );
        self.sql(text);
    }

    fn delete(&mut self, rng: &mut StdRng, index: usize) {
        let base = &self.bases[index];
        if rng.random_bool(0.05) {
            let text = format!("TRUNCATE {}", base.source.sql);
            return self.sql(text);
        }
        let text = format!(
            "DELETE FROM {}{}",
            base.source.sql,
            condition(rng, &base.source)
        );
        self.sql(text);
    }

    /// Several writes that are seen together or not at all.
    fn transaction(&mut self, rng: &mut StdRng) {
        self.sql("BEGIN");
        for _ in 0..rng.random_range(1..=4) {
            let index = rng.random_range(0..self.bases.len());
            self.insert(rng, index);
        }
        self.sql(if rng.random_bool(0.8) {
            "COMMIT"
        } else {
            "ROLLBACK"
        });
    }

    fn view(&mut self, rng: &mut StdRng) {
        if self.views.len() >= 7 {
            return;
        }
        let depth = rng.random_range(0..=2);
        let query = Queries::new(rng, &self.readable).query(depth);
        let name = self.name("v");
        self.sql(format!("CREATE MATERIALIZED VIEW {name} AS {}", query.sql));
        self.views.push(name.clone());
        self.readable.push(Source {
            sql: name,
            append_only: false,
            ..query
        });
        if rng.random_bool(0.3) {
            self.steps.push(Step::Check);
        }
    }

    fn derived_stream(&mut self, rng: &mut StdRng) {
        let Some(query) = Queries::new(rng, &self.readable).append_only() else {
            return;
        };
        let name = self.name("d");
        self.sql(format!("CREATE STREAM {name} AS {}", query.sql));
        self.views.push(name.clone());
        self.readable.push(Source { sql: name, ..query });
    }

    /// A stream that a continuous `INSERT INTO … SELECT` fills.
    fn fed_stream(&mut self, rng: &mut StdRng) {
        let Some(query) = Queries::new(rng, &self.readable).append_only() else {
            return;
        };
        let name = self.name("fed");
        let columns: Vec<String> = query
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.ty.sql()))
            .collect();
        if query
            .columns
            .iter()
            .any(|column| matches!(column.ty, Ty::TextList | Ty::IntList))
        {
            return;
        }
        self.sql(format!("CREATE STREAM {name} ({})", columns.join(", ")));
        self.sql(format!("INSERT INTO {name} {}", query.sql));
        self.readable.push(Source { sql: name, ..query });
    }

    fn pause(&mut self, rng: &mut StdRng) {
        if !self.paused.is_empty() && rng.random_bool(0.7) {
            let view = self
                .paused
                .swap_remove(rng.random_range(0..self.paused.len()));
            self.steps.push(Step::Resume(view));
            return;
        }
        // Not derived streams: rows that one appends when it is resumed are of epochs that its readers
        // have passed.
        let candidates: Vec<&String> = self
            .views
            .iter()
            .filter(|view| view.starts_with('v') && !self.paused.contains(view))
            .collect();
        if let Some(view) = candidates.choose(rng).map(|view| (*view).clone()) {
            self.steps.push(Step::Pause(view.clone()));
            self.paused.push(view);
        }
    }

    fn drop_view(&mut self, rng: &mut StdRng) {
        let Some(view) = self.views.choose(rng).cloned() else {
            return;
        };
        // Refused while others read it; those that are made later over it are refused then.
        if view.starts_with('v') {
            self.sql(format!("DROP MATERIALIZED VIEW {view}"));
        }
    }
}

fn condition(rng: &mut StdRng, source: &Source) -> String {
    let column = source.columns.choose(rng).expect("a relation has columns");
    match rng.random_range(0..8) {
        0 => String::new(),
        1 => format!(" WHERE {} IS NULL", column.name),
        2..4 => format!(" WHERE {} > {}", column.name, literal(rng, column.ty)),
        _ => format!(" WHERE {} = {}", column.name, literal(rng, column.ty)),
    }
}
