//! What the examples share: numbers that look random but come out the same in
//! every run, values that prove themselves, and a look at memory and disk.

pub mod arguments;
pub mod random;
pub mod system;
pub mod text;
