//! The sending half of a producer: which batches go to which broker, and what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use whimbrel_model::ErrorCode;
use whimbrel_wire::produce::{PartitionProduceData, TopicProduceData};
use whimbrel_wire::{ProduceRequest, ProduceResponse};

use super::batch::BatchKind;
use super::batches::{Partition, Ticket};
use super::leaders::Leaders;
use super::link::{LinkError, decode};
use super::links::Links;
use super::shared::Shared;
use crate::bench::verify::{Acknowledged, Intervals};
use crate::bench::workload::Acks;

/// The largest request, as Kafka's `max.request.size`; a batch above it goes alone.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Before a batch that failed is sent again.
const RETRY_NS: u64 = 20_000_000;
/// An answer that is late by this makes it worth asking whether the leader is still the same.
const STALL_NS: u64 = 500_000_000;
/// An answer that is not there by then does not come.
const ANSWER_NS_MAX: u64 = 30_000_000_000;
/// What the broker is told to wait for its replicas.
const ACK_TIMEOUT_MS: i32 = 30_000;

/// Sends a producer's batches.
pub struct Sending {
    shared: Arc<Shared>,
    client: usize,
    kind: BatchKind,
    record_bytes: usize,
    leaders: Arc<Leaders>,
    generation: u64,
    links: Links,
    brokers: BTreeMap<i32, Broker>,
    /// Partitions whose batches may be sent again, earliest first.
    retries: VecDeque<(u64, usize)>,
    /// Bytes of records that are handed over and not answered.
    pub buffered: usize,
    pub acknowledged: Acknowledged,
}

/// One broker, as this producer uses it.
#[derive(Default)]
struct Broker {
    /// Partitions that have something to send.
    pending: VecDeque<usize>,
    /// Partitions that it leads, and whose turn it is.
    members: Vec<usize>,
    turn: usize,
    /// Requests in flight, oldest first.
    sent: VecDeque<Sent>,
}

struct Sent {
    at_ns: u64,
    tickets: Vec<Ticket>,
}

impl Sending {
    pub fn new(shared: Arc<Shared>, client: usize, kind: BatchKind, record_bytes: usize) -> Self {
        let acknowledged = vec![Intervals::default(); shared.topics.len()];
        let (links, brokers, retries) = (Links::new(), BTreeMap::new(), VecDeque::new());
        let (leaders, generation, buffered) = (Arc::default(), 0, 0);
        Self {
            shared,
            client,
            kind,
            record_bytes,
            leaders,
            generation,
            links,
            brokers,
            retries,
            buffered,
            acknowledged,
        }
    }

    /// Sorts the partitions by their leaders again if those have changed, and closes what hangs at a former leader.
    pub fn take_leaders(&mut self, partitions: &mut [Partition], now: u64) {
        let generation = self.shared.leaders.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        self.leaders = self.shared.leaders.current();
        for broker in self.brokers.values_mut() {
            broker.pending.clear();
            broker.members.clear();
        }
        for (index, leader) in self.leaders.leader.iter().enumerate().filter(|(_, leader)| 0 <= **leader) {
            self.brokers.entry(*leader).or_default().members.push(index);
        }
        for (index, partition) in partitions.iter_mut().enumerate() {
            if std::mem::take(&mut partition.is_listed) {
                self.list(partition, index);
            }
        }
        let leaders = self.leaders.clone();
        // Before there is something to send: the first records are not to wait for it.
        for (id, _) in self.brokers.iter().filter(|(_, broker)| !broker.members.is_empty()) {
            if let Some(address) = leaders.addresses.get(id) {
                self.links.connect(*id, address, now);
            }
        }
        let has_moved =
            |id: i32, sent: &Sent| sent.tickets.iter().any(|at| leaders.leader.get(at.partition) != Some(&id));
        let stalled = self.brokers.iter().filter(|(id, broker)| {
            broker.sent.front().is_some_and(|sent| sent.at_ns + STALL_NS <= now && has_moved(**id, sent))
        });
        let stalled: Vec<i32> = stalled.map(|(id, _)| *id).collect();
        for id in stalled {
            self.close(partitions, id, now, "no answer, and another broker leads");
        }
    }

