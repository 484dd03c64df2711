//! The tables: their columns, and their rows from the catalog's snapshot.
//!
//! A table is declared by a line of `column:type` and filled with texts, which the COPY code turns into columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema};

use super::types::{TYPES, column_type, format_type};
use super::{FIRST_OID, INDEX_OID, RelationInfo, RelationKind, SystemTables};
use crate::formats::{LOGICAL_TYPE, Zone, build_texts};

/// A table that is being filled.
pub struct Table {
    fields: Vec<Field>,
    /// What a column has where a row says nothing.
    defaults: Vec<Option<String>>,
    columns: Vec<Vec<Option<String>>>,
}

impl Table {
    /// A table of `column:type` words. Types are Postgres' names; `oid`, `name` and `char` are told to clients as such.
    fn new(columns: &str) -> Self {
        let mut table = Table {
            fields: Vec::new(),
            defaults: Vec::new(),
            columns: Vec::new(),
        };
        for word in columns.split_whitespace() {
            let (name, type_name) = word.split_once(':').unwrap_or((word, "text"));
            let list = |item| DataType::List(Arc::new(Field::new_list_field(item, true)));
            let (data_type, default) = match type_name {
                "bool" => (DataType::Boolean, Some("f")),
                "oid" => (DataType::Int64, Some("0")),
                "int2" => (DataType::Int16, Some("0")),
                "int4" => (DataType::Int32, Some("0")),
                "int8" => (DataType::Int64, Some("0")),
                "float4" => (DataType::Float32, Some("0")),
                "char" => (DataType::Utf8, Some("")),
                "int2[]" => (list(DataType::Int16), None),
                "oid[]" => {
                    let item = identifiers(&Field::new_list_field(DataType::Int64, true));
                    (DataType::List(Arc::new(item)), None)
                }
                "text[]" => (list(DataType::Utf8), None),
                _ => (DataType::Utf8, None),
            };
            let mut field = Field::new(name, data_type, true);
            if matches!(type_name, "oid" | "name" | "char") {
                field.set_metadata(HashMap::from([(
                    LOGICAL_TYPE.to_owned(),
                    format!("pg.{type_name}"),
                )]));
            }
            table.fields.push(field);
            table.defaults.push(default.map(str::to_owned));
            table.columns.push(Vec::new());
        }
        table
    }

    /// Adds a row; columns that are not named have their default.
    fn row(&mut self, values: &[(&str, String)]) {
        for ((field, default), column) in self
            .fields
            .iter()
            .zip(&self.defaults)
            .zip(&mut self.columns)
        {
            let value = values.iter().find(|(name, _)| name == field.name());
            column.push(
                value
                    .map(|(_, text)| text.clone())
                    .or_else(|| default.clone()),
            );
        }
    }

    /// The table's rows.
    pub fn finish(self) -> RecordBatch {
        let rows = self.columns.first().map_or(0, Vec::len);
        let arrays: Vec<ArrayRef> = self
            .fields
            .iter()
            .zip(&self.columns)
            .map(|(field, texts)| {
                build_texts(texts, field, &Zone::UTC).expect("our own texts are of their types")
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(self.fields)), arrays, &options)
            .expect("columns are as long as each other")
    }
}

/// The same field, told to clients as object identifiers.
pub fn identifiers(field: &Field) -> Field {
    let metadata = HashMap::from([(LOGICAL_TYPE.to_owned(), "pg.oid".to_owned())]);
    field.clone().with_metadata(metadata)
}

/// Who owns everything.
const OWNER: &str = "10";
const PG_CATALOG: &str = "11";
const PUBLIC: &str = "2200";
const INFORMATION_SCHEMA: &str = "13000";
const DATABASE: &str = "16000";
const BTREE: &str = "403";
const HEAP: &str = "2";

