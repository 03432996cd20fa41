//! bd-cli.
