//! Produce, versions 3 to 13: records in, offsets out (KIP-98, KIP-467, KIP-516, KIP-951).
//!
//! Versions 0 to 2 carry message formats that are not stored; they are advertised, as Kafka 4 does, because librdkafka
//! stops compressing when they are missing (KAFKA-18659), and a request with one of them ends its connection.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use whimbrel_model::record::{BatchError, BatchHeader, Codec};
use whimbrel_model::{ErrorCode, LeaderEpoch, Offset};
use whimbrel_storage::AppendOrigin;
use whimbrel_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use whimbrel_wire::{ApiKey, ProduceRequest, ProduceResponse, Records};

use super::errors::{ToErrorCode, current_leader, leader_hint};
use super::handover::{Handover, is_idempotent};
use super::{Answer, RequestContext, RequestError, reply};
use crate::Broker;
use crate::purgatory::{Event, Waiter, Wakes};
use crate::replica_manager::{AppendError, Partition, PartitionError, Registration, RequiredAcks};
use crate::time;

/// What is decoded. What is advertised starts at 0.
pub const VERSIONS: RangeInclusive<i16> = 3..=13;

/// The only client id that may write to internal topics, as in Kafka.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// Appends, and answers at once or when the records are committed.
///
/// # Errors
/// The response cannot be encoded.
pub async fn answer(
    context: &RequestContext,
    correlation_id: i32,
    request: ProduceRequest,
) -> Result<Answer, RequestError> {
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let mut appended = append_all(context, request);
    match acks {
        1 if !appended.handovers.is_empty() => Ok(appended.wait_and_reply(context, correlation_id, timeout_ms)),
        0 => Ok(silent(&appended.response)),
        -1 => {
            appended.settle();
            appended.end_handovers(context);
            if appended.pending.is_empty() && appended.handovers.is_empty() {
                return appended.reply(context, correlation_id);
            }
            Ok(appended.wait_and_reply(context, correlation_id, timeout_ms))
        }
        _ => appended.reply(context, correlation_id),
    }
}

/// With `acks=0` there is no response; a closed connection is the only way to say that something failed.
fn silent(response: &ProduceResponse) -> Answer {
    let failed = response.responses.iter().flat_map(|topic| &topic.partition_responses).find(|p| p.error_code != 0);
    match failed {
        None => Answer::Silent,
        Some(partition) => {
            let code = ErrorCode::from_code(partition.error_code);
            Answer::Close(format!("produce with acks=0 failed with {code}; closing tells the client to refresh"))
        }
    }
}

/// The response as far as it is known, and what it waits for.
struct Appended {
    response: ProduceResponse,
    pending: Vec<Pending>,
    /// What the next leaders are to have, and where its results are in the response.
    handovers: Vec<(usize, usize, Handover)>,
    /// Results that are a next leader's.
    passed_on: Vec<(usize, usize)>,
    /// Something that was appended cannot be acknowledged, and is not for the next leader.
    is_refused: bool,
}

/// A partition whose records are in the log and not yet committed.
struct Pending {
    /// Where its result is in the response.
    topic: usize,
    partition: usize,
    replica: Arc<Partition>,
    /// The offset after the last record.
    end: Offset,
    epoch: LeaderEpoch,
    /// For the next leader, if the leadership goes before they are committed.
    handover: Option<Handover>,
}

impl Appended {
    fn wait_and_reply(mut self, context: &RequestContext, correlation_id: i32, timeout_ms: i32) -> Answer {
        let version = context.version;
        let context = RequestContext { connection: context.connection.clone(), client_id: None, version };
        context.connection.handovers.waits();
        Answer::Waiting(Box::pin(async move {
            let deadline = Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
            self.wait(deadline).await;
            self.pass_on(&context).await;
            if !context.connection.handovers.answers_last() {
                self.passed_on.clear();
            }
            self.reply(&context, correlation_id).unwrap_or_else(|error| Answer::Close(error.to_string()))
        }))
    }

    /// What was refused for want of leadership, and is not passed on, comes again from the client.
    fn end_handovers(&self, context: &RequestContext) {
        if self.is_refused && context.broker().is_handing_over() {
            context.connection.handovers.end();
        }
    }

    /// Has the next leaders take what this broker does not lead any more.
    async fn pass_on(&mut self, context: &RequestContext) {
        self.end_handovers(context);
        for (topic, partition, handover) in std::mem::take(&mut self.handovers) {
            let Some(answer) = handover.pass_on(context.broker(), &context.connection.handovers).await else {
                continue;
            };
            if let Some(place) =
                self.response.responses.get_mut(topic).and_then(|topic| topic.partition_responses.get_mut(partition))
            {
                *place = PartitionProduceResponse { index: place.index, ..answer };
                self.passed_on.push((topic, partition));
            }
        }
    }

