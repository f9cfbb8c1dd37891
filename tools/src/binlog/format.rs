//! What the commands use of the node's own code: its reader of log files. The only file here that
//! names that crate.

pub(super) use storage_node::binlog::{
    Content, Flaw, Found, Frame, Inspector, LogError, LogIdentity, LogPosition, RealFs, SegmentFile,
};
