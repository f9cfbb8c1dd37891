//! The topology file: from YAML text to an immutable [`Topology`] that is swapped whole.
//!
//! ```text
//! text --load--> tree --model--> typed values --validate--> Topology --diff--> TopologyHandle
//! ```
//!
//! Invariants:
//! * A `Topology` exists only for a text that passed every rule; a refused text is answered with all
//!   its problems, each with line and path.
//! * A bad, partial or older file never changes anything (I12): the last good topology stays in force
//!   and the refusal shows in [`Status`].
//!
//! Nothing here knows a runtime, a socket or a server: a topology can be loaded and tested anywhere.
//! Only `load` names the YAML library, only `watch` the file notifications; all but `file` and
//! `watch` are functions of their arguments.

mod diff;
mod field;
mod file;
mod handle;
mod load;
mod model;
mod placement;
mod problem;
mod ranges;
mod reload;
mod scalar;
mod suggest;
mod topology;
mod tree;
mod units;
mod validate;
mod watch;

pub use diff::{Change, Changes, Refusal, diff, diff_with_voters};
pub use file::{FILE_BYTES_MAX, LoadError};
pub use handle::{Status, TopologyHandle};
pub use placement::{Placement, where_json};
pub use problem::{Problem, Problems};
pub use topology::{Moves, Namespace, PhysicalGroup, Server, Topology, WriteOptions};
pub use units::{BadSize, Size, parse_time};
pub use watch::{WatchGuard, WatchOptions, watch};
