//! DeleteTopics, API 20.

use whimbrel_model::Uuid;

use crate::Str;

message! {
    /// Deletes topics by name or, from 6, by id.
    DeleteTopicsRequest, valid "0-6", flexible "4+" {
        topics: Vec<DeleteTopicState>, "6+";
        topic_names: Vec<Str>, "0-5", ignorable true;
        /// How long to wait for the work to be done.
        timeout_ms: i32, "0+";
    }

    /// A topic, by name or id.
    DeleteTopicState {
        name: Option<Str>, "6+", nullable "6+", default None;
        topic_id: Uuid, "6+";
    }
}

message! {
    /// Result for each topic.
    DeleteTopicsResponse, valid "0-6", flexible "4+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "1+", ignorable true;
        responses: Vec<DeletableTopicResult>, "0+";
    }

    /// One topic.
    DeletableTopicResult {
        name: Option<Str>, "0+", nullable "6+";
        topic_id: Uuid, "6+", ignorable true;
        error_code: i16, "0+";
        error_message: Option<Str>, "5+", nullable "5+", default None, ignorable true;
    }
}
