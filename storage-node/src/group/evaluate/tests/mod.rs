//! Tests of evaluation through its public functions, over a plain ordered map.

mod actions;
mod batches;
mod lane;
mod model;
mod model_test;
mod overlay;
mod reads;
mod scenarios;
