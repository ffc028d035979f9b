//! State machines without I/O: groups, controller, partitions, fetch sessions.
