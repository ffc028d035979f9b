//! Settings of listeners, connections and requests.

use crate::config::setting::{Setting, settings};

settings! {
    /// Listeners, connections and requests.
    NETWORK:

    LISTENERS = Setting::string("listeners").default("PLAINTEXT://127.0.0.1:9092").per_broker()
        .differs("PLAINTEXT://:9092", "a broker without authentication should not be open to the network unless asked to be")
        .doc("Where the broker listens: `NAME://host:port` separated by commas. An empty host or `0.0.0.0` means every \
              interface, an IPv6 address stands in brackets, port 0 takes a free one. The name is a protocol or is \
              mapped to one by `listener.security.protocol.map`. Changed while the broker runs: new listeners are \
              opened, one whose address is another moves, and connections to what is no longer listed are closed.");

    ADVERTISED_LISTENERS = Setting::string("advertised.listeners").per_broker()
        .doc("The addresses that clients are told to connect to, when they differ from `listeners`. Needed when \
              listening on `0.0.0.0` or behind address translation: a client that reaches the bootstrap address \
              continues with these. Changed while the broker runs: it is registered anew, and clients and other \
              brokers hear of it. The listener between brokers and that of the control plane must stay.");

    LISTENER_SECURITY_PROTOCOL_MAP = Setting::string("listener.security.protocol.map").per_broker()
        .default("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")
        .doc("The security protocol of each listener name, `NAME:PROTOCOL` separated by commas. Only `PLAINTEXT` is \
              served by this version. That of a listener that is open cannot be changed while the broker runs.");

    INTER_BROKER_LISTENER_NAME = Setting::string("inter.broker.listener.name")
        .doc("The listener whose advertised address other brokers use. Unset: the one whose protocol is \
              `security.inter.broker.protocol`.");

    SECURITY_INTER_BROKER_PROTOCOL =
        Setting::choice("security.inter.broker.protocol", &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .default("PLAINTEXT")
        .doc("The protocol between brokers, when `inter.broker.listener.name` is unset.");

    CONTROL_PLANE_LISTENER_NAME = Setting::string("control.plane.listener.name")
        .doc("The listener on which the controller tells brokers what to do. It has a thread and limits of its own, so \
              that control requests never wait behind those of clients. It must be in `advertised.listeners` and be \
              another one than that between brokers. Unset: control requests come in on the listener between brokers.");

    SOCKET_REQUEST_MAX_BYTES = Setting::int("socket.request.max.bytes", 1).default("104857600")
        .doc("The largest request in bytes. A longer one closes its connection; memory is taken as bytes arrive, never \
              by the announced size.");

    SOCKET_SEND_BUFFER_BYTES = Setting::int("socket.send.buffer.bytes", -1).default("-1")
        .differs("102400", "a fixed buffer of 100 KiB limits one connection on long or fast links; the kernel sizes it better")
        .doc("The send buffer of each connection (`SO_SNDBUF`) in bytes; -1 leaves it to the operating system.");

    SOCKET_RECEIVE_BUFFER_BYTES = Setting::int("socket.receive.buffer.bytes", -1).default("-1")
        .differs("102400", "as for `socket.send.buffer.bytes`")
        .doc("The receive buffer of each connection (`SO_RCVBUF`) in bytes; -1 leaves it to the operating system.");

    SOCKET_LISTEN_BACKLOG_SIZE = Setting::int("socket.listen.backlog.size", 1).default("1024")
        .differs("50", "a restart makes all clients reconnect at once; with 50 places most of them wait for a retransmission")
        .doc("How many connections may wait to be accepted. The operating system may cap it (`net.core.somaxconn`).");

    CONNECTIONS_MAX_IDLE_MS = Setting::long("connections.max.idle.ms", i64::MIN).default("600000")
        .doc("Closes a connection on which nothing was asked for this long, in milliseconds; a negative value never does.");

    MAX_CONNECTIONS = Setting::int("max.connections", 0).default("2147483647").cluster_wide()
        .doc("How many connections the broker holds at once. When they are used up, new ones wait in the backlog.");

    MAX_CONNECTIONS_PER_IP = Setting::int("max.connections.per.ip", 0).default("2147483647").cluster_wide()
        .doc("How many connections one client address may hold at once; further ones are closed. 0 admits only the \
              addresses in `max.connections.per.ip.overrides`.");

    MAX_CONNECTIONS_PER_IP_OVERRIDES = Setting::string("max.connections.per.ip.overrides").default("").cluster_wide()
        .doc("Exceptions from `max.connections.per.ip`: `address:count` separated by commas; an IPv6 address stands in \
              brackets.");

    QUEUED_MAX_REQUEST_BYTES = Setting::long("queued.max.request.bytes", -1).default("-1")
        .doc("How many bytes of requests the broker holds in memory before it stops reading from connections; -1 means \
              no bound. At least `socket.request.max.bytes` when set.");

    FETCH_MAX_BYTES = Setting::int("fetch.max.bytes", 1024).default("57671680")
        .doc("The most bytes in one Fetch answer, whatever the client allows. The first batch is sent even if it is larger.");

    MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS =
        Setting::int("max.incremental.fetch.session.cache.slots", 0).default("1000")
        .doc("How many incremental fetch sessions (KIP-227) the broker remembers. A client without one sends its whole \
              list of partitions each time.");

    MAX_REQUEST_PARTITION_SIZE_LIMIT = Setting::int("max.request.partition.size.limit", 1).default("2000")
        .doc("The most partitions in one DescribeTopicPartitions answer.");

    CONTROLLER_SOCKET_TIMEOUT_MS = Setting::int("controller.socket.timeout.ms", 1).default("30000")
        .doc("How long a connection between the controller and a broker may take to be made, in milliseconds.");

    REQUEST_TIMEOUT_MS = Setting::int("request.timeout.ms", 1).default("30000")
        .doc("How long a broker waits for another one's answer before it asks again on a new connection, in milliseconds.");

    WHIMBREL_LIVENESS_ENABLE = Setting::bool("whimbrel.liveness.enable").default("true")
        .doc("Whether brokers watch each other, so that leaderships of one that is gone move within a second instead of \
              when its ZooKeeper session ends.");

    WHIMBREL_LIVENESS_INTERVAL_MS = Setting::int("whimbrel.liveness.interval.ms", 10).default("100")
        .doc("How often a broker asks another whether it lives, in milliseconds.");

    WHIMBREL_LIVENESS_SILENCE_MS = Setting::int("whimbrel.liveness.silence.ms", 50).default("1000")
        .doc("How long nothing must be heard of a broker, by the controller and by the others that it asks, until the \
              broker counts as gone, in milliseconds; at least four intervals. A broker whose host refuses connections is \
              gone at once.");
}