    /// Takes off the list what is committed or has failed.
    fn settle(&mut self) {
        let Self { response, handovers, is_refused, .. } = self;
        self.pending.retain_mut(|pending| match pending.replica.is_committed(pending.end, pending.epoch) {
            Ok(committed) => !committed,
            Err(error) => {
                let code = error.error_code();
                fail(response, pending, code);
                match pending.handover.take().filter(|_| code == ErrorCode::NotLeaderOrFollower) {
                    Some(handover) => handovers.push((pending.topic, pending.partition, handover)),
                    None => *is_refused = true,
                }
                false
            }
        });
    }

    async fn wait(&mut self, deadline: Instant) {
        let waiter = Waiter::new();
        let _watches: Vec<Registration> = self
            .pending
            .iter()
            .flat_map(|pending| {
                [Event::HighWatermark, Event::Flushed].map(|event| pending.replica.watch(&waiter, event, pending.end))
            })
            .collect();
        loop {
            self.settle();
            if self.pending.is_empty() {
                return;
            }
            if !waiter.woken_before(deadline).await {
                break;
            }
        }
        for pending in std::mem::take(&mut self.pending) {
            fail(&mut self.response, &pending, ErrorCode::RequestTimedOut);
        }
    }

    fn reply(mut self, context: &RequestContext, correlation_id: i32) -> Result<Answer, RequestError> {
        if context.version >= 10 {
            self.name_leaders(context);
        }
        context.connection.count_errors(ApiKey::Produce, &self.response);
        reply::<ProduceRequest>(context.version, correlation_id, &self.response)
    }

    /// Tells clients where to go instead, so that they need no metadata request first (KIP-951).
    fn name_leaders(&mut self, context: &RequestContext) {
        let image = context.broker().metadata.image();
        let mut leaders = Vec::new();
        for (topic_index, topic) in self.response.responses.iter_mut().enumerate() {
            let known =
                if context.version >= 13 { image.topic_by_id(topic.topic_id) } else { image.topic(&topic.name) };
            for (index, partition) in topic.partition_responses.iter_mut().enumerate() {
                let is_elsewhere = self.passed_on.contains(&(topic_index, index));
                if !is_elsewhere && partition.error_code != ErrorCode::NotLeaderOrFollower.code() {
                    continue;
                }
                let Some(known) = known else { continue };
                let hosted = context.broker().replicas.partition(&known.name, partition.index).ok();
                let state = known.partitions.get(&partition.index);
                if let Some((leader, epoch)) = current_leader(hosted.as_deref(), state) {
                    partition.current_leader =
                        whimbrel_wire::produce::LeaderIdAndEpoch { leader_id: leader.0, leader_epoch: epoch.0 };
                    leaders.push(leader);
                }
            }
        }
        self.response.node_endpoints = leader_hint(&image, &context.connection.listener, leaders)
            .map(|node| whimbrel_wire::produce::NodeEndpoint {
                node_id: node.id,
                host: node.host,
                port: node.port,
                rack: node.rack,
            })
            .collect();
    }
}

fn fail(response: &mut ProduceResponse, pending: &Pending, code: ErrorCode) {
    let partition = &mut response.responses[pending.topic].partition_responses[pending.partition];
    *partition = PartitionProduceResponse { index: partition.index, ..failed(code, None) };
}

fn failed(code: ErrorCode, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse {
        error_code: code.code(),
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        error_message: message.map(Into::into),
        ..Default::default()
    }
}

