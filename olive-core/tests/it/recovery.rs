//! Recovery on the simulated disk: kills, power cuts, and folders that are not whole.

mod folders;
mod numbers;
mod strange_files;
