//! Files and directories as the node's storage uses them: the one seam between it and a disk.
//!
//! The log, the redb files of the groups, the control file and the data directory itself go through
//! [`Fs`], so that tests can put all of them on one simulated disk ([`MemFs`]) and cut its power, let
//! it fail, lie or fill up. Nothing in here knows what the bytes mean.

mod mem;
mod mem_content;
mod mem_names;
mod real;
mod seam;

pub use mem::{MemFs, PowerCut};
pub use real::RealFs;
pub use seam::{Fs, FsFile, FsLock, is_no_space, parent};
