use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use super::*;

fn layers(pairs: &[&str]) -> Layers {
    let mut layers = Layers::default();
    for pair in pairs {
        layers.set_pair(pair).unwrap();
    }
    layers
}

fn resolve(pairs: &[&str]) -> Result<BrokerConfig, ConfigError> {
    BrokerConfig::resolve(layers(pairs))
}

fn refusal(pairs: &[&str]) -> String {
    resolve(pairs).expect_err("should be refused").to_string()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn nothing_given_is_a_whole_configuration() {
    let config = resolve(&[]).unwrap();
    assert_eq!(config.listeners.bind[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(config.listeners.advertised, config.listeners.bind);
    assert_eq!(config.listeners.inter_broker, "PLAINTEXT");
    assert!(config.log.dirs[0].is_absolute() && config.log.dirs[0].ends_with("whimbrel-data"));
    assert_eq!(config.node_id, None);
    assert_eq!(config.coordination.zookeeper_connect, None);
    assert_eq!(config.topics.config.retention, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(config.topics.config.segment_age_max, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(config.topics.config.flush_messages, None);
    assert_eq!(config.topics.config.flush_interval, None);
}

#[test]
fn names_are_unique_and_no_key_is_both_known_and_foreign() {
    let mut names: Vec<&str> = table::all().map(|setting| setting.name).collect();
    names.extend(foreign::FAMILIES.iter().flat_map(|family| family.keys));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let variables: std::collections::BTreeSet<_> = table::all().map(Setting::environment_name).collect();
    assert_eq!(variables.len(), table::all().count());
}

#[test]
fn every_default_is_allowed_by_its_own_setting() {
    for setting in table::all() {
        for default in [setting.default, setting.default_alone].into_iter().flatten() {
            assert!(setting.kind.parse(default).is_ok(), "{}={default}", setting.name);
        }
        assert!(!setting.doc.is_empty(), "{} has no text", setting.name);
    }
    for setting in topic::TABLE {
        assert!(setting.kind.parse(setting.default).is_ok(), "{}={}", setting.name, setting.default);
    }
}

#[test]
fn topic_defaults_follow_from_the_broker_defaults() {
    for setting in topic::TABLE {
        assert_eq!(setting.broker_default(&Layers::default()).unwrap(), setting.default, "{}", setting.name);
    }
}

#[test]
fn later_sources_win() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "# a comment\nnum.partitions=2\nbroker.rack=a\nlog.dirs=/tmp/one").unwrap();
    let mut layers = Layers::default();
    layers.read_file(file.path()).unwrap();
    layers.read_environment([("WHIMBREL_NUM_PARTITIONS".into(), "3".into()), ("HOME".into(), "/".into())]);
    assert_eq!(BrokerConfig::resolve(layers.clone()).unwrap().topics.partitions, 3);
    layers.set_pair("num.partitions=4").unwrap();
    let config = BrokerConfig::resolve(layers).unwrap();
    assert_eq!(config.topics.partitions, 4);
    assert_eq!(config.rack.as_deref(), Some("a"));
}

#[test]
fn an_error_names_key_value_place_and_what_is_allowed() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "\nlog.segment.bytes=tiny").unwrap();
    let mut layers = Layers::default();
    layers.read_file(file.path()).unwrap();
    let text = BrokerConfig::resolve(layers).unwrap_err().to_string();
    assert_eq!(text, format!("log.segment.bytes=tiny ({}:2): must be 14 or more", file.path().display()));
    assert_eq!(
        refusal(&["unclean.leader.election.enable=yes"]),
        "unclean.leader.election.enable=yes (--set): must be true or false"
    );
    assert!(Layers::default().set_pair("nothing").is_err());
}

#[test]
fn unknown_and_foreign_keys_are_named() {
    let notices = layers(&["log.retention.hour=1", "num.io.threads=8", "ssl.keystore.location=/x"]).notices().unwrap();
    let texts: Vec<&str> = notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(texts[0].contains("unknown") && texts[0].ends_with("did you mean log.retention.hours?"), "{texts:?}");
    assert!(texts[1].starts_with("num.io.threads (--set) has no effect"), "{texts:?}");
    assert_eq!(notices[1].standing, Standing::Needless);
    assert_eq!(notices[2].standing, Standing::Unimplemented);
    assert_eq!(nearest::setting("completely.different.thing"), None);
}

#[test]
fn what_would_leave_the_broker_less_protected_stops_it() {
    assert!(layers(&["authorizer.class.name=kafka.security.authorizer.AclAuthorizer"]).notices().is_err());
    assert!(layers(&["authorizer.class.name="]).notices().is_ok());
    assert!(layers(&["process.roles=broker,controller"]).notices().is_err());
    assert!(refusal(&["listeners=SSL://127.0.0.1:9093"]).contains("TLS and SASL are not part"));
}

#[test]
fn listeners_are_checked_as_kafka_does() {
    let config = resolve(&[
        "listeners=IN://[::1]:0,out://0.0.0.0:9092",
        "advertised.listeners=IN://[::1]:0,OUT://broker.example:9092",
        "listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT",
        "inter.broker.listener.name=in",
    ])
    .unwrap();
    assert_eq!(config.listeners.bind[0].host, "::1");
    assert_eq!(config.listeners.bind[0].to_string(), "IN://[::1]:0");
    assert_eq!(config.listeners.advertised[1].host, "broker.example");
    assert_eq!(config.listeners.inter_broker, "IN");
    assert!(refusal(&["listeners=127.0.0.1:9092"]).contains("NAME://host:port"));
    assert!(refusal(&["listeners=PLAINTEXT://0.0.0.0:9092"]).contains("advertised.listeners"));
    assert!(refusal(&["listeners=OTHER://:9092"]).contains("listener.security.protocol.map"));
    assert!(refusal(&["listeners=PLAINTEXT://a:1,PLAINTEXT://b:2"]).contains("twice"));
    assert!(refusal(&["advertised.listeners=SSL://a:1"]).contains("one of the names in listeners"));
    assert!(refusal(&["advertised.listeners=PLAINTEXT://0.0.0.0:1"]).contains("clients can connect"));
    assert!(!resolve(&["listeners=PLAINTEXT://:9092"]).unwrap().listeners.advertised[0].host.is_empty());
}

#[test]
fn the_control_plane_is_an_advertised_listener_of_its_own() {
    let three = |name: &str| {
        let name = format!("control.plane.listener.name={name}");
        let listeners = "listeners=PLAINTEXT://:1,CONTROL://:2,HIDDEN://:3";
        let advertised = "advertised.listeners=PLAINTEXT://a:1,CONTROL://a:2";
        let map = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROL:PLAINTEXT,HIDDEN:PLAINTEXT";
        resolve(&[listeners, advertised, map, &name])
    };
    assert_eq!(three("control").unwrap().listeners.control(), "CONTROL");
    assert_eq!(three("").unwrap().listeners.control(), "PLAINTEXT");
    assert!(three("HIDDEN").unwrap_err().to_string().contains("advertised.listeners"));
    assert!(three("PLAINTEXT").unwrap_err().to_string().contains("another listener"));
}

#[test]
fn listeners_of_a_running_broker_come_go_and_move_but_those_of_the_cluster_stay() {
    let map = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT,CONTROL:PLAINTEXT";
    let bound = |listeners: &str| resolve(&[&format!("listeners={listeners}"), map]).unwrap().listeners;
    let before = bound("PLAINTEXT://a:1");
    // Kafka knows no other listener between brokers than the one with the protocol's name.
    let more = bound("OUT://a:2,PLAINTEXT://a:1");
    assert_eq!(more.inter_broker, "PLAINTEXT");
    for allowed in [&before, &more, &bound("PLAINTEXT://b:9")] {
        assert!(before.check_change(allowed).is_ok());
        assert!(allowed.check_change(&before).is_ok());
    }
    let without = more.check_change(&bound("OUT://a:2")).unwrap_err().to_string();
    assert_eq!(
        without,
        "advertised.listeners=OUT://a:2 (dynamic configuration): must be a list with PLAINTEXT, the listener between \
         brokers, which stays while the broker runs"
    );
    let mut secure = before.clone();
    secure.bind[0].protocol = SecurityProtocol::SaslPlaintext;
    let other = before.check_change(&secure).unwrap_err().to_string();
    assert!(other.starts_with("listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT"), "{other}");
    let controlled = ["listeners=PLAINTEXT://a:1,CONTROL://a:2", map, "control.plane.listener.name=CONTROL"];
    let alone = self::map(&[("listeners", "PLAINTEXT://a:1")]);
    let without = resolve(&controlled).unwrap().with_dynamic(&BTreeMap::new(), &alone).unwrap_err().to_string();
    assert!(without.starts_with("control.plane.listener.name=CONTROL"), "{without}");
    let nowhere = self::map(&[("advertised.listeners", "")]);
    assert!(resolve(&["advertised.listeners="]).unwrap().with_dynamic(&BTreeMap::new(), &nowhere).is_err());
}

#[test]
fn retention_of_the_finest_unit_wins() {
    let retention = |pairs: &[&str]| resolve(pairs).unwrap().topics.config.retention;
    assert_eq!(retention(&["log.retention.hours=1"]), Some(Duration::from_secs(3600)));
    assert_eq!(retention(&["log.retention.hours=1", "log.retention.minutes=2"]), Some(Duration::from_secs(120)));
    assert_eq!(retention(&["log.retention.minutes=2", "log.retention.ms=5"]), Some(Duration::from_millis(5)));
    assert_eq!(retention(&["log.retention.hours=-1"]), None);
    assert!(refusal(&["log.retention.minutes=0"]).starts_with("log.retention.minutes=0 (--set)"));
}

#[test]
fn broker_ids_keep_to_their_ranges() {
    assert_eq!(resolve(&["broker.id=7"]).unwrap().node_id.map(|id| id.0), Some(7));
    assert_eq!(resolve(&["node.id=7"]).unwrap().node_id.map(|id| id.0), Some(7));
    assert!(refusal(&["node.id=7", "broker.id=8"]).contains("the same as broker.id"));
    assert!(refusal(&["broker.id=1001"]).contains("reserved.broker.max.id"));
    assert!(resolve(&["broker.id=1001", "broker.id.generation.enable=false"]).is_ok());
    assert!(refusal(&["broker.id.generation.enable=false"]).contains("0 or more"));
}

#[test]
fn alone_the_offsets_topic_has_one_replica() {
    assert_eq!(resolve(&[]).unwrap().offsets.topic_replication_factor, 1);
    assert_eq!(resolve(&["zookeeper.connect=zk:2181"]).unwrap().offsets.topic_replication_factor, 3);
    assert_eq!(resolve(&["offsets.topic.replication.factor=2"]).unwrap().offsets.topic_replication_factor, 2);
}

#[test]
fn a_topic_overrides_the_broker() {
    let layers = layers(&["log.retention.ms=1000", "min.insync.replicas=2"]);
    let overrides = map(&[("retention.ms", "-1"), ("cleanup.policy", "compact, delete"), ("someday.new", "x")]);
    let config = TopicConfig::resolve(&layers, &overrides).unwrap();
    assert_eq!(config.retention, None);
    assert!(config.cleanup_compact && config.cleanup_delete);
    assert_eq!(config.min_insync_replicas, 2);
    let unknown = TopicConfig::validate(&layers, &map(&[("retention.mss", "1")])).unwrap_err();
    assert_eq!(unknown.to_string(), "unknown configuration retention.mss; did you mean retention.ms?");
    assert!(TopicConfig::validate(&layers, &map(&[("remote.storage.enable", "true")])).is_err());
    assert!(
        TopicConfig::validate(&layers, &map(&[("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "8")]))
            .is_err()
    );
}

#[test]
fn dynamic_values_win_and_the_unchangeable_stays() {
    let config = resolve(&["message.max.bytes=100", "num.partitions=2"]).unwrap();
    let of_all = map(&[("message.max.bytes", "200"), ("num.partitions", "9"), ("max.connections", "5")]);
    let of_this = map(&[("message.max.bytes", "300")]);
    let changed = config.with_dynamic(&of_all, &of_this).unwrap();
    assert_eq!(changed.topics.config.message_bytes_max, 300);
    assert_eq!(changed.topics.partitions, 2);
    assert_eq!(changed.network.connections_max, 5);
    assert!(matches!(check_dynamic("num.partitions", "3", true), Err(ConfigError::ReadOnly { .. })));
    assert!(matches!(check_dynamic("listeners", "PLAINTEXT://:1", true), Err(ConfigError::PerBrokerOnly { .. })));
    assert!(matches!(check_dynamic("log.segment.bytes", "1", true), Err(ConfigError::Invalid { .. })));
    assert!(check_dynamic("log.segment.bytes", "100", true).is_ok());
}

#[test]
fn descriptions_name_every_source() {
    let config = resolve(&["log.retention.hours=1"]).unwrap();
    let changed = config.with_dynamic(&map(&[("log.retention.ms", "77")]), &BTreeMap::new()).unwrap();
    let topic = describe_topic(&changed.layers, &map(&[("retention.ms", "5")]));
    let entry = topic.iter().find(|entry| entry.name == "retention.ms").unwrap();
    assert_eq!((entry.value.as_deref(), entry.source), (Some("5"), Source::DynamicTopic));
    let synonyms: Vec<(&str, &str, i8)> =
        entry.synonyms.iter().map(|s| (s.name, s.value.as_deref().unwrap(), s.source as i8)).collect();
    let expected = [
        ("retention.ms", "5", 1),
        ("log.retention.ms", "77", 3),
        ("log.retention.hours", "1", 4),
        ("log.retention.hours", "168", 5),
    ];
    assert_eq!(synonyms, expected);
    let defaults = describe_broker_defaults(&changed.layers);
    assert_eq!(defaults.iter().map(|entry| entry.name).collect::<Vec<_>>(), ["log.retention.ms"]);
    let broker = describe_broker(&changed.layers);
    let entry = broker.iter().find(|entry| entry.name == "num.partitions").unwrap();
    assert!(entry.read_only && entry.source == Source::Default && entry.type_code == 3);
}

#[test]
fn documentation_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = docs::page();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is out of date; write it with WRITE_DOCS=1 cargo test -p whimbrel-broker documentation"
    );
}
