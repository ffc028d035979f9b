//! A sequence of requests to one broker, and what it answered.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use whimbrel_model::Uuid;
use whimbrel_wire::create_topics::{CreatableTopic, CreatableTopicConfig};
use whimbrel_wire::metadata::MetadataRequestTopic;
use whimbrel_wire::{
    ApiKey, ApiVersionsRequest, CreateTopicsRequest, FindCoordinatorRequest, MetadataRequest, Request,
};

use crate::client::Client;
use crate::text::{self, Run};
use crate::transcript::Transcript;

/// Kafka answers these in the order of a hash table.
const UNORDERED: [ApiKey; 16] = [
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::OffsetDelete,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteGroups,
    ApiKey::CreatePartitions,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::DeleteRecords,
    ApiKey::ListOffsets,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::Metadata,
    ApiKey::Produce,
    ApiKey::DescribeLogDirs,
];

/// Answered by a group's coordinator.
const COORDINATED: [ApiKey; 9] = [
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::OffsetDelete,
    ApiKey::DescribeGroups,
    ApiKey::DeleteGroups,
];

/// A coordinator that loads for longer has failed.
const LOADING_MAX: Duration = Duration::from_secs(60);

/// Whether an answer holds COORDINATOR_LOAD_IN_PROGRESS (14) or NOT_COORDINATOR (16).
fn says_loading(answer: &str) -> bool {
    [14, 16].iter().any(|code| [',', ' ', '}'].iter().any(|end| answer.contains(&format!("error_code: {code}{end}"))))
}

pub struct Session {
    pub client: Client,
    pub transcript: Transcript,
    pub address: SocketAddr,
    run: Run,
    versions: Vec<(i16, RangeInclusive<i16>)>,
}

impl Session {
    /// `served`: the versions to ask for, by API. `None`: all that the broker advertises.
    pub fn open(address: SocketAddr, served: Option<&[(i16, RangeInclusive<i16>)]>) -> Self {
        let mut client = Client::connect(address);
        let run = Run { prefix: format!("r{:08x}-", std::process::id() ^ clock()), ..Run::default() };
        let advertised = client.call(0, &ApiVersionsRequest::default());
        let versions = advertised.api_keys.iter().filter_map(|api| {
            let range = match served {
                Some(served) => served.iter().find(|(key, _)| *key == api.api_key)?.1.clone(),
                None => api.min_version..=api.max_version,
            };
            // Advertised for a client that looks for them, and refused: their message formats are not served.
            let refused_below = match ApiKey::from_code(api.api_key) {
                Some(ApiKey::Produce) => 3,
                Some(ApiKey::Fetch) => 4,
                _ => 0,
            };
            Some((
                api.api_key,
                *range.start().max(&api.min_version).max(&refused_below)..=*range.end().min(&api.max_version),
            ))
        });
        let versions = versions.collect();
        // The first one creates __consumer_offsets, which takes a while.
        let key = FindCoordinatorRequest { key: "warm".into(), ..Default::default() };
        while client.call(0, &key).error_code != 0 {
            std::thread::yield_now();
        }
        Self { client, transcript: Transcript::default(), address, run, versions }
    }

    /// What is asked of each API.
    pub fn served(&self) -> &[(i16, RangeInclusive<i16>)] {
        &self.versions
    }

    pub fn versions(&self, api: ApiKey) -> RangeInclusive<i16> {
        let none = RangeInclusive::new(0, -1);
        self.versions.iter().find(|(key, _)| *key == api.code()).map_or(none, |(_, versions)| versions.clone())
    }

    /// The name of this run's topic or group.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.run.prefix)
    }

    /// Asks, and notes the answer. `None` if there is none.
    ///
    /// A coordinator that has yet to load the partition of a group says so, and is asked again, as every client does:
    /// Kafka loads the fifty partitions of a new `__consumer_offsets` one after the other.
    pub fn ask<R: Request>(&mut self, case: &str, version: i16, request: &R) -> Option<R::Response> {
        if std::env::var_os("SHOW_CASES").is_some() {
            eprintln!("{} v{version}: {case}", R::KEY.name());
        }
        let began = Instant::now();
        let response = loop {
            let response = self.client.try_call(version, request);
            let is_loading = COORDINATED.contains(&R::KEY)
                && response.as_ref().is_some_and(|response| says_loading(&format!("{response:?}")));
            if !is_loading {
                break response;
            }
            assert!(began.elapsed() < LOADING_MAX, "{} v{version}: {case}: still {response:?}", R::KEY.name());
            std::thread::yield_now();
        };
        let text = match &response {
            Some(response) => {
                let sorted = UNORDERED.contains(&R::KEY);
                text::normalised(&self.run, version, &format!("{response:?}"), sorted)
            }
            None => {
                self.client = Client::connect(self.address);
                "no answer".to_owned()
            }
        };
        self.transcript.note(R::KEY.name(), case, version, text);
        response
    }

    /// Asks in every version. The request may depend on it; `None` where a version has no such request.
    pub fn ask_all<R: Request>(&mut self, case: &str, mut request: impl FnMut(i16, &Self) -> Option<R>) {
        for version in self.versions(R::KEY) {
            if let Some(request) = request(version, self) {
                self.ask(case, version, &request);
            }
        }
    }

    /// Creates a topic that keeps records of any age, and returns its id once the broker serves it.
    pub fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let configs = [("retention.ms", "-1")]
            .iter()
            .chain(configs)
            .map(|(name, value)| CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) });
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let created = self.client.call(5, &request);
        assert_eq!(created.topics[0].error_code, 0, "{created:?}");
        self.learn(name)
    }

    /// The id of a topic, from its metadata.
    pub fn learn(&mut self, name: &str) -> Uuid {
        let wanted = MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![wanted]), ..Default::default() };
        let found = self.client.call(10, &request);
        let id = found.topics[0].topic_id;
        self.run.topic_ids.insert(id.to_string(), name.to_owned());
        id
    }
}

fn clock() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos())
}
