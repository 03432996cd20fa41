//! lvm2-sys.
