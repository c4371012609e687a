//! Bytes as operations on a database whose disk fails, fills up and loses power: what
//! was acknowledged is there, what is read is what a map has, and nothing is corrupt.
//!
//! ```text
//! bytes 0, 1   the options                                script.rs
//! the rest     operations, each a byte and what it needs
//!
//! writes       an error says that nothing was written, or leaves one state more
//!              that an open may find                      model.rs
//! errors       only while a call was made to fail, or the disk is full; never
//!              Corruption
//! crashes      an open finds the state after some write, at or past the last one
//!              that had to survive                        world.rs
//! ```
//!
//! The operations are decoded by hand, not derived: so the kept inputs go on meaning
//! what they meant, and need no further crate to run.

mod model;
mod script;
mod view;
mod world;

use script::Script;
use world::World;

/// Operations past this are not run, so that an input takes milliseconds.
const OPS_MAX: usize = 120;

/// Runs the operations that `input` stands for.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let mut world = World::new(script.options());
    for _ in 0..OPS_MAX {
        let Some(op) = script.op() else { break };
        world.apply(op);
    }
    world.end();
}
