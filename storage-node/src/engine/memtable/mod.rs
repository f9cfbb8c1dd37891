//! The memtable: objects found by hash, sorted only when a flush or a scan asks for order.
//!
//! Objects are never taken out; a table is dropped as a whole after its flush. So an object's
//! number is stable, and the ordered index of a scan is a list of numbers. An object lies in one slot
//! with its prefix and, if it has only one, its record ([`object`]); what is changed rarely, or by the
//! flush as well, lies apart by number.

mod arena;
mod fields;
mod index;
mod object;
mod table;
#[cfg(test)]
mod tests;

pub(super) use self::fields::{Entry, FieldIter, Fields};
pub(super) use self::index::KeyHasher;
pub(super) use self::table::{
    BELOW_ALIVE, BELOW_UNKNOWN, GarbageMark, Memtable, Node, Origin, clears, wins,
};
