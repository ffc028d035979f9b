//! A disk that waits, and one that fails, under a running keeper.

use std::net::SocketAddr;
use std::path::PathBuf;

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    Works,
    /// Whoever flushes waits until this changes.
    Waits,
    Fails,
}

#[derive(Debug, Default)]
struct Control {
    disk: Mutex<Option<Disk>>,
    changed: Condvar,
}

impl Control {
    fn set(&self, disk: Disk) {
        *self.disk.lock() = Some(disk);
        self.changed.notify_all();
    }

    fn flush(&self) -> Result<(), std::io::Error> {
        let mut disk = self.disk.lock();
        while *disk == Some(Disk::Waits) {
            self.changed.wait(&mut disk);
        }
        match *disk {
            Some(Disk::Fails) => Err(std::io::Error::other("the disk failed")),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct ControlledDisk {
    memory: InMemoryBackend,
    control: Arc<Control>,
}

impl StorageBackend for ControlledDisk {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.control.flush()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.memory.write(offset, data)
    }
}

async fn keeper() -> (KeeperHandle, Arc<Control>) {
    let control = Arc::new(Control::default());
    let disk = ControlledDisk { memory: InMemoryBackend::new(), control: Arc::clone(&control) };
    let database = Database::builder().create_with_backend(disk).expect("a database in memory");
    let (store, loaded) = Store::on(database, PathBuf::from("memory")).expect("a new store");
    let config = KeeperConfig::new("memory", SocketAddr::from(([127, 0, 0, 1], 0)));
    (Keeper::serve(Arc::new(config), store, loaded).await.expect("started"), control)
}

/// Just enough of a client.
struct Client(TcpStream);

impl Client {
    async fn connect(keeper: &KeeperHandle) -> Self {
        let mut client = Self(TcpStream::connect(keeper.local_addr()).await.expect("the keeper listens"));
        let mut request = vec![0; 28];
        request[12..16].copy_from_slice(&10_000_i32.to_be_bytes());
        request[24..].copy_from_slice(&0_i32.to_be_bytes());
        client.send(&request).await;
        client.receive().await.expect("a session");
        client
    }

    async fn send(&mut self, body: &[u8]) {
        let length = (body.len() as i32).to_be_bytes();
        self.0.write_all(&[&length, body].concat()).await.expect("sent");
    }

    async fn request(&mut self, xid: i32, code: i32, body: &[u8]) {
        self.send(&[&xid.to_be_bytes(), &code.to_be_bytes(), body].concat()).await;
    }

    async fn create(&mut self, xid: i32, path: &str) {
        let acl = [&[0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 5][..], b"world", &[0, 0, 0, 6], b"anyone"].concat();
        let path = [&(path.len() as i32).to_be_bytes(), path.as_bytes()].concat();
        self.request(xid, 1, &[&path[..], &[0; 4], &acl, &[0; 4]].concat()).await;
    }

    async fn exists(&mut self, xid: i32, path: &str, watch: bool) {
        let path = [&(path.len() as i32).to_be_bytes(), path.as_bytes(), &[u8::from(watch)]].concat();
        self.request(xid, 3, &path).await;
    }

    /// Request id and error of the next frame, or `None` at the end.
    async fn receive(&mut self) -> Option<(i32, i32)> {
        let length = self.0.read_i32().await.ok()?;
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).await.ok()?;
        let int = |at: usize| i32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
        Some((int(0), int(12)))
    }

    /// Whether nothing has come. What is asked of the keeper before was carried out, as the handle can tell.
    fn has_nothing(&self) -> bool {
        matches!(self.0.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_write_before_it_is_durable() {
    let (keeper, control) = keeper().await;
    let (mut writer, mut reader, mut watcher) =
        (Client::connect(&keeper).await, Client::connect(&keeper).await, Client::connect(&keeper).await);
    watcher.exists(1, "/a", true).await;
    assert_eq!(watcher.receive().await, Some((1, -101)));
    control.set(Disk::Waits);
    let before = keeper.stats().requests;
    writer.create(1, "/a").await;
    until(|| keeper.stats().requests == before + 1).await;
    reader.exists(1, "/a", false).await;
    until(|| keeper.stats().requests == before + 2).await;
    // The keeper has carried out both; the answers wait for the disk.
    assert_eq!(keeper.stats().znodes, 5);
    assert!(writer.has_nothing() && reader.has_nothing() && watcher.has_nothing());
    control.set(Disk::Works);
    assert_eq!(writer.receive().await, Some((1, 0)));
    assert_eq!(reader.receive().await, Some((1, 0)));
    assert_eq!(watcher.receive().await, Some((-1, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_disk_ends_every_connection_without_an_answer() {
    let (mut keeper, control) = keeper().await;
    let (mut writer, mut reader) = (Client::connect(&keeper).await, Client::connect(&keeper).await);
    control.set(Disk::Waits);
    let before = keeper.stats().requests;
    writer.create(1, "/a").await;
    until(|| keeper.stats().requests == before + 1).await;
    reader.exists(1, "/a", false).await;
    until(|| keeper.stats().requests == before + 2).await;
    control.set(Disk::Fails);
    assert_eq!(writer.receive().await, None);
    assert_eq!(reader.receive().await, None);
    assert!(keeper.ended().await.is_err());
    assert!(keeper.stats().failed);
    let mut late = TcpStream::connect(keeper.local_addr()).await.expect("it still listens");
    assert_eq!(late.read(&mut [0]).await.unwrap_or(0), 0, "but serves nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_arrive_during_a_commit_share_the_next_one() {
    let (keeper, control) = keeper().await;
    let mut writer = Client::connect(&keeper).await;
    let before = keeper.stats();
    control.set(Disk::Waits);
    for n in 0..100 {
        writer.create(n, &format!("/n{n}")).await;
    }
    until(|| keeper.stats().requests == before.requests + 100).await;
    control.set(Disk::Works);
    for n in 0..100 {
        assert_eq!(writer.receive().await, Some((n, 0)));
    }
    assert!(keeper.stats().commits <= before.commits + 3, "{before:?} {:?}", keeper.stats());
}
