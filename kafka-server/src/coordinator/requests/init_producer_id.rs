//! `InitProducerId`: of idempotent producers and of transactional ones.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::fenced_code;
use crate::coordinator::Coordinator;
use crate::coordinator::transaction::{InitRequest, Producer};

impl Coordinator {
    pub async fn init_producer_id(
        &self,
        version: i16,
        request: InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let answer = InitProducerIdResponse::default();
        match self.init_producer(request).await {
            Ok(producer) => answer
                .with_producer_id(producer.id.into())
                .with_producer_epoch(producer.epoch),
            Err(error) => answer
                .with_error_code(fenced_code(error, version, 4))
                .with_producer_id((-1).into())
                .with_producer_epoch(-1),
        }
    }

    async fn init_producer(
        &self,
        request: InitProducerIdRequest,
    ) -> Result<Producer, ResponseError> {
        let expected = match (request.producer_id.0, request.producer_epoch) {
            (-1, -1) => None,
            (id, epoch) if id >= 0 && epoch >= 0 => Some(Producer { id, epoch }),
            _ => return Err(ResponseError::InvalidRequest),
        };
        let init = InitRequest {
            timeout_ms: request.transaction_timeout_ms,
            expected,
        };
        let id = request.transactional_id.as_ref();
        self.transactions.init(id.map(|id| id.as_str()), init).await
    }
}
