//! The library behind `fdht`: a whole cluster on one machine (`dev`), the two server roles, operator
//! commands that only talk to the servers from outside (admin HTTP, RESP, the node protocol), and
//! measuring tools.
//!
//! Only `roles` links the servers' own code, and `binlog`, which reads what a node wrote with the
//! node's own reader (`binlog/format.rs` names it). Everything else here would work against a server
//! written by somebody else, and that is what keeps it honest.

mod bench;
mod binlog;
mod cli;
mod clock;
mod cluster;
mod console;
mod ctl;
mod dev;
mod failure;
mod record;
mod resp;
mod roles;

pub use cli::main;
pub use record::check_record_line;
pub use resp::check_reply;
