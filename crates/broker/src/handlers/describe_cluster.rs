//! DescribeCluster, versions 0 to 2 (KIP-700, KIP-919, KIP-1073).

use whimbrel_model::ErrorCode;
use whimbrel_wire::describe_cluster::DescribeClusterBroker;
use whimbrel_wire::{DescribeClusterRequest, DescribeClusterResponse, Str};

use super::{RequestContext, authorized_operations};

/// The endpoints that clients talk to; the only ones there are without KRaft.
const BROKERS: i8 = 1;
/// Those of KRaft's controllers.
const CONTROLLERS: i8 = 2;

pub async fn handle(
    context: &RequestContext,
    request: DescribeClusterRequest,
    _version: i16,
) -> DescribeClusterResponse {
    let broker = context.broker();
    match request.endpoint_type {
        BROKERS => {}
        CONTROLLERS => {
            return refuse(ErrorCode::MismatchedEndpointType, "this is a broker; the cluster has no KRaft controllers");
        }
        _ => return refuse(ErrorCode::UnsupportedEndpointType, "unknown type of endpoint"),
    }
    let image = broker.metadata.image();
    // Brokers that cannot be reached by the listener of this client are left out; fenced ones exist only in KRaft.
    let brokers = image.brokers.values().filter_map(|broker| {
        let endpoint = broker.endpoint(&context.connection.listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.0,
            host: Str::from(endpoint.host.clone()),
            port: endpoint.port,
            rack: broker.rack.clone().map(Str::from),
            is_fenced: false,
        })
    });
    DescribeClusterResponse {
        cluster_id: Str::from(broker.cluster_id.clone()),
        controller_id: image.controller.map_or(-1, |(id, _)| id.0),
        brokers: brokers.collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            authorized_operations::CLUSTER
        } else {
            authorized_operations::NOT_ASKED
        },
        ..Default::default()
    }
}

fn refuse(code: ErrorCode, message: &'static str) -> DescribeClusterResponse {
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(Str::from_static(message)),
        ..Default::default()
    }
}
