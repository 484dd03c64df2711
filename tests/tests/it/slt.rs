//! Every file of `tests/slt/` is a test. A file that is missing in this list fails a test of its own.

use tests::slt;

macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                slt::run(stringify!($name)).await;
            }
        )*

        #[test]
        fn every_file_is_listed() {
            let listed: std::collections::BTreeSet<String> = [$(stringify!($name).to_owned()),*].into();
            let entries = std::fs::read_dir(slt::directory()).expect("the directory is there");
            let files = entries.filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned));
            assert_eq!(files.collect::<std::collections::BTreeSet<_>>(), listed);
        }
    };
}

files! {
    aggregates, catalog, cursors, errors, joins, ksqldb, operators, queries, queries_running, streams, tables, transactions,
    types,
}
