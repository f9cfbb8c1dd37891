//! The memory of a node's memtables, counted for all workers together: when a flush begins and whose
//! it is, and how fast writers may go on meanwhile.
//!
//! `marks` is the law, `drain` how fast flushes are, `flush_turn` whose flush is next, `pace` holds the
//! answers of one worker's writes back; all of them only compute. `budget` is what the threads share.

mod budget;
mod drain;
mod flush_turn;
mod marks;
mod pace;

pub(crate) use budget::MemoryBudget;
pub use drain::Drain;
pub(crate) use flush_turn::{FlushTurn, FlushView, FlushWhy};
pub use marks::Marks;
pub(crate) use pace::{Pace, Place};
