//! Asks a cluster for other work beside the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use tokio::task::JoinSet;
use whimbrel_client::admin::{NewTopic, create_topic, delete_topic};
use whimbrel_client::consumer::{Consumer, ConsumerOptions, Start};
use whimbrel_client::producer::{ProduceRecord, Producer, ProducerOptions};
use whimbrel_client::{Cluster, ClusterOptions};

use super::plan::{Disturbance, Work, amount};
use crate::bench::faults::ms_since;
use crate::bench::load::Pool;
use crate::bench::result::Fault;
use crate::bench::target::Target;
use crate::bench::workload::{Payload, Workload};

/// What is read back or deleted was written in records and batches of these sizes: the reading is to cost the broker, not
/// the reader.
const RECORD_BYTES: usize = 64 * 1024;
const BATCH_BYTES: usize = 512 * 1024;
/// Pause between two looks at whether the load is over or the time has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// How long the end of what is read back may keep everybody waiting after the load.
const POLL_WAIT: Duration = Duration::from_millis(500);

/// Disturbances that are ready to be carried out.
pub struct Disturber {
    runtime: tokio::runtime::Runtime,
    asking: Asking,
    plans: Vec<Disturbance>,
}

/// What each disturbance needs.
#[derive(Clone)]
struct Asking {
    cluster: Cluster,
    /// Begins the names of its topics.
    prefix: String,
    partitions: i32,
    replicas: i16,
}

impl Disturber {
    /// Writes what is to be read back or deleted. Where the bench started the system, what is to be read back is on the disk
    /// alone then.
    ///
    /// # Errors
    /// The cluster refuses a topic or a record, or the data cannot be taken out of the page cache.
    pub fn prepare(plans: &[Disturbance], workload: &Workload, run: &str, target: &Target) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asking = Asking {
            cluster: Cluster::new(ClusterOptions::new(target.bootstrap())),
            prefix: format!("whimbrel-bench-{run}"),
            partitions: workload.partitions,
            replicas: workload.replicas,
        };
        for (index, plan) in plans.iter().enumerate() {
            if let Some(bytes) = plan.work.bytes_before() {
                runtime.block_on(asking.write_before(index, bytes))?;
            }
            if let Work::ReadBack { .. } = plan.work {
                target.forget_cached().context("what was written to be read back is still in the page cache")?;
            }
        }
        Ok(Self { runtime, asking, plans: plans.to_vec() })
    }

    /// Carries all of it out, counted from `began`, until it is done or `is_over`. What could not be done, or not all
    /// of it, is in the list with what became of it. Blocks until `is_over`; for a thread of its own.
    pub fn carry_out(self, began: Instant, is_over: &Arc<AtomicBool>) -> Vec<Fault> {
        let mut faults = self.runtime.block_on(async {
            let mut works = JoinSet::new();
            for (index, plan) in self.plans.iter().copied().enumerate() {
                let (asking, is_over) = (self.asking.clone(), is_over.clone());
                works.spawn(async move { asking.carry_out(index, plan, began, &is_over).await });
            }
            let faults = works.join_all().await;
            // Before that, the removal would be one more disturbance, which nobody asked for.
            while !is_over.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            self.remove_topics().await;
            faults
        });
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }

    async fn remove_topics(&self) {
        let Ok(metadata) = self.asking.cluster.refresh(None, false).await else { return };
        for name in metadata.topics.keys().filter(|name| self.asking.owns(name)) {
            if let Err(error) = delete_topic(&self.asking.cluster, name).await {
                tracing::warn!(topic = name, %error, "not deleted");
            }
        }
    }
}

impl Asking {
    fn cold_topic(&self, index: usize) -> String {
        format!("{}-cold-{index}", self.prefix)
    }

    fn new_topic(&self, index: usize, number: u32) -> String {
        format!("{}-new-{index}-{number}", self.prefix)
    }

