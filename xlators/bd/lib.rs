//! `bd.so`: the translator `storage/bd` of a brick's graph.

glusterfs::export!(bd_xlator::Storage, c"bd", options: [
    (c"volume-id", None, c"the Gluster volume that the brick belongs to"),
    (c"heals", None, c"whether heal brings back what the brick has lost: on or off"),
    (c"convert", None, c"who may make a plain file an image: owner or root"),
]);
