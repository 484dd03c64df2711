//! `EndTxn`: commit or abort.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::fenced_code;
use crate::coordinator::Coordinator;
use crate::coordinator::transaction::Producer;

impl Coordinator {
    /// A commit is answered when it is durable.
    pub async fn end_txn(&self, version: i16, request: EndTxnRequest) -> EndTxnResponse {
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let id = &request.transactional_id;
        let result = self.transactions.end(id, producer, request.committed).await;
        let code = result.map_or_else(|error| fenced_code(error, version, 2), |()| 0);
        EndTxnResponse::default().with_error_code(code)
    }
}
