//! The shared object `bd-client.so`, which GlusterFS loads as `features/bd-client`.

glusterfs::export!(bd_client::BdClient, c"bd-client");
