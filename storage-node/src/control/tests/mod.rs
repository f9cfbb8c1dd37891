//! Tests of the control file, the rules of voter generations, and the thread.

mod admission;
mod damage;
mod files;
mod full;
mod generations;
mod support;
mod threads;
mod turns;
