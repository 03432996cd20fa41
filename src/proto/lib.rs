//! bd-proto.