/// Tables that are always empty, with the columns that are asked for.
const EMPTY: [(&str, &str); 34] = [
    ("pg_attrdef", "oid:oid adrelid:oid adnum:int2 adbin:text"),
    (
        "pg_auth_members",
        "roleid:oid member:oid grantor:oid admin_option:bool",
    ),
    (
        "pg_cast",
        "oid:oid castsource:oid casttarget:oid castfunc:oid castcontext:char castmethod:char",
    ),
    (
        "pg_collation",
        "oid:oid collname:name collnamespace:oid collowner:oid collprovider:char collisdeterministic:bool collencoding:int4 \
         collcollate:text collctype:text colliculocale:text collversion:text",
    ),
    (
        "pg_conversion",
        "oid:oid conname:name connamespace:oid conowner:oid conforencoding:int4 contoencoding:int4 conproc:text condefault:bool",
    ),
    (
        "pg_default_acl",
        "oid:oid defaclrole:oid defaclnamespace:oid defaclobjtype:char defaclacl:text[]",
    ),
    (
        "pg_depend",
        "classid:oid objid:oid objsubid:int4 refclassid:oid refobjid:oid refobjsubid:int4 deptype:char",
    ),
    (
        "pg_enum",
        "oid:oid enumtypid:oid enumsortorder:float4 enumlabel:name",
    ),
    (
        "pg_event_trigger",
        "oid:oid evtname:name evtevent:name evtowner:oid evtfoid:oid evtenabled:char evttags:text[]",
    ),
    (
        "pg_extension",
        "oid:oid extname:name extowner:oid extnamespace:oid extrelocatable:bool extversion:text",
    ),
    (
        "pg_foreign_data_wrapper",
        "oid:oid fdwname:name fdwowner:oid fdwhandler:oid fdwvalidator:oid fdwacl:text[] fdwoptions:text[]",
    ),
    (
        "pg_foreign_server",
        "oid:oid srvname:name srvowner:oid srvfdw:oid srvtype:text srvversion:text srvacl:text[] srvoptions:text[]",
    ),
    (
        "pg_foreign_table",
        "ftrelid:oid ftserver:oid ftoptions:text[]",
    ),
    (
        "pg_inherits",
        "inhrelid:oid inhparent:oid inhseqno:int4 inhdetachpending:bool",
    ),
    (
        "pg_language",
        "oid:oid lanname:name lanowner:oid lanispl:bool lanpltrusted:bool lanacl:text[]",
    ),
    (
        "pg_largeobject_metadata",
        "oid:oid lomowner:oid lomacl:text[]",
    ),
    (
        "pg_locks",
        "locktype:text database:oid relation:oid pid:int4 mode:text granted:bool",
    ),
    (
        "pg_matviews",
        "schemaname:name matviewname:name matviewowner:name ispopulated:bool definition:text",
    ),
    (
        "pg_opclass",
        "oid:oid opcmethod:oid opcname:name opcnamespace:oid opcowner:oid opcfamily:oid opcintype:oid opcdefault:bool opckeytype:oid",
    ),
    (
        "pg_opfamily",
        "oid:oid opfmethod:oid opfname:name opfnamespace:oid opfowner:oid",
    ),
    (
        "pg_operator",
        "oid:oid oprname:name oprnamespace:oid oprkind:char oprleft:oid oprright:oid oprresult:oid oprcode:text",
    ),
    (
        "pg_partitioned_table",
        "partrelid:oid partstrat:char partnatts:int2 partdefid:oid",
    ),
    (
        "pg_policies",
        "schemaname:name tablename:name policyname:name permissive:text roles:text[] cmd:text qual:text with_check:text",
    ),
    (
        "pg_policy",
        "oid:oid polname:name polrelid:oid polcmd:char polpermissive:bool polroles:oid[] polqual:text polwithcheck:text",
    ),
    (
        "pg_publication",
        "oid:oid pubname:name pubowner:oid puballtables:bool pubinsert:bool pubupdate:bool pubdelete:bool pubtruncate:bool pubviaroot:bool",
    ),
    (
        "pg_publication_namespace",
        "oid:oid pnpubid:oid pnnspid:oid",
    ),
    (
        "pg_publication_rel",
        "oid:oid prpubid:oid prrelid:oid prqual:text prattrs:int2[]",
    ),
    (
        "pg_range",
        "rngtypid:oid rngsubtype:oid rngmultitypid:oid rngcollation:oid",
    ),
    (
        "pg_rewrite",
        "oid:oid rulename:name ev_class:oid ev_type:char ev_enabled:char is_instead:bool",
    ),
    (
        "pg_sequence",
        "seqrelid:oid seqtypid:oid seqstart:int8 seqincrement:int8 seqmax:int8 seqmin:int8 seqcache:int8 seqcycle:bool",
    ),
    (
        "pg_shdescription",
        "objoid:oid classoid:oid description:text",
    ),
    (
        "pg_statistic_ext",
        "oid:oid stxrelid:oid stxname:name stxnamespace:oid stxkind:text[] stxstattarget:int4",
    ),
    (
        "pg_subscription",
        "oid:oid subname:name subowner:oid subenabled:bool subdbid:oid",
    ),
    (
        "pg_trigger",
        "oid:oid tgrelid:oid tgname:name tgfoid:oid tgtype:int2 tgenabled:char tgisinternal:bool tgconstraint:oid tgparentid:oid tgdeferrable:bool tginitdeferred:bool",
    ),
];

