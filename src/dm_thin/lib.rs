//! bd-dm-thin.
