//! bd-so.
