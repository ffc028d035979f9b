//! The connections of one client of the load, by broker. They are made on threads of their own: a broker that does not
//! answer must not keep the client from the others.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::PollFlags;

use super::link::{Link, LinkError, wait};

/// How long a broker has to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two attempts.
const RECONNECT_NS: u64 = 20_000_000;
/// While a connection is being made, it is looked for this often.
const CONNECTING_WAIT: Duration = Duration::from_millis(1);
const STACK_BYTES: usize = 128 * 1024;

/// A connection by its broker's id.
pub struct Links {
    slots: BTreeMap<i32, Slot>,
    made: mpsc::Receiver<Made>,
    maker: mpsc::Sender<Made>,
}

type Made = (i32, io::Result<Link<()>>);

enum Slot {
    Connecting,
    Open(Link<()>),
    /// Not tried again before this time.
    Failed(u64),
}

impl Links {
    pub fn new() -> Self {
        let (maker, made) = mpsc::channel();
        Self { slots: BTreeMap::new(), made, maker }
    }

    /// The open connection to a broker.
    #[inline]
    pub fn get(&mut self, broker: i32) -> Option<&mut Link<()>> {
        match self.slots.get_mut(&broker) {
            Some(Slot::Open(link)) => Some(link),
            _ => None,
        }
    }

    /// Begins to connect, unless that is done already or was tried just now.
    pub fn connect(&mut self, broker: i32, address: &str, now: u64) {
        let is_due = match self.slots.get(&broker) {
            None => true,
            Some(Slot::Failed(until)) => *until <= now,
            Some(Slot::Connecting | Slot::Open(_)) => false,
        };
        if !is_due {
            return;
        }
        let (maker, address) = (self.maker.clone(), address.to_owned());
        let thread = std::thread::Builder::new().name("bench-connect".into()).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            // The client may be gone when the connection is there.
            let _ = maker.send((broker, Link::connect(&address, CONNECT_TIMEOUT)));
        });
        let slot = if started.is_ok() { Slot::Connecting } else { Slot::Failed(now + RECONNECT_NS) };
        self.slots.insert(broker, slot);
    }

    /// Takes over the connections that were made; those that could not be made are told.
    pub fn take_made(&mut self, now: u64, mut each: impl FnMut(i32, Result<(), io::Error>)) {
        while let Ok((broker, link)) = self.made.try_recv() {
            match link {
                Ok(link) => {
                    self.slots.insert(broker, Slot::Open(link));
                    each(broker, Ok(()));
                }
                Err(error) => {
                    self.slots.insert(broker, Slot::Failed(now + RECONNECT_NS));
                    each(broker, Err(error));
                }
            }
        }
    }

    /// Closes the connection to a broker.
    pub fn close(&mut self, broker: i32) {
        self.slots.remove(&broker);
    }

    fn is_connecting(&self) -> bool {
        self.slots.values().any(|slot| matches!(slot, Slot::Connecting))
    }

    /// Waits until something arrives, or until `until` is over, and reads and writes what can be. Returns the brokers
    /// that something came from, or whose connections are lost.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn wait(&mut self, until: Duration) -> io::Result<Vec<(i32, Result<(), LinkError>)>> {
        let until = if self.is_connecting() { until.min(CONNECTING_WAIT) } else { until };
        let open = |(broker, slot): (&i32, &mut Slot)| match slot {
            Slot::Open(_) => Some(*broker),
            _ => None,
        };
        let brokers: Vec<i32> = self.slots.iter_mut().filter_map(open).collect();
        let ready = {
            let links = self.slots.values().filter_map(|slot| match slot {
                Slot::Open(link) => Some(link.poll_fd()),
                _ => None,
            });
            let mut fds: Vec<_> = links.collect();
            wait(&mut fds, until)?;
            fds.iter().map(rustix::event::PollFd::revents).collect::<Vec<_>>()
        };
        let mut came = Vec::new();
        for (broker, events) in brokers.into_iter().zip(ready).filter(|(_, events)| !events.is_empty()) {
            let Some(link) = self.get(broker) else { continue };
            let mut result = Ok(());
            if events.contains(PollFlags::OUT) {
                result = link.flush();
            }
            // An error or a hang-up is told by the next read.
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                result = result.and_then(|()| link.receive());
            }
            came.push((broker, result));
        }
        Ok(came)
    }
}