/// Appends every partition's records in the order of the request.
fn append_all(context: &RequestContext, request: ProduceRequest) -> Appended {
    let mut appended = Appended {
        response: ProduceResponse::default(),
        pending: Vec::new(),
        handovers: Vec::new(),
        passed_on: Vec::new(),
        is_refused: false,
    };
    // One fetch is to find what one request brought.
    let mut wakes = Wakes::default();
    let now_ms = time::wall_clock_ms();
    let has_transactional_id = request.transactional_id.is_some();
    for topic in request.topic_data {
        let topic_index = appended.response.responses.len();
        let target = Target::find(context, &topic, request.acks);
        let mut results = Vec::with_capacity(topic.partition_data.len());
        for (index, data) in topic.partition_data.into_iter().enumerate() {
            let number = data.index;
            let handover = target.handover(&data);
            let result = match target.append(context, data, has_transactional_id, now_ms, &mut wakes) {
                Ok((result, committing)) => {
                    appended.pending.extend(committing.map(|(replica, end, epoch)| Pending {
                        topic: topic_index,
                        partition: index,
                        replica,
                        end,
                        epoch,
                        handover: handover.filter(|handover| is_idempotent(&handover.records)),
                    }));
                    result
                }
                Err(refused) => {
                    if let Some(handover) = handover.filter(|_| refused.code == ErrorCode::NotLeaderOrFollower) {
                        appended.handovers.push((topic_index, index, handover));
                    }
                    refused.into_response()
                }
            };
            results.push(PartitionProduceResponse { index: number, ..result });
        }
        // A topic without partitions has no results, and is left out.
        if results.is_empty() {
            continue;
        }
        appended.response.responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: results,
        });
    }
    for pending in &appended.pending {
        pending.replica.request_flush(pending.end);
    }
    appended
}

type Committing = (Arc<Partition>, Offset, LeaderEpoch);

/// A refusal of one partition's records.
struct Refused {
    code: ErrorCode,
    message: Option<String>,
    record_errors: Vec<BatchIndexAndErrorMessage>,
    log_start: Option<Offset>,
}

impl Refused {
    fn new(code: ErrorCode) -> Self {
        Self { code, message: None, record_errors: Vec::new(), log_start: None }
    }

    fn because(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::new(code) }
    }

    fn into_response(self) -> PartitionProduceResponse {
        PartitionProduceResponse {
            record_errors: self.record_errors,
            log_start_offset: self.log_start.map_or(-1, |offset| offset.0),
            ..failed(self.code, self.message)
        }
    }
}

/// Where the records of one topic of the request go.
struct Target<'a> {
    name: Result<Arc<str>, ErrorCode>,
    acks: i16,
    context: &'a RequestContext,
}

impl<'a> Target<'a> {
    fn find(context: &'a RequestContext, topic: &TopicProduceData, acks: i16) -> Self {
        let image = context.broker().metadata.image();
        let name = if context.version >= 13 {
            image.topic_by_id(topic.topic_id).map(|topic| topic.name.clone()).ok_or(ErrorCode::UnknownTopicId)
        } else {
            image.topic(&topic.name).map(|topic| topic.name.clone()).ok_or(ErrorCode::UnknownTopicOrPartition)
        };
        Self { name, acks, context }
    }

    /// The records for the next leader, while this broker hands its leaderships over. Who does not wait is not told.
    fn handover(&self, data: &PartitionProduceData) -> Option<Handover> {
        if !self.context.broker().is_handing_over() || self.acks == 0 {
            return None;
        }
        let records = data.records.clone()?.into_bytes()?;
        Some(Handover { topic: self.name.clone().ok()?, partition: data.index, records, acks: self.acks })
    }

    /// What the response says of the partition, and what to wait for with `acks=all`.
    fn append(
        &self,
        context: &RequestContext,
        data: PartitionProduceData,
        has_transactional_id: bool,
        now_ms: i64,
        wakes: &mut Wakes,
    ) -> Result<(PartitionProduceResponse, Option<Committing>), Refused> {
        let broker = self.context.broker();
        let name = self.name.as_ref().map_err(|code| Refused::new(*code))?;
        let partition = broker.replicas.partition(name, data.index);
        if let Err(error @ PartitionError::UnknownTopicOrPartition { .. }) = &partition {
            return Err(Refused::new(error.error_code()));
        }
        let mut records = data.records.and_then(Records::into_bytes).unwrap_or_default();
        let batch_bytes = check_form(&records, has_transactional_id, context.version)?;
        records.truncate(batch_bytes);
        let acks = match self.acks {
            -1 => RequiredAcks::All,
            0 | 1 => RequiredAcks::Leader,
            _ => return Err(Refused::new(ErrorCode::InvalidRequiredAcks)),
        };
        if is_internal(name) && context.client_id() != ADMIN_CLIENT_ID {
            return Err(Refused::because(
                ErrorCode::InvalidTopicException,
                format!("cannot append to internal topic {name}"),
            ));
        }
        let partition = partition.map_err(|error| Refused::new(error.error_code()))?;
        let info = partition
            .append(&records, acks, AppendOrigin::Client, now_ms, wakes)
            .map_err(|error| not_led_for_sure(broker, refusal(&error, &partition)))?;
        if !info.is_duplicate {
            broker.metrics.appended((info.last_offset - info.first_offset + 1) as u64, info.bytes);
        }
        // Sent before, and long ago: clients take this code for success, and Kafka has it for this (KIP-98).
        let is_forgotten = info.first_offset.0 < 0;
        let code = if is_forgotten { ErrorCode::DuplicateSequenceNumber } else { ErrorCode::None };
        let result = PartitionProduceResponse {
            error_code: code.code(),
            base_offset: info.first_offset.0,
            log_append_time_ms: info.log_append_time,
            log_start_offset: info.log_start_offset.0,
            ..Default::default()
        };
        let committing = (acks == RequiredAcks::All).then(|| (partition, info.last_offset + 1, info.leader_epoch));
        Ok((result, committing))
    }
}

