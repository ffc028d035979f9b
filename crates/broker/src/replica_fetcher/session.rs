//! The fetcher's side of a fetch session (KIP-227): what the leader knows already is not sent again.
//!
//! A full request opens a session; from then on a request names only the partitions whose fetch position changed and
//! those that are not wanted any more. Whatever goes wrong, the next request is a full one. Source:
//! `FetchSessionHandler.java`.

use std::collections::BTreeMap;

use whimbrel_model::{TopicPartition, Uuid};
use whimbrel_state::fetch_session::{INITIAL_EPOCH, next_epoch};
use whimbrel_wire::FetchRequest;
use whimbrel_wire::fetch::{FetchPartition, FetchTopic, ForgottenTopic};

/// What is asked of one partition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub topic_id: Uuid,
    pub partition: FetchPartition,
}

/// What the leader remembers of this fetcher.
#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    /// Of the next request.
    epoch: i32,
    known: BTreeMap<TopicPartition, Wanted>,
    /// A session names topics or their ids, never both.
    names_topics: bool,
}

/// Whether the leader may leave partitions without news out of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Every partition that was asked for is there.
    Full,
    Incremental,
}

impl Default for Session {
    fn default() -> Self {
        Self { id: 0, epoch: INITIAL_EPOCH, known: BTreeMap::new(), names_topics: false }
    }
}

impl Session {
    /// Puts `wanted` into `request`, as a difference to what the leader knows if there is a session.
    pub fn fill(
        &mut self,
        request: &mut FetchRequest,
        wanted: BTreeMap<TopicPartition, Wanted>,
        names_topics: bool,
    ) -> Coverage {
        if self.names_topics != names_topics {
            self.restart();
            self.names_topics = names_topics;
        }
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        if self.epoch == INITIAL_EPOCH {
            request.topics = by_topic(wanted.iter());
            self.known = wanted;
            return Coverage::Full;
        }
        let gone = self.known.iter().filter(|(key, was)| {
            // A topic of the same name with another id is another topic.
            wanted.get(*key).is_none_or(|now| now.topic_id != was.topic_id)
        });
        request.forgotten_topics_data = forgotten(gone);
        request.topics = by_topic(wanted.iter().filter(|(key, now)| self.known.get(*key) != Some(*now)));
        self.known = wanted;
        Coverage::Incremental
    }

    /// An answer without an error of its own came, with this session id.
    pub fn answered(&mut self, session_id: i32) {
        if session_id == 0 {
            // The leader has no room for a session.
            self.id = 0;
            self.epoch = INITIAL_EPOCH;
        } else {
            self.id = session_id;
            self.epoch = next_epoch(self.epoch.max(INITIAL_EPOCH));
        }
    }

    /// The leader does not go along with this session: the next request closes it and opens another.
    pub fn restart(&mut self) {
        self.epoch = INITIAL_EPOCH;
        self.known.clear();
    }

    /// The leader does not know the session any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether the newest request, or the session, asks for this partition.
    pub fn asked_for(&self, key: &TopicPartition) -> bool {
        self.known.contains_key(key)
    }
}

fn by_topic<'a>(partitions: impl Iterator<Item = (&'a TopicPartition, &'a Wanted)>) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (key, wanted) in partitions {
        match topics.last_mut() {
            Some(topic) if topic.topic_id == wanted.topic_id && *topic.topic == *key.topic => {
                topic.partitions.push(wanted.partition.clone());
            }
            _ => topics.push(FetchTopic {
                topic: key.topic.clone().into(),
                topic_id: wanted.topic_id,
                partitions: vec![wanted.partition.clone()],
            }),
        }
    }
    topics
}

fn forgotten<'a>(partitions: impl Iterator<Item = (&'a TopicPartition, &'a Wanted)>) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (key, wanted) in partitions {
        match topics.last_mut() {
            Some(topic) if topic.topic_id == wanted.topic_id && *topic.topic == *key.topic => {
                topic.partitions.push(key.partition);
            }
            _ => topics.push(ForgottenTopic {
                topic: key.topic.clone().into(),
                topic_id: wanted.topic_id,
                partitions: vec![key.partition],
            }),
        }
    }
    topics
}
