//! Tests of the whole store against the file system.

mod copies;
mod digesting;
mod files;
mod flushing;
mod model;
mod oracle;
mod reclaiming;
mod slicing;
mod support;
