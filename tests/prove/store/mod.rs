//! The store under a knife: a child process does a fixed sequence of changes, says each once it is durable, and is killed, cut off from
//! its disk or robbed of its last writes. What is on the disk then is what it had said, or that and the one change that was
//! under way: whole, never a mix, never "damaged" (RELIABILITY.md K3, K4, K5).

mod errno;
mod killed;
mod script;
mod strace;
mod torn;
