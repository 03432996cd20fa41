//! The fops: each decodes, calls an image and the [steps](crate::ops) that it shares with others, and
//! answers.

pub(crate) mod allocate;
pub(crate) mod attributes;
pub(crate) mod checksum;
pub(crate) mod create;
pub(crate) mod getxattr;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod open;
pub(crate) mod read;
pub(crate) mod readdir;
pub(crate) mod removexattr;
pub(crate) mod rename;
pub(crate) mod rmdir;
pub(crate) mod setxattr;
pub(crate) mod space;
pub(crate) mod sync;
pub(crate) mod truncate;
pub(crate) mod unlink;
pub(crate) mod unsupported;
pub(crate) mod write;
pub(crate) mod xattrop;
