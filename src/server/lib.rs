//! bd-server.