/// Whether a table of `pg_catalog` never has rows.
pub fn is_always_empty(name: &str) -> bool {
    EMPTY.iter().any(|(empty, _)| *empty == name)
}

/// Whether there is such a table in `pg_catalog`.
pub fn is_known(name: &str) -> bool {
    const FILLED: [&str; 20] = [
        "pg_am",
        "pg_attribute",
        "pg_class",
        "pg_constraint",
        "pg_database",
        "pg_description",
        "pg_index",
        "pg_indexes",
        "pg_namespace",
        "pg_proc",
        "pg_roles",
        "pg_authid",
        "pg_settings",
        "pg_stat_activity",
        "pg_tables",
        "pg_tablespace",
        "pg_timezone_names",
        "pg_type",
        "pg_user",
        "pg_views",
    ];
    FILLED.contains(&name) || is_always_empty(name)
}

fn relkind(relation: &RelationInfo) -> &'static str {
    match relation.kind {
        RelationKind::Stream | RelationKind::Table => "r",
        RelationKind::View => "m",
    }
}

/// What obj_description says of a relation.
pub fn describe(relation: &RelationInfo) -> &'static str {
    match relation.kind {
        RelationKind::Stream => "stream",
        RelationKind::Table => "table",
        RelationKind::View => "view, maintained by a query",
    }
}

/// Whether a column is never NULL because it is part of a primary key. A view's key may be: NULL is a group too.
fn is_required(relation: &RelationInfo, column: usize) -> bool {
    relation.kind == RelationKind::Table && relation.key.contains(&column)
}

/// The name of a relation's primary key.
pub fn key_name(relation: &RelationInfo) -> String {
    format!("{}_pkey", relation.name)
}

/// The columns of a relation's primary key.
pub fn key_columns(relation: &RelationInfo) -> String {
    let names: Vec<&str> = relation
        .key
        .iter()
        .map(|column| relation.columns.field(*column).name().as_str())
        .collect();
    names.join(", ")
}

/// A row of `pg_roles`.
struct Role {
    oid: String,
    name: String,
    superuser: bool,
    login: bool,
}

/// The one who asks, who owns everything as far as it is told, and the other users.
fn roles(system: &SystemTables) -> Vec<Role> {
    let asking = &system.facts.user;
    let own = system.users.iter().find(|user| user.name == *asking);
    let mut roles = vec![Role {
        oid: OWNER.to_owned(),
        name: asking.clone(),
        superuser: own.is_none_or(|user| user.superuser),
        login: true,
    }];
    let others = system.users.iter().filter(|user| user.name != *asking);
    roles.extend(others.map(|user| Role {
        oid: (FIRST_OID + user.id).to_string(),
        name: user.name.clone(),
        superuser: user.superuser,
        login: user.login,
    }));
    roles
}

