//! The client translator `features/bd-client`: at the top of a client's graph it gives `ln` and
//! `ln -s` of images their meaning.
//!
//! A server alone cannot: a client which asked for a second name of an inode believes that it got
//! one, and writes to the new name would go to the source. So this translator makes a new file,
//! asks the server to clone or snapshot the source into it, and answers with the new inode.
//!
//! | asked | in a directory whose policy says clone, and the source is an image | else |
//! |---|---|---|
//! | `link` | a full clone  | passed on, marked as plain |
//! | `symlink` | a snapshot of the target  | passed on, marked as plain |
//!
//! What the kernel and libgfapi remember wrongly after such an answer is put right by phantoms
//! and by the memory of recent links.
#![forbid(unsafe_code)]

mod afterwards;
mod allocation;
mod arbiter;
mod attributes;
mod client;
mod copied;
mod copy;
mod copy_operation;
mod data_lock;
mod home;
mod merge;
mod merging;
mod mounts;
mod notifier;
mod path_resolution;
mod permission;
mod recent_links;
mod replicas;
mod space;
mod target;
mod withheld;

pub use client::BdClient;
