//! `AddOffsetsToTxn`: a transaction will commit offsets of a group.

use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{check_group, fenced_code};
use crate::coordinator::Coordinator;
use crate::coordinator::transaction::Producer;

impl Coordinator {
    pub async fn add_offsets_to_txn(
        &self,
        version: i16,
        request: AddOffsetsToTxnRequest,
    ) -> AddOffsetsToTxnResponse {
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let result = match check_group(&request.group_id) {
            Ok(()) => {
                let group = Some(request.group_id.to_string());
                self.transactions
                    .add(&request.transactional_id, producer, Vec::new(), group)
                    .await
            }
            Err(error) => Err(error),
        };
        let code = result.map_or_else(|error| fenced_code(error, version, 2), |()| 0);
        AddOffsetsToTxnResponse::default().with_error_code(code)
    }
}