/// Fills a table of `pg_catalog`.
pub fn pg_table(system: &SystemTables, name: &str) -> Option<Table> {
    if let Some((_, columns)) = EMPTY.iter().find(|(empty, _)| *empty == name) {
        return Some(Table::new(columns));
    }
    let user = &system.facts.user;
    let yes = || "t".to_owned();
    let text = |text: &str| text.to_owned();
    let keyed = || {
        system
            .relations
            .iter()
            .filter(|relation| !relation.key.is_empty())
    };
    let table = match name {
        "pg_namespace" => {
            let mut table = Table::new("oid:oid nspname:name nspowner:oid nspacl:text[]");
            for (oid, name) in [
                (PG_CATALOG, "pg_catalog"),
                (PUBLIC, "public"),
                (INFORMATION_SCHEMA, "information_schema"),
            ] {
                table.row(&[
                    ("oid", text(oid)),
                    ("nspname", text(name)),
                    ("nspowner", text(OWNER)),
                ]);
            }
            table
        }
        "pg_class" => {
            let mut table = Table::new(
                "oid:oid relname:name relnamespace:oid reltype:oid reloftype:oid relowner:oid relam:oid relfilenode:oid \
                 reltablespace:oid relpages:int4 reltuples:float4 relallvisible:int4 reltoastrelid:oid relhasindex:bool \
                 relisshared:bool relpersistence:char relkind:char relnatts:int2 relchecks:int2 relhasrules:bool \
                 relhastriggers:bool relhassubclass:bool relrowsecurity:bool relforcerowsecurity:bool relispopulated:bool \
                 relreplident:char relispartition:bool relrewrite:oid relacl:text[] reloptions:text relpartbound:text",
            );
            for relation in &system.relations {
                table.row(&[
                    ("oid", relation.oid.to_string()),
                    ("relname", relation.name.clone()),
                    ("relnamespace", text(PUBLIC)),
                    ("relowner", text(OWNER)),
                    ("relkind", text(relkind(relation))),
                    ("relnatts", relation.columns.fields().len().to_string()),
                    (
                        "relhasindex",
                        text(if relation.key.is_empty() { "f" } else { "t" }),
                    ),
                    ("relpersistence", text("p")),
                    ("relreplident", text("d")),
                    ("relispopulated", yes()),
                    ("relam", text(HEAP)),
                    ("reltuples", text("-1")),
                ]);
            }
            for relation in keyed() {
                table.row(&[
                    ("oid", (relation.oid + INDEX_OID).to_string()),
                    ("relname", key_name(relation)),
                    ("relnamespace", text(PUBLIC)),
                    ("relowner", text(OWNER)),
                    ("relkind", text("i")),
                    ("relnatts", relation.key.len().to_string()),
                    ("relpersistence", text("p")),
                    ("relreplident", text("n")),
                    ("relispopulated", yes()),
                    ("relam", text(BTREE)),
                ]);
            }
            table
        }
        "pg_attribute" => {
            let mut table = Table::new(
                "attrelid:oid attname:name atttypid:oid attstattarget:int4 attlen:int2 attnum:int2 attndims:int4 \
                 attcacheoff:int4 atttypmod:int4 attbyval:bool attstorage:char attalign:char attcompression:char \
                 attnotnull:bool atthasdef:bool atthasmissing:bool attidentity:char attgenerated:char attisdropped:bool \
                 attislocal:bool attinhcount:int4 attcollation:oid attacl:text[] attoptions:text[] attfdwoptions:text[]",
            );
            let mut add = |relation: u32, number: usize, field: &Field| {
                let (type_oid, modifier) = column_type(field);
                let known = TYPES.iter().find(|known| known.oid == type_oid);
                let size = known.map_or(-1, |known| known.size);
                table.row(&[
                    ("attrelid", relation.to_string()),
                    ("attname", field.name().clone()),
                    ("atttypid", type_oid.to_string()),
                    ("attstattarget", text("-1")),
                    ("attlen", size.to_string()),
                    ("attnum", number.to_string()),
                    ("attndims", i32::from(known.is_none()).to_string()),
                    ("atttypmod", modifier.to_string()),
                    ("attstorage", text(if size < 0 { "x" } else { "p" })),
                    ("attalign", text("i")),
                    (
                        "attnotnull",
                        text(if field.is_nullable() { "f" } else { "t" }),
                    ),
                    ("attislocal", yes()),
                ]);
            };
            for relation in &system.relations {
                for (column, field) in relation.columns.fields().iter().enumerate() {
                    let key = is_required(relation, column);
                    add(
                        relation.oid,
                        column + 1,
                        &field
                            .as_ref()
                            .clone()
                            .with_nullable(field.is_nullable() && !key),
                    );
                }
                for (n, column) in relation.key.iter().enumerate() {
                    add(
                        relation.oid + INDEX_OID,
                        n + 1,
                        relation.columns.field(*column),
                    );
                }
            }
            table
        }
        "pg_type" => {
            let mut table = Table::new(
                "oid:oid typname:name typnamespace:oid typowner:oid typlen:int2 typbyval:bool typtype:char typcategory:char \
                 typispreferred:bool typisdefined:bool typdelim:char typrelid:oid typsubscript:text typelem:oid typarray:oid \
                 typinput:text typoutput:text typreceive:text typsend:text typmodin:text typmodout:text typanalyze:text \
                 typalign:char typstorage:char typnotnull:bool typbasetype:oid typtypmod:int4 typndims:int4 typcollation:oid \
                 typdefaultbin:text typdefault:text typacl:text[]",
            );
            for known in &TYPES {
                let mut add = |oid: u32,
                               name: String,
                               size: i16,
                               category: &str,
                               element: u32,
                               array: u32,
                               input: String| {
                    table.row(&[
                        ("oid", oid.to_string()),
                        ("typname", name),
                        ("typnamespace", text(PG_CATALOG)),
                        ("typowner", text(OWNER)),
                        ("typlen", size.to_string()),
                        ("typtype", text(if category == "P" { "p" } else { "b" })),
                        ("typcategory", text(category)),
                        ("typisdefined", yes()),
                        ("typdelim", text(",")),
                        ("typelem", element.to_string()),
                        ("typarray", array.to_string()),
                        ("typinput", input),
                        ("typtypmod", text("-1")),
                        ("typalign", text("i")),
                        ("typstorage", text(if size < 0 { "x" } else { "p" })),
                    ]);
                };
                add(
                    known.oid,
                    text(known.name),
                    known.size,
                    known.category,
                    0,
                    known.array,
                    format!("{}in", known.name),
                );
                if known.array != 0 {
                    add(
                        known.array,
                        format!("_{}", known.name),
                        -1,
                        "A",
                        known.oid,
                        0,
                        text("array_in"),
                    );
                }
            }
            table
        }
        "pg_database" => {
            let mut table = Table::new(
                "oid:oid datname:name datdba:oid encoding:int4 datlocprovider:char datistemplate:bool datallowconn:bool \
                 datconnlimit:int4 datfrozenxid:oid datminmxid:oid dattablespace:oid datcollate:text datctype:text \
                 daticulocale:text datcollversion:text datacl:text[]",
            );
            table.row(&[
                ("oid", text(DATABASE)),
                ("datname", system.facts.database.clone()),
                ("datdba", text(OWNER)),
                ("encoding", text("6")),
                ("datlocprovider", text("c")),
                ("datallowconn", yes()),
                ("datconnlimit", text("-1")),
                ("dattablespace", text("1663")),
                ("datcollate", text("C.UTF-8")),
                ("datctype", text("C.UTF-8")),
            ]);
            table
        }
        "pg_tablespace" => {
            let mut table =
                Table::new("oid:oid spcname:name spcowner:oid spcacl:text[] spcoptions:text[]");
            table.row(&[
                ("oid", text("1663")),
                ("spcname", text("pg_default")),
                ("spcowner", text(OWNER)),
            ]);
            table
        }
        "pg_am" => {
            let mut table = Table::new("oid:oid amname:name amhandler:text amtype:char");
            table.row(&[
                ("oid", text(HEAP)),
                ("amname", text("log")),
                ("amtype", text("t")),
            ]);
            table.row(&[
                ("oid", text(BTREE)),
                ("amname", text("btree")),
                ("amtype", text("i")),
            ]);
            table
        }
        "pg_roles" | "pg_authid" | "pg_user" => {
            let mut table = Table::new(
                "oid:oid rolname:name rolsuper:bool rolinherit:bool rolcreaterole:bool rolcreatedb:bool rolcanlogin:bool \
                 rolreplication:bool rolconnlimit:int4 rolpassword:text rolvaliduntil:text rolbypassrls:bool rolconfig:text[] \
                 usename:name usesysid:oid usecreatedb:bool usesuper:bool",
            );
            for role in roles(system) {
                let flag = |flag| if flag { "t" } else { "f" }.to_owned();
                // PostgreSQL's pg_user shows who may log in only.
                if name == "pg_user" && !role.login {
                    continue;
                }
                table.row(&[
                    ("oid", role.oid.clone()),
                    ("rolname", role.name.clone()),
                    ("rolsuper", flag(role.superuser)),
                    ("rolinherit", yes()),
                    ("rolcreaterole", flag(role.superuser)),
                    ("rolcreatedb", flag(role.superuser)),
                    ("rolcanlogin", flag(role.login)),
                    ("rolconnlimit", text("-1")),
                    ("rolpassword", text("********")),
                    ("usename", role.name),
                    ("usesysid", role.oid),
                    ("usecreatedb", flag(role.superuser)),
                    ("usesuper", flag(role.superuser)),
                ]);
            }
            table
        }
        "pg_settings" => {
            let mut table = Table::new(
                "name:text setting:text unit:text category:text short_desc:text extra_desc:text context:text vartype:text \
                 source:text min_val:text max_val:text enumvals:text[] boot_val:text reset_val:text pending_restart:bool",
            );
            for (name, value, description) in &system.settings {
                table.row(&[
                    ("name", name.clone()),
                    ("setting", value.clone()),
                    ("short_desc", description.clone()),
                    ("context", text("user")),
                    ("vartype", text("string")),
                    ("source", text("default")),
                    ("boot_val", value.clone()),
                    ("reset_val", value.clone()),
                ]);
            }
            table
        }
        "pg_index" => {
            let mut table = Table::new(
                "indexrelid:oid indrelid:oid indnatts:int2 indnkeyatts:int2 indisunique:bool indnullsnotdistinct:bool \
                 indisprimary:bool indisexclusion:bool indimmediate:bool indisclustered:bool indisvalid:bool indcheckxmin:bool \
                 indisready:bool indislive:bool indisreplident:bool indkey:int2[] indcollation:oid[] indclass:oid[] \
                 indoption:int2[] indexprs:text indpred:text",
            );
            for relation in keyed() {
                table.row(&[
                    ("indexrelid", (relation.oid + INDEX_OID).to_string()),
                    ("indrelid", relation.oid.to_string()),
                    ("indnatts", relation.key.len().to_string()),
                    ("indnkeyatts", relation.key.len().to_string()),
                    ("indisunique", yes()),
                    ("indisprimary", yes()),
                    ("indimmediate", yes()),
                    ("indisvalid", yes()),
                    ("indisready", yes()),
                    ("indislive", yes()),
                    ("indkey", numbers(&relation.key)),
                    ("indoption", zeros(relation.key.len())),
                ]);
            }
            table
        }
        "pg_constraint" => {
            let mut table = Table::new(
                "oid:oid conname:name connamespace:oid contype:char condeferrable:bool condeferred:bool convalidated:bool \
                 conrelid:oid contypid:oid conindid:oid conparentid:oid confrelid:oid confupdtype:char confdeltype:char \
                 confmatchtype:char conislocal:bool coninhcount:int4 connoinherit:bool conkey:int2[] confkey:int2[] conbin:text",
            );
            for relation in keyed() {
                table.row(&[
                    ("oid", (relation.oid + INDEX_OID).to_string()),
                    ("conname", key_name(relation)),
                    ("connamespace", text(PUBLIC)),
                    ("contype", text("p")),
                    ("convalidated", yes()),
                    ("conrelid", relation.oid.to_string()),
                    ("conindid", (relation.oid + INDEX_OID).to_string()),
                    ("conislocal", yes()),
                    ("conkey", numbers(&relation.key)),
                ]);
            }
            table
        }
        "pg_description" => {
            let mut table = Table::new("objoid:oid classoid:oid objsubid:int4 description:text");
            for relation in &system.relations {
                table.row(&[
                    ("objoid", relation.oid.to_string()),
                    ("classoid", text("1259")),
                    ("description", text(describe(relation))),
                ]);
            }
            table
        }
        "pg_proc" => {
            let mut table = Table::new(
                "oid:oid proname:name pronamespace:oid proowner:oid prolang:oid prokind:char prosecdef:bool proleakproof:bool \
                 proisstrict:bool proretset:bool provolatile:char proparallel:char pronargs:int2 prorettype:oid \
                 proargtypes:oid[] proallargtypes:oid[] proargmodes:text[] proargnames:text[] prosrc:text proacl:text[]",
            );
            for (oid, (name, kind)) in functions().enumerate() {
                table.row(&[
                    ("oid", (oid + 10_000).to_string()),
                    ("proname", name),
                    ("pronamespace", text(PUBLIC)),
                    ("proowner", text(OWNER)),
                    ("prokind", text(kind)),
                    ("provolatile", text("i")),
                    ("proparallel", text("s")),
                    ("prorettype", text("2276")),
                    ("proargtypes", text("{}")),
                ]);
            }
            table
        }
        "pg_tables" => {
            let mut table = Table::new(
                "schemaname:name tablename:name tableowner:name tablespace:name hasindexes:bool hasrules:bool hastriggers:bool rowsecurity:bool",
            );
            for relation in system
                .relations
                .iter()
                .filter(|relation| relkind(relation) == "r")
            {
                table.row(&[
                    ("schemaname", text("public")),
                    ("tablename", relation.name.clone()),
                    ("tableowner", user.clone()),
                ]);
            }
            table
        }
        "pg_views" => Table::new("schemaname:name viewname:name viewowner:name definition:text"),
        "pg_indexes" => {
            let mut table = Table::new(
                "schemaname:name tablename:name indexname:name tablespace:name indexdef:text",
            );
            for relation in keyed() {
                table.row(&[
                    ("schemaname", text("public")),
                    ("tablename", relation.name.clone()),
                    ("indexname", key_name(relation)),
                    ("indexdef", index_definition(relation)),
                ]);
            }
            table
        }
        "pg_stat_activity" => {
            let mut table = Table::new(
                "datid:oid datname:name pid:int4 usename:name application_name:text state:text query:text",
            );
            table.row(&[
                ("datname", system.facts.database.clone()),
                ("pid", system.facts.backend_pid.to_string()),
                ("usename", user.clone()),
                ("state", text("active")),
            ]);
            table
        }
        "pg_timezone_names" => {
            let mut table = Table::new("name:text abbrev:text is_dst:bool");
            for zone in chrono_tz::TZ_VARIANTS {
                table.row(&[("name", text(zone.name()))]);
            }
            table
        }
        _ => return None,
    };
    Some(table)
}