    fn owns(&self, topic: &str) -> bool {
        let rest = topic.strip_prefix(&self.prefix);
        rest.is_some_and(|rest| rest.starts_with("-cold-") || rest.starts_with("-new-"))
    }

    async fn create(&self, name: String, partitions: i32) -> anyhow::Result<()> {
        let (partitions, replication_factor) = (Some(partitions), Some(self.replicas));
        let topic = NewTopic { name, partitions, replication_factor, ..NewTopic::default() };
        create_topic(&self.cluster, &topic, false).await?;
        Ok(())
    }

    async fn write_before(&self, index: usize, bytes: u64) -> anyhow::Result<()> {
        let topic = self.cold_topic(index);
        self.create(topic.clone(), self.partitions).await?;
        let options = ProducerOptions { batch_bytes: BATCH_BYTES, ..ProducerOptions::default() };
        let producer = Producer::new(self.cluster.clone(), options).await?;
        let mut pool = Pool::new(&Payload::Random, RECORD_BYTES, BATCH_BYTES)?;
        let topic: Arc<str> = topic.into();
        let mut deliveries = Vec::new();
        for _ in 0..bytes.div_ceil(RECORD_BYTES as u64) {
            let value = Some(Bytes::copy_from_slice(pool.next(RECORD_BYTES)));
            let record = ProduceRecord { topic: topic.clone(), value, ..ProduceRecord::default() };
            deliveries.push(producer.send(record).await?);
        }
        producer.flush().await;
        for delivery in deliveries {
            delivery.wait().await.with_context(|| format!("{topic} cannot be written"))?;
        }
        Ok(())
    }

    async fn carry_out(&self, index: usize, plan: Disturbance, began: Instant, is_over: &AtomicBool) -> Fault {
        while Instant::now() < began + plan.at && !is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let at_ms = ms_since(began);
        let done = match plan.work {
            Work::CreateTopics { count } => self.create_topics(index, count, is_over).await,
            Work::ReadBack { bytes } => self.read_back(index, bytes, is_over).await,
            Work::Delete { bytes } => self.delete(index, bytes).await,
        };
        let what = done.unwrap_or_else(|error| format!("\"{plan}\" could not be done: {error:#}"));
        tracing::info!(at_ms, what, "disturbance");
        Fault { at_ms, until_ms: Some(ms_since(began)), what }
    }

    /// One after the other, as a tool does.
    async fn create_topics(&self, index: usize, count: u32, is_over: &AtomicBool) -> anyhow::Result<String> {
        let mut created = 0;
        while created < count && !is_over.load(Ordering::Relaxed) {
            self.create(self.new_topic(index, created), 1).await?;
            created += 1;
        }
        Ok(if created < count {
            format!("{created} of {count} topics created")
        } else {
            format!("{count} topics created")
        })
    }

    /// Brokers that the bench started remove the files a second later, or two.
    async fn delete(&self, index: usize, bytes: u64) -> anyhow::Result<String> {
        delete_topic(&self.cluster, &self.cold_topic(index)).await?;
        Ok(format!("{} deleted", amount(bytes)))
    }

    async fn read_back(&self, index: usize, bytes: u64, is_over: &AtomicBool) -> anyhow::Result<String> {
        let topic: Arc<str> = self.cold_topic(index).into();
        let partitions: Vec<_> = (0..self.partitions).map(|index| ((topic.clone(), index), Start::Earliest)).collect();
        let mut consumer = Consumer::new(self.cluster.clone(), ConsumerOptions::default());
        consumer.assign(&partitions).await?;
        let mut read: u64 = 0;
        while read < bytes && !is_over.load(Ordering::Relaxed) {
            let records = consumer.poll(POLL_WAIT).await?;
            read +=
                records.iter().filter_map(|record| record.value.as_ref()).map(|value| value.len() as u64).sum::<u64>();
        }
        let (read, wanted) = (read.min(bytes), amount(bytes));
        Ok(if read < bytes { format!("{} of {wanted} read back", amount(read)) } else { format!("{wanted} read back") })
    }
}
