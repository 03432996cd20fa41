//! glusterfs-sys.
