//! The encoding pinned by committed bytes, checked by properties, and attacked.

mod coding;
mod golden;
mod golden_cases;
mod lies;
mod properties;
mod strategies;

use coding::{decode, encode, put, whole};