    /// The partition has something to send.
    pub fn list(&mut self, partition: &mut Partition, index: usize) {
        if partition.is_listed {
            return;
        }
        partition.is_listed = true;
        match self.leaders.leader.get(index).and_then(|leader| self.brokers.get_mut(leader)) {
            Some(broker) => broker.pending.push_back(index),
            // Nobody leads it: it stays listed, and is sorted in again when somebody does.
            None => self.shared.leaders.refresh(),
        }
    }

    /// Sends what may be sent.
    ///
    /// # Errors
    /// A codec fails.
    pub fn send(&mut self, partitions: &mut [Partition], now: u64) -> anyhow::Result<()> {
        self.take_connections(now);
        self.take_retries(partitions, now);
        let ids: Vec<i32> =
            self.brokers.iter().filter(|(_, broker)| !broker.pending.is_empty()).map(|(id, _)| *id).collect();
        for id in ids {
            while self.has_room(id, now) {
                let batches = self.collect(partitions, id, now)?;
                if batches.is_empty() {
                    break;
                }
                self.send_request(partitions, id, batches, now);
            }
        }
        self.look_for_stalls(partitions, now);
        Ok(())
    }

    fn take_connections(&mut self, now: u64) {
        let (shared, client) = (&self.shared, self.client);
        self.links.take_made(now, |_, made| {
            if let Err(error) = made {
                shared.error(client, format!("cannot connect: {error}"));
                shared.leaders.refresh();
            }
        });
    }

    fn take_retries(&mut self, partitions: &mut [Partition], now: u64) {
        while let Some((_, index)) = self.retries.pop_front_if(|(at_ns, _)| *at_ns <= now) {
            if partitions[index].can_take() {
                self.list(&mut partitions[index], index);
            }
        }
    }

    /// Whether another request may be sent to a broker; connects to it if need be.
    fn has_room(&mut self, id: i32, now: u64) -> bool {
        let workload = &self.shared.workload;
        if let Some(link) = self.links.get(id) {
            return match workload.acks {
                Acks::None => !link.has_outgoing(),
                Acks::Leader | Acks::All => link.in_flight() < workload.in_flight,
            };
        }
        if let Some(address) = self.leaders.addresses.get(&id) {
            self.links.connect(id, address, now);
        }
        false
    }

    /// The batches of the next request: one for each partition that has something, in turn.
    fn collect(&mut self, partitions: &mut [Partition], id: i32, now: u64) -> anyhow::Result<Vec<(Ticket, Bytes)>> {
        let now = self.ripe_by(now);
        let Some(broker) = self.brokers.get_mut(&id) else { return Ok(Vec::new()) };
        let (mut batches, mut bytes) = (Vec::new(), 0);
        for _ in 0..broker.pending.len() {
            let Some(index) = broker.pending.pop_front() else { break };
            let partition = &mut partitions[index];
            if partition.waiting() == 0 && partition.is_ripe(now) {
                partition.seal(self.kind)?;
            }
            let next = partition.next_bytes();
            if 0 < bytes && REQUEST_BYTES_MAX < bytes + next {
                broker.pending.push_front(index);
                break;
            }
            partition.is_listed = false;
            if let Some(batch) = partition.take(index) {
                bytes += next;
                batches.push(batch);
            }
            if partition.can_take() || partition.is_ripe(now) {
                partition.is_listed = true;
                broker.pending.push_back(index);
            }
        }
        Ok(batches)
    }

