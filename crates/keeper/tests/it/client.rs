//! The complete Rust client against the keeper.

use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode, Error, EventType};

use crate::support::TestKeeper;

const PERSISTENT: &zookeeper_client::CreateOptions<'static> = &CreateMode::Persistent.with_acls(Acls::anyone_all());
const EPHEMERAL: &zookeeper_client::CreateOptions<'static> = &CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const SEQUENTIAL: &zookeeper_client::CreateOptions<'static> =
    &CreateMode::PersistentSequential.with_acls(Acls::anyone_all());

async fn connect(keeper: &TestKeeper) -> Client {
    Client::connector()
        .with_session_timeout(Duration::from_secs(5))
        .connect(&keeper.address())
        .await
        .expect("a session")
}

#[tokio::test]
async fn nodes_are_created_read_changed_and_deleted() {
    let keeper = TestKeeper::start().await;
    let client = connect(&keeper).await;
    let (stat, _) = client.create("/a", b"one", PERSISTENT).await.expect("created");
    assert_eq!((stat.version, stat.data_length, stat.num_children), (0, 3, 0));
    assert_eq!(stat.czxid, stat.mzxid);
    let (data, same) = client.get_data("/a").await.expect("read");
    assert_eq!((data.as_slice(), same), (b"one".as_slice(), stat));
    let changed = client.set_data("/a", b"three", Some(0)).await.expect("changed");
    assert_eq!((changed.version, changed.data_length), (1, 5));
    assert_eq!(client.set_data("/a", b"", Some(0)).await, Err(Error::BadVersion));
    assert_eq!(client.create("/a", b"", PERSISTENT).await.map(drop), Err(Error::NodeExists));
    assert_eq!(client.create("/b/c", b"", PERSISTENT).await.map(drop), Err(Error::NoNode));
    client.create("/a/b", b"", PERSISTENT).await.expect("created");
    assert_eq!(client.delete("/a", None).await, Err(Error::NotEmpty));
    let (children, parent) = client.get_children("/a").await.expect("listed");
    assert_eq!((children, parent.cversion, parent.num_children), (vec!["b".to_owned()], 1, 1));
    client.delete("/a/b", None).await.expect("deleted");
    client.delete("/a", Some(1)).await.expect("deleted");
    assert_eq!(client.check_stat("/a").await, Ok(None));
    assert_eq!(client.list_children("/").await, Ok(vec!["zookeeper".to_owned()]));
}

#[tokio::test]
async fn sequential_names_count_all_children_ever_created() {
    let keeper = TestKeeper::start().await;
    let client = connect(&keeper).await;
    client.create("/s", b"", PERSISTENT).await.expect("created");
    let (_, first) = client.create("/s/n-", b"", SEQUENTIAL).await.expect("created");
    assert_eq!(first.to_string(), "0000000000");
    client.delete("/s/n-0000000000", None).await.expect("deleted");
    let (_, second) = client.create("/s/n-", b"", SEQUENTIAL).await.expect("created");
    assert_eq!(second.to_string(), "0000000001");
}

#[tokio::test]
async fn ephemerals_vanish_with_their_session_and_tell_watchers() {
    let keeper = TestKeeper::start().await;
    let watcher = connect(&keeper).await;
    let owner = connect(&keeper).await;
    owner.create("/e", b"", EPHEMERAL).await.expect("created");
    let (_, _, watch) = watcher.get_and_watch_data("/e").await.expect("read");
    drop(owner);
    let event = watch.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeDeleted, "/e"));
    assert_eq!(watcher.check_stat("/e").await, Ok(None));
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let keeper = TestKeeper::start().await;
    let client = connect(&keeper).await;
    let mut writer = client.new_multi_writer();
    writer.add_create("/t", b"", PERSISTENT).expect("added");
    writer.add_create("/t/u", b"", PERSISTENT).expect("added");
    writer.add_check_version("/t/u", 7).expect("added");
    writer.commit().await.expect_err("the version is wrong");
    assert_eq!(client.check_stat("/t").await, Ok(None));
    let mut writer = client.new_multi_writer();
    writer.add_create("/t", b"", PERSISTENT).expect("added");
    writer.add_set_data("/t", b"x", Some(0)).expect("added");
    assert_eq!(writer.commit().await.expect("committed").len(), 2);
    assert_eq!(client.get_data("/t").await.expect("read").0, b"x");
}

#[tokio::test]
async fn state_and_sessions_survive_a_restart() {
    let keeper = TestKeeper::start().await;
    let client = connect(&keeper).await;
    client.create("/kept", b"v", PERSISTENT).await.expect("created");
    client.create("/mine", b"", EPHEMERAL).await.expect("created");
    let before = keeper.handle.stats();
    let keeper = keeper.restart().await;
    let after = keeper.handle.stats();
    assert_eq!((before.znodes, before.sessions), (after.znodes, after.sessions));
    let second = connect(&keeper).await;
    assert_eq!(second.get_data("/kept").await.expect("read").0, b"v");
    assert!(second.check_stat("/mine").await.expect("read").is_some());
}
