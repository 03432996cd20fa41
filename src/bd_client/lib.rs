//! bd-client.
