//! glusterfs.
