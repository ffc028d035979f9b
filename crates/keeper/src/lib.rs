//! A server that speaks ZooKeeper's protocol, with a durable tree.
