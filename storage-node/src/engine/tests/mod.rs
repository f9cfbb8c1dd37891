//! Tests of the whole store against the file system.

mod compacting;
mod copies;
mod digesting;
mod failing;
mod files;
mod flushing;
mod model;
mod oracle;
mod reclaiming;
mod slicing;
mod support;
