//! What the machines want done.

use std::ops::Range;

use common::ids::{Epoch, Lane, LogicGroup, NodeId};

use super::message::{Message, Term};
use super::position::{Head, Position, Span};
use super::register::Register;
use super::register::voter::Slot;

/// Carried out in the order they were pushed; what a `Store…` names is durable before anything
/// behind it is begun. Many of them share one fsync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send to a node; it may be this one.
    Send(NodeId, Message),
    /// Make a voter's state of a group durable.
    StoreSlot(LogicGroup, Slot),
    /// Make durable that this server acknowledges nothing of the lane below this epoch.
    StorePromise(Lane, Epoch),
    /// Append these records of the received ones to the log.
    Append(Lane, Range<usize>),
    /// Append the first record of this leader's stream, and make the log durable soon.
    AppendFirst(Lane, Head),
    /// The lane is official up to here: apply, answer.
    Official(Lane, Position),
    /// Held but void: these records are never applied.
    Void(Lane, Vec<Span>),
    /// This server leads the lane: its lease is wanted from now on.
    Leads(Term),
    /// This server serves the lane, as far as its lease allows.
    Serves(Term),
    /// Writes and reads of the lane wait: a hand-over is under way.
    Holds(Term),
    /// This server does not serve the lane in that term any more; waiting requests are sent back.
    Ended(Term),
    /// This server holds all official records of the lane again.
    CaughtUp(Lane),
    /// A newer register is known.
    NewRegister(Register),
    /// This server leads nothing and is out of R: it may stop.
    Departed(LogicGroup),
}
