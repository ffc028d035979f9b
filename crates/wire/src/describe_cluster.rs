//! DescribeCluster, API 60.

use crate::Str;

message! {
    /// Asks for the brokers or controllers of the cluster (KIP-700, KIP-919).
    DescribeClusterRequest, valid "0-2", flexible "0+" {
        include_cluster_authorized_operations: bool, "0+";
        /// 1 brokers, 2 controllers.
        endpoint_type: i8, "1+", default 1;
        /// Whether brokers that may not serve are listed too.
        include_fenced_brokers: bool, "2+";
    }
}

message! {
    /// The nodes, and which of them is the controller.
    DescribeClusterResponse, valid "0-2", flexible "0+" {
        /// How long the client should pause to stay within its quota.
        throttle_time_ms: i32, "0+";
        error_code: i16, "0+";
        error_message: Option<Str>, "0+", nullable "0+", default None;
        /// 1 brokers, 2 controllers.
        endpoint_type: i8, "1+", default 1;
        cluster_id: Str, "0+";
        controller_id: i32, "0+", default -1;
        brokers: Vec<DescribeClusterBroker>, "0+";
        /// Bit set of permitted operations; -2147483648 if not asked for.
        cluster_authorized_operations: i32, "0+", default i32::MIN;
    }

    /// One node.
    DescribeClusterBroker {
        broker_id: i32, "0+";
        host: Str, "0+";
        port: i32, "0+";
        rack: Option<Str>, "0+", nullable "0+", default None;
        is_fenced: bool, "2+";
    }
}
