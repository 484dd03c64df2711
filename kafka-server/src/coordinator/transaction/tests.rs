//! A transactional id, step by step.

use std::sync::Arc;

use super::super::testing::{outcome, partition};
use super::*;

const WALL: i64 = 1_700_000_000_000;
const TIMEOUT: i32 = 60_000;

fn batch(first: i32, last: i32) -> DataBatch {
    DataBatch {
        partition: partition("a", 0),
        first_sequence: first,
        last_sequence: last,
        bytes: 10,
        payload: Arc::new(()),
    }
}

fn init(
    transaction: &mut Transaction,
    expected: Option<Producer>,
) -> Result<Producer, ResponseError> {
    let request = InitRequest {
        timeout_ms: TIMEOUT,
        expected,
    };
    let mut new_id = None;
    loop {
        match transaction.init(WALL, request, new_id)? {
            InitOutcome::Done(producer) => return Ok(producer),
            InitOutcome::NeedsProducerId => new_id = Some(1_000),
            InitOutcome::Store(stored, _) => {
                return Ok(transaction.initialized(Ok(stored)).expect("it is stored"));
            }
        }
    }
}

/// A producer with an open transaction over partition 0 of `a`.
fn open() -> (Transaction, Producer) {
    let mut transaction = Transaction::new("t", 7, TIMEOUT);
    let producer = init(&mut transaction, None).unwrap();
    begin(&mut transaction, producer);
    (transaction, producer)
}

fn begin(transaction: &mut Transaction, producer: Producer) {
    let partitions = [partition("a", 0)];
    assert_eq!(transaction.add(producer, &partitions, None), Ok(true));
    let stored = transaction.begin(WALL);
    transaction.begun(0, Ok(stored));
    assert_eq!(transaction.add(producer, &partitions, None), Ok(false));
}

fn end(transaction: &mut Transaction, producer: Producer, commit: bool) -> String {
    match transaction.end(producer, commit) {
        Ok(EndOutcome::Done) => "done before".into(),
        Ok(EndOutcome::Commit) => {
            let stored = transaction.begin_commit(WALL);
            let buffer = transaction.committed(Ok(stored)).expect("it was open");
            format!("committed {}", buffer.batches().len())
        }
        Ok(EndOutcome::Abort) => {
            let (stored, buffer) = transaction.begin_abort(WALL);
            transaction.aborted(Ok(stored));
            format!(
                "aborted {}",
                buffer.map_or(0, |buffer| buffer.batches().len())
            )
        }
        Err(error) => format!("{error:?}"),
    }
}

