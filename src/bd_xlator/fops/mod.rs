//! The fops: each decodes, calls the core, and answers.

pub(crate) mod allocate;
pub(crate) mod attributes;
pub(crate) mod checksum;
pub(crate) mod clone;
pub(crate) mod create;
mod early;
mod healed;
mod health;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod map;
pub(crate) mod merge;
mod migration;
pub(crate) mod open;
pub(crate) mod plain;
mod quota;
pub(crate) mod read;
pub(crate) mod readdir;
pub(crate) mod refuse;
pub(crate) mod rename;
pub(crate) mod rmdir;
pub(crate) mod space;
pub(crate) mod sync;
pub(crate) mod truncate;
pub(crate) mod unlink;
pub(crate) mod write;
pub(crate) mod xattrs;
