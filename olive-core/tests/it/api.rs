//! The face: every call, every bad input, what is given back and what is kept.

mod again;
mod bad_input;
mod basics;
mod checkpoint;
mod checkpoint_leftovers;
mod concurrent;
mod deadlines;
mod gaps;
mod handles;
mod keyspaces;
mod large;
mod many;
mod paths;
mod ranges;
mod space;
mod tells;
