//! bd-lvm.
