//! gluster-bdd: the one owner of LVM and dm-thin on a storage host.
#![forbid(unsafe_code)]

pub mod engine;
