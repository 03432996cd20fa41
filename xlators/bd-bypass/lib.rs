//! The shared object `bd-bypass.so`, which GlusterFS loads as `performance/bd-bypass`.

glusterfs::export!(bd_bypass::Bypass, c"bd-bypass", options: [
    (c"bypass", Some(c"on"), c"whether reads and writes of images go past io-threads"),
]);