/// `CREATE UNIQUE INDEX …` of a primary key.
pub fn index_definition(relation: &RelationInfo) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON public.{} USING btree ({})",
        key_name(relation),
        relation.name,
        key_columns(relation)
    )
}

/// Names of functions and their kinds as pg_proc has them.
pub fn functions() -> impl Iterator<Item = (String, &'static str)> {
    let registry = planner::functions::functions();
    registry.names().into_iter().map(move |name| {
        let kind = if registry.aggregate(name).is_some() {
            "a"
        } else if registry.window(name).is_some() {
            "w"
        } else {
            "f"
        };
        (name.to_owned(), kind)
    })
}

fn numbers(key: &[usize]) -> String {
    let numbers: Vec<String> = key.iter().map(|column| (column + 1).to_string()).collect();
    format!("{{{}}}", numbers.join(","))
}

fn zeros(count: usize) -> String {
    format!("{{{}}}", vec!["0"; count].join(","))
}

/// Fills a table of `information_schema`.
pub fn information_table(system: &SystemTables, name: &str) -> Option<Table> {
    let database = &system.facts.database;
    let text = |text: &str| text.to_owned();
    let table = match name {
        "tables" => {
            let mut table = Table::new(
                "table_catalog:name table_schema:name table_name:name table_type:text self_referencing_column_name:text \
                 reference_generation:text user_defined_type_catalog:text user_defined_type_schema:text \
                 user_defined_type_name:text is_insertable_into:text is_typed:text commit_action:text",
            );
            for relation in &system.relations {
                let view = relation.kind == RelationKind::View;
                table.row(&[
                    ("table_catalog", database.clone()),
                    ("table_schema", text("public")),
                    ("table_name", relation.name.clone()),
                    ("table_type", text(if view { "VIEW" } else { "BASE TABLE" })),
                    ("is_insertable_into", text(if view { "NO" } else { "YES" })),
                    ("is_typed", text("NO")),
                ]);
            }
            table
        }
        "columns" => {
            let mut table = Table::new(
                "table_catalog:name table_schema:name table_name:name column_name:name ordinal_position:int4 column_default:text \
                 is_nullable:text data_type:text character_maximum_length:text character_octet_length:text \
                 numeric_precision:text numeric_precision_radix:text numeric_scale:text datetime_precision:text \
                 interval_type:text interval_precision:text character_set_name:text collation_name:text domain_name:text \
                 udt_catalog:name udt_schema:name udt_name:name is_self_referencing:text is_identity:text is_generated:text \
                 generation_expression:text is_updatable:text",
            );
            for relation in &system.relations {
                for (number, field) in relation.columns.fields().iter().enumerate() {
                    let (oid, modifier) = column_type(field);
                    let base = TYPES.iter().find(|known| known.oid == oid);
                    let array = TYPES.iter().find(|known| known.array == oid);
                    let nullable = field.is_nullable() && !is_required(relation, number);
                    let mut row = vec![
                        ("table_catalog", database.clone()),
                        ("table_schema", text("public")),
                        ("table_name", relation.name.clone()),
                        ("column_name", field.name().clone()),
                        ("ordinal_position", (number + 1).to_string()),
                        ("is_nullable", text(if nullable { "YES" } else { "NO" })),
                        (
                            "data_type",
                            if array.is_some() {
                                text("ARRAY")
                            } else {
                                format_type(oid.into(), None)
                            },
                        ),
                        ("udt_catalog", database.clone()),
                        ("udt_schema", text("pg_catalog")),
                        (
                            "udt_name",
                            base.map(|known| text(known.name))
                                .or_else(|| array.map(|known| format!("_{}", known.name)))
                                .unwrap_or_default(),
                        ),
                        ("is_self_referencing", text("NO")),
                        ("is_identity", text("NO")),
                        ("is_generated", text("NEVER")),
                        ("is_updatable", text("YES")),
                    ];
                    if modifier >= 4 {
                        row.push(("numeric_precision", ((modifier - 4) >> 16).to_string()));
                        row.push(("numeric_precision_radix", text("10")));
                        row.push(("numeric_scale", ((modifier - 4) & 0x7ff).to_string()));
                    }
                    table.row(&row);
                }
            }
            table
        }
        "schemata" => {
            let mut table = Table::new(
                "catalog_name:name schema_name:name schema_owner:name default_character_set_name:name sql_path:text",
            );
            for schema in ["pg_catalog", "public", "information_schema"] {
                table.row(&[
                    ("catalog_name", database.clone()),
                    ("schema_name", text(schema)),
                    ("schema_owner", system.facts.user.clone()),
                ]);
            }
            table
        }
        "views" => Table::new(
            "table_catalog:name table_schema:name table_name:name view_definition:text check_option:text is_updatable:text",
        ),
        "table_constraints" => {
            let mut table = Table::new(
                "constraint_catalog:name constraint_schema:name constraint_name:name table_catalog:name table_schema:name \
                 table_name:name constraint_type:text is_deferrable:text initially_deferred:text enforced:text",
            );
            for relation in system
                .relations
                .iter()
                .filter(|relation| !relation.key.is_empty())
            {
                table.row(&[
                    ("constraint_catalog", database.clone()),
                    ("constraint_schema", text("public")),
                    ("constraint_name", key_name(relation)),
                    ("table_catalog", database.clone()),
                    ("table_schema", text("public")),
                    ("table_name", relation.name.clone()),
                    ("constraint_type", text("PRIMARY KEY")),
                    ("is_deferrable", text("NO")),
                    ("initially_deferred", text("NO")),
                    ("enforced", text("YES")),
                ]);
            }
            table
        }
        "key_column_usage" => {
            let mut table = Table::new(
                "constraint_catalog:name constraint_schema:name constraint_name:name table_catalog:name table_schema:name \
                 table_name:name column_name:name ordinal_position:int4 position_in_unique_constraint:text",
            );
            for relation in &system.relations {
                for (n, column) in relation.key.iter().enumerate() {
                    table.row(&[
                        ("constraint_catalog", database.clone()),
                        ("constraint_schema", text("public")),
                        ("constraint_name", key_name(relation)),
                        ("table_catalog", database.clone()),
                        ("table_schema", text("public")),
                        ("table_name", relation.name.clone()),
                        (
                            "column_name",
                            relation.columns.field(*column).name().clone(),
                        ),
                        ("ordinal_position", (n + 1).to_string()),
                    ]);
                }
            }
            table
        }
        "referential_constraints" => Table::new(
            "constraint_catalog:name constraint_schema:name constraint_name:name unique_constraint_name:name",
        ),
        "routines" => Table::new(
            "specific_name:name routine_schema:name routine_name:name routine_type:text data_type:text",
        ),
        "sequences" => Table::new(
            "sequence_catalog:name sequence_schema:name sequence_name:name data_type:text",
        ),
        _ => return None,
    };
    Some(table)
}
