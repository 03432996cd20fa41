//! bd-xlator.