fn produce(transaction: &mut Transaction, producer: Producer, first: i32, last: i32) -> String {
    match transaction.produce(producer, batch(first, last), 100, 100) {
        Ok(check) => format!("{check:?}"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn a_transaction_is_ended_once_and_retries_are_recognised() {
    let (mut transaction, producer) = open();
    assert_eq!(produce(&mut transaction, producer, 0, 4), "Next");
    assert_eq!(end(&mut transaction, producer, true), "committed 1");
    assert_eq!(end(&mut transaction, producer, true), "done before");
    assert_eq!(end(&mut transaction, producer, false), "InvalidTxnState");
    begin(&mut transaction, producer);
    assert_eq!(produce(&mut transaction, producer, 5, 5), "Next");
    assert_eq!(end(&mut transaction, producer, false), "aborted 1");
    assert_eq!(end(&mut transaction, producer, false), "done before");
    assert_eq!(end(&mut transaction, producer, true), "InvalidTxnState");
}

#[test]
fn sequences_have_no_gaps_and_retries_are_taken_once() {
    let (mut transaction, producer) = open();
    let mut say = |first, last| produce(&mut transaction, producer, first, last);
    assert_eq!(say(3, 4), "OutOfOrderSequenceNumber");
    assert_eq!(say(0, 4), "Next");
    assert_eq!(say(0, 4), "Duplicate");
    assert_eq!(say(4, 6), "OutOfOrderSequenceNumber");
    assert_eq!(say(6, 6), "OutOfOrderSequenceNumber");
    assert_eq!(say(5, i32::MAX), "Next");
    assert_eq!(say(0, 9), "Next");
    assert_eq!(say(0, 4), "Duplicate");
}

#[test]
fn sequences_go_on_over_transactions_and_begin_anew_with_an_epoch() {
    let (mut transaction, producer) = open();
    assert_eq!(produce(&mut transaction, producer, 0, 4), "Next");
    end(&mut transaction, producer, false);
    begin(&mut transaction, producer);
    // A retry that was on its way all the time does not get into the next transaction.
    assert_eq!(produce(&mut transaction, producer, 0, 4), "Duplicate");
    assert_eq!(produce(&mut transaction, producer, 5, 5), "Next");
    assert_eq!(end(&mut transaction, producer, true), "committed 1");
    let producer = init(&mut transaction, None).unwrap();
    begin(&mut transaction, producer);
    assert_eq!(produce(&mut transaction, producer, 0, 0), "Next");
}

#[test]
fn nothing_is_written_outside_of_a_transaction() {
    let (mut transaction, producer) = open();
    let mut other = batch(0, 0);
    other.partition = partition("b", 0);
    let error = transaction.produce(producer, other, 100, 100);
    assert_eq!(error, Err(ResponseError::InvalidTxnState));
    end(&mut transaction, producer, false);
    assert_eq!(produce(&mut transaction, producer, 0, 0), "InvalidTxnState");
    let error = transaction.check_offsets(producer, "g");
    assert_eq!(error, Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_what_it_has_open() {
    let (mut transaction, old) = open();
    produce(&mut transaction, old, 0, 4);
    let new = init(&mut transaction, None).unwrap();
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    assert_eq!(produce(&mut transaction, old, 5, 5), "InvalidProducerEpoch");
    assert_eq!(end(&mut transaction, old, true), "ProducerFenced");
    let fenced = transaction.add(old, &[], None);
    assert_eq!(fenced, Err(ResponseError::ProducerFenced));
    assert_eq!(end(&mut transaction, new, true), "InvalidTxnState");
    let stranger = Producer { id: 8, epoch: 0 };
    assert_eq!(
        end(&mut transaction, stranger, true),
        "InvalidProducerIdMapping"
    );
    // It may not come back with what it was either.
    assert_eq!(outcome(init(&mut transaction, Some(old))), "ProducerFenced");
}

#[test]
fn a_producer_goes_on_after_an_error_and_may_ask_twice() {
    let (mut transaction, producer) = open();
    let next = init(&mut transaction, Some(producer)).unwrap();
    assert_eq!(next.epoch, producer.epoch + 1);
    assert_eq!(init(&mut transaction, Some(producer)), Ok(next));
    assert_eq!(
        init(&mut transaction, Some(next)).unwrap().epoch,
        next.epoch + 1
    );
    assert_eq!(
        outcome(init(&mut transaction, Some(producer))),
        "ProducerFenced"
    );
}

#[test]
fn when_the_epochs_are_used_up_there_is_a_new_id() {
    let (mut transaction, mut producer) = open();
    while producer.id == 7 {
        let before = producer;
        producer = init(&mut transaction, Some(before)).unwrap();
        assert!(producer.epoch == before.epoch + 1 || producer.id == 1_000);
        assert!(producer.epoch < i16::MAX);
    }
    assert_eq!(producer.epoch, 0);
    let last = Producer {
        id: 7,
        epoch: i16::MAX - 1,
    };
    assert_eq!(init(&mut transaction, Some(last)), Ok(producer));
    assert_eq!(
        end(&mut transaction, last, true),
        "InvalidProducerIdMapping"
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let (mut transaction, producer) = open();
    assert_eq!(transaction.deadline(), Some(TIMEOUT as Millis));
    assert!(
        transaction
            .begin_timeout(TIMEOUT as Millis - 1, WALL)
            .is_none()
    );
    let (stored, buffer) = transaction.begin_timeout(TIMEOUT as Millis, WALL).unwrap();
    assert!(buffer.is_some());
    // At once, whatever becomes of the record.
    assert_eq!(end(&mut transaction, producer, true), "ProducerFenced");
    transaction.aborted(Ok(stored));
    assert_eq!(
        produce(&mut transaction, producer, 0, 0),
        "InvalidProducerEpoch"
    );
    let next = init(&mut transaction, None).unwrap();
    assert_eq!(next.epoch, producer.epoch + 2);
}

#[test]
fn nothing_else_happens_while_a_change_is_stored() {
    let (mut transaction, producer) = open();
    let _ = transaction.begin_commit(WALL);
    let busy = "ConcurrentTransactions";
    assert_eq!(end(&mut transaction, producer, true), busy);
    assert_eq!(outcome(init(&mut transaction, None)), busy);
    assert_eq!(outcome(transaction.add(producer, &[], None)), busy);
    assert_eq!(produce(&mut transaction, producer, 0, 0), "InvalidTxnState");
    assert!(transaction.begin_timeout(Millis::MAX, WALL).is_none());
    // It could not be stored, so it is as if nothing had been said.
    assert!(transaction.committed(Err(())).is_none());
    assert_eq!(produce(&mut transaction, producer, 0, 0), "Next");
    assert_eq!(end(&mut transaction, producer, true), "committed 1");
}

#[test]
fn what_was_open_at_a_crash_never_commits() {
    let (mut transaction, producer) = open();
    produce(&mut transaction, producer, 0, 4);
    let stored = transaction.begin(WALL);
    let mut after = Transaction::restore("t", stored.clone());
    assert_eq!(produce(&mut after, producer, 5, 9), "UnknownProducerId");
    let more = after.add(producer, &[partition("a", 1)], None);
    assert_eq!(more, Err(ResponseError::UnknownProducerId));
    let offsets = after.check_offsets(producer, "g");
    assert_eq!(offsets, Err(ResponseError::IllegalGeneration));
    assert_eq!(end(&mut after, producer, true), "UnknownProducerId");
    // The client aborts, or asks for a new epoch; both let it go on.
    assert_eq!(end(&mut after, producer, false), "aborted 0");
    begin(&mut after, producer);
    assert_eq!(produce(&mut after, producer, 10, 10), "Next");

    let mut after = Transaction::restore("t", stored);
    let next = init(&mut after, Some(producer)).unwrap();
    assert_eq!(next.epoch, producer.epoch + 1);
    begin(&mut after, next);
    assert_eq!(produce(&mut after, next, 0, 0), "Next");
}

#[test]
fn there_is_a_bound_on_what_is_held() {
    let (mut transaction, producer) = open();
    let mut say = |first, max, left| {
        let result = transaction.produce(producer, batch(first, first), max, left);
        result.map_err(|error| error.code())
    };
    assert_eq!(say(0, 10, 10), Ok(SequenceCheck::Next));
    assert_eq!(say(1, 10, 10), Err(ResponseError::PolicyViolation.code()));
    assert_eq!(
        say(1, 20, 9),
        Err(ResponseError::ThrottlingQuotaExceeded.code())
    );
    // A retry of what is held takes no room, and what was refused may come again.
    assert_eq!(say(0, 10, 0), Ok(SequenceCheck::Duplicate));
    assert_eq!(say(1, 20, 10), Ok(SequenceCheck::Next));
}
