use super::*;

fn entries(store: &Arc<StateStore>, owner: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    store
        .reader(owner)
        .scan(b"", &mut |key, value| {
            found.push((
                String::from_utf8_lossy(key).into_owned(),
                String::from_utf8_lossy(value).into_owned(),
            ));
        })
        .unwrap();
    found
}

fn meta(frontier: u64) -> CheckpointMeta {
    CheckpointMeta {
        frontier,
        ..CheckpointMeta::default()
    }
}

#[test]
fn a_checkpoint_replaces_what_an_owner_cleared_and_leaves_others_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let mut first = Checkpoint::default();
    first.writer("a").put(b"1", b"x");
    first.writer("a").put(b"2", b"y");
    first.writer("ab").put(b"1", b"z");
    store.commit(&first, &meta(7)).unwrap();
    let mut second = Checkpoint::default();
    let mut writer = second.writer("a");
    writer.clear();
    writer.put(b"3", b"w");
    store.commit(&second, &meta(8)).unwrap();
    assert_eq!(entries(&store, "a"), [("3".into(), "w".into())]);
    assert_eq!(entries(&store, "ab"), [("1".into(), "z".into())]);
    assert_eq!(store.meta().unwrap(), Some(meta(8)));
}

#[test]
fn what_was_frozen_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let mut first = Checkpoint::default();
    first.writer("a").put(b"1", b"x");
    store.commit(&first, &meta(1)).unwrap();
    let live = store.source("a");
    let frozen = live.freeze().unwrap();
    let mut second = Checkpoint::default();
    second.drop_owner("a");
    second.writer("a").put(b"2", b"y");
    store.commit(&second, &meta(2)).unwrap();
    let keys = [b"1".to_vec(), b"2".to_vec()];
    assert_eq!(live.get_many(&keys).unwrap(), [None, Some(b"y".to_vec())]);
    drop((store, live));
    let again = frozen.freeze().unwrap();
    drop(frozen);
    assert_eq!(again.get_many(&keys).unwrap(), [Some(b"x".to_vec()), None]);
}

#[test]
fn a_store_is_opened_anew_with_all_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let mut first = Checkpoint::default();
    first.writer("a").put(b"1", b"x");
    store.commit(&first, &meta(1)).unwrap();
    let frozen = store.source("a").freeze().unwrap();
    assert!(store.reopen().is_err(), "a reader holds it");
    drop(frozen);
    store.reopen().unwrap();
    assert_eq!(entries(&store, "a"), [("1".into(), "x".into())]);
    // The same checkpoint twice is the checkpoint.
    store.commit(&first, &meta(1)).unwrap();
    assert_eq!(entries(&store, "a"), [("1".into(), "x".into())]);
}

/// Flips bytes in the first half of every table file.
fn damage(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let mut bytes = std::fs::read(&path).unwrap();
            let from = bytes.len() / 4;
            for byte in bytes.iter_mut().skip(from).take(200) {
                *byte ^= 0x55;
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn what_can_be_read_outlives_what_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    {
        let store = StateStore::open(&path).unwrap();
        let mut first = Checkpoint::default();
        // Several blocks, of which the damage hits one in the first half.
        for owner in ["a", "b"] {
            for number in 0..40u8 {
                let noise: Vec<u8> = (0..4096u32)
                    .map(|at| (at.wrapping_mul(2_654_435_761 + u32::from(number)) >> 13) as u8)
                    .collect();
                first.writer(owner).put(&[number], &noise);
            }
        }
        store.commit(&first, &meta(7)).unwrap();
        store.db().unwrap().flush().unwrap();
    }
    damage(&path);
    let store = StateStore::open(&path).unwrap();
    let owners = ["a".to_owned(), "b".to_owned()];
    assert!(store.reader("a").scan(b"", &mut |_, _| {}).is_err());
    assert_eq!(store.salvage(&owners).unwrap(), ["a"]);
    assert_eq!(entries(&store, "a"), []);
    assert_eq!(entries(&store, "b").len(), 40);
    assert_eq!(store.meta().unwrap(), Some(meta(7)));
}

#[test]
fn a_store_that_cannot_be_opened_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state");
    {
        let store = StateStore::open(&path).unwrap();
        store.commit(&Checkpoint::default(), &meta(7)).unwrap();
    }
    std::fs::write(path.join("CURRENT"), "nonsense").unwrap();
    let store = StateStore::open(&path).unwrap();
    assert_eq!(store.meta().unwrap(), None);
    assert!(path.with_extension("damaged").exists());
}

#[test]
fn of_one_key_the_last_entry_counts_whatever_the_order_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let mut first = Checkpoint::default();
    let mut writer = first.writer("a");
    writer.delete(b"3");
    writer.put(b"2", b"old");
    writer.put(b"1", b"gone");
    writer.put(b"3", b"came again");
    writer.put(b"2", b"new");
    writer.delete(b"1");
    writer.put(b"0", b"");
    store.commit(&first, &meta(1)).unwrap();
    let expected = [("0", ""), ("2", "new"), ("3", "came again")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(entries(&store, "a"), expected);
}

#[test]
fn a_store_that_has_settled_has_nothing_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path()).unwrap();
    let mut checkpoint = Checkpoint::default();
    for key in 0..1_000_u32 {
        let value = [7; 4 << 10];
        checkpoint.writer("a").put(&key.to_be_bytes(), &value);
    }
    store.commit(&checkpoint, &meta(1)).unwrap();
    let held = |store: &StateStore| {
        let held = store.db().unwrap();
        let held = held.property_int_value("rocksdb.cur-size-all-mem-tables");
        held.unwrap().unwrap()
    };
    assert!(held(&store) > CLOSED_BYTES_MAX);
    store.settle();
    assert!(held(&store) <= CLOSED_BYTES_MAX);
    drop(store);
    let store = StateStore::open(dir.path()).unwrap();
    assert!(held(&store) <= CLOSED_BYTES_MAX);
    assert_eq!(entries(&store, "a").len(), 1_000);
    assert_eq!(store.meta().unwrap(), Some(meta(1)));
}
