//! What only the real engine can show: that requests mean what they should, and that its lies are seen through.
//!
//! The contract that every engine keeps is tested by the other files here; these are Docker's own ways.

mod extra;
mod faults;
mod limits;
mod logs;
mod requests;
mod tls;
mod world;
