//! What the examples share: numbers that look random but come out the same in
//! every run, values that prove themselves, a ledger of what must be there, and a look
//! at memory and disk.

pub mod arguments;
pub mod ledger;
pub mod random;
pub mod system;
pub mod text;
