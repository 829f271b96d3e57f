//! What the golden vectors are made of.

pub mod block;
pub mod fields;
pub mod repository;
pub mod samples;