/// `__consumer_offsets` and `__transaction_state`: written by the broker itself.
fn is_internal(topic: &str) -> bool {
    crate::topics::is_internal(topic)
}

/// What Kafka checks before it looks at the partition: one v2 batch, in a codec that the version may carry. The result
/// is the size of that batch: what follows it and is no whole batch is not looked at.
fn check_form(records: &Bytes, has_transactional_id: bool, version: i16) -> Result<usize, Refused> {
    let invalid = |what: &str| {
        Err(Refused::because(
            ErrorCode::InvalidRecord,
            format!("Produce version {version} carries exactly one batch of magic 2 for a partition: {what}"),
        ))
    };
    if records.is_empty() {
        return invalid("there is none");
    }
    let header = match BatchHeader::parse(records) {
        Ok(header) => header,
        // Where the next batch would begin is not known: what was sent is damaged.
        Err(error @ (BatchError::InvalidSize(_) | BatchError::InvalidMagic(_))) => {
            return Err(Refused::because(ErrorCode::CorruptMessage, error.to_string()));
        }
        Err(error) => return invalid(&error.to_string()),
    };
    let batch_bytes = header.size_in_bytes();
    if records.len() < batch_bytes {
        return invalid("it is cut short");
    }
    match BatchHeader::parse(&records[batch_bytes..]) {
        Ok(next) if next.size_in_bytes() <= records.len() - batch_bytes => return invalid("there is a second one"),
        Ok(_) | Err(_) => {}
    }
    if version < 7 && header.attributes.codec().is_ok_and(|codec| codec == Codec::Zstd) {
        return Err(Refused::because(
            ErrorCode::UnsupportedCompressionType,
            format!("Produce version {version} cannot carry zstd: version 7 is the first"),
        ));
    }
    if header.attributes.is_transactional() {
        if !has_transactional_id {
            let message = "a transactional batch needs a transactional id";
            return Err(Refused::because(ErrorCode::TransactionalIdAuthorizationFailed, message));
        }
        // No transaction can be open, since no transactional id was ever given a producer id here (KIP-890).
        let code = if version >= 11 { ErrorCode::TransactionAbortable } else { ErrorCode::InvalidTxnState };
        return Err(Refused::because(code, "the partition is not part of an ongoing transaction"));
    }
    Ok(batch_bytes)
}

/// A gap in a producer's sequence is fatal to the producer, and must not be claimed by a broker that was cut off and has
/// not heard yet who leads: the batches in between may be with the new leader. Nothing was appended, so that the producer
/// may look for the leader and try again.
fn not_led_for_sure(broker: &Broker, refused: Refused) -> Refused {
    let is_gap = refused.code == ErrorCode::OutOfOrderSequenceNumber;
    if is_gap && broker.liveness().is_some_and(|monitor| monitor.was_cut_off()) {
        return Refused { code: ErrorCode::NotLeaderOrFollower, ..refused };
    }
    refused
}

fn refusal(error: &AppendError, partition: &Partition) -> Refused {
    if error.is_storage() {
        tracing::warn!(partition = %partition.topic_partition, "append failed: {error}");
    }
    let record_errors = error.record_errors().into_iter().map(|(index, message)| BatchIndexAndErrorMessage {
        batch_index: index,
        batch_index_error_message: Some(message.into()),
    });
    let code = error.error_code();
    // Kafka says where the log starts only once the form of the batch has passed.
    let is_about_form =
        [ErrorCode::CorruptMessage, ErrorCode::MessageTooLarge, ErrorCode::RecordListTooLarge].contains(&code);
    Refused {
        code,
        message: Some(error.to_string()),
        record_errors: record_errors.collect(),
        log_start: (!is_about_form).then(|| partition.log.log_start_offset()),
    }
}
