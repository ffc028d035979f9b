//! The channel to another broker, which is a socket of the test's.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use whimbrel_model::ControllerEpoch;
use whimbrel_state::controller::control::{ControlHeader, SecurityProtocol, StopReplicaPartition, StopReplicaTopic};
use whimbrel_wire::{Frame, Reader, RequestHeader, StopReplicaResponse as WireStopReplicaResponse};

use super::*;

type Seen = (i16, i32);

fn header(broker_epoch: BrokerEpoch) -> ControlHeader {
    ControlHeader { controller_id: NodeId(1), controller_epoch: ControllerEpoch(4), broker_epoch }
}

/// Deletes partition `index` of topic `t`.
fn stop(index: i32) -> Request {
    let partition = StopReplicaPartition { index, leader_epoch: whimbrel_model::LeaderEpoch(0), delete: true };
    let topic = StopReplicaTopic { name: "t".into(), partitions: vec![partition] };
    Request::StopReplica(StopReplicaRequest { header: header(BrokerEpoch(5)), topics: vec![topic] })
}

fn update() -> Request {
    let (topics, live_brokers) = (Vec::new().into(), Vec::new().into());
    // As the controller makes it for all brokers: whose epoch is in it does not matter.
    Request::UpdateMetadata(UpdateMetadataRequest { header: header(BrokerEpoch(-1)), topics, live_brokers })
}

/// The next request on a connection: its key, and the partition it deletes, or the low part of its broker epoch.
async fn read_request(stream: &mut TcpStream) -> std::io::Result<(RequestHeader, Seen)> {
    let size = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(size).expect("a size")];
    stream.read_exact(&mut frame).await?;
    let frame = Bytes::from(frame);
    let mut reader = Reader::new(&frame);
    let header = RequestHeader::decode(&mut reader).expect("a header");
    let detail = if header.api_key == 5 {
        let request = WireStopReplica::decode(&mut reader, header.api_version).expect("StopReplica");
        request.topic_states[0].partition_states[0].partition_index
    } else {
        let request = WireUpdateMetadata::decode(&mut reader, header.api_version).expect("UpdateMetadata");
        i32::try_from(request.broker_epoch).expect("small")
    };
    let seen = (header.api_key, detail);
    Ok((header, seen))
}

async fn answer(stream: &mut TcpStream, header: &RequestHeader) {
    let id = header.correlation_id;
    let frame = if header.api_key == 5 {
        Frame::response::<WireStopReplica>(&WireStopReplicaResponse::default(), header.api_version, id)
    } else {
        Frame::response::<WireUpdateMetadata>(&wire::UpdateMetadataResponse::default(), header.api_version, id)
    };
    let frame = frame.expect("encodes").into_memory().expect("in memory");
    stream.write_all(&frame.into_bytes()).await.expect("written");
}

async fn broker() -> (TcpListener, Broker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = Endpoint {
        listener: "CONTROL".into(),
        protocol: SecurityProtocol::Plaintext,
        host: "127.0.0.1".into(),
        port: i32::from(listener.local_addr().expect("bound").port()),
    };
    let broker = Broker {
        id: NodeId(2),
        epoch: BrokerEpoch(5),
        endpoints: vec![endpoint],
        rack: None,
        intact_since: BrokerEpoch(5),
        running_since: BrokerEpoch(5),
    };
    (listener, broker)
}

async fn channel() -> (TcpListener, Channel, mpsc::UnboundedReceiver<Event>) {
    let (listener, broker) = broker().await;
    let (events, results) = mpsc::unbounded_channel();
    let options = PeerOptions::new("1");
    assert!(Channel::remote(&broker, "OTHER", options.clone(), Arc::default(), events.clone()).is_none());
    let channel = Channel::remote(&broker, "CONTROL", options, Arc::default(), events).expect("has the listener");
    (listener, channel, results)
}

#[tokio::test]
async fn requests_come_in_order_and_each_until_it_is_answered() {
    let (listener, channel, mut results) = channel().await;
    channel.send(stop(0));
    channel.send(update());
    channel.send(stop(1));
    channel.send(Request::Barrier);
    // The first connection ends without an answer, the second after one.
    let (mut first, _) = listener.accept().await.expect("a connection");
    assert_eq!(read_request(&mut first).await.expect("a request").1, (5, 0));
    drop(first);
    let (mut second, _) = listener.accept().await.expect("a connection");
    let (header, seen) = read_request(&mut second).await.expect("a request");
    assert_eq!(seen, (5, 0), "the same again");
    answer(&mut second, &header).await;
    assert_eq!(read_request(&mut second).await.expect("a request").1, (6, 5), "with the receiver's epoch");
    drop(second);
    let (mut third, _) = listener.accept().await.expect("a connection");
    for expected in [(6, 5), (5, 1)] {
        let (header, seen) = read_request(&mut third).await.expect("a request");
        assert_eq!(seen, expected);
        answer(&mut third, &header).await;
    }
    for index in [0, 1] {
        match results.recv().await {
            Some(Event::Input(Input::StopReplicaDone { broker: NodeId(2), deleted, .. })) => {
                assert_eq!(deleted, [TopicPartition::new("t", index)]);
            }
            _ => panic!("not the result of the request for partition {index}"),
        }
    }
    assert!(matches!(results.recv().await, Some(Event::Settled)));
}

#[tokio::test]
async fn a_broker_that_is_back_and_does_not_answer_is_asked_again_on_a_new_connection() {
    let (listener, channel, _results) = channel().await;
    channel.send(stop(0));
    let (mut silent, _) = listener.accept().await.expect("a connection");
    assert_eq!(read_request(&mut silent).await.expect("a request").1, (5, 0));
    channel.reconnect();
    let (mut next, _) = listener.accept().await.expect("a connection");
    assert_eq!(read_request(&mut next).await.expect("a request").1, (5, 0));
    assert!(read_request(&mut silent).await.is_err(), "the old one is closed");
}

#[tokio::test]
async fn a_broker_at_another_endpoint_is_asked_again_there() {
    let (listener, channel, mut results) = channel().await;
    channel.send(stop(0));
    let (mut earlier, _) = listener.accept().await.expect("a connection");
    assert_eq!(read_request(&mut earlier).await.expect("a request").1, (5, 0));
    let (elsewhere, moved) = broker().await;
    channel.move_to(&moved, "CONTROL");
    let (mut there, _) = elsewhere.accept().await.expect("a connection");
    let (header, seen) = read_request(&mut there).await.expect("a request");
    assert_eq!(seen, (5, 0));
    answer(&mut there, &header).await;
    assert!(read_request(&mut earlier).await.is_err(), "the old one is closed");
    assert!(matches!(results.recv().await, Some(Event::Input(Input::StopReplicaDone { .. }))));
    // While nothing is under way, the next request finds out.
    let (last, moved) = broker().await;
    channel.move_to(&moved, "CONTROL");
    channel.send(stop(1));
    let (mut there, _) = last.accept().await.expect("a connection");
    assert_eq!(read_request(&mut there).await.expect("a request").1, (5, 1));
}

#[tokio::test]
async fn a_channel_that_is_closed_says_nothing_more() {
    let (listener, channel, mut results) = channel().await;
    channel.send(stop(0));
    let (mut connection, _) = listener.accept().await.expect("a connection");
    let (_, seen) = read_request(&mut connection).await.expect("a request");
    assert_eq!(seen, (5, 0));
    drop(channel);
    assert!(read_request(&mut connection).await.is_err(), "the connection ends");
    assert!(results.recv().await.is_none());
}
