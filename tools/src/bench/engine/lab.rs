//! Both sides with all keys in their files, made when the first case needs them and kept for the next
//! ones.

use super::node::Node;
use super::place::Place;
use super::plain::Plain;
use super::sizes::Sizes;
use crate::bench::BenchError;
use crate::console;

/// What the cases work on.
pub(super) struct Lab<'a> {
    pub(super) place: &'a Place,
    pub(super) sizes: &'a Sizes,
    node: Option<Node>,
    plain: Option<Plain>,
}

impl<'a> Lab<'a> {
    /// Nothing is loaded yet.
    pub(super) fn new(place: &'a Place, sizes: &'a Sizes) -> Self {
        Self { place, sizes, node: None, plain: None }
    }

    /// The engine.
    pub(super) fn node(&mut self) -> Result<&mut Node, BenchError> {
        let node = match self.node.take() {
            Some(node) => node,
            None => {
                console::warn(format!("loading {} keys into the engine", self.sizes.keys));
                Node::load(&self.place.folder("engine")?, self.sizes, self.sizes.keys)?
            }
        };
        Ok(self.node.insert(node))
    }

    /// The engine, and plain redb.
    pub(super) fn both(&mut self) -> Result<(&mut Node, &mut Plain), BenchError> {
        self.node()?;
        let plain = match self.plain.take() {
            Some(plain) => plain,
            None => {
                console::warn(format!("loading {} keys into plain redb", self.sizes.keys));
                Plain::load(&self.place.folder("plain")?, self.sizes)?
            }
        };
        let node = self.node.as_mut().expect("it was loaded first");
        Ok((node, self.plain.insert(plain)))
    }
}
