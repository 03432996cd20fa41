//! bd-client-so.
