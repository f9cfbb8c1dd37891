//! `fdht verify`: whether all servers of each group hold equal data (I4).
//!
//! Every server is asked for digests of each lane, at one time for all of them, so that expired
//! records do not count. Where digests differ, keys are compared. The cluster goes on writing
//! meanwhile, so a difference counts only if it outlasts what was on its way: once both servers have
//! applied everything that either of them had applied at the first look, the second look decides.

mod compare;
mod judge;
mod positions;
mod report;
mod run;
mod side;

pub(crate) use run::{VerifyArgs, verify};
