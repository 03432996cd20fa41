//! The C interface of libgfapi, generated from the installed header at build time.
//!
//! Nothing here is safe or pleasant: use the `gfapi` crate.

mod bindings {
    #![allow(missing_docs, missing_debug_implementations, unreachable_pub)]
    #![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]
    #![allow(
        unsafe_op_in_unsafe_fn,
        unnecessary_transmutes,
        clippy::all,
        clippy::pedantic
    )]
    #![allow(clippy::undocumented_unsafe_blocks, clippy::unwrap_used)]
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss
    )]
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