    fn send_request(&mut self, partitions: &mut [Partition], id: i32, batches: Vec<(Ticket, Bytes)>, now: u64) {
        let acks = self.shared.workload.acks;
        let tickets: Vec<Ticket> = batches.iter().map(|(ticket, _)| *ticket).collect();
        let request = self.request(batches);
        let Some(link) = self.links.get(id) else { return };
        let token = (acks != Acks::None).then_some(());
        let sent = link.send(&request, self.shared.versions.produce, token);
        if let Some(broker) = self.brokers.get_mut(&id)
            && (acks != Acks::None || sent.is_err())
        {
            broker.sent.push_back(Sent { at_ns: now, tickets: tickets.clone() });
        }
        match sent {
            Err(error) => self.close(partitions, id, now, &error.to_string()),
            // Nobody will say more of them than that the socket took them.
            Ok(()) if acks == Acks::None => self.acknowledge(partitions, &tickets),
            Ok(()) => {}
        }
    }

    fn request(&self, batches: Vec<(Ticket, Bytes)>) -> ProduceRequest {
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (ticket, bytes) in batches {
            let (name, index) = self.shared.topics.target(ticket.partition);
            let data = PartitionProduceData { index, records: Some(bytes.into()) };
            match topic_data.iter_mut().find(|topic| topic.name == *name) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: name.clone(),
                    partition_data: vec![data],
                    ..TopicProduceData::default()
                }),
            }
        }
        let acks = match self.shared.workload.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        ProduceRequest { transactional_id: None, acks, timeout_ms: ACK_TIMEOUT_MS, topic_data }
    }

    /// Waits for answers, `wait` at most, and takes them.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn wait(&mut self, partitions: &mut [Partition], wait: Duration) -> anyhow::Result<()> {
        for (id, result) in self.links.wait(wait)? {
            let result = result.and_then(|()| self.take_answers(partitions, id));
            if let Err(error) = result {
                let now = self.shared.clock.now();
                self.close(partitions, id, now, &error.to_string());
            }
        }
        Ok(())
    }

    fn take_answers(&mut self, partitions: &mut [Partition], id: i32) -> Result<(), LinkError> {
        while let Some(link) = self.links.get(id) {
            let Some(((), frame)) = link.next_answer()? else { break };
            let response = decode::<ProduceRequest>(&frame, self.shared.versions.produce)?;
            let sent = self.brokers.get_mut(&id).and_then(|broker| broker.sent.pop_front());
            if let Some(sent) = sent {
                self.take_answer(partitions, &sent, &response);
            }
        }
        Ok(())
    }

    fn take_answer(&mut self, partitions: &mut [Partition], sent: &Sent, response: &ProduceResponse) {
        let mut stored = Vec::with_capacity(sent.tickets.len());
        for ticket in &sent.tickets {
            match self.code_of(response, ticket.partition) {
                // The batch was stored by an earlier attempt.
                ErrorCode::None | ErrorCode::DuplicateSequenceNumber => stored.push(*ticket),
                code => self.refused(partitions, *ticket, code),
            }
        }
        self.acknowledge(partitions, &stored);
    }

    fn code_of(&self, response: &ProduceResponse, index: usize) -> ErrorCode {
        let (name, partition) = self.shared.topics.target(index);
        let of_topic = response.responses.iter().filter(|topic| topic.name == *name);
        let found = of_topic.flat_map(|topic| &topic.partition_responses).find(|found| found.index == partition);
        found.map_or(ErrorCode::UnknownServerError, |found| ErrorCode::from_code(found.error_code))
    }

    fn acknowledge(&mut self, partitions: &mut [Partition], tickets: &[Ticket]) {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let record_bytes = shared.bytes_of_record();
        let mut count = 0;
        let mut shard = shared.recording.shard(self.client);
        for ticket in tickets {
            let Some(batch) = partitions[ticket.partition].done(*ticket) else { continue };
            shard.acknowledged(now, &batch.runs, record_bytes);
            self.acknowledged[ticket.partition].add(batch.first, batch.first + u64::from(batch.count));
            self.buffered -= batch.count as usize * self.record_bytes;
            count += u64::from(batch.count);
            if let Some(uptime) = &shared.uptime {
                uptime.produced(ticket.partition);
            }
        }
        drop(shard);
        shared.live.acknowledged.fetch_add(count, Ordering::Relaxed);
        for ticket in tickets {
            self.list_again(partitions, ticket.partition, now);
        }
    }

    fn list_again(&mut self, partitions: &mut [Partition], index: usize, now: u64) {
        let now = self.ripe_by(now);
        if partitions[index].can_take() || partitions[index].is_ripe(now) {
            self.list(&mut partitions[index], index);
        }
    }

    /// Batches that are ripe by then may be sent: after the end all of them.
    fn ripe_by(&self, now: u64) -> u64 {
        if self.shared.clock.end_ns() <= now { u64::MAX } else { now }
    }

    /// A batch was not stored: it is sent again where that may help.
    fn refused(&mut self, partitions: &mut [Partition], ticket: Ticket, code: ErrorCode) {
        let now = self.shared.clock.now();
        self.shared.error(self.client, code.name().to_owned());
        let is_behind_a_failed_one = code == ErrorCode::OutOfOrderSequenceNumber;
        if code.is_retriable() || is_behind_a_failed_one {
            partitions[ticket.partition].failed(ticket);
            self.retries.push_back((now + RETRY_NS, ticket.partition));
            self.shared.leaders.refresh();
        } else if let Some(batch) = partitions[ticket.partition].done(ticket) {
            self.buffered -= batch.count as usize * self.record_bytes;
            self.list_again(partitions, ticket.partition, now);
        }
    }

    /// Gives a connection up; what was in flight on it is sent again.
    fn close(&mut self, partitions: &mut [Partition], id: i32, now: u64, cause: &str) {
        self.links.close(id);
        self.shared.error(self.client, cause.to_owned());
        self.shared.leaders.refresh();
        let Some(broker) = self.brokers.get_mut(&id) else { return };
        for ticket in broker.sent.drain(..).flat_map(|sent| sent.tickets) {
            partitions[ticket.partition].failed(ticket);
            self.retries.push_back((now + RETRY_NS, ticket.partition));
        }
    }

    fn look_for_stalls(&mut self, partitions: &mut [Partition], now: u64) {
        let oldest = |broker: &Broker| broker.sent.front().map(|sent| sent.at_ns);
        let late: Vec<i32> = self
            .brokers
            .iter()
            .filter(|(_, broker)| oldest(broker).is_some_and(|at| at + STALL_NS <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.shared.leaders.refresh();
            if self.brokers.get(&id).and_then(oldest).is_some_and(|at| at + ANSWER_NS_MAX <= now) {
                self.close(partitions, id, now, "no answer");
            }
        }
    }

    /// When something is to be sent again.
    pub fn next_turn(&self) -> Option<u64> {
        self.retries.front().map(|(at_ns, _)| *at_ns)
    }

    /// What the requests in flight and the next ones hold, at most.
    pub fn request_bytes_of_all(&self) -> usize {
        let workload = &self.shared.workload;
        let of_broker = |broker: &Broker| REQUEST_BYTES_MAX.min(workload.batch_bytes * broker.members.len());
        (workload.in_flight + 1) * self.brokers.values().map(of_broker).sum::<usize>()
    }

    /// A partition that its broker could take a batch of now, while it has room and less than a request waits for it.
    pub fn hungry(&mut self, partitions: &[Partition], now: u64) -> Option<usize> {
        let ids: Vec<i32> = self.brokers.keys().copied().collect();
        ids.into_iter().find_map(|id| if self.has_room(id, now) { self.hungry_of(partitions, id) } else { None })
    }

    fn hungry_of(&mut self, partitions: &[Partition], id: i32) -> Option<usize> {
        let wanted = REQUEST_BYTES_MAX / self.shared.workload.batch_bytes.max(1);
        let broker = self.brokers.get_mut(&id)?;
        if wanted.max(1) <= broker.pending.len() {
            return None;
        }
        for _ in 0..broker.members.len() {
            broker.turn = (broker.turn + 1) % broker.members.len();
            let index = broker.members[broker.turn];
            let partition = &partitions[index];
            if !partition.is_listed && partition.waiting() == 0 && !partition.is_open() {
                return Some(index);
            }
        }
        None
    }
}
